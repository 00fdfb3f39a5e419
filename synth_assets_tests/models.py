"""The real language model that tests use, and when they may do without.

Here: where the model's folder is, the mark for tests that need it. Not here: making it (`synth small-model`), any test.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

MODEL_VARIABLE = "SYNTH_TEST_MODEL"
REQUIRE_VARIABLE = "SYNTH_REQUIRE_OPTIONAL"
_FOLDER = os.environ.get(MODEL_VARIABLE, "")
MODEL = Path(_FOLDER) if _FOLDER else None
_MISSING = (
    f"needs vLLM and {MODEL_VARIABLE} naming a model's folder (README: On a CPU with a small model)"
    if not (MODEL and find_spec("vllm"))
    else ""
)


def needs_model(test):
    """Mark a test that loads the real model: skipped with a reason where there is none, an error where CI needs it."""
    if _MISSING and os.environ.get(REQUIRE_VARIABLE) == "1":
        raise RuntimeError(f"{REQUIRE_VARIABLE}=1, but {_MISSING}")
    return pytest.mark.skipif(bool(_MISSING), reason=_MISSING)(test)
