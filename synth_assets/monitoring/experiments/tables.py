"""A table without free text as the material of the collapse experiment: generations of the embedded tabular engine.

Here: fitting it anew on a corpus, filtering by the discriminators, measures. Not here: the engine
(generation/tabular), policies, the loop (collapse).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from synth_assets.discriminators.cascade import Cascade, Known
from synth_assets.errors import SeedError
from synth_assets.generation.engines import fit_embedded
from synth_assets.generation.requests import STOP, build_requests
from synth_assets.monitoring.collapse.case import find_rare
from synth_assets.monitoring.features import read_categories, read_numbers, split_fields
from synth_assets.records import RELEASABLE, SEALED, TRAIN, add_content_ids, apportion
from synth_assets.spec import DatasetSpec

MEASURES = {
    "written_spread": "mean over the numbers of their standard deviation, as a share of the real one",
    "spread": "the same of the corpus",
    "written_entropy": "mean over the columns of their entropy, bits (numbers in twentieths)",
    "written_tail_share": "mean over the numbers of the share beyond the outer 5 % of the real ones",
    "rare_value_coverage": "share of the rare real values that are still written",
    "written_distinct_rows": "different rows, per row",
}
LEAST_ROWS = 50
_TAIL = 0.025
_BINS = 20
_RARE_SHARE = 0.01
_WAVES = 4
_USUAL_RATE, _LEAST_RATE = 0.8, 0.1  # share of candidates that pass


@dataclass(frozen=True)
class TableMaterial:
    """The real rows of a table, and what its generations are measured with; see Material.

    real: stratum, disposition and the content columns of the training rows. edges: of each number, its inner
    twentieths. rare: of each closed set, its values in at most 1 % of the real rows.
    """

    real: pl.DataFrame
    spec: DatasetSpec
    cascade: Cascade
    edges: dict[str, np.ndarray]
    rare: dict[str, np.ndarray]
    variety: str = "written_entropy"

    @property
    def measures(self) -> dict[str, str]:
        return MEASURES

    @classmethod
    def of(cls, spec: DatasetSpec, seeds: pl.DataFrame, root: Path) -> TableMaterial:
        """Read the releasable training rows; see material.read_material."""
        seeds = seeds.filter(pl.col("split") != SEALED)
        train = seeds.filter((pl.col("split") == TRAIN) & (pl.col("disposition") == RELEASABLE))
        if train.height < LEAST_ROWS:
            raise SeedError(
                f"{spec.name}: there are {train.height:,} releasable training rows; the experiment needs {LEAST_ROWS}. "
                f"Add rows to data/seeds/{spec.name}"
            )
        real = train.select("stratum", "disposition", *(field.name for field in spec.content_fields))
        _, numeric, category = split_fields(spec.content_fields)
        edges = {}
        for field in numeric:
            values = read_numbers(real, field)
            known = values[np.isfinite(values)]
            if len(known):
                inner = np.arange(1, _BINS) / _BINS
                edges[field.name] = np.quantile(known, [_TAIL, *inner, 1 - _TAIL])
        rare = {}
        for field in category:
            values = read_categories(real, field).to_numpy().astype(str)
            found = find_rare(*_code(values), 1, _RARE_SHARE * len(values))
            rare[field.name] = np.unique(values)[found]
        return cls(real, spec, Cascade.build(spec, Known(seeds, root)), edges, rare)

    def count(self, rows: pl.DataFrame) -> int:
        return rows.height

    def take(self, rows: pl.DataFrame, places: np.ndarray) -> pl.DataFrame:
        return rows[places]

    def join(self, parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
        return pl.concat(list(parts))

    def write(
        self, corpus: pl.DataFrame, count: int, temperature: float, rng: np.random.Generator, kept: pl.DataFrame | None
    ) -> pl.DataFrame:
        generation = self.spec.generation.model_copy(update={"temperature": temperature})
        spec = self.spec.model_copy(update={"generation": generation})
        members = _number(corpus)
        engine = fit_embedded(spec, "tabular", members)
        name = f"x{rng.integers(1 << 62)}"  # the engine draws by the ids of its requests
        strata = corpus.group_by("stratum").len().sort("stratum")
        issued: dict[str, int] = {}
        passed = [self.real.clear()]
        wanted, rate = count, 1.0 if kept is None else _USUAL_RATE
        for _ in range(_WAVES):
            asked = dict(
                zip(strata["stratum"], apportion(int(wanted / rate) + 1, strata["len"].to_list()), strict=True)
            )
            requests = build_requests(spec, name, members, asked, issued)
            issued = {stratum: issued.get(stratum, 0) + number for stratum, number in asked.items()}
            made = pl.concat(list(engine.generate(requests))).select(pl.exclude("prompted_by"))
            made = made.join(requests.select("request_id", "stratum"), on="request_id", maintain_order="left")
            made = made.rename({"request_id": "example_id"}).with_columns(disposition=pl.lit(RELEASABLE))
            good = made.filter(pl.col("finish_reason") == STOP)
            if kept is not None:
                before = add_content_ids(_number(pl.concat([kept, *passed])), spec)
                good = self.cascade.judge(add_content_ids(made, spec), before).survivors
            order = rng.permutation(good.height)  # requests come by stratum
            passed.append(good[order].select(self.real.columns).head(wanted))
            wanted -= passed[-1].height
            if not wanted:
                break
            rate = max(good.height / made.height, _LEAST_RATE)
        return pl.concat(passed)

    def measure(
        self, written: pl.DataFrame, corpus: pl.DataFrame, size: int, rng: np.random.Generator
    ) -> dict[str, float]:
        del rng  # one draw of the real rows is as good as another
        written = written.head(size)
        _, numeric, category = split_fields(self.spec.content_fields)
        spreads, mixed, tails, entropies, covered = [], [], [], [], []
        for field in numeric:
            if field.name not in self.edges:
                continue
            real, made, whole = (read_numbers(rows, field) for rows in (self.real, written, corpus))
            low, *inner, high = self.edges[field.name]
            deviation = float(np.nanstd(real))
            if deviation:
                spreads.append(float(np.nanstd(made)) / deviation)
                mixed.append(float(np.nanstd(whole)) / deviation)
                tails.append(float(((made < low) | (made > high)).mean()))
            entropies.append(_measure_entropy(np.searchsorted(inner, made)))
        for field in category:
            values = read_categories(written, field).to_numpy().astype(str)
            entropies.append(_measure_entropy(values))
            if len(self.rare[field.name]):
                covered.append(float(np.isin(self.rare[field.name], values).mean()))
        distinct = written.select(field.name for field in self.spec.content_fields).n_unique()
        found = {
            "written_spread": spreads,
            "spread": mixed,
            "written_entropy": entropies,
            "written_tail_share": tails,
            "rare_value_coverage": covered,
            "written_distinct_rows": [distinct / max(written.height, 1)],
        }
        return {name: float(np.mean(values)) for name, values in found.items() if values}


def _number(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_row_index("example_id").with_columns(pl.col("example_id").cast(pl.String))


def _code(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.unique(values, return_inverse=True)[1], np.arange(len(values))


def _measure_entropy(codes: np.ndarray) -> float:
    shares = np.unique(codes, return_counts=True)[1] / max(len(codes), 1)
    return float(-np.sum(shares * np.log2(shares)))
