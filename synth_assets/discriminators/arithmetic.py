"""Verification by solver: are the sums of a worked answer right, and do they lead to the answer?

Here: reading the steps, working them out again in exact fractions, the verdict. Not here: code (execution/).
The form is GSM8K's (Cobbe et al. 2021, arXiv 2110.14168): steps in words, each sum as `<<48/2=24>>`, and a last line
`#### 72`; sums without the marks are read where an answer has no marked one.
"""

from __future__ import annotations

import ast
import json
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import polars as pl

from synth_assets.discriminators.protocol import verdicts_of
from synth_assets.records import digest_text
from synth_assets.spec import DatasetSpec

ANSWER_MARK = "####"
_MARKED = re.compile(r"<<([^<>\n]{1,200})>>")
# every repetition is bounded, so that reading grows with the length of a text and no faster
_NUMBER = (
    r"\d{1,3}(?:(?:,\d{3}){1,9}(?!\d)|(?: \d{3}){1,9}(?!\d|-[^\W\d]))(?:\.\d{1,30})?"  # but 12 500-gram bags
    r"|\d{1,30}(?:\.\d{1,30})?|\.\d{1,30}"
)
_PLAIN = rf"[$€£]?(?:{_NUMBER})"
_SIGN = "[-+*/×÷x–−]"
# numbers and signs alone: beside letters, units, percents or mixed numbers such as 1 1/2 they may mean something else
_BARE = re.compile(
    rf"(?<![\w.,/)%^*+×÷–−$€£-])(?<![\d)*+/×÷x–−-] )(?<!and )({_PLAIN}(?: ?{_SIGN} ?{_PLAIN}){{1,20}})"
    rf" ?= ?({_PLAIN})(?![\w%/^*×÷]|[.,]\d| ?[-+*/×÷x–−(] ?\d)"
)
_BY_FRACTION = re.compile(r"([/÷] )(\d+/\d+)")  # 3 / 1/4 in words is three by a quarter
_UNIT = r"[%)]*(?: ?[^\W\d_]+(?: [^\W\d_]+){0,2})?"  # 12 red pears + 3
_OPERANDS = re.compile(rf"{_PLAIN}{_UNIT} ?{_SIGN}[-($€£ ]{{0,4}}\.?\d(?:(?!\b(?:or|so)\b)[^=])*=")
_REASON = re.compile(r"\b(?:because|since)\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.;!?]\s")
_HUNDREDTHS = re.compile(r"[$€£¢%]|\bcents?\b|percent|penn(?:y|ies)|dollar", re.IGNORECASE)
_VALUE = re.compile(
    r"(?P<hour>\d{1,2}):(?P<minute>[0-5]\d)(?!\d)"
    r"|(?:(?P<whole>\d{1,9}) )?(?P<top>\d{1,9})/(?P<bottom>[1-9]\d{0,8})(?!\d)"
    rf"|(?P<number>{_NUMBER})"
)
_ANSWER = re.compile(rf"([-−]?) ?[$€£]?([-−]?)({_VALUE.pattern})(?:[\s%°¢€£.]|[^\W\d_]){{0,40}}")
_PERCENT = re.compile(rf"({_NUMBER})%")
_WORD = re.compile(r"[a-z]+")
_WORDS = {
    word: value
    for value, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    )
}
_SIGNS = str.maketrans(
    {"×": "*", "x": "*", "÷": "/", "−": "-", "–": "-", "$": None, "€": None, "£": None, ",": None, " ": None}
)
_SUM = re.compile(r"[\d.()+*/-]+")
_LONGEST_SUM = 200
_LONGEST_NUMBER = 30
_CLOSING_CHARACTERS = 2000  # in which an answer may be told
_OPERATORS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: lambda one, other: Fraction(one // other),
}


