"""DatasetSpec: the whole of dataset.yaml, and what must hold between its sections.

Here: the sections together. Not here: any section of its own (the modules beside), reading the file (reading.py).
"""

from __future__ import annotations

import json
import re
from typing import Annotated

import polars as pl
from pydantic import Field, model_validator

from synth_assets.records import digest_text
from synth_assets.spec.corpus import BudgetSpec, CostSpec, MixSpec, ReviewSpec, StudentSpec
from synth_assets.spec.fields import FieldSpec, StrataSpec
from synth_assets.spec.generation import GenerationSpec
from synth_assets.spec.model import Model
from synth_assets.spec.quality import JudgeSpec, QualitySpec, VerificationSpec
from synth_assets.spec.source import LiabilitySpec, SourceSpec

DATASET_NAME = re.compile(r"^[a-z][a-z0-9_]{0,62}$")


class DatasetSpec(Model):
    """One data set: its record, its rights, how it is synthesized, reviewed and mixed."""

    name: str = Field(pattern=DATASET_NAME.pattern, description="Same as the folder: a-z, 0-9 and _, at most 63.")
    description: str = Field(default="", description="What the examples are.")
    seed: int = Field(default=0, ge=0, description="Start of every random choice.")
    fields: tuple[FieldSpec, ...] = Field(min_length=1, max_length=1000, description="The record, field by field.")
    constraints: tuple[str, ...] = Field(
        default=(),
        description="Row conditions in SQL over the fields that every record must meet, e.g. low <= high.",
    )
    strata: StrataSpec = Field(default_factory=StrataSpec, description="Groups planned and reported one by one.")
    source: SourceSpec = Field(description="Where the seeds come from and what they may be used for.")
    liabilities: LiabilitySpec = Field(
        default_factory=LiabilitySpec, description="What the audit does with personal data."
    )
    generation: GenerationSpec = Field(default_factory=GenerationSpec, description="How candidates are made.")
    quality: QualitySpec = Field(default_factory=QualitySpec, description="The quality contract.")
    verification: VerificationSpec | None = Field(
        default=None,
        description="How the truth of a candidate is checked by running or computing; left out, it is not.",
    )
    judge: JudgeSpec | None = Field(
        default=None,
        description="A language model that grades what the other discriminators let pass; left out, none.",
    )
    mix: MixSpec = Field(default_factory=MixSpec, description="How real and synthetic rows make the corpus.")
    review: ReviewSpec = Field(default_factory=ReviewSpec, description="How much people look at.")
    student: StudentSpec = Field(
        default_factory=StudentSpec, description="The small model that every corpus is tried on."
    )
    rounds: int = Field(default=1, ge=1, le=1000, description="Rounds the platform runs by itself.")
    target_accepted: int | None = Field(
        default=None,
        gt=0,
        description="Accepted synthetic examples wanted over all rounds; left out, as many as the mix can hold.",
    )
    budget: BudgetSpec = Field(default_factory=BudgetSpec, description="What a round may spend.")
    cost: CostSpec = Field(default_factory=CostSpec, description="Prices for the cost ledger.")
    webhook: Annotated[str, Field(pattern=r"^https?://")] | None = Field(
        default=None, description="Optional address that receives alerts (drift, overdue reviews) as JSON."
    )

    @property
    def digest(self) -> str:
        """32 hex digits over every setting that can change a row; prices, budgets and addresses cannot, nor shard size
        with the embedded engines (a language model's rows also depend on how its requests are batched).
        """
        generation = {"shard_size", "server"}
        content = self.model_dump(
            mode="json",
            exclude={
                "cost": True,
                "budget": True,
                "webhook": True,
                "rounds": True,
                "generation": generation,
                "review": {"overdue_days"},
            },
        )
        return digest_text(json.dumps(content, sort_keys=True))

    @property
    def text_fields(self) -> tuple[FieldSpec, ...]:
        """The free-text fields (text, code, messages) that are generated."""
        return tuple(field for field in self.fields if field.is_free_text and field.role != "id")

    @property
    def content_fields(self) -> tuple[FieldSpec, ...]:
        """Every field that is generated and counts as content: all but ids."""
        return tuple(field for field in self.fields if field.role != "id")

    @property
    def released_fields(self) -> tuple[FieldSpec, ...]:
        """The fields that may leave: no ids, nothing sensitive."""
        return tuple(field for field in self.fields if field.role not in ("id", "sensitive"))

    @property
    def target_field(self) -> FieldSpec | None:
        """The field a student predicts: the first target that is a category, boolean or number; else None."""
        for field in self.fields:
            if field.role == "target" and not field.is_free_text and field.type != "date":
                return field
        return None

    def field(self, name: str) -> FieldSpec:
        """Return the field of that name; KeyError if there is none."""
        return {field.name: field for field in self.fields}[name]

    @model_validator(mode="after")
    def _consistent(self) -> DatasetSpec:
        names = [field.name for field in self.fields]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"fields: names must be unique, repeated: {', '.join(repeated)}")
        if not self.content_fields:
            raise ValueError("fields: at least one field must have a role other than id")
        for name in self.strata.by:
            if name not in names:
                raise ValueError(f"strata.by: '{name}' is no field; fields are {', '.join(names)}")
            if self.field(name).type not in ("category", "boolean"):
                raise ValueError(
                    f"strata.by: '{name}' is of type {self.field(name).type}; category or boolean is needed"
                )
        for name in self.liabilities.quasi_identifiers:
            if name not in names or self.field(name).is_free_text or self.field(name) not in self.released_fields:
                raise ValueError(
                    f"liabilities.quasi_identifiers: '{name}' is no field that can be released and counted; "
                    "choose fields that are neither free text nor ids nor sensitive"
                )
        for condition in self.constraints:
            _check_constraint(condition, names)
        self._check_verification()
        return self

    def _check_verification(self) -> None:
        if self.judge is not None and self.generation.model is None:
            raise ValueError("judge: needs generation.model, the language model that grades")
        if self.verification is None:
            return
        used = {"solution": self.verification.solution, "tests": self.verification.tests}
        for setting, name in used.items():
            field = next((field for field in self.content_fields if field.name == name), None)
            if name is not None and (field is None or field.type not in ("text", "code")):
                raise ValueError(f"verification.{setting}: '{name}' is no text or code field of the record")


def _check_constraint(condition: str, names: list[str]) -> None:
    try:
        used = pl.sql_expr(condition).meta.root_names()
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"constraints: '{condition}' is no SQL condition: {error}") from None
    unknown = sorted(set(used) - set(names))
    if unknown or not used:
        raise ValueError(
            f"constraints: '{condition}' must use fields of the record; unknown: {', '.join(unknown) or 'none used'}"
        )
