"""Seed files as files: which ones belong to a data set, and their lines as bytes, whatever state they are in.

Here: globs confined to the folder, decompression, line splitting, damage, encodings. Not here: what a line means
(parsing.py) and what a value must be (columns.py).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from synth_assets.errors import SeedError
from synth_assets.spec import DatasetSpec

MONITOR = "monitor"
SPEC_FILE = "dataset.yaml"
MAX_LINE_BYTES = 16_000_000
RAW_CHARACTERS = 2_000
FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
_CODECS = {".gz": "gzip", ".zst": "zstd"}
_BLOCK = 1 << 18
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class Fault(NamedTuple):
    """Why a record is rejected: a short code, and a sentence for the person who mends the file."""

    reason: str
    detail: str


class Line(NamedTuple):
    """One physical line: 1-based number, bytes (the first 8,000 of an overlong one), text, and what is wrong with it.

    `text` is empty for a line that is too long or cut off, and holds escapes in place of bytes that are not UTF-8.
    """

    number: int
    data: bytes
    text: str
    fault: Fault | None


@dataclass(frozen=True)
class Selection:
    """The files of a data set, in order, and the links that were left out because they lead elsewhere."""

    files: list[Path]
    outside: list[Path]


def file_format(path: Path) -> str | None:
    """Return jsonl, csv or parquet by the file's name (.gz and .zst looked through); None for anything else."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _CODECS:
        suffixes.pop()
        return None if not suffixes or FORMATS.get(suffixes[-1]) == "parquet" else FORMATS.get(suffixes[-1])
    return FORMATS.get(suffixes[-1]) if suffixes else None


def select_files(spec: DatasetSpec, folder: Path) -> Selection:
    """Return the data set's seed files, sorted by name; SeedError where there is none or a pattern leaves the folder.

    Never monitor/, dataset.yaml, hidden files, or links that lead out of the folder (those come back as `outside`).
    With a bundled set only files that source.files names.
    """
    if spec.source.uri and not spec.source.files:
        return Selection([], [])
    if not folder.is_dir():
        raise SeedError(f"{folder}: there is no such folder; put the seed files of '{spec.name}' there")
    patterns = spec.source.files or ("*",)
    for pattern in patterns:
        parts = PurePosixPath(pattern.replace("\\", "/"))
        if not pattern or parts.is_absolute() or ".." in parts.parts:
            raise SeedError(
                f"{folder / SPEC_FILE}: source.files: '{pattern}' leaves the data set's folder; "
                "name files inside it and copy the data there"
            )
    found = sorted({path for pattern in patterns for path in _match(folder, pattern)})
    selection = _confine(found, folder)
    for path in selection.files:
        if file_format(path) is None and path.relative_to(folder).as_posix() in spec.source.files:
            raise SeedError(f"{path}: unknown format; .jsonl, .ndjson, .csv, .tsv (also .gz, .zst), .parquet are read")
    files = [path for path in selection.files if file_format(path) is not None]
    if not files:
        raise SeedError(f"{folder}: no seed files{_explain_none(spec, found, selection.outside)}")
    return Selection(files, [path for path in selection.outside if file_format(path) is not None])


def select_monitor_files(folder: Path) -> Selection:
    """Return the readable files of folder/monitor, sorted by name; none where the folder is absent."""
    inside = folder / MONITOR
    if not inside.is_dir():
        return Selection([], [])
    found = [path for path in sorted(inside.iterdir()) if path.is_file() and file_format(path) is not None]
    return _confine(found, inside)


def _match(folder: Path, pattern: str) -> list[Path]:
    try:
        found = [path for path in folder.glob(pattern) if path.is_file()]
    except (ValueError, NotImplementedError) as error:
        raise SeedError(f"{folder / SPEC_FILE}: source.files: '{pattern}' is no file name: {error}") from error
    if not found and not any(sign in pattern for sign in "*?["):
        raise SeedError(f"{folder / pattern}: source.files names it, but there is no such file")
    return found


def _confine(found: list[Path], folder: Path) -> Selection:
    root = folder.resolve()
    files: dict[Path, Path] = {}
    outside: list[Path] = []
    for path in found:
        target = path.resolve()
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if not target.is_relative_to(root):
            outside.append(path)
            continue
        inside = target.relative_to(root).parts
        if inside[0] != MONITOR and inside != (SPEC_FILE,):
            files.setdefault(target, path)  # two names of one file are one file
    return Selection(list(files.values()), outside)


