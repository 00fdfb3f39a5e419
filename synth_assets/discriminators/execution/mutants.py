"""Wrong variants of a solution, one small change each, as tests that mean something must tell them apart.

Here: the operators, which places they apply to, and the choice among them. Not here: running the tests on a variant
(driver.py), what share must be caught (python_tests.py). Standard library only: this runs inside the sandbox, where
foreign code is parsed.

Source of the operators: the mutation operators of Offutt et al. (1996), "An experimental determination of sufficient
mutant operators", and their usual Python forms.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from types import CodeType

FILENAME = "<solution>"

_COMPARISONS: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: dict[type, tuple[type, ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Add, ast.FloorDiv),
    ast.Div: (ast.Mult, ast.FloorDiv),
    ast.FloorDiv: (ast.Div, ast.Mult),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.LShift: (ast.RShift,),
    ast.RShift: (ast.LShift,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.BitXor: (ast.BitAnd,),
}
_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
_MESSAGES = frozenset({"print", "debug", "info", "warning", "error", "exception", "log", "warn"})
_ENDS_BLOCK = (ast.Return, ast.Raise, ast.Break, ast.Continue)
_CAN_GO = (ast.Assign, ast.AugAssign, ast.Expr, ast.Delete)
_LEFT_ALONE = (ast.Raise, ast.Assert, ast.Import, ast.ImportFrom)  # wording of errors, not results
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_LONGEST_LINE = 160
_KNUTH = 2_654_435_761  # multiplicative hashing


class Mutant:
    """One variant: `code` to run, and for people the operator, the line, and the changed line before and after."""

    __slots__ = ("after", "before", "code", "line", "operator")

    def __init__(self, operator: str, line: int, code: CodeType, before: str, after: str) -> None:
        self.operator, self.line, self.code, self.before, self.after = operator, line, code, before, after


class _Change:
    """A node to put in the place of another: an attribute of its parent, or an element of a list there."""

    __slots__ = ("field", "index", "new", "operator", "owner", "statement")

    def __init__(
        self, operator: str, statement: ast.stmt, owner: ast.AST, field: str, new: object, index: int | None = None
    ) -> None:
        self.operator, self.statement, self.owner = operator, statement, owner
        self.field, self.index, self.new = field, index, new

    def swap(self) -> None:
        """Apply the change, or take it back when it is applied."""
        if self.index is None:
            old = getattr(self.owner, self.field)
            setattr(self.owner, self.field, self.new)
        else:
            nodes = getattr(self.owner, self.field)
            old = nodes[self.index]
            nodes[self.index] = self.new
        self.new = old


def make_mutants(tree: ast.Module, *, most: int) -> Iterator[Mutant]:
    """Yield at most `most` variants, the same every time, spread over operators first and lines second.

    A variant that compiles to what the solution or another variant compiles to is left out. Whenever a variant is
    yielded, `tree` is as it was before.
    """
    seen = {_essence(compile(tree, FILENAME, "exec"))}
    for change in _spread(list(_changes_of_block(tree, "body", function=None))):
        if len(seen) > most:
            return
        before = _show(change)
        change.swap()
        try:
            code = compile(ast.fix_missing_locations(tree), FILENAME, "exec")
            after = _show(change)
        except (SyntaxError, ValueError):  # a change that Python does not take, e.g. a literal pattern twice
            continue
        finally:
            change.swap()
        essence = _essence(code)
        if essence not in seen:
            seen.add(essence)
            yield Mutant(change.operator, change.statement.lineno, code, before, after)


def _spread(changes: list[_Change]) -> Iterator[_Change]:
    """Yield the changes so that every beginning has operators, then lines, as evenly as can be."""
    waiting: dict[str, list[tuple[int, int, _Change]]] = {}
    for position, change in enumerate(changes):
        order = position * _KNUTH % 2**32  # scattered over the source, the same every time
        waiting.setdefault(change.operator, []).append((order, change.statement.lineno, change))
    taken, lines = Counter(), Counter()
    while waiting:
        operator = min(waiting, key=lambda name: (taken[name], name))
        item = min(waiting[operator], key=lambda entry: (lines[entry[1]], entry[0]))
        waiting[operator].remove(item)
        if not waiting[operator]:
            del waiting[operator]
        taken[operator] += 1
        lines[item[1]] += 1
        yield item[2]


def _changes_of_block(owner: ast.AST, field: str, *, function: ast.stmt | None) -> Iterator[_Change]:
    """Yield the changes of a list of statements, up to where it cannot be reached any more."""
    block: list[ast.stmt] = getattr(owner, field)
    for index, statement in enumerate(block):
        if isinstance(statement, (*_FUNCTIONS, ast.ClassDef)):
            yield from _changes_of_definition(statement, function)
        elif not (_tells_people(statement) or _is_main_guard(statement)):
            yield from _changes_in_place(statement, owner, field, index, function)
            yield from _changes_inside(statement, function)
        if isinstance(statement, _ENDS_BLOCK):
            return


def _changes_of_definition(
    definition: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, function: ast.stmt | None
) -> Iterator[_Change]:
    if isinstance(definition, ast.ClassDef):
        yield from _changes_of_block(definition, "body", function=function)
        return
    yield from _changes_of_block(definition, "body", function=definition)
    for name in ("defaults", "kw_defaults"):
        yield from _changes_of_field(definition.args, name, definition)


def _changes_in_place(
    statement: ast.stmt, owner: ast.AST, field: str, index: int, function: ast.stmt | None
) -> Iterator[_Change]:
    """Yield the changes of a statement as a whole."""

    def replaced(operator: str, new: ast.stmt) -> _Change:
        return _Change(operator, statement, owner, field, ast.copy_location(new, statement), index)

    if isinstance(statement, _CAN_GO) and function is not None and not _binds_first(statement, function):
        yield replaced("delete_statement", ast.Pass())
    if isinstance(statement, ast.Return) and not _is_none(statement.value):
        yield _Change("return_none", statement, statement, "value", None)
    elif isinstance(statement, ast.Break):
        yield replaced("break_continue", ast.Continue())
    elif isinstance(statement, ast.Continue):
        yield replaced("break_continue", ast.Break())
    elif isinstance(statement, ast.AugAssign):
        for new in _ARITHMETIC.get(type(statement.op), ()):
            yield _Change("arithmetic", statement, statement, "op", new())
    elif isinstance(statement, (ast.If, ast.While)):
        yield _Change("negate_condition", statement, statement, "test", _negated(statement.test))
        if isinstance(statement, ast.If) and statement.orelse:
            yield replaced("swap_branches", ast.If(statement.test, statement.orelse, statement.body))


def _changes_inside(statement: ast.stmt, function: ast.stmt | None) -> Iterator[_Change]:
    """Yield the changes of a statement's expressions and blocks."""
    if isinstance(statement, _LEFT_ALONE):
        return
    for name, value in ast.iter_fields(statement):
        if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
            yield from _changes_of_block(statement, name, function=function)
        elif isinstance(value, list) and value and isinstance(value[0], (ast.ExceptHandler, ast.match_case)):
            for part in value:
                yield from _changes_of_block(part, "body", function=function)
        elif name != "annotation":
            yield from _changes_of_field(statement, name, statement)


