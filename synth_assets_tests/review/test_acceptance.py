"""Sample sizes, exact bounds and the outcome of a review, against published tables, scipy and simulation."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from synth_assets.errors import SpecError
from synth_assets.review.acceptance import (
    DRAW_BAND,
    Boundary,
    Outcome,
    assess,
    certified_size,
    clopper_pearson,
    cohens_kappa,
    required_sample,
)
from synth_assets.spec import DatasetSpec
from synth_assets_tests.builders import text_spec

ALPHA = 0.05


def make_spec(**review: object) -> DatasetSpec:
    return text_spec(review=review)


def make_sample(n: int, batch_size: int, *, risk: int = 0, weights: list[float] | None = None) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "example_id": [f"e{i}" for i in range(n + risk)],
            "stratum": [f"s{i % 3}" for i in range(n + risk)],
            "generator_id": "g",
            "prompt_id": "p",
            "part": ["random"] * n + ["risk"] * risk,
            "priority": pl.Series(range(n + risk), dtype=pl.Int32),
            "weight": [*(weights or [batch_size / n] * n), *[0.0] * risk],
        }
    )


def make_decisions(said: dict[str, str], *, reviewer: str = "ada", kind: str = "human") -> pl.DataFrame:
    schema = {"example_id": pl.String, "reviewer": pl.String, "reviewer_kind": pl.String, "decision": pl.String}
    return pl.DataFrame([(key, reviewer, kind, value) for key, value in said.items()], schema=schema, orient="row")


def review(n: int, batch_size: int, defects: int, spec: DatasetSpec | None = None, **kind: str) -> Outcome:
    said = {f"e{i}": "reject" if i < defects else "accept" for i in range(n)}
    return assess(make_sample(n, batch_size), make_decisions(said, **kind), batch_size, spec or make_spec())


# ---- exact tables


@pytest.mark.parametrize(
    ("tolerated", "sizes"),
    [
        (0.05, [59, 93, 124, 153]),
        (0.03, [99, 157, 208, 257]),
        (0.02, [149, 236, 313, 386]),
        (0.01, [299, 473, 628, 773]),
    ],
)
def test_certified_sizes_are_those_of_the_ltpd_table(tolerated: float, sizes: list[int]) -> None:
    assert [certified_size(tolerated, 0.95, allowed_defects=c) for c in range(4)] == sizes


@pytest.mark.parametrize(
    ("n", "percent"),
    [
        (20, [13.9, 21.6, 28.3, 45.6]),
        (100, [2.95, 4.66, 6.16, 10.2]),
        (200, [1.49, 2.35, 3.11, 5.18]),
        (2000, [0.15, 0.24, 0.31, 0.52]),
    ],
)
def test_upper_bounds_are_those_of_the_two_percent_table(n: int, percent: list[float]) -> None:
    found = [100 * clopper_pearson(c, n, confidence=0.95, side="upper")[1] for c in (0, 1, 2, 5)]
    assert found == pytest.approx(percent, abs=0.06)


@given(st.integers(1, 3000), st.floats(0, 1), st.floats(0.6, 0.999))
def test_two_sided_bounds_equal_scipys_exact_interval(n: int, share: float, confidence: float) -> None:
    defects = round(share * n)
    expected = binomtest(defects, n).proportion_ci(confidence, method="exact")
    assert clopper_pearson(defects, n, confidence=confidence) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(st.integers(1, 2000), st.floats(0, 1), st.floats(0.6, 0.999))
def test_a_one_sided_upper_bound_leaves_exactly_the_error_below_it(n: int, share: float, confidence: float) -> None:
    defects = min(round(share * n), n - 1)
    low, high = clopper_pearson(defects, n, confidence=confidence, side="upper")
    assert low == 0
    assert binom.cdf(defects, n, high) == pytest.approx(1 - confidence, abs=1e-7)


@given(st.integers(1, 400), st.floats(0.001, 0.999))
@settings(max_examples=50)
def test_the_upper_bound_covers_the_rate_as_often_as_promised(n: int, rate: float) -> None:
    defects = np.arange(n + 1)
    missed = [clopper_pearson(int(c), n, confidence=0.95, side="upper")[1] < rate for c in defects]
    assert binom.pmf(defects, n, rate)[missed].sum() <= ALPHA + 1e-12


@given(st.floats(0.005, 0.4), st.floats(0.6, 0.999), st.integers(0, 5))
@settings(max_examples=50)
def test_a_certified_size_certifies_and_one_row_less_does_not(rate: float, confidence: float, allowed: int) -> None:
    n = certified_size(rate, confidence, allowed_defects=allowed)
    assert binom.cdf(allowed, n, rate) <= 1 - confidence
    assert n == allowed + 1 or binom.cdf(allowed, n - 1, rate) > 1 - confidence


def test_nothing_reviewed_bounds_nothing() -> None:
    assert clopper_pearson(0, 0, confidence=0.95) == (0.0, 1.0)


# ---- the plan


@pytest.mark.parametrize(
    ("batch", "n", "c"),
    [
        (25_000, 500, 16),
        (7650, 153, 3),
        (1000, 148, 3),
        (400, 138, 3),
        (100, 82, 2),
        (60, 52, 1),
        (30, 30, 1),
        (1, 1, 0),
    ],
)
def test_a_plan_pays_for_both_risks_and_for_the_rate(batch: int, n: int, c: int) -> None:
    plan = required_sample(batch, make_spec())
    assert (plan.n, plan.c, plan.certified, plan.note) == (n, c, True, "")
    assert plan.acceptance >= 0.90


def test_a_batch_too_small_for_both_risks_keeps_the_tolerated_rate_and_says_so() -> None:
    plan = required_sample(15, make_spec())
    assert (plan.n, plan.c, plan.certified) == (15, 0, True)
    assert "pay for the consumer only" in plan.note


def test_a_budget_caps_the_plan_and_says_what_stays_uncertified() -> None:
    plan = required_sample(1000, make_spec(budget_minutes=60))
    assert (plan.n, plan.n_budget, plan.n_certified, plan.certified, plan.c) == (20, 20, 59, False, -1)
    assert "20 of the 148" in plan.note
    assert "13.9%" in plan.note
    assert "uncertified" in plan.note


def test_a_budget_for_one_risk_only_certifies_and_says_what_good_batches_have_to_fear() -> None:
    plan = required_sample(10_000, make_spec(budget_minutes=300))
    assert (plan.n, plan.c, plan.n_rate, plan.certified) == (100, 1, 200, True)
    assert "100 of the 200" in plan.note
    assert "pay for the consumer only" in plan.note
    assert "uncertified" not in plan.note


def test_a_budget_that_only_cuts_the_rate_still_pays_for_both() -> None:
    plan = required_sample(10_000, make_spec(budget_minutes=3 * 160))
    assert (plan.n, plan.c, plan.certified) == (160, 3, True)
    assert plan.acceptance >= 0.90


def test_a_budget_below_one_item_is_refused() -> None:
    with pytest.raises(SpecError, match="budget_minutes: 2 pays for no item at 3 minutes"):
        required_sample(1000, make_spec(budget_minutes=2))


def test_automated_review_is_not_capped_and_certifies_nothing() -> None:
    plan = required_sample(1000, make_spec(mode="auto", budget_minutes=3))
    assert (plan.n, plan.certified) == (59, False)
    assert "certifies nothing" in plan.note


def test_an_empty_batch_needs_no_review() -> None:
    assert required_sample(0, make_spec()).n == 0


# ---- the outcome


def test_a_clean_certified_sample_is_accepted_with_the_exact_bound() -> None:
    outcome = review(59, 1000, 0)
    assert (outcome.decision, outcome.certified, outcome.defect_rate) == ("accept", True, 0.0)
    assert outcome.bound_high == pytest.approx(1 - 0.05 ** (1 / 59), abs=1 / 1000)
    assert outcome.bound_low == 0.0


def test_a_review_with_undecided_rows_is_open_and_shows_no_bound() -> None:
    said = {f"e{i}": "accept" for i in range(58)}
    outcome = assess(make_sample(59, 1000), make_decisions(said), 1000, make_spec())
    assert (outcome.decision, outcome.n_open, outcome.n_reviewed) == ("open", 1, 58)
    assert (outcome.bound_low, outcome.bound_high, outcome.certified) == (None, None, False)
    assert outcome.by_stratum["bound_high"].null_count() == 3


def test_a_skip_is_no_decision() -> None:
    said = {f"e{i}": "accept" for i in range(58)} | {"e58": "skip"}
    outcome = assess(make_sample(59, 1000), make_decisions(said), 1000, make_spec())
    assert (outcome.decision, outcome.n_open) == ("open", 1)


def test_a_flag_counts_as_a_defect() -> None:
    said = {f"e{i}": "accept" for i in range(58)} | {"e58": "flag"}
    outcome = assess(make_sample(59, 1000), make_decisions(said), 1000, make_spec())
    assert (outcome.defects, outcome.decision) == (1, "enlarge")


def test_the_risk_part_never_touches_the_bound() -> None:
    said = {f"e{i}": "accept" if i < 59 else "reject" for i in range(65)}
    outcome = assess(make_sample(59, 1000, risk=6), make_decisions(said), 1000, make_spec())
    assert (outcome.decision, outcome.defects, outcome.n_random) == ("accept", 0, 59)
    assert outcome.by_stratum["risk_defects"].sum() == 6


def test_a_defect_asks_for_as_many_rows_as_certify_without_a_further_one() -> None:
    outcome = review(59, 1000, 1)
    boundary = Boundary(59, 1000, 0.05, 0.95)
    assert outcome.decision == "enlarge"
    assert outcome.n_more == boundary.size_for(1) - 59  # type: ignore[operator]
    assert boundary.upper(1, 59 + outcome.n_more) <= 0.05 < boundary.upper(1, 58 + outcome.n_more)


def test_an_enlarged_sample_without_a_further_defect_is_accepted() -> None:
    n_more = review(59, 1000, 1).n_more
    n = 59 + n_more
    sample = make_sample(n, 1000).with_columns(
        priority=pl.when(pl.int_range(n) < 59).then(pl.col("priority")).otherwise(DRAW_BAND + pl.col("priority"))
    )
    said = {f"e{i}": "reject" if i == 0 else "accept" for i in range(n)}
    outcome = assess(sample, make_decisions(said), 1000, make_spec())
    assert (outcome.decision, outcome.certified, outcome.n_random) == ("accept", True, n)
    assert outcome.bound_high < 0.05  # type: ignore[operator]


@pytest.mark.parametrize(("defects", "decision"), [(0, "accept"), (3, "accept"), (4, "reject"), (9, "reject")])
def test_a_plan_that_pays_for_both_risks_accepts_up_to_c_and_never_enlarges(defects: int, decision: str) -> None:
    outcome = review(148, 1000, defects)
    assert (outcome.decision, outcome.certified, outcome.n_more) == (decision, decision == "accept", 0)
    assert (outcome.bound_high < 0.05) == (decision == "accept")  # type: ignore[operator]


def test_rows_mixed_in_as_controls_are_no_rows_of_the_batch() -> None:
    sample = make_sample(59, 1000, risk=2).with_columns(
        part=pl.when(pl.col("part") == "risk").then(pl.lit("gold")).otherwise("part")
    )
    said = {f"e{i}": "accept" if i < 59 else "reject" for i in range(61)}
    outcome = assess(sample, make_decisions(said), 1000, make_spec())
    assert (outcome.decision, outcome.n_random, outcome.defects) == ("accept", 59, 0)
    assert outcome.by_stratum["risk_reviewed"].sum() == 0


def test_a_lower_bound_above_the_tolerated_rate_rejects() -> None:
    outcome = review(59, 1000, 8)
    assert outcome.decision == "reject"
    assert outcome.bound_low == pytest.approx(clopper_pearson(8, 59, confidence=0.95, side="lower")[0])
    assert outcome.bound_low > 0.05  # type: ignore[operator]


def test_defects_that_no_sensible_enlargement_could_certify_reject() -> None:
    outcome = review(59, 10_000, 3)
    assert outcome.decision == "reject"
    assert outcome.bound_low < 0.05  # type: ignore[operator]
    assert "no sensible enlargement" in outcome.note


def test_a_batch_reviewed_whole_is_known_exactly() -> None:
    outcome = review(50, 50, 2)
    assert (outcome.decision, outcome.certified) == ("accept", True)
    assert (outcome.bound_low, outcome.bound_high) == pytest.approx((0.04, 0.04))
    assert review(40, 40, 2).decision == "reject"


def test_a_capped_plan_accepts_uncertified_and_says_so() -> None:
    outcome = review(20, 1000, 1, make_spec(budget_minutes=60))
    assert (outcome.decision, outcome.certified) == ("accept", False)
    assert outcome.bound_high == pytest.approx(0.2161, abs=1e-4)
    assert "uncertified" in outcome.note


def test_a_capped_plan_rejects_above_the_tolerated_rate() -> None:
    assert review(20, 1000, 2, make_spec(budget_minutes=60)).decision == "reject"


@pytest.mark.parametrize(("defects", "decision"), [(0, "accept"), (5, "accept"), (6, "reject")])
def test_automated_review_compares_with_twice_the_tolerated_rate_and_never_certifies(
    defects: int, decision: str
) -> None:
    outcome = review(59, 1000, defects, make_spec(mode="auto"), reviewer="automated:1", kind="automated")
    assert (outcome.decision, outcome.automated, outcome.certified) == (decision, True, False)
    assert (outcome.bound_low, outcome.bound_high) == (None, None)


def test_one_row_decided_by_a_machine_makes_the_outcome_automated() -> None:
    people = make_decisions({f"e{i}": "accept" for i in range(58)})
    machine = make_decisions({"e58": "accept"}, reviewer="automated:1", kind="automated")
    outcome = assess(make_sample(59, 1000), pl.concat([people, machine]), 1000, make_spec())
    assert (outcome.automated, outcome.certified, outcome.bound_high) == (True, False, None)


def test_people_outrank_a_machine() -> None:
    people = make_decisions({f"e{i}": "accept" for i in range(59)})
    machine = make_decisions({f"e{i}": "reject" for i in range(59)}, reviewer="automated:1", kind="automated")
    outcome = assess(make_sample(59, 1000), pl.concat([machine, people]), 1000, make_spec())
    assert (outcome.decision, outcome.automated, outcome.certified) == ("accept", False, True)


def test_the_last_word_of_a_reviewer_counts_alone() -> None:
    said = {f"e{i}": "accept" for i in range(59)}
    decisions = pl.concat([make_decisions(dict.fromkeys(said, "reject")), make_decisions(said)])
    outcome = assess(make_sample(59, 1000), decisions, 1000, make_spec())
    assert (outcome.decision, outcome.defects, outcome.agreement) == ("accept", 0, None)


def test_people_who_review_an_automated_batch_may_certify_it() -> None:
    spec = make_spec(mode="auto")
    assert (review(59, 1000, 0, spec).certified, review(59, 1000, 1, spec).decision) == (True, "enlarge")


def test_decisions_on_other_rows_are_ignored() -> None:
    said = {f"e{i}": "accept" for i in range(59)} | {"elsewhere": "reject"}
    assert assess(make_sample(59, 1000), make_decisions(said), 1000, make_spec()).defects == 0


def test_an_empty_batch_is_not_accepted() -> None:
    empty = make_sample(1, 1).clear()
    assert assess(empty, make_decisions({}), 0, make_spec()).decision == "reject"
    assert assess(empty, make_decisions({}), 100, make_spec()).decision == "open"


def test_strata_show_their_own_counts_and_bounds() -> None:
    table = review(60, 3000, 1).by_stratum
    assert table["n_reviewed"].to_list() == [20, 20, 20]
    assert table["defects"].to_list() == [1, 0, 0]
    expected = [clopper_pearson(c, 20, confidence=0.95, side="upper")[1] for c in (1, 0, 0)]
    assert table["bound_high"].to_list() == pytest.approx(expected)


def test_unequal_weights_weigh_the_estimate_and_widen_the_bound() -> None:
    weights = [100.0] * 50 + [1.0] * 10
    said = {f"e{i}": "reject" if i == 0 else "accept" for i in range(60)}
    outcome = assess(make_sample(60, 5010, weights=weights), make_decisions(said), 5010, make_spec())
    plain = clopper_pearson(1, 60, confidence=0.95, side="upper")[1]
    assert outcome.defect_rate == pytest.approx(100 / 5010)
    assert outcome.bound_high == pytest.approx(plain * 100 * 60 / 5010, abs=1 / 5010)
    assert outcome.bound_low == pytest.approx(5000 / 5010 * clopper_pearson(1, 50, confidence=0.95, side="lower")[0])


# ---- agreement


def test_kappa_of_a_published_table() -> None:
    """Cohen's own layout: 20 both yes, 15 both no, 5 and 10 apart, of 50: kappa = 0.4."""
    said = [("accept", "accept")] * 20 + [("accept", "reject")] * 5 + [("reject", "accept")] * 10
    said += [("reject", "flag")] * 15
    first = make_decisions({f"e{i}": a for i, (a, _) in enumerate(said)}, reviewer="ada")
    second = make_decisions({f"e{i}": b for i, (_, b) in enumerate(said)}, reviewer="bob")
    assert cohens_kappa(pl.concat([first, second])) == pytest.approx(0.4)


