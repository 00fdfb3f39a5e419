"""Texts with known statistics, and real messages in two halves.

Here: a Markov source, shuffling, frames of texts. Not here: assertions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest

from synth_assets.records import add_real_ids
from synth_assets.spec import DatasetSpec
from synth_assets_tests.builders import text_spec
from synth_assets_tests.paths import NO_SHARED_DATA, SHARED_DATA

needs_messages = pytest.mark.skipif(SHARED_DATA is None, reason=NO_SHARED_DATA)


@dataclass(frozen=True)
class MarkovSource:
    """Sentences of a first-order chain over made-up words; the last state is the end of the sentence."""

    words: list[str]
    first: np.ndarray
    steps: np.ndarray

    @classmethod
    def of(cls, words: int = 30, seed: int = 0, end: float = 0.1) -> MarkovSource:
        rng = np.random.default_rng(seed)
        steps = rng.dirichlet(np.full(words, 0.15), words) * (1 - end)
        names = [f"{a}{b}" for a in "kmnprt" for b in ("a", "e", "i", "o", "u", "ai", "ou")][:words]
        return cls(names, rng.dirichlet(np.full(words, 0.5)), np.column_stack([steps, np.full(words, end)]))

    def draw(self, sentences: int, seed: int) -> list[str]:
        rng = np.random.default_rng(seed)
        size = len(self.words)
        return [" ".join(self._draw_one(rng, size)) for _ in range(sentences)]

    def _draw_one(self, rng: np.random.Generator, size: int) -> Iterable[str]:
        state = int(rng.choice(size, p=self.first))
        while state != size:
            yield self.words[state]
            state = int(rng.choice(size + 1, p=self.steps[state]))

    def measure(self, sentences: list[str]) -> float:
        """Return the mean nats a word or end under the chain itself: no model can do better on average."""
        place = {word: i for i, word in enumerate(self.words)}
        states = [[place[word] for word in sentence.split()] for sentence in sentences]
        nats = [-np.log(self.first[s[0]]) for s in states]
        nats += [-np.log(self.steps[a, b]) for s in states for a, b in zip(s, [*s[1:], len(self.words)], strict=True)]
        return float(np.sum(nats) / sum(len(s) + 1 for s in states))


def shuffle_words(texts: Iterable[str], seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.permutation(text.split())) for text in texts]


def as_frame(texts: Iterable[str | None], prefix: str = "c", intent: str = "any") -> pl.DataFrame:
    listed = list(texts)
    ids = [f"{prefix}{i}" for i in range(len(listed))]
    return pl.DataFrame(
        {"example_id": ids, "text": listed, "intent": [intent] * len(listed)}, schema_overrides={"text": pl.String}
    )


def read_messages(spec: DatasetSpec | None = None, seed: int = 0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return two halves of distinct real banking messages."""
    assert SHARED_DATA is not None
    rows = pl.read_csv(SHARED_DATA / "banking77" / "train.csv").select("text", intent="category")
    mixed = rows.unique("text", maintain_order=True).sample(fraction=1, shuffle=True, seed=seed)
    frame = add_real_ids(mixed, spec or text_spec())
    return frame[: frame.height // 2], frame[frame.height // 2 :]
