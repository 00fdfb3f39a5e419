"""The quality model rejects the tail that reads synthetic and what people rejected, and few real rows."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from synth_assets.discriminators.quality.heads import measure_calibration_error
from synth_assets.discriminators.quality.realism import MOST_REJECTED, Realism
from synth_assets.records import stratum_expression
from synth_assets_tests.builders import table_spec, text_spec
from synth_assets_tests.discriminators.quality.samples import MarkovSource, as_frame, needs_messages, read_messages

SOURCE = MarkovSource.of(seed=5)
TELL = "as an esteemed customer"


def spec_of(share: float = 0.01, **settings):
    return text_spec(quality={"realism_false_reject": share}, **settings)


def real(rows: int, seed: int) -> pl.DataFrame:
    return as_frame(SOURCE.draw(rows, seed), f"r{seed}-")


def made(rows: int, seed: int, told: float = 0.3) -> pl.DataFrame:
    """Candidates of the same source; `told` of them open with a phrase that no real row has."""
    texts = SOURCE.draw(rows, seed)
    opens = np.random.default_rng(seed).random(rows) < told
    return as_frame([f"{TELL} {text}" if with_tell else text for text, with_tell in zip(texts, opens, strict=True)])


def reviews(rows: int, seed: int, wrong: float = 0.05) -> pl.DataFrame:
    """Decisions of people who reject the phrase, and err sometimes."""
    frame = made(rows, seed)
    erring = np.random.default_rng(seed + 1).random(rows) < wrong
    return frame.with_columns(accepted=~frame["text"].str.starts_with(TELL) ^ pl.Series(erring))


def fit(earlier: pl.DataFrame | None, decided: pl.DataFrame | None = None, share: float = 0.01) -> Realism:
    fitted = Realism.fit(spec_of(share), real(2_000, 1), earlier, decided)
    assert fitted is not None
    return fitted


ORIGIN = fit(made(2_000, 2))
BOTH = fit(made(2_000, 2), reviews(300, 3))


def rejected(judge: Realism, frame: pl.DataFrame) -> np.ndarray:
    return ~judge.judge(frame)["passed"].to_numpy()


def has_tell(frame: pl.DataFrame) -> np.ndarray:
    return frame["text"].str.starts_with(TELL).to_numpy()


def test_fresh_real_rows_seldom_lie_below_the_limit_and_told_candidates_do():
    assert ORIGIN.origin is not None
    fresh, candidates = real(3_000, 10), made(3_000, 11)
    below = ORIGIN.origin.predict(candidates) < ORIGIN.origin.threshold
    assert (ORIGIN.origin.predict(fresh) < ORIGIN.origin.threshold).mean() <= 0.017  # 1 %, of a limit read off 2,000
    assert below[has_tell(candidates)].mean() > 0.95


def test_auc_and_calibration_out_of_fold_hold_on_fresh_rows():
    from sklearn.metrics import roc_auc_score

    assert ORIGIN.origin is not None
    fresh, candidates = real(3_000, 12), made(3_000, 13)
    chances = np.concatenate([ORIGIN.origin.predict(fresh), ORIGIN.origin.predict(candidates)])
    is_real = np.arange(6_000) < 3_000
    assert ORIGIN.origin.auc == pytest.approx(roc_auc_score(is_real, chances), abs=0.03)
    assert ORIGIN.origin.calibration_error < 0.08
    assert measure_calibration_error(chances, is_real) < 0.08


def test_no_stratum_loses_more_than_its_share_however_synthetic_it_reads():
    strata = ["a"] * 400 + ["b"] * 40 + ["c"] * 19
    wave = made(459, 14, told=1.0).with_columns(intent=pl.Series(strata))
    judged = ORIGIN.judge(wave).with_columns(stratum=pl.Series(strata))
    lost = dict(judged.group_by("stratum").agg((~pl.col("passed")).sum()).iter_rows())
    assert 0.7 * 400 * MOST_REJECTED <= lost["a"] <= 400 * MOST_REJECTED  # ties at the border stay
    assert (lost["b"], lost["c"]) == (2, 0)
    of_a = judged.filter(stratum="a").sort("score")
    assert not of_a["passed"][: lost["a"]].any()
    assert set(judged.filter(~pl.col("passed"))["reason"]) == {"reads_synthetic"}
    assert (judged["passed"] == (judged["score"] >= judged["threshold"])).all()


def test_candidates_that_cannot_be_told_apart_are_not_rejected():
    assert Realism.fit(spec_of(), real(2_000, 1), made(2_000, 2, told=0.0), None) is None


def test_a_plan_with_other_shares_of_strata_does_not_make_candidates_synthetic():
    """Two strata with their own words; the plan asks for the rare one nine times as often."""
    other = MarkovSource.of(words=12, seed=9)

    def mix(first: int, second: int, seed: int) -> pl.DataFrame:
        parts = [
            as_frame(SOURCE.draw(first, seed), f"a{seed}", "a"),
            as_frame(other.draw(second, seed), f"b{seed}", "b"),
        ]
        return pl.concat(parts)

    fitted = Realism.fit(spec_of(), mix(1_800, 200, 1), mix(200, 1_800, 2), None)
    assert fitted is None or fitted.origin is None or fitted.origin.auc < 0.6


def test_what_people_rejected_is_rejected_and_real_rows_are_not():
    judge = fit(None, reviews(300, 3))
    assert judge.origin is None
    candidates = made(3_000, 15)
    gone, told = rejected(judge, candidates), has_tell(candidates)
    assert gone[told].mean() > 0.9
    assert told[gone].mean() > 0.95
    assert rejected(judge, real(3_000, 16)).mean() <= 0.015
    verdict = judge.judge(candidates).filter(~pl.col("passed")).row(0, named=True)
    assert verdict["reason"] == "like_rejected"
    assert json.loads(verdict["evidence"])["accepted"] == pytest.approx(verdict["score"], abs=1e-4)


def test_reviews_without_a_pattern_reject_nothing():
    decided = reviews(300, 17).with_columns(accepted=pl.Series(np.random.default_rng(0).random(300) < 0.7))
    judge = Realism.fit(spec_of(), real(1_000, 1), None, decided)
    assert judge is None or rejected(judge, made(2_000, 18)).mean() < 0.02


def test_people_overrule_what_only_reads_synthetic():
    """People accept every other stratum's tell: what they like stays, however synthetic it reads."""
    liked = made(400, 19, told=0.5)
    bad = liked["text"].str.contains("ka")
    judge = fit(made(2_000, 2), liked.with_columns(accepted=~bad))
    assert judge.origin is not None and judge.review is not None
    wave = made(2_000, 20, told=1.0)
    accepted = judge.review.predict(wave)
    usual = judge.review.positives / (judge.review.positives + judge.review.negatives)
    judged = judge.judge(wave).with_columns(accepted=pl.Series(accepted))
    assert judged.filter(pl.col("accepted") >= usual)["passed"].all()
    assert judged.filter(pl.col("reason") == "reads_synthetic").height > 0


