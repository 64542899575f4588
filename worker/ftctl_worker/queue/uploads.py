"""Uploads in parts: the parts wait on disk until they are put together or thrown away."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ftctl_worker.errors import BadRequestError, NotFoundError
from ftctl_worker.ids import new_id
from ftctl_worker.project import DEFAULT_PROJECT
from ftctl_worker.queue.filestore import show

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from pathlib import Path

    from ftctl_worker.database import Database
    from ftctl_worker.home import Home
    from ftctl_worker.queue.filestore import FileStore, StoredFile

__all__ = ["PART_BYTES", "Upload", "Uploads"]

PART_BYTES = 64 * 1024 * 1024
_LIFE_SECONDS = 3600
_CHUNK = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A file that comes in parts; ``bytes`` is what was announced."""

    id: str
    filename: str
    purpose: str
    bytes: int
    created_at: int
    expires_at: int
    file_expires_after: int | None
    status: Literal["pending", "completed", "cancelled", "expired"]
    file_id: str | None
    project: str = DEFAULT_PROJECT


class Uploads:
    """Keeps uploads for an hour."""

    def __init__(self, database: Database, home: Home, files: FileStore) -> None:
        """Keep rows in ``database`` and parts under ``home``; what is complete goes to ``files``."""
        self._database = database
        self._home = home
        self._files = files

    def create(
        self,
        *,
        filename: str,
        purpose: str,
        size: int,
        file_expires_after: int | None,
        project: str = DEFAULT_PROJECT,
    ) -> Upload:
        """Announce a file of ``size`` bytes."""
        now = int(time.time())
        upload_id = new_id("upload_")
        with self._database.write() as connection:
            connection.execute(
                "INSERT INTO uploads (id, filename, purpose, bytes, created_at, expires_at,"
                " file_expires_after, project, status) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'pending')",
                (
                    *(upload_id, filename, purpose, size, now, now + _LIFE_SECONDS),
                    *(file_expires_after, project),
                ),
            )
        return self.get(upload_id)

    def get(self, upload_id: str, project: str | None = None) -> Upload:
        """Return an upload of a project; of any where that is None.

        Raises:
            NotFoundError: there is none.
        """
        with self._database.read() as connection:
            row = connection.execute("SELECT * FROM uploads WHERE id = ?", (upload_id,)).fetchone()
        if row is None or project not in {None, row["project"]}:
            raise NotFoundError(f"No such Upload object: {upload_id[:100]}", param="upload_id")
        return _upload(row)

    def add_part(self, upload_id: str, source: Path) -> tuple[str, int]:
        """Take over ``source`` as a part; return its id and when it was made.

        Raises:
            BadRequestError: the upload has ended, or would grow beyond what was announced.
        """
        size = source.stat().st_size
        part_id, now = new_id("part_"), int(time.time())
        with self._database.write() as connection:
            upload = self._pending(upload_id)
            (taken,) = connection.execute(
                "SELECT COALESCE(SUM(bytes), 0) FROM upload_parts WHERE upload_id = ?", (upload_id,)
            ).fetchone()
            if taken + size > upload.bytes:
                raise BadRequestError(
                    f"The parts hold more than the {upload.bytes} bytes announced.", param="data"
                )
            connection.execute(
                "INSERT INTO upload_parts VALUES (?, ?, ?, ?)", (part_id, upload_id, size, now)
            )
            source.rename(self._home.parts / part_id)
        return part_id, now

    def complete(
        self, upload_id: str, part_ids: Sequence[str], md5: str | None
    ) -> tuple[Upload, StoredFile]:
        """Put the parts together in the order given, and store the file.

        Raises:
            BadRequestError: a part is missing, or size or checksum are not those announced.
        """
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT id FROM upload_parts WHERE upload_id = ?", (upload_id,)
            ).fetchall()
        known = {row["id"] for row in rows}
        # Asked after its parts, which go with its end.
        upload = self._pending(upload_id)
        if not part_ids or len(set(part_ids)) != len(part_ids) or not set(part_ids) <= known:
            raise BadRequestError(
                "'part_ids' must name parts of this upload, each once.", param="part_ids"
            )
        whole = self._home.uploads / new_id("whole-")
        try:
            self._join(upload, part_ids, md5, whole)
            file = self._files.arrive(
                whole,
                filename=upload.filename,
                purpose=upload.purpose,
                expires_after=upload.file_expires_after,
                project=upload.project,
            )
        except FileNotFoundError:
            self._pending(upload_id)  # its parts are gone where another request has ended it
            raise
        finally:
            whole.unlink(missing_ok=True)
        if not self._end(upload_id, "completed", file):
            self._files.delete(file.id)
            raise _ended(self.get(upload_id))
        return self.get(upload_id), file

    def cancel(self, upload_id: str) -> Upload:
        """Throw an upload away.

        Raises:
            BadRequestError: it has ended already.
        """
        self.get(upload_id)
        if not self._end(upload_id, "cancelled"):
            raise _ended(self.get(upload_id))
        return self.get(upload_id)

    def purge_expired(self) -> None:
        """Throw away what nobody completed within its hour, and what dead servers left of parts."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT id FROM uploads WHERE status = 'pending' AND expires_at <= ?",
                (time.time(),),
            ).fetchall()
        for row in rows:
            self._end(row["id"], "expired")
        for part in self._home.parts.iterdir():
            # Its upload is older still.
            if part.stat().st_mtime < time.time() - _LIFE_SECONDS:
                part.unlink(missing_ok=True)

    def _pending(self, upload_id: str) -> Upload:
        upload = self.get(upload_id)
        if upload.status == "pending" and upload.expires_at <= time.time():
            self._end(upload_id, "expired")
            upload = self.get(upload_id)
        if upload.status != "pending":
            raise _ended(upload)
        return upload

    def _join(self, upload: Upload, part_ids: Sequence[str], md5: str | None, whole: Path) -> None:
        digest = hashlib.md5(usedforsecurity=False)
        with whole.open("xb") as target:
            for part_id in part_ids:
                with (self._home.parts / part_id).open("rb") as part:
                    while chunk := part.read(_CHUNK):
                        digest.update(chunk)
                        target.write(chunk)
            target.flush()
            os.fsync(target.fileno())
        size = whole.stat().st_size
        if size != upload.bytes:
            raise BadRequestError(
                f"The parts hold {size} bytes, but {upload.bytes} were announced.", param="part_ids"
            )
        if md5 is not None and md5.lower() != digest.hexdigest():
            raise BadRequestError("The parts do not have the given checksum.", param="md5")

    def _end(self, upload_id: str, status: str, file: StoredFile | None = None) -> bool:
        """End an upload, and show its file in the same breath; False where it had ended."""
        with self._database.write() as connection:
            changed = connection.execute(
                "UPDATE uploads SET status = ?, file_id = ? WHERE id = ? AND status = 'pending'",
                (status, None if file is None else file.id, upload_id),
            ).rowcount
            if changed and file is not None:
                show(connection, file)
            parts = connection.execute(
                "DELETE FROM upload_parts WHERE upload_id = ? AND ? RETURNING id",
                (upload_id, changed),
            ).fetchall()
        for part in parts:
            (self._home.parts / part["id"]).unlink(missing_ok=True)
        return bool(changed)


def _ended(upload: Upload) -> BadRequestError:
    return BadRequestError(
        f"The upload {upload.id} is {upload.status}.", code="upload_not_pending", param="upload_id"
    )


def _upload(row: sqlite3.Row) -> Upload:
    return Upload(**{name: row[name] for name in Upload.__dataclass_fields__})
