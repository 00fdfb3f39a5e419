"""The README's first command on the bundled data: from seed files to a release."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from synth_assets.provenance.release import find_release
from synth_assets_tests.projects import copy_bundled


@pytest.mark.parametrize("dataset", ["support", "clinical"])
def test_a_bundled_data_set_reaches_its_release(tmp_path: Path, dataset: str) -> None:
    project = copy_bundled(tmp_path, dataset)
    command = [sys.executable, "-m", "synth_assets.cli", "run", dataset, "--auto-review"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SYNTH_")}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    release = find_release(project.releases, dataset)
    release.verify()
    assert release.manifest["rows"] == release.read().height > 0
    assert str(release.path.name) in done.stdout.replace("\n", "")
    assert (project.reports / dataset / "r000.html").exists()
    assert (project.reports / dataset / "index.html").exists()
