"""Jobs, their history and their numbers: rows to values and back."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from orchestrator.domain.errors import Conflict, UsageError
from orchestrator.domain.job import (
    Checkpoint,
    Hyperparameters,
    Job,
    JobEvent,
    JobStatus,
    Method,
    MetricPoint,
    RemoteError,
    Transition,
)
from orchestrator.store.tables import (
    checkpoint_rows,
    event_rows,
    job_rows,
    metric_rows,
    transition_rows,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import Engine, RowMapping, Select, Table
    from sqlalchemy.engine import Connection


class SqlJobStore:
    """The ledger's jobs over SQLAlchemy Core."""

    def __init__(self, engine: Engine) -> None:
        """Take an engine made by `orchestrator.store.database`."""
        self._engine = engine

    def add(self, job: Job) -> None:
        """Commit the intent: the row and its first transition."""
        with self._engine.begin() as connection:
            connection.execute(insert(job_rows).values(_to_row(job)))
            _note(connection, job, None, job.created_at, "intent recorded")

    def get(self, job_id: str) -> Job:
        """One job by its whole id.

        Raises:
            UsageError: there is none.
        """
        found = self._jobs(select(job_rows).where(job_rows.c.id == job_id))
        if not found:
            raise UsageError(f"There is no job '{job_id}'.", hint="ftctl status")
        return found[0]

    def find(self, prefix: str) -> Job:
        """The one job whose id, or remote id, starts with `prefix`.

        Raises:
            UsageError: none, or more than one.
        """
        # The remote id must match whole: `ftjob-` is a prefix of them all.
        found = self._jobs(
            select(job_rows)
            .where(
                or_(
                    job_rows.c.id.startswith(prefix.lower(), autoescape=True),
                    job_rows.c.remote_id == prefix,
                )
            )
            .order_by(job_rows.c.created_at.desc())
            .limit(5)
        )
        if not prefix or not found:
            raise UsageError(f"There is no job '{prefix}'.", hint="ftctl status")
        if len(found) > 1:
            ids = ", ".join(job.id for job in found)
            raise UsageError(f"'{prefix}' names more than one job: {ids}.", hint="type more of it")
        return found[0]

    def all(self, statuses: Iterable[JobStatus] | None = None) -> Sequence[Job]:
        """Jobs, newest first."""
        query = select(job_rows).order_by(job_rows.c.created_at.desc(), job_rows.c.id)
        if statuses is not None:
            query = query.where(job_rows.c.status.in_([str(status) for status in statuses]))
        return self._jobs(query)

    def change(
        self, job: Job, at: datetime, reason: str, status: JobStatus | None = None, **fields: Any
    ) -> Job:
        """Compare-and-swap on the row's version; a change of status is one transition row.

        Raises:
            Conflict: another process changed the row since `job` was read.
        """
        after = status or job.status
        if after != job.status and not job.status.may_become(after):
            raise Conflict(f"Job {job.id} is {job.status} and cannot become {after}.")
        changed = dataclasses.replace(
            job, status=after, updated_at=at, version=job.version + 1, **fields
        )
        row = _to_row(changed)
        try:
            with self._engine.begin() as connection:
                done = connection.execute(
                    update(job_rows)
                    .where(job_rows.c.id == job.id, job_rows.c.version == job.version)
                    .values(row)
                )
                if done.rowcount != 1:
                    raise Conflict(f"Job {job.id} was changed by another process meanwhile.")
                if after != job.status:
                    _note(connection, changed, job.status, at, reason)
        except IntegrityError as error:
            raise Conflict(
                f"Another job already owns the remote job {fields.get('remote_id')}."
            ) from error
        return changed

    def add_events(self, job_id: str, events: Iterable[JobEvent]) -> int:
        """Append those events that are new; returns how many."""
        rows = [{"job_id": job_id, **_event_row(event)} for event in events]
        return self._add_new(event_rows, rows, "key", job_id)

    def add_metrics(self, job_id: str, points: Iterable[MetricPoint]) -> None:
        """Keep the numbers of training; a step that is known keeps its number."""
        wanted = {(point.name, point.step): point.value for point in points}
        if not wanted:
            return
        with self._engine.begin() as connection:
            known = {
                (row.name, row.step)
                for row in connection.execute(
                    select(metric_rows.c.name, metric_rows.c.step).where(
                        metric_rows.c.job_id == job_id
                    )
                )
            }
            rows = [
                {"job_id": job_id, "name": name, "step": step, "value": value}
                for (name, step), value in wanted.items()
                if (name, step) not in known
            ]
            if rows:
                connection.execute(insert(metric_rows), rows)

    def add_checkpoints(self, job_id: str, checkpoints: Iterable[Checkpoint]) -> None:
        """Keep checkpoints; the same one again changes nothing."""
        rows = [
            {
                "job_id": job_id,
                "remote_id": checkpoint.remote_id,
                "model": checkpoint.model,
                "step": checkpoint.step,
                "metrics": dict(checkpoint.metrics),
                "created_at": checkpoint.created_at,
            }
            for checkpoint in checkpoints
        ]
        self._add_new(checkpoint_rows, rows, "remote_id", job_id)

    def events(self, job_id: str) -> Sequence[JobEvent]:
        """Oldest first."""
        query = select(event_rows).where(event_rows.c.job_id == job_id)
        rows = self._read(query.order_by(event_rows.c.at, event_rows.c.id))
        names = ("key", "at", "level", "message", "source", "data")
        return [JobEvent(**{name: row[name] for name in names}) for row in rows]

    def metrics(self, job_id: str) -> Sequence[MetricPoint]:
        """By name, then step."""
        query = select(metric_rows).where(metric_rows.c.job_id == job_id)
        rows = self._read(query.order_by(metric_rows.c.name, metric_rows.c.step))
        return [MetricPoint(row["step"], row["name"], row["value"]) for row in rows]

    def checkpoints(self, job_id: str) -> Sequence[Checkpoint]:
        """By step."""
        query = select(checkpoint_rows).where(checkpoint_rows.c.job_id == job_id)
        rows = self._read(query.order_by(checkpoint_rows.c.step))
        names = ("remote_id", "model", "step", "created_at", "metrics")
        return [Checkpoint(**{name: row[name] for name in names}) for row in rows]

    def transitions(self, job_id: str) -> Sequence[Transition]:
        """Oldest first."""
        query = select(transition_rows).where(transition_rows.c.job_id == job_id)
        return [
            Transition(
                row["at"],
                JobStatus(row["before"]) if row["before"] else None,
                JobStatus(row["after"]),
                row["reason"],
            )
            for row in self._read(query.order_by(transition_rows.c.version))
        ]

    def by_remote_id(self, account: str, remote_id: str) -> Job | None:
        """The job that owns a remote job, if one does."""
        found = self._jobs(
            select(job_rows).where(job_rows.c.account == account, job_rows.c.remote_id == remote_id)
        )
        return found[0] if found else None

    def _jobs(self, query: Select[Any]) -> list[Job]:
        return [_from_row(row) for row in self._read(query)]

    def _read(self, query: Select[Any]) -> Sequence[RowMapping]:
        with self._engine.connect().execution_options(ftctl_readonly=True) as connection:
            return connection.execute(query).mappings().all()

    def _add_new(self, table: Table, rows: list[dict[str, Any]], key: str, job_id: str) -> int:
        """Insert the rows whose key is not there yet; reading and writing in one transaction."""
        if not rows:
            return 0
        with self._engine.begin() as connection:
            known = set(
                connection.scalars(select(table.c[key]).where(table.c.job_id == job_id)).all()
            )
            new = {row[key]: row for row in rows if row[key] not in known}
            if new:
                connection.execute(insert(table), list(new.values()))
            return len(new)


def _note(
    connection: Connection, job: Job, before: JobStatus | None, at: datetime, reason: str
) -> None:
    connection.execute(
        insert(transition_rows).values(
            job_id=job.id,
            version=job.version,
            at=at,
            before=str(before) if before else None,
            after=str(job.status),
            reason=reason,
        )
    )


def _to_row(job: Job) -> dict[str, Any]:
    row = {field.name: getattr(job, field.name) for field in dataclasses.fields(job)}
    row |= {
        "method": str(job.method),
        "status": str(job.status),
        "hyperparameters": job.hyperparameters.as_wire(),
        "error": dataclasses.asdict(job.error) if job.error else None,
        "raw": dict(job.raw) if job.raw is not None else None,
    }
    return row


def _from_row(row: RowMapping) -> Job:
    values = dict(row)
    values |= {
        "method": Method(row["method"]),
        "status": JobStatus(row["status"]),
        "hyperparameters": Hyperparameters(**row["hyperparameters"]),
        "error": RemoteError(**row["error"]) if row["error"] else None,
    }
    return Job(**values)


def _event_row(event: JobEvent) -> dict[str, Any]:
    row = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
    row["data"] = dict(event.data) if event.data is not None else None
    return row
