"""What filtering did is measured on equal amounts of text and told stratum by stratum."""

from __future__ import annotations

import polars as pl
import pytest

from synth_assets.monitoring.filtering import CANDIDATES, measure_filtering, measure_strata, split_stages
from synth_assets_tests.monitoring.samples import CUSTOMERS, MESSAGES, make_customers, make_messages

ROWS = make_messages(900, 1)


def test_stages_are_what_each_discriminator_left():
    candidates = pl.DataFrame({"example_id": ["a", "b", "c"]})
    verdicts = pl.DataFrame(
        {
            "example_id": ["a", "b", "c", "a", "c", "c"],
            "discriminator": ["rules", "rules", "rules", "duplicates", "duplicates", "labels"],
            "passed": [True, False, True, False, True, True],
        }
    )
    stages = split_stages(candidates, verdicts)
    assert {name: frame["example_id"].to_list() for name, frame in stages.items()} == {
        CANDIDATES: ["a", "b", "c"],
        "rules": ["a", "c"],
        "duplicates": ["c"],
        "labels": ["c"],
    }


def test_strata_are_told_by_what_they_lost_and_how_that_compares():
    strata = ["x"] * 6 + ["y"] * 4
    frame = pl.DataFrame({"example_id": [str(i) for i in range(10)], "stratum": strata})
    told = measure_strata({"all": frame, "some": frame[:4], "none": frame.clear()})
    assert told.filter(stage="some").rows() == [
        ("some", "x", 4, pytest.approx(4 / 6), pytest.approx((4 / 6) / 0.4)),
        ("some", "y", 0, 0.0, 0.0),
    ]
    assert told.filter(stage="none")["relative"].to_list() == [None, None]
    assert told.filter(stage="all")["relative"].to_list() == [1.0, 1.0]


def test_taking_rows_at_random_changes_no_measure_and_taking_copies_does():
    third = ROWS.sample(300, seed=3)
    copies = pl.concat([ROWS[:30]] * 10).with_columns(example_id=pl.int_range(300).cast(pl.String))
    told = measure_filtering({"all": ROWS, "third": third, "copies": copies}, MESSAGES)
    assert told["stage"].to_list() == ["all", "third", "copies"]
    assert told["tokens"].n_unique() == 1
    whole, drawn, narrowed = told.rows(named=True)
    assert drawn["distinct_2"] == pytest.approx(whole["distinct_2"], rel=0.05)
    assert drawn["bigram_entropy"] == pytest.approx(whole["bigram_entropy"], rel=0.02)
    assert narrowed["distinct_2"] < 0.6 * whole["distinct_2"]
    assert narrowed["bigram_entropy"] < whole["bigram_entropy"] - 0.5


def test_halved_and_starved_strata():
    names = ROWS["stratum"].unique().sort().to_list()
    uneven = pl.concat([ROWS.filter(stratum=names[0])[:5], ROWS.filter(pl.col("stratum") != names[0])])
    even = ROWS.sample(fraction=1, shuffle=True, seed=0).filter(pl.int_range(pl.len()).over("stratum") % 3 == 0)
    told = {row["stage"]: row for row in measure_filtering({"all": ROWS, "u": uneven, "e": even}, MESSAGES).to_dicts()}
    assert (told["all"]["halved"], told["all"]["starved"]) == (0, 0)
    assert told["u"]["halved"] == told["u"]["starved"] == pytest.approx(1 / len(names))
    assert (told["e"]["halved"], told["e"]["starved"]) == (1, 0)
    assert told["u"]["strata"] == len(names)


def test_stages_with_too_little_text_have_no_diversity_and_take_none_from_the_others():
    told = measure_filtering({"all": ROWS, "few": ROWS[:3], "none": ROWS.clear()}, MESSAGES)
    assert told["rows"].to_list() == [900, 3, 0]
    assert told["distinct_2"].is_null().to_list() == [False, True, True]
    assert told["tokens"][0] > 1_000


def test_tables_have_rows_and_strata_only():
    frame = make_customers(200, 1)
    told = measure_filtering({"all": frame, "half": frame[:100]}, CUSTOMERS)
    assert told["bigram_entropy"].null_count() == 2
    assert told["strata"].to_list() == [2, 2]
