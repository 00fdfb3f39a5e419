"""The record as a language model must write it: bounds, what the JSON Schema says, and strict reading of answers."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from synth_assets.errors import SpecError, SynthError
from synth_assets.generation.language.schema import RecordSchema
from synth_assets.records import RELEASABLE, SYNTHESIS_ONLY, add_real_ids, polars_schema
from synth_assets.spec import DatasetSpec, parse_spec

INT64 = (-(2**63), 2**63 - 1)
CHECKER = Draft202012Validator.FORMAT_CHECKER


def make_spec(*fields: dict[str, Any], **settings: Any) -> DatasetSpec:
    content = {
        "name": "records",
        "fields": list(fields),
        "source": {"license": "CC0-1.0", "consent": {"basis": "not_personal"}},
        **settings,
    }
    return parse_spec(content, where="test")


def make_train(spec: DatasetSpec, rows: list[dict[str, Any]], private: int = 0) -> pl.DataFrame:
    """Return training rows, the last `private` of which must not leave."""
    frame = pl.DataFrame(rows, schema=polars_schema(spec.fields))
    dispositions = [RELEASABLE] * (len(rows) - private) + [SYNTHESIS_ONLY] * private
    return add_real_ids(frame, spec).with_columns(disposition=pl.Series(dispositions, dtype=pl.String))


def make_schema(spec: DatasetSpec, rows: list[dict[str, Any]], private: int = 0) -> RecordSchema:
    return RecordSchema.build(spec, make_train(spec, rows, private))


def one_field(rows: list[Any], **field: Any) -> RecordSchema:
    """Return the schema of a record with the one field x."""
    return make_schema(make_spec({"name": "x", **field}), [{"x": value} for value in rows])


def describe(schema: RecordSchema, name: str = "x") -> dict[str, Any]:
    return json.loads(schema.json_schema)["properties"][name]


def is_valid(schema: RecordSchema, text: str) -> bool:
    return Draft202012Validator(json.loads(schema.json_schema), format_checker=CHECKER).is_valid(json.loads(text))


EVERY_TYPE = make_spec(
    {"name": "ticket", "type": "text", "role": "id"},
    {"name": "text", "type": "text", "role": "input", "max_length": 200},
    {"name": "code", "type": "code", "min_length": 0, "max_length": 300},
    {"name": "talk", "type": "messages", "max_length": 400},
    {"name": "intent", "type": "category", "role": "target"},
    {"name": "channel", "type": "category", "values": ["web", "phone", "post"]},
    {"name": "visits", "type": "integer", "minimum": 0},
    {"name": "balance", "type": "integer"},
    {"name": "price", "type": "number", "decimals": 2, "minimum": 0, "maximum": 1000},
    {"name": "change", "type": "number"},
    {"name": "member", "type": "boolean"},
    {"name": "since", "type": "date"},
    {"name": "note", "type": "text", "nullable": True},
    {"name": "rating", "type": "number", "nullable": True},
    {"name": "ended", "type": "date", "nullable": True},
    {"name": "gender", "type": "category", "role": "sensitive", "nullable": True},
    {"name": "_hidden", "type": "integer"},
    {"name": "class", "type": "boolean"},
    strata={"by": ["intent", "member"]},
)


def every_row(**changes: Any) -> dict[str, Any]:
    row = {
        "ticket": "T-1",
        "text": "Where is my parcel?",
        "code": 'print("a\\b")\nexit()',
        "talk": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": 'say "when"'}],
        "intent": "delivery",
        "channel": "web",
        "visits": 3,
        "balance": -20,
        "price": 9.99,
        "change": -1.25,
        "member": True,
        "since": dt.date(2020, 2, 29),
        "note": "gold",
        "rating": 4.5,
        "ended": dt.date(2024, 1, 1),
        "gender": "f",
        "_hidden": 7,
        "class": False,
    }
    return {**row, **changes}


EVERY_ROW = [
    every_row(),
    every_row(ticket="T-2", text="أين طردي؟ 📦", intent="refund", note=None, rating=None, member=False),
    every_row(text="返金してください", code="", gender=None, ended=None, visits=0, balance=50, change=2.5),
    every_row(
        text="👩‍👩‍👧‍👦 e\u0301 \u200f!", since=dt.date(1, 1, 1), price=1000.0, talk=[{"role": "user", "content": ""}]
    ),
    every_row(text="tab\tand 'single'", since=dt.date(9999, 12, 31), price=0.0, gender="m"),
]


@pytest.fixture(scope="module")
def every() -> RecordSchema:
    return make_schema(EVERY_TYPE, EVERY_ROW)


# ---- what is asked for


def test_ids_and_the_fields_of_the_stratum_are_not_asked_for(every: RecordSchema) -> None:
    asked = list(json.loads(every.json_schema)["properties"])
    assert asked == [f.name for f in EVERY_TYPE.fields if f.name not in ("ticket", "intent", "member")]
    assert "gender" in asked  # sensitive: generated, though never exported


def test_all_that_is_asked_for_is_required_and_nothing_else_is_allowed(every: RecordSchema) -> None:
    schema = json.loads(every.json_schema)
    assert schema["required"] == list(schema["properties"])
    assert schema["additionalProperties"] is False


def test_a_record_of_strata_fields_alone_is_asked_for_whole() -> None:
    spec = make_spec({"name": "kind", "type": "category"}, strata={"by": ["kind"]})
    schema = make_schema(spec, [{"kind": "a"}, {"kind": "b"}])
    assert describe(schema, "kind") == {"type": "string", "enum": ["a", "b"]}
    assert schema.read('{"kind":"b"}', "b") == ({"kind": "b"}, "")


# ---- bounds


BOUNDS = {"string": {"maxLength"}, "integer": {"minimum", "maximum"}, "number": {"minimum", "maximum"}}
CLOSED = {"enum", "format"}


def unbounded(part: dict[str, Any], where: str) -> Iterator[str]:
    """Yield what in a schema has no bounds."""
    for choice in part.get("anyOf", [part]):
        kind = choice.get("type")
        if not CLOSED & choice.keys() and not BOUNDS.get(kind, set()) <= choice.keys():
            yield where
        if kind == "array":
            assert "maxItems" in choice
            yield from unbounded(choice["items"], f"{where}[]")
        if kind == "object":
            assert choice["additionalProperties"] is False
            for name, value in choice["properties"].items():
                yield from unbounded(value, f"{where}.{name}")


def test_the_schema_is_valid_and_only_texts_with_escapes_have_no_length(every: RecordSchema) -> None:
    schema = json.loads(every.json_schema)
    Draft202012Validator.check_schema(schema)
    assert list(unbounded(schema, "")) == [".code", ".talk[].content"]


def test_a_text_that_seldom_holds_quotes_has_a_length_and_one_that_often_does_has_none() -> None:
    plain = ["a plain sentence"] * 199
    assert describe(one_field([*plain, 'one "quote"'], type="text"))["maxLength"] == 40
    assert describe(one_field([*plain[:50], 'one "quote"'], type="text")) == {"type": "string"}
    assert describe(one_field([*plain[:50], "two\nlines"], type="text")) == {"type": "string"}


def test_a_text_may_be_a_quarter_longer_than_the_longest_but_not_longer_than_the_spec_says() -> None:
    assert describe(one_field(["x" * 100, "y"], type="text"))["maxLength"] == 125
    assert describe(one_field(["x" * 100, "y"], type="text", max_length=110))["maxLength"] == 110


def test_lengths_count_characters_not_bytes() -> None:
    assert describe(one_field(["📦" * 80], type="text"))["maxLength"] == 100


def test_numbers_may_leave_the_range_of_the_rows_by_a_quarter_but_not_change_their_sign() -> None:
    assert describe(one_field([10, 50], type="integer")) == {"type": "integer", "minimum": 0, "maximum": 60}
    assert describe(one_field([-10.0, 30.0], type="number")) == {"type": "number", "minimum": -20.0, "maximum": 40.0}


def test_the_specs_own_bounds_win() -> None:
    schema = one_field([10, 50], type="integer", minimum=-5, maximum=1000)
    assert describe(schema) == {"type": "integer", "minimum": -5, "maximum": 1000}
    assert describe(one_field(["b", "a"], type="category", values=["c", "b", "a"]))["enum"] == ["c", "b", "a"]


def test_a_conversation_may_be_two_turns_longer_than_the_longest() -> None:
    talk = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes?"}]
    schema = describe(one_field([talk, talk[:1]], type="messages"))
    assert (schema["minItems"], schema["maxItems"]) == (1, 4)


def test_a_nullable_field_may_be_null_and_others_may_not(every: RecordSchema) -> None:
    nullable = {f.name for f in EVERY_TYPE.fields if f.nullable}
    properties = json.loads(every.json_schema)["properties"]
    assert {name for name, part in properties.items() if {"type": "null"} in part.get("anyOf", [])} == nullable


def test_bounds_come_from_releasable_rows_alone() -> None:
    private = every_row(
        text="x" * 190,
        talk=[{"role": "user", "content": "z"}] * 9,
        intent="refund",
        visits=10**6,
        balance=-(10**6),
        change=1e6,
        note="n" * 900,
        gender="secret",
        _hidden=10**6,
    )
    schema = make_schema(EVERY_TYPE, [*EVERY_ROW, private], private=1)
    assert schema.json_schema == make_schema(EVERY_TYPE, EVERY_ROW).json_schema


def test_where_no_row_is_releasable_the_bounds_come_from_all() -> None:
    spec = make_spec({"name": "x", "type": "integer"})
    assert describe(make_schema(spec, [{"x": 4}, {"x": 8}], private=2))["maximum"] == 9


def test_the_order_of_the_rows_does_not_matter() -> None:
    train = make_train(EVERY_TYPE, EVERY_ROW)
    schemas = {
        RecordSchema.build(EVERY_TYPE, train.sample(fraction=1.0, shuffle=True, seed=s)).json_schema for s in range(5)
    }
    assert len(schemas) == 1


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ({"type": "integer"}, [2**53 + 1]),
        ({"type": "integer"}, [2**63 - 1, 2**63 - 1]),
        ({"type": "integer"}, list(INT64)),
        ({"type": "number"}, [1e303]),
        ({"type": "number"}, [-1.7e308, 1.7e308]),
        ({"type": "number"}, [5e-324]),
        ({"type": "number", "decimals": 12}, [123_456_789.000000000001]),
        ({"type": "number", "decimals": 1}, [516_507.80000000005]),  # one ulp above what one decimal can say
    ],
)
def test_large_and_tiny_numbers_of_the_rows_are_allowed(field: dict[str, Any], values: list[Any]) -> None:
    schema = one_field(values, **field)
    lines = schema.write_lines(make_train(schema.spec, [{"x": value} for value in values]))
    assert [line for line in lines if not is_valid(schema, line)] == []


def test_integers_stay_within_64_bits() -> None:
    for values in ([2**63 - 1], [-(2**63)], list(INT64)):
        schema = describe(one_field(values, type="integer"))
        assert INT64[0] <= schema["minimum"] <= schema["maximum"] <= INT64[1]


def test_integers_stay_within_64_bits_whatever_the_spec_says() -> None:
    schema = one_field([1, 2], type="integer", minimum=-1e30, maximum=1e30)
    assert (describe(schema)["minimum"], describe(schema)["maximum"]) == INT64
    assert [
        schema.read(with_x(str(value)), "all")[0] is not None for value in (*INT64, INT64[0] - 1, INT64[1] + 1)
    ] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    "field",
    [
        {"type": "integer", "minimum": -math.inf},
        {"type": "number", "maximum": math.inf},
        {"type": "number", "maximum": math.nan},
        {"type": "integer", "minimum": 0.4, "maximum": 0.6},  # no integer lies between
    ],
    ids=str,
)
def test_bounds_that_no_answer_could_meet_are_refused_in_the_spec(field: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=r"fields\.0"):
        make_spec({"name": "x", **field})


def test_an_integers_fractional_bounds_are_taken_inwards() -> None:
    schema = one_field([1, 2], type="integer", minimum=0.5, maximum=2.5)
    assert (describe(schema)["minimum"], describe(schema)["maximum"]) == (1, 2)


EMPTY_FIELDS: list[dict[str, Any]] = [
    {"type": "text", "min_length": 100},
    {"type": "code"},
    {"type": "messages"},
    {"type": "category"},
    {"type": "category", "values": ["a", "b"]},
    {"type": "integer"},
    {"type": "integer", "minimum": 100},
    {"type": "number", "maximum": -5},
    {"type": "number", "decimals": 2, "minimum": 0.5},
    {"type": "boolean"},
    {"type": "date"},
]


def contradictions(part: dict[str, Any]) -> list[tuple[str, str]]:
    pairs = [("minimum", "maximum"), ("minLength", "maxLength"), ("minItems", "maxItems")]
    return [pair for pair in pairs if part.get(pair[0], -math.inf) > part.get(pair[1], math.inf)]


@pytest.mark.parametrize("field", EMPTY_FIELDS, ids=str)
def test_a_field_that_no_row_fills_can_still_be_answered_with_null(field: dict[str, Any]) -> None:
    spec = make_spec({"name": "x", **field, "nullable": True}, {"name": "flag", "type": "boolean"})
    schema = make_schema(spec, [{"x": None, "flag": True}])
    part = describe(schema)
    for choice in part.get("anyOf", [part]):
        assert contradictions(choice) == []
        assert choice.get("enum") != []
    assert schema.read('{"x":null,"flag":true}', "all") == ({"x": None, "flag": True}, "")


@pytest.mark.parametrize("field", EMPTY_FIELDS, ids=str)
def test_without_training_rows_there_is_a_valid_schema_and_reading_still_works(field: dict[str, Any]) -> None:
    schema = make_schema(make_spec({"name": "x", **field}), [])
    Draft202012Validator.check_schema(json.loads(schema.json_schema))
    assert contradictions(describe(schema)) == []
    assert describe(schema).get("enum") != []
    assert schema.write_lines(make_train(schema.spec, [])) == []
    assert schema.read('{"x":{}}', "all")[0] is None


# ---- training rows as answers


def test_training_rows_meet_the_schema_and_are_read_back_equal(every: RecordSchema) -> None:
    train = make_train(EVERY_TYPE, EVERY_ROW)
    lines = every.write_lines(train)
    assert [is_valid(every, line) for line in lines] == [True] * len(EVERY_ROW)
    read = [every.read(line, stratum) for line, stratum in zip(lines, train["stratum"], strict=True)]
    wanted = train.select(f.name for f in EVERY_TYPE.content_fields)
    assert pl.DataFrame([record for record, _ in read], schema=wanted.schema).equals(wanted)
    assert {fault for _, fault in read} == {""}


def test_a_line_is_one_line_whatever_the_text_holds() -> None:
    schema = one_field(["a\r\nb\n"], type="text")
    assert schema.write_lines(make_train(schema.spec, [{"x": "a\r\nb\n"}])) == ['{"x":"a\\r\\nb\\n"}']


def test_a_line_shows_letters_as_they_are() -> None:
    schema = one_field(["返金 📦 é"], type="text")
    assert schema.write_lines(make_train(schema.spec, [{"x": "返金 📦 é"}])) == ['{"x":"返金 📦 é"}']


@pytest.mark.parametrize("role", ["system", "tool"])
def test_the_roles_of_the_training_rows_are_allowed(role: str) -> None:
    talk = [{"role": role, "content": "be brief"}, {"role": "user", "content": "hi"}]
    schema = one_field([talk], type="messages")
    line = schema.write_lines(make_train(schema.spec, [{"x": talk}]))[0]
    assert is_valid(schema, line)
    assert schema.read(line, "all") == ({"x": talk}, "")


letters = st.characters(exclude_categories=["Cs"])
texts = st.text(letters, min_size=1, max_size=60)
words = st.text(letters, min_size=1, max_size=8)


@st.composite
def fields_and_values(draw: st.DrawFn) -> tuple[dict[str, Any], st.SearchStrategy[Any]]:
    """A field's settings and what its values are."""
    kind = draw(st.sampled_from(["text", "code", "messages", "category", "integer", "number", "boolean", "date"]))
    field: dict[str, Any] = {"type": kind, "nullable": draw(st.booleans())}
    if kind == "text":
        return {**field, "max_length": 60}, texts
    if kind == "code":
        return {**field, "min_length": 0, "max_length": 80}, st.text(letters, max_size=80)
    if kind == "messages":
        turn = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": words})
        return {**field, "max_length": 200}, st.lists(turn, min_size=1, max_size=5)
    if kind == "category":
        values = draw(st.lists(words.map(str.strip).filter(bool), min_size=1, max_size=4, unique=True))
        return ({**field, "values": values} if draw(st.booleans()) else field), st.sampled_from(values)
    if kind == "integer":
        low, high = sorted([draw(st.integers(-(10**9), 10**9)), draw(st.integers(-(10**9), 10**9))])
        bounds = {"minimum": low, "maximum": high} if draw(st.booleans()) else {}
        return {**field, **bounds}, st.integers(low, high)
    if kind == "number":
        decimals = draw(st.sampled_from([None, 0, 2, 6]))
        scale = 10 ** (6 if decimals is None else decimals)
        return {**field, "decimals": decimals}, st.integers(-(10**10), 10**10).map(lambda i: i / scale)
    return field, st.booleans() if kind == "boolean" else st.dates()


