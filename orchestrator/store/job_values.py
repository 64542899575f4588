"""Jobs and what belongs to them: values to rows and back."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from orchestrator.domain.job import (
    Hyperparameters,
    Job,
    JobEvent,
    JobOptions,
    JobStatus,
    Method,
    RemoteError,
)

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import RowMapping

# One JSON column holds everything that was chosen; a hyperparameter never has this name.
_OPTIONS = "options"


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
        "hyperparameters": {**job.hyperparameters.as_wire(), **_options(job)},
        "error": dataclasses.asdict(job.error) if job.error else None,
        "raw": dict(job.raw) if job.raw is not None else None,
    }
    del row["options"]
    return row


def from_row(row: RowMapping) -> Job:
    """A row as a job."""
    values = dict(row)
    chosen = dict(row["hyperparameters"])
    values |= {
        "method": Method(row["method"]),
        "status": JobStatus(row["status"]),
        "options": JobOptions.from_json(chosen.pop(_OPTIONS, {})),
        "hyperparameters": Hyperparameters(**chosen),
        "error": RemoteError(**row["error"]) if row["error"] else None,
    }
    return Job(**values)


def event_row(event: JobEvent) -> dict[str, Any]:
    """An event as a row, without its job."""
    row = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
    row["data"] = dict(event.data) if event.data is not None else None
    return row


def _options(job: Job) -> dict[str, Any]:
    chosen = job.options.as_json()
    return {_OPTIONS: chosen} if chosen else {}
