"""Kill `apply` at its named points, and apply again: no job twice, no answer paid for twice.

python -m tests.reliability.applying
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.domain import failpoints
from orchestrator.specs.writing import to_yaml
from orchestrator.usecases.pipelines import trainings
from tests.reliability import world
from tests.reliability.frame import machine, told
from tests.reliability.trials import KILLED

AT_ONCE = 8
# Points of the parts that apply is made of, at which much is half done.
BORROWED = (
    "submit.intent_written",
    "submit.file_sent",
    "submit.submitting",
    "submit.answered",
    "compare.answered",
    "compare.kept",
)
# The points at which one thing is committed and the next, which belongs to it, is not.
QUICK = ("apply.recorded", "apply.bound", "apply.chosen", "apply.comparing", "apply.compared")
# Loaded once, before the processes that die are forked.
LOADED = (
    "orchestrator.cli.apply",
    "orchestrator.reports.json",
    "orchestrator.reports.pipeline",
    "orchestrator.specs.whole",
    "orchestrator.usecases.pipelines.apply",
    "orchestrator.usecases.pipelines.planning",
    "orchestrator.usecases.pipelines.plan_words",
)
# One point dies at its first and at a later time: in the middle of the pipeline.
TURNS = (1, 3)
# Two tasks, one of them with two points, and the mixed adapter.
JOBS, COMPARISONS = 4, 4


@dataclass(frozen=True)
class End:
    """What is true when everything was applied."""

    kills: int
    code: int
    billed: int
    intents: int
    asked: int
    kept: int
    comparisons: int
    again: tuple[int, int]
    sound: bool

    def problems(self) -> list[str]:
        found = {
            "a job twice, or one lost": (self.billed, self.intents) != (JOBS, JOBS),
            "answers paid for twice": not self.kept
            <= self.asked
            <= self.kept + AT_ONCE * self.kills,
            "a comparison twice": self.comparisons != COMPARISONS,
            "an odd exit code": self.code not in {0, 10},
            "applying again did something": self.again != (self.asked, JOBS),
            "an unsound database": not self.sound,
        }
        return [problem for problem, is_so in found.items() if is_so]


def main() -> int:
    started = time.monotonic()
    quick = "--quick" in sys.argv
    turns = TURNS[:1] if quick else TURNS
    points = QUICK if quick else (*failpoints.APPLY, *BORROWED)
    found: Counter[str] = Counter()
    problems = []
    missed = set(QUICK if quick else failpoints.APPLY)
    for module in LOADED:
        importlib.import_module(module)
    with world.warm() as template:
        for point in points:
            for nth in turns:
                end = one([f"{point}:{nth}"], template)
                found.update(trials=1, kills=end.kills)
                missed -= {point} if end.kills else set()
                problems += [f"{point}:{nth}: {each} ({end})" for each in end.problems()]
        end = one(["submit.answered:2", "apply.followed:2", "compare.kept:4"], template)
        found.update(trials=1, kills=end.kills)
        problems += [f"killed three times: {each} ({end})" for each in end.problems()]
        control = one(["apply.bound"], template, planted=forgetful).problems()
    seconds = round(time.monotonic() - started, 1)
    passed = not problems and not missed and "a job twice, or one lost" in control
    return told(
        {
            "passed": passed,
            **found,
            "never hit": sorted(missed),
            "problems": problems,
            "negative control failed, as it must": bool(control),
            "seconds": seconds,
            "machine": machine(),
        }
    )


def forgetful() -> None:
    """Look nothing up before asking, as one would who trusts that nothing dies."""
    vars(trainings)["find_job"] = lambda *_: None


def one(points: list[str], template: Path, planted: Callable[[], None] | None = None) -> End:
    """Apply, dying at each of the points in turn; then once to the end, and once more."""
    with world.a_host() as host, world.an_installation(host, template=template) as ours:
        ours.planted = planted
        spec = _spec(ours.home)
        kills = 0
        for point in points:
            kills += ours.run("apply", spec, "--json", failpoint=point) == KILLED
        code = ours.run("apply", spec, "--json")
        asked = _asked(host)
        ours.run("apply", spec, "--json")
        return End(
            kills=kills,
            code=code,
            billed=len(host.billed()),
            intents=ours.rows("SELECT count(*) FROM jobs")[0][0],
            asked=asked,
            kept=ours.rows("SELECT count(*) FROM answers")[0][0],
            comparisons=ours.rows("SELECT count(*) FROM comparisons")[0][0],
            again=(_asked(host), ours.rows("SELECT count(*) FROM jobs")[0][0]),
            sound=world.is_sound(ours.database),
        )


def _asked(host: world.Host) -> int:
    counts: dict[str, Any] = host.control("counts")
    return int(counts.get("chat", 0))


def _spec(home: Path) -> Path:
    tasks: dict[str, Any] = {}
    for name in ("first", "second"):
        data = {
            split: _rows(home / f"{name}-{split}.jsonl", f"{name} {split}", count)
            for split, count in (("train", 12), ("validation", 10), ("test", 12))
        }
        tasks[name] = {"data": data}
    tasks["first"]["sweep"] = {"grid": {"n_epochs": [1, 2]}, "choose_by": "validation_score"}
    spec = home / "torture.yaml"
    spec.write_text(
        to_yaml(
            {
                "provider": "host",
                "model": world.MODEL,
                "tasks": tasks,
                "mixed": True,
                "compare": {"arms": ["base", "tuned"]},
                "budget": {"max_cost": 50},
            }
        )
    )
    return spec


def _rows(path: Path, kind: str, count: int) -> str:
    lines = []
    for number in range(count):
        asked = {"role": "user", "content": f"{kind} question {number}"}
        said = {"role": "assistant", "content": f"{kind} QUESTION {number}".upper()}
        lines.append(json.dumps({"messages": [asked, said]}) + "\n")
    path.write_text("".join(lines))
    return path.name


if __name__ == "__main__":
    sys.exit(main())
