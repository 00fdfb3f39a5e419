"""The mix sweep: what a student learns as real rows are replaced by synthetic ones, the total staying the same.

Here: the draws, the scores on steering rows, intervals paired by seed. Not here: the students (student), what the
platform's mix is (mixing/selection). Sealed rows have no part: a sweep is many looks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from synth_assets.errors import SeedError, SpecError
from synth_assets.monitoring.experiments.intervals import find_run_interval
from synth_assets.monitoring.measures import Metric
from synth_assets.monitoring.student.arms import Arm, run_arm
from synth_assets.monitoring.student.choosing import choose_student, choose_task
from synth_assets.monitoring.student.protocol import LANGUAGE
from synth_assets.records import REAL, STEERING, SYNTHETIC, derive_seed, derive_uniforms
from synth_assets.spec import DatasetSpec

SHARES = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 1.0)
LEAST_ROWS = 20

SWEEP_SCHEMA: dict[str, pl.DataType] = {
    "share": pl.Float64(),
    "seed": pl.Int64(),
    "real": pl.Int64(),
    "synthetic": pl.Int64(),
    "score": pl.Float64(),
}


@dataclass(frozen=True)
class Sweep:
    """runs: SWEEP_SCHEMA, one row a share and seed. score: accuracy, r2 or perplexity; total: rows of every mix."""

    runs: pl.DataFrame
    score: str
    field: str
    student: str
    total: int
    test_rows: int

    @property
    def less_is_better(self) -> bool:
        return self.score == "perplexity"


def run_mix(
    real: pl.DataFrame,
    synthetic: pl.DataFrame,
    steering: pl.DataFrame,
    spec: DatasetSpec,
    *,
    shares: Sequence[float] = SHARES,
    seeds: int = 5,
    total: int | None = None,
    root: Path = Path(),
    report: Callable[[str], None] = lambda _: None,
) -> Sweep:
    """Train a student on mixes of `total` rows and score each on the steering rows.

    Every seed resamples real, synthetic and steering rows with replacement, so that the seeds differ by as much as
    other rows of the same source would: without that they share most of their rows, and chance looks certain.
    real, synthetic, steering: example_id, stratum, split (steering) and the record columns. total: left out, as many
    as there are of the scarcer side. Every seed draws both sides by stratum; a larger share holds the rows of a smaller
    one. SpecError without anything to learn or for sealed test rows, SeedError with fewer than 20 rows a side.
    """
    if "split" in steering.columns and (steering["split"] != STEERING).any():
        raise SpecError(f"{spec.name}: a sweep is scored on steering rows alone; other rows were given")
    task = choose_task(spec, real, (synthetic, steering))
    if isinstance(task, Metric):
        raise SpecError(f"{spec.name}: no student can be trained: {task.note.removeprefix('not measured: ')}")
    real, synthetic, test = (task.keep_usable(rows) for rows in (real, synthetic, steering))
    most = min(real.height, synthetic.height)
    total = min(total or most, most)
    if min(total, test.height) < LEAST_ROWS:
        raise SeedError(
            f"{spec.name}: {real.height:,} real, {synthetic.height:,} synthetic and {test.height:,} steering rows "
            f"can be used; the sweep needs {LEAST_ROWS} of each"
        )
    student = choose_student(spec, task, real, root)
    resampled = [_resample((real, synthetic, test), spec, seed) for seed in range(seeds)]
    weights = np.array([np.bincount(places[2], minlength=test.height) for places in resampled])
    rows: list[dict[str, Any]] = []
    for share in shares:
        report(f"synthetic share {share:.0%}")
        made = round(total * share)
        sets = tuple(
            pl.concat(
                [
                    _draw(real[places[0]], total - made, spec, seed, REAL),
                    _draw(synthetic[places[1]], made, spec, seed, SYNTHETIC),
                ]
            )
            for seed, places in enumerate(resampled)
        )
        result = run_arm(Arm(sets), student, task, test, (spec.seed, "experiments", "mix"))
        errors = (result.losses * weights).sum(axis=1) / (result.words * weights).sum(axis=1)
        scores = np.exp(errors) if task.kind == LANGUAGE else 1 - errors
        for seed, score in enumerate(scores.tolist()):
            rows.append({"share": share, "seed": seed, "real": total - made, "synthetic": made, "score": score})
    return Sweep(pl.DataFrame(rows, schema=SWEEP_SCHEMA), task.score_name, task.label, student.name, total, test.height)


def summarize_sweep(sweep: Sweep) -> pl.DataFrame:
    """Return the score of every share, and what it gains over the smallest one, paired by seed; 95 % t intervals of a
    seed's resampling.

    Columns: share, real, synthetic, score, score_low, score_high, gain, gain_low, gain_high, seeds. A gain is better
    whatever the score: of perplexity it is the relative fall.
    """
    base = sweep.runs.filter(pl.col("share") == sweep.runs["share"].min()).select("seed", base="score")
    change = 1 - pl.col("score") / pl.col("base") if sweep.less_is_better else pl.col("score") - pl.col("base")
    paired = sweep.runs.join(base, on="seed", how="left", maintain_order="left").with_columns(gain=change)
    rows = []
    for (share,), part in paired.group_by("share", maintain_order=True):
        row = {"share": share, "real": part["real"][0], "synthetic": part["synthetic"][0], "seeds": part.height}
        for name in ("score", "gain"):
            ends = find_run_interval(part[name].to_list())
            row |= dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))
        rows.append(row)
    names = ("score", "score_low", "score_high", "gain", "gain_low", "gain_high")
    frame = pl.DataFrame(rows).select("share", "real", "synthetic", *names, "seeds")
    return frame.with_columns(pl.col(*names).cast(pl.Float64).fill_nan(None)).sort("share")


def explain_sweep(summary: pl.DataFrame, sweep: Sweep, share: float) -> str:
    """Return a sentence on what the data set's own synthetic share, or the nearest that was tried, gains or costs."""
    own = summary.sort((pl.col("share") - share).abs()).row(0, named=True)
    best = summary.sort("gain", descending=True).row(0, named=True)
    if own["gain_low"] is None:
        certain = "from a single seed, so nothing can be said of chance"
    elif own["gain_low"] <= 0 <= own["gain_high"]:
        certain = "which may be chance"
    else:
        certain = "which is more than chance"
    unit = "" if sweep.score == "r2" else " %" if sweep.less_is_better else " points"
    scale = 1 if sweep.score == "r2" else 100
    ends = "" if own["gain_low"] is None else f" [{scale * own['gain_low']:+.3g}, {scale * own['gain_high']:+.3g}]"
    return (
        f"At {sweep.total:,} rows in all, a synthetic share of {own['share']:.0%} changes the student by "
        f"{scale * own['gain']:+.3g}{unit}{ends} against {summary['share'][0]:.0%}, {certain}; best of those tried: "
        f"{best['share']:.0%}."
    )


def _columns(spec: DatasetSpec, real: pl.DataFrame) -> list[str]:
    names = [field.name for field in spec.released_fields if field.name in real.columns]
    return ["example_id", "stratum", "origin", *names]


def _resample(frames: Sequence[pl.DataFrame], spec: DatasetSpec, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(derive_seed(spec.seed, "experiments", "mix", "resample", seed))
    return [rng.integers(frame.height, size=frame.height) for frame in frames]


def _draw(rows: pl.DataFrame, count: int, spec: DatasetSpec, seed: int, origin: str) -> pl.DataFrame:
    """Return `count` rows in a random order that takes all strata evenly, so that fewer are the first of more."""
    chance = pl.Series("_order", derive_uniforms(rows["example_id"], spec.seed, "experiments", "mix", seed, origin))
    place = (pl.col("_order").rank("ordinal").over("stratum") - 0.5) / pl.len().over("stratum")
    drawn = rows.with_columns(chance, origin=pl.lit(origin)).sort(place, "_order").head(count)
    return drawn.select(_columns(spec, rows))
