"""Setting up: a new data set from files, and starting the UI.

Here: copying seed files beside a guessed dataset.yaml, launching Dagster. Not here: the guess (seeds/guessing.py).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from synth_assets.cli.runs import enter_project
from synth_assets.errors import SpecError
from synth_assets.project import Project
from synth_assets.store import write_atomically


def create_dataset(project: Project, name: str, files: list[Path], license_: str | None) -> Path:
    """Copy files into data/seeds/<name> and write dataset.yaml; SpecError if the data set exists or a file does not."""
    from synth_assets.seeds.guessing import guess_dataset

    folder = project.seed_folder(name)
    if folder.exists():
        raise SpecError(f"{folder} exists already; edit its dataset.yaml or choose another name")
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        raise SpecError(f"no such file: {', '.join(missing)}")
    text = guess_dataset(name, files, license=license_)
    incoming = folder.with_name(f".{name}.incoming")
    shutil.rmtree(incoming, ignore_errors=True)
    try:
        incoming.mkdir(parents=True)
        for file in files:
            shutil.copyfile(file, incoming / file.name)
        write_atomically(incoming / "dataset.yaml", text)
        incoming.rename(folder)
    except OSError as error:
        raise SpecError(f"{folder}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return folder / "dataset.yaml"


def start_ui(project: Project, host: str, port: int) -> int:
    """Run `dg dev` in the project until it is interrupted; return its exit status.

    The child gets a default SIGINT handler back, which a script that starts `synth ui &` would have set to ignore.
    """
    enter_project(project)
    binaries = str(Path(sys.executable).parent)
    path = os.pathsep.join([binaries, os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "VIRTUAL_ENV": sys.prefix}
    command = [str(Path(binaries) / "dg"), "dev", "--host", host, "--port", str(port)]
    child = subprocess.Popen(  # noqa: S603 - our own interpreter's dg
        command,
        cwd=project.root,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    )
    signal.signal(signal.SIGTERM, lambda *_: child.send_signal(signal.SIGINT))
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue
