"""Three small tasks on the real worker, killed twice on the way; nothing is trained twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.datasets.tickets import tickets
from orchestrator.domain.clock import SystemClock
from orchestrator.specs.writing import to_yaml
from tests.conftest import Ftctl

pytest.importorskip("ftctl_worker")

TRAIN, TEST = 48, 20
WORDS = {
    "red": "rojo", "blue": "azul", "green": "verde", "cat": "gato", "dog": "perro",
    "house": "casa", "car": "coche", "tree": "arbol",
}  # fmt: skip
CITIES = ("Paris", "Rome", "Oslo", "Lima")

Row = tuple[str, str, str]


def extraction() -> list[Row]:
    pairs = [(count, city) for count in range(1, 30) for city in CITIES]
    random.Random(2).shuffle(pairs)
    return [
        ("Extract as JSON.", f"Send {n} boxes to {c}.", json.dumps({"city": c, "n": n}))
        for n, c in pairs
    ]


def translation() -> list[Row]:
    pairs = [(one, two) for one in WORDS for two in WORDS if one != two]
    random.Random(3).shuffle(pairs)
    return [("Translate.", f"{a} {b}", f"{WORDS[a]} {WORDS[b]}") for a, b in pairs]


def sorting() -> list[Row]:
    made = tickets(3)
    chats = [row["messages"] for row in (*made.train, *made.test)]
    return [(chat[0]["content"], chat[-2]["content"], chat[-1]["content"]) for chat in chats]


def write(path: Path, rows: list[Row]) -> str:
    lines = [
        {
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": user},
                {"role": "assistant", "content": answer},
            ]
        }
        for system, user, answer in rows
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path.name


def spec(home: Path) -> Path:
    kinds: dict[str, tuple[Callable[[], list[Row]], str]] = {
        "sort": (sorting, "classification"),
        "extract": (extraction, "extraction"),
        "translate": (translation, "translation"),
    }
    tasks: dict[str, Any] = {}
    for name, (make, kind) in kinds.items():
        rows = make()
        tasks[name] = {
            "data": {
                "train": write(home / f"{name}-train.jsonl", rows[:TRAIN]),
                "test": write(home / f"{name}-test.jsonl", rows[-TEST:]),
            },
            "compare": {"task": kind, "allow_leakage": kind == "translation"},
        }
    path = home / "three.yaml"
    common = {"provider": "local", "model": "tiny", "seed": 1}
    knobs = {"hyperparameters": {"n_epochs": 1}, "compare": {"arms": ["base", "tuned"]}}
    path.write_text(to_yaml({**common, **knobs, "tasks": tasks}))
    return path


def killed(local: Ftctl, path: Path, failpoint: str) -> None:
    """`ftctl apply` as a process of its own, ended by SIGKILL at that point."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(local.home),
        "FTCTL_HOME": str(local.home),
        "FTCTL_TEST": "1",
        "FTCTL_FAILPOINT": failpoint,
    }
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "apply", str(path), "--json"],
        env=environment,
        cwd=Path(__file__).resolve().parents[2],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_three_tasks_killed_twice_end_with_three_adapters_and_one_table(ftctl: Ftctl):
    ftctl.clock = SystemClock()
    path = spec(ftctl.home)
    killed(ftctl, path, "submit.answered:2")
    killed(ftctl, path, "compare.kept:3")
    outcome = ftctl("apply", path, "--json")
    assert outcome.code in {0, 1, 10}, outcome.err
    summary = outcome.json
    jobs = ftctl("status", "--json").json
    assert [job["status"] for job in jobs] == ["succeeded"] * 3
    assert len({job["tuned_model"] for job in jobs}) == 3
    for task in summary["tasks"]:
        assert (task["rows"], len(task["arms"])) == (TEST, 2)
        scores = {arm["name"]: arm["score"] for arm in task["arms"]}
        measured = scores["tuned"] - scores["base"]
        assert task["difference"]["diff"] == pytest.approx(measured)
        improved = task["difference"]["low"] > 0 and task["difference"]["p"] < 0.05
        assert (task["verdict"] == "Improved") == improved
    assert summary["won"] == sum(task["verdict"] == "Improved" for task in summary["tasks"])
    assert len(ftctl("comparisons", "--json").json) == 3
    again = ftctl("apply", path, "--json")
    assert (again.code, again.json) == (outcome.code, summary)
    assert len(ftctl("status", "--json").json) == 3
