"""A model of a spec behind HTTP: vLLM's own OpenAI-compatible server as a child process, started, watched and stopped.

Here: its command line and environment, the guard of its routes, its life from port check to the last process gone. Not
here: the engine's arguments (settings.py), asking a server (server/engine.py), the command line (cli/app.py).
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from synth_assets.errors import EngineError
from synth_assets.generation.language.model_files import find_adapter, find_model
from synth_assets.generation.vllm.settings import count_gpus, engine_arguments, require_vllm, user_environment
from synth_assets.spec import DatasetSpec

KEY_VARIABLE = "VLLM_API_KEY"
OPEN_ROUTES = frozenset({"/health", "/ping", "/version"})
# `vllm serve` itself cannot start from the CPU build, which has no metadata under the name it looks for
_MODULE = "vllm.entrypoints.launchers.api_server.entry"
_GRACE = ((signal.SIGINT, 20.0), (signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_FEW_CPUS = 4
_TICK = 0.2
_PROBE_SECONDS = 5.0
_TAIL_LINES = 20
_TAIL_BYTES = 262_144
_ERROR = re.compile(r"\b[\w.]*(?:Error|Exception): .+")
_HINTS = (
    (r"address already in use", "another program took the port; stop it or choose another port"),
    (
        r"out of memory|memoryerror|cannot allocate memory|bad_alloc|is less than (desired|requested)"
        r"|no available memory|larger than the available kv cache|exceeds available memory",
        "it ran out of memory: lower generation.vllm.max_num_seqs, max_model_len or gpu_memory_utilization (GPU) or "
        "cpu_kv_cache_gib (CPU), or take a smaller or quantized model",
    ),
    (
        r"repository not found|is not a local folder|offline|couldn't connect|can't load|gated repo|no such file",
        "the model could not be found or read: check generation.model and generation.revision, HF_HUB_OFFLINE, and "
        "whether you may download it",
    ),
    (
        r"could not import module",
        "a torchvision, torchaudio or torchcodec that does not match torch breaks imports: `pip uninstall torchvision "
        "torchaudio torchcodec` (text needs none of them)",
    ),
    (r"no space left", "the disk is full"),
)


def serve(
    spec: DatasetSpec,
    root: Path,
    host: str,
    port: int,
    *,
    log: Callable[[str], None],
    ready: Callable[[str], None],
) -> int:
    """Serve the spec's model until SIGINT, SIGTERM or SIGHUP; return the exit status, 0 where it was told to stop.

    `log` gets lines for people, `ready` the base URL (http://HOST:PORT/v1) once the server answers. To be called in the
    main thread. EngineError where it cannot start, with vLLM's last words where it dies. No process is left behind.
    """
    with _caught_signals() as caught:
        child = _launch(spec, root, host, port)
        try:
            log(f"{spec.name}: vLLM loads {spec.generation.model}; what it says goes to {child.log}")
            if _await_health(child, caught):
                ready(child.url)
            while not caught and child.process.poll() is None:
                time.sleep(_TICK)
            if not caught and child.process.returncode != 0:
                raise EngineError(_explain_death(child))
        finally:
            _stop(child.process)
    return 0


@contextmanager
def running_server(spec: DatasetSpec, root: Path, port: int = 0) -> Iterator[str]:
    """Yield the base URL of a server on this machine that is ready to answer; it is stopped on leaving.

    Port 0 takes a free one. EngineError as `serve`.
    """
    child = _launch(spec, root, "127.0.0.1", port)
    try:
        _await_health(child, caught=[])
        yield child.url
    finally:
        _stop(child.process)


def server_command(spec: DatasetSpec, project_root: Path, port: int, host: str = "127.0.0.1") -> list[str]:
    """Return the command that serves the spec's model with the settings of the in-process engine.

    The server answers to the folder's name and to the spec's own `model`. With a LoRA adapter the spec's `model` means
    the adapted model, as it does in process, and NAME-base the one below.
    """
    generation, settings = spec.generation, spec.generation.vllm
    if generation.model is None:
        raise EngineError(
            f"{spec.name}: generation.model is not set, so there is nothing to serve; name a model folder or a hub "
            "name such as Qwen/Qwen3-0.6B"
        )
    place = find_model(generation, project_root)
    arguments: dict[str, Any] = {
        **engine_arguments(generation, place, marked=generation.watermark is not None),
        "served_model_name": list(dict.fromkeys([place.name, generation.model])),
        "data_parallel_size": settings.data_parallel,
        "host": host,
        "port": port,
        "disable_uvicorn_access_log": True,  # a line a request would soon fill the disk
    }
    if settings.lora:
        arguments["served_model_name"] = [f"{place.name}-base"]
        arguments["lora_modules"] = [{"name": generation.model, "path": str(find_adapter(generation, project_root))}]
    if generation.server.api_key_env is not None:
        arguments["middleware"] = f"{__name__}.{KeyGuard.__name__}"
    return [sys.executable, "-m", _MODULE, *_write_arguments(arguments)]


def server_environment(spec: DatasetSpec, project_root: Path) -> dict[str, str]:
    """Return the environment of the server's process: the user's, and what vLLM reads where the user has not set it.

    The token of generation.server.api_key_env goes here, and never onto the command line, which every user can read.
    """
    generation = spec.generation
    environment = {"VLLM_NO_USAGE_STATS": "1", "PYTHONUNBUFFERED": "1"}
    if not count_gpus():
        environment["VLLM_CPU_KVCACHE_SPACE"] = str(generation.vllm.cpu_kv_cache_gib)
        if _count_cpus() <= _FEW_CPUS:
            # else vLLM keeps a core free of the model, half of two: 140 tokens a second become 70
            environment["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    environment |= user_environment()
    variable = generation.server.api_key_env
    if variable is not None:
        token = os.environ.get(variable, "").strip()
        if not token:
            raise EngineError(
                f"{spec.name}: generation.server.api_key_env: the environment variable {variable} is not set; set it "
                "to a token of your own, or take api_key_env out of the spec to serve this machine alone"
            )
        environment[KEY_VARIABLE] = token
    if generation.watermark is not None:
        from synth_assets.generation.watermark.keys import export_key

        export_key(generation.watermark, project_root, environment)
    return environment


class KeyGuard:
    """ASGI middleware of the server: every route but a few harmless ones asks for the bearer token.

    vLLM's own check covers /v1 and leaves other routes open that generate all the same (/invocations).
    """

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app
        self._expected = f"bearer {os.environ[KEY_VARIABLE]}".encode()

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Any, send: Callable[..., Awaitable[None]]
    ) -> None:
        """Pass a request on, or answer 401."""
        if scope["type"] == "lifespan" or scope.get("path") in OPEN_ROUTES or self._is_known(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await send(
                {"type": "http.response.start", "status": 401, "headers": [(b"content-type", b"application/json")]}
            )
            await send({"type": "http.response.body", "body": b'{"error": "Unauthorized"}'})

    def _is_known(self, scope: MutableMapping[str, Any]) -> bool:
        given = dict(scope["headers"]).get(b"authorization", b"")
        scheme, _, token = given.partition(b" ")
        return secrets.compare_digest(scheme.lower() + b" " + token, self._expected)


@dataclass
class _Child:
    """The server's process, leader of a process group of its own, with its log and where it is reached."""

    process: subprocess.Popen[bytes]
    address: str
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://{f'[{self.address}]' if ':' in self.address else self.address}:{self.port}/v1"


def _launch(spec: DatasetSpec, root: Path, host: str, port: int) -> _Child:
    require_vllm()
    _check_host(spec, host)
    port = _check_port(host, port)
    command = server_command(spec, root, port, host)
    environment = server_environment(spec, root)
    path = root / "logs" / f"serve-{spec.name}-{port}.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter
                command,
                cwd=root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that Ctrl-C reaches us alone, and one signal from us the whole group
            )
    except OSError as error:
        raise EngineError(f"{path}: vLLM's server cannot be started: {error.strerror or error}") from error
    return _Child(process, {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port, path)  # noqa: S104


def _await_health(child: _Child, caught: list[int]) -> bool:
    """Wait until the server answers, however long (a model may have to be downloaded); False if told to stop."""
    while not caught:
        if child.process.poll() is not None:
            raise EngineError(_explain_death(child))
        if _is_healthy(child):
            return True
        time.sleep(_TICK)
    return False


def _is_healthy(child: _Child) -> bool:
    connection = http.client.HTTPConnection(child.address, child.port, timeout=_PROBE_SECONDS)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _explain_death(child: _Child) -> str:
    """Tell vLLM's first error, behind which tracebacks of its other processes follow, what to do, and the log's end."""
    status = child.process.returncode
    with child.log.open("rb") as handle:
        handle.seek(max(0, child.log.stat().st_size - _TAIL_BYTES))
        lines = handle.read().decode("utf-8", errors="replace").rstrip().splitlines()
    errors = [found.group() for line in lines if " WARNING " not in line and (found := _ERROR.search(line))]
    text = "\n".join(errors or lines)
    hint = next((advice for signs, advice in _HINTS if re.search(signs, text, re.IGNORECASE)), "see its log")
    if status == -signal.SIGKILL:
        hint = "it was killed, most likely because the machine ran out of memory: take a smaller model or cache"
    cause = f"{errors[0][:400].rstrip('. ')}; " if errors else ""
    tail = "\n".join(lines[-_TAIL_LINES:])
    return f"vLLM's server ended with status {status}: {cause}{hint}. The end of {child.log}:\n{tail}"


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the process group: asked first, then told, then killed; returns when none of it is left."""
    for number, grace in _GRACE:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        deadline = time.monotonic() + grace
        while _is_group_alive(process):
            if time.monotonic() > deadline:
                break
            time.sleep(_TICK / 4)
        else:
            return


def _is_group_alive(process: subprocess.Popen[bytes]) -> bool:
    process.poll()  # a dead leader that nobody waited for would count
    try:
        os.killpg(process.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


@contextmanager
def _caught_signals() -> Iterator[list[int]]:
    """Collect the signals that ask for an end instead of dying of them."""
    caught: list[int] = []
    before = {number: signal.signal(number, lambda n, _: caught.append(n)) for number in _ENDINGS}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _check_host(spec: DatasetSpec, host: str) -> None:
    if spec.generation.server.api_key_env is None and not _is_loopback(host):
        raise EngineError(
            f"{spec.name}: {host} can be reached from other machines, and anybody there could use the model; name a "
            "variable with a token in generation.server.api_key_env, or serve on 127.0.0.1"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_port(host: str, port: int) -> int:
    """Return the port, or a free one for 0; EngineError where it is taken."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return int(probe.getsockname()[1])
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EngineError(
            f"cannot serve on {host}, port {port}: {reason}; choose another with --port or --host"
        ) from error


def _count_cpus() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _write_arguments(arguments: dict[str, Any]) -> list[str]:
    """Return options of vLLM's command line for arguments by their names in Python; None is left out."""
    written: list[str] = []
    for name, value in arguments.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            written.append(f"--{option}" if value else f"--no-{option}")
        elif isinstance(value, list):
            written += [f"--{option}", *(item if isinstance(item, str) else json.dumps(item) for item in value)]
        elif value is not None:
            written.append(f"--{option}={json.dumps(value) if isinstance(value, dict) else value}")
    return written
