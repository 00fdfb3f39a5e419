"""Mutants: each operator makes what it should, nothing equal is made, and good tests tell nearly all apart."""

from __future__ import annotations

import ast
from collections import Counter

import pytest

from synth_assets.discriminators.execution.mutants import make_mutants
from synth_assets_tests.sandboxes import judge_code, needs_sandbox


def changed_lines(source: str, most: int = 200) -> dict[str, set[str]]:
    """Return the changed line of every mutant, by operator."""
    found: dict[str, set[str]] = {}
    for mutant in make_mutants(ast.parse(source), most=most):
        found.setdefault(mutant.operator, set()).add(mutant.after)
    return found


OPERATORS = {
    "comparison": ("def f(x):\n    return x < y", {"return x <= y", "return x >= y"}),
    "arithmetic": ("def f(x):\n    return x * y", {"return x + y", "return x // y"}),
    "boolean": ("def f(x):\n    return x and y", {"return x or y"}),
    "unary": ("def f(x):\n    return not x", {"return x"}),
    "negate_condition": ("def f(x):\n    while x:\n        g()", {"while not x:"}),
    "constant": ("def f(x):\n    return x + 7", {"return x + 8", "return x + 6", "return x + 0"}),
    "slice": ("def f(x):\n    return x[a:b]", {"return x[a + 1:b]", "return x[a:b + 1]"}),
    "range": ("def f(n):\n    return range(n)", {"return range(n + 1)", "return range(n - 1)"}),
    "call": ("def f(x):\n    return min(x)", {"return max(x)"}),
    "return_none": ("def f(x):\n    return x", {"return"}),
    "delete_statement": ("def f(x):\n    x.append(1)\n    return x", {"pass"}),
    "break_continue": ("def f(x):\n    for y in x:\n        break", {"continue"}),
    "swap_branches": ("def f(x):\n    return a if x else b", {"return b if x else a"}),
}


@pytest.mark.parametrize("operator", OPERATORS)
def test_an_operator_makes_its_variants(operator: str) -> None:
    source, expected = OPERATORS[operator]
    assert changed_lines(source)[operator] == expected


def test_texts_and_truth_are_constants_too() -> None:
    assert changed_lines("def f():\n    return 'a'")["constant"] == {"return ''"}
    assert changed_lines("def f():\n    return ''")["constant"] == {"return '?'"}
    assert changed_lines("def f():\n    return True")["constant"] == {"return False"}


@pytest.mark.parametrize(
    "source",
    [
        '"""Adds 1."""\nimport math\nfrom os import path',
        'def f(x: int = None) -> "int":\n    """Return 1."""',
        "def f(x):\n    raise ValueError(f'{x + 1} is above 10')",
        "def f(x):\n    print('found', 3)\n    pass",
        "def f(x):\n    raise KeyError\n    return 1",
        "if __name__ == '__main__':\n    print(1 + 1)",
    ],
)
def test_what_changes_no_result_is_left_alone(source: str) -> None:
    assert changed_lines(source) == {}


def test_variants_that_compile_to_the_same_are_made_once() -> None:
    mutants = make_mutants(
        ast.parse("def f(x):\n    if x > 1 + 1:\n        return 3\n    return x + (2 - 2)\n"), most=200
    )
    pairs = [(mutant.line, mutant.after) for mutant in mutants]
    assert len(pairs) == len(set(pairs))
    assert all(mutant.before != mutant.after for mutant in mutants)
    assert "return x + (2 - 2)" not in {mutant.after for mutant in mutants}


def test_a_few_are_spread_over_operators_and_lines_and_are_the_same_every_time() -> None:
    source = "def f(x, y):\n" + "".join(f"    if x > {n} and y == {n}:\n        return x + {n}\n" for n in range(3, 20))
    first, second = (list(make_mutants(ast.parse(source), most=12)) for _ in range(2))
    assert [(m.operator, m.line, m.after) for m in first] == [(m.operator, m.line, m.after) for m in second]
    assert len(first) == 12
    assert max(Counter(mutant.operator for mutant in first).values()) <= 2
    assert max(Counter(mutant.line for mutant in first).values()) <= 2


