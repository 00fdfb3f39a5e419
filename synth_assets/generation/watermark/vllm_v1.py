"""The green-list mark as a logits processor of vLLM's V1 model runner, which serves CPUs and older set-ups.

Here: which rows of the batch are marked, and the token before each. Not here: the bias (green_list.py), the arguments
of a request (requested.py), Model Runner V2 (vllm_v2.py). vLLM loads the class by keys.processor_for's name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from vllm.v1.sample.logits_processor import LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from synth_assets.generation.watermark.green_list import Rows, add_bias, count_candidates, language_key, sign_limit
from synth_assets.generation.watermark.keys import read_export
from synth_assets.generation.watermark.requested import read_mark

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.config import VllmConfig
    from vllm.v1.sample.logits_processor import BatchUpdate

_UNKNOWN = -1  # also vLLM's placeholder for a token that is drawn but has not arrived yet


@dataclass(frozen=True)
class _Marked:
    """A request in the batch; `prompt` and `output` are vLLM's own lists, and `output` grows."""

    limit: int
    delta: float
    top_k: int
    prompt: Sequence[int]
    output: Sequence[int]

    def previous(self) -> int:
        """Return the token before the one to be drawn, −1 where it is not known."""
        if self.output:
            return self.output[-1]
        return self.prompt[-1] if self.prompt else _UNKNOWN


class WatermarkProcessor(LogitsProcessor):
    """Nudges requests that ask for it by extra_args {"synth_watermark": 1} towards green tokens.

    The first token's context is the last one of the prompt. A row whose context is unknown is left as it is. The bias
    is added before temperature, min-p and top-k, so a temperature T makes it delta / T.
    """

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:  # noqa: ARG002
        self._export = read_export()
        self._secret = language_key(self._export.key)
        self._device = device
        self._requests: dict[int, _Marked] = {}

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        """Refuse arguments that cannot be met, when the request arrives; see requested.read_mark."""
        read_mark(sampling_params.extra_args)

    def is_argmax_invariant(self) -> bool:
        """No: the likeliest token may become another."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Follow requests that come, go and move within the batch."""
        process_dict_updates(self._requests, batch_update, self._add)

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Bias the marked rows of float32 logits (requests, vocabulary) in place."""
        height, vocabulary = logits.shape
        marked = {i: row for i, row in self._requests.items() if i < height}
        if not marked:
            return logits
        previous, limits, deltas, candidates = [0] * height, [0] * height, [0.0] * height, [0] * height
        for i, row in marked.items():
            previous[i], limits[i], deltas[i] = row.previous(), row.limit, row.delta
            candidates[i] = count_candidates(row.top_k, vocabulary)
        width = max(candidates)
        even = all(candidates[i] == width for i in marked)
        rows = Rows(
            torch.tensor(previous, device=self._device),
            torch.tensor(limits, device=self._device),
            torch.tensor(deltas, device=self._device),
            None if even else torch.tensor(candidates, device=self._device),
            width,
        )
        return add_bias(logits, rows, self._secret)

    def _add(self, params: SamplingParams, prompt: list[int] | None, output: list[int]) -> _Marked | None:
        mark = read_mark(params.extra_args, self._export)
        if mark is None:
            return None
        return _Marked(sign_limit(mark.gamma), mark.delta, params.top_k, prompt or (), output)
