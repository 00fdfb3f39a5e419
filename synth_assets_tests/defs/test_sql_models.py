"""SQL models as Dagster assets and checks, materialized for real over a small lake."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from synth_assets.defs.partitions import DATASET_ROUNDS, DATASETS, round_key
from synth_assets.defs.resources import OWNERS, Platform
from synth_assets.defs.sql_models import build_sql_models
from synth_assets.errors import SpecError
from synth_assets.monitoring.sql_models import LAKE_SCHEMAS, asset_of
from synth_assets.store import Lake, open_sql
from synth_assets_tests.builders import text_spec
from synth_assets_tests.paths import PROJECT
from synth_assets_tests.projects import Runner as ProjectRunner
from synth_assets_tests.sql_lake import build_lake

SHIPPED = PROJECT / "dbt_like_sql"
ROUND_MODELS = ["funnel", "lineage", "mix_ledger", "rejections"]
DATASET_MODELS = ["cost_ledger", "generator_ledger", "review_ledger", "round_trends"]

Models = tuple[list[dg.AssetsDefinition], list[dg.AssetChecksDefinition]]


@contextmanager
def warnings_as_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        for category in (DeprecationWarning, dg.PreviewWarning, dg.BetaWarning, dg.SupersessionWarning):
            warnings.simplefilter("error", category)
        yield


@pytest.fixture(scope="module")
def models() -> Models:
    return build_sql_models(SHIPPED)


@dataclass
class Runner:
    """A project folder, an instance, and the models over both."""

    root: Path
    instance: dg.DagsterInstance
    models: Models

    @property
    def lake(self) -> Lake:
        return Lake(self.root / "data" / "lake")

    def run(self, names: list[str], round_: str | None = None, **options: object) -> dg.ExecuteInProcessResult:
        """Materialize models of the data set support, or of one round of it, with their checks."""
        assets, checks = self.models
        return dg.materialize(
            [*assets, *checks],
            selection=options.pop("selection", dg.AssetSelection.assets(*names)),
            partition_key="support" if round_ is None else round_key("support", round_),
            instance=self.instance,
            resources={"platform": Platform(root=str(self.root))},
            **options,
        )


@pytest.fixture
def runner(tmp_path: Path, models: Models) -> Iterator[Runner]:
    folder = tmp_path / "project" / "data" / "seeds" / "support"
    folder.mkdir(parents=True)
    spec = text_spec(name="support", cost={"per_reviewer_hour": 60.0}).model_dump(mode="json", exclude_defaults=True)
    (folder / "dataset.yaml").write_text(json.dumps(spec))
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("dataset", ["support"])
        instance.add_dynamic_partitions("round", ["r000", "r001"])
        yield Runner(tmp_path / "project", instance, models)


def evaluations(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    return {(e.asset_key.to_user_string(), e.check_name): e for e in result.get_asset_check_evaluations()}


def materialized(result: dg.ExecuteInProcessResult) -> list[str]:
    return [event.asset_key.to_user_string() for event in result.get_asset_materialization_events()]


def spec_of(models: Models, name: str) -> dg.AssetSpec:
    return next(asset.get_asset_spec() for asset in models[0] if asset.key == dg.AssetKey(name))


def test_every_file_is_an_asset_with_its_description_and_grain(models: Models) -> None:
    assert sorted(asset.key.to_user_string() for asset in models[0]) == sorted(ROUND_MODELS + DATASET_MODELS)
    for names, partitions in ((ROUND_MODELS, DATASET_ROUNDS), (DATASET_MODELS, DATASETS)):
        for name in names:
            spec = spec_of(models, name)
            assert spec.partitions_def == partitions
            assert (spec.group_name, spec.owners) == ("sql", OWNERS)
            assert spec.kinds == {"sql", "duckdb"}
            assert spec.description
            assert spec.code_version


def test_dependencies_are_the_assets_and_models_that_the_sql_reads(models: Models) -> None:
    def deps(name: str) -> set[str]:
        return {dep.asset_key.to_user_string() for dep in spec_of(models, name).deps}

    assert deps("cost_ledger") == {"generator_ledger", "review_ledger"}
    assert deps("lineage") == {"filtered", "corpus", "verdicts", "review_outcome"}
    assert deps("round_trends") == {"trends"}


def test_the_definition_shows_the_sql_and_the_columns(models: Models) -> None:
    metadata = spec_of(models, "mix_ledger").metadata
    assert metadata["sql"].value.startswith("```sql\nWITH\nmixed AS (")
    columns = {column.name: column for column in metadata["dagster/column_schema"].columns}
    stratum = columns["stratum"]
    assert (stratum.type, stratum.constraints.unique, stratum.constraints.nullable) == ("VARCHAR", True, False)
    assert columns["planned"].description == "Accepted synthetic rows that this round's plan asked for."


def test_checks_carry_the_partitions_and_block_by_severity(models: Models) -> None:
    specs = {(spec.asset_key.to_user_string(), spec.name): spec for check in models[1] for spec in check.check_specs}
    for (asset, _), spec in specs.items():
        assert spec.partitions_def == spec_of(models, asset).partitions_def
        assert spec.description
    assert specs["funnel", "rows_are_conserved"].blocking
    assert not specs["cost_ledger", "cheaper_than_people"].blocking


def test_definitions_load_beside_partitioned_upstream_assets(models: Models) -> None:
    upstream = [
        dg.AssetSpec(name, partitions_def=DATASET_ROUNDS if "round" in columns else DATASETS)
        for name, columns in {asset_of(view): columns for view, columns in LAKE_SCHEMAS.items()}.items()
    ]
    definitions = dg.Definitions(
        assets=[*upstream, *models[0]], asset_checks=models[1], resources={"platform": Platform(root=".")}
    )
    dg.Definitions.validate_loadable(definitions)


def test_building_and_running_uses_nothing_deprecated_beta_or_preview(runner: Runner) -> None:
    build_lake(runner.lake.root)
    with warnings_as_errors():
        runner.models = build_sql_models(SHIPPED)
        assert runner.run(["mix_ledger"], "r000").success


@pytest.mark.parametrize("full", [True, False], ids=["populated", "empty"])
def test_all_models_of_a_round_and_of_a_data_set_run_with_their_checks(runner: Runner, full: bool) -> None:
    if full:
        build_lake(runner.lake.root)
    for names, round_ in ((ROUND_MODELS, "r000"), (ROUND_MODELS, "r001"), (DATASET_MODELS, None)):
        result = runner.run(names, round_)
        assert result.success
        assert sorted(materialized(result)) == names
        failed = {key for key, evaluation in evaluations(result).items() if not evaluation.passed}
        assert failed == ({("round_trends", "nothing_to_act_on_now")} if full and round_ is None else set())
        for name in names:
            assert runner.lake.require(name, "support", round_).read().is_empty() != full


def test_a_materialization_reports_version_rows_columns_lineage_and_first_rows(runner: Runner) -> None:
    build_lake(runner.lake.root)
    result = runner.run(["mix_ledger"], "r000")
    (event,) = result.asset_materializations_for_node("mix_ledger")
    version = runner.lake.require("mix_ledger", "support", "r000")
    assert event.tags["dagster/data_version"] == version.digest
    assert event.metadata["dagster/row_count"].value == version.rows() == 2
    assert "| delivery | 7 | 11 | 18 |" in event.metadata["first_rows"].value
    lineage = event.metadata["dagster/column_lineage"].value.deps_by_column
    assert {(dep.asset_key.to_user_string(), dep.column_name) for dep in lineage["planned"]} == {("plan", "target")}
    described = {column.name: column.description for column in event.metadata["dagster/column_schema"].value.columns}
    assert described["real_rows"] == "Real rows in the corpus."


def test_a_second_run_over_the_same_lake_gives_the_same_version(runner: Runner) -> None:
    build_lake(runner.lake.root)
    digests = []
    for _ in range(2):
        assert runner.run(["funnel"], "r000").success
        digests.append(runner.lake.require("funnel", "support", "r000").digest)
    assert digests[0] == digests[1]


def test_prices_come_from_the_data_set(runner: Runner) -> None:
    build_lake(runner.lake.root)
    assert runner.run(DATASET_MODELS).success
    assert runner.lake.read("cost_ledger", "support")["reviewer_cost"].to_list() == [12.0, 12.0]


def test_a_failed_check_shows_how_many_rows_fail_and_which(runner: Runner) -> None:
    lake = build_lake(runner.lake.root)
    lake.write("filtered", "support", "r000", lake.read("filtered", "support", "r000").tail(-2))
    evaluation = evaluations(runner.run(["funnel"], "r000", raise_on_error=False))["funnel", "nothing_is_unexplained"]
    assert not evaluation.passed
    assert evaluation.severity == dg.AssetCheckSeverity.ERROR
    assert evaluation.metadata["failing_rows"].value == 1
    assert "unexplained" in str(evaluation.metadata["examples"].value)


def test_an_error_keeps_what_reads_the_model_from_running(runner: Runner) -> None:
    lake = build_lake(runner.lake.root)
    version = lake.require("review_outcome", "support", "r000")
    tables = {name: version.read(name) for name in version.manifest["tables"]}
    claimed = tables["rows"].with_columns(automated=pl.lit(True), certified=pl.lit(True))
    lake.write("review_outcome", "support", "r000", {**tables, "rows": claimed})
    result = runner.run(DATASET_MODELS, raise_on_error=False)
    assert not evaluations(result)["review_ledger", "automated_review_certifies_nothing"].passed
    assert "cost_ledger" not in materialized(result)
    assert lake.current("cost_ledger", "support") is None


def test_a_warning_stops_nothing(runner: Runner) -> None:
    build_lake(runner.lake.root)
    result = runner.run(["round_trends"])
    evaluation = evaluations(result)["round_trends", "nothing_to_act_on_now"]
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert result.success


def test_a_part_of_the_checks_can_run(runner: Runner) -> None:
    build_lake(runner.lake.root)
    chosen = dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey("mix_ledger"), "rows_add_up"))
    result = runner.run([], "r000", selection=dg.AssetSelection.assets("mix_ledger").without_checks() | chosen)
    assert list(evaluations(result)) == [("mix_ledger", "rows_add_up")]


def test_a_check_result_belongs_to_its_partition(runner: Runner) -> None:
    build_lake(runner.lake.root)
    runner.run(["mix_ledger"], "r001")
    key = dg.AssetCheckKey(dg.AssetKey("mix_ledger"), "rows_add_up")
    (record,) = runner.instance.event_log_storage.get_asset_check_execution_history(key, limit=5)
    assert record.partition == "support|r001"


def test_a_model_written_by_a_user_joins_the_graph(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "sql").mkdir()
    front = "-- ---\n-- description: Texts by length.\n-- partitioned: dataset_round\n-- ---\n"
    own = "WHERE dataset = $dataset AND round = $round"
    sql = f"SELECT len(text) AS length, count(*) AS n FROM candidates {own} GROUP BY 1"
    (tmp_path / "sql" / "texts.sql").write_text(front + sql)
    build_lake(runner.lake.root)
    runner.models = build_sql_models(tmp_path / "sql")
    (event,) = runner.run(["texts"], "r000").asset_materializations_for_node("texts")
    columns = event.metadata["dagster/column_schema"].value.columns
    assert [(column.name, column.type) for column in columns] == [("length", "Int64"), ("n", "Int64")]


def test_a_round_writes_the_columns_that_models_count_on(released: ProjectRunner) -> None:
    released.run("trends", "mini")
    with open_sql(released.project.lake) as connection:
        for view, promised in LAKE_SCHEMAS.items():
            relation = connection.sql(f'SELECT {", ".join(promised)} FROM "{view}" LIMIT 0')  # fails for a missing one
            written = dict(zip(relation.columns, map(str, relation.types), strict=True))
            connection.register("promised", pl.DataFrame(schema=dict(promised)).to_arrow())
            relation = connection.sql("SELECT * FROM promised")
            expected = dict(zip(relation.columns, map(str, relation.types), strict=True))
            assert written == expected, view


def test_the_ledgers_of_a_released_round_agree_with_its_release(released: ProjectRunner) -> None:
    lake = released.project.lake
    assert released.run("trends", "mini").success
    release = lake.read("release", "mini", "r000", "manifest").row(0, named=True)
    mix = lake.read("mix_ledger", "mini", "r000")
    assert mix["synthetic_rows"].sum() == release["synthetic_rows"]
    assert mix["real_rows"].sum() == release["real_rows"]
    assert lake.read("lineage", "mini", "r000")["in_corpus"].sum() == release["synthetic_rows"]
    assert lake.read("cost_ledger", "mini")["accepted"].to_list() == [release["synthetic_rows"]]
    ends = lake.read("funnel", "mini", "r000").group_by("flow").agg(pl.col("rows_out").last())
    assert ends["rows_out"].sum() == release["rows"]


def test_a_faulty_file_is_told_when_the_definitions_are_built(tmp_path: Path) -> None:
    (tmp_path / "bad.sql").write_text("SELECT 1")
    with pytest.raises(SpecError, match=r"bad\.sql, line 1"):
        build_sql_models(tmp_path)
