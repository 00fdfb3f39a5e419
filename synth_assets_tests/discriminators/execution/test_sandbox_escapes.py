"""Hostile solutions: none gets out, none passes by cheating, and the honest ones around them are unharmed.

Every attempt runs in one batch, as a solution like any other; what would be its success is a canary seen from outside,
or the word ESCAPED in the verdict. The attempts stand in strings, which the screen of the source does not read, so
that they meet the walls behind it.
"""

from __future__ import annotations

import ctypes
import json
import marshal
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy
import pytest

from synth_assets.discriminators.execution import python_tests, seccomp
from synth_assets.discriminators.execution.sandbox import SCRATCH_BYTES, Job, find_sandbox
from synth_assets_tests.sandboxes import judge_code, needs_sandbox

SECRET = "canary-7f3a91c2"
ABSTRACT = f"\0synth-{os.getpid()}"
HONEST = (
    "def triple(x):\n    return x + x + x\n",
    "assert triple(2) == 6\nassert triple(-1) == -3\nassert triple(7) == 21\n",
)
TESTS = "assert answer(1) == 42\nassert answer(2) == 43\nassert answer(5) == 46\n"
RIGHT = "def answer(x):\n    return x + 41\n"
WRONG = "def answer(x):\n    cheat()\n    return 0\n"
_PRELUDE = """
import os, sys, time
def attempt(action, *arguments):
    try:
        return [action(*arguments)]
    except (OSError, RuntimeError, ImportError, ValueError, MemoryError, AttributeError):
        return []
def claim(found):
    if found:
        raise Exception("ESCAPED " + repr(found)[:200])
def read(path):
    with open(path, errors="replace") as file:
        return file.read(4096)
"""

