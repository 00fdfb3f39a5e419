"""The student: what a small model learns from the corpus, always tested on real rows.

Here: training on real rows (TRTR), on synthetic rows (TSTR) and on the mix, at stated sizes, and the paired
differences; the error of every stratum, which steers the next round. Not here: what the next round makes of it
(generation/planner), shift, diversity.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from synth_assets.monitoring.diversity import has_words, tokenize
from synth_assets.monitoring.features import (
    find_fields,
    fit_encoder,
    read_categories,
    read_numbers,
    read_text,
    sample_rows,
    split_fields,
)
from synth_assets.monitoring.language import fit_trigrams
from synth_assets.monitoring.measures import ACT, OK, WATCH, Metric, Report, build_report
from synth_assets.records import REAL, SEALED, apportion, derive_seed, derive_uniforms
from synth_assets.spec import DatasetSpec, FieldSpec

MAX_TEST_ROWS = 20_000
CHOICE_ROWS = 5_000
BOOTSTRAPS = 500
WORST_SHARE = 0.1
MISSED = 200

TRTR, TSTR, MIX, MIX_EQUAL = "trtr", "tstr", "mix", "mix_equal"
Task = Literal["class", "number", "language"]


def measure_student(
    real_train: pl.DataFrame,
    synthetic: pl.DataFrame,
    mix: pl.DataFrame,
    test: pl.DataFrame,
    spec: DatasetSpec,
    *,
    seeds: int = 5,
    budget: int | None = None,
) -> Report:
    """Train one student an arm and test all of them on the same real rows.

    real_train, synthetic, mix: example_id, stratum, record columns; mix also origin and, if its rows are weighted,
    weight. test: real rows outside train, steering rows, or sealed rows once a release. Rows that stand in the test
    set are taken out of training. budget: most training rows of an arm; left out, the number of real train rows.

    Arms: trtr = real_train, tstr = synthetic, mix_equal = mix, each at most `budget` rows, drawn by stratum and anew
    for each of `seeds` runs where there are more; mix = the whole corpus. With a budget given mix is cut to it as
    well and mix_equal falls away. n_real and n_synthetic of a metric are the rows its arm was trained on.

    Students (inputs are the released fields of role input and context): text → TF-IDF 1–2-grams and numbers and
    categories if any, linear support vectors; columns only → logistic regression or random forest, whichever
    does better in 3-fold cross-validation on the real rows; a number as target → ridge regression; no target but
    free text → interpolated trigram model.

    Metrics, field = target: {arm}_accuracy, {arm}_macro_f1 (over the classes of the test set), {arm}_worst_decile_f1
    (mean F1 of the worst tenth of the classes, at least one); {arm}_r2; {arm}_perplexity. {arm}_drop: how far the arm
    falls below trtr in accuracy or R², or exceeds it in log-perplexity (nats a word), with {arm}_drop_low and
    {arm}_drop_high, the 95 % interval of 500 paired resamplings of test rows and runs. steering_error: error of the
    mix student (trtr, if there is no mix) in every stratum, n_real its test rows: 1 − accuracy, mean squared error
    over the variance, or nats a word. It is left out on sealed rows, which must steer nothing.

    Levels: mix_drop acts when the lower end of its interval is above student_drop; it is watched when the drop itself
    is and that end is above 0. tstr_drop and mix_equal_drop are watched at most. Examples: kind missed = up to 200
    test rows that the mix student gets wrong, value = share of the runs (not on sealed rows).
    """
    gate = spec.quality.student_level
    salt = (spec.seed, "monitoring", "student")
    # a student of no rows or no target is a note, not an error: the report still says what could be measured
    if not real_train.height or not test.height:
        what = "real training rows" if test.height else "test rows"
        return build_report([Metric("trtr_accuracy", note=f"not measured: there are no {what}")], (), gate)
    test = sample_rows(test, MAX_TEST_ROWS, *salt, "test")
    frames = {TRTR: real_train, TSTR: synthetic, MIX: mix}
    leaked = {name: frame["example_id"].is_in(test["example_id"].implode()) for name, frame in frames.items()}
    frames = {name: frame.filter(~leaked[name]) for name, frame in frames.items()}
    task = _choose_task(spec, frames, test)
    if isinstance(task, Metric):
        return build_report([task], (), gate)
    frames = {name: task.usable(frame) for name, frame in frames.items()}
    test = task.usable(test)
    if not frames[TRTR].height or not test.height:
        note = "not measured: no real training or test row has a target and an input"
        return build_report([Metric("trtr_accuracy", note=note)], (), gate)
    arms = _build_arms(frames, budget, max(seeds, 1), salt)
    results = {name: _run_arm(arm, task, test, salt) for name, arm in arms.items()}
    metrics: list[Metric] = []
    overlap = sum(int(rows.sum()) for rows in leaked.values())
    if overlap:
        metrics.append(Metric("test_rows_in_training", overlap, level=WATCH, note="taken out before training"))
    for name, frame in frames.items():
        if not frame.height:
            metrics.append(
                Metric(f"{name}_{task.score_name}", field=task.label, note="not measured: no rows to train on")
            )
    for name, result in results.items():
        metrics.extend(_score_arm(name, arms[name], result, task))
    rng_seed = derive_seed(*salt, "resample")
    for name in (TSTR, MIX, MIX_EQUAL):
        if name in results:
            metrics.extend(_compare_arms(name, arms[name], results[name], results[TRTR], task, spec, rng_seed))
    examples: list[dict[str, Any]] = []
    best = MIX if MIX in results else TRTR
    if "split" in test.columns and (test["split"] == SEALED).any():
        metrics.append(Metric("steering_error", field=task.label, note="not measured: sealed rows steer nothing"))
    else:
        metrics.extend(_score_strata(best, results[best], test, task))
        examples = _list_missed(results[best], test, task)
    return build_report(metrics, examples, gate)


# ---- the task


@dataclass(frozen=True)
class _Task:
    """What the student learns: its inputs, its target, and how a run over the test rows is scored.

    `losses` of a run: one number a test row that averages to the error (class: wrong or not; number: squared error
    over the variance of the test target; language: nats).
    """

    kind: Task
    target: FieldSpec | None
    inputs: tuple[FieldSpec, ...]
    choice: str

    @property
    def label(self) -> str:
        return self.target.name if self.target else "+".join(item.name for item in self.inputs)

    @property
    def score_name(self) -> str:
        return {"class": "accuracy", "number": "r2", "language": "perplexity"}[self.kind]

    def usable(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the rows that hold a target, and for language a word."""
        if self.kind == "class" and self.target:
            return frame.filter(pl.col(self.target.name).is_not_null())
        if self.kind == "number" and self.target:
            return frame.filter(pl.Series(np.isfinite(read_numbers(frame, self.target)), dtype=pl.Boolean))
        return frame.filter(read_text(frame, self.inputs).fill_null("").str.contains(r"\w"))


