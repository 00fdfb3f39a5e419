"""The watermark's secret key: from the file or variable that a spec names to sub-keys, and on to vLLM's processes.

Here: reading and checking the key, its publishable id, the environment by which another process finds it, the name of
the logits processor. Not here: any mark made with the key (green_list.py, rows.py).
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from synth_assets.errors import EngineError
from synth_assets.spec import WatermarkSpec

LANGUAGE = "language"
ROWS = "rows"
MIN_CHARACTERS = 16

KEY_VARIABLE = "SYNTH_WATERMARK_KEY"
"""The variable that holds the key itself where nothing else is said."""
KEY_FILE_VARIABLE = "SYNTH_WATERMARK_KEY_FILE"
KEY_ENV_VARIABLE = "SYNTH_WATERMARK_KEY_ENV"
GAMMA_VARIABLE = "SYNTH_WATERMARK_GAMMA"
DELTA_VARIABLE = "SYNTH_WATERMARK_DELTA"

_MAX_FILE_BYTES = 65_536
_ITERATIONS = 200_000  # a guess at a weak key costs a tenth of a second, so its id can be published
_SALT = b"synth-assets watermark key 1"
_HOW = 'python -c "import secrets; print(secrets.token_hex(32))" makes one'


@dataclass(frozen=True)
class Key:
    """A watermark key. `secret` is never shown; `key_id` (16 hex digits) tells keys apart and may be published."""

    secret: bytes = field(repr=False)
    key_id: str

    @classmethod
    def from_text(cls, text: str) -> Key:
        """Return the key of a secret text: stretched by PBKDF2-HMAC-SHA256 (RFC 8018), its id a hash of the result."""
        secret = hashlib.pbkdf2_hmac("sha256", text.strip().encode(), _SALT, _ITERATIONS)
        return cls(secret, hmac.digest(secret, b"id", "sha256").hex()[:16])

    def derive(self, purpose: str, size: int = 32) -> bytes:
        """Return the sub-key of a purpose: the first `size` (at most 32) bytes of HMAC-SHA256."""
        return hmac.digest(self.secret, f"purpose:{purpose}".encode(), "sha256")[:size]


@dataclass(frozen=True)
class ExportedMark:
    """What a vLLM process finds in its environment: the key, and gamma and delta of requests that name none."""

    key: Key
    gamma: float
    delta: float


def load_key(watermark: WatermarkSpec, root: Path, environment: Mapping[str, str] | None = None) -> Key:
    """Return the key that a spec names; `root`: the project's folder. key_file wins over key_env.

    EngineError, which never shows the key, where the file leaves the project (an absolute path may), cannot be read,
    or the variable is not set, and for a key of fewer than 16 characters.
    """
    environment = os.environ if environment is None else environment
    if watermark.key_file is not None:
        return _read_file(_find_file(watermark.key_file, root), "generation.watermark.key_file")
    if watermark.key_env is not None:
        return _read_variable(watermark.key_env, "generation.watermark.key_env", environment)
    raise EngineError(
        f"generation.watermark: neither key_env nor key_file is set, so there is no key; write key_env: {KEY_VARIABLE}"
    )


def export_key(watermark: WatermarkSpec, root: Path, environment: MutableMapping[str, str] | None = None) -> Key:
    """Load the key and tell vLLM's processes where it is; to be called before the engine or server starts.

    Sets, in `environment` (left out: os.environ, which children inherit), SYNTH_WATERMARK_GAMMA and _DELTA and one of
    SYNTH_WATERMARK_KEY_FILE (an absolute path) and SYNTH_WATERMARK_KEY_ENV (a variable's name). The key is not copied,
    so no other data set's key can be overwritten by it.
    """
    environment = os.environ if environment is None else environment
    key = load_key(watermark, root, environment)
    for name in (KEY_FILE_VARIABLE, KEY_ENV_VARIABLE):
        environment.pop(name, None)
    if watermark.key_file is not None:
        environment[KEY_FILE_VARIABLE] = str(_find_file(watermark.key_file, root))
    else:
        environment[KEY_ENV_VARIABLE] = watermark.key_env or KEY_VARIABLE
    environment[GAMMA_VARIABLE] = repr(watermark.gamma)
    environment[DELTA_VARIABLE] = repr(watermark.delta)
    return key


def read_export(environment: Mapping[str, str] | None = None) -> ExportedMark:
    """Return what export_key set; a server started by hand may set SYNTH_WATERMARK_KEY alone.

    EngineError as load_key, and where gamma or delta is no number within its bounds.
    """
    environment = os.environ if environment is None else environment
    file, name = environment.get(KEY_FILE_VARIABLE), environment.get(KEY_ENV_VARIABLE) or KEY_VARIABLE
    spec = WatermarkSpec()
    return _build_export(
        file or "",
        name,
        "" if file else environment.get(name, ""),
        environment.get(GAMMA_VARIABLE) or repr(spec.gamma),
        environment.get(DELTA_VARIABLE) or repr(spec.delta),
    )


def processor_for(cuda: bool) -> str:
    """Return the logits processor to give to vLLM as `module:class`: Model Runner V2's on CUDA, else V1's."""
    return f"synth_assets.generation.watermark.{'vllm_v2' if cuda else 'vllm_v1'}:WatermarkProcessor"


@lru_cache(maxsize=8)
def _build_export(file: str, name: str, text: str, gamma: str, delta: str) -> ExportedMark:
    """Build the mark once: every request is checked against it."""
    key = _read_file(Path(file), KEY_FILE_VARIABLE) if file else _read_variable(name, KEY_ENV_VARIABLE, {name: text})
    try:
        numbers = WatermarkSpec(gamma=float(gamma), delta=float(delta))
    except ValueError as error:
        raise EngineError(
            f"{GAMMA_VARIABLE}={gamma}, {DELTA_VARIABLE}={delta}: gamma must lie between 0 and 1 and delta between 0 "
            "and 20; unset them to take the defaults"
        ) from error
    return ExportedMark(key, numbers.gamma, numbers.delta)


def _find_file(name: str, root: Path) -> Path:
    path = Path(name)
    if path.is_absolute():
        return path
    root = root.resolve()
    found = (root / path).resolve()
    if not found.is_relative_to(root):
        raise EngineError(
            f"generation.watermark.key_file: '{name}' leaves the project's folder {root}; write an absolute path, or "
            "put the file into the project"
        )
    return found


def _read_file(path: Path, setting: str) -> Key:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise EngineError(
                f"{setting}: {path} is larger than {_MAX_FILE_BYTES:,} bytes and hardly a key; name a text file that "
                "holds the key alone"
            )
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise EngineError(f"{setting}: there is no file {path}; write a key of your own into it ({_HOW})") from None
    except UnicodeDecodeError:  # its cause is dropped, since it holds the file's bytes
        raise EngineError(f"{setting}: {path} is not UTF-8 text; {_HOW}") from None
    except OSError as error:
        raise EngineError(
            f"{setting}: {path} cannot be read: {error.strerror or error}; mend its permissions"
        ) from error
    return _check_key(text, f"{setting}: {path}")


def _read_variable(name: str, setting: str, environment: Mapping[str, str]) -> Key:
    text = environment.get(name, "")
    if not text.strip():
        raise EngineError(
            f"{setting}: the environment variable {name} is not set, and nothing is marked without a key; set it to a "
            f"key of your own ({_HOW}), name a file in generation.watermark.key_file, or take `watermark` out of the "
            "spec"
        )
    return _check_key(text, f"{setting}: {name}")


def _check_key(text: str, where: str) -> Key:
    if len(text.strip()) < MIN_CHARACTERS:
        raise EngineError(f"{where}: the key has fewer than {MIN_CHARACTERS} characters and could be guessed; {_HOW}")
    return Key.from_text(text)
