"""Cheap rules for short texts: does a candidate's text read like text, and like what real texts of its field are?

Here: length, repetition, loops, boilerplate, placeholders, damage, markup, symbols and truncated endings. Not here: the
record's own constraints (record.py), document statistics of long texts (documents.py), anything that compares with
other rows. Repetition rules follow Gopher (Rae et al. 2021, arXiv 2112.11446, table A1), scaled to short texts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from synth_assets.discriminators.endings import Endings
from synth_assets.discriminators.flat_texts import (
    ALPHA,
    BREAK,
    FACTOR,
    SINGLE,
    SOLID,
    SPACE,
    STOP,
    WORD,
    FlatTexts,
    RollingHash,
    Words,
    find_later,
    find_places,
    find_sequences,
    mix_codes,
    read_texts,
)
from synth_assets.discriminators.forms import BOILERPLATE, DAMAGE, FORMS, MARKUP, PLACEHOLDER
from synth_assets.discriminators.protocol import verdicts_of
from synth_assets.records import content_text_expression, digest_text, messages_text
from synth_assets.spec import DatasetSpec, FieldSpec

HABIT = 0.001
"""Share of real training texts with a trait, from which it is their habit and no fault."""
LEAST_PLAIN = 50
"""Training texts without any markup, from which markup is a fault."""

_LEAST_WORDS = 10  # of a text whose commonest word pair is measured
_LEAST_LOOP = 12  # characters of a loop
_LONGEST_PERIOD = 16  # words in a phrase that is looked for in a loop
_LEAST_RUN = 6  # equal letters in a row that are a fault
_LEAST_SENTENCE = 4  # words with letters of a sentence that must not stand twice
_LEAST_SYMBOLS = 5  # characters of a text whose share of symbols is measured

_TOLD = {BOILERPLATE: "(.{1,60})", PLACEHOLDER: r"(\W*\w+\W?)"}  # what evidence shows: a slot may name a person


@dataclass(frozen=True)
class TextRules:
    """Rejects candidates whose free text is too short, repeats itself, or has what no real text of its field has.

    The contract's limits (min_chars, max_repeated_line_share, max_top_bigram_share) always hold. The other rules know
    the training texts by `fit`: a trait that more than HABIT of a field's training texts show (a placeholder form, a
    refusal, a loop) is no fault there, markup is a fault only where LEAST_PLAIN training texts or more have none, and a
    truncated ending is one that training texts do not have (endings.py). Without `fit`, markup passes, and of endings
    only a comma, an open bracket and the like are faults. Code fields are held to min_chars and to encoding damage.

    Reasons: too_short, repeated_lines, repeated_words, loop, symbols, truncated, and those of forms.py. score: faults
    found; threshold 0. evidence: {"field": …, "rule": …} of the first, with "found" where a phrase of a fixed form was
    found, or "share" or "times" where something was measured.
    """

    spec: DatasetSpec
    habits: tuple[tuple[str, tuple[str, ...]], ...] = ()
    endings: tuple[tuple[str, Endings], ...] = field(default=(), repr=False)
    name: str = "text_rules"

    @property
    def version(self) -> str:
        settings = self.spec.model_dump_json(include={"fields": True, "quality": _LIMITS})
        endings = [(name, endings.digest) for name, endings in self.endings]
        return digest_text("text-2", settings, self.habits, endings, size=6)

    @classmethod
    def fit(cls, spec: DatasetSpec, train: pl.DataFrame) -> TextRules:
        """Learn what real texts of each field show, and how they end."""
        habits, endings = [], []
        for part in spec.text_fields:
            texts = _texts(train, part).filter(pl.col("text").str.strip_chars() != "")["text"]
            found = pl.concat([_find_forms(texts, tuple(FORMS)), _count_traits(texts, 1.0)])
            counts = dict(found.unique(["row", "rule"])["rule"].value_counts().iter_rows())
            shown = [rule for rule, count in counts.items() if count > HABIT * len(texts)]
            plain = len(texts) >= LEAST_PLAIN
            unsure = [] if plain else [form for form, (reason, _) in FORMS.items() if reason == MARKUP]
            habits.append((part.name, tuple(sorted({*shown, *unsure}))))
            if part.type != "code":
                last = _texts(train, part, last=True)["text"]
                endings.append((part.name, Endings.fit(last, english=_is_english(part), seed=spec.seed)))
        return cls(spec, tuple(habits), tuple(endings))

    def judge(self, candidates: pl.DataFrame) -> pl.DataFrame:
        short = _find_short(candidates, self.spec)
        found = [short, *(self._find_faults(candidates, part) for part in self.spec.text_fields)]
        faults = (
            pl.concat(found)
            .group_by("row", maintain_order=True)
            .agg(pl.len().alias("faults"), pl.col("reason").first(), pl.col("evidence").first())
        )
        rows = candidates.select("example_id").with_row_index("row")
        return verdicts_of(
            rows.join(faults, on="row", how="left", maintain_order="left"),
            passed=pl.col("faults").is_null(),
            score=pl.col("faults").fill_null(0),
            threshold=0.0,
            reason=pl.col("reason"),
            evidence=pl.col("evidence"),
        )

    def _find_faults(self, candidates: pl.DataFrame, part: FieldSpec) -> pl.DataFrame:
        """Return row, reason, evidence of the faults in one field."""
        texts = _texts(candidates, part)["text"]
        fallback = tuple(form for form, (reason, _) in FORMS.items() if reason == MARKUP)
        habits = dict(self.habits).get(part.name, fallback)
        forms = [form for form in FORMS if form not in habits]
        if part.type == "code":
            damage = tuple(form for form in forms if FORMS[form][0] == DAMAGE)
            return _as_faults(_find_forms(texts, damage), part)
        endings = dict(self.endings).get(part.name) or Endings.unknown(english=_is_english(part))
        cut = endings.find_cut(_texts(candidates, part, last=True)["text"])
        found = [
            _find_repeated_lines(texts, self.spec.quality.max_repeated_line_share),
            _count_traits(texts, self.spec.quality.max_top_bigram_share).filter(~pl.col("rule").is_in(habits)),
            _find_forms(texts, tuple(forms)),
            _traits(cut, "truncated", "ending"),
        ]
        return _as_faults(pl.concat(found), part)


_LIMITS = {"min_chars", "max_repeated_line_share", "max_top_bigram_share"}
_TRAITS = pl.Schema(
    {
        "row": pl.UInt32,
        "reason": pl.String,
        "rule": pl.String,
        "found": pl.String,
        "share": pl.Float64,
        "times": pl.Int64,
    }
)


def _is_english(part: FieldSpec) -> bool:
    return part.language.lower().split("-")[0] == "en"


def _texts(frame: pl.DataFrame, part: FieldSpec, *, last: bool = False) -> pl.DataFrame:
    """Return text: the field's, of messages all of them by line, or only the `last`."""
    column = pl.col(part.name)
    if part.type == "messages":
        column = column.list.last().struct.field("content") if last else messages_text(column)
    return frame.select(text=column.fill_null(""))


