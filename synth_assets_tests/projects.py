"""Whole small projects in a temporary folder, and running their jobs in process on an instance of their own.

Here: a project with a part of the bundled support data or a bundled set as it is, a runner. Not here: assertions.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from synth_assets.definitions import build_defs
from synth_assets.defs.resources import Platform
from synth_assets.project import Project
from synth_assets_tests.paths import PROJECT

INTENTS = ("order_status", "damaged_item", "refund_status", "login_problem", "safety_incident")


def make_project(root: Path, *, change: Callable[[dict[str, Any]], None] = lambda _: None) -> Project:
    """Write a project with data set `mini`: five intents of the support data; `change` may edit its settings."""
    folder = root / "data" / "seeds" / "mini"
    folder.mkdir(parents=True)
    _copy_settings(root)
    source = PROJECT / "data" / "seeds" / "support"
    lines = (source / "messages.jsonl").read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if json.loads(line)["intent"] in INTENTS]
    (folder / "messages.jsonl").write_text("\n".join(kept) + "\n", encoding="utf-8")
    shutil.copytree(source / "monitor", folder / "monitor")
    settings = yaml.safe_load((source / "dataset.yaml").read_text(encoding="utf-8"))
    settings["name"] = "mini"
    change(settings)
    write_settings(root, settings)
    return Project(root)


def copy_bundled(root: Path, dataset: str) -> Project:
    """Write a project with a bundled data set as it is."""
    shutil.copytree(PROJECT / "data" / "seeds" / dataset, root / "data" / "seeds" / dataset)
    _copy_settings(root)
    return Project(root)


def _copy_settings(root: Path) -> None:
    for name in ("dagster.yaml", "workspace.yaml", "data/generators.yaml"):
        shutil.copy(PROJECT / name, root / name)
    shutil.copytree(PROJECT / "dbt_like_sql", root / "dbt_like_sql")


def write_settings(root: Path, settings: dict[str, Any]) -> None:
    """Write dataset.yaml of `mini`."""
    text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
    (root / "data" / "seeds" / "mini" / "dataset.yaml").write_text(text, encoding="utf-8")


@dataclass
class Runner:
    """Runs jobs of a project; failures come back as results, not as exceptions."""

    project: Project
    instance: dg.DagsterInstance

    @property
    def definitions(self) -> dg.Definitions:
        return build_defs(platform=Platform(root=str(self.project.root)))

    def run(self, job: str, partition: str, config: dict[str, Any] | None = None) -> dg.ExecuteInProcessResult:
        """Execute a job in process; the run is in the instance with its partition."""
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        return self.definitions.resolve_job_def(f"{job}_job").execute_in_process(
            instance=self.instance,
            partition_key=partition,
            raise_on_error=False,
            run_config={**quiet, **(config or {})},
        )

    def materialize(self, asset: str, partition: str) -> dg.ExecuteInProcessResult:
        """Materialize one asset alone, as the UI's button does."""
        job = dg.define_asset_job("alone", dg.AssetSelection.assets(asset))
        definitions = dg.Definitions.merge(self.definitions, dg.Definitions(jobs=[job]))
        return definitions.resolve_job_def("alone").execute_in_process(
            instance=self.instance, partition_key=partition, raise_on_error=False
        )

    def take_round(self, round_: str, *, automated: bool = True) -> None:
        """Seeds (the first time), round, review; asserts that each job succeeds."""
        self.instance.add_dynamic_partitions("dataset", ["mini"])
        self.instance.add_dynamic_partitions("round", [round_])
        if self.project.lake.current("quality_contract", "mini") is None:
            self._succeed("seeds", "mini")
        self._succeed("round", f"mini|{round_}")
        if automated:
            self._succeed("review", f"mini|{round_}", {"ops": {"review_outcome": {"config": {"automated": True}}}})

    def _succeed(self, job: str, partition: str, config: dict[str, Any] | None = None) -> None:
        result = self.run(job, partition, config)
        assert result.success, failure_of(result)


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    """Return the innermost error messages of a failed run."""
    messages = []
    for event in result.all_events:
        if event.event_type == dg.DagsterEventType.STEP_FAILURE:
            error = event.step_failure_data.error
            while error is not None and error.cause is not None:
                error = error.cause
            messages.append(f"{event.step_key}: {error.message if error else '?'}")
    return "\n".join(messages)
