"""Perplexity rejects few real rows, by the number it was told, and most of what is no language of theirs."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from scipy.stats import binom

from synth_assets.discriminators.quality.perplexity import (
    LEAST_ROWS,
    Perplexity,
    Usual,
    average_surprise,
    find_upper_limit,
)
from synth_assets.ngrams import read_characters
from synth_assets_tests.builders import table_spec, text_spec
from synth_assets_tests.discriminators.quality.samples import (
    MarkovSource,
    as_frame,
    needs_messages,
    read_messages,
    shuffle_words,
)

SOURCE = MarkovSource.of(seed=3)
TRAIN = as_frame(SOURCE.draw(3_000, 1), "t")


def spec_of(share: float = 0.01):
    return text_spec(quality={"perplexity_false_reject": share})


def fit(share: float = 0.01, train: pl.DataFrame = TRAIN) -> Perplexity:
    fitted = Perplexity.fit(spec_of(share), train)
    assert fitted is not None
    return fitted


def rejected(judge: Perplexity, texts: list[str]) -> float:
    return float(np.mean(~judge.judge(as_frame(texts))["passed"].to_numpy()))


@pytest.mark.parametrize("share", [0.002, 0.01, 0.05])
def test_fresh_rows_of_the_source_are_rejected_as_often_as_was_asked(share: float):
    fresh = 4_000
    low, high = binom.interval(0.999, fresh, [share / 3, share * 2])  # the limit is itself of 3,000 rows
    assert low[0] / fresh <= rejected(fit(share), SOURCE.draw(fresh, 2)) <= high[1] / fresh


@needs_messages
def test_real_messages_pass_and_word_salad_does_not():
    train, fresh = read_messages()
    judge = fit(0.01, train)
    salad = shuffle_words(fresh["text"])
    assert rejected(judge, fresh["text"].to_list()) <= 0.016
    assert rejected(judge, salad) >= 0.85
    assert rejected(fit(0.002, train), salad) >= 0.65


@needs_messages
def test_gibberish_and_another_language_are_rejected():
    judge = fit(0.002, read_messages()[0])
    letters = np.random.default_rng(0).choice(list("abcdefghijklmnopqrstuvwxyz "), (200, 50))
    assert rejected(judge, ["".join(row) for row in letters]) >= 0.99
    german = ["Ich habe meine Karte noch nicht bekommen.", "Warum wurde meine Zahlung abgelehnt?"]
    assert rejected(judge, german) == 1


def test_short_texts_are_judged_by_what_is_usual_for_short_texts():
    judge = fit(0.05)
    fresh = SOURCE.draw(6_000, 4)
    words = np.array([len(text.split()) for text in fresh])
    standard = ~judge.judge(as_frame(fresh))["passed"].to_numpy()
    raw = average_surprise(judge.model.measure(read_characters(pl.Series(fresh))))
    plain = raw > np.quantile(raw, 1 - standard.mean())
    short, long = words <= 4, words >= 12
    assert 0.01 < standard[long].mean() <= standard[short].mean() < 0.1
    assert plain[long].mean() < 0.002
    assert plain[short].mean() - plain[long].mean() > 1.5 * (standard[short].mean() - standard[long].mean())


def test_evidence_names_the_least_likely_words_and_hides_numbers():
    sentence = SOURCE.draw(50, 5)
    long = max(sentence, key=len).split()
    text = " ".join([*long[:6], "Zyxwv", "Qqq", "4711", *long[6:]])
    verdict = fit().judge(as_frame([text])).row(0, named=True)
    assert (verdict["passed"], verdict["reason"]) == (False, "implausible_text")
    evidence = json.loads(verdict["evidence"])
    assert evidence["words"] == "zyxwv qqq 0000"
    assert evidence["perplexity"] > 50


def test_what_passed_carries_no_reason_and_a_score_below_the_threshold():
    judged = fit().judge(as_frame(SOURCE.draw(200, 6))).filter("passed")
    assert (judged["score"] <= judged["threshold"]).all()
    assert judged["reason"].unique().to_list() == judged["evidence"].unique().to_list() == [""]


def test_the_same_rows_in_another_order_and_another_batch_give_the_same_verdicts():
    texts = [*SOURCE.draw(300, 7), *shuffle_words(SOURCE.draw(300, 8))]
    frame = as_frame(texts)
    judge, again = fit(), fit(train=TRAIN.sample(fraction=1, shuffle=True, seed=1))
    assert (judge.version, judge.threshold) == (again.version, pytest.approx(again.threshold))
    whole = judge.judge(frame)
    assert whole.equals(pl.concat([judge.judge(frame[:7]), judge.judge(frame[7:])]))
    assert whole["passed"].equals(again.judge(frame)["passed"])


def test_hostile_texts_get_a_verdict_each():
    texts = [
        "",
        None,
        " \n\t",
        "a" * 100_000,
        "ka ke " * 20_000,
        "😀" * 50,
        "\x00\x01",
        "?!" * 30,
        "日本語",
        "e\u0301" * 9,
    ]
    judged = fit().judge(as_frame(texts))
    assert judged["example_id"].to_list() == [f"c{i}" for i in range(len(texts))]
    assert judged["score"].is_finite().all()
    assert judged["passed"].to_list()[:4] == [True, True, True, False]
    assert (judged["evidence"].str.len_chars() < 200).all()
    assert fit().judge(as_frame([])).is_empty()


def test_nothing_is_built_where_there_is_nothing_to_fit_or_to_judge():
    assert Perplexity.fit(spec_of(0), TRAIN) is None
    assert Perplexity.fit(spec_of(), TRAIN.head(LEAST_ROWS - 1)) is None
    assert Perplexity.fit(spec_of(), as_frame([None, ""] * 100)) is None
    assert Perplexity.fit(spec_of(), as_frame(SOURCE.draw(LEAST_ROWS - 1, 1) * 50)) is None
    table = pl.DataFrame({"example_id": ["a"] * 50, "low": 1.0, "high": 2.0, "kind": "a"})
    assert Perplexity.fit(table_spec(), table) is None


def test_copies_of_one_row_share_a_fold():
    texts = SOURCE.draw(400, 9)
    once = as_frame(texts)
    copied = as_frame([text for text in texts for _ in range(5)]).with_columns(
        cluster=pl.Series(once["example_id"].to_list()).gather([i // 5 for i in range(2000)])
    )
    clustered, blind = fit(0.05, copied), fit(0.05, copied.drop("cluster"))
    fresh = SOURCE.draw(2_000, 10)
    assert rejected(clustered, fresh) < 0.1 < rejected(blind, fresh)


def test_usual_recovers_mean_and_spread_by_length():
    rng = np.random.default_rng(0)
    words = rng.integers(2, 40, 20_000)
    scores = 5 + 3 / words + rng.normal(size=len(words)) * np.sqrt(0.1 + 2 / words)
    standard = Usual.fit(scores, words).standardize(scores, words)
    for part in (words < 5, (words > 10) & (words < 20), words > 30):
        assert standard[part].mean() == pytest.approx(0, abs=0.06)
        assert standard[part].std() == pytest.approx(1, abs=0.06)


def test_limits_of_few_rows_lie_above_all_of_them():
    scores = np.random.default_rng(0).normal(size=50)
    assert find_upper_limit(scores, 0.002) > scores.max()
    many = np.random.default_rng(1).normal(size=10_000)
    assert (many > find_upper_limit(many, 0.01)).mean() == pytest.approx(0.01, abs=1e-4)
