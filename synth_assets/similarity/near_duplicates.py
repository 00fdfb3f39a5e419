"""Texts that are nearly the same: MinHash to find candidates, exact Jaccard to decide, clusters of what was found.

Here: pairs of texts that are alike as a whole. Not here: a span that two texts share (shared_words.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import polars as pl

from synth_assets.records import derive_seed
from synth_assets.similarity.texts import (
    MIX,
    chunk_texts,
    hash_shingles,
    map_threads,
    mix_hashes,
    normalize_text,
)

LEAST_RECALL = 0.998
"""Chance that a pair exactly at the threshold becomes a candidate; bands and rows are chosen for it."""
PAIRS_SCHEMA = pl.Schema({"left": pl.UInt32, "right": pl.UInt32, "jaccard": pl.Float64})
_BLOCK = 1 << 16  # shingles that stay in the cache while all permutations run over them
_CHUNK_PAIRS = 1 << 18  # candidate pairs compared at a time
_CHUNK_SHINGLES = 1 << 20  # shingles of verified pairs at a time
_MOST_ROWS = 5  # of a band: more would spare candidates and cost more minima than those are worth
_LEAST_MINIMA = 64  # for an estimate that rules most candidates out
_PLAIN_PAIRS = 1 << 20  # up to here every pair is compared: no bands, nothing missed
_ENOUGH = 32  # alike texts after which a text seeks no further: families of thousands must not make millions of pairs
_BITS = 4  # kept of every minimum for the estimate
_SIGMAS = 3.5  # how far below the threshold an estimate must lie to rule a pair out
_ONE = np.uint64(1)


@dataclass(frozen=True)
class Signatures:
    """The distinct normalized texts of a column and their MinHash: computed once, matched often.

    groups   row → distinct text, shape (rows,), int64; -1 where the text is null or empty
    first    distinct text → row where it first stands, shape (n,), int64, ascending
    keys     one 32-bit key a band and distinct text, shape (bands, n), uint32
    planes   four bits of every minimum, a plane of 128 each, shape (n, 4, 2), uint64 (b-bit MinHash)
    """

    threshold: float
    permutations: int
    texts: pl.Series
    groups: np.ndarray
    first: np.ndarray
    keys: np.ndarray
    planes: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    def keep(self, rows: np.ndarray) -> Signatures:
        """Return the signatures of the marked rows (boolean, shape (rows,)); a text goes if its first row does."""
        kept = rows[self.first]
        number = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1)  # the last serves groups of -1
        return replace(
            self,
            texts=self.texts.filter(pl.Series(kept, dtype=pl.Boolean)),
            groups=np.where(rows, number[self.groups], -1),
            first=self.first[kept],
            keys=self.keys[:, kept],
            planes=self.planes[kept],
        )


def near_duplicate_pairs(
    texts: pl.Series, *, threshold: float = 0.8, others: pl.Series | None = None, permutations: int = 128
) -> pl.DataFrame:
    """Return the pairs of texts that are alike: left:UInt32, right:UInt32, jaccard:Float64 ≥ threshold, sorted.

    Similarity is the exact Jaccard index of the sets of character 5-grams of the normalized texts; a text of fewer
    than 5 characters is one shingle; null and empty texts are near to nothing. Candidates come from banded MinHash
    (Broder 1997; Leskovec, Rajaraman & Ullman, ch. 3) with bands chosen so that a pair at the threshold is found with
    probability ≥ .998 (thresholds from .05 on); up to about 1,400 distinct texts are compared pair by pair.

    Without `others`: left < right. Equal texts are collapsed first: each later copy is paired with the first
    occurrence (jaccard 1), and other pairs are reported between first occurrences only. With `others`: right indexes
    `others` at its first occurrence of a text; every row of `texts` is reported.

    Thousands of texts that are alike without being equal would make millions of pairs: a text then finds some of
    the first ones of its family, not all of them, so that work and memory stay linear.

    ["How do I pay?", "how do I  pay?", "How do I pay??"] → (0, 1, 1.0), (0, 2, 0.9)
    """
    left = sign_texts(texts, threshold=threshold, permutations=permutations)
    if others is None:
        return match_signatures(left)
    return match_signatures(left, sign_texts(others, threshold=threshold, permutations=permutations))


def sign_texts(
    texts: pl.Series, *, threshold: float = 0.8, permutations: int = 128, normalized: bool = False
) -> Signatures:
    """Return the signatures of a String column for one threshold; see near_duplicate_pairs.

    `normalized` says that the texts already are (comparison_texts).
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold {threshold} is not in (0, 1]")
    if not 1 <= permutations <= 128:
        raise ValueError(f"permutations {permutations} is not in 1..128")
    text = pl.col("text") if normalized else normalize_text(pl.col("text"))
    frame = pl.DataFrame({"text": texts.cast(pl.String)}).with_row_index("row").with_columns(text)
    distinct = frame.filter(pl.col("text") != "").group_by("text", maintain_order=True).agg("row")
    groups = np.full(len(texts), -1, dtype=np.int64)
    groups[distinct["row"].explode().to_numpy()] = np.repeat(np.arange(distinct.height), distinct["row"].list.len())
    first = distinct["row"].list.first().to_numpy().astype(np.int64)
    keys, planes = _minhash(distinct["text"], _plan_bands(threshold, permutations))
    return Signatures(threshold, permutations, distinct["text"], groups, first, keys, planes)


