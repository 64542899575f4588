"""The end of a deployment: asked for by a person, finished by `sync`; nobody else's is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.domain import failpoints
from orchestrator.domain.jobs.deployment import Deployment, DeploymentState, RemoteDeployment
from orchestrator.usecases.hosting.deploying import must_be_here
from orchestrator.usecases.jobs.settle import SETTLE
from orchestrator.usecases.jobs.tally import alarm

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.domain.jobs.deployment import DeploymentHost
    from orchestrator.usecases.hosting.deploying import Yard


def undeploy(deployment: Deployment, host: DeploymentHost, yard: Yard) -> Deployment:
    """Ask for the end of a deployment, and say whether it has come; `sync` sees to the rest.

    Raises:
        TryLater: the host cannot be asked; the wish is written, and `sync` goes on with it.
    """
    must_be_here(deployment, host)
    now = yard.now
    deployment = yard.store.change(
        deployment, now, "a person ends it", DeploymentState.DELETING, undeploy_at=now
    )
    failpoints.reach("undeploy.deleting")
    return end(deployment, host.get(deployment.name), host, yard)


def give_up(deployment: Deployment, yard: Yard) -> Deployment:
    """End an intent of which nothing was ever sent."""
    return yard.store.change(
        deployment, yard.now, "given up before it was sent", DeploymentState.DELETED
    )


def end(
    deployment: Deployment, found: RemoteDeployment | None, host: DeploymentHost, yard: Yard
) -> Deployment:
    """Go on with the end of a deployment whose end was asked for.

    Args:
        deployment: it is deleting.
        found: what stands under its name now.
        host: who is asked.
        yard: where it is written.
    """
    if found is not None and found.model != deployment.model:
        alarm(
            yard.ledger.jobs.get(deployment.job_id),
            yard.ledger,
            f"the deployment '{deployment.name}' serves {found.model} now, and is left alone",
        )
        return over(deployment, yard, "its name serves another model")
    if found is not None and deployment.started_at is None:
        deployment = _counted(deployment, found, yard)
    if found is not None and found.state is not DeploymentState.DELETING:
        host.delete(deployment.name)
        failpoints.reach("undeploy.asked")
        found = host.get(deployment.name)
    if found is None and not _may_still_appear(deployment, yard.now):
        return over(deployment, yard, "the host has it no more")
    return deployment


def over(deployment: Deployment, yard: Yard, reason: str) -> Deployment:
    """Write down that it is gone: its hours end."""
    now = yard.now
    ended = (deployment.absent_at or now) if deployment.started_at else None
    deployment = yard.store.change(deployment, now, reason, DeploymentState.DELETED, ended_at=ended)
    failpoints.reach("undeploy.ended")
    return deployment


def _counted(deployment: Deployment, found: RemoteDeployment, yard: Yard) -> Deployment:
    """It stood, and was billed, before its end was asked for: its hours count."""
    if found.state is not DeploymentState.SUCCEEDED:
        return deployment
    started = found.created_at or deployment.sent_at or deployment.created_at
    return yard.store.change(deployment, yard.now, "it stood", started_at=started)


def _may_still_appear(deployment: Deployment, now: datetime) -> bool:
    """A request that left a short while ago, and was never seen to arrive, may arrive yet."""
    sent, never_stood = deployment.sent_at, deployment.remote_state is None
    return never_stood and sent is not None and now < sent + SETTLE
