"""Verdicts on code: what runs clean with tests that mean something passes, all else is rejected for its reason."""

from __future__ import annotations

import json

import pytest

from synth_assets.discriminators.execution.python_tests import MOST_CHARACTERS, PythonTests
from synth_assets.spec import VerificationSpec
from synth_assets_tests.sandboxes import code_spec, judge_code, needs_sandbox

CLAMP = (
    "def clamp(x, low, high):\n    if x < low:\n        return low\n    if x > high:\n        return high\n"
    "    return x\n"
)
GOOD_TESTS = "assert clamp(5, 1, 3) == 3\nassert clamp(0, 1, 3) == 1\nassert clamp(2, 1, 3) == 2\n"
WEAK_TESTS = "assert clamp(2, 1, 3) == 2\n"

PASSES = {
    "plain asserts": (CLAMP, GOOD_TESTS),
    "test functions": (CLAMP, "def test_it():\n    " + GOOD_TESTS.replace("\n", "\n    ")),
    "check function": (CLAMP, "def check(f):\n    assert f(5, 1, 3) == 3\n    assert f(0, 1, 3) == 1\ncheck(clamp)\n"),
    "table of cases": (CLAMP, "for x, y in [(5, 3), (0, 1), (2, 2)]:\n    assert clamp(x, 1, 3) == y, x\n"),
    "main guard of tests": (
        CLAMP,
        f"def main():\n    {GOOD_TESTS}if __name__ == '__main__':\n    main()\n".replace("\nassert", "\n    assert"),
    ),
    "import of the module": (CLAMP, "import solution\n" + GOOD_TESTS.replace("clamp", "solution.clamp")),
    "import by name": (CLAMP, f"from solution import clamp\n{GOOD_TESTS}"),
    "expected exception": (
        "def root(x):\n    if x < 0:\n        raise ValueError('negative')\n    return x ** 0.5\n",
        "assert root(4) == 2\nassert root(0) == 0\ntry:\n    root(-1)\nexcept ValueError as error:\n"
        "    assert 'negative' in str(error)\nelse:\n    assert False\n",
    ),
    "class": (
        "class Stack:\n    def __init__(self):\n        self.items = []\n    def push(self, x):\n"
        "        self.items.append(x)\n    def pop(self):\n        return self.items.pop()\n",
        "s = Stack()\ns.push(1)\ns.push(2)\nassert s.pop() == 2\nassert s.pop() == 1\nassert s.items == []\n",
    ),
    "dataclass and typing": (
        "from __future__ import annotations\nfrom dataclasses import dataclass, field\nfrom typing import NamedTuple\n"
        "from enum import Enum\nfrom collections import namedtuple\n"
        "P = namedtuple('P', 'x y')\nColor = Enum('Color', 'RED BLUE')\n"
        "class Q(NamedTuple):\n    x: int\n@dataclass(order=True)\nclass Item:\n    price: int\n"
        "    tags: list[str] = field(default_factory=list)\n"
        "def total(items):\n    return sum(i.price for i in items) + P(0, 0).x + Q(0).x + Color.RED.value - 1\n",
        "assert total([Item(1), Item(2)]) == 3\nassert total([]) == 0\nassert Item(1) < Item(2)\n",
    ),
    "library": (
        "import asyncio, json, logging, random, re, datetime, decimal, functools, traceback, math\n"
        "log = logging.getLogger(__name__)\n"
        "@functools.lru_cache\ndef words(text):\n    log.warning('reading %s', text)\n"
        "    return tuple(re.findall('[a-z]+', json.loads(json.dumps(text))))\n"
        "async def later(x):\n    await asyncio.sleep(0)\n    return x + 1\n"
        "def run(x):\n    return asyncio.run(later(x))\n"
        "def broken():\n    try:\n        1 / 0\n    except ZeroDivisionError:\n"
        "        return traceback.format_exc()\n",
        "assert words('a bc 1') == ('a', 'bc')\nassert words('') == ()\nassert run(1) == 2\nassert run(5) == 6\n"
        "assert 'ZeroDivisionError' in broken()\nassert broken().startswith('Traceback')\n",
    ),
    "files of its own": (
        "import os, tempfile\ndef copy(text):\n    with tempfile.TemporaryDirectory() as folder:\n"
        "        path = os.path.join(folder, 'x.txt')\n        with open(path, 'w') as f:\n            f.write(text)\n"
        "        return open(path).read()\n",
        "assert copy('hello') == 'hello'\nassert copy('') == ''\n",
    ),
    "main guard": (f"{CLAMP}\nif __name__ == '__main__':\n    import sys\n    sys.exit(main())\n", GOOD_TESTS),
    "output": (f"print('loaded')\n{CLAMP}", f"print('testing')\n{GOOD_TESTS}"),
    "names like those of os": (
        "class Hero:\n    def __init__(self):\n        self.system = 'solar'\n        self.alive = True\n"
        "    def kill(self):\n        self.alive = False\n        return self.system\n"
        "def fork(x):\n    h = Hero()\n    return [x, h.kill(), h.alive]\n",
        "assert fork(1) == [1, 'solar', False]\nassert Hero().alive is True\n",
    ),
    "honest comparison": (
        "class Money:\n    def __init__(self, x):\n        self.x = x\n    def __eq__(self, other):\n"
        "        return isinstance(other, Money) and self.x == other.x\n",
        "assert Money(1) == Money(1)\nassert Money(1) != Money(2)\nassert Money(1) != 1\n",
    ),
}

