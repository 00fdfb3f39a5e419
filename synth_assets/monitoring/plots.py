"""The reports as pictures: small pictures for the Dagster UI, the HTML report and the method card.

Here: one function a picture, frames or a Report in, a Picture out (PNG of at most 40 KB, readable at 640 × 360, and
SVG). Not here: any number that is not already in the frame, the page (report/).
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from synth_assets.monitoring.collapse import HISTORY
from synth_assets.monitoring.measures import ACT, OK, WATCH, Report

WIDTH, HEIGHT, DPI = 6.4, 3.6, 150
MAX_ROWS = 12
MAX_NAMED_STRATA = 20
MAX_PANELS = 6
_CHARACTERS_OF_A_BAR = 33  # of the smallest print, in the longest bar of the funnel
PANELS = (
    "c2st_accuracy",
    "distinct_2_drop",
    "rare_bigram_coverage",
    "rare_value_coverage",
    "near_copy_share",
    "close_record_share",
    "membership_auc",
    "membership_auc_columns",
    "mix_drop",
    "psi",
)
KEY = "gray: real against real · red line: bar of act · ● ok · ◆ watch · ✖ act"
ABBREVIATIONS = {"psi": "PSI", "tv": "TV", "auc": "AUC", "c2st": "C2ST", "f1": "F1", "r2": "R²"}
COLORS_OF_PALETTE = 256

# Okabe & Ito: told apart by color-blind readers too; levels also differ by marker
BLUE, ORANGE, VERMILION, GREEN, SKY, PURPLE = "#0072B2", "#E69F00", "#D55E00", "#009E73", "#56B4E9", "#CC79A7"
INK, SOFT, LINE, NULL = "#222222", "#5A626B", "#888888", "#C4C9CF"
PAGE_COLORS = {INK: "ink", SOFT: "soft", LINE: "line", NULL: "band"}
LEVEL_STYLE = {OK: (BLUE, "o"), WATCH: (ORANGE, "D"), ACT: (VERMILION, "X")}
LINES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)


def plot_shift(report: Report) -> Picture:
    """Draw PSI of each field (log scale) and the two-sample accuracies, each over its real-vs-real interval.

    Metrics of a drift sweep are named comparison/metric; the comparison is then told with the field.
    """
    figure = make_figure("Shift: synthetic against real rows, within strata", report.level)
    left, right = figure.subplots(1, 2, width_ratios=[2.3, 1])
    measured = _measured(report).with_columns(
        comparison=pl.col("metric").str.extract(r"^(.*)/"), metric=pl.col("metric").str.extract(r"([^/]*)$")
    )
    psi = measured.filter(pl.col("metric").str.ends_with("psi"))
    psi = psi.sort("value", descending=True).head(MAX_ROWS)
    names = [_name_psi(row["metric"], row["field"], row["comparison"]) for row in psi.to_dicts()]
    _draw_rows(left, psi, names, "population stability index (log scale)", low=1e-4)
    tests = measured.filter(pl.col("metric").is_in(["c2st_accuracy", "c2st_forest_accuracy"]))
    names = [
        "\n".join(filter(None, [row["comparison"], "linear" if row["metric"] == "c2st_accuracy" else "forest"]))
        for row in tests.to_dicts()
    ]
    _draw_rows(right, tests, names, "two-sample test\naccuracy (½ = alike)")
    right.set_xlim(min(0.45, right.get_xlim()[0]), 1.0)
    return Picture(figure)


def plot_collapse(report: Report) -> Picture:
    """Draw distinct-2 (or the fall of variance) over the rounds beside the anchor, and what is left of the tails."""
    figure = make_figure("Collapse: variety and tails against the real anchor", report.level)
    left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
    history = report.examples.filter(pl.col("kind") == HISTORY).with_columns(
        metric=pl.col("note").str.split(" ").list.first(),
        field=pl.col("note").str.split(" ").list.slice(1).list.join(" "),
    )
    rounds = history["related_id"].unique(maintain_order=True).sort().to_list()
    if history["metric"].is_in(["distinct_2"]).any():
        band = report.metrics.filter(pl.col("metric") == "distinct_2").row(0, named=True)
        if band["null_low"] is not None:
            left.axhspan(band["null_low"], band["null_high"], color=NULL, alpha=0.6, lw=0)
            left.text(0.98, band["null_high"], "real against real", transform=left.get_yaxis_transform(), ha="right",
                      va="bottom", fontsize=8, color=SOFT)  # fmt: skip
        lines = {"corpus": "distinct_2", "synthetic rows": "synthetic_distinct_2"}
        series = {label: history.filter(pl.col("metric") == metric) for label, metric in lines.items()}
        _draw_lines(left, series, rounds)
        left.set_ylabel("distinct-2")
        left.set_ylim(0, None)
    else:
        drops = history.filter(pl.col("metric") == "variance_drop")
        worst = drops.group_by("field").agg(pl.col("value").last()).sort("value", "field", descending=True)["field"]
        series = {field: drops.filter(pl.col("field") == field) for field in worst.head(4).to_list()}
        _draw_lines(left, series, rounds)
        left.axhline(0, color=INK, lw=0.8)
        left.set_ylabel("fall of variance (0 = none)")
    left.set_xlabel("round")
    tails = _measured(report).filter(pl.col("metric").str.contains("rare_|tail_share"))
    # as shares of what real against real keeps, so that n-grams, values and tails stand on one scale
    usual = (pl.col("null_low") + pl.col("null_high")) / 2
    tails = (
        tails.filter(usual > 0)
        .with_columns(pl.col("value", "null_low", "null_high", "threshold") / usual)
        .sort("value")
        .head(8)
    )
    names = [_name_tail(row["metric"], row["field"]) for row in tails.to_dicts()]
    _draw_rows(right, tails, names, "tails kept\n(1 = as real rows do)")
    if tails.height:
        right.set_xlim(0, None)
    return Picture(figure)


def plot_privacy(report: Report) -> Picture:
    """Draw the shares of near copies and the membership-inference AUC with its interval, beside the sealed rows."""
    figure = make_figure("Privacy: likeness to the real rows behind", report.level)
    left, right = figure.subplots(1, 2)
    told = {
        "near_copy_share": "near copies\n(text)",
        "close_record_share": "close records\n(columns)",
        "copied_share": "copies beyond\nchance",
    }
    shares = _measured(report).filter(pl.col("metric").is_in(list(told)))
    names = [told[name] for name in shares["metric"]]
    _draw_rows(left, shares, names, "share of\nsynthetic rows")
    left.set_xlim(min(0.0, left.get_xlim()[0]), None)  # less than chance makes is below 0
    attacked = {
        "membership_auc": "text",
        "membership_auc_released": "text,\nreleasable",
        "membership_auc_columns": "columns",
        "membership_auc_columns_released": "columns,\nreleasable",
    }
    attacks = _measured(report).filter(pl.col("metric").is_in(list(attacked)))
    names = [attacked[name] for name in attacks["metric"]]
    _draw_rows(right, attacks, names, "membership inference AUC\n(½ = chance)")
    if attacks.height:
        right.set_xlim(min(0.45, right.get_xlim()[0]), None)
    ends = dict(report.metrics.select("metric", "value").iter_rows())
    for place, name in enumerate(attacks["metric"].to_list()):
        low, high = ends.get(f"{name}_low"), ends.get(f"{name}_high")
        if low is not None and high is not None:
            right.plot([low, high], [place, place], color=INK, lw=1.4, zorder=3)
    return Picture(figure)


def plot_student(report: Report) -> Picture:
    """Draw the scores of the students on real rows and how far each falls below the one trained on real rows."""
    figure = make_figure("Student: trained on each, tested on real rows", report.level)
    left, right = figure.subplots(1, 2, width_ratios=[1.45, 1])
    arms = {
        "trtr": "real",
        "tstr": "synthetic",
        "mix": "mix",
        "mix_weighted": "weighted\nmix",
        "mix_equal": "equal-size\nmix",
    }
    scores = {"accuracy": "accuracy", "macro_f1": "macro-F1", "worst_decile_f1": "worst-decile F1", "r2": "R²",
              "perplexity": "perplexity"}  # fmt: skip
    values = dict(_measured(report).filter(pl.col("stratum") == "").select("metric", "value").iter_rows())
    shown = [arm for arm in arms if any(f"{arm}_{score}" in values for score in scores)]
    used = [score for score in scores if any(f"{arm}_{score}" in values for arm in shown)]
    for i, score in enumerate(used):
        offset = (i - (len(used) - 1) / 2) * 0.8 / max(len(used), 1)
        heights = [values.get(f"{arm}_{score}", 0.0) for arm in shown]
        places = [place + offset for place in range(len(shown))]
        bars = left.bar(places, heights, 0.76 / max(len(used), 1), color=LINES[i], label=scores[score])
        left.bar_label(bars, fmt=_two_digits, fontsize=6.5, padding=1)
    left.set_xticks(range(len(shown)), [arms[arm] for arm in shown], fontsize=7.5)
    left.set_ylabel("score" if "perplexity" not in used else "perplexity (less is better)")
    left.grid(visible=False, axis="x")
    if used:
        left.margins(y=0.22)
        left.legend(ncols=3, fontsize=7.5, loc="upper center", frameon=False, columnspacing=1, handlelength=1)
    drops = _measured(report).filter(pl.col("metric").is_in([f"{arm}_drop" for arm in arms]))
    names = [arms[name.removesuffix("_drop")] for name in drops["metric"]]
    _draw_rows(right, drops, names, "fall below real (95 % interval)")
    for place, name in enumerate(drops["metric"].to_list()):
        if f"{name}_low" in values and f"{name}_high" in values:
            right.plot([values[f"{name}_low"], values[f"{name}_high"]], [place, place], color=INK, lw=1.4, zorder=3)
    right.axvline(0, color=INK, lw=0.8)
    return Picture(figure)


def plot_funnel(counts: pl.DataFrame, strata: pl.DataFrame | None = None) -> Picture:
    """Draw how many rows each stage left and why it rejected the others, and the yield of the poorest strata.

    counts: stage, count, why (optional, text), from first to last stage. strata: stratum, candidates, kept, reserve.
    """
    figure = make_figure("Funnel: rows from stage to stage")
    if strata is None or strata.height < 2:
        axes = figure.subplots()
    else:
        axes, right = figure.subplots(1, 2, width_ratios=[2.2, 1])
        _draw_yields(right, strata)
    whys = counts["why"].to_list() if "why" in counts.columns else [""] * counts.height
    names, values = [_short(name) for name in counts["stage"].to_list()], counts["count"].to_list()
    first = values[0] if values and values[0] else 1
    axes.barh(range(len(values)), values, color=[BLUE] * max(len(values) - 1, 0) + [GREEN], height=0.68)
    for place, (value, why) in enumerate(zip(values, whys, strict=True)):
        told = f"  {value:,}  ({value / first:.0%})"
        axes.text(value, place, told, va="center", fontsize=8.5, color=INK)
        room = int(_CHARACTERS_OF_A_BAR * value / first)
        if why and room > len(why.split(" ")[0]):
            axes.text(first * 0.01, place, _short(f"− {why}", room), va="center", fontsize=6.5, color="white")
    _label_rows(axes, names)
    axes.set_xlabel("rows (share of the first stage)")
    axes.xaxis.set_major_formatter(_thousands)
    axes.margins(x=0.24)
    axes.set_xlim(0, None)
    return Picture(figure)


def _draw_yields(axes: Any, strata: pl.DataFrame) -> None:
    """Draw the share of a stratum's candidates that passed, for the strata with the smallest."""
    made = strata.filter(pl.col("candidates") > 0)
    shares = made.with_columns(share=(pl.col("kept") + pl.col("reserve")) / pl.col("candidates"))
    poorest = shares.sort("share", "stratum").head(MAX_ROWS)
    places = range(poorest.height)
    axes.barh(places, poorest["share"].to_list(), color=SKY, height=0.68)
    _label_rows(axes, [_short(name, 18) for name in poorest["stratum"].to_list()])
    axes.tick_params(axis="y", labelsize=7)
    axes.set_xlim(0, 1)
    axes.set_xlabel("yield" if shares.height <= MAX_ROWS else f"yield (lowest {MAX_ROWS})")