def _choose_task(spec: DatasetSpec, frames: Mapping[str, pl.DataFrame], test: pl.DataFrame) -> _Task | Metric:
    used = [frame for frame in frames.values() if frame.height]
    fields = find_fields(spec, *used, test)
    target = spec.target_field
    if target is not None and target not in fields:
        return Metric("trtr_accuracy", note=f"not measured: the target {target.name} is no released field of all rows")
    if target is None:
        text, _, _ = split_fields(fields)
        if not text or not has_words(read_text(frames[TRTR], text)):
            return Metric("trtr_accuracy", note="not measured: the record has neither a target nor free text")
        return _Task("language", None, tuple(text), "trigrams")
    inputs = tuple(item for item in fields if item.role in ("input", "context") and item.name != target.name)
    if not inputs:
        return Metric("trtr_accuracy", field=target.name, note="not measured: there is no input field")
    if target.type in ("integer", "number"):
        return _Task("number", target, inputs, "ridge")
    text, _, _ = split_fields(inputs)
    task = _Task("class", target, inputs, "support_vectors")
    return task if text else _choose_columns_student(task, frames[TRTR], spec)


def _choose_columns_student(task: _Task, train: pl.DataFrame, spec: DatasetSpec) -> _Task:
    """Return the task with the student that does better in 3-fold cross-validation on the real rows."""
    sample = sample_rows(task.usable(train), CHOICE_ROWS, spec.seed, "monitoring", "student", "choice")
    folds = derive_uniforms(sample["example_id"], spec.seed, "monitoring", "student", "folds") * 3 // 1
    scores: dict[str, float] = {}
    for choice in ("logistic", "forest"):
        candidate = _Task(task.kind, task.target, task.inputs, choice)
        right = 0.0
        for fold in range(3):
            learn, check = sample.filter(pl.Series(folds != fold)), sample.filter(pl.Series(folds == fold))
            if learn.height and check.height:
                right += float((_predict(candidate, learn, check, 0) == _read_target(candidate, check)).sum())
        scores[choice] = right
    return _Task(task.kind, task.target, task.inputs, max(scores, key=lambda name: scores[name]))


# ---- training


@dataclass(frozen=True)
class _Arm:
    """The training sets of an arm, one a run; a single one where every run would be the same."""

    sets: tuple[pl.DataFrame, ...]

    @property
    def sizes(self) -> dict[str, Any]:
        first = self.sets[0]
        real = int((first["origin"] == REAL).sum()) if "origin" in first.columns else 0
        return {"n_real": real, "n_synthetic": first.height - real}


