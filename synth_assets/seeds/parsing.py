"""JSONL, CSV and Parquet files as batches of raw records, each with its line number.

Here: what makes a record, and where it starts. Not here: files and bytes (files.py), types and bounds (columns.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from synth_assets.seeds.csv_records import name_columns, split_csv
from synth_assets.seeds.files import Fault, file_format, iter_lines, raw_text
from synth_assets.spec import CsvSpec

BATCH_ROWS = 20_000
BATCH_BYTES = 32_000_000


@dataclass(frozen=True)
class Batch:
    """Some raw records of one file.

    `columns` holds the values of every wanted source path, None where a record lacks it; in `textual` batches (CSV)
    all values are strings. `rejects` are records that never became rows: line, fault, raw text.
    """

    lines: list[int]
    columns: dict[str, list[Any]]
    raw: Callable[[int], str]
    textual: bool
    rejects: list[tuple[int, Fault, str]] = field(default_factory=list)


class HugeInteger:
    """An integer of thousands of digits in JSON; no type of field takes it."""

    def __repr__(self) -> str:
        return "an integer of thousands of digits"


def read_batches(path: Path, dialect: CsvSpec, wanted: Sequence[str]) -> Iterator[Batch]:
    """Yield a seed file's records in order; OSError where the file cannot be opened."""
    kind = file_format(path)
    if kind == "parquet":
        yield from _read_parquet(path, wanted)
    elif kind == "csv":
        yield from _read_csv(path, dialect, wanted)
    else:
        yield from _read_jsonl(path, wanted)


def pick(rows: Sequence[dict[str, Any]], path: str) -> list[Any]:
    """Return the value at a key or dotted path (`instances.0.output`) of every row, None where there is none."""
    if "." not in path:
        return [row.get(path) for row in rows]
    parts = path.split(".")
    return [row[path] if path in row else walk(row, parts) for row in rows]


def walk(value: Any, parts: Sequence[str]) -> Any:
    """Follow keys and list positions into nested data; None where the path ends early."""
    for part in parts:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isascii() and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def parse_json(text: str) -> Any:
    """Return the value of a JSON text, or the Fault that it is (bad syntax, repeated keys, nested too deeply)."""
    try:
        try:
            return _DECODER.decode(text)
        except json.JSONDecodeError:
            raise
        except ValueError:  # Python refuses to read integers of more than 4,300 digits
            return _LONG_DECODER.decode(text)
    except _RepeatedKeyError as error:
        return Fault("bad_json", f"the key '{str(error)[:80]}' stands twice in one object")
    except json.JSONDecodeError as error:
        hint = "; write one object a line, not one array" if text.lstrip().startswith("[") else ""
        return Fault("bad_json", f"{error.msg} at character {error.colno}{hint}")
    except RecursionError:
        return Fault("bad_json", "nested too deeply")


class _RepeatedKeyError(Exception):
    pass


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    built = dict(pairs)
    if len(built) != len(pairs):
        seen: set[str] = set()
        raise _RepeatedKeyError(next(key for key, _ in pairs if key in seen or seen.add(key)))
    return built


_DECODER = json.JSONDecoder(object_pairs_hook=_build_object)
_LONG_DECODER = json.JSONDecoder(
    object_pairs_hook=_build_object, parse_int=lambda digits: int(digits) if len(digits) < 4_000 else HugeInteger()
)


@dataclass
class _Pending:
    """Records collected for the next batch."""

    lines: list[int] = field(default_factory=list)
    rows: list[Any] = field(default_factory=list)
    raws: list[bytes] = field(default_factory=list)
    rejects: list[tuple[int, Fault, str]] = field(default_factory=list)
    size: int = 0

    def add(self, line: int, row: Any, raw: bytes) -> None:
        self.lines.append(line)
        self.rows.append(row)
        self.raws.append(raw)
        self.size += len(raw)

    def reject(self, line: int, fault: Fault, raw: bytes) -> None:
        self.rejects.append((line, fault, raw_text(raw)))

    @property
    def full(self) -> bool:
        return len(self.rows) + len(self.rejects) >= BATCH_ROWS or self.size >= BATCH_BYTES

    def make_batch(self, columns: dict[str, list[Any]], *, textual: bool) -> Batch:
        raws = self.raws
        return Batch(self.lines, columns, lambda index: raw_text(raws[index]), textual, self.rejects)


def _read_jsonl(path: Path, wanted: Sequence[str]) -> Iterator[Batch]:
    pending = _Pending()
    for line in iter_lines(path):
        if line.fault is not None:
            pending.reject(line.number, line.fault, line.data)
        elif line.text and not line.text.isspace():
            row = parse_json(line.text)
            if type(row) is dict:
                pending.add(line.number, row, line.data)
            elif isinstance(row, Fault):
                pending.reject(line.number, row, line.data)
            else:
                fault = Fault("not_an_object", f'an object like {{"field": …}} is expected, not {describe(row)}')
                pending.reject(line.number, fault, line.data)
        if pending.full:
            yield pending.make_batch({source: pick(pending.rows, source) for source in wanted}, textual=False)
            pending = _Pending()
    yield pending.make_batch({source: pick(pending.rows, source) for source in wanted}, textual=False)