def plot_trends(frame: pl.DataFrame) -> Picture:
    """Draw one small panel a metric over the rounds, at most six metrics. frame: round, metric, value, level if any.

    Where there are more than six, those of PANELS come first.
    """
    figure = make_figure("Trends over the rounds")
    metrics = frame.drop_nulls("value")["metric"].unique(maintain_order=True).to_list()
    metrics = sorted(metrics, key=lambda name: PANELS.index(name) if name in PANELS else len(PANELS))[:MAX_PANELS]
    columns = min(3, max(len(metrics), 1))
    lines = -(-len(metrics) // columns) or 1
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    rounds = frame["round"].unique().sort().to_list()
    for axes, metric in zip(grid, metrics, strict=False):
        part = frame.filter(pl.col("metric") == metric).drop_nulls("value")
        places, values = [rounds.index(name) for name in part["round"]], part["value"].to_list()
        levels = part["level"].to_list() if "level" in part.columns else [OK] * part.height
        axes.plot(places, values, "-", color=BLUE, lw=1.4)
        for place, value, level in zip(places, values, levels, strict=True):
            color, marker = LEVEL_STYLE[level]
            axes.plot(place, value, marker, color=color, ms=5, mec="white", mew=0.4)
        axes.set_title(_short(_name_metric(metric), 30), fontsize=8.5, loc="left")
        _label_rounds(axes, rounds, most=4)
        axes.margins(y=0.25)
        axes.tick_params(labelsize=7.5)
    for axes in grid[len(metrics) :]:
        axes.set_axis_off()
    if metrics:
        figure.supxlabel("round", fontsize=9)
        figure.supylabel("value", fontsize=9)
    return Picture(figure)


def plot_strata(plan: pl.DataFrame) -> Picture:
    """Draw real and synthetic rows of every stratum. plan: stratum, real, synthetic (counts)."""
    figure = make_figure("Strata: real and synthetic rows")
    axes = figure.subplots()
    ordered = plan.sort(pl.col("real") + pl.col("synthetic"), "stratum", descending=[True, False])
    real, synthetic = ordered["real"].to_list(), ordered["synthetic"].to_list()
    places = range(ordered.height)
    if ordered.height <= MAX_NAMED_STRATA:
        figure.set_size_inches(WIDTH, max(HEIGHT, 0.21 * ordered.height + 0.8))
        axes.barh(places, real, color=BLUE, height=0.7, label="real")
        axes.barh(places, synthetic, left=real, color=ORANGE, height=0.7, label="synthetic")
        _label_rows(axes, [_short(name) for name in ordered["stratum"].to_list()])
        axes.set_xlabel("rows")
        axes.xaxis.set_major_formatter(_thousands)
        axes.legend(frameon=False, fontsize=8.5, loc="lower right")
    else:
        axes.bar(places, real, color=BLUE, width=1.0, label="real")
        axes.bar(places, synthetic, bottom=real, color=ORANGE, width=1.0, label="synthetic")
        axes.set_xlabel(f"{ordered.height} strata, largest first")
        axes.set_ylabel("rows")
        axes.yaxis.set_major_formatter(_thousands)
        axes.set_xlim(-0.5, ordered.height - 0.5)
        axes.set_xticks([])
        axes.legend(frameon=False, fontsize=8.5, loc="upper right")
    return Picture(figure)


# ---- parts of pictures


def make_figure(title: str, level: str | None = None) -> Any:
    """Return an empty figure with a title and, of a report, its level and the key to its signs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, layout="constrained", facecolor="white")
    figure.suptitle(title, x=0.012, ha="left", fontsize=11, fontweight="bold", color=INK)
    if level is not None:
        figure.text(
            0.988, 0.985, level, ha="right", va="top", fontsize=10, fontweight="bold", color=LEVEL_STYLE[level][0]
        )
        figure.supxlabel(KEY, fontsize=7.5, color=SOFT)
    return figure


def _draw_rows(axes: Any, rows: pl.DataFrame, names: Sequence[str], label: str, *, low: float | None = None) -> None:
    """Draw one line a metric: its null interval, its bar, its value with the level's color and marker."""
    if not rows.height:
        axes.text(0.5, 0.5, "nothing measured", ha="center", va="center", transform=axes.transAxes, color=SOFT)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_xlabel(label)
        return
    for place, row in enumerate(rows.to_dicts()):
        color, marker = LEVEL_STYLE[row["level"]]
        floor = low if low is not None else -float("inf")
        if row["null_low"] is not None and row["null_high"] is not None:
            start = max(row["null_low"], floor)
            axes.barh(place, max(row["null_high"], floor) - start, left=start, height=0.5, color=NULL, zorder=1)
        if row["threshold"] is not None:
            axes.plot([row["threshold"]] * 2, [place - 0.34, place + 0.34], color=VERMILION, lw=2, zorder=2)
        axes.plot(
            max(row["value"], floor), place, marker, color=color, ms=7, mec="white", mew=0.6, zorder=4, clip_on=False
        )
    if low is not None:
        axes.set_xscale("log")
    _label_rows(axes, [_short(name) for name in names])
    middle, reach = (rows.height - 1) / 2, max(rows.height, 3) / 2 + 0.1
    axes.set_ylim(middle + reach, middle - reach)
    axes.set_xlabel(label)


def _draw_lines(axes: Any, series: dict[str, pl.DataFrame], rounds: list[str]) -> None:
    styles = ("o-", "s--", "^-.", "D:")
    for (name, part), color, style in zip(series.items(), LINES, styles, strict=False):
        if part.height:
            places = [rounds.index(round_) for round_ in part["related_id"]]
            axes.plot(places, part["value"].to_list(), style, color=color, lw=1.8, ms=5, label=_short(name))
    _label_rounds(axes, rounds)
    axes.margins(x=0.08, y=0.15)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8, loc="best")


