"""The units of a row: which fields carry the mark, and the same text for the same value whatever file it came from."""

from __future__ import annotations

import datetime as dt
import io
from typing import Any

import numpy as np
import polars as pl
import pytest

from synth_assets.generation.watermark.units import Layout, choose_layout, list_units
from synth_assets.records import polars_schema
from synth_assets.spec import DatasetSpec, parse_spec
from synth_assets_tests.builders import text_spec


def make_spec(*fields: dict[str, Any], by: tuple[str, ...] = ()) -> DatasetSpec:
    content = {
        "name": "table",
        "fields": list(fields),
        "strata": {"by": list(by)},
        "source": {"license": "CC0-1.0", "consent": {"basis": "not_personal"}},
    }
    return parse_spec(content, where="test")


def spelled(frame: pl.DataFrame, spec: DatasetSpec, layout: Layout) -> list[tuple[int, str]]:
    found = list_units(frame, spec, layout)
    return [(record, unit.strip("\x1f").replace("\x1f", "|")) for record, unit in found.rows()]


# ---- which fields carry the mark

PEOPLE = make_spec(
    {"name": "key", "type": "text", "role": "id"},
    {"name": "income", "type": "number"},
    {"name": "age", "type": "integer"},
    {"name": "group", "type": "category", "role": "target"},
    {"name": "job", "type": "category"},
    {"name": "hours", "type": "integer"},
    {"name": "member", "type": "boolean"},
    {"name": "faith", "type": "category", "role": "sensitive"},
    by=("group",),
)


def people(rows: int = 800, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "income": rng.lognormal(10, 1, rows).round(2),
            "age": rng.integers(18, 90, rows),
            "group": rng.choice(["a", "b"], rows),
            "job": rng.choice(list("abcdefghij"), rows),
            "hours": rng.integers(20, 60, rows),
            "member": rng.random(rows) < 0.5,
            "faith": rng.choice(["x", "y"], rows),
        }
    )


def test_a_field_with_many_values_stands_alone_and_coarse_ones_together() -> None:
    expected = (("income",), ("age", "hours"), ("hours", "job", "member"), ("age", "job"))
    assert choose_layout(people(), PEOPLE) == Layout((), expected)


def test_no_lost_column_takes_the_mark_along() -> None:
    groups = choose_layout(people().drop("income"), PEOPLE).groups
    for lost in ("age", "job", "hours", "member"):
        assert any(lost not in group for group in groups)


def test_fields_that_do_not_leave_or_are_prescribed_carry_nothing() -> None:
    named = {name for group in choose_layout(people(), PEOPLE).groups for name in group}
    assert named.isdisjoint({"key", "group", "faith"})


def test_a_field_that_is_not_in_the_rows_is_passed_over() -> None:
    assert choose_layout(people().drop("income", "job"), PEOPLE).groups == (("age", "hours"),)


def test_rows_that_repeat_carry_nothing() -> None:
    spec = make_spec({"name": "member", "type": "boolean"}, {"name": "age", "type": "integer"})
    rows = people().select("member", pl.col("age") // 30)
    assert not choose_layout(rows, spec).carries
    assert not choose_layout(rows.clear(), spec).carries


# ---- texts


def test_a_text_gives_its_word_trigrams() -> None:
    frame = pl.DataFrame({"text": ["My ORDER is  late!", None, "Two words", "…", "  ", "😴", "don’t you know"]})
    assert spelled(frame, text_spec(), Layout(("text",), ())) == [
        (2, "two words"),
        (3, "..."),
        (5, "😴"),
        (0, "my order is"),
        (0, "order is late"),
        (6, "don't you know"),
    ]


def test_no_trigram_reaches_from_one_text_into_the_next() -> None:
    frame = pl.DataFrame({"text": ["a b c", "d e f"]})
    assert spelled(frame, text_spec(), Layout(("text",), ())) == [(0, "a b c"), (1, "d e f")]


def test_scripts_without_spaces_go_by_letters() -> None:
    assert spelled(pl.DataFrame({"text": ["注文はどこ"]}), text_spec(), Layout(("text",), ())) == [
        (0, "注 文 は"),
        (0, "文 は ど"),
        (0, "は ど こ"),
    ]


def test_every_message_of_a_chat_counts_in_its_row() -> None:
    spec = make_spec({"name": "talk", "type": "messages"})
    talks = [[{"role": "user", "content": "where is it"}, {"role": "assistant", "content": "on its way"}], None, []]
    frame = pl.DataFrame({"talk": talks}, schema=polars_schema(spec.fields))
    assert spelled(frame, spec, Layout(("talk",), ())) == [(0, "where is it"), (0, "on its way")]


# ---- values


def test_a_group_gives_its_values_and_nothing_where_all_are_missing() -> None:
    frame = pl.DataFrame({"age": [30, None, None], "job": ["a", "b", None]}, schema={"age": pl.Int64, "job": pl.String})
    found = spelled(frame, PEOPLE, Layout((), (("age", "job"),)))
    assert found == [(0, "age|job|30|a"), (1, "age|job|\x00|b")]


def test_minus_zero_is_zero_and_nan_is_missing() -> None:
    frame = pl.DataFrame({"income": [0.0, -0.0, float("nan"), None]})
    units = list_units(frame, PEOPLE, Layout((), (("income",),)))
    assert units["record"].to_list() == [0, 1]
    assert units["unit"].n_unique() == 1


def test_letters_are_composed_and_spaces_around_them_dropped() -> None:
    frame = pl.DataFrame({"job": ["cafe\u0301", " caf\u00e9 "]})
    assert list_units(frame, PEOPLE, Layout((), (("job",),)))["unit"].n_unique() == 1


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_units_survive_a_trip_through_a_file(form: str) -> None:
    spec = make_spec(
        {"name": "value", "type": "number"},
        {"name": "count", "type": "integer"},
        {"name": "day", "type": "date"},
        {"name": "member", "type": "boolean"},
        {"name": "code", "type": "category"},
        {"name": "text", "type": "text"},
    )
    rng = np.random.default_rng(3)
    frame = pl.DataFrame(
        {
            "value": [*rng.lognormal(0, 5, 50), 0.1 + 0.2, 1e-300, 5e300, 4.0],
            "count": [*rng.integers(-(2**62), 2**62, 53), 7],
            "day": [dt.date(1900, 1, 1) + dt.timedelta(days=int(day)) for day in rng.integers(0, 80_000, 54)],
            "member": (rng.random(54) < 0.5).tolist(),
            "code": [str(number) for number in rng.integers(0, 99, 54)],
            "text": ['said "no", then left'] * 54,
        }
    )
    layout = Layout(("text",), (("value",), ("count", "day"), ("member", "code")))
    file = io.BytesIO()
    getattr(frame, f"write_{form}")(file)
    file.seek(0)
    read = getattr(pl, f"read_{form}")(file)
    assert list_units(read, spec, layout).equals(list_units(frame, spec, layout))
