"""Verifying a release: its files against the manifest, and the watermark in it or in any file.

Here: what `synth verify` does and prints. Not here: the search itself (provenance/marks.py).
"""

from __future__ import annotations

from pathlib import Path

import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from synth_assets.project import Project
from synth_assets.provenance.marks import Finding, require_key, search_file, search_release
from synth_assets.provenance.recalled import require_sound
from synth_assets.provenance.release import find_fingerprint, find_release

_FOUND = 1e-6  # a chance of one in a million that unmarked rows look like this


def verify_release(
    console: Console, project: Project, dataset: str, version: str | None, *, watermark: bool, records: Path | None
) -> None:
    """Check a release's files and, if asked, its marks; StoreError for a changed file or a recalled release."""
    release = find_release(project.releases, dataset, version)
    release.verify(find_fingerprint(project.lake, release))
    console.print(f"{dataset} {release.version}: {len(release.manifest['files'])} files as released", highlight=False)
    if watermark:
        spec = project.spec(dataset)
        key = require_key(project, spec)
        _tell(console, search_release(project, release, spec, key), key.key_id, records)
    require_sound(project.releases, release)


def verify_file(console: Console, project: Project, dataset: str, path: Path, records: Path | None) -> None:
    """Look for a data set's mark in a file."""
    spec = project.spec(dataset)
    key = require_key(project, spec)
    _tell(console, search_file(project, spec, key, path), key.key_id, records)


def _tell(console: Console, findings: list[Finding], key_id: str, records: Path | None) -> None:
    table = Table("rows", "mark in", "count", "scored", "green", "z", "p-value", "p < .01", box=None)
    for finding in findings:
        pooled, own = finding.detection.pooled, finding.detection.records
        table.add_row(
            escape(finding.rows),
            finding.mark,
            f"{pooled.records:,}",
            f"{pooled.scored:,}",
            f"{pooled.green:,}",
            "–" if pooled.z is None else f"{pooled.z:.2f}",
            f"{pooled.p_value:.2g}",
            f"{int((own['p_value'] < 0.01).sum()):,}",
        )
    console.print(table)
    for finding in findings:
        found = finding.detection.pooled.p_value < _FOUND
        told = "carry the mark" if found else "show no mark"
        console.print(f"{finding.rows} rows {told} of key {key_id}", highlight=False, markup=False)
    if records is not None:
        parts = [f.detection.records.with_columns(rows=pl.lit(f.rows), mark=pl.lit(f.mark)) for f in findings]
        pl.concat(parts, how="diagonal_relaxed").write_csv(records)
        console.print(f"row by row: {records}", highlight=False, markup=False)
