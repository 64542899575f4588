"""Whether a model can be trained on a day, what to do when it cannot, and how long it would live."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domain.errors import AnswerIsNo, UsageError
from orchestrator.domain.jobs.job import JobStatus
from orchestrator.domain.jobs.lifecycle import ANYTHING, WARN_DAYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.jobs.lifecycle import Ending, Lifecycle, Retirement
    from orchestrator.domain.ledger import JobStore

# The built-in profile of a kind is called like the kind, but for the worker's.
_PROFILES = {"peft": "local"}
_FEW = 4
_ELSEWHERE = 3


class Advice(NamedTuple):
    """What is so, in one sentence, and what can be typed about it."""

    message: str
    hint: str


def refuse_untrainable(
    lifecycle: Lifecycle, provider: str, model: str, method: str, today: date
) -> None:
    """Refuse a model that is known to take no training jobs there on that day.

    A model of which nothing is known passes: the list may be older than the model.

    Raises:
        UsageError: it cannot be trained there at all, or not with that method.
        AnswerIsNo: training has ended.
    """
    row = lifecycle.find(provider, model)
    if row is None or row.may_train(today, method):
        return
    hint = _instead(lifecycle, provider, model, method, today)
    if not row.trainable:
        why = f" ({row.note})" if row.note else ""
        raise UsageError(f"{provider} does not train {model}{why}.", hint=hint)
    if not row.trains_with(method):
        can = ", ".join(row.methods)
        raise UsageError(
            f"{provider} does not train {model} with {method}; it does with {can}.", hint=hint
        )
    ends = row.ending("training_ends")
    raise AnswerIsNo(
        f"{provider} has taken no training jobs for {model} since {ends.day} ({who_says(ends)}).",
        hint=hint,
    )


def notes(lifecycle: Lifecycle, provider: str, model: str, today: date) -> tuple[str, ...]:
    """What is worth knowing of a model's dates before it is trained; nothing that stops it."""
    row = lifecycle.find(provider, model)
    if row is None:
        known = [each.model for each in lifecycle.trainable(provider, today)]
        if not known:
            return ()
        return (f"nothing is known of {model} at {provider}; listed there are {_few(known)}",)
    steps = _steps(lifecycle, provider, today)
    # What the steps say of a provider, the notes of its models say again.
    told = row.note and row.model != ANYTHING and not steps
    found = [f"{row.model} at {provider}: {row.note}"] if told else []
    training = row.ending("training_ends")
    if training.day is not None:
        left = training.days_left(today)
        found.append(
            f"{provider} takes training jobs for {row.model} until {training.day}"
            f" ({left} days left)"
        )
    return (*found, *last_days(row, today), *steps)


def last_days(row: Retirement, today: date) -> tuple[str, ...]:
    """When models tuned from a base model stop answering; louder within 90 days."""
    ends = row.ending("serving_ends")
    left = ends.days_left(today)
    if ends.day is None or left is None:
        return ()
    instead = f"; named instead: {row.replacement}" if row.replacement else ""
    if left <= 0:
        return (f"models tuned from {row.model} have stopped answering, on {ends.day}{instead}",)
    soon = "WARNING: " if left <= WARN_DAYS else ""
    return (
        f"{soon}models tuned from {row.model} stop answering on {ends.day},"
        f" in {left} days{instead}",
    )


def closed(lifecycle: Lifecycle, provider: str, code: str | None, today: date) -> Advice | None:
    """What the provider's refusal to train for an account at all means; None: it is another one.

    Args:
        lifecycle: what is known of dates.
        provider: the kind.
        code: the error code the provider gave.
        today: the day, for what can be trained elsewhere.
    """
    if code is None or lifecycle.closed_codes.get(provider) != code:
        return None
    steps = "; ".join(
        f"{'since' if step.day <= today else 'from'} {step.day} {step.who}"
        for step in lifecycle.cut_offs
        if step.provider == provider
    )
    why = f" It stops by steps: {steps}." if steps else ""
    return Advice(
        f"{provider} no longer takes training jobs from this organization.{why}"
        " Tuned models go on answering until their base model ends.",
        "ftctl evacuate (save what the account holds) · ftctl migrate JOB --to azure"
        " (or --to local) · ftctl models list --expiring",
    )


def closed_job(lifecycle: Lifecycle, job: Job, today: date) -> Advice | None:
    """The same for a job that was refused."""
    return closed(lifecycle, job.kind, job.error.code if job.error else None, today)


def refuse_closed(
    lifecycle: Lifecycle, jobs: JobStore, *, kind: str, account: str, today: date
) -> None:
    """Refuse an account that the provider has refused before, and not accepted since.

    Raises:
        AnswerIsNo: nothing was sent; the words of the provider's own refusal, and the ways out.
    """
    refused = [
        job
        for job in jobs.all([JobStatus.REJECTED])
        if job.account == account and job.kind == kind and closed_job(lifecycle, job, today)
    ]
    if not refused or _accepted_since(jobs.all(), refused[0]):
        return
    advice = closed_job(lifecycle, refused[0], today)
    assert advice is not None
    day = f"{refused[0].created_at:%Y-%m-%d}"
    raise AnswerIsNo(
        f"{advice.message} It said so to job {refused[0].id} on {day}.",
        hint=f"{advice.hint} · ask again all the same: --again",
    )


def who_says(ending: Ending) -> str:
    """Who names a day, and when that was read."""
    return f"{ending.said.origin}: {ending.said.source}, read {ending.said.read_on}"


def profile_of(kind: str) -> str:
    """The built-in profile of a kind, for what can be typed."""
    return _PROFILES.get(kind, kind)


def _instead(lifecycle: Lifecycle, provider: str, model: str, method: str, today: date) -> str:
    here, elsewhere = lifecycle.alternatives(provider, model, today, method)
    ways = []
    if here:
        ways.append(f"here --model {_few([_lasting(row) for row in here])}")
    ways += [
        f"--provider {profile_of(row.provider)} {_model(row)}" for row in elsewhere[:_ELSEWHERE]
    ]
    better = "or say what you know better under [[lifecycle]] in ftctl.toml"
    return " · ".join([*ways, better])


def _model(row: Retirement) -> str:
    return "(no end)" if row.model == ANYTHING else f"--model {_lasting(row)}"


def _lasting(row: Retirement) -> str:
    until = f"until {row.training_ends}" if row.training_ends else "no end announced"
    return f"{row.model} ({until})"


def _few(words: Sequence[str]) -> str:
    more = f" and {len(words) - _FEW} more" if len(words) > _FEW else ""
    return ", ".join(words[:_FEW]) + more


def _steps(lifecycle: Lifecycle, provider: str, today: date) -> list[str]:
    past = [s for s in lifecycle.cut_offs if s.provider == provider and s.day <= today]
    if not past:
        return []
    said = "; ".join(f"{step.who} (since {step.day})" for step in past)
    return [f"{provider} refuses training to {said}"]


def _accepted_since(jobs: Iterable[Job], refused: Job) -> bool:
    return any(
        job.account == refused.account and job.remote_id and job.created_at >= refused.created_at
        for job in jobs
    )
