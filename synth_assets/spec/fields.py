"""The record, field by field, and the strata it is planned in.

Here: sections `fields` and `strata`. Not here: conditions between sections (dataset.py).
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, model_validator

from synth_assets.records import RESERVED_NAMES
from synth_assets.spec.model import Model

FieldType = Literal["text", "category", "integer", "number", "boolean", "date", "messages", "code"]
Role = Literal["input", "target", "context", "id", "sensitive"]
FREE_TEXT_TYPES = frozenset({"text", "code", "messages"})
NUMERIC_TYPES = frozenset({"integer", "number"})


class FieldSpec(Model):
    """One field of the record."""

    name: str = Field(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$",
        description="Column name in every frame and in the release; letters, digits and _.",
    )
    type: FieldType = Field(description="What the values are; category is a closed set of short strings.")
    role: Role = Field(
        default="input",
        description="input: what a model will read. target: what it must predict. context: describes the example. "
        "id: your own key, kept for tracing inside the lake, never generated, never exported. sensitive: a protected "
        "attribute; it may condition a generator and is tested in the privacy report, and is never exported.",
    )
    source: str | None = Field(
        default=None,
        description="Where the value lies in your files when it is not the name: a column, or a path into nested "
        "data such as instances.0.output.",
    )
    description: str = Field(default="", description="For the method card and for prompts.")
    values: tuple[str, ...] | None = Field(
        default=None, description="category: the allowed values. Left out, they are learned from the training rows."
    )
    nullable: bool = Field(default=False, description="Whether a row may lack this value.")
    minimum: float | None = Field(
        default=None, allow_inf_nan=False, description="integer, number: smallest allowed value."
    )
    maximum: float | None = Field(
        default=None, allow_inf_nan=False, description="integer, number: largest allowed value."
    )
    decimals: int | None = Field(default=None, ge=0, le=12, description="number: digits kept after the point.")
    unit: str = Field(default="", description="integer, number: unit of measurement, for people.")
    min_length: int = Field(default=1, ge=0, description="text, code: fewest characters.")
    max_length: int = Field(default=4000, ge=1, le=1_000_000, description="text, code, messages: most characters.")
    language: str = Field(default="en", description="text: BCP 47 tag of the language written here.")

    @property
    def is_free_text(self) -> bool:
        return self.type in FREE_TEXT_TYPES

    @model_validator(mode="after")
    def _consistent(self) -> FieldSpec:
        if self.name.casefold() in RESERVED_NAMES:
            raise ValueError(
                f"'{self.name}' is a column of the platform; choose another name and set source: {self.name}"
            )
        if self.values is not None and self.type != "category":
            raise ValueError("values is for type category only")
        if self.values is not None and (not self.values or len(set(self.values)) != len(self.values)):
            raise ValueError("values must be a non-empty list without repeats")
        if (self.minimum is not None or self.maximum is not None) and self.type not in NUMERIC_TYPES:
            raise ValueError("minimum and maximum are for type integer or number only")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} is above maximum {self.maximum}")
        low, high = self.minimum, self.maximum
        if self.type == "integer" and low is not None and high is not None and math.ceil(low) > math.floor(high):
            raise ValueError(f"no integer lies between minimum {low} and maximum {high}")
        if self.min_length > self.max_length:
            raise ValueError(f"min_length {self.min_length} is above max_length {self.max_length}")
        return self


class StrataSpec(Model):
    """Which groups of examples are planned, mixed and reported one by one."""

    by: tuple[str, ...] = Field(
        default=(), description="Category or boolean fields whose joined values make a stratum; none means one stratum."
    )
    synthetic_only: tuple[str, ...] = Field(
        default=(),
        description="Strata (values joined by |) that may be released without a real row; printed on the method card.",
    )
