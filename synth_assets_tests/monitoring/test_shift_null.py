from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from synth_assets.monitoring.shift.lost import Cells, judge_lost
from synth_assets.monitoring.shift.null import DRAWS, Finding, deal_counts, judge_findings, permute_labels


def make_finding(value: float, draws: np.ndarray, **more: float) -> Finding:
    return Finding("psi", value, draws, **{"watch": 0.0, "act": 0.0, **more})  # type: ignore[arg-type]


def test_permutations_keep_the_labels_of_every_group():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 4, 60)
    labels = rng.integers(0, 2, 60)
    dealt = permute_labels(labels, groups, rng)
    assert dealt.shape == (1 + DRAWS, 60)
    assert dealt[0].tolist() == labels.tolist()
    for group in range(4):
        assert set(dealt[:, groups == group].sum(axis=1)) == {labels[groups == group].sum()}
    assert len(np.unique(dealt, axis=0)) > DRAWS / 2


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.integers(0, 100))
def test_dealt_counts_are_of_the_pooled_rows(pooled: list[int], size: int):
    counts, size = np.array(pooled), min(size, sum(pooled))
    dealt = deal_counts(counts, size, np.random.default_rng(0))
    assert (dealt.sum(axis=1) == size).all()
    assert (dealt <= counts).all()


def test_dealt_counts_are_hypergeometric():
    dealt = deal_counts(np.array([30, 70, 0]), 50, np.random.default_rng(1))
    expected = hypergeom(100, 30, 50)
    assert dealt[:, 0].mean() == pytest.approx(expected.mean(), abs=4 * expected.std() / DRAWS**0.5)
    assert dealt[:, 0].std() == pytest.approx(expected.std(), rel=0.15)
    assert (dealt[:, 2] == 0).all()


def judge_noise(rng: np.random.Generator, tests: int) -> bool:
    """Return whether numbers that are draws of their own null give an alarm; half of them are skewed."""
    noise = rng.normal(size=(tests, DRAWS + 1))
    noise[::2] = noise[::2] ** 2
    findings = [make_finding(row[0], row[1:], watch=-9.0, act=-9.0) for row in noise]
    return any(metric.level != "ok" for metric in judge_findings(findings, 0.05))


def test_many_tests_together_give_as_many_false_alarms_as_the_rate_allows():
    rng = np.random.default_rng(3)
    alarms = sum(judge_noise(rng, 40) for _ in range(400))
    assert 6 <= alarms <= 34  # 400 at 5 %: 20 ± 3.2 standard deviations


def test_one_shift_among_many_tests_is_found_and_is_the_only_one():
    rng = np.random.default_rng(4)
    findings = [make_finding(0.0, rng.normal(size=DRAWS)) for _ in range(40)]
    levels = [m.level for m in judge_findings([*findings, make_finding(6.0, rng.normal(size=DRAWS))], 0.05)]
    assert levels == ["ok"] * 40 + ["act"]


def test_a_significant_number_below_its_bar_is_ok():
    draws = np.random.default_rng(5).normal(0, 0.001, DRAWS)
    levels = [judge_findings([make_finding(v, draws, watch=0.1, act=0.2)], 0.05)[0].level for v in (0.05, 0.15, 0.25)]
    assert levels == ["ok", "watch", "act"]


def test_a_number_above_its_bar_is_ok_when_chance_gives_it_too():
    draws = np.random.default_rng(6).normal(1, 1, DRAWS)
    assert judge_findings([make_finding(1.5, draws, watch=0.1, act=0.2)], 0.05)[0].level == "ok"


def test_a_number_that_no_permutation_changes_is_no_finding():
    assert judge_findings([make_finding(0.0, np.zeros(DRAWS))], 0.05)[0].level == "ok"


def test_a_finding_without_bars_is_told_with_its_interval():
    metric = judge_findings([Finding("x", 9.0, np.linspace(0, 1, DRAWS))], 0.05)[0]
    assert (metric.level, metric.threshold) == ("ok", None)
    assert metric.null_low == pytest.approx(0.025, abs=0.01)


@given(st.lists(st.integers(0, 60), min_size=2, max_size=6))
def test_the_chance_of_an_empty_cell_is_hypergeometric(counts: list[int]):
    real = np.array([counts, counts[::-1]])
    synthetic = np.array([[7] + [0] * (len(counts) - 1)] * 2)
    cells = Cells.of_counts("lost_values", "", [str(i) for i in range(len(counts))], real, synthetic)
    held = real + synthetic
    for place in range(len(counts)):
        expected = sum(hypergeom(held[g].sum(), held[g, place], 7).logpmf(0) for g in (0, 1))
        if np.isfinite(expected):
            assert cells.log_chances[place] == pytest.approx(expected, abs=1e-6)
        else:
            assert cells.log_chances[place] == -np.inf


def test_a_small_value_is_not_lost_and_a_large_one_is():
    names = ["large", "small", "rest"]
    real, synthetic = np.array([[25, 4, 971]]), np.array([[0, 0, 1000]])
    metric = judge_lost([Cells.of_counts("lost_values", "f", names, real, synthetic)], 0.025)[0]
    assert (metric.value, metric.level) == (1, "act")
    assert metric.note.endswith(": large")


def test_cells_too_small_to_be_lost_take_no_share_of_the_rate():
    # twelve rows on one side: p = 2⁻¹², enough against 2.5 % / 50 but not against 2.5 % / 500
    real, synthetic = np.array([[12, *[1] * 500, 488]]), np.array([[0, *[1] * 500, 500]])
    names = [str(place) for place in range(502)]
    assert judge_lost([Cells.of_counts("lost_values", "f", names, real, synthetic)], 0.025)[0].level == "act"
    many = np.array([[*[12] * 500, 6000]]), np.array([[0, *[12] * 499, 6012]])
    assert judge_lost([Cells.of_counts("lost_values", "f", names[:501], *many)], 0.025)[0].level == "ok"


def test_random_cells_are_rarely_lost():
    rng = np.random.default_rng(8)
    alarms = 0
    for _ in range(200):
        sides = rng.multinomial(1000, np.full(80, 1 / 80), size=2)
        cells = Cells.of_counts("lost_values", "f", [str(i) for i in range(80)], sides[:1], sides[1:])
        alarms += judge_lost([cells], 0.05)[0].level != "ok"
    assert alarms <= 10
