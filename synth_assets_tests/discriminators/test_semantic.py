"""Of texts that say the same, the first is kept, and none that the seeds or earlier rows already say."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import polars as pl
import pytest

from synth_assets.discriminators import semantic
from synth_assets.discriminators.protocol import Extendable
from synth_assets.discriminators.semantic import SemanticDuplicates
from synth_assets.errors import EngineError
from synth_assets.records import SEALED, add_content_ids, polars_schema
from synth_assets.similarity import measure_jaccard
from synth_assets.spec import DatasetSpec
from synth_assets_tests.builders import seed_rows, text_spec

SPEC = text_spec(quality={"semantic_duplicate_cosine": 0.9})
ASKS = ("how do i", "can i", "i want to", "please help me to", "why can i not", "is there a way to")
ACTS = ("pay with", "order", "cancel", "activate", "replace", "track", "freeze", "top up")
THINGS = ("a card", "my new card", "the virtual card", "a transfer", "my account", "the direct debit", "a cheque")
SEEDS = seed_rows(
    SPEC, [{"text": f"{ask} {act} {thing}?", "intent": act} for ask in ASKS for act in ACTS for thing in THINGS]
)
PASS = ("", None, None)

LONG = "my wallet was stolen in lisbon yesterday, so please block every card that is in it at once"
TURNED = "please block every card that is in it at once, so my wallet was stolen in lisbon yesterday"
OTHER = "the exchange rate that you applied to my purchase in norway looks wrong to me"


def candidates(*values: str | None, spec: DatasetSpec = SPEC, prefix: str = "c") -> pl.DataFrame:
    rows = [{"text": value, "intent": "pay"} for value in values]
    frame = add_content_ids(pl.DataFrame(rows, schema=polars_schema(spec.content_fields)), spec)
    return frame.with_columns(pl.Series("example_id", [f"{prefix}{i}" for i in range(len(values))], dtype=pl.String))


NONE = candidates("x").head(0)
BASE = SemanticDuplicates(SPEC, NONE, SEEDS)


def variants(count: int, seed: int) -> list[str]:
    """Texts of twelve words, many of which differ in the place of a word or two from others."""
    chance = random.Random(seed)
    words = sorted({word for text in [*ASKS, *ACTS, *THINGS, LONG, OTHER] for word in text.split()})
    bases, made = [chance.sample(words, 12) for _ in range(20)], []
    for _ in range(count):
        text = list(chance.choice(bases))
        for _ in range(chance.randint(1, 3)):
            text.insert(chance.randrange(12), text.pop(chance.randrange(12)))
        made.append(" ".join(text))
    return made


def judge(frame: pl.DataFrame, earlier: pl.DataFrame = NONE, seeds: pl.DataFrame = SEEDS) -> list[tuple[str, Any, Any]]:
    """Return reason, match and where of every candidate."""
    discriminator = BASE.extended(earlier) if seeds is SEEDS else SemanticDuplicates(SPEC, earlier, seeds)
    verdicts = discriminator.judge(frame)
    assert verdicts["example_id"].to_list() == frame["example_id"].to_list()
    evidence = [json.loads(text) if text else {} for text in verdicts["evidence"]]
    return [(r, e.get("match"), e.get("where")) for r, e in zip(verdicts["reason"], evidence, strict=True)]


def test_the_same_in_another_order_is_rejected_though_its_letters_are_not_near() -> None:
    assert measure_jaccard(pl.Series([LONG]), pl.Series([TURNED]))[0] < 0.9
    assert judge(candidates(LONG, OTHER, TURNED)) == [PASS, PASS, ("semantic_duplicate", "c0", "batch")]


def test_the_score_is_the_cosine_and_what_passed_has_none() -> None:
    verdicts = BASE.judge(candidates(LONG, TURNED))
    assert verdicts["score"][0] == 0
    assert 0.9 <= verdicts["score"][1] < 1
    assert verdicts["threshold"].to_list() == [0.9, 0.9]
    assert verdicts["passed"].to_list() == [True, False]


def test_earlier_rows_and_seeds_of_every_split_are_compared() -> None:
    seeds = pl.concat([SEEDS, seed_rows(SPEC, [{"text": OTHER, "intent": "pay", "split": SEALED}])])
    found = judge(
        candidates(TURNED, OTHER.replace("that you applied", "you applied")), candidates(LONG, prefix="e"), seeds
    )
    assert found == [
        ("semantic_duplicate", "e0", "earlier"),
        ("semantic_duplicate", seeds["example_id"][-1], "seeds"),
    ]


def test_another_thing_in_the_same_words_is_kept() -> None:
    assert judge(candidates("how do i pay with a palladium card?")) == [PASS]


def test_the_nearest_known_text_is_named() -> None:
    earlier = candidates(LONG + " and tell me", LONG, prefix="e")
    assert judge(candidates(LONG + "!"), earlier) == [("semantic_duplicate", "e1", "earlier")]


def test_rows_without_text_pass() -> None:
    fields = [{"name": "text", "type": "text", "nullable": True}, {"name": "intent", "type": "category"}]
    spec = text_spec(fields=fields)
    frame = candidates(None, None, "", spec=spec)
    assert SemanticDuplicates(spec, frame.head(0), SEEDS).judge(frame)["passed"].to_list() == [True] * 3


def test_an_empty_batch_has_no_verdicts_and_no_seeds_are_fine() -> None:
    assert BASE.judge(NONE).is_empty()
    assert judge(candidates(LONG, TURNED), seeds=SEEDS.head(0)) == [PASS, ("semantic_duplicate", "c0", "batch")]


def test_extended_knows_the_kept_rows_as_a_new_one_would() -> None:
    wave, frame = candidates(LONG, prefix="w"), candidates(TURNED, OTHER)
    assert isinstance(BASE, Extendable)
    extended = BASE.extended(wave).judge(frame)
    assert extended.equals(SemanticDuplicates(SPEC, wave, SEEDS).judge(frame))
    assert extended["passed"].to_list() == [False, True]


def test_verdicts_do_not_depend_on_how_many_rows_are_embedded_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = candidates(*variants(300, seed=0))
    whole = BASE.judge(frame)
    assert 0 < whole["passed"].sum() < frame.height
    monkeypatch.setattr(semantic, "_ROWS", 60)
    again = BASE.judge(frame)
    assert again.drop("score").equals(whole.drop("score"))
    assert np.abs((again["score"] - whole["score"]).to_numpy()).max() < 1e-6


def test_what_is_kept_says_different_things_and_what_is_rejected_repeats_a_kept_row() -> None:
    frame = candidates(*variants(300, seed=1))
    verdicts = BASE.judge(frame)
    vectors = dict(zip(frame["example_id"], BASE._model.embed(frame["text"]), strict=True))
    kept = verdicts.filter("passed")["example_id"].to_list()
    products = np.stack([vectors[one] for one in kept]) @ np.stack([vectors[one] for one in kept]).T
    assert np.tril(products, -1).max() < 0.9 + 1e-6
    rejected = verdicts.filter(~pl.col("passed"))
    assert not rejected.is_empty()
    for row in rejected.iter_rows(named=True):
        match = json.loads(row["evidence"])["match"]
        assert match in kept
        assert row["score"] == pytest.approx(float(vectors[row["example_id"]] @ vectors[match]), abs=1e-6)


def test_a_model_that_is_not_there_is_told_when_it_is_needed() -> None:
    spec = text_spec(quality={"embedding_model": "./no-such-model"})
    with pytest.raises(EngineError, match="no-such-model"):
        SemanticDuplicates(spec, NONE, SEEDS).judge(candidates(LONG))


def test_the_version_tells_settings_apart() -> None:
    others = [text_spec(quality={"semantic_duplicate_cosine": 0.95}), text_spec(quality={"embedding_model": "a/b"})]
    versions = {SemanticDuplicates(spec, NONE, SEEDS).version for spec in (SPEC, *others)}
    assert len(versions) == 3
    assert SemanticDuplicates(SPEC, NONE, SEEDS.head(1)).version in versions
