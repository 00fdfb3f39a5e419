"""Review assets: the drawn sample and the outcome of its review.

Here: the shell. Not here: sampling, decisions, statistics (synth_assets/review).
"""

from collections.abc import Iterator

import dagster as dg
import numpy as np
import polars as pl

from synth_assets.defs.generation import require_open_round
from synth_assets.defs.partitions import DATASET_ROUNDS, dataset_of, round_of
from synth_assets.defs.resources import DATA_KINDS, OWNERS, Platform, commit, plot_markdown, to_markdown
from synth_assets.generation.waves import KEPT
from synth_assets.monitoring.plots import plot_operating_characteristic
from synth_assets.records import STEERING
from synth_assets.review.acceptance import SamplePlan, required_sample
from synth_assets.review.judging import compare_with_judge
from synth_assets.review.plans import FixedPlan, characteristic
from synth_assets.review.sampling import draw_sample
from synth_assets.review.session import ReviewState, conclude_review, decide_automatically
from synth_assets.review.settings import review_settings
from synth_assets.spec import DatasetSpec

GROUP = "review"
_COMMON = {"partitions_def": DATASET_ROUNDS, "group_name": GROUP, "owners": OWNERS, "kinds": DATA_KINDS}


class ReviewConfig(dg.Config):
    """Who decides in this run; `automated` overrides dataset.yaml's review.mode."""

    automated: bool = False


@dg.asset(**_COMMON, deps=["filtered"], code_version="1")
def review_sample(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """The rows people look at: 1–5 %, never fewer than what certifies the tolerated defect rate."""
    dataset, round_ = dataset_of(context), round_of(context)
    require_open_round(platform.lake, dataset, round_)
    spec = platform.spec(dataset)
    filtered = platform.lake.require("filtered", dataset, round_)
    kept = filtered.read().filter(pl.col("state") == KEPT)
    plan = required_sample(kept.height, spec)
    sample = draw_sample(kept, spec, plan=plan, round_=round_)
    if plan.note:
        context.log.warning(plan.note)
    return commit(
        context,
        platform,
        "review_sample",
        sample,
        meta={"filtered_digest": filtered.digest},
        metadata={
            "batch": kept.height,
            "planned": plan.n,
            "accepts_up_to": plan.c,
            "certifies": plan.certified,
            "reviewer_minutes": float(sample["reviews"].sum()) * spec.review.minutes_per_item,
            "plan": plot_markdown("operating characteristic", _plot_plan(plan, spec)),
            "next_step": f"synth review {dataset} {round_}",
        },
    )


def _plot_plan(plan: SamplePlan, spec: DatasetSpec) -> bytes:
    """Draw how often the plan, and its sequential form where it has one, lets a batch pass."""
    tolerated, acceptable = spec.review.tolerated_defect_rate, review_settings(spec).acceptable_defect_rate
    rates = np.linspace(0.0, 3 * tolerated, 61)
    curves = characteristic(FixedPlan(plan.n, plan.c, 1.0, plan.acceptance, plan.note), rates)
    if plan.sequential is not None:
        curves = pl.concat([curves, characteristic(plan.sequential, rates)])
    return plot_operating_characteristic(curves, tolerated=tolerated, acceptable=acceptable)


@dg.asset(**_COMMON, deps=["review_sample", "filtered", "verdicts", "seeds"], output_required=False, code_version="1")
def review_outcome(
    context: dg.AssetExecutionContext, platform: Platform, config: ReviewConfig
) -> Iterator[dg.MaterializeResult]:
    """Decisions, exact bounds and agreement → accept or reject. While reviews are open it yields nothing."""
    dataset, round_ = dataset_of(context), round_of(context)
    lake, spec = platform.lake, platform.spec(dataset)
    require_open_round(lake, dataset, round_)
    sample = lake.require("review_sample", dataset, round_)
    kept = lake.read("filtered", dataset, round_).filter(pl.col("state") == KEPT)
    state = ReviewState(spec, round_, kept, sample.read(), platform.decisions)
    if config.automated or spec.review.mode == "auto":
        steering = lake.read("seeds", dataset).filter(pl.col("split") == STEERING)
        conclusion = decide_automatically(state, steering)
        context.log.warning("automated review: a model decided, nothing is certified")
    else:
        conclusion = conclude_review(state)
    if not conclusion.sample.equals(sample.read()):
        written = lake.write(
            "review_sample", dataset, round_, conclusion.sample, meta={**sample.meta, "enlarged_by": context.run.run_id}
        )
        context.log_event(
            dg.AssetMaterialization(
                "review_sample",
                partition=context.partition_key,
                metadata={"dagster/row_count": conclusion.sample.height, "enlarged_from": sample.rows()},
                tags={"dagster/data_version": written.digest},
            )
        )
    outcome = conclusion.outcome
    if outcome.decision not in ("accept", "reject"):
        context.log.warning(
            f"review is {outcome.decision}: {outcome.n_open} of {outcome.n_planned} items to decide. "
            f"`synth review {dataset} {round_}`. {outcome.note}"
        )
        return
    people = conclusion.decisions.filter(pl.col("reviewer_kind") == "human").select("example_id")
    judged = compare_with_judge(
        lake.read("verdicts", dataset, round_), conclusion.resolutions.join(people, on="example_id", how="semi")
    )
    named = conclusion.systematic.filter("named")
    for row in named.iter_rows(named=True):
        context.log.warning(f"systematic defect: {row['factor']} {row['value']}: {row['advice']}")
    yield commit(
        context,
        platform,
        "review_outcome",
        {
            "rows": conclusion.summary,
            "judge": judged,
            "systematic": conclusion.systematic,
            "accuracy": conclusion.accuracy,
            "agreement": conclusion.agreement,
            "decisions": conclusion.decisions,
            "resolutions": conclusion.resolutions,
            "by_stratum": outcome.by_stratum,
        },
        ledger={"log": conclusion.log},
        metadata={
            **{k: v for k, v in conclusion.summary.row(0, named=True).items() if v is not None},
            **({"judge_against_people": dg.MetadataValue.md(to_markdown(judged))} if judged.height else {}),
            **({"systematic_defects": dg.MetadataValue.md(to_markdown(named))} if named.height else {}),
        },
    )


ASSETS = [review_sample, review_outcome]
CHECKS: list[dg.AssetChecksDefinition] = []
