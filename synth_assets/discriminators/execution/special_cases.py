"""Solutions that answer their tests instead of the question: `if n == 5: return 120`, a table of tested inputs.

Here: the fixed answers in a source, and when calls that the tests made are answered by them. Not here: who notes the
calls (stage.py). Standard library only: this runs inside the sandbox.

Honest functions have fixed answers too: base cases (0, 1, "", []), names of days, codes of states. So an answer counts
only for an input that is no usual base case; at least LEAST_ANSWERS different calls, more than half of all, must be
answered so; and most of the fixed answers must be for inputs that are tested. Where inputs are words, as in a table of
names, every call must be answered and every answer be tested, unless the results are only true and false.
"""

from __future__ import annotations

import ast
import itertools

LEAST_ANSWERS = 3
"""Different calls answered by fixed answers, below which nothing is said."""
LEAST_TESTED = 0.75
"""Share of the fixed answers that are for tested inputs."""

_SMALL = 2  # integers up to this size are base cases
_LONGEST_WORD = 20
_MOST_ALTERNATIVES = 64


class Answer:
    """A fixed answer: `inputs` are the constants (their repr) that an argument list must hold, `result` the repr."""

    __slots__ = ("inputs", "line", "result", "trivial", "words")

    def __init__(self, inputs: list[object], result: object, line: int) -> None:
        flat = [part for value in inputs for part in (value if type(value) is tuple else (value,))]
        self.inputs = frozenset(repr(value) for value in inputs) | frozenset(repr(value) for value in flat)
        self.result, self.line = repr(result), line
        self.trivial = all(_is_base_case(value) for value in flat)
        self.words = all(_is_word(value) for value in flat) and not isinstance(result, bool)


def find_answers(tree: ast.Module) -> list[Answer]:
    """Return the fixed answers of the source that are no base cases; none where there are too few to matter."""
    answers: list[Answer] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and len(node.body) == 1 and isinstance(node.body[0], ast.Return):
            answers += _answers_of_branch(node.test, node.body[0].value)
        elif isinstance(node, ast.IfExp):
            answers += _answers_of_branch(node.test, node.body)
        elif isinstance(node, ast.match_case) and len(node.body) == 1 and isinstance(node.body[0], ast.Return):
            answers += _answers_of_case(node.pattern, node.body[0].value)
        elif isinstance(node, ast.Dict):
            answers += _answers_of_table(node)
    told = [answer for answer in answers if not answer.trivial]
    return told if len(told) >= LEAST_ANSWERS else []


def answers_its_tests(answers: list[Answer], calls: list) -> dict:
    """Return evidence {"line", "message"} where the calls are answered by fixed answers, or {}.

    `calls`: [name, repr of the arguments, repr of the result] of every call that the tests made and took for right.
    """
    asked: dict[tuple[str, str], Answer | None] = {}
    tested: set[int] = set()
    for name, arguments, result in calls:
        values = _literal(arguments)
        if type(values) is not tuple or not values or all(_is_base_case(value) for value in values):
            continue
        given = {repr(value) for value in values if not _is_base_case(value)}
        everything = {repr(value) for value in values} | {repr(values)}
        found = None
        for position, answer in enumerate(answers):
            is_asked = repr(values) in answer.inputs or (given <= answer.inputs and answer.inputs & everything)
            if is_asked and answer.result == result:
                tested.add(position)
                found = answer
        asked[name, arguments] = found
    answered = [answer for answer in asked.values() if answer is not None]
    if len(answered) < LEAST_ANSWERS or len(answered) * 2 <= len(asked) or len(tested) < LEAST_TESTED * len(answers):
        return {}
    if all(answer.words for answer in answered) and (len(answered) < len(asked) or len(tested) < len(answers)):
        return {}
    lines = sorted({answer.line for answer in answered})
    return {"line": lines[0], "message": f"{len(answered)} of {len(asked)} tested inputs have a fixed answer"}


def _answers_of_branch(test: ast.expr, result: ast.expr | None) -> list[Answer]:
    value = _constant(result)
    if value is None:
        return []
    return [Answer(inputs, value[0], test.lineno) for inputs in _alternatives(test)]


def _alternatives(test: ast.expr) -> list[list[object]]:
    """Return the constants that a condition compares with: one list an alternative, one constant an argument."""
    if isinstance(test, ast.BoolOp):
        parts = [_alternatives(part) for part in test.values]
        if isinstance(test.op, ast.Or):
            return [inputs for part in parts for inputs in part]
        joined = itertools.islice(itertools.product(*parts), _MOST_ALTERNATIVES)
        return [[value for inputs in product for value in inputs] for product in joined]
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1):
        return []
    left, right, operation = test.left, test.comparators[0], test.ops[0]
    if isinstance(operation, (ast.Eq, ast.Is)):
        sides = [_constant(side) for side in (left, right)]
        known = [side for side in sides if side is not None]
        return [[known[0][0]]] if len(known) == 1 else []
    if isinstance(operation, ast.In) and isinstance(right, (ast.Tuple, ast.List, ast.Set)):
        options = [_constant(option) for option in right.elts]
        return [[option[0]] for option in options if option is not None]
    return []


def _answers_of_case(pattern: ast.pattern, result: ast.expr | None) -> list[Answer]:
    value = _constant(result)
    patterns = pattern.patterns if isinstance(pattern, ast.MatchOr) else [pattern]
    keys = [_constant(part.value) for part in patterns if isinstance(part, ast.MatchValue)]
    return [Answer([key[0]], value[0], pattern.lineno) for key in keys if key is not None and value is not None]


def _answers_of_table(table: ast.Dict) -> list[Answer]:
    pairs = [(_constant(key), _constant(value)) for key, value in zip(table.keys, table.values, strict=True)]
    return [Answer([key[0]], value[0], table.lineno) for key, value in pairs if key is not None and value is not None]


def _constant(node: ast.expr | None) -> tuple[object] | None:
    """Return the value that a literal stands for, in a tuple; None where it is no literal."""
    if node is None:
        return None
    try:
        return (ast.literal_eval(node),)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _is_base_case(value: object) -> bool:
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, (int, float)):
        return abs(value) <= _SMALL
    return len(value) < 2 if isinstance(value, (str, bytes)) else not value


def _is_word(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_WORD and value.replace(" ", "_").isidentifier()
