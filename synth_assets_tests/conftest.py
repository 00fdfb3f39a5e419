"""Settings for all tests."""

from __future__ import annotations

import functools
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("project", deadline=None, max_examples=40, derandomize=True)
settings.load_profile("project")


def pytest_configure() -> None:
    """Listen to SIGINT, which a script's background job starts without.

    Dagster gives SIGTERM the handler of SIGINT; ignored by it, it would be ignored by all that tests start and end.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each process of `-n` whole files, and all that load the real model to one: two at once need over 20 GB.

    xdist's own `loadgroup` does it by marks, which do nothing under pytest 9.2.
    """
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "real model" if _loads_model(config.rootpath / file) else file

    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


@functools.cache
def _loads_model(file: Path) -> bool:
    return "needs_model" in file.read_text(encoding="utf-8")
