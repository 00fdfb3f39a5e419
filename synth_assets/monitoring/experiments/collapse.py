"""The collapse experiment: a generator fitted on what generators before it wrote, generation after generation.

Here: the loop over policies, temperatures, seeds and generations, intervals over the seeds, comparisons of policies.
Not here: what is written and measured (texts, tables), the check of a corpus that exists (monitoring/collapse).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from synth_assets.monitoring.experiments.intervals import find_mean_interval
from synth_assets.monitoring.experiments.material import Material, Rows
from synth_assets.monitoring.experiments.policies import Policy, choose_rows, count_written
from synth_assets.records import derive_seed
from synth_assets.spec import DatasetSpec

MOST_ROWS = 6_000
CLAIM = 0.68
"""The fall of diversity within five generations that is often told, without a source."""

RUN_SCHEMA: dict[str, pl.DataType] = {
    "policy": pl.String(),
    "temperature": pl.Float64(),
    "seed": pl.Int64(),
    "generation": pl.Int64(),
    "measure": pl.String(),
    "value": pl.Float64(),
    "change": pl.Float64(),
    "written_rows": pl.Int64(),
    "corpus_rows": pl.Int64(),
}
_RUN = ("policy", "temperature", "generation", "measure")


def run_collapse(
    material: Material[Rows],
    spec: DatasetSpec,
    policies: Sequence[Policy],
    *,
    generations: int = 5,
    seeds: int = 5,
    temperatures: Sequence[float] = (1.0, 0.8),
    size: int | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> pl.DataFrame:
    """Return every measure of every run and generation (RUN_SCHEMA).

    Generation 0 is the real rows; generation g is written by a generator fitted on the corpus of g − 1, of which each
    policy keeps what it keeps. size: rows of a generation; left out, as many as there are real rows, at most 6,000.
    The same seed draws alike under every policy, so that policies can be compared seed by seed. change: value over
    generation 0's, less one. A platform's generation writes `size` rows to be measured by and adds fewer to the corpus.
    """
    total = material.count(material.real)
    size = size or min(total, MOST_ROWS)
    rows: list[dict[str, Any]] = []
    for seed in range(seeds):
        chance = np.random.default_rng(derive_seed(spec.seed, "collapse", seed, "real"))
        shuffled = material.take(material.real, chance.permutation(total))
        base = material.measure(shuffled, material.real, size, chance)
        for temperature in temperatures:
            for policy in policies:
                report(f"seed {seed + 1} of {seeds}, temperature {temperature:g}, {policy.label}")
                rng = np.random.default_rng(derive_seed(spec.seed, "collapse", seed, temperature))
                told: dict[str, Any] = {"policy": policy.name, "temperature": temperature, "seed": seed}
                rows += _as_rows(told, 0, base, base, 0, total)
                added = count_written(policy, spec.mix, total, size, generations)
                runs = _run_policy(material, policy, generations, temperature, size, added, rng)
                for generation, (found, made, kept) in enumerate(runs, start=1):
                    rows += _as_rows(told, generation, found, base, made, kept)
    return pl.DataFrame(rows, schema=RUN_SCHEMA).with_columns(pl.col("value", "change").fill_nan(None))


def _run_policy(
    material: Material[Rows],
    policy: Policy,
    generations: int,
    temperature: float,
    size: int,
    added: int,
    rng: np.random.Generator,
) -> Iterator[tuple[dict[str, float], int, int]]:
    """Yield the measures of each generation, the rows it wrote and those of the corpus after it."""
    order = rng.permutation(material.count(material.real))
    corpus, written = material.real, [material.take(material.real, order[:0])]
    for _ in range(generations):
        kept = material.join(written) if policy.filtered else None
        made = material.write(corpus, size, temperature, rng, kept)
        written.append(material.take(made, np.arange(min(added, material.count(made)))))
        corpus = choose_rows(policy, material, written, size, order, rng)
        yield material.measure(made, corpus, size, rng), material.count(made), material.count(corpus)


def _as_rows(
    told: dict[str, Any], generation: int, found: dict[str, float], base: dict[str, float], written: int, corpus: int
) -> Iterator[dict[str, Any]]:
    for measure, value in found.items():
        change = value / base[measure] - 1 if base[measure] else float("nan")
        row = {"generation": generation, "measure": measure, "value": value, "change": change}
        yield {**told, **row, "written_rows": written, "corpus_rows": corpus}


def summarize_runs(runs: pl.DataFrame) -> pl.DataFrame:
    """Return mean and 95 % t interval over the seeds of each measure's value and change.

    Columns: policy, temperature, generation, measure, value, value_low, value_high, change, change_low, change_high,
    seeds, in the order of the runs.
    """
    rows = []
    for keys, part in runs.group_by(*_RUN, maintain_order=True):
        row: dict[str, Any] = dict(zip(_RUN, keys, strict=True))
        for name in ("value", "change"):
            ends = find_mean_interval(part[name].drop_nulls().to_list())
            row |= dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))
        rows.append({**row, "seeds": part.height})
    names = ("value", "value_low", "value_high", "change", "change_low", "change_high")
    schema = {**{name: RUN_SCHEMA[name] for name in _RUN}, **dict.fromkeys(names, pl.Float64()), "seeds": pl.Int64()}
    return pl.DataFrame(rows, schema=schema).with_columns(pl.col(*names).fill_nan(None))


def compare_policies(runs: pl.DataFrame, first: str, second: str) -> pl.DataFrame:
    """Return the difference of two policies' values, first less second, paired by seed, with its 95 % t interval.

    Columns: temperature, generation, measure, difference, low, high, seeds.
    """
    keys = ["temperature", "generation", "measure", "seed"]
    sides = [runs.filter(pl.col("policy") == name).select(*keys, "value") for name in (first, second)]
    pairs = sides[0].join(sides[1], on=keys, suffix="_second", maintain_order="left").drop_nulls()
    pairs = pairs.with_columns(difference=pl.col("value") - pl.col("value_second"))
    rows = []
    for key, part in pairs.group_by(*keys[:3], maintain_order=True):
        ends = find_mean_interval(part["difference"].to_list())
        rows.append((*key, *ends, part.height))
    schema = {"temperature": pl.Float64, "generation": pl.Int64, "measure": pl.String, "difference": pl.Float64}
    schema |= {"low": pl.Float64, "high": pl.Float64, "seeds": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col("low", "high").fill_nan(None))


def explain_claim(summary: pl.DataFrame, policies: Sequence[Policy], variety: str, name: str) -> str:
    """Return a sentence on what a fall of variety by 68 % would take on this data.

    summary: of summarize_runs. variety: the measure; name: what to call it.
    """
    labels = {policy.name: policy.label for policy in policies}
    falls = summary.filter((pl.col("measure") == variety) & (pl.col("generation") > 0)).drop_nulls("change")
    if falls.is_empty():
        return f"{name}: not measured"

    def tell(row: dict[str, Any]) -> str:
        ends = "" if row["change_low"] is None else f" [{row['change_low']:+.0%}, {row['change_high']:+.0%}]"
        where = f"'{labels[row['policy']]}' at temperature {row['temperature']:g} in generation {row['generation']}"
        return f"{where} ({row['change']:+.0%}{ends})"

    reached = falls.filter(pl.col("change") <= -CLAIM).sort("generation", "change")
    worst = falls.sort("change").row(0, named=True)
    if reached.is_empty():
        return f"A fall of {name} by {CLAIM:.0%} is reached by no run here; the deepest is {tell(worst)}."
    first = reached.unique(["policy", "temperature"], keep="first", maintain_order=True)
    others = falls.join(first.select("policy", "temperature"), on=["policy", "temperature"], how="anti").sort("change")
    told = f"A fall of {name} by {CLAIM:.0%} takes {'; '.join(tell(row) for row in first.iter_rows(named=True))}"
    return f"{told}; of all others the deepest is {tell(others.row(0, named=True))}." if others.height else f"{told}."
