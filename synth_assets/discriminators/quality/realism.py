"""The quality model: does the candidate pass for real, and would people accept it?

Here: the two heads, what each is fitted on, and the limits below which they reject. Not here: how a head is fitted and
calibrated (heads.py), whether label and content agree (discriminators/labels.py), likelihood (perplexity.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from synth_assets.discriminators.protocol import verdicts_of
from synth_assets.discriminators.quality.features import draw_rows, read_strata, read_texts
from synth_assets.discriminators.quality.heads import FOLDS, Head, fit_head, make_folds, predict_all
from synth_assets.ngrams import KeyIndex, chunk_texts, read_characters
from synth_assets.records import digest_text
from synth_assets.spec import DatasetSpec

LEAST_ROWS = 30
"""Real rows and earlier candidates from which real and synthetic are told apart; reviews from which they teach."""
LEAST_OF_EACH = 5
"""Accepted and rejected reviews, each, from which they teach."""
MOST_REJECTED = 0.05
"""Share of a stratum's candidates in one wave that may be rejected for reading synthetic.

Where a generator is easy to tell from the real rows nearly all it writes lies below the limit that real rows set. The
worst twentieth goes; the rest is for the shift report to show, not for a filter to starve a stratum with.
"""
MOST_ROWS = 10_000
"""Rows of each class that are trained on, drawn by hash."""
CERTAINTY = 0.9
"""Confidence that people rejected more than half of what lies below the limit of the review head."""

LEAST_LIFT = 2.0
"""How much larger the share of earlier candidates below the origin head's limit must be than that of real rows."""

_SPAN = 15  # characters that are no coincidence
_SAMPLED = np.uint64(4)  # one span in so many is compared
_BALANCE = 10.0  # most that a row may weigh to make strata alike


@dataclass(frozen=True)
class Realism:
    """Rejects what reads synthetic unlike any real row, and what reads like candidates that people rejected.

    origin   real train rows against candidates of earlier rounds, both classes and, within them, all strata given equal
             weight. A candidate reads_synthetic whose probability of being real is below that of almost every real row
             out of fold (the spec.quality.realism_false_reject quantile), and among the lowest MOST_REJECTED of
             its stratum in the wave: of fewer than 20 candidates of a stratum none is rejected so.
    review   candidates that people accepted against those they rejected. A candidate is like_rejected below the highest
             probability of acceptance under which people rejected more than half with CERTAINTY, out of fold
             (Clopper–Pearson), and at most spec.quality.realism_false_reject of the real rows lie.

    People come first: what the review head finds at least as acceptable as the average review is not rejected for
    reading synthetic. score = probability of acceptance where there is a review head and it did not leave the decision
    to the other, else of being real. evidence: {"real": p, "accepted": p}.
    """

    spec: DatasetSpec
    origin: Head | None
    review: Head | None
    version: str
    name: str = "realism"

    @classmethod
    def fit(
        cls, spec: DatasetSpec, train: pl.DataFrame, earlier: pl.DataFrame | None, reviews: pl.DataFrame | None
    ) -> Realism | None:
        """Fit the heads there is data for; None where there is neither or the limit is 0.

        train: real train rows; earlier: all candidates of earlier rounds, rejected or not; reviews: decisions of
        people, with accepted:Boolean. All with example_id and the content columns.
        """
        share = spec.quality.realism_false_reject
        if share <= 0:
            return None
        reviews = reviews.drop_nulls("accepted") if reviews is not None else None
        origin = _fit_origin(spec, train, earlier, share)
        review = _fit_review(spec, train, reviews, share)
        if origin is None and review is None:
            return None
        known = [
            digest_text(*sorted(frame["example_id"].to_list())) if frame is not None else ""
            for frame in (train, earlier)
        ]
        decided = sorted(reviews.select("example_id", "accepted").iter_rows()) if reviews is not None else []
        settings = spec.model_dump_json(include={"fields", "strata"})
        version = digest_text("realism-1", share, spec.seed, settings, *known, *decided, size=6)
        return cls(spec, origin, review, version)

    def judge(self, candidates: pl.DataFrame) -> pl.DataFrame:
        judged = candidates.select("example_id", real=pl.lit(None, pl.Float64), accepted=pl.lit(None, pl.Float64))
        synthetic = disliked = np.zeros(candidates.height, bool)
        limit = np.full(candidates.height, -np.inf)
        chances = predict_all([head for head in (self.origin, self.review) if head is not None], candidates)
        if self.origin is not None:
            real = chances[0]
            judged = judged.with_columns(real=pl.Series(real))
            limit = np.minimum(self.origin.threshold, _cap_by_stratum(real, read_strata(self.spec, candidates)))
            synthetic = real < limit
        if self.review is not None:
            accepted = chances[-1]
            judged = judged.with_columns(accepted=pl.Series(accepted))
            disliked = accepted < self.review.threshold
            usual = self.review.positives / (self.review.positives + self.review.negatives)
            synthetic &= ~disliked & (accepted < usual)
            limit = np.where(synthetic, limit, self.review.threshold)
        judged = judged.with_columns(
            synthetic=pl.Series(synthetic, dtype=pl.Boolean),
            disliked=pl.Series(disliked, dtype=pl.Boolean),
            limit=pl.Series(limit, dtype=pl.Float64),
        )
        by_review = ~pl.col("synthetic") & pl.col("accepted").is_not_null()
        verdicts = verdicts_of(
            judged,
            passed=~pl.col("synthetic") & ~pl.col("disliked"),
            score=pl.when(by_review).then("accepted").otherwise("real"),
            threshold=0.0,
            reason=pl.when("disliked").then(pl.lit("like_rejected")).otherwise(pl.lit("reads_synthetic")),
            evidence=pl.struct(pl.col("real", "accepted").round(4)).struct.json_encode(),
        )
        return verdicts.with_columns(threshold=judged["limit"])


