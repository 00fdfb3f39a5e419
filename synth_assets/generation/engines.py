"""Engines by name: from a plan's resolved engine to a ready generator.

Here: the one place that knows which engines exist. Not here: the engines.
"""

from __future__ import annotations

import polars as pl

from synth_assets.errors import EngineError
from synth_assets.generation.requests import Engine
from synth_assets.spec import DatasetSpec


def fit_engine(spec: DatasetSpec, engine: str, generator: str, train: pl.DataFrame) -> Engine:
    """Return the engine of a plan, fitted on the train split only; EngineError for a name that is none."""
    if engine != "embedded":
        raise EngineError(f"{spec.name}: engine '{engine}' is not known; write generation.engine: auto or embedded")
    if generator == "text":
        from synth_assets.generation.text_engine import TextEngine

        return TextEngine.fit(train, spec)
    from synth_assets.generation.tabular_engine import TabularEngine

    return TabularEngine.fit(train, spec)
