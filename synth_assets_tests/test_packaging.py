"""What is installed is all that is needed: pages, styles and recipes are part of the package."""

from __future__ import annotations

import tomllib

from synth_assets_tests.paths import PROJECT


def test_every_file_that_is_no_module_is_package_data() -> None:
    package = PROJECT / "synth_assets"
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["synth_assets"]
    shipped = {path for pattern in patterns for path in package.glob(pattern)}
    needed = {path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert needed
    assert needed - shipped == set()
