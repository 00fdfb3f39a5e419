"""Near-duplicate search over made-up short messages: rows/s, recall, pair precision and peak memory, beside datasketch.

    python synth_assets_tests/benchmarks/bench_similarity.py --rows 200000 --tools ours datasketch-16x8 datasketch

12 % of the messages are exact copies of another one, 15 % have a word replaced, added, cut or misspelled. Recall is
over the planted pairs whose true Jaccard similarity (character 5-grams) is at least the threshold; equal texts count
as their first occurrence. Precision is over reported pairs of distinct texts (a sample of at most 50,000). Every tool
runs in its own process; the peak is that process's resident memory, of which `texts` held the messages.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import polars as pl

Pairs = list[tuple[int, int]]

WORDS = 12
EXACT, NEAR = 0.12, 0.15
LEXICON = 3000


def make_messages(rows: int, seed: int) -> tuple[list[str], Pairs]:
    """Return messages and the planted (original, copy) pairs."""
    chance = random.Random(seed)
    lexicon = sorted({_make_word(chance) for _ in range(LEXICON)})
    chance.shuffle(lexicon)
    weights = [1 / (rank + 1) ** 0.8 for rank in range(len(lexicon))]
    exact, near = int(rows * EXACT), int(rows * NEAR)
    texts = [
        " ".join(chance.choices(lexicon, weights, k=max(4, round(chance.gauss(WORDS, 3)))))
        for _ in range(rows - exact - near)
    ]
    originals = len(texts)
    planted = []
    for place in range(exact + near):
        row = chance.randrange(originals)
        planted.append((row, len(texts)))
        texts.append(texts[row] if place < exact else _change_word(texts[row], lexicon, chance))
    return texts, planted


def _make_word(chance: random.Random) -> str:
    syllables = chance.choice([1, 2, 2, 3, 3, 4])
    return "".join(chance.choice("bcdfghjklmnprstvwz") + chance.choice("aeiou") for _ in range(syllables))


def _change_word(text: str, lexicon: list[str], chance: random.Random) -> str:
    words = text.split()
    place = chance.randrange(len(words))
    new = [chance.choice(lexicon)]
    kind = chance.choice(["replace", "add", "cut", "misspell"])
    words[place : place + 1] = {
        "replace": new,
        "add": [words[place], *new],
        "cut": [],
        "misspell": [words[place][:-1] + chance.choice("aeiou")],
    }[kind]
    return " ".join(words)


def search_ours(texts: list[str], threshold: float) -> Pairs:
    from synth_assets.similarity import near_duplicate_pairs

    pairs = near_duplicate_pairs(pl.Series(texts), threshold=threshold)
    return list(zip(pairs["left"].to_list(), pairs["right"].to_list(), strict=True))


def search_datasketch(texts: list[str], threshold: float, params: tuple[int, int] | None = None) -> Pairs:
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=threshold, num_perm=128, params=params)
    pairs = []
    for row, text in enumerate(texts):
        signature = MinHash(num_perm=128)
        signature.update_batch([shingle.encode() for shingle in shingles(text)])
        pairs += [(found, row) for found in index.query(signature)]
        index.insert(row, signature, check_duplication=False)
    return pairs


TOOLS: dict[str, Callable[[list[str], float], Pairs]] = {
    "ours": search_ours,
    "datasketch": search_datasketch,
    "datasketch-16x8": lambda texts, threshold: search_datasketch(texts, threshold, (16, 8)),
}


def shingles(text: str) -> set[str]:
    return {text[i : i + 5] for i in range(max(1, len(text) - 4))}


def jaccard(one: str, two: str) -> float:
    a, b = shingles(one), shingles(two)
    return len(a & b) / len(a | b)


def measure(tool: str, rows: int, seed: int, threshold: float) -> dict[str, float]:
    """Run one tool in this process and return its row of the table."""
    texts, planted = make_messages(rows, seed)
    held = peak_megabytes()
    TOOLS[tool](texts[:100], threshold)  # imports and first-use costs are not the search
    start = time.perf_counter()
    pairs = TOOLS[tool](texts, threshold)
    seconds = time.perf_counter() - start
    peak = peak_megabytes()
    first: dict[str, int] = {}
    for row, text in enumerate(texts):
        first.setdefault(text, row)
    found = {tuple(sorted((first[texts[one]], first[texts[two]]))) for one, two in pairs}
    found = {pair for pair in found if pair[0] != pair[1]}
    wanted = {
        tuple(sorted((first[texts[one]], first[texts[two]])))
        for one, two in planted
        if texts[one] != texts[two] and jaccard(texts[one], texts[two]) >= threshold
    }
    sample = random.Random(seed).sample(sorted(found), min(50_000, len(found)))
    true = sum(jaccard(texts[one], texts[two]) >= threshold for one, two in sample)
    return {
        "rows_per_second": rows / seconds,
        "recall": len(wanted & found) / len(wanted),
        "precision": true / max(1, len(sample)),
        "pairs": len(found),
        "peak_mb": peak,
        "texts_mb": held,
    }


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threshold", type=float, default=0.8)
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=["ours"])
    parser.add_argument("--as-json", action="store_true", help="run the first tool in this process, print JSON")
    options = parser.parse_args()
    if options.as_json:
        print(json.dumps(measure(options.tools[0], options.rows, options.seed, options.threshold)))
        return
    print(f"{'tool':<16} {'rows/s':>9} {'recall':>7} {'precision':>9} {'pairs':>9} {'peak MB':>8} {'texts':>6}")
    for tool in options.tools:
        settings = ["--rows", options.rows, "--seed", options.seed, "--threshold", options.threshold]
        command = [sys.executable, __file__, *map(str, settings), "--tools", tool, "--as-json"]
        row = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        print(
            f"{tool:<16} {row['rows_per_second']:>9,.0f} {row['recall']:>7.4f} {row['precision']:>9.4f} "
            f"{row['pairs']:>9,} {row['peak_mb']:>8,.0f} {row['texts_mb']:>6,.0f}"
        )


if __name__ == "__main__":
    main()
