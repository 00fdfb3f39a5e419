"""Leases: every reviewer gets something else, whatever happens at once."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from synth_assets.review.database import Database
from synth_assets.review.leases import SETTLED_SECONDS, LeaseBook, Offer

BOOK = LeaseBook("demo", "r000", seconds=100)
NOW = 1_000_000.0


@pytest.fixture
def database(database_url: str) -> Database:
    return Database(database_url)


def take(
    database: Database, reviewer: str, *offers: Offer | str, now: float = NOW, book: LeaseBook = BOOK
) -> str | None:
    given = [Offer(one) if isinstance(one, str) else one for one in offers]
    return database.write("take", lambda connection: book.take_first(connection, reviewer, given, now))


def do(database: Database, action: str, *given: object) -> object:
    return database.write(action, lambda connection: getattr(BOOK, action)(connection, *given))


def in_hand(database: Database, reviewer: str, now: float = NOW) -> list[str]:
    return [row.example_id for row in database.rows("look", BOOK.open_of(reviewer, now))]


def test_two_reviewers_get_different_examples(database: Database) -> None:
    assert [take(database, name, "e1", "e2", "e3") for name in ("ada", "bob", "cem")] == ["e1", "e2", "e3"]
    assert take(database, "dan", "e1", "e2", "e3") is None


def test_whoever_asks_again_gets_the_same_example(database: Database) -> None:
    assert take(database, "ada", "e1", "e2") == take(database, "ada", "e1", "e2") == "e1"


def test_a_lease_that_has_run_out_goes_to_another_and_not_before(database: Database) -> None:
    take(database, "ada", "e1")
    assert take(database, "bob", "e1", now=NOW + 99) is None
    assert take(database, "bob", "e1", now=NOW + 100) == "e1"
    assert in_hand(database, "ada", NOW + 100) == []
    assert do(database, "settle", "ada", "e1", NOW + 101) is False


def test_renewing_prolongs_a_lease_that_nobody_has_taken_over(database: Database) -> None:
    take(database, "ada", "e1")
    assert do(database, "renew", "ada", "e1", NOW + 90) is True
    assert take(database, "bob", "e1", now=NOW + 150) is None
    assert take(database, "bob", "e1", now=NOW + 190) == "e1"
    assert do(database, "renew", "ada", "e1", NOW + 191) is False


def test_an_example_that_wants_two_reviews_goes_to_two_people(database: Database) -> None:
    twice = Offer("e1", wanted=2)
    assert [take(database, name, twice) for name in ("ada", "bob", "cem")] == ["e1", "e1", None]


def test_nobody_gets_an_example_twice(database: Database) -> None:
    take(database, "ada", Offer("e1", wanted=2))
    do(database, "settle", "ada", "e1", NOW)
    assert take(database, "ada", Offer("e1", wanted=2)) is None
    assert take(database, "ada", Offer("e1", wanted=2, reviewed_by=["ada"]), now=NOW + 1e6) is None


def test_what_was_decided_is_held_until_every_process_has_read_it(database: Database) -> None:
    take(database, "ada", "e1")
    assert do(database, "settle", "ada", "e1", NOW) is True
    assert take(database, "bob", "e1", now=NOW + SETTLED_SECONDS - 1) is None
    assert take(database, "bob", Offer("e1", reviewed_by=["ada"]), now=NOW + 1e6) is None
    assert in_hand(database, "ada") == []


def test_reviewers_who_decided_elsewhere_count(database: Database) -> None:
    assert take(database, "bob", Offer("e1", wanted=2, reviewed_by=["ada"])) == "e1"
    assert take(database, "cem", Offer("e1", wanted=2, reviewed_by=["ada"])) is None


def test_what_is_given_back_is_free_at_once(database: Database) -> None:
    take(database, "ada", "e1")
    assert do(database, "give_back", "ada", "e1") is True
    assert take(database, "bob", "e1") == "e1"
    assert do(database, "give_back", "ada", "e1") is False


def test_what_is_reopened_is_back_in_hand_before_anything_else(database: Database) -> None:
    take(database, "ada", "e1")
    do(database, "settle", "ada", "e1", NOW)
    take(database, "ada", "e2", now=NOW + 1)
    do(database, "reopen", "ada", "e1", NOW + 2)
    assert in_hand(database, "ada") == ["e1", "e2"]
    do(database, "reopen", "ada", "imported", NOW + 3)
    assert in_hand(database, "ada") == ["imported", "e1", "e2"]


def test_rounds_and_data_sets_do_not_share_leases(database: Database) -> None:
    take(database, "ada", "e1")
    assert take(database, "bob", "e1", book=LeaseBook("demo", "r001")) == "e1"
    assert take(database, "bob", "e1", book=LeaseBook("other", "r000")) == "e1"


@pytest.mark.parametrize("wanted", [1, 2])
def test_many_at_once_get_every_example_as_often_as_wanted(database_url: str, wanted: int) -> None:
    """Each has a database connection of its own, as in a process of its own."""
    offers = [Offer(f"e{i}", wanted=wanted) for i in range(24)]
    names = [f"reviewer {i}" for i in range(6)]
    got: dict[str, list[str]] = {name: [] for name in names}
    together = threading.Barrier(len(names))

    def work(name: str) -> None:
        database = Database(database_url)
        together.wait()
        while (
            found := take(database, name, *[offer for offer in offers if offer.example_id not in got[name]])
        ) is not None:
            got[name].append(found)
        database.close()

    Database(database_url).close()
    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = Counter(example for examples in got.values() for example in examples)
    assert taken == {offer.example_id: wanted for offer in offers}
    assert all(len(examples) == len(set(examples)) for examples in got.values())
