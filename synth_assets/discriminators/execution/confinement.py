"""What a process inside the sandbox does to itself before it runs foreign code: it gives up nearly everything.

Here: the second filter of system calls, the limits, and the guard, an audit hook (PEP 578) that ends the process when
Python code reaches for a frame, for memory, or for compiled code of its own. Not here: the sandbox around (sandbox.py),
what is run (stage.py). Standard library only: this runs inside the sandbox.

Foreign code must not get at what its own process knows (the word of stage.py). Python has few ways from code to a frame
it does not own, and all raise events, but for three, which are closed here: signal handlers (refused by the filter),
modules that are loaded again without an event (the gates), and code that runs within the hook (nothing foreign is
called or collected there). The guard keeps Python code from cheating. It is no wall against code that reads memory, as
the types of ctypes do, which set the filter and stay among the subclasses of object: who gets that far can pass a wrong
solution off as right, and get no further. The walls are the filter and the sandbox.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from os import _exit as leave  # bound here, like the others: foreign code may change what modules hold
from os import write
from types import ModuleType
from typing import Any, NoReturn

encode = json.JSONEncoder().encode

RESULT = 3
"""The open file on which a confined process says how its run ended."""
REFUSED = 3
"""Exit code of a process that was ended by its guard or could not be confined."""
REFUSED_MODULES = (
    "_ctypes",
    "_ctypes_test",
    "_imp",
    "_interpreters",
    "_testcapi",
    "_testinternalcapi",
    "_testlimitedcapi",
    "_tkinter",
    "_xxsubinterpreters",
    "ctypes",
)
"""Modules that see memory, or run code that no hook hears of."""

_REFUSED_EVENTS = (
    "gc.get_objects",
    "gc.get_referents",
    "gc.get_referrers",
    "marshal.load",
    "sqlite3.enable_load_extension",
    "sys._current_exceptions",
    "sys._current_frames",
    "sys.addaudithook",
    "sys.monitoring.register_callback",
    "sys.setprofile",
    "sys.settrace",
)
_FRAME_ATTRIBUTES = ("tb_frame", "gi_frame", "cr_frame", "ag_frame")
_FRAME_USERS = (  # functions of the library that look at a frame and give none away
    ("collections/__init__.py", "namedtuple"),
    ("enum.py", "_create_"),
    ("typing.py", "_caller"),
)
_LOAD = "execution.load"
_LOADERS = ("create_builtin", "create_dynamic", "get_frozen_object")
_MOST_FILES, _FIRST_FREE = 64, 250
_MOST_SAID = 2**16


class Broken(Exception):
    """A process cannot be confined on this machine: no fault of the candidate's."""


def say(what: dict[str, Any]) -> None:
    """Say how the run ended. Foreign code may have changed what this calls: it is for runs that did not pass."""
    write(RESULT, encode(what).encode()[:_MOST_SAID])


