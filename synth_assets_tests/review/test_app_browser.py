"""The review app in a real browser: by keyboard alone, two reviewers at once, on a phone, in the dark, for axe."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from synth_assets.review.decisions import DecisionStore
from synth_assets_tests.browsers import find_violations, needs_browser, open_browser
from synth_assets_tests.review_apps import ROUND, Server, item_of, press, running, sign_in_by_keyboard

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    SignIn = Callable[..., Page]

DESKTOP = {"viewport": {"width": 1280, "height": 860}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}

SMALL_TARGETS = """
[...document.querySelectorAll("a, button, summary, input:not([type=hidden]), select, textarea")]
  .filter(one => one.offsetParent && !one.matches(".jump, [type=checkbox]") && one.getBoundingClientRect().height < 44)
  .map(one => one.outerHTML.slice(0, 80))
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as found:
        yield found


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    with running(Server(f"sqlite:///{tmp_path / 'ops.db'}", n=getattr(request, "param", 60))) as found:
        yield found


@pytest.fixture
def sign_in(browser: Browser, server: Server) -> Iterator[Callable[..., Page]]:
    """Open a window of its own for a name and sign in by keyboard; what a page complains about fails the test."""
    windows, complaints = [], []

    def note(message: Any) -> None:
        if message.type == "error":
            complaints.append(message.text)

    def open_window(name: str, **how: Any) -> Page:
        windows.append(browser.new_context(**how))
        page = windows[-1].new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        sign_in_by_keyboard(page, f"http://127.0.0.1:{server.port}/", name)
        return page

    yield open_window
    for window in windows:
        window.close()
    assert complaints == []


@needs_browser
def test_sixty_items_by_keyboard_as_two_reviewers_at_once(sign_in: SignIn, server: Server, tmp_path: Path) -> None:
    ada, bob = sign_in("Ada", **DESKTOP), sign_in("Bob", **DESKTOP)
    assert item_of(ada) != item_of(bob)

    mended = item_of(ada)
    ada.keyboard.press("e")
    ada.wait_for_selector("[data-edit] textarea")
    ada.keyboard.press("Control+a")
    ada.keyboard.type("A message that says what it wants: a refund, r and a are letters here.")
    press(ada, "Control+Enter")

    undone = item_of(bob)
    press(bob, "r", "3")
    press(bob, "u")
    assert item_of(bob) == undone
    press(bob, "a")

    skipped = item_of(ada)
    press(ada, "s")
    flagged = item_of(bob)
    press(bob, "f")
    other = item_of(ada)
    ada.keyboard.press("r")
    ada.keyboard.press("7")
    ada.keyboard.type("two questions in one")
    press(ada, "Enter")

    turn = 0
    while "reviewed" in ada.inner_text("#how-far") and not ada.inner_text("#how-far").startswith("59"):
        press((ada, bob)[turn % 2], "a")
        turn += 1
    last = next(page for page in (ada, bob) if item_of(page))
    press(last, "a")
    last.wait_for_selector("text=That was the last one")
    last.screenshot(path=tmp_path / "finished.png")

    store = DecisionStore(server.url)
    effective = store.effective("messages", ROUND)
    said = {
        row["example_id"]: (row["decision"], row["reason"])
        for row in effective.rows(named=True)
        if row["decision"] != "skip"
    }
    assert len(said) == 60
    assert said[mended] == ("reject", "edited")
    assert said[undone] == ("accept", "")
    assert said[flagged] == ("flag", "")
    assert said[other] == ("reject", "other: two questions in one")
    assert said[skipped] == ("accept", "")
    assert set(effective["reviewer"]) == {"Ada", "Bob"}
    assert json.loads(store.edits("messages", ROUND)["content"].item())["text"].endswith("r and a are letters here.")
    assert effective["seconds"].min() >= 0  # type: ignore[operator]


@needs_browser
def test_verdicts_and_help_open_and_close_by_keyboard(sign_in: SignIn, server: Server) -> None:
    page = sign_in("Ada", **DESKTOP)
    assert not page.is_visible("#verdicts")
    page.keyboard.press("v")
    page.wait_for_selector("#verdicts table")
    assert page.locator("[data-verdicts]").get_attribute("aria-expanded") == "true"
    page.keyboard.press("v")
    page.wait_for_selector("#verdicts", state="hidden")
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")
    before = item_of(page)
    page.keyboard.press("a")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="hidden")
    assert item_of(page) == before


@needs_browser
def test_shortcuts_can_be_switched_off(sign_in: SignIn, server: Server) -> None:
    page = sign_in("Ada", **DESKTOP)
    page.keyboard.press("?")
    page.uncheck("#shortcuts")
    page.click("dialog button")
    before = item_of(page)
    page.keyboard.press("a")
    page.click("[data-key=s]")
    page.wait_for_function("before => document.querySelector('#desk').dataset.item !== before", arg=before)
    assert DecisionStore(server.url).decisions("messages", ROUND)["decision"].to_list() == ["skip"]


@needs_browser
def test_what_a_screen_reader_follows_moves_with_the_items(sign_in: SignIn, server: Server) -> None:
    page = sign_in("Ada", **DESKTOP)
    press(page, "a")
    assert page.evaluate("document.activeElement.id") == "item-title"
    assert page.inner_text("[role=status]") == "Accepted. 1 of 60 reviewed"
    page.keyboard.press("r")
    assert page.evaluate("document.activeElement.textContent.trim()").endswith("wrong label")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"


@needs_browser
def test_a_decision_made_while_the_server_is_away_arrives_once_it_is_back(browser: Browser, server: Server) -> None:
    window = browser.new_context()
    page = window.new_page()
    page.goto(f"http://127.0.0.1:{server.port}/")
    page.fill("#name", "Ada")
    page.keyboard.press("Enter")
    page.wait_for_selector("#how-far")
    server.kill()
    page.keyboard.press("a")
    page.wait_for_selector("text=Not saved yet")
    server.start()
    page.wait_for_selector("text=1 of 60 reviewed")
    window.close()
    assert DecisionStore(server.url).decisions("messages", ROUND).height == 1


@needs_browser
@pytest.mark.parametrize("server", [60, 0], ids=["messages", "mixed"], indirect=True)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", ["desktop", "phone"])
def test_axe_finds_nothing_and_nothing_overflows(
    sign_in: SignIn, server: Server, tmp_path: Path, device: str, scheme: str
) -> None:
    how = {**(DESKTOP if device == "desktop" else PHONE), "color_scheme": scheme, "reduced_motion": "reduce"}
    page = sign_in("Ada Lovelace of Ockham Park", **how)

    def check(name: str) -> None:
        page.screenshot(path=tmp_path / f"{device}-{scheme}-{name}.png")
        assert find_violations(page) == [], name
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        assert page.evaluate(SMALL_TARGETS) == [], name

    check("item")
    page.click("text=What the filters said")
    page.wait_for_selector("#verdicts table")
    check("verdicts")
    page.click("summary")
    check("reasons")
    page.keyboard.press("Escape")
    page.click("[data-key=e]")
    page.wait_for_selector("[data-edit]")
    check("fix")
    page.click("text=Cancel")
    page.click("[data-key=a]")
    page.wait_for_selector("[data-key=u]")
    check("decided")
    page.goto(f"http://127.0.0.1:{server.port}/team")
    check("team")
    page.goto(f"http://127.0.0.1:{server.port}/sign-in")
    check("sign-in")
