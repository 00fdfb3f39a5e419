from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import f1_score

from synth_assets.monitoring.student import measure_student
from synth_assets.monitoring.student.scores import score_classes
from synth_assets_tests.monitoring.samples import (
    CUSTOMERS,
    MESSAGES,
    find,
    make_customers,
    make_messages,
    make_spec,
    mark,
)

TEST = make_messages(300, 9)


def mix_of(real: pl.DataFrame, synthetic: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([mark(real, origin="real"), mark(synthetic)])


def mislabel(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the messages with two of the topics exchanged."""
    swapped = pl.col("topic").replace({"card": "login", "login": "card"})
    return frame.with_columns(topic=swapped, stratum=swapped)


def test_good_synthetic_rows_cost_nothing():
    real, made = make_messages(200, 1), make_messages(400, 2)
    report = measure_student(real, made, mix_of(real, made), TEST, MESSAGES)
    assert report.level == "ok"
    assert find(report, "trtr_accuracy")["value"] > 0.95
    assert abs(find(report, "tstr_drop")["value"]) < 0.02


def test_mislabeled_synthetic_rows_are_caught_and_the_mix_acts():
    real, made = make_messages(100, 1), mislabel(make_messages(400, 2))
    report = measure_student(real, made, mix_of(real, made), TEST, MESSAGES)
    mix = find(report, "mix_drop")
    assert mix["level"] == "act"
    assert find(report, "mix_drop_low")["value"] > 0.02
    # about two of three rows are of an exchanged topic
    assert find(report, "tstr_drop")["value"] == pytest.approx(0.65, abs=0.1)
    assert find(report, "tstr_drop")["level"] == "watch"


def test_the_errors_of_every_stratum_are_told_for_the_next_round():
    real, made = make_messages(100, 1), mislabel(make_messages(600, 2))
    report = measure_student(real, made, mix_of(real, made), TEST, MESSAGES)
    errors = report.metrics.filter(pl.col("metric") == "steering_error")
    assert errors["stratum"].to_list() == ["card", "login", "transfer"]
    assert errors["n_real"].sum() == TEST.height
    assert (
        find(report, "steering_error", stratum="transfer")["value"]
        < find(report, "steering_error", stratum="card")["value"]
    )
    missed = report.examples.filter(pl.col("kind") == "missed")
    assert missed["example_id"].is_in(TEST["example_id"].implode()).all()


def test_sealed_rows_steer_nothing():
    real, made = make_messages(100, 1), make_messages(100, 2)
    sealed = TEST.with_columns(split=pl.lit("sealed"))
    report = measure_student(real, made, mix_of(real, made), sealed, MESSAGES)
    assert report.metrics.filter(pl.col("metric") == "steering_error")["value"].to_list() == [None]
    assert report.examples.is_empty()
    assert find(report, "trtr_accuracy")["value"] is not None


def test_arms_are_compared_at_equal_size_and_the_mix_also_whole():
    real, made = make_messages(100, 1), make_messages(400, 2)
    report = measure_student(real, made, mix_of(real, made), TEST, MESSAGES)
    sizes = {arm: find(report, f"{arm}_accuracy") for arm in ("trtr", "tstr", "mix", "mix_equal")}
    assert {arm: row["n_real"] + row["n_synthetic"] for arm, row in sizes.items()} == {
        "trtr": 100,
        "tstr": 100,
        "mix": 500,
        "mix_equal": 100,
    }
    assert sizes["mix_equal"]["n_real"] == pytest.approx(20, abs=12)


def test_a_budget_holds_for_every_arm():
    real, made = make_messages(100, 1), make_messages(400, 2)
    report = measure_student(real, made, mix_of(real, made), TEST, MESSAGES, budget=60, seeds=2)
    arms = report.metrics.filter(pl.col("metric").str.ends_with("_accuracy"))
    assert (arms["n_real"] + arms["n_synthetic"]).to_list() == [60, 60, 60, 60]


def test_test_rows_in_training_are_taken_out():
    real, made = make_messages(100, 1), make_messages(100, 2)
    leaking = pl.concat([real, TEST.head(50)])
    report = measure_student(leaking, made, mix_of(real, made), TEST, MESSAGES)
    assert find(report, "test_rows_in_training")["value"] == 50
    assert find(report, "trtr_accuracy")["n_real"] == 100


def test_a_class_that_only_the_test_knows_is_an_error_not_a_crash():
    real, made = make_messages(100, 1), make_messages(100, 2)
    strange = TEST.head(30).with_columns(topic=pl.lit("loan"), stratum=pl.lit("loan"))
    report = measure_student(real, made, mix_of(real, made), pl.concat([TEST, strange]), MESSAGES)
    assert find(report, "steering_error", stratum="loan")["value"] == 1
    assert find(report, "trtr_worst_decile_f1")["value"] == 0


def test_class_scores_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    truth, guess = rng.choice(list("abc"), 60), rng.choice(list("abcd"), 60)
    expected = f1_score(truth, guess, average=None, labels=list("abc"), zero_division=0)
    assert score_classes(truth, guess).tolist() == pytest.approx(expected.tolist())


def test_weights_of_the_mix_count():
    real, made = make_messages(100, 1), mislabel(make_messages(400, 2))
    light = mix_of(real, made).with_columns(weight=pl.when(pl.col("origin") == "real").then(1.0).otherwise(0.001))
    report = measure_student(real, made, light, TEST, MESSAGES, seeds=1)
    assert find(report, "mix_drop")["value"] < 0.02


def test_columns_choose_between_linear_and_forest():
    rng = np.random.default_rng(0)

    def draw(seed: int) -> pl.DataFrame:
        frame = make_customers(300, seed)
        # exclusive or: no line separates it
        x, y = rng.normal(size=(2, frame.height))
        label = np.where(x * y > 0, "yes", "no")
        return frame.with_columns(age=x, visits=pl.Series(y * 100).round().cast(pl.Int64), churned=label, stratum=label)

    report = measure_student(draw(1), draw(2), mark(draw(3)), draw(4), CUSTOMERS, seeds=1)
    assert find(report, "trtr_accuracy")["value"] > 0.85
    assert find(report, "trtr_accuracy")["note"].startswith("forest")


def test_a_number_is_predicted_by_ridge_and_scored_by_r2():
    spec = make_spec([{"name": "age", "type": "number"}, {"name": "visits", "type": "integer", "role": "target"}])
    parts = [make_customers(200, seed) for seed in range(4)]
    report = measure_student(parts[0], parts[1], mix_of(parts[0], parts[1]), parts[3], spec)
    assert find(report, "trtr_r2")["value"] == pytest.approx(0.71, abs=0.1)
    assert abs(find(report, "mix_drop")["value"]) < 0.02


def test_free_text_without_a_target_is_scored_by_perplexity():
    spec = make_spec([{"name": "text", "type": "text"}])
    real, junk = make_messages(200, 1), make_messages(200, 2).with_columns(text=pl.lit("blah blah blah"))
    report = measure_student(real, junk, mix_of(real, junk), TEST, spec)
    assert find(report, "tstr_perplexity")["value"] > 2 * find(report, "trtr_perplexity")["value"]
    assert find(report, "tstr_drop")["level"] == "watch"
    drop = np.log(find(report, "tstr_perplexity")["value"]) - np.log(find(report, "trtr_perplexity")["value"])
    assert find(report, "tstr_drop")["value"] == pytest.approx(drop)


@pytest.mark.parametrize(("rows", "what"), [((0, 50), "no real training rows"), ((50, 0), "no test rows")])
def test_nothing_to_learn_or_to_test_is_a_note(rows: tuple[int, int], what: str):
    made = make_messages(50, 2)
    report = measure_student(make_messages(rows[0], 1), made, mark(made), make_messages(rows[1], 3), MESSAGES)
    assert what in report.metrics["note"][0]


def test_no_synthetic_rows_leave_the_real_student():
    real = make_messages(100, 1)
    report = measure_student(real, make_messages(0, 2), mark(real, origin="real"), TEST, MESSAGES)
    assert find(report, "tstr_accuracy")["note"] == "not measured: no rows to train on"
    assert find(report, "trtr_accuracy")["value"] > 0.9


def test_the_same_rows_give_the_same_report():
    real, made = make_messages(60, 1), make_messages(200, 2)
    first, second = (measure_student(real, made, mix_of(real, made), TEST, MESSAGES, seeds=2) for _ in range(2))
    assert first.metrics.equals(second.metrics)
    assert first.examples.equals(second.examples)


def test_half_of_the_clinical_rows_teach_what_the_other_half_teaches():
    data = load_breast_cancer()
    names = [name.replace(" ", "_") for name in data.feature_names]
    label = np.where(data.target == 0, "malignant", "benign")
    frame = pl.DataFrame(data.data, schema=names).with_columns(
        diagnosis=label, stratum=label, example_id=pl.int_range(pl.len()).cast(pl.String)
    )
    spec = make_spec(
        [{"name": name, "type": "number"} for name in names]
        + [{"name": "diagnosis", "type": "category", "role": "target"}]
    )
    mixed = frame.sample(fraction=1, shuffle=True, seed=3)
    report = measure_student(mixed[:200], mixed[200:400], mark(mixed[:400]), mixed[400:], spec, seeds=1)
    assert find(report, "trtr_accuracy")["value"] > 0.93
    assert find(report, "tstr_drop_low")["value"] <= 0.02
