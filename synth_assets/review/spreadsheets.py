"""Files of people who review in a spreadsheet: the items out, their decisions in.

Here: CSV and JSON Lines, judging the lines of any such file. Not here: Label Studio's form (label_studio.py), storing
what was decided (decisions.py).
"""

from __future__ import annotations

import datetime as dt
import io
import json
from pathlib import Path
from typing import Any

import polars as pl

from synth_assets.errors import StoreError
from synth_assets.records import RESERVED_NAMES
from synth_assets.review.database import MAX_NAME
from synth_assets.review.decisions import AUTOMATED, DECISIONS, HUMAN, MAX_REASON, decision_id
from synth_assets.store import check_names, write_atomically

REJECTED_COLUMNS: dict[str, pl.DataType] = {
    "line": pl.Int64(),
    "example_id": pl.String(),
    "reason": pl.String(),
    "detail": pl.String(),
}
_FORM = ("decision", "reason", "reviewer", "seconds")
_IMPORTED = ("example_id", "decision", "reason", "reviewer", "seconds", "decided_at", "item_version")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
_NO_FAULT = pl.lit(None, pl.String)


def export_sample(sample: pl.DataFrame, content: pl.DataFrame, path: Path) -> Path:
    """Write the items to review, in serving order, with empty decision, reason, reviewer and seconds; return the path.

    `sample`: review_sample.rows; `content`: example_id, content_id and the fields to show (lineage columns are left
    out, so that nobody sees which generator or prompt an item came from, nor why it was drawn). The name ends in
    .csv or .jsonl. In CSV a text that starts with = + - @ (or a tab, a carriage return, a full-width form of these)
    gets a single quote in front, so that no spreadsheet runs it as a formula; numbers stay as they are, and
    `import_decisions` reads no content. A field named like one of the form's columns is shown as `field <name>`.
    StoreError if content lacks a sampled example or the file cannot be written.
    """
    names = {name: f"field {name}" for name in _FORM}
    items = reviewed_content(sample, content, path).rename(names, strict=False)
    form = items.with_columns(pl.lit("").alias(name) for name in _FORM)
    suffix = _suffix_of(path)
    return write_export(
        path, form.write_ndjson() if suffix == ".jsonl" else _spreadsheet_form(form).write_csv(include_bom=True)
    )