@pytest.mark.parametrize("decided", [reviews(29, 21), reviews(200, 22).with_columns(accepted=True)])
def test_too_few_reviews_teach_nothing(decided: pl.DataFrame):
    assert Realism.fit(spec_of(), real(200, 1), None, decided) is None


def test_without_strata_all_candidates_are_one_wave():
    spec = spec_of(strata={})
    judge = Realism.fit(spec, real(1_000, 1), made(1_000, 2), None)
    assert judge is not None
    wave = made(200, 24, told=1.0)
    assert 5 <= rejected(judge, wave).sum() <= 200 * MOST_REJECTED


def test_nothing_is_built_of_nothing():
    assert Realism.fit(spec_of(), real(200, 1), None, None) is None
    assert Realism.fit(spec_of(), real(200, 1), made(29, 2), None) is None
    assert Realism.fit(spec_of(0), real(200, 1), made(200, 2), reviews(100, 3)) is None


def test_the_same_data_in_another_order_gives_the_same_verdicts():
    mixed = [
        frame.sample(fraction=1, shuffle=True, seed=1) for frame in (real(2_000, 1), made(2_000, 2), reviews(300, 3))
    ]
    again = Realism.fit(spec_of(), mixed[0], mixed[1], mixed[2])
    assert again is not None
    assert again.version == BOTH.version != ORIGIN.version
    wave = made(500, 23)
    assert again.judge(wave).equals(BOTH.judge(wave))


def test_hostile_texts_get_a_verdict_each():
    texts = ["", None, "\n", "a" * 100_000, f"{TELL} " * 5_000, "😀" * 50, "\x00", "日本語", "?!"]
    judged = BOTH.judge(as_frame(texts))
    assert judged["example_id"].to_list() == [f"c{i}" for i in range(len(texts))]
    assert judged["score"].is_between(0, 1).all()
    assert (judged["evidence"].str.len_chars() < 100).all()
    assert BOTH.judge(as_frame([])).is_empty()


def test_a_table_is_judged_by_its_fields():
    rng = np.random.default_rng(0)

    def rows(count: int, linked: bool, prefix: str) -> pl.DataFrame:
        low = rng.normal(10, 3, count).round(2)
        high = low + rng.gamma(2, 1, count) if linked else low + rng.gamma(2, 1, count)[::-1] + rng.random(count) * 9
        kind = np.where(low > 10, "a", "b") if linked else rng.choice(["a", "b"], count)
        return pl.DataFrame(
            {"example_id": [f"{prefix}{i}" for i in range(count)], "low": low, "high": high, "kind": kind}
        )

    spec = table_spec(quality={"realism_false_reject": 0.01})
    judge = Realism.fit(spec, rows(2_000, True, "r"), rows(2_000, False, "s"), None)
    assert judge is not None and judge.origin is not None
    assert judge.origin.auc > 0.8
    wave = rows(1_000, False, "c").with_columns(stratum=stratum_expression(spec))
    assert 0.02 < rejected(judge, wave).mean() <= MOST_REJECTED
    assert rejected(judge, rows(2_000, True, "f")).mean() <= 0.02


@needs_messages
def test_real_messages_with_planted_phrases():
    train, fresh = read_messages()
    opened = train.with_columns(
        text=pl.when(pl.int_range(pl.len()) % 3 == 0).then(pl.lit("I hope this finds you well. ")).otherwise(pl.lit(""))
        + pl.col("text"),
        example_id=pl.format("s{}", "example_id"),
    )
    judge = Realism.fit(spec_of(0.002), train, opened, None)
    assert judge is not None and judge.origin is not None
    assert (judge.origin.predict(fresh) < judge.origin.threshold).mean() <= 0.005
    told = fresh.with_columns(text=pl.format("I hope this finds you well. {}", "text"))
    assert (judge.origin.predict(told) < judge.origin.threshold).mean() > 0.95


def test_calibration_error_of_known_chances():
    rng = np.random.default_rng(0)
    chances = rng.random(50_000)
    drawn = rng.random(50_000) < chances
    assert measure_calibration_error(chances, drawn) < 0.01
    assert measure_calibration_error(np.full(1_000, 0.9), np.arange(1_000) % 2 == 0) == pytest.approx(0.4)
