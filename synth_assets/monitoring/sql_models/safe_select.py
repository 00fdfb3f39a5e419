"""The rule that a model is one SELECT over the lake's views, decided by DuckDB's own parser.

Here: what a query may contain. Not here: the locked DuckDB it runs in (sandbox), which tables exist (schemas).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn

from synth_assets.errors import SpecError

_QUERY_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_TABLE_NODES = frozenset({"BASE_TABLE", "SUBQUERY", "JOIN", "EMPTY", "EXPRESSION_LIST", "TABLE_FUNCTION", "PIVOT"})
_TABLE_FUNCTIONS = frozenset({"unnest", "range", "generate_series"})
_CLOCKS = frozenset({"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp", "ago"})
_ALLOWED = "a model reads the lake's views by their plain names and nothing else"
_OTHER_NODES = re.compile(r"_MODIFIER$|_TYPE_INFO$|^ORDER_DEFAULT$|^ASCENDING$|^DESCENDING$")


@dataclass(frozen=True)
class Query:
    """What DuckDB's parser found in a SELECT; table names in lower case."""

    tables: frozenset[str]
    parameters: frozenset[str]
    aggregates: bool  # whether its select list aggregates


class LocatedError(SpecError):
    """A SpecError that knows its line in the query."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class _Functions:
    unrepeatable: frozenset[str]
    aggregates: frozenset[str]


@cache
def _open_parser() -> Any:
    import duckdb

    return duckdb.connect(":memory:")


def _parser() -> Any:
    """Return a connection of the caller's own to the DuckDB that parses, for threads."""
    return _open_parser().cursor()


@cache
def _list_functions() -> _Functions:
    """Return what DuckDB itself says about its functions."""
    rows = _parser().sql("SELECT function_name, function_type, stability FROM duckdb_functions()").fetchall()
    return _Functions(
        unrepeatable=frozenset(name for name, _, stability in rows if stability not in (None, "CONSISTENT")) | _CLOCKS,
        aggregates=frozenset(name for name, kind, _ in rows if kind == "aggregate"),
    )


def check_select(sql: str) -> Query:
    """Refuse everything but one SELECT over plain table names; DuckDB's own parser decides.

    SpecError for other statements (COPY, ATTACH, INSTALL, SET, INSERT …), for functions that read files or the
    catalog, for qualified table names, for clocks, random numbers and samples, whose rows no second run would give.
    """
    if "\0" in sql:
        raise SpecError("the SQL holds a NUL character; save the file as plain text")
    try:
        return _inspect(sql)
    except RecursionError as error:
        raise SpecError("the SQL is nested too deeply; split it into common table expressions") from error


def _inspect(sql: str) -> Query:
    tree = json.loads(_parser().sql("SELECT json_serialize_sql($sql)", params={"sql": sql}).fetchall()[0][0])
    if tree["error"]:
        message = str(tree.get("error_message", "cannot be parsed"))
        if tree.get("error_type") == "not implemented":
            raise SpecError(f"one SELECT is expected ({message.rstrip('!.')})")
        hint = "; Jinja is not used here, name the tables plainly" if "{{" in sql or "{%" in sql else ""
        raise LocatedError(f"{message}{hint}", sql[: int(tree.get("position", 0))].count("\n") + 1)
    if len(tree["statements"]) != 1:
        raise SpecError(f"one SELECT is expected, found {len(tree['statements'])} statements")
    found = _Walk(sql)
    found.visit(tree["statements"][0]["node"])
    return Query(frozenset(found.tables), frozenset(found.parameters), found.aggregates)


class _Walk:
    """Visits DuckDB's syntax tree; what is not known to be harmless is refused."""

    def __init__(self, sql: str) -> None:
        self.sql = sql.encode()
        self.tables: set[str] = set()
        self.parameters: set[str] = set()
        self.aggregates = False

    def refuse(self, what: str, node: Mapping[str, Any]) -> NoReturn:
        position = node.get("query_location", 0)
        line = self.sql[:position].count(b"\n") + 1 if position < len(self.sql) else 1
        raise LocatedError(what, line)

    def visit(self, node: Any, depth: int = 0) -> None:
        if isinstance(node, list):
            for item in node:
                self.visit(item, depth)
        elif isinstance(node, dict):
            if "class" in node:
                self._visit_expression(node, depth)
            elif isinstance(node.get("type"), str):
                self._visit_node(node)
            inner = depth + (node.get("class") == "SUBQUERY" or node.get("type") in _QUERY_NODES)
            for value in node.values():
                self.visit(value, inner)

    def _visit_node(self, node: Mapping[str, Any]) -> None:
        kind = node["type"]
        if kind not in _QUERY_NODES | _TABLE_NODES and not _OTHER_NODES.search(kind):
            self.refuse(f"{kind.removesuffix('_REF').removesuffix('_NODE')} is not allowed; {_ALLOWED}", node)
        if node.get("sample") is not None:
            self.refuse("a sample gives other rows each time; choose rows by a hash of their id", node)
        if kind == "BASE_TABLE":
            if node["schema_name"] or node["catalog_name"] or node["at_clause"]:
                self.refuse(f"'{'.'.join(node['qualified_name']['path'])}' is a qualified name; {_ALLOWED}", node)
            self.tables.add(node["table_name"].lower())
        if kind == "TABLE_FUNCTION":
            name = node["function"]["function_name"].lower()
            if name not in _TABLE_FUNCTIONS:
                self.refuse(f"the table function {name}() is not allowed; {_ALLOWED}", node)

    def _visit_expression(self, node: Mapping[str, Any], depth: int) -> None:
        name = str(node.get("function_name") or "").lower()
        if node["class"] == "PARAMETER":
            self.parameters.add(node["identifier"])
        if node["class"] == "COLUMN_REF" and node["column_names"][-1].lower() in _CLOCKS:
            name = node["column_names"][-1].lower()
        if name in _list_functions().unrepeatable:
            self.refuse(f"{name} gives another value each time; the same inputs must give the same rows", node)
        if node["class"] == "FUNCTION" and depth <= 1 and name in _list_functions().aggregates:
            self.aggregates = True


def find_tables(sql: str) -> frozenset[str]:
    """Return the tables a SELECT reads, in lower case, common table expressions left out."""
    import sqlglot
    from sqlglot import exp
    from sqlglot.optimizer.scope import traverse_scope

    scopes = traverse_scope(sqlglot.parse_one(sql, dialect="duckdb"))
    sources = (source for scope in scopes for source in scope.sources.values())
    return frozenset(source.name.lower() for source in sources if isinstance(source, exp.Table) and source.name)
