"""The answer to the one POST, cut after every byte: one job each, whatever arrived of it.

python -m tests.reliability.cut_answers --every 1
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import time
from typing import Any

from orchestrator import cli
from orchestrator.domain.jobs.job import JobStatus
from tests.reliability import trials, world
from tests.reliability.frame import machine, told

# The longest answer that a simulated host gives to a new job, headers included.
LONGEST = 1100


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="Only every so many-th byte.")
    started = time.monotonic()
    result = run(parser.parse_args().every)
    seconds = round(time.monotonic() - started, 1)
    return told({**result, "seconds": seconds, "machine": machine()})


def run(every: int) -> dict[str, Any]:
    """Submit once for every cut, then let one pass of sync find out."""
    said = io.StringIO()
    with world.a_host() as host, world.an_installation(host) as ours:
        codes = []
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            for cut in range(0, LONGEST, every):
                host.control("faults", route="create_job", fault="cut", bytes=cut)
                codes.append(cli.run([*world.submission(ours), "--again"], obj=ours.app()))
            in_doubt = len(ours.rows("SELECT 1 FROM jobs WHERE status = 'unknown'"))
            cli.run(["sync"], obj=ours.app())
        outcome = trials.Outcome(trials.Trial("cut", "every byte"))
        trials.judge(host, ours, outcome)
        whole = len(ours.rows(f"SELECT 1 FROM jobs WHERE status = '{JobStatus.QUEUED}'"))
    tracebacks = said.getvalue().count("Traceback") + said.getvalue().count("This is a bug")
    return {
        "passed": outcome.is_good and not tracebacks and 0 < in_doubt < len(codes),
        "cuts": len(codes),
        "in doubt after submit": in_doubt,
        "at the host after one sync": whole,
        "intents": outcome.intents,
        "billed": outcome.billed,
        "tracebacks": tracebacks,
    }


if __name__ == "__main__":
    sys.exit(main())
