"""What one pass of sync did, counted while it goes on, and what it must say aloud."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domain.jobs.job import JobEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from orchestrator.domain.errors import FtctlError
    from orchestrator.domain.jobs.job import Job, JobStatus
    from orchestrator.usecases.jobs.ledger import Ledger


@dataclass(frozen=True, kw_only=True)
class Change:
    """A job that is elsewhere than before this pass.

    Attributes:
        job: without the provider's raw answer, which lies in the ledger: a pass may hold thousands.
    """

    job: Job
    before: JobStatus


class Waiting(NamedTuple):
    """A profile that is not asked before a certain time."""

    provider: str
    until: datetime


@dataclass(frozen=True, kw_only=True)
class Pass:
    """What one pass did.

    Attributes:
        checked: jobs that were asked about.
        requests: questions asked of providers.
        unreachable: profile and reason, for each that could not be asked.
        waiting: profiles whose account asked for a pause, or did not answer often enough.
    """

    checked: int = 0
    requests: int = 0
    changes: Sequence[Change] = ()
    unreachable: Sequence[tuple[str, FtctlError]] = ()
    waiting: Sequence[Waiting] = ()


def unheard() -> None:
    """Nobody watches."""


@dataclass
class Tally:
    """The same for one profile, while it is counted; `heard` is called when it has gone on."""

    heard: Callable[[], None] = unheard
    checked: int = 0
    requests: int = 0
    changes: list[Change] = field(default_factory=list)
    unreachable: list[tuple[str, FtctlError]] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)

    def note(self, before: Job, after: Job) -> None:
        """Remember a job that is elsewhere now."""
        if after.status is not before.status:
            self.changes.append(Change(job=replace(after, raw=None), before=before.status))


def total(tallies: Sequence[Tally]) -> Pass:
    """All profiles together."""
    return Pass(
        checked=sum(tally.checked for tally in tallies),
        requests=sum(tally.requests for tally in tallies),
        changes=[change for tally in tallies for change in tally.changes],
        unreachable=[each for tally in tallies for each in tally.unreachable],
        waiting=[each for tally in tallies for each in tally.waiting],
    )


def beside(job: Job, remote_id: str) -> str:
    """That a remote job carries the token of a job that is another one, or none, by our ledger."""
    if job.remote_id is None:
        return f"a remote job, {remote_id}, carries this job's token, and it is {job.status} here"
    return f"a second remote job, {remote_id}, carries this job's token beside {job.remote_id}"


def alarm(job: Job, ledger: Ledger, message: str, *, level: str = "error") -> None:
    """Write an error, or a warning, into the job's history and say it, once, however often it is found."""
    event = JobEvent(
        key=hashlib.sha256(message.encode("utf-8", "replace")).hexdigest()[:32],
        at=ledger.clock.now(),
        level=level,
        source="ftctl",
        message=message,
    )
    if ledger.jobs.add_events(job.id, [event]):
        ledger.say(f"job {job.id}: {message}")
