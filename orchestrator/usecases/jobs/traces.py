"""What a provider's whole list says of a request of ours: the job it made, or signs of one."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domain.jobs.job import JobStatus
from orchestrator.usecases.jobs.tally import alarm

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.provider import Provider, RemoteJob
    from orchestrator.usecases.jobs.ledger import Ledger

# The host's clock is not ours.
_CLOCKS_APART = timedelta(hours=1)


class Traces(NamedTuple):
    """Remote jobs that a request of ours may have made.

    Attributes:
        mine: those that carry its token.
        alike: where none does, those without any token that were made of its very file since, and
            that no job of the ledger stands for: some host, or something in between, may drop tokens.
    """

    mine: Sequence[RemoteJob] = ()
    alike: Sequence[RemoteJob] = ()


def look_for(job: Job, provider: Provider, ledger: Ledger) -> Traces:
    """Read the list to its end.

    Raises:
        TryLater: it cannot be read whole, and so proves nothing. AnswerIsNo: there is none.
    """
    since = (job.sent_at or job.created_at) - _CLOCKS_APART
    found = [
        each
        for each in provider.list_jobs(job.token)
        if each.token == job.token or _is_alike(each, job, since)
    ]
    mine = [each for each in found if each.token == job.token]
    if mine or not found:
        return Traces(mine)
    known = {other.remote_id for other in ledger.jobs.at_provider([each.id for each in found])}
    return Traces((), [each for each in found if each.id not in known])


def conclude(job: Job, traces: Traces, ledger: Ledger) -> Job | None:
    """Adopt the one job with our token; leave more, or likenesses, to a person. None: no trace."""
    now = ledger.clock.now()
    if len(traces.mine) == 1:
        return accept(job, traces.mine[0], now, ledger, "found at the provider")
    ids = ", ".join(each.id for each in traces.mine or traces.alike)
    if traces.mine:
        alarm(job, ledger, f"{len(traces.mine)} remote jobs carry this job's token: {ids}")
        reason = f"more than one job: {ids}"
    elif traces.alike:
        alarm(
            job,
            ledger,
            f"made of this job's file, without a token, and nobody's: {ids}; if it is this job,"
            f" `ftctl resolve {job.id} --remote-id ID`, else `ftctl resolve {job.id} --absent`",
        )
        reason = f"perhaps this job, but without its token: {ids}"
    else:
        return None
    return ledger.jobs.change(job, now, reason, JobStatus.NEEDS_REVIEW)


def accept(job: Job, remote: RemoteJob, at: datetime, ledger: Ledger, reason: str) -> Job:
    """Write down that `remote` is our job."""
    return ledger.jobs.change(
        job,
        at,
        reason,
        remote.status or JobStatus.QUEUED,
        remote_id=remote.id,
        remote_status=remote.remote_status,
        tuned_model=remote.tuned_model,
        error=remote.error,
        estimated_finish=remote.estimated_finish,
        absent_at=None,
        next_poll_at=None,
        raw=remote.raw,
    )


def _is_alike(remote: RemoteJob, job: Job, since: datetime) -> bool:
    is_its_file = job.training_file is not None and remote.training_file == job.training_file
    is_new = remote.created_at is None or remote.created_at >= since
    return remote.token is None and is_its_file and is_new
