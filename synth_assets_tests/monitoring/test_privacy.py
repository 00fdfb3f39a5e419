from __future__ import annotations

import math
from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from synth_assets.monitoring.features import fit_encoder
from synth_assets.monitoring.privacy import measure_privacy
from synth_assets.monitoring.privacy.compared import Compared, Targets
from synth_assets.monitoring.privacy.membership import _judge_attack, find_text_likeness, weighted_auc
from synth_assets.monitoring.privacy.records import find_nearest_rows
from synth_assets_tests.monitoring.samples import (
    CUSTOMERS,
    MESSAGES,
    find,
    make_customers,
    make_messages,
    make_spec,
    seeds_of,
)

PEOPLE = make_spec([{"name": "age", "type": "number"}, {"name": "region", "type": "category"}])


@pytest.fixture(scope="module")
def messages() -> pl.DataFrame:
    return seeds_of(make_messages(400, 1), make_messages(300, 2))


@pytest.fixture(scope="module")
def customers() -> pl.DataFrame:
    return seeds_of(make_customers(400, 1), make_customers(300, 2))


def test_fresh_messages_give_nothing_away(messages: pl.DataFrame):
    report = measure_privacy(make_messages(400, 3), messages, MESSAGES)
    assert report.level == "ok"
    low, value, high = (find(report, f"membership_auc{end}")["value"] for end in ("_low", "", "_high"))
    assert low < 0.5 < high
    assert low < value < high


def test_copied_messages_act_and_name_the_rows(messages: pl.DataFrame):
    train = messages.filter(pl.col("split") == "train").drop("split")
    made = pl.concat([make_messages(300, 3), train.head(100).with_columns(example_id="copy " + pl.col("example_id"))])
    report = measure_privacy(made, messages, MESSAGES)
    copies = find(report, "near_copy_share")
    assert copies["value"] == pytest.approx(0.25)
    assert copies["level"] == "act"
    assert not report.passed
    shown = report.examples.filter(pl.col("kind") == "near_copy")
    assert (shown["example_id"] == "copy " + shown["related_id"]).all()


def test_text_never_stands_in_a_report(messages: pl.DataFrame):
    report = measure_privacy(messages.filter(pl.col("split") == "train"), messages, MESSAGES)
    told = " ".join([*report.examples["note"].drop_nulls(), *report.metrics["note"]])
    assert report.examples.height > 0
    assert not any(text in told for text in messages["text"])


def test_messages_made_of_train_rows_are_told_from_sealed_ones(messages: pl.DataFrame):
    # the first half of one train row and the second half of another: no near copy, yet members are recognized
    train = messages.filter(pl.col("split") == "train").sort("topic")
    words = train["text"].str.split(" ")
    halves = pl.DataFrame({"a": words.list.head(6).list.join(" "), "b": words.list.tail(6).list.join(" ").shift(-1)})
    made = train.drop("split").with_columns(
        text=halves.select(pl.concat_str("a", "b", separator=" ", ignore_nulls=True)).to_series()
    )
    report = measure_privacy(made, messages, MESSAGES)
    assert find(report, "membership_auc")["level"] == "act"
    assert find(report, "longest_span_p95")["value"] >= 6


def test_the_auc_acts_only_when_its_interval_is_above_the_bar(customers: pl.DataFrame):
    train = customers.filter(pl.col("split") == "train").drop("split")
    made = pl.concat([train.head(120), make_customers(400, 3)])
    report = measure_privacy(made, customers, CUSTOMERS)
    row, low = find(report, "membership_auc_columns"), find(report, "membership_auc_columns_low")["value"]
    assert (row["level"] == "act") == (low > 0.60)
    assert (row["level"] == "watch") == (low <= 0.60 < row["value"])


def test_fresh_customers_give_nothing_away(customers: pl.DataFrame):
    assert measure_privacy(make_customers(400, 3), customers, CUSTOMERS).level == "ok"


