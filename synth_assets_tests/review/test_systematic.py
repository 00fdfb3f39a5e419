"""What is named as systematic: planted faults, clean batches, and the tests themselves against scipy."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.stats import fisher_exact

from synth_assets.review.acceptance import required_sample
from synth_assets.review.sampling import draw_sample
from synth_assets.review.systematic import ALPHA, SYSTEMATIC_SCHEMA, _tarone, find_systematic
from synth_assets_tests.builders import text_spec

SPEC = text_spec()
REASONS = ("wrong label", "garbled", "off topic")


def make_batch(n: int, seed: int = 0) -> pl.DataFrame:
    """Ten prompts, two generators and eight strata, crossed at random."""
    generator = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "example_id": [f"{i:032x}" for i in range(n)],
            "stratum": [f"s{i}" for i in generator.integers(0, 8, n)],
            "generator_id": [f"g{i}" for i in generator.integers(0, 2, n)],
            "prompt_id": [f"p{i}" for i in generator.integers(0, 10, n)],
            "quality": generator.random(n),
        }
    )


def review(sample: pl.DataFrame, rates: np.ndarray, seed: int, reasons: tuple[str, ...] = REASONS) -> pl.DataFrame:
    """Review every row; defects by chance, a reason each; return the table of tests."""
    generator = np.random.default_rng(seed)
    bad = generator.random(sample.height) < rates
    judged = sample.with_columns(reviewed=pl.lit(True), defect=pl.Series(bad))
    told = judged.filter("defect").select("example_id")
    told = told.with_columns(reason=pl.Series(generator.choice(list(reasons), told.height), dtype=pl.String))
    return find_systematic(judged, told, tolerated=0.05)


@pytest.fixture(scope="module")
def sample() -> pl.DataFrame:
    batch = make_batch(25_000)
    return draw_sample(batch, SPEC, plan=required_sample(25_000, SPEC), round_="r000")


def hand_made(counts: dict[tuple[str, str], tuple[int, int]], part: str = "random") -> pl.DataFrame:
    """(prompt, stratum): (reviewed, defects)."""
    rows = [
        (f"{prompt}{stratum}{i}", part, stratum, "g", prompt, True, i < defects)
        for (prompt, stratum), (reviewed, defects) in counts.items()
        for i in range(reviewed)
    ]
    names = ["example_id", "part", "stratum", "generator_id", "prompt_id", "reviewed", "defect"]
    return pl.DataFrame(rows, schema=names, orient="row")


def reasons_of(judged: pl.DataFrame, reason: str) -> pl.DataFrame:
    return judged.filter("defect").select("example_id", reason=pl.lit(reason))


def test_a_prompt_that_is_wrong_more_often_is_named_with_what_to_do(sample: pl.DataFrame) -> None:
    rates = np.where(sample["prompt_id"] == "p3", 0.3, 0.02)
    table = review(sample, rates, seed=1)
    assert table.schema == SYSTEMATIC_SCHEMA
    named = table.filter("named")
    assert set(named.select("factor", "value").rows()) == {("prompt_id", "p3")}
    assert named["advice"][0].startswith("recall prompt p3: ")
    assert set(table.filter(~pl.col("named"))["advice"]) == {""}


def test_the_planted_prompt_is_named_and_clean_batches_are_left_alone(sample: pl.DataFrame) -> None:
    runs = 30
    rates = np.where(sample["prompt_id"] == "p7", 0.3, 0.02)
    found = [review(sample, rates, seed=100 + i).filter("named") for i in range(runs)]
    assert sum(("prompt_id", "p7") in table.select("factor", "value").rows() for table in found) >= runs - 1
    clean = [review(sample, np.full(sample.height, 0.02), seed=200 + i)["named"].any() for i in range(runs)]
    assert np.mean(clean) <= ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / runs)


def test_a_single_cell_and_a_single_reason_are_named_as_such(sample: pl.DataFrame) -> None:
    cell = ((sample["prompt_id"] == "p1") & (sample["generator_id"] == "g1")).to_numpy()
    named = review(sample, np.where(cell, 0.6, 0.01), seed=3).filter("named")
    assert named.select("factor", "value").rows()[0] == ("prompt_id × generator_id", "p1 × g1")
    assert named["advice"][0].startswith("look at prompt p1 with generator g1: ")


def test_p_values_are_fishers() -> None:
    judged = hand_made({("p1", "s1"): (20, 6), ("p2", "s1"): (30, 2), ("p1", "s2"): (25, 5), ("p2", "s2"): (25, 1)})
    table = find_systematic(judged, reasons_of(judged, "Wrong label "), tolerated=0.05)
    row = table.filter((pl.col("factor") == "prompt_id") & (pl.col("value") == "p1") & (pl.col("reason") == ""))
    expected = fisher_exact([[11, 34], [3, 52]], alternative="greater")[1]
    assert row["p_value"][0] == pytest.approx(expected)
    assert row.select("reviewed", "defects", "rate", "rest_rate").row(0) == pytest.approx((45, 11, 11 / 45, 3 / 55))
    assert set(table["reason"]) == {"", "wrong label"}


def test_the_same_rows_are_tested_under_one_name() -> None:
    """Every prompt has its own stratum and there is one generator: prompts alone are left."""
    judged = hand_made({("p1", "s1"): (40, 12), ("p2", "s2"): (40, 1), ("p3", "s3"): (40, 1)})
    table = find_systematic(judged, reasons_of(judged, "x"), tolerated=0.05)
    assert set(table.filter(pl.col("factor") != "reason")["factor"]) == {"prompt_id"}


def test_what_a_stronger_cell_explains_is_not_named_again() -> None:
    """All defects of stratum s1 come from prompt p1, which has most of its rows there."""
    cells = {("p1", "s1"): (60, 24), ("p1", "s2"): (20, 8), ("p2", "s1"): (40, 1), ("p2", "s2"): (80, 1)}
    judged = hand_made({**cells, ("p3", "s2"): (200, 3)})
    table = find_systematic(judged, reasons_of(judged, "x"), tolerated=0.5)
    stratum = table.filter((pl.col("factor") == "stratum") & (pl.col("value") == "s1") & (pl.col("reason") == ""))
    assert stratum["p_adjusted"][0] < ALPHA
    assert table.filter("named")["value"].to_list() == ["p1"]


def test_two_faults_are_both_named() -> None:
    cells = {(f"p{i}", f"s{j}"): (20, 0) for i in range(6) for j in range(4)}
    cells |= {("p0", f"s{j}"): (20, 8) for j in range(4)} | {(f"p{i}", "s3"): (20, 8) for i in range(1, 6)}
    judged = hand_made(cells)
    named = find_systematic(judged, reasons_of(judged, "x"), tolerated=0.5).filter("named")
    assert set(named["value"]) == {"p0", "s3"}


def test_a_reason_that_alone_exceeds_the_tolerated_rate_is_named() -> None:
    judged = hand_made({("p1", "s1"): (100, 15), ("p2", "s1"): (100, 15)})
    named = find_systematic(judged, reasons_of(judged, "invented facts"), tolerated=0.05).filter("named")
    assert named.select("factor", "value", "defects", "rest_rate").rows() == [("reason", "invented facts", 30, 0.05)]
    assert "rule of the quality contract" in named["advice"][0]


def test_the_risk_part_is_tested_apart() -> None:
    """Pooled, the prompt that fills the risk part would look guilty; within the parts it does not."""
    fair = hand_made({("p1", "s1"): (100, 2), ("p2", "s1"): (100, 2)})
    risky = hand_made({("p1", "s1"): (30, 15), ("p2", "s1"): (2, 1)}, part="risk").with_columns(
        example_id="x" + pl.col("example_id")
    )
    judged = pl.concat([fair, risky])
    table = find_systematic(judged, reasons_of(judged, "x"), tolerated=0.05)
    assert set(table["part"]) == {"random", "risk"}
    assert table.filter(pl.col("part") == "risk")["p_value"].min() > 0.5  # type: ignore[operator]
    assert not table.filter(pl.col("factor") != "reason")["named"].any()


def test_a_part_of_one_cell_has_nothing_to_be_compared_with() -> None:
    judged = hand_made({("p0", "s0"): (3, 1)}, part="risk")
    assert find_systematic(judged, reasons_of(judged, "garbled"), tolerated=0.05).is_empty()


def test_rows_not_reviewed_do_not_count() -> None:
    judged = hand_made({("p1", "s1"): (50, 20), ("p2", "s1"): (50, 1)})
    half = judged.with_columns(reviewed=pl.col("prompt_id") == "p2", defect=pl.col("prompt_id") == "p2")
    assert find_systematic(half, reasons_of(half, "x"), tolerated=0.99)["named"].sum() == 0


def test_without_a_defect_nothing_is_tested() -> None:
    judged = hand_made({("p1", "s1"): (50, 0)})
    table = find_systematic(judged, reasons_of(judged, "x"), tolerated=0.05)
    assert table.is_empty()
    assert table.schema == SYSTEMATIC_SCHEMA


def test_tarones_factor_counts_only_tests_that_could_be_significant() -> None:
    assert _tarone(np.array([1e-9, 1e-8, 0.2, 0.3, 0.4, 0.5]), 0.05) == 2
    assert _tarone(np.array([0.02, 0.02, 0.02]), 0.05) == 3
    assert _tarone(np.full(10, 1e-9), 0.05) == 10
