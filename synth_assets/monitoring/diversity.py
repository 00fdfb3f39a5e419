"""How varied a set of texts is: tokens, distinct-n, entropy, compression, repetition, self-BLEU, Vendi, shared spans.

Here: plain functions of tokens or texts. All of them but the spans fall or rise with the amount of text: compare only
at an equal token budget (collapse does). Not here: what a change means.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

# a word, or one sign of a script that is written without spaces (kana, Chinese characters, Thai, Lao, Khmer)
_UNSPACED = "\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
TOKEN_PATTERN = f"[{_UNSPACED}]|[^\\W{_UNSPACED}]+"
PIECE_PATTERN = rf"\s*(?:{TOKEN_PATTERN}|[^\w\s])"
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Tokens:
    """Texts as integers: `ids` (one a token) and `docs` (the text each token is of, ascending), both int64.

    `vocabulary[id]` is the token. Tokens that are to be compared must come from one call of tokenize.
    """

    ids: np.ndarray
    docs: np.ndarray
    n_docs: int
    vocabulary: pl.Series

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each text, shape (n_docs,)."""
        return np.bincount(self.docs, minlength=self.n_docs)

    def take(self, docs: np.ndarray, budget: int | None = None) -> Tokens:
        """Return the texts `docs` (indices) in that order, cut after `budget` tokens."""
        lengths = self.lengths
        starts = np.concatenate([[0], np.cumsum(lengths)])[:-1]
        if budget is not None:
            ends = np.cumsum(lengths[docs])
            docs = docs[: int(np.searchsorted(ends, budget, side="left")) + 1]
        sizes = lengths[docs]
        new_docs = np.repeat(np.arange(len(docs)), sizes)
        within = np.arange(len(new_docs)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        ids = self.ids[np.repeat(starts[docs], sizes) + within]
        stop = len(ids) if budget is None else min(budget, len(ids))
        return Tokens(ids[:stop], new_docs[:stop], len(docs), self.vocabulary)

    @classmethod
    def join(cls, parts: Sequence[Tokens]) -> Tokens:
        """Return the texts of all parts (at least one, all from one tokenize call) one after the other."""
        starts = np.cumsum([0, *(part.n_docs for part in parts)])
        docs = [part.docs + start for part, start in zip(parts, starts[:-1], strict=True)]
        ids = np.concatenate([part.ids for part in parts])
        return cls(ids, np.concatenate(docs), int(starts[-1]), parts[0].vocabulary)


def tokenize(texts: pl.Series) -> Tokens:
    """Return the lower-cased words of the texts as integers; signs of unspaced scripts are words; null has none."""
    return _tokenize(texts.cast(pl.String).str.to_lowercase(), TOKEN_PATTERN)


def split_pieces(texts: pl.Series) -> Tokens:
    """Return words and other signs as integers, each with the space before it, of which the texts can be joined."""
    return _tokenize(texts.cast(pl.String), PIECE_PATTERN)


def join_pieces(pieces: Tokens) -> pl.Series:
    """Return the texts that split_pieces took apart, without space around them; what has no piece is empty."""
    told = pl.DataFrame({"doc": pieces.docs, "piece": pieces.vocabulary.gather(pieces.ids)})
    joined = told.group_by("doc").agg(pl.col("piece").str.join(""))
    every = pl.DataFrame({"doc": np.arange(pieces.n_docs)}).join(joined, on="doc", how="left", maintain_order="left")
    return every["piece"].fill_null("").str.strip_chars().alias("text")


def _tokenize(texts: pl.Series, pattern: str) -> Tokens:
    frame = pl.DataFrame({"doc": np.arange(len(texts)), "token": texts}).select(
        "doc", pl.col("token").fill_null("").str.extract_all(pattern)
    )
    flat = frame.explode("token").drop_nulls("token")
    vocabulary = flat["token"].unique().sort()
    ids = flat["token"].cast(pl.Enum(vocabulary)).to_physical().cast(pl.Int64).to_numpy()
    return Tokens(ids, flat["doc"].cast(pl.Int64).to_numpy(), len(texts), vocabulary)


def has_words(texts: pl.Series) -> bool:
    """Return whether any text holds a token."""
    return bool(texts.str.contains(TOKEN_PATTERN).any())


def find_ngrams(tokens: Tokens, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the n-grams as 64-bit hashes and the text each is of; none reaches over the end of a text."""
    if len(tokens) < n:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    count = len(tokens) - n + 1
    hashes = np.zeros(count, np.uint64)
    for offset in range(n):
        hashes = (hashes + tokens.ids[offset : offset + count].astype(np.uint64) + np.uint64(1)) * _MIX
        hashes ^= hashes >> np.uint64(29)
    inside = tokens.docs[:count] == tokens.docs[n - 1 :]
    return hashes[inside], tokens.docs[:count][inside]


def measure_distinct_n(tokens: Tokens, n: int) -> float:
    """Return distinct n-grams over all n-grams (Li 2016, arXiv 1510.03055); NaN without any."""
    hashes, _ = find_ngrams(tokens, n)
    return len(np.unique(hashes)) / len(hashes) if len(hashes) else float("nan")


def measure_ngram_entropy(tokens: Tokens, n: int) -> float:
    """Return the Shannon entropy of the n-gram distribution in bits; NaN without any."""
    hashes, _ = find_ngrams(tokens, n)
    if not len(hashes):
        return float("nan")
    shares = np.unique(hashes, return_counts=True)[1] / len(hashes)
    return float(-np.sum(shares * np.log2(shares)))


def measure_compression_ratio(texts: Iterable[str | None]) -> float:
    """Return bytes over zlib-compressed bytes of the joined texts (Shaib 2024, arXiv 2403.00553); NaN if empty.

    More means more repetition. It barely moves when n-grams are recombined: never use it alone.
    """
    joined = "\n".join(text or "" for text in texts).encode()
    return len(joined) / len(zlib.compress(joined, 6)) if joined else float("nan")


def measure_self_repetition(tokens: Tokens, n: int = 4) -> float:
    """Return the mean share of a text's n-grams that occur in another of the texts; NaN without any.

    A cheap stand-in for self-BLEU, linear in the number of tokens (after Salkar 2022, arXiv 2112.08438).
    """
    hashes, docs = find_ngrams(tokens, n)
    if not len(hashes):
        return float("nan")
    grams, inverse = np.unique(hashes, return_inverse=True)
    pairs = np.unique(inverse * np.int64(tokens.n_docs) + docs)
    shared = np.bincount(pairs // tokens.n_docs, minlength=len(grams))[inverse] > 1
    sizes = np.bincount(docs, minlength=tokens.n_docs)
    share = np.bincount(docs, weights=shared, minlength=tokens.n_docs)[sizes > 0] / sizes[sizes > 0]
    return float(share.mean())


def measure_self_bleu(tokens: Tokens, n: int = 4) -> float:
    """Return the mean BLEU-n of each text against all others (Zhu 2018, arXiv 1802.01886), exactly; NaN without any.

    Precisions above 1-grams are smoothed by one (Lin & Och 2004); the brevity penalty takes the nearest other length.
    Linear in the number of tokens: an n-gram is clipped by its largest count among the other texts, which is its
    largest or second largest of all. More means more alike; comparable at equal numbers of texts and lengths only.
    """
    lengths = tokens.lengths
    told = lengths > 0
    if told.sum() < 2:
        return float("nan")
    logs = np.zeros(tokens.n_docs)
    for size in range(1, n + 1):
        smooth = int(size > 1)
        matches = _count_matches(*find_ngrams(tokens, size), tokens.n_docs) + smooth
        total = np.maximum(lengths - size + 1, 0) + smooth
        with np.errstate(divide="ignore"):
            logs += np.log(matches / np.maximum(total, 1)) / n
    penalty = np.minimum(0.0, 1 - _find_nearest_others(lengths[told]) / lengths[told])
    return float(np.exp(logs[told] + penalty).mean())


def _count_matches(hashes: np.ndarray, docs: np.ndarray, n_docs: int) -> np.ndarray:
    """Return the n-grams of each text that others hold, each at most as often as the one of them that holds it most."""
    if not len(hashes):
        return np.zeros(n_docs)
    grams = np.unique(hashes, return_inverse=True)[1]
    pairs, counts = np.unique(grams * np.int64(n_docs) + docs, return_counts=True)
    order = np.lexsort((-counts, pairs // n_docs))  # by n-gram, the largest count first
    gram, doc = np.divmod(pairs[order], n_docs)
    counts = counts[order]
    again = np.append(False, gram[1:] == gram[:-1])
    largest = counts[~again][np.cumsum(~again) - 1]
    second = np.append(counts[1:], 0) * np.append(again[1:], False)
    among_others = np.where(again, largest, second)
    return np.bincount(doc, weights=np.minimum(counts, among_others), minlength=n_docs)


def _find_nearest_others(lengths: np.ndarray) -> np.ndarray:
    """Return for each of at least two lengths the nearest of the others, the shorter one of two as near."""
    order = np.argsort(lengths, kind="stable")
    ranked = lengths[order].astype(np.float64)
    below, above = np.append(-np.inf, ranked[:-1]), np.append(ranked[1:], np.inf)
    nearest = np.empty(len(lengths))
    nearest[order] = np.where(ranked - below <= above - ranked, below, above)
    return nearest


def measure_vendi(vectors: np.ndarray) -> float:
    """Return the Vendi score of unit vectors, shape (texts, dimensions): the effective number of different texts.

    exp of the entropy of the eigenvalues of the cosine matrix over n (Friedman & Dieng 2023, arXiv 2210.02410), between
    1 and n; zero vectors are left out, NaN without others.
    """
    vectors = vectors[vectors.any(axis=1)].astype(np.float64)
    if not len(vectors):
        return float("nan")
    product = vectors @ vectors.T if len(vectors) <= vectors.shape[1] else vectors.T @ vectors
    shares = np.linalg.eigvalsh(product / len(vectors))
    shares = shares[shares > 1e-12]
    return float(np.exp(-np.sum(shares * np.log(shares))))


def measure_coverage(real: np.ndarray, made: np.ndarray, neighbors: int = 5) -> float:
    """Return the share of real unit vectors that have a made one no farther than their k-th real neighbor.

    Coverage (Naeem 2020, arXiv 2002.09797); of as many other real rows it is about 1 − 2^−k. NaN for k or fewer rows.
    """
    if len(real) <= neighbors:
        return float("nan")
    among = real @ real.T
    np.fill_diagonal(among, -np.inf)
    least = np.partition(among, -neighbors, axis=1)[:, -neighbors]
    return float(((real @ made.T).max(axis=1, initial=-np.inf) >= least).mean())


def find_longest_shared_spans(texts: Tokens, reference: Tokens, *, limit: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Return for each text the longest run of words it shares with a reference text, and that text's index.

    Lengths are counted up to `limit` words; index −1 where no word is shared. Both must come from one tokenize call.
    """
    lengths = np.zeros(texts.n_docs, np.int64)
    related = np.full(texts.n_docs, -1, np.int64)
    alive = texts
    numbers = np.arange(texts.n_docs)
    for n in range(1, limit + 1):
        grams, owners = find_ngrams(reference, n)
        known, first = np.unique(grams, return_index=True)
        hashes, docs = find_ngrams(alive, n)
        if not len(known) or not len(hashes):
            break
        places = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
        found = known[places] == hashes
        hit, at = np.unique(docs[found], return_index=True)
        if not len(hit):
            break
        lengths[numbers[hit]] = n
        related[numbers[hit]] = owners[first[places[found][at]]]
        alive, numbers = alive.take(hit), numbers[hit]
    return lengths, related
