"""The lake: whole versions behind a pointer, digests of content, readable refusals."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth_assets.errors import StoreError
from synth_assets.store import CURRENT, Lake, digest_tables, open_sql, round_index, round_name

FRAME = pl.DataFrame({"id": ["a", "b"], "n": [1, 2]})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def test_what_is_written_is_read_back_with_its_notes(lake: Lake) -> None:
    lake.write("seeds", "support", None, {"rows": FRAME, "rejected": FRAME.head(1)}, meta={"run": "x"})
    version = lake.require("seeds", "support")
    assert version.read().equals(FRAME)
    assert (version.rows("rejected"), version.meta["run"]) == (1, "x")


def test_the_pointer_moves_and_the_old_version_stays(lake: Lake) -> None:
    old = lake.write("plan", "support", "r000", FRAME)
    new = lake.write("plan", "support", "r000", FRAME.head(1))
    assert lake.require("plan", "support", "r000").digest == new.digest
    assert lake.version("plan", "support", "r000", old.digest).read().equals(FRAME)


def test_the_same_content_is_the_first_version_untouched(lake: Lake) -> None:
    first = lake.write("plan", "support", "r000", FRAME, meta={"run": "first"})
    again = lake.write("plan", "support", "r000", FRAME.reverse(), meta={"run": "second"})
    assert again.digest == first.digest
    assert again.meta["run"] == "first"


def test_ledger_tables_are_kept_and_do_not_count_in_the_digest(lake: Lake) -> None:
    one = lake.write("candidates", "a", "r000", FRAME, ledger={"usage": pl.DataFrame({"seconds": [1.0]})})
    two = lake.write("candidates", "b", "r000", FRAME, ledger={"usage": pl.DataFrame({"seconds": [2.0]})})
    assert one.digest == two.digest
    assert two.read("usage")["seconds"].item() == 2.0


rows = st.lists(st.tuples(st.text(max_size=5), st.floats(allow_nan=True), st.booleans()), max_size=20)


@given(rows, st.randoms())
def test_a_digest_depends_on_the_rows_and_not_on_their_order(values: list[tuple[str, float, bool]], random) -> None:
    schema = {"t": pl.String, "x": pl.Float64, "b": pl.Boolean}
    frame = pl.DataFrame(values, schema=schema, orient="row")
    shuffled = random.sample(values, len(values))
    assert digest_tables({"rows": frame}) == digest_tables(
        {"rows": pl.DataFrame(shuffled, schema=schema, orient="row").select("b", "x", "t")}
    )


@pytest.mark.parametrize(
    "other",
    [FRAME.head(1), FRAME.rename({"n": "m"}), FRAME.cast({"n": pl.Int32}), FRAME.with_columns(n=pl.col("n") + 1)],
)
def test_any_change_of_content_changes_the_digest(other: pl.DataFrame) -> None:
    assert digest_tables({"rows": FRAME}) != digest_tables({"rows": other})


def test_a_missing_version_says_what_to_materialize(lake: Lake) -> None:
    with pytest.raises(StoreError, match=r"corpus of support\|r000 does not exist yet"):
        lake.read("corpus", "support", "r000")


@pytest.mark.parametrize("name", ["../up", "a/b", "", "A", ".hidden", "a\x00b"])
def test_names_that_would_leave_the_lake_are_refused(lake: Lake, name: str) -> None:
    with pytest.raises(StoreError, match="name"):
        lake.write("seeds", name, None, FRAME)
    with pytest.raises(StoreError, match="is no round"):
        lake.write("seeds", "support", f"r{name}", FRAME)


def test_a_lake_that_cannot_be_written_is_an_error_and_changes_nothing(lake: Lake) -> None:
    lake.write("seeds", "support", None, FRAME)
    blocked = lake.root / "plan"
    blocked.write_text("a file where a folder must be")
    with pytest.raises(StoreError, match="nothing was changed"):
        lake.write("plan", "support", "r000", FRAME)
    assert lake.read("seeds", "support").equals(FRAME)


WRITER = """
import sys, polars as pl
from pathlib import Path
from synth_assets.store import Lake
lake = Lake(Path(sys.argv[1]))
print("ready", flush=True)
for i in range(100_000):
    lake.write("plan", "support", "r000", pl.DataFrame({"i": [i] * 20_000, "j": [i] * 20_000}))
