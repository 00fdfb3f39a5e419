"""Dispatch and queue without any server: limits, pauses, the breaker, the choice, what is asked next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth_assets.generation.allowance import Allowance
from synth_assets.generation.language.protocol import FAILED, OVERFLOW, Answer, Call
from synth_assets.generation.server.dispatch import Server, Timing, Usefulness, choose_server, explain_loss
from synth_assets.generation.server.queue import JobQueue
from synth_assets.generation.server.wire import Address, Facts

TIMING = Timing()
FACTS = Facts("m", "0.32.0", 4096, False, "json_schema")
GOOD = Answer("yes", "stop", 1, 20)


def make_server(most: int = 256, *, up: bool = True) -> Server:
    server = Server(Address("http://127.0.0.1:1/v1"), most, TIMING)
    if up:
        server.bring_up(FACTS, 0.0)
    return server


def fill(server: Server, now: float = 0.0) -> list[int]:
    """Start as many calls as there is room for; return their bursts."""
    bursts = []
    while server.has_room(now):
        bursts.append(server.start_call())
    return bursts


def answer_calls(server: Server, calls: int, now: float = 0.0) -> None:
    """Answer so many calls of a server that always has work."""
    for _ in range(calls):
        fill(server, now)
        server.note_answer(now)
        server.end_call()


# Concurrency


def test_a_server_starts_with_32_calls_at_once_or_its_most() -> None:
    assert len(fill(make_server())) == 32
    assert len(fill(make_server(5))) == 5
    assert not fill(make_server(up=False))


def test_the_limit_grows_while_answers_flow_and_stops_at_the_most() -> None:
    server = make_server(100)
    answer_calls(server, 20)
    assert server.limit == 52
    answer_calls(server, 200)
    assert server.limit == 100


def test_the_limit_does_not_grow_where_it_is_not_used() -> None:
    server = make_server()
    for _ in range(50):
        server.start_call()
        server.note_answer(0.0)
        server.end_call()
    assert server.limit == 32


def test_a_burst_of_refusals_halves_the_limit_once() -> None:
    server = make_server()
    for burst in fill(server):
        server.note_busy(burst, 0.0, "503")
        server.end_call()
    assert server.limit == 16
    for burst in fill(server, 100.0):
        server.note_busy(burst, 100.0, "503")
    assert server.limit == 8


def test_after_a_refusal_the_limit_grows_by_one_a_limitful() -> None:
    server = make_server()
    server.note_busy(fill(server)[0], 0.0, "429")
    server.in_flight = 0
    answer_calls(server, 16, now=100.0)
    assert 16.9 < server.limit <= 17.0


def test_the_limit_never_falls_below_one() -> None:
    server = make_server()
    for second in range(20):
        server.note_busy(server.start_call(), float(second), "429")
    assert server.limit == 1


@pytest.mark.parametrize(("asked", "pause"), [(3.0, 3.0), (0.0, 0.0), (10_000.0, 60.0)])
def test_a_pause_is_as_long_as_the_server_asks_within_a_cap(asked: float, pause: float) -> None:
    server = make_server()
    server.note_busy(server.start_call(), 10.0, "429", asked)
    assert server.paused_until == 10.0 + pause
    assert not server.has_room(9.9 + pause) or not pause
    assert server.has_room(10.0 + pause)


def test_pauses_grow_until_an_answer_comes() -> None:
    server = make_server()
    pauses = []
    for second in range(0, 500, 100):
        server.note_busy(server.start_call(), float(second), "503")
        pauses.append(server.paused_until - second)
    assert 0.25 <= pauses[0] <= 0.5
    assert 2.5 <= pauses[-1] <= 5.0
    server.note_answer(500.0)
    server.note_busy(server.start_call(), 600.0, "503")
    assert server.paused_until - 600.0 <= 0.5


# The breaker


def test_many_failing_rows_without_an_answer_open_the_breaker() -> None:
    server = make_server()
    for row in range(7):
        server.note_fault(row, 1.0, "500")
    assert server.is_up
    server.note_fault(7, 1.0, "500")
    assert not server.is_up
    assert server.check_at == 1.0


def test_one_failing_row_does_not_open_the_breaker() -> None:
    server = make_server()
    for _ in range(50):
        server.note_fault(3, 1.0, "500")
    assert server.is_up


def test_an_answer_between_failures_keeps_the_breaker_closed() -> None:
    server = make_server()
    for row in range(50):
        server.note_fault(row, 1.0, "500")
        if row % 5 == 0:
            server.note_answer(1.0)
    assert server.is_up


def test_after_a_passed_check_one_more_failure_opens_it_again_and_checks_are_paced() -> None:
    server = make_server()
    for row in range(8):
        server.note_fault(row, 1.0, "500")
    server.bring_up(FACTS, 2.0)
    assert server.is_up
    server.note_fault(9, 3.0, "500")
    assert not server.is_up
    assert 3.25 <= server.check_at <= 3.5
    server.bring_up(FACTS, 4.0)
    answer_calls(server, 1, now=4.0)
    server.note_fault(9, 5.0, "500")
    assert server.is_up


def test_checks_of_a_dead_server_are_at_most_seconds_apart() -> None:
    server = make_server(up=False)
    for second in range(0, 1000, 10):
        server.note_check_failed(float(second), "connection refused")
        assert second < server.check_at <= second + TIMING.server_cap


def test_failed_probes_in_a_row_mean_down_and_a_passed_one_starts_again() -> None:
    server = make_server()
    assert not server.note_probe(1.0, "no answer")
    assert server.limit == 16
    assert not server.note_probe(2.0, "")
    assert [server.note_probe(float(second), "no answer") for second in (3, 4, 5)] == [False, False, True]
    assert not server.is_up


def test_a_server_is_lost_when_it_answers_nothing_for_the_patience() -> None:
    server = make_server(up=False)
    server.begin_pass(100.0)
    assert not server.is_lost(109.0, 10.0)
    assert server.is_lost(110.0, 10.0)
    server.bring_up(FACTS, 110.0)
    server.start_call()
    assert not server.is_lost(200.0, 10.0)  # a call is under way
    server.note_answer(201.0)
    server.end_call()
    assert not server.is_lost(300.0, 10.0)


def test_a_server_that_only_refuses_is_lost_too() -> None:
    server = make_server()
    for second in range(0, 60, 5):
        server.note_busy(server.start_call(), float(second), "429: quota")
        server.end_call()
    assert server.is_lost(60.0, 50.0)
    assert "http://127.0.0.1:1/v1: 429: quota" in str(explain_loss([server], 50.0))


def test_probes_alone_do_not_make_a_server_lost_once_one_passes() -> None:
    server = make_server()
    server.note_probe(1.0, "no answer")
    server.note_probe(2.0, "")
    assert not server.is_lost(500.0, 10.0)


# The choice


def test_the_least_loaded_server_for_its_limit_is_chosen() -> None:
    wide, narrow = make_server(64), make_server(4)
    wide.in_flight, narrow.in_flight = 16, 1
    assert choose_server([wide, narrow], 0.0) is narrow
    narrow.in_flight = 3
    assert choose_server([wide, narrow], 0.0) is wide


def test_servers_without_room_are_not_chosen() -> None:
    full, down, paused, free = make_server(1), make_server(up=False), make_server(), make_server()
    full.start_call()
    paused.note_busy(paused.start_call(), 0.0, "429", 5.0)
    free.in_flight = 20
    assert choose_server([full, down, paused, free], 1.0) is free
    assert choose_server([full, down, paused], 1.0) is None


def test_the_server_of_a_failed_attempt_is_avoided_while_another_has_room() -> None:
    failed, other = make_server(), make_server(1)
    assert choose_server([failed, other], 0.0, avoid=failed) is other
    other.start_call()
    assert choose_server([failed, other], 0.0, avoid=failed) is failed


# Timing


@given(st.integers(1, 10_000))
def test_delays_grow_with_jitter_to_their_caps(failures: int) -> None:
    longest = min(TIMING.row_cap, TIMING.back_off * 2 ** (min(failures, 30) - 1))
    assert longest / 2 <= TIMING.delay_row(failures) <= longest
    assert TIMING.delay_server(failures) <= TIMING.server_cap


def test_slow_is_measured_by_the_slowest_finished_call() -> None:
    assert TIMING.longest_wait(1.0) == 120.0
    assert TIMING.longest_wait(60.0) == 1200.0
    assert TIMING.longest_wait(0.0) == 2400.0


# When nothing useful comes back


def test_sixteen_useless_answers_at_the_start_end_a_pass() -> None:
    use = Usefulness(120.0, 0.0)
    said = [use.count(Answer("", OVERFLOW, error="too long"), False, 1.0) for _ in range(16)]
    assert said[:15] == [None] * 15
    assert "generation.exemplars" in str(said[15])


def test_after_one_good_answer_rejected_rows_never_end_a_pass() -> None:
    use = Usefulness(120.0, 0.0)
    use.count(GOOD, False, 0.0)
    assert not any(use.count(Answer("", FAILED), False, float(second)) for second in range(10_000))


def test_rows_that_fail_one_after_the_other_for_the_patience_end_a_pass() -> None:
    use = Usefulness(120.0, 0.0)
    use.count(GOOD, False, 0.0)
    assert not any(use.count(Answer("", FAILED), True, 119.0) for _ in range(500))
    assert "501 calls in a row failed, for 121 seconds" in str(use.count(Answer("", FAILED), True, 121.0))
    use.count(GOOD, False, 122.0)
    assert use.count(Answer("", FAILED), True, 300.0) is None


# The queue


def make_calls(count: int, max_tokens: int = 10) -> list[Call]:
    return [Call(f"row {i}", i, max_tokens) for i in range(count)]


def test_what_is_asked_again_comes_first_then_follow_ups_then_new_calls() -> None:
    queue = JobQueue(make_calls(9), Allowance(), 100)
    first, second = queue.take(), queue.take()
    assert first is not None
    assert second is not None
    queue.settle(second, GOOD)
    queue.add_follow_up(1, Call("more", 5, 10))
    queue.ask_again(first)
    order = [job.call.prompt for job in (queue.take(), queue.take(), queue.take()) if job]
    assert order == ["row 0", "more", "row 2"]


def test_no_more_is_open_than_the_window_and_nothing_is_drawn_beyond() -> None:
    drawn: list[int] = []
    queue = JobQueue((call for call in make_calls(9) if drawn.append(call.seed) is None), Allowance(), 3)
    jobs = [queue.take() for _ in range(5)]
    assert [job is not None for job in jobs] == [True, True, True, False, False]
    assert drawn == [0, 1, 2]
    assert jobs[0] is not None
    queue.settle(jobs[0], GOOD)
    assert queue.take() is not None
    assert drawn == [0, 1, 2, 3]


def test_a_call_without_allowance_waits_for_a_settlement() -> None:
    allowance = Allowance(tokens=25)
    queue = JobQueue(make_calls(9), allowance, 100)
    jobs = [queue.take(), queue.take()]
    assert queue.take() is None
    assert not queue.is_stuck
    assert jobs[0] is not None
    assert jobs[1] is not None
    queue.settle(jobs[0], Answer("x", "stop", 1, 4))
    third = queue.take()
    assert third is not None
    assert third.position == 2
    queue.settle(jobs[1], Answer("x", "stop", 1, 10))
    queue.settle(third, Answer("x", "stop", 1, 10))
    assert queue.take() is None
    assert queue.is_stuck
    assert allowance.spent_tokens == 24


def test_an_answer_without_a_count_of_tokens_is_charged_in_full() -> None:
    allowance = Allowance()
    queue = JobQueue(make_calls(2), allowance, 100)
    for answer in (Answer("text", "stop"), Answer("", FAILED)):
        job = queue.take()
        assert job is not None
        queue.settle(job, answer)
    assert allowance.spent_tokens == 10


def test_giving_up_frees_what_is_open() -> None:
    allowance = Allowance(tokens=100)
    queue = JobQueue(make_calls(9), allowance, 100)
    jobs = [queue.take() for _ in range(5)]
    assert jobs[0] is not None
    queue.settle(jobs[0], GOOD)
    queue.give_up()
    assert allowance.spent_tokens == 20
    assert allowance.admit(80)


def test_what_waits_is_asked_again_when_it_is_due() -> None:
    queue = JobQueue(make_calls(3), Allowance(), 100)
    for due in (5.0, 3.0, 9.0):
        job = queue.take()
        assert job is not None
        queue.ask_later(job, due)
    queue.wake_due(5.0)
    assert [job.position for job in (queue.take(), queue.take(), queue.take()) if job] == [1, 0]
    assert not queue.is_finished()


def test_a_queue_is_finished_when_all_is_drawn_and_settled() -> None:
    queue = JobQueue(make_calls(1), Allowance(), 100)
    assert not queue.is_finished()
    job = queue.take()
    assert job is not None
    assert not queue.is_finished()
    queue.settle(job, GOOD)
    assert queue.is_finished()
    queue.add_follow_up(0, Call("more", 1, 10))
    assert not queue.is_finished()
