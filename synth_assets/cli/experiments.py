"""Experiments on the user's own data: `synth collapse` and `synth mix`.

Here: what they read, print and write. Not here: the experiments (monitoring/experiments), their pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.table import Table

from synth_assets.cli.preview import read_split_seeds
from synth_assets.discriminators.cascade import Cascade, Known
from synth_assets.errors import GateError, SpecError
from synth_assets.generation.engines import fit_embedded, resolve_generator
from synth_assets.generation.planner import Pins, plan_round
from synth_assets.generation.requests import build_requests
from synth_assets.generation.waves import as_candidates
from synth_assets.monitoring.experiment_plots import plot_experiment, plot_sweep
from synth_assets.monitoring.experiments.collapse import (
    compare_policies,
    explain_claim,
    run_collapse,
    summarize_runs,
)
from synth_assets.monitoring.experiments.material import read_material
from synth_assets.monitoring.experiments.mix import SHARES, explain_sweep, run_mix, summarize_sweep
from synth_assets.monitoring.experiments.policies import PLATFORM, UNFILTERED, Policy, list_policies, name_share
from synth_assets.project import Project
from synth_assets.records import RELEASABLE, STEERING, SYNTHETIC, TRAIN, apportion
from synth_assets.spec import DatasetSpec

_SHOWN = {
    "perplexity": "perplexity of real text",
    "distinct_2": "distinct-2 of the corpus",
    "written_distinct_2": "distinct-2 written",
    "spread": "spread of the corpus",
    "written_entropy": "entropy written",
    "rare_value_coverage": "rare values written",
}
_CHANGED = ("distinct_2", "written_distinct_2", "written_entropy")  # told as changes against the real rows
_WAVES = 4


def experiment_collapse(
    console: Console,
    project: Project,
    dataset: str,
    *,
    generations: int,
    seeds: int,
    temperatures: Sequence[float],
    rows: int | None,
    out: Path | None,
) -> None:
    """Run the collapse experiment, print its table and what it says, and write tables and picture to a folder."""
    spec = project.spec(dataset)
    if any(temperature <= 0 for temperature in temperatures):
        raise SpecError("--temperature must be above 0, such as 0.8")
    with console.status("reading") as status:
        material = read_material(spec, read_split_seeds(project, dataset), project.root)
        policies = list_policies(spec.mix)
        runs = run_collapse(
            material, spec, policies, generations=generations, seeds=seeds, temperatures=temperatures, size=rows,
            report=status.update,
        )  # fmt: skip
    summary = summarize_runs(runs)
    shown = {name: label for name, label in _SHOWN.items() if name in summary["measure"]}
    kind = "a trigram model" if spec.text_fields else "the embedded tabular engine"
    console.print(
        f"{dataset}: {material.count(material.real):,} real training rows, {seeds} seeds; every generation is written "
        f"by {kind} fitted on the corpus of the one before",
        highlight=False,
    )
    for temperature in temperatures:
        _print_generation(console, summary.filter(pl.col("temperature") == temperature), policies, shown, generations)
    contrasts = pl.concat(
        compare_policies(runs, PLATFORM, rival).with_columns(platform_less=pl.lit(rival))
        for rival in (name_share(1 - spec.mix.share), UNFILTERED)
    )
    _print_contrasts(console, contrasts.filter(pl.col("generation") == generations), policies, shown)
    console.print(explain_claim(summary, policies, material.variety, _SHOWN[material.variety]), highlight=False)
    picture = plot_experiment(summary, policies, list(shown.items()), claimed=material.variety)
    _write(
        console, out or project.reports / dataset / "collapse", "collapse",
        {"runs": runs, "summary": summary, "contrasts": contrasts}, picture.png,
    )  # fmt: skip


def _print_generation(
    console: Console, summary: pl.DataFrame, policies: Sequence[Policy], shown: Mapping[str, str], last: int
) -> None:
    temperature = summary["temperature"][0]
    table = Table(box=None, title=f"temperature {temperature:g}, generation {last}", title_justify="left")
    table.add_column("policy", no_wrap=True)
    for label in shown.values():
        table.add_column(label, justify="right", max_width=16)
    values = {(row["policy"], row["generation"], row["measure"]): row for row in summary.iter_rows(named=True)}
    first = policies[0].name
    table.add_row("real rows", *(_tell(values[first, 0, measure], "value") for measure in shown))
    for policy in policies:
        cells = [
            _tell(values[policy.name, last, measure], "change" if measure in _CHANGED else "value") for measure in shown
        ]
        table.add_row(policy.label, *cells)
    console.print(table)


def _tell(row: Mapping[str, Any], column: str) -> str:
    if row[column] is None:
        return "–"
    share = column == "change"
    value = f"{row[column]:+.0%}" if share else _round(row[column])
    low, high = row[f"{column}_low"], row[f"{column}_high"]
    if low is None or not row["generation"]:
        return value
    reach = (high - low) / 2
    return f"{value} ± {100 * reach:.1f}" if share else f"{value} ± {_round(reach)}"


def _round(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _print_contrasts(
    console: Console, contrasts: pl.DataFrame, policies: Sequence[Policy], shown: Mapping[str, str]
) -> None:
    labels = {policy.name: policy.label for policy in policies}
    for row in contrasts.filter(pl.col("measure").is_in(list(shown))).iter_rows(named=True):
        ends = "" if row["low"] is None else f" [{row['low']:+.3g}, {row['high']:+.3g}]"
        console.print(
            f"platform less '{labels[row['platform_less']]}', temperature {row['temperature']:g}, "
            f"generation {row['generation']}: {shown[row['measure']]} {row['difference']:+.3g}{ends}",
            highlight=False,
        )


def experiment_mix(
    console: Console,
    project: Project,
    dataset: str,
    *,
    shares: Sequence[float] | None,
    seeds: int,
    rows: int | None,
    out: Path | None,
) -> None:
    """Sweep the synthetic share at a fixed total, print scores on steering rows, and write tables and picture."""
    spec, shares = project.spec(dataset), shares or SHARES
    if any(not 0 <= share <= 1 for share in shares):
        raise SpecError("--share must be between 0 and 1, such as 0.7")
    with console.status("reading") as status:
        seeds_rows = read_split_seeds(project, dataset)
        real = seeds_rows.filter((pl.col("split") == TRAIN) & (pl.col("disposition") == RELEASABLE))
        steering = seeds_rows.filter(pl.col("split") == STEERING)
        synthetic, source = _find_synthetic(project, spec, seeds_rows, real.height, status.update)
        sweep = run_mix(
            real, synthetic, steering, spec, shares=sorted({0.0, *shares}), seeds=seeds, total=rows, root=project.root,
            report=status.update,
        )  # fmt: skip
    summary = summarize_sweep(sweep)
    console.print(
        f"{dataset}: {source}; student {sweep.student} learns {sweep.field}, {sweep.total:,} rows in all, "
        f"{sweep.test_rows:,} steering rows, {seeds} seeds; sealed rows were not looked at",
        highlight=False,
    )
    table = Table("synthetic share", "real", "synthetic", sweep.score, "gain over the first, paired", box=None)
    for row in summary.iter_rows(named=True):
        ends = "" if row["gain_low"] is None else f" [{row['gain_low']:+.4f}, {row['gain_high']:+.4f}]"
        table.add_row(
            f"{row['share']:.0%}", f"{row['real']:,}", f"{row['synthetic']:,}", f"{row['score']:.4g}",
            "" if row["share"] == summary["share"][0] else f"{row['gain']:+.4f}{ends}",
        )  # fmt: skip
    console.print(table)
    console.print(explain_sweep(summary, sweep, spec.mix.share), highlight=False)
    _write(
        console, out or project.reports / dataset / "mix", "mix",
        {"runs": sweep.runs, "summary": summary}, plot_sweep(summary, sweep, spec.mix.share).png,
    )  # fmt: skip


def _find_synthetic(
    project: Project, spec: DatasetSpec, seeds: pl.DataFrame, wanted: int, report: Callable[[str], None]
) -> tuple[pl.DataFrame, str]:
    """Return the synthetic rows of the newest corpus; where there is none, rows made now."""
    rounds = project.lake.rounds("corpus", spec.name)
    if rounds:
        accepted = project.lake.read("corpus", spec.name, rounds[-1]).filter(pl.col("origin") == SYNTHETIC)
        if not accepted.is_empty():
            return accepted, f"{accepted.height:,} accepted synthetic rows of the corpus of {rounds[-1]}"
    report("generating")
    made = _generate(project, spec, seeds, wanted)
    return made, f"no round is accepted yet: {made.height:,} rows by the embedded engine, past its discriminators"


def _generate(project: Project, spec: DatasetSpec, seeds: pl.DataFrame, wanted: int) -> pl.DataFrame:
    """Return up to `wanted` rows of the embedded engine that pass the cascade, by stratum as the real rows are."""
    train = seeds.filter(pl.col("split") == TRAIN)
    plan = plan_round(spec, "r000", seeds, Pins("", "", ""), accepted_before={})
    engine = fit_embedded(spec, resolve_generator(spec), train)
    cascade = Cascade.build(spec, Known(seeds, project.root))
    strata = train.group_by("stratum").len().sort("stratum")
    targets = dict(zip(strata["stratum"], apportion(wanted, strata["len"].to_list()), strict=True))
    issued: dict[str, int] = {}
    kept: pl.DataFrame | None = None
    missing = dict(targets)
    for _ in range(_WAVES):
        asked = {stratum: 2 * number for stratum, number in missing.items() if number > 0}
        requests = build_requests(spec, "r000", train, asked, issued)
        candidates = as_candidates(spec, plan, requests, pl.concat(list(engine.generate(requests))), engine.info)
        kept = candidates.clear() if kept is None else kept
        survivors = cascade.judge(candidates, kept).survivors.select(candidates.columns)
        kept = pl.concat([kept, survivors])
        issued = {stratum: issued.get(stratum, 0) + asked.get(stratum, 0) for stratum in targets}
        have = dict(kept.group_by("stratum").len().iter_rows())
        missing = {stratum: number - have.get(stratum, 0) for stratum, number in targets.items()}
        if max(missing.values()) <= 0:
            break
    if kept is None or kept.is_empty():
        raise GateError(f"{spec.name}: no candidate passed the discriminators; `synth preview {spec.name}` says why")
    limit = pl.col("stratum").replace_strict(targets, return_dtype=pl.Int64)
    return kept.filter(pl.int_range(pl.len()).over("stratum") < limit)


def _write(console: Console, folder: Path, name: str, tables: Mapping[str, pl.DataFrame], picture: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for table, frame in tables.items():
        frame.write_csv(folder / f"{table}.csv")
        frame.write_parquet(folder / f"{table}.parquet")
    (folder / f"{name}.png").write_bytes(picture)
    console.print(f"written: {folder}", highlight=False, soft_wrap=True)
