"""The mix: share, floors, weights, and whose rows it takes."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth_assets.errors import GateError
from synth_assets.mixing.selection import mix_corpus
from synth_assets.records import RELEASE_COLUMNS, add_content_ids
from synth_assets_tests.builders import seed_rows, text_spec


def real(count: int, intent: str = "a", **marks: str) -> list[dict[str, Any]]:
    return [{"text": f"real {intent} {marks} {i}", "intent": intent, **marks} for i in range(count)]


def accepted(counts: dict[str, int]) -> pl.DataFrame:
    rows = [{"text": f"made {s} {i}", "intent": s, "stratum": s} for s, n in counts.items() for i in range(n)]
    frame = pl.DataFrame(rows, schema={"text": pl.String, "intent": pl.String, "stratum": pl.String})
    return add_content_ids(frame, text_spec()).with_columns(
        example_id=pl.format("x{}", "content_id"),
        round=pl.lit("r000"),
        generator_id=pl.lit("g"),
        prompt_id=pl.lit("p"),
        prompted_by=pl.lit(["e"]),
        review_status=pl.lit("batch_accepted"),
    )


def test_the_share_is_met_by_leaving_real_rows_out() -> None:
    spec = text_spec()
    mix = mix_corpus(spec, seed_rows(spec, real(100)), accepted({"a": 70}))
    assert dict(mix.rows.group_by("origin").len().iter_rows()) == {"real": 30, "synthetic": 70}
    assert set(mix.rows["weight"]) == {1.0}


def test_too_many_synthetic_rows_are_thinned_in_request_order() -> None:
    spec = text_spec()
    made = accepted({"a": 700})
    mix = mix_corpus(spec, seed_rows(spec, real(30)), made)
    kept = mix.rows.filter(pl.col("origin") == "synthetic")["example_id"]
    assert set(kept) == set(made["example_id"].head(70))


def test_upsampling_weighs_real_rows_within_the_cap_and_keeps_both_shares_in_range() -> None:
    spec = text_spec(mix={"share": 0.7, "upsampling_cap": 1.5})
    rows = mix_corpus(spec, seed_rows(spec, real(30)), accepted({"a": 105})).rows
    synthetic = rows["origin"] == "synthetic"
    assert rows.filter(~synthetic)["weight"].unique().to_list() == [1.5]
    assert rows.filter(synthetic)["weight"].sum() / rows["weight"].sum() == pytest.approx(0.7)
    assert 0.6 <= synthetic.mean() <= 0.8


def test_only_releasable_training_rows_are_taken() -> None:
    spec = text_spec()
    held = real(50, split="sealed") + real(50, split="steering") + real(50, disposition="synthesis_only")
    seeds = seed_rows(spec, real(50) + held)
    taken = mix_corpus(spec, seeds, accepted({"a": 70})).rows.filter(pl.col("origin") == "real")
    marks = seeds.join(taken, on="example_id", how="semi").select("split", "disposition").unique()
    assert marks.rows() == [("train", "releasable")]


def test_every_stratum_keeps_its_real_floor() -> None:
    spec = text_spec(mix={"real_floor": 5})
    mix = mix_corpus(spec, seed_rows(spec, real(200) + real(6, "rare") + real(3, "rarest")), accepted({"a": 100}))
    by = {row["stratum"]: row for row in mix.strata.to_dicts()}
    assert (by["rare"]["real"], by["rarest"]["real"]) == (5, 3)
    assert (by["rare"]["floor"], by["rarest"]["floor"]) == (5, 3)


def test_the_corpus_has_the_release_columns_and_no_id_or_sensitive_field() -> None:
    fields = [
        {"name": "key", "type": "text", "role": "id"},
        {"name": "text", "type": "text"},
        {"name": "intent", "type": "category", "role": "target"},
        {"name": "age", "type": "integer", "role": "sensitive"},
    ]
    spec = text_spec(fields=fields)
    seeds = seed_rows(spec, [{**row, "key": str(i), "age": i} for i, row in enumerate(real(30))])
    rows = mix_corpus(spec, seeds, accepted({"a": 20}).with_columns(age=pl.lit(1))).rows
    assert rows.columns == [*RELEASE_COLUMNS, "text", "intent"]


def test_nothing_to_mix_is_refused() -> None:
    spec = text_spec()
    with pytest.raises(GateError, match="nothing to mix"):
        mix_corpus(spec, seed_rows(spec, real(30)), accepted({"a": 0}))


sizes = st.dictionaries(st.sampled_from("abcd"), st.integers(5, 40), min_size=1)


@given(sizes, st.integers(10, 300), st.sampled_from([0.6, 0.65, 0.7, 0.8]), st.sampled_from([1.0, 2.0, 4.0]))
def test_whatever_comes_the_shares_stay_in_range(
    real_counts: dict[str, int], made: int, share: float, cap: float
) -> None:
    spec = text_spec(mix={"share": share, "upsampling_cap": cap, "real_floor": 0})
    seeds = seed_rows(spec, [row for s, n in real_counts.items() for row in real(n, s)])
    rows = mix_corpus(spec, seeds, accepted({min(real_counts): made})).rows
    synthetic = rows["origin"] == "synthetic"
    by_rows, by_weight = synthetic.mean(), rows.filter(synthetic)["weight"].sum() / rows["weight"].sum()
    slack = 0.5 / rows.height  # one row more or less
    assert 0.6 - slack <= by_rows <= 0.8 + slack
    assert by_weight == pytest.approx(share, abs=0.02)
    assert rows["weight"].max() <= cap