# Attempts to get out. Where one fails without harm, the right solution below it passes: reason "".
OUT: dict[str, tuple[str, str]] = {
    # network
    "tcp": ("import socket; claim(attempt(socket.create_connection, ('127.0.0.1', {tcp}), 1))", ""),
    "udp": (
        "import socket\n"
        "def send(): socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {udp}))\n"
        "claim(attempt(send))",
        "",
    ),
    "dns": ("import socket; claim(attempt(socket.gethostbyname, 'example.org'))", ""),
    "unix_socket": (
        "import socket\nclaim(attempt(lambda: socket.socket(socket.AF_UNIX).connect({unix!r})))",
        "",
    ),
    "abstract_socket": (
        "import socket\nclaim(attempt(lambda: socket.socket(socket.AF_UNIX).connect({abstract!r})))",
        "",
    ),
    "raw_socket": ("import socket; claim(attempt(socket.socket, socket.AF_INET, socket.SOCK_RAW, 1))", ""),
    "packet_socket": ("import socket; claim(attempt(socket.socket, 17, socket.SOCK_RAW, 768))", ""),
    "netlink": ("import socket; claim(attempt(socket.socket, 16, socket.SOCK_RAW, 0))", ""),
    "host_by_vsock": ("import socket; claim(attempt(socket.socket, 40, socket.SOCK_STREAM))", ""),
    "dbus": ("claim([p for p in ('/run/dbus/system_bus_socket', '/var/run', '/run') if os.path.lexists(p)])", ""),
    # processes
    "fork_bomb": ("while attempt(os.fork): claim([1])", ""),
    "thread_bomb": (
        "import threading\nthreads = []\n"
        "def start(): t = threading.Thread(target=time.sleep, args=(99,), daemon=True); t.start(); threads.append(t)\n"
        "while attempt(start): pass\nclaim(threads)",
        "",
    ),
    "daemon": (
        "def daemonize():\n    if os.fork() == 0:\n        os.setsid()\n        if os.fork() == 0: time.sleep(600)\n"
        "claim(attempt(daemonize))",
        "",
    ),
    "subprocess": ("import subprocess; claim(attempt(subprocess.run, [sys.executable, '-c', 'pass']))", ""),
    "posix_spawn": ("claim(attempt(os.posix_spawn, sys.executable, ['python', '-c', 'pass'], {{}}))", ""),
    "shell": ("claim([c for c in ('true', '/bin/sh -c true') if os.system(c) == 0])", ""),
    "exec": ("attempt(os.execv, sys.executable, ['python', '-c', 'import time; time.sleep(600)'])", ""),
    "multiprocessing": (
        "import multiprocessing\nclaim(attempt(lambda: multiprocessing.get_context('fork').Process().start()))",
        "",
    ),
    # signals
    "kill_parent": ("claim(attempt(os.kill, os.getppid(), 9))", ""),
    "kill_first": ("claim(attempt(os.kill, 1, 9))", ""),
    "kill_all": ("claim(attempt(os.kill, -1, 9))", ""),
    "kill_group": ("claim(attempt(os.killpg, 0, 9))", ""),
    "ignore_sigterm": ("import signal; claim(attempt(signal.signal, signal.SIGTERM, signal.SIG_IGN))", ""),
    "alarm_handler": ("import signal; claim(attempt(signal.signal, signal.SIGALRM, lambda *a: None))", ""),
    "stop_own_timer": ("import signal; claim(attempt(signal.setitimer, signal.ITIMER_PROF, 0))", ""),
    "block_signals_and_spin": (
        "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: pass",
        "timeout",
    ),
    # files
    "own_home": ("claim(os.path.expanduser('~') != '~' and os.listdir(os.path.expanduser('~')))", ""),
    "read_private_file": ("claim(attempt(read, {file!r}))", ""),
    "read_passwd": ("claim(attempt(read, '/etc/passwd'))", ""),
    "read_shadow": ("claim(attempt(read, '/etc/shadow'))", ""),
    "list_home": ("claim([n for n in (attempt(os.listdir, {home!r}) or [[]])[0] if n in {private!r}])", ""),
    "list_project": ("claim(attempt(os.listdir, {project!r}))", ""),
    "list_var": ("claim(attempt(os.listdir, '/var'))", ""),
    "list_sys": ("claim(attempt(os.listdir, '/sys'))", ""),
    "symlink_out": ("os.symlink({file!r}, '/tmp/link'); claim(attempt(read, '/tmp/link'))", ""),
    "hard_link_out": ("claim(attempt(os.link, {file!r}, '/tmp/link'))", ""),
    "hard_link_library": ("claim(attempt(os.link, os.__file__, '/tmp/link'))", ""),
    "dot_dot": ("claim(attempt(read, '/tmp' + '/..' * 20 + {file!r}))", ""),
    "chroot": ("claim(attempt(os.chroot, '/tmp'))", ""),
    "inherited_files": (
        "def climb(number):\n    os.fchdir(number); return os.listdir('..')\n"
        "claim([n for n in range(256) if attempt(climb, n)])",
        "",
    ),
    "write_root": ("claim(attempt(open, '/canary', 'w'))", ""),
    "write_library": ("claim(attempt(open, os.__file__, 'r+'))", ""),
    "write_interpreter": ("claim(attempt(open, sys.executable, 'r+b'))", ""),
    "write_private_file": ("claim(attempt(open, {file!r}, 'w'))", ""),
    "chmod_library": ("claim(attempt(os.chmod, os.__file__, 0o777))", ""),
    "touch_library": ("claim(attempt(os.utime, os.__file__, (0, 0)))", ""),
    "plant_bytecode": ("claim(attempt(os.makedirs, os.path.dirname(os.__file__) + '/site-packages/evil'))", ""),
    "fifo_in_system": ("claim(attempt(os.mkfifo, '/usr/lib/canary'))", ""),
    "make_device": ("claim(attempt(os.mknod, '/tmp/memory', 0o20600, os.makedev(1, 1)))", ""),
    # /proc, devices, the kernel
    "own_environment": ("claim([v for v in os.environ.values() if {secret!r} in v])", ""),
    "environment_by_proc": (
        "claim([p for p in ('/proc/1/environ', '/proc/self/environ', '/proc/2/environ') if attempt(read, p)])",
        "",
    ),
    "memory_by_proc": ("claim(attempt(open, '/proc/self/mem', 'r+b') + attempt(open, '/proc/1/mem', 'rb'))", ""),
    "root_by_proc": ("claim([p for p in range(1, 50) if attempt(os.listdir, f'/proc/{{p}}/root')])", ""),
    "sysctl": ("claim(attempt(open, '/proc/sys/kernel/core_pattern', 'w'))", ""),
    "sysrq": ("claim(attempt(open, '/proc/sysrq-trigger', 'w'))", ""),
    "dev_mem": ("claim(attempt(open, '/dev/mem', 'rb'))", ""),
    "dev_kmsg": ("claim(attempt(open, '/dev/kmsg', 'w'))", ""),
    "dev_shm": ("claim(attempt(open, '/dev/shm/canary', 'w'))", ""),
    "chmod_null": ("claim(attempt(os.chmod, '/dev/null', 0))", ""),
    "terminal": ("claim(attempt(open, '/dev/tty', 'w'))", ""),
    "setuid": ("claim(attempt(os.setuid, 0) + attempt(os.setresuid, 0, 0, 0))", ""),
    "setgroups": ("claim(attempt(os.setgroups, [0]))", ""),
    "set_clock": ("claim(attempt(time.clock_settime, time.CLOCK_REALTIME, 0))", ""),
    "set_host_name": ("import socket; claim(attempt(socket.sethostname, 'evil'))", ""),
    "raise_priority": ("claim(attempt(os.nice, -5) + attempt(os.setpriority, 0, 0, -20))", ""),
    "slow_parent": ("claim(attempt(os.setpriority, 0, os.getppid(), 19))", ""),
    "affinity_of_parent": ("claim(attempt(os.sched_setaffinity, os.getppid(), [0]))", ""),
    "raise_limits": (
        "import resource\nclaim([n for n in (0, 1, 2, 4, 7, 8, 9) if attempt(resource.setrlimit, n, (2**62, 2**62))])",
        "",
    ),
    "limits_of_parent": ("import resource; claim(attempt(resource.prlimit, os.getppid(), 0, (1, 1)))", ""),
    "memory_outside_limits": ("claim(attempt(os.memfd_create, 'x'))", ""),
    "shared_memory": (
        "from multiprocessing import shared_memory\n"
        "claim(attempt(lambda: shared_memory.SharedMemory(create=True, size=2**30)))",
        "",
    ),
    # what belongs to the project
    "import_project": ("import importlib; claim(attempt(importlib.import_module, 'synth_assets'))", ""),
    "import_driver": (
        "claim([n for n in sys.modules if 'synth' in n or 'driver' in n])\n"
        "import __main__; claim(len(vars(__main__)) > 9)",
        "",
    ),
    "import_packages": (
        "sys.path += {packages!r}; import importlib\n"
        "claim([n for n in ('numpy', 'polars', 'pytest', 'pip', 'apt_pkg') if attempt(importlib.import_module, n)])",
        "",
    ),
}

