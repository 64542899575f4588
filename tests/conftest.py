"""What every test stands on: a home of its own, a clock of its own, no network beyond loopback."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from orchestrator import cli, config
from orchestrator.domain.clock import Clock, ManualClock
from orchestrator.domain.profile import Profile
from orchestrator.domain.provider import Provider
from tests.ledgers import App, lay
from tests.store.postgresql import postgresql

__all__ = ["postgresql"]

# A shared machine stalls now and then; a slow example is not a wrong one.
settings.register_profile(
    "ftctl", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("ftctl")


# What starts processes and trains takes longest: a file of it that is left to the end holds up all.
_FIRST = ("e2e", "reliability", "worker", "pages", "usecases", "ui", "store", "providers")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; --no-loadscope-reorder keeps that order among processes."""
    tests = Path(__file__).parent
    ranks = {folder: rank for rank, folder in enumerate(_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path.relative_to(tests).parts[0], len(ranks)))


@dataclass
class Outcome:
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Ftctl:
    """Runs commands as the shell would, in this process, each with an application of its own."""

    home: Path
    capsys: pytest.CaptureFixture[str]
    clock: Clock = field(default_factory=ManualClock)
    environment: dict[str, str] = field(default_factory=dict)
    build_provider: Callable[[Profile], Provider] | None = None

    def __call__(self, *arguments: str | Path) -> Outcome:
        self.capsys.readouterr()
        code = cli.run([str(each) for each in arguments], obj=self.app())
        captured = self.capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    def app(self) -> App:
        environment = {"FTCTL_HOME": str(self.home), "HOME": str(self.home), **self.environment}
        settings = config.load(environment, cwd=self.home)
        return App(settings, clock=self.clock, build_provider=self.build_provider)


@pytest.fixture
def ftctl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Ftctl:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    return Ftctl(home, capsys)


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new ledger, in one database and then in the other."""
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgresql").new_url()
        return url
    return lay(tmp_path / "ledger.db")


@pytest.fixture
def either(ledger_url: str, ftctl: Ftctl) -> Ftctl:
    """The commands over one database, and then over the other."""
    ftctl.environment["FTCTL_DATABASE_URL"] = ledger_url
    return ftctl
