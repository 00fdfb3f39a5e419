"""Monitoring assets: the four reports, round_close, trends and the drift sweep.

Here: the shell. Not here: the measures and plots (synth_assets/monitoring).
"""

from collections.abc import Callable, Mapping

import dagster as dg
import polars as pl

from synth_assets.defs.partitions import DATASET_ROUNDS, DATASETS, dataset_of, round_key, round_of
from synth_assets.defs.resources import DATA_KINDS, OWNERS, Platform, commit, pins, plot_markdown, to_markdown
from synth_assets.errors import SynthError
from synth_assets.monitoring import plots
from synth_assets.monitoring.alerts import describe_moved, send_alert
from synth_assets.monitoring.collapse import measure_collapse
from synth_assets.monitoring.drift import sweep_drift
from synth_assets.monitoring.feedback import find_exemplars, learn_feedback
from synth_assets.monitoring.measures import REPORTS, Report
from synth_assets.monitoring.privacy import measure_privacy
from synth_assets.monitoring.report.page import collect_page, collect_rounds, read_trends
from synth_assets.monitoring.report.render import render_index, render_page
from synth_assets.monitoring.shift import measure_shift
from synth_assets.monitoring.student import measure_student
from synth_assets.monitoring.trends import collect_trends
from synth_assets.provenance.release import find_release, list_releases
from synth_assets.records import RELEASABLE, SEALED, STEERING, SYNTHETIC, TRAIN
from synth_assets.seeds.reading import read_monitor
from synth_assets.spec import DatasetSpec
from synth_assets.store import round_index, round_name, write_atomically

GROUP = "monitoring"
_ROUND = {"partitions_def": DATASET_ROUNDS, "group_name": GROUP, "owners": OWNERS, "kinds": DATA_KINDS}
_DATASET = {"partitions_def": DATASETS, "group_name": GROUP, "owners": OWNERS, "kinds": DATA_KINDS}
_HEADLINES = 12


