"""One pass of calls over the servers: asked as room comes free, asked again where that helps, each answered once.

Here: the workers, the watchdog and what an attempt comes to. Not here: which call is next (queue.py), a server's
state (dispatch.py), checks (probe.py), bodies and the meaning of errors (wire.py).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp

from synth_assets.errors import EngineError
from synth_assets.generation.allowance import Allowance
from synth_assets.generation.language.protocol import FAILED, OVERFLOW, REFUSED, Answer, Call, Sampling
from synth_assets.generation.server.dispatch import Server, Timing, Usefulness, choose_server, explain_loss
from synth_assets.generation.server.probe import (
    Unfit,
    Unreachable,
    Wanted,
    check_server,
    open_session,
    probe_health,
    read_body,
)
from synth_assets.generation.server.queue import Job, JobQueue
from synth_assets.generation.server.wire import (
    BodyWriter,
    Trouble,
    explain_exception,
    is_out_of_files,
    judge_status,
    read_answer,
    read_retry_after,
)

_SLOW_TRIES = 3
_STRIKES = 2
_ROW_TROUBLES = {Trouble.OVERFLOW: OVERFLOW, Trouble.REFUSED: REFUSED, Trouble.ROW: FAILED}


@dataclass(frozen=True)
class Plan:
    """What a pass needs beside its calls; patience in seconds."""

    servers: Sequence[Server]
    wanted: Wanted
    timing: Timing
    patience: float
    sampling: Sampling
    allowance: Allowance


class _Worker:
    """One slot: the attempt it is at. An attempt is abandoned by taking `job` away; what it then brings is dropped."""

    __slots__ = ("burst", "job", "server", "since", "task")

    def __init__(self) -> None:
        self.job: Job | None = None
        self.server: Server
        self.since = self.burst = 0
        self.task: asyncio.Task[None]

    def take_away(self) -> Job:
        """Abandon the attempt and return its job."""
        job = self.end_attempt()
        self.task.cancel()
        return job

    def end_attempt(self) -> Job:
        job, self.job = self.job, None
        assert job is not None
        self.server.end_call()
        return job


class _Line:
    """A server's session in this pass and the writer of its bodies, made anew when a check finds other facts."""

    def __init__(self, server: Server, session: aiohttp.ClientSession) -> None:
        self.server, self.session = server, session
        self.is_vllm = False
        self.writer: BodyWriter

    def rewrite(self, sampling: Sampling, bos: str) -> None:
        if self.server.facts is not None:
            self.is_vllm = self.server.facts.is_vllm
            self.writer = BodyWriter(self.server.facts, sampling, bos=bos)


