"""The desk: hands out examples and takes decisions, for all reviewers of one round.

Here: serving by lease, deciding, editing, undoing, progress; what is acknowledged is on disk. Not here: HTTP
(pages.py), how an example looks (items.py).
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from synth_assets.review.app.tally import Share, Tally
from synth_assets.review.app.work import ReviewWork, WorkSource
from synth_assets.review.decisions import (
    EDITED,
    REJECT,
    SKIP,
    UNDONE,
    Decision,
    DecisionStore,
    checked_rows,
    insert_decisions,
)
from synth_assets.review.edits import Edit, insert_edit
from synth_assets.review.leases import LeaseBook, Offer
from synth_assets.spec import DatasetSpec

if TYPE_CHECKING:
    from sqlalchemy import Connection

LiveBound = Callable[[int, int, int], "tuple[float, float] | None"]

CHECK_SECONDS = 5.0
BOUND_SECONDS = 2.0
LEAST_LEASE_SECONDS = 900.0
MOST_SECONDS = 3600.0
_BATCH = 16
_OVERLAP = 64


class Refused(Exception):
    """What a reviewer asked for is not possible. status: the HTTP status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


NOT_YOURS = "This item is not in your hands (any more); nothing was stored. Here is the next one."


@dataclass(frozen=True)
class Served:
    """An example in a reviewer's hands. token: makes the decision on it one and the same however often it is sent."""

    position: int
    example_id: str
    item_version: str
    token: str


@dataclass(frozen=True)
class Given:
    """A decision as it was sent. seconds: time spent as the page measured it, None where it did not."""

    example_id: str
    item_version: str
    decision: str
    token: str
    reason: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class Progress:
    """How far the review is. decided: items with a decision; complete: those with all the decisions they want. bound:
    of the batch's defect rate, valid at any time; None where there is none."""

    decided: int
    complete: int
    total: int
    minutes: float
    minutes_planned: float
    has_budget: bool
    mine: Share
    skipped: int
    undo: str | None
    outcome: str
    bound: tuple[float, float] | None

    @property
    def is_complete(self) -> bool:
        return self.complete >= self.total


