"""What is the same text twice: near-duplicates (MinHash, then exact Jaccard), clusters, and shared word n-grams.

Here: the measures that splits, discriminators and reports share, over plain text columns. Not here: what a stage does
with a match (seeds/splits.py, discriminators/duplicates.py, discriminators/leakage.py, monitoring/privacy.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from synth_assets.records import derive_seed

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from synth_assets.spec import DatasetSpec

SHINGLE = 5
"""Characters in a shingle; Jaccard similarities are of the sets of these."""
LEAST_RECALL = 0.995
"""Chance that a pair exactly at the threshold becomes a candidate; bands and rows are chosen for it."""
STOCK_ROWS = 10
"""Rows with different content that hold the same part of text word for word, from which it is boilerplate."""

PAIRS_SCHEMA = pl.Schema({"left": pl.UInt32, "right": pl.UInt32, "jaccard": pl.Float64})
MATCHES_SCHEMA = pl.Schema({"row": pl.UInt32, "reference_row": pl.UInt32, "ngram": pl.String, "words": pl.UInt32})

# Scripts written without spaces: every character is a token there, elsewhere every word is.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
WORD = rf"[{_UNSPACED}]\p{{M}}*|[\w--[{_UNSPACED}]]+(?:'[\w--[{_UNSPACED}]]+)*"

_CHUNK_CHARACTERS = 1 << 20  # texts hashed at a time: bounds memory
_BLOCK = 1 << 16  # shingles that stay in the cache while all permutations run over them
_CHUNK_PAIRS = 1 << 20  # candidate pairs compared at a time
_CHUNK_SHINGLES = 1 << 22  # shingles of verified pairs at a time
_PLAIN_PAIRS = 1 << 20  # up to here every pair is compared: no bands, nothing missed
_ENOUGH = 32  # alike texts after which a text seeks no further: families of thousands must not make millions of pairs
_SIGMAS = 4.0  # how far below the threshold an estimate must lie to rule a pair out
_ONE = np.uint64(1)
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


# ---- text, made comparable


def normalize_text(column: pl.Expr) -> pl.Expr:
    """Return text in NFKC, casefolded, whitespace runs as one space, none at the ends; null stays null."""
    folded = column.map_batches(_fold, return_dtype=pl.String, is_elementwise=True)
    return folded.str.replace_all(r"\s\s+|[^\S ]", " ").str.strip_chars()


def _fold(texts: pl.Series) -> pl.Series:
    """Return text in NFKC and casefolded; polars has no casefold, so rows beyond ASCII take a loop."""
    plain = (texts.str.len_bytes() == texts.str.len_chars()).fill_null(True)
    if plain.all():
        return texts.str.to_lowercase()
    composed = texts.filter(~plain).str.normalize("NFKC").to_list()
    folded = pl.Series(texts.name, [text.casefold() for text in composed], dtype=pl.String)
    place = pl.select(pl.when(plain).then(plain.cum_sum() - 1).otherwise(plain.sum() + (~plain).cum_sum() - 1))
    return pl.concat([texts.filter(plain).str.to_lowercase(), folded]).gather(place.to_series())


def find_stock_parts(frame: pl.DataFrame, spec: DatasetSpec, *, rows: int = STOCK_ROWS) -> pl.Series:
    """Return the normalized parts of text (a field, or one message) that stand word for word in `rows` rows or more.

    A system prompt, a fixed instruction, "no remarks": boilerplate says nothing about whether two records are copies.
    The rows should differ in content, else a text copied ten times would count as boilerplate.
    """
    parts = _text_parts(frame, spec).unique(["row", "part"])
    return parts.group_by("part").len().filter(pl.col("len") >= rows).get_column("part").sort()


def comparison_texts(frame: pl.DataFrame, spec: DatasetSpec, stock: pl.Series) -> pl.Series:
    """Return the text by which records are compared: records.content_text_expression, normalized, without stock parts.

    One String a row; null where nothing is left, so that such a row is near to nothing.
    """
    told = _text_parts(frame, spec).filter(~pl.col("part").is_in(stock.implode()))
    joined = told.sort("row", "order").group_by("row", maintain_order=True).agg(pl.col("part").str.join(" "))
    rows = pl.DataFrame({"row": np.arange(frame.height, dtype=np.uint32)})
    return rows.join(joined, on="row", how="left", maintain_order="left").get_column("part").alias("text")


def _text_parts(frame: pl.DataFrame, spec: DatasetSpec) -> pl.DataFrame:
    """Return row:UInt32, order:UInt32, part:String: each non-empty text field and message, normalized."""
    indexed = frame.with_row_index("row")
    columns = []
    for place, field in enumerate(spec.text_fields):
        part = pl.col(field.name)
        if field.type == "messages":
            part = part.list.eval(pl.element().struct.field("content"))
        else:
            part = pl.concat_list(part)
        columns.append(indexed.select("row", order=pl.lit(place, pl.UInt32), part=part).explode("part"))
    if not columns:
        return pl.DataFrame(schema={"row": pl.UInt32, "order": pl.UInt32, "part": pl.String})
    parts = pl.concat(columns).with_columns(normalize_text(pl.col("part")))
    return parts.with_columns(order=pl.int_range(pl.len(), dtype=pl.UInt32)).filter(pl.col("part").fill_null("") != "")


# ---- near-duplicates


@dataclass(frozen=True)
class Signatures:
    """The distinct normalized texts of a column and their MinHash: computed once, matched often.

    groups   row → distinct text, shape (rows,), int64; -1 where the text is null or empty
    first    distinct text → row where it first stands, shape (n,), int64, ascending
    keys     one 32-bit key a band and distinct text, shape (bands, n), uint32
    planes   two bits of every minimum as four 64-bit words, shape (n, 4), uint64 (b-bit MinHash)
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
    probability ≥ .995 (thresholds from .05 on); up to about 1,400 distinct texts are compared pair by pair.

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


