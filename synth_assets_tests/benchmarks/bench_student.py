"""Benchmark: what synthetic rows are worth, over split seeds: TRTR, TSTR and mix on sealed rows, membership AUC.

    python -m synth_assets_tests.benchmarks.bench_student clinical [--splits 10]

Each split seed draws new train, steering and sealed rows, fits the generator on train, filters its candidates through
the discriminators, mixes at the spec's share, and scores students on the sealed rows.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import polars as pl

from synth_assets.discriminators.cascade import Cascade, Known
from synth_assets.generation.engines import fit_embedded, resolve_generator
from synth_assets.generation.planner import Pins, plan_round
from synth_assets.generation.requests import build_requests
from synth_assets.generation.waves import as_candidates
from synth_assets.mixing.selection import mix_corpus
from synth_assets.monitoring.privacy import measure_privacy
from synth_assets.monitoring.student import measure_student
from synth_assets.project import find_project
from synth_assets.records import RELEASABLE, SEALED, SYNTHETIC, TRAIN, add_real_ids
from synth_assets.seeds.liabilities import audit_liabilities
from synth_assets.seeds.reading import read_seeds
from synth_assets.seeds.splits import split_seeds

SHOWN = ("trtr_accuracy", "tstr_accuracy", "mix_accuracy", "tstr_drop", "mix_drop", "membership_auc")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--splits", type=int, default=10)
    options = parser.parse_args()
    project = find_project()
    base = project.spec(options.dataset)
    raw = add_real_ids(read_seeds(base, project.seed_folder(options.dataset)).rows, base)
    audit = audit_liabilities(raw, base).rows
    found: dict[str, list[float]] = {}
    for seed in range(options.splits):
        spec = base.model_copy(update={"seed": seed})
        seeds = split_seeds(raw, audit, spec).rows
        train = seeds.filter(pl.col("split") == TRAIN)
        plan = plan_round(spec, "r000", seeds, Pins("", "", ""), accepted_before={})
        engine = fit_embedded(spec, resolve_generator(spec), train)
        counts = {s: 2 * n for s, n in plan.strata.select("stratum", "target").iter_rows()}
        requests = build_requests(spec, "r000", train, counts, {})
        candidates = as_candidates(spec, plan, requests, pl.concat(list(engine.generate(requests))), engine.info)
        survivors = Cascade.build(spec, Known(seeds, Path.cwd())).judge(candidates, candidates.clear()).survivors
        wanted = pl.col("stratum").replace_strict(dict(plan.strata.select("stratum", "target").iter_rows()))
        kept = survivors.filter(pl.int_range(pl.len()).over("stratum") < wanted)
        corpus = mix_corpus(spec, seeds, kept.with_columns(review_status=pl.lit("none"))).rows
        made = corpus.filter(pl.col("origin") == SYNTHETIC)
        real = train.filter(pl.col("disposition") == RELEASABLE)
        student = measure_student(real, made, corpus, seeds.filter(pl.col("split") == SEALED), spec).metrics
        privacy = measure_privacy(made, seeds, spec).metrics
        metrics = pl.concat([student, privacy]).filter((pl.col("stratum") == "") & pl.col("value").is_not_null())
        for metric, value in metrics.select("metric", "value").iter_rows():
            if metric.startswith(SHOWN) and not metric.endswith(("_low", "_high")):
                found.setdefault(metric, []).append(value)
    print(f"{options.dataset}, {options.splits} split seeds, students scored on sealed rows")
    for metric, values in found.items():
        spread = f"{min(values):.3f} … {max(values):.3f}"
        print(f"{metric:<34} mean {np.mean(values):.4f}   {spread}")


if __name__ == "__main__":
    main()
