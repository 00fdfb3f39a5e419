"""Reviewer accounts and sessions: what gets in, what no longer does, and what is stored of secrets."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from synth_assets.errors import StoreError
from synth_assets.review import accounts as module
from synth_assets.review.accounts import LEAD, REVIEWER, SESSION_SECONDS, Accounts, Session, Sessions, clean_name
from synth_assets.review.database import Database


@pytest.fixture
def database(database_url: str) -> Database:
    return Database(database_url)


@pytest.fixture
def accounts(database: Database) -> Accounts:
    return Accounts(database)


@pytest.fixture
def sessions(database: Database) -> Sessions:
    return Sessions(database)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch):
    """Move the clock forward by so many seconds."""
    start = module.time.time()

    def move(seconds: float) -> None:
        monkeypatch.setattr(module.time, "time", lambda: start + seconds)

    return move


# ---- accounts


def test_a_token_opens_its_own_account_alone(accounts: Accounts) -> None:
    ada, bob = accounts.add("ada"), accounts.add("bob", LEAD)
    assert accounts.verify("ada", ada)
    assert accounts.verify("bob", bob)
    for name, token in (("ada", bob), ("ada", ""), ("ada", ada + "x"), ("eve", ada), ("", ada), ("a" * 500, ada)):
        assert not accounts.verify(name, token)


def test_nothing_stored_holds_a_token_or_a_session(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'ops.db'}")
    token, secret = Accounts(database).add("ada"), Sessions(database).open("ada", by_account=True)
    with sqlite3.connect(tmp_path / "ops.db") as connection:
        dump = "\n".join(connection.iterdump())
    assert "ada" in dump
    assert token not in dump
    assert secret not in dump


def test_the_same_token_has_another_hash_in_every_account(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    assert module._hash("token") != module._hash("token")


def test_an_account_ends_by_itself(accounts: Accounts, later) -> None:
    token = accounts.add("ada", days=1)
    later(86_000)
    assert accounts.verify("ada", token)
    later(86_401)
    assert not accounts.verify("ada", token)
    assert accounts.list()["state"].to_list() == ["expired"]
    assert not accounts.exist()


def test_a_revoked_account_is_closed_at_once_and_may_be_opened_anew(accounts: Accounts) -> None:
    old = accounts.add("ada")
    assert accounts.revoke("ada")
    assert not accounts.verify("ada", old)
    assert not accounts.revoke("ada")
    assert accounts.list()["state"].to_list() == ["revoked"]
    new = accounts.add("ada", LEAD)
    assert accounts.verify("ada", new)
    assert not accounts.verify("ada", old)
    assert accounts.list().select("name", "role", "state").rows() == [("ada", LEAD, "valid")]


def test_a_valid_account_is_not_given_a_second_token(accounts: Accounts) -> None:
    accounts.add("ada")
    with pytest.raises(StoreError, match="revoke it first"):
        accounts.add("ada")


@pytest.mark.parametrize(
    ("role", "days", "told"), [("boss", 1, "is no role"), (REVIEWER, 0, "more than 0"), (REVIEWER, 1e9, "3660")]
)
def test_an_account_that_makes_no_sense_is_refused(accounts: Accounts, role: str, days: float, told: str) -> None:
    with pytest.raises(StoreError, match=told):
        accounts.add("ada", role, days=days)
    assert accounts.list().is_empty()


# ---- names


@pytest.mark.parametrize("name", ["", "   ", "x" * 201, "a\u202eb", "a\x00b", "a\u200bb", "automated:1", "Automated:x"])
def test_names_that_hide_or_pretend_are_refused(name: str) -> None:
    with pytest.raises(StoreError, match="name"):
        clean_name(name)


def test_a_name_is_the_same_however_it_was_typed() -> None:
    assert clean_name("  José \t Núñez ") == clean_name("José Núñez") == "José Núñez"


# ---- sessions


def test_without_accounts_whoever_gives_a_name_is_a_lead(sessions: Sessions) -> None:
    assert sessions.find(sessions.open("ada", by_account=False)) == Session("ada", LEAD, False)
    assert sessions.find("made up") is None
    assert sessions.find("") is None


def test_a_session_has_the_role_of_its_account_and_ends_with_it(accounts: Accounts, sessions: Sessions) -> None:
    accounts.add("ada")
    secret = sessions.open("ada", by_account=True)
    assert sessions.find(secret) == Session("ada", REVIEWER, True)
    accounts.revoke("ada")
    assert sessions.find(secret) is None
    accounts.add("ada")
    assert sessions.find(secret) is None


def test_a_name_alone_counts_no_longer_once_there_are_accounts(accounts: Accounts, sessions: Sessions) -> None:
    secret = sessions.open("ada", by_account=False)
    accounts.add("bob")
    assert sessions.find(secret) is None


def test_a_session_ends_after_its_time_and_when_it_is_closed(sessions: Sessions, later) -> None:
    first, second = sessions.open("ada", by_account=False), sessions.open("ada", by_account=False)
    sessions.close(first)
    assert sessions.find(first) is None
    later(SESSION_SECONDS - 60)
    assert sessions.find(second) is not None
    later(SESSION_SECONDS + 1)
    assert sessions.find(second) is None


def test_a_session_outlives_the_process_that_opened_it(sessions: Sessions, database_url: str) -> None:
    secret = sessions.open("ada", by_account=False)
    assert Sessions(Database(database_url)).find(secret) == Session("ada", LEAD, False)
