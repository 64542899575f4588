"""Finding out what became of a request that may have left."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from orchestrator.domain import failpoints
from orchestrator.domain.jobs.job import JobStatus
from orchestrator.usecases.jobs.traces import conclude, look_for

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.provider import Provider
    from orchestrator.usecases.jobs.ledger import Ledger
    from orchestrator.usecases.jobs.tally import Tally

# No provider says how late a created job may appear in its list; this is our guess, and the
# boundary of the promise (docs/reliability.md).
SETTLE = timedelta(minutes=10)
LISTINGS_APART = timedelta(seconds=60)


def settle_doubt(
    job: Job, provider: Provider, ledger: Ledger, settle: timedelta, tally: Tally
) -> Job:
    """Adopt the one remote job with our token, or let two empty listings show that none exists.

    Raises:
        TryLater: the list cannot be read whole, and so proves nothing.
    """
    now = ledger.clock.now()
    if job.status is JobStatus.SUBMITTING:
        job = ledger.jobs.change(
            job, now, "the process that sent the request died", JobStatus.UNKNOWN
        )
    failpoints.reach("sync.known_to_be_in_doubt")
    if provider.account != job.account:
        return ledger.jobs.change(
            job,
            now,
            "the account changed, so its list proves nothing about this job",
            JobStatus.NEEDS_REVIEW,
        )
    if provider.capabilities.idempotency_key:
        return ledger.jobs.change(
            job, now, "the provider honours the idempotency key: ask again", JobStatus.READY
        )
    tally.requests += 1
    traces = look_for(job, provider, ledger)
    failpoints.reach("sync.listed")
    found = conclude(job, traces, ledger)
    if found is not None:
        failpoints.reach("sync.adopted")
        return found
    return _absent(job, now, ledger, settle)


def _absent(job: Job, now: datetime, ledger: Ledger, settle: timedelta) -> Job:
    """Two complete listings after the settle time, a minute apart, without it: it was never made."""
    assert job.sent_at is not None
    if now < job.sent_at or (job.absent_at is not None and now < job.absent_at):
        return ledger.jobs.change(job, now, "the clock went back", JobStatus.NEEDS_REVIEW)
    if now < job.sent_at + settle:
        return job
    if job.absent_at is None:
        job = ledger.jobs.change(job, now, "not in the list", absent_at=now)
        failpoints.reach("sync.absent_once")
        return job
    if now < job.absent_at + LISTINGS_APART:
        return job
    job = ledger.jobs.change(
        job, now, "absent from two complete lists after the settle time", JobStatus.READY
    )
    failpoints.reach("sync.absent_twice")
    return job
