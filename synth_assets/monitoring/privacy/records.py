"""Copies of train rows in columns: rows equal but for two columns, and rows closer than real rows are.

Here: numbers, dates and categories as a record. Not here: free text (copies.py), guessing a column from the others
(attacks.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from synth_assets.monitoring.features import fit_encoder, sample_rows
from synth_assets.monitoring.measures import Metric
from synth_assets.monitoring.privacy.compared import (
    MIN_ROWS,
    Compared,
    Sample,
    judge_beyond_chance,
    judge_share,
    show_pairs,
    weigh_items,
)
from synth_assets.monitoring.privacy.variants import MOST_PLACES, mask_places
from synth_assets.spec import FieldSpec

MAX_COMPARED = 20_000
LEAST_COLUMNS = 5
CLOSE_PERCENTILE = 5
MOST_COPIES, MOST_CLOSE = 5_000, 20
STRONG = 0.01
"""Share of the real rows that have more in common with another than counts as a copy beyond coincidence."""
LABEL = "columns"


def measure_records(rows: Compared, fields: list[FieldSpec]) -> tuple[list[Metric], list[dict[str, Any]]]:
    """Return near_record_share, copied_share, close_record_share and close_record_median, and examples."""
    metrics, examples = _measure_near_records(rows, fields)
    closeness, closest = _measure_closeness(rows, fields)
    return [*metrics, *closeness], [*examples, *closest]


def _measure_near_records(rows: Compared, fields: list[FieldSpec]) -> tuple[list[Metric], list[dict[str, Any]]]:
    name = "near_record_share"
    if len(fields) < LEAST_COLUMNS:
        note = f"not measured: {len(fields)} columns, {LEAST_COLUMNS} are needed"
        return [Metric(name, field=LABEL, note=note, **rows.sizes)], []
    values = [_hash_columns(frame, fields) for frame in (rows.synthetic, rows.sealed, rows.train)]
    made, sealed, train = (_list_masks(each) for each in values)
    first = train.group_by("code").agg(pl.col("row").min().alias("train"), pl.len().alias("holders"))
    shared = first.filter(pl.col("holders") > 1)  # a train row stands in its own masks, once in each
    hits = [made.join(first, on="code"), sealed.join(first, on="code"), train.join(shared, on="code")]
    surprise = _weigh_columns(values)
    evidence = [_measure_evidence(hit, part) for hit, part in zip(hits, surprise, strict=True)]
    marks = [part > 0 for part in evidence]
    # what two real rows have in common is common; a copy also has the values that are not
    there = [part for part in evidence[1:] if len(part)]
    real = max(there, key=lambda part: ((part > 0).mean(), len(part)), default=np.empty(0))
    strong = float(np.quantile(real, 1 - STRONG)) if len(real) else 0.0
    samples = [Sample(part > strong, columns.sum(axis=1)) for part, columns in zip(evidence, surprise, strict=True)]
    note = "all columns but two equal to one train row's"
    if len(fields) > MOST_PLACES:
        note = f"all but two of {MOST_PLACES} groups of columns equal to one train row's"
    metrics = [
        judge_share(rows, name, LABEL, marks[0], marks[1:], note),
        judge_beyond_chance(rows, "copied_share", LABEL, samples[0], samples[1:]),
    ]
    found = hits[0].group_by("row").agg(pl.col("train").min()).sort("row")
    at, partner = found["row"].to_numpy(), found["train"].to_numpy()
    order = np.argsort(-evidence[0][at], kind="stable")  # the least likely to be alike by chance first
    at, partner = at[order], partner[order]
    note = f"{note}; value: surprise of what they share, in nats"
    return metrics, show_pairs("near_record", rows, at, partner, evidence[0][at], MOST_COPIES, note)


def _weigh_columns(values: list[np.ndarray]) -> list[np.ndarray]:
    """Return the surprise of every value of synthetic, sealed and train rows, shape (rows, groups) each."""
    items = [
        pl.DataFrame({"row": np.repeat(np.arange(len(each)), each.shape[1]), "code": each.ravel()}) for each in values
    ]
    train = items[2]
    weighed = (weigh_items(part, train, len(values[2]))["surprise"].to_numpy() for part in items)
    return [part.reshape(each.shape) for part, each in zip(weighed, values, strict=True)]


def _measure_evidence(hits: pl.DataFrame, surprise: np.ndarray) -> np.ndarray:
    """Return the most surprise that a row's columns outside a shared mask have, 0 where none is shared, (rows,)."""
    one, two = np.triu_indices(surprise.shape[1], k=1)
    row, pair = hits["row"].to_numpy(), hits["pair"].to_numpy()
    kept = surprise.sum(axis=1)[row] - surprise[row, one[pair]] - surprise[row, two[pair]]
    evidence = np.zeros(len(surprise))
    np.maximum.at(evidence, row, np.maximum(kept, np.finfo(float).tiny))
    return evidence


