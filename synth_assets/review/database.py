"""The review database: its tables, opening it, and reading and writing so that nothing acknowledged is lost.

Here: SQLAlchemy's engine (SQLite by default, any URL), the schema, transactions, errors that say what to do. Not here:
what the rows mean (decisions.py, edits.py, leases.py, accounts.py).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl

from synth_assets.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Engine, MetaData, Select, Table

MAX_NAME = 200
_WRITES = "synth_writes"

T = TypeVar("T")


class Database:
    """What one SQLAlchemy URL names; several processes may use it at once.

    A write that returned is on disk (SQLite: write-ahead log, synchronous FULL), so a process killed right after keeps
    it. StoreError if it cannot be opened, stays locked longer than `busy_seconds`, or refuses to write.
    """

    def __init__(self, url: str, *, busy_seconds: float = 15.0) -> None:
        self._busy_seconds = busy_seconds
        self.engine = _open_engine(url, busy_seconds)
        self._where = self.engine.url.render_as_string(hide_password=True)
        self.has_one_writer = self.engine.dialect.name == "sqlite"
        self._turn = threading.Lock() if self.has_one_writer else nullcontext()  # waits less than SQLite's own polling
        self._create_tables()

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def rows(self, action: str, query: Select[*tuple[Any, ...]]) -> Sequence[Any]:
        """Return the rows of a query; `action` completes the sentence "cannot …" of an error."""
        with self._guarded(action), self.engine.connect() as connection:
            return connection.execute(query).all()

    def read(self, action: str, query: Select[*tuple[Any, ...]], schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
        """Return the rows of a query as a frame."""
        return pl.DataFrame([tuple(row) for row in self.rows(action, query)], schema=dict(schema), orient="row")

    def write(self, action: str, work: Callable[[Connection], T]) -> T:
        """Do the work in one transaction; again if another process stored the same row in between."""
        from sqlalchemy.exc import IntegrityError

        with self._guarded(action), self._turn:
            for last in (False, False, True):
                try:
                    with self.engine.connect().execution_options(**{_WRITES: True}) as connection, connection.begin():
                        return work(connection)
                except IntegrityError:
                    if last:
                        raise
        raise AssertionError("unreachable")

    def _create_tables(self) -> None:
        from sqlalchemy import inspect

        with self._guarded("open it"), self.engine.connect() as connection:
            present = set(inspect(connection).get_table_names())
        if not set(_schema().tables) <= present:
            self.write("create its tables", _schema().create_all)

    @contextmanager
    def _guarded(self, action: str) -> Iterator[None]:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except SQLAlchemyError as error:
            told = str(getattr(error, "orig", None) or error)
            raise StoreError(f"{self._where}: cannot {action}: {_advise(told, self._busy_seconds)}") from error


def table(name: str) -> Table:
    """Return the definition of a table of the review database."""
    return _schema().tables[name]


@lru_cache(maxsize=1)
def _schema() -> MetaData:
    from sqlalchemy import (
        BigInteger,
        Boolean,
        Column,
        Float,
        ForeignKey,
        Index,
        Integer,
        MetaData,
        String,
        Table,
        Text,
        UniqueConstraint,
    )

    metadata = MetaData()
    number = BigInteger().with_variant(Integer(), "sqlite")

    def sequence() -> Column[int]:
        return Column("seq", number, primary_key=True, autoincrement=True)

    def example() -> tuple[Column[str], ...]:
        return (
            Column("dataset", String(63), nullable=False),
            Column("round", String(16), nullable=False),
            Column("example_id", String(64), nullable=False),
        )

    decisions = Table(
        "decisions",
        metadata,
        sequence(),
        Column("decision_id", String(64), nullable=False, unique=True),
        *example(),
        Column("reviewer", String(MAX_NAME), nullable=False),
        Column("reviewer_kind", String(16), nullable=False),
        Column("decision", String(16), nullable=False),
        Column("reason", Text, nullable=False),
        Column("seconds", Float, nullable=False),
        Column("decided_at", String(64), nullable=False),
        Column("item_version", String(64), nullable=False),
        Column("supersedes", String(64), ForeignKey("decisions.decision_id"), nullable=True),
        Column("recorded_at", String(64), nullable=False),
    )
    Index("decisions_of_a_round", decisions.c.dataset, decisions.c.round, decisions.c.seq)
    Table(
        "quarantine",
        metadata,
        sequence(),
        Column("kind", String(16), nullable=False),
        Column("value", String(MAX_NAME), nullable=False),
        Column("dataset", String(63), nullable=True),
        Column("reason", Text, nullable=False),
        Column("who", String(MAX_NAME), nullable=False),
        Column("at", String(64), nullable=False),
        Column("lifted_at", String(64), nullable=True),
    )
    edits = Table(
        "edits",
        metadata,
        sequence(),
        Column("edit_id", String(64), nullable=False, unique=True),
        Column("decision_id", String(64), ForeignKey("decisions.decision_id"), nullable=False),
        *example(),
        Column("reviewer", String(MAX_NAME), nullable=False),
        Column("content", Text, nullable=False),
        Column("item_version", String(64), nullable=False),
        Column("at", String(64), nullable=False),
    )
    Index("edits_of_a_round", edits.c.dataset, edits.c.round, edits.c.seq)
    leases = Table(
        "leases",
        metadata,
        sequence(),
        *example(),
        Column("slot", Integer, nullable=False),
        Column("reviewer", String(MAX_NAME), nullable=False),
        Column("served_at", Float, nullable=False),
        Column("until", Float, nullable=False),
        Column("decided", Boolean, nullable=False),
        UniqueConstraint("dataset", "round", "example_id", "slot"),
        UniqueConstraint("dataset", "round", "example_id", "reviewer"),
    )
    Index("leases_of_a_reviewer", leases.c.dataset, leases.c.round, leases.c.reviewer, leases.c.decided)
    Table(
        "accounts",
        metadata,
        Column("name", String(MAX_NAME), primary_key=True),
        Column("role", String(16), nullable=False),
        Column("token_hash", String(200), nullable=False),
        Column("created", Float, nullable=False),
        Column("expires", Float, nullable=False),
        Column("revoked", Float, nullable=True),
    )
    Table(
        "sessions",
        metadata,
        Column("session_hash", String(64), primary_key=True),
        Column("reviewer", String(MAX_NAME), nullable=False),
        Column("by_account", Boolean, nullable=False),
        Column("created", Float, nullable=False),
        Column("expires", Float, nullable=False),
    )
    return metadata


def _open_engine(url: str, busy_seconds: float) -> Engine:
    from sqlalchemy import create_engine, event, make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    hint = "write sqlite:////full/path/ops.db or, say, postgresql+psycopg://user:password@host/name"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise StoreError(f"the database URL cannot be read; {hint}") from error
    shown = parsed.render_as_string(hide_password=True)
    try:
        arguments = {"timeout": busy_seconds} if parsed.get_backend_name() == "sqlite" else {}
        engine = create_engine(parsed, connect_args=arguments)
    except NoSuchModuleError as error:
        raise StoreError(f"{shown}: '{parsed.drivername}' is no database this can speak to; {hint}") from error
    except ImportError as error:
        raise StoreError(f"{shown}: the driver '{error.name}' is not installed; install it, or {hint}") from error
    except ArgumentError as error:
        raise StoreError(f"{shown}: the database URL cannot be used; {hint}") from error
    if engine.dialect.name == "sqlite":
        _make_folder(parsed.database, shown)

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # the driver must not open transactions: reads need none, writes say so
            cursor = connection.cursor()
            for setting in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
                cursor.execute(f"PRAGMA {setting}")
            cursor.execute(f"PRAGMA busy_timeout={round(busy_seconds * 1000)}")
            cursor.close()

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            if connection.get_execution_options().get(_WRITES):
                connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _make_folder(database: str | None, shown: str) -> None:
    if not database or database == ":memory:" or database.startswith("file:"):
        return
    folder = Path(database).resolve().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{shown}: cannot create the folder {folder}: {error.strerror}; choose another") from error


def _advise(told: str, busy_seconds: float) -> str:
    known = {
        "locked": f"another process has held it for more than {busy_seconds:g} s; let that finish and try again",
        "readonly": "it is read-only; give write access to the file and its folder, or name another in SYNTH_OPS_URL",
        "unable to open": "the file cannot be opened; check that its folder exists and may be written, that it is no "
        "folder itself, or name another in SYNTH_OPS_URL",
        "not a database": "the file is no SQLite database; move it away or name another in SYNTH_OPS_URL",
        "disk is full": "the disk is full; free space and try again",
        "no such column": "its tables come from another program or version; name another database in SYNTH_OPS_URL",
    }
    advice = next((text for word, text in known.items() if word in told), None)
    return f"{advice} ({told})" if advice else f"{told}; check that the database runs and the URL names it"
