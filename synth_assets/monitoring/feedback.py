"""Feedback: what one round's student and review teach the next round's plan.

Here: errors per stratum, from steering rows and review rejects. Not here: how a plan uses them (generation/planner.py).
"""

from __future__ import annotations

import polars as pl


def learn_feedback(student: pl.DataFrame, by_stratum: pl.DataFrame, plan: pl.DataFrame) -> pl.DataFrame:
    """Return stratum, steering_error, review_defect_rate, error (their maximum, smoothed), one row a planned stratum.

    `student`: metric frame with `steering_error` per stratum. `by_stratum`: stratum, n_reviewed, defects. Rates are
    smoothed toward the overall rate with a prior of 5 rows, since a stratum's few rows say little.
    """
    errors = student.filter((pl.col("metric") == "steering_error") & (pl.col("stratum") != "")).select(
        "stratum", _error="value", _n="n_real"
    )
    review = by_stratum.select("stratum", "n_reviewed", "defects")
    frame = (
        plan.select("stratum")
        .join(errors, on="stratum", how="left")
        .join(review, on="stratum", how="left")
        .with_columns(pl.col("_n", "n_reviewed", "defects").fill_null(0))
        .with_columns(_wrong=(pl.col("_error") * pl.col("_n")).fill_null(0.0))
    )
    return (
        frame.with_columns(
            steering_error=_smooth(pl.col("_wrong"), pl.col("_n")),
            review_defect_rate=_smooth(pl.col("defects"), pl.col("n_reviewed")),
        )
        .with_columns(error=pl.max_horizontal("steering_error", "review_defect_rate"))
        .select("stratum", "steering_error", "review_defect_rate", "error")
        .sort("stratum")
    )


def _smooth(wrong: pl.Expr, seen: pl.Expr, prior: float = 5.0) -> pl.Expr:
    overall = pl.when(seen.sum() > 0).then(wrong.sum() / seen.sum()).otherwise(0.0)
    return (wrong + prior * overall) / (seen + prior)
