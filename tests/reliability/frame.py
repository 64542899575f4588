"""What every tool here does alike: share trials between processes, count, bound, print."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

Some = TypeVar("Some")


def told(result: dict[str, Any]) -> int:
    """Print a result as JSON; the exit code it deserves."""
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 0 if result["passed"] else 1


def run(
    description: str | None, count: Callable[[argparse.Namespace], dict[str, Any]], **numbers: float
) -> int:
    """`measured`, of a tool whose options all are numbers."""
    parser = argparse.ArgumentParser(description=description)
    for name, number in numbers.items():
        parser.add_argument(f"--{name}", type=type(number), default=number)
    return measured(partial(count, parser.parse_args()))


def measured(count: Callable[[], dict[str, Any]]) -> int:
    """Run a tool, add what a reader of its result must know, and print it."""
    began, started = datetime.now(UTC), time.monotonic()
    result = count()
    trials = result.get("trials")
    return told(
        {
            **result,
            **({"bound": bound(trials)} if trials else {}),
            "seconds": round(time.monotonic() - started, 1),
            "date": f"{began:%Y-%m-%d %H:%M} UTC",
            "command": "python -m " + " ".join([_module(), *sys.argv[1:]]),
            "machine": machine(),
        }
    )


def bound(trials: int) -> str:
    """What so many trials without a failure say of the chance of one."""
    return f"p < {3 / trials:.2g} a trial at 95 %"


def machine() -> str:
    """What it ran on."""
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python " + (
        platform.python_version()
    )


def shared(work: Callable[[int, int], Some], workers: int) -> list[Some]:
    """What each of so many processes makes of its share: `work(which, of how many)`."""
    if workers == 1:
        return [work(0, 1)]
    # Not daemons: each kills and hosts processes of its own.
    queue: Any = multiprocessing.get_context("fork").SimpleQueue()

    def share(which: int) -> None:
        try:
            queue.put((work(which, workers), None))
        except Exception:  # noqa: BLE001 - whoever waits for this share must hear of it
            queue.put((None, traceback.format_exc()))

    processes = [
        multiprocessing.get_context("fork").Process(target=share, args=(which,))
        for which in range(workers)
    ]
    for process in processes:
        process.start()
    found = [queue.get() for _ in processes]
    for process in processes:
        process.join()
    broken = [said for _, said in found if said is not None]
    if broken:
        raise RuntimeError(broken[0])
    return [some for some, _ in found]


def _module() -> str:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name if spec else sys.argv[0]
