"""The confined process: it runs a solution, then its tests, and says the word when all of them held.

Here: one run from the first statement to the word, what it notes on the way, and what it says of a failure. Not here:
giving up what could be misused (confinement.py), starting and watching the process (driver.py). Standard library only:
this runs inside the sandbox.

A pass is the word: random, known to the process outside and to one local variable of the frame below the foreign code.
Whoever leaves early, with whatever status, has not said it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from types import CodeType, FunctionType, ModuleType
from typing import Any, Literal, NoReturn

from synth_assets.discriminators.execution.confinement import REFUSED, RESULT, encode, leave, say, set_guard, write
from synth_assets.discriminators.execution.mutants import FILENAME

Mode = Literal["plain", "hollow", "record"]

PASSED, FAILED = 0, 1
TESTS = "<tests>"

_REACHED, _EQUAL = "<reached>", "<equal>"  # no identifiers: foreign code cannot bind them
_MOST_MESSAGE, _MOST_CALLS, _LONGEST_CALL = 400, 100, 300
_MOST_ITEMS, _MOST_LETTERS, _DEEPEST = 50, 200, 4
_PLAIN = (bool, bytes, complex, dict, float, frozenset, int, list, set, str, tuple, type(None))
_FAILURES = (
    (AssertionError, "test_failed"),
    (MemoryError, "memory"),
    (SystemExit, "early_exit"),
    (KeyboardInterrupt, "early_exit"),
)


def compile_tests(tree: ast.Module) -> CodeType:
    """Return the tests with a note after every assert, that it was reached, and a second look at every `==`."""
    return compile(ast.fix_missing_locations(_Instrument().visit(tree)), TESTS, "exec")


def play(words: list[str], solution: CodeType, tests: CodeType, used: list[str], mode: Mode) -> NoReturn:
    """Run the solution, then its tests, then leave. The last of `words` is taken, and said after a pass.

    mode: plain; hollow (what the tests use of the solution gives results without any property); record (the calls that
    the tests make are noted). What is said of a pass: {"reached": asserts, "calls": [[name, arguments, result] …]}.
    """
    word, details, describe = words.pop(), sys.exc_info, _describe
    bound_leave, bound_write, bound_encode = leave, write, encode  # foreign code may change what this module holds
    builtins = dict(vars(sys.modules["builtins"]))  # the tests keep these, whatever the solution does to its own
    module = ModuleType("solution")
    module.__dict__["__builtins__"] = sys.modules["builtins"]
    sys.modules["solution"] = module
    reached: set[int] = set()
    calls: list[list[str]] = []
    end_watch = set_guard()
    try:
        exec(solution, module.__dict__)  # noqa: S102
        if mode == "hollow":
            _hollow_out(module.__dict__, used)
        space = {**module.__dict__, "__name__": "__main__", "__builtins__": builtins}
        space.update({_REACHED: reached.add, _EQUAL: _equal})
        if mode == "record":
            _record(space, used, calls)
        exec(tests, space)  # noqa: S102
        for function in _uncalled_tests(space):
            function()
    except BaseException:
        word = ""  # from here on there is nothing to find
        try:
            describe(details(), end_watch)
        finally:
            bound_leave(FAILED)
    said = bound_encode({"reached": len(reached), "calls": calls[:_MOST_CALLS]})
    bound_write(RESULT, f"{word}{said}".encode())
    bound_leave(PASSED)


def _uncalled_tests(space: dict[str, Any]) -> list[Callable[[], object]]:
    """Return the functions of the tests that are named test… and take nothing."""
    functions = [value for name, value in space.items() if name.startswith("test") and type(value) is FunctionType]
    codes = [(function, function.__code__) for function in functions]
    return [
        function
        for function, code in codes
        if code.co_filename == TESTS and code.co_argcount == len(function.__defaults__ or ())
    ]


class _Instrument(ast.NodeTransformer):
    def visit_Assert(self, node: ast.Assert) -> list[ast.AST]:
        self.generic_visit(node)
        note = ast.Call(ast.Name(_REACHED, ast.Load()), [ast.Constant(node.lineno)], [])
        return [node, ast.copy_location(ast.Expr(note), node)]

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if not (len(node.ops) == 1 and isinstance(node.ops[0], ast.Eq)):
            return node
        return ast.copy_location(ast.Call(ast.Name(_EQUAL, ast.Load()), [node.left, *node.comparators], []), node)


def _equal(left: object, right: object) -> object:
    """Return left == right; end this process where a value of a made kind equals just about anything."""
    result = left == right
    for value, other in ((left, right), (right, left)):
        if type(value) not in _PLAIN and result and _equals_another(value, other):
            message = "a result is equal to whatever it is compared with"
            say({"reason": "suspicious", "evidence": {"message": message}})
            leave(REFUSED)
    return result


def _equals_another(value: object, other: object) -> bool:
    """Return whether the value also equals something of the other's type that is not equal to the other."""
    another: Any = _Nothing()
    if type(other) in (int, float):
        another = other + 1  # type: ignore[operator]
    elif type(other) in (str, list, tuple):
        another = other + type(other)("?")  # type: ignore[operator]
    try:
        return bool(value == another) and not bool(other == another)
    except Exception:  # an honest comparison may take its own kind only
        return False


