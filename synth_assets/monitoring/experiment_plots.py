"""The experiments as pictures, beside their tables.

Here: one function a picture, a summary in, a Picture out. Not here: any number that is not already in the frame; the
style, which is that of the reports (plots.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from synth_assets.monitoring.experiments.collapse import CLAIM
from synth_assets.monitoring.experiments.mix import Sweep
from synth_assets.monitoring.experiments.policies import PLATFORM, UNFILTERED, Policy
from synth_assets.monitoring.plots import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    SOFT,
    VERMILION,
    Picture,
    make_figure,
)

BROWN = "#8C6D31"
_STYLES = {
    "replace": (VERMILION, "-", "o"),
    "subsample": (SKY, "-", "v"),
    "accumulate": (BLUE, "-", "^"),
    UNFILTERED: (INK, ":", "s"),
    PLATFORM: (GREEN, "-", "D"),
}
_REAL_COLORS = (ORANGE, PURPLE, SOFT, BROWN)


def plot_experiment(
    summary: pl.DataFrame, policies: Sequence[Policy], measures: Sequence[tuple[str, str]], *, claimed: str = ""
) -> Picture:
    """Draw measures over the generations: a column a temperature, a row a measure, a line a policy with its interval.

    summary: of summarize_runs. measures: name and label, at most three. claimed: the measure whose fall by 68 % is
    drawn as a line.
    """
    from matplotlib.ticker import LogLocator

    temperatures = summary["temperature"].unique().sort(descending=True).to_list()
    figure = make_figure("Collapse experiment: generators fitted on what generators wrote")
    figure.set_size_inches(3.4 * max(len(temperatures), 2), 0.9 + 2.3 * len(measures))
    grid = figure.subplots(len(measures), len(temperatures), squeeze=False, sharex=True, sharey="row")
    styles = _style_policies(policies)
    for line, (measure, label) in zip(grid, measures, strict=True):
        for axes, temperature in zip(line, temperatures, strict=True):
            part = summary.filter((pl.col("measure") == measure) & (pl.col("temperature") == temperature))
            for policy in policies:
                _draw_policy(axes, part.filter(pl.col("policy") == policy.name), styles[policy.name], policy.label)
            if "perplexity" in measure:
                axes.set_yscale("log")
                axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
                axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
                axes.yaxis.set_minor_formatter("")
            elif measure == claimed:
                real = part.filter(pl.col("generation") == 0)["value"].to_list()
                claim = (1 - CLAIM) * sum(real) / max(len(real), 1)
                axes.axhline(claim, color=INK, lw=0.8, ls="--")
                axes.text(0, claim, f"−{CLAIM:.0%}", fontsize=7.5, color=SOFT, va="bottom")
                axes.set_ylim(0, None)
            axes.xaxis.get_major_locator().set_params(integer=True)
        line[0].set_ylabel(label, fontsize=8.5)
    for axes, temperature in zip(grid[0], temperatures, strict=True):
        axes.set_title(f"temperature {temperature:g}", fontsize=9, loc="left")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=7, frameon=False)
    for axes in grid[-1]:
        axes.set_xlabel("generation (0 = real rows)", fontsize=8.5)
    return Picture(figure)


def _style_policies(policies: Sequence[Policy]) -> dict[str, tuple[str, str, str]]:
    styles = dict(_STYLES)
    fixed = [policy for policy in policies if policy.name not in styles and not policy.fresh]
    for place, policy in enumerate(fixed):
        styles[policy.name] = (_REAL_COLORS[place % len(_REAL_COLORS)], "--", ".")
    for policy in policies:
        if policy.fresh:
            same = next((one for one in fixed if one.share == policy.share), None)
            styles[policy.name] = (styles[same.name][0] if same else SOFT, ":", "x")
    return styles


def _draw_policy(axes: Any, part: pl.DataFrame, style: tuple[str, str, str], label: str) -> None:
    color, line, marker = style
    part = part.drop_nulls("value").sort("generation")
    generation = part["generation"].to_list()
    width, order = (2.2, 4) if part["policy"].first() == PLATFORM else (1.2, 3)
    axes.plot(
        generation, part["value"].to_list(), line, color=color, marker=marker, ms=3.5, lw=width, label=label,
        zorder=order,
    )  # fmt: skip
    known = part.drop_nulls(["value_low", "value_high"])
    axes.fill_between(
        known["generation"].to_list(), known["value_low"].to_list(), known["value_high"].to_list(), color=color,
        alpha=0.18, lw=0,
    )  # fmt: skip


def plot_sweep(summary: pl.DataFrame, sweep: Sweep, share: float) -> Picture:
    """Draw the score and the paired gain of every synthetic share; the data set's own share is marked.

    summary: of summarize_sweep.
    """
    figure = make_figure(f"Mix: students of {sweep.total:,} rows, scored on steering rows")
    left, right = figure.subplots(1, 2)
    places = (100 * summary["share"]).to_list()
    scale = 1 if sweep.score == "r2" else 100
    gain = {"accuracy": "gain, points", "r2": "gain in R²", "perplexity": "fall of perplexity, %"}[sweep.score]
    name = {"r2": "R²"}.get(sweep.score, sweep.score)
    for axes, column, label, factor in ((left, "score", name, 1), (right, "gain", f"{gain} (paired)", scale)):
        values = (factor * summary[column]).to_list()
        known = summary.drop_nulls(f"{column}_low")
        axes.vlines(
            (100 * known["share"]).to_list(), (factor * known[f"{column}_low"]).to_list(),
            (factor * known[f"{column}_high"]).to_list(), color=BLUE, lw=1.6,
        )  # fmt: skip
        axes.plot(places, values, "o-", color=BLUE, ms=5, lw=1.1)
        axes.axvline(100 * share, color=ORANGE, lw=1.2, ls="--")
        axes.set_xlabel("synthetic share, %")
        axes.set_ylabel(label)
    right.axhline(0, color=INK, lw=0.8)
    left.text(100 * share, 1.01, "the mix", color=SOFT, fontsize=7.5, ha="center", va="bottom",
              transform=left.get_xaxis_transform())  # fmt: skip
    return Picture(figure)
