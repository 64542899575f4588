"""A pass of sync over deployments: one list a resource, and what it says written down.

Absence from a list is not the end: the deployment is asked for by its name, twice, a minute apart.
"""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domain import failpoints
from orchestrator.domain.errors import AnswerIsNo, ConfigurationError, Conflict, TryLater
from orchestrator.domain.jobs.deployment import DeploymentState
from orchestrator.domain.jobs.job import JobStatus
from orchestrator.usecases.hosting.deploying import accept, is_older
from orchestrator.usecases.hosting.undeploying import end, over
from orchestrator.usecases.jobs.polling import minded, shut_until
from orchestrator.usecases.jobs.settle import LISTINGS_APART, SETTLE
from orchestrator.usecases.jobs.tally import Waiting, alarm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from orchestrator.domain.errors import FtctlError
    from orchestrator.domain.jobs.deployment import Deployment, DeploymentHost, RemoteDeployment
    from orchestrator.usecases.hosting.deploying import Yard

# What stands is looked at seldom: it changes only when somebody ends it.
STANDING = timedelta(minutes=15)
_THREADS = 8


class Moved(NamedTuple):
    """A deployment that is elsewhere than before this pass."""

    deployment: Deployment
    before: DeploymentState


@dataclass
class Followed:
    """What one pass over deployments did.

    Attributes:
        checked: deployments that were asked about; `requests` the questions that took.
        unreachable: profile and reason, for each that could not be asked.
        waiting: profiles whose resource asked for a pause, or did not answer often enough.
    """

    checked: int = 0
    requests: int = 0
    changes: list[Moved] = field(default_factory=list)
    unreachable: list[tuple[str, FtctlError]] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)


def follow(yard: Yard, *, everything: bool = False) -> Followed:
    """Ask every resource with an open deployment, and write down what is true.

    Args:
        yard: the store, the clock and the hosts.
        everything: also ask about what stands and was asked about a short while ago.
    """
    now = yard.now
    open_ones = [each for each in yard.store.all() if each.may_cost]
    due: dict[str, list[Deployment]] = defaultdict(list)
    for each in open_ones:
        due[each.provider].append(each)
    chosen = {
        name: rows for name, rows in due.items() if everything or any(_is_due(r, now) for r in rows)
    }
    if not chosen:
        return Followed()
    with ThreadPoolExecutor(min(len(chosen), _THREADS), thread_name_prefix="hosting") as pool:
        found = pool.map(lambda item: _profile(item[0], item[1], yard), chosen.items())
        return _total(list(found))


def look(deployment: Deployment, host: DeploymentHost, yard: Yard) -> Deployment:
    """Bring one deployment up to date by its name.

    Raises:
        TryLater: the host cannot be asked. Conflict: another process was first.
    """
    with minded(host, yard.ledger):
        return _written(deployment, host.get(deployment.name), host, yard)


def _is_due(deployment: Deployment, now: datetime) -> bool:
    if deployment.state.is_moving or deployment.is_in_doubt or deployment.absent_at is not None:
        return True
    if deployment.ends_at is not None and deployment.ends_at <= now:
        return True
    return deployment.checked_at is None or now >= deployment.checked_at + STANDING


def _profile(name: str, rows: Sequence[Deployment], yard: Yard) -> Followed:
    done = Followed()
    try:
        host = yard.host(name)
        until = shut_until(host, yard.ledger)
        if until is not None:
            done.waiting.append(Waiting(name, until))
            return done
        with minded(host, yard.ledger):
            _resource(rows, host, yard, done)
    except (TryLater, ConfigurationError, AnswerIsNo) as error:
        done.unreachable.append((name, error))
    return done


def _resource(rows: Sequence[Deployment], host: DeploymentHost, yard: Yard, done: Followed) -> None:
    here = [each for each in rows if each.resource == host.account]
    for lost in [each for each in rows if each.resource != host.account]:
        done.unreachable.append((lost.provider, _elsewhere(lost)))
    if not here:
        return
    done.requests += 1
    listed = {remote.name: remote for remote in host.list()}
    failpoints.reach("hosting.listed")
    for deployment in here:
        done.checked += 1
        try:
            after = _one(deployment, listed, host, yard, done)
        except Conflict:
            # Another process writes what it saw; the next pass sees it.
            continue
        if after.state is not deployment.state:
            done.changes.append(Moved(after, deployment.state))
    _tell_strays(listed, {each.name for each in here}, host, yard)
    yard.store.checked([each.id for each in here], yard.now)
    failpoints.reach("hosting.written")


