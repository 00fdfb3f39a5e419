"""The guard: what every request and every answer must keep to, before and after the pages.

Here: hosts and origins, sizes, headers, rates, tokens against forged requests, reading bodies. Not here: who a reviewer
is (../accounts.py), pages (pages.py).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
MOST_BYTES = 64 * 1024
MOST_EDIT_BYTES = 1024 * 1024
EDIT_PATH = "/edit"
BODY = "review.body"
_BODY_SECONDS = 15.0
_MOST_FIELDS = 4000
_SAFE = ("GET", "HEAD", "OPTIONS")
_FORM = "application/x-www-form-urlencoded"


class BadRequest(Exception):
    """A request that cannot be read. status: 400, 413 or 415."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Guard:
    """Wraps an app: lets through what comes from an allowed host and origin and is small enough; adds HEADERS.

    hosts: what the Host header may say, lower case, port included. The body read here is in the scope under BODY.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message["headers"] if pair[0].lower().decode("latin-1") not in HEADERS]
                own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*kept, *own]}
            await send(message)

        try:
            self._check_source(scope)
            scope[BODY] = await _read_body(scope, receive)
        except BadRequest as error:
            as_json = "application/json" in _headers_of(scope).get("accept", "")
            told = {"error": str(error)} if as_json else str(error)
            kind = JSONResponse if as_json else PlainTextResponse
            answer = kind(told, error.status, headers={"connection": "close"})
            await answer(scope, receive, guarded)
            return
        await self._app(scope, receive, guarded)

    def _check_source(self, scope: Scope) -> None:
        headers = _headers_of(scope)
        if headers.get("host", "").lower() not in self._hosts:
            raise BadRequest(400, "This address is not the one the review is served at.")
        if scope["method"] in _SAFE:
            return
        origin = headers.get("origin")
        if origin is not None:
            parts = urlsplit(origin)
            if parts.scheme not in ("http", "https") or parts.netloc.lower() not in self._hosts:
                raise BadRequest(403, "Another site sent this.")
        elif headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise BadRequest(403, "Another site sent this.")


async def _read_body(scope: Scope, receive: Receive) -> bytes:
    if scope["method"] in _SAFE:
        return b""
    most = MOST_EDIT_BYTES if scope["path"] == EDIT_PATH else MOST_BYTES
    too_large = BadRequest(413, f"At most {most // 1024} KiB are taken.")
    length = _headers_of(scope).get("content-length", "0")
    if not length.isascii() or not length.isdigit() or int(length) > most:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise BadRequest(400, "The request ended early.")
                body += message.get("body", b"")
                if len(body) > most:
                    raise too_large
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise BadRequest(408, "The request took too long.") from None


def _headers_of(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def read_fields(body: bytes, content_type: str) -> dict[str, str]:
    """Return the fields of a form or of a JSON object with plain values, all as text; BadRequest for anything else."""
    kind = content_type.split(";", maxsplit=1)[0].strip().lower()
    try:
        if kind == "application/json":
            given = json.loads(body)
            if not isinstance(given, dict):
                raise BadRequest(400, "A JSON object is expected.")
            fields = {name: _text_of(value) for name, value in given.items() if value is not None}
        elif kind in (_FORM, ""):
            pairs = parse_qsl(
                body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS, encoding="utf-8"
            )
            fields = dict(pairs)
        else:
            raise BadRequest(415, "Send a form or JSON.")
        "".join([*fields, *fields.values()]).encode()
    except (ValueError, RecursionError) as error:
        raise BadRequest(400, "The request cannot be read.") from error
    if any("\x00" in text for pair in fields.items() for text in pair):
        raise BadRequest(400, "The request holds a zero byte.")
    return fields


def _text_of(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float | str):
        return str(value)
    raise BadRequest(400, "Values are text, numbers or true and false.")


def csrf_token(secret: str) -> str:
    """Return the token that a form must send beside the cookie with this secret; nobody else can work it out."""
    return hmac.new(secret.encode(), b"synth review form", hashlib.sha256).hexdigest()


def csrf_matches(secret: str, token: str) -> bool:
    """Whether a form's token belongs to the cookie's secret."""
    return bool(secret) and hmac.compare_digest(csrf_token(secret).encode(), token.encode())


@dataclass(frozen=True)
class Rate:
    """So many at once, and so many a second for long."""

    burst: float
    per_second: float


class RateLimiter:
    """Token buckets by key, the least recently used forgotten first."""

    def __init__(self, rate: Rate, *, most_keys: int = 10_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._most_keys = most_keys
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_for(self, key: str) -> float:
        """Take one; return 0, or how many seconds to wait where none is left."""
        with self._lock:
            now = self._clock()
            left, at = self._buckets.pop(key, (self._rate.burst, now))
            left = min(self._rate.burst, left + (now - at) * self._rate.per_second)
            wait = 0.0 if left >= 1 else (1 - left) / self._rate.per_second
            self._buckets[key] = (left if wait else left - 1, now)
            if len(self._buckets) > self._most_keys:
                self._buckets.popitem(last=False)
            return wait