def test_kappa_is_undefined_without_pairs_or_without_variation() -> None:
    alone = make_decisions({"e0": "accept"})
    both = pl.concat([alone, make_decisions({"e0": "accept"}, reviewer="bob")])
    assert cohens_kappa(alone) is None
    assert cohens_kappa(both) is None


# ---- simulation


def accepted_share(first: int, batch_size: int, rate: float, batches: int, seed: int) -> float:
    """Play whole reviews, enlargements included, on batches with exactly `rate` defects."""
    boundary = Boundary(first, batch_size, 0.05, 0.95)
    batch = np.arange(batch_size) < np.ceil(rate * batch_size)
    generator = np.random.default_rng(seed)
    accepted = 0
    for _ in range(batches):
        found = np.cumsum(generator.permutation(batch))
        n = first
        while (needed := boundary.size_for(int(found[n - 1]))) is not None and needed > n:
            n = needed
        accepted += needed is not None
    return accepted / batches


@pytest.mark.parametrize(("first", "batch_size"), [(59, 400), (59, 2000), (93, 2000), (200, 4000)])
def test_at_the_tolerated_rate_acceptance_stays_below_the_error_with_all_enlargements(
    first: int, batch_size: int
) -> None:
    batches = 4000
    noise = 3 * np.sqrt(ALPHA * (1 - ALPHA) / batches)
    assert accepted_share(first, batch_size, 0.05, batches, seed=first) <= ALPHA + noise


