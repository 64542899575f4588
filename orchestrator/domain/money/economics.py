"""What a job costs and brings, from measured tokens, dated prices and a person's numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domain.money import bill, cost
from orchestrator.domain.money.assumptions import Assumption, assumptions
from orchestrator.domain.money.prices import Amount, Price, stale

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from orchestrator.domain.comparing.comparison import Comparison
    from orchestrator.domain.money.bill import Purse

# Share of a prompt that a long, fixed beginning brings into a provider's cache.
_CACHED_AT_BEST = 0.8
_NEEDED = ("requests_per_month", "error_cost", "effort_hours", "hourly_rate")
_DAYS_A_MONTH = 365.25 / 12


class ArmCost(NamedTuple):
    """What one request to an arm costs."""

    arm: str
    request: Amount


@dataclass(frozen=True, kw_only=True)
class Costs:
    """All the money of a report; None is unpriced or not asked yet, never nothing.

    Attributes:
        training: what the job billed, or its hours on a machine of one's own.
        evaluation: what the comparison billed.
        arms: what one request to each arm costs.
        hosting: what the tuned model costs a month before the first request.
        effort: people's time, once.
        scenario: candidate against its best baseline; None while a number is missing.
        missing: numbers and prices without which there is no scenario.
        used: the price rows that were used; `old` those read more than 60 days ago.
        assumptions: every number that goes in, and whose it is.
        horizon: months that are counted, ended by the model's retirement.
    """

    training: Amount
    evaluation: Amount
    arms: Sequence[ArmCost]
    hosting: Amount
    effort: Amount
    scenario: cost.Scenario | None
    business: cost.Business | None
    tornado: Sequence[cost.Swing]
    missing: Sequence[str]
    used: Sequence[Price]
    old: Sequence[Price]
    horizon: int
    retires: date | None
    assumptions: Sequence[Assumption] = ()

    @property
    def unpriced(self) -> list[str]:
        """The lines without a price."""
        lines = {
            "training": self.training,
            "evaluation": self.evaluation,
            "hosting": self.hosting,
            **{f"requests of {arm.arm}": arm.request for arm in self.arms},
        }
        return [name for name, amount in lines.items() if amount.usd is None]


def costs_of(purse: Purse) -> Costs:
    """Every line, and the scenario when nothing that it needs is missing."""
    training, evaluation = bill.training(purse), bill.evaluation(purse)
    arms = [ArmCost(arm.name, bill.request(purse, arm)) for arm in bill.arms_of(purse)]
    hosting, effort, horizon = bill.hosting(purse), bill.effort(purse), _horizon(purse)
    missing = _missing(purse, [training, evaluation, hosting, *(arm.request for arm in arms)])
    scenario = None
    if not missing and purse.comparison is not None:
        once = sum(amount.usd or 0.0 for amount in (training, evaluation, effort))
        scenario = _scenario(
            purse,
            purse.comparison,
            arms,
            one_time=once,
            hosting=hosting.usd or 0.0,
            horizon=horizon,
        )
    lines = [training, evaluation, hosting, *(arm.request for arm in arms)]
    used = list(dict.fromkeys(price for amount in lines for price in amount.prices))
    months = int(purse.policy["payback_months"])
    return Costs(
        training=training,
        evaluation=evaluation,
        arms=arms,
        hosting=hosting,
        effort=effort,
        scenario=scenario,
        business=cost.business(scenario, months) if scenario else None,
        tornado=cost.tornado(scenario, _ranges(purse, scenario)) if scenario else (),
        missing=missing,
        used=used,
        old=stale(used, purse.today),
        horizon=horizon,
        retires=purse.retires,
        assumptions=assumptions(
            purse.numbers, purse.policy, purse.comparison, horizon, retires=purse.retires
        ),
    )


def _horizon(purse: Purse) -> int:
    months = int(purse.numbers.get("horizon_months", purse.policy["horizon_months"]))
    if purse.retires is None:
        return months
    return max(0, min(months, int((purse.retires - purse.today).days / _DAYS_A_MONTH)))


def _missing(purse: Purse, amounts: Sequence[Amount]) -> list[str]:
    absent = [name for name in _NEEDED if name not in purse.numbers]
    if purse.comparison is None:
        absent.append("a comparison")
    notes = [amount.note for amount in amounts if amount.usd is None]
    return absent + list(dict.fromkeys(notes))


def _scenario(
    purse: Purse,
    comparison: Comparison,
    arms: Sequence[ArmCost],
    *,
    one_time: float,
    hosting: float,
    horizon: int,
) -> cost.Scenario:
    found, numbers = comparison.best, purse.numbers
    requests = {arm.arm: arm.request.usd or 0.0 for arm in arms}
    upkeep = numbers.get("upkeep_hours_per_month", 0.0) * numbers["hourly_rate"]
    return cost.Scenario(
        one_time=one_time,
        volume=numbers["requests_per_month"],
        baseline_request=requests[found.baseline],
        candidate_request=requests[found.candidate],
        fixed=hosting,
        upkeep=upkeep,
        gain=found.diff,
        gain_low=found.low,
        gain_high=found.high,
        error_cost=numbers["error_cost"],
        months=horizon,
        yearly_rate=purse.policy["yearly_rate"],
        retrain_every=int(numbers.get("retrain_every_months", 0)),
        retrain=numbers.get("retrain_cost", bill.training(purse).usd or 0.0),
    )


def _ranges(purse: Purse, scenario: cost.Scenario) -> dict[str, tuple[float, float]]:
    numbers, every = purse.numbers, scenario.retrain_every
    ranges = {
        "error_cost": (
            numbers.get("error_cost_low", scenario.error_cost / 2),
            numbers.get("error_cost_high", scenario.error_cost * 1.5),
        ),
        "gain": (scenario.gain_low, scenario.gain_high),
        "volume": (
            numbers.get("requests_low", scenario.volume / 2),
            numbers.get("requests_high", scenario.volume * 1.5),
        ),
        "upkeep": (scenario.upkeep * 2, scenario.upkeep / 2),
        "fixed": (scenario.fixed * 2, scenario.fixed / 2),
        "retrain_every": (max(1, every // 2), 2 * every) if every else (0, 0),
        "baseline_request": _cached_or_not(purse, scenario),
    }
    return {name: ends for name, ends in ranges.items() if ends[0] != ends[1]}


def _cached_or_not(purse: Purse, scenario: cost.Scenario) -> tuple[float, float]:
    """A request to the baseline with most of its prompt in the provider's cache, and with none."""
    usual = (scenario.baseline_request, scenario.baseline_request)
    if purse.comparison is None:
        return usual
    arm = purse.comparison.arm(purse.comparison.best.baseline)
    ends = [
        bill.request(replace(purse, numbers={**purse.numbers, "cache_hit_rate": rate}), arm).usd
        for rate in (_CACHED_AT_BEST, 0.0)
    ]
    return usual if ends[0] is None or ends[1] is None else (ends[0], ends[1])
