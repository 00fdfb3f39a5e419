"""Without a sandbox that holds nothing is run, and the message says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from synth_assets.discriminators.execution import sandbox
from synth_assets.errors import SandboxError
from synth_assets_tests.sandboxes import judge_code

WITHOUT_ISOLATION = '#!/bin/sh\nwhile [ "$1" != "--" ]; do shift; done\nshift\nexec "$@"\n'
WITHOUT_NAMESPACES = "#!/bin/sh\necho 'bwrap: No permissions to create a new namespace' >&2\nexit 1\n"


@pytest.fixture(autouse=True)
def _fresh_probe() -> Iterator[None]:
    sandbox.find_sandbox.cache_clear()
    yield
    sandbox.find_sandbox.cache_clear()


def _judge_with(program: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Judge a solution that leaves a file behind where it runs bare; `program` is what PATH has as bwrap."""
    tools, trace = folder / "tools", folder / "trace"
    tools.mkdir()
    if program:
        (tools / "bwrap").write_text(program)
        (tools / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin-without-bwrap")
    solution = f"open({str(trace)!r}, 'w').close()\ndef f():\n    return 1\n"
    with pytest.raises(SandboxError) as caught:
        judge_code((solution, "assert f() == 1"))
    assert not trace.exists()
    assert "never run without a sandbox" in str(caught.value) and "apt install bubblewrap" in str(caught.value)
    (folder / "message").write_text(str(caught.value))
    return folder / "message"


def test_a_machine_without_bubblewrap_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = _judge_with("", tmp_path, monkeypatch)
    assert message.read_text().startswith("bubblewrap (bwrap) is not installed")


def test_a_machine_that_makes_no_namespaces_refuses_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = _judge_with(WITHOUT_NAMESPACES, tmp_path, monkeypatch)
    assert "No permissions to create a new namespace" in message.read_text()


def test_a_bubblewrap_that_isolates_nothing_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = _judge_with(WITHOUT_ISOLATION, tmp_path, monkeypatch).read_text()
    assert message.startswith("the sandbox does not hold")
    for leak in ("the network (True)", "files of this machine", "the environment", "other processes"):
        assert leak in message


def test_an_unknown_processor_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(SandboxError, match="x86-64 or ARM64 Linux"):
        sandbox.find_sandbox()
