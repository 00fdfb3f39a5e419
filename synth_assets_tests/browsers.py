"""The real browser that tests use, and when they may do without.

Here: Chromium through Playwright, the mark for tests that need it, accessibility checks by axe. Not here: any test.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from synth_assets_tests.models import REQUIRE_VARIABLE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BROWSER_VARIABLE = "SYNTH_TEST_BROWSER"
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_PROGRAM = os.environ.get(BROWSER_VARIABLE) or next(filter(None, map(shutil.which, _NAMES)), None)
_LACKING = [name for name in ("playwright", "axe_playwright_python") if find_spec(name) is None]
_MISSING = (
    f"needs Chromium ({BROWSER_VARIABLE} or on the path) and pip packages playwright and axe-playwright-python"
    if _LACKING or not _PROGRAM
    else ""
)


def needs_browser(test):
    """Mark a test that drives Chromium: skipped with a reason where there is none, an error where CI needs it."""
    if _MISSING and os.environ.get(REQUIRE_VARIABLE) == "1":
        raise RuntimeError(f"{REQUIRE_VARIABLE}=1, but {_MISSING}")
    return pytest.mark.skipif(bool(_MISSING), reason=_MISSING)(test)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start the system's Chromium without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=_PROGRAM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            browser.close()


def find_violations(page: Page) -> list[str]:
    """Return what axe finds against WCAG 2.2 A and AA and its own best practices: rule and first element."""
    from axe_playwright_python.sync_playwright import Axe

    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]
