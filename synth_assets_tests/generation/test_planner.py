"""Planning: what the mix can hold, who gets how much, and what is refused before anything is generated."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth_assets.errors import GateError
from synth_assets.generation.planner import Pins, Plan, plan_round
from synth_assets.spec import DatasetSpec
from synth_assets_tests.builders import seed_rows, text_spec

PINS = Pins("s", "c", "")


def rows(counts: dict[str, int], **marks: str) -> list[dict[str, Any]]:
    return [{"text": f"{intent} {i}", "intent": intent, **marks} for intent, n in counts.items() for i in range(n)]


def make_plan(spec: DatasetSpec, seeds: list[dict[str, Any]], **changes: Any) -> Plan:
    arguments = {"round_": "r000", "pins": PINS, "accepted_before": {}, **changes}
    return plan_round(spec, arguments.pop("round_"), seed_rows(spec, seeds), arguments.pop("pins"), **arguments)


def learned(strata: list[str], errors: list[float], exemplars: list[list[str]] | None = None) -> pl.DataFrame:
    """What feedback hands to a plan."""
    named = pl.Series("exemplars", exemplars or [[] for _ in strata], dtype=pl.List(pl.String))
    return pl.DataFrame({"stratum": strata, "error": errors}).with_columns(named)


def targets(plan: Plan) -> dict[str, int]:
    return dict(plan.strata.select("stratum", "target").iter_rows())


def test_the_default_target_is_what_the_share_can_hold() -> None:
    plan = make_plan(text_spec(), rows({"a": 60, "b": 30}))
    assert plan.settings["capacity"].item() == 210  # 90 real rows at 70 % synthetic: 90 · 0.7 / 0.3
    assert targets(plan) == {"a": 140, "b": 70}


def test_a_target_beyond_the_capacity_is_clamped_and_said() -> None:
    plan = make_plan(text_spec(target_accepted=10_000), rows({"a": 60, "b": 30}))
    assert plan.settings["target"].item() == 210
    assert "clamped to 210" in plan.settings["note"].item()


def test_rounds_share_what_is_left() -> None:
    spec, seeds = text_spec(rounds=3), rows({"a": 60, "b": 30})
    assert sum(targets(make_plan(spec, seeds)).values()) == 70
    last = make_plan(spec, seeds, round_="r002", accepted_before={"a": 90, "b": 40})
    assert sum(targets(last).values()) == 80


@pytest.mark.parametrize(
    ("settings", "told"),
    [({}, "70% mix of the releasable real rows holds 210"), ({"target_accepted": 200}, "target_accepted is 200")],
)
def test_a_round_with_nothing_left_to_make_is_refused(settings: dict[str, int], told: str) -> None:
    with pytest.raises(GateError, match=f"nothing to generate: earlier rounds have 210 accepted rows, and .*{told}"):
        make_plan(text_spec(**settings), rows({"a": 60, "b": 30}), accepted_before={"a": 140, "b": 70})


def test_a_stratum_is_never_more_than_four_fifths_synthetic_and_is_named_when_that_binds() -> None:
    plan = make_plan(text_spec(), rows({"a": 60, "b": 3}), accepted_before={"b": 12})
    assert targets(plan)["b"] == 0
    full = make_plan(
        text_spec(mix={"share": 0.8}),
        rows({"a": 60, "b": 3}),
        feedback=learned(["a", "b"], [0.0, 1.0]),
    )
    assert targets(full)["b"] == 12
    assert "b" in full.settings["note"].item()


def test_only_releasable_rows_count_for_the_capacity() -> None:
    private = rows({"a": 50}, disposition="synthesis_only")
    plan = make_plan(text_spec(), [{**row, "text": "p" + row["text"]} for row in private] + rows({"a": 30}))
    assert plan.settings["capacity"].item() == 70
    assert plan.strata["real_train"].item() == 80


def test_steering_and_sealed_rows_count_for_nothing() -> None:
    held = rows({"a": 10}, split="sealed") + [{**r, "text": "s" + r["text"]} for r in rows({"a": 10}, split="steering")]
    plan = make_plan(text_spec(), held + [{**r, "text": "t" + r["text"]} for r in rows({"a": 30})])
    assert plan.strata["real_train"].item() == 30


def test_a_stratum_without_releasable_rows_must_be_declared() -> None:
    seeds = rows({"a": 30}) + rows({"b": 5}, disposition="synthesis_only")
    with pytest.raises(GateError, match=r"'b' \(5 training rows, none releasable\).*synthetic_only"):
        make_plan(text_spec(), seeds)
    allowed = text_spec(strata={"by": ["intent"], "synthetic_only": ["b"]})
    assert targets(make_plan(allowed, seeds))["b"] > 0


def test_an_allowed_value_without_any_row_is_a_stratum_without_rows() -> None:
    fields = [
        {"name": "text", "type": "text"},
        {"name": "intent", "type": "category", "role": "target", "values": ["a", "rare"]},
    ]
    with pytest.raises(GateError, match="'rare'"):
        make_plan(text_spec(fields=fields), rows({"a": 30}))


def test_feedback_moves_the_allocation_within_half_and_double_of_the_real_mix() -> None:
    lesson = learned(["a", "b", "c"], [0.0, 0.1, 5.0])
    seeds = rows({"a": 90, "b": 90, "c": 90})
    plan = make_plan(text_spec(target_accepted=90), seeds, feedback=lesson)
    assert targets(plan) == {"a": 15, "b": 16, "c": 59}
    mild = learned(["a", "b", "c"], [0.2, 0.3, 0.4])
    assert targets(make_plan(text_spec(target_accepted=90), seeds, feedback=mild)) == {"a": 25, "b": 30, "c": 35}


def test_what_is_above_double_of_the_real_mix_goes_to_the_other_strata() -> None:
    lesson = learned(list("abcde"), [0.0, 0.0, 0.0, 0.0, 1.0])
    plan = make_plan(text_spec(target_accepted=100), rows(dict.fromkeys("abcde", 90)), feedback=lesson)
    assert targets(plan) == {"a": 15, "b": 15, "c": 15, "d": 15, "e": 40}


def test_a_uniform_allocation_follows_the_real_mix_whatever_was_learned() -> None:
    lesson = learned(["a", "b"], [0.0, 5.0])
    uniform = text_spec(target_accepted=90, generation={"allocation": "uniform"})
    assert targets(make_plan(uniform, rows({"a": 60, "b": 30}), feedback=lesson)) == {"a": 60, "b": 30}


def test_the_exemplars_of_the_feedback_are_planned_where_the_plan_is_targeted() -> None:
    lesson = learned(["a", "b"], [0.1, 0.2], [["x", "y"], []])
    seeds = rows({"a": 60, "b": 30, "c": 30})
    assert make_plan(text_spec(), seeds, feedback=lesson).focus == {"a": ["x", "y"], "b": [], "c": []}
    uniform = text_spec(generation={"allocation": "uniform"})
    assert make_plan(uniform, seeds, feedback=lesson).focus == {"a": [], "b": [], "c": []}


def test_no_stratum_with_room_goes_without_as_long_as_there_is_a_row_for_each() -> None:
    seeds = rows({"a": 400, "b": 1, "c": 1, "full": 1})
    lesson = learned(["a", "b", "c", "full"], [1.0, 0.0, 0.0, 0.0])
    plan = make_plan(text_spec(target_accepted=14), seeds, feedback=lesson, accepted_before={"full": 4})
    assert targets(plan) == {"a": 8, "b": 1, "c": 1, "full": 0}
    assert sorted(targets(make_plan(text_spec(target_accepted=2), seeds)).values()) == [0, 0, 0, 2]


def test_upsampling_lets_the_mix_hold_more_but_never_above_80_percent_by_rows() -> None:
    plan = make_plan(text_spec(mix={"share": 0.75, "upsampling_cap": 4.0}), rows({"a": 100}))
    assert plan.settings["capacity"].item() == 400


counts = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 60), min_size=1)


@given(counts, st.integers(1, 2_000), st.integers(1, 4))
def test_targets_fit_the_rooms_and_sum_to_the_plan(sizes: dict[str, int], wanted: int, rounds: int) -> None:
    plan = make_plan(text_spec(target_accepted=wanted, rounds=rounds), rows(sizes))
    rooms = plan.strata["capacity"] - plan.strata["accepted_before"]
    assert (plan.strata["target"] <= rooms).all()
    total = min(wanted, plan.settings["capacity"].item())
    assert sum(targets(plan).values()) == -(-total // rounds)


@given(counts, st.integers(1, 500), st.lists(st.floats(0, 1), min_size=8, max_size=8))
def test_half_of_the_real_mix_is_a_floor_whatever_the_errors(
    sizes: dict[str, int], wanted: int, errors: list[float]
) -> None:
    lesson = learned(list("abcdefgh"), errors)
    plan = make_plan(text_spec(target_accepted=wanted), rows(sizes), feedback=lesson)
    planned = sum(targets(plan).values())
    for stratum, target in targets(plan).items():
        share = sizes[stratum] / sum(sizes.values())
        # a room of four times the real rows is above double of the share, which is at most 4/3 times the rows each
        assert target >= int(planned * share / 2) - 1
        assert target <= 2 * planned * share + 2
