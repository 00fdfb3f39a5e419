"""Waves: generate, filter, count, and go on until the plan's targets of accepted rows are met.

Here: the loop of one round and its bookkeeping. Not here: engines, discriminators (handed in as `judge`), Dagster.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from synth_assets.generation.planner import Plan
from synth_assets.generation.requests import Engine, GeneratorInfo, build_requests
from synth_assets.generation.shards import ShardFolder
from synth_assets.records import (
    IDENTITY_COLUMNS,
    LINEAGE_COLUMNS,
    SYNTHETIC,
    TRAIN,
    add_content_ids,
    polars_schema,
    synthetic_ids,
)
from synth_assets.spec import DatasetSpec

KEPT = "kept"
RESERVE = "reserve"
_FIRST_YIELD = 0.6
_LEAST_YIELD = 0.05
_MARGIN = 1.1


class Judged(Protocol):
    """What `judge` returns: see discriminators.cascade.Filtering."""

    @property
    def survivors(self) -> pl.DataFrame: ...

    @property
    def verdicts(self) -> pl.DataFrame: ...


@dataclass(frozen=True)
class Progress:
    """How far a round is; counts of requests in the wave and of accepted rows in the round."""

    wave: int
    done: int
    total: int
    accepted: int
    target: int
    tokens: int
    seconds: float


@dataclass(frozen=True)
class RoundResult:
    """candidates: every completion; verdicts: one row a candidate × discriminator; filtered: survivors with state.

    strata: stratum, target, candidates, kept, reserve, shortfall. usage: one row a wave (a ledger: holds seconds).
    stopped: target | max_waves | yield | tokens | seconds.
    """

    candidates: pl.DataFrame
    verdicts: pl.DataFrame
    filtered: pl.DataFrame
    strata: pl.DataFrame
    usage: pl.DataFrame
    stopped: str


def generate_round(
    spec: DatasetSpec,
    plan: Plan,
    seeds: pl.DataFrame,
    engine: Engine,
    judge: Callable[[pl.DataFrame, pl.DataFrame], Judged],
    shards: ShardFolder,
    *,
    report: Callable[[Progress], None] = lambda _: None,
) -> RoundResult:
    """Run waves until every stratum has its target, or max_waves, the yield floor or the budget ends the round.

    `judge(candidates, kept)` filters a wave against what the round kept so far. The same inputs give the same rows
    whatever the shard size and however often the run was killed; a time budget is the exception.
    """
    train = seeds.filter(pl.col("split") == TRAIN)
    targets = dict(plan.strata.select("stratum", "target").iter_rows())
    round_ = plan.settings["round"].item()
    kept = _Counts(targets)
    waves: list[_Wave] = []
    stopped = "target" if sum(targets.values()) == 0 else "max_waves"
    started = time.perf_counter()
    for wave in range(spec.generation.max_waves if sum(targets.values()) else 0):
        began = time.perf_counter()
        requests = build_requests(spec, round_, train, kept.requests_needed(), kept.issued)

        def tell(done: int, wave: int = wave, total: int = requests.height) -> None:
            seconds = time.perf_counter() - started
            report(Progress(wave, done, total, kept.accepted, sum(targets.values()), _tokens(waves), seconds))

        completions = shards.complete(engine, requests, wave=wave, size=spec.generation.shard_size, report=tell)
        candidates = as_candidates(spec, plan, requests, completions, engine.info)
        so_far = pl.concat([w.survivors for w in waves]) if waves else candidates.clear()
        judged = judge(candidates, so_far)
        waves.append(_Wave(candidates, judged.survivors, judged.verdicts, time.perf_counter() - began))
        kept.count(requests, judged.survivors)
        tell(requests.height)
        ended = _why_stop(spec, kept, waves, time.perf_counter() - started)
        if ended:
            stopped = ended
            break
    if not waves:
        nothing = _no_candidates(spec)
        judged = judge(nothing, nothing)
        waves.append(_Wave(nothing, judged.survivors, judged.verdicts, 0.0))
    return _collect(targets, waves, engine.info, stopped)


@dataclass(frozen=True)
class _Wave:
    candidates: pl.DataFrame
    survivors: pl.DataFrame
    verdicts: pl.DataFrame
    seconds: float


class _Counts:
    """What each stratum was asked for and what survived, to size the next wave."""

    def __init__(self, targets: dict[str, int]) -> None:
        self.targets = targets
        self.issued = dict.fromkeys(targets, 0)
        self.survived = dict.fromkeys(targets, 0)

    @property
    def accepted(self) -> int:
        return sum(min(self.survived[s], t) for s, t in self.targets.items())

    @property
    def complete(self) -> bool:
        return all(self.survived[s] >= t for s, t in self.targets.items())

    def requests_needed(self) -> dict[str, int]:
        """Return the next wave's requests by stratum: what is missing over the yield so far, and 10 % more."""
        needed = {}
        for stratum, target in self.targets.items():
            missing = target - self.survived[stratum]
            if missing > 0:
                issued = self.issued[stratum]
                seen = self.survived[stratum] / issued if issued else _FIRST_YIELD
                needed[stratum] = math.ceil(missing / max(seen, _LEAST_YIELD) * _MARGIN)
        return needed

    def count(self, requests: pl.DataFrame, survivors: pl.DataFrame) -> None:
        for stratum, issued in requests.group_by("stratum").len().iter_rows():
            self.issued[stratum] += issued
        for stratum, survived in survivors.group_by("stratum").len().iter_rows():
            self.survived[stratum] += survived


