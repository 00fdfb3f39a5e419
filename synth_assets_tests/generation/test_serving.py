"""`synth serve` without a model: the command and environment it makes, what it refuses, and that nothing is left."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from synth_assets.errors import EngineError
from synth_assets.generation.vllm import serving
from synth_assets.generation.vllm import settings as vllm_settings
from synth_assets.generation.vllm.serving import KeyGuard, running_server, serve, server_command, server_environment
from synth_assets.spec import DatasetSpec
from synth_assets_tests.builders import text_spec

TOKEN = "a-token-for-tests"
STUB = """
import http.server, signal, subprocess, sys, time
port, mode = int(sys.argv[1]), sys.argv[2]
deaf = "import signal, time; [signal.signal(n, signal.SIG_IGN) for n in (2, 15)]; print(1, flush=True); time.sleep(600)"
if mode == "silent":
    time.sleep(600)
if mode not in ("healthy", "stubborn"):
    print("\\n".join([mode, *(f"line {i}" for i in range(100))]), flush=True)
    sys.exit(1)
if mode == "stubborn":
    subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE).stdout.readline()
    for number in (2, 15):
        signal.signal(number, signal.SIG_IGN)

class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

http.server.HTTPServer(("127.0.0.1", port), Health).serve_forever()
"""


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with vLLM and without a GPU, where nothing is patient."""
    use_gpus(monkeypatch, 0)
    monkeypatch.setattr(serving, "require_vllm", lambda: None)
    monkeypatch.setattr(serving, "_GRACE", ((signal.SIGINT, 0.3), (signal.SIGTERM, 0.3), (signal.SIGKILL, 20.0)))
    monkeypatch.setattr(serving, "_TICK", 0.02)


def use_gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    for module in (serving, vllm_settings):
        monkeypatch.setattr(module, "count_gpus", lambda: count)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "tiny"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"max_position_embeddings": 2048}')
    return folder


def model_spec(**generation: Any) -> DatasetSpec:
    return text_spec(generation={"model": "models/tiny", **generation})


def read_options(command: list[str]) -> dict[str, list[str]]:
    """Options by name, each with its values."""
    options: dict[str, list[str]] = {}
    for word in command[3:]:
        if word.startswith("--"):
            name, _, value = word.partition("=")
            options[name] = [value] if value else []
        else:
            options[list(options)[-1]].append(word)
    return options


def test_the_server_is_this_pythons_vllm_and_answers_to_folder_and_spec_name(tmp_path: Path, model: Path) -> None:
    command = server_command(model_spec(), tmp_path, 8123)
    options = read_options(command)
    assert command[:2] == [sys.executable, "-m"] and command[2].startswith("vllm.")
    assert options["--model"] == [str(model.resolve())]
    assert options["--served-model-name"] == ["tiny", "models/tiny"]
    assert (options["--host"], options["--port"]) == (["127.0.0.1"], ["8123"])


def test_on_a_cpu_it_has_the_settings_of_the_engine_in_process(tmp_path: Path, model: Path) -> None:
    options = read_options(server_command(model_spec(), tmp_path, 8123))
    assert {"--enforce-eager", "--no-enable-chunked-prefill", "--no-async-scheduling"} <= set(options)
    assert (options["--max-model-len"], options["--max-num-seqs"]) == (["2048"], ["64"])
    assert json.loads(options["--structured-outputs-config"][0])["backend"] == "xgrammar"
    assert not {"--gpu-memory-utilization", "--revision", "--quantization", "--lora-modules"} & set(options)


