"""Sampling plans that pay for both risks: accepting a bad batch (consumer) and turning a good one away (producer).

Here: the fixed plan (n, c), the sequential plan (Wald's test, truncated and calibrated), their exact risks and
operating characteristics. Not here: which rows are drawn (sampling.py), what decisions prove (acceptance.py).

The consumer is promised something about this batch: with D defects among its N rows a plan accepts in at most
1 − confidence of all draws if D/N is the tolerated rate or more. The stratified sample of sampling.py finds a number of
defects that is a sum of independent indicators (see acceptance.py). There are at most min(n, D) of them, since neither
more rows nor more defects can be found, and their mean is D·n/N. Hoeffding (1956, "On the distribution of the number of
successes in independent trials") bounds the chance to find few by Binomial(min(n, D), D·n/N / min(n, D)): for a large
batch the usual Binomial(n, D/N), for a batch reviewed in large part Binomial(D, n/N), whose variance falls to zero as n
reaches N. The hypergeometric would be a little sharper, but is wrong for a stratified sample.

The producer is promised something about the process: of batches made with the acceptable rate, 90 % are accepted. Their
defects are independent, so the number found is Binomial(n, acceptable) whatever the strata and weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import polars as pl

ACCEPTANCE = 0.90  # of batches at the acceptable rate
REJECTION_RISKS = (0.10, 0.05, 0.025)  # nominal, for Wald's upper line; the first that keeps the promise is taken
TRUNCATIONS = (1.0, 1.1, 1.2, 1.3, 1.4, 1.5)  # × the fixed plan's n
NEVER = -1

SequentialVerdict = Literal["accept", "reject", "open"]


# ---- exact risks


def tolerated_defects(batch_size: int, tolerated: float) -> int:
    """Return the smallest number of defects that makes a batch as bad as the tolerated rate."""
    return math.ceil(tolerated * batch_size - 1e-9)


def chance_of_at_most(c: int, n: int, defects: int, batch_size: int, *, spread: float = 1.0) -> float:
    """Return the largest probability that n rows of a batch hold at most c of its defects, however they are spread.

    spread ≥ 1: largest weight ÷ mean weight of the sample. Exact for a batch reviewed whole. Hoeffding's bound holds
    for c = 0 and for c ≤ mean − 1; nearer to the mean it is not used (1.0).
    """
    from scipy.stats import binom

    if c < 0:
        return 0.0
    if n >= batch_size:
        return float(defects <= c)
    trials = min(n, defects)
    if c >= trials:
        return 1.0
    mean = n * defects / (batch_size * spread)
    return float(binom.cdf(c, trials, mean / trials)) if c == 0 or c <= mean - 1 else 1.0


@lru_cache(maxsize=4096)
def acceptance_number(n: int, batch_size: int, *, tolerated: float, confidence: float, spread: float = 1.0) -> int:
    """Return the most defects in n rows that still certify less than the tolerated rate; −1 where not even none does.

    3 for n = 153, a large batch, 5 % and 95 %.
    """
    from scipy.stats import binom

    if n <= 0 or batch_size <= 0:
        return NEVER
    bad = tolerated_defects(batch_size, tolerated)
    if n >= batch_size:
        return bad - 1
    trials, mean = min(n, bad), n * bad / (batch_size * spread)
    guess = min(int(binom.ppf(1 - confidence, trials, mean / trials)), max(math.floor(mean - 1), 0))
    while guess >= 0 and chance_of_at_most(guess, n, bad, batch_size, spread=spread) > 1 - confidence:
        guess -= 1
    return guess


def upper_bound(defects: int, n: int, batch_size: int, *, confidence: float, spread: float = 1.0) -> float:
    """Return the one-sided upper confidence bound on the batch's defect rate after `defects` in n of its rows.

    The largest D/N that leaves such a sample a probability above 1 − confidence: below the tolerated rate exactly
    where `defects` is at most acceptance_number. Within rounding to whole rows it is Clopper–Pearson for a large batch,
    and the observed rate for a batch reviewed whole.
    """
    low, high = defects, max(batch_size - n + defects, defects)
    while low < high:
        middle = (low + high + 1) // 2
        chance = chance_of_at_most(defects, n, middle, batch_size, spread=spread)
        low, high = (middle, high) if chance > 1 - confidence else (low, middle - 1)
    return low / batch_size


# ---- the fixed plan


@dataclass(frozen=True)
class FixedPlan:
    """Review n rows, accept with at most c defects (c = −1: n certifies nothing).

    consumer_risk: largest probability to accept a batch at the tolerated rate. acceptance: probability to accept one
    at the acceptable rate. note: what is not paid for, "" if both are.
    """

    n: int
    c: int
    consumer_risk: float
    acceptance: float
    note: str

    @property
    def certifies(self) -> bool:
        """Whether an accepted batch is certified below the tolerated rate."""
        return self.c >= 0

    @property
    def pays_for_both(self) -> bool:
        """Whether good batches are accepted often enough, too."""
        return self.certifies and self.acceptance >= ACCEPTANCE


@lru_cache(maxsize=1024)
def fixed_plan(
    batch_size: int,
    *,
    tolerated: float,
    acceptable: float,
    confidence: float,
    at_least: int = 1,
    at_most: int | None = None,
) -> FixedPlan:
    """Return the smallest plan of at least `at_least` rows that keeps both promises: (153, 3) for 5 %, 1 % and 95 %.

    Where the batch or `at_most` rows cannot pay for both, the consumer's promise is kept and the producer's is kept
    as well as can be: the c that accepts good batches most often. Where they cannot pay for the consumer, n = at_most.
    """
    limit = max(min(batch_size, batch_size if at_most is None else at_most), 0)
    floor = min(max(at_least, 1), limit)

    def size_for(c: int) -> int | None:
        return _size_for(c, floor, batch_size, tolerated, confidence)

    def ends(c: int) -> bool:  # the search: enough for the producer, or out of reach
        n = size_for(c)
        return n is None or n > limit or acceptance_of(n, c, acceptable) >= ACCEPTANCE

    def number(n: int) -> int:
        return acceptance_number(n, batch_size, tolerated=tolerated, confidence=confidence)

    n, c = floor, number(floor)
    if c < 0:
        smallest = size_for(0)
        n = limit if smallest is None else min(smallest, limit)
        c = number(n)
    if c >= 0 and acceptable < tolerated and acceptance_of(n, c, acceptable) < ACCEPTANCE:
        enough = _first(c + 1, batch_size, ends)
        for larger in (enough, enough - 1):  # the last that is within reach, if not enough
            size = size_for(larger)
            if larger > c and size is not None and size <= limit:
                n, c = size, larger
                break
    bad = tolerated_defects(batch_size, tolerated)
    acceptance = acceptance_of(n, c, acceptable)
    return FixedPlan(
        n, c, chance_of_at_most(c, n, bad, batch_size), acceptance, _tell(n, c, acceptance, acceptable, tolerated)
    )


def _size_for(c: int, low: int, batch_size: int, tolerated: float, confidence: float) -> int | None:
    """Return the smallest n ≥ low that may accept c defects; None where not even the whole batch may."""
    high = batch_size
    if acceptance_number(high, batch_size, tolerated=tolerated, confidence=confidence) < c:
        return None
    while low < high:
        middle = (low + high) // 2
        enough = acceptance_number(middle, batch_size, tolerated=tolerated, confidence=confidence) >= c
        low, high = (low, middle) if enough else (middle + 1, high)
    return high


def acceptance_of(n: int, c: int, rate: float) -> float:
    """Return the probability that n rows of a batch made with this defect rate are accepted."""
    from scipy.stats import binom

    return float(binom.cdf(c, n, rate)) if c >= 0 else 0.0


def _tell(n: int, c: int, acceptance: float, acceptable: float, tolerated: float) -> str:
    if c < 0:
        return f"{n} rows cannot certify less than the tolerated {tolerated:.1%}, even without a defect"
    if acceptance >= ACCEPTANCE:
        return ""
    return (
        f"{n} rows pay for the consumer only: with at most {c} defects less than {tolerated:.1%} is certified, but a "
        f"good batch ({acceptable:.1%} defects) is accepted with a probability of {acceptance:.0%} instead of "
        f"{ACCEPTANCE:.0%}"
    )


# ---- the sequential plan


@dataclass(frozen=True)
class SequentialPlan:
    """Wald's sequential probability ratio test, looked at after every row in serving order, and ended after n rows.

    After k rows (first ≤ k < n) with d defects: accept if d ≤ slope·k − accept_line, reject if d ≥ slope·k +
    reject_line or d > c; after n rows accept up to c. consumer_risk, acceptance and mean_size (at the acceptable rate)
    are those of this truncated test, computed exactly over all its paths, not Wald's approximations.
    """

    n: int
    c: int
    first: int
    slope: float
    accept_line: float
    reject_line: float
    consumer_risk: float = 1.0
    acceptance: float = 0.0
    mean_size: float = 0.0

    def accepts_up_to(self, k: int) -> int:
        """Return the most defects that k rows accept, −1 for none."""
        if k >= self.n:
            return self.c
        if k < self.first:
            return NEVER
        return max(min(math.floor(self.slope * k - self.accept_line + 1e-9), self.c), NEVER)

    def rejects_from(self, k: int) -> int:
        """Return the fewest defects that k rows reject; more than k where none do."""
        if k >= self.n:
            return self.c + 1
        if k < self.first:
            return k + 1
        return min(math.ceil(self.slope * k + self.reject_line - 1e-9), self.c + 1)

    def judge(self, defects: Sequence[bool]) -> tuple[SequentialVerdict, int, int]:
        """Return verdict, rows used and defects among them; `defects` in serving order, only as far as decided."""
        found = 0
        for k, defect in enumerate(defects[: self.n], start=1):
            found += bool(defect)
            if found <= self.accepts_up_to(k):
                return "accept", k, found
            if found >= self.rejects_from(k):
                return "reject", k, found
        return "open", min(len(defects), self.n), found

    def bounds(self, k: int, defects: int, batch_size: int, *, confidence: float) -> tuple[float, float]:
        """Return one-sided bounds (low, high) on the batch's defect rate after the test ended at k rows.

        Stagewise ordering: an acceptance says more for the batch the sooner it came, a rejection more against it.
        high is below the tolerated rate whenever the test accepts.
        """
        paths = _paths_of(self)
        place = paths.place_of(k, defects, self.c)
        as_good, as_bad = paths.table[: place + 1].sum(axis=0), paths.table[place:].sum(axis=0)
        error = 1 - confidence
        beyond = _first(
            defects, batch_size - k + defects, lambda bad: _worst(as_good, self.n, bad, batch_size) <= error
        )
        least = _first(defects, batch_size, lambda bad: _worst(as_bad, self.n, bad, batch_size) > error)
        return least / batch_size, (beyond - 1) / batch_size


@lru_cache(maxsize=256)
def sequential_plan(
    batch_size: int, *, tolerated: float, acceptable: float, confidence: float, at_least: int = 1
) -> SequentialPlan | None:
    """Return the sequential plan that keeps both promises with the fewest rows at the acceptable rate.

    Looking often costs some error, so n may exceed the fixed plan's (at most 1.5 ×), and the lines are moved until the
    exact risk of the truncated test is what was promised. It never ends before `at_least` rows. None where a fixed
    plan is no larger than `at_least`, needs the whole batch, or cannot keep both promises, and where only batches
    without a defect are acceptable.
    """
    if acceptable <= 0:
        return None
    fixed = fixed_plan(batch_size, tolerated=tolerated, acceptable=acceptable, confidence=confidence)
    if not fixed.pays_for_both or fixed.n >= batch_size or fixed.n <= at_least:
        return None
    sizes = sorted({min(math.ceil(share * fixed.n), batch_size - 1) for share in TRUNCATIONS})
    for risk in REJECTION_RISKS:
        found: list[SequentialPlan] = []
        for n in sizes:
            most = acceptance_number(n, batch_size, tolerated=tolerated, confidence=confidence)
            for c in range(max(most - 1, 0), most + 1):
                plan = _calibrate(n, c, at_least, batch_size, tolerated, acceptable, confidence, risk)
                if plan is not None:
                    found.append(plan)
        if found:
            return min(found, key=lambda plan: (plan.mean_size, plan.n))
    return None


def _calibrate(
    n: int, c: int, first: int, batch_size: int, tolerated: float, acceptable: float, confidence: float, risk: float
) -> SequentialPlan | None:
    """Return the plan with the lowest acceptance line that keeps the consumer's promise, if it keeps the other, too."""
    from scipy.stats import binom

    scale = math.log(tolerated / acceptable) + math.log((1 - acceptable) / (1 - tolerated))
    slope = math.log((1 - acceptable) / (1 - tolerated)) / scale
    bad = tolerated_defects(batch_size, tolerated)
    reject_line = math.log(confidence / risk) / scale
    good = binom.pmf(np.arange(n + 1), n, acceptable)

    def plan_of(line: float) -> tuple[SequentialPlan, float, _Paths]:
        plan = SequentialPlan(n, c, first, slope, line, reject_line)
        paths = _paths_of(plan)
        return plan, _worst(paths.accepting, n, bad, batch_size), paths

    low, high = math.log((1 - risk) / 0.5) / scale, slope * n + 1  # from hardly any evidence to no early acceptance
    if plan_of(high)[1] > 1 - confidence:
        return None
    for _ in range(9):
        middle = (low + high) / 2
        low, high = (middle, high) if plan_of(middle)[1] > 1 - confidence else (low, middle)
    plan, error, paths = plan_of(high)
    acceptance = float(paths.accepting @ good)
    if acceptance < ACCEPTANCE:
        return None
    size = float(paths.k @ (paths.table @ good))
    return SequentialPlan(n, c, first, slope, plan.accept_line, reject_line, error, acceptance, size)


