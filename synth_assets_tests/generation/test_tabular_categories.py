"""Closed-set variables: structure, shares, and what one single row has."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from synth_assets.generation.tabular.categories import NO_PARENT, CategoryModel, find_parents


def fit(codes: np.ndarray, groups: np.ndarray, temperature: float = 1.0) -> CategoryModel:
    sizes = codes.max(axis=0) + 1
    levels = {f"v{i}": pl.Series([f"x{j}" for j in range(size)]) for i, size in enumerate(sizes)}
    return CategoryModel.fit(levels, codes.astype(np.int32), groups, temperature)


def sample(model: CategoryModel, groups: np.ndarray) -> np.ndarray:
    streams = [np.random.default_rng(i).random(len(groups)) for i in range(model.streams)]
    return model.sample(groups, lambda stream, rows: streams[stream][rows])


def test_a_chain_is_found_and_the_stranger_stays_alone() -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 3, 3000)
    b = np.where(rng.random(3000) < 0.8, a, rng.integers(0, 3, 3000))
    c = np.where(rng.random(3000) < 0.8, b, rng.integers(0, 3, 3000))
    codes = np.stack([a, rng.integers(0, 3, 3000), c, b], axis=1)
    order, parents = find_parents(codes, [3, 3, 3, 3], np.zeros(3000, dtype=np.int64))
    linked = {frozenset((child, first)) for child, (first, _) in parents.items() if first != NO_PARENT}
    assert linked == {frozenset((0, 3)), frozenset((2, 3))}
    assert parents[1] == (NO_PARENT, NO_PARENT)
    assert all(order.index(child) > order.index(first) for child, (first, _) in parents.items() if first != NO_PARENT)


def test_a_second_parent_carries_what_the_first_does_not() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 2, 4000), rng.integers(0, 2, 4000)
    c = np.where(rng.random(4000) < 0.95, 2 * a + b, rng.integers(0, 4, 4000))
    codes = np.stack([a, b, c], axis=1)
    made = sample(fit(codes, np.ones(4000, dtype=np.int64)), np.ones(8000, dtype=np.int64))
    real = (codes[:, 2] == 2 * codes[:, 0] + codes[:, 1]).mean()
    assert (made[:, 2] == 2 * made[:, 0] + made[:, 1]).mean() == pytest.approx(real, abs=0.02)


def test_shares_are_kept_where_most_combinations_are_unique() -> None:
    rng = np.random.default_rng(2)
    a = rng.integers(0, 40, 1000)
    b = np.minimum(rng.geometric(0.08, 1000) - 1, 39)
    model = fit(np.stack([a, b], axis=1), np.ones(1000, dtype=np.int64))
    made = sample(model, np.ones(20_000, dtype=np.int64))
    real, synthetic = (np.bincount(column, minlength=40) / len(column) for column in (b, made[:, 1]))
    assert np.abs(real - synthetic).max() < 0.02


def test_what_one_row_has_in_its_context_is_not_drawn_from_there() -> None:
    # in group 1 one single row has the value 2, and no other row anywhere
    codes = np.concatenate([np.zeros(499), [2], np.ones(500)]).astype(np.int64)[:, None]
    groups = np.repeat([1, 2], 500)
    table = fit(codes, groups).tables[0, 1, False]
    assert table.kept[list(table.contexts).index(1)] == 499


def test_groups_keep_their_own_shares() -> None:
    rng = np.random.default_rng(3)
    groups = np.repeat([1, 2], 1000)
    codes = (rng.random(2000) < np.where(groups == 1, 0.1, 0.7)).astype(np.int64)[:, None]
    made = sample(fit(codes, groups), np.repeat([1, 2], 5000))[:, 0]
    assert made[:5000].mean() == pytest.approx(codes[:1000].mean(), abs=0.02)
    assert made[5000:].mean() == pytest.approx(codes[1000:].mean(), abs=0.02)


@pytest.mark.parametrize(("temperature", "low", "high"), [(0.5, 0.0, 0.1), (1.0, 0.17, 0.23), (2.0, 0.3, 0.4)])
def test_temperature_sharpens_or_flattens_the_shares(temperature: float, low: float, high: float) -> None:
    codes = np.repeat([0, 1], [800, 200])[:, None]
    made = sample(fit(codes, np.ones(1000, dtype=np.int64), temperature), np.ones(5000, dtype=np.int64))
    assert low <= made.mean() <= high
