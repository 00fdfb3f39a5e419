"""What reviewers fix becomes an example with lineage, is judged as every candidate was, and can be recalled."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from synth_assets.project import Project
from synth_assets.provenance.ledger import EDITED_BY_PERSON, collect_accepted, trace_example
from synth_assets.provenance.quarantine import drop_quarantined
from synth_assets.provenance.release import find_release
from synth_assets.records import SYNTHETIC
from synth_assets.review.app.editing import write_record
from synth_assets.review.decisions import EDITED, Decision, DecisionStore
from synth_assets.review.edits import Edit
from synth_assets_tests.projects import Runner, failure_of, make_project

ROUND = "r000"
FIXED = "Hello, order 48213 was marked as delivered on Tuesday but the parcel box downstairs stayed empty all week."


@pytest.fixture(scope="module")
def drawn_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one round that waits for its reviewers and bears defects."""

    def bear_defects(settings: dict[str, Any]) -> None:
        settings["review"] = {"tolerated_defect_rate": 0.4, "acceptable_defect_rate": 0.1}

    root = tmp_path_factory.mktemp("drawn")
    project = make_project(root / "project", change=bear_defects)
    with instance_in(root) as instance:
        Runner(project, instance).take_round(ROUND, automated=False)
    return root


@pytest.fixture
def drawn(drawn_template: Path, tmp_path: Path) -> Iterator[Runner]:
    with copy_of(drawn_template, tmp_path) as runner:
        yield runner


