"""Sampling: which rows of a batch people look at.

Here: the stratified random draw with known inclusion probabilities, the risk-targeted extra, which rows two people
decide, enlarging a sample, mixing in controls. Not here: how many rows (acceptance.required_sample), what controls hold
(controls.py), what decisions prove (acceptance.assess).
"""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from synth_assets.records import derive_uniforms
from synth_assets.review.acceptance import DRAW_BAND, RANDOM, RISK, SamplePlan
from synth_assets.review.plans import ACCEPTANCE, acceptance_number, acceptance_of
from synth_assets.review.settings import review_settings
from synth_assets.spec import DatasetSpec

SAMPLE_COLUMNS: dict[str, pl.DataType] = {
    "example_id": pl.String(),
    "stratum": pl.String(),
    "generator_id": pl.String(),
    "prompt_id": pl.String(),
    "part": pl.String(),
    "priority": pl.Int32(),
    "weight": pl.Float64(),
    "reviews": pl.Int32(),
}
RISK_SHARE = 0.10
MAX_FLOOR_SPREAD = 1.25

_CELL = ("stratum", "prompt_id", "generator_id")


def draw_sample(batch: pl.DataFrame, spec: DatasetSpec, *, plan: SamplePlan, round_: str) -> pl.DataFrame:
    """Return review_sample.rows of a batch: plan.n rows at random, and the riskiest of the others.

    `batch`: the kept rows of filtered: example_id, stratum, generator_id, prompt_id, quality.

    part "random": stratified over stratum × prompt × generator in proportion; the fractions of a cell's share are
    rounded up or down by chance (pivotal method, Deville & Tillé 1998), so every row has the same probability n/N and
    the weight N/n. Cells whose share is below one row get one row for certain (a floor) when the sample is at least
    as large as the number of cells, the plan still keeps its promises, and no weight exceeds MAX_FLOOR_SPREAD × their
    mean; weights are then unequal. Otherwise a small cell has a row with the probability of its share.
    part "risk": a further RISK_SHARE × n rows of the lowest quality (unknown quality first), as far as the budget
    pays for them; weight 0, for discovery only.
    reviews: how many people are to decide the row: 2 for double_review_share of the rows, chosen by chance, as far as
    the budget pays for it; else 1.
    priority: order of serving, both parts mixed, so that a reviewer cannot tell them apart. Order and choice depend on
    spec.seed, round and ids, never on the order of `batch`.
    """
    cells = _place_in_cells(batch, spec, round_)
    sizes = cells.group_by("cell").len().sort("cell")
    expected = _expected_counts(sizes["len"].to_numpy(), plan, spec)
    counts = _round_randomly(expected, derive_uniforms(sizes["cell"], spec.seed, "review", round_, "cells", 0))
    table = sizes.with_columns(
        take=pl.Series(counts), weight=pl.Series(sizes["len"].to_numpy() / np.where(expected > 0, expected, 1.0))
    )
    placed = cells.join(table, on="cell", how="left", maintain_order="left")
    random = placed.filter(pl.col("place") < pl.col("take")).with_columns(part=pl.lit(RANDOM))
    n_risk = math.ceil(RISK_SHARE * plan.n)
    if plan.n_budget is not None:
        n_risk = min(n_risk, plan.n_budget - plan.n)
    risk = (
        placed.filter(pl.col("place") >= pl.col("take"))
        .sort(pl.col("quality").fill_nan(None), "order", nulls_last=False)
        .head(n_risk)
        .with_columns(part=pl.lit(RISK), weight=pl.lit(0.0))
    )
    rows = pl.concat([random, risk])
    left = None if plan.n_budget is None else plan.n_budget - rows.height
    return _serve(_ask_twice(rows, spec, round_, left), spec, round_, draw=0)


