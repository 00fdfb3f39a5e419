"""Long spans of seeds are leaks, shorter ones of private seeds too, and common language is none."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest

from synth_assets.discriminators.leakage import Leakage
from synth_assets.records import SYNTHESIS_ONLY
from synth_assets_tests.builders import seed_rows, text_spec

SPEC = text_spec(quality={"leak_ngram": 6, "leak_ngram_private": 4, "leak_surprise": 0})
PUBLIC = {"text": "My new green card has not arrived at our holiday house in Norway.", "intent": "pay"}
PRIVATE = {
    "text": "Mrs Olsen of Harbor Street fears that her neighbor reads her letters.",
    "intent": "ask",
    "disposition": SYNTHESIS_ONLY,
}


def seeds_of(*rows: dict[str, Any]) -> pl.DataFrame:
    return seed_rows(SPEC, list(rows))


def judge(*texts: str | None, seeds: pl.DataFrame) -> pl.DataFrame:
    ids = [f"c{i}" for i in range(len(texts))]
    frame = pl.DataFrame(
        {"example_id": ids, "text": texts, "intent": ["pay"] * len(texts)}, schema_overrides={"text": pl.String}
    )
    return Leakage(SPEC, seeds).judge(frame)


def reasons(*texts: str | None, seeds: pl.DataFrame) -> list[str]:
    return judge(*texts, seeds=seeds)["reason"].to_list()


def test_a_long_span_of_a_seed_is_a_leak_with_its_length_and_words() -> None:
    seeds = seeds_of(PUBLIC)
    verdict = judge("Oh, MY NEW green card has not arrived, why?", seeds=seeds).row(0, named=True)
    assert (verdict["passed"], verdict["reason"], verdict["score"], verdict["threshold"]) == (False, "leak", 7.0, 6.0)
    told = json.loads(verdict["evidence"])
    assert told.pop("surprise") > 0
    assert told == {"match": seeds["example_id"][0], "ngram": "my new green card has not arrived"}


def test_a_span_below_the_limit_passes() -> None:
    verdict = judge("my new green card has gone", seeds=seeds_of(PUBLIC)).row(0, named=True)
    assert verdict == {"example_id": "c0", "passed": True, "score": 0.0, "threshold": 6.0, "reason": "", "evidence": ""}


def test_a_shorter_span_of_a_private_seed_is_a_private_leak_whose_text_is_not_shown() -> None:
    seeds = seeds_of(PUBLIC, PRIVATE)
    verdict = judge("Is she mrs olsen of harbor street?", seeds=seeds).row(0, named=True)
    assert (verdict["reason"], verdict["score"], verdict["threshold"]) == ("private_leak", 5.0, 4.0)
    assert json.loads(verdict["evidence"]) == {"match": seeds["example_id"][1], "words": 5}


def test_a_private_leak_goes_before_a_public_one() -> None:
    both = "my new green card has not arrived fears that her neighbor reads"
    assert reasons(both, seeds=seeds_of(PUBLIC, PRIVATE)) == ["private_leak"]


def test_private_words_that_two_releasable_seeds_hold_tell_nothing() -> None:
    open_rows = [
        {"text": f"She fears that her neighbor {what}.", "intent": "ask"} for what in ("sings", "left", "smokes")
    ]
    text = "he fears that her neighbor is ill"
    assert reasons(text, seeds=seeds_of(PRIVATE, open_rows[0])) == ["private_leak"]
    assert reasons(text, seeds=seeds_of(PRIVATE, *open_rows[:2])) == [""]


def test_words_that_three_seeds_hold_are_common_language() -> None:
    rows = [{"text": f"Could you please tell me how to {what}", "intent": "ask"} for what in ("pay", "call", "sell")]
    text = "hello could you please tell me how this works"
    assert reasons(text, seeds=seeds_of(*rows[:2])) == ["leak"]
    assert reasons(text, seeds=seeds_of(*rows)) == [""]


COMMON = "could you please tell me how"
LENIENT = text_spec(quality={"leak_ngram": 6, "leak_surprise": 25})


def chorus(intent: str) -> list[dict[str, Any]]:
    """Rows from which the words of COMMON are likely, though none holds all six in a row but the first."""
    ends = ("pay the fee", "call a person", "sell the car", "block it")
    parts = ("could you please {}", "please tell me {}", "tell me how {}", "you please tell {}")
    return [{"text": f"{COMMON} this is done", "intent": intent}] + [
        {"text": part.format(end) + f" number {i}", "intent": intent}
        for part in parts
        for end in ends
        for i in range(5)
    ]


def test_a_span_that_anybody_would_write_is_no_leak_unless_the_model_was_shown_the_seed() -> None:
    seeds = seed_rows(LENIENT, chorus("ask"))
    frame = pl.DataFrame({"example_id": ["c"], "text": [f"hello {COMMON} it works"], "intent": ["ask"]})
    frame = frame.with_columns(stratum=pl.lit("ask"))
    assert Leakage(SPEC, seeds).judge(frame)["reason"].to_list() == ["leak"]
    assert Leakage(LENIENT, seeds).judge(frame)["reason"].to_list() == [""]
    shown = frame.with_columns(prompted_by=pl.Series([["other", seeds["example_id"][0]]]))
    assert Leakage(LENIENT, seeds).judge(shown)["reason"].to_list() == ["leak"]


def test_what_is_common_in_another_stratum_alone_is_more_of_a_surprise_here() -> None:
    elsewhere = [{"text": f"the weather is fine on day {i}", "intent": "weather"} for i in range(200)]
    leakage = Leakage(SPEC, seed_rows(SPEC, [*chorus("ask"), *elsewhere]))
    frame = pl.DataFrame({"example_id": ["a", "b"], "text": [COMMON, COMMON], "stratum": ["ask", "weather"]})
    surprise = [json.loads(told)["surprise"] for told in leakage.judge(frame)["evidence"]]
    assert surprise[0] < surprise[1] - 5


def test_what_the_seeds_own_cluster_repeats_does_not_make_it_common() -> None:
    rare = "a violet otter plays chess with my aunt"
    rows = [{"text": f"{rare} {i} {word}", "intent": "ask"} for i, word in enumerate(("today", "now", "later"))]
    seeds = seed_rows(LENIENT, [*rows, *chorus("ask")])
    seeds = seeds.with_columns(
        cluster=pl.when(pl.col("text").str.contains("otter")).then(pl.lit("one")).otherwise("cluster")
    )
    frame = pl.DataFrame({"example_id": ["c"], "text": [rare], "stratum": ["ask"]})
    assert Leakage(LENIENT, seeds).judge(frame)["reason"].to_list() == ["leak"]


def test_seeds_of_one_cluster_count_once() -> None:
    rows = [{"text": PUBLIC["text"] + end, "intent": "pay"} for end in ("", " Why?", " Help me please!")]
    seeds = seeds_of(*rows).with_columns(cluster=pl.lit("one"))
    assert reasons("my new green card has not arrived", seeds=seeds) == ["leak"]
    assert reasons("my new green card has not arrived", seeds=seeds.drop("cluster")) == [""]


def test_a_private_limit_above_the_public_one_does_not_weaken_it() -> None:
    spec = text_spec(quality={"leak_ngram": 4, "leak_ngram_private": 9})
    frame = pl.DataFrame({"example_id": ["c"], "text": ["mrs olsen of harbor"], "intent": ["pay"]})
    verdict = Leakage(spec, seeds_of(PRIVATE)).judge(frame).row(0, named=True)
    assert (verdict["reason"], verdict["threshold"]) == ("private_leak", 4.0)


def test_short_and_missing_texts_pass() -> None:
    assert reasons("card", "", None, seeds=seeds_of(PUBLIC, PRIVATE)) == ["", "", ""]


@pytest.mark.parametrize("seeds", [seeds_of(PUBLIC).head(0), seeds_of(PUBLIC), seeds_of(PRIVATE)])
def test_seeds_of_one_kind_or_none_are_enough(seeds: pl.DataFrame) -> None:
    assert reasons("nothing in common with any of them at all", seeds=seeds) == [""]


def test_messages_are_searched_too() -> None:
    spec = text_spec(fields=[{"name": "chat", "type": "messages"}], strata={"by": []})
    text = "the quick brown fox jumps over the lazy dog"
    seeds = seed_rows(spec, [{"chat": [{"role": "user", "content": text}]}])
    chats = [
        [{"role": "assistant", "content": f"Listen: {text}!"}],
        [{"role": "user", "content": "the quick brown dog"}],
    ]
    verdicts = Leakage(spec, seeds).judge(pl.DataFrame({"example_id": ["a", "b"], "chat": chats}))
    assert verdicts["passed"].to_list() == [False, True]


def test_order_and_ids_are_those_of_the_candidates() -> None:
    found = judge("b", PUBLIC["text"], "a", PRIVATE["text"], seeds=seeds_of(PUBLIC, PRIVATE))
    assert found["example_id"].to_list() == ["c0", "c1", "c2", "c3"]
    assert found["reason"].to_list() == ["", "leak", "", "private_leak"]


def test_the_version_tells_settings_apart() -> None:
    seeds = seeds_of(PUBLIC)
    assert Leakage(SPEC, seeds).version != Leakage(text_spec(), seeds).version
