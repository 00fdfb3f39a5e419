"""Text made comparable: folded, without boilerplate, as hashes of its words or of its runs of characters.

Here: what near_duplicates and shared_words build on, and threads over chunks of many texts. Not here: comparing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from synth_assets.spec import DatasetSpec, FieldSpec

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

SHINGLE = 5
"""Characters in a shingle; Jaccard similarities are of the sets of these."""
STOCK_ROWS = 10
"""Rows with different content that hold the same part of text word for word, from which it is boilerplate."""

# Scripts written without spaces: every character is a token there, elsewhere every word is.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
WORD = rf"[{_UNSPACED}]\p{{M}}*|[\w--[{_UNSPACED}]]+(?:'[\w--[{_UNSPACED}]]+)*"

_CHUNK_CHARACTERS = 1 << 19  # texts hashed at a time: bounds memory
_CACHED = 1 << 15  # 64-bit numbers that stay in the cache through a few operations
_MOST_THREADS = 8  # each holds a chunk
MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def normalize_text(column: pl.Expr) -> pl.Expr:
    """Return text in NFKC, casefolded, whitespace runs as one space, none at the ends; null stays null."""
    folded = column.map_batches(_fold, return_dtype=pl.String, is_elementwise=True)
    return folded.str.replace_all(r"\s\s+|[^\S ]", " ").str.strip_chars()


def _fold(texts: pl.Series) -> pl.Series:
    """Return text in NFKC and casefolded; polars has no casefold, so rows beyond ASCII take a loop."""
    plain = (texts.str.len_bytes() == texts.str.len_chars()).fill_null(True)
    if plain.all():
        return texts.str.to_lowercase()
    composed = texts.filter(~plain).str.normalize("NFKC").to_list()
    folded = pl.Series(texts.name, [text.casefold() for text in composed], dtype=pl.String)
    place = pl.select(pl.when(plain).then(plain.cum_sum() - 1).otherwise(plain.sum() + (~plain).cum_sum() - 1))
    return pl.concat([texts.filter(plain).str.to_lowercase(), folded]).gather(place.to_series())


def find_stock_parts(frame: pl.DataFrame, spec: DatasetSpec, *, rows: int = STOCK_ROWS) -> pl.Series:
    """Return the normalized parts of text (a field, or one message) that stand word for word in `rows` rows or more.

    A system prompt, a fixed instruction, "no remarks": boilerplate says nothing about whether two records are copies.
    The rows should differ in content, else a text copied ten times would count as boilerplate.
    """
    none = pl.DataFrame(schema={"row": pl.UInt32, "part": pl.String})
    parts = pl.concat([none, *(_read_parts(frame, field) for field in spec.text_fields)]).unique()
    return parts.group_by("part").len().filter(pl.col("len") >= rows).get_column("part").sort()


def comparison_texts(frame: pl.DataFrame, spec: DatasetSpec, stock: pl.Series) -> pl.Series:
    """Return the text by which records are compared: records.content_text_expression, normalized, without stock parts.

    One String a row; null where nothing is left, so that such a row is near to nothing.
    """
    told = pl.DataFrame({"row": np.arange(frame.height, dtype=np.uint32)})
    for place, field in enumerate(spec.text_fields):
        parts = _read_parts(frame, field).filter(~pl.col("part").is_in(stock.implode()))
        if field.type == "messages":
            parts = parts.group_by("row", maintain_order=True).agg(pl.col("part").str.join(" "))
        told = told.join(parts.rename({"part": f"part {place}"}), on="row", how="left", maintain_order="left")
    columns = told.drop("row")
    if not columns.width:
        return pl.repeat(None, frame.height, dtype=pl.String, eager=True).alias("text")
    joined = pl.concat_str(pl.all(), separator=" ", ignore_nulls=True)
    return columns.select(pl.when(joined != "").then(joined).alias("text")).to_series()


def _read_parts(frame: pl.DataFrame, field: FieldSpec) -> pl.DataFrame:
    """Return row:UInt32, part:String, in order: a field's text or its messages, normalized; those not empty."""
    part = pl.col(field.name)
    if field.type == "messages":
        part = part.list.eval(pl.element().struct.field("content"))
    parts = frame.select(part=part).with_row_index("row")
    if field.type == "messages":
        parts = parts.explode("part")
    return parts.with_columns(normalize_text(pl.col("part"))).filter(pl.col("part") != "")


def chunk_texts(texts: pl.Series) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of runs of texts of about half a million characters: what is worked on at a time."""
    if texts.is_empty():
        return
    ends = np.cumsum(texts.str.len_chars().fill_null(0).to_numpy().astype(np.int64) + 1)
    chunk = (ends - 1) // _CHUNK_CHARACTERS
    borders = [0, *(np.flatnonzero(np.diff(chunk)) + 1).tolist(), len(texts)]
    yield from pairwise(borders)


def map_threads(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """Yield the function of each item, in order, computed on all cores: numpy and polars let others run meanwhile."""
    with ThreadPoolExecutor(min(os.cpu_count() or 1, _MOST_THREADS)) as pool:
        yield from pool.map(function, items)


def hash_shingles(texts: pl.Series, size: int = SHINGLE) -> tuple[np.ndarray, np.ndarray]:
    """Return the 64-bit hashes of all runs of `size` characters, text after text, and their number a text.

    Texts (no nulls) are hashed as they are; one shorter than that is a single shingle.
    """
    padded = texts.str.pad_end(size, "\0")
    joined = padded.str.join().item() if len(padded) else ""
    encoding, width = ("ascii", np.uint8) if joined.isascii() else ("utf-32-le", np.uint32)
    points = np.frombuffer(joined.encode(encoding), dtype=width)
    lengths = padded.str.len_chars().to_numpy().astype(np.int64)
    hashes = np.empty(max(0, len(points) - size + 1), dtype=np.uint64)
    for start in range(0, len(hashes), _CACHED):
        part = points[start : start + _CACHED + size - 1].astype(np.uint64)
        windows = len(part) - size + 1
        mixed = part[:windows] * MIX[0]
        for offset in range(1, size):
            mixed += part[offset : offset + windows]
            mixed *= MIX[0]
        hashes[start : start + windows] = mix_hashes(mixed)
    inside = np.ones(len(points), dtype=bool)
    inside[(np.cumsum(lengths)[:, None] - np.arange(1, size)).ravel()] = False
    return hashes[inside[: len(hashes)]], lengths - size + 1


def mix_hashes(values: np.ndarray) -> np.ndarray:
    """Return the finalizer of SplitMix64 of each value: a bijection that spreads every bit."""
    values = values + MIX[0]
    values ^= values >> np.uint64(30)
    values *= MIX[1]
    values ^= values >> np.uint64(27)
    values *= MIX[2]
    values ^= values >> np.uint64(31)
    return values


def hash_words(texts: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return the 64-bit hash of every token (ngram_matches says what they are), text after text, and its row."""
    _, tokens, rows = tokenize_words(texts)
    return tokens, rows


def tokenize_words(texts: pl.Series) -> tuple[pl.Series, np.ndarray, np.ndarray]:
    """Return the token lists, the hash of every token and the row of every token."""
    frame = pl.DataFrame({"text": texts.cast(pl.String).fill_null("")}).select(
        normalize_text(pl.col("text")).str.replace_all("’", "'", literal=True).str.extract_all(WORD)
    )
    lists = frame.to_series()
    counts = lists.list.len().to_numpy()
    tokens = lists.filter(lists.list.len() > 0).explode().hash().to_numpy()
    return lists, tokens, np.repeat(np.arange(len(texts)), counts)
