from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import stats

from synth_assets.monitoring.measures import (
    EXAMPLE_SCHEMA,
    METRIC_SCHEMA,
    Metric,
    build_report,
    find_null_interval,
    judge,
)


def test_a_report_has_the_agreed_columns_even_when_empty():
    report = build_report([], [], "block")
    assert report.metrics.schema == pl.Schema(METRIC_SCHEMA)
    assert report.examples.schema == pl.Schema(EXAMPLE_SCHEMA)
    assert (report.level, report.passed) == ("ok", True)


@pytest.mark.parametrize(("gate", "passed"), [("warn", True), ("block", False)])
def test_act_fails_a_report_only_where_the_contract_blocks(gate: str, passed: bool):
    report = build_report([Metric("psi", 0.3, level="act"), Metric("psi", 0.1, level="watch")], [], gate)  # type: ignore[arg-type]
    assert (report.level, report.passed) == ("act", passed)


def test_watch_never_fails_a_report():
    assert build_report([Metric("psi", 0.2, level="watch")], [], "block").passed


def test_what_is_not_a_number_is_null():
    assert build_report([Metric("psi", float("nan"))], [], "warn").metrics["value"].to_list() == [None]


@pytest.mark.parametrize(
    ("value", "null_high", "level"),
    [
        (0.05, 0.01, "ok"),
        (0.15, 0.01, "watch"),
        (0.3, 0.01, "act"),
        (0.3, 0.4, "ok"),
        (None, None, "ok"),
        (0.3, None, "act"),
    ],
)
def test_a_level_needs_the_bar_and_the_null(value: float | None, null_high: float | None, level: str):
    assert judge(value, watch=0.1, act=0.25, null_high=null_high) == level


def test_many_draws_give_quantiles():
    draws = np.arange(1001) / 1000
    assert find_null_interval(draws) == pytest.approx((0.025, 0.975))


def test_few_draws_give_a_prediction_interval():
    draws = [0.50, 0.52, 0.49, 0.51, 0.53]
    reach = stats.t.ppf(0.975, 4) * np.std(draws, ddof=1) * np.sqrt(1.2)
    assert find_null_interval(draws) == pytest.approx((0.51 - reach, 0.51 + reach))


def test_the_interval_of_few_normal_draws_holds_the_next_one_in_95_of_100_cases():
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(2000):
        *draws, value = rng.normal(size=9)
        low, high = find_null_interval(draws)
        held += low <= value <= high
    assert 0.935 < held / 2000 < 0.965


def test_one_draw_gives_no_interval():
    assert find_null_interval([0.5]) == (None, None)
