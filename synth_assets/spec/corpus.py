"""From filtered rows to a corpus: what people look at, how it is mixed, what it may cost, which student tries it.

Here: sections `mix`, `review`, `student`, `budget` and `cost`. Not here: the stages that hold them.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from synth_assets.spec.model import Model

MIN_SHARE, MAX_SHARE = 0.60, 0.80


class MixSpec(Model):
    """How real and synthetic rows make the corpus."""

    share: float = Field(
        default=0.70, ge=MIN_SHARE, le=MAX_SHARE, description="Synthetic share of the corpus, by rows and weight."
    )
    real_floor: int = Field(
        default=1,
        ge=0,
        description="Real rows a stratum must have, as far as there are any; strata with none must be synthetic_only.",
    )
    upsampling_cap: float = Field(default=1.0, ge=1, le=4, description="Most that a real row may weigh in the corpus.")

    def capacity(self, real_rows: int) -> int:
        """Return how many synthetic rows a corpus with so many real rows can hold: R·cap·σ/(1−σ), at most 4·R."""
        by_weight = self.upsampling_cap * self.share / (1 - self.share)
        return math.floor(real_rows * min(by_weight, MAX_SHARE / (1 - MAX_SHARE)) + 1e-9)


class ReviewSpec(Model):
    """How much people look at, and what that must certify."""

    rate: float = Field(default=0.02, ge=0.01, le=0.05, description="Share of the filtered rows that is reviewed.")
    minutes_per_item: float = Field(default=3.0, gt=0, le=240, description="Minutes a review takes, for the budget.")
    tolerated_defect_rate: float = Field(
        default=0.05, gt=0, lt=0.5, description="Defect rate that an accepted batch must be certified below (LTPD)."
    )
    acceptable_defect_rate: float | None = Field(
        default=None,
        ge=0,
        lt=0.5,
        description="Defect rate at which 90 % of the batches are accepted (AQL); left out, a fifth of the tolerated.",
    )
    confidence: float = Field(default=0.95, gt=0.5, lt=1, description="Confidence of that statement.")
    plan: Literal["fixed", "sequential"] = Field(
        default="fixed", description="One look at the whole sample, or a sequential test after every decision (SPRT)."
    )
    double_review_share: float = Field(
        default=0.10, ge=0, le=1, description="Share of the sample that two people decide, to measure agreement."
    )
    gold_share: float = Field(
        default=0.05, ge=0, le=0.5, description="Real rows with planted faults mixed in, as a share of the sample."
    )
    blind_share: float = Field(
        default=0.05, ge=0, le=0.5, description="Untouched real rows mixed in, as a share of the sample."
    )
    mode: Literal["human", "auto"] = Field(
        default="human", description="auto lets a model decide; marked everywhere, and it certifies nothing."
    )
    budget_minutes: float | None = Field(default=None, gt=0, description="Most reviewer minutes for a round.")
    overdue_days: float = Field(
        default=3.0, gt=0, le=365, description="Days after which an open review is told as overdue, once a day."
    )

    @model_validator(mode="after")
    def _ordered(self) -> ReviewSpec:
        acceptable = self.acceptable_defect_rate
        if acceptable is not None and acceptable >= self.tolerated_defect_rate:
            raise ValueError(
                f"acceptable_defect_rate {acceptable} is not below tolerated_defect_rate {self.tolerated_defect_rate}"
            )
        return self


class StudentSpec(Model):
    """The small model that is trained on every corpus and tested on real rows."""

    kind: str = Field(
        default="auto",
        pattern=r"^[a-z][a-z0-9_]*$",
        description="auto: support_vectors for text with labels, logistic or forest for columns with labels, ridge for "
        "numbers, trigrams for free text without a target. One of these, transformer, or a student of your own by its "
        "entry point in synth_assets.students.",
    )
    model: str | None = Field(
        default=None,
        min_length=1,
        description="kind: transformer: the model that is fine-tuned, a folder (against the project's root) or a hub "
        "name such as sentence-transformers/all-MiniLM-L6-v2.",
    )
    epochs: int = Field(default=4, ge=1, le=100, description="kind: transformer: passes over the training rows.")
    runs: int = Field(
        default=10, ge=1, le=100, description="Runs of an arm, each on its own draw of rows and its own start."
    )
    synthetic_weight: Literal["auto"] | Annotated[float, Field(gt=0, le=1)] = Field(
        default="auto",
        description="What a synthetic row weighs when the student is also trained on a weighted mix; auto: tuned on "
        "steering rows. The corpus keeps its own weights.",
    )

    @model_validator(mode="after")
    def _complete(self) -> StudentSpec:
        if (self.kind == "transformer") != (self.model is not None):
            raise ValueError("model names the transformer that is fine-tuned, for kind: transformer and only there")
        return self


class BudgetSpec(Model):
    """What a round may spend; engines that cost money wait until one of these is set."""

    tokens: int | None = Field(default=None, gt=0, description="Most generated tokens a round.")
    seconds: float | None = Field(default=None, gt=0, description="Most seconds of generation a round.")
    money: float | None = Field(default=None, gt=0, description="Most money a round, in cost.currency.")

    @property
    def is_set(self) -> bool:
        """Whether any limit is named."""
        return (self.tokens, self.seconds, self.money) != (None, None, None)


class CostSpec(Model):
    """Prices for the cost ledger, and the human baseline it compares with."""

    currency: str = Field(default="USD", min_length=3, max_length=3, description="ISO 4217 code.")
    per_million_tokens: float = Field(default=0.0, ge=0, description="Price of a million generated tokens.")
    per_engine_hour: float = Field(default=0.0, ge=0, description="Price of an hour of the engine (GPU rent).")
    per_reviewer_hour: float = Field(default=40.0, ge=0, description="Price of a reviewer's hour.")
    baseline_minutes_per_example: float = Field(
        default=3.6, ge=0, description="Minutes a person needs to write one example (12,000 h for 200,000 = 3.6)."
    )
