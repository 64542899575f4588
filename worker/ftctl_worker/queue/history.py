"""What happened to a job: its events and its checkpoints, both append-only."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ftctl_worker.ids import new_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from ftctl_worker.database import Database

__all__ = ["Checkpoint", "Event", "History", "Level", "add_event"]

Level = Literal["info", "warn", "error"]


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing that happened to a job; ``created_at`` in Unix seconds."""

    id: str
    created_at: int
    level: Level
    type: Literal["message", "metrics"]
    message: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The adapter as it stood after ``step`` optimizer steps, under a name that can be served."""

    id: str
    job_id: str
    created_at: int
    step: int
    model: str
    metrics: Mapping[str, float]


class History:
    """Reads events and checkpoints, newest first."""

    def __init__(self, database: Database) -> None:
        """Read from ``database``."""
        self._database = database

    def events(
        self, job_id: str, *, after: str | None, limit: int
    ) -> tuple[list[Event], bool] | None:
        """Return up to ``limit`` events and whether more follow; None where ``after`` is unknown."""
        page = self._page("events", job_id, after, limit)
        return None if page is None else ([_event(row) for row in page[0]], page[1])

    def checkpoints(
        self, job_id: str, *, after: str | None, limit: int
    ) -> tuple[list[Checkpoint], bool] | None:
        """Return up to ``limit`` checkpoints and whether more follow, like :meth:`events`."""
        page = self._page("checkpoints", job_id, after, limit)
        return None if page is None else ([_checkpoint(row) for row in page[0]], page[1])

    def _page(
        self, table: Literal["events", "checkpoints"], job_id: str, after: str | None, limit: int
    ) -> tuple[list[sqlite3.Row], bool] | None:
        with self._database.read() as connection:
            edge: int | None = None
            if after is not None:
                found = connection.execute(
                    f"SELECT seq FROM {table} WHERE id = ? AND job_id = ?",  # noqa: S608
                    (after, job_id),
                ).fetchone()
                if found is None:
                    return None
                edge = found[0]
            rows = connection.execute(
                f"SELECT * FROM {table} WHERE job_id = :job AND (:edge IS NULL OR seq < :edge)"  # noqa: S608
                " ORDER BY seq DESC LIMIT :limit",
                {"job": job_id, "edge": edge, "limit": limit + 1},
            ).fetchall()
        return rows[:limit], len(rows) > limit


def add_event(
    connection: sqlite3.Connection,
    job_id: str,
    message: str,
    *,
    level: Level = "info",
    type: Literal["message", "metrics"] = "message",
    data: Mapping[str, Any] | None = None,
) -> None:
    """Append an event inside the caller's transaction."""
    connection.execute(
        "INSERT INTO events (id, job_id, created_at, level, type, message, data)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            new_id("ftevent-"), job_id, int(time.time()), level, type, message,
            json.dumps(data or {}),
        ),
    )  # fmt: skip


def _event(row: sqlite3.Row) -> Event:
    return Event(
        id=row["id"],
        created_at=row["created_at"],
        level=row["level"],
        type=row["type"],
        message=row["message"],
        data=json.loads(row["data"]),
    )


def _checkpoint(row: sqlite3.Row) -> Checkpoint:
    return Checkpoint(
        id=row["id"],
        job_id=row["job_id"],
        created_at=row["created_at"],
        step=row["step"],
        model=row["model"],
        metrics=json.loads(row["metrics"]),
    )
