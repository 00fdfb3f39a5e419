"""Numbers that identify a person or a machine: cards, accounts, national numbers, IP and MAC addresses, coins.

Here: Presidio's recognizers, asked about the pieces of text that hold digits. Not here: numbers that only the words
before them give away (announced.py), phone numbers (phones.py).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from synth_assets.seeds.detectors.spans import ACTIONABLE_SCORE, Detector, Span

if TYPE_CHECKING:
    from presidio_analyzer import PatternRecognizer

_CHECKSUM = "format and checksum (Presidio)"
_CHECKSUM_CUE = "format and checksum (Presidio), with a word beside it that says what it is"
_FORMAT_CUE = "format (Presidio), with a word beside it that says what it is"

_NINE_DIGITS = r"\d(?:[- .]?\d){8}"
# Class in Presidio, whether one of its context words must stand near, and what a piece of text must hold to be read
_UNIVERSAL = (
    ("IbanRecognizer", False, r"[A-Za-z]{2}\d{2}[ -]?[A-Za-z0-9]{4}"),
    ("IpRecognizer", False, r"\d\.\d{1,3}\.\d{1,3}\.\d|::|(?:[0-9A-Fa-f]{1,4}:){4}"),
    ("MacAddressRecognizer", False, r"(?:[0-9A-Fa-f]{2}[:-]){5}|(?:[0-9A-Fa-f]{4}\.){2}"),
)
_NATIONAL: Mapping[str, tuple[tuple[str, bool, str], ...]] = MappingProxyType(
    {
        "en": (
            ("UsSsnRecognizer", False, _NINE_DIGITS),
            ("UsItinRecognizer", False, _NINE_DIGITS),
            ("UsMbiRecognizer", True, r"\d[A-Za-z]"),
            ("NhsRecognizer", True, _NINE_DIGITS),
            ("UkNinoRecognizer", True, r"[A-Za-z]{2}(?: ?\d{2}){3} ?[A-Da-d]"),
            ("UkDrivingLicenceRecognizer", False, r"[A-Za-z]\d{6}"),
            ("CaSinRecognizer", True, _NINE_DIGITS),
            ("AuTfnRecognizer", True, _NINE_DIGITS),
            ("AuMedicareRecognizer", True, _NINE_DIGITS),
            ("InAadhaarRecognizer", True, r"\d(?:[- :]?\d){11}"),
            ("InPanRecognizer", True, r"[A-Za-z]\d{4}[A-Za-z]"),
            ("SgFinRecognizer", True, r"[A-Za-z]\d{7}[A-Za-z]"),
            ("ZaIdNumberRecognizer", True, r"\d{13}"),
            ("NgNinRecognizer", True, r"\d{11}"),
        ),
        "de": (
            ("DeTaxIdRecognizer", True, r"\d{11}"),
            ("DeSocialSecurityRecognizer", False, r"\d{8}[A-Za-z]\d{3}"),
            ("DeHealthInsuranceRecognizer", False, r"[A-Za-z]\d{9}"),
            ("DeIdCardRecognizer", True, r"[A-Za-z0-9]{9}"),
        ),
        "es": (
            ("EsNifRecognizer", False, r"\d{7}-?[A-Za-z]"),
            ("EsNieRecognizer", False, r"\d{7}-?[A-Za-z]"),
        ),
        "it": (("ItFiscalCodeRecognizer", False, r"[A-Za-z]{6}"),),
        "pl": (("PlPeselRecognizer", True, r"\d{11}"),),
        "fi": (("FiPersonalIdentityCodeRecognizer", False, r"\d{6}[-+A-Za-z]\d{3}"),),
        "sv": (("SePersonnummerRecognizer", True, r"\d{6}[-+]?\d{4}"),),
        "ko": (("KrRrnRecognizer", True, r"\d{6}-?\d{7}"),),
        "th": (("ThTninRecognizer", True, r"\d{13}"),),
        "tr": (("TrNationalIdRecognizer", True, r"\d{11}"),),
    }
)
_CAPITALS = {ord(letter): letter.upper() for letter in "abcdefghijklmnopqrstuvwxyz"}
_DIGITS = re.compile(r"\d+")
_GAP = 8
_LONGEST_WINDOW = 400
_CUE_BEFORE = 60
_CUE_AFTER = 25
_CARD_SHAPE = re.compile(r"\d(?:[ -]?\d){11}")
_CARD = re.compile(
    r"4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}|"
    r"3(?:0[0-5]|[689]\d)\d{11,16}|(?:6011|65\d\d|64[4-9]\d)\d{12,15}|62\d{14,17}|35\d{14,17}|"
    r"(?:2131|1800)\d{11}|(?:50|5[6-9]|6\d)\d{14,17}"
)
_SHORT_CARD = re.compile(r"(?:50|5[6-9]|6\d)\d{10,13}")
_CARD_CUE = re.compile(
    r"\b(?:card|maestro|debit|credit|karte|carte|tarjeta|carta|cart[aã]o|kaart|kort|karta)", re.IGNORECASE
)
_ANY_CARD = ("12 to 19 digits", r"(?<![\w.,$€£-])\d{4}(?:[ -]?\d{2,6}){1,4}(?![\w-]|[.,]\d)", 0.3)
_VERSION = re.compile(r"(?:version|release|section|chapter|\bv|§)[ .:]*$", re.IGNORECASE)
_HOST_CUE = re.compile(r"\b(?:ip|host|server|dns|ping|address)\b", re.IGNORECASE)
_BITCOIN = re.compile(r"(?<!\w)(?:bc1[a-z0-9]{25,59}|[13][1-9A-HJ-NP-Za-km-z]{25,34})(?!\w)")
_ETHEREUM = re.compile(r"(?<!\w)0x[0-9a-fA-F]{40}(?!\w)")


@dataclass(frozen=True, slots=True)
class _Recognizer:
    """One of Presidio's recognizers, with what must be in a piece of text and near it to ask it at all."""

    class_name: str
    needs_cue: bool
    shape: re.Pattern[str]

    def find(self, window: str, around: str) -> Iterator[Span]:
        """Yield the spans of the window that pass; weak formats only beside a context word."""
        presidio, cue = _presidio(self.class_name)
        cued = cue.search(around) is not None
        if self.needs_cue and not cued:
            return
        entity = presidio.supported_entities[0]
        for result in presidio.analyze(window, [entity]):
            if result.score >= ACTIONABLE_SCORE or cued:
                yield Span(entity, result.start, result.end, max(result.score, ACTIONABLE_SCORE))


