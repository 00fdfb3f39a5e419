"""Document statistics equal their plain definitions, the papers' rules hold, and what real texts do is no fault."""

from __future__ import annotations

import json
import re
from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth_assets.discriminators.documents import STOP_WORDS, DocumentRules, Documents, measure_documents
from synth_assets_tests.builders import seed_rows, text_spec

SPEC = text_spec()
CODE = text_spec(fields=[{"name": "body", "type": "code"}, {"name": "text", "type": "text"}], strata={"by": []})

PROSE = (
    "The harbor was quiet when the first boats came in, and the old keeper of the light had not slept.\n"
    "She wrote down what she saw: three gulls, a torn sail, and a rope that nobody would own to.\n"
    "Later that morning the mayor asked for her notes. She gave them to him without a word.\n"
    "He read them twice, thanked her, and said that he would have to think about the rope."
)


def reference(text: str) -> dict[str, float]:
    """The definitions, word by word and line by line."""
    words = re.findall(r"[一-龥]|[^\s一-龥]+", text)
    solid = [word for word in words if any(letter.isalnum() for letter in word)]
    n = max(len(words), 1)
    every_line, lines = text.splitlines(), [line for line in text.split("\n") if line]
    filled = [line for line in lines if line.strip()]
    paragraphs = re.split(r"\n{2,}", text.strip()) if text.strip() else []

    def share(part: float, whole: float) -> float:
        return part / max(whole, 1)

    def repeated(items: list[str]) -> tuple[int, int]:
        again = [item for place, item in enumerate(items) if item in items[:place]]
        return len(again), sum(map(len, again))

    def trails(line: str) -> bool:
        return line.rstrip().endswith(("...", "…"))

    def kept(line: str) -> bool:
        ends = line.rstrip().endswith((".", "!", "?", '"', "'")) and not trails(line)
        return ends and len(re.findall(r"[一-龥]|[^\s一-龥]+", line)) >= 3 and "javascript" not in line.lower()

    measures = {
        "words": len(solid),
        "mean_word_length": share(sum(map(len, solid)), len(solid)),
        "hashes": text.count("#") / n,
        "ellipses": (text.count("...") + text.count("…")) / n,
        "bullet_lines": share(sum(line.lstrip().startswith(("-", "•")) for line in every_line), len(every_line)),
        "ellipsis_lines": share(sum(map(trails, every_line)), len(every_line)),
        "alphabetic_words": sum(any(letter.isalpha() for letter in word) for word in words) / n,
        "stop_words": len(set(STOP_WORDS) & set(words)),
        "duplicate_lines": share(repeated(lines)[0], len(lines)),
        "duplicate_line_chars": share(repeated(lines)[1], len(text)),
        "duplicate_paragraphs": share(repeated(paragraphs)[0], len(paragraphs)),
        "duplicate_paragraph_chars": share(repeated(paragraphs)[1], len(text)),
        "kept_lines": share(sum(map(kept, filled)), len(filled)),
        "curly_brackets": float("{" in text),
        "lorem_ipsum": float("lorem ipsum" in text.lower()),
        "stopped_lines": share(sum(line.endswith((".", "!", "?", "。")) for line in filled), len(filled)),
        "repeated_line_chars": share(repeated(filled)[1], len(text.replace("\n", ""))),
        "short_lines": share(sum(len(line) <= 30 for line in filled), len(filled)),
        "line_feeds": text.count("\n") / n,
    }
    for size in (2, 3, 4):
        grams = [" ".join(words[i : i + size]) for i in range(len(words) - size + 1)]
        gram, count = Counter(grams).most_common(1)[0] if grams else ("", 0)
        measures[f"top_{size}_gram"] = share(len(gram) * count, len(text))
    for size in range(5, 11):
        seen, chars, place = set(), 0, 0
        while place <= len(words) - size:
            gram = tuple(words[place : place + size])
            if gram in seen:
                chars += sum(map(len, gram))
                place += size
            else:
                seen.add(gram)
                place += 1
        measures[f"duplicate_{size}_grams"] = share(chars, len(text))
    return measures