def prepare_filter(program: bytes) -> Callable[[], None]:
    """Return a function that adds a filter of system calls (seccomp.py) to its process, for good."""
    try:
        import ctypes
    except ImportError as error:
        raise Broken(f"this Python has no ctypes: {error}") from error

    class Program(ctypes.Structure):  # struct sock_fprog
        _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))

    control = ctypes.CDLL(None, use_errno=True).prctl
    given = ctypes.byref(Program(len(program) // 8, program))
    no_new_privileges, set_filter, filter_mode = 38, 22, 2

    def add_filter() -> None:
        if control(no_new_privileges, 1, 0, 0, 0) or control(set_filter, filter_mode, given, 0, 0):
            raise Broken(f"the kernel takes no filter of system calls: {os.strerror(ctypes.get_errno())}")

    return add_filter


def enter(result: int, output: int, *, seconds: float, memory: int) -> None:
    """Leave this process with stdin at its end, `output` as stdout and stderr, `result` as RESULT, and its limits.

    seconds: of processor. memory: bytes of address space.
    """
    nothing, _ = os.pipe()  # the other end is closed with the rest
    held = [os.dup2(number, _FIRST_FREE + place) for place, number in enumerate((nothing, output, output, result))]
    for place, number in enumerate(held):
        os.dup2(number, place)
    os.closerange(RESULT + 1, _FIRST_FREE + len(held))
    for limit, value in (
        (resource.RLIMIT_CPU, int(seconds) + 2),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_NOFILE, _MOST_FILES),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # asyncio would set its own handler, which the filter refuses
    signal.setitimer(signal.ITIMER_PROF, seconds)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("synth_assets", "ctypes", "_ctypes")]:
        del sys.modules[name]
    sys.modules["__main__"] = ModuleType("__main__")
    sys.setrecursionlimit(1000)


def set_guard() -> Callable[[], None]:
    """Watch this process from here on; return a function that ends the watch.

    While the hook looks at a frame itself it must not hear itself, so nothing foreign may run meanwhile: all it uses
    is bound in closures, where no foreign hand reaches, and garbage, whose finalizers are foreign, is not collected.
    """
    collects, stop_collecting, collect_again = gc.isenabled, gc.disable, gc.enable
    library = os.path.dirname(os.__file__) + "/"  # noqa: PTH120
    is_loading, busy = [False], [False]
    load, look, load_event = _make_gatekeeper(library, is_loading), _make_lookout(library, is_loading), _LOAD

    def hook(event: str, arguments: tuple) -> None:
        if busy[0]:
            return
        was_collecting = collects()
        stop_collecting()
        try:
            if event == load_event:
                load(*arguments)
            else:
                busy[0] = True
                look(event, arguments)
        finally:
            busy[0] = False
            if was_collecting:
                collect_again()

    def end_watch() -> None:
        busy[0] = True

    sys.addaudithook(hook)
    sys.implementation.cache_tag = None  # type: ignore[assignment]  # no bytecode is read: imports are compiled
    _set_gates()
    return end_watch


def _make_refuse() -> Callable[[str], NoReturn]:
    bound_write, bound_leave, result, refused = write, leave, RESULT, REFUSED

    def refuse(what: str) -> NoReturn:
        """`what` is plain letters: no library is asked to write it down."""
        message = f'{{"reason": "suspicious", "evidence": {{"message": "reached for {what}"}}}}'
        bound_write(result, message.encode())
        bound_leave(refused)

    return refuse


def _make_lookout(library: str, is_loading: list[bool]) -> Callable[[str, tuple], None]:
    """Return what the hook does with an event other than loading."""
    attributes, modules, events = frozenset(_FRAME_ATTRIBUTES), frozenset(REFUSED_MODULES), frozenset(_REFUSED_EVENTS)
    users = frozenset((library + file, name) for file, name in _FRAME_USERS)
    traceback, logging = library + "traceback.py", library + "logging/__init__.py"
    generators = (library + "types.py", "coroutine")  # marks a generator as awaitable, in a copy of its code
    refuse, frame_of, kind, text = _make_refuse(), sys._getframe, type, str

    def callers() -> tuple[tuple[str, str], tuple[str, str]]:
        near = frame_of(4)  # behind this function, the one below, look and hook
        far = near.f_back
        nearest = (near.f_code.co_filename, near.f_code.co_name)
        return nearest, (far.f_code.co_filename, far.f_code.co_name) if far else ("", "")

    def look_at_frame(_: tuple) -> None:
        near, far = callers()
        if near not in users and not (near[0] == logging and far == (logging, "findCaller")):
            refuse("sys._getframe")

    def look_at_attribute(arguments: tuple) -> None:
        near, far = callers()
        name = arguments[1]
        is_traceback = near[0] == traceback and (far[0] == traceback or near[1] == "clear_frames")
        if kind(name) is not text or (name in attributes and not is_traceback):
            refuse("the frame of a traceback or generator")

    def look_at_import(arguments: tuple) -> None:
        name = arguments[0]
        if kind(name) is not text or name.rpartition(".")[2] in modules:
            refuse("a module that sees memory")

    def look_at_compile(arguments: tuple) -> None:
        near, _ = callers()
        file = arguments[1]
        is_import = near[0].startswith("<frozen importlib")
        if file is not None and (kind(file) is not text or (file.startswith(library) and not is_import)):
            refuse("the name of a file of Python")

    def look_at_code(_: tuple) -> None:
        near, _ = callers()
        if near != generators:
            refuse("code.__new__")

    def look_at_bytecode(_: tuple) -> None:
        if not is_loading[0]:
            refuse("marshal.loads")

    looks = {
        "sys._getframe": look_at_frame,
        "object.__getattr__": look_at_attribute,
        "import": look_at_import,
        "compile": look_at_compile,
        "code.__new__": look_at_code,
        "marshal.loads": look_at_bytecode,
    }

    def look(event: str, arguments: tuple) -> None:
        if event in looks:
            looks[event](arguments)
        elif event in events or event.startswith("ctypes."):
            refuse(event if event in events else "ctypes")

    return look


def _make_gatekeeper(library: str, is_loading: list[bool]) -> Callable[[str, list], None]:
    """Return what loads a module: one of the standard library, and none that sees memory."""
    import _imp

    loaders = {name: getattr(_imp, name) for name in _LOADERS}
    modules, specification = frozenset(REFUSED_MODULES), _Specification
    refuse, kind, text = _make_refuse(), type, str

    def load(how: str, box: list) -> None:
        """Put the module that box[0] specifies behind it. Foreign code may call this, with whatever it likes."""
        if kind(how) is not text:
            refuse("a module")
        wanted, is_frozen = box[0], how == "get_frozen_object"
        name, origin = (wanted, None) if is_frozen else (wanted.name, wanted.origin)
        if kind(name) is not text or name.rpartition(".")[2] in modules:
            refuse("a module that sees memory")
        if how == "create_dynamic" and not (kind(origin) is text and origin.startswith(library) and ".." not in origin):
            refuse("compiled code of its own")
        is_loading[0] = is_frozen  # from Python 3.13 on, the interpreter's own modules come by marshal.loads
        try:
            made = loaders[how](name if is_frozen else specification(name, origin))
        finally:
            is_loading[0] = False
        box.append(made)

    return load


class _Specification:
    """What the loader of a module reads, read once: a foreign specification could answer twice."""

    __slots__ = ("name", "origin")

    def __init__(self, name: str, origin: str | None) -> None:
        self.name, self.origin = name, origin


def _set_gates() -> None:
    """Let modules that are built in, or were loaded before, raise an event too; only the hook has the real loaders."""
    import _imp

    for name in _LOADERS:
        gate = f"lambda wanted, *_: audit({_LOAD!r}, {name!r}, box := [wanted]) or box[1]"
        setattr(_imp, name, eval(gate, {"__builtins__": {}, "audit": sys.audit}))  # noqa: S307