@st.composite
def data_sets(draw: st.DrawFn) -> tuple[RecordSchema, pl.DataFrame]:
    """A record of one to four fields and a few training rows, some of its categories and booleans making the strata."""
    parts = draw(st.lists(fields_and_values(), min_size=1, max_size=4))
    fields = [{"name": name, **field} for name, (field, _) in zip("abcd", parts, strict=False)]
    able = [f["name"] for f in fields if f["type"] in ("category", "boolean")]
    by = draw(st.lists(st.sampled_from(able), unique=True)) if able else []
    spec = make_spec(*fields, strata={"by": by})
    full = {f["name"]: values for f, (_, values) in zip(fields, parts, strict=True)}
    row = {f["name"]: st.none() | full[f["name"]] if f["nullable"] else full[f["name"]] for f in fields}
    rows = [draw(st.fixed_dictionaries(full)), *draw(st.lists(st.fixed_dictionaries(row), max_size=3))]
    train = make_train(spec, rows)
    return RecordSchema.build(spec, train), train


@settings(max_examples=150)
@given(data_sets())
def test_the_training_rows_of_any_data_set_are_answers_to_it(data: tuple[RecordSchema, pl.DataFrame]) -> None:
    schema, train = data
    Draft202012Validator.check_schema(json.loads(schema.json_schema))
    names = [field.name for field in schema.spec.content_fields]
    by_stratum = train.unique("stratum", keep="first", maintain_order=True)  # two strata may share one name through |
    for line, row in zip(schema.write_lines(by_stratum), by_stratum.iter_rows(named=True), strict=True):
        assert is_valid(schema, line)
        assert schema.read(line, row["stratum"]) == ({name: row[name] for name in names}, "")


