"""SQL models as assets: every file of dbt_like_sql/ becomes an asset with its tests as checks.

Here: the shell. Not here: front matter, the safe-SELECT rule, lineage, tests as SQL (monitoring/sql_models).
"""

import warnings
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl

from synth_assets.defs.partitions import DATASET_ROUNDS, DATASETS, split_key
from synth_assets.defs.resources import OWNERS, Platform, commit, to_markdown
from synth_assets.monitoring.sql_models import (
    Column,
    ModelTest,
    Outcome,
    SqlModel,
    asset_of,
    load_models,
    run_model,
    run_tests,
    spec_parameters,
)

GROUP = "sql"
_PARTITIONS = {"dataset": DATASETS, "dataset_round": DATASET_ROUNDS}
_SEVERITIES = {"warn": dg.AssetCheckSeverity.WARN, "error": dg.AssetCheckSeverity.ERROR}
_SHOWN_ROWS = 10


def build_sql_models(folder: Path) -> tuple[list[dg.AssetsDefinition], list[dg.AssetChecksDefinition]]:
    """Return one asset a .sql file under the folder, and one group of checks a file that has tests.

    SpecError names file and line of what is wrong in one of them.
    """
    models = load_models(folder)
    return [_build_asset(model) for model in models], [_build_checks(model) for model in models if model.tests]


def _build_asset(model: SqlModel) -> dg.AssetsDefinition:
    @dg.asset(
        name=model.name,
        description=model.description,
        deps=list(model.assets),
        partitions_def=_PARTITIONS[model.partitioned],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"sql", "duckdb"},
        code_version=model.code_version,
        metadata={"sql": _show_sql(model.sql), "dagster/column_schema": _describe_columns(model)},
    )
    def materialize(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
        dataset, round_ = split_key(context.partition_key)
        settings = spec_parameters(platform.spec(dataset)) if model.needs_spec else None
        frame = run_model(model, platform.lake, dataset, round_, settings)
        return commit(
            context,
            platform,
            model.name,
            frame,
            meta={"code_version": model.code_version},
            metadata={
                "dagster/column_schema": _describe_columns(model, frame),
                "dagster/column_lineage": _describe_lineage(model),
                "first_rows": dg.MetadataValue.md(to_markdown(frame.head(_SHOWN_ROWS))),
            },
        )

    return materialize


def _build_checks(model: SqlModel) -> dg.AssetChecksDefinition:
    with warnings.catch_warnings():
        # checks with partitions are marked as preview; without them a result would not say which partition failed
        warnings.simplefilter("ignore", dg.PreviewWarning)
        specs = [_describe_check(model, test) for test in model.tests]

    @dg.multi_asset_check(name=f"{model.name}_tests", specs=specs, can_subset=True)
    def check(context: dg.AssetCheckExecutionContext, platform: Platform) -> Iterator[dg.AssetCheckResult]:
        dataset, round_ = split_key(context.partition_key)
        chosen = {key.name for key in context.selected_asset_check_keys}
        for outcome in run_tests(model, platform.lake, dataset, round_, only=chosen):
            yield _report(model, outcome)

    return check


def _describe_check(model: SqlModel, test: ModelTest) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        test.name,
        asset=model.name,
        description=test.description,
        blocking=test.severity == "error",
        partitions_def=_PARTITIONS[model.partitioned],
        additional_deps=sorted({asset_of(view) for view in test.reads}),
        metadata={"sql": _show_sql(test.sql)},
    )


def _report(model: SqlModel, outcome: Outcome) -> dg.AssetCheckResult:
    examples = {"examples": dg.MetadataValue.md(to_markdown(outcome.examples))} if outcome.failing else {}
    return dg.AssetCheckResult(
        asset_key=model.name,
        check_name=outcome.test.name,
        passed=outcome.passed,
        severity=_SEVERITIES[outcome.test.severity],
        metadata={"failing_rows": outcome.failing, **examples},
    )


def _describe_columns(model: SqlModel, frame: pl.DataFrame | None = None) -> dg.TableSchema:
    """Return the columns with what the file says of them; a frame adds what was only known when it ran."""
    columns = list(model.columns)
    if frame is not None:
        known = {column.name: column for column in columns}
        columns = [known.get(name) or Column(name, "", "", False, False, ()) for name in frame.columns]
    return dg.TableSchema(
        [
            dg.TableColumn(
                column.name,
                column.type or ("" if frame is None else str(frame.schema[column.name])),
                description=column.description or None,
                constraints=dg.TableColumnConstraints(nullable=not column.not_null, unique=column.unique),
            )
            for column in columns
        ]
    )


def _describe_lineage(model: SqlModel) -> dg.TableColumnLineage:
    """Return the columns each column comes from; a column of any table of an asset counts as a column of the asset."""
    return dg.TableColumnLineage(
        {
            column.name: [
                dg.TableColumnDep(dg.AssetKey(asset), name)
                for asset, name in sorted({(asset_of(view), name) for view, name in column.sources})
            ]
            for column in model.columns
        }
    )


def _show_sql(sql: str) -> dg.MarkdownMetadataValue:
    fence = "````" if "```" in sql else "```"
    return dg.MetadataValue.md(f"{fence}sql\n{sql}\n{fence}")
