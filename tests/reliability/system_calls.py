"""A kill or an error at each system call that writes the database or talks to the host, one by one.

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
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tests.reliability import frame, planted, trials, world

# Those that write the database, and those that talk to the host; what may go wrong at each.
WRITES = {
    "pwrite64": ("signal=SIGKILL", "error=ENOSPC", "error=EIO"),
    "fdatasync": ("signal=SIGKILL", "error=EIO"),
    "fsync": ("signal=SIGKILL", "error=EIO"),
    "ftruncate": ("signal=SIGKILL", "error=EIO"),
}
TALKS = {
    "connect": ("signal=SIGKILL", "error=ECONNREFUSED"),
    "sendto": ("signal=SIGKILL", "error=ECONNRESET"),
    "recvfrom": ("signal=SIGKILL", "error=ECONNRESET"),
}
CALLS = WRITES | TALKS
# What a command may end with: done, no, try later, local state, or killed by us.
DECENT = {0, 1, 3, 4, 5, trials.KILLED}
_PR_SET_PTRACER = 0x59616D61
_ANYBODY = ctypes.c_ulong(-1)


@dataclass(frozen=True)
class Scene:
    """Which command is disturbed, and what the host does meanwhile."""

    command: str
    fault: str | None


class Injection(NamedTuple):
    """What goes wrong, at which of a scene's calls."""

    scene: Scene
    call: str
    n: int
    what: str


SCENES = (Scene("submit", None), Scene("submit", "drop_after_accept"),
          Scene("sync", "drop_after_accept"), Scene("sync", "error_500"))  # fmt: skip


def main() -> int:
    options = _options()
    if shutil.which("strace") is None:
        sys.stdout.write(json.dumps({"skipped": "strace is not installed"}) + "\n")
        return 0
    return frame.measured(partial(_all, options))


def _all(options: argparse.Namespace) -> dict[str, Any]:
    with world.warm() as template, world.a_host() as host:
        plan = list(_plan(template, host))[:: options.every]
        control = any(
            not _disturbed(
                Injection(SCENES[0], "pwrite64", n, "signal=SIGKILL"),
                template,
                host,
                planted.post_before_save,
            )[0].is_good
            for n in range(4, 140, 4)
        )
    found, bad = Counter[str](), []
    for counts, failures in frame.shared(partial(_share, plan), options.workers):
        found += counts
        bad += failures
    return {
        "passed": not bad and control,
        **found,
        "bad": bad[:10],
        "negative control (POST before save) failed, as it must": control,
    }


def _share(plan: list[Injection], which: int, many: int) -> tuple[Counter[str], list[str]]:
    found, bad = Counter[str](), []
    with world.warm() as template, world.a_host() as host:
        for injection in plan[which::many]:
            outcome, code = _disturbed(injection, template, host)
            found["trials"] += 1
            found[f"struck: {injection.call} {injection.what}"] += code != 0
            found["intents"] += outcome.intents
            found["billed"] += outcome.billed
            if not outcome.is_good or code not in DECENT:
                bad.append(f"{injection}: exit {code}; {outcome.said}")
            if found["trials"] % 50 == 0:
                sys.stderr.write(f"{which}: {found['trials']} of {len(plan) // many}\n")
    return found, bad


def _plan(template: Path, host: world.Host) -> Iterator[Injection]:
    """Every call there is, in every scene, with all that may go wrong at it."""
    for scene in SCENES:
        for calls in (WRITES, TALKS):
            host.forget()
            with world.an_installation(host, template=template) as ours:
                counts = counted(ours, _ready(scene, host, ours), calls)
            for call, count in counts.items():
                for n in range(1, count + 1):
                    for what in calls[call]:
                        yield Injection(scene, call, n, what)


def counted(
    ours: world.Installation, arguments: list[str], calls: Mapping[str, object]
) -> dict[str, int]:
    """How often a command makes each of these calls, by the thread that makes it most often."""
    with tempfile.NamedTemporaryFile("r", suffix=".strace") as log:
        traced(ours, arguments, [f"--trace={','.join(calls)}"], log.name, database=calls is WRITES)
        counts: Counter[tuple[str, str]] = Counter()
        for line in log:
            words = line.split(maxsplit=1)
            if len(words) == 2 and words[1].split("(")[0] in calls:
                counts[words[1].split("(")[0], words[0]] += 1
    most: dict[str, int] = {}
    for (call, _), count in counts.items():
        most[call] = max(most.get(call, 0), count)
    return most


def _disturbed(
    injection: Injection,
    template: Path,
    host: world.Host,
    plant: Callable[[], None] | None = None,
) -> tuple[trials.Outcome, int]:
    scene, call, n, what = injection
    host.forget()
    with world.an_installation(host, template=template) as ours:
        ours.planted = plant
        outcome = trials.Outcome(trials.Trial(f"{call} {n}", scene.fault or "ok"))
        arguments = _ready(scene, host, ours)
        options = [f"--trace={call}", f"--inject={call}:{what}:when={n}"]
        code = traced(ours, arguments, options, os.devnull, database=call in WRITES)
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


def traced(
    ours: world.Installation, arguments: list[str], options: list[str], log: str, *, database: bool
) -> int:
    """Run a command under strace; it starts when strace has attached.

    Args:
        ours: where.
        arguments: of the command.
        options: of strace: what is looked at, and what is done to it.
        log: where strace writes what it sees.
        database: look only at calls on the database's files.
    """
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writable)
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANYBODY, 0, 0, 0)
        os.read(readable, 1)
        ours.child(tuple(arguments), None)
    os.close(readable)
    # As SQLite opens it: a path that is no link.
    path = str(ours.database.resolve())
    files = [f"-P{path}{suffix}" for suffix in ("", "-wal", "-journal") if database]
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
    parser.add_argument("--workers", type=int, default=2, help="Processes that share the trials.")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
