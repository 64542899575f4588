"""What is spent: a reservation before anything is sent, an amount after, and the budgets.

A spending counts against the budgets of the UTC month in which it was reserved, for as much as it
may still come to: its reservation while that is open or unclear, then what was billed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from orchestrator.domain.errors import BudgetExceeded
from orchestrator.domain.jobs.job import JobStatus
from orchestrator.domain.money.usd import (
    decimal_of,
    exact_money,
    micros,
    micros_up,
    tokens_at,
    usd_json,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.money.prices import Price


class Purpose(StrEnum):
    """What money is spent on."""

    TRAINING = "training"
    EVALUATION = "evaluation"
    HOSTING = "hosting"


class SpendingState(StrEnum):
    """How far a spending is known. The comment says what counts against the budgets."""

    RESERVED = "reserved"  #: may still be spent: the reservation
    ACTUAL = "actual"  #: billed, by what the provider told and the dated price: that amount
    RELEASED = "released"  #: nothing was billed, and nothing will be: nothing
    UNCLEAR = "unclear"  #: it has ended, and nobody told what it came to: the reservation

    @property
    def is_open(self) -> bool:
        """Whether the amount is not known."""
        return self in {SpendingState.RESERVED, SpendingState.UNCLEAR}


@dataclass(frozen=True, kw_only=True)
class Rate:
    """The dated price that a spending is billed at, kept with it.

    Attributes:
        usd: a unit.
        unit: million_tokens or hour.
        tier: of the price file.
        source: where it was read, on `read_on`.
    """

    usd: Decimal
    unit: str
    tier: str = ""
    source: str = ""
    read_on: str = ""

    @classmethod
    def of(cls, price: Price) -> Rate:
        """The rate of a row of the price file."""
        return cls(
            usd=decimal_of(price.usd),
            unit=price.unit,
            tier=price.tier,
            source=price.who,
            read_on=price.read_on.isoformat(),
        )

    def as_json(self) -> dict[str, Any]:
        """As it is stored; the price as text, for JSON knows floats alone."""
        return {**self.__dict__, "usd": str(self.usd)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Rate:
        """The reverse."""
        return cls(**{**plain, "usd": Decimal(plain["usd"])})


@dataclass(frozen=True, kw_only=True)
class Spending:
    """One amount of the ledger, in micro-dollars; None is unpriced, never nothing.

    Attributes:
        profile: the account that pays.
        month: UTC, as 2026-11.
        job_id: the job that is trained or measured, if there is one.
        subject: what for, for people: a model, a test file.
        reserved: the most it may come to.
        estimate: what it was expected to come to.
        actual: what was billed; so far, while it is reserved.
        under_way: the most that calls may cost which died with their process.
        rate: the price of training.
        note: why it stands as it does.
    """

    id: str
    purpose: Purpose
    profile: str
    month: str
    created_at: datetime
    updated_at: datetime
    job_id: str | None = None
    subject: str = ""
    state: SpendingState = SpendingState.RESERVED
    reserved: int | None = None
    estimate: int | None = None
    actual: int | None = None
    under_way: int = 0
    rate: Rate | None = None
    note: str = ""

    @property
    def counted(self) -> int:
        """What it takes of the budgets."""
        if self.state.is_open:
            return max(self.reserved or 0, self.actual or 0)
        return self.actual or 0 if self.state is SpendingState.ACTUAL else 0

    @property
    def is_unpriced(self) -> bool:
        """Whether money may flow here that no price tells."""
        known = bool(self.reserved or self.actual) or not self.state.is_open
        return not known and (self.rate is None or self.reserved is None)

    @property
    def error_percent(self) -> float | None:
        """By how much the estimate was off; above zero it was too low."""
        if self.state is not SpendingState.ACTUAL or not self.estimate or self.actual is None:
            return None
        return 100 * (self.actual - self.estimate) / self.estimate

    @property
    def error_words(self) -> str:
        """The same for people; empty where it is not known."""
        off = self.error_percent
        if off is None:
            return ""
        return f"{abs(off):.1f} % {'over' if off > 0 else 'under'} the estimate"

    def as_json(self) -> dict[str, Any]:
        """The money of it, for scripts."""
        return {
            "state": str(self.state),
            "reserved_usd": usd_json(self.reserved) if self.state.is_open else 0.0,
            "estimate_usd": usd_json(self.estimate),
            "actual_usd": usd_json(self.actual) if self.state is SpendingState.ACTUAL else None,
            "estimate_error_percent": self.error_percent,
            "note": self.note,
        }


@dataclass(frozen=True, kw_only=True)
class Budgets:
    """What may be spent in a month, in micro-dollars.

    Attributes:
        overall: for everything; None for no limit.
        by_profile: for single profiles.
    """

    overall: int | None = None
    by_profile: Mapping[str, int] = field(default_factory=dict)

    def covers(self, profile: str) -> bool:
        """Whether spendings of that profile are limited."""
        return self.overall is not None or profile in self.by_profile

    def check(self, spending: Spending, taken: Mapping[str, int], before: int = 0) -> None:
        """Refuse what no longer fits.

        Args:
            spending: what is to be reserved.
            taken: what counts already in its month, by profile.
            before: what of that is this very spending's.

        Raises:
            BudgetExceeded: it does not fit.
        """
        wanted = spending.counted - before
        for limit in self._limits(spending.profile, taken):
            if wanted > 0 and limit.taken + wanted > limit.usd:
                raise BudgetExceeded(
                    f"The {limit.name} for {spending.month} is {exact_money(limit.usd)}, of which"
                    f" {exact_money(limit.taken)} are spent or reserved, and this may cost up to"
                    f" {exact_money(wanted)} more.",
                    hint=f"ftctl costs --month {spending.month} shows what took it;"
                    f" {limit.key} raises it",
                )

    def _limits(self, profile: str, taken: Mapping[str, int]) -> Iterator[_Limit]:
        own = self.by_profile.get(profile)
        if own is not None:
            key = f"budget_usd_per_month in [providers.{profile}]"
            yield _Limit(f"budget of '{profile}'", key, own, taken.get(profile, 0))
        if self.overall is not None:
            total = sum(taken.values())
            yield _Limit("overall budget", "usd_per_month in [budget]", self.overall, total)


class _Limit(NamedTuple):
    """One budget, where it is set, and what of it is gone."""

    name: str
    key: str
    usd: int
    taken: int


class Spendings(Protocol):
    """Where spendings are kept. Every method is one transaction."""

    def reserve(self, spending: Spending, budgets: Budgets) -> None:
        """Commit a reservation; the same one again, larger, replaces it.

        Raises:
            BudgetExceeded: it does not fit into what is left of the month.
        """
        ...

    def change(self, spending: Spending) -> None:
        """Write down how it stands."""
        ...

    def of_job(self, job_id: str) -> Sequence[Spending]:
        """Those of a job, oldest first."""
        ...

    def all(self, month: str | None = None, profile: str | None = None) -> Sequence[Spending]:
        """Those of a month and a profile, oldest first."""
        ...

    def open(self, purpose: Purpose) -> Sequence[Spending]:
        """Those that are still reserved, oldest first."""
        ...


def month_of(at: datetime) -> str:
    """The month of an aware UTC time, as 2026-11."""
    return f"{at:%Y-%m}"


def settled(spending: Spending, job: Job, at: datetime, *, trained: bool) -> Spending:
    """What a job that has ended came to.

    Work that was not done is not billed: neither a refused request, nor a job that failed or was
    cancelled before it trained. What nobody tells stays reserved.

    Args:
        spending: the reservation.
        job: at its end.
        at: when that is written down.
        trained: whether it was seen to train.
    """
    state, actual, note = _outcome(spending, job, trained=trained)
    after = replace(spending, state=state, actual=actual, note=note, updated_at=at)
    if state is SpendingState.UNCLEAR and spending.reserved is not None:
        return replace(after, reserved=_at_most(spending, job))
    return after


def abandoned(spending: Spending, at: datetime) -> Spending:
    """An evaluation whose process died: what it paid, and what calls under way may have cost."""
    paid = spending.actual or 0
    known = min(paid + spending.under_way, max(spending.reserved or 0, paid))
    note = "its process died; calls that were under way are counted at the most they can cost"
    state = SpendingState.ACTUAL if known else SpendingState.RELEASED
    return replace(spending, state=state, actual=known, note=note, updated_at=at)


def _outcome(
    spending: Spending, job: Job, *, trained: bool
) -> tuple[SpendingState, int | None, str]:
    if job.remote_id is None:
        return SpendingState.RELEASED, None, "the provider has no such job"
    rate = spending.rate
    if rate is not None and rate.unit == "hour" and spending.reserved == 0:
        usd = decimal_of(_hours(job)) * rate.usd
        return SpendingState.ACTUAL, micros(usd), "wall time on a machine of one's own"
    if rate is not None and rate.unit == "million_tokens" and job.trained_tokens is not None:
        usd = tokens_at(job.trained_tokens, rate.usd)
        return SpendingState.ACTUAL, micros(usd), f"{job.trained_tokens:,} trained tokens"
    if job.status is JobStatus.FAILED and not job.trained_tokens:
        return SpendingState.RELEASED, None, "failed work is not billed"
    if job.status is JobStatus.CANCELLED and not trained and not job.trained_tokens:
        return SpendingState.RELEASED, None, "cancelled before it trained"
    if rate is None:
        return SpendingState.UNCLEAR, None, spending.note or "unpriced"
    told = "hours" if rate.unit == "hour" else "tokens"
    return SpendingState.UNCLEAR, None, f"the provider does not tell the {told} it bills"


def _at_most(spending: Spending, job: Job) -> int | None:
    """By the hour, wall time bounds the bill."""
    if spending.rate is None or spending.rate.unit != "hour" or spending.reserved is None:
        return spending.reserved
    return min(spending.reserved, micros_up(decimal_of(_hours(job)) * spending.rate.usd))


def _hours(job: Job) -> Decimal:
    if job.sent_at is None or job.finished_at is None:
        return Decimal(0)
    return max(Decimal(0), decimal_of((job.finished_at - job.sent_at).total_seconds()) / 3600)