# Attempts to take too much.
TOO_MUCH: dict[str, tuple[str, str]] = {
    "memory_bomb": ("x = []\nwhile True: x.append(bytearray(10**6))", "memory"),
    "huge_string": ("x = 'x' * 10**11", "memory"),
    "huge_mapping": ("import mmap; claim(attempt(mmap.mmap, -1, 2**40))", ""),
    "many_mappings": (
        "import mmap; kept = []\nwhile attempt(lambda: kept.append(mmap.mmap(-1, 2**24))): pass\n"
        "claim(len(kept) * 2**24 > 2**28)",
        "",
    ),
    "huge_integer": ("x = 10 ** 10 ** 8", "timeout"),
    "zip_bomb": (
        "import zlib; d = zlib.compress(b'0' * 10**7); z = zlib.decompressobj()\n"
        "x = b''.join(zlib.decompress(d) for _ in range(100))",
        "memory",
    ),
    "regex": ("import re; re.match('(a+)+$', 'a' * 64 + 'b')", "timeout"),
    "spin": ("while True: pass", "timeout"),
    "sleep": ("time.sleep(10**6)", "timeout"),
    "wait_for_input": ("import select; select.select([], [], [])", "timeout"),
    "read_stdin": ("claim(sys.stdin.read())", ""),
    "flood_stdout": ("while True: print('x' * 10**5)", "output_flood"),
    "flood_stderr": ("while True: os.write(2, b'x' * 10**5)", "output_flood"),
    "flood_result": ("while True: os.write(3, b'x' * 10**5)", "output_flood"),
    "fill_tmp": (
        "file, size = open('/tmp/x', 'wb', buffering=0), 0\n"
        "try:\n    while True: size += file.write(b'x' * 2**20)\nexcept OSError: pass\nclaim(size > {scratch})",
        "",
    ),
    "fill_working_folder": (
        "size = 0\ntry:\n    for n in range(10**6):\n"
        "        with open(f'x{{n}}', 'wb', buffering=0) as file: size += file.write(b'x' * 2**20)\n"
        "except OSError: pass\nclaim(size > {scratch})",
        "",
    ),
    "many_files": ("for n in range(10**7): os.close(os.open(f'x{{n}}', os.O_CREAT))", "too_many_files"),
    "open_files": ("kept = []\nwhile attempt(lambda: kept.append(os.dup(1))): pass\nclaim(len(kept) > 64)", ""),
    "deep_recursion": ("def f(): return f()\nf()", "error"),
    "stack_overflow": (
        "sys.setrecursionlimit(10**9); x, y = [], []\nfor _ in range(2 * 10**5): x, y = [x], [y]\nx == y",
        "error",
    ),
    "segfault": ("import faulthandler; faulthandler._read_null()", "error"),
    "abort": ("os.abort()", "error"),
    "deep_source": ("eval('(' * 199 + ')' * 199 + '.a' * 10**5)", "error"),
}

