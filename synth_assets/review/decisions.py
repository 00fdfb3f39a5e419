"""Decisions: what reviewers said, kept append-only, and quarantine entries beside them.

Here: storing and reading them, resolving several reviewers into one verdict an example, and the files of people who
review in a spreadsheet. Not here: the database itself (database.py), Label Studio's files (label_studio.py), what the
verdicts prove (acceptance.py), who may decide (app/), what a quarantine removes (provenance/).
"""

from __future__ import annotations

import datetime as dt
import io
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from synth_assets.errors import StoreError
from synth_assets.records import RESERVED_NAMES, digest_text
from synth_assets.review.database import MAX_NAME, Database, table
from synth_assets.review.edits import EDIT_COLUMNS, Edit, insert_edit
from synth_assets.store import check_names, write_atomically

if TYPE_CHECKING:
    from sqlalchemy import Connection

ACCEPT = "accept"
REJECT = "reject"
SKIP = "skip"
FLAG = "flag"
DECISIONS = (ACCEPT, REJECT, SKIP, FLAG)
HUMAN = "human"
AUTOMATED = "automated"
REVIEWER_KINDS = (HUMAN, AUTOMATED)
QUARANTINE_KINDS = ("model", "prompt", "seed", "reviewer", "example")

DECISION_COLUMNS: dict[str, pl.DataType] = {
    "decision_id": pl.String(),
    "dataset": pl.String(),
    "round": pl.String(),
    "example_id": pl.String(),
    "reviewer": pl.String(),
    "reviewer_kind": pl.String(),
    "decision": pl.String(),
    "reason": pl.String(),
    "seconds": pl.Float64(),
    "decided_at": pl.String(),
    "item_version": pl.String(),
}
QUARANTINE_COLUMNS: dict[str, pl.DataType] = {
    "kind": pl.String(),
    "value": pl.String(),
    "dataset": pl.String(),
    "reason": pl.String(),
    "who": pl.String(),
    "at": pl.String(),
}
REJECTED_COLUMNS: dict[str, pl.DataType] = {
    "line": pl.Int64(),
    "example_id": pl.String(),
    "reason": pl.String(),
    "detail": pl.String(),
}

MAX_REASON = 4000
_CHUNK = 400
_FORM = ("decision", "reason", "reviewer", "seconds")
_IMPORTED = ("example_id", "decision", "reason", "reviewer", "seconds", "decided_at", "item_version")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
_NO_FAULT = pl.lit(None, pl.String)
_ENTRY_KEY = ("kind", "value", "dataset")

REASONS: dict[str, str] = {
    "wrong_label": "wrong label",
    "not_fluent": "not fluent",
    "factually_wrong": "factually wrong",
    "copied": "duplicate or copied",
    "unsafe": "unsafe or personal data",
    "off_topic": "off topic",
    "other": "other",
}
"""Reason codes of a reject, as reviewers read them; what is stored is the code, or `code: words of the reviewer`."""
EDITED = "edited"
UNDONE = "undone"


@dataclass(frozen=True)
class Decision:
    """One decision of one reviewer on one version of an example.

    client_token: chosen by whoever sends it; the same token twice is the same decision, so a retry is harmless.
    decided_at: ISO 8601; None means now. supersedes: the decision_id that this one takes back or corrects.
    """

    dataset: str
    round: str
    example_id: str
    reviewer: str
    decision: str
    client_token: str
    reviewer_kind: str = HUMAN
    reason: str = ""
    seconds: float = 0.0
    decided_at: str | None = None
    item_version: str = ""
    supersedes: str | None = None

    @property
    def decision_id(self) -> str:
        """32 hex digits, the hash of data set, round, example, reviewer and client token."""
        return decision_id(self.dataset, self.round, self.example_id, self.reviewer, self.client_token)


def decision_id(dataset: str, round_: str, example_id: str, reviewer: str, client_token: str) -> str:
    """Return the id of a decision: equal for a retried post, different for everything else."""
    return digest_text(dataset, round_, example_id, reviewer, client_token)


# ---- what several reviewers mean together


