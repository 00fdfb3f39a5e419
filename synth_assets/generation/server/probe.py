"""Probes: what a server is, and whether it does what a run needs of it, found out before it gets work.

Here: sessions, the check (model served, prompt kind, JSON Schema held to) and the health probe. Not here: when a server
is probed and what follows (exchange.py, dispatch.py).
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import string
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from synth_assets.generation.language.protocol import Call, Message, Sampling
from synth_assets.generation.server.wire import (
    JSON_SCHEMA,
    STRUCTURED_OUTPUTS,
    Address,
    BodyWriter,
    Credentials,
    Facts,
    Trouble,
    explain_exception,
    judge_status,
    read_answer,
    shorten,
)
from synth_assets.generation.watermark.requested import MARK

AUTO, CHAT, COMPLETION = "auto", "chat", "completion"
_IDLE_SECONDS = 4.0  # uvicorn, and so vLLM, closes idle connections after 5
_QUESTION = "Answer with one made-up word, as JSON."
_NO_ROUTE = (404, 405)
_SHORT, _LONG = 64, 2048
_MOST_BYTES = 64 << 20
_NO_CHAT = re.compile(r"chat.?template|not a chat model|unknown (route|url|path|endpoint)|no such route", re.IGNORECASE)
_MARK_ADVICE = "serve the model with `synth serve` and the key of the data set, or take generation.watermark out"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Unreachable(Exception):
    """A server that cannot be asked just now; the text is the reason."""


class Unfit(Exception):
    """A server that answers, but not as a run needs; the text says what is wrong and what to do."""


@dataclass(frozen=True)
class Wanted:
    """What a server must offer.

    names: of the model; the first that is served counts. prompt: auto | chat | completion. bos: the text that starts
    every completion prompt, empty to leave that to the server. mark: the watermark's arguments, None for no mark.
    """

    names: tuple[str, ...]
    prompt: str
    bos: str
    credentials: Credentials
    mark: Mapping[str, int | float | str] | None = None


Ask = Callable[[URL, bytes | None], Awaitable[tuple[int, bytes]]]


def open_session(address: Address, credentials: Credentials, connect_seconds: float) -> aiohttp.ClientSession:
    """Return a session for one server: kept-alive connections in any number, no time limit on an answer."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds),
        headers={"Content-Type": "application/json", "Accept-Encoding": "identity", **address.authorize(credentials)},
        proxy=find_proxy(address.models),
    )


def find_proxy(url: URL) -> str | None:
    """Return the proxy that the environment names for a URL; never one for this machine's own servers."""
    if url.host is None or url.host in _LOOPBACK or proxy_bypass(url.host):
        return None
    return getproxies().get(url.scheme)


async def check_server(session: aiohttp.ClientSession, address: Address, wanted: Wanted, seconds: float) -> Facts:
    """Return a server's facts once it serves the model and holds its answers to a schema.

    Unreachable where it cannot be asked or stumbles, Unfit where it would not do the work.
    """

    async def ask(url: URL, body: bytes | None = None) -> tuple[int, bytes]:
        status, answer = await _request(session, url, body, seconds)
        trouble, message = judge_status(status, answer)
        if trouble is Trouble.TOKEN:
            raise Unfit(f"{address} answers {status}: {wanted.credentials.explain_refusal()}")
        if trouble in (Trouble.BUSY, Trouble.FAULT):
            raise Unreachable(wanted.credentials.hide(message))
        return status, answer

    version = _read_version(*await _request(session, address.version, None, seconds))
    model, max_model_len = _find_model(*await ask(address.models, None), address=address, names=wanted.names)
    facts = Facts(model, version, max_model_len, wanted.prompt == CHAT, JSON_SCHEMA)
    if wanted.prompt != COMPLETION:
        facts = await _try_chat(ask, address, facts, wanted)
    facts = await _try_constraint(ask, address, facts, wanted)
    if wanted.mark is not None:
        await _try_mark(ask, address, facts, wanted)
    return facts


async def probe_health(session: aiohttp.ClientSession, address: Address, is_vllm: bool, seconds: float) -> str:
    """Return why a server seems dead; empty where it lives."""
    try:
        status, _ = await _request(session, address.health if is_vllm else address.models, None, seconds)
    except Unreachable as error:
        return str(error)
    return f"its health probe answers {status}" if status >= 500 else ""


async def read_body(response: aiohttp.ClientResponse) -> bytes:
    """Return a whole body, unless it is beyond any answer's size: then it is broken."""
    if response.content_length is not None and response.content_length <= _MOST_BYTES:
        return await response.read()
    parts, size = [], 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > _MOST_BYTES:
            response.close()
            raise aiohttp.ClientPayloadError("endless")
    return b"".join(parts)


async def _request(session: aiohttp.ClientSession, url: URL, body: bytes | None, seconds: float) -> tuple[int, bytes]:
    try:
        async with asyncio.timeout(seconds):
            method = "GET" if body is None else "POST"
            async with session.request(method, url, data=body, allow_redirects=False) as response:
                return response.status, await read_body(response)
    except (aiohttp.ClientError, OSError) as error:
        raise Unreachable(explain_exception(error)) from None


def _read_version(status: int, body: bytes) -> str:
    try:
        return str(json.loads(body)["version"]) if status == 200 else ""
    except (ValueError, KeyError, TypeError):
        return ""


