"""What all parts of the collapse report share: the case at hand, how drops and coverages are judged.

Here: the anchor, the rounds, levels by the contract. Not here: any measure (texts, semantics, columns).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from synth_assets.monitoring.features import select_synthetic
from synth_assets.monitoring.measures import OK, WATCH, Metric, find_null_interval, judge
from synth_assets.records import derive_seed
from synth_assets.spec import DatasetSpec

MAX_ROWS = 20_000
MIN_ROWS = 10
DRAWS = 20
FEW_DRAWS = 5
RARE_TEXTS = (2, 5)
RARE_SHARE = 0.01
HISTORY = "history"
SYNTHETIC_PREFIX = "synthetic_"

Findings = tuple[list[Metric], list[dict[str, Any]]]
"""Metrics, and rows of the history as examples."""


@dataclass(frozen=True)
class Case:
    """The anchor and the corpora of all rounds, sampled to MAX_ROWS; `current` is the round to be judged."""

    spec: DatasetSpec
    anchor: pl.DataFrame
    rounds: Mapping[str, pl.DataFrame]
    current: str
    seed: int

    @property
    def synthetic(self) -> pl.DataFrame:
        return select_synthetic(self.rounds[self.current])

    def random(self, *parts: object) -> np.random.Generator:
        return np.random.default_rng(derive_seed(self.seed, *parts))

    def history(self, round_: str, value: float, metric: str, field: str = "") -> dict[str, Any]:
        return {"kind": HISTORY, "related_id": round_, "value": value, "note": f"{metric} {field}".strip()}


def judge_drop(value: float, case: Case, null_high: float | None) -> str:
    """Return the level of a relative fall: act from distinct_2_drop, watch from half of it."""
    bar = case.spec.quality.distinct_2_drop
    return judge(value, act=bar, watch=bar / 2, null_high=null_high)


def judge_rise(value: float, center: float, case: Case, null_high: float | None) -> str:
    """Return the level of a perplexity: act from perplexity_rise above the real-vs-real `center`, watch from half."""
    rise = case.spec.quality.perplexity_rise
    return judge(value, act=(1 + rise) * center, watch=(1 + rise / 2) * center, null_high=null_high)


def judge_share(case: Case, metric: str, field: str, real: Sequence[float], made: Sequence[float], note: str) -> Metric:
    """Return the metric of a coverage: act below tail_coverage times the real-vs-real share, watch from halfway.

    real, made: the share that real rows and that synthetic rows cover, draw by draw; NaN where there is nothing rare.
    """
    found = np.asarray([real, made])
    known = found[:, np.isfinite(found[0])]
    if not known.size:
        return Metric(metric, field=field, note=f"not measured: there are no {note}")
    center, value = (float(side.mean()) for side in known)
    low, high = (None if end is None else min(max(end, 0.0), 1.0) for end in find_null_interval(known[0]))
    bar = case.spec.quality.tail_coverage * center
    return Metric(
        metric,
        value,
        field,
        null_low=low,
        null_high=high,
        threshold=bar,
        level=judge(-value, act=-bar, watch=-(bar + center) / 2, null_high=None if low is None else -low),
        n_real=case.anchor.height,
        n_synthetic=case.synthetic.height,
        note=f"{note}; real against real {center:.3f}",
    )


def soften(level: str, prefix: str) -> str:
    """Return the level of a metric of the synthetic rows alone: watch at most, for the contract is about the corpus."""
    return WATCH if prefix and level != OK else level


def fall(value: Any, base: Any) -> Any:
    """Return how far a value fell below its base, as a share of the base."""
    return 1 - value / base


def find_rare(items: np.ndarray, rows: np.ndarray, least: int, most: float) -> np.ndarray:
    """Return the items (n-grams, values) that stand in `least` to `most` of the rows; rows: the row of each item."""
    pairs = np.unique(np.stack([items, rows.astype(items.dtype)]), axis=1)[0]
    distinct, held = np.unique(pairs, return_counts=True)
    return distinct[(held >= least) & (held <= most)]