def resolve_examples(decisions: pl.DataFrame) -> pl.DataFrame:
    """Return one row a decided example: example_id, resolution, resolved_by, n_reviewers, disagreement.

    `decisions`: frame of decisions, oldest first; the latest of an example and reviewer counts, a skip takes back
    what was said before. People outrank machines: where a person decided, automated decisions are left aside. Of
    those that count: any reject → reject, else any flag → flag, else accept. Examples nobody decided have no row.
    disagreement: they did not all say the same.
    """
    latest = decisions.unique(["example_id", "reviewer"], keep="last", maintain_order=True)
    voted = latest.filter(pl.col("decision") != SKIP)
    human = (pl.col("reviewer_kind") == HUMAN).any().over("example_id")
    said = pl.col("decision")
    return (
        voted.filter(~human | (pl.col("reviewer_kind") == HUMAN))
        .group_by("example_id", maintain_order=True)
        .agg(
            resolution=pl.when((said == REJECT).any())
            .then(pl.lit(REJECT))
            .when((said == FLAG).any())
            .then(pl.lit(FLAG))
            .otherwise(pl.lit(ACCEPT)),
            resolved_by=pl.col("reviewer_kind").first(),
            n_reviewers=pl.len().cast(pl.Int64),
            disagreement=said.n_unique() > 1,
        )
    )


# ---- the database


