"""Label consistency: does the example read like the label it was made for?

Here: the model of labels, fitted on real training rows, and its threshold. Not here: the student that measures
a corpus (monitoring/student/), the automated reviewer (review/automated.py).
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

_FOLDS = 3
_TOLERANCE = 0.01
_MANY_ROWS = 1000  # from which an n-gram of a single row is left out
_CHUNK = 1 << 15  # rows scored at a time: bounds the matrix of scores
_SMOOTHING = 0.05
_TEXT_PARTS = ("words", "pieces")
_LEAST_ROWS = 20
_WORD = r"(?u)\b\w+\b|[^\w\s]"


@dataclass(frozen=True)
class Labels:
    """Rejects a candidate whose stated label is less plausible than that of almost every real row, seen out of fold.

    Plausibility of a label: of texts, its log-probability by a linear support vector machine and a multinomial naive
    Bayes model together (a product of experts); of tables, the margin of the machine's score over the best other label.
    threshold = the `label_false_reject` quantile of what real training rows get from models that did not see them.
    Candidates with a label no training row has pass: there is nothing to compare with.
    """

    spec: DatasetSpec
    model: LabelModel | None
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
            "labels-3", spec.quality.label_false_reject, *sorted(known["example_id"].to_list()), size=6
        )
        labels = known[target].cast(pl.String).to_numpy().astype(str)
        if known.height < _LEAST_ROWS or len(set(labels)) < 2:
            return cls(spec, None, -np.inf, version)
        folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=derive_seed(spec.seed, "labels") % 2**32)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The least populated class", UserWarning)
            splits = list(folds.split(labels, labels))

        features, matrix = _fit_features(spec, known)  # once: they know no label
        parts = []
        for fit_rows, test_rows in splits:  # not in threads: liblinear's draws come from one generator of the process
            model = LabelModel.fit(spec, features, matrix[fit_rows], labels[fit_rows])
            parts.append(model.rate(matrix[test_rows], labels[test_rows])[0])
        seen = np.concatenate(parts)
        seen = seen[np.isfinite(seen)]
        threshold = float(np.quantile(seen, spec.quality.label_false_reject)) if seen.size else -np.inf
        return cls(spec, LabelModel.fit(spec, features, matrix, labels), threshold, version)

    def judge(self, candidates: pl.DataFrame) -> pl.DataFrame:
        assert self.spec.target_field is not None
        labels = candidates[self.spec.target_field.name].cast(pl.String).fill_null("").to_numpy().astype(str)
        plausible, best = np.full(len(labels), np.inf), labels
        if self.model is not None and len(labels):
            parts = [
                self.model.rate(self.model.encode(candidates[start : start + _CHUNK]), labels[start : start + _CHUNK])
                for start in range(0, len(labels), _CHUNK)
            ]
            plausible, best = (np.concatenate(each) for each in zip(*parts, strict=True))
        judged = candidates.select("example_id").with_columns(
            _plausible=pl.Series(plausible),
            _best=pl.Series(best, dtype=pl.String),
            _label=pl.Series(labels, dtype=pl.String),
        )
        return verdicts_of(
            judged,
            passed=pl.col("_plausible") >= self.threshold,
            score=pl.col("_plausible"),
            threshold=self.threshold,
            reason=pl.lit("label_implausible"),
            evidence=pl.format("stated {}, reads like {}", "_label", "_best"),
        )


@dataclass(frozen=True)
class LabelModel:
    """What tells labels apart: fitted scikit-learn parts; `bayes` is None without text, and sees `text_features` only.

    names: the labels, in the order of every score.
    """

    spec: DatasetSpec
    features: Any
    linear: Any
    bayes: Any
    text_features: int

    @property
    def names(self) -> np.ndarray:
        return self.linear.classes_

    @classmethod
    def fit(cls, spec: DatasetSpec, features: Any, matrix: Any, labels: np.ndarray) -> LabelModel:
        """Fit on encoded rows with their labels, shape (rows,)."""
        from sklearn.naive_bayes import MultinomialNB
        from sklearn.svm import LinearSVC

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module="sklearn")
            seed = derive_seed(spec.seed, "labels") % 2**32
            linear = LinearSVC(random_state=seed, tol=_TOLERANCE).fit(matrix, labels)
        text = [part for name, part, _ in features.transformers_ if name in _TEXT_PARTS]
        count = sum(len(part.vocabulary_) for part in text)
        bayes = MultinomialNB(alpha=_SMOOTHING, fit_prior=False).fit(matrix[:, :count], labels) if count else None
        return cls(spec, features, linear, bayes, count)

    def encode(self, rows: pl.DataFrame) -> Any:
        """Return the rows as a sparse matrix, shape (rows, features)."""
        return self.features.transform(_features(self.spec, rows))

    def score(self, matrix: Any) -> np.ndarray:
        """Return the score of every label: log-probabilities of texts, decision scores of tables; (rows, labels)."""
        scores = np.asarray(self.linear.decision_function(matrix), dtype=np.float64)
        if scores.ndim == 1:
            scores = np.stack([-scores, scores], axis=1)
        if self.bayes is None:
            return scores
        together = _normalize(scores) + _normalize(self.bayes.predict_joint_log_proba(matrix[:, : self.text_features]))
        return _normalize(together)

    def rate(self, matrix: Any, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return how plausible each row's label is, ∞ where it is not known, and the most plausible label."""
        scores = self.score(matrix)
        position = {label: place for place, label in enumerate(self.names)}
        stated = np.array([position.get(label, -1) for label in labels], dtype=np.int64)
        row = np.arange(len(labels))
        own = np.where(stated >= 0, scores[row, stated], np.inf)
        best = self.names[scores.argmax(axis=1)]
        if self.bayes is not None:
            return own, best
        scores[row[stated >= 0], stated[stated >= 0]] = -np.inf
        return own - scores.max(axis=1), best


def _normalize(scores: np.ndarray) -> np.ndarray:
    """Return scores as log-probabilities over the labels, shape (rows, labels)."""
    from scipy.special import log_softmax

    return log_softmax(scores, axis=1)


def _fit_features(spec: DatasetSpec, rows: pl.DataFrame) -> tuple[Any, Any]:
    """Return the fitted ColumnTransformer and the encoded rows."""
    features = _make_features(spec, least_rows=2 if rows.height >= _MANY_ROWS else 1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="sklearn")
        return features, features.fit_transform(_features(spec, rows))


def _make_features(spec: DatasetSpec, *, least_rows: int) -> Any:
    """Return the transformer, not fitted; n-grams that fewer than least_rows hold are left out."""
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    parts: list[tuple[str, Any, Any]] = []
    if spec.text_fields:
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=_WORD, min_df=least_rows)
        pieces = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 4), sublinear_tf=True, min_df=least_rows)
        parts += zip(_TEXT_PARTS, (words, pieces), ("_text", "_text"), strict=True)
    numbers, categories = _feature_names(spec)
    if numbers:
        impute = SimpleImputer(strategy="median", keep_empty_features=True)
        parts.append(("numbers", make_pipeline(impute, StandardScaler()), numbers))
    if categories and not spec.text_fields:
        parts.append(("categories", OneHotEncoder(handle_unknown="ignore", min_frequency=2), categories))
    if not parts:
        raise ValueError("no features to judge a label by")
    return ColumnTransformer(parts, sparse_threshold=1.0)


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
