"""The example record: its columns, its canonical form, its ids, and the random numbers derived from them.

Here: what every stage must agree on about one example. Not here: how records are read (seeds/), made (generation/)
or stored (store.py).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from synth_assets.spec import DatasetSpec, FieldSpec

REAL = "real"
SYNTHETIC = "synthetic"
STRATUM_SEPARATOR = "|"
ALL_STRATUM = "all"

RELEASABLE = "releasable"
SYNTHESIS_ONLY = "synthesis_only"
EXCLUDED = "excluded"

TRAIN = "train"
STEERING = "steering"
SEALED = "sealed"
SPLITS = (TRAIN, STEERING, SEALED)

MESSAGES = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))

POLARS_TYPES: dict[str, pl.DataType] = {
    "text": pl.String(),
    "category": pl.String(),
    "code": pl.String(),
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "boolean": pl.Boolean(),
    "date": pl.Date(),
    "messages": MESSAGES,
}

IDENTITY_COLUMNS: dict[str, pl.DataType] = {
    "example_id": pl.String(),
    "content_id": pl.String(),
    "origin": pl.String(),
    "stratum": pl.String(),
}

LINEAGE_COLUMNS: dict[str, pl.DataType] = {
    "round": pl.String(),
    "request_id": pl.String(),
    "attempt": pl.Int32(),
    "prompted_by": pl.List(pl.String()),
    "generator_id": pl.String(),
    "trained_on": pl.String(),
    "prompt_id": pl.String(),
    "parameters": pl.String(),
    "seed": pl.Int64(),
    "watermark_key_id": pl.String(),
    "parents": pl.List(pl.String()),
    "finish_reason": pl.String(),
    "prompt_tokens": pl.Int32(),
    "output_tokens": pl.Int32(),
}

RELEASE_COLUMNS: dict[str, pl.DataType] = {
    **IDENTITY_COLUMNS,
    "round": pl.String(),
    "generator_id": pl.String(),
    "prompt_id": pl.String(),
    "seed_ids": pl.List(pl.String()),
    "review_status": pl.String(),
    "weight": pl.Float64(),
}

RESERVED_NAMES = frozenset(
    {*IDENTITY_COLUMNS, *LINEAGE_COLUMNS, *RELEASE_COLUMNS}
    | {"split", "disposition", "reason", "source_file", "source_line", "occurrence", "cluster", "license", "consent"}
    | {"copies", "dataset", "is_private", "pii", "discriminator", "passed", "score", "threshold", "evidence"}
)


def polars_schema(fields: Iterable[FieldSpec]) -> dict[str, pl.DataType]:
    """Return the polars column types of a record, in field order."""
    return {field.name: POLARS_TYPES[field.type] for field in fields}


def digest_text(*parts: object, size: int = 16) -> str:
    """Return the hex BLAKE2b digest of the parts, joined unambiguously; 2·size characters."""
    text = "\x1f".join(str(part) for part in parts)
    return hashlib.blake2b(text.encode(), digest_size=size).hexdigest()


def digest_column(texts: pl.Series, *salt: object, size: int = 16) -> pl.Series:
    """Return one hex BLAKE2b digest a row of a String column, salted; a null counts as the empty string.

    A loop over rows on purpose: polars' own hash is not stable across versions, and ids must be.
    """
    base = hashlib.blake2b("\x1f".join(str(part) for part in salt).encode() + b"\x1e", digest_size=size)

    def one(text: str | None) -> str:
        state = base.copy()
        state.update((text or "").encode())
        return state.hexdigest()

    return pl.Series(texts.name, [one(text) for text in texts.to_list()], dtype=pl.String)


def derive_seed(*parts: object) -> int:
    """Return a 63-bit seed from the parts: every random choice of the platform starts here."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def derive_seeds(ids: Sequence[str] | pl.Series, *salt: object) -> np.ndarray:
    """Return one 63-bit seed an id, shape (n,), dtype int64; depends on the id and the salt, never on the order."""
    base = hashlib.blake2b("\x1f".join(str(part) for part in salt).encode() + b"\x1e", digest_size=8)

    def one(text: str) -> int:
        state = base.copy()
        state.update(text.encode())
        return int.from_bytes(state.digest(), "big") >> 1

    return np.fromiter((one(text) for text in ids), dtype=np.int64, count=len(ids))


