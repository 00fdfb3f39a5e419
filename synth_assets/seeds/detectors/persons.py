"""Person names in text, by rule: a name is believed when something beside its capitals speaks for it.

Here: the rules, from titles, phrases such as "my name is", name lists, initials and family-name endings. Not here: the
word lists (names.py), overlaps with other kinds (../pii.py).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from synth_assets.seeds.detectors.names import (
    FAMILY_NAMES,
    GIVEN_NAMES,
    NOT_NAMES,
    WORDLIKE_FAMILY_NAMES,
    WORDLIKE_GIVEN_NAMES,
    read_words,
)
from synth_assets.seeds.detectors.spans import Detector, Span

TITLED = 0.85
INTRODUCED = 0.75
LISTED = 0.7
SHAPED = 0.55
LONE_GIVEN_NAME = 0.4

CERTAIN_GIVEN_NAMES = GIVEN_NAMES - WORDLIKE_GIVEN_NAMES - NOT_NAMES
CERTAIN_FAMILY_NAMES = FAMILY_NAMES - WORDLIKE_FAMILY_NAMES - NOT_NAMES

_WORD = re.compile(r"[^\W\d_]+(?:['\-][^\W\d_]+)*")
_LONGEST_NAME = 5
_MOST_REPEATED = 200
_BEFORE = 48
_PARTICLES = read_words("van von der den de del della di da do dos das du le la ten ter zu af av bin ibn al el")
_PREFIXES = ("Mc", "Mac", "De", "Di", "Du", "La", "Le")
_TITLES = read_words(
    "mr mrs ms miss mx dr prof professor sir madam dame rev reverend capt sgt herr frau monsieur madame mme mlle "
    "signor signora sig dott sra srta senor senora meneer mevrouw dhr mevr"
)
_ANY_TITLE = "|".join(sorted(_TITLES)) + "|señora?"
_BEFORE_A_PLACE = read_words("san saint st santa santo sao los las mount lake fort port hurricane storm")
_AFTER_A_THING = read_words(
    "inc ltd llc llp plc gmbh corp company group bank university college institute school hospital hotel street road "
    "avenue lane drive park airport station stadium museum foundation association associates partners technologies "
    "systems solutions industries holdings award prize act law theorem method equation effect syndrome disease bridge "
    "river lake mountain island county city house hall center centre church cathedral records studios magazine "
    "research labs laboratories"
)
_FAMILY_ENDING = re.compile(
    r"(?:(?<!per)(?<![aeiou])son|(?<![aeiou])sen|ov|ova|ev|eva|enko|ski|ska|sky|skaya|skiy|cki|cka|wicz|czyk|czak|vic|"
    r"vich|ovna|evna|yan|oglu|poulos|poulou|akis|idis|iadis|shvili|dze|mann|stein|berg|feld|strom|quist|qvist|gren|blad|dottir|escu|eanu|"
    r"aitis|unas|iene|inho|etti|elli|ucci|acci|енко|οπουλος|ακης|ιδης)$"
)
_PATRONYMIC = re.compile(r"(?:ович|евич|овна|евна|ovich|evich|ovna|evna)$")
_WHOSE = (
    "my|your|his|her|their|whose|the|full|first|last|family|given|middle|maiden|customer|patient|client|contact|"
    "employee|passenger|caller|applicant|holder|account"
)
_PHRASES = (
    "surname ?:|(?:call|calls|called|calling) (?:me|him|her)|goes by|signed(?: by)?|attn:?|c/o|dear|hi|hello|hey|"
    "mein name ist|ich hei(?:ß|ss)e|je m'appelle|me llamo|mi chiamo|me chamo|jag heter|jeg heter|jeg hedder|nazywam się"
)
_GOODBYES = (
    "regards|sincerely|thanks|thank you|cheers|best|wishes|faithfully|truly|gr[üu](?:ß|ss)en|cordialement|atentamente|"
    "saludos"
)
_SPEECH = "says|said|asks|asked|replies|replied|writes|wrote|adds|added|explains|explained"
# After these, one capitalized word is a name.
_INTRODUCTION = re.compile(
    rf"(?:(?:\b(?:{_WHOSE}) |(?:^|[\n,;.(|>]) {{0,3}})name(?:'s| is| was| ?\?| ?:)?|\b(?:{_PHRASES})|"
    rf"(?:{_GOODBYES})[,.]?\s{{0,3}}\n|[\"”»] (?:{_SPEECH}) )[\s:,>]{{0,4}}$",
    re.IGNORECASE,
)
# After these, two capitalized words are a name.
_MENTION = re.compile(
    r"\b(?:by|named|called|known as|author|contact|patient|client|customer|employee|wife|husband|son|daughter|brother|"
    r"sister|mother|father|mom|dad|friend|boss|colleague|uncle|aunt|cousin|says|said|asked|told|met|i am|i'm|"
    r"this is)[ :]{1,2}$",
    re.IGNORECASE,
)
_SELF_INTRODUCTIONS = "my name(?:'s| is)|me llamo|mi chiamo|je m'appelle|mein name ist|me chamo"
_LOWER_INTRODUCTION = re.compile(
    rf"\b(?:{_SELF_INTRODUCTIONS}) ([^\W\d_]{{2,20}}(?: [^\W\d_]{{1,20}})?)",
    re.IGNORECASE,
)
_LOWER_GAP = re.compile(r" (?:[^\W\d_]\.? )?")

Found = tuple[int, int, float]


class _Word(NamedTuple):
    """A word of the text: as written, folded, where it stands, and whether it is written like a name."""

    text: str
    folded: str
    start: int
    end: int
    capital: bool

    @property
    def is_initial(self) -> bool:
        return len(self.text) == 1

    @property
    def is_other(self) -> bool:
        """Whether this is a word that has its capital for another reason."""
        return self.folded in NOT_NAMES and not self.is_initial

    @property
    def is_family(self) -> bool:
        return self.folded in CERTAIN_FAMILY_NAMES or (
            len(self.folded) > 4 and self.folded not in NOT_NAMES and _FAMILY_ENDING.search(self.folded) is not None
        )


def fold(word: str) -> str:
    """Return the word in lower case without accents: José is jose, Søren is soren."""
    word = word.lower()
    if word.isascii():
        return word
    plain = "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))
    return plain.translate(_LETTERS)


_LETTERS = str.maketrans({"ø": "o", "ł": "l", "æ": "ae", "ß": "ss", "đ": "d", "ı": "i", "œ": "oe", "ð": "d", "þ": "th"})


def find_persons(text: str) -> list[Found]:
    """Return (start, end, score) of the person names in a text, in order, in characters, without overlaps.

    Scores: 0.85 after a title, 0.75 after an introduction ("my name is"), 0.7 a listed given name with a family name,
    0.55 by shape (initials, family-name endings), 0.4 a listed given name alone, which points to nobody by itself.
    """
    words = _read_words(text)
    found: list[Found] = []
    for run in _runs(text, words):
        found.extend(_judge_run(text, run))
    found.extend(_lower_names(text, words))
    found = _add_repetitions(text, words, found)
    return _without_overlaps(found)


def _read_words(text: str) -> list[_Word]:
    words: list[_Word] = []
    for match in _WORD.finditer(text):
        word = match[0]
        end = match.end()
        if word.endswith(("'s", "'S")):
            word, end = word[:-2], end - 2
        words.append(_Word(word, fold(word), match.start(), end, _is_capitalized(word)))
    return words


def _is_capitalized(word: str) -> bool:
    """Whether the word is written like a name: Anna, O'Neill, McDonald, J; not PayPal, not USA."""
    if not word[0].isupper():
        return False
    if len(word) == 1 or word[1:].islower():
        return True
    parts = re.split(r"['\-]", word)
    if len(parts) > 1:
        return all(len(part) == 1 or (part[0].isupper() and not part[1:].isupper()) for part in parts)
    return any(word.startswith(prefix) and word.removeprefix(prefix).istitle() for prefix in _PREFIXES)


