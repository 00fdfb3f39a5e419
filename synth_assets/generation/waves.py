"""Waves: generate, filter, count, and go on until the plan's targets of accepted rows are met.

Here: the loop of one round and its bookkeeping. Not here: engines, discriminators (handed in as `judge`), Dagster.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from synth_assets.generation.allowance import Allowance
from synth_assets.generation.planner import Plan
from synth_assets.generation.requests import Engine, GeneratorInfo, MeteredEngine, build_requests
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
DEFAULT_SHARD_SIZE = 4096


_DESCRIBED = re.compile(r"wave \d+: ([\d,]+)/([\d,]+) requests")


Select = Callable[[pl.DataFrame, pl.DataFrame, Mapping[str, int]], pl.Series]


class Judged(Protocol):
    """What `judge` returns: see discriminators.cascade.Filtering."""

    @property
    def survivors(self) -> pl.DataFrame: ...

    @property
    def verdicts(self) -> pl.DataFrame: ...


@dataclass(frozen=True)
class Progress:
    """How far a round is; done and total count requests of the wave, the rest the whole round.

    accepted counts rows from the requests_judged first requests, which is what has been through the cascade.
    """

    wave: int
    done: int
    total: int
    accepted: int
    target: int
    tokens: int
    seconds: float
    requests_before: int = 0
    requests_judged: int = 0

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds to the end of the wave at the round's pace; None before there is one."""
        made = self.requests_before + self.done
        return (self.total - self.done) * self.seconds / made if made else None

    @property
    def accepted_share(self) -> float | None:
        """Accepted rows a request, of the requests whose answers were judged; None before there are any."""
        return self.accepted / self.requests_judged if self.requests_judged else None

    def describe(self) -> str:
        """Return the progress in one line, for logs."""
        left = "" if self.seconds_left is None else f", {self.seconds_left:,.0f} s left in this wave"
        share = "" if self.accepted_share is None else f", yield {self.accepted_share:.0%}"
        return (
            f"wave {self.wave}: {self.done:,}/{self.total:,} requests, {self.accepted:,}/{self.target:,} accepted"
            f"{share}, {self.tokens_per_second:,.0f} tokens/s{left}"
        )


def read_progress(line: str) -> tuple[int, int] | None:
    """Return done and total of a wave from a line that Progress.describe wrote; None for any other line."""
    found = _DESCRIBED.match(line)
    return (int(found[1].replace(",", "")), int(found[2].replace(",", ""))) if found else None


@dataclass(frozen=True)
class RoundResult:
    """candidates: every completion; verdicts: one row a candidate × discriminator; filtered: survivors with state.

    strata: stratum, target, candidates, kept, reserve, shortfall. usage: one row a wave (a ledger: holds seconds).
    completions: example_id, output_token_ids, answer, fault of what a language model wrote; None for other engines.
    stopped: target | max_waves | yield | tokens | seconds | money.
    """

    candidates: pl.DataFrame
    verdicts: pl.DataFrame
    filtered: pl.DataFrame
    strata: pl.DataFrame
    usage: pl.DataFrame
    completions: pl.DataFrame | None
    stopped: str

    def explain(self) -> str:
        """Return why the round stopped, what is missing and why candidates were rejected, in one line."""
        target, short = int(self.strata["target"].sum()), int(self.strata["shortfall"].sum())
        reasons = (
            self.verdicts.filter(~pl.col("passed"))
            .group_by("discriminator", "reason")
            .len()
            .sort("len", descending=True)
        )
        told = ", ".join(f"{row[0]}: {row[1]} {row[2]:,}" for row in reasons.head(5).iter_rows())
        why = f"; {reasons['len'].sum():,} rejected ({told})" if reasons.height else ""
        got = f"{target - short:,} of {target:,} accepted from {self.candidates.height:,} completions"
        return f"stopped by {_STOPS[self.stopped]}: {got}{why}"


