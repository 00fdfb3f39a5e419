"""Trends: the headline numbers of all reports over the rounds of one data set.

Here: which metrics are headlines and gathering them. Not here: measuring, drawing (plots), the lake.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from synth_assets.monitoring.measures import LEVELS

MORE_IS_WORSE: tuple[str, ...] = (
    "c2st_accuracy",
    "c2st_forest_accuracy",
    "stratum_mix_tv",
    "psi",
    "length_psi",
    "vocabulary_psi",
    "distinct_2_drop",
    "synthetic_distinct_2_drop",
    "vendi_drop",
    "perplexity",
    "exact_copy_share",
    "near_copy_share",
    "copied_share",
    "near_record_share",
    "close_record_share",
    "long_span_share",
    "longest_span_p95",
    "membership_auc",
    "membership_auc_columns",
    "singling_out_risk",
    "linkability_risk",
    "inference_risk",
    "rare_combination_share",
    "rare_match_share",
    "trtr_perplexity",
    "tstr_perplexity",
    "mix_perplexity",
    "tstr_drop",
    "mix_drop",
)
LESS_IS_WORSE: tuple[str, ...] = (
    "distinct_2",
    "rare_word_coverage",
    "rare_bigram_coverage",
    "rare_value_coverage",
    "rare_pair_coverage",
    "trtr_accuracy",
    "tstr_accuracy",
    "mix_accuracy",
    "mix_worst_decile_f1",
    "trtr_r2",
    "tstr_r2",
    "mix_r2",
)
TREND_SCHEMA: dict[str, pl.DataType] = {
    "round": pl.String(),
    "report": pl.String(),
    "metric": pl.String(),
    "field": pl.String(),
    "value": pl.Float64(),
    "level": pl.String(),
}


def collect_trends(reports: Mapping[str, Mapping[str, pl.DataFrame]]) -> pl.DataFrame:
    """Return the headline metrics of every round: round, report, metric, field, value, level, in the order given.

    reports: round → report name → metric frame. One row a round, report and metric: of several fields the worst one,
    by level and then by value. What was not measured is left out.
    """
    parts = [
        _select_headlines(frame).select(pl.lit(round_).alias("round"), pl.lit(name).alias("report"), *_COLUMNS)
        for round_, named in reports.items()
        for name, frame in named.items()
    ]
    return pl.concat(parts) if parts else pl.DataFrame(schema=TREND_SCHEMA)


_COLUMNS = ("metric", "field", "value", "level")


def _select_headlines(frame: pl.DataFrame) -> pl.DataFrame:
    badness = pl.when(pl.col("metric").is_in(LESS_IS_WORSE)).then(-pl.col("value")).otherwise(pl.col("value"))
    return (
        frame.filter(
            pl.col("metric").is_in(MORE_IS_WORSE + LESS_IS_WORSE),
            pl.col("stratum") == "",
            pl.col("value").is_not_null(),
        )
        .with_columns(
            rank=pl.col("level").replace_strict({level: i for i, level in enumerate(LEVELS)}, return_dtype=pl.Int8),
            badness=badness,
        )
        .with_row_index("place")
        .sort("rank", "badness", "place", descending=[True, True, False])
        .unique("metric", keep="first", maintain_order=True)
        .sort("place")
    )
