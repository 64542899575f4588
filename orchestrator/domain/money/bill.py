"""The lines of the money: training, evaluation, requests, hosting, effort. None is unpriced."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domain.jobs.model_names import is_tuned
from orchestrator.domain.money import cost
from orchestrator.domain.money.prices import Amount

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from orchestrator.domain.comparing.comparison import ArmResult, Comparison
    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.money.prices import PriceBook

# Kinds of providers that run on a machine of one's own: no bill comes, the machine costs.
SELF_HOSTED = frozenset({"peft", "simulator"})
FREE = SELF_HOSTED | {"classical"}


class Serving(NamedTuple):
    """How a tuned model is deployed, or was when it last was.

    Attributes:
        name: of the deployment; `sku` in the host's word.
        tier: of the price file; None when it does not know that SKU.
        ends_after: hours after which the host ends it by itself; None when it does not.
    """

    name: str
    sku: str
    tier: str | None
    ends_after: float | None = None


@dataclass(frozen=True, kw_only=True)
class Purse:
    """What costs are computed from.

    Attributes:
        job: that trained the candidate; None where nothing was trained.
        tokens: of one pass over the training split; None when not counted.
        retires: the day from which on the candidate no longer answers; None when not known.
        numbers: what a person gave, by name.
        policy: thresholds of the checklist.
        serving: how the candidate is deployed; None where nobody deployed it, or nobody needs to.
    """

    job: Job | None
    comparison: Comparison | None
    tokens: int | None
    book: PriceBook
    retires: date | None
    numbers: Mapping[str, float]
    policy: Mapping[str, float]
    today: date
    serving: Serving | None = None

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


def training(purse: Purse) -> Amount:
    """What training billed, or its hours on a machine of one's own."""
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
        idle = purse.numbers.get("training_idle_hours", 0.0)
        stood = f" and {idle:g} h idle" if idle else ""
        return Amount((hours + idle) * rate, f"{measured}{stood} at ${rate:g} an hour")
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


def evaluation(purse: Purse) -> Amount:
    """What the answers of the comparison cost, as they were measured."""
    # What was paid is paid as it was measured, whatever is planned for later.
    measured = replace(purse, numbers={})
    arms = [(arm.answers or arm.n, request(measured, arm)) for arm in arms_of(purse)]
    if not arms:
        return Amount(None, "unpriced: nothing was compared yet")
    if any(amount.usd is None for _, amount in arms):
        return Amount(None, "unpriced: an arm has no token price")
    usd = sum(n * (amount.usd or 0.0) for n, amount in arms)
    return Amount(usd, f"{sum(n for n, _ in arms):,} answers")


def request(purse: Purse, arm: ArmResult) -> Amount:
    """What one request to an arm costs, as it is planned."""
    job = purse.job
    kind = arm.kind or (job.kind if job else "")
    if kind in FREE:
        return Amount(0.0, "no bill: it answers on a machine of one's own")
    model = arm.priced_as or arm.model
    if job and arm.candidate and kind == job.kind and not model.startswith("ft:"):
        model = f"ft:{job.model}"
    rate = purse.numbers.get("cache_hit_rate")
    cached = arm.cached_tokens if rate is None else rate * arm.prompt_tokens
    return _in_batches(purse, kind, model, (arm.prompt_tokens, cached, arm.completion_tokens))


def _in_batches(purse: Purse, kind: str, model: str, tokens: tuple[float, float, float]) -> Amount:
    """One request, of which a share may wait for the price of a batch."""
    share = purse.numbers.get("batch_share", 0.0)
    price = partial(
        purse.book.request_cost,
        provider=kind,
        model=model,
        prompt=tokens[0],
        cached=tokens[1],
        completion=tokens[2],
    )
    usual = price()
    if not share or usual.usd is None:
        return usual
    batch = price(tier="batch")
    if batch.usd is None:
        return Amount(None, f"unpriced: no batch price of {model} at {kind}, and batch_share asks")
    usd = (1 - share) * usual.usd + share * batch.usd
    prices = tuple(dict.fromkeys((*usual.prices, *batch.prices)))
    return Amount(usd, f"{usual.note}, {share:.0%} in batches", prices)


def hosting(purse: Purse) -> Amount:
    """What the candidate costs a month before the first request."""
    if purse.hosted_by in SELF_HOSTED:
        gpus, rate = purse.numbers.get("serving_gpus"), purse.numbers.get("gpu_hour")
        if gpus == 0:
            return Amount(0.0, "the machine runs anyway")
        if rate is None or gpus is None:
            return Amount(None, "unpriced: gpu_hour and serving_gpus are not both given")
        usd = cost.gpu_month(rate, gpus=int(gpus))
        note = f"{gpus:g} machine(s), {cost.HOURS_A_MONTH} h at ${rate:g}"
        return Amount(usd, note + _load(purse, int(gpus)))
    if not is_tuned(purse.served):
        return Amount(0.0, "no hosting fee: it is billed by token")
    return _by_the_hour(purse)


def _by_the_hour(purse: Purse) -> Amount:
    """A month of a deployment: as it is deployed, else as it usually is."""
    serving = purse.serving
    if serving is None:
        hour = purse.book.hosting(provider=purse.hosted_by, model=purse.served)
        if hour.usd is None:
            return hour
        return Amount(hour.usd * cost.HOURS_A_MONTH, hour.note, hour.prices)
    said = f"deployed as {serving.name} ({serving.sku})"
    if serving.tier is None:
        return Amount(None, f"unpriced: {said}, which the price file does not know")
    hour = purse.book.hosting(provider=purse.hosted_by, model=purse.served, tier=serving.tier)
    if hour.usd is None:
        return Amount(None, f"{hour.note}, {said}")
    if serving.ends_after is not None:
        said += f", which the host ends after {serving.ends_after:g} h"
    return Amount(hour.usd * cost.HOURS_A_MONTH, f"{hour.note}, {said}", hour.prices)


def _load(purse: Purse, gpus: int) -> str:
    """How long the serving machines are busy and idle, by the measured time of an answer."""
    volume, arm = purse.numbers.get("requests_per_month"), purse.candidate
    if volume is None or arm is None:
        return ""
    at_once = purse.numbers.get("requests_at_once") or 1.0
    busy, hours = volume * arm.latency_p50 / 3600 / at_once, gpus * cost.HOURS_A_MONTH
    if busy > hours:
        needed = ceil(busy / cost.HOURS_A_MONTH)
        return f"; busy {busy:,.0f} h, which takes {needed:,} machines at {at_once:g} at once"
    return f"; busy {busy:,.0f} h, idle {hours - busy:,.0f} h"


def effort(purse: Purse) -> Amount:
    """People's time, once."""
    hours, rate = purse.numbers.get("effort_hours"), purse.numbers.get("hourly_rate")
    if hours is None or rate is None:
        return Amount(None, "effort_hours and hourly_rate are not both given")
    return Amount(hours * rate, f"{hours:g} h at ${rate:g}")


def training_hours(job: Job) -> float | None:
    """Wall time between sending the job and its end, in hours."""
    if job.sent_at is None or job.finished_at is None:
        return None
    return max(0.0, (job.finished_at - job.sent_at).total_seconds()) / 3600


def arms_of(purse: Purse) -> Sequence[ArmResult]:
    """Every arm that was compared."""
    return purse.comparison.arms if purse.comparison else ()
