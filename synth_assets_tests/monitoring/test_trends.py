from __future__ import annotations

import polars as pl

from synth_assets.monitoring.measures import Metric, build_report
from synth_assets.monitoring.trends import TREND_SCHEMA, collect_trends


def frame_of(*metrics: Metric) -> pl.DataFrame:
    return build_report(metrics, [], "warn").metrics


def test_rounds_stand_below_each_other():
    trends = collect_trends(
        {
            "r000": {"shift_report": frame_of(Metric("c2st_accuracy", 0.6))},
            "r001": {"shift_report": frame_of(Metric("c2st_accuracy", 0.7, level="watch"))},
        }
    )
    assert trends.rows() == [
        ("r000", "shift_report", "c2st_accuracy", "", 0.6, "ok"),
        ("r001", "shift_report", "c2st_accuracy", "", 0.7, "watch"),
    ]


def test_of_several_fields_the_worst_stands_for_all():
    psi = frame_of(
        Metric("psi", 0.05, "age"), Metric("psi", 0.2, "region", level="watch"), Metric("psi", 0.9, "visits")
    )
    assert collect_trends({"r000": {"shift_report": psi}})["field"].to_list() == ["region"]


def test_less_is_worse_for_coverage():
    rare = frame_of(Metric("rare_value_coverage", 0.9, "a"), Metric("rare_value_coverage", 0.4, "b"))
    assert collect_trends({"r000": {"collapse_report": rare}})["field"].to_list() == ["b"]


def test_strata_details_and_what_was_not_measured_are_left_out():
    frame = frame_of(
        Metric("steering_error", 0.5, stratum="card"), Metric("membership_auc"), Metric("js_distance", 0.1)
    )
    assert collect_trends({"r000": {"any_report": frame}}).is_empty()


def test_no_rounds_make_an_empty_frame():
    assert collect_trends({}).schema == pl.Schema(TREND_SCHEMA)
    assert collect_trends({"r000": {}}).schema == pl.Schema(TREND_SCHEMA)
