"""Small reviews for tests of the web app: work from memory, signed-in clients, a real server to kill.

Here: builders and clients. Not here: assertions. `python -m synth_assets_tests.review_apps URL PORT N` is the server.
"""

from __future__ import annotations

import datetime as dt
import http.client
import json
import re
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from synth_assets.records import RELEASABLE, SYNTHESIS_ONLY, add_content_ids, polars_schema
from synth_assets.review.app import AppSettings, ReviewWork, create_app
from synth_assets.review.app.guard import Rate
from synth_assets.review.decisions import DecisionStore
from synth_assets.spec import DatasetSpec
from synth_assets_tests.builders import text_spec
from synth_assets_tests.ports import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROUND = "r000"
HOST = "testserver"
JSON = {"accept": "application/json"}
UNLIMITED = Rate(burst=1e9, per_second=1e9)
INTENTS = ("refund", "greeting", "complaint")


def make_rows(spec: DatasetSpec, rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows of filtered as far as a review needs them; example ids are e0000, e0001, …"""
    frame = add_content_ids(pl.DataFrame(rows, schema=polars_schema(spec.content_fields)), spec)
    return frame.with_columns(
        example_id=pl.format("e{}", pl.int_range(pl.len()).cast(pl.String).str.zfill(4)),
        prompted_by=pl.lit(["s0", "s1"]),
    )


def make_texts(spec: DatasetSpec, n: int) -> pl.DataFrame:
    """n rows of the messages data set."""
    texts = [{"text": f"Message number {i}, please help me.", "intent": INTENTS[i % 3]} for i in range(n)]
    return make_rows(spec, texts)


def make_seeds() -> pl.DataFrame:
    """Two seeds, the second private."""
    return pl.DataFrame(
        {
            "example_id": ["s0", "s1"],
            "disposition": [RELEASABLE, SYNTHESIS_ONLY],
            "text": ["A real message that may be shown.", "A PRIVATE message of a person."],
            "intent": ["refund", "refund"],
        }
    )


def make_verdicts(content: pl.DataFrame) -> pl.DataFrame:
    """One verdict a row."""
    return content.select(
        "example_id",
        discriminator=pl.lit("near_duplicates"),
        passed=pl.lit(True),
        score=pl.lit(0.25),
        threshold=pl.lit(0.7),
        reason=pl.lit(""),
        evidence=pl.lit('{"match": "s0"}'),
    )


def make_mixed() -> tuple[DatasetSpec, pl.DataFrame]:
    """Three rows of every kind of field: a conversation, code, Arabic, Japanese, numbers, dates and a missing value."""
    fields = [
        {"name": "turns", "type": "messages", "role": "input"},
        {"name": "solution", "type": "code", "role": "target"},
        {"name": "arabic", "type": "text", "language": "ar", "role": "context"},
        {"name": "japanese", "type": "text", "language": "ja", "nullable": True},
        {"name": "mass", "type": "number", "unit": "kg", "minimum": 0},
        {"name": "pieces", "type": "integer"},
        {"name": "day", "type": "date"},
        {"name": "helpful", "type": "boolean"},
        {"name": "topic", "type": "category", "values": ["coffee", "tea"]},
    ]
    row = {
        "turns": [
            {"role": "system", "content": "You are the assistant of a coffee shop."},
            {"role": "user", "content": "My grinder only hums. What can I do?"},
            {"role": "assistant", "content": "Unplug it first.\n\nThen look for a bean between the burrs."},
        ],
        "solution": "def rotate(items, by):\n    " + "return items[-by:] + items[:-by]  # " + "long " * 60,
        "arabic": "طلبتُ محمصة قهوة (رقم الطلب 48213-B) ولم تصل بعد.",
        "japanese": "コーヒーロースターを注文しましたが、まだ届いていません。",
        "mass": 4.25,
        "pieces": 3,
        "day": dt.date(2026, 11, 27),
        "helpful": True,
        "topic": "coffee",
    }
    spec = text_spec(name="mixed", fields=fields, strata={})
    return spec, make_rows(spec, [row, {**row, "pieces": 4}, {**row, "japanese": None}])


@dataclass
class MemoryWork:
    """A WorkSource that a test may change: another version is another sample."""

    spec: DatasetSpec
    content: pl.DataFrame
    reviews: int = 1
    risk: int = 0
    ended: str = ""
    seeds: pl.DataFrame | None = field(default_factory=make_seeds)

    def version(self) -> str:
        return str(self.content.height)

    def load(self) -> ReviewWork:
        n = self.content.height
        sample = self.content.select(
            "example_id",
            part=pl.when(pl.int_range(n) < n - self.risk).then(pl.lit("random")).otherwise(pl.lit("risk")),
            priority=pl.int_range(n),
            reviews=pl.lit(self.reviews),
        )
        return ReviewWork(self.spec, sample, self.content, seeds=self.seeds, verdicts=make_verdicts(self.content))

    def outcome(self) -> str:
        return self.ended


@dataclass
class Reviewer:
    """A signed-in reviewer who speaks JSON through Starlette's test client."""

    client: Any
    csrf: str

    def look(self, path: str = "/") -> dict[str, Any]:
        """Return item and progress."""
        return self.client.get(path, headers=JSON).json()

    def send(self, path: str, headers: dict[str, str] | None = None, **fields: Any) -> Any:
        """Post JSON with the token of this session; return the response."""
        return self.client.post(path, json=fields, headers={**JSON, "x-csrf-token": self.csrf, **(headers or {})})

    def decide(self, item: dict[str, Any], decision: str = "accept", **more: Any) -> Any:
        """Post a decision on an item as `look` returned it; return the response."""
        known = {name: item[name] for name in ("example_id", "item_version", "token")}
        return self.send("/decide", **{**known, "decision": decision, **more})


class ReviewSite:
    """An app on a database of its own, and reviewers who sign in to it."""

    def __init__(self, url: str, source: MemoryWork, **settings: Any) -> None:
        self.source = source
        self.store = DecisionStore(url)
        self.settings = AppSettings(frozenset({HOST}), **{"requests": UNLIMITED, **settings})
        self.app = create_app(source.spec, ROUND, source, self.store, self.settings)

    def browser(self, **more: Any) -> Any:
        """Return a client without a session."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from starlette.testclient import TestClient

            return TestClient(self.app, f"http://{HOST}", **more)

    def sign_in(self, name: str, token: str = "") -> Reviewer:
        """Return a reviewer who has signed in."""
        client = self.browser()
        csrf = client.get("/sign-in", headers=JSON).json()["csrf"]
        answer = client.post("/sign-in", json={"csrf": csrf, "name": name, "token": token}, headers=JSON)
        assert answer.status_code == 200, answer.text
        return Reviewer(client, answer.json()["csrf"])

    def decisions(self) -> list[tuple[str, str, str, str]]:
        """Return example, reviewer, decision and reason of all that is stored, in order."""
        found = self.store.decisions(self.source.spec.name, ROUND)
        return found.select("example_id", "reviewer", "decision", "reason").rows()


def make_site(folder: Path, n: int = 5, **more: Any) -> ReviewSite:
    """Return a site with n messages to review; `more` goes to MemoryWork and AppSettings."""
    names = {"accounts_only", "next_step", "requests", "cookie"}
    spec = text_spec()
    source = MemoryWork(spec, make_texts(spec, n), **{k: v for k, v in more.items() if k not in names})
    return ReviewSite(f"sqlite:///{folder / 'ops.db'}", source, **{k: v for k, v in more.items() if k in names})


# ---- a real server


@dataclass
class Server:
    """The app of n messages (0: of make_mixed) in a process of its own."""

    url: str
    n: int
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and return once it answers."""
        command = [sys.executable, "-m", "synth_assets_tests.review_apps", self.url, str(self.port), str(self.n)]
        self.process = subprocess.Popen(command)
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert self.process.poll() is None, "the server ended by itself"
                assert time.monotonic() < deadline, "the server does not start"
                time.sleep(0.02)

    def kill(self) -> None:
        """Kill it as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """Start a server and see to its end."""
    server.start()
    try:
        yield server
    finally:
        server.kill()


def sign_in_by_keyboard(page: Page, url: str, name: str) -> None:
    """Open the app and sign in without a mouse."""
    page.goto(url)
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    page.wait_for_selector("#how-far")


def item_of(page: Page) -> str | None:
    """Return the example that a reviewer's page shows."""
    return page.locator("#desk").get_attribute("data-item")


def press(page: Page, *keys: str) -> None:
    """Press keys, the last of which changes the item, and wait until it has."""
    before = item_of(page)
    for key in keys:
        page.keyboard.press(key)
    page.wait_for_function("before => document.querySelector('#desk').dataset.item !== before", arg=before or "")


class Caller:
    """A reviewer over HTTP who tries again while the server is away, with the same token."""

    def __init__(self, port: int, name: str) -> None:
        self._port = port
        self._name = name
        self._line: http.client.HTTPConnection | None = None
        self._cookie = ""
        self.csrf = ""
        self.latencies: list[float] = []

    def sign_in(self) -> None:
        self.csrf = self.call("GET", "/sign-in")["csrf"]
        self.csrf = self.call("POST", "/sign-in", {"name": self._name})["csrf"]

    def call(self, method: str, path: str, fields: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the JSON answer; connection errors are tried again, refusals are not."""
        headers = {**JSON, "content-type": "application/json", "cookie": self._cookie, "x-csrf-token": self.csrf}
        body = None if fields is None else json.dumps(fields)
        deadline = time.monotonic() + 60
        while True:
            started = time.perf_counter()
            try:
                if self._line is None:
                    self._line = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
                    self._line.connect()
                    self._line.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._line.request(method, path, body, headers)
                answer = self._line.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException):
                self._line = None
                assert time.monotonic() < deadline, "the server stays away"
                time.sleep(0.02)
                continue
            if path == "/decide":
                self.latencies.append(time.perf_counter() - started)
            found = re.match(r"([^=]+=[^;]+);", answer.headers.get("set-cookie", ""))
            if found:
                self._cookie = found.group(1)
            assert answer.status == 200, (answer.status, content[:500])
            return json.loads(content)

    def decide(self, item: dict[str, Any], decision: str) -> dict[str, Any]:
        """Decide an item; return the answer, with the next item."""
        known = {name: item[name] for name in ("example_id", "item_version", "token")}
        return self.call("POST", "/decide", {**known, "decision": decision, "reason": "not_fluent"})


def serve(url: str, port: int, n: int) -> None:
    """Serve the app of n messages, or of make_mixed where n is 0, until killed."""
    import uvicorn

    spec, content = (text_spec(), make_texts(text_spec(), n)) if n else make_mixed()
    seeds = make_seeds() if n else content.with_columns(example_id=pl.lit("s0"), disposition=pl.lit(RELEASABLE))
    source = MemoryWork(spec, content, seeds=seeds)
    settings = AppSettings(frozenset({f"127.0.0.1:{port}"}), requests=UNLIMITED)
    app = create_app(spec, ROUND, source, DecisionStore(url), settings)
    uvicorn.run(app, port=port, log_level="error", access_log=False, lifespan="off")


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
