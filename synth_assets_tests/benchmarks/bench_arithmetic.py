"""How many worked answers the solver verifies and how many planted faults it catches; rejected real rows are shown.

The answers are read as they are and once more without their marks, where sums beside units cannot be worked out.

python -m synth_assets_tests.benchmarks.bench_arithmetic FILE.jsonl … [--field answer]
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Callable
from pathlib import Path

from synth_assets.discriminators.arithmetic import ANSWER_MARK, check_answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--field", default="answer")
    options = parser.parse_args()
    lines = [line for file in options.files for line in file.read_text(encoding="utf-8").splitlines()]
    answers = [json.loads(line)[options.field] for line in lines]
    report("as they are", answers)
    report("without marks", [re.sub(r"<<[^<>]*>>", "", answer) for answer in answers])


def report(name: str, answers: list[str]) -> None:
    rejected = [(answer, check) for answer in answers if (check := check_answer(answer)).reason]
    print(f"{name}: {len(answers) - len(rejected):,} of {len(answers):,} untouched verified")
    for answer, check in rejected:
        print(f"  {check.reason} {check.evidence}: …{answer[-90:]!r}")
    chance = random.Random(1)
    for fault, change in make_changes(chance).items():
        planted = [new for answer in answers if (new := change(answer)) is not None]
        caught = sum(bool(check_answer(answer).reason) for answer in planted)
        print(f"{fault:<12} {len(planted):>6} planted, {caught / max(len(planted), 1):.4f} caught")


def make_changes(chance: random.Random) -> dict[str, Callable[[str], str | None]]:
    """Return name → a change of an answer; None where it would change nothing."""

    def final(change: Callable[[float], float]) -> Callable[[str], str | None]:
        def planted(answer: str) -> str | None:
            steps, _, last = answer.rpartition(ANSWER_MARK)
            old = float(last.strip().replace(",", ""))
            new = change(old)
            return None if new == old else f"{steps}{ANSWER_MARK} {new:g}" if new < 1e6 else None

        return planted

    def wrong_sum(answer: str) -> str | None:
        result = r"=(\d+)>>" if "<<" in answer else r"= ?\$?(\d+)\b(?![.,]\d)"
        results = list(re.finditer(result, answer))
        if not results:
            return None
        one = chance.choice(results)
        return f"{answer[: one.start(1)]}{int(one[1]) + chance.randint(1, 9)}{answer[one.end(1) :]}"

    return {
        "plus one": final(lambda value: value + 1),
        "minus one": final(lambda value: value - 1),
        "doubled": final(lambda value: 2 * value),
        "random": final(lambda _: float(chance.randint(1, 1000))),
        "wrong sum": wrong_sum,
    }


if __name__ == "__main__":
    main()
