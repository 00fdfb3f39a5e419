"""Gates refuse inside the bodies: materializing corpus or release alone does not get past them."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

from synth_assets.records import REAL, SYNTHETIC
from synth_assets_tests.projects import Runner, failure_of

Plant = Callable[[Runner, pl.DataFrame], pl.DataFrame]


def as_real(runner: Runner, corpus: pl.DataFrame, row: pl.DataFrame) -> pl.DataFrame:
    """Return a seed row dressed as a real row of the corpus."""
    template = corpus.filter(pl.col("origin") == REAL).head(1)
    columns = [name for name in corpus.columns if name in row.columns and name != "origin"]
    return template.with_columns(pl.lit(row[name].item()).alias(name) for name in columns).select(corpus.columns)


def plant_private_row(runner: Runner, corpus: pl.DataFrame) -> pl.DataFrame:
    seeds = runner.project.lake.read("seeds", "mini").filter(pl.col("split") == "train")
    return pl.concat([corpus, as_real(runner, corpus, seeds.filter(pl.col("disposition") == "synthesis_only").head(1))])


def plant_sealed_row(runner: Runner, corpus: pl.DataFrame) -> pl.DataFrame:
    seeds = runner.project.lake.read("seeds", "mini").filter(pl.col("disposition") == "releasable")
    return pl.concat([corpus, as_real(runner, corpus, seeds.filter(pl.col("split") == "sealed").head(1))])


def drop_real_rows(runner: Runner, corpus: pl.DataFrame) -> pl.DataFrame:
    return corpus.filter(pl.col("origin") == SYNTHETIC)


def strip_lineage(runner: Runner, corpus: pl.DataFrame) -> pl.DataFrame:
    made = pl.col("origin") == SYNTHETIC
    return corpus.with_columns(pl.when(made).then(pl.lit("0" * 32)).otherwise("example_id").alias("example_id")).unique(
        "example_id", maintain_order=True
    )


def claim_other_round(runner: Runner, corpus: pl.DataFrame) -> pl.DataFrame:
    return corpus.with_columns(round=pl.when(pl.col("origin") == SYNTHETIC).then(pl.lit("r007")))


def export_hidden_column(runner: Runner, corpus: pl.DataFrame) -> pl.DataFrame:
    return corpus.with_columns(id=pl.lit("s0001"))


@pytest.mark.parametrize(
    ("plant", "gate"),
    [
        (plant_private_row, "clearance"),
        (plant_sealed_row, "sealed"),
        (drop_real_rows, "mix"),
        (strip_lineage, "clearance"),
        (claim_other_round, "review"),
        (export_hidden_column, "clearance"),
    ],
)
def test_a_planted_fault_in_the_corpus_is_refused_by_release_alone(released: Runner, plant: Plant, gate: str) -> None:
    lake = released.project.lake
    version = lake.require("corpus", "mini", "r000")
    planted = plant(released, version.read())
    lake.write("corpus", "mini", "r000", {"rows": planted, "strata": version.read("strata")})
    before = sorted(released.project.releases.rglob("*"))
    result = released.materialize("release", "mini|r000")
    assert not result.success
    assert f"{gate}:" in failure_of(result)
    assert sorted(released.project.releases.rglob("*")) == before


def test_a_release_of_an_open_review_is_refused(fresh: Runner) -> None:
    fresh.take_round("r000", automated=False)
    result = fresh.materialize("release", "mini|r000")
    assert not result.success
    assert "does not exist yet" in failure_of(result)


def test_a_review_that_was_judged_on_other_rows_is_refused(released: Runner) -> None:
    lake = released.project.lake
    filtered = lake.require("filtered", "mini", "r000")
    rows = filtered.read()
    tables = {"rows": rows.head(rows.height - 1), "strata": filtered.read("strata")}
    lake.write("filtered", "mini", "r000", tables, meta=filtered.meta)
    assert "review:" in failure_of(released.materialize("release", "mini|r000"))


def test_a_recalled_prompt_is_refused_until_the_corpus_is_made_again(released: Runner) -> None:
    from synth_assets.review.decisions import DecisionStore

    example = (
        released.project.lake.read("corpus", "mini", "r000").filter(pl.col("origin") == SYNTHETIC).row(0, named=True)
    )
    DecisionStore(released.project.ops_url).quarantine(
        kind="example", value=example["example_id"], dataset="mini", reason="wrong", who="ada"
    )
    assert released.run("recall", "mini").success
    assert "quarantine:" in failure_of(released.materialize("release", "mini|r000"))
    assert released.run("recall_rebuild", "mini|r000").success
    assert released.run("release", "mini|r000").success
    assert example["example_id"] not in set(released.project.lake.read("corpus", "mini", "r000")["example_id"])


def test_an_unregistered_generator_blocks_the_corpus(released: Runner) -> None:
    released.project.generators_file.write_text("generators: []\n", encoding="utf-8")
    message = failure_of(released.materialize("corpus", "mini|r000"))
    assert "license:" in message
    assert "not in data/generators.yaml" in message