def _cap_by_stratum(scores: np.ndarray, strata: pl.Series) -> np.ndarray:
    """Return for each row the score of its stratum below which MOST_REJECTED of the stratum lie, shape (rows,)."""
    ranked = pl.DataFrame({"stratum": strata, "score": scores})
    allowed = (pl.len() * MOST_REJECTED).floor().cast(pl.Int64)
    return ranked.select(pl.col("score").sort().gather(allowed).first().over("stratum")).to_series().to_numpy()


# ---- the heads


def _fit_origin(spec: DatasetSpec, train: pl.DataFrame, earlier: pl.DataFrame | None, share: float) -> Head | None:
    if earlier is None or min(train.height, earlier.height) < LEAST_ROWS:
        return None
    columns = ["example_id", *(field.name for field in spec.content_fields)]
    unit = "cluster" if "cluster" in train.columns else "example_id"
    real = draw_rows(spec, train.select(*columns, unit=unit), MOST_ROWS, "realism", "real")
    unit = "content_id" if "content_id" in earlier.columns else "example_id"
    made = draw_rows(spec, earlier.select(*columns, unit=unit), MOST_ROWS, "realism", "made")
    rows = pl.concat([real, made])
    is_real = np.arange(rows.height) < real.height
    weights = _balance(spec, rows, is_real)
    if not weights[~is_real].any():
        return None
    folds = _follow_sources(spec, real, made, make_folds(spec, rows["unit"], is_real, "origin"))
    fitted = fit_head(spec, train, rows, is_real, weights, folds, "origin")
    if fitted is None:
        return None
    head, unseen = fitted
    threshold = float(np.quantile(unseen[is_real], share, method="lower"))
    below = weights[~is_real & (unseen < threshold)].sum() / weights[~is_real].sum()
    real_below = max(share, 1 / real.height)
    return replace(head, threshold=threshold) if below > LEAST_LIFT * real_below else None


