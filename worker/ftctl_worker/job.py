"""A fine-tuning job as a value: what was asked for, where it stands, how it is stored in a row."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ftctl_worker.ids import new_id
from ftctl_worker.project import DEFAULT_PROJECT

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

__all__ = [
    "FINISHED", "UPDATED", "IdempotencyKey", "Job", "JobDraft", "JobError", "JobStatus", "Method", "find_job", "insert_job",
    "job_of",
]  # fmt: skip

# SQL for a change at ``:now``. A clock that was put back makes nobody miss a change who asks for
# those since the last one, and no job end before it began.
UPDATED = "updated_at = MAX(:now, COALESCE((SELECT MAX(updated_at) FROM jobs), 0))"
FINISHED = "finished_at = MAX(CAST(:now AS INTEGER), COALESCE(started_at, created_at))"
Method = Literal["supervised", "dpo", "reinforcement"]


class JobStatus(enum.StrEnum):
    """Where a job stands, in the words of the API."""

    VALIDATING_FILES = "validating_files"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PAUSED = "paused"

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
    """A checked request for a job.

    ``requested`` maps hyperparameters to a number or "auto"; ``options`` are the worker's own, as
    ``{"lora": {...}, "early_stopping_patience": 2}``; the grader of a reinforcement job is among
    them as ``"grader"``, in the words of the API.
    """

    model: str
    training_file: str
    validation_file: str | None
    suffix: str | None
    seed: int
    metadata: Mapping[str, str] | None
    requested: Mapping[str, float | str]
    method: Method = "supervised"
    options: Mapping[str, Any] = field(default_factory=dict)
    project: str = DEFAULT_PROJECT


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
    method: Method
    options: Mapping[str, Any]
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
    project: str = DEFAULT_PROJECT


def insert_job(connection: sqlite3.Connection, draft: JobDraft, now: float) -> str:
    """Write a new job inside the caller's transaction, and return its id."""
    job_id = new_id("ftjob-")
    connection.execute(
        "INSERT INTO jobs (id, status, model, training_file, validation_file, suffix, seed,"
        " metadata, requested, method, options, project, created_at, updated_at)"
        " VALUES (?, 'validating_files', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
        " MAX(?, COALESCE((SELECT MAX(updated_at) FROM jobs), 0)))",
        (
            job_id,
            draft.model,
            draft.training_file,
            draft.validation_file,
            draft.suffix,
            draft.seed,
            None if draft.metadata is None else json.dumps(draft.metadata),
            json.dumps(draft.requested),
            draft.method,
            json.dumps(draft.options),
            draft.project,
            int(now),
            now,
        ),
    )
    return job_id


def find_job(connection: sqlite3.Connection, job_id: str) -> Job:
    """Return the job of an id that exists."""
    return job_of(connection.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone())


def job_of(row: sqlite3.Row) -> Job:
    """Return the job in a row."""
    values = {name: row[name] for name in Job.__dataclass_fields__}
    for name in ("metadata", "requested", "options", "chosen"):
        values[name] = None if row[name] is None else json.loads(row[name])
    values["status"] = JobStatus(row["status"])
    values["error"] = None if row["error"] is None else JobError(**json.loads(row["error"]))
    return Job(**values)
