"""From the file to the model, with one readable error for every fault; and its JSON Schema for editors.

Here: YAML without tricks, validation, messages. Not here: any setting.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from synth_assets.errors import SpecError
from synth_assets.spec.dataset import DatasetSpec

MAX_SPEC_BYTES = 1_000_000


class StrictLoader(yaml.SafeLoader):
    """Safe YAML without aliases (no expansion bombs) and without repeated keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.constructor.ConstructorError(None, None, "aliases (*name) are not allowed here", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """Return the content of a small YAML file; SpecError names file, line and what is wrong."""
    try:
        size = path.stat().st_size
        if size > MAX_SPEC_BYTES:
            raise SpecError(f"{path}: {size:,} bytes; a file of at most {MAX_SPEC_BYTES:,} is expected")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SpecError(f"{path}: there is no such file; `synth init NAME FILE…` writes one") from None
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8") from error
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return yaml.load(text, Loader=StrictLoader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise SpecError(f"{path}{where}: not valid YAML: {getattr(error, 'problem', None) or error}") from error


def load_spec(path: Path) -> DatasetSpec:
    """Read a dataset.yaml; SpecError lists every fault with file, field, value and what is allowed."""
    path = Path(path)
    if path.is_dir():
        path = path / "dataset.yaml"
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise SpecError(f"{path}: a mapping of settings is expected, found {type(content).__name__}")
    spec = parse_spec(content, where=str(path))
    if path.name == "dataset.yaml" and path.parent.name != spec.name:
        raise SpecError(f"{path}: name: '{spec.name}' must be the folder's name, '{path.parent.name}'")
    return spec


def parse_spec(content: dict[str, Any], *, where: str) -> DatasetSpec:
    """Validate settings; SpecError lists every fault, each starting with `where`."""
    try:
        return DatasetSpec.model_validate(content)
    except ValidationError as error:
        problems = error.errors()
        faulty = [problem["loc"] for problem in problems]
        # pydantic also counts the valid items of a list whose items are wrong; that echo helps nobody
        told = [
            p
            for p in problems
            if not any(len(loc) > len(p["loc"]) and loc[: len(p["loc"])] == p["loc"] for loc in faulty)
        ]
        raise SpecError("\n".join(_explain(problem, where) for problem in told)) from error


def _explain(problem: Any, where: str) -> str:
    field = ".".join(str(part) for part in problem["loc"]) or "(whole file)"
    value = json.dumps(problem["input"], default=str)
    value = value if len(value) <= 80 else value[:77] + "…"
    if problem["type"] == "missing":
        return f"{where}: {field}: is missing; {_describe(problem['loc'])}"
    if problem["type"] == "extra_forbidden":
        return f"{where}: {field}: unknown setting (value {value}); allowed here: {_allowed(problem['loc'])}"
    message = problem["msg"].removeprefix("Value error, ")
    if isinstance(problem["input"], dict):
        return f"{where}: {field}: {message}"
    return f"{where}: {field}: {value}: {message}"


def _model_at(location: tuple[Any, ...]) -> type[BaseModel]:
    model: type[BaseModel] = DatasetSpec
    for part in location:
        if isinstance(part, int) or part not in model.model_fields:
            continue
        candidates = [model.model_fields[part].annotation]
        while candidates:
            kind = candidates.pop()
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                model = kind
                break
            candidates.extend(getattr(kind, "__args__", ()))
    return model


def _allowed(location: tuple[Any, ...]) -> str:
    return ", ".join(_model_at(location[:-1]).model_fields)


def _describe(location: tuple[Any, ...]) -> str:
    info = _model_at(location[:-1]).model_fields.get(str(location[-1]))
    return (info.description or "required") if info else "required"


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of dataset.yaml, for editors."""
    schema = DatasetSpec.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