def test_perturbed_copies_of_customers_are_close_records(customers: pl.DataFrame):
    train = customers.filter(pl.col("split") == "train").drop("split")
    report = measure_privacy(train.with_columns(pl.col("age") + 0.001), customers, CUSTOMERS)
    assert find(report, "close_record_share")["value"] == 1
    assert find(report, "close_record_share")["level"] == "act"
    assert find(report, "membership_auc_columns")["level"] == "act"
    assert report.examples.filter(pl.col("kind") == "close_record").height == 20


def test_an_unequal_category_counts_like_one_standard_deviation():
    train = pl.DataFrame({"age": [0.0, 0, 2, 2], "region": ["n"] * 3 + ["s"]})
    made = pl.DataFrame({"age": [0.0, 1.0], "region": ["s", "n"]})
    encoder, encoded = fit_encoder(train, PEOPLE.fields, text="none", category_scale=0.5**0.5)
    distances, _ = find_nearest_rows(encoder.encode(made).toarray(), encoded.toarray())
    assert distances.tolist() == pytest.approx([1, 1])


def test_without_sealed_rows_train_rows_among_themselves_are_the_control(messages: pl.DataFrame):
    train = messages.filter(pl.col("split") == "train")
    report = measure_privacy(train.drop("split"), train, MESSAGES)
    copies = find(report, "near_copy_share")
    assert (copies["value"], copies["level"]) == (1, "act")
    assert copies["null_high"] < 0.05
    assert find(report, "exact_copy_share")["null_high"] is None
    assert find(report, "exact_copy_share")["level"] == "act"
    assert find(report, "membership_auc")["value"] is None


def test_the_stratum_mix_of_the_sealed_rows_does_not_make_members():
    # synthetic rows are of one topic only, which is twice as frequent in train: unweighted, that alone would tell
    train, sealed = make_messages(600, 1), make_messages(600, 2)
    seeds = seeds_of(train.filter((pl.col("topic") == "card") | (pl.int_range(pl.len()) % 3 == 0)), sealed)
    made = make_messages(900, 3).filter(pl.col("topic") == "card")
    metric = find(measure_privacy(made, seeds, MESSAGES), "membership_auc")
    assert metric["value"] == pytest.approx(0.5, abs=0.05)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 4)), min_size=1, max_size=20),
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 4)), min_size=1, max_size=20),
)
def test_the_weighted_auc_is_that_of_scikit_learn(members: list[tuple[int, int]], others: list[tuple[int, int]]):
    scores, weights = np.array(members + others).T
    truth = np.repeat([1, 0], [len(members), len(others)])
    ranks = np.unique(scores, return_inverse=True)[1]
    value = weighted_auc(ranks, len(members), weights[: len(members)], weights[len(members) :])
    assert value == pytest.approx(roc_auc_score(truth, scores, sample_weight=weights))


def test_the_interval_of_the_auc_holds_the_truth_where_strata_have_few_rows():
    """27 train and 11 sealed rows in 20 strata whose likeness is chance: 95 % of intervals hold ½."""
    rng, missed = np.random.default_rng(5), 0
    for number in range(80):
        spec = MESSAGES.model_copy(update={"seed": number})
        train, sealed = (pl.DataFrame({"stratum": rng.integers(0, 20, size=n).astype(str)}) for n in (27, 11))
        rows = Compared(spec, train, train, train, sealed)
        targets = Targets("", np.arange(27), np.arange(11), serious=True)
        metrics = {
            metric.metric: metric.value for metric in _judge_attack("auc", "", targets, rng.normal(size=38), rows)
        }
        missed += not metrics["auc_low"] <= 0.5 <= metrics["auc_high"]
    assert missed <= 10  # 4 are expected; more than 10 have a chance of 0.2 %


def test_no_rows_are_a_note(messages: pl.DataFrame):
    report = measure_privacy(make_messages(0, 1), messages, MESSAGES)
    assert report.passed
    assert "no synthetic rows" in report.metrics["note"][0]


