"""The record as a language model must write it: a bounded JSON Schema, and reading its answer back.

Here: which fields are asked for, their bounds, exemplars as JSON lines, strict reading of answers. Not here: prompts
(prompts.py), what else a record must be to be accepted (discriminators).
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any, Literal

import polars as pl
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    with_config,
)
from typing_extensions import TypedDict  # pydantic takes no other before Python 3.12

from synth_assets.errors import SpecError
from synth_assets.records import RELEASABLE, STRATUM_SEPARATOR, messages_text
from synth_assets.spec import NUMERIC_TYPES, DatasetSpec, FieldSpec

NO_VALUE = "(none)"
_LENGTH_MARGIN = 1.25
_LEAST_LENGTH = 40
_ESCAPED = r'["\\\n\r]'
_MOST_ESCAPED = 0.01
_ROLES = ("user", "assistant")
_MORE_TURNS = 2
_INT64 = (-(2**63), 2**63 - 1)
_MOST_FLOAT = sys.float_info.max
_TIDIED = 1e12
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


@dataclass(frozen=True)
class Bounds:
    """What a field's values may be in an answer, from the spec and, where it is silent, from the training rows.

    longest: characters of a text. escapes: whether texts need quotes or line breaks. minimum, maximum: of a number.
    values: of a category. turns, roles: of a conversation.
    """

    field: FieldSpec
    longest: int = 0
    escapes: bool = False
    minimum: float = 0.0
    maximum: float = 0.0
    values: tuple[str, ...] = ()
    turns: int = 0
    roles: tuple[str, ...] = ()


@dataclass(frozen=True)
class RecordSchema:
    """The fields that a language model writes; the fields of a stratum are given, not asked for.

    bounds: one entry a field that is asked for, in record order. given: the values of each stratum's fields.
    """

    spec: DatasetSpec
    bounds: tuple[Bounds, ...]
    given: dict[str, dict[str, Any]]

    @classmethod
    def build(cls, spec: DatasetSpec, train: pl.DataFrame) -> RecordSchema:
        """Return the schema for training rows (stratum, disposition, the record's fields); row order does not matter.

        Bounds come from releasable rows only, as far as there are any: a private row's length or value must not show.
        """
        open_rows = train.filter(pl.col("disposition") == RELEASABLE)
        rows = open_rows if open_rows.height else train
        asked = [field for field in spec.content_fields if field.name not in spec.strata.by]
        asked = asked or list(spec.content_fields)
        return cls(spec, tuple(_bound(field, rows) for field in asked), _read_strata(spec, train))

    @cached_property
    def json_schema(self) -> str:
        """The JSON Schema of an answer, compact; every string, array and number in it is bounded.

        One exception: grammars of bounded strings cannot write quotes or line breaks, so a field whose training texts
        need them has no maxLength here, is bounded by max_tokens, and is held to its length when it is read.
        """
        properties = {bounds.field.name: _describe(bounds) for bounds in self.bounds}
        schema = {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
        return json.dumps(schema, separators=(",", ":"), ensure_ascii=False)

    def write_lines(self, rows: pl.DataFrame) -> list[str]:
        """Return rows as the JSON that an answer should look like, one line each."""
        names = [bounds.field.name for bounds in self.bounds]
        return [
            json.dumps(row, separators=(",", ":"), ensure_ascii=False, default=str)
            for row in rows.select(names).iter_rows(named=True)
        ]

    def read(self, text: str, stratum: str) -> tuple[dict[str, Any] | None, str]:
        """Return the record (asked and given fields) and "", or None and what is wrong with the answer."""
        try:
            record = self._reader.validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            return None, f"{where}: {first['msg']}" if where else first["msg"]
        for bounds in self.bounds:
            value = record[bounds.field.name]
            if isinstance(value, float) and bounds.field.decimals is not None:
                record[bounds.field.name] = _round_within(value, bounds.field)
        return {**record, **self.values_of(stratum)}, ""

    def values_of(self, stratum: str) -> dict[str, Any]:
        """Return the values of a stratum's fields that are not asked for."""
        asked = {bounds.field.name for bounds in self.bounds}
        found = self.given.get(stratum) or _split_stratum(self.spec, stratum)
        return {name: value for name, value in found.items() if name not in asked}

    @cached_property
    def _reader(self) -> TypeAdapter[Any]:
        record = TypedDict("Record", {b.field.name: _type_of(b) for b in self.bounds})  # type: ignore[misc]
        return TypeAdapter(with_config({"strict": True, "extra": "forbid"})(record))


def _bound(field: FieldSpec, rows: pl.DataFrame) -> Bounds:
    column = rows[field.name].drop_nulls()
    if field.is_free_text:
        return _bound_text(field, column)
    if field.type in NUMERIC_TYPES:
        return _bound_number(field, column)
    if field.type == "category":
        return Bounds(field, values=field.values or tuple(sorted(column.unique().to_list())) or ("",))
    return Bounds(field)


def _bound_text(field: FieldSpec, column: pl.Series) -> Bounds:
    frame = column.to_frame()
    text = messages_text(pl.col(field.name)) if field.type == "messages" else pl.col(field.name)
    texts = frame.select(text).to_series()
    longest = math.ceil((texts.str.len_chars().max() or 0) * _LENGTH_MARGIN)  # type: ignore[operator]
    bounds = Bounds(
        field,
        longest=max(min(field.max_length, max(_LEAST_LENGTH, longest)), field.min_length),
        escapes=field.type != "text" or (texts.str.contains(_ESCAPED).mean() or 0.0) > _MOST_ESCAPED,  # type: ignore[operator]
    )
    if field.type != "messages":
        return bounds
    turns = int(column.list.len().max() or 0) + _MORE_TURNS  # type: ignore[arg-type]
    roles = column.explode().struct.field("role").drop_nulls().unique().to_list() if len(column) else []
    return replace(bounds, turns=max(1, turns), roles=tuple(sorted({*_ROLES, *roles})))


def _bound_number(field: FieldSpec, column: pl.Series) -> Bounds:
    """Return the range: the spec's, or that of the rows and a quarter more, on the same side of zero."""
    whole = field.type == "integer"
    low, high = column.min(), column.max()
    low = low if isinstance(low, int | float) else 0
    high = high if isinstance(high, int | float) else low
    margin = (high - low) // 4 if whole else high / 4 - low / 4
    least, most = low - margin, high + margin
    if low >= 0:
        least = max(least, 0)
    if field.minimum is not None:
        least = math.ceil(field.minimum) if whole else field.minimum
        most = max(most, least)
    if field.maximum is not None:
        most = math.floor(field.maximum) if whole else field.maximum
        least = least if field.minimum is not None else min(least, most)
    ends = _INT64 if whole else (-_MOST_FLOAT, _MOST_FLOAT)
    return Bounds(field, minimum=min(max(least, ends[0]), ends[1]), maximum=max(min(most, ends[1]), ends[0]))


def _round_within(value: float, field: FieldSpec) -> float:
    """Round to the field's decimals, unless that would leave the spec's range."""
    rounded = round(value, field.decimals)
    low = -math.inf if field.minimum is None else field.minimum
    high = math.inf if field.maximum is None else field.maximum
    return rounded if low <= rounded <= high else value


def _describe(bounds: Bounds) -> dict[str, Any]:
    schema = _describe_value(bounds)
    return {"anyOf": [schema, {"type": "null"}]} if bounds.field.nullable else schema


def _describe_value(bounds: Bounds) -> dict[str, Any]:
    field = bounds.field
    if field.type == "category":
        return {"type": "string", "enum": list(bounds.values)}
    if field.type == "boolean":
        return {"type": "boolean"}
    if field.type == "date":
        return {"type": "string", "format": "date"}
    if field.type in NUMERIC_TYPES:
        return {"type": field.type, "minimum": _tidy(bounds, math.floor), "maximum": _tidy(bounds, math.ceil)}
    text: dict[str, Any] = {"type": "string"}
    if not bounds.escapes:
        text |= {"minLength": field.min_length, "maxLength": bounds.longest}
    if field.type != "messages":
        return text
    turn = {
        "type": "object",
        "properties": {"role": {"type": "string", "enum": list(bounds.roles)}, "content": text},
        "required": ["role", "content"],
        "additionalProperties": False,
    }
    return {"type": "array", "items": turn, "minItems": 1, "maxItems": bounds.turns}


def _tidy(bounds: Bounds, outwards: Callable[[float], int]) -> float:
    """Return a bound with no more digits than the field's values have, never inside the range; the spec's stay as
    they are.
    """
    lower = outwards is math.floor
    value, own = (bounds.minimum, bounds.field.minimum) if lower else (bounds.maximum, bounds.field.maximum)
    if own is not None or bounds.field.type == "integer" or abs(value) > _TIDIED:
        return value
    scale = 10 ** (bounds.field.decimals if bounds.field.decimals is not None else 6)
    tidied = outwards(value * scale) / scale
    return min(tidied, value) if lower else max(tidied, value)


def _type_of(bounds: Bounds) -> Any:
    kind = _type_of_value(bounds)
    return kind | None if bounds.field.nullable else kind


def _type_of_value(bounds: Bounds) -> Any:
    field = bounds.field
    if field.type == "category":
        return Literal[bounds.values]
    if field.type == "boolean":
        return bool
    if field.type == "date":
        return Annotated[dt.date, BeforeValidator(_read_day)]
    if field.type == "integer":
        low = _INT64[0] if field.minimum is None else max(math.ceil(field.minimum), _INT64[0])
        high = _INT64[1] if field.maximum is None else min(math.floor(field.maximum), _INT64[1])
        return Annotated[int, BeforeValidator(_take_whole), Field(ge=low, le=high)]
    if field.type == "number":
        return Annotated[float, Field(ge=field.minimum, le=field.maximum, allow_inf_nan=False)]
    if field.type == "messages":
        members = {"role": Literal[bounds.roles], "content": str}
        turn = with_config({"extra": "forbid"})(TypedDict("Turn", members))  # type: ignore[misc]

        def hold_length(turns: list[dict[str, str]]) -> list[dict[str, str]]:
            if len("\n".join(turn["content"] for turn in turns)) > field.max_length:
                raise ValueError(f"the conversation is longer than {field.max_length} characters")
            return turns

        return Annotated[list[turn], Field(min_length=1, max_length=bounds.turns), AfterValidator(hold_length)]
    return Annotated[str, StringConstraints(min_length=field.min_length, max_length=field.max_length)]


def _take_whole(value: Any) -> Any:
    """Return 3 for 3.0, as JSON Schema counts integers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _read_day(value: Any) -> dt.date:
    """Read YYYY-MM-DD alone: pydantic would also take numbers and times of day, which the schema does not allow."""
    if not (isinstance(value, str) and _DAY.fullmatch(value)):
        raise ValueError("a date is written YYYY-MM-DD")
    return dt.date.fromisoformat(value)


def _read_strata(spec: DatasetSpec, train: pl.DataFrame) -> dict[str, dict[str, Any]]:
    names = [field.name for field in spec.content_fields if field.name in spec.strata.by]
    first = train.select("stratum", *names).unique("stratum", keep="first", maintain_order=True)
    return {row.pop("stratum"): row for row in first.iter_rows(named=True)}


def _split_stratum(spec: DatasetSpec, stratum: str) -> dict[str, Any]:
    """Return the field values of a stratum that has no training rows, from its name."""
    names = spec.strata.by
    parts = stratum.split(STRATUM_SEPARATOR) if len(names) > 1 else [stratum][: len(names)]
    if len(parts) != len(names):
        raise SpecError(
            f"{spec.name}: strata.synthetic_only: '{stratum}' is not {len(names)} values joined by "
            f"'{STRATUM_SEPARATOR}' (strata.by: {', '.join(names)})"
        )
    values: dict[str, Any] = {}
    for name, text in zip(names, parts, strict=True):
        kind = spec.field(name).type
        values[name] = None if text == NO_VALUE else text == "true" if kind == "boolean" else text
    return values
