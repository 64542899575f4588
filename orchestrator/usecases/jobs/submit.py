"""From a file to a job at the provider: at most one billed job per intent.

The order is the promise. The intent is committed with its token before anything is sent;
`submitting` is committed before the first byte of the one POST; the answer is committed when it
comes. Whatever dies in between leaves a state from which `sync` finds out what is true.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from orchestrator.domain import failpoints
from orchestrator.domain.errors import (
    AnswerIsNo,
    ConfigurationError,
    Conflict,
    FtctlError,
    OutcomeUnknown,
    ProviderUnreachable,
    RemoteNotFound,
    TryLater,
    UsageError,
)
from orchestrator.domain.ids import new_id, new_token
from orchestrator.domain.jobs.dataset import Upload
from orchestrator.domain.jobs.job import Job, JobStatus, RemoteError
from orchestrator.domain.money.usd import usd_json
from orchestrator.domain.provider import JobRequest, TokenCarrier
from orchestrator.usecases.jobs.funding import refuse_dear, spending_of
from orchestrator.usecases.jobs.polling import minded
from orchestrator.usecases.jobs.traces import Traces, accept, conclude, look_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from orchestrator.domain.jobs.move import Move
    from orchestrator.domain.provider import Provider, RemoteFile
    from orchestrator.usecases.jobs.intent import Intent
    from orchestrator.usecases.jobs.ledger import Ledger

GUARD_HOURS = 24
_WAITING_SECONDS = 1800
# A pass does not hold up other jobs for the file of one.
_PASSING_SECONDS = 5
_KEY_ATTEMPTS = 3
_FILE_MARGIN = timedelta(hours=1)


def record(
    intent: Intent,
    ledger: Ledger,
    *,
    again: bool = False,
    move: Callable[[Job], Move] | None = None,
) -> Job:
    """Keep the bytes and commit the intent; nothing has been sent yet.

    Args:
        intent: what is wanted; its files are valid.
        ledger: where it is written.
        again: ask for the same training a second time within a day.
        move: makes the move that the job is part of; it is committed with the intent.

    Raises:
        UsageError: the same training was asked for within a day.
        TooDear, Unpriced, BudgetExceeded: it may cost more than was allowed.
    """
    failpoints.reach("submit.begun")
    refuse_dear(intent, ledger.budgets)
    for prepared in (intent.training, intent.validation):
        if prepared is not None:
            ledger.datasets.keep(prepared.dataset, prepared.content)
    failpoints.reach("submit.data_kept")
    job = _job(intent, ledger.clock.now())
    spending = spending_of(intent, job.created_at, job.id)
    guard = None if again else partial(_refuse_twin, intent, job.created_at)
    ledger.jobs.add(job, spending, ledger.budgets, move(job) if move else None, guard)
    failpoints.reach("submit.intent_written")
    return job


def advance(job: Job, provider: Provider, ledger: Ledger, *, passing: bool = False) -> Job:
    """Take an unsent job as far as it goes: upload, wait for the files, one POST.

    Args:
        job: planned, uploading or ready.
        provider: of its profile.
        ledger: where every step is written down.
        passing: for a pass of sync, which waits seconds for a file and leaves it to the next one,
            and before the POST asks the provider for the token: the ledger may be a copy from
            before the job was sent.

    Returns:
        The job as it stands: at the provider, rejected, unknown, or where a pass left it.

    Raises:
        TryLater: the provider cannot be asked; the job waits where it is.
        Conflict: another process took the job further meanwhile.
    """
    if provider.account != job.account:
        raise ConfigurationError(
            f"Job {job.id} belongs to another account of provider '{job.provider}'.",
            hint="give the key it was submitted with, or submit it again",
        )
    if job.status is JobStatus.PLANNED:
        job = ledger.jobs.change(job, ledger.clock.now(), "uploading", JobStatus.UPLOADING)
        failpoints.reach("submit.uploading")
    if job.status is JobStatus.UPLOADING:
        try:
            job = _upload(job, provider, ledger, _PASSING_SECONDS if passing else _WAITING_SECONDS)
        except _StillProcessing as file:
            if passing:
                return job
            raise ProviderUnreachable(f"The file {file} is still being processed.") from None
        failpoints.reach("submit.ready")
    if job.status is JobStatus.READY:
        traces = _traces(job, provider, ledger) if passing else Traces()
        job = _send(job, provider, ledger, traces)
    return job


def submit(job: Job, provider: Provider, ledger: Ledger) -> Job:
    """`advance`, for a person who waits: what goes wrong is remembered for the passes of cron."""
    with minded(provider, ledger):
        return advance(job, provider, ledger)


def _job(intent: Intent, now: datetime) -> Job:
    return Job(
        id=new_id(),
        token=new_token(),
        provider=intent.provider,
        kind=intent.kind,
        account=intent.account,
        **intent.asked(),
        training=intent.training.dataset.digest,
        validation=intent.validation.dataset.digest if intent.validation else None,
        estimate_usd=usd_json(intent.estimate.likely) if intent.estimate else None,
        created_at=now,
        updated_at=now,
    )


def _refuse_twin(intent: Intent, now: datetime, jobs: Iterable[Job]) -> None:
    """Two commands at once cannot both get past: it is asked where the intent is written."""
    since = now - timedelta(hours=GUARD_HOURS)
    for job in jobs:
        if job.created_at < since or job.status in {
            JobStatus.FAILED,
            JobStatus.CANCELLED,
            JobStatus.REJECTED,
        }:
            continue
        if _same_training(job, intent):
            raise UsageError(
                f"The same training was submitted at {job.created_at:%Y-%m-%d %H:%M} UTC as job"
                f" {job.id} ({job.status}).",
                hint=f"ftctl status {job.id}, or add --again to pay for it once more",
            )


def _same_training(job: Job, intent: Intent) -> bool:
    validation = intent.validation.dataset.digest if intent.validation else None
    mine = (job.account, job.model, job.method, job.hyperparameters, job.training, job.validation)
    wanted = (
        intent.account,
        intent.model,
        intent.method,
        intent.hyperparameters,
        intent.training.dataset.digest,
        validation,
    )
    same_options = (job.options.grader, job.options.own) == (
        intent.options.grader,
        intent.options.own,
    )
    return mine == wanted and job.seed == intent.seed and same_options


class _StillProcessing(Exception):
    """The provider has a file, and is not done with it."""


def _upload(job: Job, provider: Provider, ledger: Ledger, patience: float) -> Job:
    try:
        name = _own_name(job, provider)
        training = _processed(job.data, provider, ledger, patience, name)
        validation = (
            _processed(job.validation, provider, ledger, patience) if job.validation else None
        )
    except AnswerIsNo as error:
        return _rejected(job, error, ledger)
    return ledger.jobs.change(
        job,
        ledger.clock.now(),
        "files are processed",
        JobStatus.READY,
        training_file=training.id,
        validation_file=validation.id if validation else None,
    )


def _own_name(job: Job, provider: Provider) -> str | None:
    """The training file's name where it must carry the token, so that each job has its own."""
    carrier = provider.capabilities.token_in
    return f"ftctl-{job.token}.jsonl" if carrier is TokenCarrier.FILE else None


