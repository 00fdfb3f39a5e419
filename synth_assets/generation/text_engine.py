"""The embedded text generator: spans of training rows recombined where their contexts agree. No GPU, no download.

Here: the fitted corpus index, and walks over it, many at once. Not here: tables without free text (tabular/engine.py).

A walk follows its first exemplar word by word. Wherever the last two words (back-off: the last word) also stand in
another row of the stratum it may go on there, and where it can it does so before it has copied three words in a row:
long spans of one row would tell that it was in training. With `generation.context_words` 1 it looks at the last word
alone, and may change at every word. The continuation is drawn from the conditional n-gram distribution, sharpened or
flattened by temperature and cut to the top k; every walk is a function of its request's seed alone. The generator is
fitted on releasable rows: nothing that it writes depends on a row that may not be exported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from synth_assets.errors import EngineError
from synth_assets.generation.requests import INVALID, LENGTH, STOP, GeneratorInfo
from synth_assets.records import POLARS_TYPES, RELEASABLE, STRATUM_SEPARATOR, SYNTHESIS_ONLY, digest_text
from synth_assets.similarity import WORD
from synth_assets.spec import DatasetSpec

VERSION = "spans-2"
BATCH = 16_384
_LEAST_SPAN, _LONG_SPAN = 2, 3
_SWITCH_BIGRAM, _SWITCH_UNIGRAM = 0.55, 0.12
_KEEP_CONTEXT = 0.8
_TOKENS_PER_WORD = 1.3
_SPACELESS = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff"  # Thai, Lao, kana, Han: written without spaces
_TOKEN = re.compile(rf"\s*(?:[{_SPACELESS}]|[^\s{_SPACELESS}]+)")


def tokenize(text: str) -> list[str]:
    """Split text into tokens that keep the space before them; scripts without spaces go by character."""
    return _TOKEN.findall(text.strip())


@dataclass(frozen=True)
class _Choices:
    """Where a walk may go on after a context: positions grouped by context, with cumulative sampling weights."""

    position: np.ndarray
    cumulative: np.ndarray | None
    low: np.ndarray
    high: np.ndarray

    def draw(self, at: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """Return for each current position one whose context is the same, drawn by weight (None: all the same)."""
        if self.cumulative is None:
            low = self.low[at]
            return self.position[low + (uniform * (self.high[at] - low)).astype(np.int64)]
        base = self.cumulative[self.low[at]]
        target = base + uniform * (self.cumulative[self.high[at]] - base)
        found = np.searchsorted(self.cumulative, target, side="right") - 1
        return self.position[np.clip(found, self.low[at], self.high[at] - 1)]


@dataclass(frozen=True)
class _Corpus:
    """All tokens of all units (a text field, or one message, of one row), laid end to end.

    words, row: per position. unit_start: first position of a unit. bigram, unigram: choices after each
    position, within stratum and slot. size: words as the leakage rule counts them. ahead: words to the next position
    where another row could take over, or to the end; final: none is left. last: whether the text ends after a
    position. context: `generation.context_words`.
    """

    words: pl.Series
    unit_start: np.ndarray
    row: np.ndarray
    size: np.ndarray
    ahead: np.ndarray
    final: np.ndarray
    last: np.ndarray
    bigram: _Choices
    unigram: _Choices
    context: int


class TextEngine:
    """A generator fitted on training rows; see the module's docstring for the method."""

    def __init__(self, spec: DatasetSpec, seeds: pl.DataFrame) -> None:
        self.spec = spec
        self._seeds = seeds.sort("example_id")
        self._slots = _list_slots(self._seeds, spec)
        self._corpus = _build_corpus(self._seeds, spec, self._slots)
        self._row_of = {example: row for row, example in enumerate(self._seeds["example_id"].to_list())}
        self.info = _describe(spec, self._seeds)

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
                if walks.size:
                    out = _walk(self._corpus, units[walks], _hash(seeds[walks], number), cap)
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
        place = (_uniform(_hash(seeds, 901)) * sizes[mine]).astype(np.int64)
        source = np.where(_uniform(_hash(seeds, 902)) < _KEEP_CONTEXT, first, order[starts[mine] + place])
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


