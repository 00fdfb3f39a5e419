"""How far a language model's grades agree with what people decided.

Here: the comparison on reviewed rows. Not here: the judge (discriminators/judge.py), agreement among people
(acceptance.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

GRADES_SCHEMA = pl.Schema(
    {"grade": pl.Int64, "accepted": pl.Int64, "rejected": pl.Int64, "kappa": pl.Float64, "auc": pl.Float64}
)


def compare_with_judge(verdicts: pl.DataFrame, resolutions: pl.DataFrame) -> pl.DataFrame:
    """Return one row a grade that was given to reviewed rows, ascending; no row where nothing was graded and reviewed.

    accepted, rejected: rows of the grade by what people decided. kappa: Cohen's, of "this grade or better" against
    "accepted", over all reviewed rows; null where either is the same for all. auc: chance that an accepted row has a
    higher grade than a rejected one (ties half), the same in every row; null without both. People see only what the
    judge let pass, so nothing is said of what it rejected. verdicts: example_id, discriminator, score; resolutions:
    example_id, resolution (accept | reject | flag) by people.
    """
    grades = verdicts.filter(pl.col("discriminator") == "judge").select(
        "example_id", grade=pl.col("score").cast(pl.Int64)
    )
    decided = resolutions.select("example_id", accepted=pl.col("resolution") == "accept")
    both = decided.join(grades.drop_nulls("grade"), on="example_id", how="inner")
    if both.is_empty():
        return pl.DataFrame(schema=GRADES_SCHEMA)
    accepted, grade = both["accepted"].to_numpy(), both["grade"].to_numpy()
    auc = _auc(accepted, grade)
    rows: list[dict[str, Any]] = [
        {
            "grade": int(each),
            "accepted": int((accepted & (grade == each)).sum()),
            "rejected": int((~accepted & (grade == each)).sum()),
            "kappa": _kappa(accepted, grade >= each),
            "auc": auc,
        }
        for each in np.unique(grade)
    ]
    return pl.DataFrame(rows, schema=GRADES_SCHEMA)


def _auc(accepted: np.ndarray, grade: np.ndarray) -> float | None:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(accepted, grade)) if accepted.any() and not accepted.all() else None


def _kappa(one: np.ndarray, other: np.ndarray) -> float | None:
    from sklearn.metrics import cohen_kappa_score

    if len(set(one)) < 2 or len(set(other)) < 2:
        return None
    return float(cohen_kappa_score(one, other))
