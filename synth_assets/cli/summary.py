"""What the commands print: tables for people.

Here: reading the lake and rendering with rich. Not here: computing anything new.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from synth_assets.cli.preview import Draft
from synth_assets.discriminators.cascade import count_funnel
from synth_assets.errors import StoreError
from synth_assets.generation.estimate import Estimate
from synth_assets.generation.waves import KEPT
from synth_assets.monitoring.measures import REPORTS
from synth_assets.monitoring.sql_models import check_select
from synth_assets.project import Project
from synth_assets.provenance.recalled import read_recalled
from synth_assets.provenance.release import find_release, list_releases
from synth_assets.records import RELEASABLE, SYNTHETIC, content_text_expression
from synth_assets.spec import DatasetSpec
from synth_assets.store import Lake, open_sql

_PAIRS = 5
_TEXT_WIDTH = 110
_HEADLINES = {
    "shift_report": ("c2st_accuracy", "stratum_mix_tv"),
    "collapse_report": ("distinct_2", "rare_bigram_coverage", "rare_value_coverage"),
    "privacy_report": ("membership_auc", "near_copy_share", "close_record_share"),
    "student_report": ("trtr_accuracy", "tstr_accuracy", "mix_accuracy"),
}


def print_summary(console: Console, project: Project, dataset: str) -> None:
    """Print where a data set stands after its last closed round: funnel, pairs, numbers, trace, places."""
    lake, spec = project.lake, project.spec(dataset)
    closed = lake.rounds("round_close", dataset)
    if not closed:
        console.print(f"{dataset}: no round has been closed yet")
        return
    round_ = closed[-1]
    console.rule(f"{dataset} {round_}")
    _print_funnel(console, lake, dataset, round_)
    _print_pairs(console, lake, spec, round_)
    _print_numbers(console, lake, spec, round_)
    _print_places(console, project, dataset, round_)


def _print_funnel(console: Console, lake: Lake, dataset: str, round_: str) -> None:
    verdicts = lake.read("verdicts", dataset, round_)
    funnel = count_funnel(lake.require("candidates", dataset, round_).rows(), verdicts)
    table = Table("stage", "rows", "rejected for", box=None, title="funnel", title_justify="left")
    for stage, count, why in funnel.iter_rows():
        table.add_row(stage, f"{count:,}", escape(why))
    strata = lake.read("filtered", dataset, round_, "strata")
    kept, short = int(strata["kept"].sum()), int(strata["shortfall"].sum())
    table.add_row(
        "kept", f"{kept:,}", f"target {int(strata['target'].sum()):,}" + (f", {short:,} short" if short else "")
    )
    console.print(table)


def _print_pairs(console: Console, lake: Lake, spec: DatasetSpec, round_: str) -> None:
    seeds = lake.read("seeds", spec.name)
    candidates = lake.read("candidates", spec.name, round_)
    verdicts = lake.read("verdicts", spec.name, round_)
    refused = verdicts.filter(~pl.col("passed")).select("example_id", "discriminator", "reason")
    kept = lake.read("filtered", spec.name, round_).filter(pl.col("state") == KEPT).select("example_id")
    real = seeds.select(
        pl.col("example_id").alias("_seed"), _real=_show_content(spec), _open=pl.col("disposition") == RELEASABLE
    )
    shown = candidates.with_columns(_seed=pl.col("prompted_by").list.first(), _made=_show_content(spec)).join(
        real, on="_seed", how="left", maintain_order="left"
    )
    groups = {
        "accepted": shown.join(kept, on="example_id", how="semi", maintain_order="left"),
        "rejected": shown.join(refused, on="example_id", how="inner", maintain_order="left").unique(
            ["discriminator", "reason"], maintain_order=True
        ),
    }
    for verdict, rows in groups.items():
        table = Table(
            "stratum", "real exemplar", "synthetic", box=None, title=verdict, title_justify="left", show_lines=True
        )
        step = max(rows.height // _PAIRS, 1)
        for row in rows.gather_every(step).head(_PAIRS).to_dicts():
            because = f" [{row['discriminator']}: {row['reason']}]" if "reason" in row else ""
            real_text = row["_real"] if row["_open"] else "(private seed)"
            table.add_row(
                escape(str(row["stratum"])), escape(_cut(real_text)), escape(_cut(row["_made"])) + escape(because)
            )
        console.print(table)


def _print_numbers(console: Console, lake: Lake, spec: DatasetSpec, round_: str) -> None:
    corpus = lake.read("corpus", spec.name, round_)
    outcome = lake.read("review_outcome", spec.name, round_).row(0, named=True)
    synthetic = int((corpus["origin"] == SYNTHETIC).sum())
    table = Table("number", "value", box=None, title="numbers", title_justify="left", show_header=False)
    share = synthetic / max(corpus.height, 1)
    table.add_row("corpus", f"{corpus.height:,} rows, {synthetic:,} synthetic = {share:.1%} (allowed 60–80 %)")
    table.add_row("review", escape(_describe_review(outcome)))
    for name in REPORTS:
        version = lake.current(name, spec.name, round_)
        if version is not None:
            table.add_row(name, escape(_describe_report(version.read("metrics"), _HEADLINES[name])))
    sealed = lake.current("sealed_score", spec.name, round_)
    if sealed is not None:
        look = sealed.read("look")["look"].item()
        told = _describe_report(sealed.read("metrics"), _HEADLINES["student_report"])
        table.add_row("sealed_score", escape(f"look {look} at the sealed rows; {told}"))
    console.print(table)


def _describe_review(outcome: dict[str, Any]) -> str:
    who = "automated" if outcome["automated"] else "people"
    text = f"{outcome['decision']} by {who}: {outcome['defects']} defects in {outcome['n_reviewed']} reviewed"
    if outcome["certified"] and outcome["bound_high"] is not None:
        return f"{text}, defect rate certified below {outcome['bound_high']:.1%}"
    return f"{text}; certifies nothing"


def _describe_report(metrics: pl.DataFrame, headlines: tuple[str, ...]) -> str:
    ends = pl.col("metric").str.contains("_(low|high)$")
    whole = metrics.filter((pl.col("stratum") == "") & pl.col("value").is_not_null() & ~ends)
    chosen = whole.filter(pl.any_horizontal(pl.col("metric").str.starts_with(name) for name in headlines)).head(6)
    numbers = ", ".join(
        f"{row['metric']}{' ' + row['field'] if row['field'] else ''} {row['value']:.3f}" for row in chosen.to_dicts()
    )
    levels = dict(metrics.filter(pl.col("level") != "ok").group_by("level").len().iter_rows())
    flagged = ", ".join(f"{count} at {level}" for level, count in sorted(levels.items())) or "all ok"
    return f"{flagged}; {numbers}"


def _print_places(console: Console, project: Project, dataset: str, round_: str) -> None:
    corpus = project.lake.read("corpus", dataset, round_).filter(pl.col("origin") == SYNTHETIC)
    versions = list_releases(project.releases, dataset)
    if versions:
        release = find_release(project.releases, dataset)
        console.print(f"release  {release.path}", highlight=False)
        console.print(f'python   synth_assets.open_release("{dataset}")', highlight=False)
    if corpus.height:
        console.print(f"trace    synth trace {dataset} {corpus['example_id'][0]}", highlight=False)
    console.print("history  synth ui", highlight=False)


def print_waiting(console: Console, project: Project, dataset: str, round_: str) -> None:
    """Print what a waiting review needs."""
    spec, sample = project.spec(dataset), project.lake.read("review_sample", dataset, round_)
    minutes = int(sample["reviews"].sum()) * spec.review.minutes_per_item  # some rows are reviewed twice
    console.print(f"{dataset} {round_} waits for people: {sample.height} rows to review, about {minutes:.0f} minutes")
    console.print(f"  synth review {dataset} {round_}                          in a browser", highlight=False)
    console.print(
        f"  synth review {dataset} {round_} --reviewer YOU           one by one at this prompt", highlight=False
    )
    console.print(
        f"  synth review {dataset} {round_} --export items.csv       in a spreadsheet, then --import items.csv",
        highlight=False,
    )
    console.print(
        f"  synth run {dataset} --auto-review                    let a model decide (certifies nothing)",
        highlight=False,
    )


def print_preview(console: Console, spec: DatasetSpec, draft: Draft) -> None:
    """Print candidates with the verdict of each discriminator they reached."""
    candidates, verdicts = draft.candidates, draft.verdicts
    console.print(f"{draft.generator.generator_id} {draft.note}", style="dim", highlight=False, markup=False)
    for row in candidates.select("example_id", "stratum", _made=_show_content(spec)).to_dicts():
        console.print(f"[bold]{escape(row['stratum'])}[/bold]  {escape(row['_made'])}", highlight=False)
        for verdict in verdicts.filter(pl.col("example_id") == row["example_id"]).to_dicts():
            mark = "[green]passed[/green]" if verdict["passed"] else f"[red]{escape(verdict['reason'])}[/red]"
            score = f"score {verdict['score']:.3f}, threshold {verdict['threshold']:.3f}"
            console.print(
                f"    {verdict['discriminator']:<12} {mark}  {score}  {escape(verdict['evidence'][:90])}",
                highlight=False,
            )
    survived = candidates.height - verdicts.filter(~pl.col("passed")).height
    console.print(f"{survived} of {candidates.height} would pass; nothing was written", highlight=False)


def print_estimate(console: Console, spec: DatasetSpec, draft: Draft, estimate: Estimate) -> None:
    """Print what a round will take and what that rests on."""
    sample, currency = estimate.sample, spec.cost.currency
    rate = sample.output_tokens / sample.seconds if sample.seconds else 0.0
    table = Table("number", "value", box=None, show_header=False, title="dry run: nothing was written")
    table.title_justify = "left"
    table.add_row("generator", escape(draft.generator.generator_id))
    if draft.note:
        table.add_row("note", escape(draft.note))
    spent = f"{sample.output_tokens:,} tokens in {sample.seconds:.2f} s ({rate:,.0f} tokens/s)"
    table.add_row("sample", f"{sample.requests:,} requests, {spent}")
    interval = f"95 % interval {estimate.yield_low:.0%}–{estimate.yield_high:.0%}"
    falls = "it falls as a round finds more duplicates"
    table.add_row("yield", f"{estimate.yield_expected:.0%} accepted ({interval}); {falls}")
    table.add_row("target", f"{estimate.target:,} accepted rows")
    if estimate.requests is None:
        table.add_row("requests", "none of the sample was accepted: no estimate; look at `synth preview`")
    else:
        most = "unbounded" if estimate.most_requests is None else f"up to {estimate.most_requests:,}"
        table.add_row("requests", f"{estimate.requests:,} ({most} at the interval's lower end)")
        table.add_row("tokens", f"{estimate.tokens:,}")
        hours = f"{estimate.engine_hours:,.2f} engine hours (GPU-hours on one GPU)"
        table.add_row("time", f"{estimate.seconds:,.0f} s, {hours}")
        table.add_row("cost", f"{estimate.money:,.2f} {currency} by the prices in dataset.yaml")
    if estimate.limit:
        table.add_row("budget", f"budget.{estimate.limit} would end the round at about {estimate.accepted:,} accepted")
    console.print(table)
    rejected = draft.verdicts.filter(~pl.col("passed")).group_by("discriminator", "reason").len()
    for row in rejected.sort("len", descending=True).iter_rows():
        console.print(f"  rejected by {row[0]}: {row[1]} {row[2]:,}", highlight=False, markup=False)


def print_status(console: Console, project: Project, dataset: str | None) -> None:
    """Print one line a data set and round: what exists and what is next."""
    lake = project.lake
    table = Table("data set", "round", "kept", "review", "corpus", "share", "release", "next", box=None)
    names = [dataset] if dataset else project.datasets()
    for name in names:
        project.spec(name)
        rounds = lake.rounds("plan", name)
        if not rounds:
            table.add_row(name, "–", "", "", "", "", "", f"synth run {name}")
        recalled = read_recalled(project.releases, name).keys()
        for round_ in rounds:
            table.add_row(name, round_, *_status_of(lake, name, round_, recalled))
    console.print(table)


def _status_of(lake: Lake, dataset: str, round_: str, recalled: Collection[str]) -> tuple[str, ...]:
    filtered, outcome = lake.current("filtered", dataset, round_), lake.current("review_outcome", dataset, round_)
    corpus, release = lake.current("corpus", dataset, round_), lake.current("release", dataset, round_)
    closed = lake.current("round_close", dataset, round_)
    kept = f"{filtered.read().filter(pl.col('state') == KEPT).height:,}" if filtered else ""
    decision = outcome.read().row(0, named=True) if outcome else None
    judged = f"{decision['decision']}{' (automated)' if decision['automated'] else ''}" if decision else "open"
    rows = corpus.read() if corpus else None
    share = f"{(rows['origin'] == SYNTHETIC).mean():.1%}" if rows is not None and rows.height else ""
    version = release.read("manifest")["version"].item() if release else ""
    version += " (recalled)" if version in recalled else ""
    following = "" if closed else (f"synth review {dataset} {round_}" if filtered else f"synth run {dataset}")
    return kept, judged if filtered else "", f"{rows.height:,}" if rows is not None else "", share, version, following


def print_trace(console: Console, found: dict[str, Any]) -> None:
    """Print what is known of one example, section by section."""
    for section, content in found.items():
        console.print(f"[bold]{section}[/bold]", highlight=False)
        records = content if isinstance(content, list) else [content]
        if not records:
            console.print("  none")
        for record in records:
            if not isinstance(record, dict):
                console.print(f"  {record}", highlight=False, markup=False)
                continue
            private = section == "exemplars" and record.get("disposition") != RELEASABLE
            shown = {key: record[key] for key in ("example_id", "disposition")} if private else record
            for key, value in shown.items():
                console.print(f"  {key:<18} {value}", highlight=False, markup=False, soft_wrap=True)
            console.print()


def print_recall(console: Console, done: dict[str, Any]) -> None:
    """Print what a recall removed and which release replaces which."""
    for line in done["lines"]:
        console.print(line, highlight=False, markup=False)
    removed: pl.DataFrame = done["removed"]
    if removed.height:
        console.print(
            f"removed {removed.height:,} rows, by origin {dict(removed.group_by('origin').len().iter_rows())}"
        )
        for example_id in removed["example_id"].head(_PAIRS).to_list():
            console.print(f"  {example_id}", highlight=False)


def print_query(console: Console, lake: Lake, query: str) -> None:
    """Run SQL over the lake and print the result; StoreError with DuckDB's message if it fails."""
    import duckdb

    check_select(query)
    with open_sql(lake) as connection:
        try:
            frame = connection.sql(query).pl()
        except duckdb.Error as error:
            raise StoreError(f"this query failed: {error}") from error
    with pl.Config(
        tbl_rows=100, tbl_cols=30, fmt_str_lengths=80, tbl_width_chars=console.width, tbl_hide_dataframe_shape=True
    ):
        console.print(str(frame), highlight=False, markup=False, soft_wrap=True)
    console.print(f"{frame.height:,} rows")


def _show_content(spec: DatasetSpec) -> pl.Expr:
    """Return a record in one line: its free text, or its first fields where there is none."""
    if spec.text_fields:
        return content_text_expression(spec).str.replace_all(r"\s+", " ")
    names = [field.name for field in spec.content_fields[:4]]
    return pl.concat_str(
        [pl.format(f"{name}={{}}", pl.col(name).cast(pl.String).fill_null("")) for name in names], separator=" "
    )


def _cut(text: str | None) -> str:
    text = text or ""
    return text if len(text) <= _TEXT_WIDTH else text[: _TEXT_WIDTH - 1] + "…"
