from __future__ import annotations

import re

import numpy as np
import polars as pl
import pytest
from scipy.stats import ks_2samp

from synth_assets.monitoring.measures import Report
from synth_assets.monitoring.shift import measure_shift
from synth_assets.spec import DatasetSpec
from synth_assets_tests.monitoring.samples import CUSTOMERS, MESSAGES, find, make_customers, make_messages, make_spec
from synth_assets_tests.paths import NO_SHARED_DATA, SHARED_DATA


def alarms(report: Report) -> list[str]:
    return report.metrics.filter(pl.col("level") != "ok")["metric"].to_list()


def choose(*names: str) -> DatasetSpec:
    """Return the customers' spec with these fields alone; of one field the forest has nothing to combine."""
    return CUSTOMERS.model_copy(
        update={"fields": tuple(item for item in CUSTOMERS.fields if item.name in (*names, "churned"))}
    )


@pytest.fixture(scope="module")
def real() -> pl.DataFrame:
    return make_customers(1200, 1)


def test_real_against_real_gives_no_alarm():
    # 20 pairs of samples, each judged by a dozen metrics: a false alarm must be rare
    pairs = [(make_customers(200, seed), make_customers(200, 100 + seed)) for seed in range(20)]
    found = [alarms(measure_shift(*pair, choose("age"))) for pair in pairs]
    assert sum(map(bool, found)) <= 1


def test_a_mean_moved_by_three_tenths_of_a_standard_deviation_is_a_shift(real: pl.DataFrame):
    step = 0.3 * float(real["age"].std())  # type: ignore[arg-type]
    metric = find(
        measure_shift(real, make_customers(1200, 2).with_columns(pl.col("age") + step), CUSTOMERS), "wasserstein", "age"
    )
    assert metric["level"] == "act"
    assert metric["null_high"] < 0.15 < metric["value"]
    assert metric["value"] == pytest.approx(0.3, abs=0.08)


def test_a_trifle_is_no_shift_however_many_rows_show_it():
    moved = make_customers(40_000, 2).with_columns(pl.col("age") + 0.5)  # 0.05 standard deviations
    metric = find(measure_shift(make_customers(40_000, 1), moved, choose("age")), "wasserstein", "age")
    assert metric["value"] > metric["null_high"]
    assert metric["level"] == "ok"


def test_the_cells_that_moved_are_named(real: pl.DataFrame):
    moved = make_customers(1200, 2).with_columns(region=pl.lit("north"))
    report = measure_shift(real, moved, choose("region"))
    assert find(report, "psi", "region")["level"] == "act"
    notes = report.examples.filter(pl.col("kind") == "shifted_cell")["note"].to_list()
    assert any(re.fullmatch(r"region: north real 0\.(39|4)\d* synthetic 1\.000", note) for note in notes)


def test_lost_values_are_counted_and_named(real: pl.DataFrame):
    kept = make_customers(1200, 2).filter(pl.col("region") != "west")
    metric = find(measure_shift(real, kept, choose("region")), "lost_values", "region")
    assert (metric["value"], metric["level"]) == (1, "act")
    assert "west" in metric["note"]


def test_a_planned_change_of_the_label_mix_is_no_shift(real: pl.DataFrame):
    plan = pl.DataFrame({"stratum": ["no", "yes"], "accepted_before": [100, 300], "target": [260, 840]})
    report = measure_shift(real, make_customers(1500, 3, churn=0.76), choose("age"), plan=plan)
    assert alarms(report) == []
    assert find(report, "stratum_mix_tv")["value"] < 0.05


def test_an_unplanned_change_of_the_label_mix_is(real: pl.DataFrame):
    report = measure_shift(real, make_customers(1500, 3, churn=0.76), choose("age"))
    assert find(report, "stratum_mix_psi")["level"] == "act"
    assert find(report, "stratum_mix_tv")["value"] == pytest.approx(0.36, abs=0.05)
    assert set(alarms(report)) == {"stratum_mix_psi", "stratum_mix_tv"}


def test_a_planned_stratum_without_rows_is_lost(real: pl.DataFrame):
    metric = find(measure_shift(real, make_customers(400, 3, churn=0.0), choose("age")), "lost_strata")
    assert (metric["value"], metric["level"]) == (1, "act")
    assert "yes" in metric["note"]


def test_ks_within_one_stratum_is_that_of_scipy():
    spec = make_spec([{"name": "age", "type": "number"}])
    real, made = (make_customers(200, seed).with_columns(stratum=pl.lit("all")) for seed in (1, 2))
    metric = find(measure_shift(real, made, spec), "ks", "age")
    assert metric["value"] == pytest.approx(ks_2samp(real["age"], made["age"]).statistic)


