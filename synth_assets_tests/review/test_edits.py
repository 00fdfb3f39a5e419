"""From an edit to an example: which edits count, how they are typed, whose lineage they have, what becomes of each."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import polars as pl
import pytest

from synth_assets.discriminators.cascade import Filtering, run_cascade
from synth_assets.discriminators.duplicates import Duplicates
from synth_assets.discriminators.record import RecordRules
from synth_assets.records import LINEAGE_COLUMNS, add_content_ids, polars_schema, stratum_expression
from synth_assets.review.edits import EDIT_COLUMNS
from synth_assets.review.fixes import FIX_COLUMNS, Fixes, make_fixes
from synth_assets.spec import DatasetSpec

SPEC = DatasetSpec.model_validate(
    {
        "name": "demo",
        "fields": [
            {"name": "text", "type": "text", "role": "input", "max_length": 200},
            {"name": "topic", "type": "category", "role": "target"},
            {"name": "stars", "type": "integer", "role": "context", "minimum": 1, "maximum": 5, "nullable": True},
            {"name": "day", "type": "date", "role": "context", "nullable": True},
        ],
        "strata": {"by": ["topic"]},
        "constraints": ["stars > 1 OR topic <> 'praise'"],
        "source": {"license": "CC0-1.0", "consent": {"basis": "not_personal"}},
    }
)
STRATA = ("complaint", "praise")
WORDS = (
    "The kettle leaks at the lid",
    "My lamp came without a bulb",
    "Both chairs arrived scratched",
    "No reply for weeks",
)


def make_kept() -> pl.DataFrame:
    rows = pl.DataFrame(
        {
            "example_id": [f"e{number}" for number in range(4)],
            "text": WORDS,
            "topic": ["complaint"] * 4,
            "stars": [1, 2, None, 1],
            "day": [dt.date(2024, 5, 1)] * 4,
            "round": "r000",
            "request_id": [f"q{number}" for number in range(4)],
            "attempt": 0,
            "prompted_by": [["s1", "s2"]] * 4,
            "generator_id": "g",
            "trained_on": "t",
            "prompt_id": "p",
            "parameters": "{}",
            "seed": 7,
            "watermark_key_id": "key",
            "parents": [[]] * 4,
            "finish_reason": "stop",
            "prompt_tokens": 3,
            "output_tokens": 5,
            "origin": "synthetic",
        }
    ).with_columns(stratum_expression(SPEC).alias("stratum"))
    return add_content_ids(rows.cast({**LINEAGE_COLUMNS, **polars_schema(SPEC.fields)}), SPEC)  # type: ignore[arg-type]


KEPT = make_kept()


def make_edits(*given: tuple[str, str, str]) -> pl.DataFrame:
    """Return edits (original, reviewer, content) in the order they were stored."""
    rows = [
        (f"edit-{at}", f"decision-{at}", "demo", "r000", original, reviewer, content, "", "")
        for at, (original, reviewer, content) in enumerate(given)
    ]
    return pl.DataFrame(rows, schema=EDIT_COLUMNS, orient="row")


def decisions_of(edits: pl.DataFrame, *more: tuple[str, str, str]) -> pl.DataFrame:
    """Return what the reviewers decided: a reject with each edit, and more (example, reviewer, decision)."""
    schema = ["example_id", "reviewer", "decision", "reason"]
    rows = [(*row, "reject", "edited") for row in edits.select("example_id", "reviewer").rows()]
    rows += [(*each, "unsafe") for each in more]
    return pl.DataFrame(rows, schema=dict.fromkeys(schema, pl.String), orient="row").with_columns(
        reviewer_kind=pl.lit("human"), item_version=pl.lit("")
    )


def fix(*given: tuple[str, str, str], more: tuple[tuple[str, str, str], ...] = ()) -> Fixes:
    edits = make_edits(*given)
    siblings = KEPT.filter(~pl.col("example_id").is_in(edits["example_id"].to_list()))

    def judge(rows: pl.DataFrame) -> Filtering:
        return run_cascade(rows, [RecordRules(SPEC), Duplicates(SPEC, siblings, KEPT.clear())])

    return make_fixes(edits, decisions_of(edits, *more), KEPT, SPEC, round_="r000", strata=STRATA, judge=judge)


def content(**changes: Any) -> str:
    return json.dumps({"text": WORDS[0], "topic": "complaint", "stars": 1, "day": "2024-05-01", **changes})


def outcome(found: Fixes) -> list[tuple[str, str]]:
    return found.edits.sort("edit_id").select("state", "reason").rows()


def test_a_fix_has_the_lineage_of_its_original_and_what_its_own_values_say() -> None:
    found = fix(("e0", "bob", content(text="The kettle is superb", topic="praise", stars=5)))
    assert outcome(found) == [("accepted", "")]
    row, original = found.rows.row(0, named=True), KEPT.row(0, named=True)
    assert (row["text"], row["stars"], row["day"]) == ("The kettle is superb", 5, dt.date(2024, 5, 1))
    assert (row["stratum"], row["origin"], row["parents"]) == ("praise", "synthetic", ["e0"])
    for name in LINEAGE_COLUMNS.keys() - {"parents", "watermark_key_id"}:
        assert row[name] == original[name], name
    assert row["example_id"] == found.edits["example_id"].item() != "e0"
    assert row["content_id"] != original["content_id"]
    assert add_content_ids(found.rows, SPEC)["content_id"].item() == row["content_id"]
    assert found.verdicts["example_id"].unique().to_list() == [row["example_id"]]


@pytest.mark.parametrize(("changes", "key"), [({"text": "The kettle leaks"}, None), ({"stars": 2}, "key")])
def test_the_watermark_stands_on_unchanged_text_alone(changes: dict[str, Any], key: str | None) -> None:
    assert fix(("e0", "bob", content(**changes))).rows["watermark_key_id"].item() == key


def test_ids_depend_on_original_and_edit() -> None:
    one, two = (fix(("e0", "bob", content(text=text))) for text in ("A new lid", "A new lid"))
    other = fix(("e1", "bob", content(text="A new lid")))
    assert one.rows.equals(two.rows)
    assert one.rows["content_id"].item() == other.rows["content_id"].item()
    assert one.rows["example_id"].item() != other.rows["example_id"].item()


def test_the_last_edit_of_an_example_counts() -> None:
    found = fix(("e0", "bob", content(text="First try")), ("e0", "eve", content(text="Second try")))
    assert outcome(found) == [("aside", "superseded"), ("accepted", "")]
    assert found.rows["text"].to_list() == ["Second try"]


@pytest.mark.parametrize("decision", ["reject", "flag"])
def test_what_somebody_else_turned_down_is_not_mended_by_an_edit(decision: str) -> None:
    found = fix(("e0", "bob", content(text="Mended")), more=(("e0", "eve", decision),))
    assert outcome(found) == [("aside", "rejected_by_another")]
    assert "eve" in found.edits["detail"].item()
    assert outcome(fix(("e0", "bob", content(text="Mended")), more=(("e0", "eve", "accept"),))) == [("accepted", "")]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("{", "bad_json"),
        ("[" * 200_000, "bad_json"),
        ("[1]", "not_an_object"),
        ('"text"', "not_an_object"),
        ("{}", "missing_field"),
        (content(text=None), "missing_field"),
        (content(text=["a"]), "wrong_type"),
        (content(text="x" * 201), "too_long"),
        (content(text="\ud800"), "not_utf8"),
        (content(stars="many"), "wrong_type"),
        (content(stars=6), "not_allowed"),
        (content().replace('"stars": 1', '"stars": ' + "9" * 9_000), "wrong_type"),
        (content(day="yesterday"), "wrong_type"),
        (content(topic="rumor"), "unplanned_stratum"),
        (content(), "unchanged"),
        (content(text=f"  {WORDS[0]} "), "unchanged"),
    ],
)
def test_what_is_no_record_is_set_aside_with_its_reason(given: str, reason: str) -> None:
    found = fix(("e0", "bob", given), ("e1", "bob", content(text="A sound one")))
    assert outcome(found) == [("aside", reason), ("accepted", "")]
    aside = found.edits.filter(pl.col("state") == "aside").row(0, named=True)
    assert aside["detail"] != ""
    assert len(aside["detail"]) < 500
    assert aside["example_id"] is None


def test_the_cascade_rejects_with_evidence() -> None:
    found = fix(
        ("e0", "bob", content(text=WORDS[1], stars=2)),  # repeats the text of e1
        ("e2", "bob", content(text="Fine now", topic="praise", stars=1)),  # breaks the constraint
        ("e3", "bob", content(text="Nobody called back")),
    )
    told = found.edits.sort("edit_id").select("state", "reason").rows()
    assert told == [("rejected", "exact_duplicate"), ("rejected", "constraint"), ("accepted", "")]
    assert "e1" in found.edits.sort("edit_id")["detail"][0]
    assert found.rows.height == 3
    assert found.rows.filter(pl.col("quality").is_null()).height == 2


def test_two_equal_fixes_are_one_and_a_duplicate() -> None:
    found = fix(("e0", "bob", content(text="Same words")), ("e1", "eve", content(text="Same words")))
    assert sorted(found.edits["state"]) == ["accepted", "rejected"]


def test_without_edits_nothing_is_judged() -> None:
    def judge(rows: pl.DataFrame) -> Filtering:
        raise AssertionError(f"{rows.height} rows to judge")

    edits = make_edits()
    found = make_fixes(edits, decisions_of(edits), KEPT, SPEC, round_="r000", strata=STRATA, judge=judge)
    assert found.edits.schema == FIX_COLUMNS
    assert (found.rows.height, found.verdicts.height) == (0, 0)
    judged = fix(("e0", "bob", content(text="Mended")))
    assert found.rows.schema == judged.rows.schema
    assert found.verdicts.schema == judged.verdicts.schema
