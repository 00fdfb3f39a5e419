"""Privacy: whether synthetic rows give away the real rows behind them.

Here: near copies, longest shared spans, distance to the closest record, membership inference, each beside the sealed
rows, which no generator saw. Not here: the leakage gate that rejects candidates (discriminators/leakage.py), personal
data in text (seeds/). Passing these measures proves no privacy (2505.01524); failing them proves a leak.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from synth_assets.monitoring.diversity import find_longest_shared_spans, has_words, tokenize
from synth_assets.monitoring.features import find_fields, fit_encoder, sample_rows, split_fields, type_columns
from synth_assets.monitoring.measures import OK, WATCH, Metric, Report, build_report, find_null_interval, judge
from synth_assets.records import RELEASABLE, SEALED, TRAIN, derive_seed
from synth_assets.similarity import comparison_texts, find_stock_parts, near_duplicate_pairs
from synth_assets.spec import DatasetSpec, FieldSpec

MAX_SYNTHETIC = 20_000
MAX_ATTACKED = 2_000
MIN_ROWS = 10
MIN_COLUMNS = 3
DRAWS = 1_000
BOOTSTRAPS = 500
CLOSE_PERCENTILE = 5
SPAN_PERCENTILE = 95
EXAMPLES = 20
BIAS_NOTE = (
    "filters that treat train and sealed rows differently (leakage gate, de-duplication across splits) bias this: "
    "they lower or raise the likeness to one side"
)


def measure_privacy(synthetic: pl.DataFrame, seeds: pl.DataFrame, spec: DatasetSpec) -> Report:
    """Compare synthetic rows with train rows (members), beside sealed rows (non-members, no generator saw them).

    synthetic: example_id, stratum, record columns. seeds: all splits (example_id, stratum, split, record columns).
    Text is compared without boilerplate (similarity.comparison_texts); data without text, or with three and more
    other fields, also as columns: numbers standardized, an unequal category counts like one standard deviation.

    - near_copy_share: synthetic rows with a train row of character 5-gram Jaccard ≥ near_duplicate_jaccard
    - longest_span_p95, longest_span_max: words in a row shared with one train row (p95 and maximum over the rows,
      counted to 64)
    - close_record_share: synthetic rows no farther from their nearest train row (distance to closest record) than
      the 5th percentile of the sealed rows' distances; close_record_median: median distance over that of sealed rows
    - membership_auc (text), membership_auc_columns: of the rows that are never exported (synthesis_only), how
      well the likeness of a real row to its nearest synthetic row
      (maximum cosine of TF-IDF character 4-grams; negative distance) tells train from sealed rows, train rows
      reweighted to the sealed stratum mix; `…_low`, `…_high` are its 95 % bootstrap interval, the null interval is
      of shuffled membership. `…_released`: the same for releasable rows (where no row is withheld, the plain name);
      these may stand in the release themselves and have no membership to hide, so it is watched at most

    The null of the shares is what sealed against train gives, as the 95 % predictive interval of a sample of the
    synthetic size (Jeffreys prior). Levels: a share acts when it exceeds its real-vs-real level by near_copy_margin
    and is watched from half the margin, only above the null interval; an AUC acts when the lower end of its interval
    is above membership_auc and is watched when the AUC itself is; longest_span_p95 is watched from leak_ngram words,
    above the null only. Without sealed rows there is no null: then a share acts above the margin alone and the AUC is
    left out.
    """
    salt = (spec.seed, "monitoring", "privacy")
    fields = find_fields(spec, synthetic, seeds)
    synthetic, seeds = (type_columns(frame, fields) for frame in (synthetic, seeds))
    rows = _Rows(
        sample_rows(synthetic, MAX_SYNTHETIC, *salt, "synthetic"),
        seeds.filter(pl.col("split") == TRAIN),
        seeds.filter(pl.col("split") == SEALED),
    )
    gate = spec.quality.privacy_level
    if not rows.synthetic.height or not rows.train.height:
        what = "train" if rows.synthetic.height else "synthetic"
        return build_report([Metric("near_copy_share", note=f"not measured: there are no {what} rows")], (), gate)
    text, numeric, category = split_fields(fields)
    metrics: list[Metric] = []
    examples: list[dict[str, Any]] = []
    if text:
        found, shown = _measure_texts(rows, text, spec)
        metrics += found
        examples += shown
    if numeric + category and (not text or len(numeric + category) >= MIN_COLUMNS):
        found, shown = _measure_columns(rows, numeric + category, spec)
        metrics += found
        examples += shown
    return build_report(metrics, examples, gate)


@dataclass(frozen=True)
class _Rows:
    synthetic: pl.DataFrame
    train: pl.DataFrame
    sealed: pl.DataFrame

    @property
    def sizes(self) -> dict[str, Any]:
        return {"n_real": self.train.height, "n_synthetic": self.synthetic.height}


# ---- text


def _measure_texts(rows: _Rows, text: list[FieldSpec], spec: DatasetSpec) -> tuple[list[Metric], list[dict[str, Any]]]:
    label = "+".join(item.name for item in text)
    view = spec.model_copy(update={"fields": tuple(text)})
    stock = find_stock_parts(rows.train, view)
    made, train, sealed = (comparison_texts(frame, view, stock) for frame in (rows.synthetic, rows.train, rows.sealed))
    if not has_words(made) or not has_words(train):
        return [Metric("near_copy_share", field=label, note="not measured: a side has no words")], []
    copies, shown = _find_near_copies(rows, made, train, sealed, label, spec)
    spans, longest = _find_spans(rows, made, train, sealed, label, spec)
    attack = _attack_texts(rows, made, train, sealed, label, spec)
    return [copies, *spans, *attack], [*shown, *longest]


def _find_near_copies(
    rows: _Rows, made: pl.Series, train: pl.Series, sealed: pl.Series, label: str, spec: DatasetSpec
) -> tuple[Metric, list[dict[str, Any]]]:
    bar = spec.quality.near_duplicate_jaccard
    pairs = near_duplicate_pairs(made, threshold=bar, others=train)
    share = pairs["left"].n_unique() / len(made)
    control = near_duplicate_pairs(sealed, threshold=bar, others=train)["left"].n_unique() if len(sealed) else 0
    note = f"character 5-gram Jaccard from {bar:g}; splits are de-duplicated, so the sealed level is a floor"
    metric = _judge_excess("near_copy_share", label, share, control, rows, spec, note)
    best = pairs.sort("jaccard", "left", "right", descending=[True, False, False]).unique("left", maintain_order=True)
    examples = [
        _example("near_copy", rows, row["left"], row["right"], row["jaccard"]) for row in best.head(EXAMPLES).to_dicts()
    ]
    return metric, examples


def _find_spans(
    rows: _Rows, made: pl.Series, train: pl.Series, sealed: pl.Series, label: str, spec: DatasetSpec
) -> tuple[list[Metric], list[dict[str, Any]]]:
    tokens = tokenize(pl.concat([train, made, sealed]))
    parts = np.split(np.arange(tokens.n_docs), [len(train), len(train) + len(made)])
    reference = tokens.take(parts[0])
    lengths, related = find_longest_shared_spans(tokens.take(parts[1]), reference)
    control, _ = find_longest_shared_spans(tokens.take(parts[2]), reference)
    value, bar = float(np.percentile(lengths, SPAN_PERCENTILE)), float(spec.quality.leak_ngram)
    low = high = None
    if len(control) >= MIN_ROWS:
        rng = np.random.default_rng(derive_seed(spec.seed, "monitoring", "privacy", "spans"))
        drawn = control[rng.integers(len(control), size=(100, len(control)))]
        low, high = find_null_interval(np.percentile(drawn, SPAN_PERCENTILE, axis=1))
    level = WATCH if judge(value, act=bar, null_high=high) != OK else OK
    note = "words in a row shared with one train row"
    metrics = [
        Metric(
            "longest_span_p95", value, label, null_low=low, null_high=high, threshold=bar, level=level,
            note=note, **rows.sizes,
        ),
        Metric(
            "longest_span_max", float(lengths.max()), label,
            null_high=float(control.max()) if len(control) else None, note=f"{note}; null: the sealed rows' maximum",
            **rows.sizes,
        ),
    ]  # fmt: skip
    top = np.argsort(-lengths, kind="stable")[:EXAMPLES]
    examples = [_example("longest_span", rows, i, related[i], float(lengths[i])) for i in top if lengths[i] >= bar]
    return metrics, examples


def _attack_texts(
    rows: _Rows, made: pl.Series, train: pl.Series, sealed: pl.Series, label: str, spec: DatasetSpec
) -> list[Metric]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    name = "membership_auc"
    chosen = _choose_attacked(rows, spec, name)
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(4, 4), sublinear_tf=True)
    try:
        reference: Any = vectorizer.fit_transform(made.fill_null("").to_list()).T.tocsr()
    except ValueError:
        return [Metric(name, field=label, note="not measured: the synthetic texts are empty", **rows.sizes)]

    def find_likeness(members: np.ndarray, others: np.ndarray) -> np.ndarray:
        real = pl.concat([train.gather(members), sealed.gather(others)]).fill_null("").to_list()
        attacked: Any = vectorizer.transform(real)
        blocks = (attacked[start : start + 500] @ reference for start in range(0, attacked.shape[0], 500))
        return np.concatenate([block.max(axis=1).toarray().ravel() for block in blocks])

    return [metric for attack in chosen for metric in _run_attack(attack, label, find_likeness, rows, spec)]


# ---- columns


def _measure_columns(
    rows: _Rows, fields: list[FieldSpec], spec: DatasetSpec
) -> tuple[list[Metric], list[dict[str, Any]]]:
    label = "columns"
    # two unequal one-hot vectors of scale 1/√2 are one apart: as much as one standard deviation
    encoder, encoded = fit_encoder(rows.train, fields, text="none", category_scale=0.5**0.5)
    if not encoder.names:
        return [Metric("close_record_share", field=label, note="not measured: every value is missing")], []
    train, made, sealed = (
        matrix.toarray().astype(np.float32)
        for matrix in (encoded, encoder.encode(rows.synthetic), encoder.encode(rows.sealed))
    )
    distance, nearest = _find_nearest(made, train)
    metrics: list[Metric] = []
    examples: list[dict[str, Any]] = []
    control, _ = _find_nearest(sealed, train)
    if len(sealed) < MIN_ROWS or np.median(control) == 0:
        note = f"not measured: {len(sealed)} sealed rows, {MIN_ROWS} are needed"
        if len(sealed) >= MIN_ROWS:
            note = "not measured: most sealed rows equal a train row in these columns"
        metrics.append(Metric("close_record_share", field=label, note=note, **rows.sizes))
    else:
        near = float(np.percentile(control, CLOSE_PERCENTILE))
        close = distance <= near
        note = f"distance up to {near:.4g}, the {CLOSE_PERCENTILE}th percentile of sealed to train"
        share, known = float(close.mean()), int((control <= near).sum())
        metrics.append(_judge_excess("close_record_share", label, share, known, rows, spec, note))
        ratio = float(np.median(distance) / np.median(control))
        metrics.append(Metric("close_record_median", ratio, label, note="1 = as far as sealed rows", **rows.sizes))
        top = [i for i in np.argsort(distance, kind="stable")[:EXAMPLES] if close[i]]
        examples = [_example("close_record", rows, i, nearest[i], float(distance[i])) for i in top]

    def find_likeness(members: np.ndarray, others: np.ndarray) -> np.ndarray:
        return -_find_nearest(np.concatenate([train[members], sealed[others]]), made)[0]

    for attack in _choose_attacked(rows, spec, "membership_auc_columns"):
        metrics += _run_attack(attack, label, find_likeness, rows, spec)
    return metrics, examples


def _find_nearest(queries: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the Euclidean distance of each query to its nearest reference row and that row's index."""
    from sklearn.metrics import pairwise_distances_argmin_min

    if not len(queries):
        return np.empty(0), np.empty(0, np.int64)
    nearest, _ = pairwise_distances_argmin_min(queries, reference)
    # the distances above come from a product of matrices; near zero only the difference itself is exact
    exact = np.sqrt(np.sum((queries.astype(np.float64) - reference[nearest]) ** 2, axis=1))
    return exact, nearest


