"""Label Studio's files: what goes out comes back, and what people made of it in between is read or named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import polars as pl
import pytest

from synth_assets.errors import StoreError
from synth_assets.review.decisions import DECISION_COLUMNS, DECISIONS, REASONS, Decision, DecisionStore
from synth_assets.review.label_studio import export_label_studio, import_label_studio, label_studio_interface
from synth_assets.review.spreadsheets import REJECTED_COLUMNS
from synth_assets_tests.review_apps import make_mixed

SPEC, CONTENT = make_mixed()
SAMPLE = CONTENT.select("example_id", "content_id", part=pl.lit("risk"), priority=pl.Series([2, 0, 1]))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tasks.json"


def write(path: Path, *annotations: dict[str, Any], **data: Any) -> Path:
    task = {"data": {"example_id": "e0000", **data}, "annotations": list(annotations)}
    path.write_text(json.dumps([task]), encoding="utf-8")
    return path


def choose(**said: str) -> list[dict[str, Any]]:
    return [
        {"from_name": name, "value": {"choices" if name in ("decision", "reason") else "text": [value]}}
        for name, value in said.items()
    ]


def test_tasks_hold_content_in_serving_order_and_nothing_about_its_origin(path: Path) -> None:
    tasks = json.loads(export_label_studio(SAMPLE, CONTENT, path).read_text(encoding="utf-8"))
    assert [task["data"]["example_id"] for task in tasks] == ["e0001", "e0002", "e0000"]
    fields = {field.name for field in SPEC.content_fields}
    assert set(tasks[0]["data"]) == {"example_id", "item_version", *fields}
    assert tasks[0]["data"]["turns"][1] == {"role": "user", "content": "My grinder only hums. What can I do?"}
    assert tasks[0]["data"]["day"] == "2026-11-27"
    assert "risk" not in path.read_text(encoding="utf-8")


def test_decisions_go_out_as_annotations_and_predictions_and_come_back(path: Path, tmp_path: Path) -> None:
    store = DecisionStore(f"sqlite:///{tmp_path / 'ops.db'}")
    versions = dict(CONTENT.select("example_id", "content_id").rows())
    said = [
        Decision("mixed", "r000", "e0000", "Ada", "accept", "1", seconds=3.5, item_version=versions["e0000"]),
        Decision("mixed", "r000", "e0001", "Ada", "reject", "1", reason="wrong_label", seconds=8.0),
        Decision("mixed", "r000", "e0001", "Bob", "reject", "1", reason="other: two at once"),
        Decision("mixed", "r000", "e0002", "Bob", "skip", "1"),
        Decision("mixed", "r000", "e0002", "automated:1", "flag", "1", reviewer_kind="automated"),
    ]
    store.record(said)
    export_label_studio(SAMPLE, CONTENT, path, store.effective("mixed", "r000"))
    tasks = {task["data"]["example_id"]: task for task in json.loads(path.read_text(encoding="utf-8"))}
    assert [one["model_version"] for one in tasks["e0002"]["predictions"]] == ["automated:1"]
    found, rejected = import_label_studio(path, "mixed", "r000", SAMPLE)
    assert dict(found.schema) == DECISION_COLUMNS
    assert rejected.is_empty()
    columns = ("example_id", "reviewer", "decision", "reason", "seconds")
    assert sorted(found.select(columns).rows()) == sorted(
        tuple(getattr(one, name) for name in columns) for one in said if one.reviewer_kind == "human"
    )
    again = DecisionStore(f"sqlite:///{tmp_path / 'other.db'}")
    assert [again.record(found), again.record(found)] == [4, 0]


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ({"result": choose(decision="accept"), "completed_by": {"email": "ada@x.org"}}, ("accept", "", "ada@x.org")),
        ({"result": choose(decision="accept"), "completed_by": 7}, ("accept", "", "label_studio:7")),
        ({"result": choose(decision="accept")}, ("accept", "", "fallback")),
        (
            {"result": choose(decision="Reject", reason="copied", words="from s1")},
            ("reject", "copied: from s1", "fallback"),
        ),
        ({"result": choose(decision="flag", words="odd"), "lead_time": None}, ("flag", "odd", "fallback")),
        ({"result": [], "was_cancelled": True, "completed_by": 7}, ("skip", "", "label_studio:7")),
        ({"result": choose(decision="accept", reviewer="Ada"), "completed_by": 7}, ("accept", "", "Ada")),
    ],
)
def test_annotations_are_read_as_people_make_them(
    path: Path, annotation: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    found, rejected = import_label_studio(write(path, annotation), "mixed", "r000", SAMPLE, reviewer="fallback")
    assert rejected.is_empty()
    assert found.select("decision", "reason", "reviewer").rows() == [expected]


@pytest.mark.parametrize(
    ("annotations", "data", "reason"),
    [
        ([], {}, "no_decision"),
        ([{"result": []}], {}, "no_decision"),
        ([{"result": "x"}], {}, "no_decision"),
        ([{"result": [{"from_name": "decision", "value": {"choices": [3]}}, 4]}], {}, "no_decision"),
        ([{"result": choose(decision="perhaps")}], {}, "unknown_decision"),
        ([{"result": choose(decision="accept")}], {"example_id": "e9"}, "unknown_example"),
        ([{"result": choose(decision="accept")}], {"item_version": "old"}, "other_version"),
        ([{"result": choose(decision="accept"), "lead_time": -1}], {}, "bad_seconds"),
    ],
)
def test_an_annotation_that_is_no_decision_is_kept_with_its_reason(
    path: Path, annotations: list[dict[str, Any]], data: dict[str, Any], reason: str
) -> None:
    file = write(path, *annotations, **data)
    found, rejected = import_label_studio(file, "mixed", "r000", SAMPLE, reviewer="Ada")
    assert found.is_empty()
    assert dict(rejected.schema) == REJECTED_COLUMNS
    assert rejected.select("line", "reason").rows() == [(1, reason)]


def test_nobody_pretends_to_be_a_machine(path: Path) -> None:
    annotation = {"result": choose(decision="accept", reviewer="automated:1")}
    _, rejected = import_label_studio(write(path, annotation), "mixed", "r000", SAMPLE)
    assert rejected["reason"].to_list() == ["reserved_reviewer"]


@pytest.mark.parametrize(("content", "told"), [("{", "not valid JSON"), ("{}", "a list of tasks"), ("[1]", None)])
def test_a_file_of_another_kind_is_named(path: Path, content: str, told: str | None) -> None:
    path.write_text(content, encoding="utf-8")
    if told is None:
        assert import_label_studio(path, "mixed", "r000", SAMPLE)[1]["reason"].to_list() == ["not_an_object"]
        return
    with pytest.raises(StoreError, match=told):
        import_label_studio(path, "mixed", "r000", SAMPLE)


def test_a_name_that_does_not_end_in_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"must end in \.json"):
        export_label_studio(SAMPLE, CONTENT, tmp_path / "tasks.csv")


def test_the_interface_shows_every_field_and_offers_what_can_be_decided(path: Path) -> None:
    view = ET.fromstring(label_studio_interface(SPEC))
    shown = {one.get("value") for one in view.iter() if one.tag in ("Text", "Paragraphs")}
    assert shown == {f"${field.name}" for field in SPEC.content_fields}
    offered = {one.get("name"): [choice.get("value") for choice in one] for one in view.iter("Choices")}
    assert offered == {"decision": list(DECISIONS), "reason": list(REASONS)}
    names = {one.get("name") for one in view.iter()}
    assert {one.get("toName") for one in view.iter() if one.get("toName")} <= names