# Attempts to pass with a wrong answer: cheat() runs when the solution is loaded, and again in the middle of a test.
FORGED: dict[str, tuple[str, str]] = {
    "exit_0": ("os._exit(0)", "early_exit"),
    "sys_exit_0": ("sys.exit(0)", "early_exit"),
    "system_exit": ("raise SystemExit", "early_exit"),
    "keyboard_interrupt": ("raise KeyboardInterrupt", "early_exit"),
    "at_exit": ("import atexit; atexit.register(os._exit, 0)", "test_failed"),
    "write_result": ('os.write(3, b\'{{"reached": 3, "calls": []}}\'); os._exit(0)', "early_exit"),
    "write_result_everywhere": (
        'for n in range(64): attempt(os.write, n, b\'{{"reached": 3, "calls": []}}\')\nos._exit(0)',
        "early_exit",
    ),
    "close_files": ("os.closerange(0, 256)", "early_exit"),
    "replace_exit": ("os._exit = lambda code: None; sys.exit = os._exit", "test_failed"),
    "replace_write": ("os.write = lambda *a: None", "test_failed"),
    "replace_stdout": ("sys.stdout = sys.stderr = None", "test_failed"),
    "replace_json": ("import json; json.dumps = json.loads = lambda *a: ''", "test_failed"),
    "replace_builtins": (
        "import builtins\nfor n in ('all', 'any', 'len', 'AssertionError', 'isinstance'): setattr(builtins, n, print)",
        "test_failed",
    ),
    "replace_assertion_error": ("vars(__builtins__)['AssertionError'] = ZeroDivisionError", "test_failed"),
    "frames": ("f = sys._getframe()\nwhile f: claim('word' in f.f_locals); f = f.f_back", "suspicious"),
    "frames_by_traceback": (
        "try: 1 / 0\nexcept ZeroDivisionError as e: f = e.__traceback__.tb_frame",
        "suspicious",
    ),
    "frames_by_generator": ("g = (x for x in [1]); f = g.gi_frame", "suspicious"),
    "frames_by_coroutine": (
        "async def c(): pass\nx = c(); f = x.cr_frame",
        "suspicious",
    ),
    "frames_by_inspect": ("import inspect; inspect.stack()", "suspicious"),
    "frames_by_logging": ("import logging; logging.currentframe()", "suspicious"),
    "frames_by_walk_stack": ("import traceback; list(traceback.walk_stack(None))", "suspicious"),
    "frames_by_walk_tb": (
        "import traceback\ntry: 1 / 0\nexcept ZeroDivisionError as e: list(traceback.walk_tb(e.__traceback__))",
        "suspicious",
    ),
    "locals_by_traceback": (
        "import traceback\ntraceback.StackSummary.extract(traceback.walk_stack(None), capture_locals=True)",
        "suspicious",
    ),
    "frames_of_threads": ("sys._current_frames()", "suspicious"),
    "frames_by_signal": (
        "import signal\nclaim(attempt(signal.signal, signal.SIGUSR1, lambda n, f: claim(f)))",
        "test_failed",
    ),
    "objects_by_gc": ("import gc; gc.get_objects()", "suspicious"),
    "referrers_by_gc": ("import gc; gc.get_referrers(sys)", "suspicious"),
    "trace": ("sys.settrace(lambda *a: None)", "suspicious"),
    "profile": ("sys.setprofile(lambda *a: None)", "suspicious"),
    "audit_hook": ("sys.addaudithook(lambda *a: None)", "suspicious"),
    "blame_the_machine": ('os.write(3, b\'{{"broken": "x"}}\'); os._exit(3)', "early_exit"),
    "ctypes": ("import ctypes", "suspicious"),
    "ctypes_by_importlib": ("import importlib; importlib.import_module('_ctypes')", "suspicious"),
    "made_code": ("c = (lambda: 0).__code__.replace(co_consts=(1, 2))", "suspicious"),
    "loaded_code": ("import marshal; marshal.loads(marshal.dumps(1))", "suspicious"),
    "false_file_name": (
        "import typing\nexec(compile('import sys; f = sys._getframe()', typing.__file__, 'exec'))",
        "suspicious",
    ),
    "ctypes_by_imp": (
        "import importlib.machinery as m, importlib.util as u, _imp\n"
        "s = u.find_spec('_cty' + 'pes'); _imp.create_dynamic(s)",
        "suspicious",
    ),
    "fresh_imp": (
        "import importlib.machinery as m, _imp\n_imp.create_builtin(m.ModuleSpec('_imp', m.BuiltinImporter))",
        "suspicious",
    ),
    "own_library": (
        "import importlib.machinery as m, shutil, _json\nshutil.copy(_json.__file__, '/tmp/_json.so')\n"
        "m.ExtensionFileLoader('_json', '/tmp/_json.so').create_module(m.ModuleSpec('_json', None, "
        "origin='/tmp/_json.so'))",
        "suspicious",
    ),
    "own_bytecode": (
        "import _imp, importlib.machinery as m\n"
        "open('/tmp/own.pyc', 'wb').write(__import__('importlib.util').util.MAGIC_NUMBER + bytes(12) + b'N')\n"
        "m.SourcelessFileLoader('own', '/tmp/own.pyc').get_code('own')",
        "suspicious",
    ),
    "frozen_bytecode": ("import _imp; _imp.get_frozen_object('zipimport', b'N')", "test_failed"),
    "subinterpreter": ("import importlib; importlib.import_module({interpreters!r})", "suspicious"),
    "frames_within_the_guard_by_builtins": (
        "import builtins, gc\ndef spy(*a):\n    f = sys._getframe(); claim(f)\n"
        "for n in ('isinstance', 'type', 'str', 'len', 'getattr'): setattr(builtins, n, spy)\ngc.get_objects()",
        "suspicious",
    ),
    "frames_within_the_guard_by_arguments": (
        "class Name(str):\n    def rpartition(self, x): claim(sys._getframe())\n"
        "    def __hash__(self): claim(sys._getframe())\n    def startswith(self, x): claim(sys._getframe())\n"
        "attempt(__import__, Name('ctypes'))\n"
        "for e in ('import', 'compile', 'object.__getattr__'): attempt(sys.audit, e, Name('x'), Name('x'))",
        "suspicious",
    ),
    "break_the_guard": (
        "for e in ('import', 'compile', 'object.__getattr__', 'execution.load'):\n"
        "    try: sys.audit(e)\n    except Exception: pass\nsys._getframe()",
        "suspicious",
    ),
    "exhaust_the_guard": (
        "def deep():\n    try: deep()\n    except RecursionError: attempt(sys.audit, 'import', 'x')\n"
        "deep()\nsys._getframe()",
        "suspicious",
    ),
    "frames_within_the_guard_by_garbage": (
        "import gc\nclass Spy:\n    def __init__(self): self.me = self\n"
        "    def __del__(self):\n        f = sys._getframe(); claim(f)\n"
        "gc.set_threshold(1)\ngc.callbacks.append(lambda *a: claim(sys._getframe()))\n"
        "for _ in range(1000): Spy(); sys.audit('import', 'x')",
        "suspicious",
    ),
    "word_by_driver_names": (
        "for c in object.__subclasses__():\n    g = getattr(getattr(c, '__init__', None), '__globals__', {{}})\n"
        "    if 'set_guard' in g:\n"
        "        g.update(type=print, PASSED=0, FAILED=0, leave=print, write=print, say=print)\n"
        "        g['__builtins__'].clear()",
        "early_exit",
    ),
    "raise_in_del": (
        "class D:\n    def __del__(self): os._exit(0)\nD()",
        "early_exit",
    ),
}