def test_on_a_gpu_it_takes_the_gpus_settings(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_gpus(monkeypatch, 4)
    vllm = {"tensor_parallel": 2, "data_parallel": 2, "gpu_memory_utilization": 0.5, "quantization": "fp8"}
    options = read_options(server_command(model_spec(vllm=vllm), tmp_path, 8123))
    assert (options["--tensor-parallel-size"], options["--data-parallel-size"]) == (["2"], ["2"])
    assert (options["--gpu-memory-utilization"], options["--quantization"]) == (["0.5"], ["fp8"])
    assert "--enforce-eager" not in options


def test_a_hub_model_keeps_its_revision(tmp_path: Path) -> None:
    spec = text_spec(generation={"model": "some/model", "revision": "abc", "vllm": {"max_model_len": 512}})
    options = read_options(server_command(spec, tmp_path, 8123))
    assert (options["--model"], options["--revision"]) == (["some/model"], ["abc"])
    assert options["--served-model-name"] == ["model", "some/model"]


def test_with_an_adapter_the_specs_model_means_the_adapted_one(tmp_path: Path, model: Path) -> None:
    adapter = tmp_path / "adapter, new"
    adapter.mkdir()
    spec = model_spec(vllm={"lora": adapter.name})
    with pytest.raises(EngineError, match="holds no adapter_config"):
        server_command(spec, tmp_path, 8123)
    (adapter / "adapter_config.json").write_text("{}")
    options = read_options(server_command(spec, tmp_path, 8123))
    assert "--enable-lora" in options
    assert json.loads(options["--lora-modules"][0]) == {"name": "models/tiny", "path": str(adapter.resolve())}
    assert options["--served-model-name"] == ["tiny-base"]


def test_a_watermark_brings_its_processor_and_where_its_key_is(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_MARK", "0123456789abcdef")
    spec = model_spec(watermark={"key_env": "MY_MARK", "gamma": 0.5})
    command, environment = server_command(spec, tmp_path, 8123), server_environment(spec, tmp_path)
    assert read_options(command)["--logits-processors"][0].endswith(":WatermarkProcessor")
    assert "MY_MARK" in environment.values() and "0.5" in environment.values()
    assert "0123456789abcdef" not in " ".join(command)


def test_without_a_model_there_is_nothing_to_serve(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="is not set, so there is nothing to serve"):
        server_command(text_spec(), tmp_path, 8123)
    with pytest.raises(EngineError, match="there is no model folder"):
        server_command(text_spec(generation={"model": "./none"}), tmp_path, 8123)


def test_the_token_goes_by_environment_alone(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = model_spec(server={"api_key_env": "MY_TOKEN"})
    monkeypatch.delenv("MY_TOKEN", raising=False)
    with pytest.raises(EngineError, match="variable MY_TOKEN is not set"):
        server_environment(spec, tmp_path)
    monkeypatch.setenv("MY_TOKEN", TOKEN)
    assert server_environment(spec, tmp_path)["VLLM_API_KEY"] == TOKEN
    command = server_command(spec, tmp_path, 8123)
    assert TOKEN not in " ".join(command)
    assert read_options(command)["--middleware"] == ["synth_assets.generation.vllm.serving.KeyGuard"]


def test_what_the_user_has_set_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "7")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    environment = server_environment(model_spec(), tmp_path)
    assert (environment["VLLM_CPU_KVCACHE_SPACE"], environment["HF_HUB_OFFLINE"]) == ("7", "1")
    assert environment["VLLM_NO_USAGE_STATS"] == "1"


@pytest.mark.parametrize(("gpus", "cpus", "whole"), [(0, 2, True), (0, 64, False), (1, 2, False)])
def test_the_model_gets_every_core_of_a_small_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: int, cpus: int, whole: bool
) -> None:
    use_gpus(monkeypatch, gpus)
    monkeypatch.setattr(serving, "_count_cpus", lambda: cpus)
    monkeypatch.delenv("VLLM_ENABLE_V1_MULTIPROCESSING", raising=False)
    environment = server_environment(model_spec(), tmp_path)
    assert (environment.get("VLLM_ENABLE_V1_MULTIPROCESSING") == "0") is whole


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "somewhere.example"])
def test_other_machines_need_a_token(tmp_path: Path, model: Path, host: str) -> None:
    with pytest.raises(EngineError, match="can be reached from other machines"):
        start(model_spec(), tmp_path, host=host)


