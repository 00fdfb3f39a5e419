"""What Python's own doctest functions promise as seeds: they run alone, their examples hold, they reach nothing."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from synth_assets.errors import SeedError
from synth_assets.seeds import bundled
from synth_assets.seeds.bundled import DOCTEST_COLUMNS, DOCTESTS, Bundle, identify_bundle, load_bundle
from synth_assets.seeds.reading import Reading, fingerprint, list_seed_files, read_seeds
from synth_assets.spec import DatasetSpec, parse_spec

FIELDS = [
    {"name": "problem", "type": "text"},
    {"name": "solution", "type": "code", "role": "target", "max_length": 8000},
    {"name": "tests", "type": "code", "role": "context"},
    {"name": "topic", "type": "category", "role": "context"},
]
RUN_ALL = """
import json, sys
for solution, tests in json.load(sys.stdin):
    space = {"__name__": "solution"}
    exec(solution, space)
    exec(tests, space)
print("all passed")
"""


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle(DOCTESTS)


def rows_of(bundle: Bundle) -> list[dict[str, str]]:
    return pl.DataFrame(bundle.columns).to_dicts()


def row_of(bundle: Bundle, function: str) -> dict[str, str]:
    return next(row for row in rows_of(bundle) if row["function"] == function)


def doctests_spec(**source: Any) -> DatasetSpec:
    """A data set of the bundled functions, whether or not dataset.yaml may name them yet."""
    rights = {"license": "Apache-2.0", "license_field": "license", "consent": {"basis": "not_personal"}}
    spec = parse_spec({"name": "demo", "fields": FIELDS, "source": {**rights, **source}}, where="test")
    return spec.model_copy(update={"source": spec.source.model_copy(update={"uri": DOCTESTS})})


def harvest(folder: Path, **modules: str) -> list[dict[str, str]]:
    """The functions found in a library of these modules; their names are those of real ones, as others are not read."""
    for name, source in modules.items():
        (folder / f"{name}.py").write_text(source)
    return rows_of(bundled._load_doctests(folder))


def refuse(folder: Path, source: str) -> None:
    with pytest.raises(SeedError, match="none with examples"):
        harvest(folder, textwrap=source)


# ---- this Python's functions


def test_about_twenty_functions_of_several_modules_are_found(bundle: Bundle) -> None:
    assert 12 <= bundle.height <= 40
    assert len(set(bundle.columns["module"])) >= 4
    assert {"statistics", "heapq"} <= set(bundle.columns["module"])


def test_columns_are_complete_and_say_where_the_code_is_from(bundle: Bundle) -> None:
    assert tuple(bundle.columns) == DOCTEST_COLUMNS
    assert all(isinstance(value, str) and value for values in bundle.columns.values() for value in values)
    assert set(bundle.columns["license"]) == {"PSF-2.0"}
    assert set(bundle.columns["topic"]) == {"standard_library"}
    assert set(bundle.columns["python_version"]) == {platform.python_version()}
    assert set(bundle.columns["difficulty"]) <= {"easy", "medium", "hard"}


def test_every_function_is_one_that_its_module_has(bundle: Bundle) -> None:
    for row in rows_of(bundle):
        real = getattr(importlib.import_module(row["module"]), row["function"])
        assert inspect.isfunction(real) or inspect.isbuiltin(real)
        assert not row["function"].startswith("_")
        assert row["problem"].startswith(f"Write `def {row['function']}(")


def test_every_solution_passes_its_tests_alone_in_another_python(bundle: Bundle) -> None:
    pairs = [[row["solution"], row["tests"]] for row in rows_of(bundle)]
    command = [sys.executable, "-I", "-c", RUN_ALL]
    ran = subprocess.run(command, input=json.dumps(pairs), capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.strip()) == (0, "all passed"), ran.stderr


def test_a_solution_imports_nothing_that_reaches_outside(bundle: Bundle) -> None:
    outside = {"os", "sys", "io", "random", "time", "socket", "subprocess", "pathlib", "threading"}
    for row in rows_of(bundle):
        tree = ast.parse(row["solution"] + row["tests"])
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
        assert not imported & outside, row["function"]


def test_the_tests_are_the_documented_examples(bundle: Bundle) -> None:
    row = row_of(bundle, "multimode")
    module = importlib.import_module("statistics")
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(module.multimode) or "")
    asserted = [node for node in ast.parse(row["tests"]).body if isinstance(node, ast.Assert)]
    assert [ast.unparse(node.test) for node in asserted] == [
        f"{ast.unparse(ast.parse(example.source))} == {ast.literal_eval(example.want)!r}" for example in examples
    ]


def test_a_solution_comes_with_the_definitions_that_it_needs(bundle: Bundle) -> None:
    statements = ast.parse(row_of(bundle, "mean")["solution"]).body
    defined = {node.name for node in statements if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    assert {"mean", "StatisticsError"} < defined


def test_two_loads_are_equal_and_the_order_is_by_module_and_name(bundle: Bundle) -> None:
    bundled._load_doctests.cache_clear()
    again = load_bundle(DOCTESTS)
    assert (again.columns, again.sha256, again.size) == (bundle.columns, bundle.sha256, bundle.size)
    places = list(zip(bundle.columns["module"], bundle.columns["function"], strict=True))
    assert len(set(places)) == len(places)
    assert [module for module, _ in places] == sorted(bundle.columns["module"])


def test_the_digest_tells_versions_of_python_apart(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    before = identify_bundle(DOCTESTS)
    monkeypatch.setattr(platform, "python_version", lambda: "3.99.0")
    bundled._load_doctests.cache_clear()
    try:
        assert load_bundle(DOCTESTS).sha256 != bundle.sha256
        assert identify_bundle(DOCTESTS) != before
        assert identify_bundle("sklearn:iris") == "sklearn:iris"
    finally:
        bundled._load_doctests.cache_clear()


# ---- what is taken and what is left out


def test_examples_become_asserts_with_their_errors_and_statements(tmp_path: Path) -> None:
    source = '''
from fractions import Fraction
LIMIT = 3

def half(number):
    """Halve it.

    >>> half(4)
    2.0
    >>> value = Fraction(1, 3)
    >>> half(value)
    Fraction(1, 6)
    >>> half(99)
    Traceback (most recent call last):
      ...
    ValueError: too large

    Any number up to a limit.
    """
    if number > 10 * LIMIT:
        raise ValueError("too large")
    return number / 2
'''
    (row,) = harvest(tmp_path, textwrap=source)
    assert row["tests"] == (
        "assert half(4) == 2.0\n"
        "value = Fraction(1, 3)\n"
        "assert repr(half(value)) == 'Fraction(1, 6)'\n"
        "try:\n    half(99)\nexcept ValueError:\n    pass\n"
        'else:\n    assert False, "ValueError is expected"\n'
    )
    assert row["solution"].startswith("from fractions import Fraction\n\n\nLIMIT = 3\n\n\ndef half(number):")
    assert row["problem"].startswith(
        "Write `def half(number)`.\n\nHalve it.\n\nAny number up to a limit.\n\n>>> half(4)\n2.0\n>>> value ="
    )
    assert row["difficulty"] == "easy"


def test_a_function_whose_examples_do_not_hold_is_left_out(tmp_path: Path) -> None:
    refuse(
        tmp_path,
        'def add(a, b):\n    """\n    >>> add(1, 2)\n    3\n    >>> add(1, 1)\n    3\n    """\n    return a + b\n',
    )


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("import os", "return len(os.sep) and number"),
        ("", "import socket\n    return number"),
        ("", "return number if open else 0"),
        ("from . import wrap", "return wrap and number"),
        ("try:\n    from math import floor\nexcept ImportError:\n    floor = int", "return floor(number)"),
    ],
)
def test_a_function_that_does_not_stand_alone_is_left_out(tmp_path: Path, head: str, body: str) -> None:
    examples = '"""\n    >>> same(1)\n    1\n    >>> same(2)\n    2\n    """'
    refuse(tmp_path, f"{head}\n\ndef same(number):\n    {examples}\n    {body}\n")


def test_printed_and_shortened_output_is_no_test(tmp_path: Path) -> None:
    examples = '"""\n    >>> print(same(1))\n    1\n    >>> same([1, 2])\n    [1, ...]\n    """'
    refuse(tmp_path, f"def same(x):\n    {examples}\n    return x\n")


def test_private_functions_and_test_modules_are_not_read(tmp_path: Path) -> None:
    source = 'def {}(x):\n    """\n    >>> {}(1)\n    1\n    >>> {}(2)\n    2\n    """\n    return x\n'
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "bisect.py").write_text(source.replace("{}", "same"))
    (tmp_path / "mine.py").write_text(source.replace("{}", "same"))
    refuse(tmp_path, source.replace("{}", "_same"))


def test_a_python_without_source_files_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled.sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(SeedError, match=rf"python:doctests.*standard library.*{tmp_path.name}"):
        load_bundle(DOCTESTS)


# ---- read as seeds


def only(reading: Reading, name: str) -> dict[str, Any]:
    return reading.files.filter(pl.col("source_file") == name).row(0, named=True)


def test_the_functions_are_read_as_seeds_under_their_own_license(bundle: Bundle, tmp_path: Path) -> None:
    reading = read_seeds(doctests_spec(), tmp_path)
    assert reading.rejected.is_empty()
    assert reading.rows["solution"].to_list() == bundle.columns["solution"]
    assert reading.rows["license"].unique().to_list() == ["PSF-2.0"]
    assert only(reading, DOCTESTS)["sha256"] == bundle.sha256


def test_they_may_stand_beside_files_that_are_named(bundle: Bundle, tmp_path: Path) -> None:
    own = {"problem": "p", "solution": "s", "tests": "t", "topic": "own", "license": "Apache-2.0"}
    (tmp_path / "own.jsonl").write_text(json.dumps(own) + "\n")
    (tmp_path / "other.jsonl").write_text(json.dumps(own) + "\n")
    spec = doctests_spec(files=["own.jsonl"])
    reading = read_seeds(spec, tmp_path)
    assert reading.files["source_file"].to_list() == [DOCTESTS, "own.jsonl"]
    assert reading.rows.height == bundle.height + 1
    assert reading.rows.filter(topic="own")["license"].to_list() == ["Apache-2.0"]
    assert [path.name for path in list_seed_files(spec, tmp_path)] == ["own.jsonl"]
    assert list_seed_files(doctests_spec(), tmp_path) == []


def test_the_fingerprint_changes_with_the_version_of_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint(doctests_spec(), tmp_path)
    assert fingerprint(doctests_spec(), tmp_path) == before
    monkeypatch.setattr(platform, "python_version", lambda: "3.99.0")
    assert fingerprint(doctests_spec(), tmp_path) != before