def _runs(text: str, words: Sequence[_Word]) -> Iterator[list[_Word]]:
    """Yield the longest sequences of capitalized words, particles between them included."""
    position = 0
    while position < len(words):
        if not words[position].capital:
            position += 1
            continue
        run = [words[position]]
        position += 1
        while position < len(words) and _is_joined(text, run[-1], words[position]):
            if words[position].capital:
                run.append(words[position])
                position += 1
                continue
            ahead = _particles_ahead(text, words, position)
            if not ahead:
                break
            run.extend(words[position : position + ahead])
            position += ahead
        yield run


def _particles_ahead(text: str, words: Sequence[_Word], position: int) -> int:
    """Return how many words (1-2 particles and the name after them) go on with the name; 0 if none do."""
    for count in (1, 2):
        last = position + count
        if last >= len(words) or words[last - 1].folded not in _PARTICLES:
            return 0
        if not _is_joined(text, words[last - 1], words[last]):
            return 0
        if words[last].capital:
            return count + 1
    return 0


def _is_joined(text: str, left: _Word, right: _Word) -> bool:
    gap = text[left.end : right.start]
    return gap == " " or (
        gap in (". ", ".") and (left.is_initial or left.folded in _TITLES or left.folded in ("st", "mt", "ft"))
    )


def _judge_run(text: str, run: Sequence[_Word]) -> Iterator[Found]:
    """Split a run of capitalized words at words that are no names, and judge what remains."""
    part: list[_Word] = []
    before: _Word | None = None
    for word in run:
        if word.folded in _TITLES or word.is_other or (word.text in ("A", "I") and not part):
            yield from _judge(text, part, before, word)
            part, before = [], word
        else:
            part.append(word)
    yield from _judge(text, part, before, None)