# ---- judgment


def _judge_excess(
    name: str, label: str, share: float, control: int, rows: _Rows, spec: DatasetSpec, note: str
) -> Metric:
    """Return the metric of a share of synthetic rows, judged against `control` of the sealed rows."""
    margin, sealed = spec.quality.near_copy_margin, rows.sealed.height
    if sealed < MIN_ROWS:
        level = judge(share, act=margin, watch=margin / 2, null_high=0.0)
        note = f"{note}; {sealed} sealed rows give no null"
        return Metric(name, share, label, threshold=margin, level=level, note=note, **rows.sizes)
    rng = np.random.default_rng(derive_seed(spec.seed, "monitoring", "privacy", name))
    size = rows.synthetic.height
    draws = rng.binomial(size, rng.beta(control + 0.5, sealed - control + 0.5, size=DRAWS)) / size
    low, high = find_null_interval(draws)
    center = control / sealed
    level = judge(share, act=center + margin, watch=center + margin / 2, null_high=high)
    return Metric(
        name, share, label, null_low=low, null_high=high, threshold=center + margin, level=level,
        note=f"{note}; sealed {center:.3f}", **rows.sizes,
    )  # fmt: skip


@dataclass(frozen=True)
class _Attack:
    """Train and sealed rows (indices) whose membership is guessed; `serious`: the train rows are never exported."""

    name: str
    members: np.ndarray
    others: np.ndarray
    serious: bool


