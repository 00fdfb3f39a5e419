"""The cascade: discriminators from cheap to dear; what one rejects costs the next nothing.

Here: the order, and collecting verdicts. Not here: the rules themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import polars as pl

from synth_assets.discriminators.arithmetic import Arithmetic
from synth_assets.discriminators.contamination import Contamination
from synth_assets.discriminators.custom import build_custom
from synth_assets.discriminators.documents import Documents
from synth_assets.discriminators.duplicates import Duplicates
from synth_assets.discriminators.execution.python_tests import PythonTests
from synth_assets.discriminators.execution.sandbox import find_sandbox
from synth_assets.discriminators.judge import Judge
from synth_assets.discriminators.labels import Labels
from synth_assets.discriminators.language import Language
from synth_assets.discriminators.leakage import Leakage
from synth_assets.discriminators.personal_data import PersonalData
from synth_assets.discriminators.protocol import VERDICT_SCHEMA, Discriminator, Extendable
from synth_assets.discriminators.quality.perplexity import Perplexity
from synth_assets.discriminators.quality.realism import Realism
from synth_assets.discriminators.record import RecordRules
from synth_assets.discriminators.rules import TextRules
from synth_assets.discriminators.semantic import SemanticDuplicates
from synth_assets.errors import SpecError
from synth_assets.generation.allowance import Allowance
from synth_assets.generation.language.protocol import LanguageModel
from synth_assets.records import TRAIN, polars_schema
from synth_assets.spec import DatasetSpec


@dataclass(frozen=True)
class Known:
    """What discriminators are fitted on and compare candidates with.

    seeds: all splits, as the seeds asset holds them. root: the project's folder, from which the paths of benchmarks
    count. earlier: accepted rows of earlier rounds; generated: all their candidates; reviews: what people decided
    about these (example_id, content columns, accepted); None where there are none.
    """

    seeds: pl.DataFrame
    root: Path
    earlier: pl.DataFrame | None = None
    generated: pl.DataFrame | None = None
    reviews: pl.DataFrame | None = None

    @property
    def train(self) -> pl.DataFrame:
        """The seeds from which alone thresholds and models may come."""
        return self.seeds.filter(pl.col("split") == TRAIN)


@dataclass(frozen=True)
class Filtering:
    """survivors: what passed all, in order, with `quality`; verdicts: one row a candidate × discriminator reached."""

    survivors: pl.DataFrame
    verdicts: pl.DataFrame


@dataclass(frozen=True)
class Cascade:
    """The discriminators of one round in order, cheap ones first; what is fitted or indexed is so once a round."""

    spec: DatasetSpec
    discriminators: tuple[Discriminator, ...]

    @classmethod
    def build(cls, spec: DatasetSpec, known: Known) -> Cascade:
        """Return the cascade of a round. The judge needs a model and comes with `with_judge`."""
        own = [build_discriminator(name, spec, known) for name in BUILDERS]
        return cls(spec, (*(each for each in own if each is not None), *build_custom(spec, known.train)))

    def with_judge(self, model: LanguageModel, allowance: Allowance) -> Cascade:
        """Return the cascade with the spec's judge at its end, who asks `model`."""
        return replace(self, discriminators=(*self.discriminators, Judge.build(self.spec, model, allowance)))

    def judge(self, candidates: pl.DataFrame, kept: pl.DataFrame) -> Filtering:
        """Filter a wave; `kept` are the survivors of the round's earlier waves, of which it must be no duplicate."""
        rows = kept.select(*_known_schema(self.spec))
        ready = [each.extended(rows) if isinstance(each, Extendable) else each for each in self.discriminators]
        return run_cascade(candidates, ready)


def build_discriminator(name: str, spec: DatasetSpec, known: Known) -> Discriminator | None:
    """Return one of the cascade's discriminators, by its name; None where the spec has no use for it."""
    return BUILDERS[name](spec, known)


def _is_labeled(spec: DatasetSpec) -> bool:
    return spec.target_field is not None and spec.target_field.type in ("category", "boolean")


def _verifies(spec: DatasetSpec, kind: str) -> bool:
    return spec.verification is not None and spec.verification.kind == kind


def _build_python_tests(spec: DatasetSpec) -> PythonTests:
    find_sandbox()  # before anything is generated whose tests could not be run
    return PythonTests(spec)


def _earlier(spec: DatasetSpec, known: Known) -> pl.DataFrame:
    nothing = pl.DataFrame(schema=_known_schema(spec))
    return nothing if known.earlier is None else known.earlier.select(*nothing.columns)


