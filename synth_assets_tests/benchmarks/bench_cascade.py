"""A million short messages through the cheap discriminators: seconds by each, and peak memory.

    python -m synth_assets_tests.benchmarks.bench_cascade FILE.csv TEXT LABEL [--rows 1000000]

Messages are made of the file's, so that about 12 % are equal and 15 % nearly equal to another; seeds are the file's own
rows. Each discriminator sees what those before it let pass, as in a round. Perplexity and labels follow, with a time of
their own.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import polars as pl

from synth_assets.discriminators.cascade import BUILDERS, Known, build_discriminator
from synth_assets.generation.requests import STOP
from synth_assets.records import add_real_ids
from synth_assets.seeds.splits import split_seeds
from synth_assets_tests.benchmarks.bench_similarity import make_messages
from synth_assets_tests.builders import text_spec

CHEAP = ("record", "text_rules", "language", "documents", "personal_data", "duplicates", "leakage")
LEARNED = ("perplexity", "labels")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("text")
    parser.add_argument("label")
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    spec = text_spec()
    rows = pl.read_csv(options.file).select(text=options.text, intent=options.label)
    raw = add_real_ids(rows.with_columns(is_private=pl.lit(False)), spec)
    seeds = split_seeds(raw, raw.select("example_id", disposition=pl.lit("releasable")), spec).rows
    texts = pl.Series(make_messages(rows["text"].to_list(), options.rows, seed=1))
    chance = np.random.default_rng(0)
    labels = rows["intent"].gather(chance.integers(0, rows.height, len(texts)))
    messages = pl.DataFrame({"text": texts, "intent": labels})
    survivors = add_real_ids(messages, spec).with_columns(finish_reason=pl.lit(STOP), stratum=pl.col("intent"))
    known = Known(seeds, Path.cwd())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{len(texts):,} messages, {texts.str.len_chars().mean():.0f} characters; {before:.2f} GB before judging")
    total = 0.0
    for name in (*CHEAP, *LEARNED):
        assert name in BUILDERS
        began = time.perf_counter()
        discriminator = build_discriminator(name, spec, known)
        assert discriminator is not None
        built = time.perf_counter()
        judged = discriminator.judge(survivors)
        seconds = time.perf_counter() - began
        total += seconds if name in CHEAP else 0.0
        print(
            f"{name:<14} {seconds:7.2f} s (fit {built - began:5.2f})  {survivors.height / seconds:>10,.0f} rows/s  "
            f"{survivors.height:>9,} → {int(judged['passed'].sum()):,}",
            flush=True,
        )
        survivors = survivors.filter(judged["passed"])
        if name == CHEAP[-1]:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            print(f"cheap ones in all: {total:.1f} s, peak {peak:.2f} GB\n")


if __name__ == "__main__":
    main()
