"""The allowance: what is admitted can never cost more than the budget, and which limit ended a round is told."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth_assets.generation.allowance import Allowance
from synth_assets_tests.builders import text_spec
from synth_assets_tests.generation.scripted_model import Clock


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, int, float]]:
    """Steps of a round: admit a call of so many tokens, settle the n-th open call by a share of it, let time pass."""
    step = st.one_of(
        st.tuples(st.just("admit"), st.integers(1, 400), st.just(0.0)),
        st.tuples(st.just("settle"), st.integers(0, 5), st.floats(0, 1)),
        st.tuples(st.just("wait"), st.just(0), st.floats(0, 30)),
    )
    return draw(st.lists(step, max_size=60))


def play(allowance: Allowance, clock: Clock, history: list[tuple[str, int, float]]):
    """Play a history and yield after each step."""
    flying: list[int] = []
    for action, number, share in history:
        if action == "admit" and allowance.admit(number):
            flying.append(number)
        elif action == "settle" and flying:
            reserved = flying.pop(number % len(flying))
            allowance.settle(reserved, math.floor(reserved * share))
        elif action == "wait":
            clock.now += share
        yield sum(flying)


@given(histories(), st.integers(1, 1000), st.integers(0, 500))
def test_tokens_are_never_exceeded_whatever_is_in_flight(
    history: list[tuple[str, int, float]], limit: int, before: int
) -> None:
    clock = Clock()
    allowance = Allowance(tokens=limit, spent_tokens=before, clock=clock)
    for open_tokens in play(allowance, clock, history):
        assert allowance.spent_tokens + open_tokens <= max(limit, before)


@given(histories(), st.floats(0.01, 10), st.sampled_from([1e-6, 2.5e-5, 0.01]), st.sampled_from([0.0, 2 / 3600, 0.1]))
def test_money_for_tokens_is_never_exceeded_and_nothing_is_begun_without_money(
    history: list[tuple[str, int, float]], purse: float, per_token: float, per_second: float
) -> None:
    clock = Clock()
    allowance = Allowance(money=purse, price_per_token=per_token, price_per_second=per_second, clock=clock)
    open_before = 0
    for open_tokens in play(allowance, clock, history):
        assert (allowance.spent_tokens + open_tokens) * per_token <= purse
        if open_tokens > open_before:
            assert (allowance.spent_tokens + open_tokens) * per_token + clock.now * per_second <= purse
        open_before = open_tokens


@given(histories())
def test_without_limits_everything_is_admitted_and_nothing_ends(history: list[tuple[str, int, float]]) -> None:
    clock = Clock()
    allowance = Allowance(clock=clock)
    for _ in play(allowance, clock, history):
        assert (allowance.ended, allowance.overdue) == ("", False)
    assert all(allowance.admit(10**9) for _ in range(3))


@given(histories(), st.integers(1, 1000))
def test_room_that_is_not_used_comes_back(history: list[tuple[str, int, float]], limit: int) -> None:
    clock = Clock()
    allowance = Allowance(tokens=limit, clock=clock)
    still_open = [0, *play(allowance, clock, history)][-1]
    allowance.settle(still_open, 0)
    left = limit - allowance.spent_tokens
    assert not allowance.admit(left + 1)
    assert left == 0 or allowance.admit(left)


def test_a_call_that_just_fits_is_admitted() -> None:
    allowance = Allowance(tokens=100)
    assert [allowance.admit(60), allowance.admit(41), allowance.admit(40)] == [True, False, True]


def test_a_refusal_ends_the_round_until_a_call_is_admitted_again() -> None:
    allowance = Allowance(tokens=100)
    assert allowance.admit(80)
    assert not allowance.admit(80)
    assert allowance.ended == "tokens"
    allowance.settle(80, 10)
    assert allowance.admit(80)
    assert allowance.ended == ""


def test_tokens_that_are_used_up_end_the_round_without_a_refusal() -> None:
    allowance = Allowance(tokens=100)
    allowance.admit(100)
    assert allowance.ended == ""
    allowance.settle(100, 100)
    assert (allowance.ended, allowance.overdue) == ("tokens", False)


def test_booked_tokens_count_though_they_were_never_reserved() -> None:
    allowance = Allowance(tokens=100, spent_tokens=30)
    allowance.book(60)
    assert not allowance.admit(11)
    assert allowance.admit(10)
    allowance.book(40)
    assert allowance.ended == "tokens"


def test_seconds_end_the_round_and_what_is_in_flight() -> None:
    clock = Clock(1000.0)
    allowance = Allowance(seconds=60, clock=clock)
    assert allowance.admit(10)
    clock.now += 59.9
    assert (allowance.overdue, allowance.ended, allowance.admit(10)) == (False, "", True)
    clock.now += 0.1
    assert (allowance.overdue, allowance.ended, allowance.admit(1)) == (True, "seconds", False)


def test_seconds_of_an_earlier_run_count() -> None:
    clock = Clock(5.0)
    allowance = Allowance(seconds=60, spent_seconds=50.0, clock=clock)
    assert allowance.seconds == 50.0
    clock.now += 10
    assert allowance.ended == "seconds"


def test_money_by_time_ends_the_round_and_what_is_in_flight() -> None:
    clock = Clock()
    allowance = Allowance(money=2.0, price_per_second=0.5, clock=clock)
    assert allowance.admit(10**6)
    clock.now = 3.9
    assert not allowance.overdue
    clock.now = 4.0
    assert (allowance.money, allowance.overdue, allowance.ended) == (2.0, True, "money")


def test_money_by_tokens_refuses_a_call_but_leaves_what_is_in_flight_alone() -> None:
    allowance = Allowance(money=1.0, price_per_token=0.01)
    assert allowance.admit(100)
    assert not allowance.admit(1)
    assert (allowance.ended, allowance.overdue) == ("money", False)
    allowance.settle(100, 100)
    assert (allowance.money, allowance.ended) == (1.0, "money")


def test_tokens_and_time_are_paid_from_one_purse() -> None:
    clock = Clock()
    allowance = Allowance(money=10.0, price_per_token=0.01, price_per_second=1.0, clock=clock)
    clock.now = 6.0
    assert not allowance.admit(401)
    assert allowance.admit(400)


@pytest.mark.parametrize("limits", [{"money": 0.5}, {"money": 0.5, "price_per_token": 0.0, "price_per_second": 0.0}])
def test_a_purse_without_prices_is_no_limit(limits: dict[str, float]) -> None:
    clock = Clock()
    allowance = Allowance(**limits, clock=clock)
    clock.now = 1e9
    assert allowance.admit(10**12)
    allowance.settle(10**12, 10**12)
    assert (allowance.money, allowance.ended) == (0.0, "")


def test_the_first_limit_that_is_reached_is_told() -> None:
    clock = Clock()
    allowance = Allowance(tokens=100, seconds=60, money=1.0, price_per_token=0.02, clock=clock)
    assert not allowance.admit(60)
    assert allowance.ended == "money"
    clock.now = 60
    assert allowance.ended == "seconds"


def test_each_settlement_is_counted_and_watched() -> None:
    allowance, seen = Allowance(), []
    allowance.watch = lambda: seen.append((allowance.settled, allowance.spent_tokens))
    for used in (3, 0, 5):
        allowance.admit(10)
        allowance.settle(10, used)
    allowance.book(100)
    assert seen == [(1, 3), (2, 3), (3, 8)]


def test_a_specs_budget_and_prices_become_an_allowance() -> None:
    clock = Clock()
    spec = text_spec(
        budget={"tokens": 1000, "seconds": 60, "money": 3.0}, cost={"per_million_tokens": 2.0, "per_engine_hour": 36.0}
    )
    allowance = Allowance.of(spec, clock=clock)
    assert not allowance.admit(1001)
    allowance.book(500)
    clock.now = 50
    assert allowance.money == pytest.approx(500 * 2e-6 + 50 * 0.01)
    clock.now = 60
    assert allowance.ended == "seconds"
