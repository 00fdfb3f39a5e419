"""The DuckDB that models run in: it reads the lake and nothing else.

Here: opening and locking it, its errors in one line, plain types of a result. Not here: which query runs (models).
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import polars as pl

from synth_assets.monitoring.sql_models.schemas import Schema
from synth_assets.store import Lake, open_sql

# DuckDB 2.0 rewrites count(…) OVER (PARTITION BY …) into a join whose second half forgets which hive partitions the
# WHERE chose: it counts rows of other data sets (see also duckdb/duckdb issues 21592, 24780)
_WRONG = "window_self_join"


@contextmanager
def open_views(lake: Lake, inputs: Mapping[str, Schema]) -> Iterator[Any]:
    """Open DuckDB over the lake, locked: no file outside it, no network, no extension, no setting can be reached.

    `inputs`: view → columns; those without a partition are there as empty views. One thread, so that sums of floats
    come out the same each time. What does not fit in memory goes to a folder of its own that is deleted afterwards.
    """
    root = str(lake.root).replace("'", "''")
    with tempfile.TemporaryDirectory(prefix="synth-sql-") as spill, open_sql(lake, inputs) as connection:
        for setting in (
            "threads = 1",
            f"disabled_optimizers = '{_WRONG}'",
            f"temp_directory = '{spill}'",
            f"allowed_directories = ['{root}/']",
            "python_enable_replacements = false",
            "enable_external_access = false",
            "lock_configuration = true",
        ):
            connection.execute(f"SET {setting}")
        yield connection


def normalize_types(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with plain types: whole decimals (DuckDB's sums) as Int64, other decimals as Float64."""
    casts: list[pl.Expr] = []
    for name, dtype in frame.schema.items():
        if isinstance(dtype, pl.Decimal):
            casts.append(pl.col(name).cast(pl.Float64() if dtype.scale else pl.Int64()))
        elif isinstance(dtype, pl.Categorical | pl.Enum | pl.Null):
            casts.append(pl.col(name).cast(pl.String()))
    return frame.with_columns(casts)


def tell_error(error: Exception) -> str:
    """Return the first line of a DuckDB message and its hint, without the excerpt."""
    text = str(error).split("\n\nLINE ")[0]
    return " ".join(text.split())


def find_line(error: Exception) -> int | None:
    found = re.search(r"^LINE (\d+):", str(error), re.MULTILINE)
    return int(found.group(1)) if found else None
