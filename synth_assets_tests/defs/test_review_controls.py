"""Control items in a real round: made of the pinned seeds, shown like any other item, counted for reviewers alone."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
import yaml
from rich.console import Console

from synth_assets.cli.reviewing import export_items, import_items, review_at_prompt
from synth_assets.defs.automation import finished_review
from synth_assets.defs.resources import Platform
from synth_assets.monitoring.sql_models import load_models, run_model
from synth_assets.project import Project
from synth_assets.provenance.ledger import collect_accepted, collect_reviews
from synth_assets.records import RELEASABLE, TRAIN
from synth_assets.review.app.lake_work import LakeWork
from synth_assets.review.controls import CONTROLS, read_controls, shown_items
from synth_assets.review.decisions import DecisionStore
from synth_assets_tests.projects import Runner, failure_of, make_project, write_settings
from synth_assets_tests.review_apps import JSON, ReviewSite

ROUND = "r000"
PARTITION = f"mini|{ROUND}"
SECONDS = 20.0
NO_CONTROLS = {"gold_share": 0.0, "blind_share": 0.0}


@pytest.fixture(scope="module")
def open_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose first round waits for its reviewers."""
    root = tmp_path_factory.mktemp("open")
    project = make_project(root / "project")
    with run_in(root, project) as runner:
        runner.take_round(ROUND, automated=False)
    return root


@pytest.fixture
def copy(open_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Runner]]:
    """Copies of the project; with other review settings the sample is drawn anew."""
    monkeypatch.delenv("SYNTH_OPS_URL", raising=False)
    with ExitStack() as stack:

        def make(name: str = "copy", **review: Any) -> Runner:
            root = tmp_path / name
            shutil.copytree(open_template / "project", root / "project")
            runner = stack.enter_context(run_in(root, Project(root / "project")))
            if review:
                path = runner.project.seed_folder("mini") / "dataset.yaml"
                settings = yaml.safe_load(path.read_text(encoding="utf-8"))
                settings["review"].update(review)
                write_settings(runner.project.root, settings)
                result = runner.materialize("review_sample", PARTITION)
                assert result.success, failure_of(result)
            return runner

        yield make


@contextmanager
def run_in(root: Path, project: Project) -> Iterator[Runner]:
    (root / "instance").mkdir()
    with dg.instance_for_test(temp_dir=str(root / "instance")) as instance:
        instance.add_dynamic_partitions("dataset", ["mini"])
        instance.add_dynamic_partitions("round", [ROUND])
        yield Runner(project, instance)


def read_sample(project: Project) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The sample in serving order, and the controls in it."""
    version = project.lake.require("review_sample", "mini", ROUND)
    return version.read().sort("priority"), read_controls(version, project.spec("mini"))


def of_part(project: Project, *parts: str) -> pl.Series:
    return read_sample(project)[0].filter(pl.col("part").is_in(parts))["example_id"]


def decide(project: Project, reviewer: str, ids: pl.Series, decision: str) -> None:
    """Store one reviewer's decision on each of the items, as the app does."""
    rows, controls = project.lake.read("filtered", "mini", ROUND), read_sample(project)[1]
    items = shown_items(rows, controls, project.spec("mini")).filter(pl.col("example_id").is_in(ids.implode()))
    DecisionStore(project.ops_url).record(
        items.select(
            "example_id",
            item_version="content_id",
            dataset=pl.lit("mini"),
            round=pl.lit(ROUND),
            reviewer=pl.lit(reviewer),
            reviewer_kind=pl.lit("human"),
            decision=pl.lit(decision),
            reason=pl.lit("test"),
            seconds=pl.lit(SECONDS),
        )
    )


def review(project: Project) -> None:
    """Ada and Bob decide everything: two defects in the batch; Ada finds every planted fault, Bob none."""
    for name, on_gold in (("ada", "reject"), ("bob", "accept")):
        batch = of_part(project, "random", "risk")
        decide(project, name, batch, "accept")
        decide(project, name, of_part(project, "random").head(2), "reject")
        decide(project, name, of_part(project, "gold"), on_gold)
        decide(project, name, of_part(project, "blind"), "accept")


def conclude(runner: Runner) -> pl.DataFrame:
    result = runner.materialize("review_outcome", PARTITION)
    assert result.success, failure_of(result)
    return runner.project.lake.read("review_outcome", "mini", ROUND)


# ---- drawing


