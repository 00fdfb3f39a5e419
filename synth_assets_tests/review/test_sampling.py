"""The drawn sample: stratified, with known probabilities, the same in every process."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth_assets.review.acceptance import DRAW_BAND, SamplePlan, assess, required_sample
from synth_assets.review.sampling import (
    MAX_FLOOR_SPREAD,
    SAMPLE_COLUMNS,
    _round_randomly,
    draw_sample,
    enlarge_sample,
    mix_controls,
)
from synth_assets.spec import DatasetSpec
from synth_assets_tests.builders import text_spec

SPEC = text_spec()


def make_batch(sizes: list[int]) -> pl.DataFrame:
    """One prompt a cell; the stratum repeats after four cells; quality grows with the row."""
    cell = np.repeat(np.arange(len(sizes)), sizes)
    return pl.DataFrame(
        {
            "example_id": [f"{i:032x}" for i in range(len(cell))],
            "stratum": [f"s{c % 4}" for c in cell],
            "generator_id": [f"g{c % 2}" for c in cell],
            "prompt_id": [f"p{c:04d}" for c in cell],
            "quality": np.linspace(0, 1, len(cell)),
        }
    )


def plan_of(n: int, *, certified: bool = False, budget: int | None = None) -> SamplePlan:
    return SamplePlan(n, n, 59, budget, certified, "")


def random_part(sample: pl.DataFrame) -> pl.DataFrame:
    return sample.filter(pl.col("part") == "random")


def counts_by_prompt(batch: pl.DataFrame, sample: pl.DataFrame) -> list[int]:
    found = dict(random_part(sample).group_by("prompt_id").len().iter_rows())
    return [found.get(prompt, 0) for prompt in batch["prompt_id"].unique().sort()]


def with_seed(seed: int) -> DatasetSpec:
    return SPEC.model_copy(update={"seed": seed})


# ---- the draw


def test_a_sample_has_the_planned_size_the_agreed_columns_and_no_row_twice() -> None:
    batch = make_batch([400, 300, 200, 100])
    sample = draw_sample(batch, SPEC, plan=required_sample(1000, SPEC), round_="r000")
    assert dict(sample.schema) == SAMPLE_COLUMNS
    assert random_part(sample).height == 148
    assert sample["example_id"].n_unique() == sample.height == 148 + 15
    assert sorted(sample["priority"]) == list(range(163))


def test_the_order_of_the_batch_does_not_matter() -> None:
    batch = make_batch([400, 300, 200, 100])
    plan = required_sample(1000, SPEC)
    mixed = batch.sample(fraction=1, shuffle=True, seed=1)
    assert draw_sample(batch, SPEC, plan=plan, round_="r000").equals(draw_sample(mixed, SPEC, plan=plan, round_="r000"))


def test_another_round_or_seed_draws_other_rows() -> None:
    batch, plan = make_batch([1000]), plan_of(50)
    first = set(draw_sample(batch, SPEC, plan=plan, round_="r000")["example_id"])
    assert first != set(draw_sample(batch, SPEC, plan=plan, round_="r001")["example_id"])
    assert first != set(draw_sample(batch, with_seed(1), plan=plan, round_="r000")["example_id"])


def test_cells_get_their_share_rounded_up_or_down() -> None:
    sizes = [400, 300, 150, 100, 50]
    batch = make_batch(sizes)
    counts = counts_by_prompt(batch, draw_sample(batch, SPEC, plan=plan_of(73), round_="r000"))
    assert all(abs(count - 73 * size / 1000) < 1 for count, size in zip(counts, sizes, strict=True))
    assert sum(counts) == 73


def test_a_batch_smaller_than_the_plan_is_drawn_whole_with_weight_one() -> None:
    batch = make_batch([20, 7, 1])
    sample = draw_sample(batch, SPEC, plan=required_sample(28, SPEC), round_="r000")
    assert set(sample["example_id"]) == set(batch["example_id"])
    assert set(sample["part"]) == {"random"}
    assert set(sample["weight"]) == {1.0}


def test_an_empty_batch_gives_an_empty_sample() -> None:
    empty = make_batch([1]).clear()
    assert draw_sample(empty, SPEC, plan=required_sample(0, SPEC), round_="r000").is_empty()


def test_small_cells_get_a_row_each_where_the_sample_allows() -> None:
    batch = make_batch([8000, 6000, 5980, 10, 5, 5])
    sample = draw_sample(batch, SPEC, plan=required_sample(20_000, SPEC), round_="r000")
    counts = counts_by_prompt(batch, sample)
    assert sum(counts) == 400
    assert counts[3:] == [1, 1, 1]
    weights = random_part(sample)["weight"]
    assert weights.sum() == pytest.approx(20_000)
    assert weights.max() / weights.mean() <= MAX_FLOOR_SPREAD  # type: ignore[operator]


def test_no_floor_is_bought_with_a_promise_of_the_plan() -> None:
    """153 rows leave the consumer no error to spend on unequal weights."""
    batch = make_batch([3000, 1900, *[10] * 10])
    plan = required_sample(5000, SPEC)
    sample = draw_sample(batch, SPEC, plan=plan, round_="r000")
    assert plan.n == 153
    assert random_part(sample)["weight"].to_list() == pytest.approx([5000 / 153] * 153)


def test_more_cells_than_rows_still_give_every_row_the_same_chance() -> None:
    sample = draw_sample(make_batch([5] * 200), SPEC, plan=plan_of(59), round_="r000")
    assert random_part(sample).height == 59
    assert random_part(sample)["weight"].to_list() == pytest.approx([1000 / 59] * 59)


@pytest.mark.parametrize("sizes", [[40, 30, 20, 7, 3], [3] * 33 + [1], [90, 2, 2, 2, 2, 2]])
def test_rows_are_drawn_as_often_as_their_weight_says(sizes: list[int]) -> None:
    batch, draws = make_batch(sizes), 200
    drawn: Counter[str] = Counter()
    chance: dict[str, float] = {}
    for i in range(draws):
        for key, weight in (
            random_part(draw_sample(batch, SPEC, plan=plan_of(20), round_=f"r{i:03d}"))
            .select("example_id", "weight")
            .iter_rows()
        ):
            drawn[key] += 1
            chance[key] = 1 / weight
    expected = np.array([draws * chance[key] for key in chance])
    noise = np.sqrt(np.maximum(expected * (1 - expected / draws), 1e-9))
    deviation = np.array([drawn[key] for key in chance]) - expected
    assert len(chance) == batch.height
    assert np.abs(deviation / np.maximum(noise, 1e-3)).max() < 5


def test_defects_spread_against_the_strata_are_not_accepted_more_often_than_the_binomial_says() -> None:
    """200 cells of two rows, one of them bad in 20 cells: the worst case, where the hypergeometric would be wrong."""
    batch, draws = make_batch([2] * 200), 400
    bad = set(batch["example_id"].gather_every(2)[:20])
    plan = required_sample(400, SPEC)
    clean = sum(
        bad.isdisjoint(random_part(draw_sample(batch, SPEC, plan=plan, round_=f"r{i:03d}"))["example_id"])
        for i in range(draws)
    )
    assert clean / draws <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws)


def test_bounds_cover_the_batch_and_its_strata_under_unequal_weights() -> None:
    """Twenty small cells with a floor; strata of very different quality; 200 reviews."""
    spec = text_spec(review={"rate": 0.05})
    batch = make_batch([1800, 1500, 1300, 1000, 300, *[5] * 20])
    plan, runs = required_sample(batch.height, spec), 200
    rates = np.array([0.01, 0.03, 0.05, 0.2])[batch["stratum"].str.tail(1).cast(pl.Int64).to_numpy()]
    generator = np.random.default_rng(4)
    missed, strata = np.zeros(2), np.zeros((2, 4))
    for i in range(runs):
        truth = batch.select("example_id", "stratum", bad=pl.Series(generator.random(batch.height) < rates))
        sample = draw_sample(batch, spec, plan=plan, round_=f"r{i}")
        assert random_part(sample)["weight"].round(6).n_unique() == 2
        verdict = pl.when("bad").then(pl.lit("reject")).otherwise(pl.lit("accept"))
        decisions = sample.join(truth, on="example_id").select(
            "example_id", reviewer=pl.lit("ada"), reviewer_kind=pl.lit("human"), decision=verdict
        )
        outcome = assess(sample, decisions, batch.height, spec)
        real = truth["bad"].mean()
        missed += [outcome.bound_high < real, outcome.bound_low > real]  # type: ignore[operator]
        own = truth.group_by("stratum").agg(real=pl.col("bad").mean())
        table = outcome.by_stratum.join(own, on="stratum").sort("stratum")
        strata += [(table["bound_high"] < table["real"]).to_numpy(), (table["bound_low"] > table["real"]).to_numpy()]
    most = runs * (0.05 + 3 * np.sqrt(0.05 * 0.95 / runs))
    assert missed.max() <= most
    assert strata.max() <= most


@given(st.lists(st.floats(0, 4), min_size=1, max_size=30), st.integers(0, 2**32))
@settings(max_examples=200)
def test_random_rounding_keeps_the_sum_and_stays_next_to_the_expectation(shares: list[float], seed: int) -> None:
    expected = np.array(shares)
    expected = np.append(expected, np.ceil(expected.sum()) - expected.sum())
    counts = _round_randomly(expected, np.random.default_rng(seed).random(len(expected)))
    assert counts.sum() == round(expected.sum())
    assert (np.abs(counts - expected) < 1 + 1e-6).all()


# ---- the risk part


def test_the_risk_part_is_the_worst_of_the_rest_and_weighs_nothing() -> None:
    batch = make_batch([600, 400])
    sample = draw_sample(batch, SPEC, plan=required_sample(1000, SPEC), round_="r000")
    risk = sample.filter(pl.col("part") == "risk")
    rest = batch.join(random_part(sample), on="example_id", how="anti").sort("quality")
    assert set(risk["example_id"]) == set(rest["example_id"].head(15))
    assert set(risk["weight"]) == {0.0}


def test_unknown_quality_is_looked_at_first() -> None:
    batch = make_batch([500]).with_columns(
        quality=pl.when(pl.col("example_id") == f"{499:032x}").then(None).otherwise(pl.col("quality"))
    )
    for i in range(5):
        sample = draw_sample(batch, SPEC, plan=plan_of(10), round_=f"r{i:03d}")
        assert f"{499:032x}" in set(sample["example_id"])


def test_the_risk_part_takes_what_the_budget_leaves() -> None:
    batch = make_batch([1000])
    assert draw_sample(batch, SPEC, plan=plan_of(50, budget=52), round_="r000").height == 52
    assert draw_sample(batch, SPEC, plan=plan_of(50, budget=50), round_="r000").height == 50


def test_serving_mixes_both_parts() -> None:
    sample = draw_sample(make_batch([5000]), SPEC, plan=plan_of(200), round_="r000").sort("priority")
    assert "risk" in set(sample["part"].head(110))
    assert "risk" in set(sample["part"].tail(110))


# ---- double review


def test_a_tenth_of_the_rows_is_decided_by_two_people() -> None:
    sample = draw_sample(make_batch([5000]), SPEC, plan=plan_of(200), round_="r000")
    assert sample["reviews"].value_counts().sort("reviews").rows() == [(1, 198), (2, 22)]
    twice = sample.filter(pl.col("reviews") == 2)
    assert set(twice["part"]) == {"random", "risk"}


def test_the_budget_pays_for_double_review_after_the_rows_themselves() -> None:
    batch = make_batch([1000])
    for budget, reviews in ((50, 50), (55, 55), (58, 58), (100, 61)):
        sample = draw_sample(batch, SPEC, plan=plan_of(50, budget=budget), round_="r000")
        assert sample["reviews"].sum() == reviews


def test_a_machine_decides_once() -> None:
    spec = text_spec(review={"mode": "auto"})
    sample = draw_sample(make_batch([1000]), spec, plan=required_sample(1000, spec), round_="r000")
    assert set(sample["reviews"]) == {1}


# ---- enlarging


def test_enlarging_keeps_what_was_drawn_and_adds_random_rows_after_it() -> None:
    batch = make_batch([500, 300, 200])
    sample = draw_sample(batch, SPEC, plan=required_sample(1000, SPEC), round_="r000")
    larger = enlarge_sample(sample, batch, SPEC, more=52, round_="r000")
    places = ["example_id", "part", "priority"]
    assert (
        random_part(larger)
        .select(places)
        .filter(pl.col("priority") < DRAW_BAND)
        .equals(random_part(sample).select(places))
    )
    assert random_part(larger).height == 200
    assert larger["example_id"].n_unique() == larger.height
    assert (larger["priority"] >= DRAW_BAND).sum() == 52
    assert random_part(larger)["weight"].to_list() == pytest.approx([5.0] * 200)
    assert dict(larger.schema) == SAMPLE_COLUMNS


def test_enlarging_is_the_same_in_any_order_and_each_time_different_rows() -> None:
    batch = make_batch([500, 300, 200])
    sample = draw_sample(batch, SPEC, plan=plan_of(30), round_="r000")
    once = enlarge_sample(sample, batch, SPEC, more=20, round_="r000")
    assert once.equals(enlarge_sample(sample, batch.reverse(), SPEC, more=20, round_="r000"))
    twice = enlarge_sample(once, batch, SPEC, more=20, round_="r000")
    assert random_part(twice).height == 70
    assert (twice["priority"] >= 2 * DRAW_BAND).sum() == 20
    assert twice.filter((pl.col("priority") >= 2 * DRAW_BAND) & (pl.col("reviews") == 2)).height == 2


def test_a_risky_row_may_be_drawn_by_chance_and_then_counts() -> None:
    batch = make_batch([40])
    sample = draw_sample(batch, SPEC, plan=plan_of(20), round_="r000")
    whole = enlarge_sample(sample, batch, SPEC, more=100, round_="r000")
    assert set(whole["part"]) == {"random"}
    assert set(whole["example_id"]) == set(batch["example_id"])
    assert whole["weight"].to_list() == pytest.approx([1.0] * 40)
    assert enlarge_sample(whole, batch, SPEC, more=5, round_="r000").equals(whole)


def test_after_enlarging_weights_are_still_the_chances() -> None:
    batch, draws = make_batch([60, 35, 2, 2, 1]), 200
    drawn: Counter[str] = Counter()
    chance: dict[str, float] = {}
    for i in range(draws):
        sample = draw_sample(batch, SPEC, plan=plan_of(15), round_=f"r{i:03d}")
        larger = enlarge_sample(sample, batch, SPEC, more=10, round_=f"r{i:03d}")
        for key, weight in random_part(larger).select("example_id", "weight").iter_rows():
            drawn[key] += 1
            chance[key] = 1 / weight
    expected = np.array([draws * chance[key] for key in chance])
    noise = np.sqrt(np.maximum(expected * (1 - expected / draws), 1e-9))
    deviation = np.array([drawn[key] for key in chance]) - expected
    assert np.abs(deviation / np.maximum(noise, 1e-3)).max() < 5


# ---- controls among it


def make_controls(n: int, start: int = 0) -> pl.DataFrame:
    """n controls, the first half gold, in a table sorted by what they are."""
    return pl.DataFrame(
        {
            "example_id": [f"c{start + i:031x}" for i in range(n)],
            "stratum": "s0",
            "part": ["gold" if i < n / 2 else "blind" for i in range(n)],
        }
    )


def is_control() -> pl.Expr:
    return pl.col("part").is_in(["gold", "blind"])


def test_where_controls_are_served_says_nothing() -> None:
    """Over many reviews their places are uniform, those of gold as of blind: Kolmogorov–Smirnov against [0, 1]."""
    from scipy.stats import ks_1samp, uniform

    batch, controls = make_batch([400, 300]), make_controls(16)
    places: dict[str, list[float]] = {"gold": [], "blind": []}
    for seed in range(120):
        spec = with_seed(seed)
        sample = draw_sample(batch, spec, plan=plan_of(100), round_="r000")
        mixed = mix_controls(sample, controls, spec, round_="r000")
        for part, priority in mixed.filter(is_control()).select("part", "priority").iter_rows():
            places[part].append((priority + 0.5) / mixed.height)
    for found in places.values():
        assert ks_1samp(found, uniform.cdf).pvalue > 0.01  # type: ignore[attr-defined]


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), n=st.integers(0, 40), more=st.integers(1, 60))
def test_controls_change_nothing_about_the_rows_of_the_batch(seed: int, n: int, more: int) -> None:
    spec, batch = with_seed(seed), make_batch([300, 200, 100])
    sample = draw_sample(batch, spec, plan=plan_of(60), round_="r000")
    mixed = mix_controls(sample, make_controls(n), spec, round_="r000")
    assert mixed.filter(~is_control()).drop("priority").equals(sample.drop("priority"))
    assert mixed["priority"].to_list() == list(range(sample.height + n))
    larger = enlarge_sample(mixed, batch, spec, more=more, round_="r000")
    plain = enlarge_sample(sample, batch, spec, more=more, round_="r000")
    assert larger.filter(~is_control()).drop("priority").equals(plain.drop("priority"))
    again = mix_controls(larger, make_controls(n, start=100), spec, round_="r000")
    old, new = pl.col("priority") < DRAW_BAND, pl.col("priority") >= DRAW_BAND
    assert again.filter(old).equals(larger.filter(old))
    assert again.filter(new, is_control()).height == n
    assert again.filter(new)["priority"].to_list() == list(range(DRAW_BAND, DRAW_BAND + more + n))
    assert dict(again.schema) == SAMPLE_COLUMNS
