"""Serving a project's review: the work from its lake, where it binds, and reviewer accounts at the command line."""

from __future__ import annotations

import http.client
import io
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
import yaml
from rich.console import Console

from synth_assets.cli.review_app import allowed_hosts, is_loopback, serve_review
from synth_assets.cli.reviewers import add_reviewer, list_reviewers, revoke_reviewer
from synth_assets.errors import StoreError, SynthError
from synth_assets.project import Project
from synth_assets.review.accounts import Accounts
from synth_assets.review.app.lake_work import CONTROLS, LakeWork
from synth_assets.review.database import Database
from synth_assets_tests.builders import text_spec
from synth_assets_tests.ports import free_port
from synth_assets_tests.review_apps import ROUND, make_seeds, make_texts, make_verdicts

SPEC = text_spec()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose lake holds four messages to review."""
    monkeypatch.delenv("SYNTH_OPS_URL", raising=False)
    folder = tmp_path / "data" / "seeds" / "messages"
    folder.mkdir(parents=True)
    (folder / "dataset.yaml").write_text(yaml.safe_dump(SPEC.model_dump(mode="json", exclude_defaults=True)))
    lake = Project(tmp_path).lake
    content = make_texts(SPEC, 6).with_columns(stratum=pl.col("intent"), state=pl.lit("kept"))
    seeds = lake.write("seeds", "messages", None, make_seeds())
    lake.write("seeds", "messages", None, make_seeds().with_columns(text=pl.lit("a later version")))
    settings = pl.DataFrame({"seeds_digest": [seeds.digest]})
    lake.write("plan", "messages", ROUND, {"rows": pl.DataFrame({"a": [1]}), "settings": settings})
    lake.write("filtered", "messages", ROUND, content)
    lake.write("verdicts", "messages", ROUND, make_verdicts(content))
    draw(lake, content, 4)
    return Project(tmp_path)


def draw(lake, content: pl.DataFrame, n: int, **tables: pl.DataFrame) -> None:
    sample = content.head(n).select(
        "example_id", "stratum", part=pl.lit("random"), priority=pl.int_range(n), weight=content.height / pl.lit(n)
    )
    lake.write("review_sample", "messages", ROUND, {"rows": sample, **tables})


# ---- the work


def test_the_lake_gives_sample_content_verdicts_and_the_seeds_that_were_pinned(project: Project) -> None:
    work = LakeWork(project.lake, SPEC, ROUND).load()
    assert len(work) == 4
    assert work.content(3) == {"text": "Message number 3, please help me.", "intent": "refund"}
    assert work.seeds(0) == ([{"text": "A real message that may be shown.", "intent": "refund"}], 1)
    assert [row["discriminator"] for row in work.verdicts(3)] == ["near_duplicates"]


def test_another_sample_is_another_version_and_a_closed_round_has_an_outcome(project: Project) -> None:
    source = LakeWork(project.lake, SPEC, ROUND)
    before = source.version()
    draw(project.lake, project.lake.read("filtered", "messages", ROUND), 6)
    assert source.version() != before
    assert len(source.load()) == 6
    assert source.outcome() == ""
    project.lake.write("round_close", "messages", ROUND, pl.DataFrame({"decision": ["accept"]}))
    assert source.outcome() == "accept"


def test_controls_look_like_any_other_item(project: Project) -> None:
    content = project.lake.read("filtered", "messages", ROUND)
    control = content.tail(1).select(
        "content_id", "stratum", "text", "intent", example_id=pl.lit("c0"), part=pl.lit("gold"), source_id=pl.lit("s1")
    )
    sample = pl.concat([content.head(3), control], how="diagonal").with_columns(
        pl.col("part").fill_null("random"), priority=pl.int_range(4)
    )
    tables = {"rows": sample.select("example_id", "stratum", "part", "priority"), CONTROLS: control}
    project.lake.write("review_sample", "messages", ROUND, tables)
    work = LakeWork(project.lake, SPEC, ROUND).load()
    assert work.content(3)["text"] == "Message number 5, please help me."
    assert len(work.seeds(3)[0]) == 1
    assert work.is_random == [True, True, True, False]


def test_a_round_without_a_sample_is_named(project: Project) -> None:
    with pytest.raises(StoreError, match="messages r001: no sample is drawn yet; `synth run messages`"):
        LakeWork(project.lake, SPEC, "r001").load()


# ---- where it binds


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_what_is_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org", ""])
def test_what_is_not(host: str) -> None:
    assert not is_loopback(host)


def test_only_names_of_this_machine_are_answered_to() -> None:
    assert allowed_hosts("127.0.0.1", 3001) == {"127.0.0.1:3001", "localhost:3001", "[::1]:3001"}
    assert {"review.example.org", "review.example.org:443"} <= allowed_hosts("0.0.0.0", 443, ["Review.example.org"])


def test_beyond_this_machine_it_is_not_served_without_accounts(project: Project) -> None:
    with pytest.raises(SynthError, match="no reviewer accounts yet; add them with `synth reviewers add NAME`"):
        serve_review(project, "messages", ROUND, "0.0.0.0", free_port(), open_browser=False)


def test_a_port_that_is_taken_is_named(project: Project) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SynthError, match=rf"127\.0\.0\.1:{port} cannot be used: .* choose another --port"):
            serve_review(project, "messages", ROUND, port=port, open_browser=False)


_SERVE = """
import sys
from pathlib import Path
from synth_assets.cli.review_app import serve_review
from synth_assets.project import Project
serve_review(Project(Path(sys.argv[1])), "messages", "r000", port=int(sys.argv[2]), open_browser=False)
print("concluded by the caller", flush=True)
"""


def test_it_serves_until_interrupted_and_then_goes_on(project: Project) -> None:
    port = free_port()
    command = [sys.executable, "-c", _SERVE, str(project.root), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stderr is not None
        first = process.stdout.readline()
        assert first, process.stderr.read()
        assert first == f"review messages r000 at http://127.0.0.1:{port}/; Ctrl-C when you are done\n"
        answer = _get(port, "/sign-in")
        assert (answer.status, b"messages r000" in answer.read()) == (200, True)
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, out, err) == (0, "concluded by the caller\n", "")


def _get(port: int, path: str) -> http.client.HTTPResponse:
    deadline = time.monotonic() + 30
    while True:
        try:
            line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            line.request("GET", path)
            return line.getresponse()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


# ---- accounts at the command line


def test_accounts_are_added_listed_and_revoked(project: Project) -> None:
    shown = io.StringIO()
    console = Console(file=shown, width=100)
    list_reviewers(console, project)
    assert "no reviewer accounts" in shown.getvalue()
    add_reviewer(console, project, "Ada [bold]", "lead", 30)
    token = shown.getvalue().splitlines()[-1]
    accounts = Accounts(Database(project.ops_url))
    assert accounts.verify("Ada [bold]", token)
    list_reviewers(console, project)
    assert "Ada [bold]" in shown.getvalue().splitlines()[-1]
    assert "valid" in shown.getvalue().splitlines()[-1]
    assert shown.getvalue().count(token) == 1
    revoke_reviewer(console, project, "Ada [bold]")
    assert not accounts.verify("Ada [bold]", token)
    with pytest.raises(SynthError, match="no valid account 'Ada"):
        revoke_reviewer(console, project, "Ada [bold]")