class DecisionStore:
    """The decisions, edits and quarantine tables behind one SQLAlchemy URL.

    Rows are only ever added. A call that returned is on disk, so a process killed right after keeps it. Several
    processes may use one database at once. StoreError if the database cannot be opened, stays locked longer than
    `busy_seconds`, or refuses to write.
    """

    def __init__(self, url: str, *, busy_seconds: float = 15.0) -> None:
        self.database = Database(url, busy_seconds=busy_seconds)

    def close(self) -> None:
        """Close all connections."""
        self.database.close()

    # ---- decisions

    def record(self, decisions: pl.DataFrame | Iterable[Decision]) -> int:
        """Store decisions and return how many were new; those already stored (same decision_id) count as done.

        A frame needs dataset, round, example_id, reviewer, reviewer_kind and decision; it may hold the other
        DECISION_COLUMNS, client_token and supersedes. A row without decision_id, client_token and decided_at is new
        each time. StoreError if one is not valid: then none is stored.
        """
        rows = checked_rows(decisions)
        if not rows:
            return 0
        return self.database.write("store decisions", lambda connection: insert_decisions(connection, rows))

    def decisions(self, dataset: str, round_: str) -> pl.DataFrame:
        """Return every decision of a round in the order they were stored; columns DECISION_COLUMNS."""
        return self.decisions_since(dataset, round_, 0).select(*DECISION_COLUMNS)

    def decisions_since(self, dataset: str, round_: str, seq: int) -> pl.DataFrame:
        """Return the decisions of a round stored after number `seq`: seq:Int64 + DECISION_COLUMNS + supersedes."""
        from sqlalchemy import select

        check_names("decisions", dataset, round_)
        stored = table("decisions")
        columns = {"seq": pl.Int64(), **DECISION_COLUMNS, "supersedes": pl.String()}
        query = (
            select(*(stored.c[name] for name in columns))
            .where(stored.c.dataset == dataset, stored.c.round == round_, stored.c.seq > seq)
            .order_by(stored.c.seq)
        )
        return self.database.read("read decisions", query, columns)

    def effective(self, dataset: str, round_: str, items: pl.DataFrame | None = None) -> pl.DataFrame:
        """Return the latest decision of every example and reviewer: DECISION_COLUMNS + resolution:String.

        resolution is the example's, as resolve_examples has it, null while nobody decided it. `items` (example_id,
        content_id): decisions on other examples, or on another version of an example's content, are left out.
        Decisions of quarantined reviewers never count.
        """
        barred = self.quarantined(dataset).filter(pl.col("kind") == "reviewer")
        found = self.decisions(dataset, round_).join(
            barred, left_on="reviewer", right_on="value", how="anti", maintain_order="left"
        )
        if items is not None:
            version = pl.col("item_version")
            found = (
                found.join(items.select("example_id", "content_id"), on="example_id", maintain_order="left")
                .filter((version == "") | (version == pl.col("content_id")))
                .drop("content_id")
            )
        latest = found.unique(["example_id", "reviewer"], keep="last", maintain_order=True)
        verdicts = resolve_examples(latest).select("example_id", "resolution")
        return latest.join(verdicts, on="example_id", how="left", maintain_order="left")

    # ---- edits

    def record_edit(self, edit: Edit, decision: Decision) -> int:
        """Store an edit with the decision on its original, both or none; return 1 if new, 0 if it is there already.

        The decision is a reject whose reason is EDITED: what had to be mended counts as a defect of the batch, and
        the mended example stands for itself once the cascade has judged it. StoreError where the two do not match.
        """
        rows = checked_rows([decision])
        if (decision.decision, decision.reason, decision.decision_id) != (REJECT, EDITED, edit.decision_id):
            raise StoreError(f"edit of {edit.example_id}: it needs a {REJECT} of its own with the reason {EDITED}")

        def work(connection: Connection) -> int:
            new = insert_decisions(connection, rows)
            if new:
                insert_edit(connection, edit)
            return new

        return self.database.write("store an edit", work)

    def edits(self, dataset: str, round_: str) -> pl.DataFrame:
        """Return the edits of a round that stand, in the order they were stored; columns EDIT_COLUMNS.

        content: JSON object of the record's fields. An edit stands while its decision is the last of its reviewer on
        the example, and its reviewer is not under quarantine; edits that were taken back stay in the table alone.
        """
        from sqlalchemy import select

        stored = table("edits")
        query = (
            select(*(stored.c[name] for name in EDIT_COLUMNS))
            .where(stored.c.dataset == dataset, stored.c.round == round_)
            .order_by(stored.c.seq)
        )
        standing = self.effective(dataset, round_).select("decision_id")
        found = self.database.read("read edits", query, EDIT_COLUMNS)
        return found.join(standing, on="decision_id", how="semi", maintain_order="left")

    # ---- quarantine

    def quarantine(
        self, kind: str, value: str, *, reason: str, who: str, dataset: str | None = None, at: str | None = None
    ) -> bool:
        """Put a model, prompt, seed, reviewer or example under quarantine, in one data set or (None) in all.

        Return False if it already was. StoreError for an unknown kind, or where value, reason or who is empty.
        """
        return self._add_entry(kind, value, dataset, reason, who, at, lift=False)

    def lift_quarantine(
        self, kind: str, value: str, *, reason: str, who: str, dataset: str | None = None, at: str | None = None
    ) -> bool:
        """End a quarantine by a further entry; return False if there was none for exactly this data set."""
        return self._add_entry(kind, value, dataset, reason, who, at, lift=True)

    def quarantined(self, dataset: str | None = None) -> pl.DataFrame:
        """Return what is under quarantine for a data set (None: anywhere); columns QUARANTINE_COLUMNS."""
        latest = self.quarantine_log().unique(["kind", "value", "dataset"], keep="last", maintain_order=True)
        active = latest.filter(pl.col("lifted_at").is_null()).drop("lifted_at")
        if dataset is None:
            return active
        return active.filter(pl.col("dataset").is_null() | (pl.col("dataset") == dataset))

    def quarantine_log(self) -> pl.DataFrame:
        """Return every quarantine entry, oldest first: QUARANTINE_COLUMNS + lifted_at (null, or when it was lifted)."""
        from sqlalchemy import select

        stored = table("quarantine")
        columns = {**QUARANTINE_COLUMNS, "lifted_at": pl.String()}
        query = select(*(stored.c[name] for name in columns)).order_by(stored.c.seq)
        return self.database.read("read the quarantine", query, columns)

    def _add_entry(
        self, kind: str, value: str, dataset: str | None, reason: str, who: str, at: str | None, *, lift: bool
    ) -> bool:
        if kind not in QUARANTINE_KINDS:
            raise StoreError(f"quarantine: '{kind}' is no kind; allowed are {', '.join(QUARANTINE_KINDS)}")
        for name, text in (("value", value), ("reason", reason), ("who", who)):
            if not text.strip():
                raise StoreError(f"quarantine: {name} is empty; say what is held back, why, and who decided it")
        if dataset is not None:
            check_names("quarantine", dataset, None)
        at = at or _now()
        row = {"kind": kind, "value": value, "dataset": dataset, "reason": reason, "who": who, "at": at}
        return self.database.write(
            "store the quarantine", lambda connection: _insert_entry(connection, row, at if lift else None)
        )


def checked_rows(decisions: pl.DataFrame | Iterable[Decision]) -> dict[str, dict[str, Any]]:
    """Return decisions as rows of the table, by decision_id; StoreError if one is not valid."""
    given = _frame_rows(decisions) if isinstance(decisions, pl.DataFrame) else [_row_of(one) for one in decisions]
    now = _now()
    rows: dict[str, dict[str, Any]] = {}
    for row in given:
        _check_row(row)
        decided_at = now if row["decided_at"] is None else row["decided_at"]
        rows.setdefault(row["decision_id"], {**row, "decided_at": decided_at, "recorded_at": now})
    return rows


