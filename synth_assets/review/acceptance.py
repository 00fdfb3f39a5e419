"""Acceptance statistics: how many rows to review, what the decisions prove, and whether a batch is accepted.

Here: the plan of a batch, exact bounds, the outcome of a review. Not here: how plans are computed (plans.py), which
rows are drawn (sampling.py), where decisions are kept (decisions.py).

Why the plain binomial is right for the stratified sample of sampling.py: its random part takes every row with the
probability 1/weight, has a fixed size, and is strongly Rayleigh (within-cell simple random samples whose sizes are
rounded by the pivotal method; Brändén & Jonasson 2012, "Negative dependence in sampling"). So the number of defects
found is a sum of independent indicators whatever rows are defective, and Hoeffding (1956, "On the distribution of the
number of successes in independent trials") bounds its lower tail by the binomial's; plans.py sharpens that for batches
reviewed in large part. The pooled hypergeometric would be wrong for a stratified sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import polars as pl

from synth_assets.errors import SpecError
from synth_assets.review.decisions import ACCEPT, AUTOMATED, FLAG, REJECT, SKIP, resolve_examples
from synth_assets.review.plans import (
    ACCEPTANCE,
    SequentialPlan,
    acceptance_number,
    acceptance_of,
    fixed_plan,
    sequential_plan,
    upper_bound,
)
from synth_assets.review.sequences import confidence_sequence
from synth_assets.review.settings import review_settings
from synth_assets.spec import DatasetSpec

RANDOM = "random"
RISK = "risk"
DRAW_BAND = 1_000_000  # priority // DRAW_BAND: 0 for the first draw, 1, 2, … for its enlargements

MAX_ENLARGEMENT = 4
AUTOMATED_TOLERANCE = 2.0

Side = Literal["two", "upper", "lower"]
Verdict = Literal["accept", "enlarge", "reject", "open"]


@dataclass(frozen=True)
class SamplePlan:
    """How many rows are drawn at random, and what that can certify.

    n: at least n_rate, at most the batch and n_budget, otherwise as few as pay for both risks (plans.py). n_certified:
    rows that certify a large batch if they hold no defect. certified: whether n rows can certify the tolerated rate
    at all. c: most defects that accept after n rows, −1 if not certified. acceptance: probability to accept a batch
    at the acceptable rate. sequential: the plan that may end before n rows, None for a fixed one. note: what the
    numbers mean for people, "" when there is nothing to add.
    """

    n: int
    n_rate: int
    n_certified: int
    n_budget: int | None
    certified: bool
    note: str
    c: int = 0
    acceptance: float = 0.0
    sequential: SequentialPlan | None = None


@dataclass(frozen=True)
class Outcome:
    """What a review says about its batch.

    n_planned: size of the plan; n_random: rows of the random part; n_reviewed, n_open: those with a resolution, and
    those that still need one (none once a sequential plan has ended); n_more: further random rows that certify the
    batch if they hold no defect (decision `enlarge`, else 0). defect_rate: estimate over the random part, None before
    anything is reviewed. bound_low, bound_high: one-sided confidence bounds on the batch's defect rate, each at
    review.confidence; None while open and for automated review. certified: bound_high is below the tolerated rate.
    agreement: Cohen's kappa, None where it is undefined.
    by_stratum: stratum, n_random, n_reviewed, n_open, defects, defect_rate, bound_low, bound_high (of the random part,
    each stratum by itself), risk_reviewed, risk_defects (of the risk part).
    A sequential plan that has ended counts the rows up to its end only, here and in by_stratum.
    """

    decision: Verdict
    n_planned: int
    n_random: int
    n_reviewed: int
    n_open: int
    n_more: int
    defects: int
    defect_rate: float | None
    bound_low: float | None
    bound_high: float | None
    certified: bool
    automated: bool
    agreement: float | None
    reviewers: tuple[str, ...]
    note: str
    by_stratum: pl.DataFrame


# ---- exact tables


def clopper_pearson(defects: int, n: int, *, confidence: float, side: Side = "two") -> tuple[float, float]:
    """Return the exact binomial bounds (low, high) on a rate after `defects` in `n` independent trials.

    side "upper" gives (0, high) and "lower" gives (low, 1), each with the whole error on that side; "two" halves it.
    n = 0 knows nothing: (0, 1). Source: Clopper & Pearson 1934.
    """
    if not 0 <= defects <= n:
        raise ValueError(f"defects must lie in 0…{n}, found {defects}")
    low, high = _exact_bounds(np.array([defects]), np.array([n]), (1 - confidence) / (2 if side == "two" else 1))
    return (0.0 if side == "upper" else float(low[0])), (1.0 if side == "lower" else float(high[0]))


def _exact_bounds(defects: np.ndarray, n: np.ndarray, error: float) -> tuple[np.ndarray, np.ndarray]:
    from scipy.stats import beta

    none, all_ = defects == 0, defects == n
    low = np.where(none, 0.0, beta.ppf(error, np.where(none, 1, defects), n - defects + 1))
    high = np.where(all_, 1.0, beta.ppf(1 - error, defects + 1, np.where(all_, 1, n - defects)))
    return low, high


@lru_cache(maxsize=1024)
def certified_size(tolerated: float, confidence: float, *, allowed_defects: int = 0) -> int:
    """Return the smallest n so that at most `allowed_defects` in n certify a rate below `tolerated` (LTPD).

    Smallest n with P(Binomial(n, tolerated) ≤ allowed_defects) ≤ 1 − confidence: 59, 93, 124, 153 for 5 % at 95 %.
    """
    from scipy.stats import binom

    if not 0 < tolerated < 1 or not 0 < confidence < 1 or allowed_defects < 0:
        raise ValueError("tolerated and confidence must lie in (0, 1), allowed_defects must not be negative")

    def enough(n: int) -> bool:
        return bool(binom.cdf(allowed_defects, n, tolerated) <= 1 - confidence)

    return _smallest(*_doubling(allowed_defects + 1, enough), enough)


# ---- the plan


def required_sample(batch_size: int, spec: DatasetSpec) -> SamplePlan:
    """Return how many of `batch_size` filtered rows are reviewed at random, and with how many defects they accept.

    People's plans pay for both risks: at the tolerated rate a batch is accepted with a probability of at most
    1 − confidence, at the acceptable rate with at least ACCEPTANCE. Where the batch or the budget is too small for
    both, the first rule wins. The budget caps people's work only, never a machine's.
    SpecError if the budget does not pay for a single item.
    """
    review = spec.review
    n_rate = math.ceil(review.rate * batch_size - 1e-9)
    n_certified = certified_size(review.tolerated_defect_rate, review.confidence)
    if batch_size <= 0:
        return SamplePlan(0, 0, n_certified, None, False, "the batch is empty", c=-1)
    if review.mode == "auto":
        n = min(batch_size, max(n_rate, n_certified))
        c, acceptance = _promise(n, batch_size, spec)
        note = "automated review certifies nothing"
        return SamplePlan(n, n_rate, n_certified, None, False, note, c=c, acceptance=acceptance)
    n_budget = _affordable_items(spec)
    settings = review_settings(spec)
    rates = {
        "tolerated": review.tolerated_defect_rate,
        "acceptable": settings.acceptable_defect_rate,
        "confidence": review.confidence,
    }
    wanted = fixed_plan(batch_size, **rates, at_least=n_rate)
    if settings.plan == "sequential":
        steps = sequential_plan(batch_size, **rates, at_least=n_rate)
        if steps is not None and (n_budget is None or steps.n <= n_budget):
            promise = {"c": steps.c, "acceptance": steps.acceptance, "sequential": steps}
            return SamplePlan(steps.n, n_rate, n_certified, n_budget, True, "", **promise)
    plan = wanted if n_budget is None else fixed_plan(batch_size, **rates, at_least=n_rate, at_most=n_budget)
    note = plan.note
    if plan.n < wanted.n:
        high = upper_bound(0, plan.n, batch_size, confidence=review.confidence)
        note = (
            f"review.budget_minutes pays for {n_budget} of the {wanted.n} items wanted; {plan.n} without a single "
            f"defect certify a defect rate of at most {high:.1%} at {review.confidence:.0%} confidence"
        )
        if not plan.certifies:
            note += f", so the tolerated {review.tolerated_defect_rate:.1%} remains uncertified"
        elif plan.note:
            note += f"; {plan.note}"
    return SamplePlan(plan.n, n_rate, n_certified, n_budget, plan.certifies, note, c=plan.c, acceptance=plan.acceptance)


def _affordable_items(spec: DatasetSpec) -> int | None:
    review = spec.review
    if review.budget_minutes is None:
        return None
    items = math.floor(review.budget_minutes / review.minutes_per_item + 1e-9)
    if items < 1:
        raise SpecError(
            f"{spec.name}: review.budget_minutes: {review.budget_minutes:g} pays for no item at "
            f"{review.minutes_per_item:g} minutes each; allow at least {review.minutes_per_item:g}, or set "
            "review.mode: auto"
        )
    return items


def _promise(n: int, batch_size: int, spec: DatasetSpec) -> tuple[int, float]:
    """Return the acceptance number of n rows, and how often they accept a batch at the acceptable rate."""
    review = spec.review
    c = acceptance_number(n, batch_size, tolerated=review.tolerated_defect_rate, confidence=review.confidence)
    return c, acceptance_of(n, c, review_settings(spec).acceptable_defect_rate)


# ---- the outcome


def assess(sample: pl.DataFrame, decisions: pl.DataFrame, batch_size: int, spec: DatasetSpec) -> Outcome:
    """Return what the decisions say about a batch of `batch_size` rows.

    `sample`: review_sample.rows; `decisions`: effective decisions, one row an example and reviewer (raw decisions in
    the order they were stored do as well). Only the random part makes estimate and bounds; the risk part is for
    discovery. A skip is no decision; a flag counts as a defect until somebody resolves it.

    Rules, in this order:

    1. open while a row of the random part lacks a resolution (no bounds: a look at a growing sample is none), unless
       a sequential plan has ended on the rows decided so far, in serving order: it accepts (certified) or rejects;
    2. automated (any row decided by the model alone): accept if the observed rate is at most AUTOMATED_TOLERANCE ×
       the tolerated one, else reject. A model's false alarms (about two in a hundred by construction) and the noise
       of a small sample would turn good batches away at the tolerated rate itself. Never certified, no bounds;
    3. accept, certified, if there are no more defects than the plan allows (Boundary: it pays for every look);
    4. reject if the lower bound is above the tolerated rate;
    5. where the budget made certification impossible: accept, uncertified, if the estimate is at most the tolerated
       rate, else reject;
    6. reject if the plan paid for both risks: a good batch would have passed;
    7. reject if no sensible enlargement could certify so many defects; else enlarge by n_more.

    Estimator: Σ weight · defect / Σ weight. Unequal weights (a floor per cell) take the conservative route: upper
    bound × largest weight ÷ mean weight; lower bound from the largest class of equal weight alone. After the j-th
    enlargement the lower bound spends only 1/2^j of its error. Bounds of strata after a sequential plan are those of
    a confidence sequence, which may be stopped at any time.
    """
    plan = required_sample(batch_size, spec)
    judged = judge_sample(sample, decisions)
    votes = _votes_on(judged, decisions)
    random = judged.filter(pl.col("part") == RANDOM).sort("priority")
    reviewed = random.filter("reviewed")
    automated = bool((reviewed["resolved_by"] == AUTOMATED).any())
    waiting = random.height - reviewed.height
    steps = None if automated else _sequential_of(random, plan)
    if batch_size <= 0:
        ruling = _Ruling("reject", "the batch is empty: there is nothing to accept")
    elif random.is_empty():
        ruling = _Ruling("open", f"no row of the batch of {batch_size} has been drawn at random yet")
    elif steps is not None:
        ruling = _rule_sequential(random, batch_size, spec, steps)
    elif waiting:
        ruling = _Ruling("open", f"{waiting} of {random.height} rows of the random part still need a decision")
    elif automated:
        ruling = _rule_automated(random, spec)
    else:
        ruling = _rule(random, batch_size, spec, plan)
    ended = ruling.n_used is not None
    if ruling.n_used is not None:
        reviewed = random.head(ruling.n_used)
        judged = pl.concat([reviewed, judged.filter(pl.col("part") == RISK)])
    return Outcome(
        decision=ruling.decision,
        n_planned=plan.n,
        n_random=random.height,
        n_reviewed=reviewed.height,
        n_open=0 if ended else waiting,
        n_more=ruling.n_more,
        defects=int(reviewed["defect"].sum()),
        defect_rate=_weighted_rate(reviewed) if reviewed.height else None,
        bound_low=ruling.low,
        bound_high=ruling.high,
        certified=ruling.certified,
        automated=automated,
        agreement=cohens_kappa(votes),
        reviewers=tuple(sorted(votes["reviewer"].unique().to_list())),
        note=ruling.note,
        by_stratum=_summarize_strata(
            judged,
            spec.review.confidence,
            bounded=ruling.high is not None,
            whole=reviewed.height == batch_size,
            stopped=ended,
        ),
    )


def judge_sample(sample: pl.DataFrame, decisions: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of a batch that were drawn (random and risk part) with what was said of them.

    Adds the columns of resolve_examples (null where nobody decided), reviewed:Boolean, defect:Boolean (rejected or
    flagged; false where not reviewed). Rows that are mixed in as controls are no rows of the batch and left out.
    """
    drawn = sample.filter(pl.col("part").is_in([RANDOM, RISK]))
    votes = _votes_on(drawn, decisions)
    return drawn.join(resolve_examples(votes), on="example_id", how="left", maintain_order="left").with_columns(
        reviewed=pl.col("resolution").is_not_null(), defect=pl.col("resolution").is_in([REJECT, FLAG]).fill_null(False)
    )


