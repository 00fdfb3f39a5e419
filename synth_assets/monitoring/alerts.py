"""Alerts: telling somebody outside that a release has drifted.

Here: the optional webhook. Not here: what counts as drift (drift.py).
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import polars as pl

from synth_assets.errors import SynthError
from synth_assets.monitoring.measures import Report
from synth_assets.spec import DatasetSpec

_TIMEOUT_SECONDS = 10


def send_alert(spec: DatasetSpec, version: str, report: Report) -> bool:
    """POST what moved as JSON to the spec's webhook; False without one. SynthError if the address does not take it."""
    if spec.webhook is None:
        return False
    moved = report.metrics.filter(pl.col("level") != "ok")
    columns = ["metric", "field", "stratum", "value", "threshold", "level", "note"]
    body = {
        "dataset": spec.name,
        "release": version,
        "level": report.level,
        "moved": moved.select(columns).to_dicts(),
        "examples": report.examples.head(10).to_dicts(),
    }
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
