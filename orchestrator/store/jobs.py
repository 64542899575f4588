"""Jobs, their history and their numbers: rows to values and back."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from orchestrator.domain import failpoints
from orchestrator.domain.errors import Conflict, UsageError
from orchestrator.domain.jobs.job import (
    Checkpoint,
    Job,
    JobEvent,
    JobStatus,
    MetricPoint,
    Transition,
)
from orchestrator.domain.ledger import JobPage, Step
from orchestrator.domain.money.spending import Budgets
from orchestrator.store.job_values import (
    checkpoint_row,
    event_row,
    from_row,
    history_rows,
    to_row,
    transition_row,
)
from orchestrator.store.moves import insert_move
from orchestrator.store.reading import reading
from orchestrator.store.spendings import reserve, settle
from orchestrator.store.tables import (
    checkpoint_rows,
    event_rows,
    job_rows,
    metric_rows,
    transition_rows,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Engine, RowMapping, Select, Table
    from sqlalchemy.engine import Connection

    from orchestrator.domain.jobs.move import Move
    from orchestrator.domain.ledger import History, JobFilter
    from orchestrator.domain.money.spending import Spending


# Rows in one transaction: few commits, and no writer waits long for another.
_BATCH = 500
# Whose turn it is to look for the same training before an intent is written (PostgreSQL).
_LOOKING_ROUND = 0x6674_6374_6C25
_LONGEST_POLL = timedelta(hours=1)


class SqlJobStore:
    """The ledger's jobs over SQLAlchemy Core."""

    def __init__(self, engine: Engine) -> None:
        """Take an engine made by `orchestrator.store.database`."""
        self._engine = engine

    def add(
        self,
        job: Job,
        spending: Spending | None = None,
        budgets: Budgets | None = None,
        move: Move | None = None,
        guard: Callable[[Sequence[Job]], None] | None = None,
    ) -> None:
        """Commit the intent: the row, its first transition, the money it may take and its move.

        Args:
            guard: is shown the jobs on the same training split, newest first, and may raise.

        Raises:
            BudgetExceeded: the money does not fit into the month; nothing is written.
        """
        with self._engine.begin() as connection:
            if guard is not None:
                if connection.dialect.name == "postgresql":
                    connection.execute(select(func.pg_advisory_xact_lock(_LOOKING_ROUND)))
                same = _newest_first().where(job_rows.c.training == job.training)
                guard([from_row(row) for row in connection.execute(same).mappings()])
            connection.execute(insert(job_rows).values(to_row(job)))
            _note(connection, job, None, job.created_at, "intent recorded")
            if move is not None:
                insert_move(connection, move)
            if spending is not None:
                reserve(connection, spending, budgets or Budgets())
                failpoints.reach("submit.reserved")

    def adopt(self, job: Job, history: History, reason: str) -> bool:
        """Commit a job that exists at the provider, with its history, whole or not at all."""
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(job_rows).values(to_row(job)))
                _note(connection, job, None, job.updated_at, reason)
                for table, rows in history_rows(job.id, history):
                    if rows:
                        connection.execute(insert(table), rows)
        except IntegrityError:
            if self.at_provider([str(job.remote_id)]):
                return False
            raise
        return True

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

    def all(
        self, statuses: Iterable[JobStatus] | None = None, *, training: str | None = None
    ) -> Sequence[Job]:
        """Jobs, newest first; only those in one of `statuses`, or on that training split."""
        query = _newest_first()
        if statuses is not None:
            query = query.where(job_rows.c.status.in_([str(status) for status in statuses]))
        if training is not None:
            query = query.where(job_rows.c.training == training)
        return self._jobs(query)

    def page(self, wanted: JobFilter, *, first: int, many: int) -> JobPage:
        """Some jobs, newest first: `many` of them from number `first`, 0 being the newest."""
        where = _where(wanted)
        some = _newest_first().where(*where)
        jobs = self._jobs(some.offset(first).limit(many))
        count = select(func.count().label("count")).select_from(job_rows).where(*where)
        return JobPage(jobs, int(self._read(count)[0]["count"]))

    def tuned(self) -> Sequence[Job]:
        """Jobs that have a tuned model, newest first."""
        return self._jobs(_newest_first().where(job_rows.c.tuned_model.is_not(None)))

    def providers(self) -> Sequence[str]:
        """The profiles that jobs were made with, sorted."""
        query = select(job_rows.c.provider).distinct().order_by(job_rows.c.provider)
        return [row["provider"] for row in self._read(query)]

    def due(self, statuses: Iterable[JobStatus], at: datetime) -> Sequence[Job]:
        """Jobs in one of these states whose next poll is not later than `at`, newest first.

        One that is due later than any poll is ever put off was put off by a clock that went back.
        """
        due = job_rows.c.next_poll_at
        return self._jobs(
            _newest_first().where(
                job_rows.c.status.in_([str(status) for status in statuses]),
                or_(due.is_(None), due <= at, due > at + _LONGEST_POLL),
            )
        )

    def owners(self, tokens: Iterable[str]) -> Mapping[str, Job]:
        """The jobs that carry these tokens, by token."""
        found: dict[str, Job] = {}
        for some in _chunks(sorted(set(tokens))):
            jobs = self._jobs(select(job_rows).where(job_rows.c.token.in_(some)))
            found.update({job.token: job for job in jobs})
        return found

    def at_provider(self, remote_ids: Iterable[str]) -> Sequence[Job]:
        """The jobs with these remote ids, of whatever account."""
        return [
            job
            for some in _chunks(sorted(set(remote_ids)))
            for job in self._jobs(select(job_rows).where(job_rows.c.remote_id.in_(some)))
        ]

    def sent_again(self, job_ids: Iterable[str]) -> set[str]:
        """Those of these jobs that were in doubt, and then sent once more."""
        return {
            row["job_id"]
            for some in _chunks(sorted(job_ids))
            for row in self._read(
                select(transition_rows.c.job_id).where(
                    transition_rows.c.job_id.in_(some),
                    transition_rows.c.before.in_([JobStatus.UNKNOWN, JobStatus.NEEDS_REVIEW]),
                    transition_rows.c.after == JobStatus.READY,
                )
            )
        }

    def change_all(self, steps: Sequence[Step]) -> Sequence[Job | None]:
        """Many changes in few transactions; None where another process changed the row first."""
        return [done for some in _chunks(steps) for done in self._change_some(some)]

    def poll_later(self, times: Mapping[str, datetime]) -> None:
        """When to ask again, by job id; a hint, not a change, so the version stays."""
        later = (
            update(job_rows)
            .where(job_rows.c.id == bindparam("job"))
            .values(next_poll_at=bindparam("later"))
        )
        for some in _chunks(sorted(times)):
            with self._engine.begin() as connection:
                connection.execute(later, [{"job": job, "later": times[job]} for job in some])

    def change(
        self, job: Job, at: datetime, reason: str, status: JobStatus | None = None, **fields: Any
    ) -> Job:
        """Compare-and-swap on the row's version; a change of status is one transition row.

        Raises:
            Conflict: another process changed the row since `job` was read.
        """
        after = status or job.status
        changed = _moved(Step(job, at, reason, after, fields))
        row = to_row(changed)
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
                if after.is_final:
                    settle(connection, changed, job.status, at)
        except IntegrityError as error:
            raise Conflict(
                f"Another job already owns the remote job {fields.get('remote_id')}."
            ) from error
        return changed

    def add_events(self, job_id: str, events: Iterable[JobEvent]) -> int:
        """Append those events that are new; returns how many."""
        rows = [{"job_id": job_id, **event_row(event)} for event in events]
        return self._add_new(event_rows, rows, "key", job_id)

    def add_metrics(self, job_id: str, points: Iterable[MetricPoint]) -> None:
        """Keep the numbers of training; a step that is known keeps its number."""
        wanted = {(point.name, point.step): point.value for point in points}
        if not wanted:
            return
        with self._engine.begin() as connection:
            _alone_with(connection, job_id)
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
        rows = [checkpoint_row(job_id, checkpoint) for checkpoint in checkpoints]
        self._add_new(checkpoint_rows, rows, "remote_id", job_id)

    def event_keys(self, job_id: str) -> set[str]:
        """What is known already, without the events themselves."""
        query = select(event_rows.c.key).where(event_rows.c.job_id == job_id)
        return {row["key"] for row in self._read(query)}

    def events(self, job_id: str, *, newest: int | None = None) -> Sequence[JobEvent]:
        """Oldest first; only the newest so many."""
        query = select(event_rows).where(event_rows.c.job_id == job_id)
        query = query.order_by(event_rows.c.at.desc(), event_rows.c.id.desc()).limit(newest)
        rows = reversed(self._read(query))
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

    def _change_some(self, steps: Sequence[Step]) -> list[Job | None]:
        with self._engine.begin() as connection:
            # Nobody else can write now (SQLite), or touch these rows (PostgreSQL).
            versions = {
                row.id: row.version
                for row in connection.execute(
                    select(job_rows.c.id, job_rows.c.version)
                    .where(job_rows.c.id.in_([step.job.id for step in steps]))
                    .with_for_update()
                )
            }
            done = [
                _moved(step)
                if versions.get(step.job.id) == step.job.version and _is_allowed(step)
                else None
                for step in steps
            ]
            made = [(step, job) for step, job in zip(steps, done, strict=True) if job is not None]
            if made:
                _write(connection, made)
                for step, job in made:
                    if job.status.is_final:
                        settle(connection, job, step.job.status, step.at)
        return done

    def _jobs(self, query: Select[Any]) -> list[Job]:
        # Row by row: of thousands of jobs, the rows are not held beside what is made of them.
        with reading(self._engine) as connection:
            return [from_row(row) for row in connection.execute(query).mappings()]

    def _read(self, query: Select[Any]) -> Sequence[RowMapping]:
        with reading(self._engine) as connection:
            return connection.execute(query).mappings().all()

    def _add_new(self, table: Table, rows: list[dict[str, Any]], key: str, job_id: str) -> int:
        """Insert the rows whose key is not there yet; reading and writing in one transaction."""
        if not rows:
            return 0
        with self._engine.begin() as connection:
            _alone_with(connection, job_id)
            known = set(
                connection.scalars(select(table.c[key]).where(table.c.job_id == job_id)).all()
            )
            new = {row[key]: row for row in rows if row[key] not in known}
            if new:
                connection.execute(insert(table), list(new.values()))
            return len(new)


