"""Equal and near-equal candidates are rejected for the row they repeat, and only for one that is kept."""

from __future__ import annotations

import json
import random
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth_assets.discriminators.duplicates import Duplicates
from synth_assets.records import add_content_ids, polars_schema
from synth_assets.similarity import measure_jaccard
from synth_assets.spec import DatasetSpec
from synth_assets_tests.builders import seed_rows, table_spec, text_spec

SPEC = text_spec()
LEXICON = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("", "ll", "nd", "rk", "st")]


def message(number: int, words: int = 12) -> str:
    """A text unlike any other number's."""
    return " ".join(random.Random(number).choices(LEXICON, k=words))


def candidates(rows: list[dict[str, Any]], *, spec: DatasetSpec = SPEC, prefix: str = "c") -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=polars_schema(spec.content_fields))
    ids = pl.Series("example_id", [f"{prefix}{i}" for i in range(frame.height)], dtype=pl.String)
    return add_content_ids(frame, spec).with_columns(ids)


def texts(*values: str | None, prefix: str = "c") -> pl.DataFrame:
    return candidates([{"text": value, "intent": "pay"} for value in values], prefix=prefix)


NONE = texts("x").head(0)
SEEDS = seed_rows(SPEC, [{"text": message(i), "intent": "pay"} for i in range(100, 110)])


def judge(frame: pl.DataFrame, earlier: pl.DataFrame = NONE, seeds: pl.DataFrame = SEEDS) -> list[tuple[str, Any, Any]]:
    """Return reason, match and where of every candidate."""
    verdicts = Duplicates(SPEC, earlier, seeds).judge(frame)
    assert verdicts["example_id"].to_list() == frame["example_id"].to_list()
    evidence = [json.loads(text) if text else {} for text in verdicts["evidence"]]
    return [(r, e.get("match"), e.get("where")) for r, e in zip(verdicts["reason"], evidence, strict=True)]


PASS = ("", None, None)


def test_the_first_of_equal_candidates_is_kept() -> None:
    found = judge(texts(message(1), message(2), message(1), message(1)))
    assert found == [PASS, PASS, ("exact_duplicate", "c0", "batch"), ("exact_duplicate", "c0", "batch")]


def test_a_near_duplicate_in_the_batch_is_rejected_with_its_similarity() -> None:
    frame = texts(message(1), message(1) + " now")
    verdicts = Duplicates(SPEC, NONE, SEEDS).judge(frame)
    assert verdicts["reason"].to_list() == ["", "near_duplicate"]
    assert verdicts["score"].to_list() == [0.0, measure_jaccard(frame["text"][:1], frame["text"][1:])[0]]
    assert verdicts["threshold"].to_list() == [SPEC.quality.near_duplicate_jaccard] * 2


def test_the_same_text_under_another_label_is_a_near_duplicate() -> None:
    frame = candidates([{"text": message(1), "intent": intent} for intent in ("pay", "ask")])
    assert judge(frame) == [PASS, ("near_duplicate", "c0", "batch")]


def test_equal_and_near_equal_rows_of_earlier_waves_are_found() -> None:
    earlier = texts(message(5), message(6), prefix="e")
    found = judge(texts(message(6), message(5) + " now", message(7)), earlier)
    assert found == [("exact_duplicate", "e1", "earlier"), ("near_duplicate", "e0", "earlier"), PASS]


def test_seeds_of_every_split_are_compared() -> None:
    seeds = seed_rows(
        SPEC,
        [
            {"text": message(i), "intent": "pay", "split": split}
            for i, split in enumerate(["train", "steering", "sealed"])
        ],
    )
    found = judge(texts(*(message(i) + " now" for i in range(3))), seeds=seeds)
    assert found == [("near_duplicate", match, "seeds") for match in seeds["example_id"]]


def test_the_nearest_match_is_reported_and_seeds_before_earlier() -> None:
    near, nearer = message(100) + " now or never", message(100) + " now"
    found = judge(texts(near, message(101)), texts(nearer, message(101), prefix="e"))
    assert found == [("near_duplicate", "e0", "earlier"), ("exact_duplicate", SEEDS["example_id"][1], "seeds")]


def test_of_a_chain_only_what_is_near_a_kept_row_is_rejected() -> None:
    chain = [message(1), message(1) + " now or", message(1) + " now or never again"]
    assert measure_jaccard(pl.Series(chain[:1]), pl.Series(chain[2:]))[0] < 0.8
    assert judge(texts(*chain)) == [PASS, ("near_duplicate", "c0", "batch"), PASS]


def test_a_copy_of_a_rejected_candidate_is_rejected_for_the_same_row() -> None:
    near = message(1) + " now"
    rows = [
        {"text": text, "intent": intent} for text, intent in ((message(1), "a"), (near, "a"), (near, "b"), (near, "a"))
    ]
    assert judge(candidates(rows)) == [PASS, *[("near_duplicate", "c0", "batch")] * 3]


