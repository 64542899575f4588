"""Submits over a line that loses, delays, doubles and cuts, each killed at any time: one job each.

    python -m tests.reliability.bad_line --trials 300 --seed 1

Every submit is a process of its own, most of which get a SIGKILL some milliseconds after they began. A
third of the requests meets a fault of the line. What the line itself delivers twice is two jobs, and
nobody can prevent that; ftctl must say so of each.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchestrator.domain.jobs.job import JobStatus
from tests.reliability import mangler, planted, trials, world
from tests.reliability.frame import machine, told

CRON = timedelta(minutes=4)
LONGEST = 1.5


def main() -> int:
    options = _options()
    started = time.monotonic()
    with world.warm() as template:
        result = run(options.trials, options.seed, template)
        control = run(25, options.seed, template, planted.post_before_save)
    return told(
        {
            **result,
            "passed": result["passed"] and not control["passed"],
            "negative control (POST before save) failed, as it must": not control["passed"],
            "seed": options.seed,
            "seconds": round(time.monotonic() - started, 1),
            "machine": machine(),
        }
    )


def run(
    count: int, seed: int, template: Path, plant: Callable[[], None] | None = None
) -> dict[str, Any]:
    """So many submits, then cron over a good line."""
    chance = random.Random(seed)
    with (
        world.a_host() as host,
        world.an_installation(host, template=template) as ours,
        a_bad_line(host, ours.home / "line.log", seed) as (pid, port),
    ):
        file = ours.home / "ftctl.toml"
        text = file.read_text().replace(str(urlsplit(host.url).port), str(port))
        file.write_text(text.replace("budget_usd_per_month = 100", ""))
        ours.planted = plant
        codes = Counter(_submitted(ours, chance) for _ in range(count))
        # What is late must be there before the settle time begins to pass.
        time.sleep(4 * mangler.LATE_SECONDS)
        os.kill(pid, signal.SIGUSR1)
        for _ in range(trials.MOST_PASSES):
            ours.run("sync", "--all")
            ours.move_on(host, CRON)
        doubled = (ours.home / "line.log").read_text().count(mangler.TWICE)
        return {"submits": count, "killed": codes[trials.KILLED], **_judged(host, ours, doubled)}


def _submitted(ours: world.Installation, chance: random.Random) -> int:
    pid = os.fork()
    if pid == 0:
        ours.child((*world.submission(ours), "--again"), None)
    if chance.random() < 0.6:
        time.sleep(chance.random() * LONGEST)
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _judged(host: world.Host, ours: world.Installation, doubled: int) -> dict[str, Any]:
    billed = host.billed()
    rows = ours.rows("SELECT id, token, status, remote_id FROM jobs")
    alarmed = {row[0] for row in ours.rows("SELECT job_id FROM events WHERE level = 'error'")}
    known = {remote_id for _, _, _, remote_id in rows}
    tokens = Counter(token for token, _ in billed)
    twice = [job for job, token, _, _ in rows if tokens[token] > 1]
    lost = [job for token, job in billed if job not in known and tokens[token] == 1]
    never = [
        job
        for job, token, status, _ in rows
        if not tokens[token] and status not in {JobStatus.REJECTED, JobStatus.NEEDS_REVIEW}
    ]
    unsaid = [job for job in twice if job not in alarmed]
    sound = world.is_sound(ours.database)
    good = not (lost or never or unsaid) and len(twice) <= doubled and sound
    return {
        "passed": good,
        "intents": len(rows),
        "billed": len(billed),
        "POSTs that the line delivered twice": doubled,
        "billed twice": len(twice),
        "of which ftctl said nothing": len(unsaid),
        "lost": len(lost),
        "never made": len(never),
        "database is sound": sound,
    }


@contextmanager
def a_bad_line(host: world.Host, log: Path, seed: int) -> Iterator[tuple[int, int]]:
    """A line in a process of its own, bad until it gets a SIGUSR1; its process id and its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    pid = os.fork()
    if pid == 0:
        address = ("127.0.0.1", urlsplit(host.url).port or 0)
        line = mangler.Mangler(address, random.Random(seed), silence=1.0, share=0.33)

        def calm(*_: Any) -> None:
            made = [
                what for verb, path, what in line.seen if verb == "POST" and path.endswith("/jobs")
            ]
            log.write_text("\n".join(made))
            line.share = 0.0

        signal.signal(signal.SIGUSR1, calm)
        line.serve(listener)
        os._exit(0)
    port = listener.getsockname()[1]
    listener.close()
    try:
        yield pid, port
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
