"""Vectors tell texts apart by what they say, unknown words included; neighbors are those of brute force."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth_assets import embeddings
from synth_assets.embeddings import Neighbors, TfidfEmbedder, load_embedder
from synth_assets.errors import EngineError
from synth_assets.similarity import texts as texts_of

SEEDS = pl.Series(
    [
        f"{start} {verb} {end}"
        for start in ("how do i", "can i", "i want to", "please help me to", "why can i not")
        for verb in ("pay with", "order", "cancel", "activate", "replace", "track")
        for end in ("a card", "my new card", "the virtual card", "a transfer", "my account", "the direct debit")
    ]
)


@pytest.fixture(scope="module")
def embedder() -> TfidfEmbedder:
    return TfidfEmbedder.fit(SEEDS)


def cosine(embedder: TfidfEmbedder, one: str, two: str) -> float:
    a, b = embedder.embed(pl.Series([one, two]))
    return float(a @ b)


# ---- vectors


def test_a_text_is_a_unit_vector_and_no_text_is_zeros(embedder: TfidfEmbedder) -> None:
    vectors = embedder.embed(pl.Series(["how do i pay", "", None, "zzz", "€"]))
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1).tolist() == pytest.approx([1, 0, 0, 1, 1], abs=1e-5)


def test_reordered_words_are_nearer_than_other_words(embedder: TfidfEmbedder) -> None:
    text = "please help me to cancel the direct debit"
    assert cosine(embedder, text, "the direct debit, please help me to cancel") > 0.9
    assert cosine(embedder, text, "please help me to activate the virtual card") < 0.75


def test_a_word_that_no_seed_holds_tells_two_texts_apart(embedder: TfidfEmbedder) -> None:
    one, two = "how do i pay with a card", "how do i pay with a palladium card"
    assert cosine(embedder, one, two) < 0.97
    assert cosine(embedder, two, two) == pytest.approx(1)


def test_vectors_do_not_depend_on_the_texts_beside_them(
    embedder: TfidfEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = embedder.embed(SEEDS)
    monkeypatch.setattr(texts_of, "_CHUNK_CHARACTERS", 200)
    assert np.abs(embedder.embed(SEEDS) - whole).max() < 1e-6


def test_a_fit_again_gives_the_same_vectors(embedder: TfidfEmbedder) -> None:
    assert np.abs(TfidfEmbedder.fit(SEEDS).embed(SEEDS) @ embedder.embed(SEEDS).T - _products(embedder)).max() < 1e-5


def _products(embedder: TfidfEmbedder) -> np.ndarray:
    vectors = embedder.embed(SEEDS)
    return vectors @ vectors.T


def test_only_a_sample_of_many_texts_is_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "_FIT_TEXTS", 50)
    fitted = TfidfEmbedder.fit(SEEDS)
    assert fitted.components.shape[1] < 50
    assert cosine(fitted, SEEDS[0], SEEDS[-1]) < 0.9


@pytest.mark.parametrize("seeds", [[], [None, ""], ["one text"]])
def test_without_texts_to_fit_on_the_words_themselves_are_compared(seeds: list[str | None]) -> None:
    fitted = TfidfEmbedder.fit(pl.Series(seeds, dtype=pl.String))
    assert cosine(fitted, "how do i pay", "how do i pay") == pytest.approx(1)
    assert abs(cosine(fitted, "how do i pay", "where has it gone")) < 0.5


# ---- neighbors


def brute_additions(known: np.ndarray, vectors: np.ndarray, threshold: float) -> list[bool]:
    """Which vectors are kept if each is compared with all known and kept before."""
    pool, kept = list(known), []
    for vector in vectors:
        new = bool(vector.any()) and all(float(vector @ other) < threshold for other in pool)
        kept.append(new)
        pool += [vector] if new else []
    return kept


def directions(count: int, seed: int) -> np.ndarray:
    """Unit vectors around a few centers, so that many are alike; the first of every seven is zero."""
    chance = np.random.default_rng(seed)
    centers = chance.normal(size=(4, 9))
    vectors = centers[chance.integers(0, 4, count)] + chance.normal(scale=0.4, size=(count, 9))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[::7] = 0
    return vectors.astype(np.float32)


@given(st.integers(0, 30), st.integers(0, 40), st.integers(0, 1000), st.sampled_from([0.6, 0.9, 0.97]))
def test_what_is_kept_and_matched_is_that_of_brute_force(known: int, count: int, seed: int, threshold: float) -> None:
    vectors = directions(known + count, seed)
    old, new = vectors[:known], vectors[known:]
    with pytest.MonkeyPatch.context() as patch:
        for name, size in (("_BLOCK", 7), ("_TILE", 5), ("_CELLS", 4)):
            patch.setattr(embeddings, name, size)
        neighbors = Neighbors(threshold)
        neighbors.add(old)
        is_added, place, cosines = neighbors.add_new(new)
    kept = brute_additions(old, new, threshold)
    assert is_added.tolist() == kept
    assert len(neighbors) == known + sum(kept)
    pool = np.concatenate([old, new[is_added]])
    for row in np.flatnonzero(~is_added):
        if new[row].any():
            assert cosines[row] == pytest.approx(float(new[row] @ pool[place[row]]), abs=1e-6)
            assert cosines[row] >= threshold
        else:
            assert (place[row], cosines[row]) == (-1, 0)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 1000))
def test_the_nearest_of_the_known_is_found(known: int, count: int, seed: int) -> None:
    old, new = directions(known, seed), directions(count, seed + 1)
    with pytest.MonkeyPatch.context() as patch:
        for name, size in (("_BLOCK", 7), ("_TILE", 5), ("_CELLS", 4)):
            patch.setattr(embeddings, name, size)
        neighbors = Neighbors(0.8)
        for start in range(0, known, 3):
            neighbors.add(old[start : start + 3])
        place, cosines = neighbors.find(new)
    products = new.astype(np.float64) @ old.astype(np.float64).T
    nearest = products.max(axis=1)
    clear = np.abs(nearest - 0.8) > 1e-6
    assert cosines[clear].tolist() == pytest.approx(np.where(nearest >= 0.8, nearest, 0)[clear].tolist(), abs=1e-6)
    found = np.flatnonzero(place >= 0)
    assert products[found, place[found]].tolist() == pytest.approx(cosines[found].tolist(), abs=1e-6)


# ---- models


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"embedding_model: there is no folder .*models/none"):
        load_embedder("./models/none", tmp_path)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("sentence_transformers", "model2vec"):
        monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    with pytest.raises(EngineError, match="pip install sentence-transformers"):
        load_embedder("sentence-transformers/all-MiniLM-L6-v2", tmp_path)


@pytest.mark.parametrize("package", ["model2vec", "sentence_transformers"])
def test_a_folder_without_a_model_is_told_as_such(package: str, tmp_path: Path) -> None:
    pytest.importorskip(package)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps({"model_type": package}))
    with pytest.raises(EngineError, match="embedding_model: model cannot be loaded"):
        load_embedder("model", tmp_path)


def test_a_static_model_is_loaded_from_its_folder(tmp_path: Path) -> None:
    model2vec = pytest.importorskip("model2vec")
    words = ["[UNK]", "pay", "card", "where"]
    model2vec.StaticModel(np.eye(4, dtype=np.float32), _word_tokenizer(words)).save_pretrained(tmp_path / "static")
    check_words(tmp_path, "static")


def test_a_sentence_transformer_is_loaded_from_its_folder(tmp_path: Path) -> None:
    package = pytest.importorskip("sentence_transformers")
    from sentence_transformers.models import StaticEmbedding  # pyright: ignore[reportMissingImports]

    words = ["[UNK]", "pay", "card", "where"]
    module = StaticEmbedding(_word_tokenizer(words), embedding_weights=np.eye(4, dtype=np.float32))
    package.SentenceTransformer(modules=[module], device="cpu").save(str(tmp_path / "sentences"))
    check_words(tmp_path, "sentences")


def check_words(root: Path, name: str) -> None:
    vectors = load_embedder(name, root).embed(pl.Series(["pay card", "card pay", "where", "", None]))
    assert (vectors @ vectors.T)[0].tolist() == pytest.approx([1, 1, 0, 0, 0], abs=1e-5)
    assert not vectors[3:].any()


def _word_tokenizer(words: list[str]) -> object:
    import tokenizers
    from tokenizers.models import WordLevel

    tokenizer = tokenizers.Tokenizer(WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()  # type: ignore[assignment]
    return tokenizer
