"""Taking away what lies at a provider: tuned models, records of jobs, uploaded files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.domain.errors import UsageError
from orchestrator.domain.housekeeping import FileShelf, ModelShelf
from orchestrator.domain.jobs.job import JobEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.provider import Provider, RemoteFile
    from orchestrator.usecases.jobs.ledger import Ledger

OURS = "ftctl-"


@dataclass(frozen=True, kw_only=True)
class Lying:
    """A file at a provider and the jobs of this ledger that were made from it."""

    file: RemoteFile
    jobs: Sequence[Job]

    @property
    def is_ours(self) -> bool:
        """It was sent by ftctl."""
        return self.file.name.startswith(OURS)

    @property
    def is_needed(self) -> bool:
        """A job that has not ended was made, or is about to be made, from it."""
        return any(not job.status.is_final for job in self.jobs)


def delete_tuned_model(job: Job, provider: Provider, ledger: Ledger) -> str:
    """Take a job's tuned model away for good; returns its name.

    Raises:
        UsageError: it has none, or the provider deletes none.
    """
    if job.tuned_model is None:
        raise UsageError(f"Job {job.id} is {job.status} and has no tuned model.")
    if not isinstance(provider, ModelShelf) or not provider.capabilities.delete_model:
        raise UsageError(f"Provider '{provider.name}' cannot delete models.")
    provider.delete_model(job.tuned_model)
    _note(job, f"the tuned model {job.tuned_model} was deleted at the provider", ledger)
    return job.tuned_model


def delete_record(job: Job, provider: Provider, ledger: Ledger) -> str:
    """Take the provider's record of an ended job away; ours stays. Returns the remote id.

    Raises:
        UsageError: it has not ended, was never there, or the provider deletes none.
    """
    if job.remote_id is None or not job.status.is_final:
        hint = f"ftctl cancel {job.id}" if job.status.is_remote else None
        raise UsageError(f"Job {job.id} is {job.status}; only what has ended goes.", hint=hint)
    if not isinstance(provider, ModelShelf) or not provider.capabilities.delete_job:
        raise UsageError(f"Provider '{provider.name}' cannot delete jobs.")
    provider.delete_job(job.remote_id)
    _note(job, f"the record {job.remote_id} was deleted at the provider", ledger)
    return job.remote_id


def lying(provider: Provider, ledger: Ledger) -> list[Lying]:
    """Every file of an account, and what it is for.

    Raises:
        UsageError: the provider shows no files.
    """
    mine = [job for job in ledger.jobs.all() if job.account == provider.account]
    return [
        Lying(file=file, jobs=[job for job in mine if _is_made_from(job, file.id, file.name)])
        for file in _shelf(provider).list_files()
    ]


def delete_files(wanted: Iterable[str], provider: Provider, ledger: Ledger) -> list[str]:
    """Take files away; returns their ids.

    Raises:
        UsageError: a job that has not ended needs one of them; none is deleted then.
    """
    shelf, ids = _shelf(provider), list(dict.fromkeys(wanted))
    for each in lying(provider, ledger):
        if each.file.id in ids and each.is_needed:
            job = next(job for job in each.jobs if not job.status.is_final)
            raise UsageError(
                f"Job {job.id} is {job.status} and needs {each.file.id}.",
                hint=f"ftctl cancel {job.id}",
            )
    for file_id in ids:
        shelf.delete_file(file_id)
        ledger.datasets.forget_upload(provider.account, file_id)
    return ids


def _is_made_from(job: Job, file_id: str, file_name: str) -> bool:
    if job.training_file is not None:
        return file_id in {job.training_file, job.validation_file}
    # Its upload has just begun: it knows no id yet, but the name.
    name = file_name.removeprefix(OURS).removesuffix(".jsonl")
    return bool(name) and name in {
        job.token,
        (job.training or "")[:32],
        (job.validation or "")[:32],
    }


def _shelf(provider: Provider) -> FileShelf:
    if not isinstance(provider, FileShelf):
        raise UsageError(f"Provider '{provider.name}' shows no files.")
    return provider


def _note(job: Job, message: str, ledger: Ledger) -> None:
    event = JobEvent(
        key=hashlib.sha256(message.encode("utf-8", "replace")).hexdigest()[:32],
        at=ledger.clock.now(),
        level="warning",
        source="ftctl",
        message=message,
    )
    ledger.jobs.add_events(job.id, [event])
