from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth_assets.monitoring.diversity import Tokens, tokenize
from synth_assets.monitoring.language import fit_trigrams

TEXTS = ["a b c", "a b d", "c"]


def fit(texts: list[str], test: list[str]):
    tokens = tokenize(pl.Series(texts + test))
    train = tokens.take(np.arange(len(texts)))
    return fit_trigrams(train, train), tokens.take(np.arange(len(texts), tokens.n_docs))


def test_probability_by_hand():
    # vocabulary a b c d + unknown + end = 6 outcomes; 10 words and ends in training, "a" follows the start 2 of 3 times
    model, test = fit(TEXTS, ["a"])
    chances, docs = model.predict(test)
    single, pair = (2 + 1) / (10 + 6), 2 / 3
    double = 0.75 * pair + 0.25 * single
    assert chances[0] == pytest.approx(0.6 * pair + 0.4 * double)
    assert docs.tolist() == [0, 0]


@given(st.lists(st.sampled_from("abcd"), max_size=3))
def test_probabilities_of_all_continuations_sum_to_one(context: list[str]):
    # "q" stands for every unknown word; the empty continuation is the end of the text
    tests = [" ".join([*context, *more]) for more in (["a"], ["b"], ["c"], ["d"], ["q"], [])]
    model, tokens = fit(TEXTS, tests)
    chances, docs = model.predict(tokens)
    total = sum(chances[docs == i][len(context)] for i in range(len(tests)))
    assert total == pytest.approx(1)


def test_a_text_like_the_training_texts_surprises_less():
    model, test = fit(TEXTS * 5, ["a b c", "d c a"])
    nats, sizes = model.measure_surprise(test)
    assert nats[0] < nats[1]
    assert sizes.tolist() == [4, 4]


def test_perplexity_is_exp_of_the_mean_surprise():
    model, test = fit(TEXTS, ["a b", "c"])
    nats, sizes = model.measure_surprise(test)
    assert model.measure_perplexity(test) == pytest.approx(np.exp(nats.sum() / sizes.sum()))


def test_no_texts_have_no_perplexity():
    model, test = fit(TEXTS, [])
    assert isinstance(test, Tokens)
    assert np.isnan(model.measure_perplexity(test))
