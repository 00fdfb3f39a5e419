"""SipHash-2-4 against its authors' vectors, and its numpy and torch versions against each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from synth_assets.generation.watermark.siphash import hash_pairs, hash_pairs_torch, to_signed

KEY = bytes(range(16))
# of the messages of 0, 1, … 8 bytes 00 01 02 …, from the paper's reference code
PUBLISHED = [
    "310e0edd47db6f72",
    "fd67dc93c539f874",
    "5a4fa9d909806c0d",
    "2d7efbd796666785",
    "b7877127e09427cf",
    "8da699cd64557618",
    "cee3fe586e46c9cb",
    "37d1018bf50002ab",
    "6224939a79f5f593",
]
MASK = (1 << 64) - 1
IDS = st.integers(0, 2**32 - 1)


def rotate(word: int, bits: int) -> int:
    return (word << bits | word >> (64 - bits)) & MASK


def siphash(message: bytes, key: bytes) -> int:
    """The paper's algorithm, word by word."""
    low, high = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    v = [low ^ 0x736F6D6570736575, high ^ 0x646F72616E646F6D, low ^ 0x6C7967656E657261, high ^ 0x7465646279746573]

    def mix(rounds: int) -> None:
        for _ in range(rounds):
            v[0] = (v[0] + v[1]) & MASK
            v[1] = rotate(v[1], 13) ^ v[0]
            v[0] = rotate(v[0], 32)
            v[2] = (v[2] + v[3]) & MASK
            v[3] = rotate(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & MASK
            v[3] = rotate(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & MASK
            v[1] = rotate(v[1], 17) ^ v[2]
            v[2] = rotate(v[2], 32)

    padded = message + bytes(-(len(message) + 1) % 8) + bytes([len(message) & 0xFF])
    for start in range(0, len(padded), 8):
        word = int.from_bytes(padded[start : start + 8], "little")
        v[3] ^= word
        mix(2)
        v[0] ^= word
    v[2] ^= 0xFF
    mix(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


@pytest.mark.parametrize(("length", "published"), list(enumerate(PUBLISHED)))
def test_the_scalar_version_gives_the_published_values(length: int, published: str) -> None:
    assert siphash(bytes(range(length)), KEY).to_bytes(8, "little").hex() == published


def test_a_pair_of_ids_is_the_message_of_eight_bytes() -> None:
    hashed = hash_pairs(np.array([0x03020100]), np.array([0x07060504]), KEY)
    assert int(hashed[0]).to_bytes(8, "little").hex() == PUBLISHED[8]


@given(
    pairs=arrays.arrays(np.int64, st.tuples(st.integers(1, 20), st.just(2)), elements=IDS),
    key=st.binary(min_size=16, max_size=16),
)
def test_numpy_and_torch_give_the_bits_of_the_scalar_version(pairs: np.ndarray, key: bytes) -> None:
    torch = pytest.importorskip("torch")
    previous, tokens = pairs[:, 0], pairs[:, 1]
    hashed = hash_pairs(previous, tokens, key)
    expected = [
        siphash(int(a).to_bytes(4, "little") + int(b).to_bytes(4, "little"), key)
        for a, b in zip(previous, tokens, strict=True)
    ]
    assert hashed.dtype == np.uint64
    assert hashed.tolist() == expected
    there = hash_pairs_torch(torch.from_numpy(previous.copy()), torch.from_numpy(tokens.copy()), key)
    assert there.tolist() == [to_signed(value) for value in expected]


def test_arguments_are_broadcast_and_of_any_integer_type() -> None:
    torch = pytest.importorskip("torch")
    previous, tokens = np.array([[1], [2]], dtype=np.int32), np.array([3, 4, 5], dtype=np.uint32)
    hashed = hash_pairs(previous, tokens, KEY)
    assert hashed.shape == (2, 3)
    assert hashed[1, 2] == hash_pairs(np.array([2]), np.array([5]), KEY)[0]
    there = hash_pairs_torch(torch.from_numpy(previous), torch.tensor([3, 4, 5], dtype=torch.int32), KEY)
    assert (there.numpy().view(np.uint64) == hashed).all()


def test_no_pairs_have_no_hashes() -> None:
    nothing = np.array([], dtype=np.int64)
    assert hash_pairs(nothing, nothing, KEY).shape == (0,)


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        hash_pairs(np.array([1]), np.array([2]), b"short")
