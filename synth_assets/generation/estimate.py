"""What a round will take, from a handful of candidates: requests, tokens, time, money, and how sure that is.

Here: the extrapolation. Not here: making the handful (cli/preview.py), printing it (cli/summary.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from synth_assets.spec import DatasetSpec

_CONFIDENCE = 0.95
_EXACT = 1e-9  # what floating point may take away from a whole number


@dataclass(frozen=True)
class Sample:
    """A handful of requests and what became of them; seconds: generation alone, without loading a model."""

    requests: int
    accepted: int
    output_tokens: int
    seconds: float


@dataclass(frozen=True)
class Estimate:
    """A round's expected cost. yield_low and yield_high: 95 % Clopper–Pearson interval of the accepted share.

    requests, tokens, seconds and money are for the expected yield; most_requests for its lower end (None: unbounded).
    limit: which budget would end the round first (empty: none), accepted: how many rows there would be then.
    """

    target: int
    sample: Sample
    yield_expected: float
    yield_low: float
    yield_high: float
    requests: int | None
    most_requests: int | None
    tokens: int | None
    seconds: float | None
    money: float | None
    limit: str
    accepted: int

    @property
    def engine_hours(self) -> float | None:
        """Hours that the engine is busy; with one GPU these are GPU-hours."""
        return None if self.seconds is None else self.seconds / 3600


def estimate_round(spec: DatasetSpec, target: int, sample: Sample) -> Estimate:
    """Extrapolate a sample to `target` accepted rows by the spec's prices and budget; a sample needs requests.

    The yield falls as a round goes on, since later rows find more to be duplicates of: the estimate is a lower bound
    where the data set is small.
    """
    from scipy.stats import binomtest

    interval = binomtest(sample.accepted, sample.requests).proportion_ci(_CONFIDENCE, "exact")
    share = sample.accepted / sample.requests
    requests = -(-target * sample.requests // sample.accepted) if sample.accepted else None
    most = math.ceil(target / interval.low) if interval.low > 0 else None
    each_tokens, each_seconds = sample.output_tokens / sample.requests, sample.seconds / sample.requests
    each_money = each_tokens * spec.cost.per_million_tokens / 1e6 + each_seconds * spec.cost.per_engine_hour / 3600
    limits = {
        "tokens": (spec.budget.tokens, each_tokens),
        "seconds": (spec.budget.seconds, each_seconds),
        "money": (spec.budget.money, each_money),
    }
    affordable = {name: most / each for name, (most, each) in limits.items() if most is not None and each > 0}
    limit = min(affordable, key=lambda name: affordable[name], default="")
    bound = bool(limit) and (requests is None or affordable[limit] < requests)
    return Estimate(
        target=target,
        sample=sample,
        yield_expected=share,
        yield_low=float(interval.low),
        yield_high=float(interval.high),
        requests=requests,
        most_requests=most,
        tokens=None if requests is None else round(requests * each_tokens),
        seconds=None if requests is None else requests * each_seconds,
        money=None if requests is None else requests * each_money,
        limit=limit if bound else "",
        accepted=math.floor(affordable[limit] * share + _EXACT) if bound else target if share else 0,
    )
