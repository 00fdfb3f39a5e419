"""Truncated endings: does a text stop where its kind of text stops, or was it cut off?

Here: a small model of how the training texts end against where they could have been cut. Not here: other rules for
short texts (rules.py), completions that the engine itself reports as cut (record.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from synth_assets.discriminators.flat_texts import (
    ALPHA,
    FACTOR,
    SOLID,
    SPACE,
    STOP,
    UPPER,
    WORD,
    FlatTexts,
    mix_codes,
)
from synth_assets.records import derive_seed, digest_text

FALSE_REJECT = 0.0015
"""Share of training texts that may count as cut off, out of fold; it sets the limit. New real texts: below 0.2 %."""
LEAST_TEXTS = 500
"""Training texts below which that share cannot be told: only endings that no text has are refused then."""

_MOST_TEXTS = 20_000
_FOLDS = 5
_SLOTS_BITS = 18
_FINISHED = r"(?:^|[.!?。！？．｡؟۔।॥။។։…‼⁇⁈⁉‽])[\"'”’»)\]}*_`\s]*$"
_MARKS = r"[.!?。！？．｡؟۔।॥။។։…‼⁇⁈⁉‽\"'”’»)\]}*_`\s]+$"
_STRIPPED = 0.2  # what a finished text, its last mark taken off, teaches about endings against one that has none
_OPEN = r"[,;(\[{“„«‚¿¡–—-]\s*$"
_ENGLISH_OPEN = (
    r"(?i)(?:^|\s)(?:the|a|an|my|your|our|their|its|and|or|but|nor|because|than|whether|although|unless|every|"
    r"i'm|we're|they're|you're|i've|we've)\s*$"
)


@dataclass(frozen=True, eq=False)
class Endings:
    """How the texts of one field end.

    A text that ends a sentence (quotes and brackets behind it allowed) is complete. Of another one, `weights` of its
    last words, its last letters, what stands between them and how it is written elsewhere tell whether training texts
    end like that or only go on like that: a logistic regression of real endings (finished texts without their last mark
    among them, at less weight) against cuts of the same texts at random places behind their middle. `limit`: the score
    below which FALSE_REJECT of all real texts lie, out of fold.

    Fitted on fewer than LEAST_TEXTS texts, `weights` is None and a text is cut off when it ends in what never ends one
    (a comma, an open bracket, in English an article), unless `open_ends`: some training text does.
    """

    weights: np.ndarray | None
    vocabulary: np.ndarray
    limit: float
    english: bool
    open_ends: bool

    @property
    def digest(self) -> str:
        weights = b"" if self.weights is None else self.weights.tobytes()
        return digest_text(weights.hex(), round(self.limit, 6), self.english, self.open_ends, size=6)

    @classmethod
    def unknown(cls, *, english: bool) -> Endings:
        """Return what is known of endings without training texts."""
        return cls(None, np.empty(0, np.uint64), -np.inf, english, open_ends=False)

    @classmethod
    def fit(cls, texts: pl.Series, *, english: bool, seed: int) -> Endings:
        """Fit on the training texts of a field; the order of the texts does not matter."""
        texts = texts.drop_nulls().sort()
        texts = texts.filter(texts.str.strip_chars() != "")
        open_ends = bool(_is_open(texts, english).any())
        if len(texts) < LEAST_TEXTS:
            return replace(cls.unknown(english=english), open_ends=open_ends)
        chance = np.random.default_rng(derive_seed(seed, "endings"))
        if len(texts) > _MOST_TEXTS:
            texts = texts.gather(np.sort(chance.choice(len(texts), _MOST_TEXTS, replace=False)))
        folds = chance.integers(_FOLDS, size=len(texts))
        scores = np.full(len(texts), np.inf)
        unfinished = (~_is_finished(texts)).to_numpy()
        fitted = []
        for fold in range(_FOLDS):
            held = np.flatnonzero((folds == fold) & unfinished)
            weights, vocabulary = _fit_weights(texts.filter(pl.Series(folds != fold)), chance)
            scores[held] = _score(FlatTexts.of(texts.gather(held)), weights, vocabulary)
            fitted.append(weights)
        limit = float(np.quantile(scores, FALSE_REJECT, method="lower"))
        # the mean of the folds' models, not one of all texts: the scale of scores depends on how many were read
        return cls(np.mean(fitted, axis=0), _find_known_words(texts)[1], limit, english, open_ends)

    def find_cut(self, texts: pl.Series) -> np.ndarray:
        """Return the rows of the texts that are cut off, ascending."""
        if self.weights is None:
            cut = pl.repeat(False, len(texts), eager=True) if self.open_ends else _is_open(texts, self.english)
            return cut.fill_null(False).arg_true().to_numpy()
        unfinished = (~_is_finished(texts)).arg_true()
        scores = _score(FlatTexts.of(texts.gather(unfinished)), self.weights, self.vocabulary)
        return unfinished.to_numpy()[scores < self.limit]


def _is_finished(texts: pl.Series) -> pl.Series:
    """Return whether a text ends a sentence, or is empty."""
    return texts.str.contains(_FINISHED).fill_null(True)


def _is_open(texts: pl.Series, english: bool) -> pl.Series:
    return texts.str.contains(f"{_OPEN}|{_ENGLISH_OPEN}" if english else _OPEN)


def _fit_weights(texts: pl.Series, chance: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the weight of every slot and the sorted hashes of the words that the texts hold."""
    from scipy.sparse import csr_array
    from sklearn.linear_model import SGDClassifier

    finished = _is_finished(texts)
    cuts = _cut(pl.concat([texts, texts]), chance)
    groups = [texts.filter(~finished), texts.filter(finished).str.replace(_MARKS, ""), cuts.filter(~_is_finished(cuts))]
    shared, vocabulary = _find_known_words(texts)
    weights = np.zeros((1 << _SLOTS_BITS) + 1)
    if not len(groups[2]):
        return weights, vocabulary
    known = (shared, shared, vocabulary)
    slots = np.concatenate([_slots(FlatTexts.of(group), words) for group, words in zip(groups, known, strict=True)])
    sizes = [len(group) for group in groups]
    is_real = np.repeat([True, True, False], sizes)
    importance = np.repeat([1.0, _STRIPPED, 1.0], sizes)
    importance[is_real] *= sizes[2] / importance[is_real].sum()
    borders = np.arange(0, slots.size + 1, slots.shape[1], dtype=np.int32)
    cells = (np.ones(slots.size), slots.ravel().astype(np.int32), borders)
    settings: dict[str, Any] = {"alpha": 3e-5, "max_iter": 10, "tol": None, "average": True, "random_state": 0}
    model: Any = SGDClassifier(loss="log_loss", **settings)
    model.fit(csr_array(cells, shape=(len(slots), 1 << _SLOTS_BITS)), is_real, sample_weight=importance)
    weights[:-1], weights[-1] = model.coef_[0], model.intercept_[0]
    return weights, vocabulary


