"""Notifications: who wants to hear of what, and what is still to be told."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from orchestrator.domain.jobs.job import JobStatus

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

# What nobody wants to miss: a job has ended, or only a person can go on.
USUAL = ("succeeded", "failed", "cancelled", "rejected", "needs_review")
# Nothing becomes planned: a job begins there.
JOB_TOPICS = tuple(str(status) for status in JobStatus if status is not JobStatus.PLANNED)
#: What is told of deployments: one stands and is billed, could not be made, is gone, or in doubt.
DEPLOYMENT = "deployment"
DEPLOYMENT_NEWS = ("succeeded", "failed", "deleted", "unknown")
TOPICS = (*JOB_TOPICS, DEPLOYMENT)
# Between two tries, from the first failure on; the last one is for all that follow.
PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 180, 360, 720))
LONGEST_PAUSE = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True)
class Subscriber:
    """One `[[notify]]` of ftctl.toml.

    Attributes:
        name: by which the ledger knows it; what is still to be told belongs to the name.
        on: topics it wants.
        command: program and arguments, or
        url: where a signed POST goes.
        secret: where its signing secret is looked for; None sends unsigned.
        environment: variables that its command sees beside the harmless ones.
        timeout: seconds for one try.
        attempts: tries before it is given up.
        allow_private: the URL's host may have an address that is not public.
    """

    name: str
    on: frozenset[str] = frozenset(USUAL)
    command: tuple[str, ...] = ()
    url: str | None = field(default=None, repr=False)
    secret: str | None = None
    environment: tuple[str, ...] = ()
    timeout: float = 10.0
    attempts: int = 8
    allow_private: bool = False

    @property
    def target(self) -> str:
        """Whom it reaches, for a person; what in a URL may be a secret is left out."""
        if self.url is None:
            return self.command[0]
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://{rest.partition('/')[0].partition('?')[0]}"


class State(StrEnum):
    """Where a notification stands."""

    WAITING = "waiting"  #: to be told, now or at `next_at`
    DELIVERED = "delivered"  #: the receiver said that it has it
    GIVEN_UP = "given_up"  #: tried as often as wished; `ftctl notifications retry` tries again


@dataclass(frozen=True, kw_only=True)
class Notification:
    """One thing that one subscriber is told, at least once.

    Attributes:
        id: the same for the same subscriber, job and change, whatever happens to the ledger.
        subscriber: by its name.
        topic: the status that the job came to; `deployment.` and a state for a deployment of it.
        body: JSON, as it is sent; neither data nor keys are in it.
        created_at: when the change happened, so that the oldest is told first.
        next_at: when it is tried again, while it waits.
        last: what came of the last try.
    """

    id: str
    subscriber: str
    job_id: str | None
    topic: str
    body: str
    created_at: datetime
    state: State = State.WAITING
    attempts: int = 0
    next_at: datetime | None = None
    delivered_at: datetime | None = None
    last: str = ""

    @property
    def type(self) -> str:
        """As it is sent: job.succeeded, deployment.failed."""
        return self.topic if self.topic.startswith(f"{DEPLOYMENT}.") else f"job.{self.topic}"

    @property
    def news(self) -> str:
        """What it tells, for a person."""
        of, dot, state = self.topic.rpartition(".")
        about = f"a {of} of job {self.job_id}" if dot else f"job {self.job_id}"
        return f"{about} is {state}"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one try.

    Attributes:
        told: for a person; nothing that the receiver said is in it.
        retry_after: seconds that the receiver asks for.
        gone: the receiver wants no more of it.
    """

    ok: bool
    told: str
    retry_after: float | None = None
    gone: bool = False


class Courier(Protocol):
    """What carries a notification to its subscriber."""

    def __call__(self, to: Subscriber, what: Notification, at: datetime, timeout: float) -> Outcome:
        """Try once, for so many seconds. Never raises for what the receiver does."""
        ...


class Outbox(Protocol):
    """Where notifications are kept. Every method is one transaction."""

    def enrol(self, names: Collection[str]) -> None:
        """Those subscribers hear of what happens from now on, unless they are known already."""
        ...

    def gather(self, subscribers: Sequence[Subscriber], now: datetime) -> int:
        """Write down what each is to be told of the changes since; returns how many are new."""
        ...

    def due(self, names: Collection[str], now: datetime, most: int) -> Sequence[Notification]:
        """What is to be told now, oldest first, at most so many for each name."""
        ...

    def settle(self, what: Notification, *, quiet_until: datetime | None = None) -> None:
        """Write what became of a try; until then nothing of the same subscriber is due."""
        ...

    def revive(self, now: datetime, notification_id: str | None = None) -> int:
        """Everything that is not delivered is due at once, or just that one; returns how many."""
        ...

    def all(self, limit: int | None = None) -> Sequence[Notification]:
        """Newest first."""
        ...


def notification_id(subscriber: str, subject_id: str, version: int) -> str:
    """An id that comes out the same from the same ledger, also from a restored one.

    Args:
        subscriber: by its name.
        subject_id: of the job or the deployment.
        version: of it, after the change.
    """
    text = f"{subscriber}|{subject_id}|{version}"
    return f"ntf_{hashlib.sha256(text.encode()).hexdigest()[:24]}"
