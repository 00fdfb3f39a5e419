"""Short texts: loops, placeholders, boilerplate, damage, markup, symbols, cut endings; what seeds show is no fault."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth_assets.discriminators.endings import FALSE_REJECT, LEAST_TEXTS, Endings
from synth_assets.discriminators.rules import LEAST_PLAIN, TextRules
from synth_assets_tests.builders import seed_rows, text_spec

SPEC = text_spec()
RULES = TextRules(SPEC)

ORDINARY = [
    "I am still waiting for my card, when will it come?",
    "no no no, that is not what I meant",
    "I pressed pay and it said error so I pressed pay and it said error and now there are three mails about one order",
    "really? really? why so",
    "Pleeease help, it is sooo slow hmmm",
    "It costs 10 + 10 + 10 + 10 + 10, that is 50 in all",
    "more and more and more people ask for it",
    "one by one, step by step, day by day",
    "See [1] and [USA] for details [sic]",
    "My todo list has a TODO app on it",
    "Todo el mundo lo sabe. TODO EL MUNDO",
    "Super Bowl XXX was in 1996",
    "Write to support@example.org or see example.com",
    "as an engineer I cannot say",
    "I'm sorry, I can't come tomorrow",
    "Sure, I will be there at 5.",
    'He paid £5 (about €6) for a café crème – "délicieux", he said',
    "IRMÃO, NÃO SEI ONDE ESTÁ",
    "x < 3 and y > 4, so a<b",
    "2 * 3 * 4 = 24",
    "ok :)",
    "哈哈哈哈，太好笑了",
    "Что это такое? Россия — большая страна",
]


def frame(*texts: Any, **others: Any) -> pl.DataFrame:
    columns = {name: pl.Series([value] * len(texts)) for name, value in others.items()}
    ids = [f"c{i}" for i in range(len(texts))]
    return pl.DataFrame({"example_id": ids, "text": pl.Series(texts, dtype=pl.String), **columns})


def reasons(*texts: str | None, rules: TextRules = RULES) -> list[str]:
    return rules.judge(frame(*texts))["reason"].to_list()


def fit(texts: list[str], spec: Any = SPEC) -> TextRules:
    return TextRules.fit(spec, seed_rows(spec, [{"text": text, "intent": "ask"} for text in texts]))


PLAIN_SEEDS = [
    f"How do I {verb} my {thing}?" for verb, thing in product(("pay", "find", "lock", "sell"), map(str, range(20)))
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_texts_pass(text: str) -> None:
    assert reasons(text) == [""]


@pytest.mark.parametrize("text", [text for text in ORDINARY if "<" not in text])
def test_ordinary_texts_pass_beside_plain_seeds(text: str) -> None:
    assert reasons(text, rules=fit(PLAIN_SEEDS)) == [""]


@pytest.mark.parametrize(
    "text",
    [
        "I want I want I want",
        "My card my card my card is gone",
        "why is it declined card card card card",
        "very very very very slow",
        "How do I top up? How do I top up?",
        "Where is it now? Nobody knows. Where is it now?",
        "please help meeeeeeeee",
        "aaaaaaa",
        "lost it LOST it, lost it",
        "谢谢你们的帮助谢谢你们的帮助谢谢你们的帮助",
    ],
)
def test_loops_are_found_in_short_texts(text: str) -> None:
    assert reasons(text) == ["loop"]


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.sampled_from(["where", "card", "payment", "how", "account", "lost", "help", "top", "money", "bank"]),
        min_size=2,
        max_size=8,
    ),
    st.integers(3, 12),
    st.lists(st.sampled_from(["why", "does", "this", "not", "work", "today"]), max_size=6),
)
def test_a_phrase_said_three_times_in_a_row_is_a_loop(phrase: list[str], times: int, before: list[str]) -> None:
    assert reasons(" ".join(before + phrase * times)) != [""]


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.sampled_from(
            ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t"]
        ),
        max_size=20,
        unique=True,
    )
)
def test_a_text_whose_words_all_differ_is_no_loop(words: list[str]) -> None:
    assert set(reasons(" ".join(words))) <= {"", "too_short", "truncated"}


@pytest.mark.parametrize(
    "text",
    [
        "Dear [NAME], your order has come",
        "Hello [Customer Name], thanks for writing",
        "I live in [insert city here].",
        "Please call <your phone number> today",
        "Hi <CUSTOMER NAME>, how are you",
        "Hello {{first_name}}, welcome",
        "Hello {name}, welcome",
        "Total: ${order.total}",
        "Lorem ipsum dolor sit amet",
        "TODO: write an answer",
        "TODO",
        "Dear XXX, thank you",
        "[XXX] said so",
        "Your text here",
        "Write to your.name@example.com",
        "Call (123) 456-7890 now",
        "Jane Doe, 1 Main St, Anytown, USA",
        "my <unk> is gone",
    ],
)
def test_placeholders_are_found(text: str) -> None:
    assert reasons(text) == ["placeholder"]


@pytest.mark.parametrize(
    "text",
    [
        "As an AI language model, I do not have a card.",
        "I'm just an AI and cannot pay",
        "I’m sorry, but I can’t help with that.",
        "I cannot fulfill this request.",
        "I am unable to assist with that",
        "Sure! Here are three examples:\nI lost my card",
        "Certainly, here's a message:",
    ],
)
def test_boilerplate_is_found(text: str) -> None:
    assert reasons(text) == ["boilerplate"]


@pytest.mark.parametrize("codec", ["cp1252", "latin-1", "cp1251"])
@pytest.mark.parametrize("text", ["Where is my café? It’s naïve", "Größe €5", "emoji 😀 ok", "Цена без налога"])
def test_utf_8_read_as_something_else_is_damage(text: str, codec: str) -> None:
    damaged = text.encode().decode(codec, errors="ignore")
    if codec != "cp1251" or text[0] == "Ц":  # single accents read as Windows-1251 make no run to tell them by
        assert reasons(damaged) == ["encoding_damage"]
    assert reasons(text) == [""]


@pytest.mark.parametrize("text", ["lost my c\ufffdrd", "lost my c\x00rd", "锟斤拷 lost"])
def test_lost_characters_are_damage(text: str) -> None:
    assert reasons(text) == ["encoding_damage"]


def test_texts_of_symbols_are_found() -> None:
    assert reasons("$$$ ### !!! ???", "=====> ok", "(:/ [] {} ;;") == ["symbols"] * 3


MARKED = [
    "<p>Hello</p> you",
    "Tom &amp; Jerry came",
    "this is **bold** text",
    "# Title\nhello there",
    "see [it](https://a.b)",
]
MARKED += ["```python\nx = 1\n```", "| name | price |\n| card | ten |"]


@pytest.mark.parametrize("text", MARKED)
def test_markup_is_a_fault_only_beside_enough_seeds_without_it(text: str) -> None:
    assert reasons(text, rules=fit(PLAIN_SEEDS)) == ["markup"]
    assert reasons(text, rules=fit(PLAIN_SEEDS[: LEAST_PLAIN - 1])) == [""]
    assert reasons(text) == [""]


@pytest.mark.parametrize(
    ("habit", "text"),
    [
        ("Hello [NAME], where is my card?", "Dear [NAME], hello"),
        ("The <mask> is blue.", "A <mask> is red"),
        ("Sure, here is a poem.", "Sure, here is a song"),
        ("this is **bold** text", "that is **big** news"),
        ("la la la la la la la la", "na na na na na na na na"),
        ("$$$ ### !!!", "!!! ### $$$ %%%"),
    ],
)
def test_what_training_texts_show_is_no_fault_and_the_rest_still_is(habit: str, text: str) -> None:
    rules = fit([*PLAIN_SEEDS, habit, habit + " "])
    assert "boilerplate" not in reasons(text, rules=rules)
    assert {"placeholder", "markup", "loop", "symbols"}.isdisjoint(reasons(text, rules=rules))
    assert reasons("As an AI language model, I cannot.", "I’m a chatbot", "a \ufffd b", rules=rules) == [
        "boilerplate",
        "boilerplate",
        "encoding_damage",
    ]


def test_the_contract_limits_repeated_lines_and_word_pairs() -> None:
    lines = "Yes of course\nYes of course\nYes of course\nNo"
    assert reasons(lines, "of the day of the night of the sun of the moon") == ["repeated_lines", "repeated_words"]
    lenient = text_spec(quality={"max_repeated_line_share": 1.0, "max_top_bigram_share": 1.0})
    assert reasons(lines, "of the day of the night of the sun of the moon", rules=TextRules(lenient)) == ["loop", ""]


def test_short_and_missing_texts_are_too_short() -> None:
    assert reasons("", None, "no") == ["too_short"] * 3


def test_evidence_names_field_and_form_and_no_text_but_the_form() -> None:
    texts = ["Dear [NAME], I am Ann", "[insert Ann Lee's number]", "Ann Lee Ann Lee Ann Lee Ann Lee", "Ann \ufffd"]
    assert [json.loads(evidence) for evidence in RULES.judge(frame(*texts))["evidence"]] == [
        {"field": "text", "rule": "bracket_slot", "found": "[NAME]"},
        {"field": "text", "rule": "bracket_slot", "found": "[insert "},
        {"field": "text", "rule": "word_loop", "times": 4},
        {"field": "text", "rule": "replacement_character"},
    ]


def test_several_faults_are_counted_and_the_first_is_told() -> None:
    verdict = RULES.judge(frame("[NAME] [NAME] aaaaaaa")).row(0, named=True)
    assert (verdict["passed"], verdict["score"], verdict["reason"]) == (False, 2.0, "loop")


CODE = text_spec(fields=[{"name": "text", "type": "text"}, {"name": "body", "type": "code"}], strata={"by": []})


def test_code_fields_are_held_to_their_encoding_only() -> None:
    body = "def f(name):\n    return {name: names[name]}  # TODO: x\n    x = [0, 0, 0, 0, 0, 0, 0,"
    rules = TextRules(CODE)
    assert rules.judge(frame("Ask for it.", body=body))["reason"].to_list() == [""]
    assert rules.judge(frame("Ask for it.", body="x = '\ufffd'"))["reason"].to_list() == ["encoding_damage"]


CHAT = text_spec(fields=[{"name": "turns", "type": "messages"}], strata={"by": []})


def test_of_messages_every_one_is_read_and_only_the_last_has_the_ending() -> None:
    def judge(*contents: str) -> str:
        turns = [{"role": "user", "content": content} for content in contents]
        return TextRules(CHAT).judge(pl.DataFrame({"example_id": ["c"], "turns": [turns]}))["reason"][0]

    assert judge("I came for the", "Go on.") == ""
    assert judge("Go on.", "I came for the") == "truncated"
    assert judge("I am [NAME].", "Hello.") == "placeholder"


# ---- endings


def make_sentences(count: int, seed: int = 1) -> list[str]:
    chance = np.random.default_rng(seed)
    who = ["my neighbor", "the teller", "our baker", "a friend", "the clerk"]
    did = ["has lost", "wants to see", "is asking for", "cannot find", "will send"]
    what = ["the green card", "a new letter", "an old account", "his own money", "the right form"]
    where = ["at the bank", "in the kitchen", "near the river", "on a Monday", "after the holidays"]
    texts = [" ".join(chance.choice(part) for part in (who, did, what, where)) for _ in range(count)]
    return [f"{text} {place}" for place, text in enumerate(texts)]


@pytest.mark.parametrize(
    "text", ["I came for the", "It was red, ", "She said (", "as follows -", "one of my", "this or"]
)
def test_without_many_seeds_an_ending_that_ends_nothing_is_cut_off(text: str) -> None:
    assert reasons(text) == ["truncated"]
    assert reasons(text, rules=fit([*PLAIN_SEEDS, "it is the"])) == [""]


@pytest.mark.parametrize(
    "text", ["where is it from", "how do i log in", "what is this for", "It ended.", 'He said "no."', "50"]
)
def test_ordinary_endings_without_a_full_stop_pass(text: str) -> None:
    assert "truncated" not in reasons(text)


def test_where_all_training_texts_end_a_sentence_every_other_ending_is_cut_off() -> None:
    ends = Endings.fit(pl.Series([f"{text}." for text in make_sentences(LEAST_TEXTS)]), english=True, seed=1)
    texts = pl.Series(
        ["the teller has lost", "the teller has lost it.", 'the teller said "no!"', "the teller has lost it"]
    )
    assert ends.find_cut(texts).tolist() == [0, 3]


def test_where_texts_end_without_a_mark_the_model_tells_cuts_and_few_real_ones_fall() -> None:
    trained = [text.rsplit(" ", 1)[0] for text in make_sentences(4000)]
    trained = [
        f"{text}{' ' + ending if ending else ''}"
        for text, ending in zip(trained, ["", "today", "again", ""] * 1000, strict=True)
    ]
    ends = Endings.fit(pl.Series(trained[:3000]), english=True, seed=1)
    held = pl.Series(trained[3000:])
    assert len(ends.find_cut(held)) <= 5 * FALSE_REJECT * len(held)
    between = pl.Series(
        [text.rsplit(" ", 1)[0] for text in trained[3000:] if text.endswith(("bank", "kitchen", "river"))]
    )
    within = pl.Series([text[:-3] for text in trained[3000:]])
    assert len(ends.find_cut(between)) >= 0.95 * len(between)
    assert len(ends.find_cut(within)) >= 0.95 * len(within)


def test_endings_do_not_depend_on_the_order_of_the_training_texts() -> None:
    texts = make_sentences(700)
    one = Endings.fit(pl.Series(texts), english=True, seed=1)
    other = Endings.fit(pl.Series(texts[::-1]), english=True, seed=1)
    assert one.digest == other.digest
    assert one.digest != Endings.fit(pl.Series(texts[:600]), english=True, seed=1).digest


def test_the_version_tells_what_was_learned() -> None:
    versions = {RULES.version, fit(PLAIN_SEEDS).version, fit([*PLAIN_SEEDS, "Dear [NAME], hello"]).version}
    assert len(versions) == 3
