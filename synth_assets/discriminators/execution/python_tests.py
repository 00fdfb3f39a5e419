"""Rejects code that does not do what its tests say, and code whose tests say nothing.

Here: the discriminator: what is sent into the sandbox, and the verdict from what comes back. Not here: the sandbox
(sandbox.py), what runs inside (driver.py), mutants, answers written for the tests.
"""

from __future__ import annotations

import json
import marshal
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path

import polars as pl

from synth_assets.discriminators.execution import seccomp
from synth_assets.discriminators.execution.sandbox import Job, Outcome, Sandbox, find_sandbox
from synth_assets.discriminators.protocol import verdicts_of
from synth_assets.errors import SandboxError
from synth_assets.records import digest_text
from synth_assets.spec import DatasetSpec, VerificationSpec

MOST_CHARACTERS = 200_000
"""Of a solution and its tests together; longer ones are rejected unread."""

REASONS = (
    "too_long",
    "syntax_error",
    "suspicious",
    "no_tests",
    "test_failed",
    "error",
    "timeout",
    "memory",
    "output_flood",
    "too_many_files",
    "early_exit",
    "special_cased",
    "weak_tests",
)

_PACKAGE = __name__.rpartition(".")[0]
_INSIDE = ("mutants", "screening", "special_cases", "confinement", "stage", "driver")  # in the order they are loaded
_MOST_TEXT = 400  # characters of one value of the evidence
_START = 10.0  # seconds that a sandbox and its interpreter may take to start on a busy machine
_RUNS = 4  # as long as the solution's own run: with hollow functions, with notes, and all mutants together
_LOADER = """
import builtins, marshal, sys
from types import ModuleType
modules, request = marshal.load(sys.stdin.buffer), marshal.load(sys.stdin.buffer)
for name, code in modules:
    module = sys.modules[name] = ModuleType(name)
    module.__builtins__ = dict(vars(builtins))
    exec(code, module.__dict__)
import json
print(json.dumps(module.main(request)))
"""


@dataclass(frozen=True)
class PythonTests:
    """Runs a candidate's solution with its tests in a sandbox, then the tests on wrong variants of the solution.

    The solution's field and the tests' (plain assert statements, which see the solution's names; functions named
    test… that take nothing are called) come from spec.verification, as do all limits; `seconds` are of the processor,
    twice as many by the clock. Mutants get ten times what the solution took. reason:

    | reason | what was seen |
    |---|---|
    | too_long, syntax_error | it cannot be read |
    | suspicious | it reaches for the tests, their frames or the program around |
    | no_tests | no assert, none reached, or they hold without the solution's functions as well |
    | test_failed, error | an assert failed; anything else was raised, or the interpreter died |
    | timeout, memory, output_flood, too_many_files | a limit was met |
    | early_exit | it ended before its tests did, with whatever status |
    | special_cased | most of what is tested is answered by fixed answers |
    | weak_tests | the share of wrong variants that the tests fail is below least_mutants_caught |

    score = share of wrong variants that were caught, 1 where there are none, 0 for what was rejected before.
    evidence: {"line", "source", "in", "error", "message"} of a failure, {"caught", "mutants", "survived": {"line",
    "change", "before", "after"}} of weak tests. Raises SandboxError where no sandbox can be had; nothing is run then.

    Example: solution "def double(x):\\n    return 2 * x", tests "assert double(3) == 6" → passed, score 1.0.
    """

    spec: DatasetSpec
    name: str = "execution"

    @property
    def version(self) -> str:
        return digest_text("execution-1", self._settings.model_dump_json(), _source_digest(), size=6)

    @property
    def _settings(self) -> VerificationSpec:
        settings = self.spec.verification
        if settings is None or settings.tests is None:
            raise ValueError("PythonTests needs verification: {kind: python, solution: …, tests: …} in the spec")
        return settings

    def judge(self, candidates: pl.DataFrame) -> pl.DataFrame:
        settings, sandbox = self._settings, find_sandbox()
        assert settings.tests is not None
        pairs = candidates.select(
            solution=pl.col(settings.solution).cast(pl.String).fill_null(""),
            tests=pl.col(settings.tests).cast(pl.String).fill_null(""),
        )
        found = _examine(sandbox, pairs, settings)
        least = settings.least_mutants_caught
        judged = pl.concat([candidates.select("example_id"), found], how="horizontal")
        judged = judged.with_columns(
            score=pl.when(pl.col("reason") != "")
            .then(0.0)
            .when(mutants=0)
            .then(1.0)
            .otherwise(pl.col("caught") / pl.col("mutants"))
        )
        is_weak = (pl.col("reason") == "") & (pl.col("score") < least)
        return verdicts_of(
            judged,
            passed=(pl.col("reason") == "") & ~is_weak,
            score=pl.col("score"),
            threshold=least,
            reason=pl.when(is_weak).then(pl.lit("weak_tests")).otherwise("reason"),
            evidence=pl.col("evidence"),
        )


