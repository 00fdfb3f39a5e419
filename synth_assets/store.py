"""The lake: immutable, content-addressed versions of every asset's partitions, and DuckDB over the current ones.

Here: writing a version whole before its pointer moves, reading through pointers, digests, vacuum, SQL views.
Not here: what the tables mean (the stages), the review and quarantine database (review/decisions.py).

    data/lake/<asset>/dataset=<d>/round=<r>/<digest>/<table>.parquet … + manifest.json
    data/lake/<asset>/dataset=<d>/round=<r>/_current         holds the digest of the version readers see
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from synth_assets.errors import StoreError

ROWS = "rows"
CURRENT = "_current"
MANIFEST = "manifest.json"
_NAME = re.compile(r"^[a-z][a-z0-9_]{0,62}$")
_ROUND = re.compile(r"^r[0-9]{3,6}$")


@dataclass(frozen=True)
class Version:
    """One immutable version of one partition of an asset."""

    asset: str
    dataset: str
    round: str | None
    digest: str
    path: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Return manifest.json: tables (rows, schema, sha256), digest, written_at, meta."""
        return json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))

    @property
    def meta(self) -> dict[str, Any]:
        """Return what the writer noted beside the tables (never part of the digest)."""
        return self.manifest["meta"]

    def read(self, table: str = ROWS) -> pl.DataFrame:
        """Return one table of this version; StoreError if it holds no such table."""
        return pl.read_parquet(self._file(table))

    def scan(self, table: str = ROWS) -> pl.LazyFrame:
        return pl.scan_parquet(self._file(table))

    def rows(self, table: str = ROWS) -> int:
        return self.manifest["tables"][table]["rows"]

    def _file(self, table: str) -> Path:
        file = self.path / f"{table}.parquet"
        if table not in self.manifest["tables"]:
            known = ", ".join(self.manifest["tables"])
            raise StoreError(f"{self.path}: no table '{table}'; this version holds {known}")
        return file

    def verify(self) -> None:
        """Raise StoreError unless every file has the size and SHA-256 of the manifest."""
        for table, entry in self.manifest["tables"].items():
            if hash_file(self.path / f"{table}.parquet") != entry["sha256"]:
                raise StoreError(
                    f"{self.path}/{table}.parquet: changed since it was written; restore it or rerun {self.asset}"
                )


