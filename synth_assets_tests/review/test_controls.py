"""Gold and blind items: the fault is there, the rest is untouched, and nothing tells them from other items."""

from __future__ import annotations

import polars as pl
import pytest

from synth_assets.records import EXCLUDED, SEALED, SYNTHESIS_ONLY, stratum_expression
from synth_assets.review.acceptance import judge_sample, required_sample
from synth_assets.review.controls import FAULTS, control_columns, count_controls, draw_controls, plant_fault
from synth_assets.review.sampling import SAMPLE_COLUMNS, draw_sample, mix_controls
from synth_assets.spec import parse_spec
from synth_assets_tests.builders import seed_rows, table_spec, text_spec

SPEC = text_spec()
INTENTS = ("parcel", "refund", "account")


def make_seeds(n: int = 90, marks: dict[str, str] | None = None) -> pl.DataFrame:
    rows = [
        {
            "text": f"Could you tell me what happened to request number {i} please?",
            "intent": INTENTS[i % 3],
            **(marks or {}),
        }
        for i in range(n)
    ]
    return seed_rows(SPEC, rows)


def joined(controls: pl.DataFrame, seeds: pl.DataFrame) -> pl.DataFrame:
    return controls.join(seeds.select("example_id", "text", "intent"), left_on="source_id", right_on="example_id")


@pytest.mark.parametrize(("left", "counts"), [(None, (8, 8)), (100, (8, 8)), (10, (8, 2)), (3, (3, 0)), (-1, (0, 0))])
def test_controls_are_a_share_of_the_sample_that_the_budget_pays_for(left: int | None, counts: tuple[int, int]) -> None:
    assert count_controls(148, SPEC, left=left) == counts
    assert count_controls(148, text_spec(review={"mode": "auto"})) == (0, 0)


def test_controls_have_the_wanted_numbers_and_columns() -> None:
    controls = draw_controls(make_seeds(), SPEC, n_gold=12, n_blind=7, round_="r000")
    assert dict(controls.schema) == control_columns(SPEC)
    assert dict(controls.group_by("part").len().iter_rows()) == {"gold": 12, "blind": 7}
    assert dict(controls.group_by("part", "expected").len().select("part", "expected").iter_rows()) == {
        "gold": "reject",
        "blind": "accept",
    }
    assert controls["source_id"].n_unique() == controls["example_id"].n_unique() == 19


def test_blind_items_are_untouched_and_each_gold_item_has_one_fault() -> None:
    seeds = make_seeds()
    both = joined(draw_controls(seeds, SPEC, n_gold=40, n_blind=10, round_="r000"), seeds)
    blind, gold = both.filter(pl.col("part") == "blind"), both.filter(pl.col("part") == "gold")
    assert blind.filter(
        (pl.col("text") != pl.col("text_right")) | (pl.col("intent") != pl.col("intent_right"))
    ).is_empty()
    labels = gold.filter(pl.col("fault") == "wrong_label")
    assert (labels["intent"] != labels["intent_right"]).all()
    assert (labels["text"] == labels["text_right"]).all()
    assert set(labels["intent"]) <= set(INTENTS)
    texts = gold.filter(pl.col("fault") != "wrong_label")
    assert (texts["intent"] == texts["intent_right"]).all()
    assert (texts["text"] != texts["text_right"]).all()
    assert set(gold["fault"]) == {"wrong_label", "truncated", "garbled"}


def test_a_truncated_text_ends_within_a_word_and_a_garbled_one_keeps_its_characters() -> None:
    seeds = make_seeds()
    gold = joined(draw_controls(seeds, SPEC, n_gold=60, n_blind=0, round_="r000"), seeds)
    for fault, text, whole in gold.select("fault", "text", "text_right").iter_rows():
        if fault == "truncated":
            assert whole.startswith(text)
            assert text[-1].isalnum()
            assert whole[len(text)].isalnum()
        if fault == "garbled":
            assert sorted(text) == sorted(whole)


def test_the_stratum_is_that_of_what_is_shown() -> None:
    controls = draw_controls(make_seeds(), SPEC, n_gold=20, n_blind=5, round_="r000")
    assert (controls["stratum"] == controls.select(stratum_expression(SPEC)).to_series()).all()


def test_the_draw_depends_on_seed_and_round_and_not_on_order() -> None:
    seeds = make_seeds()
    first = draw_controls(seeds, SPEC, n_gold=8, n_blind=8, round_="r000")
    assert first.equals(draw_controls(seeds.reverse(), SPEC, n_gold=8, n_blind=8, round_="r000"))
    other = draw_controls(seeds, SPEC, n_gold=8, n_blind=8, round_="r001")
    assert set(first["source_id"]) != set(other["source_id"])
    assert set(first["example_id"]).isdisjoint(other["example_id"])


@pytest.mark.parametrize("marks", [{"split": SEALED}, {"disposition": SYNTHESIS_ONLY}, {"disposition": EXCLUDED}])
def test_only_releasable_training_rows_are_shown(marks: dict[str, str]) -> None:
    assert draw_controls(make_seeds(marks=marks), SPEC, n_gold=5, n_blind=5, round_="r000").is_empty()


def test_few_seeds_give_few_controls() -> None:
    assert draw_controls(make_seeds(4), SPEC, n_gold=5, n_blind=3, round_="r000").height == 4


