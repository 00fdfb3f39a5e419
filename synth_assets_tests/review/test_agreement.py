"""Reviewers against gold and against each other, by published numbers and by simulation."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from synth_assets.review.acceptance import clopper_pearson
from synth_assets.review.agreement import (
    CorrectedRate,
    correct_rate,
    krippendorffs_alpha,
    measure_accuracy,
    measure_agreement,
)


def decisions_of(table: dict[str, str]) -> pl.DataFrame:
    """One letter an example for each reviewer: a accept, r reject, f flag, s skip, . nothing."""
    words = {"a": "accept", "r": "reject", "f": "flag", "s": "skip"}
    rows = [
        (f"e{i:03d}", reviewer, words[letter])
        for reviewer, letters in table.items()
        for i, letter in enumerate(letters)
        if letter != "."
    ]
    return pl.DataFrame(rows, schema=["example_id", "reviewer", "decision"], orient="row")


def controls_of(letters: str) -> pl.DataFrame:
    expected = ["reject" if letter == "r" else "accept" for letter in letters]
    return pl.DataFrame({"example_id": [f"e{i:03d}" for i in range(len(letters))], "expected": expected})


# ---- against gold


def test_accuracy_counts_what_each_reviewer_said_of_known_rows() -> None:
    said = decisions_of({"ada": "rrfaas", "bob": "ar.aar"})
    table = measure_accuracy(said, controls_of("rrraaa"))
    assert table["reviewer"].to_list() == ["", "ada", "bob"]
    assert table.select("faulty", "caught", "sound", "passed").rows() == [(5, 4, 5, 4), (3, 3, 2, 2), (2, 1, 3, 2)]
    everybody = table.row(0, named=True)
    assert (everybody["sensitivity_low"], everybody["sensitivity_high"]) == clopper_pearson(4, 5, confidence=0.95)


def test_only_the_last_word_on_a_control_counts() -> None:
    said = pl.concat([decisions_of({"ada": "aa"}), decisions_of({"ada": "rr"})])
    assert measure_accuracy(said, controls_of("rr"))["caught"].to_list() == [2, 2]


def test_without_decisions_on_controls_there_is_no_row() -> None:
    assert measure_accuracy(decisions_of({"ada": "a"}), controls_of("r").clear()).is_empty()


def test_a_side_without_items_has_no_estimate_and_an_open_interval() -> None:
    row = measure_accuracy(decisions_of({"ada": "r"}), controls_of("r")).row(0, named=True)
    assert (row["specificity"], row["specificity_low"], row["specificity_high"]) == (None, 0.0, 1.0)


# ---- the corrected rate


def test_the_corrected_rate_is_rogan_and_gladens() -> None:
    """23 of 150 positive at sensitivity 0.96 and specificity 0.89 is a prevalence of 5.1 % (Rogan & Gladen 1978)."""
    found = correct_rate(23, 150, caught=48, faulty=50, passed=89, sound=100)
    assert isinstance(found, CorrectedRate)
    assert found.apparent == pytest.approx(23 / 150)
    assert found.rate == pytest.approx(0.051, abs=5e-4)
    assert found.low < found.rate < found.high


def test_more_gold_narrows_the_interval() -> None:
    widths = []
    for scale in (1, 10, 100):
        found = correct_rate(30, 300, caught=9 * scale, faulty=10 * scale, passed=19 * scale, sound=20 * scale)
        assert found is not None
        widths.append(found.high - found.low)
    assert widths == sorted(widths, reverse=True)


def test_perfect_reviewers_leave_the_rate_alone() -> None:
    found = correct_rate(10, 200, caught=500, faulty=500, passed=500, sound=500)
    assert found is not None
    assert found.rate == pytest.approx(0.05)


@pytest.mark.parametrize(
    "counts",
    [
        {"caught": 0, "faulty": 0, "passed": 5, "sound": 5},
        {"caught": 5, "faulty": 5, "passed": 0, "sound": 0},
        {"caught": 5, "faulty": 10, "passed": 5, "sound": 10},
    ],
)
def test_without_gold_or_better_than_a_coin_nothing_is_corrected(counts: dict[str, int]) -> None:
    assert correct_rate(5, 100, **counts) is None


@pytest.mark.parametrize(("rate", "gold"), [(0.02, 40), (0.05, 20), (0.15, 100)])
def test_the_interval_covers_the_true_rate_although_gold_is_a_sample_too(rate: float, gold: int) -> None:
    se, sp, n, runs = 0.9, 0.97, 400, 2000
    generator = np.random.default_rng(8)
    apparent = rate * se + (1 - rate) * (1 - sp)
    drawn = zip(
        generator.binomial(n, apparent, runs).tolist(),
        generator.binomial(gold, se, runs).tolist(),
        generator.binomial(gold, sp, runs).tolist(),
        strict=True,
    )
    found = [correct_rate(d, n, caught=c, faulty=gold, passed=p, sound=gold) for d, c, p in drawn]
    covered = np.mean([one is not None and one.low <= rate <= one.high for one in found])
    assert covered >= 0.94


# ---- against each other


def test_kappa_of_a_published_table_has_the_interval_of_its_standard_error() -> None:
    """20 both yes, 15 both no, 5 and 10 apart, of 50: kappa 0.4; asymptotic standard error 0.127 (Fleiss 1969)."""
    said = decisions_of({"ada": "a" * 25 + "r" * 25, "bob": "a" * 20 + "r" * 5 + "a" * 10 + "r" * 15})
    row = measure_agreement(said).filter(pl.col("statistic") == "kappa").row(0, named=True)
    assert row["value"] == pytest.approx(0.4)
    assert row["low"] == pytest.approx(0.4 - 1.96 * 0.127, abs=0.04)
    assert row["high"] == pytest.approx(0.4 + 1.96 * 0.127, abs=0.04)
    assert (row["examples"], row["ratings"]) == (50, 100)


@given(st.text("ar", min_size=8, max_size=60), st.integers(0, 99))
def test_kappa_is_scikit_learns(letters: str, seed: int) -> None:
    flips = np.random.default_rng(seed).random(len(letters)) < 0.3
    other = "".join("ra"[int((letter == "a") != flip)] for letter, flip in zip(letters, flips, strict=True))
    value = measure_agreement(decisions_of({"ada": letters, "bob": other})).row(0, named=True)["value"]
    if value is not None:
        assert value == pytest.approx(cohen_kappa_score(list(letters), list(other)))


def test_alpha_of_a_published_table() -> None:
    """Krippendorff 2011, example A: two observers, ten units, binary: alpha = 0.095."""
    said = decisions_of({"meg": "araaaaaara", "owen": "rrraaraaaa"})
    assert krippendorffs_alpha(said) == pytest.approx(0.095, abs=5e-4)


def test_alpha_takes_any_number_of_reviewers_and_missing_decisions() -> None:
    """By hand: units (a, a), (r, r, a), one single rating left out."""
    said = decisions_of({"ada": "aa.", "bob": "ar.", "cyd": ".ra"})
    off = 2 * (2 * 1) / 2 / 2  # coincidences a–r and r–a of the second unit: 1 each
    expected = 2 * 3 * 2 / (5 - 1)
    assert krippendorffs_alpha(said) == pytest.approx(1 - 2 * off / expected)


def test_one_reviewer_or_one_answer_says_nothing() -> None:
    alone = measure_agreement(decisions_of({"ada": "arar"}))
    alike = measure_agreement(decisions_of({"ada": "aaaa", "bob": "aaaa"}))
    for table in (alone, alike):
        assert table["statistic"].to_list() == ["kappa", "alpha"]
        assert table.select("value", "low", "high").null_count().row(0) == (2, 2, 2)


def test_the_interval_is_the_same_each_time_and_another_for_another_seed() -> None:
    said = decisions_of({"ada": "arraaraarara" * 3, "bob": "arrraraaraaa" * 3})
    assert measure_agreement(said).equals(measure_agreement(said.sample(fraction=1, shuffle=True, seed=1)))
    assert not measure_agreement(said).equals(measure_agreement(said, seed=1))
