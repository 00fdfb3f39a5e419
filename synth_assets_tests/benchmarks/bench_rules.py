"""Cheap text rules and language identification: speed, verdicts beside datatrove's, recall and false rejects.

    python synth_assets_tests/benchmarks/bench_rules.py --peer-python /path/to/venv/bin/python \
        --prose xquad.en.json gsm8k.jsonl seed_tasks.jsonl --messages banking77.csv --foreign xquad.de.json

Documents of about 200 words are joined from the texts of --prose (every longer string in the files), a fifth of them
with planted faults: repeated texts, looped phrases, bullet and ellipsis lines, runs of `#`. Gopher's quality and
repetition rules are measured in one process and one thread (with C4's and FineWeb's, which come with them), and
datatrove's GopherQualityFilter and GopherRepetitionFilter, with their default thresholds, in one process of
--peer-python, by turns, --repeats times; the medians of CPU time are told. Datatrove's word split is
  its own     the one it comes with (spaCy's blank English): for its speed as it is
  whitespace  str.split, whose words are ours (scripts without spaces aside): for speed and equal verdicts
  given       the words of str.split, split before time is taken: what the rules alone take
Ours always splits and judges in the time taken. Messages are judged the same way, short as they are.

Messages (column `text` or `question` of --messages) are split 70 : 30; the rules are fitted on the first part and judge
the second, as it is for false rejects, and with planted loops and cuts for recall. The questions of --foreign files are
in other languages than --language: those of six words or more (Chinese ones all) must fall.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("POLARS_MAX_THREADS", "1")

WORDS = 200
FAULTY = 0.2


def read_strings(path: Path, least: int = 40) -> list[str]:
    """Return every string of `least` characters or more in a JSON, JSONL or CSV file, in order, each once."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            content: Any = list(csv.DictReader(file))
    else:
        text = path.read_text(encoding="utf-8")
        content = [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else json.loads(text)
    return list(dict.fromkeys(text for text in _walk(content) if len(text) >= least))


def _walk(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content.strip()
    elif isinstance(content, dict):
        for part in content.values():
            yield from _walk(part)
    elif isinstance(content, list):
        for part in content:
            yield from _walk(part)


def make_documents(texts: list[str], count: int, chance: random.Random) -> list[str]:
    """Return documents of about WORDS words, FAULTY of them with a planted fault."""
    documents = []
    for _ in range(count):
        parts: list[str] = []
        while (words := sum(len(part.split()) for part in parts)) < WORDS - 10:
            parts.append(" ".join(chance.choice(texts).split(" ")[: WORDS - words]))
        if chance.random() < FAULTY:
            parts.insert(chance.randrange(len(parts) + 1), _make_fault(chance.choice(parts), chance))
        documents.append(chance.choice(["\n", "\n\n", " "]).join(parts))
    return documents


def _make_fault(text: str, chance: random.Random) -> str:
    words = text.split()
    start = chance.randrange(len(words))
    phrase = words[start : start + chance.randint(1, 8)]
    return chance.choice(
        [
            "\n".join([text] * chance.randint(1, 4)),
            " ".join(phrase * chance.randint(2, 25)),
            "\n".join(f"- {word}" for word in words),
            "...\n".join(text.split(". ")) + "...",
            "# " * chance.randint(5, 40),
        ]
    )


def run_peer(split: str) -> None:
    """Judge the texts on standard input by datatrove; print the seconds of CPU and the verdicts as JSON."""
    import datatrove.utils.word_tokenizers as tokenizers  # pyright: ignore[reportMissingImports]
    from datatrove.data import Document  # pyright: ignore[reportMissingImports]
    from datatrove.pipeline.filters import (  # pyright: ignore[reportMissingImports]
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    texts = json.load(sys.stdin)
    given = {text: text.split() for text in texts} if split == "given" else {}

    class Whitespace:
        def word_tokenize(self, text: str) -> list[str]:
            return given[text] if given else text.split()

    if split != "its own":
        tokenizers.load_word_tokenizer = lambda language: Whitespace()
    documents = [Document(text=text, id=str(place)) for place, text in enumerate(texts)]
    filters = [GopherQualityFilter(), GopherRepetitionFilter()]
    for one in filters:
        one.filter(documents[0])  # loads the tokenizer
    start = time.process_time()
    verdicts = [[one.filter(document) is True for one in filters] for document in documents]
    print(json.dumps([time.process_time() - start, verdicts]))


def bench_documents(title: str, documents: list[str], options: argparse.Namespace) -> None:
    counts = {
        split: options.peer_documents // part for split, part in (("its own", 4), ("whitespace", 1), ("given", 1))
    }
    seconds: dict[str, list[float]] = {"ours": [], **({split: [] for split in counts} if options.peer_python else {})}
    same = dict.fromkeys(counts, 0.0)
    ours: list[list[bool]] = []
    _judge_documents(documents[:1000])
    for _ in range(options.repeats):
        taken, ours = _judge_documents(documents)
        seconds["ours"].append(taken / len(documents))
        for split, count in counts.items() if options.peer_python else ():
            command = [options.peer_python, __file__, "--run-peer", split]
            given = json.dumps(documents[:count])
            answer = subprocess.run(command, input=given, stdout=subprocess.PIPE, text=True, check=True)
            taken, verdicts = json.loads(answer.stdout.splitlines()[-1])
            seconds[split].append(taken / len(verdicts))
            same[split] = statistics.mean(one == other for one, other in zip(ours, verdicts, strict=False))
    mean = statistics.mean(len(document.split()) for document in documents)
    passed = statistics.mean(all(verdict) for verdict in ours)
    print(f"{title}: {len(documents):,} of {mean:.0f} words, {passed:.1%} keep all of Gopher's rules")
    print(f"  {'':<32} {'a second':>10} {'least':>10} {'most':>10} {'times':>7} {'same verdict':>13}")
    speed = statistics.median(seconds["ours"])
    for name, taken in seconds.items():
        told = f"  {name if name == 'ours' else 'datatrove, split: ' + name:<32}"
        told += "".join(f" {1 / time:>10,.0f}" for time in (statistics.median(taken), max(taken), min(taken)))
        print(told + ("" if name == "ours" else f" {statistics.median(taken) / speed:>7.1f} {same[name]:>13.2%}"))


def _judge_documents(documents: list[str]) -> tuple[float, list[list[bool]]]:
    """Return the seconds of CPU, and of every text whether it keeps the quality and the repetition rules."""
    import polars as pl

    from synth_assets.discriminators.documents import GOPHER_RULES, DocumentRules, measure_documents

    quality, texts = 10, pl.Series(documents)
    breaks = {rule: broken for rule, broken in DocumentRules().breaks().items() if rule in GOPHER_RULES}
    start = time.process_time()
    broken = measure_documents(texts).select(**breaks)
    taken = time.process_time() - start
    rows = broken.select(GOPHER_RULES).iter_rows()
    return taken, [[not any(row[:quality]), not any(row[quality:])] for row in rows]


def cut_text(text: str, chance: random.Random, *, within: bool) -> str:
    """Return the text cut in its second half: between words, or within one (None where it has no such place)."""
    if within:
        places = [at for at in range(len(text) // 2, len(text)) if at and text[at - 1].isalnum() and text[at].isalnum()]
    else:
        words = [match.start() for match in re.finditer(r"\S+", text)]
        places = [at for at in words[len(words) // 2 :] if at]
    return text[: chance.choice(places)].rstrip() if places else ""


def loop_text(text: str, chance: random.Random) -> str:
    words = text.split()
    at = chance.randrange(len(words))
    phrase = words[at : at + chance.randint(2, 4)]
    return chance.choice(
        [
            " ".join(words[:at] + phrase * chance.randint(3, 8) + words[at + len(phrase) :]),
            " ".join([*words, *[words[-1]] * chance.randint(4, 9)]),
            f"{text} {text}",
            " ".join([*words[:at], words[at] + "a" * chance.randint(7, 30), *words[at + 1 :]]),
        ]
    )


def bench_messages(texts: list[str], options: argparse.Namespace, chance: random.Random) -> None:
    from synth_assets.discriminators.documents import Documents
    from synth_assets.discriminators.language import Language
    from synth_assets.discriminators.rules import TextRules
    from synth_assets_tests.builders import text_spec

    fields = [{"name": "text", "type": "text", "language": options.language}]
    spec = text_spec(fields=fields, strata={"by": []})
    chance.shuffle(texts)
    border = len(texts) * 7 // 10
    train, held = _frame(texts[:border]), texts[border:]

    def share(judge: Any, candidates: list[str]) -> float:
        return judge.judge(_frame(candidates))["passed"].not_().mean() if candidates else float("nan")

    start = time.process_time()
    rules = TextRules.fit(spec, train)
    fitted = time.process_time() - start
    between, within = ([cut_text(text, chance, within=inside) for text in held] for inside in (False, True))
    print(f"\nshort texts: {len(texts):,}, fitted on {border:,} in {fitted:.1f} s CPU")
    print(f"  false rejects                    {share(rules, held):.4%}")
    print(f"  loops caught                     {share(rules, [loop_text(text, chance) for text in held]):.2%}")
    print(f"  cut between words caught         {share(rules, [text for text in between if text]):.2%}")
    print(f"  cut within a word caught         {share(rules, [text for text in within if text]):.2%}")
    language, plain = Language.fit(spec, train), Language(spec)
    print(f"  language: false rejects          {share(language, held):.4%} (without fit {share(plain, texts):.4%})")
    for path in options.foreign:
        questions = [text for text in read_strings(path, 8) if text.endswith(("?", "؟", "？"))]
        sentences = [text for text in questions if len(text.split()) >= 6 or re.search("[一-龥]{3}", text)]
        caught = f"{share(language, sentences):.2%} of {len(sentences):,}"
        print(f"  language: {path.name:<22} {caught}")
    many = _frame([chance.choice(held) for _ in range(options.rows)])
    print(f"messages/s over {options.rows:,}, 1 thread: wall, CPU")
    judges = {"text rules": rules, "documents": Documents.fit(spec, train)}
    for name, judge in {**judges, "language": language, "language without fit": plain}.items():
        judge.judge(many[:1000])
        wall, cpu = time.perf_counter(), time.process_time()
        judge.judge(many)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(f"  {name:<22} {options.rows / wall:>10,.0f} {options.rows / cpu:>10,.0f}")


def _frame(texts: list[str]) -> Any:
    import polars as pl

    ids = [f"c{place}" for place in range(len(texts))]
    return pl.DataFrame({"example_id": ids, "text": texts}, schema={"example_id": pl.String, "text": pl.String})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prose", type=Path, nargs="*", default=[], help="files to join documents from")
    parser.add_argument("--messages", type=Path, help="CSV or JSONL with a column text or question")
    parser.add_argument("--foreign", type=Path, nargs="*", default=[], help="files of questions in other languages")
    parser.add_argument("--language", default="en", help="language of --messages")
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--peer-documents", type=int, default=4_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--peer-python", help="interpreter that has datatrove, spacy and regex")
    parser.add_argument("--run-peer", choices=["its own", "whitespace", "given"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run_peer:
        run_peer(options.run_peer)
        return
    chance = random.Random(options.seed)
    if options.prose:
        texts = [text for path in options.prose for text in read_strings(path)]
        bench_documents("documents", make_documents(texts, options.documents, chance), options)
    if options.messages:
        messages = _read_messages(options.messages)
        bench_documents("messages", [chance.choice(messages) for _ in range(options.documents)], options)
        bench_messages(messages, options, chance)


def _read_messages(path: Path) -> list[str]:
    import polars as pl

    frame = pl.read_csv(path) if path.suffix == ".csv" else pl.read_ndjson(path)
    column = "text" if "text" in frame.columns else "question"
    return frame[column].drop_nulls().unique(maintain_order=True).to_list()


if __name__ == "__main__":
    main()
