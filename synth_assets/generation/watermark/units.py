"""The units of a row that carry its mark: word trigrams of texts, and values that seldom repeat.

Here: which fields make units, found on seed rows, and the units of rows as text. Not here: their keyed bits and what is
made of them (rows.py).

A mark prefers some units and avoids others. With units that come up once or twice nobody can see it; with the fifty
values of an age everyone could, and it would bend the distribution under any one key. So a unit is a value, or the
values of several fields together, that two rows hardly ever share, and a unit that stands in the seeds is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from synth_assets.records import POLARS_TYPES
from synth_assets.similarity import WORD, normalize_text
from synth_assets.spec import DatasetSpec, FieldSpec

WORDS = 3
MOST_SHARED = 1 / 500
"""Chance that two rows share a unit of a group of fields, at most."""
UNITS_SCHEMA = pl.Schema({"record": pl.UInt32, "unit": pl.String})

_BETWEEN = "\x1f"
_MISSING = "\x00"


@dataclass(frozen=True)
class Layout:
    """What carries the mark: the text fields, and groups of other fields whose values together make one unit."""

    texts: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]

    @property
    def carries(self) -> bool:
        """Whether rows can be marked at all."""
        return bool(self.texts or self.groups)


def choose_layout(rows: pl.DataFrame, spec: DatasetSpec) -> Layout:
    """Return the layout that rows (seeds, as a rule) allow; only fields that leave with a release are used.

    A field whose values two rows share with a chance of at most 1 in 500 (Σ n(n−1) / N(N−1) over its values) is a group
    of its own. The others are joined, those of the most values first, until a group is that rare; and for each field of
    that group there is one that does without it, so that no lost column takes the mark along. The strata's fields carry
    nothing, since a request prescribes them.

    age, hours, job, income → (income), (age, hours), (hours, job), (age, job)
    """
    fields = [field for field in spec.released_fields if field.name in rows.columns]
    texts = tuple(field.name for field in fields if field.is_free_text)
    plain = [field for field in fields if not field.is_free_text and field.name not in spec.strata.by]
    written = rows.select(_write(rows[field.name], field).alias(field.name) for field in plain)
    shared = {field.name: _share_chance(written, [field.name]) for field in plain}
    alone = [(name,) for name, chance in shared.items() if chance <= MOST_SHARED]
    coarse = sorted((name for name, chance in shared.items() if chance > MOST_SHARED), key=shared.__getitem__)
    first = _join_fields(written, coarse)
    others = [_join_fields(written, [name for name in coarse if name != lost]) for lost in first]
    groups = dict.fromkeys(group for group in (*alone, first, *others) if group)
    return Layout(texts, tuple(groups))


def list_units(frame: pl.DataFrame, spec: DatasetSpec, layout: Layout) -> pl.DataFrame:
    """Return the units of rows: record (position in the frame), unit; fields that are missing are passed over.

    A text gives every three words in a row, casefolded, and itself where it is shorter; a group gives its values, and
    nothing where all are null. The same trigram is the same unit in whatever text field it stands.

    {"text": "My order is late", "price": 4.5} → "my order is", "order is late", "price: 4.5"
    """
    parts = [UNITS_SCHEMA.to_frame()]
    held = {field.name for field in spec.fields} & set(frame.columns)
    for name in layout.texts:
        if name in held:
            parts.append(_list_trigrams(frame[name], spec.field(name)))
    for group in layout.groups:
        if held.issuperset(group):
            parts.append(_list_values(frame, [spec.field(name) for name in group]))
    return pl.concat(parts)


def _list_trigrams(column: pl.Series, field: FieldSpec) -> pl.DataFrame:
    rows = pl.DataFrame({"text": column}).with_row_index("record")
    if field.type == "messages":
        rows = rows.explode("text").with_columns(text=pl.col("text").struct.field("content"))
    texts = rows.with_columns(normalize_text(pl.col("text"))).filter(pl.col("text").fill_null("") != "")
    words = pl.col("text").str.replace_all("’", "'", literal=True).str.extract_all(WORD)
    told = texts.with_columns(words=words).with_row_index("part")
    short = told.filter(pl.col("words").list.len() < WORDS).select("record", unit=pl.col("text"))
    flat = told.filter(pl.col("words").list.len() >= WORDS).select("record", "part", "words").explode("words")
    grams = flat.select(
        "record",
        unit=pl.concat_str([pl.col("words").shift(-i) for i in range(WORDS)], separator=" "),
        whole=pl.col("part") == pl.col("part").shift(1 - WORDS),
    )
    units = pl.concat([short, grams.filter("whole").select("record", "unit")])
    return units.with_columns(unit=pl.lit(_BETWEEN) + pl.col("unit")).cast(UNITS_SCHEMA)  # type: ignore[arg-type]


def _list_values(frame: pl.DataFrame, fields: Sequence[FieldSpec]) -> pl.DataFrame:
    written = frame.select(_write(frame[field.name], field).alias(field.name) for field in fields)
    names = [field.name for field in fields]
    told = written.with_row_index("record").filter(~pl.all_horizontal(pl.col(names).is_null()))
    values = pl.concat_str(
        [pl.lit(name) for name in names] + [pl.col(name).fill_null(_MISSING) for name in names], separator=_BETWEEN
    )
    return told.select("record", unit=values).cast(UNITS_SCHEMA)  # type: ignore[arg-type]


def _write(column: pl.Series, field: FieldSpec) -> pl.Series:
    """Return values as canonical text, the same after any lossless trip through a file.

    A number is written as the bits of its float, since how a library prints floats may change.
    """
    if field.type == "boolean":
        return column.cast(pl.String).str.to_lowercase()
    if field.type == "date":
        return column if column.dtype == pl.String else column.cast(pl.Date, strict=False).cast(pl.String)
    values = column.cast(POLARS_TYPES[field.type], strict=False)
    if field.type == "number":
        plain = values.fill_null(np.nan).to_numpy() + 0.0  # −0.0 becomes 0.0
        return pl.Series(plain.view(np.uint64)).cast(pl.String).set(pl.Series(np.isnan(plain)), None)
    if field.type == "category":
        return values.str.normalize("NFC").str.strip_chars()
    return values.cast(pl.String)


def _join_fields(written: pl.DataFrame, names: Sequence[str]) -> tuple[str, ...]:
    """Return the first of the names that rows seldom share together; none, if they share all of them too often."""
    for count in range(1, len(names) + 1):
        if _share_chance(written, names[:count]) <= MOST_SHARED:
            return tuple(names[:count])
    return ()


def _share_chance(written: pl.DataFrame, names: Sequence[str]) -> float:
    """Return the chance that two rows which hold these fields hold the same values, 1 where that is unknown."""
    held = written.filter(~pl.all_horizontal(pl.col(*names).is_null()))
    counts = held.group_by(*names).len()["len"].cast(pl.Float64)
    pairs = held.height * (held.height - 1)
    return float((counts * (counts - 1)).sum()) / pairs if pairs else 1.0
