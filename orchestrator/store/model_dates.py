"""What providers said of their models' last days, and when each account is asked again."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, insert, or_, select

from orchestrator.domain.jobs.job import JobStatus
from orchestrator.domain.jobs.lifecycle import ModelDate
from orchestrator.domain.ledger import Watched
from orchestrator.store.reading import reading
from orchestrator.store.tables import job_rows, model_date_rows, model_poll_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Engine

_OPEN = [str(status) for status in JobStatus if not status.is_final]


class SqlModelDates:
    """The port `ModelDates` over SQLAlchemy Core."""

    def __init__(self, engine: Engine) -> None:
        """Take an engine made by `orchestrator.store.database`."""
        self._engine = engine

    def due(self, at: datetime) -> Sequence[Watched]:
        """Accounts with open jobs or tuned models that were not asked for a day, each once."""
        jobs, polls = job_rows.c, model_poll_rows.c
        query = (
            select(jobs.provider, jobs.kind, jobs.account)
            .distinct()
            .select_from(job_rows.outerjoin(model_poll_rows, polls.account == jobs.account))
            .where(
                or_(jobs.tuned_model.is_not(None), jobs.status.in_(_OPEN)),
                or_(polls.not_before.is_(None), polls.not_before <= at),
            )
            .order_by(jobs.provider)
        )
        with reading(self._engine) as connection:
            found = [Watched(*row) for row in connection.execute(query)]
        return list({each.account: each for each in reversed(found)}.values())[::-1]

    def ask_later(self, account: str, not_before: datetime, error: str | None = None) -> None:
        """When the account is asked again, and why it could not be asked this time."""
        row = {"account": account, "not_before": not_before, "error": error}
        with self._engine.begin() as connection:
            connection.execute(delete(model_poll_rows).where(model_poll_rows.c.account == account))
            connection.execute(insert(model_poll_rows).values(row))

    def keep(self, dates: Iterable[ModelDate]) -> None:
        """Replace what is known of these models; the rest stays."""
        rows = [asdict(each) for each in dates]
        if not rows:
            return
        table = model_date_rows
        known = (table.c.account == bindparam("of")) & (table.c.model == bindparam("named"))
        with self._engine.begin() as connection:
            connection.execute(
                delete(table).where(known),
                [{"of": row["account"], "named": row["model"]} for row in rows],
            )
            connection.execute(insert(table), rows)

    def all(self) -> Sequence[ModelDate]:
        """Everything that was told, by model."""
        query = select(model_date_rows).order_by(model_date_rows.c.model)
        with reading(self._engine) as connection:
            return [ModelDate(**row) for row in connection.execute(query).mappings()]

    def unasked(self) -> Mapping[str, str]:
        """Why accounts could not be asked the last time, by account."""
        query = select(model_poll_rows).where(model_poll_rows.c.error.is_not(None))
        with reading(self._engine) as connection:
            return {row["account"]: row["error"] for row in connection.execute(query).mappings()}
