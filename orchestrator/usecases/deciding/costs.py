"""One ledger of money: training, evaluation and hosting, by profile, month and job."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.domain.money.hosting import by_month
from orchestrator.domain.money.spending import Purpose, SpendingState
from orchestrator.domain.money.usd import usd_json
from orchestrator.reports.words import spreadsheet

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from orchestrator.domain.money.hosting import Hosted
    from orchestrator.domain.money.spending import Budgets, Spending

STANDING = "standing"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One amount, in micro-dollars; None is not known, never nothing.

    Attributes:
        state: of a spending; of hosting: actual, or standing while its hours go on.
        unpriced: whether money may flow here that no price tells.
    """

    month: str
    purpose: Purpose
    profile: str
    job_id: str | None
    subject: str
    state: str
    reserved: int
    estimate: int | None
    actual: int | None
    error_percent: float | None
    unpriced: bool
    note: str


@dataclass(frozen=True, kw_only=True)
class Total:
    """What a month came to for a profile, or for all of them where it is None.

    Attributes:
        actual: what was billed, by purpose, of what has a price.
        budget: None for no limit; `left` of it.
        unpriced: lines that no amount here holds.
    """

    month: str
    profile: str | None
    reserved: int
    actual: dict[Purpose, int]
    budget: int | None
    unpriced: int

    @property
    def spent(self) -> int:
        """Everything that was billed."""
        return sum(self.actual.values())

    @property
    def left(self) -> int | None:
        """What may still be reserved; below zero when more was billed than planned."""
        return None if self.budget is None else self.budget - self.spent - self.reserved


@dataclass(frozen=True, kw_only=True)
class Statement:
    """Lines, and what they add up to."""

    lines: Sequence[Line]
    totals: Sequence[Total]

    def as_json(self) -> dict[str, Any]:
        """What `costs --json` prints; described in schemas/costs.schema.json."""
        return {
            "totals": [_total_json(total) for total in self.totals],
            "lines": [_line_json(line) for line in self.lines],
        }


def statement(
    spendings: Iterable[Spending],
    hosted: Iterable[Hosted],
    budgets: Budgets,
    now: datetime,
    *,
    month: str | None = None,
    profile: str | None = None,
) -> Statement:
    """Everything that was spent.

    Args:
        spendings: of all profiles; the overall budget needs them all.
        hosted: what stood, and stands.
        budgets: what may be spent in a month.
        now: until when hosting is counted.
        month: only this one, as 2026-11; all when None.
        profile: only this one.
    """
    lines = [_of_spending(each) for each in spendings] + _of_hosting(hosted, now)
    lines = [line for line in lines if month in {None, line.month}]
    lines.sort(key=lambda line: (line.month, line.profile, line.purpose, line.job_id or ""))
    totals = _totals(lines, budgets, month)
    return Statement(
        lines=[line for line in lines if profile in {None, line.profile}],
        totals=[total for total in totals if profile in {None, total.profile}],
    )


def to_csv(lines: Sequence[Line]) -> str:
    """The lines for a spreadsheet; a text that would be a formula is quoted as text."""
    return spreadsheet(_COLUMNS, [list(_line_json(line).values()) for line in lines])


def _of_spending(spending: Spending) -> Line:
    known = spending.state in {SpendingState.ACTUAL, SpendingState.RELEASED}
    return Line(
        month=spending.month,
        purpose=spending.purpose,
        profile=spending.profile,
        job_id=spending.job_id,
        subject=spending.subject,
        state=str(spending.state),
        reserved=0 if known else spending.counted,
        estimate=spending.estimate,
        actual=spending.counted if known else None,
        error_percent=spending.error_percent,
        unpriced=spending.is_unpriced,
        note="; ".join(filter(None, (spending.note, spending.error_words))),
    )


def _of_hosting(hosted: Iterable[Hosted], now: datetime) -> list[Line]:
    return [
        Line(
            month=part.month,
            purpose=Purpose.HOSTING,
            profile=each.profile,
            job_id=each.job_id,
            subject=each.name,
            state=STANDING if each.ended is None else str(SpendingState.ACTUAL),
            reserved=0,
            estimate=None,
            actual=part.micros,
            error_percent=None,
            unpriced=part.micros is None,
            note=f"{part.hours:,.2f} hours",
        )
        for each in hosted
        for part in by_month(each, now)
    ]


def _totals(lines: Sequence[Line], budgets: Budgets, month: str | None) -> list[Total]:
    """By month and profile, then each month in all; budgets without a line are told, too."""
    found: dict[tuple[str, str], list[Line]] = defaultdict(list)
    for line in lines:
        found[line.month, line.profile].append(line)
    months = sorted({line.month for line in lines} | ({month} if month else set()))
    for each in months:
        for name in budgets.by_profile:
            found.setdefault((each, name), [])
    totals = [
        _total(when, name, some, budgets.by_profile.get(name))
        for (when, name), some in sorted(found.items())
    ]
    for each in months:
        some = [line for line in lines if line.month == each]
        totals.append(_total(each, None, some, budgets.overall))
    return totals


def _total(month: str, profile: str | None, lines: Sequence[Line], budget: int | None) -> Total:
    actual: dict[Purpose, int] = dict.fromkeys(Purpose, 0)
    for line in lines:
        actual[line.purpose] += line.actual or 0
    return Total(
        month=month,
        profile=profile,
        reserved=sum(line.reserved for line in lines),
        actual=actual,
        budget=budget,
        unpriced=sum(line.unpriced for line in lines),
    )


def _total_json(total: Total) -> dict[str, Any]:
    return {
        "month": total.month,
        "provider": total.profile,
        "reserved_usd": usd_json(total.reserved),
        "actual_usd": usd_json(total.spent),
        **{f"{purpose}_usd": usd_json(usd) for purpose, usd in total.actual.items()},
        "budget_usd": usd_json(total.budget),
        "left_usd": usd_json(total.left),
        "unpriced": total.unpriced,
    }


_COLUMNS = (
    "month",
    "provider",
    "purpose",
    "job",
    "subject",
    "state",
    "reserved_usd",
    "estimate_usd",
    "actual_usd",
    "estimate_error_percent",
    "unpriced",
    "note",
)


def _line_json(line: Line) -> dict[str, Any]:
    values = (
        line.month,
        line.profile,
        str(line.purpose),
        line.job_id,
        line.subject,
        line.state,
        usd_json(line.reserved),
        usd_json(line.estimate),
        usd_json(line.actual),
        line.error_percent,
        line.unpriced,
        line.note,
    )
    return dict(zip(_COLUMNS, values, strict=True))
