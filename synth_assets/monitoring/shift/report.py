"""The shift report: every comparison of synthetic rows with real ones, and one verdict that is corrected for them all.

Here: what is compared, and how the rate of false alarms is shared out. Not here: the comparisons themselves (strata,
fields, texts, joint), their null (null).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from synth_assets.monitoring.features import find_fields
from synth_assets.monitoring.measures import OK, Metric, Report, build_report
from synth_assets.monitoring.shift import joint
from synth_assets.monitoring.shift.fields import View, view_fields
from synth_assets.monitoring.shift.lost import Cells, judge_lost
from synth_assets.monitoring.shift.null import Finding, judge_findings
from synth_assets.monitoring.shift.strata import Matched, compare_mix, pair_strata
from synth_assets.monitoring.shift.texts import Texts
from synth_assets.records import derive_seed
from synth_assets.similarity import map_threads
from synth_assets.spec import DatasetSpec

WHOLE, BY_STRATUM, LOST = 0.25, 0.25, 0.5
"""Shares of the false-alarm rate: numbers of the whole set, of single strata, lost values and strata."""


def measure_shift(
    real: pl.DataFrame,
    synthetic: pl.DataFrame,
    spec: DatasetSpec,
    *,
    plan: pl.DataFrame | None = None,
    root: Path | None = None,
) -> Report:
    """Compare synthetic rows with real ones within strata.

    real: train and steering rows that may be released (example_id, stratum, record columns). synthetic: the same
    columns. plan: stratum, target, accepted_before (rows wanted of this round, rows of earlier rounds; the latter may
    be missing); left out, the real stratum mix is the plan. root: where a folder of
    quality.embedding_model counts from.

    Real rows are reweighted to the synthetic stratum mix, so a planned change of the label mix is no shift of the
    other fields; strata with fewer than five real rows are left out of the comparison of fields (`uncovered_share`).

    Metrics, each with the 95 % interval of 399 permutations of the rows within strata:
    - stratum_mix_psi, stratum_mix_tv (total variation), lost_strata against the plan
    - psi, js_distance (base 2), cramers_v, lost_values of category and boolean fields: the 50 most frequent values,
      `(other)` and `(missing)`
    - psi, js_distance of numbers and dates: decile bins of all rows, a value that a tenth of them share alone in its
      bin, `(missing)`; ks and wasserstein (in real standard deviations) over the values themselves
    - length_…: the same of the words of a text
    - vocabulary_psi, …_js_distance, …_cramers_v of the 500 most frequent words; word_phi: the word whose presence
      tells most; new_word_share: words that no real text holds; shape_…: function words, word lengths, capitals,
      digits, punctuation
    - correlation_difference: the largest between two fields
    - mmd2, frechet_distance of the texts' embeddings, or of all fields where none is text
    - c2st_accuracy, c2st_forest_accuracy: classifier two-sample tests
    - js_distance of fields and lengths, and mmd2, of every stratum with enough rows

    Fields and lengths take all rows; texts and joint tests at most 4,000 a side, equally many of every stratum.

    Levels: act from psi_act, mix_act, effect_act, a classifier's mean accuracy between permutations + c2st_margin;
    watch from psi_watch, effect_watch, half of mix_act and of the margin. Never without significance: over all numbers
    of a report a rate of false_alarm_rate, shared by the whole set (¼), single strata (¼) and losses (½).
    """
    salt, quality = (spec.seed, "monitoring", "shift"), spec.quality
    if not real.height or not synthetic.height:
        side = "synthetic" if real.height else "real"
        return build_report(
            [Metric("stratum_mix_tv", note=f"not measured: there are no {side} rows")], (), quality.shift_level
        )
    found = _Found()
    found.add(compare_mix(real, synthetic, spec, plan))
    pairing = pair_strata(real, synthetic, derive_seed(*salt, "rows"), spec.quality.mix_act)
    found.add([pairing.uncovered])
    views = view_fields(pairing, spec)
    found.add(view for view in views if isinstance(view, Metric))
    views = [view for view in views if isinstance(view, View)]

    def judge_view(view: View) -> list[Finding]:
        return view.judge(quality, pairing.strata, pairing.sizes, derive_seed(*salt, view.prefix, view.field))

    for findings in map_threads(judge_view, views):
        found.add(findings)
    found.add(cells for view in views if (cells := view.find_lost()) is not None)
    told = _compare_rows(pairing.matched, spec, found, root or Path(), derive_seed(*salt, "forest"))
    metrics = found.judge(quality.false_alarm_rate)
    moved = {(metric.metric, metric.field) for metric in metrics if metric.level != OK and not metric.stratum}
    examples: list[dict[str, Any]] = []
    for view in views:
        if any((f"{view.prefix}{name}", view.field) in moved for name in _SHOWN):
            examples.extend(view.show_cells(pairing))
    for text in told.texts:
        if any((name, text.field) in moved for name in _SHOWN_WORDS):
            examples.extend(text.show_words(pairing.matched))
    if told.linear is not None and ("c2st_accuracy", "") in moved:
        examples.extend(told.linear.show(pairing.matched))
    if told.forest is not None and ("c2st_forest_accuracy", "") in moved:
        examples.extend(joint.show_rows(pairing.matched, told.forest, "c2st_forest_accuracy"))
    return build_report(metrics, examples, quality.shift_level)


_SHOWN = ("psi", "js_distance", "cramers_v", "ks", "wasserstein")
_SHOWN_WORDS = ("vocabulary_psi", "vocabulary_js_distance", "vocabulary_cramers_v", "word_phi", "new_word_share")


@dataclass
class _Found:
    """What was found so far, by the share of the false-alarm rate that it is judged with."""

    metrics: list[Metric] = field(default_factory=list)
    whole: list[Finding] = field(default_factory=list)
    by_stratum: list[Finding] = field(default_factory=list)
    cells: list[Cells] = field(default_factory=list)

    def add(self, items: Iterable[Finding | Cells | Metric]) -> None:
        for item in items:
            if isinstance(item, Finding):
                (self.by_stratum if item.stratum else self.whole).append(item)
            elif isinstance(item, Cells):
                self.cells.append(item)
            else:
                self.metrics.append(item)

    def judge(self, rate: float) -> list[Metric]:
        return [
            *judge_findings(self.whole, WHOLE * rate),
            *judge_lost(self.cells, LOST * rate),
            *self.metrics,
            *judge_findings(self.by_stratum, BY_STRATUM * rate),
        ]


@dataclass(frozen=True)
class _Told:
    """What examples are taken from: the texts, the linear classifier, the forest's score of each row (NaN: unseen)."""

    texts: list[Texts]
    linear: joint.LinearTest | None
    forest: np.ndarray | None


