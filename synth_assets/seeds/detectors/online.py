"""E-mail addresses and URLs.

Here: their formats, with hosts checked against the public suffix list that comes with tldextract (no download). Not
here: passwords inside URLs (credentials.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from synth_assets.seeds.detectors.spans import Detector, Span

_LABEL = r"[A-Za-z0-9À-ɏ](?:[A-Za-z0-9À-ɏ-]{0,61}[A-Za-z0-9À-ɏ])?"
_LOCAL = r"[A-Za-z0-9_À-ɏ.+%-]"
_EMAIL = re.compile(rf"(?<!{_LOCAL}){_LOCAL}{{1,64}}@((?:{_LABEL}\.){{1,8}}[A-Za-z]{{2,24}})(?![A-Za-z0-9])")
_SPELLED_EMAIL = re.compile(
    rf"(?<!{_LOCAL}){_LOCAL}{{1,64}} ?[\[({{] ?at ?[\])}}] ?"
    rf"({_LABEL}(?:(?:\.| ?[\[({{] ?dot ?[\])}}] ?){_LABEL}){{1,4}})",
    re.IGNORECASE,
)
_SPELLED_DOT = re.compile(r" ?[\[({] ?dot ?[\])}] ?", re.IGNORECASE)
_PRIVATE_SUFFIXES = (".local", ".internal", ".lan", ".corp", ".intranet", ".example", ".test")
_PATH = r"[^\s<>\"'`{}|\\^\u0250-\U0010ffff]"
_URL = re.compile(rf"(?<![\w@])(?i:(?:https?|ftp|wss?)://|www\.){_PATH}{{3,800}}")
_BARE_HOST = re.compile(
    rf"(?<![\w@./:-])(?:{_LABEL}\.){{1,5}}(?i:com|org|net|edu|gov|info|biz)(?![\w@(-])(?!\.\w)(?:/{_PATH}{{0,800}})?"
)
_HOST = re.compile(r"(?:[a-z]{2,5}://)?(?:[^\s/@]{1,200}@)?([^/:?#]+)", re.IGNORECASE)


@cache
def _suffixes() -> Callable[[str], Any]:
    from tldextract import TLDExtract

    return TLDExtract(cache_dir=None, suffix_list_urls=(), fallback_to_snapshot=True)


def _is_public_host(host: str) -> bool:
    host = host.lower().rstrip(".")
    parts = _suffixes()(host)
    return bool(parts.domain and parts.suffix) or host.endswith(_PRIVATE_SUFFIXES)


def _find_emails(text: str, _language: str) -> Iterator[Span]:
    for match in _EMAIL.finditer(text):
        if _is_public_host(match[1]):
            yield Span("EMAIL_ADDRESS", match.start(), match.end(), 1.0)
    for match in _SPELLED_EMAIL.finditer(text):
        if _is_public_host(_SPELLED_DOT.sub(".", match[1])):
            yield Span("EMAIL_ADDRESS", match.start(), match.end(), 0.8)


def _find_urls(text: str, _language: str) -> Iterator[Span]:
    for pattern, score in ((_URL, 0.9), (_BARE_HOST, 0.6)):
        for match in pattern.finditer(text):
            value = match[0].rstrip(".,;:!?)]*_~")
            host = _HOST.match(value)
            if host and (_is_public_host(host[1]) or host[1].replace(".", "").isdigit()):
                yield Span("URL", match.start(), match.start() + len(value), score)


EMAILS = Detector(
    entities={
        "EMAIL_ADDRESS": "format, with a public suffix; also name (at) host (dot) suffix",
    },
    find=_find_emails,
    triggers=(r"(?i)@|[\[({] ?at ?[\])}]", r"(?i)\.|dot"),
)

URLS = Detector(
    entities={
        "URL": "scheme or www., and bare .com/.org/.net/.edu/.gov/.info/.biz hosts",
    },
    find=_find_urls,
    triggers=(r"(?i)://|www\.|\.(?:com|org|net|edu|gov|info|biz)",),
)
