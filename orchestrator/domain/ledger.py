"""The ports of the ledger: what use cases ask of the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from orchestrator.domain.jobs.dataset import Dataset, Upload
    from orchestrator.domain.jobs.job import (
        Checkpoint,
        Job,
        JobEvent,
        JobStatus,
        MetricPoint,
        Transition,
    )
    from orchestrator.domain.jobs.lifecycle import ModelDate
    from orchestrator.domain.jobs.move import Move
    from orchestrator.domain.money.spending import Budgets, Spending


class Step(NamedTuple):
    """One change of one job, to be made if nobody changed the row since `job` was read."""

    job: Job
    at: datetime
    reason: str
    status: JobStatus
    fields: Mapping[str, Any]


class History(NamedTuple):
    """What a provider tells of a job beside its state."""

    events: Sequence[JobEvent] = ()
    metrics: Sequence[MetricPoint] = ()
    checkpoints: Sequence[Checkpoint] = ()


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Whether an account may be asked, as every process of this installation sees it.

    Attributes:
        account: fingerprint of the account.
        not_before: nothing is asked earlier; None while the gate is open.
        failures: how often in a row the account could not be asked.
        reason: why, for a person.
    """

    account: str
    not_before: datetime | None = None
    failures: int = 0
    reason: str = ""


class Gates(Protocol):
    """Where gates are kept. Every method is one transaction."""

    def get(self, account: str) -> Gate | None:
        """The account's gate; None when nothing ever went wrong there."""
        ...

    def put(self, gate: Gate, at: datetime) -> None:
        """Replace it."""
        ...


class Watched(NamedTuple):
    """An account whose list of models is worth reading: the profile, its kind, its fingerprint."""

    profile: str
    kind: str
    account: str


class ModelDates(Protocol):
    """What providers said of their models' last days. Every method is one transaction."""

    def due(self, at: datetime) -> Sequence[Watched]:
        """Accounts with open jobs or tuned models whose turn to be asked has come, each once."""
        ...

    def ask_later(self, account: str, not_before: datetime, error: str | None = None) -> None:
        """When the account is asked again, and why it could not be asked this time."""
        ...

    def keep(self, dates: Iterable[ModelDate]) -> None:
        """Replace what is known of these models; the rest stays."""
        ...

    def all(self) -> Sequence[ModelDate]:
        """Everything that was told, by model."""
        ...

    def unasked(self) -> Mapping[str, str]:
        """Why accounts could not be asked the last time, by account."""
        ...


@dataclass(frozen=True, kw_only=True)
class JobFilter:
    """Which jobs are looked for; None and empty leave all of them.

    Attributes:
        text: part of an id, a remote id, a model, a tuned model or a suffix, in any case.
    """

    status: JobStatus | None = None
    provider: str | None = None
    text: str = ""


class JobPage(NamedTuple):
    """Some of the jobs that were looked for, and how many there are in all."""

    jobs: Sequence[Job]
    total: int


class JobStore(Protocol):
    """Where jobs are kept. Every method is one transaction."""

    def add(
        self,
        job: Job,
        spending: Spending | None = None,
        budgets: Budgets | None = None,
        move: Move | None = None,
        guard: Callable[[Sequence[Job]], None] | None = None,
    ) -> None:
        """Commit the intent: the row, its first transition, the money it may take and its move.

        Args:
            guard: is shown the jobs on the same training split, newest first, and may raise; no
                other intent is written between its look and this one.

        Raises:
            BudgetExceeded: the money does not fit into the month; nothing is written.
        """
        ...

    def adopt(self, job: Job, history: History, reason: str) -> bool:
        """Commit a job that exists at the provider, with its history, whole or not at all.

        Returns:
            Whether it is new; a job of that account and remote id changes nothing.
        """
        ...

    def get(self, job_id: str) -> Job:
        """One job by its whole id."""
        ...

    def find(self, prefix: str) -> Job:
        """The one job whose id, or remote id, starts with `prefix`.

        Raises:
            UsageError: none, or more than one.
        """
        ...

    def all(
        self, statuses: Iterable[JobStatus] | None = None, *, training: str | None = None
    ) -> Sequence[Job]:
        """Jobs, newest first; only those in one of `statuses`, or on that training split."""
        ...

    def page(self, wanted: JobFilter, *, first: int, many: int) -> JobPage:
        """Some jobs, newest first: `many` of them from number `first`, 0 being the newest."""
        ...

    def tuned(self) -> Sequence[Job]:
        """Jobs that have a tuned model, newest first."""
        ...

    def providers(self) -> Sequence[str]:
        """The profiles that jobs were made with, sorted."""
        ...

    def due(self, statuses: Iterable[JobStatus], at: datetime) -> Sequence[Job]:
        """Jobs in one of these states whose next poll is not later than `at`, newest first."""
        ...

    def owners(self, tokens: Iterable[str]) -> Mapping[str, Job]:
        """The jobs that carry these tokens, by token."""
        ...

    def at_provider(self, remote_ids: Iterable[str]) -> Sequence[Job]:
        """The jobs with these remote ids, of whatever account."""
        ...

    def sent_again(self, job_ids: Iterable[str]) -> set[str]:
        """Those of these jobs that were in doubt, and then sent once more."""
        ...

    def change_all(self, steps: Sequence[Step]) -> Sequence[Job | None]:
        """Many changes in few transactions; None where another process changed the row first."""
        ...

    def poll_later(self, times: Mapping[str, datetime]) -> None:
        """When to ask again, by job id; a hint, not a change."""
        ...

    def change(
        self, job: Job, at: datetime, reason: str, status: JobStatus | None = None, **fields: Any
    ) -> Job:
        """Compare-and-swap on the row's version; a change of status is one transition row.

        Raises:
            Conflict: another process changed the row since `job` was read.
        """
        ...

    def add_events(self, job_id: str, events: Iterable[JobEvent]) -> int:
        """Append those events that are new; returns how many."""
        ...

    def add_metrics(self, job_id: str, points: Iterable[MetricPoint]) -> None:
        """Keep the numbers of training; the same step again overwrites."""
        ...

    def add_checkpoints(self, job_id: str, checkpoints: Iterable[Checkpoint]) -> None:
        """Keep checkpoints; the same one again changes nothing."""
        ...

    def event_keys(self, job_id: str) -> set[str]:
        """What is known already, without the events themselves."""
        ...

    def events(self, job_id: str, *, newest: int | None = None) -> Sequence[JobEvent]:
        """Oldest first; only the newest so many."""
        ...

    def metrics(self, job_id: str) -> Sequence[MetricPoint]:
        """By name, then step."""
        ...

    def checkpoints(self, job_id: str) -> Sequence[Checkpoint]:
        """By step."""
        ...

    def transitions(self, job_id: str) -> Sequence[Transition]:
        """Oldest first."""
        ...


class DatasetStore(Protocol):
    """Content-addressed files and where they were uploaded."""

    def keep(self, dataset: Dataset, content: Path) -> Dataset:
        """Store the bytes under their digest; the same bytes again change nothing."""
        ...

    def get(self, digest: str) -> Dataset:
        """What is known of a stored file."""
        ...

    def all(self) -> Sequence[Dataset]:
        """Every stored file, newest first."""
        ...

    def path(self, digest: str) -> Path:
        """Where the bytes lie."""
        ...

    def upload(self, account: str, digest: str) -> Upload | None:
        """The newest upload of these bytes to that account."""
        ...

    def add_upload(self, upload: Upload) -> None:
        """Remember where the bytes lie at a provider."""
        ...

    def forget_upload(self, account: str, remote_id: str) -> None:
        """The provider no longer has that file."""
        ...