def _build_arms(
    frames: Mapping[str, pl.DataFrame], budget: int | None, seeds: int, salt: tuple[object, ...]
) -> dict[str, _Arm]:
    equal = budget or frames[TRTR].height
    origin = {TRTR: pl.lit(REAL), TSTR: pl.lit("synthetic")}
    named = {
        name: frame.with_columns(origin=origin[name]) if name in origin else frame for name, frame in frames.items()
    }
    arms = {name: _draw_arm(named[name], equal, seeds, salt) for name in (TRTR, TSTR) if named[name].height}
    if named[MIX].height:
        arms[MIX] = _draw_arm(named[MIX], budget or named[MIX].height, seeds, salt)
        if budget is None and named[MIX].height > equal:
            arms[MIX_EQUAL] = _draw_arm(named[MIX], equal, seeds, salt)
    return arms


def _draw_arm(frame: pl.DataFrame, size: int, seeds: int, salt: tuple[object, ...]) -> _Arm:
    if frame.height <= size:
        return _Arm((frame,))
    return _Arm(tuple(_draw_by_stratum(frame, size, (*salt, "run", run)) for run in range(seeds)))


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


def _run_arm(arm: _Arm, task: _Task, test: pl.DataFrame, salt: tuple[object, ...]) -> _Result:
    seed = derive_seed(*salt, "fit") % (2**31)
    if task.kind == "language":
        return _run_language(arm, task, test)
    truth = _read_target(task, test)
    guesses = np.stack([_predict(task, train, test, seed + run) for run, train in enumerate(arm.sets)])
    if task.kind == "class":
        return _Result((guesses != truth).astype(float), np.ones(test.height), truth, guesses)
    spread = max(float(np.var(truth)), 1e-12)
    return _Result((guesses - truth) ** 2 / spread, np.ones(test.height), truth, guesses)


@dataclass(frozen=True)
class _Result:
    """losses, shape (runs, test rows); their weights, shape (test rows,); truth and guesses where there are any."""

    losses: np.ndarray
    weights: np.ndarray
    truth: np.ndarray
    guesses: np.ndarray

    @property
    def error(self) -> float:
        return float(self.losses.mean(axis=0).sum() / self.weights.sum())


def _run_language(arm: _Arm, task: _Task, test: pl.DataFrame) -> _Result:
    # one closed vocabulary for all arms, the words of the test set, so that perplexities can be compared
    nats, sizes = [], np.zeros(test.height)
    for train in arm.sets:
        tokens = tokenize(pl.concat([read_text(test, task.inputs), read_text(train, task.inputs)]))
        tested = tokens.take(np.arange(test.height))
        model = fit_trigrams(tokens.take(np.arange(test.height, tokens.n_docs)), tested)
        surprise, sizes = model.measure_surprise(tested)
        nats.append(surprise)
    nothing = np.empty(0)
    return _Result(np.stack(nats), sizes.astype(float), nothing, nothing)


def _read_target(task: _Task, frame: pl.DataFrame) -> np.ndarray:
    assert task.target is not None
    if task.kind == "number":
        return read_numbers(frame, task.target)
    return read_categories(frame, task.target).to_numpy().astype(str)


def _predict(task: _Task, train: pl.DataFrame, test: pl.DataFrame, seed: int) -> np.ndarray:
    """Return the student's guesses for the test rows; the commonest class or the mean where nothing can be learned."""
    target = _read_target(task, train)
    encoder, learn = fit_encoder(train, task.inputs, text="words")
    weights = _read_weights(train)
    classes, counts = np.unique(target, return_counts=True)
    if task.kind == "class" and (len(classes) == 1 or not encoder.names):
        return np.full(test.height, classes[np.argmax(counts)])
    if task.kind == "number" and (len(target) < 2 or not encoder.names):
        return np.full(test.height, float(np.average(target, weights=weights)))
    model = _make_student(task, seed)
    check = encoder.encode(test)
    if task.choice == "forest":
        learn, check = learn.toarray().astype(np.float32), check.toarray().astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a student that stops early is still the same student in every arm
        model.fit(learn, target, sample_weight=weights)
    return model.predict(check)


