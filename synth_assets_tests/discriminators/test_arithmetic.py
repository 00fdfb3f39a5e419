"""Worked answers are worked out again: right ones pass, wrong sums and answers the steps do not give are told."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
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
    # what the sum is the reason for
    "Of nine swims she needs five.\nShe can miss 4 swims because 9 - 4 = <<9-4=5>>5\n#### 4",
    "Since 9 - 4 = <<9-4=5>>5, she can miss 4 swims.\n#### 4",
    "He rests on four days, since 7 - 4 = 3 are for work.\n#### 4",
    # rounded for people, buses, coins
    "The class needs 53/8=<<53/8=6.625>>6.625 boats.\n#### 7",
    "The class needs 53/8=<<53/8=6.625>>6.625, that is seven boats.\n#### 7",
    "She fills 53/8=<<53/8=6.625>>6.625 bags, so only 6 are full.\n#### 6",
    "They pay 10/3=$<<10/3=3.333>>3.333 each.\n#### $3.33",
    # money and percent in hundredths
    "One pen is $3/12 = $<<3/12=0.25>>0.25\n#### 25 cents",
    "They cost 40*5=<<40*5=200>>200 pennies.\n#### 2",
    "Of 40 birds 10 are owls: 10/40=<<10/40=0.25>>0.25 of them, in percent.\n#### 25%",
    "A third is 1/3=<<1/3=0.3333>>0.3333, in percent.\n#### 33",
    # fractions and times
    "He ate 6/8=<<6/8=0.75>>0.75 of it.\n#### 3/4",
    "It lasts 3/2=<<3/2=1.5>>1.5 hours.\n#### 1 1/2 hours",
    "It leaves after 3+2=<<3+2=5>>5 hours and a half, at 5:30 PM.\n#### 5:30",
    "It takes 90/60=<<90/60=1.5>>1.5 hours from 2:00, so it ends at 3:30 p.m.\n#### 3:30 p.m.",
    "They meet at 14-12=<<14-12=2>>2:00 pm.\n#### 2",
    # sums without marks, with units, thousands, unknown quantities
    "There were 40 eggs.\n40 - 12 = 28 eggs are left.\n#### 28",
    "12 red pears - 4 red pears = 8 pears\n8 pears / 2 pears per child = 4 children\n#### 4",
    "The town grows by 1,250 + 750 = 2,000 to 10,000 + 2,000 = 12,000.\n#### 12,000",
    "Two thirds of it: 9 hours * 2/3 = 6 hours.\n#### 6",
    "3 / 1/4 = 12 laps make three miles.\n#### 12",
    "Emma has 120 – 80 – 15 = 25 points more.\n#### 25",
    "3x = 24, and dividing by 3 gives x = 8\n#### 8",
    "Dividing by 5 shows that 100/5 = 5A/5 or 20 = A.\n#### 20",
    "The box holds 2400/200 = 12 200-gram bags.\n#### 12",
    "A pound fills 500/250=<<500/250=2>>2 cups.\nSo 3 pounds fill 2*3=6, for 12 people.\nShe fills 6 cups.\n#### 6",
    "At noon it was 2 degrees, then 2 - 8 = -6.\n#### −6",
    "No sums were needed: the last train carries 14 people.\n#### 14 people",
]
WRONG_ANSWER = [
    "Two crates of 12 make 2*12=<<2*12=24>>24 pears.\n#### 2400",  # no hundredths are told
    "He has 7 pens and buys 5: <<7+5=12>>12 pens.\n#### 7",
    "Of nine swims she needs five.\nShe can miss 4 swims because 9 - 4 = <<9-4=5>>5\n#### 9",
    "Rain fell on 4 days. She can miss 3 swims because 9 - 3 = <<9-3=6>>6\n#### 4",
    "The class needs 53/8=<<53/8=6.625>>6.625, that is seven boats.\n#### 6",  # its rounding is told
    "The class needs 53/8=<<53/8=6.625>>6.625 boats.\n#### 8",
    "They pay 10/3=$<<10/3=3.333>>3.333 each.\n#### 3.43",
    "One pen is $3/12 = $<<3/12=0.25>>0.25\n#### 27",
    "It takes 90/60=<<90/60=1.5>>1.5 hours, so it ends at 3:30.\n#### 3:45",
    "It takes 90/60=<<90/60=1.5>>1.5 hours, so it ends at 3:30.\n#### 5",
    "There were 40 eggs.\n40 - 12 = 28 eggs are left.\n#### 40",
    "If she pays $20, she gets 20 - 10 = $10 back.\n#### 20",
    "12 red pears - 4 red pears = 8 pears\n8 pears / 2 pears per child = 4 children\n#### 8",
    "Three bags hold 3*4=<<3*4=12>>12 pears.\nOf these 12 pears - 2 pears = 10 pears are ripe.\n#### 2",
    "Three bags hold 3*4=<<3*4=12>>12 pears.\nBen takes 2 of them.\nThere are 10 left.\n#### 2",
    "Three bags hold 3*4=<<3*4=12>>12 pears.\n#### 3",
    "The fall is 8-3=<<8-3=5>>5 degrees.\n#### 5.5",
    "No sums were needed: the last train carries 14 people.\n#### 15",
]
WRONG_SUM = [
    ("Two crates make 2*12=<<2*12=25>>25.\n#### 25", "2*12=25", "24"),
    ("A third is 10/3=<<10/3=3.43>>3.43\n#### 3.43", "10/3=3.43", "3.33333"),
    ("He runs 3 x 4 = 13 laps.\n#### 13", "3 x 4=13", "12"),
    ("First <<1+1=2>>2, then <<2+2=5>>5.\n#### 5", "2+2=5", "4"),
    ("Two pairs are given away: 4 - 4 = 2.\n#### 2", "4 - 4=2", "0"),
    ("Four each: 12 / 1/4 = 3 in all.\n#### 3", "12 / 1/4=3", "48"),
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


@pytest.mark.parametrize("text", WRONG_ANSWER)
def test_a_number_that_the_steps_tell_elsewhere_is_no_answer(text: str) -> None:
    assert check_answer(text).reason == "wrong_answer"


@pytest.mark.parametrize(
    "text", ["", "It is 24.", "24 ####", "<<2*12=24>>24\n#### many", "#### 1e99", "####", "#### 2 or 3"]
)
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
    "1+" * 100_000 + "1",
    "1" * 100_000 + "%",
    "(" * 99 + "1",
    "1j*1j",
    "",
]


def test_a_sum_may_be_as_deep_as_it_is_long() -> None:
    assert evaluate("(" * 99 + "1" + ")" * 99) == 1
    assert evaluate("-" * 198 + "1") == 1


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_no_plain_sum_has_no_value(text: str) -> None:
    assert evaluate(text) is None


LONG = [
    "1",
    "1+",
    "1 ",
    "<<",
    "1,111",
    "$1+",
    "1 + ",
    "(1+",
    "1 - (",
    "1 x 1 = ",
    "1/",
    "1/1 ",
    "1%",
    "a ",
    "1 a + ",
    "12:",
]
LONG += ["<<1+1=2>>", "<<1", "because ", "1=", "one ", "- 1. ", "#", "1\n", "=", "\n", "-"]


def test_reading_grows_no_faster_than_the_text() -> None:
    """200,000 characters of these take minutes where reading is quadratic, and seconds in all here."""
    script = f"""
from synth_assets.discriminators.arithmetic import check_answer
for part in {LONG!r}:
    check_answer(part * (200_000 // len(part)) + "\\n#### 1")
    check_answer("Then " + part * (200_000 // len(part)) + " = <<2+2=4>>4 " + part * 1000 + "\\n#### 7")
    check_answer("<<2+2=4>>4\\n#### " + part * (200_000 // len(part)))
"""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (30, 30))

    done = subprocess.run([sys.executable, "-c", script], preexec_fn=limit, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


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
