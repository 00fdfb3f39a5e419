"""The statistics of both detectors: z, exact p-values, and what counts once."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, kstest

from synth_assets.generation.watermark.evidence import weigh_evidence


def units(rows: list[tuple[int, str, int, int]]) -> pl.DataFrame:
    schema = {"record": pl.UInt32, "unit": pl.String, "scored": pl.Int64, "green": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_z_and_p_follow_from_the_counts() -> None:
    found = weigh_evidence(pl.Series(["a"]), units([(0, f"u{i}", 1, int(i < 12)) for i in range(20)]), 0.25)
    row = found.records.row(0, named=True)
    assert (row["record"], row["scored"], row["green"]) == ("a", 20, 12)
    assert row["z"] == pytest.approx((12 - 5) / math.sqrt(20 * 0.25 * 0.75))
    assert row["p_value"] == pytest.approx(sum(binom.pmf(k, 20, 0.25) for k in range(12, 21)))


def test_a_unit_counts_once_in_its_record_and_once_in_the_pool() -> None:
    rows = [(0, "x", 1, 1), (0, "x", 1, 1), (0, "y", 1, 0), (1, "x", 1, 1), (1, "z", 1, 1)]
    found = weigh_evidence(pl.Series(["a", "b"]), units(rows), 0.5)
    assert found.records["scored"].to_list() == [2, 2]
    assert found.records["green"].to_list() == [1, 2]
    assert (found.pooled.records, found.pooled.scored, found.pooled.green) == (2, 3, 2)


def test_a_record_without_units_is_evidence_of_nothing() -> None:
    found = weigh_evidence(pl.Series(["a", "b"]), units([(1, "x", 1, 0)]), 0.25)
    assert found.records.row(0, named=True) == {"record": "a", "scored": 0, "green": 0, "z": None, "p_value": 1.0}
    assert found.records["p_value"][1] == 1.0  # nothing green: every outcome is at least as green


@pytest.mark.parametrize("names", [pl.Series([], dtype=pl.String), pl.Series(["a", "b"])])
def test_nothing_to_score_has_no_z_and_p_1(names: pl.Series) -> None:
    found = weigh_evidence(names, units([]), 0.25)
    assert found.records["record"].to_list() == names.to_list()
    assert (found.pooled.scored, found.pooled.z, found.pooled.p_value) == (0, None, 1.0)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.floats(0.05, 0.95), st.integers(0, 99))
def test_p_is_never_smaller_than_the_chance_of_what_was_seen(sizes: list[int], gamma: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [(r, f"{r}-{i}", 1, int(rng.random() < gamma)) for r, size in enumerate(sizes) for i in range(size)]
    found = weigh_evidence(pl.Series(range(len(sizes))), units(rows), gamma)
    for scored, green, p in found.records.select("scored", "green", "p_value").iter_rows():
        assert binom.pmf(green, scored, gamma) <= p + 1e-12
        assert 0 < p <= 1
    assert found.pooled.scored == sum(sizes)


def test_without_a_mark_p_is_uniform() -> None:
    """400 unmarked records of 200 units: p, made continuous within its steps, is uniform."""
    rng = np.random.default_rng(1)
    green = rng.random((400, 200)) < 0.25
    rows = [(r, f"{r}-{i}", 1, int(green[r, i])) for r in range(400) for i in range(200)]
    found = weigh_evidence(pl.Series(range(400)), units(rows), 0.25).records
    steps = binom.pmf(found["green"].to_numpy(), 200, 0.25)
    assert kstest(found["p_value"].to_numpy() - rng.random(400) * steps, "uniform").pvalue > 0.01