@dataclass(frozen=True)
class Lake:
    """The versions under one root folder (data/lake)."""

    root: Path

    # ---- writing

    def write(
        self,
        asset: str,
        dataset: str,
        round_: str | None,
        tables: Mapping[str, pl.DataFrame] | pl.DataFrame,
        *,
        ledger: Mapping[str, pl.DataFrame] | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Version:
        """Write a version and make it current. The same content twice is the first version, untouched.

        `ledger` tables (times, costs) and `meta` (run, library versions) lie beside the content and are no part of
        the digest. A reader sees the old version or the new one, never a part. StoreError if the disk is full or
        read-only.
        """
        frames = {ROWS: tables} if isinstance(tables, pl.DataFrame) else dict(tables)
        digest = digest_tables(frames)
        folder = self.partition_path(asset, dataset, round_)
        target = folder / digest
        incoming = folder / f".incoming-{uuid.uuid4().hex}"
        try:
            incoming.mkdir(parents=True)
            entries = {
                name: _write_table(incoming / f"{name}.parquet", frame)
                for name, frame in {**frames, **(ledger or {})}.items()
            }
            manifest = {
                "asset": asset,
                "dataset": dataset,
                "round": round_,
                "digest": digest,
                "written_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
                "tables": entries,
                "meta": dict(meta or {}),
            }
            write_atomically(incoming / MANIFEST, json.dumps(manifest, indent=1, default=str, ensure_ascii=False))
            if not (target / MANIFEST).exists():
                shutil.rmtree(target, ignore_errors=True)
                incoming.replace(target)
            _sync_folder(folder)
            write_atomically(folder / CURRENT, digest)
        except OSError as error:
            raise StoreError(
                f"{folder}: cannot write {asset}: {error.strerror or error}; nothing was changed"
            ) from error
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
        return Version(asset, dataset, round_, digest, target)

    # ---- reading

    def partition_path(self, asset: str, dataset: str, round_: str | None = None) -> Path:
        """Return the folder of one partition; StoreError for names that are none (path tricks included)."""
        check_names(asset, dataset, round_)
        folder = self.root / asset / f"dataset={dataset}"
        return folder / f"round={round_}" if round_ is not None else folder

    def current(self, asset: str, dataset: str, round_: str | None = None) -> Version | None:
        """Return the version that the pointer names; None where nothing was written yet."""
        folder = self.partition_path(asset, dataset, round_)
        try:
            digest = (folder / CURRENT).read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{folder / CURRENT}: cannot be read: {error.strerror}") from error
        return self.version(asset, dataset, round_, digest)

    def version(self, asset: str, dataset: str, round_: str | None, digest: str) -> Version:
        """Return a pinned version by digest; StoreError if it is not complete on disk."""
        path = self.partition_path(asset, dataset, round_) / digest
        if not re.fullmatch(r"[0-9a-f]{32}", digest) or not (path / MANIFEST).exists():
            raise StoreError(f"{path}: this version is missing or incomplete; materialize {asset} again")
        return Version(asset, dataset, round_, digest, path)

    def require(self, asset: str, dataset: str, round_: str | None = None) -> Version:
        """Return the current version; StoreError says what to materialize where there is none."""
        version = self.current(asset, dataset, round_)
        if version is None:
            partition = dataset if round_ is None else f"{dataset}|{round_}"
            raise StoreError(f"{asset} of {partition} does not exist yet; materialize {asset} for that partition first")
        return version

    def read(self, asset: str, dataset: str, round_: str | None = None, table: str = ROWS) -> pl.DataFrame:
        """Return one table of the current version; StoreError where there is none."""
        return self.require(asset, dataset, round_).read(table)

    def rounds(self, asset: str, dataset: str) -> list[str]:
        """Return the rounds of a data set that have a current version of the asset, in order."""
        folder = self.partition_path(asset, dataset)
        found = (path.parent.name.removeprefix("round=") for path in folder.glob(f"round=r*/{CURRENT}"))
        return sorted(found, key=lambda name: (len(name), name))

    def datasets(self, asset: str) -> list[str]:
        """Return the data sets that have any current version of the asset, in order."""
        pointers = [
            *(self.root / asset).glob(f"dataset=*/{CURRENT}"),
            *(self.root / asset).glob(f"dataset=*/*/{CURRENT}"),
        ]
        names = {
            part.removeprefix("dataset=") for path in pointers for part in path.parts if part.startswith("dataset=")
        }
        return sorted(names)

    # ---- SQL

    def assets(self) -> list[str]:
        """Return the names of all assets in the lake, in order."""
        if not self.root.is_dir():
            return []
        return sorted(path.name for path in self.root.iterdir() if path.is_dir() and _NAME.match(path.name))

    def files(self, asset: str, table: str = ROWS) -> list[Path]:
        """Return the Parquet files of one table over all current partitions, in order."""
        found: list[Path] = []
        for dataset in self.datasets(asset):
            for round_ in (None, *self.rounds(asset, dataset)):
                version = self.current(asset, dataset, round_)
                if version is not None and table in version.manifest["tables"]:
                    found.append(version.path / f"{table}.parquet")
        return found

    # ---- housekeeping

    def vacuum(self, keep: set[str], *, older_than: dt.timedelta = dt.timedelta(days=1)) -> list[Path]:
        """Delete versions that are neither current nor pinned (`keep`: digests), and leftovers; return what went.

        Young folders are spared: another process may be writing them.
        """
        removed: list[Path] = []
        limit = dt.datetime.now().timestamp() - older_than.total_seconds()
        for manifest in sorted(self.root.rglob(MANIFEST)):
            version, folder = manifest.parent, manifest.parent.parent
            pointer = folder / CURRENT
            current = pointer.read_text(encoding="ascii").strip() if pointer.exists() else ""
            if version.name not in keep | {current} and manifest.stat().st_mtime < limit:
                shutil.rmtree(version)
                removed.append(version)
        for leftover in sorted(self.root.rglob(".incoming-*")):
            if leftover.is_dir() and leftover.stat().st_mtime < limit:
                shutil.rmtree(leftover)
                removed.append(leftover)
        return removed


def check_names(asset: str, dataset: str, round_: str | None) -> None:
    """Raise StoreError unless asset, dataset and round are plain names of the platform."""
    for kind, name in (("asset", asset), ("dataset", dataset)):
        if not _NAME.match(name):
            raise StoreError(
                f"'{name}' is no {kind} name; allowed are a–z, 0–9 and _, starting with a letter, at most 63"
            )
    if round_ is not None and not _ROUND.match(round_):
        raise StoreError(f"'{round_}' is no round; rounds are r000, r001, …")


def round_name(index: int) -> str:
    """Return r000 for 0, r001 for 1, …"""
    return f"r{index:03d}"


def round_index(name: str) -> int:
    """Return 0 for r000; StoreError for what is no round."""
    if not _ROUND.match(name):
        raise StoreError(f"'{name}' is no round; rounds are r000, r001, …")
    return int(name[1:])


def digest_tables(tables: Mapping[str, pl.DataFrame]) -> str:
    """Return the digest of the tables' content: 32 hex digits, the same whatever the row order or the run.

    Rows count as their canonical JSON, sorted; table and column names and types count too.
    """
    state = hashlib.sha256()
    for name in sorted(tables):
        frame = tables[name]
        columns = sorted(frame.columns)
        state.update(json.dumps([name, [[c, str(frame.schema[c])] for c in columns], frame.height]).encode())
        if columns and frame.height:
            ordered = frame.select(
                [pl.col(c).fill_nan(None) if frame.schema[c].is_float() else pl.col(c) for c in columns]
            )
            rows = ordered.select(pl.struct(columns).struct.json_encode().alias("row")).to_series().sort()
            for part in rows.to_frame().iter_slices(50_000):
                state.update("\n".join(part.to_series().to_list()).encode())
                state.update(b"\n")
    return state.hexdigest()[:32]


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_atomically(path: Path, text: str) -> None:
    """Replace a small text file at once: readers see the old text or the new one, after a crash too."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_parquet(path: Path, frame: pl.DataFrame) -> None:
    """Write a frame and have it on disk on return; OSError if the disk is full.

    Through a file object on purpose: given a path, polars 2.1 reports a full disk as success.
    """
    with path.open("wb") as handle:
        try:
            frame.write_parquet(handle, compression="zstd")
        except pl.exceptions.ComputeError as error:  # what polars makes of an error of the file
            raise OSError(f"{path.name}: {error}") from error
        handle.flush()
        os.fsync(handle.fileno())


def _write_table(path: Path, frame: pl.DataFrame) -> dict[str, Any]:
    write_parquet(path, frame)
    schema = {name: str(dtype) for name, dtype in frame.schema.items()}
    return {"rows": frame.height, "schema": schema, "sha256": hash_file(path), "bytes": path.stat().st_size}


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def open_sql(lake: Lake, schemas: Mapping[str, Mapping[str, pl.DataType]] | None = None) -> Iterator[Any]:
    """Open an in-memory DuckDB with one view per asset of the lake over current files; adds columns dataset, round.

    Other tables of an asset are views named `<asset>__<table>`. `schemas` adds typed, empty views for assets that
    have no partition yet. Nothing is written to disk.
    """
    import duckdb

    connection = duckdb.connect(":memory:")
    # DuckDB 2.0.0: window aggregates over a hive-partitioned view count rows of files the filter excludes
    connection.execute("SET disabled_optimizers = 'window_self_join'")
    try:
        for name in _view_names(lake):
            asset, _, table = name.partition("__")
            files = [str(path) for path in lake.files(asset, table or ROWS)]
            if files:
                listed = ", ".join("'" + path.replace("'", "''") + "'" for path in files)
                connection.execute(
                    f'CREATE VIEW "{name}" AS SELECT * FROM read_parquet([{listed}], '  # noqa: S608 - names are checked
                    "hive_partitioning = true, hive_types_autocast = false, union_by_name = true)"
                )
        present = set(_view_names(lake))
        for name, columns in (schemas or {}).items():
            if name not in present:
                connection.register(name, pl.DataFrame(schema=dict(columns)).to_arrow())
        yield connection
    finally:
        connection.close()


def _view_names(lake: Lake) -> list[str]:
    names: list[str] = []
    for asset in lake.assets():
        tables: set[str] = set()
        for dataset in lake.datasets(asset):
            for round_ in (None, *lake.rounds(asset, dataset)):
                version = lake.current(asset, dataset, round_)
                if version is not None:
                    tables |= set(version.manifest["tables"])
        names.extend(asset if table == ROWS else f"{asset}__{table}" for table in sorted(tables))
    return names
