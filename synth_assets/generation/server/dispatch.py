"""Dispatch: how much work each server gets, when it gets none, and when to give up on all of them.

Here: one server's state (concurrency limit, pause, circuit breaker) and the choice among servers, as plain objects that
are told the time. Not here: requests (exchange.py), probes (probe.py), what a status means (wire.py).
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from synth_assets.errors import EngineError
from synth_assets.generation.language.protocol import FAILED, OVERFLOW, Answer
from synth_assets.generation.server.wire import Address, Facts

_LOG = logging.getLogger(__name__)
_FIRST_LIMIT, _HANDFUL = 32, 8
_MOST_DOUBLINGS = 16
_USELESS = 16


@dataclass(frozen=True)
class Timing:
    """Seconds and counts by which servers are watched; tests make them small.

    tick: between two looks of the watchdog. connect: for a connection to open. probe_*: health probes of a server that
    owes answers; so many failures in a row mean down. back_off: first pause after a failure, then doubled up to row_cap
    for a row, and up to server_cap for a server that is full or down; retry_after_cap: longest pause that a server may
    ask for. A call is slow when it outlives slow_floor and slow_factor times the slowest finished call. grace: at the
    start, for further servers once one is ready. row_tries: attempts that a single row may spoil. faults: rows that
    fail without an answer between them and so open the breaker.
    """

    tick: float = 0.25
    connect: float = 10.0
    probe_every: float = 5.0
    probe_timeout: float = 10.0
    probe_failures: int = 3
    back_off: float = 0.5
    row_cap: float = 30.0
    server_cap: float = 5.0
    retry_after_cap: float = 60.0
    slow_floor: float = 120.0
    slow_factor: float = 20.0
    grace: float = 5.0
    row_tries: int = 5
    faults: int = 8

    def delay_row(self, failures: int) -> float:
        """Return a jittered exponential pause after so many failures (1, 2 …) of a row."""
        return self._delay(failures, self.row_cap)

    def delay_server(self, failures: int) -> float:
        """Return the same for a server; nothing after none."""
        return self._delay(failures, self.server_cap) if failures else 0.0

    def longest_wait(self, slowest: float) -> float:
        """Return when a call counts as slow, given the slowest finished one (0: none has finished)."""
        return max(self.slow_floor, slowest * self.slow_factor) if slowest else self.slow_floor * self.slow_factor

    def _delay(self, failures: int, longest: float) -> float:
        return min(longest, self.back_off * 2 ** min(failures - 1, _MOST_DOUBLINGS)) * random.uniform(0.5, 1.0)


class Server:
    """One server as the dispatcher sees it; `now` is always seconds of one monotonic clock.

    The breaker is closed while `facts` are known (the server passed its check), open otherwise; a check that runs makes
    it half-open. The concurrency limit grows by one an answer until the first refusal, then by one a limitful of
    answers, and is halved once for each burst of refusals.
    """

    def __init__(self, address: Address, most: int, timing: Timing) -> None:
        self.address = address
        self.most = most
        self.facts: Facts | None = None
        self.limit = float(min(_FIRST_LIMIT, most))
        self.in_flight = 0
        self.paused_until = 0.0
        self.check_at = 0.0
        self.checking = False
        self.probing = False
        self.looked_at = 0.0
        self.reason = ""
        self.troubled_since: float | None = None
        self.failed: set[int] = set()
        self._timing = timing
        self._refused_before = self._shaky = False
        self._burst = 0
        self._pauses = self._falls = self._failed_probes = 0

    def __repr__(self) -> str:
        return f"Server({self.address}, {'up' if self.facts else 'down'}, {self.in_flight}/{int(self.limit)})"

    @property
    def is_up(self) -> bool:
        return self.facts is not None

    def has_room(self, now: float) -> bool:
        """Say whether it may be given one more call."""
        return self.facts is not None and self.in_flight < int(self.limit) and now >= self.paused_until

    def begin_pass(self, now: float) -> None:
        """Forget what failed in an earlier pass; a server that was down is checked at once."""
        self.in_flight = 0
        self.paused_until = self.check_at = 0.0
        self.checking = self.probing = False
        self.looked_at = now
        self.failed.clear()
        self.troubled_since = None if self.is_up else now
        self._shaky = not self.is_up
        self._pauses = self._falls = self._failed_probes = 0

    def start_call(self) -> int:
        """Count a call in; the burst it returns belongs to `note_busy`."""
        self.in_flight += 1
        return self._burst

    def end_call(self) -> None:
        """Count a call out, however it ended."""
        self.in_flight -= 1

    def note_answer(self, now: float) -> None:
        """Take in that it answered a call, `end_call` not yet counted: the one full sign of health."""
        self.looked_at = now
        if self.in_flight >= int(self.limit) and self.limit < self.most:
            self.limit = min(float(self.most), self.limit + (1 / self.limit if self._refused_before else 1))
        if self._shaky:
            self._shaky = False
            self.troubled_since = None
            self.failed.clear()
            self._pauses = self._falls = self._failed_probes = 0

    def note_busy(self, burst: int, now: float, reason: str, retry_after: float | None = None) -> None:
        """Take in that it took no more: half the concurrency and a pause, once for all refusals of one burst."""
        self._note_trouble(now, reason)
        if burst == self._burst:
            self._halve()
            self._pauses += 1
            pause = self._timing.delay_server(self._pauses)
            if retry_after is not None:
                pause = min(retry_after, self._timing.retry_after_cap)
            self.paused_until = max(self.paused_until, now + pause)

    def note_fault(self, row: int, now: float, reason: str) -> None:
        """Take in that a row's attempt failed; so many rows without an answer between open the breaker."""
        self._note_trouble(now, reason)
        self.failed.add(row)
        if len(self.failed) >= self._timing.faults:
            self.take_down(now, reason)

    def note_probe(self, now: float, reason: str) -> bool:
        """Take in a health probe (no reason: it passed); True where what is in flight there is lost."""
        self.looked_at = now
        if not reason:
            self._failed_probes = 0
            if self._only_probes_failed:
                self.troubled_since = None
            return False
        if not self._failed_probes:
            self._halve()
        self._failed_probes += 1
        self._note_trouble(now, reason)
        if self._failed_probes < self._timing.probe_failures:
            return False
        self.take_down(now, reason)
        return True

    def take_down(self, now: float, reason: str) -> None:
        """Open the breaker: no new work until a check has passed. The first is due at once; later ones, without an
        answer between, are paced: some servers pass every check and fail every call."""
        self._note_trouble(now, reason)
        if self.facts is not None:
            _LOG.warning("server %s gets no work: %s", self.address, reason)
            self.facts = None
            self.check_at = now + self._timing.delay_server(self._falls)
            self._falls += 1

    def note_check_failed(self, now: float, reason: str) -> None:
        """Take in that it is still down."""
        self._note_trouble(now, reason)
        self._falls += 1
        self.check_at = now + self._timing.delay_server(self._falls)

    def bring_up(self, facts: Facts, now: float) -> None:
        """Close the breaker after a passed check; work begins again with a handful of calls to a few dozen.

        What failed is forgotten only with the next answer: until then one more failure may open the breaker again.
        """
        if self.troubled_since is not None:
            _LOG.warning("server %s gets work", self.address)
        self.limit = float(min(_FIRST_LIMIT, self.most, max(_HANDFUL, int(self.limit))))
        self.facts = facts
        self.looked_at = now
        self.paused_until = 0.0
        self._failed_probes = 0

    def is_lost(self, now: float, patience: float) -> bool:
        """Say whether it answered nothing for so long, and nothing is on its way."""
        troubled = self.troubled_since is not None and now - self.troubled_since >= patience
        return troubled and (not self.is_up or self.in_flight == 0)

    @property
    def _only_probes_failed(self) -> bool:
        return self.is_up and not self.failed and not self._pauses

    def _note_trouble(self, now: float, reason: str) -> None:
        self.reason, self._shaky = reason, True
        if self.troubled_since is None:
            self.troubled_since = now

    def _halve(self) -> None:
        self._burst += 1
        self._refused_before = True
        self.limit = max(1.0, self.limit / 2)


