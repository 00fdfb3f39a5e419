"""Several fields together: dependence, meaning, and classifiers that try to tell the two sides apart.

Here: correlation differences, MMD² and Fréchet distance, the classifier two-sample tests, all on equally many rows of
every stratum. Not here: one field at a time (fields, texts).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from synth_assets.embeddings import Embedder, TfidfEmbedder, load_embedder
from synth_assets.monitoring.features import (
    fit_encoder,
    read_categories,
    read_numbers,
    read_text,
    split_fields,
)
from synth_assets.monitoring.shift.null import Finding, permute_labels
from synth_assets.monitoring.shift.strata import Matched
from synth_assets.monitoring.shift.texts import Texts
from synth_assets.spec import FieldSpec, QualitySpec

MIN_ROWS = 20
MIN_STRATUM_ROWS = 10
EXAMPLES = 10

_RIDGE = 0.1
_TREES = 100
_COLUMNS = 60  # of the correlation matrix
_LEAST_SHARE = 0.02  # of rows that a category needs for a column there
_FREQUENCIES = 256  # of the Gaussian kernel's features
_FRECHET_DIMENSIONS = 32
_FIT_TEXTS = 512


# ---- dependence


def compare_correlations(matched: Matched, fields: Sequence[FieldSpec], quality: QualitySpec) -> list[Finding]:
    """Return the largest difference of a correlation between two fields within strata.

    Numbers by their ranks (Spearman), each frequent category as an indicator.
    """
    columns, names = _read_columns(matched.rows, fields)
    if len({name for name, _ in names}) < 2:
        return []
    centered = matched.center(columns)
    kept = np.flatnonzero(centered.std(axis=0) > 1e-9)[:_COLUMNS]
    values = (centered[:, kept] / centered[:, kept].std(axis=0)).astype(np.float32)
    owners = np.array([names[i][0] for i in kept])
    left, right = np.triu_indices(len(kept), 1)
    across = owners[left] != owners[right]
    left, right = left[across], right[across]
    if not len(left):
        return []
    made = [matched.labels @ part for part in (values, values**2, values[:, left] * values[:, right])]
    whole = [values.sum(axis=0), (values**2).sum(axis=0), (values[:, left] * values[:, right]).sum(axis=0)]
    sides = []
    for parts in (made, [total - part for total, part in zip(whole, made, strict=True)]):
        mean, square, product = (part / matched.size for part in parts)
        spread = np.sqrt(np.maximum(square - mean**2, 1e-6))
        sides.append((product - mean[:, left] * mean[:, right]) / (spread[:, left] * spread[:, right]))
    gaps = np.abs(sides[1] - sides[0])
    told = int(np.argmax(gaps[0]))
    pair = " and ".join(" = ".join(filter(None, names[kept[place]])) for place in (left[told], right[told]))
    note = f"largest of {len(left)} pairs: {pair}, real {sides[1][0, told]:.2f} synthetic {sides[0][0, told]:.2f}"
    return [
        Finding(
            "correlation_difference", float(gaps[0].max()), gaps[1:].max(axis=1).astype(np.float64),
            watch=quality.effect_watch, act=quality.effect_act, note=note, **matched.sizes,
        )
    ]  # fmt: skip


def _read_columns(rows: pl.DataFrame, fields: Sequence[FieldSpec]) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """Return ranks of numbers and indicators of categories (rows × columns), and each one's field and value."""
    from scipy.stats import rankdata

    _, numeric, category = split_fields(fields)
    columns, names = [], []
    for item in numeric:
        ranks = rankdata(read_numbers(rows, item), nan_policy="omit")
        if np.isfinite(ranks).any():
            columns.append(np.where(np.isfinite(ranks), ranks, np.nanmean(ranks)) / len(ranks))
            names.append((item.name, ""))
    for item in category:
        values = read_categories(rows, item)
        counts = values.alias("value").value_counts().sort("count", "value", descending=[True, False])
        share = pl.col("count") / rows.height
        for value in counts.filter(share >= _LEAST_SHARE, share <= 1 - _LEAST_SHARE)["value"].to_list():
            columns.append((values == value).cast(pl.Float64).to_numpy())
            names.append((item.name, value))
    return (np.column_stack(columns) if columns else np.zeros((rows.height, 0))), names


