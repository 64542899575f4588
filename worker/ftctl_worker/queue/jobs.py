"""Every change of a job's state, each a compare-and-swap with its event."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from ftctl_worker.errors import QueueFullError, ReusedKeyError
from ftctl_worker.job import (
    FINISHED,
    UPDATED,
    IdempotencyKey,
    Job,
    JobDraft,
    JobError,
    JobStatus,
)
from ftctl_worker.job import find_job as _find
from ftctl_worker.job import insert_job as _insert
from ftctl_worker.job import job_of as _job
from ftctl_worker.queue.history import add_event

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from ftctl_worker.database import Database
    from ftctl_worker.queue.history import Level

__all__ = ["JobStore"]

_KEEP_KEYS_SECONDS = 30 * 24 * 3600
_OPEN = "status IN ('validating_files', 'queued', 'running')"
_ALIVE = "status IN ('validating_files', 'queued', 'running', 'paused')"


class JobStore:
    """Creates, finds and moves jobs. Reading never changes anything."""

    def __init__(self, database: Database, *, most_open: int = 0, most_of_project: int = 0) -> None:
        """Keep jobs in ``database``, so many of them open in all and of a project; 0: any."""
        self._database = database
        self._most_open = most_open
        self._most_of_project = most_of_project

    def create(self, draft: JobDraft, key: IdempotencyKey | None = None) -> tuple[Job, bool]:
        """Store a job, and the key beside it; return the job and whether it is new.

        Raises:
            ReusedKeyError: the key was used with another body.
            QueueFullError: as many jobs are open as may be.
        """
        now = time.time()
        with self._database.write() as connection:
            connection.execute(
                "DELETE FROM idempotency WHERE created_at < ?", (now - _KEEP_KEYS_SECONDS,)
            )
            earlier = None if key is None else _earlier(connection, key, now)
            if earlier is not None:
                return _find(connection, earlier), False
            self._check_room(connection, draft.project)
            job_id = _insert(connection, draft, now)
            if key is not None:
                connection.execute(
                    "INSERT INTO idempotency VALUES (?, ?, ?, ?)",
                    (key.key, key.body_sha256, job_id, int(now)),
                )
            add_event(connection, job_id, f"Created fine-tuning job: {job_id}")
            add_event(connection, job_id, f"Validating training file: {draft.training_file}")
            return _find(connection, job_id), True

    def replay(self, key: IdempotencyKey) -> Job | None:
        """Return the job that ``key`` made before, or None where the key is new.

        Raises:
            ReusedKeyError: the key was used with another body.
        """
        with self._database.read() as connection:
            earlier = _earlier(connection, key, time.time())
            return None if earlier is None else _find(connection, earlier)

    def get(self, job_id: str, project: str | None = None) -> Job | None:
        """Return a job of a project, of any where that is None; None where there is none."""
        with self._database.read() as connection:
            row = connection.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
        return None if row is None or project not in {None, row["project"]} else _job(row)

    def page(
        self,
        *,
        after: str | None,
        limit: int,
        metadata: Mapping[str, str] | None = None,
        without_metadata: bool = False,
        updated_since: float | None = None,
        project: str | None = None,
    ) -> tuple[list[Job], bool] | None:
        """Return up to ``limit`` jobs, newest first, and whether more follow.

        None where ``after`` names no job.
        """
        own = "(? IS NULL OR project = ?)"
        where: list[str] = [own]
        values: list[str | float | None] = [project, project]
        if without_metadata:
            where.append("metadata IS NULL")
        for name, value in (metadata or {}).items():
            where.append("EXISTS (SELECT 1 FROM json_each(metadata) WHERE key = ? AND value = ?)")
            values += [name, value]
        if updated_since is not None:
            where.append("updated_at >= ?")
            values.append(updated_since)
        with self._database.read() as connection:
            if after is not None:
                edge = connection.execute(
                    f"SELECT seq FROM jobs WHERE id = ? AND {own}",  # noqa: S608
                    (after, project, project),
                ).fetchone()
                if edge is None:
                    return None
                where.append("seq < ?")
                values.append(edge[0])
            rows = connection.execute(
                f"SELECT * FROM jobs WHERE {' AND '.join(where)} ORDER BY seq DESC LIMIT ?",  # noqa: S608
                (*values, limit + 1),
            ).fetchall()
        return [_job(row) for row in rows[:limit]], len(rows) > limit

    def oldest(self, status: JobStatus) -> Job | None:
        """Return the job that has waited longest in ``status``."""
        found = self.all_in(status, 1)
        return found[0] if found else None

    def next_queued(self) -> Job | None:
        """Return the oldest queued job of the project whose last start is longest ago."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT * FROM jobs AS one WHERE status = 'queued' ORDER BY (SELECT"
                " MAX(started_at) FROM jobs WHERE project = one.project), seq LIMIT 1"
            ).fetchone()
        return None if row is None else _job(row)

    def all_in(self, status: JobStatus, most: int) -> list[Job]:
        """Return the ``most`` jobs that have waited longest in ``status``; all where below 0."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT * FROM jobs WHERE status = ? ORDER BY seq LIMIT ?", (status, most)
            ).fetchall()
        return [_job(row) for row in rows]

    def any_open(self) -> bool:
        """Tell whether a job is being validated, queued or running."""
        with self._database.read() as connection:
            row = connection.execute(
                f"SELECT 1 FROM jobs WHERE {_OPEN} LIMIT 1"  # noqa: S608
            ).fetchone()
        return row is not None

    def counts(self, project: str | None = None) -> dict[JobStatus, int]:
        """Return how many jobs, of a project or of all, stand in each status, zeros included."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT status, COUNT(*) FROM jobs WHERE ? IS NULL OR project = ? GROUP BY status",
                (project, project),
            )
            found = {JobStatus(status): count for status, count in rows.fetchall()}
        return {status: found.get(status, 0) for status in JobStatus}

    def cancel(self, job_id: str) -> bool:
        """Cancel a job that is not final yet; False where it is."""
        return self._finish(job_id, JobStatus.CANCELLED, "Fine-tuning job was cancelled")

    def pause(self, job_id: str) -> bool:
        """Take a job out of the queue or off its trainer; False where it is final."""
        return self._swap(
            "status = 'paused', estimated_finish = NULL, error = NULL",
            f"id = :id AND {_OPEN}",
            {"id": job_id},
            "Fine-tuning job was paused",
        )

    def resume(self, job_id: str) -> bool:
        """Put a paused job back to where it waits; False where it is not paused."""
        return self._swap(
            "status = CASE attempt WHEN 0 THEN 'validating_files' ELSE 'queued' END",
            "id = :id AND status = 'paused'",
            {"id": job_id},
            "Fine-tuning job was resumed",
        )

    def accept(self, job_id: str) -> bool:
        """Move a validated job into the queue; False where it was cancelled meanwhile."""
        return self._swap(
            "status = 'queued'",
            "id = :id AND status = 'validating_files'",
            {"id": job_id},
            "Files validated, moving job to queued state",
        )

    def start(self, job: Job) -> int | None:
        """Give a queued job to a new attempt; return its number, or None where it moved on."""
        started = self._swap(
            "status = 'running', attempt = attempt + 1, started_at = CAST(:now AS INTEGER),"
            " error = NULL",
            "id = :id AND status = 'queued' AND attempt = :attempt",
            {"id": job.id, "attempt": job.attempt},
            "Fine-tuning job started",
        )
        return job.attempt + 1 if started else None

    def requeue(self, job_id: str, attempt: int, why: str, error: JobError | None = None) -> bool:
        """Put a running job back into the queue, and say why; ``error`` shows while it waits."""
        return self._swap(
            "status = 'queued', estimated_finish = NULL, error = :error",
            "id = :id AND status = 'running' AND attempt = :attempt",
            {"id": job_id, "attempt": attempt, "error": _text(error)},
            why,
            level="warn",
        )

    def hold(self, job: Job, error: JobError) -> bool:
        """Show why a queued job waits; saying it twice changes nothing."""
        if job.error == error:
            return False
        return self._swap(
            "error = :error",
            "id = :id AND status = 'queued'",
            {"id": job.id, "error": _text(error)},
            error.message,
            level="warn",
        )

    def model_folders(self, job_id: str) -> set[str]:
        """Return the folders, below that of all models, which have a name by this job."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT folder FROM models WHERE job_id = ?", (job_id,)
            ).fetchall()
        return {row["folder"] for row in rows}

    def running(self) -> list[Job]:
        """Return the jobs that are running, oldest first."""
        return self.all_in(JobStatus.RUNNING, most=-1)

    def fail(self, job_id: str, error: JobError, *, attempt: int | None = None) -> bool:
        """Mark a job failed; with ``attempt``, only where that attempt still owns it."""
        return self._finish(job_id, JobStatus.FAILED, error.message, error=error, attempt=attempt)

    def _check_room(self, connection: sqlite3.Connection, project: str) -> None:
        count, own = connection.execute(
            f"SELECT COUNT(*), COALESCE(SUM(project = ?), 0) FROM jobs WHERE {_OPEN}",  # noqa: S608
            (project,),
        ).fetchone()
        if self._most_of_project and own >= self._most_of_project:
            raise QueueFullError(
                f"{own} jobs of this project are open, which is as many as it may have; try again "
                "when some have ended.",
                code="queue_full",
            )
        if self._most_open and count >= self._most_open:
            raise QueueFullError(
                f"{count} jobs are open, which is as many as this server takes; try again when "
                "some have ended.",
                code="queue_full",
            )

    def _finish(
        self,
        job_id: str,
        status: JobStatus,
        message: str,
        *,
        error: JobError | None = None,
        attempt: int | None = None,
    ) -> bool:
        with self._database.write() as connection:
            changed = connection.execute(
                f"UPDATE jobs SET status = :status, error = :error, {UPDATED}, {FINISHED},"  # noqa: S608
                " estimated_finish = NULL"
                f" WHERE id = :id AND {_ALIVE}"
                " AND (:attempt IS NULL OR attempt = :attempt)",
                {
                    "status": status,
                    "error": _text(error),
                    "now": time.time(),
                    "id": job_id,
                    "attempt": attempt,
                },
            ).rowcount
            if changed:
                data = {"error_code": error.code} if error is not None else None
                level: Level = "info" if error is None else "error"
                add_event(connection, job_id, message, level=level, data=data)
        return bool(changed)

    def _swap(
        self,
        assignments: str,
        condition: str,
        values: dict[str, Any],
        message: str,
        *,
        level: Level = "info",
    ) -> bool:
        with self._database.write() as connection:
            changed = connection.execute(
                f"UPDATE jobs SET {assignments}, {UPDATED} WHERE {condition}",  # noqa: S608
                {**values, "now": time.time()},
            ).rowcount
            if changed:
                add_event(connection, values["id"], message, level=level)
        return bool(changed)


def _text(error: JobError | None) -> str | None:
    return None if error is None else json.dumps(vars(error))


def _earlier(connection: sqlite3.Connection, key: IdempotencyKey, now: float) -> str | None:
    row = connection.execute(
        "SELECT * FROM idempotency WHERE key = ? AND created_at >= ?",
        (key.key, now - _KEEP_KEYS_SECONDS),
    ).fetchone()
    if row is None:
        return None
    if row["body_sha256"] != key.body_sha256:
        raise ReusedKeyError(
            "This Idempotency-Key was already used with another request body.",
            param="Idempotency-Key",
            code="idempotency_key_reused",
        )
    return str(row["job_id"])