@pytest.fixture(scope="module")
def released_template(drawn_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after ada accepted everything and bob fixed one row: concluded and released."""
    root = tmp_path_factory.mktemp("released")
    with copy_of(drawn_template, root) as runner:
        accept_all(runner)
        row = order_row(runner)
        edit(runner, row, content_of(row, text=FIXED))
        conclude(runner)
        succeed(runner, "release", f"mini|{ROUND}")
    return root


@pytest.fixture
def released(released_template: Path, tmp_path: Path) -> Iterator[Runner]:
    with copy_of(released_template, tmp_path) as runner:
        yield runner


@contextmanager
def instance_in(root: Path) -> Iterator[dg.DagsterInstance]:
    (root / "instance").mkdir()
    with dg.instance_for_test(temp_dir=str(root / "instance")) as instance:
        yield instance


@contextmanager
def copy_of(template: Path, root: Path) -> Iterator[Runner]:
    """Copy a project and give it an instance that knows its partitions."""
    shutil.copytree(template / "project", root / "project")
    with instance_in(root) as instance:
        instance.add_dynamic_partitions("dataset", ["mini"])
        instance.add_dynamic_partitions("round", [ROUND])
        yield Runner(Project(root / "project"), instance)


def drawn_rows(runner: Runner) -> list[dict[str, Any]]:
    """Return the rows of the batch to review, in serving order."""
    lake = runner.project.lake
    sample, filtered = lake.read("review_sample", "mini", ROUND), lake.read("filtered", "mini", ROUND)
    return sample.sort("priority").join(filtered, on="example_id", maintain_order="left").to_dicts()


def accept_all(runner: Runner) -> None:
    """Let ada accept every drawn row."""
    DecisionStore(runner.project.ops_url).record(
        Decision("mini", ROUND, row["example_id"], "ada", "accept", "once", item_version=row["content_id"])
        for row in drawn_rows(runner)
    )


def edit(runner: Runner, row: dict[str, Any], content: str) -> None:
    """Let bob edit a row."""
    decision = Decision(
        "mini", ROUND, row["example_id"], "bob", "reject", "once", reason=EDITED, item_version=row["content_id"]
    )
    given = Edit(decision.decision_id, "mini", ROUND, row["example_id"], "bob", content, row["content_id"])
    assert DecisionStore(runner.project.ops_url).record_edit(given, decision) == 1


def content_of(row: dict[str, Any], **changes: Any) -> str:
    return write_record({name: row[name] for name in ("text", "intent", "channel", "urgency")} | changes)


def conclude(runner: Runner) -> pl.DataFrame:
    """Take the round through its review; return what became of the edits."""
    succeed(runner, "review", f"mini|{ROUND}")
    return runner.project.lake.read("review_outcome", "mini", ROUND, "edits")


def succeed(runner: Runner, job: str, partition: str) -> None:
    result = runner.run(job, partition)
    assert result.success, failure_of(result)


def order_row(runner: Runner) -> dict[str, Any]:
    return next(row for row in drawn_rows(runner) if row["intent"] == "order_status")


def fixed_id_of(runner: Runner) -> str:
    return runner.project.lake.read("review_outcome", "mini", ROUND, "edits")["example_id"].item()


def test_a_fix_takes_the_place_of_its_original_in_corpus_and_release(released: Runner) -> None:
    lake, row, fixed_id = released.project.lake, order_row(released), fixed_id_of(released)
    edits = lake.read("review_outcome", "mini", ROUND, "edits")
    assert edits.select("original_id", "reviewer", "state", "reason").rows() == [
        (row["example_id"], "bob", "accepted", "")
    ]
    release = find_release(released.project.releases, "mini")
    rows, lineage = release.read(), release.read_lineage()
    assert row["example_id"] not in set(rows["example_id"])
    fix = rows.filter(pl.col("example_id") == fixed_id).row(0, named=True)
    assert (fix["text"], fix["review_status"], fix["origin"]) == (FIXED, EDITED_BY_PERSON, SYNTHETIC)
    assert "Rows that a reviewer has edited: 1" in (release.path / "README.md").read_text(encoding="utf-8")
    told = lineage.filter(pl.col("example_id") == fixed_id).row(0, named=True)
    assert (told["parents"], told["edited_by"], told["watermark_key_id"]) == ([row["example_id"]], "bob", None)
    for name in ("round", "request_id", "generator_id", "prompt_id", "prompted_by", "trained_on", "seed", "parameters"):
        assert told[name] == row[name], name
    assert {(each["reviewer"], each["decision"]) for each in json.loads(told["decisions"])} == {
        ("ada", "accept"),
        ("bob", "reject"),
    }
    assert {"record", "duplicates", "leakage", "labels"} <= set(json.loads(told["discriminators"]))
    batch = lake.read("filtered", "mini", ROUND).filter(pl.col("state") == "kept")
    assert set(rows.filter(pl.col("origin") == SYNTHETIC)["example_id"]) == {
        *batch.filter(pl.col("example_id") != row["example_id"])["example_id"],
        fixed_id,
    }


def test_a_trace_leads_from_the_fix_to_its_original_and_back(released: Runner) -> None:
    lake, row, fixed_id = released.project.lake, order_row(released), fixed_id_of(released)
    found = trace_example(lake, "mini", fixed_id)
    assert (found["example"]["text"], found["original"]["text"]) == (FIXED, row["text"])
    assert {(each["reviewer"], each["decision"]) for each in found["decisions"]} == {
        ("ada", "accept"),
        ("bob", "reject"),
    }
    assert [each["reviewer"] for each in found["edits"]] == ["bob"]
    assert {each["example_id"] for each in found["exemplars"]} == set(row["prompted_by"])
    assert found["corpora"] == [ROUND]
    assert found["verdicts"]
    assert all(each["passed"] for each in found["verdicts"])
    back = trace_example(lake, "mini", row["example_id"])
    assert [each["example_id"] for each in back["edits"]] == [fixed_id]
    assert back["corpora"] == []


def test_the_lineage_model_shows_the_fix(released: Runner) -> None:
    row, fixed_id = order_row(released), fixed_id_of(released)
    shown = released.project.lake.read("lineage", "mini", ROUND)
    fix = shown.filter(pl.col("example_id") == fixed_id).row(0, named=True)
    assert (fix["state"], fix["parents"], fix["edited_by"]) == ("edited", [row["example_id"]], "bob")
    assert (fix["review_resolution"], fix["reviewer_kind"], fix["in_corpus"]) == ("edited", "human", True)
    assert shown.height == shown["example_id"].n_unique()


def test_copies_are_rejected_with_evidence_and_hostile_edits_set_aside(drawn: Runner) -> None:
    accept_all(drawn)
    lake, rows = drawn.project.lake, drawn_rows(drawn)
    kept = lake.read("filtered", "mini", ROUND).filter(pl.col("state") == "kept")
    seed = lake.read("seeds", "mini").filter(pl.col("split") == "train").row(0, named=True)
    sibling = kept.filter(~pl.col("example_id").is_in([row["example_id"] for row in rows])).row(0, named=True)
    contents = {
        "seed": content_of(seed),
        "sibling": content_of(sibling),
        "control": content_of(rows[2], text=FIXED.replace(" ", "\x00\x1b[31m ")),
        "huge": content_of(rows[3], text="parcel " * 200_000),
        "types": json.dumps({"text": ["no", "text"], "intent": 7, "channel": None, "urgency": {}}),
        "no_json": '{"text": "cut',
        "new_stratum": content_of(rows[6], text=FIXED, intent="coup"),
        "unchanged": content_of(rows[7]),
    }
    originals = dict(zip(contents, rows, strict=False))
    for name, content in contents.items():
        edit(drawn, originals[name], content)
    told = {row["original_id"]: row for row in conclude(drawn).to_dicts()}
    found = {name: told[row["example_id"]] for name, row in originals.items()}
    assert {name: (row["state"], row["reason"]) for name, row in found.items()} == {
        "seed": ("rejected", "exact_duplicate"),
        "sibling": ("rejected", "exact_duplicate"),
        "control": ("rejected", "encoding_damage"),
        "huge": ("aside", "too_long"),
        "types": ("aside", "wrong_type"),
        "no_json": ("aside", "bad_json"),
        "new_stratum": ("aside", "unplanned_stratum"),
        "unchanged": ("aside", "unchanged"),
    }
    assert seed["example_id"] in found["seed"]["detail"]
    assert sibling["example_id"] in found["sibling"]["detail"]
    corpus = lake.read("corpus", "mini", ROUND)
    assert corpus.filter(pl.col("review_status") == EDITED_BY_PERSON).is_empty()
    assert set(corpus["example_id"]).isdisjoint(row["example_id"] for row in originals.values())
    funnel = lake.read("funnel", "mini", ROUND).filter(pl.col("flow") == "edited").sort("step")
    assert funnel["rows_in"].first() == len(contents)
    assert funnel["rows_out"].last() == 0
    assert funnel.filter(pl.col("reason") == "unexplained")["rows_rejected"].sum() == 0


def test_the_same_decisions_give_the_same_digest(drawn: Runner) -> None:
    accept_all(drawn)
    row = order_row(drawn)
    edit(drawn, row, content_of(row, text=FIXED))
    digests = []
    for _ in range(2):
        result = drawn.materialize("review_outcome", f"mini|{ROUND}")
        assert result.success, failure_of(result)
        digests.append(drawn.project.lake.require("review_outcome", "mini", ROUND).digest)
    assert digests[0] == digests[1]


def test_nothing_of_a_rejected_batch_enters_and_edits_teach_the_next_plan(drawn: Runner) -> None:
    lake, rows = drawn.project.lake, drawn_rows(drawn)
    for position, row in enumerate(rows):
        edit(drawn, row, content_of(row, text=f"{FIXED} Ticket {position} was never answered by your colleagues."))
    conclude(drawn)
    assert lake.read("review_outcome", "mini", ROUND)["decision"].item() == "reject"
    assert lake.read("corpus", "mini", ROUND).is_empty()
    learned = lake.read("feedback", "mini", "r001")
    seen = {row["stratum"] for row in rows if row["part"] == "random"}
    assert (learned.filter(pl.col("stratum").is_in(seen))["review_defect_rate"] > 0.5).all()


def test_the_recall_of_a_reviewer_takes_what_they_edited_out_of_the_next_release(released: Runner) -> None:
    row, fixed_id = order_row(released), fixed_id_of(released)
    before = find_release(released.project.releases, "mini")
    recall(released, "bob")
    assert "quarantine:" in failure_of(released.materialize("release", f"mini|{ROUND}"))
    succeed(released, "recall_rebuild", f"mini|{ROUND}")
    succeed(released, "release", f"mini|{ROUND}")
    after = find_release(released.project.releases, "mini")
    assert before.version != after.version
    assert {fixed_id, row["example_id"]}.isdisjoint(after.read()["example_id"])
    gone = before.read().join(after.read(), on="example_id", how="anti").filter(pl.col("origin") == SYNTHETIC)
    assert gone["example_id"].to_list() == [fixed_id]


def test_a_round_that_rests_on_a_recalled_reviewer_leaves_the_corpus(released: Runner) -> None:
    recall(released, "ada")
    succeed(released, "recall_rebuild", f"mini|{ROUND}")
    assert released.project.lake.read("corpus", "mini", ROUND).is_empty()
    assert "the corpus is empty" in failure_of(released.run("release", f"mini|{ROUND}"))


@pytest.mark.parametrize("kind", ["example", "seed", "prompt", "model"])
def test_the_recall_of_what_made_the_original_reaches_the_fix(released: Runner, kind: str) -> None:
    row, fixed_id = order_row(released), fixed_id_of(released)
    values = {
        "example": row["example_id"],
        "seed": row["prompted_by"][0],
        "prompt": row["prompt_id"],
        "model": row["generator_id"],
    }
    accepted = collect_accepted(released.project.lake, released.project.spec("mini"), ROUND)
    assert accepted is not None
    assert fixed_id in set(accepted["example_id"])
    left = drop_quarantined(accepted, pl.DataFrame({"kind": [kind], "value": [values[kind]]}))
    assert fixed_id not in set(left["example_id"])


def recall(runner: Runner, reviewer: str) -> None:
    DecisionStore(runner.project.ops_url).quarantine(
        "reviewer", reviewer, dataset="mini", reason="made things up", who="lead"
    )
    succeed(runner, "recall", "mini")