REJECTED = {
    "solution is no Python": (("def f(:", "assert f()"), "syntax_error", {"where": "solution", "line": 1}),
    "tests are no Python": ((CLAMP, "assert clamp(1, 1, 1 == 1"), "syntax_error", {"where": "tests", "line": 1}),
    "null byte": (("x = 1\0", "assert x"), "syntax_error", {"where": "solution"}),
    "return outside": (("return 1", "assert 1"), "syntax_error", {}),
    "deep brackets": (("(" * 50_000, "assert 1"), "syntax_error", {"where": "solution"}),
    "deep signs": (("-" * 50_000 + "1", "assert 1"), "syntax_error", {"where": "solution"}),
    "long chain": (("x = " + "+".join("1" * 40_000), "assert x"), "syntax_error", {"where": "solution"}),
    "nothing": ((None, None), "no_tests", {}),
    "no tests": ((CLAMP, ""), "no_tests", {"message": "the tests hold no assert"}),
    "no assert reached": ((CLAMP, "if clamp(1, 2, 3) == 7:\n    assert False\n"), "no_tests", {}),
    "asserts about nothing": ((CLAMP, "clamp(5, 1, 3)\nassert True\n"), "no_tests", {}),
    "asserts without the solution": ((CLAMP, "assert 1 + 1 == 2\n"), "no_tests", {}),
    "failing": (
        (CLAMP, "x = 5\nassert clamp(x, 1, 3) == 4, f'got {clamp(x, 1, 3)}\\n\\x1b[31m'\n"),
        "test_failed",
        {"line": 2, "in": "tests", "message": "got 3  [31m", "error": "AssertionError"},
    ),
    "raising": (
        ("def f(x):\n    return x[1]\n", "assert f([1]) == 1\n"),
        "error",
        {"line": 1, "in": "solution", "error": "IndexError", "source": "assert f([1]) == 1"},
    ),
    "missing module": (("import numpy\ndef f(): return 1\n", "assert f() == 1"), "error", {}),
    "slow": (("def f():\n    while True:\n        pass\n", "assert f()"), "timeout", {}),
    "large": (("def f():\n    return [0] * 10**10\n", "assert f()"), "memory", {}),
    "talkative": (("def f():\n    while True:\n        print('x' * 1000)\n", "assert f()"), "output_flood", {}),
    "leaving": (("def f():\n    raise SystemExit(0)\n", "assert f()"), "early_exit", {}),
    "frames": (("import sys\ndef f():\n    return sys._getframe().f_back\n", "assert f()"), "suspicious", {"line": 3}),
    "program around": (("import os\ndef f():\n    os._exit(0)\n", "assert f()"), "suspicious", {"line": 3}),
    "program around by name": (("from os import _exit\ndef f():\n    _exit(0)\n", "assert f()"), "suspicious", {}),
    "equal to all": (
        (
            "class Any:\n    def __eq__(self, other):\n        return True\ndef f(x):\n    return Any()\n",
            "assert f(1) == 2",
        ),
        "suspicious",
        {"line": 2},
    ),
    "equal to all in disguise": (
        (
            "def f(x):\n    return type('Any', (), {'__eq__': lambda self, other: not isinstance(other, set)})()\n",
            "assert f(1) == 2\nassert 'a' == f(2)",
        ),
        "suspicious",
        {"message": "a result is equal to whatever it is compared with"},
    ),
    "mock equal to all": (
        ("from unittest.mock import ANY\ndef f(x):\n    return ANY\n", "assert f(1) == 2"),
        "suspicious",
        {},
    ),
    "patched library": (
        (
            "import math\nmath.isclose = lambda *a: True\ndef f(x):\n    return 0\n",
            "import math\nassert math.isclose(f(1), 2)",
        ),
        "suspicious",
        {},
    ),
    "patched library in disguise": (
        (
            "import math\nvars(math)['isclose'] = lambda *a: True\ndef f(x):\n    return 0\n",
            "assert math.isclose(f(1), 2)",
        ),
        "no_tests",
        {},
    ),
    "weak": ((CLAMP, WEAK_TESTS), "weak_tests", {}),
    "too long": (("#" * (MOST_CHARACTERS + 1), "assert 1"), "too_long", {}),
}


