"""Small data for the monitoring tests: customers with known distributions, messages with known words."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from synth_assets.monitoring.measures import Report
from synth_assets.spec import DatasetSpec, parse_spec

TOPICS = {
    "card": "card chip pin limit contactless terminal swipe plastic wallet blocked",
    "transfer": "transfer iban recipient pending bank swift fee arrive account beneficiary",
    "login": "password login reset code phone app locked device email verify",
}
FILLERS = "please help my the is not why can you when still today after two days again it now with for"


def make_spec(fields: list[dict[str, Any]], *, by: tuple[str, ...] = (), **quality: Any) -> DatasetSpec:
    """Return a spec of these fields, stratified by the named ones."""
    content = {
        "name": "tests",
        "seed": 7,
        "fields": fields,
        "strata": {"by": list(by)},
        "quality": quality,
        "source": {"license": "CC0-1.0", "consent": {"basis": "not_personal"}},
    }
    return parse_spec(content, where="tests")


CUSTOMERS = make_spec(
    [
        {"name": "age", "type": "number", "nullable": True},
        {"name": "visits", "type": "integer"},
        {"name": "region", "type": "category"},
        {"name": "churned", "type": "category", "role": "target"},
    ],
    by=("churned",),
)
MESSAGES = make_spec(
    [{"name": "text", "type": "text"}, {"name": "topic", "type": "category", "role": "target"}], by=("topic",)
)


def make_customers(rows: int, seed: int, *, churn: float = 0.4, prefix: str = "c") -> pl.DataFrame:
    """Return customers whose age and visits depend on each other and on churned; the stratum is churned."""
    rng = np.random.default_rng(seed)
    churned = np.where(rng.random(rows) < churn, "yes", "no")
    age = rng.normal(40, 10, rows) + np.where(churned == "yes", 8, 0)
    return pl.DataFrame(
        {
            "example_id": [f"{prefix}{seed}-{i}" for i in range(rows)],
            "stratum": churned,
            "age": age,
            "visits": np.maximum(0, (age / 10 + rng.normal(0, 0.7, rows)).round()).astype(np.int64),
            "region": rng.choice(["north", "south", "east", "west"], rows, p=[0.4, 0.3, 0.2, 0.1]),
            "churned": churned,
        }
    )


def make_messages(rows: int, seed: int, *, words: int = 12, prefix: str = "m") -> pl.DataFrame:
    """Return messages of three topics: half of the words are the topic's own; the stratum is the topic."""
    rng = np.random.default_rng(seed)
    topics = rng.choice(list(TOPICS), rows)
    fillers = FILLERS.split()
    texts = []
    for topic in topics:
        own = rng.choice(TOPICS[topic].split(), words)
        texts.append(" ".join(np.where(rng.random(words) < 0.5, own, rng.choice(fillers, words)).tolist()))
    return pl.DataFrame(
        {
            "example_id": [f"{prefix}{seed}-{i}" for i in range(rows)],
            "stratum": topics,
            "text": texts,
            "topic": topics,
        }
    )


def mark(frame: pl.DataFrame, *, origin: str = "synthetic") -> pl.DataFrame:
    """Return the frame with an origin column."""
    return frame.with_columns(origin=pl.lit(origin))


def seeds_of(train: pl.DataFrame, sealed: pl.DataFrame) -> pl.DataFrame:
    """Return seeds with a split column."""
    return pl.concat([train.with_columns(split=pl.lit("train")), sealed.with_columns(split=pl.lit("sealed"))])


def find(report: Report, metric: str, field: str | None = None, stratum: str = "") -> dict[str, Any]:
    """Return the one metric row of that name."""
    rows = report.metrics.filter(pl.col("metric") == metric, pl.col("stratum") == stratum)
    if field is not None:
        rows = rows.filter(pl.col("field") == field)
    return rows.row(0, named=True)
