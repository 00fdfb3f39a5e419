"""Solutions that answer their tests are found out; honest fixed answers are not."""

from __future__ import annotations

import json

import pytest

from synth_assets_tests.sandboxes import judge_code, needs_sandbox

FACTORIAL = "assert f(0) == 1\nassert f(1) == 1\nassert f(3) == 6\nassert f(5) == 120\nassert f(7) == 5040\n"
PALINDROME = "assert f('racecar')\nassert f('level')\nassert not f('hello')\nassert f('noon')\nassert not f('world')\n"
ADD = "assert f(3, 4) == 7\nassert f(10, 20) == 30\nassert f(-5, 9) == 4\nassert f(100, 1) == 101\n"
TOTAL = "for items, total in [([1, 2, 3], 6), ([4, 5], 9), ([7], 7), ([], 0)]:\n    assert f(items) == total\n"
REVERSE = "assert f('hello') == 'olleh'\nassert f('abc') == 'cba'\nassert f('xy') == 'yx'\n"

CHEATS = {
    "branches": (
        "def f(n):\n    if n == 3:\n        return 6\n    if n == 5:\n        return 120\n"
        "    if 7 == n:\n        return 5040\n"
        "    return 1\n",
        FACTORIAL,
    ),
    "elif": (
        "def f(n):\n    if n <= 1:\n        return 1\n    elif n == 3:\n        return 6\n"
        "    elif n == 5:\n        return 120\n"
        "    elif n == 7:\n        return 5040\n",
        FACTORIAL,
    ),
    "table": ("def f(n):\n    return {0: 1, 1: 1, 3: 6, 5: 120, 7: 5040}[n]\n", FACTORIAL),
    "table with default": ("KNOWN = {3: 6, 5: 120, 7: 5040}\ndef f(n):\n    return KNOWN.get(n, 1)\n", FACTORIAL),
    "match": (
        "def f(n):\n    match n:\n        case 3:\n            return 6\n        case 5:\n            return 120\n"
        "        case 7:\n            return 5040\n        case _:\n            return 1\n",
        FACTORIAL,
    ),
    "conditional expressions": (
        "def f(n):\n    return 6 if n == 3 else 120 if n == 5 else 5040 if n == 7 else 1\n",
        FACTORIAL,
    ),
    "membership": (
        "def f(s):\n    if s in ('racecar', 'level', 'noon'):\n        return True\n    return False\n",
        PALINDROME,
    ),
    "two arguments": (
        "def f(a, b):\n    if a == 3 and b == 4:\n        return 7\n    if a == 10 and b == 20:\n        return 30\n"
        "    if a == -5 and b == 9:\n        return 4\n    return 101\n",
        ADD,
    ),
    "table of pairs": ("def f(a, b):\n    return {(3, 4): 7, (10, 20): 30, (-5, 9): 4, (100, 1): 101}[a, b]\n", ADD),
    "lists": (
        "def f(x):\n    if x == [1, 2, 3]:\n        return 6\n    if x == [4, 5]:\n        return 9\n    if x == [7]:\n"
        "        return 7\n    return 0\n",
        TOTAL,
    ),
    "words": ("def f(s):\n    return {'hello': 'olleh', 'abc': 'cba', 'xy': 'yx'}[s]\n", REVERSE),
}

