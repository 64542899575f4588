"""How jobs are told: one line, one page, one JSON object."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from orchestrator.cli.output import print_table, printable
from orchestrator.domain.jobs.evacuation import recording_name
from orchestrator.domain.jobs.job import JobStatus, Origin, knobs
from orchestrator.domain.jobs.lifecycle import WARN_DAYS
from orchestrator.domain.money.spending import Purpose, SpendingState
from orchestrator.domain.money.usd import money, usd_json
from orchestrator.reports.words import age

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from orchestrator.domain.jobs.job import Checkpoint, Job, JobEvent, MetricPoint, Transition
    from orchestrator.domain.jobs.lifecycle import Ending, Lifecycle
    from orchestrator.domain.jobs.move import Move, ParityPlan
    from orchestrator.domain.money.spending import Spending

_BARS = "▁▂▃▄▅▆▇█"
_NEXT = {
    JobStatus.PLANNED: "ftctl sync",
    JobStatus.UPLOADING: "ftctl sync",
    JobStatus.READY: "ftctl sync",
    JobStatus.SUBMITTING: "ftctl sync",
    JobStatus.UNKNOWN: "ftctl sync",
    JobStatus.NEEDS_REVIEW: "ftctl resolve {id} --remote-id ID | --absent",
    JobStatus.QUEUED: "ftctl status {id} --watch",
    JobStatus.RUNNING: "ftctl status {id} --watch",
    JobStatus.PAUSED: "ftctl resume {id}",
    JobStatus.SUCCEEDED: "ftctl compare {id} --test FILE",
    JobStatus.FAILED: "ftctl events {id}",
    JobStatus.REJECTED: "ftctl events {id}",
}


def as_json(
    job: Job,
    ends: Ending | None = None,
    spendings: Sequence[Spending] = (),
    move: Move | None = None,
) -> dict[str, Any]:
    """What `status --json` prints for a job; described in schemas/status.schema.json.

    Args:
        job: the job.
        ends: when its tuned model stops answering, if it has one and a day is known.
        spendings: its money.
        move: what it replaces, if it replaces something.
    """
    training, evaluation = _by_purpose(spendings)
    moved = {"migrated_from": move.source_id, "next": next_step(job, move.parity)} if move else {}
    return {
        "id": job.id,
        "status": str(job.status),
        "remote_status": job.remote_status,
        "remote_id": job.remote_id,
        "provider": job.provider,
        "model": job.model,
        "tuned_model": job.tuned_model,
        "created_at": job.created_at.isoformat(),
        "updated_at": job.updated_at.isoformat(),
        "error": None
        if job.error is None
        else {"message": job.error.message, "code": job.error.code, "param": job.error.param},
        "method": str(job.method),
        "hyperparameters": job.hyperparameters.as_wire(),
        "options": job.options.as_json(),
        "suffix": job.suffix,
        "trained_tokens": job.trained_tokens,
        "estimate_usd": job.estimate_usd,
        "finished_at": job.finished_at.isoformat() if job.finished_at else None,
        "origin": str(job.origin),
        "tuned_model_ends": ends.day.isoformat() if ends and ends.day else None,
        "cost": training.as_json() if training else None,
        "evaluation_usd": usd_json(sum(each.counted for each in evaluation)),
        **moved,
    }


def model_ends(job: Job, lifecycle: Lifecycle) -> Ending | None:
    """When a job's tuned model stops answering; None when it has none or nothing is known."""
    row = lifecycle.of_job(job) if job.tuned_model else None
    return row.ending("serving_ends") if row else None


def ending_soon(jobs: Iterable[Job], lifecycle: Lifecycle, now: datetime) -> str | None:
    """How many tuned models are about to stop answering; None when none is."""
    left = [ends.days_left(now.date()) for job in jobs if (ends := model_ends(job, lifecycle))]
    count = sum(days is not None and 0 < days <= WARN_DAYS for days in left)
    if not count:
        return None
    models = "1 tuned model stops" if count == 1 else f"{count} tuned models stop"
    return f"{models} answering within {WARN_DAYS} days"