def _votes_on(drawn: pl.DataFrame, decisions: pl.DataFrame) -> pl.DataFrame:
    votes = decisions.join(drawn.select("example_id"), on="example_id", how="semi", maintain_order="left")
    return votes.unique(["example_id", "reviewer"], keep="last", maintain_order=True)


def cohens_kappa(decisions: pl.DataFrame) -> float | None:
    """Return Cohen's kappa of accept against reject or flag over all pairs of reviewers of the same example.

    `decisions`: effective decisions. The reviewer whose name sorts first is the first rater of a pair. None without
    a pair, and where chance alone would agree always (everything accepted, or everything rejected, by both).
    """
    voted = decisions.filter(pl.col("decision") != SKIP).select(
        "example_id", "reviewer", accepted=pl.col("decision") == ACCEPT
    )
    pairs = voted.join(voted, on="example_id").filter(pl.col("reviewer") < pl.col("reviewer_right"))
    if pairs.is_empty():
        return None
    first, second = pairs["accepted"].to_numpy(), pairs["accepted_right"].to_numpy()
    observed = float((first == second).mean())
    chance = float(first.mean() * second.mean() + (1 - first.mean()) * (1 - second.mean()))
    return None if chance >= 1 else (observed - chance) / (1 - chance)


@dataclass(frozen=True)
class _Ruling:
    decision: Verdict
    note: str
    low: float | None = None
    high: float | None = None
    n_more: int = 0
    certified: bool = False
    n_used: int | None = None  # rows up to the end of a sequential plan