# ---- reading answers


def own_schema(schema: RecordSchema) -> dict[str, Any]:
    """Return the schema with the spec's bounds in place of learned lengths and ranges, which only guide a model."""
    content = json.loads(schema.json_schema)
    for field in schema.spec.fields:
        part = content["properties"].get(field.name, {})
        part = part.get("anyOf", [part])[0]
        if field.type in ("text", "code"):
            part |= {"minLength": field.min_length, "maxLength": field.max_length}
        elif field.type == "messages":
            part["items"]["properties"]["content"] = {"type": "string", "maxLength": field.max_length}
        elif field.type in ("integer", "number"):
            limits = INT64 if field.type == "integer" else (None, None)
            own = (field.minimum, field.maximum)
            for name, limit in zip(("minimum", "maximum"), limits, strict=True):
                value = own[name == "maximum"] if own[name == "maximum"] is not None else limit
                part.pop(name, None)
                part |= {} if value is None else {name: value}
    return content


def refuse(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def take_integer(text: str) -> int:
    """Return an integer that a double can hold, roughly."""
    float(value := int(text))
    return value


def is_acceptable(spec: DatasetSpec, schema: dict[str, Any], text: str) -> bool:
    """Judge an answer by jsonschema: strict JSON of finite numbers and whole characters that meets the schema.

    One thing no schema can say: max_length of a conversation is that of all its turns together.
    """
    try:
        value = json.loads(text, parse_constant=refuse, parse_int=take_integer)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, OverflowError, RecursionError):  # UnicodeEncodeError, of half a surrogate pair, is a ValueError
        return False
    if not Draft202012Validator(schema, format_checker=CHECKER).is_valid(value):
        return False
    talks = [(field, value.get(field.name)) for field in spec.fields if field.type == "messages"]
    return all(len("\n".join(turn["content"] for turn in talk or [])) <= field.max_length for field, talk in talks)


