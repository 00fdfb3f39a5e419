"""The record as a language model must write it: a bounded JSON Schema, and reading its answer back.

Here: which fields are asked for, their bounds, exemplars as JSON lines, strict reading of answers. Not here: prompts
(prompts.py), what else a record must be to be accepted (discriminators).
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

import polars as pl
from pydantic import Field, StringConstraints, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic takes no other before Python 3.12

from synth_assets.records import RELEASABLE, STRATUM_SEPARATOR, messages_text
from synth_assets.spec import DatasetSpec, FieldSpec

NO_VALUE = "(none)"
_LENGTH_MARGIN = 1.25
_LEAST_LENGTH = 40
_RANGE_MARGIN = 0.25
_ESCAPED = r'["\\\n\r]'
_MOST_ESCAPED = 0.01
_ROLES = ("user", "assistant")
_MOST_TURNS = 64


@dataclass(frozen=True)
class Bounds:
    """What a field's values may be in an answer, from the spec and, where it is silent, from the training rows."""

    field: FieldSpec
    longest: int = 0
    escapes: bool = False
    minimum: float | None = None
    maximum: float | None = None
    values: tuple[str, ...] = ()
    turns: int = 0


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
                record[bounds.field.name] = round(value, bounds.field.decimals)
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
    column = rows[field.name]
    if field.is_free_text:
        text = rows.select(messages_text(pl.col(field.name)) if field.type == "messages" else pl.col(field.name))
        texts = text.to_series().drop_nulls()
        escaped = texts.str.contains(_ESCAPED).mean() if len(texts) else 0.0
        longest = max(_LEAST_LENGTH, math.ceil(_number(texts.str.len_chars().max()) * _LENGTH_MARGIN))
        turns = int(_number(column.list.len().max())) + 2 if field.type == "messages" else 0
        return Bounds(
            field,
            longest=min(field.max_length, longest),
            escapes=field.type != "text" or _number(escaped) > _MOST_ESCAPED,
            turns=min(turns, _MOST_TURNS),
        )
    if field.type in ("integer", "number"):
        low, high = _number(column.min()), _number(column.max())
        margin = (high - low) * _RANGE_MARGIN
        floor = 0.0 if low >= 0 else -math.inf
        return Bounds(
            field,
            minimum=field.minimum if field.minimum is not None else max(low - margin, floor),
            maximum=field.maximum if field.maximum is not None else high + margin,
        )
    if field.type == "category":
        return Bounds(field, values=field.values or tuple(sorted(column.drop_nulls().unique().to_list())))
    return Bounds(field)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else 0.0


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
    if field.type == "integer":
        return {
            "type": "integer",
            "minimum": math.floor(bounds.minimum or 0),
            "maximum": math.ceil(bounds.maximum or 0),
        }
    if field.type == "number":
        scale = 10 ** (field.decimals if field.decimals is not None else 6)
        low, high = bounds.minimum or 0.0, bounds.maximum or 0.0
        return {
            "type": "number",
            "minimum": math.floor(low * scale) / scale,
            "maximum": math.ceil(high * scale) / scale,
        }
    text: dict[str, Any] = {"type": "string"}
    if not bounds.escapes:
        text |= {"minLength": field.min_length, "maxLength": bounds.longest}
    if field.type != "messages":
        return text
    turn = {
        "type": "object",
        "properties": {"role": {"enum": list(_ROLES)}, "content": text},
        "required": ["role", "content"],
        "additionalProperties": False,
    }
    return {"type": "array", "items": turn, "minItems": 1, "maxItems": bounds.turns}


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
        return dt.date
    if field.type == "integer":
        return Annotated[int, Field(ge=_whole(field.minimum, -(2**63)), le=_whole(field.maximum, 2**63 - 1))]
    if field.type == "number":
        return Annotated[float, Field(ge=field.minimum, le=field.maximum, allow_inf_nan=False)]
    if field.type == "messages":
        content = Annotated[str, StringConstraints(max_length=field.max_length)]
        members = {"role": Literal[_ROLES], "content": content}
        turn = with_config({"extra": "forbid"})(TypedDict("Turn", members))  # type: ignore[misc]
        return Annotated[list[turn], Field(min_length=1, max_length=bounds.turns)]
    return Annotated[str, StringConstraints(min_length=field.min_length, max_length=field.max_length)]


def _whole(limit: float | None, otherwise: int) -> int:
    return otherwise if limit is None else math.ceil(limit) if otherwise < 0 else math.floor(limit)


def _read_strata(spec: DatasetSpec, train: pl.DataFrame) -> dict[str, dict[str, Any]]:
    names = [field.name for field in spec.content_fields if field.name in spec.strata.by]
    first = train.select("stratum", *names).unique("stratum", keep="first", maintain_order=True)
    return {row.pop("stratum"): row for row in first.iter_rows(named=True)}


def _split_stratum(spec: DatasetSpec, stratum: str) -> dict[str, Any]:
    """Return the field values of a stratum that has no training rows, from its name."""
    parts: Iterable[str] = stratum.split(STRATUM_SEPARATOR) if spec.strata.by else ()
    values: dict[str, Any] = {}
    for name, text in zip(spec.strata.by, parts, strict=True):
        kind = spec.field(name).type
        values[name] = None if text == NO_VALUE else text == "true" if kind == "boolean" else text
    return values
