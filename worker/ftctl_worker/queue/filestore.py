"""Uploaded and result files: a row in the database, the content in the home folder."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
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

__all__ = ["FileStore", "StoredFile", "insert_file"]

_ALIVE = "(expires_at IS NULL OR expires_at > :now)"
_OWN = "(:project IS NULL OR project = :project)"


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
        place = source.rename(self._home.file(file.id))
        try:
            sync(self._home.files)
            with self._database.write() as connection:
                insert_file(connection, file)
        except Exception:
            place.unlink(missing_ok=True)
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
            gone = connection.execute("DELETE FROM files WHERE id = ?", (file_id,)).rowcount
        if gone:
            self._home.file(file_id).unlink(missing_ok=True)
        return bool(gone)

    def purge_expired(self) -> int:
        """Remove what has expired, and return how many files that were."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT id FROM files WHERE expires_at <= ?", (time.time(),)
            ).fetchall()
        return sum(self.delete(row["id"]) for row in rows)


def insert_file(connection: sqlite3.Connection, file: StoredFile) -> None:
    """Write the row of a file whose content is already in place."""
    connection.execute(
        "INSERT INTO files (id, filename, purpose, bytes, created_at, expires_at, project)"
        " VALUES (:id, :filename, :purpose, :bytes, :created_at, :expires_at, :project)",
        vars(file),
    )


def _file(row: sqlite3.Row) -> StoredFile:
    return StoredFile(**{name: row[name] for name in StoredFile.__dataclass_fields__})
