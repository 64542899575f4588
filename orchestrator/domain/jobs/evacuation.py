"""What must be done, by which day, before tuned models stop answering. Pure: dates in, plan out."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from orchestrator.domain.jobs.tenant import Have

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.jobs.tenant import Route, Successor, Tenant

_DAY = timedelta(days=1)
#: Below this many rows nothing worth knowing is decided; docs/statistics.md.
FEW_ROWS = 100


class State(StrEnum):
    """How a step stands on the day of the plan."""

    DONE = "done"
    DUE = "due"
    LATE = "late"  #: can still be done, but the old model ends before all is proven
    UNDER_WAY = "under way"
    CLOSED = "closed"  #: too late, or nothing to do it with

    @property
    def is_open(self) -> bool:
        """It is still to be done."""
        return self in {State.DUE, State.LATE, State.UNDER_WAY}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing to do.

    Attributes:
        command: what to type; None where nothing of ftctl does it.
        latest: the last day on which it can be done; None when no day is announced.
    """

    name: str
    state: State
    what: str
    command: str | None = None
    latest: date | None = None


@dataclass(frozen=True, kw_only=True)
class Departure:
    """The dated plan of one tuned model."""

    tenant: Tenant
    today: date
    days_left: int | None
    steps: Sequence[Step] = field(default_factory=tuple)

    @property
    def open_steps(self) -> list[Step]:
        """What is still to be done."""
        return [step for step in self.steps if step.state.is_open]


def depart(tenant: Tenant, today: date) -> Departure:
    """The plan for one tuned model as of a day.

    The old model must answer until the switch, so that what is proven on its last day must be trained
    on the day before.

    Args:
        tenant: the model.
        today: the day of the plan.
    """
    ends = tenant.serving.day if tenant.serving else None
    if ends is None:
        # Nothing says that it must leave.
        return Departure(tenant=tenant, today=today, days_left=None)
    steps = (
        _data(tenant, ends),
        _test(tenant, ends, today),
        _record(tenant, ends, today),
        _retrain(tenant, ends, today),
        _compare(tenant, ends, today),
        _switch(tenant, ends, today),
        _delete(tenant, ends),
    )
    return Departure(
        tenant=tenant,
        today=today,
        days_left=(ends - today).days,
        steps=[_late(step, today) for step in steps],
    )


def by_urgency(plans: Sequence[Departure]) -> list[Departure]:
    """Those that stop first come first; those without an announced end last."""
    return sorted(
        plans,
        key=lambda plan: (
            plan.days_left is None,
            plan.days_left or 0,
            str(plan.tenant.job.tuned_model),
        ),
    )


def recording_name(job: Job) -> str:
    """What the recording of a job's model is called in the commands of a plan."""
    return f"old-{job.id[:8]}"


def move_command(tenant: Tenant, route: Route, today: date) -> str:
    """What to type to train a tenant anew on a route."""
    test = test_file(tenant, today)
    more = f" --test {shlex.quote(test)}" if test else ""
    return (
        f"ftctl migrate {tenant.job.id} --to {route.profile} --model {shlex.quote(route.model)}"
        f"{more} --wait"
    )


def test_file(tenant: Tenant, today: date) -> str | None:
    """The rows to measure on: those recorded, else those it was validated on, else those held out."""
    validation = tenant.validation
    if tenant.recording:
        return tenant.recording.test_file
    if validation and validation.have is Have.KEPT:
        return validation.path
    held_out = tenant.data.have is Have.KEPT and tenant.answers_on(today)
    return f"{_folder(tenant)}/test.jsonl" if held_out else None


def _data(tenant: Tenant, ends: date) -> Step:
    data, job = tenant.data, tenant.job
    if data.have is Have.KEPT:
        told = f"{data.rows:,} training rows in the store, {str(data.digest)[:12]}"
        if data.errors:
            typed = f"ftctl validate {shlex.quote(str(data.path))}"
            told += f"; {data.errors:,} errors in them, to be mended or left out: {typed}"
        return Step(name="data", state=State.DONE, what=told)
    if data.have is Have.NOT_FETCHED:
        return Step(
            name="data",
            state=State.DUE,
            what="fetch the training data; nobody promises that files stay",
            command=f"ftctl adopt --provider {job.provider}",
            latest=ends - 2 * _DAY,
        )
    return Step(
        name="data",
        state=State.CLOSED,
        what=f"the training data is lost ({data.note}); it must come from where it was made",
    )


def _test(tenant: Tenant, ends: date, today: date) -> Step:
    name, validation = "test set", tenant.validation
    if tenant.recording:
        rows = tenant.recording.rows
        return Step(name=name, state=State.DONE, what=f"{rows:,} recorded rows{_few(rows)}")
    if validation and validation.have is Have.KEPT:
        rows = validation.rows or 0
        told = f"no test set is known; its {rows:,} validation rows were not trained on{_few(rows)}"
        return Step(name=name, state=State.DONE, what=told)
    if not tenant.answers_on(today):
        return Step(name=name, state=State.CLOSED, what="no test set is known")
    kept = tenant.data.have is Have.KEPT
    held_out = (
        "; else hold some out of the training data: the old model has seen them, which flatters it,"
        " and the new one is trained without them"
    )
    return Step(
        name=name,
        state=State.DUE,
        what=f"NO TEST SET is known: best are new rows{held_out if kept else ''}",
        command=f"ftctl split {shlex.quote(str(tenant.data.path))} --out {_folder(tenant)}"
        " --test 0.2"
        if kept
        else None,
        latest=ends - _DAY,
    )