def ways_out(job: Job, lifecycle: Lifecycle, now: datetime) -> list[str]:
    """What to do when the provider no longer trains for the account at all."""
    from orchestrator.usecases.jobs.lifetimes import closed_job

    advice = closed_job(lifecycle, job, now.date()) if job.status is JobStatus.REJECTED else None
    return [advice.message, f"ways out: {advice.hint}"] if advice else []


def move_facts(move: Move | None) -> list[tuple[str, str]]:
    """What a job replaces, and the margin that was fixed for it."""
    if move is None:
        return []
    margin = f"margin {100 * move.parity.margin:g} points ({move.parity.digest[:12]})"
    return [("in place of", f"job {move.source_id}; {margin}")]


def next_step(job: Job, parity: ParityPlan | None = None) -> str | None:
    """What to type next; of a job that replaces another, the comparison that was prepared."""
    if parity is not None and job.status is JobStatus.SUCCEEDED:
        return parity.command(job.id)
    template = _NEXT.get(job.status)
    return template.format(id=job.id) if template else None


def record_command(source: Job, test: str) -> str:
    """What freezes the answers of a job's model."""
    model, file = shlex.quote(str(source.tuned_model)), shlex.quote(test)
    return (
        f"ftctl record {model} --provider {source.provider} --test {file}"
        f" --name {recording_name(source)}"
    )


def table(jobs: Iterable[Job], now: datetime) -> None:
    """All jobs, one line each."""
    print_table(
        ("JOB", "STATUS", "PROVIDER", "MODEL", "TUNED MODEL", "AGE"),
        [
            (
                job.id,
                str(job.status),
                job.provider,
                job.model,
                job.tuned_model or "",
                age(now - job.created_at),
            )
            for job in jobs
        ],
    )


def page(
    job: Job,
    events: Sequence[JobEvent],
    metrics: Sequence[MetricPoint],
    checkpoints: Sequence[Checkpoint],
    transitions: Sequence[Transition],
    more: Sequence[tuple[str, str]] = (),
    parity: ParityPlan | None = None,
) -> str:
    """One job whole, for a person; `more` are facts from elsewhere, name and value."""
    lines = [f"job {job.id}  {job.status}"]
    lines += [f"  {name:<15} {value}" for name, value in more]
    lines += [f"  {name:<15} {value}" for name, value in _facts(job) if value not in {None, ""}]
    for name, points in _curves(metrics).items():
        values = [point.value for point in points]
        lines.append(f"  {name:<15} {sparkline(values)}  {values[0]:.3g} → {values[-1]:.3g}")
    for checkpoint in checkpoints:
        lines.append(f"  checkpoint      step {checkpoint.step}: {checkpoint.model}")
    lines.append("  history")
    lines += [f"    {each.at:%m-%d %H:%M:%S}  {each.after}: {each.reason}" for each in transitions]
    if events:
        lines.append("  last events")
        lines += [f"    {event_line(event)}" for event in _talk(events)[-5:]]
    step = next_step(job, parity)
    if step:
        lines.append(f"  next: {step}")
    return printable("\n".join(map(_one_line, lines)))


def life_facts(job: Job, lifecycle: Lifecycle, now: datetime) -> list[tuple[str, str]]:
    """Until when the job's tuned model answers, and what a closed account can still do."""
    facts = []
    ends = model_ends(job, lifecycle)
    if ends is not None and ends.day is not None:
        left = (ends.day - now.date()).days
        when = "since" if left <= 0 else "until"
        did = "has not answered" if left <= 0 else "answers"
        said = f"{ends.said.origin}, {ends.said.read_on}"
        facts.append(("lifetime", f"{did} {when} {ends.day} ({left} days; {said})"))
    return facts + [("", line) for line in ways_out(job, lifecycle, now)]


