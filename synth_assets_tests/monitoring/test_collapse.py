from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from synth_assets.monitoring.collapse import measure_collapse
from synth_assets_tests.monitoring.samples import (
    CUSTOMERS,
    MESSAGES,
    find,
    make_customers,
    make_messages,
    make_spec,
    mark,
)
from synth_assets_tests.paths import NO_SHARED_DATA, SHARED_DATA

OPEN = make_spec([{"name": "text", "type": "text"}])


def make_texts(rows: int, seed: int, *, sharpness: float = 1.0, vocabulary: int = 400) -> pl.DataFrame:
    """Return texts of ten words from a Zipf distribution; sharpness above 1 starves its tail."""
    rng = np.random.default_rng(seed)
    chances = (1 / np.arange(1, vocabulary + 1)) ** sharpness
    words = rng.choice([f"w{i}" for i in range(vocabulary)], (rows, 10), p=chances / chances.sum())
    texts = [" ".join(row) for row in words]
    ids = [f"t{seed}-{i}" for i in range(rows)]
    return pl.DataFrame({"example_id": ids, "stratum": ["all"] * rows, "text": texts})


def make_sentences(rows: int, seed: int) -> pl.DataFrame:
    """Return texts in which every word decides the next, but for one in five."""
    rng = np.random.default_rng(seed)
    words = np.empty((rows, 10), np.int64)
    words[:, 0] = rng.integers(0, 400, rows)
    for place in range(1, 10):
        follows = (words[:, place - 1] * 7 + 3) % 400
        words[:, place] = np.where(rng.random(rows) < 0.2, rng.integers(0, 400, rows), follows)
    texts = [" ".join(f"w{i}" for i in row) for row in words]
    return pl.DataFrame({"example_id": [f"s{seed}-{i}" for i in range(rows)], "stratum": ["all"] * rows, "text": texts})


@pytest.fixture(scope="module")
def anchor() -> pl.DataFrame:
    return make_texts(600, 1)


def test_fresh_texts_of_the_same_source_are_ok(anchor: pl.DataFrame):
    report = measure_collapse({"r000": mark(make_texts(600, 2))}, anchor, OPEN, held_out=make_texts(200, 3))
    assert report.level == "ok"
    drop = find(report, "distinct_2_drop")
    assert drop["null_low"] < drop["value"] < drop["null_high"]
    perplexity = find(report, "perplexity")
    assert perplexity["value"] == pytest.approx(perplexity["null_high"], rel=0.15)


def test_a_starved_tail_acts(anchor: pl.DataFrame):
    report = measure_collapse({"r000": mark(make_texts(600, 2, sharpness=2.2))}, anchor, OPEN)
    assert find(report, "distinct_2_drop")["level"] == "act"
    assert find(report, "rare_word_coverage")["level"] == "act"
    assert find(report, "rare_bigram_coverage")["level"] == "act"


def test_the_corpus_is_judged_and_its_synthetic_rows_are_watched(anchor: pl.DataFrame):
    corpus = pl.concat([mark(anchor, origin="real"), mark(make_texts(600, 2, sharpness=2.2))])
    report = measure_collapse({"r000": corpus}, anchor, OPEN)
    whole, synthetic = find(report, "distinct_2_drop"), find(report, "synthetic_distinct_2_drop")
    assert whole["value"] < synthetic["value"]
    assert synthetic["level"] == "watch"


def test_round_after_round_stands_in_the_history(anchor: pl.DataFrame):
    rounds = {f"r00{i}": mark(make_texts(600, 2 + i, sharpness=1 + 0.4 * i)) for i in range(3)}
    report = measure_collapse(rounds, anchor, OPEN)
    line = report.examples.filter(pl.col("note") == "distinct_2 text")
    assert line["related_id"].to_list() == ["r000", "r001", "r002"]
    assert line["value"].is_sorted(descending=True)


def test_the_amount_of_text_makes_no_difference(anchor: pl.DataFrame):
    few, many = (measure_collapse({"r000": mark(make_texts(n, 5))}, anchor, OPEN) for n in (300, 3000))
    # raw distinct-2 would fall by a third; only the budget differs, by chance of the draw
    assert find(few, "distinct_2")["value"] == pytest.approx(find(many, "distinct_2")["value"], rel=0.03)


