"""Jobs, sensors and schedules: what happens by itself.

Here: desired against actual state. Desired: new seed files are read, rounds run until the spec's number, finished
reviews continue, accepted rounds are released, recalls reach the lake. Actual: the lake. A sensor never consumes events
one by one, and leaves partitions alone that have a queued or active run. Not here: the assets.
"""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl

from synth_assets.defs.partitions import DATASETS, ROUNDS, round_key, split_key
from synth_assets.defs.resources import Platform
from synth_assets.errors import SynthError
from synth_assets.generation.engines import EMBEDDED, resolve_engine
from synth_assets.generation.waves import KEPT
from synth_assets.monitoring.alerts import alert_overdue
from synth_assets.provenance.recalled import read_recalled
from synth_assets.provenance.release import find_release, list_releases
from synth_assets.records import digest_text
from synth_assets.review.session import ReviewState, review_is_complete
from synth_assets.seeds.reading import fingerprint, were_read
from synth_assets.spec import DatasetSpec
from synth_assets.store import ROWS, Version, digest_tables, round_index, round_name

SEEDS = ("quarantine", "raw_seeds", "liability_audit", "seeds", "quality_contract")
ROUND = ("plan", "candidates", "verdicts", "filtered", "review_sample")
REVIEW = (
    "review_outcome",
    "corpus",
    "shift_report",
    "collapse_report",
    "privacy_report",
    "student_report",
    "round_report",
    "round_close",
    "method_card",
)
ROUND_MODELS = ("funnel", "lineage", "mix_ledger", "rejections")
DATASET_MODELS = ("generator_ledger", "review_ledger", "cost_ledger", "round_trends")

seeds_job = dg.define_asset_job(
    "seeds_job", dg.AssetSelection.assets(*SEEDS), description="Seed files → quality contract."
)
round_job = dg.define_asset_job(
    "round_job", dg.AssetSelection.assets(*ROUND), description="Plan → candidates → filtered → review sample."
)
review_job = dg.define_asset_job(
    "review_job",
    dg.AssetSelection.assets(*REVIEW, *ROUND_MODELS),
    description="Review outcome → corpus → reports → the round is closed.",
)
release_job = dg.define_asset_job(
    "release_job",
    dg.AssetSelection.assets("release", "sealed_score"),
    description="An accepted round's corpus leaves, if every gate agrees, and is looked at on sealed rows once.",
)
trends_job = dg.define_asset_job(
    "trends_job",
    dg.AssetSelection.assets("trends", *DATASET_MODELS),
    description="Numbers over rounds, ledgers of cost and review.",
)
recall_job = dg.define_asset_job(
    "recall_job",
    dg.AssetSelection.assets("quarantine"),
    description="Recalls in force, from the review database to the lake.",
)
recall_rebuild_job = dg.define_asset_job(
    "recall_rebuild_job",
    dg.AssetSelection.assets(
        *[name for name in REVIEW if name not in ("review_outcome", "round_close")], *ROUND_MODELS
    ),
    description="A closed round's corpus, reports and card again, without what was recalled.",
)
drift_job = dg.define_asset_job(
    "drift_job", dg.AssetSelection.assets("drift_sweep"), description="Newest real data against the current release."
)

JOBS = [seeds_job, round_job, review_job, release_job, trends_job, recall_job, recall_rebuild_job, drift_job]

_DAY = dt.timedelta(days=1)
_ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def _skip(reason: str) -> dg.SensorResult:
    return dg.SensorResult(skip_reason=reason)


def _datasets(context: dg.SensorEvaluationContext | dg.ScheduleEvaluationContext) -> list[str]:
    return list(context.instance.get_dynamic_partitions("dataset"))


def _is_busy(context: dg.SensorEvaluationContext, job: str | None, dataset: str, round_: str | None = None) -> bool:
    """Whether a queued or active run (of one job, or of any) works on the data set (or on one round of it)."""
    filters = dg.RunsFilter(statuses=_ACTIVE, job_name=f"{job}_job") if job else dg.RunsFilter(statuses=_ACTIVE)
    for run in context.instance.get_runs(filters):
        key = run.tags.get("dagster/partition")
        if key is None:
            continue
        its_dataset, its_round = split_key(key)
        if its_dataset == dataset and (round_ is None or its_round in (None, round_)):
            return True
    return False


def _due_round(platform: Platform, dataset: str) -> str | None:
    """Return the round that should start now: none is open, and rounds remain or the seeds changed; else None."""
    lake = platform.lake
    closed, begun = lake.rounds("round_close", dataset), lake.rounds("plan", dataset)
    if set(begun) - set(closed):
        return None
    if not closed:
        return round_name(0)
    following = round_name(round_index(closed[-1]) + 1)
    if round_index(following) < platform.spec(dataset).rounds:
        return following
    planned_on = lake.read("plan", dataset, closed[-1], "settings")["seeds_digest"].item()
    return following if lake.require("seeds", dataset).digest != planned_on else None