def test_enlarging_lets_good_batches_through() -> None:
    once = 0.995**59
    assert accepted_share(59, 2000, 0.005, 1000, seed=3) > max(0.9, once)


@pytest.mark.parametrize("size", [200, 1000, 5000])
def test_assess_keeps_both_promises_of_the_plan(size: int) -> None:
    """6,000 batches at exactly the tolerated rate, 6,000 made at the acceptable one."""
    batches, n = 6000, required_sample(size, make_spec()).n
    generator = np.random.default_rng(size)
    bad = round(0.05 * size)
    at_tolerated = generator.hypergeometric(bad, size - bad, n, batches)
    at_acceptable = generator.binomial(n, 0.01, batches)
    everything = set(at_tolerated.tolist()) | set(at_acceptable.tolist())
    accepts = {defects: review(n, size, defects).decision == "accept" for defects in everything}
    noise = 3 * np.sqrt(ALPHA * (1 - ALPHA) / batches)
    assert np.mean([accepts[defects] for defects in at_tolerated.tolist()]) <= ALPHA + noise
    assert np.mean([accepts[defects] for defects in at_acceptable.tolist()]) >= 0.90 - 3 * np.sqrt(0.09 / batches)


@given(st.integers(20, 400), st.floats(0.02, 0.2), st.integers(0, 6))
@settings(max_examples=30, deadline=None)
def test_the_bound_and_the_size_of_the_boundary_agree(first: int, tolerated: float, extra: int) -> None:
    boundary = Boundary(first, 100_000, tolerated, 0.95)
    defects = max(boundary.c, 0) + extra
    needed = boundary.size_for(defects)
    if needed is not None and needed > first:
        assert boundary.upper(defects, needed) <= tolerated + 1e-9
        assert boundary.upper(defects, needed - 1) > tolerated - 1e-9