def enlarge_sample(
    sample: pl.DataFrame, batch: pl.DataFrame, spec: DatasetSpec, *, more: int, round_: str
) -> pl.DataFrame:
    """Return the sample with `more` further random rows (all that are left if there are fewer).

    Rows already drawn keep their place and decisions; the weights of the random part fall, since every row now had
    a second chance to be drawn. The new rows come after the old ones (a priority band of their own, by which assess
    knows the draws apart). A row of the risk part may be drawn again, as chance demands: it then moves to the random
    part and into the new band. `batch`: as for draw_sample, the very same rows.
    """
    drawn = sample.filter(pl.col("part") == RANDOM)
    draw = int(sample["priority"].max() or 0) // DRAW_BAND + 1  # type: ignore[arg-type]
    cells = _place_in_cells(batch, spec, round_)
    known = cells.select("example_id", "cell").join(drawn.select("example_id", "weight"), on="example_id")
    earlier = known.group_by("cell").agg(weight=pl.col("weight").first())
    rest = cells.join(drawn.select("example_id"), on="example_id", how="anti", maintain_order="left")
    rest = rest.with_columns(place=pl.int_range(pl.len()).over("cell", order_by="order"))
    more = min(more, rest.height)
    if more <= 0:
        return sample
    share = more / rest.height
    sizes = rest.group_by("cell").len().sort("cell")
    uniforms = derive_uniforms(sizes["cell"], spec.seed, "review", round_, "cells", draw)
    counts = _round_randomly(sizes["len"].to_numpy() * share, uniforms)
    even = cells.height / max(drawn.height, 1)
    new = (
        rest.join(sizes.with_columns(take=pl.Series(counts)), on="cell", how="left", maintain_order="left")
        .filter(pl.col("place") < pl.col("take"))
        .join(earlier, on="cell", how="left", maintain_order="left")
        .with_columns(pl.col("weight").fill_null(even), part=pl.lit(RANDOM))
    )
    served = _serve(_ask_twice(new, spec, round_, None), spec, round_, draw=draw)
    kept = sample.join(served.select("example_id"), on="example_id", how="anti", maintain_order="left")
    before = 1 / pl.col("weight")
    return pl.concat([kept, served]).with_columns(
        weight=pl.when(pl.col("part") == RANDOM).then(1 / (before + (1 - before) * share)).otherwise(pl.lit(0.0))
    )


def mix_controls(sample: pl.DataFrame, controls: pl.DataFrame, spec: DatasetSpec, *, round_: str) -> pl.DataFrame:
    """Return the sample with the controls among the rows of its last draw, before the first decision on those.

    `controls`: controls.draw_controls, none of them in the sample yet; their part is kept, weight is 0 and generator
    and prompt are unknown. Chance alone says where each is served. Whatever counts rows of the batch takes parts random
    and risk only.
    """
    draw = int(sample["priority"].max() or 0) // DRAW_BAND  # type: ignore[arg-type]
    last = pl.col("priority") // DRAW_BAND == draw
    rows = controls.select("example_id", "stratum", "part").with_columns(
        generator_id=pl.lit(None, pl.String),
        prompt_id=pl.lit(None, pl.String),
        priority=pl.lit(0, pl.Int32),
        weight=pl.lit(0.0),
        reviews=pl.lit(1, pl.Int32),
    )
    mixed = pl.concat([sample.filter(last), rows.select(*SAMPLE_COLUMNS)])
    return pl.concat([sample.filter(~last), _serve(mixed, spec, round_, draw=draw)])


def _ask_twice(rows: pl.DataFrame, spec: DatasetSpec, round_: str, most: int | None) -> pl.DataFrame:
    """Return the rows + reviews: 2 for double_review_share of them (at most `most`), else 1; a machine decides once."""
    share = 0.0 if spec.review.mode == "auto" else review_settings(spec).double_review_share
    wanted = math.ceil(share * rows.height - 1e-9)
    chance = pl.Series(derive_uniforms(rows["example_id"], spec.seed, "review", round_, "twice"))
    twice = chance.rank("ordinal") <= (wanted if most is None else max(min(wanted, most), 0))
    return rows.with_columns(reviews=1 + twice.cast(pl.Int32))


