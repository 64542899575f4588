"""Days of cron in minutes: jobs of every fate, everything that goes wrong, and a reckoning.

    python -m tests.reliability.soak --minutes 15 --seed 1

The real program over a real database, once every quarter of an hour of a clock that is moved by hand; the
host is a process of its own with a bill of its own. Most passes run in this process, so that what they
leave open or in memory adds up; some are processes of their own, which die at a named point or at any
time. In between: hours in which the host hangs, storms of 429, a new key, a full disk, backups, and
backups that are restored, after which the account is adopted anew. Tuned models are deployed and
undeployed meanwhile; in the end the host must have no deployment, as it must have no job, that the
ledger does not know.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import providers
from orchestrator import cli, wiring
from orchestrator.domain import failpoints
from orchestrator.domain.jobs.deployment import DeploymentHost
from orchestrator.domain.jobs.job import JobStatus
from orchestrator.domain.profile import Profile
from providers.retry import Retry
from tests.factories import chat_file
from tests.reliability import trials, world
from tests.reliability.deploying import arm
from tests.reliability.frame import machine, told

CRON = timedelta(minutes=15)
PASSES_A_DAY = 96
# What a command may end with: done, no, usage, configuration, try later, local state.
DECENT = {0, 1, 2, 3, 4, 5, trials.KILLED}
NOTIFY = """
[[notify]]
name = "told"
command = ["/bin/sh", "-c", "test -e $HOME/deaf && exit 1; cat >> $HOME/told.jsonl; echo >> $HOME/told.jsonl"]
on = ["succeeded", "failed", "cancelled", "rejected", "needs_review"]
attempts = 40
"""


@dataclass
class Installation(world.Installation):
    """An installation whose provider tries again without waiting, and whose key is renewed."""

    key: str = world.KEY

    def app(self, failpoint: str | None = None) -> wiring.App:
        self.environment["KEY"] = self.key
        made = super().app(failpoint)
        made.build_provider = world.at_once
        return made


@dataclass
class Soak:
    """What goes on, and what was seen."""

    host: world.Host
    ours: Installation
    chance: random.Random
    disk: bool
    counts: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)
    days: list[dict[str, Any]] = field(default_factory=list)
    backup: Path | None = None
    hung: int = 0
    full: int = 0
    deaf: int = 0

    def one(self) -> None:
        """A quarter of an hour."""
        for share, event in _EVENTS:
            if self.chance.random() < share:
                event(self)
        self._sync()
        self._abate()
        self.counts["passes"] += 1
        self.ours.clock.at += CRON
        if not self.hung:
            self.host.control("clock", seconds=self.behind())
        if self.counts["passes"] % PASSES_A_DAY == 0:
            self.end_the_day()

    def behind(self) -> float:
        """Seconds by which the clock of the host, which may have hung, is behind ours."""
        behind = (self.ours.clock.at - self.start).total_seconds() - self.host.moved.total_seconds()
        self.host.moved += timedelta(seconds=behind)
        return behind

    def __post_init__(self) -> None:
        self.start = self.ours.clock.at

    def end_the_day(self) -> None:
        """What a person does once a day, and what is measured."""
        if self.full:
            self.full = 1
            self._abate()
        self._review()
        self._ran(["db", "check"], {0})
        self._ran(["doctor"], {0})
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        home = self.ours.home
        self.days.append(
            {
                "rss_mb": round(pages * resource.getpagesize() / 2**20, 1),
                "files open": len(list(Path("/proc/self/fd").iterdir())),
                "drafts": len(list((home / "drafts").glob("*"))),
                "locks": len(list((home / "locks").glob("*"))),
                "database_kb": self.ours.database.stat().st_size // 1024,
                "jobs": self.ours.rows("SELECT count(*) FROM jobs")[0][0],
            }
        )

    def submit(self) -> None:
        """A job of some fate; now and then the command dies."""
        if not self.hung:
            if self.chance.random() < 0.4:
                mode = self.chance.choice([mode for mode in trials.MODES if mode != "ok"])
                fault = "refuse" if mode == "locked_out" else mode
                self.host.control(
                    "faults", route="create_job", fault=fault, **(trials.MODES[mode] or {})
                )
                self.counts[f"answer: {mode}"] += 1
            if self.chance.random() < 0.15:
                self.host.control("faults", route="train", fault="fail")
        command = [*world.submission(self.ours), "--again", "--seed", str(self.chance.randrange(9))]
        self.counts["submits"] += 1
        self._perhaps_killed(command, failpoints.SUBMIT)

    def deploy(self) -> None:
        """A tuned model is to answer; what the host says to that may be lost, or the command dies."""
        tuned = "SELECT id FROM jobs WHERE tuned_model IS NOT NULL AND status = 'succeeded'"
        jobs = [] if self.full else [row[0] for row in self.ours.rows(tuned)]
        if not jobs:
            return
        if not self.hung and self.chance.random() < 0.4:
            mode = self.chance.choice([mode for mode in trials.WAYS if mode != "ok"])
            options = trials.WAYS[mode] or {}
            self.host.control("faults", route="put_deployment", fault=mode, **options)
        self.counts["deploys"] += 1
        self._perhaps_killed(["deploy", self.chance.choice(jobs), "--yes"], failpoints.DEPLOY)

    def undeploy(self) -> None:
        """A deployment is to end; the host's word to that may be lost, or the command dies."""
        jobs = [] if self.full else [row[0] for row in self.ours.rows(_HOSTED)]
        if not jobs:
            return
        if not self.hung and self.chance.random() < 0.4:
            fault = self.chance.choice(("drop_before", "drop_after_accept", "error_500"))
            self.host.control("faults", route="delete_deployment", fault=fault)
        self.counts["undeploys"] += 1
        self._perhaps_killed(["undeploy", self.chance.choice(jobs), "--yes"], failpoints.DEPLOY)

    def control(self) -> None:
        """A person stops a job, holds it, or lets it go on."""
        if self.full:
            return
        query = "SELECT id FROM jobs WHERE status IN ('queued', 'running', 'paused')"
        jobs = [row[0] for row in self.ours.rows(query)]
        if jobs:
            verb = self.chance.choice(("cancel", "pause", "resume", "resume", "events"))
            self.counts[verb] += 1
            self._ran([verb, self.chance.choice(jobs)])

    def hang(self) -> None:
        """For hours the host takes connections and says nothing."""
        if not self.hung:
            os.kill(self.host.pid, signal.SIGSTOP)
            self.hung = self.chance.randrange(6, 60)
            self.counts["outages"] += 1

    def storm(self) -> None:
        """The host wishes for silence, again and again."""
        if not self.hung:
            wish, times = self.chance.choice(((30, 9), (600, 6), (3600, 3)))
            self.host.control(
                "faults", route="*", fault="rate_limited", retry_after=wish, times=times
            )
            self.counts["storms of 429"] += 1

    def new_key(self) -> None:
        """The account's key is renewed; to ftctl that is another account."""
        self.ours.key = f"sk-renewed-{self.chance.randrange(10**9):012d}"
        self.counts["keys"] += 1

    def fill(self) -> None:
        """The disk is full for a while."""
        if self.disk and not self.full:
            self.full = self.chance.randrange(1, 12)
            self.counts["full disks"] += 1
            with contextlib.suppress(OSError), (self.ours.home / "ballast").open("wb") as ballast:
                while True:
                    ballast.write(b"x" * 65536)
                    ballast.flush()

    def fall_deaf(self) -> None:
        """Nobody can be notified for a while."""
        if not self.full:
            (self.ours.home / "deaf").touch()
            self.deaf = self.chance.randrange(1, 40)
            self.counts["deaf receivers"] += 1

    def back_up(self) -> None:
        """Keep a copy; the last one alone."""
        if self.full:
            return
        wanted = self.ours.home / f"backup-{self.counts['backups']}.db"
        if self._ran(["db", "backup", str(wanted)]) == 0:
            if self.backup is not None:
                self.backup.unlink()
            self.backup = wanted
            self.counts["backups"] += 1

    def put_back(self) -> None:
        """The ledger is lost; a backup takes its place, and the account is adopted."""
        if self.backup is None or self.full or self.hung:
            return
        self._ran(["db", "restore", str(self.backup)], {0})
        for kept in self.ours.home.glob("*.replaced"):
            kept.unlink()
        self.backup.unlink()
        self.backup = None
        self.counts["restored backups"] += 1

    def die_at_any_time(self) -> None:
        """A pass of a process of its own is killed after so many milliseconds."""
        pid = os.fork()
        if pid == 0:
            self.ours.child(("sync", "--all"), None)
        time.sleep(self.chance.random() * 0.3)
        os.kill(pid, signal.SIGKILL)
        self.counts["kills at any time"] += os.waitpid(pid, 0)[1] != 0

    def finish(self) -> None:
        """Everything is well again; all that was begun comes to its end."""
        self.hung, self.full, self.deaf = min(self.hung, 1), 1, 1
        self._abate()
        # What the last backup lacked.
        self._ran(["adopt", "--provider", "host"])
        for _ in range(3 * PASSES_A_DAY):
            self.one_quiet()
            if self.counts["quiet"] % 24 == 0:
                self._ran(["adopt", "--provider", "host"])
                self._review()
                for (job,) in self.ours.rows(_HOSTED):
                    self._ran(["undeploy", job, "--yes"])
            if self.counts["quiet"] > 24 and not self.ours.rows(_OPEN + " UNION " + _HOSTED):
                break
        self._ran(["adopt", "--provider", "host"], {0})
        self.end_the_day()

    def one_quiet(self) -> None:
        """A pass in which nothing goes wrong."""
        self._ran(["sync", "--all"])
        self.counts["quiet"] += 1
        self.ours.clock.at += CRON
        self.host.control("clock", seconds=self.behind())

    def _sync(self) -> None:
        if self.chance.random() < 0.05:
            self._killed_at(["sync"], self.chance.choice(failpoints.SYNC))
        else:
            self._ran(["sync"])

    def _abate(self) -> None:
        if self.hung:
            self.hung -= 1
            if not self.hung:
                os.kill(self.host.pid, signal.SIGCONT)
        if self.full:
            self.full -= 1
            if not self.full:
                (self.ours.home / "ballast").unlink(missing_ok=True)
        if self.deaf:
            self.deaf -= 1
            if not self.deaf:
                (self.ours.home / "deaf").unlink(missing_ok=True)

    def _review(self) -> None:
        """A person looks at what ftctl could not decide, and at the host."""
        if self.hung:
            return
        billed: dict[str | None, list[str]] = {}
        for token, job in self.host.billed():
            billed.setdefault(token, []).append(job)
        for job, token in self.ours.rows(
            "SELECT id, token FROM jobs WHERE status = 'needs_review'"
        ):
            there = billed.get(token, [])
            answer = ["--remote-id", there[0]] if there else ["--absent"]
            self._ran(["resolve", job, *answer], {0})
            self.counts["resolved by a person"] += 1
        app = self.ours.app()
        account = app.provider("host").account
        app.close()
        query = "SELECT id, account FROM jobs WHERE status IN ('planned', 'uploading', 'ready')"
        for job, its in self.ours.rows(query):
            # Of an account whose key is gone: the person submits it anew some day.
            if its != account:
                self._ran(["cancel", job])
                self.counts["unsent jobs given up"] += 1
        self._take_up_deployments()

    def _take_up_deployments(self) -> None:
        """A restored ledger knows nothing of what was deployed since: it is asked for once more."""
        known = {name for (name,) in self.ours.rows(_LOOKED_AFTER)}
        for each in self.host.control("deployments"):
            named = "SELECT id FROM jobs WHERE tuned_model = '{}'"
            jobs = self.ours.rows(named.format(each["model"]))
            if each["name"] not in known and jobs:
                self._ran(["deploy", jobs[0][0], "--name", each["name"], "--yes"])
                self.counts["deployments taken up"] += 1

    def _perhaps_killed(self, command: list[str], points: tuple[str, ...]) -> None:
        if self.chance.random() < 0.2:
            self._killed_at(command, self.chance.choice(points))
        else:
            self._ran(command)

    def _killed_at(self, command: list[str], point: str) -> None:
        code = self.ours.run(*command, failpoint=point)
        self.counts["kills at a point"] += code == trials.KILLED
        if code not in DECENT:
            self.bad.append(f"{command[0]} at {point}: exit {code}")

    def _ran(self, command: list[str], wanted: set[int] | None = None) -> int:
        """One command in this process; what it says must be fit for a person."""
        said = io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            app = self.ours.app()
            try:
                code = cli.run(command, obj=app)
            finally:
                app.close()
        text = said.getvalue()
        if code not in (wanted or DECENT) or "Traceback" in text or "bug in ftctl" in text:
            self.bad.append(
                f"{self.counts['passes']}: {' '.join(command[:3])}: exit {code}: {text}"
            )
        self.counts[f"exit {code}"] += 1
        return code