def insert_decisions(connection: Connection, rows: dict[str, dict[str, Any]]) -> int:
    """Insert `checked_rows` whose decision_id is not there yet; return how many those were."""
    from sqlalchemy import insert, select

    decisions = table("decisions")
    owner = ("dataset", "round", "example_id", "reviewer")
    wanted = sorted(rows.keys() | {row["supersedes"] for row in rows.values() if row["supersedes"]})
    stored: dict[str, tuple[Any, ...]] = {}
    for start in range(0, len(wanted), _CHUNK):
        query = select(decisions.c.decision_id, *(decisions.c[name] for name in owner)).where(
            decisions.c.decision_id.in_(wanted[start : start + _CHUNK])
        )
        stored.update({found[0]: tuple(found[1:]) for found in connection.execute(query)})
    fresh = [row for key, row in rows.items() if key not in stored]
    known = stored | {row["decision_id"]: tuple(row[name] for name in owner) for row in fresh}
    for row in fresh:
        if row["supersedes"] and known.get(row["supersedes"]) != tuple(row[name] for name in owner):
            raise StoreError(
                f"decision on {row['example_id']} by {row['reviewer']}: it takes back {row['supersedes']}, which is no "
                "decision of the same reviewer on the same example; reload the item and try again"
            )
    if fresh:
        connection.execute(insert(decisions), fresh)
    return len(fresh)


def _insert_entry(connection: Connection, row: dict[str, Any], lifted_at: str | None) -> bool:
    from sqlalchemy import insert, select

    stored = table("quarantine")
    same = [stored.c[name].is_(None) if row[name] is None else stored.c[name] == row[name] for name in _ENTRY_KEY]
    query = select(stored.c.lifted_at).where(*same).order_by(stored.c.seq.desc()).limit(1)
    last = connection.execute(query).first()
    active = last is not None and last[0] is None
    if active != (lifted_at is not None):
        return False
    connection.execute(insert(stored), [{**row, "lifted_at": lifted_at}])
    return True


def _row_of(one: Decision) -> dict[str, Any]:
    names = (*DECISION_COLUMNS, "supersedes")
    return {name: getattr(one, name) for name in names}


def _frame_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    required = ("dataset", "round", "example_id", "reviewer", "reviewer_kind", "decision")
    missing = [name for name in required if name not in frame.columns]
    if missing:
        raise StoreError(f"decisions: the columns {', '.join(missing)} are missing; needed are {', '.join(required)}")
    filled = {
        "decision_id": pl.lit(None, pl.String),
        "client_token": pl.lit(None, pl.String),
        "reason": pl.lit(""),
        "seconds": pl.lit(0.0),
        "decided_at": pl.lit(None, pl.String),
        "item_version": pl.lit(""),
        "supersedes": pl.lit(None, pl.String),
    }
    frame = frame.with_columns(default.alias(name) for name, default in filled.items() if name not in frame.columns)
    frame = frame.with_columns(
        pl.col("reason", "item_version").fill_null(""), pl.col("seconds").cast(pl.Float64).fill_null(0.0)
    )
    rows = frame.select(*required, *filled).to_dicts()
    now = _now()
    for row in rows:
        token = row.pop("client_token") or digest_text(row["decision"], row["reason"], row["decided_at"] or now)
        row["decision_id"] = row["decision_id"] or decision_id(
            row["dataset"], row["round"], row["example_id"], row["reviewer"], token
        )
    return rows


def _check_row(row: dict[str, Any]) -> None:
    where = f"decision on {row['example_id']!r} by {row['reviewer']!r}"
    check_names("decisions", row["dataset"], row["round"])
    for name in ("example_id", "reviewer"):
        if not row[name] or not str(row[name]).strip() or len(row[name]) > MAX_NAME:
            raise StoreError(f"{where}: {name} must have 1 to {MAX_NAME} characters")
    for name, allowed in (("decision", DECISIONS), ("reviewer_kind", REVIEWER_KINDS)):
        if row[name] not in allowed:
            raise StoreError(f"{where}: {name} is {row[name]!r}; allowed are {', '.join(allowed)}")
    if len(row["reason"]) > MAX_REASON:
        raise StoreError(f"{where}: the reason has {len(row['reason'])} characters; allowed are {MAX_REASON}")
    if not math.isfinite(row["seconds"]) or row["seconds"] < 0:
        raise StoreError(f"{where}: seconds is {row['seconds']!r}; a time from 0 on is expected")


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")


# ---- files for people who review in a spreadsheet


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
        pl.col("decided_at").fill_null(_now()),
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
