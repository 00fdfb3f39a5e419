"""Runs Python in a bubblewrap sandbox: no network, nothing of this machine to read, limits that hold.

Here: the namespaces and mounts, the limits kept from outside, the pool, and the probe without which nothing is run.
Not here: the filters of system calls (seccomp.py), limits of processor and memory (confinement.py), what runs inside.

Inside there are a read-only interpreter with its standard library, the system's shared libraries, and 16 MiB at /tmp:
no /proc, and no device, as the owner of one could change it for all. A sandbox dies with its first process, with the
process that made it, or at its time limit. It rests on the kernel's namespaces: a flaw there is a flaw of the sandbox.
"""

from __future__ import annotations

import fcntl
import json
import os
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Literal

from synth_assets.discriminators.execution import seccomp
from synth_assets.errors import SandboxError

SCRATCH_BYTES = 16 * 2**20
"""Size of /tmp, the only place inside that can be written."""

_NOBODY = "65534"
_SYSTEM = ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64")
_DATA = ("/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo")
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}  # sets in the same order every time
_CHUNK = 1 << 16
_HELP = (
    "Model-written code is never run without a sandbox. On Linux: `apt install bubblewrap` (0.7 or newer), and let "
    "ordinary users make user namespaces (`sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=65536`, "
    "on Ubuntu 24.04 also `kernel.apparmor_restrict_unprivileged_userns=0` or an AppArmor profile for bwrap). In a "
    "container, allow them from outside: `docker run --security-opt seccomp=unconfined --security-opt "
    "apparmor=unconfined`. Or leave `verification` out of dataset.yaml."
)

Status = Literal["finished", "timeout", "output_flood"]


@dataclass(frozen=True)
class Job:
    """A program of the project (Python source), what it reads from stdin (parts, which jobs may share), its limits.

    The program is trusted to confine foreign code further, as confinement.py does; whatever it runs sees no more than
    the sandbox. seconds: by the clock, from the start of bubblewrap. output_bytes: most of stdout and of stderr.
    """

    program: str
    stdin: tuple[bytes, ...] = ()
    seconds: float = 60.0
    output_bytes: int = 2**20


@dataclass(frozen=True)
class Outcome:
    """How a job ended; exit_code is negative for a signal; stdout and stderr hold at most the job's output_bytes."""

    status: Status
    exit_code: int
    stdout: bytes
    stderr: bytes
    seconds: float


@dataclass(frozen=True)
class Sandbox:
    """A sandbox known to work here; made by find_sandbox()."""

    bwrap: str
    python: str

    def run(self, jobs: Sequence[Job], *, workers: int | None = None) -> list[Outcome]:
        """Run each job in a sandbox of its own, `workers` at once (all processors where None); outcomes in order."""
        workers = workers or len(os.sched_getaffinity(0))
        with ThreadPoolExecutor(max(1, min(workers, len(jobs))), thread_name_prefix="sandbox") as pool:
            return list(pool.map(self._run_one, jobs))

    def _run_one(self, job: Job) -> Outcome:
        started = time.monotonic()
        with _sealed_memory(*job.stdin) as stdin, _sealed_memory(seccomp.build_outer_filter()) as rules:
            command = [self.bwrap, *_isolation(), "--seccomp", str(rules.fileno()), "--", self.python]
            process = subprocess.Popen(  # noqa: S603
                [*command, "-P", "-s", "-S", "-B", "-W", "ignore", "-c", job.program],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(rules.fileno(),),
                cwd="/",
                start_new_session=True,
            )
        try:
            status, stdout, stderr = _read(process, deadline=started + job.seconds, most=job.output_bytes)
        finally:
            process.kill()  # with it goes the namespace's first process, and with that all others
            exit_code = process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
        return Outcome(status, exit_code, stdout, stderr, time.monotonic() - started)


@lru_cache(maxsize=1)
def find_sandbox() -> Sandbox:
    """Return a sandbox that was seen to hold on this machine.

    Raises SandboxError where bubblewrap is missing or cannot make namespaces, where the machine's system calls are
    not known, and where a program inside could see the network, the home folder or the environment.
    """
    if not (sys.platform == "linux" and seccomp.is_supported()):
        raise SandboxError(f"no sandbox for {sys.platform} on this processor: x86-64 or ARM64 Linux. {_HELP}")
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise SandboxError(f"bubblewrap (bwrap) is not installed. {_HELP}")
    sandbox = Sandbox(bwrap, str(_interpreter()))
    _probe(sandbox)
    return sandbox


def _interpreter() -> Path:
    """Return the interpreter itself, not a virtual environment's link to it."""
    return Path(getattr(sys, "_base_executable", None) or sys.executable).resolve()


@lru_cache(maxsize=1)
def _shown() -> tuple[Path, ...]:
    """Return the folders and files of this machine that are shown inside, none within another."""
    libraries = [Path(prefix, name) for prefix in (sys.base_prefix, sys.base_exec_prefix) for name in ("lib", "lib64")]
    shown: list[Path] = []
    for path in [*map(Path, _SYSTEM), *libraries, *map(Path, _DATA), _interpreter()]:
        if path.exists() and not any(known in (path, *path.parents) for known in shown):
            shown.append(path)
    return tuple(shown)


