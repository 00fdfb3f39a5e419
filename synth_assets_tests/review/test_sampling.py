"""The drawn sample: stratified, with known probabilities, the same in every process."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth_assets.review.acceptance import DRAW_BAND, SamplePlan, required_sample
from synth_assets.review.sampling import MAX_FLOOR_SPREAD, SAMPLE_COLUMNS, _round_randomly, draw_sample, enlarge_sample
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
    assert random_part(sample).height == 59
    assert sample["example_id"].n_unique() == sample.height == 59 + 6
    assert sorted(sample["priority"]) == list(range(65))


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
    batch = make_batch([4000, 3000, 1980, 10, 5, 5])
    sample = draw_sample(batch, SPEC, plan=required_sample(9000, SPEC), round_="r000")
    counts = counts_by_prompt(batch, sample)
    assert sum(counts) == 180
    assert counts[3:] == [1, 1, 1]
    weights = random_part(sample)["weight"]
    assert weights.sum() == pytest.approx(9000)
    assert weights.max() / weights.mean() <= MAX_FLOOR_SPREAD  # type: ignore[operator]


def test_no_floor_is_bought_with_the_certificate() -> None:
    batch = make_batch([500, 400, *[10] * 10])
    sample = draw_sample(batch, SPEC, plan=required_sample(1000, SPEC), round_="r000")
    assert random_part(sample)["weight"].to_list() == pytest.approx([1000 / 59] * 59)


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
    assert set(risk["example_id"]) == set(rest["example_id"].head(6))
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


# ---- enlarging


def test_enlarging_keeps_what_was_drawn_and_adds_random_rows_after_it() -> None:
    batch = make_batch([500, 300, 200])
    sample = draw_sample(batch, SPEC, plan=required_sample(1000, SPEC), round_="r000")
    larger = enlarge_sample(sample, batch, SPEC, more=41, round_="r000")
    places = ["example_id", "part", "priority"]
    assert (
        random_part(larger)
        .select(places)
        .filter(pl.col("priority") < DRAW_BAND)
        .equals(random_part(sample).select(places))
    )
    assert random_part(larger).height == 100
    assert larger["example_id"].n_unique() == larger.height
    assert (larger["priority"] >= DRAW_BAND).sum() == 41
    assert random_part(larger)["weight"].to_list() == pytest.approx([10.0] * 100)
    assert dict(larger.schema) == SAMPLE_COLUMNS


def test_enlarging_is_the_same_in_any_order_and_each_time_different_rows() -> None:
    batch = make_batch([500, 300, 200])
    sample = draw_sample(batch, SPEC, plan=plan_of(30), round_="r000")
    once = enlarge_sample(sample, batch, SPEC, more=20, round_="r000")
    assert once.equals(enlarge_sample(sample, batch.reverse(), SPEC, more=20, round_="r000"))
    twice = enlarge_sample(once, batch, SPEC, more=20, round_="r000")
    assert random_part(twice).height == 70
    assert (twice["priority"] >= 2 * DRAW_BAND).sum() == 20


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
