"""Which task a record sets, and which student learns it: the spec's, or the one that suits the fields.

Here: the task of a spec, students by name, students of other packages by entry point. Not here: the students.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import polars as pl

from synth_assets.errors import SpecError
from synth_assets.monitoring.diversity import has_words
from synth_assets.monitoring.features import find_fields, read_text, sample_rows, split_fields
from synth_assets.monitoring.measures import Metric
from synth_assets.monitoring.student.learners import LEARNERS
from synth_assets.monitoring.student.protocol import CLASS, LANGUAGE, NUMBER, Student, Task
from synth_assets.monitoring.student.transformer import TransformerStudent, find_model
from synth_assets.records import derive_uniforms
from synth_assets.spec import NUMERIC_TYPES, DatasetSpec

GROUP = "synth_assets.students"
CHOICE_ROWS = 5_000
FOLDS = 3
COLUMN_STUDENTS = ("logistic", "forest")


def choose_task(spec: DatasetSpec, real: pl.DataFrame, others: Sequence[pl.DataFrame]) -> Task | Metric:
    """Return the task of the fields that all frames hold, or a metric without value that says why there is none."""
    fields = find_fields(spec, real, *others)
    target = spec.target_field
    if target is not None and target not in fields:
        return Metric("trtr_accuracy", note=f"not measured: the target {target.name} is no released field of all rows")
    if target is None:
        text, _, _ = split_fields(fields)
        if not text or not has_words(read_text(real, text)):
            return Metric("trtr_accuracy", note="not measured: the record has neither a target nor free text")
        return Task(LANGUAGE, None, tuple(text))
    inputs = tuple(item for item in fields if item.role in ("input", "context") and item.name != target.name)
    if not inputs:
        return Metric("trtr_accuracy", field=target.name, note="not measured: there is no input field")
    return Task(NUMBER if target.type in NUMERIC_TYPES else CLASS, target, inputs)


def choose_student(spec: DatasetSpec, task: Task, real: pl.DataFrame, root: Path) -> Student:
    """Return the student that learns the task: the one of `student.kind`, or with auto the one that suits the fields.

    Of columns with a class the student is logistic regression or a forest, whichever does better in 3-fold
    cross-validation on at most 5,000 real rows. SpecError if the named one does not exist or learns other tasks;
    EngineError if it needs what is not installed.
    """
    student = _choose_suitable(spec, task, real) if spec.student.kind == "auto" else _find_student(spec, root)
    if task.kind not in student.kinds:
        raise SpecError(
            f"student.kind: '{student.name}' learns {' or '.join(student.kinds)}, this record sets a {task.kind} task; "
            "leave student.kind out"
        )
    return student


def _choose_suitable(spec: DatasetSpec, task: Task, real: pl.DataFrame) -> Student:
    if task.kind == LANGUAGE:
        return LEARNERS["trigrams"]
    if task.kind == NUMBER:
        return LEARNERS["ridge"]
    if split_fields(task.inputs)[0]:
        return LEARNERS["support_vectors"]
    rows = sample_rows(task.keep_usable(real), CHOICE_ROWS, spec.seed, "monitoring", "student", "choice")
    folds = derive_uniforms(rows["example_id"], spec.seed, "monitoring", "student", "folds") * FOLDS // 1
    return max(
        (LEARNERS[name] for name in COLUMN_STUDENTS), key=lambda student: _count_right(student, task, rows, folds)
    )


def _count_right(student: Student, task: Task, rows: pl.DataFrame, folds: np.ndarray) -> int:
    """Return the rows that the student guesses when it has learned from the other folds."""
    right = 0
    for fold in range(FOLDS):
        learn, check = rows.filter(pl.Series(folds != fold)), rows.filter(pl.Series(folds == fold))
        if learn.height and check.height:
            answers = student.answer(task, learn, np.ones(learn.height), check, 0)
            assert answers.classes is not None
            right += int((answers.classes[answers.values.argmax(axis=1)] == task.read_target(check)).sum())
    return right


def _find_student(spec: DatasetSpec, root: Path) -> Student:
    kind = spec.student.kind
    if kind in LEARNERS:
        return LEARNERS[kind]
    if kind == "transformer":
        assert spec.student.model is not None  # the spec demands it
        return TransformerStudent(find_model(spec.student.model, root), spec.student.epochs)
    return _load_student(kind, spec)


def _load_student(kind: str, spec: DatasetSpec) -> Student:
    """Return a student of another package: what its entry point, a callable of the spec, returns."""
    found = entry_points(group=GROUP, name=kind)
    if not found:
        known = sorted({*LEARNERS, "transformer", *(point.name for point in entry_points(group=GROUP))})
        raise SpecError(
            f"student.kind: there is no student '{kind}' and no installed package brings it as an entry point of "
            f"{GROUP}; there are: {', '.join(known)}"
        )
    try:
        student = next(iter(found)).load()(spec)
    except Exception as error:  # other people's code, which may raise anything
        raise SpecError(f"student.kind: '{kind}' could not be built: {error!r}") from error
    missing = [part for part in ("name", "kinds", "is_random", "answer") if not hasattr(student, part)]
    if missing:
        raise SpecError(
            f"student.kind: what '{kind}' built is no student: {', '.join(missing)} is missing "
            "(see monitoring/student/protocol.py)"
        )
    return student
