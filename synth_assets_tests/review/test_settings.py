"""Settings of a review that dataset.yaml leaves out."""

from __future__ import annotations

import pytest

from synth_assets.review.settings import review_settings
from synth_assets_tests.builders import text_spec


@pytest.mark.parametrize(("tolerated", "acceptable"), [(0.05, 0.01), (0.02, 0.004), (0.10, 0.02)])
def test_the_acceptable_rate_is_a_fifth_of_the_tolerated_one(tolerated: float, acceptable: float) -> None:
    found = review_settings(text_spec(review={"tolerated_defect_rate": tolerated}))
    assert found.acceptable_defect_rate == pytest.approx(acceptable)


def test_what_is_set_is_taken() -> None:
    review = {"acceptable_defect_rate": 0.015, "plan": "sequential", "double_review_share": 0.25, "gold_share": 0.0}
    found = review_settings(text_spec(review=review))
    assert (found.acceptable_defect_rate, found.plan) == (0.015, "sequential")
    assert (found.double_review_share, found.gold_share, found.blind_share) == (0.25, 0.0, 0.05)


def test_at_least_a_tenth_is_reviewed_twice_by_default() -> None:
    assert review_settings(text_spec()).double_review_share >= 0.10
