"""Waiting for a job: ask again and again, politely, and tell who waits."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from orchestrator.domain.errors import Conflict, TryLater
from orchestrator.domain.jobs.job import JobStatus
from orchestrator.usecases.jobs.sync import sync_job

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.provider import Provider
    from orchestrator.usecases.jobs.ledger import Ledger

_PATIENCE = timedelta(minutes=10)


def follow(
    job: Job,
    provider: Provider,
    ledger: Ledger,
    *,
    every: float,
    told: Callable[[Job], None] = lambda _job: None,
) -> Job:
    """Stay with a job until nothing changes any more.

    Args:
        job: the job as it was read.
        provider: who has it.
        ledger: where it is written.
        every: seconds between questions while the provider answers.
        told: called after every answer.

    Returns:
        The job, final or waiting for a person.

    Raises:
        TryLater: the provider has not answered for ten minutes; the job itself is not touched.
    """
    silent_since = None
    while not job.status.is_final and job.status is not JobStatus.NEEDS_REVIEW:
        try:
            job = sync_job(job, provider, ledger)
            silent_since = None
        except Conflict:
            job = ledger.jobs.get(job.id)
        except TryLater:
            silent_since = silent_since or ledger.clock.now()
            if ledger.clock.now() - silent_since > _PATIENCE:
                raise
        told(job)
        if not job.status.is_final:
            ledger.clock.sleep(every)
    return job
