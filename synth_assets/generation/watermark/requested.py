"""What a request to vLLM says about its mark: the arguments to send, and their reading in vLLM's processes.

Here: SamplingParams.extra_args (over HTTP `vllm_xargs`) as flat scalars, checked on arrival. Not here: torch, vLLM, or
what the mark does to logits (green_list.py); the two processors share this module and it stays light to import.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from synth_assets.generation.watermark.keys import ExportedMark, Key, read_export
from synth_assets.spec import WatermarkSpec

MARK = "synth_watermark"
GAMMA = "synth_watermark_gamma"
DELTA = "synth_watermark_delta"
KEY_ID = "synth_watermark_key_id"


@dataclass(frozen=True)
class Mark:
    """How one request's tokens are to be marked."""

    gamma: float
    delta: float


def request_arguments(watermark: WatermarkSpec, key: Key) -> dict[str, int | float | str]:
    """Return the extra arguments that ask for a mark.

    They name the key by its id, so that a server started with another key refuses them instead of putting on a mark
    that nobody will look for.
    """
    return {MARK: 1, GAMMA: watermark.gamma, DELTA: watermark.delta, KEY_ID: key.key_id}


def read_mark(arguments: Mapping[str, Any] | None, export: ExportedMark | None = None) -> Mark | None:
    """Return the mark that a request's extra arguments ask for, None where they ask for none.

    `export`: the process's own key and defaults; left out, they are read from its environment. ValueError, which vLLM
    turns into a 400, for a value that is none, another key, or an argument of ours that is not known.
    """
    ours = {name: value for name, value in (arguments or {}).items() if name.startswith(MARK)}
    if not ours:
        return None
    unknown = sorted(ours.keys() - {MARK, GAMMA, DELTA, KEY_ID})
    if unknown:
        raise ValueError(f"unknown argument {', '.join(unknown)}; known are {MARK}, {GAMMA}, {DELTA}, {KEY_ID}")
    wanted = ours.get(MARK)
    if wanted not in (0, 1):
        raise ValueError(f"{MARK}={wanted!r}: write 1 to mark this request, or leave every {MARK} argument out")
    if not wanted:
        return None
    export = export or read_export()
    if ours.get(KEY_ID, export.key.key_id) != export.key.key_id:
        raise ValueError(
            f"{KEY_ID}={ours[KEY_ID]!r}: this engine marks with key {export.key.key_id}; start it with the key of the "
            "data set"
        )
    gamma, delta = ours.get(GAMMA, export.gamma), ours.get(DELTA, export.delta)
    try:
        numbers = WatermarkSpec.model_validate({"gamma": gamma, "delta": delta}, strict=True)
    except ValidationError:
        raise ValueError(
            f"{GAMMA}={gamma!r}, {DELTA}={delta!r}: gamma must lie between 0 and 1 and delta between 0 and 20"
        ) from None
    return Mark(numbers.gamma, numbers.delta)
