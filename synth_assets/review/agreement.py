"""How good the reviewers are: against gold items, and against each other.

Here: sensitivity and specificity on rows whose fault is known, the defect rate corrected for reviewers' errors, kappa
and alpha with intervals. Not here: how gold items are made (controls.py), what a language model's grades are worth
(judging.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import polars as pl

from synth_assets.records import derive_seed
from synth_assets.review.acceptance import clopper_pearson, cohens_kappa
from synth_assets.review.decisions import ACCEPT, SKIP

RESAMPLES = 2000
ALL_REVIEWERS = ""  # the row of all reviewers together

ACCURACY_SCHEMA = pl.Schema(
    {
        "reviewer": pl.String,
        "faulty": pl.Int64,
        "caught": pl.Int64,
        "sensitivity": pl.Float64,
        "sensitivity_low": pl.Float64,
        "sensitivity_high": pl.Float64,
        "sound": pl.Int64,
        "passed": pl.Int64,
        "specificity": pl.Float64,
        "specificity_low": pl.Float64,
        "specificity_high": pl.Float64,
    }
)
AGREEMENT_SCHEMA = pl.Schema(
    {
        "statistic": pl.String,
        "value": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "examples": pl.Int64,
        "ratings": pl.Int64,
    }
)


@dataclass(frozen=True)
class CorrectedRate:
    """A defect rate corrected for reviewers' errors. apparent: as they saw it; low, high: two-sided interval."""

    apparent: float
    rate: float
    low: float
    high: float


def tabulate_correction(corrected: CorrectedRate | None) -> pl.DataFrame:
    """Return a corrected rate as a row of its fields, no row for None."""
    schema = pl.Schema(dict.fromkeys(("apparent", "rate", "low", "high"), pl.Float64))
    return pl.DataFrame([asdict(corrected)] if corrected else [], schema=schema)


# ---- against gold


def measure_accuracy(decisions: pl.DataFrame, controls: pl.DataFrame, *, confidence: float = 0.95) -> pl.DataFrame:
    """Return one row a reviewer and one (reviewer "") of all: what they said of rows whose fault is known.

    `decisions`: example_id, reviewer, decision (a flag says defect, a skip nothing), the last of a reviewer on an
    example counts; `controls`: example_id, expected (accept | reject). Columns ACCURACY_SCHEMA; the intervals are two-
    sided Clopper–Pearson. Real rows mixed in unchanged are taken as sound: where real data is faulty, specificity
    reads low. No row without a decision on a control.

    {"reviewer": "ada", "faulty": 10, "caught": 9, "sensitivity": 0.9, …}
    """
    said = (
        decisions.unique(["example_id", "reviewer"], keep="last", maintain_order=True)
        .filter(pl.col("decision") != SKIP)
        .join(controls.select("example_id", "expected"), on="example_id")
        .select("reviewer", sound=pl.col("expected") == ACCEPT, passed=pl.col("decision") == ACCEPT)
    )
    if said.is_empty():
        return pl.DataFrame(schema=ACCURACY_SCHEMA)
    sound, passed = pl.col("sound"), pl.col("passed")
    counts = {
        "faulty": (~sound).sum().cast(pl.Int64),
        "caught": (~sound & ~passed).sum().cast(pl.Int64),
        "sound": sound.sum().cast(pl.Int64),
        "passed": (sound & passed).sum().cast(pl.Int64),
    }
    everybody = said.select(pl.lit(ALL_REVIEWERS).alias("reviewer"), **counts)
    table = pl.concat([everybody, said.group_by("reviewer").agg(**counts).sort("reviewer")])
    rows = [
        {
            **row,
            **_share(row["caught"], row["faulty"], "sensitivity", confidence),
            **_share(row["passed"], row["sound"], "specificity", confidence),
        }
        for row in table.to_dicts()
    ]
    return pl.DataFrame(rows, schema=ACCURACY_SCHEMA)


def _share(part: int, whole: int, name: str, confidence: float) -> dict[str, float | None]:
    low, high = clopper_pearson(part, whole, confidence=confidence)
    return {name: part / whole if whole else None, f"{name}_low": low, f"{name}_high": high}


def correct_rate(
    defects: int, reviewed: int, *, caught: int, faulty: int, passed: int, sound: int, confidence: float = 0.95
) -> CorrectedRate | None:
    """Return the defect rate corrected for sensitivity caught/faulty and specificity passed/sound, with its interval.

    rate = (p̂ + sp − 1) / (se + sp − 1) (Rogan & Gladen 1978). The interval carries the uncertainty of all three shares
    (Lang & Reiczigel 2014, "Confidence limits for prevalence of disease adjusted for estimated sensitivity and
    specificity"). All are clipped to [0, 1]. None where nothing was reviewed, there is no gold of both kinds, or the
    reviewers are no better than a coin.
    """
    from scipy.stats import norm

    if min(reviewed, faulty, sound) <= 0 or caught / faulty + passed / sound <= 1:
        return None
    z = float(norm.ppf((1 + confidence) / 2))
    apparent, se, sp = defects / reviewed, caught / faulty, passed / sound
    n, n_se, n_sp = reviewed + z**2, faulty + 2, sound + 2
    seen, hit, clear = (defects + z**2 / 2) / n, (caught + 1) / n_se, (passed + 1) / n_sp
    power = hit + clear - 1
    if power <= 0:
        return None
    center = (seen + clear - 1) / power
    spread_se, spread_sp = hit * (1 - hit) / n_se, clear * (1 - clear) / n_sp
    shift = 2 * z**2 * (center * spread_se - (1 - center) * spread_sp)
    variance = seen * (1 - seen) / n + center**2 * spread_se + (1 - center) ** 2 * spread_sp
    half = z * math.sqrt(variance) / power
    low, high = (min(max(end, 0.0), 1.0) for end in (center + shift - half, center + shift + half))
    return CorrectedRate(apparent, min(max((apparent + sp - 1) / (se + sp - 1), 0.0), 1.0), low, high)


