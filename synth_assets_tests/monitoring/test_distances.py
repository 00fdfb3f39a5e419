from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr
from scipy.stats import ks_2samp, wasserstein_distance
from scipy.stats.contingency import association

from synth_assets.monitoring.distances import (
    measure_cramers_v,
    measure_js_distance,
    measure_ks,
    measure_psi,
    measure_total_variation,
    measure_wasserstein,
)

COUNTS = hnp.arrays(np.int64, 6, elements=st.integers(0, 500)).filter(lambda counts: counts.sum() > 0)


def test_psi_by_hand():
    # p = 50.5/101 … with half a count added to both cells: (.5 − .25)·ln(.5/.25) + (.5 − .75)·ln(.5/.75)
    expected, actual = np.array([50, 50]), np.array([25, 75])
    p, q = np.array([50.5, 50.5]) / 101, np.array([25.5, 75.5]) / 101
    assert measure_psi(expected, actual) == pytest.approx(np.sum((p - q) * np.log(p / q)))
    assert measure_psi(expected, actual) == pytest.approx(0.2693, abs=1e-3)


@given(COUNTS, COUNTS)
def test_psi_is_symmetric_and_not_negative(a: np.ndarray, b: np.ndarray):
    assert measure_psi(a, b) == pytest.approx(float(measure_psi(b, a)))
    assert measure_psi(a, b) >= 0


@given(COUNTS.map(lambda counts: counts + 1), COUNTS.map(lambda counts: counts + 1))
def test_psi_without_smoothing_is_that_of_scipy(a: np.ndarray, b: np.ndarray):
    p, q = a / a.sum(), b / b.sum()
    expected = (rel_entr(p, q) + rel_entr(q, p)).sum()
    assert measure_psi(a, b, pseudo_count=0) == pytest.approx(expected, abs=1e-9)


def test_an_empty_cell_makes_psi_infinite_only_without_smoothing():
    assert measure_psi(np.array([5, 5]), np.array([10, 0]), pseudo_count=0) == np.inf
    assert np.isfinite(measure_psi(np.array([5, 5]), np.array([10, 0])))


@given(COUNTS)
def test_psi_of_equal_counts_is_zero(counts: np.ndarray):
    assert measure_psi(counts, counts) == pytest.approx(0)


@given(COUNTS, COUNTS)
def test_cells_that_nobody_uses_change_nothing(a: np.ndarray, b: np.ndarray):
    wide = [np.concatenate([side, [0, 0, 0]]) for side in (a, b)]
    assert measure_psi(*wide) == pytest.approx(float(measure_psi(a, b)))


def test_psi_of_a_shift_by_half_a_standard_deviation_is_a_quarter():
    # symmetric Kullback–Leibler divergence of N(0, 1) and N(½, 1) is ¼; ten bins lose a little of it
    rng = np.random.default_rng(0)
    edges = np.quantile(rng.normal(size=200_000), np.arange(0.1, 1, 0.1))
    a, b = (np.bincount(np.searchsorted(edges, rng.normal(m, 1, 200_000)), minlength=10) for m in (0, 0.5))
    assert 0.23 < measure_psi(a, b) < 0.25


@given(COUNTS, COUNTS)
def test_js_distance_is_that_of_scipy(a: np.ndarray, b: np.ndarray):
    assert measure_js_distance(a, b) == pytest.approx(jensenshannon(a, b, base=2), abs=1e-7)


def test_js_distance_of_disjoint_distributions_is_one():
    assert measure_js_distance(np.array([3, 0]), np.array([0, 9])) == pytest.approx(1)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=40), st.lists(st.integers(-5, 5), min_size=1, max_size=40))
def test_ks_is_that_of_scipy(a: list[int], b: list[int]):
    counts = [np.bincount(np.array(side) + 5, minlength=11) for side in (a, b)]
    assert measure_ks(*counts) == pytest.approx(ks_2samp(a, b, method="asymp").statistic)


@given(COUNTS, COUNTS, hnp.arrays(np.float64, 6, elements=st.floats(-1e3, 1e3), unique=True).map(np.sort))
def test_wasserstein_is_that_of_scipy(a: np.ndarray, b: np.ndarray, places: np.ndarray):
    expected = wasserstein_distance(places, places, a, b)
    assert measure_wasserstein(a, b, places) == pytest.approx(expected, abs=1e-8)


@given(COUNTS, COUNTS, COUNTS, hnp.arrays(np.float64, 6, elements=st.floats(-1e3, 1e3), unique=True).map(np.sort))
def test_wasserstein_keeps_the_triangle_inequality(a: np.ndarray, b: np.ndarray, c: np.ndarray, places: np.ndarray):
    direct = measure_wasserstein(a, c, places)
    assert direct <= measure_wasserstein(a, b, places) + measure_wasserstein(b, c, places) + 1e-8


@given(COUNTS, st.floats(-50, 50))
def test_wasserstein_of_moved_values_is_the_distance(counts: np.ndarray, distance: float):
    places = np.sort(np.concatenate([np.arange(6.0), np.arange(6.0) + distance]))
    order = np.argsort(np.concatenate([np.arange(6.0), np.arange(6.0) + distance]), kind="stable")
    a, b = (np.concatenate(sides)[order] for sides in ((counts, 0 * counts), (0 * counts, counts)))
    assert measure_wasserstein(a, b, places) == pytest.approx(abs(distance), abs=1e-9)


@given(COUNTS, COUNTS)
def test_distances_that_are_shares_lie_between_zero_and_one(a: np.ndarray, b: np.ndarray):
    for measure in (measure_js_distance, measure_ks, measure_cramers_v, measure_total_variation):
        assert -1e-9 <= measure(a, b) <= 1 + 1e-9


@given(COUNTS, COUNTS)
def test_cramers_v_is_that_of_scipy(a: np.ndarray, b: np.ndarray):
    used = (a + b) > 0
    if used.sum() < 2:
        assert measure_cramers_v(a, b) == pytest.approx(0)
    else:
        table = np.stack([a, b])[:, used]
        assert measure_cramers_v(a, b) == pytest.approx(association(table, method="cramer"), abs=1e-9)


def test_total_variation_by_hand():
    assert measure_total_variation(np.array([2, 2, 0]), np.array([1, 1, 2])) == pytest.approx(0.5)


def test_draws_are_compared_one_by_one():
    a, b = np.array([[5, 5], [9, 1]]), np.array([[5, 5], [1, 9]])
    for measure in (measure_psi, measure_js_distance, measure_ks, measure_cramers_v, measure_total_variation):
        values = measure(a, b)
        assert values.shape == (2,)
        assert values.tolist() == pytest.approx([float(measure(a[i], b[i])) for i in (0, 1)])
