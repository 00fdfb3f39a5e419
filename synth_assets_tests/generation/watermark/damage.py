"""Edits of rows that a mark should outlive, for the tests and the benchmark.

Here: changed values in a share of the rows. Not here: what must be left of the mark.
"""

from __future__ import annotations

import polars as pl

from synth_assets.spec import DatasetSpec


def edit_rows(rows: pl.DataFrame, spec: DatasetSpec, share: float) -> pl.DataFrame:
    """Return rows of which the first `share` were gone over: numbers a little larger, every fifth word another."""
    changes = []
    for field in spec.content_fields:
        column = pl.col(field.name)
        if field.type == "number":
            changes.append((column * 1.01).round_sig_figs(6))
        elif field.type == "integer":
            changes.append(column + 1)
        elif field.type in ("text", "code"):
            changes.append(column.str.replace_all(r"((?:\S+\s+){4})\S+", "${1}something"))
    count = round(rows.height * share)
    return pl.concat([rows.head(count).with_columns(changes), rows.slice(count)])
