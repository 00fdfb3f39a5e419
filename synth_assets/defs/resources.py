"""The one resource of the platform, and committing an asset's tables to the lake.

Here: access to the project from assets, checks and sensors; what every materialization reports. Not here: any asset.
"""

from __future__ import annotations

import platform as machine
from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import version
from typing import Any

import dagster as dg
import polars as pl

from synth_assets.defs.partitions import split_key
from synth_assets.monitoring.plots import Picture
from synth_assets.project import Project, find_project
from synth_assets.provenance.quarantine import KINDS
from synth_assets.review.decisions import DecisionStore
from synth_assets.spec import DatasetSpec
from synth_assets.store import ROWS, Lake, Version

OWNERS = ["team:data-platform"]
DATA_KINDS = {"polars", "parquet"}
_SHOWN_ROWS = 5
_SHOWN_CHARS = 80


class Platform(dg.ConfigurableResource):
    """The project folder as a resource. An empty root means: the project around the working directory."""

    root: str = ""

    @cached_property
    def project(self) -> Project:
        from pathlib import Path

        return Project(Path(self.root)) if self.root else find_project()

    @property
    def lake(self) -> Lake:
        return self.project.lake

    @property
    def decisions(self) -> DecisionStore:
        return DecisionStore(self.project.ops_url)

    def spec(self, dataset: str) -> DatasetSpec:
        return self.project.spec(dataset)

    def quarantine(self, dataset: str) -> pl.DataFrame:
        """Return the active quarantine entries from the lake's snapshot: kind, value (empty where there is none)."""
        snapshot = self.lake.current("quarantine", dataset)
        if snapshot is None:
            return pl.DataFrame(schema={"kind": pl.String, "value": pl.String})
        return snapshot.read().filter(pl.col("kind").is_in(KINDS))


def commit(
    context: dg.AssetExecutionContext,
    platform: Platform,
    asset: str,
    tables: Mapping[str, pl.DataFrame] | pl.DataFrame,
    *,
    ledger: Mapping[str, pl.DataFrame] | None = None,
    meta: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> dg.MaterializeResult:
    """Write a version of an asset for the run's partition and return what Dagster shows of it.

    The data version is the content digest; row count, column schema, first rows and path are always reported.
    """
    dataset, round_ = split_key(context.partition_key)
    notes = {"run": context.run.run_id, "versions": library_versions(), **(meta or {})}
    written = platform.lake.write(asset, dataset, round_, tables, ledger=ledger, meta=notes)
    shown = written.read(ROWS if ROWS in written.manifest["tables"] else next(iter(written.manifest["tables"])))
    counts = {f"rows_{name}": entry["rows"] for name, entry in written.manifest["tables"].items() if name != ROWS}
    return dg.MaterializeResult(
        asset_key=asset,
        data_version=dg.DataVersion(written.digest),
        metadata={
            "dagster/row_count": shown.height,
            "dagster/column_schema": describe_columns(shown),
            "path": dg.MetadataValue.path(str(written.path)),
            "first_rows": dg.MetadataValue.md(to_markdown(shown.head(_SHOWN_ROWS))),
            **counts,
            **(metadata or {}),
        },
    )


def describe_columns(frame: pl.DataFrame) -> dg.TableSchema:
    """Return a frame's columns and polars types for Dagster."""
    return dg.TableSchema([dg.TableColumn(name, str(dtype)) for name, dtype in frame.schema.items()])


def to_markdown(frame: pl.DataFrame) -> str:
    """Return a frame as a Markdown table with cells cut short; for people, not for parsing."""
    if not frame.columns:
        return "(no columns)"
    head = "| " + " | ".join(frame.columns) + " |\n|" + "---|" * len(frame.columns)
    lines = ["| " + " | ".join(_cell(value) for value in row) + " |" for row in frame.iter_rows()]
    return "\n".join([head, *lines])


def plot_markdown(title: str, picture: Picture) -> dg.MarkdownMetadataValue:
    """Return a picture for display inside the UI."""
    import base64

    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{base64.b64encode(picture.png).decode()})")


def library_versions() -> dict[str, str]:
    """Return the versions that may matter for repeating a run."""
    names = ("synth-assets", "dagster", "polars", "duckdb", "numpy", "scikit-learn")
    return {"python": machine.python_version(), **{name: version(name) for name in names}}


def pins(**versions: Version | None) -> dict[str, str]:
    """Return asset_digest entries for a manifest's meta."""
    return {f"{name}_digest": found.digest for name, found in versions.items() if found is not None}


def _cell(value: object) -> str:
    text = "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    text = text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"
    for character, escaped in (("\\", "\\\\"), ("|", "\\|"), ("\n", " "), ("<", "&lt;"), ("`", "\\`")):
        text = text.replace(character, escaped)
    return text
