"""The judge: a language model that grades a candidate by the criteria of dataset.yaml.

Here: the question, its constrained answer, the verdict with the model's reason. Not here: running a model
(generation/vllm, generation/server), the recipe's wording (recipes/), how far the judge agrees with people
(review/judging.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from synth_assets.discriminators.protocol import verdicts_of
from synth_assets.generation.allowance import Allowance
from synth_assets.generation.language.prompts import fill_recipe
from synth_assets.generation.language.protocol import Answer, Call, LanguageModel, Sampling
from synth_assets.generation.recipes import JUDGE, Recipe, load_recipe
from synth_assets.records import derive_seeds, digest_text
from synth_assets.spec import DatasetSpec

GRADES = (1, 2, 3, 4, 5)
REASON_CHARACTERS = 240
MARK = "=" * 12  # an example is one line of JSON, so no line of it can be this
_SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            "reason": {"type": "string", "maxLength": REASON_CHARACTERS},
            "grade": {"type": "integer", "enum": list(GRADES)},
        },
        "required": ["reason", "grade"],
        "additionalProperties": False,
    },
    separators=(",", ":"),
)


@dataclass(frozen=True)
class Judge:
    """Rejects candidates that a language model grades below spec.judge.least_grade.

    The answer is constrained to a reason and a grade of 1–5, the reason first, at temperature 0. score = grade; reason
    `low_grade`, or `not_judged` where no grade came back (budget ended, prompt too long), which is no acceptance.
    evidence: the model's reason, kept for what passed too, so that people can hold it against their own decisions.
    """

    spec: DatasetSpec
    model: LanguageModel
    allowance: Allowance
    recipe: Recipe
    name: str = "judge"

    @classmethod
    def build(cls, spec: DatasetSpec, model: LanguageModel, allowance: Allowance) -> Judge:
        """Return the judge of a spec that has one; `allowance` is what its answers are booked on."""
        assert spec.judge is not None
        return cls(spec, model, allowance, load_recipe(spec.judge.recipe, JUDGE))

    @property
    def version(self) -> str:
        assert self.spec.judge is not None
        info = self.model.info
        model = json.dumps([info.engine, info.model, info.version, info.digest, info.chat, info.settings])
        return digest_text("judge-1", self.spec.judge.model_dump_json(), self.recipe.digest, model, size=6)

    def judge(self, candidates: pl.DataFrame) -> pl.DataFrame:
        assert self.spec.judge is not None
        grades: list[int | None] = [None] * candidates.height
        reasons = [""] * candidates.height

        def receive(position: int, answer: Answer) -> None:
            grades[position], reasons[position] = read_grade(answer)

        self.model.answer(self._ask(candidates), receive, sampling=Sampling(0.0, 0, 0.0), allowance=self.allowance)
        judged = candidates.select("example_id").with_columns(
            grade=pl.Series(grades, dtype=pl.Int64), told=pl.Series(reasons, dtype=pl.String)
        )
        verdicts = verdicts_of(
            judged,
            passed=pl.col("grade") >= self.spec.judge.least_grade,
            score=pl.col("grade"),
            threshold=float(self.spec.judge.least_grade),
            reason=pl.when(pl.col("grade").is_null()).then(pl.lit("not_judged")).otherwise(pl.lit("low_grade")),
            evidence=pl.lit(""),
        )
        return verdicts.with_columns(evidence=judged["told"])

    def _ask(self, candidates: pl.DataFrame) -> Iterator[Call]:
        assert self.spec.judge is not None
        fields = [field.name for field in self.spec.content_fields]
        shared: dict[str, Any] = {
            "dataset": self.spec.name,
            "description": self.spec.description,
            "fields": [
                field.model_dump(include={"name", "type", "description", "unit"}) for field in self.spec.content_fields
            ],
            "criteria": self.spec.judge.criteria,
            "mark": MARK,
        }
        seeds = derive_seeds(candidates["example_id"], self.spec.seed, "judge")
        rows = candidates.select(fields).iter_rows(named=True)
        for row, seed in zip(rows, seeds, strict=True):
            example = json.dumps(row, ensure_ascii=False, default=str)
            prompt = fill_recipe(self.recipe, {**shared, "example": example}, chat=self.model.info.chat)
            yield Call(prompt, int(seed), self.spec.judge.max_tokens, _SCHEMA)


def read_grade(answer: Answer) -> tuple[int | None, str]:
    """Return the grade and the reason of an answer; the grade is None where the answer is no grade."""
    try:
        told = json.loads(answer.text)
        grade, reason = told["grade"], told["reason"]
    except (ValueError, TypeError, KeyError):
        return None, answer.error or f"no grade: finish_reason {answer.finish_reason}"
    if isinstance(grade, bool) or grade not in GRADES or not isinstance(reason, str):
        return None, "no grade: the answer does not keep to its schema"
    return int(grade), reason[:REASON_CHARACTERS]
