"""A language model of short texts: interpolated word n-grams whose unknown words are spelled by character n-grams.

Here: modified Kneser–Ney estimates over integer symbols, and the word model built of two of them. Not here: what
probability is too low (perplexity.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synth_assets.ngrams import Characters, KeyIndex, Words

WORD_ORDER, SPELLING_ORDER = 3, 5
_CODE_POINTS = 0x110000
_PARENT = np.uint64(32)


@dataclass(frozen=True)
class Sequences:
    """Symbols of many sequences, each behind a start symbol: `symbols` (−1 is unknown) and where sequences start."""

    symbols: np.ndarray
    starts: np.ndarray

    @classmethod
    def frame(cls, symbols: np.ndarray, counts: np.ndarray, *, start: int, end: int) -> Sequences:
        """Put a start before and an end behind each sequence; `counts` symbols each."""
        borders = np.cumsum(counts + 2) - (counts + 2)
        framed = np.full(len(symbols) + 2 * len(counts), start, np.int64)
        framed[np.arange(len(symbols)) + 2 * np.repeat(np.arange(len(counts)), counts) + 1] = symbols
        framed[borders + counts + 1] = end
        return cls(framed, borders)

    @property
    def predicted(self) -> np.ndarray:
        """Which places are predicted: all but the starts."""
        told = np.ones(len(self.symbols), bool)
        told[self.starts] = False
        return told


@dataclass(frozen=True)
class _Level:
    """The n-grams of one length. Each has its share of its context's mass; what a context keeps goes to shorter ones.

    share  by n-gram, then 0 for those not seen
    rest   by context (an n-gram of the level below), then 1 for those not seen
    """

    index: KeyIndex | None
    share: np.ndarray
    rest: np.ndarray


@dataclass(frozen=True)
class NgramModel:
    """Interpolated modified Kneser–Ney (Chen & Goodman 1999): n-grams as a trie of exact integer keys.

    P(w | context) = (c(context, w) − D) / c(context) + rest(context) · P(w | shorter context). Of all but the longest
    n-grams c counts the symbols seen before it, save at the start of a sequence. The shortest falls back to a base
    probability that the caller gives symbol by symbol; if those sum to one, so does P, for every context.
    """

    levels: tuple[_Level, ...]

    @classmethod
    def fit(cls, sequences: Sequences, *, order: int, symbols: int) -> NgramModel:
        """Fit n-grams up to `order`; symbols are 0 … symbols − 1, the start symbol among them."""
        nodes: list[np.ndarray] = [sequences.symbols]
        indexes: list[KeyIndex | None] = [None]
        sizes = [symbols]
        for _ in range(1, order):
            index, found = _extend(nodes[-1], sequences)
            nodes.append(found)
            indexes.append(index)
            sizes.append(len(index))
        levels = []
        predicted = sequences.predicted
        for n in range(order):
            longer = nodes[n + 1] if n + 1 < order else None
            counts = _count_contexts(nodes[n], longer, sequences, n, sizes[n], predicted)
            parents = np.zeros(sizes[n], np.int64)
            if n:
                parents[nodes[n][nodes[n] >= 0]] = _shift(nodes[n - 1])[nodes[n] >= 0]
            levels.append(_discount(indexes[n], counts, parents, sizes[n - 1] if n else 1))
        return cls(tuple(levels))

    def predict(self, sequences: Sequences, base: np.ndarray) -> np.ndarray:
        """Return the probability of every symbol after those before it, in place; starts get 1."""
        node, lowest = sequences.symbols, self.levels[0]
        chances = lowest.share[node] + lowest.rest[0] * base
        for level in self.levels[1:]:
            assert level.index is not None
            context = _shift(node)
            context[sequences.starts] = -1
            node = _find_children(level.index, context, sequences.symbols)
            chances *= level.rest[context]
            chances += level.share[node]
        chances[sequences.starts] = 1.0
        return chances


def _shift(nodes: np.ndarray) -> np.ndarray:
    """Return at each place what stands one before it; what that is at the start of a sequence means nothing."""
    return np.roll(nodes, 1)


def _extend(nodes: np.ndarray, sequences: Sequences) -> tuple[KeyIndex, np.ndarray]:
    context = _shift(nodes)
    context[sequences.starts] = -1
    known = (context >= 0) & (sequences.symbols >= 0)
    index = KeyIndex.of(_key(context[known], sequences.symbols[known]))
    return index, _find_children(index, context, sequences.symbols)


def _key(context: np.ndarray, symbols: np.ndarray) -> np.ndarray:
    return context.astype(np.uint64) << _PARENT | symbols.astype(np.uint64)


def _find_children(index: KeyIndex, context: np.ndarray, symbols: np.ndarray) -> np.ndarray:
    found = np.full(len(symbols), -1, np.int64)
    known = np.flatnonzero((context >= 0) & (symbols >= 0))
    found[known] = index.locate(_key(context[known], symbols[known]))
    return found


def _count_contexts(
    nodes: np.ndarray, longer: np.ndarray | None, sequences: Sequences, n: int, size: int, predicted: np.ndarray
) -> np.ndarray:
    """Return each n-gram's count; with longer ones, the number of symbols it follows, unless it begins a sequence."""
    here = predicted & (nodes >= 0)
    if longer is None:
        return np.bincount(nodes[here], minlength=size)
    _, places = np.unique(longer, return_index=True)
    places = places[longer[places] >= 0]
    follows = np.bincount(nodes[places], minlength=size)
    if not n:
        return follows
    first = sequences.starts + n
    first = first[first < len(nodes)]
    first = first[nodes[first] >= 0]
    raw = np.bincount(nodes[first], minlength=size)
    return np.where(raw > 0, raw, follows)


