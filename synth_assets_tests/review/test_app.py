"""The review app as reviewers use it: serving, deciding, fixing, undoing, finishing; with and without its script."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from synth_assets.errors import StoreError
from synth_assets.review.app import ReviewWork
from synth_assets.review.app.desk import Desk, Given
from synth_assets.review.decisions import Decision, DecisionStore
from synth_assets_tests.builders import text_spec
from synth_assets_tests.review_apps import (
    JSON,
    ROUND,
    MemoryWork,
    Reviewer,
    ReviewSite,
    make_rows,
    make_site,
    make_texts,
)


@pytest.fixture
def site(tmp_path: Path) -> ReviewSite:
    return make_site(tmp_path)


def finish(reviewer: Reviewer, decision: str = "accept") -> int:
    """Decide all that is served; return how many that were."""
    item, count = reviewer.look()["item"], 0
    while item:
        item, count = reviewer.decide(item, decision, reason="copied").json()["item"], count + 1
    return count


# ---- serving and deciding


def test_items_come_in_serving_order_and_a_decision_brings_the_next(site: ReviewSite) -> None:
    ada = site.sign_in("Ada")
    first = ada.look()["item"]
    assert first["content"] == {"text": "Message number 0, please help me.", "intent": "refund"}
    answer = ada.decide(first).json()
    assert answer["item"]["example_id"] == "e0001"
    assert answer["progress"]["decided"] == 1
    assert site.decisions() == [("e0000", "Ada", "accept", "")]


def test_an_item_stays_in_hand_until_it_is_decided(site: ReviewSite) -> None:
    ada = site.sign_in("Ada")
    assert ada.look()["item"]["example_id"] == ada.look()["item"]["example_id"] == "e0000"
    assert site.sign_in("Ada").look()["item"]["example_id"] == "e0000"


def test_reviewers_at_once_are_served_different_items_and_share_the_work(site: ReviewSite) -> None:
    ada, bob = site.sign_in("Ada"), site.sign_in("Bob")
    assert [who.look()["item"]["example_id"] for who in (ada, bob)] == ["e0000", "e0001"]
    assert finish(ada) == 4
    assert ada.look()["progress"]["decided"] == 4
    assert finish(bob) == 1
    assert ada.look()["progress"]["complete"] == 5
    assert len({example for example, *_ in site.decisions()}) == 5


@pytest.mark.parametrize(
    ("fields", "stored"),
    [
        ({"decision": "reject", "reason": "wrong_label"}, ("reject", "wrong_label")),
        ({"reject": "copied"}, ("reject", "copied")),
        ({"reject": "other", "words": "  two   questions "}, ("reject", "other: two questions")),
        ({"decision": "flag"}, ("flag", "")),
        ({"decision": "skip"}, ("skip", "")),
    ],
)
def test_every_decision_is_stored_with_its_reason(
    site: ReviewSite, fields: dict[str, str], stored: tuple[str, str]
) -> None:
    ada = site.sign_in("Ada")
    item = ada.look()["item"]
    assert ada.decide(item, **{"decision": "accept", **fields}).status_code == 200
    assert site.decisions() == [("e0000", "Ada", *stored)]


@pytest.mark.parametrize(
    "fields",
    [
        {"decision": "maybe"},
        {"decision": ""},
        {"decision": "reject"},
        {"reject": "ugly"},
        {"token": ""},
        {"token": "x" * 101},
    ],
)
def test_what_is_no_decision_is_refused_and_not_stored(site: ReviewSite, fields: dict[str, str]) -> None:
    ada = site.sign_in("Ada")
    assert ada.decide(ada.look()["item"], **{"decision": "accept", **fields}).status_code == 422
    assert site.decisions() == []


def test_a_decision_sent_again_is_one_decision_and_acknowledged_again(site: ReviewSite) -> None:
    ada = site.sign_in("Ada")
    item = ada.look()["item"]
    first, second = ada.decide(item), ada.decide(item)
    assert first.json()["decision_id"] == second.json()["decision_id"]
    assert second.json()["item"]["example_id"] == "e0001"
    assert len(site.decisions()) == 1


def test_an_item_that_changed_since_is_not_decided(site: ReviewSite) -> None:
    ada = site.sign_in("Ada")
    answer = ada.decide({**ada.look()["item"], "item_version": "another"})
    assert (answer.status_code, site.decisions()) == (409, [])


def test_time_spent_is_what_the_page_measured_but_never_more_than_has_passed(site: ReviewSite) -> None:
    ada = site.sign_in("Ada")
    item = ada.look()["item"]
    item = ada.decide(item, seconds=9999).json()["item"]
    ada.decide(item, seconds="NaN")
    found = site.store.decisions("messages", ROUND)["seconds"]
    assert found.max() < 5  # type: ignore[operator]
    assert found.min() >= 0  # type: ignore[operator]


def test_time_spent_is_kept_where_it_is_possible(tmp_path: Path) -> None:
    now = [1e9]
    spec = text_spec()
    store = DecisionStore(f"sqlite:///{tmp_path / 'ops.db'}")
    desk = Desk(spec, ROUND, MemoryWork(spec, make_texts(spec, 3)), store, clock=lambda: now[0])
    for measured, passed in ((12.3, 60), (None, 20), (100.0, 30)):
        served = desk.serve("Ada")
        assert served is not None
        now[0] += passed
        desk.decide("Ada", Given(served.example_id, served.item_version, "accept", served.token, seconds=measured))
    assert store.decisions("messages", ROUND)["seconds"].to_list() == [12.3, 20.0, 30.0]
    assert desk.progress("Ada").minutes == pytest.approx(62.3 / 60)


# ---- skipping, undoing


def test_a_skipped_item_goes_to_others_and_comes_back_only_when_asked_for(tmp_path: Path) -> None:
    site = make_site(tmp_path, n=2)
    ada = site.sign_in("Ada")
    answer = ada.decide(ada.look()["item"], "skip").json()
    assert answer["item"]["example_id"] == "e0001"
    answer = ada.decide(answer["item"]).json()
    assert (answer["item"], answer["progress"]["skipped"]) == (None, 1)
    assert ada.look("/?again=1")["item"]["example_id"] == "e0000"
    assert ada.decide(ada.look()["item"]).json()["progress"]["complete"] == 2


def test_another_reviewer_may_take_what_one_skipped(tmp_path: Path) -> None:
    site = make_site(tmp_path, n=1)
    ada, bob = site.sign_in("Ada"), site.sign_in("Bob")
    ada.decide(ada.look()["item"], "skip")
    assert bob.look()["item"]["example_id"] == "e0000"


def test_undo_takes_the_last_decision_back_by_a_further_one_and_serves_its_item(site: ReviewSite) -> None:
    ada = site.sign_in("Ada")
    second = ada.decide(ada.look()["item"]).json()["item"]
    third = ada.decide(second, "reject", reason="copied").json()
    back = ada.send("/undo", decision_id=third["decision_id"]).json()
    assert (back["item"]["example_id"], back["progress"]["decided"]) == ("e0001", 1)
    answer = ada.decide(back["item"]).json()
    assert answer["item"]["example_id"] == "e0002"
    assert site.decisions()[1:] == [
        ("e0001", "Ada", "reject", "copied"),
        ("e0001", "Ada", "skip", "undone"),
        ("e0001", "Ada", "accept", ""),
    ]
    effective = site.store.effective("messages", ROUND).select("example_id", "decision").rows()
    assert effective == [("e0000", "accept"), ("e0001", "accept")]


def test_undo_goes_back_step_by_step_and_a_click_sent_twice_is_one(site: ReviewSite) -> None:
    ada = site.sign_in("Ada")
    first = ada.decide(ada.look()["item"]).json()
    second = ada.decide(first["item"]).json()
    for _ in range(2):
        assert ada.send("/undo", decision_id=second["decision_id"]).json()["item"]["example_id"] == "e0001"
    assert ada.send("/undo", decision_id=first["decision_id"]).json()["item"]["example_id"] == "e0000"
    assert ada.send("/undo").status_code == 409
    assert [decision for _, _, decision, _ in site.decisions()] == ["accept", "accept", "skip", "skip"]


def test_nobody_undoes_what_another_said(site: ReviewSite) -> None:
    ada, bob = site.sign_in("Ada"), site.sign_in("Bob")
    made = ada.decide(ada.look()["item"]).json()["decision_id"]
    assert bob.send("/undo", decision_id=made).status_code == 409
    assert [decision for _, _, decision, _ in site.decisions()] == ["accept"]


def test_undo_works_after_a_restart(tmp_path: Path) -> None:
    before = make_site(tmp_path).sign_in("Ada")
    before.decide(before.look()["item"])
    after = make_site(tmp_path)
    ada = after.sign_in("Ada")
    assert ada.look()["progress"]["decided"] == 1
    assert ada.send("/undo").json()["item"]["example_id"] == "e0000"


# ---- fixing


def test_a_fix_is_kept_beside_the_original_which_counts_as_rejected(site: ReviewSite) -> None:
    ada = site.sign_in("Ada")
    item = ada.look()["item"]
    answer = ada.send(
        "/edit", **{**_known(item), "field.text": "A better message, please.", "field.intent": "greeting"}
    )
    assert answer.json()["item"]["example_id"] == "e0001"
    assert site.decisions() == [("e0000", "Ada", "reject", "edited")]
    edit = site.store.edits("messages", ROUND).row(0, named=True)
    assert json.loads(edit["content"]) == {"text": "A better message, please.", "intent": "greeting"}
    assert (edit["example_id"], edit["reviewer"], edit["item_version"]) == ("e0000", "Ada", item["item_version"])


def test_a_fix_that_is_undone_no_longer_stands(site: ReviewSite) -> None:
    ada = site.sign_in("Ada")
    item = ada.look()["item"]
    ada.send("/edit", **{**_known(item), "field.text": "First try."})
    again = ada.send("/undo").json()["item"]
    assert site.store.edits("messages", ROUND).is_empty()
    ada.send("/edit", **{**_known(again), "field.text": "Second try."})
    assert [json.loads(text)["text"] for text in site.store.edits("messages", ROUND)["content"]] == ["Second try."]


def test_a_fix_sent_again_is_one_fix(site: ReviewSite) -> None:
    ada = site.sign_in("Ada")
    fields = {**_known(ada.look()["item"]), "field.text": "A better message."}
    assert [ada.send("/edit", **fields).status_code for _ in range(2)] == [200, 200]
    assert site.store.edits("messages", ROUND).height == 1
    assert len(site.decisions()) == 1


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, ""),
        ({"field.text": ""}, "text"),
        ({"field.text": "x" * 501}, "text"),
        ({"field.intent": "made up"}, "intent"),
    ],
)
def test_a_fix_that_changes_nothing_or_breaks_the_record_is_shown_again(
    site: ReviewSite, fields: dict[str, str], wrong: str
) -> None:
    ada = site.sign_in("Ada")
    answer = ada.send("/edit", **{**_known(ada.look()["item"]), **fields})
    assert (answer.status_code, list(answer.json()["errors"])) == (422, [wrong])
    assert site.decisions() == []


def _known(item: dict[str, str]) -> dict[str, str]:
    return {name: item[name] for name in ("example_id", "item_version", "token")}


# ---- how far it is


def test_an_item_that_wants_two_reviews_is_done_after_two_people(tmp_path: Path) -> None:
    site = make_site(tmp_path, n=3, reviews=2)
    ada, bob = site.sign_in("Ada"), site.sign_in("Bob")
    assert finish(ada) == 3
    page = ada.client.get("/").text
    assert "You have decided all that you can" in page
    assert "3 items want a second reviewer" in page
    assert finish(bob) == 3
    assert ada.look()["progress"]["complete"] == 3
    assert site.sign_in("Cem").look()["item"] is None


def test_a_finished_review_says_what_comes_next(tmp_path: Path) -> None:
    site = make_site(tmp_path, n=1, next_step="Then the sensor goes on.")
    ada = site.sign_in("Ada")
    finish(ada)
    page = ada.client.get("/").text
    assert "That was the last one" in page
    assert "Then the sensor goes on." in page
    assert 'action="/decide"' not in page


def test_who_waits_for_others_is_told_and_looks_again(tmp_path: Path) -> None:
    site = make_site(tmp_path, n=1)
    site.sign_in("Ada").look()
    page = site.sign_in("Bob").client.get("/").text
    assert "Nothing for you right now" in page
    assert 'data-poll="10"' in page


def test_a_concluded_review_takes_nothing_more(site: ReviewSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synth_assets.review.app.desk.CHECK_SECONDS", -1)
    ada = site.sign_in("Ada")
    item = ada.look()["item"]
    site.source.ended = "accept"
    assert ada.decide(item).status_code == 409
    assert "This review is concluded: accept" in ada.client.get("/").text
    assert site.decisions() == []


def test_an_enlarged_sample_is_served_without_a_restart(site: ReviewSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synth_assets.review.app.desk.CHECK_SECONDS", -1)
    ada = site.sign_in("Ada")
    assert finish(ada) == 5
    site.source.content = make_texts(site.source.spec, 8)
    assert finish(ada) == 3
    assert ada.look()["progress"]["complete"] == 8


def test_decisions_from_elsewhere_count_at_once(site: ReviewSite) -> None:
    ada = site.sign_in("Ada")
    held = ada.look()["item"]["example_id"]
    site.store.record([Decision("messages", ROUND, f"e000{i}", "Eve", "accept", "file") for i in range(3)])
    assert held == "e0000"
    assert ada.look()["item"]["example_id"] == "e0003"
    assert ada.look()["progress"]["decided"] == 3


def test_machines_and_other_versions_do_not_count(site: ReviewSite) -> None:
    said = [
        Decision("messages", ROUND, "e0000", "automated:1", "accept", "t", reviewer_kind="automated"),
        Decision("messages", ROUND, "e0001", "Eve", "accept", "t", item_version="old"),
        Decision("messages", ROUND, "unknown", "Eve", "accept", "t"),
    ]
    site.store.record(said)
    assert site.sign_in("Ada").look()["progress"]["decided"] == 0


def test_a_reviewer_under_quarantine_is_turned_away_and_their_decisions_no_longer_count(
    site: ReviewSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synth_assets.review.app.desk.CHECK_SECONDS", -1)
    eve = site.sign_in("Eve")
    eve.decide(eve.look()["item"])
    site.store.quarantine("reviewer", "Eve", reason="random clicks", who="lead")
    assert eve.client.get("/", headers=JSON).status_code == 403
    assert site.sign_in("Ada").look()["progress"]["decided"] == 0


def test_progress_shows_minutes_against_the_budget(tmp_path: Path) -> None:
    spec = text_spec(review={"budget_minutes": 240})
    site = ReviewSite(f"sqlite:///{tmp_path / 'ops.db'}", MemoryWork(spec, make_texts(spec, 4)))
    site.store.record([Decision("messages", ROUND, "e0000", "Eve", "accept", "t", seconds=600)])
    page = site.sign_in("Ada").client.get("/").text
    assert re.search(r"<strong>1</strong> of 4 reviewed", page)
    assert "10 of 240 budgeted minutes" in page


def test_a_live_bound_is_shown_only_where_there_is_one_and_gets_the_random_part_alone(tmp_path: Path) -> None:
    spec, asked = text_spec(), []

    def bound(defects: int, n: int, n_open: int) -> tuple[float, float]:
        asked.append((defects, n, n_open))
        return 0.01, 0.125

    source = MemoryWork(spec, make_texts(spec, 6), risk=1)
    desk = Desk(spec, ROUND, source, DecisionStore(f"sqlite:///{tmp_path / 'ops.db'}"), live_bound=bound)
    assert desk.progress("Ada").bound is None
    said = {"e0000": "accept", "e0001": "reject", "e0003": "flag", "e0005": "reject"}
    desk._store.record([Decision("messages", ROUND, key, "Ada", what, "t") for key, what in said.items()])
    desk._bounded = float("-inf")
    desk.serve("Bob")
    assert desk.progress("Ada").bound == (0.01, 0.125)
    assert asked == [(2, 4, 1)]
    assert "holds at any time" not in make_site(tmp_path).sign_in("Ada").client.get("/").text


def test_a_lead_sees_what_each_reviewer_has_done(site: ReviewSite) -> None:
    ada, bob = site.sign_in("Ada"), site.sign_in("Bob")
    bob.decide(bob.look()["item"], "reject", reason="copied")
    ada.decide(ada.look()["item"])
    team = ada.client.get("/team", headers=JSON).json()
    assert {name: (share["accept"], share["reject"]) for name, share in team.items()} == {"Ada": (1, 0), "Bob": (0, 1)}
    assert "Bob" in ada.client.get("/team").text


# ---- what is shown


class _Text(HTMLParser):
    """Collects the text of a page, and the attributes of each element."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def show(tmp_path: Path, fields: list[dict[str, object]], row: dict[str, object]) -> str:
    spec = text_spec(fields=fields, strata={})
    site = ReviewSite(f"sqlite:///{tmp_path / 'ops.db'}", MemoryWork(spec, make_rows(spec, [row]), seeds=None))
    return site.sign_in("Ada").client.get("/").text