def test_a_taken_port_is_told_before_vllm_starts(tmp_path: Path, model: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(EngineError, match="in use; choose another"):
            start(model_spec(), tmp_path, port=other.getsockname()[1])
    assert not (tmp_path / "logs").exists()


def start(spec: DatasetSpec, root: Path, host: str = "127.0.0.1", port: int = 0, ready: Callable = print) -> int:
    return serve(spec, root, host, port, log=lambda _: None, ready=ready)


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a small program in vLLM's place: healthy | stubborn | silent, or it prints the text and dies."""
    script = tmp_path / "stub.py"
    script.write_text(STUB)

    def replace(mode: str) -> None:
        def command(spec: DatasetSpec, root: Path, port: int, host: str) -> list[str]:
            return [sys.executable, str(script), str(port), mode]

        monkeypatch.setattr(serving, "server_command", command)

    return replace


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The process groups that were started."""
    seen: list[int] = []
    launch = serving._launch

    def note(*arguments: Any) -> Any:
        child = launch(*arguments)
        seen.append(child.process.pid)
        return child

    monkeypatch.setattr(serving, "_launch", note)
    return seen


def assert_all_gone(groups: list[int]) -> None:
    assert groups
    for group in groups:
        with pytest.raises(ProcessLookupError):
            os.killpg(group, 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("mode", ["healthy", "stubborn"])
def test_a_signal_ends_the_server_and_all_it_started(
    tmp_path: Path, stub: Callable, groups: list[int], mode: str, number: signal.Signals
) -> None:
    stub(mode)
    before = signal.getsignal(number)
    urls: list[str] = []

    def answer(url: str) -> None:
        urls.append(url)
        os.kill(os.getpid(), number)

    assert start(model_spec(), tmp_path, ready=answer) == 0
    assert urls[0].startswith("http://127.0.0.1:") and urls[0].endswith("/v1")
    assert_all_gone(groups)
    assert signal.getsignal(number) is before


def test_it_can_be_stopped_while_the_model_loads(tmp_path: Path, stub: Callable, groups: list[int]) -> None:
    stub("silent")
    lines: list[str] = []

    def stop(line: str) -> None:
        lines.append(line)
        os.kill(os.getpid(), signal.SIGINT)

    assert serve(model_spec(), tmp_path, "127.0.0.1", 0, log=stop, ready=pytest.fail) == 0
    assert str(tmp_path / "logs") in lines[0]
    assert_all_gone(groups)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory", "lower generation.vllm.max_num_seqs"),
        ("OSError: [Errno 98] Address already in use", "another program took the port"),
        ("OSError: some/model is not a local folder and is not a valid model", "check generation.model"),
        ("KeyError: 'surprise'", "see its log"),
    ],
)
def test_a_death_is_told_with_its_cause_its_last_lines_and_what_to_do(
    tmp_path: Path, stub: Callable, groups: list[int], words: str, hint: str
) -> None:
    stub(words)
    with pytest.raises(EngineError) as caught:
        start(model_spec(), tmp_path, ready=pytest.fail)
    message = str(caught.value)
    assert hint in message and words in message and "status 1" in message
    assert "line 99" in message and "line 70" not in message
    assert_all_gone(groups)


def test_a_server_that_dies_at_work_is_an_error(tmp_path: Path, stub: Callable, groups: list[int]) -> None:
    stub("healthy")
    with pytest.raises(EngineError, match="killed, most likely"):
        start(model_spec(), tmp_path, ready=lambda _: os.kill(groups[0], signal.SIGKILL))


def test_a_running_server_answers_and_ends_with_its_block(tmp_path: Path, stub: Callable, groups: list[int]) -> None:
    stub("stubborn")
    with pytest.raises(ZeroDivisionError), running_server(model_spec(), tmp_path) as url:
        connection = HTTPConnection(url.removeprefix("http://").removesuffix("/v1"))
        connection.request("GET", "/health")
        assert connection.getresponse().status == 200
        raise ZeroDivisionError
    assert_all_gone(groups)


@pytest.mark.parametrize(
    ("path", "header", "passes"),
    [
        ("/health", None, True),
        ("/v1/completions", None, False),
        ("/invocations", None, False),
        ("/invocations", f"Bearer {TOKEN}", True),
        ("/invocations", f"bearer {TOKEN}", True),
        ("/invocations", f"Bearer {TOKEN.upper()}", False),
        ("/invocations", f"Bearer {TOKEN}x", False),
    ],
)
def test_every_route_that_generates_asks_for_the_token(
    path: str, header: str | None, passes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_API_KEY", TOKEN)
    passed: list[str] = []
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope["path"])

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [] if header is None else [(b"authorization", header.encode())]
    asyncio.run(KeyGuard(app)({"type": "http", "path": path, "headers": headers}, None, send))
    assert passed == ([path] if passes else [])
    assert [message.get("status") for message in sent[:1]] == ([] if passes else [401])
