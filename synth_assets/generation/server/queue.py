"""The queue of one pass: which call is asked next, and what each has reserved of the allowance until it is answered.

Here: drawing calls lazily, admission, follow-ups, calls that wait to be asked again. Not here: asking (exchange.py).
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Iterable

from synth_assets.generation.allowance import Allowance
from synth_assets.generation.language.protocol import Answer, Call
from synth_assets.generation.server.dispatch import Server


class Job:
    """A call that was admitted and has no answer yet.

    faults: attempts that failed. strikes: those of them before which other calls passed since the last one. signs: of
    health, as counted by the pass, at the last fault. slow: attempts that took too long. avoid: the server of the last
    failed attempt.
    """

    __slots__ = ("avoid", "call", "faults", "position", "signs", "slow", "strikes")

    def __init__(self, position: int, call: Call) -> None:
        self.position, self.call = position, call
        self.faults = self.strikes = self.slow = self.signs = 0
        self.avoid: Server | None = None


class JobQueue:
    """First what is asked again, then follow-ups, then new calls; never more than `window` open at once."""

    def __init__(self, calls: Iterable[Call], allowance: Allowance, window: int) -> None:
        self._calls = enumerate(calls)
        self._allowance, self._window = allowance, window
        self._held: tuple[int, Call] | None = None
        self._drawn_all = False
        self._follow_ups: deque[tuple[int, Call]] = deque()
        self._again: deque[Job] = deque()
        self._later: list[tuple[float, int, Job]] = []
        self._number = itertools.count()
        self._open = self._reserved = 0

    @property
    def avoid(self) -> Server | None:
        """The server that the next job had better not be asked of."""
        return self._again[0].avoid if self._again else None

    @property
    def has_work(self) -> bool:
        """Whether `take` is likely to return a job; nothing is drawn to find out."""
        return bool(self._again or self._follow_ups) or (self.has_fresh and self._open < self._window)

    @property
    def has_fresh(self) -> bool:
        """Whether there may be calls that were never asked."""
        return bool(self._follow_ups) or self._held is not None or not self._drawn_all

    def is_finished(self) -> bool:
        """Say whether every call has been answered; draws the next one to be sure."""
        return not self._open and self._peek() is None

    def take(self) -> Job | None:
        """Return the next job; None where there is none, or the allowance has no room for it."""
        if self._again:
            return self._again.popleft()
        waiting = self._peek()
        if waiting is None or not self._allowance.admit(waiting[1].max_tokens):
            return None
        if self._follow_ups:
            self._follow_ups.popleft()
        else:
            self._held = None
        self._open += 1
        self._reserved += waiting[1].max_tokens
        return Job(*waiting)

    @property
    def is_stuck(self) -> bool:
        """Whether nothing is open that could be settled, so that a call refused now is refused for good."""
        return not self._open

    def settle(self, job: Job, answer: Answer) -> None:
        """Book a job's final answer; one without a count of tokens is charged in full, so that limits hold."""
        reserved = job.call.max_tokens
        self._open -= 1
        self._reserved -= reserved
        self._allowance.settle(reserved, answer.output_tokens or (reserved if answer.text else 0))

    def add_follow_up(self, position: int, call: Call) -> None:
        self._follow_ups.append((position, call))

    def ask_again(self, job: Job) -> None:
        self._again.append(job)

    def ask_later(self, job: Job, due: float) -> None:
        heapq.heappush(self._later, (due, next(self._number), job))

    def wake_due(self, now: float) -> None:
        """Queue what has waited long enough; everything that waits for `now` infinite."""
        while self._later and self._later[0][0] <= now:
            self._again.append(heapq.heappop(self._later)[2])

    def give_up(self) -> None:
        """Free what the jobs without answer have reserved."""
        self._allowance.settle(self._reserved, 0)
        self._open = self._reserved = 0

    def _peek(self) -> tuple[int, Call] | None:
        if self._follow_ups:
            return self._follow_ups[0]
        if self._held is None and not self._drawn_all and self._open < self._window:
            self._held = next(self._calls, None)
            self._drawn_all = self._held is None
        return self._held
