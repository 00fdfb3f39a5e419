"""What a generator is asked and what it answers: the one protocol of all engines.

Here: GeneratorInfo, the request and completion frames, building the requests of a wave. Not here: any engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import polars as pl

from synth_assets.records import RELEASABLE, derive_seeds, derive_uniforms, digest_column
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
    here; `parameters` is JSON with sorted keys; `watermark_key_id` tells which key marked what it made, if any.
    """

    generator_id: str
    engine: str
    model: str
    version: str
    trained_on: str
    members: tuple[str, ...]
    parameters: str
    watermark_key_id: str | None = None


class Engine(Protocol):
    """A generator. The same frame of requests gives the same completions, in another process too.

    With the embedded engines a request's completion does not even depend on what stands beside it in the frame; a
    language model's batches do, which is why shards have a fixed membership.
    """

    @property
    def info(self) -> GeneratorInfo: ...

    def generate(self, requests: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Complete every request (REQUEST_SCHEMA), in frames of any size, in request order.

        Completion columns: request_id, attempt, the spec's content fields, finish_reason (stop | length | invalid, and
        what language/protocol.py adds), prompt_tokens, output_tokens. Where the engine knows better than the request:
        prompted_by (the exemplars it used) and seed. An engine that asks again what failed gives one row an attempt,
        in order, the last one being its answer; output_token_ids, answer and fault are described in language/engine.py.
        An engine that was given an allowance leaves out the requests that it could not begin before it ended.
        """
        ...

    def artifact(self) -> dict[str, pl.DataFrame]:
        """Return the fitted model as tables, for the lake."""
        ...


@runtime_checkable
class MeteredEngine(Engine, Protocol):
    """An engine that books what it spends on the round's allowance itself, call by call.

    done: requests of the present `generate` that have their last completion. shard_size: requests in a shard where the
    spec does not say.
    """

    @property
    def done(self) -> int: ...

    @property
    def shard_size(self) -> int: ...


def build_requests(
    spec: DatasetSpec,
    round_: str,
    train: pl.DataFrame,
    counts: Mapping[str, int],
    issued: Mapping[str, int],
    *,
    focus: Mapping[str, Sequence[str]] | None = None,
) -> pl.DataFrame:
    """Return the requests of a wave (REQUEST_SCHEMA): `counts[stratum]` new ones after `issued[stratum]` earlier ones.

    Every releasable training row of a stratum is the first exemplar equally often, in a shuffled order, so that no
    rare row is left out; the other exemplars, private rows among them, are drawn by the request's own hash. A private
    row leads only where a stratum has no other, since generators lean on the first exemplar most. A stratum without
    training rows takes exemplars from all strata. focus: stratum → training rows (ids) that lead every second request
    of it, in turn; what may not lead, or is not there any more, is passed over.
    """
    pools, focus = _exemplar_pools(spec, round_, train), focus or {}
    frames = [
        _requests_of(
            spec,
            round_,
            stratum,
            count,
            issued.get(stratum, 0),
            pools.get(stratum, pools[None]),
            focus.get(stratum, ()),
        )
        for stratum, count in sorted(counts.items())
        if count > 0
    ]
    return pl.concat(frames) if frames else pl.DataFrame(schema=REQUEST_SCHEMA)


@dataclass(frozen=True)
class _Pool:
    """Exemplars of a stratum by id, shuffled, those that may lead first; `leads`: how many."""

    ids: np.ndarray
    leads: int


def _exemplar_pools(spec: DatasetSpec, round_: str, train: pl.DataFrame) -> dict[str | None, _Pool]:
    order = derive_uniforms(train["example_id"], spec.seed, "exemplars", round_)
    shuffled = train.select("example_id", "stratum", private=pl.col("disposition") != RELEASABLE).with_columns(
        order=pl.Series(order)
    )
    ordered = shuffled.sort("private", "order", "example_id")
    pools: dict[str | None, _Pool] = {str(key[0]): _pool_of(part) for key, part in ordered.group_by("stratum")}
    pools[None] = _pool_of(ordered)
    return pools


def _pool_of(rows: pl.DataFrame) -> _Pool:
    return _Pool(rows["example_id"].to_numpy(), int((~rows["private"]).sum()) or rows.height)


def _choose_leads(index: np.ndarray, pool: _Pool, focus: Sequence[str]) -> np.ndarray:
    """Return which exemplar of the pool leads each request."""
    places = {name: place for place, name in enumerate(pool.ids[: pool.leads])}
    wanted = np.array([places[name] for name in focus if name in places], dtype=np.int64)
    if not wanted.size:
        return index % pool.leads
    turn = index // 2
    return np.where(index % 2 == 0, turn % pool.leads, wanted[turn % wanted.size])


def _requests_of(
    spec: DatasetSpec, round_: str, stratum: str, count: int, start: int, pool: _Pool, focus: Sequence[str]
) -> pl.DataFrame:
    index = np.arange(start, start + count, dtype=np.int64)
    keys = pl.Series("request_id", index).cast(pl.String)
    request_ids = digest_column(keys, spec.name, round_, stratum)
    first, size = _choose_leads(index, pool, focus), len(pool.ids)
    width = min(spec.generation.exemplars, size)
    steps = [derive_seeds(request_ids, spec.seed, "exemplar", j) % max(size - 1, 1) + 1 for j in range(1, width)]
    chosen = np.stack([first, *[(first + step) % size for step in steps]], axis=1)
    exemplars = pl.Series("prompted_by", pool.ids[chosen], dtype=pl.Array(pl.String, width)).cast(pl.List(pl.String))
    return pl.DataFrame(
        {
            "request_id": request_ids,
            "attempt": pl.repeat(0, count, dtype=pl.Int32, eager=True),
            "stratum": pl.repeat(stratum, count, dtype=pl.String, eager=True),
            "seed": pl.Series(derive_seeds(request_ids, spec.seed, "generate", 0), dtype=pl.Int64),
            "prompted_by": exemplars.list.unique(maintain_order=True),
        }
    )