def _open_reviews(platform: Platform) -> Iterator[tuple[str, str]]:
    lake = platform.lake
    for dataset in lake.datasets("review_sample"):
        for round_ in sorted(set(lake.rounds("review_sample", dataset)) - set(lake.rounds("round_close", dataset))):
            yield dataset, round_


@dg.sensor(
    job=seeds_job,
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="New or changed seed files: registers the data set and reads them.",
)
def seed_files(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult:
    known, seen = set(_datasets(context)), json.loads(context.cursor or "{}")
    requests, new, problems = [], [], []
    for dataset in platform.project.datasets():
        folder = platform.project.seed_folder(dataset)
        stamp = _stamp(folder)
        try:
            # hashing every seed file at every tick would be dear: only when a name, size or time has changed
            if seen.get(dataset, [None])[0] != stamp:
                seen[dataset] = [stamp, fingerprint(platform.spec(dataset), folder)]
        except SynthError as error:
            problems.append(str(error))
            continue
        digest = seen[dataset][1]
        if dataset not in known:
            new.append(dataset)
        if not were_read(platform.lake, dataset, digest) and not _is_busy(context, "seeds", dataset):
            requests.append(dg.RunRequest(run_key=f"seeds:{dataset}:{digest}", partition_key=dataset))
    for problem in problems:
        context.log.warning(problem)
    cursor = json.dumps(seen)
    if not requests and not new:
        return dg.SensorResult(skip_reason="; ".join(problems) or "every seed file has been read", cursor=cursor)
    adds = [DATASETS.build_add_request(new)] if new else []
    return dg.SensorResult(run_requests=requests, dynamic_partitions_requests=adds, cursor=cursor)


def _stamp(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return digest_text(*((path.name, (found := path.stat()).st_size, found.st_mtime_ns) for path in files))


@dg.sensor(
    job=round_job,
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts the next round while rounds remain, or when seeds changed since the last one. A language model "
    "is started only within a budget that dataset.yaml names; until then the round is registered and waits.",
)
def next_round(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult:
    requests, rounds, waiting = [], [], []
    for dataset in platform.lake.datasets("quality_contract"):
        round_ = _due_round(platform, dataset)
        if round_ is None or _is_busy(context, None, dataset):
            continue
        spec = platform.spec(dataset)
        if resolve_engine(spec) != EMBEDDED and not spec.budget.is_set:
            waiting.append(f"{dataset}|{round_} waits: set budget.tokens, seconds or money, or start it yourself")
            rounds.append(round_)
            continue
        seeds = platform.lake.require("seeds", dataset).digest
        contract = platform.lake.require("quality_contract", dataset).digest
        key = digest_text(dataset, round_, seeds, contract)
        rounds.append(round_)
        requests.append(dg.RunRequest(run_key=f"round:{key}", partition_key=round_key(dataset, round_)))
    missing = sorted(set(rounds) - set(context.instance.get_dynamic_partitions("round")))
    adds = [ROUNDS.build_add_request(missing)] if missing else []
    if requests:
        return dg.SensorResult(run_requests=requests, dynamic_partitions_requests=adds)
    return dg.SensorResult(skip_reason="; ".join(waiting) or "no round is due", dynamic_partitions_requests=adds)


@dg.sensor(
    job=review_job,
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Goes on with a round when its review is finished; control items neither finish it nor hold it open. "
    "Warns once a day of a review that is open for more than review.overdue_days.",
)
def finished_review(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult:
    requests: list[dg.RunRequest] = []
    told: dict[str, str] = json.loads(context.cursor or "{}")  # when an overdue review was last told
    open_reviews = list(_open_reviews(platform))
    for dataset, round_ in open_reviews:
        spec, sample = platform.spec(dataset), platform.lake.require("review_sample", dataset, round_)
        if _is_busy(context, None, dataset, round_):
            continue
        kept = platform.lake.read("filtered", dataset, round_).filter(pl.col("state") == KEPT)
        state = ReviewState(spec, round_, kept, sample.read(), platform.decisions)
        if spec.review.mode == "auto":
            key = sample.digest
        elif review_is_complete(state):
            key = digest_text(sample.digest, *sorted(state.decided()["decision_id"].to_list()))
        else:
            _tell_overdue(context, spec, sample, told)
            continue
        requests.append(
            dg.RunRequest(run_key=f"review:{dataset}:{round_}:{key}", partition_key=round_key(dataset, round_))
        )
    cursor = json.dumps({key: told[key] for key in (round_key(*each) for each in open_reviews) if key in told})
    if requests:
        return dg.SensorResult(run_requests=requests, cursor=cursor)
    return dg.SensorResult(skip_reason="no review has been finished", cursor=cursor)


def _tell_overdue(
    context: dg.SensorEvaluationContext, spec: DatasetSpec, sample: Version, told: dict[str, str]
) -> None:
    """Warn of a review that is open for too long, unless that was done within a day, and note when in `told`."""
    key, now = round_key(spec.name, str(sample.round)), _now()
    open_since = dt.datetime.fromisoformat(sample.manifest["written_at"])
    days = (now - open_since) / dt.timedelta(days=1)
    if days <= spec.review.overdue_days or (key in told and now - dt.datetime.fromisoformat(told[key]) < _DAY):
        return
    told[key] = now.isoformat()
    context.log.warning(f"{key}: its review is open for {days:.1f} days; `synth review {spec.name} {sample.round}`")
    try:
        alert_overdue(spec, str(sample.round), days)
    except SynthError as error:
        context.log.warning(str(error))


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@dg.sensor(
    job=release_job,
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Releases the corpus of a round that was accepted and closed, and one made again after a recall.",
)
def accepted_round(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult:
    requests = []
    for dataset in platform.lake.datasets("round_close"):
        for round_ in platform.lake.rounds("round_close", dataset):
            closed = platform.lake.require("round_close", dataset, round_)
            corpus = platform.lake.require("corpus", dataset, round_)
            if closed.read()["decision"].item() != "accept" or not _is_due(platform, corpus):
                continue
            if not _is_busy(context, "release", dataset, round_) and not _is_busy(context, "recall_rebuild", dataset):
                key = f"release:{dataset}:{round_}:{corpus.digest}"
                requests.append(dg.RunRequest(run_key=key, partition_key=round_key(dataset, round_)))
    return dg.SensorResult(run_requests=requests) if requests else _skip("every accepted round is released")


def _is_due(platform: Platform, corpus: Version) -> bool:
    """Whether a closed round's corpus was not released yet, or made anew since because its release was recalled."""
    released = platform.lake.current("release", corpus.dataset, corpus.round)
    if released is None:
        return True
    record = released.read("manifest").row(0, named=True)
    recalled = record["version"] in read_recalled(platform.project.releases, corpus.dataset)
    return recalled and record["digest"] != corpus.digest and corpus.rows() > 0


@dg.sensor(
    job=trends_job,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Brings trends and ledgers up to date after a round was closed.",
)
def closed_round(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult:
    requests = []
    for dataset in platform.lake.datasets("round_close"):
        last = platform.lake.require("round_close", dataset, platform.lake.rounds("round_close", dataset)[-1])
        if not _is_busy(context, None, dataset):  # ledgers of a round in the middle of its commits do not add up
            requests.append(
                dg.RunRequest(run_key=f"trends:{dataset}:{last.round}:{last.digest}", partition_key=dataset)
            )
    return dg.SensorResult(run_requests=requests) if requests else _skip("no round has been closed")


@dg.sensor(
    job=recall_job,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Brings a changed quarantine from the review database into the lake.",
)
def changed_quarantine(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult:
    requests = []
    for dataset in _datasets(context):
        active = platform.decisions.quarantined(dataset)
        snapshot = platform.lake.current("quarantine", dataset)
        if snapshot is not None and snapshot.digest == digest_tables({ROWS: active}):
            continue
        if not _is_busy(context, "recall", dataset):
            requests.append(
                dg.RunRequest(run_key=f"recall:{dataset}:{digest_tables({ROWS: active})}", partition_key=dataset)
            )
    return dg.SensorResult(run_requests=requests) if requests else _skip("the quarantine has not changed")


@dg.sensor(
    job=recall_rebuild_job,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Makes the newest release's corpus again without what was recalled of it.",
)
def recalled_release(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult:
    requests, releases = [], platform.project.releases
    for dataset in _datasets(context):
        if not list_releases(releases, dataset):
            continue
        latest, snapshot = find_release(releases, dataset), platform.lake.current("quarantine", dataset)
        if snapshot is None or latest.version not in read_recalled(releases, dataset):
            continue
        round_ = latest.manifest["round"]
        corpus = platform.lake.require("corpus", dataset, round_)
        if corpus.digest == latest.manifest["corpus_digest"] and not _is_busy(context, None, dataset):
            key = f"recall_rebuild:{dataset}:{round_}:{snapshot.digest}"
            requests.append(dg.RunRequest(run_key=key, partition_key=round_key(dataset, round_)))
    return dg.SensorResult(run_requests=requests) if requests else _skip("the newest releases hold no recalled row")


@dg.schedule(
    job=drift_job,
    cron_schedule="0 5 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every day at 05:00: each released data set against its newest real data and its previous release.",
)
def daily_drift_sweep(context: dg.ScheduleEvaluationContext, platform: Platform) -> list[dg.RunRequest] | dg.SkipReason:
    due = [name for name in _datasets(context) if list_releases(platform.project.releases, name)]
    day = f"{context.scheduled_execution_time:%Y-%m-%d}"
    requests = [dg.RunRequest(run_key=f"drift:{name}:{day}", partition_key=name) for name in due]
    return requests or dg.SkipReason("nothing has been released yet")


SENSORS = [
    seed_files,
    next_round,
    finished_review,
    accepted_round,
    closed_round,
    changed_quarantine,
    recalled_release,
]
SCHEDULES = [daily_drift_sweep]