def _examine(sandbox: Sandbox, pairs: pl.DataFrame, settings: VerificationSpec) -> pl.DataFrame:
    """Return reason ("" for none), caught, mutants, evidence of each solution with its tests, in order."""
    length = pairs.select(pl.col("solution").str.len_chars() + pl.col("tests").str.len_chars()).to_series()
    is_short = (length <= MOST_CHARACTERS).to_list()
    jobs = [
        _job(solution, tests, settings)
        for (solution, tests), short in zip(pairs.iter_rows(), is_short, strict=True)
        if short
    ]
    outcomes = iter(sandbox.run(jobs))
    too_long = ("too_long", 0, 0, json.dumps({"message": f"more than {MOST_CHARACTERS} characters"}))
    rows = [_read_outcome(next(outcomes)) if short else too_long for short in is_short]
    schema = {"reason": pl.String, "caught": pl.Int64, "mutants": pl.Int64, "evidence": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _job(solution: str, tests: str, settings: VerificationSpec) -> Job:
    request = {
        "solution": solution,
        "tests": tests,
        "seconds": settings.seconds,
        "mutant_seconds": settings.seconds,
        "memory_bytes": settings.memory_mib * 2**20,
        "mutants": settings.mutants,
        "filter": seccomp.build_inner_filter(),
    }
    return Job(_LOADER, (_modules(), marshal.dumps(request)), seconds=_START + 2 * _RUNS * settings.seconds)


@lru_cache(maxsize=1)
def _modules() -> bytes:
    """Return the modules that run inside, compiled by the interpreter that will run them."""
    named = [(f"{_PACKAGE}.{name}", _source(name)) for name in _INSIDE]
    return marshal.dumps([(name, compile(source, f"<{name}>", "exec")) for name, source in named])


def _source(name: str) -> str:
    file = import_module(f"{_PACKAGE}.{name}").__file__
    assert file is not None
    return Path(file).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _source_digest() -> str:
    return digest_text(*(_source(name) for name in _INSIDE))


def _read_outcome(outcome: Outcome) -> tuple[str, int, int, str]:
    """Return reason, caught, mutants, evidence. What comes out of the sandbox is checked, not trusted."""
    try:
        answer = json.loads(outcome.stdout)
    except (ValueError, RecursionError):
        answer = None
    if isinstance(answer, Mapping) and "broken" in answer:
        raise SandboxError(f"foreign code cannot be confined on this machine: {answer['broken']}")
    match answer:
        case {"reason": str(reason), "caught": int(caught), "mutants": int(mutants), "evidence": dict(evidence)} if (
            reason in ("", *REASONS) and 0 <= caught <= mutants
        ):
            return reason, caught, mutants, json.dumps(_shorten(evidence), ensure_ascii=False)
    if outcome.status == "timeout":
        return "timeout", 0, 0, json.dumps({"message": f"no verdict after {math.ceil(outcome.seconds)} s"})
    message = f"the examination ended with status {outcome.exit_code} and no verdict"
    return "error", 0, 0, json.dumps({"message": message})


def _shorten(value: object, depth: int = 2) -> object:
    """Return the evidence with few keys, short texts and no control character."""
    if isinstance(value, str):
        return "".join(letter if letter.isprintable() else " " for letter in value[:_MOST_TEXT])
    if isinstance(value, dict) and depth:
        return {str(key)[:20]: _shorten(part, depth - 1) for key, part in list(value.items())[:8]}
    return value if isinstance(value, int) else None
