"""What an attacker learns from synthetic columns: nothing of fresh rows, everything of copies; k-anonymity."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest

from synth_assets.errors import SpecError
from synth_assets.monitoring.privacy import measure_privacy
from synth_assets.monitoring.privacy.attacks import bound_risk
from synth_assets.spec import DatasetSpec, parse_spec
from synth_assets_tests.monitoring.samples import find, seeds_of

FIELDS = [
    *({"name": name, "type": "number"} for name in ("height", "reach", "income")),
    *({"name": name, "type": "category"} for name in ("city", "trade", "club")),
]
RISKS = ("singling_out_risk", "linkability_risk")


def make_spec(**liabilities: object) -> DatasetSpec:
    source = {"license": "CC0-1.0", "consent": {"basis": "not_personal"}}
    return parse_spec({"name": "people", "fields": FIELDS, "source": source, "liabilities": liabilities}, where="test")


def make_people(rows: int, seed: int) -> pl.DataFrame:
    """People whose values are independent: whoever knows five of them knows nothing of the sixth."""
    rng = np.random.default_rng(seed)
    numbers = {name: rng.normal(100, 20, rows) for name in ("height", "reach", "income")}
    texts = {name: rng.choice(list("abcdefgh"), rows) for name in ("city", "trade", "club")}
    return pl.DataFrame(
        {"example_id": [f"p{seed}-{i}" for i in range(rows)], "stratum": ["all"] * rows, **numbers, **texts}
    )


@pytest.fixture(scope="module")
def seeds() -> pl.DataFrame:
    return seeds_of(make_people(500, 1), make_people(400, 2))


def test_fresh_rows_tell_nothing_of_the_train_rows(seeds: pl.DataFrame):
    report = measure_privacy(make_people(600, 3), seeds, make_spec())
    assert report.level == "ok"
    for name in RISKS:
        metric = find(report, name)
        assert metric["null_low"] < 0 < metric["null_high"]
        assert abs(metric["value"]) < 0.1


def test_copies_single_out_link_and_infer(seeds: pl.DataFrame):
    train = seeds.filter(pl.col("split") == "train").drop("split")
    report = measure_privacy(train.with_columns(pl.col("height") + 0.01), seeds, make_spec())
    assert {find(report, name)["level"] for name in RISKS} == {"act"}
    secrets = report.metrics.filter(pl.col("metric") == "inference_risk")
    assert set(secrets["field"]) == {field["name"] for field in FIELDS}
    assert set(secrets["level"]) == {"act"}
    assert (secrets["value"] > 0.9).all()
    assert not report.passed


def test_of_rows_that_may_be_released_the_attacks_are_watched(seeds: pl.DataFrame):
    train = seeds.filter(pl.col("split") == "train").drop("split")
    public = seeds.with_columns(disposition=pl.lit("releasable"))
    report = measure_privacy(train, public, make_spec())
    assert {find(report, name)["level"] for name in (*RISKS, "inference_risk")} == {"watch"}


def test_a_sensitive_field_is_attacked_though_it_never_leaves(seeds: pl.DataFrame):
    hidden = [{**field, "role": "sensitive"} if field["name"] == "club" else field for field in FIELDS]
    spec = make_spec().model_copy(update={"fields": parse_spec({**_content(), "fields": hidden}, where="test").fields})
    train = seeds.filter(pl.col("split") == "train").drop("split")
    metric = find(measure_privacy(train, seeds, spec), "inference_risk", "club")
    assert metric["level"] == "act"


def _content() -> dict[str, object]:
    return {"name": "people", "source": {"license": "CC0-1.0", "consent": {"basis": "not_personal"}}}


def test_what_the_attacker_knows_are_the_quasi_identifiers(seeds: pl.DataFrame):
    # synthetic rows repeat only what `city` and `trade` tell of `club`: eight values each, 64 combinations
    spec = make_spec(quasi_identifiers=["city", "trade"])
    report = measure_privacy(make_people(600, 3), seeds, spec)
    secrets = report.metrics.filter(pl.col("metric") == "inference_risk")["field"]
    assert set(secrets) == {"height", "reach", "income", "club"}


def test_rows_with_two_columns_changed_are_near_records(seeds: pl.DataFrame):
    train = seeds.filter(pl.col("split") == "train").drop("split")
    copied = train.head(30).with_columns(
        example_id="copy " + pl.col("example_id"), height=pl.lit(1.5), club=pl.lit("other")
    )
    report = measure_privacy(pl.concat([make_people(570, 3), copied]), seeds, make_spec())
    metric = find(report, "near_record_share")
    assert (metric["value"], metric["level"]) == (pytest.approx(0.05), "act")
    shown = report.examples.filter(pl.col("kind") == "near_record")
    assert ("copy " + shown["related_id"]).to_list() == shown["example_id"].to_list()


@pytest.mark.parametrize(("hits", "control"), [(60, 20), (20, 20), (0, 0), (5, 100)])
def test_the_interval_of_a_risk_is_newcombes(hits: int, control: int):
    # method 10 of Newcombe 1998, written out
    (a_low, a_high), (c_low, c_high) = (binomtest(k, 100).proportion_ci(0.95, "wilson") for k in (hits, control))
    a, c = hits / 100, control / 100
    low = a - c - ((a - a_low) ** 2 + (c_high - c) ** 2) ** 0.5
    high = a - c + ((a_high - a) ** 2 + (c - c_low) ** 2) ** 0.5
    if control == 100:
        assert bound_risk(hits, control, 100) == (0, 0)
    else:
        assert bound_risk(hits, control, 100) == (pytest.approx(low / (1 - c)), pytest.approx(high / (1 - c)))


def test_more_attacks_make_wider_intervals():
    one, many = bound_risk(30, 20, 100), bound_risk(30, 20, 100, tried=20)
    assert many[0] < one[0] < one[1] < many[1]


# ---- k-anonymity


def with_city(rows: pl.DataFrame, cities: list[str], origin: str = "synthetic") -> pl.DataFrame:
    return rows.head(len(cities)).with_columns(city=pl.Series(cities), origin=pl.lit(origin))


def test_rare_combinations_are_counted_over_all_that_is_released(seeds: pl.DataFrame):
    spec = make_spec(quasi_identifiers=["city"], k_anonymity=3)
    made = with_city(make_people(9, 3), ["x"] * 3 + ["y"] * 2 + ["z"] * 4)
    report = measure_privacy(made, seeds, spec)
    assert find(report, "rare_combination_share")["value"] == pytest.approx(2 / 9)
    assert find(report, "rare_combination_share")["level"] == "watch"
    assert find(report, "smallest_combination")["value"] == 2
    real = with_city(make_people(9, 4), ["y"], origin="real")
    report = measure_privacy(made, seeds, spec, released=pl.concat([made, real]))
    assert find(report, "rare_combination_share")["level"] == "ok"


def test_a_real_row_of_a_rare_combination_acts_and_is_named(seeds: pl.DataFrame):
    spec = make_spec(quasi_identifiers=["city"], k_anonymity=3)
    made = with_city(make_people(9, 3), ["x"] * 9)
    real = with_city(make_people(9, 4), ["y"], origin="real")
    report = measure_privacy(made, seeds, spec, released=pl.concat([made, real]))
    assert find(report, "rare_combination_share")["level"] == "act"
    shown = report.examples.filter(pl.col("kind") == "rare_combination")
    assert shown["example_id"].to_list() == real["example_id"].to_list()


def test_synthetic_rows_that_repeat_a_rare_real_combination_act():
    spec = make_spec(quasi_identifiers=["city", "trade"], k_anonymity=3)
    train, sealed, made = make_people(500, 1), make_people(400, 2), make_people(600, 3)
    odd = pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("lighthouse")).otherwise(pl.col("trade"))
    train = train.with_columns(trade=odd)
    city = train["city"][0]
    repeated = made.with_columns(
        city=pl.when(pl.int_range(pl.len()) < 60).then(pl.lit(city)).otherwise(pl.col("city")),
        trade=pl.when(pl.int_range(pl.len()) < 60).then(pl.lit("lighthouse")).otherwise(pl.col("trade")),
    )
    honest = find(measure_privacy(made, seeds_of(train, sealed), spec), "rare_match_share")
    report = measure_privacy(repeated, seeds_of(train, sealed), spec)
    assert (honest["level"], find(report, "rare_match_share")["level"]) == ("ok", "act")
    shown = report.examples.filter(pl.col("kind") == "rare_match")
    assert train["example_id"][0] in shown["related_id"]


def test_quasi_identifiers_must_be_fields_that_can_be_counted():
    with pytest.raises(SpecError, match="'age' is no field that can be released and counted"):
        make_spec(quasi_identifiers=["age"])