@dataclass
class Batch:
    verdicts: dict[str, dict[str, Any]] = field(default_factory=dict)
    honest: list[dict[str, Any]] = field(default_factory=list)
    seen_outside: list[str] = field(default_factory=list)
    children: list[str] = field(default_factory=lambda: _children(os.getpid()))  # there before


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Batch]:
    """Judge all attempts with honest solutions between them, and look for their traces afterwards."""
    folder = tmp_path_factory.mktemp("outside")
    file = folder / "private.txt"
    file.write_text(SECRET)
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX) as abstract,
        pytest.MonkeyPatch.context() as patch,
        _adopting_orphans(),
    ):
        udp.bind(("127.0.0.1", 0))
        for server, address in ((unix, str(folder / "socket")), (abstract, ABSTRACT)):
            server.bind(address)
            server.listen()
        patch.setenv("SYNTH_SECRET", SECRET)
        home = Path.home()
        values = {
            "tcp": tcp.getsockname()[1],
            "udp": udp.getsockname()[1],
            "unix": str(folder / "socket"),
            "abstract": ABSTRACT,
            "file": str(file),
            "secret": SECRET,
            "home": str(home),
            "private": [path.name for path in home.iterdir() if not sys.base_prefix.startswith(str(path))],
            "project": str(Path(python_tests.__file__).parents[3]),
            "packages": [str(Path(numpy.__file__).parents[1]), "/usr/lib/python3/dist-packages"],
            "scratch": SCRATCH_BYTES,
            "interpreters": "_xxsubinterpreters" if sys.version_info < (3, 13) else "_interpreters",
        }
        before, clock = _machine(folder), time.time() - time.monotonic()
        result = Batch()
        pairs = list(_solutions(values))
        verdicts = judge_code(*(pair for _, pair in pairs), seconds=2, memory_mib=128, mutants=2)
        for (name, _), verdict in zip(pairs, verdicts, strict=True):
            result.honest.append(verdict) if name == "honest" else result.verdicts.update({name: verdict})
        after = _machine(folder)
        result.seen_outside += [f"{key}: {before[key]} -> {after[key]}" for key in before if before[key] != after[key]]
        if abs(time.time() - time.monotonic() - clock) > 60:
            result.seen_outside.append("the clock was changed")
        for name, server in (("tcp", tcp), ("udp", udp), ("unix", unix), ("abstract", abstract)):
            server.setblocking(False)
            try:
                server.recv(1) if name == "udp" else server.accept()
                result.seen_outside.append(f"something came by {name}")
            except BlockingIOError:
                pass
        yield result


