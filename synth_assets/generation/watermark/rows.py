"""A keyed mark in rows of the embedded engines, tables and text, that leaves their distribution alone.

Here: the engine that draws several drafts of a row and keeps one by a keyed tournament, and the detector of the rows it
kept. Not here: which parts of a row carry the mark (units.py), the statistics (evidence.py), language models
(green_list.py).

Drafts of a request are paired off. In each round of the tournament every unit of a row has one keyed bit, and of two
drafts the one with more ones beyond half its units goes on; a tie goes to the first. Flipping all bits of a round swaps
winner and loser, so for any two drafts each wins with half of all keys: over keys, the row that is kept has exactly the
distribution of a single draft, however often drafts repeat. (The greenest of all drafts at once would not do: drafts
that repeat would lose.) The tournament is that of SynthID-Text (Dathathri et al. 2024, Nature 634), on rows in place of
tokens.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import repeat

import numpy as np
import polars as pl

from synth_assets.errors import EngineError
from synth_assets.generation.requests import STOP, Engine, GeneratorInfo
from synth_assets.generation.watermark.evidence import Detection, weigh_evidence
from synth_assets.generation.watermark.keys import ROWS, Key
from synth_assets.generation.watermark.units import Layout, choose_layout, list_units
from synth_assets.records import derive_seeds, digest_text
from synth_assets.spec import DatasetSpec, WatermarkSpec

FRAME_ROWS = 4096
"""Requests at a time; their drafts and units are held in memory together."""


class MarkedEngine:
    """An embedded engine whose rows carry the mark.

    A completion is that of one of `generation.watermark.draws` drafts: the request's own and others whose seeds are
    derived from the request's, so that request and key are enough to make it again; no column tells which draft it is.
    A draft that did not stop loses against one that did. Tokens are those of the draft that was kept.
    """

    def __init__(self, engine: Engine, spec: DatasetSpec, key: Key, seeds: pl.DataFrame) -> None:
        """Wrap an engine; seeds: the training rows that it was fitted on, whose own parts carry no mark.

        EngineError where the seeds repeat so much that a mark would show in how often a value comes up.
        """
        self._engine, self._spec, self._key = engine, spec, key
        self._draws = (spec.generation.watermark or WatermarkSpec()).draws
        self._layout = choose_layout(seeds, spec)
        if not self._layout.carries:
            raise EngineError(
                f"{spec.name}: generation.watermark: rows have no free text and too few different values to carry a "
                "mark unseen; take `watermark` out of the spec, or add a field with many different values"
            )
        self._known = list_units(seeds, spec, self._layout).select("unit").unique()
        self._info = _describe(engine.info, key, self._draws, self._layout)

    @property
    def info(self) -> GeneratorInfo:
        """The wrapped engine's, with an id of its own and the mark among its parameters."""
        return self._info

    def artifact(self) -> dict[str, pl.DataFrame]:
        """Return the wrapped engine's tables: the mark adds nothing that was learned."""
        return self._engine.artifact()

    def generate(self, requests: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Complete requests in frames of at most 4,096 rows; see requests.Engine."""
        for part in requests.iter_slices(FRAME_ROWS):
            yield self._complete(part)

    def _complete(self, requests: pl.DataFrame) -> pl.DataFrame:
        drafts = pl.concat([self._draw(requests, draft) for draft in range(self._draws)])
        stops = (drafts["finish_reason"] == STOP).to_numpy().reshape(self._draws, -1)
        units = list_units(drafts, self._spec, self._layout).join(self._known, on="unit", how="anti")
        excess = _measure_excess(units, drafts.height, self._key, count_rounds(self._draws))
        kept = _play(excess.reshape(len(excess), self._draws, -1), stops)
        return drafts[kept * requests.height + np.arange(requests.height)]

    def _draw(self, requests: pl.DataFrame, draft: int) -> pl.DataFrame:
        if draft:
            seeds = derive_seeds(requests["seed"].cast(pl.String), "watermark", draft)
            requests = requests.with_columns(seed=pl.Series(seeds, dtype=pl.Int64))
        return pl.concat(list(self._engine.generate(requests)))


def detect_rows(
    frame: pl.DataFrame,
    spec: DatasetSpec,
    key: Key,
    *,
    layout: Layout | None = None,
    seeds: pl.DataFrame | None = None,
    draws: int | None = None,
) -> Detection:
    """Look for the mark of an embedded engine in rows: the spec's fields, as far as there are any, and example_id.

    layout: how the rows were marked (read_row_mark of the generator's parameters); left out, it is found on the seeds,
    or on the rows themselves. seeds: rows the engine was fitted on; what stands in them is not counted, since the
    engine had no choice of it, and the mark shows more clearly. draws: left out, the spec's. scored and green count
    keyed bits: one a unit and round of the tournament.
    """
    layout = layout or choose_layout(frame if seeds is None else seeds, spec)
    units = list_units(frame, spec, layout)
    if seeds is not None:
        units = units.join(list_units(seeds, spec, layout).select("unit").unique(), on="unit", how="anti")
    rounds = count_rounds(draws or (spec.generation.watermark or WatermarkSpec()).draws)
    distinct = units.select("unit").unique(maintain_order=True)
    ones = np.bitwise_count(_hash_units(distinct["unit"], key) & np.uint64((1 << rounds) - 1))
    scores = distinct.with_columns(green=pl.Series(ones).cast(pl.Int64), scored=pl.lit(rounds, pl.Int64))
    numbers = pl.int_range(frame.height, dtype=pl.UInt32, eager=True)
    names = frame["example_id"] if "example_id" in frame.columns else numbers
    return weigh_evidence(names, units.join(scores, on="unit", how="left"), 0.5)


def read_row_mark(parameters: str) -> tuple[str, int, Layout] | None:
    """Return (key id, draws, layout) from a generator's parameters, None where they tell of no mark in rows."""
    told = json.loads(parameters).get("watermark") or {}
    if "groups" not in told:
        return None
    groups = tuple(tuple(group) for group in told["groups"])
    return told["key_id"], told["draws"], Layout(tuple(told["texts"]), groups)


def count_rounds(draws: int) -> int:
    """Return the rounds of a tournament of so many drafts."""
    return (draws - 1).bit_length()


def _describe(info: GeneratorInfo, key: Key, draws: int, layout: Layout) -> GeneratorInfo:
    mark = {"key_id": key.key_id, "draws": draws, "texts": layout.texts, "groups": layout.groups}
    parameters = json.dumps({**json.loads(info.parameters), "watermark": mark}, sort_keys=True)
    digest = digest_text(json.dumps(mark, sort_keys=True), size=4)
    return replace(
        info,
        generator_id=f"{info.generator_id}-marked-{digest}",
        parameters=parameters,
        watermark_key_id=key.key_id,
    )


def _measure_excess(units: pl.DataFrame, height: int, key: Key, rounds: int) -> np.ndarray:
    """Return the ones beyond half of each row's distinct units, shape (rounds, height)."""
    own = units.unique(["record", "unit"])
    distinct = own.select("unit").unique(maintain_order=True)
    hashed = distinct.with_columns(hash=pl.Series(_hash_units(distinct["unit"], key), dtype=pl.UInt64))
    told = own.join(hashed, on="unit", how="left")
    bits, record = told["hash"].to_numpy(), told["record"].to_numpy()
    signs = [(bits >> np.uint64(round_) & np.uint64(1)).astype(np.float64) - 0.5 for round_ in range(rounds)]
    return np.stack([np.bincount(record, sign, height) for sign in signs])


def _play(excess: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Return the draft that wins each row's tournament; excess: (rounds, drafts, rows), stops: (drafts, rows).

    Neighbors meet; of an odd number the last goes on without a match.
    """
    drafts, height = stops.shape
    players = np.tile(np.arange(drafts)[:, None], (1, height))
    for scores in excess:
        pairs = len(players) // 2
        first, second = players[0 : 2 * pairs : 2], players[1 : 2 * pairs : 2]
        stopped = [np.take_along_axis(stops, side, 0) for side in (first, second)]
        scored = [np.take_along_axis(scores, side, 0) for side in (first, second)]
        wins = np.where(stopped[0] == stopped[1], scored[1] > scored[0], stopped[1])
        players = np.concatenate([np.where(wins, second, first), players[2 * pairs :]])
    return players[0]


def _hash_units(units: pl.Series, key: Key) -> np.ndarray:
    """Return 64 keyed bits a unit, by BLAKE2b; a loop, since no keyed hash of text is vectorized."""
    base = hashlib.blake2b(key=key.derive(ROWS), digest_size=8)

    def one(unit: str, base: hashlib.blake2b) -> int:
        state = base.copy()
        state.update(unit.encode())
        return int.from_bytes(state.digest(), "little")

    return np.fromiter(map(one, units.to_list(), repeat(base)), dtype=np.uint64, count=len(units))
