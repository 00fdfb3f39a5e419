"""Front matter: the YAML in the first comment of a .sql file, and faults told by file and line.

Here: reading a file into its settings and its query. Not here: whether the query is good (safe_select, models).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, ValidationError
from pydantic import field_validator as validate_field
from pydantic import model_validator as validate_model

from synth_assets.errors import SpecError
from synth_assets.monitoring.sql_models.schemas import LAKE_SCHEMAS, asset_of
from synth_assets.spec import MAX_SPEC_BYTES, StrictLoader

Severity = Literal["warn", "error"]
Grain = Literal["dataset", "dataset_round"]

PLAIN_NAME = r"^[A-Za-z_][A-Za-z0-9_]{0,62}$"
_MODEL_NAME = re.compile(r"^(?!.*__)[a-z][a-z0-9_]{0,62}$")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Relationship(_Model):
    """Every value of the column stands in another table of the same data set."""

    to: str = Field(pattern=PLAIN_NAME, description="Model or lake view that must hold the value.")
    field: str = Field(pattern=PLAIN_NAME, description="Its column.")


class ColumnTest(_Model):
    """One test of a column; nulls fail not_null only."""

    unique: Literal[True] | None = Field(None, description="No two rows have the same value.")
    not_null: Literal[True] | None = Field(None, description="Every row has a value.")
    accepted_values: tuple[StrictStr | StrictBool | StrictInt | StrictFloat, ...] | None = Field(
        None, min_length=1, description="The values that may stand there."
    )
    relationships: Relationship | None = Field(None, description="The table that must hold the values too.")

    @validate_model(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {value: True} if isinstance(value, str) else value

    @validate_model(mode="after")
    def _one(self) -> ColumnTest:
        if len(self.model_fields_set) != 1:
            raise ValueError(f"one test an item is expected; tests are {', '.join(type(self).model_fields)}")
        return self


class ColumnSettings(_Model):
    """One output column."""

    description: str = Field(min_length=1, description="What the values are.")
    tests: tuple[ColumnTest, ...] = Field((), description="unique, not_null, accepted_values, relationships.")


class ExpressionTest(_Model):
    """A SQL condition that every row must meet, or all rows together if it aggregates; null counts as not met."""

    expression: str = Field(min_length=1, description="The condition, e.g. sum(rows_in) = sum(rows_out).")
    name: str | None = Field(None, pattern=PLAIN_NAME, description="Name of the check; expression_1, … if left out.")
    severity: Severity | None = Field(None, description="Instead of the model's severity.")


class FrontMatter(_Model):
    """What a .sql file says about its model."""

    description: str = Field(min_length=1, description="What a row is and what it is for.")
    partitioned: Grain = Field(description="Whether it is computed for a data set or for each of its rounds.")
    severity: Severity = Field(
        "error", description="error: a failed test stops what reads the model; warn: it does not."
    )
    columns: dict[Annotated[str, Field(pattern=PLAIN_NAME)], ColumnSettings] = Field(
        {}, description="Output columns by name."
    )
    tests: tuple[ExpressionTest, ...] = Field((), description="Conditions on rows or on all rows.")

    @validate_field("columns")
    @classmethod
    def _distinct(cls, columns: dict[str, ColumnSettings]) -> dict[str, ColumnSettings]:
        if len({name.casefold() for name in columns}) != len(columns):
            raise ValueError("two columns differ in upper and lower case only; SQL does not tell them apart")
        return columns


@dataclass(frozen=True)
class Draft:
    """A file as read: the query keeps its line numbers (front matter lines are blank)."""

    name: str
    path: Path
    text: str
    front: FrontMatter
    lines: Lines

    def fail(self, message: str, line: int | None = None) -> SpecError:
        """Return the error to raise: the message with file and line."""
        where = f"{self.path}, line {line}" if line else f"{self.path}"
        return SpecError(f"{where}: {message}")

    @property
    def partition_parameters(self) -> tuple[str, ...]:
        """Return the parameters that hold the partition: dataset, or dataset and round."""
        return ("dataset", "round") if self.front.partitioned == "dataset_round" else ("dataset",)

    def check_parameters(self, used: frozenset[str], allowed: Sequence[str], line: int | None = None) -> None:
        """Raise SpecError for a parameter that is not among the allowed ones."""
        for name in sorted(used - set(allowed)):
            raise self.fail(f"unknown parameter ${name}; there are {', '.join(f'${name}' for name in allowed)}", line)


def read_draft(path: Path) -> Draft:
    """Read a file's front matter and query; SpecError names file and line of what is wrong."""
    name = path.stem
    if not _MODEL_NAME.match(name):
        raise SpecError(
            f"{path}: '{name}' is no model name; allowed are a–z, 0–9 and single _, starting with a letter, at most 63"
        )
    if name in {asset_of(view) for view in LAKE_SCHEMAS}:
        raise SpecError(f"{path}: '{name}' is an asset of the platform; choose another file name")
    try:
        if path.stat().st_size > MAX_SPEC_BYTES:
            raise SpecError(f"{path}: a file of at most {MAX_SPEC_BYTES:,} bytes is expected")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8") from error
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from error
    yaml_text, first_line, body = _split_front_matter(path, text)
    front, lines = _parse_front_matter(path, yaml_text, first_line)
    if not body.strip():
        raise SpecError(f"{path}: there is no query below the front matter")
    return Draft(name, path, body, front, lines)


