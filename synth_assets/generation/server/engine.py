"""The server engine: a language model behind one or many OpenAI-compatible servers (vLLM and others).

Here: opening it from a spec, and the model's identity. Not here: how calls are spread, watched and asked again
(exchange.py, dispatch.py), what a server is checked for (probe.py), what goes over the wire
(wire.py).
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from synth_assets.errors import EngineError
from synth_assets.generation.allowance import Allowance
from synth_assets.generation.language.model_files import read_bos_text
from synth_assets.generation.language.protocol import Answer, Call, ModelInfo, Sampling
from synth_assets.generation.server.dispatch import Server, Timing, explain_loss
from synth_assets.generation.server.exchange import Pass, Plan
from synth_assets.generation.server.probe import (
    CHAT,
    COMPLETION,
    Unfit,
    Unreachable,
    Wanted,
    check_server,
    open_session,
)
from synth_assets.generation.server.wire import Address, Credentials
from synth_assets.spec import DatasetSpec, ServerSpec

ENGINE = "server"


def open_server(spec: DatasetSpec, *, root: Path | None = None, timing: Timing | None = None) -> ServerModel:
    """Return the spec's model, ready to answer, once a server is up and every server that is up has been checked.

    A model folder counts from `root`, the project's (left out: the working directory). EngineError names each URL and
    what is wrong with it, or the environment variable that lacks the token.
    """
    generation = spec.generation
    if generation.model is None or not generation.server.urls:
        raise EngineError("engine server needs generation.model and generation.server.urls")
    folder = (root or Path()) / Path(generation.model).expanduser()
    wanted = Wanted(
        names=tuple(dict.fromkeys((generation.model, folder.resolve().name))),
        prompt=generation.prompt,
        bos=read_bos_text(folder) if folder.is_dir() else "",
        credentials=_read_credentials(generation.server.api_key_env),
    )
    model = ServerModel(generation.server, wanted, timing=timing or Timing())
    model.open()
    return model


def _read_credentials(variable: str | None) -> Credentials:
    token = os.environ.get(variable, "").strip() if variable else ""
    if variable and not token:
        raise EngineError(
            f"the environment variable {variable} (generation.server.api_key_env) is not set; it must hold the token"
        )
    if not (token.isascii() and token.isprintable()):
        raise EngineError(f"the environment variable {variable} holds no token: it has characters no header can carry")
    return Credentials(variable, token)


class ServerModel:
    """A model that servers answer for. `open` it before use; passes follow one another, never at the same time."""

    def __init__(self, settings: ServerSpec, wanted: Wanted, *, timing: Timing) -> None:
        self._servers = [Server(_read_address(url), settings.max_concurrency, timing) for url in settings.urls]
        self._patience = settings.patience_seconds
        self._wanted, self._timing = wanted, timing
        self._info: ModelInfo | None = None
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"ServerModel({self._wanted.names[0]} at {', '.join(str(server.address) for server in self._servers)})"

    @property
    def info(self) -> ModelInfo:
        assert self._info is not None, "open the model first"
        return self._info

    def open(self) -> None:
        """Check the servers: those that are up must fit, at least one must be up within the patience."""
        for server in self._servers:
            server.facts, server.reason = None, ""
        with _new_runner() as runner:
            runner.run(self._open_servers())
        ready = [(server, server.facts) for server in self._servers if server.facts is not None]
        server, facts = ready[0]
        for other, found in ready[1:]:
            if found.chat != facts.chat:
                kinds = f"{server.address} {_kind(facts.chat)}, {other.address} {_kind(found.chat)}"
                raise EngineError(f"the servers take different prompts: {kinds}; set generation.prompt: completion")
        self._wanted = replace(self._wanted, prompt=_kind(facts.chat))
        versions = sorted({f"vllm {found.version}" if found.is_vllm else "unknown" for _, found in ready})
        self._info = ModelInfo(
            engine=ENGINE,
            model=facts.model.rstrip("/").rpartition("/")[2],
            version=", ".join(versions),
            digest="",
            chat=facts.chat,
            settings={"constraint": facts.constraint, "prompt": _kind(facts.chat)},
            batch=sum(server.most for server in self._servers),
        )

    def answer(
        self,
        calls: Iterable[Call],
        receive: Callable[[int, Answer], Call | None],
        *,
        sampling: Sampling,
        allowance: Allowance,
    ) -> None:
        """Ask every call: see LanguageModel. The thread must not run an event loop; what `receive` raises comes out."""
        with self._lock:
            if sampling.mark is not None and sampling.mark != self._wanted.mark:
                self._wanted = replace(self._wanted, mark=sampling.mark)
                self.open()
            plan = Plan(self._servers, self._wanted, self._timing, self._patience, sampling, allowance)
            with _new_runner() as runner:
                runner.run(Pass(plan, calls, receive).run())

    def close(self) -> None:
        """Nothing is open between passes."""

    async def _open_servers(self) -> None:
        began = time.monotonic()
        tasks = [asyncio.create_task(self._bring_up(server)) for server in self._servers]
        ready_since: float | None = None
        try:
            while True:
                done, running = await asyncio.wait(
                    tasks, timeout=self._timing.tick, return_when=asyncio.FIRST_EXCEPTION
                )
                for task in done:
                    task.result()
                now = time.monotonic()
                if ready_since is None and any(server.is_up for server in self._servers):
                    ready_since = now
                if not running or (ready_since is not None and self._may_begin(now - ready_since)):
                    return
                if ready_since is None and now - began >= self._patience:
                    raise explain_loss(self._servers, self._patience)
        except Unfit as error:
            raise EngineError(str(error)) from None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _may_begin(self, waited: float) -> bool:
        """Say whether servers that are not ready may be left for later: they failed once, or took too long."""
        return waited >= self._timing.grace or all(server.is_up or server.reason for server in self._servers)

    async def _bring_up(self, server: Server) -> None:
        credentials = self._wanted.credentials
        async with open_session(server.address, credentials, self._timing.connect) as session:
            while not server.is_up:
                try:
                    facts = await check_server(session, server.address, self._wanted, self._patience)
                except Unreachable as error:
                    server.note_check_failed(time.monotonic(), str(error))
                    await asyncio.sleep(max(0.0, server.check_at - time.monotonic()))
                else:
                    server.bring_up(facts, time.monotonic())


def _read_address(url: str) -> Address:
    try:
        return Address(url)
    except ValueError:
        shown = url.rpartition("@")[2]
        raise EngineError(f"generation.server.urls: '{shown}' is not a URL such as http://127.0.0.1:8000/v1") from None


def _kind(chat: bool) -> str:
    return CHAT if chat else COMPLETION


def _new_runner() -> asyncio.Runner:
    """Return a runner on uvloop where it is installed (dagster-webserver brings it): a tenth more calls a second."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=new_event_loop)
