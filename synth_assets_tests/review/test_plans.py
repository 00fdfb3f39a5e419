"""Plans that pay for both risks: exact risks, against enumeration, tables and worst cases."""

from __future__ import annotations

from itertools import product

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, hypergeom

from synth_assets.monitoring.plots import plot_operating_characteristic
from synth_assets.review import plans
from synth_assets.review.plans import (
    ACCEPTANCE,
    FixedPlan,
    SequentialPlan,
    acceptance_number,
    acceptance_of,
    chance_of_at_most,
    characteristic,
    fixed_plan,
    sequential_plan,
    tolerated_defects,
    upper_bound,
)

RATES = {"tolerated": 0.05, "acceptable": 0.01, "confidence": 0.95}
LARGE = 1_000_000


def found_in_strata(cells: list[tuple[int, int, int]]) -> np.ndarray:
    """Return the law of the number of defects found: (rows, defects, drawn) of each cell, drawn apart."""
    law = np.ones(1)
    for rows, defects, drawn in cells:
        law = np.convolve(law, hypergeom.pmf(np.arange(drawn + 1), rows, defects, drawn))
    return law


# ---- exact risks


def test_a_large_batch_has_the_binomial_risk() -> None:
    assert chance_of_at_most(3, 153, 50_000, LARGE) == pytest.approx(binom.cdf(3, 153, 0.05))


def test_a_batch_reviewed_in_large_part_has_the_risk_of_missing_its_defects() -> None:
    """Ten defects in 200 rows of which 150 are drawn: each defect is found with probability 3/4."""
    assert chance_of_at_most(2, 150, 10, 200) == pytest.approx(binom.cdf(2, 10, 0.75))


@given(
    st.lists(st.tuples(st.integers(1, 8), st.floats(0, 1)), min_size=1, max_size=12),
    st.sampled_from([0.25, 0.5, 0.75]),
    st.integers(0, 4),
)
@settings(max_examples=150)
def test_no_stratified_draw_finds_few_defects_more_often(shapes: list[tuple[int, float]], share: float, c: int) -> None:
    """Cells of which exactly the share is drawn, with any number of defects each."""
    cells = [(4 * size, round(4 * size * bad), round(4 * size * share)) for size, bad in shapes]
    batch, defects, n = (sum(cell[i] for cell in cells) for i in range(3))
    law = found_in_strata(cells)
    assert law[: c + 1].sum() <= chance_of_at_most(c, n, defects, batch) + 1e-9


def test_a_batch_reviewed_whole_is_certain() -> None:
    assert chance_of_at_most(2, 40, 2, 40) == 1.0
    assert chance_of_at_most(1, 40, 2, 40) == 0.0


@pytest.mark.parametrize(("n", "c"), [(58, -1), (59, 0), (92, 0), (93, 1), (124, 2), (153, 3)])
def test_acceptance_numbers_of_large_batches_are_those_of_the_table(n: int, c: int) -> None:
    assert acceptance_number(n, LARGE, tolerated=0.05, confidence=0.95) == c


@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from([0.02, 0.05, 0.1]), st.floats(1, 1.25))
def test_an_acceptance_number_is_the_largest_that_the_consumer_allows(
    n: int, batch: int, tolerated: float, spread: float
) -> None:
    n = min(n, batch)
    bad = tolerated_defects(batch, tolerated)
    c = acceptance_number(n, batch, tolerated=tolerated, confidence=0.95, spread=spread)
    assert chance_of_at_most(c, n, bad, batch, spread=spread) <= 0.05
    assert chance_of_at_most(c + 1, n, bad, batch, spread=spread) > 0.05


@given(st.integers(1, 300), st.integers(1, 2000), st.integers(0, 12), st.floats(1, 1.25))
def test_the_upper_bound_is_below_the_tolerated_rate_exactly_where_the_plan_accepts(
    n: int, batch: int, defects: int, spread: float
) -> None:
    n = min(n, batch)
    defects = min(defects, n)
    spread = 1.0 if n == batch else spread
    c = acceptance_number(n, batch, tolerated=0.05, confidence=0.95, spread=spread)
    high = upper_bound(defects, n, batch, confidence=0.95, spread=spread)
    assert (high < 0.05 - 1e-12) == (defects <= c)


# ---- the fixed plan


def test_the_smallest_plan_for_both_risks_is_153_with_3() -> None:
    plan = fixed_plan(LARGE, **RATES)
    assert (plan.n, plan.c, plan.pays_for_both, plan.note) == (153, 3, True, "")
    assert plan.consumer_risk == pytest.approx(binom.cdf(3, 153, 0.05), abs=1e-6)
    assert plan.acceptance == pytest.approx(binom.cdf(3, 153, 0.01))


@pytest.mark.parametrize("batch", [60, 100, 250, 1000, 5000])
def test_no_smaller_plan_pays_for_both_risks(batch: int) -> None:
    plan = fixed_plan(batch, **RATES)
    assert plan.pays_for_both
    assert plan.consumer_risk <= 0.05
    for n in range(1, plan.n):
        c = acceptance_number(n, batch, tolerated=0.05, confidence=0.95)
        assert acceptance_of(n, c, 0.01) < ACCEPTANCE