def test_controls_are_shares_of_the_drawn_rows_made_of_seeds_that_may_be_shown(copy: Callable[..., Runner]) -> None:
    project = copy().project
    sample, controls = read_sample(project)
    drawn = sample.filter(pl.col("part").is_in(["random", "risk"]))
    counts = dict(sample.group_by("part").len().iter_rows())
    assert counts["gold"] == counts["blind"] == -(-drawn.height // 20)
    assert set(controls["example_id"]) == set(sample["example_id"]) - set(drawn["example_id"])
    digest = project.lake.read("plan", "mini", ROUND, "settings")["seeds_digest"].item()
    seeds = project.lake.version("seeds", "mini", None, digest).read()
    fit = seeds.filter((pl.col("split") == TRAIN) & (pl.col("disposition") == RELEASABLE))
    assert set(controls["source_id"]) <= set(fit["example_id"])
    assert fit.height < seeds.height


def test_seeds_that_came_after_the_plan_give_no_controls(copy: Callable[..., Runner]) -> None:
    runner = copy()
    lake, before = runner.project.lake, read_sample(runner.project)[1]
    version = lake.require("seeds", "mini")
    tables = {name: version.read(name) for name in version.manifest["tables"]}
    lake.write("seeds", "mini", None, {**tables, "rows": tables["rows"].head(0)})
    assert runner.materialize("review_sample", PARTITION).success
    assert read_sample(runner.project)[1].equals(before)


def test_a_recalled_seed_is_no_control(copy: Callable[..., Runner]) -> None:
    runner = copy()
    recalled = read_sample(runner.project)[1]["source_id"][0]
    DecisionStore(runner.project.ops_url).quarantine("seed", recalled, reason="withdrawn", who="ada")
    assert runner.run("recall", "mini").success
    assert runner.materialize("review_sample", PARTITION).success
    assert recalled not in read_sample(runner.project)[1]["source_id"]


def test_a_machine_gets_none(copy: Callable[..., Runner]) -> None:
    sample, controls = read_sample(copy(mode="auto").project)
    assert controls.is_empty()
    assert set(sample["part"]) == {"random", "risk"}


def test_what_the_asset_shows_counts_controls_and_names_none(copy: Callable[..., Runner]) -> None:
    runner = copy(gold_share=0.5, blind_share=0.5)  # every other item is a control
    event = runner.instance.get_latest_materialization_event(dg.AssetKey("review_sample"))
    assert event is not None and event.asset_materialization is not None
    told = {key: value.value for key, value in event.asset_materialization.metadata.items()}
    sample, controls = read_sample(runner.project)
    assert (told["controls_gold"], told["controls_blind"]) == (
        sample.filter(part="gold").height,
        sample.filter(part="blind").height,
    )
    assert told["reviewer_minutes"] == 3 * sample["reviews"].sum()
    assert not any(example_id in str(told) for example_id in controls["example_id"])


# ---- what decisions on them do


def test_the_outcome_names_who_misses_faults_and_counts_no_control(copy: Callable[..., Runner]) -> None:
    runner, without = copy("with"), copy("without", **NO_CONTROLS)
    lake = runner.project.lake
    review(runner.project)
    review(without.project)
    outcome, plain = conclude(runner), conclude(without)
    sample = read_sample(runner.project)[0]
    gold, blind = sample.filter(part="gold").height, sample.filter(part="blind").height

    accuracy = {row["reviewer"]: row for row in lake.read("review_outcome", "mini", ROUND, "accuracy").to_dicts()}
    assert [(accuracy[name]["caught"], accuracy[name]["faulty"]) for name in ("ada", "bob")] == [
        (gold, gold),
        (0, gold),
    ]
    assert accuracy["bob"]["sensitivity"] == 0.0
    assert {row["specificity"] for row in accuracy.values()} == {1.0}
    corrected = lake.read("review_outcome", "mini", ROUND, "corrected").row(0, named=True)
    assert corrected["apparent"] == outcome["defects"].item() / outcome["n_reviewed"].item() > 0
    assert corrected["rate"] == pytest.approx(2 * corrected["apparent"])  # half the faults were seen
    assert without.project.lake.read("review_outcome", "mini", ROUND, "corrected").is_empty()

    assert outcome.drop("reviewer_minutes").equals(plain.drop("reviewer_minutes"))
    spent = outcome["reviewer_minutes"].item() - plain["reviewer_minutes"].item()
    assert spent == pytest.approx(2 * (gold + blind) * SECONDS / 60)


def test_no_control_reaches_corpus_ledger_or_the_reviews_that_teach(copy: Callable[..., Runner]) -> None:
    runner = copy()
    project, lake = runner.project, runner.project.lake
    ledger = next(model for model in load_models(project.root / "dbt_like_sql") if model.name == "review_ledger")
    planned = of_part(project, "random", "risk").len()
    assert run_model(ledger, lake, "mini", None).select("planned", "open").row(0) == (planned, planned)
    review(project)
    result = runner.run("review", PARTITION)
    assert result.success, failure_of(result)
    outcome = lake.read("review_outcome", "mini", ROUND).row(0, named=True)
    row = run_model(ledger, lake, "mini", None).row(0, named=True)
    assert (row["planned"], row["reviewed"]) == (outcome["n_planned"], outcome["n_reviewed"])

    controls = read_sample(project)[1]
    spec = project.spec("mini")
    for frame in (
        lake.read("corpus", "mini", ROUND),
        collect_accepted(lake, spec, ROUND),
        collect_reviews(lake, spec, ROUND),
        *(lake.read("review_outcome", "mini", ROUND, table) for table in ("decisions", "resolutions", "log")),
    ):
        assert frame is not None and frame.height > 0
        assert frame.join(controls, on="example_id", how="semi").is_empty()
    faulty = controls.filter(part="gold")
    assert lake.read("corpus", "mini", ROUND).join(faulty, on="content_id", how="semi").is_empty()


def test_controls_neither_finish_a_review_nor_hold_it_open(copy: Callable[..., Runner]) -> None:
    runner = copy()
    platform = Platform(root=str(runner.project.root))

    def due() -> bool:
        result = finished_review(dg.build_sensor_context(instance=runner.instance), platform=platform)
        assert isinstance(result, dg.SensorResult)
        return bool(result.run_requests)

    decide(runner.project, "ada", of_part(runner.project, "gold", "blind"), "accept")
    decide(runner.project, "ada", of_part(runner.project, "random")[1:], "accept")
    assert not due()
    decide(runner.project, "ada", of_part(runner.project, "random")[:1], "accept")
    assert due()


def test_an_enlarged_sample_keeps_its_controls(copy: Callable[..., Runner]) -> None:
    runner = copy(tolerated_defect_rate=0.08, budget_minutes=150.0)
    before, controls = read_sample(runner.project)
    assert controls.height > 0
    decide(runner.project, "ada", of_part(runner.project, "random"), "accept")
    decide(runner.project, "ada", of_part(runner.project, "random").head(1), "reject")
    assert runner.materialize("review_outcome", PARTITION).success
    after, kept = read_sample(runner.project)
    assert after.filter(part="random").height > before.filter(part="random").height
    assert kept.equals(controls)
    mixed_in = pl.col("part").is_in(["gold", "blind"])
    assert after.filter(mixed_in).equals(before.filter(mixed_in))
    decide(runner.project, "ada", of_part(runner.project, "gold"), "reject")
    decide(runner.project, "ada", of_part(runner.project, "random")[1:], "accept")
    assert conclude(runner)["decision"].item() == "accept"
    assert runner.project.lake.read("review_outcome", "mini", ROUND, "accuracy")["caught"][0] > 0


def test_a_sample_that_was_drawn_without_a_table_of_controls_goes_on(
    copy: Callable[..., Runner], tmp_path: Path
) -> None:
    runner = copy(**NO_CONTROLS)
    lake = runner.project.lake
    version = lake.require("review_sample", "mini", ROUND)
    lake.write("review_sample", "mini", ROUND, version.read(), meta=version.meta)
    assert CONTROLS not in lake.require("review_sample", "mini", ROUND).manifest["tables"]
    assert len(LakeWork(lake, runner.project.spec("mini"), ROUND).load()) == version.rows()
    assert export_items(runner.project, "mini", ROUND, tmp_path / "items.csv") == version.rows()
    review(runner.project)
    assert conclude(runner)["decision"].item() == "accept"
    assert lake.read("review_outcome", "mini", ROUND, "accuracy").is_empty()


# ---- how they are shown


def assert_alike(shown: pl.DataFrame, project: Project) -> None:
    """Assert that what a reviewer sees of items, in serving order, does not tell controls from rows of the batch.

    `shown`: example_id and anything that can be seen. The same values are missing, and ids are equally long.
    """
    sample, controls = read_sample(project)
    assert shown["example_id"].to_list() == sample["example_id"].to_list()
    is_control = pl.col("example_id").is_in(controls["example_id"].implode())
    ours, theirs = shown.filter(is_control), shown.filter(~is_control)
    assert ours.height == controls.height > 0
    for name in shown.columns:
        missing = [frame[name].is_null().any() for frame in (ours, theirs)]
        assert missing[0] <= missing[1], name
    for name in ("example_id", "item_version"):
        assert shown[name].str.contains("^[0-9a-f]{32}$").all()
    places = shown.with_row_index("place").filter(is_control)["place"] / shown.height
    assert places.min() < 0.25 < 0.75 < places.max()  # type: ignore[operator]


def test_the_app_shows_them_like_any_other_item(copy: Callable[..., Runner], tmp_path: Path) -> None:
    project = copy(double_review_share=0.0).project
    source = LakeWork(project.lake, project.spec("mini"), ROUND)
    site = ReviewSite(project.ops_url, source)  # type: ignore[arg-type]
    ada = site.sign_in("Ada")
    seen = []
    while (item := ada.look()["item"]) is not None:
        page = ada.client.get("/").text
        verdicts = ada.client.get(f"/verdicts?item={item['example_id']}", headers=JSON).json()["verdicts"]
        seen.append(
            {
                **{name: item[name] for name in ("example_id", "item_version", "token")},
                **item["content"],
                "keys": sorted(item),
                "fields": sorted(item["content"]),
                "seeds": 'class="seed"' in page,
                "verdicts": [row["discriminator"] for row in verdicts],
                "judged": sorted(verdicts[0]) if verdicts else None,
            }
        )
        assert ada.decide(item).status_code == 200
    shown = pl.DataFrame(seen, infer_schema_length=None)
    assert_alike(shown, project)
    for name in ("keys", "fields", "seeds", "verdicts", "judged"):
        assert shown[name].n_unique() == 1, name
    assert shown["seeds"].all() and shown["verdicts"].list.len().min() > 0  # type: ignore[operator]


def test_no_seed_beside_a_control_is_its_own_and_lenders_differ(copy: Callable[..., Runner]) -> None:
    project = copy().project
    controls = read_sample(project)[1]
    work = LakeWork(project.lake, project.spec("mini"), ROUND).load()
    beside = {}
    for row in controls.to_dicts():
        place = work.position[row["example_id"]]
        beside[row["example_id"]] = work.seeds(place)[0]
        content = work.content(place)
        assert row["part"] != "blind" or content not in beside[row["example_id"]]
    assert len({json.dumps(seeds, default=str) for seeds in beside.values()}) > len(beside) / 2


class Typist(Console):
    """A terminal at which somebody accepts every item."""

    def input(self, prompt: Any = "", **more: Any) -> str:
        return "a"


def test_the_prompt_shows_them_like_any_other_item_and_takes_decisions(copy: Callable[..., Runner]) -> None:
    project = copy().project
    screen, fields = io.StringIO(), {field.name for field in project.spec("mini").content_fields}
    review_at_prompt(Typist(file=screen, width=200), project, "mini", ROUND, "ada")
    decided = DecisionStore(project.ops_url).decisions("mini", ROUND)
    first, *pages = screen.getvalue().split("─ ")
    assert first.startswith(f"{len(pages)} open items;")
    assert_alike(decided.select("example_id", "item_version", "decision"), project)
    labels = [[line.split("  ")[0] for line in page.splitlines() if line.split("  ")[0] in fields] for page in pages]
    assert {len(found) for found in labels} == {len(fields)}
    sample, controls = read_sample(project)
    batch = sample.filter(~pl.col("example_id").is_in(controls["example_id"].implode()))
    assert set(controls["stratum"]) <= set(batch["stratum"])
    again = io.StringIO()
    review_at_prompt(Typist(file=again), project, "mini", ROUND, "ada")
    assert again.getvalue().startswith("0 open items;")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".json"])