def _traits(rows: np.ndarray, reason: str, rule: str, **measured: np.ndarray | pl.Series) -> pl.DataFrame:
    frame = pl.DataFrame({"row": rows, **measured}).with_columns(reason=pl.lit(reason), rule=pl.lit(rule))
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in _TRAITS.items() if name not in frame.columns]
    return frame.with_columns(missing).select(pl.col(name).cast(dtype) for name, dtype in _TRAITS.items())


def _as_faults(traits: pl.DataFrame, part: FieldSpec) -> pl.DataFrame:
    """Return row, reason, evidence: the JSON of what is known about each trait."""
    told = pl.struct(
        field=pl.lit(part.name), rule="rule", found="found", share=pl.col("share").round(3), times="times"
    ).struct.json_encode()
    # polars writes absent values as null; they say nothing
    evidence = told.str.replace_all(r',"(?:found|share|times)":null', "")
    return traits.select("row", "reason", evidence=evidence)


def _find_short(candidates: pl.DataFrame, spec: DatasetSpec) -> pl.DataFrame:
    length = candidates.select(length=content_text_expression(spec).fill_null("").str.len_chars()).with_row_index("row")
    return length.filter(pl.col("length") < spec.quality.min_chars).select(
        "row", reason=pl.lit("too_short"), evidence=pl.struct(characters="length").struct.json_encode()
    )


