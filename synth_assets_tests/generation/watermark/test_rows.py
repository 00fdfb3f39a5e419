"""The mark in rows: it is found, by its key alone, after damage too, and it leaves the distribution as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest

from synth_assets.errors import EngineError
from synth_assets.generation.requests import INVALID, REQUEST_SCHEMA, STOP, Engine, GeneratorInfo, build_requests
from synth_assets.generation.tabular.engine import TabularEngine
from synth_assets.generation.text.engine import TextEngine
from synth_assets.generation.watermark.keys import Key
from synth_assets.generation.watermark.rows import MarkedEngine, count_rounds, detect_rows, read_row_mark
from synth_assets.records import add_real_ids, derive_seeds, polars_schema
from synth_assets.seeds.reading import read_seeds
from synth_assets.spec import DatasetSpec, WatermarkSpec, load_spec, parse_spec
from synth_assets_tests.builders import seed_rows, text_spec
from synth_assets_tests.generation.watermark.damage import edit_rows
from synth_assets_tests.generation.watermark.keys_for_tests import KEY, OTHER_KEY
from synth_assets_tests.paths import PROJECT


def ask(strata: list[str], salt: int = 0) -> pl.DataFrame:
    ids = [f"r{salt}-{i}" for i in range(len(strata))]
    columns = {
        "request_id": ids,
        "attempt": [0] * len(ids),
        "stratum": strata,
        "seed": derive_seeds(ids, salt),
        "prompted_by": [[]] * len(ids),
    }
    return pl.DataFrame(columns, schema=REQUEST_SCHEMA)


def complete(engine: Engine, requests: pl.DataFrame) -> pl.DataFrame:
    return pl.concat(list(engine.generate(requests)))


@dataclass(frozen=True)
class Case:
    """A fitted engine, its marked twin, and what both make of the same requests."""

    spec: DatasetSpec
    seeds: pl.DataFrame
    engine: Engine
    marked: MarkedEngine
    requests: pl.DataFrame

    @property
    def rows(self) -> pl.DataFrame:
        return complete(self.marked, self.requests)

    def z(self, frame: pl.DataFrame, key: Key = KEY, **settings: Any) -> float:
        found = detect_rows(frame, self.spec, key, **{"seeds": self.seeds, **settings}).pooled.z
        assert found is not None
        return found


@cache
def clinical() -> Case:
    spec = load_spec(PROJECT / "data" / "seeds" / "clinical")
    seeds = add_real_ids(read_seeds(spec, PROJECT / "data" / "seeds" / "clinical").rows, spec)
    engine = TabularEngine.fit(seeds, spec)
    strata = seeds["stratum"].gather_every(4).to_list()[:100]
    return Case(spec, seeds, engine, MarkedEngine(engine, spec, KEY, seeds), ask(strata))


@cache
def census() -> Case:
    """A table of the census kind: no field has many values, so the mark lies in fields together."""
    content = {
        "name": "census",
        "fields": [
            {"name": "age", "type": "integer", "minimum": 17, "maximum": 90},
            {"name": "work", "type": "category"},
            {"name": "years", "type": "integer", "minimum": 1, "maximum": 16},
            {"name": "job", "type": "category"},
            {"name": "hours", "type": "integer", "minimum": 1, "maximum": 99},
            {"name": "gain", "type": "integer", "minimum": 0},
            {"name": "country", "type": "category", "nullable": True},
            {"name": "rich", "type": "category", "role": "target"},
        ],
        "strata": {"by": ["rich"]},
        "source": {"license": "CC0-1.0", "consent": {"basis": "not_personal"}},
    }
    spec = parse_spec(content, where="test")
    rng = np.random.default_rng(11)
    rows = 1500
    rich = rng.random(rows) < 0.25
    columns = {
        "age": np.clip(rng.normal(38 + 6 * rich, 13, rows), 17, 90).astype(int),
        "work": rng.choice(["private", "public", "own"], rows, p=[0.7, 0.15, 0.15]),
        "years": np.clip(rng.normal(10 + 2 * rich, 2.5, rows), 1, 16).astype(int),
        "job": rng.choice([f"job{i}" for i in range(14)], rows),
        "hours": np.where(rng.random(rows) < 0.45, 40, rng.integers(10, 80, rows)),
        "gain": np.where(rng.random(rows) < 0.92, 0, rng.integers(100, 20_000, rows)),
        "country": rng.choice(["us", "mx", "ph"], rows, p=[0.9, 0.06, 0.04]),
        "rich": np.where(rich, ">50k", "<=50k"),
    }
    seeds = add_real_ids(pl.DataFrame(columns, schema_overrides=polars_schema(spec.fields)), spec)
    engine = TabularEngine.fit(seeds, spec)
    strata = seeds["stratum"].to_list()[:150]
    return Case(spec, seeds, engine, MarkedEngine(engine, spec, KEY, seeds), ask(strata))


@cache
def messages() -> Case:
    spec = text_spec()
    lines = (PROJECT / "data" / "seeds" / "support" / "messages.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [{"text": row["text"], "intent": row["intent"]} for row in map(json.loads, lines)]
    seeds = seed_rows(spec, rows)
    engine = TextEngine.fit(seeds, spec)
    counts = dict.fromkeys(sorted(seeds["stratum"].unique()), 25)
    requests = build_requests(spec, "r000", seeds, counts, {})
    return Case(spec, seeds, engine, MarkedEngine(engine, spec, KEY, seeds), requests)


CASES = [clinical, census, messages]


# ---- found, and by its key alone


@pytest.mark.parametrize("case", CASES)
def test_marked_rows_are_found(case: Any) -> None:
    found = detect_rows(case().rows, case().spec, KEY, seeds=case().seeds)
    assert found.pooled.z is not None and found.pooled.z > 4
    assert found.pooled.p_value < 1e-4
    assert found.records["z"].mean() > 0.3  # type: ignore[operator] - a mean of numbers


@pytest.mark.parametrize("case", CASES)
def test_unmarked_rows_seeds_and_another_key_show_nothing(case: Any) -> None:
    made = case()
    assert abs(made.z(complete(made.engine, made.requests))) < 3
    assert abs(made.z(made.rows, OTHER_KEY)) < 3
    assert abs(made.z(made.seeds, seeds=None)) < 3


@pytest.mark.parametrize("case", CASES)
def test_without_the_seeds_the_mark_is_weaker_and_nothing_else_appears(case: Any) -> None:
    made = case()
    layout = made.marked._layout
    assert 0 < made.z(made.rows, seeds=None, layout=layout) < made.z(made.rows) + 1
    assert abs(made.z(complete(made.engine, made.requests), seeds=None, layout=layout)) < 3


def test_over_many_keys_z_of_unmarked_rows_is_standard_normal() -> None:
    made = census()
    rows = complete(made.engine, made.requests)
    keys = [Key(bytes([n]) * 32, "") for n in range(150)]
    z = np.array([made.z(rows, key) for key in keys])
    assert abs(z.mean()) < 4 / np.sqrt(150)
    assert 0.8 < z.std() < 1.2


# ---- damage


@pytest.mark.parametrize("case", CASES)
def test_the_mark_outlives_shuffling_deletion_and_edits(case: Any) -> None:
    made = case()
    rows = made.rows
    whole = made.z(rows)
    assert made.z(rows.sample(fraction=1, shuffle=True, seed=1)) == pytest.approx(whole)
    assert made.z(rows.sample(fraction=0.5, seed=2)) > 0.45 * whole
    assert made.z(edit_rows(rows, made.spec, 0.2)) > 0.6 * whole
    assert made.z(pl.concat([rows, rows])) == pytest.approx(whole)


@pytest.mark.parametrize(("case", "name"), [(clinical, "mean_area"), (census, "job"), (messages, "intent")])
def test_the_mark_outlives_the_loss_of_a_column(case: Any, name: str) -> None:
    assert case().z(case().rows.drop(name)) > 0.5 * case().z(case().rows)


def test_real_rows_among_the_marked_ones_weaken_the_mark_and_do_not_hide_it() -> None:
    made = clinical()
    names = [field.name for field in made.spec.content_fields]
    mixed = pl.concat([made.rows.select(names), made.seeds.select(names).head(100)])
    assert 2 < made.z(mixed, seeds=None) < made.z(made.rows)


# ---- the engine's promises


@pytest.mark.parametrize("case", CASES)
def test_a_completion_depends_on_its_request_alone(case: Any) -> None:
    made = case()
    parts = [
        complete(made.marked, part) for part in made.requests.sample(fraction=1, shuffle=True, seed=5).iter_slices(17)
    ]
    again = pl.concat(parts)
    order = made.requests.select("request_id").join(again, on="request_id", how="left", maintain_order="left")
    assert order.equals(made.rows.select(order.columns))


@pytest.mark.parametrize("case", CASES)
def test_completions_have_the_columns_and_types_of_the_unmarked_engine(case: Any) -> None:
    made = case()
    plain = complete(made.engine, made.requests)
    assert made.rows.schema == plain.schema
    assert made.rows["request_id"].to_list() == plain["request_id"].to_list()
    assert (made.rows["finish_reason"] == STOP).mean() >= (plain["finish_reason"] == STOP).mean()  # type: ignore[operator]


def test_no_requests_have_no_completions() -> None:
    assert list(clinical().marked.generate(clinical().requests.clear())) == []


def test_the_generator_says_that_it_marks_and_with_which_key() -> None:
    made = census()
    plain, info = made.engine.info, made.marked.info
    assert info.generator_id.startswith(plain.generator_id) and info.generator_id != plain.generator_id
    assert MarkedEngine(made.engine, made.spec, OTHER_KEY, made.seeds).info.generator_id != info.generator_id
    assert (info.members, info.trained_on) == (plain.members, plain.trained_on)
    assert info.watermark_key_id == KEY.key_id
    assert read_row_mark(info.parameters) == (KEY.key_id, 4, made.marked._layout)
    assert read_row_mark(plain.parameters) is None
    assert read_row_mark(json.dumps({"watermark": {"synth_watermark": 1}})) is None
    assert KEY.secret.hex() not in info.parameters


def test_rows_that_cannot_be_marked_unseen_are_refused() -> None:
    made = census()
    rows = made.seeds.with_columns(pl.lit(1).alias(name) for name in ("age", "years", "hours", "gain"))
    with pytest.raises(EngineError, match="too few different values"):
        MarkedEngine(made.engine, made.spec, KEY, rows)


# ---- the distribution


@dataclass(frozen=True)
class Dice:
    """An engine that throws one of a few rows by the request's seed; a reason of its own for each row."""

    values: tuple[dict[str, Any], ...]
    chances: tuple[float, ...]
    reasons: tuple[str, ...]

    @property
    def info(self) -> GeneratorInfo:
        return GeneratorInfo("dice", "embedded", "dice", "1", "", (), "{}")

    def artifact(self) -> dict[str, pl.DataFrame]:
        return {}

    def generate(self, requests: pl.DataFrame) -> Iterator[pl.DataFrame]:
        thrown = derive_seeds(requests["seed"].cast(pl.String), "dice") / 2.0**63
        place = np.searchsorted(np.cumsum(self.chances), thrown, side="right").clip(max=len(self.values) - 1)
        rows = pl.DataFrame(list(self.values)).with_columns(finish_reason=pl.Series(self.reasons))[place]
        yield requests.select("request_id", "attempt").hstack(rows)


