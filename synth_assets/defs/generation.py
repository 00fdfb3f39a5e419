"""Generation assets: feedback, plan, and the one multi-asset that makes candidates, verdicts and filtered.

Here: the shell. Not here: planning, engines, waves (synth_assets/generation), filtering (synth_assets/discriminators).
"""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from synth_assets.defs.partitions import DATASET_ROUNDS, dataset_of, round_of
from synth_assets.defs.resources import DATA_KINDS, OWNERS, Platform, commit, plot_markdown, to_markdown
from synth_assets.discriminators.cascade import Cascade, Known, count_funnel
from synth_assets.discriminators.quality.importance import select_by_importance, weigh_candidates
from synth_assets.errors import GateError
from synth_assets.generation.allowance import Allowance
from synth_assets.generation.engines import open_engine, open_judge
from synth_assets.generation.planner import Pins, Plan, plan_round
from synth_assets.generation.shards import ShardFolder
from synth_assets.generation.waves import KEPT, Progress, generate_round
from synth_assets.monitoring.filtering import measure_filtering, split_stages
from synth_assets.monitoring.plots import plot_funnel
from synth_assets.provenance.ledger import collect_accepted, collect_generated, collect_reviews
from synth_assets.provenance.quarantine import drop_quarantined, drop_quarantined_seeds
from synth_assets.records import TRAIN, digest_text
from synth_assets.spec import DatasetSpec
from synth_assets.store import Lake, round_index, round_name

GROUP = "generation"
_OBSERVE_EVERY_SECONDS = 30.0
_LOG_EVERY_SECONDS = 1.0
_MADE: dict[str, Any] = {
    "deps": ["plan", "seeds"],
    "group_name": GROUP,
    "owners": OWNERS,
    "kinds": DATA_KINDS,
    "code_version": "1",
}

feedback = dg.AssetSpec(
    "feedback",
    group_name=GROUP,
    owners=OWNERS,
    kinds={"parquet"},
    partitions_def=DATASET_ROUNDS,
    description="What round k−1 taught, handed to round k; its event is logged by round_close of round k−1.",
)


class PlanConfig(dg.Config):
    """Rounds this data set is meant to have in all; 0 takes dataset.yaml's."""

    rounds: int = 0


@dg.asset(
    partitions_def=DATASET_ROUNDS,
    group_name=GROUP,
    owners=OWNERS,
    kinds=DATA_KINDS,
    deps=["seeds", "quality_contract", "feedback", "quarantine"],
    code_version="1",
)
def plan(context: dg.AssetExecutionContext, platform: Platform, config: PlanConfig) -> dg.MaterializeResult:
    """How many accepted rows per stratum, from which pinned seeds and contract, by which engine."""
    dataset, round_ = dataset_of(context), round_of(context)
    lake, spec = platform.lake, platform.spec(dataset)
    require_open_round(lake, dataset, round_)
    if config.rounds:
        spec = spec.model_copy(update={"rounds": config.rounds})
    seeds_version = lake.require("seeds", dataset)
    contract = lake.require("quality_contract", dataset)
    handed = lake.current("feedback", dataset, round_)
    quarantine = platform.quarantine(dataset)
    before = _accepted_before(lake, spec, round_, quarantine)
    counts = {} if before is None else dict(before.group_by("stratum").len().iter_rows())
    planned = plan_round(
        spec,
        round_,
        drop_quarantined_seeds(seeds_version.read(), quarantine),
        Pins(seeds_version.digest, contract.digest, handed.digest if handed else ""),
        accepted_before=counts,
        feedback=handed.read() if handed else None,
    )
    settings = planned.settings.row(0, named=True)
    if settings["note"]:
        context.log.warning(settings["note"])
    context.log.info(f"engine: {settings['engine']} ({settings['generator']})")
    return commit(
        context,
        platform,
        "plan",
        {"rows": planned.strata, "settings": planned.settings},
        metadata={k: v for k, v in settings.items() if isinstance(v, str | int) and v != ""},
    )


