"""Models: the files of dbt_like_sql/ read, checked against each other and bound to the lake's columns.

Here: what a model is, what it reads, its columns with types and lineage, the order of models. Not here: running one
(running), assets and checks (defs/sql_models.py).
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import polars as pl

from synth_assets.errors import SpecError
from synth_assets.monitoring.sql_models.front_matter import PLAIN_NAME, Draft, Grain, read_draft
from synth_assets.monitoring.sql_models.model_tests import ModelTest, build_tests
from synth_assets.monitoring.sql_models.safe_select import LocatedError, Query, check_select, find_tables
from synth_assets.monitoring.sql_models.sandbox import find_line, normalize_types, open_views, tell_error
from synth_assets.monitoring.sql_models.schemas import (
    DATASET_COLUMNS,
    LAKE_SCHEMAS,
    RECORD_VIEWS,
    ROUND_COLUMNS,
    SPEC_PARAMETERS,
    Schema,
    asset_of,
)
from synth_assets.records import digest_text
from synth_assets.store import Lake

_NO_SUCH_COLUMN = re.compile(r"Referenced column .* not found|does not have a column named|Could not find key")
_TRIAL = {"dataset": "trial", "round": "r000", **SPEC_PARAMETERS}


@dataclass(frozen=True)
class Column:
    """One output column.

    type: DuckDB's name of it, "" while it depends on a record's own fields. sources: the (view, column) pairs it is
    computed from.
    """

    name: str
    type: str
    description: str
    unique: bool
    not_null: bool
    sources: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class SqlModel:
    """One file of dbt_like_sql/: `sql` is the query without the front matter.

    reads: the views of the query. schema: polars types of the result, None while they depend on a record's own
    fields. inputs: view → columns of all that the query and its tests read.
    """

    name: str
    path: Path
    sql: str
    description: str
    partitioned: Grain
    columns: tuple[Column, ...]
    tests: tuple[ModelTest, ...]
    reads: frozenset[str]
    parameters: frozenset[str]
    schema: Schema | None
    inputs: Mapping[str, Schema] = field(repr=False)

    @property
    def assets(self) -> tuple[str, ...]:
        """Return the names of the assets and models the query reads, in order."""
        return tuple(sorted({asset_of(view) for view in self.reads}))

    @property
    def code_version(self) -> str:
        """Return the hash of the query: it changes when the rows may, not when a description does."""
        return digest_text(self.sql)

    @property
    def needs_spec(self) -> bool:
        """Return whether the query takes prices from dataset.yaml."""
        return not self.parameters.isdisjoint(SPEC_PARAMETERS)

    @property
    def view_schema(self) -> Schema:
        """Return the columns others can count on when they read this model."""
        partition = ROUND_COLUMNS if self.partitioned == "dataset_round" else DATASET_COLUMNS
        return {**(self.schema or {}), **partition}


def load_models(folder: Path) -> list[SqlModel]:
    """Read every .sql file under a folder, in an order in which each model follows what it reads.

    SpecError names file and line of a fault in the front matter, in the SQL (anything but one SELECT over the lake's
    views, a file read, a clock) or between the two (a described column that the query does not return).
    """
    if not folder.is_dir():
        raise SpecError(f"{folder}: there is no such folder; SQL models are .sql files under dbt_like_sql/")
    drafts: dict[str, Draft] = {}
    for path in sorted(folder.rglob("*.sql")):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        draft = read_draft(path)
        if draft.name in drafts:
            raise SpecError(f"{path}: the model '{draft.name}' stands in {drafts[draft.name].path} too; rename one")
        drafts[draft.name] = draft
    known = LAKE_SCHEMAS.keys() | drafts.keys()
    parsed = {name: _parse(draft, known) for name, draft in drafts.items()}
    with tempfile.TemporaryDirectory() as empty, open_views(Lake(Path(empty)), LAKE_SCHEMAS) as connection:
        models: dict[str, SqlModel] = {}
        for name in _order(parsed):
            models[name] = _bind(parsed[name], models, connection)
    return list(models.values())


# ---- what a query reads


@dataclass(frozen=True)
class _Parsed:
    draft: Draft
    query: Query
    reads: frozenset[str]
    tests: tuple[ModelTest, ...]

    @property
    def all_reads(self) -> frozenset[str]:
        return self.reads.union(*(test.reads for test in self.tests))


def _parse(draft: Draft, known: set[str]) -> _Parsed:
    query = _check_query(draft)
    reads = _find_reads(draft, query, known)
    tests = build_tests(draft)
    for test in tests:
        _check_known(test.reads, known, draft, test.line)
    return _Parsed(draft, query, reads, tuple(tests))


def _check_query(draft: Draft) -> Query:
    try:
        query = check_select(draft.text)
    except LocatedError as error:
        raise draft.fail(str(error), error.line) from error
    except SpecError as error:
        raise draft.fail(str(error)) from error
    needed = draft.partition_parameters
    draft.check_parameters(query.parameters, [*needed, *SPEC_PARAMETERS])
    if not query.parameters.issuperset(needed):
        raise draft.fail(
            f"a model partitioned by {draft.front.partitioned} reads its own partition: "
            f"WHERE {' AND '.join(f'{name} = ${name}' for name in needed)}"
        )
    return query


def _find_reads(draft: Draft, query: Query, known: set[str]) -> frozenset[str]:
    from sqlglot.errors import SqlglotError

    try:
        reads = find_tables(draft.text)
    except (SqlglotError, RecursionError) as error:
        details = getattr(error, "errors", None) or [{}]
        raise draft.fail(f"the query cannot be analyzed: {error}", details[0].get("line")) from error
    _check_known(reads, known, draft)
    if not reads:
        raise draft.fail("the query reads no view of the lake")
    if draft.name in reads:
        raise draft.fail("the model reads itself")
    if not query.tables & known <= reads:
        raise draft.fail("give every common table expression a name that no table of the lake has")
    return reads


def _check_known(tables: Iterable[str], known: set[str], draft: Draft, line: int | None = None) -> None:
    for table in sorted(tables):
        if table not in known:
            close = get_close_matches(table, sorted(known), n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(known))}"
            raise draft.fail(f"there is no table '{table}' in the lake; {hint}", line)


def _order(parsed: Mapping[str, _Parsed]) -> list[str]:
    """Return the names so that each follows what it and its tests read; SpecError for a loop."""
    edges = {name: sorted((parsed[name].all_reads & parsed.keys()) - {name}) for name in sorted(parsed)}
    try:
        return list(TopologicalSorter(edges).static_order())
    except CycleError as error:
        loop = error.args[1]
        raise parsed[loop[0]].draft.fail(f"models read each other in a loop: {' ← '.join(loop)}") from error


# ---- columns, types, lineage


def _bind(parsed: _Parsed, models: Mapping[str, SqlModel], connection: Any) -> SqlModel:
    """Run query and tests over empty views: DuckDB finds columns and types, or the fault in them."""
    draft = parsed.draft
    schemas = {**LAKE_SCHEMAS, **{name: model.view_schema for name, model in models.items()}}
    open_ended = RECORD_VIEWS | {name for name, model in models.items() if model.schema is None}
    inputs = {view: schemas[view] for view in parsed.all_reads}
    types, schema = _try_query(parsed, connection, open_ended)
    _check_columns(draft, types)
    model = SqlModel(
        name=draft.name,
        path=draft.path,
        sql=draft.text.strip(),
        description=draft.front.description,
        partitioned=draft.front.partitioned,
        columns=_describe_columns(draft, types, inputs),
        tests=parsed.tests,
        reads=parsed.reads,
        parameters=parsed.query.parameters,
        schema=schema,
        inputs=inputs,
    )
    connection.register(model.name, pl.DataFrame(schema=dict(model.view_schema)).to_arrow())
    if schema is not None:
        _try_tests(model, draft, connection, open_ended)
    return model


def _try_query(parsed: _Parsed, connection: Any, open_ended: frozenset[str]) -> tuple[dict[str, str], Schema | None]:
    """Return DuckDB's and polars' types of the result; ({}, None) where it needs fields that only a record has."""
    import duckdb

    draft = parsed.draft
    try:
        relation = connection.sql(draft.text, params={name: _TRIAL[name] for name in parsed.query.parameters})
        types = {name: str(kind) for name, kind in zip(relation.columns, relation.types, strict=True)}
        return types, normalize_types(relation.pl()).schema
    except (duckdb.Error, pl.exceptions.PolarsError) as error:
        if parsed.reads & open_ended and _NO_SUCH_COLUMN.search(str(error)):
            return {}, None
        raise draft.fail(tell_error(error), find_line(error)) from error


def _try_tests(model: SqlModel, draft: Draft, connection: Any, open_ended: frozenset[str]) -> None:
    import duckdb

    for test in model.tests:
        try:
            connection.sql(test.sql, params={name: _TRIAL[name] for name in test.parameters}).fetchall()
        except duckdb.Error as error:
            if not (test.reads & open_ended and _NO_SUCH_COLUMN.search(str(error))):
                raise draft.fail(f"test {test.name}: {tell_error(error)}", test.line) from error


def _check_columns(draft: Draft, types: Mapping[str, str]) -> None:
    for name in types:
        if not re.match(PLAIN_NAME, name):
            raise draft.fail(f"the output column '{name}' needs a plain name; write … AS name")
    returned = {name.casefold() for name in types}
    for name in draft.front.columns:
        if types and name.casefold() not in returned:
            line = draft.lines.find(("columns", name))
            raise draft.fail(f"columns.{name}: the query returns no such column; it returns {', '.join(types)}", line)


def _describe_columns(draft: Draft, types: Mapping[str, str], inputs: Mapping[str, Schema]) -> tuple[Column, ...]:
    described = {name.casefold(): settings for name, settings in draft.front.columns.items()}
    names = list(types) or list(draft.front.columns)
    sources = _trace_columns(draft.text, inputs)
    columns: list[Column] = []
    for name in names:
        settings = described.get(name.casefold())
        tests = settings.tests if settings else ()
        columns.append(
            Column(
                name=name,
                type=types.get(name, ""),
                description=settings.description if settings else "",
                unique=any(test.unique for test in tests),
                not_null=any(test.not_null for test in tests),
                sources=sources.get(name.lower(), ()),
            )
        )
    return tuple(columns)


def _trace_columns(sql: str, inputs: Mapping[str, Schema]) -> dict[str, tuple[tuple[str, str], ...]]:
    """Return for each output column, in lower case, the (view, column) pairs it comes from; {} where sqlglot cannot."""
    from sqlglot import exp
    from sqlglot.errors import SqlglotError
    from sqlglot.lineage import lineage

    schema = {view: dict.fromkeys(columns, "text") for view, columns in inputs.items()}
    try:
        roots = lineage(None, sql, schema, dialect="duckdb", trim_selects=False)
    except (SqlglotError, KeyError, RecursionError):
        return {}
    traced: dict[str, tuple[tuple[str, str], ...]] = {}
    for name, root in roots.items():
        sources = {
            (node.expression.name.lower(), node.name.rpartition(".")[2].strip('"'))
            for node in root.walk()
            if isinstance(node.expression, exp.Table)
        }
        traced[name] = tuple(sorted(source for source in sources if source[0] in inputs and source[1] != "*"))
    return traced
