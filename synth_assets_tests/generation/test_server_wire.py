"""The wire of servers: what is shown of an address, what a body holds, what answers and errors mean."""

from __future__ import annotations

import errno
import json
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth_assets.generation.language.protocol import REFUSED, Answer, Call, Message, Sampling
from synth_assets.generation.server.probe import find_proxy
from synth_assets.generation.server.wire import (
    Address,
    BodyWriter,
    Credentials,
    Facts,
    Trouble,
    explain_exception,
    is_out_of_files,
    judge_status,
    read_answer,
    read_retry_after,
)

VLLM = Facts("m", "0.32.0", 4096, False, "json_schema")
OTHER = Facts("m", "", None, True, "json_schema")
SAMPLING = Sampling(0.7, 0, 0.05)


def write(call: Call, facts: Facts = VLLM, *, bos: str = "") -> dict[str, Any]:
    return json.loads(BodyWriter(facts, SAMPLING, bos=bos).write(call))


def test_routes_lie_under_the_base_and_the_health_at_the_root() -> None:
    address = Address("http://host:8000/llm/v1/")
    assert str(address.completions) == "http://host:8000/llm/v1/completions"
    assert str(address.chat) == "http://host:8000/llm/v1/chat/completions"
    assert str(address.version) == "http://host:8000/llm/version"
    assert str(address.health) == "http://host:8000/llm/health"
    assert str(Address("https://host/openai?api-version=3").models) == "https://host/openai/models?api-version=3"


def test_credentials_in_an_address_are_used_and_not_shown() -> None:
    address = Address("http://me:p%40ss@host:8000/v1")
    assert str(address) == "http://host:8000/v1"
    assert "p@ss" not in repr(address) + str(address.models)
    assert address.authorize(Credentials("T", "token")) == {"Authorization": "Basic bWU6cEBzcw=="}


def test_the_token_is_used_and_not_shown() -> None:
    credentials = Credentials("T", "secret-token")
    assert Address("http://host/v1").authorize(credentials) == {"Authorization": "Bearer secret-token"}
    assert Address("http://host/v1").authorize(Credentials()) == {}
    assert "secret-token" not in repr(credentials) + repr(vars(credentials))
    assert credentials.hide("wrong key secret-token!") == "wrong key …!"


@given(st.text(), st.integers(0, 2**63 - 1), st.integers(1, 10**6))
def test_any_prompt_arrives_as_it_is(prompt: str, seed: int, max_tokens: int) -> None:
    sent = write(Call(prompt, seed, max_tokens))
    assert (sent["prompt"], sent["seed"], sent["max_tokens"]) == (prompt, seed, max_tokens)


@given(st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), st.text()), min_size=1))
def test_any_messages_arrive_as_they_are(turns: list[tuple[str, str]]) -> None:
    sent = write(Call(tuple(Message(*turn) for turn in turns), 1, 8), OTHER)
    assert [(turn["role"], turn["content"]) for turn in sent["messages"]] == turns
    assert "prompt" not in sent


def test_a_schema_is_sent_in_the_form_that_the_server_holds_to() -> None:
    schema = '{"type": "object"}'
    assert write(Call("p", 1, 8, schema))["response_format"]["json_schema"]["schema"] == {"type": "object"}
    own = Facts("m", "0.32.0", None, False, "structured_outputs")
    sent = write(Call("p", 1, 8, schema), own)
    assert sent["structured_outputs"] == {"json": {"type": "object"}}
    assert "response_format" not in sent
    assert not {"structured_outputs", "response_format"} & write(Call("p", 1, 8)).keys()


def test_the_start_token_goes_before_completions_on_vllm_alone() -> None:
    assert write(Call("p", 1, 8), bos="<s>")["prompt"] == "<s>p"
    assert write(Call("p", 1, 8), bos="<s>")["add_special_tokens"] is False
    assert write(Call("p", 1, 8), OTHER, bos="<s>")["prompt"] == "p"
    assert "add_special_tokens" not in write(Call((Message("user", "p"),), 1, 8), bos="<s>")


def test_the_name_of_the_token_limit_is_the_servers() -> None:
    sent = write(
        Call((Message("user", "p"),), 1, 8), Facts("m", "", None, True, "json_schema", "max_completion_tokens")
    )
    assert sent["max_completion_tokens"] == 8
    assert "max_tokens" not in sent


def test_many_schemas_do_not_pile_up() -> None:
    writer = BodyWriter(VLLM, SAMPLING)
    for i in range(2000):
        writer.write(Call("p", 1, 8, json.dumps({"title": str(i)})))
    assert len(writer._tails) <= 256


def answer_body(choice: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}, **more}).encode()


def test_answers_of_both_routes_are_read() -> None:
    assert read_answer(answer_body({"text": "a", "finish_reason": "length"})) == Answer("a", "length", 3, 2)
    chat = {"message": {"content": "b", "refusal": None}, "finish_reason": "stop", "token_ids": [4, 5]}
    assert read_answer(answer_body(chat)) == Answer("b", "stop", 3, 2, (4, 5))
    assert read_answer(b'{"choices": [{"text": "c"}]}') == Answer("c", "stop")
    thinking = {"message": {"content": None, "reasoning": "hm"}, "finish_reason": "length"}
    assert read_answer(answer_body(thinking)) == Answer("", "length", 3, 2)