def _one(
    deployment: Deployment,
    listed: Mapping[str, RemoteDeployment],
    host: DeploymentHost,
    yard: Yard,
    done: Followed,
) -> Deployment:
    found = listed.get(deployment.name)
    if found is None:
        done.requests += 1
        found = host.get(deployment.name)
    with yard.ledger.claim(deployment.id) as ours:
        # Who holds it is in the middle of a request about it, and writes what comes of that.
        return _written(deployment, found, host, yard) if ours else deployment


def _tell_strays(
    listed: Mapping[str, RemoteDeployment], known: set[str], host: DeploymentHost, yard: Yard
) -> None:
    """A deployment of a model of ours that nobody told us of is billed all the same."""
    strays = [remote for name, remote in listed.items() if name not in known]
    if not strays:
        return
    jobs = {
        job.tuned_model: job
        for job in yard.ledger.jobs.all([JobStatus.SUCCEEDED])
        if job.provider == host.name and job.tuned_model
    }
    for remote in strays:
        if (job := jobs.get(remote.model)) is not None:
            alarm(
                job,
                yard.ledger,
                f"the deployment '{remote.name}' serves this job's model and is billed, and ftctl"
                f" did not make it; ftctl deploy {job.id} --name {remote.name} looks after it",
                level="warning",
            )


def _written(
    deployment: Deployment, found: RemoteDeployment | None, host: DeploymentHost, yard: Yard
) -> Deployment:
    if deployment.undeploy_at is not None:
        return end(deployment, found, host, yard)
    if found is None:
        return _absent(deployment, yard)
    if is_older(found, deployment, yard.now):
        return deployment
    if found.model != deployment.model:
        _say(
            deployment,
            yard,
            f"the deployment '{deployment.name}' serves {found.model} now, not {deployment.model};"
            f" it is billed all the same. ftctl undeploy {deployment.id} ends our part of it",
        )
        return deployment
    if found.state is None:
        _say(
            deployment,
            yard,
            f"the host says '{found.remote_state}' of the deployment '{deployment.name}', a word"
            " ftctl does not act on; it may be billed",
        )
    after = accept(deployment, found, yard, f"the host says {found.remote_state}")
    if after.state is DeploymentState.FAILED and after.error is None:
        after = _explained(after, host, yard)
    return after


def _explained(deployment: Deployment, host: DeploymentHost, yard: Yard) -> Deployment:
    """Keep the host's own sentence for a failure, where it has one."""
    error = host.failure(deployment.operation) if deployment.operation else None
    said = error.message if error else "the host does not say why"
    _say(deployment, yard, f"the deployment '{deployment.name}' failed: {said}")
    if error is None:
        return deployment
    return yard.store.change(deployment, yard.now, "its error is known", error=error)


def _absent(deployment: Deployment, yard: Yard) -> Deployment:
    """Gone, when two looks a minute apart say so; a request in doubt may arrive yet."""
    now = yard.now
    if deployment.is_in_doubt:
        if deployment.sent_at is not None and now >= deployment.sent_at + SETTLE:
            _say(
                deployment,
                yard,
                f"the host has no deployment '{deployment.name}', though it was asked for one;"
                f" ftctl deploy {deployment.job_id} asks again, ftctl undeploy {deployment.id}"
                " gives it up",
            )
        return deployment
    if deployment.absent_at is None:
        return yard.store.change(deployment, now, "not found", absent_at=now)
    if now < deployment.absent_at + LISTINGS_APART:
        return deployment
    by_itself = deployment.ends_at is not None and deployment.absent_at >= deployment.ends_at
    reason = "it ended by itself, as its SKU does" if by_itself else "the host has it no more"
    _say(deployment, yard, f"the deployment '{deployment.name}' is gone: {reason}", "warning")
    return over(deployment, yard, reason)


def _say(deployment: Deployment, yard: Yard, message: str, level: str = "error") -> None:
    alarm(yard.ledger.jobs.get(deployment.job_id), yard.ledger, message, level=level)


def _elsewhere(deployment: Deployment) -> ConfigurationError:
    return ConfigurationError(
        f"The deployment '{deployment.name}' lies in another resource than the profile names now;"
        " nobody looks after it."
    )


def _total(some: Sequence[Followed]) -> Followed:
    return Followed(
        checked=sum(each.checked for each in some),
        requests=sum(each.requests for each in some),
        changes=[change for each in some for change in each.changes],
        unreachable=[one for each in some for one in each.unreachable],
        waiting=[one for each in some for one in each.waiting],
    )
