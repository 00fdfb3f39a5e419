"""Bad input, one by one, through the real command: a clear error or a kept-apart row each, nothing lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from synth_assets.project import Project
from synth_assets_tests.projects import make_project


def synth(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the real command in a project."""
    return subprocess.run(
        [sys.executable, "-m", "synth_assets.cli", *arguments],
        cwd=project.root,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def messages(project: Project) -> Path:
    return project.seed_folder("mini") / "messages.jsonl"


def refused(project: Project, *arguments: str) -> str:
    """Return the error of a command that must fail with status 2, without a traceback."""
    done = synth(project, *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path)


def changed(tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> Project:
    return make_project(tmp_path, change=change)


def test_a_name_with_dots_and_slashes_is_refused(project: Project) -> None:
    assert "no data set name" in refused(project, "run", "../mini")


def test_an_unknown_data_set_names_the_known_ones(project: Project) -> None:
    assert "known: mini" in refused(project, "preview", "nothing")


def test_a_share_of_90_percent_names_file_field_value_and_bound(tmp_path: Path) -> None:
    message = refused(changed(tmp_path, lambda s: s["mix"].update(share=0.9)), "run", "mini")
    assert "dataset.yaml: mix.share: 0.9" in message
    assert "0.8" in message


def test_a_missing_license_says_what_to_write(tmp_path: Path) -> None:
    message = refused(changed(tmp_path, lambda s: s["source"].pop("license")), "run", "mini")
    assert "source.license: is missing" in message


def test_an_unknown_field_lists_what_is_allowed(tmp_path: Path) -> None:
    message = refused(changed(tmp_path, lambda s: s.update(shares=1)), "run", "mini")
    assert "shares: unknown setting" in message


def test_an_empty_file_is_an_error_with_its_name(project: Project) -> None:
    messages(project).write_text("", encoding="utf-8")
    assert "messages.jsonl" in refused(project, "preview", "mini")


def test_a_wrong_encoding_is_an_error_that_says_to_save_as_utf_8(project: Project) -> None:
    text = messages(project).read_text(encoding="utf-8")
    messages(project).write_bytes(text.encode("utf-16"))
    assert "UTF-8" in refused(project, "preview", "mini")


def test_one_seed_row_is_too_few(project: Project) -> None:
    first = messages(project).read_text(encoding="utf-8").splitlines()[0]
    messages(project).write_text(first + "\n", encoding="utf-8")
    assert "10" in refused(project, "preview", "mini")


def test_a_stratum_without_rows_is_named_before_anything_is_generated(tmp_path: Path) -> None:
    def add_value(settings: dict[str, Any]) -> None:
        field = next(f for f in settings["fields"] if f["name"] == "intent")
        field["values"] = ["order_status", "damaged_item", "refund_status", "login_problem", "safety_incident", "gift"]

    message = refused(changed(tmp_path, add_value), "preview", "mini")
    assert "'gift'" in message
    assert "synthetic_only" in message


def test_half_a_line_duplicates_and_a_huge_line_are_kept_apart_and_counted(project: Project) -> None:
    lines = messages(project).read_text(encoding="utf-8").splitlines()
    hostile = [lines[0][: len(lines[0]) // 2], lines[1], '{"text": "' + "x" * 20_000_000 + '"}']
    messages(project).write_text("\n".join([*lines, *hostile]) + "\n", encoding="utf-8")
    import dagster as dg

    from synth_assets_tests.projects import Runner

    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions("dataset", ["mini"])
        assert Runner(project, instance).run("seeds", "mini").success
    rejected = project.lake.read("raw_seeds", "mini", table="rejected").sort("source_line")
    assert rejected["source_line"].to_list() == [len(lines) + 1, len(lines) + 3]
    assert rejected["reason"].to_list() == ["bad_json", "line_too_long"]
    twins = project.lake.read("seeds", "mini", table="rejected")
    assert "exact_duplicate" in twins["reason"].to_list()


def test_init_refuses_a_name_that_leaves_the_folder_and_one_that_exists(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps({"text": f"message {i}", "label": "ab"[i % 2]}) for i in range(40)))
    assert "no data set name" in refused(project, "init", "../out", str(file))
    assert "exists already" in refused(project, "init", "mini", str(file))
    assert "no such file" in refused(project, "init", "fresh", str(tmp_path / "none.csv"))


def test_init_writes_a_spec_that_loads_and_marks_what_it_could_not_know(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps({"text": f"message {i}", "label": "ab"[i % 2]}) for i in range(40)))
    done = synth(project, "init", "fresh", str(file), "--license", "MIT")
    assert done.returncode == 0, done.stderr
    assert "CHECK" in done.stdout
    written = yaml.safe_load((project.seed_folder("fresh") / "dataset.yaml").read_text(encoding="utf-8"))
    assert written["source"]["license"] == "MIT"
    assert project.spec("fresh").strata.by == ("label",)
