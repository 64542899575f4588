"""One trial: a command dies at a named point while the host fails in a named way; cron goes on.

What must be true at the end: the host billed one job for an intent that is not rejected, our
ledger knows that very job, and the database is sound.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from orchestrator.domain import failpoints
from orchestrator.domain.jobs.job import JobStatus
from tests.reliability import world

KILLED = -signal.SIGKILL
CRON = timedelta(minutes=4)
MOST_PASSES = 12
# Within the settle time of ten minutes, and later than two passes.
LATE_SECONDS = 540

# How a host may answer, whatever it is asked.
WAYS: dict[str, dict[str, Any] | None] = {
    "ok": None,
    "drop_before": {},
    "drop_after_accept": {},
    "error_500": {},
    "error_500_after_accept": {},
    "rate_limited": {},
    "half_body": {},
    "html_200": {},
    "no_id": {},
    "strange": {},
    "unknown_status": {},
    "slow": {"seconds": 2 * world.TIMEOUT},
    "late": {"seconds": LATE_SECONDS},
}
MODES: dict[str, dict[str, Any] | None] = {
    **WAYS,
    "refuse": {"status": 400, "code": "invalid_model", "message": "no such model"},
    "locked_out": {"status": 401, "code": "invalid_api_key", "message": "no"},
}
# A point that only some modes lead to is tried under those.
ONLY = {
    "submit.refused": ("refuse",),
    "submit.settled": ("refuse",),
    "submit.not_taken": ("locked_out",),
    "submit.unclear": ("drop_before", "drop_after_accept", "error_500", "half_body", "late"),
    "submit.answered": ("ok", "unknown_status"),
    "submit.accepted": ("ok", "unknown_status"),
    "sync.known_to_be_in_doubt": ("drop_before", "drop_after_accept", "half_body", "late"),
    "sync.listed": ("drop_before", "drop_after_accept", "no_id", "late", "slow"),
    "sync.absent_once": ("drop_before", "error_500", "rate_limited", "html_200"),
    "sync.absent_twice": ("drop_before", "error_500", "rate_limited", "html_200"),
    "sync.adopted": ("drop_after_accept", "error_500_after_accept", "no_id", "half_body"),
    "sync.claimed": ("drop_before", "drop_after_accept", "no_id", "slow"),
}


@dataclass(frozen=True)
class Trial:
    """What is to go wrong."""

    point: str
    mode: str
    again: bool = False  #: a pass of sync dies, too

    def __str__(self) -> str:
        return f"{self.point} under {self.mode}{' and again' if self.again else ''}"


@dataclass
class Outcome:
    """What became of it."""

    trial: Trial
    intents: int = 0
    billed: int = 0
    lost: bool = False
    duplicate: bool = False
    unsettled: bool = False
    unsound: bool = False
    unfunded: bool = False
    hits: list[str] = field(default_factory=list)
    said: str = ""

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.duplicate or self.unsettled or self.unsound or self.unfunded)


def trials(seed: int) -> Iterator[Trial]:
    """Without end: every point under every mode that leads there, in rounds, shuffled."""
    chance = random.Random(seed)
    while True:
        pairs = [
            (point, mode)
            for point in (*failpoints.SUBMIT, *failpoints.SYNC)
            for mode in ONLY.get(point, tuple(MODES))
        ]
        chance.shuffle(pairs)
        # Each point once before any a second time, so that a short run reaches them all.
        seen: dict[str, int] = {}
        order = []
        for pair in pairs:
            order.append((seen.setdefault(pair[0], 0), pair))
            seen[pair[0]] += 1
        for _, (point, mode) in sorted(order, key=lambda each: each[0]):
            yield Trial(point, mode, chance.random() < 0.3)


def run(
    trial: Trial,
    template: Path,
    host: world.Host,
    *,
    settle: float = 600,
    planted: Callable[[], None] | None = None,
    seed: str = "",
    separate: bool = False,
) -> Outcome:
    """Run one trial against a host that forgets what was before."""
    chance = random.Random(f"{seed}{trial}")
    host.forget()
    with world.an_installation(host, settle=settle, template=template) as ours:
        ours.planted, ours.separate = planted, separate
        options = MODES[trial.mode]
        if options is not None:
            fault = "refuse" if trial.mode == "locked_out" else trial.mode
            host.control("faults", route="create_job", fault=fault, **options)
        outcome = Outcome(trial)
        _prepare(trial, host, ours)
        _submit(trial, ours, outcome)
        _cron(trial, host, ours, outcome, chance)
        ours.move_on(host, timedelta(days=1))
        judge(host, ours, outcome)
        return outcome


def _prepare(trial: Trial, host: world.Host, ours: world.Installation) -> None:
    """Some points need a past."""
    if trial.point == "submit.file_found":
        # The file lies there already, and this installation does not know of it.
        with world.an_installation(host) as other:
            (other.home / "train.jsonl").write_bytes((ours.home / "train.jsonl").read_bytes())
            other.run(*world.submission(other), failpoint="submit.ready")


def _submit(trial: Trial, ours: world.Installation, outcome: Outcome) -> None:
    point = trial.point if trial.point in failpoints.SUBMIT else None
    if ours.run(*world.submission(ours), failpoint=point) == KILLED:
        outcome.hits.append(str(point))


def _cron(
    trial: Trial,
    host: world.Host,
    ours: world.Installation,
    outcome: Outcome,
    chance: random.Random,
) -> None:
    waiting = trial.point if trial.point in failpoints.SYNC else None
    for _ in range(MOST_PASSES):
        point = waiting
        if point is None and trial.again and len(outcome.hits) < 3:
            point = chance.choice(failpoints.SYNC)
        if ours.run("sync", failpoint=point) == KILLED:
            outcome.hits.append(str(point))
            waiting = None
        elif waiting is None and _is_settled(ours):
            return
        ours.move_on(host, CRON)


def let_cron_settle(host: world.Host, ours: world.Installation) -> None:
    """Pass after pass, as cron would, until every job is at the host or at its end."""
    for _ in range(MOST_PASSES):
        ours.run("sync")
        if _is_settled(ours):
            return
        ours.move_on(host, CRON)


def _is_settled(ours: world.Installation) -> bool:
    statuses = [JobStatus(row[0]) for row in ours.rows("SELECT status FROM jobs")]
    return all(status.is_remote or status.is_final for status in statuses)


def judge(host: world.Host, ours: world.Installation, outcome: Outcome) -> None:
    billed = host.billed()
    rows = ours.rows("SELECT token, status, remote_id FROM jobs")
    counted = dict(ours.rows("SELECT job_id, counted FROM spendings"))
    for job, status in ours.rows("SELECT id, status FROM jobs"):
        # A job that was refused gives its money back; every other one has it, all the time.
        outcome.unfunded |= (counted.get(job, 0) > 0) == (status == JobStatus.REJECTED)
    outcome.intents, outcome.billed = len(rows), len(billed)
    outcome.unsound = not world.is_sound(ours.database)
    known = {remote_id for _, _, remote_id in rows}
    for token, status, remote_id in rows:
        mine = [job for carried, job in billed if carried == token]
        wanted = 0 if status == JobStatus.REJECTED else 1
        outcome.duplicate |= len(mine) > wanted
        outcome.lost |= len(mine) == 1 and mine[0] != remote_id
        outcome.unsettled |= len(mine) < wanted or not _is_settled(ours)
    # A job that no intent of ours stands for is lost, too: someone pays for it.
    outcome.lost |= any(job not in known for _, job in billed) and not outcome.duplicate
    outcome.said = f"{outcome.trial}: rows {rows}, billed {billed}"
