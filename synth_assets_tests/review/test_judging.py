"""The judge's grades against people's decisions: exact tables, and nothing where there is nothing to compare."""

from __future__ import annotations

import polars as pl
import pytest

from synth_assets.review.judging import GRADES_SCHEMA, compare_with_judge


def verdicts(grades: list[int | None]) -> pl.DataFrame:
    ids = [f"c{i}" for i in range(len(grades))]
    judged = pl.DataFrame({"example_id": ids, "score": grades}, schema={"example_id": pl.String, "score": pl.Float64})
    judged = judged.with_columns(discriminator=pl.lit("judge"))
    return pl.concat([judged, judged.with_columns(discriminator=pl.lit("labels"), score=pl.lit(9.0))])


def resolutions(words: str) -> pl.DataFrame:
    names = {"a": "accept", "r": "reject", "f": "flag"}
    return pl.DataFrame({"example_id": [f"c{i}" for i in range(len(words))], "resolution": [names[w] for w in words]})


def test_each_grade_is_counted_by_what_people_decided() -> None:
    table = compare_with_judge(verdicts([3, 3, 4, 5, 5, 5]), resolutions("raraaf"))
    assert table.select("grade", "accepted", "rejected").rows() == [(3, 1, 1), (4, 0, 1), (5, 2, 1)]
    # of the 3 · 3 pairs of an accepted and a rejected row: (3,5,5) against (3,4,5)
    assert table["auc"].to_list() == [pytest.approx((0.5 + 0 + 0 + 1 + 1 + 0.5 + 1 + 1 + 0.5) / 9)] * 3


def test_kappa_is_that_of_this_grade_or_better() -> None:
    table = compare_with_judge(verdicts([3, 3, 4, 4]), resolutions("rraa"))
    assert table["kappa"].to_list() == [None, 1.0]
    # observed 3/4, by chance 1/2
    assert compare_with_judge(verdicts([3, 3, 4, 4]), resolutions("rara"))["kappa"].to_list()[1] == 0.0


@pytest.mark.parametrize(("grades", "words"), [([], ""), ([None], "a"), ([], "a"), ([4], "")])
def test_without_graded_and_reviewed_rows_there_is_no_table(grades: list[int | None], words: str) -> None:
    table = compare_with_judge(verdicts(grades), resolutions(words).cast({"example_id": pl.String}))
    assert table.is_empty()
    assert table.schema == GRADES_SCHEMA


def test_where_people_accepted_all_there_is_no_ranking() -> None:
    table = compare_with_judge(verdicts([3, 5]), resolutions("aa"))
    assert table["auc"].to_list() == [None, None]
    assert table["kappa"].to_list() == [None, None]
