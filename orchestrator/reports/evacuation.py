"""An evacuation plan as text, Markdown and JSON."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from orchestrator.domain.jobs.evacuation import State, move_command
from orchestrator.domain.jobs.tenant import Have

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    from orchestrator.domain.jobs.evacuation import Departure, Step
    from orchestrator.domain.jobs.tenant import Data, Route

_MARKUP = re.compile(r"([\\`*_<>|\[\]#])")
_MARKS = {
    State.DONE: "x",
    State.DUE: " ",
    State.LATE: "!",
    State.UNDER_WAY: "~",
    State.CLOSED: "-",
}
_ROUTES_SHOWN = 3
# What is trained so near the end of its base is not worth its price.
_SHORT = timedelta(days=365)


def summary(plan: Departure) -> tuple[str, ...]:
    """One line: model, its last day, days left, data, recording, the next step."""
    tenant, ends = plan.tenant, _ends(plan)
    steps = plan.open_steps
    return (
        str(tenant.job.tuned_model),
        tenant.job.id,
        str(ends) if ends else "no end announced",
        "" if plan.days_left is None else str(plan.days_left),
        _data(tenant.data),
        f"{tenant.recording.rows:,} rows" if tenant.recording else "none",
        steps[0].name if steps else "",
    )


COLUMNS = ("MODEL", "JOB", "STOPS", "DAYS", "DATA", "RECORDING", "NEXT")


def lines(plan: Departure) -> Iterator[str]:
    """The steps of one model, for a terminal."""
    tenant = plan.tenant
    yield f"{tenant.job.tuned_model} ({tenant.job.provider}, job {tenant.job.id})"
    yield f"  {last_day(plan)}"
    yield f"  {training(plan)}"
    for step in plan.steps:
        yield f"  [{_MARKS[step.state]}] {step.name:<8} {_latest(step)}{step.what}"
        for command in commands(plan, step):
            yield f"{'':15}{command}"


def to_markdown(plans: Sequence[Departure], today: date) -> str:
    """The plan as a page: a calendar over all models, then the steps of each."""
    leaving = [plan for plan in plans if plan.steps]
    found = [f"# Leaving: {len(leaving)} tuned models, as of {today}", ""]
    found += _table(COLUMNS, [(_code(first), *rest) for first, *rest in map(summary, plans)])
    found += ["## By date", "", *_calendar(leaving, today)]
    for plan in leaving:
        found += [f"## {_code(str(plan.tenant.job.tuned_model))}", ""]
        found += [
            f"It {_gentle(last_day(plan))}.",
            "",
            f"There is {_gentle(training(plan))}.",
            "",
        ]
        for step in plan.steps:
            mark = "x" if step.state is State.DONE else " "
            said = _gentle(f"{_latest(step)}{step.what}")
            found.append(f"- [{mark}] **{step.name}** ({step.state}): {said}")
            if typed := list(commands(plan, step)):
                found += ["", "  ```sh", *(f"  {command}" for command in typed), "  ```", ""]
        found.append("")
    return "\n".join(found).rstrip() + "\n"


def as_json(plans: Sequence[Departure], today: date) -> dict[str, Any]:
    """What `evacuate --json` prints; described in schemas/evacuate.schema.json."""
    return {"date": today.isoformat(), "models": [_plain(plan) for plan in plans]}


def _calendar(plans: Sequence[Departure], today: date) -> list[str]:
    """Every dated step that is still to be done, the earliest first."""
    dated = [
        (step.latest, str(plan.tenant.job.tuned_model), order, step)
        for plan in plans
        for order, step in enumerate(plan.open_steps)
        if step.latest
    ]
    rows = [
        (str(latest), str((latest - today).days), _code(model), step.name, str(step.state))
        for latest, model, _, step in sorted(dated, key=lambda each: each[:3])
    ]
    return _table(("latest", "days", "model", "step", "state"), rows) or ["Nothing is dated.", ""]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    lines_ = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    return [lines_[0], "|" + " --- |" * len(head), *lines_[1:], ""]


def commands(plan: Departure, step: Step) -> Iterator[str]:
    """What to type for a step, and for its alternatives."""
    if not step.command or not step.state.is_open:
        return
    yield step.command
    if step.name == "retrain" and step.state is not State.UNDER_WAY:
        for route in plan.tenant.routes[1:_ROUTES_SHOWN]:
            yield f"{move_command(plan.tenant, route, plan.today)}   # or, {_until(route)}"


def _code(text: str) -> str:
    """A name as code in a cell."""
    return "`" + text.replace("`", "'").replace("|", "/") + "`"


def _gentle(text: str) -> str:
    """The text with everything escaped that would be markup there; dates and names stay readable."""
    return _MARKUP.sub(r"\\\1", text)


def _plain(plan: Departure) -> dict[str, Any]:
    tenant = plan.tenant
    serving, training = tenant.serving, tenant.training
    return {
        "job": tenant.job.id,
        "model": tenant.job.tuned_model,
        "base": tenant.base,
        "provider": tenant.job.provider,
        "origin": str(tenant.job.origin),
        "serving_ends": _iso(serving.day if serving else None),
        "source": f"{serving.said.origin}: {serving.said.source}, read {serving.said.read_on}"
        if serving
        else None,
        "days_left": plan.days_left,
        "training_ends": _iso(training.day if training else None),
        "routes": [_plain_route(route) for route in tenant.routes],
        "training_data": _plain_data(tenant.data),
        "validation_data": _plain_data(tenant.validation) if tenant.validation else None,
        "recording": tenant.recording._asdict() if tenant.recording else None,
        "successors": [each._asdict() for each in tenant.successors],
        "steps": [
            {
                "name": step.name,
                "state": str(step.state),
                "what": step.what,
                "command": step.command,
                "latest": _iso(step.latest),
            }
            for step in plan.steps
        ],
    }


def _plain_route(route: Route) -> dict[str, Any]:
    return {
        "profile": route.profile,
        "model": route.model,
        "until": _iso(route.until),
        "serves_until": _iso(route.serves_until),
        "same_base": route.same_base,
        "note": route.note,
    }


def _plain_data(data: Data) -> dict[str, Any]:
    return {
        "have": str(data.have),
        "digest": data.digest,
        "rows": data.rows,
        "path": data.path,
        "errors": data.errors,
        "note": data.note,
    }


def _ends(plan: Departure) -> date | None:
    return plan.tenant.serving.day if plan.tenant.serving else None


def last_day(plan: Departure) -> str:
    """Until when the model answers, and who says so."""
    serving = plan.tenant.serving
    if serving is None:
        return "ends on a day that nobody told"
    if serving.day is None or plan.days_left is None:
        return "has no announced end"
    said = f"({serving.said.origin}: {serving.said.source}, read {serving.said.read_on})"
    if plan.days_left <= 0:
        return f"stopped answering on {serving.day} {said}"
    return f"stops answering on {serving.day}, in {plan.days_left} days {said}"


def training(plan: Departure) -> str:
    """Until when, and where, the same training can be done."""
    tenant = plan.tenant
    told = [f"at {tenant.job.provider} {_at_home(plan)}"]
    shown = tenant.routes[:_ROUTES_SHOWN]
    told += [f"at {route.profile} on {route.model} {_until(route)}" for route in shown]
    more = len(tenant.routes) - len(shown)
    told += [f"on {more} more models"] if more > 0 else []
    return f"training of {tenant.base}, or in its place: {'; '.join(told)}"


def _at_home(plan: Departure) -> str:
    """Until when its own provider trains its base, and what that would be worth."""
    ends, training = _ends(plan), plan.tenant.training
    if training is None or training.day is None:
        return "without an announced end"
    if training.day <= plan.today:
        return f"no more since {training.day}"
    if ends is not None and ends - training.day < _SHORT:
        return f"until {training.day}, but what is trained there ends on {ends} too"
    return f"until {training.day}"


def _until(route: Route) -> str:
    return f"until {route.until}" if route.until else "without an announced end"


def _latest(step: Step) -> str:
    if step.latest is None or not step.state.is_open:
        return ""
    late = "LATE, " if step.state is State.LATE else ""
    return f"{late}by {step.latest}: "


def _data(data: Data) -> str:
    if data.have is Have.KEPT:
        return f"{data.rows:,} rows"
    return str(data.have)


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day else None