# ---- against each other


def measure_agreement(decisions: pl.DataFrame, *, confidence: float = 0.95, seed: int = 0) -> pl.DataFrame:
    """Return Cohen's kappa and Krippendorff's alpha of accept against reject or flag; columns AGREEMENT_SCHEMA.

    `decisions`: example_id, reviewer, decision; the last of a reviewer on an example counts, a skip does not. Only
    examples with two reviewers or more say anything. kappa: over all pairs of reviewers of an example, the name that
    sorts first is the first rater. alpha: nominal, for any number of reviewers an example (Krippendorff 2011,
    "Computing Krippendorff's alpha-reliability"). Intervals: percentile bootstrap over examples; value and interval
    are null where everybody said the same of everything.
    """
    voted = (
        decisions.unique(["example_id", "reviewer"], keep="last", maintain_order=True)
        .filter(pl.col("decision") != SKIP)
        .with_columns(accepted=(pl.col("decision") == ACCEPT).cast(pl.Int64))
        .filter(pl.len().over("example_id") > 1)
        .sort("example_id", "reviewer")
    )
    examples = voted["example_id"].n_unique()
    rows = []
    for name, value, tables, statistic in (
        ("kappa", cohens_kappa(voted), _pair_tables(voted), _kappas),
        ("alpha", krippendorffs_alpha(voted), _coincidences(voted), _alphas),
    ):
        low, high = _resample(tables, statistic, confidence, derive_seed(seed, "review", "agreement", name))
        rows.append((name, value, low, high, examples, voted.height))
    return pl.DataFrame(rows, schema=AGREEMENT_SCHEMA, orient="row")


def krippendorffs_alpha(decisions: pl.DataFrame) -> float | None:
    """Return Krippendorff's nominal alpha of accept against reject or flag; None without pairs or without variation.

    `decisions`: example_id, reviewer, decision, one row an example and reviewer.
    """
    voted = decisions.filter(pl.col("decision") != SKIP).with_columns(
        accepted=(pl.col("decision") == ACCEPT).cast(pl.Int64)
    )
    value = _alphas(_coincidences(voted).sum(axis=0)[None, :])[0]
    return None if math.isnan(value) else float(value)


def _pair_tables(voted: pl.DataFrame) -> np.ndarray:
    """Return the 2 × 2 tables of all pairs, one row an example: shape (examples, 4), cell 2·first + second."""
    side = voted.select("example_id", "reviewer", "accepted")
    pairs = side.join(side, on="example_id").filter(pl.col("reviewer") < pl.col("reviewer_right"))
    cell = 2 * pl.col("accepted") + pl.col("accepted_right")
    return pairs.group_by("example_id").agg((cell == i).sum().alias(str(i)) for i in range(4)).sort(
        "example_id"
    ).select("0", "1", "2", "3").to_numpy().astype(np.float64)  # fmt: skip


def _coincidences(voted: pl.DataFrame) -> np.ndarray:
    """Return the coincidences of each example with two ratings or more, shape (examples, 4): 00, 01, 10, 11."""
    counts = voted.group_by("example_id").agg(n=pl.len(), ones=pl.col("accepted").sum()).filter(pl.col("n") > 1)
    counts = counts.sort("example_id")
    n, ones = counts["n"].to_numpy().astype(np.float64), counts["ones"].to_numpy().astype(np.float64)
    zeros, others = n - ones, n - 1
    return np.column_stack([zeros * (zeros - 1), zeros * ones, ones * zeros, ones * (ones - 1)]) / others[:, None]


def _kappas(tables: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        share = tables / tables.sum(axis=1, keepdims=True)
        observed = share[:, 0] + share[:, 3]
        first, second = share[:, 2] + share[:, 3], share[:, 1] + share[:, 3]
        chance = first * second + (1 - first) * (1 - second)
        return np.where(chance < 1 - 1e-12, (observed - chance) / (1 - chance), np.nan)


def _alphas(tables: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        total = tables.sum(axis=1)
        zeros, ones = tables[:, 0] + tables[:, 1], tables[:, 2] + tables[:, 3]
        expected = 2 * zeros * ones / (total - 1)
        return np.where(expected > 0, 1 - (tables[:, 1] + tables[:, 2]) / expected, np.nan)


def _resample(
    tables: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], confidence: float, seed: int
) -> tuple[float | None, float | None]:
    if len(tables) < 2:
        return None, None
    weights = np.random.default_rng(seed).multinomial(len(tables), np.full(len(tables), 1 / len(tables)), RESAMPLES)
    values = statistic(weights @ tables)
    values = values[~np.isnan(values)]
    if not len(values):
        return None, None
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