@dg.multi_asset(
    name="generate_and_filter",
    specs=[
        dg.AssetSpec("candidates", description="Every completion, with its full lineage.", **_MADE),
        dg.AssetSpec("verdicts", description="One row a candidate × discriminator it reached, with evidence.", **_MADE),
        dg.AssetSpec(
            "filtered",
            description="Survivors: kept up to the target of each stratum, the surplus as reserve for review rejects.",
            **_MADE,
        ),
    ],
    partitions_def=DATASET_ROUNDS,
    pool="cpu",
)
def generate_and_filter(context: dg.AssetExecutionContext, platform: Platform) -> Iterator[dg.MaterializeResult]:
    """Generate in waves → cascade → count → next wave, until the plan's targets are met."""
    dataset, round_ = dataset_of(context), round_of(context)
    lake, spec = platform.lake, platform.spec(dataset)
    require_open_round(lake, dataset, round_)
    plan_version = lake.require("plan", dataset, round_)
    planned = Plan(plan_version.read(), plan_version.read("settings"))
    settings = planned.settings.row(0, named=True)
    if settings["spec_digest"] != spec.digest:
        raise GateError(f"{dataset}: dataset.yaml changed since {round_} was planned; materialize plan again")
    quarantine = platform.quarantine(dataset)
    seeds_version = lake.version("seeds", dataset, None, settings["seeds_digest"])
    seeds = drop_quarantined_seeds(seeds_version.read(), quarantine)
    train = seeds.filter(pl.col("split") == TRAIN)
    root, allowance = platform.project.root, Allowance.of(spec)
    known = known_before(lake, spec, seeds, root, round_, quarantine)
    with ExitStack() as stack:
        with ThreadPoolExecutor(1) as beside:
            building = beside.submit(Cascade.build, spec, known)  # while a language model loads
            engine = stack.enter_context(
                open_engine(spec, settings["engine"], settings["generator"], train, root, allowance)
            )
            cascade = building.result()
        if engine.info.generator_id in quarantine.filter(pl.col("kind") == "model")["value"]:
            raise GateError(
                f"{dataset}: the model {engine.info.generator_id} is recalled. Change what makes it (generation in "
                "dataset.yaml, or the seeds), or lift the recall (synth recall --lift)"
            )
        if spec.judge is not None:
            cascade = cascade.with_judge(stack.enter_context(open_judge(spec, engine, root)), allowance)
        shards = ShardFolder(
            platform.project.work / dataset / round_, digest_text(plan_version.digest, engine.info.generator_id)
        )
        result = generate_round(
            spec,
            planned,
            seeds,
            engine,
            cascade.judge,
            shards,
            allowance=allowance,
            select=partial(_select, spec, known.train, round_),
            report=_Reporter(context),
        )
    tell = context.log.info if result.stopped == "target" else context.log.warning
    tell(result.explain())
    pinned = {
        "seeds_digest": settings["seeds_digest"],
        "contract_digest": settings["contract_digest"],
        "spec_digest": settings["spec_digest"],
        "plan_digest": plan_version.digest,
        "engine": engine.info.engine,
        "model": engine.info.model,
        "generator_id": engine.info.generator_id,
    }
    members = pl.DataFrame({"example_id": engine.info.members}, schema={"example_id": pl.String})
    model = {f"model_{name}": table for name, table in engine.artifact().items()}
    written = {} if result.completions is None else {"completions": result.completions}
    candidates = commit(
        context,
        platform,
        "candidates",
        {"rows": result.candidates, "members": members, **written, **model},
        ledger={"usage": result.usage},
        meta=pinned,
        metadata={
            "generator": engine.info.generator_id,
            "waves": result.usage.height,
            "stopped": result.explain(),
            "output_tokens": int(result.usage["output_tokens"].sum()),
            "seconds": round(float(result.usage["seconds"].sum()), 2),
        },
    )
    yield candidates
    made = {"candidates_digest": lake.require("candidates", dataset, round_).digest}
    yield commit(context, platform, "verdicts", result.verdicts, meta=made)
    kept = int((result.filtered["state"] == KEPT).sum())
    stages = split_stages(result.candidates, result.verdicts)
    stages[KEPT] = result.filtered.filter(pl.col("state") == KEPT)
    filtering = measure_filtering(stages, spec)
    funnel = count_funnel(result.candidates.height, result.verdicts)
    yield commit(
        context,
        platform,
        "filtered",
        {"rows": result.filtered, "strata": result.strata, "stages": filtering},
        meta={**made, "stopped": result.stopped},
        metadata={
            "kept": kept,
            "reserve": result.filtered.height - kept,
            "yield": result.filtered.height / max(result.candidates.height, 1),
            "shortfall": int(result.strata["shortfall"].sum()),
            "diversity_by_stage": dg.MetadataValue.md(to_markdown(filtering)),
            "funnel": plot_markdown("funnel", plot_funnel(funnel, result.strata)),
        },
    )
    shards.remove()


