"""How strongly counts of green units speak for a mark: z and the exact p-value, a record at a time and pooled.

Here: the statistics that both detectors share. Not here: which units count (detection.py, rows.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl


@dataclass(frozen=True)
class Pooled:
    """The evidence of all records together.

    records: how many were looked at. scored: distinct units that count (pairs of tokens, or keyed bits of row units).
    green: how many of them are green. z: (green − γ·scored) / √(γ(1−γ)·scored), None where nothing was scored. p_value:
    chance of at least so many green ones without a mark, exact binomial, 1 where nothing was scored.
    """

    records: int
    scored: int
    green: int
    z: float | None
    p_value: float


@dataclass(frozen=True)
class Detection:
    """records: one row a record, in the caller's order: record, scored, green, z, p_value. pooled: all together."""

    records: pl.DataFrame
    pooled: Pooled


def weigh_evidence(records: pl.Series, units: pl.DataFrame, gamma: float) -> Detection:
    """Score units that are green with probability gamma where there is no mark.

    records: how the records are called, one entry each. units: record (UInt32, their position), unit (any type),
    scored, green (integers: trials and successes of the unit). A unit counts once in its record and once in the pool:
    repeats would be no new evidence. Distinct units of unmarked records are independent under a keyed hash, so both
    p-values are exact.

    [record 0: unit a 1/1, a 1/1, b 0/1] → record 0: scored 2, green 1
    """
    own = units.unique(["record", "unit"], maintain_order=True)
    sums = own.group_by("record").agg(pl.col("scored", "green").sum().cast(pl.Int64))
    rows = pl.DataFrame({"record": pl.int_range(len(records), dtype=pl.UInt32, eager=True)})
    counts = rows.join(sums, on="record", how="left", maintain_order="left").with_columns(
        pl.col("scored", "green").fill_null(0)
    )
    z, p_value = _score(counts["green"].to_numpy(), counts["scored"].to_numpy(), gamma)
    told = counts.with_columns(
        records.alias("record"), z=pl.Series(z).fill_nan(None), p_value=pl.Series(p_value, dtype=pl.Float64)
    )
    once = own.unique("unit", maintain_order=True).select(pl.col("scored", "green").sum().cast(pl.Int64))
    scored, green = (int(once[name].item() or 0) for name in ("scored", "green"))
    pooled_z, pooled_p = _score(np.array([green]), np.array([scored]), gamma)
    total = None if math.isnan(pooled_z[0]) else float(pooled_z[0])
    return Detection(told, Pooled(len(records), scored, green, total, float(pooled_p[0])))


def _score(green: np.ndarray, scored: np.ndarray, gamma: float) -> tuple[np.ndarray, np.ndarray]:
    """Return z (NaN where nothing is scored) and the binomial tail P(X ≥ green)."""
    from scipy.stats import binom

    spread = np.sqrt(gamma * (1 - gamma) * scored)
    z = np.divide(green - gamma * scored, spread, out=np.full(len(scored), np.nan), where=scored > 0)
    return z, np.where(scored > 0, binom.sf(green - 1, scored, gamma), 1.0)
