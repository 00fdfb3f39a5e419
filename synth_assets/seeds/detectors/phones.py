"""Phone numbers.

Here: what is written like a phone number and is valid in a number plan (phonenumbers), or stands beside a word for it.
Not here: other numbers (numbers.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from synth_assets.seeds.detectors.spans import Detector, Span

_REGIONS = (
    *("US", "GB", "CA", "AU", "IE", "NZ", "IN", "ZA", "SG", "HK", "BR", "MX", "JP"),
    *("FR", "DE", "AT", "CH", "ES", "IT", "PT", "BE", "NL", "LU", "SE", "NO", "DK", "FI", "IS"),
    *("PL", "CZ", "HU", "SI", "HR", "EE"),
)
_PHONE = re.compile(
    r"(?<![\w.+-])(?<!\d[,/:])(?:\+ ?|\()?\d[\d ().\-/]{4,24}\d(?: ?(?:x|ext\.?|extension)[ .:]?\d{1,6})?"
    r"(?![\w%])(?![.,:]\d)",
    re.IGNORECASE,
)
_PHONE_CUE = re.compile(
    r"(?:\b(?:tele?phone|phone|tel|mobile|cell|cellphone|fax|call|calls|called|calling|dial|ring|rang|text|sms|"
    r"whats ?app|desk|office|landline|hotline|voicemail|answering|messages to|"
    r"(?:my|your|his|her|their|contact|work|home) number|reach (?:me|us|him|her|them)|telefon|handy|"
    r"mobil|rufnummer|téléphone|tél|portable|teléfono|móvil|celular|telefone|telefono|cellulare|telefoon)\b)[^\d]{0,30}$",
    re.IGNORECASE,
)
_PHONE_CUE_AFTER = re.compile(r"[ \t]{0,2}[-(]?[ \t]?(?:office|fax|mobile|cell|home|work|phone|tel)\b", re.IGNORECASE)
_OTHER_NUMBER = re.compile(
    r"\b(?:order|invoice|ticket|case|ref|reference|tracking|transaction|serial|model|part|sku|isbn|zip|item|claim|policy|"
    r"account|id|version)(?: (?:number|no|id))?[ .:#-]{0,4}$",
    re.IGNORECASE,
)
_DATE_LIKE = re.compile(
    r"(?:19|20)\d\d[-/. ](?:0?[1-9]|1[0-2])[-/. ]\d{1,2}(?!\d)|"
    r"(?:0?[1-9]|[12]\d|3[01])[-/.](?:0?[1-9]|[12]\d|3[01])[-/.](?:19|20)?\d\d(?!\d|[-/.]\d)|"
    r"(?:1\d|20)\d\d ?[-/ ] ?(?:1\d|20)\d\d$|\d{1,3}(?:\.\d{1,3}){3}$|\d{3}-\d{2}-\d{4}$|\d{1,3}(?: \d{3})+$"
)
_NORTH_AMERICAN = re.compile(r"(?:\+?1[-. ]?)?(?:\([2-9]\d\d\) ?|[2-9]\d\d[-.])\d{3}[-.]\d{4}(?!\d)")
_MATH_BEFORE = re.compile(r"[=*<>$€£%^#][ ]?$")
_MATH_AFTER = re.compile(r" ?[=*<>$€£%^]")


def _find_phones(text: str, _language: str) -> Iterator[Span]:
    for match in _PHONE.finditer(text):
        start, number = match.start(), match[0]
        before, after = text[max(0, start - 50) : start], text[match.end() : match.end() + 12]
        if sum(character.isdigit() for character in number) > 20 or number.count("(") != number.count(")"):
            for part in _NORTH_AMERICAN.finditer(number):
                yield Span("PHONE_NUMBER", start + part.start(), start + part.end(), 0.6)
            continue
        score = _judge_phone(number, before, after)
        if score:
            yield Span("PHONE_NUMBER", start, match.end(), score)


def _judge_phone(number: str, before: str, after: str) -> float:
    body = re.split(r" ?(?:x|ext)", number, flags=re.IGNORECASE)[0]
    digits = re.sub(r"\D", "", body)
    if re.search(r"[ ().\-/]{4}", body) or not 7 <= len(digits) <= 16 or len(set(digits)) < 3:
        return 0.0
    if body.startswith("+") or digits.startswith("00"):
        return _judge_international("+" + digits.removeprefix("00"))
    if _OTHER_NUMBER.search(before) or _MATH_BEFORE.search(before) or _MATH_AFTER.match(after):
        return 0.0
    cued = _PHONE_CUE.search(before) is not None or _PHONE_CUE_AFTER.match(after) is not None
    if _DATE_LIKE.match(body):
        return 0.6 if cued and re.fullmatch(r"\d{2,3}(?: \d{3}){2,3}", body) else 0.0
    if cued:
        return 0.7
    if _NORTH_AMERICAN.fullmatch(body):
        return 0.6
    groups = re.findall(r"\d+", body)
    if len(digits) < 9 or len(groups) < 2 or min(map(len, groups)) < 2 or "/" in body or " - " in body:
        return 0.0
    if max(map(len, groups)) == 2 and not digits.startswith("0"):
        return 0.0
    return 0.6 if _is_valid_somewhere(body) else 0.0


@lru_cache(maxsize=65_536)
def _judge_international(number: str) -> float:
    import phonenumbers

    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        return 0.0
    if phonenumbers.is_valid_number(parsed):
        return 0.9
    return 0.6 if phonenumbers.is_possible_number(parsed) else 0.0


@lru_cache(maxsize=65_536)
def _is_valid_somewhere(number: str) -> bool:
    """Whether a number is valid and grouped as usual in one of the countries that are tried."""
    from phonenumbers import Leniency, PhoneNumberMatcher

    for region in _REGIONS:
        match = next(iter(PhoneNumberMatcher(number, region, leniency=Leniency.STRICT_GROUPING)), None)
        if match is not None and match.end - match.start == len(number):
            return True
    return False


PHONES = Detector(
    entities={
        "PHONE_NUMBER": "valid in the number plan of + countries or of some 25 others (phonenumbers) and written in "
        "groups, or beside a word such as call or mobile",
    },
    find=_find_phones,
    triggers=(r"(?:\d[ ().\-/]{0,3}){7}",),
)
