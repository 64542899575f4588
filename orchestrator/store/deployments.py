"""Deployments and their history: rows to values and back."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from orchestrator.domain.errors import Conflict, UsageError
from orchestrator.domain.jobs.deployment import Deployment, DeploymentState
from orchestrator.domain.jobs.job import RemoteError
from orchestrator.store.comparison_tables import (
    answer_rows,
    comparison_answer_rows,
    comparison_rows,
    recorded_answer_rows,
    recording_rows,
)
from orchestrator.store.deployment_tables import deployment_rows, deployment_transition_rows
from orchestrator.store.reading import reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import Engine, RowMapping, Select
    from sqlalchemy.engine import Connection


class SqlDeploymentStore:
    """The port `DeploymentStore` over SQLAlchemy Core."""

    def __init__(self, engine: Engine) -> None:
        """Take an engine made by `orchestrator.store.database`."""
        self._engine = engine

    def add(self, deployment: Deployment) -> None:
        """Commit the intent and its first transition.

        Raises:
            Conflict: another intent of that name in that resource is not over.
        """
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(deployment_rows).values(_to_row(deployment)))
                _note(connection, deployment, None, deployment.created_at, "intent recorded")
        except IntegrityError as error:
            raise Conflict(
                f"Another process deploys '{deployment.name}' at this moment.",
                hint="ftctl deployments",
            ) from error

    def change(
        self,
        deployment: Deployment,
        at: datetime,
        reason: str,
        state: DeploymentState | None = None,
        **fields: Any,
    ) -> Deployment:
        """Compare-and-swap on the row's version; a change of state is one transition row.

        Raises:
            Conflict: another process changed the row since `deployment` was read.
        """
        after = state or deployment.state
        if after is not deployment.state and not deployment.state.may_become(after):
            raise Conflict(
                f"Deployment {deployment.id} is {deployment.state} and cannot become {after}."
            )
        version = deployment.version + 1
        changed = dataclasses.replace(
            deployment, state=after, updated_at=at, version=version, **fields
        )
        with self._engine.begin() as connection:
            done = connection.execute(
                update(deployment_rows)
                .where(
                    deployment_rows.c.id == deployment.id,
                    deployment_rows.c.version == deployment.version,
                )
                .values(_to_row(changed))
            )
            if done.rowcount != 1:
                raise Conflict(f"Deployment {deployment.id} was changed by another process.")
            if after is not deployment.state:
                _note(connection, changed, deployment.state, at, reason)
        return changed

    def get(self, deployment_id: str) -> Deployment:
        """One deployment by its whole id.

        Raises:
            UsageError: there is none.
        """
        found = self._read(select(deployment_rows).where(deployment_rows.c.id == deployment_id))
        if not found:
            raise UsageError(
                f"There is no deployment '{deployment_id}'.", hint="ftctl deployments --all"
            )
        return found[0]

    def find(self, prefix: str) -> Sequence[Deployment]:
        """Those whose id or job's id starts with `prefix`, or whose name it is; newest first."""
        columns, start = deployment_rows.c, prefix.lower()
        return self._read(
            _newest_first().where(
                or_(
                    columns.id.startswith(start, autoescape=True),
                    columns.job_id.startswith(start, autoescape=True),
                    columns.name == prefix,
                )
            )
        )

    def all(
        self, states: Iterable[DeploymentState] | None = None, *, job_id: str | None = None
    ) -> Sequence[Deployment]:
        """Deployments, newest first; only those in one of `states`, or of one job."""
        query = _newest_first()
        if states is not None:
            query = query.where(deployment_rows.c.state.in_([str(state) for state in states]))
        if job_id is not None:
            query = query.where(deployment_rows.c.job_id == job_id)
        return self._read(query)

    def named(self, resource: str, name: str) -> Deployment | None:
        """The one of that name in that resource that is not deleted."""
        found = self._read(
            select(deployment_rows).where(
                deployment_rows.c.resource == resource,
                deployment_rows.c.name == name,
                deployment_rows.c.state != str(DeploymentState.DELETED),
            )
        )
        return found[0] if found else None

    def checked(self, ids: Iterable[str], at: datetime) -> None:
        """Remember when the host was asked; a hint, not a change, so the version stays."""
        rows = [{"deployment": each} for each in ids]
        if rows:
            with self._engine.begin() as connection:
                connection.execute(
                    update(deployment_rows)
                    .where(deployment_rows.c.id == bindparam("deployment"))
                    .values(checked_at=at),
                    rows,
                )

    def last_call(self, deployment: Deployment) -> datetime | None:
        """When it last answered a comparison or a recording of ours; None when never."""
        names = {deployment.model, deployment.name}
        with reading(self._engine) as connection:
            found = [
                _last_recorded(connection, deployment, names),
                _last_compared(connection, deployment, names),
            ]
        return max((at for at in found if at is not None), default=None)

    def _read(self, query: Select[Any]) -> list[Deployment]:
        with reading(self._engine) as connection:
            return [_from_row(row) for row in connection.execute(query).mappings()]


