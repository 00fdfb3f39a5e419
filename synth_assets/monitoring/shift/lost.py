"""Values and strata that real rows have and synthetic rows have not.

Here: the exact chance of an empty cell and its correction for many cells. Not here: which cells there are (fields,
strata).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synth_assets.monitoring.measures import ACT, OK, Metric

_SHOWN = 10


@dataclass(frozen=True)
class Cells:
    """Cells of one view: the log of the chance that no synthetic row falls into each, and whether none did."""

    metric: str
    field: str
    names: tuple[str, ...]
    log_chances: np.ndarray
    is_empty: np.ndarray
    n_real: int
    n_synthetic: int

    @classmethod
    def of_counts(cls, metric: str, field: str, names: Sequence[str], real: np.ndarray, synthetic: np.ndarray) -> Cells:
        """Cells of counts, shape (strata, cells): all of a cell's rows would have been dealt to the real side."""
        from scipy.special import gammaln

        held = real + synthetic
        drawn = synthetic.sum(axis=1, keepdims=True)
        rows = held.sum(axis=1, keepdims=True)
        left = rows - held - drawn
        with np.errstate(invalid="ignore"):
            logs = gammaln(rows - held + 1) + gammaln(rows - drawn + 1) - gammaln(rows + 1) - gammaln(left + 1)
        logs = np.where(held == 0, 0.0, np.where(left < 0, -np.inf, logs))
        return cls(
            metric, field, tuple(names), logs.sum(axis=0), synthetic.sum(axis=0) == 0, int(real.sum()), int(drawn.sum())
        )

    @classmethod
    def of_shares(
        cls, metric: str, field: str, names: Sequence[str], shares: np.ndarray, synthetic: np.ndarray, n_real: int
    ) -> Cells:
        """Cells with known shares, shape (cells,): a binomial count is zero."""
        size = int(synthetic.sum())
        with np.errstate(divide="ignore"):
            logs = size * np.log1p(-np.minimum(shares, 1.0))
        return cls(metric, field, tuple(names), logs, synthetic == 0, n_real, size)


def judge_lost(views: Sequence[Cells], rate: float) -> list[Metric]:
    """Return how many cells of each view are lost: empty, with a chance of at most rate / K of being so.

    K is the number of cells of all views that could be lost at rate / K at all (Tarone 1990: a cell too small ever
    to be found takes no share of the rate).
    """
    logs = np.sort(np.concatenate([view.log_chances for view in views])) if views else np.empty(0)
    able, bar = 1, np.log(rate)
    while np.searchsorted(logs, bar, side="right") > able:
        able += 1
        bar = np.log(rate / able)
    metrics = []
    for view in views:
        lost = [view.names[i] for i in np.flatnonzero(view.is_empty & (view.log_chances <= bar))]
        shown = ", ".join(lost[:_SHOWN]) + (" …" if len(lost) > _SHOWN else "")
        what = view.metric.removeprefix("lost_")
        metrics.append(
            Metric(
                view.metric,
                len(lost),
                view.field,
                null_low=0.0,
                null_high=0.0,
                threshold=1.0,
                level=ACT if lost else OK,
                n_real=view.n_real,
                n_synthetic=view.n_synthetic,
                note=f"{what} that real rows have and no synthetic row (p ≤ {np.exp(bar):.1e} each): {shown or 'none'}",
            )
        )
    return metrics
