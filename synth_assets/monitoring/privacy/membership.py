"""Membership inference: whether a real row's likeness to the generator's output tells that it was in training.

Here: the likeness of real rows to generated ones, in text and in columns, and the AUC by which it separates train
from sealed rows. Not here: guessing values (attacks.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from synth_assets.monitoring.features import fit_encoder, sample_rows
from synth_assets.monitoring.measures import OK, WATCH, Metric, find_null_interval, judge
from synth_assets.monitoring.privacy.compared import MIN_ROWS, Compared, Targets, choose_targets
from synth_assets.monitoring.privacy.records import LABEL, find_nearest_rows
from synth_assets.records import derive_seed
from synth_assets.similarity import comparison_texts, find_stock_parts, hash_shingles, map_threads
from synth_assets.spec import FieldSpec

GRAM = 4
COMMON_GRAM = 0.05
"""Share of the generated texts from which a 4-gram tells nothing about one of them."""
MAX_GENERATED = 100_000
MAX_RECORDS = 20_000
BOOTSTRAPS, SHUFFLES = 500, 100
_BLOCK = 250


def attack_texts(rows: Compared, fields: list[FieldSpec]) -> list[Metric]:
    """Return membership_auc and its interval: likeness is the greatest TF-IDF cosine of character 4-grams."""
    view = rows.spec.model_copy(update={"fields": tuple(fields)})
    stock = find_stock_parts(rows.train, view)
    label = "+".join(field.name for field in fields)
    drawn = sample_rows(rows.candidates, MAX_GENERATED, *rows.salt("candidates"))
    made = comparison_texts(drawn, view, stock).drop_nulls()

    def find_likeness(targets: Targets) -> np.ndarray:
        attacked = [rows.train[targets.members], rows.sealed[targets.others]]
        return find_text_likeness(pl.concat([comparison_texts(part, view, stock) for part in attacked]), made)

    metrics = []
    for targets in choose_targets(rows):
        name = f"membership_auc{targets.suffix}"
        if made.is_empty() or not targets.enough:
            metrics.append(_unmeasured(name, label, rows))
        else:
            metrics += _judge_attack(name, label, targets, find_likeness(targets), rows)
    return metrics


def attack_records(rows: Compared, fields: list[FieldSpec]) -> list[Metric]:
    """Return membership_auc_columns and its interval: likeness is the negative distance to the nearest row."""
    drawn = sample_rows(rows.candidates, MAX_RECORDS, *rows.salt("candidates"))
    encoder, _ = fit_encoder(rows.train, fields, text="none", category_scale=0.5**0.5)
    made = encoder.encode(drawn).toarray().astype(np.float32)
    metrics = []
    for targets in choose_targets(rows):
        name = f"membership_auc_columns{targets.suffix}"
        if not encoder.names or not len(made) or not targets.enough:
            metrics.append(_unmeasured(name, LABEL, rows))
            continue
        attacked = [encoder.encode(part) for part in (rows.train[targets.members], rows.sealed[targets.others])]
        queries = np.concatenate([part.toarray().astype(np.float32) for part in attacked])
        metrics += _judge_attack(name, LABEL, targets, -find_nearest_rows(queries, made)[0], rows)
    return metrics


def find_text_likeness(attacked: pl.Series, made: pl.Series) -> np.ndarray:
    """Return the greatest cosine of each attacked text with one of the made texts, shape (attacked,); null → 0.

    Vectors are of character 4-grams, weighted (1 + ln count) · ln(texts / texts with it); grams that more than 5 % of
    the made texts hold are left out. Texts are normalized.
    """
    from scipy import sparse

    sides = [attacked.fill_null(""), made]
    shingles = [hash_shingles(texts, GRAM) for texts in sides]
    vocabulary, codes = np.unique(np.concatenate([hashes for hashes, _ in shingles]), return_inverse=True)
    matrices: list[Any] = []
    for (_, counts), part in zip(shingles, np.split(codes, [len(shingles[0][0])]), strict=True):
        owners = np.repeat(np.arange(len(counts)), counts)
        matrix = sparse.csr_matrix((np.ones(len(part), np.float32), (owners, part)), (len(counts), len(vocabulary)))
        matrix.data = 1 + np.log(matrix.data)
        matrices.append(matrix)
    holders = np.bincount(matrices[1].indices, minlength=len(vocabulary))
    telling = holders <= max(COMMON_GRAM * len(made), MIN_ROWS)
    weight = np.where(telling, np.log((1 + len(made)) / (1 + holders)) + 1, 0).astype(np.float32)
    asked, known = (_normalize(matrix.multiply(weight).tocsr()) for matrix in matrices)
    reference = known.T.tocsr()

    def find_block(start: int) -> np.ndarray:
        return (asked[start : start + _BLOCK] @ reference).max(axis=1).toarray().ravel()

    blocks = list(map_threads(find_block, range(0, asked.shape[0], _BLOCK)))
    return np.concatenate(blocks) if blocks else np.empty(0)


def _normalize(matrix: Any) -> Any:
    from scipy import sparse

    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return (sparse.diags_array(np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0)) @ matrix).tocsr()


def _unmeasured(name: str, label: str, rows: Compared) -> Metric:
    note = f"not measured: {MIN_ROWS} train and sealed rows of common strata, and generated rows, are needed"
    return Metric(name, field=label, note=note, **rows.sizes)


def _judge_attack(name: str, label: str, targets: Targets, likeness: np.ndarray, rows: Compared) -> list[Metric]:
    """Return the AUC, judged, and the ends of its interval; train rows reweighted to the sealed rows' strata."""
    members, others = targets.members, targets.others
    strata = pl.concat([rows.train["stratum"].gather(members), rows.sealed["stratum"].gather(others)])
    codes = strata.rank("dense").to_numpy().astype(np.int64)
    split = len(members)
    counts = np.bincount(codes[:split], minlength=codes.max() + 1)
    wanted = np.bincount(codes[split:], minlength=codes.max() + 1)
    # a stratum may have fallen out of one side's sample: it then weighs nothing on the other
    weights = (np.where(counts > 0, wanted / np.maximum(counts, 1), 0.0))[codes[:split]]
    shared = (counts[codes[split:]] > 0).astype(float)
    order = _rank(likeness)
    value = weighted_auc(order, split, weights, shared)
    if not np.isfinite(value):
        return [_unmeasured(name, label, rows)]
    rng = np.random.default_rng(derive_seed(*rows.salt(name)))
    booted = np.array(
        [
            weighted_auc(order, split, weights * _resample(rng, split), shared * _resample(rng, len(others)))
            for _ in range(BOOTSTRAPS)
        ]
    )
    low, high = (float(end) for end in np.quantile(booted[np.isfinite(booted)], [0.025, 0.975]))
    shuffled = [weighted_auc(rng.permutation(order), split, weights, shared) for _ in range(SHUFFLES)]
    null_low, null_high = find_null_interval(shuffled)
    bar = rows.spec.quality.membership_auc
    level = judge(low, act=bar, null_high=bar)
    if not targets.serious or level == OK:
        level = WATCH if judge(value, act=bar, null_high=null_high) != OK else OK
    sizes: dict[str, Any] = {"n_real": len(likeness), "n_synthetic": rows.candidates.height}
    note = f"{split} train, {len(others)} sealed rows; {targets.kind}"
    return [
        Metric(
            name, value, label, null_low=null_low, null_high=null_high, threshold=bar, level=level, note=note, **sizes
        ),
        Metric(f"{name}_low", low, label, note="lower end of the 95 % bootstrap interval", **sizes),
        Metric(f"{name}_high", high, label, note="upper end of the 95 % bootstrap interval", **sizes),
    ]


def _resample(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return how often a bootstrap sample holds each row; over all strata, since of one row there is no other draw."""
    return np.bincount(rng.integers(size, size=size), minlength=size).astype(float)


def _rank(scores: np.ndarray) -> np.ndarray:
    """Return dense ranks from 0, ties equal."""
    return np.unique(scores, return_inverse=True)[1]


def weighted_auc(ranks: np.ndarray, split: int, members: np.ndarray, others: np.ndarray) -> float:
    """Return P(a member scores higher) + ½ P(equal), weighted; the first `split` dense ranks are the members'."""
    width = int(ranks.max()) + 1
    up = np.bincount(ranks[:split], weights=members, minlength=width)
    down = np.bincount(ranks[split:], weights=others, minlength=width)
    total = up.sum() * down.sum()
    if not total:
        return float("nan")
    return float(np.sum(up * (np.cumsum(down) - down / 2)) / total)
