"""The money of a report as plain values, as `schemas/report.schema.json` describes them."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from orchestrator.domain.money import cost

if TYPE_CHECKING:
    from orchestrator.domain.money.economics import Costs
    from orchestrator.domain.money.prices import Price


def costs_json(costs: Costs) -> dict[str, Any]:
    """Every line, the scenario, what follows from it, and the prices that were used."""
    return {
        "currency": "USD",
        "training": {"usd": costs.training.usd, "note": costs.training.note},
        "evaluation": {"usd": costs.evaluation.usd, "note": costs.evaluation.note},
        "hosting_month": {"usd": costs.hosting.usd, "note": costs.hosting.note},
        "effort": {"usd": costs.effort.usd, "note": costs.effort.note},
        "arms": [
            {
                "name": arm.arm,
                "usd_per_1000": None if arm.request.usd is None else 1000 * arm.request.usd,
                "note": arm.request.note,
            }
            for arm in costs.arms
        ],
        "scenario": asdict(costs.scenario) if costs.scenario else None,
        "business": asdict(costs.business) if costs.business else None,
        "balance": cost.cumulative(costs.scenario) if costs.scenario else [],
        "cumulative": _cumulative(costs.scenario),
        "tornado": [swing._asdict() for swing in costs.tornado],
        "assumptions": [each._asdict() for each in costs.assumptions],
        "missing": list(costs.missing),
        "unpriced": costs.unpriced,
        "horizon_months": costs.horizon,
        "retires": costs.retires.isoformat() if costs.retires else None,
        "prices": [_price(price, old=price in costs.old) for price in costs.used],
    }


def _cumulative(scenario: cost.Scenario | None) -> dict[str, list[float]]:
    """Money paid in all by month, errors of the baseline included, with the quality interval."""
    if scenario is None:
        return {}
    low, high = (replace(scenario, gain=g) for g in (scenario.gain_low, scenario.gain_high))
    baseline, candidate = cost.monthly_totals(scenario)
    return {
        "baseline": baseline,
        "baseline_low": cost.monthly_totals(low)[0],
        "baseline_high": cost.monthly_totals(high)[0],
        "candidate": candidate,
    }


def _price(price: Price, *, old: bool) -> dict[str, Any]:
    return {
        "provider": price.provider,
        "model": price.model,
        "kind": price.kind,
        "usd": price.usd,
        "unit": price.unit,
        "tier": price.tier,
        "source": price.who,
        "read_on": price.read_on.isoformat(),
        "older_than_60_days": old,
    }
