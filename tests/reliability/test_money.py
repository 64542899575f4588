"""A kill never leaves money spent without a reservation, and settles nothing twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reliability import world
from tests.reliability.trials import KILLED

ROWS = "SELECT state, reserved, actual, counted FROM spendings"


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    with world.warm() as path:
        yield path


def test_a_kill_between_the_intent_and_its_money_leaves_neither(template: Path):
    with world.a_host() as host, world.an_installation(host, template=template) as ours:
        assert ours.run(*world.submission(ours), failpoint="submit.reserved") == KILLED
        assert ours.rows(ROWS) == ours.rows("SELECT id FROM jobs") == []
        assert host.billed() == []


@pytest.mark.parametrize("point", ["submit.intent_written", "submit.submitting", "submit.answered"])
def test_a_kill_after_it_leaves_both(point: str, template: Path):
    with world.a_host() as host, world.an_installation(host, template=template) as ours:
        assert ours.run(*world.submission(ours), failpoint=point) == KILLED
        ((state, reserved, _, counted),) = ours.rows(ROWS)
        assert (state, counted > 0) == ("reserved", reserved == counted)


def test_a_kill_while_a_job_settles_is_settled_by_the_next_pass(template: Path):
    with world.a_host() as host, world.an_installation(host, template=template) as ours:
        assert ours.run(*world.submission(ours)) == 0
        host.control("advance", looks=10)
        before = ours.rows(ROWS)
        assert ours.run("sync", "--all", failpoint="submit.settled") == KILLED
        assert ours.rows(ROWS) == before
        assert ours.rows("SELECT finished_at FROM jobs") == [(None,)]
        assert ours.run("sync", "--all") == 0
        ((state, _, actual, counted),) = ours.rows(ROWS)
        assert (state, actual) == ("actual", counted)
        ((tokens,),) = ours.rows("SELECT trained_tokens FROM jobs")
        assert actual == 5 * tokens
