"""Near-duplicates among short messages made of a file's texts: speed, growth, true recall, memory, beside peers.

    python -m synth_assets_tests.benchmarks.bench_similarity TEXTS.csv --rows 100000 1000000
    python -m synth_assets_tests.benchmarks.bench_similarity TEXTS.csv --rows 50000 \
        --tools pairs datasketch datasketch-16x5 datatrove --peer-python PEERS/bin/python

A message is the start of one text and the end of another, every sixth word replaced by any word of the file. 12 % of
the rows are exact copies of another one, 15 % have a word replaced, added, cut or misspelled. Every tool gets the same
normalized texts and runs in its own process; time is from texts in memory to pairs, peaks are of the whole process.

    pairs        similarity.near_duplicate_pairs
    duplicates   discriminators.duplicates.Duplicates: within the batch and against the file's texts as seeds
    semantic     discriminators.semantic.SemanticDuplicates, the same way
    datasketch*, datatrove   see near_duplicate_peers.py

Recall is over all pairs of different texts with true Jaccard similarity (character 5-grams) at the threshold or above
of which one is in a sample of --queries texts; they are found by an exact prefix-filter join (Chaudhuri, Ganti &
Kaushik 2006) and Python sets, without any hashing. A discriminator finds a pair if it rejects at least one of the two.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl

from synth_assets_tests.benchmarks.near_duplicate_peers import peak_megabytes, shingles

EXACT, NEAR = 0.12, 0.15
MOST_WORDS = 40
OURS = ("pairs", "duplicates", "semantic")
PEERS = ("datasketch", "datasketch-16x5", "datatrove")

Found = dict[str, Any]


# ---- messages


def make_messages(texts: list[str], rows: int, seed: int) -> list[str]:
    """Return that many messages, normalized, in random order."""
    chance = random.Random(seed)
    parts = [" ".join(text.casefold().split()).split() for text in texts]
    words = sorted({word for part in parts for word in part})
    exact, near = int(rows * EXACT), int(rows * NEAR)
    messages = [
        _recombine(chance.choice(parts), chance.choice(parts), words, chance) for _ in range(rows - exact - near)
    ]
    originals = len(messages)
    messages += [messages[chance.randrange(originals)] for _ in range(exact)]
    messages += [_change_word(messages[chance.randrange(originals)].split(), words, chance) for _ in range(near)]
    chance.shuffle(messages)
    return messages


def _recombine(one: list[str], two: list[str], words: list[str], chance: random.Random) -> str:
    made = one[: chance.randint(1 + len(one) // 2, len(one))] + two[chance.randint(0, len(two) // 2) :]
    made = made[:MOST_WORDS]
    for _ in range(max(1, len(made) // 6)):
        made[chance.randrange(len(made))] = chance.choice(words)
    return " ".join(made)


def _change_word(text: list[str], words: list[str], chance: random.Random) -> str:
    place = chance.randrange(len(text))
    new = chance.choice(words)
    changes = [[new], [text[place], new], [], [text[place][:-1] + chance.choice("aeiou")]]
    return " ".join([*text[:place], *chance.choice(changes), *text[place + 1 :]])


# ---- truth


def find_true_pairs(texts: list[str], queries: list[str], threshold: float) -> list[tuple[str, str, float]]:
    """Return every (query, other text, Jaccard) at the threshold or above among distinct texts.

    Two sets that similar share one of the rarest |A| − ⌈t·|A|⌉ + 1 members of each.
    """
    distinct = sorted(set(texts))
    held = Counter(shingle for text in distinct for shingle in shingles(text))
    rank = {shingle: place for place, shingle in enumerate(sorted(held, key=lambda one: (held[one], one)))}

    def prefixes(of: list[str]) -> pl.DataFrame:
        rows = []
        for text in of:
            ranks = sorted(rank[shingle] for shingle in shingles(text))
            rows.append((text, len(ranks), ranks[: len(ranks) - math.ceil(threshold * len(ranks) - 1e-9) + 1]))
        schema = {"text": pl.Categorical, "size": pl.Int32, "rank": pl.List(pl.UInt32)}
        return pl.DataFrame(rows, schema=schema, orient="row").explode("rank")

    index, found = prefixes(distinct), []
    for start in range(0, len(queries), 1000):
        pairs = prefixes(queries[start : start + 1000]).join(index, on="rank")
        of_like_size = pl.min_horizontal("size", "size_right") >= threshold * pl.max_horizontal("size", "size_right")
        different = pl.col("text") != pl.col("text_right")
        for one, two in pairs.filter(of_like_size & different).select("text", "text_right").unique().iter_rows():
            similarity = jaccard(one, two)
            if similarity >= threshold:
                found.append((one, two, similarity))
    return found


def jaccard(one: str, two: str) -> float:
    a, b = shingles(one), shingles(two)
    return len(a & b) / len(a | b)


def measure_recall(found: Found, texts: list[str], truth: list[tuple[str, str, float]]) -> float:
    """Return the share of the true pairs that a tool found."""
    if "rejected" in found:
        first: dict[str, int] = {}
        for row, text in enumerate(texts):
            first.setdefault(text, row)
        rejected = set(found["rejected"])
        return sum(first[one] in rejected or first[two] in rejected for one, two, _ in truth) / max(1, len(truth))
    pairs = {frozenset((texts[one], texts[two])) for one, two in found["pairs"]}
    return sum(frozenset(pair[:2]) in pairs for pair in truth) / max(1, len(truth))


# ---- tools


def run_ours(tool: str, threshold: float, seeds_file: Path, source: Path) -> Found:
    """Run one tool in this process."""
    texts = pl.read_ndjson(source)["text"]
    search = {"pairs": _search_pairs, "duplicates": _judge, "semantic": _judge}[tool]
    search(texts[:100], tool, threshold, seeds_file)  # imports and first-use costs are not the search
    return search(texts, tool, threshold, seeds_file)


def _search_pairs(texts: pl.Series, tool: str, threshold: float, seeds_file: Path) -> Found:
    from synth_assets.similarity import near_duplicate_pairs

    start, cpu = time.perf_counter(), time.process_time()
    pairs = near_duplicate_pairs(texts, threshold=threshold)
    measured = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
    return {**measured, "peak_mb": peak_megabytes(), "pairs": pairs.select("left", "right").rows()}


def _judge(texts: pl.Series, tool: str, threshold: float, seeds_file: Path) -> Found:
    from synth_assets.discriminators.duplicates import Duplicates
    from synth_assets.discriminators.semantic import SemanticDuplicates
    from synth_assets.records import add_content_ids
    from synth_assets_tests.builders import seed_rows, text_spec

    fields = [{"name": "text", "type": "text", "role": "input"}]
    spec = text_spec(fields=fields, strata={"by": []}, quality={"near_duplicate_jaccard": threshold})
    told = pl.Series("text", read_texts(seeds_file)).unique(maintain_order=True).head(len(texts))
    seeds = seed_rows(spec, [{"text": text} for text in told])
    ids = pl.int_range(pl.len()).cast(pl.String)
    frame = add_content_ids(texts.to_frame("text"), spec).with_columns(example_id=ids)
    start, cpu = time.perf_counter(), time.process_time()
    kind = Duplicates if tool == "duplicates" else SemanticDuplicates
    verdicts = kind(spec, frame.head(0), seeds).judge(frame)
    measured = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
    rejected = verdicts["passed"].not_().arg_true().to_list()
    return {**measured, "peak_mb": peak_megabytes(), "rejected": rejected}


def read_texts(file: Path) -> list[str]:
    return pl.read_csv(file)["text"].drop_nulls().to_list()


# ---- table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path, help="CSV with a column `text`")
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000])
    parser.add_argument("--tools", nargs="+", choices=[*OURS, *PEERS], default=["pairs", "duplicates"])
    parser.add_argument("--threshold", type=float, default=0.8)
    parser.add_argument("--queries", type=int, default=5000, help="texts whose true pairs are sought; 0: no recall")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--peer-python", default=sys.executable, help="the Python that has datasketch and datatrove")
    parser.add_argument("--run", nargs=3, metavar=("TOOL", "SOURCE", "TARGET"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        tool, source, target = options.run
        found = run_ours(tool, options.threshold, options.texts, Path(source))
        Path(target).write_text(json.dumps(found))
        return
    titles = ("seconds", "CPU s", "rows/s", "recall", "peak MB", "x first")
    print(f"{'rows':>9} {'tool':<16}", *(f"{title:>9}" for title in titles))
    for rows in options.rows:
        print_table(options, rows)


def print_table(options: argparse.Namespace, rows: int) -> None:
    texts = make_messages(read_texts(options.texts), rows, options.seed)
    distinct = sorted(set(texts))
    queries = random.Random(options.seed).sample(distinct, min(options.queries, len(distinct)))
    truth = find_true_pairs(texts, queries, options.threshold) if queries else []
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "texts.jsonl", Path(folder) / "found.json"
        pl.DataFrame({"text": texts}).write_ndjson(source)
        first = None
        for tool in options.tools:
            found = json.loads(run_tool(options, tool, source, target).read_text())
            speed = rows / found["seconds"]
            first = first or speed
            cells = (
                f"{found['seconds']:.1f}",
                f"{found['cpu_seconds']:.1f}" if "cpu_seconds" in found else "",
                f"{speed:,.0f}",
                f"{measure_recall(found, texts, truth):.4f}" if truth else "",
                f"{found['peak_mb']:,.0f}" if "peak_mb" in found else "",
                f"{first / speed:.1f}",
            )
            print(f"{rows:>9,} {tool:<16}", *(f"{cell:>9}" for cell in cells), flush=True)
    if truth:
        print(f"          recall over {len(truth):,} true pairs of {len(queries):,} texts\n", flush=True)


def run_tool(options: argparse.Namespace, tool: str, source: Path, target: Path) -> Path:
    if tool in PEERS:
        script = Path(__file__).with_name("near_duplicate_peers.py")
        command = [options.peer_python, script, tool, options.threshold, source, target]
    else:
        module = ("-m", "synth_assets_tests.benchmarks.bench_similarity")
        settings = ("--threshold", options.threshold, "--run", tool, source, target)
        command = [sys.executable, *module, options.texts, *settings]
    quiet = subprocess.DEVNULL if tool == "datatrove" else None  # it logs every stage
    subprocess.run([str(part) for part in command], check=True, stdout=quiet, stderr=quiet)
    return target


if __name__ == "__main__":
    main()
