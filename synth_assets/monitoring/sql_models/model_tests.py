"""Tests of a model as SQL: each is a query that returns the failing rows of one partition.

Here: from front matter to queries. Not here: running them (running), showing them as checks (defs/sql_models.py).
"""

# ruff: noqa: S608 - queries are put together from names that match PLAIN_NAME, and go through check_select

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from synth_assets.errors import SpecError
from synth_assets.monitoring.sql_models.front_matter import ColumnTest, Draft, Relationship, Severity
from synth_assets.monitoring.sql_models.safe_select import check_select


@dataclass(frozen=True)
class ModelTest:
    """One test: `sql` returns the failing rows of a partition, none where it holds.

    reads: views beside the model itself. line: where it stands in the file.
    """

    name: str
    description: str
    sql: str
    severity: Severity
    parameters: frozenset[str]
    reads: frozenset[str]
    line: int


def build_tests(draft: Draft) -> list[ModelTest]:
    """Return the tests of a file, columns first; SpecError for one that is no safe SQL, or two of one name."""
    tests = [*_build_column_tests(draft), *_build_expression_tests(draft)]
    names: set[str] = set()
    for test in tests:
        if test.name in names:
            raise draft.fail(f"two tests are named '{test.name}'; give one another name", test.line)
        names.add(test.name)
    return tests


def _build_column_tests(draft: Draft) -> Iterator[ModelTest]:
    for column, settings in draft.front.columns.items():
        for number, test in enumerate(settings.tests):
            line = draft.lines.find(("columns", column, "tests", number))
            name, description, failing = _test_column(column, test)
            yield _build(draft, name, description, failing, draft.front.severity, line)


def _build_expression_tests(draft: Draft) -> Iterator[ModelTest]:
    for number, test in enumerate(draft.front.tests):
        line = draft.lines.find(("tests", number, "expression"))
        failing = _test_expression(draft, test.expression, line)
        name = test.name or f"expression_{number + 1}"
        yield _build(draft, name, test.expression, failing, test.severity or draft.front.severity, line)


def _build(draft: Draft, name: str, description: str, failing: str, severity: Severity, line: int) -> ModelTest:
    scope = "dataset = $dataset" + (" AND round = $round" if draft.front.partitioned == "dataset_round" else "")
    sql = f'WITH tested AS (SELECT * FROM "{draft.name}" WHERE {scope})\n{failing}'
    try:
        query = check_select(sql)
    except SpecError as error:
        raise draft.fail(f"test {name}: {error}", line) from error
    draft.check_parameters(query.parameters, draft.partition_parameters, line)
    return ModelTest(name, description, sql, severity, query.parameters, query.tables - {"tested", draft.name}, line)


def _test_column(column: str, test: ColumnTest) -> tuple[str, str, str]:
    """Return name, description and the query of the failing rows."""
    quoted = f'"{column}"'
    if test.unique:
        failing = f"SELECT * FROM tested WHERE {quoted} IS NOT NULL QUALIFY count(*) OVER (PARTITION BY {quoted}) > 1"
        return f"unique_{column}", f"No two rows have the same {column}.", failing
    if test.accepted_values is not None:
        values = ", ".join(_write_literal(value) for value in test.accepted_values)
        failing = f"SELECT * FROM tested WHERE {quoted} NOT IN ({values})"
        return f"accepted_values_{column}", f"Every {column} is one of {values}.", failing
    if test.relationships is not None:
        return _test_relationship(column, test.relationships)
    return f"not_null_{column}", f"Every row has a {column}.", f"SELECT * FROM tested WHERE {quoted} IS NULL"


def _test_relationship(column: str, other: Relationship) -> tuple[str, str, str]:
    table, key = other.to.lower(), other.field
    failing = (
        f'SELECT * FROM tested WHERE "{column}" IS NOT NULL AND NOT EXISTS (SELECT 1 FROM "{table}" AS referred '
        f'WHERE referred.dataset = $dataset AND referred."{key}" = tested."{column}")'
    )
    return f"relationships_{column}_{table}_{key}", f"Every {column} is a {key} of {table}.", failing


def _test_expression(draft: Draft, expression: str, line: int) -> str:
    """Return the rows that fail a condition on rows; for one on aggregates, one row with both sides of it."""
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    try:
        aggregates = check_select(f"SELECT ({expression})").aggregates
        tree = sqlglot.parse_one(expression, dialect="duckdb")
    except (SpecError, SqlglotError) as error:
        raise draft.fail(f"'{expression}' is no SQL condition: {error}", line) from error
    if not aggregates:
        judged = f"SELECT *, ({expression}) AS _holds FROM tested"
        return f"SELECT * EXCLUDE (_holds) FROM ({judged}) AS judged WHERE _holds IS NOT TRUE"
    sides = [tree.left, tree.right] if isinstance(tree, exp.Binary) else [tree]
    texts = [side.sql("duckdb") for side in sides]
    shown = ", ".join(f'{text} AS "{text.replace(chr(34), "")}"' for text in texts)
    return f"SELECT {shown} FROM tested HAVING count(*) > 0 AND ({expression}) IS NOT TRUE"


def _write_literal(value: str | bool | float) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)