def test_they_come_from_the_strata_they_are_to_pass_for_and_from_seeds_that_are_not_shown() -> None:
    seeds = make_seeds()
    parcel = seeds.filter(pl.col("intent") == "parcel")
    shown = parcel["example_id"].head(8)
    among = pl.DataFrame({"stratum": "parcel", "prompted_by": [shown.to_list(), None]})
    controls = draw_controls(seeds, SPEC, n_gold=6, n_blind=6, round_="r000", among=among)
    assert set(controls["stratum"]) == {"parcel"}
    assert controls.height == 12
    assert set(controls["source_id"]).isdisjoint(shown)
    assert set(controls["fault"]) == {"", "truncated", "garbled"}  # another intent is another stratum
    more = draw_controls(seeds, SPEC, n_gold=0, n_blind=25, round_="r000", among=among)
    assert more.height == 25  # rather some that are shown beside another item than too few


def test_further_controls_are_made_of_other_seeds() -> None:
    seeds = make_seeds()
    first = draw_controls(seeds, SPEC, n_gold=8, n_blind=8, round_="r000")
    more = draw_controls(seeds, SPEC, n_gold=8, n_blind=8, round_="r000", drawn=first)
    assert more.height == 16
    for name in ("source_id", "example_id", "content_id"):
        assert set(first[name]).isdisjoint(more[name])


def test_a_fault_that_gives_the_row_of_an_earlier_control_is_none() -> None:
    rows = [{"text": f"Hi {i}", "intent": intent} for i in range(10) for intent in ("parcel", "refund")]
    seeds = seed_rows(SPEC, rows)
    refunds = seeds.filter(pl.col("intent") == "refund").select(source_id="example_id")
    assert draw_controls(seeds, SPEC, n_gold=10, n_blind=0, round_="r000", drawn=refunds).is_empty()


def test_numbers_leave_the_known_range_and_keep_their_kind() -> None:
    spec = table_spec()
    seeds = seed_rows(spec, [{"low": i / 4, "high": i / 2 + 1, "kind": "ab"[i % 2]} for i in range(40)])
    planted = plant_fault(seeds, spec, known=seeds, round_="r000")
    assert set(planted["fault"]) == {"wrong_label", "wrong_number"}
    numbers = planted.filter(pl.col("fault") == "wrong_number")
    assert ((numbers["low"] > seeds["low"].max()) | (numbers["high"] > seeds["high"].max())).all()
    assert planted.schema == {**seeds.schema, "fault": pl.String()}


def test_a_conversation_gets_its_fault_in_the_last_message() -> None:
    spec = parse_spec(
        {
            "name": "chats",
            "fields": [{"name": "chat", "type": "messages", "role": "input"}],
            "source": {"license": "CC0-1.0", "consent": {"basis": "not_personal"}},
        },
        where="test",
    )
    chat = [
        {"role": "user", "content": "Where is my parcel?"},
        {"role": "assistant", "content": "It left the depot this morning and arrives tomorrow."},
    ]
    seeds = seed_rows(spec, [{"chat": chat}])
    planted = plant_fault(seeds, spec, known=seeds, round_="r000")["chat"][0].to_list()
    assert planted[0] == chat[0]
    assert planted[1]["role"] == "assistant"
    assert planted[1]["content"] != chat[1]["content"]


def test_a_record_without_a_place_for_a_fault_gives_no_gold() -> None:
    seeds = seed_rows(SPEC, [{"text": f"Hi {i}", "intent": "parcel"} for i in range(5)])
    controls = draw_controls(seeds, SPEC, n_gold=3, n_blind=1, round_="r000")
    assert controls["part"].to_list() == ["blind"]


def test_a_fault_that_gives_a_real_row_is_none() -> None:
    """Two labels, and each text is known with both: another label is no fault."""
    rows = [{"text": f"Hi {i}", "intent": intent} for i in range(10) for intent in ("parcel", "refund")]
    seeds = seed_rows(SPEC, rows)
    assert plant_fault(seeds, SPEC, known=seeds, round_="r000").is_empty()
    single = seeds.filter(pl.col("intent") == "parcel")
    others = pl.concat([single, seed_rows(SPEC, [{"text": "Bye", "intent": "refund"}])])
    assert plant_fault(single, SPEC, known=others, round_="r000").height == 10


def test_every_fault_has_a_planter() -> None:
    from synth_assets.review.controls import _Planter

    assert all(hasattr(_Planter, f"_plant_{fault}") for fault in FAULTS)


# ---- in the sample


def test_mixed_in_they_are_served_among_the_others_and_count_as_no_row_of_the_batch() -> None:
    batch = pl.DataFrame(
        {
            "example_id": [f"{i:032x}" for i in range(1000)],
            "stratum": "parcel",
            "generator_id": "g",
            "prompt_id": "p",
            "quality": 0.5,
        }
    )
    sample = draw_sample(batch, SPEC, plan=required_sample(1000, SPEC), round_="r000")
    controls = draw_controls(make_seeds(), SPEC, n_gold=20, n_blind=20, round_="r000")
    mixed = mix_controls(sample, controls, SPEC, round_="r000")
    assert dict(mixed.schema) == SAMPLE_COLUMNS
    assert sorted(mixed["priority"]) == list(range(sample.height + 40))
    places = mixed.sort("priority").with_row_index().filter(pl.col("part").is_in(["gold", "blind"]))["index"]
    assert places.min() < mixed.height / 4 < 3 * mixed.height / 4 < places.max()  # type: ignore[operator]
    decisions = mixed.select(
        "example_id", reviewer=pl.lit("ada"), reviewer_kind=pl.lit("human"), decision=pl.lit("reject")
    )
    assert set(judge_sample(mixed, decisions)["example_id"]) == set(sample["example_id"])
