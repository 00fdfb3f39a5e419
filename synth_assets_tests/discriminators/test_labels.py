"""The label model: wrong labels fall, right ones stay at the promised rate, and where nothing is known all pass."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.stats import binom

from synth_assets.discriminators.labels import Labels
from synth_assets.spec import DatasetSpec
from synth_assets_tests.builders import seed_rows, table_spec, text_spec

TOPICS = {
    "pay": ("invoice", "fee", "amount", "refund", "charge"),
    "travel": ("train", "ticket", "platform", "luggage", "seat"),
    "cook": ("soup", "oven", "flour", "pepper", "spoon"),
}
FRAMES = ("where is the {} of my {}", "my {} and the {} are wrong", "please check {} number {}", "is a {} like a {}")


def messages(count: int, seed: int) -> pl.DataFrame:
    """Rows whose words tell their intent, all different."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        intent = list(TOPICS)[i % 3]
        one, two = rng.choice(TOPICS[intent], 2)
        rows.append({"text": f"{rng.choice(FRAMES).format(one, two)} {rng.integers(10**6)}", "intent": intent})
    return seed_rows(text_spec(), rows)


def measurements(count: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    kinds = np.array(["a", "b"])[np.arange(count) % 2]
    low = rng.normal(np.where(kinds == "a", 0.0, 6.0), 1.0)
    rows = [{"low": float(each), "high": float(each) + 1, "kind": kind} for each, kind in zip(low, kinds, strict=True)]
    return seed_rows(table_spec(), rows)


CASES = [(text_spec(), messages, "intent"), (table_spec(), measurements, "kind")]


@pytest.mark.parametrize(("spec", "make", "target"), CASES)
def test_right_labels_stay_at_the_promised_rate_and_wrong_ones_fall(spec: DatasetSpec, make, target: str) -> None:
    labels = Labels.fit(spec, make(1200, 1))
    fresh = make(1200, 2)
    rejected = int((~labels.judge(fresh)["passed"]).sum())
    assert rejected <= binom.ppf(0.9999, fresh.height, 2 * spec.quality.label_false_reject)
    kinds = fresh[target].unique().sort().to_list()
    wrong = fresh.with_columns(pl.col(target).replace_strict(dict(zip(kinds, kinds[1:] + kinds[:1], strict=True))))
    judged = labels.judge(wrong)
    assert (~judged["passed"]).mean() > 0.95
    assert set(judged.filter(~pl.col("passed"))["reason"]) == {"label_implausible"}


def test_the_evidence_names_both_labels() -> None:
    labels = Labels.fit(text_spec(), messages(600, 1))
    row = pl.DataFrame({"example_id": ["c"], "text": ["where is the soup of my oven"], "intent": ["travel"]})
    assert labels.judge(row)["evidence"].item() == "stated travel, reads like cook"


def test_a_label_that_no_seed_has_passes() -> None:
    labels = Labels.fit(text_spec(), messages(600, 1))
    row = pl.DataFrame({"example_id": ["c"], "text": ["where is the soup of my oven"], "intent": ["astronomy"]})
    assert labels.judge(row)["passed"].item()


@pytest.mark.parametrize("rows", [messages(12, 1), messages(300, 1).filter(pl.col("intent") == "pay")])
def test_with_too_few_rows_or_one_label_everything_passes(rows: pl.DataFrame) -> None:
    labels = Labels.fit(text_spec(), rows)
    assert labels.judge(messages(30, 2))["passed"].all()
    assert labels.threshold == -np.inf


def test_it_is_the_same_again_and_for_each_row_alone() -> None:
    one, two = (Labels.fit(text_spec(), messages(300, 1)) for _ in range(2))
    fresh = messages(40, 3)
    whole = one.judge(fresh)
    assert whole.equals(two.judge(fresh))
    alone = pl.concat([one.judge(fresh[i]) for i in range(fresh.height)])
    assert np.allclose(alone["score"].to_numpy(), whole["score"].to_numpy())
    assert one.judge(fresh.head(0)).is_empty()


def test_strange_texts_are_judged() -> None:
    texts = ["", None, "\x00\x01", "🦦" * 50, "x" * 100_000, " \n "]
    rows = pl.DataFrame({"example_id": [str(i) for i in range(6)], "text": texts, "intent": ["pay"] * 6})
    assert Labels.fit(text_spec(), messages(300, 1)).judge(rows).height == 6
