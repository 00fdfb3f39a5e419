"""Cheap rules as column expressions: does a candidate fit its record, and does its text look like text?

Here: the record's own constraints, and length and repetition rules. Not here: anything that compares with other rows.
Repetition rules follow Gopher (Rae et al. 2021, arXiv 2112.11446, table A1), scaled to short texts.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from synth_assets.discriminators.protocol import verdicts_of
from synth_assets.generation.refusals import REFUSAL
from synth_assets.generation.requests import STOP
from synth_assets.records import content_text_expression, digest_text, messages_text, stratum_expression
from synth_assets.spec import DatasetSpec, FieldSpec

_MIN_WORDS_FOR_REPETITION = 10
_DAMAGE = "\ufffd|[\u0000-\u0008\u000b\u000c\u000e-\u001f]|Ã[\u0080-\u00bf]|â€"


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


@dataclass(frozen=True)
class TextRules:
    """Length, repetition, refusals and encoding damage in the free text of a candidate."""

    spec: DatasetSpec
    name: str = "text_rules"

    @property
    def version(self) -> str:
        return digest_text("text-1", self.spec.quality.model_dump_json(), size=6)

    def judge(self, candidates: pl.DataFrame) -> pl.DataFrame:
        quality = self.spec.quality
        measured = candidates.select("example_id", _text=content_text_expression(self.spec)).with_columns(
            _chars=pl.col("_text").str.len_chars(),
            _lines=_repeated_line_share(pl.col("_text")),
            _bigram=_top_bigram_share(pl.col("_text")),
            _refusal=pl.col("_text").str.extract(f"({REFUSAL})"),
            _damage=pl.col("_text").str.contains(_DAMAGE),
        )
        faults = [
            pl.when(pl.col("_chars") < quality.min_chars).then(pl.format("too_short:{} characters", "_chars")),
            pl.when(pl.col("_lines") > quality.max_repeated_line_share).then(pl.format("repeated_lines:{}", "_lines")),
            pl.when(pl.col("_bigram") > quality.max_top_bigram_share).then(pl.format("repeated_words:{}", "_bigram")),
            pl.when(pl.col("_refusal").is_not_null()).then(pl.format("boilerplate:{}", "_refusal")),
            pl.when(pl.col("_damage")).then(pl.lit("encoding_damage:control or mangled characters")),
        ]
        judged = measured.with_columns(_faults=pl.concat_str(faults, separator="; ", ignore_nulls=True))
        return verdicts_of(
            judged,
            passed=pl.col("_faults") == "",
            score=pl.max_horizontal("_lines", "_bigram"),
            threshold=quality.max_top_bigram_share,
            reason=pl.col("_faults").str.extract(r"^([a-z_]+)"),
            evidence=pl.col("_faults"),
        )


def _repeated_line_share(text: pl.Expr) -> pl.Expr:
    lines = text.str.split("\n").list.eval(pl.element().filter(pl.element().str.strip_chars() != ""))
    count = lines.list.len()
    return pl.when(count > 1).then(1 - lines.list.n_unique() / count).otherwise(0.0)


def _top_bigram_share(text: pl.Expr) -> pl.Expr:
    words = text.str.to_lowercase().str.extract_all(r"\S+")
    pairs = words.list.eval((pl.element() + " " + pl.element().shift(-1)).drop_nulls())
    # a pair seen once is no repetition: count what repeats of the most frequent pair
    top = pairs.list.eval(pl.element().value_counts().struct.field("count").max() - 1).list.first()
    return (
        pl.when(words.list.len() >= _MIN_WORDS_FOR_REPETITION)
        .then(top / pairs.list.len())
        .otherwise(0.0)
        .fill_null(0.0)
    )
