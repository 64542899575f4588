"""What the money rests on beside prices: every number, its value, and whose it is. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from orchestrator.domain.comparing.comparison import Comparison

# What holds when nobody says otherwise; None is asked for and never assumed.
_DEFAULTS: Mapping[str, float | None] = {
    "requests_per_month": None,
    "error_cost": None,
    "effort_hours": None,
    "hourly_rate": None,
    "upkeep_hours_per_month": 0.0,
    "retrain_every_months": 0.0,
    "batch_share": 0.0,
    "training_idle_hours": 0.0,
    "requests_at_once": 1.0,
}
_THRESHOLDS = ("yearly_rate", "payback_months")


class Assumption(NamedTuple):
    """A number, and where it comes from: answers, measured, assumed, checklist or retirement.

    Attributes:
        value: None when nobody gave it.
    """

    name: str
    value: float | None
    origin: str


def assumptions(
    numbers: Mapping[str, float],
    policy: Mapping[str, float],
    comparison: Comparison | None,
    horizon: int,
    *,
    retires: date | None,
) -> list[Assumption]:
    """Every number that goes into the money, in the order of the questions."""
    found = [_asked(name, default, numbers) for name, default in _DEFAULTS.items()]
    found += _cache(numbers, comparison)
    found.append(Assumption("horizon_months", horizon, _horizon(numbers, policy, horizon, retires)))
    found += [Assumption(name, policy[name], "checklist") for name in _THRESHOLDS]
    rest = sorted(set(numbers) - {each.name for each in found})
    return found + [Assumption(name, numbers[name], "answers") for name in rest]


def _asked(name: str, default: float | None, numbers: Mapping[str, float]) -> Assumption:
    if name in numbers:
        return Assumption(name, numbers[name], "answers")
    return Assumption(name, default, "not given" if default is None else "assumed")


def _cache(numbers: Mapping[str, float], comparison: Comparison | None) -> list[Assumption]:
    if "cache_hit_rate" in numbers:
        return [Assumption("cache_hit_rate", numbers["cache_hit_rate"], "answers")]
    arms = comparison.arms if comparison else ()
    return [
        Assumption(
            f"cache_hit_rate of {arm.name}",
            arm.cached_tokens / arm.prompt_tokens if arm.prompt_tokens else 0.0,
            "measured",
        )
        for arm in arms
    ]


def _horizon(
    numbers: Mapping[str, float], policy: Mapping[str, float], months: int, retires: date | None
) -> str:
    wanted = numbers.get("horizon_months", policy["horizon_months"])
    if retires is not None and months < int(wanted):
        return f"retirement on {retires}"
    return "answers" if "horizon_months" in numbers else "checklist"
