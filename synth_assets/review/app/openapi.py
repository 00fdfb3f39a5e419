"""The app's own API, described for tools: OpenAPI 3.1 of what answers in JSON.

Here: the description. Not here: what it describes (pages.py), which a test holds against it.
"""

from __future__ import annotations

from typing import Any

from synth_assets.review.decisions import DECISIONS, MAX_REASON, REASONS

_TEXT = {"type": "string"}
_WHICH = {
    "example_id": {"type": "string", "description": "As the item was served."},
    "item_version": {"type": "string", "description": "As the item was served."},
    "token": {
        "type": "string",
        "minLength": 1,
        "maxLength": 100,
        "description": "Chosen by the sender (the item brings one); the same token again is the same decision.",
    },
    "seconds": {"type": "number", "minimum": 0, "description": "Time spent; never counted beyond what has passed."},
}
_ERROR = {"type": "object", "required": ["error"], "properties": {"error": _TEXT}}
_STATE = {
    "type": "object",
    "required": ["item", "progress", "csrf"],
    "properties": {
        "item": {
            "type": ["object", "null"],
            "required": ["example_id", "item_version", "token", "content"],
            "properties": {"example_id": _TEXT, "item_version": _TEXT, "token": _TEXT, "content": {"type": "object"}},
        },
        "progress": {"type": "object", "required": ["decided", "complete", "total", "minutes", "minutes_planned"]},
        "csrf": {"type": "string", "description": "To be sent as X-CSRF-Token."},
        "decision_id": {"type": "string", "description": "Of the decision that is now on disk."},
        "errors": {"type": "object", "additionalProperties": _TEXT},
    },
}


def describe_api(cookie: str) -> dict[str, Any]:
    """Return the OpenAPI document; `cookie` names the session's cookie."""
    look = {"200": _answer("The item in hand, null where there is none.", _STATE)}
    taken = {"200": _answer("It is on disk; the next item.", _STATE)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Review", "version": "1"},
        "security": [{"session": []}],
        "components": {"securitySchemes": {"session": {"type": "apiKey", "in": "cookie", "name": cookie}}},
        "paths": {
            "/": {"get": _operation("Look at the item in hand.", look, query={"again": _TEXT, "edit": _TEXT})},
            "/verdicts": {
                "get": _operation(
                    "What the filters said about an item in hand.",
                    {"200": _answer("One entry a filter.", {"type": "object", "required": ["verdicts"]})},
                    query={"item": _TEXT},
                )
            },
            "/team": {
                "get": _operation("Who has done what (leads).", {"200": _answer("By name.", {"type": "object"})})
            },
            "/decide": {
                "post": _operation(
                    "Decide an item.",
                    taken,
                    body={
                        **_WHICH,
                        "decision": {"enum": list(DECISIONS)},
                        "reason": {"enum": list(REASONS), "description": "Of a reject."},
                        "words": {"type": "string", "maxLength": MAX_REASON},
                    },
                    required=["example_id", "item_version", "token", "decision"],
                )
            },
            "/edit": {
                "post": _operation(
                    "Mend an item: field.<name> for each field that changes.",
                    taken,
                    body=_WHICH,
                    required=["example_id", "item_version", "token"],
                )
            },
            "/undo": {
                "post": _operation("Take the last decision back.", look, body={"decision_id": _TEXT}, required=[])
            },
            "/renew": {
                "post": _operation(
                    "Keep an item in hand for longer.",
                    {"204": {"description": "Done."}},
                    body={"example_id": _TEXT},
                    required=["example_id"],
                )
            },
        },
    }


def _operation(
    summary: str,
    answers: dict[str, Any],
    *,
    query: dict[str, Any] | None = None,
    body: dict[str, Any] | None = None,
    required: list[str] | None = None,
) -> dict[str, Any]:
    refusals = {
        "400": "It cannot be read.",
        "401": "Nobody is signed in.",
        "403": "The token or the role is missing, or another site sent it.",
        "404": "The item is not in the reviewer's hands.",
        "405": "Another method is needed.",
        "409": "The item or the review has changed.",
        "413": "It is too large.",
        "415": "It is no form and no JSON.",
        "422": "A value is not allowed.",
        "429": "Too fast; see Retry-After.",
        "503": "The database does not answer; nothing was stored.",
    }
    found: dict[str, Any] = {
        "summary": summary,
        "responses": {**answers, **{code: _answer(why, _refusal(code)) for code, why in refusals.items()}},
    }
    if query:
        found["parameters"] = [{"name": name, "in": "query", "schema": schema} for name, schema in query.items()]
    if body is not None:
        more = {"type": ["string", "number", "boolean", "null"]}
        schema = {"type": "object", "properties": body, "required": required or [], "additionalProperties": more}
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return found


def _refusal(code: str) -> dict[str, Any]:
    return {"anyOf": [_ERROR, _STATE]} if code == "422" else _ERROR


def _answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
