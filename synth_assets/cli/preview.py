"""A preview: a few candidates and their verdicts without Dagster and without writing anything.

Here: the shortest path through seeds, engine and cascade. Not here: printing (summary.py).
"""

from __future__ import annotations

import polars as pl

from synth_assets.discriminators.cascade import Cascade
from synth_assets.generation.engines import fit_engine
from synth_assets.generation.planner import Pins, count_strata, plan_round, resolve_engine, resolve_generator
from synth_assets.generation.requests import build_requests
from synth_assets.generation.waves import as_candidates
from synth_assets.project import Project
from synth_assets.records import TRAIN, add_real_ids, apportion
from synth_assets.seeds.liabilities import audit_liabilities
from synth_assets.seeds.reading import read_seeds
from synth_assets.seeds.splits import split_seeds


def preview_candidates(project: Project, dataset: str, count: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return `count` candidates, spread over the strata, and their verdicts."""
    spec = project.spec(dataset)
    raw = add_real_ids(read_seeds(spec, project.seed_folder(dataset)).rows, spec)
    seeds = split_seeds(raw, audit_liabilities(raw, spec).rows, spec).rows
    train = seeds.filter(pl.col("split") == TRAIN)
    plan = plan_round(spec, "r000", seeds, Pins("", "", ""), accepted_before={})
    engine = fit_engine(spec, resolve_engine(spec), resolve_generator(spec), train)
    strata = count_strata(spec, seeds).sort("real_train", descending=True)
    shares = dict(zip(strata["stratum"], apportion(count, strata["real_train"].to_list()), strict=True))
    requests = build_requests(spec, "r000", train, shares, {})
    candidates = as_candidates(spec, plan, requests, pl.concat(list(engine.generate(requests))), engine.info)
    judged = Cascade.build(spec, seeds, None).judge(candidates, candidates.clear())
    return candidates, judged.verdicts
