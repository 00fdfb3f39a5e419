"""Whether a corpus still says as many different things: variety and coverage of embeddings.

Here: Vendi score and coverage of the anchor at equal numbers of texts. Not here: the embeddings (embeddings.py), words
(texts), which fall earlier: meaning is the last that goes (Guo 2023, arXiv 2311.09807).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from synth_assets.embeddings import Embedder, TfidfEmbedder, load_embedder
from synth_assets.monitoring.collapse.case import (
    DRAWS,
    FEW_DRAWS,
    MIN_ROWS,
    Case,
    Findings,
    fall,
    judge_drop,
    judge_share,
    soften,
)
from synth_assets.monitoring.collapse.texts import Texts
from synth_assets.monitoring.diversity import measure_coverage, measure_vendi
from synth_assets.monitoring.measures import Metric, find_null_interval

TEXTS = 500
"""Texts a side; the Vendi score is at most as many."""
POOL = 4
"""Times as many texts are embedded, of which every draw takes its own."""


def measure_semantics(case: Case, label: str, texts: Texts, root: Path) -> Findings:
    """Return vendi_score, vendi_drop and semantic_coverage, and the history of the first; see measure_collapse."""
    docs = texts.synthetic.get(case.current, texts.anchor[:0])
    size = min(TEXTS, len(texts.anchor) // 2, len(docs))
    if size < MIN_ROWS:
        note = f"not measured: {MIN_ROWS} synthetic texts and twice as many real ones are needed"
        return [Metric("vendi_score", field=label, note=note)], []
    embedder = _open_embedder(case, texts, root)
    rng = case.random("vendi")

    def embed(docs: np.ndarray) -> np.ndarray:
        return embedder.embed(texts.texts.gather(rng.permutation(docs)[: POOL * size]).str.to_lowercase())

    def draw(pool: np.ndarray) -> np.ndarray:
        return rng.permutation(pool)[:size]

    real = embed(texts.anchor)
    halves = [np.split(rng.permutation(real)[: 2 * size], 2) for _ in range(DRAWS)]
    null = np.array([[measure_vendi(half) for half in pair] for pair in halves[:FEW_DRAWS]])
    center, (low, high) = float(null.mean()), find_null_interval(null.ravel())
    roof = find_null_interval((fall(null, null[:, ::-1])).ravel())[1]
    metrics, history = [], []
    made = real[:0]
    for prefix, sets in texts.sets:
        pools = {name: embed(part) for name, part in sets.items() if len(part) >= size}
        made = pools[case.current]
        scores = {name: float(np.mean([measure_vendi(draw(pools[name])) for _ in range(FEW_DRAWS)])) for name in pools}
        history += [case.history(name, value, f"{prefix}vendi_score", label) for name, value in scores.items()]
        value = scores[case.current]
        drop = float(fall(value, center))
        note = f"{size} texts; real against real {center:.4g}"
        metrics += [
                Metric(f"{prefix}vendi_score", value, label, null_low=low, null_high=high, note=note),
                Metric(
                    f"{prefix}vendi_drop", drop, label, null_high=roof, threshold=case.spec.quality.distinct_2_drop,
                    level=soften(judge_drop(drop, case, roof), prefix), note=note,
                ),
            ]  # fmt: skip
    covered = [(measure_coverage(first, second), measure_coverage(first, draw(made))) for first, second in halves]
    by_real, by_made = zip(*covered, strict=True)
    note = f"real texts with a synthetic one among what is nearest to them, {size} a side"
    return [*metrics, judge_share(case, "semantic_coverage", label, by_real, by_made, note)], history


def _open_embedder(case: Case, texts: Texts, root: Path) -> Embedder:
    model = case.spec.quality.embedding_model
    if model is not None:
        return load_embedder(model, root)
    # of every side: texts that the fit has not seen look more alike than those it has
    fitted = np.concatenate([texts.anchor, *texts.corpus.values()])
    return TfidfEmbedder.fit(texts.texts.gather(fitted).str.to_lowercase())