def _split_front_matter(path: Path, text: str) -> tuple[str, int, str]:
    """Return the YAML, the line it starts on, and the text with the comment blanked out."""
    lines = text.split("\n")
    start = next((i for i, line in enumerate(lines) if line.strip()), 0)
    head = lines[start].lstrip()
    comment: list[str] = []
    if head.startswith("/*"):
        end = next((i for i in range(start, len(lines)) if "*/" in lines[i]), None)
        if end is None:
            raise SpecError(f"{path}, line {start + 1}: the comment is never closed; close the front matter by */")
        comment = lines[start : end + 1]
        comment[0] = comment[0].replace("/*", "", 1)
        before, _, after = comment[-1].partition("*/")
        comment[-1] = before
        rest = ["" for _ in comment[:-1]] + [after]
    else:
        while start + len(comment) < len(lines) and lines[start + len(comment)].lstrip().startswith("--"):
            comment.append(lines[start + len(comment)].lstrip().removeprefix("--"))
        rest = ["" for _ in comment]
        indented = all(line.startswith(" ") or not line.strip() for line in comment)
        comment = [line[1:] for line in comment] if indented else comment
    marks = [i for i, line in enumerate(comment) if line.strip() == "---"]
    if len(marks) != 2:
        raise SpecError(
            f"{path}, line {start + 1}: a file starts with a comment that holds its front matter, YAML between two "
            f"lines `---`; found {len(marks)} such lines in the first comment"
        )
    first, last = marks
    body = "\n".join([*lines[:start], *rest, *lines[start + len(comment) :]])
    return "\n".join(comment[first + 1 : last]), start + first + 2, body


@dataclass(frozen=True)
class Lines:
    """Finds the line of a place in the front matter."""

    root: yaml.Node | None
    first: int

    def find(self, place: Sequence[int | str]) -> int:
        node, line = self.root, self.first
        for part in place:
            if isinstance(node, yaml.MappingNode):
                hit = next(((k, v) for k, v in node.value if k.value == str(part)), None)
                if hit is None:
                    break
                line, node = hit[0].start_mark.line + self.first, hit[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                line = node.start_mark.line + self.first
            else:
                break
        return line


def _parse_front_matter(path: Path, text: str, first: int) -> tuple[FrontMatter, Lines]:
    loader = StrictLoader(text)
    try:
        node = loader.get_single_node()
        content = loader.construct_document(node) if node is not None else None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = (mark.line if mark else 0) + first
        problem = getattr(error, "problem", None) or error
        raise SpecError(f"{path}, line {line}: the front matter is not valid YAML: {problem}") from error
    finally:
        loader.dispose()
    lines = Lines(node, first)
    if not isinstance(content, dict):
        raise SpecError(f"{path}, line {first}: the front matter must be a mapping: {', '.join(_keys(('',)))}")
    try:
        return FrontMatter.model_validate(content), lines
    except ValidationError as error:
        faults = [_explain(problem, path, lines) for problem in error.errors()]
        raise SpecError("\n".join(dict.fromkeys(faults))) from error


def _explain(problem: Any, path: Path, lines: Lines) -> str:
    place = problem["loc"]
    where = f"{path}, line {lines.find(place)}: {'.'.join(str(part) for part in place)}"
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown; allowed here: {', '.join(_keys(place))}"
    if problem["type"] == "missing":
        return f"{where}: is missing"
    return f"{where}: {problem['msg'].removeprefix('Value error, ')}"


def _keys(place: tuple[int | str, ...]) -> Sequence[str]:
    """Return the keys allowed beside the last part of a place."""
    match place:
        case (_,):
            allowed: type[BaseModel] = FrontMatter
        case ("columns", _, _):
            allowed = ColumnSettings
        case ("columns", _, "tests", _, "relationships", *_):
            allowed = Relationship
        case ("columns", *_):
            allowed = ColumnTest
        case _:
            allowed = ExpressionTest
    return list(allowed.model_fields)
