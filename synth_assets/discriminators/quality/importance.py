"""Importance weights: which survivors to keep where there are more than the target, without narrowing what is kept.

Here: data selection by importance resampling (DSIR, Xie et al. 2023, arXiv 2302.03169) with a quota for each stratum.
Not here: which candidates may be kept at all (the discriminators), how many (generation/planner.py), what selection did
to diversity (monitoring/filtering.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from synth_assets.discriminators.quality.features import FIELDS, WORDS, Reader, draw_rows, read_strata
from synth_assets.ngrams import Counts
from synth_assets.records import derive_uniforms
from synth_assets.spec import DatasetSpec

EFFECTIVE_SHARE = 0.5
"""Least effective sample size of a stratum's weights, (Σw)² / Σw², as a share of its survivors.

Untempered, the weights of some hundred short texts belong to a few of them, and sampling picks the mode of the target.
"""
MOST_ROWS = 200_000
"""Real rows, and raw candidates, that features are counted on, drawn by hash."""

_BITS = 13  # 8,192 buckets; the paper has 10,000
_PRIOR = 300.0  # features by whose weight a stratum's distribution leans on that of all strata
_HALVINGS = 30


def weigh_candidates(
    spec: DatasetSpec, train: pl.DataFrame, candidates: pl.DataFrame, survivors: pl.DataFrame
) -> pl.Series:
    """Return the log importance weight of each survivor, `importance`:Float64: how much likelier it is as a real row.

    log w = the mean over the row's features of log p(feature) − log q(feature), times the mean number of features in
    its stratum, so that length does not decide. p is the distribution of hashed features in the real train rows of its
    stratum, q in its raw candidates, both smoothed by the distribution over all strata. Features are words and pairs of
    them; of records without text the values of fields and pairs of these. All frames: example_id and content columns.
    """
    reader = Reader.fit(spec, train, views=(WORDS,) if spec.text_fields else (FIELDS,), bits=_BITS)
    candidates = draw_rows(spec, candidates, MOST_ROWS, "importance", "candidates")
    train = draw_rows(spec, train, MOST_ROWS, "importance", "real")
    strata = [read_strata(spec, frame) for frame in (train, candidates, survivors)]
    names = pl.Enum(pl.concat(strata).unique().sort())
    codes = [named.cast(names).to_physical().to_numpy().astype(np.int64) for named in strata]
    target = _Distribution.count(reader, train, codes[0], len(names.categories))
    raw = _Distribution.count(reader, candidates, codes[1], len(names.categories))
    sums, sizes = np.zeros(survivors.height), np.zeros(survivors.height, np.int64)
    for rows, columns in _read_features(reader, survivors):
        of = codes[2][rows]
        ratios = target.measure(of, columns) - raw.measure(of, columns)
        first = int(rows[0]) if len(rows) else 0
        here = np.bincount(rows - first, weights=ratios)
        sums[first : first + len(here)] += here
        sizes[first : first + len(here)] += np.bincount(rows - first)
    total = np.bincount(codes[2], weights=sizes, minlength=1)
    usual = total / np.maximum(np.bincount(codes[2], minlength=1), 1)
    return pl.Series("importance", sums / np.maximum(sizes, 1) * usual[codes[2]], dtype=pl.Float64)


def select_by_importance(
    spec: DatasetSpec, survivors: pl.DataFrame, importance: pl.Series, targets: Mapping[str, int], *, round_: str
) -> pl.DataFrame:
    """Return the survivors' order of preference: example_id, stratum, importance, preference:UInt32, kept:Boolean.

    survivors: example_id, stratum; one row each comes back, in their order. Each stratum keeps as many as `targets`
    says (none of a stratum it does not name), drawn without replacement by weights w^a, which is what the largest
    a·log w + Gumbel noise are (Gumbel top-k; Vieira 2014, Kool et al. 2019). a ≤ 1 is the largest exponent that leaves
    the stratum an effective sample of EFFECTIVE_SHARE of its survivors, and of the target. preference 0 is the first
    of its stratum. The noise depends on example_id, the spec's seed and the round alone.
    """
    chances = np.clip(derive_uniforms(survivors["example_id"], spec.seed, "importance", round_), 1e-18, None)
    drawn = survivors.select("example_id", "stratum", importance=importance, noise=-np.log(-np.log(chances)))
    exponents = {
        str(stratum[0]): find_exponent(part["importance"].to_numpy(), targets.get(str(stratum[0]), 0))
        for stratum, part in drawn.group_by("stratum")
    }
    exponent = pl.col("stratum").replace_strict(exponents, default=1.0, return_dtype=pl.Float64)
    key = exponent * pl.col("importance") + pl.col("noise")
    limit = pl.col("stratum").replace_strict(dict(targets), default=0, return_dtype=pl.Int64)
    return drawn.with_columns(
        preference=(key.rank("ordinal", descending=True).over("stratum") - 1).cast(pl.UInt32)
    ).select("example_id", "stratum", "importance", "preference", kept=pl.col("preference") < limit)


def find_exponent(importance: np.ndarray, target: int) -> float:
    """Return the largest exponent up to 1 whose weights have the effective sample size that is asked for."""
    least = max(min(target, len(importance)), EFFECTIVE_SHARE * len(importance))
    low, high = 0.0, 1.0
    if _effective_size(importance) >= least:
        return 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _effective_size(middle * importance) >= least else (low, middle)
    return low


def _effective_size(logs: np.ndarray) -> float:
    weights = np.exp(logs - logs.max())
    return float(weights.sum() ** 2 / np.square(weights).sum())


# ---- distributions of features


@dataclass(frozen=True)
class _Distribution:
    """Features counted by stratum and over all; `shares` is the latter, smoothed by one in every bucket."""

    counts: Counts
    totals: np.ndarray
    shares: np.ndarray

    @classmethod
    def count(cls, reader: Reader, frame: pl.DataFrame, codes: np.ndarray, strata: int) -> _Distribution:
        buckets = 1 << reader.bits
        told = [(codes[rows], columns) for rows, columns in _read_features(reader, frame)]
        of = np.concatenate([np.empty(0, np.int64), *(stratum for stratum, _ in told)])
        columns = np.concatenate([np.empty(0, np.int32), *(columns for _, columns in told)])
        everywhere = np.bincount(columns, minlength=buckets) + 1
        return cls(
            Counts.of(_pair(of, columns, reader.bits)), np.bincount(of, minlength=strata), everywhere / everywhere.sum()
        )

    def measure(self, codes: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return the log probability of each feature in its stratum."""
        bits = len(self.shares).bit_length() - 1
        counted = self.counts.look_up(_pair(codes, columns, bits))
        return np.log((counted + _PRIOR * self.shares[columns]) / (self.totals[codes] + _PRIOR))


def _pair(codes: np.ndarray, columns: np.ndarray, bits: int) -> np.ndarray:
    return codes.astype(np.uint64) << np.uint64(bits) | columns.astype(np.uint64)


def _read_features(reader: Reader, frame: pl.DataFrame) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the row and the column of every feature, chunk by chunk."""
    for place, views in reader.read(frame):
        for view in views:
            for columns, counts in view.parts:
                yield np.repeat(np.arange(place.start, place.stop), counts), columns
