"""Bounds that may be looked at after every decision: a confidence sequence for the defect rate of a batch under review.

Here: the sequence and its value for a sample as far as it is decided. Not here: the bounds of a finished review
(acceptance.py), which are sharper and true for one look only; stopping rules (plans.py).

A bet against a rate p wins by the likelihood ratio of a mixture of other rates to p. If p is true the capital is a
martingale that starts at 1, so by Ville's inequality it ever reaches 1/α with probability α at most; the rates whose
capital is below 1/α are therefore a confidence set at all times at once (Robbins 1970). For the upper bound the mixture
is of lower rates only. Rows drawn without replacement have the hypergeometric in place of the binomial likelihood: the
prior-posterior ratio of Waudby-Smith & Ramdas 2020 ("Confidence sequences for sampling without replacement").
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl

PRIOR = (0.5, 8.0)  # of the mixture: rates of a few percent are the ones of interest
RANDOM = "random"


@dataclass(frozen=True)
class LiveBounds:
    """What may be shown at any moment. n: rows up to the last decided one in serving order; n_open: those of them
    without a resolution; defects: defects among the others. bound_low, bound_high: each at the confidence by itself,
    at all times at once, whatever the open rows turn out to be.
    """

    n: int
    n_open: int
    defects: int
    bound_low: float
    bound_high: float


def confidence_sequence(
    defects: np.ndarray, sizes: np.ndarray, *, confidence: float, batch_size: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return one-sided bounds (low, high) after `defects` in the first `sizes` rows, all float64 of shape (k,).

    Each side holds at its confidence for all sizes at once. With batch_size the rows are drawn from that many without
    replacement, and both ends are exact fractions of it; without, they are independent.
    """
    found, n = np.asarray(defects, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    if ((found < 0) | (found > n)).any():
        raise ValueError("defects must lie between 0 and the size")
    if batch_size is not None:
        pairs = [_bounds_of_batch(int(d), int(k), batch_size, confidence) for d, k in zip(found, n, strict=True)]
        low, high = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
        return low, high
    a, b = PRIOR
    return 1 - _upper(n - found, n, confidence, (b, a)), _upper(found, n, confidence, (a, b))


def live_bounds(judged: pl.DataFrame, batch_size: int, *, confidence: float) -> LiveBounds:
    """Return the bounds for a sample as far as it is decided.

    `judged`: part, priority, weight, reviewed:Boolean, defect:Boolean, as acceptance.judge_sample returns them. Rows of
    the random part count in serving order, which does not depend on what they hold; a row that was passed over counts
    as a defect above and as sound below. Unequal weights widen both ends by the largest and smallest weight.
    """
    random = judged.filter(pl.col("part") == RANDOM).sort("priority")
    last = int(random.select((pl.col("reviewed") * pl.int_range(1, pl.len() + 1)).max().fill_null(0)).item() or 0)
    seen = random.head(last)
    n_open = int((~seen["reviewed"]).sum())
    defects = int((seen["reviewed"] & seen["defect"]).sum())
    if not last:
        return LiveBounds(0, 0, 0, 0.0, 1.0)
    low, high = bound_counts(defects, last, n_open, random["weight"], batch_size, confidence=confidence)
    return LiveBounds(last, n_open, defects, low, high)


def bound_counts(
    defects: int, n: int, n_open: int, weights: pl.Series, batch_size: int, *, confidence: float
) -> tuple[float, float]:
    """Return bounds (low, high) after n rows in serving order, n_open of them without a decision.

    weights: of the whole random part; unequal ones widen both ends by the largest and smallest over their mean.
    """
    low, high = confidence_sequence(
        np.array([defects, defects + n_open]), np.array([n, n]), confidence=confidence, batch_size=batch_size
    )
    mean = weights.sum() / len(weights)
    lightest, heaviest = weights.min() / mean, weights.max() / mean  # type: ignore[operator]
    return float(low[0] * lightest), float(min(high[1] * heaviest, 1.0))


def _upper(found: np.ndarray, n: np.ndarray, confidence: float, prior: tuple[float, float]) -> np.ndarray:
    """Return the largest rate against which the mixture of lower rates has not won 1/(1 − confidence), by bisection."""
    from scipy.special import betainc, betaln, xlog1py, xlogy

    a, b = prior
    limit = -np.log(1 - confidence)
    start = betaln(a + found, b + n - found) - betaln(a, b)

    def capital(rate: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            share = np.log(betainc(a + found, b + n - found, rate)) - np.log(betainc(a, b, rate))
        return start + share - xlogy(found, rate) - xlog1py(n - found, -rate)

    low, high = found / np.maximum(n, 1), np.ones_like(n)
    for _ in range(50):
        middle = (low + high) / 2
        lost = capital(middle) < limit
        low, high = np.where(lost, middle, low), np.where(lost, high, middle)
    return np.where(n > 0, high, 1.0)


@lru_cache(maxsize=4096)
def _bounds_of_batch(found: int, n: int, batch_size: int, confidence: float) -> tuple[float, float]:
    """Return both bounds for n rows of a batch: over every number of defects that the batch may still have."""
    unseen = batch_size - n
    possible = slice(found, found + unseen + 1)  # numbers of defects in the batch
    prior, choices, mass_below, mass_above = (part[possible] for part in _prior_of_batch(batch_size))
    # P(this very path | D defects) = C(unseen, D − found) / C(batch, D)
    path = _log_choose(unseen, np.arange(unseen + 1)) - choices
    joint = prior + path
    below = np.logaddexp.accumulate(joint) - mass_below - path
    above = np.logaddexp.accumulate(joint[::-1])[::-1] - mass_above - path
    limit = -np.log(1 - confidence)
    high = found + np.flatnonzero(below < limit).max()
    low = found + np.flatnonzero(above < limit).min()
    return float(low) / batch_size, float(high) / batch_size


@lru_cache(maxsize=8)
def _prior_of_batch(batch_size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return logarithms for 0 … batch_size defects: beta-binomial prior, C(batch, D), prior mass up to D, from D on."""
    from scipy.special import betaln

    (a, b), every = PRIOR, np.arange(batch_size + 1)
    choices = _log_choose(batch_size, every)
    prior = betaln(a + every, b + batch_size - every) - betaln(a, b) + choices
    return prior, choices, np.logaddexp.accumulate(prior), np.logaddexp.accumulate(prior[::-1])[::-1]


def _log_choose(top: int, bottom: np.ndarray) -> np.ndarray:
    from scipy.special import gammaln

    return gammaln(top + 1) - gammaln(bottom + 1) - gammaln(top - bottom + 1)