@cache
def _load_presidio(class_name: str, *patterns: tuple[str, str, float]) -> PatternRecognizer:
    """Return one of Presidio's recognizers, with other patterns if given; the import takes seconds, so it waits."""
    from presidio_analyzer import Pattern, predefined_recognizers

    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
    own = {"patterns": [Pattern(*pattern) for pattern in patterns]} if patterns else {}
    return getattr(predefined_recognizers, class_name)(**own)


@cache
def _presidio(class_name: str) -> tuple[PatternRecognizer, re.Pattern[str]]:
    """Return a recognizer and the pattern of its context words."""
    presidio = _load_presidio(class_name)
    words = "|".join(re.escape(word.strip()) for word in presidio.context or ())
    return presidio, re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE)


@cache
def _recognizers(language: str) -> tuple[_Recognizer, ...]:
    """Return the recognizers for a language, English-speaking countries included."""
    wanted = _UNIVERSAL + _NATIONAL["en"] + (() if language == "en" else _NATIONAL.get(language, ()))
    return tuple(_Recognizer(name, needs_cue, re.compile(shape)) for name, needs_cue, shape in wanted)


def _find_numbers(text: str, language: str) -> Iterator[Span]:
    recognizers = _recognizers(language)
    for start, end in _digit_windows(text):
        window = text[start:end].translate(_CAPITALS)
        around = text[max(0, start - _CUE_BEFORE) : end + _CUE_AFTER]
        if _CARD_SHAPE.search(window):
            yield from _find_cards(window, around, start)
        for recognizer in recognizers:
            if not recognizer.shape.search(window):
                continue
            for span in recognizer.find(window, around):
                before = text[max(0, start + span.start - 12) : start + span.start]
                if span.entity != "IP_ADDRESS" or not _is_version(window[span.start : span.end], before):
                    yield Span(span.entity, start + span.start, start + span.end, span.score)


def _is_version(value: str, before: str) -> bool:
    """Whether four numbers with dots count sections or versions: "version 1.12.0.4", "figure 3.2.1.1"."""
    single = re.fullmatch(r"\d(?:\.\d){3}", value) is not None and len(set(value)) > 2
    return _VERSION.search(before) is not None or (single and not _HOST_CUE.search(before))


def _find_cards(window: str, around: str, start: int) -> Iterator[Span]:
    for result in _load_presidio("CreditCardRecognizer", _ANY_CARD).analyze(window, ["CREDIT_CARD"]):
        digits = re.sub(r"\D", "", window[result.start : result.end])
        if _CARD.fullmatch(digits) or (_SHORT_CARD.fullmatch(digits) and _CARD_CUE.search(around)):
            yield Span("CREDIT_CARD", start + result.start, start + result.end, 1.0)


