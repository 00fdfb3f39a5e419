"""Recall from the command line: record it, rebuild the newest corpus without what it touched, release again.

Here: what may be recalled, the order of jobs. Not here: what a recall touches (provenance/quarantine.py).
"""

from __future__ import annotations

from typing import Any

import polars as pl

from synth_assets.cli.runs import JobRunner
from synth_assets.errors import SynthError
from synth_assets.project import Project
from synth_assets.provenance.quarantine import KINDS
from synth_assets.provenance.recalled import read_recalled
from synth_assets.provenance.release import find_release, list_releases
from synth_assets.review.decisions import DecisionStore
from synth_assets.store import Lake


def recall_and_release(
    project: Project, jobs: JobRunner, dataset: str, kind: str, value: str, reason: str, who: str, *, lift: bool = False
) -> dict[str, Any]:
    """Return lines to print and the removed rows (example_id, origin) between the old and the new release.

    SynthError for what made or is no row of the data set, and where nothing can replace a release: then the recall is
    in force all the same, and the release marked.
    """
    if kind not in KINDS:
        raise SynthError(f"'{kind}' cannot be recalled; write one of {', '.join(KINDS)}")
    store = DecisionStore(project.ops_url)
    if lift:
        if not store.lift_quarantine(kind=kind, value=value, dataset=dataset, reason=reason, who=who):
            raise SynthError(f"{dataset}: no recall of {kind} {value} is in force")
    else:
        value = _resolve(project.lake, store, dataset, kind, value)
        store.quarantine(kind=kind, value=value, dataset=dataset, reason=reason, who=who)
    jobs.run("recall", dataset)
    lines = [f"{'lifted the recall of' if lift else 'recalled'} {kind} {value}"]
    empty = pl.DataFrame(schema={"example_id": pl.String, "origin": pl.String})
    if not list_releases(project.releases, dataset):
        return {"lines": [*lines, "nothing has been released yet: later rounds will leave it out"], "removed": empty}
    lines += [f"release {version}: {one}" for version, one in read_recalled(project.releases, dataset).items()]
    before = find_release(project.releases, dataset)
    try:
        rebuild(jobs, dataset, before.manifest["round"])
    except SynthError as error:
        told = "\n".join(lines)
        raise SynthError(f"{told}\nin force, but no release could be made without those rows: {error}") from error
    after = find_release(project.releases, dataset)
    removed = before.read().join(after.read(), on="example_id", how="anti").select("example_id", "origin")
    replaced = f"{before.version} is replaced by {after.version}"
    lines.append("no row of the newest release was touched" if before.version == after.version else replaced)
    return {"lines": lines, "removed": removed}


def rebuild(jobs: JobRunner, dataset: str, round_: str) -> None:
    """Make a closed round's corpus and reports again without what was recalled, and release it."""
    jobs.run("recall_rebuild", f"{dataset}|{round_}")
    jobs.run("release", f"{dataset}|{round_}")


def _resolve(lake: Lake, store: DecisionStore, dataset: str, kind: str, value: str) -> str:
    """Return the value as recalls keep it (of a seed its example_id); SynthError if nothing in the data set has it."""
    named = (pl.col("example_id") == value) | (pl.col("content_id") == value)
    read = lake.current("raw_seeds", dataset)
    if kind in ("seed", "example") and read is not None:
        rows = read.scan().filter(named).select("example_id").collect()
        if rows.height:
            return rows["example_id"][0] if kind == "seed" else value
    known: set[str] = set()
    for round_ in lake.rounds("candidates", dataset):
        made, outcome = lake.require("candidates", dataset, round_), lake.current("review_outcome", dataset, round_)
        frames = [made.scan()]
        if outcome is not None and "edited" in outcome.manifest["tables"]:
            frames.append(outcome.scan("edited"))
        if kind == "reviewer":
            frames = [store.decisions(dataset, round_).lazy()]
            frames += [] if outcome is None else [outcome.scan("decisions")]
        column = {"model": "generator_id", "prompt": "prompt_id", "reviewer": "reviewer"}.get(kind)
        for frame in frames:
            if column is not None:
                known |= set(frame.select(pl.col(column).unique()).collect()[column])
            elif kind == "example" and frame.filter(named).head(1).collect().height:
                return value
    if value in known:
        return value
    there = f"there are {_list(known)}" if known else "`synth trace` and `synth sql` show the ids"
    raise SynthError(f"{dataset}: nothing comes of the {kind} '{value}'; {there}")


def _list(names: set[str]) -> str:
    shown = sorted(name for name in names if name)
    return ", ".join(shown[:10]) + (" …" if len(shown) > 10 else "") or "none"
