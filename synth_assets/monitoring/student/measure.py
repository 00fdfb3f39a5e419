"""The student report: every arm trained and tested on the same real rows.

Here: the order of the measurement and its report. Not here: the parts (choosing, arms, weights, scores).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from synth_assets.monitoring.features import sample_rows
from synth_assets.monitoring.measures import WATCH, Metric, Report, build_report
from synth_assets.monitoring.student.arms import (
    MIX,
    MIX_EQUAL,
    MIX_WEIGHTED,
    TRTR,
    TSTR,
    Arm,
    Result,
    build_arms,
    run_arm,
    weigh_arm,
)
from synth_assets.monitoring.student.choosing import choose_student, choose_task
from synth_assets.monitoring.student.protocol import CLASS, Student, Task
from synth_assets.monitoring.student.scores import compare_arms, list_missed, score_arm, score_strata
from synth_assets.monitoring.student.weights import tune_weight
from synth_assets.records import SEALED, SYNTHETIC, derive_seed
from synth_assets.spec import DatasetSpec

MAX_TEST_ROWS = 20_000


def measure_student(
    real_train: pl.DataFrame,
    synthetic: pl.DataFrame,
    mix: pl.DataFrame,
    test: pl.DataFrame,
    spec: DatasetSpec,
    *,
    seeds: int | None = None,
    budget: int | None = None,
    steering: pl.DataFrame | None = None,
    root: Path = Path(),
) -> Report:
    """Train one student an arm and test all of them on the same real rows.

    real_train, synthetic, mix: example_id, stratum, record columns; mix also origin and, if its rows are weighted,
    weight. test: real rows outside train, steering rows, or sealed rows once a release. Rows that stand in the test
    set are taken out of training. seeds: runs of an arm; left out, `student.runs`. budget: most training rows of an
    arm; left out, the number of real train rows. steering: the rows that the weight of synthetic rows is tuned on;
    left out, the test rows, unless they are sealed. root: the project's folder, against which student.model counts.

    Arms: trtr = real_train, tstr = synthetic, mix_equal = mix, each at most `budget` rows, drawn by stratum and anew
    for each run where there are more; mix = the whole corpus; mix_weighted = the same with synthetic rows at the weight
    `student.synthetic_weight`. With a budget given mix is cut to it as well and mix_equal falls away. n_real and
    n_synthetic of a metric are the rows its arm was trained on. A student that knows no chance learns the same rows
    once.

    Students (inputs are the released fields of role input and context): see choosing.choose_student.

    Metrics, field = target: {arm}_accuracy, {arm}_macro_f1 (over the classes of the test set), {arm}_worst_decile_f1
    (mean F1 of the worst tenth of the classes, at least one); {arm}_r2; {arm}_perplexity. {arm}_drop: how far the arm
    falls below trtr in accuracy or R², or exceeds it in log-perplexity (nats a word), with {arm}_drop_low and
    {arm}_drop_high, the 95 % interval of 500 paired resamplings of test rows and runs. synthetic_weight: the weight of
    mix_weighted. Where it was tuned on the test rows, each of them was scored under the weight that the other rows
    chose. steering_error: error of the mix student (trtr, if there is no mix) in every stratum, n_real its test rows:
    1 − accuracy, mean squared error over the variance, or nats a word. It is left out on sealed rows, which must steer
    nothing.

    Levels: mix_drop acts when the lower end of its interval is above student_drop; it is watched when the drop itself
    is and that end is above 0. The other drops are watched at most. Examples: kind missed = up to 200 test rows that
    the mix student gets wrong, value = share of the runs (not on sealed rows).
    """
    gate = spec.quality.student_level
    salt = (spec.seed, "monitoring", "student")
    # a student of no rows or no target is a note, not an error: the report still says what could be measured
    if not real_train.height or not test.height:
        what = "real training rows" if test.height else "test rows"
        return build_report([Metric("trtr_accuracy", note=f"not measured: there are no {what}")], (), gate)
    is_sealed = "split" in test.columns and bool((test["split"] == SEALED).any())
    test = sample_rows(test, MAX_TEST_ROWS, *salt, "test")
    frames = {TRTR: real_train, TSTR: synthetic, MIX: mix}
    leaked = {name: frame["example_id"].is_in(test["example_id"].implode()) for name, frame in frames.items()}
    frames = {name: frame.filter(~leaked[name]) for name, frame in frames.items()}
    task = choose_task(spec, frames[TRTR], [*(frame for frame in frames.values() if frame.height), test])
    if isinstance(task, Metric):
        return build_report([task], (), gate)
    student = choose_student(spec, task, frames[TRTR], root)
    frames = {name: task.keep_usable(frame) for name, frame in frames.items()}
    test = task.keep_usable(test)
    if not frames[TRTR].height or not test.height:
        note = "not measured: no real training or test row has a target and an input"
        return build_report([Metric("trtr_accuracy", note=note)], (), gate)
    arms = build_arms(frames, budget, seeds or spec.student.runs, student.is_random, salt)
    results = {name: run_arm(arm, student, task, test, salt) for name, arm in arms.items()}
    metrics: list[Metric] = []
    overlap = sum(int(rows.sum()) for rows in leaked.values())
    if overlap:
        metrics.append(Metric("test_rows_in_training", overlap, level=WATCH, note="taken out before training"))
    for name, frame in frames.items():
        if not frame.height:
            note = "not measured: no rows to train on"
            metrics.append(Metric(f"{name}_{task.score_name}", field=task.label, note=note))
    if MIX in arms and (arms[MIX].sets[0]["origin"] == SYNTHETIC).any():
        tried = steering if steering is not None else None if is_sealed else test
        weight, weighted = _weigh_mix(arms[MIX], student, task, test, tried, spec, salt)
        metrics.append(weight)
        if weighted is not None:
            arms[MIX_WEIGHTED], results[MIX_WEIGHTED] = arms[MIX], weighted
    metrics.extend(_tell_arms(arms, results, student, task, spec, derive_seed(*salt, "resample")))
    best = MIX if MIX in results else TRTR
    if is_sealed:
        metrics.append(Metric("steering_error", field=task.label, note="not measured: sealed rows steer nothing"))
        return build_report(metrics, (), gate)
    metrics.extend(score_strata(best, results[best], test, task))
    return build_report(metrics, list_missed(results[best], test) if task.kind == CLASS else (), gate)


def _tell_arms(
    arms: dict[str, Arm], results: dict[str, Result], student: Student, task: Task, spec: DatasetSpec, seed: int
) -> Iterator[Metric]:
    for name, result in results.items():
        yield from score_arm(name, arms[name].sizes, result, task, _describe_runs(student, result))
    for name in (TSTR, MIX, MIX_EQUAL, MIX_WEIGHTED):
        if name in results:
            bar = spec.quality.student_drop
            yield from compare_arms(name, arms[name].sizes, results[name], results[TRTR], task, bar, seed)


def _describe_runs(student: Student, result: Result) -> str:
    runs = len(result.losses)
    return f"{student.name}, {runs} runs" if runs > 1 else f"{student.name}, one run on all its rows"


def _weigh_mix(
    mix: Arm,
    student: Student,
    task: Task,
    test: pl.DataFrame,
    steering: pl.DataFrame | None,
    spec: DatasetSpec,
    salt: tuple[object, ...],
) -> tuple[Metric, Result | None]:
    """Return the weight of synthetic rows as a metric, and what the mix gets wrong at it.

    A stated weight is taken as it is; else one is tuned on `steering`, cross-fitted where these are the test rows.
    """
    stated = spec.student.synthetic_weight
    if stated != "auto":
        weight = Metric("synthetic_weight", stated, task.label, note="stated in dataset.yaml", **mix.sizes)
        return weight, run_arm(weigh_arm(mix, stated), student, task, test, salt)
    tried = test if steering is test else None if steering is None else task.keep_usable(steering)
    if tried is None or not tried.height:
        return Metric("synthetic_weight", field=task.label, note="not measured: no steering rows to tune it on"), None
    tuning = tune_weight(mix, student, task, tried, salt)
    note = f"tuned on {tried.height:,} steering rows; loss at {tuning.explain()}"
    weight = Metric("synthetic_weight", tuning.weight, task.label, note=note, **mix.sizes)
    if tried is test:
        return weight, tuning.result
    return weight, run_arm(weigh_arm(mix, tuning.weight), student, task, test, salt)
