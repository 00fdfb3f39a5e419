"""The automated reviewer: lets real rows pass, stops nonsense, and is the same each time."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import polars as pl
import pytest

from synth_assets.errors import SeedError
from synth_assets.records import add_real_ids
from synth_assets.review.automated import AutomatedReviewer, _threshold
from synth_assets.review.decisions import DECISION_COLUMNS
from synth_assets.spec import DatasetSpec
from synth_assets_tests.builders import table_spec, text_spec
from synth_assets_tests.paths import NO_SHARED_DATA, SHARED_DATA

needs_data = pytest.mark.skipif(SHARED_DATA is None, reason=NO_SHARED_DATA)


def share_rejected(reviewer: AutomatedReviewer, items: pl.DataFrame, code: str = "") -> float:
    decided = reviewer.decide(items)
    return ((decided["decision"] == "reject") & decided["reason"].str.contains(code)).mean()  # type: ignore[return-value]


def shuffle_words(items: pl.DataFrame, seed: int = 1) -> pl.DataFrame:
    generator = np.random.default_rng(seed)
    return items.with_columns(text=pl.Series([" ".join(generator.permutation(t.split())) for t in items["text"]]))


# ---- text


@lru_cache(maxsize=1)
def messages() -> tuple[DatasetSpec, pl.DataFrame, pl.DataFrame]:
    """900 real customer messages to fit on, 600 others; ten intents."""
    assert SHARED_DATA is not None
    spec = text_spec()
    rows = pl.read_csv(SHARED_DATA / "banking77" / "train.csv").rename({"category": "intent"})
    common = rows.group_by("intent").len().sort("len", "intent", descending=True).head(10)
    rows = rows.join(common, on="intent", how="semi").sample(1500, shuffle=True, seed=0)
    rows = add_real_ids(rows, spec).with_columns(round=pl.lit("r000"))
    return spec, rows.head(900), rows.tail(600)


@lru_cache(maxsize=1)
def message_reviewer() -> AutomatedReviewer:
    spec, steering, _ = messages()
    return AutomatedReviewer.fit(steering, spec)


@needs_data
def test_real_messages_it_never_saw_pass() -> None:
    assert share_rejected(message_reviewer(), messages()[2]) <= 0.03


@needs_data
def test_shuffled_words_are_not_fluent() -> None:
    assert share_rejected(message_reviewer(), shuffle_words(messages()[2]), "not_fluent") >= 0.7


@needs_data
def test_wrong_labels_are_implausible() -> None:
    unseen = messages()[2]
    labels = unseen["intent"].unique().sort().to_list()
    generator = np.random.default_rng(2)
    wrong = [labels[(labels.index(old) + generator.integers(1, len(labels))) % len(labels)] for old in unseen["intent"]]
    relabeled = unseen.with_columns(intent=pl.Series(wrong))
    assert share_rejected(message_reviewer(), relabeled, "label_implausible") >= 0.7


@needs_data
def test_random_letters_are_not_fluent() -> None:
    generator = np.random.default_rng(3)
    noise = ["".join(generator.choice(list("abcdefghijklmnopqrst   "), 50)) for _ in range(100)]
    items = messages()[2].head(100).with_columns(text=pl.Series(noise))
    assert share_rejected(message_reviewer(), items, "not_fluent") == 1.0


@needs_data
def test_decisions_are_the_agreed_frame_and_say_who_decided() -> None:
    decided = message_reviewer().decide(messages()[2].head(3))
    assert dict(decided.schema) == DECISION_COLUMNS
    assert set(decided["reviewer"]) == {message_reviewer().name}
    assert message_reviewer().name.startswith("automated:")
    assert set(decided["reviewer_kind"]) == {"automated"}
    assert set(decided["round"]) == {"r000"}
    assert set(decided["seconds"]) == {0.0}
    assert decided["item_version"].equals(messages()[2].head(3)["content_id"], check_names=False)


@needs_data
def test_an_item_is_judged_by_itself_alone() -> None:
    unseen = shuffle_words(messages()[2].head(60))
    together = message_reviewer().decide(unseen)
    apart = pl.concat([message_reviewer().decide(unseen[i : i + 1]) for i in (0, 25, 59)])
    assert together[[0, 25, 59]].equals(apart)


@needs_data
def test_a_reviewer_fitted_again_decides_the_same() -> None:
    spec, steering, unseen = messages()
    small = steering.head(150)
    first, second = AutomatedReviewer.fit(small, spec), AutomatedReviewer.fit(small, spec)
    assert first.decide(unseen).equals(second.decide(unseen))


@needs_data
def test_other_rows_make_another_reviewer() -> None:
    spec, steering, _ = messages()
    names = {AutomatedReviewer.fit(rows, spec).name for rows in (steering.head(40), steering.tail(40))}
    assert len(names) == 2


@needs_data
def test_few_rows_leave_typicality_alone_and_every_reason_says_so() -> None:
    spec, steering, unseen = messages()
    decided = AutomatedReviewer.fit(steering.head(29), spec).decide(unseen)
    assert decided["reason"].str.ends_with("typicality only: 29 steering rows").all()
    assert not decided["reason"].str.contains("label_implausible").any()


def test_too_few_rows_are_refused() -> None:
    spec = text_spec()
    rows = add_real_ids(pl.DataFrame({"text": ["a b c"] * 4, "intent": ["x"] * 4}), spec)
    with pytest.raises(SeedError, match="has 4 rows; automated review needs 5"):
        AutomatedReviewer.fit(rows, spec)


def test_no_items_give_no_decisions() -> None:
    spec = text_spec()
    rows = add_real_ids(pl.DataFrame({"text": [f"we write {i}" for i in range(40)], "intent": ["x", "y"] * 20}), spec)
    decided = AutomatedReviewer.fit(rows, spec).decide(rows.clear())
    assert dict(decided.schema) == DECISION_COLUMNS
    assert decided.is_empty()


def test_missing_and_empty_text_is_judged_without_error() -> None:
    spec = text_spec()
    rows = add_real_ids(pl.DataFrame({"text": [f"we write {i}" for i in range(40)], "intent": ["x", "y"] * 20}), spec)
    odd = rows.head(3).with_columns(text=pl.Series([None, "", "新しい文"], dtype=pl.String))
    assert AutomatedReviewer.fit(rows, spec).decide(odd).height == 3


# ---- tables


@lru_cache(maxsize=1)
def flowers() -> tuple[DatasetSpec, pl.DataFrame, pl.DataFrame]:
    """Fisher's iris: two lengths that belong together, and the species; 100 rows to fit on, 50 others."""
    from sklearn.datasets import load_iris

    data = load_iris()
    frame = pl.DataFrame({"low": data.data[:, 3], "high": data.data[:, 2], "kind": data.target_names[data.target]})
    spec = table_spec(fields=[*table_fields(), {"name": "kind", "type": "category", "role": "target"}])
    rows = add_real_ids(frame.sample(150, shuffle=True, seed=0), spec)
    return spec, rows.head(100), rows.tail(50)