def describe(value: Any) -> str:
    """Return a short description of a raw value for an error message: its kind, and the start of it."""
    kinds = {
        str: "the text",
        bool: "the boolean",
        int: "the number",
        float: "the number",
        list: "a list",
        dict: "an object",
    }
    kind = kinds.get(type(value), f"a {type(value).__name__}")
    if isinstance(value, (list, dict)):
        return kind
    if isinstance(value, HugeInteger):
        return repr(value)
    if isinstance(value, int) and value.bit_length() > 256:
        return "a number of more than 77 digits"
    shown = json.dumps(value[:80] if isinstance(value, str) else value, default=str, ensure_ascii=False)
    shown = shown if len(shown) <= 60 else shown[:59] + "…"
    return f"{kind} {shown}".encode("utf-8", "replace").decode()


def _read_csv(path: Path, dialect: CsvSpec, wanted: Sequence[str]) -> Iterator[Batch]:
    if dialect.delimiter == "," and Path(path.name.lower().removesuffix(".gz").removesuffix(".zst")).suffix == ".tsv":
        dialect = dialect.model_copy(update={"delimiter": "\t"})  # what the name says, unless the spec says otherwise
    names = [] if dialect.header else list(dialect.columns)
    pending = _Pending()

    def make_batch() -> Batch:
        place = {name: index for index, name in enumerate(names)}
        missing: list[Any] = [None] * len(pending.rows)
        columns = {
            source: [row[place[source]] for row in pending.rows] if source in place else missing for source in wanted
        }
        return pending.make_batch(columns, textual=True)

    expects_header = dialect.header
    for record, cells, fault in split_csv(iter_lines(path), dialect):
        number, raw = record[0].number, record[0].data if len(record) == 1 else b"".join(line.data for line in record)
        if expects_header:
            expects_header, names = False, name_columns(cells)
            if fault is not None:
                detail = f"the header line, which names the columns: {fault.detail}"
                pending.reject(number, Fault(fault.reason, detail), raw)
            continue
        names = names or [f"column_{position}" for position in range(1, len(cells) + 1)]
        if fault is not None:
            pending.reject(number, fault, raw)
        elif len(cells) != len(names):
            detail = f"{len(cells)} values where there are {len(names)} columns ({', '.join(names)[:200]})"
            pending.reject(number, Fault("bad_csv", detail), raw)
        else:
            pending.add(number, cells, raw)
        if pending.full:
            yield make_batch()
            pending = _Pending()
    yield make_batch()


# ---- Parquet


@dataclass(frozen=True)
class ParquetPart:
    """Some rows of a Parquet file: 1-based row numbers, the frame of readable rows, and the rest as rejects."""

    lines: list[int]
    frame: pl.DataFrame
    rejects: list[tuple[int, Fault, str]]


def read_parquet_parts(path: Path, wanted: Sequence[str] | None = None) -> Iterator[ParquetPart]:
    """Yield a Parquet file 20,000 rows at a time, all columns or those that hold the wanted source paths.

    Damage ends the file with one reject. pyarrow reads it, because polars ends the thread over damaged pages.
    OSError where the file cannot be opened.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    start = 1
    with path.open("rb") as handle:
        try:
            file = pq.ParquetFile(handle)
            for part in file.iter_batches(batch_size=BATCH_ROWS, columns=_needed(file.schema_arrow.names, wanted)):
                good, rejects = _split_valid(part, start)
                frame = pl.DataFrame(pl.from_arrow(part.take(pa.array(good, pa.int64()))))
                yield ParquetPart([start + index for index in good], frame, rejects)
                start += part.num_rows
        except (pa.ArrowException, OSError, ValueError, pl.exceptions.PolarsError) as error:
            fault = Fault("unreadable_file", f"not readable as Parquet from row {start} on: {str(error)[:300]}")
            yield ParquetPart([], pl.DataFrame(), [(start, fault, "")])


def _needed(names: list[str], wanted: Sequence[str] | None) -> list[str] | None:
    if wanted is None or any("." in name for name in names):  # a dot would be taken for nesting
        return None
    return [name for name in names if any(source == name or source.startswith(f"{name}.") for source in wanted)]


def _read_parquet(path: Path, wanted: Sequence[str]) -> Iterator[Batch]:
    for part in read_parquet_parts(path, wanted):
        columns = _pick_columns(part.frame, wanted, len(part.lines))
        yield Batch(part.lines, columns, write_rows(columns), False, part.rejects)


def _split_valid(part: Any, first: int) -> tuple[list[int], list[tuple[int, Fault, str]]]:
    import pyarrow as pa

    try:
        part.validate(full=True)
        return list(range(part.num_rows)), []
    except pa.ArrowInvalid:
        pass
    good, rejects = [], []
    for index in range(part.num_rows):
        try:
            part.slice(index, 1).take(pa.array([0])).validate(full=True)
            good.append(index)
        except pa.ArrowInvalid as error:
            rejects.append((first + index, Fault("not_utf8", str(error)[:300]), ""))
    return good, rejects


def _pick_columns(frame: pl.DataFrame, wanted: Sequence[str], height: int) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for source in wanted:
        root = max((n for n in frame.columns if source == n or source.startswith(f"{n}.")), key=len, default=None)
        if root is None:
            columns[source] = [None] * height
        elif root == source:
            columns[source] = frame[root].to_list()
        else:
            parts = source.removeprefix(f"{root}.").split(".")
            columns[source] = [walk(value, parts) for value in frame[root].to_list()]
    return columns


def write_rows(columns: dict[str, list[Any]]) -> Callable[[int], str]:
    """Return the raw text of a row by position, for records that never were text: JSON of the columns."""

    def write(index: int) -> str:
        row = {source: values[index] for source, values in columns.items()}
        return raw_text(json.dumps(row, default=str, ensure_ascii=False))

    return write
