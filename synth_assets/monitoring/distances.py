"""How far two distributions are apart, from counts per cell.

Here: formulas on count arrays whose last axis are the cells; leading axes are compared one by one, so that a hundred
draws are one call. Not here: which cells and rows are compared (shift).
"""

from __future__ import annotations

import numpy as np

PSEUDO_COUNT = 0.5


def measure_psi(expected: np.ndarray, actual: np.ndarray, *, pseudo_count: float = PSEUDO_COUNT) -> np.ndarray:
    """Return the population stability index Σ (p − q)·ln(p / q), natural logarithm; shape (..., cells) → (...).

    Smoothing: half a count is added to every cell that either side occupies (Jeffreys), so an empty cell is finite
    and weighs by the sample size; with a pseudo_count of 0 it is infinite. Symmetric; 0 for equal counts. Convention:
    0.1 watch, 0.25 act (Siddiqi, Credit Risk Scorecards, 2006).
    """
    expected, actual = np.broadcast_arrays(_as_counts(expected), _as_counts(actual))
    occupied = (expected + actual) > 0
    p, q = _smooth(expected, occupied, pseudo_count), _smooth(actual, occupied, pseudo_count)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sum(np.where(occupied, (p - q) * (np.log(p) - np.log(q)), 0.0), axis=-1)


def measure_js_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the Jensen–Shannon distance, base 2, in [0, 1]: the root of the divergence, as scipy defines it.

    Shape (..., cells) → (...). NaN where a side is empty. Source: scipy.spatial.distance.jensenshannon.
    """
    p, q = _as_shares(a), _as_shares(b)
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where(p > 0, p * np.log2(p / middle), 0.0)
        right = np.where(q > 0, q * np.log2(q / middle), 0.0)
    divergence = np.sum(left + right, axis=-1) / 2 + 0.0 * p.sum(axis=-1) + 0.0 * q.sum(axis=-1)
    return np.sqrt(np.maximum(divergence, 0.0))


def measure_ks(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the two-sample Kolmogorov–Smirnov statistic max |F − G|; cells are the ordered distinct values.

    Shape (..., cells) → (...). An effect size in [0, 1], used without its p-value: with many rows any difference is
    significant.
    """
    return np.max(np.abs(np.cumsum(_as_shares(a), axis=-1) - np.cumsum(_as_shares(b), axis=-1)), axis=-1)


def measure_wasserstein(a: np.ndarray, b: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the first Wasserstein distance ∫ |F − G|, in the unit of `places`, the cells' values in ascending order.

    Shape (..., cells) → (...). At least the difference of the means. Source: scipy.stats.wasserstein_distance.
    """
    gaps = np.cumsum(_as_shares(a), axis=-1) - np.cumsum(_as_shares(b), axis=-1)
    return np.abs(gaps[..., :-1]) @ np.diff(places)


def measure_cramers_v(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return Cramér's V = √(χ² / N) of the 2 × cells table (rows: the two samples), no continuity correction.

    Shape (..., cells) → (...). An effect size in [0, 1]. Source: scipy.stats.contingency.association.
    """
    a, b = np.broadcast_arrays(_as_counts(a), _as_counts(b))
    columns = a + b
    total = columns.sum(axis=-1, keepdims=True)
    chi2 = np.zeros(a.shape[:-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        for side in (a, b):
            fitted = columns * side.sum(axis=-1, keepdims=True) / total
            chi2 = chi2 + np.sum(np.where(fitted > 0, (side - fitted) ** 2 / fitted, 0.0), axis=-1)
        return np.sqrt(chi2 / total[..., 0])


def measure_total_variation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the total variation distance ½ Σ |p − q| in [0, 1]; shape (..., cells) → (...)."""
    return np.sum(np.abs(_as_shares(a) - _as_shares(b)), axis=-1) / 2


def _as_counts(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, dtype=np.float64)


def _as_shares(counts: np.ndarray) -> np.ndarray:
    counts = _as_counts(counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        return counts / counts.sum(axis=-1, keepdims=True)


def _smooth(counts: np.ndarray, occupied: np.ndarray, pseudo_count: float) -> np.ndarray:
    cells = occupied.sum(axis=-1, keepdims=True)
    total = counts.sum(axis=-1, keepdims=True) + pseudo_count * np.maximum(cells, 1)
    return (counts + pseudo_count) / np.where(total > 0, total, 1.0)