@pytest.fixture(scope="module")
def verdicts() -> dict[str, dict]:
    pairs = {**PASSES, **{name: pair for name, (pair, _, _) in REJECTED.items()}}
    judged = judge_code(*pairs.values(), seconds=1, memory_mib=128, mutants=8, least_mutants_caught=0.6)
    return dict(zip(pairs, judged, strict=True))


@needs_sandbox
@pytest.mark.parametrize("name", PASSES)
def test_good_code_with_good_tests_passes(verdicts: dict[str, dict], name: str) -> None:
    verdict = verdicts[name]
    assert verdict["passed"], (verdict["reason"], verdict["evidence"])
    assert (verdict["reason"], verdict["evidence"], verdict["threshold"]) == ("", "", 0.6)
    assert 0.6 <= verdict["score"] <= 1


@needs_sandbox
@pytest.mark.parametrize("name", REJECTED)
def test_other_code_is_rejected_for_its_reason(verdicts: dict[str, dict], name: str) -> None:
    verdict, (_, reason, expected) = verdicts[name], REJECTED[name]
    evidence = json.loads(verdict["evidence"])
    assert (verdict["passed"], verdict["reason"]) == (False, reason), evidence
    assert expected.items() <= evidence.items(), evidence
    assert len(verdict["evidence"]) <= 2000 and verdict["evidence"].isprintable()


@needs_sandbox
def test_weak_tests_are_shown_a_wrong_solution_that_they_take_for_right() -> None:
    strong, weak = judge_code((CLAMP, GOOD_TESTS), (CLAMP, WEAK_TESTS), mutants=16, least_mutants_caught=0.6)
    assert strong["passed"] and strong["score"] >= 0.6
    assert not weak["passed"] and 0 < weak["score"] < 0.6
    evidence = json.loads(weak["evidence"])
    assert evidence["caught"] < evidence["mutants"] and weak["score"] == evidence["caught"] / evidence["mutants"]
    survivor = evidence["survived"]
    before, after = survivor["before"], survivor["after"]
    assert before in CLAMP.splitlines()[survivor["line"] - 1] and before != after
    wrong = CLAMP.replace(before, after, 1)
    assert judge_code((wrong, WEAK_TESTS), mutants=0)[0]["passed"]


@needs_sandbox
def test_without_mutants_running_clean_is_enough() -> None:
    verdict = judge_code((CLAMP, WEAK_TESTS), mutants=0)[0]
    assert verdict["passed"] and verdict["score"] == 1


@needs_sandbox
def test_a_mutant_that_never_ends_counts_as_caught_and_costs_little() -> None:
    loop = "def count(n):\n    k = 0\n    while k < n:\n        k += 1\n    return k\n"
    verdict = judge_code((loop, "assert count(3) == 3\nassert count(-1) == 0\n"), mutants=12, seconds=5)[0]
    assert verdict["passed"] and verdict["score"] == 1


@needs_sandbox
def test_a_run_finds_no_files_of_the_run_before() -> None:
    solution = (
        "import os\ndef write(text):\n    os.makedirs('a/b')\n    with open('a/b/c', 'x') as f:\n"
        "        f.write(text)\n"
        "    os.chmod('a', 0)\n    return len(text)\n"
    )
    verdict = judge_code((solution, "assert write('hello') == 5\n"), least_mutants_caught=0)[0]
    assert verdict["passed"] and verdict["score"] < 1  # other permissions make no difference, old files would


@needs_sandbox
def test_verdicts_repeat_where_order_and_chance_play_a_part() -> None:
    solution = (
        "import random\ndef draw(n):\n    return [random.random() for _ in range(n)], list({'a', 'b', 'c', 'd'})\n"
    )
    tests = (
        "import random\nassert len(draw(3)[0]) == 3\nassert hash('x') % 2 == int(draw(1)[0][0] * 0) + hash('x') % 2\n"
    )
    chance = "assert draw(1)[0][0] < 0.5 and draw(1)[1][0] < 'c'"
    first = judge_code(*[(solution, tests), (solution, chance)] * 3)
    assert len({json.dumps([v["reason"], v["score"], v["evidence"]]) for v in first[::2]}) == 1
    assert len({json.dumps([v["reason"], v["score"], v["evidence"]]) for v in first[1::2]}) == 1


@needs_sandbox
def test_an_empty_frame_gives_an_empty_one() -> None:
    assert judge_code() == []


def test_the_version_names_the_settings() -> None:
    versions = {PythonTests(code_spec(mutants=mutants)).version for mutants in (0, 0, 1)}
    assert len(versions) == 2
    assert PythonTests(code_spec()).name == "execution"
    assert VerificationSpec(kind="python", solution="s", tests="t").least_mutants_caught == 0.5
