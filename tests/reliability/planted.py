"""Bugs to be planted: a test of reliability that does not find them proves nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from orchestrator.domain import failpoints
from orchestrator.domain.jobs.job import JobStatus
from orchestrator.domain.ledger import Step
from orchestrator.store import jobs as job_store
from orchestrator.store.tables import job_rows
from orchestrator.usecases.jobs import settle, submit, sync, traces


@contextlib.contextmanager
def undone(plant: Callable[[], Any] | None) -> Iterator[None]:
    """Plant a bug, or none, in this process for as long as the block runs."""
    kept = [(module, dict(vars(module))) for module in (submit, sync, settle)]
    if plant is not None:
        plant()
    try:
        yield
    finally:
        for module, names in kept:
            vars(module).update(names)


def post_before_save() -> None:
    """Ask for the job first and write it down after, as one would without thinking."""

    def send(job: Any, provider: Any, ledger: Any, _found: Any) -> Any:
        remote = provider.create_job(submit._request(job))
        failpoints.reach("submit.answered")
        now = ledger.clock.now()
        job = ledger.jobs.change(job, now, "sent", JobStatus.SUBMITTING, sent_at=now)
        return traces.accept(job, remote, now, ledger, "taken")

    vars(submit)["_send"] = send


def blind_retry() -> None:
    """No clear answer: ask again, and look for nothing before."""

    def advance(job: Any, provider: Any, ledger: Any, **_: Any) -> Any:
        return submit.advance(job, provider, ledger)

    def settle(job: Any, provider: Any, ledger: Any, *_: Any) -> Any:
        now = ledger.clock.now()
        if job.status is JobStatus.SUBMITTING:
            job = ledger.jobs.change(job, now, "died", JobStatus.UNKNOWN)
        return ledger.jobs.change(job, now, "again", JobStatus.READY)

    vars(sync).update(settle_doubt=settle, advance=advance)


def no_settle_time() -> None:
    """Two listings without the job are believed, however soon after the request."""
    absent = settle._absent

    def hasty(job: Any, now: Any, ledger: Any, _settle: Any) -> Any:
        return absent(job, now, ledger, timedelta())

    vars(settle)["_absent"] = hasty


def any_job_is_ours() -> None:
    """After an unclear answer the newest job in the list is taken for ours, whatever its token."""

    def look(_job: Any, provider: Any, _ledger: Any) -> Any:
        return traces.Traces(list(provider.list_jobs())[:1])

    vars(settle)["look_for"] = look


def doubt_is_failure() -> None:
    """A request without a clear answer is written off."""

    def settle_doubt(job: Any, _provider: Any, ledger: Any, *_: Any) -> Any:
        now = ledger.clock.now()
        if job.status is JobStatus.SUBMITTING:
            job = ledger.jobs.change(job, now, "died", JobStatus.UNKNOWN)
        return ledger.jobs.change(job, now, "no answer", JobStatus.FAILED, finished_at=now)

    vars(sync)["settle_doubt"] = settle_doubt


def no_compare_and_swap() -> None:
    """Write what the host says over the row as it is now, whoever changed it since it was read."""

    def change_some(store: job_store.SqlJobStore, steps: Sequence[Step]) -> list[Any]:
        with store._engine.begin() as connection:
            versions = dict(connection.execute(select(job_rows.c.id, job_rows.c.version)).all())
            blind = [
                step._replace(job=replace(step.job, version=versions[step.job.id]))
                for step in steps
            ]
            made = [(step, job_store._moved(step)) for step in blind]
            job_store._write(connection, made)
        return [job for _, job in made]

    store: Any = job_store.SqlJobStore
    store._change_some = change_some
