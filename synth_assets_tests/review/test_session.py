"""A review from sample to conclusion, with controls, double review and a sequential plan, on a real store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from synth_assets.records import add_content_ids
from synth_assets.review.acceptance import DRAW_BAND, required_sample
from synth_assets.review.controls import draw_controls
from synth_assets.review.decisions import DecisionStore
from synth_assets.review.sampling import draw_sample, mix_controls
from synth_assets.review.session import ReviewState, add_controls, conclude_review, review_is_complete, watch_review
from synth_assets.spec import DatasetSpec
from synth_assets_tests.builders import seed_rows, text_spec

N = 1000
SECONDS = 15.0


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
            "prompted_by": [["s0"]] * N,
        }
    )
    kept = add_content_ids(rows, spec)
    sample = draw_sample(kept, spec, plan=required_sample(N, spec), round_="r000")
    if not controls:
        return ReviewState(spec, "r000", kept, sample, store)
    items = draw_controls(make_seeds(spec), spec, n_gold=12, n_blind=12, round_="r000")
    return ReviewState(spec, "r000", kept, mix_controls(sample, items, spec, round_="r000"), store, items)


def make_seeds(spec: DatasetSpec) -> pl.DataFrame:
    texts = [f"Could you please refund order number {i}?" for i in range(60)]
    return seed_rows(spec, [{"text": text, "intent": "refund"} for text in texts])


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
        seconds=pl.lit(SECONDS),
    )
    state.store.record(rows)


def served(state: ReviewState, part: str = "random") -> pl.Series:
    return state.sample.sort("priority").filter(pl.col("part") == part)["example_id"]


def test_controls_say_how_good_reviewers_are_and_never_touch_the_batch(store: DecisionStore) -> None:
    state = make_state(store, controls=True)
    decide(state, served(state), "accept")
    minutes = conclude_review(state).summary["reviewer_minutes"].item()
    decide(state, served(state, "blind"), "accept")
    assert conclude_review(state).summary["reviewer_minutes"].item() == pytest.approx(minutes + 12 * SECONDS / 60)
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


def test_controls_are_drawn_as_far_as_the_budget_pays(store: DecisionStore) -> None:
    for minutes, counts in ((1000.0, (9, 9)), (237.0, (4, 3)), (180.0, (0, 0))):
        state = make_state(store, text_spec(review={"budget_minutes": minutes}))
        mixed = add_controls(replace(state, seeds=make_seeds(state.spec)))
        assert (served(mixed, "gold").len(), served(mixed, "blind").len()) == counts
        assert mixed.sample["reviews"].sum() <= minutes / state.spec.review.minutes_per_item
        assert mixed.controls.height == sum(counts)
    assert add_controls(state) is state


def test_a_batch_without_rows_is_rejected_and_draws_no_controls(store: DecisionStore) -> None:
    state = make_state(store)
    nothing = draw_sample(state.kept.clear(), state.spec, plan=required_sample(0, state.spec), round_="r000")
    empty = add_controls(replace(state, kept=state.kept.clear(), sample=nothing, seeds=make_seeds(state.spec)))
    assert empty.sample.is_empty()
    assert empty.controls.is_empty()
    assert conclude_review(empty).outcome.decision == "reject"


def test_an_enlarged_sample_keeps_its_controls_and_gets_its_share_of_further_ones(store: DecisionStore) -> None:
    state = make_state(store)
    small = draw_sample(state.kept, state.spec, plan=replace(required_sample(N, state.spec), n=59, c=0), round_="r000")
    state = add_controls(replace(state, sample=small, seeds=make_seeds(state.spec)))
    decide(state, served(state), "accept")
    decide(state, served(state).head(1), "reject")
    decide(state, state.controls["example_id"], "reject")
    found = conclude_review(state)
    assert found.outcome.decision == "enlarge"
    assert found.controls.head(state.controls.height).equals(state.controls)
    added = found.controls.tail(-state.controls.height)
    assert added["part"].to_list() == ["gold"] * (share := -(-found.outcome.n_more // 20)) + ["blind"] * share
    assert set(added["source_id"]).isdisjoint(state.controls["source_id"])
    early, late = (
        found.sample.filter(part) for part in (pl.col("priority") < DRAW_BAND, pl.col("priority") >= DRAW_BAND)
    )
    before = state.sample.join(early, on="example_id", how="semi", maintain_order="left")
    assert early.drop("weight").equals(before.drop("weight"))
    assert set(early["example_id"]) >= set(state.controls["example_id"])
    assert set(late["example_id"]) >= set(added["example_id"])
    assert late.filter(pl.col("part") == "random").height == found.outcome.n_more
    following = replace(state, sample=found.sample, controls=found.controls)
    decide(following, served(following)[1:], "accept")
    ended = conclude_review(following)
    assert (ended.outcome.decision, ended.outcome.n_reviewed) == ("accept", 59 + found.outcome.n_more)
    assert ended.accuracy["faulty"][0] == state.controls.filter(pl.col("part") == "gold").height


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
