"""A real language model that writes messages, marked and not, for the tests and the benchmark that look for the mark.

Here: prompts, one loaded vLLM, what it wrote as frames. Not here: what must be found in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from synth_assets.generation.watermark.keys import (
    DELTA_VARIABLE,
    GAMMA_VARIABLE,
    KEY_ENV_VARIABLE,
    KEY_FILE_VARIABLE,
    KEY_VARIABLE,
    Key,
    export_key,
    processor_for,
)
from synth_assets.generation.watermark.requested import request_arguments
from synth_assets.spec import DatasetSpec, WatermarkSpec, parse_spec
from synth_assets_tests.generation.watermark.keys_for_tests import SECRET
from synth_assets_tests.paths import PROJECT

_VARIABLES = (KEY_VARIABLE, KEY_ENV_VARIABLE, KEY_FILE_VARIABLE, GAMMA_VARIABLE, DELTA_VARIABLE)
_SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"text": {"type": "string", "minLength": 1, "maxLength": 600}},
        "required": ["text"],
        "additionalProperties": False,
    }
)


def message_spec() -> DatasetSpec:
    """The record that the model writes: one text."""
    content = {
        "name": "written",
        "fields": [{"name": "text", "type": "text"}],
        "source": {"license": "CC0-1.0", "consent": {"basis": "not_personal"}},
        "generation": {"watermark": {}},
    }
    return parse_spec(content, where="test")


@dataclass(frozen=True)
class Writer:
    """A loaded model and the key with which it marks."""

    llm: Any
    key: Key
    watermark: WatermarkSpec

    def write(
        self, count: int, *, marked: bool, json_: bool, tokens: int = 96, salt: int = 0, top_k: int = 50
    ) -> pl.DataFrame:
        """Return what the model wrote: prompt_end (last token of the prompt), output_token_ids, text, finish_reason.

        json_: a record in JSON, text being the value of its field; else text that goes on to exactly `tokens` tokens.
        """
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        bound: dict[str, Any] = {"ignore_eos": True}
        if json_:
            bound = {"structured_outputs": StructuredOutputsParams(json=_SCHEMA)}
        arguments = request_arguments(self.watermark, self.key) if marked else None
        asked = [
            SamplingParams(
                temperature=1.0, top_k=top_k, max_tokens=tokens, seed=1000 * salt + i, extra_args=arguments, **bound
            )
            for i in range(count)
        ]
        prompts = self._prompts(count, salt)
        answers = self.llm.generate([{"prompt_token_ids": ids} for ids in prompts], asked, use_tqdm=False)
        outputs = [answer.outputs[0] for answer in answers]
        frame = pl.DataFrame(
            {
                "prompt_end": [ids[-1] for ids in prompts],
                "output_token_ids": pl.Series([list(o.token_ids) for o in outputs], dtype=pl.List(pl.Int32)),
                "text": [o.text for o in outputs],
                "finish_reason": [str(o.finish_reason) for o in outputs],
            }
        )
        if not json_:
            return frame
        whole = frame.filter(pl.col("finish_reason") == "stop")
        return whole.with_columns(text=pl.Series([json.loads(text)["text"] for text in whole["text"]], dtype=pl.String))

    def _prompts(self, count: int, salt: int) -> list[list[int]]:
        lines = (PROJECT / "data" / "seeds" / "support" / "messages.jsonl").read_text(encoding="utf-8").splitlines()
        rows = pl.DataFrame([{k: json.loads(line)[k] for k in ("text", "intent")} for line in lines])
        tokenizer = self.llm.get_tokenizer()
        start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        prompts = []
        for number in range(count):
            some = rows.sample(6, seed=1000 * salt + number)["text"]
            shown = "".join(
                json.dumps({"text": text}, ensure_ascii=False, separators=(",", ":")) + "\n" for text in some
            )
            text = f"Messages to the customer service of an online shop, one JSON object a line.\n{shown}"
            prompts.append(start + tokenizer(text, add_special_tokens=False).input_ids)
        return prompts


@contextmanager
def open_writer(model: Path, *, cuda: bool, sequences: int = 64) -> Iterator[Writer]:
    """Load the model with the watermark's processor, in this process, and put the environment back afterwards."""
    before = {name: os.environ.get(name) for name in _VARIABLES}
    os.environ[KEY_VARIABLE] = SECRET
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    settings: dict[str, Any] = {
        "enforce_eager": True,
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": 16_384,
    }
    if cuda:
        os.environ["VLLM_USE_V2_MODEL_RUNNER"] = "1"
        settings = {"gpu_memory_utilization": 0.5}
    else:
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
    watermark = WatermarkSpec()
    try:
        key = export_key(watermark, PROJECT)
        from vllm import LLM

        llm = LLM(
            str(model),
            dtype="bfloat16",
            max_num_seqs=sequences,
            max_model_len=2048,
            structured_outputs_config={"backend": "xgrammar", "disable_any_whitespace": True},
            async_scheduling=False,
            enable_prefix_caching=False,  # so that a second run of the same prompts takes as long as the first
            seed=0,
            logits_processors=[processor_for(cuda)],
            **settings,
        )
        yield Writer(llm, key, watermark)
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
