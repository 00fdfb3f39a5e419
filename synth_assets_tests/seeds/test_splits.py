"""Splits conserve rows, never straddle a cluster, stay put over versions, and meet their fractions."""

from __future__ import annotations

import random
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth_assets.errors import SeedError
from synth_assets.records import EXCLUDED, RELEASABLE, SEALED, SPLITS, STEERING, SYNTHESIS_ONLY, TRAIN
from synth_assets.seeds.splits import FRACTIONS, SeedSplit, split_seeds
from synth_assets.similarity import near_duplicate_pairs
from synth_assets.spec import DatasetSpec
from synth_assets_tests.builders import real_rows, table_spec, text_spec
from synth_assets_tests.paths import NO_SHARED_DATA, SHARED_DATA

SPEC = text_spec()
LEXICON = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("", "ll", "nd", "rk", "st")]


def message(number: int, words: int = 12) -> str:
    """A text unlike any other number's."""
    return " ".join(random.Random(number).choices(LEXICON, k=words))


def variant(text: str, *words: str) -> str:
    """A text near-equal to the given one: words added at its end."""
    return " ".join([text, *words])


def audit_of(rows: pl.DataFrame, dispositions: dict[int, str] | None = None) -> pl.DataFrame:
    """All rows releasable, but for some row numbers."""
    marks = [(dispositions or {}).get(row, RELEASABLE) for row in range(rows.height)]
    return rows.select("example_id").with_columns(disposition=pl.Series(marks, dtype=pl.String))


def split(
    rows: list[dict[str, Any]] | pl.DataFrame,
    dispositions: dict[int, str] | None = None,
    *,
    spec: DatasetSpec = SPEC,
    previous: pl.DataFrame | None = None,
) -> SeedSplit:
    frame = rows if isinstance(rows, pl.DataFrame) else real_rows(spec, rows)
    return split_seeds(frame, audit_of(frame, dispositions), spec, previous)


def messages(*numbers: int, intent: str = "pay") -> list[dict[str, Any]]:
    return [{"text": message(number), "intent": intent} for number in numbers]


def reasons(outcome: SeedSplit) -> dict[str, int]:
    return dict(outcome.rejected["reason"].value_counts().iter_rows())


def pinned(rows: pl.DataFrame, splits: dict[int, str]) -> pl.DataFrame:
    """A previous version that holds these rows, by number, in these splits."""
    return pl.DataFrame({"example_id": rows["example_id"].gather(list(splits)), "split": list(splits.values())})


FILLER = messages(*range(1000, 1012), intent="filler")

# ---- fractions


def test_a_large_stratum_meets_its_fractions_to_the_row() -> None:
    outcome = split(messages(*range(200)))
    assert dict(outcome.rows["split"].value_counts().iter_rows()) == {TRAIN: 140, STEERING: 30, SEALED: 30}


def test_each_stratum_meets_its_fractions() -> None:
    rows = [*messages(*range(40), intent="pay"), *messages(*range(100, 120), intent="ask")]
    counts = split(rows).rows.group_by("stratum", "split").len()
    for stratum, size in (("pay", 40), ("ask", 20)):
        for name, fraction in FRACTIONS.items():
            held = counts.filter((pl.col("stratum") == stratum) & (pl.col("split") == name))["len"].sum()
            assert abs(held - size * fraction) < 1


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7])
def test_train_has_most_rows_of_a_small_stratum(size: int) -> None:
    outcome = split([*FILLER, *messages(*range(size))])
    held = outcome.rows.filter(pl.col("stratum") == "pay")["split"].to_list()
    assert held.count(TRAIN) > held.count(SEALED) + held.count(STEERING)
    assert size < 5 or len(set(held)) == 3


