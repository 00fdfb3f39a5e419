"""The wire of OpenAI-compatible servers: addresses, request bodies, and what their answers and errors mean.

Here: pure functions of bytes, text and exceptions. Not here: sending anything (probe.py, exchange.py), and
what an error means for a server as a whole (dispatch.py).
"""

from __future__ import annotations

import base64
import errno
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any

import aiohttp
from pydantic import SecretStr
from yarl import URL

from synth_assets.generation.language.protocol import REFUSED, Answer, Call, Message, Sampling

JSON_SCHEMA, STRUCTURED_OUTPUTS = "json_schema", "structured_outputs"
_MOST_SCHEMAS = 256
_WORDS = 300
_OVERFLOW = re.compile(
    r"maximum context length|context_length_exceeded|context window|maximum model length|available context size"
    r"|prompt is too long|max_tokens=\d+ cannot be greater",
    re.IGNORECASE,
)
_OVERFLOW_PARAMETERS = frozenset({"input_tokens", "input_text"})
_BROKEN_OFF = frozenset({"abort", "error"})
_REFUSALS = frozenset({"content_filter", "content_policy_violation"})


class Credentials:
    """The bearer token and the name of the environment variable it came from; no text form of it shows the token."""

    def __init__(self, variable: str | None = None, token: str = "") -> None:
        self.variable = variable
        self._token = SecretStr(token)

    def headers(self) -> dict[str, str]:
        token = self._token.get_secret_value()
        return {"Authorization": f"Bearer {token}"} if token else {}

    def hide(self, text: str) -> str:
        """Return a server's words without the token, should it have repeated it."""
        token = self._token.get_secret_value()
        return text.replace(token, "…") if token else text

    def explain_refusal(self) -> str:
        """Return what to do about a 401 or 403."""
        if self.variable is None:
            return (
                "it wants a token: put it into an environment variable and name that variable in "
                "generation.server.api_key_env"
            )
        return f"it does not accept the token in the environment variable {self.variable}"


class Address:
    """Where a server is; credentials written into its URL are kept apart and never shown."""

    def __init__(self, url: str) -> None:
        whole = URL(url)
        base = whole.with_user(None).with_query(None).with_fragment(None)
        self._query = whole.query
        self._base = base.with_path(base.path.rstrip("/"))
        self._root = self._base.with_path(re.sub(r"/v\d+$", "", self._base.path))
        self._user = (whole.user or "", whole.password or "") if whole.user or whole.password else None
        self.completions = self.route("completions")
        self.chat = self.route("chat/completions")
        self.models = self.route("models")
        self.version = self._root.joinpath("version")
        self.health = self._root.joinpath("health")

    def route(self, name: str) -> URL:
        """Return the URL of a route under the base."""
        return self._base.joinpath(*name.split("/")).with_query(self._query)

    def authorize(self, credentials: Credentials) -> dict[str, str]:
        """Return the headers that open this server: the URL's own credentials, else the token."""
        if self._user is not None:
            pair = base64.b64encode(":".join(self._user).encode()).decode()
            return {"Authorization": f"Basic {pair}"}
        return credentials.headers()

    def __str__(self) -> str:
        return str(self._base)

    def __repr__(self) -> str:
        return f"Address('{self}')"


@dataclass(frozen=True)
class Facts:
    """What a probe found out about a server; version is empty unless it says that it is vLLM."""

    model: str
    version: str
    max_model_len: int | None
    chat: bool
    constraint: str
    limit_name: str = "max_tokens"

    @property
    def is_vllm(self) -> bool:
        return bool(self.version)


class BodyWriter:
    """Writes request bodies for one server and one sampling; what does not change from call to call is encoded once."""

    def __init__(self, facts: Facts, sampling: Sampling, *, bos: str = "") -> None:
        self._facts, self._sampling = facts, sampling
        self._bos = bos if facts.is_vllm else ""
        self._limit = f',"{facts.limit_name}":'
        self._tails: dict[tuple[str, bool], str] = {}

    def write(self, call: Call) -> bytes:
        """Return the body of a completion (the prompt is text) or chat completion (it is messages)."""
        prompt = call.prompt
        if isinstance(prompt, str):
            if self._bos and not prompt.startswith(self._bos):
                prompt = self._bos + prompt
            head, tail = '{"prompt":' + json.dumps(prompt), self._tail(call.schema, False)
        else:
            head, tail = '{"messages":' + _write_messages(prompt), self._tail(call.schema, True)
        return f'{head},"seed":{call.seed}{self._limit}{call.max_tokens}{tail}'.encode("ascii")

    def _tail(self, schema: str, chat: bool) -> str:
        tail = self._tails.get((schema, chat))
        if tail is None:
            if len(self._tails) >= _MOST_SCHEMAS:
                self._tails.clear()
            tail = "," + json.dumps(self._constants(schema, chat), separators=(",", ":"))[1:]
            self._tails[schema, chat] = tail
        return tail

    def _constants(self, schema: str, chat: bool) -> dict[str, Any]:
        facts, sampling = self._facts, self._sampling
        body: dict[str, Any] = {"model": facts.model, "temperature": sampling.temperature}
        if facts.is_vllm:
            # top_p and repetition_penalty are named because vLLM else takes them from the model's generation_config
            body |= {"top_k": sampling.top_k, "min_p": sampling.min_p, "top_p": 1.0, "repetition_penalty": 1.0}
            body["return_token_ids"] = True
            if self._bos and not chat:
                body["add_special_tokens"] = False
            if sampling.mark:
                body["vllm_xargs"] = dict(sampling.mark)
        return body | (constrain(json.loads(schema), facts.constraint) if schema else {})


