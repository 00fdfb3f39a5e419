"""Dependence in the tabular model: effects of categories on latent scores, and correlations of what is left.

Here: estimates over all numbers at once, shrunk where rows are few. Not here: marginals and scores of one number
(tabular_marginals), the fitted model (tabular_numbers).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from synth_assets.generation.tabular.marginals import TERMS

MIN_NOISE = 0.02  # least standard deviation of the latent noise
MAX_CORRELATION = 0.9999
MIN_EIGENVALUE = 1e-5
MOSTLY_POOLED = 0.9  # groups shrunk further than this take the pooled correlation
SWEEPS = 12
EFFECT_WORK = 200_000_000  # rows × columns × numbers × sweeps; wide tables are fitted on fewer rows


def fit_effects(
    codes: np.ndarray, sizes: list[int], groups: np.ndarray, scores: np.ndarray, known: np.ndarray
) -> dict[tuple[int, bool], np.ndarray]:
    """Return what categories add to latent scores: arrays (levels, numbers) by (variable, whether by group).

    A variable has effects common to all groups and, where the rows suffice, its groups' own deviations, whose levels
    are group · size + code. Effects that are nothing are left out. codes (rows, variables), groups (rows,), scores
    and known (rows, numbers).
    """
    count = int(groups.max(initial=0)) + 1
    columns = {(i, False): codes[:, i] for i in range(len(sizes))}
    if len(np.unique(groups)) > 1:
        columns |= {
            (i, True): groups * size + codes[:, i] for i, size in enumerate(sizes) if count * size <= len(groups)
        }
    levels = [sizes[i] * (count if by_group else 1) for i, by_group in columns]
    effects = _fit_random_effects(list(columns.values()), levels, scores, known)
    return {key: effect for key, effect in zip(columns, effects, strict=True) if effect.any()}


def _fit_random_effects(
    columns: list[np.ndarray], sizes: list[int], scores: np.ndarray, known: np.ndarray
) -> list[np.ndarray]:
    """Return one array (levels, numbers) a column of codes, by backfitting.

    Levels are shrunk by the ratio of noise to effect variance (method of moments), and a column counts for a number
    only where its effect is beyond two standard errors.
    """
    from scipy.sparse import csr_matrix

    width = max(len(columns) * scores.shape[1], 1)
    rows = slice(None, max(2000, EFFECT_WORK // (width * SWEEPS)))
    columns, scores, known = [column[rows] for column in columns], scores[rows], known[rows].astype(float)
    n = len(scores)
    members = [
        csr_matrix((np.ones(n), (code, np.arange(n))), (size, n)) for code, size in zip(columns, sizes, strict=True)
    ]
    counts = [member @ known for member in members]
    total = np.maximum(known.sum(axis=0), 1)
    effects = [np.zeros((size, scores.shape[1])) for size in sizes]
    rest = scores * known
    for _ in range(SWEEPS):
        moved = 0.0
        for i, (code, member, count) in enumerate(zip(columns, members, counts, strict=True)):
            partial = rest + effects[i][code] * known
            sums = member @ partial
            between = (sums**2 / np.maximum(count, 1)).sum(axis=0)
            free = np.maximum((count > 0).sum(axis=0) - 1, 0)
            within = np.maximum((partial**2).sum(axis=0) - between, 0) / np.maximum(total - free - 1, 1)
            extra = between - free * within
            spread = extra / np.maximum(total - (count**2).sum(axis=0) / total, 1e-9)
            real = extra > 2 * within * np.sqrt(2 * np.maximum(free, 1))
            shrink = np.where(real, within / np.maximum(spread, 1e-12), np.inf)
            effect = sums / np.maximum(count + shrink, 1e-12)
            effect -= (effect * count).sum(axis=0) / total * (count > 0)
            moved = max(moved, float(np.abs(effect - effects[i]).max(initial=0)))
            effects[i] = effect
            rest = partial - effect[code] * known
        if moved < 1e-4:
            break
    return [np.round(effect, 9) for effect in effects]


def solve_correlation(covariance: np.ndarray, products: np.ndarray) -> np.ndarray:
    """Return the latent normal correlation r with Σ_k products[k] r^k = covariance of the scores, pair by pair.

    covariance: shape (numbers, numbers); products: shape (TERMS, numbers, numbers), of Hermite coefficients. This
    undoes what ties take from a correlation; with none it is the covariance itself. Source: Cario and Nelson (1997).
    """
    low, high = np.full(covariance.shape, -1.0), np.ones(covariance.shape)
    for _ in range(30):
        middle = (low + high) / 2
        reached = np.zeros(covariance.shape)
        for product in products[::-1]:
            reached = (reached + product) * middle
        below = reached < covariance
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.clip((low + high) / 2, -MAX_CORRELATION, MAX_CORRELATION)


def shrinkage(scores: np.ndarray, known: np.ndarray, target: np.ndarray) -> float:
    """Return how far (0 to 1) the correlation of the scores should move to the target correlation.

    The analytic intensity Σ var(r) / Σ (r − target)² of Schäfer and Strimmer (2005), after Ledoit and Wolf (2004).
    """
    scores = scores / _spread(scores, known)
    raw = _covariance(scores, known)
    variance = (_covariance(scores**2, known) - raw**2) / np.maximum(known.astype(float).T @ known, 1)
    off = ~np.eye(len(raw), dtype=bool)
    distance = float(((raw - target) ** 2)[off].sum())
    return min(1.0, float(variance[off].sum()) / distance) if distance > 0 else 1.0


def _factorize(correlation: np.ndarray, explained: np.ndarray) -> np.ndarray:
    """Return the lower Cholesky factor of the correlation of what is left; small eigenvalues are lifted."""
    left = np.sqrt(np.maximum(1 - np.diag(explained), MIN_NOISE**2))
    rest = np.clip((correlation - explained) / left / left[:, None], -MAX_CORRELATION, MAX_CORRELATION)
    np.fill_diagonal(rest, 1.0)
    values, vectors = np.linalg.eigh(rest)
    fixed = (vectors * np.maximum(values, MIN_EIGENVALUE)) @ vectors.T
    scale = np.sqrt(np.diag(fixed))
    return np.round(np.linalg.cholesky(fixed / scale / scale[:, None]), 9)


def fit_factors(
    scores: np.ndarray,
    usable: np.ndarray,
    coefficients: Mapping[int, np.ndarray],
    means: np.ndarray,
    members: Mapping[int, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Return (Cholesky factors of the latent noise, the factor of every group).

    Factor 0 is pooled over groups and shrunk to no correlation by the analytic intensity; groups have a factor of
    their own, shrunk to the pooled correlation by it and by at least 1 − rows / (2 · numbers). What the categories
    explain (means) is taken out.
    """
    width = scores.shape[1]
    pooled_covariance, pooled_explained = np.zeros((width, width)), np.zeros((width, width))
    pooled_products = np.zeros((TERMS, width, width))
    for group, rows in members.items():
        share = len(rows) / len(scores)
        pooled_covariance += share * _covariance(scores[rows], usable[rows])
        pooled_explained += share * _explained(means[rows])
        pooled_products += share * _products(coefficients[group])
    pooled = solve_correlation(pooled_covariance, pooled_products)
    pooled = _blend(pooled, np.zeros((width, width)), shrinkage(scores, usable, np.eye(width)))
    factors, factor_of = [_factorize(pooled, pooled_explained)], np.zeros(max(members) + 1, dtype=np.int64)
    target = _covariance(scores / _spread(scores, usable), usable)
    for group, rows in members.items() if len(members) > 1 else ():
        weight = max(shrinkage(scores[rows], usable[rows], target), 1 - len(rows) / (2 * width))
        if group and weight < MOSTLY_POOLED:
            own = solve_correlation(_covariance(scores[rows], usable[rows]), _products(coefficients[group]))
            factor_of[group] = len(factors)
            factors.append(_factorize(_blend(own, pooled, weight), _explained(means[rows])))
    return np.stack(factors), factor_of


def _blend(own: np.ndarray, target: np.ndarray, weight: float) -> np.ndarray:
    """Return the weighted mean on Fisher's z scale, where noise is even: correlations near 1 are kept near 1."""
    return np.tanh((1 - weight) * np.arctanh(own) + weight * np.arctanh(target))


def _products(coefficients: np.ndarray) -> np.ndarray:
    return coefficients[:, :, None] * coefficients[:, None, :]


def _explained(means: np.ndarray) -> np.ndarray:
    """Return the covariance of the latent means."""
    centered = means - means.mean(axis=0)
    return centered.T @ centered / len(means)


def _covariance(scores: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the mean products of scores over the rows that have both."""
    scores, known = scores * known, known.astype(float)
    return scores.T @ scores / np.maximum(known.T @ known, 1)


def _spread(scores: np.ndarray, known: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum((scores**2 * known).sum(axis=0) / np.maximum(known.sum(axis=0), 1), 1e-12))
