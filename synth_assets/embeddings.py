"""Texts as vectors whose inner product says how much two texts say the same.

Here: TF-IDF reduced by SVD, which needs no download; sentence-embedding models by sentence-transformers or model2vec;
nearest neighbors, exact and in bounded memory. Not here: what a stage does with a neighbor
(discriminators/semantic.py), texts that are alike letter by letter (similarity/).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl

from synth_assets.errors import EngineError
from synth_assets.records import derive_seed
from synth_assets.similarity import chunk_texts, hash_shingles, hash_words, keep_first, map_threads

DIMENSIONS = 256
"""Dimensions of the SVD, and as many again for what it leaves out."""
REMAINDER = 0.3
"""Weight of what the SVD leaves out: words too rare, or unknown, to have a direction of their own there."""

_FIT_TEXTS = 4096  # texts that idf and SVD are fitted on at most
_FEATURE_BITS = 20  # a feature is a hash of so many bits
_MOST_FEATURES = 1 << 14  # with a part in the SVD: the most frequent ones
_PAIR = np.uint64(0x9E3779B97F4A7C15)
_HUB_NAME = re.compile(r"\w[\w.-]*(/[\w.-]+)?")
_BLOCK, _TILE = 2048, 8192  # new vectors × known ones compared at a time
_CELLS = 1 << 14  # pairs compared exactly at a time
_HEAD = 4  # one of so many dimensions is enough to rule most pairs out
_SLACK = 1e-4  # what a product of float32 may be off


class Embedder(Protocol):
    """Turns texts into vectors."""

    def embed(self, texts: pl.Series) -> np.ndarray:
        """Return one unit vector a text, float32, shape (texts, dimensions); zeros for a null or empty text."""
        ...


# ---- without a model


@dataclass(frozen=True)
class TfidfEmbedder:
    """Latent semantic analysis (Deerwester et al. 1990) that does not lose the rare word.

    A text is its TF-IDF vector of words, word pairs and runs of 3–5 characters, each family of unit length, as hashed
    features. The SVD keeps `components`; the remainder, which holds rare and unknown words, is summed by hash into as
    many dimensions (count sketch: Charikar, Chen & Farach-Colton 2002; inner products are kept on average) and weighs
    REMAINDER. Without it "pay by card" and "pay by palladium card" would be one text to an SVD that has
    never read of palladium.

    idf         inverse document frequency of every feature, shape (2^20,), float32
    places      a feature's place in `components`, −1 for none, shape (2^20,), int32
    components  right singular vectors, shape (features, ≤ DIMENSIONS), float32
    """

    idf: np.ndarray
    places: np.ndarray
    components: np.ndarray

    @classmethod
    def fit(cls, texts: pl.Series) -> TfidfEmbedder:
        """Fit on the distinct texts (normalized; of more than 4,096, a fixed sample)."""
        distinct = texts.filter(texts != "").unique(maintain_order=True)
        if len(distinct) > _FIT_TEXTS:
            places = np.random.default_rng(derive_seed("embeddings", "sample")).permutation(len(distinct))
            distinct = distinct.gather(np.sort(places[:_FIT_TEXTS]))
        families = _count_features(distinct)
        held = np.bincount(np.concatenate([family.indices for family in families]), minlength=1 << _FEATURE_BITS)
        idf = (np.log((1 + len(distinct)) / (1 + held)) + 1).astype(np.float32)
        shared = np.flatnonzero(held >= 2)
        shared = np.sort(shared[np.argsort(-held[shared], kind="stable")[:_MOST_FEATURES]])
        places = np.full(len(held), -1, dtype=np.int32)
        places[shared] = np.arange(len(shared))
        unfitted = cls(idf, places, np.empty((len(shared), 0), dtype=np.float32))
        return replace(unfitted, components=_find_components(unfitted._select(unfitted._weigh(families))))

    def embed(self, texts: pl.Series) -> np.ndarray:
        texts = texts.fill_null("")
        found = map_threads(lambda chunk: self._embed(texts[slice(*chunk)]), chunk_texts(texts))
        width = self.components.shape[1] + DIMENSIONS
        vectors = np.concatenate([np.empty((0, width), dtype=np.float32), *found])
        vectors[(texts == "").to_numpy()] = 0
        return vectors

    def _embed(self, texts: pl.Series) -> np.ndarray:
        weighed = self._weigh(_count_features(texts))
        reduced = self._select(weighed) @ self.components
        remainder = (weighed @ self._sketch).toarray() - reduced @ self._sketched_components
        return _normalize_rows(np.concatenate([reduced, REMAINDER * remainder], axis=1))

    def _weigh(self, families: list[Any]) -> Any:
        """Return one CSR matrix of the families' TF-IDF vectors: 1 + log of the count, times idf, to unit length."""
        weighed = []
        for family in families:
            values = (1 + np.log(family.data)) * self.idf[family.indices]
            rows = np.repeat(np.arange(family.shape[0]), np.diff(family.indptr))
            values /= np.sqrt(np.bincount(rows, values**2)).astype(np.float32)[rows]
            weighed.append(_compressed(values, family.indices, family.indptr, family.shape[1]))
        return sum(weighed[1:], start=weighed[0])

    def _select(self, weighed: Any) -> Any:
        """Return the columns that have a part in the SVD."""
        place = self.places[weighed.indices]
        known = place >= 0
        borders = np.append(0, np.cumsum(known))[weighed.indptr]
        return _compressed(weighed.data[known], place[known], borders, len(self.components))

    @cached_property
    def _sketch(self) -> Any:
        """Return one dimension and sign a feature as a CSR matrix, shape (2^20, DIMENSIONS)."""
        chance = np.random.default_rng(derive_seed("embeddings", "sketch"))
        features = len(self.idf)
        signs = chance.choice(np.array([-1, 1], dtype=np.float32), features)
        columns = chance.integers(0, DIMENSIONS, features, dtype=np.int32)
        return _compressed(signs, columns, np.arange(features + 1), DIMENSIONS)

    @cached_property
    def _sketched_components(self) -> np.ndarray:
        return (self._sketch[np.flatnonzero(self.places >= 0)].T @ self.components).T


