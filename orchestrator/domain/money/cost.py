"""Money: one-time, monthly, break-even, payback, net present value, and what moves them.

All amounts are US dollars; quality is a proportion of right answers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import NamedTuple

HOURS_A_MONTH = 730
# OpenAI's cookbook, "Data preparation and analysis for chat model fine-tuning".
_EPOCHS, _MOST_EPOCHS, _FEWEST_EXAMPLES, _MOST_EXAMPLES = 3, 25, 100, 25_000
# A 95 % interval is this many standard errors wide.
_WIDTH = 3.92


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What a month looks like, candidate against its best baseline.

    Attributes:
        one_time: everything spent once: effort, training, evaluation.
        volume: requests a month.
        baseline_request: cost of one request to the baseline.
        candidate_request: cost of one request to the candidate.
        fixed: hosting or GPU of the candidate a month, used or not.
        upkeep: people's time on the candidate a month.
        gain: paired difference in quality; `gain_low` and `gain_high` its 95 % interval.
        error_cost: what one wrong answer costs.
        months: horizon, ended by the model's retirement.
        yearly_rate: for discounting.
        retrain_every: months between retrainings, 0 for never; `retrain` what one costs.
    """

    one_time: float
    volume: float
    baseline_request: float
    candidate_request: float
    fixed: float
    upkeep: float
    gain: float
    gain_low: float
    gain_high: float
    error_cost: float
    months: int = 12
    yearly_rate: float = 0.10
    retrain_every: int = 0
    retrain: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Business:
    """What follows from a scenario.

    Attributes:
        benefit: dollars a month, all told.
        saving: the part of it that is not quality.
        payback: months until the one-time cost is back; None when never.
        npv: net present value over the horizon.
        break_even_volume: requests a month from which it pays; None when it never does.
        break_even_volume_cost_only: the same with quality left out.
        break_even_error_cost: what a wrong answer must cost for the month to break even.
        retrainings: how often the model is trained again before the horizon ends.
        payback_chance: chance that the payback lies within the horizon, from the quality interval.
    """

    baseline_month: float
    candidate_month: float
    errors_avoided: float
    benefit: float
    saving: float
    payback: float | None
    npv: float
    break_even_volume: float | None
    break_even_volume_cost_only: float | None
    break_even_error_cost: float | None
    payback_chance: float
    retrainings: int = 0


class Swing(NamedTuple):
    """What one input does to the net present value when it alone moves."""

    name: str
    low: str
    high: str
    npv_low: float
    npv_high: float

    @property
    def size(self) -> float:
        """How far it moves the value."""
        return abs(self.npv_high - self.npv_low)


def business(scenario: Scenario, payback_months: int = 12) -> Business:
    """Everything a decision needs, from one scenario."""
    baseline = scenario.volume * scenario.baseline_request
    running = scenario.fixed + scenario.upkeep + _retraining(scenario)
    candidate = scenario.volume * scenario.candidate_request + running
    avoided = scenario.volume * scenario.gain
    saving = baseline - candidate
    benefit = saving + avoided * scenario.error_cost
    per_request = scenario.baseline_request - scenario.candidate_request
    worth = scenario.gain * scenario.error_cost
    return Business(
        baseline_month=baseline,
        candidate_month=candidate,
        errors_avoided=avoided,
        benefit=benefit,
        saving=saving,
        payback=scenario.one_time / benefit if benefit > 0 else None,
        npv=net_present_value(scenario),
        break_even_volume=_ratio(running, worth + per_request),
        break_even_volume_cost_only=_ratio(running, per_request),
        break_even_error_cost=_ratio(running - scenario.volume * per_request, avoided),
        payback_chance=payback_chance(scenario, payback_months),
        retrainings=len(_retrained_in(scenario)),
    )


def monthly_rate(yearly: float) -> float:
    """The monthly rate that compounds to the yearly one."""
    return float((1 + yearly) ** (1 / 12) - 1)


