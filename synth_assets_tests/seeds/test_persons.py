"""Person names by rule: what speaks for a name, how strongly, and what does not."""

from __future__ import annotations

import pytest

from synth_assets.seeds.detectors.persons import find_persons


def names(text: str) -> list[tuple[str, float]]:
    return [(text[start:end], score) for start, end, score in find_persons(text)]


@pytest.mark.parametrize(
    ("text", "name", "score"),
    [
        ("Mr. Kowalski called", "Kowalski", 0.85),
        ("ask Dr Xu", "Xu", 0.85),
        ("Prof. J. K. Vorn", "J. K. Vorn", 0.85),
        ("My name is Xylia Vorn", "Xylia Vorn", 0.75),
        ("my name is peter smith", "peter smith", 0.75),
        ("Dear Xylia,", "Xylia", 0.75),
        ("Name: Vorn", "Vorn", 0.75),
        ("Best regards,\nJ. Vorn", "J. Vorn", 0.75),
        ('"No," says Vorn.', "Vorn", 0.75),
        ("I met Maria Garcia yesterday", "Maria Garcia", 0.7),
        ("with Ludwig van Beethoven", "Ludwig van Beethoven", 0.7),
        ("José Ñandú wrote", "José Ñandú", 0.7),
        ("Grant Smith paid", "Grant Smith", 0.7),
        ("for Szabolcs O'Neill's dog", "Szabolcs O'Neill", 0.7),
        ("by Xylia Vorn", "Xylia Vorn", 0.55),
        ("Xylia D. Vorn", "Xylia D. Vorn", 0.55),
        ("Xylia Petrovskaya", "Xylia Petrovskaya", 0.55),
        ("john smith is late", "john smith", 0.55),
        ("JOHN SMITH IS LATE", "JOHN SMITH", 0.55),
        ("Natalia sold clips", "Natalia", 0.4),
    ],
)
def test_finds(text, name, score):
    assert names(text) == [(name, score)]


def test_repeats_the_parts_of_a_full_name():
    assert names("Xylia D. Vorn sang. Early Vorn is best.") == [("Xylia D. Vorn", 0.55), ("Vorn", 0.55)]


@pytest.mark.parametrize(
    "text",
    [
        "Top up with Apple Pay or Google Pay",
        "the United States of America, New York City, San Jose",
        "Hello World, Hi There, Hey Google",
        "Dear Customer, Dear Sir or Madam, Dear Hiring Manager",
        "Monday Morning in May",
        "May God bless you",
        "Will I get it",
        "St. Patrick's Day",
        "Stanford University, John Hopkins University, Ford Company",
        "IMPORTANT NOTICE",
        "Java.util.List",
        "A. Paris B. London C. Berlin",
        "my name is spelled wrong",
        "PayPal, YouTube and GitHub",
    ],
)
def test_leaves_alone(text):
    assert [name for name in names(text) if name[1] >= 0.5] == []
