"""What dataset.yaml says about a review, completed by what follows from it.

Here: one place that reads the settings of plans, controls and double review. Not here: what is done with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from synth_assets.spec import DatasetSpec

ACCEPTABLE_SHARE = 0.2  # of the tolerated rate: 1 % where 5 % are tolerated

PlanKind = Literal["fixed", "sequential"]


@dataclass(frozen=True)
class ReviewSettings:
    """acceptable_defect_rate: batches this good should be accepted (AQL). plan: one look, or one after every row.

    double_review_share: share of the sample that two people decide. gold_share, blind_share: rows with planted
    faults and untouched real rows that are mixed in, as shares of the sample.
    """

    acceptable_defect_rate: float
    plan: PlanKind
    double_review_share: float
    gold_share: float
    blind_share: float


def review_settings(spec: DatasetSpec) -> ReviewSettings:
    """Return the settings; an acceptable rate that is not set is a fifth of the tolerated one."""
    review = spec.review
    acceptable = review.acceptable_defect_rate
    return ReviewSettings(
        acceptable_defect_rate=ACCEPTABLE_SHARE * review.tolerated_defect_rate if acceptable is None else acceptable,
        plan=review.plan,
        double_review_share=review.double_review_share,
        gold_share=review.gold_share,
        blind_share=review.blind_share,
    )
