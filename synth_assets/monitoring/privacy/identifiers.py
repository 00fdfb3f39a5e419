"""k-anonymity of the quasi-identifiers that dataset.yaml declares.

Here: combinations that few rows share, in the release and among the real rows (Samarati & Sweeney 1998). Not here:
what an attacker infers from them (attacks.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from synth_assets.monitoring.measures import ACT, OK, WATCH, Metric
from synth_assets.monitoring.privacy.compared import Compared, judge_share
from synth_assets.records import SYNTHETIC

MOST_EXAMPLES = 1_000


def measure_identifiers(rows: Compared, released: pl.DataFrame) -> tuple[list[Metric], list[dict[str, Any]]]:
    """Return rare_combination_share, smallest_combination and rare_match_share, and examples; none without a k.

    released: the rows that leave, real ones included (origin), or the synthetic rows alone.

    - rare_combination_share: released rows whose combination fewer than k released rows share; acts where a real row
      is among them, is watched where only synthetic ones are
    - smallest_combination: rows that share the rarest released combination
    - rare_match_share: synthetic rows whose combination is one that at least one and fewer than k train rows have,
      judged beside sealed rows
    """
    names, k = list(rows.spec.liabilities.quasi_identifiers), rows.spec.liabilities.k_anonymity
    if not names or any(name not in frame.columns for name in names for frame in (released, rows.train)):
        return [], []
    label = "+".join(names)
    counted = released.with_columns(holders=pl.len().over(names))
    rare = counted.filter(pl.col("holders") < k)
    real = rare.filter(pl.col("origin") != SYNTHETIC) if "origin" in rare.columns else rare.clear()
    smallest = counted.select(pl.col("holders").min().cast(pl.Float64)).item()
    level = OK if rare.is_empty() else WATCH if real.is_empty() else ACT
    metrics = [
        Metric(
            "rare_combination_share", rare.height / max(released.height, 1), label, threshold=0.0, level=level,
            note=f"combination shared by fewer than {k} released rows; {real.height} of {rare.height} are real",
            n_real=real.height, n_synthetic=rare.height - real.height,
        ),
        Metric("smallest_combination", smallest, label, note=f"k = {k}", n_synthetic=released.height),
    ]  # fmt: skip
    holders = rows.train.group_by(names).agg(pl.len().alias("holders"), pl.col("example_id").first().alias("related"))
    few = holders.filter(pl.col("holders") < k)
    made, sealed = (
        frame.with_row_index("row").join(few, on=names, nulls_equal=True) for frame in (rows.synthetic, rows.sealed)
    )
    marks = [
        np.isin(np.arange(frame.height), hits["row"].to_numpy())
        for frame, hits in ((rows.synthetic, made), (rows.sealed, sealed))
    ]
    note = f"combination of fewer than {k} train rows"
    metrics.append(judge_share(rows, "rare_match_share", label, marks[0], [marks[1]], note))
    examples = pl.concat(
        [
            real.select(
                pl.lit("rare_combination").alias("kind"),
                "example_id",
                pl.lit(None, dtype=pl.String).alias("related_id"),
                pl.col("holders").cast(pl.Float64).alias("value"),
            ),
            made.sort("holders", "example_id").select(
                pl.lit("rare_match").alias("kind"),
                "example_id",
                pl.col("related").alias("related_id"),
                pl.col("holders").cast(pl.Float64).alias("value"),
            ),
        ]
    )
    return metrics, examples.head(MOST_EXAMPLES).to_dicts()
