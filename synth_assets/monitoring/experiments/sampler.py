"""A trigram generator: fitted on tokens, writes thousands of texts at once, at any temperature, exactly.

Here: the sampler of the collapse experiment. Not here: the language model that judges texts (monitoring/language.py),
the embedded generator of the platform (generation/text/), whose texts read far better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synth_assets.monitoring.diversity import Tokens
from synth_assets.monitoring.language import BIGRAM, END, START, TRIGRAM, WORD, read_windows

_ORDERS = 2


@dataclass(frozen=True)
class TrigramSampler:
    """Jelinek–Mercer interpolation of trigrams and bigrams, .6 to .3, from which texts are drawn.

    A pair of words that was never seen gives its weight to the bigram, which always was. The unigrams of the judging
    model have no part: a word in ten drawn at random is noise, which hides that variety falls. A word's probability p
    is tempered as a whole, p^(1/T) over the sum of these: a proposal is drawn from the components tempered one by one,
    and is accepted by the ratio of the two (von Neumann 1951), at least once in 2^|1/T − 1| tries on average.

    longest: tokens of the longest text it was fitted on, where a text is cut.
    """

    orders: tuple[_Order, ...]
    power: float
    longest: int
    like: Tokens

    @classmethod
    def fit(cls, tokens: Tokens, temperature: float = 1.0) -> TrigramSampler:
        """Fit on at least one text; temperature > 0."""
        before, last, word, _ = read_windows(tokens, np.ones(len(tokens.vocabulary), bool))
        width = len(tokens.vocabulary) + WORD
        power = 1 / temperature
        orders = tuple(_Order.of(context, word, width, power) for context in (last, before * width + last))
        return cls(orders, power, int(tokens.lengths.max(initial=0)), tokens.take(np.empty(0, np.int64)))

    def write(self, count: int, rng: np.random.Generator) -> Tokens:
        """Return `count` texts under the vocabulary of those it was fitted on; a text may be empty."""
        before, last = np.full(count, START, np.int64), np.full(count, START, np.int64)
        active = np.arange(count)
        docs, words = [active[:0]], [active[:0]]
        for _ in range(self.longest):
            drawn = self._draw(before, last, rng)
            goes_on = drawn != END
            active, before, last = active[goes_on], last[goes_on], drawn[goes_on]
            docs.append(active)
            words.append(last)
            if not active.size:
                break
        doc = np.concatenate(docs)
        order = np.argsort(doc, kind="stable")
        return Tokens(np.concatenate(words)[order] - WORD, doc[order], count, self.like.vocabulary)

    def _draw(self, before: np.ndarray, last: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the next word after each pair of words."""
        width = len(self.like.vocabulary) + WORD
        contexts = (last, before * width + last)
        places = np.stack([order.find(context) for order, context in zip(self.orders, contexts, strict=True)])
        trigram = np.where(places[1] >= 0, TRIGRAM / (TRIGRAM + BIGRAM), 0.0)
        weights = np.stack([1 - trigram, trigram])
        mass = np.stack([order.weigh(place) for order, place in zip(self.orders, places, strict=True)])
        chances = np.cumsum(weights**self.power * mass, axis=0)
        words = np.full(len(last), END, np.int64)
        open_ = np.arange(len(last))
        while open_.size:
            told = rng.random((3, open_.size))
            chosen = (told[0] * chances[-1, open_] >= chances[:-1, open_]).sum(axis=0)
            for number, order in enumerate(self.orders):
                mine = chosen == number
                words[open_[mine]] = order.draw(places[number, open_[mine]], told[1, mine])
            if self.power == 1:
                break
            parts = weights[:, open_] * np.stack(
                [order.share(place[open_], words[open_]) for order, place in zip(self.orders, places, strict=True)]
            )
            bound = max(1.0, _ORDERS ** (self.power - 1)) * (parts**self.power).sum(axis=0)
            open_ = open_[told[2] * bound >= parts.sum(axis=0) ** self.power]
        return words


@dataclass(frozen=True)
class _Order:
    """The words seen after each context, sorted by context and word; `sums` are of count^power, from 0."""

    contexts: np.ndarray
    borders: np.ndarray
    totals: np.ndarray
    words: np.ndarray
    counts: np.ndarray
    sums: np.ndarray
    keys: np.ndarray
    width: int
    power: float

    @classmethod
    def of(cls, context: np.ndarray, word: np.ndarray, width: int, power: float) -> _Order:
        keys, counts = np.unique(context * width + word, return_counts=True)
        contexts, first = np.unique(keys // width, return_index=True)
        borders = np.append(first, len(keys))
        sums = np.append(0.0, np.cumsum(counts.astype(np.float64) ** power))
        totals = np.add.reduceat(counts, first).astype(np.float64)
        return cls(contexts, borders, totals, keys % width, counts, sums, keys, width, power)

    def find(self, context: np.ndarray) -> np.ndarray:
        """Return the place of each context, −1 where it was never seen."""
        place = np.minimum(np.searchsorted(self.contexts, context), len(self.contexts) - 1)
        return np.where(self.contexts[place] == context, place, -1)

    def weigh(self, place: np.ndarray) -> np.ndarray:
        """Return the sum of probability^power over the words after each context."""
        return (self.sums[self.borders[place + 1]] - self.sums[self.borders[place]]) / self.totals[place] ** self.power

    def draw(self, place: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        low, high = self.borders[place], self.borders[place + 1]
        target = self.sums[low] + uniform * (self.sums[high] - self.sums[low])
        return self.words[np.clip(np.searchsorted(self.sums, target, side="right") - 1, low, high - 1)]

    def share(self, place: np.ndarray, word: np.ndarray) -> np.ndarray:
        """Return the probability of each word after its context; 0 where either was never seen."""
        key = self.contexts[place] * self.width + word
        at = np.minimum(np.searchsorted(self.keys, key), len(self.keys) - 1)
        return np.where((place >= 0) & (self.keys[at] == key), self.counts[at] / self.totals[place], 0.0)
