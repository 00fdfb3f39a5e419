"""The embedded tabular generator, and the bundled clinical set it is made for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth_assets.errors import EngineError
from synth_assets.generation.requests import INVALID, REQUEST_SCHEMA, STOP
from synth_assets.generation.tabular.engine import TabularEngine
from synth_assets.records import add_real_ids, derive_seeds, digest_text, polars_schema
from synth_assets.seeds.reading import read_monitor, read_seeds
from synth_assets.spec import DatasetSpec, load_spec, parse_spec
from synth_assets_tests.paths import PROJECT

CLINICAL = PROJECT / "data" / "seeds" / "clinical"


def make_spec(fields: list[dict[str, Any]], by: Sequence[str] = (), **settings: Any) -> DatasetSpec:
    content = {
        "name": "table",
        "fields": fields,
        "strata": {"by": list(by)},
        "source": {"license": "CC0-1.0", "consent": {"basis": "not_personal"}},
        **settings,
    }
    return parse_spec(content, where="test")


def make_seeds(spec: DatasetSpec, columns: dict[str, Any]) -> pl.DataFrame:
    return add_real_ids(pl.DataFrame(columns, schema_overrides=polars_schema(spec.fields)), spec)


def ask(strata: Sequence[str], salt: int = 0) -> pl.DataFrame:
    ids = [f"r{salt}-{i}" for i in range(len(strata))]
    columns = {
        "request_id": ids,
        "attempt": [0] * len(ids),
        "stratum": list(strata),
        "seed": derive_seeds(ids, salt),
        "prompted_by": [[]] * len(ids),
    }
    return pl.DataFrame(columns, schema=REQUEST_SCHEMA)


def complete(engine: TabularEngine, strata: Sequence[str], salt: int = 0) -> pl.DataFrame:
    return pl.concat(list(engine.generate(ask(strata, salt))))


def number(name: str, **settings: Any) -> dict[str, Any]:
    return {"name": name, "type": "number", **settings}


MIXED = make_spec(
    [
        number("income", minimum=0, decimals=2),
        number("spent", minimum=0),
        number("rating", nullable=True),
        {"name": "visits", "type": "integer", "minimum": 0},
        {"name": "since", "type": "date"},
        {"name": "member", "type": "boolean"},
        {"name": "region", "type": "category", "values": ["north", "south", "east"]},
        {"name": "kind", "type": "category", "values": ["a", "b"], "role": "target"},
    ],
    by=["kind"],
    constraints=["spent <= income"],
)


def mixed_seeds(rows: int = 600) -> pl.DataFrame:
    rng = np.random.default_rng(7)
    kind = rng.choice(["a", "b"], rows, p=[0.7, 0.3])
    member = rng.random(rows) < np.where(kind == "a", 0.2, 0.8)
    income = np.round(rng.lognormal(3, 0.5, rows) * np.where(member, 1.5, 1), 2)
    region = np.where(member, rng.choice(["north", "east"], rows), rng.choice(["south", "north"], rows, p=[0.9, 0.1]))
    visits = np.where(rng.random(rows) < 0.4, 0, rng.poisson(6, rows))
    rating = np.where(rng.random(rows) < np.where(member, 0.5, 0.05), None, rng.normal(0, 1, rows) + income / 10)
    columns = {
        "income": income,
        "spent": np.round(income * rng.beta(2, 2, rows), 2),
        "rating": rating.tolist(),
        "visits": visits,
        "since": [dt.date(2020, 1, 1) + dt.timedelta(days=int(d)) for d in rng.integers(0, 900, rows)],
        "member": member,
        "region": region,
        "kind": kind,
    }
    return make_seeds(MIXED, columns)


@pytest.fixture(scope="module")
def seeds() -> pl.DataFrame:
    return mixed_seeds()


@pytest.fixture(scope="module")
def engine(seeds: pl.DataFrame) -> TabularEngine:
    return TabularEngine.fit(seeds, MIXED)


@pytest.fixture(scope="module")
def made(engine: TabularEngine) -> pl.DataFrame:
    return complete(engine, ["a", "b"] * 5000)


# ---- the protocol


def test_completions_have_the_columns_and_types_of_the_protocol(made: pl.DataFrame) -> None:
    assert dict(made.schema) == {
        "request_id": pl.String(),
        "attempt": pl.Int32(),
        **polars_schema(MIXED.content_fields),
        "finish_reason": pl.String(),
        "prompt_tokens": pl.Int32(),
        "output_tokens": pl.Int32(),
    }
    assert made["output_tokens"].unique().to_list() == [len(MIXED.content_fields)]
    assert made["prompt_tokens"].unique().to_list() == [0]


def test_every_request_is_answered_once_in_order(engine: TabularEngine) -> None:
    requests = ask(["b", "a", "a"] * 7000)
    frames = list(engine.generate(requests))
    assert max(frame.height for frame in frames) <= 16_384
    assert pl.concat(frames)["request_id"].equals(requests["request_id"])


def test_no_requests_give_no_completions(engine: TabularEngine) -> None:
    assert sum(frame.height for frame in engine.generate(ask([]))) == 0


def test_the_stratum_sets_its_fields(made: pl.DataFrame) -> None:
    assert made["kind"].to_list() == ["a", "b"] * 5000


def test_info_names_the_members_and_the_engine(engine: TabularEngine, seeds: pl.DataFrame) -> None:
    info = engine.info
    assert info.members == tuple(sorted(seeds["example_id"]))
    assert info.trained_on == digest_text(*info.members)
    assert (info.engine, info.model) == ("embedded", "tabular")
    assert info.generator_id.startswith("embedded-tabular-")


# ---- determinism


@cache
def fit_small() -> TabularEngine:
    return TabularEngine.fit(mixed_seeds(200), MIXED)


@settings(max_examples=12)
@given(size=st.sampled_from([1, 7, 64, 99]), shuffle=st.integers(0, 100))
def test_a_row_depends_on_its_own_seed_alone(size: int, shuffle: int) -> None:
    engine = fit_small()
    requests = ask(["a", "b", "b", "a"] * 25)
    whole = pl.concat(list(engine.generate(requests)))
    mixed = requests.sample(fraction=1, shuffle=True, seed=shuffle)
    parts = [frame for start in range(0, 100, size) for frame in engine.generate(mixed[start : start + size])]
    assert pl.concat(parts).sort("request_id").equals(whole.sort("request_id"))


def test_the_order_of_the_seeds_does_not_matter(engine: TabularEngine, seeds: pl.DataFrame) -> None:
    other = TabularEngine.fit(seeds.sample(fraction=1, shuffle=True, seed=3), MIXED)
    assert other.info == engine.info
    assert complete(other, ["a", "b"] * 50).equals(complete(engine, ["a", "b"] * 50))


def test_another_row_makes_another_generator(engine: TabularEngine, seeds: pl.DataFrame) -> None:
    other = TabularEngine.fit(seeds[1:], MIXED).info
    assert other.generator_id != engine.info.generator_id
    assert other.trained_on != engine.info.trained_on


def test_another_seed_makes_another_row(engine: TabularEngine) -> None:
    once, again = complete(engine, ["a"] * 200, 1), complete(engine, ["a"] * 200, 2)
    assert (once["income"] == again["income"]).mean() < 0.1


def test_an_artifact_survives_parquet_and_shuffled_rows(engine: TabularEngine, tmp_path: Path) -> None:
    for name, table in engine.artifact().items():
        table.sample(fraction=1, shuffle=True, seed=1).write_parquet(tmp_path / f"{name}.parquet")
    tables = {path.stem: pl.read_parquet(path) for path in tmp_path.iterdir()}
    rebuilt = TabularEngine.from_artifact(tables, MIXED)
    assert rebuilt.info == engine.info
    assert complete(rebuilt, ["a", "b", "a"] * 500).equals(complete(engine, ["a", "b", "a"] * 500))


# ---- marginals


def test_values_stay_inside_the_observed_range(made: pl.DataFrame, seeds: pl.DataFrame) -> None:
    for name in ("income", "rating", "visits", "since"):
        assert made[name].drop_nulls().is_between(seeds[name].min(), seeds[name].max()).all()


@given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=60),
    minimum=st.none() | st.floats(-1e6, 0),
    maximum=st.none() | st.floats(0, 1e6),
    decimals=st.none() | st.integers(0, 6),
)
def test_bounds_and_decimals_of_the_spec_hold(
    values: list[float], minimum: float | None, maximum: float | None, decimals: int | None
) -> None:
    spec = make_spec([number("x", minimum=minimum, maximum=maximum, decimals=decimals)])
    engine = TabularEngine.fit(make_seeds(spec, {"x": values}), spec)
    x = complete(engine, ["all"] * 50)["x"]
    assert x.null_count() == 0
    assert minimum is None or x.min() >= minimum
    assert maximum is None or x.max() <= maximum
    inside = np.clip(values, minimum, maximum)
    on_grid = decimals is None or np.ceil(inside.min() * 10**decimals) <= np.floor(inside.max() * 10**decimals)
    if decimals is not None and on_grid and len(set(inside)) > 2:
        assert np.array_equal(np.round(x, decimals), x)


def test_observed_decimals_are_kept(made: pl.DataFrame) -> None:
    assert made["spent"].equals(made["spent"].round(2))


def test_observed_significant_digits_are_kept() -> None:
    rng = np.random.default_rng(0)
    values = [float(f"{value:.4g}") for value in rng.lognormal(4, 2, 300)]
    spec = make_spec([number("x")])
    x = complete(TabularEngine.fit(make_seeds(spec, {"x": values}), spec), ["all"] * 2000)["x"]
    assert x.to_list() == [float(f"{value:.4g}") for value in x]


def test_a_spike_keeps_its_share(made: pl.DataFrame, seeds: pl.DataFrame) -> None:
    for kind in ("a", "b"):
        real = (seeds.filter(kind=kind)["visits"] == 0).mean()
        assert (made.filter(kind=kind)["visits"] == 0).mean() == pytest.approx(real, abs=0.03)


def test_no_continuous_value_is_a_copy() -> None:
    rng = np.random.default_rng(1)
    spec = make_spec([number("x"), number("y")])
    seeds = make_seeds(spec, {"x": rng.lognormal(size=200), "y": rng.normal(size=200)})
    made = complete(TabularEngine.fit(seeds, spec), ["all"] * 5000)
    for name in ("x", "y"):
        assert not made[name].is_in(seeds[name].implode()).any()


def test_quantiles_of_the_stratum_are_kept(made: pl.DataFrame, seeds: pl.DataFrame) -> None:
    for kind in ("a", "b"):
        real, synthetic = seeds.filter(kind=kind)["income"], made.filter(kind=kind)["income"]
        for share in (0.1, 0.5, 0.9):
            below = (synthetic <= real.quantile(share)).mean()
            assert below == pytest.approx(share, abs=0.05)


# ---- dependence


def test_categories_stay_in_their_values_and_shares(made: pl.DataFrame, seeds: pl.DataFrame) -> None:
    for kind in ("a", "b"):
        real = seeds.filter(kind=kind)["region"].value_counts(normalize=True)
        synthetic = made.filter(kind=kind)["region"].value_counts(normalize=True)
        both = real.join(synthetic, on="region", how="full")
        assert both["region"].null_count() == 0
        assert (both["proportion"] - both["proportion_right"]).abs().max() < 0.03


def test_a_category_goes_with_its_category(made: pl.DataFrame) -> None:
    assert made.filter(pl.col("member"), region="south").is_empty()
    assert made.filter(~pl.col("member"), region="east").is_empty()


def test_a_category_goes_with_its_number(made: pl.DataFrame, seeds: pl.DataFrame) -> None:
    def ratio(frame: pl.DataFrame) -> float:
        means = dict(frame.group_by("member").agg(pl.col("income").median()).iter_rows())
        return means[True] / means[False]

    assert ratio(made.filter(kind="a")) == pytest.approx(ratio(seeds.filter(kind="a")), rel=0.15)


def test_a_number_that_a_category_fixes_stays_fixed() -> None:
    rng = np.random.default_rng(2)
    level = rng.integers(0, 8, 2000)
    spec = make_spec(
        [number("rank"), {"name": "level", "type": "category"}, {"name": "kind", "type": "category"}], by=["kind"]
    )
    kind = np.where(rng.random(2000) < level / 10, "b", "a")
    seeds = make_seeds(spec, {"rank": level * 10.0, "level": [f"l{i}" for i in level], "kind": kind})
    made = complete(TabularEngine.fit(seeds, spec), ["a", "b"] * 2000)
    expected = made["level"].str.slice(1).cast(pl.Float64) * 10
    assert (made["rank"] == expected).mean() > 0.99


@given(rho=st.floats(-0.95, 0.95), seed=st.integers(0, 1000))
def test_the_correlation_is_kept(rho: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=500)
    y = np.exp(rho * x + np.sqrt(1 - rho**2) * rng.normal(size=500))
    spec = make_spec([number("x"), number("y")])
    seeds = make_seeds(spec, {"x": x, "y": y})
    made = complete(TabularEngine.fit(seeds, spec), ["all"] * 4000)
    real, synthetic = (f.select(pl.corr("x", "y", method="spearman")).item() for f in (seeds, made))
    assert synthetic == pytest.approx(real, abs=0.08)


def test_strata_keep_correlations_of_opposite_sign() -> None:
    rng = np.random.default_rng(3)
    x, kind = rng.normal(size=800), np.repeat(["a", "b"], 400)
    y = np.where(kind == "a", 1, -1) * x + 0.5 * rng.normal(size=800)
    spec = make_spec([number("x"), number("y"), {"name": "kind", "type": "category"}], by=["kind"])
    made = complete(TabularEngine.fit(make_seeds(spec, {"x": x, "y": y, "kind": kind}), spec), ["a", "b"] * 2000)
    found = dict(made.group_by("kind").agg(pl.corr("x", "y")).iter_rows())
    assert found["a"] > 0.8
    assert found["b"] < -0.8


def test_ties_do_not_weaken_a_correlation() -> None:
    rng = np.random.default_rng(4)
    latent = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 3000)
    x, y = np.maximum(latent - 0.5, 0).T  # most rows are 0
    spec = make_spec([number("x"), number("y")])
    seeds = make_seeds(spec, {"x": x, "y": y})
    made = complete(TabularEngine.fit(seeds, spec), ["all"] * 6000)
    real, synthetic = (f.select(pl.corr("x", "y")).item() for f in (seeds, made))
    assert synthetic == pytest.approx(real, abs=0.06)


def test_missing_values_keep_their_share_and_their_cause(made: pl.DataFrame, seeds: pl.DataFrame) -> None:
    for member in (True, False):
        real, synthetic = (f.filter(member=member)["rating"].is_null().mean() for f in (seeds, made))
        assert synthetic == pytest.approx(real, abs=0.05)
    assert sum(made[name].null_count() for name in ("income", "visits", "since", "member", "region")) == 0


def test_temperature_widens_and_narrows_but_keeps_the_correlation() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=500)
    columns = {"x": x, "y": 0.9 * x + 0.4 * rng.normal(size=500), "c": rng.choice(["p", "q"], 500, p=[0.8, 0.2])}
    fields = [number("x"), number("y"), {"name": "c", "type": "category"}]
    spread, rare, together = [], [], []
    for temperature in (0.5, 1.0, 1.5):
        spec = make_spec(fields, generation={"temperature": temperature})
        made = complete(TabularEngine.fit(make_seeds(spec, columns), spec), ["all"] * 4000)
        spread.append(made["x"].std())
        rare.append((made["c"] == "q").mean())
        together.append(made.select(pl.corr("x", "y")).item())
    assert spread == sorted(spread)
    assert rare == sorted(rare)
    assert min(together) > 0.85


# ---- constraints


def test_complete_rows_meet_the_constraints(made: pl.DataFrame) -> None:
    assert made["finish_reason"].unique().to_list() == [STOP]
    assert (made["spent"] <= made["income"]).all()


def test_rows_that_cannot_meet_a_constraint_are_invalid_and_not_lost() -> None:
    spec = make_spec([number("x"), number("y")], constraints=["x < y"])
    rng = np.random.default_rng(6)
    seeds = make_seeds(spec, {"x": rng.random(50), "y": rng.random(50) - 2})
    made = complete(TabularEngine.fit(seeds, spec), ["all"] * 40)
    assert made["finish_reason"].to_list() == [INVALID] * 40
    assert made.select("x", "y").null_count().row(0) == (0, 0)


def test_an_unknown_condition_is_met() -> None:
    spec = make_spec([number("x"), number("y", nullable=True)], constraints=["x < y"])
    rng = np.random.default_rng(6)
    x = rng.random(100)
    y = [None if i % 2 else float(v + 1) for i, v in enumerate(x)]
    made = complete(TabularEngine.fit(make_seeds(spec, {"x": x, "y": y}), spec), ["all"] * 500)
    assert set(made["finish_reason"]) == {STOP}
    assert made["y"].null_count() == pytest.approx(250, abs=60)


def test_an_equation_that_all_seeds_meet_is_solved() -> None:
    spec = make_spec(
        [
            {"name": "gross", "type": "integer"},
            {"name": "total", "type": "integer"},
            {"name": "price", "type": "integer"},
            {"name": "pieces", "type": "integer"},
        ],
        constraints=["gross = total + 1", "total = price * pieces", "price < 90"],
    )
    rng = np.random.default_rng(8)
    price, pieces = rng.integers(1, 100, 300), rng.integers(1, 20, 300)
    total = price * pieces
    seeds = make_seeds(spec, {"gross": total + 1, "total": total, "price": price, "pieces": pieces})
    made = complete(TabularEngine.fit(seeds, spec), ["all"] * 1000)
    assert set(made["finish_reason"]) == {STOP}
    assert (made["total"] == made["price"] * made["pieces"]).all()
    assert (made["gross"] == made["total"] + 1).all()
    assert made["price"].max() < 90


def test_a_constraint_over_the_wrong_types_is_named() -> None:
    spec = make_spec([number("x"), {"name": "c", "type": "category"}], constraints=["x < c"])
    with pytest.raises(EngineError, match="x < c"):
        TabularEngine.fit(make_seeds(spec, {"x": [1.0, 2, 3, 4], "c": list("abcd")}), spec)


# ---- hostile tables


def fit_one(field: dict[str, Any], values: Sequence[Any], rows: int = 300) -> pl.Series:
    spec = make_spec([field])
    engine = TabularEngine.fit(make_seeds(spec, {field["name"]: values}), spec)
    rebuilt = TabularEngine.from_artifact(engine.artifact(), spec)
    made = complete(engine, ["all"] * rows)
    assert complete(rebuilt, ["all"] * rows).equals(made)
    return made[field["name"]]


def test_a_constant_column_stays_constant() -> None:
    assert fit_one(number("x"), [1.25] * 10).unique().to_list() == [1.25]


def test_an_empty_column_stays_empty() -> None:
    assert fit_one(number("x", nullable=True), [None] * 10).null_count() == 300


def test_a_number_that_hardly_any_row_has_is_not_repeated() -> None:
    assert fit_one(number("x", nullable=True), [None] * 10 + [5.5, 6.5]).null_count() == 300


def test_a_single_outlier_among_equal_values_is_not_repeated() -> None:
    values = fit_one(number("x"), [0.0] * 50 + [123456.789], rows=2000)
    assert 0 < (values != 0).sum() < 200
    assert not (values == 123456.789).any()


def test_not_a_number_counts_as_missing() -> None:
    made = fit_one(number("x", nullable=True), [*np.arange(50.0), float("nan"), float("inf")])
    assert made.drop_nulls().is_between(0, 49).all()


def test_fewer_than_four_rows_are_refused() -> None:
    spec = make_spec([number("x")])
    with pytest.raises(EngineError, match="1 training rows"):
        TabularEngine.fit(make_seeds(spec, {"x": [1.0]}), spec)


def test_a_category_of_500_values_is_learned() -> None:
    rng = np.random.default_rng(9)
    values = [f"v{int(i)}" for i in 500 * rng.random(5000) ** 2]
    made = fit_one({"name": "c", "type": "category"}, values, rows=5000)
    assert made.is_in(pl.Series(values).implode()).all()
    assert made.n_unique() > 400


def test_booleans_alone_are_enough() -> None:
    assert fit_one({"name": "b", "type": "boolean"}, [True] * 30 + [False] * 10, rows=2000).mean() == pytest.approx(
        0.75, abs=0.04
    )


def test_dates_are_days_in_range() -> None:
    days = [dt.date(1960, 1, 1) + dt.timedelta(days=37 * i) for i in range(60)]
    made = fit_one({"name": "d", "type": "date"}, days)
    assert made.dtype == pl.Date
    assert made.is_between(min(days), max(days)).all()


def test_integers_beyond_a_float_stay_in_range() -> None:
    start = 1_700_000_000_000_000_000
    made = fit_one({"name": "n", "type": "integer"}, [start + 3 * i for i in range(100)])
    assert made.is_between(start, start + 297).all()
    assert made.n_unique() > 100


def test_field_names_may_be_those_of_the_models_own_columns() -> None:
    rng = np.random.default_rng(10)
    names = ["group", "rows", "row", "code", "value", "field", "variable", "number", "factor", "level", "z", "met"]
    spec = make_spec([number(name) for name in names] + [{"name": "count", "type": "category"}], by=["count"])
    columns = {name: rng.normal(size=100) for name in names} | {"count": ["x", "y"] * 50}
    engine = TabularEngine.fit(make_seeds(spec, columns), spec)
    rebuilt = TabularEngine.from_artifact(engine.artifact(), spec)
    assert complete(rebuilt, ["x", "y"] * 20).equals(complete(engine, ["x", "y"] * 20))


def test_free_text_is_refused_by_name() -> None:
    spec = make_spec([{"name": "note", "type": "text"}])
    with pytest.raises(EngineError, match="'note' is of type text"):
        TabularEngine.fit(make_seeds(spec, {"note": list("abcd")}), spec)


def test_ids_are_not_made() -> None:
    spec = make_spec([{"name": "key", "type": "text", "role": "id"}, number("x")])
    seeds = make_seeds(spec, {"key": list("abcdef"), "x": [1.0, 2, 3, 4, 5, 6]})
    assert "key" not in complete(TabularEngine.fit(seeds, spec), ["all"]).columns


def test_a_tiny_stratum_uses_all_rows_with_its_own_values() -> None:
    rng = np.random.default_rng(11)
    spec = make_spec(
        [number("x"), {"name": "k", "type": "category"}, {"name": "flag", "type": "boolean"}], by=["k", "flag"]
    )
    columns = {"x": [*rng.normal(size=60), 50.0], "k": ["big"] * 60 + ["tiny"], "flag": [True] * 60 + [False]}
    made = complete(TabularEngine.fit(make_seeds(spec, columns), spec), ["tiny|false"] * 200)
    assert made.select("k", "flag").unique().row(0) == ("tiny", False)
    assert made["x"].median() < 3


def test_a_stratum_without_seeds_is_read_from_its_name() -> None:
    fields = [number("x"), {"name": "k", "type": "category", "values": ["p", "q"]}, {"name": "f", "type": "boolean"}]
    spec = make_spec(fields, by=["k", "f"])
    seeds = make_seeds(spec, {"x": [1.0, 2, 3, 4, 5], "k": ["p"] * 5, "f": [True] * 5})
    engine = TabularEngine.fit(seeds, spec)
    made = complete(engine, ["q|false", "q|(none)"])
    assert made.select("k", "f").rows() == [("q", False), ("q", None)]
    with pytest.raises(EngineError, match="'z' is no value of field 'k'"):
        complete(engine, ["z|true"])
    with pytest.raises(EngineError, match="2 values joined"):
        complete(engine, ["q"])


# ---- the clinical set


@pytest.fixture(scope="module")
def clinical() -> DatasetSpec:
    return load_spec(CLINICAL)


def test_the_clinical_constraints_hold_in_every_row(clinical: DatasetSpec) -> None:
    reading = read_seeds(clinical, CLINICAL)
    assert set(reading.rejected["reason"]) == {"held_for_monitor"}
    assert (reading.rows.height, reading.rejected.height) == (512, 57)


def test_the_clinical_monitor_rows_equal_every_tenth_row_exactly(clinical: DatasetSpec) -> None:
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    rows = read_monitor(clinical, CLINICAL).rows
    numbers = [field.name for field in clinical.fields if field.type == "number"]
    assert np.array_equal(rows.select(numbers).to_numpy(), data.data[::10])
    assert rows["diagnosis"].to_list() == [str(data.target_names[i]) for i in data.target[::10]]


def test_clinical_students_lose_less_than_two_points_and_seeds_stay_hidden(clinical: DatasetSpec) -> None:
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import train_test_split
    from sklearn.neighbors import NearestNeighbors
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data = load_breast_cancer()
    numbers = [field.name for field in clinical.fields if field.type == "number"]
    rows = pl.DataFrame(data.data, schema=numbers).with_columns(
        diagnosis=pl.Series([str(data.target_names[i]) for i in data.target])
    )
    rows = add_real_ids(rows, clinical)
    logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    forest = RandomForestClassifier(25, random_state=0)
    drops: dict[str, list[float]] = {"logistic": [], "forest": []}
    attack, near, far = [], [], []
    for split in range(10):
        train, test = train_test_split(np.arange(rows.height), test_size=0.3, random_state=split, stratify=data.target)
        real, held = rows[train], rows[test]
        made = complete(TabularEngine.fit(real, clinical), real["stratum"].to_list(), split)
        x_real, x_held, x_made = (frame.select(numbers).to_numpy() for frame in (real, held, made))
        for name, student in (("logistic", logistic), ("forest", forest)):
            on_real = student.fit(x_real, real["diagnosis"].to_list()).score(x_held, held["diagnosis"].to_list())
            on_made = student.fit(x_made, made["diagnosis"].to_list()).score(x_held, held["diagnosis"].to_list())
            drops[name].append(on_real - on_made)
        scale = StandardScaler().fit(x_real)
        to_made = NearestNeighbors(n_neighbors=1).fit(scale.transform(x_made))
        distance = [to_made.kneighbors(scale.transform(x))[0][:, 0] for x in (x_real, x_held)]
        attack.append(roc_auc_score(np.repeat([1, 0], [len(x_real), len(x_held)]), -np.concatenate(distance)))
        to_real = NearestNeighbors(n_neighbors=1).fit(scale.transform(x_real))
        near.append(np.median(to_real.kneighbors(scale.transform(x_made))[0]))
        far.append(np.median(to_real.kneighbors(scale.transform(x_held))[0]))
    assert np.mean(drops["logistic"]) <= 0.02
    assert np.mean(drops["forest"]) <= 0.02
    assert np.mean(attack) <= 0.60
    assert np.mean(near) >= np.mean(far)