def measure(text: str) -> dict[str, float]:
    return measure_documents(pl.Series([text])).row(0, named=True)


UNBOUNDED = ("hashes", "ellipses", "line_feeds", "top_2_gram", "top_3_gram", "top_4_gram")
TOKENS = [
    "the",
    "a",
    "b",
    "of",
    "be",
    "house",
    "…",
    "...",
    "#",
    "12",
    "- x",
    "• y",
    "{z}",
    "é",
    "don't",
    "JavaScript",
    "好",
]
TOKENS += ["yes.", "really?", "no!", '"so"', "lorem ipsum", "....", "-"]
PIECES = st.tuples(st.sampled_from(TOKENS), st.sampled_from([" ", " ", " ", "\n", "\n\n", "  ", "\t", " \n", "\r\n"]))
TEXTS = st.lists(PIECES, max_size=60).map(lambda pieces: "".join(map("".join, pieces)))
LOOPS = st.tuples(TEXTS, st.integers(1, 6), TEXTS, st.integers(1, 3)).map(lambda t: (t[0] * t[1] + t[2]) * t[3])


@settings(deadline=None, max_examples=300)
@given(st.lists(st.one_of(TEXTS, LOOPS, st.text(max_size=40)), min_size=1, max_size=4))
def test_measures_equal_their_plain_definitions_whatever_the_neighbors(texts: list[str]) -> None:
    measured = measure_documents(pl.Series(texts, dtype=pl.String))
    for row, text in zip(measured.iter_rows(named=True), texts, strict=True):
        if set(text) <= set("".join(TOKENS) + " \n\t\r"):
            assert row == pytest.approx(reference(text)), text
        shares = {name: value for name, value in row.items() if name not in ("words", "mean_word_length", "stop_words")}
        assert all(value >= 0 for value in row.values())
        assert all(value <= 1 for name, value in shares.items() if name not in UNBOUNDED), (text, shares)


def test_reading_of_duplicates_goes_on_behind_each_one() -> None:
    text = "a b c d e f a b c d e f a b c d e f"
    # "a b c d e" of the second round, then "f a b c d"; behind it no five words are left
    assert measure(text)["duplicate_5_grams"] == pytest.approx(10 / len(text))


def test_a_long_column_is_measured_like_its_parts() -> None:
    texts = pl.Series([PROSE, "", "one two", PROSE * 3] * 700)
    measured = measure_documents(texts)
    assert measured.equals(pl.concat([measure_documents(texts[:4])] * 700))


MANY_LETTERS = " ".join(chr(code) * 3 for code in range(0x400, 0x4B0))  # more than a byte can number


@pytest.mark.parametrize("neighbor", ["plain", "… é •", MANY_LETTERS])
def test_measures_do_not_depend_on_which_characters_other_texts_have(neighbor: str) -> None:
    texts = [PROSE, f"• {PROSE}…\n" * 3, f"“{' '.join(STOP_WORDS)}… 好好 ๑a 12\u2028…”"]
    together = measure_documents(pl.Series([*texts, neighbor]))
    assert together[:3].rows() == [tuple(measure(text).values()) for text in texts]
    assert measure_documents(pl.Series([f"{neighbor} {' '.join(STOP_WORDS)} …"]))["stop_words"].item() == len(
        STOP_WORDS
    )


def test_no_texts_have_no_measures_but_all_columns() -> None:
    assert measure_documents(pl.Series([], dtype=pl.String)).columns == measure_documents(pl.Series(["x"])).columns


