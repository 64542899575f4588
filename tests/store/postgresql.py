"""A real PostgreSQL for tests, from Debian's packages, in a folder of its own; no TCP port."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from orchestrator.store.database import open_database

_NUMBERS = count(1)
_QUICK = "-c fsync=off -c full_page_writes=off -c synchronous_commit=off -c max_connections=60"


class Server:
    """Makes a new ledger without a row for every test: migrated once, and copied from then on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._create("blank")
        open_database(self._url("blank")).dispose()

    def new_url(self) -> str:
        """The URL of a ledger that nobody has used."""
        name = f"ledger{next(_NUMBERS)}"
        self._create(f"{name} TEMPLATE blank STRATEGY file_copy")
        return self._url(name)

    def _create(self, what: str) -> None:
        import psycopg

        with psycopg.connect(
            f"host={self._folder} user=postgres dbname=postgres", autocommit=True
        ) as connection:
            connection.execute(f"CREATE DATABASE {what}")

    def _url(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={self._folder}"


def binaries() -> Path | None:
    """Where Debian keeps the newest server, if it is there."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A server for the session; skipped where there is none."""
    where = binaries()
    if where is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    pytest.importorskip("psycopg")
    # A socket's path must be short, which pytest's folders are not.
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    as_user = _as_somebody(folder)
    if as_user is None:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
    data = folder / "data"
    try:
        _run(*as_user, where / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync")
        options = f"-k {folder} -c listen_addresses= {_QUICK}"
        log = folder / "log"
        _run(*as_user, where / "pg_ctl", "-D", data, "-l", log, "-w", "-o", options, "start")
        try:
            yield Server(folder)
        finally:
            _run(*as_user, where / "pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as_somebody(folder: Path) -> list[str] | None:
    """The server refuses to run as root; what to put before its commands."""
    if os.geteuid() != 0:
        return []
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        return None
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ["runuser", "-u", "postgres", "--"]


def _run(*command: str | Path) -> None:
    subprocess.run(
        [str(each) for each in command],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        cwd="/",
    )