@dataclass(frozen=True)
class _Paths:
    """Where the test can end, best for the batch first. k, defects, accepted: shape (ends,); table: P(end | y defects
    in all n rows), shape (ends, n + 1): given their number, defects lie anywhere in serving order.
    """

    k: np.ndarray
    defects: np.ndarray
    accepted: np.ndarray
    table: np.ndarray

    @property
    def accepting(self) -> np.ndarray:
        """P(accept | y defects in all n rows), shape (n + 1,)."""
        return self.table[self.accepted].sum(axis=0)

    def place_of(self, k: int, defects: int, c: int) -> int:
        places = np.flatnonzero((self.k == k) & (self.defects == min(defects, c + 1)))
        if not len(places):
            raise ValueError(f"the plan does not end at {k} rows with {defects} defects")
        return int(places[0])


def _paths_of(plan: SequentialPlan) -> _Paths:
    return _walk(
        plan.n,
        plan.c,
        tuple(plan.accepts_up_to(k) for k in range(plan.n + 1)),
        tuple(plan.rejects_from(k) for k in range(plan.n + 1)),
    )


@lru_cache(maxsize=64)
def _walk(n: int, c: int, accept: tuple[int, ...], reject: tuple[int, ...]) -> _Paths:
    """Follow all paths at once; column c + 1 of the state stands for "more than c", which is rejected in the end."""
    total, now = np.arange(n + 1)[:, None], np.arange(c + 2)[None, :]
    state = np.zeros((n + 1, c + 2))
    state[:, 0] = 1.0
    ends: list[tuple[int, int, bool, np.ndarray]] = []
    for k in range(1, n + 1):
        chance = np.clip((total - now) / (n - k + 1), 0.0, 1.0)
        chance[:, -1] = 0.0
        moved = state * chance
        state -= moved
        state[:, 1:] += moved[:, :-1]
        for defects in (*range(min(accept[k], c) + 1), *range(min(reject[k], c + 2), c + 2)):
            if state[:, defects].any():
                ends.append((k, defects, defects <= accept[k], state[:, defects].copy()))
                state[:, defects] = 0.0
    ends.sort(key=lambda end: (not end[2], end[0] if end[2] else -end[0], end[1]))
    k, defects, accepted, table = zip(*ends, strict=True)
    return _Paths(np.array(k), np.array(defects), np.array(accepted), np.array(table))


