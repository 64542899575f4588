"""Bringing jobs that a provider has up to date: by its list where there are many of them.

History is kept before the state, so that a crash between the two repeats a question and loses
nothing. Absence from a list means nothing; only a job asked for by its id, twice, is missed.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domain import failpoints
from orchestrator.domain.errors import (
    AnswerIsNo,
    ConfigurationError,
    Conflict,
    FtctlError,
    ProviderRejected,
    RemoteNotFound,
)
from orchestrator.domain.jobs.job import JobStatus, MetricPoint
from orchestrator.domain.ledger import Step
from orchestrator.usecases.jobs.polling import next_poll
from orchestrator.usecases.jobs.tally import alarm, beside

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from orchestrator.domain.jobs.job import Job, JobEvent
    from orchestrator.domain.provider import Provider, RemoteJob
    from orchestrator.usecases.jobs.ledger import Ledger
    from orchestrator.usecases.jobs.tally import Tally

# From so many jobs on, a page of the list is cheaper than a question each.
MANY = 4
PAGE = 100
# With more jobs than this, the history of a job is fetched when it has ended, and not before.
CHATTY = 20
_THREADS = 8
# What the ledger has room for; nothing that trains goes beyond it.
_MOST_STEPS, _LONGEST_NAME = 2**31, 64
_BATCH = 500
_MISSED_APART = timedelta(seconds=60)


class _Told(NamedTuple):
    """A job, and what its provider says about it; None when it knows no such job."""

    job: Job
    remote: RemoteJob | None


def refresh_all(jobs: Sequence[Job], provider: Provider, ledger: Ledger, tally: Tally) -> None:
    """Ask about jobs of one provider and write down what changed.

    Raises:
        TryLater: the provider stopped answering; what it said before is written.
    """
    chatty = len(jobs) <= CHATTY
    waiting = {job.remote_id: job for job in jobs}
    if len(jobs) >= MANY:
        for some in _listed(set(waiting), provider, tally):
            told = [_Told(waiting.pop(each.id), each) for each in some if each.id in waiting]
            _write(told, provider, ledger, tally, chatty=chatty)
            _look_for_twins(some, provider, ledger)
    missed = list(waiting.values())
    for start in range(0, len(missed), _BATCH):
        told, error = _asked(missed[start : start + _BATCH], provider, tally)
        _write(told, provider, ledger, tally, chatty=chatty)
        if error is not None:
            raise error
    _look_again(jobs, provider, ledger, tally)


def refresh(job: Job, provider: Provider, ledger: Ledger, tally: Tally) -> Job:
    """Ask about one job and write down what changed.

    Raises:
        TryLater: the provider cannot be asked. Conflict: another process was first.
    """
    told = _ask(job, provider, tally)
    if told.remote is None:
        return _missing(job, provider, ledger)
    _sound_out(told, ledger)
    _keep_history(told, provider, ledger, tally, chatty=True)
    step = _step(told, ledger)
    if step is None:
        return job
    job = ledger.jobs.change(step.job, step.at, step.reason, step.status, **step.fields)
    failpoints.reach("sync.written")
    return job


def learn(job: Job, remote: RemoteJob, provider: Provider, ledger: Ledger, tally: Tally) -> Job:
    """Write down what a list says of one job; nothing when it says nothing new.

    Raises:
        TryLater: the history cannot be asked for now. Conflict: another process was first.
    """
    told = _Told(job, remote)
    _sound_out(told, ledger)
    step = _step(told, ledger)
    if step is None:
        return job
    _keep_history(told, provider, ledger, tally, chatty=True)
    return ledger.jobs.change(step.job, step.at, step.reason, step.status, **step.fields)


def _listed(
    wanted: set[str | None], provider: Provider, tally: Tally
) -> Iterator[Sequence[RemoteJob]]:
    """What the list says, newest first, for as long as a page saves more than it costs."""
    some: list[RemoteJob] = []
    tally.requests += 1
    for number, remote in enumerate(provider.list_jobs(), 1):
        some.append(remote)
        wanted.discard(remote.id)
        turns = number % PAGE == 0
        if not wanted or (turns and number // PAGE >= len(wanted)):
            break
        tally.requests += turns
        if len(some) == _BATCH:
            yield some
            some = []
    yield some


def _look_again(jobs: Sequence[Job], provider: Provider, ledger: Ledger, tally: Tally) -> None:
    """Of jobs that were sent a second time, the first request may have made one after all, late."""
    if provider.capabilities.idempotency_key:
        return
    again = ledger.jobs.sent_again([job.id for job in jobs])
    tokens = {job.token for job in jobs if job.id in again}
    if tokens:
        tally.requests += 1
        listed = provider.list_jobs(min(tokens) if len(tokens) == 1 else None)
        _look_for_twins([each for each in listed if each.token in tokens], provider, ledger)


def _look_for_twins(remotes: Iterable[RemoteJob], provider: Provider, ledger: Ledger) -> None:
    """A second remote job that carries the token of one of ours is paid for, and not wanted."""
    carriers = {remote.id: remote.token for remote in remotes if remote.token}
    owners = ledger.jobs.owners(carriers.values())
    for remote_id, token in carriers.items():
        owner = owners.get(token)
        if owner is None or owner.account != provider.account:
            continue
        in_doubt = owner.remote_id is None and not owner.status.is_final
        if owner.remote_id != remote_id and not in_doubt:
            what = "cancel the one you do not want" if owner.remote_id else "ftctl adopt"
            alarm(owner, ledger, f"{beside(owner, remote_id)}; it is billed: {what}")


def _asked(
    jobs: Sequence[Job], provider: Provider, tally: Tally
) -> tuple[list[_Told], FtctlError | None]:
    """One question a job; the first failure that the next job would share ends it."""
    told: list[_Told] = []
    failed: FtctlError | None = None

    def ask(job: Job) -> _Told | FtctlError | None:
        if failed is not None:
            return None
        try:
            return _ask(job, provider, tally)
        except FtctlError as error:
            return error

    with ThreadPoolExecutor(min(_THREADS, len(jobs)), thread_name_prefix="ask") as pool:
        for outcome in pool.map(ask, jobs):
            if isinstance(outcome, AnswerIsNo):
                # About this one job: the others are asked about all the same.
                tally.unreachable.append((provider.name, outcome))
            elif isinstance(outcome, FtctlError):
                failed = failed or outcome
            elif outcome is not None:
                told.append(outcome)
    return told, failed


def _ask(job: Job, provider: Provider, tally: Tally) -> _Told:
    assert job.remote_id is not None
    tally.requests += 1
    tally.heard()
    try:
        remote = provider.retrieve_job(job.remote_id)
    except RemoteNotFound:
        return _Told(job, None)
    if remote.id != job.remote_id and remote.token != job.token:
        raise ProviderRejected(
            f"{provider.name} was asked for {job.remote_id} and answered with {remote.id}, which is"
            " another job."
        )
    return _Told(job, remote)


def _write(
    told: Sequence[_Told], provider: Provider, ledger: Ledger, tally: Tally, *, chatty: bool
) -> None:
    tally.checked += len(told)
    found = [each for each in told if each.remote is not None]
    for each in found:
        _sound_out(each, ledger)
    failures = _histories(found, provider, ledger, tally, chatty=chatty)
    whole = [each for each in found if each.job.id not in failures]
    steps = [step for step in (_step(each, ledger) for each in whole) if step is not None]
    now = ledger.clock.now()
    after = {each.job.id: each.job for each in whole}
    for step, job in zip(steps, ledger.jobs.change_all(steps), strict=True):
        if job is None:
            after.pop(step.job.id)
            continue
        tally.note(step.job, job)
        after[job.id] = job
    failpoints.reach("sync.written")
    ledger.jobs.poll_later(
        {job.id: next_poll(job, now) for job in after.values() if not job.status.is_final}
    )
    for each in told:
        if each.remote is None:
            _note_missing(each.job, provider, ledger, tally)
    tally.heard()
    for error in failures.values():
        raise error


def _note_missing(job: Job, provider: Provider, ledger: Ledger, tally: Tally) -> None:
    try:
        tally.note(job, _missing(job, provider, ledger))
    except Conflict:
        return
    except ConfigurationError as error:
        tally.unreachable.append((job.provider, error))


def _histories(
    told: Sequence[_Told], provider: Provider, ledger: Ledger, tally: Tally, *, chatty: bool
) -> dict[str, FtctlError]:
    """Keep the history of each; those whose history could not be had, by job id."""
    due = [each for each in told if _has_news(each, chatty=chatty)]
    failed: dict[str, FtctlError] = {}

    def keep(each: _Told) -> None:
        if failed:
            failed[each.job.id] = next(iter(failed.values()))
            return
        try:
            _keep_history(each, provider, ledger, tally, chatty=chatty)
        except FtctlError as error:
            failed[each.job.id] = error

    if len(due) <= 1:
        for each in due:
            keep(each)
    else:
        with ThreadPoolExecutor(min(_THREADS, len(due)), thread_name_prefix="history") as pool:
            list(pool.map(keep, due))
    return failed


def _sound_out(told: _Told, ledger: Ledger) -> None:
    """A word that nobody knows changes nothing, and must be heard."""
    if told.remote is not None and told.remote.status is None:
        said = told.remote.remote_status
        alarm(told.job, ledger, f"the provider says '{said}', a word ftctl does not know")


def _has_news(told: _Told, *, chatty: bool) -> bool:
    """Whether its events and checkpoints are worth a question."""
    job, remote = told
    if remote is None:
        return False
    status = remote.status or job.status
    if status is not job.status and (chatty or status.is_final):
        return True
    return chatty and status is JobStatus.RUNNING


def _keep_history(
    told: _Told, provider: Provider, ledger: Ledger, tally: Tally, *, chatty: bool
) -> None:
    job, remote = told
    assert remote is not None
    failpoints.reach("sync.told")
    if not _has_news(told, chatty=chatty):
        return
    tally.requests += 1
    known = ledger.jobs.event_keys(job.id)
    events = provider.events(remote.id, known)
    ledger.jobs.add_metrics(job.id, metrics_of(events))
    ledger.jobs.add_events(job.id, events)
    if (remote.status or job.status) is not JobStatus.QUEUED:
        tally.requests += 1
        ledger.jobs.add_checkpoints(job.id, provider.checkpoints(remote.id))
    failpoints.reach("sync.history_kept")


def _step(told: _Told, ledger: Ledger) -> Step | None:
    """The change that the provider's word makes; None when it makes none."""
    job, remote = told
    assert remote is not None
    status, now = remote.status or job.status, ledger.clock.now()
    fields = {
        "remote_status": remote.remote_status,
        "tuned_model": remote.tuned_model,
        "trained_tokens": remote.trained_tokens,
        "error": remote.error,
        "estimated_finish": remote.estimated_finish,
        "finished_at": (remote.finished_at or now) if status.is_final else None,
        "absent_at": None,
        "raw": remote.raw,
    }
    if status is job.status and all(getattr(job, name) == fields[name] for name in fields):
        return None
    return Step(job, now, f"the provider says {remote.remote_status}", status, fields)


