"""Privacy: whether synthetic rows give away the real rows behind them.

Here: copies of text and of records, membership inference, the attacks on columns, k-anonymity, each beside the sealed
rows, which no generator saw. Not here: the leakage gate that rejects candidates (discriminators/leakage.py), personal
data in text (seeds/). Passing these measures proves no privacy (2505.01524); failing them proves a leak.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from synth_assets.monitoring.features import find_fields, split_fields, type_columns
from synth_assets.monitoring.measures import Metric, Report, build_report
from synth_assets.monitoring.privacy.attacks import attack_columns
from synth_assets.monitoring.privacy.compared import Compared
from synth_assets.monitoring.privacy.copies import measure_copies
from synth_assets.monitoring.privacy.identifiers import measure_identifiers
from synth_assets.monitoring.privacy.membership import attack_records, attack_texts
from synth_assets.monitoring.privacy.records import measure_records
from synth_assets.records import SEALED, TRAIN
from synth_assets.spec import DatasetSpec, FieldSpec

MIN_COLUMNS = 3
"""Columns from which data with text is also measured as a table."""


def measure_privacy(
    synthetic: pl.DataFrame,
    seeds: pl.DataFrame,
    spec: DatasetSpec,
    *,
    candidates: pl.DataFrame | None = None,
    released: pl.DataFrame | None = None,
) -> Report:
    """Compare synthetic rows with train rows (members), beside sealed rows (non-members, no generator saw them).

    synthetic: example_id, stratum, record columns. seeds: all splits (example_id, stratum, split, disposition where
    it is known, record columns). candidates: every completion of the generator, before any filter (the same columns);
    membership is inferred from these, as filters that know the seeds bias the likeness to them; left out, from the
    synthetic rows. released: all rows that leave, real ones too (with origin), for k-anonymity; left out, the
    synthetic rows.

    Text, without boilerplate (similarity.comparison_texts): exact_copy_share, near_copy_share (copies.find_copies),
    copied_share (those beyond coincidence), long_span_share and the longest spans, membership_auc. Data without text,
    or with three and more other fields, also as columns: near_record_share, copied_share, close_record_share,
    membership_auc_columns, and the risks of singling out, linkability and inference (attacks.py). Declared
    quasi-identifiers: identifiers.py.

    Shares are judged by compared.judge_share and judge_beyond_chance. A membership AUC acts when the lower end of its
    interval is above membership_auc, and is watched when the AUC itself is; of releasable rows, which may stand in the
    release themselves, membership and the attacks are watched at most. Whether `act` blocks is privacy_level.
    """
    fields = find_fields(spec, synthetic, seeds)
    hidden = _find_sensitive(spec, synthetic, seeds)
    drawn = synthetic if candidates is None else type_columns(candidates, fields)
    synthetic, seeds = (type_columns(frame, [*fields, *hidden]) for frame in (synthetic, seeds))
    train, sealed = (seeds.filter(pl.col("split") == split) for split in (TRAIN, SEALED))
    rows = Compared(spec, synthetic, drawn, train, sealed)
    gate = spec.quality.privacy_level
    if not synthetic.height or not rows.train.height:
        what = "train" if synthetic.height else "synthetic"
        return build_report([Metric("near_copy_share", note=f"not measured: there are no {what} rows")], (), gate)
    metrics: list[Metric] = []
    examples: list[dict[str, Any]] = []
    text, numeric, category = split_fields(fields)
    if text:
        found, shown = measure_copies(rows, text)
        metrics += [*found, *attack_texts(rows, text)]
        examples += shown
    columns = numeric + category
    if columns and (not text or len(columns) >= MIN_COLUMNS):
        found, shown = measure_records(rows, columns)
        metrics += [*found, *attack_records(rows, columns)]
        metrics += attack_columns(rows, columns, [*columns, *hidden])
        examples += shown
    found, shown = measure_identifiers(rows, synthetic if released is None else released)
    return build_report([*metrics, *found], [*examples, *shown], gate)


def _find_sensitive(spec: DatasetSpec, *frames: pl.DataFrame) -> list[FieldSpec]:
    """Return the protected attributes: never exported, but what is exported may tell them."""
    fields = [field for field in spec.fields if field.role == "sensitive" and not field.is_free_text]
    return [field for field in fields if all(field.name in frame.columns for frame in frames)]