def _processed(
    digest: str, provider: Provider, ledger: Ledger, patience: float, own_name: str | None = None
) -> RemoteFile:
    """The file at the provider, uploaded at most once, ready to be trained on."""
    remote = _known(digest, provider, ledger, own_name) or _sent(digest, provider, ledger, own_name)
    waited = 0.0
    while not remote.processed:
        if remote.failed:
            ledger.datasets.forget_upload(provider.account, remote.id)
            raise AnswerIsNo(f"The provider could not process the file {remote.id}.")
        if waited >= patience:
            raise _StillProcessing(remote.id)
        pause = min(5.0, 0.2 + waited / 4)
        ledger.clock.sleep(pause)
        waited += pause
        remote = provider.retrieve_file(remote.id)
    return remote


def _known(
    digest: str, provider: Provider, ledger: Ledger, own_name: str | None
) -> RemoteFile | None:
    upload = None if own_name else ledger.datasets.upload(provider.account, digest)
    if upload is not None:
        try:
            remote = provider.retrieve_file(upload.remote_id)
        except RemoteNotFound:
            ledger.datasets.forget_upload(provider.account, upload.remote_id)
        else:
            if _lasts(remote, ledger):
                return remote
    dataset = ledger.datasets.get(digest)
    found = provider.find_file(own_name or dataset.upload_name, dataset.bytes)
    if found is None or not _lasts(found, ledger):
        return None
    failpoints.reach("submit.file_found")
    _remember(digest, found, provider, ledger)
    return found