def test_the_odd_rows_of_small_strata_go_to_sealed_and_steering_in_turn() -> None:
    rows = [row for i in range(20) for row in messages(*range(3 * i, 3 * i + 3), intent=f"intent {i}")]
    counts = dict(split(rows).rows["split"].value_counts().iter_rows())
    assert counts == {TRAIN: 40, STEERING: 10, SEALED: 10}


def test_strata_of_one_row_each_are_split_as_one() -> None:
    outcome = split([row for i in range(20) for row in messages(i, intent=f"intent {i}")])
    assert dict(outcome.rows["split"].value_counts().iter_rows()) == {TRAIN: 14, STEERING: 3, SEALED: 3}


def test_another_seed_makes_another_split() -> None:
    rows = messages(*range(100))
    splits = [split(rows, spec=text_spec(seed=seed)).rows["split"].to_list() for seed in (0, 1)]
    assert splits[0] != splits[1]


# ---- copies


def test_copies_that_differ_in_case_and_spaces_become_one_row() -> None:
    outcome = split(
        [*FILLER, {"text": "Where is my card?", "intent": "pay"}, {"text": " where is  MY card?", "intent": "pay"}]
    )
    kept = outcome.rows.filter(pl.col("intent") == "pay")["example_id"].to_list()
    assert outcome.rejected.select("reason", "related_id", "similarity").rows() == [("exact_duplicate", kept[0], 1.0)]
    assert kept[0] < outcome.rejected["example_id"][0]


def test_rows_without_text_are_copies_when_all_content_is_equal() -> None:
    spec = table_spec()
    rows = [{"low": float(i), "high": i + 1.0, "kind": "a"} for i in range(12)]
    outcome = split([*rows, rows[0], {**rows[0], "kind": "b"}], spec=spec)
    assert reasons(outcome) == {"exact_duplicate": 1}
    assert outcome.rows["cluster"].to_list() == outcome.rows["example_id"].to_list()


def test_messages_are_copies_when_roles_and_texts_are_equal() -> None:
    spec = text_spec(fields=[{"name": "chat", "type": "messages"}], strata={"by": []})
    chats = [[{"role": "user", "content": message(i)}] for i in range(11)]
    shouted = [[{"role": "user", "content": message(0).upper()}]]
    answered = [[{"role": "assistant", "content": message(1)}]]
    outcome = split([{"chat": chat} for chat in chats + shouted + answered], spec=spec)
    assert reasons(outcome) == {"exact_duplicate": 1}


def test_a_copy_that_was_kept_before_is_kept_again() -> None:
    rows = real_rows(SPEC, [*FILLER, *messages(1), *messages(1)])
    twins = rows.filter(pl.col("intent") == "pay")["example_id"].sort()
    previous = pl.DataFrame({"example_id": [twins[1]], "split": [SEALED]})
    outcome = split(rows, previous=previous)
    assert outcome.rejected["example_id"].to_list() == [twins[0]]
    assert outcome.rows.filter(example_id=twins[1])["split"].to_list() == [SEALED]


def test_a_private_copy_makes_the_kept_row_synthesis_only() -> None:
    outcome = split([*FILLER, *messages(1), *messages(1)], {12: SYNTHESIS_ONLY})
    assert outcome.rows.filter(pl.col("intent") == "pay")["disposition"].to_list() == [SYNTHESIS_ONLY]
    assert reasons(outcome) == {"exact_duplicate": 1}


def test_a_copy_of_a_withdrawn_row_is_excluded_with_it() -> None:
    rows = real_rows(SPEC, [*FILLER, *messages(1), *messages(1)])
    outcome = split(rows, {12: EXCLUDED})
    told = {row: (reason, related) for row, reason, related, _ in outcome.rejected.iter_rows()}
    assert told == {
        rows["example_id"][12]: ("excluded", None),
        rows["example_id"][13]: ("excluded", rows["example_id"][12]),
    }


# ---- near-duplicates

LONG = message(1, words=60)


