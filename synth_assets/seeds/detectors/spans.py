"""What a detector is, and what it returns.

Here: the two types that all detectors share. Not here: any pattern.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

ACTIONABLE_SCORE = 0.5
"""Findings from this score on are a reason to hold a row back; weaker ones are only told."""


class Span(NamedTuple):
    """A finding: entity type, first character, character after the last, score from 0 to 1."""

    entity: str
    start: int
    end: int
    score: float


@dataclass(frozen=True)
class Detector:
    """One kind of search.

    entities: entity type → how it is found, more telling types first. find: text (at most 100,000 characters) and
    language → spans, which may overlap. triggers: patterns of Rust's regex crate; a text is searched only where all of
    them match. They use ASCII word boundaries, since Unicode ones are ten times slower on text that is not ASCII.
    words: folded words of which one also starts the search.
    """

    entities: Mapping[str, str]
    find: Callable[[str, str], Iterable[Span]]
    triggers: tuple[str, ...]
    words: frozenset[str] = frozenset()
