"""A run killed at any stage is taken up again and ends with the same rows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from synth_assets.project import Project
from synth_assets.provenance.release import find_release
from synth_assets_tests.projects import make_project

COMPARED = ("plan", "candidates", "verdicts", "filtered", "review_sample", "review_outcome", "corpus")
COMMAND = [sys.executable, "-m", "synth_assets.cli", "run", "mini", "--auto-review"]


def digests(project: Project) -> dict[str, str]:
    return {name: project.lake.require(name, "mini", "r000").digest for name in COMPARED}


def run(project: Project) -> None:
    done = subprocess.run(COMMAND, cwd=project.root, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def kill_once_written(project: Project, asset: str) -> None:
    """Start a run and kill it the moment an asset's pointer (or a first shard) is there."""
    child = subprocess.Popen(COMMAND, cwd=project.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pattern = "_work/mini/r000/*/wave*.parquet" if asset == "shard" else f"{asset}/dataset=mini/**/_current"
    deadline = time.monotonic() + 300
    while not list(project.lake.root.glob(pattern)):
        assert child.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    project = make_project(tmp_path_factory.mktemp("whole"))
    run(project)
    return digests(project)


@pytest.mark.parametrize("asset", ["raw_seeds", "shard", "review_outcome", "round_close"])
def test_a_killed_run_ends_with_the_same_rows(tmp_path: Path, asset: str, uninterrupted: dict[str, str]) -> None:
    project = make_project(tmp_path)
    kill_once_written(project, asset)
    run(project)
    assert digests(project) == uninterrupted
    find_release(project.releases, "mini").verify()
    for pointer in project.lake.root.rglob("_current"):
        assert (pointer.parent / pointer.read_text(encoding="ascii") / "manifest.json").exists()
