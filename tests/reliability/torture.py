"""Kill submit and sync at every named point, under every way a host can fail; count the jobs.

    python -m tests.reliability.torture --trials 1000 --seed 7

Prints one JSON object: N, seed, machine, result, the bound that N failures-free trials give (3/N at
95 %), which points were hit, and the negative controls, each of which must fail.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from orchestrator.domain import failpoints
from tests.reliability import planted, trials, world

CONTROLS: dict[str, tuple[trials.Trial, dict[str, Any]]] = {
    "POST before save": (
        trials.Trial("submit.answered", "ok"),
        {"planted": planted.post_before_save},
    ),
    "blind retry": (
        trials.Trial("sync.begun", "drop_after_accept"),
        {"planted": planted.blind_retry},
    ),
    "settle time too short": (trials.Trial("sync.begun", "late"), {"settle": 5}),
}


def main() -> int:
    options = _options()
    started = time.monotonic()
    with world.warm() as template:
        outcomes = []
        for trial in itertools.islice(trials.trials(options.seed), options.trials):
            if options.seconds and time.monotonic() - started > options.seconds:
                break
            outcomes.append(trials.run(trial, template, seed=options.seed))
        controls = {
            name: not trials.run(trial, template, **how).is_good
            for name, (trial, how) in CONTROLS.items()
        }
    result = _result(outcomes, controls) | {
        "seed": options.seed,
        "seconds": round(time.monotonic() - started, 1),
        "machine": machine(),
    }
    return told(result)


def told(result: dict[str, Any]) -> int:
    """Print a result as JSON; the exit code it deserves."""
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 0 if result["passed"] else 1


def machine() -> str:
    """What it ran on."""
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python " + (
        platform.python_version()
    )


def _result(outcomes: list[trials.Outcome], controls: dict[str, bool]) -> dict[str, Any]:
    hits = Counter(point for outcome in outcomes for point in outcome.hits)
    bad = [outcome for outcome in outcomes if not outcome.is_good]
    result = {
        "trials": len(outcomes),
        "kills": sum(hits.values()),
        "intents": sum(outcome.intents for outcome in outcomes),
        "billed": sum(outcome.billed for outcome in outcomes),
        "lost": sum(outcome.lost for outcome in outcomes),
        "duplicate": sum(outcome.duplicate for outcome in outcomes),
        "unsettled": sum(outcome.unsettled for outcome in outcomes),
        "unsound databases": sum(outcome.unsound for outcome in outcomes),
        "money without a reservation": sum(outcome.unfunded for outcome in outcomes),
        "bound": f"p < {3 / max(1, len(outcomes)):.2%} a trial at 95 %",
        "never hit": sorted({*failpoints.SUBMIT, *failpoints.SYNC} - set(hits)),
        "negative controls failed, as they must": controls,
        "failures": [outcome.said for outcome in bad][:10],
    }
    return {"passed": not bad and all(controls.values()), **result}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, help="Begin no trial after so many.")
    return parser.parse_args()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    sys.exit(main())