def test_repeated_texts_show_in_self_repetition(anchor: pl.DataFrame):
    # ids differ, as they do for true copies
    copies = pl.concat([make_texts(60, 2).with_columns(pl.col("example_id") + f"-{i}") for i in range(10)])
    report = measure_collapse({"r000": mark(copies)}, anchor, OPEN)
    metric = find(report, "self_repetition")
    assert metric["value"] > 0.9 > metric["null_high"]


def test_held_out_text_is_worse_predicted_after_a_collapse(anchor: pl.DataFrame):
    held_out = make_texts(200, 9)
    metric = find(
        measure_collapse({"r000": mark(make_texts(600, 2, sharpness=3))}, anchor, OPEN, held_out=held_out), "perplexity"
    )
    assert metric["value"] > 1.5 * metric["null_high"]


def test_a_corpus_that_predicts_real_text_badly_acts(anchor: pl.DataFrame):
    # the same words as often, in an order that is always the same: only what follows what is lost
    made = make_texts(600, 2).with_columns(pl.col("text").str.split(" ").list.sort().list.join(" "))
    held_out = make_sentences(200, 9)
    report = measure_collapse({"r000": mark(made)}, make_sentences(600, 1), OPEN, held_out=held_out)
    perplexity = find(report, "perplexity")
    assert perplexity["value"] > perplexity["threshold"] > perplexity["null_high"]
    assert perplexity["level"] == "act"
    assert find(report, "synthetic_perplexity")["level"] == "watch"


def test_texts_that_say_one_thing_lose_meaning():
    made = make_messages(400, 2).with_columns(text=pl.lit("please reset the login password of my phone"))
    report = measure_collapse({"r000": mark(made)}, make_messages(400, 1), MESSAGES)
    assert find(report, "vendi_drop")["level"] == "act"
    assert find(report, "semantic_coverage")["level"] == "act"
    assert find(report, "self_bleu")["value"] == pytest.approx(1)


def test_a_corpus_of_one_topic_in_three_covers_less():
    made = make_messages(600, 2).filter(pl.col("topic") == "card")
    metric = find(measure_collapse({"r000": mark(made)}, make_messages(400, 1), MESSAGES), "semantic_coverage")
    assert metric["value"] < metric["null_low"]


def test_rare_pairs_that_vanish_act_though_every_value_is_there():
    spec = make_spec([{"name": "a", "type": "category"}, {"name": "b", "type": "category"}])

    def draw(seed: int, odd: float) -> pl.DataFrame:
        rng = np.random.default_rng(seed)
        a = rng.integers(0, 12, 2000)
        b = np.where(rng.random(2000) < odd, rng.integers(0, 12, 2000), a)
        ids = [f"p{seed}-{i}" for i in range(2000)]
        return pl.DataFrame(
            {"example_id": ids, "stratum": ["all"] * 2000, "a": [f"a{i}" for i in a], "b": [f"b{i}" for i in b]}
        )

    anchor = draw(1, 0.3)
    kept = find(measure_collapse({"r000": mark(draw(2, 0.3))}, anchor, spec), "rare_pair_coverage")
    lost = find(measure_collapse({"r000": mark(draw(3, 0.0))}, anchor, spec), "rare_pair_coverage")
    assert (kept["level"], lost["level"], lost["value"]) == ("ok", "act", 0)


def test_fresh_customers_are_ok():
    report = measure_collapse({"r000": mark(make_customers(800, 2))}, make_customers(800, 1), CUSTOMERS)
    assert report.level == "ok"


def test_a_fallen_variance_acts():
    made = make_customers(800, 2).with_columns(age=40 + (pl.col("age") - 40) * 0.5)
    report = measure_collapse({"r000": mark(made)}, make_customers(800, 1), CUSTOMERS)
    variance = find(report, "variance_drop", "age")
    assert variance["value"] == pytest.approx(0.75, abs=0.08)
    assert variance["level"] == "act"
    assert find(report, "tail_share", "age")["level"] == "act"
    assert find(report, "variance_drop", "visits")["level"] == "ok"