def test_a_linear_two_sample_test_is_blind_to_broken_dependence_and_the_forest_is_not(real: pl.DataFrame):
    rng = np.random.default_rng(5)
    visits = pl.col("visits").map_batches(lambda column: pl.Series(rng.permutation(column.to_numpy())))
    broken = make_customers(1200, 2).with_columns(visits.over("churned"))
    report = measure_shift(real, broken, CUSTOMERS)
    assert find(report, "c2st_accuracy")["level"] == "ok"
    assert find(report, "c2st_forest_accuracy")["level"] in ("watch", "act")
    assert "psi" not in alarms(report)


def test_other_words_are_seen_by_the_two_sample_test_and_told():
    real = make_messages(400, 1)
    made = make_messages(400, 2).with_columns(pl.col("text").str.replace(r"\w+$", "kindly"))
    report = measure_shift(real, made, MESSAGES)
    assert find(report, "c2st_accuracy")["level"] == "act"
    told = report.examples.filter(pl.col("kind") == "telltale")["note"].to_list()
    assert "'kindly' tells synthetic rows" in told


def test_one_stratum_with_other_texts_is_named():
    other = pl.when(pl.col("topic") == "card").then(pl.lit("blocked blocked card again")).otherwise("text")
    report = measure_shift(make_messages(400, 1), make_messages(400, 2).with_columns(text=other), MESSAGES)
    moved = report.metrics.filter((pl.col("level") == "act") & (pl.col("stratum") != ""))
    assert moved["stratum"].unique().to_list() == ["card"]
    assert "mmd2" in moved["metric"].to_list()


def test_a_word_in_every_text_is_named_with_a_row():
    made = make_messages(400, 2).with_columns(pl.col("text").str.replace(r"\w+$", "kindly"))
    report = measure_shift(make_messages(400, 1), made, MESSAGES)
    assert find(report, "word_phi", "text")["level"] == "act"
    shown = report.examples.filter(pl.col("kind") == "shifted_word").row(0, named=True)
    assert shown["note"] == "text: 'kindly' in 0.0% of real and 100.0% of synthetic texts"
    assert "kindly" in made.filter(pl.col("example_id") == shown["example_id"])["text"].item()


def test_shorter_texts_are_a_shift_of_length():
    report = measure_shift(make_messages(400, 1), make_messages(400, 2, words=9), MESSAGES)
    assert find(report, "length_psi", "text")["level"] == "act"


def test_missing_values_are_a_cell_of_their_own(real: pl.DataFrame):
    holes = make_customers(1200, 2).with_columns(age=pl.when(pl.int_range(pl.len()) % 2 == 0).then("age"))
    assert find(measure_shift(real, holes, choose("age")), "psi", "age")["level"] == "act"


def test_synthetic_rows_without_real_company_are_not_compared(real: pl.DataFrame):
    strange = make_customers(300, 2).with_columns(stratum=pl.lit("maybe"))
    report = measure_shift(real, pl.concat([make_customers(300, 3), strange]), choose("age"))
    assert find(report, "uncovered_share")["value"] == pytest.approx(0.5)
    assert "psi" not in alarms(report)


def test_sensitive_fields_and_ids_may_be_absent():
    spec = make_spec([{"name": "age", "type": "number"}, {"name": "sex", "type": "category", "role": "sensitive"}])
    report = measure_shift(make_customers(100, 1), make_customers(100, 2), spec)
    assert set(report.metrics["field"]) == {"", "age"}


def test_the_same_rows_give_the_same_report(real: pl.DataFrame):
    made = make_customers(300, 2)
    first, second = (measure_shift(real, made, CUSTOMERS) for _ in range(2))
    assert first.metrics.equals(second.metrics)


def test_a_contract_may_let_a_shift_block():
    spec = make_spec([{"name": "age", "type": "number"}], shift_level="block")
    moved = make_customers(200, 2).with_columns(pl.col("age") + 30)
    assert not measure_shift(make_customers(200, 1), moved, spec).passed


@pytest.mark.skipif(SHARED_DATA is None, reason=NO_SHARED_DATA)
def test_halves_of_real_messages_give_no_alarm():
    rows = pl.read_csv(SHARED_DATA / "banking77" / "train.csv")  # type: ignore[operator]
    rows = rows.with_columns(stratum="category", example_id=pl.int_range(pl.len()).cast(pl.String))
    spec = make_spec([{"name": "text", "type": "text"}, {"name": "category", "type": "category"}], by=("category",))
    mixed = rows.sample(fraction=1, shuffle=True, seed=1)
    assert alarms(measure_shift(mixed[:2000], mixed[2000:4000], spec)) == []