def test_a_row_that_all_but_repeats_another_is_dropped() -> None:
    rows = real_rows(SPEC, [*FILLER, {"text": LONG, "intent": "pay"}, {"text": LONG + "!", "intent": "pay"}])
    outcome = split(rows)
    assert reasons(outcome) == {"near_duplicate": 1}
    assert outcome.rejected["related_id"][0] == min(rows["example_id"][12:])
    assert 0.95 <= outcome.rejected["similarity"][0] < 1


def test_near_equal_rows_of_other_labels_stay_in_one_cluster_and_split() -> None:
    outcome = split([*FILLER, *({"text": LONG + end, "intent": f"i{end}"} for end in ("", "!", "?"))])
    alike = outcome.rows.filter(pl.col("intent") != "filler")
    assert alike.height == 3
    assert alike["cluster"].unique().to_list() == [alike["example_id"].min()]
    assert alike["split"].n_unique() == 1


def test_rows_that_are_alike_but_not_all_but_equal_stay_in_one_split() -> None:
    texts = [message(1), variant(message(1), "now"), variant(message(1), "today")]
    outcome = split([*FILLER, *({"text": text, "intent": "pay"} for text in texts)])
    assert outcome.rejected.is_empty()
    assert outcome.rows.filter(pl.col("intent") == "pay")["cluster"].n_unique() == 1


def test_a_private_row_is_not_dropped_for_a_releasable_one() -> None:
    outcome = split(
        [*FILLER, {"text": LONG, "intent": "pay"}, {"text": LONG + "!", "intent": "pay"}], {13: SYNTHESIS_ONLY}
    )
    assert outcome.rejected.is_empty()


def test_another_short_answer_to_the_same_long_question_is_no_near_duplicate() -> None:
    spec = text_spec(
        fields=[{"name": "question", "type": "text"}, {"name": "answer", "type": "text"}], strata={"by": []}
    )
    other = [{"question": message(i), "answer": "yes"} for i in range(2, 14)]
    outcome = split([*other, {"question": LONG, "answer": "yes"}, {"question": LONG, "answer": "no"}], spec=spec)
    assert outcome.rejected.is_empty()


def test_a_shared_system_prompt_ties_no_rows_together() -> None:
    spec = text_spec(fields=[{"name": "chat", "type": "messages"}], strata={"by": []})
    system = {"role": "system", "content": message(0, words=200)}
    outcome = split([{"chat": [system, {"role": "user", "content": message(i)}]} for i in range(1, 41)], spec=spec)
    assert outcome.rejected.is_empty()
    assert outcome.rows["cluster"].n_unique() == 40


# ---- previous versions


def test_new_rows_join_the_split_of_their_cluster() -> None:
    rows = real_rows(SPEC, [*FILLER, *messages(1), {"text": variant(message(1), "now"), "intent": "pay"}])
    outcome = split(rows, previous=pinned(rows, {12: STEERING}))
    assert outcome.rows.filter(pl.col("intent") == "pay")["split"].to_list() == [STEERING, STEERING]


def test_a_new_row_between_two_splits_is_rejected_and_the_old_ones_stay() -> None:
    halves = message(1), message(2)
    middle = variant(halves[0], "now", "or", "not")
    rows = real_rows(
        SPEC, [*FILLER, *({"text": t, "intent": "pay"} for t in (halves[0], variant(middle, "at", "all"), middle))]
    )
    outcome = split(rows, previous=pinned(rows, {12: TRAIN, 13: SEALED}))
    bridge = outcome.rejected.row(0, named=True)
    assert (bridge["example_id"], bridge["reason"]) == (rows["example_id"][14], "split_bridge")
    assert bridge["related_id"] in rows["example_id"][12:14].to_list()
    held = dict(outcome.rows.select("example_id", "split").iter_rows())
    assert (held[rows["example_id"][12]], held[rows["example_id"][13]]) == (TRAIN, SEALED)


