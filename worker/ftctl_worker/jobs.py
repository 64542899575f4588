"""Fine-tuning jobs and every change of their state, each a compare-and-swap with its event."""

from __future__ import annotations

import enum
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftctl_worker.errors import ReusedKeyError
from ftctl_worker.history import add_event
from ftctl_worker.ids import new_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from ftctl_worker.database import Database
    from ftctl_worker.history import Level

__all__ = ["IdempotencyKey", "Job", "JobDraft", "JobError", "JobStatus", "JobStore"]

_KEEP_KEYS_SECONDS = 30 * 24 * 3600


class JobStatus(enum.StrEnum):
    """Where a job stands, in the words of the API."""

    VALIDATING_FILES = "validating_files"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing will ever change any more."""
        return self in {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}


@dataclass(frozen=True, kw_only=True)
class JobError:
    """Why a job failed: a stable code, a message for a person, the parameter to blame."""

    code: str
    message: str
    param: str | None = None


@dataclass(frozen=True, kw_only=True)
class JobDraft:
    """A checked request for a job. ``requested`` maps hyperparameters to a number or "auto"."""

    model: str
    training_file: str
    validation_file: str | None
    suffix: str | None
    seed: int
    metadata: Mapping[str, str] | None
    requested: Mapping[str, float | str]


@dataclass(frozen=True, kw_only=True)
class IdempotencyKey:
    """A client's key and the SHA-256 (hex) of the body that came with it."""

    key: str
    body_sha256: str


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training request; times in Unix seconds, ``chosen`` hyperparameters once known."""

    id: str
    status: JobStatus
    attempt: int
    model: str
    training_file: str
    validation_file: str | None
    suffix: str | None
    seed: int
    metadata: Mapping[str, str] | None
    requested: Mapping[str, float | str]
    chosen: Mapping[str, float] | None
    created_at: int
    updated_at: float
    started_at: int | None
    finished_at: int | None
    estimated_finish: int | None
    fine_tuned_model: str | None
    trained_tokens: int | None
    result_file: str | None
    error: JobError | None


class JobStore:
    """Creates, finds and moves jobs. Reading never changes anything."""

    def __init__(self, database: Database) -> None:
        """Keep jobs in ``database``."""
        self._database = database

    def create(self, draft: JobDraft, key: IdempotencyKey | None = None) -> tuple[Job, bool]:
        """Store a job, and the key beside it; return the job and whether it is new.

        Raises:
            ReusedKeyError: the key was used with another body.
        """
        now = time.time()
        with self._database.write() as connection:
            connection.execute(
                "DELETE FROM idempotency WHERE created_at < ?", (now - _KEEP_KEYS_SECONDS,)
            )
            earlier = None if key is None else _earlier(connection, key)
            if earlier is not None:
                return _find(connection, earlier), False
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
            earlier = _earlier(connection, key)
            return None if earlier is None else _find(connection, earlier)

    def get(self, job_id: str) -> Job | None:
        """Return a job, or None where there is none."""
        with self._database.read() as connection:
            row = connection.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
        return None if row is None else _job(row)

    def page(
        self,
        *,
        after: str | None,
        limit: int,
        metadata: Mapping[str, str] | None = None,
        without_metadata: bool = False,
        updated_since: float | None = None,
    ) -> tuple[list[Job], bool] | None:
        """Return up to ``limit`` jobs, newest first, and whether more follow.

        None where ``after`` names no job.
        """
        where: list[str] = ["1"]
        values: list[str | float] = []
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
                edge = connection.execute("SELECT seq FROM jobs WHERE id = ?", (after,)).fetchone()
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
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT * FROM jobs WHERE status = ? ORDER BY seq LIMIT 1", (status,)
            ).fetchone()
        return None if row is None else _job(row)

    def any_open(self) -> bool:
        """Tell whether a job is being validated, queued or running."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT 1 FROM jobs WHERE status IN ('validating_files', 'queued', 'running')"
                " LIMIT 1"
            ).fetchone()
        return row is not None

    def cancel(self, job_id: str) -> bool:
        """Cancel a job that is not final yet; False where it is."""
        return self._finish(job_id, JobStatus.CANCELLED, "Fine-tuning job was cancelled")

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
            "status = 'running', attempt = attempt + 1, started_at = CAST(:now AS INTEGER)",
            "id = :id AND status = 'queued' AND attempt = :attempt",
            {"id": job.id, "attempt": job.attempt},
            "Fine-tuning job started",
        )
        return job.attempt + 1 if started else None

    def requeue(self, job_id: str, attempt: int, why: str) -> bool:
        """Put a running job back into the queue, and say why."""
        return self._swap(
            "status = 'queued', estimated_finish = NULL",
            "id = :id AND status = 'running' AND attempt = :attempt",
            {"id": job_id, "attempt": attempt},
            why,
            level="warn",
        )

    def running(self) -> list[Job]:
        """Return the jobs that are running, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT * FROM jobs WHERE status = 'running' ORDER BY seq"
            ).fetchall()
        return [_job(row) for row in rows]

    def fail(self, job_id: str, error: JobError, *, attempt: int | None = None) -> bool:
        """Mark a job failed; with ``attempt``, only where that attempt still owns it."""
        return self._finish(job_id, JobStatus.FAILED, error.message, error=error, attempt=attempt)

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
                "UPDATE jobs SET status = :status, error = :error, updated_at = :now,"
                " finished_at = CAST(:now AS INTEGER), estimated_finish = NULL"
                " WHERE id = :id AND status IN ('validating_files', 'queued', 'running')"
                " AND (:attempt IS NULL OR attempt = :attempt)",
                {
                    "status": status,
                    "error": None if error is None else json.dumps(vars(error)),
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
                f"UPDATE jobs SET {assignments}, updated_at = :now WHERE {condition}",  # noqa: S608
                {**values, "now": time.time()},
            ).rowcount
            if changed:
                add_event(connection, values["id"], message, level=level)
        return bool(changed)


def _earlier(connection: sqlite3.Connection, key: IdempotencyKey) -> str | None:
    row = connection.execute("SELECT * FROM idempotency WHERE key = ?", (key.key,)).fetchone()
    if row is None:
        return None
    if row["body_sha256"] != key.body_sha256:
        raise ReusedKeyError(
            "This Idempotency-Key was already used with another request body.",
            param="Idempotency-Key",
            code="idempotency_key_reused",
        )
    return str(row["job_id"])


def _insert(connection: sqlite3.Connection, draft: JobDraft, now: float) -> str:
    job_id = new_id("ftjob-")
    connection.execute(
        "INSERT INTO jobs (id, status, model, training_file, validation_file, suffix, seed,"
        " metadata, requested, created_at, updated_at)"
        " VALUES (?, 'validating_files', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            job_id,
            draft.model,
            draft.training_file,
            draft.validation_file,
            draft.suffix,
            draft.seed,
            None if draft.metadata is None else json.dumps(draft.metadata),
            json.dumps(draft.requested),
            int(now),
            now,
        ),
    )
    return job_id


def _find(connection: sqlite3.Connection, job_id: str) -> Job:
    return _job(connection.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone())


def _job(row: sqlite3.Row) -> Job:
    values = {name: row[name] for name in Job.__dataclass_fields__}
    for name in ("metadata", "requested", "chosen"):
        values[name] = None if row[name] is None else json.loads(row[name])
    values["status"] = JobStatus(row["status"])
    values["error"] = None if row["error"] is None else JobError(**json.loads(row["error"]))
    return Job(**values)
