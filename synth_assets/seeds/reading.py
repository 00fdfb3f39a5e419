"""Reading seeds: files of a data set's folder into typed records; rows that are none are kept apart with the reason.

Here: one pass over all files, row conditions, the monitor holdout, counts. Not here: file formats (files.py,
parsing.py), types (columns.py), rights (rights.py), ids (records.py), what the rows may be used for (liabilities.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from synth_assets.errors import SeedError, SpecError
from synth_assets.records import add_content_ids, canonical_expression, polars_schema
from synth_assets.seeds.bundled import identify_bundle, load_bundle
from synth_assets.seeds.columns import convert_column
from synth_assets.seeds.files import (
    RAW_CHARACTERS,
    SPEC_FILE,
    Fault,
    Selection,
    select_files,
    select_monitor_files,
)
from synth_assets.seeds.parsing import Batch, read_batches, write_rows
from synth_assets.seeds.rights import read_rights, rights_sources
from synth_assets.spec import DatasetSpec
from synth_assets.store import Lake, hash_file

_RIGHTS = {"license": pl.String(), "consent": pl.String(), "is_private": pl.Boolean()}
_PLACE = {"source_file": pl.String(), "source_line": pl.Int64()}
_REJECTED = {**_PLACE, "reason": pl.String(), "detail": pl.String(), "raw": pl.String()}
_FILES = {
    "source_file": pl.String(),
    "sha256": pl.String(),
    "bytes": pl.Int64(),
    "rows": pl.Int64(),
    "rejected": pl.Int64(),
}
_TOLD_FAULTS = 3


@dataclass(frozen=True)
class Reading:
    """What the files of one data set held; rows + rejected is everything that was found.

    rows: the spec's fields, source_file, source_line (1-based; the row number in Parquet and bundled sets), license,
    consent, is_private. rejected: source_file, source_line, reason (short code), detail, raw (first 2,000 characters).
    files: source_file, sha256, bytes, rows, rejected.
    """

    rows: pl.DataFrame
    rejected: pl.DataFrame
    files: pl.DataFrame


def list_seed_files(spec: DatasetSpec, folder: Path) -> list[Path]:
    """Return the data set's seed files, sorted; for a bundled set those named. SeedError where no file is found.

    Confined to the folder: a pattern with `..` is refused, a link that leads outside is left out. Never monitor/,
    dataset.yaml or hidden files.
    """
    return select_files(spec, folder).files


def fingerprint(spec: DatasetSpec, folder: Path) -> str:
    """Return 32 hex digits that change with dataset.yaml, the name or the bytes of any seed file, and the bundled set.

    SeedError where there is no seed file or one cannot be read.
    """
    settings = folder / SPEC_FILE
    state = hashlib.sha256(settings.read_bytes() if settings.is_file() else spec.model_dump_json().encode())
    state.update(f"\x1e{identify_bundle(spec.source.uri) if spec.source.uri else ''}".encode())
    for path in list_seed_files(spec, folder):
        try:
            state.update(f"\x1e{_relative(path, folder)}\x1f{hash_file(path)}".encode())
        except OSError as error:
            raise SeedError(f"{path}: cannot be read: {error.strerror or error}") from error
    return state.hexdigest()[:32]


def were_read(lake: Lake, dataset: str, digest: str) -> bool:
    """Return whether the lake's seeds, and a contract frozen on them, are of files with this fingerprint."""
    read = lake.current("raw_seeds", dataset)
    if read is None or lake.current("quality_contract", dataset) is None:
        return False
    return read.read("source")["fingerprint"].item() == digest


