"""What a generator is asked and what it answers: the one protocol of all engines.

Here: GeneratorInfo, the request and completion frames, building the requests of a wave. Not here: any engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl

from synth_assets.records import derive_seeds, derive_uniforms, digest_column
from synth_assets.spec import DatasetSpec

STOP = "stop"
LENGTH = "length"
INVALID = "invalid"

REQUEST_SCHEMA: dict[str, pl.DataType] = {
    "request_id": pl.String(),
    "attempt": pl.Int32(),
    "stratum": pl.String(),
    "seed": pl.Int64(),
    "prompted_by": pl.List(pl.String()),
}


@dataclass(frozen=True)
class GeneratorInfo:
    """What made a completion, as far as lineage, licenses and recall need it.

    `trained_on` is the digest of the sorted member ids of a fitted generator and empty for one that was not fitted
    here; `parameters` is JSON with sorted keys.
    """

    generator_id: str
    engine: str
    model: str
    version: str
    trained_on: str
    members: tuple[str, ...]
    parameters: str


class Engine(Protocol):
    """A generator. The same request gives the same completion, whatever stands beside it in the frame."""

    @property
    def info(self) -> GeneratorInfo: ...

    def generate(self, requests: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Complete every request (REQUEST_SCHEMA) once, in frames of any size, in request order.

        Completion columns: request_id, attempt, the spec's content fields, finish_reason (stop | length | invalid),
        prompt_tokens, output_tokens.
        """
        ...

    def artifact(self) -> dict[str, pl.DataFrame]:
        """Return the fitted model as tables, for the lake."""
        ...


def build_requests(
    spec: DatasetSpec, round_: str, train: pl.DataFrame, counts: Mapping[str, int], issued: Mapping[str, int]
) -> pl.DataFrame:
    """Return the requests of a wave (REQUEST_SCHEMA): `counts[stratum]` new ones after `issued[stratum]` earlier ones.

    Every training row of a stratum is the first exemplar equally often, in a shuffled order, so that no rare row is
    left out; the other exemplars are drawn by the request's own hash. A stratum without training rows takes
    exemplars from all strata.
    """
    pools = _exemplar_pools(spec, round_, train)
    frames = [
        _requests_of(spec, round_, stratum, count, issued.get(stratum, 0), pools.get(stratum, pools[None]))
        for stratum, count in sorted(counts.items())
        if count > 0
    ]
    return pl.concat(frames) if frames else pl.DataFrame(schema=REQUEST_SCHEMA)


def _exemplar_pools(spec: DatasetSpec, round_: str, train: pl.DataFrame) -> dict[str | None, np.ndarray]:
    order = derive_uniforms(train["example_id"], spec.seed, "exemplars", round_)
    shuffled = train.select("example_id", "stratum").with_columns(order=pl.Series(order)).sort("order", "example_id")
    pools: dict[str | None, np.ndarray] = {
        str(key[0]): part["example_id"].to_numpy() for key, part in shuffled.group_by("stratum")
    }
    pools[None] = shuffled["example_id"].to_numpy()
    return pools


def _requests_of(
    spec: DatasetSpec, round_: str, stratum: str, count: int, start: int, pool: np.ndarray
) -> pl.DataFrame:
    index = np.arange(start, start + count, dtype=np.int64)
    keys = pl.Series("request_id", index).cast(pl.String)
    request_ids = digest_column(keys, spec.name, round_, stratum)
    first = index % len(pool)
    width = min(spec.generation.exemplars, len(pool))
    steps = [derive_seeds(request_ids, spec.seed, "exemplar", j) % max(len(pool) - 1, 1) + 1 for j in range(1, width)]
    chosen = np.stack([first, *[(first + step) % len(pool) for step in steps]], axis=1)
    exemplars = pl.Series("prompted_by", pool[chosen], dtype=pl.Array(pl.String, width)).cast(pl.List(pl.String))
    return pl.DataFrame(
        {
            "request_id": request_ids,
            "attempt": pl.repeat(0, count, dtype=pl.Int32, eager=True),
            "stratum": pl.repeat(stratum, count, dtype=pl.String, eager=True),
            "seed": pl.Series(derive_seeds(request_ids, spec.seed, "generate", 0), dtype=pl.Int64),
            "prompted_by": exemplars.list.unique(maintain_order=True),
        }
    )