def _choose_attacked(rows: _Rows, spec: DatasetSpec, name: str) -> list[_Attack]:
    """Return the attacks: on withheld and on releasable rows, of strata sealed rows have too, at most 2,000 a side."""
    train = rows.train.with_row_index("row")
    # rows of unknown disposition count as withheld
    withheld = pl.col("disposition") != RELEASABLE if "disposition" in train.columns else pl.lit(True)
    secret, open_ = train.filter(withheld), train.filter(~withheld)
    groups = [(name, secret, True), (f"{name}_released", open_, False)]
    if secret.is_empty() or open_.is_empty():
        groups = [(name, train, open_.is_empty())]
    return [
        _Attack(
            label,
            _draw_common(group, rows.sealed, spec),
            _draw_common(rows.sealed.with_row_index("row"), group, spec),
            serious,
        )
        for label, group, serious in groups
    ]


def _draw_common(frame: pl.DataFrame, other: pl.DataFrame, spec: DatasetSpec) -> np.ndarray:
    common = frame.filter(pl.col("stratum").is_in(other["stratum"].unique().implode()))
    drawn = sample_rows(common, MAX_ATTACKED, spec.seed, "monitoring", "privacy", "attack")
    return drawn["row"].to_numpy().astype(np.int64)


def _run_attack(
    attack: _Attack,
    label: str,
    find_likeness: Callable[[np.ndarray, np.ndarray], np.ndarray],
    rows: _Rows,
    spec: DatasetSpec,
) -> list[Metric]:
    if min(len(attack.members), len(attack.others)) < MIN_ROWS:
        return [_unmeasured_attack(attack.name, label, rows)]
    return _judge_attack(attack, label, find_likeness(attack.members, attack.others), rows, spec)


