"""One short pass over every job that is not settled; made for cron.

Safe when two passes overlap: every change is a compare-and-swap, and the loser steps aside.
Unreachable is not failed; absent from a list is not gone; a word we do not know changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domain import failpoints
from orchestrator.domain.errors import AnswerIsNo, ConfigurationError, Conflict, TryLater
from orchestrator.domain.jobs.job import JobStatus
from orchestrator.usecases.jobs.model_dates import ask_for_dates
from orchestrator.usecases.jobs.polling import minded, shut_until
from orchestrator.usecases.jobs.refresh import refresh, refresh_all
from orchestrator.usecases.jobs.settle import SETTLE, settle_doubt
from orchestrator.usecases.jobs.submit import advance
from orchestrator.usecases.jobs.tally import Pass, Tally, Waiting, total

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.ledger import Watched
    from orchestrator.domain.provider import Provider
    from orchestrator.usecases.jobs.ledger import Ledger

__all__ = ["SETTLE", "UNSETTLED", "Pass", "sync", "sync_job"]

UNSETTLED = tuple(
    status for status in JobStatus if not status.is_final and status is not JobStatus.NEEDS_REVIEW
)
_MAX_PROVIDERS_AT_ONCE = 16


class Progress(NamedTuple):
    """Where a pass stands.

    Attributes:
        due: jobs that it asks about, at so many accounts.
    """

    accounts: int
    due: int
    checked: int
    changed: int
    requests: int


def sync(
    ledger: Ledger,
    *,
    settle: timedelta = SETTLE,
    everything: bool = False,
    told: Callable[[Progress], None] | None = None,
) -> Pass:
    """Ask every provider about its unsettled jobs and write down what is true.

    Args:
        ledger: the store, the clock and the providers.
        settle: how long a created job may take to appear in the provider's list.
        everything: also ask about jobs whose next poll is not due.
        told: is called as the pass goes on, from the threads that ask.
    """
    failpoints.reach("sync.begun")
    by_profile: dict[str, list[Job]] = defaultdict(list)
    jobs = ledger.jobs
    for job in jobs.all(UNSETTLED) if everything else jobs.due(UNSETTLED, ledger.clock.now()):
        by_profile[job.provider].append(job)
    watch = _Watch(told, len(by_profile), sum(len(some) for some in by_profile.values()))
    tallies = _at_once(
        [
            partial(_sync_profile, name, some, ledger, settle, watch.tally())
            for name, some in by_profile.items()
        ]
    )
    # After the jobs: an account whose gate they shut is not asked, and no job waits for a list.
    silent = {name for tally in tallies for name, _ in tally.unreachable}
    watched = [w for w in ledger.dates.due(ledger.clock.now()) if w.profile not in silent]
    tallies += _at_once([partial(_ask_for_dates, each, ledger, watch.tally()) for each in watched])
    failpoints.reach("sync.ended")
    return total(tallies)


class _Watch:
    """Adds up what the threads of a pass have counted so far, for whoever looks on."""

    def __init__(self, told: Callable[[Progress], None] | None, accounts: int, due: int) -> None:
        self._told, self._accounts, self._due = told, accounts, due
        self._tallies: list[Tally] = []
        self._heard()

    def tally(self) -> Tally:
        """A tally for one thread."""
        made = Tally(self._heard)
        self._tallies.append(made)
        return made

    def _heard(self) -> None:
        if self._told is not None:
            now = total(self._tallies)
            self._told(
                Progress(self._accounts, self._due, now.checked, len(now.changes), now.requests)
            )


def _at_once(parts: Sequence[Callable[[], Tally]]) -> list[Tally]:
    if not parts:
        return []
    workers = min(len(parts), _MAX_PROVIDERS_AT_ONCE)
    with ThreadPoolExecutor(workers, thread_name_prefix="sync") as pool:
        return list(pool.map(lambda part: part(), parts))


def _ask_for_dates(watched: Watched, ledger: Ledger, tally: Tally) -> Tally:
    ask_for_dates(watched, ledger, tally)
    tally.heard()
    return tally


def sync_job(job: Job, provider: Provider, ledger: Ledger, *, settle: timedelta = SETTLE) -> Job:
    """Bring one job up to date, due or not.

    Raises:
        TryLater: the provider cannot be asked.
    """
    with minded(provider, ledger):
        if job.status.is_remote:
            return refresh(job, provider, ledger, Tally())
        return _settled(job, provider, ledger, settle, Tally())


def _sync_profile(
    name: str, jobs: Sequence[Job], ledger: Ledger, settle: timedelta, tally: Tally
) -> Tally:
    try:
        provider = ledger.provider(name)
        until = shut_until(provider, ledger)
        if until is not None:
            tally.waiting.append(Waiting(name, until))
            return tally
        with minded(provider, ledger):
            _settle_each(
                [job for job in jobs if not job.status.is_remote], provider, ledger, settle, tally
            )
            refresh_all([job for job in jobs if job.status.is_remote], provider, ledger, tally)
    except (TryLater, ConfigurationError, AnswerIsNo) as error:
        # The next job would meet the same wall.
        tally.unreachable.append((name, error))
    tally.heard()
    return tally


def _settle_each(
    jobs: Sequence[Job], provider: Provider, ledger: Ledger, settle: timedelta, tally: Tally
) -> None:
    for job in jobs:
        tally.checked += 1
        tally.heard()
        try:
            tally.note(job, _settled(job, provider, ledger, settle, tally))
        except Conflict:
            continue
        except ConfigurationError as error:
            # Most often the key of one job's account; other jobs may do without it.
            tally.unreachable.append((job.provider, error))


def _settled(job: Job, provider: Provider, ledger: Ledger, settle: timedelta, tally: Tally) -> Job:
    with ledger.claim(job.id) as ours:
        if not ours:
            return job
        failpoints.reach("sync.claimed")
        # Whoever held the claim may have changed the row between our reading and our claim.
        job = ledger.jobs.get(job.id)
        if job.status.is_in_doubt:
            job = settle_doubt(job, provider, ledger, settle, tally)
        if job.status.is_unsent:
            tally.requests += 1
            job = advance(job, provider, ledger, passing=True)
    return job
