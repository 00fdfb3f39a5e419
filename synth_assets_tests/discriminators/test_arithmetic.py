"""Worked answers are worked out again: right ones pass, wrong sums and answers the steps do not give are told."""

from __future__ import annotations

import json
import time
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth_assets.discriminators.arithmetic import Arithmetic, check_answer, evaluate
from synth_assets_tests.builders import text_spec

RIGHT = [
    "Two crates of 12 make 2*12=<<2*12=24>>24 pears.\nHalf is 24/2=<<24/2=12>>12.\n#### 12",
    "It costs $0.30 + $0.60 = $<<0.30+0.60=0.90>>0.90\n#### 90",  # told in cents
    "A third of ten is 10/3=<<10/3=3.33>>3.33\n#### 3",
    "Each gets 10/4=<<10/4=2.5>>2.5, so 3 tables are needed.\n#### 3",
    "She keeps 20%*30=<<20%*30=6>>6 stamps.\n#### 6",
    "The house is worth 1,000*250=<<1000*250=250000>>250,000\n#### 250,000",
    "The first needs <<4+2=6>>6 tiles.\nThe other needs 6 - 1 = 5.\n#### 5",  # the last sum is not marked
    "Let x be the crates: <<x+3=7>>7, so x is four.\n#### 4",
    "He runs 3 x 4 = 12 laps, 12 + 5 = 17 in all.\n#### 17",
    "It loses -5 degrees: <<3-8=-5>>-5\n#### -5",
    "Days: 7/2 = <<7/2=3.5>>3.5\n#### 3.5",
]
WRONG_SUM = [
    ("Two crates make 2*12=<<2*12=25>>25.\n#### 25", "2*12=25", "24"),
    ("A third is 10/3=<<10/3=3.43>>3.43\n#### 3.43", "10/3=3.43", "3.33333"),
    ("He runs 3 x 4 = 13 laps.\n#### 13", "3 x 4=13", "12"),
    ("First <<1+1=2>>2, then <<2+2=5>>5.\n#### 5", "2+2=5", "4"),
]


@pytest.mark.parametrize("text", RIGHT)
def test_a_right_answer_passes(text: str) -> None:
    assert check_answer(text).reason == ""


@pytest.mark.parametrize(("text", "sum_", "value"), WRONG_SUM)
def test_a_wrong_sum_is_told_with_its_value(text: str, sum_: str, value: str) -> None:
    check = check_answer(text)
    assert check.reason == "wrong_sum"
    assert json.loads(check.evidence) == {"sum": sum_, "is": value}


def test_an_answer_that_the_steps_do_not_give_is_wrong() -> None:
    check = check_answer("Two crates of 12 make 2*12=<<2*12=24>>24 pears.\n#### 26")
    assert (check.reason, json.loads(check.evidence)) == ("wrong_answer", {"answer": "26", "steps": "24"})


def test_an_earlier_number_is_no_answer() -> None:
    assert check_answer("He has 7 pens and buys 5: <<7+5=12>>12 pens.\n#### 7").reason == "wrong_answer"


@pytest.mark.parametrize("text", ["", "It is 24.", "24 ####", "<<2*12=24>>24\n#### many", "#### 1e99", "####"])
def test_without_a_number_after_the_mark_there_is_no_answer(text: str) -> None:
    assert check_answer(text).reason == "no_answer"


def test_the_score_is_the_share_of_the_sums_that_could_be_worked_out() -> None:
    assert check_answer("<<x+3=7>>7, then <<7+1=8>>8\n#### 8").checked == 0.5
    assert check_answer("It must be eight.\n#### 8").checked == 0.0


numbers = st.integers(0, 10**9)


@given(numbers, numbers, st.integers(1, 10**6), st.integers(1, 10**6))
def test_any_wrong_result_and_any_wrong_answer_is_caught(a: int, b: int, c: int, off: int) -> None:
    value = (a + b) * c
    worked = f"So ({a}+{b})*{c}=<<({a}+{b})*{c}={{}}>>{{}} in all.\n#### {{}}"
    assert check_answer(worked.format(value, value, value)).reason == ""
    assert check_answer(worked.format(value + off, value + off, value + off)).reason == "wrong_sum"
    if value + off not in (100 * value,):
        assert check_answer(worked.format(value, value, value + off)).reason == "wrong_answer"


@given(st.integers(-999, 999), st.integers(1, 999), st.integers(0, 6))
def test_a_quotient_may_be_rounded_or_cut_to_the_digits_shown_and_no_further(a: int, b: int, digits: int) -> None:
    value = Fraction(a, b)
    for shown in (round(value, digits), Fraction(int(value * 10**digits), 10**digits)):
        assert check_answer(f"<<{a}/{b}={float(shown):.{digits}f}>>\n#### {float(shown):.{digits}f}").reason == ""
    far = float(round(value, digits)) + 2 / 10**digits
    assert check_answer(f"<<{a}/{b}={far:.{digits}f}>>\n#### {far:.{digits}f}").reason == "wrong_sum"


HOSTILE = [
    "9**9**9**9",
    "9" * 150 + "*" + "9" * 40,
    "(" * 199,
    "1e9999999999",
    "__import__('os').system('true')",
    "1/0",
    "1//0",
    "5%0",
    "²+²",
    "1_000+1",
    "1j*1j",
    "",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_no_plain_sum_has_no_value(text: str) -> None:
    assert evaluate(text) is None


@pytest.mark.parametrize("text", ["1" * 200_000, "1+" * 100_000, "1 " * 100_000, "<<" * 100_000, "1,111" * 40_000])
def test_a_long_hostile_answer_takes_no_time(text: str) -> None:
    began = time.perf_counter()
    check_answer(text + "\n#### 1")
    assert time.perf_counter() - began < 5


def test_the_verdicts_stand_beside_their_candidates() -> None:
    fields = [{"name": "question", "type": "text"}, {"name": "answer", "type": "text"}]
    spec = text_spec(fields=fields, strata={}, verification={"kind": "arithmetic", "solution": "answer"})
    answers = [RIGHT[0], WRONG_SUM[0][0], None]
    frame = pl.DataFrame({"example_id": ["a", "b", "c"], "question": ["?"] * 3, "answer": answers})
    judged = Arithmetic(spec).judge(frame)
    assert judged["example_id"].to_list() == ["a", "b", "c"]
    assert judged["passed"].to_list() == [True, False, False]
    assert judged["reason"].to_list() == ["", "wrong_sum", "no_answer"]
    assert judged["evidence"][0] == ""