_OPEN = "SELECT 1 FROM jobs WHERE status NOT IN ('succeeded', 'failed', 'cancelled', 'rejected', 'paused')"
# What the ledger looks after at the host: all but what was never asked for, and what has ended.
_STANDING = """FROM deployments WHERE state NOT IN ('failed', 'deleted')
    AND (state <> 'planned' OR sent_at IS NOT NULL)"""
_HOSTED = f"SELECT job_id {_STANDING}"
_LOOKED_AFTER = f"SELECT name {_STANDING}"
_EVENTS: tuple[tuple[float, Callable[[Soak], None]], ...] = (
    (0.10, Soak.submit), (0.03, Soak.control), (0.008, Soak.hang), (0.01, Soak.storm),
    (0.004, Soak.new_key), (0.008, Soak.fill), (0.006, Soak.fall_deaf), (0.02, Soak.back_up),
    (0.006, Soak.put_back), (0.02, Soak.die_at_any_time), (0.03, Soak.deploy), (0.03, Soak.undeploy),
)  # fmt: skip


def main() -> int:
    options = _options()
    vars(providers)["deployment_host"] = partial(_at_once, providers.deployment_host)
    started = time.monotonic()
    with (
        world.warm() as template,
        world.a_host(options.dialect) as host,
        small_disk(options.disk_mb) as (home, disk),
    ):
        furnish(home, host, template, options.dialect)
        soak = Soak(host, Installation(home), random.Random(options.seed), disk)
        while time.monotonic() - started < options.minutes * 60:
            soak.one()
        soak.finish()
        result = _reckoning(soak)
    seconds = round(time.monotonic() - started, 1)
    return told({**result, "seed": options.seed, "seconds": seconds, "machine": machine()})