def _newest_first() -> Select[Any]:
    return select(deployment_rows).order_by(
        deployment_rows.c.created_at.desc(), deployment_rows.c.id
    )


def _last_recorded(
    connection: Connection, deployment: Deployment, names: set[str]
) -> datetime | None:
    """The newest of its answers that was frozen."""
    made: datetime | None = connection.execute(
        select(func.max(answer_rows.c.created_at))
        .join(recorded_answer_rows, recorded_answer_rows.c.answer_key == answer_rows.c.key)
        .join(recording_rows, recording_rows.c.name == recorded_answer_rows.c.recording)
        .where(recording_rows.c.provider == deployment.provider, recording_rows.c.model.in_(names))
    ).scalar()
    return made


def _last_compared(
    connection: Connection, deployment: Deployment, names: set[str]
) -> datetime | None:
    """The newest of its answers in a comparison of its job, by the arms that name its model."""
    runs = connection.execute(
        select(comparison_rows.c.id, comparison_rows.c.config).where(
            comparison_rows.c.job_id == deployment.job_id
        )
    ).all()
    found = []
    for identity, config in runs:
        # [name, model, note, account]; a comparison of an older ftctl may say less.
        arms = [arm[0] for arm in config.get("arms", ()) if len(arm) > 1 and arm[1] in names]
        linked = comparison_answer_rows.c.arm
        found.append(
            connection.execute(
                select(func.max(answer_rows.c.created_at))
                .join(
                    comparison_answer_rows, comparison_answer_rows.c.answer_key == answer_rows.c.key
                )
                .where(
                    comparison_answer_rows.c.comparison_id == identity,
                    or_(
                        linked.in_(arms),
                        # A repeated asking is linked under the arm's name and its number.
                        *(linked.startswith(f"{arm}~", autoescape=True) for arm in arms),
                    ),
                )
            ).scalar()
        )
    return max((at for at in found if at is not None), default=None)


def _note(
    connection: Connection,
    deployment: Deployment,
    before: DeploymentState | None,
    at: datetime,
    reason: str,
) -> None:
    connection.execute(
        insert(deployment_transition_rows).values(
            deployment_id=deployment.id,
            version=deployment.version,
            at=at,
            before=str(before) if before else None,
            after=str(deployment.state),
            reason=reason,
        )
    )


def _to_row(deployment: Deployment) -> dict[str, Any]:
    row = {field.name: getattr(deployment, field.name) for field in dataclasses.fields(deployment)}
    row["state"] = str(deployment.state)
    row["error"] = dataclasses.asdict(deployment.error) if deployment.error else None
    row["raw"] = dict(deployment.raw) if deployment.raw is not None else None
    return row


def _from_row(row: RowMapping) -> Deployment:
    values = dict(row)
    values["state"] = DeploymentState(row["state"])
    values["error"] = RemoteError(**row["error"]) if row["error"] else None
    return Deployment(**values)