def throw(dice: Dice, draws: int, keys: int, rows: int = 40) -> np.ndarray:
    """Return how often each value is kept, over many keys."""
    spec = text_spec(generation={"watermark": WatermarkSpec(draws=draws).model_dump()})
    seeds = seed_rows(spec, [{"text": f"seed number {i}", "intent": "a"} for i in range(5)])
    counts = np.zeros(len(dice.values))
    for number in range(keys):
        key = Key(number.to_bytes(32, "big"), "")
        kept = complete(MarkedEngine(dice, spec, key, seeds), ask(["a"] * rows, number))["text"]
        counts += [(kept == value["text"]).sum() for value in dice.values]
    return counts / counts.sum()


@pytest.mark.parametrize("draws", [2, 3, 4])
def test_over_keys_every_row_is_kept_as_often_as_it_is_drawn(draws: int) -> None:
    """Drafts that repeat, drafts without units and drafts with many all keep their chance."""
    values = ("one two three four five six seven eight", "nine ten eleven", "seed number 1")
    dice = Dice(tuple({"text": text, "intent": "a"} for text in values), (0.8, 0.1, 0.1), (STOP,) * 3)
    kept = throw(dice, draws, keys=150)
    assert kept == pytest.approx([0.8, 0.1, 0.1], abs=0.03)


