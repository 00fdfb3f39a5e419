"""What reading seeds promises: typed rows, every other row kept with its reason, nothing from outside the folder."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import json
import time
import tracemalloc
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synth_assets.errors import SeedError, SpecError
from synth_assets.records import MESSAGES, add_real_ids
from synth_assets.seeds.files import MAX_LINE_BYTES
from synth_assets.seeds.reading import Reading, fingerprint, list_seed_files, read_monitor, read_seeds
from synth_assets.spec import DatasetSpec, parse_spec
from synth_assets_tests.paths import NO_SHARED_DATA, SHARED_DATA

TEXT = {"name": "text", "type": "text"}
LABEL = {"name": "label", "type": "category", "role": "target"}


def make_spec(*fields: dict[str, Any], constraints: tuple[str, ...] = (), **source: Any) -> DatasetSpec:
    rights = {"license": "MIT", "consent": {"basis": "not_personal"}}
    content = {"name": "demo", "fields": list(fields), "constraints": constraints, "source": {**rights, **source}}
    return parse_spec(content, where="test")


PAIR = make_spec(TEXT, LABEL)


def write_jsonl(path: Path, *rows: Any) -> Path:
    path.write_bytes("".join(json.dumps(row) + "\n" for row in rows).encode())
    return path


def reject_of(reading: Reading) -> dict[str, Any]:
    assert reading.rejected.height == 1
    return reading.rejected.row(0, named=True)


def read_value(folder: Path, field: dict[str, Any], value: Any) -> Reading:
    """Read one JSON value next to a good row, so that the data set as a whole is usable."""
    write_jsonl(folder / "a.jsonl", {"text": "ok", "v": value}, {"text": "ok"})
    return read_seeds(make_spec(TEXT, {"name": "v", "nullable": True, **field}), folder)


def read_cell(folder: Path, field: dict[str, Any], cell: str) -> Reading:
    with (folder / "a.csv").open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([["text", "v"], ["ok", cell], ["ok", ""]])
    return read_seeds(make_spec(TEXT, {"name": "v", "nullable": True, **field}), folder)


# ---- files


def test_rows_have_the_agreed_columns(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", {"text": "one", "label": "x"})
    reading = read_seeds(make_spec(TEXT, LABEL), tmp_path)
    assert dict(reading.rows.schema) == {
        "text": pl.String,
        "label": pl.String,
        "source_file": pl.String,
        "source_line": pl.Int64,
        "license": pl.String,
        "consent": pl.String,
        "is_private": pl.Boolean,
    }
    assert reading.rows.row(0) == ("one", "x", "a.jsonl", 1, "MIT", "not_personal", False)


def test_rows_take_real_ids(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", {"text": "one"}, {"text": "one"})
    spec = make_spec(TEXT)
    assert add_real_ids(read_seeds(spec, tmp_path).rows, spec).get_column("example_id").n_unique() == 2


def test_files_are_counted_with_digest_and_size(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", {"text": "one"}, {"text": 3})
    row = read_seeds(make_spec(TEXT), tmp_path).files.row(0, named=True)
    assert row["bytes"] == path.stat().st_size
    assert len(row["sha256"]) == 64
    assert (row["source_file"], row["rows"], row["rejected"]) == ("a.jsonl", 1, 1)


def test_an_empty_file_is_counted_with_no_rows(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", {"text": "one"})
    (tmp_path / "b.jsonl").touch()
    (tmp_path / "c.csv").touch()
    files = read_seeds(make_spec(TEXT), tmp_path).files
    assert files.select("source_file", "rows").rows() == [("a.jsonl", 1), ("b.jsonl", 0), ("c.csv", 0)]


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.ndjson", "A.JSONL", "a.jsonl.gz", "a.jsonl.zst", "a.csv.gz", "a.parquet"]
)
def test_every_format_is_read(tmp_path: Path, name: str) -> None:
    frame = pl.DataFrame({"text": ["größe, 雪", "two"], "label": ["x", "y"]})
    if name.endswith(".parquet"):
        frame.write_parquet(tmp_path / name)
    else:
        content = (frame.write_csv() if ".csv" in name else frame.write_ndjson()).encode()
        codec = {".gz": "gzip", ".zst": "zstd"}.get(Path(name).suffix)
        with (tmp_path / name).open("wb") as handle:
            if codec:
                with pa.CompressedOutputStream(handle, codec) as stream:
                    stream.write(content)
            else:
                handle.write(content)
    rows = read_seeds(make_spec(TEXT, LABEL), tmp_path).rows
    assert rows.select("text", "label").equals(frame)


def test_a_utf8_mark_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbftext\nhello\n")
    (tmp_path / "b.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "world"}\n')
    assert read_seeds(make_spec(TEXT), tmp_path).rows.get_column("text").to_list() == ["hello", "world"]


def test_without_patterns_only_known_formats_are_taken(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.csv", "notes.txt", "dataset.yaml", ".hidden.csv", "c.parquet.gz"):
        (tmp_path / name).write_text("text\n")
    assert [path.name for path in list_seed_files(make_spec(TEXT), tmp_path)] == ["a.csv", "b.jsonl"]


def test_patterns_choose_files_in_subfolders(tmp_path: Path) -> None:
    (tmp_path / "2024").mkdir()
    for name in ("2024/a.csv", "2024/b.csv", "c.csv"):
        (tmp_path / name).write_text("text\nhi\n")
    spec = make_spec(TEXT, files=["2024/*.csv"])
    assert list_seed_files(spec, tmp_path) == [tmp_path / "2024/a.csv", tmp_path / "2024/b.csv"]
    assert read_seeds(spec, tmp_path).files.get_column("source_file").to_list() == ["2024/a.csv", "2024/b.csv"]


@pytest.mark.parametrize("pattern", ["../secret.jsonl", "/etc/passwd", "a/../../secret.jsonl", "**/../*.jsonl"])
def test_a_pattern_that_leaves_the_folder_is_refused(tmp_path: Path, pattern: str) -> None:
    inside = tmp_path / "demo"
    inside.mkdir()
    write_jsonl(tmp_path / "secret.jsonl", {"text": "secret"})
    with pytest.raises(SeedError, match="leaves the data set's folder"):
        list_seed_files(make_spec(TEXT, files=[pattern]), inside)


def test_a_link_that_leaves_the_folder_is_never_read_and_told(tmp_path: Path) -> None:
    inside = tmp_path / "demo"
    inside.mkdir()
    (inside / "link.jsonl").symlink_to(write_jsonl(tmp_path / "secret.jsonl", {"text": "secret"}))
    own = write_jsonl(inside / "own.jsonl", {"text": "own"})
    assert list_seed_files(make_spec(TEXT), inside) == [own]
    reading = read_seeds(make_spec(TEXT), inside)
    assert reading.rows.get_column("text").to_list() == ["own"]
    assert reject_of(reading)["reason"] == "unreadable_file"


def test_a_linked_folder_outside_is_not_entered(tmp_path: Path) -> None:
    inside, outside = tmp_path / "demo", tmp_path / "other"
    inside.mkdir()
    outside.mkdir()
    write_jsonl(outside / "a.jsonl", {"text": "secret"})
    (inside / "sub").symlink_to(outside)
    with pytest.raises(SeedError, match="leaves the folder"):
        list_seed_files(make_spec(TEXT, files=["sub/*.jsonl"]), inside)


def test_two_names_of_one_file_are_read_once(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").symlink_to(write_jsonl(tmp_path / "a.jsonl", {"text": "once"}))
    assert read_seeds(make_spec(TEXT), tmp_path).rows.height == 1


@pytest.mark.parametrize("pattern", ["**/*.jsonl", "monitor/*.jsonl", "way_in.jsonl"])
def test_monitor_files_are_never_seeds(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "monitor").mkdir()
    (tmp_path / "way_in.jsonl").symlink_to(write_jsonl(tmp_path / "monitor" / "new.jsonl", {"text": "new"}))
    with pytest.raises(SeedError):
        list_seed_files(make_spec(TEXT, files=[pattern]), tmp_path)


def test_no_files_is_an_error_that_names_what_lies_there(tmp_path: Path) -> None:
    (tmp_path / "data.xlsx").touch()
    with pytest.raises(SeedError, match=r"found only data\.xlsx"):
        list_seed_files(make_spec(TEXT), tmp_path)


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", {"text": "one"})
    with pytest.raises(SeedError, match=r"b\.jsonl: source\.files names it"):
        list_seed_files(make_spec(TEXT, files=["a.jsonl", "b.jsonl"]), tmp_path)


def test_a_named_file_of_unknown_format_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(SeedError, match="unknown format"):
        list_seed_files(make_spec(TEXT, files=["a.json"]), tmp_path)


def test_a_pattern_takes_only_files_of_known_formats(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", {"text": "one"})
    (tmp_path / "README.md").write_text("about")
    assert list_seed_files(make_spec(TEXT, files=["*"]), tmp_path) == [tmp_path / "a.jsonl"]


# ---- fingerprint


def test_the_fingerprint_stays_while_nothing_changes(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", {"text": "one"})
    first = fingerprint(make_spec(TEXT), tmp_path)
    assert len(first) == 32
    assert fingerprint(make_spec(TEXT), tmp_path) == first


@pytest.mark.parametrize("change", ["a.jsonl", "dataset.yaml", "new.csv"])
def test_the_fingerprint_follows_every_file(tmp_path: Path, change: str) -> None:
    (tmp_path / "dataset.yaml").write_text("name: demo\n")
    write_jsonl(tmp_path / "a.jsonl", {"text": "one"})
    before = fingerprint(make_spec(TEXT), tmp_path)
    with (tmp_path / change).open("a") as handle:
        handle.write("\n")
    assert fingerprint(make_spec(TEXT), tmp_path) != before


def test_the_fingerprint_ignores_monitor_files(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", {"text": "one"})
    before = fingerprint(make_spec(TEXT), tmp_path)
    (tmp_path / "monitor").mkdir()
    write_jsonl(tmp_path / "monitor" / "m.jsonl", {"text": "two"})
    assert fingerprint(make_spec(TEXT), tmp_path) == before


def test_the_fingerprint_of_a_bundled_set_is_its_name(tmp_path: Path) -> None:
    prints = {fingerprint(make_spec(TEXT, uri=f"sklearn:{name}"), tmp_path) for name in ("iris", "wine")}
    assert len(prints) == 2


# ---- JSON lines


def test_a_path_reaches_into_nested_data(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", {"instances": [{"output": "deep"}], "a.b": "dotted key"})
    spec = make_spec({**TEXT, "source": "instances.0.output"}, {"name": "ab", "type": "text", "source": "a.b"})
    assert read_seeds(spec, tmp_path).rows.select("text", "ab").row(0) == ("deep", "dotted key")


def test_a_path_that_ends_early_is_a_missing_field(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", {"x": [{"y": "ok"}]}, {"x": []}, {"x": "flat"}, {"x": None})
    rejected = read_seeds(make_spec({**TEXT, "source": "x.0.y"}), tmp_path).rejected
    assert rejected.select("source_line", "reason").rows() == [(line, "missing_field") for line in (2, 3, 4)]


def test_extra_keys_are_ignored(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", {"text": "one", "extra": {"deep": [1, "\ud800"]}})
    assert read_seeds(make_spec(TEXT), tmp_path).rejected.is_empty()


def test_blank_lines_count_as_lines_and_are_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('\n  \n{"text": "one"}\r\n\n{"text": "two"}')
    reading = read_seeds(make_spec(TEXT), tmp_path)
    assert reading.rows.get_column("source_line").to_list() == [3, 5]
    assert reading.rejected.is_empty()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"text": "cut', "bad_json"),
        ('{"text": "a"} trailing', "bad_json"),
        ('{"text": "a", "text": "b"}', "bad_json"),
        ('{"text": "ok", "x": {"k": 1, "k": 2}}', "bad_json"),
        ('{"text": ' + "[" * 100_000 + "]" * 100_000 + "}", "bad_json"),
        ('["text"]', "not_an_object"),
        ("null", "not_an_object"),
        ('"text"', "not_an_object"),
        ('{"text": "\\ud800"}', "not_utf8"),
        ('{"text": "a\x00b"}', "not_utf8"),
        ('{"text": ' + "9" * 5_000 + "}", "wrong_type"),
        ('{"text": 12}', "wrong_type"),
        ('{"text": ["a"]}', "wrong_type"),
        ('{"text": true}', "wrong_type"),
        ('{"text": null}', "missing_field"),
        ('{"text": "  "}', "missing_field"),
        ("{}", "missing_field"),
    ],
)
def test_a_malformed_json_line_is_rejected_and_the_rest_is_read(tmp_path: Path, line: str, reason: str) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"text": "before"}}\n{line}\n{{"text": "after"}}\n')
    reading = read_seeds(make_spec(TEXT), tmp_path)
    assert reading.rows.get_column("source_line").to_list() == [1, 3]
    reject = reject_of(reading)
    assert (reject["source_file"], reject["source_line"], reject["reason"]) == ("a.jsonl", 2, reason)
    assert reject["detail"]
    assert reject["raw"] == line.replace("\x00", "")[:2000]


def test_bytes_that_are_not_utf8_are_told_with_their_place(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "ok"}\n{"text": "gr\xf6\xdfe"}\n')
    reject = reject_of(read_seeds(make_spec(TEXT), tmp_path))
    assert reject["reason"] == "not_utf8"
    assert "0xf6" in reject["detail"]
    assert "save the file as UTF-8" in reject["detail"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["wide.jsonl", "wide.csv"])
def test_a_utf16_file_is_rejected_line_by_line_with_advice(tmp_path: Path, encoding: str, name: str) -> None:
    write_jsonl(tmp_path / "a.jsonl", {"text": "fine"})
    (tmp_path / name).write_bytes('{"text": "one"}\n{"text": "two"}\n'.encode(encoding))
    reading = read_seeds(make_spec(TEXT), tmp_path)
    assert reading.rows.get_column("text").to_list() == ["fine"]
    assert reading.rejected.height >= 2
    assert set(reading.rejected.get_column("reason")) == {"not_utf8"}
    assert "UTF-16" in reading.rejected.get_column("detail")[0]


def test_a_line_of_100_mb_is_passed_over_in_little_memory(tmp_path: Path) -> None:
    with (tmp_path / "a.jsonl").open("wb") as handle:
        handle.write(b'{"text": "before"}\n{"text": "')
        for _ in range(100):
            handle.write(b"x" * 1_000_000)
        handle.write(b'"}\n{"text": "after"}\n')
    tracemalloc.start()
    reading = read_seeds(make_spec(TEXT), tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * MAX_LINE_BYTES
    assert reading.rows.get_column("source_line").to_list() == [1, 3]
    reject = reject_of(reading)
    assert (reject["source_line"], reject["reason"], len(reject["raw"])) == (2, "line_too_long", 2000)


def test_messages_keep_role_and_content(tmp_path: Path) -> None:
    talk = [{"role": "user", "content": "hi", "name": "x"}, {"role": "assistant", "content": ""}]
    reading = read_value(tmp_path, {"type": "messages"}, talk)
    assert reading.rows.schema["v"] == MESSAGES
    assert reading.rows["v"].to_list()[0] == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": ""},
    ]


@pytest.mark.parametrize(
    "value", ["hi", {"role": "user", "content": "hi"}, [{"role": "user"}], [{"role": "user", "content": 3}], ["hi"]]
)
def test_what_is_no_conversation_is_a_wrong_type(tmp_path: Path, value: Any) -> None:
    assert reject_of(read_value(tmp_path, {"type": "messages"}, value))["reason"] == "wrong_type"


def test_messages_are_as_long_as_their_contents(tmp_path: Path) -> None:
    talk = [{"role": "user", "content": "x" * 6}, {"role": "assistant", "content": "y" * 5}]
    assert reject_of(read_value(tmp_path, {"type": "messages", "max_length": 10}, talk))["reason"] == "too_long"


@pytest.mark.parametrize("value", [[], [{"role": "user", "content": " "}]])
def test_an_empty_conversation_is_missing(tmp_path: Path, value: Any) -> None:
    field = {"type": "messages", "nullable": False}
    write_jsonl(tmp_path / "z.jsonl", {"text": "ok", "v": [{"role": "user", "content": "hi"}]})
    assert set(read_value(tmp_path, field, value).rejected.get_column("reason")) == {"missing_field"}


# ---- values of JSON


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("integer", 3, 3),
        ("integer", 3.0, 3),
        ("integer", -(2**63), -(2**63)),
        ("integer", float("nan"), None),
        ("number", 3, 3.0),
        ("number", 2.5, 2.5),
        ("number", float("inf"), None),
        ("boolean", True, True),
        ("date", "2024-02-29", dt.date(2024, 2, 29)),
        ("date", "2024-02-29T00:00:00", dt.date(2024, 2, 29)),
        ("category", "a", "a"),
        ("category", 7, "7"),
        ("category", "", None),
        ("text", "", None),
        ("text", " kept ", " kept "),
        ("code", "  x = 1\n", "  x = 1\n"),
    ],
)
def test_a_json_value_of_the_right_type_is_taken(tmp_path: Path, kind: str, value: Any, expected: Any) -> None:
    reading = read_value(tmp_path, {"type": kind}, value)
    assert reading.rejected.is_empty()
    assert reading.rows["v"].to_list() == [expected, None]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("integer", "12"),
        ("integer", 2.5),
        ("integer", True),
        ("integer", 2**63),
        ("integer", 1e300),
        ("number", "1.5"),
        ("number", False),
        ("number", 10**400),
        ("boolean", 1),
        ("boolean", "true"),
        ("date", "29.02.2024"),
        ("date", "2023-02-29"),
        ("date", "2024-01-01T10:00:00"),
        ("date", "20240101"),
        ("date", 20240101),
        ("category", 1.5),
        ("category", True),
        ("text", 12),
        ("code", {"a": 1}),
    ],
)
def test_a_json_value_of_another_type_is_rejected(tmp_path: Path, kind: str, value: Any) -> None:
    reject = reject_of(read_value(tmp_path, {"type": kind}, value))
    assert (reject["source_line"], reject["reason"]) == (1, "wrong_type")
    assert reject["detail"].startswith("v: ")


# ---- CSV


@pytest.mark.parametrize(
    ("kind", "cell", "expected"),
    [
        ("integer", "3", 3),
        ("integer", " +3 ", 3),
        ("integer", "3.0", 3),
        ("integer", "1e3", 1000),
        ("integer", "9007199254740993.0", 9007199254740993),
        ("integer", "nan", None),
        ("number", "3", 3.0),
        ("number", "-.5e1", -5.0),
        ("number", "-inf", None),
        ("number", "NaN", None),
        ("boolean", "TRUE", True),
        ("boolean", "no", False),
        ("boolean", "0", False),
        ("date", "2024-12-31", dt.date(2024, 12, 31)),
        ("date", "2024-12-31 00:00:00", dt.date(2024, 12, 31)),
        ("category", "12", "12"),
        ("text", "12", "12"),
        ("text", " spaced ", "spaced"),
        ("messages", '[{"role": "user", "content": "hi"}]', [{"role": "user", "content": "hi"}]),
    ],
)
def test_a_csv_cell_is_parsed(tmp_path: Path, kind: str, cell: str, expected: Any) -> None:
    reading = read_cell(tmp_path, {"type": kind}, cell)
    assert reading.rejected.is_empty()
    assert reading.rows["v"].to_list() == [expected, None]


@pytest.mark.parametrize(
    ("kind", "cell", "reason"),
    [
        ("integer", "3.5", "wrong_type"),
        ("integer", "1_000", "wrong_type"),
        ("integer", "1,000", "wrong_type"),
        ("integer", "٣", "wrong_type"),
        ("integer", "9223372036854775808", "wrong_type"),
        ("integer", "1e999999999", "wrong_type"),
        ("integer", "abc", "wrong_type"),
        ("number", "1,5", "wrong_type"),
        ("number", "0x10", "wrong_type"),
        ("boolean", "maybe", "wrong_type"),
        ("date", "12/31/2024", "wrong_type"),
        ("date", "0000-01-01", "wrong_type"),
        ("messages", "hello", "bad_json"),
        ("messages", "{}", "wrong_type"),
    ],
)
def test_a_csv_cell_that_does_not_parse_is_rejected(tmp_path: Path, kind: str, cell: str, reason: str) -> None:
    reject = reject_of(read_cell(tmp_path, {"type": kind}, cell))
    assert (reject["source_line"], reject["reason"]) == (2, reason)


def test_a_quoted_line_feed_keeps_the_line_numbers_true(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b'text,label\r\n"two\r\nlines",x\r\n\r\nplain,y\r\n"a\n\nb",\r\nlast,z\r\n')
    reading = read_seeds(make_spec(TEXT, LABEL), tmp_path)
    assert reading.rows.select("text", "source_line").rows() == [("two\r\nlines", 2), ("plain", 5), ("last", 9)]
    assert reject_of(reading)["source_line"] == 6


def test_the_dialect_of_the_spec_is_used(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('one; "x; y"; ?\ntwo;z;5\n')
    dialect = {"header": False, "columns": ["text", "label", "n"], "delimiter": ";", "null_values": ["?"]}
    spec = make_spec(TEXT, LABEL, {"name": "n", "type": "integer", "nullable": True}, csv=dialect)
    assert read_seeds(spec, tmp_path).rows.select("text", "label", "n", "source_line").rows() == [
        ("one", "x; y", None, 1),
        ("two", "z", 5, 2),
    ]


def test_a_tsv_file_is_split_at_tabs(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("text\tlabel\nHello, you\tx\n")
    assert read_seeds(make_spec(TEXT, LABEL), tmp_path).rows.select("text", "label").row(0) == ("Hello, you", "x")


def test_spaces_are_kept_where_the_dialect_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\n  padded ,x\n")
    rows = read_seeds(make_spec(TEXT, LABEL, csv={"strip": False}), tmp_path).rows
    assert rows["text"].to_list() == ["  padded "]


def test_without_header_and_names_columns_are_numbered(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("hello,x\n")
    spec = make_spec({**TEXT, "source": "column_1"}, {**LABEL, "source": "column_2"}, csv={"header": False})
    assert read_seeds(spec, tmp_path).rows.select("text", "label").row(0) == ("hello", "x")


def test_empty_and_repeated_column_names_can_be_told_apart(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(",text,text\n7,first,second\n")
    spec = make_spec({**TEXT, "source": "text_2"}, {"name": "index", "type": "integer", "source": "column_1"})
    assert read_seeds(spec, tmp_path).rows.select("text", "index").row(0) == ("second", 7)


@pytest.mark.parametrize("line", ["only one", "one,two,three"])
def test_a_row_of_another_width_is_rejected(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.csv").write_text(f"text,label\na,x\n{line}\nb,y\n")
    reject = reject_of(read_seeds(make_spec(TEXT, LABEL), tmp_path))
    assert (reject["source_line"], reject["reason"], reject["raw"]) == (3, "bad_csv", line)
    assert "2 columns (text, label)" in reject["detail"]


def test_a_quote_that_is_never_closed_costs_one_row(tmp_path: Path) -> None:
    good = "".join(f"row {i},x\n" for i in range(500))
    (tmp_path / "a.csv").write_text(f'text,label\na,x\n"never closed,y\n{good}')
    reading = read_seeds(make_spec(TEXT, LABEL), tmp_path)
    assert reading.rows.height == 501
    reject = reject_of(reading)
    assert (reject["source_line"], reject["reason"]) == (3, "bad_csv")
    assert reading.rows["source_line"].to_list()[1:] == list(range(4, 504))


def test_a_stray_quote_before_quoted_rows_costs_one_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('text,label\n"stray,y\n"fine","x"\n"good","x"\n')
    reading = read_seeds(make_spec(TEXT, LABEL), tmp_path)
    assert reading.rows["text"].to_list() == ["fine", "good"]
    assert reject_of(reading)["source_line"] == 2


def test_a_latin1_row_inside_a_csv_is_rejected_alone(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b'text,label\nok,x\n"gr\xf6\xdfe\nmore",y\nlast,z\n')
    reading = read_seeds(make_spec(TEXT, LABEL), tmp_path)
    assert reading.rows["source_line"].to_list() == [2, 5]
    assert (reject_of(reading)["source_line"], reject_of(reading)["reason"]) == (3, "not_utf8")


def test_an_overlong_line_inside_a_csv_is_rejected_alone(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"text,label\nok,x\n" + b"y" * (MAX_LINE_BYTES + 1) + b",x\nlast,z\n")
    reading = read_seeds(make_spec(TEXT, LABEL), tmp_path)
    assert reading.rows["source_line"].to_list() == [2, 4]
    assert (reject_of(reading)["source_line"], reject_of(reading)["reason"]) == (3, "line_too_long")


def test_a_cell_of_a_million_characters_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\n" + "x" * 1_000_000 + "\n")
    rows = read_seeds(make_spec({**TEXT, "max_length": 1_000_000}), tmp_path).rows
    assert rows["text"].str.len_chars().to_list() == [1_000_000]


def test_a_column_that_the_header_lacks_is_missing_in_every_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\nhi\n")
    with pytest.raises(SeedError, match=r"missing_field, first at a\.csv:2: label: is missing"):
        read_seeds(make_spec(TEXT, LABEL), tmp_path)


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), min_size=1, max_size=8))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_csv_record_comes_back_as_a_row_or_a_reject(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows([("text", "label"), ("anchor", "x"), *rows])
    (tmp_path / "a.csv").write_bytes(buffer.getvalue().encode("utf-8", "surrogatepass"))
    reading = read_seeds(PAIR, tmp_path)
    assert reading.rows.height + reading.rejected.height >= 1 + len(rows)


@given(st.binary(max_size=300))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("name", ["z.jsonl", "z.csv", "z.jsonl.gz", "z.csv.zst", "z.parquet"])
def test_no_bytes_make_reading_fail(tmp_path: Path, name: str, content: bytes) -> None:
    write_jsonl(tmp_path / "a.jsonl", {"text": "ok", "label": "x"})
    (tmp_path / name).write_bytes(content)
    reading = read_seeds(PAIR, tmp_path)
    assert reading.rows["source_file"][0] == "a.jsonl"


# ---- Parquet and damaged files


def test_parquet_types_are_taken_as_they_are(tmp_path: Path) -> None:
    pl.DataFrame(
        {
            "text": pl.Series(["a", None], dtype=pl.Categorical),
            "n": pl.Series([1, 2], dtype=pl.UInt8),
            "x": pl.Series(["1.5", "2"]).cast(pl.Decimal(10, 2)),
            "when": [dt.datetime(2024, 1, 2), dt.datetime(2024, 1, 2, 10)],
            "deep": [{"a": [{"b": "v"}]}, {"a": []}],
        }
    ).write_parquet(tmp_path / "a.parquet")
    spec = make_spec(
        TEXT,
        {"name": "n", "type": "integer"},
        {"name": "x", "type": "number"},
        {"name": "day", "type": "date", "source": "when"},
        {"name": "b", "type": "text", "source": "deep.a.0.b"},
    )
    reading = read_seeds(spec, tmp_path)
    assert reading.rows.select("text", "n", "x", "day", "b", "source_line").rows() == [
        ("a", 1, 1.5, dt.date(2024, 1, 2), "v", 1)
    ]
    reject = reject_of(reading)
    assert (reject["source_line"], reject["reason"]) == (2, "missing_field")
    assert json.loads(reject["raw"])["n"] == 2


def test_a_parquet_row_number_is_its_line(tmp_path: Path) -> None:
    pl.DataFrame({"text": [f"row {i}" for i in range(45_000)]}).write_parquet(tmp_path / "a.parquet")
    rows = read_seeds(make_spec(TEXT), tmp_path).rows
    assert rows["source_line"].to_list() == list(range(1, 45_001))


def test_parquet_text_that_is_not_utf8_is_rejected_row_by_row(tmp_path: Path) -> None:
    good = pa.array([b"ok", b"\xff\xfe", b"fine"], type=pa.binary())
    pq.write_table(pa.table({"text": pa.Array.from_buffers(pa.string(), 3, good.buffers())}), tmp_path / "a.parquet")
    reading = read_seeds(make_spec(TEXT), tmp_path)
    assert reading.rows.select("text", "source_line").rows() == [("ok", 1), ("fine", 3)]
    assert (reject_of(reading)["source_line"], reject_of(reading)["reason"]) == (2, "not_utf8")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no parquet at all" * 10])
def test_an_unreadable_parquet_file_costs_only_itself(tmp_path: Path, content: bytes) -> None:
    write_jsonl(tmp_path / "a.jsonl", {"text": "ok"})
    (tmp_path / "b.parquet").write_bytes(content)
    reading = read_seeds(make_spec(TEXT), tmp_path)
    assert reading.rows.height == 1
    reject = reject_of(reading)
    assert (reject["source_file"], reject["reason"]) == ("b.parquet", "unreadable_file")


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_truncated_archive_keeps_the_rows_before_the_damage(tmp_path: Path, codec: str, kind: str) -> None:
    rows = [{"text": f"row number {i} {i * 7919 % 10007}"} for i in range(30_000)]
    text = "".join(json.dumps(row) + "\n" for row in rows) if kind == "jsonl" else pl.DataFrame(rows).write_csv()
    packed = pa.compress(text.encode(), codec=codec, asbytes=True)
    suffix = {"gzip": "gz", "zstd": "zst"}[codec]
    (tmp_path / f"a.{kind}.{suffix}").write_bytes(packed[: len(packed) * 2 // 3])
    reading = read_seeds(make_spec(TEXT), tmp_path)
    kept = reading.rows["text"].to_list()
    assert 10_000 < len(kept) < 30_000
    assert kept == [row["text"] for row in rows[: len(kept)]]
    reject = reject_of(reading)
    assert reject["reason"] == "unreadable_file"
    assert reject["source_line"] == reading.rows["source_line"].max() + 1


def test_an_archive_that_is_none_costs_only_itself(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", {"text": "ok"})
    (tmp_path / "b.jsonl.gz").write_bytes(b'{"text": "not packed"}\n')
    reading = read_seeds(make_spec(TEXT), tmp_path)
    assert reading.rows.height == 1
    assert reject_of(reading)["reason"] == "unreadable_file"


def test_all_parts_of_a_joined_archive_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"text": "1"}\n') + gzip.compress(b'{"text": "2"}\n'))
    assert read_seeds(make_spec(TEXT), tmp_path).rows["text"].to_list() == ["1", "2"]


# ---- bounds and conditions


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ({"type": "category", "values": ["a", "b"]}, "c", "not_allowed"),
        ({"type": "integer", "minimum": 0}, -1, "not_allowed"),
        ({"type": "number", "maximum": 1}, 1.01, "not_allowed"),
        ({"type": "text", "max_length": 3}, "four", "too_long"),
        ({"type": "text", "min_length": 5}, "four", "too_short"),
        ({"type": "code", "max_length": 3}, "four", "too_long"),
    ],
)
def test_a_value_outside_its_bounds_is_rejected(tmp_path: Path, field: Any, value: Any, reason: str) -> None:
    reject = reject_of(read_value(tmp_path, field, value))
    assert reject["reason"] == reason
    assert reject["detail"].startswith("v: ")


def test_length_is_counted_in_characters(tmp_path: Path) -> None:
    assert read_value(tmp_path, {"type": "text", "max_length": 3}, "雪雪😀").rejected.is_empty()


def test_empty_text_is_a_value_where_no_length_is_asked(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", {"text": ""}, {"text": "x"})
    assert read_seeds(make_spec({**TEXT, "min_length": 0}), tmp_path).rows["text"].to_list() == ["", "x"]


def test_an_id_may_be_missing_only_where_nullable(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", {"text": "a"}, {"text": "b", "key": "k"})
    key = {"name": "key", "type": "text", "role": "id"}
    assert read_seeds(make_spec(TEXT, key), tmp_path).rows.height == 1
    assert read_seeds(make_spec(TEXT, {**key, "nullable": True}), tmp_path).rows.height == 2


def test_a_row_that_breaks_a_constraint_is_rejected_with_its_values(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", {"low": 1, "high": 2}, {"low": 3, "high": 2}, {"low": 3})
    fields = [{"name": name, "type": "integer", "nullable": True} for name in ("low", "high")]
    reading = read_seeds(make_spec(*fields, constraints=("low <= high",)), tmp_path)
    reject = reject_of(reading)
    assert (reject["source_line"], reject["reason"]) == (2, "constraint")
    assert reject["detail"] == "low <= high is false: low=3, high=2"


@pytest.mark.parametrize("condition", ["n + 1", "text > 3"])
def test_a_condition_that_is_none_is_an_error_of_the_spec(tmp_path: Path, condition: str) -> None:
    write_jsonl(tmp_path / "a.jsonl", {"text": "a", "n": 1})
    with pytest.raises(SpecError, match="constraints"):
        read_seeds(make_spec(TEXT, {"name": "n", "type": "integer"}, constraints=(condition,)), tmp_path)


def test_all_faults_of_a_row_are_told_at_once(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", {"text": "a", "n": 1}, {"text": 5, "n": "x"})
    reject = reject_of(read_seeds(make_spec(TEXT, {"name": "n", "type": "integer"}), tmp_path))
    assert reject["reason"] == "wrong_type"
    assert "text: the number 5" in reject["detail"]
    assert 'n: the text "x"' in reject["detail"]


def test_without_a_usable_row_the_error_tells_the_commonest_reasons(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", {"text": 1}, {"text": 2}, [])
    with pytest.raises(SeedError) as caught:
        read_seeds(make_spec(TEXT), tmp_path)
    assert "2 × wrong_type, first at a.jsonl:1: text: the number 1" in str(caught.value)
    assert "1 × not_an_object, first at a.jsonl:3" in str(caught.value)


def test_only_empty_files_are_no_seeds(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").touch()
    with pytest.raises(SeedError, match="every file is empty"):
        read_seeds(make_spec(TEXT), tmp_path)


# ---- rights


def test_rights_are_read_row_by_row(tmp_path: Path) -> None:
    row = {"text": "a", "terms": "CC-BY-4.0", "basis": "Consent", "secret": True}
    write_jsonl(tmp_path / "a.jsonl", row, {**row, "secret": False, "basis": "WITHDRAWN "})
    spec = make_spec(
        TEXT, license_field="terms", private_field="secret", consent={"basis": "contract", "field": "basis"}
    )
    assert read_seeds(spec, tmp_path).rows.select("license", "consent", "is_private").rows() == [
        ("CC-BY-4.0", "consent", True),
        ("CC-BY-4.0", "withdrawn", False),
    ]


@pytest.mark.parametrize("value", [None, "", "no such license!", 3])
def test_an_unclear_license_makes_a_row_private(tmp_path: Path, value: Any) -> None:
    write_jsonl(tmp_path / "a.jsonl", {"text": "a", "terms": value})
    row = read_seeds(make_spec(TEXT, license_field="terms"), tmp_path).rows.row(0, named=True)
    assert (row["license"], row["is_private"]) == ("LicenseRef-unknown", True)


@pytest.mark.parametrize("value", [None, "", "sure", 1])
def test_an_unclear_consent_makes_a_row_private(tmp_path: Path, value: Any) -> None:
    write_jsonl(tmp_path / "a.jsonl", {"text": "a", "basis": value})
    spec = make_spec(TEXT, consent={"basis": "consent", "field": "basis"})
    row = read_seeds(spec, tmp_path).rows.row(0, named=True)
    assert (row["consent"], row["is_private"]) == ("unknown", True)


@pytest.mark.parametrize("value", [None, "", "perhaps", "false", 0])
def test_an_unclear_private_mark_makes_a_row_private(tmp_path: Path, value: Any) -> None:
    write_jsonl(tmp_path / "a.jsonl", {"text": "a", "secret": value})
    assert read_seeds(make_spec(TEXT, private_field="secret"), tmp_path).rows["is_private"].to_list() == [True]


def test_a_csv_spells_the_private_mark(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,secret\na,no\nb,Yes\nc,\nd,?\n")
    rows = read_seeds(make_spec(TEXT, private_field="secret"), tmp_path).rows
    assert rows["is_private"].to_list() == [False, True, True, True]


def test_a_null_word_does_not_hide_a_withdrawn_consent(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,basis\na,none\n")
    spec = make_spec(TEXT, consent={"basis": "consent", "field": "basis"}, csv={"null_values": ["", "none"]})
    assert read_seeds(spec, tmp_path).rows["consent"].to_list() == ["none"]


# ---- monitor


def test_without_a_monitor_folder_the_reading_is_empty(tmp_path: Path) -> None:
    reading = read_monitor(make_spec(TEXT), tmp_path)
    assert (reading.rows.height, reading.rejected.height, reading.files.height) == (0, 0, 0)
    assert "text" in reading.rows.columns


def test_monitor_files_are_read_by_the_same_rules(tmp_path: Path) -> None:
    (tmp_path / "monitor").mkdir()
    write_jsonl(tmp_path / "monitor" / "new.jsonl", {"text": "new"}, {"text": 3})
    (tmp_path / "monitor" / "readme.md").write_text("about")
    reading = read_monitor(make_spec(TEXT), tmp_path)
    assert reading.rows.select("text", "source_file").rows() == [("new", "monitor/new.jsonl")]
    assert reject_of(reading)["source_line"] == 2


def test_a_seed_that_stands_in_monitor_too_is_held_back(tmp_path: Path) -> None:
    (tmp_path / "monitor").mkdir()
    write_jsonl(tmp_path / "monitor" / "new.jsonl", {"text": "shared "})
    write_jsonl(tmp_path / "a.jsonl", {"text": "own"}, {"text": " shared"})
    reading = read_seeds(make_spec(TEXT), tmp_path)
    assert reading.rows["text"].to_list() == ["own"]
    reject = reject_of(reading)
    assert (reject["source_file"], reject["source_line"], reject["reason"]) == ("a.jsonl", 2, "held_for_monitor")
    assert json.loads(reject["raw"]) == {"text": "shared"}
    assert reading.files.select("rows", "rejected").row(0) == (1, 1)


def test_monitor_rows_are_held_back_from_a_bundled_set(tmp_path: Path) -> None:
    spec = make_spec({"name": "petal_length_cm", "type": "number"}, uri="sklearn:iris")
    (tmp_path / "monitor").mkdir()
    (tmp_path / "monitor" / "m.csv").write_text("petal_length_cm\n1.4\n")
    reading = read_seeds(spec, tmp_path)
    assert 1.4 not in reading.rows["petal_length_cm"].to_list()
    assert reading.rows.height + reading.rejected.height == 150


# ---- bundled sets


@pytest.mark.parametrize(("name", "height"), [("breast_cancer", 569), ("digits", 1797), ("iris", 150), ("wine", 178)])
def test_a_bundled_set_is_read_with_class_names(tmp_path: Path, name: str, height: int) -> None:
    fields = [{"name": "target", "type": "integer"}, {"name": "target_name", "type": "category", "role": "target"}]
    reading = read_seeds(make_spec(*fields, uri=f"sklearn:{name}"), tmp_path)
    assert reading.rows.height == height
    assert reading.rows["source_file"].unique().to_list() == [f"sklearn:{name}"]
    assert reading.rows["source_line"].to_list() == list(range(1, height + 1))
    assert reading.rows.group_by("target").agg(pl.col("target_name").n_unique())["target_name"].max() == 1


def test_feature_names_of_a_bundled_set_are_snake_case(tmp_path: Path) -> None:
    fields = [{"name": name, "type": "number"} for name in ("mean_radius", "worst_fractal_dimension")]
    assert read_seeds(make_spec(*fields, uri="sklearn:breast_cancer"), tmp_path).rows.height == 569


def test_a_regression_set_has_a_numeric_target(tmp_path: Path) -> None:
    spec = make_spec({"name": "target", "type": "number", "role": "target"}, uri="sklearn:diabetes")
    assert read_seeds(spec, tmp_path).rows.height == 442


def test_an_unknown_bundled_set_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(SeedError, match="sklearn:breast_cancer"):
        read_seeds(make_spec(TEXT, uri="sklearn:fetch_covtype"), tmp_path)


# ---- speed and real files


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_ten_thousand_rows_take_half_a_second(tmp_path: Path, kind: str) -> None:
    frame = pl.DataFrame({"text": [f"message {i} " + "word " * (i % 30) for i in range(10_000)]}).with_columns(
        label=pl.format("c{}", pl.int_range(pl.len()) % 20), n=pl.int_range(pl.len()), x=pl.int_range(pl.len()) / 7
    )
    (tmp_path / f"a.{kind}").write_text(frame.write_ndjson() if kind == "jsonl" else frame.write_csv())
    spec = make_spec(TEXT, LABEL, {"name": "n", "type": "integer"}, {"name": "x", "type": "number"})
    took = []
    for _ in range(3):
        start = time.process_time()
        assert read_seeds(spec, tmp_path).rows.height == 10_000
        took.append(time.process_time() - start)
    assert min(took) < 0.5


@pytest.mark.skipif(SHARED_DATA is None, reason=NO_SHARED_DATA)
def test_census_records_without_header_are_read_whole(tmp_path: Path) -> None:
    assert SHARED_DATA is not None
    (tmp_path / "adult.csv").write_bytes((SHARED_DATA / "adult" / "adult_train.csv").read_bytes())
    fields = [
        {"name": "age", "type": "integer", "source": "column_1", "minimum": 17},
        {"name": "work", "type": "category", "source": "column_2", "nullable": True},
        {"name": "income", "type": "category", "source": "column_15", "values": ["<=50K", ">50K"]},
    ]
    reading = read_seeds(make_spec(*fields, csv={"header": False, "null_values": ["?"]}), tmp_path)
    assert (reading.rows.height, reading.rejected.height) == (32_561, 0)
    assert reading.rows["work"].null_count() == 1_836
