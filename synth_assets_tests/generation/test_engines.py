"""Engines by name: what `auto` stands for, what is told about it, who is shown private rows, and that models close."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from synth_assets.errors import EngineError, SpecError
from synth_assets.generation import engines
from synth_assets.generation.allowance import Allowance
from synth_assets.generation.engines import (
    explain_engine,
    open_engine,
    open_model,
    resolve_engine,
    resolve_generator,
)
from synth_assets.generation.language.engine import RecordEngine
from synth_assets.generation.requests import build_requests
from synth_assets.generation.server import engine as server_engine
from synth_assets.generation.tabular.engine import TabularEngine
from synth_assets.generation.text.engine import TextEngine
from synth_assets.generation.vllm import engine as vllm_engine
from synth_assets.generation.vllm import settings as vllm_settings
from synth_assets.records import SYNTHESIS_ONLY
from synth_assets.spec import DatasetSpec
from synth_assets_tests.builders import seed_rows, table_spec, text_spec
from synth_assets_tests.generation.scripted_model import ScriptedModel, write

HERE, AWAY = "http://127.0.0.1:8000/v1", "https://models.example.org/v1"
KEY = "a-key-of-more-than-16-characters"


@pytest.fixture(params=[(False, 0), (True, 0), (False, 1), (True, 1)], ids=str)
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[bool, int]:
    """A machine with and without vLLM and a GPU."""
    return install(monkeypatch, *request.param)


def install(monkeypatch: pytest.MonkeyPatch, has_vllm: bool, gpus: int) -> tuple[bool, int]:
    monkeypatch.setattr(vllm_settings, "has_vllm", lambda: has_vllm)
    monkeypatch.setattr(vllm_settings, "count_gpus", lambda: gpus)
    return has_vllm, gpus


def make_spec(engine: str = "auto", model: str | None = None, urls: tuple[str, ...] = (), **more: Any) -> DatasetSpec:
    server = {"urls": list(urls), **more.pop("server", {})}
    return text_spec(generation={"engine": engine, "model": model, "server": server, **more})


# ---- what auto stands for


@pytest.mark.parametrize(("model", "urls"), [*product((None, "org/model"), ((), (HERE,)))], ids=str)
def test_auto_is_a_server_then_a_gpu_then_the_embedded_engine(
    machine: tuple[bool, int], model: str | None, urls: tuple[str, ...]
) -> None:
    has_vllm, gpus = machine
    wanted = "embedded"
    if model and urls:
        wanted = "server"
    elif model and has_vllm and gpus:
        wanted = "vllm"
    assert resolve_engine(make_spec("auto", model, urls)) == wanted


@pytest.mark.parametrize("engine", ["embedded", "vllm", "server"])
def test_a_named_engine_is_taken_whatever_there_is(machine: tuple[bool, int], engine: str) -> None:
    spec = make_spec(engine, "org/model", (HERE,))
    assert resolve_engine(spec) == engine
    assert explain_engine(spec) == ""


def test_without_a_model_it_is_told_how_to_get_one(machine: tuple[bool, int]) -> None:
    assert "no language model is named" in explain_engine(make_spec())
    assert "generation.model" in explain_engine(make_spec())


def test_a_model_that_is_not_used_is_told_with_the_ways_to_use_it(machine: tuple[bool, int]) -> None:
    told = explain_engine(make_spec(model="org/model"))
    if all(machine):
        assert told == ""
    else:
        assert "org/model is not used" in told
        assert "generation.engine: vllm" in told and "server.urls" in told


def test_a_server_that_is_used_needs_no_word(machine: tuple[bool, int]) -> None:
    assert explain_engine(make_spec(model="org/model", urls=(HERE,))) == ""


def test_servers_that_are_left_aside_for_want_of_a_model_are_told() -> None:
    assert "server" in explain_engine(make_spec(urls=(HERE,)))


def test_the_embedded_generator_follows_the_fields() -> None:
    assert (resolve_generator(text_spec()), resolve_generator(table_spec())) == ("text", "tabular")
    assert resolve_generator(text_spec(generation={"generator": "tabular"})) == "tabular"


# ---- opening

ROWS = [{"text": f"open message number {i} of the day", "intent": "ab"[i % 2]} for i in range(12)] + [
    {"text": f"secret message number {i}", "intent": "a", "disposition": SYNTHESIS_ONLY} for i in range(3)
]


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> ScriptedModel:
    """The model that is opened in place of vLLM and servers."""
    scripted = ScriptedModel(lambda call: write(json.dumps({"text": f"new {call.seed}"})))
    monkeypatch.setattr(vllm_engine, "open_vllm", lambda spec, root, *, marked=False: scripted)
    monkeypatch.setattr(server_engine, "open_server", lambda spec, root: scripted)
    return scripted


def complete(spec: DatasetSpec, engine: str, root: Path, generator: str = "text") -> pl.DataFrame:
    train = seed_rows(spec, ROWS)
    with open_engine(spec, engine, generator, train, root, Allowance()) as opened:
        return pl.concat(list(opened.generate(build_requests(spec, "r000", train, {"a": 30}, {}))))


@pytest.mark.parametrize("engine", ["vllm", "server"])
def test_a_language_model_generates_and_is_closed_afterwards(model: ScriptedModel, tmp_path: Path, engine: str) -> None:
    spec = make_spec(engine, "org/model", (HERE,))
    with open_engine(spec, engine, "text", seed_rows(spec, ROWS), tmp_path, Allowance()) as opened:
        assert isinstance(opened, RecordEngine)
        assert not model.closed
    assert model.closed


@pytest.mark.parametrize("engine", ["vllm", "server"])
@pytest.mark.parametrize("error", [ValueError("in the body"), KeyboardInterrupt()], ids=repr)
def test_a_language_model_is_closed_where_the_body_fails(
    model: ScriptedModel, tmp_path: Path, engine: str, error: BaseException
) -> None:
    spec = make_spec(engine, "org/model", (HERE,))
    with (
        pytest.raises(type(error)),
        open_engine(spec, engine, "text", seed_rows(spec, ROWS), tmp_path, Allowance()),
    ):
        raise error
    assert model.closed


def test_a_language_model_is_closed_where_the_engine_over_it_cannot_be_made(
    model: ScriptedModel, tmp_path: Path
) -> None:
    spec = make_spec("vllm", "org/model", recipe="none_such")
    with (
        pytest.raises(SpecError, match="none_such"),
        open_engine(spec, "vllm", "text", seed_rows(spec, ROWS), tmp_path, Allowance()),
    ):
        pytest.fail("it was opened")
    assert model.closed


def test_the_model_alone_can_be_opened_for_other_uses(model: ScriptedModel, tmp_path: Path) -> None:
    with open_model(make_spec("server", "org/model", (HERE,)), "server", tmp_path) as opened:
        assert opened is model
    assert model.closed


@pytest.mark.parametrize("engine", ["embedded", "gpt"])
def test_what_is_no_language_model_is_refused(model: ScriptedModel, tmp_path: Path, engine: str) -> None:
    with (
        pytest.raises(EngineError, match=rf"messages: engine '{engine}' is no language model.*vllm or server"),
        open_model(make_spec(), engine, tmp_path),
    ):
        pytest.fail("it was opened")


def test_an_unknown_engine_is_refused(model: ScriptedModel, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="'gpt'"):
        complete(make_spec(), "gpt", tmp_path)


@pytest.mark.parametrize(("generator", "kind"), [("text", TextEngine), ("tabular", TabularEngine)])
def test_the_embedded_engine_is_fitted_without_any_model(
    model: ScriptedModel, tmp_path: Path, generator: str, kind: type
) -> None:
    rows = [{"low": i / 7, "high": i / 7 + 1, "kind": "ab"[i % 2]} for i in range(30)]
    spec, rows = (text_spec(), ROWS) if generator == "text" else (table_spec(), rows)
    with open_engine(spec, "embedded", generator, seed_rows(spec, rows), tmp_path, Allowance()) as opened:
        assert isinstance(opened, kind)
    assert model.drawn == 0


# ---- private rows


def shows_secrets(model: ScriptedModel) -> bool:
    assert model.asked
    return any("secret message" in str(call.prompt) for _, call in model.asked)


@pytest.mark.parametrize(
    ("urls", "shown"),
    [
        ((HERE,), True),
        (("http://localhost:1/v1", "http://[::1]:2/v1", "http://LOCALHOST:3"), True),
        ((AWAY,), False),
        ((HERE, AWAY), False),
        (("http://127.0.0.1.example.org/v1",), False),
        (("http://127.0.0.1@models.example.org/v1",), False),
        (("http://localhost.example.org:80/v1",), False),
        (("http://10.0.0.1:8000/v1",), False),
        (("http://0.0.0.0:8000/v1",), False),
    ],
    ids=str,
)
def test_private_rows_are_shown_to_servers_of_this_machine_alone(
    model: ScriptedModel, tmp_path: Path, urls: tuple[str, ...], shown: bool
) -> None:
    complete(make_spec("server", "org/model", urls), "server", tmp_path)
    assert shows_secrets(model) == shown


def test_private_rows_are_shown_to_other_servers_where_the_spec_says_so(model: ScriptedModel, tmp_path: Path) -> None:
    complete(make_spec("server", "org/model", (AWAY,), server={"send_private": True}), "server", tmp_path)
    assert shows_secrets(model)


def test_private_rows_are_shown_to_a_model_in_this_process(model: ScriptedModel, tmp_path: Path) -> None:
    complete(make_spec("vllm", "org/model", (AWAY,)), "vllm", tmp_path)
    assert shows_secrets(model)


# ---- watermarks


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watermark key, and an environment that is put back."""
    for name in ("SYNTH_WATERMARK_KEY_ENV", "SYNTH_WATERMARK_GAMMA", "SYNTH_WATERMARK_DELTA"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("SYNTH_WATERMARK_KEY", KEY)


@pytest.mark.parametrize("engine", ["embedded", "vllm", "server"])
def test_a_watermark_marks_what_any_engine_makes(key: None, model: ScriptedModel, tmp_path: Path, engine: str) -> None:
    spec = make_spec(engine, "org/model", (HERE,), watermark={})
    with open_engine(spec, engine, "text", seed_rows(spec, ROWS), tmp_path, Allowance()) as opened:
        assert opened.info.watermark_key_id


@pytest.mark.parametrize("engine", ["embedded", "vllm", "server"])
def test_a_watermark_without_a_key_is_refused_before_a_model_is_loaded(
    model: ScriptedModel, tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SYNTH_WATERMARK_KEY", raising=False)
    with pytest.raises(EngineError, match="SYNTH_WATERMARK_KEY is not set"):
        complete(make_spec(engine, "org/model", (HERE,), watermark={}), engine, tmp_path)
    assert not model.closed  # it was never opened


def test_vllm_is_opened_with_the_marks_processor_where_a_mark_is_wanted(
    key: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opened: list[bool] = []

    def open_vllm(spec: DatasetSpec, root: Path, *, marked: bool = False) -> ScriptedModel:
        opened.append(marked)
        return ScriptedModel(lambda _: write("{}"))

    monkeypatch.setattr(vllm_engine, "open_vllm", open_vllm)
    for settings in ({}, {"watermark": {}}):
        with engines.open_model(make_spec("vllm", "org/model", **settings), "vllm", tmp_path):
            pass
    assert opened == [False, True]
