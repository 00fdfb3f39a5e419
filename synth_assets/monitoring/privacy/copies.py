"""Copies of train rows in text: exact ones, near ones, and long spans of words.

Here: which synthetic texts are copies, counted beside what real rows show among themselves. Not here: rows without
text (records.py), rejecting candidates (discriminators/duplicates.py, leakage.py).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from synth_assets.monitoring.diversity import find_longest_shared_spans, has_words, tokenize
from synth_assets.monitoring.measures import OK, WATCH, Metric
from synth_assets.monitoring.privacy.compared import (
    MIN_ROWS,
    Compared,
    Sample,
    judge_beyond_chance,
    judge_share,
    show_pairs,
    weigh_items,
)
from synth_assets.monitoring.privacy.variants import MOST_PLACES, find_nearest_sequence, have_near_sequence
from synth_assets.records import derive_seed
from synth_assets.similarity import WORD, comparison_texts, find_stock_parts, near_duplicate_pairs
from synth_assets.spec import FieldSpec

LONG_JACCARD = 0.6
"""Of texts too long for variants.py: two changed words of 12 letters in 25 words leave more than this."""
SPAN_PERCENTILE = 95
MOST_COPIES, MOST_SPANS = 5_000, 20
_COMPOUND = rf"(?:{WORD})(?:[^\s\w]+(?:{WORD}))*"  # top-up, 3.50 and e.g are one word to who changes words


def find_copies(made: pl.Series, train: pl.Series, *, jaccard: float) -> pl.DataFrame:
    """Return the texts that copy a train text: left:UInt32, right:UInt32 (the likest), likeness:Float64, by left.

    A copy has a character 5-gram Jaccard index of at least `jaccard` (texts of more than 24 words: LONG_JACCARD), or
    up to 24 words all of which but two stand in the train text in this order, and the reverse. likeness: the greater
    of that index and the share of words that stay. Texts are normalized (similarity.comparison_texts).
    """
    words, others = _read_words(made), _read_words(train)
    nearest, likeness = find_nearest_sequence(words, others)
    hit = np.flatnonzero(nearest >= 0)
    changed = pl.DataFrame({"left": hit, "right": nearest[hit], "likeness": likeness[hit]}).cast(_SCHEMA)
    long = [np.flatnonzero([len(text) > MOST_PLACES for text in side]) for side in (words, others)]
    similar = near_duplicate_pairs(made, threshold=jaccard, others=train)
    loose = near_duplicate_pairs(
        made.gather(long[0]), threshold=min(jaccard, LONG_JACCARD), others=train.gather(long[1])
    ).with_columns(left=pl.lit(pl.Series(long[0])).gather("left"), right=pl.lit(pl.Series(long[1])).gather("right"))
    found = pl.concat([changed, *(pairs.rename({"jaccard": "likeness"}).cast(_SCHEMA) for pairs in (similar, loose))])
    return found.sort("left", "likeness", "right", descending=[False, True, False]).unique(
        "left", keep="first", maintain_order=True
    )


_SCHEMA = pl.Schema({"left": pl.UInt32, "right": pl.UInt32, "likeness": pl.Float64})


def have_copies(texts: pl.Series, *, jaccard: float) -> np.ndarray:
    """Return which texts have another one among them that find_copies would call a copy (boolean)."""
    words = _read_words(texts)
    found = have_near_sequence(words)
    long = np.flatnonzero([len(text) > MOST_PLACES for text in words])
    similar = near_duplicate_pairs(texts, threshold=jaccard)
    loose = near_duplicate_pairs(texts.gather(long), threshold=min(jaccard, LONG_JACCARD))
    for side in ("left", "right"):
        found[similar[side].to_numpy()] = True
        found[long[loose[side].to_numpy()]] = True
    return found


def measure_copies(rows: Compared, fields: list[FieldSpec]) -> tuple[list[Metric], list[dict[str, Any]]]:
    """Return exact_copy_share, near_copy_share, copied_share, long_span_share and the longest spans, and examples.

    Real against real: sealed rows against train, and for near copies also train rows against the rest of train, as
    the splits keep near-duplicates on one side.
    """
    label = "+".join(field.name for field in fields)
    view = rows.spec.model_copy(update={"fields": tuple(fields)})
    stock = find_stock_parts(rows.train, view)
    made, train, sealed = (comparison_texts(frame, view, stock) for frame in (rows.synthetic, rows.train, rows.sealed))
    if not has_words(made) or not has_words(train):
        return [Metric("near_copy_share", field=label, note="not measured: a side has no words")], []
    known = train.implode()
    exact = [texts.is_in(known).fill_null(False).to_numpy() for texts in (made, sealed)]
    metrics = [judge_share(rows, "exact_copy_share", label, exact[0], [exact[1]], "the same text but for case")]
    near, examples = _measure_near_copies(rows, made, train, sealed, label)
    spans, longest = _measure_spans(rows, made, train, sealed, label)
    return [*metrics, *near, *spans], [*examples, *longest]


def _measure_near_copies(
    rows: Compared, made: pl.Series, train: pl.Series, sealed: pl.Series, label: str
) -> tuple[list[Metric], list[dict[str, Any]]]:
    bar = rows.spec.quality.near_duplicate_jaccard
    copies = find_copies(made, train, jaccard=bar).sort("likeness", "left", descending=[True, False])
    marks = [
        _mark(copies, len(made)),
        _mark(find_copies(sealed, train, jaccard=bar), len(sealed)),
        have_copies(train, jaccard=bar),
    ]
    known = _list_items(train)
    items = [_list_items(made), _list_items(sealed), known]
    samples = [
        Sample(mark, _sum_surprise(weigh_items(part, known, len(train)), len(mark)))
        for mark, part in zip(marks, items, strict=True)
    ]
    note = f"character 5-gram Jaccard from {bar:g}, or all words but two the same"
    metrics = [
        judge_share(rows, "near_copy_share", label, marks[0], marks[1:], note),
        judge_beyond_chance(rows, "copied_share", label, samples[0], samples[1:]),
    ]
    made_at, train_at, values = (copies[name].to_numpy() for name in ("left", "right", "likeness"))
    return metrics, show_pairs("near_copy", rows, made_at, train_at, values, MOST_COPIES)


def _sum_surprise(words: pl.DataFrame, rows: int) -> np.ndarray:
    told = words.unique(["row", "code"], maintain_order=True)
    return np.bincount(told["row"].to_numpy(), weights=told["surprise"].to_numpy(), minlength=rows)


def _mark(copies: pl.DataFrame, size: int) -> np.ndarray:
    marked = np.zeros(size, dtype=bool)
    marked[copies["left"].to_numpy()] = True
    return marked


def _measure_spans(
    rows: Compared, made: pl.Series, train: pl.Series, sealed: pl.Series, label: str
) -> tuple[list[Metric], list[dict[str, Any]]]:
    tokens = tokenize(pl.concat([train, made, sealed]))
    parts = np.split(np.arange(tokens.n_docs), [len(train), len(train) + len(made)])
    reference = tokens.take(parts[0])
    lengths, related = find_longest_shared_spans(tokens.take(parts[1]), reference)
    control, _ = find_longest_shared_spans(tokens.take(parts[2]), reference)
    bar = rows.spec.quality.leak_ngram
    note = f"{bar} words in a row of one train row; watched at most: the leakage gate rejects spans one by one"
    long = judge_share(rows, "long_span_share", label, lengths >= bar, [control >= bar], note)
    if long.level != OK:
        long = replace(long, level=WATCH)
    low = high = top = None
    if len(control) >= MIN_ROWS:
        low, high = _bootstrap_percentile(control, rows)
        top = float(control.max())
    note = "words in a row shared with one train row; null: of sealed rows"
    p95 = float(np.percentile(lengths, SPAN_PERCENTILE))
    metrics = [
        long,
        Metric("longest_span_p95", p95, label, null_low=low, null_high=high, note=note, **rows.sizes),
        Metric("longest_span_max", float(lengths.max()), label, null_high=top, note=note, **rows.sizes),
    ]
    order = np.argsort(-lengths, kind="stable")[:MOST_SPANS]
    order = order[lengths[order] >= bar]
    return metrics, show_pairs("longest_span", rows, order, related[order], lengths[order], MOST_SPANS)


def _bootstrap_percentile(lengths: np.ndarray, rows: Compared) -> tuple[float, float]:
    rng = np.random.default_rng(derive_seed(*rows.salt("spans")))
    drawn = lengths[rng.integers(len(lengths), size=(200, len(lengths)))]
    low, high = np.quantile(np.percentile(drawn, SPAN_PERCENTILE, axis=1), [0.025, 0.975])
    return float(low), float(high)


def _list_words(texts: pl.Series) -> pl.Series:
    """Return each text's words: words joined by signs are one, signs of unspaced scripts are words."""
    return pl.DataFrame({"text": texts.fill_null("")}).select(pl.col("text").str.extract_all(_COMPOUND)).to_series()


def _list_items(texts: pl.Series) -> pl.DataFrame:
    """Return row:UInt32, code (the word's hash)."""
    words = pl.DataFrame({"code": _list_words(texts)}).with_row_index("row").explode("code").drop_nulls("code")
    return words.with_columns(pl.col("code").hash())


def _read_words(texts: pl.Series) -> list[np.ndarray]:
    """Return the hashes of each text's words."""
    lists = _list_words(texts)
    hashes = lists.explode(empty_as_null=False).hash().to_numpy()
    return np.split(hashes, np.cumsum(lists.list.len().to_numpy().astype(np.int64))[:-1])
