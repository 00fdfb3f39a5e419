"""Rejects what says again, in other words, what is already there: in the batch, among earlier rows, or among the seeds.

Here: texts whose embeddings are close. Not here: how texts become vectors and neighbors are found (embeddings.py),
texts that are alike letter by letter (duplicates.py), which come first and cost far less.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from synth_assets.discriminators.duplicates import BATCH, COMMON_SEEDS, EARLIER, SEEDS
from synth_assets.discriminators.protocol import verdicts_of
from synth_assets.embeddings import Embedder, Neighbors, TfidfEmbedder, load_embedder
from synth_assets.records import TRAIN, digest_text
from synth_assets.similarity import comparison_texts, find_stock_parts
from synth_assets.spec import DatasetSpec

_ROWS = 1 << 15  # embedded at a time; of the batch, only the vectors of kept rows stay


@dataclass(frozen=True)
class _Reference:
    where: str
    example_ids: pl.Series
    vectors: np.ndarray

    @property
    def holders(self) -> pl.DataFrame:
        """Return match, where: whose each vector is."""
        return pl.DataFrame({"match": self.example_ids}).with_columns(where=pl.lit(self.where))


@dataclass(frozen=True)
class SemanticDuplicates:
    """Keeps the first of candidates that say the same, and none that `earlier` or `seeds` already say.

    `earlier` and `seeds`: example_id and the content columns, seeds also split. Two texts say the same if the cosine
    of their embeddings is at least spec.quality.semantic_duplicate_cosine, whatever the labels. Embeddings are those
    of spec.quality.embedding_model (a folder counts from `root`), else TF-IDF and SVD fitted on the train seeds. With
    these, of 10,000 real messages to one bank 0.1 % are at .97 of another that is no near-duplicate by letters, 0.6 %
    at .95, 4 % at .90; of such pairs at .95, 63 in 64 have the same label. Boilerplate is left out as by Duplicates;
    what has no text passes.

    A dear stage: exact, so time grows with the square of the rows (100,000 candidates: about a minute on two cores).

    evidence: {"match": example_id, "where": "batch" | "earlier" | "seeds"}; score = cosine, 0 for what passed.
    """

    spec: DatasetSpec
    earlier: pl.DataFrame
    seeds: pl.DataFrame
    root: Path = Path()
    name: str = "semantic_duplicates"
    _embedded: tuple[_Reference, ...] = field(default=(), repr=False, compare=False)
    _embedder: Embedder | None = field(default=None, repr=False, compare=False)

    @classmethod
    def fit(cls, spec: DatasetSpec, earlier: pl.DataFrame, seeds: pl.DataFrame, root: Path) -> SemanticDuplicates:
        """Return a discriminator whose embeddings are fitted and whose references are embedded."""
        unfitted = cls(spec, earlier, seeds, root)
        return replace(unfitted, _embedded=unfitted._references, _embedder=unfitted._model)

    @property
    def version(self) -> str:
        settings = {"fields": True, "quality": {"semantic_duplicate_cosine", "embedding_model"}}
        return digest_text("semantic-1", self.spec.model_dump_json(include=settings), size=6)

    def extended(self, kept: pl.DataFrame) -> SemanticDuplicates:
        """Return a discriminator that also knows these rows as earlier ones; what was computed stays."""
        kept = kept.select(self.earlier.columns)
        added = self._reference(EARLIER, kept)
        return replace(
            self,
            earlier=pl.concat([self.earlier, kept]),
            _embedded=(*self._references, added),
            _embedder=self._model,
        )

    def judge(self, candidates: pl.DataFrame) -> pl.DataFrame:
        known = Neighbors(self.spec.quality.semantic_duplicate_cosine)
        for reference in self._references:
            known.add(reference.vectors)
        texts = comparison_texts(candidates, self.spec, self._stock)
        parts = []
        for start in range(0, candidates.height, _ROWS):
            is_added, place, cosine = known.add_new(self._model.embed(texts[start : start + _ROWS]))
            parts.append(pl.DataFrame({"is_added": is_added, "place": place, "score": cosine}))
        found = pl.concat(
            [pl.DataFrame(schema={"is_added": pl.Boolean, "place": pl.Int64, "score": pl.Float64}), *parts]
        )
        judged = pl.concat([candidates.select("example_id"), found], how="horizontal")
        kept = _Reference(BATCH, judged.filter("is_added")["example_id"], np.empty(0))
        holders = pl.concat([reference.holders for reference in (*self._references, kept)]).with_row_index("place")
        return verdicts_of(
            judged.join(holders, on="place", how="left", maintain_order="left"),
            passed=pl.col("match").is_null(),
            score=pl.col("score"),
            threshold=known.threshold,
            reason=pl.lit("semantic_duplicate"),
            evidence=pl.struct("match", "where").struct.json_encode(),
        )

    @cached_property
    def _stock(self) -> pl.Series:
        return find_stock_parts(self.seeds, self.spec, rows=COMMON_SEEDS)

    @cached_property
    def _model(self) -> Embedder:
        if self._embedder is not None:
            return self._embedder
        name = self.spec.quality.embedding_model
        if name is not None:
            return load_embedder(name, self.root)
        return TfidfEmbedder.fit(comparison_texts(self.seeds.filter(pl.col("split") == TRAIN), self.spec, self._stock))

    @cached_property
    def _references(self) -> tuple[_Reference, ...]:
        return self._embedded or (self._reference(SEEDS, self.seeds), self._reference(EARLIER, self.earlier))

    def _reference(self, where: str, frame: pl.DataFrame) -> _Reference:
        texts = comparison_texts(frame, self.spec, self._stock)
        return _Reference(where, frame["example_id"], self._model.embed(texts))
