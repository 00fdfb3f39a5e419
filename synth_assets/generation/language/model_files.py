"""Model folders: from a spec's `model` to the files on this disk, and the digest of its weights.

Here: finding a folder or a hub name's downloaded snapshot, hashing weights once, what a tokenizer's own files tell.
Not here: loading a model (vllm/engine.py), downloading one (vLLM does, by the hub's own rules and HF_HUB_OFFLINE).
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synth_assets.errors import EngineError
from synth_assets.records import digest_text
from synth_assets.spec import GenerationSpec
from synth_assets.store import hash_file, write_atomically

_HASHED = (
    *("*.safetensors", "*.bin", "*.gguf", "*.pt"),
    *("config.json", "adapter_config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "*.jinja"),
)
_HUB_NAME = re.compile(r"\w[\w.-]*/[\w.-]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ModelPlace:
    """Where a model is: `reference` is what vLLM takes, `name` what people read, `folder` None for a hub name."""

    reference: str
    name: str
    folder: Path | None


def find_model(generation: GenerationSpec, root: Path) -> ModelPlace:
    """Return the place of the spec's model; a relative folder counts from the project's root.

    EngineError where the name is a path without a model in it, or neither a folder nor a hub name.
    """
    model = generation.model or ""
    with suppress(RuntimeError):  # ~somebody who has no home here is no folder
        model = str(Path(model).expanduser())
    folder = root / model
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise EngineError(
                f"generation.model: {folder} holds no config.json, so it is no model folder; name the folder that "
                "has config.json, the weights (*.safetensors) and the tokenizer"
            )
        return ModelPlace(str(folder.resolve()), folder.resolve().name, folder.resolve())
    if not _HUB_NAME.fullmatch(generation.model or "") or model.startswith((".", "/", "~")):
        raise EngineError(
            f"generation.model: there is no model folder {folder}; give an existing folder or a hub name such as "
            "Qwen/Qwen3-0.6B"
        )
    return ModelPlace(model, model.rsplit("/", 1)[-1], None)


def find_adapter(generation: GenerationSpec, root: Path) -> Path | None:
    """Return the folder of the spec's LoRA adapter, which counts from the project's root; None where there is none.

    EngineError if no adapter is in it.
    """
    if generation.vllm.lora is None:
        return None
    folder = (root / Path(generation.vllm.lora).expanduser()).resolve()
    if not (folder / "adapter_config.json").is_file():
        raise EngineError(f"generation.vllm.lora: {folder} holds no adapter_config.json")
    return folder


def find_snapshot(place: ModelPlace, revision: str | None) -> Path | None:
    """Return the folder with the model's files: its own, or the hub snapshot that was downloaded; None if neither."""
    if place.folder is not None:
        return place.folder
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    try:
        found = try_to_load_from_cache(place.reference, "config.json", revision=revision)
    except ValueError:  # a name that no hub would take
        return None
    return Path(found).parent if isinstance(found, str) else None


def digest_weights(folder: Path) -> str:
    """Return 16 hex digits over the content of weights, config and tokenizer in a model's folder.

    A file is hashed once and remembered by path, size and time of change; a hub's blob is named by its own SHA-256.
    """
    files = sorted({path for pattern in _HASHED for path in folder.glob(pattern)})
    if not files:
        raise EngineError(f"{folder}: no weights (*.safetensors, *.bin) and no config.json; is it a model folder?")
    known = _Remembered(_cache_folder() / "weights.json")
    digests = [f"{path.name}={known.digest(path.resolve())}" for path in files]
    known.save()
    return digest_text(*digests, size=8)


def read_bos_text(folder: Path) -> str:
    """Return the text of the token that starts every prompt, empty where the tokenizer names none."""
    settings = _read_json(folder / "tokenizer_config.json")
    token = settings.get("bos_token")
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) else ""


def read_max_length(folder: Path) -> int | None:
    """Return the longest context the model was made for, in tokens; None where its config does not say."""
    config = _read_json(folder / "config.json")
    config = {**config, **(config.get("text_config") or {})}
    value = config.get("max_position_embeddings")
    return value if isinstance(value, int) else None


class _Remembered:
    """SHA-256 digests of large files by path, size and time of change; a cache that may be lost."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries = _read_json(path)
        self.changed = False

    def digest(self, path: Path) -> str:
        if _SHA256.fullmatch(path.name):
            return path.name
        stat = path.stat()
        key = f"{path}|{stat.st_size}|{stat.st_mtime_ns}"
        known = self.entries.get(key)
        if not (isinstance(known, str) and _SHA256.fullmatch(known)):
            known = self.entries[key] = hash_file(path)
            self.changed = True
        return known

    def save(self) -> None:
        if not self.changed:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, json.dumps(self.entries, indent=1))
        except OSError:  # the next run hashes again; nothing else depends on it
            return


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "synth-assets"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
