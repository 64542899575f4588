"""Notifications, derived from the transitions that stand in the ledger anyway.

A transition is written with the change of state it tells of, so nothing can come between the two:
whoever dies, the next pass finds the transition and tells of it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, or_, select, update

from orchestrator.domain.errors import UsageError
from orchestrator.domain.jobs.deployment import DeploymentState
from orchestrator.domain.jobs.notification import (
    DEPLOYMENT,
    DEPLOYMENT_NEWS,
    Notification,
    State,
    notification_id,
)
from orchestrator.domain.money.usd import usd_json
from orchestrator.store.answers import chunks, insert_new
from orchestrator.store.deployment_tables import deployment_rows, deployment_transition_rows
from orchestrator.store.notification_tables import notification_rows, subscriber_rows
from orchestrator.store.reading import reading
from orchestrator.store.tables import job_rows, transition_rows

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from sqlalchemy import Engine, RowMapping, Select
    from sqlalchemy.engine import Connection

    from orchestrator.domain.jobs.notification import Subscriber

# PostgreSQL may commit a lower id after a higher one. No transaction takes this long, so what is
# older has been seen whole.
_SETTLED = timedelta(hours=1)


class SqlOutbox:
    """The port `Outbox` over SQLAlchemy Core."""

    def __init__(self, engine: Engine) -> None:
        """Take an engine made by `orchestrator.store.database`."""
        self._engine = engine

    def enrol(self, names: Collection[str]) -> None:
        """Those subscribers hear of what happens from now on, unless they are known already."""
        with reading(self._engine) as connection:
            known = set(connection.scalars(select(subscriber_rows.c.name)))
        if set(names).union(map(_of_deployments, names)) <= known:
            return
        with self._engine.begin() as connection:
            for cursor, table in _SOURCES:
                newest = connection.scalar(select(func.max(table.c.id))) or 0
                rows = [
                    {"name": cursor(name), "after_transition": newest} for name in sorted(names)
                ]
                insert_new(connection, subscriber_rows, rows)

    def gather(self, subscribers: Sequence[Subscriber], now: datetime) -> int:
        """Write down what each is to be told of the changes since; returns how many are new."""
        self.enrol([each.name for each in subscribers])
        with reading(self._engine) as connection:
            found = [
                each
                for subscriber in subscribers
                for look in (_untold, _untold_deployments)
                for each in look(connection, subscriber)
            ]
            known: set[str] = set()
            for some in chunks([each["id"] for each in found]):
                wanted = notification_rows.c.id.in_(some)
                known |= set(connection.scalars(select(notification_rows.c.id).where(wanted)))
            ahead = _settled(connection, subscribers, now)
        fresh = [each for each in found if each["id"] not in known]
        if not fresh and not ahead:
            return 0
        with self._engine.begin() as connection:
            insert_new(connection, notification_rows, fresh)
            for name, newest in ahead.items():
                connection.execute(
                    update(subscriber_rows)
                    .where(subscriber_rows.c.name == name)
                    .values(after_transition=newest)
                )
        return len(fresh)

    def due(self, names: Collection[str], now: datetime, most: int) -> Sequence[Notification]:
        """What is to be told now, oldest first, at most so many for each name."""
        found: list[Notification] = []
        quiet = subscriber_rows.c.not_before > now
        with reading(self._engine) as connection:
            left_alone = set(connection.scalars(select(subscriber_rows.c.name).where(quiet)))
        for name in sorted(set(names) - left_alone):
            query = (
                select(notification_rows)
                .where(
                    notification_rows.c.state == str(State.WAITING),
                    notification_rows.c.subscriber == name,
                    or_(notification_rows.c.next_at.is_(None), notification_rows.c.next_at <= now),
                )
                .order_by(notification_rows.c.created_at, notification_rows.c.id)
                .limit(most)
            )
            found += self._read(query)
        return found

    def settle(self, what: Notification, *, quiet_until: datetime | None = None) -> None:
        """Write what became of a try; until then nothing of the same subscriber is due."""
        with self._engine.begin() as connection:
            connection.execute(
                update(notification_rows)
                .where(notification_rows.c.id == what.id)
                .values(
                    state=str(what.state),
                    attempts=what.attempts,
                    next_at=what.next_at,
                    delivered_at=what.delivered_at,
                    last=what.last,
                )
            )
            if quiet_until is not None:
                mine = subscriber_rows.c.name == what.subscriber
                connection.execute(
                    update(subscriber_rows).where(mine).values(not_before=quiet_until)
                )

    def revive(self, now: datetime, notification_id: str | None = None) -> int:
        """Everything that is not delivered is due at once, or just that one; returns how many.

        Raises:
            UsageError: no notification, or more than one, has an id that begins so.
        """
        row = notification_rows.c
        which = row.state != str(State.DELIVERED)
        if notification_id is not None:
            which = row.id == self._find(notification_id).id
        with self._engine.begin() as connection:
            connection.execute(update(subscriber_rows).values(not_before=None))
            done = connection.execute(
                update(notification_rows)
                .where(which)
                .values(state=str(State.WAITING), attempts=0, next_at=now, delivered_at=None)
            )
        return done.rowcount

    def all(self, limit: int | None = None) -> Sequence[Notification]:
        """Newest first."""
        row = notification_rows.c
        query = select(notification_rows).order_by(row.created_at.desc(), row.id).limit(limit)
        return self._read(query)

    def _find(self, prefix: str) -> Notification:
        starts = notification_rows.c.id.startswith(prefix, autoescape=True)
        found = self._read(select(notification_rows).where(starts).limit(2))
        if len(found) != 1:
            many = "names more than one notification" if found else "is no notification"
            raise UsageError(f"'{prefix}' {many}.", hint="ftctl notifications list")
        return found[0]

    def _read(self, query: Select[Any]) -> list[Notification]:
        with reading(self._engine) as connection:
            rows = connection.execute(query).mappings().all()
        return [Notification(**{**row, "state": State(row["state"])}) for row in rows]


def _untold(connection: Connection, subscriber: Subscriber) -> list[dict[str, Any]]:
    """A row for each change that this subscriber wants to hear of, perhaps a known one."""
    change, job = transition_rows.c, job_rows.c
    query = (
        select(
            change.job_id, change.version, change.at, change.before, change.after,
            job.provider, job.kind, job.model, job.tuned_model, job.remote_id, job.suffix,
            job.created_at, job.finished_at, job.trained_tokens, job.estimate_usd,
        )
        .join(job_rows, job.id == change.job_id)
        .where(
            change.id > _after(subscriber.name),
            change.after.in_(sorted(subscriber.on)),
            # A job that is first written down where it stands has not come to it.
            change.before.is_not(None),
        )
        .order_by(change.id)
    )  # fmt: skip
    return [_row(subscriber.name, each) for each in connection.execute(query).mappings().all()]


def _after(name: str) -> Any:
    cursor = select(subscriber_rows.c.after_transition).where(subscriber_rows.c.name == name)
    return cursor.scalar_subquery()


def _untold_deployments(connection: Connection, subscriber: Subscriber) -> list[dict[str, Any]]:
    """The same for deployments, where this subscriber wants to hear of them."""
    if DEPLOYMENT not in subscriber.on:
        return []
    change, made = deployment_transition_rows.c, deployment_rows.c
    query = (
        select(
            change.deployment_id, change.version, change.at, change.before, change.after,
            made.job_id, made.provider, made.name, made.model, made.sku, made.capacity,
            made.hour_micros, made.started_at, made.ended_at, made.ends_at, made.created_at,
        )
        .join(deployment_rows, made.id == change.deployment_id)
        .where(
            change.id > _after(_of_deployments(subscriber.name)),
            change.after.in_(DEPLOYMENT_NEWS),
            change.before.is_not(None),
        )
        .order_by(change.id)
    )  # fmt: skip
    found = connection.execute(query).mappings().all()
    return [_deployment_row(subscriber.name, each) for each in found]


def _of_deployments(name: str) -> str:
    """Under which name it is kept how far a subscriber has heard of deployments."""
    return f"#{DEPLOYMENT}:{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def _of_jobs(name: str) -> str:
    return name


# Transitions that are told of, and under which name it is kept how far.
_SOURCES = ((_of_jobs, transition_rows), (_of_deployments, deployment_transition_rows))


def _settled(
    connection: Connection, subscribers: Sequence[Subscriber], now: datetime
) -> dict[str, int]:
    """How far each cursor may go on: past what no running transaction can still add to."""
    ahead = {}
    for cursor, table in _SOURCES:
        for name in (cursor(each.name) for each in subscribers):
            old = and_(table.c.id > _after(name), table.c.at < now - _SETTLED)
            newest = connection.scalar(select(func.max(table.c.id)).where(old))
            if newest is not None:
                ahead[name] = newest
    return ahead


def _row(subscriber: str, change: RowMapping) -> dict[str, Any]:
    made = Notification(
        id=notification_id(subscriber, change["job_id"], change["version"]),
        subscriber=subscriber,
        job_id=change["job_id"],
        topic=change["after"],
        body=_body(change),
        created_at=change["at"],
    )
    return asdict(made) | {"state": str(made.state)}


def _body(change: RowMapping) -> str:
    """What is told: names, words and numbers of the job; no row of its data, no reason in prose."""
    plain = ("provider", "kind", "model", "tuned_model", "remote_id", "suffix")
    numbers = ("trained_tokens", "estimate_usd")
    tuned = f": {change['tuned_model']}" if change["tuned_model"] else ""
    return json.dumps(
        {
            "type": f"job.{change['after']}",
            "timestamp": change["at"].isoformat(),
            "text": f"job {change['job_id']} {change['after']}{tuned}",
            "data": {
                "id": change["job_id"],
                "status": change["after"],
                "before": change["before"],
                **{name: change[name] for name in (*plain, *numbers)},
                "created_at": change["created_at"].isoformat(),
                "finished_at": _iso(change["finished_at"]),
            },
        }
    )


def _deployment_row(subscriber: str, change: RowMapping) -> dict[str, Any]:
    made = Notification(
        id=notification_id(subscriber, change["deployment_id"], change["version"]),
        subscriber=subscriber,
        job_id=change["job_id"],
        topic=f"{DEPLOYMENT}.{change['after']}",
        body=_deployment_body(change),
        created_at=change["at"],
    )
    return asdict(made) | {"state": str(made.state)}


def _deployment_body(change: RowMapping) -> str:
    """Names, words and numbers of the deployment; no message of the host."""
    plain = ("job_id", "provider", "name", "model", "sku", "capacity")
    times = ("created_at", "started_at", "ended_at", "ends_at")
    an_hour = usd_json(change["hour_micros"])
    price = "" if an_hour is None else f", ${an_hour:g} an hour"
    billed = price if change["after"] == str(DeploymentState.SUCCEEDED) else ""
    return json.dumps(
        {
            "type": f"{DEPLOYMENT}.{change['after']}",
            "timestamp": change["at"].isoformat(),
            "text": f"deployment {change['name']} of job {change['job_id']} {change['after']}{billed}",
            "data": {
                "id": change["deployment_id"],
                "status": change["after"],
                "before": change["before"],
                **{name: change[name] for name in plain},
                "usd_per_hour": an_hour,
                **{name: _iso(change[name]) for name in times},
            },
        }
    )


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
