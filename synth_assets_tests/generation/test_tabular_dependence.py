"""Effects of categories, and correlations of latent scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth_assets.generation.tabular.dependence import fit_effects, fit_factors, shrinkage, solve_correlation
from synth_assets.generation.tabular.marginals import score_normally


@given(rho=st.floats(-0.9, 0.9), cut=st.floats(-1, 1), other=st.floats(-1, 1))
def test_the_latent_correlation_of_cut_normals_is_found(rho: float, cut: float, other: float) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=20_000)
    y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=20_000)
    (a, p), (b, q) = score_normally(np.where(x > cut, x, cut)), score_normally((y > other).astype(float))
    scores, coefficients = np.stack([a, b], axis=1), np.stack([p, q], axis=1)
    products = coefficients[:, :, None] * coefficients[:, None, :]
    found = solve_correlation(scores.T @ scores / len(scores), products)[0, 1]
    assert found == pytest.approx(rho, abs=0.06)


def test_shrinkage_falls_with_rows_and_is_whole_without_a_signal() -> None:
    rng = np.random.default_rng(1)
    target = np.eye(3)
    weights = []
    for rows in (20, 200, 20_000):
        x = rng.normal(size=rows)
        scores = np.stack([x, x + rng.normal(size=rows), rng.normal(size=rows)], axis=1)
        weights.append(shrinkage(scores, np.ones(scores.shape, dtype=bool), target))
    assert weights == sorted(weights, reverse=True)
    assert weights[-1] < 0.01
    noise = rng.normal(size=(100, 30))
    assert shrinkage(noise, np.ones(noise.shape, dtype=bool), np.eye(30)) > 0.8


def test_a_true_effect_is_found_and_noise_is_shrunk_away() -> None:
    rng = np.random.default_rng(2)
    codes = rng.integers(0, 4, size=(4000, 2)).astype(np.int32)
    scores = (np.array([-1.0, 0, 0, 1])[codes[:, 0]] + rng.normal(size=4000))[:, None]
    effects = fit_effects(codes, [4, 4], np.ones(4000, dtype=np.int64), scores, np.ones((4000, 1), dtype=bool))
    assert effects[0, False][:, 0] == pytest.approx([-1, 0, 0, 1], abs=0.1)
    assert np.abs(effects.get((1, False), np.zeros(1))).max() < 0.05


def test_groups_may_have_effects_of_their_own() -> None:
    rng = np.random.default_rng(3)
    codes, groups = rng.integers(0, 2, size=(4000, 1)).astype(np.int32), rng.integers(1, 3, 4000)
    slope = np.where(groups == 1, 1.0, -1.0)
    scores = (slope * (codes[:, 0] - 0.5) + 0.5 * rng.normal(size=4000))[:, None]
    effects = fit_effects(codes, [2], groups, scores, np.ones((4000, 1), dtype=bool))
    found = sum(effect.reshape(-1, 2)[[1, 2] if by_group else [0, 0]] for (_, by_group), effect in effects.items())
    assert np.diff(found, axis=1)[:, 0] == pytest.approx([1, -1], abs=0.15)


def test_small_groups_take_the_pooled_factor_and_large_ones_their_own() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=1010)
    sign = np.repeat([1.0, -1.0, 1.0], [500, 500, 10])
    scores = np.stack([x, sign * x + 0.3 * rng.normal(size=1010), *rng.normal(size=(18, 1010))], axis=1)
    members = {1: np.arange(500), 2: np.arange(500, 1000), 3: np.arange(1000, 1010)}
    untied = np.zeros((20, 20))
    untied[0] = 1
    factors, factor_of = fit_factors(
        scores / scores.std(axis=0),
        np.ones(scores.shape, dtype=bool),
        dict.fromkeys(members, untied),
        np.zeros(scores.shape),
        members,
    )
    assert factor_of.tolist() == [0, 1, 2, 0]
    found = [(factor @ factor.T)[0, 1] for factor in factors]
    assert found[1] > 0.8
    assert found[2] < -0.8
    assert abs(found[0]) < 0.2
