"""Hosting by the hour: what a deployed model costs, used or not, month by month."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple, Protocol

from orchestrator.domain.usd import dollars, micros

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


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


class HostingHours(Protocol):
    """Who knows what stood."""

    def hosted(self) -> Sequence[Hosted]:
        """Everything that ever stood, oldest first."""
        ...


class MonthHosted(NamedTuple):
    """One deployment in one UTC month; `micros` is None where its hour has no price."""

    month: str
    hours: Decimal
    micros: int | None


def by_month(hosted: Hosted, now: datetime) -> Iterator[MonthHosted]:
    """Its hours in each month, until now."""
    end = min(hosted.ended or now, now)
    start = hosted.started
    while start < end:
        until = min(end, _next_month(start))
        hours = Decimal((until - start) // timedelta(microseconds=1)) / 3_600_000_000
        usd = None if hosted.hour is None else micros(hours * dollars(hosted.hour))
        yield MonthHosted(f"{start:%Y-%m}", hours, usd)
        start = until


def _next_month(at: datetime) -> datetime:
    year, month = (at.year + 1, 1) if at.month == 12 else (at.year, at.month + 1)
    return datetime(year, month, 1, tzinfo=UTC)
