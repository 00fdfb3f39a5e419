"""Fields one by one: categories, numbers, dates and the lengths of texts, as counts per stratum and cell.

Here: the cells, the statistics of both sides and of counts dealt out anew. Not here: what stands inside texts (texts),
several fields together (joint).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from synth_assets.monitoring.distances import (
    measure_cramers_v,
    measure_js_distance,
    measure_ks,
    measure_psi,
    measure_wasserstein,
)
from synth_assets.monitoring.diversity import TOKEN_PATTERN
from synth_assets.monitoring.features import (
    MISSING,
    code_categories,
    find_fields,
    read_categories,
    read_numbers,
    read_text,
    split_fields,
)
from synth_assets.monitoring.measures import Metric
from synth_assets.monitoring.shift.lost import Cells
from synth_assets.monitoring.shift.null import DRAWS, Finding, deal_counts
from synth_assets.monitoring.shift.strata import Pairing
from synth_assets.similarity import map_threads
from synth_assets.spec import DatasetSpec, FieldSpec, QualitySpec

BINS = 10
FINE_BINS = 200
MAX_CELLS = 50
MAX_VALUES = 500
MAX_DEALT = 50_000  # strata × cells that are dealt out
MIN_STRATUM_SIDE = 20
MAX_STRATA = 200
OTHER = "(other)"


@dataclass(frozen=True)
class View:
    """One field as counts: real and synthetic, shape (strata, cells).

    `bins[cell]` is the bin of a cell; PSI and Jensen–Shannon distance are those of the bins, `names`
    their names. Numbers have `places`, the mean value of every cell but the last (missing) in ascending order, and
    `exact`, the statistics over the values themselves. `codes` are the bins of the synthetic rows.
    """

    field: str
    prefix: str
    real: np.ndarray
    synthetic: np.ndarray
    weights: np.ndarray
    bins: np.ndarray
    names: tuple[str, ...]
    codes: np.ndarray
    note: str
    exact: dict[str, float]
    values: tuple[str, ...] = ()
    places: np.ndarray | None = None
    scale: float = 1.0

    @cached_property
    def cells(self) -> tuple[np.ndarray, np.ndarray]:
        """Weighted counts of both sides, shape (cells,)."""
        return self.weights @ self.real, self.synthetic.sum(axis=0).astype(np.float64)

    @cached_property
    def binned(self) -> tuple[np.ndarray, np.ndarray]:
        """Weighted counts of both sides, shape (bins,)."""
        return self.bin(self.cells[0]), self.bin(self.cells[1])

    def bin(self, counts: np.ndarray) -> np.ndarray:
        """Return counts of cells as counts of bins; shape (..., cells) → (..., bins)."""
        sums = np.zeros((*counts.shape[:-1], len(self.names)))
        for place in range(len(self.names)):
            sums[..., place] = counts[..., self.bins == place].sum(axis=-1)
        return sums

    def measure(self) -> dict[str, float]:
        """Return the statistics by their names without the prefix."""
        found = {name: float(value[()]) for name, value in self._measure(self.cells, self.binned).items()}
        return {**found, **self.exact}

    def _measure(
        self, cells: tuple[np.ndarray, np.ndarray], binned: tuple[np.ndarray, np.ndarray]
    ) -> dict[str, np.ndarray]:
        found = {"psi": measure_psi(*binned), "js_distance": measure_js_distance(*binned)}
        if self.places is None:
            return {**found, "cramers_v": measure_cramers_v(*binned)}
        known = [side[..., :-1] for side in cells]
        if any(not np.all(side.sum(axis=-1)) for side in known):
            return found
        return {
            **found,
            "ks": measure_ks(known[0], known[1]),
            "wasserstein": measure_wasserstein(known[0], known[1], self.places) / self.scale,
        }

    def judge(self, quality: QualitySpec, strata: tuple[str, ...], sizes: dict[str, Any], seed: int) -> list[Finding]:
        """Return the findings of the whole field and of its strata, from counts dealt out anew within strata."""
        rng = np.random.default_rng(seed)
        pooled = self.real + self.synthetic
        n_real, n_synthetic = self.real.sum(axis=1), self.synthetic.sum(axis=1)
        told = np.flatnonzero((n_real >= MIN_STRATUM_SIDE) & (n_synthetic >= MIN_STRATUM_SIDE))
        told = told[np.argsort(-n_synthetic[told], kind="stable")[:MAX_STRATA]] if len(strata) > 1 else told[:0]
        first, second = np.zeros((2, DRAWS, pooled.shape[1]))
        by_stratum: list[Finding] = []
        for place in range(len(strata)):
            synthetic = deal_counts(pooled[place], int(n_synthetic[place]), rng)
            real = pooled[place] - synthetic
            first += self.weights[place] * real
            second += synthetic
            if place in told:
                by_stratum.append(
                    Finding(
                        f"{self.prefix}js_distance",
                        float(measure_js_distance(self.bin(self.real[place]), self.bin(self.synthetic[place]))),
                        measure_js_distance(self.bin(real), self.bin(synthetic)),
                        self.field, strata[place], watch=quality.effect_watch, act=quality.effect_act, note=self.note,
                        n_real=int(n_real[place]), n_synthetic=int(n_synthetic[place]),
                    )
                )  # fmt: skip
        compared = self._measure(self.cells, self.binned)
        draws = self._measure((first, second), (self.bin(first), self.bin(second)))
        whole = [
            Finding(
                f"{self.prefix}{name}", self.exact.get(name, float(compared[name])), draws[name], self.field,
                watch=quality.psi_watch if name == "psi" else quality.effect_watch,
                act=quality.psi_act if name == "psi" else quality.effect_act,
                compared=float(compared[name]), note=self.note, **sizes,
            )
            for name in compared
            if name in draws
        ]  # fmt: skip
        return whole + by_stratum

    def find_lost(self) -> Cells | None:
        """Return the values that may be lost, of a field whose values have names."""
        if not self.values:
            return None
        keep = np.array([value != OTHER for value in self.values])
        names = [value for value in self.values if value != OTHER]
        return Cells.of_counts("lost_values", self.field, names, self.real[:, keep], self.synthetic[:, keep])

    def show_cells(self, pairing: Pairing, most: int = 3) -> Iterator[dict[str, Any]]:
        """Yield the bins that differ most, each with a synthetic row in it where these have more."""
        p, q = (side / max(side.sum(), 1) for side in self.binned)
        for i in np.argsort(-np.abs(p - q), kind="stable")[:most]:
            if p[i] != q[i]:
                rows = np.flatnonzero(self.codes == i)[:1] if q[i] > p[i] else []
                yield {
                    "kind": "shifted_cell",
                    "example_id": pairing.synthetic["example_id"][int(rows[0])] if len(rows) else None,
                    "value": float(q[i] - p[i]),
                    "note": f"{self.prefix}{self.field}: {self.names[i]} real {p[i]:.3f} synthetic {q[i]:.3f}",
                }


def view_fields(pairing: Pairing, spec: DatasetSpec) -> list[View | Metric]:
    """Return one view a field, in the order category, numeric, length of text; a Metric says what is not compared."""
    text, numeric, category = split_fields(find_fields(spec, pairing.real, pairing.synthetic))
    fixed = [item for item in category if item.name in spec.strata.by]

    def view(task: tuple[str, FieldSpec]) -> View | Metric:
        kind, item = task
        if kind == "category":
            return view_categories(item, pairing)
        prefix, read = ("", read_numbers) if kind == "numeric" else ("length_", _count_words)
        return view_numbers(item.name, prefix, read(pairing.real, item), read(pairing.synthetic, item), pairing)

    tasks = [("category", item) for item in category if item.name not in spec.strata.by]
    tasks += [("numeric", item) for item in numeric] + [("length", item) for item in text]
    note = "not measured: fixed by the strata, see stratum_mix_psi"
    return [Metric("psi", field=item.name, note=note) for item in fixed] + list(map_threads(view, tasks))


def view_categories(item: FieldSpec, pairing: Pairing) -> View:
    """Return a view of a category or boolean field: the 50 most frequent values, `(missing)` and `(other)`.

    The 500 most frequent values are cells, so that the loss of one is seen.
    """
    sides = [read_categories(side, item).alias("value") for side in (pairing.real, pairing.synthetic)]
    counted = pl.concat([side.value_counts() for side in sides]).group_by("value").agg(pl.col("count").sum())
    ordered = counted.filter(pl.col("value") != MISSING).sort("count", "value", descending=[True, False])
    values = (*ordered["value"].head(MAX_VALUES).to_list(), MISSING, OTHER)
    codes = [code_categories(side, values[:-1], other=len(values) - 1) for side in sides]
    shown = min(MAX_CELLS, len(values) - 2)
    bins = np.arange(len(values))
    bins = np.where(bins < shown, bins, np.where(bins == len(values) - 2, shown, shown + 1))
    real, synthetic = _count_cells(codes, len(values), pairing)
    return View(
        item.name, "", real, synthetic, pairing.weights, bins,
        (*values[:shown], MISSING, OTHER), bins[codes[1]], f"{ordered.height} values", {}, values=values,
    )  # fmt: skip


def view_numbers(name: str, prefix: str, real: np.ndarray, synthetic: np.ndarray, pairing: Pairing) -> View | Metric:
    """Return a view of numbers (NaN is missing): deciles of all rows, a value that a tenth of them share alone.

    The null of KS and Wasserstein distance takes the numbers in 200 such cells; the statistics of the rows
    themselves take every value.
    """
    values = np.concatenate([real, synthetic])
    groups = np.concatenate([pairing.real_groups, pairing.synthetic_groups])
    is_known = np.isfinite(values)
    known, side, group = values[is_known], np.flatnonzero(is_known) >= len(real), groups[is_known]
    if not len(known):
        return Metric(f"{prefix}psi", field=name, note="not measured: every value is missing")
    order = np.argsort(known)
    known, side, group = known[order], side[order], group[order]
    ends = np.flatnonzero(np.append(known[1:] != known[:-1], True))
    distinct, counts = known[ends], np.diff(ends, prepend=-1)
    coarse = find_ends(counts, BINS)
    fine = np.union1d(coarse, find_ends(counts, max(min(FINE_BINS, MAX_DEALT // len(pairing.strata)), 1)))
    edges = distinct[coarse]
    codes = np.searchsorted(distinct[fine], known, side="left")
    cells = len(fine) + 2
    counted = np.bincount(
        (side * len(pairing.strata) + group) * cells + codes, minlength=2 * len(pairing.strata) * cells
    ).reshape(2, len(pairing.strata), cells)
    for place, (column, of) in enumerate([(real, pairing.real_groups), (synthetic, pairing.synthetic_groups)]):
        counted[place, :, -1] = np.bincount(of[~np.isfinite(column)], minlength=len(pairing.strata))
    missing = len(coarse) + 1
    bins = np.append(np.searchsorted(coarse, np.append(fine, len(distinct) - 1), side="left"), missing)
    places = np.bincount(codes, known, cells - 1) / np.bincount(codes, minlength=cells - 1)
    exact, scale = _compare_values(known, ends, side, pairing.weights[group])
    return View(
        name, prefix, counted[0], counted[1], pairing.weights, bins, (*_name_bins(distinct, coarse), MISSING),
        np.where(np.isfinite(synthetic), np.searchsorted(edges, synthetic, side="left"), missing),
        f"{len(coarse) + 1} bins", exact, places=places, scale=scale,
    )  # fmt: skip


def find_ends(counts: np.ndarray, bins: int) -> np.ndarray:
    """Return the last value of every bin but the last: quantiles, with frequent values alone in a bin of their own.

    counts: rows of each distinct value, in ascending order of the values; ends are places in it. A value is frequent
    that a bin's share of the rows hold.
    """
    is_frequent = counts >= counts.sum() / bins
    frequent, rest = np.flatnonzero(is_frequent), np.flatnonzero(~is_frequent)
    reached = np.cumsum(counts[rest])
    left = int(reached[-1]) if len(rest) else 0
    wanted = max(round(bins * left / counts.sum()), 1)
    cuts = rest[np.searchsorted(reached, np.arange(1, wanted) / wanted * left, side="left")]
    ends = np.unique(np.concatenate([cuts, frequent, frequent - 1]))
    return ends[(ends >= 0) & (ends < len(counts) - 1)]


def _compare_values(
    known: np.ndarray, ends: np.ndarray, is_synthetic: np.ndarray, weights: np.ndarray
) -> tuple[dict[str, float], float]:
    """Return KS and Wasserstein distance over every value, and the standard deviation of the real ones."""
    mass = np.where(is_synthetic, 0.0, weights)
    real, made = mass.sum(), is_synthetic.sum()
    if not real or not made:
        return {}, 1.0
    mean = mass @ known / real
    held = known[mass > 0]  # in ascending order; of one value, rounding would leave a spread that is none
    spread = float(np.sqrt(mass @ (known - mean) ** 2 / real)) if held[0] < held[-1] else 0.0
    scale = spread or float(known.std()) or 1.0
    gaps = np.cumsum(mass / real - is_synthetic / made)[ends]
    distinct = known[ends]
    moved = float(np.abs(gaps[:-1]) @ np.diff(distinct))
    return {"ks": float(np.abs(gaps).max()), "wasserstein": moved / scale}, scale


def _count_cells(codes: list[np.ndarray], cells: int, pairing: Pairing) -> list[np.ndarray]:
    strata = len(pairing.strata)
    return [
        np.bincount(groups * cells + side, minlength=strata * cells).reshape(strata, cells)
        for side, groups in zip(codes, (pairing.real_groups, pairing.synthetic_groups), strict=True)
    ]


def _name_bins(distinct: np.ndarray, ends: np.ndarray) -> Iterator[str]:
    lows, highs = [-1, *ends], [*ends, len(distinct) - 1]
    for low, high in zip(lows, highs, strict=True):
        if high == low + 1:
            yield f"= {distinct[high]:.6g}"
        else:
            above = f"{distinct[low]:.6g}" if low >= 0 else "-inf"
            yield f"({above}, {distinct[high]:.6g}]" if high < len(distinct) - 1 else f"({above}, inf]"


def _count_words(frame: pl.DataFrame, item: FieldSpec) -> np.ndarray:
    counts = read_text(frame, [item]).str.count_matches(TOKEN_PATTERN)
    return counts.cast(pl.Float64).fill_null(np.nan).to_numpy()
