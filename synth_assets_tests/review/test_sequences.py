"""Bounds that hold at every look at once, by exact small cases and by simulation through the real draw."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth_assets.review.acceptance import clopper_pearson
from synth_assets.review.sequences import confidence_sequence, live_bounds

ALPHA = 0.05


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("batch", [None, 400])
def test_all_bounds_of_a_review_hold_at_once(rate: float, batch: int | None) -> None:
    runs, n = (1000, 300) if batch is None else (300, 200)
    generator = np.random.default_rng(5)
    if batch is None:
        found = np.cumsum(generator.random((runs, n)) < rate, axis=1)
    else:
        rows = np.tile(np.arange(batch) < rate * batch, (runs, 1))
        found = np.cumsum(generator.permuted(rows, axis=1)[:, :n], axis=1)
    sizes = np.tile(np.arange(1, n + 1), (runs, 1))
    seen = np.unique(np.stack([found.ravel(), sizes.ravel()]), axis=1)
    low, high = confidence_sequence(seen[0], seen[1], confidence=0.95, batch_size=batch)
    table = np.full((n + 1, n + 1, 2), np.nan)
    table[seen[1], seen[0]] = np.column_stack([low, high])
    ends = table[sizes, found]
    noise = 3 * np.sqrt(ALPHA * (1 - ALPHA) / runs)
    assert (ends[..., 1] < rate - 1e-12).any(axis=1).mean() <= ALPHA + noise
    assert (ends[..., 0] > rate + 1e-12).any(axis=1).mean() <= ALPHA + noise


def test_looking_once_too_often_breaks_the_exact_bound_but_not_the_sequence() -> None:
    """Why the live view shows a sequence: the smallest Clopper–Pearson bound seen on the way is too low."""
    runs, n, rate = 1000, 300, 0.05
    found = np.cumsum(np.random.default_rng(6).random((runs, n)) < rate, axis=1)
    sizes = np.arange(1, n + 1)
    exact = np.array(
        [
            [clopper_pearson(d, k, confidence=0.95, side="upper")[1] if d <= k else 1.0 for d in range(60)]
            for k in sizes.tolist()
        ]
    )
    missed = (exact[sizes - 1, np.minimum(found, 59)] < rate).any(axis=1).mean()
    assert missed > 3 * ALPHA


@given(st.integers(1, 60), st.floats(0, 1), st.integers(0, 200))
def test_the_bound_of_a_batch_encloses_what_is_still_possible(n: int, share: float, rest: int) -> None:
    defects, batch = round(share * n), n + rest
    low, high = confidence_sequence(np.array([defects]), np.array([n]), confidence=0.95, batch_size=batch)
    assert defects / batch - 1e-12 <= low[0] <= high[0] <= (defects + rest) / batch + 1e-12


def test_a_batch_seen_whole_is_known_exactly() -> None:
    low, high = confidence_sequence(np.array([2]), np.array([50]), confidence=0.95, batch_size=50)
    assert (low[0], high[0]) == pytest.approx((0.04, 0.04))


def test_a_large_batch_has_the_bounds_of_independent_rows() -> None:
    found, n = np.array([0, 1, 5]), np.array([59, 153, 500])
    with_end = confidence_sequence(found, n, confidence=0.95, batch_size=200_000)
    without = confidence_sequence(found, n, confidence=0.95)
    assert with_end[0] == pytest.approx(without[0], abs=1e-4)
    assert with_end[1] == pytest.approx(without[1], abs=1e-3)


def test_the_price_of_looking_always_is_moderate() -> None:
    _, high = confidence_sequence(np.array([0]), np.array([59]), confidence=0.95)
    assert 0.0495 < high[0] < 0.065


def test_nothing_seen_says_nothing_and_nonsense_is_refused() -> None:
    low, high = confidence_sequence(np.array([0]), np.array([0]), confidence=0.95)
    assert (low[0], high[0]) == (0.0, 1.0)
    with pytest.raises(ValueError, match="between 0 and the size"):
        confidence_sequence(np.array([3]), np.array([2]), confidence=0.95)


# ---- the live view


def judged(states: list[str], weights: list[float] | None = None) -> pl.DataFrame:
    """One random row a letter in serving order: a accepted, r rejected, . open."""
    n = len(states)
    return pl.DataFrame(
        {
            "part": ["random"] * n,
            "priority": range(n),
            "weight": weights or [10.0] * n,
            "reviewed": [state != "." for state in states],
            "defect": [state == "r" for state in states],
        }
    )


def test_rows_passed_over_count_against_both_ends() -> None:
    live = live_bounds(judged(list("aa.ar..")), 70, confidence=0.95)
    assert (live.n, live.n_open, live.defects) == (5, 1, 1)
    expected = confidence_sequence(np.array([1, 2]), np.array([5, 5]), confidence=0.95, batch_size=70)
    assert (live.bound_low, live.bound_high) == (expected[0][0], expected[1][1])


def test_the_order_of_the_frame_and_other_parts_do_not_matter() -> None:
    rows = judged(list("aaraa"))
    risk = judged(list("rrr")).with_columns(part=pl.lit("risk"), weight=pl.lit(0.0))
    mixed = pl.concat([risk, rows.reverse()])
    assert live_bounds(mixed, 50, confidence=0.95) == live_bounds(rows, 50, confidence=0.95)


def test_before_the_first_decision_nothing_is_known() -> None:
    live = live_bounds(judged(list("...")), 30, confidence=0.95)
    assert (live.n, live.bound_low, live.bound_high) == (0, 0.0, 1.0)


def test_unequal_weights_widen_both_ends() -> None:
    even = live_bounds(judged(list("aara")), 100, confidence=0.95)
    uneven = live_bounds(judged(list("aara"), [20.0, 10.0, 10.0, 8.0]), 100, confidence=0.95)
    assert uneven.bound_low == pytest.approx(even.bound_low * 8 / 12)
    assert uneven.bound_high == pytest.approx(min(even.bound_high * 20 / 12, 1.0))
