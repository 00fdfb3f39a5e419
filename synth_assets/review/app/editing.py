"""Fixing an example in place: the fields of a form and reading them back.

Here: values ↔ form fields, and what a value must keep to. Not here: HTML (templates/), the discriminators, which judge
an edited example again.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from synth_assets.review.app.items import ROLES, write_value
from synth_assets.review.app.work import ReviewWork
from synth_assets.spec import FieldSpec

PREFIX = "field."
_INT64 = 2**63
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class Turn:
    """A message to edit; role and content carry the form's own values."""

    name: str
    role: str
    content: str
    roles: tuple[str, ...]


@dataclass(frozen=True)
class FieldInput:
    """One input of the form. control: textarea, code, select, checkbox, number, date, line or turns; error: what is
    wrong with what was sent, "" at first."""

    name: str
    label: str
    control: str
    value: str
    language: str
    choices: tuple[str, ...] = ()
    turns: tuple[Turn, ...] = ()
    optional: bool = False
    error: str = ""


def form_of(
    work: ReviewWork, content: Mapping[str, Any], errors: Mapping[str, str] | None = None
) -> tuple[FieldInput, ...]:
    """Return the inputs to edit an example."""
    return tuple(
        _input_of(field, content[field.name], work.choices.get(field.name, ()), (errors or {}).get(field.name, ""))
        for field in work.spec.content_fields
    )


def read_form(
    work: ReviewWork, original: Mapping[str, Any], form: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the edited record, and what is wrong with it, by field; a field that was not sent keeps its value."""
    record: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for field in work.spec.content_fields:
        try:
            record[field.name] = _read(field, original[field.name], form, work.choices.get(field.name, ()))
        except ValueError as error:
            errors[field.name] = str(error)
            record[field.name] = form.get(PREFIX + field.name, original[field.name])
            if field.type == "messages":
                record[field.name] = _read_turns(original[field.name] or [], PREFIX + field.name, form)
    return record, errors


def write_record(record: Mapping[str, Any]) -> str:
    """Return the record as a JSON object; dates as YYYY-MM-DD."""
    return json.dumps(record, ensure_ascii=False, default=str)


def _input_of(field: FieldSpec, value: Any, choices: tuple[str, ...], error: str) -> FieldInput:
    turns: tuple[Turn, ...] = ()
    text = write_value(value) if field.type != "messages" else ""
    if field.type == "messages":
        control = "turns"
        name = PREFIX + field.name
        turns = tuple(
            Turn(f"{name}.{at}", turn["role"] or "", turn["content"] or "", _roles(turn["role"]))
            for at, turn in enumerate(value or [])
        )
    elif field.type == "category":
        control = "select" if choices else "line"
        choices = choices if value in choices or value is None else (*choices, str(value))
    else:
        controls = {"text": "textarea", "code": "code", "boolean": "checkbox", "date": "date"}
        control = controls.get(field.type, "number")
    if field.type == "boolean" and field.nullable:
        control, choices = "select", ("yes", "no")
    return FieldInput(
        name=PREFIX + field.name,
        label=field.name.replace("_", " "),
        control=control,
        value=text,
        language=field.language if field.is_free_text else "",
        choices=choices,
        turns=turns,
        optional=field.nullable,
        error=error,
    )


def _roles(role: str | None) -> tuple[str, ...]:
    return ROLES if role in ROLES else (*ROLES, role or "")


def _read(field: FieldSpec, value: Any, form: Mapping[str, str], choices: tuple[str, ...]) -> Any:
    name = PREFIX + field.name
    if field.type == "messages":
        return None if value is None else _check_turns(field, value, _read_turns(value, name, form))
    if field.type == "boolean" and not field.nullable:
        return form[name] == "yes" if name in form else (False if PREFIX + "sent" in form else value)
    if name not in form:
        return value
    text = _unify(form[name])
    if field.type in ("text", "code"):
        return value if text == _unify(value or "") else _check_length(field, text)
    return _read_value(field, text.strip(), choices, value)


def _read_value(field: FieldSpec, text: str, choices: tuple[str, ...], value: Any) -> Any:
    if not text:
        if field.nullable:
            return None
        raise ValueError("A value is needed.")
    if field.type == "category":
        if choices and text not in choices and text != value:
            raise ValueError("Choose one of the values.")
        return text
    if field.type == "boolean":
        return {"yes": True, "no": False}[text] if text in ("yes", "no") else _fail("Choose yes or no.")
    if field.type == "date":
        try:
            return dt.date.fromisoformat(text)
        except ValueError:
            raise ValueError("A date is written YYYY-MM-DD.") from None
    return _read_number(field, text)


def _read_number(field: FieldSpec, text: str) -> int | float:
    if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise ValueError("A number is needed.")
    if field.type == "integer":
        number: int | float = int(float(text)) if not re.fullmatch(r"[+-]?\d+", text) else int(text)
        if float(text) != number or not -_INT64 <= number < _INT64:
            raise ValueError("A whole number is needed.")
    else:
        number = float(text)
    if field.minimum is not None and number < field.minimum:
        raise ValueError(f"At least {field.minimum:g} is allowed.")
    if field.maximum is not None and number > field.maximum:
        raise ValueError(f"At most {field.maximum:g} is allowed.")
    return number


def _check_length(field: FieldSpec, text: str) -> str | None:
    if not text.strip() and field.nullable:
        return None
    if not field.min_length <= len(text) <= field.max_length:
        raise ValueError(f"{field.min_length} to {field.max_length} characters are allowed; there are {len(text)}.")
    return text


def _read_turns(turns: list[dict[str, Any]], name: str, form: Mapping[str, str]) -> list[dict[str, Any]]:
    read = []
    for at, turn in enumerate(turns):
        content = _unify(form.get(f"{name}.{at}.content", turn["content"] or ""))
        same = content == _unify(turn["content"] or "")
        role = form.get(f"{name}.{at}.role", turn["role"])
        read.append({"role": role, "content": turn["content"] if same else content})
    return read


def _check_turns(field: FieldSpec, original: list[dict[str, Any]], turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if turns != original and sum(len(turn["content"] or "") for turn in turns) > field.max_length:
        raise ValueError(f"The conversation may have {field.max_length} characters.")
    if any(turn["role"] not in {*ROLES, *(old["role"] for old in original)} for turn in turns):
        raise ValueError(f"A role is one of {', '.join(ROLES)}.")
    return turns


def _unify(text: str) -> str:
    """Return the text with the line ends that every browser's form can hold."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _fail(message: str) -> Any:
    raise ValueError(message)