def _hash_columns(frame: pl.DataFrame, fields: list[FieldSpec]) -> np.ndarray:
    """Return the hashes of the columns' values, uint64, shape (rows, groups): at most MOST_PLACES groups of columns."""
    groups = np.array_split(np.arange(len(fields)), min(len(fields), MOST_PLACES))
    hashed = [
        frame.select(pl.struct(pl.col(fields[i].name) for i in group).hash(seed=place)).to_series().to_numpy()
        for place, group in enumerate(groups)
    ]
    return np.stack(hashed, axis=1)


def _list_masks(values: np.ndarray) -> pl.DataFrame:
    """Return row, pair (of columns left out), code: the hash of each row without each pair of its columns."""
    codes = mask_places(values)
    rows, pairs = np.indices(codes.shape)
    return pl.DataFrame({"row": rows.ravel(), "pair": pairs.ravel(), "code": codes.ravel()})


def _measure_closeness(rows: Compared, fields: list[FieldSpec]) -> tuple[list[Metric], list[dict[str, Any]]]:
    """Distance to the closest record, at most 20,000 synthetic rows drawn; a copy detector only (2505.01524)."""
    name = "close_record_share"
    # two unequal one-hot vectors of scale 1/√2 are one apart: as much as one standard deviation
    encoder, encoded = fit_encoder(rows.train, fields, text="none", category_scale=0.5**0.5)
    if not encoder.names:
        return [Metric(name, field=LABEL, note="not measured: every value is missing")], []
    synthetic = sample_rows(rows.synthetic.with_row_index("row"), MAX_COMPARED, *rows.salt("closeness"))
    train, made, sealed = (
        matrix.toarray().astype(np.float32)
        for matrix in (encoded, encoder.encode(synthetic), encoder.encode(rows.sealed))
    )
    control, _ = find_nearest_rows(sealed, train)
    if len(sealed) < MIN_ROWS or np.median(control) == 0:
        note = f"not measured: {len(sealed)} sealed rows, {MIN_ROWS} are needed"
        if len(sealed) >= MIN_ROWS:
            note = "not measured: most sealed rows equal a train row in these columns"
        return [Metric(name, field=LABEL, note=note, **rows.sizes)], []
    distance, nearest = find_nearest_rows(made, train)
    limit = float(np.percentile(control, CLOSE_PERCENTILE))
    note = f"distance up to {limit:.4g}, the {CLOSE_PERCENTILE}th percentile of sealed to train"
    metric = judge_share(rows, name, LABEL, distance <= limit, [control <= limit], note)
    ratio = float(np.median(distance) / np.median(control))
    median = Metric("close_record_median", ratio, LABEL, note="1 = as far as sealed rows", **rows.sizes)
    order = np.argsort(distance, kind="stable")[:MOST_CLOSE]
    order = order[distance[order] <= limit]
    made_at = synthetic["row"].to_numpy()[order]
    return [metric, median], show_pairs("close_record", rows, made_at, nearest[order], distance[order], MOST_CLOSE)


def find_nearest_rows(queries: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the Euclidean distance of each query to its nearest reference row and that row's index."""
    from sklearn.metrics import pairwise_distances_argmin_min

    if not len(queries):
        return np.empty(0), np.empty(0, np.int64)
    nearest, _ = pairwise_distances_argmin_min(queries, reference)
    # the distances above come from a product of matrices; near zero only the difference itself is exact
    exact = np.sqrt(np.sum((queries.astype(np.float64) - reference[nearest]) ** 2, axis=1))
    return exact, nearest
