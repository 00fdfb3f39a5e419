"""Examines one candidate inside the sandbox: reads it, runs it, and runs its tests on wrong variants of it.

Here: the order of the examination, starting and watching a confined process for every run, and reading what it said.
Not here: the sandbox around (sandbox.py), what the process does (confinement.py, stage.py), the screen of the source,
mutants, answers written for the tests. Standard library only, and little of it: this is loaded once a candidate.

Foreign code is parsed and changed in this process, and never runs in it.
"""

from __future__ import annotations

import ast
import gc
import json
import os
import resource
import select
import signal
import sys
import time
from contextlib import suppress
from importlib import import_module
from types import CodeType
from typing import Any

from synth_assets.discriminators.execution.confinement import (
    REFUSED,
    REFUSED_MODULES,
    RESULT,
    Broken,
    enter,
    leave,
    prepare_filter,
    write,
)
from synth_assets.discriminators.execution.mutants import FILENAME, make_mutants
from synth_assets.discriminators.execution.screening import find_suspicious
from synth_assets.discriminators.execution.special_cases import answers_its_tests, find_answers
from synth_assets.discriminators.execution.stage import PASSED, Mode, compile_tests, play

_INTERPRETER_BYTES = 96 * 2**20  # address space of the interpreter itself
_MOST_OUTPUT, _MOST_RESULT, _MOST_FILES = 2**20, 2**16, 2048
_TICK = 0.02  # seconds between two looks at a run that is silent
_NOT_PRELOADED = ("antigravity", "idlelib", "lib2to3", "test", "this", "tkinter", "turtle", "turtledemo")
_OWN_REASONS = ("test_failed", "error", "memory", "early_exit", "suspicious")  # that a run may give for itself
_OWN_EVIDENCE = ("line", "in", "error", "message")

Answer = dict[str, Any]


class _Run:
    """How a run ended: reason (empty for a pass), evidence, seconds of processor, and what was said after the word."""

    __slots__ = ("evidence", "reason", "said", "seconds")

    def __init__(self, reason: str, evidence: Answer, seconds: float, said: Answer | None = None) -> None:
        self.reason, self.evidence, self.seconds, self.said = reason, evidence, seconds, said or {}


def main(request: dict[str, Any]) -> Answer:
    """Examine a candidate.

    request: solution, tests, seconds, mutant_seconds, memory_bytes, mutants, filter. Return {"reason", "evidence",
    "caught", "mutants"}, with an empty reason where only the share of mutants caught is left to judge, or {"broken"}
    where this machine cannot confine a process.
    """
    sys.setrecursionlimit(3000)
    memory = request["memory_bytes"] + _INTERPRETER_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        return _examine(request, memory)
    except Broken as error:
        return {"broken": str(error)}
    except Exception as error:  # whatever a strange source does to this program, it is rejected for
        return _rejected("error", message=f"cannot be examined: {type(error).__name__}: {error}")


def _examine(request: dict[str, Any], memory: int) -> Answer:
    sources = (("solution", request["solution"]), ("tests", request["tests"]))
    trees: list[ast.Module] = []
    for where, source in sources:
        try:
            trees.append(ast.parse(source))
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:  # the last two: nested too deep
            return _unreadable(where, error)
    solution, tests = trees
    suspicion = find_suspicious(solution)
    if suspicion:
        return _rejected("suspicious", **suspicion)
    if not any(isinstance(node, ast.Assert) for node in ast.walk(tests)):
        return _rejected("no_tests", message="the tests hold no assert")
    used = _used_names(solution, tests)
    try:
        code, tests_code = compile(solution, FILENAME, "exec"), compile_tests(tests)
    except (SyntaxError, ValueError) as error:  # e.g. return outside of a function
        return _unreadable("solution or tests", error)
    _preload(solution, tests)
    runs = _Runs(tests_code, used, memory=memory, filter_program=request["filter"])
    first = runs.run(code, seconds=request["seconds"])
    if first.reason:
        return _rejected(first.reason, **first.evidence, **_source_line(request["tests"], first.evidence.get("line")))
    if not first.said["reached"]:
        return _rejected("no_tests", message="no assert was reached")
    if not used or not runs.run(code, seconds=request["seconds"], mode="hollow").reason:
        return _rejected("no_tests", message="the tests pass without the solution's functions")
    answers = find_answers(solution)
    if answers:
        calls = runs.run(code, seconds=request["seconds"], mode="record").said.get("calls", [])
        special = answers_its_tests(answers, calls)
        if special:
            return _rejected("special_cased", **special)
    return _test_the_tests(request, solution, runs, first)


