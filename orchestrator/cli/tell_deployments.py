"""How deployments are told: what each costs, since when, and the command that ends it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any

from orchestrator.cli.output import print_table
from orchestrator.domain.jobs.deployment import DeploymentState
from orchestrator.domain.money.tariff import HostingCost, hosting_cost, hosting_hours
from orchestrator.reports.words import age

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from orchestrator.domain.jobs.deployment import Deployment, DeploymentStore


@dataclass(frozen=True, kw_only=True)
class Told:
    """A deployment with what it came to."""

    deployment: Deployment
    cost: HostingCost
    last_call: datetime | None
    now: datetime


def told(deployments: Iterable[Deployment], store: DeploymentStore, now: datetime) -> list[Told]:
    """Deployments, priced and with their last call."""
    return [
        Told(
            deployment=each,
            cost=hosting_cost(each, now),
            last_call=store.last_call(each),
            now=now,
        )
        for each in deployments
    ]


def as_json(each: Told) -> dict[str, Any]:
    """What `deployments --json` prints for one; described in schemas/deployments.schema.json."""
    found, cost = each.deployment, each.cost
    return {
        "id": found.id,
        "job": found.job_id,
        "provider": found.provider,
        "name": found.name,
        "model": found.model,
        "sku": found.sku,
        "capacity": found.capacity,
        "state": str(found.state),
        "remote_state": found.remote_state,
        "error": {"message": found.error.message, "code": found.error.code}
        if found.error
        else None,
        "created_at": found.created_at.isoformat(),
        "started_at": _iso(found.started_at),
        "ends_at": _iso(found.ends_at),
        "ended_at": _iso(found.ended_at),
        "hours": float(round(cost.hours, 6)),
        "hours_by_month": {
            month: float(round(hours, 6)) for month, hours in hosting_hours(found, each.now).items()
        },
        "usd_per_hour": None if cost.hour is None else float(cost.hour),
        "usd": None if cost.usd is None else float(round(cost.usd, 6)),
        "price": cost.note,
        "last_call": _iso(each.last_call),
        "end": f"ftctl undeploy {found.id}" if _can_end(found) else None,
    }


def table(some: Iterable[Told]) -> None:
    """All of them, one line each."""
    print_table(
        ("DEPLOYMENT", "JOB", "STATE", "NAME", "SKU", "STANDS", "COST", "LAST CALL"),
        [
            (
                each.deployment.id,
                each.deployment.job_id,
                str(each.deployment.state),
                each.deployment.name,
                each.deployment.sku,
                _stands(each),
                money(each.cost),
                _call(each),
            )
            for each in some
        ],
    )


def warning(each: Told) -> str:
    """One line for what costs money, or may: since when, how much, last call, the end of it."""
    found = each.deployment
    if found.state is DeploymentState.SUCCEEDED and found.started_at is not None:
        since = f"since {found.started_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC ({_stands(each)})"
        ends = f"; ends by itself {_when(each)}" if found.ends_at else ""
        return (
            f"deployment {found.name} of job {found.job_id} stands {since}: {money(each.cost)} so"
            f" far, {_hourly(each.cost)}{ends}; {last_call(each)}; end it: ftctl undeploy {found.id}"
        )
    known = f" ({found.error.message})" if found.error else ""
    return (
        f"deployment {found.name} of job {found.job_id} is {found.state}{known}: it may be billed,"
        f" {_hourly(each.cost)}; ftctl sync asks, ftctl undeploy {found.id} ends it"
    )


def money(cost: HostingCost) -> str:
    """Dollars, or the word for not knowing."""
    return "unpriced" if cost.usd is None else f"${cost.usd:,.2f}"


def last_call(each: Told) -> str:
    """When it last answered us, as far as the ledger knows."""
    return (
        f"last call by ftctl {age(each.now - each.last_call)} ago"
        if each.last_call
        else "no call by ftctl"
    )


def is_waste(each: Told, idle_days: float) -> bool:
    """It costs, or may, and nobody called it for so many days."""
    found = each.deployment
    if not found.may_cost or found.hour_micros == 0:
        return False
    since = each.last_call or found.started_at or found.sent_at or found.created_at
    return (each.now - since).total_seconds() >= idle_days * 86400


def _hourly(cost: HostingCost) -> str:
    if cost.hour is None:
        return "at no known price"
    return f"${cost.hour:.2f} an hour, called or not" if cost.hour else "no fee by the hour"


def _call(each: Told) -> str:
    return f"{age(each.now - each.last_call)} ago" if each.last_call else "none by ftctl"


def _stands(each: Told) -> str:
    return f"{each.cost.hours:.1f} h" if each.deployment.started_at else ""


def _when(each: Told) -> str:
    assert each.deployment.ends_at is not None
    left = each.deployment.ends_at - each.now
    return f"in {age(left)}" if left.total_seconds() > 0 else "about now"


def _can_end(found: Deployment) -> bool:
    return found.state is not DeploymentState.DELETED


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
