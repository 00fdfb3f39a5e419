"""Near-duplicates agree with brute force, clusters with a graph library's meaning, n-grams with plain string search."""

from __future__ import annotations

import random
import re
import unicodedata

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth_assets.similarity import (
    comparison_texts,
    connected_components,
    find_ngrams,
    find_stock_parts,
    hash_shingles,
    index_ngrams,
    keep_first,
    match_signatures,
    measure_jaccard,
    near_duplicate_pairs,
    near_duplicates,
    ngram_matches,
    normalize_text,
    sign_texts,
)
from synth_assets.similarity import texts as texts_of
from synth_assets_tests.builders import real_rows, text_spec

short_texts = st.lists(st.text(alphabet="abcß Éς\t", max_size=14), max_size=25)


def normalized(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def brute_jaccard(one: str, two: str) -> float:
    a, b = ({text[i : i + 5] for i in range(max(1, len(text) - 4))} for text in (one, two))
    return len(a & b) / len(a | b)


def brute_pairs(texts: list[str], threshold: float) -> dict[tuple[int, int], float]:
    """Pairs as near_duplicate_pairs promises them: stars of equal texts, and pairs of first occurrences."""
    plain = [normalized(text) for text in texts]
    first = {text: plain.index(text) for text in plain}
    pairs = {(first[text], row): 1.0 for row, text in enumerate(plain) if text and first[text] < row}
    distinct = sorted((row, text) for text, row in first.items() if text)
    for place, (left, one) in enumerate(distinct):
        for right, two in distinct[place + 1 :]:
            if brute_jaccard(one, two) >= threshold:
                pairs[left, right] = brute_jaccard(one, two)
    return pairs


def as_dict(pairs: pl.DataFrame) -> dict[tuple[int, int], float]:
    return {(left, right): jaccard for left, right, jaccard in pairs.iter_rows()}


def random_messages(count: int, words: int = 12, seed: int = 0) -> list[str]:
    chance = random.Random(seed)
    lexicon = ["".join(chance.choices("abcdefghijklmnopqrst", k=chance.randint(2, 8))) for _ in range(2000)]
    return [" ".join(chance.choices(lexicon, k=words)) for _ in range(count)]


# ---- normalized text


def test_text_is_composed_casefolded_and_its_spaces_are_single() -> None:
    texts = pl.DataFrame({"t": ["  Ｆｕｌｌ\u00a0Width\n\tStraße ", "ΣΊΣΥΦΟΣ", "plain  TEXT", "", None]})
    assert texts.select(normalize_text(pl.col("t"))).to_series().to_list() == [
        "full width strasse",
        "σίσυφοσ",
        "plain text",
        "",
        None,
    ]


@given(st.lists(st.text(max_size=8), min_size=1, max_size=20))
def test_normalized_text_agrees_with_unicodedata_on_any_text(texts: list[str]) -> None:
    known = [text for text in texts if all(unicodedata.category(char) != "Cn" for char in text)]
    found = pl.DataFrame({"t": pl.Series(known, dtype=pl.String)}).select(normalize_text(pl.col("t"))).to_series()
    assert [re.sub(r"\s", "", text) for text in found] == [re.sub(r"\s", "", normalized(text)) for text in known]


# ---- Jaccard


@given(short_texts, st.sampled_from([0.3, 0.5, 0.8, 1.0]))
def test_pairs_and_similarities_are_those_of_brute_force(texts: list[str], threshold: float) -> None:
    found = as_dict(near_duplicate_pairs(pl.Series(texts, dtype=pl.String), threshold=threshold))
    expected = brute_pairs(texts, threshold)
    assert found.keys() == expected.keys()
    assert all(found[pair] == pytest.approx(expected[pair]) for pair in found)


@given(short_texts, short_texts)
def test_pairs_with_others_are_those_of_brute_force(texts: list[str], others: list[str]) -> None:
    found = as_dict(
        near_duplicate_pairs(
            pl.Series(texts, dtype=pl.String), others=pl.Series(others, dtype=pl.String), threshold=0.5
        )
    )
    plain, other = [normalized(text) for text in texts], [normalized(text) for text in others]
    expected = {
        (left, other.index(two)): brute_jaccard(one, two)
        for left, one in enumerate(plain)
        for two in other
        if one and two and brute_jaccard(one, two) >= 0.5
    }
    assert found == pytest.approx(expected)


@given(st.lists(st.tuples(st.text("ab c", max_size=9), st.text("ab c", max_size=9)), min_size=1, max_size=10))
def test_jaccard_of_given_pairs_is_that_of_brute_force(pairs: list[tuple[str, str]]) -> None:
    one, two = [normalized(pair[0]) for pair in pairs], [normalized(pair[1]) for pair in pairs]
    expected = [float(a == b) if not a or not b else brute_jaccard(a, b) for a, b in zip(one, two, strict=True)]
    assert measure_jaccard(pl.Series(one), pl.Series(two)).tolist() == pytest.approx(expected)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), min_size=1, max_size=20), st.integers(0, 99))
