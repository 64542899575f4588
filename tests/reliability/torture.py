"""Kill submit and sync at every named point, under every way a host can fail; count the jobs.

    python -m tests.reliability.torture --trials 1000 --seed 7

Prints one JSON object: N, seed, machine, result, the bound that N failures-free trials give (3/N at
95 %), which points were hit, and the negative controls, each of which must fail.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections import Counter
from functools import partial
from typing import Any

from orchestrator.domain import failpoints
from tests.reliability import frame, planted, trials, world

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
    return frame.measured(partial(_tortured, _options()))


def _tortured(options: argparse.Namespace) -> dict[str, Any]:
    shares = frame.shared(partial(_share, options), options.workers)
    with world.warm() as template, world.a_host() as host:
        controls = {
            name: not trials.run(trial, template, host, **how).is_good
            for name, (trial, how) in CONTROLS.items()
        }
    outcomes = [outcome for share in shares for outcome in share]
    return _result(outcomes, controls) | {"seed": options.seed}


def _share(options: argparse.Namespace, which: int, many: int) -> list[trials.Outcome]:
    deadline = time.monotonic() + (options.seconds or 1e9)
    mine = itertools.islice(trials.trials(options.seed), which, options.trials, many)
    outcomes: list[trials.Outcome] = []
    with world.warm() as template, world.a_host() as host:
        for trial in mine:
            if time.monotonic() > deadline:
                break
            chance = f"{options.seed} {which} {len(outcomes)}"
            outcomes.append(
                trials.run(trial, template, host, seed=chance, separate=options.separate)
            )
            if len(outcomes) % 100 == 0:
                bad = sum(not outcome.is_good for outcome in outcomes)
                sys.stderr.write(f"{which}: {len(outcomes)} trials, {bad} bad\n")
    return outcomes


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
        "never hit": sorted({*failpoints.SUBMIT, *failpoints.SYNC} - set(hits)),
        "negative controls failed, as they must": controls,
        "failures": [outcome.said for outcome in bad][:10],
    }
    return {"passed": not bad and all(controls.values()), **result}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="Processes that share the trials.")
    parser.add_argument(
        "--separate", action="store_true", help="Each command in an interpreter of its own."
    )
    parser.add_argument("--seconds", type=float, help="Begin no trial after so many.")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
