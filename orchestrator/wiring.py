"""The one module that names concrete classes. Everything here is made on first use."""

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
from orchestrator.domain.errors import LocalStateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import click
    from sqlalchemy import Engine

    from orchestrator.config import Settings
    from orchestrator.domain.answerbook import Recordings
    from orchestrator.domain.ledger import DatasetStore, Gates, JobStore
    from orchestrator.domain.pipeline import Pipelines
    from orchestrator.domain.profile import Profile
    from orchestrator.domain.provider import Capabilities, Provider
    from orchestrator.domain.retrieval import Passage, Retriever
    from orchestrator.store.comparisons import ComparisonStore
    from orchestrator.store.health import Facts, Health
    from orchestrator.usecases.arms import Host
    from orchestrator.usecases.evaluation import Shop
    from orchestrator.usecases.ledger import Ledger


@dataclass
class App:
    """The wired application of one command.

    Attributes:
        settings: what the environment and ftctl.toml say.
        clock: what tells the time.
        build_provider: makes a provider from a profile; the registry when None.
    """

    settings: Settings
    clock: Clock = field(default_factory=SystemClock)
    build_provider: Callable[[Profile], Provider] | None = None
    _open: dict[str, Provider] = field(default_factory=dict)
    _opening: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Arm a failpoint, if this is a test that wants one."""
        if self.settings.failpoint:
            failpoints.arm(failpoints.at(self.settings.failpoint, _die))

    @cached_property
    def engine(self) -> Engine:
        """The database, made on first use.

        Raises:
            LocalStateError: it cannot be used; DatabaseOutdated says what to type.
        """
        from orchestrator.store.database import open_database

        return open_database(self.settings.database_url)

    @cached_property
    def jobs(self) -> JobStore:
        """The ledger's jobs."""
        from orchestrator.store.jobs import SqlJobStore

        return SqlJobStore(self.engine)

    @cached_property
    def datasets(self) -> DatasetStore:
        """The content-addressed dataset store."""
        from orchestrator.store.datasets import SqlDatasetStore

        return SqlDatasetStore(self.engine, self.settings.home / "datasets")

    @cached_property
    def gates(self) -> Gates:
        """Which accounts may be asked."""
        from orchestrator.store.gates import SqlGates

        return SqlGates(self.engine)

    @cached_property
    def comparisons(self) -> ComparisonStore:
        """Comparisons, answers and reports."""
        from orchestrator.store.comparisons import ComparisonStore

        return ComparisonStore(self.engine)

    @cached_property
    def recordings(self) -> Recordings:
        """Answers that were frozen."""
        from orchestrator.store.recordings import RecordingStore

        return RecordingStore(self.engine)

    @cached_property
    def pipelines(self) -> Pipelines:
        """What was done for the spec files that were applied."""
        from orchestrator.store.pipelines import PipelineStore

        return PipelineStore(self.engine)

    def shop(self) -> Shop:
        """The parts that comparisons are made with."""
        from orchestrator.usecases.dated import newest_lifecycle, newest_prices
        from orchestrator.usecases.evaluation import Shop

        return Shop(
            prices=newest_prices(),
            lifecycle=newest_lifecycle(),
            datasets=self.datasets,
            comparisons=self.comparisons,
            recordings=self.recordings,
            clock=self.clock,
            provider=self.provider,
            host=self.host,
            retriever=self.retriever,
        )

    def retriever(self, passages: Sequence[Passage]) -> Retriever:
        """An index over passages."""
        from orchestrator.store.retrieval import Fts5Retriever

        return Fts5Retriever(passages)

    def host(self, profile: str) -> Host:
        """Who answers for an arm or a judge at that profile.

        Raises:
            ConfigurationError: no such profile, no key, or its package is not installed.
        """
        from orchestrator.usecases.arms import Host

        provider = self.provider(profile)
        kind = self.settings.profile(profile).kind
        return Host(profile, kind, provider.account, provider)

    def ledger(self, say: Callable[[str], None] | None = None) -> Ledger:
        """The parts that submit and sync work with."""
        from orchestrator.usecases.ledger import Ledger, silent

        return Ledger(
            jobs=self.jobs,
            datasets=self.datasets,
            gates=self.gates,
            clock=self.clock,
            provider=self.provider,
            claim=self.claim,
            say=say or silent,
        )

    @contextlib.contextmanager
    def claim(self, name: str) -> Iterator[bool]:
        """A lock between the processes that share this database; yields whether it is ours."""
        from orchestrator.store import locks

        if self.engine.dialect.name == "postgresql":
            with locks.advisory(self.engine, name) as ours:
                yield ours
        else:
            with locks.exclusive(self.settings.home / "locks" / f"{name}.lock") as ours:
                yield ours

    def provider(self, name: str) -> Provider:
        """The provider of that profile; one instance a command, closed with the application.

        Raises:
            ConfigurationError: no such profile, no key, or its package is not installed.
        """
        with self._opening:
            if name not in self._open:
                self._open[name] = self._build(self.settings.profile(name))
            return self._open[name]

    def close(self) -> None:
        """Close providers and database, in that order, whatever one of them says."""
        with contextlib.ExitStack() as stack:
            if "engine" in self.__dict__:
                stack.callback(self.engine.dispose)
            for provider in self._open.values():
                stack.callback(provider.close)
            self._open = {}

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


