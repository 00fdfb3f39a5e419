"""Quarantine: which rows a recalled model, prompt, seed, example or reviewer has touched.

Here: matching rows with quarantine entries. Not here: keeping the entries (review/decisions.py), the re-release.
"""

from __future__ import annotations

import polars as pl

KINDS = ("model", "prompt", "seed", "example", "reviewer")


def match_quarantine(rows: pl.DataFrame, quarantine: pl.DataFrame) -> pl.Series:
    """Return for each row whether an active entry (columns kind, value) touches it.

    `rows` has example_id, content_id and, for synthetic rows, generator_id, prompt_id, prompted_by or seed_ids, and
    optionally parents. A seed touches its own row and every row it was an exemplar of, an example those made of it.
    """
    values = {kind: quarantine.filter(pl.col("kind") == kind)["value"].to_list() for kind in KINDS}
    exemplars = "prompted_by" if "prompted_by" in rows.columns else "seed_ids"
    touched = pl.any_horizontal(
        pl.col("generator_id").is_in(values["model"]),
        pl.col("prompt_id").is_in(values["prompt"]),
        pl.col("example_id").is_in(values["seed"] + values["example"]),
        pl.col("content_id").is_in(values["example"]),
        pl.col(exemplars).list.eval(pl.element().is_in(values["seed"])).list.any(),
    )
    if "parents" in rows.columns:
        touched |= pl.col("parents").list.eval(pl.element().is_in(values["example"])).list.any()
    return rows.select(touched.fill_null(False).alias("quarantined")).to_series()


def drop_quarantined(rows: pl.DataFrame, quarantine: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that no active quarantine entry touches."""
    if quarantine.is_empty() or rows.is_empty():
        return rows
    return rows.filter(~match_quarantine(rows, quarantine))


def drop_quarantined_seeds(seeds: pl.DataFrame, quarantine: pl.DataFrame) -> pl.DataFrame:
    """Return the seed rows without recalled ones (by example_id or content_id)."""
    recalled = quarantine.filter(pl.col("kind").is_in(["seed", "example"]))["value"].to_list()
    return seeds.filter(~pl.col("example_id").is_in(recalled) & ~pl.col("content_id").is_in(recalled))
