"""Document statistics of web-text curation: Gopher's quality and repetition rules, C4's and FineWeb's, on long texts.

Here: the measures, the papers' thresholds, and the discriminator over text fields. Not here: rules
for short texts (rules.py), comparison with other rows (duplicates.py, leakage.py).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
import polars as pl

from synth_assets.discriminators.flat_texts import (
    ALPHA,
    BREAK,
    FACTOR,
    SOLID,
    SPACE,
    STOP,
    FlatTexts,
    RollingHash,
    Words,
    chunk_texts,
    find_first_equal,
    mix_codes,
)
from synth_assets.discriminators.protocol import verdicts_of
from synth_assets.records import digest_text, messages_text
from synth_assets.spec import DatasetSpec, FieldSpec

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
TOP_NGRAMS, DUPLICATE_NGRAMS = (2, 3, 4), (5, 6, 7, 8, 9, 10)
HABIT = 0.01
"""Share of real training texts that break a rule, from which breaking it is their habit and the rule is left out."""


def measure_documents(texts: pl.Series) -> pl.DataFrame:
    """Return the measures of every text, one row a text, all Float64; 0 where there is nothing to measure.

    Words lie between whitespace; characters of scripts without spaces are words of their own. Lines end at line feeds
    and Unicode's other line ends, paragraphs at two line feeds or more.

    Gopher (Rae et al. 2021, arXiv 2112.11446, section A1.1 and table A1); as datatrove counts them:
      words                     words that are not only punctuation and symbols
      mean_word_length          characters of those words
      hashes, ellipses          `#`, and `...` or `…`, per word (of any kind)
      bullet_lines              share of lines, blank ones included, that start with `-` or `•`
      ellipsis_lines            … that end in an ellipsis
      alphabetic_words          share of words with a letter
      stop_words                how many of STOP_WORDS occur, as written
      duplicate_lines, duplicate_paragraphs            share that stood before in the text
      duplicate_line_chars, duplicate_paragraph_chars  their characters, per character of the text
      top_2_gram … top_4_gram   characters of the commonest n-gram, spaces between its words included, times its count,
                                per character of the text; above 1 where it overlaps itself
      duplicate_5_grams … duplicate_10_grams           characters of n-grams that stood before, read from left to right
                                without overlap, per character of the text
    C4 (Raffel et al. 2020, arXiv 1910.10683, section 2.2):
      kept_lines                share of the non-blank lines that end in a terminal mark (no ellipsis), have three words
                                and do not mention JavaScript
      curly_brackets, lorem_ipsum                      1 where the text has them
    FineWeb (Penedo et al. 2024, arXiv 2406.17557, section 3.5):
      stopped_lines             share of the non-blank lines that end a sentence
      repeated_line_chars       characters of non-blank lines that stood before, per character other than line feeds
      short_lines               share of the non-blank lines of at most 30 characters
      line_feeds                line feeds per word
    """
    texts = texts.cast(pl.String).fill_null("")
    parts = [_measure_chunk(texts[start:stop]) for start, stop in chunk_texts(texts)] if len(texts) else []
    if not parts:
        return pl.DataFrame(schema=dict.fromkeys(_measure_chunk(pl.Series([""])), pl.Float64))
    return pl.DataFrame({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _measure_chunk(texts: pl.Series) -> dict[str, np.ndarray]:
    flat = FlatTexts.of(texts)
    words = Words.of(flat, flat.kinds & SPACE == 0)
    hashes = flat.hash.of_spans(words.starts, words.ends)
    found = pl.DataFrame({"text": texts}).select(
        curly_brackets=pl.col("text").str.contains("{", literal=True).cast(pl.Float64),
        lorem_ipsum=pl.col("text").str.contains("(?i)lorem ipsum").cast(pl.Float64),
    )
    return {
        **_measure_words(flat, words, hashes),
        **_measure_lines(flat, words),
        **_measure_ngrams(flat, words, hashes),
        **{name: found[name].to_numpy() for name in found.columns},
    }


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return part / np.maximum(whole, 1)


def _measure_words(flat: FlatTexts, words: Words, hashes: np.ndarray) -> dict[str, np.ndarray]:
    kinds = np.bitwise_or.reduceat(flat.kinds, words.starts) if len(words.starts) else flat.kinds[:0]
    solid, counts = kinds & SOLID > 0, np.diff(words.first)
    n_solid = words.sum_in_texts(solid)
    marks = np.flatnonzero(flat.kinds & (SPACE | SOLID) == 0)
    mark = flat.codes[marks]
    dots = marks[mark == ord(".")]
    run_starts = np.flatnonzero(np.diff(dots, prepend=-2) != 1)
    run_lengths = np.diff(np.append(run_starts, len(dots)))
    ellipses = np.bincount(flat.owners_of(dots[run_starts]), weights=run_lengths // 3, minlength=len(counts))
    stop_words, wanted = np.zeros(len(counts)), _hash_stop_words()
    table = np.zeros(256, dtype=bool)
    table[wanted & np.uint64(0xFF)] = True
    maybe = np.flatnonzero(table[hashes & np.uint64(0xFF)])
    found, owners = hashes[maybe], words.owners[maybe]
    for stop_word in wanted:
        seen = np.zeros(len(counts), dtype=bool)
        seen[owners[found == stop_word]] = True
        stop_words += seen
    return {
        "words": n_solid.astype(np.float64),
        "mean_word_length": _share(words.sum_in_texts(np.where(solid, words.lengths, 0)), n_solid),
        "hashes": _share(flat.count_in(marks[mark == ord("#")]), counts),
        "ellipses": _share(ellipses + flat.count_in(marks[mark == ord("…")]), counts),
        "alphabetic_words": _share(words.sum_in_texts(kinds & ALPHA > 0), counts),
        "stop_words": stop_words,
    }


@lru_cache(maxsize=1)
def _hash_stop_words() -> np.ndarray:
    flat = FlatTexts.of(pl.Series(STOP_WORDS))
    return flat.hash.of_spans(flat.starts, flat.ends)


def _measure_lines(flat: FlatTexts, words: Words) -> dict[str, np.ndarray]:
    breaks = np.flatnonzero(flat.kinds & BREAK > 0)
    feeds = breaks[flat.codes[breaks] == ord("\n")]
    n_feeds = flat.count_in(feeds)
    starts, ends = _split(flat, feeds)
    owners = flat.owners_of(starts)
    again, repeated = _count_repeats(flat, starts, ends, owners)
    solid = _first_words(words, starts)
    filled = solid < np.searchsorted(words.starts, ends)
    _, repeated_filled = _count_repeats(flat, starts[filled], ends[filled], owners[filled])
    return {
        "duplicate_lines": _share(again, np.bincount(owners, minlength=len(n_feeds))),
        "duplicate_line_chars": _share(repeated, flat.lengths),
        "repeated_line_chars": _share(repeated_filled, flat.lengths - n_feeds),
        "line_feeds": _share(n_feeds, np.diff(words.first)),
        **_measure_line_ends(flat, words, starts[filled], ends[filled], owners[filled]),
        **_measure_all_lines(flat, words, breaks),
        **_measure_paragraphs(flat, words, feeds),
    }


def _first_words(words: Words, starts: np.ndarray) -> np.ndarray:
    return np.searchsorted(words.starts, starts)


def _split(flat: FlatTexts, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return starts and ends of the non-empty pieces of texts between the separators at `places`."""
    borders = np.sort(np.concatenate([places, flat.ends]), kind="stable")
    starts = np.append(0, borders[:-1] + 1)
    filled = borders > starts
    return starts[filled], borders[filled]


