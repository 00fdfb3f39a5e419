"""What a student is given and what it answers: the one protocol of all students.

Here: the task, the answers, the Student protocol. Not here: any student (learners, transformer), which one a data set
gets (choosing).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import polars as pl

from synth_assets.monitoring.features import read_categories, read_numbers, read_text
from synth_assets.spec import FieldSpec

CLASS, NUMBER, LANGUAGE = "class", "number", "language"
TaskKind = Literal["class", "number", "language"]


@dataclass(frozen=True)
class Task:
    """What is learned: a class or a number from the inputs, or, without a target, the inputs' own language."""

    kind: TaskKind
    target: FieldSpec | None
    inputs: tuple[FieldSpec, ...]

    @property
    def label(self) -> str:
        """The field that metrics are about."""
        return self.target.name if self.target else "+".join(item.name for item in self.inputs)

    @property
    def score_name(self) -> str:
        """The score that tells how good a student is."""
        return {CLASS: "accuracy", NUMBER: "r2", LANGUAGE: "perplexity"}[self.kind]

    def read_target(self, frame: pl.DataFrame) -> np.ndarray:
        """Return the class names (str) or the numbers of a frame, shape (rows,)."""
        assert self.target is not None
        if self.kind == NUMBER:
            return read_numbers(frame, self.target)
        return read_categories(frame, self.target).to_numpy().astype(str)

    def keep_usable(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the rows that hold a target, and for language a word."""
        if self.kind == CLASS and self.target:
            return frame.filter(pl.col(self.target.name).is_not_null())
        if self.kind == NUMBER and self.target:
            return frame.filter(pl.Series(np.isfinite(read_numbers(frame, self.target)), dtype=pl.Boolean))
        return frame.filter(read_text(frame, self.inputs).fill_null("").str.contains(r"\w"))


@dataclass(frozen=True)
class Answers:
    """What a trained student says of n test rows.

    values: class: one score a class, shape (n, classes), the highest is the guess; number: the guesses, shape (n,);
    language: the nats of each row, shape (n,). classes: the names of the columns of `values`, class only. words: the
    predicted words of each row, shape (n,), language only.
    """

    values: np.ndarray
    classes: np.ndarray | None = None
    words: np.ndarray | None = None


class Student(Protocol):
    """A model that can be trained and asked. The same rows, weights and seed give the same answers.

    name: told in the report's notes. kinds: the tasks it can learn. is_random: whether the seed changes what it
    learns; if not, an arm that is the same rows in every run is trained once.
    """

    @property
    def name(self) -> str: ...

    @property
    def kinds(self) -> tuple[TaskKind, ...]: ...

    @property
    def is_random(self) -> bool: ...

    def answer(self, task: Task, train: pl.DataFrame, weights: np.ndarray, test: pl.DataFrame, seed: int) -> Answers:
        """Learn from `train` (at least one row, all with a target), a row weighing `weights[i]`, and answer `test`."""
        ...
