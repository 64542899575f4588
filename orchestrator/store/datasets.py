"""The content-addressed dataset store: bytes in a folder, what is known of them in the database."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from orchestrator.domain.errors import LocalStateError
from orchestrator.domain.jobs.dataset import Dataset, Upload
from orchestrator.store.disks import private_folder
from orchestrator.store.reading import reading
from orchestrator.store.tables import dataset_rows, upload_rows

if TYPE_CHECKING:
    from sqlalchemy import Engine, RowMapping, Select

_PART = ".part-"
_STALE_SECONDS = 24 * 3600


class SqlDatasetStore:
    """Datasets under FTCTL_HOME/datasets, rows over SQLAlchemy Core."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        """Take an engine and the folder for the bytes; the folder is made on first use."""
        self._engine = engine
        self._folder = folder

    def keep(self, dataset: Dataset, content: Path) -> Dataset:
        """Store the bytes under their digest; the same bytes again change nothing."""
        target = self.path(dataset.digest)
        if not target.is_file():
            _sweep(self._folder)
            copy_private(content, target)
        # Of two processes that keep the same bytes at once, either may write the row.
        with contextlib.suppress(IntegrityError), self._engine.begin() as connection:
            known = connection.execute(
                select(dataset_rows).where(dataset_rows.c.digest == dataset.digest)
            ).first()
            if known is None:
                connection.execute(insert(dataset_rows).values(vars(dataset)))
        return self.get(dataset.digest)

    def get(self, digest: str) -> Dataset:
        """What is known of a stored file.

        Raises:
            LocalStateError: nothing is.
        """
        row = self._first(select(dataset_rows).where(dataset_rows.c.digest == digest))
        if row is None:
            raise LocalStateError(f"The dataset store does not know {digest[:12]}.")
        return Dataset(**row)

    def all(self) -> list[Dataset]:
        """Every stored file, newest first."""
        query = select(dataset_rows).order_by(dataset_rows.c.created_at.desc())
        with reading(self._engine) as connection:
            return [Dataset(**row) for row in connection.execute(query).mappings()]

    def path(self, digest: str) -> Path:
        """Where the bytes lie."""
        return self._folder / digest[:2] / f"{digest}.jsonl"

    def upload(self, account: str, digest: str) -> Upload | None:
        """The newest upload of these bytes to that account."""
        row = self._first(
            select(upload_rows)
            .where(upload_rows.c.account == account, upload_rows.c.digest == digest)
            .order_by(upload_rows.c.created_at.desc())
        )
        if row is None:
            return None
        return Upload(**{name: value for name, value in row.items() if name != "id"})

    def add_upload(self, upload: Upload) -> None:
        """Remember where the bytes lie at a provider; the same file again changes nothing."""
        where = (
            upload_rows.c.account == upload.account,
            upload_rows.c.remote_id == upload.remote_id,
        )
        with contextlib.suppress(IntegrityError), self._engine.begin() as connection:
            if connection.execute(select(upload_rows.c.id).where(*where)).first() is None:
                connection.execute(insert(upload_rows).values(vars(upload)))

    def forget_upload(self, account: str, remote_id: str) -> None:
        """The provider no longer has that file."""
        with self._engine.begin() as connection:
            connection.execute(
                delete(upload_rows).where(
                    upload_rows.c.account == account, upload_rows.c.remote_id == remote_id
                )
            )

    def _first(self, query: Select[Any]) -> RowMapping | None:
        with reading(self._engine) as connection:
            return connection.execute(query).mappings().first()


def copy_private(source: Path, target: Path) -> None:
    """Copy to a temporary neighbour, flush to disk, then rename: whole or not at all."""
    private_folder(target.parent)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=_PART)
    try:
        with os.fdopen(handle, "wb") as copy, source.open("rb") as original:
            shutil.copyfileobj(original, copy, 1024 * 1024)
            copy.flush()
            os.fsync(copy.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _sweep(folder: Path) -> None:
    """Drop what processes left that were killed while they copied, a day ago or earlier."""
    for part in folder.glob(f"*/{_PART}*"):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > _STALE_SECONDS:
                part.unlink()