def test_verdicts_are_hidden_until_asked_for(site: ReviewSite) -> None:
    ada = site.sign_in("Ada")
    page = ada.client.get("/").text
    assert "near duplicates" not in page
    assert "0.25" not in page
    shown = ada.client.get("/verdicts?item=e0000").text
    assert "near duplicates" in shown
    assert "0.25" in shown


def test_nothing_tells_which_part_or_generator_an_item_came_from(tmp_path: Path) -> None:
    ada = make_site(tmp_path, n=3, risk=3).sign_in("Ada")
    page = ada.client.get("/").text
    assert "risk" not in page
    assert "risk" not in json.dumps(ada.look())


def test_seeds_that_may_leave_are_shown_and_private_ones_only_counted(site: ReviewSite) -> None:
    ada = site.sign_in("Ada")
    page = ada.client.get("/").text
    assert "A real message that may be shown." in page
    assert "1 private example is not shown." in page
    assert "PRIVATE message" not in page
    assert "PRIVATE message" not in json.dumps(ada.look())


def test_a_conversation_is_shown_turn_by_turn(tmp_path: Path) -> None:
    turns = [
        {"role": "user", "content": "Hi?"},
        {"role": "assistant", "content": "Hello!"},
        {"role": 'x"><b>', "content": "?"},
    ]
    page = _Text(show(tmp_path, [{"name": "turns", "type": "messages", "language": "de"}], {"turns": turns}))
    sides = [attributes["class"] for tag, attributes in page.tags if tag == "li"]
    assert sides == ["turn user", "turn assistant", "turn other"]
    assert {"Hi?", "Hello!", 'x"><b>'} <= set(page.text)


