from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from synth_assets.monitoring import privacy
from synth_assets.monitoring.privacy import measure_privacy
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


def test_an_unequal_category_counts_like_one_standard_deviation(monkeypatch: pytest.MonkeyPatch):
    seen: list[np.ndarray] = []
    original = privacy._find_nearest

    def spy(queries: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        result = original(queries, reference)
        seen.append(result[0])
        return result

    monkeypatch.setattr(privacy, "_find_nearest", spy)
    train = pl.DataFrame(
        {"example_id": list("abcd"), "stratum": ["all"] * 4, "age": [0.0, 0, 2, 2], "region": ["n"] * 3 + ["s"]}
    )
    made = pl.DataFrame({"example_id": ["x", "y"], "stratum": ["all"] * 2, "age": [0.0, 1.0], "region": ["s", "n"]})
    measure_privacy(made, seeds_of(train, train.clear()), PEOPLE)
    assert seen[0].tolist() == pytest.approx([1, 1])


def test_without_sealed_rows_the_margin_alone_judges(messages: pl.DataFrame):
    train = messages.filter(pl.col("split") == "train")
    report = measure_privacy(train.drop("split"), train, MESSAGES)
    copies = find(report, "near_copy_share")
    assert (copies["value"], copies["level"], copies["null_high"]) == (1, "act", None)
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
    value = privacy._weighted_auc(privacy._rank(scores), len(members), weights[: len(members)], weights[len(members) :])
    assert value == pytest.approx(roc_auc_score(truth, scores, sample_weight=weights))


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
