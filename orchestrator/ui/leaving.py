"""The way out: for every tuned model what remains to be done before it stops answering."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING

from orchestrator.ui.layout import link, page, pager
from orchestrator.ui.markup import clipped, h

if TYPE_CHECKING:
    from orchestrator.domain.jobs.evacuation import Departure, Step
    from orchestrator.domain.web import WebResponse
    from orchestrator.ui.desk import Visit
    from orchestrator.ui.markup import Html

_MANY = 20


def show_plans(visit: Visit) -> WebResponse:
    """The same plan as `ftctl evacuate`; asks nobody, and does nothing."""
    from orchestrator.usecases.moving.evacuate import evacuate

    today = visit.app.clock.now().astimezone(UTC).date()
    plans = evacuate(replace(visit.app.leaving(), lifecycle=visit.lifecycle), today)
    if not plans:
        none = h(
            "p",
            "No tuned models are known. Those of an account: ",
            h("code", "ftctl adopt --provider NAME"),
        )
        return page("The way out", none, here="/models")
    part = visit.slice(_MANY, len(plans))
    shown = [_plan(plan) for plan in plans[part.first : part.first + _MANY]]
    return page("The way out", pager(part, "/leaving"), shown, here="/models")


def _plan(plan: Departure) -> Html:
    from orchestrator.reports.evacuation import commands, last_day, training

    job = plan.tenant.job
    return h(
        "article",
        h("h2", clipped(job.tuned_model, 160), " ", link(f"job {job.id}", f"/jobs/{job.id}")),
        h("p", f"It {last_day(plan)}."),
        h("p", f"There is {training(plan)}."),
        h("ul", [_step(step, list(commands(plan, step))) for step in plan.steps]),
        class_="card",
    )


def _step(step: Step, typed: list[str]) -> Html:
    look = {"done": "good", "late": "bad", "closed": "bad", "due": "open"}.get(str(step.state), "")
    latest = f" by {step.latest}" if step.latest else ""
    return h(
        "li",
        h("strong", step.name),
        f"{latest}: {step.what} ",
        h("span", str(step.state), class_=f"status {look}".strip()),
        [h("div", h("code", each)) for each in typed],
    )
