"""From a tuned model to a deployment, and to its end: nothing is billed by the hour unknowingly.

The order is the promise. The intent is committed before anything is sent; the host is asked what
stands under the name before it is asked for anything; a request's answer is committed when it
comes. A PUT of the same name says the same thing again, so a lost answer is settled by looking. A
deployment whose model is not ours is neither written over nor deleted.

What `sync` never does is start one: an intent whose request surely never left waits for a person.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.domain import failpoints
from orchestrator.domain.errors import (
    AnswerIsNo,
    ConfigurationError,
    FtctlError,
    OutcomeUnknown,
    TryLater,
    UsageError,
)
from orchestrator.domain.ids import new_id
from orchestrator.domain.jobs.deployment import (
    Deployment,
    DeploymentRequest,
    DeploymentState,
    RemoteDeployment,
)
from orchestrator.domain.jobs.job import RemoteError
from orchestrator.usecases.jobs.settle import SETTLE
from orchestrator.usecases.jobs.tally import alarm

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from orchestrator.domain.jobs.deployment import DeploymentHost, DeploymentStore
    from orchestrator.domain.money.tariff import Tariff
    from orchestrator.usecases.hosting.deployment_plan import Wish
    from orchestrator.usecases.jobs.ledger import Ledger

_WAIT_SECONDS = 3600
_LOOK_SECONDS = 15.0
_EXISTS = 412


@dataclass(frozen=True, kw_only=True)
class Yard:
    """The parts that deployments are worked on with.

    Attributes:
        host: where the models of a profile are deployed.
        tariff: what a profile, a base model and a SKU mean for the bill.
    """

    ledger: Ledger
    store: DeploymentStore
    host: Callable[[str], DeploymentHost]
    tariff: Callable[[str, str, str], Tariff]

    @property
    def now(self) -> datetime:
        """The time."""
        return self.ledger.clock.now()


def record(wish: Wish, host: DeploymentHost, yard: Yard) -> Deployment:
    """Commit the intent, or take up the one that stands for the same thing.

    Raises:
        UsageError: the name serves something else. Conflict: another process was first.
    """
    failpoints.reach("deploy.begun")
    known, now = yard.store.named(host.account, wish.name), yard.now
    if known is not None:
        return _taken_up(_the_same(known, wish), wish, yard)
    deployment = Deployment(
        id=new_id(),
        job_id=wish.job.id,
        provider=wish.job.provider,
        resource=host.account,
        name=wish.name,
        model=wish.model,
        base_model=wish.job.model,
        sku=wish.sku,
        capacity=wish.capacity,
        hour_micros=wish.hour.micros,
        price_note=wish.hour.note,
        ends_at=now + wish.ends_after if wish.ends_after else None,
        created_at=now,
        updated_at=now,
    )
    yard.store.add(deployment)
    failpoints.reach("deploy.intent_written")
    return deployment


def send(deployment: Deployment, host: DeploymentHost, yard: Yard) -> Deployment:
    """Take an intent to the host, if it is not there already: one look, and at most one PUT.

    Returns:
        The deployment as it stands: accepted, creating, succeeded, failed, or unknown.

    Raises:
        TryLater, ConfigurationError: the host cannot be asked, or did not take it; the intent
            waits. Conflict: another process took it further meanwhile.
    """
    must_be_here(deployment, host)
    if deployment.state not in _TO_SEND:
        return deployment
    found = host.get(deployment.name)
    failpoints.reach("deploy.looked")
    if found is not None and found.model != deployment.model:
        return _refused(deployment, _taken(deployment, found), yard)
    if found is not None and found.state is not DeploymentState.FAILED:
        return accept(deployment, found, yard, "it stands at the host already")
    now = yard.now
    deployment = yard.store.change(
        deployment,
        now,
        "request is about to leave",
        DeploymentState.PLANNED,
        sent_at=now,
        undeploy_at=None,
        absent_at=None,
        error=None,
    )
    failpoints.reach("deploy.sending")
    return _put(deployment, host, yard, new=found is None)


def accept(deployment: Deployment, remote: RemoteDeployment, yard: Yard, reason: str) -> Deployment:
    """Write down how the host says it stands; a word we do not act on keeps the state."""
    state, now = remote.state or deployment.state, yard.now
    if remote.state is None and deployment.state in _TO_SEND:
        # Whatever the word means: it is there, and may be billed.
        state = DeploymentState.CREATING
    fields: dict[str, Any] = {
        "remote_state": remote.remote_state,
        "operation": remote.operation or deployment.operation,
        "absent_at": None,
        "raw": remote.raw,
        **_billed_as(deployment, remote, yard),
    }
    if state is DeploymentState.SUCCEEDED:
        started = deployment.started_at or remote.created_at or deployment.sent_at or now
        fields |= {"started_at": started, "error": None}
        ends = fields.get("ends_at", deployment.ends_at)
        if deployment.started_at is None and ends is not None:
            # Until now it was counted from the intent.
            fields["ends_at"] = started + (ends - deployment.created_at)
    if state is deployment.state and all(getattr(deployment, n) == fields[n] for n in fields):
        return deployment
    return yard.store.change(deployment, now, reason, state, **fields)


def _billed_as(deployment: Deployment, remote: RemoteDeployment, yard: Yard) -> dict[str, Any]:
    """What the host bills is what it says it has, and not what we once asked for."""
    capacity = remote.capacity or deployment.capacity
    if remote.sku is None or remote.sku.lower() == deployment.sku.lower():
        return {"capacity": capacity}
    rate = yard.tariff(deployment.provider, deployment.base_model, remote.sku)
    start = deployment.started_at or deployment.created_at
    alarm(
        yard.ledger.jobs.get(deployment.job_id),
        yard.ledger,
        f"the deployment '{deployment.name}' is {rate.sku}, not {deployment.sku}: {rate.hour.note}",
        level="warning",
    )
    return {
        "sku": rate.sku,
        "capacity": capacity,
        "hour_micros": rate.hour.micros,
        "price_note": rate.hour.note,
        "ends_at": start + rate.ends_after if rate.ends_after else None,
    }


def is_older(found: RemoteDeployment, deployment: Deployment, now: datetime) -> bool:
    """Whether a failure may be that of an earlier request, and ours is still on its way."""
    return (
        found.state is DeploymentState.FAILED
        and deployment.is_in_doubt
        and deployment.sent_at is not None
        and now < deployment.sent_at + SETTLE
    )


def wait(
    deployment: Deployment,
    look: Callable[[Deployment], Deployment],
    yard: Yard,
    told: Callable[[Deployment], None],
) -> Deployment:
    """Look again and again until it stands, failed, or an hour is over."""
    waited = 0.0
    while deployment.state.is_moving and waited < _WAIT_SECONDS:
        yard.ledger.clock.sleep(_LOOK_SECONDS)
        waited += _LOOK_SECONDS
        try:
            deployment = look(deployment)
        except TryLater as error:
            yard.ledger.say(error.message)
            continue
        told(deployment)
    return deployment


_TO_SEND = frozenset({DeploymentState.PLANNED, DeploymentState.UNKNOWN, DeploymentState.FAILED})


def _the_same(known: Deployment, wish: Wish) -> Deployment:
    if known.model != wish.model:
        raise UsageError(
            f"'{known.name}' serves {known.model} of job {known.job_id} ({known.state}).",
            hint=f"another --name, or ftctl undeploy {known.id}",
        )
    free = known.is_unsent or known.state is DeploymentState.FAILED
    if not free and (known.sku, known.capacity) != (wish.sku, wish.capacity):
        raise UsageError(
            f"'{known.name}' is {known.state} already, as {known.sku} with {known.capacity}.",
            hint=f"another --name, or ftctl undeploy {known.id}",
        )
    if known.undeploy_at is not None and known.state is DeploymentState.DELETING:
        raise UsageError(
            f"'{known.name}' is being deleted.", hint="ftctl sync, and then the same again"
        )
    return known


def _taken_up(known: Deployment, wish: Wish, yard: Yard) -> Deployment:
    """The same name again, for what was refused or never sent: as it is wished for now."""
    wished = (wish.sku, wish.capacity, wish.hour.micros)
    if (known.sku, known.capacity, known.hour_micros) == wished or known.started_at is not None:
        return known
    return yard.store.change(
        known,
        yard.now,
        "wished for otherwise",
        sku=wish.sku,
        capacity=wish.capacity,
        hour_micros=wish.hour.micros,
        price_note=wish.hour.note,
        ends_at=known.created_at + wish.ends_after if wish.ends_after else None,
    )


def _put(deployment: Deployment, host: DeploymentHost, yard: Yard, *, new: bool) -> Deployment:
    request = DeploymentRequest(
        name=deployment.name,
        model=deployment.model,
        sku=deployment.sku,
        capacity=deployment.capacity,
    )
    try:
        remote = host.put(request, new=new)
    except (TryLater, ConfigurationError) as error:
        failpoints.reach("deploy.not_taken")
        yard.store.change(deployment, yard.now, f"not accepted: {error}", sent_at=None)
        raise
    except OutcomeUnknown as error:
        failpoints.reach("deploy.unclear")
        return _unclear(deployment, error, host, yard)
    except AnswerIsNo as error:
        failpoints.reach("deploy.refused")
        if getattr(error, "status", None) == _EXISTS:
            # Made since we looked: by an earlier request of ours, or by somebody else.
            return _unclear(deployment, error, host, yard)
        refusal = RemoteError(message=error.message, code=getattr(error, "code", None))
        return _refused(deployment, refusal, yard)
    failpoints.reach("deploy.answered")
    deployment = accept(deployment, remote, yard, f"the host says {remote.remote_state}")
    failpoints.reach("deploy.accepted")
    return deployment


def _unclear(
    deployment: Deployment, error: FtctlError, host: DeploymentHost, yard: Yard
) -> Deployment:
    """The same name says what became of it; while it cannot be asked, nobody knows."""
    deployment = yard.store.change(
        deployment, yard.now, f"no clear answer: {error}", DeploymentState.UNKNOWN
    )
    try:
        found = host.get(deployment.name)
    except (TryLater, ConfigurationError):
        return deployment
    if found is None or is_older(found, deployment, yard.now):
        return deployment
    if found.model != deployment.model:
        return _refused(deployment, _taken(deployment, found), yard)
    return accept(deployment, found, yard, "found at the host")


def _refused(deployment: Deployment, error: RemoteError, yard: Yard) -> Deployment:
    return yard.store.change(
        deployment,
        yard.now,
        f"the host said no: {error.message}",
        DeploymentState.FAILED,
        error=error,
        sent_at=None,
    )


def _taken(deployment: Deployment, found: RemoteDeployment) -> RemoteError:
    return RemoteError(
        message=f"'{deployment.name}' serves {found.model} already, and is left as it is;"
        " choose another --name",
        code="name_taken",
    )


def must_be_here(deployment: Deployment, host: DeploymentHost) -> None:
    """Refuse to work on a deployment of another resource.

    Raises:
        ConfigurationError: the profile names another one now.
    """
    if host.account != deployment.resource:
        raise ConfigurationError(
            f"The deployment '{deployment.name}' lies in another resource than the profile"
            f" '{deployment.provider}' names now.",
            hint=f"mend subscription, resource_group and account under"
            f" [providers.{deployment.provider}]",
        )
