"""Model collapse: whether the corpus keeps the variety and the tails of the real rows, round after round.

Here: the report. texts: words; semantics: meaning; columns: tables and strata; case: what they share. Each is measured
against the fixed real anchor and calibrated by one half of the anchor against the other. Not here: the measures
themselves (diversity, language), the distribution as a whole (shift), what a policy would do (experiments/collapse).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from synth_assets.monitoring.collapse.case import HISTORY, MAX_ROWS, SYNTHETIC_PREFIX, Case, Findings
from synth_assets.monitoring.collapse.columns import measure_columns
from synth_assets.monitoring.collapse.semantics import measure_semantics
from synth_assets.monitoring.collapse.texts import collect_texts, measure_texts
from synth_assets.monitoring.features import find_fields, sample_rows, split_fields
from synth_assets.monitoring.measures import Metric, Report, build_report
from synth_assets.records import derive_seed
from synth_assets.spec import DatasetSpec

__all__ = ["HISTORY", "SYNTHETIC_PREFIX", "measure_collapse"]


def measure_collapse(
    rounds: Mapping[str, pl.DataFrame],
    anchor: pl.DataFrame,
    spec: DatasetSpec,
    *,
    held_out: pl.DataFrame | None = None,
    root: Path = Path(),
) -> Report:
    """Compare the corpus of every round with the real anchor; the last round is the current one.

    rounds: round → corpus (example_id, stratum, origin, record columns), oldest first. anchor: the real train rows.
    held_out: real rows outside train (steering), for the perplexity. root: the project's folder, from which the spec's
    embedding model counts. At most 20,000 rows a frame count.

    Metrics are of the current round. Text is compared at one token budget: what half of the anchor and every round
    hold, at most 60,000; each number is the mean of 5 random orders, each null interval is of 20 random halves of
    the anchor.
    - distinct_1, distinct_2, distinct_3, bigram_entropy (bits), self_repetition (4-grams), compression_ratio,
      self_bleu (of the words of 500 texts) of the corpus, and with the prefix synthetic_ of its synthetic rows alone
    - distinct_2_drop, synthetic_distinct_2_drop: relative fall against the anchor
    - rare_word_coverage, rare_bigram_coverage: of the n-grams in 2–5 texts of one half of the anchor, the share that
      the synthetic rows hold; null: the share that the other half holds, at the same number of tokens
    - rare_value_coverage of category fields and of the stratum: the same for values that stand at least twice in
      half of the anchor and in at most 1 % of it (or 5 rows); rare_pair_coverage: the same for pairs of values of two
      columns, numbers in quartiles
    - tail_share of numbers: synthetic rows beyond the anchor's 2.5 % and 97.5 % quantiles; entropy_drop of columns
      (20 quantile bins) and variance_drop of numbers: relative falls of the synthetic rows against the anchor
    - perplexity, synthetic_perplexity of held-out text under a trigram model of the corpus at the token budget; null:
      models of halves of the anchor
    - vendi_score, vendi_drop and with the prefix synthetic_: effective number of different texts among 500, by
      embeddings; semantic_coverage: share of the anchor's texts that have a synthetic one among their nearest

    Levels: drops act from distinct_2_drop and are watched from half of it; perplexity acts from perplexity_rise above
    its real-vs-real level and is watched from half of it; coverages and tails act below tail_coverage times their
    real-vs-real level and are watched halfway; only ever outside the null interval. What has the prefix synthetic_ is
    watched at most: the contract is about the corpus. The others have no bar.

    Examples: kind history, related_id = round, value, note = metric, or metric and field joined by a space.
    """
    salt = (spec.seed, "monitoring", "collapse")
    quality = spec.quality
    current = list(rounds)[-1] if rounds else None
    if current is None or not rounds[current].height or not anchor.height:
        what = "anchor rows" if current is not None and rounds[current].height else "corpus rows"
        return build_report(
            [Metric("distinct_2", note=f"not measured: there are no {what}")], (), quality.collapse_level
        )
    anchor = sample_rows(anchor, MAX_ROWS, *salt, "anchor")
    # one salt for all rounds: a row that stays in the corpus stays in its sample
    kept = {name: sample_rows(frame, MAX_ROWS, *salt, "corpus") for name, frame in rounds.items()}
    text, numeric, category = split_fields(find_fields(spec, anchor, kept[current]))
    case = Case(spec, anchor, kept, current, derive_seed(*salt, "draws"))
    findings: list[Findings] = []
    if text:
        label = "+".join(item.name for item in text)
        texts = collect_texts(case, text, held_out)
        findings += [measure_texts(case, label, texts), measure_semantics(case, label, texts, root)]
    findings.append(measure_columns(case, numeric, category))
    metrics = [metric for found, _ in findings for metric in found]
    history = [row for _, rows in findings for row in rows]
    return build_report(metrics, history, quality.collapse_level)
