"""The cascade: discriminators from cheap to dear; what one rejects costs the next nothing.

Here: the order, and collecting verdicts. Not here: the rules themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from synth_assets.discriminators.arithmetic import Arithmetic
from synth_assets.discriminators.contamination import Contamination
from synth_assets.discriminators.custom import build_custom
from synth_assets.discriminators.duplicates import Duplicates
from synth_assets.discriminators.judge import Judge
from synth_assets.discriminators.labels import Labels
from synth_assets.discriminators.leakage import Leakage
from synth_assets.discriminators.personal_data import PersonalData
from synth_assets.discriminators.protocol import VERDICT_SCHEMA, Discriminator
from synth_assets.discriminators.rules import RecordRules, TextRules
from synth_assets.errors import SpecError
from synth_assets.generation.allowance import Allowance
from synth_assets.generation.language.protocol import LanguageModel
from synth_assets.records import TRAIN, polars_schema
from synth_assets.spec import DatasetSpec


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
    def build(cls, spec: DatasetSpec, seeds: pl.DataFrame, earlier: pl.DataFrame | None, root: Path) -> Cascade:
        """Return the cascade of a round; `earlier`: the accepted rows of earlier rounds (None: there are none).

        Thresholds come from the train split alone; duplicates and leaks are sought in all splits. `root`: the project's
        folder, from which the paths of benchmarks count. The judge needs a model and comes with `with_judge`.
        """
        train = seeds.filter(pl.col("split") == TRAIN)
        nothing = pl.DataFrame(schema=_known_schema(spec))
        known = nothing if earlier is None else earlier.select(*nothing.columns)
        texts: list[Discriminator] = [TextRules(spec)]
        if spec.liabilities.pii != "allow":
            texts.append(PersonalData(spec))
        has_text = bool(spec.text_fields)
        target = spec.target_field
        labeled = target is not None and target.type in ("category", "boolean")
        discriminators: list[Discriminator] = [
            RecordRules(spec),
            *(texts if has_text else []),
            Duplicates(spec, known, seeds),
            *([Leakage(spec, seeds)] if has_text else []),
            *([Contamination.build(spec, root)] if spec.quality.benchmarks else []),
            *([Arithmetic(spec)] if spec.verification and spec.verification.kind == "arithmetic" else []),
            *([Labels.fit(spec, train)] if labeled else []),
            *build_custom(spec, train),
        ]
        return cls(spec, tuple(discriminators))

    def with_judge(self, model: LanguageModel, allowance: Allowance) -> Cascade:
        """Return the cascade with the spec's judge at its end, who asks `model`."""
        return replace(self, discriminators=(*self.discriminators, Judge.build(self.spec, model, allowance)))

    def judge(self, candidates: pl.DataFrame, kept: pl.DataFrame) -> Filtering:
        """Filter a wave; `kept` are the survivors of the round's earlier waves, of which it must be no duplicate."""
        known = kept.select(*_known_schema(self.spec))
        ready = [d.extended(known) if isinstance(d, Duplicates) else d for d in self.discriminators]
        return run_cascade(candidates, ready)


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