@dataclass(frozen=True)
class Arithmetic:
    """Rejects worked answers with a wrong sum, or whose answer is not what the steps come to.

    no_answer: there is no last line `#### number`; a fraction, a time of day and a unit after the number are read too.
    wrong_sum: a sum is not what stands after its `=`, rounding of the digits shown aside; evidence
    {"sum": "48/2=25", "is": "24"}. wrong_answer: the steps do not close with the answer; evidence
    {"answer": "66", "steps": "64"}. They close with the result of the last sum, with the numbers of the last line told
    after it, operands aside, and with what that sum is the reason for ("she can skip 4, because 10-4=6"); where money
    or percents are told, also in hundredths; a fraction also rounded either way, unless its rounding is told.
    score = share of the sums that could be worked out, 0 where none could; sums of unknown quantities cannot.
    """

    spec: DatasetSpec
    name: str = "arithmetic"

    @property
    def version(self) -> str:
        assert self.spec.verification is not None
        return digest_text("arithmetic-2", self.spec.verification.model_dump_json(), size=6)

    def judge(self, candidates: pl.DataFrame) -> pl.DataFrame:
        assert self.spec.verification is not None
        texts = candidates[self.spec.verification.solution].fill_null("")
        found = [check_answer(text) for text in texts]  # every row is a small program of its own
        judged = candidates.select("example_id").with_columns(
            reason=pl.Series([check.reason for check in found], dtype=pl.String),
            told=pl.Series([check.evidence for check in found], dtype=pl.String),
            share=pl.Series([check.checked for check in found], dtype=pl.Float64),
        )
        return verdicts_of(
            judged,
            passed=pl.col("reason") == "",
            score=pl.col("share"),
            threshold=0.0,
            reason=pl.col("reason"),
            evidence=pl.col("told"),
        )


@dataclass(frozen=True)
class Check:
    """reason: empty where all is right; checked: share of the sums that could be worked out."""

    reason: str
    evidence: str
    checked: float


def check_answer(text: str) -> Check:
    """Return what is wrong with a worked answer; see Arithmetic."""
    steps, mark, last = text.rpartition(ANSWER_MARK)
    told = _ANSWER.fullmatch(last.strip())
    if not mark or told is None:
        return Check("no_answer", json.dumps({"ends": text[-40:]}), 0.0)
    marked = list(_MARKED.finditer(steps))
    end = marked[-1].end() if marked else 0
    sums = [_Sum(*match.group(1).rpartition("=")[::2], is_marked=True) for match in marked]
    if not marked:
        sums = [_Sum(match[1], match[2], is_marked=False) for match in _BARE.finditer(steps)]
    rights = [sum_.is_right() for sum_ in sums]
    checked = sum(right is not None for right in rights) / max(len(sums), 1)
    if False in rights:
        wrong = sums[rights.index(False)]
        return Check("wrong_sum", json.dumps(wrong.tell()), checked)
    closing = _read_closing(steps, end)
    if marked and (reached := evaluate(sums[-1].result)) is not None:
        closing.insert(0, reached)
    answer = -_read_value(told) if told[1] or told[2] else _read_value(told)
    if _closes(closing, answer, told[0], in_hundredths=bool(_HUNDREDTHS.search(text))):
        return Check("", "", checked)
    evidence = {"answer": last.strip()[:40], "steps": _write_number(closing[0]) if closing else None}
    return Check("wrong_answer", json.dumps(evidence), checked)


@dataclass(frozen=True)
class _Sum:
    """A sum as written; one without marks may tell dollars in cents and divide by a fraction without parentheses."""

    left: str
    result: str
    is_marked: bool

    @property
    def value(self) -> Fraction | None:
        return evaluate(self.left if self.is_marked else _BY_FRACTION.sub(r"\1(\2)", self.left))

    def is_right(self) -> bool | None:
        """None where it cannot be worked out."""
        value, told = self.value, evaluate(self.result)
        if value is None or told is None:
            return None
        return _is_rounded(value, told, self.result) or (not self.is_marked and told == 100 * value)

    def tell(self) -> dict[str, str | None]:
        value = self.value
        is_ = None if value is None else _write_number(value)
        return {"sum": f"{self.left}={self.result}"[:_LONGEST_SUM], "is": is_}