def _build_corpus(seeds: pl.DataFrame, spec: DatasetSpec, slots: list[_Slot]) -> _Corpus:
    group = seeds["stratum"].rank("dense").to_numpy().astype(np.int64)
    tokens: list[str] = []
    unit, unit_row, unit_slot, lengths = [], [], [], []
    for number, slot in enumerate(slots):
        for row in np.flatnonzero(slot.unit_of_row >= 0):
            found = tokenize(slot.texts[row] or "")
            tokens.extend(found)
            unit_row.append(row)
            unit_slot.append(number)
            lengths.append(len(found))
    unit = np.repeat(np.arange(len(lengths)), lengths)
    ends = np.cumsum(lengths)
    rows, slot_of = np.array(unit_row, np.int64), np.array(unit_slot, np.int64)
    words = pl.Series("word", tokens, dtype=pl.String)
    folded = words.str.strip_chars().str.to_lowercase()
    key = folded.rank("dense").to_numpy().astype(np.int64)
    starts = ends - np.array(lengths)
    scope = group[rows[unit]] * len(slots) + slot_of[unit]
    at_start = np.zeros(len(tokens), bool)
    at_start[starts] = True
    before = np.where(at_start, 0, np.concatenate([[0], key[:-1]]))
    following = np.concatenate([key[1:], [0]])
    following[ends - 1] = 0
    temperature, top_k = spec.generation.temperature, spec.generation.top_k or 0
    single = _hash(scope.astype(np.uint64), 1) ^ _hash(key.astype(np.uint64), 2)
    double = single ^ _hash(before.astype(np.uint64), 3)
    last = np.zeros(len(tokens), bool)
    last[ends - 1] = True
    size = words.str.count_matches(WORD).to_numpy().astype(np.int64)
    unigram = _group_choices(single, following, temperature, top_k)
    exits = _find_exits(unigram, rows[unit]) & ~last
    ahead, final = _look_ahead(exits, size, ends[unit] - 1)
    return _Corpus(
        words=words,
        unit_start=starts,
        row=rows[unit],
        size=size,
        ahead=ahead,
        final=final,
        last=last,
        bigram=_group_choices(double, following, temperature, top_k),
        unigram=unigram,
        context=spec.generation.context_words,
    )


def _find_exits(choices: _Choices, row: np.ndarray) -> np.ndarray:
    """Return for each position whether its context stands in another row too."""
    source = row[choices.position]
    changed = np.concatenate([[0], np.cumsum(source[1:] != source[:-1])])
    mixed = changed[choices.high - 1] > changed[choices.low]
    return mixed | (source[choices.low] != row)


