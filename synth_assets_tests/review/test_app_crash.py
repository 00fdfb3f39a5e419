"""Reviewers at once on a real server that is killed: every acknowledged decision is there once, and no other."""

from __future__ import annotations

import threading

from synth_assets.review.decisions import DecisionStore
from synth_assets_tests.review_apps import ROUND, Caller, Server, running

DECISIONS = ("accept", "reject", "flag")


def review_all(
    server: Server, names: list[str], per_reviewer: int, kills: int
) -> tuple[set[tuple[str, ...]], list[float]]:
    """Let reviewers decide `per_reviewer` items each while the server is killed so many times.

    Return what was acknowledged (decision_id, example_id, reviewer, decision), and the seconds each decision took.
    """
    acknowledged: set[tuple[str, ...]] = set()
    callers = [Caller(server.port, name) for name in names]
    done = threading.Event()

    def work(caller: Caller, name: str) -> None:
        caller.sign_in()
        item = caller.call("GET", "/")["item"]
        for number in range(per_reviewer):
            decision = DECISIONS[number % 3]
            answer = caller.decide(item, decision)
            acknowledged.add((answer["decision_id"], item["example_id"], name, decision))
            item = answer["item"]

    threads = [threading.Thread(target=work, args=pair) for pair in zip(callers, names, strict=True)]
    for thread in threads:
        thread.start()

    def kill_now_and_then() -> None:
        step = per_reviewer * len(names) // (kills + 1)
        for kill in range(1, kills + 1):
            while len(acknowledged) < kill * step and not done.is_set():
                done.wait(0.005)
            server.kill()
            server.start()

    killer = threading.Thread(target=kill_now_and_then)
    killer.start()
    for thread in threads:
        thread.join()
    done.set()
    killer.join()
    return acknowledged, [seconds for caller in callers for seconds in caller.latencies]


def stored_in(server: Server) -> list[tuple[str, ...]]:
    """Return what the database holds, one row a decision."""
    found = DecisionStore(server.url).decisions("messages", ROUND)
    return found.select("decision_id", "example_id", "reviewer", "decision").rows()


def test_every_acknowledged_decision_is_there_once_however_often_the_server_is_killed(database_url: str) -> None:
    names = [f"reviewer {number}" for number in range(4)]
    with running(Server(database_url, n=200)) as server:
        acknowledged, _ = review_all(server, names, per_reviewer=25, kills=2)
        stored = stored_in(server)
    assert len(acknowledged) == len(stored) == 100
    assert set(stored) == acknowledged
    assert len({example for _, example, _, _ in stored}) == 100