def test_code_keeps_its_lines_and_shows_what_would_deceive(tmp_path: Path) -> None:
    code = "if admin:\n    \u202egrant\u2066()\n\n"
    page = _Text(show(tmp_path, [{"name": "solution", "type": "code"}], {"solution": code}))
    assert sum(attributes.get("class") == "line" for _, attributes in page.tags) == 2
    assert {"U+202E", "U+2066"} <= set(page.text)
    assert "\u202e" not in "".join(page.text)
    assert {"dir": "ltr"}.items() <= next(attributes for tag, attributes in page.tags if tag == "pre").items()


def test_text_has_its_language_and_finds_its_own_direction(tmp_path: Path) -> None:
    text = "مرحبا، أين طلبي؟ 👩‍👩‍👧"
    page = _Text(show(tmp_path, [{"name": "text", "type": "text", "language": "ar"}], {"text": text}))
    shown = next(attributes for _, attributes in page.tags if attributes.get("lang") == "ar")
    assert shown["dir"] == "auto"
    assert text in page.text


def test_short_values_are_a_table_with_units_and_missing_values_are_said(tmp_path: Path) -> None:
    fields = [
        {"name": "mass", "type": "number", "unit": "kg", "role": "target"},
        {"name": "is_new", "type": "boolean"},
        {"name": "note", "type": "text", "nullable": True},
    ]
    page = "".join(_Text(show(tmp_path, fields, {"mass": 12.0, "is_new": True, "note": None})).text)
    assert re.search(r"mass\s+to predict\s+12 kg", page)
    assert re.search(r"is new\s+yes", page)
    assert "no value" in page


