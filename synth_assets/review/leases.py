"""Leases: which reviewer has which example in hand, so that several people at once get different ones.

Here: taking, keeping, settling and giving back a lease, each inside the caller's transaction. Not here: the order in
which examples are served and what was decided (app/desk.py).

An example that wants k reviews has k slots. A row of the table is a slot in somebody's hand until a time; after that
it may be taken over. Two processes that go for one slot meet in the table's unique keys: one of them wins.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synth_assets.review.database import table

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Select

SETTLED_SECONDS = 60.0  # how long a decided slot stays held, until every process has read its decision


@dataclass(frozen=True)
class Offer:
    """An example that may be served. wanted: reviews in all; reviewed_by: who has decided it."""

    example_id: str
    wanted: int = 1
    reviewed_by: Collection[str] = ()


@dataclass(frozen=True)
class LeaseBook:
    """The leases of one round. seconds: how long a lease lasts. All times are seconds since 1970."""

    dataset: str
    round: str
    seconds: float = 900.0

    def open_of(self, reviewer: str, now: float) -> Select[*tuple[Any, ...]]:
        """Return the query of example_id and served_at of a reviewer's live leases, the newest first."""
        from sqlalchemy import select

        leases = table("leases")
        return (
            select(leases.c.example_id, leases.c.served_at)
            .where(*self._mine(reviewer), leases.c.decided.is_(False), leases.c.until > now)
            .order_by(leases.c.served_at.desc())
        )

    def take_first(self, connection: Connection, reviewer: str, offers: Sequence[Offer], now: float) -> str | None:
        """Take the first example of which a slot is free for the reviewer; None if others hold them all.

        A slot is free if it was never given out or its lease has run out. An example is passed over if the reviewer
        has decided it, or if those who decided it and those who hold it are as many as it wants.
        """
        held = self._held(connection, [offer.example_id for offer in offers])
        for offer in offers:
            rows = held[offer.example_id]
            for _ in range(offer.wanted + 1):
                slot = self._free_slot(rows, reviewer, offer, now)
                if slot is None:
                    break
                if self._take(connection, reviewer, offer.example_id, slot, now):
                    return offer.example_id
                rows = self._held(connection, [offer.example_id])[offer.example_id]  # somebody was faster
        return None

    def renew(self, connection: Connection, reviewer: str, example_id: str, now: float) -> bool:
        """Prolong a lease that nobody has taken over; False if the reviewer does not hold the example."""
        return self._change(connection, reviewer, example_id, until=now + self.seconds)

    def settle(self, connection: Connection, reviewer: str, example_id: str, now: float) -> bool:
        """Mark the example as decided; False if the reviewer does not hold it."""
        return self._change(connection, reviewer, example_id, until=now + SETTLED_SECONDS, decided=True)

    def give_back(self, connection: Connection, reviewer: str, example_id: str) -> bool:
        """Give an undecided example back; False if the reviewer does not hold it."""
        from sqlalchemy import delete

        leases = table("leases")
        held = (*self._mine(reviewer), leases.c.example_id == example_id, leases.c.decided.is_(False))
        return bool(connection.execute(delete(leases).where(*held)).rowcount)

    def reopen(self, connection: Connection, reviewer: str, example_id: str, now: float) -> None:
        """Put an example that the reviewer had decided back in their hand, whoever else holds it."""
        from sqlalchemy import func, insert, select, update

        leases = table("leases")
        terms = {"served_at": now, "until": now + self.seconds, "decided": False}
        mine = (*self._mine(reviewer), leases.c.example_id == example_id)
        if connection.execute(update(leases).where(*mine).values(**terms)).rowcount:
            return
        of_example = select(func.max(leases.c.slot)).where(*self._round(), leases.c.example_id == example_id)
        highest = connection.execute(of_example).scalar()
        slot = 0 if highest is None else highest + 1
        where = {"dataset": self.dataset, "round": self.round, "example_id": example_id, "slot": slot}
        connection.execute(insert(leases), [{**where, "reviewer": reviewer, **terms}])

    def served_at(self, connection: Connection, reviewer: str, example_id: str) -> float | None:
        """Return since when a reviewer has an undecided example in hand; None if they do not hold it."""
        from sqlalchemy import select

        leases = table("leases")
        held = (*self._mine(reviewer), leases.c.example_id == example_id, leases.c.decided.is_(False))
        return connection.execute(select(leases.c.served_at).where(*held)).scalar()

    def _held(self, connection: Connection, ids: Sequence[str]) -> dict[str, list[Any]]:
        from sqlalchemy import select

        leases = table("leases")
        held: dict[str, list[Any]] = defaultdict(list)
        for row in connection.execute(select(leases).where(*self._round(), leases.c.example_id.in_(ids))):
            held[row.example_id].append(row)
        return held

    def _free_slot(self, rows: Sequence[Any], reviewer: str, offer: Offer, now: float) -> Any:
        """Return a row of the table to take over, or the number of a slot that has none; None if there is neither."""
        mine = [row for row in rows if row.reviewer == reviewer]
        if reviewer in offer.reviewed_by or any(row.decided and row.until > now for row in mine):
            return None
        others = {row.reviewer for row in rows if row.until > now} | set(offer.reviewed_by)
        if len(others - {reviewer}) >= offer.wanted:
            return None
        if old := mine or [row for row in rows if row.until <= now]:
            return old[0]
        return min(set(range(len(rows) + 1)) - {row.slot for row in rows})

    def _take(self, connection: Connection, reviewer: str, example_id: str, slot: Any, now: float) -> bool:
        """Take a row over, or a slot; False if another process did in between."""
        from sqlalchemy import insert, update
        from sqlalchemy.exc import IntegrityError

        leases = table("leases")
        terms = {"reviewer": reviewer, "served_at": now, "until": now + self.seconds, "decided": False}
        if not isinstance(slot, int):
            same = (leases.c.seq == slot.seq, leases.c.reviewer == slot.reviewer, leases.c.until == slot.until)
            return bool(connection.execute(update(leases).where(*same).values(**terms)).rowcount)
        where = {"dataset": self.dataset, "round": self.round, "example_id": example_id, "slot": slot}
        try:
            with connection.begin_nested():
                connection.execute(insert(leases), [{**where, **terms}])
        except IntegrityError:
            return False
        return True

    def _change(self, connection: Connection, reviewer: str, example_id: str, **values: Any) -> bool:
        from sqlalchemy import update

        leases = table("leases")
        held = (*self._mine(reviewer), leases.c.example_id == example_id, leases.c.decided.is_(False))
        return bool(connection.execute(update(leases).where(*held).values(**values)).rowcount)

    def _round(self) -> tuple[ColumnElement[bool], ...]:
        leases = table("leases")
        return leases.c.dataset == self.dataset, leases.c.round == self.round

    def _mine(self, reviewer: str) -> tuple[ColumnElement[bool], ...]:
        return *self._round(), table("leases").c.reviewer == reviewer
