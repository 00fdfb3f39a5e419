"""A language model whose answers are a function of the call: the protocol of language/protocol.py, without any weights.

Here: the model, a clock that stands still until it is moved. Not here: what it answers (each test says that).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from synth_assets.generation.allowance import Allowance
from synth_assets.generation.language.protocol import Answer, Call, ModelInfo, Sampling

INFO = ModelInfo(
    engine="vllm", model="scripted", version="1", digest="weights-1", chat=False, settings={"dtype": "float32"}, batch=4
)


@dataclass
class Clock:
    """Seconds that pass only when a test says so."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class ScriptedModel:
    """Answers `script(call)`; `window` calls are in flight at once, answered in order or the last one first.

    asked: position and call of every answer that was handed over, in that order. drawn: calls taken from the caller.
    """

    script: Callable[[Call], Answer]
    info: ModelInfo = INFO
    window: int = 4
    last_first: bool = False
    asked: list[tuple[int, Call]] = field(default_factory=list)
    drawn: int = 0
    sampling: Sampling | None = None
    closed: bool = False

    def answer(
        self,
        calls: Iterable[Call],
        receive: Callable[[int, Answer], Call | None],
        *,
        sampling: Sampling,
        allowance: Allowance,
    ) -> None:
        """See LanguageModel."""
        assert not self.closed, "a closed model was asked"
        self.sampling = sampling
        source = enumerate(calls)
        waiting: deque[tuple[int, Call]] = deque()
        flying: deque[tuple[int, Call]] = deque()
        while True:
            while len(flying) < self.window:
                item = waiting.popleft() if waiting else self._draw(source)
                if item is None:
                    break
                if not allowance.admit(item[1].max_tokens):
                    waiting.appendleft(item)
                    break
                flying.append(item)
            if not flying:
                return
            if allowance.overdue:
                for _, call in flying:
                    allowance.settle(call.max_tokens, 0)
                return
            position, call = flying.pop() if self.last_first else flying.popleft()
            answer = self.script(call)
            assert answer.output_tokens <= call.max_tokens, "the script wrote more than it was allowed to"
            allowance.settle(call.max_tokens, answer.output_tokens)
            self.asked.append((position, call))
            again = receive(position, answer)
            if again is not None:
                waiting.append((position, again))

    def close(self) -> None:
        """See LanguageModel."""
        self.closed = True

    def _draw(self, source: Any) -> tuple[int, Call] | None:
        item = next(source, None)
        self.drawn += item is not None
        return item


def write(text: str, tokens: int = 10, **more: Any) -> Answer:
    """Return a finished answer of so many output tokens."""
    return Answer(text, "stop", prompt_tokens=100, output_tokens=tokens, **more)
