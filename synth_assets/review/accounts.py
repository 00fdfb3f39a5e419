"""Accounts: who may review beyond this machine, and who is signed in.

Here: reviewer accounts with hashed tokens, sessions, and reviewers' names. Not here: cookies, forms and limits (app/).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import polars as pl

from synth_assets.errors import StoreError
from synth_assets.review.database import MAX_NAME, Database, table
from synth_assets.review.decisions import AUTOMATED

REVIEWER = "reviewer"
LEAD = "lead"
ROLES = (REVIEWER, LEAD)
SESSION_SECONDS = 12 * 3600.0
ACCOUNT_COLUMNS: dict[str, pl.DataType] = {
    "name": pl.String(),
    "role": pl.String(),
    "state": pl.String(),
    "created": pl.Datetime("ms", "UTC"),
    "expires": pl.Datetime("ms", "UTC"),
}

_TOKEN_BYTES = 24
_SCRYPT = {"n": 2**14, "r": 8, "p": 1}  # 16 MiB and about 50 ms a guess; tokens have 192 random bits besides


@dataclass(frozen=True)
class Session:
    """Who is signed in. by_account: with an account's token, not with a name alone."""

    reviewer: str
    role: str
    by_account: bool


def clean_name(name: str) -> str:
    """Return a reviewer's name, normalized; StoreError for one that cannot be kept."""
    name = " ".join(unicodedata.normalize("NFC", name).split())
    hidden = any(unicodedata.category(letter)[0] == "C" for letter in name)
    if not name or len(name) > MAX_NAME or hidden:
        raise StoreError(f"a reviewer's name has 1 to {MAX_NAME} visible characters")
    if name.casefold().startswith(f"{AUTOMATED}:"):
        raise StoreError(f"names that start with {AUTOMATED}: are kept for machines")
    return name


class Accounts:
    """The reviewer accounts of a database. A token is shown once; what is stored is its scrypt hash."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, name: str, role: str = REVIEWER, *, days: float = 90.0) -> str:
        """Open an account and return its token; StoreError if the name has one that is still valid."""
        from sqlalchemy import delete, insert

        name, now = clean_name(name), time.time()
        if role not in ROLES:
            raise StoreError(f"'{role}' is no role; allowed are {', '.join(ROLES)}")
        if not 0 < days <= 3660:
            raise StoreError("an account lasts more than 0 and at most 3660 days")
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        accounts = table("accounts")
        row = {"name": name, "role": role, "token_hash": _hash(token), "created": now, "expires": now + days * 86400}

        def work(connection) -> None:
            outdated = accounts.c.revoked.is_not(None) | (accounts.c.expires <= now)
            connection.execute(delete(accounts).where(accounts.c.name == name, outdated))
            connection.execute(insert(accounts), [row])

        if self._valid(name, now) is not None:
            raise StoreError(f"'{name}' has an account; revoke it first, then add it again for a new token")
        self._database.write("store an account", work)
        return token

    def revoke(self, name: str) -> bool:
        """End an account and its sessions at once; False if there is no valid one of that name."""
        from sqlalchemy import delete, update

        name, now = clean_name(name), time.time()
        accounts, sessions = table("accounts"), table("sessions")

        def work(connection) -> bool:
            connection.execute(delete(sessions).where(sessions.c.reviewer == name))
            valid = (accounts.c.name == name, accounts.c.revoked.is_(None), accounts.c.expires > now)
            return bool(connection.execute(update(accounts).where(*valid).values(revoked=now)).rowcount)

        return self._database.write("revoke an account", work)

    def list(self) -> pl.DataFrame:
        """Return all accounts by name; columns ACCOUNT_COLUMNS, state is valid, expired or revoked."""
        from sqlalchemy import select

        accounts, now = table("accounts"), time.time()
        columns = ("name", "role", "created", "expires", "revoked")
        schema = {"name": pl.String(), "role": pl.String(), **dict.fromkeys(columns[2:], pl.Float64())}
        query = select(*(accounts.c[column] for column in columns)).order_by(accounts.c.name)
        state = (
            pl.when(pl.col("revoked").is_not_null())
            .then(pl.lit("revoked"))
            .when(pl.col("expires") <= now)
            .then(pl.lit("expired"))
            .otherwise(pl.lit("valid"))
        )
        times = (pl.col("created", "expires") * 1000).cast(pl.Int64).cast(pl.Datetime("ms", "UTC"))
        found = self._database.read("read the accounts", query, schema)
        return found.with_columns(times, state=state).select(*ACCOUNT_COLUMNS)

    def exist(self) -> bool:
        """Whether any account is valid; then nobody gets in with a name alone."""
        return "valid" in self.list()["state"]

    def verify(self, name: str, token: str) -> bool:
        """Whether the token is the account's; takes as long for a name without one."""
        try:
            found = self._valid(clean_name(name), time.time())
        except StoreError:
            found = None
        right = _matches(token, found or _nobody())
        return right and found is not None

    def _valid(self, name: str, now: float) -> str | None:
        from sqlalchemy import select

        accounts = table("accounts")
        valid = (accounts.c.name == name, accounts.c.revoked.is_(None), accounts.c.expires > now)
        rows = self._database.rows("read an account", select(accounts.c.token_hash).where(*valid))
        return rows[0][0] if rows else None


