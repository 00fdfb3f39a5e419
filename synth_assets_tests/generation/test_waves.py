"""Waves: a round goes on until its targets are met or something ends it, and every completion is accounted for."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth_assets.discriminators.cascade import Filtering, run_cascade
from synth_assets.discriminators.duplicates import Duplicates
from synth_assets.discriminators.record import RecordRules
from synth_assets.discriminators.rules import TextRules
from synth_assets.errors import EngineError
from synth_assets.generation.allowance import Allowance
from synth_assets.generation.language.engine import RecordEngine
from synth_assets.generation.language.protocol import Answer, Call
from synth_assets.generation.planner import Pins, Plan, plan_round
from synth_assets.generation.shards import ShardFolder
from synth_assets.generation.text.engine import TextEngine
from synth_assets.generation.waves import KEPT, RESERVE, Progress, RoundResult, generate_round, read_progress
from synth_assets.records import IDENTITY_COLUMNS, LINEAGE_COLUMNS
from synth_assets.spec import DatasetSpec
from synth_assets_tests.builders import seed_rows, text_spec
from synth_assets_tests.generation.scripted_model import Clock, ScriptedModel, write

ROWS = [{"text": f"message number {i} about something", "intent": "ab"[i % 3 == 0]} for i in range(30)]
SAME = '{"text":"the same old story every single time"}'
NAMES = ("plan", "lamp", "boat", "tree", "rain", "song", "wolf", "moon")


def make_spec(target: int = 20, *, budget: dict[str, Any] | None = None, **generation: Any) -> DatasetSpec:
    return text_spec(
        target_accepted=target, budget=budget or {}, generation={"max_tokens": 40, "shard_size": 8, **generation}
    )


def make_plan(spec: DatasetSpec) -> Plan:
    return plan_round(spec, "r000", seed_rows(spec, ROWS), Pins("s", "c", ""), accepted_before={})


def make_judge(spec: DatasetSpec) -> Callable[[pl.DataFrame, pl.DataFrame], Filtering]:
    """Return the record's and the text's rules and no exact copies, as a round has them."""
    known = pl.DataFrame(
        schema={"example_id": pl.String, "content_id": pl.String, "text": pl.String, "intent": pl.String}
    )
    copies = Duplicates(spec, known, seed_rows(spec, ROWS))

    def judge(candidates: pl.DataFrame, kept: pl.DataFrame) -> Filtering:
        rules = [RecordRules(spec), TextRules(spec), copies.extended(kept.select(known.columns))]
        return run_cascade(candidates, rules)

    return judge


def new_text(call: Call) -> str:
    """Return a text of its own for every seed."""
    words = [f"{NAMES[int(digit, 8)]}{place}" for place, digit in enumerate(f"{call.seed:o}")]
    return json.dumps({"text": " ".join(words[:12])})


def good(call: Call) -> Answer:
    return write(new_text(call), 10)


def mixed(call: Call) -> Answer:
    """One in six is good, two are copies of one text, three are no JSON at all."""
    kind = call.seed % 6
    return write(new_text(call) if kind == 0 else SAME if kind < 3 else "no", 5 + call.seed % 5)


def run(
    folder: Path,
    spec: DatasetSpec,
    script: Callable[[Call], Answer] = good,
    *,
    allowance: Allowance | None = None,
    report: Callable[[Progress], None] = lambda _: None,
    judge: Callable[[pl.DataFrame, pl.DataFrame], Filtering] | None = None,
    **model: Any,
) -> RoundResult:
    allowance = allowance or Allowance.of(spec)
    seeds = seed_rows(spec, ROWS)
    engine = RecordEngine(spec, ScriptedModel(script, **model), seeds, allowance)
    return generate_round(
        spec,
        make_plan(spec),
        seeds,
        engine,
        judge or make_judge(spec),
        ShardFolder(folder, "f"),
        allowance=allowance,
        report=report,
    )


def assert_all_accounted_for(result: RoundResult) -> None:
    """Each completion survives or is rejected exactly once, and the tables agree on how many there were."""
    rejected = result.verdicts.filter(~pl.col("passed"))
    assert rejected["example_id"].is_unique().all()
    assert result.candidates.height == rejected.height + result.filtered.height
    assert result.candidates["example_id"].is_unique().all()
    out = pl.concat([rejected["example_id"], result.filtered["example_id"]])
    assert set(out) == set(result.candidates["example_id"])
    assert result.strata["candidates"].sum() == result.candidates.height == result.usage["completions"].sum()
    assert result.strata.select(pl.col("kept") + pl.col("reserve")).sum().item() == result.filtered.height
    assert result.usage["accepted"].sum() == result.filtered.height
    assert result.usage["output_tokens"].sum() == result.candidates["output_tokens"].sum()
    assert (result.strata["shortfall"] == result.strata["target"] - result.strata["kept"]).all()
    assert (result.strata["shortfall"] >= 0).all()


# ---- reaching the target


def test_exactly_the_target_is_kept_and_the_surplus_is_reserve(tmp_path: Path) -> None:
    result = run(tmp_path, make_spec(20))
    assert result.stopped == "target"
    assert dict(result.filtered["state"].value_counts().iter_rows()) == {KEPT: 20, RESERVE: 17}
    targets = make_plan(make_spec(20)).strata.select("stratum", "target")
    kept = result.filtered.filter(pl.col("state") == KEPT).group_by("stratum").len("target")
    assert targets.equals(kept.sort("stratum").cast({"target": pl.Int64}))
    assert_all_accounted_for(result)


def test_the_first_that_survive_are_kept(tmp_path: Path) -> None:
    filtered = run(tmp_path, make_spec(20)).filtered
    for _, rows in filtered.group_by("stratum"):
        assert rows["state"].is_sorted()  # kept comes before reserve


def test_a_wave_asks_for_what_is_missing_at_the_yield_so_far(tmp_path: Path) -> None:
    spec = text_spec(strata={"by": []}, target_accepted=24, generation={"repair_attempts": 0})
    turn = count()

    def every_other(call: Call) -> Answer:
        record = {**json.loads(new_text(call)), "intent": "a"}
        return write(json.dumps(record) if next(turn) % 2 else "no")

    result = run(tmp_path, spec, every_other, window=1)
    # 24 / 0.6 · 1.1 = 44, of which 22 pass; 2 are missing, and 2 / (22 / 44) · 1.1 = 4.4
    assert result.usage["requests"].to_list() == [44, 5]
    assert result.usage["accepted"].to_list() == [22, 2]


def test_rejects_of_every_attempt_are_accounted_for(tmp_path: Path) -> None:
    result = run(tmp_path, make_spec(20), mixed)
    assert result.usage.height > 1
    assert result.candidates["attempt"].max() == 2
    assert set(result.verdicts.filter(~pl.col("passed"))["discriminator"]) == {"record", "duplicates"}
    assert_all_accounted_for(result)


def test_what_an_earlier_wave_kept_is_not_kept_again(tmp_path: Path) -> None:
    result = run(tmp_path, make_spec(20), mixed)
    waves = result.candidates.join(result.filtered.select("example_id", "state"), on="example_id", how="left")
    copies = waves.filter(pl.col("text") == json.loads(SAME)["text"])
    assert copies["state"].is_not_null().sum() == 1
    assert result.filtered["content_id"].is_unique().all()
    assert copies.tail(1)["request_id"].item() in result.candidates["request_id"].tail(result.usage["completions"][-1])


outcomes = st.lists(st.sampled_from(["good", "bad", "cut", "copy", "short"]), min_size=1, max_size=12)


@settings(max_examples=25)
@given(outcomes, st.integers(0, 2), st.integers(1, 25), st.one_of(st.none(), st.integers(1, 600)))
def test_every_completion_of_any_round_is_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, script: list[str], repairs: int, target: int, tokens: int | None
) -> None:
    texts = {"bad": "no", "copy": SAME, "short": '{"text":"x"}'}

    def answer(call: Call) -> Answer:
        kind = script[call.seed % len(script)]
        if kind == "cut":
            return Answer('{"text":"a', "length", 100, 40)
        return write(texts[kind] if kind in texts else new_text(call), call.seed % 40)

    spec = make_spec(target, repair_attempts=repairs, max_waves=3, budget={"tokens": tokens})
    result = run(tmp_path_factory.mktemp("round"), spec, answer)
    assert_all_accounted_for(result)
    assert tokens is None or result.candidates["output_tokens"].sum() <= tokens
    kept = result.strata["kept"].sum()
    assert (result.stopped == "target") == (kept == target)
    assert f": {kept} of {target} accepted from {result.candidates.height}" in result.explain()


# ---- the tables


def test_candidates_have_their_lineage(tmp_path: Path) -> None:
    spec = make_spec(20)
    result = run(tmp_path, spec, mixed)
    assert list(result.candidates.columns) == [*IDENTITY_COLUMNS, *LINEAGE_COLUMNS, "text", "intent"]
    plan = make_plan(spec).settings.row(0, named=True)
    alike = result.candidates.select("origin", "round", "prompt_id", "trained_on").unique()
    assert alike.rows() == [("synthetic", "r000", plan["prompt_id"], "")]
    assert json.loads(result.candidates["parameters"][0])["weights"] == "weights-1"
    known = set(seed_rows(spec, ROWS)["example_id"])
    assert set(result.candidates["prompted_by"].explode()) <= known


def test_each_attempt_has_an_id_and_a_seed_of_its_own_over_all_waves(tmp_path: Path) -> None:
    candidates = run(tmp_path, make_spec(20), mixed).candidates
    assert candidates["example_id"].n_unique() == candidates["seed"].n_unique() == candidates.height
    assert candidates["request_id"].n_unique() < candidates.height
    assert not candidates.select("request_id", "attempt").is_duplicated().any()


def test_requests_and_completions_are_counted_apart(tmp_path: Path) -> None:
    result = run(tmp_path, make_spec(20), mixed)
    waves = result.usage
    assert waves["wave"].to_list() == list(range(waves.height))
    assert waves["requests"].sum() == result.candidates["request_id"].n_unique()
    assert (waves["completions"] > waves["requests"]).all()
    assert waves["prompt_tokens"].sum() == 100 * result.candidates.height


def test_what_the_model_wrote_stands_beside_its_candidates(tmp_path: Path) -> None:
    result = run(tmp_path, make_spec(20), lambda call: write(mixed(call).text, 3, token_ids=(1, call.seed % 1000, 2)))
    written = result.completions
    assert written is not None
    assert written["example_id"].to_list() == result.candidates["example_id"].to_list()
    joined = result.candidates.join(written, on="example_id", maintain_order="left")
    assert joined["output_token_ids"].list.get(1).to_list() == [seed % 1000 for seed in joined["seed"]]
    used = pl.col("finish_reason") == "stop"
    assert joined.filter(~used)["answer"].unique().to_list() == ["no"]
    assert joined.filter(used)["answer"].null_count() == joined.filter(used).height > 0


def test_embedded_engines_write_no_such_table(tmp_path: Path) -> None:
    spec = text_spec(target_accepted=3)
    seeds = seed_rows(spec, ROWS)
    engine = TextEngine.fit(seeds, spec)
    result = generate_round(spec, make_plan(spec), seeds, engine, make_judge(spec), ShardFolder(tmp_path, "f"))
    assert result.completions is None
    assert_all_accounted_for(result)


def test_a_killed_round_goes_on_and_gives_the_same_rows(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", make_spec(20), mixed)
    left = iter(range(whole.candidates.height // 2))

    def dying(call: Call) -> Answer:
        if next(left, None) is None:
            raise EngineError("the model died")
        return mixed(call)

    with pytest.raises(EngineError, match="died"):
        run(tmp_path / "killed", make_spec(20), dying)
    again = run(tmp_path / "killed", make_spec(20), mixed)
    for name in ("candidates", "verdicts", "filtered", "strata", "completions"):
        assert getattr(again, name).equals(getattr(whole, name)), name
    assert again.usage.drop("seconds").equals(whole.usage.drop("seconds"))


# ---- what else ends a round


def test_a_budget_of_tokens_ends_a_round_and_is_not_exceeded(tmp_path: Path) -> None:
    result = run(tmp_path, make_spec(20, budget={"tokens": 150}))
    assert result.stopped == "tokens"
    assert result.candidates["output_tokens"].sum() == 120  # 10 each; the next could need 40 and 30 are left
    assert result.explain() == "stopped by budget.tokens: 12 of 20 accepted from 12 completions"
    assert_all_accounted_for(result)


def test_a_budget_that_holds_not_one_call_ends_an_empty_round(tmp_path: Path) -> None:
    result = run(tmp_path, make_spec(20, budget={"tokens": 39}))
    assert (result.stopped, result.candidates.height, result.filtered.height) == ("tokens", 0, 0)
    assert result.explain() == "stopped by budget.tokens: 0 of 20 accepted from 0 completions"
    assert_all_accounted_for(result)


def test_a_budget_of_money_ends_a_round(tmp_path: Path) -> None:
    spec = make_spec(20, budget={"money": 1.5}).model_copy(
        update={"cost": text_spec(cost={"per_million_tokens": 10_000}).cost}
    )
    result = run(tmp_path, spec)
    assert (result.stopped, result.candidates["output_tokens"].sum()) == ("money", 120)
    assert result.explain().startswith("stopped by budget.money: 12 of 20")


@pytest.mark.parametrize(
    ("limits", "stopped"), [({"seconds": 10.0}, "seconds"), ({"money": 5.0, "price_per_second": 0.5}, "money")]
)
def test_time_ends_a_round_and_the_money_for_it_does(tmp_path: Path, limits: dict[str, float], stopped: str) -> None:
    clock = Clock()

    def slow(call: Call) -> Answer:
        clock.now += 1
        return good(call)

    result = run(tmp_path, make_spec(20), slow, allowance=Allowance(**limits, clock=clock))
    assert (result.stopped, result.candidates.height) == (stopped, 10)
    assert f"stopped by budget.{stopped}: 10 of 20" in result.explain()
    assert_all_accounted_for(result)


def test_a_target_that_is_met_just_before_the_budget_ends_is_met(tmp_path: Path) -> None:
    result = run(tmp_path, make_spec(2, budget={"tokens": 80}), lambda call: write(new_text(call), 20))
    assert (result.stopped, result.strata["kept"].sum()) == ("target", 2)


def test_a_yield_below_the_floor_ends_a_round(tmp_path: Path) -> None:
    result = run(tmp_path, make_spec(20, min_yield=0.5), mixed)
    assert (result.stopped, result.usage.height) == ("yield", 1)
    assert "a yield below generation.min_yield" in result.explain()


def test_the_most_waves_end_a_round(tmp_path: Path) -> None:
    result = run(tmp_path, make_spec(20, max_waves=2, min_yield=0.0), lambda _: write("no"))
    assert (result.stopped, result.usage.height) == ("max_waves", 2)
    made = f"{result.candidates.height:,}"
    assert result.explain() == (
        f"stopped by generation.max_waves: 0 of 20 accepted from {made} completions; {made} rejected "
        f"(record: finish {made})"
    )
    assert_all_accounted_for(result)


def test_a_plan_without_targets_asks_for_nothing(tmp_path: Path) -> None:
    spec = make_spec(20)
    seeds = seed_rows(spec, ROWS)
    plan = make_plan(spec)
    nothing = Plan(plan.strata.with_columns(target=pl.lit(0, dtype=pl.Int64)), plan.settings)
    model = ScriptedModel(good)
    engine = RecordEngine(spec, model, seeds, Allowance())
    result = generate_round(spec, nothing, seeds, engine, make_judge(spec), ShardFolder(tmp_path, "f"))
    assert (result.stopped, result.candidates.height, model.asked) == ("target", 0, [])
    assert result.candidates.schema == run(tmp_path / "other", spec).candidates.schema
    assert_all_accounted_for(result)


def test_explain_tells_the_commonest_reasons(tmp_path: Path) -> None:
    result = run(tmp_path, make_spec(20), mixed)
    rejected = result.verdicts.filter(~pl.col("passed"))
    broken = rejected.filter(pl.col("discriminator") == "record").height
    told = result.explain()
    assert told.startswith("stopped by reaching the target: 20 of 20 accepted from ")
    assert f"{rejected.height} rejected (" in told and f"record: finish {broken}" in told


# ---- progress


def test_progress_goes_up_to_the_end_of_each_wave(tmp_path: Path) -> None:
    told: list[Progress] = []
    result = run(tmp_path, make_spec(20), mixed, report=told.append)
    for wave, requests in enumerate(result.usage["requests"]):
        of_wave = [progress for progress in told if progress.wave == wave]
        done = [progress.done for progress in of_wave]
        assert done == sorted(done)
        assert {progress.total for progress in of_wave} == {done[-1]} == {requests}
        assert {progress.requests_before for progress in of_wave} == {sum(result.usage["requests"].head(wave))}
    assert all(one.tokens <= other.tokens for one, other in pairwise(told))
    assert told[-1].tokens == result.candidates["output_tokens"].sum()
    assert {progress.target for progress in told} == {20}


def test_progress_of_a_later_wave_tells_what_the_earlier_ones_brought(tmp_path: Path) -> None:
    told: list[Progress] = []
    result = run(tmp_path, make_spec(20), mixed, report=told.append)
    first, second = told[0], next(progress for progress in told if progress.wave == 1)
    assert (first.accepted, first.accepted_share) == (0, None)
    assert second.accepted == result.usage["accepted"][0] > 0  # no stratum has more than its target yet
    assert second.accepted_share == second.accepted / result.usage["requests"][0]


def test_the_last_progress_of_a_round_that_the_budget_ended_tells_how_far_it_came(tmp_path: Path) -> None:
    told: list[Progress] = []
    result = run(tmp_path, make_spec(20, budget={"tokens": 150}), report=told.append)
    assert told[-1].done == result.candidates["request_id"].n_unique() == 12
    assert told[-1].total > result.usage["requests"].sum() == 12
    assert told[-1].accepted == result.filtered.height


def test_seconds_and_pace_are_those_of_the_allowance(tmp_path: Path) -> None:
    clock, told = Clock(), []

    def slow(call: Call) -> Answer:
        clock.now += 2
        return good(call)

    run(tmp_path, make_spec(20), slow, allowance=Allowance(clock=clock), report=told.append)
    under_way = [progress for progress in told if 0 < progress.done < progress.total]
    assert len(under_way) > 20
    for progress in under_way:
        assert (progress.tokens, progress.tokens_per_second) == (progress.seconds * 5, 5.0)
        assert progress.seconds_left == (progress.total - progress.done) * progress.seconds / progress.done


def test_progress_has_no_pace_before_it_begins() -> None:
    start = Progress(0, 0, 100, 0, 50, 0, 0.0)
    assert (start.tokens_per_second, start.seconds_left, start.accepted_share) == (0.0, None, None)
    assert start.describe() == "wave 0: 0/100 requests, 0/50 accepted, 0 tokens/s"


@given(st.integers(0, 99), st.integers(0, 10**7), st.integers(0, 10**7), st.floats(0, 1e6), st.integers(0, 10**6))
def test_a_log_line_can_be_read_back(wave: int, done: int, total: int, seconds: float, before: int) -> None:
    line = Progress(wave, done, total, 5, 1000, 10**9, seconds, before).describe()
    assert read_progress(line) == (done, total)
    assert read_progress(f"10:00 {line}") is None


def test_a_progress_line_tells_yield_pace_and_time_left() -> None:
    line = Progress(1, 500, 1500, 1200, 4000, 300_000, 100.0, requests_before=2000, requests_judged=2000).describe()
    assert line == "wave 1: 500/1,500 requests, 1,200/4,000 accepted, yield 60%, 3,000 tokens/s, 40 s left in this wave"