# ---- what patterns find


def _find_forms(texts: pl.Series, forms: tuple[str, ...]) -> pl.DataFrame:
    """Return the _TRAITS of texts that hold one of the forms."""
    found = [pl.DataFrame(schema=_TRAITS)]
    if forms:
        patterns = {form: FORMS[form][1] for form in forms}
        any_form = "|".join(f"(?:{pattern})" for pattern in patterns.values())
        rows = texts.str.contains(any_form).fill_null(False).arg_true()
        suspects = texts.gather(rows)
        for form, pattern in patterns.items():
            reason = FORMS[form][0]
            hits = suspects.str.extract(f"({pattern})")
            told = {"found": hits.drop_nulls().str.extract(_TOLD[reason])} if reason in _TOLD else {}
            found.append(_traits(rows.filter(hits.is_not_null()).to_numpy(), reason, form, **told))
    return pl.concat(found)


def _find_repeated_lines(texts: pl.Series, most: float) -> pl.DataFrame:
    rows = texts.str.contains("\n", literal=True).fill_null(False).arg_true()
    lines = texts.gather(rows).str.split("\n").list.eval(pl.element().filter(pl.element().str.strip_chars() != ""))
    share = 1 - lines.list.n_unique() / lines.list.len().clip(1)
    above = (lines.list.len() > 1) & (share > most)
    return _traits(rows.filter(above).to_numpy(), "repeated_lines", "line_share", share=share.filter(above))


# ---- what counting finds


def _count_traits(texts: pl.Series, most_top_bigram: float) -> pl.DataFrame:
    """Return the _TRAITS of texts that are found by counting: repeated_words, loops, letter runs, symbols."""
    found = [pl.DataFrame(schema=_TRAITS)]
    for rows, flat in read_texts(texts):
        words = Words.of(flat, flat.kinds & WORD > 0)
        keys = flat.folded_block_hash.of_spans(words.starts, words.lengths) + words.owners.astype(np.uint64) * FACTOR
        _, first = find_later(mix_codes(keys[:-1] * FACTOR + keys[1:]))  # pairs of words of two texts are unique
        leaders, times = np.unique(first, return_counts=True)
        repeating = np.unique(words.owners[leaders])  # all other texts hold no loop and no sentence twice
        some = np.flatnonzero(np.isin(words.owners, repeating, kind="table")) if len(repeating) else repeating
        traits = [
            _find_top_bigrams(flat, words, leaders, times, most_top_bigram),
            *(_find_loops(flat, words, keys, some) if len(some) else ()),
            _find_letter_runs(flat),
            _find_symbols(flat, words),
        ]
        places = pl.Series(rows, dtype=pl.UInt32)
        found += [trait.with_columns(row=places.gather(trait["row"])) for trait in traits if len(trait)]
    return pl.concat(found)