def reviewed_content(sample: pl.DataFrame, content: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Return the drawn items in serving order: example_id, item_version and the fields, nothing about their origin.

    `path`: the file they are meant for, named if content lacks a sampled example (StoreError).
    """
    hidden = RESERVED_NAMES | {"state", "quality"}
    fields = [name for name in content.columns if name not in hidden]
    shown = content.select("example_id", pl.col("content_id").alias("item_version"), *fields)
    items = sample.sort("priority").select("example_id")
    found = items.join(shown, on="example_id", how="inner", maintain_order="left")
    if found.height != items.height:
        raise StoreError(
            f"{path}: the content of {items.height - found.height} sampled examples is missing; pass the rows of "
            "`filtered` that the sample was drawn from"
        )
    return found


def write_export(path: Path, text: str) -> Path:
    """Write a file for reviewers and return its path; StoreError if it cannot be written."""
    try:
        write_atomically(path, text)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}; choose another folder") from error
    return path


def import_decisions(
    path: Path, dataset: str, round_: str, sample: pl.DataFrame, *, reviewer: str | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the valid decisions of a filled-in CSV or JSONL file, and the lines that are none, with the reason.

    Needed are example_id and decision (accept, reject, skip or flag, in any case); reason, reviewer, seconds,
    decided_at and item_version are read where present, everything else is ignored. `reviewer` stands in for empty
    reviewer cells. CSV may be separated by comma, semicolon or tab. `sample`: review_sample.rows, if it also has
    content_id, decisions on another version of the content are rejected.

    First frame: DECISION_COLUMNS, in file order, reviewer_kind human. The id is made from the row, so the same row
    imported twice is one decision. Second frame: line (CSV: row as a spreadsheet counts, 1 is the header; JSONL: line),
    example_id, reason, detail; reasons are bad_json, not_an_object, unknown_example, no_decision, unknown_decision,
    missing_reviewer, reserved_reviewer, too_long, bad_seconds, other_version. Both together hold every line.
    StoreError for a file that cannot be read at all.
    """
    check_names("decisions", dataset, round_)
    lines = _read_jsonl(path) if _suffix_of(path) == ".jsonl" else _read_csv(path)
    return judge_lines(lines, dataset, round_, sample, reviewer=reviewer)


def judge_lines(
    lines: pl.DataFrame, dataset: str, round_: str, sample: pl.DataFrame, *, reviewer: str | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return what import_decisions returns, for lines that were read from any file.

    `lines`: line:Int64, _fault:String (what is wrong with the line already, or null), and as text example_id, decision,
    reason, reviewer, seconds, decided_at, item_version, as far as the file has them.
    """
    absent = [name for name in _IMPORTED if name not in lines.columns]
    lines = lines.with_columns(pl.lit(None, pl.String).alias(name) for name in absent)
    items = sample.select("example_id", pl.col("^content_id$"), _known=pl.lit(True)).unique("example_id")
    version = pl.col("item_version")
    current = pl.col("content_id") if "content_id" in items.columns else version
    name = pl.col("reviewer")
    judged = (
        lines.with_columns(pl.col(*_IMPORTED).str.strip_chars().replace("", None))
        .with_columns(
            pl.col("decision").str.to_lowercase(),
            pl.col("reason", "item_version").fill_null(""),
            reviewer=name.fill_null(pl.lit(reviewer, pl.String)),
            _seconds=pl.col("seconds")
            .fill_null("0")
            .str.replace(",", ".", literal=True)
            .cast(pl.Float64, strict=False),
        )
        .join(items, on="example_id", how="left", maintain_order="left")
        .with_columns(
            _fault=pl.when(pl.col("_fault").is_not_null())
            .then(pl.col("_fault"))
            .when(pl.col("_known").is_null())
            .then(pl.lit("unknown_example"))
            .when(pl.col("decision").is_null())
            .then(pl.lit("no_decision"))
            .when(~pl.col("decision").is_in(DECISIONS))
            .then(pl.lit("unknown_decision"))
            .when(name.is_null())
            .then(pl.lit("missing_reviewer"))
            .when(name.str.starts_with(f"{AUTOMATED}:"))
            .then(pl.lit("reserved_reviewer"))
            .when((name.str.len_chars() > MAX_NAME) | (pl.col("reason").str.len_chars() > MAX_REASON))
            .then(pl.lit("too_long"))
            .when(~(pl.col("_seconds").is_finite() & (pl.col("_seconds") >= 0)).fill_null(False))
            .then(pl.lit("bad_seconds"))
            .when((version != "") & (version != current))
            .then(pl.lit("other_version"))
        )
    )
    return _valid_decisions(judged, dataset, round_), _rejected_lines(judged)


def _valid_decisions(judged: pl.DataFrame, dataset: str, round_: str) -> pl.DataFrame:
    valid = judged.filter(pl.col("_fault").is_null())
    tokens = valid.select(
        pl.concat_str("decision", "reason", "item_version", pl.col("decided_at").fill_null(""), separator="\x1f")
    ).to_series()
    keys = zip(valid["example_id"], valid["reviewer"], tokens, strict=True)
    ids = [decision_id(dataset, round_, example, who, f"import {token}") for example, who, token in keys]
    return valid.select(
        pl.Series("decision_id", ids, dtype=pl.String),
        pl.lit(dataset).alias("dataset"),
        pl.lit(round_).alias("round"),
        "example_id",
        "reviewer",
        pl.lit(HUMAN).alias("reviewer_kind"),
        "decision",
        "reason",
        pl.col("_seconds").alias("seconds"),
        pl.col("decided_at").fill_null(dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")),
        "item_version",
    )


def _rejected_lines(judged: pl.DataFrame) -> pl.DataFrame:
    told = {
        "unknown_example": pl.lit("this example is not in the sample"),
        "no_decision": pl.lit("the decision is empty"),
        "unknown_decision": pl.format("'{}' is none of {}", "decision", pl.lit(", ".join(DECISIONS))),
        "missing_reviewer": pl.lit("who decided? fill in the reviewer"),
        "reserved_reviewer": pl.lit(f"names that start with {AUTOMATED}: are kept for machines"),
        "too_long": pl.lit(f"reviewer at most {MAX_NAME}, reason at most {MAX_REASON} characters"),
        "bad_seconds": pl.format("'{}' is no time in seconds", "seconds"),
        "other_version": pl.lit("the content has changed since this file was written; export it again"),
        "bad_json": pl.lit("this line is no JSON"),
        "not_an_object": pl.lit("a JSON object is expected on each line"),
    }
    detail = pl.coalesce(pl.when(pl.col("_fault") == code).then(text) for code, text in told.items())
    faulty = judged.with_columns(detail=detail).filter(pl.col("_fault").is_not_null())
    return faulty.select("line", "example_id", pl.col("_fault").alias("reason"), "detail").cast(REJECTED_COLUMNS)  # type: ignore[arg-type]


def _spreadsheet_form(table: pl.DataFrame) -> pl.DataFrame:
    texts = [name for name, dtype in table.schema.items() if dtype == pl.String and name != "example_id"]
    nested = [name for name, dtype in table.schema.items() if isinstance(dtype, pl.List)]
    as_json = [
        pl.col(name).map_elements(lambda value: json.dumps(value.to_list(), ensure_ascii=False), return_dtype=pl.String)
        for name in nested
    ]
    risky = pl.any_horizontal
    return table.with_columns(as_json).with_columns(
        pl.when(risky(pl.col(name).str.starts_with(start) for start in _FORMULA_STARTS))
        .then(pl.lit("'") + pl.col(name))
        .otherwise(pl.col(name))
        .alias(name)
        for name in texts
    )


def _suffix_of(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".jsonl"):
        raise StoreError(f"{path}: the name must end in .csv or .jsonl")
    return suffix


def read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise StoreError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8 (CSV UTF-8)") from error
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error


def _read_csv(path: Path) -> pl.DataFrame:
    text = read_text(path)
    header = text.split("\n", 1)[0]
    separator = max(",;\t", key=header.count)
    try:
        table = pl.read_csv(
            io.BytesIO(text.encode()), separator=separator, infer_schema=False, truncate_ragged_lines=True
        )
    except pl.exceptions.PolarsError as error:
        raise StoreError(f"{path}: no readable CSV: {error}; export the sample again and fill that in") from error
    _require_columns(path, table.columns)
    kept = [name for name in _IMPORTED if name in table.columns]
    return table.select(kept).with_columns(line=pl.int_range(2, pl.len() + 2, dtype=pl.Int64), _fault=_NO_FAULT)


def _read_jsonl(path: Path) -> pl.DataFrame:
    """A loop over lines on purpose: each line has its own fault."""
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            rows.append({"line": number, "_fault": "bad_json"})
            continue
        if not isinstance(value, dict):
            rows.append({"line": number, "_fault": "not_an_object"})
            continue
        cells = {name: None if value.get(name) is None else str(value[name]) for name in _IMPORTED}
        rows.append({"line": number, "_fault": None, **cells})
    schema = {"line": pl.Int64(), "_fault": pl.String(), **dict.fromkeys(_IMPORTED, pl.String())}
    return pl.DataFrame(rows, schema=schema)


def _require_columns(path: Path, columns: list[str]) -> None:
    missing = [name for name in ("example_id", "decision") if name not in columns]
    if missing:
        raise StoreError(
            f"{path}: the columns {', '.join(missing)} are missing; the file has {', '.join(columns)}; export the "
            "sample again and fill that in"
        )
