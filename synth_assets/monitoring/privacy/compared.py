"""Which rows a privacy report compares, and the one rule that judges a share of them.

Here: synthetic rows, train rows (members), sealed rows (non-members), who is attacked, and judging a share against
what real rows show among themselves. Not here: any likeness or attack.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from synth_assets.monitoring.features import sample_rows
from synth_assets.monitoring.measures import Metric, judge
from synth_assets.records import RELEASABLE
from synth_assets.spec import DatasetSpec

MIN_ROWS = 10
MAX_ATTACKED = 2_000
GROUPS = 10
PAIRED = 2
"""Real rows that are alike are so in pairs: this many tell as much as one that is independent."""
FALSE_ALARM = 0.01
"""Chance that real rows exceed the null interval of one share: five of them are judged, so 5 % a report."""


@dataclass(frozen=True)
class Compared:
    """What is compared: released synthetic rows, train and sealed rows, and the candidates they were chosen from.

    All have example_id, stratum and the record's columns; train and sealed may have disposition.
    """

    spec: DatasetSpec
    synthetic: pl.DataFrame
    candidates: pl.DataFrame
    train: pl.DataFrame
    sealed: pl.DataFrame

    @property
    def sizes(self) -> dict[str, Any]:
        return {"n_real": self.train.height, "n_synthetic": self.synthetic.height}

    def salt(self, *parts: object) -> tuple[object, ...]:
        return (self.spec.seed, "monitoring", "privacy", *parts)


@dataclass(frozen=True)
class Sample:
    """Rows: whether something was found for each (boolean), and their surprise (sum of weigh_items); shape (rows,)."""

    found: np.ndarray
    surprise: np.ndarray


@dataclass(frozen=True)
class Targets:
    """Train and sealed rows (indices, int64) that are attacked; `serious`: the train rows are never exported."""

    suffix: str
    members: np.ndarray
    others: np.ndarray
    serious: bool

    @property
    def enough(self) -> bool:
        return min(len(self.members), len(self.others)) >= MIN_ROWS

    @property
    def kind(self) -> str:
        return "rows that are never exported" if self.serious else "rows that may be released themselves"


def choose_targets(rows: Compared) -> list[Targets]:
    """Return the targets: withheld and releasable train rows apart, where there are both; at most 2,000 a side.

    A side holds only strata of the other one. Sealed rows are of the same disposition as the train rows where there
    are enough of them: a private row may differ from a public one in more than its membership. Rows of unknown
    disposition count as withheld; `_released` marks the releasable ones beside withheld ones.
    """
    train, sealed = (_mark_withheld(frame) for frame in (rows.train, rows.sealed))
    held, free = train.filter("withheld"), train.filter(~pl.col("withheld"))
    if held.is_empty() or free.is_empty():
        return [_draw(rows, "", train, sealed, serious=free.is_empty())]
    return [
        _draw(rows, "", held, _prefer(sealed, "withheld"), serious=True),
        _draw(rows, "_released", free, _prefer(sealed, ~pl.col("withheld")), serious=False),
    ]


def _mark_withheld(frame: pl.DataFrame) -> pl.DataFrame:
    withheld = pl.col("disposition") != RELEASABLE if "disposition" in frame.columns else pl.lit(True)
    return frame.with_row_index("row").with_columns(withheld=withheld)


def _prefer(frame: pl.DataFrame, alike: pl.Expr | str) -> pl.DataFrame:
    kept = frame.filter(alike)
    return kept if kept.height >= MIN_ROWS else frame


def _draw(rows: Compared, suffix: str, members: pl.DataFrame, others: pl.DataFrame, *, serious: bool) -> Targets:
    def draw(frame: pl.DataFrame, other: pl.DataFrame) -> np.ndarray:
        common = frame.filter(pl.col("stratum").is_in(other["stratum"].unique().implode()))
        return sample_rows(common, MAX_ATTACKED, *rows.salt("attack"))["row"].to_numpy().astype(np.int64)

    return Targets(suffix, draw(members, others), draw(others, members), serious)


def judge_share(
    rows: Compared, name: str, field: str, found: np.ndarray, controls: list[np.ndarray], note: str
) -> Metric:
    """Return the metric of the share of synthetic rows for which something was `found` (boolean, shape (rows,)).

    controls: the same for samples of real rows; the one with the greatest share is the real-vs-real level. The null
    interval is what a sample of the synthetic size would show at that level: Beta–binomial, Jeffreys prior, 98 %.
    The share acts from the level + near_copy_margin and is watched from half the margin, only above the null; without
    a control of MIN_ROWS rows it is judged by the margin alone.
    """
    share, margin = float(found.mean()), rows.spec.quality.near_copy_margin
    controls = [control for control in controls if len(control) >= MIN_ROWS]
    if not controls:
        level = judge(share, act=margin, watch=margin / 2, null_high=0.0)
        note = f"{note}; fewer than {MIN_ROWS} real rows to compare with, no null"
        return Metric(name, share, field, threshold=margin, level=level, note=note, **rows.sizes)
    from scipy.stats import betabinom

    control = max(controls, key=lambda sample: (sample.mean(), len(sample)))
    usual = float(control.mean())
    size = len(control) / PAIRED
    null = betabinom(len(found), usual * size + 0.5, (1 - usual) * size + 0.5)
    low, high = (float(null.ppf(chance)) / len(found) for chance in (FALSE_ALARM, 1 - FALSE_ALARM))
    level = judge(share, act=usual + margin, watch=usual + margin / 2, null_high=high)
    note = f"{note}; real against real {usual:.3f}"
    return Metric(
        name, share, field, null_low=low, null_high=high, threshold=usual + margin, level=level, note=note,
        **rows.sizes,
    )  # fmt: skip


def judge_beyond_chance(rows: Compared, name: str, field: str, found: Sample, controls: list[Sample]) -> Metric:
    """Return the metric of the share of synthetic rows that are copies beyond coincidence.

    Short or common rows are often alike by chance, rows of much surprise hardly ever. Within a tenth of the real
    rows by surprise, found at the rate p, a share s of found synthetic rows means (s − p) / (1 − p) copies (Abbott
    1925). The tenths are joined by their inverse variances where there are no copies, and the null interval is ±2.33
    of the joint standard deviation. Acts from near_copy_margin, watched from half of it, only above the null.
    """
    controls = [control for control in controls if len(control.found) >= MIN_ROWS]
    if not controls:
        return Metric(name, field=field, note=f"not measured: fewer than {MIN_ROWS} real rows", **rows.sizes)
    from scipy.stats import norm

    control = max(controls, key=lambda sample: (sample.found.mean(), len(sample.found)))
    edges = np.unique(np.quantile(control.surprise, np.linspace(0, 1, GROUPS + 1)[1:-1]))
    (real, hits), (size, made) = (
        (
            np.bincount(place, minlength=len(edges) + 1),
            np.bincount(place, weights=sample.found, minlength=len(edges) + 1),
        )
        for sample in (control, found)
        for place in (np.searchsorted(edges, sample.surprise, side="left"),)
    )
    usual = (hits + 0.5) / (real + 1)
    told = (size > 0) & (real > 0)
    spread = usual[told] / (1 - usual[told]) * (1 / size[told] + PAIRED / real[told])
    excess = (made[told] / size[told] - usual[told]) / (1 - usual[told])
    value = float(np.average(excess, weights=1 / spread))
    reach = float(norm.ppf(1 - FALSE_ALARM) / np.sqrt((1 / spread).sum()))
    margin = rows.spec.quality.near_copy_margin
    level = judge(value, act=margin, watch=margin / 2, null_high=reach)
    note = "near copies beyond what real rows as common as these show"
    return Metric(
        name, value, field, null_low=-reach, null_high=reach, threshold=margin, level=level, note=note, **rows.sizes
    )


def weigh_items(items: pl.DataFrame, train: pl.DataFrame, train_rows: int) -> pl.DataFrame:
    """Return the items with their surprise in nats: −ln of the share of other train rows that hold them.

    items, train: row, code, an item of a row each (a word, the value of a column); rows and order are kept. The items
    of train itself are not counted for their own row.
    """
    own = 1 if items is train else 0
    holders = train.unique(["row", "code"]).group_by("code").agg(pl.len().alias("holders"))
    weight = ((train_rows + 1) / (pl.col("holders").fill_null(0) + 1 - own)).log()
    return items.join(holders, on="code", how="left", maintain_order="left").with_columns(surprise=weight)


def show_pairs(
    kind: str,
    rows: Compared,
    made: np.ndarray,
    train: np.ndarray,
    values: np.ndarray,
    most: int,
    note: str | None = None,
) -> list[dict[str, Any]]:
    """Return examples (EXAMPLE_SCHEMA) of synthetic rows and the train rows they are like, by indices, in order."""
    made, train = made[:most], train[:most]
    frame = pl.DataFrame(
        {
            "kind": pl.repeat(kind, len(made), dtype=pl.String, eager=True),
            "example_id": rows.synthetic["example_id"].gather(made),
            "related_id": rows.train["example_id"].gather(train),
            "value": values[:most].astype(np.float64),
            "note": pl.repeat(note, len(made), dtype=pl.String, eager=True),
        }
    )
    return frame.to_dicts()
