"""A calibrated linear head: which of two classes a row reads like, as a probability.

Here: fitting on hashed features, cross-fitted calibration and its error. Not here: the features (features.py), what
the classes are and where the limit lies (realism.py).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from synth_assets.discriminators.quality.features import CHARACTERS, FIELDS, WORDS, Reader
from synth_assets.records import derive_seed, derive_uniforms
from synth_assets.spec import DatasetSpec

FOLDS = 4

_VIEWS = ((FIELDS,), (WORDS, CHARACTERS, FIELDS))
_BITS = 18
_ALPHA = 1e-4
_CALIBRATION_BINS = 10


@dataclass(frozen=True)
class Head:
    """A linear model whose scores became probabilities by Platt's logistic map, both cross-fitted.

    auc and calibration_error (expected, over ten bins of equal size) are of rows the models did not see.
    """

    reader: Reader
    weights: np.ndarray
    slope: float
    intercept: float
    threshold: float
    auc: float
    calibration_error: float
    positives: int
    negatives: int

    def predict(self, rows: pl.DataFrame) -> np.ndarray:
        """Return the probability of the positive class, shape (rows,)."""
        return predict_all([self], rows)[0]


def predict_all(heads: Sequence[Head], rows: pl.DataFrame) -> list[np.ndarray]:
    """Return each head's probabilities; heads fitted on the same training rows that have the same views read once."""
    scores: dict[int, np.ndarray] = {}
    for views in {head.reader.views for head in heads}:
        places = [place for place, head in enumerate(heads) if head.reader.views == views]
        told = heads[places[0]].reader.score(rows, np.stack([heads[place].weights for place in places], axis=1))
        scores.update(zip(places, told.T, strict=True))
    return [_logistic(head.slope * scores[place] + head.intercept) for place, head in enumerate(heads)]


def fit_head(
    spec: DatasetSpec,
    train: pl.DataFrame,
    rows: pl.DataFrame,
    positive: np.ndarray,
    weights: np.ndarray,
    folds: np.ndarray,
    name: str,
) -> tuple[Head, np.ndarray] | None:
    """Return a head without a threshold, and the probability of each row from models that did not see it.

    Of _VIEWS the ones that tell the classes apart best, out of fold; None where none does.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    best: tuple[float, Reader, np.ndarray, Any] | None = None
    for views in _VIEWS if spec.text_fields else _VIEWS[:1]:
        reader = Reader.fit(spec, train, views=views, bits=_BITS)
        encoded = reader.encode(rows)
        scores = np.zeros(rows.height)
        for fold in range(FOLDS):
            seen, unseen = folds != fold, folds == fold
            if unseen.any():
                fitted = _fit_weights(spec, encoded[seen], positive[seen], weights[seen], name)
                scores[unseen] = encoded[unseen] @ fitted
        auc = float(roc_auc_score(positive, scores, sample_weight=weights))
        if auc > (best[0] if best else 0.5):
            best = auc, reader, scores, encoded
    if best is None:
        return None
    auc, reader, scores, encoded = best
    platt = LogisticRegression(C=1e6).fit(scores[:, None], positive, sample_weight=weights)
    slope, intercept = float(platt.coef_[0, 0]), float(platt.intercept_[0])
    chances = _logistic(slope * scores + intercept)
    head = Head(
        reader,
        _fit_weights(spec, encoded, positive, weights, name).astype(np.float32),
        slope,
        intercept,
        -np.inf,
        auc,
        measure_calibration_error(chances, positive, weights),
        int(positive.sum()),
        int((~positive).sum()),
    )
    return (head, chances) if slope > 0 else None


def make_folds(spec: DatasetSpec, units: pl.Series, positive: np.ndarray, name: str) -> np.ndarray:
    """Return a fold a row: equal units of a class share one, and every fold holds its part of both classes."""
    drawn = pl.DataFrame({"u": derive_uniforms(units, spec.seed, "realism", name), "positive": positive})
    return drawn.select((pl.col("u").rank("dense").over("positive") % FOLDS).cast(pl.Int64)).to_series().to_numpy()


def _fit_weights(spec: DatasetSpec, encoded: Any, positive: np.ndarray, weights: np.ndarray, name: str) -> np.ndarray:
    """Return the weights of a logistic regression by averaged stochastic gradient descent, shape (2^bits,)."""
    from sklearn.linear_model import SGDClassifier

    passes = 8 if len(positive) > 1000 else 50  # few rows need more passes to converge
    state = derive_seed(spec.seed, "realism", name) % 2**32
    model = SGDClassifier(
        loss="log_loss",
        alpha=_ALPHA,
        max_iter=passes,
        n_iter_no_change=passes + 1,
        average=True,
        random_state=state,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Maximum number of iteration reached", UserWarning)
        return np.asarray(model.fit(encoded, positive, sample_weight=weights).coef_)[0]


def measure_calibration_error(chances: np.ndarray, positive: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the expected calibration error over ten bins of equal size (Naeini et al. 2015): 0 is perfect."""
    weights = np.ones(len(chances)) if weights is None else weights
    order = np.argsort(chances, kind="stable")
    gaps = [
        abs(float(np.sum(weights[part] * (chances[part] - positive[part]))))
        for part in np.array_split(order, _CALIBRATION_BINS)
    ]
    return float(sum(gaps) / weights.sum())


def _logistic(scores: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(scores, -700, 700)))
