"""The graph end to end on real text: what a round leaves behind, and how rounds follow each other."""

from __future__ import annotations

import polars as pl

from synth_assets.provenance.release import find_release
from synth_assets.records import SYNTHETIC
from synth_assets_tests.projects import Runner, failure_of, write_settings


def test_a_round_reaches_a_release_within_the_share_and_with_lineage(released: Runner) -> None:
    release = find_release(released.project.releases, "mini")
    release.verify()
    corpus, lineage = release.read(), release.read_lineage()
    assert 0.6 <= (corpus["origin"] == SYNTHETIC).mean() <= 0.8
    made = lineage.filter(pl.col("origin") == SYNTHETIC)
    told = ("generator_id", "prompt_id", "prompted_by", "trained_on", "seed", "parameters", "discriminators", "run")
    for column in told:
        assert made[column].null_count() == 0, column
    assert set(lineage["example_id"]) == set(corpus["example_id"])


def test_no_private_row_and_no_held_out_row_is_in_the_release(released: Runner) -> None:
    corpus = find_release(released.project.releases, "mini").read()
    seeds = released.project.lake.read("seeds", "mini")
    unfit = seeds.filter((pl.col("disposition") != "releasable") | (pl.col("split") != "train"))
    assert unfit.height > 0
    assert corpus.join(unfit, on="content_id", how="semi").is_empty()


def test_rows_are_conserved_at_every_stage(released: Runner) -> None:
    lake = released.project.lake
    raw, seeds = lake.require("raw_seeds", "mini"), lake.require("seeds", "mini")
    assert raw.rows() == seeds.rows() + seeds.rows("rejected")
    candidates, filtered = lake.require("candidates", "mini", "r000"), lake.require("filtered", "mini", "r000")
    rejected = lake.read("verdicts", "mini", "r000").filter(~pl.col("passed"))
    assert candidates.rows() == filtered.rows() + rejected.height


def test_the_same_inputs_give_the_same_digests_with_another_shard_size(fresh: Runner, released: Runner) -> None:
    import yaml

    path = fresh.project.seed_folder("mini") / "dataset.yaml"
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    settings["generation"]["shard_size"] = 7
    write_settings(fresh.project.root, settings)
    fresh.take_round("r000")
    for asset in ("plan", "candidates", "verdicts", "filtered", "review_sample", "review_outcome", "corpus"):
        mine = fresh.project.lake.require(asset, "mini", "r000").digest
        assert mine == released.project.lake.require(asset, "mini", "r000").digest, asset


def test_a_second_round_adds_to_the_first_and_repeats_no_content(released: Runner) -> None:
    first = released.project.lake.read("corpus", "mini", "r000")
    import yaml

    path = released.project.seed_folder("mini") / "dataset.yaml"
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    settings["mix"]["share"] = 0.78  # leaves room for more synthetic rows than the first round took
    write_settings(released.project.root, settings)
    assert released.run("seeds", "mini").success
    released.take_round("r001")
    second = released.project.lake.read("corpus", "mini", "r001")
    assert set(first.filter(pl.col("origin") == SYNTHETIC)["example_id"]) <= set(second["example_id"])
    assert second.filter(pl.col("round") == "r001").height > 0
    assert second["content_id"].n_unique() == second.height


def test_a_closed_round_is_never_overwritten(released: Runner) -> None:
    result = released.materialize("plan", "mini|r000")
    assert "is closed and never overwritten" in failure_of(result)


def test_a_round_whose_predecessor_is_open_fails_at_once(fresh: Runner) -> None:
    fresh.take_round("r000", automated=False)
    fresh.instance.add_dynamic_partitions("round", ["r001"])
    assert "round r000 is not closed yet" in failure_of(fresh.run("round", "mini|r001"))


def test_an_open_review_yields_nothing_and_downstream_waits(fresh: Runner) -> None:
    fresh.take_round("r000", automated=False)
    assert fresh.run("review", "mini|r000").success
    lake = fresh.project.lake
    assert lake.current("review_outcome", "mini", "r000") is None
    assert lake.current("corpus", "mini", "r000") is None


def test_a_rejected_round_is_closed_and_followed_by_the_next(fresh: Runner) -> None:
    fresh.take_round("r000", automated=False)
    decide(fresh, "r000", "reject")
    assert fresh.run("review", "mini|r000").success
    lake = fresh.project.lake
    assert lake.read("round_close", "mini", "r000")["decision"].item() == "reject"
    assert lake.read("corpus", "mini", "r000").is_empty()
    assert "review" in failure_of(fresh.run("release", "mini|r000"))
    fresh.take_round("r001")
    assert lake.read("corpus", "mini", "r001")["round"].drop_nulls().unique().to_list() == ["r001"]


def test_people_who_accept_everything_certify_the_batch(fresh: Runner) -> None:
    fresh.take_round("r000", automated=False)
    decide(fresh, "r000", "accept")
    assert fresh.run("review", "mini|r000").success
    outcome = fresh.project.lake.read("review_outcome", "mini", "r000").row(0, named=True)
    assert (outcome["decision"], outcome["automated"], outcome["certified"]) == ("accept", False, True)
    assert outcome["bound_high"] <= 0.05


def decide(runner: Runner, round_: str, decision: str) -> None:
    """Let one person decide the same on every row of the sample."""
    from synth_assets.review.decisions import DecisionStore

    lake = runner.project.lake
    sample = lake.read("review_sample", "mini", round_)
    contents = lake.read("filtered", "mini", round_).select("example_id", item_version="content_id")
    DecisionStore(runner.project.ops_url).record(
        sample.select("example_id")
        .join(contents, on="example_id")
        .with_columns(
            dataset=pl.lit("mini"),
            round=pl.lit(round_),
            reviewer=pl.lit("ada"),
            reviewer_kind=pl.lit("human"),
            decision=pl.lit(decision),
            reason=pl.lit("test"),
            seconds=pl.lit(20.0),
        )
    )