def _rule_automated(random: pl.DataFrame, spec: DatasetSpec) -> _Ruling:
    tolerated = spec.review.tolerated_defect_rate
    rate, limit = _weighted_rate(random), AUTOMATED_TOLERANCE * tolerated
    found = f"automated review rejects {rate:.1%} of {random.height} rows"
    rule = f"allowed are {limit:.1%}, {AUTOMATED_TOLERANCE:g} × the tolerated {tolerated:.1%}; this certifies nothing"
    return _Ruling("accept" if rate <= limit else "reject", f"{found}; {rule}")


def _sequential_of(random: pl.DataFrame, plan: SamplePlan) -> SequentialPlan | None:
    """Return the plan's sequential test if this sample was drawn for it: its size, one draw, equal weights."""
    steps = plan.sequential
    if steps is None or random.height != steps.n or int(random["priority"].max() or 0) >= DRAW_BAND:  # type: ignore[arg-type]
        return None
    return steps if random["weight"].max() <= random["weight"].min() * (1 + 1e-9) else None  # type: ignore[operator]


def _rule_sequential(random: pl.DataFrame, batch_size: int, spec: DatasetSpec, steps: SequentialPlan) -> _Ruling:
    """Follow the test along the rows that are decided without a gap in serving order."""
    review = spec.review
    decided = int(random["reviewed"].cast(pl.Int8).cum_min().sum())
    decision, k, defects = steps.judge(random["defect"].head(decided).to_list())
    found = f"{defects} defects in the first {k} of {batch_size} rows"
    if decision == "open":
        return _Ruling("open", f"{found}: the sequential plan needs more, at most {steps.n} rows")
    low, high = steps.bounds(k, defects, batch_size, confidence=review.confidence)
    if decision == "accept":
        note = f"{found}: a defect rate of at most {high:.1%} is certified at {review.confidence:.0%} confidence"
        return _Ruling("accept", note, low, high, certified=True, n_used=k)
    good = review_settings(spec).acceptable_defect_rate
    note = f"{found}: the sequential plan takes that for the tolerated rate rather than for {good:.1%}"
    return _Ruling("reject", note, low, high, n_used=k)


