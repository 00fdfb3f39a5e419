"""Raw values as typed columns: strict conversion, and the bounds that the spec sets.

Here: what a value must be, column by column. Not here: where values come from (parsing.py), row conditions and
rights (reading.py).
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import polars as pl

from synth_assets.records import POLARS_TYPES
from synth_assets.seeds.files import Fault
from synth_assets.seeds.parsing import describe, parse_json
from synth_assets.spec import CsvSpec, FieldSpec

TRUE_WORDS = frozenset({"true", "t", "yes", "y", "1"})
FALSE_WORDS = frozenset({"false", "f", "no", "n", "0"})
_ISO_DATE = re.compile(r"^(\d{4}-\d{2}-\d{2})(?:[T ]00:00(?::00(?:\.0+)?)?)?$", re.ASCII)
_EXPECTED = {
    "text": "text",
    "code": "text",
    "category": "text",
    "integer": "an integer (64 bit)",
    "number": "a number",
    "boolean": "true or false",
    "date": "a date like 2024-12-31",
    "messages": 'a list of {"role": …, "content": …}',
}
_FAST: dict[str, set[type]] = {
    "text": {str},
    "code": {str},
    "category": {str},
    "integer": {int},
    "number": {int, float},
    "boolean": {bool},
    "date": {dt.date},
    "messages": set(),
}
_NOT_FINITE = frozenset({"nan", "inf", "infinity"})
_INT64 = range(-(2**63), 2**63)

Faults = dict[int, Fault]


def convert_column(
    values: Sequence[Any], field: FieldSpec, *, textual: bool, dialect: CsvSpec
) -> tuple[pl.Series, Faults]:
    """Return the values as a column of the field's type (null where missing or faulty), and the faults by position.

    `textual` values are the cells of a CSV file and are parsed; others must already have the right JSON type, but an
    integer may serve as a category, and 3.0 as an integer. NaN and infinities count as missing.
    """
    column, faults = _parse_cells(values, field, dialect) if textual else _take_values(values, field)
    return _check_column(column, field, faults)


# ---- values that have a type already (JSON, Parquet)


def _take_values(values: Sequence[Any], field: FieldSpec) -> tuple[pl.Series, Faults]:
    dtype = POLARS_TYPES[field.type]
    if set(map(type, values)) <= _FAST[field.type] | {type(None)}:
        try:
            return pl.Series(field.name, values, dtype=dtype), {}
        except (TypeError, OverflowError, UnicodeError):
            pass  # a value too large, or a lone surrogate: found one by one
    return _convert_each(values, field, _CONVERTERS[field.type])


def _convert_each(values: Sequence[Any], field: FieldSpec, convert: Callable[[Any], Any]) -> tuple[pl.Series, Faults]:
    faults: Faults = {}
    converted: list[Any] = []
    for position, value in enumerate(values):
        result = None if value is None else convert(value)
        if isinstance(result, Fault):
            detail = result.detail or f"{describe(value)} where {_EXPECTED[field.type]} is expected"
            faults[position] = Fault(result.reason, f"{field.name}: {detail}")
            result = None
        converted.append(result)
    return pl.Series(field.name, converted, dtype=POLARS_TYPES[field.type]), faults


_WRONG_TYPE = Fault("wrong_type", "")


def _to_text(value: Any) -> str | Fault:
    if not isinstance(value, str):
        return _WRONG_TYPE
    try:
        value.encode()
    except UnicodeEncodeError:
        return Fault("not_utf8", r"half of a surrogate pair (such as \ud800), which is no character")
    return value


def _to_category(value: Any) -> str | Fault:
    return str(value) if type(value) is int and value in _INT64 else _to_text(value)


def _to_integer(value: Any) -> int | Fault | None:
    if isinstance(value, (float, Decimal)):
        if not math.isfinite(value):
            return None
        value = int(value) if value == int(value) else value
    return value if type(value) is int and value in _INT64 else _WRONG_TYPE


def _to_number(value: Any) -> float | Fault:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return _WRONG_TYPE
    try:
        return float(value)
    except (OverflowError, ValueError):
        return _WRONG_TYPE


def _to_boolean(value: Any) -> bool | Fault:
    return value if isinstance(value, bool) else _WRONG_TYPE


def to_date(value: Any) -> dt.date | Fault:
    """Return the day that a date, an ISO text or a point in time at midnight names; else a Fault."""
    if isinstance(value, dt.datetime):
        return value.date() if value.time() == dt.time() else _WRONG_TYPE
    if isinstance(value, dt.date):
        return value
    found = _ISO_DATE.match(value) if isinstance(value, str) else None
    try:
        return dt.date.fromisoformat(found[1]) if found else _WRONG_TYPE
    except ValueError:
        return _WRONG_TYPE


def _to_messages(value: Any) -> list[dict[str, str]] | Fault:
    if not isinstance(value, list):
        return _WRONG_TYPE
    messages: list[dict[str, str]] = []
    for position, message in enumerate(value, start=1):
        parts = [message.get("role"), message.get("content")] if isinstance(message, dict) else [None]
        texts = [_to_text(part) for part in parts]
        fault = next((text for text in texts if isinstance(text, Fault)), None)
        if fault is not None:
            return Fault(fault.reason, f"message {position}: {fault.detail or 'role and content must both be text'}")
        messages.append({"role": str(texts[0]), "content": str(texts[1])})
    return messages


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "text": _to_text,
    "code": _to_text,
    "category": _to_category,
    "integer": _to_integer,
    "number": _to_number,
    "boolean": _to_boolean,
    "date": to_date,
    "messages": _to_messages,
}


# ---- cells of CSV files


def _parse_cells(values: Sequence[str | None], field: FieldSpec, dialect: CsvSpec) -> tuple[pl.Series, Faults]:
    cells = pl.Series(field.name, values, dtype=pl.String)
    if dialect.strip:
        cells = cells.str.strip_chars()
    absent = list(dialect.null_values) if field.is_free_text or field.type == "category" else [*dialect.null_values, ""]
    cells = cells.set(cells.is_in(absent), None) if absent else cells
    quick = _QUICK_PARSERS.get(field.type)
    column = quick(cells) if quick else (cells if POLARS_TYPES[field.type] == pl.String else None)
    if column is None:
        return _convert_each(cells.to_list(), field, _PARSERS[field.type])
    left = (cells.is_not_null() & column.is_null()).arg_true()
    if left.is_empty():
        return column, {}
    rest, faults = _convert_each(cells.gather(left).to_list(), field, _PARSERS[field.type])
    return column.scatter(left, rest), {int(left[position]): fault for position, fault in faults.items()}


_QUICK_PARSERS: dict[str, Callable[[pl.Series], pl.Series]] = {
    "integer": lambda cells: cells.cast(pl.Int64, strict=False),
    "number": lambda cells: cells.cast(pl.Float64, strict=False),
}


def _parse_integer(cell: str) -> int | Fault | None:
    number = _parse_decimal(cell)
    return number if isinstance(number, Fault) or number is None else _to_integer(number)


def _parse_decimal(cell: str) -> Decimal | Fault | None:
    if cell.lstrip("+-").lower() in _NOT_FINITE:
        return None
    try:
        number = Decimal(cell)
    except InvalidOperation:
        return _WRONG_TYPE
    plain = cell.isascii() and "_" not in cell and number.is_finite() and abs(number.adjusted()) < 400
    return number if plain else _WRONG_TYPE


def _parse_number(cell: str) -> float | Fault | None:
    number = _parse_decimal(cell)
    return number if isinstance(number, Fault) or number is None else _to_number(number)


def parse_boolean(cell: str) -> bool | Fault:
    """Return the boolean that a CSV cell spells: true, t, yes, y, 1 or false, f, no, n, 0 in any case."""
    word = cell.strip().lower()
    return True if word in TRUE_WORDS else False if word in FALSE_WORDS else _WRONG_TYPE


def _parse_messages(cell: str) -> list[dict[str, str]] | Fault:
    value = parse_json(cell)
    return value if isinstance(value, Fault) else _to_messages(value)


_PARSERS: dict[str, Callable[[str], Any]] = {
    "integer": _parse_integer,
    "number": _parse_number,
    "boolean": parse_boolean,
    "date": to_date,
    "messages": _parse_messages,
}


# ---- bounds


def _check_column(column: pl.Series, field: FieldSpec, faults: Faults) -> tuple[pl.Series, Faults]:
    name = field.name

    def add(mask: pl.Series, reason: str, explain: Callable[[Any], str]) -> None:
        for position in mask.fill_null(False).arg_true():
            faults.setdefault(position, Fault(reason, f"{name}: {explain(column[position])}"))

    if column.dtype.is_float():
        column = column.set(~column.is_finite(), None)
    elif field.type == "messages":
        lengths = column.to_frame().select(_messages_length(pl.col(name))).to_series()
        column = column.to_frame().select(pl.when(lengths > 0).then(pl.col(name)).alias(name)).to_series()
        add(lengths > field.max_length, "too_long", lambda _: f"over {field.max_length:,} characters (max_length)")
    elif column.dtype == pl.String:
        if field.type == "category" or field.nullable or field.min_length > 0:
            column = column.set(column.str.strip_chars() == "", None)
        if field.is_free_text:
            size = column.str.len_chars()
            add(size > field.max_length, "too_long", lambda v: f"{len(v):,} characters, at most {field.max_length:,}")
            add(size < field.min_length, "too_short", lambda v: f"{len(v):,} characters, at least {field.min_length:,}")
    if not field.nullable:
        add(column.is_null(), "missing_field", lambda _: f"is missing{_locate(field)}, and the field is not nullable")
    if field.values is not None:
        listed = ", ".join(field.values)
        listed = listed if len(listed) <= 200 else listed[:199] + "…"
        add(~column.is_in(list(field.values)), "not_allowed", lambda v: f"{describe(v)} is none of: {listed}")
    if field.minimum is not None:
        add(column < field.minimum, "not_allowed", lambda v: f"{v} is below the minimum {field.minimum:g}")
    if field.maximum is not None:
        add(column > field.maximum, "not_allowed", lambda v: f"{v} is above the maximum {field.maximum:g}")
    return column, faults


def _locate(field: FieldSpec) -> str:
    return f" (looked for '{field.source}')" if field.source else ""


def _messages_length(column: pl.Expr) -> pl.Expr:
    return column.list.eval(pl.element().struct.field("content").str.strip_chars().str.len_chars()).list.sum()