def match_signatures(left: Signatures, right: Signatures | None = None) -> pl.DataFrame:
    """Return the pairs of near_duplicate_pairs from signatures made with the same threshold and permutations."""
    if right is not None and (left.threshold, left.permutations) != (right.threshold, right.permutations):
        raise ValueError("signatures of different thresholds or permutations cannot be matched")
    if right is None:
        found = _verified_pairs(left, None)
        pairs = pl.DataFrame({"left": left.first[found[1]], "right": left.first[found[0]], "jaccard": found[2]})
        copies = np.flatnonzero(left.groups >= 0)
        originals = left.first[left.groups[copies]]
        later = originals < copies
        stars = pl.DataFrame({"left": originals[later], "right": copies[later]}).with_columns(jaccard=pl.lit(1.0))
        return pl.concat([pairs, stars]).cast(PAIRS_SCHEMA).sort("left", "right")
    found = _verified_pairs(left, right)
    pairs = pl.DataFrame({"group": found[0], "right": right.first[found[1]], "jaccard": found[2]})
    rows = pl.DataFrame({"group": left.groups}).with_row_index("left").filter(pl.col("group") >= 0)
    joined = rows.join(pairs, on="group").select("left", "right", "jaccard")
    return joined.cast(PAIRS_SCHEMA).sort("left", "right")


