"""Copies with changes: every pair that differs in two places is found, and no other."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth_assets.monitoring.privacy.copies import find_copies, have_copies
from synth_assets.monitoring.privacy.variants import find_nearest_sequence, have_near_sequence, mask_places

SEQUENCES = st.lists(st.lists(st.integers(1, 5), max_size=8), min_size=1, max_size=12)


def as_hashes(sequences: list[list[int]]) -> list[np.ndarray]:
    spread = np.random.default_rng(0).integers(0, 1 << 63, size=8).astype(np.uint64)
    return [spread[np.array(sequence, dtype=np.int64)] for sequence in sequences]


def common_length(one: list[int], two: list[int]) -> int:
    """Return the length of the longest common subsequence."""
    table = [[0] * (len(two) + 1) for _ in range(len(one) + 1)]
    for i, a in enumerate(one):
        for j, b in enumerate(two):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


def likeness_of(one: list[int], two: list[int]) -> float:
    longest, common = max(len(one), len(two)), common_length(one, two)
    return common / longest if common >= max(longest - 2, 2) else 0.0


@given(SEQUENCES, SEQUENCES)
def test_the_nearest_sequence_is_that_of_the_longest_common_subsequence(left: list[list[int]], right: list[list[int]]):
    nearest, likeness = find_nearest_sequence(as_hashes(left), as_hashes(right))
    for place, one in enumerate(left):
        expected = max(likeness_of(one, two) for two in right)
        assert likeness[place] == pytest.approx(expected)
        assert (nearest[place] >= 0) == (expected > 0)
        if expected:
            assert likeness_of(one, right[nearest[place]]) == pytest.approx(expected)


@given(SEQUENCES)
def test_a_sequence_is_never_near_for_itself(sequences: list[list[int]]):
    found = have_near_sequence(as_hashes(sequences))
    for place, one in enumerate(sequences):
        others = [two for other, two in enumerate(sequences) if other != place]
        assert found[place] == any(likeness_of(one, two) > 0 for two in others)


@given(st.lists(st.lists(st.integers(0, 2), min_size=5, max_size=5), min_size=2, max_size=10))
def test_rows_share_a_mask_where_they_differ_in_two_places_at_most(rows: list[list[int]]):
    spread = np.random.default_rng(0).integers(0, 1 << 63, size=(5, 3)).astype(np.uint64)
    masks = mask_places(np.stack([spread[np.arange(5), row] for row in rows]))
    for i, one in enumerate(rows):
        for j, two in enumerate(rows):
            differ = sum(a != b for a, b in zip(one, two, strict=True))
            assert bool(set(masks[i].tolist()) & set(masks[j].tolist())) == (differ <= 2)


def copies_of(made: list[str], train: list[str]) -> list[tuple[int, int]]:
    found = find_copies(pl.Series(made), pl.Series(train), jaccard=0.8)
    return found.select("left", "right").rows()


def test_two_words_replaced_left_out_or_put_in_make_a_copy():
    train = ["my card top-up of 3.50 isn't there yet", "where is the nearest cash machine that takes it"]
    made = [
        "our card payment of 3.50 isn't there yet",
        "my card top-up of isn't yet",
        "where oh where is the nearest cash machine that takes it",
        "their card payment of 9.99 isn't there yet",
    ]
    assert copies_of(made, train) == [(0, 0), (1, 0), (2, 1)]


def test_long_texts_are_compared_by_their_shingles():
    words = [f"word{i}" for i in range(60)]
    changed = [*words[:20], "extraordinarily", *words[21:40], "unpredictable", *words[41:]]
    assert copies_of([" ".join(changed)], ["something else", " ".join(words)]) == [(0, 1)]
    half = [*words[:30], *(f"other{i}" for i in range(30))]
    assert copies_of([" ".join(half)], [" ".join(words)]) == []


def test_empty_texts_copy_nothing():
    assert find_copies(pl.Series([None, ""], dtype=pl.String), pl.Series(["", None]), jaccard=0.8).is_empty()
    assert not have_copies(pl.Series([None, "", "a b"]), jaccard=0.8).any()


def test_real_rows_are_near_to_others_not_to_themselves():
    texts = pl.Series(["how do i pay by card", "how do i pay by cash", "what is the exchange rate today"])
    assert have_copies(texts, jaccard=0.8).tolist() == [True, True, False]
