"""Finding a language model's mark in tokens, texts and answers, with token streams that no model had to write.

The stream of a marked text is drawn here from a flat distribution, with green tokens e^delta as likely as others. What
a real model's mark looks like is in test_watermark_model.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from synth_assets.generation.watermark.detection import detect_answers, detect_texts, detect_tokens
from synth_assets.generation.watermark.green_list import are_green
from synth_assets.generation.watermark.keys import Key
from synth_assets.generation.watermark.tokens import pair_tokens
from synth_assets.records import polars_schema
from synth_assets.spec import DatasetSpec, parse_spec
from synth_assets_tests.generation.watermark.keys_for_tests import KEY, OTHER_KEY

VOCABULARY = 5_000


def write_tokens(
    records: int, length: int, gamma: float = 0.25, delta: float = 2.0, key: Key | None = KEY
) -> pl.Series:
    """Return token ids of texts, one list a record; unmarked without a key."""
    rng = np.random.default_rng(17)
    tokens = rng.integers(0, VOCABULARY, (records, 1))
    for _ in range(length):
        tries = rng.integers(0, VOCABULARY, (records, 40))
        weight = np.ones(tries.shape)
        if key is not None:
            weight[are_green(tokens[:, -1:], tries, key, gamma)] = np.exp(delta)
        place = (weight.cumsum(1) / weight.sum(1, keepdims=True) < rng.random((records, 1))).sum(1)
        tokens = np.concatenate([tokens, tries[np.arange(records), place][:, None]], axis=1)
    return pl.Series(tokens.tolist(), dtype=pl.List(pl.Int32))


def names(count: int) -> pl.Series:
    return pl.Series([f"e{i}" for i in range(count)])


@pytest.mark.parametrize(("gamma", "delta"), [(0.25, 2.0), (0.5, 2.0), (0.1, 1.0), (0.75, 4.0)])
def test_marked_tokens_are_found_in_a_record_and_together(gamma: float, delta: float) -> None:
    found = detect_tokens(names(40), pair_tokens(write_tokens(40, 80, gamma, delta)), KEY, gamma)
    assert found.records["record"].to_list() == names(40).to_list()
    assert found.records["z"].mean() > 2  # type: ignore[operator] - a mean of numbers
    assert found.pooled.records == 40
    assert found.pooled.z is not None and found.pooled.z > 15
    assert found.pooled.p_value < 1e-40


@pytest.mark.parametrize("gamma", [0.1, 0.25, 0.5, 0.9])
def test_unmarked_tokens_and_another_key_show_nothing(gamma: float) -> None:
    plain, marked = pair_tokens(write_tokens(40, 80, key=None)), pair_tokens(write_tokens(40, 80, gamma))
    for pairs, key in ((plain, KEY), (plain, OTHER_KEY), (marked, OTHER_KEY)):
        found = detect_tokens(names(40), pairs, key, gamma)
        assert found.pooled.z is not None and abs(found.pooled.z) < 3
        assert found.records["z"].max() < 4.5  # type: ignore[operator] - a number


def test_over_many_keys_z_of_unmarked_tokens_is_standard_normal() -> None:
    pairs = pair_tokens(write_tokens(5, 60, key=None))
    keys = [Key(bytes([n]) * 32, "") for n in range(200)]
    z = np.array([detect_tokens(names(5), pairs, key, 0.25).pooled.z for key in keys])
    assert abs(z.mean()) < 4 / np.sqrt(200)
    assert 0.85 < z.std() < 1.15


def test_a_phrase_that_is_said_a_hundred_times_is_evidence_once() -> None:
    """Without this, a stock phrase that happens to be green would prove a mark in any text that holds it."""
    green = next(t for t in range(999) if are_green(np.array([1]), np.array([t]), KEY, 0.25)[0])
    ids = pl.Series([[1, green] * 50, [1, green] * 50], dtype=pl.List(pl.Int32))
    found = detect_tokens(names(2), pair_tokens(ids), KEY, 0.25)
    assert found.records["scored"].to_list() == [2, 2]
    assert found.pooled.scored == 2
    assert found.pooled.p_value > 0.05


def test_records_without_tokens_are_reported_as_such() -> None:
    ids = pl.Series([None, [], [3], [3, 4]], dtype=pl.List(pl.Int32))
    found = detect_tokens(names(4), pair_tokens(ids), KEY, 0.25)
    assert found.records["scored"].to_list() == [0, 0, 0, 1]
    assert found.records["z"].is_null().to_list() == [True, True, True, False]
    assert found.records["p_value"].to_list()[:3] == [1.0, 1.0, 1.0]


# ---- rows of text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer whose tokens are words, so that a stream of ids is a text and back."""
    tokenizers = pytest.importorskip("tokenizers")
    words = {f"w{i}": i for i in range(VOCABULARY)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({**words, "<unk>": VOCABULARY}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    path = tmp_path_factory.mktemp("model")
    tokenizer.save(str(path / "tokenizer.json"))
    return path


def make_spec(*fields: dict[str, Any], gamma: float = 0.25) -> DatasetSpec:
    content = {
        "name": "texts",
        "fields": list(fields),
        "source": {"license": "CC0-1.0", "consent": {"basis": "not_personal"}},
        "generation": {"watermark": {"gamma": gamma}},
    }
    return parse_spec(content, where="test")


def say(tokens: pl.Series) -> list[str]:
    return [" ".join(f"w{token}" for token in ids) for ids in tokens.to_list()]


TEXT = {"name": "text", "type": "text", "max_length": 100_000}
KIND = {"name": "kind", "type": "category"}


@pytest.mark.parametrize("fields", [(KIND, TEXT), (TEXT, KIND)])
def test_marked_texts_are_found_with_the_specs_gamma(folder: Path, fields: tuple[dict[str, Any], ...]) -> None:
    spec = make_spec(*fields, gamma=0.5)
    frame = pl.DataFrame({"text": say(write_tokens(20, 60, 0.5)), "kind": ["a"] * 20, "example_id": names(20)})
    found = detect_texts(frame, spec, KEY, folder)
    assert found.records["record"].to_list() == names(20).to_list()
    assert found.pooled.z is not None and found.pooled.z > 8
    assert abs(detect_texts(frame, spec, OTHER_KEY, folder).pooled.z or 0) < 3
    other = detect_texts(frame, spec, KEY, folder, gamma=0.9).pooled.z
    assert other is not None and other < found.pooled.z


def test_every_text_field_and_message_counts_in_its_record(folder: Path) -> None:
    spec = make_spec(TEXT, {"name": "talk", "type": "messages"})
    said = say(write_tokens(3, 40))
    talks = [[{"role": "user", "content": said[1]}, {"role": "assistant", "content": said[2]}], [], None]
    frame = pl.DataFrame({"text": [said[0], None, ""], "talk": talks}, schema=polars_schema(spec.fields))
    found = detect_texts(frame, spec, KEY, folder)
    assert found.records["record"].to_list() == [0, 1, 2]
    assert found.records["scored"][0] > 110
    assert found.records["scored"][1:].to_list() == [0, 0]


def test_rows_without_any_text_field_show_nothing(folder: Path) -> None:
    found = detect_texts(pl.DataFrame({"kind": ["a", "b"]}), make_spec(KIND), KEY, folder)
    assert (found.pooled.records, found.pooled.z, found.pooled.p_value) == (2, None, 1.0)


def test_kept_tokens_of_answers_are_scored_within_the_values(folder: Path) -> None:
    """Every token is a word or a piece of the record around it, and decoding joins them."""
    tokenizers = pytest.importorskip("tokenizers")
    words = {f"w{i}": i for i in range(VOCABULARY)}
    marks = {piece: VOCABULARY + i for i, piece in enumerate(['{"text":"', '","kind":"', '"}', " "])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({**words, **marks}, unk_token=" "))
    tokenizer.decoder = tokenizers.decoders.Fuse()
    (folder / "answers.json").write_text(tokenizer.to_str())
    spec = make_spec(TEXT, KIND)
    start, middle, end = marks['{"text":"'], marks['","kind":"'], marks['"}']
    ids = [[start, *tokens[1:], middle, 5, 6, 7, end] for tokens in write_tokens(20, 60).to_list()]
    frame = pl.DataFrame({"output_token_ids": [*ids, None]}, schema={"output_token_ids": pl.List(pl.Int32)})
    found = detect_answers(frame, spec, KEY, folder / "answers.json")
    assert json.loads(tokenizer.decode(ids[0]))["kind"] == "w5w6w7"
    assert found.records["scored"].to_list() == [60] * 20 + [0]
    assert found.pooled.z is not None and found.pooled.z > 15
