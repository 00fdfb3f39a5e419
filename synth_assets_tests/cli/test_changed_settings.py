"""What `synth run` says where dataset.yaml has changed since a round was planned."""

from __future__ import annotations

import io
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from rich.console import Console

from synth_assets.cli.rounds import RoundRunner
from synth_assets.cli.runs import JobRunner
from synth_assets.store import ROWS
from synth_assets_tests.projects import make_project


@pytest.mark.parametrize("changed", [False, True])
def test_a_change_since_the_last_closed_round_is_told(tmp_path: Path, *, changed: bool) -> None:
    project = make_project(tmp_path)
    planned = "0" * 32 if changed else project.spec("mini").digest
    for round_, digest in (("r000", "1" * 32), ("r001", planned)):
        tables = {ROWS: pl.DataFrame({"stratum": ["a"]}), "settings": pl.DataFrame({"spec_digest": [digest]})}
        project.lake.write("plan", "mini", round_, tables)
        project.lake.write("round_close", "mini", round_, pl.DataFrame({"decision": ["accept"]}))
    console = Console(file=io.StringIO(), width=1_000)
    jobs = JobRunner(project, dg.DagsterInstance.ephemeral(), console)
    RoundRunner(project, "mini", jobs, automated=True, rounds=2).tell_change()
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert ("dataset.yaml has changed since r001 was planned" in told) == changed
    assert ("synth run mini --rounds 3" in told) == changed
