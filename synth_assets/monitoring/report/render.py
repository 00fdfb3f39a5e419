"""The HTML pages: one of a round, one over all rounds of a data set.

Here: writing them from what page.py gathered. Not here: the words about measures (glossary.py), the pictures (plots).
A page is one file without scripts or anything from outside; whatever came from a model or a seed is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from synth_assets.monitoring import plots
from synth_assets.monitoring.measures import ACT, LEVELS, OK, WATCH, Report
from synth_assets.monitoring.report.glossary import REPORT_NAMES, explain_metric, name_metric
from synth_assets.monitoring.report.page import RoundLine, RoundPage
from synth_assets.review.app.items import HIDDEN
from synth_assets.spec import DatasetSpec

_TEMPLATES = Path(__file__).parent / "templates"
_PLOTS = {
    "shift_report": plots.plot_shift,
    "collapse_report": plots.plot_collapse,
    "privacy_report": plots.plot_privacy,
    "student_report": plots.plot_student,
}
_MOST_EXAMPLES = 10  # of a kind
_WORDS = {OK: "ok", WATCH: "watch", ACT: "act"}
_SIGNS = {OK: "●", WATCH: "◆", ACT: "✖"}


def render_page(page: RoundPage, *, rounds: Sequence[str] = ()) -> str:
    """Return the page of a round. rounds: names of all rounds that have one, for the links between them."""
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            page=page,
            share=page.synthetic / page.rows if page.rows else 0.0,
            rounds=rounds,
            sections=[_make_section(name, report, page.texts) for name, report in page.reports.items()],
            funnel=Markup(plots.plot_funnel(page.funnel, page.yields).svg) if page.funnel.height else "",  # noqa: S704
            strata=Markup(plots.plot_strata(page.corpus).svg) if page.corpus.height else "",  # noqa: S704
            trends=Markup(plots.plot_trends(page.trends).svg) if page.trends["round"].n_unique() > 1 else "",  # noqa: S704
            review=[(name.replace("_", " "), _show(value)) for name, value in page.review.items() if value is not None],
        )
    )


def render_index(spec: DatasetSpec, lines: Sequence[RoundLine], trends: pl.DataFrame) -> str:
    """Return the page over the rounds: the level of every report, newest round first, and the headline measures."""
    return (
        _environment()
        .get_template("index.html.jinja")
        .render(
            spec=spec,
            names=REPORT_NAMES,
            lines=list(reversed(lines)),
            trends=Markup(plots.plot_trends(trends).svg) if trends.height else "",  # noqa: S704
        )
    )


@dataclass(frozen=True)
class _Section:
    """One report on the page. findings: measures that are not ok; measures: all of the whole set; strata: the rest."""

    name: str
    title: str
    level: str
    summary: str
    picture: Markup
    findings: list[dict[str, Any]]
    measures: list[dict[str, Any]]
    strata: list[dict[str, Any]]
    unmeasured: list[dict[str, Any]]
    examples: list[_Group]


def _make_section(name: str, report: Report, texts: Mapping[str, str]) -> _Section:
    rows = [_describe(row) for row in report.metrics.iter_rows(named=True)]
    measured = [row for row in rows if row["value"] is not None]
    return _Section(
        name=name,
        title=REPORT_NAMES[name],
        level=report.level,
        summary=_summarize(measured),
        picture=Markup(_PLOTS[name](report).svg),  # noqa: S704 - drawn here, texts in it are escaped by its writer
        findings=sorted(
            (row for row in measured if row["level"] != OK), key=lambda row: LEVELS.index(row["level"]), reverse=True
        ),
        measures=[row for row in measured if not row["stratum"]],
        strata=[row for row in measured if row["stratum"]],
        unmeasured=[row for row in rows if row["value"] is None],
        examples=list(_group_examples(report.examples, texts)),
    )


def _summarize(rows: Sequence[Mapping[str, Any]]) -> str:
    counts = {level: sum(row["level"] == level for row in rows) for level in LEVELS}
    if not rows:
        return "nothing could be measured"
    told = [f"{counts[level]} at {_WORDS[level]}" for level in (ACT, WATCH) if counts[level]]
    if told:
        return f"{', '.join(told)} of {len(rows)} measures"
    return f"{len(rows)} of {len(rows)} measures ok; none is beyond its bar by more than chance explains"


def _describe(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **row,
        "label": name_metric(row["metric"]),
        "meaning": explain_metric(row["metric"]),
        "shown": _show(row["value"]),
        "null": "" if row["null_low"] is None else f"{_show(row['null_low'])} … {_show(row['null_high'])}",
        "bar": "" if row["threshold"] is None else _show(row["threshold"]),
        "gauge": _gauge(row),
        "rows": ", ".join(
            f"{row[name]:,} {kind}"
            for name, kind in (("n_real", "real"), ("n_synthetic", "synthetic"))
            if row[name] is not None
        ),
    }


def _gauge(row: Mapping[str, Any]) -> dict[str, float] | None:
    """Return where value, null interval and bar stand on a line of 100 units; None where there is nothing beside it."""
    value, low, high, bar = row["value"], row["null_low"], row["null_high"], row["threshold"]
    if value is None or (low is None and bar is None):
        return None
    points = [point for point in (value, low, high, bar) if point is not None]
    start, end = min(points), max(points)
    if end <= start:
        return None
    scale = 84 / (end - start)
    places = {"value": value, "low": low, "high": high, "bar": bar}
    return {name: 8 + (point - start) * scale for name, point in places.items() if point is not None}


@dataclass(frozen=True)
class _Group:
    """The examples of one kind: the first of them, and how many there are."""

    kind: str
    total: int
    rows: list[dict[str, Any]]

    @property
    def has_rows(self) -> bool:
        return any(row["example_id"] for row in self.rows)

    @property
    def has_related(self) -> bool:
        return any(row["related_id"] for row in self.rows)


def _group_examples(examples: pl.DataFrame, texts: Mapping[str, str]) -> Iterator[_Group]:
    told = examples.filter(pl.col("kind") != plots.HISTORY)
    for part in told.partition_by("kind", maintain_order=True):
        rows = [
            {
                **row,
                "shown": _show(row["value"]),
                "text": texts.get(row["example_id"] or "", ""),
                "related": texts.get(row["related_id"] or "", ""),
            }
            for row in part.head(_MOST_EXAMPLES).iter_rows(named=True)
        ]
        yield _Group(part["kind"][0].replace("_", " "), part.height, rows)


def _show(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "" if value is None else str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}" if value else "0"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["seen"] = lambda text: HIDDEN.sub(lambda found: f"[U+{ord(found.group()):04X}]", text or "")
    environment.globals.update(style=Markup((_TEMPLATES / "report.css").read_text(encoding="utf-8")), signs=_SIGNS)  # noqa: S704
    return environment