class Usefulness:
    """Whether a pass still brings anything: rows that fail among good ones do not end it, nothing but failures does."""

    def __init__(self, patience: float, now: float) -> None:
        self._patience = patience
        self._answered = False
        self._useful_at = now
        self._rejected = self._spoiled = 0

    def count(self, answer: Answer, spoiled: bool, now: float) -> EngineError | None:
        """Take in a row's last answer (spoiled: given up after faults); return the error that ends the pass, if any."""
        if answer.finish_reason not in (OVERFLOW, FAILED):
            self._answered, self._spoiled, self._useful_at = True, 0, now
            return None
        self._rejected += 1
        self._spoiled += spoiled
        if not self._answered and self._rejected >= _USELESS:
            advice = (
                "lower generation.exemplars or generation.max_tokens, or serve with a larger vllm.max_model_len"
                if answer.finish_reason == OVERFLOW
                else "see generation.model, generation.prompt and generation.max_tokens"
            )
            return EngineError(f"none of the first {self._rejected} calls could be answered: {answer.error}; {advice}")
        if self._spoiled >= _USELESS and now - self._useful_at >= self._patience:
            failed = f"{self._spoiled} calls in a row failed, for {now - self._useful_at:,.0f} seconds"
            return EngineError(f"{failed}, however often they were tried; the last: {answer.error}")
        return None


def choose_server(servers: Sequence[Server], now: float, *, avoid: Server | None = None) -> Server | None:
    """Return the least loaded server with room; `avoid` only where no other has room."""
    best: Server | None = None
    for server in servers:
        if server is avoid or not server.has_room(now):
            continue
        if best is None or server.in_flight * best.limit < best.in_flight * server.limit:
            best = server
    return avoid if best is None and avoid is not None and avoid.has_room(now) else best


def explain_loss(servers: Iterable[Server], patience: float) -> EngineError:
    """Return the error for servers that are all out: each with what it last failed by."""
    reasons = "; ".join(f"{server.address}: {server.reason or 'no answer yet'}" for server in servers)
    return EngineError(
        f"no server has answered for {patience:g} seconds: {reasons}. Start one (`synth serve`), mend "
        "generation.server.urls, or raise generation.server.patience_seconds"
    )
