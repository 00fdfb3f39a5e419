"""What the review's plans and bounds keep of their promises, by simulation through the real sampling code.

    python -m synth_assets_tests.benchmarks.bench_review_plans [--batches 5000] [--reviews 200] [--seed 0]

plans: whole batches at the tolerated and the acceptable rate, defects placed in the ways that suit or hurt a
stratified sample, decided by the fixed and the sequential plan. coverage: overall and per-stratum bounds under unequal
weights. sequences: bounds looked at after every decision. systematic: one of ten prompts wrong 30 % of the time.
Every line ends with what was promised and whether it was kept (within three standard errors).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import polars as pl

from synth_assets.review import sampling
from synth_assets.review.acceptance import SamplePlan, assess, required_sample
from synth_assets.review.plans import (
    FixedPlan,
    SequentialPlan,
    characteristic,
    fixed_plan,
    sequential_plan,
)
from synth_assets.review.sequences import confidence_sequence
from synth_assets.review.systematic import find_systematic
from synth_assets.spec import DatasetSpec
from synth_assets_tests.builders import text_spec

SPEC = text_spec()
RATES = {"tolerated": 0.05, "acceptable": 0.01, "confidence": 0.95}
REASONS = ("wrong label", "garbled", "off topic")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=5000)
    parser.add_argument("--reviews", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=["plans", "coverage", "sequences", "systematic"])
    arguments = parser.parse_args()
    generator = np.random.default_rng(arguments.seed)
    parts: dict[str, Callable[[], None]] = {
        "plans": lambda: report_plans(arguments.batches, generator),
        "coverage": lambda: report_coverage(arguments.reviews * 5, generator),
        "sequences": lambda: report_sequences(arguments.batches, generator),
        "systematic": lambda: report_systematic(arguments.reviews, generator),
    }
    for name, report in parts.items():
        if arguments.only in (None, name):
            started = time.process_time()
            print(f"\n== {name}")
            report()
            print(f"({time.process_time() - started:.0f} s)")


def show(what: str, share: float, runs: int, promised: float, *, at_least: bool = False) -> None:
    noise = 3 * np.sqrt(promised * (1 - promised) / runs)
    kept = share >= promised - noise if at_least else share <= promised + noise
    print(f"{what:<74} {share:7.2%}  {'≥' if at_least else '≤'} {promised:.0%}  {'kept' if kept else 'BROKEN'}")


# ---- plans


def report_plans(batches: int, generator: np.random.Generator) -> None:
    print("fixed plan: batch, n, c, risk at 5 %, acceptance at 1 % | sequential: most rows, the same, mean rows at 1 %")
    for size in (60, 100, 200, 400, 1000, 5000, 25_000):
        fixed, steps = fixed_plan(size, **RATES), sequential_plan(size, **RATES)
        line = f"{size:>8} {fixed.n:>5} {fixed.c:>3} {fixed.consumer_risk:8.4f} {fixed.acceptance:8.4f} |"
        if steps is not None:
            line += f" {steps.n:>7} {steps.consumer_risk:8.4f} {steps.acceptance:8.4f} {steps.mean_size:6.1f}"
        print(line)
    print("mean rows of the sequential plan, batch of 5,000, at 0.5, 1, 2, 5, 10 %:", end=" ")
    steps = sequential_plan(5000, **RATES)
    assert steps is not None
    print(characteristic(steps, [0.005, 0.01, 0.02, 0.05, 0.1])["mean_size"].round(1).to_list())
    for size in (200, 1000, 5000):
        for layout, cells in layouts(size).items():
            fixed, steps = fixed_plan(size, **RATES), sequential_plan(size, **RATES)
            assert steps is not None
            for rate, promised, at_least in ((0.05, 0.05, False), (0.01, 0.90, True)):
                for plan in (fixed, steps):
                    share = play(plan, cells, round(rate * size), layout, batches, generator)
                    kind = "fixed" if isinstance(plan, FixedPlan) else "sequential"
                    what = f"batches of {size:,}, defects {layout}, {rate:.0%}, {kind} (n = {plan.n}): accepted"
                    show(what, share, batches, promised, at_least=at_least)


def layouts(size: int) -> dict[str, np.ndarray]:
    """Return sizes of cells: many small ones, or few of unequal size."""
    few = np.array([0.4, 0.3, 0.15, 0.1, 0.05]) * size
    return {
        "one a cell": np.full(size // 4, 4),
        "all in one cell": few.astype(np.int64),
        "at random": few.astype(np.int64),
    }


def play(
    plan: FixedPlan | SequentialPlan,
    cells: np.ndarray,
    defects: int,
    layout: str,
    batches: int,
    generator: np.random.Generator,
) -> float:
    """Return the share of batches that a plan accepts: cells are rounded by the real code, rows drawn within them."""
    drawn = SamplePlan(plan.n, plan.n, 59, None, True, "", c=plan.c, acceptance=1.0)
    expected = sampling._expected_counts(cells, drawn, SPEC)
    found = np.zeros(batches, dtype=np.int64)
    for i in range(batches):
        counts = sampling._round_randomly(expected, generator.random(len(cells)))
        bad = np.zeros(len(cells), dtype=np.int64)
        if layout == "one a cell":
            bad[generator.permutation(len(cells))[:defects]] = 1
        elif layout == "all in one cell":
            bad[0] = defects
        else:
            bad = generator.multivariate_hypergeometric(cells, defects)
        found[i] = generator.hypergeometric(bad, cells - bad, counts).sum()
    if isinstance(plan, FixedPlan):
        return float((found <= plan.c).mean())
    accept = np.array([plan.accepts_up_to(k) for k in range(1, plan.n + 1)])
    reject = np.array([plan.rejects_from(k) for k in range(1, plan.n + 1)])
    order = generator.random((batches, plan.n)).argsort(axis=1) < found[:, None]
    path = np.cumsum(order, axis=1)
    end = ((path <= accept) | (path >= reject)).argmax(axis=1)
    return float((path[np.arange(batches), end] <= accept[end]).mean())


# ---- coverage


def report_coverage(runs: int, generator: np.random.Generator) -> None:
    spec = text_spec(review={"rate": 0.05})
    batch = make_batch([3000, 2200, 1800, 700, *[5] * 60])
    plan = required_sample(batch.height, spec)
    for rates in ((0.03,) * 4, (0.01, 0.02, 0.05, 0.20)):
        missed = np.zeros(2)
        strata = np.zeros((2, 4))
        spread = 0.0
        for i in range(runs):
            chance = np.array(rates)[batch["stratum"].str.tail(1).cast(pl.Int64).to_numpy()]
            truth = batch.select("example_id", "stratum", bad=pl.Series(generator.random(batch.height) < chance))
            sample = sampling.draw_sample(batch, spec, plan=plan, round_=f"r{i}")
            weights = sample.filter(pl.col("part") == "random")["weight"]
            spread = max(spread, float(weights.max() / weights.mean()))  # type: ignore[operator]
            outcome = assess(sample, decide(sample, truth), batch.height, spec)
            real = float(truth["bad"].mean())  # type: ignore[arg-type]
            missed += [outcome.bound_high < real - 1e-12, outcome.bound_low > real + 1e-12]  # type: ignore[operator]
            own = truth.group_by("stratum").agg(real=pl.col("bad").mean()).sort("stratum")
            table = outcome.by_stratum.join(own, on="stratum").sort("stratum")
            strata[0] += (table["bound_high"] < table["real"] - 1e-12).to_numpy()
            strata[1] += (table["bound_low"] > table["real"] + 1e-12).to_numpy()
        print(f"n = {plan.n} of {batch.height}, largest ÷ mean weight {spread:.2f}, rates of the strata {rates}")
        for side, count in zip(("upper", "lower"), missed, strict=True):
            show(f"  overall {side} bound missed", count / runs, runs, 0.05)
        for side, counts in zip(("upper", "lower"), strata, strict=True):
            for stratum, count in enumerate(counts):
                show(f"  stratum s{stratum} {side} bound missed", count / runs, runs, 0.05)


def make_batch(sizes: list[int]) -> pl.DataFrame:
    """One prompt a cell; cell i lies in stratum i mod 4."""
    cell = np.repeat(np.arange(len(sizes)), sizes)
    return pl.DataFrame(
        {
            "example_id": [f"{i:032x}" for i in range(len(cell))],
            "stratum": [f"s{c % 4}" for c in cell],
            "generator_id": "g",
            "prompt_id": [f"p{c:02d}" for c in cell],
            "quality": np.linspace(0, 1, len(cell)),
        }
    )


def decide(sample: pl.DataFrame, truth: pl.DataFrame) -> pl.DataFrame:
    return sample.join(truth.select("example_id", "bad"), on="example_id").select(
        "example_id",
        reviewer=pl.lit("ada"),
        reviewer_kind=pl.lit("human"),
        decision=pl.when("bad").then(pl.lit("reject")).otherwise(pl.lit("accept")),
    )


# ---- sequences


def report_sequences(runs: int, generator: np.random.Generator) -> None:
    for rate, n, batch in ((0.01, 500, None), (0.05, 500, None), (0.05, 300, 400)):
        if batch is None:
            found = np.cumsum(generator.random((runs, n)) < rate, axis=1)
        else:
            rows = np.tile(np.arange(batch) < rate * batch, (runs, 1))
            found = np.cumsum(generator.permuted(rows, axis=1)[:, :n], axis=1)
        sizes = np.tile(np.arange(1, n + 1), (runs, 1))
        seen = np.unique(np.stack([found.ravel(), sizes.ravel()]), axis=1)
        low, high = confidence_sequence(seen[0], seen[1], confidence=0.95, batch_size=batch)
        table = np.full((n + 1, n + 1, 2), np.nan)
        table[seen[1], seen[0]] = np.column_stack([low, high])
        ends = table[sizes, found]
        where = "independent rows" if batch is None else f"a batch of {batch}"
        show(
            f"upper ever below {rate:.0%}, {n} looks, {where}",
            (ends[..., 1] < rate - 1e-12).any(axis=1).mean(),
            runs,
            0.05,
        )
        show(
            f"lower ever above {rate:.0%}, {n} looks, {where}",
            (ends[..., 0] > rate + 1e-12).any(axis=1).mean(),
            runs,
            0.05,
        )


# ---- systematic defects


def report_systematic(runs: int, generator: np.random.Generator) -> None:
    size = 25_000
    for layout, batch in (("crossed", crossed_batch(size, generator)), ("nested", nested_batch(size))):
        plan = required_sample(size, SPEC)
        planted = clean = others = 0
        for i in range(runs):
            sample = sampling.draw_sample(batch, SPEC, plan=plan, round_=f"r{i}")
            guilty = f"p{i % 10}"
            named = review(sample, np.where(sample["prompt_id"] == guilty, 0.30, 0.02), SPEC, generator)
            values = named.select("factor", "value").rows()
            planted += ("prompt_id", guilty) in values
            own = batch.filter(pl.col("prompt_id") == guilty)["stratum"] if layout == "nested" else pl.Series([""])
            others += any(guilty not in value and value not in own for _, value in values)
            clean += not review(sample, np.full(sample.height, 0.02), SPEC, generator).is_empty()
        where = f"{runs} reviews of {size:,}, sample {plan.n}, {layout} cells"
        show(f"{where}: bad prompt named", planted / runs, runs, 0.95, at_least=True)
        show(f"{where}: something innocent named beside it", others / runs, runs, 0.05)
        show(f"{where}: something named in a clean batch", clean / runs, runs, 0.05)


def crossed_batch(size: int, generator: np.random.Generator) -> pl.DataFrame:
    """Ten prompts, three generators, eight strata, each row at random."""
    return pl.DataFrame(
        {
            "example_id": [f"{i:032x}" for i in range(size)],
            "stratum": [f"s{i}" for i in generator.integers(0, 8, size)],
            "generator_id": [f"g{i}" for i in generator.integers(0, 3, size)],
            "prompt_id": [f"p{i}" for i in generator.integers(0, 10, size)],
            "quality": generator.random(size),
        }
    )


def nested_batch(size: int) -> pl.DataFrame:
    """Ten prompts of one generator; each prompt fills two of twenty strata."""
    row = np.arange(size)
    return pl.DataFrame(
        {
            "example_id": [f"{i:032x}" for i in row],
            "stratum": [f"s{i % 20:02d}" for i in row],
            "generator_id": "g",
            "prompt_id": [f"p{i % 10}" for i in row],
            "quality": (row * 7919 % size) / size,
        }
    )


def review(sample: pl.DataFrame, rates: np.ndarray, spec: DatasetSpec, generator: np.random.Generator) -> pl.DataFrame:
    """Return what is named when every row is reviewed, defects fall by chance and get one of three reasons each."""
    bad = generator.random(sample.height) < rates
    judged = sample.with_columns(reviewed=pl.lit(True), defect=pl.Series(bad))
    told = judged.filter("defect").select("example_id")
    told = told.with_columns(reason=pl.Series(generator.choice(list(REASONS), told.height), dtype=pl.String))
    return find_systematic(judged, told, tolerated=spec.review.tolerated_defect_rate).filter("named")


if __name__ == "__main__":
    main()