def sign_texts(texts: pl.Series, *, threshold: float = 0.8, permutations: int = 128) -> Signatures:
    """Return the signatures of a String column for one threshold; see near_duplicate_pairs."""
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold {threshold} is not in (0, 1]")
    if not 1 <= permutations <= 128:
        raise ValueError(f"permutations {permutations} is not in 1..128")
    frame = (
        pl.DataFrame({"text": texts.cast(pl.String)})
        .with_row_index("row")
        .with_columns(normalize_text(pl.col("text")))
        .filter(pl.col("text") != "")
    )
    distinct = frame.group_by("text", maintain_order=True).agg(pl.col("row").first())
    numbered = frame.join(distinct.select("text", pl.int_range(pl.len()).alias("group")), on="text", how="left")
    groups = np.full(len(texts), -1, dtype=np.int64)
    groups[numbered["row"].to_numpy()] = numbered["group"].to_numpy()
    keys, planes = _minhash(distinct["text"], *_choose_bands(threshold, permutations), permutations)
    first = distinct["row"].to_numpy().astype(np.int64)
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


def _choose_bands(threshold: float, permutations: int) -> tuple[int, int]:
    """Return (bands, rows a band): the most selective plan that finds a pair at the threshold with LEAST_RECALL."""
    for rows in range(permutations, 0, -1):
        bands = permutations // rows
        if 1 - (1 - threshold**rows) ** bands >= LEAST_RECALL:
            return bands, rows
    return permutations, 1