class Pass:
    """One `answer`: `run` it once in an event loop of its own, in the caller's thread."""

    def __init__(self, plan: Plan, calls: Iterable[Call], receive: Callable[[int, Answer], Call | None]) -> None:
        self._plan, self._timing, self._servers = plan, plan.timing, plan.servers
        self._receive = receive
        self._most_workers = sum(server.most for server in plan.servers)
        self._queue = JobQueue(calls, plan.allowance, self._most_workers)
        self._workers: set[_Worker] = set()
        self._idle: list[asyncio.Future[None]] = []
        self._others: set[asyncio.Task[None]] = set()
        self._lines: dict[Server, _Line] = {}
        self._tick = self._slowest = self._signs = 0
        self._ended = False
        self._error: BaseException | None = None

    async def run(self) -> None:
        """Ask every call; EngineError where the servers as a whole cannot go on."""
        self._loop = asyncio.get_running_loop()
        self._done = self._loop.create_future()
        self._use = Usefulness(self._plan.patience, self._loop.time())
        async with AsyncExitStack() as stack:
            for server in self._servers:
                session = open_session(server.address, self._plan.wanted.credentials, self._timing.connect)
                self._lines[server] = _Line(server, await stack.enter_async_context(session))
                self._lines[server].rewrite(self._plan.sampling, self._plan.wanted.bos)
                server.begin_pass(self._loop.time())
            try:
                self._watch()
                while not self._done.done():
                    await asyncio.wait([self._done], timeout=self._timing.tick)
                    self._watch()
            finally:
                await self._stop()
        if self._error is not None:
            raise self._error

    # Workers

    def _wake(self) -> None:
        """Let one more worker look for work; it wakes the next one if it found some."""
        while self._idle:
            room = self._idle.pop()
            if not room.done():
                return room.set_result(None)
        if len(self._workers) < self._most_workers and not self._ended:
            worker = _Worker()
            self._workers.add(worker)
            worker.task = self._loop.create_task(self._work(worker))
        return None

    async def _work(self, worker: _Worker) -> None:
        try:
            while not self._ended:
                if self._take(worker):
                    await self._ask(worker)
                elif not self._ended:
                    room = self._loop.create_future()
                    self._idle.append(room)
                    await room
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # from `calls` or `receive`, whose errors are the caller's
            self._fail(error)
        finally:
            self._workers.discard(worker)

    def _take(self, worker: _Worker) -> bool:
        if self._queue.is_finished():
            self._end()
            return False
        now = self._loop.time()
        server = choose_server(self._servers, now, avoid=self._queue.avoid)
        if server is None:
            return False
        job = self._queue.take()
        if job is None:
            if self._queue.is_stuck:
                self._end()
            return False
        worker.job, worker.server, worker.since = job, server, self._tick
        worker.burst = server.start_call()
        if not job.faults:
            job.signs = self._signs
        if self._queue.has_work and any(other.has_room(now) for other in self._servers):
            self._wake()
        return True

    async def _ask(self, worker: _Worker) -> None:
        job, server = worker.job, worker.server
        assert job is not None
        line = self._lines[server]
        url = server.address.completions if isinstance(job.call.prompt, str) else server.address.chat
        try:
            response = await line.session.post(url, data=line.writer.write(job.call), allow_redirects=False)
            body = await read_body(response)
        except (aiohttp.ClientError, OSError) as error:
            if worker.job is job:
                worker.end_attempt()
                self._note_exception(job, server, worker.burst, error)
            return
        if worker.job is not job:
            return
        answer = read_answer(body) if response.status == 200 else None
        if answer is not None:
            server.note_answer(self._loop.time())
            self._slowest = max(self._slowest, self._tick - worker.since + 1)
            self._signs += 1
        worker.end_attempt()
        if answer is not None:
            self._deliver(job, answer)
        elif response.status == 200:
            self._blame(job, server, "its answer cannot be read")
        else:
            self._note_status(job, server, worker.burst, response, body)

    # What attempts come to

    def _deliver(self, job: Job, answer: Answer) -> None:
        if self._ended:
            return
        self._queue.settle(job, answer)
        follow_up = self._receive(job.position, answer)
        if follow_up is not None:
            self._queue.add_follow_up(job.position, follow_up)
            return
        hopeless = self._use.count(answer, job.faults > 0, self._loop.time())
        if hopeless is not None:
            self._fail(hopeless)

    def _note_exception(self, job: Job, server: Server, burst: int, error: BaseException) -> None:
        now, reason = self._loop.time(), explain_exception(error)
        if is_out_of_files(error):
            server.note_busy(burst, now, "too many open files on this machine (see `ulimit -n`)")
            self._queue.ask_again(job)
        elif isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
            server.take_down(now, reason)
            self._queue.ask_again(job)
        else:
            self._blame(job, server, reason)

    def _note_status(self, job: Job, server: Server, burst: int, response: aiohttp.ClientResponse, body: bytes) -> None:
        now = self._loop.time()
        trouble, message = judge_status(response.status, body)
        message = self._plan.wanted.credentials.hide(message)
        if trouble in _ROW_TROUBLES:
            server.note_answer(now)
            facts = server.facts if trouble is Trouble.OVERFLOW else None
            room = f" (context of {facts.max_model_len:,} tokens)" if facts and facts.max_model_len else ""
            self._deliver(job, Answer("", _ROW_TROUBLES[trouble], error=f"{server.address}{room}: {message}"))
        elif trouble is Trouble.BUSY:
            wait = read_retry_after(response.headers.get("Retry-After"), time.time())
            server.note_busy(burst, now, message, wait)
            self._queue.ask_again(job)
        elif trouble is Trouble.TOKEN:
            refusal = self._plan.wanted.credentials.explain_refusal()
            self._fail(EngineError(f"{server.address} answers {response.status}: {refusal}"))
        elif trouble is Trouble.SETUP:
            self._fail(EngineError(f"{server.address} answers {message}; see generation.model and generation.server"))
        else:
            if response.status in (408, 504):
                server.note_busy(burst, now, message)
            self._blame(job, server, message)

    def _blame(self, job: Job, server: Server, reason: str) -> None:
        """Try a row again later, unless it has failed often while others passed: then it is the row's fault."""
        now = self._loop.time()
        job.faults += 1
        job.strikes += self._signs > job.signs
        job.signs = self._signs
        job.avoid = server
        server.note_fault(job.position, now, reason)
        if job.faults >= self._timing.row_tries:
            if job.strikes >= _STRIKES:
                return self._deliver(job, _give_up(server, reason, job.faults))
            if not server.in_flight:
                server.take_down(now, reason)  # nobody else to compare with: the check tells whose fault it is
        return self._queue.ask_later(job, now + self._timing.delay_row(job.faults))

    # The watchdog

    def _watch(self) -> None:
        if self._ended:
            return
        self._tick += 1
        now = self._loop.time()
        if self._plan.allowance.overdue:
            self._end()
            return
        self._queue.wake_due(now)
        for server in self._servers:
            quiet = now - server.looked_at >= self._timing.probe_every
            if server.in_flight and quiet and not server.probing:
                server.probing = True
                self._spawn(self._probe(server))
            if not server.is_up and now >= server.check_at and not server.checking:
                server.checking = True
                self._spawn(self._check(server))
        self._abandon_slow(now)
        if all(server.is_lost(now, self._plan.patience) for server in self._servers):
            self._fail(explain_loss(self._servers, self._plan.patience))
        if self._queue.has_work or self._queue.is_stuck:
            self._wake()

    async def _probe(self, server: Server) -> None:
        line = self._lines[server]
        reason = await probe_health(line.session, server.address, line.is_vllm, self._timing.probe_timeout)
        server.probing = False
        if server.note_probe(self._loop.time(), reason):
            self._abandon(server)

    async def _check(self, server: Server) -> None:
        line = self._lines[server]
        try:
            facts = await check_server(line.session, server.address, self._plan.wanted, self._plan.patience)
        except (Unreachable, Unfit) as error:
            server.note_check_failed(self._loop.time(), str(error))
            self._abandon(server)
        else:
            # a check tells of rows only where no fresh row can: some servers pass checks and fail everything else
            self._signs += not self._queue.has_fresh
            server.bring_up(facts, self._loop.time())
            line.rewrite(self._plan.sampling, self._plan.wanted.bos)
            self._queue.wake_due(math.inf)
            self._wake()
        finally:
            server.checking = False

    def _abandon(self, server: Server) -> None:
        """Ask elsewhere what is in flight at a server that is gone."""
        for worker in list(self._workers):
            if worker.job is not None and worker.server is server:
                self._queue.ask_again(worker.take_away())
        self._wake()

    def _abandon_slow(self, now: float) -> None:
        """Ask again what takes far longer than any call took; where none has finished yet, check the server instead."""
        longest = self._timing.longest_wait(self._slowest * self._timing.tick)
        for worker in list(self._workers):
            job = worker.job
            if job is None or (self._tick - worker.since) * self._timing.tick < longest * 2**job.slow:
                continue
            server, reason = worker.server, f"a call got no answer in {longest * 2**job.slow:,.0f} seconds"
            job.slow += 1
            job.avoid = server
            if job.slow >= _SLOW_TRIES:
                job.faults += 1
                self._deliver(worker.take_away(), _give_up(server, reason, job.slow))
            elif self._slowest:
                server.note_busy(worker.burst, now, reason, 0.0)
                self._queue.ask_again(worker.take_away())
            else:
                server.take_down(now, reason)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._others.add(task)
        task.add_done_callback(self._end_other)

    def _end_other(self, task: asyncio.Task[None]) -> None:
        self._others.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._fail(error)

    # The end

    def _fail(self, error: BaseException) -> None:
        if self._error is None:
            self._error = error
        self._end()

    def _end(self) -> None:
        self._ended = True
        if not self._done.done():
            self._done.set_result(None)

    async def _stop(self) -> None:
        """Give up what is in flight and free its reservation."""
        self._ended = True
        tasks = [worker.task for worker in self._workers] + list(self._others)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._queue.give_up()


def _give_up(server: Server, reason: str, tries: int) -> Answer:
    return Answer("", FAILED, error=f"{server.address}: {reason} (tried {tries} times)")
