"""Street addresses.

Here: house numbers with the street words of some 16 languages, boxes, and the place and postal code after them. Not
here: places without a street.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from synth_assets.seeds.detectors.spans import Detector, Span

_CAPITAL = r"[A-ZÀ-ÖØ-ÞŠŽĆČĐŁŚŹŻŐŰÅ][\w'.\-]{0,25}"
_HOUSE = r"\d{1,6}[A-Za-z]?(?:[-/]\d{1,5})?"
_LEAD = rf"(?:{_HOUSE},? )?"
_UNIT = r"(?i:apt|apartment|suite|ste)\.? ?#? ?\d{1,5}[A-Za-z]?\b"
_NUMBER = r"\d{1,5}[A-Za-z]?\b"
_BREAK = r"[,\s]{1,4}[>?]{0,3} {0,4}"
_STREET_WORDS = (
    "Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square|Sq|Terrace|Way|Crescent|Cres|"
    "Close|Parkway|Pkwy|Highway|Hwy|Circle|Cir|Trail|Trl|Alley|Row|Mews|Grove|Turnpike|Quay|Loop"
)
_STREET_ENDINGS = (
    "straße|strasse|str\\.|gasse|platz|allee|damm|ufer|weg|straat|laan|plein|kade|gracht|singel|dreef|gatan|gata|vägen|"
    "gränd|vegen|veien|vej|gade|stræde|allé|katu|kuja|polku|tie|braut|stræti"
)
_STREET_NOUNS = (
    "Straße|Strasse|Str\\.|Weg|Platz|Allee|Gasse|utca|u\\.|út|útja|tér|körút|krt\\.|kapu|ulica|cesta|trg|vei|gate|veg|väg|"
    "gata|tn|tänav|mnt|Caddesi|Cad\\.|Sokak|Sok\\."
)
_STREET_PREFIXES = (
    "Rua|Avenida|Avda?\\.?|Travessa|Largo|Praça|Estrada|Alameda|Rue|Avenue|Boulevard|Bd|Chemin|Impasse|Allée|Quai|Calle|C/|"
    "Carrer|Paseo|Plaza|Camino|Ronda|Via|Viale|Piazza|Corso|Vicolo|Strada|Contrada|Località|ul\\.|Ulica|ulica|al\\.|os\\.|"
    "Str\\.|Bulevardul|Λεωφόρος|Οδός|ул\\.|улица|проспект"
)
_FRENCH_PREFIXES = "rue|avenue|av\\.|boulevard|bd|chemin|impasse|allée|place|quai|route|cours"
_PARTICLE = r"(?:(?:de|du|des|da|do|dos|das|del|della|delle|dei|degli|di|la|le|les|los|las|el|y|e) |(?:de )?l'|d'){0,3}"
_ADDRESS_CUES = (
    "address(?: is)?:?|lives? (?:at|on)|living (?:at|on)|located (?:at|on)|resid(?:es?|ing) (?:at|on)|sent to|"
    "ship(?:ped)? to|deliver(?:ed|y)? to|return to|corner of|office is at"
)
_ADDRESSES: tuple[re.Pattern[str], ...] = (
    # 12 Elm Street, Apt. 4
    re.compile(
        rf"(?<![\w$€£.,])(?<![Ii]n )(?<![Ss]ince ){_HOUSE},? (?:(?:[NSEW]|[NS][EW])\.? )?"
        rf"(?:(?:{_CAPITAL}|\d{{1,3}}(?:st|nd|rd|th)) ){{1,4}}"
        rf"(?:{_STREET_WORDS}|{_STREET_WORDS.upper()}|street|st|avenue|ave|road|rd|boulevard|blvd|lane|drive)\b\.?"
    ),
    # 12 elm street
    re.compile(
        r"(?<![\w$€£.,])\d{1,5} (?!(?:hours?|minutes?|miles?|blocks?|more|different|main|of|on|in|the|per|city|new) )"
        r"[a-z]{3,15} (?:street|avenue|boulevard)\b"
    ),
    # Hauptstraße 5, Storgatan 12
    re.compile(rf"(?<!\w){_LEAD}[^\W\d_][\w'\-]{{2,40}}(?i:{_STREET_ENDINGS}),? {_NUMBER}"),
    # Lange Straße 5, Petőfi utca 12
    re.compile(rf"(?<!\w){_LEAD}(?:{_CAPITAL} ){{1,3}}(?:{_STREET_NOUNS}),? (?:No:? ?)?{_NUMBER}"),
    # Rua do Ouro 12; Via Roma, 3; ul. Długa 7
    re.compile(
        rf"(?<!\w){_LEAD}(?:{_STREET_PREFIXES}) {_PARTICLE}(?:[^\W\d_a-z][\w'.\-]{{0,25}},? {_PARTICLE}){{1,4}}"
        rf"(?:n[º°.]? ?)?{_NUMBER}"
    ),
    # 12 bis, rue de la Paix
    re.compile(rf"(?<!\w)\d{{1,4}}(?: ?(?:bis|ter))?,? (?i:{_FRENCH_PREFIXES}) {_PARTICLE}[^\W\d_a-z][\w'\-]{{0,25}}"),
    re.compile(
        r"\b(?:P\.? ?O\.? Box \d{1,6}|(?:PSC|CMR|Unit) \d{1,5},? Box \d{1,5}|[AFD]PO,? A[AEP] \d{5})\b", re.IGNORECASE
    ),
    re.compile(r"\b(?:(?i:apt|suite)\.?|Apartment) ?#? ?\d{1,5}[A-Za-z]?\b(?![.,]\d)"),
    # 12 Lillepi 4, Apt. 3
    re.compile(rf"(?<!\w){_LEAD}(?:{_CAPITAL} ){{1,4}}{_NUMBER}(?={_BREAK}{_UNIT})"),
)
# lives at 12 Lillepi 4
_ANNOUNCED = re.compile(
    rf"\b(?i:{_ADDRESS_CUES})[ :\n]{{1,8}}({_LEAD}"
    rf"(?!(?:Gate|Room|Floor|Level|Page|Chapter|Section|Step|Table|Building|Windows) )(?:{_CAPITAL} ){{1,4}}{_NUMBER})"
)
_ADDRESS_TAIL = re.compile(
    rf"(?:{_BREAK}{_UNIT})?(?:{_BREAK}\(?{_CAPITAL}(?: {_CAPITAL}){{0,3}}\)?){{1,4}}"
    rf"{_BREAK}\d{{4,6}}(?:-\d{{3,4}})?(?![\w-])"
)


def _find_addresses(text: str, _language: str) -> Iterator[Span]:
    places = [match.span() for pattern in _ADDRESSES for match in pattern.finditer(text)]
    places += [match.span(1) for match in _ANNOUNCED.finditer(text)]
    for start, end in places:
        tail = _ADDRESS_TAIL.match(text, end)
        yield Span("STREET_ADDRESS", start, tail.end() if tail else end, 0.6)


ADDRESSES = Detector(
    entities={
        "STREET_ADDRESS": "house number with a street word of 16 languages, P.O. and military boxes, apartment numbers",
    },
    find=_find_addresses,
    triggers=(
        rf"(?i)(?-u:\b)(?:{_STREET_WORDS}|{_FRENCH_PREFIXES}|{_ADDRESS_CUES}|apt|apartment|suite|box|apo|fpo|dpo)(?-u:\b)|"
        rf"(?:{_STREET_ENDINGS}|{_STREET_NOUNS}),? |(?:{_STREET_PREFIXES}) ",
        r"\d",
    ),
)