def _lasts(remote: RemoteFile, ledger: Ledger) -> bool:
    """Whether a job made from it now would still find it."""
    ends = remote.expires_at
    return not remote.failed and (ends is None or ends - ledger.clock.now() > _FILE_MARGIN)


def _sent(digest: str, provider: Provider, ledger: Ledger, own_name: str | None) -> RemoteFile:
    dataset = ledger.datasets.get(digest)
    ledger.say(f"uploading {dataset.rows} rows, {dataset.bytes:,} bytes to {provider.name}")
    path, name = ledger.datasets.path(digest), own_name or dataset.upload_name
    above = provider.capabilities.parts_above
    if above is not None and dataset.bytes > above:
        remote = provider.upload(path, name, lambda done, total: _progress(done, total, ledger))
    else:
        remote = provider.upload(path, name)
    failpoints.reach("submit.file_sent")
    _remember(digest, remote, provider, ledger)
    failpoints.reach("submit.file_remembered")
    return remote


def _progress(done: int, total: int, ledger: Ledger) -> None:
    ledger.say(f"uploaded {done:,} of {total:,} bytes ({100 * done // total} %)")
    failpoints.reach("submit.part_sent")


def _remember(digest: str, remote: RemoteFile, provider: Provider, ledger: Ledger) -> None:
    ledger.datasets.add_upload(
        Upload(
            account=provider.account,
            digest=digest,
            remote_id=remote.id,
            status=remote.status,
            created_at=ledger.clock.now(),
        )
    )


def _traces(job: Job, provider: Provider, ledger: Ledger) -> Traces:
    """What the provider has of a job that our ledger calls unsent, as after a restored backup.

    Where an idempotency key stands for the token, or no list is to be had, nothing is known.
    """
    if provider.capabilities.idempotency_key:
        return Traces()
    try:
        found = look_for(job, provider, ledger)
    except AnswerIsNo:
        return Traces()
    # Of a job that was sent before, likenesses were weighed already when it was in doubt.
    return found if job.sent_at is None else Traces(found.mine)


def _send(job: Job, provider: Provider, ledger: Ledger, traces: Traces) -> Job:
    """The one POST. `submitting` is on disk before it, its outcome after it; none if it was found."""
    # A provider that honours an idempotency key answers a repeated POST with the same job: only
    # there may an unclear answer be followed by the same question.
    attempts = _KEY_ATTEMPTS if provider.capabilities.idempotency_key else 1
    now = ledger.clock.now()
    job = ledger.jobs.change(
        job, now, "request is about to leave", JobStatus.SUBMITTING, sent_at=now, absent_at=None
    )
    found = conclude(job, traces, ledger)
    if found is not None:
        return found
    failpoints.reach("submit.submitting")
    for attempt in range(1, attempts + 1):
        try:
            remote = provider.create_job(_request(job))
        except (TryLater, ConfigurationError) as error:
            failpoints.reach("submit.not_taken")
            # No job was made: a better key or a better hour, and the next pass takes it from here.
            ledger.jobs.change(job, ledger.clock.now(), f"not accepted: {error}", JobStatus.READY)
            raise
        except OutcomeUnknown as error:
            if attempt == attempts:
                failpoints.reach("submit.unclear")
                return _unknown(job, error, ledger)
            ledger.clock.sleep(attempt)
        except FtctlError as error:
            failpoints.reach("submit.refused")
            return _rejected(job, error, ledger)
        else:
            failpoints.reach("submit.answered")
            job = accept(job, remote, ledger.clock.now(), ledger, "the provider took the job")
            failpoints.reach("submit.accepted")
            return job
    raise AssertionError("unreachable")


def _request(job: Job) -> JobRequest:
    if job.training_file is None:
        raise Conflict(f"Job {job.id} is {job.status} without a training file.")
    return JobRequest(
        **job.asked(),
        training_file=job.training_file,
        validation_file=job.validation_file,
        token=job.token,
    )


def _unknown(job: Job, error: FtctlError, ledger: Ledger) -> Job:
    return ledger.jobs.change(
        job, ledger.clock.now(), f"no clear answer: {error}", JobStatus.UNKNOWN
    )


def _rejected(job: Job, error: FtctlError, ledger: Ledger) -> Job:
    return ledger.jobs.change(
        job,
        ledger.clock.now(),
        f"the provider said no: {error}",
        JobStatus.REJECTED,
        error=RemoteError(
            message=error.message,
            code=getattr(error, "code", None),
            param=getattr(error, "param", None),
        ),
        finished_at=ledger.clock.now(),
    )
