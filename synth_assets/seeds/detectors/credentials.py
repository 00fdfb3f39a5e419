"""Secrets: keys, tokens, passwords.

Here: formats of well-known issuers, and random-looking values after a word that announces one. Not here: card and
account numbers (numbers.py).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

from synth_assets.seeds.detectors.spans import Detector, Span

_SECRET = re.compile(
    r"(?<![A-Za-z0-9_])(?:(?:AKIA|ASIA|ABIA|ACCA|AGPA|AIDA|AROA|ANPA)[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{36,255}|"
    r"github_pat_[A-Za-z0-9_]{50,255}|glpat-[\w-]{20,80}|xox[abeoprs]-[A-Za-z0-9-]{10,250}|AIza[\w-]{35}|"
    r"[rsp]k_(?:live|test)_[A-Za-z0-9]{16,120}|sk-(?:proj-|ant-|or-)?[A-Za-z0-9_-]{20,250}|hf_[A-Za-z0-9]{30,60}|"
    r"npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,250}|SG\.[\w-]{16,32}\.[\w-]{16,64}|"
    r"eyJ[\w-]{8,800}\.eyJ[\w-]{8,800}\.[\w-]{5,800})(?![A-Za-z0-9])"
)
_PRIVATE_KEY = re.compile(r"-----BEGIN (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_PRIVATE_KEY_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_LONGEST_KEY = 8_000
_URL_PASSWORD = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,15}://[^\s:/@]{1,64}:([^\s:/@]{3,128})@(?=[\w\[])")
_ASSIGNED = re.compile(
    r"(?<![A-Za-z])(?:(bearer) |((?:api|access|auth|secret|private|client|encryption|signing|app|account)[ _-]?"
    r"(?:key|token|secret)|secret|token|passw(?:or)?d|passphrase|passcode|pwd)(?:[ _-]?(?:key|id))?[\"'`]?"
    r"(?: {0,3}(?:=|:=|:|=>|->) {0,3}| is:? ))[\"'`]?([^\s\"'`<>,;]{6,200})",
    re.IGNORECASE,
)
_CODE_LIKE = re.compile(r"[(\[{$]|^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+$|^(?:[a-z]+[_-])+[a-z]+\d?$")


def _entropy(value: str) -> float:
    """Return the Shannon entropy of the characters, in bits a character."""
    return -sum(count / len(value) * math.log2(count / len(value)) for count in Counter(value).values())


def _looks_random(value: str, *, word: str) -> bool:
    digits = sum(character.isdigit() for character in value)
    letters = sum(character.isalpha() for character in value)
    if _CODE_LIKE.search(value) or not letters or not digits:
        return False
    if word.startswith("pass") or word == "pwd":
        return _entropy(value) >= 2.2
    return len(value) >= 16 and _entropy(value) >= 3.0


def _find_secrets(text: str, _language: str) -> Iterator[Span]:
    for match in _SECRET.finditer(text):
        if _entropy(match[0]) >= 3.0:
            yield Span("SECRET", match.start(), match.end(), 1.0)
    for match in _PRIVATE_KEY.finditer(text):
        end = _PRIVATE_KEY_END.search(text, match.end(), match.end() + _LONGEST_KEY)
        yield Span("SECRET", match.start(), end.end() if end else match.end(), 1.0)
    for match in _URL_PASSWORD.finditer(text):
        yield Span("SECRET", match.start(), match.end(), 0.9)
    for match in _ASSIGNED.finditer(text):
        value = match[3].rstrip(".!?)")
        if len(value) >= 6 and _looks_random(value, word=(match[1] or match[2]).lower()):
            yield Span("SECRET", match.start(3), match.start(3) + len(value), 0.7)


SECRETS = Detector(
    entities={
        "SECRET": "key formats (AWS, GitHub, Slack, Stripe, JWT, private keys …), passwords in URLs, and random "
        "looking values after words such as api_key or password",
    },
    find=_find_secrets,
    triggers=(
        r"AKIA|ASIA|ABIA|ACCA|AGPA|AIDA|AROA|ANPA|gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|AIza|[rsp]k_(?:live|test)_|"
        r"sk-|hf_|npm_|pypi-|SG\.|eyJ|PRIVATE KEY|://[^\s/]{1,64}:|(?i)key|secret|token|bearer|passw|passphrase|passcode|"
        r"pwd",
        r"\d|PRIVATE KEY",
    ),
)
