"""What stops answering, and when."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from orchestrator.domain.jobs.lifecycle import WARN_DAYS
from orchestrator.ui.layout import link, page, pager, select, table
from orchestrator.ui.markup import clipped, h

if TYPE_CHECKING:
    from datetime import date

    from orchestrator.domain.jobs.lifecycle import Ending
    from orchestrator.domain.web import WebResponse
    from orchestrator.ui.desk import Visit
    from orchestrator.ui.markup import Child
    from orchestrator.usecases.jobs.model_list import ListedModel

_MANY = 50
_SPANS = {"": "every model", "30": "within 30 days", "90": "within 90 days", "365": "within a year"}


def list_models(visit: Visit) -> WebResponse:
    """Tuned models and base models with their last days; asks nobody."""
    from orchestrator.usecases.jobs import model_list

    app, today = visit.app, visit.app.clock.now().date()
    span = visit.asked("within") if visit.asked("within") in _SPANS else ""
    found = model_list.list_models(visit.lifecycle, app.jobs.tuned())
    if span:
        found = [each for each in found if each.expires(today, timedelta(days=int(span)))]
    found = sorted(found, key=lambda each: each.next_day(today) or today.max)
    part = visit.slice(_MANY, len(found))
    head = (
        "Ends next",
        "Model",
        "Provider",
        "Job",
        "Trains until",
        "Answers until",
        "Says",
        "Then",
    )
    rows = [_row(each, today) for each in found[part.first : part.first + _MANY]]
    chooser = h(
        "form",
        select("Show", "within", _SPANS, span),
        h("div", h("button", "Show", type="submit")),
        method="get",
        action="/models",
        class_="filter",
    )
    shown: Child = h("p", "None.", class_="dim")
    if rows:
        shown = table("Models, the next to end first", head, rows, tight=(0, 4, 5))
    out = h("p", link("The way out for every tuned model, step by step", "/leaving"))
    return page("Models", out, chooser, shown, pager(part, "/models", within=span), here="/models")


def _row(each: ListedModel, today: date) -> tuple[Child, ...]:
    row = each.row
    says = {f"{end.said.origin} {end.said.read_on}" for end in each.endings}
    return (
        _next(each, today),
        clipped(each.model, 120),
        each.provider,
        link(each.job, f"/jobs/{each.job}") if each.job else None,
        _training(each),
        _day(each.answers),
        ", ".join(sorted(says)),
        (row.replacement or "") if row else "",
    )


def _next(each: ListedModel, today: date) -> Child:
    day = each.next_day(today)
    if day is None:
        over = each.answers is not None and each.answers.is_over(today)
        return h("span", "over", class_="status bad") if over else ""
    left = (day - today).days
    look = "bad" if left <= 30 else "open" if left <= WARN_DAYS else ""
    return h("span", f"in {left} days", class_=f"status {look}".strip())


def _training(each: ListedModel) -> str:
    if each.row is None:
        return "not known"
    return _day(each.row.ending("training_ends")) if each.row.trainable else "never"


def _day(ending: Ending | None) -> str:
    if ending is None:
        return "not known"
    return str(ending.day) if ending.day is not None else "no end"
