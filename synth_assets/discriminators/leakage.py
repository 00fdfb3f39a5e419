"""Rejects candidates that repeat a long span of words from a seed; stricter for private seeds.

Here: shared word n-grams, and when they count as common language. Not here: whole texts that are alike
(duplicates.py), statistical memorization tests (monitoring/privacy/).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from synth_assets.discriminators.common_language import CommonLanguage
from synth_assets.discriminators.protocol import verdicts_of
from synth_assets.records import RELEASABLE, SYNTHESIS_ONLY, content_text_expression, digest_text
from synth_assets.similarity import NgramIndex, find_ngrams, index_ngrams
from synth_assets.spec import DatasetSpec

COMMON_SEEDS = 3
"""Different seeds that hold the same n-gram, from which it is common language."""
COMMON_RELEASABLE_SEEDS = 2
"""Different releasable seeds that hold an n-gram of a private seed, from which it tells nothing private."""

_MOST_CHARACTERS = 300  # of a span in the evidence


@dataclass(frozen=True)
class Leakage:
    """Rejects texts that share a span of words with a seed of any split.

    private_leak: spec.quality.leak_ngram_private words or more with a synthesis_only seed, unless at least
    COMMON_RELEASABLE_SEEDS releasable seeds hold the same words. leak: spec.quality.leak_ngram words or more with a
    releasable seed, unless at least COMMON_SEEDS seeds hold them, or unless two people would write them of
    themselves: the span is likelier than exp(−spec.quality.leak_surprise) among the other seeds of the stratum, and
    the seed was not shown to the model. Seeds of one cluster count once: a text that lies in three versions among the
    seeds is still one text. Words are the tokens of similarity.ngram_matches.

    `seeds`: example_id, stratum, disposition, cluster (optional) and the content columns; candidates: stratum and
    prompted_by too, where they are known. score = words of the longest span found, 0 for what passed; threshold = the
    number of words of the rule that was broken. evidence: {"match": example_id, "ngram": "…", "surprise": nats}, for a
    private leak {"match": example_id, "words": n} without the text.
    """

    spec: DatasetSpec
    seeds: pl.DataFrame
    name: str = "leakage"

    @property
    def version(self) -> str:
        settings = self.spec.model_dump_json(
            include={"fields": True, "quality": {"leak_ngram", "leak_ngram_private", "leak_surprise"}}
        )
        return digest_text("leakage-2", settings, size=6)

    def judge(self, candidates: pl.DataFrame) -> pl.DataFrame:
        texts = _texts(candidates, self.spec)
        public, private = self._find_public(candidates, texts), find_ngrams(texts, self._private)
        rows = candidates.select("example_id").with_row_index("row")
        ids, private_ids = self._of(RELEASABLE)["example_id"], self._of(SYNTHESIS_ONLY)["example_id"]
        judged = (
            rows.join(
                public.select("row", "ngram", "words", "surprise", match=ids.gather(public["reference_row"])),
                on="row",
                how="left",
            )
            .join(
                private.select("row", "words", match=private_ids.gather(private["reference_row"])),
                on="row",
                how="left",
                suffix="_private",
            )
            .sort("row")
        )
        is_private, words = pl.col("match_private").is_not_null(), self.spec.quality.leak_ngram
        verdicts = verdicts_of(
            judged,
            passed=pl.col("match").is_null() & ~is_private,
            score=pl.coalesce("words_private", "words", 0),
            threshold=float(words),
            reason=pl.when(is_private).then(pl.lit("private_leak")).otherwise(pl.lit("leak")),
            evidence=pl.when(is_private)
            .then(pl.struct(match="match_private", words="words_private").struct.json_encode())
            .otherwise(
                pl.struct(
                    "match", pl.col("ngram").str.head(_MOST_CHARACTERS), pl.col("surprise").round(1)
                ).struct.json_encode()
            ),
        )
        threshold = pl.when(reason="private_leak").then(float(self._private.words)).otherwise("threshold")
        return verdicts.with_columns(threshold=threshold)

    def _find_public(self, candidates: pl.DataFrame, texts: pl.Series) -> pl.DataFrame:
        """Return the spans shared with releasable seeds (row, reference_row, ngram, words, surprise) that are leaks."""
        found = find_ngrams(texts, self._public)
        seeds = self._of(RELEASABLE).select("example_id", "stratum")[found["reference_row"]]
        rows = candidates[found["row"]]
        strata = rows["stratum"] if "stratum" in rows.columns else seeds["stratum"]
        surprise = self._language.surprise(found["ngram"], found["reference_row"].to_numpy(), strata)
        found = found.with_columns(surprise=pl.Series(surprise, dtype=pl.Float64))
        was_shown = np.zeros(found.height, dtype=bool)
        if "prompted_by" in rows.columns:
            shown = rows.select("prompted_by").with_columns(match=seeds["example_id"])
            was_shown = (
                shown.select(pl.col("match").is_in(pl.col("prompted_by")).fill_null(False)).to_series().to_numpy()
            )
        return found.filter((pl.col("surprise") >= self.spec.quality.leak_surprise) | was_shown)

    def _of(self, disposition: str) -> pl.DataFrame:
        return self.seeds.filter(pl.col("disposition") == disposition)

    def _index(self, seeds: pl.DataFrame, words: int) -> NgramIndex:
        groups = seeds["cluster"] if "cluster" in seeds.columns else seeds["example_id"]
        return index_ngrams(_texts(seeds, self.spec), words=words, groups=groups)

    @cached_property
    def _public(self) -> NgramIndex:
        words = self.spec.quality.leak_ngram
        everything = self._index(self.seeds, words)
        return self._index(self._of(RELEASABLE), words).without(everything, spread=COMMON_SEEDS)

    @cached_property
    def _language(self) -> CommonLanguage:
        seeds = self._of(RELEASABLE)
        clusters = seeds["cluster"] if "cluster" in seeds.columns else seeds["example_id"]
        return CommonLanguage.fit(self._public, clusters, seeds["stratum"])

    @cached_property
    def _private(self) -> NgramIndex:
        words = min(self.spec.quality.leak_ngram_private, self.spec.quality.leak_ngram)
        releasable = self._index(self._of(RELEASABLE), words)
        return self._index(self._of(SYNTHESIS_ONLY), words).without(releasable, spread=COMMON_RELEASABLE_SEEDS)


def _texts(frame: pl.DataFrame, spec: DatasetSpec) -> pl.Series:
    return frame.select(content_text_expression(spec).alias("text")).to_series()
