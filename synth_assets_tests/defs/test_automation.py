"""What starts by itself, and what waits for somebody to say what it may cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import build_sensor_context, instance_for_test

from synth_assets.defs.automation import next_round
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
