"""Fixes: what reviewers made of examples that were nearly right, as new examples that the cascade judges again.

Here: which edits of a concluded review count, typing them, their ids and lineage, and what became of each. Not here:
storing edits (edits.py), the discriminators, whether a fix joins the corpus (provenance/ledger.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import polars as pl

from synth_assets.discriminators.cascade import Filtering
from synth_assets.discriminators.protocol import VERDICT_SCHEMA
from synth_assets.records import (
    IDENTITY_COLUMNS,
    LINEAGE_COLUMNS,
    SYNTHETIC,
    add_content_ids,
    content_text_expression,
    digest_column,
    polars_schema,
    stratum_expression,
)
from synth_assets.review.decisions import EDITED, FLAG, HUMAN, REJECT
from synth_assets.seeds.columns import convert_column
from synth_assets.seeds.files import Fault
from synth_assets.seeds.parsing import parse_json
from synth_assets.spec import DatasetSpec

ACCEPTED = "accepted"
REJECTED = "rejected"
ASIDE = "aside"
_SHOWN = 80

FIX_COLUMNS: dict[str, pl.DataType] = {
    "edit_id": pl.String(),
    "original_id": pl.String(),
    "example_id": pl.String(),
    "reviewer": pl.String(),
    "state": pl.String(),
    "reason": pl.String(),
    "detail": pl.String(),
}


@dataclass(frozen=True)
class Fixes:
    """What became of the edits of a round.

    edits: FIX_COLUMNS, one row an edit that stands, by edit_id. state: accepted; rejected, by the discriminator that
    `detail` names first; or aside, never judged, with an example_id of null. reason is empty for accepted ones.
    rows: the examples that were judged, with the columns of candidates and quality (null where rejected).
    verdicts: those of the cascade on them.
    """

    edits: pl.DataFrame
    rows: pl.DataFrame
    verdicts: pl.DataFrame


def make_fixes(
    edits: pl.DataFrame,
    decisions: pl.DataFrame,
    kept: pl.DataFrame,
    spec: DatasetSpec,
    *,
    round_: str,
    strata: Iterable[str],
    judge: Callable[[pl.DataFrame], Filtering],
) -> Fixes:
    """Make an example of the last edit of each original, and have it judged; the others are set aside.

    `edits`: those that stand, in the order they were stored (DecisionStore.edits). `decisions`: what was decided
    (session.SNAPSHOT). `kept`: the rows that were reviewed, with the columns of candidates. `strata`: those that the
    round plans for. `judge`: the cascade, called once and only if there is something to judge.

    A fix has the lineage of its original, which is its only parent, and the stratum its own values name. Its
    example_id is the hash of data set, round, original and edit. No watermark key stands on text that was changed.

    Reasons to set an edit aside: bad_json, not_an_object and those of seeds/columns.py (wrong_type, missing_field,
    too_long, not_allowed …) where it is no record; superseded by a later edit; rejected_by_another where somebody
    else rejected or flagged the original and did not mend it; unchanged; unplanned_stratum.
    """
    records, faults = _read_records(edits["content"])
    columns: list[pl.Series] = []
    for field in spec.content_fields:
        values = [record.get(field.name) for record in records]
        column, found = convert_column(values, field, textual=False, dialect=spec.source.csv)
        columns.append(column)
        faults = {**found, **faults}
    keys = edits.select(pl.format("{}#{}", "example_id", "edit_id")).to_series()
    typed = pl.DataFrame(columns).with_columns(
        digest_column(keys, spec.name, round_, EDITED).alias("example_id"), edits["example_id"].alias("_original")
    )
    made = _with_lineage(typed, kept, spec)
    told = _tell_aside(edits, decisions, faults, made, set(strata))
    examples = made.filter(told["reason"] == "").select(*IDENTITY_COLUMNS, *LINEAGE_COLUMNS, *_fields(spec))
    judged = judge(examples) if examples.height else Filtering(_no_examples(spec), pl.DataFrame(schema=VERDICT_SCHEMA))
    quality = judged.survivors.select("example_id", "quality")
    return Fixes(
        edits=_tell_outcomes(edits, told, made, judged.verdicts),
        rows=examples.join(quality, on="example_id", how="left", maintain_order="left"),
        verdicts=judged.verdicts,
    )


def _fields(spec: DatasetSpec) -> dict[str, pl.DataType]:
    return polars_schema(spec.content_fields)


def _no_examples(spec: DatasetSpec) -> pl.DataFrame:
    return pl.DataFrame(schema={**IDENTITY_COLUMNS, **LINEAGE_COLUMNS, **_fields(spec), "quality": pl.Float64})


def _read_records(contents: pl.Series) -> tuple[list[dict[str, Any]], dict[int, Fault]]:
    """A loop over rows on purpose: each JSON text has its own fault."""
    records: list[dict[str, Any]] = []
    faults: dict[int, Fault] = {}
    for position, text in enumerate(contents):
        value = parse_json(text)
        if not isinstance(value, dict):
            faults[position] = value if isinstance(value, Fault) else Fault("not_an_object", "an object is expected")
            value = {}
        records.append(value)
    return records, faults


def _with_lineage(typed: pl.DataFrame, kept: pl.DataFrame, spec: DatasetSpec) -> pl.DataFrame:
    text = content_text_expression(spec)
    origin = kept.select(
        pl.col("example_id").alias("_original"), *LINEAGE_COLUMNS, _content="content_id", _text=text
    ).with_columns(parents=pl.concat_list("_original"))
    joined = typed.join(origin, on="_original", how="left", maintain_order="left")
    return add_content_ids(joined, spec).with_columns(
        stratum_expression(spec).alias("stratum"),
        origin=pl.lit(SYNTHETIC),
        watermark_key_id=pl.when(text.eq_missing(pl.col("_text"))).then("watermark_key_id"),
    )


def _tell_aside(
    edits: pl.DataFrame, decisions: pl.DataFrame, faults: dict[int, Fault], made: pl.DataFrame, strata: set[str]
) -> pl.DataFrame:
    """Return reason and detail of each edit; both are empty where it becomes an example."""
    others = (
        decisions.filter(pl.col("decision").is_in([REJECT, FLAG]) & (pl.col("reviewer_kind") == HUMAN))
        .join(edits, on=["example_id", "reviewer"], how="anti")
        .group_by("example_id")
        .agg(_who=pl.col("reviewer").sort().str.join(", "))
    )
    at = range(edits.height)
    told = edits.join(others, on="example_id", how="left", maintain_order="left").with_columns(
        _same=made["content_id"] == made["_content"],
        _stratum=made["stratum"],
        _fault=pl.Series([faults[row].reason if row in faults else None for row in at], dtype=pl.String),
        _told=pl.Series([faults[row].detail if row in faults else None for row in at], dtype=pl.String),
    )
    cases = [
        (~pl.col("example_id").is_last_distinct(), pl.lit("superseded"), pl.lit("a later edit of it stands")),
        (pl.col("_who").is_not_null(), pl.lit("rejected_by_another"), pl.format("rejected or flagged by {}", "_who")),
        (pl.col("_fault").is_not_null(), pl.col("_fault"), pl.col("_told")),
        (pl.col("_same"), pl.lit("unchanged"), pl.lit("its content is that of the original")),
        (
            ~pl.col("_stratum").is_in(sorted(strata)),
            pl.lit("unplanned_stratum"),
            pl.format("the round plans nothing for the stratum {}", pl.col("_stratum").str.slice(0, _SHOWN)),
        ),
    ]
    return told.select(
        reason=pl.coalesce(*(pl.when(case).then(code) for case, code, _ in cases), pl.lit("")),
        detail=pl.coalesce(*(pl.when(case).then(text) for case, _, text in cases), pl.lit("")),
    )


def _tell_outcomes(edits: pl.DataFrame, told: pl.DataFrame, made: pl.DataFrame, verdicts: pl.DataFrame) -> pl.DataFrame:
    failed = verdicts.filter(~pl.col("passed")).select(
        "example_id", _reason="reason", _detail=pl.format("{}: {}", "discriminator", "evidence")
    )
    aside, fell = pl.col("reason") != "", pl.col("_reason").is_not_null()
    return (
        edits.select("edit_id", "reviewer", original_id="example_id")
        .with_columns(made["example_id"], told["reason"], told["detail"])
        .join(failed, on="example_id", how="left", maintain_order="left")
        .with_columns(
            pl.when(~aside).then("example_id").alias("example_id"),
            state=pl.when(aside).then(pl.lit(ASIDE)).when(fell).then(pl.lit(REJECTED)).otherwise(pl.lit(ACCEPTED)),
            reason=pl.coalesce("_reason", "reason"),
            detail=pl.coalesce("_detail", "detail"),
        )
        .select(*FIX_COLUMNS)
        .sort("edit_id")
    )