def _why_stop(spec: DatasetSpec, counts: _Counts, waves: list[_Wave], seconds: float) -> str | None:
    last = waves[-1]
    if counts.complete:
        return "target"
    if last.survivors.height < spec.generation.min_yield * last.candidates.height:
        return "yield"
    if spec.budget.tokens is not None and _tokens(waves) >= spec.budget.tokens:
        return "tokens"
    if spec.budget.seconds is not None and seconds >= spec.budget.seconds:
        return "seconds"
    return None


def _tokens(waves: list[_Wave]) -> int:
    return sum(int(wave.candidates["output_tokens"].sum()) for wave in waves)


def _no_candidates(spec: DatasetSpec) -> pl.DataFrame:
    return pl.DataFrame(schema={**IDENTITY_COLUMNS, **LINEAGE_COLUMNS, **polars_schema(spec.content_fields)})


def as_candidates(
    spec: DatasetSpec, plan: Plan, requests: pl.DataFrame, completions: pl.DataFrame, info: GeneratorInfo
) -> pl.DataFrame:
    """Return completions (in request order) as candidate rows: ids, lineage columns, content fields."""
    settings = plan.settings.row(0, named=True)
    fields = polars_schema(spec.content_fields)
    if "prompted_by" in completions.columns:  # the engine knows better which exemplars it used
        requests = requests.with_columns(completions["prompted_by"])
    joined = pl.concat(
        [requests, completions.select("finish_reason", "prompt_tokens", "output_tokens", *fields)], how="horizontal"
    )
    ids = synthetic_ids(spec.name, settings["round"], joined["request_id"], joined["attempt"])
    frame = joined.with_columns(
        ids,
        origin=pl.lit(SYNTHETIC),
        round=pl.lit(settings["round"]),
        generator_id=pl.lit(info.generator_id),
        trained_on=pl.lit(info.trained_on),
        prompt_id=pl.lit(settings["prompt_id"]),
        parameters=pl.lit(_parameters(spec, info)),
        watermark_key_id=pl.lit(None, dtype=pl.String),
        parents=pl.lit([], dtype=pl.List(pl.String)),
    )
    frame = add_content_ids(frame, spec)
    return frame.select("example_id", "content_id", "origin", "stratum", *LINEAGE_COLUMNS, *fields).cast(
        {**LINEAGE_COLUMNS, **fields}  # type: ignore[arg-type] - polars types a mapping invariantly
    )


def _parameters(spec: DatasetSpec, info: GeneratorInfo) -> str:
    sampling = {"temperature": spec.generation.temperature, "top_k": spec.generation.top_k}
    return json.dumps({**sampling, **json.loads(info.parameters)}, sort_keys=True)


def _collect(targets: dict[str, int], waves: list[_Wave], info: GeneratorInfo, stopped: str) -> RoundResult:
    candidates = pl.concat([wave.candidates for wave in waves])
    survivors = pl.concat([wave.survivors for wave in waves])
    verdicts = pl.concat([wave.verdicts for wave in waves])
    position = pl.int_range(pl.len()).over("stratum")
    limit = pl.col("stratum").replace_strict(targets, default=0, return_dtype=pl.Int64)
    filtered = survivors.with_columns(state=pl.when(position < limit).then(pl.lit(KEPT)).otherwise(pl.lit(RESERVE)))
    return RoundResult(
        candidates=candidates,
        verdicts=verdicts,
        filtered=filtered,
        strata=_count_strata(targets, candidates, filtered),
        usage=_usage(waves, info),
        stopped=stopped,
    )


def _count_strata(targets: dict[str, int], candidates: pl.DataFrame, filtered: pl.DataFrame) -> pl.DataFrame:
    strata = pl.DataFrame(
        {"stratum": list(targets), "target": list(targets.values())},
        schema_overrides={"target": pl.Int64, "stratum": pl.String},
    )
    made = candidates.group_by("stratum").agg(candidates=pl.len().cast(pl.Int64))
    states = filtered.group_by("stratum").agg(
        kept=(pl.col("state") == KEPT).sum().cast(pl.Int64), reserve=(pl.col("state") == RESERVE).sum().cast(pl.Int64)
    )
    return (
        strata.join(made, on="stratum", how="left")
        .join(states, on="stratum", how="left")
        .with_columns(pl.col("candidates", "kept", "reserve").fill_null(0))
        .with_columns(shortfall=pl.col("target") - pl.col("kept"))
        .sort("stratum")
    )


def _usage(waves: list[_Wave], info: GeneratorInfo) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "wave": number,
                "requests": wave.candidates.height,
                "completions": wave.candidates.height,
                "accepted": wave.survivors.height,
                "prompt_tokens": int(wave.candidates["prompt_tokens"].sum() or 0),
                "output_tokens": int(wave.candidates["output_tokens"].sum() or 0),
                "seconds": wave.seconds,
                "generator_id": info.generator_id,
            }
            for number, wave in enumerate(waves)
        ]
    )
