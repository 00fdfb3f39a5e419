"""What the bundled functions promise: every row is read, every cell is filled, every solution passes its own tests."""

from __future__ import annotations

import ast
import doctest
import json
import re
import subprocess
import sys

import polars as pl
import pytest

from synth_assets.discriminators.execution.python_tests import PythonTests
from synth_assets.generation.planner import count_strata
from synth_assets.records import RELEASABLE, SPLITS, add_real_ids
from synth_assets.seeds.liabilities import audit_liabilities
from synth_assets.seeds.reading import Reading, read_seeds
from synth_assets.seeds.splits import split_seeds
from synth_assets.similarity import near_duplicate_pairs
from synth_assets.spec import DatasetSpec, load_spec
from synth_assets_tests.paths import PROJECT
from synth_assets_tests.sandboxes import needs_sandbox

FOLDER = PROJECT / "data" / "seeds" / "python_functions"
KEYS = ["problem", "solution", "tests", "topic", "difficulty", "license"]
GRADES = ["easy", "medium", "hard"]
PURE = {"bisect", "calendar", "collections", "collections.abc", "datetime", "fractions", "functools", "heapq"}
PURE |= {"itertools", "math", "re"}
RUN_ALL = """
import json, sys, time
faults = []
for name, solution, tests in json.load(sys.stdin):
    space, start = {"__name__": "solution"}, time.process_time()
    try:
        exec(solution, space)
        exec(tests, space)
    except BaseException as error:
        faults.append(f"{name}: {error!r}")
    if time.process_time() - start > 1:
        faults.append(f"{name}: slow")
print(json.dumps(faults))
"""


@pytest.fixture(scope="module")
def spec() -> DatasetSpec:
    return load_spec(FOLDER)


@pytest.fixture(scope="module")
def reading(spec: DatasetSpec) -> Reading:
    return read_seeds(spec, FOLDER)


@pytest.fixture(scope="module")
def own(reading: Reading) -> pl.DataFrame:
    """The functions that were written for this project."""
    return reading.rows.filter(source_file="functions.jsonl")


@pytest.fixture(scope="module")
def rows(own: pl.DataFrame) -> list[dict[str, str]]:
    return own.to_dicts()


def entry_of(row: dict[str, str]) -> ast.FunctionDef:
    """The one public function of a solution."""
    (entry,) = (
        node
        for node in ast.parse(row["solution"]).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    )
    return entry


def write_examples(problem: str) -> list[str]:
    """The examples at the end of a problem as asserts: a session (>>>), `call returns value`, or `call == value`."""
    if ">>> " in problem:
        examples = doctest.DocTestParser().get_examples(problem)
        return [f"assert repr({example.source.strip()}) == {example.want.strip()!r}" for example in examples]
    lines = problem.rpartition("\n\n")[2].splitlines()
    return [
        f"assert {line.strip().replace(' returns ', ' == ')}" for line in lines if re.search(r" returns | == ", line)
    ]


def run(solutions: list[tuple[str, str, str]]) -> list[str]:
    """Run (name, solution, tests), each in names of its own, in one bare process; return what went wrong."""
    command = [sys.executable, "-I", "-c", RUN_ALL]
    ran = subprocess.run(command, input=json.dumps(solutions), capture_output=True, text=True, check=True, timeout=120)
    return json.loads(ran.stdout)


def test_every_row_is_read(reading: Reading, own: pl.DataFrame) -> None:
    assert reading.rejected.is_empty()
    assert own.height >= 120
    assert sorted(reading.files["source_file"]) == ["functions.jsonl", "python:doctests"]
    assert set(reading.rows.filter(source_file="python:doctests")["license"]) == {"PSF-2.0"}


def test_every_cell_of_topic_and_grade_is_filled(own: pl.DataFrame) -> None:
    cells = own.group_by("topic", "difficulty").len()
    assert cells.height == cells["topic"].n_unique() * len(GRADES)
    assert 10 <= cells["topic"].n_unique() <= 14
    assert cells["len"].min() >= 4  # pyright: ignore[reportOptionalOperand, reportOperatorIssue]


