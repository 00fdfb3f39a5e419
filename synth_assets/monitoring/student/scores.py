"""From what students get wrong to metrics: scores, paired drops with their intervals, errors of every stratum.

Here: metric rows and examples. Not here: training (arms, learners).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from synth_assets.monitoring.measures import ACT, OK, WATCH, Metric
from synth_assets.monitoring.student.arms import MIX, Result
from synth_assets.monitoring.student.protocol import CLASS, LANGUAGE, NUMBER, Task

BOOTSTRAPS = 500
WORST_SHARE = 0.1
MISSED = 200


def score_arm(name: str, sizes: dict[str, Any], result: Result, task: Task, note: str) -> Iterator[Metric]:
    """Yield {name}_perplexity, {name}_r2, or {name}_accuracy, _macro_f1 and _worst_decile_f1."""
    common: dict[str, Any] = {"field": task.label, "note": note, **sizes}
    if task.kind == LANGUAGE:
        yield Metric(f"{name}_perplexity", float(np.exp(result.error)), **common)
        return
    if task.kind == NUMBER:
        yield Metric(f"{name}_r2", 1 - result.error, **common)
        return
    assert result.truth is not None and result.guesses is not None
    yield Metric(f"{name}_accuracy", 1 - result.error, **common)
    scores = np.stack([score_classes(result.truth, guess) for guess in result.guesses]).mean(axis=0)
    worst = np.sort(scores)[: max(round(WORST_SHARE * len(scores)), 1)]
    yield Metric(f"{name}_macro_f1", float(scores.mean()), **common)
    yield Metric(f"{name}_worst_decile_f1", float(worst.mean()), **common)


def score_classes(truth: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """Return the F1 of each class of the truth, in sorted order."""
    classes, codes = np.unique(truth, return_inverse=True)
    places = np.minimum(np.searchsorted(classes, guess), len(classes) - 1)
    known = classes[places] == guess
    hits = np.bincount(codes[(places == codes) & known], minlength=len(classes))
    told = np.bincount(places[known], minlength=len(classes))
    return 2 * hits / (np.bincount(codes, minlength=len(classes)) + told)


def compare_arms(
    name: str, sizes: dict[str, Any], result: Result, base: Result, task: Task, bar: float, seed: int
) -> Iterator[Metric]:
    """Yield {name}_drop below trtr and the ends of its 95 % interval; runs and rows are resampled, both arms alike."""
    drop = result.error - base.error
    low, high = bootstrap_drop(result, base, seed)
    level = ACT if low > bar else WATCH if drop > bar and low > 0 else OK
    if name != MIX and level == ACT:
        level = WATCH
    common: dict[str, Any] = {"field": task.label, **sizes}
    of = {CLASS: "accuracy", NUMBER: "R²", LANGUAGE: "log-perplexity"}[task.kind]
    note = f"trtr against {name} in {of}, {result.losses.shape[1]} test rows"
    yield Metric(f"{name}_drop", drop, threshold=bar, level=level, note=note, **common)
    yield Metric(f"{name}_drop_low", low, note="lower end of the paired 95 % interval", **common)
    yield Metric(f"{name}_drop_high", high, note="upper end of the paired 95 % interval", **common)


def bootstrap_drop(result: Result, base: Result, seed: int) -> tuple[float, float]:
    """Return the 95 % interval of result.error − base.error; an arm with a single run meets every run of the other."""
    rng = np.random.default_rng(seed)
    runs = max(len(result.losses), len(base.losses))
    rows = result.losses.shape[1]
    pairs = np.broadcast_to(result.losses, (runs, rows)) - np.broadcast_to(base.losses, (runs, rows))
    booted = np.empty(BOOTSTRAPS)
    for i in range(BOOTSTRAPS):
        picked = np.bincount(rng.integers(rows, size=rows), minlength=rows)
        chosen = rng.integers(runs, size=runs)
        booted[i] = (pairs[chosen].mean(axis=0) @ picked) / (result.words @ picked)
    low, high = np.quantile(booted, [0.025, 0.975])
    return float(low), float(high)


def score_strata(name: str, result: Result, test: pl.DataFrame, task: Task) -> Iterator[Metric]:
    """Yield the error of an arm in every stratum; n_real: its test rows."""
    strata, codes = np.unique(test["stratum"].to_numpy().astype(str), return_inverse=True)
    losses = np.bincount(codes, weights=result.losses.mean(axis=0))
    sizes = np.bincount(codes, weights=result.words)
    rows = np.bincount(codes)
    for i, stratum in enumerate(strata):
        error, note = float(losses[i] / sizes[i]), f"{name} student"
        yield Metric("steering_error", error, task.label, str(stratum), n_real=int(rows[i]), note=note)


def list_missed(result: Result, test: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the test rows that an arm of a class task gets wrong, the most often missed first, as report examples."""
    if result.guesses is None:
        return []
    share = result.losses.mean(axis=0)
    worst = [i for i in np.argsort(-share, kind="stable")[:MISSED] if share[i] > 0]
    return [
        {"kind": "missed", "example_id": test["example_id"][int(i)], "value": float(share[i]),
         "note": f"taken for {result.guesses[0][i]}" if result.losses[0][i] else ""}
        for i in worst
    ]  # fmt: skip
