"""Texts as flat arrays of code points, words and hashes: what document statistics and text rules count on.

Here: kinds of characters, words as spans, hashes of spans, equal spans. Not here: any measure or rule (documents.py,
rules.py), tokens for comparing texts (similarity.py).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np
import polars as pl

SPACE, ALPHA, SOLID, SINGLE, BREAK, STOP, WORD, UPPER = (np.uint8(1 << bit) for bit in range(8))
"""Kinds of characters, a bit each; see `kinds_of_characters`."""

_UNSPACED = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x2E80, 0x2FDF), (0x3040, 0x30FF), (0x31F0, 0x31FF))
_UNSPACED += ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x31FFF))
_BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_STOPS = ".!?。！？．｡؟۔।॥။។։…‼⁇⁈⁉‽"
_LAST = 0x32000  # characters beyond are rare and of no kind
_CHUNK = 1 << 19  # characters measured at a time: the arrays stay in the cache
FACTOR = np.uint64(0xD6E8FEB86659FD93)
_MIX = np.uint64(0x9E3779B97F4A7C15)


@lru_cache(maxsize=1)
def kinds_of_characters() -> np.ndarray:
    """Return the kinds of every code point below _LAST, and of none at the end; shape (_LAST + 1,), uint8.

    SPACE: whitespace. ALPHA: a letter. SOLID: neither whitespace, punctuation, symbol nor control. SINGLE: of a script
    without spaces, a word by itself. BREAK: ends a line. STOP: ends a sentence. WORD: letter, mark, digit. UPPER: a
    capital.
    """
    kinds = np.zeros(_LAST + 1, dtype=np.uint8)
    solid = np.uint8(SOLID | WORD)
    for code in range(_LAST):
        letter = chr(code)
        if letter.isspace():
            kinds[code] = SPACE
        elif letter.isalpha():
            kinds[code] = solid | ALPHA | (UPPER if letter.isupper() else np.uint8(0))
        elif unicodedata.category(letter)[0] in "MN":
            kinds[code] = solid
    for low, high in _UNSPACED:
        span = kinds[low : high + 1]
        span[span & SOLID > 0] |= SINGLE
    kinds[[ord(mark) for mark in _BREAKS]] |= BREAK
    kinds[[ord(mark) for mark in _STOPS]] |= STOP
    return kinds


@lru_cache(maxsize=4)
def _powers(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the powers of the hash's factor and of its inverse modulo 2^64, each of shape (size,), uint64."""
    result = []
    for factor in (int(FACTOR), pow(int(FACTOR), -1, 1 << 64)):
        powers = np.full(size, factor, dtype=np.uint64)
        powers[0] = 1
        result.append(np.cumprod(powers))
    return result[0], result[1]


