"""What the collapse experiment runs on: rows of one kind, how they are drawn, written anew and measured.

Here: the protocol, and which material a data set is. Not here: the two materials (texts, tables), policies, the loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import polars as pl

from synth_assets.spec import DatasetSpec

Rows = TypeVar("Rows")


class Material(Protocol[Rows]):
    """Real rows of a data set, and what a generator makes of rows of their kind.

    measures: what `measure` returns, with a description each. variety: the measure whose fall is the collapse.
    """

    @property
    def real(self) -> Rows: ...

    @property
    def measures(self) -> Mapping[str, str]: ...

    @property
    def variety(self) -> str: ...

    def count(self, rows: Rows) -> int: ...

    def take(self, rows: Rows, places: np.ndarray) -> Rows: ...

    def join(self, parts: Sequence[Rows]) -> Rows: ...

    def write(self, corpus: Rows, count: int, temperature: float, rng: np.random.Generator, kept: Rows | None) -> Rows:
        """Return `count` rows by a generator fitted on a corpus; with `kept`, rows that pass the discriminators.

        kept: what passed in earlier generations. Fewer than `count` come where four waves do not bring them.
        """
        ...

    def measure(self, written: Rows, corpus: Rows, size: int, rng: np.random.Generator) -> dict[str, float]:
        """Return the measures of a generation of `size` rows and of the corpus that it became part of."""
        ...


def read_material(spec: DatasetSpec, seeds: pl.DataFrame, root: Path) -> Material[Any]:
    """Return the material of a data set: its free text where it has any, else its table. Sealed rows are not read.

    seeds: the columns of the seeds asset. root: the project's folder. SeedError where there are too few rows.
    """
    from synth_assets.monitoring.experiments.tables import TableMaterial
    from synth_assets.monitoring.experiments.texts import TextMaterial

    return TextMaterial.of(spec, seeds, root) if spec.text_fields else TableMaterial.of(spec, seeds, root)
