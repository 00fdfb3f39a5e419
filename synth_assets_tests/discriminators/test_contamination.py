"""Candidates that overlap a benchmark are rejected with the place of the item; unreadable benchmarks are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from synth_assets.discriminators.contamination import Contamination, read_benchmarks
from synth_assets.errors import SpecError
from synth_assets_tests.builders import text_spec

ITEMS = [
    "How many days does a parcel take from the harbor to the mountain hut in winter?",
    "Name the bird that sings at night in the old town.",
]
SHORT = "Which key opens the red door?"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "tests" / "exam"
    folder.mkdir(parents=True)
    rows = [{"turns": [{"role": "user", "content": text}], "label": "x"} for text in [*ITEMS, SHORT]]
    (folder / "items.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return tmp_path


def judge(root: Path, *texts: str | None, benchmarks: tuple[str, ...] = ("tests/exam",)) -> list[dict[str, Any]]:
    spec = text_spec(quality={"benchmarks": list(benchmarks)})
    frame = pl.DataFrame(
        {"example_id": [f"c{i}" for i in range(len(texts))], "text": texts}, schema_overrides={"text": pl.String}
    )
    judged = Contamination.build(spec, root).judge(frame)
    assert judged["example_id"].equals(frame["example_id"])
    return judged.to_dicts()


def test_a_shared_span_of_words_is_told_with_file_row_and_words(root: Path) -> None:
    verdict = judge(root, "Tell me: HOW many days does a parcel take from the river?")[0]
    assert (verdict["passed"], verdict["reason"], verdict["score"], verdict["threshold"]) == (
        False,
        "contaminated",
        9.0,
        8.0,
    )
    assert json.loads(verdict["evidence"]) == {
        "benchmark": "tests/exam: items.jsonl",
        "row": 1,
        "ngram": "how many days does a parcel take from the",
    }


def test_an_item_of_few_words_is_found_by_its_likeness(root: Path) -> None:
    verdict = judge(root, "which key opens the red door")[0]
    told = json.loads(verdict["evidence"])
    assert (verdict["reason"], told["row"], verdict["threshold"]) == ("contaminated", 3, 0.8)
    assert verdict["score"] == pytest.approx(told["jaccard"], abs=1e-3)


def test_other_texts_and_missing_ones_pass(root: Path) -> None:
    verdicts = judge(root, "My parcel is late by two days, where is it?", "x", None)
    assert [verdict["passed"] for verdict in verdicts] == [True, True, True]


@pytest.mark.parametrize("kind", ["csv", "parquet", "json", "txt"])
def test_every_kind_of_file_is_read(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"exam.{kind}"
    frame = pl.DataFrame({"id": [1, 2], "question": ITEMS})
    if kind == "csv":
        frame.write_csv(file)
    elif kind == "parquet":
        frame.write_parquet(file)
    else:
        file.write_text(json.dumps(frame.to_dicts()) if kind == "json" else "\n\n".join(ITEMS), encoding="utf-8")
    verdicts = judge(tmp_path, *ITEMS, "Something else altogether, please.", benchmarks=(file.name,))
    assert [verdict["passed"] for verdict in verdicts] == [False, False, True]
    assert json.loads(verdicts[1]["evidence"])["benchmark"] == file.name


def test_a_benchmarks_content_is_in_the_version(root: Path) -> None:
    spec = text_spec(quality={"benchmarks": ["tests/exam"]})
    one = Contamination.build(spec, root).version
    assert Contamination.build(spec, root).version == one
    (root / "tests" / "exam" / "more.txt").write_text("Who paints the lighthouse of the northern island?")
    assert Contamination.build(spec, root).version != one


BAD = {
    "missing.jsonl": None,
    "broken.jsonl": b'{"question": "unclosed',
    "deep.json": b"[" * 100_000,
    "binary.txt": b"\xff\xfe\x00\x01",
    "labels.csv": b"label\nyes\nno\n",
    "empty.jsonl": b"",
}


@pytest.mark.parametrize("name", BAD)
def test_a_benchmark_that_cannot_be_used_is_named(tmp_path: Path, name: str) -> None:
    if BAD[name] is not None:
        (tmp_path / name).write_bytes(BAD[name])
    with pytest.raises(SpecError, match=rf"quality\.benchmarks: {name}"):
        read_benchmarks([name], tmp_path)
