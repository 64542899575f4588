"""Opening, making, upgrading and backing up the database.

SQLite as a ledger needs a recipe, each part of which prevents a measured loss: WAL (readers never
block the writer), synchronous=FULL (a committed intent survives a power cut), BEGIN IMMEDIATE for
writes (a read-then-write never loses an update), a 30 s busy timeout, foreign keys on, file mode 0600
from the first byte.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import DatabaseError, OperationalError

from orchestrator.domain.errors import (
    ConfigurationError,
    DatabaseOutdated,
    DatabaseTooNew,
    LocalStateError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from types import ModuleType

    from sqlalchemy.engine import Connection

BUSY_SECONDS = 30
# The first SQLite without the WAL-reset bug, by which several processes can corrupt a database.
WAL_SAFE = (3, 51, 3)


def open_database(url: str) -> Engine:
    """An engine over an up-to-date database; a new one is made, an older one is refused.

    Raises:
        DatabaseOutdated: `ftctl db upgrade` is due.
        DatabaseTooNew: another, newer ftctl made it.
        LocalStateError: it cannot be opened, or it is not a database.
    """
    engine = connect(url)
    from orchestrator.store import migrations

    try:
        with translated(url):
            have, want = migrations.current(engine), migrations.head()
            if have is None:
                migrations.upgrade(engine)
            elif have != want:
                _refuse(have)
    except BaseException:
        engine.dispose()
        raise
    return engine


def connect(url: str) -> Engine:
    """An engine with the recipe, whatever the schema inside."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(url, hide_parameters=True)
    path = _database_file(parsed.database)
    create_private(path)
    module = sqlite_module()
    engine = create_engine(
        url,
        module=module,
        connect_args={"timeout": BUSY_SECONDS},
        # Errors must not print what was bound: a row may hold what a dataset held.
        hide_parameters=True,
    )
    journal = "WAL" if module.sqlite_version_info >= WAL_SAFE else "DELETE"

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "foreign_keys=ON",
            f"busy_timeout={BUSY_SECONDS * 1000}",
            f"journal_mode={journal}",
            "synchronous=FULL",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A DEFERRED transaction that reads and then writes fails at once when another process wrote
        # in between, whatever the timeout says; IMMEDIATE waits its turn.
        readonly = connection.get_execution_options().get("ftctl_readonly", False)
        connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")

    return engine


def sqlite_module() -> ModuleType:
    """The SQLite with the WAL-reset fix where the pysqlite3 package brings one, else Python's own."""
    try:
        from pysqlite3 import dbapi2
    except ImportError:
        return sqlite3
    newer: ModuleType = dbapi2
    return newer if newer.sqlite_version_info > sqlite3.sqlite_version_info else sqlite3


@contextlib.contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn a driver's errors into one sentence; parameters and rows stay out of it."""
    try:
        yield
    except (OperationalError, DatabaseError, sqlite3.Error) as error:
        raise _in_words(error, str(make_url(url))) from error


def create_private(path: Path) -> None:
    """Make folder and file readable by their owner alone, before anything is written."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def backup(url: str, target: Path) -> None:
    """Copy a SQLite database that others may be writing to, page by page, mode 0600.

    Raises:
        LocalStateError: it is not SQLite, or the copy is not sound.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        raise LocalStateError("Only SQLite databases are backed up by ftctl.", hint="pg_dump")
    create_private(target)
    module = sqlite_module()
    with (
        contextlib.closing(module.connect(str(_database_file(parsed.database)))) as source,
        contextlib.closing(module.connect(str(target))) as copy,
    ):
        source.backup(copy)
        verdict = copy.execute("PRAGMA integrity_check").fetchone()[0]
    if verdict != "ok":
        raise LocalStateError(f"The backup {target} is not sound: {verdict}.")


def upgrade(url: str, now: datetime) -> tuple[str | None, str, Path | None]:
    """Bring a database to this program's schema, after a backup beside it.

    Returns:
        The revision before, the revision after, and the backup (None when nothing was there).
    """
    from orchestrator.store import migrations

    engine = connect(url)
    try:
        with translated(url):
            have, want = migrations.current(engine), migrations.head()
            if have == want:
                return have, want, None
            if have is not None and not migrations.knows(have):
                _refuse(have)
            copy = _backup_before(url, now) if have is not None else None
            migrations.upgrade(engine)
            return have, want, copy
    finally:
        engine.dispose()


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[bool]:
    """Hold a file lock if nobody else does; the kernel frees it however the process ends.

    Yields:
        Whether the lock is ours.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    ours = False
    try:
        ours = _locked(handle, path)
        yield ours
    finally:
        if ours:
            path.unlink(missing_ok=True)
        os.close(handle)


def _locked(handle: int, path: Path) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    # The holder before us may have removed the file between our open and our lock; a lock on a
    # file that has no name any more keeps nobody out.
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_ino == os.fstat(handle).st_ino
    return False


def _backup_before(url: str, now: datetime) -> Path | None:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return None
    path = _database_file(parsed.database)
    target = path.with_name(f"{path.name}.{now:%Y%m%dT%H%M%S}.backup")
    backup(url, target)
    return target


def _refuse(have: str) -> None:
    from orchestrator.store import migrations

    if migrations.knows(have):
        raise DatabaseOutdated(
            f"The database has schema {have}, this ftctl needs {migrations.head()}.",
            hint="ftctl db upgrade",
        )
    raise DatabaseTooNew(
        f"The database has schema {have}, which this ftctl does not know.",
        hint="install the newer ftctl that made it",
    )


def _database_file(database: str | None) -> Path:
    if not database or database == ":memory:":
        raise ConfigurationError(
            "FTCTL_DATABASE_URL names an in-memory database, and a ledger must outlive the command."
        )
    return Path(database)


def _in_words(error: Exception, url: str) -> LocalStateError:
    said = str(getattr(error, "orig", error)).splitlines()[0]
    if "locked" in said:
        return LocalStateError(
            f"The database stayed locked for {BUSY_SECONDS} seconds.", hint="try again"
        )
    if "full" in said:
        return LocalStateError("The disk is full.", hint="free some space; nothing was lost")
    if "not a database" in said or "malformed" in said:
        return LocalStateError(f"{url} is not a sound SQLite database: {said}.")
    return LocalStateError(f"The database {url} cannot be used: {said}.")
