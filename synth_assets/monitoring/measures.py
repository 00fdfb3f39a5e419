"""What every monitoring report is made of: metric rows, their levels, null intervals, the Report itself.

Here: the metric frame, the one rule that turns a value, its bar and its null interval into ok, watch or act.
Not here: what is measured (shift, collapse, privacy, student) and how it is drawn (plots).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from synth_assets.spec import Level

OK = "ok"
WATCH = "watch"
ACT = "act"
LEVELS = (OK, WATCH, ACT)
REPORTS = ("shift_report", "collapse_report", "privacy_report", "student_report")

METRIC_SCHEMA: dict[str, pl.DataType] = {
    "metric": pl.String(),
    "field": pl.String(),
    "stratum": pl.String(),
    "value": pl.Float64(),
    "null_low": pl.Float64(),
    "null_high": pl.Float64(),
    "threshold": pl.Float64(),
    "level": pl.String(),
    "n_real": pl.Int64(),
    "n_synthetic": pl.Int64(),
    "note": pl.String(),
}
EXAMPLE_SCHEMA: dict[str, pl.DataType] = {
    "kind": pl.String(),
    "example_id": pl.String(),
    "related_id": pl.String(),
    "value": pl.Float64(),
    "note": pl.String(),
}

FEW_DRAWS = 30


@dataclass(frozen=True)
class Metric:
    """One row of the metric frame.

    `field` and `stratum` are "" where the metric is about the whole set. `null_low` and `null_high` enclose 95 % of
    what real against real gives. `threshold` is the bar of `act`, null where the contract sets none. A metric that
    cannot be measured has value null, level ok and a note that says why.
    """

    metric: str
    value: float | None = None
    field: str = ""
    stratum: str = ""
    null_low: float | None = None
    null_high: float | None = None
    threshold: float | None = None
    level: str = OK
    n_real: int | None = None
    n_synthetic: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Report:
    """What one measurement found.

    metrics: the metric frame (METRIC_SCHEMA). examples: the rows behind the numbers (EXAMPLE_SCHEMA: ids and notes,
    never the text of a seed), may be empty. level: the worst level of the metrics. passed: false when that level is
    `act` and the contract lets this report block.
    """

    metrics: pl.DataFrame
    examples: pl.DataFrame
    passed: bool
    level: str


def build_report(metrics: Iterable[Metric], examples: Iterable[Mapping[str, Any]], gate: Level) -> Report:
    """Return the report of these metrics; `gate` is the contract's level (warn or block) for it."""
    rows = [asdict(metric) for metric in metrics]
    frame = pl.DataFrame(rows, schema=METRIC_SCHEMA).with_columns(
        pl.col("value", "null_low", "null_high").fill_nan(None)
    )
    level = max((row["level"] for row in rows), key=LEVELS.index, default=OK)
    return Report(
        metrics=frame,
        examples=pl.DataFrame(list(examples), schema=EXAMPLE_SCHEMA),
        passed=not (gate == "block" and level == ACT),
        level=level,
    )


def judge(value: float | None, *, act: float, null_high: float | None, watch: float | None = None) -> str:
    """Return the level of a value for which more is worse.

    act from the bar `act`, watch from `watch` (left out: no watch zone), both only above `null_high`, the upper end
    of real against real. For a value for which less is worse, pass all numbers negated.
    """
    if value is None or not np.isfinite(value) or (null_high is not None and value <= null_high):
        return OK
    if value >= act:
        return ACT
    return WATCH if watch is not None and value >= watch else OK


def find_null_interval(draws: Iterable[float]) -> tuple[float | None, float | None]:
    """Return the 95 % interval of a metric under real against real.

    From 30 draws on the 2.5 % and 97.5 % quantiles; below that Student's t prediction interval for one more draw,
    mean ± t·s·√(1 + 1/k); (None, None) for fewer than two finite draws.
    """
    values = np.asarray(list(draws), dtype=np.float64)
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return None, None
    if len(values) >= FEW_DRAWS:
        low, high = np.quantile(values, [0.025, 0.975])
        return float(low), float(high)
    from scipy.stats import t

    reach = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) * np.sqrt(1 + 1 / len(values))
    return float(values.mean() - reach), float(values.mean() + reach)