def table_fields() -> list[dict[str, object]]:
    return [{"name": name, "type": "number", "nullable": True} for name in ("low", "high")]


@lru_cache(maxsize=1)
def flower_reviewer() -> AutomatedReviewer:
    spec, steering, _ = flowers()
    return AutomatedReviewer.fit(steering, spec)


def test_real_flowers_it_never_saw_pass() -> None:
    assert share_rejected(flower_reviewer(), flowers()[2]) <= 0.06


def test_flowers_of_the_wrong_species_are_implausible() -> None:
    wrong = {"setosa": "versicolor", "versicolor": "virginica", "virginica": "setosa"}
    relabeled = flowers()[2].with_columns(pl.col("kind").replace_strict(wrong))
    assert share_rejected(flower_reviewer(), relabeled, "label_implausible") >= 0.7


def test_impossible_numbers_are_atypical() -> None:
    far = flowers()[2].with_columns(pl.col("high") * 20)
    assert share_rejected(flower_reviewer(), far, "atypical_values") == 1.0


def test_missing_numbers_are_judged_without_error() -> None:
    empty = flowers()[2].with_columns(low=pl.lit(None, pl.Float64), high=pl.lit(None, pl.Float64))
    assert flower_reviewer().decide(empty).height == 50


# ---- thresholds


def test_many_scores_give_the_empirical_quantile() -> None:
    scores = np.arange(1000, dtype=np.float64)
    assert _threshold(scores, 0.01) == pytest.approx(np.quantile(scores, 0.01))


def test_few_scores_give_a_bound_below_all_of_them() -> None:
    generator = np.random.default_rng(0)
    missed = [float(generator.normal() < _threshold(generator.normal(size=20), 0.01)) for _ in range(4000)]
    assert np.mean(missed) <= 0.01 + 3 * np.sqrt(0.01 * 0.99 / 4000)