def _digit_windows(text: str) -> Iterator[tuple[int, int]]:
    """Yield the pieces of text that hold digits close together, with the rest of their words; about 500 characters."""
    first = last = -1
    for match in _DIGITS.finditer(text):
        if first >= 0 and (match.start() - last > _GAP or match.end() - first > _LONGEST_WINDOW):
            yield _widen(text, first, last)
            first = -1
        if first < 0:
            first = match.start()
        last = match.end()
    if first >= 0:
        yield _widen(text, first, last)


def _widen(text: str, start: int, end: int) -> tuple[int, int]:
    """Extend a span to the spaces around it, by 40 characters at most, and by a short word on either side."""
    before = re.search(r"(?:\b[A-Za-z]{1,4} )?\S*$", text[max(0, start - 40) : start])
    after = re.match(r"\S*(?: [A-Za-z]{1,4}\b)?", text[end : end + 40])
    return start - len(before[0] if before else ""), end + len(after[0] if after else "")


def _find_crypto(text: str, _language: str) -> Iterator[Span]:
    for match in _ETHEREUM.finditer(text):
        yield Span("CRYPTO", match.start(), match.end(), 0.9)
    for match in _BITCOIN.finditer(text):
        for result in _load_presidio("CryptoRecognizer").analyze(match[0], ["CRYPTO"]):
            yield Span("CRYPTO", match.start() + result.start, match.start() + result.end, result.score)


CRYPTO = Detector(
    entities={
        "CRYPTO": "Bitcoin addresses by checksum (Presidio), Ethereum addresses by format",
    },
    find=_find_crypto,
    triggers=(r"[A-Za-z0-9]{26}",),
)

NUMBERS = Detector(
    entities={
        "IBAN_CODE": _CHECKSUM,
        "CREDIT_CARD": "issuer prefix and Luhn checksum (Presidio); short Maestro numbers beside a word for a card",
        "US_ITIN": "format (Presidio)",
        "US_SSN": "format and valid ranges (Presidio); without hyphens only beside a word for it",
        "US_MBI": _FORMAT_CUE,
        "UK_NHS": _CHECKSUM_CUE,
        "UK_NINO": _FORMAT_CUE,
        "UK_DRIVING_LICENCE": _CHECKSUM,
        "CA_SIN": _FORMAT_CUE,
        "AU_TFN": _CHECKSUM_CUE,
        "AU_MEDICARE": _CHECKSUM_CUE,
        "IN_AADHAAR": _CHECKSUM_CUE,
        "IN_PAN": _FORMAT_CUE,
        "SG_NRIC_FIN": _FORMAT_CUE,
        "ZA_ID_NUMBER": _CHECKSUM_CUE,
        "NG_NIN": _CHECKSUM_CUE,
        "DE_TAX_ID": _CHECKSUM_CUE + "; language de",
        "DE_SOCIAL_SECURITY": _CHECKSUM + "; language de",
        "DE_HEALTH_INSURANCE": _CHECKSUM + "; language de",
        "DE_ID_CARD": _CHECKSUM_CUE + "; language de",
        "ES_NIF": _CHECKSUM + "; language es",
        "ES_NIE": _CHECKSUM + "; language es",
        "IT_FISCAL_CODE": _CHECKSUM + "; language it",
        "PL_PESEL": _CHECKSUM_CUE + "; language pl",
        "FI_PERSONAL_IDENTITY_CODE": _CHECKSUM + "; language fi",
        "SE_PERSONNUMMER": _CHECKSUM_CUE + "; language sv",
        "KR_RRN": _CHECKSUM_CUE + "; language ko",
        "TH_TNIN": _CHECKSUM_CUE + "; language th",
        "TR_NATIONAL_ID": _CHECKSUM_CUE + "; language tr",
        "IP_ADDRESS": "IPv4 and IPv6 format (Presidio)",
        "MAC_ADDRESS": "format (Presidio)",
    },
    find=_find_numbers,
    triggers=(
        r"\d(?:.{0,3}\d){4}|\d\.\d{1,3}\.\d{1,3}\.\d|::|(?:[0-9A-Fa-f]{1,4}:){4}|(?:[0-9A-Fa-f]{2}[:-]){5}|"
        r"[A-Za-z]{2}\d{2}[ -]?[A-Za-z0-9]{4}|[A-Za-z]\d{4}[A-Za-z]",
    ),
)