def capabilities(profile: Profile) -> Capabilities:
    """What a profile's provider can do; asked without its key, for rehearsals.

    Raises:
        ConfigurationError: there is no such kind.
    """
    import providers

    # A dry run needs neither key nor address: nothing is sent.
    rehearsal = replace(
        profile,
        api_key=profile.api_key or "rehearsal",
        base_url=profile.base_url or (None if profile.embedded else "https://rehearsal.invalid/v1"),
    )
    with contextlib.closing(providers.build(rehearsal)) as provider:
        return provider.capabilities


def upgrade_database(application: App) -> tuple[str | None, str, Path | None]:
    """Back up and upgrade: revision before, revision after, backup."""
    from orchestrator.store.database import upgrade

    return upgrade(application.settings.database_url, application.clock.now())


def backup_database(application: App, target: Path) -> None:
    """Copy the database while others write."""
    from orchestrator.store.database import backup

    backup(application.settings.database_url, target)


def restore_database(application: App, source: Path) -> tuple[Path | None, Mapping[str, int]]:
    """Put a backup in the database's place: where the old one lies, and rows by table."""
    from orchestrator.store import health, locks

    lock = application.settings.home / "locks" / "sync.lock"
    with locks.exclusive(lock) as ours:
        if not ours:
            raise LocalStateError("A pass of sync is under way.", hint="try again in a minute")
        url, now = application.settings.database_url, application.clock.now()
        kept, found = health.restore(url, source, now)
    return kept, found.rows


def check_database(application: App) -> Health:
    """Read every page of the database and every reference in it."""
    from orchestrator.store import health

    return health.check(application.settings.database_url)


def database_facts(application: App) -> Facts:
    """What the database stands on: library, journal, disk, file modes. Makes nothing."""
    from orchestrator.store import health

    return health.facts(application.settings.database_url, application.settings.home)


def database_revisions(application: App) -> tuple[str | None, str]:
    """The schema that the database has, and the one this program needs."""
    from orchestrator.store import migrations
    from orchestrator.store.database import connect, translated

    engine = connect(application.settings.database_url)
    try:
        with translated(application.settings.database_url):
            return migrations.current(engine), migrations.head()
    finally:
        engine.dispose()


def serve_simulator(host: str, port: int, dialect: str, *, on_ready: Callable[[str], None]) -> None:
    """Serve a provider that costs nothing, until interrupted; `on_ready` is told its base URL."""
    from providers.simulator import serve_simulator as serve

    serve(host, port, dialect, on_ready=on_ready)
