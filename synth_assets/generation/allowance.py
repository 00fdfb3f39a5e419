"""The allowance: what a round may still spend in tokens, seconds and money, asked before each model call.

Here: reservation and settlement against the limits of a spec's budget. Not here: what a round did spend (the ledger).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from synth_assets.spec import DatasetSpec

TOKENS = "tokens"
SECONDS = "seconds"
MONEY = "money"


class Allowance:
    """Limits of one round; None or 0 prices mean no limit.

    A call reserves its longest completion before it starts and settles for what it used, so generated tokens and money
    paid for tokens never exceed their limits, whatever is in flight. Seconds, and money paid for time, end when they
    end: calls in flight at that moment are given up. `settled` counts the calls that were booked; `watch` is called
    after each of them.
    """

    def __init__(
        self,
        *,
        tokens: int | None = None,
        seconds: float | None = None,
        money: float | None = None,
        price_per_token: float = 0.0,
        price_per_second: float = 0.0,
        spent_tokens: int = 0,
        spent_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = {TOKENS: tokens, SECONDS: seconds, MONEY: money}
        self.prices = (price_per_token, price_per_second)
        self.spent_tokens = spent_tokens
        self._reserved = 0
        self._earlier = spent_seconds
        self._clock = clock
        self._started = clock()
        self._refused = ""
        self.settled = 0
        self.watch: Callable[[], None] = ignore

    @classmethod
    def of(cls, spec: DatasetSpec, *, clock: Callable[[], float] = time.monotonic) -> Allowance:
        """Return a round's allowance by the spec's budget and prices."""
        return cls(
            tokens=spec.budget.tokens,
            seconds=spec.budget.seconds,
            money=spec.budget.money,
            price_per_token=spec.cost.per_million_tokens / 1e6,
            price_per_second=spec.cost.per_engine_hour / 3600,
            clock=clock,
        )

    @property
    def seconds(self) -> float:
        """Seconds spent so far."""
        return self._earlier + self._clock() - self._started

    @property
    def money(self) -> float:
        """Money spent so far, for tokens and time."""
        return self.spent_tokens * self.prices[0] + self.seconds * self.prices[1]

    def admit(self, tokens: int) -> bool:
        """Reserve a call's longest completion; False where it could exceed a limit."""
        if self.overdue:
            return False
        committed = self.spent_tokens + self._reserved + tokens
        limit, purse = self.limits[TOKENS], self.limits[MONEY]
        if limit is not None and committed > limit:
            self._refused = TOKENS
        elif purse is not None and committed * self.prices[0] + self.seconds * self.prices[1] > purse:
            self._refused = MONEY
        else:
            self._reserved += tokens
            self._refused = ""
            return True
        return False

    def settle(self, reserved: int, used: int) -> None:
        """Book what an admitted call used, in tokens, and free its reservation."""
        self._reserved -= reserved
        self.spent_tokens += used
        self.settled += 1
        self.watch()

    def book(self, tokens: int) -> None:
        """Book tokens that were generated without being reserved: by an embedded engine, or before a restart."""
        self.spent_tokens += tokens

    @property
    def overdue(self) -> bool:
        """Whether time, or money by time, is used up: calls in flight are to be given up."""
        limit, purse = self.limits[SECONDS], self.limits[MONEY]
        if limit is not None and self.seconds >= limit:
            self._refused = SECONDS
            return True
        if purse is not None and self.money >= purse:
            self._refused = MONEY
            return True
        return False

    @property
    def ended(self) -> str:
        """Which limit ended the round: tokens | seconds | money; empty while there is room."""
        if self.overdue or self._refused:
            return self._refused
        limit = self.limits[TOKENS]
        return TOKENS if limit is not None and self.spent_tokens >= limit else ""


def ignore() -> None:
    """Watch nothing."""
    return
