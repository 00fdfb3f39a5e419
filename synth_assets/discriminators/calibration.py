"""Thresholds from real data: what each setting of the quality contract would reject of real rows, and what to write.

Here: judging real steering rows as if they were candidates, setting by setting. Not here: the discriminators, freezing
the contract (seeds/contract.py), printing (cli/contract.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import polars as pl

from synth_assets.discriminators.cascade import Cascade, Known, build_discriminator, run_cascade
from synth_assets.discriminators.protocol import Discriminator
from synth_assets.generation.requests import STOP
from synth_assets.records import RELEASABLE, STEERING, TRAIN
from synth_assets.spec import DatasetSpec


@dataclass(frozen=True)
class Setting:
    """A threshold of `quality`: the discriminator that keeps it and values to try, from lenient to strict."""

    clause: str
    discriminator: str
    values: tuple[Any, ...]


SETTINGS = (
    Setting("min_chars", "text_rules", (0, 3, 10, 20, 40)),
    Setting("max_repeated_line_share", "text_rules", (0.8, 0.5, 0.3, 0.15)),
    Setting("max_top_bigram_share", "text_rules", (0.5, 0.3, 0.2, 0.1)),
    Setting("near_duplicate_jaccard", "duplicates", (0.95, 0.9, 0.8, 0.7, 0.6)),
    Setting("leak_ngram", "leakage", (13, 10, 8, 6, 5)),
    Setting("leak_surprise", "leakage", (60.0, 40.0, 30.0, 25.0, 20.0, 10.0)),
    Setting("language_certainty", "language", (1.0, 0.99, 0.95, 0.9, 0.8, 0.7)),
    Setting("perplexity_false_reject", "perplexity", (0.0005, 0.0015, 0.005, 0.01, 0.02)),
    Setting("label_false_reject", "labels", (0.001, 0.003, 0.006, 0.01, 0.02, 0.05)),
    Setting("semantic_duplicate_cosine", "semantic_duplicates", (0.99, 0.98, 0.97, 0.95, 0.93, 0.9)),
)


@dataclass(frozen=True)
class Calibration:
    """trade_off: clause, value, in_force, real_rejected, candidates_rejected (shares; null without candidates).

    proposed: the strictest value tried of each clause that rejects no more of the real rows than allowed, or than one
    of them. by_reason: contract (in force | proposed), discriminator, reason, real_rejected: what the whole cascade
    rejects, as shares. real_rows: how many there are.
    """

    trade_off: pl.DataFrame
    proposed: dict[str, Any]
    by_reason: pl.DataFrame
    real_rows: int


def calibrate_contract(
    spec: DatasetSpec,
    seeds: pl.DataFrame,
    root: Path,
    *,
    allowed: float,
    candidates: pl.DataFrame | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> Calibration:
    """Return what each setting rejects of the releasable steering rows, seen by no discriminator, and of `candidates`.

    Everything is fitted on and compared with the train split alone. `allowed`: the share of real rows that a setting
    may reject by itself. `report` is told each clause as it is tried.
    """
    train = Known(seeds.filter(pl.col("split") == TRAIN), root)
    is_real = (pl.col("split") == STEERING) & (pl.col("disposition") == RELEASABLE)
    real = seeds.filter(is_real).with_columns(finish_reason=pl.lit(STOP))
    rows: list[dict[str, Any]] = []
    proposed: dict[str, Any] = {}
    for setting in SETTINGS:
        if build_discriminator(setting.discriminator, spec, train) is None:
            continue
        report(setting.clause)
        tried = [_try(setting, value, spec, train, real, candidates) for value in _values(setting, spec)]
        rows += tried
        proposed[setting.clause] = _propose(tried, setting, max(allowed, 1 / max(real.height, 1)))
    report("the whole cascade")
    reasons = [
        _count_reasons(real, Cascade.build(each, train)).select(pl.lit(name).alias("contract"), pl.all())
        for name, each in (("in force", spec), ("proposed", vary(spec, proposed)))
    ]
    return Calibration(pl.DataFrame(rows, schema=_SCHEMA), proposed, pl.concat(reasons), real.height)


_SCHEMA = {
    "clause": pl.String,
    "value": pl.Float64,
    "in_force": pl.Boolean,
    "real_rejected": pl.Float64,
    "candidates_rejected": pl.Float64,
}


def vary(spec: DatasetSpec, values: dict[str, Any]) -> DatasetSpec:
    """Return the spec with other values of its quality contract."""
    return spec.model_copy(update={"quality": spec.quality.model_copy(update=values)})


def _values(setting: Setting, spec: DatasetSpec) -> list[Any]:
    """Return the values to try and the one in force, from lenient to strict."""
    is_rising = setting.values[-1] > setting.values[0]
    return sorted({*setting.values, getattr(spec.quality, setting.clause)}, reverse=not is_rising)


def _try(
    setting: Setting, value: Any, spec: DatasetSpec, train: Known, real: pl.DataFrame, candidates: pl.DataFrame | None
) -> dict[str, Any]:
    one = build_discriminator(setting.discriminator, vary(spec, {setting.clause: value}), train)
    assert one is not None
    return {
        "clause": setting.clause,
        "value": value,
        "in_force": value == getattr(spec.quality, setting.clause),
        "real_rejected": _share(real, [one]),
        "candidates_rejected": None if candidates is None else _share(candidates, [one]),
    }


def _share(rows: pl.DataFrame, discriminators: Sequence[Discriminator]) -> float:
    """Return the share of the rows that the discriminators reject; 0 where there are no rows."""
    if rows.is_empty():
        return 0.0
    return 1 - run_cascade(rows, discriminators).survivors.height / rows.height


def _count_reasons(rows: pl.DataFrame, cascade: Cascade) -> pl.DataFrame:
    """Return discriminator, reason, real_rejected: the shares of the rows that fall, largest first."""
    verdicts = run_cascade(rows, cascade.discriminators).verdicts.filter(~pl.col("passed"))
    counts = verdicts.group_by("discriminator", "reason").agg(real_rejected=pl.len() / max(rows.height, 1))
    return counts.sort("real_rejected", "discriminator", "reason", descending=[True, False, False])


def _propose(tried: Sequence[dict[str, Any]], setting: Setting, allowed: float) -> Any:
    """Return the last value, from lenient to strict, up to which the real rows rejected stay within what is allowed."""
    fitting = list(takewhile(lambda row: row["real_rejected"] <= allowed, tried))
    return type(setting.values[0])((fitting or tried)[-1 if fitting else 0]["value"])
