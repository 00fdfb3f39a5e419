"""A recall reaches every release: by the sensors, from the command line, and where a run was cut off."""

from __future__ import annotations

import io
from typing import Any

import dagster as dg
import polars as pl
import pytest
from dagster import build_sensor_context
from rich.console import Console

from synth_assets.cli.recalling import recall_and_release
from synth_assets.cli.rounds import RoundRunner
from synth_assets.cli.runs import JobRunner
from synth_assets.defs.automation import accepted_round, changed_quarantine, recalled_release
from synth_assets.defs.resources import Platform
from synth_assets.errors import SynthError
from synth_assets.provenance.ledger import trace_example
from synth_assets.provenance.recalled import read_recalled
from synth_assets.provenance.release import find_release
from synth_assets.records import SYNTHETIC
from synth_assets.review.decisions import DecisionStore
from synth_assets_tests.projects import Runner


class Jobs(JobRunner):
    """Runs jobs in process on the test's instance; `stop_at` stands for a run that is cut off there."""

    def __init__(self, runner: Runner, stop_at: str = "") -> None:
        super().__init__(runner.project, runner.instance, Console(file=io.StringIO(), width=1_000))
        self.runner, self.stop_at = runner, stop_at

    def run(self, job: str, partition: str, config: dict[str, Any] | None = None) -> str:
        if job == self.stop_at:
            raise KeyboardInterrupt
        result = self.runner.run(job, partition, config)
        if not result.success:
            raise SynthError(f"{job} of {partition} failed")
        return result.run_id


def first_synthetic(runner: Runner) -> dict[str, Any]:
    rows = find_release(runner.project.releases, "mini").read()
    return rows.filter(pl.col("origin") == SYNTHETIC).row(0, named=True)


def requested(sensor: dg.SensorDefinition, runner: Runner) -> list[str | None]:
    context = build_sensor_context(instance=runner.instance)
    result = sensor(context, platform=Platform(root=str(runner.project.root)))
    assert isinstance(result, dg.SensorResult)
    return [request.partition_key for request in result.run_requests or []]


def recall(runner: Runner, kind: str, value: str, jobs: Jobs | None = None, *, lift: bool = False) -> dict[str, Any]:
    return recall_and_release(runner.project, jobs or Jobs(runner), "mini", kind, value, "bad rows", "lead", lift=lift)


def test_the_sensors_take_a_recall_to_a_new_release(released: Runner) -> None:
    bad, before = first_synthetic(released), find_release(released.project.releases, "mini")
    assert requested(recalled_release, released) == []
    DecisionStore(released.project.ops_url).quarantine(
        "example", bad["example_id"], dataset="mini", reason="bad", who="ada"
    )
    for sensor, job, partition in (
        (changed_quarantine, "recall", "mini"),
        (recalled_release, "recall_rebuild", "mini|r000"),
        (accepted_round, "release", "mini|r000"),
    ):
        assert requested(sensor, released) == [partition]
        assert released.run(job, partition).success
    assert [requested(sensor, released) for sensor in (changed_quarantine, recalled_release, accepted_round)] == [
        []
    ] * 3
    after = find_release(released.project.releases, "mini")
    assert after.version != before.version
    assert bad["example_id"] not in set(after.read()["example_id"])
    assert list(read_recalled(released.project.releases, "mini")) == [before.version]
    assert trace_example(released.project.lake, "mini", bad["example_id"])["recalls"][0]["reason"] == "bad"


def test_a_recall_of_everything_marks_the_release_and_can_be_lifted(released: Runner) -> None:
    model, version = first_synthetic(released)["generator_id"], find_release(released.project.releases, "mini").version
    with pytest.raises(SynthError, match=rf"release {version}: .* were recalled.*\n.*no release could be made without"):
        recall(released, "model", model)
    assert version in read_recalled(released.project.releases, "mini")
    jobs = Jobs(released)
    runner = RoundRunner(released.project, "mini", jobs, automated=True, rounds=1)
    runner.finish_recalls()
    assert f"{version} is recalled and cannot be replaced yet" in jobs.console.file.getvalue()  # type: ignore[attr-defined]
    assert runner.due_round() == "r001"
    done = recall(released, "model", model, lift=True)
    assert done["lines"] == [f"lifted the recall of model {model}", "no row of the newest release was touched"]
    assert read_recalled(released.project.releases, "mini") == {}
    assert runner.due_round() is None


def test_a_recall_that_was_cut_off_is_finished_by_the_next_run(released: Runner) -> None:
    bad, before = first_synthetic(released), find_release(released.project.releases, "mini").version
    with pytest.raises(KeyboardInterrupt):
        recall(released, "example", bad["example_id"], Jobs(released, stop_at="recall"))
    RoundRunner(released.project, "mini", Jobs(released), automated=True, rounds=1).finish_recalls()
    after = find_release(released.project.releases, "mini")
    assert after.version != before
    assert bad["example_id"] not in set(after.read()["example_id"])


def test_a_seed_is_recalled_by_its_content_too(released: Runner) -> None:
    seed = first_synthetic(released)["seed_ids"][0]
    content = released.project.lake.read("raw_seeds", "mini").filter(pl.col("example_id") == seed)["content_id"].item()
    assert recall(released, "seed", content)["lines"][0] == f"recalled seed {seed}"
    left = find_release(released.project.releases, "mini").read()
    assert not left["seed_ids"].list.contains(seed).any()


@pytest.mark.parametrize("kind", ["model", "prompt", "seed", "example", "reviewer"])
def test_what_nothing_comes_of_is_refused(released: Runner, kind: str) -> None:
    with pytest.raises(SynthError, match=f"nothing comes of the {kind} 'nobody'"):
        recall(released, kind, "nobody")
    assert DecisionStore(released.project.ops_url).quarantined("mini").is_empty()
    with pytest.raises(SynthError, match=f"no recall of {kind} nobody is in force"):
        recall(released, kind, "nobody", lift=True)


def test_each_release_is_scored_on_sealed_rows_once_and_counted(released: Runner) -> None:
    lake = released.project.lake
    first = lake.require("sealed_score", "mini", "r000")
    assert first.read("look").row(0) == (find_release(released.project.releases, "mini").version, 1)
    metrics = dict(first.read("metrics").select("metric", "value").drop_nulls().iter_rows())
    assert "mix_accuracy" in metrics
    assert "steering_error" not in metrics
    assert first.read("examples").is_empty()
    assert released.run("release", "mini|r000").success
    assert lake.require("sealed_score", "mini", "r000").digest == first.digest
    recall(released, "example", first_synthetic(released)["example_id"])
    again = lake.require("sealed_score", "mini", "r000")
    assert again.read("look").row(0) == (find_release(released.project.releases, "mini").version, 2)
