"""Drift over time: a release against the newest real data and against the release before it.

Here: which comparisons the scheduled sweep makes, and the newest rows that show what moved. Not here: the statistics
(shift), alerts (alerts.py).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from synth_assets.monitoring.diversity import TOKEN_PATTERN
from synth_assets.monitoring.features import find_fields, read_categories, read_numbers, read_text
from synth_assets.monitoring.measures import EXAMPLE_SCHEMA, LEVELS, OK, Metric, Report, build_report
from synth_assets.monitoring.shift import measure_shift
from synth_assets.records import REAL, SYNTHETIC, add_real_ids
from synth_assets.spec import DatasetSpec, FieldSpec

MONITOR, PREVIOUS = "monitor", "previous"
ROWS_A_FIELD = 3
_LEAST_ROWS = 20
_BINS = 10
_SIDES = {MONITOR: "real = newest, synthetic = release", PREVIOUS: "real = release before, synthetic = release"}


def sweep_drift(
    spec: DatasetSpec, release: pl.DataFrame, monitored: pl.DataFrame, previous: pl.DataFrame | None
) -> Report:
    """Compare a release (all rows) with monitor rows (raw rows without ids) and with the release before.

    Metric names carry the comparison: monitor/… and previous/…; with fewer than 20 monitor rows there is no
    comparison, and a note says so. Examples: of every field that moved newest rows that show it (newest_row, with
    file and line where the rows have them), then what measure_shift shows.
    """
    compared = release.with_columns(pl.lit(SYNTHETIC).alias("origin"))
    parts: dict[str, Report] = {}
    newest = add_real_ids(monitored, spec)
    if newest.height >= _LEAST_ROWS:
        parts[MONITOR] = measure_shift(newest, compared, spec, plan=None)
    else:
        note = f"{newest.height} rows in monitor/; {_LEAST_ROWS} are needed"
        parts[MONITOR] = build_report([Metric("shift", note=note)], [], spec.quality.shift_level)
    if previous is not None:
        before = previous.with_columns(pl.lit(REAL).alias("origin"))
        parts[PREVIOUS] = measure_shift(before, compared, spec, plan=None)
    shown = list(_show_newest(spec, newest, release, parts[MONITOR]))
    examples = [
        report.examples.with_columns(
            note=pl.concat_str(pl.lit(f"{name} ({_SIDES[name]})"), "note", separator=": ", ignore_nulls=True)
        )
        for name, report in parts.items()
    ]
    return Report(
        metrics=pl.concat(
            [r.metrics.with_columns(pl.format(f"{name}/{{}}", "metric").alias("metric")) for name, r in parts.items()]
        ),
        examples=pl.concat([pl.DataFrame(shown, schema=EXAMPLE_SCHEMA), *examples]),
        passed=all(r.passed for r in parts.values()),
        level=max((r.level for r in parts.values()), key=LEVELS.index),
    )


def _show_newest(
    spec: DatasetSpec, newest: pl.DataFrame, release: pl.DataFrame, report: Report
) -> Iterator[dict[str, object]]:
    """Yield, for every field that moved, newest rows from where they are more than the release's."""
    moved = set(report.metrics.filter((pl.col("level") != OK) & pl.col("value").is_not_null())["field"])
    strata = report.metrics.filter(pl.col("metric").str.starts_with("stratum_mix"), pl.col("level") != OK)
    moved |= set(spec.strata.by) if strata.height else set()
    placed = {"source_file", "source_line"} <= set(newest.columns)
    for field in find_fields(spec, newest, release):
        if field.name not in moved:
            continue
        rise, rows, where = _find_risen(field, newest, release)
        for row in rows[:ROWS_A_FIELD]:
            told = newest.row(int(row), named=True)
            place = f", {told['source_file']} line {told['source_line']}" if placed else ""
            yield {
                "kind": "newest_row",
                "example_id": told["example_id"],
                "value": rise,
                "note": f"{field.name}: {where}{place}",
            }


def _find_risen(field: FieldSpec, newest: pl.DataFrame, release: pl.DataFrame) -> tuple[float, np.ndarray, str]:
    """Return by how much the share of some values has risen, the newest rows that hold them, and which these are.

    Of text the words that the release lacks; of numbers a tenth of the range of ranks; else one value.
    """
    if field.is_free_text:
        tokens = [
            pl.DataFrame({"text": read_text(side, [field])}).select(
                pl.col("text").fill_null("").str.to_lowercase().str.extract_all(TOKEN_PATTERN)
            )["text"]
            for side in (newest, release)
        ]
        known = tokens[1].explode().drop_nulls().unique()
        share = tokens[0].list.eval(~pl.element().is_in(known.implode())).list.mean().fill_null(0.0).to_numpy()
        rows = np.argsort(-share, kind="stable")
        return float(share.mean()), rows[share[rows] > 0], "holds words that no released row does"
    if field.type in ("category", "boolean"):
        sides = [read_categories(side, field).to_numpy() for side in (newest, release)]
        names, codes = np.unique(np.concatenate(sides), return_inverse=True)
        labels = [f"'{name}'" for name in names]
    else:
        sides = [read_numbers(side, field) for side in (newest, release)]
        pooled = np.concatenate(sides)
        known = pooled[np.isfinite(pooled)]
        edges = np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1])) if len(known) else np.empty(0)
        codes = np.where(np.isnan(pooled), len(edges) + 1, np.searchsorted(edges, pooled, side="left"))
        ends = [f"{edge:g}" for edge in edges]
        labels = [f"above {low} up to {high}" for low, high in zip(["−∞", *ends], [*ends, "∞"], strict=True)]
        labels.append("missing")
    mine, theirs = np.split(codes, [len(sides[0])])
    shares = [np.bincount(part, minlength=len(labels)) / max(len(part), 1) for part in (mine, theirs)]
    best = int(np.argmax(shares[0] - shares[1]))
    told = f"{labels[best]} in {shares[0][best]:.1%} of the newest rows, {shares[1][best]:.1%} of the release"
    return float(shares[0][best] - shares[1][best]), np.flatnonzero(mine == best), told
