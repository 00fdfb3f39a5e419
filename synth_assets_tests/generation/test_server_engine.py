"""The server engine against servers that misbehave: the right rows come back, each once, and it always ends."""

from __future__ import annotations

import json
import logging
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from synth_assets.errors import EngineError
from synth_assets.generation.allowance import Allowance
from synth_assets.generation.language.protocol import FAILED, OVERFLOW, REFUSED, Answer, Call, Message, Sampling
from synth_assets.generation.server.dispatch import Timing
from synth_assets.generation.server.engine import ServerModel, open_server
from synth_assets.spec import DatasetSpec
from synth_assets_tests.builders import text_spec
from synth_assets_tests.generation.fake_server import MODEL, Fake, expected_text, start_fake
from synth_assets_tests.ports import free_port

SAMPLING = Sampling(1.0, 50, 0.0)
SCHEMA = '{"type":"object","properties":{"row":{"type":"string"}},"required":["row"]}'
LIMIT_SECONDS = 30
QUICK = {
    "tick": 0.02,
    "connect": 1.0,
    "probe_every": 0.1,
    "probe_timeout": 2.0,
    "probe_failures": 2,
    "back_off": 0.02,
    "row_cap": 0.2,
    "server_cap": 0.1,
    "grace": 0.3,
    "row_tries": 4,
}


