"""Recipes: what a language model is told, to write examples or to judge them; one folder each under recipes/.

Here: finding and reading a recipe and its templates. Not here: the recipes, filling them in (language/prompts.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from synth_assets.errors import SpecError
from synth_assets.records import digest_text
from synth_assets.spec import read_yaml

GENERATE, JUDGE = "generate", "judge"
RECIPES = Path(__file__).resolve().parent.parent / "recipes"
TEMPLATES = ("completion", "system", "user")


@dataclass(frozen=True)
class Recipe:
    """A recipe, its Jinja templates by name, and the digest of everything in its folder."""

    name: str
    use: str
    description: str
    digest: str
    templates: dict[str, str]


def list_recipes(use: str = GENERATE) -> list[str]:
    """Return the names of all recipes for a use (generate | judge), in order."""
    found = sorted(path.parent for path in RECIPES.glob("*/recipe.yaml"))
    return [folder.name for folder in found if read_yaml(folder / "recipe.yaml").get("use", GENERATE) == use]


def load_recipe(name: str, use: str = GENERATE) -> Recipe:
    """Return the recipe of that name for that use; SpecError lists what there is."""
    if name not in list_recipes(use):
        setting = "judge.recipe" if use == JUDGE else "generation.recipe"
        raise SpecError(f"{setting}: '{name}' is no recipe to {use} with; there are: {', '.join(list_recipes(use))}")
    folder = RECIPES / name
    content = read_yaml(folder / "recipe.yaml")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    texts = {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in files}
    return Recipe(
        name=content["name"],
        use=content.get("use", GENERATE),
        description=content["description"],
        digest=digest_text(*(f"{path}\n{text}" for path, text in texts.items())),
        templates={name: texts[f"{name}.jinja"] for name in TEMPLATES if f"{name}.jinja" in texts},
    )
