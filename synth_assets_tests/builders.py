"""Small specs and frames that many tests start from.

Here: builders with sensible defaults. Not here: assertions, files (see paths.py).
"""

from __future__ import annotations

from typing import Any

import polars as pl

from synth_assets.records import RELEASABLE, TRAIN, add_real_ids
from synth_assets.spec import DatasetSpec, parse_spec


def text_spec(**settings: Any) -> DatasetSpec:
    """A data set of short messages with an intent; any top-level setting may be replaced."""
    content = {
        "name": "messages",
        "fields": [
            {"name": "text", "type": "text", "role": "input", "max_length": 500},
            {"name": "intent", "type": "category", "role": "target"},
        ],
        "strata": {"by": ["intent"]},
        "source": {"license": "CC0-1.0", "consent": {"basis": "not_personal"}},
        **settings,
    }
    return parse_spec(content, where="test")


def table_spec(**settings: Any) -> DatasetSpec:
    """A data set of two measurements and a class."""
    content = {
        "name": "table",
        "fields": [
            {"name": "low", "type": "number", "role": "input", "decimals": 2},
            {"name": "high", "type": "number", "role": "input", "decimals": 2},
            {"name": "kind", "type": "category", "role": "target", "values": ["a", "b"]},
        ],
        "constraints": ["low <= high"],
        "strata": {"by": ["kind"]},
        "source": {"license": "CC0-1.0", "consent": {"basis": "not_personal"}},
        **settings,
    }
    return parse_spec(content, where="test")


def real_rows(spec: DatasetSpec, rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Raw rows with ids and rights columns, as raw_seeds holds them."""
    frame = pl.DataFrame(rows).with_columns(
        source_file=pl.lit("test.jsonl"),
        source_line=pl.int_range(1, pl.len() + 1, dtype=pl.Int64),
        license=pl.lit(spec.source.license),
        consent=pl.lit(spec.source.consent.basis),
        is_private=pl.lit(False),
    )
    return add_real_ids(frame, spec)


def seed_rows(spec: DatasetSpec, rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Seed rows as the seeds asset holds them: releasable and in the train split unless a row says otherwise."""
    defaults = {"disposition": RELEASABLE, "split": TRAIN}
    plain = [{key: value for key, value in row.items() if key not in defaults} for row in rows]
    marks = pl.DataFrame([{key: row.get(key, default) for key, default in defaults.items()} for row in rows])
    frame = real_rows(spec, plain).drop("is_private")
    return pl.concat([frame, marks], how="horizontal").with_columns(cluster=pl.col("example_id"))