def _test_the_tests(request: dict[str, Any], solution: ast.Module, runs: _Runs, first: _Run) -> Answer:
    """Run the tests on wrong variants; count those they fail, and show the first that they do not."""
    seconds = min(request["seconds"], 0.25 + 10 * first.seconds)
    deadline = time.monotonic() + request["mutant_seconds"]
    caught, tried, survived = 0, 0, {}
    for mutant in make_mutants(solution, most=request["mutants"]):
        if time.monotonic() > deadline:
            break
        tried += 1
        if runs.run(mutant.code, seconds=seconds).reason:
            caught += 1
        elif not survived:
            shown = {"change": mutant.operator, "before": mutant.before, "after": mutant.after}
            survived = {"survived": {"line": mutant.line, **shown}}
    evidence = {"caught": caught, "mutants": tried, **survived}
    return {"reason": "", "evidence": evidence, "caught": caught, "mutants": tried}


def _rejected(reason: str, **evidence: object) -> Answer:
    return {"reason": reason, "evidence": evidence, "caught": 0, "mutants": 0}


def _unreadable(where: str, error: Exception) -> Answer:
    line = error.lineno if isinstance(error, SyntaxError) else None
    message = getattr(error, "msg", None) or str(error) or "nested too deep"
    return _rejected("syntax_error", where=where, line=line, message=message)


def _source_line(source: str, line: object) -> Answer:
    lines = source.split("\n")
    return {"source": lines[line - 1].strip()} if isinstance(line, int) and 0 < line <= len(lines) else {}


def _used_names(solution: ast.Module, tests: ast.Module) -> list[str]:
    """Return the names that the solution binds, other than by import, and the tests read."""
    bound = set()
    for node in ast.walk(solution):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            bound.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
    read = {node.id for node in ast.walk(tests) if isinstance(node, ast.Name)}
    read |= {node.attr for node in ast.walk(tests) if isinstance(node, ast.Attribute)}  # solution.f
    read |= {alias.name for node in ast.walk(tests) if isinstance(node, ast.ImportFrom) for alias in node.names}
    return sorted(bound & read)


def _preload(*trees: ast.Module) -> None:
    """Import the parts of the standard library that are asked for, once for all runs.

    What brings a refused module with it is forgotten again. Random numbers are the same in every run.
    """
    wanted: set[str] = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Import):
            wanted |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            wanted.add(node.module or "")
    known = sys.stdlib_module_names - {*_NOT_PRELOADED, *REFUSED_MODULES}
    for name in sorted(name for name in wanted if name.partition(".")[0] in known and name[0] != "_"):
        before = set(sys.modules)
        with suppress(Exception):
            import_module(name)
        if "ctypes" in sys.modules:
            for new in set(sys.modules) - before:
                del sys.modules[new]
    if "random" in sys.modules:
        sys.modules["random"].seed(0)


class _Runs:
    """Runs the tests of one candidate on one version of its solution after the other, each in its own process."""

    def __init__(self, tests: CodeType, used: list[str], *, memory: int, filter_program: bytes) -> None:
        self._tests, self._used, self._memory = tests, used, memory
        self._add_filter = prepare_filter(filter_program)
        gc.freeze()  # the processes share these pages for as long as nobody counts what is in them

    def run(self, solution: CodeType, *, seconds: float, mode: Mode = "plain") -> _Run:
        """Run in a new process, for at most `seconds` of processor and twice as many by the clock."""
        results, result = os.pipe()
        outputs, output = os.pipe()
        word = os.urandom(16).hex()
        child = os.fork()
        if child == 0:
            words, word = [word], ""
            self._play(words, solution, mode, result, output, seconds)
        os.close(result)
        os.close(output)
        said, killed, code, used = _watch(child, results, outputs, deadline=time.monotonic() + 2 * seconds)
        os.close(results)
        os.close(outputs)
        if _count_files():
            _clear(".")  # the next run finds what this one found
        return _read_run(word.encode(), said, killed, code, used=used, seconds=seconds)

    def _play(self, words: list[str], solution: CodeType, mode: Mode, result: int, output: int, seconds: float) -> None:
        """Be the confined process."""
        try:
            enter(result, output, seconds=seconds, memory=self._memory)
            self._add_filter()
        except BaseException as error:
            with suppress(OSError):
                write(RESULT, f"{words.pop()}{json.dumps({'broken': str(error)})}".encode())
            leave(REFUSED)
        try:
            play(words, solution, self._tests, self._used, mode)
        finally:
            leave(REFUSED)


