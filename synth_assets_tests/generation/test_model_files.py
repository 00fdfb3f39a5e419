"""Model folders: found or told what is missing, and a digest that follows the content of the files alone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from synth_assets.errors import EngineError
from synth_assets.generation.language import model_files
from synth_assets.generation.language.model_files import (
    ModelPlace,
    digest_weights,
    find_model,
    find_snapshot,
    read_bos_text,
    read_max_length,
)
from synth_assets.spec import GenerationSpec

HEX = "0123456789abcdef"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where digests are remembered."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "synth-assets" / "weights.json"


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read to be hashed."""
    names: list[str] = []
    hash_file = model_files.hash_file

    def note(path: Path) -> str:
        names.append(path.name)
        return hash_file(path)

    monkeypatch.setattr(model_files, "hash_file", note)
    return names


def make_model(folder: Path, **files: str) -> Path:
    """Write a model folder; `files` by name, with _ in place of the last point."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"config_json": "{}", "model_safetensors": "weights", "tokenizer_json": "{}", **files}
    for name, text in content.items():
        (folder / ".".join(name.rsplit("_", 1))).write_text(text, encoding="utf-8")
    return folder


def find(model: str, root: Path) -> ModelPlace:
    return find_model(GenerationSpec(model=model), root)


# ---- finding


def test_a_relative_folder_counts_from_the_projects_root(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "data" / "models" / "gemma")
    place = find("data/models/gemma", tmp_path)
    assert place == ModelPlace(str(folder), "gemma", folder)


def test_an_absolute_folder_counts_from_nowhere(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "gemma")
    assert find(str(folder), tmp_path / "elsewhere").folder == folder


def test_a_folder_in_the_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = make_model(tmp_path / "models" / "gemma")
    assert find("~/models/gemma", tmp_path / "elsewhere").folder == folder


def test_a_link_is_named_after_where_it_leads(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "gemma-3")
    (tmp_path / "current").symlink_to(folder)
    assert find("current", tmp_path).name == "gemma-3"


def test_a_hub_name_is_left_to_the_hub(tmp_path: Path) -> None:
    assert find("Qwen/Qwen3-0.6B", tmp_path) == ModelPlace("Qwen/Qwen3-0.6B", "Qwen3-0.6B", None)


def test_a_folder_wins_over_a_hub_name(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "Qwen" / "Qwen3-0.6B")
    assert find("Qwen/Qwen3-0.6B", tmp_path).folder == folder


@pytest.mark.parametrize(
    "model",
    [
        "./gemma",
        "./org/gemma",
        "../gemma",
        "/nowhere/gemma",
        "~/gemma",
        "~nobody-has-this-name/gemma",
        "gemma",
        "a/b/c",
        "a b/c",
    ],
)
def test_what_is_neither_a_folder_nor_a_hub_name_is_told(tmp_path: Path, model: str) -> None:
    with pytest.raises(EngineError, match=r"generation\.model: there is no model folder .*hub name such as"):
        find(model, tmp_path)


def test_a_folder_without_a_config_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "gemma").mkdir()
    (tmp_path / "gemma" / "model.gguf").write_text("weights")
    with pytest.raises(EngineError, match=r"gemma holds no config\.json.*safetensors"):
        find("gemma", tmp_path)


def test_a_file_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "gemma").write_text("weights")
    with pytest.raises(EngineError, match="there is no model folder"):
        find("gemma", tmp_path)


def test_a_folders_snapshot_is_the_folder(tmp_path: Path) -> None:
    assert find_snapshot(ModelPlace("x", "x", tmp_path), None) == tmp_path


def test_a_hub_names_snapshot_is_what_was_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    place = ModelPlace("Qwen/Qwen3-0.6B", "Qwen3-0.6B", None)
    assert find_snapshot(place, None) is None
    home = tmp_path / "models--Qwen--Qwen3-0.6B"
    for commit, name in (("a" * 40, "main"), ("b" * 40, "v2")):
        make_model(home / "snapshots" / commit)
        (home / "refs").mkdir(exist_ok=True)
        (home / "refs" / name).write_text(commit)
    assert find_snapshot(place, None) == home / "snapshots" / ("a" * 40)
    assert find_snapshot(place, "v2") == home / "snapshots" / ("b" * 40)
    assert find_snapshot(place, "v3") is None


@pytest.mark.parametrize("name", ["org/a--b", "org/model.git", "-org/model", "org/model-"])
def test_a_name_that_the_hub_would_not_take_has_no_snapshot(name: str) -> None:
    pytest.importorskip("huggingface_hub")
    assert find_snapshot(ModelPlace(name, "model", None), None) is None


# ---- the digest


@pytest.mark.parametrize(
    "files",
    [
        {"model_safetensors": "WEIGHTS"},
        {"model_safetensors": "longer weights"},
        {"model-00002_safetensors": "more"},
        {"config_json": '{"a":1}'},
        {"tokenizer_json": '{"a":1}'},
        {"tokenizer_model": "x"},
        {"model_gguf": "x"},
        {"tokenizer_config_json": '{"chat_template":"{{ messages }}"}'},
        {"chat_template_jinja": "{{ messages }}"},
        {"adapter_config_json": '{"lora_alpha":32}'},
    ],
    ids=lambda files: next(iter(files)),
)
def test_the_digest_changes_with_what_makes_the_answers(tmp_path: Path, files: dict[str, str]) -> None:
    before = digest_weights(make_model(tmp_path / "gemma"))
    assert len(before) == 16
    assert digest_weights(make_model(tmp_path / "other", **files)) != before


def test_the_digest_does_not_change_with_the_folder_its_readme_or_its_times(tmp_path: Path) -> None:
    before = digest_weights(make_model(tmp_path / "gemma"))
    other = make_model(tmp_path / "other", README_md="changed")
    os.utime(other / "model.safetensors", (1, 1))
    assert digest_weights(other) == before


def test_two_files_that_change_names_change_the_digest(tmp_path: Path) -> None:
    one = make_model(tmp_path / "one", a_safetensors="1", b_safetensors="2")
    two = make_model(tmp_path / "two", a_safetensors="2", b_safetensors="1")
    assert digest_weights(one) != digest_weights(two)


def test_a_folder_without_files_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no weights"):
        digest_weights(tmp_path)


def test_a_file_is_read_once(tmp_path: Path, hashed: list[str]) -> None:
    folder = make_model(tmp_path / "gemma")
    first = digest_weights(folder)
    assert sorted(hashed) == ["config.json", "model.safetensors", "tokenizer.json"]
    assert digest_weights(folder) == first
    assert len(hashed) == 3


def test_a_file_that_changed_is_read_again_and_no_other(tmp_path: Path, hashed: list[str]) -> None:
    folder = make_model(tmp_path / "gemma")
    first = digest_weights(folder)
    hashed.clear()
    (folder / "model.safetensors").write_text("WEIGHTS")
    os.utime(folder / "model.safetensors", (5, 5))
    assert digest_weights(folder) != first
    assert hashed == ["model.safetensors"]


def test_a_file_that_was_only_touched_is_read_again_and_counts_as_the_same(tmp_path: Path, hashed: list[str]) -> None:
    folder = make_model(tmp_path / "gemma")
    first = digest_weights(folder)
    hashed.clear()
    os.utime(folder / "model.safetensors", (5, 5))
    assert digest_weights(folder) == first
    assert hashed == ["model.safetensors"]


def test_a_blob_of_the_hub_is_named_by_its_digest_and_never_read(tmp_path: Path, hashed: list[str]) -> None:
    blob = tmp_path / "blobs" / (HEX * 4)
    blob.parent.mkdir()
    blob.write_text("weights")
    folder = make_model(tmp_path / "snapshot")
    plain = digest_weights(folder)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(blob)
    hashed.clear()
    assert digest_weights(folder) != plain
    assert hashed == []


def spoil(change: Callable[[dict[str, str]], object]) -> Callable[[Path], None]:
    return lambda path: path.write_text(json.dumps(change(json.loads(path.read_text()))))


@pytest.mark.parametrize(
    "spoil_cache",
    [
        lambda path: path.write_text(""),
        lambda path: path.write_text('{"a": "b'),
        lambda path: path.write_bytes(b"\xff\xfe\x00"),
        lambda path: path.write_text("[1, 2]"),
        lambda path: path.unlink(),
        spoil(lambda entries: dict.fromkeys(entries, None)),
        spoil(lambda entries: {key: ["x"] for key in entries}),
        spoil(lambda entries: {key: value[:10] for key, value in entries.items()}),
    ],
    ids=["empty", "cut off", "binary", "a list", "gone", "nulls", "lists", "short values"],
)
def test_a_cache_that_was_spoiled_does_not_change_a_digest(
    tmp_path: Path, cache: Path, spoil_cache: Callable[[Path], None]
) -> None:
    folder = make_model(tmp_path / "gemma")
    first = digest_weights(folder)
    spoil_cache(cache)
    assert digest_weights(folder) == first


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    folder = make_model(tmp_path / "gemma")
    first = digest_weights(folder)
    cache.unlink()

    def refuse(path: Path, text: str) -> None:
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr(model_files, "write_atomically", refuse)
    assert digest_weights(folder) == first
    assert not cache.exists()


def test_a_cache_folder_that_cannot_be_made_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    folder = make_model(tmp_path / "gemma")
    first = digest_weights(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert digest_weights(folder) == first


def test_the_cache_lies_in_the_home_where_nothing_else_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    digest_weights(make_model(tmp_path / "gemma"))
    assert (tmp_path / "home" / ".cache" / "synth-assets" / "weights.json").is_file()


# ---- what a model's own files tell


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ('{"bos_token": "<bos>"}', "<bos>"),
        ('{"bos_token": {"content": "<s>", "lstrip": false}}', "<s>"),
        ('{"bos_token": null}', ""),
        ('{"bos_token": {"id": 1}}', ""),
        ("{}", ""),
        ("not JSON", ""),
        ("[]", ""),
    ],
)
def test_the_token_that_starts_a_prompt(tmp_path: Path, settings: str, text: str) -> None:
    assert read_bos_text(make_model(tmp_path / "gemma", tokenizer_config_json=settings)) == text


def test_without_the_tokenizers_settings_no_token_starts_a_prompt(tmp_path: Path) -> None:
    assert read_bos_text(tmp_path) == ""


@pytest.mark.parametrize(
    ("config", "length"),
    [
        ('{"max_position_embeddings": 32768}', 32_768),
        ('{"text_config": {"max_position_embeddings": 8192}}', 8192),
        ('{"max_position_embeddings": 10, "text_config": {"max_position_embeddings": 8192}}', 8192),
        ('{"max_position_embeddings": 10, "text_config": null}', 10),
        ('{"max_position_embeddings": "long"}', None),
        ("{}", None),
        ("not JSON", None),
    ],
)
def test_the_longest_context_of_a_model(tmp_path: Path, config: str, length: int | None) -> None:
    assert read_max_length(make_model(tmp_path / "gemma", config_json=config)) == length