@dg.asset(**_ROUND, deps=["corpus", "plan", "seeds"], pool="cpu", code_version="1")
def shift_report(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """Synthetic against real within strata, label mix against plan, calibrated by real against real."""
    dataset, round_ = dataset_of(context), round_of(context)
    spec, seeds, corpus = _read(platform, dataset, round_)
    real = seeds.filter(pl.col("split").is_in([TRAIN, STEERING]) & (pl.col("disposition") == RELEASABLE))
    plan = platform.lake.read("plan", dataset, round_)
    synthetic = corpus.filter(pl.col("origin") == SYNTHETIC)
    report = measure_shift(real, synthetic, spec, plan=plan, root=platform.project.root)
    return _commit_report(context, platform, "shift_report", report, plots.plot_shift)


@dg.asset(**_ROUND, deps=["corpus", "seeds"], pool="cpu", code_version="1")
def collapse_report(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """Diversity and tail coverage over the rounds against the fixed real anchor."""
    dataset, round_ = dataset_of(context), round_of(context)
    spec, seeds, _ = _read(platform, dataset, round_)
    lake = platform.lake
    history = {
        name: lake.read("corpus", dataset, name)
        for name in lake.rounds("corpus", dataset)
        if round_index(name) <= round_index(round_)
    }
    anchor, held_out = (seeds.filter(pl.col("split") == split) for split in (TRAIN, STEERING))
    report = measure_collapse(history, anchor, spec, held_out=held_out, root=platform.project.root)
    return _commit_report(context, platform, "collapse_report", report, plots.plot_collapse)


@dg.asset(**_ROUND, deps=["corpus", "candidates", "seeds"], pool="cpu", code_version="2")
def privacy_report(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """Near copies of seeds and membership inference, against the level real rows show among themselves."""
    dataset, round_ = dataset_of(context), round_of(context)
    spec, seeds, corpus = _read(platform, dataset, round_)
    synthetic = corpus.filter(pl.col("origin") == SYNTHETIC)
    candidates = platform.lake.read("candidates", dataset, round_)
    report = measure_privacy(synthetic, seeds, spec, candidates=candidates, released=corpus)
    return _commit_report(context, platform, "privacy_report", report, plots.plot_privacy)


@dg.asset(**_ROUND, deps=["corpus", "seeds"], pool="cpu", code_version="1")
def student_report(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """Student trained on real / synthetic / mix, scored on steering rows; errors per stratum for the next round."""
    dataset, round_ = dataset_of(context), round_of(context)
    spec, seeds, corpus = _read(platform, dataset, round_)
    synthetic = corpus.filter(pl.col("origin") == SYNTHETIC)
    train = seeds.filter((pl.col("split") == TRAIN) & (pl.col("disposition") == RELEASABLE))
    steering = seeds.filter(pl.col("split") == STEERING)
    report = measure_student(train, synthetic, corpus, steering, spec, root=platform.project.root)
    return _commit_report(context, platform, "student_report", report, plots.plot_student)


@dg.asset(**_ROUND, deps=["release", "seeds"], pool="cpu", code_version="1")
def sealed_score(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """The student of a release scored on sealed rows: one look a release, counted over the data set. Nothing reads it.

    A release that was looked at already keeps its score.
    """
    dataset, round_ = dataset_of(context), round_of(context)
    lake, spec = platform.lake, platform.spec(dataset)
    released = lake.read("release", dataset, round_, "manifest").row(0, named=True)
    looks = {
        version: number
        for name in lake.rounds("sealed_score", dataset)
        for version, number in lake.read("sealed_score", dataset, name, "look").iter_rows()
    }
    if released["version"] in looks:
        known = lake.require("sealed_score", dataset, round_)
        told = {"release": released["version"], "looks": looks[released["version"]], "note": "looked at before"}
        return dg.MaterializeResult(data_version=dg.DataVersion(known.digest), metadata=told)
    look = max(looks.values(), default=0) + 1
    seeds, corpus = lake.read("seeds", dataset), lake.version("corpus", dataset, round_, released["digest"]).read()
    splits = {name: seeds.filter(pl.col("split") == name) for name in (TRAIN, STEERING, SEALED)}
    report = measure_student(
        splits[TRAIN].filter(pl.col("disposition") == RELEASABLE),
        corpus.filter(pl.col("origin") == SYNTHETIC),
        corpus,
        splits[SEALED],
        spec,
        steering=splits[STEERING],
        root=platform.project.root,
    )
    return _commit_report(
        context,
        platform,
        "sealed_score",
        report,
        plots.plot_student,
        {"look": pl.DataFrame({"version": [released["version"]], "look": [look]})},
        release=released["version"],
        looks=look,
    )


@dg.asset(
    **{**_ROUND, "kinds": {"html"}},
    deps=["corpus", "filtered", "review_outcome", *REPORTS],
    pool="cpu",
    code_version="1",
)
def round_report(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """One page that shows every figure of the round with the rows behind it, and an index over the rounds."""
    dataset, round_ = dataset_of(context), round_of(context)
    lake, spec, folder = platform.lake, platform.spec(dataset), platform.project.reports / dataset
    lines = collect_rounds(lake, spec)
    page = collect_page(lake, spec, round_)
    html = render_page(page, rounds=[line.round for line in lines])
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / f"{round_}.html", html)
    write_atomically(folder / "index.html", render_index(spec, lines, read_trends(lake, dataset, lines[-1].round)))
    return commit(
        context,
        platform,
        "round_report",
        pl.DataFrame({"html": [html]}),
        metadata={"level": page.level, "page": dg.MetadataValue.path(str(folder / f"{round_}.html"))},
    )


@dg.asset(**_ROUND, deps=["review_outcome", "corpus", "method_card", *REPORTS], code_version="1")
def round_close(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """Closes a reviewed round, accepted or rejected, and hands its feedback to the next one."""
    dataset, round_ = dataset_of(context), round_of(context)
    lake = platform.lake
    outcome, student = lake.require("review_outcome", dataset, round_), lake.require("student_report", dataset, round_)
    following = round_name(round_index(round_) + 1)
    missed = student.read("examples").filter(pl.col("kind") == "missed")
    lesson = learn_feedback(
        student.read("metrics"),
        outcome.read("by_stratum"),
        lake.read("plan", dataset, round_),
        shift=lake.read("shift_report", dataset, round_, "metrics"),
        exemplars=find_exemplars(missed, lake.read("seeds", dataset), platform.spec(dataset)),
    )
    handed = lake.write("feedback", dataset, following, lesson, meta={"run": context.run.run_id, "from_round": round_})
    decision = outcome.read()["decision"].item()
    context.instance.add_dynamic_partitions("round", [following])
    context.log_event(
        dg.AssetMaterialization(
            "feedback",
            partition=round_key(dataset, following),
            description=f"What {round_} taught",
            metadata={
                "from_round": round_,
                "from_run": context.run.run_id,
                "dagster/row_count": lesson.height,
                "worst_strata": dg.MetadataValue.md(
                    to_markdown(lesson.sort("error", descending=True).head(_HEADLINES))
                ),
            },
            tags={"dagster/data_version": handed.digest},
        )
    )
    closed = pl.DataFrame({"decision": [decision], "next_round": [following]})
    meta = pins(
        seeds=lake.current("seeds", dataset),
        review_outcome=outcome,
        corpus=lake.current("corpus", dataset, round_),
        plan=lake.current("plan", dataset, round_),
    )
    return commit(context, platform, "round_close", closed, meta=meta, metadata={"decision": decision})


@dg.asset(**_DATASET, deps=["round_close", *REPORTS], code_version="1")
def trends(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """The headline numbers of every report over the rounds of one data set, with a plot."""
    dataset = dataset_of(context)
    lake = platform.lake
    reports = {
        round_: {
            name: version.read("metrics")
            for name in REPORTS
            if (version := lake.current(name, dataset, round_)) is not None
        }
        for round_ in lake.rounds("round_close", dataset)
    }
    frame = collect_trends(reports)
    return commit(
        context,
        platform,
        "trends",
        frame,
        metadata={"rounds": len(reports), "plot": plot_markdown("trends", plots.plot_trends(frame))},
    )


@dg.asset(**_DATASET, deps=["release"], code_version="1")
def drift_sweep(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """Newest real data (monitor/, only ever compared) and the release before, against the current release."""
    dataset = dataset_of(context)
    spec = platform.spec(dataset)
    versions = list_releases(platform.project.releases, dataset)
    current = find_release(platform.project.releases, dataset)
    before = [name for name in versions if name != current.version]
    previous = find_release(platform.project.releases, dataset, before[-1]).read() if before else None
    monitored = read_monitor(spec, platform.project.seed_folder(dataset))
    report = sweep_drift(spec, current.read(), monitored.rows, previous)
    moved, webhook = describe_moved(report), "not needed"
    if moved:
        context.log.warning(f"{dataset} {current.version} has drifted: {'; '.join(moved)}")
        try:
            webhook = "told" if send_alert(spec, current.version, report) else "none is set"
        except SynthError as error:  # what was measured is kept, whoever listens
            webhook = f"failed: {error}"
            context.log.error(str(error))
    return _commit_report(
        context,
        platform,
        "drift_sweep",
        report,
        plots.plot_shift,
        release=current.version,
        monitor_rows=monitored.rows.height,
        webhook=webhook,
    )


def _read(platform: Platform, dataset: str, round_: str) -> tuple[DatasetSpec, pl.DataFrame, pl.DataFrame]:
    lake = platform.lake
    return platform.spec(dataset), lake.read("seeds", dataset), lake.read("corpus", dataset, round_)


def _commit_report(
    context: dg.AssetExecutionContext,
    platform: Platform,
    asset: str,
    report: Report,
    plot: Callable[[Report], plots.Picture],
    tables: Mapping[str, pl.DataFrame] | None = None,
    **extra: object,
) -> dg.MaterializeResult:
    metrics = report.metrics
    headlines = metrics.filter(pl.col("value").is_not_null() & (pl.col("stratum") == ""))
    numbers = {
        f"{row['metric']}{'/' + row['field'] if row['field'] else ''}": float(row["value"])
        for row in headlines.head(_HEADLINES).to_dicts()
    }
    shown = metrics.filter(pl.col("level") != "ok")
    return commit(
        context,
        platform,
        asset,
        {"metrics": metrics, "examples": report.examples, **(tables or {})},
        metadata={
            "level": report.level,
            "passed": report.passed,
            "findings": dg.MetadataValue.md(to_markdown(shown.head(20)) if shown.height else "none"),
            "plot": plot_markdown(asset, plot(report)),
            **numbers,
            **{key: value for key, value in extra.items() if isinstance(value, str | int)},
        },
    )


def _report_check(name: str, partitions: dg.PartitionsDefinition) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=name, name=f"{name}_within_contract", partitions_def=partitions)
    def within_contract(context: dg.AssetCheckExecutionContext, platform: Platform) -> dg.AssetCheckResult:
        """No metric stands at `act`; whether that blocks is the contract's choice, enforced by the release."""
        dataset = dataset_of(context)
        round_ = None if partitions is DATASETS else round_of(context)
        metrics = platform.lake.read(name, dataset, round_, "metrics")
        found = metrics.filter(pl.col("level") == "act")
        return dg.AssetCheckResult(
            passed=found.is_empty(),
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"act": found.height, "findings": dg.MetadataValue.md(to_markdown(found.head(20)))},
        )

    return within_contract


ASSETS = [
    shift_report,
    collapse_report,
    privacy_report,
    student_report,
    sealed_score,
    round_report,
    round_close,
    trends,
    drift_sweep,
]
CHECKS = [
    _report_check("shift_report", DATASET_ROUNDS),
    _report_check("collapse_report", DATASET_ROUNDS),
    _report_check("privacy_report", DATASET_ROUNDS),
    _report_check("student_report", DATASET_ROUNDS),
    _report_check("drift_sweep", DATASETS),
]
