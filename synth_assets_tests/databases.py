"""The real PostgreSQL that tests use beside SQLite, and when they may do without.

Here: a server of its own in a temporary folder, a new database for each test. Not here: any test.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from synth_assets_tests.models import REQUIRE_VARIABLE

_ACCOUNT = "postgres"  # whom Debian's package adds; the server refuses to run as root
_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
_FOUND = shutil.which("initdb", path=os.pathsep.join([*map(str, reversed(_PROGRAMS)), os.environ.get("PATH", "")]))


def find_missing() -> str:
    """Return why there is no PostgreSQL to test with, or ""; RuntimeError where CI needs it."""
    lacking = "" if find_spec("psycopg") and _FOUND else "needs PostgreSQL's server and pip package psycopg"
    if lacking and os.environ.get(REQUIRE_VARIABLE) == "1":
        raise RuntimeError(f"{REQUIRE_VARIABLE}=1, but it {lacking}")
    return lacking


@contextmanager
def running_postgres() -> Iterator[Path]:
    """Start a server; yield the folder of its socket."""
    assert _FOUND is not None
    programs = Path(_FOUND).resolve().parent
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        account: dict[str, str] = {}
        if os.geteuid() == 0:
            found = pwd.getpwnam(_ACCOUNT)
            os.chown(folder, found.pw_uid, found.pw_gid)
            account = {"user": _ACCOUNT}

        def call(program: str, *arguments: str) -> None:
            command = [str(programs / program), "-D", str(folder / "data"), *arguments]
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=120, **account)

        call("initdb", "--username", _ACCOUNT, "--auth", "trust", "--no-sync")
        options = f"-F -c listen_addresses='' -c unix_socket_directories='{folder}' -c max_connections=50"
        call("pg_ctl", "--wait", "--log", str(folder / "log"), "--options", options, "start")
        try:
            yield folder
        finally:
            call("pg_ctl", "--wait", "--mode", "immediate", "stop")


def create_database(socket: Path) -> str:
    """Return the URL of a new, empty database."""
    import psycopg

    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(f"host={socket} user={_ACCOUNT} dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type] - no input of anybody
    return f"postgresql+psycopg://{_ACCOUNT}@/{name}?host={socket}"