def connected_components(n: int, pairs: pl.DataFrame) -> np.ndarray:
    """Return the component of each of n items linked by pairs (left, right): the smallest index in it, int64."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components as label

    ends = (pairs["left"].to_numpy(), pairs["right"].to_numpy())
    _, labels = label(coo_array((np.ones(pairs.height, dtype=np.int8), ends), shape=(n, n)), directed=False)
    _, smallest = np.unique(labels, return_index=True)
    return smallest[labels].astype(np.int64)


def keep_first(pairs: pl.DataFrame) -> pl.DataFrame:
    """Return one pair (left, right, jaccard) for every row to drop: `right` and the kept `left` most like it.

    Rows are taken in order, and a row is dropped only for a kept one: of a chain a ~ b ~ c in which a and c differ,
    b goes and c stays. A loop over the pairs, as each decision rests on those before it.
    """
    ordered = pairs.sort(["right", "jaccard", "left"], descending=[False, True, False])
    dropped: set[int] = set()
    chosen = []
    for place, (left, right) in enumerate(zip(ordered["left"].to_list(), ordered["right"].to_list(), strict=True)):
        if right not in dropped and left not in dropped:
            dropped.add(right)
            chosen.append(place)
    return ordered[chosen]


def measure_jaccard(left: pl.Series, right: pl.Series) -> np.ndarray:
    """Return the Jaccard index of the 5-gram sets of the normalized texts, row by row, float64.

    Two empty (or null) texts are equal; an empty one has nothing in common with any other.
    """
    texts = pl.DataFrame({"left": left.cast(pl.String), "right": right.cast(pl.String)}).select(
        normalize_text(pl.all().fill_null(""))
    )
    one, two = texts["left"], texts["right"]
    result = ((one == "") & (two == "")).cast(pl.Float64).to_numpy(writable=True)
    told = np.flatnonzero(((one != "") & (two != "")).to_numpy())
    result[told] = _exact_jaccard(one, two, told, told)
    return result


@dataclass(frozen=True)
class _Plan:
    """`bands` of `rows` minima each are matched, `minima` ≥ bands · rows are computed for the estimate."""

    bands: int
    rows: int
    minima: int


def _plan_bands(threshold: float, permutations: int) -> _Plan:
    """Return the most selective plan of affordable rows that finds a pair at the threshold with LEAST_RECALL."""
    for rows in range(min(_MOST_ROWS, permutations), 0, -1):
        missed = 1 - threshold**rows  # by one band
        bands = math.ceil(math.log(1 - LEAST_RECALL) / math.log(missed)) if missed else 1
        if bands * rows <= permutations:
            return _Plan(bands, rows, max(bands * rows, min(_LEAST_MINIMA, permutations)))
    return _Plan(permutations, 1, permutations)


def _minhash(texts: pl.Series, plan: _Plan) -> tuple[np.ndarray, np.ndarray]:
    """Return the band keys and bit planes of distinct texts, chunk by chunk.

    The permutations are multiplications of a mixed 32-bit shingle hash by odd numbers modulo 2^32.
    """
    source = np.random.default_rng(derive_seed("similarity", "minhash"))
    factors = source.integers(0, 1 << 32, plan.minima, dtype=np.uint32) | np.uint32(1)
    keys = np.empty((plan.bands, len(texts)), dtype=np.uint32)
    planes = np.zeros((len(texts), _BITS, 2), dtype=np.uint64)

    def sign(chunk: tuple[int, int]) -> None:
        start, stop = chunk
        hashes, counts = hash_shingles(texts[start:stop])
        minima = _minima((hashes >> np.uint64(32)).astype(np.uint32), counts, factors)
        banded = minima[: plan.bands * plan.rows].reshape(plan.bands, plan.rows, -1)
        key = np.zeros((plan.bands, stop - start), dtype=np.uint64)
        for row in range(plan.rows):
            key = (key + banded[:, row]) * MIX[0]
        keys[:, start:stop] = (mix_hashes(key) >> np.uint64(32)).astype(np.uint32)
        octets = planes[start:stop].view(np.uint8)
        for bit in range(_BITS):
            packed = np.packbits(minima & np.uint32(256 << bit) > 0, axis=0)
            octets[:, bit, : len(packed)] = packed.T

    for _ in map_threads(sign, chunk_texts(texts)):
        pass
    return keys, planes


def _minima(hashes: np.ndarray, counts: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Return the smallest permuted hash of each text, shape (permutations, texts).

    Texts of similar length are padded to a block (by repeating their last shingle), so that the minimum runs over
    whole vectors and the block stays in the cache.
    """
    starts = np.cumsum(counts) - counts
    order, blocks = _blocks_of_like_size(counts)
    minima = np.empty((len(factors), len(counts)), dtype=np.uint32)
    for start, stop in blocks:
        members = order[start:stop]
        offsets = np.minimum(np.arange(int(counts[members[-1]]))[:, None], counts[members] - 1)
        block, axis = hashes[starts[members] + offsets], 0
        if block.shape[0] > block.shape[1]:  # few long texts: let the vectors run along the text
            block, axis = np.ascontiguousarray(block.T), 1
        buffer = np.empty_like(block)
        for place, factor in enumerate(factors):
            np.multiply(block, factor, out=buffer)
            np.minimum.reduce(buffer, axis=axis, out=minima[place, start:stop])
    result = np.empty_like(minima)
    result[:, order] = minima
    return result


def _blocks_of_like_size(sizes: np.ndarray) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Return the order of the items by size, and (start, stop) of runs in it that fill _BLOCK cells when padded."""
    order = np.argsort(sizes, kind="stable")
    blocks, start = [], 0
    while start < len(order):
        most = max(1, _BLOCK // int(sizes[order[start]]))
        longest = int(sizes[order[start : start + most][-1]])
        stop = min(start + max(1, _BLOCK // longest), len(order))
        blocks.append((start, stop))
        start = stop
    return order, blocks


def _verified_pairs(left: Signatures, right: Signatures | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (seeker, partner, jaccard) of distinct texts that are at or above the threshold.

    Within one column the seeker is the later text and the partner the earlier; else seekers are left, partners right.
    """
    other = left if right is None else right
    seen = np.empty(0, dtype=np.uint64)  # every pair that was compared, as one number, sorted
    similarity = np.empty(0)
    partners = np.zeros(len(left), dtype=np.int64)
    for codes in _candidate_codes(left, right, partners):
        fresh = _distinct(codes[~_are_in(codes, seen)])
        seeker, partner = _unpack(fresh)
        verified = _exact_jaccard(left.texts, other.texts, seeker, partner)
        partners += np.bincount(seeker[verified >= left.threshold], minlength=len(partners))
        order = np.argsort(np.concatenate([seen, fresh]), kind="stable")  # merges two sorted runs
        seen = np.concatenate([seen, fresh])[order]
        similarity = np.concatenate([similarity, verified])[order]
    alike = similarity >= left.threshold
    return *_unpack(seen[alike]), similarity[alike]


