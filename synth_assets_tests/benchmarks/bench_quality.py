"""Benchmark: what the learned discriminators reject, how fast, and what selection by importance does to diversity.

python -m synth_assets_tests.benchmarks.bench_quality FILE.csv TEXT LABEL [--messages 1000000]

Real rows are split into two halves: one is fitted on, the other is fresh. Candidates come from the embedded engine.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from synth_assets.discriminators.quality.heads import Head, measure_calibration_error
from synth_assets.discriminators.quality.importance import select_by_importance, weigh_candidates
from synth_assets.discriminators.quality.perplexity import Perplexity
from synth_assets.discriminators.quality.realism import Realism
from synth_assets.generation.engines import fit_embedded
from synth_assets.generation.planner import Pins, plan_round
from synth_assets.generation.requests import build_requests
from synth_assets.generation.waves import as_candidates
from synth_assets.monitoring.filtering import measure_filtering
from synth_assets.records import RELEASABLE, TRAIN, add_real_ids, apportion
from synth_assets.spec import DatasetSpec
from synth_assets_tests.builders import text_spec
from synth_assets_tests.discriminators.quality.samples import shuffle_words

SHARES = (0.002, 0.01)
CANDIDATES = 15_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("text")
    parser.add_argument("label")
    parser.add_argument("--messages", type=int, default=1_000_000)
    options = parser.parse_args()
    rows = pl.read_csv(options.file).select(text=options.text, intent=options.label).unique("text", maintain_order=True)
    real = add_real_ids(rows.sample(fraction=1, shuffle=True, seed=0), text_spec())
    train, fresh = real[: real.height // 2], real[real.height // 2 :]
    earlier, wave = (make_candidates(text_spec(), train, round_) for round_ in ("r000", "r001"))
    print(f"{train.height:,} rows fitted on, {fresh.height:,} fresh, {wave.height:,} candidates a round")
    salad = fresh.with_columns(text=pl.Series(shuffle_words(fresh["text"])))
    for share in SHARES:
        spec = text_spec(quality={"perplexity_false_reject": share, "realism_false_reject": share})
        judge = timed(f"fit perplexity at {share:.1%}", lambda spec=spec: Perplexity.fit(spec, train))
        assert judge is not None
        told = {"fresh real": fresh, "word salad": salad, "candidates": wave}
        print("  rejects", {name: f"{share_rejected(judge, frame):.2%}" for name, frame in told.items()})
        realism = timed(f"fit realism at {share:.1%}", lambda spec=spec: Realism.fit(spec, train, earlier, None))
        if realism is None or realism.origin is None:
            print("  no origin head: candidates are not told from real rows")
            continue
        print("  rejects", {name: f"{share_rejected(realism, frame):.2%}" for name, frame in told.items()})
        print(f"  {describe(realism.origin, fresh, wave)}")
        measure_speed(judge, realism, wave, options.messages)
    compare_selections(text_spec(), train, wave)
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


def make_candidates(spec: DatasetSpec, train: pl.DataFrame, round_: str) -> pl.DataFrame:
    seeds = train.with_columns(split=pl.lit(TRAIN), disposition=pl.lit(RELEASABLE), cluster=pl.col("example_id"))
    plan = plan_round(spec, round_, seeds, Pins("", "", ""), accepted_before={})
    engine = fit_embedded(spec, "text", seeds)
    counts = apportion(CANDIDATES, plan.strata["weight"].to_list())
    requests = build_requests(spec, round_, seeds, dict(zip(plan.strata["stratum"], counts, strict=True)), {})
    return as_candidates(spec, plan, requests, pl.concat(list(engine.generate(requests))), engine.info)


def timed(what: str, run: Callable[[], Any]) -> Any:
    began, worked = time.perf_counter(), time.process_time()
    result = run()
    print(f"{what}: {time.perf_counter() - began:.2f} s, {time.process_time() - worked:.2f} s of CPU")
    return result


def share_rejected(judge: Perplexity | Realism, frame: pl.DataFrame) -> float:
    return float(np.mean(~judge.judge(frame)["passed"].to_numpy()))


def describe(head: Head, fresh: pl.DataFrame, wave: pl.DataFrame) -> str:
    from sklearn.metrics import roc_auc_score

    real, made = head.predict(fresh), head.predict(wave)
    chances = np.concatenate([real, made])
    is_real = np.arange(len(chances)) < len(real)
    weights = np.where(is_real, 1 / len(real), 1 / len(made))
    return (
        f"views {head.reader.views}; out of fold AUC {head.auc:.3f}, calibration error {head.calibration_error:.3f}; "
        f"fresh AUC {roc_auc_score(is_real, chances):.3f}, "
        f"calibration error {measure_calibration_error(chances, is_real, weights):.3f}; below the limit "
        f"{(real < head.threshold).mean():.2%} of real rows, {(made < head.threshold).mean():.2%} of candidates"
    )


def measure_speed(perplexity: Perplexity, realism: Realism, wave: pl.DataFrame, messages: int) -> None:
    many = pl.concat([wave] * (messages // wave.height + 1)).head(messages).select("example_id", "text", "intent")
    for judge in (perplexity, realism):
        began = time.perf_counter()
        judge.judge(many)
        print(f"  {judge.name}: {messages / (time.perf_counter() - began):,.0f} messages/s")


def compare_selections(spec: DatasetSpec, train: pl.DataFrame, wave: pl.DataFrame) -> None:
    survivors = wave.unique("text", maintain_order=True)
    weights = timed("weigh", lambda: weigh_candidates(spec, train, wave, survivors))
    weighed = survivors.with_columns(weight=weights)
    for part in (3, 10):
        targets = {stratum: count // part for stratum, count in survivors.group_by("stratum").len().iter_rows()}
        limit = pl.col("stratum").replace_strict(targets)
        selected = select_by_importance(spec, survivors, weights, targets, round_="r001")
        largest = pl.col("weight").rank("ordinal", descending=True).over("stratum")
        stages = {
            "survivors": weighed,
            "request order": weighed.filter(pl.int_range(pl.len()).over("stratum") < limit),
            "importance, quota": weighed.filter(selected["kept"]),
            "top weights, quota": weighed.filter(largest <= limit),
            "top weights": weighed.sort("weight", descending=True).head(sum(targets.values())),
        }
        told = measure_filtering(stages, spec).with_columns(
            importance=pl.Series([frame["weight"].mean() for frame in stages.values()]),
            stratum_bits=pl.Series([measure_entropy(frame["stratum"]) for frame in stages.values()]),
        )
        print(f"one in {part} kept")
        with pl.Config(tbl_cols=-1, tbl_width_chars=200, tbl_hide_dataframe_shape=True):
            print(told)


def measure_entropy(values: pl.Series) -> float:
    shares = values.value_counts()["count"].to_numpy() / len(values)
    return float(-np.sum(shares * np.log2(shares)))


if __name__ == "__main__":
    main()
