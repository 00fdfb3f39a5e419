"""What the cascade finds of planted faults, and what it rejects of untouched real rows.

    python -m synth_assets_tests.benchmarks.bench_planted FILE.csv TEXT LABEL [--other FILE …] [--seed 0]

A quarter of the rows is set aside before seeds are split; faults are planted in copies of these rows, and the rows
themselves stand for candidates that should pass (rows that are near-duplicates of another are left out, as a
duplicate of a seed is rightly rejected). --other: text files, one text of another language a line.
Every fault is counted as found if any discriminator rejects the row, and by the one that is meant to, judging alone.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from synth_assets.discriminators.cascade import Cascade, Filtering, Known
from synth_assets.discriminators.labels import Labels
from synth_assets.generation.requests import STOP
from synth_assets.records import add_real_ids
from synth_assets.seeds.liabilities import audit_liabilities
from synth_assets.seeds.splits import split_seeds
from synth_assets.similarity import measure_jaccard, near_duplicate_pairs
from synth_assets.spec import DatasetSpec, parse_spec

PERSONAL = (
    "my name is Margaret Holloway",
    "write to margaret.holloway@postbox.org",
    "call me on +44 20 7946 0958",
    "my card is 4539 1488 0343 6467",
    "my IBAN is DE89 3704 0044 0532 0130 00",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("text")
    parser.add_argument("label")
    parser.add_argument("--other", type=Path, nargs="*", default=())
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    spec = make_spec(arguments)
    rng = random.Random(arguments.seed)
    rows = pl.read_csv(arguments.file).select(text=arguments.text, label=arguments.label).unique("text", keep="first")
    rows = rows.sort("text").sample(fraction=1.0, shuffle=True, seed=arguments.seed)
    held, known = rows.head(rows.height // 4), rows.tail(-(rows.height // 4))
    raw = add_real_ids(
        known.with_columns(
            source_file=pl.lit("seeds"),
            source_line=pl.int_range(1, known.height + 1, dtype=pl.Int64),
            license=pl.lit("CC-BY-4.0"),
            consent=pl.lit("consent"),
            is_private=pl.lit(False),
        ),
        spec,
    )
    seeds = split_seeds(raw, audit_liabilities(raw, spec).rows, spec).rows
    cascade = Cascade.build(spec, Known(seeds, Path.cwd()))
    real = drop_duplicates(held, seeds["text"], spec)
    print(f"seeds {seeds.height:,}, held out {held.height:,}, of them no duplicate {real.height:,}\n")
    report_untouched(spec, cascade, real)
    report_planted(spec, cascade, real, seeds, rng, arguments.other)


def make_spec(arguments: argparse.Namespace) -> DatasetSpec:
    """Return a spec of one text and its label with the default quality contract."""
    content: dict[str, Any] = {
        "name": "planted",
        "fields": [
            {"name": "text", "type": "text", "max_length": 2000},
            {"name": "label", "type": "category", "role": "target"},
        ],
        "strata": {"by": ["label"]},
        "source": {"license": "CC-BY-4.0", "consent": {"basis": "consent"}},
    }
    return parse_spec(content, where="bench")


def drop_duplicates(held: pl.DataFrame, seeds: pl.Series, spec: DatasetSpec) -> pl.DataFrame:
    """Return the held-out rows that are near-duplicates of no seed and of no earlier row."""
    threshold = spec.quality.near_duplicate_jaccard
    against = near_duplicate_pairs(held["text"], others=seeds, threshold=threshold)["left"]
    within = near_duplicate_pairs(held["text"], threshold=threshold)["right"]
    copies = pl.concat([against, within]).unique()
    return held.with_row_index().filter(~pl.col("index").is_in(copies.implode())).drop("index")


def judge(spec: DatasetSpec, cascade: Cascade, rows: pl.DataFrame) -> Filtering:
    """Run rows (text, label) through the cascade as candidates."""
    candidates = as_candidates(spec, rows)
    return cascade.judge(candidates, candidates.clear())


def as_candidates(spec: DatasetSpec, rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows (text, label) as complete candidates of their label's stratum."""
    return add_real_ids(rows, spec).with_columns(finish_reason=pl.lit(STOP), stratum=pl.col("label"))


def report_untouched(spec: DatasetSpec, cascade: Cascade, real: pl.DataFrame) -> None:
    filtering = judge(spec, cascade, real)
    rejected = filtering.verdicts.filter(~pl.col("passed"))
    print(f"untouched real rows: {rejected.height / real.height:.2%} rejected in all")
    for name, reason, count in rejected.group_by("discriminator", "reason").len().sort("len", descending=True).rows():
        print(f"  {name:<22} {reason:<22} {count / real.height:7.2%}")
    print()


