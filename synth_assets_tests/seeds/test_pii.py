"""The search for personal data in a column of texts: frames, positions, overlaps, hostile text, measured quality."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import defaultdict

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth_assets.seeds.detectors.spans import ACTIONABLE_SCORE
from synth_assets.seeds.pii import _DETECTORS, COVERED, NOT_COVERED, _search, find_pii
from synth_assets_tests.paths import NO_SHARED_DATA, SHARED_DATA

needs_shared_data = pytest.mark.skipif(SHARED_DATA is None, reason=NO_SHARED_DATA)
MAIL = "jo.berg@example.com"


def found(text: str, language: str = "en") -> list[tuple[str, str]]:
    rows = find_pii(pl.Series([text]), language=language).rows(named=True)
    return [(row["entity"], text[row["start"] : row["end"]]) for row in rows]


def test_returns_one_row_a_finding_in_row_order():
    frame = find_pii(
        pl.Series(["call Mr. Berg, jo@berg.de", "nothing here", None, "10.20.30.40 and 4111 1111 1111 1111"])
    )
    assert frame.schema == {
        "row": pl.UInt32,
        "entity": pl.String,
        "start": pl.Int64,
        "end": pl.Int64,
        "score": pl.Float64,
    }
    assert frame.drop("score").rows() == [
        (0, "PERSON", 9, 13),
        (0, "EMAIL_ADDRESS", 15, 25),
        (3, "IP_ADDRESS", 0, 11),
        (3, "CREDIT_CARD", 16, 35),
    ]


def test_equal_texts_have_equal_findings():
    frame = find_pii(pl.Series([f"mail {MAIL}", "x", f"mail {MAIL}"]))
    assert frame["row"].to_list() == [0, 2]
    assert frame.drop("row").unique().height == 1


@pytest.mark.parametrize("texts", [pl.Series([], dtype=pl.String), pl.Series([None, None]), pl.Series([""])])
def test_no_text_has_no_findings(texts):
    assert find_pii(texts).is_empty()


def test_reads_categories_as_text():
    assert find_pii(pl.Series([MAIL, MAIL], dtype=pl.Categorical)).height == 2


def test_positions_count_characters_not_bytes():
    assert found(f"𝒳😀ü 👩‍👩‍👧 {MAIL} 😀") == [("EMAIL_ADDRESS", MAIL)]


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("to j\u200bo.berg@exam\u200dple.com!", "j\u200bo.berg@exam\u200dple.com"),
        ("ｊｏ＠ｅｘａｍｐｌｅ．ｃｏｍ", "ｊｏ＠ｅｘａｍｐｌｅ．ｃｏｍ"),
        ("card 4111\u00a01111\u20111111 1111", "4111\u00a01111\u20111111 1111"),
        ("card ４１１１１１１１１１１１１１１１", "４１１１１１１１１１１１１１１１"),
        ("\u202e\ufeffcard ٤١١١ ١١١١ ١١١١ ١١١١", "٤١١١ ١١١١ ١١١١ ١١١١"),
    ],
)
def test_sees_through_odd_characters_and_points_at_the_original(text, hidden):
    assert [value for _, value in found(text)] == [hidden]


def test_the_more_telling_entity_wins_where_findings_overlap():
    assert found("https://user:s3cr3t@db.example.com/x")[0][0] == "SECRET"
    assert found("card number 4111-1111-1111-1111, call me") == [("CREDIT_CARD", "4111-1111-1111-1111")]
    assert found("I live at 12 Maria Garcia Street") == [("STREET_ADDRESS", "12 Maria Garcia Street")]


def test_language_decides_whose_national_numbers_are_looked_for():
    assert found("DNI 12345678Z", "es-MX") == [("ES_NIF", "12345678Z")]
    assert found("DNI 12345678Z", "en") == []
    assert found("SSN 536-90-4399", "es") == [("US_SSN", "536-90-4399")]


def test_what_is_covered_and_what_is_not_are_disjoint_and_told():
    assert not set(COVERED) & set(NOT_COVERED)
    assert {"PERSON", "EMAIL_ADDRESS", "SECRET", "STREET_ADDRESS"} <= set(COVERED)
    assert {"LOCATION", "NRP", "MEDICAL_RECORD_NUMBER"} <= set(NOT_COVERED)
    assert all(COVERED.values())


@given(st.lists(st.text(max_size=60) | st.sampled_from([MAIL, "Mr. Berg", "4111111111111111", "\u200b"]), max_size=6))
def test_findings_lie_in_their_text_in_order_without_overlap(parts):
    text = " ".join(parts)
    rows = find_pii(pl.Series([text])).rows(named=True)
    last = 0
    for row in rows:
        assert last <= row["start"] < row["end"] <= len(text)
        assert 0 < row["score"] <= 1
        assert row["entity"] in COVERED
        last = row["end"]


@given(st.text(alphabet="ab😀 é\n", max_size=30), st.text(alphabet="ab😀 é\n", max_size=30))
def test_an_address_is_found_wherever_it_stands(before, after):
    assert ("EMAIL_ADDRESS", MAIL) in found(f"{before} {MAIL} {after}")


@pytest.mark.parametrize("position", [0, 98_990, 99_990, 100_000, 198_000, 2_000_000])
def test_finds_what_lies_across_the_pieces_of_a_long_text(position):
    text = "lorem ipsum " * (position // 12) + f"{MAIL} 4111 1111 1111 1111" + " dolor sit" * 10_000
    assert found(text) == [("EMAIL_ADDRESS", MAIL), ("CREDIT_CARD", "4111 1111 1111 1111")]


def test_reads_ten_million_characters():
    text = "plain words and 12 more. " * 400_000 + f"mail {MAIL}"
    assert found(text) == [("EMAIL_ADDRESS", MAIL)]


SHAPES = (
    *("a", "a@", "a.", "a-", "a'", "A. ", "Abc ", "@", "1 ", "1-", "1.", "1x", "1\n", "(1", "+1 ", "12:", "AB12", "::"),
    *("Mr. ", "my name is ", "John ", "12 Elm ", "Rua de ", "Apt 1 ", "born 1 ", "account number 1 ", "a [at] "),
    *("eyJa.", "sk-", "password=", "key: a1", "-----BEGIN RSA PRIVATE KEY-----", "http://", "www.a"),
    *("\u200b", "😀", "\x00", "\n"),
)


@pytest.mark.parametrize("unit", SHAPES)
def test_no_repeated_shape_takes_more_than_linear_time(unit):
    text = (unit * 100_000)[:100_000]
    start = time.process_time()
    find_pii(pl.Series([text]))
    assert time.process_time() - start < 8


def test_control_characters_do_no_harm():
    assert found(f"\x00\x01\x1b[31m {MAIL}\x7f\x85\ud7ff") == [("EMAIL_ADDRESS", MAIL)]


def test_plain_text_loads_no_model_and_nothing_reaches_the_network():
    code = f"""
