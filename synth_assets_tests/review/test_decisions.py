"""The decision store under retries, crashes and several writers; resolving reviewers; spreadsheet files."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from synth_assets.errors import StoreError
from synth_assets.review.decisions import (
    DECISION_COLUMNS,
    EDITED,
    QUARANTINE_COLUMNS,
    Decision,
    DecisionStore,
    resolve_examples,
)
from synth_assets.review.edits import EDIT_COLUMNS, Edit
from synth_assets.review.spreadsheets import REJECTED_COLUMNS, export_sample, import_decisions


def say(decision: str, example: str = "e1", reviewer: str = "ada", token: str = "", **more: object) -> Decision:
    token = token or f"{example} {reviewer} {decision}"
    return Decision("demo", "r000", example, reviewer, decision, token, **more)  # type: ignore[arg-type]


@pytest.fixture
def store(database_url: str) -> DecisionStore:
    return DecisionStore(database_url)


@pytest.fixture
def sqlite(tmp_path: Path) -> Path:
    return tmp_path / "ops.db"


# ---- storing


def test_a_recorded_decision_comes_back_as_the_agreed_frame(store: DecisionStore) -> None:
    made = say("reject", reason="wrong label", seconds=12.5, item_version="v1", decided_at="2025-01-01T00:00:00+00:00")
    assert store.record([made]) == 1
    found = store.decisions("demo", "r000")
    assert dict(found.schema) == DECISION_COLUMNS
    assert found.row(0, named=True) == {
        "decision_id": made.decision_id,
        "dataset": "demo",
        "round": "r000",
        "example_id": "e1",
        "reviewer": "ada",
        "reviewer_kind": "human",
        "decision": "reject",
        "reason": "wrong label",
        "seconds": 12.5,
        "decided_at": "2025-01-01T00:00:00+00:00",
        "item_version": "v1",
    }


def test_a_retried_post_is_one_decision(store: DecisionStore) -> None:
    made = say("accept")
    assert [store.record([made]), store.record([made]), store.record([made, made])] == [1, 0, 0]
    assert store.decisions("demo", "r000").height == 1


def test_a_frame_without_tokens_is_new_each_time_and_with_ids_stored_once(store: DecisionStore) -> None:
    frame = pl.DataFrame(
        {
            "dataset": ["demo"],
            "round": ["r000"],
            "example_id": ["e1"],
            "reviewer": ["ada"],
            "reviewer_kind": ["human"],
            "decision": ["accept"],
        }
    )
    assert store.record(frame.with_columns(client_token=pl.lit("t"))) == 1
    assert store.record(frame.with_columns(client_token=pl.lit("t"))) == 0
    assert store.record(store.decisions("demo", "r000")) == 0
    assert store.record(frame) == 1


def test_two_reviewers_never_overwrite_each_other(store: DecisionStore) -> None:
    store.record([say("accept", reviewer="ada", token="1"), say("reject", reviewer="bob", token="1")])
    assert store.decisions("demo", "r000")["reviewer"].to_list() == ["ada", "bob"]


def test_rounds_and_data_sets_are_kept_apart(store: DecisionStore) -> None:
    store.record([say("accept"), Decision("demo", "r001", "e1", "ada", "accept", "t")])
    assert store.decisions("demo", "r001").height == 1
    assert store.decisions("other", "r000").is_empty()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"decision": "maybe"}, "allowed are accept, reject, skip, flag"),
        ({"reviewer": "  "}, "reviewer must have 1 to 200 characters"),
        ({"example_id": ""}, "example_id must have"),
        ({"reviewer_kind": "robot"}, "allowed are human, automated"),
        ({"seconds": float("nan")}, "a time from 0 on"),
        ({"reason": "x" * 5000}, "the reason has 5000 characters"),
        ({"dataset": "../up"}, "is no dataset name"),
        ({"round": "1"}, "rounds are r000"),
    ],
)
def test_an_invalid_decision_is_refused_and_nothing_is_stored(
    store: DecisionStore, wrong: dict[str, object], told: str
) -> None:
    given = {
        "dataset": "demo",
        "round": "r000",
        "example_id": "e1",
        "reviewer": "ada",
        "decision": "accept",
        "client_token": "t",
    }
    with pytest.raises(StoreError, match=told):
        store.record([say("accept", example="e0"), Decision(**{**given, **wrong})])  # type: ignore[arg-type]
    assert store.decisions("demo", "r000").is_empty()


def test_a_frame_that_lacks_columns_is_refused(store: DecisionStore) -> None:
    with pytest.raises(StoreError, match="reviewer_kind, decision are missing"):
        store.record(pl.DataFrame({"dataset": ["d"], "round": ["r000"], "example_id": ["e"], "reviewer": ["a"]}))


def test_many_decisions_at_once(store: DecisionStore) -> None:
    many = [say("accept", example=f"e{i}") for i in range(2000)]
    assert store.record(many) == 2000
    assert store.record([*many[:1500], say("accept", example="new")]) == 1


# ---- undo


def test_taking_a_decision_back_leaves_both_and_opens_the_example(store: DecisionStore) -> None:
    first = say("accept")
    store.record([first])
    store.record([say("skip", supersedes=first.decision_id)])
    assert store.decisions("demo", "r000")["decision"].to_list() == ["accept", "skip"]
    assert store.effective("demo", "r000")["resolution"].to_list() == [None]


def test_nobody_takes_back_what_another_said(store: DecisionStore) -> None:
    first = say("accept", reviewer="ada")
    store.record([first])
    with pytest.raises(StoreError, match="no decision of the same reviewer"):
        store.record([say("skip", reviewer="bob", supersedes=first.decision_id)])
    with pytest.raises(StoreError, match="no decision of the same reviewer"):
        store.record([say("skip", supersedes="unknown")])
    assert store.decisions("demo", "r000").height == 1


# ---- what counts


def test_the_latest_decision_of_a_reviewer_counts(store: DecisionStore) -> None:
    store.record([say("accept", token="1"), say("reject", token="2"), say("accept", token="3")])
    effective = store.effective("demo", "r000")
    assert effective.select("decision", "resolution").rows() == [("accept", "accept")]
    assert list(effective.columns) == [*DECISION_COLUMNS, "resolution"]


@pytest.mark.parametrize(
    ("said", "resolution"),
    [
        ({"ada": "accept", "bob": "accept"}, "accept"),
        ({"ada": "accept", "bob": "reject"}, "reject"),
        ({"ada": "accept", "bob": "flag"}, "flag"),
        ({"ada": "reject", "bob": "flag"}, "reject"),
        ({"ada": "accept", "bob": "skip"}, "accept"),
    ],
)
def test_several_reviewers_resolve_to_the_strictest(
    store: DecisionStore, said: dict[str, str], resolution: str
) -> None:
    store.record([say(decision, reviewer=name) for name, decision in said.items()])
    assert set(store.effective("demo", "r000")["resolution"]) == {resolution}


def test_people_overrule_a_machine_and_disagreement_is_shown() -> None:
    rows = [
        ("e1", "automated:1", "automated", "reject"),
        ("e1", "ada", "human", "accept"),
        ("e2", "automated:1", "automated", "reject"),
        ("e3", "ada", "human", "accept"),
        ("e3", "bob", "human", "reject"),
        ("e4", "ada", "human", "skip"),
    ]
    frame = pl.DataFrame(rows, schema=["example_id", "reviewer", "reviewer_kind", "decision"], orient="row")
    assert resolve_examples(frame).rows() == [
        ("e1", "accept", "human", 1, False),
        ("e2", "reject", "automated", 1, False),
        ("e3", "reject", "human", 2, True),
    ]


def test_decisions_on_other_content_or_rows_do_not_count(store: DecisionStore) -> None:
    store.record(
        [
            say("accept", example="e1", item_version="old"),
            say("accept", example="e2", item_version="now"),
            say("accept", example="e3"),
            say("accept", example="gone"),
        ]
    )
    items = pl.DataFrame({"example_id": ["e1", "e2", "e3"], "content_id": ["new", "now", "now"]})
    assert store.effective("demo", "r000", items)["example_id"].to_list() == ["e2", "e3"]


def test_a_quarantined_reviewer_does_not_count(store: DecisionStore) -> None:
    store.record([say("accept", reviewer="ada"), say("reject", reviewer="bob")])
    store.quarantine("reviewer", "bob", reason="random clicks", who="lead")
    assert store.effective("demo", "r000").select("reviewer", "resolution").rows() == [("ada", "accept")]


# ---- edits


def edit_of(made: Decision, content: str = '{"text": "better"}') -> Edit:
    return Edit(made.decision_id, "demo", "r000", made.example_id, made.reviewer, content, made.item_version)


def test_an_edit_is_stored_with_the_reject_of_its_original(store: DecisionStore) -> None:
    made = say("reject", reason=EDITED, item_version="v1")
    assert [store.record_edit(edit_of(made), made), store.record_edit(edit_of(made), made)] == [1, 0]
    found = store.edits("demo", "r000")
    assert dict(found.schema) == EDIT_COLUMNS
    row = found.row(0, named=True)
    assert (row["decision_id"], row["content"], row["item_version"]) == (made.decision_id, '{"text": "better"}', "v1")
    assert store.effective("demo", "r000").select("decision", "reason", "resolution").rows() == [
        ("reject", "edited", "reject")
    ]


def test_an_edit_stands_until_its_decision_is_taken_back_or_its_reviewer_barred(store: DecisionStore) -> None:
    first, second = say("reject", "e1", reason=EDITED), say("reject", "e2", reviewer="bob", reason=EDITED)
    store.record_edit(edit_of(first), first)
    store.record_edit(edit_of(second), second)
    assert store.edits("demo", "r000")["example_id"].to_list() == ["e1", "e2"]
    store.record([say("skip", "e1", supersedes=first.decision_id)])
    assert store.edits("demo", "r000")["example_id"].to_list() == ["e2"]
    store.quarantine("reviewer", "bob", reason="made things up", who="lead")
    assert store.edits("demo", "r000").is_empty()


@pytest.mark.parametrize("made", [say("accept"), say("reject", reason="copied")])
def test_an_edit_needs_the_decision_that_goes_with_it(store: DecisionStore, made: Decision) -> None:
    with pytest.raises(StoreError, match="needs a reject of its own with the reason edited"):
        store.record_edit(edit_of(made), made)
    assert store.decisions("demo", "r000").is_empty()


def test_decisions_are_read_from_a_place_on(store: DecisionStore) -> None:
    store.record([say("accept", "e1")])
    seen = store.decisions_since("demo", "r000", 0)
    store.record([say("accept", "e2"), say("accept", "e3")])
    new = store.decisions_since("demo", "r000", seen["seq"].item())
    assert new["example_id"].to_list() == ["e2", "e3"]


# ---- quarantine


def test_a_quarantine_holds_until_it_is_lifted_and_both_stay_on_record(store: DecisionStore) -> None:
    assert store.quarantine("prompt", "p7", reason="bad answers", who="ada", at="2025-01-01T00:00:00+00:00")
    assert store.quarantined("demo").rows() == [
        ("prompt", "p7", None, "bad answers", "ada", "2025-01-01T00:00:00+00:00")
    ]
    assert not store.quarantine("prompt", "p7", reason="again", who="ada")
    assert store.lift_quarantine("prompt", "p7", reason="checked", who="bob")
    assert store.quarantined("demo").is_empty()
    assert store.quarantine_log()["lifted_at"].is_null().to_list() == [True, False]
    assert store.quarantine("prompt", "p7", reason="bad after all", who="ada")
    assert dict(store.quarantined().schema) == QUARANTINE_COLUMNS


def test_a_quarantine_may_be_for_one_data_set_only(store: DecisionStore) -> None:
    store.quarantine("model", "m", dataset="demo", reason="r", who="w")
    assert store.quarantined("demo").height == 1
    assert store.quarantined("other").is_empty()
    assert not store.lift_quarantine("model", "m", reason="r", who="w")


def test_a_quarantine_needs_kind_value_reason_and_name(store: DecisionStore) -> None:
    with pytest.raises(StoreError, match="allowed are model, prompt, seed, reviewer, example"):
        store.quarantine("person", "x", reason="r", who="w")
    with pytest.raises(StoreError, match="who is empty"):
        store.quarantine("model", "x", reason="r", who=" ")


# ---- crashes and company

_WRITER = """
import sys
from synth_assets.review.decisions import Decision, DecisionStore
store, name = DecisionStore(sys.argv[1]), sys.argv[2]
for i in range(100_000):
    store.record([Decision("demo", "r000", f"e{i}", name, "accept", "t")])
    print(i, flush=True)