def net_present_value(scenario: Scenario) -> float:
    """Benefits of every month of the horizon, discounted, less what is spent once.

    Retraining is paid in the months it falls into, and not in the last one, after which nothing
    would come of it.
    """
    rate, benefit = monthly_rate(scenario.yearly_rate), _benefit(scenario) + _retraining(scenario)
    again = sum(scenario.retrain / (1 + rate) ** month for month in _retrained_in(scenario))
    return (
        -scenario.one_time
        - again
        + sum(benefit / (1 + rate) ** month for month in range(1, scenario.months + 1))
    )


def cumulative(scenario: Scenario) -> list[float]:
    """Undiscounted balance after each month, from month 0."""
    benefit, due = _benefit(scenario) + _retraining(scenario), _retrained_in(scenario)
    balance = [-scenario.one_time]
    for month in range(1, scenario.months + 1):
        balance.append(balance[-1] + benefit - (scenario.retrain if month in due else 0.0))
    return balance


def monthly_totals(scenario: Scenario) -> tuple[list[float], list[float]]:
    """What was paid in all after each month: with the baseline, and with the candidate.

    The errors that only the candidate avoids are counted as a cost of the baseline.
    """
    found = business(scenario)
    baseline = found.baseline_month + found.errors_avoided * scenario.error_cost
    months = range(scenario.months + 1)
    return (
        [baseline * month for month in months],
        [scenario.one_time + found.candidate_month * month for month in months],
    )


def payback_chance(scenario: Scenario, months: int) -> float:
    """Chance that the one-time cost is back within `months`; only quality is uncertain here.

    A model that retires earlier pays nothing back after that: the horizon ends the months, too.
    """
    months = min(months, scenario.months)
    if months < 1:
        return 0.0
    error = (scenario.gain_high - scenario.gain_low) / _WIDTH
    without = _benefit(replace(scenario, gain=0.0))
    needed = scenario.one_time / months - without
    value = scenario.volume * scenario.error_cost
    if value <= 0 or error <= 0:
        return float(without + value * scenario.gain >= scenario.one_time / months)
    return 1 - NormalDist(scenario.gain, error).cdf(needed / value)


def tornado(scenario: Scenario, ranges: dict[str, tuple[float, float]]) -> list[Swing]:
    """The net present value at both ends of each input, widest first.

    Args:
        scenario: the likely case.
        ranges: name of a field of the scenario to its low and high.
    """
    swings = []
    for name, (low, high) in ranges.items():
        ends = [net_present_value(replace(scenario, **{name: end})) for end in (low, high)]  # type: ignore[arg-type]
        swings.append(Swing(name, f"{low:g}", f"{high:g}", ends[0], ends[1]))
    return sorted(swings, key=lambda swing: (-swing.size, swing.name))


def gpu_month(usd_an_hour: float, gpus: int = 1, replicas: int = 1) -> float:
    """What rented GPUs cost a month, used or not."""
    return usd_an_hour * gpus * replicas * HOURS_A_MONTH


def default_epochs(rows: int) -> int:
    """Passes OpenAI chooses by itself: 3, more for under 34 rows, fewer for over 8,333."""
    return epochs_range(rows)[1]


def epochs_range(rows: int) -> tuple[int, int, int]:
    """Fewest, likely and most passes that OpenAI chooses by itself.

    Its cookbook aims at 3, wants 100 to 25,000 examples in all, and stays within 1 to 25 passes.
    """
    rows = max(rows, 1)
    fewest = min(_MOST_EPOCHS, -(-_FEWEST_EXAMPLES // rows))
    most = min(_MOST_EPOCHS, max(1, _MOST_EXAMPLES // rows))
    return fewest, min(max(_EPOCHS, fewest), most), most


def _benefit(scenario: Scenario) -> float:
    per_request = scenario.baseline_request - scenario.candidate_request
    worth = per_request + scenario.gain * scenario.error_cost
    return scenario.volume * worth - scenario.fixed - scenario.upkeep - _retraining(scenario)


def _retraining(scenario: Scenario) -> float:
    return scenario.retrain / scenario.retrain_every if scenario.retrain_every else 0.0


def _retrained_in(scenario: Scenario) -> range:
    every = scenario.retrain_every
    return range(every, scenario.months, every) if every > 0 else range(0)


def _ratio(above: float, below: float) -> float | None:
    return max(0.0, above / below) if below > 0 else None
