"""What guessing promises: a dataset.yaml that loads, reads the files, and says what a person must check."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synth_assets.errors import SeedError
from synth_assets.seeds.guessing import guess_dataset
from synth_assets.seeds.reading import Reading, read_seeds
from synth_assets.spec import DatasetSpec, FieldSpec, load_spec
from synth_assets_tests.paths import NO_SHARED_DATA, SHARED_DATA

needs_shared_data = pytest.mark.skipif(SHARED_DATA is None, reason=NO_SHARED_DATA)
WORDS = (
    "the",
    "parcel",
    "came",
    "late",
    "and",
    "nobody",
    "at",
    "the",
    "desk",
    "could",
    "tell",
    "me",
    "where",
    "it",
    "was",
)


def sentence(i: int) -> str:
    return " ".join(WORDS[(i * 7 + j * (i % 5 + 1)) % len(WORDS)] for j in range(5 + i % 9)) + f" {i}"


def write_csv(path: Path, *rows: list[Any], delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle, delimiter=delimiter).writerows(rows)
    return path


def write_jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def use(folder: Path, *files: Path, **options: Any) -> tuple[DatasetSpec, Reading, str]:
    """Guess, save, load and read: what a user does with the result."""
    text = guess_dataset("demo", files, **options)
    home = folder / "demo"
    home.mkdir(exist_ok=True)
    (home / "dataset.yaml").write_text(text, encoding="utf-8")
    for file in files:
        shutil.copy(file, home / file.name)
    spec = load_spec(home)
    return spec, read_seeds(spec, home), text


def guess_column(folder: Path, values: list[Any], name: str = "thing") -> FieldSpec:
    """Guess one JSON column that stands between running text and a label."""
    rows = [{"text": sentence(i), name: value, "label": "ab"[i % 2]} for i, value in enumerate(values)]
    spec, _, _ = use(folder, write_jsonl(folder / "a.jsonl", *rows))
    return next(field for field in spec.fields if (field.source or field.name) == name)


def guess_cells(folder: Path, cells: list[str], name: str = "thing") -> FieldSpec:
    """Guess one CSV column that stands before a label."""
    rows = [[cell, "ab"[i % 2]] for i, cell in enumerate(cells)]
    spec, _, _ = use(folder, write_csv(folder / "a.csv", [name, "label"], *rows))
    return spec.fields[0]


# ---- the document


def test_what_files_cannot_tell_is_conservative_and_marked(tmp_path: Path) -> None:
    spec, _, text = use(tmp_path, write_csv(tmp_path / "a.csv", ["text", "label"], ["hi there", "x"]))
    assert (spec.source.license, spec.source.consent.basis) == ("LicenseRef-unknown", "unknown")
    marked = [line.split(":")[0].strip() for line in text.splitlines() if "# CHECK" in line]
    assert {"license", "basis", "contact", "description", "url"} <= set(marked)


def test_a_given_license_is_written(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "a.csv", ["text"], ["hi"])
    spec, _, text = use(tmp_path, file, license="CC-BY-4.0")
    assert spec.source.license == "CC-BY-4.0"
    assert not any("# CHECK" in line for line in text.splitlines() if line.strip().startswith("license:"))


@pytest.mark.parametrize("expression", ["no such license!", "MIT AND", "", "GPL 2"])
def test_an_invalid_license_is_refused(tmp_path: Path, expression: str) -> None:
    with pytest.raises(SeedError, match="no SPDX expression"):
        guess_dataset("demo", [write_csv(tmp_path / "a.csv", ["text"], ["hi"])], license=expression)


@pytest.mark.parametrize("name", ["Demo", "1st", "a b", "../up", ""])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SeedError, match="no data set name"):
        guess_dataset(name, [write_csv(tmp_path / "a.csv", ["text"], ["hi"])])


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SeedError, match="no such file"):
        guess_dataset("demo", [tmp_path / "none.csv"])


def test_a_json_array_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[{}]")
    with pytest.raises(SeedError, match="one JSON object a line"):
        guess_dataset("demo", [tmp_path / "a.json"])


def test_no_files_are_refused() -> None:
    with pytest.raises(SeedError, match="no files given"):
        guess_dataset("demo", [])


def test_a_file_in_another_encoding_is_refused_with_the_cause(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("text,label\ngröße,x\n".encode("latin-1"))
    with pytest.raises(SeedError, match=r"a\.csv:2: byte 0xf6 .* save the file as UTF-8"):
        guess_dataset("demo", [tmp_path / "a.csv"])


def test_a_first_line_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('text,"label\nhi there,x\n' + "so it goes,y\n" * 20)
    with pytest.raises(SeedError, match=r"a\.csv:1: the first line is unusable: a quote"):
        guess_dataset("demo", [tmp_path / "a.csv"])


def test_the_same_files_give_the_same_text(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "a.jsonl", *({"text": sentence(i), "label": i % 3} for i in range(50)))
    assert guess_dataset("demo", [file]) == guess_dataset("demo", [file])


# ---- CSV dialect


@pytest.mark.parametrize("delimiter", [",", ";", "|"])
def test_the_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    rows = [[sentence(i) + ", really", "ab"[i % 2]] for i in range(40)]
    spec, reading, _ = use(tmp_path, write_csv(tmp_path / "a.csv", ["text", "label"], *rows, delimiter=delimiter))
    assert spec.source.csv.delimiter == delimiter
    assert (reading.rows.height, reading.rejected.height) == (40, 0)


def test_a_tsv_file_needs_no_delimiter(tmp_path: Path) -> None:
    rows = [[sentence(i) + ", really", "ab"[i % 2]] for i in range(40)]
    _, reading, text = use(tmp_path, write_csv(tmp_path / "a.tsv", ["text", "label"], *rows, delimiter="\t"))
    assert "delimiter" not in text
    assert reading.rows.height == 40


def test_tabs_in_a_csv_file_are_written_as_delimiter(tmp_path: Path) -> None:
    rows = [[sentence(i) + ", really", "ab"[i % 2]] for i in range(40)]
    file = write_csv(tmp_path / "a.csv", ["text", "label"], *rows, delimiter="\t")
    assert 'delimiter: "\\t"' in guess_dataset("demo", [file])


def test_a_single_column_of_text_stays_one(tmp_path: Path) -> None:
    spec, reading, _ = use(tmp_path, write_csv(tmp_path / "a.csv", ["text"], *([sentence(i)] for i in range(30))))
    assert [field.name for field in spec.fields] == ["text"]
    assert reading.rows.height == 30


def test_a_first_line_like_the_data_is_no_header(tmp_path: Path) -> None:
    rows = [[str(i % 60), ["red", "blue"][i % 2], f"{i / 4}", ["yes", "no"][i % 3 == 0]] for i in range(60)]
    spec, reading, _ = use(tmp_path, write_csv(tmp_path / "a.csv", *rows))
    assert not spec.source.csv.header
    assert spec.source.csv.columns == ("column_1", "column_2", "column_3", "column_4")
    assert reading.rows.height == 60


def test_labels_and_text_without_header_are_seen(tmp_path: Path) -> None:
    rows = [[["ham", "spam"][i % 2], sentence(i)] for i in range(60)]
    spec, reading, _ = use(tmp_path, write_csv(tmp_path / "a.csv", *rows))
    assert not spec.source.csv.header
    assert (spec.field("column_1").role, reading.rows.height) == ("target", 60)


@pytest.mark.parametrize("header", [["question", "reply"], ["Frage", "Antwort"], ["x1", "x2"]])
def test_a_header_over_running_text_is_seen(tmp_path: Path, header: list[str]) -> None:
    rows = [[sentence(i), sentence(i + 100)] for i in range(30)]
    spec, _, _ = use(tmp_path, write_csv(tmp_path / "a.csv", header, *rows))
    assert [field.name for field in spec.fields] == header


def test_spaces_after_the_delimiter_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("".join(f"{i}, {'red' if i % 2 else 'blue'}, {i}.5\n" for i in range(1, 60)))
    spec, reading, _ = use(tmp_path, tmp_path / "a.csv")
    assert [field.type for field in spec.fields] == ["integer", "category", "number"]
    assert reading.rejected.is_empty()


@pytest.mark.parametrize("word", ["?", "NA", "N/A", "null", "\\N", "-", "."])
def test_a_word_for_missing_is_found_among_numbers(tmp_path: Path, word: str) -> None:
    cells = [word if i % 10 == 0 else str(i) for i in range(50)]
    rows = [[cell, "ab"[i % 2]] for i, cell in enumerate(cells)]
    spec, reading, _ = use(tmp_path, write_csv(tmp_path / "a.csv", ["thing", "label"], *rows))
    assert word in spec.source.csv.null_values
    assert (spec.field("thing").type, spec.field("thing").nullable) == ("integer", True)
    assert reading.rows["thing"].null_count() == 5


def test_a_dash_among_words_stays_a_value(tmp_path: Path) -> None:
    assert not guess_cells(tmp_path, ["-", "up", "down"] * 20).nullable


# ---- types


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([str(i) for i in range(60)], "integer"),
        ([f"{i}.25" for i in range(60)], "number"),
        (["1e-5", "2"] * 30, "number"),
        (["True", "False"] * 30, "boolean"),
        (["yes", "no"] * 30, "category"),
        ([f"2024-01-{i % 28 + 1:02d}" for i in range(60)], "date"),
        ([f"{i % 28 + 1:02d}.01.2024 {i}" for i in range(60)], "text"),
        ([f"0{1000 + i}" for i in range(60)], "text"),
        ([f"+4930{1000 + i}" for i in range(60)], "text"),
        ([str(10**20 + i) for i in range(60)], "text"),
        (["a", "b", "c"] * 20, "category"),
        ([sentence(i) for i in range(60)], "text"),
        (['[{"role": "user", "content": "hi"}]'] * 60, "messages"),
    ],
)
def test_the_type_of_cells_is_guessed(tmp_path: Path, cells: list[str], kind: str) -> None:
    assert guess_cells(tmp_path, cells).type == kind


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (list(range(60)), "integer"),
        ([1, 2.5] * 30, "number"),
        ([2**70, 1] * 30, "number"),
        ([True, False] * 30, "boolean"),
        (["2024-01-01", "2024-02-01"] * 30, "date"),
        (["1", "2"] * 30, "category"),
        ([sentence(i) for i in range(60)], "text"),
        ([[{"role": "user", "content": sentence(i)}] for i in range(60)], "messages"),
        ([f"def f{i}(x):\n    y = x + {i}\n    return y\n" for i in range(60)], "code"),
        ([f"#include <a.h>\nint f{i}() {{\n  return {i};\n}}" for i in range(60)], "code"),
    ],
)
def test_the_type_of_json_values_is_guessed(tmp_path: Path, values: list[Any], kind: str) -> None:
    assert guess_column(tmp_path, values).type == kind


def test_a_few_values_of_another_type_are_told_and_rejected(tmp_path: Path) -> None:
    rows = [{"text": sentence(i), "n": "many" if i == 7 else i} for i in range(300)]
    spec, reading, text = use(tmp_path, write_jsonl(tmp_path / "a.jsonl", *rows))
    assert spec.field("n").type == "integer"
    assert "1 of 300 values are no integer" in text
    assert reading.rejected["source_line"].to_list() == [8]


def test_decimals_and_a_lower_bound_of_zero_are_observed(tmp_path: Path) -> None:
    field = guess_cells(tmp_path, ["0.5", "1.250", "3"] * 20)
    assert (field.decimals, field.minimum, field.maximum) == (2, 0, None)


def test_negative_numbers_set_no_bound(tmp_path: Path) -> None:
    assert guess_cells(tmp_path, ["-1", "5"] * 20).minimum is None


@pytest.mark.parametrize(("longest", "allowed"), [(90, 200), (300, 1_000), (3_000, 10_000), (600_000, 1_000_000)])
def test_the_longest_text_is_rounded_up_generously(tmp_path: Path, longest: int, allowed: int) -> None:
    assert guess_column(tmp_path, ["x" * longest, *map(sentence, range(10))]).max_length == allowed


@pytest.mark.parametrize("missing", [None, "", "  "])
def test_missing_values_make_a_field_nullable(tmp_path: Path, missing: Any) -> None:
    assert guess_column(tmp_path, [missing, *map(sentence, range(10))]).nullable


def test_a_column_without_values_is_left_out_and_told(tmp_path: Path) -> None:
    spec, _, text = use(tmp_path, write_jsonl(tmp_path / "a.jsonl", {"text": "hi", "none": None, "empty": ""}))
    assert [field.name for field in spec.fields] == ["text"]
    assert "# CHECK: left out: 'empty' is empty" in text


# ---- nested data


def test_nested_objects_become_dotted_paths(tmp_path: Path) -> None:
    rows = [{"meta": {"lang": "en", "n": {"deep": i}}, "text": sentence(i)} for i in range(20)]
    spec, reading, _ = use(tmp_path, write_jsonl(tmp_path / "a.jsonl", *rows))
    assert [field.source for field in spec.fields] == ["meta.lang", "meta.n.deep", None]
    assert reading.rows["meta_n_deep"].to_list() == list(range(20))


def test_of_a_list_that_varies_the_first_item_is_taken_and_told(tmp_path: Path) -> None:
    rows = [{"question": sentence(i), "answers": [{"text": sentence(i)}] * (i % 3 + 1)} for i in range(20)]
    spec, reading, text = use(tmp_path, write_jsonl(tmp_path / "a.jsonl", *rows))
    assert spec.field("answers_0_text").source == "answers.0.text"
    assert "'answers' is a list of up to 3 items" in text
    assert reading.rejected.is_empty()


def test_a_list_of_fixed_length_becomes_one_field_an_item(tmp_path: Path) -> None:
    rows = [{"question": sentence(i), "choices": [sentence(i + k) for k in range(4)]} for i in range(20)]
    spec, _, _ = use(tmp_path, write_jsonl(tmp_path / "a.jsonl", *rows))
    assert [field.source for field in spec.fields][1:] == [f"choices.{k}" for k in range(4)]


def test_a_vector_is_left_out_and_told(tmp_path: Path) -> None:
    rows = [{"text": sentence(i), "embedding": [0.1] * 384} for i in range(5)]
    spec, _, text = use(tmp_path, write_jsonl(tmp_path / "a.jsonl", *rows))
    assert [field.name for field in spec.fields] == ["text"]
    assert "'embedding', a vector of 384 values" in text


def test_a_key_that_no_path_can_name_is_left_out_and_told(tmp_path: Path) -> None:
    rows = [{"text": sentence(i), " padded": 1, "deep": {"a.b": 1}, "top.level": i} for i in range(5)]
    spec, reading, text = use(tmp_path, write_jsonl(tmp_path / "a.jsonl", *rows))
    assert [field.source for field in spec.fields] == [None, "top.level"]
    assert "' padded'" in text
    assert reading.rows["top_level"].to_list() == list(range(5))


def test_parquet_columns_are_guessed_by_their_types(tmp_path: Path) -> None:
    frame = pl.DataFrame({"text": [sentence(i) for i in range(40)], "x": [i / 4 for i in range(40)]}).with_columns(
        label=pl.Series(["a", "b"] * 20, dtype=pl.Categorical), day=pl.date(2024, 1, 1)
    )
    frame.write_parquet(tmp_path / "a.parquet")
    spec, reading, _ = use(tmp_path, tmp_path / "a.parquet")
    assert [field.type for field in spec.fields] == ["text", "number", "category", "date"]
    assert reading.rows.height == 40


@pytest.mark.parametrize("size", [0, 50, 400])
def test_a_damaged_parquet_file_is_refused_with_the_cause(tmp_path: Path, size: int) -> None:
    pl.DataFrame({"n": range(1000), "text": ["x"] * 1000}).write_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:size])
    with pytest.raises(SeedError, match="not readable as Parquet"):
        guess_dataset("demo", [tmp_path / "a.parquet"])


# ---- names


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("Mean Radius (mm)", "Mean_Radius_mm"),
        ("two-words", "two_words"),
        ("2nd", "field_2nd"),
        ("Größe", "Grosse"),
        ("雪", "field_2"),
        ("license", "license_value"),
        ("Seed", "Seed_value"),
        ("weight", "weight_value"),
        ("x" * 80, "x" * 63),
    ],
)
def test_names_become_identifiers_with_their_source(tmp_path: Path, source: str, name: str) -> None:
    field = guess_column(tmp_path, list(range(20)), name=source)
    assert (field.name, field.source) == (name, source)


def test_names_that_become_equal_are_told_apart(tmp_path: Path) -> None:
    rows = [{"text": sentence(i), "a b": i, "a-b": i, "A_B": i} for i in range(5)]
    spec, _, _ = use(tmp_path, write_jsonl(tmp_path / "a.jsonl", *rows))
    assert [field.name for field in spec.fields] == ["text", "a_b", "a_b_2", "A_B_3"]


def test_unnamed_and_repeated_columns_can_be_read(tmp_path: Path) -> None:
    rows = [[i, sentence(i), i * 2] for i in range(60)]
    spec, reading, _ = use(tmp_path, write_csv(tmp_path / "a.csv", ["", "text", "text"], *rows))
    assert [(field.name, field.role) for field in spec.fields] == [
        ("column_1", "id"),
        ("text", "input"),
        ("text_2", "context"),
    ]
    assert reading.rows["text_2"].to_list() == [i * 2 for i in range(60)]


# ---- roles


@pytest.mark.parametrize("name", ["label", "category", "target", "class", "intent", "income", "Outcome", "isFraud"])
def test_a_column_named_like_a_label_is_the_target(tmp_path: Path, name: str) -> None:
    rows = [[["x", "y"][i % 2], i, ["red", "blue", "green"][i % 3]] for i in range(60)]
    spec, _, _ = use(tmp_path, write_csv(tmp_path / "a.csv", [name, "size", "color"], *rows))
    assert spec.fields[0].role == "target"
    assert [field.role for field in spec.fields].count("target") == 1


def test_coded_labels_are_a_category_and_make_strata(tmp_path: Path) -> None:
    rows = [{"text": sentence(i), "label": i % 4} for i in range(80)]
    spec, reading, _ = use(tmp_path, write_jsonl(tmp_path / "a.jsonl", *rows))
    assert (spec.field("label").type, spec.strata.by) == ("category", ("label",))
    assert sorted(reading.rows["label"].unique()) == ["0", "1", "2", "3"]


def test_of_unnamed_columns_the_last_class_is_the_target(tmp_path: Path) -> None:
    rows = [[i * 7 % 40, f"{i}.5", "ab"[i % 2], "xyz"[i % 3]] for i in range(60)]
    spec, _, _ = use(tmp_path, write_csv(tmp_path / "a.csv", *rows))
    assert [field.role for field in spec.fields] == ["input", "input", "input", "target"]


def test_a_table_of_numbers_predicts_its_last_column(tmp_path: Path) -> None:
    rows = [[f"{i}.5", f"{i * 3 % 50}.25", f"{i * 7 % 40}.1"] for i in range(60)]
    spec, _, _ = use(tmp_path, write_csv(tmp_path / "a.csv", ["rooms", "rate", "price"], *rows))
    assert [field.role for field in spec.fields] == ["input", "input", "target"]
    assert spec.strata.by == ()


def test_an_answer_is_the_target_and_its_category_makes_strata(tmp_path: Path) -> None:
    rows = [{"instruction": sentence(i), "response": sentence(i + 1), "category": "abc"[i % 3]} for i in range(90)]
    spec, _, _ = use(tmp_path, write_jsonl(tmp_path / "a.jsonl", *rows))
    assert [field.role for field in spec.fields] == ["input", "target", "context"]
    assert spec.strata.by == ("category",)


@pytest.mark.parametrize("name", ["id", "uuid", "example_id", "userId", "key"])
def test_a_unique_key_is_an_id(tmp_path: Path, name: str) -> None:
    assert guess_column(tmp_path, [f"k{i}" for i in range(60)], name=name).role == "id"


def test_a_column_of_ids_that_repeat_a_lot_is_no_key(tmp_path: Path) -> None:
    assert guess_column(tmp_path, [i % 4 for i in range(60)], name="region_id").role == "context"


@pytest.mark.parametrize("name", ["race", "Sex", "gender", "religion", "ethnicity", "patient_gender"])
def test_a_protected_attribute_is_sensitive_by_name(tmp_path: Path, name: str) -> None:
    assert guess_cells(tmp_path, ["a", "b"] * 30, name=name).role == "sensitive"


def test_a_protected_attribute_is_sensitive_by_its_values(tmp_path: Path) -> None:
    assert guess_cells(tmp_path, ["Female", "Male"] * 30).role == "sensitive"


def test_age_is_left_to_the_reader(tmp_path: Path) -> None:
    rows = [[20 + i, "ab"[i % 2]] for i in range(60)]
    spec, _, text = use(tmp_path, write_csv(tmp_path / "a.csv", ["age", "label"], *rows))
    assert spec.field("age").role == "input"
    assert "name: age  # CHECK: often a protected attribute" in text


def test_a_thin_target_makes_no_strata(tmp_path: Path) -> None:
    rows = [{"text": sentence(i), "label": f"c{i % 20}"} for i in range(60)]
    spec, _, text = use(tmp_path, write_jsonl(tmp_path / "a.jsonl", *rows))
    assert spec.strata.by == ()
    assert "too thin" in text


def test_a_rare_class_beside_common_ones_does_not_prevent_strata(tmp_path: Path) -> None:
    rows = [{"text": sentence(i), "label": "rare" if i == 0 else "ab"[i % 2]} for i in range(300)]
    spec, _, _ = use(tmp_path, write_jsonl(tmp_path / "a.jsonl", *rows))
    assert spec.strata.by == ("label",)


def test_columns_of_rights_are_declared_and_are_no_fields(tmp_path: Path) -> None:
    row = {"license": "CC-BY-4.0", "consent": "consent", "private": False}
    rows = [{"text": sentence(i), **row} for i in range(10)]
    spec, reading, _ = use(tmp_path, write_jsonl(tmp_path / "a.jsonl", *rows))
    assert [field.name for field in spec.fields] == ["text"]
    assert reading.rows.select("license", "consent", "is_private").row(0) == ("CC-BY-4.0", "consent", False)


# ---- anything at all

_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(st.dictionaries(st.text(max_size=6), _VALUES, max_size=4), min_size=1, max_size=6))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_objects_hold_the_guess_loads(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    file = write_jsonl(tmp_path / "a.jsonl", *rows)
    try:
        text = guess_dataset("demo", [file])
    except SeedError:
        return
    (tmp_path / "demo").mkdir(exist_ok=True)
    (tmp_path / "demo" / "dataset.yaml").write_text(text, encoding="utf-8")
    assert load_spec(tmp_path / "demo").fields


@given(st.lists(st.lists(st.text(max_size=6), min_size=2, max_size=2), min_size=1, max_size=6))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_cells_hold_the_guess_loads(tmp_path: Path, rows: list[list[str]]) -> None:
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8", errors="replace") as handle:
        csv.writer(handle, quoting=csv.QUOTE_ALL).writerows(rows)
    try:
        text = guess_dataset("demo", [tmp_path / "a.csv"])
    except SeedError:
        return
    (tmp_path / "demo").mkdir(exist_ok=True)
    (tmp_path / "demo" / "dataset.yaml").write_text(text, encoding="utf-8")
    assert load_spec(tmp_path / "demo").fields


# ---- real files


@needs_shared_data
def test_census_records_without_header(tmp_path: Path) -> None:
    assert SHARED_DATA is not None
    spec, reading, _ = use(tmp_path, SHARED_DATA / "adult" / "adult_train.csv")
    assert (reading.rows.height, reading.rejected.height) == (32_561, 0)
    assert "?" in spec.source.csv.null_values
    assert spec.strata.by == ("column_15",)
    assert [field.name for field in spec.fields if field.role == "sensitive"] == ["column_9", "column_10"]


@needs_shared_data
def test_customer_messages_with_intents(tmp_path: Path) -> None:
    assert SHARED_DATA is not None
    spec, reading, _ = use(tmp_path, SHARED_DATA / "banking77" / "train.csv")
    assert (reading.rows.height, reading.rejected.height) == (10_003, 0)
    assert [(field.name, field.type, field.role) for field in spec.fields] == [
        ("text", "text", "input"),
        ("category", "category", "target"),
    ]


@needs_shared_data
def test_nested_instruction_tasks(tmp_path: Path) -> None:
    assert SHARED_DATA is not None
    spec, reading, _ = use(tmp_path, SHARED_DATA / "self_instruct" / "seed_tasks.jsonl")
    assert (reading.rows.height, reading.rejected.height) == (175, 0)
    assert spec.field("id").role == "id"
    assert spec.field("instances_0_input").nullable
    assert (spec.field("instances_0_output").source, spec.field("instances_0_output").role) == (
        "instances.0.output",
        "target",
    )


@needs_shared_data
def test_questions_and_worked_answers(tmp_path: Path) -> None:
    assert SHARED_DATA is not None
    spec, reading, _ = use(tmp_path, SHARED_DATA / "gsm8k" / "train_first_3000.jsonl")
    assert (reading.rows.height, reading.rejected.height) == (3_000, 0)
    assert [(field.type, field.role) for field in spec.fields] == [("text", "input"), ("text", "target")]