class Sessions:
    """Who is signed in, kept in the database so that a restarted server knows its reviewers.

    A session is 32 random bytes in a cookie; what is stored is their hash.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, reviewer: str, *, by_account: bool) -> str:
        """Open a session for a reviewer and return its secret; sessions that have ended are swept away."""
        from sqlalchemy import delete, insert

        secret, now, sessions = secrets.token_urlsafe(32), time.time(), table("sessions")
        row = {
            "session_hash": _fingerprint(secret),
            "reviewer": reviewer,
            "by_account": by_account,
            "created": now,
            "expires": now + SESSION_SECONDS,
        }

        def work(connection) -> None:
            connection.execute(delete(sessions).where(sessions.c.expires <= now))
            connection.execute(insert(sessions), [row])

        self._database.write("open a session", work)
        return secret

    def find(self, secret: str) -> Session | None:
        """Return the session of a secret; None if it has ended, or its account has, or accounts came to exist since.

        Without accounts everybody is a lead: this is one machine.
        """
        from sqlalchemy import func, select

        now, sessions, accounts = time.time(), table("sessions"), table("accounts")
        valid = (accounts.c.revoked.is_(None), accounts.c.expires > now)
        existing = select(func.count()).select_from(accounts).where(*valid).scalar_subquery()
        role = select(accounts.c.role).where(accounts.c.name == sessions.c.reviewer, *valid).scalar_subquery()
        query = select(
            sessions.c.reviewer, sessions.c.by_account, role.label("role"), existing.label("accounts")
        ).where(sessions.c.session_hash == _fingerprint(secret), sessions.c.expires > now)
        rows = self._database.rows("read a session", query)
        if not rows:
            return None
        row = rows[0]
        if row.by_account:
            return Session(row.reviewer, row.role, True) if row.role else None
        return None if row.accounts else Session(row.reviewer, LEAD, False)

    def close(self, secret: str) -> None:
        """End a session."""
        from sqlalchemy import delete

        sessions = table("sessions")
        ended = delete(sessions).where(sessions.c.session_hash == _fingerprint(secret))
        self._database.write("close a session", lambda connection: connection.execute(ended))


def _fingerprint(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _hash(token: str) -> str:
    salt = secrets.token_bytes(16)
    return f"{salt.hex()}${hashlib.scrypt(token.encode(), salt=salt, **_SCRYPT).hex()}"


def _matches(token: str, stored: str) -> bool:
    salt, digest = stored.split("$")
    found = hashlib.scrypt(token.encode(), salt=bytes.fromhex(salt), **_SCRYPT).hex()
    return hmac.compare_digest(found, digest)


@lru_cache(maxsize=1)
def _nobody() -> str:
    return _hash(secrets.token_urlsafe(_TOKEN_BYTES))
