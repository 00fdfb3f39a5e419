"""Where the seeds come from, what they may be used for, and what is done with personal data in them.

Here: sections `source` and `liabilities`. Not here: reading seed files (seeds/).
"""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator

from synth_assets.spec.model import Model

ConsentBasis = Literal[
    "consent",
    "contract",
    "legal_obligation",
    "vital_interests",
    "public_task",
    "legitimate_interests",
    "public_domain",
    "not_personal",
    "research_exemption",
    "unknown",
]
UNKNOWN_LICENSE = "LicenseRef-unknown"
_VERBATIM = StringConstraints(strip_whitespace=False)


class CsvSpec(Model):
    """How CSV files are written."""

    header: bool = Field(default=True, description="Whether the first line names the columns.")
    columns: tuple[str, ...] = Field(default=(), description="Column names where there is no header line.")
    delimiter: Annotated[str, _VERBATIM] = Field(
        default=",", min_length=1, max_length=1, description="One character between values."
    )
    null_values: tuple[Annotated[str, _VERBATIM], ...] = Field(
        default=("",), description="What stands for a missing value."
    )
    strip: bool = Field(default=True, description="Whether spaces around values are dropped.")


class ConsentSpec(Model):
    """On what legal basis the real rows may be used."""

    basis: ConsentBasis = Field(
        description="Legal basis of the whole set (GDPR Art. 6 names, public_domain, not_personal for data about no "
        "person, research_exemption); unknown is never released."
    )
    field: str | None = Field(default=None, description="Column of your files that holds the basis row by row.")
    withdrawn_values: tuple[str, ...] = Field(
        default=("withdrawn", "refused", "none"),
        description="Values of that column that exclude a row from everything, synthesis included.",
    )


class SourceSpec(Model):
    """Where the seeds come from and what they may be used for."""

    title: str = Field(default="", description="Name of the collection.")
    url: str = Field(default="", description="Where it was obtained.")
    files: tuple[str, ...] = Field(
        default=(),
        description="File names or glob patterns inside the data set's folder; none means every .jsonl, .csv and "
        ".parquet there (also .gz, .zst).",
    )
    uri: str | None = Field(
        default=None,
        pattern=r"^(sklearn|python):[a-z_]+$",
        description="A bundled set: sklearn:breast_cancer, sklearn:digits, sklearn:iris, sklearn:wine, "
        "sklearn:diabetes, or python:doctests (functions of Python's own library). Files that are named are read too.",
    )
    csv: CsvSpec = Field(default_factory=CsvSpec, description="CSV dialect.")
    license: str = Field(
        description="SPDX expression of the whole set, e.g. CC-BY-4.0, or LicenseRef-… for your own terms. "
        "LicenseRef-unknown makes every row synthesis_only."
    )
    license_field: str | None = Field(default=None, description="Column of your files with the license row by row.")
    private_field: str | None = Field(
        default=None,
        description="Boolean column of your files; true makes a row synthesis_only: it may condition generators and "
        "is never exported.",
    )
    consent: ConsentSpec = Field(description="Legal basis.")
    jurisdiction: tuple[str, ...] = Field(default=(), description="Where the law applies, e.g. EU, US-CA.")
    contact: str = Field(default="", description="Who answers questions about this data.")
    collected_from: dt.date | None = Field(default=None, description="First day of collection.")
    collected_to: dt.date | None = Field(default=None, description="Last day of collection.")

    @field_validator("license")
    @classmethod
    def _known_license(cls, value: str) -> str:
        check_license(value)
        return value


class LiabilitySpec(Model):
    """What the audit does with personal data it finds in rows that are otherwise clear."""

    pii: Literal["synthesis_only", "exclude", "allow"] = Field(
        default="synthesis_only", description="Disposition of a row in which personal data is found."
    )
    allow_entities: tuple[str, ...] = Field(
        default=("DATE_TIME",), description="Entity types that are no reason to hold a row back, e.g. DATE_TIME, URL."
    )
    quasi_identifiers: tuple[str, ...] = Field(
        default=(),
        description="Fields that together may point to a person, e.g. birth year, sex, postcode; no free text, no ids.",
    )
    k_anonymity: int = Field(
        default=5,
        ge=2,
        le=10_000,
        description="Rows that must share each combination of the quasi-identifiers; rarer ones are reported.",
    )


@lru_cache(maxsize=1)
def spdx_licensing() -> Any:
    """Return the parser of SPDX expressions; it knows every license of the list."""
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()


def check_license(expression: str) -> None:
    """Raise ValueError unless the text is a valid SPDX expression; LicenseRef-… is allowed."""
    plain = re.sub(r"LicenseRef-[A-Za-z0-9.\-]+", "MIT", expression)
    try:
        problems = spdx_licensing().validate(plain).errors
    except Exception as error:  # the parser fails in many ways on half an expression, AttributeError among them
        problems = [str(error)]
    if problems or not expression:
        raise ValueError(
            f"'{expression}' is no SPDX license expression; write one such as CC-BY-4.0, MIT, CC0-1.0, "
            "or LicenseRef-<your-terms>"
        )
