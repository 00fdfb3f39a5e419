"""Control items: real rows with a planted fault (gold) and real rows left as they are (blind), mixed into a review.

Here: planting faults, drawing controls, reading them beside the rows of the batch. Not here: where they are mixed in
(sampling.mix_controls), what reviewers' answers to them say (agreement.py). Controls are training rows; they never
count as reviewed rows of a batch, and never reach a corpus.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from synth_assets.records import (
    RELEASABLE,
    TRAIN,
    add_content_ids,
    derive_seed,
    derive_uniforms,
    digest_column,
    polars_schema,
    stratum_expression,
)
from synth_assets.review.decisions import ACCEPT, REJECT
from synth_assets.review.settings import review_settings
from synth_assets.spec import NUMERIC_TYPES, DatasetSpec, FieldSpec
from synth_assets.store import Version

CONTROLS = "controls"  # the table of review_sample that holds them
GOLD = "gold"
BLIND = "blind"
FAULTS = ("wrong_label", "truncated", "wrong_number", "garbled")
SHORTEST = 24  # characters of a text that can be cut or garbled so that everybody sees it

_COLUMNS: dict[str, pl.DataType] = {
    "example_id": pl.String(),
    "content_id": pl.String(),
    "stratum": pl.String(),
    "part": pl.String(),
    "fault": pl.String(),
    "expected": pl.String(),
    "source_id": pl.String(),
}


def control_columns(spec: DatasetSpec) -> dict[str, pl.DataType]:
    """Return the columns of controls: what they are, and the content fields of the record."""
    return {**_COLUMNS, **polars_schema(spec.content_fields)}


def read_controls(sample: Version, spec: DatasetSpec) -> pl.DataFrame:
    """Return the controls that are mixed into a version of review_sample, columns control_columns; often none."""
    if CONTROLS in sample.manifest["tables"]:
        return sample.read(CONTROLS)
    return pl.DataFrame(schema=control_columns(spec))


def shown_items(rows: pl.DataFrame, controls: pl.DataFrame, spec: DatasetSpec) -> pl.DataFrame:
    """Return rows of the batch and controls alike: example_id, content_id and the content fields, nothing else.

    `rows`: filtered.rows.
    """
    columns = ["example_id", "content_id", *(field.name for field in spec.content_fields)]
    return pl.concat([rows.select(columns), controls.select(columns)])


def count_controls(rows: int, spec: DatasetSpec, *, left: int | None = None) -> tuple[int, int]:
    """Return how many gold and blind items go with a sample of so many rows, as far as `left` further items are paid.

    Gold items come first; a machine gets none.
    """
    settings = review_settings(spec)
    if spec.review.mode == "auto":
        return 0, 0
    gold, blind = (math.ceil(share * rows - 1e-9) for share in (settings.gold_share, settings.blind_share))
    if left is not None:
        gold = min(gold, max(left, 0))
        blind = min(blind, max(left - gold, 0))
    return gold, blind


def draw_controls(
    train: pl.DataFrame,
    spec: DatasetSpec,
    *,
    n_gold: int,
    n_blind: int,
    round_: str,
    among: pl.DataFrame | None = None,
    drawn: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Return n_gold rows with a planted fault and n_blind untouched ones, of different training rows.

    `train`: seeds (example_id, content fields; where they have split and disposition, only releasable rows of train
    are taken). `among`: the rows that the controls are to pass for (stratum, prompted_by): they come from the same
    strata, and as far as possible from seeds that are not shown beside one of those rows. `drawn`: earlier controls of
    the round, whose seeds are not taken again. Columns control_columns: expected is the decision an attentive reviewer
    takes, source_id the training row behind. Fewer rows where `train` is too small or a record has nothing to plant a
    fault in. The choice depends on spec.seed, the round and the rows.

    {"part": "gold", "fault": "truncated", "expected": "reject", "text": "Where is my par", …}
    """
    known = train
    if "split" in known.columns:
        known = known.filter(pl.col("split") == TRAIN)
    if "disposition" in known.columns:
        known = known.filter(pl.col("disposition") == RELEASABLE)
    rows = known.sort("example_id").with_columns(stratum=stratum_expression(spec))
    if drawn is not None:
        rows = rows.filter(~pl.col("example_id").is_in(drawn["source_id"].implode()))
    fits, shown = pl.lit(True), pl.lit(False)
    if among is not None:
        fits = pl.col("stratum").is_in(among["stratum"].unique().implode())
        shown = pl.col("example_id").is_in(among["prompted_by"].explode().drop_nulls().unique().implode())
    rows = rows.filter(fits)
    order = pl.Series("_order", derive_uniforms(rows["example_id"], spec.seed, "review", round_, "controls"))
    rows = rows.with_columns(order, _shown=shown).sort("_shown", "_order").drop("_shown", "_order")
    blind = rows.head(n_blind).with_columns(part=pl.lit(BLIND), fault=pl.lit(""), expected=pl.lit(ACCEPT))
    candidates = rows.slice(n_blind, 3 * n_gold)  # some may have no place for a fault
    gold = plant_fault(candidates, spec, known=known, round_=round_).with_columns(stratum=stratum_expression(spec))
    gold = gold.filter(fits).head(n_gold).with_columns(part=pl.lit(GOLD), expected=pl.lit(REJECT))
    fields = [field.name for field in spec.content_fields]
    both = pl.concat(
        [
            part.select("part", "fault", "expected", "stratum", pl.col("example_id").alias("source_id"), *fields)
            for part in (gold, blind)
        ]
    )
    keys = both.select(pl.format("{}#{}#{}", "part", "fault", "source_id")).to_series()
    return (
        add_content_ids(both, spec)
        .with_columns(digest_column(keys, spec.name, round_, "control").alias("example_id"))
        .select(*control_columns(spec))
        .cast(control_columns(spec))  # type: ignore[arg-type]
    )


