"""A sample of files that nobody has described yet: CSV dialect, nested data laid flat, values by source path.

Here: what the files look like. Not here: what the values mean (profiling.py), the dataset.yaml (guessing.py), and
reading by a spec (reading.py).
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from synth_assets.errors import SeedError
from synth_assets.seeds.csv_records import name_columns, split_csv
from synth_assets.seeds.files import Fault, Line, file_format, iter_lines
from synth_assets.seeds.parsing import parse_json, read_parquet_parts
from synth_assets.spec import CsvSpec

SAMPLE_ROWS = 50_000
SAMPLE_BYTES = 200_000_000
NUMBER = r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$"
_DELIMITERS = (",", "\t", ";", "|")
_SNIFF_LINES = 500
_BODY_ROWS = 200
_MAX_DEPTH = 6
_MAX_POSITIONS = 8
_MAX_PATHS = 5_000
_MISSING_WORDS = ("?", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "\\N")
_MISSING_AMONG_NUMBERS = ("None", "none", "-", "--", ".", "na", "missing", "unknown", "Unknown")
_HEADER_WORDS = re.compile(
    "id|name|text|labels?|category|class|target|intent|question|answer|input|output|instruction|response|prompt|title|"
    "body|content|messages?|sentence|context|source|url|date|time|timestamp|type|value|score|rating|completion|query|"
    "document|review|comment|sentiment|topic|tags?|user|email|age|sex|gender|price"
)


@dataclass(frozen=True)
class Sample:
    """Up to 50,000 records: values by source path (None where a record lacks it); all strings if `textual` (CSV)."""

    columns: dict[str, list[Any]]
    height: int
    textual: bool
    dialect: CsvSpec
    notes: list[str] = field(default_factory=list)


def sample_files(files: Sequence[Path]) -> Sample:
    """Return a sample of the files' records; SeedError where a file is missing, unknown or without records."""
    if not files:
        raise SeedError("no files given; name at least one .jsonl, .csv or .parquet file")
    kinds: dict[Path, str] = {}
    for path in files:
        kind = file_format(path)
        if not path.is_file():
            raise SeedError(f"{path}: there is no such file")
        if kind is None:
            advice = "; write one JSON object a line and name it .jsonl" if path.suffix.lower() == ".json" else ""
            raise SeedError(
                f"{path}: unknown format; .jsonl, .csv, .tsv (also .gz, .zst) and .parquet are read{advice}"
            )
        kinds[path] = kind
    first = kinds[files[0]]
    same = [path for path in files if kinds[path] == first]
    try:
        sample = _sample_csv(same) if first == "csv" else _sample_objects(same, first)
    except OSError as error:
        raise SeedError(f"{error.filename or files[0]}: cannot be read: {error.strerror or error}") from error
    if not sample.height or not sample.columns:
        raise SeedError(f"{', '.join(str(path) for path in same)}: no usable row; {_explain_nothing(same)}")
    if sample.height == SAMPLE_ROWS:
        sample.notes.append(f"only the first {SAMPLE_ROWS:,} rows were looked at; later ones may lack values")
    if len(same) < len(files):
        sample.notes.append(f"files of several formats; only the {first} files were looked at")
    return sample


def _explain_nothing(files: Sequence[Path]) -> str:
    for path in files:
        if file_format(path) == "parquet":
            faults = [fault for part in read_parquet_parts(path) for _, fault, _ in part.rejects]
            return f"{path.name}: {faults[0].detail if faults else 'it holds no rows'}"
        for line in itertools.islice(iter_lines(path), _SNIFF_LINES):
            if line.fault is not None:
                return f"{path.name}:{line.number}: {line.fault.detail}"
            if file_format(path) == "jsonl" and isinstance(fault := parse_json(line.text or "{}"), Fault):
                return f"{path.name}:{line.number}: {fault.detail}"
    return "no line holds data"


# ---- JSON lines and Parquet


def _sample_objects(files: Sequence[Path], kind: str) -> Sample:
    notes: list[str] = []
    rows: list[dict[str, Any]] = []
    for path in files:
        read = _read_objects(path) if kind == "jsonl" else _read_parquet(path)
        rows.extend(itertools.islice(read, SAMPLE_ROWS - len(rows)))
    lengths = _list_lengths(rows)
    flat: dict[str, list[Any]] = {}
    skipped: Counter[str] = Counter()
    for index, row in enumerate(rows):
        for path, value in _flatten(row, lengths, skipped):
            if path not in flat:
                if len(flat) >= _MAX_PATHS:
                    skipped["paths past the first 5,000"] += 1
                    continue
                flat[path] = [None] * len(rows)
            flat[path][index] = value
    notes.extend(f"left out: {what}" for what in list(skipped)[:20])
    notes.extend(
        f"'{path}' is a list of up to {longest} items; only the first is taken"
        for path, (shortest, longest) in list(lengths.items())[:50]
        if longest > _kept(shortest, longest) and not (shortest == longest > _MAX_POSITIONS)
    )
    return Sample(flat, len(rows), False, CsvSpec(), notes)