def _label_rounds(axes: Any, rounds: list[str], most: int = 8) -> None:
    step = max(-(-len(rounds) // most), 1)
    axes.set_xticks(range(0, len(rounds), step), rounds[::step])
    axes.set_xlim(-0.4, max(len(rounds) - 0.6, 0.4))


def _label_rows(axes: Any, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0, labelsize=8.5 if len(names) <= 8 else 7.5)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")


def _measured(report: Report) -> pl.DataFrame:
    return report.metrics.filter(pl.col("value").is_not_null())


def _name_psi(metric: str, field: str, comparison: str | None) -> str:
    kind = metric.removesuffix("psi").strip("_")
    name = "stratum mix" if kind == "stratum_mix" else f"{field} ({kind})" if kind else field
    return f"{comparison}: {name}" if comparison else name


def _name_tail(metric: str, field: str) -> str:
    kinds = {
        "rare_word_coverage": "rare words",
        "rare_bigram_coverage": "rare bigrams",
        "rare_pair_coverage": "rare pairs of values",
    }
    return kinds.get(metric) or f"{field} ({'tails' if metric == 'tail_share' else 'rare'})"


def _short(text: str, most: int = 26) -> str:
    """Return a label that fits, with nothing in it that would be read as mathematics."""
    return (text if len(text) <= most else text[: most - 1] + "…").replace("$", r"\$")


def _name_metric(metric: str) -> str:
    return " ".join(ABBREVIATIONS.get(word, word) for word in metric.split("_"))


def _two_digits(value: float) -> str:
    return f"{value:.2f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.3g}"


def _thousands(value: float, _: object = None) -> str:
    return f"{value:,.0f}"


@dataclass(frozen=True)
class Picture:
    """A drawn figure. png: for the UI and for files; svg: for a page, with the page's own colors."""

    figure: Any

    def __post_init__(self) -> None:
        for axes in self.figure.axes:
            for side in ("top", "right"):
                axes.spines[side].set_visible(False)
            for side in ("left", "bottom"):
                axes.spines[side].set_color(LINE)
            axes.set_axisbelow(True)
            axes.tick_params(colors=INK)

    @cached_property
    def png(self) -> bytes:
        """PNG with a palette of 256 colors: half the bytes, and no color of a level is lost."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from PIL import Image

        canvas = FigureCanvasAgg(self.figure)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a sign that the font lacks becomes a box
            canvas.draw()
        image = Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3])
        out = io.BytesIO()
        image.quantize(COLORS_OF_PALETTE, method=Image.Quantize.MAXCOVERAGE).save(out, "PNG", optimize=True)
        return out.getvalue()

    @cached_property
    def svg(self) -> str:
        """An <svg> element without background whose text is text; ink, lines and bands are var(--ink), --soft, --line,
        --band, so that a page may be dark. The same figure gives the same text.
        """
        import matplotlib

        out = io.StringIO()
        settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "synth-assets", "font.family": ["sans-serif"]}
        with matplotlib.rc_context(settings), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        drawn = out.getvalue()
        drawn = re.sub(r"\s*<metadata>.*?</metadata>", "", drawn[drawn.index("<svg") :], flags=re.DOTALL)
        for color, name in PAGE_COLORS.items():
            drawn = re.sub(color, f"var(--{name})", drawn, flags=re.IGNORECASE)
        return drawn


# ---- the review


def plot_operating_characteristic(curves: pl.DataFrame, *, tolerated: float, acceptable: float) -> Picture:
    """Draw how often plans accept and how many rows they take, by defect rate, with both promised points.

    curves: plan, defect_rate, acceptance, mean_size (review.plans.characteristic, several plans below each other);
    tolerated, acceptable: the rates that the plans are made for (LTPD, AQL).
    """
    figure = make_figure("Operating characteristic: what the review lets through")
    left, right = figure.subplots(1, 2, width_ratios=[1.45, 1])
    styles = ("-", "--", "-.", ":")
    plans = curves.partition_by("plan", maintain_order=True)
    for part, color, style in zip(plans, LINES, styles, strict=False):
        rate, name = (part["defect_rate"] * 100).to_list(), _short(part["plan"][0])
        left.plot(rate, part["acceptance"].to_list(), style, color=color, lw=1.8, label=name)
        right.plot(rate, part["mean_size"].to_list(), style, color=color, lw=1.8, label=name)
    for axes in (left, right):
        for rate, label in ((acceptable, "acceptable"), (tolerated, "tolerated")):
            axes.axvline(rate * 100, color=SOFT, lw=0.8, ls=":")
            if axes is left:
                axes.text(rate * 100, 1.02, f"{label} {rate:.1%}", fontsize=7.5,
                          color=SOFT, ha="center", va="bottom", transform=axes.get_xaxis_transform())  # fmt: skip
        axes.set_xlabel("defect rate of the batch (%)")
        axes.set_xlim(0, None)
    left.set_ylabel("probability of acceptance")
    left.set_ylim(0, 1.0)
    right.set_ylabel("mean number of rows reviewed")
    right.set_ylim(0, None)
    if plans:
        left.legend(frameon=False, fontsize=8.5, loc="upper right")
    return Picture(figure)
