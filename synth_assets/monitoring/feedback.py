"""Feedback: what one round's student, review and shift report teach the next round's plan.

Here: errors per stratum, and the training rows that are nearest to the student's errors. Not here: how a plan uses
them (generation/planner.py).
"""

from __future__ import annotations

import numpy as np
import polars as pl

from synth_assets.monitoring.features import fit_encoder
from synth_assets.monitoring.measures import ACT, WATCH
from synth_assets.records import RELEASABLE, STEERING, TRAIN
from synth_assets.spec import DatasetSpec

PRIOR_ROWS = 5.0
DRIFT = {WATCH: 0.5, ACT: 1.0}
NEAREST = 3
MOST_EXEMPLARS = 20


def learn_feedback(
    student: pl.DataFrame,
    by_stratum: pl.DataFrame,
    plan: pl.DataFrame,
    *,
    shift: pl.DataFrame | None = None,
    exemplars: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Return stratum, steering_error, review_defect_rate, drift, error, exemplars; one row a planned stratum.

    student: metric frame with `steering_error` per stratum. by_stratum: stratum, n_reviewed, defects. shift: metric
    frame of the shift report; a stratum's drift is 1 where any of its own metrics acts, ½ where one is watched, else
    0. exemplars: what find_exemplars returned.

    error = the greater of the first two rates, times 1 + drift: a stratum that the student gets wrong or reviewers
    reject needs rows, and all the more if it no longer looks like the real one. Rates are smoothed toward the overall
    rate with a prior of 5 rows, since a stratum's few rows say little.
    """
    errors = student.filter((pl.col("metric") == "steering_error") & (pl.col("stratum") != "")).select(
        "stratum", _error="value", _n="n_real"
    )
    review = by_stratum.select("stratum", "n_reviewed", "defects")
    frame = (
        plan.select("stratum")
        .join(errors, on="stratum", how="left")
        .join(review, on="stratum", how="left")
        .join(_find_drift(shift), on="stratum", how="left")
        .join(_no_exemplars() if exemplars is None else exemplars, on="stratum", how="left")
        .with_columns(pl.col("_n", "n_reviewed", "defects", "drift").fill_null(0), pl.col("exemplars").fill_null([]))
        .with_columns(_wrong=(pl.col("_error") * pl.col("_n")).fill_null(0.0))
    )
    return (
        frame.with_columns(
            steering_error=_smooth(pl.col("_wrong"), pl.col("_n")),
            review_defect_rate=_smooth(pl.col("defects"), pl.col("n_reviewed")),
        )
        .with_columns(error=pl.max_horizontal("steering_error", "review_defect_rate") * (1 + pl.col("drift")))
        .select("stratum", "steering_error", "review_defect_rate", "drift", "error", "exemplars")
        .sort("stratum")
    )


def find_exemplars(missed: pl.DataFrame, seeds: pl.DataFrame, spec: DatasetSpec) -> pl.DataFrame:
    """Return stratum, exemplars: the ids of the training rows that are most like the student's errors, nearest first.

    missed: example_id of the steering rows that the student gets wrong (examples of kind `missed`). seeds: all splits.
    Each error names the 3 nearest releasable training rows of its own stratum (Euclidean, over TF-IDF of words and
    character trigrams, standardized numbers and categories); a stratum's first 20 are kept. No error is ever an
    exemplar itself, and errors on rows of other splits are ignored.
    """
    train = seeds.filter((pl.col("split") == TRAIN) & (pl.col("disposition") == RELEASABLE))
    wrong = seeds.filter((pl.col("split") == STEERING) & pl.col("example_id").is_in(missed["example_id"].implode()))
    fields = tuple(field for field in spec.content_fields if field.name not in spec.strata.by)
    if train.is_empty() or wrong.is_empty() or not fields:
        return _no_exemplars()
    encoder, known = fit_encoder(train, fields, text="words_and_chars")
    asked = encoder.encode(wrong)
    lengths = np.asarray(known.multiply(known).sum(axis=1)).ravel()
    ids, strata = train["example_id"].to_numpy(), train["stratum"].to_numpy()
    found: dict[str, dict[str, float]] = {}
    for row, stratum in enumerate(wrong["stratum"]):
        rows = np.flatnonzero(strata == stratum)
        if not rows.size:
            continue
        # the error's own length is the same for all of them and left out
        distances = lengths[rows] - 2 * (known[rows] @ asked[row].T).toarray().ravel()
        own = found.setdefault(stratum, {})
        for place in np.argsort(distances, kind="stable")[:NEAREST]:
            name = str(ids[rows[place]])
            own[name] = min(own.get(name, np.inf), float(distances[place]))
    chosen = {
        stratum: sorted(own, key=lambda name: (own[name], name))[:MOST_EXEMPLARS] for stratum, own in found.items()
    }
    return pl.DataFrame(
        {"stratum": list(chosen), "exemplars": list(chosen.values())}, schema=_no_exemplars().schema
    ).sort("stratum")


def _no_exemplars() -> pl.DataFrame:
    return pl.DataFrame(schema={"stratum": pl.String, "exemplars": pl.List(pl.String)})


def _find_drift(shift: pl.DataFrame | None) -> pl.DataFrame:
    if shift is None:
        return pl.DataFrame(schema={"stratum": pl.String, "drift": pl.Float64})
    moved = pl.col("level").replace_strict(DRIFT, default=0.0, return_dtype=pl.Float64)
    return shift.filter(pl.col("stratum") != "").group_by("stratum").agg(drift=moved.max())


def _smooth(wrong: pl.Expr, seen: pl.Expr) -> pl.Expr:
    overall = pl.when(seen.sum() > 0).then(wrong.sum() / seen.sum()).otherwise(0.0)
    return (wrong + PRIOR_ROWS * overall) / (seen + PRIOR_ROWS)