class _Nothing:
    """Equal to nothing but itself."""


def _hollow_out(space: dict[str, Any], names: list[str]) -> None:
    """Put functions that give a _Hollow in the place of the solution's functions and classes."""
    space.update((name, lambda *_, **__: _Hollow()) for name in names if callable(space.get(name)))


class _Observed(BaseException):
    """Somebody looked at a result that says nothing."""


class _Hollow:
    """A result without any property: to compare, call, count or print it is noticed."""


def _notice(*_: object, **__: object) -> NoReturn:
    raise _Observed


_OPERATIONS = """
abs add and bool call contains delitem divmod enter eq exit float floordiv format ge getattribute getitem gt hash index
int invert iter le len lt matmul mod mul ne neg next or pos pow radd rand repr rfloordiv rmod rmul ror round rpow rsub
rtruediv rxor setattr setitem str sub truediv xor
"""
for _name in _OPERATIONS.split():
    setattr(_Hollow, f"__{_name}__", _notice)


def _record(space: dict[str, Any], names: list[str], calls: list[list[str]]) -> None:
    """Note plain arguments and results of the solution's functions, where the tests call them."""
    space.update((name, _recorded(name, space[name], calls)) for name in names if type(space.get(name)) is FunctionType)


def _recorded(name: str, function: FunctionType, calls: list[list[str]]) -> Callable[..., object]:
    def recorded(*arguments: object, **named: object) -> object:
        seen = repr(arguments) if not named and _is_plain(arguments) else ""
        try:
            result = function(*arguments, **named)
        except BaseException:
            calls.append([name, seen, "raised"])
            raise
        if seen and _is_plain(result) and len(seen) + len(repr(result)) <= _LONGEST_CALL:
            calls.append([name, seen, repr(result)])
        return result

    return recorded


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Return whether a value is small and its repr is a literal."""
    if type(value) is dict:
        return _is_plain([*value.keys(), *value.values()], depth)
    if type(value) in (list, tuple, set, frozenset):
        return depth < _DEEPEST and len(value) <= _MOST_ITEMS and all(_is_plain(item, depth + 1) for item in value)
    if type(value) in (str, bytes):
        return len(value) <= _MOST_LETTERS
    return value is None or type(value) in (bool, int, float)


def _describe(details: tuple[Any, Any, Any], end_watch: Callable[[], None]) -> None:
    """Say why the tests did not hold: kind of failure, line of the tests, head of the message."""
    kind, error, trace = details
    try:
        message = str(error)
    except BaseException:
        message = ""
    end_watch()
    line, place = None, ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file in (TESTS, FILENAME):
            place = file.strip("<>")
        if file == TESTS:
            line = trace.tb_lineno
        trace = trace.tb_next
    reason = next((reason for base, reason in _FAILURES if issubclass(kind, base)), "error")
    if reason == "test_failed" and line is None:
        reason = "error"
    evidence = {"line": line, "in": place, "error": str(kind.__name__)[:80], "message": str(message)[:_MOST_MESSAGE]}
    say({"reason": reason, "evidence": evidence})
