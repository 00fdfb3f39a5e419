"""Benchmark: candidates of a text data set from plan to filtered, with times by part and peak memory.

python -m synth_assets_tests.benchmarks.bench_round FILE.csv TEXT_COLUMN LABEL_COLUMN [--candidates 100000]
"""

from __future__ import annotations

import argparse
import itertools
import resource
import time
from pathlib import Path

import polars as pl

from synth_assets.discriminators.cascade import Cascade, Known, count_funnel
from synth_assets.generation.engines import fit_embedded
from synth_assets.generation.planner import Pins, plan_round
from synth_assets.generation.requests import build_requests
from synth_assets.generation.waves import as_candidates
from synth_assets.records import TRAIN, add_real_ids, apportion
from synth_assets.seeds.splits import split_seeds
from synth_assets_tests.builders import text_spec


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("text")
    parser.add_argument("label")
    parser.add_argument("--candidates", type=int, default=100_000)
    options = parser.parse_args()
    spec = text_spec()
    rows = pl.read_csv(options.file).select(text=options.text, intent=options.label)
    raw = add_real_ids(rows.with_columns(is_private=pl.lit(False)), spec)
    audit = raw.select("example_id", disposition=pl.lit("releasable"))
    seeds = split_seeds(raw, audit, spec).rows
    train = seeds.filter(pl.col("split") == TRAIN)

    marks = [("start", time.perf_counter())]
    plan = plan_round(spec, "r000", seeds, Pins("", "", ""), accepted_before={})
    weights = plan.strata["weight"].to_list()
    counts = dict(zip(plan.strata["stratum"], apportion(options.candidates, weights), strict=True))
    marks.append(("plan", time.perf_counter()))
    engine = fit_embedded(spec, "text", train)
    marks.append(("fit generator", time.perf_counter()))
    requests = build_requests(spec, "r000", train, counts, {})
    marks.append(("requests", time.perf_counter()))
    completions = pl.concat(list(engine.generate(requests)))
    marks.append(("generate", time.perf_counter()))
    candidates = as_candidates(spec, plan, requests, completions, engine.info)
    marks.append(("ids and lineage", time.perf_counter()))
    cascade = Cascade.build(spec, Known(seeds, Path.cwd()))
    marks.append(("fit cascade", time.perf_counter()))
    judged = cascade.judge(candidates, candidates.clear())
    marks.append(("judge", time.perf_counter()))

    for (_, before), (name, after) in itertools.pairwise(marks):
        print(f"{name:<16} {after - before:7.2f} s")
    seconds = marks[-1][1] - marks[0][1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{'in all':<16} {seconds:7.2f} s for {candidates.height:,} candidates, peak {peak:.2f} GB")
    print(f"{'generator alone':<16} {candidates.height / (marks[4][1] - marks[3][1]):,.0f} messages/s")
    print(count_funnel(candidates.height, judged.verdicts))


if __name__ == "__main__":
    main()