# From cheap to dear: what one rejects costs the next nothing.
BUILDERS: Mapping[str, Callable[[DatasetSpec, Known], Discriminator | None]] = MappingProxyType(
    {
        "record": lambda spec, _: RecordRules(spec),
        "text_rules": lambda spec, known: TextRules.fit(spec, known.train) if spec.text_fields else None,
        "language": lambda spec, known: Language.fit(spec, known.train) if spec.text_fields else None,
        "documents": lambda spec, known: Documents.fit(spec, known.train) if spec.text_fields else None,
        "personal_data": lambda spec, _: (
            PersonalData(spec) if spec.text_fields and spec.liabilities.pii != "allow" else None
        ),
        "duplicates": lambda spec, known: Duplicates(spec, _earlier(spec, known), known.seeds),
        "leakage": lambda spec, known: Leakage(spec, known.seeds) if spec.text_fields else None,
        "contamination": lambda spec, known: Contamination.build(spec, known.root) if spec.quality.benchmarks else None,
        "arithmetic": lambda spec, _: Arithmetic(spec) if _verifies(spec, "arithmetic") else None,
        "perplexity": lambda spec, known: Perplexity.fit(spec, known.train),
        "realism": lambda spec, known: Realism.fit(spec, known.train, known.generated, known.reviews),
        "labels": lambda spec, known: Labels.fit(spec, known.train) if _is_labeled(spec) else None,
        "semantic_duplicates": lambda spec, known: (
            SemanticDuplicates.fit(spec, _earlier(spec, known), known.seeds, known.root)
            if spec.text_fields and spec.quality.semantic_duplicate_cosine < 1
            else None
        ),
        "execution": lambda spec, _: _build_python_tests(spec) if _verifies(spec, "python") else None,
    }
)


def _known_schema(spec: DatasetSpec) -> dict[str, pl.DataType]:
    return {"example_id": pl.String(), "content_id": pl.String(), **polars_schema(spec.content_fields)}


def run_cascade(candidates: pl.DataFrame, cascade: Sequence[Discriminator]) -> Filtering:
    """Judge the candidates by each discriminator in turn, each seeing only what the ones before let pass."""
    verdicts: list[pl.DataFrame] = [pl.DataFrame(schema=VERDICT_SCHEMA)]
    survivors = candidates
    for discriminator in cascade:
        if survivors.is_empty():
            break
        judged = discriminator.judge(survivors)
        if not judged["example_id"].equals(survivors["example_id"]):
            raise SpecError(
                f"discriminator {discriminator.name}: judge() must return one row a candidate, in their order; it got "
                f"{survivors.height:,} and returned {judged.height:,}"
            )
        verdicts.append(
            judged.with_columns(discriminator=pl.lit(discriminator.name), version=pl.lit(discriminator.version)).select(
                *VERDICT_SCHEMA
            )
        )
        survivors = survivors.filter(judged["passed"])
    collected = pl.concat(verdicts)
    return Filtering(_with_quality(survivors, collected), collected)


def count_funnel(made: int, verdicts: pl.DataFrame) -> pl.DataFrame:
    """Return stage, count, why: the candidates, then what each discriminator left and its reasons, commonest first."""
    passed = verdicts.group_by("discriminator", maintain_order=True).agg(count=pl.col("passed").sum().cast(pl.Int64))
    reasons = (
        verdicts.filter(~pl.col("passed"))
        .group_by("discriminator", "reason")
        .len()
        .sort("len", "reason", descending=[True, False])
        .group_by("discriminator", maintain_order=True)
        .agg(why=pl.format("{} {}", "reason", "len").str.join(", "))
    )
    stages = passed.join(reasons, on="discriminator", how="left", maintain_order="left")
    schema = {"stage": pl.String, "count": pl.Int64, "why": pl.String}
    start = pl.DataFrame({"stage": ["candidates"], "count": [made], "why": [""]}, schema=schema)
    return pl.concat([start, stages.rename({"discriminator": "stage"}).with_columns(pl.col("why").fill_null(""))])


def _with_quality(survivors: pl.DataFrame, verdicts: pl.DataFrame) -> pl.DataFrame:
    """Add `quality`: the label margin, or without a label model the distance to the nearest duplicate."""
    scores = (
        verdicts.filter(pl.col("discriminator").is_in(["labels", "duplicates"]))
        .group_by("example_id")
        .agg(
            labels=pl.col("score").filter(pl.col("discriminator") == "labels").first(),
            duplicates=pl.col("score").filter(pl.col("discriminator") == "duplicates").first(),
        )
        .select("example_id", quality=pl.coalesce("labels", 1.0 - pl.col("duplicates")))
    )
    return survivors.join(scores, on="example_id", how="left", maintain_order="left").with_columns(
        pl.col("quality").fill_null(0.0)
    )
