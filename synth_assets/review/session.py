"""A round's review from sample to outcome: collecting decisions, concluding, enlarging, deciding automatically.

Here: what ties sample, decision store and acceptance statistics together. Not here: any of the three.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from synth_assets.review.acceptance import Outcome, assess
from synth_assets.review.automated import AutomatedReviewer
from synth_assets.review.decisions import DecisionStore
from synth_assets.review.sampling import enlarge_sample
from synth_assets.spec import DatasetSpec

SNAPSHOT = ("example_id", "reviewer", "reviewer_kind", "decision", "reason", "item_version")
RANDOM = "random"


@dataclass(frozen=True)
class ReviewState:
    """What a review works on. `kept`: the filtered rows of the round with state kept; `sample`: review_sample.rows."""

    spec: DatasetSpec
    round: str
    kept: pl.DataFrame
    sample: pl.DataFrame
    store: DecisionStore

    def decided(self) -> pl.DataFrame:
        """Return the effective decisions on rows of the sample, as the store gives them."""
        found = self.store.effective(self.spec.name, self.round, items=self.kept)
        return found.filter(pl.col("example_id").is_in(self.sample["example_id"].implode()))


@dataclass(frozen=True)
class Conclusion:
    """outcome; the sample it was judged on (larger than before if it had to grow); and the frames to keep.

    summary: one row, the columns of review_outcome.rows. decisions: SNAPSHOT columns. log: the same with decision_id,
    seconds and decided_at, for the ledger. resolutions: example_id, resolution (accept | reject | flag).
    """

    outcome: Outcome
    sample: pl.DataFrame
    summary: pl.DataFrame
    decisions: pl.DataFrame
    log: pl.DataFrame
    resolutions: pl.DataFrame


def review_is_complete(state: ReviewState) -> bool:
    """Whether the decisions so far lead to accept, reject or a larger sample: nothing drawn is left to decide."""
    return conclude_review(state).outcome.decision != "open"


def conclude_review(state: ReviewState) -> Conclusion:
    """Judge the decisions so far; an outcome `enlarge` comes with a sample that holds the further rows."""
    decided = state.decided()
    outcome = assess(state.sample, decided, state.kept.height, state.spec)
    sample = state.sample
    if outcome.decision == "enlarge":
        sample = enlarge_sample(sample, state.kept, state.spec, more=outcome.n_more, round_=state.round)
    return Conclusion(
        outcome=outcome,
        sample=sample,
        summary=_summarize(state, outcome, decided),
        decisions=decided.select(SNAPSHOT).sort(SNAPSHOT),
        log=decided.select("decision_id", "example_id", "reviewer", "seconds", "decided_at"),
        resolutions=decided.drop_nulls("resolution").select("example_id", "resolution").unique().sort("example_id"),
    )


def decide_automatically(state: ReviewState, steering: pl.DataFrame) -> Conclusion:
    """Let the automated reviewer, fitted on steering rows alone, decide; recorded as automated, certifies nothing.

    Where the outcome asks for a larger sample it is drawn and decided too, until the outcome is accept or reject.
    """
    reviewer = AutomatedReviewer.fit(steering, state.spec)
    while True:
        drawn = state.kept.join(state.sample.select("example_id"), on="example_id", how="semi", maintain_order="left")
        known = state.decided().filter(pl.col("reviewer_kind") == "automated")["example_id"]
        undecided = drawn.filter(~pl.col("example_id").is_in(known.implode()))
        if not undecided.is_empty():
            decisions = reviewer.decide(undecided)
            state.store.record(decisions.with_columns(dataset=pl.lit(state.spec.name), round=pl.lit(state.round)))
        conclusion = conclude_review(state)
        if conclusion.outcome.decision != "enlarge" or conclusion.sample.height == state.sample.height:
            return conclusion
        state = ReviewState(state.spec, state.round, state.kept, conclusion.sample, state.store)


def _summarize(state: ReviewState, outcome: Outcome, decided: pl.DataFrame) -> pl.DataFrame:
    seconds = float(decided.filter(pl.col("reviewer_kind") == "human")["seconds"].sum() or 0.0)
    return pl.DataFrame(
        [
            {
                "decision": outcome.decision,
                "n_batch": state.kept.height,
                "n_planned": outcome.n_planned,
                "n_reviewed": outcome.n_reviewed,
                "n_open": outcome.n_open,
                "defects": outcome.defects,
                "defect_rate": outcome.defect_rate,
                "bound_low": outcome.bound_low,
                "bound_high": outcome.bound_high,
                "certified": outcome.certified,
                "automated": outcome.automated,
                "agreement": outcome.agreement,
                "reviewer_minutes": seconds / 60,
                "note": outcome.note,
            }
        ],
        schema_overrides={
            "bound_low": pl.Float64,
            "bound_high": pl.Float64,
            "agreement": pl.Float64,
            "defect_rate": pl.Float64,
        },
    )
