"""Engines by name: from a plan's resolved engine to a ready generator, and back to free memory.

Here: the one place that knows which engines exist, which of them `auto` is, and who gets marked. Not here: the engines.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import polars as pl

from synth_assets.errors import EngineError
from synth_assets.generation.allowance import Allowance
from synth_assets.generation.language.protocol import LanguageModel
from synth_assets.generation.requests import Engine
from synth_assets.spec import DatasetSpec

EMBEDDED = "embedded"
VLLM = "vllm"
SERVER = "server"
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


def resolve_engine(spec: DatasetSpec) -> str:
    """Return the engine that `auto` stands for here; frozen in the plan."""
    if spec.generation.engine != "auto":
        return spec.generation.engine
    if spec.generation.server.urls and spec.generation.model:
        return SERVER
    if spec.generation.model and _has_gpu_engine():
        return VLLM
    return EMBEDDED


def resolve_generator(spec: DatasetSpec) -> str:
    """Return the embedded generator that `auto` stands for: text where the record has free text, else tabular."""
    if spec.generation.generator != "auto":
        return spec.generation.generator
    return "text" if spec.text_fields else "tabular"


def explain_engine(spec: DatasetSpec) -> str:
    """Return what to tell about the choice of `auto`; empty where there is nothing to tell."""
    if spec.generation.engine != "auto" or resolve_engine(spec) != EMBEDDED:
        return ""
    if spec.generation.model:
        return (
            f"engine auto: no vLLM with a GPU here, so {spec.generation.model} is not used and the embedded generator "
            "stands in; write generation.engine: vllm to run it on the CPU, or give server.urls"
        )
    if spec.generation.server.urls:
        return "engine auto: server.urls are not asked, since generation.model does not name what they serve"
    return "engine auto: no language model is named, so the embedded generator is used; set generation.model for vLLM"


@contextmanager
def open_engine(
    spec: DatasetSpec, engine: str, generator: str, train: pl.DataFrame, root: Path, allowance: Allowance
) -> Iterator[Engine]:
    """Yield a plan's engine, ready to generate, and free what it holds afterwards.

    The embedded engines are fitted on `train`, the training rows; language models are shown exemplars of it and spend
    from `allowance`. `root`: the project's folder, against which model and key paths count. EngineError says what is
    missing.
    """
    if engine == EMBEDDED:
        yield _mark_rows(fit_embedded(spec, generator, train), spec, train, root)
        return
    from synth_assets.generation.language.engine import RecordEngine

    key = _export_key(spec, root)
    with open_model(spec, engine, root) as model:
        yield RecordEngine(
            spec,
            model,
            train,
            allowance,
            private_exemplars=engine == VLLM or _stays_here(spec),
            watermark=key,
        )


@contextmanager
def open_model(spec: DatasetSpec, engine: str, root: Path) -> Iterator[LanguageModel]:
    """Yield the spec's language model for any use (generation, judging) and close it; EngineError for other engines."""
    model: LanguageModel
    if engine == VLLM:
        from synth_assets.generation.vllm.engine import open_vllm

        _export_key(spec, root)
        model = open_vllm(spec, root, marked=spec.generation.watermark is not None)
    elif engine == SERVER:
        from synth_assets.generation.server.engine import open_server

        model = open_server(spec, root=root)
    else:
        raise EngineError(
            f"{spec.name}: engine '{engine}' is no language model; write generation.engine: vllm or server"
        )
    try:
        yield model
    finally:
        model.close()


@contextmanager
def open_judge(spec: DatasetSpec, engine: Engine, root: Path) -> Iterator[LanguageModel]:
    """Yield the model that grades: the one that generates, or beside an embedded engine the spec's own."""
    from synth_assets.generation.language.engine import RecordEngine

    if isinstance(engine, RecordEngine):
        yield engine.model
        return
    with open_model(spec, SERVER if spec.generation.server.urls else VLLM, root) as model:
        yield model


def fit_embedded(spec: DatasetSpec, generator: str, train: pl.DataFrame) -> Engine:
    """Return an embedded engine fitted on the training rows."""
    if generator == "text":
        from synth_assets.generation.text.engine import TextEngine

        return TextEngine.fit(train, spec)
    from synth_assets.generation.tabular.engine import TabularEngine

    return TabularEngine.fit(train, spec)


def _mark_rows(engine: Engine, spec: DatasetSpec, train: pl.DataFrame, root: Path) -> Engine:
    if spec.generation.watermark is None:
        return engine
    from synth_assets.generation.watermark.keys import load_key
    from synth_assets.generation.watermark.rows import MarkedEngine

    return MarkedEngine(engine, spec, load_key(spec.generation.watermark, root), train)


def _export_key(spec: DatasetSpec, root: Path):
    if spec.generation.watermark is None:
        return None
    from synth_assets.generation.watermark.keys import export_key

    return export_key(spec.generation.watermark, root)


def _stays_here(spec: DatasetSpec) -> bool:
    """Whether what is sent stays on this machine, or the spec allows private rows to leave it."""
    local = all(urlsplit(url).hostname in _THIS_MACHINE for url in spec.generation.server.urls)
    return local or spec.generation.server.send_private


def _has_gpu_engine() -> bool:
    from synth_assets.generation.vllm.settings import count_gpus, has_vllm

    return has_vllm() and count_gpus() > 0
