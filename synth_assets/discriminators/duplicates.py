"""Rejects what is already there: in the batch, among earlier accepted candidates, or among the seeds.

Here: equal content, and near-duplicates by the Jaccard similarity of character 5-grams. Not here: how pairs are found
(similarity/), single sentences taken from a seed (leakage.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import polars as pl

from synth_assets.discriminators.protocol import verdicts_of
from synth_assets.records import digest_text
from synth_assets.similarity import (
    Signatures,
    comparison_texts,
    find_stock_parts,
    keep_first,
    match_signatures,
    sign_texts,
)
from synth_assets.spec import DatasetSpec

BATCH, EARLIER, SEEDS = "batch", "earlier", "seeds"

COMMON_SEEDS = 3
"""Seeds that share a field or message word for word, from which it is boilerplate and not compared."""

_MATCH_SCHEMA = pl.Schema(
    {"row": pl.UInt32, "match": pl.String, "where": pl.String, "score": pl.Float64, "exact": pl.Boolean}
)
_CROWD = 16  # pairs of one text from which the search may have left out others (similarity.near_duplicate_pairs)


@dataclass(frozen=True)
class _Reference:
    where: str
    example_ids: pl.Series
    content: pl.DataFrame  # content_id, match: the first example_id of that content
    signatures: Signatures


@dataclass(frozen=True)
class Duplicates:
    """Keeps the first of equal or near-equal candidates, and none that `earlier` or `seeds` already hold.

    `earlier` and `seeds`: example_id, content_id and the content columns. Content of equal content_id is an
    exact_duplicate (score 1); text at least spec.quality.near_duplicate_jaccard alike is a near_duplicate (score =
    Jaccard), whatever the labels. A field or message that COMMON_SEEDS seeds share word for word (a system prompt,
    a paragraph that questions are about) is left out of the comparison. Data without free text is compared by content
    alone.

    evidence: {"match": example_id, "where": "batch" | "earlier" | "seeds"}. What passed has score 0.
    """

    spec: DatasetSpec
    earlier: pl.DataFrame
    seeds: pl.DataFrame
    name: str = "duplicates"
    _signed: tuple[_Reference, ...] = field(default=(), repr=False, compare=False)

    @property
    def version(self) -> str:
        fields = self.spec.model_dump_json(include={"fields"})
        return digest_text("duplicates-2", self.spec.quality.near_duplicate_jaccard, fields, size=6)

    def extended(self, kept: pl.DataFrame) -> Duplicates:
        """Return a discriminator that also knows these rows as earlier ones; what was computed stays."""
        kept = kept.select(self.earlier.columns)
        added = self._reference(EARLIER, kept)
        return replace(self, earlier=pl.concat([self.earlier, kept]), _signed=(*self._references, added))

    def judge(self, candidates: pl.DataFrame) -> pl.DataFrame:
        signatures = self._sign(candidates)
        known = [
            found for reference in self._references for found in _match_reference(candidates, signatures, reference)
        ]
        matches = _best(known)
        is_new = np.ones(candidates.height, dtype=bool)
        is_new[matches["row"].to_numpy()] = False
        matches = pl.concat([matches, _match_batch(candidates, signatures, is_new)])
        rows = candidates.select("example_id").with_row_index("row")
        judged = rows.join(matches, on="row", how="left", maintain_order="left")
        return verdicts_of(
            judged,
            passed=pl.col("match").is_null(),
            score=pl.col("score").fill_null(0.0),
            threshold=self.spec.quality.near_duplicate_jaccard,
            reason=pl.when("exact").then(pl.lit("exact_duplicate")).otherwise(pl.lit("near_duplicate")),
            evidence=pl.struct("match", "where").struct.json_encode(),
        )

    @cached_property
    def _stock(self) -> pl.Series:
        return find_stock_parts(self.seeds, self.spec, rows=COMMON_SEEDS)

    @cached_property
    def _references(self) -> tuple[_Reference, ...]:
        return self._signed or (self._reference(SEEDS, self.seeds), self._reference(EARLIER, self.earlier))

    def _reference(self, where: str, frame: pl.DataFrame) -> _Reference:
        content = frame.group_by("content_id", maintain_order=True).agg(match=pl.col("example_id").first())
        return _Reference(where, frame["example_id"], content, self._sign(frame))

    def _sign(self, frame: pl.DataFrame) -> Signatures:
        texts = comparison_texts(frame, self.spec, self._stock)
        return sign_texts(texts, threshold=self.spec.quality.near_duplicate_jaccard, normalized=True)


def _match_reference(candidates: pl.DataFrame, signatures: Signatures, reference: _Reference) -> list[pl.DataFrame]:
    """Return the candidates that the reference holds: by content, and the nearest by text."""
    exact = candidates.select("content_id").with_row_index("row").join(reference.content, on="content_id")
    pairs = match_signatures(signatures, reference.signatures)
    near = pairs.select(row="left", match=reference.example_ids.gather(pairs["right"]), score="jaccard")
    return [
        _label(exact.with_columns(score=pl.lit(1.0)), reference.where, exact=True),
        _label(near, reference.where, exact=False),
    ]


def _label(found: pl.DataFrame, where: str, *, exact: bool) -> pl.DataFrame:
    labeled = found.with_columns(where=pl.lit(where), exact=pl.lit(exact))
    return labeled.select(_MATCH_SCHEMA.keys()).cast(_MATCH_SCHEMA)


def _best(found: list[pl.DataFrame]) -> pl.DataFrame:
    """Return the best match a row: exact before near, then the most similar, then in the order found."""
    matches = pl.concat([pl.DataFrame(schema=_MATCH_SCHEMA), *found])
    ordered = matches.sort(["row", "exact", "score"], descending=[False, True, True], maintain_order=True)
    return ordered.unique("row", keep="first", maintain_order=True)


def _match_batch(candidates: pl.DataFrame, signatures: Signatures, is_new: np.ndarray) -> pl.DataFrame:
    """Return the new candidates that repeat a kept one above them.

    Rows of equal text (where there is none, of equal content) share a fate: the first of them stands for all.
    """
    rows = candidates.select("content_id").with_row_index("row")
    rows = rows.with_columns(group=pl.Series(signatures.groups)).filter(pl.Series(is_new, dtype=pl.Boolean))
    key = pl.struct("group", pl.when(pl.col("group") < 0).then("content_id"))
    rows = rows.with_columns(first=pl.col("row").first().over(key))
    is_first = np.zeros(candidates.height, dtype=bool)
    is_first[rows["first"].to_numpy()] = True
    near = _near_kept(signatures, is_first)
    matched = rows.join(near, left_on="first", right_on="right", how="left", maintain_order="left").filter(
        pl.col("left").is_not_null() | (pl.col("row") != pl.col("first"))
    )
    kept = matched.select(pl.coalesce("left", "first")).to_series()
    return matched.select(
        "row",
        match=candidates["example_id"].gather(kept),
        where=pl.lit(BATCH),
        score=pl.col("jaccard").fill_null(1.0),
        exact=candidates["content_id"].gather(kept) == matched["content_id"],
    )


def _near_kept(signatures: Signatures, rows: np.ndarray) -> pl.DataFrame:
    """Return left (kept), right (to drop), jaccard of the marked rows; a crowd is searched again among those kept."""
    rows = rows.copy()
    found = []
    while True:
        pairs = match_signatures(signatures.keep(rows))
        dropped = keep_first(pairs)
        found.append(dropped)
        if pairs["right"].value_counts().filter(pl.col("count") >= _CROWD).is_empty() or dropped.is_empty():
            return pl.concat(found)
        rows[dropped["right"].to_numpy()] = False
