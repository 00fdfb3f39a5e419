"""Prompts: a recipe's templates filled in for one request.

Here: the sandboxed template environment and what templates see. Not here: the templates (recipes/), which exemplars a
request has (requests.py), calling a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from synth_assets.errors import SpecError
from synth_assets.generation.language.protocol import Message
from synth_assets.generation.language.schema import RecordSchema
from synth_assets.generation.recipes import Recipe


class Prompts:
    """Fills in a recipe for a data set.

    Templates see: dataset, description, fields (name, type, description, unit, language of what is asked for), given
    (values of the stratum's fields), exemplars (JSON lines). What all requests share stands first and what a stratum's
    requests share next, so that a server's prefix cache can keep both.
    """

    def __init__(self, recipe: Recipe, schema: RecordSchema) -> None:
        self.recipe = recipe
        self.schema = schema
        self._shared: dict[str, Any] = {
            "dataset": schema.spec.name,
            "description": schema.spec.description,
            "fields": [
                bounds.field.model_dump(include={"name", "type", "description", "unit", "language"})
                for bounds in schema.bounds
            ],
        }

    def render(self, stratum: str, exemplars: Sequence[str], *, chat: bool) -> str | tuple[Message, ...]:
        """Return the prompt of one request: text for a completion model, messages for a chat model.

        SpecError if the recipe has no such template or its template fails.
        """
        content = {**self._shared, "given": self.schema.values_of(stratum), "exemplars": exemplars}
        return fill_recipe(self.recipe, content, chat=chat)


def fill_recipe(recipe: Recipe, content: Mapping[str, Any], *, chat: bool) -> str | tuple[Message, ...]:
    """Return the recipe's prompt with what its templates may see; SpecError if one is missing or fails."""
    if not chat:
        return _fill(recipe, "completion", content)
    return (Message("system", _fill(recipe, "system", content)), Message("user", _fill(recipe, "user", content)))


def _fill(recipe: Recipe, name: str, content: Mapping[str, Any]) -> str:
    source = recipe.templates.get(name)
    if source is None:
        raise SpecError(
            f"recipe {recipe.name} has no {name}.jinja; it cannot be used with this kind of model "
            "(generation.prompt: chat needs system.jinja and user.jinja, completion needs completion.jinja)"
        )
    try:
        return _compile(source).render(content)
    except Exception as error:  # a template is code, and all that it raises is its own fault
        raise SpecError(f"recipe {recipe.name}: {name}.jinja: {error}") from error


@lru_cache(maxsize=64)
def _compile(source: str) -> Template:
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False
    )
    # what would make a prompt differ from one run to the next
    del environment.filters["random"], environment.globals["lipsum"]
    return environment.from_string(source)
