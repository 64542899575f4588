"""One short pass over every job that is not settled; made for cron.

Safe when two passes overlap: every change is a compare-and-swap, and the loser steps aside.
Unreachable is not failed; absent from a list is not gone; a word we do not know changes nothing.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from orchestrator.domain.errors import (
    ConfigurationError,
    Conflict,
    FtctlError,
    RemoteNotFound,
    TryLater,
)
from orchestrator.domain.job import JobEvent, JobStatus, MetricPoint
from orchestrator.usecases.submit import accept, advance

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from orchestrator.domain.job import Job
    from orchestrator.domain.provider import Provider, RemoteJob
    from orchestrator.usecases.ledger import Ledger

UNSETTLED = tuple(
    status for status in JobStatus if not status.is_final and status is not JobStatus.NEEDS_REVIEW
)
# No provider says how late a created job may appear in its list; this is our guess, and the
# boundary of the promise (docs/reliability.md).
SETTLE = timedelta(minutes=10)
LISTINGS_APART = timedelta(seconds=60)
_MAX_PROVIDERS_AT_ONCE = 16


@dataclass(frozen=True, kw_only=True)
class Change:
    """A job that is elsewhere than before this pass."""

    job: Job
    before: JobStatus


@dataclass(frozen=True, kw_only=True)
class Pass:
    """What one pass did.

    Attributes:
        requests: questions asked of providers.
        unreachable: profile and reason, for each that could not be asked.
    """

    checked: int = 0
    requests: int = 0
    changes: Sequence[Change] = ()
    unreachable: Sequence[tuple[str, FtctlError]] = ()


@dataclass
class _Tally:
    checked: int = 0
    requests: int = 0
    changes: list[Change] = field(default_factory=list)
    unreachable: list[tuple[str, FtctlError]] = field(default_factory=list)


def sync(ledger: Ledger, *, settle: timedelta = SETTLE) -> Pass:
    """Ask every provider about its unsettled jobs and write down what is true.

    Args:
        ledger: the store, the clock and the providers.
        settle: how long a created job may take to appear in the provider's list.
    """
    by_profile: dict[str, list[Job]] = defaultdict(list)
    for job in ledger.jobs.all(UNSETTLED):
        by_profile[job.provider].append(job)
    if not by_profile:
        return Pass()
    workers = min(len(by_profile), _MAX_PROVIDERS_AT_ONCE)
    with ThreadPoolExecutor(workers, thread_name_prefix="sync") as pool:
        tallies = list(
            pool.map(
                lambda item: _sync_profile(item[0], item[1], ledger, settle), by_profile.items()
            )
        )
    return Pass(
        checked=sum(tally.checked for tally in tallies),
        requests=sum(tally.requests for tally in tallies),
        changes=[change for tally in tallies for change in tally.changes],
        unreachable=[each for tally in tallies for each in tally.unreachable],
    )


def sync_job(job: Job, provider: Provider, ledger: Ledger, *, settle: timedelta = SETTLE) -> Job:
    """Bring one job up to date.

    Raises:
        TryLater: the provider cannot be asked.
    """
    return _sync_job(job, provider, ledger, settle, _Tally())


def _sync_profile(name: str, jobs: Iterable[Job], ledger: Ledger, settle: timedelta) -> _Tally:
    tally = _Tally()
    try:
        provider = ledger.provider(name)
    except FtctlError as error:
        tally.unreachable.append((name, error))
        return tally
    for job in jobs:
        tally.checked += 1
        try:
            after = _sync_job(job, provider, ledger, settle, tally)
        except (TryLater, ConfigurationError) as error:
            # The next job would meet the same wall.
            tally.unreachable.append((name, error))
            return tally
        except Conflict:
            continue
        if after.status is not job.status:
            tally.changes.append(Change(job=after, before=job.status))
    return tally


def _sync_job(
    job: Job, provider: Provider, ledger: Ledger, settle: timedelta, tally: _Tally
) -> Job:
    if job.status.is_remote:
        return _refresh(job, provider, ledger, tally)
    with ledger.claim(job.id) as ours:
        if not ours:
            return job
        # Whoever held the claim may have changed the row between our reading and our claim.
        job = ledger.jobs.get(job.id)
        if job.status.is_in_doubt:
            job = _settle(job, provider, ledger, settle, tally)
        if job.status.is_unsent:
            tally.requests += 1
            job = advance(job, provider, ledger)
    return job


def _refresh(job: Job, provider: Provider, ledger: Ledger, tally: _Tally) -> Job:
    assert job.remote_id is not None
    tally.requests += 1
    try:
        remote = provider.retrieve_job(job.remote_id)
    except RemoteNotFound:
        return _missing(job, ledger)
    return _apply(job, remote, provider, ledger, tally)


def _apply(job: Job, remote: RemoteJob, provider: Provider, ledger: Ledger, tally: _Tally) -> Job:
    """Write what the provider says: history first, the state last, so that neither is lost."""
    if remote.status is None:
        _alarm(
            job, ledger, f"the provider says '{remote.remote_status}', a word ftctl does not know"
        )
    status = remote.status or job.status
    if status is not JobStatus.QUEUED or job.status is not status:
        tally.requests += 1
        _keep_history(job, provider, ledger)
    if status is not JobStatus.QUEUED:
        tally.requests += 1
        ledger.jobs.add_checkpoints(job.id, provider.checkpoints(remote.id))
    fields = {
        "remote_status": remote.remote_status,
        "tuned_model": remote.tuned_model,
        "trained_tokens": remote.trained_tokens,
        "error": remote.error,
        "estimated_finish": remote.estimated_finish,
        "finished_at": (remote.finished_at or ledger.clock.now()) if status.is_final else None,
        "raw": remote.raw,
    }
    if all(getattr(job, name) == value for name, value in fields.items()) and status is job.status:
        return job
    reason = f"the provider says {remote.remote_status}"
    return ledger.jobs.change(job, ledger.clock.now(), reason, status, **fields)


def _keep_history(job: Job, provider: Provider, ledger: Ledger) -> None:
    assert job.remote_id is not None
    events = provider.events(job.remote_id)
    ledger.jobs.add_metrics(job.id, _metrics(events))
    ledger.jobs.add_events(job.id, events)


def _metrics(events: Iterable[JobEvent]) -> list[MetricPoint]:
    points = []
    for event in events:
        data = event.data or {}
        step = data.get("step")
        if not isinstance(step, int):
            continue
        points += [
            MetricPoint(step, name, float(value))
            for name, value in data.items()
            if name not in {"step", "total_steps"}
            and isinstance(value, int | float)
            and not isinstance(value, bool)
        ]
    return points


def _settle(job: Job, provider: Provider, ledger: Ledger, settle: timedelta, tally: _Tally) -> Job:
    """Find out what became of a request that may have left."""
    now = ledger.clock.now()
    if job.status is JobStatus.SUBMITTING:
        job = ledger.jobs.change(
            job, now, "the process that sent the request died", JobStatus.UNKNOWN
        )
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
    found = [each for each in provider.list_jobs(job.token) if each.token == job.token]
    if len(found) == 1:
        return accept(job, found[0], ledger.clock.now(), ledger, "found at the provider")
    if found:
        ids = ", ".join(each.id for each in found)
        _alarm(job, ledger, f"{len(found)} remote jobs carry this job's token: {ids}")
        return ledger.jobs.change(job, now, f"more than one job: {ids}", JobStatus.NEEDS_REVIEW)
    return _absent(job, now, ledger, settle)


def _absent(job: Job, now: datetime, ledger: Ledger, settle: timedelta) -> Job:
    """Two complete listings after the settle time, a minute apart, without it: it was never made."""
    assert job.sent_at is not None
    if now < job.sent_at:
        return ledger.jobs.change(job, now, "the clock went back", JobStatus.NEEDS_REVIEW)
    if now < job.sent_at + settle:
        return job
    if job.absent_at is None:
        return ledger.jobs.change(job, now, "not in the list", absent_at=now)
    if now < job.absent_at + LISTINGS_APART:
        return job
    return ledger.jobs.change(
        job, now, "absent from two complete lists after the settle time", JobStatus.READY
    )


def _missing(job: Job, ledger: Ledger) -> Job:
    """The provider does not know a job it took: loud, and never 'failed'."""
    _alarm(job, ledger, f"the provider no longer knows {job.remote_id}")
    return ledger.jobs.change(
        job, ledger.clock.now(), f"{job.remote_id} is not found", JobStatus.NEEDS_REVIEW
    )


def _alarm(job: Job, ledger: Ledger, message: str) -> None:
    ledger.jobs.add_events(
        job.id,
        [
            JobEvent(
                key=hashlib.sha256(message.encode()).hexdigest()[:32],
                at=ledger.clock.now(),
                level="error",
                source="ftctl",
                message=message,
            )
        ],
    )
    ledger.say(f"job {job.id}: {message}")
