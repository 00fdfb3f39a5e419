"""SipHash-2-4 of pairs of token ids, many at a time, in numpy and in torch, bit for bit the same.

Here: the keyed hash (Aumasson & Bernstein 2012, "SipHash: a fast short-input PRF") of one 8-byte message. Not here:
what its value decides (green_list.py), hashes of text (rows.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

KEY_BYTES = 16
_START = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
_LENGTH_WORD = 8 << 56  # the last word of an 8-byte message: no bytes are left over, the length stands on top
_SIGN = 1 << 63


def hash_pairs(previous: np.ndarray, tokens: np.ndarray, key: bytes) -> np.ndarray:
    """Return SipHash-2-4 of the messages previous ‖ token (little-endian uint32 each), dtype uint64.

    Ids must be in 0 … 2³² − 1; the arguments are broadcast against each other.
    """
    message = previous.astype(np.uint64) | tokens.astype(np.uint64) << np.uint64(32)
    words = [np.uint64(word) for word in _start_words(key)]
    with np.errstate(over="ignore"):  # sums are modulo 2^64
        return np.asarray(_digest(message, *words))


def hash_pairs_torch(previous: torch.Tensor, tokens: torch.Tensor, key: bytes) -> torch.Tensor:
    """Return what hash_pairs returns, as int64 on the tensors' device: the same 64 bits, read with a sign."""
    message = previous.long() | tokens.long() << 32
    return _digest(message, *(message.new_full((), to_signed(word)) for word in _start_words(key)))


def to_signed(word: int) -> int:
    """Return the signed number with the bits of an unsigned 64-bit one."""
    return word - (1 << 64) if word >= _SIGN else word


def _start_words(key: bytes) -> tuple[int, int, int, int]:
    if len(key) != KEY_BYTES:
        raise ValueError(f"a SipHash key has {KEY_BYTES} bytes, not {len(key)}")
    low, high = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    return _START[0] ^ low, _START[1] ^ high, _START[2] ^ low, _START[3] ^ high


def _digest(message: Any, v0: Any, v1: Any, v2: Any, v3: Any) -> Any:
    """Run SipHash over one message word; arrays of uint64 or tensors of int64 alike."""
    state = _compress(message, v0, v1, v2, v3)
    v0, v1, v2, v3 = _compress(_LENGTH_WORD, *state)
    v2 = v2 ^ 0xFF
    for _ in range(4):
        v0, v1, v2, v3 = _mix(v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3


def _compress(word: Any, v0: Any, v1: Any, v2: Any, v3: Any) -> tuple[Any, Any, Any, Any]:
    v3 = v3 ^ word
    for _ in range(2):
        v0, v1, v2, v3 = _mix(v0, v1, v2, v3)
    return v0 ^ word, v1, v2, v3


def _mix(v0: Any, v1: Any, v2: Any, v3: Any) -> tuple[Any, Any, Any, Any]:
    """One SipRound."""
    v0, v2 = v0 + v1, v2 + v3
    v1, v3 = _rotate(v1, 13) ^ v0, _rotate(v3, 16) ^ v2
    v0, v2 = _rotate(v0, 32) + v3, v2 + v1
    v3, v1 = _rotate(v3, 21) ^ v0, _rotate(v1, 17) ^ v2
    return v0, v1, _rotate(v2, 32), v3


def _rotate(word: Any, bits: int) -> Any:
    # torch shifts signed numbers, which drags the sign along: the mask takes it off
    return word << bits | word >> (64 - bits) & ((1 << bits) - 1)
