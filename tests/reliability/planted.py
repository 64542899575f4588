"""Bugs to be planted: a test of reliability that does not find them proves nothing."""

from __future__ import annotations

from typing import Any

from orchestrator.domain import failpoints
from orchestrator.domain.jobs.job import JobStatus
from orchestrator.usecases.jobs import submit, sync


def post_before_save() -> None:
    """Ask for the job first and write it down after, as one would without thinking."""

    def send(job: Any, provider: Any, ledger: Any) -> Any:
        remote = provider.create_job(submit._request(job))
        failpoints.reach("submit.answered")
        now = ledger.clock.now()
        job = ledger.jobs.change(job, now, "sent", JobStatus.SUBMITTING, sent_at=now)
        return submit.accept(job, remote, now, ledger, "taken")

    vars(submit)["_send"] = send


def blind_retry() -> None:
    """No clear answer: ask again."""

    def settle(job: Any, provider: Any, ledger: Any, *_: Any) -> Any:
        now = ledger.clock.now()
        if job.status is JobStatus.SUBMITTING:
            job = ledger.jobs.change(job, now, "died", JobStatus.UNKNOWN)
        return ledger.jobs.change(job, now, "again", JobStatus.READY)

    vars(sync)["settle_doubt"] = settle
