"""The quality contract: what "good" means for a data set, as a table that is frozen before any candidate exists.

Here: turning the spec's thresholds into rows. Not here: applying them.
"""

from __future__ import annotations

import polars as pl

from synth_assets.spec import DatasetSpec


def freeze_contract(spec: DatasetSpec) -> pl.DataFrame:
    """Return clause, value, description: one row a setting of quality, mix and review, of verification and judge."""
    rows = [
        {
            "clause": f"{section}.{name}",
            "value": str(getattr(model, name)),
            "description": type(model).model_fields[name].description or "",
        }
        for section, model in (
            ("quality", spec.quality),
            ("verification", spec.verification),
            ("judge", spec.judge),
            ("mix", spec.mix),
            ("review", spec.review),
        )
        if model is not None
        for name in type(model).model_fields
    ]
    return pl.DataFrame(rows).sort("clause")
