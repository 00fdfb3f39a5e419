"""The in-process engine on CUDA: records through vLLM's own attention, with a throughput report (pytest -s shows it).

SYNTH_TEST_MODEL=/path/to/a/model pytest -m gpu -s
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import jsonschema
import polars as pl
import pytest

from synth_assets.generation.allowance import Allowance
from synth_assets.generation.engines import open_engine
from synth_assets.generation.language.engine import RecordEngine
from synth_assets.generation.requests import build_requests
from synth_assets.generation.vllm.settings import count_gpus
from synth_assets_tests.builders import seed_rows, text_spec
from synth_assets_tests.models import MODEL

REQUESTS = 1024

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(count_gpus() == 0, reason="needs a CUDA device; the driver tells of none here"),
    pytest.mark.skipif(MODEL is None, reason="SYNTH_TEST_MODEL names no model folder"),
]


def test_records_meet_their_schema_and_come_again_alike(tmp_path: Path) -> None:
    generation = {"engine": "vllm", "model": str(MODEL), "max_tokens": 96, "vllm": {"tensor_parallel": 1}}
    spec = text_spec(description="Messages to a shop", generation=generation)
    rows = [{"text": f"Where is parcel {i}? It was sent {i % 9} days ago.", "intent": f"i{i % 4}"} for i in range(80)]
    seeds = seed_rows(spec, rows)
    requests = build_requests(spec, "r000", seeds, {f"i{i}": REQUESTS // 4 for i in range(4)}, {})
    allowance = Allowance()
    with open_engine(spec, "vllm", "text", seeds, tmp_path, allowance) as engine:
        assert isinstance(engine, RecordEngine)
        assert engine.info.parameters.find('"device": "cuda"') >= 0
        began = time.perf_counter()
        made = pl.concat(list(engine.generate(requests)))
        seconds = time.perf_counter() - began
        again = pl.concat(list(engine.generate(requests)))
        schema = json.loads(engine.schema.json_schema)
    print(f"{made['output_tokens'].sum() / seconds:,.0f} tokens/s, {requests.height / seconds:,.0f} requests/s")
    last = made.unique("request_id", keep="last", maintain_order=True)
    assert set(last["finish_reason"]) == {"stop"}
    for text in last["text"]:
        jsonschema.validate({"text": text}, schema)
    assert made.equals(again)