def _explain_none(spec: DatasetSpec, found: list[Path], outside: list[Path]) -> str:
    if outside:
        return f": {outside[0].name} is a link that leaves the folder; copy the file instead"
    others = [path.name for path in found if path.name != SPEC_FILE and not path.name.startswith(".")][:5]
    there = f"; found only {', '.join(others)}" if others else ""
    if spec.source.files:
        return f" that are read match source.files ({', '.join(spec.source.files)}){there}"
    return f": a .jsonl, .csv or .parquet file is expected (.jsonl and .csv also as .gz or .zst){there}"


def iter_lines(path: Path) -> Iterator[Line]:
    """Yield the physical lines of a file (decompressed), blank ones included; OSError if it cannot be opened.

    A line over 16 MB is passed over without being held in memory. A damaged archive ends with one faulty line at the
    point of damage. After a UTF-16 mark every line is faulty. A UTF-8 mark is dropped.
    """
    source = _Source(path)
    with io.BufferedReader(source, _BLOCK) as stream:
        start = stream.peek(4)[:4]
        wide = start.startswith(_UTF16_MARKS)
        if start.startswith(_UTF8_MARK):
            stream.read(len(_UTF8_MARK))
        number, complete = 0, True
        while data := stream.readline(MAX_LINE_BYTES + 1):
            number += 1
            complete = data.endswith(b"\n")
            if len(data) > MAX_LINE_BYTES:
                data, size, complete = _skip_line(stream, data)
                fault = Fault("line_too_long", f"the line has {size:,} bytes; at most {MAX_LINE_BYTES:,} are read")
                yield Line(number, data, "", fault)
            elif source.damage and not complete:
                yield Line(number, data, "", Fault("unreadable_file", source.damage))
            else:
                yield _decode(number, data, wide)
        if source.damage and complete:
            yield Line(number + 1, b"", "", Fault("unreadable_file", source.damage))


def _skip_line(stream: io.BufferedIOBase, data: bytes) -> tuple[bytes, int, bool]:
    kept, size, complete = data[:8_000], len(data), data.endswith(b"\n")
    del data
    while not complete and (more := stream.readline(_BLOCK)):
        size += len(more)
        complete = more.endswith(b"\n")
    return kept, size, complete


def _decode(number: int, data: bytes, wide: bool) -> Line:
    if wide or b"\0" in data:
        sign = "a UTF-16 byte order mark" if wide else "NUL bytes"
        return Line(number, data, "", Fault("not_utf8", f"{sign}: looks like UTF-16; save the file as UTF-8"))
    try:
        return Line(number, data, data.decode(), None)
    except UnicodeDecodeError as error:
        detail = f"byte 0x{data[error.start]:02x} at position {error.start + 1} is not UTF-8; save the file as UTF-8"
        return Line(number, data, data.decode(errors="surrogateescape"), Fault("not_utf8", detail))


def raw_text(data: bytes | str) -> str:
    """Return the first 2,000 characters of a record as found, safe to store: NULs dropped, other bytes replaced."""
    text = data if isinstance(data, str) else data[: 8 * RAW_CHARACTERS].decode("utf-8", "replace")
    return text.replace("\0", "").rstrip("\r\n")[:RAW_CHARACTERS].encode("utf-8", "replace").decode()


class _Source(io.RawIOBase):
    """The bytes of a file, decompressed. At damage it ends early and says so in `damage`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream = self._open()
        self._position = 0
        self.damage = ""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.damage:
            return 0
        try:
            data = self._stream.read(len(buffer))
        except (OSError, ValueError) as error:  # pyarrow raises both
            data = self._salvage(len(buffer), error)
        self._position += len(data)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()

    def _open(self) -> Any:
        codec = _CODECS.get(self._path.suffix.lower())
        if codec is None:
            return io.FileIO(self._path)
        import pyarrow as pa

        return pa.CompressedInputStream(pa.OSFile(str(self._path)), codec)

    def _salvage(self, size: int, error: Exception) -> bytes:
        # A failing read drops what it had already decoded, so the stretch before the damage is read byte by byte.
        self.damage = f"the file is damaged or cut off here ({error}); the rows before this point were read"
        data = bytearray()
        try:
            self._stream = self._open()
            ahead = self._position
            while ahead and (skipped := self._stream.read(min(_BLOCK, ahead))):
                ahead -= len(skipped)
            while len(data) < size and (byte := self._stream.read(1)):
                data += byte
        except (OSError, ValueError):
            pass
        return bytes(data)