def event_line(event: JobEvent) -> str:
    """One event in one line."""
    mark = {"error": "!! ", "warning": "!  "}.get(event.level, "")
    return f"{event.at:%m-%d %H:%M:%S}  {mark}{_one_line(event.message)}"


def event_json(event: JobEvent) -> dict[str, Any]:
    """One event for scripts."""
    return {
        "at": event.at.isoformat(),
        "level": event.level,
        "source": event.source,
        "message": event.message,
        "data": event.data,
    }


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """Numbers as a row of bars, at most `width` wide; a bar is the mean of its share."""
    if not values:
        return ""
    width = min(width, len(values))
    cuts = [round(index * len(values) / width) for index in range(width + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(cuts) if b > a]
    low, high = min(means), max(means)
    span = (high - low) or 1.0
    return "".join(_BARS[round((mean - low) / span * (len(_BARS) - 1))] for mean in means)


def _one_line(text: str) -> str:
    """The text on one line: what a provider says must not pass for lines of ours."""
    return " ".join(text.splitlines())


def _facts(job: Job) -> list[tuple[str, object]]:
    chosen = ", ".join(knobs(job.hyperparameters.as_wire()))
    error = job.error
    return [
        ("provider", job.provider),
        ("model", job.model),
        ("made by", "another tool; adopted" if job.origin is Origin.ADOPTED else None),
        ("tuned model", job.tuned_model),
        ("remote id", job.remote_id),
        ("remote status", job.remote_status),
        ("method", job.method),
        ("hyperparameters", chosen or "auto"),
        ("options", ", ".join(_options(job))),
        ("training data", job.training[:12] if job.training else "not in the store"),
        ("trained tokens", job.trained_tokens),
        ("created", f"{job.created_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"),
        (
            "error",
            f"{error.message} ({error.code})" if error and error.code else error and error.message,
        ),
    ]


def _by_purpose(spendings: Sequence[Spending]) -> tuple[Spending | None, list[Spending]]:
    training = [each for each in spendings if each.purpose is Purpose.TRAINING]
    evaluation = [each for each in spendings if each.purpose is Purpose.EVALUATION]
    return (training[-1] if training else None), evaluation


def cost_facts(spendings: Sequence[Spending]) -> Iterator[tuple[str, str]]:
    """What a job cost, name and value."""
    training, evaluation = _by_purpose(spendings)
    if training is not None:
        yield "cost", _cost(training)
    if evaluation:
        unpriced = any(each.is_unpriced for each in evaluation)
        total = money(sum(each.counted for each in evaluation))
        yield "evaluation", f"{total}{', and calls without a price' if unpriced else ''}"


def _cost(spending: Spending) -> str:
    if spending.is_unpriced:
        return f"unpriced ({spending.note.removeprefix('unpriced: ')})"
    if spending.state is SpendingState.RESERVED:
        likely = f", estimated at {money(spending.estimate)}" if spending.estimate else ""
        return f"up to {money(spending.counted)} reserved{likely}"
    if spending.state is SpendingState.UNCLEAR:
        return f"up to {money(spending.counted)}: {spending.note}"
    words = spending.error_words
    error = f"; {words} of {money(spending.estimate)}" if words else ""
    return f"{money(spending.counted)} ({spending.note}{error})"


def _options(job: Job) -> list[str]:
    chosen = job.options.as_json()
    grader = chosen.pop("grader", None)
    told = [f"grader={grader.get('name')} ({grader.get('type')})"] if grader else []
    return told + knobs(chosen.pop("metadata", {})) + knobs(chosen)


def _curves(metrics: Sequence[MetricPoint]) -> dict[str, list[MetricPoint]]:
    curves: dict[str, list[MetricPoint]] = {}
    for point in metrics:
        if point.name.endswith("loss"):
            curves.setdefault(point.name, []).append(point)
    return curves


def _talk(events: Sequence[JobEvent]) -> list[JobEvent]:
    """Events that say something; the per-step metrics are the sparkline."""
    return [event for event in events if not (event.data and "step" in event.data)]
