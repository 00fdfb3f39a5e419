"""Personal data and secrets in a column of texts: what is looked for, what is not, and where it stands.

Here: which texts each detector must read, text as a reader sees it, overlaps. Not here: the detectors (detectors/) and
what a finding means for a row (liabilities.py). Nothing is downloaded and no language model is needed, so what only a
model can see is NOT_COVERED.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl

from synth_assets.seeds.detectors.addresses import ADDRESSES
from synth_assets.seeds.detectors.announced import ANNOUNCED
from synth_assets.seeds.detectors.credentials import SECRETS
from synth_assets.seeds.detectors.numbers import CRYPTO, NUMBERS
from synth_assets.seeds.detectors.online import EMAILS, URLS
from synth_assets.seeds.detectors.persons import PERSONS
from synth_assets.seeds.detectors.phones import PHONES
from synth_assets.seeds.detectors.spans import Detector, Span

# The more telling first: where findings overlap, this order decides.
_DETECTORS: tuple[Detector, ...] = (
    SECRETS,
    EMAILS,
    URLS,
    CRYPTO,
    NUMBERS,
    ANNOUNCED,
    PHONES,
    ADDRESSES,
    PERSONS,
)

COVERED: Mapping[str, str] = MappingProxyType(
    {entity: how for detector in _DETECTORS for entity, how in detector.entities.items()}
)
"""Entity types that are looked for, and how each is found."""

NOT_COVERED: tuple[str, ...] = (
    "AGE",
    "BIOMETRIC_DATA",
    "DATE_TIME",
    "HEALTH_CONDITION",
    "LOCATION",
    "MEDICAL_RECORD_NUMBER",
    "NATIONAL_ID_OF_OTHER_COUNTRIES",
    "NRP",
    "ORGANIZATION",
    "PERSON_BY_FAMILY_NAME_ALONE",
    "PERSON_IN_SCRIPTS_WITHOUT_CAPITALS",
    "SOCIAL_MEDIA_HANDLE",
    "VEHICLE_REGISTRATION",
    "ZIP_CODE",
)
"""Kinds of personal data that nothing here looks for; every report says so. NRP: nationality, religion, politics."""

_FINDINGS = {"row": pl.UInt32, "entity": pl.String, "start": pl.Int64, "end": pl.Int64, "score": pl.Float64}
_RANK = {entity: rank for rank, entity in enumerate(COVERED)}
_PIECE = 100_000
_OVERLAP = 1_000


def find_pii(texts: pl.Series, *, language: str = "en") -> pl.DataFrame:
    """Return what is found in a String column, one row a finding, in row order, without overlaps.

    Columns: row (UInt32, position in `texts`), entity, start, end (Int64, characters, end excluded), score (Float64).
    `language` is a BCP 47 tag; it decides whose national numbers are looked for (English-speaking countries always).
    Equal texts are read once, a text without a suspicious pattern costs some microseconds, and the time is linear in
    the length of a text.

    ["call Mr. Berg, jo@berg.de"] → (0, PERSON, 9, 13, 0.85), (0, EMAIL_ADDRESS, 15, 25, 1.0)
    """
    texts = texts.cast(pl.String).alias("text")
    unique = texts.drop_nulls().unique(maintain_order=True)
    clean, positions = _normalize_texts(unique)
    primary = language.lower().replace("_", "-").partition("-")[0]

    found: list[tuple[Any, ...]] = []
    for number, *flags in _suspect(clean).filter(pl.any_horizontal(pl.exclude("row"))).iter_rows():
        detectors = [detector for detector, flag in zip(_DETECTORS, flags, strict=True) if flag]
        back = positions.get(number)
        for span in _search(clean[number], detectors, primary):
            start, end = span.start, span.end
            if back is not None:
                start, end = int(back[start]), int(back[end - 1]) + 1
            found.append((number, span.entity, start, end, span.score))

    findings = pl.DataFrame(found, schema=_FINDINGS, orient="row").rename({"row": "number"})
    hits = findings.get_column("number").unique()
    rows = texts.to_frame().with_row_index("row")
    rows = rows.join(pl.DataFrame({"number": hits, "text": unique.gather(hits)}), on="text")
    return rows.join(findings, on="number").select(*_FINDINGS).sort("row", "start")


def _suspect(texts: pl.Series) -> pl.DataFrame:
    """Return which detector must read which text: `row`, and a Boolean column a detector, in their order."""
    triggered = [
        pl.all_horizontal(pl.col("text").str.contains(trigger) for trigger in detector.triggers).alias(str(position))
        for position, detector in enumerate(_DETECTORS)
    ]
    flags = texts.alias("text").to_frame().with_row_index("row").with_columns(triggered)
    folded = pl.col("text").str.to_lowercase().str.normalize("NFKD").str.replace_all(r"\p{Mn}", "")
    words = flags.lazy().select("row", folded.str.extract_all(r"\p{L}{2,}").alias("word")).explode("word")
    for position, detector in enumerate(_DETECTORS):
        if detector.words:
            known = pl.col("word").is_in(pl.Series(sorted(detector.words)).implode())
            rows = words.filter(known).select(pl.col("row").unique()).collect().to_series()
            flags = flags.with_columns(pl.col(str(position)) | pl.col("row").is_in(rows.implode()))
    return flags.drop("text")


def _search(text: str, detectors: Sequence[Detector], language: str) -> list[Span]:
    """Return the spans of one text, in order; a long text is searched in overlapping pieces."""
    spans: list[Span] = []
    start = 0
    while True:
        piece = text[start : start + _PIECE]
        for detector in detectors:
            spans.extend(
                Span(entity, start + first, start + last, score)
                for entity, first, last, score in detector.find(piece, language)
            )
        if start + _PIECE >= len(text):
            return _resolve_overlaps(spans)
        start += _PIECE - _OVERLAP


def _resolve_overlaps(spans: list[Span]) -> list[Span]:
    """Keep, where spans overlap, the more telling entity (the order of COVERED), then the longest."""
    starts: list[int] = []
    kept: dict[int, Span] = {}
    for span in sorted(spans, key=lambda s: (_RANK[s.entity], s.start - s.end, s.start, -s.score)):
        place = bisect_left(starts, span.end)
        if place == 0 or kept[starts[place - 1]].end <= span.start:
            insort(starts, span.start)
            kept[span.start] = span
    return [kept[start] for start in starts]


# ---- text as a reader sees it

_INVISIBLE = (
    *(0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180E, 0xFEFF),
    *(*range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x2070), *range(0xFE00, 0xFE10)),
)
_PLAIN: dict[int, str | None] = {
    **{code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},
    **dict.fromkeys([0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000], " "),
    **dict.fromkeys([*range(0x2010, 0x2016), 0x2212, 0xFE58, 0xFE63], "-"),
    **dict.fromkeys([0x2018, 0x2019, 0x201B, 0x2BC], "'"),
    **dict.fromkeys([0x201C, 0x201D, 0x201E, 0x201F], '"'),
    **{zero + digit: str(digit) for zero in (0x660, 0x6F0, 0x966, 0x9E6) for digit in range(10)},
    **dict.fromkeys(_INVISIBLE),
}


def _normalize_texts(texts: pl.Series) -> tuple[pl.Series, dict[int, np.ndarray]]:
    """Return the texts as a reader sees them, and for each that lost characters the position of those that stayed.

    Full-width and Arabic-Indic digits, odd spaces, dashes and quotes become ASCII; zero-width characters go away.
    """
    plain: dict[int, str] = {}
    positions: dict[int, np.ndarray] = {}
    for number in texts.str.contains(r"[^\x00-\x7F]").arg_true():
        text = texts[number]
        clean = text.translate(_PLAIN)
        if clean != text:
            plain[number] = clean
        if len(clean) != len(text):
            codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
            positions[number] = np.flatnonzero(~np.isin(codes, _INVISIBLE))
    if plain:
        texts = texts.clone().scatter(list(plain), list(plain.values()))  # scatter writes in place
    return texts, positions
