"""Accepted rows: what a reviewed round adds to the corpus.

Here: review rejects replaced by reserve rows, and the review status of each row. Not here: whether the round is
accepted at all (review/acceptance.py).
"""

from __future__ import annotations

import polars as pl

from synth_assets.generation.waves import KEPT

REVIEWED = "reviewed"
REVIEWED_AUTOMATED = "reviewed_automated"
BATCH = "batch_accepted"
BATCH_AUTOMATED = "batch_accepted_automated"


def accept_rows(filtered: pl.DataFrame, verdicts: pl.DataFrame, *, automated: bool) -> pl.DataFrame:
    """Return the rows an accepted round contributes, in request order, with `review_status`.

    `filtered`: the filtered asset (kept and reserve). `verdicts`: example_id, resolution (accept | reject | flag) of
    the reviewed rows. A kept row that was rejected or flagged is replaced by the next reserve row of its stratum that
    was not itself rejected, as far as there is one.
    """
    status = pl.lit(BATCH_AUTOMATED if automated else BATCH)
    reviewed = pl.lit(REVIEWED_AUTOMATED if automated else REVIEWED)
    joined = filtered.join(
        verdicts.select("example_id", "resolution"), on="example_id", how="left", maintain_order="left"
    )
    good = joined.filter((pl.col("resolution") == "accept") | pl.col("resolution").is_null())
    wanted = filtered.filter(pl.col("state") == KEPT).group_by("stratum").agg(_wanted=pl.len())
    ordered = good.with_columns(_reserve=pl.col("state") != KEPT, _row=pl.int_range(pl.len())).sort("_reserve", "_row")
    place = pl.int_range(pl.len()).over("stratum")
    return (
        ordered.join(wanted, on="stratum", how="left", maintain_order="left")
        .filter(place < pl.col("_wanted"))
        .sort("_row")
        .with_columns(review_status=pl.when(pl.col("resolution") == "accept").then(reviewed).otherwise(status))
        .drop("resolution", "_reserve", "_row", "_wanted", "state")
    )
