"""Great Expectations suites generated from the record's schema: one suite for seeds, filtered rows and corpora.

Here: from fields to expectations, and running them on a polars frame. Not here: rules that reject single candidates
(discriminators/rules.py).
"""

from __future__ import annotations

import os
from typing import Any

import polars as pl

from synth_assets.spec import NUMERIC_TYPES, DatasetSpec, FieldSpec

RESULT_SCHEMA = {
    "column": pl.String,
    "expectation": pl.String,
    "success": pl.Boolean,
    "unexpected": pl.Int64,
    "examples": pl.String,
}


def run_expectations(frame: pl.DataFrame, spec: DatasetSpec) -> pl.DataFrame:
    """Check a frame's record columns; return column, expectation, success, unexpected (count), examples.

    Great Expectations has no polars back end, so the record columns go through pandas; importing it takes seconds.
    """
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "False")  # read at import: no usage reports from here
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    fields = [field for field in spec.fields if field.name in frame.columns and field.type != "messages"]
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    batch = (
        context.data_sources.add_pandas("frame")
        .add_dataframe_asset("rows")
        .add_batch_definition_whole_dataframe("all")
        .get_batch({"dataframe": frame.select("example_id", *(field.name for field in fields)).to_pandas()})
    )
    suite = gx.ExpectationSuite(name=spec.name, expectations=build_expectations(fields))
    outcome = batch.validate(suite)
    rows = [_describe(result) for result in outcome.results]
    return pl.DataFrame(rows, schema=RESULT_SCHEMA).sort("column", "expectation")


def failed_expectations(results: pl.DataFrame) -> pl.DataFrame:
    """Return the results that did not hold."""
    return results.filter(~pl.col("success"))


def build_expectations(fields: list[FieldSpec]) -> list[Any]:
    """Return the expectations of a record: ids unique, required values present, values, bounds and lengths kept."""
    import great_expectations.expectations as gxe

    built: list[Any] = [
        gxe.ExpectColumnValuesToBeUnique(column="example_id"),
        gxe.ExpectColumnValuesToNotBeNull(column="example_id"),
    ]
    for field in fields:
        if not field.nullable:
            built.append(gxe.ExpectColumnValuesToNotBeNull(column=field.name))
        if field.values is not None:
            built.append(gxe.ExpectColumnValuesToBeInSet(column=field.name, value_set=list(field.values)))
        if field.type in NUMERIC_TYPES and (field.minimum is not None or field.maximum is not None):
            built.append(
                gxe.ExpectColumnValuesToBeBetween(column=field.name, min_value=field.minimum, max_value=field.maximum)
            )
        if field.type in ("text", "code"):
            built.append(
                gxe.ExpectColumnValueLengthsToBeBetween(
                    column=field.name, min_value=0 if field.nullable else field.min_length, max_value=field.max_length
                )
            )
    return built


def _describe(result: Any) -> dict[str, Any]:
    config, details = result.expectation_config, result.result or {}
    return {
        "column": config.kwargs["column"],
        "expectation": config.type,
        "success": bool(result.success),
        "unexpected": int(details.get("unexpected_count") or 0),
        "examples": ", ".join(str(value)[:60] for value in (details.get("partial_unexpected_list") or [])[:3]),
    }
