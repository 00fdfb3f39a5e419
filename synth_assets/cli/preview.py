"""A preview and an estimate: a few candidates and their verdicts without Dagster and without writing anything.

Here: the shortest path through seeds, engine and cascade. Not here: printing (summary.py).
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass

import polars as pl

from synth_assets.discriminators.cascade import Cascade, Known
from synth_assets.generation.allowance import Allowance
from synth_assets.generation.engines import open_engine, open_judge
from synth_assets.generation.estimate import Estimate, Sample, estimate_round
from synth_assets.generation.planner import Pins, count_strata, plan_round
from synth_assets.generation.requests import Engine, GeneratorInfo, build_requests
from synth_assets.generation.waves import as_candidates
from synth_assets.project import Project
from synth_assets.records import TRAIN, add_real_ids, apportion
from synth_assets.seeds.liabilities import audit_liabilities
from synth_assets.seeds.reading import read_seeds
from synth_assets.seeds.splits import split_seeds

_WARM_UP = 4


@dataclass(frozen=True)
class Draft:
    """Candidates that were made for looking at, their verdicts, and the sample that they are for an estimate."""

    candidates: pl.DataFrame
    verdicts: pl.DataFrame
    generator: GeneratorInfo
    target: int
    sample: Sample
    note: str


def draft_candidates(project: Project, dataset: str, count: int) -> Draft:
    """Return `count` requests' candidates, spread over the strata, and their verdicts.

    The engine is asked for a few requests more beforehand, so that what it does once is not counted in the seconds.
    """
    spec = project.spec(dataset)
    seeds = read_split_seeds(project, dataset)
    train = seeds.filter(pl.col("split") == TRAIN)
    plan = plan_round(spec, "r000", seeds, Pins("", "", ""), accepted_before={})
    settings = plan.settings.row(0, named=True)
    strata = count_strata(spec, seeds).sort("real_train", descending=True)
    shares = dict(zip(strata["stratum"], apportion(count, strata["real_train"].to_list()), strict=True))
    requests = build_requests(spec, "r000", train, shares, {})
    allowance = Allowance()
    with ExitStack() as stack:
        engine = stack.enter_context(
            open_engine(spec, settings["engine"], settings["generator"], train, project.root, allowance)
        )
        _generate(engine, requests.head(_WARM_UP))
        began = time.perf_counter()
        completions = _generate(engine, requests)
        seconds = time.perf_counter() - began
        candidates = as_candidates(spec, plan, requests, completions, engine.info)
        info = engine.info
        cascade = Cascade.build(spec, Known(seeds, project.root))
        if spec.judge is not None:
            cascade = cascade.with_judge(stack.enter_context(open_judge(spec, engine, project.root)), allowance)
        spent, began = allowance.spent_tokens, time.perf_counter()
        judged = cascade.judge(candidates, candidates.clear())
        tokens = int(candidates["output_tokens"].sum()) + allowance.spent_tokens - spent
        if spec.judge or spec.verification:  # other discriminators take next to nothing a row
            seconds += time.perf_counter() - began
    sample = Sample(requests.height, judged.survivors.height, tokens, seconds)
    return Draft(candidates, judged.verdicts, info, int(settings["target"]), sample, settings["note"])


def read_split_seeds(project: Project, dataset: str) -> pl.DataFrame:
    """Return the data set's seeds as the seeds asset would hold them, read from its files."""
    spec = project.spec(dataset)
    raw = add_real_ids(read_seeds(spec, project.seed_folder(dataset)).rows, spec)
    return split_seeds(raw, audit_liabilities(raw, spec).rows, spec).rows


def estimate_dataset(project: Project, dataset: str, count: int) -> tuple[Draft, Estimate]:
    """Return a draft of `count` requests and what the data set's first round will take."""
    draft = draft_candidates(project, dataset, count)
    return draft, estimate_round(project.spec(dataset), draft.target, draft.sample)


def _generate(engine: Engine, requests: pl.DataFrame) -> pl.DataFrame:
    return pl.concat(list(engine.generate(requests)))