def _rule(random: pl.DataFrame, batch_size: int, spec: DatasetSpec, plan: SamplePlan) -> _Ruling:
    review, n, defects = spec.review, random.height, int(random["defect"].sum())
    rate, limit = _weighted_rate(random), review.tolerated_defect_rate
    boundary = _boundary_of(random, batch_size, spec)
    low, high = _lower_bound(random, batch_size, review.confidence), boundary.upper(defects, n)
    needed = boundary.size_for(defects)
    found = f"{defects} defects in {n} of {batch_size} rows"
    if needed is not None and n >= needed:
        note = f"{found}: a defect rate of at most {high:.1%} is certified at {review.confidence:.0%} confidence"
        return _Ruling("accept", note, low, high, certified=True)
    if low > limit:
        note = f"{found}: the defect rate is above the tolerated {limit:.1%}, at least {low:.1%}"
        return _Ruling("reject", note, low, high)
    if plan.n_budget is not None and not plan.certified:
        note = f"{found}: {rate:.1%} observed, {limit:.1%} tolerated; {plan.note}"
        return _Ruling("accept" if rate <= limit else "reject", note, low, high)
    if plan.acceptance >= ACCEPTANCE and n == boundary.n >= plan.n:
        note = f"{found}: the plan accepts up to {boundary.c}; a batch as good as it should be has fewer"
        return _Ruling("reject", note, low, high)
    if needed is None:
        note = f"{found}: no sensible enlargement can still certify less than the tolerated {limit:.1%}"
        return _Ruling("reject", note, low, high)
    note = f"{found}: at most {high:.1%}; {needed - n} more rows without a defect certify less than {limit:.1%}"
    if plan.n_budget is not None and needed > plan.n_budget:
        minutes = (needed - plan.n_budget) * review.minutes_per_item
        note += f", which takes {minutes:g} minutes more than review.budget_minutes"
    return _Ruling("enlarge", note, low, high, n_more=needed - n)


