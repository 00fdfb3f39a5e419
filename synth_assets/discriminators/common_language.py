"""Common language: how unlikely a phrase is among the other seeds, so that what everybody writes is no leak.

Here: an interpolated bigram model of the seeds that leaves out the seed a phrase was found in. Not here: finding
phrases (similarity/), what counts as a leak (leakage.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from synth_assets.similarity import NgramIndex

_ORDER = 2
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9))
# pseudo-counts: how far an estimate of seldom seen words rests on the less specific one
_OVERALL, _WITHIN, _WORDS, _NEW = 5.0, 3.0, 20.0, 0.5
_LEAST_VOCABULARY = 10_000  # a few seeds are no sample of a language: what they lack is still not common


@dataclass(frozen=True)
class _Counts:
    """How often each key was counted; keys distinct and ascending, uint64."""

    keys: np.ndarray
    counts: np.ndarray

    def of(self, keys: np.ndarray) -> np.ndarray:
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[place] == keys, self.counts[place], 0).astype(np.float64)


@dataclass(frozen=True)
class CommonLanguage:
    """Word 0- to 2-grams of texts, counted in all, by cluster, by stratum, and by cluster within a stratum.

    A word's probability is that of its bigram in the stratum, resting on the bigram in all strata and on
    the words, in this order (Witten & Bell's interpolation with fixed pseudo-counts), each without the cluster that a
    phrase is from: what its author wrote elsewhere does not make it common.
    """

    clusters: np.ndarray
    strata: dict[str, int]
    tables: tuple[tuple[_Counts, ...], ...]

    @classmethod
    def fit(cls, index: NgramIndex, clusters: pl.Series, strata: pl.Series) -> CommonLanguage:
        """Count the indexed texts; clusters, strata: one value a text."""
        owners = clusters.rank("dense").to_numpy().astype(np.uint64)
        names = {name: place for place, name in enumerate(strata.unique().sort().to_list(), start=1)}
        places = strata.replace_strict(names, return_dtype=pl.UInt64).to_numpy()
        tables = []
        for words in range(_ORDER + 1):
            ends, grams = _end_grams(index.tokens, index.rows, words)
            text = index.rows[ends]
            keys = _scopes(grams, owners[text], places[text])
            tables.append(tuple(_Counts(*np.unique(scope, return_counts=True)) for scope in keys))
        return cls(owners, names, tuple(tables))

    def surprise(self, phrases: pl.Series, texts: np.ndarray, strata: pl.Series) -> np.ndarray:
        """Return −ln P of each phrase, in nats, shape (phrases,).

        phrases: tokens joined by spaces. texts: the counted text that each was found in. strata: where it was written;
        an unknown stratum is judged by all of them together.
        """
        if phrases.is_empty():
            return np.empty(0)
        words = phrases.str.split(" ")
        owner = np.repeat(np.arange(len(phrases)), words.list.len().to_numpy().astype(np.int64))
        tokens = words.explode().hash().to_numpy()
        cluster = self.clusters[texts][owner]
        stratum = strata.replace_strict(self.strata, default=0, return_dtype=pl.UInt64).to_numpy()[owner]
        counted = [self._count(tokens, owner, cluster, stratum, words) for words in range(_ORDER + 1)]
        vocabulary = max(len(self.tables[1][0].keys), _LEAST_VOCABULARY)
        share = (counted[1][0] + _NEW) / (counted[0][0] + _NEW * vocabulary)
        share = (counted[1][1] + _WORDS * share) / (counted[0][1] + _WORDS)
        for longer, shorter in zip(counted[2:], counted[1:], strict=False):
            reaches = longer[2]
            context = [np.roll(shorter[scope], 1) for scope in (0, 1)]
            better = (longer[0] + _OVERALL * share) / (context[0] + _OVERALL)
            better = (longer[1] + _WITHIN * better) / (context[1] + _WITHIN)
            share = np.where(reaches, better, share)
        return np.bincount(owner, weights=-np.log(share), minlength=len(phrases))

    def _count(
        self, tokens: np.ndarray, owner: np.ndarray, cluster: np.ndarray, stratum: np.ndarray, words: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return of the n-gram that ends at each token: its count in all, in the stratum, and whether it is whole.

        Both counts are without the cluster.
        """
        ends, grams = _end_grams(tokens, owner, words)
        found = [
            table.of(keys)
            for table, keys in zip(self.tables[words], _scopes(grams, cluster[ends], stratum[ends]), strict=True)
        ]
        overall, inside, reaches = np.zeros(len(tokens)), np.zeros(len(tokens)), np.zeros(len(tokens), dtype=bool)
        overall[ends], inside[ends], reaches[ends] = found[0] - found[1], found[2] - found[3], True
        return overall, inside, reaches


def _end_grams(tokens: np.ndarray, rows: np.ndarray, words: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where each n-gram within one text ends, and its hash."""
    grams = np.zeros(max(len(tokens) - max(words - 1, 0), 0), dtype=np.uint64)
    for offset in range(words):
        grams = (grams + tokens[offset : offset + len(grams)]) * _MIX[1]
    ends = np.arange(len(tokens) - len(grams), len(tokens))
    inside = rows[ends] == rows[ends - max(words - 1, 0)]
    return ends[inside], grams[inside]


def _scopes(grams: np.ndarray, cluster: np.ndarray, stratum: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the keys of n-grams in all, by cluster, by stratum, by cluster within the stratum."""
    within = (grams ^ (stratum + np.uint64(1)) * _MIX[0]) * _MIX[1]
    apart = (cluster + np.uint64(1)) * _MIX[1]
    return grams, (grams ^ apart) * _MIX[0], within, (within ^ apart) * _MIX[0]
