"""Shards: finished ones survive, a disk that is full is an error, and no half shard is taken over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth_assets.errors import EngineError, StoreError
from synth_assets.generation import shards
from synth_assets.generation.allowance import Allowance
from synth_assets.generation.language.engine import RecordEngine
from synth_assets.generation.language.protocol import Answer, Call
from synth_assets.generation.requests import build_requests
from synth_assets.generation.shards import ShardFolder
from synth_assets.generation.tabular.engine import TabularEngine
from synth_assets_tests.builders import seed_rows, table_spec, text_spec
from synth_assets_tests.generation.scripted_model import Clock, ScriptedModel, write

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
    first = folder.complete(engine, requests(), wave=0, size=10, allowance=Allowance())
    next(folder.path.glob("*shard000002*")).unlink()
    again = folder.complete(engine, requests(), wave=0, size=10, allowance=Allowance())
    assert again.equals(first)
    assert Counting.asked == 55 + 10


def test_shard_size_does_not_change_a_row(tmp_path: Path, engine: Counting) -> None:
    whole = ShardFolder(tmp_path, "whole").complete(engine, requests(), wave=0, size=1_000, allowance=Allowance())
    assert (
        ShardFolder(tmp_path, "parts").complete(engine, requests(), wave=0, size=7, allowance=Allowance()).equals(whole)
    )


def test_an_engine_that_leaves_a_request_out_is_an_error(tmp_path: Path, engine: Counting) -> None:
    class Losing(Counting):
        def generate(self, requests: pl.DataFrame):
            return super().generate(requests.head(requests.height - 1))

    losing = Losing.fit(seed_rows(table_spec(), ROWS), table_spec())
    with pytest.raises(EngineError, match="asked for 10 completions"):
        ShardFolder(tmp_path, "f").complete(losing, requests(), wave=0, size=10, allowance=Allowance())
    assert not list(tmp_path.rglob("*.parquet"))


def test_nothing_is_taken_over_from_other_inputs(
    tmp_path: Path, engine: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(fingerprint: str, asked: pl.DataFrame, wave: int = 0) -> int:
        before = Counting.asked
        ShardFolder(tmp_path, fingerprint).complete(engine, asked, wave=wave, size=10, allowance=Allowance())
        return Counting.asked - before

    assert ask("f", requests()) == 55
    assert ask("f", requests()) == 0
    assert ask("another plan", requests()) == 55
    assert ask("f", requests().slice(5)) == 50  # every shard has other members now
    assert ask("f", requests(), wave=1) == 55
    monkeypatch.setattr(shards, "digest_code", lambda: "other code")
    assert ask("f", requests()) == 55


def test_the_digest_of_the_code_covers_modules_and_templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = ["generation/shards.py", "generation/watermark/keys.py", "recipes/few_shot/user.jinja", "mixing/mix.py"]
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    monkeypatch.setattr(shards, "__file__", str(tmp_path / files[0]))
    digests = [shards.digest_code.__wrapped__()]
    for name in files:
        (tmp_path / name).write_text("2")
        digests.append(shards.digest_code.__wrapped__())
    assert len(set(digests[:4])) == 4
    assert digests[4] == digests[3]  # what does not generate does not count


class Misbehaving(Counting):
    """An engine that mixes up its completions."""

    change = staticmethod(lambda frame: frame)

    def generate(self, requests: pl.DataFrame):
        yield self.change(pl.concat(list(super().generate(requests))))


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: pl.concat([frame, frame.head(1)]),
        lambda frame: frame.reverse(),
        lambda frame: frame.slice(1),
        lambda frame: frame.clear(),
        lambda frame: frame.with_columns(pl.lit("x").alias("request_id")),
    ],
    ids=["twice", "another order", "first left out", "nothing", "unknown request"],
)
def test_completions_that_do_not_match_the_requests_are_an_error(tmp_path: Path, change: object) -> None:
    engine = Misbehaving.fit(seed_rows(table_spec(), ROWS), table_spec())
    engine.change = change
    with pytest.raises(EngineError, match="asked for 10 completions in order"):
        ShardFolder(tmp_path, "f").complete(engine, requests(), wave=0, size=10, allowance=Allowance())
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_shard_that_cannot_be_written_is_told_and_leaves_nothing_half(tmp_path: Path, engine: Counting) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write a finished shard"):
        ShardFolder(tmp_path / "file", "f").complete(engine, requests(), wave=0, size=10, allowance=Allowance())
    ShardFolder(tmp_path, "f").complete(engine, requests(), wave=0, size=10, allowance=Allowance())
    assert {path.suffix for path in ShardFolder(tmp_path, "f").path.iterdir()} == {".parquet"}


def test_removing_a_rounds_shards_removes_abandoned_ones_too(tmp_path: Path, engine: Counting) -> None:
    for fingerprint in ("f", "g"):
        folder = ShardFolder(tmp_path / "r000", fingerprint)
        folder.complete(engine, requests(), wave=0, size=30, allowance=Allowance())
    folder.remove()
    assert list(tmp_path.iterdir()) == []
    folder.remove()


# ---- an engine without a meter: the budget is held between shards


def test_the_budget_is_held_between_the_shards_of_an_embedded_engine(tmp_path: Path, engine: Counting) -> None:
    whole = ShardFolder(tmp_path, "f").complete(engine, requests(), wave=0, size=10, allowance=Allowance())
    limit = int(whole["output_tokens"].head(20).sum())
    allowance = Allowance(tokens=limit)
    made = ShardFolder(tmp_path, "g").complete(engine, requests(), wave=0, size=10, allowance=allowance)
    assert made.equals(whole.head(20))
    assert (allowance.spent_tokens, allowance.ended) == (limit, "tokens")


def test_a_shard_that_an_embedded_engine_finished_late_counts_and_is_kept(tmp_path: Path) -> None:
    clock = Clock()

    class Slow(Counting):
        def generate(self, requests: pl.DataFrame):
            clock.now += 40
            return super().generate(requests)

    engine = Slow.fit(seed_rows(table_spec(), ROWS), table_spec())
    allowance = Allowance(seconds=60, clock=clock)
    folder = ShardFolder(tmp_path, "f")
    made = folder.complete(engine, requests(), wave=0, size=10, allowance=allowance)
    assert (made.height, allowance.ended) == (20, "seconds")
    assert allowance.spent_tokens == made["output_tokens"].sum()
    assert len(list(folder.path.iterdir())) == 2


# ---- a language model, which asks its allowance before each call and asks again what failed

LETTERS = [{"text": f"message number {i}", "intent": "ab"[i % 2]} for i in range(20)]


def answer(call: Call) -> Answer:
    """Some requests are answered at once, some at the second or third time and some never."""
    return write(json.dumps({"text": f"new {call.seed}"}) if call.seed % 3 == 0 else "no", 5 + call.seed % 7)


def letters(count: int = 40) -> pl.DataFrame:
    spec = text_spec()
    return build_requests(spec, "r000", seed_rows(spec, LETTERS), {"a": count - count // 3, "b": count // 3}, {})


def write_letters(
    folder: ShardFolder, allowance: Allowance, *, size: int = 10, script=answer, report=lambda _: None, window: int = 4
) -> tuple[pl.DataFrame, ScriptedModel]:
    spec = text_spec(generation={"max_tokens": 12})
    model = ScriptedModel(script, window=window)
    engine = RecordEngine(spec, model, seed_rows(spec, LETTERS), allowance)
    return folder.complete(engine, letters(), wave=0, size=size, allowance=allowance, report=report), model


def dying_after(calls: int):
    """Return a script that dies at the call after so many."""
    left = iter(range(calls))

    def script(call: Call) -> Answer:
        if next(left, None) is None:
            raise EngineError("the model died")
        return answer(call)

    return script


def test_every_attempt_of_a_request_is_kept(tmp_path: Path) -> None:
    made, model = write_letters(ShardFolder(tmp_path, "f"), Allowance())
    assert made.height == len(model.asked) > 60
    assert made["request_id"].unique(maintain_order=True).to_list() == letters()["request_id"].to_list()
    assert made["attempt"].max() == 2


def test_a_run_that_died_goes_on_after_its_last_finished_shard(tmp_path: Path) -> None:
    whole, _ = write_letters(ShardFolder(tmp_path, "f"), Allowance())
    finished = whole.filter(pl.col("request_id").is_in(letters()["request_id"].head(20).implode())).height
    folder = ShardFolder(tmp_path, "g")
    with pytest.raises(EngineError, match="the model died"):
        write_letters(folder, Allowance(), script=dying_after(finished + 5))
    again, model = write_letters(folder, Allowance())
    assert again.equals(whole)
    assert len(model.asked) == whole.height - finished


def test_the_tokens_of_shards_that_were_taken_over_count_for_the_budget(tmp_path: Path) -> None:
    folder = ShardFolder(tmp_path, "f")
    with pytest.raises(EngineError):
        write_letters(folder, Allowance(), script=dying_after(30))
    earlier = sum(int(pl.read_parquet(path)["output_tokens"].sum()) for path in folder.path.iterdir())
    assert earlier > 0
    allowance = Allowance(tokens=earlier + 100)
    made, model = write_letters(folder, allowance)
    assert allowance.spent_tokens == made["output_tokens"].sum() <= earlier + 100
    assert allowance.ended == "tokens"
    assert 0 < len(model.asked) < 100


def test_shards_that_were_taken_over_may_use_the_budget_up(tmp_path: Path) -> None:
    folder = ShardFolder(tmp_path, "f")
    whole, _ = write_letters(folder, Allowance())
    first = int(pl.read_parquet(min(folder.path.iterdir()))["output_tokens"].sum())
    made, model = write_letters(folder, Allowance(tokens=first))
    assert made.equals(whole.head(made.height))
    assert made["request_id"].n_unique() == 10
    assert model.asked == []


def test_a_shard_that_the_budget_cut_short_is_returned_but_not_kept(tmp_path: Path) -> None:
    folder, allowance = ShardFolder(tmp_path, "f"), Allowance(tokens=300)
    made, _ = write_letters(folder, allowance)
    kept = [pl.read_parquet(path) for path in sorted(folder.path.iterdir())]
    assert allowance.spent_tokens == made["output_tokens"].sum() <= 300
    assert made["request_id"].n_unique() % 10 != 0
    assert sum(part["request_id"].n_unique() for part in kept) == made["request_id"].n_unique() // 10 * 10


@settings(max_examples=25)
@given(st.integers(1, 900), st.integers(3, 50), st.integers(1, 6))
def test_a_larger_budget_makes_whole_what_a_smaller_one_cut_short(
    tmp_path_factory: pytest.TempPathFactory, limit: int, size: int, window: int
) -> None:
    root = tmp_path_factory.mktemp("shards")
    whole, _ = write_letters(ShardFolder(root, "f"), Allowance(), size=size)
    folder, allowance = ShardFolder(root, "g"), Allowance(tokens=limit)
    part, _ = write_letters(folder, allowance, size=size, window=window)
    assert allowance.spent_tokens == part["output_tokens"].sum() <= limit
    assert part.join(whole, on=["request_id", "attempt", "seed"], how="anti").is_empty()
    assert write_letters(folder, Allowance(), size=size)[0].equals(whole)


# ---- progress


def test_progress_never_goes_back_and_ends_with_all_requests(tmp_path: Path) -> None:
    folder = ShardFolder(tmp_path, "f")
    with pytest.raises(EngineError):
        write_letters(folder, Allowance(), script=dying_after(30))
    told: list[int] = []
    write_letters(folder, Allowance(), report=told.append)
    assert told == sorted(told)
    assert told[-1] == 40
    assert len(set(told)) > 30  # between shards too


def test_progress_counts_requests_that_are_done_and_not_their_attempts(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    model: list[Call] = []

    def script(call: Call) -> Answer:
        model.append(call)
        return write("no", 5)

    write_letters(
        ShardFolder(tmp_path, "f"),
        Allowance(),
        script=script,
        size=20,
        report=lambda done: told.append((done, len(model))),
    )
    assert [done for done, asked in told if done > asked // 3] == []


@pytest.mark.parametrize("limits", [{"tokens": 300}, {"seconds": 40.0}])
def test_progress_never_goes_back_where_the_budget_ends(tmp_path: Path, limits: dict[str, float]) -> None:
    clock, told = Clock(), []

    def slow(call: Call) -> Answer:
        clock.now += 1
        return answer(call)

    made, _ = write_letters(
        ShardFolder(tmp_path, "f"), Allowance(**limits, clock=clock), script=slow, report=told.append
    )
    assert told == sorted(told)
    assert told[-1] == made["request_id"].n_unique()


# ---- a full disk

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