def _read_closing(steps: str, end: int) -> list[Fraction]:
    """Return the numbers that the steps close with, whose last marked sum ends at `end`, 0 without one."""
    start = end or steps.rfind("=") + 1
    before = steps[steps.rfind("\n", 0, start) + 1 : start][-_CLOSING_CHARACTERS:]
    claim, *reason = _REASON.split(_SENTENCE_END.split(_MARKED.sub("", before))[-1], maxsplit=1)
    lines = [_find_numbers(line) for line in steps[start:][-_CLOSING_CHARACTERS:].splitlines()]
    told = [numbers for numbers in lines if numbers]
    if not end and (not start or not told):
        return _find_numbers(steps.rstrip()[-_CLOSING_CHARACTERS:].rpartition("\n")[2])
    result = [] if end or not told else told[0][:1]
    return [*result, *(told[-1] if told else []), *(_find_numbers(claim) if reason else [])]


def _closes(closing: list[Fraction], answer: Fraction, written: str, *, in_hundredths: bool) -> bool:
    """Whether the answer is one of the numbers, signs aside, in hundredths where they are told, or one rounded."""
    scales = [Fraction(1), Fraction(100), Fraction(1, 100)] if in_hundredths else [Fraction(1)]
    numbers = [number * scale for scale in scales for number in closing]
    if abs(answer) in map(abs, numbers):
        return True
    unit = _digit_unit(written)
    if (answer / unit).denominator > 1:  # 3/4 and 5:30 are exact
        return False
    rounded = [
        number
        for number in numbers[: 2 * len(closing)]
        if number.denominator > 1 and not any(other != number and abs(other - number) < unit for other in closing)
    ]
    return any(abs(abs(answer) - abs(number)) < unit for number in rounded)


def evaluate(expression: str) -> Fraction | None:
    """Return the exact value of a sum of numbers, + - * / and parentheses; None for anything else.

    "80/100*10" → 8; "20%*30" → 6; "x+1" → None, as is what takes more than 200 characters
    """
    if len(expression) > _LONGEST_SUM:
        return None
    plain = _PERCENT.sub(r"(\1/100)", expression).translate(_SIGNS)
    if not _SUM.fullmatch(plain) or "**" in plain:
        return None
    plain = re.sub(r"(?<![\d.])0+(?=\d)", "", plain)  # 007 is no number to Python
    try:
        return _work_out(ast.parse(plain, mode="eval").body, plain)
    except (SyntaxError, ValueError, ZeroDivisionError):
        return None


def _work_out(node: ast.expr, source: str) -> Fraction:
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_work_out(node.left, source), _work_out(node.right, source))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _work_out(node.operand, source)
        return -value if isinstance(node.op, ast.USub) else value
    digits = source[node.col_offset : node.end_col_offset]
    if not isinstance(node, ast.Constant) or len(digits) > _LONGEST_NUMBER:
        raise ValueError("no sum of numbers")
    return Fraction(digits)


def _is_rounded(value: Fraction, told: Fraction, written: str) -> bool:
    """Whether `told` is the value, rounded or cut to the digits that are written."""
    unit = _digit_unit(written)
    exact = value.denominator == 1 and unit == 1
    return value == told or (not exact and abs(value - told) < unit)


def _digit_unit(written: str) -> Fraction:
    """Return what one more in the last digit of a written number adds: "0.25" → 1/100, "25%" → 1/100."""
    digits = re.search(r"\.(\d+)", written)
    return Fraction(1, 10 ** (len(digits[1] if digits else "") + 2 * ("%" in written)))


def _find_numbers(line: str) -> list[Fraction]:
    """Return the numbers that a line tells, operands of its sums aside, number words last; signs are words there."""
    told = _OPERANDS.sub("=", line)
    words = [Fraction(_WORDS[word]) for word in _WORD.findall(told.lower()) if word in _WORDS]
    return [*map(_read_value, _VALUE.finditer(told)), *words]


def _read_value(match: re.Match[str]) -> Fraction:
    """Return a number as written: "1,200", "3/4", "1 1/2", and "5:30" in hours."""
    if match["number"]:
        return Fraction(re.sub("[, ]", "", match["number"]))
    if match["hour"]:
        return int(match["hour"]) + Fraction(int(match["minute"]), 60)
    return int(match["whole"] or 0) + Fraction(int(match["top"]), int(match["bottom"]))


def _write_number(value: Fraction) -> str:
    return str(value) if value.denominator == 1 else f"{float(value):.6g}"
