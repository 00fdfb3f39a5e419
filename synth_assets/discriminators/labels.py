"""Label consistency: does the example read like the label it was made for?

Here: one linear model fitted on real training rows, and its calibrated threshold. Not here: the student that measures
a corpus (monitoring/student.py), the automated reviewer (review/automated.py).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from synth_assets.discriminators.protocol import verdicts_of
from synth_assets.records import content_text_expression, derive_seed, digest_text
from synth_assets.spec import NUMERIC_TYPES, DatasetSpec

_FOLDS = 4
_LEAST_ROWS = 20
_WORD = r"\S+"


@dataclass(frozen=True)
class Labels:
    """Rejects a candidate whose label's decision margin is lower than almost every real row reaches out of fold.

    margin = decision score of the stated label − best score of another label. threshold = the `label_false_reject`
    quantile of the margins that real training rows get from models that did not see them. Candidates with a label no
    training row has pass: there is nothing to compare with.
    """

    spec: DatasetSpec
    model: Any
    threshold: float
    version: str
    name: str = "labels"

    @classmethod
    def fit(cls, spec: DatasetSpec, train: pl.DataFrame) -> Labels:
        """Fit on the train split; with too few rows or a single label it lets everything pass (threshold −∞)."""
        from sklearn.model_selection import StratifiedKFold

        assert spec.target_field is not None
        target = spec.target_field.name
        known = train.filter(pl.col(target).is_not_null())
        version = digest_text(
            "labels-1", spec.quality.label_false_reject, *sorted(known["example_id"].to_list()), size=6
        )
        labels = known[target].cast(pl.String).to_numpy().astype(str)
        if known.height < _LEAST_ROWS or len(set(labels)) < 2:
            return cls(spec, None, -np.inf, version)
        folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=derive_seed(spec.seed, "labels") % 2**32)
        margins = []
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The least populated class", UserWarning)
            splits = list(folds.split(labels, labels))
        for fit_rows, test_rows in splits:
            model = _fit_model(spec, known[fit_rows], labels[fit_rows])
            margins.append(_margins(model, spec, known[test_rows], labels[test_rows]))
        seen = np.concatenate(margins)
        seen = seen[np.isfinite(seen)]
        threshold = float(np.quantile(seen, spec.quality.label_false_reject)) if seen.size else -np.inf
        return cls(spec, _fit_model(spec, known, labels), threshold, version)

    def judge(self, candidates: pl.DataFrame) -> pl.DataFrame:
        assert self.spec.target_field is not None
        labels = candidates[self.spec.target_field.name].cast(pl.String).fill_null("").to_numpy().astype(str)
        if self.model is None:
            margins, best = np.full(len(labels), np.inf), labels
        else:
            margins, best = _margins_and_best(self.model, self.spec, candidates, labels)
        judged = candidates.select("example_id").with_columns(
            _margin=pl.Series(margins),
            _best=pl.Series(best, dtype=pl.String),
            _label=pl.Series(labels, dtype=pl.String),
        )
        return verdicts_of(
            judged,
            passed=pl.col("_margin") >= self.threshold,
            score=pl.col("_margin"),
            threshold=self.threshold,
            reason=pl.lit("label_implausible"),
            evidence=pl.format("stated {}, reads like {}", "_label", "_best"),
        )


def _fit_model(spec: DatasetSpec, rows: pl.DataFrame, labels: np.ndarray) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    from sklearn.svm import LinearSVC

    parts: list[tuple[str, Any, Any]] = []
    if spec.text_fields:
        parts.append(("text", TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=_WORD), "_text"))
    numbers, categories = _feature_names(spec)
    if numbers:
        impute = SimpleImputer(strategy="median", keep_empty_features=True)
        parts.append(("numbers", make_pipeline(impute, StandardScaler()), numbers))
    if categories and not spec.text_fields:
        parts.append(("categories", OneHotEncoder(handle_unknown="ignore", min_frequency=2), categories))
    if not parts:
        raise ValueError("no features to judge a label by")
    model = make_pipeline(ColumnTransformer(parts), LinearSVC(random_state=derive_seed(spec.seed, "labels") % 2**32))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="sklearn")
        return model.fit(_features(spec, rows), labels)


def _feature_names(spec: DatasetSpec) -> tuple[list[str], list[str]]:
    others = [field for field in spec.content_fields if field is not spec.target_field and not field.is_free_text]
    numbers = [field.name for field in others if field.type in NUMERIC_TYPES]
    categories = [field.name for field in others if field.type in ("category", "boolean")]
    return numbers, categories


def _features(spec: DatasetSpec, rows: pl.DataFrame) -> Any:
    numbers, categories = _feature_names(spec)
    return rows.select(
        content_text_expression(spec).fill_null("").str.to_lowercase().alias("_text"),
        *(pl.col(name).cast(pl.Float64) for name in numbers),
        *(pl.col(name).cast(pl.String).fill_null("(none)") for name in categories),
    ).to_pandas()


def _margins(model: Any, spec: DatasetSpec, rows: pl.DataFrame, labels: np.ndarray) -> np.ndarray:
    return _margins_and_best(model, spec, rows, labels)[0]


def _margins_and_best(
    model: Any, spec: DatasetSpec, rows: pl.DataFrame, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    scores = np.asarray(model.decision_function(_features(spec, rows)), dtype=np.float64)
    if scores.ndim == 1:
        scores = np.stack([-scores, scores], axis=1)
    position = {label: i for i, label in enumerate(model.classes_)}
    stated = np.array([position.get(label, -1) for label in labels])
    row = np.arange(len(labels))
    own = np.where(stated >= 0, scores[row, stated], np.inf)
    others = scores.copy()
    others[row[stated >= 0], stated[stated >= 0]] = -np.inf
    return own - others.max(axis=1), model.classes_[scores.argmax(axis=1)]
