"""vLLM in this process: a loaded model that answers calls, on a GPU or with vLLM's CPU build.

Here: loading, the batch loop, what vLLM's errors mean to a user. Not here: the engine's arguments (settings.py),
prompts and records (language/engine.py), vLLM behind HTTP (server/engine.py).
"""

from __future__ import annotations

import gc
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from synth_assets.errors import EngineError
from synth_assets.generation.allowance import Allowance
from synth_assets.generation.language.model_files import (
    ModelPlace,
    digest_weights,
    find_adapter,
    find_model,
    find_snapshot,
)
from synth_assets.generation.language.protocol import FAILED, OVERFLOW, Answer, Call, ModelInfo, Sampling
from synth_assets.generation.vllm.settings import (
    engine_arguments,
    prepare_environment,
    require_vllm,
    sequences_in_flight,
    vllm_version,
)
from synth_assets.spec import DatasetSpec, GenerationSpec

_ADVICE = {
    "out of memory": "lower generation.vllm.max_num_seqs, max_model_len or (GPU) gpu_memory_utilization, or use a "
    "quantized or smaller model",
    "kv cache": "lower generation.vllm.max_model_len, or raise gpu_memory_utilization (GPU) or cpu_kv_cache_gib (CPU)",
    "no space left": "free the disk; model files are large",
    "offline": "HF_HUB_OFFLINE is set and the model is not on this disk: download it first, or name a local folder",
    "gated repo": "accept the model's terms on the hub and log in, or name a local folder",
    "repository not found": "check generation.model and generation.revision",
    "is not a local folder": "check generation.model; is the hub within reach?",
    "could not import module": "a torchvision, torchaudio or torchcodec that does not match torch breaks imports: "
    "`pip uninstall torchvision torchaudio torchcodec` (text needs none of them)",
}
_OTHERWISE = "set VLLM_LOGGING_LEVEL=INFO to see its log"