def derive_uniforms(ids: Sequence[str] | pl.Series, *salt: object) -> np.ndarray:
    """Return one number in [0, 1) an id, shape (n,), dtype float64: a stable random order or a coin."""
    return derive_seeds(ids, *salt).astype(np.float64) / float(2**63)


def canonical_expression(fields: Iterable[FieldSpec]) -> pl.Expr:
    """Return the canonical JSON of a record's content as one String expression.

    Text is NFC and stripped, −0.0 is 0.0, NaN is null, fields are in spec order, ids are left out.
    """
    columns: list[pl.Expr] = []
    for field in fields:
        if field.role == "id":
            continue
        column = pl.col(field.name)
        dtype = POLARS_TYPES[field.type]
        if dtype == pl.String:
            column = column.str.normalize("NFC").str.strip_chars()
        elif dtype == pl.Float64:
            column = pl.when(column == 0).then(0.0).otherwise(column).fill_nan(None)
        columns.append(column.alias(field.name))
    return pl.struct(columns).struct.json_encode()


def add_content_ids(frame: pl.DataFrame, spec: DatasetSpec) -> pl.DataFrame:
    """Return the frame with `content_id`: 32 hex digits, equal for equal content, real or synthetic."""
    canonical = frame.select(canonical_expression(spec.fields).alias("content_id")).to_series()
    return frame.with_columns(digest_column(canonical))


def add_real_ids(frame: pl.DataFrame, spec: DatasetSpec) -> pl.DataFrame:
    """Return the frame with example_id, content_id, origin, stratum and occurrence of real rows.

    example_id = hash(dataset, content, occurrence), occurrence counted in the frame's order from 0.
    """
    frame = add_content_ids(frame, spec).with_columns(
        occurrence=pl.int_range(pl.len(), dtype=pl.Int64).over("content_id")
    )
    keys = frame.select(pl.format("{}#{}", "content_id", "occurrence")).to_series()
    return frame.with_columns(
        digest_column(keys, spec.name, REAL).alias("example_id"),
        stratum_expression(spec).alias("stratum"),
        pl.lit(REAL).alias("origin"),
    )


def synthetic_ids(dataset: str, round_: str, request_ids: pl.Series, attempts: pl.Series) -> pl.Series:
    """Return example_id = hash(dataset, round, request, attempt) of synthetic rows."""
    keys = pl.DataFrame({"r": request_ids, "a": attempts}).select(pl.format("{}#{}", "r", "a")).to_series()
    return digest_column(keys, dataset, round_, SYNTHETIC).alias("example_id")


def stratum_expression(spec: DatasetSpec) -> pl.Expr:
    """Return the stratum of a record: the strata fields' values joined by `|`, `all` where the spec names none."""
    if not spec.strata.by:
        return pl.lit(ALL_STRATUM)
    parts = [pl.col(name).cast(pl.String).fill_null("(none)") for name in spec.strata.by]
    return pl.concat_str(parts, separator=STRATUM_SEPARATOR)


def content_text_expression(spec: DatasetSpec, roles: Iterable[str] | None = None) -> pl.Expr:
    """Return the free text of a record (text, code and messages fields joined by a line feed) as one String column."""
    wanted = set(roles) if roles is not None else None
    parts = [
        messages_text(pl.col(field.name)) if field.type == "messages" else pl.col(field.name)
        for field in spec.text_fields
        if wanted is None or field.role in wanted
    ]
    if not parts:
        return pl.lit("")
    return pl.concat_str(parts, separator="\n", ignore_nulls=True)


def messages_text(column: pl.Expr) -> pl.Expr:
    """Return a messages column as text: the contents joined by line feeds, roles left out."""
    return column.list.eval(pl.element().struct.field("content")).list.join("\n", ignore_nulls=True)


def apportion(total: int, weights: Sequence[float]) -> list[int]:
    """Return integers that sum to `total`, proportional to the weights (largest remainder, ties by position)."""
    scale = math.fsum(weights)
    if total <= 0 or scale <= 0:
        return list(repeat(0, len(weights)))
    exact = [total * weight / scale for weight in weights]
    counts = [math.floor(value) for value in exact]
    order = sorted(range(len(weights)), key=lambda i: (counts[i] - exact[i], i))
    for i in order[: total - sum(counts)]:
        counts[i] += 1
    return counts
