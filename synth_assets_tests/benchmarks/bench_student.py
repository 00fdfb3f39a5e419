"""Benchmark: what synthetic rows are worth to a student, over seeds, always scored on real rows it never saw.

    python -m synth_assets_tests.benchmarks.bench_student dataset clinical [--splits 10]
    python -m synth_assets_tests.benchmarks.bench_student few train.csv --text text --label category [--test test.csv]

dataset: each split seed draws new train, steering and sealed rows of a data set, fits the generator on train, filters
its candidates through the discriminators, mixes at the spec's share, and scores students on the sealed rows.

few: each seed draws a few labeled texts a class; the platform splits them, so that train holds `--per-class` rows of
a class, generates from train, filters, and puts as many accepted rows beside the real ones as make 70 %. Reported
against the student of the real train rows alone: augmentation (all real and all synthetic rows), the same at the weight
that steering rows choose, substitution (as many rows as there are real ones, 70 % of them synthetic), and two rounds,
the second allocated by the first one's steering errors (targeted) or by the real mix (uniform). Held out are the rows
of --test, or all rows of the file that were not drawn. Intervals are Student's t over the seeds' paired differences.

`--generation '{"engine": "vllm", "model": "…"}'` generates with another engine. `--rows FOLDER` takes the accepted
synthetic rows of each seed from FOLDER/<seed>.parquet (the text and label columns) where that file exists, and
otherwise writes them there; two rounds are left out then. A lake's rows will do, if they were made from the same seeds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from scipy.stats import t

from synth_assets.discriminators.cascade import Cascade, Known
from synth_assets.generation.allowance import Allowance
from synth_assets.generation.engines import open_engine
from synth_assets.generation.planner import Pins, Plan, plan_round
from synth_assets.generation.shards import ShardFolder
from synth_assets.generation.waves import KEPT, generate_round
from synth_assets.mixing.selection import mix_corpus
from synth_assets.monitoring.feedback import learn_feedback
from synth_assets.monitoring.privacy import measure_privacy
from synth_assets.monitoring.student import measure_student
from synth_assets.project import find_project
from synth_assets.records import (
    REAL,
    RELEASABLE,
    SEALED,
    STEERING,
    SYNTHETIC,
    TRAIN,
    add_content_ids,
    add_real_ids,
    derive_uniforms,
    stratum_expression,
)
from synth_assets.seeds.liabilities import audit_liabilities
from synth_assets.seeds.reading import read_seeds
from synth_assets.seeds.splits import FRACTIONS, split_seeds
from synth_assets.similarity import near_duplicate_pairs
from synth_assets.spec import DatasetSpec, parse_spec
from synth_assets_tests.builders import real_rows

SHOWN = ("trtr_accuracy", "tstr_accuracy", "mix_accuracy", "tstr_drop", "mix_drop", "membership_auc")
ARMS = ("tstr", "mix", "mix_weighted", "mix_equal")
TOLD = {
    "tstr": "synthetic alone, as many rows",
    "mix": "augmentation",
    "mix_weighted": "augmentation, tuned weight",
    "mix_equal": "substitution",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    whole = commands.add_parser("dataset", help="a data set of the project")
    whole.add_argument("dataset")
    whole.add_argument("--splits", type=int, default=10)
    few = commands.add_parser("few", help="a few labeled texts a class")
    few.add_argument("file", type=Path)
    few.add_argument("--text", default="text")
    few.add_argument("--label", default="label")
    few.add_argument("--test", type=Path)
    few.add_argument("--per-class", type=int, default=10, help="training rows of a class")
    few.add_argument("--first-seed", type=int, default=0)
    few.add_argument("--seeds", type=int, default=10)
    few.add_argument("--generation", type=json.loads, default={"engine": "embedded"})
    few.add_argument("--student", type=json.loads, default={"runs": 3})
    few.add_argument("--target", type=int, help="accepted synthetic rows; left out, as many as make 70 %%")
    few.add_argument("--rows", type=Path)
    options = parser.parse_args()
    if options.command == "dataset":
        measure_dataset(options.dataset, options.splits)
    else:
        measure_few(options)


# ---- a data set of the project


def measure_dataset(dataset: str, splits: int) -> None:
    project = find_project()
    base = project.spec(dataset)
    raw = add_real_ids(read_seeds(base, project.seed_folder(dataset)).rows, base)
    audit = audit_liabilities(raw, base).rows
    found: dict[str, list[float]] = {}
    for seed in range(splits):
        spec = base.model_copy(update={"seed": seed})
        seeds = split_seeds(raw, audit, spec).rows
        corpus = mix_corpus(spec, seeds, generate(spec, seeds, plan(spec, seeds))).rows
        made = corpus.filter(pl.col("origin") == SYNTHETIC)
        real = seeds.filter((pl.col("split") == TRAIN) & (pl.col("disposition") == RELEASABLE))
        sealed, steering = (seeds.filter(pl.col("split") == split) for split in (SEALED, STEERING))
        student = measure_student(real, made, corpus, sealed, spec, steering=steering).metrics
        metrics = pl.concat([student, measure_privacy(made, seeds, spec).metrics])
        metrics = metrics.filter((pl.col("stratum") == "") & pl.col("value").is_not_null())
        for metric, value in metrics.select("metric", "value").iter_rows():
            if metric.startswith(SHOWN) and not metric.endswith(("_low", "_high")):
                found.setdefault(metric, []).append(value)
    print(f"{dataset}, {splits} split seeds, students scored on sealed rows")
    for metric, values in found.items():
        spread = f"{min(values):.3f} … {max(values):.3f}"
        print(f"{metric:<34} mean {np.mean(values):.4f}   {spread}")


def plan(
    spec: DatasetSpec,
    seeds: pl.DataFrame,
    round_: str = "r000",
    earlier: pl.DataFrame | None = None,
    feedback: pl.DataFrame | None = None,
) -> Plan:
    before = {} if earlier is None else dict(earlier.group_by("stratum").len().iter_rows())
    return plan_round(spec, round_, seeds, Pins("", "", ""), accepted_before=before, feedback=feedback)


def generate(
    spec: DatasetSpec, seeds: pl.DataFrame, planned: Plan, earlier: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Return the accepted rows of a round: generated from train, through the cascade, up to the plan's targets."""
    settings = planned.settings.row(0, named=True)
    train = seeds.filter(pl.col("split") == TRAIN)
    allowance = Allowance.of(spec)
    with (
        tempfile.TemporaryDirectory() as folder,
        open_engine(spec, settings["engine"], settings["generator"], train, Path.cwd(), allowance) as engine,
    ):
        cascade = Cascade.build(spec, Known(seeds, Path.cwd(), earlier))
        shards = ShardFolder(Path(folder), settings["round"])
        made = generate_round(spec, planned, seeds, engine, cascade.judge, shards, allowance=allowance)
    kept = made.filtered.filter(pl.col("state") == KEPT)
    return kept.with_columns(review_status=pl.lit("none"))


