"""Drift over time: a release against the newest real data and against the release before it.

Here: which comparisons the scheduled sweep makes. Not here: the statistics (shift.py), alerts (alerts.py).
"""

from __future__ import annotations

import polars as pl

from synth_assets.monitoring.measures import LEVELS, Metric, Report, build_report
from synth_assets.monitoring.shift import measure_shift
from synth_assets.records import REAL, SYNTHETIC, add_real_ids
from synth_assets.spec import DatasetSpec

_LEAST_ROWS = 20


def sweep_drift(
    spec: DatasetSpec, release: pl.DataFrame, monitored: pl.DataFrame, previous: pl.DataFrame | None
) -> Report:
    """Compare a release (all rows) with monitor rows (raw rows without ids) and with the release before.

    Metric names carry the comparison: monitor/… and previous/…; with fewer than 20 monitor rows there is no
    comparison, and a note says so.
    """
    compared = release.with_columns(pl.lit(SYNTHETIC).alias("origin"))
    parts: dict[str, Report] = {}
    if monitored.height >= _LEAST_ROWS:
        newest = add_real_ids(monitored, spec)
        parts["monitor"] = measure_shift(newest, compared, spec, plan=None)
    else:
        note = f"{monitored.height} rows in monitor/; {_LEAST_ROWS} are needed"
        parts["monitor"] = build_report([Metric("shift", note=note)], [], spec.quality.shift_level)
    if previous is not None:
        parts["previous"] = measure_shift(
            previous.with_columns(pl.lit(REAL).alias("origin")), compared, spec, plan=None
        )
    return Report(
        metrics=pl.concat(
            [r.metrics.with_columns(pl.format(f"{name}/{{}}", "metric").alias("metric")) for name, r in parts.items()]
        ),
        examples=pl.concat([r.examples for r in parts.values()]),
        passed=all(r.passed for r in parts.values()),
        level=max((r.level for r in parts.values()), key=LEVELS.index),
    )
