"""Estimates: a sample's numbers scaled up by hand, how sure they are, and the budget that would end the round."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from synth_assets.generation.estimate import Estimate, Sample, estimate_round
from synth_assets.spec import DatasetSpec
from synth_assets_tests.builders import text_spec


def make_spec(per_million_tokens: float = 0.0, per_engine_hour: float = 0.0, **budget: Any) -> DatasetSpec:
    prices = {"per_million_tokens": per_million_tokens, "per_engine_hour": per_engine_hour}
    return text_spec(budget=budget, cost=prices)


# 20 requests, of which 12 were accepted, took 1,000 tokens and 10 seconds: 50 tokens and half a second each
SAMPLE = Sample(requests=20, accepted=12, output_tokens=1000, seconds=10.0)


def test_a_sample_is_scaled_up_to_the_target() -> None:
    estimate = estimate_round(make_spec(per_million_tokens=2.0, per_engine_hour=3.6), 600, SAMPLE)
    assert estimate.yield_expected == 0.6
    assert (estimate.requests, estimate.tokens, estimate.seconds) == (1000, 50_000, 500.0)
    assert estimate.money == pytest.approx(50_000 * 2e-6 + 500 * 0.001)
    assert estimate.engine_hours == pytest.approx(500 / 3600)
    assert (estimate.limit, estimate.accepted) == ("", 600)


def test_a_part_of_a_request_is_a_whole_request() -> None:
    assert estimate_round(make_spec(), 7, SAMPLE).requests == 12  # 7 / 0.6 = 11.7


def test_the_interval_is_clopper_and_pearsons() -> None:
    estimate = estimate_round(make_spec(), 100, SAMPLE)
    assert estimate.yield_low == pytest.approx(beta.ppf(0.025, 12, 9))
    assert estimate.yield_high == pytest.approx(beta.ppf(0.975, 13, 8))
    assert (round(estimate.yield_low, 3), round(estimate.yield_high, 3)) == (0.361, 0.809)
    assert estimate.most_requests == 278  # 100 / 0.3605


def test_a_sample_without_accepted_rows_says_nothing_about_requests() -> None:
    estimate = estimate_round(make_spec(per_million_tokens=2.0), 100, Sample(20, 0, 1000, 10.0))
    assert (estimate.yield_expected, estimate.yield_low) == (0.0, 0.0)
    assert estimate.yield_high == pytest.approx(1 - 0.025 ** (1 / 20))
    assert estimate.requests is estimate.most_requests is estimate.tokens is None
    assert estimate.seconds is estimate.money is estimate.engine_hours is None


@pytest.mark.parametrize("budget", [{}, {"tokens": 5000}])
def test_a_sample_without_accepted_rows_promises_none(budget: dict[str, int]) -> None:
    estimate = estimate_round(make_spec(**budget), 100, Sample(20, 0, 1000, 10.0))
    assert (estimate.limit, estimate.accepted) == ("tokens" if budget else "", 0)


def test_a_sample_of_accepted_rows_alone_needs_as_many_requests_as_rows() -> None:
    estimate = estimate_round(make_spec(), 250, Sample(10, 10, 300, 2.0))
    assert (estimate.yield_expected, estimate.yield_high, estimate.requests) == (1.0, 1.0, 250)
    assert estimate.yield_low == pytest.approx(0.025 ** (1 / 10))
    assert estimate.most_requests == 362  # 250 / 0.6915


@pytest.mark.parametrize(
    ("budget", "limit", "accepted"),
    [
        ({"tokens": 50_000}, "", 600),  # just enough
        ({"tokens": 49_999}, "tokens", 599),
        ({"tokens": 10_000}, "tokens", 120),  # 200 requests
        ({"seconds": 25.0}, "seconds", 30),  # 50 requests
        ({"money": 0.3001}, "money", 300),  # 0.0006 each: 500 requests
        ({"tokens": 10_000, "seconds": 25.0, "money": 0.3001}, "seconds", 30),
        ({"tokens": 1_000, "seconds": 25.0, "money": 0.3001}, "tokens", 12),
        ({"tokens": 10**9, "seconds": 1e9, "money": 0.3001}, "money", 300),
        ({"tokens": 1}, "tokens", 0),
    ],
)
def test_the_budget_that_ends_first_is_told_with_the_rows_it_allows(
    budget: dict[str, float], limit: str, accepted: int
) -> None:
    estimate = estimate_round(make_spec(2.0, 3.6, **budget), 600, SAMPLE)
    assert (estimate.limit, estimate.accepted) == (limit, accepted)
    assert estimate.requests == 1000  # what the target takes, whatever there is to spend


def test_a_purse_without_prices_ends_nothing() -> None:
    estimate = estimate_round(make_spec(money=0.01), 600, SAMPLE)
    assert (estimate.limit, estimate.money) == ("", 0.0)


def test_an_engine_that_writes_no_tokens_is_not_limited_by_them() -> None:
    assert estimate_round(make_spec(tokens=1), 600, Sample(20, 12, 0, 10.0)).limit == ""


samples = st.integers(1, 200).flatmap(
    lambda n: st.builds(
        Sample, st.just(n), st.integers(0, n), st.integers(0, 100_000), st.integers(0, 1000).map(lambda s: s / 8)
    )
)


def assert_consistent(estimate: Estimate) -> None:
    assert 0 <= estimate.yield_low <= estimate.yield_expected <= estimate.yield_high <= 1
    assert 0 <= estimate.accepted <= estimate.target
    if estimate.requests is not None and estimate.most_requests is not None:
        assert estimate.target <= estimate.requests <= estimate.most_requests


@given(samples, st.integers(1, 10**6), st.one_of(st.none(), st.integers(1, 10**7)))
def test_an_estimate_is_exact_in_whole_requests_and_rows(sample: Sample, target: int, tokens: int | None) -> None:
    estimate = estimate_round(make_spec(tokens=tokens), target, sample)
    assert_consistent(estimate)
    if sample.accepted:
        assert estimate.requests == -(-target * sample.requests // sample.accepted)
    if estimate.limit:
        assert estimate.accepted == tokens * sample.accepted // sample.output_tokens


@pytest.mark.parametrize(
    ("sample", "target", "requests"), [(Sample(10, 7, 100, 1.0), 21, 30), (Sample(10, 7, 100, 1.0), 168, 240)]
)
def test_a_whole_number_of_requests_is_not_rounded_up(sample: Sample, target: int, requests: int) -> None:
    assert estimate_round(make_spec(), target, sample).requests == requests


def test_a_whole_number_of_rows_is_not_rounded_down() -> None:
    assert estimate_round(make_spec(tokens=100), 1000, Sample(11, 3, 10, 1.0)).accepted == 30
