"""Numbers and dates that only the words before them give away: passports, licenses, accounts, dates of birth.

Here: the words and what may follow them. Not here: numbers with a format of their own (numbers.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from synth_assets.seeds.detectors.spans import Detector, Span

_FILLER = r"(?:[ \t]{0,2}(?:number|no\.?|nr\.?|num\.?|n[º°]|id|is|was|#|:|=|-)){0,4}[ \t]{0,2}"
_ANNOUNCED: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "PASSPORT",
        re.compile(
            rf"\b(?:passport|reisepass|passeport|pasaporte|passaporto|paspoort){_FILLER}([A-Z]{{0,3}}\d{{5,9}}[A-Z]?)\b",
            re.IGNORECASE,
        ),
    ),
    (
        "DRIVER_LICENSE",
        re.compile(
            rf"\bdriv(?:er'?s?'?|ing) licen[cs]e{_FILLER}((?=[A-Z0-9-]{{0,12}}\d{{3}})[A-Z0-9][A-Z0-9-]{{4,18}})\b",
            re.IGNORECASE,
        ),
    ),
    (
        "BANK_ACCOUNT",
        re.compile(
            r"\b(?:account|acct|a/c) ?(?:number|no\.?|nr\.?|#)(?: ?(?:is|was|:|=|#)){0,2} {0,2}"
            r"(\d[\d -]{5,18}\d)(?!\d)",
            re.IGNORECASE,
        ),
    ),
)
_DATE = (
    r"\d{1,2}(?:st|nd|rd|th|\.)? ?(?:of |de )?[^\W\d_]{3,10}\.?,?(?: de)? \d{4}|"
    r"[^\W\d_]{3,10}\.? \d{1,2}(?:st|nd|rd|th)?,? \d{4}|\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|"
    r"\d{1,2}[-/.] ?\d{1,2}[-/.] ?(?:\d{4}|\d{2})\b"
)
_BIRTH = re.compile(
    r"\b(?:born|d\.?o\.?b\.?|date of birth|birth ?date|birthday|geboren|geburtsdatum|geb\.|n[ée]e? le|"
    r"date de naissance|fecha de nacimiento|nacid[oa] el|nat[oa] il|data di nascita|data de nascimento|nascid[oa] em|"
    rf"geboortedatum|född|født|syntynyt)[^\n\d]{{0,25}}?({_DATE})",
    re.IGNORECASE,
)


def _find_announced(text: str, _language: str) -> Iterator[Span]:
    for entity, pattern in _ANNOUNCED:
        for match in pattern.finditer(text):
            yield Span(entity, match.start(1), match.end(1), 0.7)
    for match in _BIRTH.finditer(text):
        yield Span("DATE_OF_BIRTH", match.start(1), match.end(1), 0.7)


ANNOUNCED = Detector(
    entities={
        "PASSPORT": "number after the word passport (six languages)",
        "DRIVER_LICENSE": "number after driver's license or driving licence",
        "BANK_ACCOUNT": "number after account number",
        "DATE_OF_BIRTH": "date after a word such as born or DOB (eight languages)",
    },
    find=_find_announced,
    triggers=(
        r"(?i)pass|pasa|paspoort|licen|acc|a/c|born|birth|d\.?o\.?b|geb|n[ée]e? le|naissance|nac|nasc|nat[oa] |född|"
        r"født|synt",
        r"\d{2}",
    ),
)
