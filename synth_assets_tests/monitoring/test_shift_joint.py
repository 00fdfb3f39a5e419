from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from synth_assets.monitoring.shift import joint
from synth_assets.monitoring.shift.strata import Matched, pair_strata
from synth_assets.monitoring.shift.texts import Texts
from synth_assets.spec import QualitySpec
from synth_assets_tests.monitoring.samples import CUSTOMERS, MESSAGES, make_customers, make_messages

QUALITY = QualitySpec()
NUMBERS = [field for field in CUSTOMERS.fields if field.name != "churned"]
TEXT = [field for field in MESSAGES.fields if field.is_free_text]


def match(real: pl.DataFrame, synthetic: pl.DataFrame) -> Matched:
    return pair_strata(real, synthetic, seed=0).matched


def make_vectors(size: int, *, moved: float = 0.0, width: int = 4, seed: int = 0) -> tuple[Matched, np.ndarray]:
    sides = [
        pl.DataFrame({"example_id": [f"{side}{i}" for i in range(size)], "stratum": "all", "place": np.arange(size)})
        for side in ("r", "s")
    ]
    vectors = np.random.default_rng(seed).normal(size=(2 * size, width))
    vectors[size:, 0] += moved
    return match(*sides), vectors


def test_matched_rows_are_equally_many_of_every_stratum():
    matched = match(make_customers(300, 1, churn=0.2), make_customers(200, 2, churn=0.9))
    counts = matched.rows.with_columns(side=pl.Series(matched.labels[0])).group_by("stratum").agg(pl.col("side").mean())
    assert counts["side"].to_list() == [0.5, 0.5]
    assert set(matched.rows["example_id"][: matched.size].str.slice(0, 2)) == {"c1"}


def test_frechet_distance_of_moved_rows_is_the_square_of_the_move():
    matched, vectors = make_vectors(3_000, moved=2.0)
    found = {finding.metric: finding for finding in joint.compare_vectors(matched, vectors, "rows", QUALITY)}
    assert found["frechet_distance"].value == pytest.approx(4.0, rel=0.08)
    assert np.mean(found["frechet_distance"].draws) < 0.02


def test_mmd_is_that_of_the_exact_kernel():
    matched, vectors = make_vectors(400, moved=1.0)
    found = {finding.metric: finding for finding in joint.compare_vectors(matched, vectors, "rows", QUALITY)}
    distances = ((vectors[:, None] - vectors) ** 2).sum(axis=2)
    kernel = np.exp(-distances / np.median(distances[np.triu_indices(800, 1)]))
    np.fill_diagonal(kernel, 0)
    real, made, across = kernel[:400, :400], kernel[400:, 400:], kernel[:400, 400:]
    exact = (real.sum() + made.sum()) / (400 * 399) - 2 * across.mean()
    assert found["mmd2"].value == pytest.approx(exact, rel=0.15)
    assert abs(np.mean(found["mmd2"].draws)) < 0.05 * exact


def test_unbiased_mmd_of_one_distribution_is_zero_on_average():
    values = []
    for seed in range(30):
        matched, vectors = make_vectors(60, seed=seed)
        values.append(joint.compare_vectors(matched, vectors, "rows", QUALITY)[0].value)
    assert abs(np.mean(values)) < 3 * np.std(values) / 30**0.5


def test_a_broken_dependence_is_the_pair_that_is_named():
    rng = np.random.default_rng(5)
    shuffle = pl.col("visits").map_batches(lambda column: pl.Series(rng.permutation(column.to_numpy())))
    matched = match(make_customers(800, 1), make_customers(800, 2).with_columns(shuffle.over("churned")))
    (finding,) = joint.compare_correlations(matched, NUMBERS, QUALITY)
    assert finding.value > 0.5 > 5 * finding.draws.max() / 2
    assert "age and visits" in finding.note


def test_correlations_of_the_same_distribution_lie_among_the_permutations():
    matched = match(make_customers(800, 1), make_customers(800, 2))
    (finding,) = joint.compare_correlations(matched, NUMBERS, QUALITY)
    assert finding.value < np.quantile(finding.draws, 0.999)


def test_leaving_out_one_row_has_the_closed_form():
    matched = match(make_messages(40, 1), make_messages(40, 2))
    texts = [Texts.read(matched, TEXT[0])]
    found = joint.classify_linearly(matched, TEXT, texts, QUALITY)
    assert found is not None
    shares = texts[0].shapes / texts[0].shapes.sum(axis=1, keepdims=True)
    values = matched.center(np.concatenate([texts[0].presence.toarray(), shares], axis=1).astype(np.float64))
    values = values[:, values.std(axis=0) > 1e-6]
    values = values / values.std(axis=0)
    signs = 2.0 * matched.labels[0] - 1
    for row in (0, 7, len(signs) - 1):
        rest = np.delete(np.arange(len(signs)), row)
        gram = values[rest].T @ values[rest] + 0.1 * len(values) * np.eye(values.shape[1])
        weights = np.linalg.solve(gram, values[rest].T @ signs[rest])
        assert found.scores[row] == pytest.approx(values[row] @ weights, abs=1e-3)


def test_the_linear_classifier_names_the_word_and_the_rows():
    made = make_messages(200, 2).with_columns(pl.col("text").str.replace(r"\w+$", "kindly"))
    matched = match(make_messages(200, 1), made)
    found = joint.classify_linearly(matched, TEXT, [Texts.read(matched, TEXT[0])], QUALITY)
    assert found is not None
    assert found.finding.value > 0.9
    shown = found.show(matched)
    assert "'kindly' tells synthetic rows" in [row["note"] for row in shown]
    assert all(row["example_id"].startswith("m2") for row in shown if row["kind"] == "most_synthetic")


def test_the_trees_are_tried_on_rows_they_have_not_seen():
    # nothing to tell: accuracy among seen rows would be far above one half
    matched = match(make_customers(600, 1), make_customers(600, 2))
    found = joint.classify_by_trees(matched, NUMBERS, QUALITY, seed=0)
    assert found is not None
    finding, tried, _ = found
    assert abs(finding.value - 0.5) < 0.07
    assert 0 < len(tried) < matched.rows.height
    assert matched.labels[0][tried].mean() == pytest.approx(0.5, abs=0.01)


def test_rows_without_text_are_embedded_by_their_fields():
    matched = match(make_customers(50, 1), make_customers(50, 2))
    vectors, what = joint.embed_rows(matched, NUMBERS, QUALITY, Path())
    assert what == "fields"
    assert vectors.std(axis=0) == pytest.approx(np.ones(vectors.shape[1]))
