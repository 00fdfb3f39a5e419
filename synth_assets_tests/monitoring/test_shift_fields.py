from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp, wasserstein_distance

from synth_assets.monitoring.shift.fields import MAX_CELLS, OTHER, View, find_ends, view_categories, view_numbers
from synth_assets.monitoring.shift.strata import Pairing, pair_strata
from synth_assets.spec import FieldSpec

VALUES = st.lists(st.integers(-5, 5) | st.floats(-100, 100), min_size=1, max_size=60)


def pair(real: list, synthetic: list, strata: tuple[list[str], list[str]] | None = None) -> Pairing:
    frames = []
    for place, values in enumerate((real, synthetic)):
        strata_of = strata[place] if strata else ["all"] * len(values)
        ids = [f"{place}-{i}" for i in range(len(values))]
        frames.append(pl.DataFrame({"example_id": ids, "stratum": strata_of, "v": values}, strict=False))
    return pair_strata(*frames, seed=0)


def view(real: list, synthetic: list, strata: tuple[list[str], list[str]] | None = None) -> View:
    found = view_numbers("v", "", np.array(real, float), np.array(synthetic, float), pair(real, synthetic, strata))
    assert isinstance(found, View)
    return found


@given(VALUES, VALUES)
def test_ks_and_wasserstein_of_one_stratum_are_those_of_scipy(real: list[float], synthetic: list[float]):
    found = view(real, synthetic).measure()
    assert found["ks"] == pytest.approx(ks_2samp(real, synthetic, method="asymp").statistic, abs=1e-9)
    scale = np.std(real) or np.std(real + synthetic) or 1.0
    if scale > 1e-6:
        assert found["wasserstein"] == pytest.approx(wasserstein_distance(real, synthetic) / scale, rel=1e-6, abs=1e-9)


@given(VALUES, VALUES)
def test_every_row_has_a_cell_and_every_cell_of_a_number_a_row(real: list[float], synthetic: list[float]):
    found = view(real, synthetic)
    assert (found.real.sum(), found.synthetic.sum()) == (len(real), len(synthetic))
    assert ((found.real + found.synthetic).sum(axis=0)[:-1] > 0).all()
    assert found.places is not None
    assert (np.diff(found.places) > 0).all()
    assert (np.diff(found.bins) >= 0).all()
    assert len(found.names) == found.bins[-1] + 1
    assert np.bincount(found.codes, minlength=len(found.names)).tolist() == found.binned[1].tolist()


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(1, 12))
def test_bins_end_at_quantiles_and_frequent_values_stand_alone(counts: list[int], bins: int):
    ends = find_ends(np.array(counts), bins)
    lows, highs = [-1, *ends], [*ends, len(counts) - 1]
    for low, high in zip(lows, highs, strict=True):
        held = counts[low + 1 : high + 1]
        if len(held) > 1:
            assert max(held) < sum(counts) / bins


def test_deciles_hold_a_tenth_each():
    values = list(np.random.default_rng(0).normal(size=1000))
    binned = view(values[:500], values[500:]).binned
    assert (binned[0] + binned[1])[:-1].tolist() == [100.0] * 10


def test_the_cells_of_categories_are_the_most_frequent_values_of_both_sides():
    real = [f"v{i:03}" for i in range(80) for _ in range(80 - i)]
    pairing = pair([*real, None], ["new"] * 500)
    item = FieldSpec(name="v", type="category")
    found = view_categories(item, pairing)
    assert found.names[0] == "new"
    assert len(found.names) == MAX_CELLS + 2
    assert found.names[-1] == OTHER
    assert found.binned[0][-2] == 1
    lost = found.find_lost()
    assert lost is not None
    assert "v079" in lost.names  # of one row: a cell of its own, though none of the 50


def test_real_rows_are_weighted_to_the_synthetic_mix():
    real = [0.0] * 90 + [1.0] * 10
    strata = ["a"] * 90 + ["b"] * 10
    found = view(real, [0.0] * 10 + [1.0] * 90, (strata, ["a"] * 10 + ["b"] * 90))
    assert found.measure()["ks"] == pytest.approx(0)
    assert found.measure()["psi"] == pytest.approx(0)


@pytest.mark.parametrize("strata", [1, 6])
def test_the_null_is_what_real_against_real_gives(strata: int):
    rng = np.random.default_rng(strata)
    mixes = [[f"s{i}" for i in rng.integers(0, strata, 300)] for _ in range(2)]
    found = view(list(rng.normal(size=300)), list(rng.normal(size=300)), (mixes[0], mixes[1]))
    pairing = pair([0.0] * 300, [0.0] * 300, (mixes[0], mixes[1]))
    from synth_assets.spec import QualitySpec

    findings = {f.metric: f for f in found.judge(QualitySpec(), pairing.strata, pairing.sizes, 0) if not f.stratum}
    many = [ks_2samp(rng.normal(size=300), rng.normal(size=300)).statistic for _ in range(300)]
    assert np.mean(findings["ks"].draws) == pytest.approx(np.mean(many), rel=0.12)
    assert np.quantile(findings["ks"].draws, 0.95) == pytest.approx(np.quantile(many, 0.95), rel=0.15)


@pytest.mark.parametrize("value", [0.1, 3.0, 7.3])
def test_a_constant_column_is_measured_in_the_spread_of_both_sides(value: float):
    found = view([value] * 200, [value] * 194 + [value + 0.1] * 6).measure()
    assert found["wasserstein"] == pytest.approx(0.2468, abs=0.01)


def test_where_small_strata_hold_most_synthetic_rows_all_rows_are_compared():
    names = [f"small{i}" for i in range(40)]
    real = (["large"] * 20 + [name for name in names for _ in range(3)], [1.0] * 140)
    made = (["large"] * 20 + [name for name in names for _ in range(3)], [1.0] * 20 + [9e9] * 120)
    pairing = pair(real[1], made[1], (real[0], made[0]))
    assert pairing.strata == ("all",)
    assert pairing.synthetic.height == 140
    few = pair(real[1], [1.0] * 25, (real[0], ["large"] * 20 + names[:5]))
    assert few.strata == ("large",)
    assert few.uncovered.value == pytest.approx(0.2)
