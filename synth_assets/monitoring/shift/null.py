"""What real against real gives, and which of many numbers are more than that.

Here: permutations within strata, of rows and of counts; the correction for many tests. Not here: what is measured
(fields, texts, joint).

Under no shift the real and the synthetic rows of a stratum are exchangeable, so dealing them out anew gives what the
numbers would be by chance, exactly and without an assumption about their distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synth_assets.monitoring.measures import OK, Metric, find_null_interval, judge

DRAWS = 399

_LEAST_SKEW = 0.02
_LEAST_CHANCE = 1e-300


@dataclass(frozen=True)
class Finding:
    """A number, what it is under no shift (shape (DRAWS,)), and the bars of the contract.

    `compared` stands beside the draws where `value` itself is computed more finely than they are. A finding without
    bars is told and not judged.
    """

    metric: str
    value: float
    draws: np.ndarray
    field: str = ""
    stratum: str = ""
    watch: float | None = None
    act: float | None = None
    compared: float | None = None
    note: str = ""
    n_real: int | None = None
    n_synthetic: int | None = None


def judge_findings(findings: Sequence[Finding], rate: float) -> list[Metric]:
    """Return the metrics, their levels corrected for all the tests of the family.

    A level other than ok takes a value at its bar, above the null interval, and a corrected p of at most `rate`: the
    share of draws whose largest score over the family reaches the finding's score (single-step max-statistic, Westfall
    & Young 1993). Scores make unlike statistics comparable: minus the logarithm of the chance under a Pearson III
    distribution with the draws' mean, variance and skewness. Only the order of scores matters, so a poor fit costs
    power and not validity. Draws of different views are dealt independently, which errs on the side of few alarms.
    """
    tested = [finding for finding in findings if finding.act is not None]
    corrected: dict[int, float] = {}
    if tested:
        observed = np.array([finding.value if finding.compared is None else finding.compared for finding in tested])
        draws = np.stack([finding.draws for finding in tested])
        scores = _score(observed, draws)
        largest = np.sort(scores[:, 1:].max(axis=0))
        reached = len(largest) - np.searchsorted(largest, scores[:, 0], side="left")
        chances = (1 + reached) / (1 + len(largest))
        corrected = {id(finding): float(chance) for finding, chance in zip(tested, chances, strict=True)}
    return [_as_metric(finding, corrected.get(id(finding)), len(tested), rate) for finding in findings]


def _as_metric(finding: Finding, chance: float | None, tests: int, rate: float) -> Metric:
    low, high = find_null_interval(finding.draws)
    level, told = OK, [finding.note] if finding.note else []
    if chance is not None and finding.act is not None:
        told.append(f"p {chance:.4f} corrected for {tests} tests" if tests > 1 else f"p {chance:.4f}")
        if chance <= rate:
            level = judge(finding.value, act=finding.act, watch=finding.watch, null_high=high)
    return Metric(
        finding.metric, float(finding.value), finding.field, finding.stratum, null_low=low, null_high=high,
        threshold=finding.act, level=level, n_real=finding.n_real, n_synthetic=finding.n_synthetic,
        note="; ".join(told),
    )  # fmt: skip


def _score(observed: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Return −log of upper tails under Pearson III, the observed in column 0, then the draws; NaN counts as no shift.

    Every draw is scored by the moments of the other draws: among its own it would make itself look ordinary, which
    the observed number, scored by all draws, does not.
    """
    from scipy.special import gammaincc

    mean, deviation = draws.mean(axis=1, keepdims=True), draws.std(axis=1, keepdims=True)
    is_fixed = deviation <= 1e-12 * np.maximum(np.abs(mean), 1e-12)
    scale = np.where(is_fixed, 1.0, deviation)
    values = (np.concatenate([observed[:, None], draws], axis=1) - mean) / scale
    others = np.where(np.arange(values.shape[1]) > 0, values, 0.0)  # what a value leaves out
    left = draws.shape[1] - (np.arange(values.shape[1]) > 0)
    first, second, third = ((values[:, 1:] ** k).sum(axis=1, keepdims=True) - others**k for k in (1, 2, 3))
    first, second, third = first / left, second / left, third / left
    spread = np.sqrt(np.maximum(second - first**2, 1e-12))
    skew = (third - 3 * first * second + 2 * first**3) / spread**3
    shape = 4 / np.maximum(skew, _LEAST_SKEW) ** 2
    place = np.maximum(shape + (values - first) / spread * np.sqrt(shape), 0.0)
    chances = np.where(is_fixed, 1.0, gammaincc(shape, place))
    return -np.log(np.maximum(np.nan_to_num(chances, nan=1.0), _LEAST_CHANCE))


def permute_labels(labels: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the labels as they are and dealt out anew DRAWS times within groups; shape (1 + DRAWS, rows), float32."""
    rows = np.tile(labels.astype(np.float32), (1 + DRAWS, 1))
    order = np.argsort(groups, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        rows[1:, members] = rng.permuted(rows[1:, members], axis=1)
    return rows


def deal_counts(pooled: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return how many of each cell are among `size` rows dealt out of the pooled ones; shape (DRAWS, cells)."""
    dealt = np.zeros((DRAWS, len(pooled)))
    used = np.flatnonzero(pooled)
    if size and len(used):
        dealt[:, used] = rng.multivariate_hypergeometric(pooled[used], size, size=DRAWS, method="marginals")
    return dealt
