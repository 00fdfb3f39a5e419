"""Choosing the rows of a corpus: all accepted synthetic rows, and as many real ones as the share asks for.

Here: selection, weights, and the table of the mix per stratum. Not here: the gates that judge it (gates.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from synth_assets.errors import GateError
from synth_assets.records import (
    REAL,
    RELEASABLE,
    RELEASE_COLUMNS,
    SYNTHETIC,
    TRAIN,
    apportion,
    derive_uniforms,
    polars_schema,
)
from synth_assets.spec import DatasetSpec

AS_SEED = "real"


@dataclass(frozen=True)
class Mix:
    """rows: the corpus (RELEASE_COLUMNS and the released fields); strata: stratum, real, synthetic, share, floor, …"""

    rows: pl.DataFrame
    strata: pl.DataFrame


def mix_corpus(spec: DatasetSpec, seeds: pl.DataFrame, accepted: pl.DataFrame) -> Mix:
    """Mix real and accepted synthetic rows at the spec's share σ.

    `seeds`: seed rows (columns of the seeds asset). `accepted`: candidate columns plus review_status, each content
    once. Real rows: releasable train rows only, each once, n = round(S·(1−σ)/σ), per stratum at least
    min(real_floor, available) and otherwise in proportion to the real mix. Where real rows are short, they weigh more,
    up to the upsampling cap; where they still do not reach, synthetic rows are left out in request order.
    GateError if there is nothing to mix.
    """
    real = seeds.filter((pl.col("split") == TRAIN) & (pl.col("disposition") == RELEASABLE))
    if accepted.is_empty() or real.is_empty():
        raise GateError(
            f"{spec.name}: nothing to mix: {accepted.height:,} accepted synthetic and {real.height:,} releasable real "
            "training rows"
        )
    share, cap = spec.mix.share, spec.mix.upsampling_cap
    synthetic = _thin_synthetic(accepted, spec.mix.capacity(real.height))
    wanted_real = synthetic.height * (1 - share) / share
    chosen = _choose_real(spec, real, min(max(round(wanted_real), 1), real.height))
    weight = min(max(wanted_real / chosen.height, 1.0), cap)
    fields = list(polars_schema(spec.released_fields))
    real_rows = chosen.select(
        "example_id",
        "content_id",
        pl.lit(REAL).alias("origin"),
        "stratum",
        pl.lit(None, dtype=pl.String).alias("round"),
        pl.lit(None, dtype=pl.String).alias("generator_id"),
        pl.lit(None, dtype=pl.String).alias("prompt_id"),
        pl.lit([], dtype=pl.List(pl.String)).alias("seed_ids"),
        pl.lit(AS_SEED).alias("review_status"),
        pl.lit(weight).alias("weight"),
        *fields,
    )
    synthetic_rows = synthetic.select(
        "example_id",
        "content_id",
        pl.lit(SYNTHETIC).alias("origin"),
        "stratum",
        "round",
        "generator_id",
        "prompt_id",
        pl.col("prompted_by").alias("seed_ids"),
        "review_status",
        pl.lit(1.0).alias("weight"),
        *fields,
    )
    rows = pl.concat([real_rows, synthetic_rows]).cast({**RELEASE_COLUMNS})  # type: ignore[arg-type] - polars types a mapping invariantly.sort("example_id")
    return Mix(rows, describe_strata(spec, rows, seeds))


def describe_strata(spec: DatasetSpec, rows: pl.DataFrame, seeds: pl.DataFrame) -> pl.DataFrame:
    """Return stratum, real, synthetic, share, floor = min(declared, available), synthetic_only of every stratum."""
    available = (
        seeds.filter((pl.col("split") == TRAIN) & (pl.col("disposition") == RELEASABLE))
        .group_by("stratum")
        .agg(available=pl.len().cast(pl.Int64))
    )
    counted = rows.group_by("stratum").agg(
        real=(pl.col("origin") == REAL).sum().cast(pl.Int64),
        synthetic=(pl.col("origin") == SYNTHETIC).sum().cast(pl.Int64),
    )
    return (
        counted.join(available, on="stratum", how="full", coalesce=True)
        .with_columns(pl.col("real", "synthetic", "available").fill_null(0))
        .with_columns(
            share=pl.col("synthetic") / pl.max_horizontal(pl.col("synthetic") + pl.col("real"), 1),
            floor=pl.min_horizontal(pl.lit(spec.mix.real_floor, dtype=pl.Int64), "available"),
            synthetic_only=pl.col("stratum").is_in(list(spec.strata.synthetic_only)),
        )
        .sort("stratum")
    )


def _thin_synthetic(accepted: pl.DataFrame, most: int) -> pl.DataFrame:
    """Keep at most `most` rows, every stratum in proportion, the earliest first."""
    if accepted.height <= most:
        return accepted
    sizes = accepted.group_by("stratum").len().sort("stratum")
    kept = dict(zip(sizes["stratum"], apportion(most, sizes["len"].to_list()), strict=True))
    limit = pl.col("stratum").replace_strict(kept, return_dtype=pl.Int64)
    return accepted.filter(pl.int_range(pl.len()).over("stratum") < limit)


def _choose_real(spec: DatasetSpec, real: pl.DataFrame, wanted: int) -> pl.DataFrame:
    sizes = real.group_by("stratum").len().sort("stratum")
    available = sizes["len"].to_list()
    floors = [min(spec.mix.real_floor, size) for size in available]
    spare = [size - floor for size, floor in zip(available, floors, strict=True)]
    extra = apportion(min(max(wanted - sum(floors), 0), sum(spare)), spare)
    take = {s: f + e for s, f, e in zip(sizes["stratum"], floors, extra, strict=True)}
    order = pl.Series("_order", derive_uniforms(real["example_id"], spec.seed, "mix"))
    limit = pl.col("stratum").replace_strict(take, return_dtype=pl.Int64)
    return (
        real.with_columns(order)
        .sort("_order", "example_id")
        .filter(pl.int_range(pl.len()).over("stratum") < limit)
        .drop("_order")
    )
