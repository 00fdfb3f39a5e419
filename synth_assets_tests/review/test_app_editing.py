"""Fixing in place: every kind of field goes into a form and comes back as the same value, or as a named fault."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from synth_assets.review.app import ReviewWork
from synth_assets.review.app.editing import PREFIX, FieldInput, form_of, read_form, write_record
from synth_assets_tests.review_apps import MemoryWork, make_mixed

SPEC, CONTENT = make_mixed()
WORK: ReviewWork = MemoryWork(SPEC, CONTENT, seeds=None).load()
ORIGINAL = WORK.content(0)


def sent(inputs: tuple[FieldInput, ...]) -> dict[str, str]:
    """What a browser sends of a form that nobody touched: line ends as CRLF, unchecked boxes left out."""
    fields = {PREFIX + "sent": "1"}
    for field in inputs:
        for turn in field.turns:
            fields |= {f"{turn.name}.role": turn.role, f"{turn.name}.content": turn.content.replace("\n", "\r\n")}
        if field.control == "checkbox":
            fields |= {field.name: "yes"} if field.value == "yes" else {}
        elif field.control != "turns":
            fields[field.name] = field.value.replace("\n", "\r\n")
    return fields


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_form_that_nobody_touched_gives_the_same_record(position: int) -> None:
    original = WORK.content(position)
    assert read_form(WORK, original, sent(form_of(WORK, original))) == (original, {})


def test_fields_that_are_not_sent_keep_their_values() -> None:
    assert read_form(WORK, ORIGINAL, {}) == (ORIGINAL, {})


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("mass", "5", 5.0),
        ("mass", " 1e-3 ", 0.001),
        ("pieces", "-12", -12),
        ("pieces", "4.0", 4),
        ("day", "2025-02-28", dt.date(2025, 2, 28)),
        ("topic", "tea", "tea"),
        ("japanese", "", None),
        ("arabic", "سطر\r\nآخر", "سطر\nآخر"),
        ("turns.1.content", "New\r\nwords", "New\nwords"),
        ("turns.1.role", "tool", "tool"),
    ],
)
def test_what_is_written_is_read_as_its_type(field: str, text: str, value: Any) -> None:
    record, errors = read_form(WORK, ORIGINAL, {**sent(form_of(WORK, ORIGINAL)), PREFIX + field: text})
    name, *rest = field.split(".")
    assert errors == {}
    assert (record[name][int(rest[0])][rest[1]] if rest else record[name]) == value
    assert json.loads(write_record(record))


@pytest.mark.parametrize(
    ("field", "text", "told"),
    [
        ("mass", "heavy", "A number is needed"),
        ("mass", "-1", "At least 0"),
        ("mass", "1e999", "A number is needed"),
        ("mass", "٣", "A number is needed"),
        ("mass", "", "A value is needed"),
        ("pieces", "1.5", "A whole number"),
        ("pieces", "9" * 30, "A whole number"),
        ("pieces", "9" * 100_000, "A number is needed"),
        ("day", "27.11.2026", "YYYY-MM-DD"),
        ("topic", "cocoa", "Choose one"),
        ("arabic", "", "1 to 4000 characters"),
        ("arabic", "x" * 4001, "there are 4001"),
        ("turns.0.role", "boss", "A role is one of"),
        ("turns.0.content", "x" * 5000, "4000 characters"),
    ],
)
def test_what_breaks_the_record_is_told_and_kept_in_the_form(field: str, text: str, told: str) -> None:
    record, errors = read_form(WORK, ORIGINAL, {**sent(form_of(WORK, ORIGINAL)), PREFIX + field: text})
    name = field.split(".", maxsplit=1)[0]
    assert list(errors) == [name]
    assert told in errors[name]
    again = {one.name: one for one in form_of(WORK, record, errors)}[PREFIX + name]
    assert again.error == errors[name]
    assert text in (again.value, *(turn.content for turn in again.turns), *(turn.role for turn in again.turns))


def test_a_box_that_is_unchecked_is_false() -> None:
    form = sent(form_of(WORK, ORIGINAL))
    del form[PREFIX + "helpful"]
    assert read_form(WORK, ORIGINAL, form)[0]["helpful"] is False


def test_the_inputs_suit_the_types() -> None:
    controls = {one.name.removeprefix(PREFIX): one.control for one in form_of(WORK, ORIGINAL)}
    assert controls == {
        "turns": "turns",
        "solution": "code",
        "arabic": "textarea",
        "japanese": "textarea",
        "mass": "number",
        "pieces": "number",
        "day": "date",
        "helpful": "checkbox",
        "topic": "select",
    }
