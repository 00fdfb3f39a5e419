"""The fine-tuned transformer, on a tiny network that is made here; skipped where torch is not installed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from synth_assets.errors import EngineError
from synth_assets.monitoring.student import measure_student
from synth_assets.monitoring.student.protocol import Task
from synth_assets.monitoring.student.transformer import TransformerStudent, find_model
from synth_assets.spec import StudentSpec
from synth_assets_tests.monitoring.samples import FILLERS, MESSAGES, TOPICS, find, make_messages, mark

TASK = Task("class", MESSAGES.field("topic"), (MESSAGES.field("text"),))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Save a BERT of two layers with random weights and a tokenizer of the sample's words; return its folder."""
    pytest.importorskip("torch", reason="the transformer student needs torch")
    transformers = pytest.importorskip("transformers", reason="the transformer student needs transformers")
    folder = tmp_path_factory.mktemp("tiny")
    words = sorted({*FILLERS.split(), *" ".join(TOPICS.values()).split()})
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]))
    tokenizer = transformers.BertTokenizerFast(vocab=str(folder / "vocab.txt"))
    transformers.set_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(words) + 5,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        initializer_range=0.3,  # as if it had been trained: words differ from the start
    )
    transformers.BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_it_learns_topics(tiny: str):
    student = TransformerStudent(tiny, epochs=6, learning_rate=3e-3)
    train, test = make_messages(400, 1), make_messages(100, 2)
    answers = student.answer(TASK, train, np.ones(train.height), test, seed=1)
    assert answers.classes is not None
    guesses = answers.classes[answers.values.argmax(axis=1)]
    assert (guesses == test["topic"].to_numpy()).mean() > 0.7


def test_the_same_seed_learns_the_same_and_rows_without_weight_teach_nothing(tiny: str):
    student = TransformerStudent(tiny, epochs=1, learning_rate=3e-3)
    train, test = make_messages(64, 1), make_messages(20, 2)
    half = np.repeat([1.0, 0.0], 32)
    wrong = train.with_columns(topic=pl.Series(["card"] * 64).zip_with(pl.Series(half == 0), train["topic"]))
    first, second, other = (
        student.answer(TASK, rows, half, test, seed=seed).values for rows, seed in ((train, 1), (wrong, 1), (train, 2))
    )
    np.testing.assert_allclose(first, second, atol=1e-5)
    assert np.abs(first - other).max() > 1e-3


def test_the_report_runs_it_by_name(tiny: str):
    settings = StudentSpec(kind="transformer", model=Path(tiny).name, epochs=1, synthetic_weight=0.5)
    spec = MESSAGES.model_copy(update={"student": settings})
    real, made = make_messages(60, 1), make_messages(60, 2)
    mix = pl.concat([mark(real, origin="real"), mark(made)])
    report = measure_student(real, made, mix, make_messages(40, 3), spec, seeds=2, root=Path(tiny).parent)
    assert find(report, "mix_weighted_accuracy")["note"] == "transformer, 2 runs"


def test_a_model_that_is_not_there_is_named(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    student = TransformerStudent(str(tmp_path / "none"), epochs=1)
    rows = make_messages(10, 1)
    with pytest.raises(EngineError, match=r"student\.model: .*none cannot be loaded"):
        student.answer(TASK, rows, np.ones(10), rows, seed=1)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    with pytest.raises(EngineError, match="pip install sentence-transformers"):
        find_model("some/model", tmp_path)
