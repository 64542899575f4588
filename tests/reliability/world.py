"""A host and an installation that outlive the commands that die between them.

Every command is a real process: a fork of this one, in which the packages are loaded already. The
host is a process, too. Nothing waits: clocks are moved by hand.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import providers
from orchestrator import cli, config, wiring
from orchestrator.domain.clock import ManualClock
from orchestrator.domain.profile import Profile
from orchestrator.domain.provider import Provider
from providers.retry import Retry
from providers.simulator import Simulator
from tests.factories import chat_file

ROOT = Path(__file__).resolve().parents[2]
MODEL = "gpt-4.1-mini-2025-04-14"
KEY = "sk-torture-0123456789abcdef"
TIMEOUT = 0.4
CONFIG = """[providers.host]
kind = "{kind}"
base_url = "{url}"
api_key_env = "KEY"
timeout = {timeout}
budget_usd_per_month = 100

[sync]
settle_seconds = {settle}
"""


@dataclass
class Host:
    """A simulated host in a process of its own."""

    pid: int
    url: str
    moved: timedelta = timedelta()

    def control(self, verb: str, **body: Any) -> Any:
        """Steer it."""
        root = urljoin(self.url, "/").rstrip("/")
        request = urllib.request.Request(
            # The older surface of Azure lets nobody in without these.
            f"{root}/_simulator/{verb}?api-version=2024-10-21",
            data=json.dumps(body).encode() if body else None,
            headers={"authorization": f"Bearer {KEY}", "api-key": KEY},
            method="POST" if body else "GET",
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def forget(self) -> None:
        """Be as new."""
        self.control("reset", now=True)

    def billed(self) -> list[tuple[str | None, str]]:
        """Token and id of every job that was ever made."""
        ledger = self.control("ledger")["jobs"]
        return [((entry["metadata"] or {}).get("ftctl_token"), entry["job"]) for entry in ledger]


@contextmanager
def a_host(dialect: str = "openai") -> Iterator[Host]:
    """A host for as long as the block runs."""
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(readable)
        simulator = Simulator(dialect)
        os.write(writable, simulator.url.encode())
        os.close(writable)
        simulator.serve()
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable) as pipe:
        url = pipe.read()
    try:
        yield Host(pid, url)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@dataclass
class Installation:
    """One FTCTL_HOME and the commands that run over it."""

    home: Path
    clock: ManualClock = field(default_factory=ManualClock)
    environment: dict[str, str] = field(default_factory=dict)
    planted: Callable[[], None] | None = None
    #: each command in an interpreter of its own, as the shell would start it; only the clock is ours
    separate: bool = False

    @property
    def database(self) -> Path:
        return self.home / "ftctl.db"

    def run(self, *arguments: str | Path, failpoint: str | None = None) -> int:
        """One command; its exit code, or minus the signal that ended it."""
        if self.separate:
            return self._in_its_own_interpreter([str(each) for each in arguments], failpoint)
        pid = os.fork()
        if pid == 0:
            self.child(arguments, failpoint)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def _in_its_own_interpreter(self, arguments: list[str], failpoint: str | None) -> int:
        code = (
            "import sys; from datetime import datetime\n"
            "from orchestrator.domain import clock\n"
            f"now = datetime.fromisoformat('{self.clock.now().isoformat()}')\n"
            "clock.SystemClock.now = lambda self: now\n"
            "clock.SystemClock.sleep = lambda self, seconds: None\n"
            "from orchestrator.cli import main; main()"
        )
        # -P: what lies in the working directory is not imported.
        return subprocess.run(
            [sys.executable, "-P", "-c", code, *arguments],
            env={"PYTHONPATH": str(ROOT), **self.variables(failpoint)},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        ).returncode

    def child(self, arguments: tuple[str | Path, ...], failpoint: str | None) -> None:
        """What the forked process does; it never comes back."""
        code = 70
        try:
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            if self.planted is not None:
                self.planted()
            code = cli.run([str(each) for each in arguments], obj=self.app(failpoint))
        finally:
            os._exit(code)

    def variables(self, failpoint: str | None = None) -> dict[str, str]:
        """The environment of a command."""
        armed = {"FTCTL_TEST": "1", "FTCTL_FAILPOINT": failpoint} if failpoint else {}
        home = {"FTCTL_HOME": str(self.home), "HOME": str(self.home)}
        return {**home, "KEY": KEY, **self.environment, **armed}

    def app(self, failpoint: str | None = None) -> wiring.App:
        settings = config.load(self.variables(failpoint), cwd=self.home)
        return wiring.App(settings, clock=ManualClock(self.clock.now()))

    def move_on(self, host: Host, span: timedelta) -> None:
        """Let time pass, here and there."""
        self.clock.at += span
        host.control("clock", seconds=span.total_seconds())

    def rows(self, query: str) -> list[Any]:
        """What the database says, read as the sqlite3 shell would."""
        from orchestrator.store.database import sqlite_module

        with closing(sqlite_module().connect(self.database)) as connection:
            rows: list[Any] = connection.execute(query).fetchall()
            return rows


@contextmanager
def an_installation(
    host: Host, *, kind: str = "openai", settle: float = 600, template: Path | None = None
) -> Iterator[Installation]:
    """A home in memory, with a profile for the host and a training file."""
    shm = Path("/dev/shm")
    folder = tempfile.mkdtemp(prefix="ftctl-", dir=shm if shm.is_dir() else None)
    try:
        home = Path(folder)
        (home / "ftctl.toml").write_text(
            CONFIG.format(kind=kind, url=host.url, timeout=TIMEOUT, settle=settle)
        )
        chat_file(home / "train.jsonl")
        if template is not None:
            shutil.copyfile(template, home / "ftctl.db")
            (home / "ftctl.db").chmod(0o600)
        yield Installation(home)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def warm() -> Iterator[Path]:
    """Load what commands load, once, and make an empty database to copy."""
    with a_host() as host, an_installation(host) as ours:
        template = ours.home / "template.db"
        null = io.StringIO()
        with contextlib.redirect_stdout(null), contextlib.redirect_stderr(null):
            cli.run(["db", "upgrade"], obj=ours.app())
            shutil.copyfile(ours.database, template)
            # Loads the client and all that it loads on the way; a thread would not survive.
            cli.run(["providers", "check", "host"], obj=ours.app())
            cli.run(submission(ours), obj=ours.app())
            cli.run(["sync"], obj=ours.app())
        # Forks share these objects for good: no collection may touch, and so copy, their pages.
        gc.collect()
        gc.freeze()
        yield template


def submission(ours: Installation) -> list[str]:
    return [
        "submit", str(ours.home / "train.jsonl"), "--provider", "host", "--model", MODEL, "--json",
    ]  # fmt: skip


def is_sound(database: Path) -> bool:
    """Whether the sqlite3 shell would find nothing wrong with it."""
    from orchestrator.store.database import sqlite_module

    module = sqlite_module()
    try:
        with closing(module.connect(database)) as connection:
            verdict = connection.execute("PRAGMA integrity_check").fetchone()[0]
            orphans = connection.execute("PRAGMA foreign_key_check").fetchall()
    except (module.DatabaseError, sqlite3.DatabaseError):
        return False
    return verdict == "ok" and not orphans


def at_once(profile: Profile) -> Provider:
    """The provider, which tries again without waiting."""
    provider: Any = providers.build(profile)
    provider._retry = Retry(sleep=lambda _: None)
    made: Provider = provider
    return made
