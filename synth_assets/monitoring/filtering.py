"""What filtering did: to the number of rows, to diversity and to every stratum, stage by stage.

Here: the stages of one round's filtering, measured by equal amounts of text. Not here: the measures (diversity.py), why
a candidate was rejected (the funnel among the SQL models), diversity over rounds (collapse/).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from synth_assets.monitoring.diversity import Tokens, measure_distinct_n, measure_ngram_entropy, tokenize
from synth_assets.records import content_text_expression, derive_uniforms
from synth_assets.spec import DatasetSpec

CANDIDATES = "candidates"
MOST_TOKENS = 50_000
"""Token budget of the diversity measures; less where the smallest stage has less."""
LEAST_TOKENS = 500
"""Tokens below which a stage is too small to measure; it sets no budget and has no diversity."""


def split_stages(candidates: pl.DataFrame, verdicts: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Return what was left after each discriminator, in cascade order, the candidates themselves first.

    candidates: example_id and any columns; verdicts: example_id, discriminator, passed, as the cascade wrote them
    (one row a candidate and discriminator it reached).
    """
    stages = {CANDIDATES: candidates}
    left = candidates
    for (name,), part in verdicts.group_by(["discriminator"], maintain_order=True):
        left = left.join(part.filter("passed").select("example_id"), on="example_id", how="semi", maintain_order="left")
        stages[str(name)] = left
    return stages


def measure_filtering(stages: Mapping[str, pl.DataFrame], spec: DatasetSpec) -> pl.DataFrame:
    """Return one row a stage, in order.

    stages: name → rows left there (example_id, stratum, content columns); the first is what went in.

    stage           name
    rows            rows left
    tokens          the token budget on which diversity is measured, equal for all stages; null where it is not
    distinct_2      distinct pairs of words over all pairs, on that many tokens of rows drawn by hash; null without
    bigram_entropy  bits of the distribution of pairs of words, on the same tokens; null without
    strata          strata with rows left
    halved          share of the first stage's strata that lost more than half of their rows
    starved         share of them that kept less than half of the share that all rows together kept
    """
    tokens = _draw_tokens(stages, spec)
    sizes = [len(told) for told in tokens.values() if len(told) >= LEAST_TOKENS]
    budget = min([MOST_TOKENS, *sizes])
    diversity = [
        (name, stages[name].height, *(_measure_diversity(told, budget) if len(told) >= LEAST_TOKENS else (None,) * 3))
        for name, told in tokens.items()
    ]
    schema = {"stage": pl.String, "rows": pl.Int64, "tokens": pl.Int64}
    frame = pl.DataFrame(diversity, {**schema, "distinct_2": pl.Float64, "bigram_entropy": pl.Float64}, orient="row")
    by_stage = measure_strata(stages).group_by("stage")
    lost = by_stage.agg(
        strata=(pl.col("rows") > 0).sum().cast(pl.Int64),
        halved=(pl.col("left") < 0.5).mean(),
        starved=(pl.col("relative") < 0.5).mean(),
    )
    return frame.join(lost, on="stage", how="left", maintain_order="left")


def measure_strata(stages: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return one row a stage and stratum of the first stage: stage, stratum, rows, left, relative.

    left = rows over the stratum's rows in the first stage; relative = left over the same share of all rows together
    (1: the stratum lost as much as all did; null where nothing is left at all).
    """
    before = next(iter(stages.values())).group_by("stratum").agg(before=pl.len()).sort("stratum")
    counted = [
        before.join(
            frame.group_by("stratum").agg(rows=pl.len()), on="stratum", how="left", maintain_order="left"
        ).select(pl.lit(name).alias("stage"), "stratum", "before", pl.col("rows").fill_null(0).cast(pl.Int64))
        for name, frame in stages.items()
    ]
    left = pl.col("rows") / pl.col("before")
    overall = pl.col("rows").sum().over("stage") / pl.col("before").sum().over("stage")
    relative = pl.when(overall > 0).then(left / overall)
    return pl.concat(counted).select("stage", "stratum", "rows", left=left, relative=relative)


def _draw_tokens(stages: Mapping[str, pl.DataFrame], spec: DatasetSpec) -> dict[str, Tokens]:
    """Return the words of each stage's rows, in an order drawn by hash, which a row has in every stage."""
    ids = pl.concat([frame["example_id"] for frame in stages.values()]).unique(maintain_order=True)
    order = pl.DataFrame({"example_id": ids, "_order": derive_uniforms(ids, spec.seed, "filtering")})
    drawn = {}
    for name, frame in stages.items():
        first = frame.join(order, on="example_id", how="left").sort("_order").head(MOST_TOKENS)
        drawn[name] = tokenize(first.with_columns(_text=content_text_expression(spec).cast(pl.String))["_text"])
    return drawn


def _measure_diversity(tokens: Tokens, budget: int) -> tuple[int, float, float]:
    told = tokens.take(np.arange(tokens.n_docs), budget)
    return budget, measure_distinct_n(told, 2), measure_ngram_entropy(told, 2)