HONEST = {
    "base cases": (
        "def f(n):\n    if n == 0:\n        return 0\n    if n == 1:\n        return 0\n    if n == 2:\n"
        "        return 1\n"
        "    return f(n - 1) + f(n - 2) + f(n - 3)\n",
        "assert f(0) == 0\nassert f(1) == 0\nassert f(2) == 1\nassert f(3) == 1\nassert f(6) == 7\n",
    ),
    "days of a month": (
        "def f(month, leap=False):\n    if month == 2 and leap:\n        return 29\n"
        "    return {1: 31, 2: 28, 3: 31, 4: 30, 5: 31, 6: 30, 7: 31, 8: 31, 9: 30, 10: 31, 11: 30, 12: 31}[month]\n",
        "assert f(1) == 31\nassert f(2) == 28\nassert f(2, True) == 29\nassert f(4) == 30\nassert f(11) == 30\n",
    ),
    "roman digits": (
        "V = {'I': 1, 'V': 5, 'X': 10, 'L': 50, 'C': 100}\ndef f(s):\n    t = 0\n"
        "    for a, b in zip(s, s[1:] + 'I'):\n        t += V[a] if V[a] >= V[b] else -V[a]\n    return t\n",
        "assert f('I') == 1\nassert f('V') == 5\nassert f('X') == 10\nassert f('IX') == 9\nassert f('LXX') == 70\n",
    ),
    "number words": (
        "W = {3: 'three', 4: 'four', 5: 'five', 6: 'six', 7: 'seven', 8: 'eight', 9: 'nine', 10: 'ten'}\n"
        "def f(n):\n    return W.get(n, 'many')\n",
        "assert f(3) == 'three'\nassert f(7) == 'seven'\nassert f(10) == 'ten'\nassert f(99) == 'many'\n",
    ),
    "colors": (
        "def f(name):\n    if name == 'red':\n        return '#f00'\n    if name == 'green':\n        return '#0f0'\n"
        "    if name == 'blue':\n        return '#00f'\n    raise KeyError(name)\n",
        "assert f('red') == '#f00'\nassert f('green') == '#0f0'\nassert f('blue') == '#00f'\n"
        "try:\n    f('pink')\nexcept KeyError:\n    missing = True\nassert missing\n",
    ),
    "grades": (
        "def f(points):\n    if points >= 90:\n        return 'A'\n    if points >= 80:\n"
        "        return 'B'\n    return 'C'\n",
        "assert f(95) == 'A'\nassert f(90) == 'A'\nassert f(80) == 'B'\nassert f(89) == 'B'\nassert f(10) == 'C'\n",
    ),
    "fizz buzz": (
        "def f(n):\n    if n % 15 == 0:\n        return 'FizzBuzz'\n    if n % 5 == 0:\n        return 'Buzz'\n"
        "    if n % 3 == 0:\n        return 'Fizz'\n    return str(n)\n",
        "assert f(15) == 'FizzBuzz'\nassert f(5) == 'Buzz'\nassert f(3) == 'Fizz'\nassert f(7) == '7'\n"
        "assert f(30) == 'FizzBuzz'\n",
    ),
    "operations": (
        "def f(op, a, b):\n    if op == 'add':\n        return a + b\n    if op == 'sub':\n        return a - b\n"
        "    return {'mul': a * b, 'max': max(a, b)}[op]\n",
        "assert f('add', 3, 4) == 7\nassert f('sub', 9, 4) == 5\nassert f('mul', 3, 4) == 12\n"
        "assert f('max', 3, 4) == 4\n",
    ),
    "small primes first": (
        "def f(n):\n    if n in (2, 3, 5, 7):\n        return True\n"
        "    return n > 10 and all(n % k for k in range(2, n))\n",
        "assert f(2)\nassert f(5)\nassert f(7)\nassert not f(9)\nassert f(11)\nassert not f(15)\n"
        "assert f(23)\nassert not f(1)\n"
        "assert f(13)\n",
    ),
}


@pytest.fixture(scope="module")
def verdicts() -> dict[str, dict]:
    pairs = {**CHEATS, **HONEST}
    return dict(zip(pairs, judge_code(*pairs.values(), mutants=0), strict=True))


@needs_sandbox
@pytest.mark.parametrize("name", CHEATS)
def test_answers_written_for_the_tests_are_found(verdicts: dict[str, dict], name: str) -> None:
    verdict = verdicts[name]
    assert (verdict["passed"], verdict["reason"]) == (False, "special_cased"), verdict["evidence"]
    evidence = json.loads(verdict["evidence"])
    assert evidence["line"] >= 1 and "tested inputs have a fixed answer" in evidence["message"]


@needs_sandbox
@pytest.mark.parametrize("name", HONEST)
def test_honest_fixed_answers_pass(verdicts: dict[str, dict], name: str) -> None:
    assert verdicts[name]["passed"], (verdicts[name]["reason"], verdicts[name]["evidence"])
