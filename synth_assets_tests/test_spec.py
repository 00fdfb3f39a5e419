"""dataset.yaml: what it accepts, and that a wrong file is told in one readable error."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from synth_assets import spec as spec_module
from synth_assets.errors import SpecError
from synth_assets.project import Project, find_project
from synth_assets.spec import json_schema, load_spec, parse_spec
from synth_assets_tests.builders import text_spec
from synth_assets_tests.paths import PROJECT

MINIMAL = {
    "name": "tiny",
    "fields": [{"name": "text", "type": "text"}],
    "source": {"license": "MIT", "consent": {"basis": "contract"}},
}


def explain(**changes: object) -> str:
    with pytest.raises(SpecError) as caught:
        parse_spec({**MINIMAL, **changes}, where="tiny/dataset.yaml")
    return str(caught.value)


def test_a_minimal_file_gets_the_documented_defaults() -> None:
    spec = parse_spec(MINIMAL, where="x")
    assert (spec.mix.share, spec.review.rate, spec.rounds, spec.review.mode) == (0.70, 0.02, 1, "human")


@pytest.mark.parametrize("name", ["support", "clinical"])
def test_the_bundled_data_sets_are_valid(name: str) -> None:
    assert Project(PROJECT).spec(name).name == name


def test_a_share_outside_60_to_80_percent_is_refused_with_the_bound() -> None:
    message = explain(mix={"share": 0.9})
    assert message.startswith("tiny/dataset.yaml: mix.share: 0.9")
    assert "0.8" in message


def test_a_missing_license_says_what_to_write() -> None:
    message = explain(source={"consent": {"basis": "contract"}})
    assert "source.license: is missing" in message
    assert "CC-BY-4.0" in message


def test_an_unknown_setting_lists_what_is_allowed() -> None:
    message = explain(mix={"shares": 0.7})
    assert "mix.shares: unknown setting" in message
    assert "share, real_floor, upsampling_cap" in message


def test_every_fault_is_told_once() -> None:
    message = explain(fields=[{"name": "text", "type": "txt"}], rounds=0)
    assert len(message.splitlines()) == 2


@pytest.mark.parametrize("name", ["../x", "A", "", "a b", "a" * 64, "x/y"])
def test_names_that_are_no_plain_folder_are_refused(name: str) -> None:
    assert "name:" in explain(name=name)


@pytest.mark.parametrize("license_", ["Proprietary stuff", "", "CC-BY", "MIT AND"])
def test_a_license_that_is_no_spdx_expression_is_refused(license_: str) -> None:
    assert "SPDX" in explain(source={"license": license_, "consent": {"basis": "contract"}})


def test_own_terms_are_accepted_as_a_license_reference() -> None:
    content = {**MINIMAL, "source": {"license": "LicenseRef-our-terms OR MIT", "consent": {"basis": "contract"}}}
    assert parse_spec(content, where="x").source.license.startswith("LicenseRef")


def test_a_field_named_like_a_column_of_the_platform_is_refused() -> None:
    assert "column of the platform" in explain(fields=[{"name": "origin", "type": "text"}])


def test_strata_must_be_category_fields_of_the_record() -> None:
    assert "is no field" in explain(strata={"by": ["intent"]})
    assert "category or boolean" in explain(strata={"by": ["text"]})


@pytest.mark.parametrize("condition", ["low <", "secret > 1", "1 = 1"])
def test_a_constraint_must_be_a_condition_over_fields(condition: str) -> None:
    assert "constraints" in explain(constraints=[condition])


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "dataset.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a: &x [1]\nb: *x\n", "aliases"),
        ("name: a\nname: b\n", "stands twice"),
        ("name: [\n", "not valid YAML"),
        ("- 1\n", "mapping"),
        (b"\xff\xfe\x00", "not UTF-8"),
        ("x: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
        ("{" * 5000, "not valid YAML"),
    ],
)
def test_hostile_and_broken_yaml_is_an_error_with_the_file(tmp_path: Path, text: str | bytes, part: str) -> None:
    with pytest.raises(SpecError, match=part) as caught:
        load_spec(write(tmp_path, text))
    assert "dataset.yaml" in str(caught.value)


def test_the_name_must_be_the_folders(tmp_path: Path) -> None:
    path = write(
        tmp_path, "name: other\nfields: [{name: t, type: text}]\nsource: {license: MIT, consent: {basis: contract}}\n"
    )
    with pytest.raises(SpecError, match="folder's name"):
        load_spec(path)


def test_an_unknown_data_set_lists_the_known_ones() -> None:
    with pytest.raises(SpecError, match="support"):
        find_project(PROJECT).spec("nowhere")


def test_prices_and_shard_size_do_not_change_the_digest() -> None:
    assert text_spec().digest == text_spec(generation={"shard_size": 7}, cost={"per_reviewer_hour": 9}, rounds=3).digest
    assert text_spec().digest != text_spec(seed=1).digest


def test_every_setting_is_described_for_editors() -> None:
    properties = json_schema()["$defs"]["MixSpec"]["properties"]
    assert properties["share"]["maximum"] == 0.8
    models = [model for model in vars(spec_module).values() if isinstance(model, type) and issubclass(model, BaseModel)]
    bare = [f"{m.__name__}.{name}" for m in models for name, field in m.model_fields.items() if not field.description]
    assert bare == []
    assert all(model.model_config["extra"] == "forbid" for model in models if model.model_fields)
