"""From a tuned model to a deployment, and to its end: nothing is billed by the hour unknowingly.

The order is the promise. The intent is committed before anything is sent; the host is asked what
stands under the name before it is asked for anything; a request's answer is committed when it
comes. A PUT of the same name says the same thing again, so a lost answer is settled by looking. A
deployment whose model is not ours is neither written over nor deleted.

What `sync` never does is start one: an intent whose request surely never left waits for a person.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from orchestrator.domain import failpoints
from orchestrator.domain.deployment import (
    Deployment,
    DeploymentRequest,
    DeploymentState,
    RemoteDeployment,
)
from orchestrator.domain.errors import (
    AnswerIsNo,
    ConfigurationError,
    FtctlError,
    OutcomeUnknown,
    TryLater,
    UsageError,
)
from orchestrator.domain.ids import new_id
from orchestrator.domain.job import RemoteError
from orchestrator.domain.tariff import Hour, Tariff, hour_of
from orchestrator.usecases.settle import SETTLE
from orchestrator.usecases.tally import alarm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from orchestrator.domain.deployment import DeploymentHost, DeploymentStore
    from orchestrator.domain.job import Checkpoint, Job
    from orchestrator.domain.prices import PriceBook
    from orchestrator.domain.provider import Capabilities
    from orchestrator.domain.tariff import Tiers
    from orchestrator.usecases.ledger import Ledger

USUAL_CAPACITY = 10
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,63}")
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


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What someone wants deployed, checked and priced; nothing is written yet.

    Attributes:
        ends_after: after so long the host ends it by itself.
        others: deployments that serve the same model already.
    """

    job: Job
    model: str
    name: str
    sku: str
    capacity: int
    hour: Hour
    ends_after: timedelta | None = None
    idle: timedelta | None = None
    others: Sequence[Deployment] = ()

    @property
    def is_free(self) -> bool:
        """Hosting costs nothing; tokens may."""
        return self.hour.micros == 0

    def lines(self) -> list[str]:
        """What a person should know before it is asked for."""
        lines = [
            f"deploy {self.model} as '{self.name}' at {self.job.provider}: {self.sku},"
            f" {self.capacity:,} thousand tokens a minute"
        ]
        month = self.hour.month
        if month is None:
            lines.append(
                f"hosting is {self.hour.note}; it may be billed by the hour, called or not"
            )
        elif self.is_free:
            lines.append(f"hosting costs nothing by the hour ({self.hour.note})")
        else:
            lines.append(
                f"hosting costs ${month:,.2f} a month, called or not ({self.hour.note}), until you"
                " type: ftctl undeploy"
            )
        if self.ends_after is not None:
            hours = self.ends_after / timedelta(hours=1)
            lines.append(f"the host ends it by itself after {hours:g} h")
        elif self.idle is not None:
            lines.append(f"the host deletes it when nobody calls it for {self.idle.days} days")
        lines += [
            f"the same model is deployed already as '{other.name}' ({other.state}): both are billed"
            for other in self.others
        ]
        return lines


def wish(
    job: Job,
    capabilities: Capabilities,
    tiers: Tiers,
    book: PriceBook,
    *,
    sku: str | None = None,
    capacity: int | None = None,
    name: str | None = None,
    checkpoint: Checkpoint | None = None,
    known: Sequence[Deployment] = (),
) -> Wish:
    """What deploying a job means and costs.

    Args:
        job: a succeeded one.
        capabilities: of its provider.
        tiers: how its kind bills deployments.
        book: dated prices.
        sku: how it is billed; the usual one when None.
        capacity: thousands of tokens a minute.
        name: of the deployment; made from the job's id when None.
        checkpoint: serve this one instead of the last weights.
        known: deployments of this job.

    Raises:
        UsageError: there is nothing to deploy, or the name cannot be one.
    """
    model = checkpoint.model if checkpoint else job.tuned_model
    if model is None:
        raise UsageError(
            f"Job {job.id} has no tuned model to deploy; it is {job.status}.",
            hint=f"ftctl status {job.id}",
        )
    if not capabilities.needs_deployment:
        raise UsageError(
            f"Models at '{job.provider}' answer without a deployment.",
            hint=f"ftctl compare {job.id} --test FILE",
        )
    rate = tariff(capabilities, tiers, book, job.model, sku or tiers.usual or "GlobalStandard")
    called = name or _usual_name(job, checkpoint)
    if not _NAME.fullmatch(called):
        raise UsageError(
            f"'{called}' cannot name a deployment: 2 to 64 letters, digits, -, _ and ., the first"
            " a letter or digit."
        )
    return Wish(
        job=job,
        model=model,
        name=called,
        sku=rate.sku,
        capacity=capacity or USUAL_CAPACITY,
        hour=rate.hour,
        ends_after=rate.ends_after,
        idle=tiers.idle,
        others=[
            each
            for each in known
            if each.state.is_open and each.model == model and each.name != called
        ],
    )


