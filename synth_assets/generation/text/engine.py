"""The embedded text generator: from requests to completions, by walks over the texts of the training rows.

Here: the fitted engine, the places of text in a record, the other fields. Not here: the corpus (corpus.py), the walks
(walks.py), tables without free text (tabular/engine.py).

A walk follows its first exemplar word by word. Wherever the last two words (back-off: the last word) also stand in
another row of the stratum it may go on there, and where it can it does so before it has copied three words in a row:
long spans of one row would tell that it was in training. For the same reason it says only what several rows share
(`generation.min_support`): a first word, and pairs of words, of as many rows of the field. The continuation is drawn
from the conditional n-gram distribution, sharpened or flattened by temperature and cut to the top k; every walk is a
function of its request's seed alone. The generator is fitted on releasable rows: nothing that it writes depends on a
row that may not be exported.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from synth_assets.errors import EngineError
from synth_assets.generation.requests import INVALID, LENGTH, STOP, GeneratorInfo
from synth_assets.generation.text.corpus import Corpus, Units, build_corpus, hash_values, to_uniform, tokenize
from synth_assets.generation.text.walks import walk_corpus
from synth_assets.records import POLARS_TYPES, RELEASABLE, STRATUM_SEPARATOR, SYNTHESIS_ONLY, digest_text
from synth_assets.spec import DatasetSpec

VERSION = "spans-3"
BATCH = 16_384
_KEEP_CONTEXT = 0.8
_TOKENS_PER_WORD = 1.3


class TextEngine:
    """A generator fitted on training rows; see the module's docstring for the method."""

    def __init__(self, spec: DatasetSpec, seeds: pl.DataFrame) -> None:
        self.spec = spec
        self._seeds = seeds.sort("example_id")
        self._slots = _list_slots(self._seeds, spec)
        self._corpus = _index_texts(self._seeds, spec, self._slots)
        self._said = set((-1 - self._corpus.everywhere[self._corpus.starts]).tolist())
        self._row_of = {example: row for row, example in enumerate(self._seeds["example_id"].to_list())}
        self.info = _describe(spec, self._seeds, self._slots, self._corpus)

    @classmethod
    def fit(cls, seeds: pl.DataFrame, spec: DatasetSpec) -> TextEngine:
        """Fit on the releasable of the train rows: example_id, stratum, disposition and record columns.

        EngineError without text, or where no row is releasable.
        """
        if seeds.is_empty() or not spec.text_fields:
            raise EngineError(
                f"{spec.name}: the text generator needs training rows with a text, code or messages field"
            )
        rows = seeds.filter(pl.col("disposition") == RELEASABLE)
        if rows.is_empty():
            raise EngineError(
                f"{spec.name}: all {seeds.height:,} training rows are {SYNTHESIS_ONLY}, and the embedded text "
                "generator writes in the words of releasable rows alone; take a language model (generation.engine: "
                "vllm), or see the liability audit for what holds the rows back"
            )
        return cls(spec, rows.select("example_id", "stratum", "disposition", *(f.name for f in spec.content_fields)))

    def artifact(self) -> dict[str, pl.DataFrame]:
        """Return what the model is a function of: the member rows it was fitted on, by id."""
        return {"text": self._seeds.select("example_id", "stratum", "disposition")}

    def generate(self, requests: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Complete requests in frames of at most 16,384 rows; see requests.Engine. `prompted_by` of a completion
        names the rows whose spans are in it, the first exemplar first."""
        for part in requests.iter_slices(BATCH):
            yield self._complete(part)

    def _complete(self, requests: pl.DataFrame) -> pl.DataFrame:
        count = requests.height
        seeds = requests["seed"].to_numpy().astype(np.uint64)
        lead = requests["prompted_by"].list.first()
        known = lead.replace_strict(self._row_of, default=None, return_dtype=pl.Int64)
        first = known.fill_null(0).to_numpy()
        written = self._write_texts(first, seeds)
        # a stratum without releasable rows is led by a private one, of which nothing is said
        unsaid = known.is_null()
        reason = pl.select(pl.when(unsaid).then(pl.lit(INVALID)).otherwise(written.reason)).to_series()
        prompted_by = pl.select(
            pl.when(unsaid).then(requests["prompted_by"]).otherwise(written.prompted_by)
        ).to_series()
        others = self._draw_context(first, seeds, requests["stratum"])
        texts = {name: pl.select(pl.when(~unsaid).then(text)).to_series() for name, text in written.columns.items()}
        columns = {**others, **texts}
        return pl.DataFrame(
            {
                "request_id": requests["request_id"],
                "attempt": requests["attempt"],
                **{field.name: columns[field.name] for field in self.spec.content_fields},
                "prompted_by": prompted_by,
                "finish_reason": reason,
                "prompt_tokens": pl.repeat(0, count, dtype=pl.Int32, eager=True),
                "output_tokens": pl.Series(np.ceil(written.words * _TOKENS_PER_WORD), dtype=pl.Int32),
            }
        )

    def _write_texts(self, first: np.ndarray, seeds: np.ndarray) -> _Written:
        count = len(first)
        reason = np.full(count, STOP, dtype=object)
        words, sources = np.zeros(count, np.int64), []
        columns: dict[str, pl.Series] = {}
        for field in self.spec.text_fields:
            cap = (field.max_length, max(int(self.spec.generation.max_tokens / _TOKENS_PER_WORD), 1))
            turns: list[tuple[str, pl.Series]] = []
            for number, slot in enumerate(self._slots):
                if slot.field != field.name:
                    continue
                units = slot.unit_of_row[first]
                walks = np.flatnonzero(units >= 0)
                texts = pl.repeat(None, count, dtype=pl.String, eager=True)
                if number not in self._said:
                    reason[walks] = INVALID
                elif walks.size:
                    out = walk_corpus(self._corpus, units[walks], hash_values(seeds[walks], number), cap)
                    texts = texts.scatter(walks, out.texts) if walks.size < count else out.texts
                    reason[walks[out.cut]] = LENGTH
                    words[walks] += out.lengths
                    sources.append(pl.DataFrame({"walk": walks[out.source_walk], "row": out.source_row}))
                turns.append((slot.role, texts))
            columns[field.name] = turns[0][1] if field.type != "messages" else _join_turns(turns)
        used = pl.concat([pl.DataFrame({"walk": np.arange(count), "row": first}), *sources]).unique(maintain_order=True)
        exemplars = used.select("walk", prompted_by=self._seeds["example_id"].gather(used["row"]))
        prompted_by = exemplars.group_by("walk").agg("prompted_by").sort("walk")["prompted_by"]
        return _Written(columns, pl.Series(reason, dtype=pl.String), words, prompted_by)

    def _draw_context(self, first: np.ndarray, seeds: np.ndarray, strata: pl.Series) -> dict[str, pl.Series]:
        """Return the other fields: the strata's own values, else those of the first exemplar or of a row like it."""
        own = self._seeds["stratum"].gather(first)
        group = self._seeds["stratum"].rank("dense").to_numpy() - 1
        order = np.argsort(group, kind="stable")
        sizes = np.bincount(group)
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        mine = group[first]
        place = (to_uniform(hash_values(seeds, 901)) * sizes[mine]).astype(np.int64)
        source = np.where(to_uniform(hash_values(seeds, 902)) < _KEEP_CONTEXT, first, order[starts[mine] + place])
        drawn = {f.name: self._seeds[f.name].gather(source) for f in self.spec.content_fields if not f.is_free_text}
        foreign = (own != strata).to_numpy()
        for index, name in enumerate(self.spec.strata.by):
            kept = self._seeds[name].gather(first)
            if foreign.any():
                dtype = POLARS_TYPES[self.spec.field(name).type]
                told = strata.str.split(STRATUM_SEPARATOR).list.get(index, null_on_oob=True)
                told = told == "true" if dtype == pl.Boolean else told.cast(dtype)
                kept = pl.select(pl.when(pl.Series(foreign)).then(told).otherwise(kept)).to_series()
            drawn[name] = kept
        return drawn


@dataclass(frozen=True)
class _Written:
    """The text fields of a batch by name, and per request: finish reason, words, and the rows used, by example_id."""

    columns: dict[str, pl.Series]
    reason: pl.Series
    words: np.ndarray
    prompted_by: pl.Series


@dataclass(frozen=True)
class _Slot:
    """One place of text in the record: a field, or the n-th message of one. unit_of_row: −1 where a row has none."""

    field: str
    turn: int
    role: str
    texts: list[str | None]
    unit_of_row: np.ndarray


def _list_slots(seeds: pl.DataFrame, spec: DatasetSpec) -> list[_Slot]:
    slots: list[tuple[str, int, str, list[str | None]]] = []
    for field in spec.text_fields:
        values = seeds[field.name].to_list()
        if field.type != "messages":
            slots.append((field.name, 0, "", values))
            continue
        keys = sorted({(i, turn["role"]) for value in values for i, turn in enumerate(value or [])})
        for turn, role in keys:
            texts = [
                value[turn]["content"] if value and len(value) > turn and value[turn]["role"] == role else None
                for value in values
            ]
            slots.append((field.name, turn, role, texts))
    built, units = [], 0
    for name, turn, role, texts in slots:
        has = np.array([bool(text and text.strip()) for text in texts])
        unit = np.where(has, units + np.cumsum(has) - 1, -1)
        units += int(has.sum())
        built.append(_Slot(name, turn, role, texts, unit))
    return built


def _index_texts(seeds: pl.DataFrame, spec: DatasetSpec, slots: list[_Slot]) -> Corpus:
    stratum = seeds["stratum"].rank("dense").to_numpy().astype(np.int64)
    tokens, rows, numbers = [], [], []
    for number, slot in enumerate(slots):
        for row in np.flatnonzero(slot.unit_of_row >= 0):
            tokens.append(tokenize(slot.texts[row] or ""))
            rows.append(row)
            numbers.append(number)
    row = np.array(rows, np.int64)
    units = Units(tokens, row, stratum[row], np.array(numbers, np.int64), len(slots))
    generation = spec.generation
    corpus = build_corpus(units, generation.min_support, generation.temperature, generation.top_k or 0)
    if not corpus.starts.any():
        raise EngineError(
            f"{spec.name}: no text can be made of words that {generation.min_support} training rows share; "
            "lower generation.min_support, or leave it out"
        )
    return corpus


def _join_turns(turns: list[tuple[str, pl.Series]]) -> pl.Series:
    structs = [
        pl.select(pl.when(texts.is_not_null()).then(pl.struct(role=pl.lit(role), content=texts))).to_series()
        for role, texts in turns
    ]
    return pl.select(pl.concat_list(structs).list.drop_nulls()).to_series()


def _describe(spec: DatasetSpec, seeds: pl.DataFrame, slots: list[_Slot], corpus: Corpus) -> GeneratorInfo:
    members = tuple(seeds["example_id"].to_list())
    content = seeds.select(pl.struct(pl.all()).struct.json_encode()).to_series().to_list()
    support: dict[str, int] = {}
    for slot, least in zip(slots, corpus.support.tolist(), strict=True):
        support[slot.field] = min(least, support.get(slot.field, least))
    generation = spec.generation
    sampling = {"temperature": generation.temperature, "top_k": generation.top_k or 0, "min_support": support}
    digest = digest_text(VERSION, json.dumps(sampling, sort_keys=True), *content)
    return GeneratorInfo(
        generator_id=f"embedded-text-{digest[:12]}",
        engine="embedded",
        model="text",
        version=VERSION,
        trained_on=digest_text(*members),
        members=members,
        parameters=json.dumps(sampling, sort_keys=True),
    )