def _find_top_bigrams(flat: FlatTexts, words: Words, pairs: np.ndarray, times: np.ndarray, most: float) -> pl.DataFrame:
    """`pairs`, `times`: where each word pair that repeats starts, and how often it came again; numbers may repeat."""
    begins = flat.kinds[words.starts[pairs]] | flat.kinds[words.starts[pairs + 1]]
    lettered = begins & ALPHA > 0
    counts = np.diff(words.first)
    again = np.zeros(len(counts), dtype=np.int64)
    np.maximum.at(again, words.owners[pairs[lettered]], times[lettered])
    share = np.where(counts >= _LEAST_WORDS, again / np.maximum(counts - 1, 1), 0.0)
    rows = np.flatnonzero(share > most)
    return _traits(rows, "repeated_words", "bigram_share", share=share[rows])


def _find_loops(flat: FlatTexts, words: Words, keys: np.ndarray, some: np.ndarray) -> list[pl.DataFrame]:
    """Return the phrases that follow upon themselves, and the sentences that stand twice; `some`: the words to look at.

    A phrase of one word must stand four times (of four letters and more: three), of two or three words three times, of
    more three times or twice over half the text; over _LEAST_LOOP characters, and most of its words must hold
    letters: sums and tables may repeat.
    """
    keys, starts, ends, owners = keys[some], words.starts[some], words.ends[some], words.owners[some]
    kinds = np.bitwise_or.reduceat(flat.kinds, np.stack([starts, ends], axis=1).ravel())[::2]
    lettered = np.append(0, np.cumsum(kinds & ALPHA > 0))
    loops = []
    for period in range(1, min(_LONGEST_PERIOD, len(keys) - 1) + 1):
        begin, length = find_sequences(np.flatnonzero(keys[period:] == keys[:-period]))
        least = np.full(len(begin), period if period > 3 else 2 * period)
        if period == 1:
            least += ends[begin] - starts[begin] < 4
        after = begin + length + period
        span = ends[after - 1] - starts[begin]
        fits = (length >= least) & (span >= _LEAST_LOOP)
        fits &= (length >= 2 * period) | (period == 1) | (2 * span >= flat.lengths[owners[begin]])
        fits &= 2 * (lettered[after] - lettered[begin]) > after - begin
        times = length[fits] // period + 1
        loops.append(_traits(owners[begin[fits]], "loop", "word_loop", times=times).unique("row", maintain_order=True))
    marks = np.searchsorted(np.flatnonzero(flat.kinds & (STOP | BREAK) > 0), starts)
    begin = np.flatnonzero((np.diff(marks, prepend=-1) != 0) | (np.diff(owners, prepend=-1) != 0))
    end = np.append(begin[1:], len(keys))
    long = lettered[end] - lettered[begin] >= _LEAST_SENTENCE
    begin, end = begin[long], end[long]
    again, _ = find_later(RollingHash.of(keys).of_spans(begin, end))
    repeated = _traits(np.unique(owners[begin[again]]), "loop", "repeated_sentence")
    return [pl.concat(loops).unique("row", keep="first", maintain_order=True), repeated]


def _find_letter_runs(flat: FlatTexts) -> pl.DataFrame:
    """Return the texts with _LEAST_RUN equal letters in a row, in scripts where a letter is no word."""
    letters = flat.kinds[:-1] & (ALPHA | SINGLE) == ALPHA
    begin, repeats = find_sequences(find_places((flat.folded[1:] == flat.folded[:-1]) & letters))
    long = repeats >= _LEAST_RUN - 1
    traits = _traits(flat.owners_of(begin[long]), "loop", "letter_run", times=repeats[long] + 1)
    return traits.unique("row", keep="first", maintain_order=True)


def _find_symbols(flat: FlatTexts, words: Words) -> pl.DataFrame:
    """Return the texts of which more than half are symbols and punctuation, whitespace aside."""
    symbols = flat.count_in(find_places(flat.kinds & (SPACE | SOLID) == 0))
    told = symbols + words.sum_in_texts(words.lengths)
    share = symbols / np.maximum(told, 1)
    rows = np.flatnonzero((told >= _LEAST_SYMBOLS) & (share > 0.5))
    return _traits(rows, "symbols", "symbols", share=share[rows])