def _find_components(weighed: Any) -> np.ndarray:
    """Return the right singular vectors of the largest singular values, shape (features, ≤ DIMENSIONS), float32."""
    from sklearn.decomposition import TruncatedSVD

    most = min(DIMENSIONS, *(size - 1 for size in weighed.shape))
    if most < 1:
        return np.empty((weighed.shape[1], 0), dtype=np.float32)
    seed = derive_seed("embeddings", "svd") % (1 << 32)
    svd: Any = TruncatedSVD(most, n_iter=2, random_state=seed).fit(weighed)
    return svd.components_.T.astype(np.float32, order="C")


def _count_features(texts: pl.Series) -> list[Any]:
    """Return two CSR matrices of counts, shape (texts, 2^20): words and word pairs, and runs of 3–5 characters."""
    tokens, rows = hash_words(texts)
    pairs = np.flatnonzero(rows[1:] == rows[:-1])
    words = [(tokens, rows), (tokens[pairs] * _PAIR + tokens[pairs + 1], rows[pairs])]
    runs = []
    for size in (3, 4, 5):
        hashes, counts = hash_shingles(texts, size)
        runs.append((hashes, np.repeat(np.arange(len(texts)), counts)))
    return [_count(words, len(texts)), _count(runs, len(texts))]


def _count(features: list[tuple[np.ndarray, np.ndarray]], texts: int) -> Any:
    """Return how often each text holds each feature; features come as (64-bit hashes, the row of each)."""
    bits = np.uint64(_FEATURE_BITS)
    codes = [rows.astype(np.uint64) << bits | hashes >> (np.uint64(64) - bits) for hashes, rows in features]
    counted = pl.Series("code", np.concatenate(codes)).sort().rle().struct.unnest()
    code = counted["value"].to_numpy()
    borders = np.searchsorted(code, np.arange(texts + 1, dtype=np.uint64) << bits)
    columns = (code & np.uint64((1 << _FEATURE_BITS) - 1)).astype(np.int32)
    return _compressed(counted["len"].to_numpy().astype(np.float32), columns, borders, 1 << _FEATURE_BITS)


