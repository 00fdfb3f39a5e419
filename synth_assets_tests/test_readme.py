"""The README tells the truth: commands exist, and the reference is the model's.

After a change of synth_assets/spec/ write the reference anew: python -m synth_assets_tests.test_readme
"""

from __future__ import annotations

import re
import types
import typing

from pydantic import BaseModel
from typer.main import get_command

from synth_assets.cli.app import app
from synth_assets.spec import DatasetSpec
from synth_assets_tests.paths import PROJECT

README = PROJECT / "README.md"
MARKS = ("<!-- reference -->\n", "<!-- /reference -->")


def section_of(annotation: object) -> type[BaseModel] | None:
    """Return the settings model inside an annotation, if there is one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in typing.get_args(annotation) if (found := section_of(part))), None)


def type_of(annotation: object) -> str:
    """Return an annotation as people write it."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " · ".join(str(part) for part in parts)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(type_of(part) for part in parts if part is not type(None))
    if origin is typing.Annotated:
        return type_of(parts[0])
    if origin is tuple:
        return f"list of {type_of(parts[0])}"
    names = {"str": "text", "int": "integer", "float": "number", "bool": "true/false", "date": "date"}
    return names.get(getattr(annotation, "__name__", ""), getattr(annotation, "__name__", str(annotation)))


def describe(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Return the table rows of a model, its sections below it."""
    lines: list[str] = []
    for name, field in model.model_fields.items():
        inner = section_of(field.annotation)
        if inner is not None:
            suffix = "[]." if typing.get_origin(field.annotation) is tuple else "."
            lines.append(f"| **{prefix}{name}** | | | {field.description} |")
            lines += describe(inner, f"{prefix}{name}{suffix}")
            continue
        if field.is_required():
            default = "*required*"
        else:
            value = field.get_default(call_default_factory=True)
            default = "" if value in (None, "", ()) else f"`{', '.join(value) if isinstance(value, tuple) else value}`"
        lines.append(
            f"| `{prefix}{name}` | {type_of(field.annotation)} | {default} | {field.description} |".replace("`,`", "`")
        )
    return [line.replace("joined by |)", "joined by \\|)") for line in lines]


def reference() -> str:
    return "\n".join(["| setting | type | default | meaning |", "|---|---|---|---|", *describe(DatasetSpec)]) + "\n"


def split_readme() -> tuple[str, str, str]:
    text = README.read_text(encoding="utf-8")
    head, rest = text.split(MARKS[0])
    table, tail = rest.split(MARKS[1])
    return head + MARKS[0], table, MARKS[1] + tail


def test_the_reference_is_the_models() -> None:
    assert split_readme()[1] == reference()


def test_every_command_of_the_readme_exists_and_every_command_is_in_it() -> None:
    named = set(re.findall(r"`synth ([a-z-]+)", README.read_text(encoding="utf-8")))
    assert named == set(get_command(app).commands)  # type: ignore[attr-defined]


def test_the_commands_of_the_readme_use_the_constraints() -> None:
    commands = re.findall(r"^python3 -m venv .*$", README.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(commands) == 2
    assert all("-c constraints.txt" in command for command in commands)


if __name__ == "__main__":
    head, _, tail = split_readme()
    README.write_text(head + reference() + tail, encoding="utf-8")
