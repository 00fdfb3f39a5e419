"""The engine that asks a language model for records: prompts out, answers read, what is wrong asked again.

Here: Engine over any LanguageModel, with repair. Not here: the models (vllm/engine.py, server/engine.py), the schema
and its reading (schema.py), templates (prompts.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import polars as pl

from synth_assets.generation.allowance import Allowance
from synth_assets.generation.language.prompts import Prompts
from synth_assets.generation.language.protocol import OVERFLOW, REFUSED, Answer, Call, LanguageModel, Sampling
from synth_assets.generation.language.schema import RecordSchema
from synth_assets.generation.recipes import load_recipe
from synth_assets.generation.refusals import REFUSAL
from synth_assets.generation.requests import INVALID, STOP, GeneratorInfo
from synth_assets.generation.watermark.keys import Key as WatermarkKey
from synth_assets.generation.watermark.requested import request_arguments
from synth_assets.records import RELEASABLE, derive_seed, digest_text, polars_schema
from synth_assets.spec import DatasetSpec, WatermarkSpec

DEFAULT_TOP_K = 50
_FRAME_ROWS = 4096
_REFUSAL = re.compile(REFUSAL)


@dataclass
class _Attempt:
    """One completion of a request and how it was asked for."""

    seed: int
    exemplars: int
    record: dict[str, Any] | None = None
    reason: str = ""
    fault: str = ""
    answer: Answer | None = None


@dataclass
class _Asked:
    """A request under way."""

    request_id: str
    stratum: str
    exemplars: list[str]
    attempts: list[_Attempt] = field(default_factory=list)


class RecordEngine:
    """Generates records with a language model that somebody else opened and will close.

    Completions hold every attempt: a request whose answer is invalid, truncated, refused or too long for the context is
    asked again (with another seed; with half the exemplars where it did not fit) up to `repair_attempts` times, and
    what failed stays as a row of its own with attempt 0, 1, … and its own seed. Beside the columns of the protocol:
    seed and prompted_by of each attempt, output_token_ids (List Int32, null where the model does not tell), answer (the
    text of what could not be used, else null) and fault (what was wrong with it, else null).
    """

    def __init__(
        self,
        spec: DatasetSpec,
        model: LanguageModel,
        train: pl.DataFrame,
        allowance: Allowance,
        *,
        private_exemplars: bool = True,
        watermark: WatermarkKey | None = None,
    ) -> None:
        """Get ready to ask `model`; `train`: the training rows (example_id, stratum, disposition, record fields).

        Without `private_exemplars`, rows that must not leave this machine are shown to no model.
        """
        self.spec = spec
        self.model = model
        self.allowance = allowance
        self.private_exemplars = private_exemplars
        self.done = 0
        self.watermark_key_id = watermark.key_id if watermark else None
        self.schema = RecordSchema.build(spec, train)
        self.prompts = Prompts(load_recipe(spec.generation.recipe), self.schema)
        shown = train if private_exemplars else train.filter(pl.col("disposition") == RELEASABLE)
        self._lines = dict(zip(shown["example_id"], self.schema.write_lines(shown), strict=True))
        top_k = DEFAULT_TOP_K if spec.generation.top_k is None else spec.generation.top_k
        mark = request_arguments(spec.generation.watermark or WatermarkSpec(), watermark) if watermark else None
        self.sampling = Sampling(spec.generation.temperature, top_k, spec.generation.min_p, mark)

    @property
    def info(self) -> GeneratorInfo:
        """What made a completion; the model is not fitted here, so it has no members."""
        return self._info

    @cached_property
    def _info(self) -> GeneratorInfo:
        model = self.model.info
        parameters = {
            **model.settings,
            "chat": model.chat,
            "exemplars": self.spec.generation.exemplars,
            "max_tokens": self.spec.generation.max_tokens,
            "min_p": self.sampling.min_p,
            "private_exemplars": self.private_exemplars,
            "repair_attempts": self.spec.generation.repair_attempts,
            "temperature": self.sampling.temperature,
            "top_k": self.sampling.top_k,
            "watermark": dict(self.sampling.mark) if self.sampling.mark else None,
            "weights": model.digest,
        }
        text = json.dumps(parameters, sort_keys=True)
        digest = digest_text(model.engine, model.model, model.version, self.schema.json_schema, text, size=6)
        return GeneratorInfo(
            generator_id=f"{model.engine}-{model.model}-{digest}",
            engine=model.engine,
            model=model.model,
            version=model.version,
            trained_on="",
            members=(),
            parameters=text,
            watermark_key_id=self.watermark_key_id,
        )

    @property
    def shard_size(self) -> int:
        """Requests in a shard where the spec does not say: enough that draining the batch at its end costs little."""
        return min(16 * self.model.info.batch, 4096)

    def generate(self, requests: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Complete the requests of one shard; where the allowance ends, requests that were not begun have no row."""
        asked: list[_Asked] = []
        self.done = 0

        def calls() -> Iterator[Call]:
            for row in requests.iter_rows(named=True):
                shown = [name for name in row["prompted_by"] if name in self._lines]
                asked.append(_Asked(row["request_id"], row["stratum"], shown))
                yield self._ask(asked[-1], row["seed"], len(shown))

        def receive(position: int, answer: Answer) -> Call | None:
            again = self._judge(asked[position], answer)
            self.done += again is None
            return again

        self.model.answer(calls(), receive, sampling=self.sampling, allowance=self.allowance)
        finished = [request for request in asked if any(attempt.answer for attempt in request.attempts)]
        for start in range(0, len(finished), _FRAME_ROWS):
            yield self._frame(finished[start : start + _FRAME_ROWS])
        if not finished:
            yield self._frame([])

    def artifact(self) -> dict[str, pl.DataFrame]:
        """Return what is worth keeping of the generator: the JSON Schema its answers had to meet."""
        return {"schema": pl.DataFrame({"json_schema": [self.schema.json_schema]})}

    def _ask(self, request: _Asked, seed: int, exemplars: int) -> Call:
        request.attempts.append(_Attempt(seed, exemplars))
        lines = [self._lines[name] for name in request.exemplars[:exemplars]]
        prompt = self.prompts.render(request.stratum, lines, chat=self.model.info.chat)
        return Call(prompt, seed, self.spec.generation.max_tokens, self.schema.json_schema)

    def _judge(self, request: _Asked, answer: Answer) -> Call | None:
        """Book an answer; return the call that asks again, or None where this was good or the last attempt."""
        attempt = request.attempts[-1]
        attempt.answer = answer
        if answer.finish_reason == STOP:
            attempt.record, attempt.fault = self.schema.read(answer.text, request.stratum)
            attempt.reason = STOP if attempt.record is not None else INVALID
            if attempt.record is not None and (found := _REFUSAL.search(answer.text)):
                attempt.reason, attempt.fault = REFUSED, found.group()
        else:
            attempt.reason = answer.finish_reason
            attempt.fault = answer.error or f"finish_reason {answer.finish_reason}"
        if attempt.reason == STOP or len(request.attempts) > self.spec.generation.repair_attempts:
            return None
        if attempt.reason == OVERFLOW and attempt.exemplars < 2:
            return None
        exemplars = attempt.exemplars // 2 if attempt.reason == OVERFLOW else attempt.exemplars
        return self._ask(request, derive_seed(request.attempts[0].seed, "repair", len(request.attempts)), exemplars)

    def _frame(self, requests: list[_Asked]) -> pl.DataFrame:
        fields = polars_schema(self.spec.content_fields)
        columns: dict[str, list[Any]] = {name: [] for name in (*_COLUMNS, *fields)}
        for request in requests:
            for number, attempt in enumerate(request.attempts):
                answer = attempt.answer
                if answer is None:  # its repair was not begun before the allowance ended
                    continue
                usable = attempt.reason == STOP
                columns["request_id"].append(request.request_id)
                columns["attempt"].append(number)
                columns["seed"].append(attempt.seed)
                columns["prompted_by"].append(request.exemplars[: attempt.exemplars])
                columns["finish_reason"].append(attempt.reason)
                columns["prompt_tokens"].append(answer.prompt_tokens)
                columns["output_tokens"].append(answer.output_tokens)
                columns["output_token_ids"].append(answer.token_ids)
                columns["answer"].append(None if usable else answer.text)
                columns["fault"].append(None if usable else attempt.fault)
                record = attempt.record or {}
                for name in fields:
                    columns[name].append(record.get(name))
        return pl.DataFrame(columns, schema={**_COLUMNS, **fields})


_COLUMNS: dict[str, pl.DataType] = {
    "request_id": pl.String(),
    "attempt": pl.Int32(),
    "seed": pl.Int64(),
    "prompted_by": pl.List(pl.String()),
    "finish_reason": pl.String(),
    "prompt_tokens": pl.Int32(),
    "output_tokens": pl.Int32(),
    "output_token_ids": pl.List(pl.Int32()),
    "answer": pl.String(),
    "fault": pl.String(),
}