def _find_known_words(texts: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted hashes of words in two texts or more, and of all words.

    A real text's own words count as known by other texts only, as a candidate's do.
    """
    flat = FlatTexts.of(texts)
    starts, ends = flat.find_runs(flat.kinds & WORD > 0)
    words = pl.DataFrame({"word": flat.folded_hash.of_spans(starts, ends), "text": flat.owners_of(starts)}).unique()
    known = words.group_by("word").len().sort("word")
    return known.filter(pl.col("len") > 1)["word"].to_numpy(), known["word"].to_numpy()


def _cut(texts: pl.Series, chance: np.random.Generator) -> pl.Series:
    """Return the texts cut at a random place behind their middle, half of them between words, half within one."""
    frame = pl.DataFrame({"text": texts, "share": 0.5 + 0.5 * chance.random(len(texts))}).with_columns(
        kept=pl.col("text").str.head((pl.col("text").str.len_chars() * pl.col("share")).cast(pl.Int64)),
        whole=pl.Series(chance.random(len(texts)) < 0.5),
    )
    between = pl.col("kept").str.replace(r"\S*$", "").str.strip_chars_end()
    return frame.select(pl.when("whole").then(between).otherwise(pl.col("kept").str.strip_chars_end())).to_series()


def _score(flat: FlatTexts, weights: np.ndarray, vocabulary: np.ndarray) -> np.ndarray:
    """Return the log odds of each text's ending being a real one, shape (texts,)."""
    return weights[_slots(flat, vocabulary)].sum(axis=1) + weights[-1]


def _slots(flat: FlatTexts, vocabulary: np.ndarray) -> np.ndarray:
    """Return the hashed features of every text's ending, shape (texts, features), each below 2^_SLOTS_BITS."""
    starts, ends = flat.find_runs(flat.kinds & WORD > 0)
    texts, hashed = len(flat.lengths), flat.folded_hash
    last = np.searchsorted(starts, flat.ends) - 1
    count = last + 1 - np.searchsorted(starts, flat.starts)
    # words that a text does not have are empty spans at its start
    begin = [np.where(count > back, starts[np.maximum(last - back, 0)], flat.starts) for back in range(3)]
    finish = [np.where(count > back, ends[np.maximum(last - back, 0)], flat.starts) for back in range(3)]
    word = hashed.of_spans(begin[0], finish[0])
    trimmed = flat.ends
    known = np.isin(word, vocabulary)
    tail = hashed.of_spans(finish[0], trimmed)  # what follows the last word: a comma, a bracket
    gap = hashed.of_spans(finish[1], begin[0])
    kinds_before = np.bitwise_or.reduceat(flat.kinds, np.stack([flat.starts, flat.ends], axis=1).ravel())[::2]
    first = np.where(count > 0, starts[np.minimum(last + 1 - count, max(len(starts) - 1, 0))], flat.starts)
    style = (
        (flat.kinds[first] & UPPER > 0).astype(np.uint64)
        + 2 * (kinds_before & STOP > 0).astype(np.uint64)
        + 4 * (flat.count_in(np.flatnonzero(flat.codes == ord(","))) > 0).astype(np.uint64)
    )
    letters = np.bitwise_or.reduceat(flat.kinds, np.stack([begin[0], finish[0]], axis=1).ravel())[::2]
    is_word = (letters & ALPHA > 0) & (finish[0] > begin[0])
    size = np.minimum(finish[0] - begin[0], 12).astype(np.uint64)
    length = np.log2(count + 1).astype(np.uint64)
    opened = _balance(flat, "([{", ")]}") > 0
    quotes = flat.count_in(np.flatnonzero(flat.codes == ord('"'))) % 2
    features = [
        word,
        hashed.of_spans(begin[1], finish[0]),
        hashed.of_spans(begin[2], finish[0]),
        hashed.of_spans(np.maximum(begin[0], finish[0] - 3), finish[0]),
        hashed.of_spans(np.maximum(begin[0], finish[0] - 2), finish[0]),
        hashed.of_spans(begin[1], finish[1]),
        tail,
        gap + is_word.astype(np.uint64),
        style + 8 * known.astype(np.uint64) + 16 * is_word.astype(np.uint64),
        size + 16 * known.astype(np.uint64) + 32 * is_word.astype(np.uint64),
        length + 32 * style,
        opened.astype(np.uint64) + 2 * quotes.astype(np.uint64) + 4 * (flat.kinds[trimmed - 1] & SOLID),
    ]
    slots = np.empty((texts, len(features)), dtype=np.int64)
    salts = np.arange(1, len(features) + 1, dtype=np.uint64) * FACTOR
    for place, feature in enumerate(features):
        salted = mix_codes(feature + salts[place])
        slots[:, place] = salted >> np.uint64(64 - _SLOTS_BITS)
    return slots


def _balance(flat: FlatTexts, opening: str, closing: str) -> np.ndarray:
    marks = np.flatnonzero(flat.kinds & (SPACE | SOLID) == 0)
    codes, owners = flat.codes[marks], flat.owners_of(marks)
    signs = np.isin(codes, [ord(mark) for mark in opening]).astype(np.int64)
    signs -= np.isin(codes, [ord(mark) for mark in closing])
    return np.bincount(owners, signs, minlength=len(flat.lengths))