def _worst(value: np.ndarray, n: int, defects: int, batch_size: int) -> float:
    """Return the largest mean of value[Y] over all laws that the number Y of defects found in n rows may have.

    Y is a sum of at most min(n, D) independent indicators of mean D·n/N in all. Hoeffding (1956, theorem 3): the
    extremes have indicators of one probability beside some that are 0 or 1; these are searched on a grid.
    """
    trials, mean = min(n, defects), n * defects / batch_size
    if trials == 0:
        return float(value[0])
    largest = 0.0
    most = min(math.floor(mean), trials)
    for ones in np.unique(np.linspace(0, most, min(most, 12) + 1).round().astype(np.int64)).tolist():
        rest = mean - ones
        fewest = max(math.ceil(rest - 1e-12), 1)
        if fewest > trials - ones:
            largest = max(largest, float(value[ones]))
            continue
        sizes = np.unique(np.geomspace(fewest, trials - ones, 24).round())[:, None]
        law = _binomial(sizes, np.arange(trials - ones + 1), np.clip(rest / sizes, 1e-12, 1 - 1e-12))
        largest = max(largest, float((law @ value[ones : trials + 1]).max()))
    return largest


def _binomial(size: np.ndarray, found: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """P(Binomial(size, rate) = found), 0 < rate < 1; several times faster than scipy.stats on many small tables."""
    from scipy.special import gammaln

    choose = gammaln(size + 1) - gammaln(found + 1) - gammaln(size - found + 1)
    return np.exp(choose + found * np.log(rate) + (size - found) * np.log1p(-rate))


def _first(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """Return the smallest integer in [low, high] that holds, high + 1 if none; once it holds it must go on holding."""
    step = 1
    while low <= high and not holds(min(low + step - 1, high)):
        low, step = low + step, 2 * step
    high = min(low + step - 1, high)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


# ---- operating characteristics


def characteristic(plan: FixedPlan | SequentialPlan, rates: Iterable[float], *, name: str = "") -> pl.DataFrame:
    """Return how often a plan accepts and how many rows it takes: plan, defect_rate, acceptance, mean_size.

    One row a rate, for batches made with that rate. {"plan": "fixed", "defect_rate": 0.05, "acceptance": 0.049,
    "mean_size": 153.0}.
    """
    from scipy.stats import binom

    rate = np.array(list(rates), dtype=np.float64)
    if isinstance(plan, FixedPlan):
        acceptance, size = binom.cdf(plan.c, plan.n, rate), np.full(len(rate), float(plan.n))
    else:
        paths = _paths_of(plan)
        law = binom.pmf(np.arange(plan.n + 1)[:, None], plan.n, rate[None, :])
        ends = paths.table @ law
        acceptance, size = ends[paths.accepted].sum(axis=0), paths.k @ ends
    kind = name or ("fixed" if isinstance(plan, FixedPlan) else "sequential")
    return pl.DataFrame({"plan": [kind] * len(rate), "defect_rate": rate, "acceptance": acceptance, "mean_size": size})