def _weighted_rate(reviewed: pl.DataFrame) -> float:
    return float(reviewed.select((pl.col("weight") * pl.col("defect")).sum() / pl.col("weight").sum()).item())


def _boundary_of(random: pl.DataFrame, batch_size: int, spec: DatasetSpec) -> Boundary:
    """Return the boundary of the first draw, whose weights the enlargements have since diluted."""
    draws = random["priority"].to_numpy() // DRAW_BAND
    first = int((draws == 0).sum())
    weights = random["weight"].to_numpy()[draws == 0]
    spread = 1.0
    if random.height < batch_size and weights.max() > weights.min() * (1 + 1e-9):
        probabilities = 1 / weights
        for draw in range(int(draws.max()), 0, -1):
            share = (draws == draw).sum() / (batch_size - (draws < draw).sum())
            probabilities = (probabilities - share) / (1 - share)
        spread = float((1 / probabilities).max() / (1 / probabilities).mean())
    return Boundary(first, batch_size, spec.review.tolerated_defect_rate, spec.review.confidence, spread)


def _lower_bound(reviewed: pl.DataFrame, batch_size: int, confidence: float) -> float:
    total = reviewed["weight"].sum()
    classes = (
        reviewed.group_by(pl.col("weight").round(9))
        .agg(n=pl.len(), defects=pl.col("defect").sum(), share=pl.col("weight").sum() / total)
        .sort("n", "weight", descending=True)
    )
    _, n, defects, share = classes.row(0)
    enlargements = int(reviewed["priority"].max()) // DRAW_BAND  # type: ignore[arg-type]
    part = 1 - (1 - confidence) / 2**enlargements
    seen = reviewed["defect"].sum() / batch_size
    return max(seen, share * clopper_pearson(defects, n, confidence=part, side="lower")[0])