def _make_student(task: _Task, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.svm import LinearSVC

    makers: dict[str, Callable[[], Any]] = {
        "support_vectors": lambda: LinearSVC(random_state=seed),
        "logistic": lambda: LogisticRegression(max_iter=500),
        "forest": lambda: RandomForestClassifier(200, random_state=seed),
        "ridge": lambda: Ridge(alpha=1.0, solver="sparse_cg", random_state=seed),
    }
    return makers[task.choice]()


def _read_weights(train: pl.DataFrame) -> np.ndarray:
    if "weight" not in train.columns:
        return np.ones(train.height)
    return train["weight"].cast(pl.Float64).fill_null(1.0).to_numpy()


# ---- scores


def _score_arm(name: str, arm: _Arm, result: _Result, task: _Task) -> Iterator[Metric]:
    note = f"{task.choice}, {len(arm.sets)} runs" if len(arm.sets) > 1 else f"{task.choice}, one run on all its rows"
    common: dict[str, Any] = {"field": task.label, "note": note, **arm.sizes}
    if task.kind == "language":
        yield Metric(f"{name}_perplexity", float(np.exp(result.error)), **common)
        return
    if task.kind == "number":
        yield Metric(f"{name}_r2", 1 - result.error, **common)
        return
    yield Metric(f"{name}_accuracy", 1 - result.error, **common)
    scores = np.stack([_score_classes(result.truth, guess) for guess in result.guesses]).mean(axis=0)
    worst = np.sort(scores)[: max(round(WORST_SHARE * len(scores)), 1)]
    yield Metric(f"{name}_macro_f1", float(scores.mean()), **common)
    yield Metric(f"{name}_worst_decile_f1", float(worst.mean()), **common)


def _score_classes(truth: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """Return the F1 of each class of the truth, in sorted order."""
    classes, codes = np.unique(truth, return_inverse=True)
    places = np.minimum(np.searchsorted(classes, guess), len(classes) - 1)
    known = classes[places] == guess
    hits = np.bincount(codes[(places == codes) & known], minlength=len(classes))
    told = np.bincount(places[known], minlength=len(classes))
    return 2 * hits / (np.bincount(codes, minlength=len(classes)) + told)


def _compare_arms(
    name: str, arm: _Arm, result: _Result, base: _Result, task: _Task, spec: DatasetSpec, seed: int
) -> Iterator[Metric]:
    """Yield the drop of an arm below trtr and its interval; runs and test rows are resampled, both arms alike."""
    drop = result.error - base.error
    rng = np.random.default_rng(seed)
    runs = max(len(result.losses), len(base.losses))
    rows = result.losses.shape[1]
    # an arm with a single run meets every run of the other
    pairs = np.broadcast_to(result.losses, (runs, rows)) - np.broadcast_to(base.losses, (runs, rows))
    booted = np.empty(BOOTSTRAPS)
    for i in range(BOOTSTRAPS):
        picked = np.bincount(rng.integers(rows, size=rows), minlength=rows)
        chosen = rng.integers(runs, size=runs)
        booted[i] = (pairs[chosen].mean(axis=0) @ picked) / (result.weights @ picked)
    low, high = (float(end) for end in np.quantile(booted, [0.025, 0.975]))
    bar = spec.quality.student_drop
    level = ACT if low > bar else WATCH if drop > bar and low > 0 else OK
    if name != MIX and level == ACT:
        level = WATCH
    common: dict[str, Any] = {"field": task.label, **arm.sizes}
    of = {"class": "accuracy", "number": "R²", "language": "log-perplexity"}[task.kind]
    note = f"trtr against {name} in {of}, {rows} test rows"
    yield Metric(f"{name}_drop", drop, threshold=bar, level=level, note=note, **common)
    yield Metric(f"{name}_drop_low", low, note="lower end of the paired 95 % interval", **common)
    yield Metric(f"{name}_drop_high", high, note="upper end of the paired 95 % interval", **common)


def _score_strata(name: str, result: _Result, test: pl.DataFrame, task: _Task) -> Iterator[Metric]:
    strata, codes = np.unique(test["stratum"].to_numpy().astype(str), return_inverse=True)
    losses = np.bincount(codes, weights=result.losses.mean(axis=0))
    sizes = np.bincount(codes, weights=result.weights)
    rows = np.bincount(codes)
    for i, stratum in enumerate(strata):
        yield Metric(
            "steering_error",
            float(losses[i] / sizes[i]),
            task.label,
            str(stratum),
            n_real=int(rows[i]),
            note=f"{name} student",
        )


def _list_missed(result: _Result, test: pl.DataFrame, task: _Task) -> list[dict[str, Any]]:
    if task.kind != "class":
        return []
    share = result.losses.mean(axis=0)
    worst = [i for i in np.argsort(-share, kind="stable")[:MISSED] if share[i] > 0]
    return [
        {"kind": "missed", "example_id": test["example_id"][int(i)], "value": float(share[i]),
         "note": f"taken for {result.guesses[0][i]}" if result.losses[0][i] else ""}
        for i in worst
    ]  # fmt: skip
