"""A small language model: interpolated word trigrams, to ask how well one set of texts predicts another.

Here: fitting from tokens, probabilities, surprise and perplexity. Not here: generating text, what a perplexity means.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synth_assets.monitoring.diversity import Tokens
from synth_assets.ngrams import Counts, hash_together

TRIGRAM, BIGRAM, UNIGRAM = 0.6, 0.3, 0.1
START, END, UNKNOWN, WORD = 0, 1, 2, 3
"""Codes of what stands in a window beside words; a word's is its id + WORD."""


@dataclass(frozen=True)
class TrigramModel:
    """Jelinek–Mercer interpolation .6 / .3 / .1 of trigrams, bigrams and add-one unigrams over a closed vocabulary.

    A context that was never seen gives its weight to the shorter ones, so probabilities sum to one. `known` tells for
    every token id whether it is in the vocabulary; all others are one unknown word.
    """

    known: np.ndarray
    words: np.ndarray
    contexts: Counts
    bigrams: Counts
    long_contexts: Counts
    trigrams: Counts

    def predict(self, tokens: Tokens) -> tuple[np.ndarray, np.ndarray]:
        """Return the probability of every token and every end of a text, and the text each belongs to."""
        before, last, word, docs = read_windows(tokens, self.known)
        outcomes = int(self.known.sum()) + 2
        chance = (self.words[word] + 1) / (self.words.sum() + outcomes)
        chance = _mix_in(chance, self.bigrams, self.contexts, (last, word), BIGRAM / (BIGRAM + UNIGRAM))
        return _mix_in(chance, self.trigrams, self.long_contexts, (before, last, word), TRIGRAM), docs

    def measure_surprise(self, tokens: Tokens) -> tuple[np.ndarray, np.ndarray]:
        """Return nats and predicted tokens (words and the end) of each text, both of shape (n_docs,)."""
        chances, docs = self.predict(tokens)
        nats = np.bincount(docs, weights=-np.log(chances), minlength=tokens.n_docs)
        return nats, np.bincount(docs, minlength=tokens.n_docs)

    def measure_perplexity(self, tokens: Tokens) -> float:
        """Return exp of the mean nats a predicted token; NaN without texts."""
        nats, sizes = self.measure_surprise(tokens)
        return float(np.exp(nats.sum() / sizes.sum())) if sizes.sum() else float("nan")


def fit_trigrams(tokens: Tokens, vocabulary: Tokens) -> TrigramModel:
    """Fit on texts; the vocabulary is every word of `vocabulary`.

    Give models that are to be compared the same vocabulary, and texts that come from one tokenize call.
    """
    known = np.zeros(len(tokens.vocabulary), bool)
    known[vocabulary.ids] = True
    before, last, word, _ = read_windows(tokens, known)
    return TrigramModel(
        known,
        np.bincount(word, minlength=len(known) + WORD),
        *(Counts.of(hash_together(*parts)) for parts in ((last,), (last, word), (before, last), (before, last, word))),
    )


def read_windows(tokens: Tokens, known: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (word before last, last word, word, text) of every prediction: texts padded with two starts and an end."""
    lengths = tokens.lengths
    starts = np.cumsum(lengths + 3) - (lengths + 3)
    padded = np.full(len(tokens) + 3 * tokens.n_docs, START, np.int64)
    within = np.arange(len(tokens)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    padded[starts[tokens.docs] + 2 + within] = np.where(known[tokens.ids], tokens.ids + WORD, UNKNOWN)
    padded[starts + 2 + lengths] = END
    docs = np.repeat(np.arange(tokens.n_docs), lengths + 1)
    places = np.arange(len(docs)) + 2 * (docs + 1)
    return padded[places - 2], padded[places - 1], padded[places], docs


def _mix_in(
    shorter: np.ndarray, grams: Counts, contexts: Counts, window: tuple[np.ndarray, ...], weight: float
) -> np.ndarray:
    total = contexts.look_up(hash_together(*window[:-1]))
    share = grams.look_up(hash_together(*window)) / np.maximum(total, 1)
    return np.where(total > 0, weight * share + (1 - weight) * shorter, shorter)
