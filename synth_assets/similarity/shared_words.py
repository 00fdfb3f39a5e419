"""Spans of words that a text shares with a reference, word for word.

Here: an index of word n-grams and what it finds. Not here: texts alike as a whole (near_duplicates.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from synth_assets.similarity.texts import MIX, chunk_texts, tokenize_words

MATCHES_SCHEMA = pl.Schema({"row": pl.UInt32, "reference_row": pl.UInt32, "ngram": pl.String, "words": pl.UInt32})


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
    _, tokens, rows = tokenize_words(reference)
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
        for start, stop in (chunk_texts(texts.fill_null("")) if len(index.grams) else ())
    ]
    return pl.concat([pl.DataFrame(schema=MATCHES_SCHEMA), *(part.cast(MATCHES_SCHEMA) for part in found)])


def _find_in_chunk(texts: pl.Series, index: NgramIndex) -> pl.DataFrame:
    lists, tokens, rows = tokenize_words(texts)
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


def _grams(tokens: np.ndarray, rows: np.ndarray, words: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the hash and the position of every n-gram that lies within one text."""
    windows = max(0, len(tokens) - words + 1)
    grams = np.zeros(windows, dtype=np.uint64)
    for offset in range(words):
        grams *= MIX[1]
        grams += tokens[offset : offset + windows]
    inside = np.flatnonzero(rows[:windows] == rows[words - 1 :])
    return grams[inside], inside
