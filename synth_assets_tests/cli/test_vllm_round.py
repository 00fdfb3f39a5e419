"""A whole round on the real engine: banking77 rows from a real model, killed in mid-generation and taken up again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import polars as pl
import pytest
import yaml

from synth_assets.project import Project
from synth_assets.store import hash_file
from synth_assets_tests.models import MODEL, needs_model
from synth_assets_tests.paths import NO_SHARED_DATA, PROJECT, SHARED_DATA

ACCEPTED = 210
SHARD = 64
COMMAND = [sys.executable, "-m", "synth_assets.cli", "run", "banking", "--auto-review"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(SHARED_DATA is None, reason=NO_SHARED_DATA),
]


def make_banking(root: Path, **generation: Any) -> Project:
    """Write a project whose data set is banking77's training file and whose engine is the real model."""
    assert SHARED_DATA is not None
    folder = root / "data" / "seeds" / "banking"
    folder.mkdir(parents=True)
    shutil.copy(PROJECT / "dagster.yaml", root / "dagster.yaml")
    shutil.copytree(PROJECT / "dbt_like_sql", root / "dbt_like_sql")
    shutil.copy(PROJECT / "data" / "generators.yaml", root / "data" / "generators.yaml")
    shutil.copy(SHARED_DATA / "banking77" / "train.csv", folder / "train.csv")
    settings = {
        "name": "banking",
        "description": "Messages of customers to their bank",
        "fields": [
            {"name": "text", "type": "text", "max_length": 500},
            {"name": "category", "type": "category", "role": "target"},
        ],
        "strata": {"by": ["category"]},
        "source": {"license": "CC-BY-4.0", "consent": {"basis": "not_personal"}},
        "generation": {
            "engine": "vllm",
            "model": str(MODEL),
            "max_tokens": 96,
            "shard_size": SHARD,
            "vllm": {"max_num_seqs": 64, "max_model_len": 1024},
            **generation,
        },
        "target_accepted": ACCEPTED,
    }
    (folder / "dataset.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return Project(root)


def run(project: Project) -> str:
    done = subprocess.run(COMMAND, cwd=project.root, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def list_shards(project: Project) -> list[Path]:
    return sorted((project.work / "banking" / "r000").glob("*/wave*.parquet"))


@dataclass(frozen=True)
class Rounds:
    """The same round twice: in one go, and killed after `kept` shards (file to SHA-256 and time of writing)."""

    whole: Project
    resumed: Project
    kept: dict[str, tuple[str, int]]
    untouched: dict[str, tuple[str, int]]


@pytest.fixture(scope="module")
def rounds(tmp_path_factory: pytest.TempPathFactory) -> Rounds:
    whole = make_banking(tmp_path_factory.mktemp("whole"))
    run(whole)
    resumed = make_banking(tmp_path_factory.mktemp("killed"))
    child = subprocess.Popen(COMMAND, cwd=resumed.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 900
    while len(list_shards(resumed)) < 2:
        assert child.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    kept = {path.name: (hash_file(path), path.stat().st_mtime_ns) for path in list_shards(resumed)}
    child = subprocess.Popen(COMMAND, cwd=resumed.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    untouched = dict(kept)
    while child.poll() is None:
        for path in list_shards(resumed):
            if path.name in kept:
                try:
                    untouched[path.name] = (hash_file(path), path.stat().st_mtime_ns)
                except FileNotFoundError:  # the round is committed and its shards are gone
                    break
        time.sleep(0.2)
    assert child.returncode == 0
    return Rounds(whole, resumed, kept, untouched)


@needs_model
def test_a_round_on_the_real_engine_accepts_what_was_asked_for(rounds: Rounds) -> None:
    lake = rounds.whole.lake
    filtered = lake.read("filtered", "banking", "r000")
    assert filtered.filter(pl.col("state") == "kept").height >= 200
    candidates = lake.read("candidates", "banking", "r000")
    assert set(candidates["generator_id"].str.extract(r"^(vllm-[^-]+)")) == {"vllm-" + str(MODEL.name).split("-")[0]}
    assert lake.rounds("corpus", "banking") == ["r000"]


@needs_model
def test_every_request_ends_with_a_record_that_meets_the_schema(rounds: Rounds) -> None:
    lake = rounds.whole.lake
    candidates = lake.read("candidates", "banking", "r000")
    schema = json.loads(lake.read("candidates", "banking", "r000", "model_schema")["json_schema"].item())
    last = candidates.sort("attempt").unique("request_id", keep="last")
    assert last["finish_reason"].unique().to_list() == ["stop"]
    for text in last["text"]:
        jsonschema.validate({"text": text}, schema)


@needs_model
def test_what_was_written_is_kept_with_its_tokens(rounds: Rounds) -> None:
    lake = rounds.whole.lake
    candidates = lake.read("candidates", "banking", "r000")
    written = lake.read("candidates", "banking", "r000", "completions")
    joined = candidates.join(written, on="example_id", how="left")
    assert joined["output_token_ids"].null_count() == 0
    assert (joined["output_token_ids"].list.len() == joined["output_tokens"]).all()


@needs_model
def test_a_run_killed_in_mid_generation_redoes_no_finished_shard(rounds: Rounds) -> None:
    assert len(rounds.kept) >= 2
    assert rounds.untouched == rounds.kept


@needs_model
def test_a_run_killed_in_mid_generation_ends_with_the_same_rows(rounds: Rounds) -> None:
    for asset in ("plan", "candidates", "verdicts", "filtered", "corpus"):
        whole, resumed = (project.lake.require(asset, "banking", "r000") for project in (rounds.whole, rounds.resumed))
        assert whole.digest == resumed.digest, asset
