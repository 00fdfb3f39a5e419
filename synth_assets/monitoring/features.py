"""Rows as numbers: the same view of a record for every monitor and every student.

Here: which fields two frames share, a row's text, numbers and categories, and the encoder that makes a sparse matrix
of them. Not here: any model or statistic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from synth_assets.monitoring.diversity import TOKEN_PATTERN, has_words
from synth_assets.records import POLARS_TYPES, SYNTHETIC, derive_uniforms, messages_text
from synth_assets.spec import NUMERIC_TYPES, DatasetSpec, FieldSpec

MISSING = "(missing)"
MAX_LEVELS = 100
CLIP = 8.0

TextUse = Literal["none", "words", "words_and_chars"]


def find_fields(spec: DatasetSpec, *frames: pl.DataFrame) -> tuple[FieldSpec, ...]:
    """Return the fields that may leave (no ids, nothing sensitive) and that every frame holds."""
    return tuple(field for field in spec.released_fields if all(field.name in frame.columns for frame in frames))


def split_fields(fields: Sequence[FieldSpec]) -> tuple[list[FieldSpec], list[FieldSpec], list[FieldSpec]]:
    """Return free text, numeric (integer, number, date) and category (category, boolean) fields."""
    text = [field for field in fields if field.is_free_text]
    numeric = [field for field in fields if field.type in NUMERIC_TYPES or field.type == "date"]
    category = [field for field in fields if field.type in ("category", "boolean")]
    return text, numeric, category


def type_columns(frame: pl.DataFrame, fields: Sequence[FieldSpec]) -> pl.DataFrame:
    """Return the frame with these fields in the record's types; what does not fit its type is null."""
    return frame.with_columns(_typed(field) for field in fields)


