"""What a synthetic row should weigh in training, by what steering rows choose.

Here: the weights that are tried, the choice, its cross-fitted result. Not here: the weights of the corpus (mixing),
which keep the mix within its bounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from synth_assets.monitoring.student.arms import (
    Arm,
    Result,
    ask_arm,
    find_places,
    judge_answers,
    weigh_arm,
)
from synth_assets.monitoring.student.protocol import CLASS, Answers, Student, Task
from synth_assets.records import REAL, derive_uniforms

GRID = (0.0, 0.1, 0.3, 0.5, 1.0)
FOLDS = 5
EVEN_CHANCE = 0.01
SHARPNESS = (-5.0, 5.0)


@dataclass(frozen=True)
class Tuning:
    """weight: the choice. errors: what was tried and its mean loss on the steering rows. result: every steering row
    under the weight that the other folds chose, so that the choice does not flatter its own test."""

    weight: float
    errors: tuple[tuple[float, float], ...]
    result: Result

    def explain(self) -> str:
        """Return the mean losses in one line."""
        return ", ".join(f"{weight:g}: {error:.4f}" for weight, error in self.errors)


def tune_weight(arm: Arm, student: Student, task: Task, steering: pl.DataFrame, salt: tuple[object, ...]) -> Tuning:
    """Return the weight with the least loss on the steering rows, of equal ones the smallest.

    The loss of a class is the nats of the true one, which tell more of a row than right or wrong does; that of other
    tasks is the error itself.

    Weight 0, tried where the arm has real rows, leaves the synthetic rows out. One student a weight is trained on
    whole sets: steering rows are never learned from, so five folds of them cross-fit the choice at no further cost.
    """
    has_real = all((rows["origin"] == REAL).any() for rows in arm.sets)
    grid = [weight for weight in GRID if weight > 0 or has_real]
    answers = [ask_arm(weigh_arm(arm, weight), student, task, steering, salt) for weight in grid]
    results = [judge_answers(each, task, steering) for each in answers]
    losses = np.stack([result.losses.mean(axis=0) for result in results])
    if task.kind == CLASS:
        truth = task.read_target(steering)
        losses = np.stack([np.mean([measure_nats(run, truth) for run in each], axis=0) for each in answers])
    folds = derive_uniforms(steering["example_id"], *salt, "folds") * FOLDS // 1
    chosen = np.zeros(steering.height, np.int64)
    for fold in range(FOLDS):
        others = folds != fold
        chosen[~others] = _choose(losses[:, others]) if others.any() else 0
    errors = losses.sum(axis=1) / results[0].words.sum()
    return Tuning(grid[_choose(losses)], tuple(zip(grid, errors.tolist(), strict=True)), _pick(results, chosen))


def measure_nats(answers: Answers, truth: np.ndarray) -> np.ndarray:
    """Return −log of the true class's probability, shape (rows,).

    Scores become probabilities by a softmax at the temperature under which the truth is likeliest (Guo et al. 2017),
    mixed with a hundredth of even chances, so that no row weighs without bound.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import softmax

    assert answers.classes is not None
    places, known = find_places(answers.classes, truth)
    scores = (answers.values - answers.values.mean(axis=1, keepdims=True)) / (answers.values.std() or 1.0)
    even = EVEN_CHANCE / (len(answers.classes) + 1)

    def measure(sharpness: float) -> np.ndarray:
        chances = softmax(scores * np.exp(sharpness), axis=1)[np.arange(len(truth)), places]
        return -np.log(np.where(known, (1 - EVEN_CHANCE) * chances, 0.0) + even)

    return measure(minimize_scalar(lambda sharpness: measure(sharpness).mean(), bounds=SHARPNESS, method="bounded").x)


def _choose(losses: np.ndarray) -> int:
    """Return the place of the weight with the least loss; losses: shape (weights, rows), weights ascending."""
    return int(np.argmin(losses.sum(axis=1)))


def _pick(results: list[Result], chosen: np.ndarray) -> Result:
    """Return the result whose every column is that of the chosen weight."""
    rows = np.arange(len(chosen))

    def pick(parts: list[np.ndarray]) -> np.ndarray:
        return np.stack(parts)[chosen, :, rows].T

    first = results[0]
    guesses = [result.guesses for result in results if result.guesses is not None]
    return Result(
        pick([result.losses for result in results]),
        first.words,
        first.truth,
        pick(guesses) if guesses else None,
    )
