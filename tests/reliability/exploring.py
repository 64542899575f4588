"""The model of tests/reliability/test_stateful.py at volume, and how soon it finds what was planted.

    python -m tests.reliability.exploring --minutes 5 --seed 1

Every process draws runs of submits, syncs, crashes, faults and waits until its time is over. Then each
planted bug is put in, alone, and the clock is stopped when the model stumbles over it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator.store import database
from tests.reliability import frame, planted
from tests.reliability.test_stateful import BUGS, explore

EXAMPLES = 100
LONGEST_HUNT = 60.0


def main() -> int:
    return frame.run(__doc__, _explored, minutes=2.0, seed=1, workers=2)


def _explored(options: argparse.Namespace) -> dict[str, Any]:
    shares = frame.shared(partial(_share, options), options.workers)
    with tempfile.TemporaryDirectory() as folder:
        template = _template(Path(folder))
        hunted = {name: _hunted(plant, template, options.seed) for name, plant in BUGS.items()}
    steps = sum(count for count, _ in shares)
    failures = [said for _, said in shares if said]
    found = all(seconds is not None for seconds in hunted.values())
    return {
        "passed": not failures and found,
        "steps": steps,
        "seed": options.seed,
        "seconds until a planted bug was found": hunted,
        "failures": failures[:3],
    }


def _share(options: argparse.Namespace, which: int, _many: int) -> tuple[int, str]:
    deadline, steps, rounds = time.monotonic() + 60 * options.minutes, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        template = _template(Path(folder))
        while time.monotonic() < deadline:
            rounds += 1
            seed = options.seed * 1_000_003 + which * 10_007 + rounds
            try:
                steps += explore(template, EXAMPLES, seed=seed)
            except AssertionError as error:
                return steps, f"seed {seed}: {error!r}"
    return steps, ""


def _hunted(plant: Callable[[], None], template: Path, seed: int) -> float | None:
    """Seconds until the model stumbles over a bug; None when it never does."""
    started = time.monotonic()
    with planted.undone(plant):
        while time.monotonic() - started < LONGEST_HUNT:
            seed += 1
            try:
                explore(template, EXAMPLES, seed=seed)
            except AssertionError:
                return round(time.monotonic() - started, 1)
    return None


def _template(folder: Path) -> Path:
    database.open_database(f"sqlite:///{folder}/template.db").dispose()
    return folder / "template.db"


if __name__ == "__main__":
    sys.exit(main())