def test_every_rule_has_its_measure_and_prose_keeps_all() -> None:
    broken = measure_documents(pl.Series([PROSE])).select(**DocumentRules().breaks())
    assert not any(broken.row(0))


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (
            "max_mean_word_length",
            " ".join(["incomprehensibility the of"] * 2 + [f"internationalization{i}" for i in range(60)]),
        ),
        ("min_mean_word_length", " ".join(f"{a}{b} the of" for a in "abcdefg" for b in "hijklmno") + " a b c d e" * 30),
        ("max_hashes", PROSE + " #one" * 9),
        ("max_ellipses", PROSE.replace(", ", "... ").replace(". ", "... ") + " well... no... so..."),
        ("max_bullet_lines", "\n".join(f"- {line}" for line in PROSE.split("\n"))),
        ("max_ellipsis_lines", PROSE.replace(".\n", "...\n")),
        ("min_alphabetic_words", PROSE + " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20"),
        ("min_stop_words", " ".join(f"word{i}" for i in range(60)) + "."),
        ("max_duplicate_lines", "\n".join(["Thank you all."] * 4) + "\n" + PROSE),
        ("max_duplicate_paragraph_chars", PROSE + "\n\n" + PROSE),
        ("max_top_2_gram", PROSE + " wooden lighthouse" * 9),
        ("max_duplicate_10_grams", PROSE + " " + PROSE),
        ("max_curly_brackets", PROSE + " {x}"),
        ("max_lorem_ipsum", PROSE + " Lorem Ipsum"),
        ("min_kept_lines", PROSE.replace(".", "")),
        ("min_stopped_lines", PROSE.replace(".", "")),
        ("max_short_lines", re.sub(r"(\w+ \w+ \w+) ", r"\1\n", PROSE)),
        ("max_line_feeds", PROSE.replace(" ", "\n")),
    ],
)
def test_each_rule_is_broken_by_what_it_is_about(rule: str, text: str) -> None:
    assert measure_documents(pl.Series([text])).select(DocumentRules().breaks()[rule]).item()


def judge(documents: Documents, *texts: str | None, **others: str) -> pl.DataFrame:
    columns = {
        "text": pl.Series(texts, dtype=pl.String),
        **{name: [value] * len(texts) for name, value in others.items()},
    }
    return documents.judge(pl.DataFrame({"example_id": [f"c{i}" for i in range(len(texts))], **columns}))


def test_a_broken_rule_is_told_with_field_and_value() -> None:
    verdict = judge(Documents(SPEC), PROSE + " wooden lighthouse" * 12).row(0, named=True)
    assert (verdict["passed"], verdict["reason"]) == (False, "top_2_gram")
    evidence = json.loads(verdict["evidence"])
    assert (evidence["field"], evidence["rule"]) == ("text", "max_top_2_gram")
    assert evidence["value"] > 0.2
    assert verdict["score"] > 1


def test_prose_short_texts_and_missing_ones_pass() -> None:
    verdicts = judge(Documents(SPEC), PROSE, "the the the the", None, "")
    assert verdicts["passed"].all()
    assert verdicts["reason"].to_list() == [""] * 4


def test_code_is_left_out() -> None:
    code = "\n".join(["x = {}"] * 80)
    assert judge(Documents(CODE), PROSE, body=code)["passed"].all()


def test_a_rule_that_training_texts_break_is_left_out_and_others_stay() -> None:
    rows = [{"text": f"{PROSE} {{note {i}}}", "intent": "ask"} for i in range(40)]
    fitted = Documents.fit(SPEC, seed_rows(SPEC, rows))
    assert dict(fitted.left_out) == {"text": ("max_curly_brackets",)}
    assert judge(fitted, PROSE + " {x}", PROSE + " {x}" + " wooden lighthouse" * 12)["passed"].to_list() == [
        True,
        False,
    ]
    assert fitted.version != Documents(SPEC).version


def test_texts_of_scripts_without_spaces_are_measured_by_character() -> None:
    measured = measure("灯塔的看守人整夜没有合眼。")
    assert measured["words"] == 12
    assert measured["stopped_lines"] == 1