def read_seeds(spec: DatasetSpec, folder: Path) -> Reading:
    """Return all seeds of a data set; SeedError where no file or no usable row is found, naming the reasons.

    Rows whose content stands in monitor/ too are rejected as held_for_monitor: monitor data is only ever compared.
    """
    collected = _Collected(spec)
    if spec.source.uri:
        bundle = load_bundle(spec.source.uri)
        lines = list(range(1, bundle.height + 1))
        nothing = [None] * bundle.height
        columns = {source: bundle.columns.get(source, nothing) for source in _wanted(spec)}
        batch = Batch(lines, columns, write_rows(bundle.columns), textual=False)
        collected.add_file(spec.source.uri, bundle.sha256, bundle.size, iter([batch]))
    _read_files(collected, select_files(spec, folder), folder)
    reading = _hold_for_monitor(collected.finish(), read_monitor(spec, folder), spec)
    if reading.rows.is_empty():
        raise SeedError(_explain_nothing(reading, folder))
    return reading


def read_monitor(spec: DatasetSpec, folder: Path) -> Reading:
    """Return the rows of folder/monitor/, real data that is only ever compared; an empty Reading where it is absent."""
    collected = _Collected(spec)
    _read_files(collected, select_monitor_files(folder), folder)
    return collected.finish()


# ---- one pass over the files


def _wanted(spec: DatasetSpec) -> list[str]:
    sources = [each.source or each.name for each in spec.fields] + rights_sources(spec.source)
    return list(dict.fromkeys(sources))


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _read_files(collected: _Collected, selection: Selection, folder: Path) -> None:
    spec = collected.spec
    for path in selection.files:
        name = _relative(path, folder)
        try:
            sha256, size = hash_file(path), path.stat().st_size
            collected.add_file(name, sha256, size, read_batches(path, spec.source.csv, _wanted(spec)))
        except OSError as error:
            collected.add_unreadable(name, f"cannot be opened: {error.strerror or error}")
    for path in selection.outside:
        collected.add_unreadable(_relative(path, folder), "a link that leaves the folder; copy the file instead")


@dataclass
class _Collected:
    """Frames and counts of the files read so far."""

    spec: DatasetSpec
    rows: list[pl.DataFrame] = field(default_factory=list)
    rejected: list[tuple[str, int, str, str, str]] = field(default_factory=list)
    files: list[tuple[str, str, int, int, int]] = field(default_factory=list)

    def add_file(self, name: str, sha256: str, size: int, batches: Iterator[Batch]) -> None:
        rows, rejected = 0, 0
        for batch in batches:
            frame, rejects = _type_batch(batch, self.spec, name)
            self.rows.append(frame)
            self.rejected.extend((name, line, fault.reason, fault.detail, raw) for line, fault, raw in rejects)
            rows, rejected = rows + frame.height, rejected + len(rejects)
        self.files.append((name, sha256, size, rows, rejected))

    def add_unreadable(self, name: str, detail: str) -> None:
        self.rejected.append((name, 1, "unreadable_file", detail, ""))
        self.files.append((name, "", 0, 0, 1))

    def finish(self) -> Reading:
        return Reading(
            rows=pl.concat([pl.DataFrame(schema=_rows_schema(self.spec)), *self.rows]),
            rejected=pl.DataFrame(self.rejected, schema=_REJECTED, orient="row"),
            files=pl.DataFrame(self.files, schema=_FILES, orient="row"),
        )


def _rows_schema(spec: DatasetSpec) -> dict[str, pl.DataType]:
    return {**polars_schema(spec.fields), **_PLACE, **_RIGHTS}


def _type_batch(batch: Batch, spec: DatasetSpec, name: str) -> tuple[pl.DataFrame, list[tuple[int, Fault, str]]]:
    """Return the batch's good rows as a raw-rows frame, and its rejects in line order."""
    height = len(batch.lines)
    if not height:
        return pl.DataFrame(schema=_rows_schema(spec)), batch.rejects
    found: dict[int, list[Fault]] = {}
    series: list[pl.Series] = []
    for each in spec.fields:
        values = batch.columns[each.source or each.name]
        column, faults = convert_column(values, each, textual=batch.textual, dialect=spec.source.csv)
        series.append(column)
        for position, fault in faults.items():
            found.setdefault(position, []).append(fault)
    frame = pl.DataFrame(series)
    for position, fault in _check_constraints(frame, spec):
        found.setdefault(position, [fault])
    rights = read_rights(batch.columns, height, spec.source, textual=batch.textual)
    place = {"source_file": pl.lit(name), "source_line": pl.Series(batch.lines, dtype=pl.Int64)}
    frame = frame.with_columns(**place).hstack(rights)
    rejects = [(batch.lines[position], _join_faults(faults), batch.raw(position)) for position, faults in found.items()]
    if found:
        good = pl.Series([True]).new_from_index(0, height).scatter(list(found), False)
        frame = frame.filter(good)
    return frame, sorted(batch.rejects + rejects, key=lambda reject: reject[0])