def _some_lines(path: Path) -> Iterator[Line]:
    left = SAMPLE_BYTES
    for line in iter_lines(path):
        yield line
        left -= len(line.data)
        if left < 0:
            return


def _read_objects(path: Path) -> Iterator[dict[str, Any]]:
    for line in _some_lines(path):
        row = parse_json(line.text) if line.fault is None and not line.text.isspace() else None
        if isinstance(row, dict):
            yield row


def _read_parquet(path: Path) -> Iterator[dict[str, Any]]:
    for part in read_parquet_parts(path):
        yield from part.frame.iter_rows(named=True)


def is_conversation(value: Any) -> bool:
    """Return whether a value is a non-empty list of {role, content} with text in both."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(each, dict) and isinstance(each.get("role"), str) and isinstance(each.get("content"), str)
            for each in value
        )
    )


def _list_lengths(rows: Sequence[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    """Return the shortest and longest length of every list in the rows, by path."""
    lengths: dict[str, tuple[int, int]] = {}

    def visit(value: Any, path: str, depth: int) -> None:
        if depth > _MAX_DEPTH or is_conversation(value):
            return
        if isinstance(value, dict):
            for key, each in value.items():
                if isinstance(each, (dict, list)):
                    visit(each, f"{path}.{key}" if path else key, depth + 1)
        elif isinstance(value, list):
            size = len(value)
            low, high = lengths.get(path, (size, size))
            lengths[path] = (min(low, size), max(high, size))
            for position, each in enumerate(value[:_MAX_POSITIONS]):
                if isinstance(each, (dict, list)):
                    visit(each, f"{path}.{position}", depth + 1)

    for row in rows:
        visit(row, "", 0)
    return lengths


def _kept(shortest: int, longest: int) -> int:
    return longest if shortest == longest <= _MAX_POSITIONS else 1


def _flatten(
    row: dict[str, Any], lengths: dict[str, tuple[int, int]], skipped: Counter[str]
) -> Iterator[tuple[str, Any]]:
    stack: list[tuple[str, Any, int]] = [("", row, 0)]
    while stack:
        path, value, depth = stack.pop()
        if isinstance(value, dict) and (value or not path):
            for key, each in reversed(value.items()):
                nested = depth or (isinstance(each, (dict, list)) and not is_conversation(each))
                if key != key.strip() or not key or (nested and "." in key) or not _is_storable(key):
                    skipped[f"the key {ascii(key)[:60]}, which no path can name"] += 1
                elif depth >= _MAX_DEPTH:
                    skipped[f"what lies below '{path}' (nested too deeply)"] += 1
                else:
                    stack.append((f"{path}.{key}" if path else key, each, depth + 1))
        elif isinstance(value, list) and value and not is_conversation(value):
            shortest, longest = lengths.get(path, (0, 0))
            if shortest == longest > _MAX_POSITIONS:
                skipped[f"'{path}', a vector of {longest} values"] += 1
                continue
            for position in reversed(range(min(len(value), _kept(shortest, longest)))):
                stack.append((f"{path}.{position}", value[position], depth + 1))
        else:
            yield path, None if value in ({}, []) else value


def _is_storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


# ---- CSV


def _sample_csv(files: Sequence[Path]) -> Sample:
    notes: list[str] = []
    dialect = sniff_dialect(files[0])
    names: list[str] = list(dialect.columns)
    records: list[list[str]] = []
    for path in files:
        read = split_csv(_some_lines(path), dialect)
        first = next(read, None)
        if first is None:
            continue
        lines, _, fault = first
        if fault is not None:
            raise SeedError(f"{path.name}:{lines[0].number}: the first line is unusable: {fault.detail}")
        cells = (cells for _, cells, fault in itertools.chain([first], read) if fault is None)
        if dialect.header:
            here = name_columns(next(cells))
            names = names or here
            if here != names:
                notes.append(f"{path.name} has other columns than {files[0].name}; its rows were not looked at")
                continue
        records.extend(itertools.islice((row for row in cells if len(row) == len(names)), SAMPLE_ROWS - len(records)))
    columns = {name: [row[index] for row in records] for index, name in enumerate(names)}
    nulls = _find_null_words(columns, dialect)
    dialect = dialect.model_copy(update={"null_values": ("", *nulls)})
    return Sample(columns, len(records), True, dialect, notes)


def sniff_dialect(path: Path) -> CsvSpec:
    """Return the delimiter of a CSV file, whether its first line names the columns, and names if it does not.

    The delimiter is the one that splits most records into the same number (two or more) of values. A first line whose
    cells look like the data below it is data.
    """
    lines = list(itertools.islice(iter_lines(path), _SNIFF_LINES))
    best, most = CsvSpec(), (False, 0.0, 0)
    for delimiter in _DELIMITERS:
        dialect = CsvSpec.model_construct(delimiter=delimiter)
        records = _split(lines, dialect)
        widths = Counter(len(record) for record in records)
        width, count = max(widths.items(), key=lambda item: (item[1], item[0]), default=(0, 0))
        share = round(count / max(len(records), 1), 2)
        fitness = (bool(records) and len(records[0]) == width, share, width)
        if width > 1 and share >= 0.5 and fitness > most:
            best, most = dialect, fitness
    records = _split(lines, best)
    if not records or _has_header(records):
        return best
    width = Counter(len(record) for record in records).most_common(1)[0][0]
    return best.model_copy(update={"header": False, "columns": tuple(f"column_{i + 1}" for i in range(width))})


def _split(lines: Sequence[Line], dialect: CsvSpec) -> list[list[str]]:
    records = [cells for _, cells, fault in split_csv(iter(lines), dialect) if fault is None]
    return [[cell.strip() for cell in record] for record in records]


def _has_header(records: Sequence[Sequence[str]]) -> bool:
    head = records[0]
    body = [record for record in records[1 : _BODY_ROWS + 1] if len(record) == len(head)]
    if not body:
        return True
    votes = sum(_vote_header(cell, [record[index] for record in body]) for index, cell in enumerate(head))
    if votes == 0:
        return len(set(head)) == len(head) and all(re.fullmatch(r"[^\W\d][\w .\-/()#%]{0,40}", cell) for cell in head)
    return votes > 0


def _vote_header(cell: str, below: Sequence[str]) -> float:
    """Return above 0 if a first cell looks like a column's name, below 0 if it looks like one more of its values."""
    values = [value for value in below if value and value not in _MISSING_WORDS]
    if _HEADER_WORDS.fullmatch(cell.lower()) and cell not in values:
        return 3.0
    if not values:
        return 0.0
    if not cell or cell in _MISSING_WORDS:
        return 0.5 if not cell and len(set(values)) == len(values) else 0.0  # an unnamed index column
    shapes = [_shape(value) for value in values]
    shape, count = Counter(shapes).most_common(1)[0]
    if count >= 0.9 * len(values) and shape != "word":
        return -1.0 if _shape(cell) == shape else 2.0
    if cell in values:
        return -1.0 if len(set(values)) < len(values) else -3.0
    if len(set(values)) <= len(values) / 5:
        return 0.5
    longest = sorted(len(value) for value in values)[len(values) // 2]
    return 0.5 if len(cell) * 2 < longest and len(cell) <= 40 else (-0.5 if len(cell) > 60 else 0.0)


def _shape(text: str) -> str:
    if re.fullmatch(NUMBER, text):
        return "number"
    if re.fullmatch(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ].*)?", text):
        return "date"
    return "truth" if text.lower() in ("true", "false") else "word"


def _find_null_words(columns: dict[str, list[str]], dialect: CsvSpec) -> list[str]:
    found: set[str] = set()
    for name, values in columns.items():
        cells = pl.Series(name, values, dtype=pl.String)
        cells = cells.str.strip_chars() if dialect.strip else cells
        present = set(cells.unique().to_list())
        found |= present & set(_MISSING_WORDS)
        among = present & set(_MISSING_AMONG_NUMBERS)
        if among:
            rest = cells.filter(~cells.is_in([*_MISSING_WORDS, *_MISSING_AMONG_NUMBERS, ""]))
            if rest.len() and rest.str.contains(NUMBER).sum() >= 0.99 * rest.len():
                found |= among
    return [word for word in (*_MISSING_WORDS, *_MISSING_AMONG_NUMBERS) if word in found]