@pytest.mark.parametrize(
    "choice",
    [
        {"message": {"content": None, "refusal": "I would rather not"}, "finish_reason": "stop"},
        {"text": "", "finish_reason": "content_filter"},
    ],
)
def test_a_declined_prompt_is_refused(choice: dict[str, Any]) -> None:
    answer = read_answer(answer_body(choice))
    assert answer is not None
    assert answer.finish_reason == REFUSED
    assert "declined" in answer.error


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"<html>",
        b'{"choices": [',
        b'{"choices": []}',
        b'{"choices": [{"finish_reason": "stop"}]}',
        b'{"choices": [{"text": ["a"]}]}',
        b'{"choices": [{"text": "a", "finish_reason": "abort"}]}',
        b'{"choices": [{"text": "a"}], "usage": {"completion_tokens": "many"}}',
        b'{"choices": [{"text": "\xff"}]}',
        b"[" * 100_000,
    ],
)
def test_a_broken_body_is_no_answer(body: bytes) -> None:
    assert read_answer(body) is None


def test_half_a_surrogate_pair_does_not_get_through() -> None:
    answer = read_answer(b'{"choices": [{"text": "\\ud83d\\ude00 and \\ud83d"}]}')
    assert answer is not None
    assert answer.text == "\U0001f600 and \ufffd"


def error_body(message: str, **more: Any) -> bytes:
    return json.dumps({"error": {"message": message, **more}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "trouble"),
    [
        (200, b"", Trouble.NONE),
        (400, error_body("This model's maximum context length is 64 tokens.", param="input_tokens"), Trouble.OVERFLOW),
        (400, error_body("too long", code="context_length_exceeded"), Trouble.OVERFLOW),
        (400, error_body("max_tokens=99999 cannot be greater than max_model_len=64."), Trouble.OVERFLOW),
        (400, error_body("max_tokens must be at least 1", param="max_tokens"), Trouble.ROW),
        (400, error_body("blocked", code="content_filter"), Trouble.REFUSED),
        (400, b"<html>Bad Request</html>", Trouble.ROW),
        (422, b'{"detail": [{"msg": "field required"}]}', Trouble.ROW),
        (401, b'{"error": "Unauthorized"}', Trouble.TOKEN),
        (403, b"", Trouble.TOKEN),
        (404, error_body("The model `x` does not exist."), Trouble.SETUP),
        (307, b"", Trouble.SETUP),
        (402, error_body("pay first"), Trouble.SETUP),
        (429, b"", Trouble.BUSY),
        (503, b"[" * 100_000, Trouble.BUSY),
        (408, b"", Trouble.FAULT),
        (425, b"", Trouble.FAULT),
        (500, error_body("boom"), Trouble.FAULT),
        (502, b"<html>", Trouble.FAULT),
        (504, b"", Trouble.FAULT),
        (501, b"", Trouble.ROW),
    ],
)
def test_a_status_means(status: int, body: bytes, trouble: Trouble) -> None:
    assert judge_status(status, body)[0] is trouble


def test_the_servers_words_are_kept_short_and_on_one_line() -> None:
    assert judge_status(500, error_body("boom\n  at line 3"))[1] == "500: boom at line 3"
    assert judge_status(422, b'{"detail": "Not Found"}')[1] == "422: Not Found"
    assert len(judge_status(500, b"x" * 10**6)[1]) < 320


def test_retry_after_is_read_as_seconds_or_date() -> None:
    assert read_retry_after("2.5", 0.0) == 2.5
    assert read_retry_after("-3", 0.0) == 0.0
    assert read_retry_after("Thu, 01 Jan 1970 00:02:00 GMT", 90.0) == 30.0
    assert read_retry_after("soon", 0.0) is None
    assert read_retry_after(None, 0.0) is None


def test_exceptions_are_told_in_words() -> None:
    assert explain_exception(aiohttp.ServerDisconnectedError()) == "it closed the connection"
    assert explain_exception(aiohttp.ClientPayloadError()) == "its answer was cut off"
    assert explain_exception(aiohttp.ClientOSError(errno.ECONNRESET, "x")) == "connection reset by peer"
    assert explain_exception(TimeoutError()) == "it did not answer in time"
    assert explain_exception(aiohttp.ConnectionTimeoutError("http://me:pw@host")) == "it did not answer in time"
    assert is_out_of_files(OSError(errno.EMFILE, "x"))
    assert not is_out_of_files(ConnectionRefusedError(errno.ECONNREFUSED, "x"))


def test_a_proxy_is_used_as_the_environment_says_but_not_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "inside.example")
    assert find_proxy(Address("http://far.example/v1").models) == "http://proxy:3128"
    assert find_proxy(Address("http://inside.example/v1").models) is None
    assert find_proxy(Address("http://127.0.0.1:8000/v1").models) is None