class Desk:
    """One round's review. All methods may be called from several threads; several desks may share a database.

    live_bound(defects, n, n_open) → (low, high) or None: bounds on the batch's defect rate that hold however often they
    are looked at. n: rows of the random part up to the last decided one, in serving order; n_open of them have no
    decision, `defects` of the others are defects. Left out, no bound is shown while the review is open.
    """

    def __init__(
        self,
        spec: DatasetSpec,
        round_: str,
        source: WorkSource,
        store: DecisionStore,
        *,
        live_bound: LiveBound | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        lease = max(LEAST_LEASE_SECONDS, 4 * 60 * spec.review.minutes_per_item)
        self.spec = spec
        self.round = round_
        self._source = source
        self._store = store
        self._database = store.database
        self._book = LeaseBook(spec.name, round_, lease)
        self._live_bound = live_bound
        self._clock = clock
        self._lock = threading.RLock()
        self._version = ""
        self._outcome = ""
        self._checked = self._bounded = float("-inf")
        self._bounds: tuple[float, float] | None = None
        self._tally: Tally
        self._refresh()

    @property
    def work(self) -> ReviewWork:
        return self._tally.work

    # ---- serving

    def serve(self, reviewer: str, *, again: bool = False) -> Served | None:
        """Return the example the reviewer has in hand, else the next free one; None if there is none for them.

        again: take one that the reviewer skipped before.
        """
        with self._lock:
            self._refresh()
            self._require_welcome(reviewer)
            if self._outcome:
                return None
            now = self._clock()
            for row in self._database.rows("read the leases", self._book.open_of(reviewer, now)):
                position = self.work.position.get(row.example_id)
                if position is not None and self._tally.is_open_for(position, reviewer):
                    return self._served(position)
            found = self._database.write("take a lease", lambda open_: self._take(open_, reviewer, now, again=again))
            return None if found is None else self._served(self.work.position[found])

    def renew(self, reviewer: str, example_id: str) -> None:
        """Prolong the reviewer's lease on an example; Refused if they do not hold it."""
        with self._lock:
            self._position(example_id)
            now = self._clock()
            if not self._database.write(
                "renew a lease", lambda open_: self._book.renew(open_, reviewer, example_id, now)
            ):
                raise Refused(404, NOT_YOURS)

    def require_seen(self, reviewer: str, example_id: str) -> int:
        """Return the position of an example that the reviewer has in hand or has decided; Refused for any other."""
        with self._lock:
            self._require_welcome(reviewer)
            position = self._position(example_id)
            if reviewer not in self._tally.voters(position):
                rows = self._database.rows("read the leases", self._book.open_of(reviewer, self._clock()))
                if example_id not in {row.example_id for row in rows}:
                    raise Refused(404, NOT_YOURS)
            return position

    # ---- deciding

    def decide(self, reviewer: str, given: Given, content: str | None = None) -> tuple[str, Served | None]:
        """Store a decision; return its id and the next example. Once it returns, the decision is on disk.

        The same token again is the same decision and changes nothing. `content`: the record as the reviewer mended
        it (JSON); the decision is then a reject with the reason EDITED. Refused if the example is not in the
        reviewer's hands, or has changed.
        """
        with self._lock:
            self._require_open(reviewer)
            position = self._position(given.example_id)
            now = self._clock()

            def work(connection: Connection) -> tuple[str, bool, str | None]:
                since = self._book.served_at(connection, reviewer, given.example_id)
                made = self._decision(reviewer, given, content, since=since, now=now)
                if not insert_decisions(connection, checked_rows([made])):
                    return made.decision_id, False, None
                if since is None:
                    raise Refused(404, NOT_YOURS)
                if given.item_version != self.work.versions[position]:
                    raise Refused(409, "This item has changed since you opened it; nothing was stored. Look again.")
                if content is not None:
                    insert_edit(connection, self._edit(made, content))
                if made.decision == SKIP:
                    held = self._book.give_back(connection, reviewer, given.example_id)
                else:
                    held = self._book.settle(connection, reviewer, given.example_id, now)
                if not held:
                    raise Refused(404, NOT_YOURS)
                return made.decision_id, True, self._take(connection, reviewer, now, without=position)

            decision_id, is_new, following = self._database.write("store a decision", work)
            if not is_new:
                return decision_id, self.serve(reviewer)
            self._refresh()
            return decision_id, None if following is None else self._served(self.work.position[following])

    def undo(self, reviewer: str, decision_id: str | None = None) -> Served | None:
        """Take back the reviewer's last decision by a further one and serve its example again.

        decision_id: which decision is meant; if it is not the last any more (a click sent twice) nothing happens.
        """
        with self._lock:
            self._require_open(reviewer)
            done = self._tally.last_done(reviewer)
            if done is None:
                raise Refused(409, "There is nothing to undo.")
            if decision_id and decision_id != done.decision_id:
                return self.serve(reviewer)
            now, example_id = self._clock(), self.work.ids[done.position]
            taken_back = Decision(
                self.spec.name,
                self.round,
                example_id,
                reviewer,
                SKIP,
                f"undo {done.decision_id}",
                reason=UNDONE,
                item_version=self.work.versions[done.position],
                supersedes=done.decision_id,
            )

            def work(connection: Connection) -> None:
                if insert_decisions(connection, checked_rows([taken_back])):
                    self._book.reopen(connection, reviewer, example_id, now)

            self._database.write("undo a decision", work)
            return self.serve(reviewer)

    # ---- progress

    def progress(self, reviewer: str) -> Progress:
        """Return how far the review is, and what the reviewer has done of it."""
        with self._lock:
            tally, review = self._tally, self.spec.review
            last = tally.last_done(reviewer)
            return Progress(
                decided=tally.decided,
                complete=tally.complete,
                total=len(tally.work),
                minutes=tally.seconds / 60,
                minutes_planned=review.budget_minutes or sum(tally.work.wanted) * review.minutes_per_item,
                has_budget=review.budget_minutes is not None,
                mine=tally.shares[reviewer],
                skipped=len(tally.skipped_by(reviewer)),
                undo=last.decision_id if last else None,
                outcome=self._outcome,
                bound=self._bound(),
            )

    def team(self) -> list[tuple[str, Share]]:
        """Return what each reviewer has done, by name."""
        with self._lock:
            self._refresh()
            return sorted((name, share) for name, share in self._tally.shares.items() if share.last_at)

    # ---- inside

    def _bound(self) -> tuple[float, float] | None:
        if self._live_bound and self._clock() - self._bounded > BOUND_SECONDS:
            n = self._tally.random_reached()
            self._bounds = self._live_bound(self._tally.defects, n, n - self._tally.random_decided) if n else None
            self._bounded = self._clock()
        return self._bounds

    def _decision(
        self, reviewer: str, given: Given, content: str | None, *, since: float | None, now: float
    ) -> Decision:
        most = MOST_SECONDS if since is None else min(MOST_SECONDS, max(0.0, now - since))
        return Decision(
            self.spec.name,
            self.round,
            given.example_id,
            reviewer,
            given.decision if content is None else REJECT,
            given.token,
            reason=given.reason if content is None else EDITED,
            seconds=round(most if given.seconds is None else min(given.seconds, most), 1),
            item_version=given.item_version,
        )

    def _edit(self, made: Decision, content: str) -> Edit:
        return Edit(
            made.decision_id, made.dataset, made.round, made.example_id, made.reviewer, content, made.item_version
        )

    def _take(
        self, connection: Connection, reviewer: str, now: float, *, without: int = -1, again: bool = False
    ) -> str | None:
        tally, ids = self._tally, self.work.ids

        def take(places: list[int]) -> str | None:
            offers = [Offer(ids[at], self.work.wanted[at], (*tally.voters(at),)) for at in places if at != without]
            return self._book.take_first(connection, reviewer, offers, now)

        start = 0
        while places := tally.waiting_for(reviewer, start, _BATCH):
            found = take(places)
            if found is not None:
                return found
            start = places[-1] + 1
        return take(tally.skipped_by(reviewer)[:_BATCH]) if again else None

    def _served(self, position: int) -> Served:
        return Served(position, self.work.ids[position], self.work.versions[position], secrets.token_urlsafe(12))

    def _position(self, example_id: str) -> int:
        position = self.work.position.get(example_id)
        if position is None:
            raise Refused(404, NOT_YOURS)
        return position

    def _require_open(self, reviewer: str) -> None:
        self._refresh()
        self._require_welcome(reviewer)
        if self._outcome:
            raise Refused(409, "This review has been concluded; nothing more is stored.")

    def _require_welcome(self, reviewer: str) -> None:
        if reviewer in self._tally.barred:
            raise Refused(403, "Your decisions are under quarantine; ask whoever leads the review.")

    def _refresh(self) -> None:
        if self._clock() - self._checked > CHECK_SECONDS:
            self._check()
        since = self._tally.seq if self._database.has_one_writer else max(0, self._tally.seq - _OVERLAP)
        new = self._store.decisions_since(self.spec.name, self.round, since)
        if new.height:
            self._tally.add(new.iter_rows(named=True))

    def _check(self) -> None:
        """Look whether the sample was enlarged, the review concluded, or a reviewer put under quarantine."""
        version, self._outcome = self._source.version(), self._source.outcome()
        entries = self._store.quarantined(self.spec.name).rows(named=True)
        barred = frozenset(row["value"] for row in entries if row["kind"] == "reviewer")
        if version != self._version:
            self._tally = Tally(self._source.load(), barred)
        elif barred != self._tally.barred:
            self._tally = Tally(self.work, barred)
        self._version, self._checked = version, self._clock()
