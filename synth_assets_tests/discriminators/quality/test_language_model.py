"""The language model is a distribution, and it finds the entropy of a source that is known."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth_assets.discriminators.quality.language_model import NgramModel, Sequences, WordModel
from synth_assets.ngrams import read_characters
from synth_assets_tests.discriminators.quality.samples import MarkovSource

SYMBOLS, START, END = 4, 4, 5
SEQUENCES = st.lists(st.lists(st.integers(0, SYMBOLS - 1), max_size=6), min_size=1, max_size=12)


def frame(sequences: list[list[int]]) -> Sequences:
    flat = np.array([symbol for sequence in sequences for symbol in sequence], np.int64)
    return Sequences.frame(flat, np.array([len(sequence) for sequence in sequences]), start=START, end=END)


@given(SEQUENCES, st.lists(st.integers(-1, SYMBOLS - 1), max_size=5), st.integers(1, 4))
def test_probabilities_of_all_symbols_after_any_context_sum_to_one(
    fit: list[list[int]], context: list[int], order: int
):
    model = NgramModel.fit(frame(fit), order=order, symbols=SYMBOLS + 2)
    asked = frame([*([*context, symbol] for symbol in range(SYMBOLS)), context])
    base = np.full(len(asked.symbols), 1 / (SYMBOLS + 1))
    chances = np.split(model.predict(asked, base), asked.starts[1:])
    assert sum(part[len(context) + 1] for part in chances) == pytest.approx(1)


def test_a_word_that_was_seen_in_a_context_is_likelier_there():
    model = WordModel.fit(read_characters(pl.Series(["the cat sat", "the dog sat", "a bird flew"] * 3)))
    nats = model.measure(read_characters(pl.Series(["the cat sat", "sat cat the"])))
    assert nats.counts.tolist() == [4, 4]
    assert nats.nats[:4].sum() < nats.nats[4:].sum()
    assert nats.alone[:4].sum() == pytest.approx(nats.alone[4:].sum())


def test_unknown_words_are_spelled_and_strange_spellings_surprise_more():
    model = WordModel.fit(read_characters(pl.Series(["payment pending", "paying payments", "spending payment"])))
    told = model.measure(read_characters(pl.Series(["payings", "xqzjwkv", "日", "payment"])))
    first = told.nats[::2]
    assert first[3] < first[0] < first[1] < np.inf
    assert first[0] < first[2] < np.inf


@pytest.mark.parametrize("seed", [1, 2])
def test_cross_entropy_comes_within_three_percent_of_a_known_source(seed: int):
    source = MarkovSource.of(seed=seed)
    model = WordModel.fit(read_characters(pl.Series(source.draw(8_000, seed))))
    fresh = source.draw(2_000, seed + 100)
    told = model.measure(read_characters(pl.Series(fresh)))
    least = source.measure(fresh)
    assert 0.995 * least < told.nats.mean() < 1.03 * least
    assert told.alone.mean() > 1.3 * least
