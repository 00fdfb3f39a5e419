"""Reviewing at the terminal or by file.

Here: showing items, reading keys, handing decisions to the store. Not here: sampling and statistics (review/).
"""

from __future__ import annotations

import time
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.markup import escape

from synth_assets.errors import SynthError
from synth_assets.project import Project
from synth_assets.review.controls import read_controls, shown_items
from synth_assets.review.decisions import DecisionStore
from synth_assets.review.label_studio import export_label_studio, import_label_studio
from synth_assets.review.spreadsheets import export_sample, import_decisions

_KEYS = {"a": "accept", "r": "reject", "f": "flag", "s": "skip"}
_SHOWN_REJECTS = 10


def review_at_prompt(console: Console, project: Project, dataset: str, round_: str, reviewer: str) -> None:
    """Show open items one by one and record a decision each, at once; q stops, what is decided stays decided."""
    if not reviewer:
        raise SynthError("who reviews? add --reviewer NAME; every decision is kept with a name")
    spec, store = project.spec(dataset), DecisionStore(project.ops_url)
    items = _open_items(project, store, dataset, round_, reviewer)
    console.print(f"{items.height} open items; a accept, r reject, f flag, s skip, q stop", highlight=False)
    for number, row in enumerate(items.to_dicts(), start=1):
        console.rule(f"{number}/{items.height}  {escape(row['stratum'])}")
        for field in spec.content_fields:
            console.print(f"[dim]{field.name}[/dim]  {escape(str(row[field.name]))}", highlight=False)
        shown = time.monotonic()
        key = _ask(console)
        if key == "q":
            return
        reason = console.input("reason: ").strip() if key in ("r", "f") else ""
        decision = {
            "dataset": dataset,
            "round": round_,
            "example_id": row["example_id"],
            "reviewer": reviewer,
            "reviewer_kind": "human",
            "decision": _KEYS[key],
            "reason": reason,
            "seconds": time.monotonic() - shown,
            "item_version": row["content_id"],
        }
        store.record(pl.DataFrame([decision]))


def export_items(project: Project, dataset: str, round_: str, path: Path) -> int:
    """Write the sample with its content to a .csv or .jsonl for reviewing elsewhere; return the number of items."""
    sample, content = _read_items(project, dataset, round_)
    if path.suffix == ".json":
        export_label_studio(sample, content, path, DecisionStore(project.ops_url).effective(dataset, round_))
    else:
        export_sample(sample, content, path)
    return sample.height


def import_items(console: Console, project: Project, dataset: str, round_: str, path: Path) -> None:
    """Record the decisions of a file; lines that are none are named and change nothing."""
    sample = project.lake.read("review_sample", dataset, round_)
    read = import_label_studio if path.suffix == ".json" else import_decisions
    found, rejected = read(path, dataset, round_, sample)
    stored = DecisionStore(project.ops_url).record(found)
    console.print(f"{found.height} decisions read, {stored} new; {rejected.height} lines left out", highlight=False)
    for row in rejected.head(_SHOWN_REJECTS).to_dicts():
        console.print(f"  {row}", highlight=False, markup=False, style="yellow")


def _open_items(project: Project, store: DecisionStore, dataset: str, round_: str, reviewer: str) -> pl.DataFrame:
    sample, content = _read_items(project, dataset, round_)
    mine = store.effective(dataset, round_).filter((pl.col("reviewer") == reviewer) & (pl.col("decision") != "skip"))[
        "example_id"
    ]
    waiting = sample.sort("priority").filter(~pl.col("example_id").is_in(mine.implode()))
    return waiting.select("example_id", "stratum").join(content, on="example_id", maintain_order="left")


def _read_items(project: Project, dataset: str, round_: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the sample, and what may be seen of its items."""
    version = project.lake.require("review_sample", dataset, round_)
    spec, rows = project.spec(dataset), project.lake.read("filtered", dataset, round_)
    return version.read(), shown_items(rows, read_controls(version, spec), spec)


def _ask(console: Console) -> str:
    while True:
        try:
            key = console.input("a/r/f/s/q: ").strip().lower()[:1]
        except EOFError:
            return "q"
        if key in _KEYS or key == "q":
            return key
