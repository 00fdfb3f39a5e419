"""Label Studio: the review's items as its tasks, and its annotations as decisions.

Here: tasks out, annotations in, the labeling interface that fits both. Not here: spreadsheets (decisions.py), Label
Studio itself. Format: https://labelstud.io/guide/export (JSON) and https://labelstud.io/guide/predictions.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import polars as pl

from synth_assets.errors import StoreError
from synth_assets.review.decisions import DECISIONS, HUMAN, REASONS, REJECT, SKIP
from synth_assets.review.spreadsheets import judge_lines, read_text, reviewed_content, write_export
from synth_assets.spec import DatasetSpec, FieldSpec

_LINES = ("example_id", "decision", "reason", "reviewer", "seconds", "decided_at", "item_version")


def label_studio_interface(spec: DatasetSpec) -> str:
    """Return the labeling interface (XML) to paste into a Label Studio project that takes this data set's tasks."""
    shown = "\n".join(_show_field(field) for field in spec.content_fields)
    at = quoteattr(f"show_{spec.content_fields[0].name}")
    decisions = "".join(f'<Choice value="{name}"/>' for name in DECISIONS)
    reasons = "".join(f"<Choice value={quoteattr(code)} alias={quoteattr(code)}/>" for code in REASONS)
    return (
        f"<View>\n{shown}\n"
        f'  <Choices name="decision" toName={at} choice="single" required="true">{decisions}</Choices>\n'
        f'  <Choices name="reason" toName={at} choice="single" visibleWhen="choice-selected" '
        f'whenTagName="decision" whenChoiceValue="{REJECT}">{reasons}</Choices>\n'
        f'  <TextArea name="words" toName={at} maxSubmissions="1" placeholder="in your words"/>\n'
        f'  <TextArea name="reviewer" toName={at} maxSubmissions="1" placeholder="your name, if you share a login"/>\n'
        "</View>\n"
    )


def export_label_studio(
    sample: pl.DataFrame, content: pl.DataFrame, path: Path, decisions: pl.DataFrame | None = None
) -> Path:
    """Write the items as Label Studio tasks in serving order; return the path, whose name ends in .json.

    `sample`, `content`: as for decisions.export_sample. `decisions`: DecisionStore.effective; people's become
    annotations, those of machines predictions. StoreError if content is missing or the file cannot be written.

    {"data": {"example_id": "e1", "item_version": "…", "text": "…"}, "annotations": [], "predictions": []}
    """
    _require_json(path)
    items = reviewed_content(sample, content, path)
    field = next((name for name in items.columns if name not in ("example_id", "item_version")), "item")
    said: dict[str, list[dict[str, Any]]] = {}
    for row in [] if decisions is None else decisions.iter_rows(named=True):
        said.setdefault(row["example_id"], []).append(row)
    tasks = []
    for data in items.iter_rows(named=True):
        rows = said.get(data["example_id"], [])
        tasks.append(
            {
                "data": data,
                "annotations": [_annotation(row, field) for row in rows if row["reviewer_kind"] == HUMAN],
                "predictions": [
                    {"model_version": row["reviewer"], "result": _result(row, field)}
                    for row in rows
                    if row["reviewer_kind"] != HUMAN
                ],
            }
        )
    return write_export(path, json.dumps(tasks, ensure_ascii=False, indent=1, default=str))


def import_label_studio(
    path: Path, dataset: str, round_: str, sample: pl.DataFrame, *, reviewer: str | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the valid decisions of a Label Studio export (JSON), and the annotations that are none, with the reason.

    Frames and reasons are those of decisions.import_decisions; line is the task's place in the file, from 1. Who
    decided is what the reviewer field says, else the user's e-mail address or `label_studio:<id>`, else `reviewer`.
    A canceled annotation is a skip. Predictions are machines' and are not read. StoreError for no such file.
    """
    _require_json(path)
    try:
        tasks = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path}: not valid JSON: {error}; export the project as JSON") from error
    if not isinstance(tasks, list):
        raise StoreError(f"{path}: a list of tasks is expected; export the project as JSON")
    rows = [row for number, task in enumerate(tasks, start=1) for row in _read_task(number, task)]
    schema = {"line": pl.Int64(), "_fault": pl.String(), **dict.fromkeys(_LINES, pl.String())}
    return judge_lines(pl.DataFrame(rows, schema=schema), dataset, round_, sample, reviewer=reviewer)


def _show_field(field: FieldSpec) -> str:
    name, value = quoteattr(f"show_{field.name}"), quoteattr(f"${field.name}")
    title = f'  <Header value={quoteattr(field.name)} size="5"/>\n'
    if field.type == "messages":
        return f'{title}  <Paragraphs name={name} value={value} nameKey="role" textKey="content" layout="dialogue"/>'
    text = f"<Text name={name} value={value}/>"
    return title + (
        f'  <View style="white-space: pre; font-family: monospace">{text}</View>'
        if field.type == "code"
        else f"  {text}"
    )


def _annotation(row: dict[str, Any], field: str) -> dict[str, Any]:
    return {
        "result": _result(row, field),
        "lead_time": row["seconds"],
        "created_at": row["decided_at"],
        "was_cancelled": row["decision"] == SKIP,
    }


def _result(row: dict[str, Any], field: str) -> list[dict[str, Any]]:
    code, _, words = row["reason"].partition(": ")
    if code not in REASONS:
        code, words = "", row["reason"]
    written = {"decision": ("choices", row["decision"]), "reason": ("choices", code), "words": ("text", words)}
    written["reviewer"] = ("text", row["reviewer"])
    return [
        {
            "from_name": name,
            "to_name": f"show_{field}",
            "type": "choices" if kind == "choices" else "textarea",
            "value": {kind: [value]},
        }
        for name, (kind, value) in written.items()
        if value
    ]


def _read_task(number: int, task: Any) -> list[dict[str, Any]]:
    """A loop over annotations on purpose: each has its own fault."""
    data = task.get("data") if isinstance(task, dict) else None
    if not isinstance(data, dict):
        return [{"line": number, "_fault": "not_an_object"}]
    place = {
        "line": number,
        "example_id": _text(data.get("example_id")),
        "item_version": _text(data.get("item_version")),
    }
    given = task.get("annotations")
    annotations = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
    if not annotations:
        return [place]
    return [{**place, **_read_annotation(one)} for one in annotations]


def _read_annotation(annotation: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, str] = {}
    result = annotation.get("result")
    for part in result if isinstance(result, list) else []:
        value = part.get("value") if isinstance(part, dict) else None
        found = value.get("choices", value.get("text")) if isinstance(value, dict) else None
        first = found[0] if isinstance(found, list) and found else found
        if isinstance(first, str):
            said[str(part.get("from_name"))] = first
    reason, words = said.get("reason", ""), said.get("words", "")
    return {
        "decision": SKIP if annotation.get("was_cancelled") is True else said.get("decision"),
        "reason": f"{reason}: {words}" if reason and words else reason or words,
        "reviewer": said.get("reviewer") or _who(annotation.get("completed_by")),
        "seconds": _text(annotation.get("lead_time")),
        "decided_at": _text(annotation.get("created_at")),
    }


def _who(user: Any) -> str | None:
    if isinstance(user, dict):
        return _text(user.get("email")) or _who(user.get("id"))
    return f"label_studio:{user}" if isinstance(user, int) else None


def _text(value: Any) -> str | None:
    return str(value) if isinstance(value, str | int | float) else None


def _require_json(path: Path) -> None:
    if path.suffix.lower() != ".json":
        raise StoreError(f"{path}: the name must end in .json")