def _join_faults(faults: list[Fault]) -> Fault:
    more = len(faults) - _TOLD_FAULTS
    told = [fault.detail for fault in faults[:_TOLD_FAULTS]] + ([f"and {more} more fields"] if more > 0 else [])
    return Fault(faults[0].reason, "; ".join(told))


def _check_constraints(frame: pl.DataFrame, spec: DatasetSpec) -> Iterator[tuple[int, Fault]]:
    for condition in spec.constraints:
        expression = pl.sql_expr(condition)
        try:
            holds = frame.select(expression.alias("holds")).to_series()
        except pl.exceptions.PolarsError as error:
            raise SpecError(f"constraints: '{condition}' cannot be evaluated over the fields: {error}") from error
        if holds.dtype != pl.Boolean:
            raise SpecError(f"constraints: '{condition}' gives {holds.dtype}, not true or false; write a comparison")
        used = list(dict.fromkeys(expression.meta.root_names()))
        for position in (~holds).fill_null(False).arg_true():
            values = ", ".join(f"{name}={str(frame[name][position])[:60]}" for name in used)
            yield position, Fault("constraint", f"{condition} is false: {values}")


# ---- the monitor holdout


def _hold_for_monitor(reading: Reading, monitor: Reading, spec: DatasetSpec) -> Reading:
    if monitor.rows.is_empty() or reading.rows.is_empty():
        return reading
    held_ids = add_content_ids(monitor.rows, spec).get_column("content_id").unique()
    rows = add_content_ids(reading.rows, spec)
    is_held = rows.get_column("content_id").is_in(held_ids.to_list())
    held = rows.filter(is_held).select(
        "source_file",
        "source_line",
        reason=pl.lit("held_for_monitor"),
        detail=pl.lit(
            "the same content stands in monitor/, which is only ever compared; remove it from one of the two"
        ),
        raw=canonical_expression(spec.fields).str.slice(0, RAW_CHARACTERS),
    )
    counts = held.group_by("source_file").agg(held=pl.len().cast(pl.Int64))
    files = reading.files.join(counts, on="source_file", how="left", maintain_order="left").select(
        "source_file",
        "sha256",
        "bytes",
        rows=pl.col("rows") - pl.col("held").fill_null(0),
        rejected=pl.col("rejected") + pl.col("held").fill_null(0),
    )
    rejected = pl.concat([reading.rejected, held.match_to_schema(pl.Schema(_REJECTED))])
    return Reading(rows.filter(~is_held).drop("content_id"), rejected, files)


def _explain_nothing(reading: Reading, folder: Path) -> str:
    names = reading.files.get_column("source_file").to_list()
    listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    commonest = (
        reading.rejected.group_by("reason", maintain_order=True)
        .agg(pl.len().alias("count"), pl.all().first())
        .sort("count", descending=True, maintain_order=True)
        .head(_TOLD_FAULTS)
    )
    reasons = "".join(f"\n  {_tell(reject)}" for reject in commonest.iter_rows(named=True))
    return f"{folder}: no usable row in {listed}" + (f"; rejected:{reasons}" if reasons else ": every file is empty")


def _tell(reject: dict[str, Any]) -> str:
    count, reason, detail = reject["count"], reject["reason"], reject["detail"]
    return f"{count:,} × {reason}, first at {reject['source_file']}:{reject['source_line']}: {detail}"
