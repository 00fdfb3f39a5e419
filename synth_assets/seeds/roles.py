"""What each field of an undescribed data set is for: key, protected attribute, target, input or context.

Here: guesses from names and values. Not here: types (profiling.py), the dataset.yaml they are written to (guessing.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from synth_assets.seeds.profiling import Profile, as_category
from synth_assets.spec import FREE_TEXT_TYPES, Role

_LABELS = re.compile(
    r"(?:.+_)?(?:labels?|class|target|category|intent|outcome|diagnosis|species|sentiment|emotion)(?:_(?:name|text))?|"
    r"y|income|topic|rating|stars|quality|polarity|churn(?:ed)?|survived|exited|default|(?:is_)?fraud|approved|"
    r"loan_status|readmitted|risk|result|status"
)
_PLAIN_LABELS = re.compile(r"labels?|class|target|category|intent")
_ANSWERS = re.compile(
    r"(?:.+_)?(?:answers?(?:_text(?:_\d+)?)?|outputs?|responses?|completions?|targets?|solutions?|summary|highlights|"
    r"translation|reply)(?:_\d+)?"
)
_DESCRIPTIONS = re.compile(r"(?:.+_)?(?:name|title|source|url|link|file|author|subject|language|lang|date|domain)")
_KEYS = re.compile(r"(?:.*_)?(?:id|uid|uuid|guid|key|idx|index|rowid)|unnamed_0")
_SENSITIVE_NAMES = re.compile(
    r"(?:.*_)?(?:race|races|sex|gender|religion|religious|faith|ethnicity|ethnic|ethnic_group|nationality|disability|"
    r"disabled|sexual_orientation|caste|political_view|political_party|union_member)(?:_.*)?"
)
_SENSITIVE_VALUES = tuple(
    frozenset(words.split("|"))
    for words in (
        "male|female|man|woman|non-binary|nonbinary|non binary|transgender|intersex",
        "white|black|asian|hispanic|latino|latina|caucasian|african-american|african american|native american|"
        "asian-pac-islander|amer-indian-eskimo|american indian|pacific islander|two or more races|mixed|other",
        "christian|muslim|islam|jewish|hindu|hinduism|buddhist|buddhism|sikh|catholic|protestant|orthodox|atheist|other",
    )
)
_MAYBE_SENSITIVE = re.compile(
    r"(?:.*_)?(?:age|marital(?:_status)?|native_country|country_of_birth|birth_?date|date_of_birth|dob|pregnan\w*)"
)
_MAX_LABELS = 200


@dataclass(frozen=True)
class Guess:
    """One field to be: its profile, its name, its role, and what a person must look at."""

    profile: Profile
    name: str
    role: Role = "input"
    checks: list[str] = field(default_factory=list)

    @property
    def plain(self) -> str:
        """The name in the files for comparing: small letters, words apart (userId → user_id)."""
        words = re.sub(r"\W+", "_", self.profile.source).strip("_")
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", words).lower()


def assign_roles(guesses: list[Guess]) -> list[Guess]:
    """Return the fields with roles: keys, protected attributes, at most one target, and what is left as input.

    Where most fields are running text, labels and numbers that are not the target are context.
    """
    guesses = [_mark_key_or_sensitive(guess) for guess in guesses]
    free = [guess for guess in guesses if guess.role == "input"]
    if not free:  # nothing but keys: then they are the content
        guesses = free = [replace(guess, role="input") for guess in guesses]
    sentences = [guess for guess in free if guess.profile.is_sentence]
    is_text_set = len(sentences) * 3 >= len(free)
    target = _find_target(free, is_text_set)
    told = {guess.name for guess in sentences if not _DESCRIPTIONS.fullmatch(guess.plain)}
    placed: list[Guess] = []
    for guess in guesses:
        if target is not None and guess.name == target.name:
            placed.append(target)
        elif guess.role == "input" and is_text_set and guess.name not in told:
            placed.append(replace(guess, role="context"))
        else:
            placed.append(guess)
    if all(guess.role != "input" for guess in placed):  # an answer without a question
        placed = [replace(guess, role="input") if guess.role == "context" else guess for guess in placed]
    return placed


def _mark_key_or_sensitive(guess: Guess) -> Guess:
    profile, name = guess.profile, guess.plain
    if _SENSITIVE_NAMES.fullmatch(name) and not profile.is_sentence:
        return replace(guess, role="sensitive", checks=["named like a protected attribute"])
    if profile.type == "category" and _holds_sensitive(profile):
        return replace(guess, role="sensitive", checks=["the values look like a protected attribute"])
    if _KEYS.fullmatch(name) and profile.type in ("text", "integer", "category") and not _LABELS.fullmatch(name):
        if profile.is_unique:
            return replace(guess, role="id")
        if profile.type != "category" and profile.distinct > max(50, profile.count * 0.05):
            return replace(guess, role="id", checks=["a key that repeats; it is kept for tracing and not generated"])
    if profile.source == "column_1" and profile.type == "integer" and profile.is_unique and profile.count >= 50:
        return replace(guess, role="id", checks=["a first column without a name in which no number repeats"])
    if _MAYBE_SENSITIVE.fullmatch(name):
        return replace(guess, checks=["often a protected attribute; role: sensitive keeps it out of releases"])
    return guess


def _holds_sensitive(profile: Profile) -> bool:
    values = {value.lower().strip() for value in profile.counts}
    return any(
        len(values & words - {"other"}) >= 2 and len(values & words) >= 0.8 * len(values) for words in _SENSITIVE_VALUES
    )


def _find_target(free: list[Guess], is_text_set: bool) -> Guess | None:
    """Return the field to predict with its role set: a written answer, a label by name, else the last column."""
    if len(free) < 2:
        return None
    answers = [guess for guess in free if _ANSWERS.fullmatch(guess.plain)]
    written = [guess for guess in answers if guess.profile.is_sentence]
    if written and any(guess.profile.is_sentence for guess in free if guess not in answers):
        return _mark_target(written[-1])
    labels = find_labels(free)
    if labels or answers:
        return _mark_target(labels[0] if labels else _as_label(answers[-1]) or answers[-1])
    last = free[-1]
    classes = [guess for guess in free if guess.profile.type in ("category", "boolean") and guess.profile.distinct > 1]
    if last in classes:
        return _mark_target(last)
    if not is_text_set and last.profile.type != "date" and 1 < last.profile.distinct <= 20:
        return _mark_target(_as_label(last) or last)
    if len(classes) == 1 and (is_text_set or classes[0] is free[0]):
        return _mark_target(classes[0])
    if is_text_set:
        return None
    named = [guess for guess in free if _LABELS.fullmatch(guess.plain)]
    likely = [guess for guess in (*named, *classes, last) if guess.profile.distinct > 1]
    numeric = [guess for guess in likely if guess.profile.type not in FREE_TEXT_TYPES | {"date"}]
    return _mark_target(numeric[0]) if numeric else None


def find_labels(guesses: Sequence[Guess]) -> list[Guess]:
    """Return the fields that are named like a label and hold few values, as categories, the likeliest first."""
    labels = [label for guess in guesses if _LABELS.fullmatch(guess.plain) and (label := _as_label(guess))]
    labels.reverse()  # the last column is the likeliest where names say nothing more
    return sorted(labels, key=lambda each: (not _PLAIN_LABELS.fullmatch(each.plain), _is_coded(each)))


def _mark_target(guess: Guess) -> Guess:
    return replace(guess, role="target", checks=[*guess.checks, "taken to be what a model must predict"])


def _as_label(guess: Guess) -> Guess | None:
    """Return the field as a closed set of labels; None where it holds too many values to be one."""
    profile = guess.profile
    if profile.type in ("category", "boolean"):
        return guess
    few = profile.distinct <= min(_MAX_LABELS, max(2, profile.count / 5))
    if (few and profile.type == "integer") or (few and profile.type == "text" and profile.longest <= 100):
        return replace(guess, profile=as_category(profile))
    return None


def _is_coded(guess: Guess) -> bool:
    return all(value.lstrip("-").isdigit() for value in guess.profile.counts)