def test_rare_values_that_vanish_act():
    rng = np.random.default_rng(0)
    sizes = [0.9, *[0.01] * 10]
    regions = [f"region {i}" for i in range(11)]

    def draw(seed: int) -> pl.DataFrame:
        return make_customers(1000, seed).with_columns(region=pl.Series(rng.choice(regions, 1000, p=sizes)))

    spec = make_spec([{"name": "region", "type": "category"}])
    lost = draw(3).with_columns(region=pl.lit("region 0"))
    assert (
        find(measure_collapse({"r000": mark(draw(2))}, draw(1), spec), "rare_value_coverage", "region")["level"] == "ok"
    )
    metric = find(measure_collapse({"r000": mark(lost)}, draw(1), spec), "rare_value_coverage", "region")
    assert (metric["value"], metric["level"]) == (0, "act")


def test_a_constant_column_is_told_not_measured():
    frame = make_customers(100, 1).with_columns(age=pl.lit(1.0))
    report = measure_collapse({"r000": mark(frame)}, frame, CUSTOMERS)
    assert "constant" in find(report, "variance_drop", "age")["note"]


def test_without_rounds_there_is_a_note():
    report = measure_collapse({}, make_messages(50, 1), MESSAGES)
    assert report.metrics.height == 1
    assert "no corpus rows" in report.metrics["note"][0]


@pytest.mark.skipif(SHARED_DATA is None, reason=NO_SHARED_DATA)
def test_halves_of_real_messages_are_ok():
    rows = pl.read_csv(SHARED_DATA / "banking77" / "train.csv")  # type: ignore[operator]
    rows = rows.with_columns(stratum="category", example_id=pl.int_range(pl.len()).cast(pl.String))
    mixed = rows.sample(fraction=1, shuffle=True, seed=1)
    assert measure_collapse({"r000": mark(mixed[:2000])}, mixed[2000:4000], OPEN).level == "ok"


NUMBERS = make_spec([{"name": "x", "type": "number", "nullable": True}, {"name": "c", "type": "category"}])


def make_numbers(x: np.ndarray, c: list[str] | None = None, *, name: str = "n") -> pl.DataFrame:
    ids = [f"{name}{i}" for i in range(len(x))]
    frame = pl.DataFrame({"example_id": ids, "stratum": ["all"] * len(x), "x": x, "c": c or ["a"] * len(x)})
    return frame.with_columns(pl.col("x").fill_nan(None))


@pytest.mark.parametrize("seed", range(5))
def test_a_skewed_column_that_shrinks_to_a_point_acts(seed: int):
    rng = np.random.default_rng(seed)
    real = make_numbers(rng.lognormal(sigma=1.5, size=600))
    fresh, point = (rng.lognormal(sigma=1.5, size=600), 2 + rng.normal(scale=0.01, size=600))
    drop = find(measure_collapse({"r000": mark(make_numbers(point, name="m"))}, real, NUMBERS), "variance_drop")
    assert (drop["level"], drop["value"] > 0.99, drop["null_high"] < 1) == ("act", True, True)
    drop = find(measure_collapse({"r000": mark(make_numbers(fresh, name="m"))}, real, NUMBERS), "variance_drop")
    assert drop["level"] == "ok"


def test_tails_of_fresh_rows_are_rarely_out_of_their_null():
    outside = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        real, made = (make_numbers(rng.normal(size=300), name=name) for name in "rm")
        share = find(measure_collapse({"r000": mark(made)}, real, NUMBERS), "tail_share")
        outside += share["value"] < share["null_low"]
    assert outside <= 4  # 2.5 % of 60 is 1.5


def test_a_missing_value_is_not_the_largest():
    rng = np.random.default_rng(0)
    kinds = ["k" if i % 100 == 0 else "abc"[i % 3] for i in range(600)]
    real = make_numbers(np.array([np.nan if kind == "k" else rng.integers(4) for kind in kinds], float), kinds)
    made = make_numbers(np.array([3.0 if kind == "k" else rng.integers(4) for kind in kinds], float), kinds, name="m")
    own, other = (
        find(measure_collapse({"r000": mark(frame)}, real, NUMBERS), "rare_pair_coverage")["value"]
        for frame in (real, made)
    )
    assert other < own


def test_fresh_texts_are_as_varied_in_meaning_as_the_texts_that_were_fitted():
    report = measure_collapse({"r000": mark(make_sentences(600, 2))}, make_sentences(300, 1), OPEN)
    drop = find(report, "vendi_drop")
    assert abs(drop["value"]) < 0.03
    assert drop["level"] == "ok"
