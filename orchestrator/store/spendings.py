"""Spendings and the budgets that they are reserved from: values to rows and back."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select, update

from orchestrator.domain import failpoints
from orchestrator.domain.jobs.job import JobStatus
from orchestrator.domain.money.spending import Purpose, Rate, Spending, SpendingState, settled
from orchestrator.store.reading import reading
from orchestrator.store.spending_tables import spending_rows
from orchestrator.store.tables import metric_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Engine, RowMapping, Select
    from sqlalchemy.engine import Connection

    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.money.spending import Budgets

# The number of the lock in which PostgreSQL adds up a month; SQLite has one writer anyway.
_ADDING_UP = 0x6674_6374_6C24
_HAS_TRAINED = frozenset({JobStatus.RUNNING, JobStatus.PAUSED})


class SqlSpendings:
    """The port `Spendings` over SQLAlchemy Core."""

    def __init__(self, engine: Engine) -> None:
        """Take an engine made by `orchestrator.store.database`."""
        self._engine = engine

    def reserve(self, spending: Spending, budgets: Budgets) -> None:
        """Commit a reservation; the same one again, larger, replaces it.

        Raises:
            BudgetExceeded: it does not fit into what is left of the month.
        """
        with self._engine.begin() as connection:
            reserve(connection, spending, budgets)

    def change(self, spending: Spending) -> None:
        """Write down how it stands."""
        with self._engine.begin() as connection:
            _replace(connection, spending)

    def of_job(self, job_id: str) -> Sequence[Spending]:
        """Those of a job, oldest first."""
        return self._read(select(spending_rows).where(spending_rows.c.job_id == job_id))

    def all(self, month: str | None = None, profile: str | None = None) -> Sequence[Spending]:
        """Those of a month and a profile, oldest first."""
        query = select(spending_rows)
        if month is not None:
            query = query.where(spending_rows.c.month == month)
        if profile is not None:
            query = query.where(spending_rows.c.profile == profile)
        return self._read(query)

    def open(self, purpose: Purpose) -> Sequence[Spending]:
        """Those that are still reserved, oldest first."""
        return self._read(
            select(spending_rows).where(
                spending_rows.c.state == str(SpendingState.RESERVED),
                spending_rows.c.purpose == str(purpose),
            )
        )

    def _read(self, query: Select[Any]) -> list[Spending]:
        ordered = query.order_by(spending_rows.c.created_at, spending_rows.c.id)
        with reading(self._engine) as connection:
            return [_from_row(row) for row in connection.execute(ordered).mappings()]


def reserve(connection: Connection, spending: Spending, budgets: Budgets) -> None:
    """Add up the month, refuse what does not fit, and write the reservation, in one transaction.

    Raises:
        BudgetExceeded: it does not fit.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_ADDING_UP)))
    known = connection.scalar(
        select(spending_rows.c.counted).where(spending_rows.c.id == spending.id)
    )
    budgets.check(spending, _taken(connection, spending.month), known or 0)
    if known is None:
        connection.execute(insert(spending_rows).values(_to_row(spending)))
    else:
        _replace(connection, spending)


def settle(connection: Connection, job: Job, before: JobStatus, at: datetime) -> None:
    """A job has ended: its reservation becomes what it came to, in the job's own transaction."""
    rows = connection.execute(
        select(spending_rows).where(
            spending_rows.c.job_id == job.id,
            spending_rows.c.purpose == str(Purpose.TRAINING),
            spending_rows.c.state == str(SpendingState.RESERVED),
        )
    ).mappings()
    for row in rows.all():
        trained = before in _HAS_TRAINED or _has_metrics(connection, job.id)
        _replace(connection, settled(_from_row(row), job, at, trained=trained))
        failpoints.reach("submit.settled")


def _taken(connection: Connection, month: str) -> dict[str, int]:
    query = (
        select(spending_rows.c.profile, func.sum(spending_rows.c.counted))
        .where(spending_rows.c.month == month)
        .group_by(spending_rows.c.profile)
    )
    return {profile: int(total) for profile, total in connection.execute(query)}


def _has_metrics(connection: Connection, job_id: str) -> bool:
    query = select(metric_rows.c.step).where(metric_rows.c.job_id == job_id).limit(1)
    return connection.execute(query).first() is not None


def _replace(connection: Connection, spending: Spending) -> None:
    connection.execute(
        update(spending_rows).where(spending_rows.c.id == spending.id).values(_to_row(spending))
    )


def _to_row(spending: Spending) -> dict[str, Any]:
    row = {field.name: getattr(spending, field.name) for field in dataclasses.fields(spending)}
    return row | {
        "purpose": str(spending.purpose),
        "state": str(spending.state),
        "rate": spending.rate.as_json() if spending.rate else None,
        "counted": spending.counted,
    }


def _from_row(row: RowMapping) -> Spending:
    values = dict(row)
    del values["counted"]
    values |= {
        "purpose": Purpose(row["purpose"]),
        "state": SpendingState(row["state"]),
        "rate": Rate.from_json(row["rate"]) if row["rate"] else None,
    }
    return Spending(**values)
