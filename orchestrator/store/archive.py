"""The archive: what became of a provider's files, and the bytes of those that are no dataset."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from orchestrator.domain.archive import ArchivedFile, FileState, Purpose
from orchestrator.store.datasets import copy_private
from orchestrator.store.disks import private_folder
from orchestrator.store.reading import reading
from orchestrator.store.tables import remote_file_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine


_DRAFT = ".part-"


class SqlArchive:
    """The port `Archive`: bytes under FTCTL_HOME/files, rows over SQLAlchemy Core."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        """Take an engine and the folder for the bytes; the folder is made on first use."""
        self._engine = engine
        self._folder = folder

    def files(self, account: str) -> dict[str, ArchivedFile]:
        """Every file of an account that was asked for, by its remote id."""
        query = select(remote_file_rows).where(remote_file_rows.c.account == account)
        with reading(self._engine) as connection:
            found = [
                ArchivedFile(
                    **{
                        **row,
                        "state": FileState(row["state"]),
                        "purpose": Purpose(row["purpose"]),
                    }
                )
                for row in connection.execute(query).mappings()
            ]
        return {file.remote_id: file for file in found}

    def put(self, file: ArchivedFile) -> None:
        """Remember what became of a file, in place of what was known."""
        row = {**vars(file), "state": str(file.state), "purpose": str(file.purpose)}
        with self._engine.begin() as connection:
            connection.execute(
                delete(remote_file_rows).where(
                    remote_file_rows.c.account == file.account,
                    remote_file_rows.c.remote_id == file.remote_id,
                )
            )
            connection.execute(insert(remote_file_rows).values(row))

    @contextmanager
    def drafts(self) -> Iterator[Path]:
        """A private folder on the disk of the store, emptied afterwards."""
        private_folder(self._folder)
        folder = Path(tempfile.mkdtemp(dir=self._folder, prefix=_DRAFT))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what drafts a killed run left behind; nobody else may be fetching."""
        for folder in self._folder.glob(f"{_DRAFT}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def keep(self, digest: str, content: Path) -> None:
        """Store bytes that are no dataset; the same bytes again change nothing."""
        target = self.path(digest)
        if not target.is_file():
            copy_private(content, target)

    def path(self, digest: str) -> Path:
        """Where such bytes lie."""
        return self._folder / digest[:2] / digest