@dataclass
class VllmModel:
    """A model in vLLM's in-process engine; open_vllm makes one.

    Every `answer` starts from an empty prefix cache and a batch of its own, so that the same calls give the same
    answers whatever was asked before; within it, batches depend on the calls alone.
    """

    generation: GenerationSpec
    place: ModelPlace
    llm: Any
    adapter: Path | None
    marked: bool

    @property
    def info(self) -> ModelInfo:
        return self._info

    @cached_property
    def _info(self) -> ModelInfo:
        generation, config = self.generation, self.llm.llm_engine.vllm_config
        folder = find_snapshot(self.place, generation.revision)
        return ModelInfo(
            engine="vllm",
            model=self.place.name,
            version=vllm_version(),
            digest=digest_weights(folder) if folder else "",
            chat=self._chat,
            settings={
                "device": str(config.device_config.device_type),
                "dtype": str(config.model_config.dtype).removeprefix("torch."),
                "lora": f"{self.adapter.name}@{digest_weights(self.adapter)}" if self.adapter else None,
                "max_model_len": self._length,
                "max_num_seqs": self._batch,
                "quantization": generation.vllm.quantization,
                "revision": generation.revision,
                "tensor_parallel": generation.vllm.tensor_parallel,
            },
            batch=self._batch,
        )

    def answer(
        self,
        calls: Iterable[Call],
        receive: Callable[[int, Answer], Call | None],
        *,
        sampling: Sampling,
        allowance: Allowance,
    ) -> None:
        """See LanguageModel. At most twice max_num_seqs calls are with vLLM at once, the rest is not even drawn."""
        if sampling.mark and not self.marked:
            raise EngineError("this model was opened without the watermark's processor; it cannot mark what it writes")
        engine = self.llm.llm_engine
        engine.reset_prefix_cache()
        waiting: deque[tuple[int, Call]] = deque()
        source = enumerate(calls)
        flying: dict[str, tuple[int, Call]] = {}
        numbers = itertools.count()
        while True:
            while len(flying) < 2 * self._batch:
                item = waiting.popleft() if waiting else next(source, None)
                if item is None:
                    break
                if not allowance.admit(item[1].max_tokens):
                    waiting.appendleft(item)
                    break
                key = str(next(numbers))
                refused = self._begin(key, item[1], sampling)
                if refused is None:
                    flying[key] = item
                else:
                    self._hand_over(item, refused, receive, allowance, waiting)
            if not flying:
                return
            if allowance.overdue:
                engine.abort_request(list(flying))
                for _, call in flying.values():
                    allowance.settle(call.max_tokens, 0)
                return
            with explain_failures(self.place.name):
                outputs = engine.step()
            for output in outputs:
                if output.finished:
                    key = output.request_id
                    self._hand_over(flying.pop(key), _read(output), receive, allowance, waiting)

    def close(self) -> None:
        """Free the model's memory."""
        from vllm.distributed import cleanup_dist_env_and_memory

        self.llm = None
        gc.collect()
        cleanup_dist_env_and_memory(shutdown_ray=False)

    def _begin(self, key: str, call: Call, sampling: Sampling) -> Answer | None:
        """Hand a call to vLLM; return the answer at once where it cannot be asked."""
        tokens = self._tokenize(call)
        if len(tokens) + call.max_tokens > self._length:
            room = f"the prompt's {len(tokens):,} tokens and max_tokens {call.max_tokens:,} exceed {self._length:,}"
            return Answer("", OVERFLOW, len(tokens), error=room)
        try:
            prompt = {"type": "token", "prompt_token_ids": tokens}
            parameters = self._parameters(call, sampling)
            self.llm.llm_engine.add_request(key, prompt, parameters, lora_request=self._adapter)
        except ValueError as error:  # vLLM's word for a schema or a setting that it cannot do
            raise EngineError(
                f"vLLM refused a request: {error}. The JSON Schema of the record was: {call.schema[:400]}"
            ) from error
        return None

    @staticmethod
    def _hand_over(
        item: tuple[int, Call],
        answer: Answer,
        receive: Callable[[int, Answer], Call | None],
        allowance: Allowance,
        waiting: deque[tuple[int, Call]],
    ) -> None:
        position, call = item
        allowance.settle(call.max_tokens, answer.output_tokens)
        again = receive(position, answer)
        if again is not None:
            waiting.append((position, again))

    def _parameters(self, call: Call, sampling: Sampling) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        return SamplingParams(
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            min_p=sampling.min_p,
            seed=call.seed,
            max_tokens=call.max_tokens,
            structured_outputs=StructuredOutputsParams(json=call.schema) if call.schema else None,
            extra_args=dict(sampling.mark) if sampling.mark else None,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _tokenize(self, call: Call) -> list[int]:
        tokenizer = self.llm.get_tokenizer()
        if not isinstance(call.prompt, str):
            messages = [{"role": turn.role, "content": turn.content} for turn in call.prompt]
            encoded = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
            return list(tokenizer(encoded, add_special_tokens=False).input_ids)
        tokens = list(tokenizer(call.prompt).input_ids)
        start = tokenizer.bos_token_id
        # tokenizers made from GGUF files leave out the start token without which a base model rambles
        return tokens if start is None or tokens[:1] == [start] else [start, *tokens]

    @cached_property
    def _chat(self) -> bool:
        has_template = bool(getattr(self.llm.get_tokenizer(), "chat_template", None))
        if self.generation.prompt == "chat" and not has_template:
            raise EngineError(
                f"generation.prompt: chat, but {self.place.name} has no chat template; write completion or auto, or "
                "take an instruction-tuned model"
            )
        return has_template if self.generation.prompt == "auto" else self.generation.prompt == "chat"

    @cached_property
    def _adapter(self) -> Any:
        if self.adapter is None:
            return None
        from vllm.lora.request import LoRARequest

        return LoRARequest(self.adapter.name, 1, str(self.adapter))

    @cached_property
    def _length(self) -> int:
        return int(self.llm.llm_engine.vllm_config.model_config.max_model_len)

    @cached_property
    def _batch(self) -> int:
        return sequences_in_flight(self.generation)


def open_vllm(spec: DatasetSpec, root: Path, *, marked: bool = False) -> VllmModel:
    """Load the spec's model into this process; EngineError says what is missing or too small.

    `marked` loads the watermark's processor too, whose key must have been exported (watermark/keys.py).
    """
    generation = spec.generation
    require_vllm()
    if generation.vllm.data_parallel > 1:
        raise EngineError(
            "generation.vllm.data_parallel above 1 does not run in process; start `synth serve` and write engine: "
            "server with its URL, or list several servers"
        )
    place = find_model(generation, root)
    adapter = find_adapter(generation, root)
    prepare_environment(generation)
    arguments = engine_arguments(generation, place, marked=marked)
    with explain_failures(place.name):
        from vllm import LLM

        llm = LLM(**{name: value for name, value in arguments.items() if value is not None})
    _compile_grammars_at_once(llm)
    return VllmModel(generation, place, llm, adapter, marked)


@contextmanager
def explain_failures(name: str) -> Iterator[None]:
    """Turn what vLLM, torch or the hub raise into an EngineError that says what to do; the cause stays attached."""
    try:
        yield
    except EngineError:
        raise
    except MemoryError as error:
        raise EngineError(f"vLLM cannot run {name}: out of memory; {_ADVICE['out of memory']}") from error
    except Exception as error:  # third parties raise anything here
        text = _root(error)
        advice = next((hint for sign, hint in _ADVICE.items() if sign in text.lower()), _OTHERWISE)
        raise EngineError(f"vLLM cannot run {name}: {text[:600]}; {advice}") from error


def _root(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"


def _read(output: Any) -> Answer:
    completion = output.outputs[0]
    reason = completion.finish_reason or FAILED
    return Answer(
        completion.text,
        reason if reason in ("stop", "length") else FAILED,
        len(output.prompt_token_ids or ()),
        len(completion.token_ids),
        tuple(completion.token_ids),
        error="" if reason in ("stop", "length") else f"vLLM ended it with {reason}",
    )


def _compile_grammars_at_once(llm: Any) -> None:
    """Have vLLM compile a request's grammar before it is scheduled, where this version lets us say so.

    In a thread, which requests join the first batches would depend on the clock, and with the batches a few rows.
    """
    core: Any = getattr(getattr(llm.llm_engine.engine_core, "engine_core", None), "structured_output_manager", None)
    if hasattr(core, "_use_async_grammar_compilation"):
        core._use_async_grammar_compilation = False
