"""A concluded review as it stands once a reviewer is recalled."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from synth_assets.provenance.ledger import REVOKED, accepted_rounds, planned_digests, read_review
from synth_assets.review.decisions import resolve_examples
from synth_assets.store import Lake

ADA_AND_BOB = [("e0", "ada", "accept"), ("e0", "bob", "accept"), ("e1", "ada", "accept"), ("e1", "bob", "reject")]


def make_lake(root: Path, votes: list[tuple[str, str, str]], *, recalled: list[str], decision: str = "accept") -> Lake:
    """Write one concluded round; reviewers whose name starts with `automated:` are machines."""
    decisions = pl.DataFrame(votes, schema=["example_id", "reviewer", "decision"], orient="row").with_columns(
        reviewer_kind=pl.when(pl.col("reviewer").str.starts_with("automated:"))
        .then(pl.lit("automated"))
        .otherwise(pl.lit("human"))
    )
    lake = Lake(root)
    rows = pl.DataFrame({"decision": [decision], "automated": [False]})
    resolutions = resolve_examples(decisions).select("example_id", "resolution")
    lake.write("review_outcome", "demo", "r000", {"rows": rows, "decisions": decisions, "resolutions": resolutions})
    entries = {"kind": ["reviewer"] * len(recalled), "value": recalled}
    lake.write("quarantine", "demo", None, pl.DataFrame(entries, schema={"kind": pl.String, "value": pl.String}))
    return lake


@pytest.mark.parametrize(
    ("votes", "recalled", "decision"),
    [
        (ADA_AND_BOB, [], "accept"),
        (ADA_AND_BOB, ["eve"], "accept"),
        (ADA_AND_BOB, ["bob"], "accept"),
        (ADA_AND_BOB, ["ada", "bob"], REVOKED),
        ([*ADA_AND_BOB, ("e2", "bob", "accept")], ["bob"], REVOKED),
        ([*ADA_AND_BOB, ("e2", "bob", "skip")], ["bob"], "accept"),
        ([*ADA_AND_BOB, ("e2", "bob", "accept"), ("e2", "ada", "skip")], ["bob"], REVOKED),
        ([("e0", "ada", "accept"), ("e0", "automated:m", "accept")], ["ada"], REVOKED),
        ([("e0", "ada", "accept"), ("e0", "automated:m", "reject")], ["automated:m"], "accept"),
        ([("e0", "automated:m", "accept")], ["automated:m"], REVOKED),
    ],
)
def test_an_accepted_round_stands_while_others_decided_what_a_recalled_reviewer_did(
    tmp_path: Path, votes: list[tuple[str, str, str]], recalled: list[str], decision: str
) -> None:
    lake = make_lake(tmp_path, votes, recalled=recalled)
    assert read_review(lake, "demo", "r000").decision == decision
    assert accepted_rounds(lake, "demo", "r000") == (["r000"] if decision == "accept" else [])


def test_what_a_recalled_reviewer_said_no_longer_counts(tmp_path: Path) -> None:
    found = read_review(make_lake(tmp_path, ADA_AND_BOB, recalled=["bob"]), "demo", "r000")
    assert dict(found.resolutions.iter_rows()) == {"e0": "accept", "e1": "reject"}  # a recall lets nothing in
    assert found.decisions["reviewer"].unique().to_list() == ["ada"]
    assert found.edits.is_empty()
    assert found.fixes.is_empty()


def test_a_rejected_round_stays_rejected(tmp_path: Path) -> None:
    lake = make_lake(tmp_path, ADA_AND_BOB, recalled=["bob"], decision="reject")
    assert read_review(lake, "demo", "r000").decision == "reject"


def test_vacuum_spares_the_seeds_that_a_plan_pins_though_newer_ones_are_current(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    pinned, unused, current = (lake.write("seeds", "demo", None, pl.DataFrame({"n": [n]})) for n in range(3))
    settings = {"seeds_digest": [pinned.digest], "contract_digest": ["c"], "feedback_digest": [""]}
    lake.write("plan", "demo", "r000", {"rows": pl.DataFrame({"n": [1]}), "settings": pl.DataFrame(settings)})
    assert planned_digests(lake) == {pinned.digest, "c"}
    removed = lake.vacuum(planned_digests(lake), older_than=dt.timedelta(seconds=-1))
    assert removed == [unused.path]
    assert current.path.exists()
