"""The sandbox that tests run foreign code in, and when they may do without.

Here: the mark for tests that need it, a spec for code, and judging pairs of solution and tests. Not here: any test.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

import polars as pl
import pytest

from synth_assets.discriminators.execution.python_tests import PythonTests
from synth_assets.discriminators.execution.sandbox import find_sandbox
from synth_assets.errors import SandboxError
from synth_assets.spec import DatasetSpec
from synth_assets_tests.builders import text_spec
from synth_assets_tests.models import REQUIRE_VARIABLE


@lru_cache(maxsize=1)
def _missing() -> str:
    try:
        find_sandbox()
    except SandboxError as error:
        return f"needs a sandbox: {error}"
    return ""


def needs_sandbox(test):
    """Mark a test that runs foreign code: skipped with a reason where it cannot, an error where CI needs it."""
    if _missing() and os.environ.get(REQUIRE_VARIABLE) == "1":
        raise RuntimeError(f"{REQUIRE_VARIABLE}=1, but {_missing()}")
    return pytest.mark.skipif(bool(_missing()), reason=_missing())(test)


def code_spec(**verification: Any) -> DatasetSpec:
    """A data set of solutions with tests; any setting of `verification` may be replaced."""
    return text_spec(
        name="functions",
        fields=[
            {"name": "problem", "type": "text", "role": "input"},
            {"name": "solution", "type": "code", "role": "target", "max_length": 1_000_000},
            {"name": "tests", "type": "code", "role": "context", "max_length": 1_000_000},
        ],
        strata={},
        verification={"kind": "python", "solution": "solution", "tests": "tests", **verification},
    )


def judge_code(*pairs: tuple[str | None, str | None], **verification: Any) -> list[dict[str, Any]]:
    """Return the verdict of each (solution, tests)."""
    frame = pl.DataFrame(
        {
            "example_id": [f"c{number}" for number in range(len(pairs))],
            "problem": ["…"] * len(pairs),
            "solution": [solution for solution, _ in pairs],
            "tests": [tests for _, tests in pairs],
        },
        schema_overrides={"solution": pl.String, "tests": pl.String},
    )
    return PythonTests(code_spec(**verification)).judge(frame).to_dicts()