def test_jaccard_is_that_of_brute_force_for_texts_of_very_different_lengths(
    spans: list[tuple[int, int]], seed: int
) -> None:
    text = normalized(" ".join(random_messages(6, seed=seed)) + " ç" * 9)
    one, two = [text[:length] + "x" for length, _ in spans], ["x" + text[-length - 1 :] for _, length in spans]
    expected = [brute_jaccard(normalized(a), normalized(b)) for a, b in zip(one, two, strict=True)]
    assert measure_jaccard(pl.Series(one), pl.Series(two)).tolist() == pytest.approx(expected)


def test_null_and_empty_texts_are_near_to_nothing() -> None:
    assert near_duplicate_pairs(pl.Series(["", None, "  ", None])).is_empty()


def test_a_short_text_is_one_shingle() -> None:
    assert as_dict(near_duplicate_pairs(pl.Series(["abc", "abd", "ABC"]))) == {(0, 2): 1.0}


def test_result_has_the_agreed_types() -> None:
    schema = {"left": pl.UInt32, "right": pl.UInt32, "jaccard": pl.Float64}
    assert near_duplicate_pairs(pl.Series([], dtype=pl.String)).schema == schema
    assert near_duplicate_pairs(pl.Series(["a b c d"] * 2), others=pl.Series(["a b c d"])).schema == schema


@pytest.mark.parametrize(("threshold", "permutations"), [(0.0, 128), (1.1, 128), (0.8, 0), (0.8, 129)])
def test_impossible_settings_are_refused(threshold: float, permutations: int) -> None:
    with pytest.raises(ValueError, match="is not in"):
        near_duplicate_pairs(pl.Series(["a"]), threshold=threshold, permutations=permutations)


# ---- many texts: candidates come from bands


@pytest.fixture(scope="module")
def messages() -> tuple[list[str], list[tuple[int, int]]]:
    """4,000 messages, then 2,000 variants with one word replaced, added or cut; and the planted pairs."""
    texts = random_messages(4000)
    chance = random.Random(1)
    planted = []
    for row in range(2000):
        words = texts[row].split()
        place = chance.randrange(len(words))
        words[place : place + chance.choice([0, 1])] = chance.choice([[], [chance.choice(words)]])
        planted.append((row, len(texts)))
        texts.append(" ".join(words))
    return texts, planted


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9])
def test_bands_find_99_percent_of_the_pairs(
    messages: tuple[list[str], list[tuple[int, int]]], threshold: float
) -> None:
    texts, planted = messages
    found = as_dict(near_duplicate_pairs(pl.Series(texts), threshold=threshold))
    true = [pair for pair in planted if brute_jaccard(texts[pair[0]], texts[pair[1]]) >= threshold]
    first = {text: row for row, text in reversed(list(enumerate(texts)))}
    hit = sum((first[texts[left]], first[texts[right]]) in found or texts[left] == texts[right] for left, right in true)
    assert len(true) > 300
    assert hit >= 0.99 * len(true)