@pytest.fixture(scope="module")
def own(every: RecordSchema) -> dict[str, Any]:
    return own_schema(every)


EVERY_ANSWER = [
    json.loads(line) for line in make_schema(EVERY_TYPE, EVERY_ROW).write_lines(make_train(EVERY_TYPE, EVERY_ROW))
]
NAMES = list(EVERY_ANSWER[0])

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 1100),
    st.sampled_from([2**53 + 1, *INT64, INT64[0] - 1, INT64[1] + 1, 10**400, -(10**30)]),
    st.floats(-5, 1100).map(lambda x: round(x, 3)),
    st.sampled_from([float("nan"), float("inf"), 1e300, -0.0, 1e-320, 3.0]),
    st.text(max_size=12),
    st.integers(0, 420).map(lambda n: "x" * n),
    st.sampled_from(["web", "WEB", "f", "", "true", "3", "null", "\ud800", "a\udfffb", "\x00", "📦" * 200]),
)
turns = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", None]), "content": scalars},
    optional={"name": st.just("x")},
)
junk = st.one_of(
    scalars,
    st.lists(turns, max_size=6),
    st.recursive(
        scalars,
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
        max_leaves=6,
    ),
)
no_dates = ["2024-02-30", "0000-01-01", "2024-1-1", "20240101", "2024-01-01T00:00:00", "2024-01-01 ", "0", "1704067200"]
near = {
    "text": st.integers(0, 420).map(lambda n: "é" * n),
    "code": st.integers(0, 420).map(lambda n: "\n" * n),
    "messages": st.lists(turns, max_size=6),
    "category": st.sampled_from(["web", "Web", "web ", "", None, 0]),
    "integer": st.one_of(st.integers(-3, 1003), st.integers(-3, 3).map(float), st.integers(INT64[1] - 1, INT64[1] + 1)),
    "number": st.one_of(st.integers(-1, 1001), st.floats(999.98, 1000.02), st.floats(-0.01, 0.01)),
    "boolean": st.sampled_from([True, False, 0, 1, "true", None]),
    "date": st.one_of(st.dates().map(str), st.sampled_from(no_dates)),
}
KINDS = {field.name: field.type for field in EVERY_TYPE.fields}


