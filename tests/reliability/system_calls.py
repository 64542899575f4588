"""SIGKILL, ENOSPC and EIO at the system calls that write the database, one after the other.

    python -m tests.reliability.system_calls

strace attaches to a command that waits for it, and injects at the Nth call of one kind, for every N
there is. Afterwards cron goes on with a healthy disk, and jobs at the host must equal intents.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.reliability import planted, trials, world
from tests.reliability.frame import machine, told

CALLS = ("pwrite64", "fdatasync", "fsync", "ftruncate")
INJECTIONS = ("signal=SIGKILL", "error=ENOSPC", "error=EIO")
# What a command may end with: done, no, try later, local state, or killed by us.
DECENT = {0, 1, 3, 4, 5, trials.KILLED}
_PR_SET_PTRACER = 0x59616D61
_ANYBODY = ctypes.c_ulong(-1)


@dataclass(frozen=True)
class Scene:
    """Which command is disturbed, and what the host does meanwhile."""

    command: str
    fault: str | None


SCENES = (Scene("submit", None), Scene("submit", "drop_after_accept"),
          Scene("sync", "drop_after_accept"), Scene("sync", "error_500"))  # fmt: skip


def main() -> int:
    every = _options().every
    if shutil.which("strace") is None:
        sys.stdout.write(json.dumps({"skipped": "strace is not installed"}) + "\n")
        return 0
    started = time.monotonic()
    with world.warm() as template:
        found, bad = Counter[str](), []
        for scene, call, n, injection in _plan(template, every):
            outcome, code = _disturbed(scene, call, n, injection, template)
            found["trials"] += 1
            found[f"fired {injection}"] += code != 0
            if not outcome.is_good or code not in DECENT:
                bad.append(f"{scene} {injection} at {call} {n}: exit {code}; {outcome.said}")
        control = any(
            not _disturbed(
                SCENES[0], "pwrite64", n, INJECTIONS[0], template, planted.post_before_save
            )[0].is_good
            for n in range(4, 140, 4)
        )
    return told(
        {
            "passed": not bad and control,
            **found,
            "bad": bad[:10],
            "negative control (POST before save) failed, as it must": control,
            "seconds": round(time.monotonic() - started, 1),
            "machine": machine(),
        }
    )


def _plan(template: Path, every: int) -> Iterator[tuple[Scene, str, int, str]]:
    """Every call there is, in every scene, with every injection."""
    for scene in SCENES:
        counts = _counted(scene, template)
        for call, count in counts.items():
            for n in range(1, count + 1, every):
                for injection in INJECTIONS:
                    if injection == "error=ENOSPC" and call != "pwrite64":
                        continue
                    yield scene, call, n, injection


def _counted(scene: Scene, template: Path) -> dict[str, int]:
    """How often each call writes the database, by the thread that calls most often."""
    with tempfile.NamedTemporaryFile("r", suffix=".strace") as log:
        with world.a_host() as host, world.an_installation(host, template=template) as ours:
            arguments = _ready(scene, host, ours)
            _traced(ours, arguments, [f"--trace={','.join(CALLS)}"], log.name)
        counts: Counter[tuple[str, str]] = Counter()
        for line in log:
            words = line.split(maxsplit=1)
            if len(words) == 2 and words[1].split("(")[0] in CALLS:
                counts[words[1].split("(")[0], words[0]] += 1
    most: dict[str, int] = {}
    for (call, _), count in counts.items():
        most[call] = max(most.get(call, 0), count)
    return most


def _disturbed(
    scene: Scene,
    call: str,
    n: int,
    injection: str,
    template: Path,
    plant: Callable[[], None] | None = None,
) -> tuple[trials.Outcome, int]:
    with world.a_host() as host, world.an_installation(host, template=template) as ours:
        ours.planted = plant
        outcome = trials.Outcome(trials.Trial(f"{call} {n}", scene.fault or "ok"))
        arguments = _ready(scene, host, ours)
        options = [f"--trace={call}", f"--inject={call}:{injection}:when={n}"]
        code = _traced(ours, arguments, options, os.devnull)
        trials.let_cron_settle(host, ours)
        ours.move_on(host, timedelta(days=1))
        trials.judge(host, ours, outcome)
        return outcome, code


def _ready(scene: Scene, host: world.Host, ours: world.Installation) -> list[str]:
    """The command of the scene, with all before it done."""
    if scene.fault:
        host.control("faults", route="create_job", fault=scene.fault)
    if scene.command == "submit":
        return world.submission(ours)
    ours.run(*world.submission(ours))
    if scene.fault == "error_500":
        # The second of two listings without the job: the pass that sends again.
        for _ in range(3):
            ours.move_on(host, trials.CRON)
        ours.run("sync")
        ours.move_on(host, trials.CRON)
    return ["sync"]


def _traced(ours: world.Installation, arguments: list[str], options: list[str], log: str) -> int:
    """Run a command under strace; it starts when strace has attached."""
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writable)
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANYBODY, 0, 0, 0)
        os.read(readable, 1)
        ours.child(tuple(arguments), None)
    os.close(readable)
    # As SQLite opens it: a path that is no link.
    database = str(ours.database.resolve())
    files = [f"-P{database}{suffix}" for suffix in ("", "-wal", "-journal")]
    tracer = subprocess.Popen(
        ["strace", "-f", "-o", log, *files, *options, "-p", str(pid)],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tracer.stderr is not None
    for line in tracer.stderr:
        if "attached" in line:
            break
    os.write(writable, b"!")
    os.close(writable)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    tracer.stderr.close()
    tracer.wait()
    return code


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="Only every so many-th call.")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
