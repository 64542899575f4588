"""The one package that names concrete classes. Everything here is made on first use."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from orchestrator import config
from orchestrator.domain import failpoints
from orchestrator.domain.clock import Clock, SystemClock
from orchestrator.domain.errors import ConfigurationError
from orchestrator.wiring.hosts import (
    adapter_repo,
    capabilities,
    capabilities_of,
    export_merged,
    refuse_closed,
    rehearse_budget,
    vllm_server,
)
from orchestrator.wiring.stores import Stores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import click

    from orchestrator.domain.comparing.arm import Arm
    from orchestrator.domain.comparing.retrieval import Passage, Retriever
    from orchestrator.domain.jobs.deployment import DeploymentHost
    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.jobs.lifecycle import Lifecycle
    from orchestrator.domain.jobs.notification import Courier
    from orchestrator.domain.money.hosting import Hosted
    from orchestrator.domain.money.prices import PriceBook
    from orchestrator.domain.money.tariff import Tariff
    from orchestrator.domain.profile import Profile
    from orchestrator.domain.provider import Provider
    from orchestrator.usecases.adapters.registry import Registry
    from orchestrator.usecases.comparing.allowance import Vault
    from orchestrator.usecases.comparing.arms import Host
    from orchestrator.usecases.comparing.evaluation import Evaluation, Shop
    from orchestrator.usecases.comparing.till import Till
    from orchestrator.usecases.hosting.deploying import Yard
    from orchestrator.usecases.jobs.ledger import Ledger
    from orchestrator.usecases.moving.evacuate import Registry as Tenants
    from orchestrator.usecases.notifying import Told

__all__ = [
    "App",
    "adapter_repo",
    "app",
    "capabilities",
    "capabilities_of",
    "export_merged",
    "refuse_closed",
    "rehearse_budget",
    "vllm_server",
]


@dataclass
class App(Stores):
    """The wired application of one command.

    Attributes:
        clock: what tells the time.
        build_provider: makes a provider from a profile; the registry when None.
    """

    clock: Clock = field(default_factory=SystemClock)
    build_provider: Callable[[Profile], Provider] | None = None
    _open: dict[str, Provider] = field(default_factory=dict)
    _hosts: dict[str, DeploymentHost] = field(default_factory=dict)
    _opening: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Arm a failpoint, if this is a test that wants one."""
        if self.settings.failpoint:
            failpoints.arm(failpoints.at(self.settings.failpoint, _die))

    def shop(self) -> Shop:
        """The parts that comparisons are made with."""
        from orchestrator.usecases.comparing.evaluation import Shop

        return Shop(
            prices=self.prices,
            lifecycle=self.lifecycle,
            datasets=self.datasets,
            comparisons=self.comparisons,
            recordings=self.recordings,
            clock=self.clock,
            provider=self.provider,
            host=self.host,
            retriever=self.retriever,
            till=self._till,
            admit=self._admit,
            pin=self.pin,
        )

    @contextlib.contextmanager
    def _till(self, job: Job | None, wanted: Evaluation, title: str) -> Iterator[Till]:
        from orchestrator.usecases.comparing.allowance import allowance
        from orchestrator.usecases.comparing.till import Till

        with allowance(
            self.vault(),
            subject=title,
            job_id=job.id if job else None,
            allow_unpriced=wanted.allow_unpriced,
        ) as allowed:
            yield Till(
                book=self.prices,
                kind=job.kind if job else "",
                profile=job.provider if job else "",
                limit=wanted.max_cost,
                allowance=allowed,
            )

    def _admit(self, job: Job, arms: Sequence[Arm]) -> None:
        """Refuse arms whose model answers only after it is deployed, and is not."""
        from orchestrator.usecases.hosting.deployment_plan import must_answer

        if not capabilities(self.settings.profile(job.provider)).needs_deployment:
            return
        asked = [arm.model for arm in arms if arm.chat is None]
        must_answer(job, asked, self.served(job.provider), self.deployments.all(job_id=job.id))

    @cached_property
    def adapters(self) -> Registry:
        """The repository of adapters, and who acts on it.

        Raises:
            ConfigurationError: the setting makes no sense.
        """
        from orchestrator.usecases.adapters.registry import Registry

        return Registry(
            repo=adapter_repo(self.settings),
            clock=self.clock,
            by=_actor(),
            stage=self.drafts.folder,
        )

    def yard(self, say: Callable[[str], None] | None = None) -> Yard:
        """The parts that deployments are worked on with."""
        from orchestrator.usecases.hosting.deploying import Yard

        return Yard(
            ledger=self.ledger(say),
            store=self.deployments,
            host=self.deployment_host,
            tariff=self.tariff,
        )

    def tariff(self, profile: str, base_model: str, sku: str) -> Tariff:
        """What a SKU means for the bill of a profile, by the dated files."""
        from orchestrator.usecases.hosting import deployment_plan
        from orchestrator.usecases.jobs import dated

        able = capabilities(self.settings.profile(profile))
        tiers = dated.newest_tiers(able.prices or "")
        return deployment_plan.tariff(able, tiers, self.prices, base_model, sku)

    def deployment_host(self, name: str) -> DeploymentHost:
        """Where the models of that profile are deployed; one instance a command.

        Raises:
            ConfigurationError: its models answer without, or a setting is missing.
        """
        import providers

        with self._opening:
            if name not in self._hosts:
                self._hosts[name] = providers.deployment_host(self.settings.profile(name))
            return self._hosts[name]

    def served(self, profile: str) -> Mapping[str, str]:
        """Which deployment answers for which tuned model of a profile."""
        from orchestrator.domain.jobs.deployment import Served, serving

        return Served(
            self.settings.profile(profile).deployments,
            lambda: serving(self.deployments.all(), profile),
        )

    @cached_property
    def courier(self) -> Courier:
        """What carries notifications."""
        from orchestrator.hooks.couriers import Couriers

        return Couriers(self.settings.environment, self.settings.notify_secret)

    def tell_others(self, say: Callable[[str], None]) -> Told:
        """Deliver what is due to everyone who wants to hear of it; no receiver can make it fail.

        What cannot be delivered is said at its first try and at its last.
        """
        from orchestrator.usecases.notifying import Told, notify, worth_saying

        try:
            subscribers = self.settings.subscribers()
        except ConfigurationError as error:
            say(f"nobody is notified: {error.message}")
            return Told()
        if not subscribers:
            return Told()
        with self.claim("notifications") as ours:
            # Somebody else is telling them already.
            if not ours:
                return Told()
            told = notify(self.outbox, subscribers, self.courier, self.clock)
        for line in worth_saying(told):
            say(line)
        return told

    @cached_property
    def prices(self) -> PriceBook:
        """The newest price file, with the user's own prices before it.

        Raises:
            ConfigurationError: a row of `[[prices]]` in ftctl.toml makes no sense.
        """
        from orchestrator.domain.money.own_rows import own_prices
        from orchestrator.usecases.jobs.dated import newest_prices

        rows, file = self.settings.rows("prices"), self.settings.config_file
        return newest_prices().with_own(own_prices(rows, file))

    @cached_property
    def listed_lifecycle(self) -> Lifecycle:
        """The newest retirement file, with the user's own dates before it; reads no database.

        Raises:
            ConfigurationError: a row of `[[lifecycle]]` in ftctl.toml makes no sense.
        """
        from orchestrator.domain.money.own_rows import own_dates
        from orchestrator.usecases.jobs.dated import newest_lifecycle

        rows, file = self.settings.rows("lifecycle"), self.settings.config_file
        return newest_lifecycle().with_own(own_dates(rows, file))

    @cached_property
    def lifecycle(self) -> Lifecycle:
        """The same, and what providers said of single models; a ledger is not made for that."""
        if not self.has_ledger:
            return self.listed_lifecycle
        return self.listed_lifecycle.with_told(self.model_dates.all())

    def retriever(self, passages: Sequence[Passage]) -> Retriever:
        """An index over passages."""
        from orchestrator.store.retrieval import Fts5Retriever

        return Fts5Retriever(passages)

    def host(self, profile: str) -> Host:
        """Who answers for an arm or a judge at that profile.

        Raises:
            ConfigurationError: no such profile, no key, or its package is not installed.
        """
        from orchestrator.usecases.comparing.arms import Host

        provider = self.provider(profile)
        kind = self.settings.profile(profile).kind
        return Host(profile, kind, provider.account, provider)

    def pin(self, profile: str, model: str) -> str:
        """A model's name that cannot come to mean another one while answers to it are kept."""
        from orchestrator.domain.adapters.names import may_move
        from orchestrator.domain.adapters.ports import AdapterHost

        if not may_move(model):
            return model
        provider = self.provider(profile)
        return provider.pin_model(model) if isinstance(provider, AdapterHost) else model

    def ledger(self, say: Callable[[str], None] | None = None) -> Ledger:
        """The parts that submit and sync work with."""
        from orchestrator.usecases.jobs.ledger import Ledger, silent

        self._enrol()
        self.drafts.sweep()
        return Ledger(
            jobs=self.jobs,
            datasets=self.datasets,
            gates=self.gates,
            dates=self.model_dates,
            clock=self.clock,
            provider=self.provider,
            drafts=self.drafts.folder,
            claim=self.claim,
            budgets=self.settings.budgets(),
            say=say or silent,
        )

    def hosted(self) -> Sequence[Hosted]:
        """What stood at a host, and stands."""
        from orchestrator.domain.money.hosting import Hosted

        return [
            Hosted(
                each.provider,
                each.job_id,
                each.name,
                each.started_at,
                each.ended_at,
                each.hour_micros,
            )
            for each in self.deployments.all()
            if each.started_at is not None
        ]

    def leaving(self) -> Tenants:
        """What a plan of leaving is made from."""
        from orchestrator.usecases.moving.evacuate import Registry as Tenants

        return Tenants(
            jobs=self.jobs,
            datasets=self.datasets,
            archive=self.archive,
            recordings=self.recordings,
            comparisons=self.comparisons,
            moves=self.moves,
            lifecycle=self.lifecycle,
            profiles=self._profiles_by_kind(),
        )

    def _profiles_by_kind(self) -> dict[str, str]:
        """The profile that commands name, by kind: the user's own where there is one."""
        own = self.settings.table("providers")
        names = self.settings.profile_names()
        ordered = sorted(names, key=lambda name: name not in own, reverse=True)
        return {self.settings.profile(name).kind: name for name in ordered}

    def vault(self) -> Vault:
        """Where evaluations reserve their money."""
        from orchestrator.usecases.comparing.allowance import Vault

        return Vault(
            spendings=self.spendings,
            budgets=self.settings.budgets(),
            clock=self.clock,
            claim=self.claim,
        )

    def provider(self, name: str) -> Provider:
        """The provider of that profile; one instance a command, closed with the application.

        Raises:
            ConfigurationError: no such profile, no key, or its package is not installed.
        """
        with self._opening:
            if name not in self._open:
                profile = replace(self.settings.profile(name), deployments=self.served(name))
                self._open[name] = self._build(profile)
            return self._open[name]

    def close(self) -> None:
        """Close providers and database, in that order, whatever one of them says."""
        with contextlib.ExitStack() as stack:
            if "engine" in self.__dict__:
                stack.callback(self.engine.dispose)
            for provider in self._open.values():
                stack.callback(provider.close)
            for host in self._hosts.values():
                stack.callback(host.close)
            self._open, self._hosts = {}, {}

    def _enrol(self) -> None:
        """Whoever wants to be told hears of what this command is about to do, whenever it is told."""
        # What is wrong with an entry is said where others are told, and holds up no job.
        with contextlib.suppress(ConfigurationError):
            if names := [each.name for each in self.settings.subscribers()]:
                self.outbox.enrol(names)

    def _build(self, profile: Profile) -> Provider:
        if self.build_provider is not None:
            return self.build_provider(profile)
        import providers

        return providers.build(profile)


def _die() -> None:
    """As a power cut would: nothing is flushed, no handler runs."""
    os.kill(os.getpid(), signal.SIGKILL)


def app(ctx: click.Context) -> App:
    """The application of this command: what a test handed in, or the real one."""
    root = ctx.find_root()
    if not isinstance(root.obj, App):
        root.obj = App(config.load())
    application: App = root.obj
    root.call_on_close(application.close)
    return application


def _actor() -> str:
    """The user of the operating system and the machine; no variable can claim another."""
    import pwd

    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = f"uid {os.getuid()}"
    return f"{name}@{os.uname().nodename}"