def constrain(schema: dict[str, Any], form: str) -> dict[str, Any]:
    """Return the body fields that hold an answer to a schema, in the form a server understands."""
    if form == STRUCTURED_OUTPUTS:
        return {"structured_outputs": {"json": schema}}
    wanted = {"name": "record", "schema": schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": wanted}}


def _write_messages(messages: Sequence[Message]) -> str:
    turns = [f'{{"role":{json.dumps(turn.role)},"content":{json.dumps(turn.content)}}}' for turn in messages]
    return f"[{','.join(turns)}]"


def read_answer(body: bytes) -> Answer | None:
    """Return the answer in a 200 body; None where the body is broken or the server broke the answer off."""
    try:
        content = json.loads(body)
        choice = content["choices"][0]
        message = choice.get("message")
        refusal = None if message is None else message.get("refusal")
        text = (choice["text"] if message is None else message.get("content")) or ""
        usage = content.get("usage") or {}
        ids = choice.get("token_ids")
        finish = choice.get("finish_reason") or "stop"
        if finish in _BROKEN_OFF:
            return None
        if refusal or finish in _REFUSALS:
            finish = REFUSED
        if not text.isascii():  # half a surrogate pair would break every frame that the text comes into
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return Answer(
            text,
            finish,
            int(usage.get("prompt_tokens") or 0),
            int(usage.get("completion_tokens") or 0),
            None if ids is None else tuple(ids),
            "" if finish != REFUSED else f"the model declined: {shorten(refusal or 'its content filter')}",
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return None


class Trouble(Enum):
    """What a failed request is about, and so what becomes of it."""

    NONE = "none"
    OVERFLOW = "overflow"  # this row does not fit the context
    REFUSED = "refused"  # this row is declined
    ROW = "row"  # this row is not accepted, and never will be
    BUSY = "busy"  # the server takes no more just now
    FAULT = "fault"  # the server stumbled; it may pass
    TOKEN = "token"  # noqa: S105 - not a password: the token is missing or wrong
    SETUP = "setup"  # model, route or address are wrong for every request


def judge_status(status: int, body: bytes) -> tuple[Trouble, str]:
    """Return what a status means, with the server's own words where it is not 200."""
    if status == 200:
        return Trouble.NONE, ""
    error = _read_error(body)
    message = f"{status}: {error['message']}" if error["message"] else str(status)
    if status in (401, 403):
        return Trouble.TOKEN, message
    if status in (429, 503):
        return Trouble.BUSY, message
    if status in (408, 425) or (status >= 500 and status != 501):
        return Trouble.FAULT, message
    if status in (402, 404, 405) or status < 400:
        return Trouble.SETUP, message
    if error["param"] in _OVERFLOW_PARAMETERS or _OVERFLOW.search(f"{error['code']} {error['message']}"):
        return Trouble.OVERFLOW, message
    return (Trouble.REFUSED if error["code"] in _REFUSALS else Trouble.ROW), message


def _read_error(body: bytes) -> dict[str, str]:
    """Return message, param and code of an error body; servers write it in many ways, or as a page."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {"message": shorten(body.decode("utf-8", "replace")), "param": "", "code": ""}
    error = content.get("error", content) if isinstance(content, dict) else content
    if not isinstance(error, dict):
        return {"message": shorten(str(error)), "param": "", "code": ""}
    message = error.get("message") or error.get("detail") or error
    return {
        "message": shorten(message if isinstance(message, str) else json.dumps(message)),
        "param": str(error.get("param") or ""),
        "code": str(error.get("code") or ""),
    }


def read_retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds of a Retry-After header (a number or a date; now: Unix time); None without one."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (TypeError, ValueError):
        return None


def explain_exception(error: BaseException) -> str:
    """Return what broke a request, in words without addresses (they may hold a password) or headers."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name cannot be resolved"
    if isinstance(error, (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError)):
        return "its TLS certificate is not accepted"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it closed the connection"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "its answer was cut off"
    if isinstance(error, aiohttp.InvalidURL):
        return "its URL cannot be used"
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, OSError):
        return os.strerror(error.errno).lower() if error.errno else "the connection failed"
    return f"its answer is not HTTP ({type(error).__name__})"


def is_out_of_files(error: BaseException) -> bool:
    """Say whether it is this machine that has no file descriptors left, which no server can help."""
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)


def shorten(text: str) -> str:
    """Return text on one line and not longer than an error message should be."""
    line = " ".join(text.split())
    return line if len(line) <= _WORDS else line[: _WORDS - 1] + "…"