def tariff(
    capabilities: Capabilities, tiers: Tiers, book: PriceBook, base_model: str, sku: str
) -> Tariff:
    """What a SKU means for a model, by the dated files."""
    name, tier = tiers.named(sku)
    ends_after = tier.ends_after if tier else None
    if capabilities.prices is None:
        return Tariff(name, Hour(0, "this provider bills nothing"), ends_after)
    hour = hour_of(book, capabilities.prices, base_model, tier.tier if tier else None)
    return Tariff(name, hour, ends_after)


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
    _must_be_here(deployment, host)
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


def give_up(deployment: Deployment, yard: Yard) -> Deployment:
    """End an intent of which nothing was ever sent."""
    return yard.store.change(
        deployment, yard.now, "given up before it was sent", DeploymentState.DELETED
    )


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


def undeploy(deployment: Deployment, host: DeploymentHost, yard: Yard) -> Deployment:
    """Ask for the end of a deployment, and say whether it has come; `sync` sees to the rest.

    Raises:
        TryLater: the host cannot be asked; the wish is written, and `sync` goes on with it.
    """
    _must_be_here(deployment, host)
    now = yard.now
    deployment = yard.store.change(
        deployment, now, "a person ends it", DeploymentState.DELETING, undeploy_at=now
    )
    failpoints.reach("undeploy.deleting")
    return end(deployment, host.get(deployment.name), host, yard)


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


def _counted(deployment: Deployment, found: RemoteDeployment, yard: Yard) -> Deployment:
    """It stood, and was billed, before its end was asked for: its hours count."""
    if found.state is not DeploymentState.SUCCEEDED:
        return deployment
    started = found.created_at or deployment.sent_at or deployment.created_at
    return yard.store.change(deployment, yard.now, "it stood", started_at=started)


def is_older(found: RemoteDeployment, deployment: Deployment, now: datetime) -> bool:
    """Whether a failure may be that of an earlier request, and ours is still on its way."""
    return (
        found.state is DeploymentState.FAILED
        and deployment.is_in_doubt
        and deployment.sent_at is not None
        and now < deployment.sent_at + SETTLE
    )


def over(deployment: Deployment, yard: Yard, reason: str) -> Deployment:
    """Write down that it is gone: its hours end."""
    now = yard.now
    ended = (deployment.absent_at or now) if deployment.started_at else None
    deployment = yard.store.change(deployment, now, reason, DeploymentState.DELETED, ended_at=ended)
    failpoints.reach("undeploy.ended")
    return deployment


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


def _must_be_here(deployment: Deployment, host: DeploymentHost) -> None:
    if host.account != deployment.resource:
        raise ConfigurationError(
            f"The deployment '{deployment.name}' lies in another resource than the profile"
            f" '{deployment.provider}' names now.",
            hint=f"mend subscription, resource_group and account under"
            f" [providers.{deployment.provider}]",
        )


def _may_still_appear(deployment: Deployment, now: datetime) -> bool:
    """A request that left a short while ago, and was never seen to arrive, may arrive yet."""
    sent, never_stood = deployment.sent_at, deployment.remote_state is None
    return never_stood and sent is not None and now < sent + SETTLE


def _usual_name(job: Job, checkpoint: Checkpoint | None) -> str:
    return f"ftctl-{job.id}" + (f"-step-{checkpoint.step}" if checkpoint else "")


def must_answer(
    job: Job, models: Iterable[str], served: Mapping[str, str], known: Sequence[Deployment]
) -> None:
    """Refuse to ask a tuned model that nobody deployed, before other models are asked and paid.

    Args:
        job: whose models they are, at a provider where models must be deployed.
        models: what is going to be asked there.
        served: model to deployment name.
        known: deployments of the job, newest first.

    Raises:
        ConfigurationError: a model of the job has no deployment that answers.
    """
    for model in models:
        if not model.startswith(job.tuned_model or "-") or model in served:
            continue
        if model in served.values():
            continue
        standing = [each for each in known if each.model == model and each.state.is_open]
        if standing:
            raise ConfigurationError(
                f"The deployment '{standing[0].name}' of job {job.id} is {standing[0].state}, and"
                " does not answer yet.",
                hint="ftctl sync",
            )
        raise ConfigurationError(
            f"The tuned model of job {job.id} answers at '{job.provider}' only when it is"
            " deployed, and no deployment of it is known.",
            hint=f"ftctl deploy {job.id}",
        )
