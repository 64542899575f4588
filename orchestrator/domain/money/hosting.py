"""Hosting by the hour: what a deployed model costs, used or not, month by month."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domain.money.usd import dollars, micros

if TYPE_CHECKING:
    from collections.abc import Iterator


class Hosted(NamedTuple):
    """A model that stood, or stands.

    Attributes:
        profile: who is billed.
        name: of the deployment, for people.
        started: when its hours began.
        ended: when they ended; None while it stands.
        hour: micro-dollars an hour; None is unpriced.
    """

    profile: str
    job_id: str | None
    name: str
    started: datetime
    ended: datetime | None
    hour: int | None


class MonthHosted(NamedTuple):
    """One deployment in one UTC month; `micros` is None where its hour has no price."""

    month: str
    hours: Decimal
    micros: int | None


def by_month(hosted: Hosted, now: datetime) -> Iterator[MonthHosted]:
    """Its hours in each month, until now, and what they come to."""
    for month, hours in hours_by_month(hosted.started, min(hosted.ended or now, now)):
        usd = None if hosted.hour is None else micros(hours * dollars(hosted.hour))
        yield MonthHosted(month, hours, usd)


def hours_by_month(start: datetime, end: datetime) -> Iterator[tuple[str, Decimal]]:
    """The hours from start to end in each calendar month of UTC, exact to the microsecond.

    Yields:
        ("2026-11", Decimal("61.5")), oldest first.
    """
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    while start < end:
        until = min(end, _next_month(start))
        yield f"{start:%Y-%m}", Decimal((until - start) // timedelta(microseconds=1)) / _HOUR
        start = until


_HOUR = 3_600_000_000


def _next_month(at: datetime) -> datetime:
    year, month = (at.year + 1, 1) if at.month == 12 else (at.year, at.month + 1)
    return datetime(year, month, 1, tzinfo=UTC)
