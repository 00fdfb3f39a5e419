"""The green-list mark under vLLM's Model Runner V2 on a real GPU: the same mark as the CPU's, found the same way.

Needs a CUDA device and SYNTH_TEST_MODEL, a model's folder. On the CPU, test_vllm_processors.py shows that the V2
processor biases logits as the V1 processor does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from synth_assets.generation.vllm.settings import count_gpus
from synth_assets.generation.watermark.detection import detect_answers, detect_texts, detect_tokens
from synth_assets.generation.watermark.green_list import Rows, add_bias, are_green, language_key, sign_limit
from synth_assets.generation.watermark.tokens import pair_tokens
from synth_assets_tests.generation.watermark.keys_for_tests import KEY, OTHER_KEY
from synth_assets_tests.generation.watermark.language import Writer, message_spec, open_writer
from synth_assets_tests.models import MODEL

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(count_gpus() == 0, reason="needs a CUDA device; torch.cuda has none here"),
]
needs_folder = pytest.mark.skipif(MODEL is None, reason="SYNTH_TEST_MODEL names no model folder")


@pytest.fixture(scope="module")
def model() -> Path:
    assert MODEL is not None
    return MODEL


@pytest.fixture(scope="module")
def writer(model: Path) -> Iterator[Writer]:
    with open_writer(model, cuda=True, sequences=256) as writer:
        yield writer


def find(frame: pl.DataFrame) -> dict[str, float | None]:
    ids = frame.select(pl.concat_list(pl.col("prompt_end").cast(pl.Int32), "output_token_ids")).to_series()
    pairs, names = pair_tokens(ids), pl.int_range(frame.height, eager=True)
    return {key.key_id: detect_tokens(names, pairs, key, 0.25).pooled.z for key in (KEY, OTHER_KEY)}


def test_the_bias_on_the_gpu_is_that_of_the_cpu() -> None:
    torch = pytest.importorskip("torch")
    logits = torch.stack([torch.randperm(50_257, generator=torch.Generator().manual_seed(i)).float() for i in range(8)])
    results = []
    for device in ("cpu", "cuda"):
        previous = torch.arange(8, device=device) * 1_000 - 1_000
        limits = torch.full((8,), sign_limit(0.25), device=device)
        rows = Rows(previous, limits, torch.full((8,), 2.0, device=device), None, 256)
        results.append(add_bias(logits.clone().to(device), rows, language_key(KEY)).cpu())
    assert torch.equal(*results)
    assert not torch.equal(results[0], logits)


@needs_folder
def test_v2_marks_text_from_the_first_token_on(writer: Writer) -> None:
    assert writer.llm.llm_engine.vllm_config.use_v2_model_runner
    strong = Writer(writer.llm, writer.key, writer.watermark.model_copy(update={"delta": 20.0}))
    frame = strong.write(256, marked=True, json_=False, tokens=24)
    first = are_green(frame["prompt_end"].to_numpy(), frame["output_token_ids"].list.first().to_numpy(), KEY, 0.25)
    assert first.mean() > 0.9
    ids = frame["output_token_ids"]
    later = detect_tokens(pl.int_range(len(ids), eager=True), pair_tokens(ids), KEY, 0.25)
    assert later.pooled.green > 0.9 * later.pooled.scored


@needs_folder
def test_marked_text_is_found_and_unmarked_text_and_another_key_show_nothing(writer: Writer) -> None:
    marked = find(writer.write(256, marked=True, json_=False))
    plain = find(writer.write(256, marked=False, json_=False))
    assert (marked[KEY.key_id] or 0) > 30
    for z in (marked[OTHER_KEY.key_id], plain[KEY.key_id], plain[OTHER_KEY.key_id]):
        assert z is not None and abs(z) < 3


@needs_folder
def test_records_in_json_are_found_by_tokens_and_by_text(writer: Writer, model: Path) -> None:
    records = writer.write(128, marked=True, json_=True)
    for found in (
        detect_answers(records, message_spec(), KEY, model),
        detect_texts(records, message_spec(), KEY, model),
    ):
        assert found.pooled.z is not None and found.pooled.z > 10
    assert abs(detect_texts(records, message_spec(), OTHER_KEY, model).pooled.z or 0) < 3


@needs_folder
def test_the_mark_costs_little(writer: Writer) -> None:
    """Alternating, after a warm-up; the CPU's target of 7 % with room for a busy GPU."""
    import time

    seconds = {True: 0.0, False: 0.0}
    writer.write(256, marked=True, json_=False, tokens=32)
    for turn in range(6):
        for marked in (True, False) if turn % 2 else (False, True):
            start = time.perf_counter()
            writer.write(256, marked=marked, json_=False, tokens=128, salt=turn)
            seconds[marked] += time.perf_counter() - start
    assert seconds[True] < 1.15 * seconds[False]