def test_files_show_them_like_any_other_item_and_bring_decisions_back(
    suffix: str, copy: Callable[..., Runner], tmp_path: Path
) -> None:
    project, path = copy().project, tmp_path / f"items{suffix}"
    sample, controls = read_sample(project)
    assert export_items(project, "mini", ROUND, path) == sample.height
    text = path.read_text(encoding="utf-8-sig")
    if suffix == ".csv":
        shown = pl.read_csv(path, infer_schema=False)
        shown.with_columns(decision=pl.lit("reject"), reviewer=pl.lit("ada")).write_csv(path)
    elif suffix == ".jsonl":
        lines = [json.loads(line) for line in text.splitlines()]
        assert len({tuple(line) for line in lines}) == 1
        shown = pl.DataFrame(lines, infer_schema_length=None)
        path.write_text("\n".join(json.dumps({**line, "decision": "reject", "reviewer": "ada"}) for line in lines))
    else:
        tasks = json.loads(text)
        assert len({(*task, *task["data"], str(task["annotations"] + task["predictions"])) for task in tasks}) == 1
        shown = pl.DataFrame([task["data"] for task in tasks], infer_schema_length=None)
        said = {
            "result": [{"from_name": "decision", "value": {"choices": ["reject"]}}],
            "completed_by": {"email": "ada"},
        }
        path.write_text(json.dumps([{**task, "annotations": [said]} for task in tasks]))
    fields = {field.name for field in project.spec("mini").content_fields}
    assert set(shown.columns) - {"decision", "reason", "reviewer", "seconds"} == {"example_id", "item_version", *fields}
    assert_alike(shown, project)
    screen = io.StringIO()
    import_items(Console(file=screen, width=200), project, "mini", ROUND, path)
    assert f"{sample.height} decisions read, {sample.height} new; 0 lines left out" in screen.getvalue()
    stored = DecisionStore(project.ops_url).effective("mini", ROUND, items=controls)
    assert set(stored["example_id"]) == set(controls["example_id"])
