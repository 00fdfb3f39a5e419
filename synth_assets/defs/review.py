"""Review assets: the drawn sample and the outcome of its review.

Here: the shell. Not here: sampling, decisions, statistics (synth_assets/review).
"""

from collections.abc import Iterator

import dagster as dg
import numpy as np
import polars as pl

from synth_assets.defs.generation import known_before, require_open_round
from synth_assets.defs.partitions import DATASET_ROUNDS, dataset_of, round_of
from synth_assets.defs.resources import DATA_KINDS, OWNERS, Platform, commit, plot_markdown, to_markdown
from synth_assets.discriminators.cascade import Cascade, Filtering
from synth_assets.generation.waves import KEPT
from synth_assets.mixing.acceptance import accept_rows
from synth_assets.monitoring.plots import Picture, plot_operating_characteristic
from synth_assets.provenance.quarantine import drop_quarantined_seeds
from synth_assets.records import STEERING
from synth_assets.review.acceptance import SamplePlan, required_sample
from synth_assets.review.agreement import tabulate_correction
from synth_assets.review.controls import BLIND, CONTROLS, GOLD, read_controls
from synth_assets.review.fixes import Fixes, make_fixes
from synth_assets.review.judging import compare_with_judge
from synth_assets.review.plans import FixedPlan, characteristic
from synth_assets.review.sampling import draw_sample
from synth_assets.review.session import Conclusion, ReviewState, add_controls, conclude_review, decide_automatically
from synth_assets.review.settings import review_settings
from synth_assets.spec import DatasetSpec
from synth_assets.store import ROWS

GROUP = "review"
_COMMON = {"partitions_def": DATASET_ROUNDS, "group_name": GROUP, "owners": OWNERS, "kinds": DATA_KINDS}


class ReviewConfig(dg.Config):
    """Who decides in this run; `automated` overrides dataset.yaml's review.mode."""

    automated: bool = False


