"""What starts by itself, and what waits for somebody to say what it may cost."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import build_sensor_context, instance_for_test

from synth_assets.defs import automation
from synth_assets.defs.automation import finished_review, next_round, seed_files
from synth_assets.defs.resources import Platform
from synth_assets_tests.projects import Runner, make_project

SERVER = {"engine": "server", "model": "some-model", "server": {"urls": ["http://127.0.0.1:9/v1"]}}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with instance_for_test(temp_dir=str(tmp_path)) as made:
        yield made


def evaluate_next_round(root: Path, instance: dg.DagsterInstance, settings: dict[str, Any]) -> dg.SensorResult:
    """Read the seeds of a project with these settings and ask the sensor what to start."""
    project = make_project(root, change=lambda content: content.update(settings))
    instance.add_dynamic_partitions("dataset", ["mini"])
    assert Runner(project, instance).run("seeds", "mini").success
    context = build_sensor_context(instance=instance)
    result = next_round(context, platform=Platform(root=str(project.root)))
    assert isinstance(result, dg.SensorResult)
    return result


def test_an_embedded_engine_starts_by_itself(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    result = evaluate_next_round(tmp_path / "project", instance, {})
    assert [request.partition_key for request in result.run_requests or []] == ["mini|r000"]


def test_seeds_are_read_once_after_a_change_of_settings_that_changes_no_row(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    project = make_project(tmp_path / "project")
    runner = Runner(project, instance)
    instance.add_dynamic_partitions("dataset", ["mini"])

    def asked() -> int:
        result = seed_files(build_sensor_context(instance=instance), platform=Platform(root=str(project.root)))
        assert isinstance(result, dg.SensorResult)
        return len(result.run_requests or [])

    for change in ("", "\n# a remark\n"):
        settings = project.seed_folder("mini") / "dataset.yaml"
        settings.write_text(settings.read_text(encoding="utf-8") + change, encoding="utf-8")
        assert asked() == 1
        assert runner.run("seeds", "mini").success
        assert asked() == 0


def test_a_language_model_without_a_budget_is_registered_and_waits(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    result = evaluate_next_round(tmp_path / "project", instance, {"generation": SERVER})
    assert not result.run_requests
    assert "set budget.tokens" in str(result.skip_reason)
    assert [list(request.partition_keys) for request in result.dynamic_partitions_requests or []] == [["r000"]]


def test_a_language_model_with_a_budget_starts_by_itself(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    result = evaluate_next_round(tmp_path / "project", instance, {"generation": SERVER, "budget": {"tokens": 10_000}})
    assert [request.partition_key for request in result.run_requests or []] == ["mini|r000"]


@pytest.fixture
def hook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An address that takes alerts, and what was posted there."""
    posted: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", posted
        server.shutdown()


def test_an_overdue_review_is_told_once_a_day_until_it_is_decided(
    tmp_path: Path,
    instance: dg.DagsterInstance,
    hook: tuple[str, list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, posted = hook
    settings = {"webhook": address, "review": {"overdue_days": 2}}
    project = make_project(tmp_path / "project", change=lambda content: content.update(settings))
    Runner(project, instance).take_round("r000", automated=False)
    cursor: str | None = None
    told = []
    for hours in (0, 47, 49, 60, 72, 74):
        later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)
        monkeypatch.setattr(automation, "_now", lambda later=later: later)
        context = build_sensor_context(instance=instance, cursor=cursor)
        result = finished_review(context, platform=Platform(root=str(project.root)))
        assert isinstance(result, dg.SensorResult)
        assert not result.run_requests
        cursor = result.cursor
        told.append(len(posted))
    assert told == [0, 0, 1, 1, 1, 2]
    assert posted[0] == {
        "event": "overdue_review",
        "dataset": "mini",
        "round": "r000",
        "days": 2.04,
        "next": "synth review mini r000",
    }


def test_an_address_that_takes_no_alert_stops_no_sensor(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"webhook": "http://127.0.0.1:9/", "review": {"overdue_days": 2}}
    project = make_project(tmp_path / "project", change=lambda content: content.update(settings))
    Runner(project, instance).take_round("r000", automated=False)
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=3)
    monkeypatch.setattr(automation, "_now", lambda: later)
    result = finished_review(build_sensor_context(instance=instance), platform=Platform(root=str(project.root)))
    assert isinstance(result, dg.SensorResult)
    assert json.loads(result.cursor or "") == {"mini|r000": later.isoformat()}
