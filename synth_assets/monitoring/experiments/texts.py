"""Free text as the material of the collapse experiment: trigram generations and what is measured of them.

Here: texts as integers, writing, filtering by the discriminators, measures. Not here: policies, the loop (collapse).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from synth_assets.discriminators.cascade import Cascade, Known
from synth_assets.errors import SeedError
from synth_assets.generation.requests import STOP
from synth_assets.monitoring.collapse.case import find_rare
from synth_assets.monitoring.diversity import (
    Tokens,
    join_pieces,
    measure_compression_ratio,
    measure_distinct_n,
    measure_ngram_entropy,
    measure_self_repetition,
    split_pieces,
    tokenize,
)
from synth_assets.monitoring.experiments.sampler import TrigramSampler
from synth_assets.monitoring.features import read_text
from synth_assets.monitoring.language import fit_trigrams
from synth_assets.records import ALL_STRATUM, RELEASABLE, STEERING, TRAIN, add_content_ids, add_real_ids
from synth_assets.spec import DatasetSpec, FieldSpec, StrataSpec

MEASURES = {
    "perplexity": "perplexity of held-out real text under a model of the corpus",
    "perplexity_equal": "the same, models of as many words each",
    "distinct_2": "distinct pairs of words in the corpus, per pair",
    "written_distinct_2": "the same of what the generation wrote",
    "written_distinct_1": "distinct words in what the generation wrote, per word",
    "written_bigram_entropy": "entropy of its pairs of words, bits",
    "written_self_repetition": "share of a text's 4-grams that stand in another",
    "written_compression_ratio": "bytes over compressed bytes",
    "rare_word_coverage": "share of the rare real words that it still has",
}
LEAST_TEXTS = 50
_TOKEN_BUDGET = 60_000
_BUDGET_SHARE = 0.5  # of the words of as many real rows: texts grow shorter at low temperatures
_RARE = 5  # texts that hold a rare word at most
_WAVES = 4
_USUAL_RATE, _LEAST_RATE = 0.7, 0.1  # share of candidates that pass


@dataclass(frozen=True)
class TextMaterial:
    """The real texts of a data set as pieces, and what their generations are measured with; see Material.

    real: pieces of the training texts. words: the word of each piece, −1 for a sign. held_out: words of steering
    texts. rare: words in at most 5 training texts. mean_words: of a training text. cascade: the discriminators,
    fitted on the real rows. spec: of a record that is the text alone.
    """

    real: Tokens
    words: np.ndarray
    vocabulary: pl.Series
    held_out: Tokens
    rare: np.ndarray
    mean_words: float
    cascade: Cascade
    spec: DatasetSpec
    variety: str = "written_distinct_2"

    @property
    def measures(self) -> dict[str, str]:
        return MEASURES

    @classmethod
    def of(cls, spec: DatasetSpec, seeds: pl.DataFrame, root: Path) -> TextMaterial:
        """Read the releasable training rows and the steering rows of the seeds; see material.read_material."""
        usable = seeds.filter(pl.col("disposition") == RELEASABLE)
        usable = usable.with_columns(read_text(usable, spec.text_fields).alias("_text"))
        usable = usable.filter(pl.col("_text").str.contains(r"\w"))
        train, steering = (usable.filter(pl.col("split") == split) for split in (TRAIN, STEERING))
        if train.height < LEAST_TEXTS or steering.is_empty():
            raise SeedError(
                f"{spec.name}: {train.height:,} releasable training rows and {steering.height:,} steering rows hold "
                f"text; the experiment needs {LEAST_TEXTS} and at least one. Add rows to data/seeds/{spec.name}"
            )
        texts = pl.concat([train["_text"], steering["_text"]])
        pieces = split_pieces(texts)
        words = tokenize(pieces.vocabulary)
        word_of = np.full(len(pieces.vocabulary), -1, np.int64)
        word_of[words.docs] = words.ids
        real = pieces.take(np.arange(train.height))
        told = _read_words(real, word_of, words.vocabulary)
        alone = _reduce_spec(spec)
        seeds = add_real_ids(
            pl.concat([train, steering]).select("split", "disposition", pl.col("_text").alias("text")), alone
        )
        return cls(
            real,
            word_of,
            words.vocabulary,
            _read_words(pieces.take(np.arange(train.height, len(texts))), word_of, words.vocabulary),
            find_rare(told.ids, told.docs, 1, _RARE),
            len(told) / told.n_docs,
            Cascade.build(alone, Known(seeds, root)),
            alone,
        )

    def count(self, rows: Tokens) -> int:
        return rows.n_docs

    def take(self, rows: Tokens, places: np.ndarray) -> Tokens:
        return rows.take(places)

    def join(self, parts: Sequence[Tokens]) -> Tokens:
        return Tokens.join(parts)

    def write(
        self, corpus: Tokens, count: int, temperature: float, rng: np.random.Generator, kept: Tokens | None
    ) -> Tokens:
        sampler = TrigramSampler.fit(corpus, temperature)
        if kept is None:
            return sampler.write(count, rng)
        before, passed = kept, [kept.take(np.arange(0))]
        wanted, rate = count, _USUAL_RATE
        for wave in range(_WAVES):
            candidates = sampler.write(int(wanted / rate) + 1, rng)
            judged = self.cascade.judge(self._as_rows(candidates, f"w{wave}"), self._as_rows(before, "kept"))
            places = judged.survivors["example_id"].str.split("-").list.last().cast(pl.Int64).to_numpy()
            good = candidates.take(places[:wanted])
            passed.append(good)
            wanted -= good.n_docs
            if not wanted:
                break
            before = Tokens.join([before, good])
            rate = max(len(places) / candidates.n_docs, _LEAST_RATE)
        return Tokens.join(passed)

    def measure(self, written: Tokens, corpus: Tokens, size: int, rng: np.random.Generator) -> dict[str, float]:
        # a generation that has fewer words than the budget is measured on all of them, which flatters it
        budget = max(min(_TOKEN_BUDGET, int(_BUDGET_SHARE * self.mean_words * size)), 1)
        real, made, mixed = (_read_words(rows, self.words, self.vocabulary) for rows in (self.real, written, corpus))
        mixed = mixed.take(rng.permutation(mixed.n_docs))
        cut, whole = (tokens.take(np.arange(tokens.n_docs), budget) for tokens in (made, mixed))
        return {
            "perplexity": fit_trigrams(mixed, real).measure_perplexity(self.held_out),
            "perplexity_equal": fit_trigrams(whole, real).measure_perplexity(self.held_out),
            "distinct_2": measure_distinct_n(whole, 2),
            "written_distinct_2": measure_distinct_n(cut, 2),
            "written_distinct_1": measure_distinct_n(cut, 1),
            "written_bigram_entropy": measure_ngram_entropy(cut, 2),
            "written_self_repetition": measure_self_repetition(cut),
            "written_compression_ratio": measure_compression_ratio(join_pieces(written.take(np.arange(cut.n_docs)))),
            "rare_word_coverage": float(np.isin(self.rare, cut.ids).mean()) if len(self.rare) else float("nan"),
        }

    def _as_rows(self, rows: Tokens, name: str) -> pl.DataFrame:
        frame = pl.DataFrame({"text": join_pieces(rows)}).with_columns(
            example_id=pl.format("{}-{}", pl.lit(name), pl.int_range(pl.len())),
            stratum=pl.lit(ALL_STRATUM),
            finish_reason=pl.lit(STOP),
        )
        return add_content_ids(frame, self.spec)


def _reduce_spec(spec: DatasetSpec) -> DatasetSpec:
    """Return the spec of a record that is the free text alone: a trigram model writes no label and no number."""
    text = spec.text_fields[0].model_copy(update={"name": "text", "type": "text", "role": "input", "nullable": False})
    if len(spec.text_fields) > 1:
        text = FieldSpec(name="text", type="text", max_length=1_000_000, language=text.language)
    return spec.model_copy(
        update={"fields": (text,), "strata": StrataSpec(), "constraints": (), "verification": None, "judge": None}
    )


def _read_words(pieces: Tokens, words: np.ndarray, vocabulary: pl.Series) -> Tokens:
    ids = words[pieces.ids]
    return Tokens(ids[ids >= 0], pieces.docs[ids >= 0], pieces.n_docs, vocabulary)
