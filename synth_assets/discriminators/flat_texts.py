"""Texts as flat arrays of characters, words and hashes: what document statistics and text rules count on.

Here: kinds of characters, words as spans, hashes of spans, equal keys. Not here: any measure or rule (documents.py,
rules.py), tokens for comparing texts (similarity/).
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
_FEW = 1 << 14  # keys whose table stays in the cache when it is large for them
_ASCII, _NO_LETTER = 0x7F, 0xFFFFFFFF
_MASKS = np.array([(1 << 8 * size) - 1 for size in range(9)], dtype=np.uint64)  # of the first bytes of a block
_CHUNK = 1 << 19  # characters read at a time: less would be calls of numpy, more would leave the cache
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


@dataclass(frozen=True)
class BlockHash:
    """Hashes of any short span of an array of codes by blocks of eight bytes; not to compare between arrays."""

    blocks: np.ndarray
    width: int

    @classmethod
    def of(cls, codes: np.ndarray) -> BlockHash:
        padded = np.append(codes, np.zeros(8, dtype=codes.dtype))
        return cls(np.ndarray(len(codes), "<u8", padded.data, strides=(codes.itemsize,)), codes.itemsize)

    def of_spans(self, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return the hash of each span, none of them empty at the array's end, shape (spans,), uint64."""
        sizes = lengths * self.width
        hashes = self.blocks[starts] & _MASKS.take(sizes, mode="clip")
        hashes += sizes.view(np.uint64) * FACTOR
        long = np.flatnonzero(sizes > 8)
        if len(long):
            counts = (sizes[long] - 1) // 8
            begins = np.cumsum(counts) - counts
            offsets = 8 * (np.arange(1, counts.sum() + 1) - np.repeat(begins, counts))
            places = np.repeat(starts[long], counts) + offsets // self.width
            left = np.repeat(sizes[long], counts) - offsets
            blocks = self.blocks[places] & _MASKS.take(left, mode="clip")
            hashes[long] += np.add.reduceat(mix_codes(blocks + offsets.view(np.uint64) * FACTOR), begins)
        return mix_codes(hashes)


def mix_codes(codes: np.ndarray) -> np.ndarray:
    codes = (codes ^ (codes >> np.uint64(32))) * _MIX
    return codes ^ (codes >> np.uint64(29))


