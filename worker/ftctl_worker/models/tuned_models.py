"""Trained adapters under the names clients call them by."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftctl_worker.job import JobStatus
from ftctl_worker.models.bases import BaseModel

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from ftctl_worker.database import Database
    from ftctl_worker.home import Home

__all__ = ["TunedModel", "TunedModels"]

_OWN = "(? IS NULL OR (SELECT project FROM jobs WHERE id = job_id) = ?)"


@dataclass(frozen=True, kw_only=True)
class TunedModel:
    """An adapter over ``base``, or a whole model made from it, kept in ``folder``."""

    name: str
    base: str
    folder: Path
    created_at: int

    @property
    def is_whole(self) -> bool:
        """Whether the folder holds all weights, so that it needs no base."""
        return (self.folder / "config.json").is_file()

    def as_base(self) -> BaseModel:
        """Return a whole model as one to load."""
        return BaseModel(name=self.name, kind="folder", location=str(self.folder))


class TunedModels:
    """Finds and deletes adapters; two names may share one folder.

    A model belongs to the project of its job, which finds its own only; None finds all.
    """

    def __init__(self, database: Database, home: Home) -> None:
        """Keep names in ``database`` and weights under ``home``."""
        self._database = database
        self._home = home

    def get(self, name: str, project: str | None = None) -> TunedModel | None:
        """Return a tuned model, or None where there is none."""
        with self._database.read() as connection:
            row = connection.execute(
                f"SELECT * FROM models WHERE name = ? AND {_OWN}",  # noqa: S608
                (name, project, project),
            ).fetchone()
        return None if row is None else self._of(row)

    def all(self, project: str | None = None) -> list[TunedModel]:
        """Return every tuned model, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(
                f"SELECT * FROM models WHERE {_OWN} ORDER BY seq",  # noqa: S608
                (project, project),
            ).fetchall()
        return [self._of(row) for row in rows]

    def delete(self, name: str, project: str | None = None) -> bool:
        """Forget a name, and remove the weights nobody else names; False where there was none."""
        with self._database.write() as connection:
            row = connection.execute(
                f"DELETE FROM models WHERE name = ? AND {_OWN} RETURNING folder, job_id",  # noqa: S608
                (name, project, project),
            ).fetchone()
            if row is None:
                return False
            shared = connection.execute(
                "SELECT 1 FROM models WHERE folder = ?", (row["folder"],)
            ).fetchone()
        if shared is None:
            shutil.rmtree(self._home.models / row["folder"], ignore_errors=True)
        self._tidy(row["job_id"])
        return True

    def _of(self, row: sqlite3.Row) -> TunedModel:
        return TunedModel(
            name=row["name"],
            base=row["base"],
            folder=self._home.models / row["folder"],
            created_at=row["created_at"],
        )

    def _tidy(self, job_id: str) -> None:
        """Remove the empty folder of a job that makes no more models."""
        with self._database.read() as connection:
            (status,) = connection.execute(
                "SELECT status FROM jobs WHERE id = ?", (job_id,)
            ).fetchone()
        if JobStatus(status).is_final:
            with contextlib.suppress(OSError):  # it holds other models, or is gone
                (self._home.models / job_id).rmdir()
