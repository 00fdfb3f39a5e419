"""A made-up OpenAI-compatible server in a process of its own: at once by default, hostile where told to be.

    python -m synth_assets_tests.generation.fake_server --port 0 --fault status=503,first=20,retry_after=0.1

Here: the server, and `start_fake` which runs one for a test. Not here: a language model; an answer is a function of
prompt and seed (`expected_text`), so that a test can tell which row it belongs to. The port is printed once it listens.

A fault is one action (status=CODE | truncate | reset | hang | garbage | die) and when it strikes: first=N (the first N
work requests), after=N (all later ones), every=N; with probes=1 it strikes probes too, with health=1 the health routes
are silent from the same moment on. Some words in a prompt always decide its fate: OVERFLOW, BAD, POISON, REFUSE.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.request import urlopen

from synth_assets_tests.paths import PROJECT

MODEL = "fake-1"
CONTEXT = 4096
_PHRASES = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}
_PAD = "a reply of the usual length, made up"


def expected_text(prompt: str, seed: int) -> str:
    """Return what a fake server answers: about 70 characters of JSON that only this prompt and seed give."""
    return f'{{"row": "{zlib.crc32(prompt.encode()):08x}-{seed}", "text": "{_PAD}"}}'


@dataclass
class Fake:
    """A running server: its base URL and its process."""

    url: str
    process: subprocess.Popen[str]

    def stats(self) -> dict[str, Any]:
        """Return what it counted: work, probes, aborted, most_in_flight."""
        with urlopen(f"{self.url.removesuffix('/v1')}/stats", timeout=5) as reply:
            return json.load(reply)

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        self.process.kill()
        self.process.wait()


@contextmanager
def start_fake(*arguments: str | float) -> Iterator[Fake]:
    """Run a fake server in its own process and end it afterwards."""
    command = [sys.executable, "-m", __name__, "--port", "0", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield Fake(f"http://127.0.0.1:{port}/v1", process)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


class Fault:
    """One way to misbehave, and when."""

    def __init__(self, text: str) -> None:
        settings = dict(part.partition("=")[::2] for part in text.split(","))
        self.action = next(iter(settings))
        self.status = int(settings.get("status") or 0)
        self.retry_after = settings.get("retry_after", "")
        self.message = settings.get("message", "as told")
        self.first, self.after, self.every = (int(settings.get(name, 0)) for name in ("first", "after", "every"))
        self.probes, self.health = "probes" in settings, "health" in settings

    def strikes(self, number: int) -> bool:
        """Say whether the work request of that number (from 1) is hit."""
        if self.first:
            return number <= self.first
        if self.every:
            return number % self.every == 0
        return number > self.after


class State:
    """Settings of the server and its counts, shared by its connections."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.faults = [Fault(text) for text in options.fault]
        self.work = self.probes = self.aborted = self.in_flight = self.most_in_flight = 0

    def count(self) -> str:
        counts = ("work", "probes", "aborted", "most_in_flight")
        return json.dumps({name: getattr(self, name) for name in counts})

    def pick_fault(self, is_probe: bool) -> Fault | None:
        if is_probe:
            return next((fault for fault in self.faults if fault.probes and fault.strikes(self.work + 1)), None)
        return next((fault for fault in self.faults if fault.strikes(self.work)), None)


