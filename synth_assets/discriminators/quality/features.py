"""Rows as hashed features: word 1–2-grams, character 3–5-grams, values of fields and pairs of them.

Here: what the quality model and the importance weights see of a record, as columns of one hashed space, in chunks.
Not here: any model. scikit-learn's HashingVectorizer sees the same n-grams, at 12 thousand messages a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl

from synth_assets.ngrams import Characters, chunk_texts, hash_together, read_characters
from synth_assets.records import content_text_expression, derive_seed, derive_uniforms, stratum_expression
from synth_assets.spec import NUMERIC_TYPES, DatasetSpec

WORDS, CHARACTERS, FIELDS = "words", "characters", "fields"
MOST_CHARACTERS = 4_000_000
"""Characters of text that a model here is fitted on: what bounds memory where rows are long."""

_BINS = 16  # of a number, at the quantiles of the rows the reader was fitted on
_MOST_PAIRED = 24  # fields of which all pairs are taken
_MIX = np.uint64(0xBF58476D1CE4E5B9)


@dataclass(frozen=True)
class View:
    """Features of one kind: `columns` text after text, `counts` a row, for each of its parts."""

    parts: tuple[tuple[np.ndarray, np.ndarray], ...]

    @property
    def counts(self) -> np.ndarray:
        return np.sum([counts for _, counts in self.parts], axis=0)

    def sum_weights(self, weights: np.ndarray) -> np.ndarray:
        """Return the sums of the weights of each row's features, shape (rows, models); weights: (columns, models)."""
        total = np.zeros((len(self.parts[0][1]), weights.shape[1]))
        for columns, counts in self.parts:
            told = np.flatnonzero(counts)
            if len(told):
                starts = (np.cumsum(counts) - counts)[told]
                for model, one in enumerate(weights.T):
                    total[told, model] += np.add.reduceat(one[columns], starts, dtype=np.float64)
        return total


@dataclass(frozen=True)
class Reader:
    """Reads rows into views of 2^bits columns. A view's features have value 1/√(their number), so that length 1.

    edges  inner bin borders of every number or date field, by name
    """

    spec: DatasetSpec
    views: tuple[str, ...]
    bits: int
    edges: dict[str, np.ndarray]

    @classmethod
    def fit(cls, spec: DatasetSpec, rows: pl.DataFrame, *, views: Sequence[str], bits: int) -> Reader:
        """Take the bins of numbers from these rows; views the record cannot have are left out."""
        has_text = bool(spec.text_fields)
        kept = tuple(view for view in views if view == FIELDS or has_text)
        edges = {
            field.name: _find_edges(rows[field.name])
            for field in spec.content_fields
            if field.type in NUMERIC_TYPES or field.type == "date"
        }
        return cls(spec, kept, bits, edges)

    def read(self, rows: pl.DataFrame) -> Iterator[tuple[slice, tuple[View, ...]]]:
        """Yield the views of the rows, chunk by chunk, with the place of the chunk."""
        texts = read_texts(self.spec, rows)
        start = 0
        for chunk in chunk_texts(texts):
            place = slice(start, start + len(chunk))
            start = place.stop
            yield place, tuple(self._views(rows[place], chunk))

    def score(self, rows: pl.DataFrame, weights: np.ndarray) -> np.ndarray:
        """Return the products of every row's features and the weights (columns, models), shape (rows, models)."""
        weights = np.asfortranarray(weights)
        scores = np.zeros((rows.height, weights.shape[1]))
        for place, views in self.read(rows):
            for view in views:
                scores[place] += view.sum_weights(weights) / np.sqrt(np.maximum(view.counts, 1))[:, None]
        return scores

    def encode(self, rows: pl.DataFrame) -> Any:
        """Return the features as a scipy CSR matrix of shape (rows, 2^bits)."""
        from scipy.sparse import csr_matrix, vstack

        chunks = [csr_matrix((0, 1 << self.bits))]
        for place, views in self.read(rows):
            encoded = csr_matrix((place.stop - place.start, 1 << self.bits))
            for view in views:
                value = 1 / np.sqrt(np.maximum(view.counts, 1))
                for columns, counts in view.parts:
                    cells = (np.repeat(value, counts), columns, np.append(0, np.cumsum(counts)))
                    encoded = encoded + csr_matrix(cells, shape=encoded.shape)
            chunks.append(encoded)
        return vstack(chunks, format="csr")

    def _views(self, rows: pl.DataFrame, texts: pl.Series) -> Iterator[View]:
        characters = read_characters(texts) if self.spec.text_fields else None
        if characters is not None and WORDS in self.views:
            words = characters.words
            yield self._view(1, (words.hashes, words.counts), words.find_pairs())
        if characters is not None and CHARACTERS in self.views:
            yield self._view(3, *(characters.find_grams(n) for n in (3, 4, 5)))
        if FIELDS in self.views:
            values = self._hash_values(rows, texts, characters)
            pairs = [hash_together(a, b) for a, b in combinations(values[:_MOST_PAIRED], 2)]
            if values:
                one_each = np.stack([*values, *pairs], axis=1)
                yield self._view(6, (one_each.ravel(), np.full(rows.height, one_each.shape[1])))

    def _view(self, salt: int, *parts: tuple[np.ndarray, np.ndarray]) -> View:
        shift = np.uint64(64 - self.bits)
        return View(
            tuple(
                ((((hashes + np.uint64(salt + n)) * _MIX) >> shift).astype(np.int32), counts)
                for n, (hashes, counts) in enumerate(parts)
            )
        )

    def _hash_values(self, rows: pl.DataFrame, texts: pl.Series, characters: Characters | None) -> list[np.ndarray]:
        """Return one hash a row for each field that is no free text, and for each trait of the text's style."""
        values = []
        for field in self.spec.content_fields:
            if field.is_free_text:
                continue
            if field.name in self.edges:
                codes = _find_bins(rows[field.name], self.edges[field.name])
            else:
                codes = _hash_levels(rows[field.name].cast(pl.String))
            values.append(hash_together(np.full(rows.height, derive_seed("field", field.name), np.uint64), codes))
        if characters is not None:
            for name, codes in _describe_style(texts, characters).items():
                values.append(hash_together(np.full(rows.height, derive_seed("style", name), np.uint64), codes))
        return values