def _candidate_codes(left: Signatures, right: Signatures | None, partners: np.ndarray) -> Iterator[np.ndarray]:
    """Yield, band by band, the pairs that share the band and that the estimate cannot rule out.

    `partners` counts the alike ones found so far of every seeker; who has _ENOUGH seeks no further. So a band is
    taken in two steps: the first _ENOUGH of the bucket, then the others for who still seeks.
    """
    other = left if right is None else right
    if not len(left) or not len(other):
        return
    if right is not None:
        yield _equal_texts(left, right)  # these must never depend on chance
    n, m = len(left), len(right) if right is not None else 0
    bands = zip(left.keys, left.keys if right is None else right.keys, strict=True)
    if (n * m if m else n * (n - 1) // 2) <= _PLAIN_PAIRS:
        bands = iter([(np.zeros(n, dtype=np.uint32), np.zeros(m, dtype=np.uint32))])
    for key, other_key in bands:
        found = _find_buckets(key) if right is None else _find_common_buckets(key, other_key)
        seekers, partner, start, available = found
        still = partners[seekers] < _ENOUGH
        available = _limit(np.where(still, available, 0), 2 * _PLAIN_PAIRS + 8 * (n + m))
        for first, most in ((0, _ENOUGH), (_ENOUGH, n + m)):
            still = partners[seekers] < _ENOUGH
            counts = np.where(still, np.clip(available - first, 0, most), 0)
            yield _estimated_alike(left, other, seekers, partner, start + first, counts)


def _estimated_alike(
    left: Signatures, right: Signatures, seekers: np.ndarray, partner: np.ndarray, start: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Return the pairs (seekers[i], partner[start[i]] and the next counts[i] - 1) that may be alike, in order."""
    minima = _plan_bands(left.threshold, left.permutations).minima

    def estimate(items: np.ndarray) -> np.ndarray:
        one = np.repeat(seekers[items], counts[items])
        two = partner[_ranges(start[items], counts[items])]
        alike = _may_be_alike(left.planes[one], right.planes[two], left.threshold, minima)
        return _pack(one[alike], two[alike])

    items = np.flatnonzero(counts)
    borders = np.searchsorted(np.cumsum(counts[items]), np.arange(_CHUNK_PAIRS, counts.sum(), _CHUNK_PAIRS), "right")
    chunks = [items[a:b] for a, b in pairwise(np.unique([0, *borders, len(items)]))]
    return np.concatenate([np.empty(0, dtype=np.uint64), *map_threads(estimate, chunks)])


def _find_buckets(key: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (seekers, partners, start, available) of the texts that share a key.

    Seeker i may pair with partners[start[i]] and the next available[i] - 1: those before it in its bucket.
    """
    ordered = pl.Series(_pack(key, np.arange(len(key)))).sort().to_numpy()
    prefix = (ordered >> np.uint64(32)).astype(np.uint32)
    goes_on = prefix[1:] == prefix[:-1]
    items = ordered[np.append(goes_on, False) | np.append(False, goes_on)]
    prefix, items = _unpack(items)
    fresh = np.flatnonzero(np.diff(prefix, prepend=-1))
    start = np.repeat(fresh, np.diff(np.append(fresh, len(items))))
    return items, items, start, np.arange(len(items)) - start


def _find_common_buckets(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the table of _find_buckets where seekers are left and pair with every right one of their key."""
    partner_key, partners = _sort_shared(right, left)
    seeker_key, seekers = _sort_shared(left, right)
    start = np.searchsorted(partner_key, seeker_key)
    return seekers, partners, start, np.searchsorted(partner_key, seeker_key, "right") - start


def _sort_shared(key: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the keys, sorted, and their places, without most of those that `others` lack (by a table of prefixes)."""
    shift = np.uint32(32 - min(24, 4 + len(others).bit_length()))
    held = np.zeros(1 << (32 - int(shift)), dtype=bool)
    held[others >> shift] = True
    place = np.flatnonzero(held[key >> shift])
    return _unpack(pl.Series(_pack(key[place], place)).sort().to_numpy())


def _equal_texts(left: Signatures, right: Signatures) -> np.ndarray:
    texts = pl.DataFrame({"text": left.texts}).with_row_index("one")
    same = texts.join(pl.DataFrame({"text": right.texts}).with_row_index("two"), on="text")
    return _pack(same["one"].to_numpy(), same["two"].to_numpy())


def _pack(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Return two 32-bit numbers in one of 64 bits, which sorts by the first, then the second."""
    return high.astype(np.uint64) << np.uint64(32) | low.astype(np.uint64)


def _unpack(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (codes >> np.uint64(32)).astype(np.int64), (codes & np.uint64(0xFFFFFFFF)).astype(np.int64)


def _distinct(codes: np.ndarray) -> np.ndarray:
    """Return the sorted distinct values (numpy's unique takes three times as long)."""
    ordered = pl.Series(codes).sort().to_numpy()
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def _are_in(codes: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """Return which codes are in a sorted array."""
    if not len(ordered):
        return np.zeros(len(codes), dtype=bool)
    return ordered[np.minimum(np.searchsorted(ordered, codes), len(ordered) - 1)] == codes


def _limit(available: np.ndarray, budget: int) -> np.ndarray:
    """Return how many partners each item gets: all, or the first 2^k ≥ 16 where all would exceed the budget."""
    cap = 1 << max(4, int(available.max(initial=0)).bit_length())
    while cap > 16 and int(np.minimum(available, cap).sum()) > budget:
        cap //= 2
    return np.minimum(available, cap)


def _ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return starts[0], starts[0] + 1, … counts[0] numbers, then those of the next, as one array."""
    return np.arange(int(counts.sum())) + np.repeat(starts - (np.cumsum(counts) - counts), counts)


def _may_be_alike(one: np.ndarray, two: np.ndarray, threshold: float, minima: int) -> np.ndarray:
    """Return which pairs the b-bit MinHash estimate (Li & König 2010) cannot rule out.

    Unequal minima agree in all four bits by chance in one case of 16, so a pair agrees with p = (1 + 15 J) / 16.
    """
    unlike = one[:, 0] ^ two[:, 0]
    for bit in range(1, _BITS):
        unlike |= one[:, bit] ^ two[:, bit]
    counts = np.bitwise_count(unlike)
    mismatches = counts[:, 0].astype(np.int64) + counts[:, 1]
    miss = (1 - 0.5**_BITS) * (1 - threshold)
    return mismatches <= minima * miss + _SIGMAS * math.sqrt(minima * miss * (1 - miss)) + 1


def _exact_jaccard(left: pl.Series, right: pl.Series, one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Return the Jaccard index of the 5-gram sets of left[one[i]] and right[two[i]], shape (pairs,)."""
    result = np.empty(len(one))
    if not len(one):
        return result
    sizes = left.str.len_chars().to_numpy()[one].astype(np.int64) + right.str.len_chars().to_numpy()[two]
    chunk = (np.cumsum(sizes) - 1) // _CHUNK_SHINGLES
    borders = [0, *(np.flatnonzero(np.diff(chunk)) + 1).tolist(), len(one)]

    def compare(chunk: tuple[int, int]) -> None:
        start, stop = chunk
        used, place = np.unique(one[start:stop], return_inverse=True)
        others, other_place = np.unique(two[start:stop], return_inverse=True)
        result[start:stop] = _compare_sets(
            *hash_shingles(left[used]), place, *hash_shingles(right[others]), other_place
        )

    for _ in map_threads(compare, pairwise(borders)):
        pass
    return result


def _compare_sets(
    hashes: np.ndarray,
    counts: np.ndarray,
    one: np.ndarray,
    other_hashes: np.ndarray,
    other_counts: np.ndarray,
    two: np.ndarray,
) -> np.ndarray:
    """Return the Jaccard index of the sets one[i] of `hashes` and two[i] of `other_hashes`.

    A pair's hashes are sorted as one row of a matrix, their last bit replaced by the side they are of: what differs
    from the cell before is a member of one of the sets, and what differs before that bit a member of the union.
    """
    hashes, other_hashes = hashes | _ONE, other_hashes & ~_ONE
    first, other_first = np.cumsum(counts) - counts, np.cumsum(other_counts) - other_counts
    result = np.empty(len(one))
    order, blocks = _blocks_of_like_size(counts[one] + other_counts[two])
    for start, stop in blocks:
        a, b = one[order[start:stop], None], two[order[start:stop], None]
        offsets, other_offsets = np.arange(counts[a].max()), np.arange(other_counts[b].max())
        cells = (
            hashes[first[a] + np.minimum(offsets, counts[a] - 1)],
            other_hashes[other_first[b] + np.minimum(other_offsets, other_counts[b] - 1)],
        )
        row = np.concatenate(cells, axis=1)
        row.sort(axis=1)
        step = row[:, 1:] ^ row[:, :-1]
        members, union = np.count_nonzero(step, axis=1) + 1, np.count_nonzero(step > _ONE, axis=1) + 1
        result[order[start:stop]] = (members - union) / union
    return result
