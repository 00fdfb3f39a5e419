"""Benchmark: the collapse experiment on a file's texts, and the collapse check's power and false alarms on it.

    python -m synth_assets_tests.benchmarks.bench_collapse FILE [--text text] [--seeds 5] [--generations 5]
        [--resamples 100] [--only experiment|check]

FILE: CSV, JSONL or Parquet. Rows are split as the platform splits seeds. The check is asked about corpora that
`replace` left after each generation (one a seed), and about halves of the real rows that pass for a corpus: an `act`
there is a false alarm. Thresholds are the defaults of the contract.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import polars as pl

from synth_assets.monitoring.collapse import measure_collapse
from synth_assets.monitoring.diversity import join_pieces
from synth_assets.monitoring.experiments.collapse import (
    MOST_ROWS,
    compare_policies,
    explain_claim,
    run_collapse,
    summarize_runs,
)
from synth_assets.monitoring.experiments.policies import PLATFORM, UNFILTERED, list_policies, name_share
from synth_assets.monitoring.experiments.texts import TextMaterial
from synth_assets.monitoring.measures import ACT, OK
from synth_assets.records import ALL_STRATUM, RELEASABLE, STEERING, SYNTHETIC, TRAIN, add_real_ids
from synth_assets.seeds.liabilities import audit_liabilities
from synth_assets.seeds.splits import split_seeds
from synth_assets.spec import DatasetSpec, parse_spec

TEMPERATURES = (1.0, 0.8)
SHOWN = ("perplexity", "perplexity_equal", "distinct_2", "written_distinct_2")
CHECKED_GENERATIONS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--text", default="text")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--generations", type=int, default=5)
    parser.add_argument("--resamples", type=int, default=100)
    parser.add_argument("--only", choices=["experiment", "check"])
    options = parser.parse_args()
    spec = parse_spec(
        {
            "name": "bench",
            "fields": [{"name": "text", "type": "text", "max_length": 100_000}],
            "liabilities": {"pii": "allow"},
            "source": {"license": "CC-BY-4.0", "consent": {"basis": "not_personal"}},
        },
        where="bench_collapse",
    )
    seeds = read_seeds(options.file, options.text, spec)
    began = time.perf_counter()
    material = TextMaterial.of(spec, seeds, Path.cwd())
    print(f"{options.file}: {material.count(material.real):,} training texts, {material.held_out.n_docs:,} held out")
    if options.only != "check":
        run_experiment(material, spec, options.generations, options.seeds, began)
    if options.only != "experiment":
        ask_check(material, seeds, spec, options.seeds, options.resamples)


def read_seeds(file: Path, text: str, spec: DatasetSpec) -> pl.DataFrame:
    """Return the file's texts as the seeds asset holds them."""
    readers = {".csv": pl.read_csv, ".jsonl": pl.read_ndjson, ".parquet": pl.read_parquet}
    rows = readers[file.suffix](file).select(pl.col(text).alias("text")).drop_nulls()
    raw = add_real_ids(
        rows.with_columns(
            source_file=pl.lit(file.name),
            source_line=pl.int_range(1, rows.height + 1, dtype=pl.Int64),
            license=pl.lit("CC-BY-4.0"),
            consent=pl.lit("not_personal"),
            is_private=pl.lit(False),
        ),
        spec,
    )
    return split_seeds(raw, audit_liabilities(raw, spec).rows, spec).rows


