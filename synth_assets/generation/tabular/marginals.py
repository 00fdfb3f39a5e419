"""Marginals of the tabular model: on which grid a number's values lie, how they are spread, how they score.

Here: one number in one group of rows. Not here: how numbers hang together (tabular_dependence, tabular_numbers).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synth_assets.spec import FieldSpec

KNOTS = 512  # smooth pieces of one quantile function, besides tails and spikes
SPIKE_ROWS, SPIKE_SHARE = 4, 0.001  # a value repeated this often is kept as such
END = 0.02  # the extreme value lies at this fraction of a row's share of probability
TERMS = 20  # Hermite terms of a score
_LEAST_POWER = -12
_POWERS = np.array([float(f"1e{power}") for power in range(_LEAST_POWER, 23)])


@dataclass(frozen=True)
class Grid:
    """Which values a number may take: low ≤ value ≤ high, digits after the point, significant digits (None: any).

    Values are counted from `origin`, which is 0 but for integers that a float cannot hold.
    """

    low: float
    high: float
    decimals: int | None
    digits: int | None
    origin: int = 0


def find_grid(values: np.ndarray, field: FieldSpec, origin: int) -> Grid:
    """Return the grid of observed values (not empty, finite, in the field's bounds); field.decimals may coarsen it."""
    if field.type != "number":
        return Grid(float(values.min()), float(values.max()), 0, None, origin)
    decimals = next((d for d in range(13) if np.array_equal(np.round(values, d), values)), None)
    if field.decimals is not None:
        decimals = field.decimals if decimals is None else min(decimals, field.decimals)
    digits = next((k for k in range(1, 10) if np.array_equal(round_digits(values, k), values)), None)
    whole = int(_exponent(np.abs(values).max())) + 1
    if decimals is not None and digits is not None and whole + decimals <= digits:
        digits = None
    low, high = float(values.min()), float(values.max())
    if decimals is not None:
        inside = _ceil(low, decimals), -_ceil(-high, decimals)
        low, high = inside if inside[0] <= inside[1] else (low, high)
    return Grid(low, high, decimals, digits)


def _ceil(value: float, decimals: int) -> float:
    """Return the smallest number with so many decimals that is not below the value, float error aside."""
    rounded = float(np.round(value, decimals))
    return rounded if rounded >= value else float(np.round(value + 0.5 * 10.0**-decimals, decimals))


def round_digits(values: np.ndarray, digits: int) -> np.ndarray:
    """Round to significant digits."""
    places = np.clip(digits - 1 - _exponent(np.abs(values)), _LEAST_POWER, -_LEAST_POWER)
    scale = _POWERS[np.abs(places) - _LEAST_POWER]
    return np.where(places >= 0, np.rint(values * scale) / scale, np.rint(values / scale) * scale)


def _exponent(sizes: np.ndarray) -> np.ndarray:
    """Return floor(log10) of sizes from 1e-12, exact at the powers of ten; less one below that."""
    return np.searchsorted(_POWERS, sizes, side="right") - 1 + _LEAST_POWER


def snap(values: np.ndarray, grid: Grid) -> np.ndarray:
    """Return the values on the grid."""
    if grid.decimals is not None:
        values = np.round(values, grid.decimals)
    if grid.digits is not None:
        values = round_digits(values, grid.digits)
    return np.clip(values, grid.low, grid.high) + 0.0


def fit_quantiles(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return knots (probability, value) of a smoothed quantile function; both arrays never fall.

    Every value owns the interval between the midpoints to its neighbors, so a draw lies near an observed value and
    not on it; values repeated SPIKE_ROWS times and by SPIKE_SHARE of the rows are steps, and their neighbors do not
    reach out to them. Of many values about KNOTS are kept, more densely in the tails.
    """
    distinct, counts = np.unique(values, return_counts=True)
    n = len(values)
    edges = np.concatenate([[0], np.cumsum(counts)]) / n
    spike = counts >= max(SPIKE_ROWS, SPIKE_SHARE * n)
    after_spike, before_spike = np.concatenate([[False], spike[:-1]]), np.concatenate([spike[1:], [False]])
    is_first, is_last = np.arange(len(distinct)) == 0, np.arange(len(distinct)) == len(distinct) - 1
    alone = (after_spike | is_first) & (before_spike | is_last)  # must reach out, or it would be copied
    middle = (distinct[1:] + distinct[:-1]) / 2
    left = np.where(spike | (after_spike & ~alone), distinct, np.concatenate([distinct[:1], middle]))
    right = np.where(spike | (before_spike & ~alone), distinct, np.concatenate([middle, distinct[-1:]]))
    # two knots a value; between smooth values they are one, and most of those go where there are many
    inner = edges[1:-1]
    piece = np.stack([np.floor(KNOTS * inner), np.floor(16 * np.log2(np.minimum(inner, 1 - inner)))])
    wanted = np.concatenate([[True], np.diff(piece).any(axis=0)])[: len(inner)]
    smooth = ~spike[1:] & ~spike[:-1]
    keep = np.ones((len(distinct), 2), dtype=bool)
    keep[:-1, 1] = ~smooth
    keep[1:, 0] = ~smooth | wanted
    end = END / n
    probability = np.clip(np.stack([edges[:-1], edges[1:]], axis=1)[keep], end, 1 - end)
    return probability, np.stack([left, right], axis=1)[keep]


def latent_quantiles(probability: np.ndarray, means: np.ndarray, noise: float) -> np.ndarray:
    """Return the quantiles of a mixture of normals: means shape (rows,), one standard deviation for all."""
    from scipy.special import ndtr, ndtri

    if np.ptp(means) < 1e-9:
        return np.round(ndtri(probability) * noise + means[0], 9)
    step = noise / 4
    position = (means - means.min()) / step
    cell = np.floor(position).astype(np.int64)
    part = position - cell
    masses = np.bincount(np.concatenate([cell, cell + 1]), np.concatenate([1 - part, part]))
    reach = 36
    kernel = np.diff(ndtr((np.arange(-reach, reach + 2) - 0.5) / 4))
    density = np.convolve(masses, kernel)
    cumulative = np.cumsum(density)
    right = means.min() + (np.arange(len(density)) - reach + 0.5) * step
    return np.round(np.interp(probability, cumulative / cumulative[-1], right), 9)


def score_normally(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (expected normal score of each value, its Hermite coefficients of order 1 to TERMS).

    A tied value gets the mean of the normal interval it stands for, so ties leave less variance than 1. The k-th
    coefficient is E[score · He_k(Z) / √k!] for the latent Z; both are scaled so that untied values have variance 1
    and the coefficients 1, 0, 0, …
    """
    from scipy.special import ndtri

    n = len(values)
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    inner = ndtri(np.cumsum(counts)[:-1] / n)
    if len(counts) == n:
        scores = _interval_means(inner, counts / n)[inverse]
        return scores / np.sqrt(np.mean(scores**2)), np.eye(1, TERMS)[0]
    jump = np.diff(_interval_means(inner, counts / n))
    scale = float(np.mean(_interval_means(ndtri(np.arange(1, n) / n), np.full(n, 1 / n)) ** 2))
    scores = _interval_means(inner, counts / n)[inverse]
    # E[score · h_k] = Σ over steps of height · density · h_(k−1) / √k, by parts
    coefficients, previous, current = np.empty(TERMS), np.zeros(len(inner)), _density(inner)
    for k in range(1, TERMS + 1):
        coefficients[k - 1] = (jump * current).sum() / np.sqrt(k)
        previous, current = current, (inner * current - np.sqrt(k - 1) * previous) / np.sqrt(k)
    return scores / np.sqrt(scale), coefficients / scale


def _density(z: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)


def _interval_means(inner: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return the means of a standard normal between neighboring inner edges; shares are the intervals' masses."""
    return -np.diff(np.concatenate([[0.0], _density(inner), [0.0]])) / shares
