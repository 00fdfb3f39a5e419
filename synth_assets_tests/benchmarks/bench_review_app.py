"""The review app at full size: 8 reviewers × 500 decisions with five kill −9, and the time of "decide and next".

    python -m synth_assets_tests.benchmarks.bench_review_app crash
    python -m synth_assets_tests.benchmarks.bench_review_app speed [ITEMS]

crash: every acknowledged decision is in the database once, none else, no example decided twice. speed: p50, p95 and
p99 over HTTP with 100,000 items in the sample and 50,000 of them decided, for one reviewer, for eight at once at a
person's pace (two decisions a second each), and for eight as fast as they can. Bar: p95 below 50 ms.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import polars as pl

from synth_assets.review.decisions import DecisionStore
from synth_assets_tests.review.test_app_crash import review_all, stored_in
from synth_assets_tests.review_apps import ROUND, Caller, Server, running

REVIEWERS, EACH, KILLS = 8, 500, 5
BAR = 0.050


def bench_crash(folder: Path) -> bool:
    """Run the crash at full size; return whether nothing was lost or doubled."""
    names = [f"reviewer {number}" for number in range(REVIEWERS)]
    started = time.perf_counter()
    with running(Server(f"sqlite:///{folder / 'ops.db'}", n=REVIEWERS * EACH + 200)) as server:
        acknowledged, seconds = review_all(server, names, per_reviewer=EACH, kills=KILLS)
        stored = stored_in(server)
    lost, added = len(acknowledged - set(stored)), len(set(stored) - acknowledged)
    doubled = len(stored) - len({example for _, example, _, _ in stored})
    print(
        f"{REVIEWERS} × {EACH} decisions, {KILLS} kills, {time.perf_counter() - started:.1f} s: {len(acknowledged)} "
        f"acknowledged, {len(stored)} stored; {lost} lost, {added} not acknowledged, {doubled} examples decided twice; "
        f"p95 {1000 * np.percentile(seconds, 95):.1f} ms"
    )
    return lost == added == doubled == 0 and len(acknowledged) == REVIEWERS * EACH


def bench_speed(folder: Path, items: int) -> bool:
    """Measure "decide and next"; return whether p95 is below the bar for one reviewer and for eight at their pace."""
    url = f"sqlite:///{folder / 'ops.db'}"
    half = items // 2
    done = pl.DataFrame({"example_id": [f"e{number:04d}" for number in range(half)]}).with_columns(
        dataset=pl.lit("messages"),
        round=pl.lit(ROUND),
        reviewer=pl.lit("earlier"),
        reviewer_kind=pl.lit("human"),
        decision=pl.lit("accept"),
    )
    store = DecisionStore(url)
    store.record(done)
    store.close()
    started = time.perf_counter()
    with running(Server(url, n=items)) as server:
        print(f"{items} items, {half} decided; ready after {time.perf_counter() - started:.1f} s")
        met = _measure(server, "one reviewer", 1, 300, pause=0.0)
        met &= _measure(server, "eight at a person's pace", REVIEWERS, 40, pause=0.5)
        _measure(server, "eight as fast as they can", REVIEWERS, 100, pause=0.0)
    return met


def _measure(server: Server, title: str, reviewers: int, each: int, *, pause: float) -> bool:
    callers = [Caller(server.port, f"{title} {number}") for number in range(reviewers)]

    def work(caller: Caller, seed: int) -> None:
        rng = np.random.default_rng(seed)
        caller.sign_in()
        item = caller.call("GET", "/")["item"]
        for number in range(each):
            item = caller.decide(item, ("accept", "reject", "flag")[number % 3])["item"]
            time.sleep(pause * rng.uniform(0.5, 1.5))

    threads = [threading.Thread(target=work, args=(caller, seed)) for seed, caller in enumerate(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = 1000 * np.array([seconds for caller in callers for seconds in caller.latencies])
    p50, p95, p99 = np.percentile(taken, [50, 95, 99])
    print(f"{title}: {len(taken)} decisions, p50 {p50:.1f}, p95 {p95:.1f}, p99 {p99:.1f} ms")
    return p95 < 1000 * BAR


def main(arguments: list[str]) -> int:
    """Run one of the two; status 1 where the bar is missed."""
    with tempfile.TemporaryDirectory() as folder:
        if arguments[:1] == ["speed"]:
            met = bench_speed(Path(folder), int(arguments[1]) if arguments[1:] else 100_000)
        else:
            met = bench_crash(Path(folder))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
