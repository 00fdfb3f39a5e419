"""The lineage ledger: for every row of a corpus, everything that made it.

Here: collecting accepted rows and their lineage from the lake, and tracing one example. Not here: gates, the release.
"""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from synth_assets.errors import StoreError
from synth_assets.mixing.acceptance import accept_rows
from synth_assets.records import LINEAGE_COLUMNS, REAL, SYNTHETIC
from synth_assets.spec import DatasetSpec
from synth_assets.store import Lake

ACCEPT = "accept"


def accepted_rounds(lake: Lake, dataset: str, through: str) -> list[str]:
    """Return the rounds up to `through` whose review outcome is accept, in order."""
    rounds = []
    for round_ in lake.rounds("review_outcome", dataset):
        if (
            _order(round_) <= _order(through)
            and lake.read("review_outcome", dataset, round_)["decision"].item() == ACCEPT
        ):
            rounds.append(round_)
    return rounds


def collect_accepted(lake: Lake, spec: DatasetSpec, through: str) -> pl.DataFrame | None:
    """Return what all accepted rounds up to `through` contribute: candidate columns, quality and review_status.

    Equal content is kept once, from the earliest round. None if no round was accepted.
    """
    frames = []
    for round_ in accepted_rounds(lake, spec.name, through):
        outcome = lake.require("review_outcome", spec.name, round_)
        automated = bool(outcome.read()["automated"].item())
        frames.append(
            accept_rows(lake.read("filtered", spec.name, round_), outcome.read("resolutions"), automated=automated)
        )
    if not frames:
        return None
    return pl.concat(frames, how="diagonal_relaxed").unique("content_id", keep="first", maintain_order=True)


def collect_generated(lake: Lake, spec: DatasetSpec, through: str) -> pl.DataFrame | None:
    """Return the candidates of all rounds up to `through`, rejected or not: example_id, content_id, content columns."""
    columns = ["example_id", "content_id", *(field.name for field in spec.content_fields)]
    rounds = [name for name in lake.rounds("candidates", spec.name) if name <= through]
    frames = [lake.read("candidates", spec.name, name).select(columns) for name in rounds]
    return pl.concat(frames) if frames else None


def collect_reviews(lake: Lake, spec: DatasetSpec, through: str) -> pl.DataFrame | None:
    """Return what people decided in all rounds up to `through`: example_id, content columns, accepted:Boolean."""
    frames = []
    for round_ in lake.rounds("review_outcome", spec.name):
        if round_ > through:
            continue
        outcome = lake.require("review_outcome", spec.name, round_)
        human = outcome.read("decisions").filter(pl.col("reviewer_kind") == "human").select("example_id").unique()
        resolved = outcome.read("resolutions").join(human, on="example_id", how="semi")
        resolved = resolved.select("example_id", accepted=pl.col("resolution") == "accept")
        columns = [field.name for field in spec.content_fields]
        rows = lake.read("filtered", spec.name, round_).select("example_id", *columns)
        frames.append(rows.join(resolved, on="example_id", how="inner", maintain_order="left"))
    return pl.concat(frames) if frames else None


def build_lineage(lake: Lake, spec: DatasetSpec, corpus: pl.DataFrame, seeds: pl.DataFrame) -> pl.DataFrame:
    """Return one row a corpus row: identity, LINEAGE_COLUMNS, license and consent or discriminators and decisions.

    Real rows: source_file, source_line, license, consent, split. Synthetic rows: discriminators (JSON name → version),
    decisions (JSON list) and run, the Dagster run that generated them.
    """
    identity = corpus.select("example_id", "content_id", "origin", "stratum", "review_status")
    real = identity.filter(pl.col("origin") == REAL).join(
        seeds.select("example_id", "source_file", "source_line", "license", "consent", "split"), on="example_id"
    )
    frames = [real]
    for round_ in corpus.filter(pl.col("origin") == SYNTHETIC)["round"].unique().sort().to_list():
        frames.append(_round_lineage(lake, spec, identity, round_))
    return pl.concat(frames, how="diagonal_relaxed").sort("example_id")


def _round_lineage(lake: Lake, spec: DatasetSpec, identity: pl.DataFrame, round_: str) -> pl.DataFrame:
    candidates = lake.require("candidates", spec.name, round_)
    rows = candidates.read().select("example_id", *LINEAGE_COLUMNS)
    verdicts = lake.require("verdicts", spec.name, round_).scan()
    versions = verdicts.select("discriminator", "version").unique().sort("discriminator").collect()
    decisions = (
        lake.require("review_outcome", spec.name, round_)
        .read("decisions")
        .group_by("example_id")
        .agg(decisions=pl.struct("reviewer", "reviewer_kind", "decision", "reason").struct.json_encode())
        .with_columns(pl.format("[{}]", pl.col("decisions").list.sort().list.join(", ")).alias("decisions"))
    )
    return (
        identity.join(rows, on="example_id")
        .join(decisions, on="example_id", how="left")
        .with_columns(
            discriminators=pl.lit(json.dumps(dict(versions.iter_rows()), sort_keys=True)),
            run=pl.lit(candidates.meta.get("run"), dtype=pl.String),
        )
    )


def trace_example(lake: Lake, dataset: str, example_id: str) -> dict[str, Any]:
    """Return what is known of one example: row, verdicts, decisions, exemplars, corpora; StoreError if nothing."""
    seeds = lake.current("seeds", dataset)
    if seeds is not None:
        found = seeds.read().filter(pl.col("example_id") == example_id)
        if not found.is_empty():
            return {"origin": REAL, "example": found.to_dicts()[0], "corpora": _corpora(lake, dataset, example_id)}
    for round_ in lake.rounds("candidates", dataset):
        found = lake.require("candidates", dataset, round_).scan().filter(pl.col("example_id") == example_id).collect()
        if found.is_empty():
            continue
        example = found.to_dicts()[0]
        verdicts = lake.require("verdicts", dataset, round_).scan().filter(pl.col("example_id") == example_id)
        exemplars = pl.DataFrame()
        if seeds is not None:
            exemplars = seeds.read().filter(pl.col("example_id").is_in(example["prompted_by"]))
        outcome = lake.current("review_outcome", dataset, round_)
        decisions = outcome.read("decisions").filter(pl.col("example_id") == example_id) if outcome else pl.DataFrame()
        return {
            "origin": SYNTHETIC,
            "example": example,
            "verdicts": verdicts.collect().to_dicts(),
            "exemplars": exemplars.to_dicts(),
            "decisions": decisions.to_dicts(),
            "plan": lake.read("plan", dataset, round_, "settings").to_dicts()[0],
            "run": lake.require("candidates", dataset, round_).meta.get("run"),
            "corpora": _corpora(lake, dataset, example_id),
        }
    raise StoreError(
        f"{dataset}: no example '{example_id}' among seeds and candidates; `synth sql` can search the lake"
    )


def _corpora(lake: Lake, dataset: str, example_id: str) -> list[str]:
    return [
        round_
        for round_ in lake.rounds("corpus", dataset)
        if lake.require("corpus", dataset, round_).scan().filter(pl.col("example_id") == example_id).collect().height
    ]


def _order(round_: str) -> tuple[int, str]:
    return len(round_), round_
