"""Benchmark: how clearly the watermarks show, what they outlive, and what they do to the data and to speed.

    python -m synth_assets_tests.benchmarks.bench_watermark [--datasets support clinical] [--runs 5] [--model FOLDER]

Rows of the embedded engines: z and p of marked and unmarked rows and of a wrong key, with and without the seeds; z
after damage; marked against unmarked rows by classifier two-sample test, Kolmogorov-Smirnov, distinct-2 and students
(TSTR) over several keys; rows a second. With --model, a folder that vLLM can load: the same evidence for text and JSON
that the model writes, and its tokens a second, marked and not in turn.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from synth_assets.generation.engines import fit_embedded, resolve_generator
from synth_assets.generation.requests import STOP, Engine, build_requests
from synth_assets.generation.watermark.detection import detect_answers, detect_texts, detect_tokens
from synth_assets.generation.watermark.evidence import Detection
from synth_assets.generation.watermark.keys import Key
from synth_assets.generation.watermark.rows import MarkedEngine, detect_rows
from synth_assets.generation.watermark.tokens import pair_tokens
from synth_assets.monitoring.diversity import measure_distinct_n, tokenize
from synth_assets.monitoring.shift import measure_shift
from synth_assets.monitoring.student import measure_student
from synth_assets.project import find_project
from synth_assets.records import REAL, SYNTHETIC, TRAIN, add_real_ids, apportion
from synth_assets.seeds.liabilities import audit_liabilities
from synth_assets.seeds.reading import read_seeds
from synth_assets.seeds.splits import split_seeds
from synth_assets.spec import DatasetSpec
from synth_assets_tests.generation.watermark.damage import edit_rows
from synth_assets_tests.generation.watermark.keys_for_tests import KEY, OTHER_KEY
from synth_assets_tests.generation.watermark.language import message_spec, open_writer

ROWS = (50, 200, 1000)


@dataclass(frozen=True)
class Source:
    """A bundled data set with its engine fitted on the train split."""

    spec: DatasetSpec
    seeds: pl.DataFrame
    engine: Engine

    @property
    def train(self) -> pl.DataFrame:
        return self.seeds.filter(pl.col("split") == TRAIN)

    def mark(self, key: Key) -> MarkedEngine:
        return MarkedEngine(self.engine, self.spec, key, self.train)

    def ask(self, rows: int, round_: str) -> pl.DataFrame:
        """Return requests for so many rows in the seeds' mix of strata; rounds have requests of their own."""
        strata = self.train["stratum"].value_counts(sort=True)
        counts = dict(zip(strata["stratum"], apportion(rows, strata["count"].to_list()), strict=True))
        return build_requests(self.spec, round_, self.train, counts, {})

    def make(self, engine: Engine, rows: int, round_: str) -> pl.DataFrame:
        """Return completions with the columns that measurements want.

        Of a marked engine only those that stop unmarked too: with more tries it answers more of the hard requests.
        """
        requests = self.ask(rows, round_)
        made, plain = (pl.concat(list(one.generate(requests))) for one in (engine, self.engine))
        told = made.with_columns(
            requests["stratum"], example_id=pl.format(f"{round_}-{{}}", "request_id"), origin=pl.lit(SYNTHETIC)
        )
        return told.filter((plain["finish_reason"] == STOP) & (made["finish_reason"] == STOP))


def open_source(dataset: str) -> Source:
    project = find_project()
    spec = project.spec(dataset)
    raw = add_real_ids(read_seeds(spec, project.seed_folder(dataset)).rows, spec)
    seeds = split_seeds(raw, audit_liabilities(raw, spec).rows, spec).rows
    engine = fit_embedded(spec, resolve_generator(spec), seeds.filter(pl.col("split") == TRAIN))
    return Source(spec, seeds, engine)


def draw_keys(count: int) -> list[Key]:
    return [Key(bytes([number]) * 32, str(number)) for number in range(1, count + 1)]


def show(found: Detection) -> str:
    pooled = found.pooled
    return f"z {pooled.z or 0:6.2f}  p {pooled.p_value:8.1e}"


# ---- rows: evidence