def test_every_reported_pair_is_true(messages: tuple[list[str], list[tuple[int, int]]]) -> None:
    texts, _ = messages
    for (left, right), jaccard in as_dict(near_duplicate_pairs(pl.Series(texts))).items():
        assert jaccard >= 0.8
        assert jaccard == pytest.approx(brute_jaccard(texts[left], texts[right]))


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0])
@pytest.mark.parametrize("permutations", [64, 128])
def test_the_plan_finds_a_pair_at_the_threshold_with_the_least_recall(threshold: float, permutations: int) -> None:
    plan = near_duplicates._plan_bands(threshold, permutations)
    assert plan.bands * plan.rows <= plan.minima <= permutations
    assert 1 - (1 - threshold**plan.rows) ** plan.bands >= near_duplicates.LEAST_RECALL


def test_a_plan_that_cannot_have_it_takes_every_minimum_as_a_band() -> None:
    assert near_duplicates._plan_bands(0.02, 16) == near_duplicates._Plan(16, 1, 16)


def test_the_result_does_not_depend_on_chunk_sizes_and_threads(
    messages: tuple[list[str], list[tuple[int, int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = pl.Series(messages[0])
    whole, against = near_duplicate_pairs(texts), near_duplicate_pairs(texts, others=texts[:3000])
    for module, name in (
        (texts_of, "_CHUNK_CHARACTERS"),
        (texts_of, "_CACHED"),
        (near_duplicates, "_CHUNK_PAIRS"),
        (near_duplicates, "_CHUNK_SHINGLES"),
        (near_duplicates, "_BLOCK"),
    ):
        monkeypatch.setattr(module, name, 1000)
    monkeypatch.setattr(texts_of, "_MOST_THREADS", 1)
    assert near_duplicate_pairs(texts).equals(whole)
    assert near_duplicate_pairs(texts, others=texts[:3000]).equals(against)


def test_a_column_against_itself_gives_the_pairs_within_it(messages: tuple[list[str], list[tuple[int, int]]]) -> None:
    texts = pl.Series(sorted(set(messages[0])))
    within = near_duplicate_pairs(texts)
    against = near_duplicate_pairs(texts, others=texts).filter(pl.col("left") < pl.col("right"))
    assert within.height > 1000
    assert against.equals(within)


def test_a_text_has_the_same_shingles_beside_texts_of_any_script() -> None:
    plain = pl.Series(["how do i pay?", "abc", "a longer text, to have more than one run of characters in the cache"])
    hashes, counts = hash_shingles(plain)
    beside, beside_counts = hash_shingles(pl.concat([plain, pl.Series(["wo ist mein geld, weiß es jemand 🙂"])]))
    assert counts.tolist() == [9, 1, 63]
    assert beside[: len(hashes)].tolist() == hashes.tolist()
    assert beside_counts.tolist() == [9, 1, 63, 30]


@given(st.lists(st.text("abé🙂 ", min_size=1, max_size=60), min_size=1, max_size=12), st.integers(1, 6))
def test_shingles_are_equal_where_the_characters_are(texts: list[str], size: int) -> None:
    hashes, counts = hash_shingles(pl.Series(texts), size)
    told = [text.ljust(size, "\0") for text in texts]
    runs = [text[i : i + size] for text in told for i in range(len(text) - size + 1)]
    assert counts.tolist() == [len(text) - size + 1 for text in told]
    assert len(set(zip(hashes.tolist(), runs, strict=True))) == len(set(runs)) == len(set(hashes.tolist()))


def test_a_hundred_thousand_equal_texts_make_one_star() -> None:
    pairs = near_duplicate_pairs(pl.Series(["Where is my card?", "where is  my card?"] * 50_000))
    assert pairs.height == 99_999
    assert pairs["left"].unique().to_list() == [0]
    assert pairs["jaccard"].unique().to_list() == [1.0]


def test_thousands_of_texts_that_are_alike_but_not_equal_do_not_make_all_pairs() -> None:
    texts = [
        f"your parcel number {i:05d} has left our house and will be with you by the end of this week"
        for i in range(6000)
    ]
    pairs = near_duplicate_pairs(pl.Series(texts), threshold=0.7)
    assert pairs.height < 6000 * 400
    assert len(set(connected_components(len(texts), pairs).tolist())) == 1


def test_kept_signatures_match_like_the_kept_texts(messages: tuple[list[str], list[tuple[int, int]]]) -> None:
    texts = pl.Series(messages[0])
    rows = np.random.default_rng(0).random(len(texts)) < 0.7
    kept = match_signatures(sign_texts(texts).keep(rows))
    place = np.cumsum(rows) - 1
    alone = near_duplicate_pairs(texts.filter(pl.Series(rows)))
    assert place[kept["left"].to_numpy()].tolist() == alone["left"].to_list()
    assert place[kept["right"].to_numpy()].tolist() == alone["right"].to_list()


def test_signatures_of_different_settings_are_not_matched() -> None:
    with pytest.raises(ValueError, match="different"):
        match_signatures(sign_texts(pl.Series(["a"])), sign_texts(pl.Series(["a"]), threshold=0.5))


# ---- clusters and order


@given(st.integers(1, 30), st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=30))
def test_a_component_is_named_by_its_smallest_member(n: int, links: list[tuple[int, int]]) -> None:
    links = [(a % n, b % n) for a, b in links]
    expected = list(range(n))
    for _ in range(n):
        for a, b in links:
            expected[a] = expected[b] = min(expected[a], expected[b])
    pairs = pl.DataFrame(
        {"left": [a for a, _ in links], "right": [b for _, b in links]}, schema={"left": pl.UInt32, "right": pl.UInt32}
    )
    assert connected_components(n, pairs).tolist() == expected


def test_a_row_is_dropped_only_for_a_kept_one() -> None:
    chain = pl.DataFrame({"left": [0, 1, 2], "right": [1, 2, 3], "jaccard": [0.9, 0.9, 0.9]})
    assert keep_first(chain).select("left", "right").rows() == [(0, 1), (2, 3)]


def test_a_dropped_row_is_told_with_the_kept_one_most_like_it() -> None:
    pairs = pl.DataFrame({"left": [0, 1], "right": [2, 2], "jaccard": [0.8, 0.95]})
    assert keep_first(pairs).rows() == [(1, 2, 0.95)]


# ---- boilerplate


def test_parts_that_ten_rows_share_are_left_out_of_the_comparison() -> None:
    spec = text_spec(
        fields=[{"name": "instruction", "type": "text"}, {"name": "chat", "type": "messages"}], strata={"by": []}
    )
    system = {"role": "system", "content": "You are a polite and patient assistant of a bank."}
    rows = real_rows(
        spec,
        [
            {"instruction": "Answer briefly!", "chat": [system, {"role": "user", "content": f"Question {i}?"}]}
            for i in range(10)
        ],
    )
    stock = find_stock_parts(rows, spec)
    assert stock.to_list() == ["answer briefly!", "you are a polite and patient assistant of a bank."]
    assert comparison_texts(rows, spec, stock).to_list() == [f"question {i}?" for i in range(10)]


def test_fields_of_any_name_are_joined_in_order() -> None:
    fields = [{"name": "row", "type": "text"}, {"name": "chat", "type": "messages"}, {"name": "part", "type": "text"}]
    spec = text_spec(fields=fields, strata={"by": []})
    chat = [{"role": "user", "content": "Two"}, {"role": "assistant", "content": ""}, {"role": "user", "content": "3"}]
    rows = real_rows(spec, [{"row": "One", "chat": chat, "part": "4"}, {"row": None, "chat": [], "part": "Five"}])
    assert comparison_texts(rows, spec, pl.Series([], dtype=pl.String)).to_list() == ["one two 3 4", "five"]
    assert comparison_texts(rows, spec, pl.Series(["3", "five"])).to_list() == ["one two 4", None]


def test_a_row_of_boilerplate_alone_has_nothing_to_compare() -> None:
    spec = text_spec()
    rows = real_rows(spec, [{"text": "No remarks.", "intent": f"i{i}"} for i in range(10)])
    assert comparison_texts(rows, spec, find_stock_parts(rows, spec)).to_list() == [None] * 10


# ---- n-grams


def brute_longest_span(one: list[str], two: list[str]) -> int:
    best = 0
    for i in range(len(one)):
        for j in range(len(two)):
            k = 0
            while i + k < len(one) and j + k < len(two) and one[i + k] == two[j + k]:
                k += 1
            best = max(best, k)
    return best


token_texts = st.lists(st.lists(st.sampled_from("abc"), max_size=9), min_size=1, max_size=6)


@given(token_texts, token_texts, st.integers(1, 5))
def test_a_text_matches_exactly_when_it_shares_that_many_tokens(
    texts: list[list[str]], reference: list[list[str]], words: int
) -> None:
    found = ngram_matches(
        pl.Series([" ".join(text) for text in texts]), pl.Series([" ".join(text) for text in reference]), words=words
    )
    longest = [max(brute_longest_span(text, other) for other in reference) for text in texts]
    assert found["row"].to_list() == [row for row, length in enumerate(longest) if length >= words]
    for row, other, ngram in found.iter_rows():
        assert words <= len(ngram.split()) <= longest[row]
        assert f" {ngram} " in f" {' '.join(texts[row])} "
        assert f" {ngram} " in f" {' '.join(reference[other])} "


def test_the_longest_span_is_reported_beyond_the_ngram() -> None:
    found = ngram_matches(
        pl.Series(["Well: please tell me, how do I reset my card now"]),
        pl.Series(["how do i", "Tell me how do I RESET my card!", "nothing"]),
        words=3,
    )
    assert found.rows() == [(0, 1, "tell me how do i reset my card")]
    assert found.schema == {"row": pl.UInt32, "reference_row": pl.UInt32, "ngram": pl.String}


def test_spans_do_not_cross_texts() -> None:
    assert ngram_matches(pl.Series(["a b", "c d"]), pl.Series(["a b c d"]), words=3).is_empty()
    assert ngram_matches(pl.Series(["a b c d"]), pl.Series(["a b", "c d"]), words=3).is_empty()


def test_apostrophes_belong_to_the_word_and_punctuation_to_none() -> None:
    found = ngram_matches(pl.Series(["It’s (really) done"]), pl.Series(["it's really, done"]), words=3)
    assert found["ngram"].to_list() == ["it's really done"]


def test_scripts_without_spaces_are_compared_by_character() -> None:
    found = ngram_matches(pl.Series(["我的银行卡还没有到", "别的"]), pl.Series(["请问我的银行卡在哪里"]), words=5)
    assert found.rows() == [(0, 0, "我 的 银 行 卡")]


def test_empty_texts_and_an_empty_reference_match_nothing() -> None:
    nothing = pl.Series([], dtype=pl.String)
    assert ngram_matches(pl.Series(["", None, "a b"]), nothing, words=1).is_empty()
    assert ngram_matches(nothing, pl.Series(["a b"]), words=1).is_empty()
    assert ngram_matches(pl.Series(["", None]), pl.Series([None, "", "a"]), words=1).is_empty()


def test_matches_do_not_depend_on_chunk_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = pl.Series(random_messages(300))
    whole = ngram_matches(texts, texts[:100], words=5)
    monkeypatch.setattr(texts_of, "_CHUNK_CHARACTERS", 500)
    assert whole.height >= 100
    assert ngram_matches(texts, texts[:100], words=5).equals(whole)


def test_ngrams_of_many_groups_can_be_left_out() -> None:
    reference = pl.Series(["how do i pay this bill", "how do i pay my rent", "where is my green card"])
    index = index_ngrams(reference, words=4)
    rare = index.without(index, spread=2)
    texts = pl.Series(["how do i pay", "where is my green"])
    assert find_ngrams(texts, index)["row"].to_list() == [0, 1]
    assert find_ngrams(texts, rare)["row"].to_list() == [1]


def test_a_group_counts_once_in_the_spread() -> None:
    reference = pl.Series(["how do i pay", "how do i pay", "how do i pay"])
    assert index_ngrams(reference, words=4).spread.tolist() == [3]
    assert index_ngrams(reference, words=4, groups=pl.Series(["x", "x", "y"])).spread.tolist() == [2]
