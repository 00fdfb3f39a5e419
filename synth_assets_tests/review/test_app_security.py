"""The review app under attack: hostile candidates, forged requests, other people's items, bodies that break things."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from synth_assets.errors import StoreError
from synth_assets.review.accounts import LEAD, Accounts
from synth_assets.review.app.guard import HEADERS, MOST_BYTES, MOST_EDIT_BYTES, Rate, RateLimiter
from synth_assets.review.app.items import ROLES
from synth_assets.review.database import table
from synth_assets_tests.builders import text_spec
from synth_assets_tests.review_apps import HOST, JSON, MemoryWork, ReviewSite, make_rows, make_site

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'-alert(1)-'",
    "</textarea><script>alert(1)</script>",
    "{{ 7 * 7 }}{% include '/etc/passwd' %}",
    "javascript:alert(1)",
    "<svg/onload=alert(1)>",
    "--></style><script>alert(1)</script>",
)
INJECTIONS = (
    "' OR 1=1 --",
    "'; DROP TABLE decisions; --",
    '" OR ""="',
    "e0000' UNION SELECT token_hash FROM accounts --",
)
POSTS = ("/decide", "/edit", "/undo", "/renew", "/sign-out")


@pytest.fixture
def site(tmp_path: Path) -> ReviewSite:
    return make_site(tmp_path, n=6)


class _Dangers(HTMLParser):
    """Collects what a page could run, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in ("img", "svg", "iframe", "object", "embed", "style", "base", "b") or (
            tag == "script" and values.get("src") != "/static/app.js"
        ):
            self.found.append(tag)
        for name, value in attrs:
            runs = name.startswith("on") or name == "style"
            if runs or (name in ("href", "src", "action") and (value or "").lower().startswith("javascript:")):
                self.found.append(f"{tag} {name}")
        self.text += [value or "" for name, value in attrs if name in ("value", "title")]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def hostile_site(folder: Path, text: str) -> ReviewSite:
    spec = text_spec(
        fields=[
            {"name": "text", "type": "text"},
            {"name": "solution", "type": "code"},
            {"name": "turns", "type": "messages"},
            {"name": "kind", "type": "category"},
        ],
        strata={},
    )
    row = {"text": text, "solution": text, "turns": [{"role": text, "content": text}], "kind": text}
    content = make_rows(spec, [row, row])
    return ReviewSite(f"sqlite:///{folder / 'ops.db'}", MemoryWork(spec, content, seeds=None))


# ---- hostile text


@pytest.mark.parametrize("text", HOSTILE)
def test_candidates_run_nothing_wherever_they_are_shown(tmp_path: Path, text: str) -> None:
    site = hostile_site(tmp_path, text)
    ada = site.sign_in("Ada")
    for path in ("/", "/?edit=1"):
        for headers in ({}, {"x-review-fragment": "1"}):
            page = _Dangers(ada.client.get(path, headers=headers).text)
            assert page.found == []
            assert any(text in piece for piece in page.text)


@pytest.mark.parametrize("text", HOSTILE)
def test_names_reasons_and_edits_run_nothing(site: ReviewSite, text: str) -> None:
    ada = site.sign_in(text)
    item = ada.look()["item"]
    item = ada.decide(item, "reject", reject="other", words=text).json()["item"]
    form = {**{name: item[name] for name in ("example_id", "item_version", "token")}, "field.intent": text}
    wrong = ada.client.post("/edit", data={**form, "csrf": ada.csrf})
    assert wrong.status_code == 422
    for page in (ada.client.get("/"), ada.client.get("/team"), wrong):
        assert _Dangers(page.text).found == []
    assert text in _Dangers(ada.client.get("/team").text).text
    assert site.decisions()[0][3] == f"other: {text}"


def test_a_role_never_becomes_a_class(tmp_path: Path) -> None:
    page = hostile_site(tmp_path, "x big main").sign_in("Ada").client.get("/").text
    assert 'class="turn other"' in page
    assert all(f'class="turn {role}"' not in page for role in ROLES)


# ---- forged requests