# ---- meaning


def embed_rows(matched: Matched, fields: Sequence[FieldSpec], quality: QualitySpec, root: Path) -> tuple[Any, str]:
    """Return vectors of the rows' texts, or of all fields where none is text, and what they are of."""
    text = [item for item in fields if item.is_free_text]
    if not text:
        return _encode(matched, fields), "fields"
    texts = read_text(matched.rows, text).fill_null("")
    embedder: Embedder
    if quality.embedding_model:
        embedder = load_embedder(quality.embedding_model, root)
    else:
        sample = np.random.default_rng(0).permutation(len(texts))[:_FIT_TEXTS]
        embedder = TfidfEmbedder.fit(texts.gather(np.sort(sample)))
    return embedder.embed(texts).astype(np.float64), quality.embedding_model or "TF-IDF and SVD"


def compare_vectors(matched: Matched, vectors: np.ndarray, what: str, quality: QualitySpec) -> list[Finding]:
    """Return MMD² (of the whole set and of every stratum with at least ten matched rows a side) and Fréchet distance.

    MMD²: the unbiased estimate with a Gaussian kernel of median width. Fréchet distance: of normal distributions in
    the 32 directions of largest variance. Their bars are those of an effect size e, counted as Cramér's V counts it:
    4·e²·(variance of the rows). Sources: Gretton 2012 (JMLR 13); Heusel 2017 (1706.08500).
    """
    features = _map_kernel(vectors)
    findings = [_measure_mmd(features, matched.labels, f"of {what}", quality)]
    reduced = _reduce(vectors)
    distances = _measure_frechet(reduced, matched.labels)
    center, spread = float(distances[1:].mean()), float(reduced.var(axis=0).sum())
    findings.append(
        Finding(
            "frechet_distance", float(distances[0]), distances[1:],
            watch=center + 4 * quality.effect_watch**2 * spread, act=center + 4 * quality.effect_act**2 * spread,
            note=f"of {what} in {reduced.shape[1]} dimensions; real against real {center:.3g}", **matched.sizes,
        )
    )  # fmt: skip
    if len(matched.strata) > 1:
        order = np.argsort(matched.groups, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(matched.groups[order])) + 1):
            if len(rows) >= 2 * MIN_STRATUM_ROWS:
                stratum = matched.strata[matched.groups[rows[0]]]
                findings.append(_measure_mmd(features[rows], matched.labels[:, rows], f"of {what}", quality, stratum))
    return findings