def _changes_of_field(owner: ast.AST, field: str, statement: ast.stmt) -> Iterator[_Change]:
    """Yield the changes of the expression, or the list of expressions, that a field holds."""
    value = getattr(owner, field)
    for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
        if isinstance(node, ast.expr):
            for operator, new in _replacements(node):
                yield _Change(operator, statement, owner, field, ast.copy_location(new, node), index)
            yield from _changes_of_parts(node, statement)
        if isinstance(node, (ast.expr, ast.comprehension, ast.keyword)) and not isinstance(node, ast.JoinedStr):
            for name in node._fields:  # the pieces of a formatted string are wording more often than results
                yield from _changes_of_field(node, name, statement)


def _replacements(node: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """Yield operator and expression to put in the place of this one."""
    if isinstance(node, ast.Constant):
        for value in _other_constants(node.value):
            yield "constant", ast.Constant(value)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
        yield "unary", node.operand
    elif isinstance(node, ast.IfExp):
        yield "swap_branches", ast.IfExp(node.test, node.orelse, node.body)


def _changes_of_parts(node: ast.expr, statement: ast.stmt) -> Iterator[_Change]:
    """Yield the changes of an expression's own operator, bounds or called name."""
    if isinstance(node, ast.Compare):
        for position, operation in enumerate(node.ops):
            for new in _COMPARISONS[type(operation)]:
                yield _Change("comparison", statement, node, "ops", new(), position)
    elif isinstance(node, ast.BinOp) and not _is_text(node.left):
        for new in _ARITHMETIC.get(type(node.op), ()):
            yield _Change("arithmetic", statement, node, "op", new())
    elif isinstance(node, ast.BoolOp):
        yield _Change("boolean", statement, node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.Slice):
        for name, bound in (("lower", node.lower), ("upper", node.upper)):
            if bound is not None:
                yield _Change("slice", statement, node, name, _shifted(bound, ast.Add()))
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        yield from _changes_of_call(node, node.func, statement)


def _changes_of_call(node: ast.Call, called: ast.Name, statement: ast.stmt) -> Iterator[_Change]:
    if called.id in _CALLS:
        new = ast.copy_location(ast.Name(_CALLS[called.id], ast.Load()), called)
        yield _Change("call", statement, node, "func", new)
    elif called.id == "range" and node.args:
        end = min(len(node.args), 2) - 1
        for operation in (ast.Add(), ast.Sub()):
            yield _Change("range", statement, node, "args", _shifted(node.args[end], operation), end)


def _other_constants(value: object) -> tuple[bool | float | str, ...]:
    if isinstance(value, bool):
        return (not value,)
    if isinstance(value, (int, float)):
        return (value + 1, value - 1, *((0,) if value not in (-1, 0, 1) else ()))
    if isinstance(value, str):
        return ("",) if value else ("?",)
    return ()


def _negated(test: ast.expr) -> ast.expr:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return test.operand
    return ast.copy_location(ast.UnaryOp(ast.Not(), test), test)


def _shifted(node: ast.expr, operation: ast.operator) -> ast.expr:
    return ast.copy_location(ast.BinOp(node, operation, ast.Constant(1)), node)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)))