def run_experiment(material: TextMaterial, spec: DatasetSpec, generations: int, seeds: int, began: float) -> None:
    """Print the experiment's table and the platform against its rivals."""
    policies = list_policies(spec.mix)
    runs = run_collapse(material, spec, policies, generations=generations, seeds=seeds, temperatures=TEMPERATURES)
    print(f"experiment: {time.perf_counter() - began:.0f} s ({generations} generations, {seeds} seeds)")
    summary = summarize_runs(runs)
    for temperature in TEMPERATURES:
        print(f"\ntemperature {temperature:g}, generation {generations} (0: real rows)")
        for policy in (None, *policies):
            step = generations if policy else 0
            part = summary.filter(
                pl.col("temperature") == temperature,
                pl.col("generation") == step,
                pl.col("policy") == (policy or policies[0]).name,
            )
            cells = []
            for measure in SHOWN:
                row = part.filter(pl.col("measure") == measure).row(0, named=True)
                reach = (row["value_high"] - row["value_low"]) / 2 if row["value_low"] is not None else float("nan")
                cells.append(f"{measure} {row['value']:8.4g} ± {reach:<7.2g} ({row['change']:+.0%})")
            print(f"{policy.name if policy else 'real rows':<18}", "  ".join(cells))
    for rival in (name_share(1 - spec.mix.share), f"{name_share(1 - spec.mix.share)}_fresh", UNFILTERED):
        print(f"\nplatform less {rival}, paired 95 % intervals")
        contrasts = compare_policies(runs, PLATFORM, rival)
        for row in contrasts.filter(pl.col("generation") == generations, pl.col("measure").is_in(SHOWN)).to_dicts():
            told = f"{row['difference']:+.4g} [{row['low']:+.4g}, {row['high']:+.4g}]"
            print(f"  temperature {row['temperature']:g} {row['measure']:<20} {told}")
    print(f"\n{explain_claim(summary, policies, material.variety, 'distinct-2')}")


def ask_check(material: TextMaterial, seeds: pl.DataFrame, spec: DatasetSpec, runs: int, resamples: int) -> None:
    """Print how often the check acts on `replace` by generation, and on real rows that pass for a corpus."""
    anchor, held_out = (
        seeds.filter((pl.col("split") == split) & (pl.col("disposition") == RELEASABLE)) for split in (TRAIN, STEERING)
    )
    size = min(material.count(material.real), MOST_ROWS)
    for temperature in TEMPERATURES:
        found: dict[int, list[list[str]]] = {}
        for run in range(runs):
            rng = np.random.default_rng(run)
            corpus = material.real
            for generation in range(1, CHECKED_GENERATIONS + 1):
                corpus = material.write(corpus, size, temperature, rng, None)
                frame = pl.DataFrame({"text": join_pieces(corpus)}).with_columns(
                    example_id=pl.format("s{}", pl.int_range(pl.len())), stratum=pl.lit(ALL_STRATUM)
                )
                found.setdefault(generation, []).append(list_findings(frame, anchor, held_out, spec))
        for generation, acts in found.items():
            flagged = sum(1 for metrics in acts if metrics)
            which = sorted({metric for metrics in acts for metric in metrics})
            print(f"replace, temperature {temperature:g}, generation {generation}: act in {flagged} of {runs} {which}")
    began = time.perf_counter()
    alarms: list[list[str]] = []
    watched = 0
    for run in range(resamples):
        mixed = anchor.sample(fraction=1.0, shuffle=True, seed=run)
        first, second = mixed.head(mixed.height // 2), mixed.tail(-(mixed.height // 2))
        metrics = ask(first, second, held_out, spec).metrics
        alarms.append(metrics.filter(pl.col("level") == ACT)["metric"].to_list())
        watched += metrics.filter(pl.col("level") != OK).height > 0
    acted = sum(1 for metrics in alarms if metrics)
    seconds = (time.perf_counter() - began) / max(resamples, 1)
    print(f"real against real: act in {acted} of {resamples}, watch or act in {watched} ({seconds:.1f} s a check)")


def list_findings(corpus: pl.DataFrame, anchor: pl.DataFrame, held_out: pl.DataFrame, spec: DatasetSpec) -> list[str]:
    """Return the metrics at act."""
    return ask(corpus, anchor, held_out, spec).metrics.filter(pl.col("level") == ACT)["metric"].to_list()


def ask(corpus: pl.DataFrame, anchor: pl.DataFrame, held_out: pl.DataFrame, spec: DatasetSpec):
    return measure_collapse({"r000": corpus.with_columns(origin=pl.lit(SYNTHETIC))}, anchor, spec, held_out=held_out)


if __name__ == "__main__":
    main()
