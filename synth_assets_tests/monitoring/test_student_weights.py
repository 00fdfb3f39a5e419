"""The weight of synthetic rows: what steering rows choose, and that the choice does not flatter its own test."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from synth_assets.monitoring.student import measure_student
from synth_assets.monitoring.student.arms import Arm, run_arm, weigh_arm
from synth_assets.monitoring.student.learners import LEARNERS
from synth_assets.monitoring.student.protocol import Answers, Task, TaskKind
from synth_assets.monitoring.student.weights import GRID, measure_nats, tune_weight
from synth_assets.spec import StudentSpec
from synth_assets_tests.monitoring.samples import MESSAGES, find, make_messages, make_spec, mark

STEERING = make_messages(200, 8)
SEALED = make_messages(300, 9).with_columns(split=pl.lit("sealed"))
TASK = Task("class", MESSAGES.field("topic"), (MESSAGES.field("text"),))
SALT = ("tests",)


def mislabel(frame: pl.DataFrame) -> pl.DataFrame:
    swapped = pl.col("topic").replace({"card": "login", "login": "card"})
    return frame.with_columns(topic=swapped, stratum=swapped)


def mix_of(real: pl.DataFrame, synthetic: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([mark(real, origin="real"), mark(synthetic)])


def test_the_weighted_mix_is_spared_what_mislabeled_rows_cost():
    real, made = make_messages(100, 1), mislabel(make_messages(400, 2))
    report = measure_student(real, made, mix_of(real, made), SEALED, MESSAGES, steering=STEERING)
    assert find(report, "mix_drop")["value"] > 0.1
    assert abs(find(report, "mix_weighted_drop")["value"]) < 0.02


def test_steering_rows_choose_nothing_of_mislabeled_rows():
    arm = Arm((mix_of(make_messages(100, 1), mislabel(make_messages(400, 2))),))
    assert tune_weight(arm, LEARNERS["support_vectors"], TASK, STEERING, SALT).weight == 0


def test_rows_that_teach_keep_their_weight():
    real, made = make_messages(6, 1), make_messages(400, 2)
    report = measure_student(real, made, mix_of(real, made), SEALED, MESSAGES, steering=STEERING)
    assert find(report, "synthetic_weight")["value"] > 0
    assert find(report, "mix_weighted_drop_high")["value"] < 0


def test_sealed_rows_choose_no_weight():
    real, made = make_messages(100, 1), make_messages(100, 2)
    report = measure_student(real, made, mix_of(real, made), SEALED, MESSAGES)
    assert find(report, "synthetic_weight")["value"] is None
    assert report.metrics.filter(pl.col("metric").str.starts_with("mix_weighted")).is_empty()


def test_a_stated_weight_is_taken_as_it_is():
    real, made = make_messages(100, 1), mislabel(make_messages(400, 2))
    spec = MESSAGES.model_copy(update={"student": StudentSpec(synthetic_weight=0.01)})
    report = measure_student(real, made, mix_of(real, made), SEALED, spec)
    assert find(report, "synthetic_weight")["value"] == 0.01
    assert find(report, "mix_weighted_drop")["value"] < 0.02 < find(report, "mix_drop")["value"]


class Coin:
    """Guesses by chance whatever it is taught, and differently for every weight of the synthetic rows."""

    name = "coin"
    kinds: tuple[TaskKind, ...] = ("class",)
    is_random = False

    def answer(self, task: Task, train: pl.DataFrame, weights: np.ndarray, test: pl.DataFrame, seed: int) -> Answers:
        classes = np.unique(task.read_target(train))
        rng = np.random.default_rng(int(1000 * weights.sum()))
        return Answers(rng.random((test.height, len(classes))), classes)


def test_the_choice_among_equals_does_not_flatter_its_own_test():
    """With nothing to gain, the best of five on the same rows looks better than chance; cross-fitted rows do not."""
    arm = Arm((mix_of(make_messages(40, 1), make_messages(40, 2)),))
    picked, honest = [], []
    for seed in range(40):
        rows = make_messages(100, 100 + seed)
        picked.append(min(run_arm(weigh_arm(arm, weight), Coin(), TASK, rows, SALT).error for weight in GRID))
        honest.append(tune_weight(arm, Coin(), TASK, rows, (*SALT, seed)).result.error)
    assert np.mean(picked) < 2 / 3 - 0.03
    assert np.mean(honest) == pytest.approx(2 / 3, abs=0.02)


def test_nats_are_those_of_the_likeliest_temperature_whatever_the_scale_of_the_scores():
    truth = np.array(["a"] * 70 + ["b"] * 30)
    scores = np.tile([1.0, 0.0], (100, 1))
    nats = measure_nats(Answers(scores, np.array(["a", "b"])), truth)
    entropy = -0.7 * np.log(0.7) - 0.3 * np.log(0.3)
    assert nats.mean() == pytest.approx(entropy, abs=0.01)
    assert measure_nats(Answers(1000 * scores, np.array(["a", "b"])), truth) == pytest.approx(nats, abs=1e-3)


def test_a_class_that_the_student_does_not_know_costs_most():
    scores = np.array([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0]])
    nats = measure_nats(Answers(scores, np.array(["a", "b"])), np.array(["a", "b", "loan"]))
    assert nats[2] > max(nats[:2])
    assert np.isfinite(nats).all()


def test_a_weight_is_a_factor_on_synthetic_rows_alone_and_nothing_leaves_them_out():
    rows = mix_of(make_messages(3, 1), make_messages(2, 2)).with_columns(weight=pl.Series([1.0, 2.0, 1.0, 1.0, 3.0]))
    assert weigh_arm(Arm((rows,)), 0.5).sets[0]["weight"].to_list() == [1.0, 2.0, 1.0, 0.5, 1.5]
    assert weigh_arm(Arm((rows,)), 0).sets[0].height == 3


def test_a_mix_without_real_rows_is_not_tried_at_nothing():
    arm = Arm((mark(make_messages(100, 2)),))
    tuning = tune_weight(arm, LEARNERS["support_vectors"], TASK, STEERING, SALT)
    assert [weight for weight, _ in tuning.errors] == [weight for weight in GRID if weight > 0]


def test_trigrams_count_a_row_by_its_weight():
    spec = make_spec([{"name": "text", "type": "text"}])
    task = Task("language", None, (spec.field("text"),))
    real, junk = make_messages(100, 1), make_messages(300, 2).with_columns(text=pl.lit("card card card"))
    mix = Arm((mix_of(real, junk),))
    errors = [
        run_arm(weigh_arm(mix, weight), LEARNERS["trigrams"], task, STEERING, SALT).error for weight in (0, 0.3, 1)
    ]
    assert errors == sorted(errors)
    assert errors[0] < errors[1] < errors[2]
    assert tune_weight(mix, LEARNERS["trigrams"], task, STEERING, SALT).weight == 0
