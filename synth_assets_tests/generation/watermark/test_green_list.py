"""The green list and the nudge: who is green, and what a bias leaves alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth_assets.generation.watermark.green_list import (
    CANDIDATES,
    Rows,
    add_bias,
    are_green,
    are_green_torch,
    count_candidates,
    find_likeliest,
    language_key,
    sign_limit,
)
from synth_assets_tests.generation.watermark.keys_for_tests import KEY, OTHER_KEY

torch = pytest.importorskip("torch")
SECRET = language_key(KEY)


def distinct_logits(rows: int, vocabulary: int, seed: int = 0) -> Any:
    """Logits without ties, so that the likeliest ones are beyond doubt."""
    order = torch.stack(
        [torch.randperm(vocabulary, generator=torch.Generator().manual_seed(seed + i)) for i in range(rows)]
    )
    return order.float() * (20 / vocabulary)


def make_rows(
    previous: list[int], gamma: float = 0.25, delta: float = 2.0, width: int = CANDIDATES, **others: Any
) -> Rows:
    count = len(previous)
    limits = torch.full((count,), sign_limit(gamma))
    settings = {"deltas": torch.full((count,), delta), "candidates": None, **others}
    return Rows(torch.tensor(previous), limits, width=width, **settings)


@pytest.mark.parametrize("gamma", [0.01, 0.25, 0.5, 0.9])
def test_a_share_gamma_of_the_vocabulary_is_green_after_any_token(gamma: float) -> None:
    tokens = np.arange(50_000)
    for previous in (0, 7, 262_143):
        share = are_green(np.array([previous]), tokens, KEY, gamma).mean()
        assert abs(share - gamma) < 4 * np.sqrt(gamma * (1 - gamma) / len(tokens))


def test_the_list_depends_on_the_token_before_and_on_the_key() -> None:
    tokens = np.arange(20_000)
    lists = [are_green(np.array([1]), tokens, KEY, 0.5), are_green(np.array([2]), tokens, KEY, 0.5)]
    lists.append(are_green(np.array([1]), tokens, OTHER_KEY, 0.5))
    for one, two in ((0, 1), (0, 2), (1, 2)):
        assert abs((lists[one] == lists[two]).mean() - 0.5) < 0.015


@given(st.floats(1e-6, 1 - 1e-6), st.integers(0, 2**31))
def test_numpy_and_torch_agree_on_green(gamma: float, previous: int) -> None:
    tokens = np.arange(64)
    there = are_green_torch(torch.tensor([previous]), torch.from_numpy(tokens), SECRET, torch.tensor(sign_limit(gamma)))
    assert there.tolist() == are_green(np.array([previous]), tokens, KEY, gamma).tolist()


@pytest.mark.parametrize("vocabulary", [300, 50_257, 151_936])
@pytest.mark.parametrize("count", [1, 50, 256])
def test_the_likeliest_tokens_are_those_of_a_full_sort(vocabulary: int, count: int) -> None:
    logits = distinct_logits(3, vocabulary)
    values, tokens = find_likeliest(logits, count)
    expected = logits.sort(dim=1, descending=True)
    assert torch.equal(values, expected.values[:, :count])
    assert torch.equal(tokens, expected.indices[:, :count])


@pytest.mark.parametrize("width", [1, 50, 256])
def test_delta_is_added_to_the_green_ones_of_the_likeliest_alone(width: int) -> None:
    logits = distinct_logits(4, 5_000)
    previous = [3, 14, 159, 2653]
    biased = add_bias(logits.clone(), make_rows(previous, width=width), SECRET)
    for row, before in enumerate(previous):
        likeliest = set(logits[row].topk(width).indices.tolist())
        green = are_green(np.array([before]), np.arange(5_000), KEY, 0.25)
        expected = [bool(green[token]) and token in likeliest for token in range(5_000)]
        assert torch.equal(biased[row], logits[row] + 2.0 * torch.tensor(expected))


def test_what_a_grammar_masks_stays_masked() -> None:
    logits = torch.full((2, 1_000), -torch.inf)
    logits[0, 17] = 1.5
    logits[1, [5, 6]] = torch.tensor([0.25, 0.5])
    biased = add_bias(logits.clone(), make_rows([1, 2]), SECRET)
    assert torch.equal(torch.isneginf(biased), torch.isneginf(logits))
    assert not torch.isnan(biased).any()


def test_rows_without_a_mark_or_a_context_are_left_alone() -> None:
    logits = distinct_logits(3, 2_000)
    rows = make_rows([4, -1, 5], gamma=0.99, deltas=torch.tensor([0.0, 2.0, 2.0]))
    biased = add_bias(logits.clone(), rows, SECRET)
    assert torch.equal(biased[:2], logits[:2])
    assert not torch.equal(biased[2], logits[2])


def test_every_row_has_its_own_number_of_candidates_and_gamma() -> None:
    logits = distinct_logits(2, 2_000)
    rows = make_rows([4, 4], candidates=torch.tensor([10, 256]))
    rows.limits[1] = sign_limit(0.5)
    biased = add_bias(logits.clone(), rows, SECRET)
    for row, (width, gamma) in enumerate([(10, 0.25), (256, 0.5)]):
        alone = add_bias(logits[row : row + 1].clone(), make_rows([4], gamma=gamma, width=width), SECRET)
        assert torch.equal(biased[row : row + 1], alone)


def test_the_sampler_keeps_the_tokens_it_would_have_kept() -> None:
    """Under top_k the mark reorders what is kept and brings in nothing from the tail."""
    logits = distinct_logits(1, 2_000)
    biased = add_bias(logits.clone(), make_rows([9], delta=20.0, width=count_candidates(50, 2_000)), SECRET)
    assert set(biased[0].topk(50).indices.tolist()) == set(logits[0].topk(50).indices.tolist())


def test_candidates_follow_top_k_and_the_vocabulary() -> None:
    assert [count_candidates(k, 32_000) for k in (-1, 0, 1, 50, 256, 1_000)] == [256, 256, 1, 50, 256, 256]
    assert count_candidates(0, 100) == 100