def _map_kernel(vectors: np.ndarray) -> np.ndarray:
    """Return features of unit length whose inner products are a Gaussian kernel on average, (rows, 2·_FREQUENCIES).

    Random Fourier features (Rahimi & Recht 2007): sums over them cost the number of rows and not its square.
    """
    rng = np.random.default_rng(0)
    some = vectors[:: max(len(vectors) // 500, 1)]
    squares = (some**2).sum(axis=1)
    distances = (squares[:, None] + squares - 2 * some @ some.T)[np.triu_indices(len(some), 1)]
    apart = distances[distances > 1e-9]
    width = float(np.median(apart)) if len(apart) else 1.0
    angles = (vectors @ rng.normal(0, np.sqrt(2 / width), (vectors.shape[1], _FREQUENCIES))).astype(np.float32)
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1) / np.float32(np.sqrt(_FREQUENCIES))


def _measure_mmd(
    features: np.ndarray, labels: np.ndarray, note: str, quality: QualitySpec, stratum: str = ""
) -> Finding:
    size = len(features) // 2
    made = (labels @ features).astype(np.float64)
    pooled = features.sum(axis=0, dtype=np.float64)
    real = pooled - made
    within = (made**2).sum(axis=1) + (real**2).sum(axis=1) - 2 * size
    values = within / (size * (size - 1)) - 2 * (made * real).sum(axis=1) / size**2
    variance = 1 - float(pooled @ pooled - 2 * size) / (2 * size * (2 * size - 1))
    return Finding(
        "mmd2", float(values[0]), values[1:], stratum=stratum, watch=4 * quality.effect_watch**2 * variance,
        act=4 * quality.effect_act**2 * variance, note=note, n_real=size, n_synthetic=size,
    )  # fmt: skip


def _reduce(vectors: np.ndarray) -> np.ndarray:
    """Return the rows along their directions of largest variance, shape (rows, ≤ 32)."""
    from scipy.linalg import eigh

    centered = vectors - vectors.mean(axis=0)
    width = centered.shape[1]
    if not width:
        return centered
    first = max(width - _FRECHET_DIMENSIONS, 0)
    values, directions = eigh(centered.T @ centered / len(centered), subset_by_index=[first, width - 1])
    return centered @ directions[:, values > 1e-9 * max(values[-1], 1e-30)]


def _measure_frechet(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return |m − n|² + tr(S + T − 2(S·T)^½) for each row of labels."""
    width = rows.shape[1]
    if not width:
        return np.zeros(len(labels))
    products = (rows[:, :, None] * rows[:, None, :]).reshape(len(rows), -1).astype(np.float32)
    means, roots, traces = [], [], []
    for side in (labels, 1 - labels):
        size = side.sum(axis=1, keepdims=True)
        mean = (side @ rows.astype(np.float32) / size).astype(np.float64)
        second = (side @ products / size).astype(np.float64).reshape(-1, width, width)
        covariance = second - mean[:, :, None] * mean[:, None, :]
        traces.append(np.trace(covariance, axis1=1, axis2=2))
        covariance += 1e-4 * rows.var() * np.eye(width)  # what float32 may be off
        means.append(mean)
        roots.append(np.linalg.cholesky(covariance))
    # the singular values of L'M are the roots of the eigenvalues of S·T, where S = LL' and T = MM'
    common = np.linalg.svd(np.swapaxes(roots[0], 1, 2) @ roots[1], compute_uv=False).sum(axis=1)
    return ((means[0] - means[1]) ** 2).sum(axis=1) + traces[0] + traces[1] - 2 * common


# ---- classifier two-sample tests


@dataclass(frozen=True)
class LinearTest:
    """The linear classifier: its finding, the score of each row when it was left out, and the weight of each column."""

    finding: Finding
    scores: np.ndarray
    weights: np.ndarray
    names: tuple[str, ...]

    def show(self, matched: Matched) -> list[dict[str, Any]]:
        """Return the most telling columns and the synthetic rows that are told most easily."""
        top = np.argsort(-np.abs(self.weights), kind="stable")[:EXAMPLES]
        examples: list[dict[str, Any]] = [
            {
                "kind": "telltale",
                "value": float(self.weights[i]),
                "note": f"'{self.names[i]}' tells {'synthetic' if self.weights[i] > 0 else 'real'} rows",
            }
            for i in top
        ]
        return [*show_rows(matched, self.scores, self.finding.metric), *examples]


def classify_linearly(
    matched: Matched, fields: Sequence[FieldSpec], texts: Sequence[Texts], quality: QualitySpec
) -> LinearTest | None:
    """Return c2st_accuracy: how often a linear classifier tells a row that it was not fitted on.

    Least squares with a ridge (Fisher's discriminant) on words held, shapes of words, numbers and categories within
    strata. Leaving out one row has a closed form, and other labels only other right-hand sides, so each of the
    draws is fitted and tested as the true labels are (Lopez-Paz 2017, 1610.06545).
    """
    columns, names = [], []
    for text in texts:
        columns += [text.presence.toarray(), text.shapes / np.maximum(text.shapes.sum(axis=1, keepdims=True), 1)]
        names += text.name_columns()
    if any(not item.is_free_text for item in fields):
        encoder, encoded = fit_encoder(matched.rows, list(fields), text="none")
        columns.append(encoded.toarray())
        names += encoder.names
    if not columns:
        return None
    values = matched.center(np.concatenate(columns, axis=1).astype(np.float32))
    kept = np.flatnonzero(values.std(axis=0) > 1e-9)
    if not len(kept):
        return None
    values = values[:, kept] / values[:, kept].std(axis=0)
    gram = (values.T @ values).astype(np.float64)
    gram[np.diag_indices_from(gram)] += _RIDGE * len(values)
    inverse = np.linalg.inv(gram).astype(np.float32)
    leverage = ((values @ inverse) * values).sum(axis=1)
    signs = 2 * matched.labels - 1
    weights = (signs @ values) @ inverse
    fitted = weights @ values.T
    left_out = (fitted - leverage * signs) / (1 - leverage)
    accuracies = np.mean((left_out > 0) == (signs > 0), axis=1)
    finding = _judge_accuracy("c2st_accuracy", accuracies, matched.sizes, "rows left out one by one", quality)
    return LinearTest(finding, left_out[0], weights[0], tuple(names[i] for i in kept))


def classify_by_trees(
    matched: Matched, fields: Sequence[FieldSpec], quality: QualitySpec, seed: int
) -> tuple[Finding, np.ndarray, np.ndarray] | None:
    """Return c2st_forest_accuracy of trees fitted on one half and tried on the other, the rows tried and their scores.

    Without the free text: for dependence between fields, to which a linear classifier is blind. None for fewer than
    two such fields.
    """
    from sklearn.ensemble import ExtraTreesClassifier

    columns = [item for item in fields if not item.is_free_text]
    if len(columns) < 2:
        return None
    rng = np.random.default_rng(seed)
    values = fit_encoder(matched.rows, columns, text="none")[1].toarray().astype(np.float32)
    truth = matched.labels[0]
    order = np.lexsort((rng.random(len(truth)), truth, matched.groups))
    learned, tried = order[::2], order[1::2]
    trees = ExtraTreesClassifier(_TREES, min_samples_leaf=5, random_state=seed % (1 << 32))
    scores = trees.fit(values[learned], truth[learned] > 0).predict_proba(values[tried])[:, 1]
    labels = permute_labels(truth[tried], matched.groups[tried], rng)
    accuracies = np.mean((scores > 0.5) == (labels > 0), axis=1)
    note = f"{_TREES} trees fitted on one half, tried on the other"
    return _judge_accuracy("c2st_forest_accuracy", accuracies, matched.sizes, note, quality), tried, scores


def show_rows(matched: Matched, scores: np.ndarray, name: str) -> list[dict[str, Any]]:
    """Return the synthetic rows with the highest scores; NaN for rows without one."""
    told = np.flatnonzero((matched.labels[0] == 1) & np.isfinite(scores))
    told = told[np.argsort(-scores[told], kind="stable")[:EXAMPLES]]
    ids = matched.rows["example_id"]
    return [
        {"kind": "most_synthetic", "example_id": ids[int(i)], "value": float(scores[i]), "note": name} for i in told
    ]


def _judge_accuracy(
    name: str, accuracies: np.ndarray, sizes: dict[str, Any], note: str, quality: QualitySpec
) -> Finding:
    center = float(accuracies[1:].mean())
    return Finding(
        name, float(accuracies[0]), accuracies[1:], watch=center + quality.c2st_margin / 2,
        act=center + quality.c2st_margin, note=f"{note}; real against real {center:.3f}", **sizes,
    )  # fmt: skip


def _encode(matched: Matched, fields: Sequence[FieldSpec]) -> np.ndarray:
    """Return the fields as columns of unit variance."""
    values = fit_encoder(matched.rows, list(fields), text="none")[1].toarray().astype(np.float64)
    spread = values.std(axis=0)
    return values[:, spread > 1e-9] / spread[spread > 1e-9]