@pytest.mark.parametrize("path", POSTS)
def test_a_post_without_the_sessions_own_token_changes_nothing(site: ReviewSite, path: str) -> None:
    ada, bob = site.sign_in("Ada"), site.sign_in("Bob")
    item = ada.look()["item"]
    form = {**{name: item[name] for name in ("example_id", "item_version", "token")}, "decision": "accept"}
    form |= {"field.text": "Forged."}
    for token in ("", "x" * 64, bob.csrf, "é"):
        assert ada.client.post(path, data={**form, "csrf": token}).status_code == 403
    assert site.decisions() == []
    assert ada.look()["item"]["example_id"] == item["example_id"]


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": f"http://{HOST}.evil.example"},
        {"origin": f"http://{HOST}:81"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_post_from_another_site_is_refused_even_with_the_token(site: ReviewSite, headers: dict[str, str]) -> None:
    ada = site.sign_in("Ada")
    item = ada.look()["item"]
    assert ada.decide(item, headers=headers).status_code == 403
    assert site.decisions() == []
    assert ada.decide(item, headers={"origin": f"http://{HOST}"}).status_code == 200


@pytest.mark.parametrize("path", POSTS)
def test_looking_changes_nothing(site: ReviewSite, path: str) -> None:
    assert site.sign_in("Ada").client.get(path).status_code == 405


@pytest.mark.parametrize("host", ["evil.example", f"{HOST}.evil.example", f"{HOST}:8080", "", "127.0.0.1"])
def test_another_name_for_this_address_is_refused(site: ReviewSite, host: str) -> None:
    for path in ("/", "/sign-in", "/static/app.js"):
        assert site.browser().get(path, headers={"host": host}).status_code == 400


# ---- sessions


def test_signing_in_takes_a_new_session_and_never_one_that_was_set_before(site: ReviewSite) -> None:
    victim, cookie = site.browser(), site.settings.cookie
    victim.cookies.set(cookie, "chosen-by-the-attacker")
    csrf = victim.get("/sign-in", headers=JSON).json()["csrf"]
    answer = victim.post("/sign-in", json={"csrf": csrf, "name": "Ada"}, headers=JSON)
    issued = answer.headers["set-cookie"]
    assert "chosen-by-the-attacker" not in issued
    attacker = site.browser()
    attacker.cookies.set(cookie, "chosen-by-the-attacker")
    assert attacker.get("/", headers=JSON).status_code == 401


def test_signing_in_again_ends_the_session_before(site: ReviewSite) -> None:
    ada = site.sign_in("Ada")
    before = ada.client.cookies[site.settings.cookie]
    ada.client.post("/sign-in", json={"csrf": ada.csrf, "name": "Bob"}, headers=JSON)
    thief = site.browser()
    thief.cookies.set(site.settings.cookie, before)
    assert thief.get("/", headers=JSON).status_code == 401


def test_a_session_that_was_signed_out_is_over(site: ReviewSite) -> None:
    ada = site.sign_in("Ada")
    secret = ada.client.cookies[site.settings.cookie]
    ada.client.post("/sign-out", data={"csrf": ada.csrf})
    ada.client.cookies.set(site.settings.cookie, secret)
    assert ada.client.get("/", headers=JSON).status_code == 401


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(site: ReviewSite) -> None:
    browser = site.browser()
    for answer in (browser.get("/sign-in"), browser.get("/sign-in", headers=JSON)):
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(answer.headers["set-cookie"].split("; "))


@pytest.mark.parametrize("path", ["/", "/verdicts?item=e0000", "/team"])
def test_without_a_session_nothing_is_shown(site: ReviewSite, path: str) -> None:
    browser = site.browser()
    assert browser.get(path, headers=JSON).status_code == 401
    assert "Message number" not in browser.get(path).text
    browser.cookies.set(site.settings.cookie, "' OR 1=1 --")
    assert browser.get(path, headers=JSON).status_code == 401


# ---- accounts


def test_once_there_are_accounts_a_name_alone_gets_nobody_in(site: ReviewSite) -> None:
    early = site.sign_in("Eve")
    token = Accounts(site.store.database).add("Ada")
    assert early.client.get("/", headers=JSON).status_code == 401
    browser = site.browser()
    csrf = browser.get("/sign-in", headers=JSON).json()["csrf"]
    answers = [
        browser.post("/sign-in", json={"csrf": csrf, "name": name, "token": given}, headers=JSON)
        for name, given in (("Ada", ""), ("Ada", "wrong"), ("Nobody", token))
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({json.dumps({**answer.json(), "csrf": ""}) for answer in answers}) == 1
    assert site.sign_in("Ada", token).look()["item"] is not None


def test_beyond_this_machine_nobody_gets_in_without_an_account_even_while_there_is_none(tmp_path: Path) -> None:
    make_site(tmp_path).sign_in("Eve")
    browser = make_site(tmp_path, accounts_only=True).browser()
    told = browser.get("/sign-in", headers=JSON).json()
    assert told["by_account"] is True
    answer = browser.post("/sign-in", json={"csrf": told["csrf"], "name": "Eve"}, headers=JSON)
    assert answer.status_code == 401


def test_a_revoked_reviewer_is_out_at_once(site: ReviewSite) -> None:
    accounts = Accounts(site.store.database)
    ada = site.sign_in("Ada", accounts.add("Ada"))
    item = ada.look()["item"]
    accounts.revoke("Ada")
    assert ada.decide(item).status_code == 401
    assert site.decisions() == []


def test_only_a_lead_sees_what_others_did(site: ReviewSite) -> None:
    accounts = Accounts(site.store.database)
    ada, lea = site.sign_in("Ada", accounts.add("Ada")), site.sign_in("Lea", accounts.add("Lea", LEAD))
    assert ada.client.get("/team", headers=JSON).status_code == 403
    assert 'href="/team"' not in ada.client.get("/").text
    assert lea.client.get("/team", headers=JSON).status_code == 200


# ---- other people's items


def test_items_of_others_and_items_that_do_not_exist_are_refused_alike(site: ReviewSite) -> None:
    ada, bob = site.sign_in("Ada"), site.sign_in("Bob")
    hers, item = ada.look()["item"], bob.look()["item"]
    assert hers["example_id"] != item["example_id"]
    waiting = {**item, "example_id": "e0005"}
    for other in (hers, waiting, {**item, "example_id": "unknown"}, {**item, "example_id": ""}):
        form = {name: other[name] for name in ("example_id", "item_version", "token")}
        refused = [
            bob.decide(other),
            bob.send("/edit", **form, **{"field.text": "Mine now."}),
            bob.send("/renew", example_id=other["example_id"]),
            bob.client.get("/verdicts", params={"item": other["example_id"]}, headers=JSON),
        ]
        assert {(answer.status_code, answer.text) for answer in refused} == {(404, refused[0].text)}
    assert site.decisions() == []
    assert ada.decide(hers).status_code == 200


def test_an_item_is_decided_once_by_a_reviewer(site: ReviewSite) -> None:
    ada = site.sign_in("Ada")
    item = ada.look()["item"]
    ada.decide(item)
    assert ada.decide({**item, "token": "another"}, "reject", reason="copied").status_code == 404
    assert len(site.decisions()) == 1


def test_an_item_that_went_to_another_is_no_longer_mine(site: ReviewSite) -> None:
    ada = site.sign_in("Ada")
    item = ada.look()["item"]
    leases = table("leases")
    site.store.database.write("end the leases", lambda connection: connection.execute(update(leases).values(until=0.0)))
    assert site.sign_in("Bob").look()["item"]["example_id"] == item["example_id"]
    assert ada.decide(item).status_code == 404
    assert site.decisions() == []


# ---- paths, SQL, bodies


@pytest.mark.parametrize(
    "path",
    [
        "/static/../pages.py",
        "/static/..%2f..%2fpages.py",
        "/static/%2e%2e/%2e%2e/etc/passwd",
        "/static//etc/passwd",
        "/static/app.css/../../pages.py",
        "/static/",
        "/templates/desk.jinja",
        "/..;/etc/passwd",
    ],
)
def test_no_path_leads_to_a_file(site: ReviewSite, path: str) -> None:
    answer = site.sign_in("Ada").client.get(path)
    assert answer.status_code == 404
    assert "import" not in answer.text
    assert "root:" not in answer.text


@pytest.mark.parametrize("text", INJECTIONS)
def test_no_field_reaches_the_database_as_sql(site: ReviewSite, text: str) -> None:
    ada = site.sign_in(text)
    item = ada.look()["item"]
    for name in ("example_id", "item_version"):
        assert ada.decide({**item, name: text}).status_code in (404, 409)
    assert ada.decide({**item, "token": text}, "reject", reject="other", words=text).status_code == 200
    ada.send("/undo", decision_id=text)
    ada.client.get("/verdicts", params={"item": text})
    assert site.decisions() == [("e0000", text, "reject", f"other: {text}")]


def test_bodies_beyond_the_limit_are_refused_however_they_are_sent(site: ReviewSite) -> None:
    ada = site.sign_in("Ada")
    headers = {"content-type": "application/x-www-form-urlencoded", **JSON}

    def in_pieces(size: int):
        yield from (b"x" * 10_000 for _ in range(size // 10_000))

    for path, most in (("/decide", MOST_BYTES), ("/sign-in", MOST_BYTES), ("/edit", MOST_EDIT_BYTES)):
        assert ada.client.post(path, content=b"x" * (most + 1), headers=headers).status_code == 413
        assert ada.client.post(path, content=in_pieces(most + 20_000), headers=headers).status_code == 413
        assert ada.client.post(path, content=b"x" * (most - 1), headers=headers).status_code == 403
    for length in ("-1", "1e9", "99999999999999999999"):
        assert (
            ada.client.post("/decide", content=b"x", headers={**headers, "content-length": length}).status_code == 413
        )


def test_a_long_text_can_be_fixed(tmp_path: Path) -> None:
    spec = text_spec(fields=[{"name": "text", "type": "text", "max_length": 900_000}], strata={})
    site = ReviewSite(
        f"sqlite:///{tmp_path / 'ops.db'}", MemoryWork(spec, make_rows(spec, [{"text": "a"}]), seeds=None)
    )
    ada = site.sign_in("Ada")
    item = ada.look()["item"]
    form = {name: item[name] for name in ("example_id", "item_version", "token")}
    assert ada.send("/edit", **form, **{"field.text": "b" * 900_000}).status_code == 200


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{broken", "application/json", 400),
        (b"[1]", "application/json", 400),
        (b'{"decision": ["accept"]}', "application/json", 400),
        (b"[" * 60_000, "application/json", 400),
        (b'{"words": "\\ud800"}', "application/json", 400),
        (b'{"words": "a\\u0000b"}', "application/json", 400),
        (b"words=%ff", "application/x-www-form-urlencoded", 400),
        (b"words=%00", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"a=1" for _ in range(5000)), "application/x-www-form-urlencoded", 400),
        (b"\xff\xfe", "application/x-www-form-urlencoded", 400),
        (b"--x\r\n", "multipart/form-data; boundary=x", 415),
        (b"<a/>", "text/xml", 415),
    ],
)
def test_bodies_that_cannot_be_read_are_refused(site: ReviewSite, content: bytes, kind: str, status: int) -> None:
    ada = site.sign_in("Ada")
    headers = {"content-type": kind, "x-csrf-token": ada.csrf, **JSON}
    for path in ("/decide", "/edit", "/undo"):
        assert ada.client.post(path, content=content, headers=headers).status_code == status


_NAMES = st.sampled_from(
    [
        "example_id",
        "item_version",
        "token",
        "decision",
        "reject",
        "reason",
        "words",
        "seconds",
        "decision_id",
        "field.text",
    ]
)
_VALUES = st.one_of(
    st.text(max_size=50),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.sampled_from(["accept", "e0000", "other"]),
)


@given(st.sampled_from(["/decide", "/edit", "/undo", "/renew"]), st.dictionaries(_NAMES, _VALUES))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_sent_the_answer_is_a_clear_one(tmp_path: Path, path: str, fields: dict[str, Any]) -> None:
    ada = make_site(tmp_path, n=3).sign_in("Ada")
    answer = ada.client.post(
        path, content=json.dumps(fields), headers={**JSON, "content-type": "application/json", "x-csrf-token": ada.csrf}
    )
    assert answer.status_code in (200, 204, 400, 404, 409, 422)
    assert answer.status_code in (200, 204) or answer.json().get("error") or answer.json().get("errors")


# ---- answers


def test_every_answer_has_the_protecting_headers(site: ReviewSite) -> None:
    ada = site.sign_in("Ada")
    answers = [
        ada.client.get("/"),
        ada.client.get("/", headers=JSON),
        ada.client.get("/nowhere"),
        ada.client.get("/static/app.css"),
        ada.client.post("/decide"),
        ada.client.post("/decide", content=b"x" * 70_000),
        ada.client.get("/", headers={"host": "evil.example"}),
        site.browser(follow_redirects=False).get("/"),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 404, 200, 403, 413, 400, 303]
    for answer in answers:
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert "unsafe" not in HEADERS["content-security-policy"]


def test_a_page_has_no_script_or_style_of_its_own_and_nothing_from_elsewhere(site: ReviewSite) -> None:
    page = site.sign_in("Ada").client.get("/").text
    assert _Dangers(page).found == []
    assert "http:" not in page
    assert "https:" not in page
    assert "//" not in page.replace("<!doctype html>", "")


def test_a_database_that_fails_is_told_without_its_address(site: ReviewSite, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = site.sign_in("Ada")
    item = ada.look()["item"]

    def fail(*_: object, **__: object) -> None:
        raise StoreError("sqlite:////secret/place/ops.db: cannot store decisions: the disk is full")

    monkeypatch.setattr(type(site.store.database), "write", fail)
    answer = ada.decide(item)
    assert answer.status_code == 503
    assert "nothing was stored" in answer.json()["error"]
    assert "secret" not in answer.text


def test_a_fault_of_the_app_itself_tells_nothing(site: ReviewSite, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = site.sign_in("Ada")
    monkeypatch.setattr("synth_assets.review.app.desk.Desk.serve", lambda *_, **__: {}["secret_name"])
    ada.client._transport.raise_server_exceptions = False
    answer = ada.client.get("/")
    assert answer.status_code == 500
    assert "secret_name" not in answer.text
    assert answer.headers["content-security-policy"] == HEADERS["content-security-policy"]


# ---- rates


def test_one_session_that_floods_is_slowed_and_others_are_not(tmp_path: Path) -> None:
    site = make_site(tmp_path, requests=Rate(burst=5, per_second=0.001))
    ada, bob = site.sign_in("Ada"), site.sign_in("Bob")
    answers = [ada.client.get("/", headers=JSON) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert bob.client.get("/", headers=JSON).status_code == 200


def test_guessing_tokens_is_slowed(site: ReviewSite) -> None:
    Accounts(site.store.database).add("Ada")
    browser = site.browser()
    csrf = browser.get("/sign-in", headers=JSON).json()["csrf"]
    codes = [
        browser.post("/sign-in", json={"csrf": csrf, "name": "Ada", "token": str(i)}, headers=JSON).status_code
        for i in range(22)
    ]
    assert codes[:20] == [401] * 20
    assert codes[-1] == 429


def test_a_rate_limit_refills_and_forgets_the_oldest() -> None:
    now = [0.0]
    limiter = RateLimiter(Rate(burst=2, per_second=0.5), most_keys=2, clock=lambda: now[0])
    assert [limiter.wait_for("a") for _ in range(3)] == [0, 0, 2]
    now[0] = 2.0
    assert [limiter.wait_for("a"), limiter.wait_for("a")] == [0, 2]
    limiter.wait_for("b"), limiter.wait_for("c")
    assert len(limiter._buckets) == 2