# ---- a few labeled texts a class


def measure_few(options: argparse.Namespace) -> None:
    data = read_labeled(options.file, options.text, options.label)
    points: dict[str, list[float]] = {}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        spec = make_spec(options, seed)
        drawn = draw_rows(data, round(options.per_class / FRACTIONS[TRAIN]), seed)
        raw = real_rows(spec, data.filter(drawn).to_dicts())
        seeds = split_seeds(raw, raw.select("example_id", disposition=pl.lit(RELEASABLE)), spec).rows
        held = data.filter(~drawn) if options.test is None else read_labeled(options.test, options.text, options.label)
        test = real_rows(spec, held.to_dicts()).filter(~pl.col("content_id").is_in(seeds["content_id"].implode()))
        for name, value in try_seed(spec, seeds, test, options.rows).items():
            points.setdefault(name, []).append(value)
        train = seeds.filter(pl.col("split") == TRAIN)
        print(f"seed {seed}: {train.height} train rows, {test.height} held out; "
              + ", ".join(f"{name} {values[-1]:.4f}" for name, values in points.items()), flush=True)  # fmt: skip
    tell(points, options)


def read_labeled(file: Path, text: str, label: str) -> pl.DataFrame:
    readers = {".csv": pl.read_csv, ".parquet": pl.read_parquet, ".jsonl": pl.read_ndjson}
    frame = readers[file.suffix](file)
    return frame.select(pl.col(text, label).cast(pl.String)).drop_nulls().rename({text: "text", label: "label"})


def make_spec(options: argparse.Namespace, seed: int) -> DatasetSpec:
    content = {
        "name": "few",
        "seed": seed,
        "fields": [
            {"name": "text", "type": "text"},
            {"name": "label", "type": "category", "role": "target"},
        ],
        "strata": {"by": ["label"]},
        "source": {"license": "LicenseRef-benchmark", "consent": {"basis": "not_personal"}},
        "generation": options.generation,
        "student": options.student,
        "target_accepted": options.target,
        "mix": {"share": 0.70},
    }
    return parse_spec(content, where="bench_student")


def draw_rows(data: pl.DataFrame, of_each: int, seed: int) -> pl.Series:
    """Return which rows are drawn: `of_each` of every class, anew for each seed."""
    order = derive_uniforms(pl.int_range(data.height, eager=True).cast(pl.String), seed, "draw")
    ranked = data.with_columns(order=pl.Series(order))
    return ranked.select(pl.col("order").rank("ordinal").over("label") <= of_each).to_series()


def try_seed(spec: DatasetSpec, seeds: pl.DataFrame, test: pl.DataFrame, rows: Path | None) -> dict[str, float]:
    made = find_rows(spec, seeds, rows)
    found = score(spec, seeds, made, test)
    found |= {
        "synthetic rows": made.height,
        "weight": found.pop("synthetic_weight"),
        "near copies": share_near(made, seeds, spec),
        "near copies, real": share_near(test, seeds, spec),
    }
    if rows is None:
        found |= try_allocations(spec, seeds, test)
    return found