def _compressed(values: np.ndarray, columns: np.ndarray, borders: np.ndarray, width: int) -> Any:
    from scipy.sparse import csr_array

    return csr_array((values, columns, borders), shape=(len(borders) - 1, width))


# ---- with a model


@dataclass(frozen=True)
class ModelEmbedder:
    """A sentence-embedding model; `encode` takes texts and returns one vector each."""

    encode: Callable[[list[str]], Any]

    def embed(self, texts: pl.Series) -> np.ndarray:
        told = texts.fill_null("")
        vectors = _normalize_rows(np.asarray(self.encode(told.to_list()), dtype=np.float32))
        return np.where((told == "").to_numpy()[:, None], np.float32(0), vectors)


def load_embedder(model: str, root: Path) -> ModelEmbedder:
    """Load a model's folder, relative to `root`, or hub name by sentence-transformers, static models by model2vec.

    A name is downloaded by the hub's own rules: HF_HUB_OFFLINE=1 keeps to what is on this disk. EngineError if
    neither package is installed, or there is no such model.
    """
    folder = root / Path(model).expanduser()
    if not folder.is_dir() and not _HUB_NAME.fullmatch(model):
        raise EngineError(
            f"quality.embedding_model: there is no folder {folder}; give the folder of a sentence-embedding model or a "
            "hub name such as sentence-transformers/all-MiniLM-L6-v2"
        )
    loaders = [_load_sentence_transformer, _load_static_model]
    if _is_static(folder):
        loaders.reverse()
    place = str(folder) if folder.is_dir() else model
    for load in loaders:
        try:
            return ModelEmbedder(load(place))
        except ImportError:
            continue
        except Exception as error:  # each package, and the hub below it, has its own
            offline = " (HF_HUB_OFFLINE is set: only models on this disk are found)" if _is_offline() else ""
            raise EngineError(f"quality.embedding_model: {model} cannot be loaded{offline}: {error}") from error
    raise EngineError(
        f"quality.embedding_model: {model} needs a package that is not installed: pip install sentence-transformers "
        "(or model2vec, for its static models), or leave the setting out"
    )


def _load_sentence_transformer(place: str) -> Callable[[list[str]], Any]:
    from sentence_transformers import SentenceTransformer  # pyright: ignore[reportMissingImports]

    model = SentenceTransformer(place)
    return lambda texts: model.encode(texts, convert_to_numpy=True, show_progress_bar=False)


def _load_static_model(place: str) -> Callable[[list[str]], Any]:
    from model2vec import StaticModel  # pyright: ignore[reportMissingImports]

    return StaticModel.from_pretrained(place).encode


def _is_static(folder: Path) -> bool:
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"] == "model2vec"
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _is_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


# ---- neighbors


