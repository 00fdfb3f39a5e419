"""Words in a solution's source that have no place in one: ways to the tests, their frames, or the program around.

Here: the words, and the shapes of cheating that no run can show. Not here: what ends a run that tries anyway
(confinement.py), answers written for the tests (special_cases.py). Standard library only: this runs inside the sandbox.

A screen, not the wall: it names what was tried, and stops solutions that would teach a model to try it.
"""

from __future__ import annotations

import ast

_MODULES = """
__main__ _ctypes _thread _xxsubinterpreters atexit bdb builtins code ctypes faulthandler gc importlib inspect
multiprocessing pdb pty resource runpy signal socket subprocess sysconfig trace tracemalloc
"""
_ATTRIBUTES = """
_current_frames _getframe addaudithook ag_frame cr_frame f_back f_builtins f_globals f_locals get_objects get_referents
get_referrers gi_frame setprofile settrace tb_frame __builtins__ __closure__ __code__ __globals__ __subclasses__
__traceback__
"""
_FUNCTIONS = """
_exit abort execl execle execlp execv execve execvp fork forkpty kill killpg modules popen posix_spawn spawnl spawnv
startfile system
"""
_NAMES = ("__builtins__", "__import__", "breakpoint")
_EQUAL_TO_ALL = ("ANY", "Mock", "MagicMock")
_COMPARISONS = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__")

_REFUSED_MODULES, _REFUSED_ATTRIBUTES = frozenset(_MODULES.split()), frozenset(_ATTRIBUTES.split())
_REFUSED_FUNCTIONS = frozenset(_FUNCTIONS.split())  # of modules; others may well have such names


def find_suspicious(tree: ast.Module) -> dict:
    """Return {"line": …, "message": …} of the first thing that has no place in a solution, or {}."""
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
    for node in ast.walk(tree):
        message = _examine(node, imported)
        if message:
            return {"line": getattr(node, "lineno", None), "message": message}
    return {}


def _examine(node: ast.AST, imported: set[str]) -> str:
    """Return what is wrong with a node of the source by itself, or the empty string."""
    if isinstance(node, ast.Import):
        return next((f"imports {alias.name}" for alias in node.names if _is_refused(alias.name)), "")
    if isinstance(node, ast.ImportFrom):
        names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        return next((f"imports {name}" for name in names if _is_refused(name)), "")
    if isinstance(node, ast.Name) and node.id in _NAMES:
        return f"uses {node.id}"
    if isinstance(node, ast.Attribute):
        return _examine_attribute(node, imported)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("setattr", "delattr"):
        target = node.args[0] if node.args else None
        return f"changes the module {target.id}" if isinstance(target, ast.Name) and target.id in imported else ""
    if isinstance(node, ast.FunctionDef) and node.name in _COMPARISONS and _ignores_the_other(node):
        return f"{node.name} does not look at what it compares with"
    return ""


def _examine_attribute(node: ast.Attribute, imported: set[str]) -> str:
    if node.attr in _REFUSED_ATTRIBUTES:
        return f"uses .{node.attr}"
    if isinstance(node.value, ast.Name) and node.value.id in imported:
        if not isinstance(node.ctx, ast.Load):
            return f"changes the module {node.value.id}"
        if node.attr in _REFUSED_FUNCTIONS:
            return f"uses {node.value.id}.{node.attr}"
    return ""


def _is_refused(name: str) -> bool:
    parts = name.split(".")
    if parts[0] in _REFUSED_MODULES or (parts[0] == "unittest" and parts[-1] in _EQUAL_TO_ALL):
        return True
    return parts[-1] in _REFUSED_ATTRIBUTES or (len(parts) > 1 and parts[-1] in _REFUSED_FUNCTIONS)


def _ignores_the_other(method: ast.FunctionDef) -> bool:
    """Return whether a comparison answers without reading its second argument (NotImplemented may be)."""
    arguments = [argument.arg for argument in (*method.args.posonlyargs, *method.args.args)]
    if len(arguments) != 2:
        return False
    read = {node.id for node in ast.walk(method) if isinstance(node, ast.Name)}
    return arguments[1] not in read and "NotImplemented" not in read
