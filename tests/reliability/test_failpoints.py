"""A short form of `make torture`, and what the points themselves promise."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator import config
from orchestrator.domain import failpoints

ROOT = Path(__file__).resolve().parents[2]


def test_no_crash_loses_a_job_or_pays_for_two():
    done = subprocess.run(
        [sys.executable, "-m", "tests.reliability.torture", "--trials", "30", "--seed", "1"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["never hit"] == []
    assert set(result["negative controls failed, as they must"].values()) == {True}


def test_every_point_stands_in_the_code_and_every_one_in_the_code_has_a_name():
    code = "".join(path.read_text() for path in (ROOT / "orchestrator").rglob("*.py"))
    assert set(re.findall(r'failpoints\.reach\("([^"]+)"\)', code)) == set(failpoints.NAMES)


def test_outside_a_test_nothing_is_armed():
    named = {"FTCTL_FAILPOINT": "submit.begun", "HOME": "/nowhere"}
    assert config.load(named).failpoint is None
    assert config.load({**named, "FTCTL_TEST": "1"}).failpoint == "submit.begun"


def test_a_point_can_wait_for_its_turn():
    reached: list[int] = []
    act = failpoints.at("sync.listed:3", lambda: reached.append(1))
    for count in range(1, 5):
        act("sync.told")
        act("sync.listed")
        assert len(reached) == (count >= 3)
    with pytest.raises(ValueError, match="no failpoint"):
        failpoints.at("nowhere", lambda: None)


def test_a_comparison_that_dies_asks_again_only_what_was_under_way():
    done = subprocess.run(
        [sys.executable, "-m", "tests.reliability.comparing", "--quick"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_apply_that_dies_goes_on_where_it_was():
    done = subprocess.run(
        [sys.executable, "-m", "tests.reliability.applying", "--quick"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_deployment_that_dies_is_never_forgotten():
    done = subprocess.run(
        [sys.executable, "-m", "tests.reliability.deploying", "--trials", "14", "--seed", "1"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["never hit"] == []


def test_an_answer_may_end_anywhere():
    done = subprocess.run(
        [sys.executable, "-m", "tests.reliability.cut_answers", "--every", "23"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
