"""Webhooks that came, each accepted once."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from orchestrator.domain.inbox import Receipt
from orchestrator.store.notification_tables import webhook_rows
from orchestrator.store.tables import job_rows

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from orchestrator.domain.inbox import Hint

# A sender gives up after three days (OpenAI), and a signature is good for minutes.
_KEPT = timedelta(days=7)


class SqlInbox:
    """The port `Inbox` over SQLAlchemy Core."""

    def __init__(self, engine: Engine) -> None:
        """Take an engine made by `orchestrator.store.database`."""
        self._engine = engine

    def accept(self, hint: Hint) -> Receipt:
        """Write it down and make its job due at once; one that is known changes nothing."""
        ours = (job_rows.c.account == hint.account) & (job_rows.c.remote_id == hint.remote_id)
        row = {name: value for name, value in asdict(hint).items() if name != "at"}
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(webhook_rows).values(**row, received_at=hint.at))
                connection.execute(
                    delete(webhook_rows).where(webhook_rows.c.received_at < hint.at - _KEPT)
                )
                connection.execute(update(job_rows).where(ours).values(next_poll_at=None))
                job_id = connection.scalar(select(job_rows.c.id).where(ours))
        except IntegrityError:
            return Receipt(is_new=False, job_id=None)
        return Receipt(is_new=True, job_id=job_id)
