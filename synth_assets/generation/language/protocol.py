"""What a language model is asked and what it answers, whatever runs it.

Here: one call, one answer, the protocol that every model keeps, shared by generation, judge and other uses of one
loaded model. Not here: records and prompts (engine.py), any model (vllm/engine.py, server/engine.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from synth_assets.generation.allowance import Allowance

OVERFLOW = "overflow"
REFUSED = "refused"
FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat prompt; role: system | user | assistant."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Call:
    """One question to a language model.

    prompt: text to complete, or chat messages for a model with a chat template. schema: JSON Schema as text that the
    answer must meet, empty for free text; calls that share a schema should share the string.
    """

    prompt: str | tuple[Message, ...]
    seed: int
    max_tokens: int
    schema: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one call.

    finish_reason: stop | length as the model says; overflow: prompt and completion do not fit the context; refused: the
    model or its server declined this one prompt; failed: this one call met errors until its retries were used up.
    token_ids: the output tokens, None where the model does not tell them. error: for people, empty unless it failed.
    """

    text: str
    finish_reason: str
    prompt_tokens: int = 0
    output_tokens: int = 0
    token_ids: tuple[int, ...] | None = None
    error: str = ""


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn, for every call of a model; top_k 0 means all.

    mark: the request arguments that put the watermark on (watermark/requested.py), None for no mark.
    """

    temperature: float
    top_k: int
    min_p: float
    mark: Mapping[str, int | float | str] | None = None


@dataclass(frozen=True)
class ModelInfo:
    """What identifies a loaded model.

    engine: vllm | server. model: its name, for a folder the folder's name. version: of what runs it. digest: of the
    weights (a server's are unknown: empty). chat: whether prompts are messages. settings: everything else that can
    change an answer (dtype, adapter, runner …), as plain JSON values. batch: calls worth having in flight at once.
    """

    engine: str
    model: str
    version: str
    digest: str
    chat: bool
    settings: dict[str, str | int | float | bool | None]
    batch: int


class LanguageModel(Protocol):
    """A model that is ready to answer; one object serves generation, judging and everything else."""

    @property
    def info(self) -> ModelInfo: ...

    def answer(
        self,
        calls: Iterable[Call],
        receive: Callable[[int, Answer], Call | None],
        *,
        sampling: Sampling,
        allowance: Allowance,
    ) -> None:
        """Ask every call and hand each answer to `receive` with the call's position, in any order.

        Calls are drawn from the iterable as room comes free, so that memory does not grow with their number. A call
        that `receive` returns is asked in the same pass and answered under the same position. `receive` is called in
        the caller's thread, once for each answer. Where the allowance ends, calls that were not begun are not answered.
        EngineError if the model as a whole cannot go on; what was received until then stands.
        """
        ...

    def close(self) -> None:
        """Free the model's memory or connections; it answers no more."""
        ...
