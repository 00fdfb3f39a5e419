"""The index of the training texts: what stands after a context, and what enough rows share to be said.

Here: tokens, choices by context, support in rows. Not here: walking (walks.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import polars as pl

from synth_assets.similarity import WORD

MOST_SUPPORT = 3
ENOUGH_PAIRS = 2_000
"""Pairs of words that a field's texts must share for a support to be taken: with fewer, walks go in circles."""
_SPACELESS = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff"  # Thai, Lao, kana, Han: written without spaces
_TOKEN = re.compile(rf"\s*(?:[{_SPACELESS}]|[^\s{_SPACELESS}]+)")


def tokenize(text: str) -> list[str]:
    """Split text into tokens that keep the space before them; scripts without spaces go by character."""
    return _TOKEN.findall(text.strip())


@dataclass(frozen=True)
class Choices:
    """Where a walk may go on after a context: positions grouped by context, with cumulative sampling weights.

    context: sorted, each once; low, high: its part of position. cumulative: None where all positions weigh the same.
    """

    context: np.ndarray
    low: np.ndarray
    high: np.ndarray
    position: np.ndarray
    cumulative: np.ndarray | None

    def find(self, context: np.ndarray) -> np.ndarray:
        """Return the group of each context, −1 where there is none."""
        if not self.context.size:
            return np.full(len(context), -1)
        place = np.minimum(np.searchsorted(self.context, context), len(self.context) - 1)
        return np.where(self.context[place] == context, place, -1)

    def draw(self, group: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """Return a position of each group, drawn by weight."""
        low, high = self.low[group], self.high[group]
        if self.cumulative is None:
            return self.position[low + (uniform * (high - low)).astype(np.int64)]
        base = self.cumulative[low]
        target = base + uniform * (self.cumulative[high] - base)
        found = np.searchsorted(self.cumulative, target, side="right") - 1
        return self.position[np.clip(found, low, high - 1)]


@dataclass(frozen=True)
class Units:
    """Texts to index: their tokens, and of each its row, stratum and slot (place in the record), of so many `slots`."""

    tokens: list[list[str]]
    row: np.ndarray
    stratum: np.ndarray
    slot: np.ndarray
    slots: int


@dataclass(frozen=True)
class Corpus:
    """All tokens of all units, laid end to end; arrays have a value for each token, unless said otherwise.

    words: with the space before them. word, before: codes of a token and of the one before it (0: none). scope: of its
    stratum and slot; everywhere: of its slot in all strata. unit_start: first position, per unit. size: words as the
    leakage rule counts them. ahead: words to the next position where another row could take over, or to the end; final:
    none is left. last: the text ends here. starts, open: whether enough rows begin with this token, or go on after it
    as its own row does. begin, bigram, unigram: choices of a first position, after two words and after one, within the
    scope; shared_begin, shared: of a first position and after one word, in all strata. support: how many rows share
    what is said, per slot.
    """

    words: pl.Series
    row: np.ndarray
    word: np.ndarray
    before: np.ndarray
    scope: np.ndarray
    everywhere: np.ndarray
    unit_start: np.ndarray
    size: np.ndarray
    ahead: np.ndarray
    final: np.ndarray
    last: np.ndarray
    starts: np.ndarray
    open: np.ndarray
    begin: Choices
    shared_begin: Choices
    bigram: Choices
    unigram: Choices
    shared: Choices
    support: np.ndarray


def build_corpus(units: Units, min_support: int | None, temperature: float, top_k: int) -> Corpus:
    """Index the units; `min_support`: see find_support. Continuations: p ∝ n^(1/T), of the top k (0: of all)."""
    lengths = np.array([len(tokens) for tokens in units.tokens], np.int64)
    unit = np.repeat(np.arange(len(lengths)), lengths)
    ends = np.cumsum(lengths)
    starts = ends - lengths
    row, slot = units.row[unit], units.slot[unit]
    scope, everywhere = units.stratum[unit] * units.slots + slot, -1 - slot
    words = pl.Series("word", [token for tokens in units.tokens for token in tokens], dtype=pl.String)
    word = words.str.strip_chars().str.to_lowercase().rank("dense").to_numpy().astype(np.int64)
    before = np.concatenate([[0], word[:-1]])
    before[starts] = 0
    following = np.concatenate([word[1:], [0]])
    following[ends - 1] = 0
    size = words.str.count_matches(WORD).to_numpy().astype(np.int64)
    steps = pl.DataFrame({"slot": slot, "before": before, "word": word, "following": following, "row": row})
    support = find_support(steps, units.slots, min_support)
    may_start, may_go_on = find_supported(steps, support[slot])

    def group(context: np.ndarray) -> Choices:
        return group_choices(context, following, np.flatnonzero(may_go_on), temperature, top_k)

    first, single = np.flatnonzero(may_start), hash_context(scope, word)
    unigram = group(single)
    last = following == 0
    ahead, final = _look_ahead(_find_exits(unigram, single, row) & ~last, size, ends[unit] - 1)
    return Corpus(
        words=words,
        row=row,
        word=word,
        before=before,
        scope=scope,
        everywhere=everywhere,
        unit_start=starts,
        size=size,
        ahead=ahead,
        final=final,
        last=last,
        starts=may_start,
        open=may_go_on,
        begin=group_choices(hash_context(scope), following, first),
        shared_begin=group_choices(hash_context(everywhere), following, first),
        bigram=group(hash_context(scope, word, before)),
        unigram=unigram,
        shared=group(hash_context(everywhere, word)),
        support=support,
    )


def find_support(steps: pl.DataFrame, slots: int, wanted: int | None) -> np.ndarray:
    """Return the support of each slot: as wanted, else the greatest up to 3 that leaves it enough pairs of words.

    steps: slot, before, word, following (codes; 0: no word) and row, per token.
    """
    if wanted is not None:
        return np.full(slots, wanted)
    support = np.ones(slots, np.int64)
    for least in range(2, MOST_SUPPORT + 1):
        _, goes_on = find_supported(steps, np.full(steps.height, least))
        pairs = steps.filter(pl.Series(goes_on)).unique(["slot", "word", "following"])
        enough = np.bincount(pairs["slot"].to_numpy(), minlength=slots) >= ENOUGH_PAIRS
        support[enough & (support == least - 1)] = least
    return support


def find_supported(steps: pl.DataFrame, least: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which tokens may begin a text, and after which a text may go on (or end) as their own row does.

    That is where `least` rows of the slot, per token, have this beginning or this pair of words, and where pairs
    like that lead from it to an end. steps: see find_support.
    """
    rows = pl.col("row").n_unique()
    counted = steps.select(
        "word",
        "following",
        "slot",
        first=(pl.col("before") == 0) & (rows.over("slot", pl.col("before") == 0, "word") >= least),
        common=rows.over("slot", "word", "following") >= least,
    )
    first, common = counted["first"].to_numpy(), counted["common"].to_numpy()
    base = counted["slot"].to_numpy() * (int(counted["word"].max()) + 1)  # type: ignore[arg-type]
    here, there = base + counted["word"].to_numpy(), base + counted["following"].to_numpy()
    ends = counted["following"].to_numpy() == 0
    leads_to_end = np.zeros(int(here.max()) + 1, bool)
    before, count = -1, 0
    while count > before:
        arrives = common & (ends | leads_to_end[there])
        leads_to_end[here[arrives]] = True
        before, count = count, int(leads_to_end.sum())
    return first & leads_to_end[here], common & (ends | leads_to_end[there])


def group_choices(
    context: np.ndarray, following: np.ndarray, allowed: np.ndarray, temperature: float = 1.0, top_k: int = 0
) -> Choices:
    """Group the allowed positions by context; weight each so that a continuation with n of N has p ∝ n^(1/T)."""
    frame = pl.DataFrame({"context": context[allowed], "next": following[allowed], "position": allowed})
    weight = pl.lit(1.0)
    if temperature != 1.0:
        weight = pl.len().over("context", "next").cast(pl.Float64).pow(1.0 / temperature - 1.0)
    frame = frame.with_columns(weight=weight)
    if top_k:
        counted = frame.with_columns(n=pl.len().over("context", "next").cast(pl.Int64))
        rank = pl.struct(-pl.col("n"), "next").rank("dense").over("context")
        frame = counted.filter(rank <= top_k)
    ordered = frame.sort("context", "position")
    groups = ordered.group_by("context", maintain_order=True).len()
    high = groups["len"].cum_sum().to_numpy().astype(np.int64)
    cumulative = np.concatenate([[0.0], np.cumsum(ordered["weight"].to_numpy())])
    return Choices(
        context=groups["context"].to_numpy(),
        low=high - groups["len"].to_numpy().astype(np.int64),
        high=high,
        position=ordered["position"].to_numpy().astype(np.int64),
        cumulative=None if temperature == 1.0 else cumulative,
    )


def _find_exits(choices: Choices, context: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Return for each position whether its context goes on in another row too."""
    group = choices.find(context)
    known = group >= 0
    source = row[choices.position]
    changed = np.concatenate([[0], np.cumsum(source[1:] != source[:-1])])
    exits = np.zeros(len(context), bool)
    low, high = choices.low[group[known]], choices.high[group[known]]
    exits[known] = (changed[high - 1] > changed[low]) | (source[low] != row[known])
    return exits


def _look_ahead(exits: np.ndarray, size: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the words from each position to the next exit of its unit or its end, and whether no exit is left."""
    count, total = len(size), np.cumsum(size)
    nearest = np.minimum.accumulate(np.where(exits, np.arange(count), count)[::-1])[::-1]
    following = np.concatenate([nearest[1:], [count]])
    return total[np.minimum(following, end)] - total, following > end


def hash_context(scope: np.ndarray, *words: np.ndarray) -> np.ndarray:
    """Return a code of a scope and the words before a position, the last one first (codes; uint64)."""
    code = hash_values(scope.astype(np.uint64), 1)
    for salt, word in enumerate(words, 2):
        code = code ^ hash_values(word.astype(np.uint64), salt)
    return code


def hash_values(values: np.ndarray, salt: int) -> np.ndarray:
    """SplitMix64 (Steele, Lea & Flood 2014) of values and salt; shape and dtype uint64 kept."""
    z = values + np.uint64((salt * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def to_uniform(hashed: np.ndarray) -> np.ndarray:
    """Return hashes (uint64) as numbers in [0, 1)."""
    return (hashed >> np.uint64(11)).astype(np.float64) / float(1 << 53)