@dataclass(frozen=True)
class FlatTexts:
    """Texts as one array of codes, a space after each; `lengths` in characters, shape (texts,).

    codes are code points: uint8 where all are ASCII, else uint32. With an `alphabet`, shape (256,), uint32, they are
    uint8 and number it: ASCII as it is, other characters from 128; see `number_characters`.
    """

    codes: np.ndarray
    lengths: np.ndarray
    alphabet: np.ndarray | None = None

    @classmethod
    def of(cls, texts: pl.Series) -> FlatTexts:
        """Return the texts of a String column; a null counts as the empty text."""
        texts = texts.cast(pl.String).fill_null("")
        return cls._join(texts, texts.str.len_chars().to_numpy().astype(np.int64))

    @classmethod
    def _join(cls, texts: pl.Series, lengths: np.ndarray) -> FlatTexts:
        joined = " ".join([*texts.to_list(), ""])
        if joined.isascii():
            codes = np.frombuffer(joined.encode("ascii"), dtype=np.uint8)
        else:
            codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        return cls(codes, lengths)

    def number_characters(self) -> FlatTexts:
        """Return the texts with one byte a character, or as they are if they hold over 128 characters beyond ASCII."""
        if self.codes.dtype == np.uint8:
            return self
        others = np.flatnonzero(self.codes > _ASCII)
        letters = self.codes[others]
        distinct = np.unique(letters)
        if len(distinct) > _ASCII + 1:
            return self
        alphabet = np.full(2 * (_ASCII + 1), _NO_LETTER, dtype=np.uint32)
        alphabet[: _ASCII + 1] = np.arange(_ASCII + 1)
        alphabet[_ASCII + 1 : _ASCII + 1 + len(distinct)] = distinct
        codes = self.codes.astype(np.uint8)
        codes[others] = np.searchsorted(distinct, letters) + _ASCII + 1
        return FlatTexts(codes, self.lengths, alphabet)

    def code_of(self, letter: str) -> int | None:
        """Return what stands in `codes` for a character, None if the texts do not have it."""
        if self.alphabet is not None:
            return next(iter(np.flatnonzero(self.alphabet == ord(letter)).tolist()), None)
        return ord(letter) if self.codes.dtype != np.uint8 or letter.isascii() else None

    def are(self, places: np.ndarray, letter: str) -> np.ndarray:
        """Return whether the character stands at each of the places."""
        code = self.code_of(letter)
        return np.zeros(len(places), dtype=bool) if code is None else self.codes.take(places) == code

    def find(self, letter: str) -> np.ndarray:
        """Return where the character stands, ascending."""
        code = self.code_of(letter)
        return np.empty(0, dtype=np.int64) if code is None else find_places(self.codes == code)

    @cached_property
    def starts(self) -> np.ndarray:
        return self.ends - self.lengths

    @cached_property
    def ends(self) -> np.ndarray:
        return np.cumsum(self.lengths + 1) - 1

    @cached_property
    def kinds(self) -> np.ndarray:
        kinds = kinds_of_characters()
        if self.codes.dtype != np.uint8:
            return kinds.take(self.codes, mode="clip")
        table = kinds[:256] if self.alphabet is None else kinds.take(self.alphabet, mode="clip")
        return np.frombuffer(self.codes.tobytes().translate(table.tobytes()), dtype=np.uint8)

    @cached_property
    def has_single(self) -> bool:
        return bool((self.kinds & SINGLE).any())

    def kinds_in(self, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Return all kinds of the characters in each span, none of them empty, shape (spans,), uint8."""
        eights = BlockHash.of(self.kinds).blocks[starts] & _MASKS.take(ends - starts, mode="clip")
        kinds = np.bitwise_or.reduce(eights.view(np.uint8).reshape(-1, 8), axis=1)
        long = np.flatnonzero(ends - starts > 8)
        if len(long):
            spans = np.stack([starts[long], ends[long]], axis=1).ravel()
            kinds[long] = np.bitwise_or.reduceat(self.kinds, spans)[::2]
        return kinds

    @cached_property
    def folded(self) -> np.ndarray:
        """The codes without case: capitals of Latin-1, Greek and Cyrillic stand 32 before their small letters.

        Of numbered characters, the number of the one without case.
        """
        if self.alphabet is None:
            return self.codes + ((self.kinds & UPPER) >> np.uint8(2))
        upper = kinds_of_characters().take(self.alphabet, mode="clip") & UPPER
        _, table = np.unique(self.alphabet + (upper >> np.uint8(2)), return_inverse=True)
        return np.frombuffer(self.codes.tobytes().translate(table.astype(np.uint8).tobytes()), dtype=np.uint8)

    @cached_property
    def folded_hash(self) -> RollingHash:
        """Hashes that all texts whose characters are not numbered have in common."""
        return RollingHash.of(self.folded)

    @cached_property
    def block_hash(self) -> BlockHash:
        return BlockHash.of(self.codes)

    @cached_property
    def folded_block_hash(self) -> BlockHash:
        return BlockHash.of(self.folded)

    def find_runs(self, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return starts and ends of the words: runs of the marked characters, SINGLE ones each by itself.

        What stands after each text is not marked.
        """
        if not self.has_single:
            borders = np.flatnonzero(inside[1:] != inside[:-1]) + 1
            borders = np.append(0, borders) if len(inside) and inside[0] else borders
            return borders[::2].copy(), borders[1::2].copy()
        alone = inside & (self.kinds & SINGLE > 0)
        starts, ends = inside.copy(), inside.copy()
        starts[1:] &= ~inside[:-1] | alone[1:] | alone[:-1]
        ends[:-1] &= ~inside[1:] | alone[:-1] | alone[1:]
        return np.flatnonzero(starts), np.flatnonzero(ends) + 1

    def owners_of(self, places: np.ndarray) -> np.ndarray:
        """Return the text in which each place of `codes` lies."""
        return np.searchsorted(self.ends, places)

    def count_in(self, places: np.ndarray) -> np.ndarray:
        """Return how many of the ascending places lie in each text, shape (texts,)."""
        return np.diff(np.searchsorted(places, self.ends), prepend=0)


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

    @cached_property
    def sizes(self) -> np.ndarray:
        """Characters of all words before each one, and of all, shape (words + 1,)."""
        return np.append(0, np.cumsum(self.lengths))

    def count_in_texts(self, chosen: np.ndarray) -> np.ndarray:
        """Return how many of the chosen words each text has, shape (texts,)."""
        return np.bincount(self.owners[chosen], minlength=len(self.first) - 1)

    def sum_in_texts(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of the words' values in each text, shape (texts,)."""
        sums = np.append(0, np.cumsum(values))
        return sums[self.first[1:]] - sums[self.first[:-1]]


def chunk_texts(texts: pl.Series, characters: int = _CHUNK) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of the rows of about so many characters."""
    yield from _chunk(texts.str.len_chars().fill_null(0).cast(pl.Int64).to_numpy(), characters)


def _chunk(lengths: np.ndarray, characters: int) -> Iterator[tuple[int, int]]:
    part = (np.cumsum(lengths + 1) - 1) // characters
    borders = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(lengths)]
    yield from pairwise(borders)


def read_texts(texts: pl.Series, characters: int = _CHUNK) -> Iterator[tuple[np.ndarray, FlatTexts]]:
    """Yield rows and their texts, characters numbered, in chunks: first those in ASCII, which are read fastest."""
    _keep_freed_memory()
    texts = texts.cast(pl.String).fill_null("")
    lengths = texts.str.len_chars().to_numpy().astype(np.int64)
    plain = texts.str.len_bytes().to_numpy() == lengths
    for group in (np.flatnonzero(plain), np.flatnonzero(~plain)):
        chosen, sizes = texts.gather(group), lengths[group]
        for start, stop in _chunk(sizes, characters) if len(group) else ():
            yield group[start:stop], FlatTexts._join(chosen[start:stop], sizes[start:stop]).number_characters()


@lru_cache(maxsize=1)
def _keep_freed_memory() -> None:
    """Let glibc keep what one chunk's arrays took for the next one's: paging it in anew takes a fifth of the time.

    It gives freed memory back beyond twice the largest mapping freed so far (mallopt(3), M_MMAP_THRESHOLD), which is at
    most 32 MB; memory that is never written is not taken.
    """
    np.empty((1 << 25) - (1 << 16), dtype=np.uint8)


def find_places(marked: np.ndarray) -> np.ndarray:
    """Return the places that are marked, as numpy.flatnonzero does, faster where they are rare."""
    whole = len(marked) & ~7
    eights = np.flatnonzero(marked[:whole].view(np.uint64) != 0)
    found = np.flatnonzero(marked[:whole].reshape(-1, 8)[eights])
    places = 8 * eights[found >> 3] + (found & 7)
    return np.append(places, np.flatnonzero(marked[whole:]) + whole)


def find_sequences(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where runs of consecutive numbers begin in the ascending ones, and how long each run is."""
    borders = np.flatnonzero(places[1:] != places[:-1] + 1) + 1
    begins = np.concatenate([np.zeros(min(len(places), 1), dtype=np.int64), borders])
    lengths = np.concatenate([begins[1:], [len(places)]])[: len(begins)] - begins
    return places[begins], lengths


def find_later(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of keys with an equal one before them, ascending, and the place of the first such one.

    keys are well-mixed uint64. A hash table without chains: all write their place, the earliest stays; who meets
    another key tries again elsewhere.
    """
    bits = len(keys).bit_length() + (1 if len(keys) > _FEW else 4)  # few meet another key in a table that is not full
    slots = (keys >> np.uint64(64 - bits)).view(np.int64)
    places = np.arange(len(keys), dtype=np.int32)
    table = np.empty(1 << bits, dtype=np.int32)
    table[slots[::-1]] = places[::-1]
    met = table.take(slots)
    others = np.flatnonzero(met != places)
    first = met.take(others).astype(np.int64)
    missed = np.flatnonzero(keys.take(first) != keys.take(others))
    if len(missed):
        left = others[missed]
        later, earlier = find_later(keys.take(left) * _MIX)
        first[missed] = left
        first[missed[later]] = left[earlier]
    stood = first != others
    return others[stood], first[stood]


def find_repeats(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of keys that have an equal one, ascending, and which of these places is the first equal one."""
    later, first = find_later(keys)
    repeats = np.zeros(len(keys), dtype=bool)
    repeats[later] = True
    repeats[first] = True
    places = np.flatnonzero(repeats)
    rank = np.empty(len(keys), dtype=np.int64)
    rank[places] = np.arange(len(places))
    leaders = np.arange(len(places))
    leaders[rank[later]] = rank[first]
    return places, leaders