def _look_ahead(exits: np.ndarray, size: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the words from each position to the next exit of its unit or its end, and whether no exit is left."""
    count, total = len(size), np.cumsum(size)
    nearest = np.minimum.accumulate(np.where(exits, np.arange(count), count)[::-1])[::-1]
    following = np.concatenate([nearest[1:], [count]])
    return total[np.minimum(following, end)] - total, following > end


def _group_choices(context: np.ndarray, following: np.ndarray, temperature: float, top_k: int) -> _Choices:
    """Group positions by context; weight each so that a continuation with n of N has p ∝ n^(1/T)."""
    everywhere = pl.DataFrame({"context": context, "next": following}).with_row_index("position")
    weight = pl.lit(1.0)
    if temperature != 1.0:
        weight = pl.len().over("context", "next").cast(pl.Float64).pow(1.0 / temperature - 1.0)
    frame = everywhere.with_columns(weight=weight)
    if top_k:
        counted = frame.with_columns(n=pl.len().over("context", "next").cast(pl.Int64))
        rank = pl.struct(-pl.col("n"), "next").rank("dense").over("context")
        frame = counted.filter(rank <= top_k)
    ordered = frame.sort("context", "position")
    groups = ordered.group_by("context", maintain_order=True).len().with_columns(high=pl.col("len").cum_sum())
    found = everywhere.join(groups, on="context", how="left", maintain_order="left")
    high = found["high"].to_numpy().astype(np.int64)
    low = high - found["len"].to_numpy().astype(np.int64)
    cumulative = np.concatenate([[0.0], np.cumsum(ordered["weight"].to_numpy())])
    return _Choices(
        ordered["position"].to_numpy().astype(np.int64), None if temperature == 1.0 else cumulative, low, high
    )


@dataclass(frozen=True)
class _Walks:
    """texts, lengths (words) and cut (over a cap) per walk; the rows each took spans from."""

    texts: pl.Series
    lengths: np.ndarray
    cut: np.ndarray
    source_walk: np.ndarray
    source_row: np.ndarray


def _walk(corpus: _Corpus, units: np.ndarray, seeds: np.ndarray, cap: tuple[int, int]) -> _Walks:
    """Walk from the start of each unit to an end; `cap`: most characters, most words."""
    count = len(units)
    at = corpus.unit_start[units]
    run, changed = corpus.size[at], np.zeros(count, bool)
    active, noise = np.arange(count), seeds
    walks, positions = [], []
    cut = np.zeros(count, bool)
    for step in range(cap[1]):
        walks.append(active)
        positions.append(at)
        here, run, changed = _switch(corpus, at, run, changed, _hash(noise, 10 + step))
        goes_on = ~corpus.last[here]
        active, noise, changed = active[goes_on], noise[goes_on], changed[goes_on]
        run, at = run[goes_on], here[goes_on] + 1
        if not active.size:
            break
    cut[active] = True
    walk, position = np.concatenate(walks), np.concatenate(positions)
    order = np.argsort(walk, kind="stable")
    walk, position = walk[order], position[order]
    texts = (
        pl.DataFrame({"walk": walk, "word": corpus.words.gather(position)})
        .group_by("walk", maintain_order=True)
        .agg(pl.col("word").str.join(""))["word"]
        .str.strip_chars()
    )
    cut |= (texts.str.len_chars() > cap[0]).to_numpy()
    rows = corpus.row[position]
    fresh = np.concatenate([[True], (walk[1:] != walk[:-1]) | (rows[1:] != rows[:-1])])
    return _Walks(
        texts=texts.str.slice(0, cap[0]),
        lengths=np.bincount(walk, minlength=count),
        cut=cut,
        source_walk=walk[fresh],
        source_row=rows[fresh],
    )


def _switch(
    corpus: _Corpus, at: np.ndarray, run: np.ndarray, changed: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where each walk stands after a possible change of source, the words copied once it has gone on, and
    whether it has ever changed.

    A change must come at the last chance before the span is too long, and at the last chance of a walk that has only
    copied.
    """
    chance = _uniform(noise)
    forced = (run + corpus.ahead[at] >= _LONG_SPAN) | (corpus.final[at] & ~changed)
    forced &= ~corpus.last[at]
    ready = (run >= min(_LEAST_SPAN, corpus.context)) | forced
    here, kept = at.copy(), run.copy()
    for salt, (choices, rate, words) in enumerate(_draws(corpus)):
        tried = np.flatnonzero(ready & (forced | (chance < rate)) & (here == at))
        if not tried.size:
            continue
        found = choices.draw(at[tried], _uniform(_hash(noise[tried], 2 + salt)))
        new = corpus.row[found] != corpus.row[at[tried]]
        here[tried[new]] = found[new]
        kept[tried[new]] = words
    return here, kept + corpus.size[np.minimum(here + 1, len(corpus.size) - 1)], changed | (here != at)


def _draws(corpus: _Corpus) -> tuple[tuple[_Choices, float, int], ...]:
    """Return the tries of one step: choices, how often an unforced walk makes them, words the contexts share."""
    bigram, unigram = corpus.bigram, corpus.unigram
    if corpus.context == 1:
        return ((unigram, 1.0, 1),) * 3
    return (
        (bigram, _SWITCH_BIGRAM, 2),
        (bigram, 0.0, 2),
        (unigram, _SWITCH_UNIGRAM, 1),
        (unigram, 0.0, 1),
        (unigram, 0.0, 1),
    )


def _join_turns(turns: list[tuple[str, pl.Series]]) -> pl.Series:
    structs = [
        pl.select(pl.when(texts.is_not_null()).then(pl.struct(role=pl.lit(role), content=texts))).to_series()
        for role, texts in turns
    ]
    return pl.select(pl.concat_list(structs).list.drop_nulls()).to_series()


def _describe(spec: DatasetSpec, seeds: pl.DataFrame) -> GeneratorInfo:
    members = tuple(seeds["example_id"].to_list())
    content = seeds.select(pl.struct(pl.all()).struct.json_encode()).to_series().to_list()
    generation = spec.generation
    sampling = {
        "temperature": generation.temperature,
        "top_k": generation.top_k or 0,
        "context_words": generation.context_words,
    }
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


def _hash(values: np.ndarray, salt: int) -> np.ndarray:
    """SplitMix64 (Steele, Lea & Flood 2014) of values and salt; shape and dtype uint64 kept."""
    z = values + np.uint64((salt * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _uniform(hashed: np.ndarray) -> np.ndarray:
    return (hashed >> np.uint64(11)).astype(np.float64) / float(1 << 53)
