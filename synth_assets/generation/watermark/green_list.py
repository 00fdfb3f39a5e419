"""Which token is green after which, and the nudge towards green ones among a sampler's likeliest tokens.

Here: the green list of Kirchenbauer et al. 2023 (arXiv 2301.10226) with one token of context, and its bias on a batch
of logits. Not here: where logits come from (vllm_v1.py, vllm_v2.py), counting green tokens (detection.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from synth_assets.generation.watermark.keys import LANGUAGE, Key
from synth_assets.generation.watermark.siphash import KEY_BYTES, hash_pairs, hash_pairs_torch, to_signed

if TYPE_CHECKING:
    import torch

CANDIDATES = 256
"""Likeliest tokens of a row that can be nudged: the others are all but never drawn, and hashing them costs time."""
_BLOCK = 64
_SIGN = -(1 << 63)


@dataclass(frozen=True)
class Rows:
    """What a batch of logits needs, one entry a row, all of shape (rows,) and on the logits' device.

    previous: int64, the token before the one to be drawn, −1 where it is not known: that row is left alone.
    limits: int64, sign_limit(gamma). deltas: float32, 0 where a row is not marked. candidates: int64, likeliest tokens
    that may be nudged, at most `width`; None: `width` in all rows.
    """

    previous: torch.Tensor
    limits: torch.Tensor
    deltas: torch.Tensor
    candidates: torch.Tensor | None
    width: int


def language_key(key: Key) -> bytes:
    """Return the SipHash key of the green list."""
    return key.derive(LANGUAGE, KEY_BYTES)


def are_green(previous: np.ndarray, tokens: np.ndarray, key: Key, gamma: float) -> np.ndarray:
    """Return for each pair of token ids whether the token is green after the previous one: SipHash < gamma · 2⁶⁴."""
    return hash_pairs(previous, tokens, language_key(key)) < np.uint64(_limit(gamma))


def are_green_torch(previous: torch.Tensor, tokens: torch.Tensor, secret: bytes, limits: torch.Tensor) -> torch.Tensor:
    """Return what are_green returns; limits: int64, sign_limit(gamma), broadcast. secret: language_key's bytes."""
    return hash_pairs_torch(previous, tokens, secret) ^ _SIGN < limits


def sign_limit(gamma: float) -> int:
    """Return gamma · 2⁶⁴ moved to where signed comparison orders hashes as unsigned ones once their sign is flipped."""
    return to_signed(_limit(gamma)) ^ _SIGN


def count_candidates(top_k: int, vocabulary: int) -> int:
    """Return how many likeliest tokens can be nudged under a sampler's top_k (0 or less: no limit).

    Tokens that the sampler would cut stay cut, so that the mark never brings in a token from the tail.
    """
    return min(CANDIDATES, top_k if top_k > 0 else CANDIDATES, vocabulary)


def add_bias(logits: torch.Tensor, rows: Rows, secret: bytes) -> torch.Tensor:
    """Add delta to the green ones of each row's likeliest tokens, in place; logits: float, shape (rows, vocabulary).

    All other logits keep their bits, and what a grammar has masked with −inf stays −inf.
    """
    import torch

    values, tokens = find_likeliest(logits, rows.width)
    previous = rows.previous[:, None]
    green = are_green_torch(previous, tokens, secret, rows.limits[:, None]) & (previous >= 0)
    if rows.candidates is not None:
        rank = torch.arange(rows.width, device=logits.device)
        green &= rank < rows.candidates[:, None]
    return logits.scatter_(1, tokens, values + green * rows.deltas[:, None].to(values.dtype))


def find_likeliest(logits: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return values and ids of the `count` largest logits of each row, largest first.

    The largest stand in at most `count` blocks of 64 tokens, those with the largest maxima; sorting them alone takes a
    third of the time of sorting the whole vocabulary on a CPU.
    """
    import torch

    height, vocabulary = logits.shape
    whole = vocabulary // _BLOCK * _BLOCK
    if whole // _BLOCK <= 2 * count:
        return logits.topk(count, dim=1)
    blocks = logits[:, :whole].unflatten(1, (-1, _BLOCK))
    likely = blocks.amax(2).topk(count, dim=1, sorted=False).indices
    tokens = (likely[:, :, None] * _BLOCK + torch.arange(_BLOCK, device=logits.device)).flatten(1)
    if whole < vocabulary:
        tail = torch.arange(whole, vocabulary, device=logits.device)
        tokens = torch.cat([tokens, tail.expand(height, -1)], dim=1)
    values, place = logits.gather(1, tokens).topk(count, dim=1)
    return values, tokens.gather(1, place)


def _limit(gamma: float) -> int:
    return int(gamma * 2.0**64)
