"""Decontamination: no candidate may overlap a benchmark that models trained on the corpus will be measured by.

Here: reading the benchmarks that quality.benchmarks names, and the comparison. Not here: overlap with seeds of any
split, the sealed one among them, which duplicates.py and leakage.py always look for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from synth_assets.discriminators.protocol import verdicts_of
from synth_assets.errors import SpecError
from synth_assets.records import content_text_expression, digest_column, digest_text
from synth_assets.similarity import NgramIndex, Signatures, find_ngrams, index_ngrams, match_signatures, sign_texts
from synth_assets.spec import DatasetSpec

READABLE = (".jsonl", ".ndjson", ".json", ".csv", ".parquet", ".txt", ".md")
_LEAST_CHARACTERS = 20  # a shorter text (a label, a number) is no test item
_MOST_CHARACTERS = 300  # of a span in the evidence


@dataclass(frozen=True)
class Contamination:
    """Rejects texts that share a span of words with a benchmark item, or are nearly one.

    contaminated: quality.benchmark_ngram words in a row, or a Jaccard similarity of character 5-grams of
    quality.near_duplicate_jaccard, which also finds items of fewer words. evidence: {"benchmark": file, "row": n,
    "ngram": "…"} or {…, "jaccard": j}; score = words of the longest span, or the similarity.
    `items`: benchmark (file as the spec names it), row (from 1), text.
    """

    spec: DatasetSpec
    items: pl.DataFrame
    index: NgramIndex
    signatures: Signatures
    version: str
    name: str = "contamination"

    @classmethod
    def build(cls, spec: DatasetSpec, root: Path) -> Contamination:
        """Read and index the spec's benchmarks; SpecError says which path cannot be read or holds no text."""
        items = read_benchmarks(spec.quality.benchmarks, root)
        quality = spec.quality
        version = digest_text(
            "contamination-1",
            quality.benchmark_ngram,
            quality.near_duplicate_jaccard,
            *digest_column(items["text"]).sort().to_list(),
            size=6,
        )
        return cls(
            spec,
            items,
            index_ngrams(items["text"], words=quality.benchmark_ngram),
            sign_texts(items["text"], threshold=quality.near_duplicate_jaccard),
            version,
        )

    def judge(self, candidates: pl.DataFrame) -> pl.DataFrame:
        texts = candidates.select(content_text_expression(self.spec).alias("text")).to_series()
        threshold = self.spec.quality.near_duplicate_jaccard
        spans = find_ngrams(texts, self.index).select("row", "ngram", "words", item="reference_row")
        alike = (
            match_signatures(sign_texts(texts, threshold=threshold), self.signatures)
            .sort("left", "jaccard", "right", descending=[False, True, False])
            .unique("left", keep="first", maintain_order=True)
            .select(row="left", similar="right", jaccard="jaccard")
        )
        names = self.items.with_row_index("item").select("item", "benchmark", pl.col("row").alias("line"))
        judged = (
            candidates.select("example_id")
            .with_row_index("row")
            .join(spans, on="row", how="left", maintain_order="left")
            .join(alike, on="row", how="left", maintain_order="left")
            .with_columns(item=pl.coalesce("item", "similar"))
            .join(names, on="item", how="left", maintain_order="left")
        )
        place = [pl.col("benchmark"), pl.col("line").alias("row")]
        span = pl.struct(*place, pl.col("ngram").str.head(_MOST_CHARACTERS)).struct.json_encode()
        near = pl.struct(*place, pl.col("jaccard").round(3)).struct.json_encode()
        has_span = pl.col("ngram").is_not_null()
        verdicts = verdicts_of(
            judged,
            passed=pl.col("item").is_null(),
            score=pl.coalesce(pl.col("words").cast(pl.Float64), "jaccard", 0.0),
            threshold=float(self.spec.quality.benchmark_ngram),
            reason=pl.lit("contaminated"),
            evidence=pl.when(has_span).then(span).otherwise(near),
        )
        by_similarity = judged.select(pl.col("item").is_not_null() & ~has_span).to_series()
        return verdicts.with_columns(threshold=pl.when(by_similarity).then(threshold).otherwise("threshold"))


def read_benchmarks(places: Iterable[str], root: Path) -> pl.DataFrame:
    """Return benchmark, row:Int64 (from 1), text: every text of 20 characters or more in the named files and folders.

    A row is a line of JSONL, an element of a JSON list, a row of CSV or Parquet, or a whole text file; nested values
    and lists are looked through. Relative paths count from `root`. SpecError if a path is missing, unreadable or bare.
    """
    found = [
        (place if file == root / place else f"{place}: {file.name}", row, text)
        for place in places
        for file, rows in _read_place(place, root / Path(place).expanduser())
        for row, texts in enumerate(rows, start=1)
        for text in texts
    ]
    schema = {"benchmark": pl.String, "row": pl.Int64, "text": pl.String}
    items = pl.DataFrame(found, schema=schema, orient="row")
    return items.filter(pl.col("text").str.strip_chars().str.len_chars() >= _LEAST_CHARACTERS)


def _read_place(place: str, path: Path) -> Iterator[tuple[Path, list[list[str]]]]:
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in READABLE) if path.is_dir() else [path]
    read = [(file, _read_texts(place, file)) for file in files]
    if not any(len(text) >= _LEAST_CHARACTERS for _, rows in read for row in rows for text in row):
        raise SpecError(
            f"quality.benchmarks: {place}: no text of {_LEAST_CHARACTERS} characters or more in it; name a folder or "
            f"file of test items ({', '.join(READABLE)})"
        )
    yield from read


def _read_texts(place: str, file: Path) -> list[list[str]]:
    """Return the texts of each row of a file."""
    kind = file.suffix.lower()
    try:
        if kind == ".parquet":
            return [list(_find_texts(row)) for row in pl.read_parquet(file).iter_rows(named=True)]
        if kind == ".csv":
            return [list(_find_texts(row)) for row in pl.read_csv(file, infer_schema=False).iter_rows()]
        text = file.read_text(encoding="utf-8-sig")
        if kind in (".jsonl", ".ndjson"):
            return [list(_find_texts(json.loads(line))) for line in text.split("\n") if line.strip()]
        if kind == ".json":
            content = json.loads(text)
            return [list(_find_texts(row)) for row in (content if isinstance(content, list) else [content])]
        return [[text]]
    except (OSError, ValueError, RecursionError, pl.exceptions.PolarsError) as error:
        raise SpecError(f"quality.benchmarks: {place}: {file.name} cannot be read: {error}") from error


def _find_texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _find_texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _find_texts(each)