def _place_in_cells(batch: pl.DataFrame, spec: DatasetSpec, round_: str) -> pl.DataFrame:
    """Return the batch in id order + cell:String, order (uniform), place (rank of order in the cell, from 0)."""
    rows = batch.select("example_id", "stratum", "generator_id", "prompt_id", "quality").sort("example_id")
    cell = pl.concat_str([pl.col(name).fill_null("(none)") for name in _CELL], separator="\x1f")
    return rows.with_columns(
        cell=cell, order=pl.Series(derive_uniforms(rows["example_id"], spec.seed, "review", round_))
    ).with_columns(place=pl.int_range(pl.len()).over("cell", order_by="order"))


def _expected_counts(sizes: np.ndarray, plan: SamplePlan, spec: DatasetSpec) -> np.ndarray:
    """Return how many rows a cell gets in the mean; their sum is plan.n."""
    total = sizes.sum()
    n = min(plan.n, int(total))
    even = sizes * (n / total) if total else sizes.astype(np.float64)
    if n < len(sizes) or (even >= 1).all():
        return even
    floored = np.zeros(len(sizes), dtype=bool)
    while (shares := (n - floored.sum()) / max(sizes[~floored].sum(), 1) * sizes)[~floored].min(initial=1.0) < 1:
        floored |= shares < 1
    expected = np.where(floored, 1.0, shares)
    spread = (sizes / expected).max() * n / total
    affordable = not plan.certified or (plan.sequential is None and _still_promises(n, int(total), spread, plan, spec))
    return expected if spread <= MAX_FLOOR_SPREAD and affordable else even


def _still_promises(n: int, batch_size: int, spread: float, plan: SamplePlan, spec: DatasetSpec) -> bool:
    """Whether the acceptance number under unequal weights still accepts good batches, as far as the plan did."""
    review = spec.review
    c = acceptance_number(
        n, batch_size, tolerated=review.tolerated_defect_rate, confidence=review.confidence, spread=spread
    )
    acceptance = acceptance_of(n, c, review_settings(spec).acceptable_defect_rate)
    return c >= 0 and acceptance >= min(ACCEPTANCE, plan.acceptance)


def _round_randomly(expected: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """Return integers next to `expected`, each in the mean equal to it, with the same sum (pivotal method).

    A loop on purpose: two undecided cells at a time play for one row, and the undecided one plays on.
    """
    counts = np.floor(expected + 1e-9).astype(np.int64)
    rest = np.clip(expected - counts, 0.0, 1.0)
    missing = round(float(expected.sum())) - int(counts.sum())
    open_, chance = -1, 0.0
    for i in np.flatnonzero(rest > 1e-9):
        if open_ < 0:
            open_, chance = i, rest[i]
            continue
        total = chance + rest[i]
        if total < 1:
            keep = uniforms[i] < chance / total
            open_, chance = (open_ if keep else i), total
        else:
            win = uniforms[i] < (1 - rest[i]) / (2 - total) if total < 2 else True
            winner, loser = (open_, i) if win else (i, open_)
            counts[winner] += 1
            missing -= 1
            open_, chance = loser, total - 1
        if chance < 1e-9:
            open_ = -1
    if missing > 0 and open_ >= 0:
        counts[open_] += 1
    return counts


def _serve(rows: pl.DataFrame, spec: DatasetSpec, round_: str, *, draw: int) -> pl.DataFrame:
    order = pl.Series(derive_uniforms(rows["example_id"], spec.seed, "review", round_, "order"))
    return (
        rows.with_columns(_order=order)
        .sort("_order")
        .with_columns(priority=pl.int_range(draw * DRAW_BAND, draw * DRAW_BAND + pl.len()))
        .select(*SAMPLE_COLUMNS)
        .cast(SAMPLE_COLUMNS)  # type: ignore[arg-type]
    )
