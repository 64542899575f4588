"""Jobs and what belongs to them: values to rows and back."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from orchestrator.domain.jobs.job import (
    Hyperparameters,
    Job,
    JobEvent,
    JobOptions,
    JobStatus,
    Method,
    Origin,
    RemoteError,
)
from orchestrator.store.tables import checkpoint_rows, event_rows, metric_rows

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import RowMapping, Table

    from orchestrator.domain.jobs.job import Checkpoint
    from orchestrator.domain.ledger import History

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
        "origin": str(job.origin),
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
        "origin": Origin(row["origin"]),
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


def checkpoint_row(job_id: str, checkpoint: Checkpoint) -> dict[str, Any]:
    """A checkpoint as a row."""
    row = {field.name: getattr(checkpoint, field.name) for field in dataclasses.fields(checkpoint)}
    return {"job_id": job_id, **row, "metrics": dict(checkpoint.metrics)}


def history_rows(job_id: str, history: History) -> list[tuple[Table, list[dict[str, Any]]]]:
    """What a provider tells of a new job, as rows by table; each thing once."""
    metrics = {(point.name, point.step): point for point in history.metrics}
    checkpoints = {point.remote_id: point for point in history.checkpoints}
    return [
        (event_rows, [{"job_id": job_id, **event_row(event)} for event in history.events]),
        (metric_rows, [{"job_id": job_id, **point._asdict()} for point in metrics.values()]),
        (checkpoint_rows, [checkpoint_row(job_id, point) for point in checkpoints.values()]),
    ]


def _options(job: Job) -> dict[str, Any]:
    chosen = job.options.as_json()
    return {_OPTIONS: chosen} if chosen else {}
