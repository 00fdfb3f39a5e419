"""One number of the tabular model: its grid, its quantile function, its scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from synth_assets.generation.tabular.marginals import (
    find_grid,
    fit_quantiles,
    latent_quantiles,
    round_digits,
    score_normally,
)
from synth_assets.spec import FieldSpec

FIELD = FieldSpec(name="x", type="number")


@given(values=st.lists(st.integers(-1000, 1000), min_size=1, max_size=300))
def test_a_quantile_function_never_falls_and_spans_the_values(values: list[int]) -> None:
    probability, value = fit_quantiles(np.array(values, dtype=float))
    assert (np.diff(probability) >= 0).all()
    assert (np.diff(value) >= 0).all()
    assert (value[0], value[-1]) == (min(values), max(values))


def test_many_values_are_kept_as_few_knots_with_their_tails() -> None:
    values = np.random.default_rng(0).lognormal(size=100_000)
    probability, value = fit_quantiles(values)
    assert len(probability) < 1000
    for share in (0.0005, 0.01, 0.5, 0.99, 0.9995):
        assert np.interp(share, probability, value) == pytest.approx(np.quantile(values, share), rel=0.03)


def test_values_next_to_a_spike_do_not_reach_out_to_it() -> None:
    values = np.concatenate([np.zeros(50), np.arange(100, 150) + 0.5])
    probability, value = fit_quantiles(values)
    drawn = np.interp(np.linspace(0.001, 0.999, 5000), probability, value)
    assert ((drawn == 0) | (drawn >= 100.5)).mean() > 0.999


@pytest.mark.parametrize(
    ("values", "decimals", "digits"),
    [
        ([1.5, 2.25, 3.0], 2, None),
        ([0.001234, 1234.0, 0.5678], 6, 4),
        ([1 / 3, 2 / 3, np.pi], None, None),
        ([10.0, 20.0, 35.0], 0, None),
    ],
)
def test_the_grid_of_observed_values(values: list[float], decimals: int | None, digits: int | None) -> None:
    grid = find_grid(np.array(values), FIELD, 0)
    assert (grid.decimals, grid.digits) == (decimals, digits)


def test_a_coarser_grid_stays_inside_the_observed_range() -> None:
    grid = find_grid(np.array([0.16, 0.5, 0.94]), FieldSpec(name="x", type="number", decimals=1), 0)
    assert (grid.low, grid.high) == (0.2, 0.9)


@given(value=st.floats(1e-9, 1e9), digits=st.integers(1, 9))
def test_significant_digits_are_those_of_format(value: float, digits: int) -> None:
    rounded = float(round_digits(np.array([value]), digits)[0])
    assert rounded == pytest.approx(float(f"{value:.{digits}g}"), rel=1.01 * 10.0 ** (1 - digits))
    assert float(f"{rounded:.{digits}g}") == rounded


def test_untied_scores_are_standard_and_the_first_hermite_coefficient_is_one() -> None:
    scores, coefficients = score_normally(np.random.default_rng(1).random(500))
    assert scores.mean() == pytest.approx(0, abs=1e-9)
    assert scores.var() == pytest.approx(1)
    assert coefficients.tolist() == [1.0] + [0.0] * (len(coefficients) - 1)


def test_hermite_coefficients_of_a_coin_are_those_of_the_sign() -> None:
    scores, coefficients = score_normally(np.repeat([0.0, 1.0], 5000))
    assert np.unique(scores) == pytest.approx([-np.sqrt(2 / np.pi), np.sqrt(2 / np.pi)], rel=1e-3)
    # E[sign(Z) · He_k(Z) / √k!] · √(2/π) for k = 1, 2, 3
    assert coefficients[:3] == pytest.approx([2 / np.pi, 0, -2 / np.pi / np.sqrt(6)], abs=1e-3)


@given(noise=st.floats(0.02, 1), spread=st.floats(0, 5), seed=st.integers(0, 100))
def test_latent_quantiles_are_those_of_the_mixture(noise: float, spread: float, seed: int) -> None:
    means = np.random.default_rng(seed).normal(0, spread, 50)
    shares = np.array([0.001, 0.1, 0.5, 0.9, 0.999])
    found = latent_quantiles(shares, means, noise)
    # a mass point may sit between two quantiles, so allow the error of the step the mixture is binned by
    low = stats.norm.cdf((found[:, None] - noise / 4 - means) / noise).mean(axis=1)
    high = stats.norm.cdf((found[:, None] + noise / 4 - means) / noise).mean(axis=1)
    assert (low <= shares).all()
    assert (high >= shares).all()