_STOPS = {
    "target": "reaching the target",
    "max_waves": "generation.max_waves",
    "yield": "a yield below generation.min_yield",
    "tokens": "budget.tokens",
    "seconds": "budget.seconds",
    "money": "budget.money",
}


def generate_round(
    spec: DatasetSpec,
    plan: Plan,
    seeds: pl.DataFrame,
    engine: Engine,
    judge: Callable[[pl.DataFrame, pl.DataFrame], Judged],
    shards: ShardFolder,
    *,
    allowance: Allowance | None = None,
    select: Select | None = None,
    report: Callable[[Progress], None] = lambda _: None,
) -> RoundResult:
    """Run waves until every stratum has its target, or max_waves, the yield floor or the budget ends the round.

    `judge(candidates, kept)` filters a wave against what the round kept so far. `select(candidates, survivors,
    targets)` says which survivors are kept where there are more than the target; left out, the first ones. `allowance`
    is the one the engine asks; left out, the spec's budget is held between shards. The same inputs give the same rows
    however often the run was killed (with the embedded engines whatever the shard size), unless time ends the round.
    """
    allowance = allowance or Allowance.of(spec)
    train = seeds.filter(pl.col("split") == TRAIN)
    targets = dict(plan.strata.select("stratum", "target").iter_rows())
    default = engine.shard_size if isinstance(engine, MeteredEngine) else DEFAULT_SHARD_SIZE
    size = spec.generation.shard_size or default
    round_ = plan.settings["round"].item()
    kept = _Counts(targets)
    waves: list[_Wave] = []
    stopped = "target" if sum(targets.values()) == 0 else "max_waves"
    for wave in range(spec.generation.max_waves if sum(targets.values()) else 0):
        began, spent = time.perf_counter(), allowance.spent_tokens
        before = sum(kept.issued.values())
        requests = build_requests(spec, round_, train, kept.requests_needed(), kept.issued, focus=plan.focus)

        def tell(done: int, wave: int = wave, total: int = requests.height, before: int = before) -> None:
            judged = sum(kept.issued.values())
            tokens, target = allowance.spent_tokens, sum(targets.values())
            report(Progress(wave, done, total, kept.accepted, target, tokens, allowance.seconds, before, judged))

        completions = shards.complete(engine, requests, wave=wave, size=size, allowance=allowance, report=tell)
        candidates = as_candidates(spec, plan, requests, completions, engine.info)
        so_far = pl.concat([w.survivors for w in waves]) if waves else candidates.clear()
        judged = judge(candidates, so_far)
        written = written_by_model(candidates, completions)
        begun = requests.filter(pl.col("request_id").is_in(completions["request_id"].implode()))
        tokens, seconds = allowance.spent_tokens - spent, time.perf_counter() - began
        waves.append(_Wave(candidates, judged.survivors, judged.verdicts, written, begun.height, tokens, seconds))
        kept.count(begun, judged.survivors)
        tell(begun.height)
        ended = _why_stop(spec, kept, waves[-1], allowance)
        if ended:
            stopped = ended
            break
    if not waves:
        nothing = _no_candidates(spec)
        judged = judge(nothing, nothing)
        waves.append(_Wave(nothing, judged.survivors, judged.verdicts, None, 0, 0, 0.0))
    return _collect(targets, waves, engine.info, stopped, select or _select_first)


@dataclass(frozen=True)
class _Wave:
    candidates: pl.DataFrame
    survivors: pl.DataFrame
    verdicts: pl.DataFrame
    written: pl.DataFrame | None
    requests: int
    output_tokens: int  # a judge's too
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


def _why_stop(spec: DatasetSpec, counts: _Counts, last: _Wave, allowance: Allowance) -> str | None:
    if counts.complete:
        return "target"
    if allowance.ended:
        return allowance.ended
    if last.survivors.height < spec.generation.min_yield * last.requests:
        return "yield"
    return None


