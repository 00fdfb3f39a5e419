"""CSV text as records: quoted line feeds, column names, and quotes that are never closed.

Here: where a CSV record starts and ends. Not here: lines (files.py), batches (parsing.py), types (columns.py).
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator, Sequence

from synth_assets.errors import SeedError
from synth_assets.seeds.files import MAX_LINE_BYTES, Fault, Line
from synth_assets.spec import CsvSpec


def name_columns(header: Sequence[str]) -> list[str]:
    """Return usable column names of a header line: an empty one is column_<position>, a repeated one gets _2, _3 …"""
    names: list[str] = []
    for position, cell in enumerate(header, start=1):
        name = base = cell.strip() or f"column_{position}"
        again = 1
        while name in names:
            again += 1
            name = f"{base}_{again}"
        names.append(name)
    return names


class _OverlongRecordError(Exception):
    pass


class _RecordLines:
    """Feeds csv.reader with lines and remembers those of the current record, so that they can be read again."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self._again: deque[Line] = deque()
        self._record: list[Line] = []
        self._size = 0

    def __iter__(self) -> _RecordLines:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self._record.append(line)
        self._size += len(line.data)
        if self._size > MAX_LINE_BYTES and len(self._record) > 1:
            raise _OverlongRecordError
        return line.text

    def take(self) -> list[Line]:
        record, self._record, self._size = self._record, [], 0
        return record

    def retry(self, lines: list[Line]) -> None:
        self._again.extendleft(reversed(lines))


def split_csv(lines: Iterator[Line], dialect: CsvSpec) -> Iterator[tuple[list[Line], list[str], Fault | None]]:
    """Yield every CSV record as its physical lines, its cells and what is wrong with it; blank lines are skipped.

    A quote that is never closed costs the line it stands in, not the rest of the file.
    """
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_BYTES))  # process-wide; lines are bounded in any case
    feed = _RecordLines(lines)
    skip_spaces = dialect.strip and dialect.delimiter != " "
    try:
        reader = csv.reader(feed, delimiter=dialect.delimiter, strict=True, skipinitialspace=skip_spaces)
    except (TypeError, ValueError, csv.Error) as error:
        raise SeedError(f"source.csv.delimiter: {dialect.delimiter!r} cannot separate values: {error}") from error
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, _OverlongRecordError) as error:
            record = feed.take()
            last = record[-1].fault
            if last is not None and last.reason == "unreadable_file":
                yield record, [], last
            else:
                feed.retry(record[1:])
                yield record[:1], [], record[0].fault or Fault("bad_csv", _explain_csv(error))
            continue
        record = feed.take()
        fault = next((line.fault for line in record if line.fault is not None), None)
        if fault is not None or len(cells) > 1 or (cells and not record[0].text.isspace()):
            yield record, cells, fault


def _explain_csv(error: Exception) -> str:
    if isinstance(error, _OverlongRecordError) or "end of data" in str(error):
        return "a quote opened in this line is never closed; close it, or write quotes inside a quoted value twice"
    if "expected after" in str(error):
        return "text follows a closing quote; write quotes inside a quoted value twice"
    return str(error)
