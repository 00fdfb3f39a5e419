"""The record: ids, canonical form, derived randomness."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from synth_assets.records import add_content_ids, apportion, derive_seeds, derive_uniforms, digest_text
from synth_assets_tests.builders import real_rows, table_spec, text_spec


def test_equal_content_has_one_content_id_and_two_example_ids() -> None:
    rows = real_rows(text_spec(), [{"text": "hello", "intent": "a"}, {"text": " hello ", "intent": "a"}])
    assert rows["content_id"].n_unique() == 1
    assert rows["example_id"].n_unique() == 2


def test_composed_and_decomposed_letters_are_the_same_content() -> None:
    rows = real_rows(text_spec(), [{"text": "café", "intent": "a"}, {"text": "cafe\u0301", "intent": "a"}])
    assert rows["content_id"].n_unique() == 1


def test_ids_are_pinned_so_that_they_hold_across_versions() -> None:
    rows = real_rows(text_spec(), [{"text": "hello", "intent": "a"}])
    assert rows.select("content_id", "example_id").row(0) == (
        "90e8b4d69f6b9234135ea5ab10f16fc3",
        "9a6b179d5a2f4c1e8e95114a42f1aa63",
    )


def test_negative_zero_and_zero_are_the_same_number() -> None:
    frame = pl.DataFrame({"low": [0.0, -0.0], "high": [1.0, 1.0], "kind": ["a", "a"]})
    assert add_content_ids(frame, table_spec())["content_id"].n_unique() == 1


def test_the_stratum_joins_the_strata_fields() -> None:
    assert real_rows(text_spec(), [{"text": "x", "intent": "refund"}])["stratum"].item() == "refund"
    assert real_rows(text_spec(strata={}), [{"text": "x", "intent": "refund"}])["stratum"].item() == "all"


@given(st.lists(st.text(min_size=1), min_size=1, unique=True), st.integers())
def test_derived_numbers_depend_on_the_id_and_not_on_its_place(ids: list[str], salt: int) -> None:
    together = dict(zip(ids, derive_seeds(ids, salt).tolist(), strict=True))
    assert all(derive_seeds([one], salt)[0] == together[one] for one in ids)


def test_derived_uniforms_are_uniform() -> None:
    numbers = derive_uniforms([str(i) for i in range(20_000)], "test")
    counts = np.histogram(numbers, bins=10, range=(0, 1))[0]
    assert ((counts - 2000) ** 2 / 2000).sum() < 27.9  # chi-square, 9 degrees of freedom, p = 0.001


def test_parts_of_a_digest_are_not_confused() -> None:
    assert digest_text("a", "b") != digest_text("ab") != digest_text("a", "", "b")


@given(st.integers(0, 10_000), st.lists(st.floats(0, 1e6), min_size=1).filter(lambda w: sum(w) > 0))
def test_apportioned_counts_sum_and_stay_within_one_of_the_exact_share(total: int, weights: list[float]) -> None:
    counts = apportion(total, weights)
    assert sum(counts) == total
    assert all(abs(c - total * w / sum(weights)) <= 1 + 1e-6 * total for c, w in zip(counts, weights, strict=True))
