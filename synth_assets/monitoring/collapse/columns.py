"""Whether the columns of a corpus keep their variety, their tails, and their rare values and combinations.

Here: rare values and pairs of values, entropy, variance and tails of columns. Not here: free text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl

from synth_assets.monitoring.collapse.case import (
    DRAWS,
    MIN_ROWS,
    RARE_SHARE,
    RARE_TEXTS,
    Case,
    Findings,
    fall,
    find_rare,
    judge_drop,
    judge_share,
)
from synth_assets.monitoring.features import MISSING, read_categories, read_numbers, select_synthetic
from synth_assets.monitoring.measures import Metric, find_null_interval, judge
from synth_assets.spec import FieldSpec

ENTROPY_BINS = 20
TAIL = 0.025
TAIL_DRAWS = 999
PAIR_BINS = 4
MAX_PAIR_COLUMNS = 12


def measure_columns(case: Case, numeric: list[FieldSpec], category: list[FieldSpec]) -> Findings:
    """Return the metrics of columns and strata and their history; see measure_collapse."""
    metrics: list[Metric] = []
    examples: list[dict[str, Any]] = []
    columns: list[tuple[str, Callable[[pl.DataFrame], pl.Series]]] = [
        (item.name, partial(read_categories, field=item)) for item in category if item.name not in case.spec.strata.by
    ]
    columns.append(("stratum", lambda frame: frame["stratum"]))
    if min(case.anchor.height // 2, case.synthetic.height) < MIN_ROWS:
        note = f"not measured: {MIN_ROWS} synthetic rows and twice as many real ones are needed"
        return [Metric("rare_value_coverage", field=name, note=note) for name, _ in columns], []
    for name, read in columns:
        real, made = read(case.anchor), read(case.synthetic)
        metrics.append(_cover_values(case, name, real, made))
        if name != "stratum":
            metrics.append(_compare_entropy(case, name, *_code_together(real, made)))
    metrics.append(_cover_pairs(case, numeric, columns))
    for item in numeric:
        metrics.extend(_measure_number(case, item))
    for item in numeric:
        for round_, frame in case.rounds.items():
            made, real = read_numbers(select_synthetic(frame), item), read_numbers(case.anchor, item)
            if np.isfinite(made).sum() >= MIN_ROWS and np.nanmin(real) < np.nanmax(real):
                examples.append(
                    case.history(round_, float(fall(np.nanvar(made), np.nanvar(real))), "variance_drop", item.name)
                )
    return metrics, examples


def _cover_values(case: Case, name: str, real: pl.Series, made: pl.Series) -> Metric:
    real_codes, made_codes = (side[:, None] for side in _code_together(real, made))
    real_codes = np.where((real == MISSING).to_numpy()[:, None], -1, real_codes)
    return _cover(case, "rare_value_coverage", name, real_codes, made_codes, "rare values in half the anchor")


def _cover_pairs(
    case: Case, numeric: list[FieldSpec], columns: list[tuple[str, Callable[[pl.DataFrame], pl.Series]]]
) -> Metric:
    """Return the coverage of rare pairs of values of two columns, numbers in quartiles of the anchor."""
    coded = [_code_together(read(case.anchor), read(case.synthetic)) for _, read in columns]
    for item in numeric:
        real, made = (read_numbers(frame, item) for frame in (case.anchor, case.synthetic))
        known = real[np.isfinite(real)]
        edges = np.unique(np.quantile(known, np.arange(1, PAIR_BINS) / PAIR_BINS)) if len(known) else known
        first, second = (
            np.where(np.isfinite(side), np.searchsorted(edges, side), len(edges) + 1) for side in (real, made)
        )
        coded.append((first, second))
    pairs = list(combinations(coded[:MAX_PAIR_COLUMNS], 2))
    if not pairs:
        return Metric("rare_pair_coverage", note="not measured: there is one column only")
    width = 1 + max(int(side.max()) for both in coded for side in both)
    real, made = (
        np.stack([(place * width + one[side]) * width + two[side] for place, (one, two) in enumerate(pairs)], axis=1)
        for side in (0, 1)
    )
    return _cover(case, "rare_pair_coverage", "", real, made, "rare pairs of values in half the anchor")


def _cover(case: Case, metric: str, name: str, real: np.ndarray, made: np.ndarray, note: str) -> Metric:
    """Return the share of the rare items of half the anchor that as many other real or synthetic rows hold.

    real, made: items of each row, shape (rows, items); those below 0 do not count.
    """
    rng = case.random(metric, name)
    shares: tuple[list[float], list[float]] = ([], [])
    half = len(real) // 2
    size = min(len(real) - half, len(made))
    for _ in range(DRAWS):
        mixed = rng.permutation(real)
        items = mixed[:half]
        rows = np.broadcast_to(np.arange(half)[:, None], items.shape)
        rare = find_rare(items[items >= 0], rows[items >= 0], RARE_TEXTS[0], max(RARE_TEXTS[1], RARE_SHARE * half))
        for share, side in zip(shares, (mixed[half : half + size], rng.permutation(made)[:size]), strict=True):
            share.append(float(np.isin(rare, side).mean()) if len(rare) else float("nan"))
    return judge_share(case, metric, name, *shares, note)


def _code_together(real: pl.Series, made: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    joined = pl.concat([real.alias("value"), made.alias("value")])
    codes = joined.cast(pl.Enum(joined.unique().sort())).to_physical().cast(pl.Int64).to_numpy()
    return codes[: len(real)], codes[len(real) :]


def _measure_number(case: Case, item: FieldSpec) -> Iterator[Metric]:
    real, made = (read_numbers(frame, item) for frame in (case.anchor, case.synthetic))
    real, made = real[np.isfinite(real)], made[np.isfinite(made)]
    if len(real) < 2 * MIN_ROWS or len(made) < MIN_ROWS:
        yield Metric("entropy_drop", field=item.name, note="not measured: too few values")
        return
    edges = np.unique(np.quantile(real, np.arange(1, ENTROPY_BINS) / ENTROPY_BINS))
    yield _compare_entropy(case, item.name, np.searchsorted(edges, real), np.searchsorted(edges, made))
    if real.min() == real.max():  # the variance may be what rounding leaves
        yield Metric("variance_drop", field=item.name, note="not measured: the anchor is constant")
        return
    yield _compare_halves(case, "variance_drop", item.name, real, made, np.var)
    low, high = np.quantile(real, [TAIL, 1 - TAIL])
    tails = [(side < low) | (side > high) for side in (real, made)]
    rng = case.random("tails", item.name)
    center = float(tails[0].mean())
    # how much lies beyond the ends of a sample varies from sample to sample, as do the synthetic rows beyond them
    beyond = rng.beta(center * len(real) + 1e-9, (1 - center) * len(real) + 1, size=TAIL_DRAWS)
    null = (rng.binomial(len(made), beyond) / len(made)).tolist()
    if center == 0:
        yield Metric("tail_share", field=item.name, note="not measured: no value lies beyond the outer quantiles")
        return
    floor, roof = find_null_interval(null)
    assert floor is not None
    value, bar = float(tails[1].mean()), case.spec.quality.tail_coverage * center
    yield Metric(
        "tail_share", value, item.name, null_low=floor, null_high=roof,
        threshold=bar, level=judge(-value, act=-bar, watch=-(bar + center) / 2, null_high=-floor),
        n_real=len(real), n_synthetic=len(made), note=f"below {low:.6g} or above {high:.6g}; real {center:.3f}",
    )  # fmt: skip


def _compare_entropy(case: Case, name: str, real: np.ndarray, made: np.ndarray) -> Metric:
    if len(np.unique(real)) < 2:
        return Metric("entropy_drop", field=name, note="not measured: the anchor has one value only")
    return _compare_halves(case, "entropy_drop", name, real, made, _measure_entropy)


def _compare_halves(
    case: Case, metric: str, name: str, real: np.ndarray, made: np.ndarray, function: Callable[[np.ndarray], Any]
) -> Metric:
    """Return the relative fall of a function of a column, all samples being of one size."""
    rng = case.random(metric, name)
    size = min(len(real) // 2, len(made))
    is_log = function is np.var  # a fall is at most 1, a rise has no end: as logarithms both are as far
    compare = _log_fall if is_log else fall
    falls, null = [], []
    for _ in range(DRAWS):
        mixed = rng.permutation(real)
        base = float(function(mixed[:size]))
        if base > 0:
            null.append(compare(float(function(mixed[size : 2 * size])), base))
            falls.append(compare(float(function(rng.permutation(made)[:size])), base))
    if not falls:
        return Metric(metric, field=name, note="not measured: samples of the anchor are constant")
    low, high = find_null_interval(null)
    value = float(np.mean(falls))
    if is_log:
        value = _undo_log(value)
        low, high = (None if end is None else _undo_log(end) for end in (low, high))
    return Metric(
        metric, value, name, null_low=low, null_high=high, threshold=case.spec.quality.distinct_2_drop,
        level=judge_drop(value, case, high), n_real=len(real), n_synthetic=len(made), note=f"{size} values a side",
    )  # fmt: skip


def _log_fall(value: float, base: float) -> float:
    return -float(np.log(max(value / base, 1e-6)))


def _undo_log(fallen: float) -> float:
    return 1 - float(np.exp(-fallen))


def _measure_entropy(codes: np.ndarray) -> float:
    shares = np.unique(codes, return_counts=True)[1] / len(codes)
    return float(-np.sum(shares * np.log2(shares)))
