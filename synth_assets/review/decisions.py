"""Decisions: what reviewers said, kept append-only, and quarantine entries beside them.

Here: storing and reading them, resolving several reviewers into one verdict an example. Not here: the database itself
(database.py), the files of people who decide elsewhere (spreadsheets.py, label_studio.py), what the verdicts prove
(acceptance.py), who may decide (app/), what a quarantine removes (provenance/).
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from synth_assets.errors import StoreError
from synth_assets.records import digest_text
from synth_assets.review.database import MAX_NAME, Database, table
from synth_assets.review.edits import EDIT_COLUMNS, Edit, insert_edit
from synth_assets.store import check_names

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
MAX_REASON = 4000
_CHUNK = 400
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
