"""What was reserved and spent, against the budgets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from orchestrator.domain.errors import UsageError
from orchestrator.domain.money.spending import month_of
from orchestrator.domain.money.usd import money
from orchestrator.ui.layout import job_link, page, pager, select, table
from orchestrator.ui.markup import clipped, h

if TYPE_CHECKING:
    from orchestrator.domain.web import WebResponse
    from orchestrator.ui.desk import Visit
    from orchestrator.ui.markup import Child
    from orchestrator.usecases.deciding.costs import Line, Total

_MANY = 50
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
_EVERY = "all"


def show_costs(visit: Visit) -> WebResponse:
    """A month, or all of them: the sums with their budgets, then every line."""
    from orchestrator.usecases.comparing.allowance import release_dead
    from orchestrator.usecases.deciding.costs import statement

    app, now = visit.app, visit.app.clock.now()
    month = visit.asked("month") or month_of(now)
    if month != _EVERY and not _MONTH.fullmatch(month):
        raise UsageError(f"'{month[:40]}' is no month.", hint="2026-11, or all")
    profile = visit.asked("provider")
    release_dead(app.vault())
    found = statement(
        app.spendings.all(),
        app.hosted(),
        app.settings.budgets(),
        now,
        month=None if month == _EVERY else month,
        profile=profile or None,
    )
    part = visit.slice(_MANY, len(found.lines))
    lines = found.lines[part.first : part.first + _MANY]
    sums = ("Month", "Provider", "Reserved", "Billed", "Budget", "Left", "")
    columns = ("Month", "Provider", "What", "Job", "For", "State", "Reserved", "Billed", "Note")
    nothing = h("p", "Nothing was spent.", class_="dim")
    return page(
        "Costs",
        _chooser(visit, month, profile),
        table("Sums and budgets", sums, map(_sum, found.totals), numbers=range(2, 6), tight=(0,)),
        h(
            "section",
            h("h2", "Every line"),
            table("What was spent on", columns, map(_row, lines), numbers=(6, 7), tight=(0, 3))
            if lines
            else nothing,
            pager(part, "/costs", month=month, provider=profile) if lines else None,
        ),
        h("p", "What has no price is unpriced, and is in no sum.", class_="dim"),
        here="/costs",
    )


def _chooser(visit: Visit, month: str, profile: str) -> Child:
    spent = {each.month for each in visit.app.spendings.all()}
    months = sorted({*spent, month_of(visit.app.clock.now())} | ({month} - {_EVERY}), reverse=True)
    names = {"": "every provider"} | {name: name for name in visit.app.settings.profile_names()}
    return h(
        "form",
        select("Month", "month", {each: each for each in months} | {_EVERY: "every month"}, month),
        select("Provider", "provider", names, profile),
        h("div", h("button", "Show", type="submit")),
        method="get",
        action="/costs",
        class_="filter",
    )


def _sum(total: Total) -> tuple[Child, ...]:
    left: Child = ""
    if total.left is not None:
        left = (
            h("span", money(total.left), class_="status bad")
            if total.left < 0
            else money(total.left)
        )
    return (
        total.month,
        total.profile or h("strong", "in all"),
        money(total.reserved),
        money(total.spent),
        "no limit" if total.budget is None else money(total.budget),
        left,
        f"{total.unpriced} unpriced besides" if total.unpriced else "",
    )


def _row(line: Line) -> tuple[Child, ...]:
    billed = "unpriced" if line.unpriced else "" if line.actual is None else money(line.actual)
    return (
        line.month,
        line.profile,
        str(line.purpose),
        job_link(line.job_id),
        clipped(line.subject, 120),
        line.state,
        money(line.reserved) if line.reserved else "",
        billed,
        clipped(line.note, 200),
    )