"""


def test_a_writer_killed_at_any_moment_leaves_a_whole_version(lake: Lake) -> None:
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(lake.root)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        while lake.current("plan", "support", "r000") is None:
            pass
        child.kill()
        child.wait()
        version = lake.require("plan", "support", "r000")
        version.verify()
        assert version.read()["i"].n_unique() == 1
        assert version.rows() == 20_000


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import polars as pl
from synth_assets.errors import StoreError
from synth_assets.store import Lake
lake = Lake(Path(sys.argv[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    lake.write("seeds", "support", None, pl.DataFrame({"x": pl.int_range(100_000, eager=True).shuffle(1)}))
except StoreError as error:
    print(error)
"""


def test_a_disk_that_takes_no_more_is_an_error_and_the_old_version_stays(lake: Lake) -> None:
    lake.write("seeds", "support", None, FRAME)
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(lake.root)], capture_output=True, text=True, check=False
    )
    assert "cannot write seeds" in done.stdout, done.stderr
    assert "nothing was changed" in done.stdout
    assert lake.read("seeds", "support").equals(FRAME)
    assert not list(lake.root.rglob(".incoming-*"))


def test_a_changed_file_is_found_out(lake: Lake) -> None:
    version = lake.write("seeds", "support", None, FRAME)
    FRAME.head(1).write_parquet(version.path / "rows.parquet")
    with pytest.raises(StoreError, match="changed since it was written"):
        version.verify()


def test_vacuum_spares_current_pinned_and_young_versions(lake: Lake) -> None:
    pinned, loose, current = (lake.write("plan", "support", "r000", FRAME.with_columns(n=pl.lit(i))) for i in range(3))
    assert lake.vacuum({pinned.digest}) == []
    assert lake.vacuum({pinned.digest}, older_than=dt.timedelta(seconds=-1)) == [loose.path]
    assert pinned.path.exists()
    assert current.path.exists()


def test_sql_sees_current_versions_with_their_partitions(lake: Lake) -> None:
    lake.write("plan", "support", "r000", FRAME.head(1))
    lake.write("plan", "support", "r000", {"rows": FRAME, "settings": FRAME})
    lake.write("plan", "other", "r001", FRAME)
    with open_sql(lake) as connection:
        counts = connection.sql("SELECT dataset, round, count(*) AS n FROM plan GROUP BY ALL ORDER BY ALL").fetchall()
        assert counts == [("other", "r001", 2), ("support", "r000", 2)]
        assert connection.sql("SELECT count(*) FROM plan__settings").fetchall() == [(2,)]


def test_sql_over_an_empty_lake_has_the_declared_views(lake: Lake) -> None:
    with open_sql(lake, {"corpus": {"example_id": pl.String(), "weight": pl.Float64()}}) as connection:
        assert connection.sql("SELECT * FROM corpus").pl().schema == {"example_id": pl.String, "weight": pl.Float64}


def test_a_half_written_folder_is_no_version(lake: Lake) -> None:
    version = lake.write("seeds", "support", None, FRAME)
    (version.path / "manifest.json").unlink()
    with pytest.raises(StoreError, match="missing or incomplete"):
        lake.require("seeds", "support")


def test_a_pointer_that_is_no_digest_is_refused(lake: Lake) -> None:
    lake.write("seeds", "support", None, FRAME)
    (lake.partition_path("seeds", "support") / CURRENT).write_text("../../../etc")
    with pytest.raises(StoreError, match="missing or incomplete"):
        lake.current("seeds", "support")


def test_rounds_have_names_in_order() -> None:
    assert [round_name(i) for i in (0, 7, 1000)] == ["r000", "r007", "r1000"]
    assert round_index(round_name(1234)) == 1234