def _record(tenant: Tenant, ends: date, today: date) -> Step:
    if tenant.recording:
        frozen = tenant.recording
        told = f"{frozen.rows:,} answers frozen as '{frozen.name}'"
        return Step(name="record", state=State.DONE, what=told)
    if not tenant.answers_on(today):
        return Step(
            name="record",
            state=State.CLOSED,
            what="it no longer answers and nothing was recorded: parity with it cannot be shown,"
            " only quality against references",
        )
    job = tenant.job
    return Step(
        name="record",
        state=State.DUE,
        what="freeze its answers while it still gives them",
        command=f"ftctl record {shlex.quote(str(job.tuned_model))} --provider {job.provider}"
        f" --test {_typed_test(tenant, today)} --name {recording_name(job)}",
        latest=ends - _DAY,
    )


def _retrain(tenant: Tenant, ends: date, today: date) -> Step:
    if tenant.successors:
        return _retrained(tenant.successors[0])
    if not tenant.routes:
        return Step(name="retrain", state=State.CLOSED, what="nowhere to train is known")
    best = tenant.routes[0]
    same = ", the same base" if best.same_base else ""
    what = f"train it anew at {best.profile} on {best.model}{same}"
    if best.note:
        what += f" ({best.note})"
    if tenant.data.have is Have.LOST:
        what += "; impossible without the training data"
        return Step(name="retrain", state=State.CLOSED, what=what)
    days = [best.until - _DAY] if best.until else []
    days += [ends - 2 * _DAY] if tenant.answers_on(today) else []
    command = move_command(tenant, best, today)
    return Step(
        name="retrain",
        state=State.DUE,
        what=what,
        command=command,
        latest=min(days, default=None),
    )


def _retrained(newest: Successor) -> Step:
    told = f"job {newest.job_id} at {newest.provider}: {newest.status}"
    if newest.status == "succeeded":
        return Step(name="retrain", state=State.DONE, what=told)
    return Step(
        name="retrain",
        state=State.UNDER_WAY,
        what=told,
        command=f"ftctl status {newest.job_id} --watch",
    )


def _compare(tenant: Tenant, ends: date, today: date) -> Step:
    newest = tenant.successors[0] if tenant.successors else None
    if newest and newest.passes:
        return Step(name="parity", state=State.DONE, what=f"{newest.parity} ({newest.job_id})")
    if not tenant.recording and not tenant.answers_on(today):
        told = "there is no recording to compare with"
        return Step(name="parity", state=State.CLOSED, what=told)
    so_far = f"; so far: {newest.parity}" if newest and newest.parity else ""
    return Step(
        name="parity",
        state=State.DUE,
        what="show that the new model is not worse than the recording by more than the margin"
        + so_far,
        command=newest.command if newest else _compare_command(tenant, today),
        latest=ends - _DAY if tenant.answers_on(today) else None,
    )


def _compare_command(tenant: Tenant, today: date) -> str:
    name = tenant.recording.name if tenant.recording else recording_name(tenant.job)
    return (
        f"ftctl compare NEWJOB --test {_typed_test(tenant, today)} --arm base --arm tuned"
        f" --source recorded:{name} --margin 3"
    )


def _switch(tenant: Tenant, ends: date, today: date) -> Step:
    newest = tenant.successors[0] if tenant.successors else None
    target = f"{newest.model} at {newest.provider}" if newest and newest.model else "the new model"
    late = "" if tenant.answers_on(today) else "; the old one no longer answers"
    return Step(
        name="switch",
        state=State.DUE,
        what=f"send requests to {target}{late}",
        latest=ends - _DAY if tenant.answers_on(today) else None,
    )


def _delete(tenant: Tenant, ends: date) -> Step:
    where = tenant.job.provider
    told = f"delete its files at {where} when nothing asks for them; the model ends on {ends}"
    files = [file for file in (tenant.job.training_file, tenant.job.validation_file) if file]
    gone = tenant.data.have is Have.LOST
    typed = f"ftctl files delete --provider {where} {shlex.join(files)}"
    return Step(
        name="delete", state=State.DUE, what=told, command=typed if files and not gone else None
    )


def _few(rows: int) -> str:
    return f", and so few decide little: {FEW_ROWS} or more are better" if rows < FEW_ROWS else ""


def _late(step: Step, today: date) -> Step:
    """A step whose day is over, and which can still be done."""
    if step.state is not State.DUE or step.latest is None or today <= step.latest:
        return step
    return replace(step, state=State.LATE)


def _typed_test(tenant: Tenant, today: date) -> str:
    return shlex.quote(test_file(tenant, today) or "TEST.jsonl")


def _folder(tenant: Tenant) -> str:
    return f"holdout-{tenant.job.id[:8]}"