def show_evidence(source: Source) -> None:
    spec, train, engine = source.spec, source.train, source.mark(KEY)
    print(f"{'rows':>6}  {'seeds':<8}{'marked':<26}{'unmarked':<26}{'wrong key':<26}bits  z of a row")
    for rows in ROWS:
        marked, plain = source.make(engine, rows, "r000"), source.make(source.engine, rows, "r000")
        for known in (train, None):
            found = detect_rows(marked, spec, KEY, seeds=known)
            others = (detect_rows(plain, spec, KEY, seeds=known), detect_rows(marked, spec, OTHER_KEY, seeds=known))
            told = f"{show(found):<26}{show(others[0]):<26}{show(others[1]):<26}"
            mean = found.records["z"].mean()
            print(f"{rows:>6}  {'no' if known is None else 'known':<8}{told}{found.pooled.scored:<6}{mean:.2f}")


def show_damage(source: Source, rows: int = 200) -> None:
    spec, train = source.spec, source.train
    marked = source.make(source.mark(KEY), rows, "r000")
    names = [field.name for field in spec.content_fields]
    edited = edit_rows(marked, spec, 0.2)
    cases = {
        "whole": marked,
        f"without {names[0]}": marked.drop(names[0]),
        "shuffled": marked.sample(fraction=1, shuffle=True, seed=1),
        "half deleted": marked.sample(fraction=0.5, seed=1),
        "20 % of rows edited": edited,
        "all rows edited": edit_rows(marked, spec, 1.0),
        "as many real rows added": pl.concat([marked.select(names), train.select(names).head(marked.height)]),
        "every row twice": pl.concat([marked, marked]),
    }
    for name, frame in cases.items():
        print(f"  {name:<26}{show(detect_rows(frame, spec, KEY, seeds=train))}")


# ---- rows: effect on the data


def show_effect(source: Source, runs: int, rows: int = 1000) -> None:
    """Compare marked rows, and unmarked ones of the same requests, with unmarked rows of other requests, over keys."""
    found: dict[tuple[str, bool], list[float]] = {}
    for number, key in enumerate(draw_keys(runs)):
        base = source.make(source.engine, rows, f"r1{number}")
        for marked, engine in ((False, source.engine), (True, source.mark(key))):
            made = source.make(engine, rows, f"r2{number}")
            for name, value in measure_effect(source, base, made).items():
                found.setdefault((name, marked), []).append(value)
    print(f"  {'':<44}{'unmarked':<22}marked   (mean ± its error over {runs} keys, {rows} rows)")
    for name in dict.fromkeys(name for name, _ in found):
        cells = [
            f"{np.mean(found[name, marked]):.4f} ± {np.std(found[name, marked]) / np.sqrt(runs):.4f}"
            for marked in (False, True)
        ]
        print(f"  {name:<44}{cells[0]:<22}{cells[1]}")


def measure_effect(source: Source, base: pl.DataFrame, made: pl.DataFrame) -> dict[str, float]:
    spec, train = source.spec, source.train
    shift = measure_shift(base, made, spec).metrics.filter(pl.col("stratum") == "")
    numbers = {}
    for name in ("c2st_accuracy", "c2st_forest_accuracy"):
        row = shift.filter(pl.col("metric") == name).row(0, named=True)
        if row["value"] is not None:
            numbers |= {name: row["value"], f"{name}, upper end of its null": row["null_high"]}
    ks = shift.filter(pl.col("metric").is_in(["ks", "length_ks"]) & pl.col("null_high").is_not_null())
    if ks.height:
        numbers["KS, mean over columns"] = float(ks["value"].mean() or 0)  # type: ignore[arg-type]
        numbers["KS above the 95 % interval, share of columns"] = float((ks["value"] > ks["null_high"]).mean() or 0)  # type: ignore[arg-type]
    for field in spec.text_fields:
        numbers[f"distinct-2 of {field.name}"] = measure_distinct_n(tokenize(made[field.name]), 2)
    names = ["example_id", "stratum", "origin", *(field.name for field in spec.content_fields)]
    real = train.with_columns(origin=pl.lit(REAL)).select(names)
    test = source.seeds.filter((pl.col("split") != TRAIN) & pl.col("split").is_not_null())
    student = measure_student(real, made.select(names), pl.concat([real, made.select(names)]), test, spec, seeds=5)
    for name in ("tstr_accuracy", "mix_accuracy"):
        value = student.metrics.filter((pl.col("metric") == name) & (pl.col("stratum") == ""))["value"]
        numbers[name] = float(value[0])
    return numbers


# ---- rows: speed


