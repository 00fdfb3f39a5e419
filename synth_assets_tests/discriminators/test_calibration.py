"""The proposed contract: what each threshold rejects of real rows, measured on rows that nothing was fitted on."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from synth_assets.discriminators.calibration import SETTINGS, calibrate_contract, vary
from synth_assets.discriminators.cascade import Known, build_discriminator, run_cascade
from synth_assets.generation.requests import STOP
from synth_assets.records import SEALED, STEERING, SYNTHESIS_ONLY, TRAIN
from synth_assets.spec import QualitySpec
from synth_assets_tests.builders import text_spec
from synth_assets_tests.discriminators.test_labels import messages

SPEC = text_spec()
LOOP = "pay the fee pay the fee pay the fee pay the fee"


@pytest.fixture(scope="module")
def seeds() -> pl.DataFrame:
    rows = messages(500, 1).with_row_index("place")
    split = pl.when(pl.col("place") < 300).then(pl.lit(TRAIN)).when(pl.col("place") < 450).then(pl.lit(STEERING))
    rows = rows.with_columns(split=split.otherwise(pl.lit(SEALED)))
    looping = pl.col("place").is_in([300, 301, 302, 303])
    return rows.with_columns(
        text=pl.when(looping).then(pl.format("{} {}", pl.lit(LOOP), "place")).otherwise("text"),
        disposition=pl.when(pl.col("place") == 310).then(pl.lit(SYNTHESIS_ONLY)).otherwise("disposition"),
    ).drop("place")


def test_every_setting_is_one_of_the_contract_and_goes_from_lenient_to_strict() -> None:
    for setting in SETTINGS:
        assert setting.clause in QualitySpec.model_fields
        assert list(setting.values) in (sorted(setting.values), sorted(setting.values, reverse=True))


def test_the_shares_are_those_that_the_discriminator_rejects_of_the_releasable_steering_rows(
    seeds: pl.DataFrame, tmp_path: Path
) -> None:
    calibration = calibrate_contract(SPEC, seeds, tmp_path, allowed=0.005)
    assert calibration.real_rows == 149
    real = seeds.filter((pl.col("split") == STEERING) & (pl.col("disposition") != SYNTHESIS_ONLY))
    real = real.with_columns(finish_reason=pl.lit(STOP))
    known = Known(seeds.filter(pl.col("split") == TRAIN), tmp_path)
    for row in calibration.trade_off.iter_rows(named=True):
        setting = next(each for each in SETTINGS if each.clause == row["clause"])
        value = type(setting.values[0])(row["value"])
        one = build_discriminator(setting.discriminator, vary(SPEC, {row["clause"]: value}), known)
        assert one is not None
        expected = 1 - run_cascade(real, [one]).survivors.height / real.height
        assert row["real_rejected"] == pytest.approx(expected), row
        assert row["candidates_rejected"] is None
    in_force = calibration.trade_off.filter("in_force")
    assert in_force["clause"].is_unique().all()
    assert {row["clause"]: row["value"] for row in in_force.to_dicts()} == {
        clause: float(getattr(SPEC.quality, clause)) for clause in in_force["clause"]
    }


def test_the_proposal_is_the_strictest_value_within_what_is_allowed(seeds: pl.DataFrame, tmp_path: Path) -> None:
    for allowed in (0.001, 0.05):
        calibration = calibrate_contract(SPEC, seeds, tmp_path, allowed=allowed)
        limit = max(allowed, 1 / calibration.real_rows)
        for setting in SETTINGS:
            tried = calibration.trade_off.filter(clause=setting.clause)
            if tried.is_empty():
                continue
            place = tried["value"].to_list().index(float(calibration.proposed[setting.clause]))
            rejected = tried["real_rejected"].to_list()
            assert place == 0 or max(rejected[: place + 1]) <= limit
            assert place == len(rejected) - 1 or rejected[place + 1] > limit
        vary(SPEC, calibration.proposed)


def test_what_falls_is_told_by_reason_under_both_contracts(seeds: pl.DataFrame, tmp_path: Path) -> None:
    reasons = calibrate_contract(SPEC, seeds, tmp_path, allowed=0.005).by_reason
    assert set(reasons["contract"]) == {"in force", "proposed"}
    in_force = reasons.filter(contract="in force", discriminator="text_rules")
    assert in_force["real_rejected"].sum() == pytest.approx(4 / 149)


def test_candidates_are_judged_beside_the_real_rows(seeds: pl.DataFrame, tmp_path: Path) -> None:
    candidates = seeds.filter(split=STEERING).head(4).with_columns(finish_reason=pl.lit(STOP))
    tried = calibrate_contract(SPEC, seeds, tmp_path, allowed=0.005, candidates=candidates).trade_off
    strict = tried.filter(clause="max_top_bigram_share").tail(1)
    assert strict["candidates_rejected"].item() == 1.0
    assert strict["real_rejected"].item() < 0.05
