"""Benchmark: what the privacy report finds of planted copies and of an overfitted generator, and how often it errs.

    python -m synth_assets_tests.benchmarks.bench_privacy text FILE.csv text [label]     columns after the file
    python -m synth_assets_tests.benchmarks.bench_privacy table FILE.csv target
    python -m synth_assets_tests.benchmarks.bench_privacy speed FILE.csv text

Every try draws the rows anew. honest: fresh real rows stand for the synthetic ones. planted: 5 % of these are train
rows with two words (or columns) changed. overfitted: an n-gram chain of order 5 without smoothing (or train rows with
light noise). engine: candidates of the embedded engine, before any filter. engine, private: the same with a fifth of
the rows never to be exported, which alone are attacked. Rows of equal content count once, as in the platform, where no
released row repeats a seed.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import polars as pl

from synth_assets.generation.engines import fit_embedded, resolve_generator
from synth_assets.generation.requests import build_requests
from synth_assets.monitoring.privacy import measure_privacy
from synth_assets.records import RELEASABLE, SEALED, SYNTHESIS_ONLY, TRAIN, add_real_ids, polars_schema
from synth_assets.seeds.splits import split_seeds
from synth_assets.spec import DatasetSpec, parse_spec

PLANTED, PRIVATE = 0.05, 0.2
Change = Callable[[pl.DataFrame, pl.DataFrame, np.random.Generator], pl.DataFrame]


def make_spec(fields: list[dict[str, object]], by: list[str]) -> DatasetSpec:
    content = {
        "name": "bench",
        "fields": fields,
        "strata": {"by": by},
        "source": {"license": "CC0-1.0", "consent": {"basis": "not_personal"}},
    }
    return parse_spec(content, where="benchmark")


def read_text_file(path: str, text: str, label: str | None) -> tuple[pl.DataFrame, DatasetSpec]:
    frame = pl.read_csv(path, infer_schema=False).select(text=text, **({"label": label} if label else {}))
    fields: list[dict[str, object]] = [{"name": "text", "type": "text"}]
    if label:
        fields.append({"name": "label", "type": "category", "role": "target"})
    spec = make_spec(fields, ["label"] if label else [])
    return add_real_ids(frame.drop_nulls(), spec), spec


def read_table_file(path: str, target: str) -> tuple[pl.DataFrame, DatasetSpec]:
    with open(path, encoding="utf-8") as file:  # noqa: PTH123
        first = next(csv.reader(file))
    named = target in first
    frame = pl.read_csv(path, has_header=named, infer_schema=False)
    if not named:
        frame = frame.rename({frame.columns[-1]: target})
    frame = frame.with_columns(pl.all().str.strip_chars().replace({"?": None, "": None}))
    for name in frame.columns:  # padded numbers are numbers
        for dtype in (pl.Int64, pl.Float64):
            if name != target and frame.schema[name] == pl.String:
                read = frame[name].cast(dtype, strict=False)
                frame = frame.with_columns(read) if read.null_count() == frame[name].null_count() else frame
    frame = frame.drop(
        name for name in frame.columns if frame.schema[name] == pl.String and frame[name].n_unique() > 200
    )
    kinds = {pl.String: "category", pl.Int64: "integer", pl.Float64: "number", pl.Boolean: "boolean"}
    fields: list[dict[str, object]] = [
        {
            "name": name,
            "type": "category" if name == target else kinds[type(dtype)],
            "role": "target" if name == target else "input",
            "nullable": True,
        }
        for name, dtype in frame.schema.items()
    ]
    spec = make_spec(fields, [target])
    frame = (
        frame.with_columns(pl.col(target).cast(pl.String))
        .drop_nulls(target)
        .cast(pl.Schema(polars_schema(spec.fields)))
    )
    return add_real_ids(frame, spec), spec


# ---- generators, honest and not


def change_words(copied: pl.DataFrame, others: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Replace two words of each text by words of the data."""
    words = others["text"].str.extract_all(r"\S+").explode().drop_nulls().to_numpy()
    texts = []
    for text in copied["text"]:
        told = text.split()
        for place in rng.choice(len(told), size=min(2, len(told)), replace=False):
            told[place] = str(rng.choice(words))
        texts.append(" ".join(told))
    return copied.with_columns(text=pl.Series(texts))