def find_rows(spec: DatasetSpec, seeds: pl.DataFrame, rows: Path | None) -> pl.DataFrame:
    """Return the accepted synthetic rows: those on disk, or new ones."""
    file = None if rows is None else rows / f"{spec.seed}.parquet"
    if file is None or not file.exists():
        made = generate(spec, seeds, plan(spec, seeds))
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            made.write_parquet(file)
        return made
    made = add_content_ids(pl.read_parquet(file).select("text", "label"), spec).unique(
        "content_id", maintain_order=True
    )
    return made.with_columns(stratum_expression(spec).alias("stratum"), example_id=pl.format("file-{}", "content_id"))


def score(spec: DatasetSpec, seeds: pl.DataFrame, made: pl.DataFrame, test: pl.DataFrame) -> dict[str, float]:
    """Return the accuracies of all arms on the held-out rows, which stand for sealed ones, and the tuned weight."""
    real, steering = (seeds.filter(pl.col("split") == split) for split in (TRAIN, STEERING))
    sealed = test.with_columns(split=pl.lit(SEALED))
    metrics = measure_student(real, made, put_beside(real, made), sealed, spec, steering=steering).metrics
    values: Mapping[str, float] = dict(metrics.filter(pl.col("stratum") == "").select("metric", "value").iter_rows())
    scores = {arm: values[f"{arm}_accuracy"] for arm in ("trtr", *ARMS) if f"{arm}_accuracy" in values}
    return {**scores, "synthetic_weight": values["synthetic_weight"]}


def put_beside(real: pl.DataFrame, made: pl.DataFrame) -> pl.DataFrame:
    """Return all real rows and all synthetic ones."""
    columns = ("example_id", "stratum", "text", "label")
    return pl.concat(
        [
            real.select(*columns, origin=pl.lit(REAL)),
            made.select(*columns, origin=pl.lit(SYNTHETIC)),
        ]
    )


def share_near(rows: pl.DataFrame, seeds: pl.DataFrame, spec: DatasetSpec) -> float:
    """Return the share of rows that are near-copies of a training row."""
    train = seeds.filter(pl.col("split") == TRAIN)
    found = near_duplicate_pairs(rows["text"], others=train["text"], threshold=spec.quality.near_duplicate_jaccard)
    return found["left"].n_unique() / rows.height


def try_allocations(spec: DatasetSpec, seeds: pl.DataFrame, test: pl.DataFrame) -> dict[str, float]:
    """Return the accuracy of the mix after two rounds, the second targeted or uniform, the first the same for both."""
    once = spec.student.model_copy(update={"runs": 1})  # the whole mix alone is looked at, and that knows no draws
    two = spec.model_copy(update={"rounds": 2, "student": once})
    first_plan = plan(two, seeds)
    first = generate(two, seeds, first_plan)
    real, steering = (seeds.filter(pl.col("split") == split) for split in (TRAIN, STEERING))
    report = measure_student(real, first, put_beside(real, first), steering, two)
    reviewed = pl.DataFrame(schema={"stratum": pl.String, "n_reviewed": pl.Int64, "defects": pl.Int64})
    lesson = learn_feedback(report.metrics, reviewed, first_plan.strata)
    found = {}
    for allocation in ("targeted", "uniform"):
        generation = two.generation.model_copy(update={"allocation": allocation})
        arm = two.model_copy(update={"generation": generation})
        second = generate(arm, seeds, plan(arm, seeds, "r001", first, lesson), first)
        scores = score(arm, seeds, pl.concat([first, second]), test)
        found |= {allocation: scores["mix"], f"{allocation}, tuned": scores["mix_weighted"]}
    return found


def tell(points: dict[str, list[float]], options: argparse.Namespace) -> None:
    print(f"\n{options.file.name}, {options.per_class} real rows a class, {options.seeds} seeds, "
          f"{options.generation}, accuracy on held-out real rows")  # fmt: skip
    print(f"{'synthetic rows':<34}{np.mean(points['synthetic rows']):,.0f}")
    print(f"{'real rows alone':<34}{np.mean(points['trtr']):.4f}")
    for arm in ARMS:
        if arm in points:
            tell_difference(TOLD[arm], points[arm], points["trtr"])
    for suffix in ("", ", tuned"):
        if f"targeted{suffix}" in points:
            name = f"targeted over uniform{suffix}"
            tell_difference(name, points[f"targeted{suffix}"], points[f"uniform{suffix}"])
    print(f"{'weight that steering rows chose':<34}{', '.join(f'{weight:g}' for weight in points['weight'])}")
    copies, usual = np.mean(points["near copies"]), np.mean(points["near copies, real"])
    print(f"{'near copies of training rows':<34}{copies:.2%} of the synthetic rows, {usual:.2%} of held-out real rows")


def tell_difference(name: str, values: list[float], base: list[float]) -> None:
    gaps = 100 * (np.array(values) - np.array(base))
    reach = t.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / np.sqrt(len(gaps)) if len(gaps) > 1 else np.nan
    print(f"{name:<34}{np.mean(values):.4f}   {gaps.mean():+.2f} points, 95 % interval "
          f"{gaps.mean() - reach:+.2f} … {gaps.mean() + reach:+.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
