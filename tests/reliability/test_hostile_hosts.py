"""Short forms of the tools that spoil answers, crowd the ledger, count in it, and let weeks go by."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.reliability import mangler, odd_answers

ROOT = Path(__file__).resolve().parents[2]


def ran(module: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", f"tests.reliability.{module}", *arguments],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("kind", odd_answers.KINDS)
def test_no_answer_of_a_host_makes_a_traceback_or_a_second_job(kind: str):
    found = odd_answers.run(kind, 8, seed=1)
    assert found.bad == []
    assert found.intents == found.billed + found.review


def test_a_host_that_names_things_oddly_is_not_believed():
    # Such an id was once remembered, and every later request with it failed.
    line = mangler.Mangler(("127.0.0.1", 9), random.Random(1))
    seen = {line._with_an_odd_field(b'{"id": "file-1", "status": "processed"}') for _ in range(200)}
    assert any(b'"id": "xxxx' in each for each in seen)
    assert odd_answers.run("compatible", 25, seed=3).bad == []


def test_commands_that_are_killed_on_a_full_disk_leave_a_sound_ledger():
    assert ran("crowded", "--rounds", "2")["unsettled"] is False


def test_no_step_is_lost_among_processes_that_count():
    found = ran("writers", "--each", "20", "--backups", "2")
    assert found["steps"] == 160
    assert found["negative controls"]["copies of the file that are no backup"] > 0


def test_days_of_cron_end_with_the_bill_of_the_host():
    found = ran("soak", "--minutes", "0.1", "--seed", "1")
    assert (found["lost"], found["billed twice"], found["left open"]) == (0, 0, 0)