def show_speed(source: Source, rows: int = 4000) -> None:
    requests = source.ask(rows, "r900")
    for name, engine in (("unmarked", source.engine), ("marked", source.mark(KEY))):
        list(engine.generate(requests.head(200)))
        wall, cpu = time.perf_counter(), time.process_time()
        list(engine.generate(requests))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(f"  {name:<10}{rows / wall:>9,.0f} rows/s   {rows / cpu:>9,.0f} rows/s of CPU")
    made = source.make(source.engine, rows, "r901")
    wall = time.perf_counter()
    detect_rows(made, source.spec, KEY, seeds=source.train)
    print(f"  {'detection':<10}{made.height / (time.perf_counter() - wall):>9,.0f} rows/s")


# ---- language models


def show_language(model: Path, turns: int, texts: int = 64, tokens: int = 80) -> None:
    from synth_assets.generation.vllm.settings import count_gpus

    with open_writer(model, cuda=count_gpus() > 0) as writer:
        writer.write(16, marked=True, json_=True)
        marked = writer.write(texts, marked=True, json_=False, tokens=tokens)
        plain = writer.write(texts, marked=False, json_=False, tokens=tokens)
        records = {mark: writer.write(4 * texts, marked=mark, json_=True) for mark in (True, False)}
        print(f"\nlanguage model {model.name}: {texts} texts of {tokens} tokens")
        show_records("text", marked, plain, score_tokens)
        show_records("first 40 tokens", cut(marked, 40), cut(plain, 40), score_tokens)
        show_records("first 20 tokens", cut(marked, 20), cut(plain, 20), score_tokens)
        print(f"{4 * texts} records in JSON")
        spec = message_spec()
        show_records(
            "kept tokens", records[True], records[False], lambda frame, key: detect_answers(frame, spec, key, model)
        )
        show_records("text", records[True], records[False], lambda frame, key: detect_texts(frame, spec, key, model))
        for top_k in (50, 0):
            rates: dict[bool, list[float]] = {True: [], False: []}
            for turn in range(2 * turns):
                mark = (turn + turn // 2) % 2 == 0
                start = time.perf_counter()
                writer.write(64, marked=mark, json_=False, tokens=32, salt=turn // 2, top_k=top_k)
                rates[mark].append(64 * 32 / (time.perf_counter() - start))
            cost = 1 - np.median([m / p for m, p in zip(rates[True], rates[False], strict=True)])
            told = [
                f"{np.median(rates[mark]):.0f} ({min(rates[mark]):.0f} … {max(rates[mark]):.0f})"
                for mark in (False, True)
            ]
            print(f"top_k {top_k:<3} tokens/s unmarked {told[0]}, marked {told[1]}: {cost:+.1%} (median of pairs)")


def cut(frame: pl.DataFrame, tokens: int) -> pl.DataFrame:
    return frame.with_columns(pl.col("output_token_ids").list.head(tokens))


def score_tokens(frame: pl.DataFrame, key: Key) -> Detection:
    ids = frame.select(pl.concat_list(pl.col("prompt_end").cast(pl.Int32), "output_token_ids")).to_series()
    return detect_tokens(pl.int_range(frame.height, eager=True), pair_tokens(ids), key, 0.25)


def show_records(
    name: str, marked: pl.DataFrame, plain: pl.DataFrame, score: Callable[[pl.DataFrame, Key], Detection]
) -> None:
    for told, frame, key in (("marked", marked, KEY), ("unmarked", plain, KEY), ("wrong key", marked, OTHER_KEY)):
        found = score(frame, key)
        z = found.records["z"].drop_nulls().to_numpy()
        print(
            f"  {name:<18}{told:<10} of a record: z mean {z.mean():5.2f}, {int((z > 4).sum())}/{len(z)} above 4, "
            f"{found.pooled.scored / max(len(z), 1):.0f} tokens; pooled {show(found)}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", nargs="*", default=["support", "clinical"])
    parser.add_argument("--runs", type=int, default=5, help="keys in the comparison of marked and unmarked rows")
    parser.add_argument("--model", type=Path, help="folder of a model that vLLM can load")
    parser.add_argument("--turns", type=int, default=5, help="pairs of timed batches of the language model")
    options = parser.parse_args()
    for dataset in options.datasets:
        source = open_source(dataset)
        print(f"\n{dataset}: {source.train.height} training rows, {source.mark(KEY).info.generator_id}")
        show_evidence(source)
        print("after damage, 200 rows")
        show_damage(source)
        print("effect on the data")
        show_effect(source, options.runs)
        print("speed")
        show_speed(source)
    if options.model:
        show_language(options.model, options.turns)


if __name__ == "__main__":
    main()
