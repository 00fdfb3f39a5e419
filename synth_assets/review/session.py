"""A round's review from sample to outcome: collecting decisions, concluding, enlarging, deciding automatically.

Here: what ties sample, decision store and acceptance statistics together. Not here: any of the three.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import polars as pl

from synth_assets.review.acceptance import DRAW_BAND, Outcome, assess, judge_sample, required_sample
from synth_assets.review.agreement import (
    ALL_REVIEWERS,
    CorrectedRate,
    correct_rate,
    measure_accuracy,
    measure_agreement,
)
from synth_assets.review.automated import AutomatedReviewer
from synth_assets.review.controls import control_columns, count_controls, draw_controls
from synth_assets.review.decisions import FLAG, HUMAN, REJECT, DecisionStore
from synth_assets.review.sampling import enlarge_sample, mix_controls
from synth_assets.review.sequences import LiveBounds, live_bounds
from synth_assets.review.systematic import find_systematic
from synth_assets.spec import DatasetSpec

SNAPSHOT = ("example_id", "reviewer", "reviewer_kind", "decision", "reason", "item_version")
RANDOM = "random"
NO_CONTROLS = pl.DataFrame(schema=dict.fromkeys(("example_id", "content_id", "expected", "source_id"), pl.String))


@dataclass(frozen=True)
class ReviewState:
    """What a review works on. `kept`: the filtered rows of the round with state kept; `sample`: review_sample.rows;
    `controls`: gold and blind items mixed in (controls.draw_controls), none by default; `seeds`: those that the round's
    plan pinned, for further controls; None for no further ones."""

    spec: DatasetSpec
    round: str
    kept: pl.DataFrame
    sample: pl.DataFrame
    store: DecisionStore
    controls: pl.DataFrame = field(default_factory=NO_CONTROLS.clone)
    seeds: pl.DataFrame | None = None

    def decided(self) -> pl.DataFrame:
        """Return the effective decisions on rows of the sample, as the store gives them."""
        found = self.store.effective(self.spec.name, self.round, items=self.kept)
        return found.filter(pl.col("example_id").is_in(self.sample["example_id"].implode()))

    def decided_controls(self) -> pl.DataFrame:
        """Return the effective decisions of people on controls."""
        found = self.store.effective(self.spec.name, self.round, items=self.controls)
        return found.filter(pl.col("reviewer_kind") == HUMAN)


@dataclass(frozen=True)
class Conclusion:
    """outcome; the sample it was judged on (larger than before if it had to grow) with its controls; and the frames
    to keep.

    summary: one row, the columns of review_outcome.rows. decisions: SNAPSHOT columns. log: the same with decision_id,
    seconds and decided_at, for the ledger. resolutions: example_id, resolution (accept | reject | flag).
    systematic: systematic.find_systematic; accuracy: agreement.measure_accuracy on the controls; agreement:
    agreement.measure_agreement; corrected: the defect rate corrected by that accuracy, None without gold and blind
    items of both kinds.
    """

    outcome: Outcome
    sample: pl.DataFrame
    controls: pl.DataFrame
    summary: pl.DataFrame
    decisions: pl.DataFrame
    log: pl.DataFrame
    resolutions: pl.DataFrame
    systematic: pl.DataFrame
    accuracy: pl.DataFrame
    agreement: pl.DataFrame
    corrected: CorrectedRate | None


def add_controls(state: ReviewState) -> ReviewState:
    """Return the state with controls for its last draw, mixed among it, as far as seeds and budget have some."""
    if state.seeds is None:
        return state
    n_budget = required_sample(state.kept.height, state.spec).n_budget
    left = None if n_budget is None else n_budget - int(state.sample["reviews"].sum())
    draws = state.sample["priority"] // DRAW_BAND
    newest = 0 if draws.is_empty() else int((draws == draws.max()).sum())
    n_gold, n_blind = count_controls(newest, state.spec, left=left)
    new = draw_controls(
        state.seeds,
        state.spec,
        n_gold=n_gold,
        n_blind=n_blind,
        round_=state.round,
        among=state.kept.join(state.sample.select("example_id"), on="example_id", how="semi"),
        drawn=state.controls,
    )
    controls = pl.concat([state.controls, new], how="diagonal").select(*control_columns(state.spec))
    return replace(state, sample=mix_controls(state.sample, new, state.spec, round_=state.round), controls=controls)


def review_is_complete(state: ReviewState) -> bool:
    """Whether the decisions so far lead to accept, reject or a larger sample: nothing drawn is left to decide."""
    return assess(state.sample, state.decided(), state.kept.height, state.spec).decision != "open"


def watch_review(state: ReviewState) -> LiveBounds:
    """Return bounds on the defect rate that may be shown after every decision (a confidence sequence)."""
    judged = judge_sample(state.sample, state.decided())
    return live_bounds(judged, state.kept.height, confidence=state.spec.review.confidence)


def conclude_review(state: ReviewState) -> Conclusion:
    """Judge the decisions so far; an outcome `enlarge` comes with a sample that holds the further rows and controls."""
    decided, on_controls = state.decided(), state.decided_controls()
    outcome = assess(state.sample, decided, state.kept.height, state.spec)
    following = _enlarge(state, outcome.n_more) if outcome.decision == "enlarge" else state
    review = state.spec.review
    wrong = decided.filter(pl.col("decision").is_in([REJECT, FLAG])).select("example_id", "reason")
    accuracy = measure_accuracy(on_controls, state.controls, confidence=review.confidence)
    return Conclusion(
        outcome=outcome,
        sample=following.sample,
        controls=following.controls,
        summary=_summarize(state, outcome, pl.concat([decided, on_controls])),
        decisions=decided.select(SNAPSHOT).sort(SNAPSHOT),
        log=decided.select("decision_id", "example_id", "reviewer", "seconds", "decided_at"),
        resolutions=decided.drop_nulls("resolution").select("example_id", "resolution").unique().sort("example_id"),
        systematic=find_systematic(judge_sample(state.sample, decided), wrong, tolerated=review.tolerated_defect_rate),
        accuracy=accuracy,
        agreement=measure_agreement(
            decided.filter(pl.col("reviewer_kind") == HUMAN), confidence=review.confidence, seed=state.spec.seed
        ),
        corrected=_correct(outcome, accuracy, review.confidence),
    )


def _enlarge(state: ReviewState, more: int) -> ReviewState:
    sample = enlarge_sample(state.sample, state.kept, state.spec, more=more, round_=state.round)
    return state if sample.equals(state.sample) else add_controls(replace(state, sample=sample))


def _correct(outcome: Outcome, accuracy: pl.DataFrame, confidence: float) -> CorrectedRate | None:
    everybody = accuracy.filter(pl.col("reviewer") == ALL_REVIEWERS).to_dicts()
    if not everybody or outcome.automated:
        return None
    counts = {name: everybody[0][name] for name in ("caught", "faulty", "passed", "sound")}
    return correct_rate(outcome.defects, outcome.n_reviewed, **counts, confidence=confidence)


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
        state = replace(state, sample=conclusion.sample, controls=conclusion.controls)


def _summarize(state: ReviewState, outcome: Outcome, decided: pl.DataFrame) -> pl.DataFrame:
    """`decided`: decisions on rows of the batch and on controls: time is spent on both."""
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