def test_only_rows_that_are_never_exported_have_a_membership_to_hide(messages: pl.DataFrame):
    train = messages.filter(pl.col("split") == "train")
    made = train.drop("split").with_columns(text=pl.col("text") + pl.lit(" anyway"))
    public = measure_privacy(made, messages.with_columns(disposition=pl.lit("releasable")), MESSAGES)
    assert find(public, "membership_auc")["level"] == "watch"
    private = measure_privacy(made, messages.with_columns(disposition=pl.lit("synthesis_only")), MESSAGES)
    assert find(private, "membership_auc")["level"] == "act"


def test_the_likeness_is_the_greatest_cosine_of_weighted_4_grams():
    made, asked = make_messages(60, 1)["text"], make_messages(20, 2)["text"]
    grams = [[Counter(text[i : i + 4] for i in range(len(text) - 3)) for text in side] for side in (asked, made)]
    holders = Counter(gram for counts in grams[1] for gram in counts)

    def vector_of(counts: Counter[str]) -> dict[str, float]:
        told = {gram: count for gram, count in counts.items() if holders[gram] <= 10}
        weighted = {g: (1 + math.log(count)) * (1 + math.log(61 / (1 + holders[g]))) for g, count in told.items()}
        length = math.hypot(*weighted.values())
        return {gram: weight / length for gram, weight in weighted.items()}

    vectors = [[vector_of(counts) for counts in side] for side in grams]
    expected = [
        max(sum(weight * other.get(gram, 0) for gram, weight in one.items()) for other in vectors[1])
        for one in vectors[0]
    ]
    assert find_text_likeness(asked, made) == pytest.approx(expected, abs=1e-5)


def test_membership_is_inferred_from_the_candidates_not_from_what_the_filters_left(messages: pl.DataFrame):
    train = messages.filter(pl.col("split") == "train").drop("split")
    made = make_messages(400, 3)
    copied = train.with_columns(text=pl.col("text") + pl.lit(" anyway"))
    report = measure_privacy(made, messages, MESSAGES, candidates=pl.concat([copied, made]))
    assert find(report, "near_copy_share")["value"] < 0.01
    assert find(report, "membership_auc")["value"] > 0.8
    assert find(report, "membership_auc")["level"] == "act"
    assert find(measure_privacy(made, messages, MESSAGES), "membership_auc")["value"] < 0.6


def test_members_are_compared_with_sealed_rows_of_their_own_disposition():
    # private rows speak of logins alone; sealed private rows do too, so that the topic tells no membership
    topics = pl.col("topic") == "login"
    rows = seeds_of(make_messages(900, 1), make_messages(900, 2)).with_columns(
        disposition=pl.when(topics).then(pl.lit("synthesis_only")).otherwise(pl.lit("releasable")),
        stratum=pl.lit("all"),
    )
    made = make_messages(900, 3).filter(topics).with_columns(stratum=pl.lit("all"))
    report = measure_privacy(made, rows, MESSAGES)
    assert find(report, "membership_auc")["value"] == pytest.approx(0.5, abs=0.06)


def test_five_percent_copies_with_two_words_changed_act_and_are_all_named(messages: pl.DataFrame):
    train = messages.filter(pl.col("split") == "train").drop("split")
    words = pl.col("text").str.split(" ")
    copied = train.head(30).select(
        example_id="copy " + pl.col("example_id"),
        stratum="stratum",
        text=pl.concat_list(pl.lit("Dear"), words.list.slice(1, 4), pl.lit("somebody,"), words.list.slice(6)).list.join(
            " "
        ),
        topic="topic",
    )
    report = measure_privacy(pl.concat([make_messages(570, 3), copied]), messages, MESSAGES)
    assert find(report, "near_copy_share")["level"] == "act"
    assert set(copied["example_id"]) <= set(report.examples.filter(pl.col("kind") == "near_copy")["example_id"])


def test_no_report_says_anonymous(messages: pl.DataFrame, customers: pl.DataFrame):
    reports = [
        measure_privacy(make_messages(300, 3), messages, MESSAGES),
        measure_privacy(make_customers(300, 3), customers, CUSTOMERS),
    ]
    told = " ".join(
        note for report in reports for note in [*report.metrics["note"], *report.examples["note"].drop_nulls()]
    )
    assert "anonym" not in told.lower()
