"""Jobs and what belongs to them: values to rows and back."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from orchestrator.domain.job import Hyperparameters, Job, JobEvent, JobStatus, Method, RemoteError

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import RowMapping


def transition_row(job: Job, before: JobStatus | None, at: datetime, reason: str) -> dict[str, Any]:
    """A change of state, as a row."""
    return {
        "job_id": job.id,
        "version": job.version,
        "at": at,
        "before": str(before) if before else None,
        "after": str(job.status),
        "reason": reason,
    }


def to_row(job: Job) -> dict[str, Any]:
    """A job as a row."""
    row = {field.name: getattr(job, field.name) for field in dataclasses.fields(job)}
    row |= {
        "method": str(job.method),
        "status": str(job.status),
        "hyperparameters": job.hyperparameters.as_wire(),
        "error": dataclasses.asdict(job.error) if job.error else None,
        "raw": dict(job.raw) if job.raw is not None else None,
    }
    return row


def from_row(row: RowMapping) -> Job:
    """A row as a job."""
    values = dict(row)
    values |= {
        "method": Method(row["method"]),
        "status": JobStatus(row["status"]),
        "hyperparameters": Hyperparameters(**row["hyperparameters"]),
        "error": RemoteError(**row["error"]) if row["error"] else None,
    }
    return Job(**values)


def event_row(event: JobEvent) -> dict[str, Any]:
    """An event as a row, without its job."""
    row = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
    row["data"] = dict(event.data) if event.data is not None else None
    return row