def _count_repeats(
    flat: FlatTexts, starts: np.ndarray, ends: np.ndarray, owners: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return how many spans stood before in their text, and their characters, each of shape (texts,)."""
    texts = len(flat.lengths)
    keys = mix_codes(flat.hash.of_spans(starts, ends) + owners.astype(np.uint64) * FACTOR)
    again = np.flatnonzero(find_first_equal(keys) != np.arange(len(keys)))
    lengths = (ends - starts)[again]
    return np.bincount(owners[again], minlength=texts), np.bincount(owners[again], lengths, minlength=texts)


def _measure_line_ends(
    flat: FlatTexts, words: Words, starts: np.ndarray, ends: np.ndarray, owners: np.ndarray
) -> dict[str, np.ndarray]:
    """Measure the non-blank lines between line feeds."""
    texts = len(flat.lengths)
    lines = np.bincount(owners, minlength=texts)
    last_word = np.searchsorted(words.starts, ends) - 1
    last = words.ends[last_word] - 1
    mark = flat.codes[last]
    terminal = np.isin(mark, [ord(letter) for letter in ".!?\"'"]) & ~_ends_in_ellipsis(flat, last)
    enough = last_word - _first_words(words, starts) >= 2
    mentions = np.zeros(len(starts), dtype=bool)
    mentions[np.searchsorted(ends, _find_javascript(flat))] = True
    stopped = (flat.kinds[ends - 1] & STOP > 0) & (flat.codes[ends - 1] != ord("…"))

    def share(lines_with: np.ndarray) -> np.ndarray:
        return _share(np.bincount(owners[lines_with], minlength=texts), lines)

    return {
        "kept_lines": share(terminal & enough & ~mentions),
        "stopped_lines": share(stopped),
        "short_lines": share(ends - starts <= 30),
    }


def _find_javascript(flat: FlatTexts) -> np.ndarray:
    places = np.flatnonzero((flat.codes == ord("j")) | (flat.codes == ord("J")))
    for offset, letter in enumerate("avascript", start=1):
        places = places[places + offset < len(flat.codes)]
        places = places[(flat.codes[places + offset] | np.uint32(32)) == ord(letter)]
    return places


def _ends_in_ellipsis(flat: FlatTexts, last: np.ndarray) -> np.ndarray:
    dots = flat.codes[last] == ord(".")
    for offset in (1, 2):
        dots &= flat.codes[np.maximum(last - offset, 0)] == ord(".")
    return dots | (flat.codes[last] == ord("…"))


def _measure_all_lines(flat: FlatTexts, words: Words, breaks: np.ndarray) -> dict[str, np.ndarray]:
    """Measure the lines, blank ones included, between any of Unicode's line ends; CR LF is one."""
    pair = (flat.codes[breaks] == ord("\r")) & (flat.codes[breaks + 1] == ord("\n"))
    borders = np.sort(np.concatenate([breaks[~pair], flat.ends]), kind="stable")
    starts = np.append(0, borders[:-1] + 1)
    exists = (borders > starts) | (borders < flat.ends[flat.owners_of(borders)])  # no line after the last line end
    starts, ends = starts[exists], borders[exists]
    owners, texts = flat.owners_of(ends), len(flat.lengths)
    first, after = _first_words(words, starts), np.searchsorted(words.starts, ends)
    filled = np.flatnonzero(first < after)
    opening = flat.codes[words.starts[first[filled]]]
    bullet = filled[(opening == ord("-")) | (opening == ord("•"))]
    trailing = filled[_ends_in_ellipsis(flat, words.ends[after[filled] - 1] - 1)]
    lines = np.bincount(owners, minlength=texts)
    return {
        "bullet_lines": _share(np.bincount(owners[bullet], minlength=texts), lines),
        "ellipsis_lines": _share(np.bincount(owners[trailing], minlength=texts), lines),
    }


def _measure_paragraphs(flat: FlatTexts, words: Words, feeds: np.ndarray) -> dict[str, np.ndarray]:
    """Measure what lies between runs of two line feeds or more, whitespace around the text left out."""
    filled = np.flatnonzero(np.diff(words.first))
    begin, finish = words.starts[words.first[filled]], words.ends[words.first[filled + 1] - 1]
    run = np.flatnonzero(np.diff(feeds, prepend=-2) != 1)
    length = np.diff(np.append(run, len(feeds)))
    gap, size = feeds[run][length > 1], length[length > 1]
    place = np.searchsorted(begin, gap) - 1
    inner = (place >= 0) & (gap < finish[np.maximum(place, 0)]) if len(begin) else np.zeros(len(gap), dtype=bool)
    starts = np.sort(np.concatenate([begin, (gap + size)[inner]]))
    ends = np.sort(np.concatenate([finish, gap[inner]]))
    owners, texts = flat.owners_of(starts), len(flat.lengths)
    again, chars = _count_repeats(flat, starts, ends, owners)
    return {
        "duplicate_paragraphs": _share(again, np.bincount(owners, minlength=texts)),
        "duplicate_paragraph_chars": _share(chars, flat.lengths),
    }


def _measure_ngrams(flat: FlatTexts, words: Words, hashes: np.ndarray) -> dict[str, np.ndarray]:
    """Measure n-grams of rising n; only where an n-gram and the next one repeat can the longer one repeat."""
    salted = hashes + words.owners.astype(np.uint64) * FACTOR
    rolling = RollingHash.of(salted)  # n-grams of different texts differ
    sizes = np.append(0, np.cumsum(words.lengths))
    places = np.flatnonzero(words.owners[1:] == words.owners[:-1])
    repeats = np.zeros(len(words.starts) + 1, dtype=bool)
    measures = {}
    grams = mix_codes(salted[:-1] * FACTOR + salted[1:])[places]
    for n in range(TOP_NGRAMS[0], DUPLICATE_NGRAMS[-1] + 1):
        grams = rolling.of_spans(places, places + n) if n > TOP_NGRAMS[0] else grams
        first = find_first_equal(grams)
        counts = np.bincount(first, minlength=len(first))
        if n in TOP_NGRAMS:
            leaders = np.flatnonzero(counts > 1)
            chars = _top_ngram_chars(words, sizes, places[leaders], counts[leaders], n)
            measures[f"top_{n}_gram"] = _share(chars, flat.lengths)
        else:
            chars = _duplicate_chars(words, sizes, places, first, counts, n)
            measures[f"duplicate_{n}_grams"] = _share(chars, flat.lengths)
        repeats[:] = False
        places = places[counts[first] > 1]
        repeats[places] = True
        places = places[repeats[places + 1]]
    return measures


def _top_ngram_chars(words: Words, sizes: np.ndarray, places: np.ndarray, counts: np.ndarray, n: int) -> np.ndarray:
    """Return count · length of each text's commonest n-gram, of equally common ones the first.

    `places`, `counts`: where each n-gram that repeats first stands, and how often; without one, a text's first counts.
    """
    texts = len(words.first) - 1
    long_enough = np.flatnonzero(np.diff(words.first) >= n)
    chars = np.zeros(texts)
    start = words.first[long_enough]
    chars[long_enough] = sizes[start + n] - sizes[start] + n - 1
    order = np.lexsort((places, -counts, words.owners[places]))
    owners = words.owners[places[order]]
    best = order[np.diff(owners, prepend=-1) > 0]
    start = places[best]
    chars[words.owners[start]] = counts[best] * (sizes[start + n] - sizes[start] + n - 1)
    return chars


def _duplicate_chars(
    words: Words, sizes: np.ndarray, places: np.ndarray, first: np.ndarray, counts: np.ndarray, n: int
) -> np.ndarray:
    """Return the characters of n-grams that were read before, when after each one the reading goes on behind it.

    In a run of places that all stood before, every n-th is read: the run's words up to behind the last one read. That
    is exact unless the reading jumps over the start of the next run or over the first stand of a repeated n-gram; such
    texts are read place by place.
    """
    texts = len(words.first) - 1
    later = np.flatnonzero(first != np.arange(len(first)))
    if not len(later):
        return np.zeros(texts)
    stood = places[later]
    begins = np.flatnonzero(np.diff(stood, prepend=-2) != 1)
    starts, ends = stood[begins], stood[np.append(begins[1:], len(stood)) - 1] + 1
    behind = starts + -(-(ends - starts) // n) * n
    leaders = places[(counts > 1) & (first == np.arange(len(first)))]
    jumped = np.searchsorted(leaders, behind) > np.searchsorted(leaders, ends)
    jumped[:-1] |= behind[:-1] > starts[1:]
    chars = np.bincount(words.owners[starts], sizes[behind] - sizes[starts], minlength=texts)
    if not jumped.any():
        return chars
    owners = words.owners[places]
    for text in np.unique(words.owners[starts[jumped]]).tolist():
        low, high = np.searchsorted(owners, [text, text + 1])
        chars[text] = _read_in_turn(places[low:high].tolist(), first[low:high].tolist(), sizes, n)
    return chars


def _read_in_turn(places: list[int], grams: list[int], sizes: np.ndarray, n: int) -> int:
    seen, behind, chars = set(), 0, 0
    for place, gram in zip(places, grams, strict=True):
        if place < behind:
            continue
        if gram in seen:
            behind = place + n
            chars += int(sizes[behind] - sizes[place])
        seen.add(gram)
    return chars


# ---- rules


@dataclass(frozen=True)
class DocumentRules:
    """The papers' thresholds; a text breaks a rule where its measure is below `min_…` or above `max_…`.

    Gopher and FineWeb state them for web documents of 50 words and more. Of C4's rules on lines only their sum is
    used (no line would be kept); its least number of sentences is a rule on pages, which records are not.
    """

    min_words: float = 50
    max_words: float = 100_000
    min_mean_word_length: float = 3
    max_mean_word_length: float = 10
    max_hashes: float = 0.1
    max_ellipses: float = 0.1
    max_bullet_lines: float = 0.9
    max_ellipsis_lines: float = 0.3
    min_alphabetic_words: float = 0.8
    min_stop_words: float = 2
    max_duplicate_lines: float = 0.3
    max_duplicate_paragraphs: float = 0.3
    max_duplicate_line_chars: float = 0.2
    max_duplicate_paragraph_chars: float = 0.2
    max_top_2_gram: float = 0.2
    max_top_3_gram: float = 0.18
    max_top_4_gram: float = 0.16
    max_duplicate_5_grams: float = 0.15
    max_duplicate_6_grams: float = 0.14
    max_duplicate_7_grams: float = 0.13
    max_duplicate_8_grams: float = 0.12
    max_duplicate_9_grams: float = 0.11
    max_duplicate_10_grams: float = 0.10
    min_kept_lines: float = 1e-9
    max_curly_brackets: float = 0
    max_lorem_ipsum: float = 0
    min_stopped_lines: float = 0.12
    max_repeated_line_chars: float = 0.01
    max_short_lines: float = 0.67
    max_line_feeds: float = 0.3

    def breaks(self) -> dict[str, pl.Expr]:
        """Return rule → Boolean expression over the measures: whether a text breaks it."""
        return {
            rule: pl.col(rule[4:]) < limit if rule.startswith("min_") else pl.col(rule[4:]) > limit
            for rule, limit in asdict(self).items()
        }


GOPHER_RULES = tuple(DocumentRules.__dataclass_fields__)[:23]
"""The rules of Gopher's quality and repetition filters."""


@dataclass(frozen=True)
class Documents:
    """Rejects long texts that break a rule of web-text curation which the training rows keep.

    Text and messages fields are judged one by one, code is not; texts under rules.min_words words pass, for the rules
    say nothing about them. `left_out`: field → the rules that more than HABIT of the field's long training texts break.
    score: rules broken; threshold 0. evidence: {"field": …, "rule": …, "value": …} of the first.
    """

    spec: DatasetSpec
    left_out: tuple[tuple[str, tuple[str, ...]], ...] = ()
    rules: DocumentRules = DocumentRules()
    name: str = "documents"

    @property
    def version(self) -> str:
        fields = self.spec.model_dump_json(include={"fields"})
        return digest_text("documents-1", fields, self.left_out, *asdict(self.rules).items(), size=6)

    @classmethod
    def fit(cls, spec: DatasetSpec, train: pl.DataFrame, rules: DocumentRules = DocumentRules()) -> Documents:
        """Leave out, field by field, the rules that real training texts do not keep."""
        left_out = []
        for field in _prose_fields(spec):
            measures = measure_documents(_texts(train, field)).filter(pl.col("words") >= rules.min_words)
            shares = measures.select(**{rule: broken.mean() for rule, broken in rules.breaks().items()})
            habits = [rule for rule in shares.columns if (shares[rule][0] or 0) > HABIT]
            left_out.append((field.name, tuple(habits)))
        return cls(spec, tuple(left_out), rules)

    def judge(self, candidates: pl.DataFrame) -> pl.DataFrame:
        judged = candidates.select("example_id", _broken=pl.lit(0, pl.Int64), _evidence=pl.lit(None, pl.String))
        for field in _prose_fields(self.spec):
            judged = judged.with_columns(_field=self._judge_field(candidates, field)).select(
                "example_id",
                _broken=pl.col("_broken") + pl.col("_field").struct.field("broken"),
                _evidence=pl.coalesce("_evidence", pl.col("_field").struct.field("evidence")),
            )
        return verdicts_of(
            judged,
            passed=pl.col("_broken") == 0,
            score=pl.col("_broken"),
            threshold=0.0,
            reason=pl.col("_evidence").str.json_path_match("$.rule").str.slice(4),
            evidence=pl.col("_evidence"),
        )

    def _judge_field(self, candidates: pl.DataFrame, field: FieldSpec) -> pl.Series:
        """Return broken:Int64 and evidence:String (null where nothing is broken) as one struct a row."""
        texts = _texts(candidates, field)
        long = texts.str.len_chars() >= 2 * self.rules.min_words - 1  # fewer characters hold fewer words
        places = long.arg_true()
        measures = measure_documents(texts.gather(places))
        left_out = dict(self.left_out).get(field.name, ())
        judged = pl.col("words") >= self.rules.min_words
        broken = {rule: judged & breaks for rule, breaks in self.rules.breaks().items() if rule not in left_out}
        evidence = [
            pl.when(breaks).then(
                pl.struct(
                    field=pl.lit(field.name), rule=pl.lit(rule), value=pl.col(rule[4:]).round(4)
                ).struct.json_encode()
            )
            for rule, breaks in broken.items()
        ]
        found = measures.select(broken=pl.sum_horizontal(*broken.values()).cast(pl.Int64)).with_row_index("place")
        some = found.filter(pl.col("broken") > 0)
        told = measures[some["place"]].select(evidence=pl.coalesce(*evidence)).to_series()
        faults = pl.DataFrame({"row": places.gather(some["place"]), "broken": some["broken"], "evidence": told})
        rows = pl.DataFrame({"row": pl.int_range(len(texts), dtype=pl.UInt32, eager=True)})
        joined = rows.join(faults.cast({"row": pl.UInt32}), on="row", how="left", maintain_order="left")
        return joined.select(pl.struct(pl.col("broken").fill_null(0), "evidence")).to_series()


def _prose_fields(spec: DatasetSpec) -> list[FieldSpec]:
    return [field for field in spec.text_fields if field.type != "code"]


def _texts(frame: pl.DataFrame, field: FieldSpec) -> pl.Series:
    column = messages_text(pl.col(field.name)) if field.type == "messages" else pl.col(field.name)
    return frame.select(column.fill_null("")).to_series()
