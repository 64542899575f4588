"""What a deployment costs: its SKU's tier, the price of an hour, and its hours, exact and dated."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.domain.money.cost import HOURS_A_MONTH
from orchestrator.domain.money.hosting import hours_by_month

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.domain.jobs.deployment import Deployment
    from orchestrator.domain.money.prices import PriceBook

_MICRO = Decimal(1_000_000)


class HostingCost(NamedTuple):
    """What a deployment came to.

    Attributes:
        hours: for which it stood, exact to the microsecond.
        hour: dollars an hour; None is unpriced.
        usd: dollars; None is unpriced, never nothing.
        note: the price row, in words.
    """

    hours: Decimal
    hour: Decimal | None
    usd: Decimal | None
    note: str


class Hour(NamedTuple):
    """What an hour costs: millionths of a dollar, or None where no price is known."""

    micros: int | None
    note: str

    @property
    def month(self) -> Decimal | None:
        """Dollars for a month of 730 hours in which nobody calls."""
        return None if self.micros is None else self.micros / _MICRO * HOURS_A_MONTH


class Tariff(NamedTuple):
    """What one SKU means for one model: its price, and when the host ends it by itself."""

    sku: str
    hour: Hour
    ends_after: timedelta | None


@dataclass(frozen=True, kw_only=True)
class Tier:
    """How a host bills one of its SKUs, and when it ends such a deployment by itself."""

    tier: str
    ends_after: timedelta | None


@dataclass(frozen=True, kw_only=True)
class Tiers:
    """Every SKU of one provider, of one dated file.

    Attributes:
        usual: the SKU taken when none is named.
        idle: the provider deletes what was not called for so long; None when it does not.
    """

    skus: Mapping[str, Tier]
    usual: str
    idle: timedelta | None
    source: str
    compiled: date

    @classmethod
    def from_json(cls, plain: Mapping[str, Any], provider: str) -> Tiers:
        """Read what `schemas/hosting.schema.json` describes; no SKUs for an unknown provider."""
        found = plain["providers"].get(provider, {"skus": {}, "usual": "", "source": None})
        source = plain["sources"].get(found["source"], {"title": "not listed"})
        days = found.get("idle_days")
        return cls(
            skus={
                name: Tier(tier=row["tier"], ends_after=_hours(row["ends_after_hours"]))
                for name, row in found["skus"].items()
            },
            usual=found["usual"],
            idle=None if days is None else timedelta(days=days),
            source=source["title"],
            compiled=date.fromisoformat(plain["compiled"]),
        )

    def named(self, sku: str) -> tuple[str, Tier | None]:
        """The SKU as it is written in the file, whatever its case, and what is known of it."""
        for name, tier in self.skus.items():
            if name.lower() == sku.lower():
                return name, tier
        return sku, None


def hour_of(book: PriceBook, provider: str, base_model: str, tier: str | None) -> Hour:
    """What an hour of a deployment costs by the dated price file."""
    if tier is None:
        return Hour(None, "unpriced: the price file does not know this SKU")
    found = book.hosting(provider=provider, model=f"ft:{base_model}", tier=tier)
    if found.usd is None:
        return Hour(None, f"{found.note}, tier {tier}")
    row = found.prices[0]
    micros = int(Decimal(str(found.usd)) * _MICRO)
    return Hour(micros, f"${found.usd:.2f} an hour, {row.tier}, price of {row.read_on}")


def hosting_cost(deployment: Deployment, until: datetime) -> HostingCost:
    """What a deployment came to from its first hour to its end, or to `until`.

    Hours are counted from when the host says it was made, so they may exceed the bill by the
    minutes of its making, and never fall below it.
    """
    hours = sum(hosting_hours(deployment, until).values(), Decimal(0))
    return cost_of(deployment, hours)


def cost_of(deployment: Deployment, hours: Decimal) -> HostingCost:
    """So many hours at the deployment's price."""
    micros = deployment.hour_micros
    hour = None if micros is None else micros / _MICRO
    usd = None if hour is None else hours * hour
    return HostingCost(hours, hour, usd, deployment.price_note)


def hosting_hours(deployment: Deployment, until: datetime) -> dict[str, Decimal]:
    """Hours it stood by calendar month (UTC), oldest first: `{"2026-11": Decimal("61.5")}`."""
    start = deployment.started_at
    end = min(deployment.ended_at or until, until)
    return dict(hours_by_month(start, end)) if start else {}


def _hours(count: int | None) -> timedelta | None:
    return None if count is None else timedelta(hours=count)
