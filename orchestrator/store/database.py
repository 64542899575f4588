"""Opening, making, upgrading and backing up the database.

SQLite as a ledger needs a recipe, each part of which prevents a measured loss: WAL (readers never
block the writer), synchronous=FULL (a committed intent survives a power cut), BEGIN IMMEDIATE for
writes (a read-then-write never loses an update), a 30 s busy timeout, foreign keys on, file mode 0600
from the first byte.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, IntegrityError, OperationalError

from orchestrator.domain.errors import (
    ConfigurationError,
    DatabaseOutdated,
    DatabaseTooNew,
    LocalStateError,
    MissingExtra,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from types import ModuleType

    from sqlalchemy.engine import URL, Connection, ExceptionContext

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
    parsed = _parsed(url)
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return _told_in_words(_server(url))
    if backend != "sqlite":
        raise ConfigurationError(
            f"FTCTL_DATABASE_URL names {backend}; ftctl keeps its ledger in SQLite or PostgreSQL."
        )
    path = _database_file(parsed.database)
    _refuse_network(path)
    create_private(path)
    module = sqlite_module()
    engine = create_engine(
        url,
        module=module,
        connect_args={"timeout": BUSY_SECONDS},
        # Errors must not print what was bound: a row may hold what a dataset held.
        hide_parameters=True,
    )
    journal = journal_mode(module)

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

    return _told_in_words(engine)


def journal_mode(module: ModuleType) -> str:
    """WAL, but not where several processes could corrupt it."""
    return "wal" if module.sqlite_version_info >= WAL_SAFE else "delete"


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
    except (OperationalError, DatabaseError, sqlite3.Error, sqlite_module().Error) as error:
        raise _in_words(error, str(make_url(url))) from error


def _refuse_network(path: Path) -> None:
    """SQLite's locks mean nothing there, and two writers would ruin the ledger."""
    from orchestrator.store.disks import network_file_system

    kind = network_file_system(path.parent)
    if kind is not None:
        raise LocalStateError(
            f"{path.parent} lies on a network file system ({kind}), where SQLite can lose data.",
            hint="set FTCTL_HOME to a folder on a disk of this machine, or use PostgreSQL",
        )


def _told_in_words(engine: Engine) -> Engine:
    """Every error of the database, wherever it is met, is one sentence without data in it."""
    url = str(engine.url)

    @event.listens_for(engine, "handle_error")
    def _translate(context: ExceptionContext) -> None:
        error = context.sqlalchemy_exception
        # A broken constraint has a meaning, and the stores know it.
        if isinstance(error, DatabaseError) and not isinstance(error, IntegrityError):
            raise _in_words(error, url) from error

    return engine


def _server(url: str) -> Engine:
    """An engine over PostgreSQL; a lock that is waited for too long is an error, not a hang."""
    try:
        return create_engine(
            make_url(url).set(drivername="postgresql+psycopg"),
            hide_parameters=True,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": 10,
                "options": f"-c lock_timeout={BUSY_SECONDS * 1000} -c timezone=UTC",
            },
        )
    except ImportError as error:
        raise MissingExtra(
            "The driver for PostgreSQL is not installed.", hint="pip install 'ftctl[postgresql]'"
        ) from error


def create_private(path: Path) -> None:
    """Make folder and file readable by their owner alone, before anything is written."""
    from orchestrator.store.disks import private_folder

    try:
        private_folder(path.parent)
    except (FileNotFoundError, FileExistsError, NotADirectoryError) as error:
        raise LocalStateError(
            f"The folder {path.parent} cannot be made: {error.strerror}.",
            hint="name another one with FTCTL_HOME",
        ) from error
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def backup(url: str, target: Path) -> None:
    """Copy a SQLite database that others may be writing to, page by page, mode 0600.

    Raises:
        LocalStateError: it is not SQLite, or the copy is not sound.
    """
    source = sqlite_file(url)
    if source is None:
        raise LocalStateError("Only SQLite databases are backed up by ftctl.", hint="pg_dump")
    copy(source, target)


def copy(source: Path, target: Path) -> None:
    """Copy one SQLite file to another, whole; a copy that is not sound is removed.

    Raises:
        LocalStateError: the source cannot be read, or the copy is not sound.
    """
    if not source.is_file():
        raise LocalStateError(f"There is no database {source}.")
    create_private(target)
    module = sqlite_module()
    try:
        with (
            translated(f"sqlite:///{source}"),
            contextlib.closing(module.connect(str(source), timeout=BUSY_SECONDS)) as original,
            contextlib.closing(module.connect(str(target))) as made,
        ):
            original.backup(made)
            verdict = made.execute("PRAGMA integrity_check").fetchone()[0]
        if verdict != "ok":
            raise LocalStateError(f"The database {source} is not sound: {verdict}.")
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def sqlite_file(url: str) -> Path | None:
    """Where the database lies; None for a server."""
    parsed = _parsed(url)
    return _database_file(parsed.database) if parsed.get_backend_name() == "sqlite" else None


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
            if have is not None and have not in migrations.revisions():
                _refuse(have)
            copy = _backup_before(url, now) if have is not None else None
            migrations.upgrade(engine)
            return have, want, copy
    finally:
        engine.dispose()


def _backup_before(url: str, now: datetime) -> Path | None:
    path = sqlite_file(url)
    if path is None:
        return None
    target = path.with_name(f"{path.name}.{now:%Y%m%dT%H%M%S}.backup")
    backup(url, target)
    return target


def _refuse(have: str) -> None:
    from orchestrator.store import migrations

    if have in migrations.revisions():
        raise DatabaseOutdated(
            f"The database has schema {have}, this ftctl needs {migrations.head()}.",
            hint="ftctl db upgrade",
        )
    raise DatabaseTooNew(
        f"The database has schema {have}, which this ftctl does not know.",
        hint="install the newer ftctl that made it",
    )


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError as error:
        raise ConfigurationError(
            "FTCTL_DATABASE_URL is not a database URL.",
            hint="sqlite:////absolute/path.db, or postgresql://user@host/name",
        ) from error


def _database_file(database: str | None) -> Path:
    if not database or database == ":memory:":
        raise ConfigurationError(
            "FTCTL_DATABASE_URL names an in-memory database, and a ledger must outlive the command."
        )
    return Path(database)


def _first_line(error: object) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def _in_words(error: Exception, url: str) -> LocalStateError:
    said = _first_line(getattr(error, "orig", error))
    if "locked" in said or "lock timeout" in said:
        return LocalStateError(
            f"The database stayed locked for {BUSY_SECONDS} seconds.", hint="try again"
        )
    if "is full" in said or "No space left" in said:
        return LocalStateError("The disk is full.", hint="free some space; nothing was lost")
    if "readonly" in said:
        return LocalStateError(
            f"The database {url} may only be read.", hint="check who owns it, and its folder"
        )
    if "disk I/O error" in said:
        return LocalStateError(
            f"The disk failed while {url} was read or written.", hint="ftctl db check"
        )
    if "not a database" in said or "malformed" in said:
        return LocalStateError(f"{url} is not a sound SQLite database: {said}.")
    return LocalStateError(f"The database {url} cannot be used: {said}.")