def _summarize_strata(
    judged: pl.DataFrame, confidence: float, *, bounded: bool, whole: bool, stopped: bool
) -> pl.DataFrame:
    random, risk = pl.col("part") == RANDOM, pl.col("part") == RISK
    counted = random & pl.col("reviewed")
    weight = pl.col("weight").filter(counted)
    table = (
        judged.group_by("stratum")
        .agg(
            n_random=random.sum().cast(pl.Int64),
            n_reviewed=counted.sum().cast(pl.Int64),
            n_open=(random & ~pl.col("reviewed")).sum().cast(pl.Int64),
            defects=(counted & pl.col("defect")).sum().cast(pl.Int64),
            defect_rate=(weight * pl.col("defect").filter(counted)).sum() / weight.sum(),
            lightest=weight.min() / weight.mean(),
            heaviest=weight.max() / weight.mean(),
            risk_reviewed=(risk & pl.col("reviewed")).sum().cast(pl.Int64),
            risk_defects=(risk & pl.col("defect")).sum().cast(pl.Int64),
        )
        .with_columns(pl.col("defect_rate").fill_nan(None))
        .sort("stratum")
    )
    if not bounded:
        bounds = {"bound_low": pl.lit(None, pl.Float64), "bound_high": pl.lit(None, pl.Float64)}
    elif whole:
        bounds = {"bound_low": pl.col("defect_rate"), "bound_high": pl.col("defect_rate")}
    else:
        defects, n = table["defects"].to_numpy(), table["n_reviewed"].to_numpy()
        if stopped:
            low, high = confidence_sequence(defects, n, confidence=confidence)
        else:
            low, high = _exact_bounds(defects, n, 1 - confidence)
        bounds = {
            "bound_low": pl.Series(low) * pl.col("lightest").fill_null(1.0),
            "bound_high": (pl.Series(high) * pl.col("heaviest").fill_null(1.0)).clip(0, 1),
        }
    return table.with_columns(**bounds).select(
        "stratum",
        "n_random",
        "n_reviewed",
        "n_open",
        "defects",
        "defect_rate",
        "bound_low",
        "bound_high",
        "risk_reviewed",
        "risk_defects",
    )


# ---- the boundary


