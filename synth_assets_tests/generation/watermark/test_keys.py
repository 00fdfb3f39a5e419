"""The watermark's key: where it is found, what is wrong with it, and that it never shows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from synth_assets.errors import EngineError
from synth_assets.generation.watermark.keys import (
    DELTA_VARIABLE,
    GAMMA_VARIABLE,
    KEY_ENV_VARIABLE,
    KEY_FILE_VARIABLE,
    KEY_VARIABLE,
    Key,
    export_key,
    load_key,
    processor_for,
    read_export,
)
from synth_assets.spec import WatermarkSpec
from synth_assets_tests.generation.watermark.keys_for_tests import KEY, OTHER_KEY, SECRET


def test_the_key_is_read_from_its_variable(tmp_path: Path) -> None:
    assert load_key(WatermarkSpec(), tmp_path, {KEY_VARIABLE: SECRET}) == KEY


def test_the_key_file_wins_over_the_variable(tmp_path: Path) -> None:
    (tmp_path / "mark.key").write_text(f"\ufeff{SECRET}\n", encoding="utf-8")
    spec = WatermarkSpec(key_file="mark.key")
    assert load_key(spec, tmp_path, {KEY_VARIABLE: "x" * 40}) == KEY


def test_an_absolute_key_file_may_lie_anywhere(tmp_path: Path) -> None:
    file = tmp_path / "mark.key"
    file.write_text(SECRET)
    assert load_key(WatermarkSpec(key_file=str(file)), tmp_path / "project", {}) == KEY


def test_a_relative_key_file_cannot_leave_the_project(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (tmp_path / "mark.key").write_text(SECRET)
    (project / "link.key").symlink_to(tmp_path / "mark.key")
    for name in ("../mark.key", "link.key"):
        with pytest.raises(EngineError, match=r"leaves the project's folder .* absolute path"):
            load_key(WatermarkSpec(key_file=name), project, {})


def test_errors_say_what_to_do_and_never_show_the_key(tmp_path: Path) -> None:
    short = "tooshort-secret"
    (tmp_path / "short.key").write_text(short)
    (tmp_path / "binary.key").write_bytes(b"\xff\xfe" + short.encode())
    (tmp_path / "large.key").write_bytes(short.encode() * 10_000)
    cases = [
        (WatermarkSpec(), {}, "SYNTH_WATERMARK_KEY is not set"),
        (WatermarkSpec(), {KEY_VARIABLE: "  \n "}, "SYNTH_WATERMARK_KEY is not set"),
        (WatermarkSpec(), {KEY_VARIABLE: f"  {short}  "}, "fewer than 16 characters"),
        (WatermarkSpec(key_env="MINE"), {}, "MINE is not set"),
        (WatermarkSpec(key_env=None), {}, "neither key_env nor key_file"),
        (WatermarkSpec(key_file="short.key"), {}, "fewer than 16 characters"),
        (WatermarkSpec(key_file="binary.key"), {}, "not UTF-8 text"),
        (WatermarkSpec(key_file="large.key"), {}, "larger than"),
        (WatermarkSpec(key_file="none.key"), {}, "there is no file"),
        (WatermarkSpec(key_file="."), {}, "cannot be read"),
    ]
    for spec, environment, message in cases:
        with pytest.raises(EngineError, match=message) as caught:
            load_key(spec, tmp_path, environment)
        assert short not in str(caught.value)
        assert not isinstance(caught.value.__cause__, UnicodeDecodeError)


def test_a_key_does_not_show_itself() -> None:
    assert SECRET not in repr(KEY)
    assert KEY.secret.hex() not in repr(KEY)
    assert repr(KEY.secret) not in repr(KEY)


def test_the_key_id_is_sixteen_hex_digits_of_that_key_alone() -> None:
    assert len(KEY.key_id) == 16
    assert int(KEY.key_id, 16) >= 0
    assert Key.from_text(f" {SECRET}\n").key_id == KEY.key_id != OTHER_KEY.key_id
    assert KEY.key_id not in KEY.secret.hex()


def test_the_key_id_stays_what_it_is() -> None:
    """Releases name it: another derivation would orphan every mark made so far."""
    assert KEY.key_id == "efc303eceef2a5e8"


def test_subkeys_differ_by_purpose() -> None:
    assert KEY.derive("language") != KEY.derive("rows") != OTHER_KEY.derive("rows")
    assert KEY.derive("language", 16) == KEY.derive("language")[:16]


def test_an_exported_key_is_found_by_another_process(tmp_path: Path) -> None:
    (tmp_path / "mark.key").write_text(SECRET)
    environment: dict[str, str] = {}
    assert export_key(WatermarkSpec(key_file="mark.key", gamma=0.5, delta=3.0), tmp_path, environment) == KEY
    found = read_export(environment)
    assert (found.key, found.gamma, found.delta) == (KEY, 0.5, 3.0)
    assert environment[KEY_FILE_VARIABLE] == str(tmp_path / "mark.key")
    assert SECRET not in environment.values()


def test_an_export_overwrites_the_last_one_but_no_key(tmp_path: Path) -> None:
    (tmp_path / "mark.key").write_text(SECRET)
    environment = {KEY_VARIABLE: "the key of another data set", "MINE": SECRET}
    export_key(WatermarkSpec(key_file="mark.key"), tmp_path, environment)
    export_key(WatermarkSpec(key_env="MINE"), tmp_path, environment)
    assert KEY_FILE_VARIABLE not in environment
    assert environment[KEY_ENV_VARIABLE] == "MINE"
    assert environment[KEY_VARIABLE] == "the key of another data set"
    assert read_export(environment).key == KEY


def test_export_writes_to_this_process_unless_told_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (KEY_ENV_VARIABLE, KEY_FILE_VARIABLE, GAMMA_VARIABLE, DELTA_VARIABLE):
        monkeypatch.setenv(name, "")  # so that monkeypatch takes back what the export sets
    monkeypatch.setenv(KEY_VARIABLE, SECRET)
    export_key(WatermarkSpec(), tmp_path)
    assert os.environ[KEY_ENV_VARIABLE] == KEY_VARIABLE
    assert read_export().key == KEY


def test_a_server_started_by_hand_needs_the_key_alone() -> None:
    found = read_export({KEY_VARIABLE: SECRET})
    assert (found.key, found.gamma, found.delta) == (KEY, WatermarkSpec().gamma, WatermarkSpec().delta)


@pytest.mark.parametrize("name", [GAMMA_VARIABLE, DELTA_VARIABLE])
@pytest.mark.parametrize("value", ["0", "-1", "half", "nan", "1e9"])
def test_an_exported_number_that_is_none_is_refused(name: str, value: str) -> None:
    with pytest.raises(EngineError, match=f"{name}={value}"):
        read_export({KEY_VARIABLE: SECRET, name: value})


def test_a_process_without_a_key_says_so() -> None:
    with pytest.raises(EngineError, match="SYNTH_WATERMARK_KEY is not set"):
        read_export({})


def test_each_runner_has_its_processor() -> None:
    assert processor_for(cuda=False) == "synth_assets.generation.watermark.vllm_v1:WatermarkProcessor"
    assert processor_for(cuda=True) == "synth_assets.generation.watermark.vllm_v2:WatermarkProcessor"