class Connection(asyncio.Protocol):
    """One client connection; requests on it are answered one after the other."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.buffer = b""
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self.busy:
            self.state.in_flight -= 1
            self.state.aborted += 1

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end]
            mark = head.lower().find(b"content-length:")
            length = int(head[mark + 15 :].split(b"\r\n", 1)[0]) if mark >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            body, self.buffer = self.buffer[end + 4 : end + 4 + length], self.buffer[end + 4 + length :]
            method, path, _ = head.split(b" ", 2)
            self.answer_request(method.decode(), path.decode().partition("?")[0], head, body)

    def answer_request(self, method: str, path: str, head: bytes, body: bytes) -> None:
        options = self.state.options
        if path == "/stats":
            self.send(200, self.state.count())
        elif path in ("/health", "/version") or method == "GET":
            self.answer_query(path, head)
        elif options.token and f"bearer {options.token}".encode() not in head.replace(b"Bearer", b"bearer"):
            self.send(401, '{"error": "Unauthorized"}')
        elif path == "/v1/completions":
            asked = json.loads(body)
            self.answer_work(asked, asked["prompt"], False)
        elif path == "/v1/chat/completions" and not options.no_chat_route:
            asked = json.loads(body)
            if options.no_template:
                self.send_error(400, "default chat template is no longer allowed, you must provide a chat template")
            else:
                self.answer_work(asked, "\n".join(message["content"] for message in asked["messages"]), True)
        else:
            self.send(404, '{"detail": "Not Found"}')

    def answer_query(self, path: str, head: bytes) -> None:
        options = self.state.options
        sick = any(fault.health and fault.strikes(self.state.work + 1) for fault in self.state.faults)
        if sick and path in ("/health", "/v1/models"):
            return
        if path == "/version" and not options.plain:
            self.send(200, '{"version": "0.32.0"}')
        elif path == "/health" and not options.plain:
            self.send(200, "")
        elif path == "/v1/models":
            if options.token and f"Bearer {options.token}".encode() not in head:
                self.send(401, '{"error": "Unauthorized"}')
            else:
                extra = {} if options.plain else {"max_model_len": CONTEXT}
                self.send(200, json.dumps({"data": [{"id": options.model, **extra}]}))
        else:
            self.send(404, '{"detail": "Not Found"}')

    def answer_work(self, asked: dict[str, Any], prompt: str, chat: bool) -> None:
        state, options = self.state, self.state.options
        word = self.wanted_word(asked)
        is_probe = word is not None or asked["max_tokens"] == 1
        if is_probe:
            state.probes += 1
        else:
            state.work += 1
        self.busy = True
        state.in_flight += 1
        state.most_in_flight = max(state.most_in_flight, state.in_flight)
        if asked["model"] != options.model:
            return self.send_error(404, f"The model `{asked['model']}` does not exist.", kind="NotFoundError")
        if "response_format" in asked and options.constraint == "refuse":
            return self.send_error(400, "response_format is not supported")
        marked = asked.get("vllm_xargs", {}).get("synth_watermark", 0)
        if options.marks and marked not in (0, 1):
            return self.send_error(400, "synth_watermark: write 1 to mark this request")
        if (fault := state.pick_fault(is_probe)) is not None:
            return self.misbehave(fault)
        if state.options.queue and state.in_flight > state.options.queue:
            return self.send_error(503, "the queue is full")
        text = word if word is not None else expected_text(prompt, asked["seed"])
        if options.latency and not is_probe:
            loop = asyncio.get_running_loop()
            loop.call_later(options.latency, self.send_work, asked, prompt, text, chat)
            return None
        return self.send_work(asked, prompt, text, chat)

    def wanted_word(self, asked: dict[str, Any]) -> str | None:
        """Return the answer to a constraint probe as this server gives it; None for any other request."""
        forms = {
            "json_schema": asked.get("response_format", {}).get("json_schema", {}).get("schema"),
            "structured_outputs": asked.get("structured_outputs", {}).get("json"),
        }
        for form, schema in forms.items():
            words = (schema or {}).get("properties", {}).get("answer", {}).get("enum")
            if words:
                honored = self.state.options.constraint in ("both", form) or (
                    self.state.options.constraint == "refuse" and form == "structured_outputs"
                )
                return json.dumps({"answer": words[0]}) if honored else "Sure! Here is a word: banana."
        return None

    def send_work(self, asked: dict[str, Any], prompt: str, text: str, chat: bool) -> None:
        if self.transport.is_closing():
            return None
        reason = "stop"
        if "OVERFLOW" in prompt:
            message = f"This model's maximum context length is {CONTEXT} tokens. However, your prompt contains more."
            return self.send_error(400, message, param="input_tokens")
        if "BAD" in prompt:
            return self.send_error(400, "this prompt cannot be read")
        if "POISON" in prompt:
            return self.send_error(500, "internal error")
        if "REFUSE" in prompt:
            text, reason = "", "content_filter"
        choice: dict[str, Any] = {"index": 0, "finish_reason": reason}
        choice |= {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        if asked.get("return_token_ids"):
            choice["token_ids"] = [5, 6, 7]
        used = min(20, asked["max_tokens"])
        usage = {"prompt_tokens": len(prompt) // 4, "completion_tokens": used}
        if self.state.options.show_request and "banana" not in text:
            choice["text" if not chat else "message"] = (
                json.dumps(asked) if not chat else {"role": "assistant", "content": json.dumps(asked)}
            )
        return self.send(200, json.dumps({"id": "x", "choices": [choice], "usage": usage}))

    def misbehave(self, fault: Fault) -> None:
        if fault.action == "status":
            self.send_error(fault.status, fault.message, retry_after=fault.retry_after)
        elif fault.action == "truncate":
            self.transport.write(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"choices": [')
            self.transport.close()
        elif fault.action == "reset":
            self.transport.write(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"choices": [')
            self.transport.abort()
        elif fault.action == "garbage":
            self.send(200, '{"choices": [{"text": "half an answ')
        elif fault.action == "die":
            os._exit(1)
        elif fault.action != "hang":
            raise SystemExit(f"no such fault: {fault.action}")

    def send_error(self, status: int, message: str, *, kind: str = "", param: str = "", retry_after: str = "") -> None:
        error = {"message": message, "type": kind or "BadRequestError", "param": param or None, "code": status}
        self.send(status, json.dumps({"error": error}), f"Retry-After: {retry_after}\r\n" if retry_after else "")

    def send(self, status: int, text: str, headers: str = "") -> None:
        if self.busy:
            self.busy = False
            self.state.in_flight -= 1
        body = text.encode()
        phrase = _PHRASES.get(status, "Error")
        headers += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.transport.write(f"HTTP/1.1 {status} {phrase}\r\n{headers}".encode() + body)


async def serve(options: argparse.Namespace) -> None:
    """Listen, print the port, and answer until killed."""
    state = State(options)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(state), "127.0.0.1", options.port, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--token", default="", help="bearer token that requests must carry")
    parser.add_argument("--plain", action="store_true", help="do not say that this is vLLM")
    parser.add_argument("--no-template", action="store_true", help="a model without chat template")
    parser.add_argument("--no-chat-route", action="store_true")
    parser.add_argument("--constraint", default="both", help="both | json_schema | structured_outputs | refuse | none")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before an answer's first byte")
    parser.add_argument("--queue", type=int, default=0, help="requests in flight beyond which 503 is answered")
    parser.add_argument("--start-after", type=float, default=0.0, help="seconds before it listens")
    parser.add_argument("--show-request", action="store_true", help="answer with the request itself")
    parser.add_argument("--marks", action="store_true", help="read the watermark's arguments as our processor does")
    parser.add_argument("--fault", action="append", default=[])
    options = parser.parse_args()
    if options.start_after:
        print(options.port, flush=True)
        time.sleep(options.start_after)
    try:
        import uvloop as loops
    except ImportError:
        import asyncio as loops
    loops.run(serve(options))


if __name__ == "__main__":
    main()
