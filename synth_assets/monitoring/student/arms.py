"""The arms of the comparison: which rows each student is trained on, and what it then gets wrong.

Here: arms, their draws at a budget, running them. Not here: what is compared and told (scores), the weight of
synthetic rows (weights).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from synth_assets.monitoring.student.protocol import CLASS, LANGUAGE, Answers, Student, Task
from synth_assets.records import REAL, SYNTHETIC, apportion, derive_seed, derive_uniforms

TRTR, TSTR, MIX, MIX_EQUAL, MIX_WEIGHTED = "trtr", "tstr", "mix", "mix_equal", "mix_weighted"


@dataclass(frozen=True)
class Arm:
    """The training sets of an arm, one a run; a single one where every run would be the same."""

    sets: tuple[pl.DataFrame, ...]

    @property
    def sizes(self) -> dict[str, Any]:
        """n_real and n_synthetic of a run."""
        first = self.sets[0]
        real = int((first["origin"] == REAL).sum())
        return {"n_real": real, "n_synthetic": first.height - real}


@dataclass(frozen=True)
class Result:
    """What the students of an arm got wrong on n test rows.

    losses, shape (runs, n): they average to the error (class: wrong or not; number: squared error over the variance of
    the test target; language: nats, to be divided by `words`). words, shape (n,): 1 where rows count alike. truth,
    shape (n,), and guesses, shape (runs, n): class and number only.
    """

    losses: np.ndarray
    words: np.ndarray
    truth: np.ndarray | None = None
    guesses: np.ndarray | None = None

    @property
    def error(self) -> float:
        """The mean error over runs and rows."""
        return float(self.losses.mean(axis=0).sum() / self.words.sum())


def build_arms(
    frames: Mapping[str, pl.DataFrame], budget: int | None, runs: int, is_random: bool, salt: tuple[object, ...]
) -> dict[str, Arm]:
    """Return the arms by name, those without rows left out.

    trtr, tstr and mix_equal hold at most `budget` rows, left out the number of trtr rows, drawn by stratum and anew
    for each run; mix is whole, unless a budget is given.
    """
    equal = budget or frames[TRTR].height
    named = {
        TRTR: frames[TRTR].with_columns(origin=pl.lit(REAL)),
        TSTR: frames[TSTR].with_columns(origin=pl.lit(SYNTHETIC)),
        MIX: frames[MIX] if "origin" in frames[MIX].columns else frames[MIX].with_columns(origin=pl.lit(SYNTHETIC)),
    }
    arms = {name: _draw_arm(named[name], equal, runs, is_random, salt) for name in (TRTR, TSTR) if named[name].height}
    if named[MIX].height:
        arms[MIX] = _draw_arm(named[MIX], budget or named[MIX].height, runs, is_random, salt)
        if budget is None and named[MIX].height > equal:
            arms[MIX_EQUAL] = _draw_arm(named[MIX], equal, runs, is_random, salt)
    return arms


def _draw_arm(frame: pl.DataFrame, size: int, runs: int, is_random: bool, salt: tuple[object, ...]) -> Arm:
    if frame.height <= size:
        return Arm((frame,) * (runs if is_random else 1))
    return Arm(tuple(_draw_by_stratum(frame, size, (*salt, "run", run)) for run in range(runs)))


def _draw_by_stratum(frame: pl.DataFrame, size: int, salt: tuple[object, ...]) -> pl.DataFrame:
    """Return `size` rows, each stratum by its share, in the frame's order."""
    counts = frame["stratum"].value_counts(name="n").sort("stratum")
    quota = counts.select("stratum", quota=pl.Series(apportion(size, counts["n"].to_list()), dtype=pl.UInt32))
    order = pl.Series("order", derive_uniforms(frame["example_id"], *salt))
    return (
        frame.with_columns(order)
        .join(quota, on="stratum", how="left", maintain_order="left")
        .filter(pl.col("order").rank("ordinal").over("stratum") <= pl.col("quota"))
        .drop("order", "quota")
    )


def weigh_arm(arm: Arm, weight: float) -> Arm:
    """Return the arm with the weight of its synthetic rows multiplied; without them at weight 0."""
    if weight == 0:
        return Arm(tuple(rows.filter(pl.col("origin") == REAL) for rows in arm.sets))
    factor = pl.when(pl.col("origin") == REAL).then(1.0).otherwise(weight)
    return Arm(tuple(rows.with_columns(weight=pl.Series(read_weights(rows)) * factor) for rows in arm.sets))


def run_arm(arm: Arm, student: Student, task: Task, test: pl.DataFrame, salt: tuple[object, ...]) -> Result:
    """Train the student once a run and return what it gets wrong on the test rows."""
    return judge_answers(ask_arm(arm, student, task, test, salt), task, test)


def ask_arm(
    arm: Arm, student: Student, task: Task, test: pl.DataFrame, salt: tuple[object, ...]
) -> tuple[Answers, ...]:
    """Train the student once a run and return what it answers."""
    seed = derive_seed(*salt, "fit")
    return tuple(
        student.answer(task, rows, read_weights(rows), test, (seed + run) % (2**31))
        for run, rows in enumerate(arm.sets)
    )


def judge_answers(answers: tuple[Answers, ...], task: Task, test: pl.DataFrame) -> Result:
    """Return what the answers of an arm get wrong."""
    values = [answer.values for answer in answers]
    if task.kind == LANGUAGE:
        words = answers[0].words
        assert words is not None
        return Result(np.stack(values), words.astype(float))
    truth, alike = task.read_target(test), np.ones(test.height)
    if task.kind == CLASS:
        guesses = np.stack([np.asarray(each.classes)[each.values.argmax(axis=1)] for each in answers])
        return Result((guesses != truth).astype(float), alike, truth, guesses)
    guesses = np.stack(values)
    return Result((guesses - truth) ** 2 / max(float(np.var(truth)), 1e-12), alike, truth, guesses)


def find_places(classes: np.ndarray, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the place of each name among the classes, any where it is none of them, and whether it is one."""
    order = np.argsort(classes)
    places = order[np.minimum(np.searchsorted(classes, names, sorter=order), len(classes) - 1)]
    return places, classes[places] == names


def read_weights(rows: pl.DataFrame) -> np.ndarray:
    """Return the rows' weights, 1 where they have none; shape (rows,)."""
    if "weight" not in rows.columns:
        return np.ones(rows.height)
    return rows["weight"].cast(pl.Float64).fill_null(1.0).to_numpy()
