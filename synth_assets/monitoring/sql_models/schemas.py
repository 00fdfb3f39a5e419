"""The tables a SQL model may read, with their columns, and the parameters it may take.

Here: view → columns for every lake view that models can count on. Not here: the views themselves (store.open_sql).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import polars as pl

from synth_assets.discriminators.protocol import VERDICT_SCHEMA
from synth_assets.monitoring.measures import METRIC_SCHEMA
from synth_assets.monitoring.trends import TREND_SCHEMA
from synth_assets.records import IDENTITY_COLUMNS, LINEAGE_COLUMNS, RELEASE_COLUMNS
from synth_assets.review.fixes import FIX_COLUMNS
from synth_assets.review.sampling import SAMPLE_COLUMNS
from synth_assets.spec import DatasetSpec

Schema = Mapping[str, pl.DataType]

DATASET_COLUMNS: Schema = {"dataset": pl.String()}
ROUND_COLUMNS: Schema = {"dataset": pl.String(), "round": pl.String()}

LAKE_SCHEMAS: Mapping[str, Schema] = MappingProxyType(
    {
        "raw_seeds": {
            **IDENTITY_COLUMNS,
            "occurrence": pl.Int64(),
            "source_file": pl.String(),
            "source_line": pl.Int64(),
            "license": pl.String(),
            "consent": pl.String(),
            "is_private": pl.Boolean(),
            **DATASET_COLUMNS,
        },
        "raw_seeds__rejected": {
            "source_file": pl.String(),
            "source_line": pl.Int64(),
            "reason": pl.String(),
            "detail": pl.String(),
            "raw": pl.String(),
            **DATASET_COLUMNS,
        },
        "liability_audit": {
            "example_id": pl.String(),
            "disposition": pl.String(),
            "reason": pl.String(),
            "license": pl.String(),
            "consent": pl.String(),
            **DATASET_COLUMNS,
        },
        "seeds": {
            **IDENTITY_COLUMNS,
            "occurrence": pl.Int64(),
            "source_file": pl.String(),
            "source_line": pl.Int64(),
            "license": pl.String(),
            "consent": pl.String(),
            "disposition": pl.String(),
            "split": pl.String(),
            "cluster": pl.String(),
            **DATASET_COLUMNS,
        },
        "seeds__rejected": {
            "example_id": pl.String(),
            "reason": pl.String(),
            "related_id": pl.String(),
            "similarity": pl.Float64(),
            **DATASET_COLUMNS,
        },
        "plan": {
            "stratum": pl.String(),
            "real_train": pl.Int64(),
            "releasable": pl.Int64(),
            "accepted_before": pl.Int64(),
            "capacity": pl.Int64(),
            "target": pl.Int64(),
            "weight": pl.Float64(),
            "binding": pl.Boolean(),
            "exemplars": pl.List(pl.String()),
            **ROUND_COLUMNS,
        },
        "candidates": {**IDENTITY_COLUMNS, **LINEAGE_COLUMNS, **ROUND_COLUMNS},
        "candidates__usage": {
            "wave": pl.Int64(),
            "requests": pl.Int64(),
            "completions": pl.Int64(),
            "accepted": pl.Int64(),
            "prompt_tokens": pl.Int64(),
            "output_tokens": pl.Int64(),
            "seconds": pl.Float64(),
            "generator_id": pl.String(),
            **ROUND_COLUMNS,
        },
        "verdicts": {**VERDICT_SCHEMA, **ROUND_COLUMNS},
        "filtered": {
            **IDENTITY_COLUMNS,
            **LINEAGE_COLUMNS,
            "state": pl.String(),
            "quality": pl.Float64(),
            **ROUND_COLUMNS,
        },
        "review_sample": {**SAMPLE_COLUMNS, **ROUND_COLUMNS},
        "review_outcome": {
            "decision": pl.String(),
            "n_planned": pl.Int64(),
            "n_reviewed": pl.Int64(),
            "n_open": pl.Int64(),
            "defects": pl.Int64(),
            "defect_rate": pl.Float64(),
            "bound_low": pl.Float64(),
            "bound_high": pl.Float64(),
            "certified": pl.Boolean(),
            "automated": pl.Boolean(),
            "agreement": pl.Float64(),
            "reviewer_minutes": pl.Float64(),
            "note": pl.String(),
            **ROUND_COLUMNS,
        },
        "review_outcome__decisions": {
            "example_id": pl.String(),
            "reviewer": pl.String(),
            "reviewer_kind": pl.String(),
            "decision": pl.String(),
            **ROUND_COLUMNS,
        },
        "review_outcome__resolutions": {"example_id": pl.String(), "resolution": pl.String(), **ROUND_COLUMNS},
        "review_outcome__edits": {**FIX_COLUMNS, **ROUND_COLUMNS},
        "review_outcome__edited": {
            **IDENTITY_COLUMNS,
            **LINEAGE_COLUMNS,
            "quality": pl.Float64(),
            **ROUND_COLUMNS,
        },
        "review_outcome__edited_verdicts": {**VERDICT_SCHEMA, **ROUND_COLUMNS},
        "corpus": {**RELEASE_COLUMNS, **ROUND_COLUMNS},
        "shift_report__metrics": {**METRIC_SCHEMA, **ROUND_COLUMNS},
        "collapse_report__metrics": {**METRIC_SCHEMA, **ROUND_COLUMNS},
        "privacy_report__metrics": {**METRIC_SCHEMA, **ROUND_COLUMNS},
        "student_report__metrics": {**METRIC_SCHEMA, **ROUND_COLUMNS},
        "trends": {**TREND_SCHEMA, **DATASET_COLUMNS},
        "release__manifest": {
            "version": pl.String(),
            "rows": pl.Int64(),
            "real_rows": pl.Int64(),
            "synthetic_rows": pl.Int64(),
            "share": pl.Float64(),
            "digest": pl.String(),
            "manifest_sha256": pl.String(),
            **ROUND_COLUMNS,
        },
        "sealed_score__metrics": {**METRIC_SCHEMA, **ROUND_COLUMNS},
        "sealed_score__look": {"version": pl.String(), "look": pl.Int64(), **ROUND_COLUMNS},
    }
)
"""View → columns that a query may count on, before its asset has any partition. What an asset holds beyond them
(the record's own fields) can be read too; whether it exists is known when the model runs."""

RECORD_VIEWS = frozenset({"raw_seeds", "seeds", "candidates", "filtered", "review_outcome__edited", "corpus"})
"""Views that also hold the record's own fields, which differ by data set."""

SPEC_PARAMETERS: Mapping[str, object] = MappingProxyType(
    {
        "per_million_tokens": 1.0,
        "per_engine_hour": 1.0,
        "per_reviewer_hour": 1.0,
        "baseline_minutes_per_example": 1.0,
        "currency": "USD",
        "minutes_per_item": 1.0,
    }
)
"""Parameters that come from dataset.yaml (cost, review), with a value of their type."""


def asset_of(view: str) -> str:
    """Return the asset of a view: `candidates` for `candidates__usage`."""
    return view.partition("__")[0]


def spec_parameters(spec: DatasetSpec) -> dict[str, object]:
    """Return the parameters that a query may take from dataset.yaml: prices, the human baseline, minutes an item."""
    return {
        "per_million_tokens": spec.cost.per_million_tokens,
        "per_engine_hour": spec.cost.per_engine_hour,
        "per_reviewer_hour": spec.cost.per_reviewer_hour,
        "baseline_minutes_per_example": spec.cost.baseline_minutes_per_example,
        "currency": spec.cost.currency,
        "minutes_per_item": spec.review.minutes_per_item,
    }