class Neighbors:
    """Known unit vectors, and which new ones have a cosine of at least `threshold` (> 0) with one of them.

    Exact, by blocked products: the first quarter of the dimensions and the length of the rest bound the cosine
    (Cauchy–Schwarz), and only what that cannot rule out is compared in full. Time grows with the square of the number
    of vectors, memory with the number of those known.
    """

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self._tiles: list[_Tile] = []

    def __len__(self) -> int:
        return sum(len(tile.vectors) for tile in self._tiles)

    def add(self, vectors: np.ndarray) -> None:
        """Make vectors known, in order, whether or not others are like them."""
        if self._tiles and len(self._tiles[-1].vectors) < _TILE:
            vectors = np.concatenate([self._tiles.pop().vectors, vectors])
        self._tiles += [_Tile.of(vectors[start : start + _TILE]) for start in range(0, len(vectors), _TILE)]

    def find(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the known vector most like each (its number, −1 for none; int64) and their cosine (0 for none)."""
        place, cosine = np.full(len(vectors), -1, dtype=np.int64), np.zeros(len(vectors))
        for start in range(0, len(vectors), _BLOCK):
            block, first = _Tile.of(vectors[start : start + _BLOCK]), 0
            for tile in self._tiles:
                row, known, alike = _find_alike(block, tile, self.threshold)
                best = np.lexsort((known, -alike, row))
                best = best[np.diff(row[best], prepend=-1) > 0]
                best = best[alike[best] > cosine[start + row[best]]]
                place[start + row[best]], cosine[start + row[best]] = first + known[best], alike[best]
                first += len(tile.vectors)
        return place, cosine

    def add_new(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Add the vectors, in order, that none known or added before is like; zeros are like nothing, and not added.

        Return which were added (bool), and of the others the known vector and cosine as `find` does.
        """
        is_added = np.zeros(len(vectors), dtype=bool)
        place, cosine = np.full(len(vectors), -1, dtype=np.int64), np.zeros(len(vectors))
        for start in range(0, len(vectors), _BLOCK):
            block = vectors[start : start + _BLOCK]
            found, alike = self.find(block)
            fresh = np.flatnonzero((found < 0) & block.any(axis=1))
            tile = _Tile.of(block[fresh])
            left, right, within = _find_alike(tile, tile, self.threshold)
            pairs = pl.DataFrame({"left": left, "right": right, "jaccard": within})
            dropped = keep_first(pairs.filter(pl.col("left") < pl.col("right")))
            is_kept = np.ones(len(fresh), dtype=bool)
            is_kept[dropped["right"].to_numpy()] = False
            number = len(self) + np.cumsum(is_kept) - 1
            repeats = fresh[dropped["right"].to_numpy()]
            found[repeats], alike[repeats] = number[dropped["left"].to_numpy()], dropped["jaccard"].to_numpy()
            place[start : start + _BLOCK], cosine[start : start + _BLOCK] = found, alike
            is_added[start + fresh[is_kept]] = True
            self.add(block[fresh[is_kept]])
        return is_added, place, cosine


@dataclass(frozen=True)
class _Tile:
    """Vectors, and of each its first dimensions and the length of the rest: products of `heads` are upper bounds."""

    vectors: np.ndarray
    heads: np.ndarray

    @classmethod
    def of(cls, vectors: np.ndarray) -> _Tile:
        width = -(-vectors.shape[1] // _HEAD)
        rest = np.linalg.norm(vectors[:, width:], axis=1, keepdims=True)
        return cls(vectors, np.concatenate([vectors[:, :width], rest], axis=1))


def _find_alike(one: _Tile, two: _Tile, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs of at least that cosine: row of one, row of two, cosine (float64)."""
    if not len(one.vectors) or not len(two.vectors):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0)
    cells = np.flatnonzero(one.heads @ two.heads.T >= threshold - _SLACK)
    rows, columns = np.divmod(cells, len(two.vectors))
    cosines = np.empty(len(cells))
    for start in range(0, len(cells), _CELLS):
        part = slice(start, start + _CELLS)
        a, b = one.vectors[rows[part]], two.vectors[columns[part]]
        cosines[part] = np.einsum("ij,ij->i", a, b, dtype=np.float64)
    alike = cosines >= threshold
    return rows[alike], columns[alike], np.minimum(cosines[alike], 1.0)


def _normalize_rows(vectors: np.ndarray) -> np.ndarray:
    """Return rows of unit length as float32; zeros stay zeros."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0).astype(np.float32, copy=False)
