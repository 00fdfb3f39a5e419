"""Walks over the corpus, many at once: where each starts, when it changes to another row, where it ends.

Here: one text per walk, with the rows that it took spans from. Not here: the corpus (corpus.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from synth_assets.generation.text.corpus import Choices, Corpus, hash_context, hash_values, to_uniform

_LEAST_SPAN, _LONG_SPAN = 2, 3
_BIGRAM_RATE, _UNIGRAM_RATE = 0.55, 0.12


@dataclass(frozen=True)
class Walks:
    """texts, lengths (words) and cut (over a cap) per walk; the rows each took spans from."""

    texts: pl.Series
    lengths: np.ndarray
    cut: np.ndarray
    source_walk: np.ndarray
    source_row: np.ndarray


def walk_corpus(corpus: Corpus, units: np.ndarray, seeds: np.ndarray, cap: tuple[int, int]) -> Walks:
    """Walk from the start of each unit to an end; `cap`: most characters, most words."""
    count = len(units)
    goal = corpus.scope[corpus.unit_start[units]]
    at = _begin(corpus, corpus.unit_start[units], seeds)
    run, changed = corpus.size[at], np.zeros(count, bool)
    active, noise = np.arange(count), seeds
    walks, positions = [], []
    cut = np.zeros(count, bool)
    for step in range(cap[1]):
        walks.append(active)
        positions.append(at)
        here, run, changed = _switch(corpus, at, goal, run, changed, hash_values(noise, 10 + step))
        goes_on = ~corpus.last[here]
        active, noise, goal, changed = active[goes_on], noise[goes_on], goal[goes_on], changed[goes_on]
        run, at = run[goes_on], here[goes_on] + 1
        if not active.size:
            break
    cut[active] = True
    walk, position = np.concatenate(walks), np.concatenate(positions)
    order = np.argsort(walk, kind="stable")
    walk, position = walk[order], position[order]
    texts = (
        pl.DataFrame({"walk": walk, "word": corpus.words.gather(position)})
        .group_by("walk", maintain_order=True)
        .agg(pl.col("word").str.join(""))["word"]
        .str.strip_chars()
    )
    cut |= (texts.str.len_chars() > cap[0]).to_numpy()
    rows = corpus.row[position]
    fresh = np.concatenate([[True], (walk[1:] != walk[:-1]) | (rows[1:] != rows[:-1])])
    return Walks(
        texts=texts.str.slice(0, cap[0]),
        lengths=np.bincount(walk, minlength=count),
        cut=cut,
        source_walk=walk[fresh],
        source_row=rows[fresh],
    )


def _begin(corpus: Corpus, own: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return where walks start: at their own unit's start, or at another's if too few rows start as theirs does."""
    at, settled = own.copy(), corpus.starts[own]
    for salt, (choices, scope) in enumerate(
        ((corpus.begin, corpus.scope[own]), (corpus.shared_begin, corpus.everywhere[own]))
    ):
        tried = np.flatnonzero(~settled)
        group = choices.find(hash_context(scope[tried]))
        tried, group = tried[group >= 0], group[group >= 0]
        at[tried] = choices.draw(group, to_uniform(hash_values(noise[tried], 4 + salt)))
        settled[tried] = True
    return at


def _switch(
    corpus: Corpus, at: np.ndarray, goal: np.ndarray, run: np.ndarray, changed: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where each walk stands after a possible change of source, the words copied once it has gone on, and
    whether it has ever changed.

    A change must come at the last chance before the span is too long, at the last chance of a walk that has only
    copied, and where too few rows go on as this one does: then, as a last resort, to a row of another stratum than
    the walk's own (`goal`), from which it comes back as soon as it can.
    """
    chance = to_uniform(noise)
    stuck = ~corpus.open[at]
    forced = (run + corpus.ahead[at] >= _LONG_SPAN) | (corpus.final[at] & ~changed) | (corpus.scope[at] != goal)
    forced = (forced & ~corpus.last[at]) | stuck
    ready = (run >= _LEAST_SPAN) | forced
    here, kept, moved = at.copy(), run.copy(), np.zeros(len(at), bool)
    for salt, (choices, rate, contexts) in enumerate(_list_tries(corpus, at, goal)):
        tried = np.flatnonzero(ready & (forced | (chance < rate)) & ~moved)
        if choices is corpus.shared:
            tried = tried[stuck[tried]]
        if not tried.size:
            continue
        group = choices.find(contexts[tried])
        tried, group = tried[group >= 0], group[group >= 0]
        found = choices.draw(group, to_uniform(hash_values(noise[tried], 2 + salt)))
        new = (corpus.row[found] != corpus.row[at[tried]]) | stuck[tried]
        here[tried[new]] = found[new]
        kept[tried[new]] = 2 if choices is corpus.bigram else 1
        moved[tried[new]] = True
    return here, kept + corpus.size[np.minimum(here + 1, len(corpus.size) - 1)], changed | moved


def _list_tries(corpus: Corpus, at: np.ndarray, goal: np.ndarray) -> tuple[tuple[Choices, float, np.ndarray], ...]:
    """Return the tries of one step: choices, how often an unforced walk makes them, and the walks' contexts."""
    word = corpus.word[at]
    double, single = hash_context(goal, word, corpus.before[at]), hash_context(goal, word)
    return (
        (corpus.bigram, _BIGRAM_RATE, double),
        (corpus.bigram, 0.0, double),
        (corpus.unigram, _UNIGRAM_RATE, single),
        (corpus.unigram, 0.0, single),
        (corpus.unigram, 0.0, single),
        (corpus.shared, 0.0, hash_context(corpus.everywhere[at], word)),
    )
