"""What the values of one column look like: type, range, lengths, how many differ.

Here: one column at a time, from a sample. Not here: sampling (sniffing.py), roles and the dataset.yaml (guessing.py).
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import polars as pl

from synth_assets.seeds.columns import to_date
from synth_assets.seeds.files import Fault
from synth_assets.seeds.parsing import parse_json
from synth_assets.seeds.sniffing import NUMBER, is_conversation
from synth_assets.spec import CsvSpec, FieldType

SURE = 0.99
NOT_FINITE = r"(?i)^[+-]?(?:nan|inf|infinity)$"
_INT64 = range(-(2**63), 2**63)
_NOT_FINITE = re.compile(NOT_FINITE)
_MAX_CATEGORY_CHARACTERS = 80
_MAX_CATEGORIES = 500
_MAX_DECIMALS = 12
_CODE_LINE = re.compile(
    r"^\s*(?:(?:async )?def \w+\(|class \w+[(:{ ]|from [\w.]+ import |import [\w.]+;?$|#include\b|#!/|package [\w.]+;|"
    r"(?:public|private|static|const|let|var|function|func|fn)\b.*[;{})]$|return\b|SELECT\b.+\bFROM\b|"
    r"(?:if|for|while)\b.+[:{]$|[\w.\[\]]+ = .+|[\w.]+\(.*\);?$|.*[;{}]$)",
    re.MULTILINE,
)
_STRONG_CODE = re.compile(
    r"^\s*(?:def \w+\(|class \w+|#include|import |from \w|return\b|SELECT\b|.*[;{}]\s*$)", re.MULTILINE
)


@dataclass(frozen=True)
class Profile:
    """One column of a sample. `distinct` and `counts` (value as text → rows) leave missing values out."""

    source: str
    type: FieldType
    count: int
    missing: int
    distinct: int
    counts: dict[str, int]
    smallest: float | None = None
    decimals: int | None = None
    longest: int = 0
    words: float = 0.0
    mixed: str = ""

    @property
    def is_unique(self) -> bool:
        return self.missing == 0 and self.distinct == self.count

    @property
    def is_sentence(self) -> bool:
        """Whether the values read as running text: three words or more in the middle case, or many characters."""
        return self.type in ("messages", "code") or (self.type == "text" and (self.words >= 3 or self.longest > 200))


def profile_column(source: str, values: Sequence[Any], *, textual: bool, dialect: CsvSpec) -> Profile | None:
    """Return what a column holds; None where no value is left that any type of field takes."""
    clean = _clean_cells(values, dialect) if textual else [_clean_value(value) for value in values]
    found = [value for value in clean if value is not None]
    kind = _guess_textual(found) if textual else _guess_native(found)
    if textual and kind in ("integer", "number"):
        found = [value for value in found if not _NOT_FINITE.fullmatch(value)]  # reading takes these as missing
    present = [value for value in found if _fits(value, kind)]
    wrong = len(found) - len(present)
    if wrong >= len(present):
        return None
    keys = [str(value) for value in present] if kind != "messages" else []
    counts = Counter(keys)
    profile = Profile(
        source=source,
        type=kind,
        count=len(present),
        missing=len(clean) - len(found),
        distinct=len(counts),
        counts=dict(counts.most_common()),
        longest=max(map(len, keys), default=0),
        mixed=f"{wrong:,} of {len(found):,} values are no {kind}" if wrong else "",
    )
    if kind in ("integer", "number"):
        return _add_range(profile, keys)
    if kind == "messages":
        return replace(profile, longest=max(_talk_length(value) for value in present))
    if kind == "text":
        words = sorted(len(key.split()) for key in keys)
        profile = replace(profile, words=float(words[len(words) // 2]))
        return replace(profile, type=_refine_text(profile))
    return profile


def as_category(profile: Profile) -> Profile:
    """Return the column read as a category: its values are names, whatever they are written with."""
    return replace(profile, type="category", smallest=None, decimals=None)


def _clean_cells(values: Sequence[str | None], dialect: CsvSpec) -> list[str | None]:
    cells = pl.Series(values, dtype=pl.String)
    cells = cells.str.strip_chars() if dialect.strip else cells
    return cells.set(cells.is_in(list(dialect.null_values)), None).to_list()


def _clean_value(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.strip() else None
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _guess_textual(found: Sequence[str]) -> FieldType:
    cells = pl.Series(found, dtype=pl.String)
    enough = SURE * len(found)
    finite = cells.filter(~cells.str.contains(NOT_FINITE))
    numbers = finite.filter(finite.str.contains(NUMBER))
    names = numbers.str.contains(r"^[+-]?0\d|^\+\d{6}|^[+-]?\d{19}")  # 007, phone numbers and long keys are names
    if numbers.len() and numbers.len() >= SURE * finite.len() and not names.any():
        return "integer" if numbers.str.contains(r"^[+-]?\d+$").all() else "number"
    if found and cells.str.to_lowercase().is_in(["true", "false"]).sum() >= enough:
        return "boolean"
    if found and sum(_fits(cell, "date") for cell in found[:1_000]) >= SURE * len(found[:1_000]):
        return "date"
    if found and cells.str.starts_with("[{").sum() >= enough and is_conversation(parse_json(found[0])):
        return "messages"
    return "text"


_KINDS: dict[type, FieldType] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    Decimal: "number",
    dt.date: "date",
    dt.datetime: "date",
    list: "messages",
}


def _guess_native(found: Sequence[Any]) -> FieldType:
    """Return the type that most values have."""
    kinds: Counter[FieldType] = Counter(_KINDS.get(type(value), "text") for value in found)
    if kinds["number"] or any(type(value) is int and value not in _INT64 for value in found):
        kinds["number"] += kinds.pop("integer", 0)
    kind: FieldType = kinds.most_common(1)[0][0] if kinds else "text"
    if kind == "text" and sum(_fits(value, "date") for value in found) >= SURE * len(found):
        return "date"
    return kind


def _fits(value: Any, kind: FieldType) -> bool:
    """Return whether reading would take the value; a text for a number or boolean is a CSV cell."""
    if kind in ("integer", "number"):
        if isinstance(value, str):
            return bool(re.match(NUMBER, value))
        return type(value) is int or (kind == "number" and isinstance(value, (float, Decimal)))
    if kind == "boolean":
        return isinstance(value, bool) or (isinstance(value, str) and value.lower() in ("true", "false"))
    if kind == "date":
        return not isinstance(to_date(value), Fault)
    if kind == "messages":
        return is_conversation(parse_json(value) if isinstance(value, str) else value)
    return isinstance(value, str)


def _add_range(profile: Profile, written: Sequence[str]) -> Profile:
    smallest = min(map(float, written))
    if profile.type == "integer" or any("e" in text.lower() for text in written):
        return replace(profile, smallest=smallest)
    decimals = max(len(text.partition(".")[2].rstrip("0")) for text in written)
    return replace(profile, smallest=smallest, decimals=decimals if decimals <= _MAX_DECIMALS else None)


def _talk_length(value: Any) -> int:
    talk = parse_json(value) if isinstance(value, str) else value
    return sum(len(message["content"]) for message in talk)


def _refine_text(profile: Profile) -> FieldType:
    """Return category for few short values that repeat, code for what is mostly code, else text."""
    many = max(profile.count * 0.05, min(20, profile.count * 0.5))
    if profile.longest <= _MAX_CATEGORY_CHARACTERS and profile.distinct <= min(many, _MAX_CATEGORIES):
        return "category"
    return "code" if _looks_like_code(list(profile.counts)[:200]) else "text"


def _looks_like_code(texts: Sequence[str]) -> bool:
    def is_code(text: str) -> bool:
        lines = [line for line in text.splitlines() if line.strip()]
        matching = sum(bool(_CODE_LINE.match(line)) for line in lines)
        return bool(lines) and matching >= 0.5 * len(lines) and bool(_STRONG_CODE.search(text))

    return sum(map(is_code, texts)) >= 0.6 * len(texts)
