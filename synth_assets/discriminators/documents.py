"""Document statistics of web-text curation: Gopher's quality and repetition rules, C4's and FineWeb's, on long texts.

Here: the measures, the papers' thresholds, and the discriminator over text fields. Not here: rules
for short texts (rules.py), comparison with other rows (duplicates.py, leakage.py).
"""

from __future__ import annotations

from bisect import bisect_left
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
    Words,
    find_later,
    find_places,
    find_repeats,
    find_sequences,
    mix_codes,
    read_texts,
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
    if texts.is_empty():
        return measure_documents(pl.Series([""])).clear()
    texts = texts.cast(pl.String).fill_null("")
    rows, parts = zip(*((rows, _measure_flat(flat)) for rows, flat in read_texts(texts)), strict=True)
    order = np.argsort(np.concatenate(rows))
    measures = {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}
    return pl.DataFrame({**measures, "lorem_ipsum": texts.str.contains("(?i)lorem ipsum").cast(pl.Float64)})


def _measure_flat(flat: FlatTexts) -> dict[str, np.ndarray]:
    words = Words.of(flat, flat.kinds & SPACE == 0)
    hashes = flat.block_hash.of_spans(words.starts, words.lengths)
    return {
        **_measure_words(flat, words, hashes),
        **_measure_lines(flat, words),
        **_measure_ngrams(flat, words, hashes),
        "curly_brackets": (flat.count_in(flat.find("{")) > 0).astype(np.float64),
    }


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return part / np.maximum(whole, 1)


# ---- words