def _no_candidates(spec: DatasetSpec) -> pl.DataFrame:
    return pl.DataFrame(schema={**IDENTITY_COLUMNS, **LINEAGE_COLUMNS, **polars_schema(spec.content_fields)})


def as_candidates(
    spec: DatasetSpec, plan: Plan, requests: pl.DataFrame, completions: pl.DataFrame, info: GeneratorInfo
) -> pl.DataFrame:
    """Return completions as candidate rows, in their order: ids, lineage columns, content fields."""
    settings = plan.settings.row(0, named=True)
    fields = polars_schema(spec.content_fields)
    known = [name for name in ("attempt", "seed", "prompted_by") if name in completions.columns]
    made = completions.select("request_id", *known, "finish_reason", "prompt_tokens", "output_tokens", *fields)
    joined = made.join(requests.drop(known), on="request_id", how="left", maintain_order="left")
    ids = synthetic_ids(spec.name, settings["round"], joined["request_id"], joined["attempt"])
    frame = joined.with_columns(
        ids,
        origin=pl.lit(SYNTHETIC),
        round=pl.lit(settings["round"]),
        generator_id=pl.lit(info.generator_id),
        trained_on=pl.lit(info.trained_on),
        prompt_id=pl.lit(settings["prompt_id"]),
        parameters=pl.lit(_parameters(spec, info)),
        watermark_key_id=pl.lit(info.watermark_key_id, dtype=pl.String),
        parents=pl.lit([], dtype=pl.List(pl.String)),
    )
    frame = add_content_ids(frame, spec)
    return frame.select("example_id", "content_id", "origin", "stratum", *LINEAGE_COLUMNS, *fields).cast(
        {**LINEAGE_COLUMNS, **fields}  # type: ignore[arg-type] - polars types a mapping invariantly
    )


def written_by_model(candidates: pl.DataFrame, completions: pl.DataFrame) -> pl.DataFrame | None:
    """Return what a language model wrote, row by row: example_id, output_token_ids, answer, fault; else None."""
    if "output_token_ids" not in completions.columns:
        return None
    return completions.select(candidates["example_id"], "output_token_ids", "answer", "fault")


def _parameters(spec: DatasetSpec, info: GeneratorInfo) -> str:
    sampling = {"temperature": spec.generation.temperature, "top_k": spec.generation.top_k or 0}
    return json.dumps({**sampling, **json.loads(info.parameters)}, sort_keys=True)


def _select_first(_: pl.DataFrame, survivors: pl.DataFrame, targets: Mapping[str, int]) -> pl.Series:
    limit = pl.col("stratum").replace_strict(dict(targets), default=0, return_dtype=pl.Int64)
    return survivors.select(pl.int_range(pl.len()).over("stratum") < limit).to_series()


def _collect(
    targets: dict[str, int], waves: list[_Wave], info: GeneratorInfo, stopped: str, select: Select
) -> RoundResult:
    candidates = pl.concat([wave.candidates for wave in waves])
    survivors = pl.concat([wave.survivors for wave in waves])
    verdicts = pl.concat([wave.verdicts for wave in waves])
    kept = select(candidates, survivors, targets)
    filtered = survivors.with_columns(state=pl.when(kept).then(pl.lit(KEPT)).otherwise(pl.lit(RESERVE)))
    written = [wave.written for wave in waves if wave.written is not None]
    return RoundResult(
        candidates=candidates,
        verdicts=verdicts,
        filtered=filtered,
        strata=_count_strata(targets, candidates, filtered),
        usage=_usage(waves, info),
        completions=pl.concat(written) if written else None,
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
                "requests": wave.requests,
                "completions": wave.candidates.height,
                "accepted": wave.survivors.height,
                "prompt_tokens": int(wave.candidates["prompt_tokens"].sum() or 0),
                "output_tokens": wave.output_tokens,
                "seconds": wave.seconds,
                "generator_id": info.generator_id,
            }
            for number, wave in enumerate(waves)
        ]
    )