@pytest.fixture(autouse=True)
def _no_test_hangs() -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise TimeoutError(f"the test did not end within {LIMIT_SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def good() -> Iterator[Fake]:
    with start_fake() as fake:
        yield fake


@contextmanager
def start_fakes(*settings: tuple[str | float, ...]) -> Iterator[list[Fake]]:
    with ExitStack() as stack:
        yield [stack.enter_context(start_fake(*each)) for each in settings]


def make_spec(*urls: str, model: str = MODEL, prompt: str = "completion", **server: Any) -> DatasetSpec:
    settings = {"urls": list(urls), "patience_seconds": 20.0, **server}
    return text_spec(generation={"engine": "server", "model": model, "prompt": prompt, "server": settings})


def open_model(*urls: str, timing: dict[str, float] | None = None, **settings: Any) -> ServerModel:
    return open_server(make_spec(*urls, **settings), timing=Timing(**{**QUICK, **(timing or {})}))


def make_calls(count: int, *, words: dict[int, str] | None = None, schema: str = SCHEMA) -> list[Call]:
    return [Call(f"row {i} {(words or {}).get(i, '')}", 1000 + i, 32, schema) for i in range(count)]


def ask(
    model: ServerModel,
    calls: Iterable[Call],
    receive: Callable[[int, Answer], Call | None] = lambda *_: None,
    *,
    sampling: Sampling = SAMPLING,
    allowance: Allowance | None = None,
) -> dict[int, list[Answer]]:
    """Return the answers by position, in the order they came."""
    answers: dict[int, list[Answer]] = {}

    def take(position: int, answer: Answer) -> Call | None:
        answers.setdefault(position, []).append(answer)
        return receive(position, answer)

    model.answer(calls, take, sampling=sampling, allowance=allowance or Allowance())
    return answers


def text_of(call: Call) -> str:
    prompt = call.prompt if isinstance(call.prompt, str) else "\n".join(turn.content for turn in call.prompt)
    return expected_text(prompt, call.seed)


def assert_all_right(answers: dict[int, list[Answer]], calls: list[Call], *, but: set[int] = frozenset()) -> None:  # type: ignore[assignment]
    """Every call has one answer, and it is the one to its own prompt and seed."""
    assert sorted(answers) == list(range(len(calls)))
    assert {len(each) for each in answers.values()} == {1}
    wrong = [i for i, call in enumerate(calls) if i not in but and answers[i][0].text != text_of(call)]
    assert wrong == []


# What a healthy server gets and gives


def test_every_call_is_answered_once_with_its_own_answer(good: Fake) -> None:
    calls, allowance = make_calls(1500), Allowance()
    answers = ask(open_model(good.url), calls, allowance=allowance)
    assert_all_right(answers, calls)
    assert answers[7] == [Answer(text_of(calls[7]), "stop", len("row 7 ") // 4, 20, (5, 6, 7))]
    assert allowance.spent_tokens == 1500 * 20


def test_the_model_says_what_it_is(good: Fake) -> None:
    info = open_model(good.url, max_concurrency=40).info
    assert (info.engine, info.model, info.version, info.digest) == ("server", MODEL, "vllm 0.32.0", "")
    assert (info.chat, info.batch) == (False, 40)
    assert info.settings == {"constraint": "json_schema", "prompt": "completion"}


def test_messages_go_to_the_chat_route(good: Fake) -> None:
    model = open_model(good.url, prompt="auto")
    calls = [Call((Message("system", "be brief"), Message("user", f'say "{i}"')), i, 32, SCHEMA) for i in range(50)]
    assert model.info.chat
    assert_all_right(ask(model, calls), calls)


@pytest.mark.parametrize("flaw", ["--no-template", "--no-chat-route"])
def test_without_chat_the_prompt_is_a_completion(flaw: str) -> None:
    with start_fake(flaw) as fake:
        assert not open_model(fake.url, prompt="auto").info.chat
        with pytest.raises(EngineError, match=r"generation\.prompt: completion"):
            open_model(fake.url, prompt="chat")


def test_follow_ups_are_asked_in_the_same_pass_under_the_same_position(good: Fake) -> None:
    calls = make_calls(300)
    more = {i: Call(f"again {i}", 9000 + i, 32, SCHEMA) for i in range(0, 300, 3)}
    last = {i: Call(f"once more {i}", 19000 + i, 32, SCHEMA) for i in range(0, 300, 6)}
    chains = {i: [call for call in (calls[i], more.get(i), last.get(i)) if call is not None] for i in range(300)}
    seen: Counter[int] = Counter()

    def receive(position: int, answer: Answer) -> Call | None:
        seen[position] += 1
        chain = chains[position]
        return chain[seen[position]] if seen[position] < len(chain) else None

    answers = ask(open_model(good.url), iter(calls), receive)
    assert {i: [a.text for a in each] for i, each in answers.items()} == {
        i: [text_of(call) for call in chain] for i, chain in chains.items()
    }


def test_calls_are_drawn_as_room_comes_free_and_received_in_the_callers_thread(good: Fake) -> None:
    ahead, here, received = [0], threading.get_ident(), [0]

    def draw() -> Iterator[Call]:
        for drawn, call in enumerate(make_calls(1000)):
            ahead.append(drawn - received[0])
            yield call

    def receive(position: int, answer: Answer) -> None:
        assert threading.get_ident() == here
        received[0] += 1

    ask(open_model(good.url, max_concurrency=50), draw(), receive)
    assert received[0] == 1000
    assert max(ahead) <= 51


def test_no_calls_no_answers(good: Fake) -> None:
    assert ask(open_model(good.url), []) == {}


def test_no_more_calls_are_in_flight_than_allowed() -> None:
    with start_fake("--latency", 0.01) as fake:
        calls = make_calls(300)
        assert_all_right(ask(open_model(fake.url, max_concurrency=7), calls), calls)
        assert fake.stats()["most_in_flight"] == 7


def test_the_faster_server_does_more() -> None:
    with start_fakes(("--latency", 0.005), ("--latency", 0.1)) as (fast, slow):
        calls = make_calls(600)
        assert_all_right(ask(open_model(fast.url, slow.url, max_concurrency=32), calls), calls)
        done = fast.stats()["work"], slow.stats()["work"]
        assert sum(done) == 600
        assert done[0] > 3 * done[1] > 0


def test_what_receive_raises_comes_out_and_ends_the_pass(good: Fake) -> None:
    received: list[int] = []
    allowance = Allowance(tokens=10**6)

    def receive(position: int, answer: Answer) -> None:
        received.append(position)
        if len(received) == 20:
            raise ZeroDivisionError("in receive")

    with pytest.raises(ZeroDivisionError, match="in receive"):
        ask(open_model(good.url), make_calls(500), receive, allowance=allowance)
    assert len(received) == 20
    assert allowance._reserved == 0


def test_what_the_calls_raise_comes_out(good: Fake) -> None:
    def draw() -> Iterator[Call]:
        yield from make_calls(10)
        raise ZeroDivisionError("in calls")

    with pytest.raises(ZeroDivisionError, match="in calls"):
        ask(open_model(good.url), draw())


# What goes over the wire


def read_request(url: str, prompt: str = "row 1", *, sampling: Sampling = SAMPLING, **settings: Any) -> dict[str, Any]:
    answers = ask(open_model(url, **settings), [Call(prompt, 7, 32, SCHEMA)], sampling=sampling)
    return json.loads(answers[0][0].text)


def test_vllm_gets_its_own_fields_and_others_do_not() -> None:
    with start_fakes(("--show-request",), ("--show-request", "--plain")) as (vllm, other):
        common = {
            "model": MODEL,
            "prompt": "row 1",
            "seed": 7,
            "max_tokens": 32,
            "temperature": 1.0,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "record", "schema": json.loads(SCHEMA), "strict": True},
            },
        }
        assert read_request(other.url) == common
        assert read_request(vllm.url) == common | {
            "top_k": 50,
            "min_p": 0.0,
            "top_p": 1.0,
            "repetition_penalty": 1.0,
            "return_token_ids": True,
        }
        assert open_model(other.url).info.version == "unknown"


def test_a_local_folders_start_token_is_written_where_the_tokenizer_would_not(tmp_path: Path) -> None:
    folder = tmp_path / MODEL
    folder.mkdir()
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": {"content": "<bos>"}}))
    with start_fakes(("--show-request",), ("--show-request", "--plain")) as (vllm, other):
        sent = read_request(vllm.url, model=str(folder))
        assert (sent["prompt"], sent["add_special_tokens"]) == ("<bos>row 1", False)
        assert read_request(vllm.url, "<bos>row 1", model=str(folder))["prompt"] == "<bos>row 1"
        assert read_request(other.url, model=str(folder))["prompt"] == "row 1"


def test_a_mark_needs_a_server_that_puts_it_on(good: Fake) -> None:
    marked = Sampling(1.0, 50, 0.0, {"synth_watermark": 1, "synth_watermark_key_id": "k"})
    with start_fakes(("--marks", "--show-request"), ("--plain",)) as (marking, plain):
        assert read_request(marking.url, sampling=marked)["vllm_xargs"] == marked.mark
        with pytest.raises(EngineError, match="does not say that it is vLLM"):
            ask(open_model(plain.url), make_calls(1), sampling=marked)
        with pytest.raises(EngineError, match="ignores the watermark"):
            ask(open_model(good.url), make_calls(1), sampling=marked)


# Allowance


class WatchedAllowance(Allowance):
    """An allowance that keeps the most it was ever bound to."""

    most = 0

    def admit(self, tokens: int) -> bool:
        admitted = super().admit(tokens)
        self.most = max(self.most, self.spent_tokens + self._reserved)
        return admitted


def test_a_limit_of_tokens_is_used_up_and_never_exceeded(good: Fake) -> None:
    allowance = WatchedAllowance(tokens=1000)
    answers = ask(open_model(good.url), make_calls(500), allowance=allowance)
    assert len(answers) == 49  # 20 tokens each; the 50th could need 32 and only 20 are left
    assert allowance.most <= 1000
    assert (allowance.spent_tokens, allowance._reserved, allowance.ended) == (980, 0, "tokens")


def test_the_limit_holds_for_follow_ups_and_retries() -> None:
    with start_fake("--fault", "status=500,every=5") as fake:
        allowance = WatchedAllowance(tokens=2000)
        again = Call("again", 5, 32, SCHEMA)
        answers = ask(open_model(fake.url), make_calls(500), lambda *_: again, allowance=allowance)
        assert sum(map(len, answers.values())) == 99
        assert allowance.most <= 2000
        assert (allowance.spent_tokens, allowance._reserved) == (1980, 0)


def test_a_limit_of_seconds_ends_a_pass_and_gives_up_what_is_in_flight() -> None:
    with start_fake("--fault", "hang,after=30") as fake:
        allowance = Allowance(seconds=0.8, tokens=10**6)
        began = time.monotonic()
        answers = ask(open_model(fake.url), make_calls(500), allowance=allowance)
        assert time.monotonic() - began < 3
        assert len(answers) == 30
        assert (allowance.spent_tokens, allowance._reserved, allowance.ended) == (600, 0, "seconds")


# Rows that cannot be answered


def test_rows_that_cannot_be_answered_are_told_one_by_one_and_not_asked_again() -> None:
    words = {3: "OVERFLOW", 40: "OVERFLOW", 41: "BAD", 80: "REFUSE"}
    with start_fake() as fake:
        calls = make_calls(120, words=words)
        answers = ask(open_model(fake.url), calls)
        assert_all_right(answers, calls, but=set(words))
        assert {i: answers[i][0].finish_reason for i in words} == {3: OVERFLOW, 40: OVERFLOW, 41: FAILED, 80: REFUSED}
        assert "maximum context length" in answers[3][0].error
        assert "cannot be read" in answers[41][0].error
        assert fake.stats()["work"] == 120


def test_a_row_that_always_breaks_the_server_fails_alone() -> None:
    with start_fake() as fake:
        calls = make_calls(400, words={5: "POISON", 300: "POISON"})
        answers = ask(open_model(fake.url), calls)
        assert_all_right(answers, calls, but={5, 300})
        assert [answers[i][0].finish_reason for i in (5, 300)] == [FAILED, FAILED]
        assert "500: internal error (tried " in answers[5][0].error
        assert 398 + 2 * 4 <= fake.stats()["work"] <= 398 + 2 * 7


def test_a_row_that_always_fails_and_is_asked_alone_is_found_guilty_by_a_check(good: Fake) -> None:
    answers = ask(open_model(good.url), make_calls(1, words={0: "POISON"}))
    assert [answer.finish_reason for answer in answers[0]] == [FAILED]


def test_many_failing_rows_at_the_end_do_not_end_the_run(good: Fake) -> None:
    bad = set(range(100, 130))
    calls = make_calls(130, words=dict.fromkeys(bad, "POISON"))
    answers = ask(open_model(good.url), calls)
    assert_all_right(answers, calls, but=bad)
    assert {answers[i][0].finish_reason for i in bad} == {FAILED}


@pytest.mark.parametrize(("word", "advice"), [("OVERFLOW", r"generation\.exemplars"), ("BAD", r"generation\.prompt")])
def test_when_no_row_can_be_answered_the_run_ends_with_advice(good: Fake, word: str, advice: str) -> None:
    with pytest.raises(EngineError, match=f"none of the first 16 calls.*{advice}"):
        ask(open_model(good.url), make_calls(200, words=dict.fromkeys(range(200), word)))


def test_an_overflow_that_is_asked_again_with_less_is_no_reason_to_end(good: Fake) -> None:
    calls = make_calls(60, words=dict.fromkeys(range(60), "OVERFLOW"))

    def receive(position: int, answer: Answer) -> Call | None:
        return Call(f"shorter {position}", 1, 32, SCHEMA) if answer.finish_reason == OVERFLOW else None

    answers = ask(open_model(good.url), calls, receive)
    assert [answers[i][-1].text for i in range(60)] == [expected_text(f"shorter {i}", 1) for i in range(60)]


def test_an_answer_that_breaks_the_schema_is_passed_on(good: Fake) -> None:
    calls = make_calls(20, schema='{"type":"object","required":["other"]}')
    assert_all_right(ask(open_model(good.url), calls), calls)


# Servers that stumble


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_burst_of_errors_passes(status: int) -> None:
    with start_fake("--fault", f"status={status},first=40,retry_after=0.05") as fake:
        calls = make_calls(120)
        assert_all_right(ask(open_model(fake.url), calls), calls)


def test_retry_after_is_kept() -> None:
    with start_fake("--fault", "status=429,first=1,retry_after=0.7") as fake:
        began = time.monotonic()
        calls = make_calls(1)
        assert_all_right(ask(open_model(fake.url), calls), calls)
        assert time.monotonic() - began >= 0.7


@pytest.mark.parametrize("action", ["truncate", "reset", "garbage", "status=500"])
def test_broken_answers_are_asked_again(action: str) -> None:
    with start_fake("--fault", f"{action},every=9") as fake:
        calls = make_calls(300)
        assert_all_right(ask(open_model(fake.url), calls), calls)
        assert fake.stats()["work"] > 300


def test_a_server_that_takes_few_at_once_is_asked_for_few() -> None:
    with start_fake("--queue", 6, "--latency", 0.01) as fake:
        calls = make_calls(300)
        assert_all_right(ask(open_model(fake.url), calls), calls)
        assert fake.stats()["work"] < 2 * 300


def test_a_slow_answer_is_waited_for() -> None:
    with start_fake("--latency", 1.2) as fake:
        calls = make_calls(20)
        assert_all_right(ask(open_model(fake.url, patience_seconds=0.5), calls), calls)
        stats = fake.stats()
        assert (stats["work"], stats["aborted"]) == (20, 0)


# Servers that die, hang, or come late


def test_a_dying_servers_work_is_done_by_the_other() -> None:
    with start_fakes(("--latency", 0.01), ("--latency", 0.01, "--fault", "die,after=100")) as (alive, dying):
        calls = make_calls(600)
        assert_all_right(ask(open_model(alive.url, dying.url), calls), calls)
        assert dying.process.wait(timeout=5) == 1
        assert alive.stats()["work"] >= 500


def test_a_killed_servers_work_is_done_by_the_other() -> None:
    with start_fakes(("--latency", 0.02), ("--latency", 0.02)) as (alive, killed):
        calls = make_calls(600)
        received = []

        def receive(position: int, answer: Answer) -> None:
            received.append(position)
            if len(received) == 150:
                killed.kill()

        assert_all_right(ask(open_model(alive.url, killed.url), calls, receive), calls)


def test_a_hanging_servers_work_is_done_by_the_other() -> None:
    with start_fakes((), ("--fault", "hang,after=50,health=1,probes=1")) as (alive, hanging):
        calls = make_calls(400)
        model = open_model(alive.url, hanging.url, timing={"probe_timeout": 0.3})
        assert_all_right(ask(model, calls), calls)
        assert hanging.stats()["aborted"] > 0


def test_calls_that_hang_while_the_server_lives_are_asked_again() -> None:
    with start_fake("--fault", "hang,first=5") as fake:
        calls = make_calls(100)
        model = open_model(fake.url, timing={"slow_floor": 0.5, "slow_factor": 2})
        assert_all_right(ask(model, calls), calls)
        assert fake.stats()["work"] == 105


def test_a_server_that_answers_probes_but_no_call_ends_in_an_error() -> None:
    with start_fake("--fault", "hang,after=0") as fake:
        model = open_model(fake.url, timing={"slow_floor": 0.2, "slow_factor": 1.5})
        with pytest.raises(EngineError, match=r"none of the first 16 calls.*a call got no answer"):
            ask(model, make_calls(40))


def test_a_server_that_fails_everything_is_the_servers_fault() -> None:
    sick = ("--fault", "status=500,after=50,probes=1")
    with start_fakes((), sick, sick) as (well, one, two):
        calls = make_calls(500)
        assert_all_right(ask(open_model(well.url, one.url), calls), calls)
        received: list[int] = []
        with pytest.raises(EngineError, match=f"no server has answered for 0.8 seconds: {two.url}: 500: as told"):
            ask(open_model(two.url, patience_seconds=0.8), calls, lambda position, _: received.append(position))
        assert len(received) == len(set(received)) == 50


def test_a_server_that_only_refuses_ends_in_an_error() -> None:
    with start_fake("--fault", "status=429,after=20") as fake:
        allowance = Allowance(tokens=10**6)
        with pytest.raises(EngineError, match="429: as told"):
            ask(open_model(fake.url, patience_seconds=0.8), make_calls(100), allowance=allowance)
        assert (allowance.spent_tokens, allowance._reserved) == (400, 0)


def test_all_servers_dying_ends_in_an_error_that_names_them() -> None:
    dying = ("--fault", "die,after=30")
    with start_fakes(dying, dying) as (one, two):
        with pytest.raises(EngineError, match="connection refused") as caught:
            ask(open_model(one.url, two.url, patience_seconds=0.8), make_calls(500))
        assert one.url in str(caught.value)
        assert two.url in str(caught.value)


def test_a_server_that_is_down_from_the_start_is_done_without() -> None:
    with start_fake() as alive:
        calls = make_calls(200)
        assert_all_right(ask(open_model(f"http://127.0.0.1:{free_port()}/v1", alive.url), calls), calls)
        assert alive.stats()["work"] == 200


def test_a_server_that_comes_late_gets_work_after_its_check() -> None:
    port = free_port()
    with start_fakes(("--latency", 0.05), ("--port", port, "--start-after", 0.6)) as (early, late):
        calls = make_calls(800)
        model = open_model(early.url, late.url, max_concurrency=20)
        assert_all_right(ask(model, calls), calls)
        stats = late.stats()
        assert stats["work"] > 0
        assert stats["probes"] > 0


def test_a_server_that_comes_late_and_ignores_schemas_gets_no_work() -> None:
    port = free_port()
    bad = ("--port", port, "--start-after", 0.4, "--constraint", "none")
    with start_fakes(("--latency", 0.05), bad) as (fit, unfit):
        calls = make_calls(400)
        assert_all_right(ask(open_model(fit.url, unfit.url, max_concurrency=20), calls), calls)
        stats = unfit.stats()
        assert stats["work"] == 0
        assert stats["probes"] > 0


def test_the_only_server_may_come_late() -> None:
    with start_fake("--port", free_port(), "--start-after", 0.6) as late:
        calls = make_calls(10)
        assert_all_right(ask(open_model(late.url), calls), calls)


def test_no_server_ends_in_an_error_that_names_all() -> None:
    urls = [f"http://127.0.0.1:{free_port()}/v1" for _ in range(2)]
    with pytest.raises(EngineError, match="connection refused") as caught:
        open_model(*urls, patience_seconds=0.4)
    assert all(f"{url}: connection refused" in str(caught.value) for url in urls)


# Servers that do not fit


def test_a_server_that_ignores_the_schema_is_found_before_any_work(good: Fake) -> None:
    with start_fake("--constraint", "none") as bad:
        for urls in ([bad.url], [good.url, bad.url]):
            with pytest.raises(EngineError, match=f"{bad.url} does not hold.*response_format was sent and ignored"):
                open_model(*urls)
        assert bad.stats()["work"] == 0


@pytest.mark.parametrize("constraint", ["structured_outputs", "refuse"])
def test_vllms_own_form_is_used_where_the_common_one_does_not_hold(constraint: str) -> None:
    with start_fake("--constraint", constraint, "--show-request") as fake:
        assert open_model(fake.url).info.settings["constraint"] == "structured_outputs"
        sent = read_request(fake.url)
        assert sent["structured_outputs"] == {"json": json.loads(SCHEMA)}
        assert "response_format" not in sent


def test_a_refused_schema_is_told_in_the_servers_words() -> None:
    with (
        start_fake("--constraint", "refuse", "--plain") as fake,
        pytest.raises(EngineError, match="response_format was sent and refused with 400: response_format is not"),
    ):
        open_model(fake.url)


def test_a_model_that_is_not_served_is_told_with_what_is(good: Fake) -> None:
    with pytest.raises(EngineError, match=f"does not serve the model 'other/thing'; it serves {MODEL}"):
        open_model(good.url, model="other/thing")
    assert open_model(good.url, model=f"some/folder/{MODEL}").info.model == MODEL


def test_a_base_url_without_v1_is_told(good: Fake) -> None:
    with pytest.raises(EngineError, match="most often ends in /v1"):
        open_model(good.url.removesuffix("/v1"))


TOKEN = "sk-very-secret-0123456789"


def test_the_token_opens_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_TOKEN", TOKEN)
    with start_fake("--token", TOKEN) as fake:
        calls = make_calls(30)
        assert_all_right(ask(open_model(fake.url, api_key_env="FAKE_TOKEN"), calls), calls)


@pytest.mark.parametrize(
    ("settings", "value", "message"),
    [
        ({"api_key_env": "FAKE_TOKEN"}, None, r"FAKE_TOKEN \(generation.server.api_key_env\) is not set"),
        ({"api_key_env": "FAKE_TOKEN"}, TOKEN, "does not accept the token in the environment variable FAKE_TOKEN"),
        ({}, TOKEN, r"wants a token.*generation\.server\.api_key_env"),
    ],
)
def test_a_missing_or_wrong_token_is_told_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], value: str | None, message: str
) -> None:
    if value is None:
        monkeypatch.delenv("FAKE_TOKEN", raising=False)
    else:
        monkeypatch.setenv("FAKE_TOKEN", value)
    with start_fake("--token", "another") as fake, pytest.raises(EngineError, match=message):
        open_model(fake.url, **settings)


