"""Recipes: how examples of a kind are asked for; one folder each under synth_assets/recipes/.

Here: finding and reading a recipe and its templates. Not here: the recipes themselves, filling them in (prompts.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from synth_assets.errors import SpecError
from synth_assets.records import digest_text
from synth_assets.spec import read_yaml

RECIPES = Path(__file__).resolve().parent.parent / "recipes"
TEMPLATES = ("completion", "system", "user")


@dataclass(frozen=True)
class Recipe:
    """A recipe, its Jinja templates by name, and the digest of everything in its folder."""

    name: str
    description: str
    digest: str
    templates: dict[str, str]


def list_recipes() -> list[str]:
    """Return the names of all recipes, in order."""
    return sorted(path.parent.name for path in RECIPES.glob("*/recipe.yaml"))


def load_recipe(name: str) -> Recipe:
    """Return the recipe of that name; SpecError lists what there is."""
    if name not in list_recipes():
        raise SpecError(f"generation.recipe: '{name}' is no recipe; there are: {', '.join(list_recipes())}")
    folder = RECIPES / name
    content = read_yaml(folder / "recipe.yaml")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    texts = {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in files}
    return Recipe(
        name=content["name"],
        description=content["description"],
        digest=digest_text(*(f"{path}\n{text}" for path, text in texts.items())),
        templates={name: texts[f"{name}.jinja"] for name in TEMPLATES if f"{name}.jinja" in texts},
    )
