"""The students that need nothing but scikit-learn and numpy: linear models, a forest, word trigrams.

Here: training and asking them. Not here: which of them a data set gets (choosing), the fine-tuned transformer.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl

from synth_assets.monitoring.diversity import tokenize
from synth_assets.monitoring.features import fit_encoder, read_text
from synth_assets.monitoring.language import fit_trigrams
from synth_assets.monitoring.student.protocol import CLASS, LANGUAGE, NUMBER, Answers, Student, Task, TaskKind

TREES = 200


@dataclass(frozen=True)
class EncodedStudent:
    """A scikit-learn estimator over TF-IDF of 1- and 2-grams of words, standardized numbers and category columns."""

    name: str
    kinds: tuple[TaskKind, ...]
    make: Callable[[int], Any]
    is_random: bool = False
    is_dense: bool = False

    def answer(self, task: Task, train: pl.DataFrame, weights: np.ndarray, test: pl.DataFrame, seed: int) -> Answers:
        target = task.read_target(train)
        encoder, learn = fit_encoder(train, task.inputs, text="words")
        classes = np.unique(target) if task.kind == CLASS else None
        if not encoder.names or len(target) < 2 or (classes is not None and len(classes) == 1):
            return _answer_always(target, weights, test.height, classes)
        check = encoder.encode(test)
        if self.is_dense:
            learn, check = learn.toarray().astype(np.float32), check.toarray().astype(np.float32)
        model = self.make(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a student that stops early is still the same student in every arm
            model.fit(learn, target, sample_weight=weights)
        if classes is None:
            return Answers(model.predict(check))
        scores = model.decision_function(check) if hasattr(model, "decision_function") else model.predict_proba(check)
        return Answers(scores if scores.ndim == 2 else np.stack([-scores, scores], axis=1), model.classes_)


def _answer_always(target: np.ndarray, weights: np.ndarray, rows: int, classes: np.ndarray | None) -> Answers:
    """Answer with the heaviest class or the mean, where nothing can be learned."""
    if classes is None:
        return Answers(np.full(rows, float(np.average(target, weights=weights))))
    mass = np.bincount(np.searchsorted(classes, target), weights=weights)
    return Answers(np.tile(mass, (rows, 1)), classes)


@dataclass(frozen=True)
class TrigramStudent:
    """The interpolated trigram model of monitoring/language.py.

    Its vocabulary is closed and the same in all arms, the words of the test rows, so that perplexities can be
    compared. Counts know no fractions: a row of weight 1.3 is counted once, and with a chance of 0.3 once more.
    """

    name: str = "trigrams"
    kinds: tuple[TaskKind, ...] = (LANGUAGE,)
    is_random: bool = False

    def answer(self, task: Task, train: pl.DataFrame, weights: np.ndarray, test: pl.DataFrame, seed: int) -> Answers:
        del seed  # the same rows count the same in every run
        copies = np.floor(weights + np.random.default_rng(0).random(train.height)).astype(np.int64)
        tokens = tokenize(pl.concat([read_text(test, task.inputs), read_text(train, task.inputs)]))
        tested = tokens.take(np.arange(test.height))
        model = fit_trigrams(tokens.take(test.height + np.repeat(np.arange(train.height), copies)), tested)
        nats, words = model.measure_surprise(tested)
        return Answers(nats, words=words)


def _make_support_vectors(seed: int) -> Any:
    from sklearn.svm import LinearSVC

    return LinearSVC(random_state=seed)


def _make_logistic(_: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=500)


def _make_forest(seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(TREES, random_state=seed)


def _make_ridge(seed: int) -> Any:
    from sklearn.linear_model import Ridge

    return Ridge(alpha=1.0, solver="sparse_cg", random_state=seed)


_ALL: tuple[Student, ...] = (
    EncodedStudent("support_vectors", (CLASS,), _make_support_vectors),
    EncodedStudent("logistic", (CLASS,), _make_logistic),
    EncodedStudent("forest", (CLASS,), _make_forest, is_random=True, is_dense=True),
    EncodedStudent("ridge", (NUMBER,), _make_ridge),
    TrigramStudent(),
)
LEARNERS: Mapping[str, Student] = MappingProxyType({student.name: student for student in _ALL})
