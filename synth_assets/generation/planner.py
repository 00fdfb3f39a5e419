"""Planning a round: how many accepted examples per stratum, from which pinned inputs.

Here: capacity of the mix, allocation over strata, the pins. Not here: making requests (requests.py), engines.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from synth_assets.errors import GateError
from synth_assets.generation.engines import explain_engine, resolve_engine, resolve_generator
from synth_assets.generation.recipes import load_recipe
from synth_assets.records import RELEASABLE, TRAIN, apportion, digest_text
from synth_assets.spec import MAX_SHARE, DatasetSpec
from synth_assets.store import round_index

_FLOOR = 0.5
_MOST = 2.0


@dataclass(frozen=True)
class Plan:
    """strata: one row a stratum; settings: one row of pins.

    strata columns: stratum, real_train (train rows of any disposition), releasable (train rows that may leave),
    accepted_before, capacity (synthetic rows the mix can hold), weight, target, binding, exemplars (training rows that
    lead every second request of the stratum; none before there is feedback).
    settings columns: dataset, round, engine, generator, recipe, prompt_id, spec_digest, seeds_digest,
    contract_digest, feedback_digest, wanted, capacity, target, note.
    """

    strata: pl.DataFrame
    settings: pl.DataFrame

    @property
    def focus(self) -> dict[str, list[str]]:
        """Stratum → exemplars."""
        return dict(self.strata.select("stratum", "exemplars").iter_rows())


@dataclass(frozen=True)
class Pins:
    """The digests of everything a plan builds on; a candidate is checked against them."""

    seeds_digest: str
    contract_digest: str
    feedback_digest: str


def plan_round(
    spec: DatasetSpec,
    round_: str,
    seeds: pl.DataFrame,
    pins: Pins,
    *,
    accepted_before: Mapping[str, int],
    feedback: pl.DataFrame | None = None,
) -> Plan:
    """Return the plan of a round.

    The whole corpus can hold S = R·σ/(1−σ) synthetic rows, R the releasable training rows (times the upsampling cap,
    and never above 0.80 by physical rows), σ the share; no stratum with real rows takes more than 4 synthetic rows
    per real one. What is wanted beyond that is clamped, and the strata at their limit are marked `binding`.
    `feedback` (stratum, error, exemplars) from the round before moves a targeted allocation: a stratum with room
    gets at least half and at most double of its share of the real mix (more only where the others are full), and one
    row at the least; its exemplars are those of the feedback. A uniform allocation follows the real mix whatever was
    learned.
    GateError if a stratum without releasable real rows is not declared synthetic_only, and if nothing is left to make.
    """
    counts = count_strata(spec, seeds)
    _check_real_rows(spec, counts)
    strata = counts["stratum"].to_list()
    releasable = counts["releasable"].to_list()
    before = [accepted_before.get(stratum, 0) for stratum in strata]
    total_real = sum(releasable)
    capacity = spec.mix.capacity(total_real)
    wanted = spec.target_accepted if spec.target_accepted is not None else capacity
    remaining = max(min(wanted, capacity) - sum(before), 0)
    rounds_left = max(spec.rounds - round_index(round_), 1)
    target = math.ceil(remaining / rounds_left)
    if target == 0:
        raise GateError(_explain_full(spec, wanted, capacity, sum(before)))

    limits = [_stratum_limit(spec, stratum, real, capacity) for stratum, real in zip(strata, releasable, strict=True)]
    rooms = [max(limit - used, 0) for limit, used in zip(limits, before, strict=True)]
    mix = _real_mix(counts)
    lesson = feedback if spec.generation.allocation == "targeted" else None
    weights = _weights(counts, mix, lesson)
    targets = _allocate_within(target, weights, mix, rooms)
    rows = counts.with_columns(
        accepted_before=pl.Series(before, dtype=pl.Int64),
        capacity=pl.Series(limits, dtype=pl.Int64),
        weight=pl.Series(weights, dtype=pl.Float64),
        target=pl.Series(targets, dtype=pl.Int64),
        binding=pl.Series([t > 0 and t == room for t, room in zip(targets, rooms, strict=True)]),
        exemplars=_exemplars(counts, lesson),
    )
    recipe = load_recipe(spec.generation.recipe)
    settings = {
        "dataset": spec.name,
        "round": round_,
        "engine": resolve_engine(spec),
        "generator": resolve_generator(spec),
        "recipe": recipe.name,
        "prompt_id": digest_text(recipe.digest, *(f"{s}:{t}" for s, t in zip(strata, targets, strict=True))),
        "spec_digest": spec.digest,
        "seeds_digest": pins.seeds_digest,
        "contract_digest": pins.contract_digest,
        "feedback_digest": pins.feedback_digest,
        "wanted": wanted,
        "capacity": capacity,
        "target": sum(targets),
        "note": _explain(spec, wanted, capacity, total_real, rows),
    }
    return Plan(rows, pl.DataFrame([settings]))


def count_strata(spec: DatasetSpec, seeds: pl.DataFrame) -> pl.DataFrame:
    """Return stratum, real_train, releasable of every stratum seen in training, possible by the spec or declared."""
    train = seeds.filter(pl.col("split") == TRAIN)
    counted = train.group_by("stratum").agg(
        real_train=pl.len().cast(pl.Int64),
        releasable=(pl.col("disposition") == RELEASABLE).sum().cast(pl.Int64),
    )
    expected = {*spec.strata.synthetic_only}
    if len(spec.strata.by) == 1:
        expected |= set(spec.field(spec.strata.by[0]).values or ())
    missing = sorted(expected - set(counted["stratum"].to_list()))
    empty = pl.DataFrame(
        {"stratum": missing, "real_train": [0] * len(missing), "releasable": [0] * len(missing)}, schema=counted.schema
    )
    return pl.concat([counted, empty]).sort("stratum")


def _check_real_rows(spec: DatasetSpec, counts: pl.DataFrame) -> None:
    bare = counts.filter((pl.col("releasable") == 0) & ~pl.col("stratum").is_in(list(spec.strata.synthetic_only)))
    if not bare.is_empty():
        names = ", ".join(
            f"'{row['stratum']}' ({row['real_train']} training rows, none releasable)" for row in bare.to_dicts()
        )
        raise GateError(
            f"{spec.name}: no releasable real row in the training split of {names}. Add releasable rows, or list the "
            "stratum under strata.synthetic_only in dataset.yaml (it is then named on the method card), or remove it "
            "from the field's values"
        )
    if counts["releasable"].sum() == 0:
        raise GateError(
            f"{spec.name}: no releasable real row in the training split, so a mix of 20–40 % real rows is impossible; "
            "check license, consent and private rows in liability_audit"
        )


def _stratum_limit(spec: DatasetSpec, stratum: str, releasable: int, capacity: int) -> int:
    if releasable == 0 and stratum in spec.strata.synthetic_only:
        return capacity
    return math.floor(releasable * MAX_SHARE / (1 - MAX_SHARE) + 1e-9)


def _real_mix(counts: pl.DataFrame) -> pl.Series:
    """Return the training rows of each stratum; a stratum without any counts like the smallest."""
    real = counts["real_train"].cast(pl.Float64)
    return real.replace(0.0, real.filter(real > 0).min())


def _weights(counts: pl.DataFrame, mix: pl.Series, feedback: pl.DataFrame | None) -> list[float]:
    """Return the allocation weights: half of each follows the real mix, the other half the relative error.

    The mean error is that of a row of the real mix, so that the weights sum to what the mix does: half of a stratum's
    share of it is a floor.
    """
    if feedback is None or feedback.is_empty():
        return mix.to_list()
    errors = counts.join(feedback.select("stratum", "error"), on="stratum", how="left", maintain_order="left")["error"]
    known = errors.is_not_null()
    mean = float(np.average(errors.filter(known), weights=mix.filter(known))) if known.any() else 0.0
    if mean <= 0:
        return mix.to_list()
    return (mix * (_FLOOR + (1 - _FLOOR) * errors.fill_null(mean) / mean)).to_list()


def _exemplars(counts: pl.DataFrame, feedback: pl.DataFrame | None) -> pl.Series:
    nothing = pl.DataFrame(schema={"stratum": pl.String, "exemplars": pl.List(pl.String)})
    named = nothing if feedback is None else feedback.select("stratum", "exemplars")
    return counts.join(named, on="stratum", how="left", maintain_order="left")["exemplars"].fill_null([])


def _allocate_within(target: int, weights: list[float], mix: pl.Series, rooms: list[int]) -> list[int]:
    """Return targets by weight, none above twice its share of the mix unless the others are full, and none empty.

    A stratum that rounding leaves without a row takes one from the largest, as long as there is a row for each.
    """
    caps = [math.ceil(_MOST * target * share) for share in (mix / mix.sum()).to_list()]
    targets = _allocate(target, weights, [min(cap, room) for cap, room in zip(caps, rooms, strict=True)])
    left = [room - given for room, given in zip(rooms, targets, strict=True)]
    targets = [a + b for a, b in zip(targets, _allocate(target - sum(targets), weights, left), strict=True)]
    if sum(targets) >= sum(room > 0 for room in rooms):
        for i, room in enumerate(rooms):
            if room > 0 and targets[i] == 0:
                targets[targets.index(max(targets))] -= 1
                targets[i] += 1
    return targets


def _allocate(target: int, weights: list[float], rooms: list[int]) -> list[int]:
    """Return integer targets by weight, none above its room; what a full stratum cannot take goes to the others."""
    targets = [0] * len(weights)
    left = min(target, sum(rooms))
    while left > 0:
        open_ = [i for i in range(len(weights)) if targets[i] < rooms[i]]
        shares = apportion(left, [weights[i] for i in open_])
        given = 0
        for i, share in zip(open_, shares, strict=True):
            step = min(share, rooms[i] - targets[i])
            targets[i] += step
            given += step
        if given == 0:  # pragma: no cover - apportion always gives something to a positive weight
            break
        left -= given
    return targets


def _explain_full(spec: DatasetSpec, wanted: int, capacity: int, before: int) -> str:
    held = (
        f"target_accepted is {wanted:,}"
        if wanted < capacity
        else f"a {spec.mix.share:.0%} mix of the releasable real rows holds {capacity:,}"
    )
    more = "raise target_accepted" if wanted < capacity else f"add real rows or raise mix.share (up to {MAX_SHARE:g})"
    return (
        f"{spec.name}: nothing to generate: earlier rounds have {before:,} accepted rows, and {held}. To make others, "
        f"{more}, or recall what they should replace (synth recall)"
    )


def _explain(spec: DatasetSpec, wanted: int, capacity: int, real: int, rows: pl.DataFrame) -> str:
    notes = [told] if (told := explain_engine(spec)) else []
    if wanted > capacity:
        notes.append(
            f"target_accepted {wanted:,} is more than a {spec.mix.share:.0%} mix of {real:,} releasable real rows can "
            f"hold; clamped to {capacity:,}"
        )
    full = rows.filter("binding")["stratum"].to_list()
    if full:
        notes.append(f"at their limit: {', '.join(full[:10])}{' …' if len(full) > 10 else ''}")
    return "; ".join(notes)