def _discount(index: KeyIndex | None, counts: np.ndarray, parents: np.ndarray, contexts: int) -> _Level:
    """Take D1, D2, D3+ from n-grams counted once, twice, more often, and give what is taken to the context's rest."""
    n1, n2, n3, n4 = (int((counts == k).sum()) for k in (1, 2, 3, 4))
    ratio = n1 / (n1 + 2 * n2) if n1 and n2 else 0.5
    wanted = [
        1 - 2 * ratio * n2 / n1 if n1 else 0.5,
        2 - 3 * ratio * n3 / n2 if n2 else 1,
        3 - 4 * ratio * n4 / n3 if n3 else 1.5,
    ]
    d = np.array([0, *np.clip(wanted, [0.1, 0.1, 0.1], [0.9, 1.8, 2.7])])
    taken = d[np.minimum(counts, 3)]
    total = np.bincount(parents, weights=counts, minlength=contexts)
    freed = np.bincount(parents, weights=taken, minlength=contexts)
    share = (counts - taken) / np.maximum(total[parents], 1)
    rest = np.where(total > 0, freed / np.maximum(total, 1), 1.0)
    return _Level(index, np.append(share, 0.0), np.append(rest, 1.0))


# ---- words


@dataclass(frozen=True)
class Surprise:
    """What a model says of texts.

    nats    of every word and of the end of each text, text after text, shape (words + texts,)
    alone   the same without the words before
    counts  words of each text and its end, shape (texts,)
    """

    nats: np.ndarray
    alone: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True)
class WordModel:
    """P(word | two words before it); the base of the interpolation is the spelling of the word, so that P sums to one
    over all strings and the end of the text."""

    vocabulary: KeyIndex
    words: NgramModel
    spelled: np.ndarray
    spelling: NgramModel
    alphabet: KeyIndex

    @classmethod
    def fit(cls, characters: Characters) -> WordModel:
        words = characters.words
        vocabulary = KeyIndex.of(words.hashes)
        ids = vocabulary.locate(words.hashes).astype(np.int64)
        size = len(vocabulary)
        model = NgramModel.fit(
            Sequences.frame(ids, words.counts, start=size, end=size + 1), order=WORD_ORDER, symbols=size + 2
        )
        _, first = np.unique(ids, return_index=True)
        points, counts = _spell(characters, words, first)
        alphabet = KeyIndex.of(points.astype(np.uint64))
        framed = _frame_spelling(alphabet, points, counts)
        spelling = NgramModel.fit(framed, order=SPELLING_ORDER, symbols=len(alphabet) + 2)
        logs = _measure_spelling(spelling, alphabet, points, counts)
        return cls(vocabulary, model, np.append(np.exp(-logs), [0.0, 0.0, 1.0]), spelling, alphabet)

    def measure(self, characters: Characters) -> Surprise:
        words = characters.words
        size = len(self.vocabulary)
        ids = self.vocabulary.locate(words.hashes).astype(np.int64)
        framed = Sequences.frame(ids, words.counts, start=size, end=size + 1)
        base = self.spelled[framed.symbols]
        nats = -np.log(self.words.predict(framed, base))
        lowest = self.words.levels[0]
        alone = -np.log(
            lowest.share[framed.symbols] + lowest.rest[0] * base, where=framed.predicted, out=np.zeros(len(base))
        )
        unknown = np.flatnonzero(framed.symbols < 0)
        if len(unknown):
            spelled = _measure_spelling(
                self.spelling, self.alphabet, *_spell(characters, words, np.flatnonzero(ids < 0))
            )
            nats[unknown] += spelled
            alone[unknown] += spelled
        told = framed.predicted
        return Surprise(nats[told], alone[told], words.counts + 1)


def _spell(characters: Characters, words: Words, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    starts, lengths = words.starts[chosen], words.lengths[chosen]
    places = np.arange(int(lengths.sum())) + np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    return characters.points[places], lengths


def _frame_spelling(alphabet: KeyIndex, points: np.ndarray, counts: np.ndarray) -> Sequences:
    size = len(alphabet)
    letters = alphabet.locate(points.astype(np.uint64)).astype(np.int64)
    return Sequences.frame(letters, counts, start=size, end=size + 1)


def _measure_spelling(model: NgramModel, alphabet: KeyIndex, points: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return nats of each word's letters and end. Half of the base mass is spread over the letters seen and the end,
    half over all of Unicode."""
    framed = _frame_spelling(alphabet, points, counts)
    known = len(alphabet) + 1
    base = np.where(framed.symbols >= 0, 0.5 / known + 0.5 / _CODE_POINTS, 0.5 / _CODE_POINTS)
    base[framed.symbols == len(alphabet) + 1] = 0.5 / known
    nats = -np.log(model.predict(framed, base))
    return np.add.reduceat(nats, framed.starts) if len(counts) else np.empty(0)
