"""Shards: finished ones survive, a disk that is full is an error, and no half shard is taken over."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from synth_assets.errors import EngineError
from synth_assets.generation.requests import build_requests
from synth_assets.generation.shards import ShardFolder
from synth_assets.generation.tabular_engine import TabularEngine
from synth_assets_tests.builders import seed_rows, table_spec

ROWS = [{"low": i / 7, "high": i / 7 + 1 + i % 5, "kind": "ab"[i % 2]} for i in range(60)]


class Counting(TabularEngine):
    """The real engine, counting what it is asked."""

    asked = 0

    def generate(self, requests: pl.DataFrame):
        type(self).asked += requests.height
        return super().generate(requests)


@pytest.fixture
def engine() -> Counting:
    spec = table_spec()
    Counting.asked = 0
    return Counting.fit(seed_rows(spec, ROWS), spec)


def requests() -> pl.DataFrame:
    spec = table_spec()
    return build_requests(spec, "r000", seed_rows(spec, ROWS), {"a": 30, "b": 25}, {})


def test_finished_shards_are_not_made_again(tmp_path: Path, engine: Counting) -> None:
    folder = ShardFolder(tmp_path, "f")
    first = folder.complete(engine, requests(), wave=0, size=10)
    next(folder.path.glob("*shard000002*")).unlink()
    again = folder.complete(engine, requests(), wave=0, size=10)
    assert again.equals(first)
    assert Counting.asked == 55 + 10


def test_shard_size_does_not_change_a_row(tmp_path: Path, engine: Counting) -> None:
    whole = ShardFolder(tmp_path, "whole").complete(engine, requests(), wave=0, size=1_000)
    assert ShardFolder(tmp_path, "parts").complete(engine, requests(), wave=0, size=7).equals(whole)


def test_an_engine_that_leaves_a_request_out_is_an_error(tmp_path: Path, engine: Counting) -> None:
    class Losing(Counting):
        def generate(self, requests: pl.DataFrame):
            return super().generate(requests.head(requests.height - 1))

    losing = Losing.fit(seed_rows(table_spec(), ROWS), table_spec())
    with pytest.raises(EngineError, match="asked for 10 completions"):
        ShardFolder(tmp_path, "f").complete(losing, requests(), wave=0, size=10)
    assert not list(tmp_path.rglob("*.parquet"))


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import polars as pl
from synth_assets.store import write_parquet
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_parquet(Path(sys.argv[1]) / "x.parquet", pl.DataFrame({"x": pl.int_range(100_000, eager=True).shuffle(1)}))
except OSError:
    print("refused")
"""


def test_a_disk_that_takes_no_more_is_told(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ},
    )
    assert done.stdout.strip() == "refused", done.stderr