def read_texts(spec: DatasetSpec, rows: pl.DataFrame) -> pl.Series:
    """Return the free text of every row, empty where there is none."""
    return rows.with_columns(_text=content_text_expression(spec).cast(pl.String).fill_null(""))["_text"]


def read_strata(spec: DatasetSpec, rows: pl.DataFrame) -> pl.Series:
    """Return the stratum of every row."""
    return rows.with_columns(_stratum=stratum_expression(spec))["_stratum"]


def draw_rows(spec: DatasetSpec, rows: pl.DataFrame, most: int, *salt: str) -> pl.DataFrame:
    """Return at most `most` rows and MOST_CHARACTERS of text, drawn by the hash of example_id, in the order of ids."""
    ordered = rows.sort("example_id", maintain_order=True)
    drawn = np.argsort(derive_uniforms(ordered["example_id"], spec.seed, *salt), kind="stable")[:most]
    sizes = read_texts(spec, ordered).str.len_chars().to_numpy().astype(np.int64)[drawn]
    return ordered[np.sort(drawn[np.cumsum(sizes) - sizes < MOST_CHARACTERS])]


def _describe_style(texts: pl.Series, characters: Characters) -> dict[str, np.ndarray]:
    """Return traits of how a text is written, each as one small integer a row."""
    words = characters.words
    keys = np.sort((words.rows.astype(np.uint64) << np.uint64(32)) | (words.hashes >> np.uint64(32)))
    distinct = keys[np.append(True, keys[1:] != keys[:-1])] if len(keys) else keys  # np.unique takes six times as long
    different = np.bincount((distinct >> np.uint64(32)).astype(np.int64), minlength=len(texts))
    text = pl.col("text")
    last = np.where(characters.counts > 2, characters.points[characters.borders[1:] - 2], 0).astype(np.int64)
    told = pl.DataFrame({"text": texts}).select(
        length=(4 * (text.str.len_chars() + 1).log(2)).cast(pl.Int64),
        ending=pl.when(text.str.contains(r"[\pL\pN]\s*$")).then(0).otherwise(pl.Series(last)),
        case=text.str.contains(r"^\P{L}*\p{Lu}").cast(pl.Int64) + 2 * text.str.contains(r"\p{Lu}").cast(pl.Int64),
        lines=text.str.count_matches("\n").clip(0, 5).cast(pl.Int64),
        commas=text.str.count_matches(",").clip(0, 5).cast(pl.Int64),
        numbers=text.str.count_matches(r"\pN+").clip(0, 5).cast(pl.Int64),
    )
    return {
        **{column.name: column.to_numpy() for column in told},
        "words": (4 * np.log2(words.counts + 1)).astype(np.int64),
        "repeats": (16 * different / np.maximum(words.counts, 1)).astype(np.int64),
    }


def _as_numbers(column: pl.Series) -> np.ndarray:
    numbers = column.to_physical() if column.dtype == pl.Date else column
    return numbers.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()


def _find_edges(column: pl.Series) -> np.ndarray:
    numbers = _as_numbers(column)
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return np.empty(0)
    return np.unique(np.quantile(numbers, np.arange(1, _BINS) / _BINS))


def _find_bins(column: pl.Series, edges: np.ndarray) -> np.ndarray:
    """Return 2·bin, or 2·bin + 1 for a number that is a border itself (zeros, round numbers); −1 where missing."""
    numbers = _as_numbers(column)
    bins = np.searchsorted(edges, numbers)
    at = np.append(edges, np.nan)[bins] == numbers
    return np.where(np.isnan(numbers), -1, 2 * bins + at)


def _hash_levels(column: pl.Series) -> np.ndarray:
    levels = column.unique().drop_nulls()
    hashes = np.array([derive_seed("level", level) for level in levels.to_list()] + [0], np.int64)
    codes = column.replace_strict(levels, pl.Series(range(len(levels)), dtype=pl.Int64), default=len(levels))
    return hashes[codes.cast(pl.Int64).fill_null(len(levels)).to_numpy()]
