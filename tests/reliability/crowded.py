"""Many commands at once over one ledger, while some are killed and the disk fills; then a look at it all.

    python -m tests.reliability.crowded --rounds 40 --seed 1

A round: eight processes run commands, three of them are killed at any time, and in every other round
there is no room on the disk. After it the database is read whole. In the end there is room again, cron
goes on, and jobs at the host must equal intents. Mounting the small disk takes root; without it nothing
is filled.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.reliability import trials, world
from tests.reliability.frame import machine, told
from tests.reliability.soak import DECENT, furnish, small_disk

AT_ONCE = 8
KILLED = 3


@dataclass
class Crowd:
    """What happened."""

    host: world.Host
    ours: world.Installation
    chance: random.Random
    codes: Counter[int] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)

    def round(self, number: int, *, full: bool) -> None:
        """Eight commands at once."""
        ballast = self.ours.home / "ballast"
        if full:
            _fill(ballast, leave=self.chance.choice((0, 0, 4096, 20_000, 100_000)))
        commands = [self._command(number, each) for each in range(AT_ONCE)]
        running = {self._begun(command): command for command in commands}
        doomed = self.chance.sample(sorted(running), KILLED)
        for pid in doomed:
            time.sleep(self.chance.random() * 0.2)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid, command in running.items():
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            self.codes[code] += 1
            if code not in DECENT or (code == trials.KILLED and pid not in doomed):
                self.bad.append(f"round {number}, full {full}: {command[0]}: exit {code}")
        ballast.unlink(missing_ok=True)
        if not world.is_sound(self.ours.database):
            self.bad.append(f"round {number}: the database is not sound")

    def _begun(self, command: list[str]) -> int:
        pid = os.fork()
        if pid == 0:
            self.ours.child(tuple(command), None)
        return pid

    def _command(self, number: int, each: int) -> list[str]:
        submit = [*world.submission(self.ours), "--again"]
        backup = ["db", "backup", str(self.ours.home / f"{number}-{each}.copy")]
        return self.chance.choice(
            [
                submit,
                submit,
                submit,
                ["sync", "--all"],
                ["sync", "--all"],
                ["status"],
                ["costs"],
                backup,
            ]
        )


def main() -> int:
    options = _options()
    started = time.monotonic()
    with (
        world.warm() as template,
        world.a_host() as host,
        small_disk(options.disk_mb) as (home, may),
    ):
        furnish(home, host, template)
        crowd = Crowd(host, world.Installation(home), random.Random(options.seed))
        for number in range(options.rounds):
            crowd.round(number, full=may and number % 2 == 1)
            for copy in home.glob("*.copy*"):
                copy.unlink()
            crowd.ours.move_on(host, timedelta(minutes=4))
        doctor = crowd.ours.run("doctor")
        trials.let_cron_settle(host, crowd.ours)
        outcome = trials.Outcome(trials.Trial("crowded", "ok"))
        trials.judge(host, crowd.ours, outcome)
        result = _result(crowd, outcome, doctor, may)
    seconds = round(time.monotonic() - started, 1)
    return told(
        {
            **result,
            "rounds": options.rounds,
            "seed": options.seed,
            "seconds": seconds,
            "machine": machine(),
        }
    )


def _result(crowd: Crowd, outcome: trials.Outcome, doctor: int, may_fill: bool) -> dict[str, Any]:
    return {
        "passed": outcome.is_good and not crowd.bad and doctor == 0,
        "commands": sum(crowd.codes.values()),
        "exit codes": dict(crowd.codes),
        "the disk was filled": may_fill,
        "intents": outcome.intents,
        "billed": outcome.billed,
        "lost": outcome.lost,
        "duplicate": outcome.duplicate,
        "unsettled": outcome.unsettled,
        "doctor": doctor,
        "bad": crowd.bad[:10],
    }


def _fill(ballast: Path, leave: int) -> None:
    """Write until nothing fits, then give so many bytes back."""
    with contextlib.suppress(OSError), ballast.open("wb") as stream:
        while True:
            stream.write(b"x" * 4096)
            stream.flush()
    os.truncate(ballast, max(0, ballast.stat().st_size - leave))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--disk-mb", type=int, default=24)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
