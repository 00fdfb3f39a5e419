"""Licenses: what the terms of generators and seeds allow, and the license a corpus goes out under.

Here: the generator registry and the union of obligations. Not here: the disposition of single seed rows
(seeds/liabilities.py). Not legal advice.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from synth_assets.errors import SpecError
from synth_assets.spec import read_yaml


class GeneratorTerms(BaseModel):
    """One entry of data/generators.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    engine: str = Field(description="Engine name: embedded, …")
    model: str = Field(description="Model name as it stands in generator_id.")
    license: str = Field(description="SPDX expression or LicenseRef-… of the model.")
    outputs_train_allowed: Literal["yes", "conditional", "no", "unknown"] = Field(
        description="Whether its output may train other models."
    )
    propagates_to_model: bool = Field(
        default=False, description="Whether a model trained on the output inherits terms."
    )
    non_commercial: bool = Field(default=False, description="Whether its output may not be used commercially.")
    naming: str = Field(default="", description="A name that models trained on the output must carry.")
    attribution: str = Field(default="", description="A notice that must be given.")
    url: str = Field(default="", description="Where the terms are.")
    note: str = Field(default="", description="For people.")
    reviewed_by: str = Field(default="", description="Who read the terms.")
    reviewed_on: dt.date | None = Field(default=None, description="When.")


class _Registry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    generators: tuple[GeneratorTerms, ...]


@dataclass(frozen=True)
class Terms:
    """What a corpus must carry: outbound license, obligations to state, and what blocks it (empty: nothing)."""

    license: str
    obligations: tuple[str, ...]
    blockers: tuple[str, ...]


def load_generators(path: Path) -> tuple[GeneratorTerms, ...]:
    """Read the registry; SpecError names file, entry and value."""
    try:
        return _Registry.model_validate(read_yaml(path)).generators
    except ValidationError as error:
        problems = "\n".join(f"{path}: {'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors())
        raise SpecError(problems) from error


def combine_terms(
    seed_licenses: pl.Series, generators: pl.DataFrame, registry: tuple[GeneratorTerms, ...], *, declared: str
) -> Terms:
    """Return the union of obligations over the seeds' licenses and the generators (columns engine, model).

    Anything that is not registered, unknown or forbidden blocks.
    """
    blockers: list[str] = []
    obligations: list[str] = []
    known = {(terms.engine, terms.model): terms for terms in registry}
    for engine, model in generators.select("engine", "model").unique().sort("engine", "model").iter_rows():
        terms = known.get((engine, model))
        if terms is None:
            blockers.append(f"generator {engine}/{model} is not in data/generators.yaml; add it with its terms")
            continue
        if terms.outputs_train_allowed in ("no", "unknown"):
            blockers.append(f"generator {engine}/{model}: outputs_train_allowed is {terms.outputs_train_allowed}")
        for label, text in (("name", terms.naming), ("notice", terms.attribution)):
            if text:
                obligations.append(f"{label}: {text} ({engine}/{model})")
        if terms.outputs_train_allowed == "conditional" or terms.propagates_to_model:
            obligations.append(f"terms of {engine}/{model} apply: {terms.license} {terms.url}".strip())
        if terms.non_commercial:
            obligations.append(f"no commercial use ({engine}/{model})")
    licenses = sorted({declared, *seed_licenses.drop_nulls().unique().to_list()})
    unknown = [name for name in licenses if not name or name == "LicenseRef-unknown"]
    if unknown:
        blockers.append("seeds under an unknown license; set source.license in dataset.yaml")
    obligations += [
        f"seeds under {name}" for name in licenses if name and name not in ("CC0-1.0", "LicenseRef-unknown")
    ]
    return Terms(" AND ".join(name for name in licenses if name), tuple(obligations), tuple(blockers))
