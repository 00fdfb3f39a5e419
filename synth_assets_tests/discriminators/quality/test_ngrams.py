"""Hashed characters, words and n-grams are what a plain reading of the texts gives, and look-ups are exact."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth_assets.ngrams import Counts, KeyIndex, chunk_texts, read_characters

TEXT = st.text(st.sampled_from("ab'é 7\t-日😀\n"), max_size=12)
KEYS = st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 20), max_size=60)


def words_of(*texts: str | None) -> list[list[str]]:
    characters = read_characters(pl.Series(texts, dtype=pl.String))
    words = characters.words
    spelled = [
        "".join(map(chr, characters.points[start : start + length]))
        for start, length in zip(words.starts, words.lengths, strict=True)
    ]
    ends = np.cumsum(words.counts)
    return [spelled[end - count : end] for end, count in zip(ends, words.counts, strict=True)]


def same_pattern(hashes: np.ndarray, plain: list[object]) -> bool:
    """Whether hashes are equal exactly where the plain values are."""
    places: dict[object, int] = {}
    numbered = [places.setdefault(value, len(places)) for value in plain]
    seen: dict[int, int] = {}
    return [seen.setdefault(int(value), len(seen)) for value in hashes] == numbered


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Can't you PAY?", ["can't", "you", "pay", "?"]),
        ("pay £2,500 by 31st", ["pay", "£", "0", ",", "000", "by", "00st"]),
        ("日本 ok", ["日", "本", "ok"]),
        ("'quoted' it’s", ["'", "quoted", "'", "it’s"]),
        ("😀😀", ["😀", "😀"]),
        ("", []),
        (None, []),
    ],
)
def test_words_signs_and_unspaced_characters(text: str | None, words: list[str]):
    assert words_of("before", text, "after") == [
        ["before"],
        [word.replace("0" * 3, "000") for word in words],
        ["after"],
    ]


@given(st.lists(TEXT, min_size=1, max_size=6))
def test_words_and_pairs_have_equal_hashes_exactly_where_they_are_equal(texts: list[str]):
    characters = read_characters(pl.Series(texts))
    plain = words_of(*texts)
    assert same_pattern(characters.words.hashes, [word for words in plain for word in words])
    hashes, counts = characters.words.find_pairs()
    pairs = [list(pairwise(words)) for words in plain]
    assert counts.tolist() == [len(found) for found in pairs]
    assert same_pattern(hashes, [pair for found in pairs for pair in found])


@given(st.lists(TEXT, min_size=1, max_size=6), st.integers(1, 5))
def test_character_grams_lie_within_a_text_and_its_borders(texts: list[str], n: int):
    characters = read_characters(pl.Series(texts))
    digits = {ord(sign): "0" for text in characters.texts for sign in text if unicodedata.category(sign) == "Nd"}
    bordered = [f"\n{text.translate(digits)}\n" for text in characters.texts]
    plain = [[text[i : i + n] for i in range(len(text) - n + 1)] for text in bordered]
    hashes, counts = characters.find_grams(n)
    assert counts.tolist() == [len(found) for found in plain]
    assert same_pattern(hashes, [gram for found in plain for gram in found])


@given(KEYS, KEYS)
def test_keys_are_found_exactly(keys: list[int], wanted: list[int]):
    index = KeyIndex.of(np.array(keys, np.uint64))
    numbers = index.locate(np.array(keys, np.uint64))
    assert sorted(set(numbers.tolist())) == list(range(len(set(keys)))) == list(range(len(index)))
    known = dict(zip(keys, numbers.tolist(), strict=True))
    assert index.locate(np.array(wanted, np.uint64)).tolist() == [known.get(key, -1) for key in wanted]


@given(KEYS, KEYS)
def test_counts_are_how_often_a_key_was_given(keys: list[int], wanted: list[int]):
    counts = Counts.of(np.array(keys, np.uint64))
    assert counts.look_up(np.array(wanted, np.uint64)).tolist() == [keys.count(key) for key in wanted]


def test_chunks_are_the_column_in_order_and_a_long_text_is_one_of_them():
    texts = pl.Series(["a" * 400_000] * 7 + ["b" * 3_000_000, None, "c"])
    chunks = list(chunk_texts(texts))
    assert pl.concat(chunks).equals(texts)
    assert 1 < len(chunks) < len(texts)
    assert max(chunk.str.len_chars().sum() for chunk in chunks if len(chunk) > 1) < 3_500_000


def test_chunks_of_empty_texts_are_bounded_too():
    assert [len(chunk) for chunk in chunk_texts(pl.Series([""] * 150_000))] == [65_536, 65_536, 18_928]
    assert list(chunk_texts(pl.Series([], dtype=pl.String))) == []