def _is_none(node: ast.expr | None) -> bool:
    return node is None or (isinstance(node, ast.Constant) and node.value is None)


def _tells_people(statement: ast.stmt) -> bool:
    """Return whether a statement is there for people (a docstring, a message) and changes no result."""
    if not isinstance(statement, ast.Expr):
        return False
    if not isinstance(statement.value, ast.Call):
        return isinstance(statement.value, ast.Constant)
    called = statement.value.func
    return (called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")) in _MESSAGES


def _is_main_guard(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.If):
        return False
    return any(isinstance(n, ast.Name) and n.id in ("__name__", "TYPE_CHECKING") for n in ast.walk(statement.test))


def _binds_first(statement: ast.stmt, function: ast.AST) -> bool:
    """Return whether this assignment is the first of a name: without it every call fails, which tells little."""
    if not isinstance(statement, ast.Assign):
        return False
    names = {node.id for target in statement.targets for node in ast.walk(target) if isinstance(node, ast.Name)}
    stored = [
        node.lineno
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in names
    ]
    is_plain = all(isinstance(target, (ast.Name, ast.Tuple)) for target in statement.targets)
    return is_plain and min(stored, default=0) >= statement.lineno


def _show(change: _Change) -> str:
    """Return the head of the changed statement as it reads now."""
    place = change.statement
    if change.index is not None and isinstance(getattr(change.owner, change.field)[change.index], ast.stmt):
        place = getattr(change.owner, change.field)[change.index]
    return ast.unparse(place).strip().splitlines()[0][:_LONGEST_LINE]


def _essence(code: CodeType) -> tuple[object, ...]:
    """Return what a code object does, without positions: equal essences behave alike."""
    constants = tuple(
        _essence(value) if isinstance(value, CodeType) else (type(value).__name__, repr(value))
        for value in code.co_consts
    )
    flags = (code.co_flags, code.co_argcount, code.co_kwonlyargcount)
    return (code.co_name, code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars, flags)
