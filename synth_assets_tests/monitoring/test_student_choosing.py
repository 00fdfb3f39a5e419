"""Students by name: the suitable one, a named one, one of another package, and what cannot be used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from synth_assets.errors import SpecError
from synth_assets.monitoring.measures import Report
from synth_assets.monitoring.student import measure_student
from synth_assets.spec import DatasetSpec, StudentSpec
from synth_assets_tests.monitoring.samples import (
    CUSTOMERS,
    MESSAGES,
    find,
    make_customers,
    make_messages,
    make_spec,
    mark,
)

MODULE = '''
import numpy as np

from synth_assets.monitoring.student.protocol import Answers


class Parrot:
    """Answers everything with the class that one word stands for."""

    name, kinds, is_random = "parrot", ("class",), False

    def __init__(self, spec):
        self.field = spec.text_fields[0].name

    def answer(self, task, train, weights, test, seed):
        classes = np.unique(task.read_target(train))
        says = test[self.field].str.contains("password").to_numpy()
        scores = np.where(says[:, None], classes == "login", classes != "login")
        return Answers(scores.astype(float), classes)


def broken(spec):
    raise KeyError("no settings")


def nothing(spec):
    return object()
'''
POINTS = """[synth_assets.students]
parrot = aviary:Parrot
broken = aviary:broken
nothing = aviary:nothing
"""


@pytest.fixture
def aviary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install a small package: its module and the metadata that pip would write."""
    (tmp_path / "aviary.py").write_text(MODULE)
    info = tmp_path / "aviary-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: aviary\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("aviary", None)


def with_student(spec: DatasetSpec, **settings: Any) -> DatasetSpec:
    return spec.model_copy(update={"student": StudentSpec(**settings)})


def measure_messages(spec: DatasetSpec) -> Report:
    real, made = make_messages(60, 1), make_messages(60, 2)
    mix = pl.concat([mark(real, origin="real"), mark(made)])
    return measure_student(real, made, mix, make_messages(100, 9), spec, seeds=2)


@pytest.mark.parametrize("kind", ["support_vectors", "logistic", "forest"])
def test_a_named_student_is_taken(kind: str):
    row = find(measure_messages(with_student(MESSAGES, kind=kind)), "trtr_accuracy")
    assert row["note"].startswith(kind)
    assert row["value"] > 0.9


def test_a_student_of_chance_runs_anew_even_on_the_same_rows():
    report = measure_messages(with_student(MESSAGES, kind="forest"))
    assert find(report, "trtr_accuracy")["note"] == "forest, 2 runs"


def test_columns_take_whichever_does_better_on_real_rows():
    parts = [make_customers(150, seed) for seed in range(3)]
    report = measure_student(parts[0], parts[1], mark(parts[1]), parts[2], CUSTOMERS, seeds=1)
    assert find(report, "trtr_accuracy")["note"].split(",")[0] in ("logistic", "forest")


def test_a_boolean_target_is_a_class():
    spec = make_spec([{"name": "age", "type": "number"}, {"name": "left", "type": "boolean", "role": "target"}])
    parts = [make_customers(200, seed).with_columns(left=pl.col("age") > 45) for seed in range(3)]
    report = measure_student(parts[0], parts[1], mark(parts[1]), parts[2], spec, seeds=1)
    assert find(report, "trtr_accuracy")["value"] > 0.9


@pytest.mark.usefixtures("aviary")
def test_a_student_of_another_package_learns_by_its_name():
    row = find(measure_messages(with_student(MESSAGES, kind="parrot")), "trtr_accuracy")
    assert row["note"].startswith("parrot")
    assert 0.1 < row["value"] < 0.6  # it knows one topic of three


@pytest.mark.usefixtures("aviary")
@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("robin", r"no student 'robin'.*there are: .*forest.*parrot.*support_vectors.*transformer"),
        ("broken", r"'broken' could not be built: KeyError"),
        ("nothing", r"no student: name, kinds, is_random, answer is missing"),
        ("ridge", r"'ridge' learns number, this record sets a class task"),
    ],
)
def test_what_cannot_be_used_is_named(kind: str, told: str):
    with pytest.raises(SpecError, match=told):
        measure_messages(with_student(MESSAGES, kind=kind))


def test_a_transformer_needs_a_model_and_no_other_student_does():
    for wrong in ({"kind": "transformer"}, {"model": "some/model"}):
        with pytest.raises(ValueError, match="for kind: transformer and only there"):
            StudentSpec(**wrong)  # type: ignore[arg-type] - the values are strings
