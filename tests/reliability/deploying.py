"""Kill `deploy`, `undeploy` and `sync` at their named points, while the host loses its answers.

    python -m tests.reliability.deploying --trials 60 --seed 1

What must be true, whatever died: every deployment that the host has is one that our ledger looks
after; a person who asks again gets one deployment and no second; and after `undeploy`, the host has
none, and the ledger knows it.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.domain import failpoints
from orchestrator.usecases.hosting import following, undeploying
from tests.reliability import world
from tests.reliability.frame import machine, told
from tests.reliability.trials import CRON, KILLED, WAYS

PASSES = 5
MOST_ASKED = 3
ARM = """arm_endpoint = "{root}"
arm_token_env = "KEY"
subscription = "simulated"
resource_group = "simulated"
account = "simulated"
"""
# How the host answers the first PUT.
MODES: dict[str, dict[str, Any] | None] = {
    **WAYS,
    "refuse": {"status": 400, "code": "InsufficientQuota", "message": "no quota"},
}
ONLY = {
    "deploy.unclear": ("drop_before", "drop_after_accept", "half_body", "no_id", "slow", "late"),
    "deploy.not_taken": ("rate_limited",),
    "deploy.refused": ("refuse",),
    "deploy.answered": ("ok", "unknown_status"),
    "deploy.accepted": ("ok", "unknown_status"),
}
# How it answers the first DELETE.
ENDS = ("ok", "drop_before", "drop_after_accept", "error_500", "error_500_after_accept")


@dataclass(frozen=True)
class Trial:
    """What is to go wrong."""

    point: str
    mode: str
    end: str

    def __str__(self) -> str:
        return f"{self.point} under {self.mode}, ended under {self.end}"


@dataclass
class Outcome:
    """What became of it."""

    trial: Trial
    kills: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    puts: int = 0
    asked: int = 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    started = time.monotonic()
    with world.warm() as template:
        outcomes = [run(trial, template) for trial in trials(options.seed, options.trials)]
        control = run(Trial("hosting.written", "late", "ok"), template, planted=forget_what_is_late)
    kills = Counter(point for outcome in outcomes for point in outcome.kills)
    problems = [f"{o.trial}: {problem}" for o in outcomes for problem in o.problems]
    return told(
        {
            "passed": not problems and bool(control.problems),
            "trials": len(outcomes),
            "kills": sum(kills.values()),
            "puts": sum(outcome.puts for outcome in outcomes),
            "never hit": sorted(set(failpoints.DEPLOY) - set(kills)),
            "problems": problems[:10],
            "negative control, what is late is forgotten, failed as it must": bool(
                control.problems
            ),
            "seed": options.seed,
            "seconds": round(time.monotonic() - started, 1),
            "machine": machine(),
        }
    )


def trials(seed: int, count: int) -> list[Trial]:
    """Every point under every mode that leads there, each point once before any a second time."""
    chance = random.Random(seed)
    found: list[Trial] = []
    while len(found) < count:
        by_point = {
            point: chance.sample(modes, len(modes))
            for point in failpoints.DEPLOY
            for modes in [ONLY.get(point, tuple(MODES))]
        }
        for turn in range(len(MODES)):
            found += [
                Trial(point, modes[turn], chance.choice(ENDS))
                for point, modes in by_point.items()
                if turn < len(modes)
            ]
    return found[:count]


def run(trial: Trial, template: Path, *, planted: Callable[[], None] | None = None) -> Outcome:
    """A deployment's whole life, in which one command dies."""
    outcome = Outcome(trial)
    with (
        world.a_host("azure") as host,
        world.an_installation(host, kind="azure", template=template) as ours,
    ):
        _place(host, ours)
        ours.run(*world.submission(ours))
        host.control("advance", looks=10)
        ours.run("sync", "--all")
        job = ours.rows("SELECT id FROM jobs")[0][0]
        ours.planted = planted
        if (options := MODES[trial.mode]) is not None:
            host.control("faults", route="put_deployment", fault=trial.mode, **options)
        _command(ours, outcome, "deploy", job, "--yes")
        _cron(host, ours, outcome)
        # A person asks until the host takes it.
        while ours.run("deploy", job, "--yes") and outcome.asked < MOST_ASKED:
            outcome.asked += 1
        _cron(host, ours, outcome)
        _judge_standing(host, ours, outcome)
        if trial.end != "ok":
            host.control("faults", route="delete_deployment", fault=trial.end)
        _command(ours, outcome, "undeploy", job, "--yes")
        _command(ours, outcome, "undeploy", job, "--yes")
        _cron(host, ours, outcome)
        _judge_end(host, ours, outcome)
        outcome.puts = host.control("counts").get("put_deployment", 0)
    return outcome


def forget_what_is_late() -> None:
    """Take a request that is not seen to arrive for one that never will."""

    def absent(deployment: Any, yard: Any) -> Any:
        return undeploying.over(deployment, yard, "not there")

    vars(following)["_absent"] = absent


def arm(host: world.Host) -> str:
    """Lines of a profile: where the host's deployments are made."""
    return ARM.format(root=host.url.removesuffix("/openai/v1"))


def _place(host: world.Host, ours: world.Installation) -> None:
    config = ours.home / "ftctl.toml"
    config.write_text(config.read_text().replace("\n[sync]", arm(host) + "\n[sync]"))


def _command(ours: world.Installation, outcome: Outcome, *arguments: str) -> None:
    """Die at the point if this command comes by it; later commands do not."""
    point = None if outcome.kills else outcome.trial.point
    if ours.run(*arguments, failpoint=point) == KILLED:
        outcome.kills.append(outcome.trial.point)


def _cron(host: world.Host, ours: world.Installation, outcome: Outcome) -> None:
    for _ in range(PASSES):
        ours.move_on(host, CRON)
        _command(ours, outcome, "sync", "--all")
        _judge_known(host, ours, outcome)


def _judge_known(host: world.Host, ours: world.Installation, outcome: Outcome) -> None:
    """What the host has, the ledger looks after: always, and not only at the end."""
    looked_after = {
        name
        for (name,) in ours.rows(
            "SELECT name FROM deployments WHERE state NOT IN ('failed', 'deleted')"
            " AND (state <> 'planned' OR sent_at IS NOT NULL)"
        )
    }
    forgotten = {each["name"] for each in host.control("deployments")} - looked_after
    if forgotten:
        outcome.problems.append(f"forgotten: {sorted(forgotten)}")


def _judge_standing(host: world.Host, ours: world.Installation, outcome: Outcome) -> None:
    there = [(each["name"], each["word"]) for each in host.control("deployments")]
    here = ours.rows("SELECT name, state FROM deployments WHERE state <> 'deleted'")
    if len(there) != 1 or len(here) != 1:
        outcome.problems.append(f"asked for one: the host has {there}, the ledger {here}")
    elif (there[0][1], here[0][1]) != ("Succeeded", "succeeded"):
        outcome.problems.append(f"not standing: the host has {there}, the ledger {here}")


def _judge_end(host: world.Host, ours: world.Installation, outcome: Outcome) -> None:
    there = host.control("deployments")
    here = ours.rows("SELECT name, state FROM deployments WHERE state <> 'deleted'")
    if there or here:
        outcome.problems.append(f"after undeploy the host has {there}, the ledger {here}")
    if not world.is_sound(ours.database):
        outcome.problems.append("the database is not sound")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    sys.exit(main())
