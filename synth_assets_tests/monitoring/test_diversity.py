from __future__ import annotations

import math
import zlib
from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth_assets.monitoring.diversity import (
    Tokens,
    find_longest_shared_spans,
    find_ngrams,
    has_words,
    join_pieces,
    measure_compression_ratio,
    measure_coverage,
    measure_distinct_n,
    measure_ngram_entropy,
    measure_self_bleu,
    measure_self_repetition,
    measure_vendi,
    split_pieces,
    tokenize,
)

TEXTS = st.lists(st.lists(st.sampled_from("abcde"), max_size=12).map(" ".join), min_size=1, max_size=12)


def grams_by_hand(texts: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + n]) for words in map(str.split, texts) for i in range(len(words) - n + 1)]


def test_words_are_lower_cased_and_unspaced_scripts_go_sign_by_sign():
    tokens = tokenize(pl.Series(["Hello, WORLD!", None, "你好 world"]))
    assert tokens.lengths.tolist() == [2, 0, 3]
    assert tokens.vocabulary.gather(tokens.ids).to_list() == ["hello", "world", "你", "好", "world"]


@given(TEXTS, st.integers(1, 3))
def test_distinct_n_is_distinct_over_all(texts: list[str], n: int):
    grams = grams_by_hand(texts, n)
    value = measure_distinct_n(tokenize(pl.Series(texts)), n)
    assert value == pytest.approx(len(set(grams)) / len(grams)) if grams else np.isnan(value)


def test_ngrams_do_not_reach_over_the_end_of_a_text():
    hashes, docs = find_ngrams(tokenize(pl.Series(["a b", "c", "a b"])), 2)
    assert docs.tolist() == [0, 2]
    assert hashes[0] == hashes[1]


def test_entropy_of_eight_equally_frequent_words_is_three_bits():
    assert measure_ngram_entropy(tokenize(pl.Series(["a b c d", "e f g h"])), 1) == pytest.approx(3)


def test_compression_ratio_is_bytes_over_compressed_bytes():
    texts = ["pay the fee"] * 50
    joined = "\n".join(texts).encode()
    assert measure_compression_ratio(texts) == pytest.approx(len(joined) / len(zlib.compress(joined, 6)))


def test_self_repetition_by_hand():
    # of text 0 one of two 4-grams stands elsewhere, of text 1 its only one, text 2 repeats itself only
    texts = ["a b c d e", "b c d e", "x x x x x x"]
    assert measure_self_repetition(tokenize(pl.Series(texts))) == pytest.approx((0.5 + 1 + 0) / 3)


def test_a_repeated_text_repeats_itself_wholly():
    assert measure_self_repetition(tokenize(pl.Series(["one two three four five"] * 3))) == 1


def test_take_orders_texts_and_stops_at_the_budget():
    tokens = tokenize(pl.Series(["a b c", "", "d e", "f"]))
    taken = tokens.take(np.array([2, 0, 3]), budget=4)
    assert taken.vocabulary.gather(taken.ids).to_list() == ["d", "e", "a", "b"]
    assert taken.docs.tolist() == [0, 0, 1, 1]


@given(TEXTS, TEXTS)
def test_longest_shared_span_is_that_of_a_search_by_hand(texts: list[str], reference: list[str]):
    tokens = tokenize(pl.Series(texts + reference))
    places = np.arange(tokens.n_docs)
    lengths, related = find_longest_shared_spans(tokens.take(places[: len(texts)]), tokens.take(places[len(texts) :]))
    for text, length, other in zip(texts, lengths, related, strict=True):
        longest = max(
            (n for n in range(1, 13) if set(grams_by_hand([text], n)) & set(grams_by_hand(reference, n))), default=0
        )
        assert length == longest
        assert (other == -1) == (longest == 0)
        if longest:
            assert set(grams_by_hand([text], longest)) & set(grams_by_hand([reference[other]], longest))


def test_empty_texts_measure_nothing():
    tokens = tokenize(pl.Series(["", None], dtype=pl.String))
    assert np.isnan(
        [measure_distinct_n(tokens, 1), measure_ngram_entropy(tokens, 2), measure_self_repetition(tokens)]
    ).all()
    assert np.isnan(measure_compression_ratio([]))
    assert not has_words(pl.Series(["…", None]))


def bleu_by_hand(texts: list[str]) -> float:
    words = [text.split() for text in texts if text]
    scores = []
    for place, own in enumerate(words):
        others = words[:place] + words[place + 1 :]
        log = 0.0
        for n in range(1, 5):
            counts, *references = (Counter(grams_by_hand([" ".join(one)], n)) for one in (own, *others))
            matches = sum(min(count, max(one[gram] for one in references)) for gram, count in counts.items())
            smooth = int(n > 1)
            total = max(len(own) - n + 1, 0) + smooth
            share = (matches + smooth) / total
            log += math.log(share) / 4 if share else -math.inf
        near = min((abs(len(one) - len(own)), len(one)) for one in others)[1]
        scores.append(math.exp(log + min(0.0, 1 - near / len(own))))
    return sum(scores) / len(scores)


@given(st.lists(st.lists(st.sampled_from("abcde"), min_size=1, max_size=9).map(" ".join), min_size=2, max_size=8))
def test_self_bleu_is_that_of_a_count_by_hand(texts: list[str]):
    assert measure_self_bleu(tokenize(pl.Series(["", *texts]))) == pytest.approx(bleu_by_hand(texts))


def test_self_bleu_of_copies_is_one_and_a_single_text_has_none():
    assert measure_self_bleu(tokenize(pl.Series(["one two three four five"] * 3))) == pytest.approx(1)
    assert np.isnan(measure_self_bleu(tokenize(pl.Series(["one two"]))))


def test_vendi_score_counts_the_different_ones():
    four = np.eye(4)
    assert measure_vendi(np.concatenate([four, four, np.zeros((3, 4))])) == pytest.approx(4)
    assert measure_vendi(np.repeat(four[:1], 5, axis=0)) == pytest.approx(1)
    # eigenvalues (1 ± cos) / 2 of two vectors
    cosine = np.cos(0.7)
    shares = np.array([1 + cosine, 1 - cosine]) / 2
    pair = np.array([[1.0, 0.0], [cosine, np.sin(0.7)]])
    assert measure_vendi(pair) == pytest.approx(np.exp(-np.sum(shares * np.log(shares))))


def test_coverage_is_lost_where_nothing_is_near():
    rng = np.random.default_rng(0)
    angles = np.concatenate([rng.normal(0, 0.1, 50), rng.normal(2, 0.1, 50)])
    real = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert measure_coverage(real, real[::2]) > 0.9
    assert measure_coverage(real, real[:50]) == pytest.approx(0.5)


@given(st.lists(st.text(alphabet="aB é,.!?-'\n1", max_size=20), min_size=1, max_size=5))
def test_pieces_join_to_the_texts_they_were(texts: list[str]):
    pieces = split_pieces(pl.Series(texts, dtype=pl.String))
    assert join_pieces(pieces).to_list() == [text.strip() for text in texts]


def test_joined_tokens_keep_their_texts_apart():
    tokens = tokenize(pl.Series(["a b", "", "c"]))
    joined = Tokens.join([tokens.take(np.array([2, 1])), tokens.take(np.array([0]))])
    assert joined.docs.tolist() == [0, 2, 2]
    assert joined.vocabulary.gather(joined.ids).to_list() == ["c", "a", "b"]