def test_items_without_content_are_named_at_once() -> None:
    spec = text_spec()
    sample = pl.DataFrame({"example_id": ["e0000", "gone"], "part": "random", "priority": [0, 1]})
    with pytest.raises(StoreError, match="content of 1 drawn examples is missing"):
        ReviewWork(spec, sample, make_texts(spec, 1))


# ---- without its script


def test_everything_works_by_plain_forms(site: ReviewSite) -> None:
    browser = site.browser()
    page = browser.get("/").text
    page = browser.post("/sign-in", data={"csrf": _field(page, "csrf"), "name": "Ada"}).text
    assert "Message number 0" in page
    hidden = {name: _field(page, name) for name in ("csrf", "example_id", "item_version", "token")}
    page = browser.post("/decide", data={**hidden, "decision": "accept"}).text
    assert "Message number 1" in page
    page = browser.post("/undo", data={name: _field(page, name) for name in ("csrf", "decision_id")}).text
    assert "Message number 0" in page
    page = browser.get("/?edit=1").text
    hidden = {name: _field(page, name) for name in ("csrf", "example_id", "item_version", "token")}
    page = browser.post("/edit", data={**hidden, "field.text": "Mended.\r\nTwice.", "field.intent": "refund"}).text
    assert "Message number 1" in page
    assert json.loads(site.store.edits("messages", ROUND)["content"][0])["text"] == "Mended.\nTwice."
    browser.post("/sign-out", data={"csrf": _field(page, "csrf")})
    assert "Who reviews?" in browser.get("/").text


def _field(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, f"no {name} in the page"
    return found.group(1)
