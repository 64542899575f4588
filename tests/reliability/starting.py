"""How long a command takes to start, and what it must not load on the way.

    python -m tests.reliability.starting --times 40

`ftctl --help` and `ftctl status` over a ledger of a hundred jobs, each in a process of its own; wall and
CPU. What is slow to load must not be loaded: the list is looked at inside the process.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from orchestrator import config, wiring
from tests.factories import a_job
from tests.reliability import frame, world

HEAVY = ("openai", "litellm", "torch", "transformers", "alembic", "httpx2", "huggingface_hub")
COMMANDS = {"ftctl --help": ["--help"], "ftctl status": ["status"]}
# CPU milliseconds, for a machine on which other work runs.
MOST = {"ftctl --help": 120, "ftctl status": 450}


def main() -> int:
    return frame.run(__doc__, _all, times=40)


def _all(options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        environment = {"FTCTL_HOME": folder, "HOME": folder, "PYTHONPATH": str(world.ROOT)}
        _fill(Path(folder), environment)
        taken = {
            name: [_once(command, environment) for _ in range(options.times)]
            for name, command in COMMANDS.items()
        }
        loaded = {name: _loaded(command, environment) for name, command in COMMANDS.items()}
    cpu = {name: statistics.median(each[1] for each in some) for name, some in taken.items()}
    return {
        "passed": not any(loaded.values()) and all(cpu[name] <= MOST[name] for name in MOST),
        "times": options.times,
        "CPU ms, median": cpu,
        "wall ms, median": {n: statistics.median(e[0] for e in some) for n, some in taken.items()},
        "loaded, and must not be": loaded,
    }


def _once(command: list[str], environment: dict[str, str]) -> tuple[int, int]:
    """Wall and CPU milliseconds of one process."""
    started = time.perf_counter()
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "orchestrator", *command],
        environment,
        file_actions=[(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)],
    )
    _, status, used = os.wait4(pid, 0)
    assert status == 0, command
    wall = time.perf_counter() - started
    return round(1000 * wall), round(1000 * (used.ru_utime + used.ru_stime))


def _loaded(command: list[str], environment: dict[str, str]) -> list[str]:
    code = (
        "import sys; from orchestrator import cli; cli.run(sys.argv[1:]);"
        f"sys.stderr.write('\\n' + ' '.join({set(HEAVY)} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return sorted(done.stderr.rpartition("\n")[2].split())


def _fill(home: Path, environment: dict[str, str]) -> None:
    app = wiring.App(config.load(environment, cwd=home))
    for number in range(100):
        app.jobs.add(a_job(id=f"{number:012d}", token=f"{number:026d}", training=None))
    app.close()


if __name__ == "__main__":
    sys.exit(main())