@dataclass(frozen=True)
class RollingHash:
    """Hashes of any span of a sequence, two gathers each: Σ value · factor^place modulo 2^64 (Karp & Rabin 1987)."""

    sums: np.ndarray
    inverse: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> RollingHash:
        powers, inverse = _powers(1 << max(10, len(values).bit_length()))
        sums = np.zeros(len(values) + 1, dtype=np.uint64)
        np.cumsum(np.multiply(values, powers[: len(values)], dtype=np.uint64), out=sums[1:])
        return cls(sums, inverse)

    def of_spans(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Return the hash of values[starts[i] : ends[i]], shape (spans,), uint64; equal spans have equal hashes."""
        return mix_codes((self.sums[ends] - self.sums[starts]) * self.inverse[starts])


def mix_codes(codes: np.ndarray) -> np.ndarray:
    codes = (codes ^ (codes >> np.uint64(32))) * _MIX
    return codes ^ (codes >> np.uint64(29))


@dataclass(frozen=True)
class FlatTexts:
    """Texts as one array of code points, a space after each; `lengths` in characters, shape (texts,)."""

    codes: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(cls, texts: pl.Series) -> FlatTexts:
        """Return the texts of a String column; a null counts as the empty text."""
        texts = texts.cast(pl.String).fill_null("")
        joined = (texts.str.join(" ").item() or "") + " " if len(texts) else ""
        codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        return cls(codes, texts.str.len_chars().to_numpy().astype(np.int64))

    @cached_property
    def starts(self) -> np.ndarray:
        return self.ends - self.lengths

    @cached_property
    def ends(self) -> np.ndarray:
        return np.cumsum(self.lengths + 1) - 1

    @cached_property
    def kinds(self) -> np.ndarray:
        return kinds_of_characters().take(self.codes, mode="clip")

    @cached_property
    def hash(self) -> RollingHash:
        return RollingHash.of(self.codes)

    @cached_property
    def folded(self) -> np.ndarray:
        """The codes without case: capitals of Latin-1, Greek and Cyrillic stand 32 before their small letters."""
        return self.codes + ((self.kinds & UPPER) >> np.uint8(2))

    @cached_property
    def folded_hash(self) -> RollingHash:
        return RollingHash.of(self.folded)

    def find_runs(self, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return starts and ends of the words: runs of the marked characters, SINGLE ones each by itself."""
        alone = inside & (self.kinds & SINGLE > 0)
        starts, ends = inside.copy(), inside.copy()
        starts[1:] &= ~inside[:-1]
        ends[:-1] &= ~inside[1:]
        if alone.any():
            starts |= alone
            starts[1:] |= inside[1:] & alone[:-1]
            ends |= alone
            ends[:-1] |= inside[:-1] & alone[1:]
        return np.flatnonzero(starts), np.flatnonzero(ends) + 1

    def owners_of(self, places: np.ndarray) -> np.ndarray:
        """Return the text in which each place of `codes` lies."""
        return np.searchsorted(self.ends, places)

    def count_in(self, places: np.ndarray) -> np.ndarray:
        """Return how many of the places lie in each text, shape (texts,)."""
        return np.bincount(self.owners_of(places), minlength=len(self.lengths))


@dataclass(frozen=True)
class Words:
    """Words of texts: where each starts and ends, of which text it is; `first`: word where a text's words start."""

    starts: np.ndarray
    ends: np.ndarray
    owners: np.ndarray
    first: np.ndarray  # (texts + 1,)

    @classmethod
    def of(cls, flat: FlatTexts, inside: np.ndarray) -> Words:
        """Return the words that the marked characters make; see FlatTexts.find_runs."""
        starts, ends = flat.find_runs(inside)
        first = np.append(np.searchsorted(starts, flat.starts), len(starts))
        return cls(starts, ends, np.repeat(np.arange(len(flat.lengths)), np.diff(first)), first)

    @cached_property
    def lengths(self) -> np.ndarray:
        return self.ends - self.starts

    def sum_in_texts(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of the words' values in each text, shape (texts,)."""
        sums = np.append(0, np.cumsum(values))
        return sums[self.first[1:]] - sums[self.first[:-1]]


def chunk_texts(texts: pl.Series, characters: int = _CHUNK) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of the rows of about so many characters."""
    total = texts.str.len_chars().fill_null(0).cast(pl.Int64).to_numpy() + 1
    part = (np.cumsum(total) - 1) // characters
    borders = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(texts)]
    yield from pairwise(borders)


def find_first_equal(keys: np.ndarray) -> np.ndarray:
    """Return for every key the place of its first equal one, shape (keys,), int64; keys are well-mixed uint64.

    A hash table without chains: all write their place, the earliest stays; who meets another key tries again elsewhere.
    """
    factor = int(_MIX)
    first = _meet(keys, factor)
    missed = np.flatnonzero(keys[first] != keys)
    while len(missed):
        factor = factor * int(_MIX) % (1 << 64)
        left = keys[missed]
        found = missed[_meet(left, factor)]
        first[missed] = found
        missed = missed[keys[found] != left]
    return first


def _meet(keys: np.ndarray, factor: int) -> np.ndarray:
    """Return for every key the place of the first key with the same slot."""
    bits = max(4, (2 * len(keys)).bit_length())
    slot = ((keys * np.uint64(factor)) >> np.uint64(64 - bits)).view(np.int64)
    table = np.empty(1 << bits, dtype=np.int64)
    table[slot[::-1]] = np.arange(len(keys) - 1, -1, -1)
    return table[slot]
