"""Which tokens lie inside a value: escapes, letters of several tokens, borders, and answers against texts."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth_assets.errors import EngineError
from synth_assets.generation.watermark.tokens import pair_answers, pair_tokens, tokenize_values

tokenizers = pytest.importorskip("tokenizers")

TEXTS = [
    "Where is my parcel?",
    'She said "now", twice.\nThen\tnothing \\ more.',
    "Danke 😴👩‍👩‍👧, schön 🇪🇺",
    "注文はどこですか。お願いします",
    "אבגד where is it? שלום",
    "control \x01 and \u2028 line",
    "<s> and </s> are text",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level BPE tokenizer of 400 tokens: emoji and Chinese letters take several tokens each."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([json.dumps({"text": text}, ensure_ascii=False) for text in TEXTS] * 5, trainer)
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=64)
    path = tmp_path_factory.mktemp("model")
    tokenizer.save(str(path / "tokenizer.json"))
    return path


def encode(folder: Path, text: str) -> list[int]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return tokenizer.encode(text, add_special_tokens=False).ids


def spell(folder: Path, ids: list[int]) -> str:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(folder / "tokenizer.json")).decode(ids, skip_special_tokens=False)


def write(text: str, field: str = "text") -> str:
    return json.dumps({field: text}, ensure_ascii=False, separators=(",", ":"))


# ---- token ids


def test_a_token_is_paired_with_the_one_before_it() -> None:
    ids = pl.Series([[5, 7, 9], [1], [], None, [2, 2]], dtype=pl.List(pl.Int32))
    assert pair_tokens(ids).rows() == [(0, 5, 7), (0, 7, 9), (4, 2, 2)]


# ---- texts


@pytest.mark.parametrize("text", TEXTS)
def test_the_tokens_of_a_value_spell_its_escaped_text(folder: Path, text: str) -> None:
    """All but a last letter of which some bytes share a token with the end of the record."""
    found = tokenize_values(pl.Series([text]), folder)
    spelled, written = spell(folder, found["token"].to_list()).rstrip("\ufffd"), json.dumps(text, ensure_ascii=False)
    assert written[1:-1].startswith(spelled)
    assert len(spelled) >= len(written) - 4


def test_the_first_pair_has_the_token_before_the_value(folder: Path) -> None:
    found = tokenize_values(pl.Series(["Where is my parcel?"]), folder)
    assert spell(folder, [found["previous"][0]]).endswith('"')
    assert spell(folder, [found["token"][0]]).startswith("W")
    assert found["previous"][1:].to_list() == found["token"][:-1].to_list()


def test_a_token_that_reaches_over_the_end_does_not_count(folder: Path) -> None:
    """`?"}` is one token of this tokenizer, `?","` is not."""
    text = "Where is my parcel?"
    assert spell(folder, encode(folder, write(text))[-1:]) == '?"}'
    assert spell(folder, tokenize_values(pl.Series([text]), folder)["token"].to_list()) == text[:-1]
    assert spell(folder, tokenize_values(pl.Series([text]), folder, last=False)["token"].to_list()) == text


def test_texts_without_words_have_no_pairs(folder: Path) -> None:
    found = tokenize_values(pl.Series([None, "", "Where is it?"], dtype=pl.String), folder)
    assert found["record"].unique().to_list() == [2]
    assert tokenize_values(pl.Series([], dtype=pl.String), folder).height == 0


def test_a_text_that_stood_alone_has_no_quotes_around_it(folder: Path) -> None:
    found = tokenize_values(pl.Series(['a "b" c']), folder, field=None)
    assert spell(folder, [found["previous"][0], *found["token"]]) == 'a "b" c'


def test_long_texts_are_not_cut(folder: Path) -> None:
    assert tokenize_values(pl.Series(["parcel " * 500]), folder).height >= 500


# ---- answers


@settings(max_examples=60)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_an_answer_in_the_tokenizers_own_cut_gives_the_pairs_of_its_text(folder: Path, text: str) -> None:
    answers = pl.Series([encode(folder, write(text))], dtype=pl.List(pl.Int32))
    told, read = pair_answers(answers, ["text"], folder), tokenize_values(pl.Series([text]), folder)
    assert told.rows() == read.rows()


def test_only_the_wanted_fields_of_an_answer_count(folder: Path) -> None:
    content = {
        "id": "text",
        "n": 3,
        "note": '"text":"no"',
        "text": "Where is it?",
        "tags": ["text", "more"],
        "messages": [{"role": "user", "content": 'see "text": now'}, {"role": "assistant", "content": "ok"}],
    }
    ids = pl.Series([encode(folder, json.dumps(content, separators=(",", ":")))], dtype=pl.List(pl.Int32))
    assert "Where is it" in spell(folder, pair_answers(ids, ["text"], folder)["token"].to_list())
    said = spell(folder, pair_answers(ids, ["content"], folder)["token"].to_list())
    assert said.startswith("see") and "now" in said and "ok" in said and "Where" not in said
    assert pair_answers(ids, ["tags"], folder).height == 0


def test_an_answer_that_was_cut_short_or_is_not_known_has_no_pairs_of_the_open_value(folder: Path) -> None:
    whole = encode(folder, write("Where is my parcel?"))
    ids = pl.Series([whole[:-1], None, []], dtype=pl.List(pl.Int32))
    assert pair_answers(ids, ["text"], folder).height == 0


# ---- the tokenizer


def test_the_file_may_be_named_instead_of_its_folder(folder: Path) -> None:
    texts = pl.Series(["Where is it?"])
    assert tokenize_values(texts, folder / "tokenizer.json").equals(tokenize_values(texts, folder))


def test_a_missing_or_broken_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"tokenizer\.json: there is no such file; name the folder of the model"):
        tokenize_values(pl.Series(["x"]), tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(EngineError, match="no tokenizer can be read"):
        tokenize_values(pl.Series(["x"]), tmp_path)


def test_without_the_package_the_error_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from synth_assets.generation.watermark import tokens

    tokens._load_tokenizer.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(EngineError, match=r"pip install .*\[watermark\]"):
        tokenize_values(pl.Series(["x"]), folder)
