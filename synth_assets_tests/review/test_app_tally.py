"""The tally against counting everything anew: whatever was decided in whatever order, it says the same."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from synth_assets.review.app.tally import Tally
from synth_assets.review.app.work import ReviewWork
from synth_assets.review.decisions import SKIP, UNDONE
from synth_assets_tests.builders import text_spec
from synth_assets_tests.review_apps import MemoryWork, make_texts

N, RISK = 6, 2
NAMES = ("Ada", "Bob", "Cem")
SPEC = text_spec()
WORK = {reviews: MemoryWork(SPEC, make_texts(SPEC, N), reviews=reviews, risk=RISK).load() for reviews in (1, 2)}

_decision = st.tuples(
    st.integers(0, N - 1), st.sampled_from(NAMES), st.sampled_from(["accept", "reject", "flag", SKIP, UNDONE])
)
_history = st.lists(_decision, max_size=30)


def as_row(seq: int, position: int, reviewer: str, said: str) -> dict[str, Any]:
    return {
        "seq": seq,
        "decision_id": f"d{seq}",
        "example_id": f"e{position:04d}",
        "item_version": "",
        "reviewer": reviewer,
        "reviewer_kind": "human",
        "decision": SKIP if said == UNDONE else said,
        "reason": UNDONE if said == UNDONE else "",
        "supersedes": None,
        "seconds": 1.5,
        "decided_at": f"{seq:04d}",
    }


def waiting(work: ReviewWork, said: dict[tuple[int, str], str], reviewer: str) -> list[int]:
    """What may be served to a reviewer, counted anew."""
    found = []
    for position in range(len(work)):
        votes = {who for (at, who), what in said.items() if at == position and what not in (SKIP, UNDONE)}
        mine = said.get((position, reviewer))
        if len(votes) < work.wanted[position] and reviewer not in votes and mine != SKIP:
            found.append(position)
    return found


@given(_history, st.sampled_from([1, 2]))
def test_every_number_is_what_counting_anew_gives(history: list[tuple[int, str, str]], reviews: int) -> None:
    work, said = WORK[reviews], {}
    tally = Tally(work)
    for seq, (position, reviewer, what) in enumerate(history, start=1):
        row = as_row(seq, position, reviewer, what)
        tally.add([row])
        tally.add([row])
        said[position, reviewer] = what
        for name in NAMES:
            assert tally.waiting_for(name, 0, N) == waiting(work, said, name)
    votes = {
        at: [what for (place, _), what in said.items() if place == at and what not in (SKIP, UNDONE)] for at in range(N)
    }
    decided = [at for at, found in votes.items() if found]
    random = [at for at in decided if at < N - RISK]
    assert tally.decided == len(decided)
    assert tally.complete == sum(len(found) >= reviews for found in votes.values())
    assert tally.random_decided == len(random)
    assert tally.random_reached() == (max(random) + 1 if random else 0)
    assert tally.defects == sum("reject" in votes[at] or "flag" in votes[at] for at in random)
    assert tally.seconds == 1.5 * len(history)
    for name in NAMES:
        skipped = {at for (at, who), what in said.items() if who == name and what == SKIP}
        assert tally.skipped_by(name) == [at for at in sorted(skipped) if len(votes[at]) < reviews]
        assert tally.shares[name].decided == sum(
            who == name and what not in (SKIP, UNDONE) for (_, who), what in said.items()
        )


def test_paging_through_what_waits_gives_each_position_once() -> None:
    tally = Tally(WORK[1])
    first = tally.waiting_for("Ada", 0, 4)
    assert [*first, *tally.waiting_for("Ada", first[-1] + 1, 4)] == list(range(N))