def _solutions(values: dict[str, Any]) -> Iterator[tuple[str, tuple[str, str]]]:
    for name, (code, _) in {**OUT, **TOO_MUCH}.items():
        yield name, (f"exec({_PRELUDE + code.format(**values)!r})\n{RIGHT}", TESTS)
        yield "honest", HONEST
    for name, (code, _) in FORGED.items():
        body = "\n    ".join(code.format(**values).splitlines())
        cheat = f"{_PRELUDE}\ndef cheat():\n    {body}\n"
        yield name, (f"exec({cheat!r})\n{WRONG}", TESTS)
        yield f"{name} at once", (f"exec({cheat!r})\ncheat()\n{WRONG}", TESTS)


@contextmanager
def _adopting_orphans() -> Iterator[None]:
    """Let what is left behind by a process that ended become our child."""
    control, set_child_subreaper = ctypes.CDLL(None).prctl, 36
    control(set_child_subreaper, 1, 0, 0, 0)
    yield
    control(set_child_subreaper, 0, 0, 0, 0)


def _machine(folder: Path) -> dict[str, Any]:
    """Return what an attempt could have changed outside."""
    library = Path(os.__file__)
    return {
        "private file": (folder / "private.txt").read_text(),
        "folder": sorted(path.name for path in folder.iterdir()),
        "library": (library.stat().st_mode, library.stat().st_mtime, library.stat().st_nlink),
        "null device": Path("/dev/null").stat().st_mode,
        "shared memory": [path.name for path in Path("/dev/shm").glob("canary*")],
        "host name": socket.gethostname(),
        "priority": os.getpriority(os.PRIO_PROCESS, 0),
        "processors": len(os.sched_getaffinity(0)),
        "/canary": Path("/canary").exists(),
        "core files": sorted(str(path) for path in Path().glob("core*")),
    }