def select_synthetic(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the synthetic rows; all rows of a frame without an origin column."""
    return frame.filter(pl.col("origin") == SYNTHETIC) if "origin" in frame.columns else frame


def sample_rows(frame: pl.DataFrame, limit: int, *salt: object) -> pl.DataFrame:
    """Return at most `limit` rows, drawn by the hash of example_id and salt, in the frame's order."""
    if frame.height <= limit:
        return frame
    order = np.argsort(derive_uniforms(frame["example_id"], *salt), kind="stable")
    return frame[np.sort(order[:limit])]


def read_text(frame: pl.DataFrame, fields: Sequence[FieldSpec]) -> pl.Series:
    """Return a row's free text, its fields joined by a line feed; null where all of them are."""
    if not fields:
        return pl.Series("text", [None] * frame.height, dtype=pl.String)
    parts = [messages_text(_typed(field)) if field.type == "messages" else _typed(field) for field in fields]
    joined = pl.concat_str(parts, separator="\n", ignore_nulls=True)
    return frame.select(
        pl.when(pl.all_horizontal(part.is_null() for part in parts)).then(None).otherwise(joined).alias("text")
    ).to_series()


def read_numbers(frame: pl.DataFrame, field: FieldSpec) -> np.ndarray:
    """Return a numeric field as float64, shape (rows,); dates as days since 1970; missing and infinite as NaN."""
    column = _typed(field).dt.epoch("d") if field.type == "date" else _typed(field)
    values = frame.select(column.cast(pl.Float64)).to_series().to_numpy().astype(np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def read_categories(frame: pl.DataFrame, field: FieldSpec) -> pl.Series:
    """Return a category or boolean field as strings, nulls as `(missing)`."""
    return frame.select(_typed(field).cast(pl.String).fill_null(MISSING)).to_series()


def code_categories(values: pl.Series, levels: Sequence[str], other: int = -1) -> np.ndarray:
    """Return each value's place in `levels` as int64, `other` where it is none of them."""
    codes = values.cast(pl.Enum(list(levels)), strict=False).to_physical().cast(pl.Int64).fill_null(other)
    return codes.to_numpy()


@dataclass(frozen=True)
class Encoder:
    """A fitted view of rows: TF-IDF of the text, standardized numbers, one column a category value."""

    text: tuple[FieldSpec, ...]
    vectorizers: tuple[Any, ...]
    numeric: tuple[tuple[FieldSpec, float, float, float], ...]  # field, median, mean, standard deviation
    categories: tuple[tuple[FieldSpec, tuple[str, ...]], ...]
    category_scale: float
    names: tuple[str, ...]

    def encode(self, frame: pl.DataFrame) -> Any:
        """Return a scipy CSR matrix of shape (rows, len(names))."""
        texts = read_text(frame, self.text).fill_null("").to_list() if self.vectorizers else []
        return self._join(frame, [vectorizer.transform(texts) for vectorizer in self.vectorizers])

    def _join(self, frame: pl.DataFrame, text_parts: list[Any]) -> Any:
        from scipy import sparse

        parts = list(text_parts)
        for field, median, mean, deviation in self.numeric:
            values = read_numbers(frame, field)
            missing = np.isnan(values)
            scaled = np.clip((np.where(missing, median, values) - mean) / deviation, -CLIP, CLIP)
            parts.append(sparse.csr_matrix(np.column_stack([scaled, missing])))
        for field, levels in self.categories:
            codes = code_categories(read_categories(frame, field), levels)
            parts.append(one_hot(codes, len(levels)) * self.category_scale)
        if not parts:
            return sparse.csr_matrix((frame.height, 0))
        return sparse.hstack(parts, format="csr")


def one_hot(codes: np.ndarray, width: int) -> Any:
    """Return a CSR matrix of shape (len(codes), width) with a 1 at each code; a row of zeros for code −1."""
    from scipy import sparse

    rows = np.flatnonzero(codes >= 0)
    return sparse.csr_matrix((np.ones(len(rows)), (rows, codes[rows])), shape=(len(codes), width))


def fit_encoder(
    frame: pl.DataFrame, fields: Sequence[FieldSpec], *, text: TextUse, category_scale: float = 1.0
) -> tuple[Encoder, Any]:
    """Fit an encoder of these fields on a frame; return it and the frame encoded (see Encoder.encode).

    text: `words` = TF-IDF of 1- and 2-grams of words; `words_and_chars` = of words and of character 3-grams
    that occur in at least two rows; `none` leaves free text out. Numbers are standardized, clipped at ±8 standard
    deviations and stand beside a missing flag. Of a category the 100 most frequent values count.
    """
    text_fields, numeric_fields, category_fields = split_fields(fields)
    vectorizers, encoded = _fit_vectorizers(read_text(frame, text_fields).fill_null(""), text)
    names = [str(name) for vectorizer in vectorizers for name in vectorizer.get_feature_names_out()]
    numeric = []
    for field in numeric_fields:
        values = read_numbers(frame, field)
        known = values[np.isfinite(values)]
        if len(known):
            numeric.append((field, float(np.median(known)), float(known.mean()), float(known.std()) or 1.0))
            names += [field.name, f"{field.name} {MISSING}"]
    categories = []
    for field in category_fields:
        counts = (
            read_categories(frame, field).alias("value").value_counts().sort("count", "value", descending=[True, False])
        )
        levels = tuple(counts["value"].head(MAX_LEVELS).to_list())
        categories.append((field, levels))
        names += [f"{field.name}={level}" for level in levels]
    encoder = Encoder(
        tuple(text_fields), tuple(vectorizers), tuple(numeric), tuple(categories), category_scale, tuple(names)
    )
    return encoder, encoder._join(frame, encoded)


def _fit_vectorizers(texts: pl.Series, use: TextUse) -> tuple[list[Any], list[Any]]:
    """Return the fitted vectorizers and the texts seen through each of them."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    if use == "none" or not has_words(texts):
        return [], []
    common: dict[str, Any] = {"sublinear_tf": True, "dtype": np.float64}
    if use == "words":
        kinds = [TfidfVectorizer(ngram_range=(1, 2), token_pattern=TOKEN_PATTERN, **common)]
    else:
        kinds = [
            TfidfVectorizer(token_pattern=TOKEN_PATTERN, min_df=2, **common),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 3), min_df=2, **common),
        ]
    fitted, encoded = [], []
    listed = texts.to_list()
    for vectorizer in kinds:
        try:
            encoded.append(vectorizer.fit_transform(listed))
        except ValueError:  # no term occurs in two rows: this view has nothing to say
            continue
        fitted.append(vectorizer)
    return fitted, encoded


def _typed(field: FieldSpec) -> pl.Expr:
    return pl.col(field.name).cast(POLARS_TYPES[field.type], strict=False)
