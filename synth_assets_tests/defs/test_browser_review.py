"""A review from end to end: a drawn batch, two people in real browsers, the sensors, the corpus, the release."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

from synth_assets.defs.automation import accepted_round, finished_review
from synth_assets.defs.resources import Platform
from synth_assets.project import Project
from synth_assets_tests.browsers import needs_browser, open_browser
from synth_assets_tests.projects import Runner, failure_of
from synth_assets_tests.review_apps import item_of, press, sign_in_by_keyboard

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_SERVE = """
import sys
from pathlib import Path
from synth_assets.cli.review_app import serve_review
from synth_assets.project import Project
serve_review(Project(Path(sys.argv[1])), "mini", "r000", port=0, open_browser=False)
"""


@contextmanager
def serving(project: Project) -> Iterator[str]:
    """Serve the open review of r000; yield the page's URL."""
    command = [sys.executable, "-c", _SERVE, str(project.root)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stderr is not None
        first = process.stdout.readline()
        assert first, process.stderr.read()
        yield first.split(" at ")[1].split(";")[0]
    finally:
        process.kill()
        process.communicate()


def open_window(browser: Browser, url: str, name: str) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 860}).new_page()
    sign_in_by_keyboard(page, url, name)
    return page


def tick(sensor: dg.SensorDefinition, runner: Runner, job: str) -> list[str]:
    """Let a sensor look, run what it asks for, and return the partitions."""
    result = sensor(dg.build_sensor_context(instance=runner.instance), platform=Platform(root=str(runner.project.root)))
    assert isinstance(result, dg.SensorResult)
    keys = [request.partition_key or "" for request in result.run_requests or []]
    for key in keys:
        done = runner.run(job, key)
        assert done.success, failure_of(done)
    return keys


@needs_browser
def test_two_people_review_in_browsers_and_the_sensors_carry_the_batch_to_a_release(fresh: Runner) -> None:
    fresh.take_round("r000", automated=False)
    lake = fresh.project.lake
    sample = lake.read("review_sample", "mini", "r000")
    wanted = int(sample["reviews"].sum())
    at_random = set(sample.filter(pl.col("part") == "random")["example_id"])
    assert wanted >= 60
    assert tick(finished_review, fresh, "review") == []

    with serving(fresh.project) as url, open_browser() as browser:
        ada, bob = open_window(browser, url, "Ada"), open_window(browser, url, "Bob")
        while item_of(ada) not in at_random:  # a control item, or one looked at for its risk
            press(ada, "a")
        mended = item_of(ada)
        ada.keyboard.press("e")
        ada.wait_for_selector("[data-edit] textarea")
        ada.keyboard.press("Control+a")
        ada.keyboard.type("Nobody has told me when the courier is going to bring the blue lamp.")
        press(ada, "Control+Enter")
        undone = item_of(bob)
        press(bob, "a")
        press(bob, "u")
        assert item_of(bob) == undone
        for _ in range(2 * wanted):
            open_pages = [page for page in (ada, bob) if item_of(page)]
            if not open_pages:
                break
            for page in open_pages:
                press(page, "a")
            for page in (ada, bob):
                if not item_of(page):
                    page.reload()

    assert tick(finished_review, fresh, "review") == ["mini|r000"]
    outcome = lake.read("review_outcome", "mini", "r000").row(0, named=True)
    assert outcome["decision"] == "accept"
    assert outcome["defects"] == 1
    decided = lake.read("review_outcome", "mini", "r000", "decisions")
    assert set(decided["reviewer"]) == {"Ada", "Bob"}
    corpus = lake.read("corpus", "mini", "r000")
    assert 0.6 <= (corpus["origin"] == "synthetic").mean() <= 0.8  # type: ignore[operator]
    assert mended not in corpus["example_id"].to_list()

    assert tick(accepted_round, fresh, "release") == ["mini|r000"]
    folder = next((fresh.project.releases / "mini").glob("r000-*"))
    lineage = pl.read_parquet(folder / "lineage.parquet")
    edited = lineage.filter(pl.col("parents").list.contains(mended or ""))
    assert edited.height == 1
    assert json.loads((folder / "manifest.json").read_text())["rows"] == corpus.height