def test_of_a_chain_between_two_splits_no_kept_rows_of_different_splits_are_alike() -> None:
    texts = [message(1)]
    for word in ("now", "or", "never", "again", "please"):
        texts.append(variant(texts[-1], word, word[::-1]))
    rows = real_rows(SPEC, [*FILLER, *({"text": text, "intent": "pay"} for text in texts)])
    outcome = split(rows, previous=pinned(rows, {12: TRAIN, 17: SEALED}))
    assert reasons(outcome) == {"split_bridge": 1}
    assert straddling_pairs(outcome) == 0


def test_old_rows_keep_their_splits_even_if_they_are_alike() -> None:
    rows = real_rows(SPEC, [*FILLER, *messages(1), {"text": variant(message(1), "now"), "intent": "pay"}])
    outcome = split(rows, previous=pinned(rows, {12: TRAIN, 13: SEALED}))
    held = dict(outcome.rows.select("example_id", "split").iter_rows())
    assert [held[row] for row in rows["example_id"][12:]] == [TRAIN, SEALED]
    assert outcome.rejected.is_empty()


def test_new_rows_fill_what_the_old_ones_left_short() -> None:
    rows = real_rows(SPEC, messages(*range(100)))
    previous = pinned(rows, dict.fromkeys(range(50), TRAIN))
    outcome = split(rows, previous=previous)
    assert dict(outcome.rows["split"].value_counts().iter_rows()) == {TRAIN: 70, STEERING: 15, SEALED: 15}


# ---- invariants

row_kinds = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 3), st.sampled_from("ab"), st.integers(0, 9)), min_size=14, max_size=45
)


def make_rows(kinds: list[tuple[int, int, str, int]]) -> tuple[pl.DataFrame, dict[int, str]]:
    """Rows of 13 families of texts that are near-equal, equal or chained, two labels, and some dispositions."""
    rows = [*FILLER, *({"text": variant(message(f), *["now", "or", "never"][:n]), "intent": i} for f, n, i, _ in kinds)]
    marks = {row + 12: mark for row, (*_, chance) in enumerate(kinds) for mark in [mark_of(chance)] if mark}
    return real_rows(SPEC, rows), marks


def mark_of(chance: int) -> str | None:
    return {0: EXCLUDED, 1: SYNTHESIS_ONLY, 2: SYNTHESIS_ONLY}.get(chance)


def straddling_pairs(outcome: SeedSplit, old: frozenset[str] = frozenset()) -> int:
    """Pairs of near-equal rows in different splits, but for pairs of old rows."""
    rows = outcome.rows
    pairs = near_duplicate_pairs(rows["text"], threshold=SPEC.quality.near_duplicate_jaccard)
    return sum(
        rows["split"][left] != rows["split"][right] and not {rows["example_id"][left], rows["example_id"][right]} <= old
        for left, right, _ in pairs.iter_rows()
    )


@settings(max_examples=20)
@given(row_kinds)
def test_rows_are_conserved_and_no_cluster_straddles_splits(kinds: list[tuple[int, int, str, int]]) -> None:
    rows, marks = make_rows(kinds)
    outcome = split(rows, marks)
    ids = [*outcome.rows["example_id"], *outcome.rejected["example_id"]]
    assert sorted(ids) == rows["example_id"].sort().to_list()
    assert set(outcome.rows["disposition"]) <= {RELEASABLE, SYNTHESIS_ONLY}
    assert outcome.rows.group_by("cluster").agg(pl.col("split").n_unique())["split"].max() == 1
    assert (
        outcome.rows.group_by("cluster")
        .agg(pl.col("example_id").min())
        .filter(pl.col("cluster") != pl.col("example_id"))
        .is_empty()
    )
    assert straddling_pairs(outcome) == 0


