"""Texts as flat arrays: numbered characters say what code points say, and equal spans are told from unequal ones."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth_assets.discriminators.flat_texts import (
    SPACE,
    BlockHash,
    FlatTexts,
    RollingHash,
    Words,
    find_later,
    find_places,
    find_repeats,
    find_sequences,
    mix_codes,
    read_texts,
)

MANY_LETTERS = "".join(map(chr, range(0x400, 0x4B0)))  # more than a byte can number
LETTERS = st.text("aAzZ .…\n\téÉðÐĀĠġsſßЖж好๑\u2028\U0001f600", max_size=30)
COLUMNS = st.lists(LETTERS, min_size=1, max_size=6)


def series(texts: list[str]) -> pl.Series:
    return pl.Series(texts, dtype=pl.String)


def partition(values: np.ndarray) -> list[int]:
    """Return for each value the place of its first equal one."""
    return [values.tolist().index(value) for value in values.tolist()]


@settings(deadline=None)
@given(COLUMNS)
def test_numbered_characters_have_the_kinds_and_the_equals_of_their_code_points(texts: list[str]) -> None:
    flat = FlatTexts.of(series(texts))
    numbered = flat.number_characters()
    assert numbered.codes.dtype == np.uint8
    assert (numbered.kinds == flat.kinds).all()
    assert partition(numbered.codes) == partition(flat.codes)
    assert partition(numbered.folded) == partition(flat.folded)
    assert numbered.find("…").tolist() == flat.find("…").tolist() == np.flatnonzero(flat.codes == ord("…")).tolist()
    assert (numbered.starts == flat.starts).all()


def test_more_characters_than_a_byte_can_number_stay_code_points() -> None:
    flat = FlatTexts.of(series([MANY_LETTERS])).number_characters()
    assert "".join(map(chr, flat.codes)) == MANY_LETTERS + " "


@settings(deadline=None)
@given(COLUMNS, st.booleans())
def test_rows_are_read_once_each_and_whole(texts: list[str], many: bool) -> None:
    texts = [*texts, MANY_LETTERS] if many else texts
    read = {}
    for rows, flat in read_texts(series(texts)):
        alphabet = np.arange(1 << 21) if flat.alphabet is None else flat.alphabet
        for row, start, end in zip(rows.tolist(), flat.starts, flat.ends, strict=True):
            assert row not in read
            read[row] = "".join(map(chr, alphabet[flat.codes[start:end]]))
    assert read == dict(enumerate(texts))


@settings(deadline=None)
@given(st.lists(st.text("ab", max_size=20), min_size=1, max_size=30), st.sampled_from([np.uint8, np.uint32]))
def test_spans_have_equal_hashes_exactly_if_they_are_equal(words: list[str], width: type) -> None:
    flat = FlatTexts.of(series(words))
    codes = flat.codes.astype(width)
    expected = [words.index(word) for word in words]
    assert partition(BlockHash.of(codes).of_spans(flat.starts, flat.lengths)) == expected
    assert partition(RollingHash.of(codes).of_spans(flat.starts, flat.ends)) == expected


@pytest.mark.parametrize("text", ["a" * 8 + "b" * 8 + "c", "ab" * 50])
def test_the_order_of_blocks_counts(text: str) -> None:
    other = text[8:16] + text[:8] + text[16:]
    flat = FlatTexts.of(series([text, other]))
    one, two = flat.block_hash.of_spans(flat.starts, flat.lengths)
    assert (one == two) == (text == other)


@settings(deadline=None)
@given(st.lists(st.integers(0, 12), max_size=60))
def test_equal_keys_are_found(values: list[int]) -> None:
    keys = mix_codes(np.array(values, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    later, first = find_later(keys)
    assert later.tolist() == [place for place, value in enumerate(values) if value in values[:place]]
    assert first.tolist() == [values.index(values[place]) for place in later]
    repeats, leaders = find_repeats(keys)
    assert repeats.tolist() == [place for place, value in enumerate(values) if values.count(value) > 1]
    assert repeats[leaders].tolist() == [values.index(values[place]) for place in repeats]


def test_keys_that_meet_in_one_slot_are_told_apart() -> None:
    keys = np.arange(1000, dtype=np.uint64) % np.uint64(300)  # their first bits are equal
    later, first = find_later(keys)
    assert later.tolist() == list(range(300, 1000))
    assert first.tolist() == [place % 300 for place in range(300, 1000)]


@settings(deadline=None)
@given(st.lists(st.booleans(), max_size=70))
def test_marked_places_and_their_sequences_are_found(marks: list[bool]) -> None:
    marked = np.array(marks, dtype=bool)
    places = find_places(marked)
    assert places.tolist() == np.flatnonzero(marked).tolist()
    starts, lengths = find_sequences(places)
    assert [place for start, length in zip(starts, lengths, strict=True) for place in range(start, start + length)] == (
        places.tolist()
    )
    assert not set((starts + lengths).tolist()) & set(places.tolist())


@settings(deadline=None)
@given(COLUMNS)
def test_words_lie_between_whitespace_and_characters_of_unspaced_scripts_alone(texts: list[str]) -> None:
    flat = FlatTexts.of(series(texts)).number_characters()
    words = Words.of(flat, flat.kinds & SPACE == 0)
    plain = [text.replace("好", " 好 ").replace("๑", " ๑ ").split() for text in texts]
    assert np.diff(words.first).tolist() == [len(parts) for parts in plain]
    assert words.lengths.tolist() == [len(word) for parts in plain for word in parts]
    assert words.sizes[-1] == sum(words.lengths)
    held = [np.bitwise_or.reduce(flat.kinds[start:end]) for start, end in zip(words.starts, words.ends, strict=True)]
    assert flat.kinds_in(words.starts, words.ends).tolist() == held
