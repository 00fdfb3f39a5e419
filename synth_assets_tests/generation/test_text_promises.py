"""What the embedded text generator promises, whatever its method: privacy limits, determinism, types, completeness."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from synth_assets.errors import EngineError
from synth_assets.generation.requests import build_requests
from synth_assets.generation.text.engine import TextEngine
from synth_assets.records import SYNTHESIS_ONLY
from synth_assets_tests.builders import seed_rows, table_spec, text_spec
from synth_assets_tests.paths import PROJECT


def support_rows() -> pl.DataFrame:
    lines = (PROJECT / "data" / "seeds" / "support" / "messages.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    marked = [
        {
            "text": row["text"],
            "intent": row["intent"],
            **({"disposition": SYNTHESIS_ONLY} if row["private"] else {}),
        }
        for row in rows
    ]
    return seed_rows(text_spec(), marked)


@pytest.fixture(scope="module")
def seeds() -> pl.DataFrame:
    return support_rows()


@pytest.fixture(scope="module")
def engine(seeds: pl.DataFrame) -> TextEngine:
    return TextEngine.fit(seeds, text_spec())


@pytest.fixture(scope="module")
def requests(seeds: pl.DataFrame) -> pl.DataFrame:
    return build_requests(text_spec(), "r000", seeds, dict.fromkeys(seeds["stratum"].unique(), 60), {})


@pytest.fixture(scope="module")
def made(engine: TextEngine, requests: pl.DataFrame) -> pl.DataFrame:
    return pl.concat(list(engine.generate(requests)))


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def test_every_request_is_completed_once_in_order(requests: pl.DataFrame, made: pl.DataFrame) -> None:
    assert made["request_id"].to_list() == requests["request_id"].to_list()
    assert made.filter(pl.col("finish_reason") == "stop").height > 0.8 * made.height


def test_a_completion_has_the_values_of_its_stratum(requests: pl.DataFrame, made: pl.DataFrame) -> None:
    assert made["intent"].to_list() == requests["stratum"].to_list()
    assert made.filter(pl.col("finish_reason") == "stop")["text"].null_count() == 0


def test_a_completion_depends_on_its_request_alone(
    engine: TextEngine, requests: pl.DataFrame, made: pl.DataFrame
) -> None:
    shuffled = requests.sample(fraction=1.0, shuffle=True, seed=1)
    parts = [pl.concat(list(engine.generate(part))) for part in shuffled.iter_slices(97)]
    again = pl.concat(parts).sort("request_id").select("request_id", "text", "intent", "finish_reason")
    assert again.equals(made.sort("request_id").select("request_id", "text", "intent", "finish_reason"))


def test_words_that_only_private_rows_hold_are_never_said(seeds: pl.DataFrame, made: pl.DataFrame) -> None:
    private = seeds.filter(pl.col("disposition") == SYNTHESIS_ONLY)["text"].to_list()
    public = {word for text in seeds.filter(pl.col("disposition") != SYNTHESIS_ONLY)["text"] for word in words(text)}
    secret = {word for text in private for word in words(text)} - public
    assert len(secret) > 100
    finished = made.filter(pl.col("finish_reason") == "stop")["text"].to_list()
    said = {word for text in finished for word in words(text)}
    assert said & secret == set()


def test_pairs_of_words_that_only_private_rows_hold_are_never_said(seeds: pl.DataFrame, made: pl.DataFrame) -> None:
    def pairs(texts: pl.Series) -> set[tuple[str, str]]:
        return {pair for text in texts for pair in pairwise(text.lower().split())}

    is_private = pl.col("disposition") == SYNTHESIS_ONLY
    secret = pairs(seeds.filter(is_private)["text"]) - pairs(seeds.filter(~is_private)["text"])
    assert len(secret) > 100
    assert pairs(made.filter(pl.col("finish_reason") == "stop")["text"]) & secret == set()


def test_what_a_single_row_says_is_said_less_often(seeds: pl.DataFrame, made: pl.DataFrame) -> None:
    texts = made.filter(pl.col("finish_reason") == "stop")["text"]
    spans = Counter(span for text in seeds["text"] for span in set(windows(text)))
    lone = {span for span, count in spans.items() if count == 1}
    copied, own = (
        np.mean([span in lone for text in side for span in windows(text)]) for side in (texts, seeds["text"])
    )
    assert float(copied) < 0.25 * float(own)


def windows(text: str) -> list[tuple[str, ...]]:
    told = words(text)
    return [tuple(told[start : start + 5]) for start in range(len(told) - 4)]


@pytest.mark.parametrize("least", [2, 3])
def test_every_pair_of_words_stands_in_as_many_rows_as_wanted(
    seeds: pl.DataFrame, requests: pl.DataFrame, least: int
) -> None:
    engine = TextEngine.fit(seeds, text_spec(generation={"min_support": least}))
    texts = pl.concat(list(engine.generate(requests))).filter(pl.col("finish_reason") == "stop")["text"]
    public = seeds.filter(pl.col("disposition") != SYNTHESIS_ONLY)["text"]
    shared = Counter(step for text in public for step in steps(text))
    assert min(shared[step] for text in texts for step in steps(text)) >= least
    assert texts.n_unique() > 0.6 * len(requests)


def steps(text: str) -> set[tuple[str, str]]:
    """Return the pairs of words of a text, its beginning and its end among them."""
    told = ["<", *text.lower().split(), ">"]
    return set(pairwise(told))


def test_a_walk_that_leaves_its_stratum_comes_back() -> None:
    told = {"red": ["please send the red again"] * 3, "blue": ["kindly look at the blue again"] * 3}
    told["red"].append("kindly resend it")
    seeds = seed_rows(text_spec(), [{"text": text, "intent": name} for name, texts in told.items() for text in texts])
    engine = TextEngine.fit(seeds, text_spec(generation={"min_support": 2}))
    made = pl.concat(list(engine.generate(build_requests(text_spec(), "r000", seeds, {"red": 200, "blue": 200}, {}))))
    texts = {name: set(made.filter(pl.col("intent") == name)["text"]) for name in told}
    assert texts["red"] == {"please send the red again", "kindly look at the red again"}
    assert texts["blue"] == {"kindly look at the blue again"}


@pytest.mark.parametrize(("rows", "support"), [(400, 1), (1_000, 2), (4_000, 3)])
def test_the_support_is_what_the_data_carries(rows: int, support: int) -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{word}" for word in rng.integers(60, size=8)) for _ in range(rows)]
    seeds = seed_rows(text_spec(), [{"text": text, "intent": "a"} for text in texts])
    told = json.loads(TextEngine.fit(seeds, text_spec()).info.parameters)
    assert told["min_support"] == {"text": support}


def test_a_support_that_no_text_has_is_refused(seeds: pl.DataFrame) -> None:
    with pytest.raises(EngineError, match=r"900 training rows share.*lower generation\.min_support"):
        TextEngine.fit(seeds, text_spec(generation={"min_support": 900}))


def test_private_rows_change_nothing(seeds: pl.DataFrame, requests: pl.DataFrame, made: pl.DataFrame) -> None:
    without = TextEngine.fit(seeds.filter(pl.col("disposition") != SYNTHESIS_ONLY), text_spec())
    assert pl.concat(list(without.generate(requests))).equals(made)


def test_a_stratum_of_private_rows_alone_gets_no_text(seeds: pl.DataFrame) -> None:
    stratum = str(seeds["stratum"][0])
    private = pl.when(pl.col("stratum") == stratum).then(pl.lit(SYNTHESIS_ONLY)).otherwise("disposition")
    rows = seeds.with_columns(disposition=private)
    made = pl.concat(
        list(TextEngine.fit(rows, text_spec()).generate(build_requests(text_spec(), "r000", rows, {stratum: 20}, {})))
    )
    assert set(made["finish_reason"]) == {"invalid"}
    assert made["text"].null_count() == made.height


def test_private_rows_alone_are_refused(seeds: pl.DataFrame) -> None:
    with pytest.raises(EngineError, match=r"all .* are synthesis_only.*generation\.engine: vllm"):
        TextEngine.fit(seeds.with_columns(disposition=pl.lit(SYNTHESIS_ONLY)), text_spec())


def test_few_texts_copy_a_seed_whole(seeds: pl.DataFrame, made: pl.DataFrame) -> None:
    finished = made.filter(pl.col("finish_reason") == "stop")
    copied = finished.filter(pl.col("text").is_in(seeds["text"].implode()))
    assert copied.height < 0.1 * finished.height


def test_outputs_of_a_stratum_differ(made: pl.DataFrame) -> None:
    assert made["text"].n_unique() > 0.8 * made.height


def test_the_same_rows_give_the_same_generator_and_others_another(seeds: pl.DataFrame) -> None:
    spec = text_spec()
    first, again = TextEngine.fit(seeds, spec), TextEngine.fit(seeds.sample(fraction=1.0, shuffle=True, seed=2), spec)
    assert first.info == again.info
    assert TextEngine.fit(seeds.head(300), spec).info.generator_id != first.info.generator_id
    assert set(first.info.members) == set(seeds.filter(pl.col("disposition") != SYNTHESIS_ONLY)["example_id"])


def test_length_limits_end_a_text(seeds: pl.DataFrame, requests: pl.DataFrame) -> None:
    short = text_spec(generation={"max_tokens": 8})
    made = pl.concat(list(TextEngine.fit(seeds, short).generate(requests)))
    assert max(len(text.split()) for text in made["text"].drop_nulls()) <= 8
    assert (made["finish_reason"] == "length").any()


def test_data_without_text_is_refused(tmp_path: Path) -> None:
    spec = table_spec()
    rows = seed_rows(spec, [{"low": 1.0, "high": 2.0, "kind": "a"}])
    with pytest.raises(EngineError, match="text"):
        TextEngine.fit(rows, spec)


def test_conversations_keep_their_roles_and_their_turns() -> None:
    fields = [
        {"name": "talk", "type": "messages", "role": "input"},
        {"name": "intent", "type": "category", "role": "target"},
    ]
    spec = text_spec(fields=fields)
    rows = [
        {
            "talk": [
                {"role": "user", "content": f"hello I want to ask about the order number {i} please help me"},
                {"role": "assistant", "content": f"thank you for asking about the order, it is at stop {i % 7} now"},
            ],
            "intent": "order",
        }
        for i in range(40)
    ]
    seeds = seed_rows(spec, rows)
    made = pl.concat(list(TextEngine.fit(seeds, spec).generate(build_requests(spec, "r000", seeds, {"order": 30}, {}))))
    roles = made["talk"].list.eval(pl.element().struct.field("role")).list.join(",").unique().to_list()
    assert roles == ["user,assistant"]


def test_a_turn_of_which_too_few_rows_say_the_same_is_rejected() -> None:
    fields = [
        {"name": "talk", "type": "messages", "role": "input"},
        {"name": "intent", "type": "category", "role": "target"},
    ]
    spec = text_spec(fields=fields, generation={"min_support": 2})
    answers = [["alpha"], ["beta"], *([[]] * 8)]
    rows = [
        {
            "talk": [
                {"role": "user", "content": "hello where is my order please"},
                *({"role": "assistant", "content": f"{word} said once"} for word in answer),
            ],
            "intent": "order",
        }
        for answer in answers
    ]
    seeds = seed_rows(spec, rows)
    made = pl.concat(list(TextEngine.fit(seeds, spec).generate(build_requests(spec, "r000", seeds, {"order": 60}, {}))))
    finished = made.filter(pl.col("finish_reason") == "stop")
    assert set(made["finish_reason"]) == {"stop", "invalid"}
    assert finished["talk"].list.len().unique().to_list() == [1]


def test_texts_without_spaces_are_recombined_too() -> None:
    spec = text_spec()
    lines = ["我想查询我的订单状态", "请问我的订单什么时候到", "我的包裹还没有到请帮我查询", "订单已经付款但是没有发货"]
    seeds = seed_rows(spec, [{"text": line + "谢谢" * (i % 3), "intent": "a"} for i in range(5) for line in lines])
    made = pl.concat(list(TextEngine.fit(seeds, spec).generate(build_requests(spec, "r000", seeds, {"a": 40}, {}))))
    assert made["text"].str.len_chars().min() > 2