def _measure_words(flat: FlatTexts, words: Words, hashes: np.ndarray) -> dict[str, np.ndarray]:
    counts = np.diff(words.first)
    opening = flat.kinds.copy()
    if not flat.has_single:  # then whitespace follows a word of one character
        opening[:-1] |= flat.kinds[1:]
    odd = np.flatnonzero(opening.take(words.starts) & ALPHA == 0)  # few: only these words are read whole
    kinds = flat.kinds_in(words.starts[odd], words.ends[odd])
    unlettered, hollow = odd[kinds & ALPHA == 0], odd[kinds & SOLID == 0]
    n_solid = counts - words.count_in_texts(hollow)
    hollow_chars = np.bincount(words.owners[hollow], words.lengths[hollow], minlength=len(counts))
    dots = flat.codes == ord(".")
    triples = find_places(dots[:-2] & dots[1:-1] & dots[2:])
    begins, lengths = find_sequences(triples)
    ellipses = np.bincount(flat.owners_of(begins), weights=(lengths + 2) // 3, minlength=len(counts))
    ellipses += flat.count_in(flat.find("…"))
    return {
        "words": n_solid.astype(np.float64),
        "mean_word_length": _share(np.diff(words.sizes[words.first]) - hollow_chars, n_solid),
        "hashes": _share(flat.count_in(flat.find("#")), counts),
        "ellipses": _share(ellipses, counts),
        "alphabetic_words": _share(counts - words.count_in_texts(unlettered), counts),
        "stop_words": _count_stop_words(words, hashes, flat.codes.dtype),
    }


def _count_stop_words(words: Words, hashes: np.ndarray, codes: np.dtype) -> np.ndarray:
    wanted, table, shift = _index_stop_words(codes)
    which = table.take((hashes >> shift).view(np.int64))
    maybe = np.flatnonzero(which > 0)
    number = which[maybe] - 1
    same = hashes[maybe] == wanted[number]
    seen = np.zeros((len(words.first) - 1, len(wanted)), dtype=bool)
    seen[words.owners[maybe[same]], number[same]] = True
    return seen.sum(axis=1, dtype=np.float64)


@lru_cache(maxsize=2)
def _index_stop_words(codes: np.dtype) -> tuple[np.ndarray, np.ndarray, np.uint64]:
    """Return the hashes of STOP_WORDS, and a table of which one, from 1, may have the hash with these first bits."""
    flat = FlatTexts.of(pl.Series(STOP_WORDS))
    hashes = FlatTexts(flat.codes.astype(codes), flat.lengths).block_hash.of_spans(flat.starts, flat.lengths)
    shift = np.uint64(64 - 12)
    table = np.zeros(1 << 12, dtype=np.uint8)
    table[hashes >> shift] = np.arange(1, len(hashes) + 1)
    return hashes, table, shift


# ---- lines and paragraphs


@dataclass(frozen=True)
class _Lines:
    """Lines of texts, blank ones included: spans of characters, their text, and the words in each."""

    starts: np.ndarray
    ends: np.ndarray
    owners: np.ndarray
    first: np.ndarray
    after: np.ndarray

    @classmethod
    def between(cls, flat: FlatTexts, words: Words, separators: np.ndarray) -> _Lines:
        """Return what lies between the marked characters."""
        marked = separators.copy()
        marked[flat.ends] = True
        ends = find_places(marked)
        counts = np.diff(np.searchsorted(ends, flat.ends), prepend=-1)
        after = np.searchsorted(words.starts, ends)
        previous = np.append(-1, ends)[: len(ends)]
        first = np.append(0, after)[: len(ends)]
        return cls(previous + 1, ends, np.repeat(np.arange(len(counts)), counts), first, after)

    def where(self, chosen: np.ndarray) -> _Lines:
        parts = (self.starts, self.ends, self.owners, self.first, self.after)
        return _Lines(*(part[chosen] for part in parts))


def _measure_lines(flat: FlatTexts, words: Words) -> dict[str, np.ndarray]:
    feed = flat.codes == ord("\n")
    texts, n_feeds = len(flat.lengths), flat.count_in(feeds := find_places(feed))
    between = _Lines.between(flat, words, feed)
    lines = between.where(between.ends > between.starts)
    again = _find_again(flat, lines.starts, lines.ends, lines.owners)
    lengths, filled = lines.ends - lines.starts, lines.first < lines.after
    again_filled = again[filled[again]]
    return {
        "duplicate_lines": _share(
            np.bincount(lines.owners[again], minlength=texts), np.bincount(lines.owners, minlength=texts)
        ),
        "duplicate_line_chars": _share(np.bincount(lines.owners[again], lengths[again], minlength=texts), flat.lengths),
        "repeated_line_chars": _share(
            np.bincount(lines.owners[again_filled], lengths[again_filled], minlength=texts), flat.lengths - n_feeds
        ),
        "line_feeds": _share(n_feeds, np.diff(words.first)),
        **_measure_line_ends(flat, words, lines.where(filled)),
        **_measure_all_lines(flat, words, between, feed),
        **_measure_paragraphs(flat, words, feeds),
    }


def _find_again(flat: FlatTexts, starts: np.ndarray, ends: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """Return which of the spans stood before in their text, ascending; they are not empty."""
    salts = owners.astype(np.uint64) * FACTOR
    lengths = ends - starts
    tails = np.minimum(lengths, 8 // flat.codes.itemsize)
    keys = mix_codes(flat.block_hash.of_spans(ends - tails, tails) + lengths.astype(np.uint64) + salts)
    maybe, _ = find_repeats(keys)
    keys = mix_codes(flat.block_hash.of_spans(starts[maybe], lengths[maybe]) + salts[maybe])
    return maybe[find_later(keys)[0]]


def _measure_line_ends(flat: FlatTexts, words: Words, lines: _Lines) -> dict[str, np.ndarray]:
    """Measure the non-blank lines between line feeds."""
    texts = len(flat.lengths)
    n_lines = np.bincount(lines.owners, minlength=texts)
    last = words.ends[lines.after - 1] - 1
    terminal = (flat.kinds[last] & STOP > 0) & (flat.codes[last] < 0x80)
    terminal |= flat.are(last, '"') | flat.are(last, "'")
    terminal &= ~_ends_in_ellipsis(flat, last)
    enough = lines.after - lines.first >= 3
    mentions = np.zeros(len(last), dtype=bool)
    mentions[np.searchsorted(lines.ends, _find_javascript(flat))] = True
    stopped = (flat.kinds[lines.ends - 1] & STOP > 0) & ~flat.are(lines.ends - 1, "…")

    def share(lines_with: np.ndarray) -> np.ndarray:
        return _share(np.bincount(lines.owners[lines_with], minlength=texts), n_lines)

    return {
        "kept_lines": share(terminal & enough & ~mentions),
        "stopped_lines": share(stopped),
        "short_lines": share(lines.ends - lines.starts <= 30),
    }


def _find_javascript(flat: FlatTexts) -> np.ndarray:
    places = find_places(flat.codes | flat.codes.dtype.type(32) == ord("j"))
    for offset, letter in enumerate("avascript", start=1):
        places = places[places + offset < len(flat.codes)]
        places = places[flat.codes[places + offset] | flat.codes.dtype.type(32) == ord(letter)]
    return places


def _ends_in_ellipsis(flat: FlatTexts, last: np.ndarray) -> np.ndarray:
    dots = flat.are(last, ".")
    for offset in (1, 2):
        dots &= flat.are(np.maximum(last - offset, 0), ".")
    return dots | flat.are(last, "…")


def _measure_all_lines(flat: FlatTexts, words: Words, lines: _Lines, feed: np.ndarray) -> dict[str, np.ndarray]:
    """Measure the lines, blank ones included, between any of Unicode's line ends; CR LF is one.

    `lines`: those between line feeds, which are marked in `feed`; most texts have no others.
    """
    breaks = flat.kinds & BREAK > 0
    breaks[:-1] &= ~((flat.codes[:-1] == ord("\r")) & feed[1:])
    if not np.array_equal(breaks, feed):
        lines = _Lines.between(flat, words, breaks)
    lines = lines.where((lines.ends > lines.starts) | (lines.ends < flat.ends[lines.owners]))  # none after the last end
    texts, filled = len(flat.lengths), np.flatnonzero(lines.first < lines.after)
    opening = words.starts[lines.first[filled]]
    bullet = filled[flat.are(opening, "-") | flat.are(opening, "•")]
    trailing = filled[_ends_in_ellipsis(flat, words.ends[lines.after[filled] - 1] - 1)]
    n_lines = np.bincount(lines.owners, minlength=texts)
    return {
        "bullet_lines": _share(np.bincount(lines.owners[bullet], minlength=texts), n_lines),
        "ellipsis_lines": _share(np.bincount(lines.owners[trailing], minlength=texts), n_lines),
    }


def _measure_paragraphs(flat: FlatTexts, words: Words, feeds: np.ndarray) -> dict[str, np.ndarray]:
    """Measure what lies between runs of two line feeds or more, whitespace around the text left out."""
    filled = np.flatnonzero(np.diff(words.first))
    begin, finish = words.starts[words.first[filled]], words.ends[words.first[filled + 1] - 1]
    gap, size = find_sequences(feeds)
    gap, size = gap[size > 1], size[size > 1]
    place = np.searchsorted(begin, gap) - 1
    inner = (place >= 0) & (gap < finish[np.maximum(place, 0)]) if len(begin) else np.zeros(len(gap), dtype=bool)
    starts = np.sort(np.concatenate([begin, (gap + size)[inner]]))
    ends = np.sort(np.concatenate([finish, gap[inner]]))
    owners, texts = flat.owners_of(starts), len(flat.lengths)
    again = _find_again(flat, starts, ends, owners)
    chars = np.bincount(owners[again], (ends - starts)[again], minlength=texts)
    return {
        "duplicate_paragraphs": _share(
            np.bincount(owners[again], minlength=texts), np.bincount(owners, minlength=texts)
        ),
        "duplicate_paragraph_chars": _share(chars, flat.lengths),
    }


# ---- n-grams


def _measure_ngrams(flat: FlatTexts, words: Words, hashes: np.ndarray) -> dict[str, np.ndarray]:
    """Measure n-grams of rising n; only where an n-gram and the next one repeat can the longer one repeat."""
    salts = np.arange(len(flat.lengths), dtype=np.uint64) * FACTOR
    salted = hashes + np.repeat(salts, np.diff(words.first))  # n-grams of different texts differ
    keys = mix_codes(salted[:-1] * FACTOR + salted[1:])
    places = np.arange(len(keys))

    def go_on(places: np.ndarray, keys: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        following = np.flatnonzero(places[1:] == places[:-1] + 1)
        places = places[following]
        return places, mix_codes(keys[following] * FACTOR + salted[places + n])

    measures = {}
    for n in TOP_NGRAMS:
        repeats, first = find_repeats(keys)
        places, keys = places[repeats], keys[repeats]
        measures[f"top_{n}_gram"] = _share(_top_ngram_chars(words, places, first, n), flat.lengths)
        places, keys = go_on(places, keys, n)
    grams = []
    for n in DUPLICATE_NGRAMS:
        grams.append((places, keys))
        places, keys = go_on(places, keys, n)
    for n, chars in zip(DUPLICATE_NGRAMS, _duplicate_chars(words, grams), strict=True):
        measures[f"duplicate_{n}_grams"] = _share(chars, flat.lengths)
    return measures


def _top_ngram_chars(words: Words, places: np.ndarray, first: np.ndarray, n: int) -> np.ndarray:
    """Return count · length of each text's commonest n-gram, of equally common ones the first.

    `places`, `first`: where the n-grams that repeat stand, and which of them is each one's first; where a text has
    none, its first n-gram counts.
    """
    texts, sizes = len(words.first) - 1, words.sizes
    long_enough = np.flatnonzero(np.diff(words.first) >= n)
    chars = np.zeros(texts)
    start = words.first[long_enough]
    chars[long_enough] = sizes[start + n] - sizes[start] + n - 1
    counts = np.bincount(first, minlength=len(first))
    leaders = np.flatnonzero(counts)
    if len(leaders):
        counts, places = counts[leaders], places[leaders]
        owners = words.owners[places]
        begins = np.flatnonzero(np.diff(owners, prepend=-1))
        # one number tells the higher count, then the earlier place
        best = np.maximum.reduceat((counts << 32) - places, begins)
        count = -(-best >> 32)
        start = (count << 32) - best
        chars[owners[begins]] = count * (sizes[start + n] - sizes[start] + n - 1)
    return chars


def _duplicate_chars(words: Words, grams: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return the characters of n-grams that were read before, when after each one the reading goes on behind it.

    `grams`: for each n of DUPLICATE_NGRAMS where the n-grams stand that may repeat, and their keys; the result's shape
    is (len(grams), texts). In a run of places that all stood before, every n-th is read: the run's words up to behind
    the last one read. That is exact unless the reading jumps over the start of the next run or over the first stand of
    a repeated n-gram; such texts are read place by place.
    """
    texts, sizes = len(words.first) - 1, words.sizes
    stride = len(words.starts) + 2 * DUPLICATE_NGRAMS[-1]  # the places of all n in one row, with a gap between
    places = np.concatenate([places + stride * row for row, (places, _) in enumerate(grams)])
    repeats, first = find_repeats(np.concatenate([keys for _, keys in grams]))
    places = places[repeats]
    is_later = first != np.arange(len(first))
    starts, lengths = find_sequences(places[is_later])
    rows = starts // stride
    n = rows + DUPLICATE_NGRAMS[0]
    ends, behind = starts + lengths, starts + -(-lengths // n) * n
    leaders = places[~is_later]
    jumped = np.searchsorted(leaders, behind) > np.searchsorted(leaders, ends)
    jumped[:-1] |= behind[:-1] > starts[1:]
    owners = rows * texts + words.owners[starts - rows * stride]
    chars = np.bincount(owners, sizes[behind - rows * stride] - sizes[starts - rows * stride], len(grams) * texts)
    if jumped.any():
        rows, places = np.divmod(places, stride)
        groups = rows * texts + words.owners[places]
        for group in np.unique(owners[jumped]).tolist():
            low, high = np.searchsorted(groups, [group, group + 1])
            n = DUPLICATE_NGRAMS[group // texts]
            chars[group] = _read_in_turn(places[low:high].tolist(), first[low:high].tolist(), sizes, n)
    return chars.reshape(len(grams), texts)


def _read_in_turn(places: list[int], grams: list[int], sizes: np.ndarray, n: int) -> int:
    seen, at, chars = set(), 0, 0
    while at < len(places):
        if grams[at] in seen:
            behind = places[at] + n
            chars += int(sizes[behind] - sizes[places[at]])
            at = bisect_left(places, behind, at + 1)
        else:
            seen.add(grams[at])
            at += 1
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
