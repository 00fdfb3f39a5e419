"""Edits: what a reviewer made of an example that was nearly right.

Here: the edit as a value and its row. Not here: storing it with its decision (decisions.py), reading it from a form
(app/editing.py), making a new example of it (the pipeline).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from synth_assets.records import digest_text
from synth_assets.review.database import table

if TYPE_CHECKING:
    from sqlalchemy import Connection

EDIT_COLUMNS: dict[str, pl.DataType] = {
    "edit_id": pl.String(),
    "decision_id": pl.String(),
    "dataset": pl.String(),
    "round": pl.String(),
    "example_id": pl.String(),
    "reviewer": pl.String(),
    "content": pl.String(),
    "item_version": pl.String(),
    "at": pl.String(),
}


@dataclass(frozen=True)
class Edit:
    """New content for an example. content: JSON object of the record's fields; item_version: content_id edited."""

    decision_id: str
    dataset: str
    round: str
    example_id: str
    reviewer: str
    content: str
    item_version: str

    @property
    def edit_id(self) -> str:
        """32 hex digits, the hash of the decision that goes with it and the content."""
        return digest_text("edit", self.decision_id, self.content)


def insert_edit(connection: Connection, edit: Edit) -> None:
    """Insert one edit; its decision must be there."""
    from sqlalchemy import insert

    at = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
    given = {name: getattr(edit, name) for name in EDIT_COLUMNS if name != "at"}
    connection.execute(insert(table("edits")), [{**given, "at": at}])
