"""Settings for all tests."""

from __future__ import annotations

import signal

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each process of `-n` whole files, and all that load the real model to one: two at once need over 20 GB."""
    for item in items:
        loads_model = hasattr(getattr(item, "module", None), "needs_model")
        item.add_marker(pytest.mark.xdist_group("real_model" if loads_model else item.nodeid.partition("::")[0]))
