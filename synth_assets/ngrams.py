"""Text as hashed n-grams: words and characters of many texts at once as 64-bit integers, and exact look-ups of them.

Here: reading a text column into characters and words, their hashes and n-grams, and tables of counted keys. Not here:
models of text (discriminators/quality, monitoring/language.py), texts that are alike (similarity/).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np
import polars as pl

from synth_assets.similarity import normalize_text

_CHUNK_CHARACTERS = 1 << 20
_MIX = np.uint64(0x9E3779B97F4A7C15)
_BASE = 0xD6E8FEB86659FD93  # odd, so that it has an inverse modulo 2^64
_ONE, _SHIFT = np.uint64(1), np.uint64(29)
_GAP, _LETTER, _SIGN, _DIGIT, _APOSTROPHE = range(5)
# scripts written without spaces: every character is a word there
_UNSPACED = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x3400, 0x9FFF), (0xF900, 0xFAFF))
_BORDER = "\n"
_MOST_BITS = 22  # of a key's prefix


# ---- characters and words


@dataclass(frozen=True)
class Characters:
    """Normalized texts as one array of code points, a border before and after each text; decimal digits are 0.

    points   code points, shape (characters + 2·texts,), uint32
    borders  where each text's first border stands, then the end of the array, shape (texts + 1,), int64
    texts    the normalized texts
    """

    points: np.ndarray
    borders: np.ndarray
    texts: pl.Series

    @property
    def counts(self) -> np.ndarray:
        """Characters of each text with its two borders, shape (texts,)."""
        return np.diff(self.borders)

    @cached_property
    def _sums(self) -> np.ndarray:
        """Prefix sums of mixed characters times powers of the base: any span's hash is a difference (Rabin–Karp)."""
        mixed = (self.points.astype(np.uint64) + _ONE) * _MIX
        mixed ^= mixed >> _SHIFT
        mixed *= _powers(_BASE, len(mixed))
        return np.append(np.uint64(0), np.cumsum(mixed, dtype=np.uint64))

    def hash_spans(self, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return the 64-bit hash of each span of characters; equal spans have equal hashes wherever they stand."""
        hashes = self._sums[starts + lengths] - self._sums[starts]
        hashes *= _powers(_INVERSE, len(self.points))[starts]
        return _scramble(hashes)

    def find_grams(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the hashes of all character n-grams, borders included, text after text, and their number a text."""
        windows = len(self.points) - n + 1
        if windows < 1:
            return np.empty(0, np.uint64), np.zeros(len(self.texts), np.int64)
        hashes = self._sums[n:] - self._sums[:windows]
        hashes *= _powers(_INVERSE, windows)
        within = np.ones(windows, bool)
        crossing = (self.borders[1:-1, None] - np.arange(1, n)).ravel()
        within[crossing[(crossing >= 0) & (crossing < windows)]] = False
        return _scramble(hashes[within]), np.maximum(self.counts - n + 1, 0)

    @cached_property
    def words(self) -> Words:
        """Words (letters, digits, an inner apostrophe), and every sign and unspaced character as a word of its own."""
        kinds = _classify(self.points)
        inside = (kinds == _LETTER) | (kinds == _DIGIT)
        inner = np.flatnonzero(kinds == _APOSTROPHE)
        inside[inner] = inside[inner - 1] & inside[inner + 1]
        alone = (kinds != _GAP) & ~inside
        before, after = np.append(False, inside[:-1]), np.append(inside[1:], False)
        starts = np.flatnonzero(alone | (inside & ~before))
        lengths = np.flatnonzero(alone | (inside & ~after)) + 1 - starts
        counts = np.diff(np.searchsorted(starts, self.borders))
        return Words(self.hash_spans(starts, lengths), counts, starts, lengths)


@dataclass(frozen=True)
class Words:
    """The words of texts in order.

    hashes, starts, lengths  of each word, in Characters.points, shape (words,)
    counts                   words of each text, shape (texts,)
    """

    hashes: np.ndarray
    counts: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        """The text each word is of, shape (words,)."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def find_pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the hashes of all pairs of neighboring words, text after text, and their number a text."""
        if not len(self.hashes):
            return self.hashes, self.counts
        hashes = hash_together(self.hashes[:-1], self.hashes[1:])
        ends = np.cumsum(self.counts[:-1]) - 1
        within = np.ones(len(hashes), bool)
        within[ends[(ends >= 0) & (ends < len(hashes))]] = False
        return hashes[within], np.maximum(self.counts - 1, 0)


def read_characters(texts: pl.Series) -> Characters:
    """Return the texts (String; null counts as empty) as characters; give it chunks of long columns."""
    normalized = pl.DataFrame({"text": texts.cast(pl.String).fill_null("")}).select(normalize_text(pl.col("text")))
    told = normalized.to_series()
    joined = _BORDER + (_BORDER + _BORDER).join(told.to_list()) + _BORDER if len(told) else ""
    points = np.frombuffer(joined.encode("utf-32-le"), np.uint32)
    kinds = _classify(points)
    points = np.where(kinds == _DIGIT, np.uint32(ord("0")), points)
    borders = np.append(0, np.cumsum(told.str.len_chars().to_numpy().astype(np.int64) + 2))
    return Characters(points, borders, told)


def chunk_texts(texts: pl.Series) -> Iterator[pl.Series]:
    """Yield slices of about a million characters, one text at least and 65,536 at most: what bounds memory."""
    if texts.is_empty():
        return
    sizes = texts.str.len_chars().fill_null(0).to_numpy().astype(np.int64) + 2
    ends = np.cumsum(np.maximum(sizes, _CHUNK_CHARACTERS >> 16))
    borders = np.flatnonzero(np.diff((ends - 1) // _CHUNK_CHARACTERS)) + 1
    for start, stop in pairwise([0, *borders.tolist(), len(texts)]):
        yield texts[start:stop]


@lru_cache(maxsize=1)
def _kinds() -> np.ndarray:
    """Return what each character of the basic plane is; those beyond are signs."""
    kinds = np.full(1 << 16, _SIGN, np.uint8)
    for point in range(1 << 16):
        category = unicodedata.category(chr(point))
        if category == "Nd":
            kinds[point] = _DIGIT
        elif category[0] in "LM" or category in ("Nl", "No", "Pc"):
            kinds[point] = _LETTER
        elif category[0] in "ZC":
            kinds[point] = _GAP
    for first, last in _UNSPACED:
        span = kinds[first : last + 1]
        span[span == _LETTER] = _SIGN
    kinds[[ord("'"), ord("’")]] = _APOSTROPHE
    return kinds


def _classify(points: np.ndarray) -> np.ndarray:
    return _kinds()[np.minimum(points, np.uint32(0xFFFD))]


_INVERSE = pow(_BASE, -1, 1 << 64)
_POWERS: dict[int, np.ndarray] = {}


def _powers(base: int, count: int) -> np.ndarray:
    """Return base^0 … base^(count−1) modulo 2^64; kept up to the size of a chunk."""
    known = _POWERS.get(base, np.empty(0, np.uint64))
    if len(known) < count:
        known = np.full(max(count, _CHUNK_CHARACTERS), base, np.uint64)
        known[0] = 1
        known = np.cumprod(known, dtype=np.uint64)
        if count <= 2 * _CHUNK_CHARACTERS:
            _POWERS[base] = known
    return known[:count]


def _scramble(hashes: np.ndarray) -> np.ndarray:
    hashes ^= hashes >> _SHIFT
    hashes *= _MIX
    hashes ^= hashes >> _SHIFT
    return hashes


# ---- keys


def hash_together(*parts: np.ndarray) -> np.ndarray:
    """Return one 64-bit hash of the integers that stand at the same place of the parts, shape (n,), uint64."""
    hashes = np.zeros(len(parts[0]), np.uint64)
    for part in parts:
        hashes = (hashes + part.astype(np.uint64) + _ONE) * _MIX
        hashes ^= hashes >> _SHIFT
    return hashes


@dataclass(frozen=True)
class KeyIndex:
    """Distinct 64-bit keys, each with a number from 0; looked up exactly, with one or two memory accesses a key.

    Keys are multiplied by an odd number (a bijection) and sorted; `first` says where each prefix of bits begins.
    """

    keys: np.ndarray
    first: np.ndarray
    shift: np.uint64
    depth: int

    def __len__(self) -> int:
        return len(self.keys) - 1

    @classmethod
    def of(cls, keys: np.ndarray) -> KeyIndex:
        """Index the distinct ones of these keys (uint64)."""
        distinct = np.unique(keys * _MIX)
        bits = min(len(distinct).bit_length() + 1, _MOST_BITS)
        shift = np.uint64(64 - bits)
        sizes = np.bincount((distinct >> shift).astype(np.int64), minlength=1 << bits)
        first = np.append(0, np.cumsum(sizes)).astype(np.int32)
        return cls(np.append(distinct, np.uint64(0)), first, shift, int(sizes.max(initial=0)))

    def locate(self, keys: np.ndarray) -> np.ndarray:
        """Return the number of each key, −1 where it is not in the index; int32."""
        wanted = keys * _MIX
        prefix = (wanted >> self.shift).astype(np.int32)
        place = self.first[prefix]
        left = self.first[prefix + 1] - place
        found = np.where((self.keys[place] == wanted) & (left > 0), place, np.int32(-1))
        alive = np.flatnonzero((found < 0) & (left > 1))
        for step in range(1, self.depth):
            alive = alive[left[alive] > step]
            at = place[alive] + step
            same = self.keys[at] == wanted[alive]
            found[alive[same]] = at[same]
            alive = alive[~same]
        return found


@dataclass(frozen=True)
class Counts:
    """How often each key was counted."""

    index: KeyIndex
    values: np.ndarray

    @classmethod
    def of(cls, keys: np.ndarray) -> Counts:
        index = KeyIndex.of(keys)
        return cls(index, np.append(np.bincount(index.locate(keys), minlength=len(index)), 0))

    def look_up(self, keys: np.ndarray) -> np.ndarray:
        """Return the count of each key, 0 where it was never counted; int64."""
        return self.values[self.index.locate(keys)]
