"""What a job costs and brings, from measured tokens, dated prices and a person's numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domain import cost
from orchestrator.domain.model_names import is_tuned
from orchestrator.domain.prices import Amount, Price, stale

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from orchestrator.domain.comparison import ArmResult, Comparison
    from orchestrator.domain.job import Job
    from orchestrator.domain.prices import PriceBook

# Kinds of providers that run on a machine of one's own: no bill comes, the machine costs.
SELF_HOSTED = frozenset({"peft", "simulator"})
FREE = SELF_HOSTED | {"classical"}
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


@dataclass(frozen=True, kw_only=True)
class Purse:
    """What costs are computed from.

    Attributes:
        job: that trained the candidate; None where nothing was trained.
        tokens: of one pass over the training split; None when not counted.
        retires: the day from which on the candidate no longer answers; None when not known.
        numbers: what a person gave, by name.
        policy: thresholds of the checklist.
    """

    job: Job | None
    comparison: Comparison | None
    tokens: int | None
    book: PriceBook
    retires: date | None
    numbers: Mapping[str, float]
    policy: Mapping[str, float]
    today: date

    @property
    def candidate(self) -> ArmResult | None:
        """The arm that is to prove itself."""
        return self.comparison.arm(self.comparison.best.candidate) if self.comparison else None

    @property
    def hosted_by(self) -> str:
        """The kind of provider that serves the candidate; empty when it is not known."""
        if self.job is not None:
            return self.job.kind
        return self.candidate.kind if self.candidate else ""

    @property
    def served(self) -> str:
        """The candidate as the price file names it."""
        if self.job is not None:
            return f"ft:{self.job.model}"
        arm = self.candidate
        return (arm.priced_as or arm.model) if arm else ""


def costs_of(purse: Purse) -> Costs:
    """Every line, and the scenario when nothing that it needs is missing."""
    training, evaluation = _training(purse), _evaluation(purse)
    arms = [ArmCost(arm.name, _request(purse, arm)) for arm in _arms(purse)]
    hosting, effort, horizon = _hosting(purse), _effort(purse), _horizon(purse)
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
    )


def training_hours(job: Job) -> float | None:
    """Wall time between sending the job and its end, in hours."""
    if job.sent_at is None or job.finished_at is None:
        return None
    return max(0.0, (job.finished_at - job.sent_at).total_seconds()) / 3600


def _training(purse: Purse) -> Amount:
    job = purse.job
    if job is None:
        return Amount(0.0, "nothing was trained")
    if job.kind in SELF_HOSTED:
        hours, rate = training_hours(job), purse.numbers.get("gpu_hour")
        if hours is None:
            return Amount(None, "unpriced: the job has no measured end")
        measured = f"{3600 * hours:,.0f} s on a machine of one's own"
        if rate is None:
            return Amount(None, f"unpriced: {measured}; gpu_hour is not given")
        return Amount(hours * rate, f"{measured} at ${rate:g} an hour")
    if job.trained_tokens is not None:
        return purse.book.training_cost(
            provider=job.kind, model=job.model, tokens=job.trained_tokens
        )
    return purse.book.training_cost(
        provider=job.kind,
        model=job.model,
        tokens=purse.tokens,
        epochs=job.hyperparameters.n_epochs or 1,
    )


def _evaluation(purse: Purse) -> Amount:
    arms = [(arm.answers or arm.n, _request(purse, arm)) for arm in _arms(purse)]
    if not arms:
        return Amount(None, "unpriced: nothing was compared yet")
    if any(amount.usd is None for _, amount in arms):
        return Amount(None, "unpriced: an arm has no token price")
    usd = sum(n * (amount.usd or 0.0) for n, amount in arms)
    return Amount(usd, f"{sum(n for n, _ in arms):,} answers")


def _request(purse: Purse, arm: ArmResult) -> Amount:
    job = purse.job
    kind = arm.kind or (job.kind if job else "")
    if kind in FREE:
        return Amount(0.0, "no bill: it answers on a machine of one's own")
    model = arm.priced_as or arm.model
    if job and arm.candidate and kind == job.kind and not model.startswith("ft:"):
        model = f"ft:{job.model}"
    return purse.book.request_cost(
        provider=kind,
        model=model,
        prompt=arm.prompt_tokens,
        cached=arm.cached_tokens,
        completion=arm.completion_tokens,
    )


def _hosting(purse: Purse) -> Amount:
    if purse.hosted_by in SELF_HOSTED:
        gpus, rate = purse.numbers.get("serving_gpus"), purse.numbers.get("gpu_hour")
        if gpus == 0:
            return Amount(0.0, "the machine runs anyway")
        if rate is None or gpus is None:
            return Amount(None, "unpriced: gpu_hour and serving_gpus are not both given")
        usd = cost.gpu_month(rate, gpus=int(gpus))
        return Amount(usd, f"{gpus:g} machine(s), {cost.HOURS_A_MONTH} h at ${rate:g}")
    if not is_tuned(purse.served):
        return Amount(0.0, "no hosting fee: it is billed by token")
    hour = purse.book.hosting(provider=purse.hosted_by, model=purse.served)
    if hour.usd is None:
        return hour
    return Amount(hour.usd * cost.HOURS_A_MONTH, hour.note, hour.prices)


def _effort(purse: Purse) -> Amount:
    hours, rate = purse.numbers.get("effort_hours"), purse.numbers.get("hourly_rate")
    if hours is None or rate is None:
        return Amount(None, "effort_hours and hourly_rate are not both given")
    return Amount(hours * rate, f"{hours:g} h at ${rate:g}")


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
        retrain=_training(purse).usd or 0.0,
    )


def _ranges(purse: Purse, scenario: cost.Scenario) -> dict[str, tuple[float, float]]:
    numbers = purse.numbers
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
    }
    return {name: ends for name, ends in ranges.items() if ends[0] != ends[1]}


def _arms(purse: Purse) -> Sequence[ArmResult]:
    return purse.comparison.arms if purse.comparison else ()
