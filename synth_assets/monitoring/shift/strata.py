"""Strata: the mix against its plan, and which rows of both sides may be compared with each other.

Here: the stratum mix, weights that give real rows the synthetic mix, equally many rows of every stratum. Not here:
what is compared of them (fields, texts, joint).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from synth_assets.monitoring.distances import measure_psi, measure_total_variation
from synth_assets.monitoring.features import code_categories
from synth_assets.monitoring.measures import OK, WATCH, Metric
from synth_assets.monitoring.shift.lost import Cells
from synth_assets.monitoring.shift.null import DRAWS, Finding, deal_counts, permute_labels
from synth_assets.records import ALL_STRATUM, apportion, derive_seed
from synth_assets.spec import DatasetSpec

MIN_STRATUM_ROWS = 5
MATCHED_ROWS = 4_000


def compare_mix(
    real: pl.DataFrame, synthetic: pl.DataFrame, spec: DatasetSpec, plan: pl.DataFrame | None
) -> Iterator[Finding | Cells | Metric]:
    """Yield stratum_mix_psi, stratum_mix_tv and the strata that may be lost, against the plan or the real mix."""
    wanted = real["stratum"].value_counts(name="wanted") if plan is None else _read_plan(plan)
    against = "the real mix" if plan is None else "the plan"
    counts = (
        wanted.group_by("stratum")
        .agg(pl.col("wanted").sum().cast(pl.Int64))
        .join(synthetic["stratum"].value_counts(name="made"), on="stratum", how="full", coalesce=True)
        .fill_null(0)
        .sort("stratum")
    )
    planned, made = counts["wanted"].to_numpy(), counts["made"].to_numpy().astype(np.int64)
    if planned.sum() <= 0:
        yield Metric("stratum_mix_tv", note=f"not measured: {against} wants no rows")
        return
    rng = np.random.default_rng(derive_seed(spec.seed, "monitoring", "shift", "mix"))
    size = int(made.sum())
    names = tuple(counts["stratum"].to_list())
    if plan is None:
        draws = deal_counts(planned + made, size, rng)
        origins: np.ndarray = planned + made - draws
        cells = Cells.of_counts("lost_strata", "", names, planned[None, :], made[None, :])
    else:  # a plan is exact, so only the synthetic rows vary
        shares = planned / planned.sum()
        draws, origins = rng.multinomial(size, shares, size=DRAWS), planned
        cells = Cells.of_shares("lost_strata", "", names, shares, made, real.height)
    common: dict[str, Any] = {
        "n_real": real.height, "n_synthetic": synthetic.height, "note": f"{len(counts)} strata against {against}",
    }  # fmt: skip
    quality = spec.quality
    yield Finding(
        "stratum_mix_psi", float(measure_psi(planned, made)), measure_psi(origins, draws),
        watch=quality.psi_watch, act=quality.psi_act, **common,
    )  # fmt: skip
    yield Finding(
        "stratum_mix_tv", float(measure_total_variation(planned, made)), measure_total_variation(origins, draws),
        watch=quality.mix_act / 2, act=quality.mix_act, **common,
    )  # fmt: skip
    yield cells


def _read_plan(plan: pl.DataFrame) -> pl.DataFrame:
    before = pl.col("accepted_before") if "accepted_before" in plan.columns else pl.lit(0)
    return plan.select("stratum", wanted=(pl.col("target") + before).cast(pl.Int64))


@dataclass(frozen=True)
class Pairing:
    """Real and synthetic rows of the strata that can be compared.

    groups are the places of the rows' strata in `strata`; `weights` (one a stratum) gives the real rows the
    synthetic mix, their sum the number of real rows.
    """

    real: pl.DataFrame
    synthetic: pl.DataFrame
    strata: tuple[str, ...]
    real_groups: np.ndarray
    synthetic_groups: np.ndarray
    weights: np.ndarray
    uncovered: Metric
    seed: int

    @property
    def sizes(self) -> dict[str, Any]:
        return {"n_real": self.real.height, "n_synthetic": self.synthetic.height}

    @cached_property
    def matched(self) -> Matched:
        """Equally many rows of every stratum on both sides, at most MATCHED_ROWS a side."""
        rng = np.random.default_rng(derive_seed(self.seed, "matched"))
        n_real, n_synthetic = (
            np.bincount(groups, minlength=len(self.strata)) for groups in (self.real_groups, self.synthetic_groups)
        )
        sizes = np.minimum(n_real, n_synthetic)
        if sizes.sum() > MATCHED_ROWS:
            sizes = np.array(apportion(MATCHED_ROWS, sizes.tolist()))
        first, second = (_pick(groups, sizes, rng) for groups in (self.real_groups, self.synthetic_groups))
        rows = pl.concat([self.real[first], self.synthetic[second]], how="diagonal_relaxed")
        groups = np.concatenate([self.real_groups[first], self.synthetic_groups[second]])
        labels = permute_labels(np.repeat([0, 1], [len(first), len(second)]), groups, rng)
        return Matched(rows, groups, labels, self.strata)


@dataclass(frozen=True)
class Matched:
    """Rows of both sides, the real ones first, equally many of every stratum.

    labels: 1 for synthetic; the true ones, then DRAWS permutations within strata; shape (1 + DRAWS, rows), float32.
    """

    rows: pl.DataFrame
    groups: np.ndarray
    labels: np.ndarray
    strata: tuple[str, ...]

    @property
    def size(self) -> int:
        """Rows of one side."""
        return self.rows.height // 2

    @property
    def sizes(self) -> dict[str, Any]:
        return {"n_real": self.size, "n_synthetic": self.size}

    def center(self, columns: np.ndarray) -> np.ndarray:
        """Return the columns less their mean within the stratum."""
        sums = np.zeros((len(self.strata), columns.shape[1]), dtype=columns.dtype)
        np.add.at(sums, self.groups, columns)
        counts = np.maximum(np.bincount(self.groups, minlength=len(self.strata)), 1)
        return columns - (sums / counts[:, None].astype(columns.dtype))[self.groups]


def pair_strata(real: pl.DataFrame, synthetic: pl.DataFrame, seed: int, bar: float = 1.0) -> Pairing:
    """Keep the strata with at least five real rows and any synthetic one.

    Where these hold less than half of the synthetic rows, all rows are one stratum. bar: the share of synthetic rows
    outside them from which uncovered_share is watched.
    """
    counts = real["stratum"].value_counts(name="n").filter(pl.col("n") >= MIN_STRATUM_ROWS)
    large = counts.filter(pl.col("stratum").is_in(synthetic["stratum"].unique().implode()))["stratum"].sort()
    note = (
        f"share of synthetic rows in strata with fewer than {MIN_STRATUM_ROWS} real rows: not compared field by field"
    )
    if 2 * int(synthetic["stratum"].is_in(large.implode()).sum()) < synthetic.height:
        note = f"strata of {MIN_STRATUM_ROWS} real rows hold less than half of the synthetic: all are compared as one"
        real, synthetic = (frame.with_columns(stratum=pl.lit(ALL_STRATUM)) for frame in (real, synthetic))
        large = pl.Series("stratum", [ALL_STRATUM])
    total = synthetic.height
    real, synthetic = (frame.filter(pl.col("stratum").is_in(large.implode())) for frame in (real, synthetic))
    names = large.to_list()
    real_groups, groups = (code_categories(frame["stratum"], names) for frame in (real, synthetic))
    n_real, n_synthetic = (np.bincount(side, minlength=len(names)) for side in (real_groups, groups))
    weights = n_synthetic / n_synthetic.sum() / n_real * real.height
    share = 1 - synthetic.height / total
    uncovered = Metric(
        "uncovered_share", share, threshold=bar, level=WATCH if share > bar else OK, n_real=real.height,
        n_synthetic=synthetic.height, note=note,
    )  # fmt: skip
    return Pairing(real, synthetic, tuple(names), real_groups, groups, weights, uncovered, seed)


def _pick(groups: np.ndarray, sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return row indices, sizes[g] of group g, drawn at random."""
    order = np.lexsort((rng.random(len(groups)), groups))
    counts = np.bincount(groups, minlength=len(sizes))
    rank = np.arange(len(groups)) - np.repeat(np.cumsum(counts) - counts, counts)
    return order[rank < sizes[groups[order]]]
