"""`synth serve` with a real model and vLLM: the names it answers to, schemas, the token, and how a death reads.

SYNTH_TEST_MODEL=data/models/gemma-3-270m pytest synth_assets_tests/generation/test_serving_model.py
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import jsonschema
import pytest

from synth_assets.errors import EngineError
from synth_assets.generation.allowance import Allowance
from synth_assets.generation.engines import open_engine
from synth_assets.generation.language.engine import RecordEngine
from synth_assets.generation.requests import build_requests
from synth_assets.generation.shards import ShardFolder
from synth_assets.generation.vllm import serving
from synth_assets.generation.vllm.serving import running_server
from synth_assets.generation.watermark.requested import MARK
from synth_assets.spec import DatasetSpec
from synth_assets_tests.builders import seed_rows, text_spec
from synth_assets_tests.models import MODEL, needs_model

TOKEN = "a-token-for-tests"
SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string", "minLength": 1, "maxLength": 40}},
    "required": ["text"],
    "additionalProperties": False,
}

pytestmark = pytest.mark.slow


def model_spec(**generation: Any) -> DatasetSpec:
    assert MODEL is not None
    vllm = {"max_model_len": 512, "max_num_seqs": 8, **generation.pop("vllm", {})}
    return text_spec(generation={"model": str(MODEL.resolve()), "vllm": vllm, **generation})


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with a token and a watermark; after its block none of its processes may be left."""
    groups: list[int] = []
    launch = serving._launch

    def note(*arguments: Any) -> Any:
        child = launch(*arguments)
        groups.append(child.process.pid)
        return child

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving, "_launch", note)
        patch.setenv("MY_TOKEN", TOKEN)
        patch.setenv("SYNTH_WATERMARK_KEY", "0123456789abcdef")
        spec = model_spec(server={"api_key_env": "MY_TOKEN"}, watermark={})
        with running_server(spec, tmp_path_factory.mktemp("project")) as address:
            yield address
    with pytest.raises(ProcessLookupError):
        os.killpg(groups[0], 0)


def ask(url: str, body: dict[str, Any] | None = None, token: str = TOKEN) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data, headers), timeout=120) as reply:
        return json.load(reply)


def completion(**settings: Any) -> dict[str, Any]:
    body = {"prompt": "<bos>One JSON object a line.\n", "max_tokens": 64, "seed": 7, "top_k": 50}
    return {"model": MODEL.name, "add_special_tokens": False, **body, **settings}


@needs_model
def test_it_answers_to_the_folders_name_and_to_the_specs(url: str) -> None:
    names = [entry["id"] for entry in ask(f"{url}/models")["data"]]
    assert names == [MODEL.name, str(MODEL.resolve())]


@needs_model
def test_it_keeps_a_schema(url: str) -> None:
    answer = ask(f"{url}/completions", completion(structured_outputs={"json": SCHEMA}))
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert list(json.loads(answer["choices"][0]["text"])) == ["text"]


@needs_model
def test_a_request_can_ask_for_the_watermark(url: str) -> None:
    plain, again = (ask(f"{url}/completions", completion())["choices"][0]["text"] for _ in range(2))
    marked = ask(f"{url}/completions", completion(vllm_xargs={MARK: 1}))["choices"][0]["text"]
    assert plain == again != marked


@needs_model
@pytest.mark.parametrize("route", ["/v1/completions", "/invocations"])
def test_nobody_generates_without_the_token(url: str, route: str) -> None:
    with pytest.raises(HTTPError, match="401"):
        ask(url.removesuffix("/v1") + route, completion(), token="another")
    assert ask(url.removesuffix("/v1") + route, completion())["choices"]


@needs_model
def test_a_data_set_gets_its_records_from_it_each_once(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MY_TOKEN", TOKEN)
    monkeypatch.setenv("SYNTH_WATERMARK_KEY", "0123456789abcdef")
    server = {"urls": [url], "api_key_env": "MY_TOKEN"}
    spec = model_spec(engine="server", server=server, watermark={}, max_tokens=64)
    rows = [{"text": f"My card number {i} has not arrived yet.", "intent": f"i{i % 2}"} for i in range(20)]
    seeds, allowance = seed_rows(spec, rows), Allowance(tokens=20_000)
    requests = build_requests(spec, "r000", seeds, {"i0": 10, "i1": 10}, {})
    with open_engine(spec, "server", "text", seeds, tmp_path, allowance) as engine:
        made = ShardFolder(tmp_path, "f").complete(engine, requests, wave=0, size=20, allowance=allowance)
        assert isinstance(engine, RecordEngine)
        schema = json.loads(engine.schema.json_schema)
    last = made.unique("request_id", keep="last", maintain_order=True)
    assert last["request_id"].to_list() == requests["request_id"].to_list()
    assert set(last["finish_reason"]) == {"stop"}
    for text in last["text"]:
        jsonschema.validate({"text": text}, schema)
    assert (made["output_token_ids"].list.len() == made["output_tokens"]).all()
    assert allowance.spent_tokens == made["output_tokens"].sum()


@needs_model
def test_too_large_a_cache_is_told_with_what_to_lower(tmp_path: Path) -> None:
    with (
        pytest.raises(EngineError, match=r"cpu_kv_cache_gib|gpu_memory_utilization"),
        running_server(model_spec(vllm={"cpu_kv_cache_gib": 1024, "gpu_memory_utilization": 0.001}), tmp_path),
    ):
        pytest.fail("it started")