@given(st.integers(1, 300), st.sampled_from([0.03, 0.05, 0.1]), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_at_least_is_kept_and_both_risks_stay_paid(floor: int, tolerated: float, confidence: float) -> None:
    plan = fixed_plan(10_000, tolerated=tolerated, acceptable=tolerated / 5, confidence=confidence, at_least=floor)
    assert plan.n >= floor
    assert plan.consumer_risk <= 1 - confidence
    assert plan.acceptance >= ACCEPTANCE


def test_a_small_batch_keeps_the_consumers_promise_and_says_so() -> None:
    plan = fixed_plan(15, **RATES)
    assert (plan.n, plan.c, plan.certifies, plan.pays_for_both) == (15, 0, True, False)
    assert "pay for the consumer only" in plan.note
    assert "86%" in plan.note


def test_a_budget_that_cannot_pay_for_both_buys_the_best_acceptance() -> None:
    plan = fixed_plan(LARGE, **RATES, at_most=110)
    assert (plan.n, plan.c, plan.pays_for_both) == (93, 1, False)
    assert plan.consumer_risk <= 0.05
    assert plan.acceptance > acceptance_of(59, 0, 0.01)
    assert plan.acceptance > acceptance_of(110, 1, 0.01)


def test_a_budget_that_cannot_certify_says_that_nothing_is() -> None:
    plan = fixed_plan(LARGE, **RATES, at_most=20)
    assert (plan.n, plan.c, plan.certifies) == (20, -1, False)
    assert "cannot certify" in plan.note


def test_an_acceptable_rate_that_is_not_below_the_tolerated_one_pays_for_the_consumer() -> None:
    plan = fixed_plan(LARGE, tolerated=0.05, acceptable=0.05, confidence=0.95)
    assert (plan.n, plan.c, plan.pays_for_both) == (59, 0, False)


def test_close_rates_are_told_apart_by_a_large_sample() -> None:
    plan = fixed_plan(LARGE, tolerated=0.05, acceptable=0.04, confidence=0.95)
    assert plan.pays_for_both
    assert 3000 < plan.n < 5000


# ---- the sequential plan


@pytest.fixture(scope="module")
def steps() -> SequentialPlan:
    plan = sequential_plan(5000, **RATES)
    assert plan is not None
    return plan


def test_the_sequential_plan_keeps_both_promises_with_fewer_rows(steps: SequentialPlan) -> None:
    fixed = fixed_plan(5000, **RATES)
    assert steps.consumer_risk <= 0.05
    assert steps.acceptance >= ACCEPTANCE
    assert steps.mean_size < 0.75 * fixed.n
    assert fixed.n <= steps.n <= 1.5 * fixed.n


def test_the_sequential_plan_always_ends(steps: SequentialPlan) -> None:
    for rate in (0.0, 0.02, 0.5, 1.0):
        played = np.random.default_rng(1).random((50, steps.n)) < rate
        assert all(steps.judge(row.tolist())[0] != "open" for row in played)


def test_exact_characteristics_are_those_of_all_paths() -> None:
    """A short test whose 2 ** 12 paths can be gone through one by one."""
    steps = SequentialPlan(n=12, c=2, first=3, slope=0.2, accept_line=0.9, reject_line=1.6)
    rate = 0.23
    acceptance = size = 0.0
    for path in product([False, True], repeat=12):
        verdict, k, _ = steps.judge(path)
        chance = rate ** sum(path) * (1 - rate) ** (12 - sum(path))
        acceptance += chance * (verdict == "accept")
        size += chance * k
    row = characteristic(steps, [rate]).row(0, named=True)
    assert row["acceptance"] == pytest.approx(acceptance)
    assert row["mean_size"] == pytest.approx(size)


def test_the_characteristic_is_what_playing_the_plan_gives(steps: SequentialPlan) -> None:
    runs, rates = 2000, [0.005, 0.01, 0.03, 0.05]
    curve = characteristic(steps, rates)
    accept = np.array([steps.accepts_up_to(k) for k in range(1, steps.n + 1)])
    reject = np.array([steps.rejects_from(k) for k in range(1, steps.n + 1)])
    for rate, acceptance, size in curve.select("defect_rate", "acceptance", "mean_size").iter_rows():
        found = np.cumsum(np.random.default_rng(3).random((runs, steps.n)) < rate, axis=1)
        end = ((found <= accept) | (found >= reject)).argmax(axis=1)
        accepted = found[np.arange(runs), end] <= accept[end]
        assert accepted.mean() == pytest.approx(acceptance, abs=4 * np.sqrt(0.25 / runs))
        assert (end + 1).mean() == pytest.approx(size, abs=4 * (end + 1).std() / np.sqrt(runs))


def test_the_worst_law_is_searched_finely_enough(steps: SequentialPlan) -> None:
    """Every law with some indicators 0, some 1 and the others equal, against the grid that the plan looks at."""
    value, n, bad = plans._paths_of(steps).accepting, steps.n, 250
    mean = n * bad / 5000
    worst = 0.0
    for ones in range(int(mean) + 1):
        sizes = np.arange(max(int(np.ceil(mean - ones)), 1), n - ones + 1)[:, None]
        law = binom.pmf(np.arange(n - ones + 1), sizes, np.minimum((mean - ones) / sizes, 1))
        worst = max(worst, float((law @ value[ones:]).max()))
    assert plans._worst(value, n, bad, 5000) == pytest.approx(worst, abs=1e-4)
    assert worst <= 0.05 + 1e-4


def test_a_path_accepted_early_certifies_more_than_one_accepted_late(steps: SequentialPlan) -> None:
    ends = plans._paths_of(steps)
    highs = []
    for k, defects in zip(ends.k[ends.accepted], ends.defects[ends.accepted], strict=True):
        low, high = steps.bounds(int(k), int(defects), 5000, confidence=0.95)
        assert low <= defects / k + 1e-9
        assert low < high < 0.05
        highs.append(high)
    assert highs == sorted(highs)


def test_bounds_after_a_sequential_plan_cover_the_rate_as_often_as_promised(steps: SequentialPlan) -> None:
    ends = plans._paths_of(steps)
    chances = {}
    for bad in (50, 150, 300, 600):
        trials = min(steps.n, bad)
        law = binom.pmf(np.arange(trials + 1), trials, steps.n * bad / 5000 / trials)
        chances[bad / 5000] = ends.table[:, : trials + 1] @ law
    likely = np.max(list(chances.values()), axis=0) > 1e-3
    bounds = np.full((len(ends.k), 2), np.nan)
    for i in np.flatnonzero(likely):
        bounds[i] = steps.bounds(int(ends.k[i]), int(ends.defects[i]), 5000, confidence=0.95)
    for rate, chance in chances.items():
        assert chance[bounds[:, 1] < rate].sum() <= 0.05 + 1e-9
        assert chance[bounds[:, 0] > rate].sum() <= 0.05 + 1e-9
        assert chance[~likely].sum() < 0.02


def test_there_are_no_bounds_where_the_plan_does_not_end(steps: SequentialPlan) -> None:
    with pytest.raises(ValueError, match="does not end at 10 rows with 0 defects"):
        steps.bounds(10, 0, 5000, confidence=0.95)


def test_it_never_ends_before_the_share_that_must_be_reviewed() -> None:
    plan = sequential_plan(5000, **RATES, at_least=100)
    assert plan is not None
    assert plan.judge([True] * 99)[0] == "open"
    assert plan.judge([True] * 100)[:2] == ("reject", 100)
    assert plan.consumer_risk <= 0.05
    assert plan.acceptance >= ACCEPTANCE


@pytest.mark.parametrize(("batch", "floor"), [(30, 1), (15, 1), (25_000, 500)])
def test_there_is_none_where_it_would_save_nothing(batch: int, floor: int) -> None:
    assert sequential_plan(batch, **RATES, at_least=floor) is None


def test_the_characteristic_of_the_old_plan_shows_why_it_was_not_enough() -> None:
    """59 rows without a defect turn 45 % of the batches away that have 1 % defects."""
    curve = characteristic(FixedPlan(59, 0, 0.05, 0.55, ""), [0.0, 0.01, 0.05])
    assert curve["acceptance"].to_list() == pytest.approx([1.0, 0.99**59, 0.95**59])
    assert curve["acceptance"][1] == pytest.approx(0.55, abs=0.005)


def test_characteristics_are_drawn(steps: SequentialPlan) -> None:
    rates = np.linspace(0, 0.1, 41)
    curves = pl.concat([characteristic(fixed_plan(5000, **RATES), rates), characteristic(steps, rates)])
    picture = plot_operating_characteristic(curves, tolerated=0.05, acceptable=0.01)
    assert picture.png.startswith(b"\x89PNG")
    assert 5_000 < len(picture.png) <= 40_000
    nothing = plot_operating_characteristic(curves.clear(), tolerated=0.05, acceptable=0.01)
    assert nothing.png.startswith(b"\x89PNG")


def test_where_only_perfect_batches_must_pass_one_risk_is_left() -> None:
    assert sequential_plan(5000, tolerated=0.05, acceptable=0.0, confidence=0.95) is None
    plan = fixed_plan(LARGE, tolerated=0.05, acceptable=0.0, confidence=0.95)
    assert (plan.n, plan.c, plan.acceptance) == (59, 0, 1.0)


def test_characteristics_of_both_plans_stand_in_one_frame(steps: SequentialPlan) -> None:
    rates = [0.0, 0.01, 0.05]
    curves = pl.concat([characteristic(fixed_plan(5000, **RATES), rates), characteristic(steps, rates)])
    assert curves.columns == ["plan", "defect_rate", "acceptance", "mean_size"]
    assert curves["plan"].unique(maintain_order=True).to_list() == ["fixed", "sequential"]
    assert curves["acceptance"][0] == curves["acceptance"][3] == pytest.approx(1.0)
