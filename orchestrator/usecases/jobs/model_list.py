"""Base models and the ledger's tuned models with their last days, and what comes instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.domain.jobs.lifecycle import ANYTHING
from orchestrator.domain.jobs.model_names import base_model, is_tuned

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date, timedelta

    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.jobs.lifecycle import Ending, Lifecycle, Retirement


@dataclass(frozen=True, kw_only=True)
class ListedModel:
    """One model with its days; of a tuned one, those of its base and its own.

    Attributes:
        provider: the kind.
        job: the job that made it; None for a base model, or one that the ledger does not know.
        profile: of that job.
        answers: until when this very model answers; None when nothing is known.
        row: what is known of its base; None when nothing is.
    """

    provider: str
    model: str
    answers: Ending | None
    row: Retirement | None
    job: str | None = None
    profile: str | None = None

    @property
    def is_tuned(self) -> bool:
        """Whether it is a tuned model."""
        return self.job is not None or is_tuned(self.model)

    @property
    def endings(self) -> list[Ending]:
        """The days that matter: of a tuned model its own, of a base all three."""
        if self.is_tuned or self.row is None:
            return [self.answers] if self.answers else []
        names = ("training_ends", "serving_ends", "base_ends")
        return [self.row.ending(name) for name in names]

    def next_day(self, today: date) -> date | None:
        """The first of its days that is still to come."""
        days = [each.day for each in self.endings if each.day is not None and each.day > today]
        return min(days, default=None)

    def expires(self, today: date, within: timedelta) -> bool:
        """Whether one of its days falls within that span; a tuned model that is gone counts too."""
        if self.is_tuned and self.answers is not None and self.answers.is_over(today):
            return True
        day = self.next_day(today)
        return day is not None and day - today <= within


def list_models(
    lifecycle: Lifecycle, jobs: Iterable[Job], *, kind: str | None = None
) -> list[ListedModel]:
    """The ledger's tuned models, newest first, then those only the provider named, then bases.

    Args:
        lifecycle: the dated file, the user's own rows, and what providers said.
        jobs: of the ledger.
        kind: only this kind of provider.
    """
    tuned = [
        _of_job(lifecycle, job, job.tuned_model)
        for job in jobs
        if job.tuned_model and kind in {None, job.kind}
    ]
    known = {(each.provider, each.model) for each in tuned}
    return [*tuned, *_only_told(lifecycle, known, kind), *_bases(lifecycle, kind)]


def _of_job(lifecycle: Lifecycle, job: Job, tuned_model: str) -> ListedModel:
    row = lifecycle.of_job(job)
    return ListedModel(
        provider=job.kind,
        model=tuned_model,
        answers=row.ending("serving_ends") if row else None,
        row=row,
        job=job.id,
        profile=job.provider,
    )


def _only_told(
    lifecycle: Lifecycle, known: set[tuple[str, str]], kind: str | None
) -> list[ListedModel]:
    return [
        _listed(lifecycle, provider, model)
        for provider, model in lifecycle.told
        if is_tuned(model) and (provider, model) not in known and kind in {None, provider}
    ]


def _bases(lifecycle: Lifecycle, kind: str | None) -> Sequence[ListedModel]:
    names = dict.fromkeys((row.provider, row.model) for row in lifecycle.models)
    told = [(provider, model) for provider, model in lifecycle.told if not is_tuned(model)]
    listed = [*names, *(key for key in told if _is_new(lifecycle, *key, names))]
    return [_listed(lifecycle, *key) for key in sorted(listed) if kind in {None, key[0]}]


def _is_new(
    lifecycle: Lifecycle, provider: str, model: str, names: Iterable[tuple[str, str]]
) -> bool:
    row = lifecycle.find(provider, model)
    return row is None or (provider, row.model) not in names


def _listed(lifecycle: Lifecycle, provider: str, model: str) -> ListedModel:
    if model == ANYTHING:
        row = next(r for r in lifecycle.models if (r.provider, r.model) == (provider, model))
        return ListedModel(provider=provider, model=model, answers=row.ending("base_ends"), row=row)
    return ListedModel(
        provider=provider,
        model=model,
        answers=lifecycle.answers_until(provider, model),
        row=lifecycle.find(provider, model if is_tuned(model) else base_model(model)),
    )
