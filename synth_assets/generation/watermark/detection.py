"""Finding a language model's mark again: the green tokens among those that count, and what they prove.

Here: scoring pairs of tokens, and rows of text. Not here: tokens (tokens.py), the statistics (evidence.py), the green
list (green_list.py), rows of the embedded engines (rows.py).
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from synth_assets.generation.watermark.evidence import Detection, weigh_evidence
from synth_assets.generation.watermark.green_list import are_green
from synth_assets.generation.watermark.keys import Key
from synth_assets.generation.watermark.tokens import PAIRS_SCHEMA, pair_answers, tokenize_values
from synth_assets.spec import DatasetSpec, FieldSpec, WatermarkSpec


def detect_tokens(records: pl.Series, pairs: pl.DataFrame, key: Key, gamma: float) -> Detection:
    """Look for the mark in pairs of tokens.

    records: how the records are called, one entry each. pairs: record (position in `records`), previous, token, as
    tokens.py returns them. A pair counts once in a record and once in the pool.
    """
    distinct = pairs.select("previous", "token").unique(maintain_order=True)
    green = are_green(distinct["previous"].to_numpy(), distinct["token"].to_numpy(), key, gamma)
    scores = distinct.with_columns(green=pl.Series(green, dtype=pl.Boolean).cast(pl.Int64), scored=pl.lit(1, pl.Int64))
    unit = pl.struct("previous", "token").alias("unit")
    units = pairs.join(scores, on=["previous", "token"], how="left").select("record", unit, "scored", "green")
    return weigh_evidence(records, units, gamma)


def detect_texts(
    frame: pl.DataFrame, spec: DatasetSpec, key: Key, tokenizer: Path, *, gamma: float | None = None
) -> Detection:
    """Look for the mark in the free-text fields of rows: those of the spec that there are, and example_id if there.

    tokenizer: the folder of the model that wrote them, or its tokenizer.json. gamma: left out, the spec's. The tokens
    are what the tokenizer makes of the text now, which need not be what the model wrote: detect_answers loses nothing.
    """
    parts = [PAIRS_SCHEMA.to_frame()]
    written = [field.name for field in spec.content_fields if field.name not in spec.strata.by]
    for field in spec.text_fields:
        if field.name in frame.columns:
            texts, rows, name = _list_texts(frame[field.name], field)
            last = field.type == "messages" or field.name == written[-1]
            pairs = tokenize_values(texts, tokenizer, field=name, last=last)
            parts.append(pairs.with_columns(record=rows.gather(pairs["record"])))
    return detect_tokens(_name_records(frame), pl.concat(parts), key, _read_gamma(spec, gamma))


def detect_answers(
    frame: pl.DataFrame, spec: DatasetSpec, key: Key, tokenizer: Path, *, gamma: float | None = None
) -> Detection:
    """Look for the mark in the tokens that a model wrote: output_token_ids (List), null where they are not known.

    Other arguments as detect_texts.
    """
    fields = {"content" if field.type == "messages" else field.name for field in spec.text_fields}
    pairs = pair_answers(frame["output_token_ids"], fields, tokenizer)
    return detect_tokens(_name_records(frame), pairs, key, _read_gamma(spec, gamma))


def _list_texts(column: pl.Series, field: FieldSpec) -> tuple[pl.Series, pl.Series, str]:
    """Return the texts of a field, the row of each, and the JSON name before them; a message is a text."""
    rows = pl.DataFrame({"text": column}).with_row_index("row")
    if field.type != "messages":
        return rows["text"], rows["row"], field.name
    turns = rows.explode("text").with_columns(text=pl.col("text").struct.field("content"))
    return turns["text"], turns["row"], "content"


def _name_records(frame: pl.DataFrame) -> pl.Series:
    if "example_id" in frame.columns:
        return frame["example_id"]
    return pl.int_range(frame.height, dtype=pl.UInt32, eager=True)


def _read_gamma(spec: DatasetSpec, gamma: float | None) -> float:
    return (spec.generation.watermark or WatermarkSpec()).gamma if gamma is None else gamma
