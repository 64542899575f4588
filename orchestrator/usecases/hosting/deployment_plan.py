"""What deploying a job means and costs, said before anything is written or sent."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from orchestrator.domain.errors import ConfigurationError, UsageError
from orchestrator.domain.money.tariff import Hour, Tariff, hour_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from orchestrator.domain.jobs.deployment import Deployment
    from orchestrator.domain.jobs.job import Checkpoint, Job
    from orchestrator.domain.money.prices import PriceBook
    from orchestrator.domain.money.tariff import Tiers
    from orchestrator.domain.provider import Capabilities

USUAL_CAPACITY = 10
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,63}")


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What someone wants deployed, checked and priced; nothing is written yet.

    Attributes:
        ends_after: after so long the host ends it by itself.
        others: deployments that serve the same model already.
    """

    job: Job
    model: str
    name: str
    sku: str
    capacity: int
    hour: Hour
    ends_after: timedelta | None = None
    idle: timedelta | None = None
    others: Sequence[Deployment] = ()

    @property
    def is_free(self) -> bool:
        """Hosting costs nothing; tokens may."""
        return self.hour.micros == 0

    def lines(self) -> list[str]:
        """What a person should know before it is asked for."""
        lines = [
            f"deploy {self.model} as '{self.name}' at {self.job.provider}: {self.sku},"
            f" {self.capacity:,} thousand tokens a minute"
        ]
        month = self.hour.month
        if month is None:
            lines.append(
                f"hosting is {self.hour.note}; it may be billed by the hour, called or not"
            )
        elif self.is_free:
            lines.append(f"hosting costs nothing by the hour ({self.hour.note})")
        else:
            lines.append(
                f"hosting costs ${month:,.2f} a month, called or not ({self.hour.note}), until you"
                " type: ftctl undeploy"
            )
        if self.ends_after is not None:
            hours = self.ends_after / timedelta(hours=1)
            lines.append(f"the host ends it by itself after {hours:g} h")
        elif self.idle is not None:
            lines.append(f"the host deletes it when nobody calls it for {self.idle.days} days")
        lines += [
            f"the same model is deployed already as '{other.name}' ({other.state}): both are billed"
            for other in self.others
        ]
        return lines


def wish(
    job: Job,
    capabilities: Capabilities,
    tiers: Tiers,
    book: PriceBook,
    *,
    sku: str | None = None,
    capacity: int | None = None,
    name: str | None = None,
    checkpoint: Checkpoint | None = None,
    known: Sequence[Deployment] = (),
) -> Wish:
    """What deploying a job means and costs.

    Args:
        job: a succeeded one.
        capabilities: of its provider.
        tiers: how its kind bills deployments.
        book: dated prices.
        sku: how it is billed; the usual one when None.
        capacity: thousands of tokens a minute.
        name: of the deployment; made from the job's id when None.
        checkpoint: serve this one instead of the last weights.
        known: deployments of this job.

    Raises:
        UsageError: there is nothing to deploy, or the name cannot be one.
    """
    model = checkpoint.model if checkpoint else job.tuned_model
    if model is None:
        raise UsageError(
            f"Job {job.id} has no tuned model to deploy; it is {job.status}.",
            hint=f"ftctl status {job.id}",
        )
    if not capabilities.needs_deployment:
        raise UsageError(
            f"Models at '{job.provider}' answer without a deployment.",
            hint=f"ftctl compare {job.id} --test FILE",
        )
    rate = tariff(capabilities, tiers, book, job.model, sku or tiers.usual or "GlobalStandard")
    called = name or _usual_name(job, checkpoint)
    if not _NAME.fullmatch(called):
        raise UsageError(
            f"'{called}' cannot name a deployment: 2 to 64 letters, digits, -, _ and ., the first"
            " a letter or digit."
        )
    return Wish(
        job=job,
        model=model,
        name=called,
        sku=rate.sku,
        capacity=capacity or USUAL_CAPACITY,
        hour=rate.hour,
        ends_after=rate.ends_after,
        idle=tiers.idle,
        others=[
            each
            for each in known
            if each.state.is_open and each.model == model and each.name != called
        ],
    )


def tariff(
    capabilities: Capabilities, tiers: Tiers, book: PriceBook, base_model: str, sku: str
) -> Tariff:
    """What a SKU means for a model, by the dated files."""
    name, tier = tiers.named(sku)
    ends_after = tier.ends_after if tier else None
    if capabilities.prices is None:
        return Tariff(name, Hour(0, "this provider bills nothing"), ends_after)
    hour = hour_of(book, capabilities.prices, base_model, tier.tier if tier else None)
    return Tariff(name, hour, ends_after)


def must_answer(
    job: Job, models: Iterable[str], served: Mapping[str, str], known: Sequence[Deployment]
) -> None:
    """Refuse to ask a tuned model that nobody deployed, before other models are asked and paid.

    Args:
        job: whose models they are, at a provider where models must be deployed.
        models: what is going to be asked there.
        served: model to deployment name.
        known: deployments of the job, newest first.

    Raises:
        ConfigurationError: a model of the job has no deployment that answers.
    """
    for model in models:
        if not model.startswith(job.tuned_model or "-") or model in served:
            continue
        if model in served.values():
            continue
        standing = [each for each in known if each.model == model and each.state.is_open]
        if standing:
            raise ConfigurationError(
                f"The deployment '{standing[0].name}' of job {job.id} is {standing[0].state}, and"
                " does not answer yet.",
                hint="ftctl sync",
            )
        raise ConfigurationError(
            f"The tuned model of job {job.id} answers at '{job.provider}' only when it is"
            " deployed, and no deployment of it is known.",
            hint=f"ftctl deploy {job.id}",
        )


def _usual_name(job: Job, checkpoint: Checkpoint | None) -> str:
    return f"ftctl-{job.id}" + (f"-step-{checkpoint.step}" if checkpoint else "")