def _children(parent: int) -> list[str]:
    """Return "number name" of the living child processes of a process."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
        except OSError:
            continue
        if f"PPid:\t{parent}\n" in text and "State:\tZ" not in text:
            found.append(f"{status.parent.name} {text.split()[1]}")
    return found


@needs_sandbox
@pytest.mark.parametrize("name", [*OUT, *TOO_MUCH])
def test_no_attempt_gets_out_or_takes_more_than_its_share(batch: Batch, name: str) -> None:
    verdict, (_, reason) = batch.verdicts[name], {**OUT, **TOO_MUCH}[name]
    assert "ESCAPED" not in verdict["evidence"] and SECRET not in verdict["evidence"]
    assert (verdict["reason"], verdict["passed"]) == (reason, reason == ""), verdict["evidence"]


@needs_sandbox
@pytest.mark.parametrize("name", FORGED)
def test_no_wrong_solution_passes_by_cheating(batch: Batch, name: str) -> None:
    verdict, (_, reason) = batch.verdicts[name], FORGED[name]
    assert "ESCAPED" not in verdict["evidence"]
    assert (verdict["reason"], verdict["passed"]) == (reason, False), verdict["evidence"]
    assert not batch.verdicts[f"{name} at once"]["passed"]


@needs_sandbox
def test_honest_solutions_around_are_unharmed(batch: Batch) -> None:
    assert len(batch.honest) == len(OUT) + len(TOO_MUCH)
    assert [verdict for verdict in batch.honest if not verdict["passed"]] == []


@needs_sandbox
def test_nothing_is_seen_outside(batch: Batch) -> None:
    assert batch.seen_outside == []


@needs_sandbox
def test_no_process_is_left_behind(batch: Batch) -> None:
    deadline = time.monotonic() + 5  # the kernel ends a namespace in its own time
    while set(_children(os.getpid())) - set(batch.children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert set(_children(os.getpid())) <= set(batch.children)


_CALLS = """
import ctypes, errno, json, marshal, sys
from types import ModuleType
modules, (rules, numbers) = marshal.load(sys.stdin.buffer), marshal.load(sys.stdin.buffer)
for name, code in modules:
    module = sys.modules[name] = ModuleType(name)
    exec(code, module.__dict__)