def test_the_token_and_passwords_are_shown_nowhere(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FAKE_TOKEN", TOKEN)
    caplog.set_level(logging.DEBUG)
    with start_fake("--fault", f"status=500,after=10,probes=1,message=you sent {TOKEN}") as fake:
        url = fake.url.replace("http://", "http://me:pass-word@")
        model = open_model(url, api_key_env="FAKE_TOKEN", patience_seconds=0.5)
        with pytest.raises(EngineError, match="you sent …") as caught:
            ask(model, make_calls(50))
    frames = [entry.frame.f_locals for entry in caught.traceback if "synth_assets/generation" in str(entry.path)]
    shown = [caplog.text, str(caught.value), repr(model), repr(vars(model)), repr(frames)]
    assert frames
    assert not [text for text in shown if TOKEN in text or "pass-word" in text]


def test_a_token_that_stops_working_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_TOKEN", TOKEN)
    with start_fake("--fault", "status=401,after=20") as fake:
        received: list[int] = []
        with pytest.raises(EngineError, match="does not accept the token in the environment variable FAKE_TOKEN"):
            ask(open_model(fake.url, api_key_env="FAKE_TOKEN"), make_calls(100), lambda i, _: received.append(i))
        assert len(received) == 20


def test_a_model_that_is_no_longer_served_ends_the_run() -> None:
    with (
        start_fake("--fault", "status=404,after=20") as fake,
        pytest.raises(EngineError, match=r"404: as told; see generation\.model"),
    ):
        ask(open_model(fake.url), make_calls(100))


def test_passes_follow_one_another(good: Fake) -> None:
    model = open_model(good.url)
    for _ in range(3):
        calls = make_calls(50)
        assert_all_right(ask(model, calls), calls)
    model.close()
