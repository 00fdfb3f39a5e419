"""The data sets that come inside installed packages, as raw records: `sklearn:NAME` and `python:doctests`.

Here: names and values of five scikit-learn sets, and the functions of Python's own standard library that stand alone
and whose documented examples hold; nothing is downloaded. Not here: user files (files.py, parsing.py).
"""

from __future__ import annotations

import ast
import doctest
import hashlib
import json
import platform
import re
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from synth_assets.errors import SeedError

BUNDLED = ("breast_cancer", "diabetes", "digits", "iris", "wine")
DOCTESTS = "python:doctests"
DOCTEST_COLUMNS = (
    "problem",
    "solution",
    "tests",
    "topic",
    "difficulty",
    "license",
    "module",
    "function",
    "python_version",
)

_LICENSE = "PSF-2.0"
_TOPIC = "standard_library"
_LONGEST = 8_000  # characters of a solution: more is a module, not a function
_SHOWN = 3  # examples in the problem
_LEAST_ASSERTS = 2
_EASY, _MEDIUM = 8, 20  # most lines of a function's body
# What neither reads nor changes anything outside: code that needs more than these does not stand alone.
_PURE = frozenset(
    {"abc", "bisect", "cmath", "collections", "collections.abc", "copy", "datetime", "decimal", "enum", "fractions"}
    | {"functools", "heapq", "itertools", "math", "numbers", "operator", "re", "string", "struct", "typing"}
)
_REFUSED = frozenset({"__import__", "breakpoint", "compile", "eval", "exec", "exit", "input", "open", "print", "quit"})


@dataclass(frozen=True)
class Bundle:
    """Columns of equal length by name, Python values, with digest and size.

    sklearn: the features, `target`, and for classes `target_name`. python: DOCTEST_COLUMNS.
    """

    columns: dict[str, list[Any]]
    sha256: str
    size: int

    @property
    def height(self) -> int:
        return len(next(iter(self.columns.values())))


def load_bundle(uri: str) -> Bundle:
    """Return a bundled set; SeedError names the known ones. Feature `mean radius` becomes column mean_radius."""
    if uri == DOCTESTS:
        return _load_doctests(Path(sysconfig.get_path("stdlib")))
    name = uri.removeprefix("sklearn:")
    if name not in BUNDLED:
        known = ", ".join([*(f"sklearn:{each}" for each in BUNDLED), DOCTESTS])
        raise SeedError(f"source.uri: '{uri}' is no bundled set; choose one of {known}")
    from sklearn import datasets

    loaded: Any = getattr(datasets, f"load_{name}")()
    features, target = np.asarray(loaded.data), np.asarray(loaded.target)
    columns: dict[str, list[Any]] = {
        re.sub(r"[^a-z0-9]+", "_", str(feature).lower()).strip("_"): features[:, index].tolist()
        for index, feature in enumerate(loaded.feature_names)
    }
    columns["target"] = target.tolist()
    if "target_names" in loaded:
        names = [str(each) for each in loaded.target_names]
        columns["target_name"] = [names[index] for index in columns["target"]]
    return Bundle(columns, _digest(columns), features.nbytes + target.nbytes)


def identify_bundle(uri: str) -> str:
    """Return a text that changes when a bundled set may have: the URI, and for Python's own set its version."""
    return f"{uri} {platform.python_version()}" if uri == DOCTESTS else uri


def _digest(columns: dict[str, list[Any]]) -> str:
    return hashlib.sha256(json.dumps(columns, sort_keys=True).encode()).hexdigest()


# ---- functions of the standard library


@lru_cache(maxsize=4)
def _load_doctests(library: Path) -> Bundle:
    """Return the functions of a standard library that stand alone, by module and name.

    Such a function is public and on the top level of a public module, needs only _PURE modules and what its own module
    defines (which comes with it), and its docstring has examples that hold when just that is executed. The examples
    are the tests, as asserts, and the docstring with the first _SHOWN of them is the problem. Which functions these
    are depends on the Python that runs.
    """
    rows = [
        row
        for module, path in _list_modules(library)
        for row in _harvest_module(module, path.read_text(encoding="utf-8", errors="replace"))
    ]
    if not rows:
        raise SeedError(
            f"source.uri: '{DOCTESTS}' reads the source of Python {platform.python_version()}'s standard library, and "
            f"there is none with examples in {library}; install it, or use a Python that comes with it"
        )
    columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in DOCTEST_COLUMNS}
    return Bundle(columns, _digest(columns), sum(len(row["solution"].encode()) for row in rows))


def _list_modules(library: Path) -> Iterator[tuple[str, Path]]:
    """Yield name and path of the public modules that are there as source, by name."""
    for name in sorted(sys.stdlib_module_names - {"test"}):
        for path in (library / f"{name}.py", *sorted((library / name).rglob("*.py"))):
            parts = path.relative_to(library).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            if path.is_file() and not any(part.startswith("_") or "test" in part for part in parts):
                yield ".".join(parts), path


def _harvest_module(module: str, source: str) -> Iterator[dict[str, str]]:
    """Yield the records of one module's functions, by name."""
    if ">>>" not in source:
        return
    tree = ast.parse(source)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for name, node in sorted(functions.items()):
        documentation = ast.get_docstring(node) or ""
        if name.startswith("_") or ">>>" not in documentation:
            continue
        parts = doctest.DocTestParser().parse(documentation)
        examples = [part for part in parts if isinstance(part, doctest.Example)]
        tests = _write_tests(examples, module, name)
        solution = _isolate(name, tests, tree, source) if tests else None
        if solution is None or not _holds(solution, tests):
            continue
        yield {
            "problem": _write_problem(node, "".join(part for part in parts if isinstance(part, str)), examples),
            "solution": solution,
            "tests": tests,
            "topic": _TOPIC,
            "difficulty": _grade(node),
            "license": _LICENSE,
            "module": module,
            "function": name,
            "python_version": platform.python_version(),
        }