@dg.asset(**_COMMON, deps=["filtered", "plan", "seeds", "quarantine"], code_version="2")
def review_sample(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """The rows people look at: 1–5 %, never fewer than what certifies the tolerated defect rate; with control items."""
    dataset, round_ = dataset_of(context), round_of(context)
    require_open_round(platform.lake, dataset, round_)
    spec = platform.spec(dataset)
    filtered = platform.lake.require("filtered", dataset, round_)
    kept = filtered.read().filter(pl.col("state") == KEPT)
    plan = required_sample(kept.height, spec)
    drawn = draw_sample(kept, spec, plan=plan, round_=round_)
    seeds = _pinned_seeds(platform, dataset, round_)
    review = add_controls(ReviewState(spec, round_, kept, drawn, platform.decisions, seeds=seeds))
    if plan.note:
        context.log.warning(plan.note)
    return commit(
        context,
        platform,
        "review_sample",
        {ROWS: review.sample, CONTROLS: review.controls},
        meta={"filtered_digest": filtered.digest},
        metadata={
            "batch": kept.height,
            "planned": plan.n,
            "accepts_up_to": plan.c,
            "certifies": plan.certified,
            "controls_gold": review.controls.filter(pl.col("part") == GOLD).height,
            "controls_blind": review.controls.filter(pl.col("part") == BLIND).height,
            "first_rows": dg.MetadataValue.md(to_markdown(drawn.head())),  # reviewers may see this page
            "reviewer_minutes": float(review.sample["reviews"].sum()) * spec.review.minutes_per_item,
            "plan": plot_markdown("operating characteristic", _plot_plan(plan, spec)),
            "next_step": f"synth review {dataset} {round_}",
            "review_app": dg.MetadataValue.url("http://127.0.0.1:3001/"),  # where next_step serves it
        },
    )


def _pinned_seeds(platform: Platform, dataset: str, round_: str) -> pl.DataFrame:
    """Return the seeds that the round's plan pinned, without recalled ones."""
    digest = platform.lake.read("plan", dataset, round_, "settings")["seeds_digest"].item()
    seeds = platform.lake.version("seeds", dataset, None, digest).read()
    return drop_quarantined_seeds(seeds, platform.quarantine(dataset))


def _plot_plan(plan: SamplePlan, spec: DatasetSpec) -> Picture:
    """Draw how often the plan, and its sequential form where it has one, lets a batch pass."""
    tolerated, acceptable = spec.review.tolerated_defect_rate, review_settings(spec).acceptable_defect_rate
    rates = np.linspace(0.0, 3 * tolerated, 61)
    curves = characteristic(FixedPlan(plan.n, plan.c, 1.0, plan.acceptance, plan.note), rates)
    if plan.sequential is not None:
        curves = pl.concat([curves, characteristic(plan.sequential, rates)])
    return plot_operating_characteristic(curves, tolerated=tolerated, acceptable=acceptable)


@dg.asset(**_COMMON, deps=["review_sample", "filtered", "verdicts", "seeds"], output_required=False, code_version="2")
def review_outcome(
    context: dg.AssetExecutionContext, platform: Platform, config: ReviewConfig
) -> Iterator[dg.MaterializeResult]:
    """Decisions, exact bounds and agreement → accept or reject; what reviewers edited goes through the cascade again.

    While reviews are open it yields nothing.
    """
    dataset, round_ = dataset_of(context), round_of(context)
    lake, spec = platform.lake, platform.spec(dataset)
    require_open_round(lake, dataset, round_)
    sample = lake.require("review_sample", dataset, round_)
    kept = lake.read("filtered", dataset, round_).filter(pl.col("state") == KEPT)
    state = ReviewState(
        spec,
        round_,
        kept,
        sample.read(),
        platform.decisions,
        controls=read_controls(sample, spec),
        seeds=_pinned_seeds(platform, dataset, round_),
    )
    if config.automated or spec.review.mode == "auto":
        steering = lake.read("seeds", dataset).filter(pl.col("split") == STEERING)
        conclusion = decide_automatically(state, steering)
        context.log.warning("automated review: a model decided, nothing is certified")
    else:
        conclusion = conclude_review(state)
    if not conclusion.sample.equals(sample.read()):
        written = lake.write(
            "review_sample",
            dataset,
            round_,
            {ROWS: conclusion.sample, CONTROLS: conclusion.controls},
            meta={**sample.meta, "enlarged_by": context.run.run_id},
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
    fixes = _make_fixes(platform, state, conclusion)
    yield commit(
        context,
        platform,
        "review_outcome",
        {
            "rows": conclusion.summary,
            "judge": judged,
            "systematic": conclusion.systematic,
            "accuracy": conclusion.accuracy,
            "corrected": tabulate_correction(conclusion.corrected),
            "agreement": conclusion.agreement,
            "decisions": conclusion.decisions,
            "resolutions": conclusion.resolutions,
            "by_stratum": outcome.by_stratum,
            "edits": fixes.edits,
            "edited": fixes.rows,
            "edited_verdicts": fixes.verdicts,
        },
        ledger={"log": conclusion.log},
        metadata={
            **{k: v for k, v in conclusion.summary.row(0, named=True).items() if v is not None},
            **({"judge_against_people": dg.MetadataValue.md(to_markdown(judged))} if judged.height else {}),
            **({"systematic_defects": dg.MetadataValue.md(to_markdown(named))} if named.height else {}),
            **_tell_accuracy(conclusion),
            **({"edits": dg.MetadataValue.md(to_markdown(fixes.edits.head(20)))} if fixes.edits.height else {}),
        },
    )


def _tell_accuracy(conclusion: Conclusion) -> dict[str, object]:
    """Return what controls say about the reviewers, nothing where none was decided."""
    told: dict[str, object] = {}
    if conclusion.accuracy.height:
        told["reviewers_on_controls"] = dg.MetadataValue.md(to_markdown(conclusion.accuracy))
    if conclusion.corrected:
        found = conclusion.corrected
        told["corrected_defect_rate"] = f"{found.rate:.1%} ({found.low:.1%}–{found.high:.1%})"
    return told


def _make_fixes(platform: Platform, state: ReviewState, conclusion: Conclusion) -> Fixes:
    """Have what reviewers edited judged as candidates were, against the rows that the round contributes without it."""
    lake, spec, round_ = platform.lake, state.spec, state.round
    edits = platform.decisions.edits(spec.name, round_)
    for of_the_review in (conclusion.log.select("decision_id"), state.kept.select("example_id")):
        edits = edits.join(of_the_review, on=of_the_review.columns, how="semi", maintain_order="left")

    def judge(rows: pl.DataFrame) -> Filtering:
        seeds = _pinned_seeds(platform, spec.name, round_)
        recalled = platform.quarantine(spec.name)
        known = known_before(lake, spec, seeds, platform.project.root, round_, recalled)
        batch = accept_rows(lake.read("filtered", spec.name, round_), conclusion.resolutions, automated=False)
        return Cascade.build(spec, known).judge(rows, batch)

    return make_fixes(
        edits,
        conclusion.decisions,
        state.kept,
        spec,
        round_=round_,
        strata=lake.read("plan", spec.name, round_)["stratum"],
        judge=judge,
    )


ASSETS = [review_sample, review_outcome]
CHECKS: list[dg.AssetChecksDefinition] = []