if rules:
    sys.modules["synth_assets.discriminators.execution.confinement"].prepare_filter(rules)()
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    return errno.errorcode[ctypes.get_errno()] if libc.syscall(number, *arguments) == -1 else "allowed"
print(json.dumps({name: call(number, *arguments) for name, (number, arguments) in numbers.items()}))
"""


def _call_inside(numbers: dict[str, tuple[int, tuple[int, ...]]], *, rules: bytes) -> dict[str, str]:
    stdin = (python_tests._modules(), marshal.dumps((rules, numbers)))
    outcome = find_sandbox().run([Job(_CALLS, stdin, seconds=20)])[0]
    return json.loads(outcome.stdout)


def _with_zeros(calls: dict[str, tuple[int | None, int | None]], column: int) -> dict[str, tuple[int, tuple[int, ...]]]:
    numbers = {name: call[column] for name, call in calls.items()}
    return {name: (number, (0, 0, 0, 0, 0)) for name, number in numbers.items() if number is not None}


@needs_sandbox
def test_the_kernel_refuses_the_listed_calls_even_to_machine_code() -> None:
    column = ("x86_64", "aarch64").index(os.uname().machine)
    clone = (56, 220)[column]
    outer = _with_zeros(seccomp._OUTER, column)
    spaces = {f"clone {flag:x}": (clone, (flag | 17, 0, 0, 0, 0)) for flag in (0x20000, 0x10000000, 0x40000000)}
    assert set(_call_inside({**outer, **spaces}, rules=b"").values()) == {"EPERM"}
    every = {**outer, **_with_zeros(seccomp._INNER, column)}
    assert set(_call_inside(every, rules=seccomp.build_inner_filter()).values()) == {"EPERM"}
    assert _call_inside({"clone3": (435, (0, 0))}, rules=b"") == {"clone3": "ENOSYS"}
    assert _call_inside({"getpid": ((39, 172)[column], ())}, rules=seccomp.build_inner_filter()) == {
        "getpid": "allowed"
    }


@needs_sandbox
def test_a_job_ends_at_its_time_with_all_it_started() -> None:
    before = Batch()
    program = """
import os, signal, time
for number in range(1, 65):
    if number not in (9, 19, 32, 33): signal.signal(number, signal.SIG_IGN)
for _ in range(3):
    if os.fork() == 0: os.setsid()
time.sleep(600)
"""
    with _adopting_orphans():
        slow, quick = find_sandbox().run([Job(program, seconds=1), Job("print(6 * 7)")])
        test_no_process_is_left_behind(before)
    assert (slow.status, slow.stdout) == ("timeout", b"") and slow.seconds < 10
    assert (quick.status, quick.exit_code, quick.stdout) == ("finished", 0, b"42\n")


@needs_sandbox
def test_a_sandbox_dies_with_the_process_that_made_it() -> None:
    before = Batch()
    program = (
        f"from {find_sandbox.__module__} import Job, find_sandbox\n"
        "find_sandbox().run([Job('import time; time.sleep(600)', seconds=600)])"
    )
    with _adopting_orphans(), subprocess.Popen([sys.executable, "-c", program]) as maker:
        try:
            deadline = time.monotonic() + 60
            # until bwrap has a child it has not yet asked the kernel to die with its parent
            while not any(_children(int(child.split()[0])) for child in _children(maker.pid) if "bwrap" in child):
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            maker.kill()
            maker.wait()
        test_no_process_is_left_behind(before)


@needs_sandbox
def test_output_is_cut_while_it_is_read_and_outcomes_keep_their_order() -> None:
    flood = "import os\nwhile True: os.write({}, b'x' * 2**20)"
    jobs = [
        Job(flood.format(1), output_bytes=1000),
        Job("print('a')"),
        Job(flood.format(2), output_bytes=1000),
        Job("1/0"),
    ]
    outcomes = find_sandbox().run(jobs)
    assert [outcome.status for outcome in outcomes] == ["output_flood", "finished", "output_flood", "finished"]
    assert [len(outcome.stdout) for outcome in outcomes] == [1000, 2, 0, 0]
    assert len(outcomes[2].stderr) == 1000 and outcomes[3].exit_code == 1 and b"ZeroDivisionError" in outcomes[3].stderr
