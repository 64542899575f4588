"""Is the database sound, and can it be put back: check, restore, and what the disk is made of."""

from __future__ import annotations

import contextlib
import shutil
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import func, inspect, select, table

from orchestrator.domain.errors import LocalStateError, UsageError
from orchestrator.store import database
from orchestrator.store.disks import free_bytes, network_file_system
from orchestrator.store.reading import reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Health:
    """What a look at the whole database found.

    Attributes:
        problems: sentences; none when it is sound.
        rows: how many, by table.
    """

    problems: tuple[str, ...] = ()
    rows: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a ledger stands on.

    Attributes:
        backend: sqlite | postgresql.
        library: version of SQLite, or of the server's driver.
        journal: how SQLite commits: wal, or delete where its library has the WAL-reset bug.
        is_own: SQLite is the one ftctl brings, not the system's.
        exists: a database was made.
        remote: kind of network file system the database lies on; None on a disk of this machine.
        free: bytes left there.
        exposed: files that others than their owner may read, among the database and the data.
    """

    backend: str
    library: str
    journal: str | None = None
    is_own: bool = False
    exists: bool = True
    remote: str | None = None
    free: int = 0
    exposed: tuple[Path, ...] = ()


def facts(url: str, home: Path) -> Facts:
    """Look at what a ledger stands on; makes nothing."""
    path = database.sqlite_file(url)
    if path is None:
        return Facts(backend="postgresql", library="psycopg", free=free_bytes(home))
    module = database.sqlite_module()
    return Facts(
        backend="sqlite",
        library=module.sqlite_version,
        journal=database.journal_mode(module),
        is_own=module.__name__ != "sqlite3",
        exists=path.exists(),
        remote=network_file_system(path.parent),
        free=free_bytes(path.parent),
        exposed=tuple(_exposed(path, home)),
    )


def _exposed(path: Path, home: Path) -> Iterator[Path]:
    files = [path, *path.parent.glob(f"{path.name}*"), home / "credentials.toml"]
    files += (home / "datasets").rglob("*.jsonl")
    for file in dict.fromkeys(files):
        if file.is_file() and stat.S_IMODE(file.stat().st_mode) & 0o077:
            yield file


def check(url: str) -> Health:
    """Read every page and every reference; changes nothing.

    Raises:
        LocalStateError: it cannot even be opened.
    """
    engine = database.connect(url)
    try:
        with reading(engine) as connection:
            problems: list[str] = []
            if connection.dialect.name == "sqlite":
                problems += [
                    f"integrity: {row[0]}"
                    for row in connection.exec_driver_sql("PRAGMA integrity_check")
                    if row[0] != "ok"
                ]
                problems += [
                    f"a row of {row[0]} points at a row of {row[2]} that is not there"
                    for row in connection.exec_driver_sql("PRAGMA foreign_key_check")
                ]
            names = sorted(inspect(connection).get_table_names())
            rows = {
                name: connection.scalar(select(func.count()).select_from(table(name))) or 0
                for name in names
            }
    finally:
        engine.dispose()
    return Health(problems=tuple(problems), rows=rows)


def restore(url: str, source: Path, now: datetime) -> tuple[Path | None, Health]:
    """Put a backup in the database's place; what was there is kept beside it.

    The copy is checked before it takes the place, and takes it at once: at no time is there half a
    database.

    Returns:
        Where the database that was there lies now (None when there was none), and the health of
        the one that is there now.

    Raises:
        UsageError: the backup is no ftctl database, or PostgreSQL holds the ledger.
        LocalStateError: the backup is not sound, or somebody is writing.
    """
    target = database.sqlite_file(url)
    if target is None:
        raise UsageError("Only SQLite databases are restored by ftctl.", hint="pg_restore")
    draft = target.with_name(f".{target.name}.{now:%Y%m%dT%H%M%S}.restore")
    try:
        database.copy(source, draft)
        health = check(f"sqlite:///{draft}")
        if health.problems or "jobs" not in health.rows:
            why = health.problems[0] if health.problems else "it holds no table of jobs"
            raise LocalStateError(f"The backup {source} cannot be restored: {why}.")
        kept = _moved_aside(url, target, now)
        draft.replace(target)
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            draft.with_name(draft.name + suffix).unlink(missing_ok=True)
    return kept, health


def _moved_aside(url: str, target: Path, now: datetime) -> Path | None:
    """A copy of what is there, however broken; its write-ahead log goes with it."""
    if not target.exists():
        return None
    kept = target.with_name(f"{target.name}.{now:%Y%m%dT%H%M%S}.replaced")
    with contextlib.suppress(LocalStateError):
        # A sound database is copied whole, log and all, so that one file is enough.
        database.backup(url, kept)
    if not kept.exists() or check_is_bad(kept):
        kept.unlink(missing_ok=True)
        shutil.copyfile(target, kept)
        kept.chmod(0o600)
    for suffix in ("-wal", "-shm", "-journal"):
        target.with_name(target.name + suffix).unlink(missing_ok=True)
    return kept


def check_is_bad(path: Path) -> bool:
    """Whether a copy is not worth the name."""
    try:
        return bool(check(f"sqlite:///{path}").problems)
    except LocalStateError:
        return True