@settings(max_examples=20)
@given(row_kinds, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(kinds: list[tuple[int, int, str, int]], chance: random.Random) -> None:
    rows, marks = make_rows(kinds)
    audit = audit_of(rows, marks)
    order = chance.sample(range(rows.height), rows.height)
    one, two = split_seeds(rows, audit, SPEC), split_seeds(rows[order], audit[order[::-1]], SPEC)
    assert one.rows.equals(two.rows)
    assert one.rejected.equals(two.rejected)


@settings(max_examples=20)
@given(row_kinds, row_kinds, st.lists(st.sampled_from(SPLITS), min_size=60, max_size=60))
def test_old_rows_keep_their_split_when_rows_are_added(
    kinds: list[tuple[int, int, str, int]], added: list[tuple[int, int, str, int]], scrambled: list[str]
) -> None:
    rows, marks = make_rows(kinds)
    first = split(rows, marks)
    # old splits as they never would be made, so that new rows do bridge them
    previous = first.rows.with_columns(split=pl.Series(scrambled[: first.rows.height]))
    more, more_marks = make_rows(kinds + added)
    second = split(more, {**more_marks, **marks}, previous=previous)
    assert second.rows.height + second.rejected.height == more.height
    kept = previous.join(second.rows, on="example_id", suffix="_now")
    assert (kept["split"] == kept["split_now"]).all()
    lost = previous.join(second.rows, on="example_id", how="anti").join(second.rejected, on="example_id")
    assert set(lost["reason"]) <= {"excluded"}
    old = frozenset(previous["example_id"])
    assert not old & set(second.rejected.filter(reason="split_bridge")["example_id"])
    assert straddling_pairs(second, old) == 0


def test_a_second_run_over_the_same_rows_changes_nothing() -> None:
    rows = real_rows(SPEC, messages(*range(50), *range(20)))
    first = split(rows)
    second = split(rows, previous=first.rows)
    assert second.rows.equals(first.rows)
    assert second.rejected.equals(first.rejected)


def test_seed_rows_hold_the_agreed_columns() -> None:
    rows = real_rows(SPEC, messages(*range(12)))
    outcome = split(rows)
    assert set(outcome.rows.columns) == {*rows.columns, "disposition", "split", "cluster"} - {"is_private"}
    assert outcome.rejected.schema == {
        "example_id": pl.String,
        "reason": pl.String,
        "related_id": pl.String,
        "similarity": pl.Float64,
    }


# ---- too little


def test_too_few_rows_are_refused_with_numbers_and_reasons() -> None:
    with pytest.raises(SeedError, match=r"only 8 rows are left of 13 \(4 exact_duplicate, 1 excluded\); at least 10"):
        split(messages(*range(9), *range(4)), {8: EXCLUDED})


def test_no_usable_row_at_all_is_refused() -> None:
    with pytest.raises(SeedError, match=r"no row is releasable or synthesis_only of 12 \(12 excluded\)"):
        split(FILLER, dict.fromkeys(range(12), EXCLUDED))


def test_no_rows_are_refused() -> None:
    with pytest.raises(SeedError, match="of 0"):
        split(real_rows(SPEC, FILLER).head(0))


def test_a_row_that_was_not_audited_is_refused() -> None:
    rows = real_rows(SPEC, FILLER)
    with pytest.raises(SeedError, match="1 of 12 rows have no disposition"):
        split_seeds(rows, audit_of(rows).head(11), SPEC)


@pytest.mark.skipif(SHARED_DATA is None, reason=NO_SHARED_DATA)
def test_customer_messages_are_split_within_half_a_percent_of_the_fractions() -> None:
    assert SHARED_DATA is not None
    raw = pl.read_csv(SHARED_DATA / "banking77" / "train.csv").select("text", intent="category")
    outcome = split(real_rows(SPEC, raw.to_dicts()))
    shares = dict(outcome.rows["split"].value_counts(normalize=True).iter_rows())
    assert shares == pytest.approx(FRACTIONS, abs=0.005)
    assert straddling_pairs(outcome) == 0
