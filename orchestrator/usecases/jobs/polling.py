"""When to ask again: about a job, and an account that could not be asked."""

from __future__ import annotations

import random
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from orchestrator.domain.errors import RateLimited, TryLater
from orchestrator.domain.jobs.job import JobStatus
from orchestrator.domain.ledger import Gate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from orchestrator.domain.jobs.job import Job
    from orchestrator.usecases.jobs.ledger import Ledger

VALIDATING_SECONDS = 15.0
QUEUED_SECONDS = (60.0, 280.0)
RUNNING_SECONDS = (30.0, 280.0)
JITTER = 0.2
# So many failures in a row shut the gate, for a minute at first, then twice as long each time.
FAILURES = 5
SHUT = timedelta(seconds=60)
LONGEST_SHUT = timedelta(minutes=30)
# A provider that asks for more is asked once a day all the same.
LONGEST_WISH = timedelta(days=1)

_VALIDATING = frozenset({"validating_files", "validating"})


class Account(Protocol):
    """Whoever is asked on behalf of an account: a provider, or a host of deployments."""

    account: str


def next_poll(job: Job, now: datetime) -> datetime:
    """When to ask about a job again: soon after a change, seldom in a long wait.

    The span is shortened by up to a fifth, by chance, so that jobs that started together are not
    asked about together for ever; it stays under five minutes, the usual beat of cron.
    """
    return now + timedelta(seconds=_span(job, now) * (1 - random.random() * JITTER))


@contextmanager
def minded(provider: Account, ledger: Ledger) -> Iterator[None]:
    """Ask an account, and remember for every process whether it could be asked."""
    before = ledger.gates.get(provider.account)
    try:
        yield
    except TryLater as error:
        now = ledger.clock.now()
        ledger.gates.put(after_failure(provider.account, before, error, now), now)
        raise
    if before is not None and before.failures:
        ledger.gates.put(Gate(account=provider.account), ledger.clock.now())


def shut_until(provider: Account, ledger: Ledger) -> datetime | None:
    """Until when nothing is asked of the account; None when it may be asked now."""
    gate, now = ledger.gates.get(provider.account), ledger.clock.now()
    if gate is None or gate.not_before is None or gate.not_before <= now:
        return None
    # Later than anybody may ask for: the clock went back since.
    return gate.not_before if gate.not_before <= now + LONGEST_WISH else None


def after_failure(account: str, before: Gate | None, error: TryLater, now: datetime) -> Gate:
    """The gate after an account could not be asked once more."""
    failures = (before.failures if before else 0) + 1
    return Gate(
        account=account,
        failures=failures,
        not_before=_not_before(failures, error, now),
        reason=error.message,
    )


def _not_before(failures: int, error: TryLater, now: datetime) -> datetime | None:
    if isinstance(error, RateLimited) and error.retry_after is not None:
        return now + min(timedelta(seconds=min(error.retry_after, 1e9)), LONGEST_WISH)
    if failures < FAILURES:
        return None
    # The first question after that is the probe: a pass ends with its first failure.
    doubled: int = 2 ** min(failures - FAILURES, 10)
    return now + min(SHUT * doubled, LONGEST_SHUT)


def _span(job: Job, now: datetime) -> float:
    if job.remote_status in _VALIDATING:
        return VALIDATING_SECONDS
    waited = (now - job.created_at).total_seconds()
    if job.status is JobStatus.QUEUED:
        return _within(QUEUED_SECONDS, waited / 10)
    if job.status is JobStatus.RUNNING and job.estimated_finish is not None:
        left = (job.estimated_finish - now).total_seconds()
        return _within(RUNNING_SECONDS, left / 4)
    return _within(RUNNING_SECONDS, waited / 20)


def _within(bounds: tuple[float, float], seconds: float) -> float:
    return min(max(seconds, bounds[0]), bounds[1])
