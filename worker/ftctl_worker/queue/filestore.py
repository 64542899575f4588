"""Uploaded and result files: a row in the database, the content in the home folder."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ftctl_worker.durable import sync
from ftctl_worker.errors import QuotaError
from ftctl_worker.ids import new_id
from ftctl_worker.project import DEFAULT_PROJECT

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from ftctl_worker.database import Database
    from ftctl_worker.home import Home

__all__ = ["FileStore", "StoredFile", "insert_file", "show"]

_ALIVE = "(expires_at IS NULL OR expires_at > :now)"
_OWN = "(:project IS NULL OR project = :project)"
# Of a file whose bytes are not in place yet. Nobody sees it, and the next server removes it.
_ARRIVING = -1


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """What is known of a file; ``filename`` is a label and never a path."""

    id: str
    filename: str
    purpose: str
    bytes: int
    created_at: int
    expires_at: int | None
    project: str = DEFAULT_PROJECT


class FileStore:
    """Keeps files; an expired file is as gone as a deleted one.

    A file is asked for on behalf of a project, which finds its own only; None finds all.
    """

    def __init__(self, database: Database, home: Home, *, most_bytes: int = 0) -> None:
        """Keep rows in ``database``, content under ``home``; 0 lets a project keep any number."""
        self._database = database
        self._home = home
        self._most_bytes = most_bytes

    def check_quota(self, size: int, project: str) -> None:
        """Make sure that a project may keep ``size`` bytes more.

        Raises:
            QuotaError: it may not.
        """
        if not self._most_bytes:
            return
        with self._database.read() as connection:
            (kept,) = connection.execute(
                "SELECT (SELECT COALESCE(SUM(bytes), 0) FROM files WHERE project = :project"  # noqa: S608
                f" AND {_ALIVE}) + (SELECT COALESCE(SUM(bytes), 0) FROM uploads"
                " WHERE project = :project AND status = 'pending' AND expires_at > :now)",
                {"project": project, "now": time.time()},
            ).fetchone()
        if kept + size > self._most_bytes:
            raise QuotaError(
                f"This project keeps {kept:,} bytes of files and uploads, and may keep "
                f"{self._most_bytes:,}; delete some first.",
                code="quota_exceeded",
            )

    def add(
        self,
        source: Path,
        *,
        filename: str,
        purpose: str,
        expires_after: int | None = None,
        project: str = DEFAULT_PROJECT,
    ) -> StoredFile:
        """Move ``source`` into the store for good; ``expires_after`` is in seconds."""
        file = self.arrive(
            source,
            filename=filename,
            purpose=purpose,
            expires_after=expires_after,
            project=project,
        )
        with self._database.write() as connection:
            show(connection, file)
        return file

    def arrive(
        self, source: Path, *, filename: str, purpose: str, expires_after: int | None, project: str
    ) -> StoredFile:
        """Move ``source`` into the store, where nobody sees it until it is shown.

        The row comes before the bytes: whenever the server dies, no bytes are without one.
        """
        with source.open("rb+") as stream:
            os.fsync(stream.fileno())
        now = int(time.time())
        file = StoredFile(
            id=new_id("file-"),
            filename=filename,
            purpose=purpose,
            bytes=source.stat().st_size,
            created_at=now,
            expires_at=None if expires_after is None else now + expires_after,
            project=project,
        )
        source.chmod(0o600)
        with self._database.write() as connection:
            insert_file(connection, replace(file, expires_at=_ARRIVING))
        try:
            source.rename(self._home.file(file.id))
            sync(self._home.files)
        except OSError:
            self.delete(file.id)
            raise
        return file

    def get(self, file_id: str, project: str | None = None) -> StoredFile | None:
        """Return a file, or None where there is none."""
        with self._database.read() as connection:
            row = connection.execute(
                f"SELECT * FROM files WHERE id = :id AND {_ALIVE} AND {_OWN}",  # noqa: S608
                {"id": file_id, "now": time.time(), "project": project},
            ).fetchone()
        return None if row is None else _file(row)

    def page(
        self,
        *,
        purpose: str | None,
        after: str | None,
        limit: int,
        newest_first: bool,
        project: str | None = None,
    ) -> tuple[list[StoredFile], bool] | None:
        """Return up to ``limit`` files and whether more follow; None where ``after`` is unknown."""
        with self._database.read() as connection:
            edge: int | None = None
            if after is not None:
                found = connection.execute(
                    f"SELECT seq FROM files WHERE id = :after AND {_OWN}",  # noqa: S608
                    {"after": after, "project": project},
                ).fetchone()
                if found is None:
                    return None
                edge = found[0]
            sign, order = ("<", "DESC") if newest_first else (">", "ASC")
            rows = connection.execute(
                f"SELECT * FROM files WHERE {_ALIVE} AND {_OWN}"  # noqa: S608
                " AND (:purpose IS NULL OR purpose = :purpose)"
                f" AND (:edge IS NULL OR seq {sign} :edge) ORDER BY seq {order} LIMIT :limit",
                {
                    "now": time.time(),
                    "purpose": purpose,
                    "edge": edge,
                    "limit": limit + 1,
                    "project": project,
                },
            ).fetchall()
        return [_file(row) for row in rows[:limit]], len(rows) > limit

    def delete(self, file_id: str) -> bool:
        """Remove a file; False where there was none."""
        with self._database.write() as connection:
            known = connection.execute(
                "UPDATE files SET expires_at = 0 WHERE id = ?", (file_id,)
            ).rowcount
        if known:
            # The row goes last: it is how a later purge finds bytes that a dead server left.
            self._home.file(file_id).unlink(missing_ok=True)
            with self._database.write() as connection:
                connection.execute("DELETE FROM files WHERE id = ?", (file_id,))
        return bool(known)

    def drop_arriving(self) -> None:
        """Remove what was arriving when an earlier server died."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT id FROM files WHERE expires_at = ?", (_ARRIVING,)
            ).fetchall()
        for row in rows:
            self.delete(row["id"])

    def purge_expired(self) -> int:
        """Remove what has expired, and return how many files that were."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT id FROM files WHERE expires_at BETWEEN 0 AND ?", (time.time(),)
            ).fetchall()
        return sum(self.delete(row["id"]) for row in rows)


def insert_file(connection: sqlite3.Connection, file: StoredFile) -> None:
    """Write the row of a file whose content is already in place."""
    connection.execute(
        "INSERT INTO files (id, filename, purpose, bytes, created_at, expires_at, project)"
        " VALUES (:id, :filename, :purpose, :bytes, :created_at, :expires_at, :project)",
        vars(file),
    )


def show(connection: sqlite3.Connection, file: StoredFile) -> None:
    """Let a file be seen that has arrived."""
    connection.execute("UPDATE files SET expires_at = ? WHERE id = ?", (file.expires_at, file.id))


def _file(row: sqlite3.Row) -> StoredFile:
    return StoredFile(**{name: row[name] for name in StoredFile.__dataclass_fields__})
