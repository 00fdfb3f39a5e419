"""Columns of a record as the tabular model sees them: codes of closed sets, floats of numbers, and back.

Here: which fields are closed sets, what is missing, types. Not here: any estimate (tabular_categories,
tabular_numbers).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from synth_assets.generation.tabular.marginals import SPIKE_ROWS
from synth_assets.generation.tabular.numbers import MIN_ROWS
from synth_assets.records import POLARS_TYPES
from synth_assets.spec import NUMERIC_TYPES, FieldSpec

EXACT_INTEGERS = 2**53


@dataclass(frozen=True)
class Table:
    """Seeds in two matrices.

    levels, codes: closed sets by field, shape (rows, closed sets); of a number with gaps, whether it is missing.
    numeric, origins, values: the other fields, what was subtracted from their integers, shape (rows, numbers) with
    NaN for missing. A date counts in days.
    """

    levels: dict[str, pl.Series]
    codes: np.ndarray
    numeric: list[FieldSpec]
    origins: list[int]
    values: np.ndarray

    @classmethod
    def prepare(cls, seeds: pl.DataFrame, fields: list[FieldSpec]) -> Table:
        """Sort fields into closed sets (categories, booleans, numbers of one or two frequent values) and numbers."""
        levels: dict[str, pl.Series] = {}
        codes: list[np.ndarray] = []
        numeric: list[FieldSpec] = []
        values: list[np.ndarray] = []
        origins: list[int] = []
        for field in fields:
            column = _clean(seeds[field.name], field)
            if _is_closed(column, field):
                levels[field.name], code = _encode(column)
                codes.append(code)
                continue
            plain = column.to_physical()
            origins.append(_find_origin(plain))
            numeric.append(field)
            values.append((plain - origins[-1]).cast(pl.Float64).fill_null(np.nan).to_numpy())
            if column.null_count():
                levels[field.name] = pl.Series(field.name, [False, True])
                codes.append(column.is_null().to_numpy().astype(np.int32))
        return cls(levels, _stack(codes, np.int32, seeds.height), numeric, origins, _stack(values, float, seeds.height))


def to_type(values: np.ndarray, field: FieldSpec, origin: int) -> pl.Series:
    """Return floats on the field's grid as a column of the field's type."""
    if field.type == "number":
        return pl.Series(field.name, values)
    whole = np.clip(values, -(2.0**63), np.nextafter(2.0**63, 0)).astype(np.int64) + origin
    return pl.Series(field.name, whole).cast(POLARS_TYPES[field.type])


def _clean(column: pl.Series, field: FieldSpec) -> pl.Series:
    """Return the column inside the field's bounds, null where it is no number.

    A number that fewer than MIN_ROWS rows have counts as missing everywhere: a model could only repeat it.
    """
    if field.type == "number":
        column = column.set(~column.is_finite(), None)
    if field.minimum is not None or field.maximum is not None:
        column = column.clip(field.minimum, field.maximum)
    if field.type in NUMERIC_TYPES | {"date"} and column.count() < MIN_ROWS:
        return column.clear(len(column))
    return column


def _is_closed(column: pl.Series, field: FieldSpec) -> bool:
    if field.type in ("category", "boolean"):
        return True
    counts = column.drop_nulls().value_counts()["count"]
    return len(counts) < 2 or (len(counts) == 2 and int(counts.min()) >= SPIKE_ROWS)  # pyright: ignore[reportArgumentType]


def _encode(column: pl.Series) -> tuple[pl.Series, np.ndarray]:
    """Return (levels in order, null last; the code of every row)."""
    levels = column.unique().sort(nulls_last=True)
    index = levels.to_frame("value").with_row_index("code")
    coded = column.to_frame("value").join(index, on="value", how="left", nulls_equal=True, maintain_order="left")
    return levels, coded["code"].to_numpy().astype(np.int32)


def _find_origin(column: pl.Series) -> int:
    """Return what to subtract from integers so that a float holds the rest; 0 where nothing need or can be done."""
    if not column.dtype.is_integer():
        return 0
    low, high = int(column.min()), int(column.max())  # pyright: ignore[reportArgumentType]
    return low if max(-low, high) > EXACT_INTEGERS >= high - low else 0


def _stack(columns: list[np.ndarray], dtype: type, height: int) -> np.ndarray:
    return np.stack(columns, axis=1).astype(dtype) if columns else np.zeros((height, 0), dtype=dtype)
