"""A project that was taken to a release once, copied for each test that changes it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from synth_assets.project import Project
from synth_assets_tests.projects import Runner, make_project


@pytest.fixture(scope="session")
def released_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder with one accepted, closed and released round, and its instance beside it."""
    root = tmp_path_factory.mktemp("released")
    project = make_project(root / "project")
    with dg.instance_for_test(temp_dir=str(_folder(root / "instance"))) as instance:
        runner = Runner(project, instance)
        runner.take_round("r000")
        assert runner.run("release", "mini|r000").success
    return root


@pytest.fixture
def released(released_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """A private copy of the released project with a fresh instance that knows its partitions."""
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(released_template / "project", root / "project")
    with dg.instance_for_test(temp_dir=str(_folder(root / "instance"))) as instance:
        instance.add_dynamic_partitions("dataset", ["mini"])
        instance.add_dynamic_partitions("round", ["r000", "r001"])
        yield Runner(Project(root / "project"), instance)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Runner]:
    """A project nothing has been run in."""
    with dg.instance_for_test(temp_dir=str(_folder(tmp_path / "instance"))) as instance:
        yield Runner(make_project(tmp_path / "project"), instance)


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
