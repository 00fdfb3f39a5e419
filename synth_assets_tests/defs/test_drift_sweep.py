"""The daily sweep as the daemon runs it: the real scheduler with a moved clock, a real run, a real webhook."""

from __future__ import annotations

import datetime as dt
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
import yaml
from dagster._core.test_utils import create_test_daemon_workspace_context, freeze_time, wait_for_runs_to_finish
from dagster._core.workspace.load_target import PythonFileTarget
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from dagster._scheduler.scheduler import launch_scheduled_runs

from synth_assets.project import Project
from synth_assets_tests.projects import Runner, write_settings

pytestmark = pytest.mark.slow

DAY = dt.datetime(2026, 12, 1, tzinfo=dt.UTC)
CODE = """
from synth_assets.definitions import build_defs
from synth_assets.defs.resources import Platform

defs = build_defs(platform=Platform(root={root!r}))
"""


@contextmanager
def listen(answer: int = 200) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield the address of a local HTTP server and the JSON bodies it was sent."""
    bodies: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(answer)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", bodies
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def prepare(project: Project, webhook: str, *, channel: str | None, rows: int) -> list[tuple[str, int]]:
    """Let monitor/ hold released real rows again, of this channel where one is named; return file and lines."""
    folder = project.seed_folder("mini")
    settings = yaml.safe_load((folder / "dataset.yaml").read_text(encoding="utf-8"))
    write_settings(project.root, {**settings, "webhook": webhook})
    for path in (folder / "monitor").iterdir():
        path.unlink()
    corpus = project.lake.read("corpus", "mini", "r000")
    newest = corpus.sample(rows, with_replacement=True, seed=1).with_columns(id=pl.format("n{}", pl.int_range(rows)))
    if channel is not None:
        newest = newest.with_columns(channel=pl.lit(channel))
    newest = newest.select("id", "text", "intent", "channel", "urgency").with_columns(private=pl.lit(False))
    newest.write_ndjson(folder / "monitor" / "2026-12.jsonl")
    return [("monitor/2026-12.jsonl", line) for line in range(1, rows + 1)]


def tick(runner: Runner, folder: Path, times: list[dt.datetime]) -> list[int]:
    """Let the daemon's scheduler look at these times, one after the other; return how many runs there were then.

    The daemon's queue then starts them, and they are waited for.
    """
    code = folder / "code.py"
    code.write_text(CODE.format(root=str(runner.project.root)), encoding="utf-8")
    target = PythonFileTarget(python_file=str(code), attribute=None, working_directory=None, location_name="mini")
    counts, iterations = [], {}
    with create_test_daemon_workspace_context(target, runner.instance) as workspace:
        for time in times:
            with freeze_time(time):
                list(launch_scheduled_runs(workspace, logging.getLogger("test"), time, iterations))
            counts.append(len(runner.instance.get_runs()))
        with QueuedRunCoordinatorDaemon(interval_seconds=1) as queue:
            list(queue.run_iteration(workspace))
        wait_for_runs_to_finish(runner.instance, timeout=200)
    return counts


def read_log(instance: dg.DagsterInstance, run: dg.DagsterRun, level: int) -> str:
    records = instance.all_logs(run.run_id)
    return "\n".join(record.user_message for record in records if record.level == level)


def test_a_shift_that_reaches_monitor_is_told_the_next_morning(released: Runner, tmp_path: Path) -> None:
    with listen() as (address, bodies):
        lines = prepare(released.project, address, channel="phone", rows=150)
        early, morning = DAY.replace(hour=4, minute=59), DAY.replace(hour=5, minute=1)
        counts = tick(released, tmp_path, [early, morning, morning + dt.timedelta(minutes=1)])
    assert counts == [0, 1, 1]
    run = released.instance.get_runs()[0]
    assert (run.status, run.tags["dagster/partition"]) == (dg.DagsterRunStatus.SUCCESS, "mini")

    assert "of channel" in read_log(released.instance, run, logging.WARNING)
    evaluation = next(
        record.asset_check_evaluation
        for record in released.instance.all_logs(run.run_id)
        if record.is_dagster_event and record.dagster_event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION
    )
    assert evaluation is not None
    assert not evaluation.passed
    assert evaluation.severity == dg.AssetCheckSeverity.WARN
    assert "channel" in str(evaluation.metadata["findings"].value)

    (body,) = bodies
    assert "channel" in body["text"]
    assert {moved["field"] for moved in body["moved"]} & {"channel", "urgency"} == {"channel"}
    shown = [example for example in body["examples"] if example["kind"] == "newest_row"]
    places = {f"{file} line {line}" for file, line in lines}
    assert shown and all(example["example_id"] for example in shown)
    assert all(example["note"].startswith("channel: 'phone'") for example in shown[:3])
    assert all(any(example["note"].endswith(place) for place in places) for example in shown[:3])


def test_an_unmoved_monitor_alerts_nobody(released: Runner) -> None:
    with listen() as (address, bodies):
        prepare(released.project, address, channel=None, rows=150)
        assert released.run("drift", "mini").success
    assert bodies == []
    assert set(released.project.lake.read("drift_sweep", "mini", None, "metrics")["level"]) == {"ok"}


def test_a_webhook_that_fails_loses_no_report(released: Runner) -> None:
    with listen(answer=500) as (address, bodies):
        prepare(released.project, address, channel="phone", rows=150)
        result = released.run("drift", "mini")
    assert result.success
    assert len(bodies) == 1
    (materialization,) = result.asset_materializations_for_node("drift_sweep")
    assert "did not take the alert" in str(materialization.metadata["webhook"].value)
    assert not released.project.lake.read("drift_sweep", "mini", None, "examples").is_empty()