def change_columns(copied: pl.DataFrame, others: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Take two columns of each record, not those of its stratum, from another record."""
    names = [name for name in copied.columns if name not in ("example_id", "stratum")][:-1]
    lent = others[rng.integers(others.height, size=copied.height)]
    chosen = rng.permuted(np.tile(np.arange(len(names)), (copied.height, 1)), axis=1)[:, :2]
    return copied.with_columns(
        pl.when(pl.Series((chosen == i).any(axis=1))).then(lent[name]).otherwise(pl.col(name)).alias(name)
        for i, name in enumerate(names)
    )


def plant(made: pl.DataFrame, train: pl.DataFrame, change: Change, rng: np.random.Generator) -> pl.DataFrame:
    """Return the made rows, 5 % of them changed copies of train rows whose example_id starts with `copy `."""
    count = round(PLANTED * made.height)
    copied = train[rng.choice(train.height, size=count, replace=False)].select(made.columns)
    copied = change(copied, train, rng).with_columns(example_id="copy " + pl.col("example_id"))
    return pl.concat([made[count:], copied])


def write_chain(train: pl.DataFrame, rows: int, rng: np.random.Generator, order: int = 5) -> pl.DataFrame:
    """Return texts of an n-gram chain over words without smoothing: each word given the `order` - 1 before it."""
    following: dict[tuple[str, ...], list[str]] = {}
    for text in train["text"]:
        words = [""] * (order - 1) + text.split() + ["\n"]
        for at in range(order - 1, len(words)):
            following.setdefault(tuple(words[at - order + 1 : at]), []).append(words[at])
    texts = []
    for _ in range(rows):
        words = [""] * (order - 1)
        while words[-1] != "\n":
            after = following[tuple(words[1 - order :])]
            words.append(after[rng.integers(len(after))])
        texts.append(" ".join(words[order - 1 : -1]))
    base = train[rng.integers(train.height, size=rows)]
    return base.with_columns(text=pl.Series(texts), example_id=pl.format("chain {}", pl.int_range(rows)))


def add_noise(train: pl.DataFrame, rows: int, rng: np.random.Generator) -> pl.DataFrame:
    """Return train rows, every number moved by about a hundredth of its standard deviation."""
    base = train[rng.integers(train.height, size=rows)]
    noisy = [
        (pl.col(name) + pl.Series(rng.normal(0, 0.01 * np.nanstd(train[name].cast(pl.Float64).to_numpy()), rows)))
        .cast(dtype)
        .alias(name)
        for name, dtype in base.schema.items()
        if dtype.is_numeric()
    ]
    return base.with_columns(*noisy, example_id=pl.format("noise {}", pl.int_range(rows)))


def generate(spec: DatasetSpec, train: pl.DataFrame, rows: int) -> pl.DataFrame:
    """Return all candidates of the embedded engine, fitted on train, in the real mix."""
    counts = {name: -(-rows * count // train.height) for name, count in train.group_by("stratum").len().iter_rows()}
    engine = fit_embedded(spec, resolve_generator(spec), train)
    made = pl.concat(list(engine.generate(build_requests(spec, "r000", train, counts, {}))))
    stratum = made.select(pl.concat_str(spec.strata.by, separator="|")) if spec.strata.by else pl.lit("all")
    return made.with_columns(
        example_id=pl.format("made {}", pl.int_range(pl.len())),
        stratum=stratum.to_series() if isinstance(stratum, pl.DataFrame) else stratum,
    )


# ---- tries


def split(raw: pl.DataFrame, spec: DatasetSpec, disposition: str) -> pl.DataFrame:
    audit = raw.select("example_id", disposition=pl.lit(disposition))
    return split_seeds(raw, audit, spec).rows


def try_once(
    raw: pl.DataFrame, spec: DatasetSpec, seed: int, rows: int, found: Counter[str], auc: dict[str, list] | None
) -> None:
    rng = np.random.default_rng(seed)
    spec = spec.model_copy(update={"seed": seed})
    shuffled = raw[rng.permutation(raw.height)].unique("content_id", keep="first", maintain_order=True)
    fresh = shuffled[: min(rows, shuffled.height // 3)]
    seeds = split(shuffled[fresh.height :], spec, SYNTHESIS_ONLY)  # judged by the strictest rules
    names = ["example_id", "stratum", *(field.name for field in spec.content_fields)]
    members = seeds.filter(pl.col("split") == TRAIN)
    train, fresh = members.select(names), fresh.select(names)
    is_text = bool(spec.text_fields)
    honest = measure_privacy(fresh, seeds, spec)
    found["tries"] += 1
    found["honest: acts"] += honest.level == "act"
    found["honest: watched or acts"] += honest.level != "ok"
    found.update(f"  honest: {name}" for name in honest.metrics.filter(pl.col("level") != "ok")["metric"])
    planted = plant(fresh, train, change_words if is_text else change_columns, rng)
    report = measure_privacy(planted, seeds, spec)
    kind = "near_copy" if is_text else "near_record"
    shown = report.examples.filter(pl.col("kind") == kind)["example_id"].unique()
    copies = planted.filter(pl.col("example_id").str.starts_with("copy "))["example_id"]
    found["planted rows"] += len(copies)
    found["planted rows caught"] += int(copies.is_in(shown.implode()).sum())
    name = "copied_share"
    level = report.metrics.filter(pl.col("metric") == name)["level"].item()
    found[f"planted: {name} acts"] += level == "act"
    found[f"planted: {name} watched or acts"] += level != "ok"
    found["planted: report acts"] += report.level == "act"
    if auc is None:
        return
    metric = "membership_auc" if is_text else "membership_auc_columns"
    count = 2 * train.height  # as many as a corpus of two thirds synthetic rows takes
    public = members.with_columns(disposition=pl.lit(RELEASABLE))  # of private text alone the engine may say nothing
    is_private = pl.Series(rng.random(seeds.height) < PRIVATE)
    mixed = seeds.with_columns(
        disposition=pl.when(is_private).then(pl.lit(SYNTHESIS_ONLY)).otherwise(pl.lit(RELEASABLE))
    )
    generators = {
        "overfitted": (seeds, (write_chain if is_text else add_noise)(train, count, rng)),
        "engine": (seeds, generate(spec, public, count).select(names)),
        "engine, private": (mixed, generate(spec, mixed.filter(pl.col("split") == TRAIN), count).select(names)),
    }
    for name, (known, made) in generators.items():
        report = measure_privacy(fresh, known, spec, candidates=made)
        values = dict(report.metrics.select("metric", "value").iter_rows())
        auc.setdefault(name, []).append([values[f"{metric}{end}"] for end in ("_low", "", "_high")])


def measure_speed(path: str, text: str, rows: int) -> None:
    """Time the report on texts recombined of the file's words: half of one text, half of another."""
    raw, spec = read_text_file(path, text, None)
    rng = np.random.default_rng(0)
    words = raw["text"].str.extract_all(r"\S+")

    def recombine(count: int, kind: str) -> pl.DataFrame:
        one, two = (words.gather(rng.integers(len(words), size=count)) for _ in range(2))
        halves = pl.DataFrame({"a": one, "b": two}).select(
            pl.col("a").list.head(pl.col("a").list.len() // 2 + 1).list.join(" "),
            pl.col("b").list.tail(pl.col("b").list.len() // 2 + 1).list.join(" "),
        )
        joined = halves.select(text=pl.concat_str("a", "b", separator=" "))
        return joined.with_columns(example_id=pl.format(f"{kind}{{}}", pl.int_range(count)), stratum=pl.lit("all"))

    seeds = pl.concat(
        [
            recombine(rows, "t").with_columns(split=pl.lit(TRAIN)),
            recombine(rows // 5, "s").with_columns(split=pl.lit(SEALED)),
        ]
    ).with_columns(disposition=pl.lit(RELEASABLE))
    made = recombine(rows, "m")
    start = time.perf_counter()
    report = measure_privacy(made, seeds, spec)
    print(f"{rows:,} x {rows:,} texts: {time.perf_counter() - start:.1f} s")
    for name, value in report.metrics.select("metric", "value").iter_rows():
        print(f"  {name:<24} {value:.4f}" if value is not None else f"  {name:<24} not measured")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["text", "table", "speed"])
    parser.add_argument("file")
    parser.add_argument("columns", nargs="+")
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="seed of the first try")
    parser.add_argument("--copies", action="store_true", help="honest and planted rows only, no generators")
    parser.add_argument("--rows", type=int, default=None, help="rows that stand for synthetic ones")
    options = parser.parse_args()
    if options.kind == "speed":
        measure_speed(options.file, options.columns[0], options.rows or 100_000)
        return
    if options.kind == "text":
        raw, spec = read_text_file(options.file, options.columns[0], (options.columns[1:] or [None])[0])
    else:
        raw, spec = read_table_file(options.file, options.columns[0])
        raw = raw.sample(min(raw.height, 12_000), seed=0)
    found: Counter[str] = Counter()
    auc: dict[str, list] = {}
    for seed in range(options.first, options.first + options.tries):
        try_once(raw, spec, seed, options.rows or 2_000, found, None if options.copies else auc)
    for name, count in found.items():
        print(f"{name:<40} {count:,}")
    for name, values in auc.items():
        low, middle, high = np.mean(values, axis=0)
        inside = sum(one[0] <= 0.5 <= one[2] for one in values)
        print(
            f"membership AUC, {name:<16} {middle:.3f} ({low:.3f} … {high:.3f}); 0.5 inside in {inside} of {len(values)}"
        )


if __name__ == "__main__":
    main()
