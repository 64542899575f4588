"""Cancel, pause, resume, and settling what only a person can settle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.domain.errors import OutcomeUnknown, TryLater, UsageError
from orchestrator.domain.jobs.job import JobStatus
from orchestrator.usecases.jobs.sync import sync_job
from orchestrator.usecases.jobs.traces import accept

if TYPE_CHECKING:
    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.provider import Provider
    from orchestrator.usecases.jobs.ledger import Ledger


def cancel(job: Job, ledger: Ledger) -> Job:
    """Stop a job: here when it was never sent, at the provider when it was.

    Raises:
        UsageError: it has ended, or nobody knows yet whether it exists.
    """
    if job.status.is_unsent:
        now = ledger.clock.now()
        return ledger.jobs.change(
            job, now, "cancelled before it was sent", JobStatus.CANCELLED, finished_at=now
        )
    _must_be_remote(job, "cancelled")
    provider = ledger.provider(job.provider)
    try:
        provider.cancel_job(_remote_id(job))
    except (TryLater, OutcomeUnknown):
        # Sent, no answer: whether it worked is what the next question tells.
        ledger.say("no clear answer to the cancellation; asking how the job stands")
    return sync_job(job, provider, ledger)


def pause(job: Job, ledger: Ledger) -> Job:
    """Ask the provider to hold a job."""
    provider = _able(job, ledger)
    _must_be_remote(job, "paused")
    provider.pause_job(_remote_id(job))
    return sync_job(job, provider, ledger)


def resume(job: Job, ledger: Ledger) -> Job:
    """Ask the provider to go on with a paused job."""
    provider = _able(job, ledger)
    _must_be_remote(job, "resumed")
    provider.resume_job(_remote_id(job))
    return sync_job(job, provider, ledger)


def resolve_as(job: Job, remote_id: str, ledger: Ledger) -> Job:
    """A person says which remote job is ours; it is asked for before it is believed.

    Raises:
        UsageError: the job is not in doubt, or the remote job belongs to another intent.
    """
    _must_be_doubtful(job)
    remote = ledger.provider(job.provider).retrieve_job(remote_id)
    if remote.token not in {None, job.token}:
        raise UsageError(f"{remote_id} carries the token of another intent.")
    return accept(job, remote, ledger.clock.now(), ledger, "settled by a person")


def resolve_as_absent(job: Job, ledger: Ledger) -> Job:
    """A person says that no remote job exists; it may be sent again."""
    _must_be_doubtful(job)
    return ledger.jobs.change(
        job, ledger.clock.now(), "a person says it was never made", JobStatus.READY
    )


def _must_be_doubtful(job: Job) -> None:
    if job.status not in {JobStatus.NEEDS_REVIEW, JobStatus.UNKNOWN}:
        raise UsageError(f"Job {job.id} is {job.status}; there is nothing to settle.")


def _able(job: Job, ledger: Ledger) -> Provider:
    provider = ledger.provider(job.provider)
    if not provider.capabilities.pause:
        raise UsageError(f"Provider '{provider.name}' cannot pause jobs.")
    return provider


def _must_be_remote(job: Job, what: str) -> None:
    if job.status.is_remote:
        return
    if job.status.is_final:
        raise UsageError(f"Job {job.id} has ended ({job.status}) and cannot be {what}.")
    raise UsageError(
        f"Job {job.id} is {job.status}: whether the provider has it is not known yet.",
        hint="ftctl sync",
    )


def _remote_id(job: Job) -> str:
    assert job.remote_id is not None
    return job.remote_id