def test_the_tree_is_left_as_it_was() -> None:
    tree = ast.parse("def f(x):\n    if x < 3:\n        return x[1:2]\n    else:\n        return not x\n")
    before = ast.dump(tree)
    for _ in make_mutants(tree, most=200):
        assert ast.dump(tree) == before
    assert ast.dump(tree) == before


WELL_TESTED = {
    "binary search": (
        "def find(items, wanted):\n"
        "    low, high = 0, len(items)\n"
        "    while low < high:\n"
        "        middle = (low + high) // 2\n"
        "        if items[middle] < wanted:\n"
        "            low = middle + 1\n"
        "        else:\n"
        "            high = middle\n"
        "    return low if low < len(items) and items[low] == wanted else -1\n",
        "for size in range(7):\n"
        "    items = list(range(10, 10 + 2 * size, 2))\n"
        "    for place, item in enumerate(items):\n"
        "        assert find(items, item) == place\n"
        "        assert find(items, item + 1) == -1\n"
        "    assert find(items, 9) == -1\n"
        "assert find([5, 5, 5, 7], 5) == 0\n",
    ),
    "roman": (
        "VALUES = {'I': 1, 'V': 5, 'X': 10, 'L': 50}\n"
        "def roman(text):\n"
        "    total = 0\n"
        "    for here, after in zip(text, text[1:] + ' '):\n"
        "        value = VALUES[here]\n"
        "        if after != ' ' and VALUES[after] > value:\n"
        "            total -= value\n"
        "        else:\n"
        "            total += value\n"
        "    return total\n",
        "cases = {'I': 1, 'II': 2, 'IV': 4, 'V': 5, 'VI': 6, 'IX': 9, 'XIV': 14, 'XL': 40, 'LXXIX': 79, 'XXX': 30}\n"
        "for text, number in cases.items():\n    assert roman(text) == number\n"
        "assert roman('') == 0\n",
    ),
    "prime": (
        "def is_prime(n):\n"
        "    if n < 2:\n"
        "        return False\n"
        "    k = 2\n"
        "    while k * k <= n:\n"
        "        if n % k == 0:\n"
        "            return False\n"
        "        k += 1\n"
        "    return True\n",
        "assert [n for n in range(-2, 60) if is_prime(n)] == "
        "[2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59]\n"
        "assert is_prime(2) is True\nassert is_prime(49) is False\nassert is_prime(1) is False\n",
    ),
    "merge": (
        "def merge(a, b):\n"
        "    result, i, j = [], 0, 0\n"
        "    while i < len(a) and j < len(b):\n"
        "        if a[i] <= b[j]:\n"
        "            result.append(a[i])\n"
        "            i += 1\n"
        "        else:\n"
        "            result.append(b[j])\n"
        "            j += 1\n"
        "    return result + a[i:] + b[j:]\n",
        "assert merge([], []) == []\nassert merge([1], []) == [1]\nassert merge([], [2]) == [2]\n"
        "assert merge([1, 3, 5], [2, 4, 6]) == [1, 2, 3, 4, 5, 6]\nassert merge([4, 5], [1, 2]) == [1, 2, 4, 5]\n"
        "a, b = [1, True, 3], [1.0, 2]\nassert [type(x) for x in merge(a, b)] == [int, bool, float, int, int]\n",
    ),
}


@needs_sandbox
def test_good_tests_catch_nine_in_ten() -> None:
    verdicts = judge_code(*WELL_TESTED.values(), mutants=200, seconds=5)
    scores = {name: verdict["score"] for name, verdict in zip(WELL_TESTED, verdicts, strict=True)}
    assert all(verdict["passed"] for verdict in verdicts), verdicts
    assert sum(scores.values()) / len(scores) >= 0.9, scores
