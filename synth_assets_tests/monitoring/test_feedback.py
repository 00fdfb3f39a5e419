"""Feedback: errors of strata from steering rows, reviews and drift; exemplars from training rows alone."""

from __future__ import annotations

import polars as pl
import pytest

from synth_assets.monitoring.feedback import find_exemplars, learn_feedback
from synth_assets.monitoring.measures import METRIC_SCHEMA
from synth_assets_tests.builders import seed_rows, text_spec

PLAN = pl.DataFrame({"stratum": ["a", "b", "c"]})
NO_REVIEW = pl.DataFrame(schema={"stratum": pl.String, "n_reviewed": pl.Int64, "defects": pl.Int64})


def metrics(rows: list[dict[str, object]]) -> pl.DataFrame:
    blank = dict.fromkeys(METRIC_SCHEMA)
    return pl.DataFrame([{**blank, "level": "ok", **row} for row in rows], schema=METRIC_SCHEMA)


def steering(errors: dict[str, float], rows: int = 20) -> pl.DataFrame:
    named = [{"metric": "steering_error", "stratum": s, "value": e, "n_real": rows} for s, e in errors.items()]
    return metrics(named)


def errors(frame: pl.DataFrame, column: str = "error") -> dict[str, float]:
    return dict(frame.select("stratum", column).iter_rows())


def test_few_rows_pull_a_stratum_to_the_overall_rate():
    told = errors(learn_feedback(steering({"a": 0.5, "b": 0.1, "c": 0.0}), NO_REVIEW, PLAN))
    # 20 rows each, overall 0.2: (wrong + 5 · 0.2) / 25
    assert told == pytest.approx({"a": 11 / 25, "b": 3 / 25, "c": 1 / 25})


def test_a_stratum_without_steering_rows_is_taken_for_an_average_one():
    told = errors(learn_feedback(steering({"a": 0.5, "b": 0.1}), NO_REVIEW, PLAN))
    assert told["c"] == pytest.approx(0.3)


def test_rejected_reviews_count_where_they_are_worse_than_the_student():
    review = pl.DataFrame({"stratum": ["a", "b"], "n_reviewed": [20, 20], "defects": [0, 20]})
    frame = learn_feedback(steering({"a": 0.2, "b": 0.2, "c": 0.2}), review, PLAN)
    assert errors(frame) == pytest.approx({"a": 0.2, "b": (20 + 5 * 0.5) / 25, "c": 0.5})
    assert errors(frame, "steering_error") == pytest.approx({"a": 0.2, "b": 0.2, "c": 0.2})


def test_a_stratum_that_drifted_needs_more_of_the_same_error():
    shift = metrics(
        [
            {"metric": "psi", "stratum": "a", "level": "watch"},
            {"metric": "ks", "stratum": "b", "level": "act"},
            {"metric": "psi", "stratum": "b", "level": "ok"},
            {"metric": "mix", "stratum": "", "level": "act"},
        ]
    )
    told = errors(learn_feedback(steering({"a": 0.2, "b": 0.2, "c": 0.2}), NO_REVIEW, PLAN, shift=shift))
    assert told == pytest.approx({"a": 0.3, "b": 0.4, "c": 0.2})


SPEC = text_spec()
SEEDS = seed_rows(
    SPEC,
    [
        {"text": "my card was swallowed by the machine", "intent": "card"},
        {"text": "the card reader does not read my chip", "intent": "card"},
        {"text": "where is the new card that I ordered", "intent": "card"},
        {"text": "I want a card with my name", "intent": "card"},
        {"text": "the machine swallowed my card too", "intent": "login"},
        {"text": "swallowed by a machine was my private card", "intent": "card", "disposition": "synthesis_only"},
        {"text": "a machine swallowed my card", "intent": "card", "split": "steering"},
        {"text": "the machine swallowed my card again", "intent": "card", "split": "sealed"},
    ],
)


def ids(text: str) -> str:
    return SEEDS.filter(pl.col("text").str.contains(text))["example_id"].item()


def test_exemplars_are_the_nearest_releasable_training_rows_of_the_same_stratum():
    missed = pl.DataFrame({"example_id": [ids("^a machine swallowed")]})
    found = find_exemplars(missed, SEEDS, SPEC)
    assert found["stratum"].to_list() == ["card"]
    exemplars = found["exemplars"].to_list()[0]
    assert exemplars[0] == ids("was swallowed by the machine")
    assert len(exemplars) == 3
    allowed = SEEDS.filter(
        (pl.col("split") == "train") & (pl.col("disposition") == "releasable") & (pl.col("stratum") == "card")
    )
    assert set(exemplars) <= set(allowed["example_id"])


def test_sealed_rows_name_no_exemplars():
    missed = pl.DataFrame({"example_id": [ids("swallowed my card again")]})
    assert find_exemplars(missed, SEEDS, SPEC).is_empty()


def test_exemplars_stand_beside_the_errors_of_their_stratum():
    exemplars = pl.DataFrame({"stratum": ["b"], "exemplars": [["r1", "r2"]]})
    frame = learn_feedback(steering({"a": 0.2}), NO_REVIEW, PLAN, exemplars=exemplars)
    assert frame["exemplars"].to_list() == [[], ["r1", "r2"], []]