"""


def start_writer(url: str, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", _WRITER, url, name], stdout=subprocess.PIPE, text=True)


def kill_after(writer: subprocess.Popen[str], acknowledged: int) -> int:
    """Kill −9 once so many are acknowledged; return how many were in the end."""
    assert writer.stdout is not None
    for _ in range(acknowledged):
        assert writer.stdout.readline()
    os.kill(writer.pid, signal.SIGKILL)
    rest = writer.stdout.read().splitlines()
    writer.stdout.close()
    writer.wait()
    return acknowledged + len(rest)


def test_what_was_acknowledged_survives_kill_nine(database_url: str) -> None:
    acknowledged = kill_after(start_writer(database_url, "ada"), 20)
    stored = DecisionStore(database_url).decisions("demo", "r000")["example_id"].to_list()
    assert set(stored) >= {f"e{i}" for i in range(acknowledged)}
    assert len(stored) == len(set(stored)) <= acknowledged + 1


def test_writers_side_by_side_lose_nothing_when_killed(database_url: str) -> None:
    names = ("ada", "bob")
    writers = {name: start_writer(database_url, name) for name in names}
    acknowledged = {name: kill_after(writer, 10) for name, writer in writers.items()}
    stored = DecisionStore(database_url).decisions("demo", "r000")
    for name in names:
        mine = stored.filter(pl.col("reviewer") == name)["example_id"].to_list()
        assert set(mine) >= {f"e{i}" for i in range(acknowledged[name])}
        assert len(mine) == len(set(mine)) <= acknowledged[name] + 1


def test_the_file_is_written_for_durability(sqlite: Path) -> None:
    store = DecisionStore(f"sqlite:///{sqlite}")
    store.record([say("accept")])
    with sqlite3.connect(sqlite) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    with store.database.engine.connect() as inside:
        settings = [inside.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("synchronous", "foreign_keys")]
    assert settings == [2, 1]


def test_a_database_locked_for_too_long_is_named(sqlite: Path) -> None:
    store = DecisionStore(f"sqlite:///{sqlite}", busy_seconds=0.2)
    holder = sqlite3.connect(sqlite)
    holder.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(StoreError, match=r"ops.db: cannot store decisions: another process has held it"):
            store.record([say("accept")])
    finally:
        holder.close()
    assert store.record([say("accept")]) == 1


# ---- databases that cannot be used


def test_a_read_only_database_is_named(sqlite: Path) -> None:
    DecisionStore(f"sqlite:///{sqlite}").close()
    with pytest.raises(StoreError, match="it is read-only; give write access"):
        DecisionStore(f"sqlite:///file:{sqlite}?mode=ro&uri=true").record([say("accept")])


def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="the file cannot be opened; check that its folder"):
        DecisionStore(f"sqlite:///{tmp_path}")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot create the folder"):
        DecisionStore(f"sqlite:///{tmp_path / 'file' / 'ops.db'}")


def test_another_kind_of_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "ops.db").write_text("this is text, long enough to be read as a header of a database file. " * 20)
    with pytest.raises(StoreError, match="no SQLite database; move it away"):
        DecisionStore(f"sqlite:///{tmp_path / 'ops.db'}")


def test_tables_of_another_program_are_named(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "ops.db")
    connection.execute("CREATE TABLE decisions (a)")
    connection.execute("CREATE TABLE quarantine (a)")
    connection.close()
    with pytest.raises(StoreError, match="tables come from another program"):
        DecisionStore(f"sqlite:///{tmp_path / 'ops.db'}").decisions("demo", "r000")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("no url", "the database URL cannot be read; write sqlite"),
        ("nosuchdatabase://localhost/x", "'nosuchdatabase' is no database"),
        ("sqlite+nosuchdriver:///x.db", "is no database"),
    ],
)
def test_a_wrong_url_says_what_to_write(url: str, told: str) -> None:
    with pytest.raises(StoreError, match=told):
        DecisionStore(url)


def test_a_missing_driver_is_named_and_no_password_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "oracledb", None)
    with pytest.raises(StoreError, match="driver 'oracledb' is not installed; install it") as caught:
        DecisionStore("oracle+oracledb://ada:secret@localhost/x")
    assert "secret" not in str(caught.value)


# ---- files


SAMPLE = pl.DataFrame(
    {
        "example_id": ["e1", "e2", "e3"],
        "stratum": "s",
        "generator_id": "g",
        "prompt_id": "p",
        "part": ["random", "risk", "random"],
        "priority": pl.Series([2, 0, 1], dtype=pl.Int32),
        "weight": [1.5, 0.0, 1.5],
    }
)
CONTENT = pl.DataFrame(
    {
        "example_id": ["e1", "e2", "e3", "e4"],
        "content_id": ["v1", "v2", "v3", "v4"],
        "generator_id": "g",
        "quality": [0.1, 0.2, 0.3, 0.4],
        "text": ["plain, with comma", "=HYPERLINK(1)", "Grüße „你好“\nzwei", "x"],
        "amount": [-5, 1, 2, 3],
        "decision": ["@field", "b", "c", "d"],
        "turns": [[{"role": "user", "content": "hi"}]] * 4,
    }
)


def fill_in(path: Path, values: dict[str, dict[str, str]]) -> None:
    """Fill in the form as a spreadsheet would: every cell text, the rest untouched."""
    table = pl.read_csv(path, infer_schema=False)
    for column in ("decision", "reason", "reviewer", "seconds"):
        new = [values.get(key, {}).get(column, "") for key in table["example_id"]]
        table = table.with_columns(pl.Series(column, new))
    table.write_csv(path)


def test_an_export_shows_content_in_serving_order_and_nothing_about_its_origin(tmp_path: Path) -> None:
    path = export_sample(SAMPLE, CONTENT, tmp_path / "review.csv")
    table = pl.read_csv(path, infer_schema=False)
    assert table.columns == [
        "example_id",
        "item_version",
        "text",
        "amount",
        "field decision",
        "turns",
        "decision",
        "reason",
        "reviewer",
        "seconds",
    ]
    assert table["example_id"].to_list() == ["e2", "e3", "e1"]
    assert table["text"][1] == "Grüße „你好“\nzwei"
    assert table["turns"][0] == '[{"role": "user", "content": "hi"}]'


def test_an_export_cannot_run_formulas_and_keeps_numbers(tmp_path: Path) -> None:
    table = pl.read_csv(export_sample(SAMPLE, CONTENT, tmp_path / "review.csv"), infer_schema=False)
    assert table["text"][0] == "'=HYPERLINK(1)"
    assert table["field decision"][2] == "'@field"
    assert table["amount"][2] == "-5"


def test_a_filled_in_csv_comes_back_as_decisions(tmp_path: Path, store: DecisionStore) -> None:
    path = export_sample(SAMPLE, CONTENT, tmp_path / "review.csv")
    fill_in(
        path,
        {
            "e1": {"decision": "Accept ", "reviewer": "ada", "seconds": "12,5"},
            "e2": {"decision": "reject", "reason": "wrong, twice", "reviewer": "@bob"},
        },
    )
    found, rejected = import_decisions(path, "demo", "r000", SAMPLE)
    assert dict(found.schema) == DECISION_COLUMNS
    assert found.select("example_id", "reviewer", "decision", "reason", "seconds", "item_version").rows() == [
        ("e2", "@bob", "reject", "wrong, twice", 0.0, "v2"),
        ("e1", "ada", "accept", "", 12.5, "v1"),
    ]
    assert dict(rejected.schema) == REJECTED_COLUMNS
    assert rejected.select("line", "example_id", "reason").rows() == [(3, "e3", "no_decision")]
    assert store.record(found) == 2
    assert store.record(import_decisions(path, "demo", "r000", SAMPLE)[0]) == 0


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_are_understood(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "review.csv"
    path.write_text(f"example_id{separator}decision{separator}reviewer\ne1{separator}flag{separator}ada\n")
    assert import_decisions(path, "demo", "r000", SAMPLE)[0]["decision"].to_list() == ["flag"]


def test_jsonl_goes_out_and_in(tmp_path: Path) -> None:
    path = export_sample(SAMPLE, CONTENT, tmp_path / "review.jsonl")
    lines = path.read_text(encoding="utf-8").splitlines()
    assert '"text":"=HYPERLINK(1)"' in lines[0]
    lines[0] = lines[0].replace('"decision":""', '"decision":"accept"').replace('"reviewer":""', '"reviewer":"ada"')
    path.write_text("\n".join([*lines, "{broken", "[1]"]), encoding="utf-8")
    found, rejected = import_decisions(path, "demo", "r000", SAMPLE)
    assert found["example_id"].to_list() == ["e2"]
    assert rejected.select("line", "reason").rows() == [
        (2, "no_decision"),
        (3, "no_decision"),
        (4, "bad_json"),
        (5, "not_an_object"),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("e9,accept,ada,,v1", "unknown_example"),
        (",accept,ada,,", "unknown_example"),
        ("e1,maybe,ada,,v1", "unknown_decision"),
        ("e1,accept,,,v1", "missing_reviewer"),
        ("e1,accept,automated:1,,v1", "reserved_reviewer"),
        (f"e1,accept,{'x' * 300},,v1", "too_long"),
        ("e1,accept,ada,soon,v1", "bad_seconds"),
        ("e1,accept,ada,-1,v1", "bad_seconds"),
        ("e1,accept,ada,1,v0", "other_version"),
    ],
)
def test_a_line_that_is_no_decision_is_kept_with_its_reason(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "review.csv"
    path.write_text(f"example_id,decision,reviewer,seconds,item_version\n{line}\n")
    sample = SAMPLE.join(CONTENT.select("example_id", "content_id"), on="example_id")
    found, rejected = import_decisions(path, "demo", "r000", sample)
    assert found.is_empty()
    assert rejected["reason"].to_list() == [reason]
    assert rejected["detail"].null_count() == 0


def test_a_name_may_stand_in_for_empty_reviewer_cells(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    path.write_text("example_id,decision\ne1,accept\n")
    assert import_decisions(path, "demo", "r000", SAMPLE, reviewer="ada")[0]["reviewer"].to_list() == ["ada"]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", b"id,said\n1,2\n", "the columns example_id, decision are missing"),
        ("a.csv", "example_id,decision\ne1,Gr\xfc".encode("latin-1"), "not UTF-8 at byte 25"),
        ("a.csv", b"", "no readable CSV"),
        ("a.xlsx", b"", "must end in .csv or .jsonl"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(StoreError, match=told):
        import_decisions(tmp_path / name, "demo", "r000", SAMPLE)


def test_an_export_without_a_place_or_content_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written"):
        export_sample(SAMPLE, CONTENT, tmp_path / "nowhere" / "review.csv")
    with pytest.raises(StoreError, match="content of 2 sampled examples is missing"):
        export_sample(SAMPLE, CONTENT.head(1), tmp_path / "review.csv")