def wrong_values(kind: str | None) -> st.SearchStrategy[Any]:
    """Return what may stand where a value of this type is expected; much of it is close to what is allowed."""
    return st.one_of(near.get(kind or "", junk), junk)


@st.composite
def answers(draw: st.DrawFn) -> str:
    """A record as JSON with up to two faults in its values or its keys."""
    pairs = list(draw(st.sampled_from(EVERY_ANSWER)).items())
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(pairs) - 1))
        name, value = pairs[place]
        action = draw(st.sampled_from(["value"] * 6 + ["drop", "extra", "rename"]))
        if action == "value":
            pairs[place] = (name, draw(wrong_values(KINDS.get(name))))
        elif action == "drop":
            pairs.pop(place)
        elif action == "rename":
            pairs[place] = (draw(st.sampled_from(["ticket", "intent", "Text", ""])), value)
        else:
            pairs.insert(place, (draw(st.sampled_from(["ticket", "intent", "extra", "Text", ""])), draw(junk)))
    ascii_only = draw(st.booleans())
    colon = draw(st.sampled_from([":", ": ", " :\n"]))
    return f"{{{','.join(json.dumps(n) + colon + json.dumps(v, ensure_ascii=ascii_only) for n, v in pairs)}}}"


@st.composite
def noisy_answers(draw: st.DrawFn) -> str:
    """A good record with a key that stands twice or something around it, or only its beginning."""
    body = json.dumps(draw(st.sampled_from(EVERY_ANSWER)))
    twice = f'"{draw(st.sampled_from(NAMES))}": {json.dumps(draw(st.sampled_from(["x", 0, 2.5, None, True, []])))}'
    body = draw(st.sampled_from([body, f"{{{twice}, {body[1:]}", f"{body[:-1]}, {twice}}}"]))
    before = draw(st.sampled_from(["", " ", "\n", "\ufeff", "Here it is: ", "```json\n", "["]))
    after = draw(st.sampled_from(["", " ", "\n", "}", " and more", "\n```", "]", "\x00", ",", body]))
    whole = before + body + after
    return whole[: draw(st.integers(0, len(whole)))] if draw(st.booleans()) else whole