def _minhash(texts: pl.Series, bands: int, rows: int, permutations: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the band keys and bit planes of distinct texts, chunk by chunk.

    The permutations are multiplications of a mixed 32-bit shingle hash by odd numbers modulo 2^32.
    """
    source = np.random.default_rng(derive_seed("similarity", "minhash"))
    factors = source.integers(0, 1 << 32, permutations, dtype=np.uint32) | np.uint32(1)
    keys = np.empty((bands, len(texts)), dtype=np.uint32)
    planes = np.zeros((len(texts), 4), dtype=np.uint64)
    for start, stop in _text_chunks(texts):
        hashes, counts = _shingles(texts[start:stop])
        minima = _minima((hashes >> np.uint64(32)).astype(np.uint32), counts, factors)
        banded = minima[: bands * rows].reshape(bands, rows, -1)
        key = np.zeros((bands, stop - start), dtype=np.uint64)
        for row in range(rows):
            key = (key + banded[:, row]) * _MIX[0]
        keys[:, start:stop] = (_mix(key) >> np.uint64(32)).astype(np.uint32)
        for plane, bit in enumerate((256, 512)):
            packed = np.packbits(minima & np.uint32(bit) > 0, axis=0)
            octets = planes[start:stop, 2 * plane : 2 * plane + 2].view(np.uint8)
            octets[:, : len(packed)] = packed.T
    return keys, planes


def _minima(hashes: np.ndarray, counts: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Return the smallest permuted hash of each text, shape (permutations, texts).

    Texts of similar length are padded to a block (by repeating their last shingle), so that the minimum runs over
    whole vectors and the block stays in the cache.
    """
    starts = np.cumsum(counts) - counts
    order = np.argsort(counts, kind="stable")
    minima = np.empty((len(factors), len(counts)), dtype=np.uint32)
    start = 0
    while start < len(order):
        width = max(1, _BLOCK // int(counts[order[start]]))
        longest = int(counts[order[start : start + width][-1]])
        stop = min(start + max(1, _BLOCK // longest), len(order))
        members = order[start:stop]
        offsets = np.minimum(np.arange(int(counts[members[-1]]))[:, None], counts[members] - 1)
        block, axis = hashes[starts[members] + offsets], 0
        if block.shape[0] > block.shape[1]:  # few long texts: let the vectors run along the text
            block, axis = np.ascontiguousarray(block.T), 1
        buffer = np.empty_like(block)
        for place, factor in enumerate(factors):
            np.multiply(block, factor, out=buffer)
            np.minimum.reduce(buffer, axis=axis, out=minima[place, start:stop])
        start = stop
    result = np.empty_like(minima)
    result[:, order] = minima
    return result


def _text_chunks(texts: pl.Series) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of runs of texts of about _CHUNK_CHARACTERS characters."""
    if texts.is_empty():
        return
    ends = np.cumsum(texts.str.len_chars().fill_null(0).to_numpy().astype(np.int64) + 1)
    chunk = (ends - 1) // _CHUNK_CHARACTERS
    borders = [0, *(np.flatnonzero(np.diff(chunk)) + 1).tolist(), len(texts)]
    yield from pairwise(borders)


def _shingles(texts: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return the 64-bit hashes of all character 5-grams, text after text, and their number a text (at least 1)."""
    padded = texts.str.pad_end(SHINGLE, "\0")
    points = np.frombuffer("".join(padded.to_list()).encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    lengths = padded.str.len_chars().to_numpy().astype(np.int64)
    windows = len(points) - SHINGLE + 1
    hashes = np.zeros(windows, dtype=np.uint64)
    for offset in range(SHINGLE):
        hashes *= _MIX[0]
        hashes += points[offset : offset + windows]
    inside = np.ones(len(points), dtype=bool)
    inside[(np.cumsum(lengths)[:, None] - np.arange(1, SHINGLE)).ravel()] = False
    return _mix(hashes[inside[:windows]]), lengths - SHINGLE + 1


def _mix(values: np.ndarray) -> np.ndarray:
    """Return the finalizer of SplitMix64 of each value: a bijection that spreads every bit."""
    values = values + _MIX[0]
    values = (values ^ (values >> np.uint64(30))) * _MIX[1]
    values = (values ^ (values >> np.uint64(27))) * _MIX[2]
    return values ^ (values >> np.uint64(31))


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
    keys = left.keys if right is None else np.concatenate([left.keys, right.keys], axis=1)
    if (n * m if m else n * (n - 1) // 2) <= _PLAIN_PAIRS:
        keys = np.zeros((1, n + m), dtype=np.uint32)
    for key in keys:
        seekers, items, start, available = _find_buckets(key, n, within=right is None)
        still = partners[seekers] < _ENOUGH
        available = _limit(np.where(still, available, 0), 2 * _PLAIN_PAIRS + 8 * (n + m))
        for first, most in ((0, _ENOUGH), (_ENOUGH, n + m)):
            still = partners[seekers] < _ENOUGH
            counts = np.where(still, np.clip(available - first, 0, most), 0)
            codes = [np.empty(0, dtype=np.uint64)]
            for place, partner in _chunked_pairs(start + first, counts):
                one, two = seekers[place], items[partner] - (n if m else 0)
                alike = _may_be_alike(left.planes[one], other.planes[two], left.threshold, left.permutations)
                codes.append(_pack(one[alike], two[alike]))
            yield np.concatenate(codes)


def _find_buckets(key: np.ndarray, n: int, *, within: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (seekers, items, start, available): seeker i may pair with items[start[i]] and the next available[i] - 1.

    Items are sorted by key. Within one column everyone seeks among those before it in its bucket; else the first n
    items seek among the others.
    """
    sorted_key, items = _unpack(pl.Series(_pack(key, np.arange(len(key)))).sort().to_numpy())
    fresh = np.flatnonzero(np.diff(sorted_key, prepend=-1))
    sizes = np.diff(np.append(fresh, len(key)))
    bucket = np.repeat(np.arange(len(fresh)), sizes)
    if within:
        return items, items, fresh[bucket], np.arange(len(key)) - fresh[bucket]
    seeks = items < n
    lefts = np.bincount(bucket[seeks], minlength=len(fresh))
    return items[seeks], items, (fresh + lefts)[bucket[seeks]], (sizes - lefts)[bucket[seeks]]


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


def _chunked_pairs(start: np.ndarray, counts: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (item, partner) positions where item i has the partners start[i] … start[i] + counts[i] - 1."""
    items = np.flatnonzero(counts)
    ends = np.cumsum(counts[items])
    borders = np.searchsorted(
        ends, np.arange(_CHUNK_PAIRS, (ends[-1] if len(ends) else 0) + _CHUNK_PAIRS, _CHUNK_PAIRS)
    )
    at = 0
    for border in borders:
        chunk = items[at : border + 1]
        at = border + 1
        if len(chunk):
            yield np.repeat(chunk, counts[chunk]), _ranges(start[chunk], counts[chunk])


def _ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return starts[0], starts[0] + 1, … counts[0] numbers, then those of the next, as one array."""
    return np.arange(int(counts.sum())) + np.repeat(starts - (np.cumsum(counts) - counts), counts)


def _may_be_alike(one: np.ndarray, two: np.ndarray, threshold: float, permutations: int) -> np.ndarray:
    """Return which pairs the 2-bit MinHash estimate (Li & König 2010) cannot rule out.

    Unequal minima agree in both bits by chance in one case of four, so a pair agrees with p = (1 + 3 J) / 4.
    """
    unlike = (one[:, :2] ^ two[:, :2]) | (one[:, 2:] ^ two[:, 2:])
    counts = np.bitwise_count(unlike)
    mismatches = counts[:, 0].astype(np.int64) + counts[:, 1]
    miss = 0.75 * (1 - threshold)
    return mismatches <= permutations * miss + _SIGMAS * math.sqrt(permutations * miss * (1 - miss)) + 1


def _exact_jaccard(left: pl.Series, right: pl.Series, one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Return the Jaccard index of the 5-gram sets of left[one[i]] and right[two[i]], shape (pairs,)."""
    result = np.empty(len(one))
    if not len(one):
        return result
    sizes = left.str.len_chars().to_numpy()[one].astype(np.int64) + right.str.len_chars().to_numpy()[two]
    chunk = (np.cumsum(sizes) - 1) // _CHUNK_SHINGLES
    borders = [0, *(np.flatnonzero(np.diff(chunk)) + 1).tolist(), len(one)]
    for start, stop in pairwise(borders):
        used, place = np.unique(one[start:stop], return_inverse=True)
        others, other_place = np.unique(two[start:stop], return_inverse=True)
        bits = 62 - max(len(used), len(others)).bit_length()  # kept of each hash: 41 and more
        a, b = _shingle_sets(left[used], bits)[place], _shingle_sets(right[others], bits)[other_place]
        common = np.diff(a.multiply(b).tocsr().indptr)
        result[start:stop] = common / (np.diff(a.indptr) + np.diff(b.indptr) - common)
    return result


def _shingle_sets(texts: pl.Series, bits: int) -> csr_array:
    """Return the 5-gram sets of texts as a sparse matrix: one row a text, one column a hash of that many bits."""
    from scipy.sparse import csr_array

    hashes, counts = _shingles(texts)
    mask, shift = np.uint64((1 << bits) - 1), np.uint64(bits)
    owners = np.repeat(np.arange(len(texts), dtype=np.uint64), counts)
    codes = pl.Series(owners << shift | hashes & mask).sort().to_numpy()
    codes = codes[np.append(True, codes[1:] != codes[:-1])]
    columns = (codes & mask).astype(np.int64)
    sizes = np.bincount((codes >> shift).astype(np.int64), minlength=len(texts))
    cells = (np.ones(len(codes), dtype=np.int8), columns, np.append(0, np.cumsum(sizes)))
    matrix = csr_array(cells, shape=(len(texts), 1 << bits))
    matrix.has_canonical_format = True
    return matrix


# ---- shared word n-grams


@dataclass(frozen=True)
class NgramIndex:
    """Where every word n-gram of the reference texts first stands.

    tokens     64-bit hash of every token, text after text, shape (tokens,), uint64
    rows       reference row of every token, shape (tokens,), int64
    grams      distinct n-gram hashes, sorted, shape (n-grams,), uint64
    positions  where in `tokens` each first stands, shape (n-grams,), int64
    spread     in how many groups of reference texts each stands, shape (n-grams,), int64
    """

    words: int
    tokens: np.ndarray
    rows: np.ndarray
    grams: np.ndarray
    positions: np.ndarray
    spread: np.ndarray

    def locate(self, grams: np.ndarray) -> np.ndarray:
        """Return the place of each n-gram in `grams`, -1 where it is not there."""
        if not len(self.grams):
            return np.full(len(grams), -1, dtype=np.int64)
        place = np.minimum(np.searchsorted(self.grams, grams), len(self.grams) - 1)
        return np.where(self.grams[place] == grams, place, -1)

    def without(self, common: NgramIndex, *, spread: int) -> NgramIndex:
        """Return the index without the n-grams that stand in at least `spread` groups of `common`."""
        place = common.locate(self.grams)
        keep = (place < 0) | (np.append(common.spread, 0)[place] < spread)
        return replace(self, grams=self.grams[keep], positions=self.positions[keep], spread=self.spread[keep])


def index_ngrams(reference: pl.Series, *, words: int, groups: pl.Series | None = None) -> NgramIndex:
    """Return the index of the n-grams of `words` tokens of the reference texts.

    `groups` names, text by text, what counts once in `spread` (a cluster of near-duplicates); default: every text.
    """
    if words < 1:
        raise ValueError(f"words {words} is below 1")
    owners = np.arange(len(reference)) if groups is None else groups.rank("dense").to_numpy().astype(np.int64)
    _, tokens, rows = _tokenize(reference)
    grams, positions = _grams(tokens, rows, words)
    distinct, first, inverse = np.unique(grams, return_index=True, return_inverse=True)
    seen = pl.DataFrame({"gram": inverse, "group": owners[rows[positions]]}).unique()["gram"].to_numpy()
    spread = np.bincount(seen, minlength=len(distinct))
    return NgramIndex(words, tokens, rows, distinct, positions[first], spread)


def ngram_matches(texts: pl.Series, reference: pl.Series, *, words: int) -> pl.DataFrame:
    """Return the texts that share `words` or more tokens in a row with a reference text, sorted by row.

    row:UInt32, reference_row:UInt32, ngram:String: the longest span found (ties: the first reference row), as its
    normalized tokens joined by spaces. Tokens are words of the normalized text (an inner apostrophe belongs to the
    word, other punctuation to none) and the single characters of Han, kana, Thai, Lao, Khmer and Burmese, which are
    written without spaces.

    texts ["Well, how do I pay by card?"], reference ["How do I pay?"], words 3 → (0, 0, "how do i pay")
    """
    return find_ngrams(texts, index_ngrams(reference, words=words)).drop("words")


def find_ngrams(texts: pl.Series, index: NgramIndex) -> pl.DataFrame:
    """Return the table of ngram_matches against an index built once, with words:UInt32, the length of the span."""
    found = [
        _find_in_chunk(texts[start:stop], index).with_columns(pl.col("row") + start)
        for start, stop in (_text_chunks(texts.fill_null("")) if len(index.grams) else ())
    ]
    return pl.concat([pl.DataFrame(schema=MATCHES_SCHEMA), *(part.cast(MATCHES_SCHEMA) for part in found)])


def _find_in_chunk(texts: pl.Series, index: NgramIndex) -> pl.DataFrame:
    lists, tokens, rows = _tokenize(texts)
    grams, positions = _grams(tokens, rows, index.words)
    place = index.locate(grams)
    hit = np.flatnonzero(place >= 0)
    at, reference = positions[hit], index.positions[place[hit]]
    # neighbors on the same diagonal (same row, same reference row, both one further) are one longer span
    goes_on = (np.diff(at, prepend=-2) == 1) & (np.diff(reference, prepend=-2) == 1)
    goes_on[1:] &= (rows[at[1:]] == rows[at[:-1]]) & (index.rows[reference[1:]] == index.rows[reference[:-1]])
    starts = np.flatnonzero(~goes_on)
    length = np.diff(np.append(starts, len(at))) + index.words - 1
    left, other = at[starts], reference[starts]
    left, other, length = _extend_spans(tokens, rows, index, left, other, length)
    best = np.lexsort((index.rows[other], -length, rows[left]))
    best = best[np.diff(rows[left[best]], prepend=-1) > 0]
    left, other, length = left[best], other[best], length[best]
    row_starts = np.searchsorted(rows, rows[left])
    spans = pl.DataFrame(
        {
            "row": rows[left],
            "reference_row": index.rows[other],
            "tokens": lists.gather(rows[left]),
            "offset": left - row_starts,
            "words": length,
        }
    )
    ngram = pl.col("tokens").list.slice("offset", "words").list.join(" ")
    return spans.select("row", "reference_row", ngram.alias("ngram"), "words")


def _extend_spans(
    tokens: np.ndarray, rows: np.ndarray, index: NgramIndex, left: np.ndarray, other: np.ndarray, length: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return spans grown on both sides as far as the tokens agree: the index knows first places of n-grams only."""
    left, other, length = left.copy(), other.copy(), length.copy()
    for step, edge in ((-1, lambda i: np.zeros(len(i), dtype=np.int64)), (1, lambda i: length[i])):
        alive = np.arange(len(left))
        while len(alive):
            here, there = left[alive] + edge(alive) + min(step, 0), other[alive] + edge(alive) + min(step, 0)
            fits = (here >= 0) & (here < len(tokens)) & (there >= 0) & (there < len(index.tokens))
            alive, here, there = alive[fits], here[fits], there[fits]
            same = (tokens[here] == index.tokens[there]) & (rows[here] == rows[left[alive]])
            alive = alive[same & (index.rows[there] == index.rows[other[alive]])]
            left[alive] += min(step, 0)
            other[alive] += min(step, 0)
            length[alive] += 1
    return left, other, length


def _tokenize(texts: pl.Series) -> tuple[pl.Series, np.ndarray, np.ndarray]:
    """Return the token lists, the hash of every token and the row of every token."""
    frame = pl.DataFrame({"text": texts.cast(pl.String).fill_null("")}).select(
        normalize_text(pl.col("text")).str.replace_all("’", "'", literal=True).str.extract_all(WORD)
    )
    lists = frame.to_series()
    counts = lists.list.len().to_numpy()
    tokens = lists.filter(lists.list.len() > 0).explode().hash().to_numpy()
    return lists, tokens, np.repeat(np.arange(len(texts)), counts)


def _grams(tokens: np.ndarray, rows: np.ndarray, words: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the hash and the position of every n-gram that lies within one text."""
    windows = max(0, len(tokens) - words + 1)
    grams = np.zeros(windows, dtype=np.uint64)
    for offset in range(words):
        grams *= _MIX[1]
        grams += tokens[offset : offset + windows]
    inside = np.flatnonzero(rows[:windows] == rows[words - 1 :])
    return grams[inside], inside