def report_planted(
    spec: DatasetSpec,
    cascade: Cascade,
    real: pl.DataFrame,
    seeds: pl.DataFrame,
    rng: random.Random,
    other: tuple[Path, ...],
) -> None:
    base = real.head(1000)
    confusions = confuse_labels(cascade, base)
    labels = sorted(real["label"].unique())
    seed_texts = seeds["text"].to_list()
    plants: dict[str, tuple[str, pl.DataFrame]] = {
        "exact copy of a seed": ("duplicates", seeds.select("text", "label").sample(1000, seed=1)),
        "exact, other case and spaces": (
            "duplicates",
            change(seeds.sample(1000, seed=2), lambda text: re.sub(" ", "  ", text).upper()),
        ),
        "near copy, Jaccard >= .85": ("duplicates", near_copies(seeds, rng, 0.85)),
        "span of >= 8 words of a seed": ("leakage", leaks(base, seed_texts, rng)),
        "personal data": ("personal_data", change(base, lambda text: f"{text} {rng.choice(PERSONAL)}")),
        "random wrong label": (
            "labels",
            base.with_columns(
                label=pl.Series([rng.choice([each for each in labels if each != own]) for own in base["label"]])
            ),
        ),
        "most confusable wrong label": ("labels", base.with_columns(label=confusions)),
        "loop": ("text_rules", change(base, lambda text: loop(text, rng))),
        "cut at a word": ("text_rules", change(base, lambda text: cut(text, rng, whole=True))),
        "cut within a word": ("text_rules", change(base, lambda text: cut(text, rng, whole=False))),
        "shuffled words": ("perplexity", change(base, lambda text: shuffle(text, rng))),
    }
    for file in other:
        texts = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()][:1000]
        plants[f"language: {file.stem}"] = (
            "language",
            pl.DataFrame({"text": texts, "label": [rng.choice(labels) for _ in texts]}),
        )
    print(f"{'planted':<32} {'rows':>6} {'found':>8} {'by its own':>11}  first reasons")
    for name, (own, planted) in plants.items():
        # one row at a time against the seeds: what is planted twice must not count as a duplicate of the other plant
        rows = planted.unique("text", maintain_order=True)
        verdicts = judge(spec, cascade, rows).verdicts
        count = verdicts["example_id"].n_unique()
        rejected = verdicts.filter(~pl.col("passed"))
        alone = [each for each in cascade.discriminators if each.name == own]
        by_own = sum(int((~each.judge(as_candidates(spec, rows))["passed"]).sum()) for each in alone)
        reasons = rejected.group_by("discriminator").len().sort("len", descending=True).head(3).rows()
        told = ", ".join(f"{reason} {found}" for reason, found in reasons)
        print(f"{name:<32} {count:>6} {rejected.height / count:8.3f} {by_own / count:11.3f}  {told}")


def change(rows: pl.DataFrame, edit: Callable[[str], str]) -> pl.DataFrame:
    """Return the rows with their texts edited."""
    return rows.select(text=pl.Series([edit(text) for text in rows["text"]]), label=pl.col("label"))


def near_copies(seeds: pl.DataFrame, rng: random.Random, least: float) -> pl.DataFrame:
    """Return copies of seeds with words dropped, swapped or replaced, as far as they are at least so alike."""
    rows = seeds.select("text", "label").sample(4000, seed=3, with_replacement=True)
    words = sorted({word for text in seeds["text"].head(500) for word in text.split()})
    edited = change(rows, lambda text: edit_words(text, rng, words))
    alike = measure_jaccard(edited["text"], rows["text"])
    return edited.filter(pl.Series(alike >= least) & (edited["text"] != rows["text"])).head(1000)


def edit_words(text: str, rng: random.Random, words: list[str]) -> str:
    parts = text.split()
    for _ in range(rng.randint(1, 2)):
        place = rng.randrange(len(parts))
        kind = rng.choice(("drop", "add", "replace", "swap"))
        if kind == "drop" and len(parts) > 1:
            del parts[place]
        elif kind == "add":
            parts.insert(place, rng.choice(words))
        elif kind == "replace":
            parts[place] = rng.choice(words)
        elif place:
            parts[place - 1], parts[place] = parts[place], parts[place - 1]
    return " ".join(parts)


def leaks(base: pl.DataFrame, seeds: list[str], rng: random.Random) -> pl.DataFrame:
    """Return rows with 8 to 12 words of a seed inserted after their first sentence."""
    long = [text.split() for text in seeds if len(text.split()) >= 14]

    def insert(text: str) -> str:
        words = rng.choice(long)
        count = rng.randint(8, 12)
        start = rng.randrange(len(words) - count + 1)
        return f"{text} {' '.join(words[start : start + count])}"

    return change(base, insert)


def confuse_labels(cascade: Cascade, base: pl.DataFrame) -> pl.Series:
    """Return for each row the wrong label that the label model finds most fitting."""
    labels = next(each for each in cascade.discriminators if isinstance(each, Labels))
    assert labels.model is not None
    names = list(labels.model.names)
    scores = labels.model.score(labels.model.encode(base))
    scores[range(base.height), [names.index(label) for label in base["label"]]] = -np.inf
    return pl.Series([names[place] for place in scores.argmax(axis=1)])


def loop(text: str, rng: random.Random) -> str:
    words = text.split()
    start = rng.randrange(len(words))
    phrase = words[start : start + rng.randint(1, 3)]
    return " ".join(words[: start + len(phrase)] + phrase * rng.randint(4, 9))


def cut(text: str, rng: random.Random, *, whole: bool) -> str:
    words = text.split()
    keep = rng.randint(max(2, len(words) // 2), max(2, len(words) - 1))
    kept = " ".join(words[:keep]).rstrip(".?!,")
    return kept if whole else kept[:-1] if len(kept) > 4 else kept


def shuffle(text: str, rng: random.Random) -> str:
    words = text.split()
    rng.shuffle(words)
    return " ".join(words)


if __name__ == "__main__":
    main()