@settings(max_examples=500)
@given(text=answers())
def test_an_answer_is_read_exactly_where_jsonschema_accepts_it(
    every: RecordSchema, own: dict[str, Any], text: str
) -> None:
    record, fault = every.read(text, "delivery|true")
    assert (record is not None) == is_acceptable(EVERY_TYPE, own, text), fault
    assert (record is None) == bool(fault)


@given(text=noisy_answers())
def test_an_answer_is_one_json_object_and_of_a_key_that_stands_twice_the_last_counts(
    every: RecordSchema, own: dict[str, Any], text: str
) -> None:
    record, fault = every.read(text, "delivery|true")
    assert (record is not None) == is_acceptable(EVERY_TYPE, own, text), fault


@settings(max_examples=60)
@given(data_sets(), st.data())
def test_an_answer_to_any_data_set_is_read_exactly_where_jsonschema_accepts_it(
    data: tuple[RecordSchema, pl.DataFrame], draw: st.DataObject
) -> None:
    schema, train = data
    answer = json.loads(schema.write_lines(train)[0])
    name = draw.draw(st.sampled_from(list(answer)))
    answer[name] = draw.draw(wrong_values(schema.spec.field(name).type))
    text = json.dumps(answer)
    record, fault = schema.read(text, train["stratum"][0])
    assert (record is not None) == is_acceptable(schema.spec, own_schema(schema), text), fault