def _unmeasured_attack(name: str, label: str, rows: _Rows) -> Metric:
    note = f"not measured: {MIN_ROWS} train and sealed rows of common strata are needed"
    return Metric(name, field=label, note=note, **rows.sizes)


def _judge_attack(attack: _Attack, label: str, likeness: np.ndarray, rows: _Rows, spec: DatasetSpec) -> list[Metric]:
    name, members, others = attack.name, attack.members, attack.others
    strata = pl.concat([rows.train["stratum"].gather(members), rows.sealed["stratum"].gather(others)])
    codes = strata.rank("dense").to_numpy().astype(np.int64)
    split = len(members)
    counts = np.bincount(codes[:split], minlength=codes.max() + 1)
    wanted = np.bincount(codes[split:], minlength=codes.max() + 1)
    # a stratum may have fallen out of one side's sample: it then weighs nothing on the other
    weights = (np.where(counts > 0, wanted / np.maximum(counts, 1), 0.0))[codes[:split]]
    shared = (counts[codes[split:]] > 0).astype(float)
    rng = np.random.default_rng(derive_seed(spec.seed, "monitoring", "privacy", name))
    order = _rank(likeness)
    value = _weighted_auc(order, split, weights, shared)
    if not np.isfinite(value):
        return [_unmeasured_attack(name, label, rows)]
    booted = [
        _weighted_auc(order, split, weights * _resample(rng, codes[:split]), shared * _resample(rng, codes[split:]))
        for _ in range(BOOTSTRAPS)
    ]
    spread = np.asarray(booted)[np.isfinite(booted)]
    low, high = (float(end) for end in np.quantile(spread, [0.025, 0.975]))
    shuffled = []
    full = np.concatenate([weights, shared])
    for _ in range(100):
        mixed = rng.permutation(len(full))
        shuffled.append(_weighted_auc(_rank(likeness[mixed]), split, weights, shared))
    null_low, null_high = find_null_interval(shuffled)
    kind = "rows that are never exported" if attack.serious else "rows that may be released themselves"
    bar = spec.quality.membership_auc
    level = judge(low, act=bar, null_high=bar)
    if level != OK and not attack.serious:
        level = WATCH
    if level == OK and judge(value, act=bar, null_high=null_high) != OK:
        level = WATCH
    sizes: dict[str, Any] = {"n_real": len(likeness), "n_synthetic": rows.synthetic.height}
    return [
        Metric(
            name, value, label, null_low=null_low, null_high=null_high, threshold=bar, level=level,
            note=f"{split} train, {len(others)} sealed rows; {kind}; {BIAS_NOTE}", **sizes,
        ),
        Metric(f"{name}_low", low, label, note="lower end of the 95 % bootstrap interval", **sizes),
        Metric(f"{name}_high", high, label, note="upper end of the 95 % bootstrap interval", **sizes),
    ]  # fmt: skip