def _grade(function: ast.FunctionDef) -> str:
    """Return the difficulty by the lines behind the docstring."""
    lines = (function.end_lineno or 0) - (function.body[0].end_lineno or 0)
    return "easy" if lines <= _EASY else "medium" if lines <= _MEDIUM else "hard"


def _isolate(name: str, tests: str, tree: ast.Module, source: str) -> str | None:
    """Return the source of a function with the imports and definitions that it and its tests need.

    None where it does not stand alone, or is too long.
    """
    bound: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        for each in _bound_names(statement):
            bound.setdefault(each, []).append(statement)
    imports: set[str] = set()
    needed: dict[int, ast.stmt] = {}
    waiting = {name, *_names(ast.parse(tests))}
    seen: set[str] = set()
    while waiting:
        each = waiting.pop()
        seen.add(each)
        if each in _REFUSED and each not in bound:
            return None
        for statement in bound.get(each, ()):
            if isinstance(statement, (ast.Import, ast.ImportFrom)):
                imports.add(_write_import(statement, each))
            else:
                needed[statement.lineno] = statement
                waiting |= _names(statement) - seen
    lines = source.splitlines()
    head = "\n".join(sorted(imports, key=lambda line: (line.startswith("from"), line)))
    pieces = [_source_of(needed[line], lines) for line in sorted(needed)]
    solution = "\n\n\n".join([head, *pieces] if head else pieces) + "\n"
    return solution if len(solution) <= _LONGEST and _imports_purely(ast.parse(solution)) else None


def _names(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _bound_names(statement: ast.stmt) -> list[str]:
    """Return the names that a statement of a module binds; none for what may or may not run (if, try)."""
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return [_bound_by(alias) for alias in statement.names]
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return [statement.name]
    if isinstance(statement, ast.Assign):
        return [name for target in statement.targets for name in sorted(_names(target))]
    return sorted(_names(statement.target)) if isinstance(statement, (ast.AnnAssign, ast.AugAssign)) else []


def _bound_by(alias: ast.alias) -> str:
    return alias.asname or alias.name.partition(".")[0]


def _write_import(statement: ast.Import | ast.ImportFrom, name: str) -> str:
    """Return the import of just this name."""
    alias = next(alias for alias in statement.names if _bound_by(alias) == name)
    if isinstance(statement, ast.Import):
        return ast.unparse(ast.Import([alias]))
    return ast.unparse(ast.ImportFrom(statement.module, [alias], statement.level))


def _imports_purely(tree: ast.AST) -> bool:
    """Return whether all imports, at any depth, are of _PURE modules."""
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add("." if node.level else node.module or ".")
    return modules <= _PURE


def _source_of(statement: ast.stmt, lines: Sequence[str]) -> str:
    first = min(node.lineno for node in (statement, *getattr(statement, "decorator_list", ())))
    return "\n".join(line.rstrip() for line in lines[first - 1 : statement.end_lineno])


def _write_tests(examples: Sequence[doctest.Example], module: str, function: str) -> str:
    """Return examples as asserts, with the statements they need; empty where there are too few or an impure import.

    What is printed, and output that is not told in full, is no test. An import of the function itself is left out.
    """
    own_import = f"from {module} import {function}"
    written = []
    for example in examples:
        tree = ast.parse(example.source)
        code = ast.unparse(tree)
        if code == own_import:
            continue
        if not _imports_purely(tree):
            return ""
        if example.exc_msg:
            error = example.exc_msg.partition(":")[0].strip().rpartition(".")[2]
            indented = code.replace("\n", "\n    ")
            missed = f'assert False, "{error} is expected"'
            written.append(f"try:\n    {indented}\nexcept {error}:\n    pass\nelse:\n    {missed}")
        elif not example.want:
            written.append(code)
        elif isinstance(tree.body[0], ast.Expr) and not code.startswith("print(") and "..." not in example.want:
            written.append(_write_assert(code, example.want.strip()))
    asserts = sum("assert " in each for each in written)
    return "\n".join(written) + "\n" if asserts >= _LEAST_ASSERTS else ""


def _write_assert(call: str, want: str) -> str:
    """Return the assert of an example: that the values are equal, or where the output is no literal, that it is."""
    try:
        value = ast.literal_eval(want)
    except (ValueError, SyntaxError):
        return f"assert repr({call}) == {want!r}"
    sign = "is" if value is None or isinstance(value, bool) else "=="
    return f"assert {call} {sign} {value!r}"


def _holds(solution: str, tests: str) -> bool:
    """Return whether the tests pass on the solution, executed alone."""
    space: dict[str, Any] = {"__name__": "solution"}
    try:
        exec(solution, space)  # noqa: S102 - the standard library's own code, of pure modules
        exec(tests, space)  # noqa: S102
    except Exception:  # whatever an example raises, it does not hold, and the function is left out
        return False
    return True


def _write_problem(function: ast.FunctionDef, prose: str, examples: Sequence[doctest.Example]) -> str:
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    told = re.sub(r"\s*\n\s*\n\s*", "\n\n", prose).strip()
    shown = "".join(
        ">>> " + each.source.rstrip("\n").replace("\n", "\n... ") + "\n" + each.want for each in examples[:_SHOWN]
    )
    return f"Write `def {function.name}({ast.unparse(function.args)}){returns}`.\n\n{told}\n\n{shown.rstrip()}"