def _watch(child: int, results: int, outputs: int, *, deadline: float) -> tuple[bytes, str, int, float]:
    """Hear a process until it ends, and end it for too much output, too many files, or too long a time.

    Return what it said, the reason for ending it, its exit code (negative for a signal), its seconds of processor.
    """
    said, printed, killed = b"", 0, ""
    ended = os.pidfd_open(child)
    poll = select.poll()
    for number in (results, outputs, ended):
        poll.register(number, select.POLLIN)
    is_over = False
    while not is_over:
        ready = {number for number, _ in poll.poll(_TICK * 1000)}
        is_over = ended in ready  # what it said before is in the pipes, and read below
        for number in ready & {results, outputs}:
            chunk = os.read(number, _MOST_RESULT)
            if not chunk:
                poll.unregister(number)
            elif number == results:
                said = (said + chunk)[: _MOST_RESULT + 1]
            else:
                printed += len(chunk)
        killed = killed or _find_excess(len(said), printed, deadline)
        if killed and not is_over:
            os.kill(child, signal.SIGKILL)
    os.close(ended)
    _, status, usage = os.wait4(child, 0)
    return said, killed, os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime


def _find_excess(said: int, printed: int, deadline: float) -> str:
    if printed > _MOST_OUTPUT or said > _MOST_RESULT:
        return "output_flood"
    if _count_files() > _MOST_FILES:
        return "too_many_files"
    return "timeout" if time.monotonic() > deadline else ""


def _count_files() -> int:
    scratch = os.statvfs(".")
    return scratch.f_files - scratch.f_ffree - 1


def _clear(folder: str) -> None:
    """Remove what is in a folder, as far as can be."""
    with suppress(OSError):
        os.chmod(folder, 0o700)  # noqa: PTH101
        for entry in list(os.scandir(folder)):
            if entry.is_dir(follow_symlinks=False):
                _clear(entry.path)
                os.rmdir(entry.path)  # noqa: PTH106
            else:
                os.unlink(entry.path)  # noqa: PTH108


def _read_run(word: bytes, said: bytes, killed: str, code: int, *, used: float, seconds: float) -> _Run:
    """Decide how a run ended; the word with a clean end is the only pass."""
    if killed:
        return _Run(killed, {"message": f"ended after {used:.1f} s of processor"}, used)
    if code == -signal.SIGPROF or (code == -signal.SIGKILL and used >= seconds):
        return _Run("timeout", {"message": f"more than {seconds:g} s of processor"}, used)
    if code < 0:
        return _Run("error", {"message": f"ended by signal {-code}"}, used)
    has_word = said.startswith(word)
    try:
        heard = json.loads(said.removeprefix(word))
    except (ValueError, RecursionError):
        heard = None
    heard = heard if isinstance(heard, dict) else {}
    if has_word and code == PASSED and isinstance(heard.get("reached"), int):
        return _Run("", {}, used, heard)
    if has_word and "broken" in heard:
        raise Broken(str(heard["broken"]))
    reason, evidence = heard.get("reason"), heard.get("evidence")
    if reason in _OWN_REASONS and isinstance(evidence, dict):
        known = {key: evidence[key] for key in _OWN_EVIDENCE if isinstance(evidence.get(key), (int, str))}
        return _Run(reason, known, used)
    return _Run("early_exit", {"message": f"ended with status {code} before the tests did"}, used)
