"""Alerts: telling somebody outside that a release has drifted, or that a review waits for too long.

Here: the optional webhook and what it is sent. Not here: what counts as drift (drift.py) or as overdue (the sensor).
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import polars as pl

from synth_assets.errors import SynthError
from synth_assets.monitoring.measures import LEVELS, OK, Report
from synth_assets.spec import DatasetSpec

_TIMEOUT_SECONDS = 10
_TOLD, _SHOWN = 5, 20


def describe_moved(report: Report) -> list[str]:
    """Return a line for each metric that is not ok, the worst first: what moved, how far, from where it counts."""
    worst = pl.col("level").replace_strict({level: i for i, level in enumerate(LEVELS)}, return_dtype=pl.Int8)
    moved = report.metrics.filter(pl.col("level") != OK).sort(worst, descending=True, maintain_order=True)
    return [
        f"{row['metric']}{' of ' + row['field'] if row['field'] else ''}"
        f"{' in ' + row['stratum'] if row['stratum'] else ''} {row['value']:.3g}"
        f"{'' if row['threshold'] is None else ', from ' + format(row['threshold'], '.3g')} ({row['level']})"
        for row in moved.to_dicts()
    ]


def send_alert(spec: DatasetSpec, version: str, report: Report) -> bool:
    """POST what moved as JSON to the spec's webhook; False without one. SynthError if the address does not take it."""
    moved = report.metrics.filter(pl.col("level") != OK)
    columns = ["metric", "field", "stratum", "value", "threshold", "level", "note"]
    body = {
        "event": "drift",
        "text": f"{spec.name} {version}: {'; '.join(describe_moved(report)[:_TOLD])}",
        "dataset": spec.name,
        "release": version,
        "level": report.level,
        "moved": moved.select(columns).to_dicts(),
        "examples": report.examples.head(_SHOWN).to_dicts(),
    }
    return _post(spec, body)


def alert_overdue(spec: DatasetSpec, round_: str, days: float) -> bool:
    """POST that the review of a round is open for so many days, and how to go on, as send_alert does."""
    command = f"synth review {spec.name} {round_}"
    body = {"event": "overdue_review", "dataset": spec.name, "round": round_, "days": round(days, 2), "next": command}
    return _post(spec, body)


def _post(spec: DatasetSpec, body: dict[str, Any]) -> bool:
    if spec.webhook is None:
        return False
    request = urllib.request.Request(  # noqa: S310 - the spec allows http and https only
        spec.webhook,
        data=json.dumps(body, default=str).encode(),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS):  # noqa: S310
            return True
    except (urllib.error.URLError, TimeoutError) as error:
        raise SynthError(f"{spec.name}: webhook {spec.webhook} did not take the alert: {error}") from error
