"""The record's own rules as column expressions: types, bounds, allowed values, lengths, constraints, stratum.

Here: whether a candidate fits its record. Not here: whether its text reads like text (rules.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from synth_assets.discriminators.protocol import verdicts_of
from synth_assets.generation.requests import STOP
from synth_assets.records import digest_text, messages_text, stratum_expression
from synth_assets.spec import DatasetSpec, FieldSpec


@dataclass(frozen=True)
class RecordRules:
    """Types, bounds, allowed values, lengths, constraints and stratum of the record; complete completions only."""

    spec: DatasetSpec
    name: str = "record"

    @property
    def version(self) -> str:
        return digest_text("record-1", self.spec.model_dump_json(include={"fields", "constraints", "strata"}), size=6)

    def judge(self, candidates: pl.DataFrame) -> pl.DataFrame:
        faults = [
            pl.when(pl.col("finish_reason") != STOP).then(pl.format("finish:{}", "finish_reason")),
            *(fault for field in self.spec.content_fields for fault in _field_faults(field)),
            *(
                pl.when(~pl.sql_expr(condition).fill_null(True)).then(pl.lit(f"constraint:{condition}"))
                for condition in self.spec.constraints
            ),
            pl.when(stratum_expression(self.spec) != pl.col("stratum")).then(
                pl.lit("stratum:differs from the request")
            ),
        ]
        joined = pl.concat_str(faults, separator="; ", ignore_nulls=True)
        judged = candidates.with_columns(_faults=joined)
        return verdicts_of(
            judged,
            passed=pl.col("_faults") == "",
            score=(pl.col("_faults") != "").cast(pl.Float64),
            threshold=0.0,
            reason=pl.col("_faults").str.extract(r"^([a-z_]+)"),
            evidence=pl.col("_faults"),
        )


def _field_faults(field: FieldSpec) -> list[pl.Expr]:
    column = pl.col(field.name)
    faults = []
    if not field.nullable:
        faults.append(pl.when(column.is_null()).then(pl.lit(f"missing:{field.name}")))
    if field.values is not None:
        faults.append(
            pl.when(~column.is_in(list(field.values))).then(pl.format(f"not_allowed:{field.name}={{}}", column))
        )
    if field.minimum is not None:
        faults.append(pl.when(column < field.minimum).then(pl.format(f"too_small:{field.name}={{}}", column)))
    if field.maximum is not None:
        faults.append(pl.when(column > field.maximum).then(pl.format(f"too_large:{field.name}={{}}", column)))
    if field.is_free_text:
        text = messages_text(column) if field.type == "messages" else column
        length = text.str.len_chars()
        faults.append(pl.when(length > field.max_length).then(pl.format(f"too_long:{field.name}={{}}", length)))
        if field.type != "messages":
            faults.append(pl.when(length < field.min_length).then(pl.format(f"too_short:{field.name}={{}}", length)))
    return faults