def _find_model(status: int, body: bytes, *, address: Address, names: Sequence[str]) -> tuple[str, int | None]:
    if status != 200:
        raise Unfit(
            f"{address.models} answers {status}: no list of models; write the base URL into generation.server.urls, "
            "which most often ends in /v1"
        )
    try:
        served = {card["id"]: card.get("max_model_len") for card in json.loads(body)["data"]}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Unfit(f"{address.models} does not answer with a list of models; is it OpenAI-compatible?") from None
    for name in names:
        if name in served:
            return name, served[name]
    listed = ", ".join(map(str, list(served)[:20])) or "nothing"
    raise Unfit(f"{address} does not serve the model '{names[0]}'; it serves {shorten(listed)} (see generation.model)")


async def _try_chat(ask: Ask, address: Address, facts: Facts, wanted: Wanted) -> Facts:
    """Find out whether prompts can be messages, by the smallest one."""
    chat = replace(facts, chat=True)
    status, body = await ask(address.chat, _write_question(chat, "", 1))
    if status == 400 and b"max_completion_tokens" in body:
        chat = replace(chat, limit_name="max_completion_tokens")
        status, body = await ask(address.chat, _write_question(chat, "", 1))
    if status == 200:
        return chat
    message = judge_status(status, body)[1]
    if wanted.prompt == AUTO and (status in _NO_ROUTE or _NO_CHAT.search(message)):
        return replace(facts, chat=False)
    advice = "; a model without chat template needs generation.prompt: completion" if wanted.prompt == CHAT else ""
    raise Unfit(f"{address.chat} refuses a chat completion, {wanted.credentials.hide(message)}{advice}")


async def _try_constraint(ask: Ask, address: Address, facts: Facts, wanted: Wanted) -> Facts:
    """Find the form in which the server holds its answers to a schema: one whose answer nobody can guess."""
    tried = []
    for form in (JSON_SCHEMA, STRUCTURED_OUTPUTS) if facts.is_vllm else (JSON_SCHEMA,):
        facts = replace(facts, constraint=form)
        outcome = await _ask_for_word(ask, address, facts, wanted.bos)
        if not outcome:
            return facts
        sent = "response_format" if form == JSON_SCHEMA else form
        tried.append(f"{sent} was sent and {wanted.credentials.hide(outcome)}")
    raise Unfit(
        f"{address} does not hold its answers to a JSON Schema: {'; '.join(tried)}. Serve the model with structured "
        "outputs (`synth serve` does, vLLM by default), or take this URL out of generation.server.urls"
    )


async def _ask_for_word(ask: Ask, address: Address, facts: Facts, bos: str) -> str:
    """Return what came instead of the word that the schema dictates; empty where the schema was kept."""
    outcome = ""
    limit = _SHORT
    for temperature in (0.0, 1.0):
        word = "".join(random.choices(string.ascii_lowercase, k=8))
        properties = {"answer": {"type": "string", "enum": [word]}}
        schema = {"type": "object", "properties": properties, "required": ["answer"], "additionalProperties": False}
        body = _write_question(facts, json.dumps(schema), limit, temperature, bos=bos)
        url = address.chat if facts.chat else address.completions
        status, content = await ask(url, body)
        if status in _NO_ROUTE:
            raise Unfit(f"{url} answers {judge_status(status, content)[1]}; see generation.prompt and generation.model")
        if status != 200:
            return f"refused with {judge_status(status, content)[1]}"
        answer = read_answer(content)
        if answer is None:
            return "answered with what cannot be read"
        if word in answer.text:
            return ""
        outcome = f"ignored: the answer had to be '{word}' and was '{shorten(answer.text)[:80]}'"
        if not answer.text.strip():
            limit = _LONG  # a model that thinks first has not come to its answer
    return outcome


async def _try_mark(ask: Ask, address: Address, facts: Facts, wanted: Wanted) -> None:
    """Make sure that the mark is put on: vLLM without our processor takes any argument and ignores it."""
    if not facts.is_vllm:
        raise Unfit(f"{address} cannot put the watermark on: it does not say that it is vLLM; {_MARK_ADVICE}")
    url = address.chat if facts.chat else address.completions
    status, body = await ask(url, _write_question(facts, "", 1, mark=wanted.mark))
    if status != 200:
        message = wanted.credentials.hide(judge_status(status, body)[1])
        raise Unfit(f"{address} refuses the watermark, {message}; {_MARK_ADVICE}")
    status, _ = await ask(url, _write_question(facts, "", 1, mark={MARK: -1}))
    if status == 200:
        raise Unfit(f"{address} ignores the watermark: it took an argument that our processor refuses; {_MARK_ADVICE}")


def _write_question(
    facts: Facts,
    schema: str,
    max_tokens: int,
    temperature: float = 0.0,
    *,
    bos: str = "",
    mark: Mapping[str, int | float | str] | None = None,
) -> bytes:
    prompt = (Message("user", _QUESTION),) if facts.chat else _QUESTION
    call = Call(prompt, seed=random.randrange(1 << 31), max_tokens=max_tokens, schema=schema)
    return BodyWriter(facts, Sampling(temperature, 0, 0.0, mark), bos=bos).write(call)