def _resample(rng: np.random.Generator, codes: np.ndarray) -> np.ndarray:
    """Return how often a bootstrap sample within strata holds each row."""
    order = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes)
    starts = np.cumsum(sizes) - sizes
    picks = (rng.random(len(codes)) * sizes[codes]).astype(np.int64) + starts[codes]
    return np.bincount(order[picks], minlength=len(codes)).astype(float)


def _rank(scores: np.ndarray) -> np.ndarray:
    """Return dense ranks from 0, ties equal."""
    return np.unique(scores, return_inverse=True)[1]


def _weighted_auc(ranks: np.ndarray, split: int, members: np.ndarray, others: np.ndarray) -> float:
    """Return P(a member scores higher) + ½ P(equal), weighted; the first `split` ranks are the members'."""
    width = int(ranks.max()) + 1
    up = np.bincount(ranks[:split], weights=members, minlength=width)
    down = np.bincount(ranks[split:], weights=others, minlength=width)
    total = up.sum() * down.sum()
    if not total:
        return float("nan")
    return float(np.sum(up * (np.cumsum(down) - down / 2)) / total)


def _example(kind: str, rows: _Rows, made: Any, train: Any, value: float) -> dict[str, Any]:
    return {
        "kind": kind,
        "example_id": rows.synthetic["example_id"][int(made)],
        "related_id": rows.train["example_id"][int(train)],
        "value": value,
    }
