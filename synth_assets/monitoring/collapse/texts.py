"""Whether the words of a corpus keep the variety and the tails of the real texts.

Here: diversity at an equal token budget, rare n-grams, perplexity of held-out real text. Not here: the measures of
tokens themselves (diversity, language), meaning (semantics), columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from synth_assets.monitoring.collapse.case import (
    DRAWS,
    FEW_DRAWS,
    MAX_ROWS,
    RARE_TEXTS,
    SYNTHETIC_PREFIX,
    Case,
    Findings,
    fall,
    find_rare,
    judge_drop,
    judge_rise,
    judge_share,
    soften,
)
from synth_assets.monitoring.diversity import (
    Tokens,
    find_ngrams,
    measure_compression_ratio,
    measure_distinct_n,
    measure_ngram_entropy,
    measure_self_bleu,
    measure_self_repetition,
    tokenize,
)
from synth_assets.monitoring.features import read_text, sample_rows, select_synthetic
from synth_assets.monitoring.language import fit_trigrams
from synth_assets.monitoring.measures import Metric, find_null_interval
from synth_assets.spec import FieldSpec

TOKEN_BUDGET = 60_000
MIN_TOKENS = 50
SELF_BLEU_TEXTS = 500  # of the anchor, in words

TEXT_MEASURES: dict[str, Callable[[Tokens, list[str]], float]] = {
    "distinct_1": lambda tokens, _: measure_distinct_n(tokens, 1),
    "distinct_2": lambda tokens, _: measure_distinct_n(tokens, 2),
    "distinct_3": lambda tokens, _: measure_distinct_n(tokens, 3),
    "bigram_entropy": lambda tokens, _: measure_ngram_entropy(tokens, 2),
    "self_repetition": lambda tokens, _: measure_self_repetition(tokens, 4),
    "compression_ratio": lambda _, texts: measure_compression_ratio(texts),
}


@dataclass(frozen=True)
class Texts:
    """All texts of the anchor, the rounds and the held-out rows under one vocabulary; sets are indices into them."""

    texts: pl.Series
    tokens: Tokens
    anchor: np.ndarray
    held_out: np.ndarray
    corpus: Mapping[str, np.ndarray]
    synthetic: Mapping[str, np.ndarray]
    budget: int

    @property
    def sets(self) -> tuple[tuple[str, Mapping[str, np.ndarray]], ...]:
        """Prefix of the metrics, and the rows of each round they are of."""
        return ("", self.corpus), (SYNTHETIC_PREFIX, self.synthetic)

    @property
    def self_bleu_budget(self) -> int:
        return min(self.budget, SELF_BLEU_TEXTS * self.count(self.anchor) // len(self.anchor))

    def count(self, docs: np.ndarray) -> int:
        return int(self.tokens.lengths[docs].sum())

    def measure(self, docs: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
        """Return every measure of the texts in a random order, cut at the budget."""
        drawn = rng.permutation(docs)
        tokens = self.tokens.take(drawn, self.budget)
        texts = self.texts.gather(drawn[: tokens.n_docs]).to_list()
        found = {name: function(tokens, texts) for name, function in TEXT_MEASURES.items()}
        return {**found, "self_bleu": measure_self_bleu(self.tokens.take(drawn, self.self_bleu_budget))}

    def halve(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        mixed = rng.permutation(self.anchor)
        return mixed[: len(mixed) // 2], mixed[len(mixed) // 2 :]


def collect_texts(case: Case, fields: list[FieldSpec], held_out: pl.DataFrame | None) -> Texts:
    """Tokenize the anchor, the held-out rows and every round together and find the common budget."""
    parts: list[pl.Series] = []
    sizes = [0]

    def add(frame: pl.DataFrame) -> np.ndarray:
        present = [item for item in fields if item.name in frame.columns]
        parts.append(read_text(frame, present))
        sizes.append(sizes[-1] + frame.height)
        return np.arange(sizes[-2], sizes[-1])

    anchor = add(case.anchor)
    real = add(sample_rows(held_out, MAX_ROWS, case.seed, "held_out")) if held_out is not None else anchor[:0]
    corpus, synthetic = {}, {}
    for name, frame in case.rounds.items():
        corpus[name] = add(frame)
        made = set(select_synthetic(frame)["example_id"].to_list())
        synthetic[name] = corpus[name][frame["example_id"].is_in(made).to_numpy()]
    joined = pl.concat(parts)
    tokens = tokenize(joined)
    lengths = tokens.lengths

    def count(docs: np.ndarray) -> int:
        return int(lengths[docs].sum())

    wanted = min(TOKEN_BUDGET, count(anchor) // 2, count(corpus[case.current]))
    wanted = min(wanted, count(synthetic[case.current]) or wanted)
    # an early round that is far smaller than the current one would make every comparison coarse: it is left out
    enough = {name for name in corpus if min(count(corpus[name]), count(synthetic[name])) >= wanted / 4}
    enough.add(case.current)
    held = [count(sets[name]) for sets in (corpus, synthetic) for name in enough]
    return Texts(
        joined.fill_null(""),
        tokens,
        anchor,
        real,
        {name: docs for name, docs in corpus.items() if name in enough},
        {name: docs for name, docs in synthetic.items() if name in enough and count(docs)},
        min([wanted, *(size for size in held if size)]),
    )


def measure_texts(case: Case, label: str, texts: Texts) -> Findings:
    """Return the lexical metrics and their history; see measure_collapse."""
    if texts.budget < MIN_TOKENS:
        note = f"not measured: {texts.budget} words to compare, {MIN_TOKENS} are needed"
        return [Metric("distinct_2", field=label, note=note)], []
    metrics: list[Metric] = []
    history: list[dict[str, Any]] = []
    null = _draw_null(case, texts)
    for prefix, sets in texts.sets:
        means = {name: _average(case, texts, docs, name) for name, docs in sets.items()}
        metrics.extend(_compare_diversity(case, label, prefix, means.get(case.current), null, texts.budget))
        for name, values in means.items():
            drop = fall(values["distinct_2"], float(np.mean(null["distinct_2"])))
            shown = {**values, "distinct_2_drop": drop}
            history += [case.history(name, value, f"{prefix}{metric}", label) for metric, value in shown.items()]
    metrics.extend(_cover_ngrams(case, label, texts))
    found, told = _measure_perplexity(case, label, texts)
    return [*metrics, *found], [*history, *told]


def _draw_null(case: Case, texts: Texts) -> dict[str, np.ndarray]:
    """Return each text measure of both halves of the anchor, draw by draw, shape (2, DRAWS)."""
    rng = case.random("halves")
    drawn = [[texts.measure(half, rng) for half in texts.halve(rng)] for _ in range(DRAWS)]
    return {name: np.array([[side[name] for side in pair] for pair in drawn]).T for name in drawn[0][0]}


def _average(case: Case, texts: Texts, docs: np.ndarray, name: str) -> dict[str, float]:
    # a set that fits the budget whole is always the same tokens: one draw says all
    draws = FEW_DRAWS if texts.count(docs) > texts.self_bleu_budget else 1
    rng = case.random("round", name)
    drawn = [texts.measure(docs, rng) for _ in range(draws)]
    return {metric: float(np.mean([one[metric] for one in drawn])) for metric in drawn[0]}


def _compare_diversity(
    case: Case,
    label: str,
    prefix: str,
    values: Mapping[str, float] | None,
    null: Mapping[str, np.ndarray],
    budget: int,
) -> Iterator[Metric]:
    if values is None:
        yield Metric(f"{prefix}distinct_2", field=label, note="not measured: no words on one side")
        return
    common: dict[str, Any] = {
        "field": label,
        "n_real": case.anchor.height,
        "n_synthetic": case.synthetic.height,
        "note": f"{budget} words",
    }
    for name, value in values.items():
        low, high = find_null_interval(null[name].ravel())
        yield Metric(f"{prefix}{name}", value, null_low=low, null_high=high, **common)
    first, second = null["distinct_2"]
    low, high = find_null_interval(fall(second, first))
    drop = fall(values["distinct_2"], float(np.mean(null["distinct_2"])))
    bar = case.spec.quality.distinct_2_drop
    level = soften(judge_drop(drop, case, high), prefix)
    yield Metric(f"{prefix}distinct_2_drop", drop, null_low=low, null_high=high, threshold=bar, level=level, **common)


def _cover_ngrams(case: Case, label: str, texts: Texts) -> Iterator[Metric]:
    docs = texts.synthetic.get(case.current)
    note = f"n-grams in {RARE_TEXTS[0]}–{RARE_TEXTS[1]} texts of half the anchor"
    for name, n in (("rare_word_coverage", 1), ("rare_bigram_coverage", 2)):
        if docs is None:
            yield Metric(name, field=label, note="not measured: no synthetic words")
            continue
        rng = case.random(name)
        real, made = [], []
        for _ in range(DRAWS):
            first, second = texts.halve(rng)
            rare = find_rare(*find_ngrams(texts.tokens.take(first), n), *RARE_TEXTS)
            for shares, side in ((real, second), (made, docs)):
                grams, _ = find_ngrams(texts.tokens.take(rng.permutation(side), texts.budget), n)
                shares.append(float(np.isin(rare, grams).mean()) if len(rare) else float("nan"))
        yield judge_share(case, name, label, real, made, note)


def _measure_perplexity(case: Case, label: str, texts: Texts) -> Findings:
    tokens = texts.tokens
    test, vocabulary = tokens.take(texts.held_out), tokens.take(texts.anchor)
    if not len(test):
        why = "the held-out rows have no words" if len(texts.held_out) else "no held-out real rows were given"
        return [Metric("perplexity", field=label, note=f"not measured: {why}")], []

    def predict(docs: np.ndarray, rng: np.random.Generator) -> float:
        model = fit_trigrams(tokens.take(rng.permutation(docs), texts.budget), vocabulary)
        return model.measure_perplexity(test)

    rng = case.random("perplexity")
    null = [predict(half, rng) for _ in range(FEW_DRAWS) for half in texts.halve(rng)]
    low, high = find_null_interval(null)
    center = float(np.mean(null))
    metrics, history = [], []
    for prefix, sets in texts.sets:
        means = {name: float(np.mean([predict(docs, rng) for _ in range(FEW_DRAWS)])) for name, docs in sets.items()}
        history += [case.history(name, value, f"{prefix}perplexity", label) for name, value in means.items()]
        if case.current in means:
            value = means[case.current]
            metrics.append(Metric(
                f"{prefix}perplexity", value, label, null_low=low, null_high=high,
                threshold=(1 + case.spec.quality.perplexity_rise) * center,
                level=soften(judge_rise(value, center, case, high), prefix), n_real=len(texts.held_out),
                n_synthetic=case.synthetic.height,
                note=f"trigram model of {texts.budget} words; real against real {center:.3g}",
            ))  # fmt: skip
    return metrics, history
