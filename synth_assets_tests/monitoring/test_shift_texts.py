from __future__ import annotations

import polars as pl
import pytest

from synth_assets.monitoring.shift.strata import Matched, pair_strata
from synth_assets.monitoring.shift.texts import SHAPES, Texts
from synth_assets.spec import FieldSpec, QualitySpec

FIELD = FieldSpec(name="text", type="text")


def match(real: list[str], synthetic: list[str]) -> Matched:
    sides = [
        pl.DataFrame({"example_id": [f"{name}{i}" for i in range(len(texts))], "stratum": "all", "text": texts})
        for name, texts in (("r", real), ("s", synthetic))
    ]
    return pair_strata(*sides, seed=0).matched


def read_shapes(text: str) -> dict[str, int]:
    matched = match([text] * 5, [text] * 5)
    counts = Texts.read(matched, FIELD).shapes[0]
    return {name: int(count) for name, count in zip(SHAPES, counts, strict=True) if count}


def test_tokens_are_told_by_their_shape():
    # with fewer than 50 words all of them are function words, so only signs, and words by name, are told here
    assert read_shapes("Why? (12, 3)\n") == {
        "function word": 3, "end of sentence": 1, "comma": 1, "quote or bracket": 2, "line break": 1,
    }  # fmt: skip


def test_rare_words_are_told_by_their_letters():
    fillers = " ".join(f"{a}{b}" for a in "bcdfghjklm" for b in "aeiou")
    texts = [f"{fillers} {fillers}"] * 19
    odd = "Berlin NATO 2024 b2b tiny singular extraordinary 你"
    matched = match([*texts, odd], [*texts, odd])
    place = matched.rows["text"].to_list().index(odd)
    found = dict(zip(SHAPES, Texts.read(matched, FIELD).shapes[place].astype(int).tolist(), strict=True))
    assert {name: count for name, count in found.items() if count} == {
        "Capitalized": 1, "UPPER": 1, "number": 1, "letters and digits": 1, "short word": 2, "word": 1, "long word": 1,
    }  # fmt: skip


def test_words_are_counted_in_lower_case_and_the_most_frequent_come_first():
    texts = Texts.read(match(["Pay pay card"] * 6, ["pay"] * 6), FIELD)
    assert texts.vocabulary.to_list() == ["pay", "card"]
    assert texts.words.toarray()[0].tolist() == [2, 1]
    assert texts.presence.toarray()[0].tolist() == [1, 1]


def judge(real: list[str], synthetic: list[str]) -> dict[str, float]:
    matched = match(real, synthetic)
    return {finding.metric: finding.value for finding in Texts.read(matched, FIELD).judge(matched, QualitySpec())}  # type: ignore[misc]


def test_the_most_telling_word_is_named_with_its_phi():
    real, made = ["pay by card"] * 50, ["pay by card"] * 40 + ["pay by cheque"] * 10
    matched = match(real, made)
    texts = Texts.read(matched, FIELD)
    found = {finding.metric: finding for finding in texts.judge(matched, QualitySpec())}
    # 2 × 2 table [[50, 0], [40, 10]]: φ = (50·10 − 0·40) / √(50·50·90·10)
    assert found["word_phi"].value == pytest.approx(1 / 3)  # type: ignore[union-attr]
    assert "'card'" in found["word_phi"].note or "'cheque'" in found["word_phi"].note
    shown = texts.show_words(matched)
    assert any(row["note"] == "text: 'cheque' in 0.0% of real and 20.0% of synthetic texts" for row in shown)
    assert all(row["example_id"].startswith("s") for row in shown)


def test_new_words_are_those_no_real_text_holds():
    assert judge(["a b", "c d"] * 10, ["a b", "x y"] * 10)["new_word_share"] == pytest.approx(0.5)
    assert judge(["a b", "c d"] * 10, ["a b", "c c"] * 10)["new_word_share"] == 0


def test_texts_without_a_word_are_not_measured():
    matched = match(["a b"] * 10, ["…"] * 10)
    (metric,) = Texts.read(matched, FIELD).judge(matched, QualitySpec())
    assert metric.note == "not measured: a side has no words"