def _at_once(build: Callable[[Profile], DeploymentHost], profile: Profile) -> DeploymentHost:
    """Where deployments are made, asked again without waiting."""
    host: Any = build(profile)
    host._retry = Retry(sleep=lambda _: None)
    made: DeploymentHost = host
    return made


def _reckoning(soak: Soak) -> dict[str, Any]:
    """The host's bill against the ledger, job by job."""
    rows = soak.ours.rows("SELECT token, remote_id, status, origin FROM jobs")
    billed = soak.host.billed()
    known = {remote_id for _, remote_id, _, _ in rows}
    twice = [token for token, count in Counter(token for token, _ in billed).items() if count > 1]
    lost = [job for _, job in billed if job not in known]
    ghosts = [r for r in known - {None} if r not in {job for _, job in billed}]
    open_ = [row for row in rows if not JobStatus(row[2]).is_final and row[2] != JobStatus.PAUSED]
    first, last = soak.days[len(soak.days) // 3], soak.days[-1]
    flat = (
        last["files open"] <= first["files open"] + 2
        and last["rss_mb"] <= first["rss_mb"] * 1.15
        and last["drafts"] == 0
    )
    untold = _untold(soak)
    left = [each["name"] for each in soak.host.control("deployments")]
    left += [name for (name,) in soak.ours.rows(_LOOKED_AFTER)]
    return {
        "passed": not (soak.bad or twice or lost or ghosts or open_ or untold or left) and flat,
        "flat": flat,
        "simulated days": round(soak.counts["passes"] / PASSES_A_DAY, 1),
        "jobs": len(rows),
        "fates": dict(Counter(status for _, _, status, _ in rows)),
        "billed": len(billed),
        "billed twice": len(twice),
        "lost": len(lost),
        "in the ledger alone": len(ghosts),
        "left open": len(open_),
        "nobody was told of": untold,
        "deployments": len(soak.host.control("hosted")),
        "deployments left, there or here": left,
        "database is sound": world.is_sound(soak.ours.database),
        "a third of the way, and at the end": [first, last],
        "what happened": dict(sorted(soak.counts.items())),
        "bad": soak.bad[:10],
    }


def _untold(soak: Soak) -> int:
    """Ends of jobs of this ledger that no notification told of."""
    file = soak.ours.home / "told.jsonl"
    text = file.read_text() if file.exists() else ""
    query = "SELECT id FROM jobs WHERE status IN ('succeeded', 'failed') AND origin = 'ftctl'"
    return sum(job not in text for (job,) in soak.ours.rows(query))


def furnish(home: Path, host: world.Host, template: Path, kind: str = "openai") -> None:
    """A profile, a receiver of notifications, a training file and an empty ledger."""
    settings = world.CONFIG.format(kind=kind, url=host.url, timeout=0.5, settle=600)
    if kind == "azure":
        settings = settings.replace("\n[sync]", arm(host) + "\n[sync]")
    # A month of hundreds of jobs; the budget is tried elsewhere.
    (home / "ftctl.toml").write_text(settings.replace("budget_usd_per_month = 100", "") + NOTIFY)
    chat_file(home / "train.jsonl")
    shutil.copyfile(template, home / "ftctl.db")
    (home / "ftctl.db").chmod(0o600)


@contextlib.contextmanager
def small_disk(megabytes: int) -> Iterator[tuple[Path, bool]]:
    """A folder on a disk of its own, which can be filled; an ordinary one where none may be mounted."""
    folder = Path(tempfile.mkdtemp(prefix="ftctl-soak-"))
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", str(folder)]
    mounted = subprocess.run(mounting, check=False, capture_output=True).returncode == 0
    try:
        yield folder, mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dialect", choices=["azure", "openai"], default="azure")
    parser.add_argument("--disk-mb", type=int, default=64)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
