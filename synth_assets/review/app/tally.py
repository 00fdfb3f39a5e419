"""The tally: what has been decided so far, kept in memory and brought up to date with each new decision.

Here: who decided which position, progress, what may be undone. Not here: the database (desk.py reads it).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from synth_assets.review.app.work import ReviewWork
from synth_assets.review.decisions import FLAG, HUMAN, REJECT, SKIP, UNDONE


@dataclass
class Share:
    """What one reviewer has done. last_at: when they decided last, ISO 8601."""

    accept: int = 0
    reject: int = 0
    flag: int = 0
    seconds: float = 0.0
    last_at: str = ""

    @property
    def decided(self) -> int:
        return self.accept + self.reject + self.flag


@dataclass(frozen=True)
class Done:
    """A decision that may be undone."""

    decision_id: str
    position: int


@dataclass
class Tally:
    """Decisions on the present work. People's alone: what a machine decided, nobody has reviewed.

    barred: reviewers under quarantine; their decisions count for nothing. decided: positions with a decision;
    complete: those with as many as they want; defects: decided positions of the random part that somebody rejected or
    flagged.
    """

    work: ReviewWork
    barred: frozenset[str] = frozenset()
    seq: int = 0
    decided: int = 0
    complete: int = 0
    random_decided: int = 0
    defects: int = 0
    seconds: float = 0.0
    shares: dict[str, Share] = field(default_factory=lambda: defaultdict(Share))
    _last: dict[tuple[int, str], tuple[int, str, str]] = field(default_factory=dict)
    _voters: dict[int, dict[str, str]] = field(default_factory=dict)
    _history: dict[str, list[Done]] = field(default_factory=lambda: defaultdict(list))
    _skipped: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    _cursor: dict[str, int] = field(default_factory=dict)
    _furthest: int = -1

    def add(self, decisions: Iterable[dict[str, Any]]) -> None:
        """Take in decisions in the order they were stored; one that is known already changes nothing."""
        for row in decisions:
            self.seq = max(self.seq, row["seq"])
            position = self.work.position.get(row["example_id"])
            known = position is not None and row["item_version"] in ("", self.work.versions[position])
            counts = row["reviewer_kind"] == HUMAN and row["reviewer"] not in self.barred
            if known and counts:
                assert position is not None
                self._add(position, row)

    def _add(self, position: int, row: dict[str, Any]) -> None:
        reviewer, decision = row["reviewer"], row["decision"]
        before = self._last.get((position, reviewer))
        if before and before[0] >= row["seq"]:
            return
        self._last[position, reviewer] = (row["seq"], decision, row["decision_id"])
        self._count(position, -1)
        share, votes = self.shares[reviewer], self._voters.setdefault(position, {})
        if reviewer in votes:
            was = votes.pop(reviewer)
            setattr(share, was, getattr(share, was) - 1)
        if decision != SKIP:
            votes[reviewer] = decision
            setattr(share, decision, getattr(share, decision) + 1)
        self._count(position, +1)
        self.seconds += row["seconds"]
        share.seconds += row["seconds"]
        share.last_at = row["decided_at"]
        undone = decision == SKIP and row["reason"] == UNDONE
        history, skipped = self._history[reviewer], self._skipped[reviewer]
        if undone:
            history[:] = [done for done in history if done.decision_id != row["supersedes"]]
        else:
            history.append(Done(row["decision_id"], position))
        if decision == SKIP and not undone:
            skipped.add(position)
        else:
            skipped.discard(position)
        if decision == SKIP:
            for name, place in self._cursor.items():
                self._cursor[name] = min(place, position)

    def _count(self, position: int, sign: int) -> None:
        votes = self._voters.get(position)
        if not votes:
            return
        self.decided += sign
        self.complete += sign * self.is_done(position)
        if self.work.is_random[position]:
            self.random_decided += sign
            self.defects += sign * (REJECT in votes.values() or FLAG in votes.values())
        if sign > 0:
            self._furthest = max(self._furthest, position)

    def random_reached(self) -> int:
        """Return how many positions of the random part there are up to the last decided one, in serving order."""
        while self._furthest >= 0 and not (self.voters(self._furthest) and self.work.is_random[self._furthest]):
            self._furthest -= 1
        return self.work.random_until[self._furthest] if self._furthest >= 0 else 0

    def voters(self, position: int) -> dict[str, str]:
        """Return who decided a position, and what."""
        return self._voters.get(position, {})

    def last_done(self, reviewer: str) -> Done | None:
        """Return the reviewer's last decision that still stands."""
        history = self._history.get(reviewer)
        return history[-1] if history else None

    def is_done(self, position: int) -> bool:
        """Whether a position has as many reviews as it wants."""
        return len(self.voters(position)) >= self.work.wanted[position]

    def is_open_for(self, position: int, reviewer: str) -> bool:
        """Whether a reviewer may still decide a position."""
        return not self.is_done(position) and reviewer not in self.voters(position)

    def skipped_by(self, reviewer: str) -> list[int]:
        """Return the positions that a reviewer skipped and may still decide, in serving order."""
        return sorted(place for place in self._skipped.get(reviewer, ()) if self.is_open_for(place, reviewer))

    def waiting_for(self, reviewer: str, start: int, most: int) -> list[int]:
        """Return up to `most` positions from `start` on that a reviewer may decide and has not skipped.

        start 0 begins where the last call found the first; a cursor a reviewer keeps that from becoming a scan.
        """
        skipped = self._skipped.get(reviewer, set())
        place = max(start, self._cursor.get(reviewer, 0))
        found: list[int] = []
        while place < len(self.work) and len(found) < most:
            if self.is_open_for(place, reviewer) and place not in skipped:
                if not found and start == 0:
                    self._cursor[reviewer] = place
                found.append(place)
            place += 1
        if not found and start == 0:
            self._cursor[reviewer] = place
        return found