@settings(max_examples=60)
@given(text=st.one_of(st.text(max_size=30), st.text('{}[]",:0123456789.eE-+ntfalsrue \\', max_size=30)))
def test_text_that_is_no_record_is_never_read(every: RecordSchema, text: str) -> None:
    record, fault = every.read(text, "delivery|true")
    assert record is None and fault


def with_x(value: str) -> str:
    return f'{{"x":{value}}}'


@pytest.mark.parametrize("value", ["3.0", "1e1", "-0.0"])
def test_a_whole_number_may_be_written_with_a_point(value: str) -> None:
    record, fault = one_field([1, 20], type="integer").read(with_x(value), "all")
    assert (record, fault) == ({"x": int(float(value))}, "")
    assert type(record["x"]) is int


@pytest.mark.parametrize("value", ["0", "1704067200", "-86400", "1704067200000", "20240101", "2024-01-01T00:00:00Z"])
def test_a_date_is_written_as_a_date_and_not_as_a_point_in_time(value: str) -> None:
    record, fault = one_field([dt.date(2024, 1, 1)], type="date").read(with_x(json.dumps(value)), "all")
    assert record is None and fault.startswith("x: ")


@pytest.mark.parametrize("value", ["true", '"3"', "3.5", "null", "[3]", "9223372036854775808", "1" * 5000, "NaN"])
def test_what_is_no_integer_is_not_made_one(value: str) -> None:
    assert one_field([1, 20], type="integer").read(with_x(value), "all")[0] is None


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e400", "true", '"1.5"', "1" * 400])
def test_what_is_no_finite_number_is_not_read(value: str) -> None:
    assert one_field([1.5], type="number").read(with_x(value), "all")[0] is None


@pytest.mark.parametrize("text", ['{"x":"\\ud800"}', '{"x":"\ud800"}', '{"x":"\\udc00\\ud800"}'])
def test_half_a_surrogate_pair_is_not_read(text: str) -> None:
    assert one_field(["abc"], type="text").read(text, "all")[0] is None


def test_nesting_without_end_is_a_fault_and_no_crash() -> None:
    schema = one_field(["abc"], type="text")
    for text in ("[" * 200_000, '{"x":' * 200_000, '{"x":"a","y":' + "[" * 200_000):
        assert schema.read(text, "all")[0] is None


def test_a_number_is_rounded_to_its_decimals_and_an_integer_is_a_number() -> None:
    schema = one_field([1.25, 9.75], type="number", decimals=2)
    assert schema.read('{"x":3.14159}', "all") == ({"x": 3.14}, "")
    record, _ = schema.read('{"x":3}', "all")
    assert type(record["x"]) is float


def test_rounding_does_not_leave_the_specs_bounds() -> None:
    schema = one_field([1.0], type="number", decimals=1, minimum=0.25, maximum=9.96)
    for value in ("0.25", "9.96"):
        record, _ = schema.read(with_x(value), "all")
        assert record is None or 0.25 <= record["x"] <= 9.96


def test_learned_lengths_and_ranges_guide_the_model_and_the_specs_own_decide() -> None:
    number = one_field([10, 20], type="integer", minimum=0)
    assert number.read('{"x":1000}', "all") == ({"x": 1000}, "")
    assert number.read('{"x":-1}', "all")[0] is None
    text = one_field(["short"], type="text", max_length=100)
    assert text.read(with_x(json.dumps("y" * 100)), "all")[1] == ""
    assert text.read(with_x(json.dumps("y" * 101)), "all")[0] is None