def known_before(
    lake: Lake, spec: DatasetSpec, seeds: pl.DataFrame, root: Path, round_: str, quarantine: pl.DataFrame
) -> Known:
    """Return what the discriminators of a round may learn from: its seeds and everything of the rounds before it."""
    index = round_index(round_)
    if index == 0:
        return Known(seeds, root)
    before = round_name(index - 1)
    generated, reviews = collect_generated(lake, spec, before), collect_reviews(lake, spec, before)
    return Known(seeds, root, _accepted_before(lake, spec, round_, quarantine), generated, reviews)


def _select(
    spec: DatasetSpec,
    train: pl.DataFrame,
    round_: str,
    candidates: pl.DataFrame,
    survivors: pl.DataFrame,
    targets: Mapping[str, int],
) -> pl.Series:
    """Return which survivors are kept, up to the target of each stratum: the likelier real ones, by chance."""
    weights = weigh_candidates(spec, train, candidates, survivors)
    return select_by_importance(spec, survivors, weights, targets, round_=round_)["kept"]


class _Reporter:
    """Progress as asset observations, at most one in 30 seconds, and as log lines, at most one a second."""

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        self.context = context
        self.observed = time.monotonic()
        self.logged = 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self.logged >= _LOG_EVERY_SECONDS or progress.done == progress.total:
            self.logged = now
            self.context.log.info(progress.describe())
        if now - self.observed < _OBSERVE_EVERY_SECONDS:
            return
        self.observed = now
        metadata: dict[str, Any] = {
            "progress": progress.describe(),
            "requests_done": progress.done,
            "requests_in_wave": progress.total,
            "accepted": progress.accepted,
            "tokens_per_second": progress.tokens_per_second,
            "seconds": progress.seconds,
        }
        if progress.seconds_left is not None:
            metadata["seconds_left_in_wave"] = progress.seconds_left
        if progress.accepted_share is not None:
            metadata["yield"] = progress.accepted_share
        self.context.log_event(
            dg.AssetObservation("candidates", partition=self.context.partition_key, metadata=metadata)
        )


def require_open_round(lake: Lake, dataset: str, round_: str) -> None:
    """Raise GateError unless the round may still be worked on and the round before it is closed."""
    if lake.current("round_close", dataset, round_) is not None:
        raise GateError(
            f"{dataset}|{round_} is closed and never overwritten; add round {round_name(round_index(round_) + 1)}"
        )
    index = round_index(round_)
    if index and lake.current("round_close", dataset, round_name(index - 1)) is None:
        raise GateError(
            f"{dataset}|{round_}: round {round_name(index - 1)} is not closed yet; finish its review first "
            "(materialize review_outcome … round_close)"
        )


def _accepted_before(lake: Lake, spec: DatasetSpec, round_: str, quarantine: pl.DataFrame) -> pl.DataFrame | None:
    index = round_index(round_)
    if index == 0:
        return None
    accepted = collect_accepted(lake, spec, round_name(index - 1))
    return None if accepted is None else drop_quarantined(accepted, quarantine)


@dg.asset_check(
    asset="filtered",
    partitions_def=DATASET_ROUNDS,
    description="Candidates = kept + reserve + rejected, with a reason each.",
)
def filtered_conserved(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    dataset, round_ = dataset_of(context), round_of(context)
    lake = platform.lake
    made = lake.require("candidates", dataset, round_).rows()
    rejected = lake.read("verdicts", dataset, round_).filter(~pl.col("passed"))
    survived = lake.require("filtered", dataset, round_).rows()
    unexplained = rejected.filter(pl.col("reason") == "").height
    return dg.AssetCheckResult(
        passed=made == survived + rejected.height and unexplained == 0,
        metadata={"candidates": made, "survived": survived, "rejected": rejected.height, "without_reason": unexplained},
    )


@dg.asset_check(
    asset="filtered",
    partitions_def=DATASET_ROUNDS,
    description="Every stratum reached its target of accepted rows.",
)
def filtered_complete(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
    strata = platform.lake.read("filtered", dataset_of(context), round_of(context), "strata")
    short = strata.filter(pl.col("shortfall") > 0)
    return dg.AssetCheckResult(
        passed=short.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"short": dg.MetadataValue.json(short.to_dicts())},
    )


ASSETS = [feedback, plan, generate_and_filter]
CHECKS = [filtered_conserved, filtered_complete]