def _judge(text: str, part: list[_Word], left: _Word | None, right: _Word | None) -> Iterator[Found]:
    """Yield the name that lies in a sequence of words which may all be names, between two others, if there is one."""
    while part and part[0].folded in _PARTICLES and not part[0].capital:
        part = part[1:]
    if not part or len(part) > _LONGEST_NAME or all(word.is_initial for word in part):
        return
    if (left is not None and left.folded in _BEFORE_A_PLACE) or (right is not None and right.folded in _AFTER_A_THING):
        return
    score = TITLED if left is not None and left.folded in _TITLES else _score(text, part)
    if score == LISTED:
        given = [position for position, word in enumerate(part[:-1]) if word.folded in CERTAIN_GIVEN_NAMES]
        part = part[given[0] :] if given else part
    if score:
        yield part[0].start, part[-1].end, score


def _score(text: str, part: Sequence[_Word]) -> float:
    before = text[max(0, part[0].start - _BEFORE) : part[0].start]
    if (len(part) > 1 or not part[0].is_initial) and _INTRODUCTION.search(before):
        return INTRODUCED
    if len(part) == 1:
        return LONE_GIVEN_NAME if part[0].folded in CERTAIN_GIVEN_NAMES else 0.0
    if any(word.folded in CERTAIN_GIVEN_NAMES for word in part[:-1]):
        return LISTED
    last = part[-1]
    if last.is_initial:
        return 0.0
    if part[0].is_family and last.folded in CERTAIN_GIVEN_NAMES:
        return LISTED
    if part[0].folded in GIVEN_NAMES and (last.is_family or last.folded in FAMILY_NAMES):
        return LISTED
    if len(part) > 2 and not part[0].is_initial and any(word.is_initial for word in part[1:-1]):
        return SHAPED
    if any(_PATRONYMIC.search(word.folded) for word in part[1:]):
        return SHAPED
    if last.is_family and (not part[0].is_initial or before.strip(" \t")[-1:] not in ("", "\n")):
        return SHAPED
    if len(part) <= 3 and not part[0].is_initial and _MENTION.search(before):
        return SHAPED
    return 0.0


def _lower_names(text: str, words: Sequence[_Word]) -> Iterator[Found]:
    """Yield names written in lower case or in capitals: introduced, or a listed given name with a family name."""
    for match in _LOWER_INTRODUCTION.finditer(text):
        first, _, second = match[1].partition(" ")
        if fold(first) in GIVEN_NAMES:
            known = fold(second) in FAMILY_NAMES or (len(second) > 3 and fold(second) not in NOT_NAMES)
            yield match.start(1), match.end(1) if known else match.start(1) + len(first), INTRODUCED
    for position, word in enumerate(words):
        if word.capital or word.folded not in CERTAIN_GIVEN_NAMES:
            continue
        family = next((other for other in words[position + 1 : position + 3] if not other.is_initial), None)
        if family is None or not family.is_family or word.text.islower() != family.text.islower():
            continue
        if _LOWER_GAP.fullmatch(text, word.end, family.start):
            yield word.start, family.end, SHAPED


def _add_repetitions(text: str, words: Sequence[_Word], found: list[Found]) -> list[Found]:
    """Add the later mentions of a part of a name that was found in full: "Anna Berg … Berg"."""
    known: dict[str, float] = {}
    for start, end, score in found:
        if score <= LONE_GIVEN_NAME or len(known) >= _MOST_REPEATED:
            continue
        for part in _WORD.findall(text[start:end]):
            if len(part) > 2 and part[0].isupper() and fold(part) not in NOT_NAMES:
                known[part] = max(score, known.get(part, 0.0))
    if not known:
        return found
    return found + [(word.start, word.end, known[word.text]) for word in words if word.text in known]


def _without_overlaps(found: list[Found]) -> list[Found]:
    """Keep, where names overlap, the one that starts first; of those the longest."""
    kept: list[Found] = []
    for start, end, score in sorted(found, key=lambda name: (name[0], -name[1], -name[2])):
        if not kept or start >= kept[-1][1]:
            kept.append((start, end, score))
    return kept


def _find_names(text: str, _language: str) -> Iterator[Span]:
    for start, end, score in find_persons(text):
        yield Span("PERSON", start, end, score)


PERSONS = Detector(
    entities={
        "PERSON": "title, introduction, listed given name with family name, initials, family-name endings; a listed "
        "given name alone scores 0.4; names written in letters with capitals only",
    },
    find=_find_names,
    triggers=(
        r"\p{Lu}\p{L}+(?:[ .]{1,2}\p{Ll}{1,3}){0,2}[ .]{1,2}\p{Lu}(?:\p{Ll}|\.| \p{Lu}\p{Ll})|"
        rf"(?i:(?-u:\b)(?:{_ANY_TITLE}|name(?:'s| is| was)?|{_PHRASES}|{_GOODBYES})[?.,:]{{0,2}}[\s,>:]{{1,5}})"
        r"\p{Lu}|"
        rf"(?i:[\"”»] (?:{_SPEECH}) )\p{{Lu}}|(?i:{_SELF_INTRODUCTIONS}) \p{{L}}",
    ),
    words=CERTAIN_GIVEN_NAMES,
)
