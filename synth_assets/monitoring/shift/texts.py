"""What stands inside texts: words, the shapes of words, and how many texts hold a word.

Here: word counts and statistics of them under labels dealt out anew text by text, since the words of one text are
not independent. Not here: lengths (fields), meaning (joint).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from synth_assets.monitoring.distances import measure_cramers_v, measure_js_distance, measure_psi
from synth_assets.monitoring.diversity import TOKEN_PATTERN
from synth_assets.monitoring.features import read_text
from synth_assets.monitoring.measures import Metric
from synth_assets.monitoring.shift.null import Finding
from synth_assets.monitoring.shift.strata import Matched
from synth_assets.spec import FieldSpec, QualitySpec

VOCABULARY = 500
FUNCTION_WORDS = 50
OTHER = "(other)"
SHAPES = (
    "function word", "short word", "word", "long word", "Capitalized", "UPPER", "number", "letters and digits",
    "end of sentence", "comma", "quote or bracket", "other sign", "line break",
)  # fmt: skip

_PATTERN = f"{TOKEN_PATTERN}|[^\\w\\s]|\\n"
_COLUMNS = 4_096


@dataclass(frozen=True)
class Texts:
    """The texts of matched rows as counts.

    words: CSR matrix (texts, distinct words in lower case), the most frequent first. shapes: (texts, len(SHAPES)).
    Function words are the 50 most frequent words of all these texts, in whatever language; others are told by their
    letters.
    """

    field: str
    words: Any
    vocabulary: pl.Series
    shapes: np.ndarray

    @classmethod
    def read(cls, matched: Matched, item: FieldSpec) -> Texts:
        from scipy import sparse

        texts = read_text(matched.rows, [item])
        frame = pl.DataFrame({"text": np.arange(len(texts)), "token": texts}).select(
            "text", pl.col("token").fill_null("").str.extract_all(_PATTERN)
        )
        flat = frame.explode("token").drop_nulls("token")
        tokens = (
            flat.group_by("token").len().with_columns(lower=pl.col("token").str.to_lowercase(), shape=_find_shape())
        )
        is_word = pl.col("shape") < _SIGNS
        words = tokens.filter(is_word).group_by("lower").agg(pl.col("len").sum())
        words = words.sort("len", "lower", descending=[True, False]).with_row_index("id")
        tokens = tokens.join(words.select("lower", "id"), on="lower", how="left").with_columns(
            shape=pl.when(is_word & (pl.col("id") < FUNCTION_WORDS)).then(0).otherwise("shape"),
            id=pl.when(is_word).then("id").cast(pl.Int64),
        )
        flat = flat.join(tokens.select("token", "shape", "id"), on="token", how="left", maintain_order="left")
        rows = flat["text"].to_numpy()
        shapes = np.bincount(rows * len(SHAPES) + flat["shape"].to_numpy(), minlength=len(texts) * len(SHAPES))
        held = flat.filter(pl.col("id").is_not_null())
        counts = sparse.csr_array(
            (np.ones(held.height, np.float32), (held["text"].to_numpy(), held["id"].to_numpy())),
            shape=(len(texts), words.height),
        )
        counts.sum_duplicates()
        return cls(item.name, counts, words["lower"], shapes.reshape(len(texts), -1).astype(np.float32))

    @cached_property
    def top(self) -> Any:
        """Counts of the 500 most frequent words, CSR."""
        return self.words[:, :VOCABULARY]

    @cached_property
    def presence(self) -> Any:
        """1 where a text holds one of those words, CSR."""
        held = self.top.copy()
        held.data[:] = 1
        return held

    def name_columns(self) -> list[str]:
        return [*self.vocabulary.head(VOCABULARY).to_list(), *(f"{self.field}: {shape}" for shape in SHAPES)]

    def judge(self, matched: Matched, quality: QualitySpec) -> list[Finding | Metric]:
        """Return findings of the vocabulary, the most telling word, words that no real text holds, and shapes."""
        held = np.asarray(self.words.sum(axis=1)).ravel()
        if not all(held[matched.labels[0] == side].any() for side in (0, 1)):
            return [Metric("vocabulary_psi", field=self.field, note="not measured: a side has no words")]
        common: dict[str, Any] = {"field": self.field, **matched.sizes}
        effect: dict[str, Any] = {"watch": quality.effect_watch, "act": quality.effect_act}
        made = _sum_by(self.top, matched.labels)
        rest = (matched.labels @ held)[:, None] - made.sum(axis=1, keepdims=True)
        words = np.concatenate([made, rest], axis=1)
        pooled = np.append(np.asarray(self.top.sum(axis=0)).ravel(), held.sum() - self.top.sum())
        top = len(pooled) - 1
        findings = _compare(words, pooled, "vocabulary_", f"{top} words and {OTHER}", quality, common)
        gaps = self._compare_presence(matched)
        told = int(np.argmax(gaps[0]))
        findings.append(
            Finding(
                "word_phi",
                float(gaps[0].max()),
                gaps[1:].max(axis=1),
                **effect,
                **common,
                note=f"largest φ of a word held or not: '{self.vocabulary[told]}'",
            )
        )
        new = self._share_new(matched, held)
        center = float(new[1:].mean())
        findings.append(
            Finding(
                "new_word_share",
                float(new[0]),
                new[1:],
                act=center + quality.effect_watch,
                watch=center + quality.effect_watch / 2,
                **common,
                note=f"words of synthetic texts that no real one holds; real against real {center:.3f}",
            )
        )
        shapes = matched.labels @ self.shapes
        findings += _compare(shapes, self.shapes.sum(axis=0), "shape_", f"{len(SHAPES)} shapes", quality, common)
        return list(findings)

    def show_words(self, matched: Matched, most: int = 3) -> list[dict[str, Any]]:
        """Return the words whose presence differs most, each with a synthetic row that holds it."""
        gaps = self._compare_presence(matched, draws=False)[0]
        shares = [np.asarray(self.presence[matched.labels[0] == side].mean(axis=0)).ravel() for side in (0, 1)]
        examples = []
        for place in np.argsort(-gaps, kind="stable")[:most]:
            rows = np.flatnonzero((matched.labels[0] == 1) & (self.presence[:, [place]].toarray().ravel() > 0))
            examples.append(
                {
                    "kind": "shifted_word",
                    "example_id": matched.rows["example_id"][int(rows[0])] if len(rows) else None,
                    "value": float(shares[1][place] - shares[0][place]),
                    "note": f"{self.field}: '{self.vocabulary[int(place)]}' in {shares[0][place]:.1%} of real "
                    f"and {shares[1][place]:.1%} of synthetic texts",
                }
            )
        return examples

    def _compare_presence(self, matched: Matched, *, draws: bool = True) -> np.ndarray:
        """Return |φ| of each frequent word and side, shape (1 + DRAWS, words); both sides hold equally many texts."""
        labels = matched.labels if draws else matched.labels[:1]
        pooled = np.asarray(self.presence.sum(axis=0)).ravel()
        made = _sum_by(self.presence, labels)
        share = pooled / (2 * matched.size)
        spread = np.sqrt(np.maximum(share * (1 - share), 1e-12))
        return np.abs(2 * made - pooled) / matched.size / (2 * spread)

    def _share_new(self, matched: Matched, held: np.ndarray) -> np.ndarray:
        """Return the share of the synthetic words that no real text holds, shape (1 + DRAWS,)."""
        new = np.zeros(len(matched.labels))
        for start in range(0, self.words.shape[1], _COLUMNS):
            part = self.words[:, start : start + _COLUMNS]
            pooled = np.asarray(part.sum(axis=0)).ravel()
            made = _sum_by(part, matched.labels)
            new += np.where(made == pooled, made, 0).sum(axis=1)
        return new / np.maximum(matched.labels @ held, 1)


def _compare(
    made: np.ndarray, pooled: np.ndarray, prefix: str, note: str, quality: QualitySpec, common: dict[str, Any]
) -> list[Finding | Metric]:
    real = pooled - made
    measures = {"psi": measure_psi, "js_distance": measure_js_distance, "cramers_v": measure_cramers_v}
    findings: list[Finding | Metric] = []
    for name, measure in measures.items():
        values = measure(real, made)
        watch, act = (
            (quality.psi_watch, quality.psi_act) if name == "psi" else (quality.effect_watch, quality.effect_act)
        )
        findings.append(
            Finding(f"{prefix}{name}", float(values[0]), values[1:], watch=watch, act=act, note=note, **common)
        )
    return findings


def _sum_by(columns: Any, labels: np.ndarray) -> np.ndarray:
    """Return labels @ columns of a sparse matrix as float64, shape (labels, columns)."""
    return np.asarray((columns.T @ labels.T).T, dtype=np.float64)


_SIGNS = SHAPES.index("end of sentence")


def _find_shape() -> pl.Expr:
    """Return the place in SHAPES of a token; function words are not told here."""
    column = pl.col("token")
    matches, length = column.str.contains, column.str.len_chars()
    cases = [
        ("line break", column == "\n"),
        ("end of sentence", matches(r"^[.!?…。！？؟।]$")),
        ("comma", matches(r"^[,;:،、，；：]$")),
        ("quote or bracket", matches(r"^[\p{Ps}\p{Pe}\p{Pi}\p{Pf}\"'`]$")),
        ("other sign", matches(r"^[^\w]$")),
        ("number", matches(r"^\d+$")),
        ("letters and digits", matches(r"\d")),
        ("UPPER", (length > 1) & matches(r"^\p{Lu}+$")),
        ("Capitalized", matches(r"^\p{Lu}")),
        ("short word", length <= 4),
        ("long word", length >= 9),
    ]
    found = pl.lit(SHAPES.index("word"))
    for name, condition in reversed(cases):
        found = pl.when(condition).then(SHAPES.index(name)).otherwise(found)
    return found.cast(pl.Int64)
