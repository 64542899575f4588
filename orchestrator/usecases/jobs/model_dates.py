"""Asking providers, once a day, when their models end; beside the pass over jobs, never in its way."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING

from orchestrator.domain.errors import FtctlError
from orchestrator.domain.jobs.job import JobEvent, JobStatus
from orchestrator.domain.jobs.lifecycle import ModelDate
from orchestrator.usecases.jobs.polling import shut_until

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from orchestrator.domain.ledger import Watched
    from orchestrator.domain.provider import Provider, RemoteModel
    from orchestrator.usecases.jobs.ledger import Ledger
    from orchestrator.usecases.jobs.tally import Tally

A_DAY = timedelta(days=1)
AFTER_FAILURE = timedelta(hours=1)


def ask_for_dates(watched: Watched, ledger: Ledger, tally: Tally) -> None:
    """Read one account's list of models and write down the days it names; one request at most.

    An account that cannot be asked is asked again in an hour. That is no failure of the pass: the
    dated file still says until when models answer, and `ftctl models list` tells what went wrong.
    """
    now = ledger.clock.now()
    try:
        _ask(watched, ledger.provider(watched.profile), ledger, tally)
    except FtctlError as error:
        ledger.dates.ask_later(watched.account, now + AFTER_FAILURE, error.message)


def read_dates(provider: Provider, ledger: Ledger, tally: Tally) -> None:
    """Read a provider's list of models now, and write down the days it names.

    Raises:
        TryLater: it cannot be asked.
    """
    tally.requests += 1
    models, now = provider.models(), ledger.clock.now()
    known = {each.model: each for each in ledger.dates.all() if each.account == provider.account}
    told = [_told(model, known.get(model.id), provider, now) for model in models]
    kept = [each for each in told if each.model in known or _has_day(each)]
    # Events first: a crash between the two repeats them, and a second time they change nothing.
    _tell([each for each in kept if each.changed_at == now], ledger)
    ledger.dates.keep(kept)
    ledger.dates.ask_later(provider.account, now + A_DAY)


def _ask(watched: Watched, provider: Provider, ledger: Ledger, tally: Tally) -> None:
    if shut_until(provider, ledger) is not None:
        return
    # With another key the list would be another account's.
    if provider.account == watched.account and provider.capabilities.model_dates:
        read_dates(provider, ledger, tally)
    else:
        ledger.dates.ask_later(watched.account, ledger.clock.now() + A_DAY)


def _told(
    model: RemoteModel, before: ModelDate | None, provider: Provider, now: datetime
) -> ModelDate:
    days = (model.serving_ends, model.training_ends)
    same = before is not None and (before.serving_ends, before.training_ends) == days
    return ModelDate(
        provider=provider.kind,
        account=provider.account,
        model=model.id,
        serving_ends=model.serving_ends,
        training_ends=model.training_ends,
        changed_at=before.changed_at if before is not None and same else now,
        seen_at=now,
    )


def _has_day(told: ModelDate) -> bool:
    return told.serving_ends is not None or told.training_ends is not None


def _tell(changed: Iterable[ModelDate], ledger: Ledger) -> None:
    """An event on every job whose tuned model got a day, or another one."""
    days = {(each.account, each.model): each for each in changed}
    if not days:
        return
    for job in ledger.jobs.all([JobStatus.SUCCEEDED]):
        told = days.get((job.account, job.tuned_model or ""))
        if told is not None and ledger.jobs.add_events(job.id, [_event(told)]):
            ledger.say(f"job {job.id}: {_event(told).message}")


def _event(told: ModelDate) -> JobEvent:
    if told.serving_ends is None:
        message = f"the provider no longer names a last day for {told.model}"
    else:
        message = f"the provider says {told.model} stops answering on {told.serving_ends}"
    # A day that comes, goes and comes again is news each time.
    apart = f"{message}\x1f{told.changed_at.date()}"
    return JobEvent(
        key=hashlib.sha256(apart.encode("utf-8", "replace")).hexdigest()[:32],
        at=told.changed_at,
        level="info" if told.serving_ends is None else "warning",
        source="ftctl",
        message=message,
    )
