"""The worker's SQLite database: one connection per process, immediate transactions."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ftctl_worker.errors import LocalStateError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["SCHEMA_VERSION", "Database"]

_FIRST = """
CREATE TABLE files (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    filename TEXT NOT NULL,
    purpose TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
);
CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0,
    model TEXT NOT NULL,
    training_file TEXT NOT NULL,
    validation_file TEXT,
    suffix TEXT,
    seed INTEGER NOT NULL,
    metadata TEXT,
    requested TEXT NOT NULL,
    chosen TEXT,
    created_at INTEGER NOT NULL,
    updated_at REAL NOT NULL,
    started_at INTEGER,
    finished_at INTEGER,
    estimated_finish INTEGER,
    heartbeat_at REAL,
    fine_tuned_model TEXT,
    trained_tokens INTEGER,
    result_file TEXT,
    error TEXT
);
CREATE INDEX jobs_by_status ON jobs (status, seq);
CREATE INDEX jobs_by_update ON jobs (updated_at);
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    job_id TEXT NOT NULL REFERENCES jobs (id),
    created_at INTEGER NOT NULL,
    level TEXT NOT NULL,
    type TEXT NOT NULL,
    message TEXT NOT NULL,
    data TEXT NOT NULL
);
CREATE INDEX events_by_job ON events (job_id, seq);
CREATE TABLE checkpoints (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    job_id TEXT NOT NULL REFERENCES jobs (id),
    created_at INTEGER NOT NULL,
    step INTEGER NOT NULL,
    model TEXT NOT NULL,
    metrics TEXT NOT NULL,
    UNIQUE (job_id, step)
);
CREATE TABLE models (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    job_id TEXT NOT NULL REFERENCES jobs (id),
    base TEXT NOT NULL,
    folder TEXT NOT NULL,
    created_at INTEGER NOT NULL
);
CREATE TABLE idempotency (
    key TEXT PRIMARY KEY,
    body_sha256 TEXT NOT NULL,
    job_id TEXT NOT NULL REFERENCES jobs (id),
    created_at INTEGER NOT NULL
);
"""
_SECOND = """
ALTER TABLE jobs ADD COLUMN method TEXT NOT NULL DEFAULT 'supervised';
ALTER TABLE jobs ADD COLUMN options TEXT NOT NULL DEFAULT '{}';
CREATE TABLE uploads (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    filename TEXT NOT NULL,
    purpose TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    file_expires_after INTEGER,
    status TEXT NOT NULL,
    file_id TEXT
);
CREATE TABLE upload_parts (
    id TEXT PRIMARY KEY,
    upload_id TEXT NOT NULL REFERENCES uploads (id),
    bytes INTEGER NOT NULL,
    created_at INTEGER NOT NULL
);
CREATE INDEX upload_parts_by_upload ON upload_parts (upload_id);
"""
_THIRD = """
ALTER TABLE files ADD COLUMN project TEXT NOT NULL DEFAULT 'default';
ALTER TABLE uploads ADD COLUMN project TEXT NOT NULL DEFAULT 'default';
ALTER TABLE jobs ADD COLUMN project TEXT NOT NULL DEFAULT 'default';
CREATE INDEX jobs_by_start ON jobs (project, started_at);
UPDATE idempotency SET key = 'default/' || key;
"""
# Append only: a migration that was shipped is never changed.
_MIGRATIONS = (_FIRST, _SECOND, _THIRD)
SCHEMA_VERSION = len(_MIGRATIONS)


class Database:
    """A connection shared by the threads of one process, one transaction at a time."""

    def __init__(self, path: Path, *, shared: bool = False, check: bool = False) -> None:
        """Open the database, and make it (mode 0600) where there is none.

        ``shared`` with other machines; with ``check`` every page is looked at first.

        Raises:
            LocalStateError: the file is no database, is damaged, or a newer worker wrote it.
        """
        self._lock = threading.RLock()
        self._shared = shared
        try:
            _create_private(path)
            self._connection = sqlite3.connect(
                path, timeout=30, isolation_level=None, check_same_thread=False
            )
            self._connection.row_factory = sqlite3.Row
            self._configure()
            if check:
                self._check()
            self._migrate()
        except sqlite3.OperationalError as error:
            raise LocalStateError(f"The database {path} cannot be opened: {error}") from error
        except sqlite3.DatabaseError as error:
            raise LocalStateError(
                f"The database {path} is damaged ({error}). Put a backup of it in its place; or move "
                "it away to begin without jobs and files: what they left stays in the home."
            ) from error
        except OSError as error:
            raise LocalStateError(f"The database {path} cannot be opened: {error}") from error

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection for reading."""
        with self._lock:
            yield self._connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection inside BEGIN IMMEDIATE; commit at the end, roll back on an error."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # A full disk makes SQLite roll back by itself.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()

    def _check(self) -> None:
        found = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(" ".join(found.split()))

    def _configure(self) -> None:
        # Processes on several machines share no memory, which the write-ahead log needs.
        wal = not self._shared and _wal_is_safe(sqlite3.sqlite_version_info)
        journal = "WAL" if wal else "DELETE"
        self._connection.execute(f"PRAGMA journal_mode = {journal}")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")

    def _migrate(self) -> None:
        with self.write() as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise LocalStateError(
                    f"The database was written by a newer ftctl-worker (schema {version}, "
                    f"this one knows {SCHEMA_VERSION}); upgrade ftctl-worker."
                )
            if version == SCHEMA_VERSION:
                return
            for script in _MIGRATIONS[version:]:
                for statement in filter(str.strip, script.split(";")):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _create_private(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        path.chmod(0o600)


def _wal_is_safe(version: tuple[int, int, int]) -> bool:
    """Tell whether this SQLite has the mend of the WAL-reset bug (3.51.3, 3.50.7, 3.44.6)."""
    return (
        version >= (3, 51, 3)
        or (3, 50, 7) <= version < (3, 51, 0)
        or (3, 44, 6) <= version < (3, 45, 0)
    )
