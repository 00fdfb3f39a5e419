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
_NUMBER = r"\d{1,3}(?:[, ]\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+"
_PLAIN = rf"[$€£]?(?:{_NUMBER})"
# numbers and signs alone: beside letters, units, percents or mixed numbers such as 1 1/2 they may mean something else
_BARE = re.compile(
    rf"(?<![\w.,/)%^*+×÷-])(?<!\d )({_PLAIN}(?: ?[-+*/×÷x] ?{_PLAIN})+)"
    rf" ?= ?({_PLAIN})(?![\w%/^*×÷]|[.,]\d| ?[-+*/×÷x(] ?\d)"
)
_FRACTION = re.compile(r"(\d{1,9})/(\d{1,9})")
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
_SUM = re.compile(r"[\d.()+*/-]{1,200}")
_LONGEST_NUMBER = 30
_TAIL_CHARACTERS = 2000  # in which an answer may be told
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

    no_answer: there is no last line `#### number`. wrong_sum: a sum is not what stands after its `=`, rounding of the
    digits shown aside; evidence {"sum": "48/2=25", "is": "24"}. wrong_answer: the answer is neither the result of the
    last marked sum nor a number told after it (without marked sums: in the last line of the steps), also not in cents,
    percent or rounded; evidence {"answer": "66", "steps": "64"}. score = share of the sums that could be worked out,
    0 where none could; sums of unknown quantities cannot.
    """

    spec: DatasetSpec
    name: str = "arithmetic"

    @property
    def version(self) -> str:
        assert self.spec.verification is not None
        return digest_text("arithmetic-1", self.spec.verification.model_dump_json(), size=6)

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
    answer = _read_number(last.strip())
    if not mark or answer is None:
        return Check("no_answer", json.dumps({"ends": text[-40:]}), 0.0)
    marked = list(_MARKED.finditer(steps))
    sums = [match.group(1).rpartition("=")[::2] for match in marked]
    if not marked:
        sums = [(match.group(1), match.group(2)) for match in _BARE.finditer(steps)]
    checked = 0
    for left, right in sums:
        value, told = evaluate(left), evaluate(right)
        if value is None or told is None:
            continue
        checked += 1
        in_cents = not marked and told == 100 * value
        if not in_cents and not _is_rounded(value, told, right):
            evidence = {"sum": f"{left}={right}"[:200], "is": _write_number(value)}
            return Check("wrong_sum", json.dumps(evidence), checked / len(sums))
    reached, tail = None, _last_line(steps)
    if marked:
        reached, tail = evaluate(sums[-1][1]), steps[marked[-1].end() :]
    values = [*([] if reached is None else [reached]), *_find_numbers(tail[-_TAIL_CHARACTERS:])]
    share = checked / len(sums) if sums else 0.0
    if any(_is_same(answer, value) for value in values):
        return Check("", "", share)
    evidence = {"answer": last.strip()[:40], "steps": _write_number(values[0]) if values else None}
    return Check("wrong_answer", json.dumps(evidence), share)


def evaluate(expression: str) -> Fraction | None:
    """Return the exact value of a sum of numbers, + - * / and parentheses; None for anything else.

    "80/100*10" → 8; "20%*30" → 6; "x+1" → None
    """
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
    digits = re.search(r"\.(\d+)", written)
    unit = Fraction(1, 10 ** len(digits.group(1))) if digits else Fraction(1)
    if "%" in written:
        unit /= 100
    exact = value.denominator == 1 and digits is None
    return value == told or (not exact and abs(value - told) < unit)


def _is_same(answer: Fraction, value: Fraction) -> bool:
    """Whether the answer is the value: as it is, in cents or percent, or a fraction made whole."""
    return answer in (value, 100 * value, value / 100) or (value.denominator > 1 and abs(answer - value) < 1)


def _find_numbers(text: str) -> list[Fraction]:
    """Return the numbers of a text as written, with number words and fractions; signs are told in words there."""
    found = [_read_number(number) for number in re.findall(_NUMBER, text)]
    found += [Fraction(_WORDS[word]) for word in _WORD.findall(text.lower()) if word in _WORDS]
    found += [Fraction(int(one), int(other)) for one, other in _FRACTION.findall(text) if int(other)]
    values = [value for value in found if value is not None]
    return [*values, *(-value for value in values)]


def _read_number(text: str) -> Fraction | None:
    plain = re.sub(r"[$€£, ]", "", text).rstrip("%.")
    return Fraction(plain) if re.fullmatch(r"-?(\d{1,30}(\.\d{1,30})?|\.\d{1,30})", plain) else None


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""


def _write_number(value: Fraction) -> str:
    return str(value) if value.denominator == 1 else f"{float(value):.6g}"