@dataclass(frozen=True)
class Boundary:
    """When a batch is accepted, however often the sample is enlarged: P(accept at the tolerated rate) ≤ 1 − confidence.

    The first draw of n rows accepts up to c defects, as many as plans.acceptance_number allows. That leaves part of
    the error unspent; the k-th defect beyond c may spend 1/(k+1) of what is then left. A sample with y > c defects is
    accepted from the size on at which P(more than c in the first draw, at most y by now) has fallen to its part. Being
    true for every y at once, it holds whenever people look after the first draw is done. `spread` ≥ 1 is the largest
    weight over the mean weight: unequal inclusion probabilities turn a rate p into trials of at least p / spread.
    """

    n: int
    batch_size: int
    tolerated: float
    confidence: float
    spread: float = 1.0

    @property
    def c(self) -> int:
        """Most defects that the first draw accepts; −1 where not even none is enough."""
        return acceptance_number(
            self.n, self.batch_size, tolerated=self.tolerated, confidence=self.confidence, spread=self.spread
        )

    def upper(self, defects: int, n: int) -> float:
        """Return the upper confidence bound on the batch's defect rate after `defects` in a sample grown to n.

        Stagewise ordering over the draws; plans.upper_bound for the first. Never above what would be true if every
        row not drawn were a defect, so exact for a batch reviewed whole.
        """
        certain = (defects + self.batch_size - n) / self.batch_size
        if n <= self.n or defects <= self.c:
            first = min(n, self.n)
            high = upper_bound(defects, first, self.batch_size, confidence=self.confidence, spread=self.spread)
            return min(certain, high)
        low, high = defects / n, 1.0
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if self._error(middle, defects, n) > 1 - self.confidence else (low, middle)
        return min(certain, self.spread * high)

    def size_for(self, defects: int) -> int | None:
        """Return the sample size from which `defects` are accepted; None beyond every sensible enlargement.

        Sensible: at most MAX_ENLARGEMENT times the first draw, or a batch small enough to be reviewed whole.
        """
        if defects <= self.c:
            return self.n
        if defects >= self.tolerated * self.batch_size:
            return None
        sizes = _boundary_sizes(self)
        step = defects - self.c - 1
        if step < len(sizes):
            return min(sizes[step], self.batch_size)
        return self.batch_size if self.batch_size <= MAX_ENLARGEMENT * self.n else None

    def _error(self, rate: float, defects: int, n: int) -> float:
        spent = sum(
            _continued(rate, self.n, self.c, y, size)
            for y, size in zip(range(self.c + 1, defects), _boundary_sizes(self), strict=False)
        )
        last = _continued(rate, self.n, self.c, defects, n)
        return _first(rate, self.n, self.c) + spent + (defects - self.c + 1) * last


@lru_cache(maxsize=256)
def _boundary_sizes(boundary: Boundary) -> tuple[int, ...]:
    """Return the sizes for c+1, c+2, … defects, as far as they are sensible."""
    rate, c, first = boundary.tolerated / boundary.spread, boundary.c, boundary.n
    left = 1 - boundary.confidence - _first(rate, first, c)
    sizes: list[int] = []
    limit = MAX_ENLARGEMENT * first
    while left > 0:
        y = c + 1 + len(sizes)
        part = left / (len(sizes) + 2)
        if _continued(rate, first, c, y, limit) > part:
            break
        size = _smallest(first, limit, lambda n, y=y, part=part: _continued(rate, first, c, y, n) <= part)
        sizes.append(size)
        left -= _continued(rate, first, c, y, size)
    return tuple(sizes)


def _first(rate: float, n: int, c: int) -> float:
    from scipy.stats import binom

    return float(binom.cdf(c, n, rate)) if c >= 0 else 0.0


def _continued(rate: float, first: int, c: int, defects: int, n: int) -> float:
    """P(more than c defects in the first draw, at most `defects` in n)."""
    from scipy.stats import binom

    found = np.arange(c + 1, defects + 1)
    return float(binom.pmf(found, first, rate) @ binom.cdf(defects - found, n - first, rate))


def _doubling(start: int, enough: Callable[[int], bool]) -> tuple[int, int]:
    low = high = start
    while not enough(high):
        low, high = high, 2 * high
    return low, high


def _smallest(low: int, high: int, enough: Callable[[int], bool]) -> int:
    """Return the smallest n in [low, high] that is enough; `high` must be, and enough must not turn back."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return high
