"""Model collapse: whether the corpus keeps the variety and the tails of the real rows, round after round.

Here: diversity at an equal token budget, rare n-grams and rare values, entropy and variance of columns, perplexity,
each against the fixed real anchor and calibrated by one half of the anchor against the other. Not here: the text
measures themselves (diversity), the distribution as a whole (shift).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from synth_assets.monitoring.diversity import (
    Tokens,
    find_ngrams,
    measure_compression_ratio,
    measure_distinct_n,
    measure_ngram_entropy,
    measure_self_repetition,
    tokenize,
)
from synth_assets.monitoring.features import (
    MISSING,
    find_fields,
    read_categories,
    read_numbers,
    read_text,
    sample_rows,
    select_synthetic,
    split_fields,
)
from synth_assets.monitoring.language import fit_trigrams
from synth_assets.monitoring.measures import OK, WATCH, Metric, Report, build_report, find_null_interval, judge
from synth_assets.records import derive_seed
from synth_assets.spec import DatasetSpec, FieldSpec

MAX_ROWS = 20_000
TOKEN_BUDGET = 60_000
MIN_TOKENS = 50
MIN_ROWS = 10
DRAWS = 20
ROUND_DRAWS = 5
LANGUAGE_DRAWS = 5
ENTROPY_BINS = 20
TAIL = 0.025
RARE_TEXTS = (2, 5)
RARE_SHARE = 0.01
HISTORY = "history"
SYNTHETIC_PREFIX = "synthetic_"

TEXT_MEASURES: dict[str, Callable[[Tokens, list[str]], float]] = {
    "distinct_1": lambda tokens, _: measure_distinct_n(tokens, 1),
    "distinct_2": lambda tokens, _: measure_distinct_n(tokens, 2),
    "distinct_3": lambda tokens, _: measure_distinct_n(tokens, 3),
    "bigram_entropy": lambda tokens, _: measure_ngram_entropy(tokens, 2),
    "self_repetition": lambda tokens, _: measure_self_repetition(tokens, 4),
    "compression_ratio": lambda _, texts: measure_compression_ratio(texts),
}


def measure_collapse(
    rounds: Mapping[str, pl.DataFrame],
    anchor: pl.DataFrame,
    spec: DatasetSpec,
    *,
    held_out: pl.DataFrame | None = None,
) -> Report:
    """Compare the corpus of every round with the real anchor; the last round is the current one.

    rounds: round → corpus (example_id, stratum, origin, record columns), oldest first. anchor: the real train rows.
    held_out: real rows outside train (steering), for the perplexity. At most 20,000 rows a frame count.

    Metrics are of the current round. Text is compared at one token budget: what half of the anchor and every round
    hold, at most 60,000; each number is the mean of 5 random orders, each null interval is of 20 random halves of
    the anchor.
    - distinct_1, distinct_2, distinct_3, bigram_entropy (bits), self_repetition (4-grams), compression_ratio of the
      corpus, and with the prefix synthetic_ of its synthetic rows alone
    - distinct_2_drop, synthetic_distinct_2_drop: relative fall against the anchor
    - rare_word_coverage, rare_bigram_coverage: of the n-grams in 2–5 texts of one half of the anchor, the share that
      the synthetic rows hold; null: the share that the other half holds, at the same number of tokens
    - rare_value_coverage of category fields and of the stratum: the same for values that stand at least twice in
      half of the anchor and in at most 1 % of it (or 5 rows)
    - tail_share of numbers: synthetic rows beyond the anchor's 2.5 % and 97.5 % quantiles; entropy_drop of columns
      (20 quantile bins) and variance_drop of numbers: relative falls of the synthetic rows against the anchor
    - perplexity, synthetic_perplexity of held-out text under a trigram model of the corpus at the token budget; null:
      models of halves of the anchor

    Levels: drops act from distinct_2_drop and are watched from half of it (synthetic_distinct_2_drop is watched
    only: the contract is about the corpus); coverages and tails act below tail_coverage times their real-vs-real
    level and are watched halfway; only ever outside the null interval. The others have no bar.

    Examples: kind history, related_id = round, value, note = metric, or metric and field joined by a space.
    """
    salt = (spec.seed, "monitoring", "collapse")
    quality = spec.quality
    current = list(rounds)[-1] if rounds else None
    if current is None or not rounds[current].height or not anchor.height:
        what = "anchor rows" if current is not None and rounds[current].height else "corpus rows"
        return build_report(
            [Metric("distinct_2", note=f"not measured: there are no {what}")], (), quality.collapse_level
        )
    anchor = sample_rows(anchor, MAX_ROWS, *salt, "anchor")
    # one salt for all rounds: a row that stays in the corpus stays in its sample
    kept = {name: sample_rows(frame, MAX_ROWS, *salt, "corpus") for name, frame in rounds.items()}
    fields = find_fields(spec, anchor, kept[current])
    text, numeric, category = split_fields(fields)
    case = _Case(spec, anchor, kept, current, derive_seed(*salt, "draws"))
    findings: list[tuple[list[Metric], list[dict[str, Any]]]] = []
    if text:
        findings.append(_measure_text(case, text, held_out))
    findings.append(_measure_columns(case, numeric, category))
    metrics = [metric for found, _ in findings for metric in found]
    examples = [row for _, rows in findings for row in rows]
    return build_report(metrics, examples, quality.collapse_level)


@dataclass(frozen=True)
class _Case:
    spec: DatasetSpec
    anchor: pl.DataFrame
    rounds: Mapping[str, pl.DataFrame]
    current: str
    seed: int

    @property
    def synthetic(self) -> pl.DataFrame:
        return select_synthetic(self.rounds[self.current])

    def random(self, *parts: object) -> np.random.Generator:
        return np.random.default_rng(derive_seed(self.seed, *parts))

    def history(self, round_: str, value: float, metric: str, field: str = "") -> dict[str, Any]:
        return {"kind": HISTORY, "related_id": round_, "value": value, "note": f"{metric} {field}".strip()}


def _judge_drop(value: float, case: _Case, null_high: float | None) -> str:
    bar = case.spec.quality.distinct_2_drop
    return judge(value, act=bar, watch=bar / 2, null_high=null_high)


def _judge_coverage(value: float, center: float, case: _Case, null_low: float | None) -> str:
    bar = case.spec.quality.tail_coverage
    floor = None if null_low is None else -null_low
    return judge(-value, act=-bar * center, watch=-(1 + bar) / 2 * center, null_high=floor)


# ---- text


@dataclass(frozen=True)
class _Texts:
    """All texts of the anchor, the rounds and the held-out rows under one vocabulary; sets are indices into them."""

    texts: pl.Series
    tokens: Tokens
    anchor: np.ndarray
    held_out: np.ndarray
    corpus: Mapping[str, np.ndarray]
    synthetic: Mapping[str, np.ndarray]
    budget: int

    def count(self, docs: np.ndarray) -> int:
        return int(self.tokens.lengths[docs].sum())

    def draw(self, docs: np.ndarray, rng: np.random.Generator) -> tuple[Tokens, list[str]]:
        """Return the texts in random order up to the budget, as tokens and as strings."""
        drawn = rng.permutation(docs)
        tokens = self.tokens.take(drawn, self.budget)
        return tokens, self.texts.gather(drawn[: tokens.n_docs]).to_list()

    def halve(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        mixed = rng.permutation(self.anchor)
        return mixed[: len(mixed) // 2], mixed[len(mixed) // 2 :]


def _measure_text(
    case: _Case, fields: list[FieldSpec], held_out: pl.DataFrame | None
) -> tuple[list[Metric], list[dict[str, Any]]]:
    label = "+".join(item.name for item in fields)
    texts = _collect_texts(case, fields, held_out)
    if texts.budget < MIN_TOKENS:
        note = f"not measured: {texts.budget} words to compare, {MIN_TOKENS} are needed"
        return [Metric("distinct_2", field=label, note=note)], []
    metrics: list[Metric] = []
    examples: list[dict[str, Any]] = []
    null = _draw_null(case, texts)
    for prefix, sets in (("", texts.corpus), (SYNTHETIC_PREFIX, texts.synthetic)):
        means = {name: _average(case, texts, docs, name) for name, docs in sets.items()}
        metrics.extend(_compare_diversity(case, label, prefix, means.get(case.current), null, texts.budget))
        for name, values in means.items():
            drop = _fall(values["distinct_2"], float(np.mean(null["distinct_2"])))
            shown = {**values, "distinct_2_drop": drop}
            examples += [case.history(name, value, f"{prefix}{metric}", label) for metric, value in shown.items()]
    metrics.extend(_cover_ngrams(case, label, texts))
    if held_out is None:
        metrics.append(Metric("perplexity", field=label, note="not measured: no held-out real rows were given"))
    else:
        metrics.extend(_measure_perplexity(case, label, texts))
    return metrics, examples


def _collect_texts(case: _Case, fields: list[FieldSpec], held_out: pl.DataFrame | None) -> _Texts:
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
    return _Texts(
        joined.fill_null(""),
        tokens,
        anchor,
        real,
        {name: docs for name, docs in corpus.items() if name in enough},
        {name: docs for name, docs in synthetic.items() if name in enough and count(docs)},
        min([wanted, *(size for size in held if size)]),
    )


def _draw_null(case: _Case, texts: _Texts) -> dict[str, np.ndarray]:
    """Return each text measure of both halves of the anchor, draw by draw, shape (2, DRAWS)."""
    values: dict[str, list[tuple[float, float]]] = {name: [] for name in TEXT_MEASURES}
    rng = case.random("halves")
    for _ in range(DRAWS):
        first, second = (texts.draw(half, rng) for half in texts.halve(rng))
        for name, function in TEXT_MEASURES.items():
            values[name].append((function(*first), function(*second)))
    return {name: np.array(pairs).T for name, pairs in values.items()}


def _average(case: _Case, texts: _Texts, docs: np.ndarray, name: str) -> dict[str, float]:
    # a set that fits the budget whole is always the same tokens: one draw says all
    draws = ROUND_DRAWS if texts.count(docs) > texts.budget else 1
    rng = case.random("round", name)
    drawn = [texts.draw(docs, rng) for _ in range(draws)]
    return {metric: float(np.mean([function(*one) for one in drawn])) for metric, function in TEXT_MEASURES.items()}


def _compare_diversity(
    case: _Case,
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
    low, high = find_null_interval(_fall(second, first))
    drop = _fall(values["distinct_2"], float(np.mean(null["distinct_2"])))
    level = _judge_drop(drop, case, high)
    if prefix and level != OK:
        level = WATCH
    bar = case.spec.quality.distinct_2_drop
    yield Metric(f"{prefix}distinct_2_drop", drop, null_low=low, null_high=high, threshold=bar, level=level, **common)


def _fall(value: Any, base: Any) -> Any:
    """Return how far a value fell below its base, as a share of the base."""
    return 1 - value / base


def _cover_ngrams(case: _Case, label: str, texts: _Texts) -> Iterator[Metric]:
    docs = texts.synthetic.get(case.current)
    for name, n in (("rare_word_coverage", 1), ("rare_bigram_coverage", 2)):
        if docs is None:
            yield Metric(name, field=label, note="not measured: no synthetic words")
            continue
        rng = case.random(name)
        real, made = [], []
        for _ in range(DRAWS):
            first, second = texts.halve(rng)
            rare = _find_rare_ngrams(texts.tokens.take(first), n)
            sides = (
                find_ngrams(texts.tokens.take(rng.permutation(side), texts.budget), n)[0] for side in (second, docs)
            )
            for shares, grams in zip((real, made), sides, strict=True):
                shares.append(float(np.isin(rare, grams).mean()) if len(rare) else float("nan"))
        yield _judge_share(
            case, name, label, real, made, f"n-grams in {RARE_TEXTS[0]}–{RARE_TEXTS[1]} texts of half the anchor"
        )


def _find_rare_ngrams(tokens: Tokens, n: int) -> np.ndarray:
    grams, docs = find_ngrams(tokens, n)
    pairs = np.unique(np.stack([grams, docs.astype(np.uint64)]), axis=1)[0]
    distinct, texts = np.unique(pairs, return_counts=True)
    return distinct[(texts >= RARE_TEXTS[0]) & (texts <= RARE_TEXTS[1])]


def _judge_share(
    case: _Case, metric: str, field: str, real: Iterable[float], made: Iterable[float], note: str
) -> Metric:
    real, made = np.asarray(list(real)), np.asarray(list(made))
    known = np.isfinite(real)
    if not known.any():
        return Metric(metric, field=field, note=f"not measured: there are no {note}")
    center, value = float(real[known].mean()), float(made[known].mean())
    low, high = (None if end is None else min(max(end, 0.0), 1.0) for end in find_null_interval(real))
    return Metric(
        metric,
        value,
        field,
        null_low=low,
        null_high=high,
        threshold=case.spec.quality.tail_coverage * center,
        level=_judge_coverage(value, center, case, low),
        n_real=case.anchor.height,
        n_synthetic=case.synthetic.height,
        note=f"{note}; real against real {center:.3f}",
    )


def _measure_perplexity(case: _Case, label: str, texts: _Texts) -> Iterator[Metric]:
    tokens = texts.tokens
    test, vocabulary = tokens.take(texts.held_out), tokens.take(texts.anchor)
    if not len(test):
        yield Metric("perplexity", field=label, note="not measured: the held-out rows have no words")
        return

    def predict(docs: np.ndarray, rng: np.random.Generator) -> float:
        model = fit_trigrams(tokens.take(rng.permutation(docs), texts.budget), vocabulary)
        return model.measure_perplexity(test)

    rng = case.random("perplexity")
    null = [predict(half, rng) for _ in range(LANGUAGE_DRAWS) for half in texts.halve(rng)]
    low, high = find_null_interval(null)
    for prefix, sets in (("", texts.corpus), (SYNTHETIC_PREFIX, texts.synthetic)):
        if case.current in sets:
            value = float(np.mean([predict(sets[case.current], rng) for _ in range(LANGUAGE_DRAWS)]))
            yield Metric(
                f"{prefix}perplexity", value, label, null_low=low, null_high=high, n_real=len(texts.held_out),
                n_synthetic=case.synthetic.height, note=f"trigram model of {texts.budget} words",
            )  # fmt: skip


# ---- columns


def _measure_columns(
    case: _Case, numeric: list[FieldSpec], category: list[FieldSpec]
) -> tuple[list[Metric], list[dict[str, Any]]]:
    metrics: list[Metric] = []
    examples: list[dict[str, Any]] = []
    columns: list[tuple[str, Callable[[pl.DataFrame], pl.Series]]] = [
        (item.name, partial(read_categories, field=item)) for item in category if item.name not in case.spec.strata.by
    ]
    columns.append(("stratum", lambda frame: frame["stratum"]))
    if min(case.anchor.height // 2, case.synthetic.height) < MIN_ROWS:
        note = f"not measured: {MIN_ROWS} synthetic rows and twice as many real ones are needed"
        return [Metric("rare_value_coverage", field=name, note=note) for name, _ in columns], []
    for name, read in columns:
        real, made = read(case.anchor), read(case.synthetic)
        metrics.append(_cover_values(case, name, real, made))
        if name != "stratum":
            metrics.append(_compare_entropy(case, name, *_code_together(real, made)))
    for item in numeric:
        metrics.extend(_measure_number(case, item))
    for item in numeric:
        for round_, frame in case.rounds.items():
            made, real = read_numbers(select_synthetic(frame), item), read_numbers(case.anchor, item)
            if np.isfinite(made).sum() >= MIN_ROWS and np.nanvar(real) > 0:
                examples.append(
                    case.history(round_, float(_fall(np.nanvar(made), np.nanvar(real))), "variance_drop", item.name)
                )
    return metrics, examples


def _cover_values(case: _Case, name: str, real: pl.Series, made: pl.Series) -> Metric:
    real_codes, made_codes = _code_together(real, made)
    width = int(max(real_codes.max(), made_codes.max())) + 1
    missing = (real == MISSING).to_numpy()
    rng = case.random("values", name)
    shares: tuple[list[float], list[float]] = ([], [])
    for _ in range(DRAWS):
        mixed = rng.permutation(len(real_codes))
        half = len(mixed) // 2
        counts = np.bincount(real_codes[mixed[:half]], minlength=width)
        counts[real_codes[missing]] = 0
        rare = (counts >= RARE_TEXTS[0]) & (counts <= max(RARE_TEXTS[1], RARE_SHARE * half))
        size = min(len(mixed) - half, len(made_codes))
        sides = (real_codes[mixed[half : half + size]], rng.permutation(made_codes)[:size])
        for share, codes in zip(shares, sides, strict=True):
            share.append(float(np.isin(np.flatnonzero(rare), codes).mean()) if rare.any() else float("nan"))
    return _judge_share(case, "rare_value_coverage", name, *shares, "rare values in half the anchor")


def _code_together(real: pl.Series, made: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    joined = pl.concat([real.alias("value"), made.alias("value")])
    codes = joined.cast(pl.Enum(joined.unique().sort())).to_physical().cast(pl.Int64).to_numpy()
    return codes[: len(real)], codes[len(real) :]


def _measure_number(case: _Case, item: FieldSpec) -> Iterator[Metric]:
    real, made = (read_numbers(frame, item) for frame in (case.anchor, case.synthetic))
    real, made = real[np.isfinite(real)], made[np.isfinite(made)]
    if len(real) < 2 * MIN_ROWS or len(made) < MIN_ROWS:
        yield Metric("entropy_drop", field=item.name, note="not measured: too few values")
        return
    edges = np.unique(np.quantile(real, np.arange(1, ENTROPY_BINS) / ENTROPY_BINS))
    yield _compare_entropy(case, item.name, np.searchsorted(edges, real), np.searchsorted(edges, made))
    if real.var() == 0:
        yield Metric("variance_drop", field=item.name, note="not measured: the anchor is constant")
        return
    yield _compare_halves(case, "variance_drop", item.name, real, made, np.var)
    low, high = np.quantile(real, [TAIL, 1 - TAIL])
    tails = [(side < low) | (side > high) for side in (real, made)]
    rng = case.random("tails", item.name)
    null = [float(half.mean()) for _ in range(DRAWS) for half in np.array_split(rng.permutation(tails[0]), 2)]
    # the interval of a synthetic sample, which may be smaller than half of the anchor
    center = float(tails[0].mean())
    null += (rng.binomial(len(made), center, size=2 * DRAWS) / len(made)).tolist()
    if center == 0:
        yield Metric("tail_share", field=item.name, note="not measured: no value lies beyond the outer quantiles")
        return
    floor, roof = find_null_interval(null)
    value = float(tails[1].mean())
    yield Metric(
        "tail_share", value, item.name, null_low=floor, null_high=roof,
        threshold=case.spec.quality.tail_coverage * center, level=_judge_coverage(value, center, case, floor),
        n_real=len(real), n_synthetic=len(made), note=f"below {low:.6g} or above {high:.6g}; real {center:.3f}",
    )  # fmt: skip


def _compare_entropy(case: _Case, name: str, real: np.ndarray, made: np.ndarray) -> Metric:
    if len(np.unique(real)) < 2:
        return Metric("entropy_drop", field=name, note="not measured: the anchor has one value only")
    return _compare_halves(case, "entropy_drop", name, real, made, _measure_entropy)


def _compare_halves(
    case: _Case, metric: str, name: str, real: np.ndarray, made: np.ndarray, function: Callable[[np.ndarray], Any]
) -> Metric:
    """Return the relative fall of a function of a column, all samples being of one size."""
    rng = case.random(metric, name)
    size = min(len(real) // 2, len(made))
    falls, null = [], []
    for _ in range(DRAWS):
        mixed = rng.permutation(real)
        base = float(function(mixed[:size]))
        if base > 0:
            null.append(_fall(float(function(mixed[size : 2 * size])), base))
            falls.append(_fall(float(function(rng.permutation(made)[:size])), base))
    if not falls:
        return Metric(metric, field=name, note="not measured: samples of the anchor are constant")
    low, high = find_null_interval(null)
    value = float(np.mean(falls))
    return Metric(
        metric, value, name, null_low=low, null_high=high, threshold=case.spec.quality.distinct_2_drop,
        level=_judge_drop(value, case, high), n_real=len(real), n_synthetic=len(made), note=f"{size} values a side",
    )  # fmt: skip


def _measure_entropy(codes: np.ndarray) -> float:
    shares = np.unique(codes, return_counts=True)[1] / len(codes)
    return float(-np.sum(shares * np.log2(shares)))