def test_a_text_without_length_in_the_schema_is_held_to_it_when_it_is_read() -> None:
    schema = one_field(["a\nb"], type="code", min_length=2, max_length=10)
    assert describe(schema) == {"type": "string"}
    assert [schema.read(with_x(json.dumps("y" * n)), "all")[0] is not None for n in (1, 2, 10, 11)] == [
        False,
        True,
        True,
        False,
    ]


def test_a_conversation_is_held_to_its_length_as_a_whole() -> None:
    schema = one_field([[{"role": "user", "content": "hi"}] * 3], type="messages", max_length=10)
    talk = [{"role": "user", "content": "1234567"}] * 3
    assert schema.read(with_x(json.dumps(talk)), "all")[0] is None


def test_a_category_without_values_in_the_spec_takes_those_of_the_rows_alone() -> None:
    schema = one_field(["a", "b"], type="category")
    assert schema.read('{"x":"b"}', "all")[1] == ""
    assert schema.read('{"x":"c"}', "all")[0] is None


def test_a_fault_names_the_field_and_what_is_wrong() -> None:
    schema = one_field([[{"role": "user", "content": "hi"}]], type="messages")
    assert schema.read('{"x":[{"role":"user","content":5}]}', "all")[1] == "x.0.content: Input should be a valid string"
    assert schema.read("{}", "all")[1] == "x: Field required"
    assert schema.read("no", "all")[1].startswith("Invalid JSON")


# ---- strata

STRATA = make_spec(
    {"name": "text", "type": "text"},
    {"name": "kind", "type": "category", "nullable": True},
    {"name": "open", "type": "boolean", "nullable": True},
    strata={"by": ["open", "kind"], "synthetic_only": ["true|new", "(none)|new", "false|(none)"]},
)
STRATA_ROWS = [
    {"text": "one", "kind": "a", "open": True},
    {"text": "two", "kind": None, "open": None},
    {"text": "three", "kind": "x|y", "open": False},
    {"text": "four", "kind": "", "open": False},
]


@pytest.mark.parametrize(
    ("stratum", "kind", "is_open"),
    [
        ("true|a", "a", True),
        ("(none)|(none)", None, None),
        ("false|x|y", "x|y", False),
        ("false|", "", False),
        ("true|new", "new", True),
        ("(none)|new", "new", None),
        ("false|(none)", None, False),
    ],
)
def test_the_fields_of_a_stratum_are_given(stratum: str, kind: str | None, is_open: bool | None) -> None:
    schema = make_schema(STRATA, STRATA_ROWS)
    assert list(json.loads(schema.json_schema)["properties"]) == ["text"]
    assert schema.read('{"text":"new one"}', stratum) == ({"text": "new one", "kind": kind, "open": is_open}, "")


def test_every_training_row_has_the_values_of_its_stratum() -> None:
    train = make_train(STRATA, STRATA_ROWS)
    schema = RecordSchema.build(STRATA, train)
    given_values = [schema.values_of(stratum) for stratum in train["stratum"]]
    assert given_values == train.select("kind", "open").to_dicts()


def test_an_answer_may_not_write_what_is_given() -> None:
    schema = make_schema(STRATA, STRATA_ROWS)
    assert schema.read('{"text":"new one","kind":"a"}', "true|a")[0] is None


def test_a_stratum_of_one_field_without_rows_may_hold_the_separator() -> None:
    spec = make_spec(
        {"name": "text", "type": "text"},
        {"name": "kind", "type": "category", "values": ["a", "b|c"]},
        strata={"by": ["kind"], "synthetic_only": ["b|c"]},
    )
    assert make_schema(spec, [{"text": "one", "kind": "a"}]).values_of("b|c") == {"kind": "b|c"}


def test_a_stratum_of_too_few_values_is_an_error_for_the_user() -> None:
    schema = make_schema(STRATA, STRATA_ROWS[:1])
    with pytest.raises(SynthError, match="synthetic_only"):
        schema.values_of("new")


def test_without_strata_nothing_is_given() -> None:
    schema = one_field(["abc"], type="text")
    assert schema.values_of("all") == {}


@pytest.mark.parametrize("name", ["_x", "__x", "_", "class", "def", "items", "keys", "self", "Record", "__class__"])
def test_any_name_of_a_field_will_do(name: str) -> None:
    spec = make_spec({"name": name, "type": "integer"}, {"name": "f", "type": "boolean"}, strata={"by": ["f"]})
    schema = make_schema(spec, [{name: 1, "f": True}])
    assert schema.read(f'{{"{name}":1}}', "true") == ({name: 1, "f": True}, "")