import socket, sys
def refuse(*arguments, **settings): raise AssertionError("network")
socket.socket.connect = socket.getaddrinfo = refuse
import polars as pl
from synth_assets.seeds.pii import find_pii
assert find_pii(pl.Series(["top up with my card please", "When will it arrive?"] * 100)).is_empty()
assert not any(name.startswith(("presidio", "spacy", "phonenumbers", "tldextract")) for name in sys.modules)
assert find_pii(pl.Series(["{MAIL} https://a.example.com 4111 1111 1111 1111 +44 20 7946 0958"])).height == 4
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# ---- measured on real data


def texts_of_presidio() -> list[dict]:
    assert SHARED_DATA is not None
    return json.loads((SHARED_DATA / "pii" / "presidio_synth_even.json").read_text())


def recall_and_precision(samples: list[dict], label: str, entity: str) -> tuple[float, float]:
    """Share of labeled spans that a finding touches, and share of findings that touch a labeled span."""
    findings = defaultdict(list)
    for row, kind, start, end, _ in find_pii(pl.Series([sample["full_text"] for sample in samples])).iter_rows():
        if kind == entity:
            findings[row].append((start, end))
    hits = spans = right = told = 0
    for number, sample in enumerate(samples):
        wanted = [(s["start_position"], s["end_position"]) for s in sample["spans"] if s["entity_type"] == label]
        hits += sum(any(a < end and start < b for start, end in findings[number]) for a, b in wanted)
        right += sum(any(a < end and start < b for a, b in wanted) for start, end in findings[number])
        spans += len(wanted)
        told += len(findings[number])
    return hits / spans, right / told


@needs_shared_data
@pytest.mark.parametrize(
    ("label", "entity", "recall", "precision"),
    [
        ("EMAIL_ADDRESS", "EMAIL_ADDRESS", 0.95, 0.95),
        ("DOMAIN_NAME", "URL", 0.95, 0.95),
        ("CREDIT_CARD", "CREDIT_CARD", 0.95, 0.95),
        ("IBAN_CODE", "IBAN_CODE", 0.95, 0.95),
        ("IP_ADDRESS", "IP_ADDRESS", 0.95, 0.95),
        ("US_SSN", "US_SSN", 0.95, 0.95),
        ("PHONE_NUMBER", "PHONE_NUMBER", 0.80, 0.95),
        ("STREET_ADDRESS", "STREET_ADDRESS", 0.60, 0.95),
        ("PERSON", "PERSON", 0.60, 0.85),
    ],
)
def test_finds_labeled_data(label, entity, recall, precision):
    measured = recall_and_precision(texts_of_presidio(), label, entity)
    assert measured[0] >= recall
    assert measured[1] >= precision


@needs_shared_data
def test_seldom_alarms_on_messages_without_personal_data():
    assert SHARED_DATA is not None
    messages = pl.read_csv(SHARED_DATA / "banking77" / "train.csv")["text"]
    assert find_pii(messages)["row"].n_unique() / messages.len() < 0.003


@needs_shared_data
def test_triggers_lose_nothing():
    """Reading a text with every detector finds no more than reading it with those whose triggers match."""
    texts = [sample["full_text"] for sample in texts_of_presidio()]
    frame = find_pii(pl.Series(texts))
    for number, text in enumerate(texts[:300]):
        if text.isascii():
            spans = [(span.entity, span.start, span.end) for span in _search(text, _DETECTORS, "en")]
            assert spans == frame.filter(pl.col("row") == number).select("entity", "start", "end").rows()


@needs_shared_data
def test_given_names_of_story_figures_are_told_but_hold_few_rows_back():
    assert SHARED_DATA is not None
    lines = (SHARED_DATA / "gsm8k" / "train_first_3000.jsonl").read_text().splitlines()
    questions = pl.Series([json.loads(line)["question"] for line in lines])
    frame = find_pii(questions)
    held = frame.filter(pl.col("score") >= ACTIONABLE_SCORE)["row"].n_unique()
    assert held / questions.len() < 0.05
