"""Recall from the command line: record it, rebuild the newest corpus without what it touched, release again.

Here: the order of jobs. Not here: what a recall touches (provenance/quarantine.py).
"""

from __future__ import annotations

from typing import Any

import polars as pl

from synth_assets.cli.runs import JobRunner
from synth_assets.errors import SynthError
from synth_assets.project import Project
from synth_assets.provenance.quarantine import KINDS
from synth_assets.provenance.release import find_release, list_releases


def recall_and_release(
    project: Project, jobs: JobRunner, dataset: str, kind: str, value: str, reason: str, who: str
) -> dict[str, Any]:
    """Return lines to print and the removed rows (example_id, origin) between the old and the new release."""
    from synth_assets.review.decisions import DecisionStore

    if kind not in KINDS:
        raise SynthError(f"'{kind}' cannot be recalled; write one of {', '.join(KINDS)}")
    DecisionStore(project.ops_url).quarantine(kind=kind, value=value, dataset=dataset, reason=reason, who=who)
    jobs.run("recall", dataset)
    lines = [f"recalled {kind} {value}"]
    empty = pl.DataFrame(schema={"example_id": pl.String, "origin": pl.String})
    if not list_releases(project.releases, dataset):
        return {"lines": [*lines, "nothing has been released yet: later rounds will leave it out"], "removed": empty}
    before = find_release(project.releases, dataset)
    round_ = before.manifest["round"]
    jobs.run("recall_rebuild", f"{dataset}|{round_}")
    jobs.run("release", f"{dataset}|{round_}")
    after = find_release(project.releases, dataset)
    removed = before.read().join(after.read(), on="example_id", how="anti").select("example_id", "origin")
    lines.append(f"release {before.version} is replaced by {after.version}")
    if before.version == after.version:
        lines.append("no row of the newest release was touched")
    return {"lines": lines, "removed": removed}
