"""Features of a row depend on the row alone, and the matrix and the sums of weights are the same thing."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from synth_assets.discriminators.quality.features import CHARACTERS, FIELDS, MOST_CHARACTERS, WORDS, Reader, draw_rows
from synth_assets_tests.builders import table_spec, text_spec
from synth_assets_tests.discriminators.quality.samples import as_frame

TEXTS = as_frame(["How do I pay?", "", None, "PAY now, pay later", "日本 😀", "a" * 5_000, "7 and 7"])
TABLE = pl.DataFrame(
    {
        "example_id": [str(i) for i in range(6)],
        "low": [0.0, 1.5, None, float("nan"), float("inf"), 9.0],
        "high": [1.0, 2.0, 3.0, 4.0, 5.0, None],
        "kind": ["a", "b", None, "a", "new", "b"],
    }
)


@pytest.mark.parametrize("views", [(WORDS,), (CHARACTERS,), (FIELDS,), (WORDS, CHARACTERS, FIELDS)])
@pytest.mark.parametrize(
    ("spec", "rows"),
    [(text_spec(), TEXTS), (table_spec(), TABLE), (table_spec(), TABLE.with_columns(kind=pl.lit(None, pl.String)))],
)
def test_scores_are_the_matrix_times_the_weights(spec, rows, views):
    reader = Reader.fit(spec, rows, views=views, bits=12)
    weights = np.random.default_rng(0).normal(size=(1 << 12, 2))
    assert reader.score(rows, weights) == pytest.approx(reader.encode(rows) @ weights)


@pytest.mark.parametrize(("spec", "rows"), [(text_spec(), TEXTS), (table_spec(), TABLE)])
def test_a_row_has_the_same_features_alone_and_in_any_batch(spec, rows):
    reader = Reader.fit(spec, rows, views=(WORDS, CHARACTERS, FIELDS), bits=16)
    weights = np.random.default_rng(1).normal(size=(1 << 16, 1))
    alone = np.concatenate([reader.score(rows[i], weights) for i in range(rows.height)])
    assert reader.score(rows[::-1], weights)[::-1] == pytest.approx(alone)


def test_views_of_text_have_length_one_where_nothing_repeats():
    reader = Reader.fit(text_spec(), TEXTS, views=(WORDS,), bits=20)
    lengths = reader.encode(as_frame(["each word stands here once", "x"])).power(2).sum(axis=1)
    assert np.asarray(lengths).ravel() == pytest.approx([1, 1])


def test_a_round_number_that_is_a_border_differs_from_its_neighbors_and_missing_from_all():
    rows = pl.DataFrame({"example_id": "x", "low": [0.0] * 50 + list(range(1, 51)), "high": 1.0, "kind": "a"})
    reader = Reader.fit(table_spec(), rows, views=(FIELDS,), bits=18)
    asked = pl.DataFrame({"low": [0.0, -1.0, 0.001, None, 0.0], "high": 1.0, "kind": "a"})
    features = reader.encode(asked)
    different = {tuple(np.sort(features[i].indices)) for i in range(5)}
    assert len(different) == 4
    assert (features[0] != features[4]).nnz == 0


def test_dates_and_booleans_are_fields_too():
    spec = text_spec(
        fields=[{"name": "day", "type": "date"}, {"name": "paid", "type": "boolean", "role": "target"}], strata={}
    )
    days = [dt.date(2024, 1, 1) + dt.timedelta(days=20 * i) for i in range(12)]
    rows = pl.DataFrame({"example_id": "x", "day": [*days, None], "paid": [True, False, None] * 4 + [True]})
    reader = Reader.fit(spec, rows, views=(WORDS, FIELDS), bits=18)
    assert reader.views == (FIELDS,)
    assert len({tuple(np.sort(reader.encode(rows)[i].indices)) for i in range(13)}) == 13


def test_drawn_rows_depend_on_ids_alone_and_are_bounded_in_number_and_in_text():
    rows = as_frame(["word " * 20] * 500)
    drawn = draw_rows(text_spec(), rows, 100, "test")
    assert drawn.height == 100
    assert drawn.equals(draw_rows(text_spec(), rows[::-1], 100, "test"))
    assert not drawn.equals(draw_rows(text_spec(), rows, 100, "other"))
    assert draw_rows(text_spec(), rows, 1_000, "test").height == 500
    assert draw_rows(text_spec(), as_frame(["x" * (MOST_CHARACTERS // 3)] * 9), 100, "test").height in (3, 4)