def test_what_repeats_a_seed_hides_no_other_candidate() -> None:
    near_seed, farther = message(100) + " now or", message(100) + " now or never again"
    found = judge(texts(near_seed, farther))
    assert found[0] == ("near_duplicate", SEEDS["example_id"][0], "seeds")
    assert found[1] == PASS


def test_empty_texts_are_compared_by_content_alone() -> None:
    spec = text_spec(
        fields=[{"name": "text", "type": "text", "nullable": True}, {"name": "intent", "type": "category"}]
    )
    frame = candidates(
        [{"text": None, "intent": "a"}, {"text": None, "intent": "b"}, {"text": None, "intent": "a"}], spec=spec
    )
    verdicts = Duplicates(spec, frame.head(0), SEEDS).judge(frame)
    assert verdicts["reason"].to_list() == ["", "", "exact_duplicate"]


def test_boilerplate_of_the_seeds_is_not_compared() -> None:
    spec = text_spec(fields=[{"name": "chat", "type": "messages"}], strata={"by": []})
    system = {"role": "system", "content": message(0, words=200)}

    def chat(number: int) -> dict[str, Any]:
        return {"chat": [system, {"role": "user", "content": message(number)}]}

    seeds = seed_rows(spec, [chat(i) for i in range(3)])
    frame = candidates([chat(50), chat(51), chat(2)], spec=spec)
    verdicts = Duplicates(spec, frame.head(0), seeds).judge(frame)
    assert verdicts["passed"].to_list() == [True, True, False]


def test_rows_without_text_are_compared_by_content() -> None:
    spec = table_spec()
    seeds = seed_rows(spec, [{"low": 1.0, "high": 2.0, "kind": "a"}])
    rows = [(1.0, 2.0, "b"), (1.0, 2.0, "a"), (1.0, 2.0, "b"), (1.0, 2.01, "a")]
    frame = candidates([dict(zip(("low", "high", "kind"), row, strict=True)) for row in rows], spec=spec)
    verdicts = Duplicates(spec, frame.head(0), seeds).judge(frame)
    assert verdicts["reason"].to_list() == ["", "exact_duplicate", "exact_duplicate", ""]
    assert verdicts["score"].to_list() == [0.0, 1.0, 1.0, 0.0]


def test_an_empty_batch_has_no_verdicts() -> None:
    assert Duplicates(SPEC, NONE, SEEDS).judge(NONE).is_empty()


def test_no_seeds_and_nothing_earlier_is_fine() -> None:
    assert judge(texts(message(1)), seeds=SEEDS.head(0)) == [PASS]


def test_extended_knows_the_accepted_rows_as_a_new_one_would() -> None:
    wave = texts(message(1), message(2), prefix="w")
    frame = texts(message(1), message(2) + " now", message(3))
    extended = Duplicates(SPEC, NONE, SEEDS).extended(wave).judge(frame)
    assert extended.equals(Duplicates(SPEC, wave, SEEDS).judge(frame))
    assert extended["passed"].to_list() == [False, False, True]


def test_the_version_tells_settings_apart() -> None:
    stricter = text_spec(quality={"near_duplicate_jaccard": 0.7})
    assert Duplicates(SPEC, NONE, SEEDS).version == Duplicates(SPEC, NONE, SEEDS.head(1)).version
    assert Duplicates(SPEC, NONE, SEEDS).version != Duplicates(stricter, NONE, SEEDS).version


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.sampled_from("ab")), max_size=25))
def test_what_is_kept_is_never_alike_and_what_is_rejected_is_like_a_kept_row(rows: list[tuple[int, int, str]]) -> None:
    words = ["now", "or", "never"]
    frame = candidates([{"text": " ".join([message(f), *words[:n]]), "intent": i} for f, n, i in rows]).head(len(rows))
    verdicts = Duplicates(SPEC, NONE, SEEDS).judge(frame)
    text_of = dict(frame.select("example_id", "text").iter_rows())
    kept = verdicts.filter("passed")["example_id"].to_list()
    for place, one in enumerate(kept):
        for two in kept[:place]:
            assert measure_jaccard(pl.Series([text_of[one]]), pl.Series([text_of[two]]))[0] < 0.8
    for row in verdicts.filter(~pl.col("passed")).iter_rows(named=True):
        match = json.loads(row["evidence"])["match"]
        assert match in kept
        measured = measure_jaccard(pl.Series([text_of[row["example_id"]]]), pl.Series([text_of[match]]))[0]
        assert row["score"] == pytest.approx(measured)


def test_a_crowd_of_near_equal_candidates_leaves_one() -> None:
    frame = texts(*(f"{message(1, words=14)} {i:04d}" for i in range(3000)))
    assert Duplicates(SPEC, NONE, SEEDS).judge(frame)["passed"].sum() == 1