def plant_fault(rows: pl.DataFrame, spec: DatasetSpec, *, known: pl.DataFrame, round_: str) -> pl.DataFrame:
    """Return the rows that can hold a fault, each with one, and its name in `fault` (one of FAULTS).

    wrong_label: another known value in the target. truncated: the text ends within a word. wrong_number: a number
    beyond what `known` rows hold. garbled: a stretch of the text with its characters mixed up. Which fault a row gets
    is chosen at random among those that fit it. A result that equals a known row's content is not taken.
    """
    planter = _Planter.of(known, spec)
    planted = [
        planter.plant(row, derive_seed(spec.seed, "review", round_, "fault", row["example_id"]))
        for row in rows.to_dicts()
    ]
    schema = {**rows.schema, "fault": pl.String()}
    changed = pl.DataFrame([row for row in planted if row is not None], schema=schema)
    if changed.is_empty():
        return changed
    real = add_content_ids(known, spec)["content_id"]
    return add_content_ids(changed, spec).filter(~pl.col("content_id").is_in(real.implode())).select(*schema)


@dataclass(frozen=True)
class _Planter:
    """What is known of the real rows' values: the target's values, and the range of every number."""

    spec: DatasetSpec
    labels: tuple[Any, ...]
    ranges: dict[str, tuple[float, float]]

    @classmethod
    def of(cls, known: pl.DataFrame, spec: DatasetSpec) -> _Planter:
        target = spec.target_field
        labels: tuple[Any, ...] = ()
        if target is not None and target.type in ("category", "boolean"):
            labels = tuple(known[target.name].drop_nulls().unique().sort().to_list())
        numbers = [field.name for field in spec.content_fields if field.type in NUMERIC_TYPES]
        ends = {name: (known[name].min(), known[name].max()) for name in numbers}
        ranges = {name: (float(low), float(high)) for name, (low, high) in ends.items() if low is not None}  # type: ignore[arg-type]
        return cls(spec, labels, ranges)

    def plant(self, row: dict[str, Any], seed: int) -> dict[str, Any] | None:
        """Return the row with a fault, or None where none fits."""
        generator = np.random.default_rng(seed)
        for place in generator.permutation(len(FAULTS)):
            fault = FAULTS[place]
            changes = getattr(self, f"_plant_{fault}")(row, generator)
            if changes:
                return {**row, **changes, "fault": fault}
        return None

    def _plant_wrong_label(self, row: dict[str, Any], generator: np.random.Generator) -> dict[str, Any]:
        target = self.spec.target_field
        others = [label for label in self.labels if target is not None and label != row[target.name]]
        if target is None or not others or row[target.name] is None:
            return {}
        return {target.name: others[generator.integers(len(others))]}

    def _plant_truncated(self, row: dict[str, Any], generator: np.random.Generator) -> dict[str, Any]:
        field, text = self._longest_text(row)
        if field is None or len(text) < SHORTEST:
            return {}
        end = int(len(text) * generator.uniform(0.4, 0.7))
        while end > SHORTEST // 4 and not (text[end - 1].isalnum() and text[end].isalnum()):
            end -= 1  # within a word
        return self._with_text(row, field, text[:end])

    def _plant_garbled(self, row: dict[str, Any], generator: np.random.Generator) -> dict[str, Any]:
        field, text = self._longest_text(row)
        if field is None or len(text) < SHORTEST:
            return {}
        start, length = int(len(text) * generator.uniform(0.0, 0.3)), max(SHORTEST // 2, len(text) // 2)
        stretch = list(text[start : start + length])
        mixed = "".join(stretch[i] for i in generator.permutation(len(stretch)))
        return self._with_text(row, field, text[:start] + mixed + text[start + length :])

    def _plant_wrong_number(self, row: dict[str, Any], generator: np.random.Generator) -> dict[str, Any]:
        names = [name for name in self.ranges if row[name] is not None]
        if not names:
            return {}
        name = names[generator.integers(len(names))]
        low, high = self.ranges[name]
        beyond = high + max(high - low, abs(high), 1.0) * generator.uniform(2, 5)
        field = self.spec.field(name)
        return {name: round(beyond) if field.type == "integer" else round(beyond, field.decimals or 2)}

    def _longest_text(self, row: dict[str, Any]) -> tuple[FieldSpec | None, str]:
        texts = [(field, _text_of(row[field.name])) for field in self.spec.text_fields]
        return max(texts, key=lambda pair: len(pair[1]), default=(None, ""))

    @staticmethod
    def _with_text(row: dict[str, Any], field: FieldSpec, text: str) -> dict[str, Any]:
        if text == _text_of(row[field.name]):
            return {}
        if field.type != "messages":
            return {field.name: text}
        return {field.name: [*row[field.name][:-1], {**row[field.name][-1], "content": text}]}


def _text_of(value: Any) -> str:
    """Return the text of a cell: of messages, what the last one says."""
    if isinstance(value, list):
        return (value[-1]["content"] or "") if value else ""
    return value or ""