def test_the_file_is_sorted_and_its_keys_stand_in_one_order() -> None:
    lines = [json.loads(line) for line in (FOLDER / "functions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(list(line) == KEYS for line in lines)
    places = [(line["topic"], GRADES.index(line["difficulty"])) for line in lines]
    assert places == sorted(places)


def test_every_solution_passes_its_tests_quickly_and_alone(rows: list[dict[str, str]]) -> None:
    assert run([(entry_of(row).name, row["solution"], row["tests"]) for row in rows]) == []


def test_every_row_fails_without_its_result(rows: list[dict[str, str]]) -> None:
    broken = []
    for row in rows:
        tree = ast.parse(row["solution"])
        entry = next(
            node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == entry_of(row).name
        )
        entry.body = [ast.Return(ast.Constant(None))]
        broken.append((entry.name, ast.unparse(ast.fix_missing_locations(tree)), row["tests"]))
    assert [fault.partition(":")[0] for fault in run(broken)] == [name for name, _, _ in broken]


def test_a_solution_is_one_documented_function_with_type_hints(rows: list[dict[str, str]]) -> None:
    for row in rows:
        entry = entry_of(row)
        assert ast.get_docstring(entry) and entry.returns is not None, entry.name
        assert all(each.annotation for each in (*entry.args.args, *entry.args.kwonlyargs)), entry.name
    names = [entry_of(row).name for row in rows]
    assert len(set(names)) == len(names)


def test_code_imports_only_modules_that_reach_nothing_outside(rows: list[dict[str, str]]) -> None:
    for row in rows:
        tree = ast.parse(row["solution"] + row["tests"])
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert imported <= PURE, (entry_of(row).name, imported - PURE)


def test_a_problem_names_its_function_with_its_signature(rows: list[dict[str, str]]) -> None:
    for row in rows:
        entry = entry_of(row)
        line = next(line for line in row["problem"].splitlines() if f"def {entry.name}(" in line)
        signature = re.sub(r"^(Write `|Signature: )|`\.$", "", line)
        (told,) = ast.parse(f"{signature}: ...").body
        assert isinstance(told, ast.FunctionDef) and told.returns and entry.returns
        assert ast.dump(told.args) == ast.dump(entry.args), entry.name
        assert ast.dump(told.returns) == ast.dump(entry.returns), entry.name


def test_the_examples_in_a_problem_hold(rows: list[dict[str, str]]) -> None:
    asserts = [write_examples(row["problem"]) for row in rows]
    assert all(1 <= len(each) <= 3 for each in asserts)
    shown = [(entry_of(row).name, row["solution"], "\n".join(each)) for row, each in zip(rows, asserts, strict=True)]
    assert run(shown) == []


def test_tests_call_the_function_in_six_asserts_or_more(rows: list[dict[str, str]]) -> None:
    for row in rows:
        name, nodes = entry_of(row).name, list(ast.walk(ast.parse(row["tests"])))
        assert sum(isinstance(node, ast.Assert) for node in nodes) >= 6, name
        assert any(isinstance(node, ast.Name) and node.id == name for node in nodes), name


@pytest.mark.parametrize("field", ["problem", "solution", "tests"])
def test_no_two_rows_are_near_duplicates(spec: DatasetSpec, own: pl.DataFrame, field: str) -> None:
    assert near_duplicate_pairs(own[field], threshold=spec.quality.near_duplicate_jaccard).is_empty()


def test_nothing_holds_a_row_back_and_all_splits_are_filled(spec: DatasetSpec, reading: Reading) -> None:
    rows = add_real_ids(reading.rows, spec)
    audit = audit_liabilities(rows, spec).rows
    assert audit["disposition"].unique().to_list() == [RELEASABLE]
    split = split_seeds(rows, audit, spec)
    assert split.rejected.is_empty()
    assert split.rows["split"].value_counts().filter(pl.col("count") >= 12)["split"].sort().to_list() == sorted(SPLITS)
    train = split.rows.filter(split="train", source_file="functions.jsonl").group_by("topic", "difficulty").len()
    assert train.filter(pl.col("len") >= spec.generation.exemplars).height == train.height == 12 * len(GRADES)
    assert count_strata(spec, split.rows).filter(pl.col("releasable") == 0).is_empty()


@needs_sandbox
def test_every_row_is_verified_in_the_sandbox_and_its_tests_catch_wrong_variants(
    spec: DatasetSpec, own: pl.DataFrame
) -> None:
    judged = PythonTests(spec).judge(add_real_ids(own, spec))
    assert judged["passed"].all()
    assert judged["score"].mean() >= 0.9  # pyright: ignore[reportOptionalOperand, reportOperatorIssue]
