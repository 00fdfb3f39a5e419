"""Importance weights point from the candidates to the real rows, and selection by them keeps strata and diversity."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from synth_assets.discriminators.quality.importance import (
    EFFECTIVE_SHARE,
    find_exponent,
    select_by_importance,
    weigh_candidates,
)
from synth_assets.monitoring.diversity import measure_ngram_entropy, tokenize
from synth_assets_tests.builders import table_spec, text_spec
from synth_assets_tests.discriminators.quality.samples import MarkovSource, as_frame

SPEC = text_spec()
REAL, OTHER = MarkovSource.of(seed=11), MarkovSource.of(seed=12)


def texts_of(source: MarkovSource, rows: int, seed: int, intent: str) -> pl.DataFrame:
    frame = as_frame(source.draw(rows, seed), f"{intent}{seed}-", intent)
    return frame.with_columns(stratum=pl.lit(intent))


def real_rows() -> pl.DataFrame:
    return pl.concat([texts_of(REAL, 600, 1, "a"), texts_of(REAL, 150, 2, "b")])


def candidates(share: float = 0.3) -> pl.DataFrame:
    """Both strata hold `share` of texts that read like the real ones; the others are of another source."""
    parts = []
    for intent, rows in (("a", 800), ("b", 400)):
        like = int(rows * share)
        parts += [
            texts_of(REAL, like, 3, intent).with_columns(like=pl.lit(True)),
            texts_of(OTHER, rows - like, 4, intent).with_columns(like=pl.lit(False)),
        ]
    return pl.concat(parts).sample(fraction=1, shuffle=True, seed=0)


def entropy(texts: pl.Series, tokens: int = 1_500) -> float:
    told = tokenize(texts)
    return measure_ngram_entropy(told.take(np.arange(told.n_docs), tokens), 2)


RAW = candidates()
WEIGHTS = weigh_candidates(SPEC, real_rows(), RAW, RAW)
TARGETS = {"a": 200, "b": 100}


def test_candidates_like_the_real_rows_weigh_more():
    like = RAW["like"].to_numpy()
    weights = WEIGHTS.to_numpy()
    above = (weights[like][:, None] > weights[~like][None, :]).mean()
    assert above > 0.9


def test_where_candidates_are_like_the_real_rows_weights_say_nothing():
    alike = candidates(share=1.0)
    weights = weigh_candidates(SPEC, real_rows(), alike, alike).to_numpy()
    assert abs(weights.mean()) < 0.35 * abs(WEIGHTS.to_numpy().mean())
    assert weights.std() < 0.35 * WEIGHTS.to_numpy().std()


def test_length_does_not_decide():
    twice = RAW.with_columns(text=pl.format("{} {}", "text", "text"))
    assert np.corrcoef(weigh_candidates(SPEC, real_rows(), RAW, twice), WEIGHTS)[0, 1] > 0.85
    assert abs(np.corrcoef(WEIGHTS, RAW["text"].str.len_chars())[0, 1]) < 0.3


def test_every_stratum_keeps_its_number_and_prefers_what_is_like_the_real_rows():
    selected = select_by_importance(SPEC, RAW, WEIGHTS, TARGETS, round_="r000")
    assert selected["example_id"].equals(RAW["example_id"])
    assert dict(selected.filter("kept").group_by("stratum").len().iter_rows()) == TARGETS
    for _, part in selected.group_by("stratum"):
        assert sorted(part["preference"]) == list(range(part.height))
    kept = selected["kept"].to_numpy()
    assert RAW["like"].to_numpy()[kept].mean() > RAW["like"].to_numpy().mean() + 0.15
    assert WEIGHTS.to_numpy()[kept].mean() > WEIGHTS.to_numpy().mean()


def test_more_targets_than_survivors_keep_all_and_unnamed_strata_none():
    selected = select_by_importance(SPEC, RAW, WEIGHTS, {"a": 10_000}, round_="r000")
    assert dict(selected.group_by("stratum").agg(pl.col("kept").sum()).iter_rows()) == {"a": 800, "b": 0}


def test_a_larger_target_keeps_what_a_smaller_one_kept_and_rounds_draw_anew():
    first = select_by_importance(SPEC, RAW, WEIGHTS, TARGETS, round_="r000")
    mixed = RAW.with_columns(w=WEIGHTS).sample(fraction=1, shuffle=True, seed=5)
    again = select_by_importance(SPEC, mixed, mixed["w"], TARGETS, round_="r000")
    assert first.sort("example_id").equals(again.sort("example_id"))
    other = select_by_importance(SPEC, RAW, WEIGHTS, TARGETS, round_="r001")
    assert not first["kept"].equals(other["kept"])
    more = select_by_importance(SPEC, RAW, WEIGHTS, {"a": 300, "b": 100}, round_="r000")
    assert more.filter(first["kept"])["kept"].all()


def test_selection_without_quota_or_chance_narrows_and_this_one_does_not():
    """The largest weights alone take from the stratum that is nearest to the target, and its commonest words."""
    selected = select_by_importance(SPEC, RAW, WEIGHTS, TARGETS, round_="r000")
    kept = RAW.filter(selected["kept"])
    top = RAW.with_columns(w=WEIGHTS).sort("w", descending=True).head(sum(TARGETS.values()))
    counts = dict(top.group_by("stratum").len().iter_rows())
    assert max(abs(counts[name] / TARGETS[name] - 1) for name in TARGETS) > 0.1
    assert entropy(kept["text"]) > entropy(top["text"]) + 0.2
    assert top["text"].n_unique() < kept["text"].n_unique()


@pytest.mark.parametrize("target", [10, 100, 450])
def test_tempering_leaves_the_effective_sample_that_was_asked_for(target: int):
    logs = np.random.default_rng(0).normal(size=500) * 4
    exponent = find_exponent(logs, target)
    weights = np.exp(exponent * logs)
    size = weights.sum() ** 2 / np.square(weights).sum()
    assert 0 < exponent < 1
    assert size == pytest.approx(max(target, EFFECTIVE_SHARE * 500), rel=1e-3)
    assert find_exponent(logs / 100, 10) == 1.0


def test_chances_follow_the_weights():
    """One of two rows with weights 3 : 1 is drawn; over many pairs the heavy one comes three times as often."""
    pairs = 4_000
    frame = pl.DataFrame(
        {"example_id": [str(i) for i in range(2 * pairs)], "stratum": [f"s{i // 2}" for i in range(2 * pairs)]}
    )
    weights = pl.Series(np.tile(np.log([3.0, 1.0]), pairs))
    targets = {f"s{i}": 1 for i in range(pairs)}
    kept = select_by_importance(SPEC, frame, weights, targets, round_="r000")["kept"].to_numpy()
    assert kept.sum() == pairs
    assert kept[::2].mean() == pytest.approx(0.75, abs=0.03)


def test_tables_are_weighed_by_their_fields():
    spec, rng = table_spec(), np.random.default_rng(0)

    def rows(count: int, shift: float) -> pl.DataFrame:
        low = rng.normal(shift, 1, count)
        frame = pl.DataFrame({"low": low, "high": low + 1, "kind": rng.choice(["a", "b"], count)})
        return frame.with_columns(example_id=pl.int_range(count).cast(pl.String))

    near, far = rows(500, 0.0), rows(500, 2.0)
    raw = pl.concat([near, far])
    weights = weigh_candidates(spec, rows(1_000, 0.0), raw, raw).to_numpy()
    assert (weights[:500][:, None] > weights[500:][None, :]).mean() > 0.85


def test_strata_without_real_rows_and_empty_texts_are_weighed_too():
    new = as_frame(["", None, "ka ke"], "n", "new").with_columns(stratum=pl.lit("new"))
    weights = weigh_candidates(SPEC, real_rows(), RAW.select(new.columns), new)
    assert weights.is_finite().all()
    assert weigh_candidates(SPEC, real_rows(), RAW, RAW.clear()).is_empty()
    assert select_by_importance(SPEC, RAW.clear(), WEIGHTS.clear(), TARGETS, round_="r000").is_empty()