def metrics_of(events: Iterable[JobEvent]) -> list[MetricPoint]:
    points = []
    for event in events:
        data = event.data or {}
        step = data.get("step")
        if not isinstance(step, int) or not 0 <= step < _MOST_STEPS:
            continue
        points += [
            MetricPoint(step, name, float(value))
            for name, value in data.items()
            if name not in {"step", "total_steps"}
            and len(name) <= _LONGEST_NAME
            and isinstance(value, int | float)
            and not isinstance(value, bool)
        ]
    return points


def _missing(job: Job, provider: Provider, ledger: Ledger) -> Job:
    """The provider does not know a job it took: loud when it says so twice, and never 'failed'."""
    now = ledger.clock.now()
    if provider.account != job.account:
        raise ConfigurationError(
            f"Job {job.id} was submitted with another key of '{job.provider}', and this one does"
            f" not see {job.remote_id}.",
            hint="give the key it was submitted with",
        )
    if job.absent_at is None:
        return ledger.jobs.change(job, now, f"{job.remote_id} is not found", absent_at=now)
    if now < job.absent_at + _MISSED_APART:
        return job
    alarm(job, ledger, f"the provider no longer knows {job.remote_id}")
    return ledger.jobs.change(
        job, now, f"{job.remote_id} is not found, twice", JobStatus.NEEDS_REVIEW
    )
