"""A request whose answer is lost and whose job appears late: inside the settle time, and beyond it.

    python -m tests.reliability.late_jobs --trials 1000 --seed 1

Inside, one job each. Beyond, ftctl cannot know better and sends again: there the second bill must be
told of, in the job's history, by the first pass that can see both.
"""

from __future__ import annotations

import argparse
import random
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tests.reliability import frame, trials, world

SETTLE = 600.0
LATEST = 7200.0
ALARM = "SELECT count(*) FROM events WHERE level = 'error' AND message LIKE 'a second remote job%'"


class Seen(NamedTuple):
    """What became of one request."""

    inside: bool
    jobs: int
    alarms: int
    good: bool


def main() -> int:
    return frame.run(__doc__, _counted, trials=100, seed=1, workers=2)


def _counted(options: argparse.Namespace) -> dict[str, Any]:
    shares = frame.shared(partial(_share, options), options.workers)
    seen = [each for share in shares for each in share]
    inside = [each for each in seen if each.inside]
    beyond = [each for each in seen if not each.inside]
    twice = [each for each in beyond if each.jobs == 2]
    unheard = sum(not each.alarms for each in twice)
    false = sum(each.alarms for each in seen if each.jobs == 1)
    bad = sum(not each.good for each in inside)
    return {
        # The control is the other half: with the settle time too short there are second jobs.
        "passed": not bad and not unheard and not false and bool(twice),
        "trials": len(inside),
        "seed": options.seed,
        "inside the settle time": {"requests": len(inside), "lost or doubled": bad},
        "beyond it": {
            "requests": len(beyond),
            "second jobs, as there must be": len(twice),
            "of which nobody was told": unheard,
        },
        "false alarms": false,
    }


def _share(options: argparse.Namespace, which: int, many: int) -> list[Seen]:
    with world.warm() as template, world.a_host() as host:
        return [
            _one(number, options.seed, template, host)
            for number in range(which, 2 * options.trials, many)
        ]


def _one(number: int, seed: int, template: Path, host: world.Host) -> Seen:
    inside = number % 2 == 0
    chance = random.Random(f"{seed} {number}")
    late = chance.uniform(1, SETTLE - 1) if inside else chance.uniform(SETTLE + 300, LATEST)
    host.forget()
    with world.an_installation(host, settle=SETTLE, template=template) as ours:
        host.control("faults", route="create_job", fault="late", seconds=late)
        ours.run(*world.submission(ours))
        trials.let_cron_settle(host, ours)
        ours.move_on(host, timedelta(seconds=LATEST))
        ours.run("sync", "--all")
        outcome = trials.Outcome(trials.Trial("submit.unclear", f"late by {late:.0f} s"))
        trials.judge(host, ours, outcome)
        ((alarms,),) = ours.rows(ALARM)
        return Seen(inside, outcome.billed, alarms, outcome.is_good)


if __name__ == "__main__":
    sys.exit(main())