def _newest_first() -> Select[Any]:
    return select(job_rows).order_by(job_rows.c.created_at.desc(), job_rows.c.id)


def _where(wanted: JobFilter) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    if wanted.status is not None:
        where.append(job_rows.c.status == str(wanted.status))
    if wanted.provider:
        where.append(job_rows.c.provider == wanted.provider)
    if wanted.text:
        columns = ("id", "remote_id", "model", "tuned_model", "suffix")
        where.append(
            or_(*(job_rows.c[name].icontains(wanted.text, autoescape=True) for name in columns))
        )
    return where


def _alone_with(connection: Connection, job_id: str) -> None:
    """Keep others from adding to this job; SQLite has one writer anyway."""
    connection.execute(select(job_rows.c.id).where(job_rows.c.id == job_id).with_for_update())


def _is_allowed(step: Step) -> bool:
    return step.status is step.job.status or step.job.status.may_become(step.status)


def _moved(step: Step) -> Job:
    """The job after that step.

    Raises:
        Conflict: the state machine has no such arrow.
    """
    job, at, _, after, fields = step
    if not _is_allowed(step):
        raise Conflict(f"Job {job.id} is {job.status} and cannot become {after}.")
    return dataclasses.replace(job, status=after, updated_at=at, version=job.version + 1, **fields)


def _write(connection: Connection, made: Sequence[tuple[Step, Job]]) -> None:
    changing = update(job_rows).where(job_rows.c.id == bindparam("job"))
    names = [column.name for column in job_rows.c if column.name != "id"]
    changing = changing.values({name: bindparam(f"new_{name}") for name in names})
    connection.execute(
        changing,
        [
            {"job": job.id} | {f"new_{name}": value for name, value in to_row(job).items()}
            for _, job in made
        ],
    )
    notes = [
        transition_row(job, step.job.status, step.at, step.reason)
        for step, job in made
        if job.status is not step.job.status
    ]
    if notes:
        connection.execute(insert(transition_rows), notes)


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]


def _note(
    connection: Connection, job: Job, before: JobStatus | None, at: datetime, reason: str
) -> None:
    connection.execute(insert(transition_rows).values(transition_row(job, before, at, reason)))
