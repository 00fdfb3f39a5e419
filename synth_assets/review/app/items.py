"""Examples as people read them: each field in a form that suits its type, hidden characters made visible.

Here: values → what the templates show. Not here: HTML (templates/), reading an edited example back (editing.py).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from synth_assets.spec import DatasetSpec, FieldSpec

ROLES = ("system", "user", "assistant", "tool")

# Controls, and marks that reorder, join or hide text without being seen: what a hostile text would use. Joiners and
# direction marks that scripts and emoji need (U+200C–U+200F, U+061C) are left alone.
HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]"
)
_HIDDEN_IN_CODE = re.compile(f"{HIDDEN.pattern[:-1]}\u061c\u200c-\u200f\u00a0]")


@dataclass(frozen=True)
class Span:
    """A piece of text. hidden: it stands for a character that cannot be seen, such as U+202E."""

    text: str
    hidden: bool = False


@dataclass(frozen=True)
class Turn:
    """One message of a conversation. role: as written; side: the one of ROLES it is shown as, or other."""

    role: str
    side: str
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class FieldView:
    """One field of an example. kind: text, code, messages or value; each kind has spans, lines or turns of its own."""

    name: str
    label: str
    kind: str
    role: str
    language: str
    description: str
    empty: bool
    spans: tuple[Span, ...] = ()
    lines: tuple[tuple[Span, ...], ...] = ()
    turns: tuple[Turn, ...] = ()
    unit: str = ""


@dataclass(frozen=True)
class ItemView:
    """An example: the long fields one by one, the short ones as a table."""

    long: tuple[FieldView, ...]
    short: tuple[FieldView, ...]


def view_item(spec: DatasetSpec, content: dict[str, Any]) -> ItemView:
    """Return how an example is shown; fields keep the record's order."""
    views = [_view_field(field, content[field.name]) for field in spec.content_fields]
    return ItemView(
        tuple(view for view in views if view.kind != "value"), tuple(view for view in views if view.kind == "value")
    )


def write_value(value: Any) -> str:
    """Return a single value as people write it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return str(value)


def _view_field(field: FieldSpec, value: Any) -> FieldView:
    kind = field.type if field.is_free_text else "value"
    shown: dict[str, Any] = {}
    if value is None:
        pass
    elif kind == "code":
        shown["lines"] = tuple(tuple(_split(line, _HIDDEN_IN_CODE)) for line in _lines(value))
    elif kind == "messages":
        shown["turns"] = tuple(_turn(turn) for turn in value)
    else:
        shown["spans"] = tuple(_split(write_value(value), HIDDEN))
    return FieldView(
        name=field.name,
        label=field.name.replace("_", " "),
        kind=kind,
        role=field.role,
        language=field.language if kind in ("text", "messages") else "",
        description=field.description,
        empty=value is None,
        unit=field.unit,
        **shown,
    )


def _turn(turn: dict[str, Any]) -> Turn:
    role = turn["role"] or ""
    return Turn(role, role if role in ROLES else "other", tuple(_split(turn["content"] or "", HIDDEN)))


def _lines(code: str) -> list[str]:
    return code.replace("\r\n", "\n").rstrip("\n").split("\n")


def _split(text: str, hidden: re.Pattern[str]) -> Iterator[Span]:
    start = 0
    for found in hidden.finditer(text):
        if found.start() > start:
            yield Span(text[start : found.start()])
        yield Span(f"U+{ord(found.group()):04X}", hidden=True)
        start = found.end()
    if start < len(text):
        yield Span(text[start:])
