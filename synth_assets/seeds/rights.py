"""License, consent basis and privacy of each raw row, from the spec or from columns of the files.

Here: reading those three, conservatively. Not here: what follows from them (liabilities.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, get_args

import polars as pl

from synth_assets.seeds.columns import parse_boolean
from synth_assets.spec import UNKNOWN_LICENSE, ConsentBasis, SourceSpec, check_license

UNKNOWN_CONSENT = "unknown"


def rights_sources(source: SourceSpec) -> list[str]:
    """Return the columns of the files that hold rights row by row."""
    declared = (source.license_field, source.consent.field, source.private_field)
    return [name for name in declared if name is not None]


def read_rights(columns: dict[str, list[Any]], height: int, source: SourceSpec, *, textual: bool) -> pl.DataFrame:
    """Return license, consent (String) and is_private (Boolean), one row a record.

    Without a declared column the spec's value holds for every row. Where a declared column is missing or says
    nothing usable, the row's license or consent is unknown and the row is private, so that it is never released.
    """

    def column(name: str | None, default: Any, parse: Callable[[Any], Any]) -> list[Any]:
        return [default] * height if name is None else [parse(value) for value in columns[name]]

    licenses = column(source.license_field, source.license, _parse_license)
    bases = _bases(source.consent.withdrawn_values)
    consents = column(source.consent.field, source.consent.basis, lambda value: bases.get(_word(value)))
    privates = column(source.private_field, False, lambda value: _parse_private(value, textual))
    unclear = [None in row for row in zip(licenses, consents, privates, strict=True)]
    return pl.DataFrame(
        {
            "license": pl.Series([each or UNKNOWN_LICENSE for each in licenses], dtype=pl.String),
            "consent": pl.Series([each or UNKNOWN_CONSENT for each in consents], dtype=pl.String),
            "is_private": pl.Series([a or b is True for a, b in zip(unclear, privates, strict=True)], dtype=pl.Boolean),
        }
    )


def _bases(withdrawn: Sequence[str]) -> dict[str | None, str]:
    known = {basis: basis for basis in get_args(ConsentBasis)}
    return {**known, **{value.strip().lower(): value for value in withdrawn}}


def _word(value: Any) -> str | None:
    return value.strip().lower() if isinstance(value, str) else None


def _parse_license(value: Any) -> str | None:
    return _known_license(value.strip()) if isinstance(value, str) else None


@lru_cache(maxsize=1_000)
def _known_license(expression: str) -> str | None:
    try:
        check_license(expression)
    except ValueError:
        return None
    return expression


def _parse_private(value: Any, textual: bool) -> bool | None:
    parsed = parse_boolean(value) if textual and isinstance(value, str) else value
    return parsed if isinstance(parsed, bool) else None
