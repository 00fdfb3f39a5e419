"""The green-list mark as a logits processor of vLLM's Model Runner V2, the default on CUDA.

Here: which request slots are marked, on the device. Not here: the bias (green_list.py), the arguments of a request
(requested.py), the V1 runner (vllm_v1.py). vLLM's front end loads the class too, so torch is not imported here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcessor

from synth_assets.generation.watermark.green_list import Rows, add_bias, count_candidates, language_key, sign_limit
from synth_assets.generation.watermark.keys import read_export
from synth_assets.generation.watermark.requested import read_mark

if TYPE_CHECKING:
    import torch
    from vllm.config import VllmConfig
    from vllm.sampling_params import SamplingParams
    from vllm.v1.worker.gpu.sample.logits_processor import LogitsContext, LogitsProcRequestState


class WatermarkProcessor(LogitsProcessor):
    """Nudges requests that ask for it by extra_args {"synth_watermark": 1} towards green tokens.

    The token before a row's next one is the token that the model was just fed there: the last of the prompt, the last
    drawn, or the last draft. It is on the device already, and so is what each slot asked for: a step without new
    requests copies nothing and waits for nothing. The bias is added before temperature, min-p and top-k, so a
    temperature T makes it delta / T.
    """

    def __init__(self, vllm_config: VllmConfig, req_states: LogitsProcRequestState) -> None:
        import torch

        super().__init__(vllm_config, req_states)
        self._export = read_export()
        self._secret = language_key(self._export.key)
        self._vocabulary = req_states.vocab_size
        slots, device = req_states.max_num_reqs, req_states.device
        self._limits, self._deltas = np.zeros(slots, np.int64), np.zeros(slots, np.float32)
        self._candidates = np.zeros(slots, np.int64)
        self._limits_there = torch.zeros(slots, dtype=torch.int64, device=device)
        self._deltas_there = torch.zeros(slots, dtype=torch.float32, device=device)
        self._candidates_there = torch.zeros(slots, dtype=torch.int64, device=device)
        self._changed = False

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        """Refuse arguments that cannot be met, when the request arrives; see requested.read_mark."""
        read_mark(sampling_params.extra_args)

    def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
        """Write the slot anew, whoever had it before; return whether the request is marked."""
        mark = read_mark(sampling_params.extra_args, self._export)
        self._changed = True
        self._limits[req_idx] = sign_limit(mark.gamma) if mark else 0
        self._deltas[req_idx] = mark.delta if mark else 0.0
        self._candidates[req_idx] = count_candidates(sampling_params.top_k, self._vocabulary) if mark else 0
        return mark is not None

    def apply_staged_writes(self) -> None:
        """Bring new requests' settings to the device, once a step before the forward pass."""
        import torch

        if not self._changed:
            return
        self._changed = False
        self._limits_there.copy_(torch.from_numpy(self._limits))
        self._deltas_there.copy_(torch.from_numpy(self._deltas))
        self._candidates_there.copy_(torch.from_numpy(self._candidates))

    def apply(self, logits: torch.Tensor, ctx: LogitsContext) -> torch.Tensor:
        """Bias the marked rows of float32 logits (rows, vocabulary) in place."""
        wanted = self._candidates[ctx.idx_mapping_np]
        width = int(wanted.max(initial=0))
        if not width:
            return logits
        slots = ctx.expanded_idx_mapping.long()
        rows = Rows(
            ctx.input_ids.long(),
            self._limits_there[slots],
            self._deltas_there[slots],
            None if (wanted[wanted > 0] == width).all() else self._candidates_there[slots],
            width,
        )
        return add_bias(logits, rows, self._secret)
