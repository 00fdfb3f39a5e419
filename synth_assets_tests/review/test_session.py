"""A review from sample to conclusion, with controls, double review and a sequential plan, on a real store."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from synth_assets.records import add_content_ids
from synth_assets.review.acceptance import required_sample
from synth_assets.review.controls import draw_controls
from synth_assets.review.decisions import DecisionStore
from synth_assets.review.sampling import draw_sample, mix_controls
from synth_assets.review.session import ReviewState, conclude_review, review_is_complete, watch_review
from synth_assets.spec import DatasetSpec
from synth_assets_tests.builders import seed_rows, text_spec

N = 1000


def sequential_spec() -> DatasetSpec:
    return text_spec(review={"plan": "sequential"})


@pytest.fixture
def store(tmp_path: Path) -> DecisionStore:
    return DecisionStore(f"sqlite:///{tmp_path}/ops.db")


def make_state(store: DecisionStore, spec: DatasetSpec | None = None, *, controls: bool = False) -> ReviewState:
    spec = spec or text_spec()
    rows = pl.DataFrame(
        {
            "example_id": [f"{i:032x}" for i in range(N)],
            "text": [f"Where is my parcel {i}?" for i in range(N)],
            "intent": [("parcel", "refund")[i % 2] for i in range(N)],
            "stratum": [("parcel", "refund")[i % 2] for i in range(N)],
            "generator_id": "g",
            "prompt_id": [f"p{i % 5}" for i in range(N)],
            "quality": [0.5] * N,
        }
    )
    kept = add_content_ids(rows, spec)
    sample = draw_sample(kept, spec, plan=required_sample(N, spec), round_="r000")
    if not controls:
        return ReviewState(spec, "r000", kept, sample, store)
    seeds = seed_rows(
        spec, [{"text": f"Could you please refund order number {i}?", "intent": "refund"} for i in range(60)]
    )
    items = draw_controls(seeds, spec, n_gold=12, n_blind=12, round_="r000")
    return ReviewState(spec, "r000", kept, mix_controls(sample, items, spec, round_="r000"), store, items)


def decide(state: ReviewState, ids: pl.Series, decision: str, *, reviewer: str = "ada", reason: str = "") -> None:
    items = pl.concat([frame.select("example_id", "content_id") for frame in (state.kept, state.controls)])
    rows = items.filter(pl.col("example_id").is_in(ids.implode())).select(
        "example_id",
        item_version="content_id",
        dataset=pl.lit(state.spec.name),
        round=pl.lit(state.round),
        reviewer=pl.lit(reviewer),
        reviewer_kind=pl.lit("human"),
        decision=pl.lit(decision),
        reason=pl.lit(reason),
    )
    state.store.record(rows)


def served(state: ReviewState, part: str = "random") -> pl.Series:
    return state.sample.sort("priority").filter(pl.col("part") == part)["example_id"]


def test_controls_say_how_good_reviewers_are_and_never_touch_the_batch(store: DecisionStore) -> None:
    state = make_state(store, controls=True)
    decide(state, served(state), "accept")
    decide(state, served(state, "blind"), "accept")
    gold = served(state, "gold")
    decide(state, gold.head(9), "reject", reason="truncated")
    decide(state, gold.tail(3), "accept")
    found = conclude_review(state)
    assert (found.outcome.decision, found.outcome.defects, found.outcome.certified) == ("accept", 0, True)
    assert found.accuracy.row(0, named=True)["sensitivity"] == pytest.approx(0.75)
    assert found.accuracy.row(0, named=True)["specificity"] == 1.0
    assert found.corrected is not None
    assert found.corrected.rate == 0.0
    assert found.corrected.high > found.outcome.bound_high  # type: ignore[operator]
    assert set(found.resolutions["example_id"]).isdisjoint(state.controls["example_id"])
    assert set(found.decisions["example_id"]).isdisjoint(state.controls["example_id"])


def test_a_bad_prompt_is_named_in_the_conclusion(store: DecisionStore) -> None:
    state = make_state(store)
    bad = state.sample.filter((pl.col("part") == "random") & (pl.col("prompt_id") == "p2"))["example_id"]
    decide(state, served(state), "accept")
    decide(state, bad.head(18), "reject", reason="invented facts")
    named = conclude_review(state).systematic.filter("named")
    assert named.select("factor", "value").rows() == [("prompt_id", "p2")]


def test_double_review_gives_agreement_with_an_interval(store: DecisionStore) -> None:
    state = make_state(store)
    twice = state.sample.filter(pl.col("reviews") == 2)["example_id"]
    assert twice.len() >= 0.10 * state.sample.height
    decide(state, served(state), "accept")
    decide(state, twice.head(6), "reject")
    decide(state, twice, "accept", reviewer="bob")
    decide(state, twice.head(5), "reject", reviewer="bob")
    table = conclude_review(state).agreement
    assert table["statistic"].to_list() == ["kappa", "alpha"]
    assert table.filter((pl.col("low") > pl.col("value")) | (pl.col("high") < pl.col("value"))).is_empty()


def test_the_live_bound_narrows_with_every_decision(store: DecisionStore) -> None:
    state = make_state(store)
    highs = [watch_review(state).bound_high]
    for part in (served(state).slice(0, 20), served(state).slice(20, 60), served(state).slice(80)):
        decide(state, part, "accept")
        highs.append(watch_review(state).bound_high)
    assert highs == sorted(highs, reverse=True)
    assert highs[0] == 1.0
    assert highs[-1] >= conclude_review(state).outcome.bound_high  # type: ignore[operator]


def test_a_fixed_plan_waits_for_every_row(store: DecisionStore) -> None:
    state = make_state(store)
    decide(state, served(state)[1:], "accept")
    assert not review_is_complete(state)
    decide(state, served(state)[:1], "accept")
    assert review_is_complete(state)


def test_a_sequential_plan_ends_early_and_certifies(store: DecisionStore) -> None:
    spec = sequential_spec()
    state = make_state(store, spec)
    plan = required_sample(N, spec).sequential
    assert plan is not None
    first = next(k for k in range(1, plan.n + 1) if plan.accepts_up_to(k) >= 0)
    decide(state, served(state).head(first - 1), "accept")
    assert not review_is_complete(state)
    decide(state, served(state)[first - 1 : first], "accept")
    outcome = conclude_review(state).outcome
    assert (outcome.decision, outcome.certified, outcome.n_reviewed, outcome.n_open) == ("accept", True, first, 0)
    assert outcome.bound_high < spec.review.tolerated_defect_rate  # type: ignore[operator]
    assert outcome.by_stratum["bound_high"].null_count() == 0


def test_a_sequential_plan_follows_the_serving_order_and_not_who_was_faster(store: DecisionStore) -> None:
    state = make_state(store, sequential_spec())
    decide(state, served(state)[1:], "accept")
    assert not review_is_complete(state)


def test_rows_decided_beyond_the_end_of_a_sequential_plan_do_not_count(store: DecisionStore) -> None:
    state = make_state(store, sequential_spec())
    plan = required_sample(N, state.spec).sequential
    assert plan is not None
    first = next(k for k in range(1, plan.n + 1) if plan.accepts_up_to(k) >= 0)
    decide(state, served(state).head(first), "accept")
    decide(state, served(state).slice(first + 3, 4), "reject")
    outcome = conclude_review(state).outcome
    assert (outcome.decision, outcome.n_reviewed, outcome.defects, outcome.defect_rate) == ("accept", first, 0, 0.0)
    assert outcome.by_stratum["n_reviewed"].sum() == first


def test_a_sequential_plan_turns_a_bad_batch_away_after_a_few_rows(store: DecisionStore) -> None:
    state = make_state(store, sequential_spec())
    decide(state, served(state).head(2), "reject", reason="garbled")
    assert not review_is_complete(state)  # 2 % of the batch are reviewed in any case
    decide(state, served(state)[2:20], "accept")
    outcome = conclude_review(state).outcome
    assert (outcome.decision, outcome.certified, outcome.n_open) == ("reject", False, 0)
    assert 0 < outcome.bound_low < outcome.bound_high <= 1  # type: ignore[operator]
