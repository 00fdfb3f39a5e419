"""SQL models without Dagster: front matter, the one-safe-SELECT rule, dependencies, tests as SQL, the shipped files."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import duckdb
import polars as pl
import pytest

from synth_assets.errors import SpecError, StoreError
from synth_assets.monitoring.sql_models import (
    SqlModel,
    check_select,
    load_models,
    run_model,
    run_tests,
    spec_parameters,
)
from synth_assets.monitoring.sql_models.sandbox import open_views
from synth_assets.monitoring.sql_models.schemas import LAKE_SCHEMAS
from synth_assets.monitoring.trends import TREND_SCHEMA
from synth_assets.store import Lake, digest_tables
from synth_assets_tests.builders import text_spec
from synth_assets_tests.paths import PROJECT
from synth_assets_tests.sql_lake import build_lake, example_ids, make_candidates, make_corpus, write_review

SHIPPED = PROJECT / "dbt_like_sql"
PLAIN = "SELECT stratum, target FROM plan WHERE dataset = $dataset AND round = $round"
FRONT = "description: Targets.\npartitioned: dataset_round"


@pytest.fixture(scope="module")
def shipped() -> dict[str, SqlModel]:
    return {model.name: model for model in load_models(SHIPPED)}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return build_lake(tmp_path_factory.mktemp("lake") / "lake")


@pytest.fixture
def own_lake(tmp_path: Path) -> Lake:
    return build_lake(tmp_path / "lake")


def write_model(folder: Path, name: str = "targets", *, front: str = FRONT, sql: str = PLAIN) -> Path:
    path = folder / f"{name}.sql"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"/*\n---\n{front}\n---\n*/\n{sql}\n", encoding="utf-8")
    return path


def load_one(folder: Path, **parts: str) -> SqlModel:
    write_model(folder, **parts)
    return load_models(folder)[0]


def materialize(model: SqlModel, lake: Lake, dataset: str, round_: str | None) -> pl.DataFrame:
    settings = spec_parameters(text_spec()) if model.needs_spec else None
    frame = run_model(model, lake, dataset, round_, settings)
    lake.write(model.name, dataset, round_, frame)
    return frame


def failing_tests(model: SqlModel, lake: Lake, dataset: str, round_: str | None) -> dict[str, int]:
    outcomes = run_tests(model, lake, dataset, round_)
    return {outcome.test.name: outcome.failing for outcome in outcomes if not outcome.passed}


# ---- front matter


def test_a_file_tells_description_grain_columns_and_tests(tmp_path: Path) -> None:
    front = f"{FRONT}\ncolumns:\n  stratum: {{description: Values., tests: [unique, not_null]}}"
    model = load_one(tmp_path, front=front)
    assert (model.name, model.description, model.partitioned) == ("targets", "Targets.", "dataset_round")
    assert [test.name for test in model.tests] == ["unique_stratum", "not_null_stratum"]
    stratum, target = model.columns
    assert (stratum.type, stratum.description, stratum.unique, stratum.not_null) == ("VARCHAR", "Values.", True, True)
    assert (target.type, target.description, target.unique, target.not_null) == ("BIGINT", "", False, False)


def test_front_matter_may_stand_in_line_comments(tmp_path: Path) -> None:
    lines = "".join(f"-- {line}\n" for line in f"---\n{FRONT}\n---".splitlines())
    (tmp_path / "targets.sql").write_text(f"\n{lines}{PLAIN}\n")
    model = load_models(tmp_path)[0]
    assert model.sql == PLAIN
    assert model.description == "Targets."


def test_the_query_is_kept_word_for_word_and_makes_the_code_version(tmp_path: Path) -> None:
    before = load_one(tmp_path / "a")
    redescribed = load_one(tmp_path / "b", front=FRONT.replace("Targets", "Goals"))
    changed = load_one(tmp_path / "c", sql=PLAIN.replace("target", "weight"))
    assert before.sql == PLAIN
    assert before.code_version == redescribed.code_version != changed.code_version


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PLAIN, "line 1: a file starts with a comment that holds its front matter"),
        (f"/* about */\n{PLAIN}", "found 0 such lines"),
        (f"/*\n---\n{FRONT}\n{PLAIN}", "line 1: the comment is never closed"),
        (f"/*\n---\n{FRONT}\n*/\n{PLAIN}", "found 1 such lines"),
        (f"/*\n---\n{FRONT}\n---\n*/\n", "no query below the front matter"),
        (
            f"/*\n---\n- a list\n---\n*/\n{PLAIN}",
            "line 3: the front matter must be a mapping: description, partitioned",
        ),
        (f"/*\n---\n---\n*/\n{PLAIN}", "the front matter must be a mapping"),
        ("", "found 0 such lines"),
    ],
)
def test_a_file_without_good_front_matter_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "targets.sql").write_text(text)
    with pytest.raises(SpecError, match=f"targets.sql.*{message}"):
        load_models(tmp_path)


@pytest.mark.parametrize(
    ("front", "message"),
    [
        ("partitioned: dataset", r"line 3: description: is missing"),
        ("description: x", r"line 3: partitioned: is missing"),
        ("description: x\npartitioned: round", r"line 4: partitioned: Input should be 'dataset' or 'dataset_round'"),
        (f"{FRONT}\nowner: me", r"line 5: owner: unknown; allowed here: description, partitioned, severity"),
        (f"{FRONT}\nseverity: fatal", r"line 5: severity: Input should be 'warn' or 'error'"),
        (f"{FRONT}\ndescription: twice", r"line 5: .*key 'description' stands twice"),
        (f"{FRONT}\na: &x [1]\nb: *x", r"line 6: .*aliases"),
        (f"{FRONT}\n\tcolumns: x", r"line 5: the front matter is not valid YAML"),
        (f"{FRONT}\ncolumns:\n  stratum: {{tests: []}}", r"line 6: columns.stratum.description: is missing"),
        (f"{FRONT}\ncolumns:\n  stratum:\n    description: x\n    type: text", r"line 8: .*type: unknown; allowed"),
        (f"{FRONT}\ncolumns:\n  stratum: {{description: x, tests: [uniqe]}}", r"line 6: .*uniqe: unknown; .*unique"),
        (
            f"{FRONT}\ncolumns:\n  stratum: {{description: x, tests: [{{unique: true, not_null: true}}]}}",
            "line 6: .*one test an item is expected",
        ),
        (f"{FRONT}\ncolumns:\n  stratum: {{description: x, tests: [{{accepted_values: []}}]}}", "line 6: .*at least 1"),
        (
            f"{FRONT}\ncolumns:\n  stratum: {{description: x, tests: [{{relationships: {{to: plan, key: a}}}}]}}",
            "line 6: .*key: unknown; allowed here: to, field",
        ),
        (f"{FRONT}\ncolumns:\n  'a; DROP TABLE plan': {{description: x}}", "line 6: .*should match pattern"),
        (f"{FRONT}\ncolumns:\n  gone: {{description: x}}", "line 6: columns.gone: the query returns no such column"),
        (f"{FRONT}\ntests:\n  - {{expression: target > }}", "line 6: 'target >' is no SQL condition"),
        (f"{FRONT}\ntests:\n  - {{expression: gone > 0}}", "line 6: test expression_1: .*gone"),
        (f"{FRONT}\ntests:\n  - {{expression: target > $round_number}}", "line 6: unknown parameter"),
        (
            f"{FRONT}\ntests:\n  - {{expression: \"target IN (SELECT i FROM read_csv('x'))\"}}",
            r"line 6: .*table function read_csv\(\) is not allowed",
        ),
        (f"{FRONT}\ntests:\n  - {{expression: 'true); DROP VIEW plan; SELECT (true'}}", "line 6: .*one SELECT"),
        (f"{FRONT}\ntests:\n  - {{name: a, expression: 'true'}}\n  - {{name: a, expression: 'true'}}", "two tests are"),
    ],
)
def test_a_fault_in_the_front_matter_is_told_by_file_and_line(tmp_path: Path, front: str, message: str) -> None:
    write_model(tmp_path, front=front)
    with pytest.raises(SpecError, match=f"targets.sql, {message}" if message.startswith("line") else message):
        load_models(tmp_path)


def test_all_faults_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    write_model(tmp_path, front="partitioned: week\nowner: me")
    with pytest.raises(SpecError) as caught:
        load_models(tmp_path)
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Targets", "is no model name"),
        ("a__b", "is no model name"),
        ("1st", "is no model name"),
        ("candidates", "'candidates' is an asset of the platform"),
    ],
)
def test_a_file_name_must_be_a_free_plain_name(tmp_path: Path, name: str, message: str) -> None:
    write_model(tmp_path, name)
    with pytest.raises(SpecError, match=message):
        load_models(tmp_path)


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "x")
    write_model(tmp_path / "y")
    with pytest.raises(SpecError, match=r"stands in .*x/targets\.sql too"):
        load_models(tmp_path)


def test_subfolders_count_and_hidden_ones_do_not(tmp_path: Path) -> None:
    write_model(tmp_path / "finance", "one")
    write_model(tmp_path / ".ipynb_checkpoints", "two")
    assert [model.name for model in load_models(tmp_path)] == ["one"]


def test_a_missing_folder_and_a_file_in_another_encoding_are_told(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="there is no such folder"):
        load_models(tmp_path / "nowhere")
    (tmp_path / "targets.sql").write_bytes(b"/*\n---\ndescription: caf\xe9\n---\n*/")
    with pytest.raises(SpecError, match="not UTF-8 at byte 23"):
        load_models(tmp_path)


# ---- the one-safe-SELECT rule

READERS = [
    ("SELECT * FROM read_csv('/etc/passwd')", r"table function read_csv\(\) is not allowed"),
    ("SELECT * FROM read_text('/etc/passwd')", r"table function read_text\(\)"),
    ("SELECT * FROM read_parquet('/etc/x.parquet')", r"table function read_parquet\(\)"),
    ("SELECT * FROM glob('/etc/*')", r"table function glob\(\)"),
    ("SELECT * FROM sniff_csv('/etc/passwd')", r"table function sniff_csv\(\)"),
    ("SELECT * FROM read_csv('https://example.com/x.csv')", r"table function read_csv\(\)"),
    ("SELECT (SELECT max(column0) FROM read_csv('/etc/passwd')) AS x", r"table function read_csv\(\)"),
    ("FROM plan SELECT stratum WHERE stratum IN (FROM read_text('/etc/passwd') SELECT content)", "read_text"),
    ("COPY (SELECT 1) TO '/tmp/x.csv'", "one SELECT is expected"),
    ("COPY plan FROM '/etc/passwd'", "one SELECT is expected"),
    ("ATTACH '/tmp/x.duckdb'", "one SELECT is expected"),
    ("INSTALL httpfs", "one SELECT is expected"),
    ("LOAD httpfs", "one SELECT is expected"),
    ("EXPORT DATABASE '/tmp/x'", "one SELECT is expected"),
]
OTHERS = [
    ("SET enable_external_access = true", "one SELECT is expected"),
    ("PRAGMA database_list", "one SELECT is expected|not allowed"),
    ("CREATE TABLE x AS SELECT 1", "one SELECT is expected"),
    ("DROP VIEW plan", "one SELECT is expected"),
    ("SELECT 1; SELECT 2", "found 2 statements"),
    ("WITH x AS (INSERT INTO plan VALUES (1) RETURNING *) SELECT * FROM x", "INSERT_QUERY is not allowed"),
    ("SELECT * FROM (DESCRIBE plan)", "SHOW is not allowed"),
    ("SELECT * FROM information_schema.tables", "'information_schema.tables' is a qualified name"),
    ("SELECT * FROM memory.main.plan", "'memory.main.plan' is a qualified name"),
    ("SELECT * FROM duckdb_secrets()", "duckdb_secrets"),
    ("SELECT * FROM query('SELECT 1')", r"table function query\(\)"),
    ("SELECT * FROM query_table('plan')", "query_table"),
    ("SELECT * FROM plan TABLESAMPLE 10%", "a sample gives other rows each time"),
    ("SELECT * FROM plan USING SAMPLE 5", "a sample gives other rows each time"),
    ("SELECT now() AS x FROM plan", "now gives another value each time"),
    ("SELECT current_date AS x FROM plan", "current_date gives another value"),
    ("SELECT ago(INTERVAL 1 DAY) AS x FROM plan", "ago gives another value"),
    ("SELECT random() AS x FROM plan", "random gives another value"),
    ("SELECT uuid() AS x FROM plan", "uuid gives another value"),
    ("SELECT current_setting('secret_directory') AS x FROM plan", "current_setting gives another value"),
]


@pytest.mark.parametrize(("sql", "message"), [*READERS, *OTHERS])
def test_what_is_not_one_select_over_the_lake_is_refused_when_a_model_is_read(
    tmp_path: Path, sql: str, message: str
) -> None:
    write_model(tmp_path, sql=sql)
    with pytest.raises(SpecError, match=rf"targets\.sql.*({message})"):
        load_models(tmp_path)


@pytest.mark.parametrize(("sql", "message"), READERS)
def test_what_reads_files_is_refused_when_a_model_runs(
    shipped: dict[str, SqlModel], lake: Lake, sql: str, message: str
) -> None:
    tampered = dataclasses.replace(shipped["mix_ledger"], sql=sql, parameters=frozenset())
    with pytest.raises(SpecError, match=message):
        run_model(tampered, lake, "support", "r000")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "SELECT * FROM read_csv('https://example.com/x.csv')",
        "COPY (SELECT 1) TO '/tmp/x.csv'",
        "ATTACH '/tmp/x.duckdb'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "EXPORT DATABASE '/tmp/x'",
        "CREATE PERSISTENT SECRET s (TYPE s3)",
    ],
)
def test_the_database_itself_reaches_nothing_outside_the_lake(lake: Lake, sql: str) -> None:
    with open_views(lake, LAKE_SCHEMAS) as connection, pytest.raises(duckdb.PermissionException):
        connection.execute(sql).fetchall()


@pytest.mark.parametrize(
    "path", ["{root}/../secret.csv", "{root}_private/secret.csv", "{root}/../lake_private/secret.csv"]
)
def test_neighbors_of_the_lake_are_out_of_reach(tmp_path: Path, path: str) -> None:
    root = tmp_path / "lake"
    for folder in (tmp_path, tmp_path / "lake_private"):
        folder.mkdir(exist_ok=True)
        (folder / "secret.csv").write_text("a\n1\n")
    with open_views(Lake(root), LAKE_SCHEMAS) as connection, pytest.raises(duckdb.PermissionException):
        connection.execute(f"SELECT * FROM read_csv('{path.format(root=root)}')").fetchall()


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT 1 FROM plan\0; COPY plan TO 'x'", "NUL character"),
        (f"SELECT {'+'.join(['target'] * 900)} AS n FROM plan", "nested too deeply"),
        (f"SELECT {'+'.join(['target'] * 5000)} AS n FROM plan", "depth limit"),
    ],
)
def test_sql_that_would_break_the_parser_is_refused(sql: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        check_select(sql)


def test_a_path_in_the_place_of_a_table_is_no_table(tmp_path: Path, shipped: dict[str, SqlModel], lake: Lake) -> None:
    sql = "SELECT * FROM '/etc/passwd' WHERE $dataset = $dataset AND $round = $round"
    write_model(tmp_path, sql=sql)
    with pytest.raises(SpecError, match="no table '/etc/passwd' in the lake"):
        load_models(tmp_path)
    tampered = dataclasses.replace(shipped["mix_ledger"], sql=sql)
    with pytest.raises(SpecError, match="/etc/passwd does not exist"):
        run_model(tampered, lake, "support", "r000")


def test_a_variable_of_the_program_is_no_table(lake: Lake) -> None:
    frame = pl.DataFrame({"a": [1]})
    assert not frame.is_empty()
    with open_views(lake, LAKE_SCHEMAS) as connection, pytest.raises(duckdb.CatalogException):
        connection.execute("SELECT * FROM frame").fetchall()


@pytest.mark.parametrize("setting", ["enable_external_access = true", "threads = 8", "allowed_directories = ['/']"])
def test_the_database_cannot_be_unlocked(lake: Lake, setting: str) -> None:
    with open_views(lake, LAKE_SCHEMAS) as connection, pytest.raises(duckdb.Error, match="locked"):
        connection.execute(f"SET {setting}")


def test_a_file_of_the_lake_cannot_be_overwritten(shipped: dict[str, SqlModel], own_lake: Lake) -> None:
    file = own_lake.files("plan")[0]
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    sql = f"COPY (SELECT 1 AS x) TO '{file}' (FORMAT parquet, USE_TMP_FILE false)"
    with pytest.raises(SpecError, match="one SELECT is expected"):
        run_model(dataclasses.replace(shipped["mix_ledger"], sql=sql), own_lake, "support", "r000")
    assert hashlib.sha256(file.read_bytes()).hexdigest() == before


@pytest.mark.parametrize(
    "sql",
    [
        "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT i FROM n",
        "SELECT * EXCLUDE (weight) REPLACE (target * 2 AS target) FROM plan",
        "SELECT stratum, x FROM plan, unnest([1, 2]) AS u(x), range(3) AS r(i)",
        "SELECT list_transform([1], lambda x: x + 1) AS l, {'a': 1}.a AS a, [y FOR y IN [1] IF y > 0] AS m FROM plan",
        "SELECT stratum, sum(target) FILTER (WHERE target > 1) AS n FROM plan GROUP BY CUBE (stratum) HAVING n > 0",
        "SELECT DISTINCT ON (stratum) * FROM plan ORDER BY target DESC NULLS LAST LIMIT 3",
        "SELECT a.* FROM plan a ASOF JOIN plan b ON a.target >= b.target UNION BY NAME SELECT * FROM plan",
        "SELECT CAST(target AS DECIMAL(9, 2)) AS d, stratum::ENUM ('a', 'b') AS e FROM plan",
        "SELECT rank() OVER w AS r FROM plan WINDOW w AS (ORDER BY target) QUALIFY r = 1",
    ],
)
def test_plain_analytical_sql_is_allowed(sql: str) -> None:
    assert check_select(sql).tables <= {"plan", "n"}


def test_a_fault_in_the_sql_is_told_by_line(tmp_path: Path) -> None:
    sql = "SELECT stratum,\n  FROM FROM plan\nWHERE dataset = $dataset AND round = $round"
    path = write_model(tmp_path, sql=sql)
    line = path.read_text().splitlines().index("  FROM FROM plan") + 1
    with pytest.raises(SpecError, match=rf"targets.sql, line {line}: syntax error"):
        load_models(tmp_path)


def test_jinja_is_told_apart_from_other_syntax_errors(tmp_path: Path) -> None:
    write_model(tmp_path, sql="SELECT * FROM {{ ref('plan') }} WHERE dataset = $dataset AND round = $round")
    with pytest.raises(SpecError, match="Jinja is not used here"):
        load_models(tmp_path)


# ---- tables, parameters, columns


def test_common_table_expressions_are_no_dependencies(tmp_path: Path) -> None:
    sql = f"""WITH seeds_by_stratum AS (SELECT stratum, count(*) AS n FROM seeds WHERE dataset = $dataset GROUP BY 1),
        plan AS ({PLAIN})
        SELECT stratum, n, target FROM plan JOIN seeds_by_stratum USING (stratum)"""
    assert load_one(tmp_path, sql=sql).assets == ("plan", "seeds")


def test_a_table_of_an_asset_makes_a_dependency_on_the_asset(shipped: dict[str, SqlModel]) -> None:
    assert "candidates__usage" in shipped["generator_ledger"].reads
    assert shipped["generator_ledger"].assets == ("candidates", "corpus", "filtered")


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        (
            "SELECT * FROM plam WHERE dataset = $dataset AND round = $round",
            "no table 'plam' in the lake; did you mean plan",
        ),
        ("SELECT * FROM targets WHERE dataset = $dataset AND round = $round", "the model reads itself"),
        ("SELECT $dataset AS a, $round AS b", "reads no view of the lake"),
        ("SELECT stratum FROM plan WHERE dataset = $dataset", r"reads its own partition: .*round = \$round"),
        (f"{PLAIN} AND target > $limit", r"unknown parameter \$limit; there are \$dataset, \$round, \$per_million"),
        (f"{PLAIN} AND target > ?", "unknown parameter|cannot|not supported"),
        (f"{PLAIN} AND targett > 1", 'Referenced column "targett" not found'),
        ("SELECT count(*) FROM plan WHERE dataset = $dataset AND round = $round", "needs a plain name"),
        (
            f"WITH corpus AS (SELECT 1 AS a) SELECT a, target FROM corpus, ({PLAIN}) AS p",
            "give every common table expression a name",
        ),
    ],
)
def test_a_wrong_table_parameter_or_column_is_told(tmp_path: Path, sql: str, message: str) -> None:
    write_model(tmp_path, sql=sql)
    with pytest.raises(SpecError, match=f"targets.sql.*{message}"):
        load_models(tmp_path)


def test_a_model_of_a_data_set_has_no_round(tmp_path: Path) -> None:
    write_model(tmp_path, front=FRONT.replace("dataset_round", "dataset"))
    with pytest.raises(SpecError, match=r"unknown parameter \$round"):
        load_models(tmp_path)


def test_models_come_after_what_they_and_their_tests_read(tmp_path: Path) -> None:
    own = "WHERE dataset = $dataset AND round = $round"
    write_model(tmp_path, "a", sql=f"SELECT stratum FROM b {own}")
    write_model(tmp_path, "b")
    write_model(tmp_path, "c", front=f"{FRONT}\n{column_test('{relationships: {to: d, field: stratum}}')}")
    write_model(tmp_path, "d")
    assert [model.name for model in load_models(tmp_path)] in (["b", "d", "a", "c"], ["b", "a", "d", "c"])


def test_models_that_read_each_other_are_refused(tmp_path: Path) -> None:
    own = "WHERE dataset = $dataset AND round = $round"
    write_model(tmp_path, "a", sql=f"SELECT stratum FROM b {own}")
    write_model(tmp_path, "b", sql=f"SELECT stratum FROM a {own}")
    with pytest.raises(SpecError, match="models read each other in a loop"):
        load_models(tmp_path)


def test_column_lineage_goes_through_expressions_joins_and_unions(shipped: dict[str, SqlModel]) -> None:
    sources = {column.name: column.sources for column in shipped["mix_ledger"].columns}
    assert sources["stratum"] == (("corpus", "stratum"), ("plan", "stratum"), ("seeds", "stratum"))
    assert sources["synthetic_weight_share"] == (("corpus", "origin"), ("corpus", "weight"))
    costs = {column.name: column.sources for column in shipped["cost_ledger"].columns}
    assert costs["engine_cost"] == (("generator_ledger", "output_tokens"), ("generator_ledger", "seconds"))


def test_a_field_of_the_record_may_be_read_and_is_known_when_the_model_runs(tmp_path: Path, lake: Lake) -> None:
    sql = "SELECT text, count(*) AS n FROM candidates WHERE dataset = $dataset AND round = $round GROUP BY text"
    model = load_one(tmp_path, sql=sql, front=f"{FRONT}\ncolumns:\n  text: {{description: The text.}}")
    assert model.schema is None
    assert run_model(model, lake, "table", "r000").height == 6


def test_a_missing_field_of_the_record_is_told_when_the_model_runs(tmp_path: Path, lake: Lake) -> None:
    model = load_one(tmp_path, sql="SELECT mood FROM corpus WHERE dataset = $dataset AND round = $round")
    with pytest.raises(SpecError, match=r"targets.sql: .*mood.*; the query reads corpus"):
        run_model(model, lake, "support", "r000")


def test_sums_come_as_integers(tmp_path: Path, lake: Lake) -> None:
    sql = "SELECT sum(target) AS whole, sum(1.5) AS part FROM plan WHERE dataset = $dataset AND round = $round"
    model = load_one(tmp_path, sql=sql)
    assert run_model(model, lake, "support", "r000").schema == {"whole": pl.Int64, "part": pl.Float64}


def test_a_value_is_a_parameter_and_never_part_of_the_sql(tmp_path: Path, lake: Lake) -> None:
    model = load_one(tmp_path)
    assert run_model(model, lake, "support' OR '1'='1", "r000").is_empty()


def test_prices_must_be_given_to_a_model_that_uses_them(shipped: dict[str, SqlModel], lake: Lake) -> None:
    assert [name for name, model in shipped.items() if model.needs_spec] == ["cost_ledger"]
    with pytest.raises(SpecError, match=r"no value for \$baseline_minutes_per_example"):
        run_model(shipped["cost_ledger"], lake, "support", None)


# ---- tests as SQL


def run_test_on(tmp_path: Path, rows: pl.DataFrame, front: str) -> dict[str, tuple[int, list[dict[str, object]]]]:
    """Load a model with these tests, put rows in the place of its result, return failing count and examples by test."""
    model = load_one(tmp_path / "sql", front=f"{FRONT}\n{front}")
    lake = Lake(tmp_path / "lake")
    lake.write("targets", "support", "r000", rows)
    lake.write("targets", "support", "r001", pl.concat([rows, rows, rows]))
    lake.write("targets", "other", "r000", pl.concat([rows, rows]))
    lake.write("plan", "support", "r000", pl.DataFrame({"stratum": ["a", "b"], "target": [1, 2]}))
    lake.write("plan", "other", "r000", pl.DataFrame({"stratum": ["c"], "target": [3]}))
    outcomes = run_tests(model, lake, "support", "r000")
    return {o.test.name: (o.failing, o.examples.drop("dataset", "round", strict=False).to_dicts()) for o in outcomes}


def column_test(test: str) -> str:
    return f"columns:\n  stratum: {{description: x, tests: [{test}]}}"


ROWS = pl.DataFrame({"stratum": ["a", "b", "b", None, None], "target": [1, 2, 3, 4, 5]})


def test_unique_counts_every_row_of_a_repeated_value_and_no_nulls(tmp_path: Path) -> None:
    found = run_test_on(tmp_path, ROWS, column_test("unique"))
    assert found["unique_stratum"] == (2, [{"stratum": "b", "target": 2}, {"stratum": "b", "target": 3}])


def test_not_null_counts_nulls(tmp_path: Path) -> None:
    assert run_test_on(tmp_path, ROWS, column_test("not_null"))["not_null_stratum"][0] == 2


def test_accepted_values_may_hold_quotes(tmp_path: Path) -> None:
    rows = pl.DataFrame({"stratum": ["it's", "x'); DROP VIEW plan; --", "no"], "target": [1, 2, 3]})
    test = '{accepted_values: ["it\'s", "x\'); DROP VIEW plan; --"]}'
    assert run_test_on(tmp_path, rows, column_test(test))["accepted_values_stratum"] == (
        1,
        [{"stratum": "no", "target": 3}],
    )


def test_relationships_look_at_the_same_data_set_alone(tmp_path: Path) -> None:
    rows = pl.DataFrame({"stratum": ["a", "c", None], "target": [1, 2, 3]})
    found = run_test_on(tmp_path, rows, column_test("{relationships: {to: plan, field: stratum}}"))
    assert found["relationships_stratum_plan_stratum"] == (1, [{"stratum": "c", "target": 2}])


def test_an_expression_holds_for_every_row_and_null_does_not_hold(tmp_path: Path) -> None:
    found = run_test_on(tmp_path, ROWS, "tests:\n  - {name: early, expression: stratum < 'b'}")
    assert found["early"][0] == 4


def test_an_expression_may_use_windows_and_other_tables(tmp_path: Path) -> None:
    found = run_test_on(
        tmp_path,
        ROWS,
        "tests:\n  - expression: target > coalesce(lag(target) OVER (ORDER BY target), 0)\n"
        "  - expression: target IN (SELECT target FROM plan WHERE dataset = $dataset)",
    )
    assert {name: failing for name, (failing, _) in found.items()} == {"expression_1": 0, "expression_2": 3}


def test_an_expression_on_aggregates_shows_both_sides(tmp_path: Path) -> None:
    found = run_test_on(tmp_path, ROWS, "tests:\n  - {name: even, expression: sum(target) = count(*) * 2}")
    assert found["even"] == (1, [{"SUM(target)": 15, "COUNT(*) * 2": 10}])


def test_at_most_five_failing_rows_are_shown(tmp_path: Path) -> None:
    rows = pl.DataFrame({"stratum": ["a"] * 9, "target": list(range(9))})
    failing, shown = run_test_on(tmp_path, rows, "tests:\n  - {name: none, expression: target < 0}")["none"]
    assert (failing, len(shown)) == (9, 5)


def test_tests_of_an_empty_partition_pass(tmp_path: Path) -> None:
    tests = "tests:\n  - {expression: sum(target) = 3}\n  - {expression: target > 0}"
    found = run_test_on(tmp_path, ROWS.clear(), f"{column_test('unique, not_null')}\n{tests}")
    assert {failing for failing, _ in found.values()} == {0}


def test_severity_is_the_model_s_unless_a_test_has_its_own(tmp_path: Path) -> None:
    front = (
        f"{FRONT}\nseverity: warn\n{column_test('unique')}\n"
        "tests:\n  - {name: hard, expression: 'true', severity: error}\n  - {name: soft, expression: 'true'}"
    )
    severities = {test.name: test.severity for test in load_one(tmp_path, front=front).tests}
    assert severities == {"unique_stratum": "warn", "hard": "error", "soft": "warn"}


def test_tests_can_be_chosen_and_need_a_materialized_partition(shipped: dict[str, SqlModel], own_lake: Lake) -> None:
    model = shipped["mix_ledger"]
    with pytest.raises(StoreError, match="materialize mix_ledger"):
        run_tests(model, own_lake, "support", "r000")
    materialize(model, own_lake, "support", "r000")
    (outcome,) = run_tests(model, own_lake, "support", "r000", only={"rows_add_up"})
    assert (outcome.test.name, outcome.passed) == ("rows_add_up", True)


# ---- the shipped models


def test_the_shipped_models_are_described_typed_and_tested(shipped: dict[str, SqlModel]) -> None:
    assert sorted(shipped) == [
        "cost_ledger",
        "funnel",
        "generator_ledger",
        "lineage",
        "mix_ledger",
        "rejections",
        "review_ledger",
        "round_trends",
    ]
    for model in shipped.values():
        assert model.schema is not None, model.name
        assert model.tests, model.name
        assert [column.name for column in model.columns if not (column.description and column.type)] == [], model.name


@pytest.mark.parametrize(("dataset", "round_"), [("support", "r000"), ("support", "r001"), ("table", "r000")])
def test_the_shipped_models_pass_their_own_tests_on_a_sound_lake(
    shipped: dict[str, SqlModel], own_lake: Lake, dataset: str, round_: str
) -> None:
    for model in shipped.values():
        key = (dataset, round_ if model.partitioned == "dataset_round" else None)
        materialize(model, own_lake, *key)
        failing = {name for name in failing_tests(model, own_lake, *key) if name != "nothing_to_act_on_now"}
        assert failing == set(), model.name


def test_on_an_empty_lake_the_models_are_empty_typed_and_pass(shipped: dict[str, SqlModel], tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    for model in shipped.values():
        key = ("support", "r000" if model.partitioned == "dataset_round" else None)
        frame = materialize(model, lake, *key)
        assert frame.is_empty(), model.name
        assert {**frame.schema} == {name: model.schema[name] for name in frame.columns}, model.name
        assert failing_tests(model, lake, *key) == {}, model.name


def test_other_data_sets_and_rounds_change_nothing(shipped: dict[str, SqlModel], lake: Lake, tmp_path: Path) -> None:
    alone = Lake(tmp_path / "alone")
    for asset in lake.assets():
        for round_ in (None, "r000"):
            version = lake.current(asset, "support", round_)
            if version is not None:
                alone.write(asset, "support", round_, {name: version.read(name) for name in version.manifest["tables"]})
    for name in ("funnel", "lineage", "mix_ledger", "rejections"):
        both = [run_model(shipped[name], where, "support", "r000") for where in (lake, alone)]
        assert digest_tables({"rows": both[0]}) == digest_tables({"rows": both[1]}), name


def test_window_functions_see_their_own_partition_alone(tmp_path: Path, lake: Lake) -> None:
    sql = f"SELECT stratum, count(*) OVER (PARTITION BY stratum) AS n FROM ({PLAIN}) AS planned"
    assert run_model(load_one(tmp_path, sql=sql), lake, "support", "r000")["n"].to_list() == [1, 1]


def test_the_funnel_tells_where_every_row_went(shipped: dict[str, SqlModel], lake: Lake) -> None:
    frame = run_model(shipped["funnel"], lake, "support", "r000")
    lost = frame.filter((pl.col("rows_rejected") != 0) | (pl.col("rows_reserved") != 0))
    told = lost.select("flow", "stage", "reason", "rows_in", "rows_out", "rows_rejected", "rows_reserved").rows()
    assert told == [
        ("synthetic", "cascade", "rules", 30, 26, 4, 0),
        ("synthetic", "cascade", "duplicates", 26, 21, 5, 0),
        ("synthetic", "cascade", "labels", 21, 20, 1, 0),
        ("synthetic", "filtered", "reserve", 20, 16, 0, 4),
        ("synthetic", "review", "taken_out", 16, 15, 1, 0),
        ("reserve", "mix", "not_taken", 4, 1, 0, 3),
        ("real", "reading", "bad_json", 23, 21, 2, 0),
        ("real", "reading", "own_synthetic", 21, 20, 1, 0),
        ("real", "seeds", "exact_duplicate", 20, 18, 2, 0),
        ("real", "seeds", "excluded", 18, 17, 1, 0),
        ("real", "seeds", "near_duplicate", 17, 15, 2, 0),
        ("real", "mix", "not_taken", 15, 12, 0, 3),
        ("real", "mix", "sealed", 12, 10, 0, 2),
        ("real", "mix", "steering", 10, 8, 0, 2),
        ("real", "mix", "synthesis_only", 8, 7, 0, 1),
    ]


def test_the_funnel_puts_discriminators_in_the_order_of_the_cascade(
    shipped: dict[str, SqlModel], own_lake: Lake
) -> None:
    verdicts = own_lake.read("verdicts", "support", "r000")
    idle = verdicts.filter(pl.col("discriminator") == "rules").with_columns(
        discriminator=pl.lit("z_first"), passed=pl.lit(True)
    )
    own_lake.write("verdicts", "support", "r000", pl.concat([idle, verdicts]))
    cascade = run_model(shipped["funnel"], own_lake, "support", "r000").filter(pl.col("stage") == "cascade")
    assert cascade["reason"].to_list() == ["z_first", "rules", "duplicates", "labels"]
    assert cascade["rows_out"].to_list() == [30, 26, 21, 20]


def test_the_funnel_ends_with_the_corpus(shipped: dict[str, SqlModel], lake: Lake) -> None:
    ends = run_model(shipped["funnel"], lake, "support", "r000").group_by("flow").agg(pl.col("rows_out").last())
    assert dict(ends.iter_rows()) == {"synthetic": 15, "reserve": 1, "real": 7}
    assert lake.require("corpus", "support", "r000").rows() == 15 + 1 + 7


def test_a_rejected_round_lets_nothing_out(shipped: dict[str, SqlModel], lake: Lake) -> None:
    frame = run_model(shipped["funnel"], lake, "support", "r001").filter(pl.col("flow") == "synthetic")
    assert frame.select("stage", "rows_out").rows()[-1] == ("mix", 0)


def test_the_funnel_finds_rows_that_vanished(shipped: dict[str, SqlModel], own_lake: Lake) -> None:
    filtered = own_lake.read("filtered", "support", "r000")
    own_lake.write("filtered", "support", "r000", filtered.tail(-2))
    frame = materialize(shipped["funnel"], own_lake, "support", "r000")
    unexplained = frame.filter((pl.col("stage") == "filtered") & (pl.col("reason") == "unexplained"))
    assert unexplained["rows_rejected"].to_list() == [2]
    assert failing_tests(shipped["funnel"], own_lake, "support", "r000") == {"nothing_is_unexplained": 1}


def test_the_funnel_finds_a_rejected_row_in_the_corpus(shipped: dict[str, SqlModel], own_lake: Lake) -> None:
    kept = own_lake.read("filtered", "support", "r000").filter(pl.col("state") == "kept")
    own_lake.write("corpus", "support", "r000", make_corpus(kept, ["seed-00"]))
    for name, test in (("funnel", "nothing_is_unexplained"), ("lineage", "no_rejected_row_in_corpus")):
        materialize(shipped[name], own_lake, "support", "r000")
        assert failing_tests(shipped[name], own_lake, "support", "r000") == {test: 1}


def test_lineage_holds_one_row_for_every_kept_or_released_example(shipped: dict[str, SqlModel], lake: Lake) -> None:
    frame = run_model(shipped["lineage"], lake, "support", "r000")
    assert frame.height == 17
    assert frame["in_corpus"].sum() == 16
    assert frame["state"].value_counts(sort=True).rows() == [("kept", 16), ("reserve", 1)]
    first = frame.row(0, named=True)
    assert (first["example_id"], first["review_resolution"]) == (example_ids("support", "r000", 11)[10], "reject")
    assert (first["exemplars"], first["reviewer_kind"], first["in_corpus"]) == (2, "human", False)
    assert first["passed"] == "duplicates 1, labels 1, rules 1"


def test_the_mix_ledger_compares_the_corpus_with_the_plan(shipped: dict[str, SqlModel], lake: Lake) -> None:
    frame = run_model(shipped["mix_ledger"], lake, "support", "r000")
    assert frame.rows() == [
        ("delivery", 7, 11, 18, 0.611111, 0.611111, 10, 12),
        ("refund", 0, 5, 5, 1.0, 1.0, 0, 4),
    ]


def test_the_mix_ledger_finds_a_share_out_of_bounds(shipped: dict[str, SqlModel], own_lake: Lake) -> None:
    own_lake.write("corpus", "support", "r000", make_corpus(make_candidates("support", "r000", 30), ["seed-00"]))
    materialize(shipped["mix_ledger"], own_lake, "support", "r000")
    assert failing_tests(shipped["mix_ledger"], own_lake, "support", "r000") == {"synthetic_share_by_rows": 1}


def test_the_generator_ledger_adds_up_rounds(shipped: dict[str, SqlModel], lake: Lake) -> None:
    columns = ["round", "waves", "candidates", "kept", "reserve", "accepted", "yield", "output_tokens", "seconds"]
    frame = run_model(shipped["generator_ledger"], lake, "support", None).select(columns)
    assert frame.rows() == [
        ("r000", 2, 30, 16, 4, 16, 0.666667, 600, 36.0),
        ("r001", 2, 10, 8, 0, 0, 0.8, 200, 36.0),
    ]


def test_the_review_ledger_shows_decided_and_open_rounds(shipped: dict[str, SqlModel], lake: Lake) -> None:
    columns = ["round", "decision", "examples", "planned", "reviewed", "open", "defects", "hours_per_thousand"]
    decided = run_model(shipped["review_ledger"], lake, "support", None).select(columns)
    assert decided.rows() == [("r000", "accept", 16, 4, 4, 0, 1, 12.5), ("r001", "reject", 8, 4, 4, 0, 3, 25.0)]
    waiting = run_model(shipped["review_ledger"], lake, "table", None).select(columns)
    assert waiting.rows() == [("r000", "open", 5, 0, 0, 0, None, None)]


def test_the_review_ledger_finds_a_certificate_of_an_automated_review(
    shipped: dict[str, SqlModel], own_lake: Lake
) -> None:
    version = own_lake.require("review_outcome", "support", "r000")
    tables = {name: version.read(name) for name in version.manifest["tables"]}
    claimed = tables["rows"].with_columns(automated=pl.lit(True), certified=pl.lit(True))
    own_lake.write("review_outcome", "support", "r000", {**tables, "rows": claimed})
    materialize(shipped["review_ledger"], own_lake, "support", None)
    assert failing_tests(shipped["review_ledger"], own_lake, "support", None) == {
        "automated_review_certifies_nothing": 1
    }


def cost_rows(shipped: dict[str, SqlModel], lake: Lake, cost: dict[str, object]) -> list[dict[str, object]]:
    for name in ("generator_ledger", "review_ledger"):
        materialize(shipped[name], lake, "support", None)
    settings = spec_parameters(text_spec(cost=cost))
    return run_model(shipped["cost_ledger"], lake, "support", None, settings).to_dicts()


def test_the_cost_ledger_compares_an_accepted_example_with_a_person_s(
    shipped: dict[str, SqlModel], own_lake: Lake
) -> None:
    prices = {
        "currency": "EUR",
        "per_million_tokens": 1000.0,
        "per_engine_hour": 100.0,
        "per_reviewer_hour": 40.0,
        "baseline_minutes_per_example": 3.6,
    }
    accepted, rejected = cost_rows(shipped, own_lake, prices)
    # 600 tokens at 1000 a million and 36 s at 100 an hour; 12 minutes at 40 an hour; 3.6 minutes at 40 an hour
    assert (accepted["engine_cost"], accepted["reviewer_cost"], accepted["total_cost"]) == (1.6, 8.0, 9.6)
    assert (accepted["cost_per_accepted"], accepted["baseline_per_example"]) == (0.6, 2.4)
    assert (accepted["saving_percent"], accepted["baseline_hours"], accepted["currency"]) == (75.0, 0.96, "EUR")
    assert (rejected["accepted"], rejected["cost_per_accepted"], rejected["saving_percent"]) == (0, None, None)


def test_reviewer_minutes_are_estimated_where_none_were_measured(shipped: dict[str, SqlModel], own_lake: Lake) -> None:
    version = own_lake.require("review_outcome", "support", "r000")
    tables = {name: version.read(name) for name in version.manifest["tables"]}
    untimed = tables["rows"].with_columns(reviewer_minutes=pl.lit(0.0))
    own_lake.write("review_outcome", "support", "r000", {**tables, "rows": untimed})
    estimated, measured = cost_rows(shipped, own_lake, {})
    assert (estimated["minutes_source"], estimated["reviewer_minutes"]) == ("estimated", 4 * 3.0)
    assert (measured["minutes_source"], measured["reviewer_minutes"]) == ("measured", 12.0)


@pytest.mark.parametrize("minutes", [0.0, 3.6])
def test_no_saving_is_claimed_while_nothing_is_priced(
    shipped: dict[str, SqlModel], own_lake: Lake, minutes: float
) -> None:
    accepted, _ = cost_rows(shipped, own_lake, {"per_reviewer_hour": 0.0, "baseline_minutes_per_example": minutes})
    assert (accepted["cost_per_accepted"], accepted["saving_percent"]) == (0.0, None)


def test_round_trends_tell_how_far_a_number_moved(shipped: dict[str, SqlModel], own_lake: Lake) -> None:
    frame = materialize(shipped["round_trends"], own_lake, "support", None)
    moved = frame.filter(pl.col("metric") == "psi").select(
        "round", "value", "change", "change_since_start", "is_latest"
    )
    assert moved.rows() == [("r000", 0.1, None, 0.0, False), ("r001", 0.16, 0.06, 0.06, True)]
    assert failing_tests(shipped["round_trends"], own_lake, "support", None) == {"nothing_to_act_on_now": 1}


def test_rounds_are_ordered_by_number_past_r999(shipped: dict[str, SqlModel], tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    rows = [
        {"round": round_, "report": "shift_report", "metric": "psi", "field": "", "value": value, "level": "ok"}
        for round_, value in (("r999", 0.1), ("r1000", 0.3))
    ]
    lake.write("trends", "support", None, pl.DataFrame(rows, schema=TREND_SCHEMA))
    frame = run_model(shipped["round_trends"], lake, "support", None)
    assert frame.select("round", "change", "is_latest").rows() == [("r999", None, False), ("r1000", 0.2, True)]


def test_the_same_lake_gives_the_same_rows(shipped: dict[str, SqlModel], lake: Lake) -> None:
    frames = [run_model(shipped["generator_ledger"], lake, "support", None) for _ in range(2)]
    assert frames[0].equals(frames[1])


def test_a_second_opinion_in_the_review_adds_no_row(shipped: dict[str, SqlModel], own_lake: Lake) -> None:
    version = own_lake.require("review_outcome", "support", "r000")
    tables = {name: version.read(name) for name in version.manifest["tables"]}
    second = tables["decisions"].with_columns(reviewer=pl.lit("bob"), reviewer_kind=pl.lit("automated"))
    both = {**tables, "decisions": pl.concat([tables["decisions"], second])}
    own_lake.write("review_outcome", "support", "r000", both)
    frame = run_model(shipped["lineage"], own_lake, "support", "r000")
    assert frame["example_id"].is_unique().all()
    assert frame["reviewer_kind"].drop_nulls().unique().to_list() == ["automated, human"]


def test_a_review_without_defects_takes_nothing_out(shipped: dict[str, SqlModel], own_lake: Lake) -> None:
    sample = own_lake.read("review_sample", "support", "r000")["example_id"].to_list()
    write_review(own_lake, "r000", sample, resolutions=["accept"] * 4, decision="accept")
    frame = run_model(shipped["funnel"], own_lake, "support", "r000")
    assert frame.filter(pl.col("stage") == "review")["rows_rejected"].sum() == 0