def _fit_review(spec: DatasetSpec, train: pl.DataFrame, reviews: pl.DataFrame | None, share: float) -> Head | None:
    if reviews is None or reviews.height < LEAST_ROWS:
        return None
    reviews = draw_rows(spec, reviews, MOST_ROWS, "realism", "reviews")
    accepted = reviews["accepted"].to_numpy().astype(bool)
    if min(accepted.sum(), (~accepted).sum()) < LEAST_OF_EACH:
        return None
    folds = make_folds(spec, reviews["example_id"], accepted, "review")
    fitted = fit_head(spec, train, reviews, accepted, np.ones(len(accepted)), folds, "review")
    if fitted is None:
        return None
    head, unseen = fitted
    limit = _find_review_limit(unseen, accepted)
    real = head.predict(draw_rows(spec, train, MOST_ROWS, "realism", "real"))
    return replace(head, threshold=min(limit, float(np.quantile(real, share)))) if np.isfinite(limit) else None


def _find_review_limit(scores: np.ndarray, accepted: np.ndarray) -> float:
    """Return the highest score below which people rejected more than half, with CERTAINTY; −∞ where there is none."""
    from scipy.stats import beta

    order = np.argsort(scores, kind="stable")
    rejected = np.cumsum(~accepted[order])
    below = np.arange(1, len(order) + 1)
    least = beta.ppf(1 - CERTAINTY, np.maximum(rejected, 1), below - rejected + 1) * (rejected > 0)
    enough = np.flatnonzero((least > 0.5) & ~accepted[order])
    if not len(enough):
        return -np.inf
    return float(np.nextafter(scores[order[enough[-1]]], np.inf))


def _balance(spec: DatasetSpec, rows: pl.DataFrame, is_real: np.ndarray) -> np.ndarray:
    """Return row weights that give both classes the same mass, and the synthetic one the real one's shares of strata.

    What a plan asks for must not tell real from synthetic. Strata without real rows weigh nothing.
    """
    strata = read_strata(spec, rows).rank("dense").to_numpy().astype(np.int64)
    real = np.bincount(strata[is_real], minlength=strata.max() + 1)
    made = np.bincount(strata[~is_real], minlength=strata.max() + 1)
    share = (real / real.sum()) / np.maximum(made / made.sum(), 1e-12)
    weights = np.where(is_real, 1.0, np.minimum(share, _BALANCE)[strata])
    total = weights[~is_real].sum()
    weights[~is_real] *= is_real.sum() / total if total else 0.0
    return weights


def _follow_sources(spec: DatasetSpec, real: pl.DataFrame, made: pl.DataFrame, folds: np.ndarray) -> np.ndarray:
    """Return the folds (real rows first) with every candidate in the fold of the real rows it repeats most spans of.

    Generators repeat the rows they were shown. A real row that is held out while what repeats it is not would read
    synthetic for its own words, as no fresh real row does.
    """
    if not spec.text_fields:
        return folds
    spans, owners = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    start = 0
    for texts in chunk_texts(read_texts(spec, real)):
        hashes, rows = _sample_spans(texts)
        spans.append(hashes)
        owners.append(folds[start + rows])
        start += len(texts)
    index = KeyIndex.of(np.concatenate(spans))
    held = np.zeros((len(index) + 1, FOLDS), bool)  # the last row is for spans of no real row
    held[index.locate(np.concatenate(spans)), np.concatenate(owners)] = True
    owner = np.where(held.sum(axis=1) == 1, held.argmax(axis=1), FOLDS)
    followed = folds.copy()
    for texts in chunk_texts(read_texts(spec, made)):
        hashes, rows = _sample_spans(texts)
        votes = np.bincount(rows * (FOLDS + 1) + owner[index.locate(hashes)], minlength=len(texts) * (FOLDS + 1))
        votes = votes.reshape(len(texts), FOLDS + 1)[:, :FOLDS]
        here = slice(start, start + len(texts))
        followed[here] = np.where(votes.any(axis=1), votes.argmax(axis=1), folds[here])
        start += len(texts)
    return followed


def _sample_spans(texts: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return the hashes of a quarter of the spans, chosen by hash and so alike in all texts, and the row of each."""
    hashes, counts = read_characters(texts).find_grams(_SPAN)
    chosen = hashes % _SAMPLED == 0
    return hashes[chosen], np.repeat(np.arange(len(texts)), counts)[chosen]
