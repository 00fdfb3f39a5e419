"""What the page of a round tells, gathered from the lake.

Here: reading reports, counts, the review's outcome and the texts behind examples. Not here: any HTML (render.py), any
new number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from synth_assets.discriminators.cascade import count_funnel
from synth_assets.generation.waves import KEPT
from synth_assets.monitoring.measures import ACT, LEVELS, OK, REPORTS, Report
from synth_assets.monitoring.trends import collect_trends
from synth_assets.records import SYNTHETIC, messages_text
from synth_assets.spec import DatasetSpec, Level
from synth_assets.store import Lake, Version, round_index

_LONGEST_TEXT = 400  # characters of an example that are shown


@dataclass(frozen=True)
class RoundPage:
    """Everything the page of one round shows.

    reports: name → Report, of those that were made. corpus: the mix by stratum (stratum, real, synthetic, …). funnel:
    stage, count, why. review: facts of the review's outcome, {} where it has none. trends: collect_trends of all rounds
    up to this one. texts: example_id → text, of synthetic rows and released real rows alone: a seed that is not
    released is never shown. digests: asset → digest of the version that was read.
    """

    spec: DatasetSpec
    round: str
    reports: Mapping[str, Report]
    rows: int
    synthetic: int
    corpus: pl.DataFrame
    funnel: pl.DataFrame
    yields: pl.DataFrame | None
    review: Mapping[str, object]
    trends: pl.DataFrame
    texts: Mapping[str, str]
    digests: Mapping[str, str] = field(default_factory=dict)

    @property
    def level(self) -> str:
        """The worst level of all reports."""
        return max((report.level for report in self.reports.values()), key=LEVELS.index, default=OK)


def collect_page(lake: Lake, spec: DatasetSpec, round_: str) -> RoundPage:
    """Read what the page of a round tells. StoreError where the round has no corpus yet."""
    dataset = spec.name
    corpus = lake.require("corpus", dataset, round_)
    rows = corpus.read()
    versions = {name: lake.current(name, dataset, round_) for name in REPORTS}
    reports = {
        name: read_report(version, getattr(spec.quality, f"{name.removesuffix('_report')}_level"))
        for name, version in versions.items()
        if version is not None
    }
    shown = pl.concat([report.examples for report in reports.values()]) if reports else None
    outcome = lake.current("review_outcome", dataset, round_)
    filtered = lake.current("filtered", dataset, round_)
    pinned = {"corpus": corpus, "review_outcome": outcome, **versions}
    return RoundPage(
        spec=spec,
        round=round_,
        reports=reports,
        rows=rows.height,
        synthetic=int((rows["origin"] == SYNTHETIC).sum()),
        corpus=corpus.read("strata"),
        funnel=_read_funnel(lake, dataset, round_),
        yields=filtered.read("strata") if filtered is not None else None,
        review={} if outcome is None else outcome.read().row(0, named=True),
        trends=read_trends(lake, dataset, round_),
        texts={} if shown is None else _read_texts(lake, spec, round_, rows, shown),
        digests={name: version.digest for name, version in pinned.items() if version is not None},
    )


@dataclass(frozen=True)
class RoundLine:
    """A round in the index: how many rows its corpus has, what the review said, and the level of every report."""

    round: str
    rows: int
    synthetic: int
    decision: str
    levels: Mapping[str, str]


def collect_rounds(lake: Lake, spec: DatasetSpec) -> list[RoundLine]:
    """Return a line for every round that has a corpus, in order."""
    lines = []
    for round_ in lake.rounds("corpus", spec.name):
        outcome = lake.current("review_outcome", spec.name, round_)
        origins = lake.require("corpus", spec.name, round_).scan().select("origin").collect()["origin"]
        levels = {
            name: _worst(version.read("metrics"))
            for name in REPORTS
            if (version := lake.current(name, spec.name, round_)) is not None
        }
        judged = {} if outcome is None else outcome.read().row(0, named=True)
        decision = judged.get("decision", "") + (" (automated)" if judged.get("automated") else "")
        lines.append(RoundLine(round_, len(origins), int((origins == SYNTHETIC).sum()), decision, levels))
    return lines


def read_report(version: Version, gate: Level) -> Report:
    """Return a report as the lake holds it."""
    metrics = version.read("metrics")
    level = _worst(metrics)
    return Report(metrics, version.read("examples"), not (gate == "block" and level == ACT), level)


def _worst(metrics: pl.DataFrame) -> str:
    return max(metrics["level"].to_list(), key=LEVELS.index, default=OK)


def read_trends(lake: Lake, dataset: str, last: str) -> pl.DataFrame:
    """Return collect_trends of all rounds with a corpus, up to `last`."""
    rounds = [name for name in lake.rounds("corpus", dataset) if round_index(name) <= round_index(last)]
    found = {
        round_: {name: version.read("metrics") for name in REPORTS if (version := lake.current(name, dataset, round_))}
        for round_ in rounds
    }
    return collect_trends(found)


def _read_funnel(lake: Lake, dataset: str, round_: str) -> pl.DataFrame:
    """Return stage, count, why of the round's candidates; empty where they are not there."""
    made, verdicts = lake.current("candidates", dataset, round_), lake.current("verdicts", dataset, round_)
    if made is None or verdicts is None:
        return pl.DataFrame(schema={"stage": pl.String, "count": pl.Int64, "why": pl.String})
    counts, filtered = count_funnel(made.rows(), verdicts.read()), lake.current("filtered", dataset, round_)
    if filtered is None:
        return counts
    strata = filtered.read("strata")
    target, reserve = int(strata["target"].sum()), int(strata["reserve"].sum())
    kept = {"stage": KEPT, "count": int(strata["kept"].sum()), "why": f"target {target:,}, reserve {reserve:,}"}
    return pl.concat([counts, pl.DataFrame([kept], schema=counts.schema)])


def _read_texts(
    lake: Lake, spec: DatasetSpec, round_: str, corpus: pl.DataFrame, examples: pl.DataFrame
) -> dict[str, str]:
    wanted = pl.concat([examples["example_id"], examples["related_id"]]).drop_nulls().unique()
    made = lake.current("candidates", spec.name, round_)
    texts: dict[str, str] = {}
    for frame in (corpus, None if made is None else made.read()):
        if frame is not None:
            part = frame.filter(pl.col("example_id").is_in(wanted.implode()))
            texts |= dict(part.select("example_id", _tell(spec, part)).iter_rows())
    return texts


def _tell(spec: DatasetSpec, frame: pl.DataFrame) -> pl.Expr:
    """Return a record in one line: what its fields hold, named where they are no free text."""
    parts = []
    for item in spec.content_fields:
        if item.name not in frame.columns:
            continue
        value = messages_text(pl.col(item.name)) if item.type == "messages" else pl.col(item.name).cast(pl.String)
        parts.append(value if item.is_free_text else pl.format("{}: {}", pl.lit(item.name), value))
    return pl.concat_str(parts, separator=" · ", ignore_nulls=True).str.slice(0, _LONGEST_TEXT)