def test_a_draft_that_did_not_stop_loses_against_one_that_did() -> None:
    values = tuple({"text": text, "intent": "a"} for text in ("good text of one kind", "cut text of another kind"))
    dice = Dice(values, (0.5, 0.5), (STOP, INVALID))
    assert throw(dice, 4, keys=25) == pytest.approx([15 / 16, 1 / 16], abs=0.02)


def test_the_distribution_of_a_table_stays_within_chance() -> None:
    """Marked and unmarked rows of other requests differ by no more than two unmarked sets do, field by field."""
    from scipy.stats import ks_2samp

    made = clinical()
    strata = made.requests["stratum"].to_list() * 4
    marked, plain = complete(made.marked, ask(strata, 1)), complete(made.engine, ask(strata, 2))
    numbers = [field.name for field in made.spec.content_fields if field.type == "number"]
    p = [ks_2samp(marked[name], plain[name]).pvalue for name in numbers]  # type: ignore[attr-defined]
    assert min(p) > 0.01 / len(numbers)
    assert np.median(p) > 0.1


def test_coarse_values_come_up_as_often_as_before() -> None:
    """Age, job and hours carry the mark together only, so none of their own values is preferred under the key."""
    from scipy.stats import chi2_contingency

    made = census()
    strata = made.requests["stratum"].to_list() * 6
    marked, plain = complete(made.marked, ask(strata, 1)), complete(made.engine, ask(strata, 2))
    for name in ("work", "job", "country", "years", "hours"):
        both = pl.concat([marked.select(name, side=pl.lit(0)), plain.select(name, side=pl.lit(1))])
        counts = both.group_by(name).agg((pl.col("side") == side).sum().alias(str(side)) for side in (0, 1))
        common = counts.filter(pl.col("0") + pl.col("1") >= 10)
        assert chi2_contingency(common.select("0", "1").to_numpy())[1] > 0.002  # type: ignore[operator] - a number


def test_a_tournament_has_as_many_rounds_as_it_takes() -> None:
    assert [count_rounds(draws) for draws in (2, 3, 4, 5, 8, 9, 16)] == [1, 2, 2, 3, 3, 4, 4]