@lru_cache(maxsize=1)
def _isolation() -> tuple[str, ...]:
    """Return bubblewrap's arguments."""
    arguments = [f"--unshare-{name}" for name in ("user", "pid", "ipc", "uts", "net", "cgroup-try")]
    arguments += ["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "sandbox"]
    arguments += ["--uid", _NOBODY, "--gid", _NOBODY, "--clearenv"]
    for name, value in _ENVIRONMENT.items():
        arguments += ["--setenv", name, value]
    for path in _shown():
        is_link = path.is_symlink() and path.parent == Path("/")  # /lib -> usr/lib
        arguments += ["--symlink", str(path.readlink()), str(path)] if is_link else ["--ro-bind", str(path), str(path)]
    for path in _shown():
        for packages in (*path.glob("*/site-packages"), *path.glob("*/dist-packages")):
            arguments += ["--tmpfs", str(packages), "--remount-ro", str(packages)]
    arguments += ["--size", str(SCRATCH_BYTES), "--tmpfs", "/tmp", "--remount-ro", "/", "--chdir", "/tmp"]  # noqa: S108
    return tuple(arguments)


@contextmanager
def _sealed_memory(*parts: bytes) -> Iterator[BinaryIO]:
    """Yield a file in memory that nobody can change, at its start: a stdin that neither blocks nor can be grown."""
    with os.fdopen(os.memfd_create("sandbox", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "wb") as file:
        file.writelines(parts)
        file.flush()
        file.seek(0)
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
        yield file


def _read(process: subprocess.Popen[bytes], *, deadline: float, most: int) -> tuple[Status, bytes, bytes]:
    """Read stdout and stderr until both end, one has more than `most` bytes, or the deadline is there."""
    assert process.stdout is not None and process.stderr is not None
    pipes = (process.stdout, process.stderr)
    parts: dict[int, bytearray] = {pipe.fileno(): bytearray() for pipe in pipes}
    status: Status = "finished"
    with selectors.DefaultSelector() as selector:
        for pipe in pipes:
            selector.register(pipe, selectors.EVENT_READ)
        while status == "finished" and selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                status = "timeout"
            for key, _ in ready:
                chunk = os.read(key.fd, _CHUNK)
                parts[key.fd] += chunk[: most - len(parts[key.fd])]
                if not chunk:
                    selector.unregister(key.fileobj)
                elif len(parts[key.fd]) >= most:
                    status = "output_flood"
    if status == "finished":
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            status = "timeout"
    return status, bytes(parts[pipes[0].fileno()]), bytes(parts[pipes[1].fileno()])


_PROBE = """
import json, os, socket, sys
given = json.loads(sys.stdin.buffer.read())
def works(action):
    try:
        action()
    except OSError:
        return False
    return True
def is_open(number):
    return works(lambda: os.fstat(number))
print(json.dumps({
    "the network": works(lambda: socket.create_connection(("127.0.0.1", given["port"]), 1)),
    "files of this machine": [path for path in given["hidden"] if os.path.lexists(path)],
    "the environment": sorted(set(os.environ) - set(given["environment"])),
    "a system folder to write to": [p for p in given["read_only"] if works(lambda: open(p + "/probe", "w"))],
    "open files": [number for number in range(3, 256) if is_open(number)],
    "other processes": os.getpid() > 9 or os.path.exists("/proc/self"),
    "a place to write": not works(lambda: open("/tmp/probe", "w")),
}))
"""


def _probe(sandbox: Sandbox) -> None:
    """Look from inside for what must not be there; raise SandboxError where the sandbox fails or leaks."""
    with socket.create_server(("127.0.0.1", 0)) as server, tempfile.NamedTemporaryFile() as canary:
        given = {
            "port": server.getsockname()[1],
            "hidden": [canary.name, __file__, "/etc/passwd", "/etc/shadow", *_private_folders()],
            "environment": [*_ENVIRONMENT, "PWD", "LC_CTYPE"],
            "read_only": ["", *map(str, _shown())],
        }
        outcome = sandbox.run([Job(_PROBE, (json.dumps(given).encode(),), seconds=20)])[0]
    try:
        found = json.loads(outcome.stdout)
    except ValueError as error:
        said = outcome.stderr.decode(errors="replace").strip()[-500:] or f"{outcome.status}, exit {outcome.exit_code}"
        raise SandboxError(f"bubblewrap cannot make a sandbox here: {said}. {_HELP}") from error
    leaks = [f"{name} ({value})" for name, value in found.items() if value]
    if leaks:
        raise SandboxError(f"the sandbox does not hold: inside there is {', '.join(leaks)}. {_HELP}")


def _private_folders() -> list[str]:
    """Return what lies in the home folder, apart from the way to the interpreter."""
    with suppress(RuntimeError, OSError):
        return [str(path) for path in Path.home().iterdir() if not any(path in (s, *s.parents) for s in _shown())]
    return []