def _compare_rows(matched: Matched, spec: DatasetSpec, found: _Found, root: Path, seed: int) -> _Told:
    """Compare texts and several fields together, on matched rows."""
    quality = spec.quality
    fields = [item for item in find_fields(spec, matched.rows) if item.name not in spec.strata.by]
    if matched.size < joint.MIN_ROWS:
        note = f"not measured: {matched.size} rows a side after matching strata, {joint.MIN_ROWS} are needed"
        found.add([Metric("c2st_accuracy", note=note, **matched.sizes)])
        return _Told([], None, None)
    texts = [Texts.read(matched, item) for item in fields if item.is_free_text]
    for text in texts:
        found.add(text.judge(matched, quality))
    linear = joint.classify_linearly(matched, fields, texts, quality)
    if linear is None:
        note = "not measured: no field holds anything to compare"
        found.add([Metric("c2st_accuracy", note=note, **matched.sizes)])
        return _Told(texts, None, None)
    found.add([linear.finding])
    found.add(joint.compare_correlations(matched, fields, quality))
    vectors, what = joint.embed_rows(matched, fields, quality, root)
    found.add(joint.compare_vectors(matched, vectors, what, quality))
    trees = joint.classify_by_trees(matched, fields, quality, seed)
    if trees is None:
        return _Told(texts, linear, None)
    finding, tried, scores = trees
    found.add([finding])
    forest = np.full(matched.rows.height, np.nan)
    forest[tried] = scores
    return _Told(texts, linear, forest)
