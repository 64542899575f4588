"""Webhooks: a signed word makes ftctl look, once; it is never taken for the state itself."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestrator.domain.adapters.signature import secrets_of
from orchestrator.domain.jobs.job import Job, JobStatus
from orchestrator.hooks.receiver import Door, Receiver
from orchestrator.wiring import servers
from providers.simulator import Simulator
from tests.conftest import Ftctl
from tests.providers.description import faults
from tests.usecases.test_submit_and_sync import World

SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
SUCCEEDED = "fine_tuning.job.succeeded"
NEXT_SECRET = "whsec_Gxs7Ozs7Ozs7Ozs7Ozs7Ozs7Ozs7Ozs7"


class Listening:
    """`ftctl webhooks serve` in a thread, and what it says."""

    def __init__(self, url: str, lines: queue.Queue[str]) -> None:
        self.url, self._lines = url, lines

    def line(self) -> str:
        return self._lines.get(timeout=20)


@contextmanager
def listening(ftctl: Ftctl, profile: str = "host") -> Iterator[Listening]:
    lines: queue.Queue[str] = queue.Queue()
    urls: queue.Queue[str] = queue.Queue()
    stop, app = threading.Event(), ftctl.app()
    thread = threading.Thread(
        target=servers.serve_webhooks,
        args=(app, profile, ("127.0.0.1", 0)),
        kwargs={"on_ready": urls.put, "say": lines.put, "stop": stop},
    )
    thread.start()
    try:
        yield Listening(urls.get(timeout=20), lines)
    finally:
        stop.set()
        thread.join(20)
        app.close()
    assert not thread.is_alive()


@pytest.fixture
def host(ftctl: Ftctl) -> Iterator[Simulator]:
    with Simulator("openai", moves=False, clock=ftctl.clock) as simulator:
        yield simulator


@pytest.fixture
def world(either: Ftctl, host: Simulator) -> World:
    made = World(either, host, "openai")
    with (either.home / "ftctl.toml").open("a") as file:
        file.write('webhook_secret_env = "HOOK"\n')
    either.environment["HOOK"] = f"{NEXT_SECRET} {SECRET}"
    return made


def submitted(world: World) -> Job:
    job = world.submit()
    world.sync()
    assert job.remote_id is not None
    return job


def told(world: World, job: Job, url: str, **changes: object) -> int:
    assert job.remote_id is not None
    return world.host.send_webhook(url, SECRET, job.remote_id, **changes)


def count_looks(world: World) -> int:
    return world.host.count("get_job") + world.host.count("list_jobs")


def test_a_job_that_has_ended_is_known_without_a_pass(world: World):
    job = submitted(world)
    world.host.advance(9)
    with listening(world.ftctl) as door:
        assert told(world, job, door.url) == 200
        assert door.line() == f"fine_tuning.job.succeeded {job.remote_id}: job {job.id}"
        assert door.line() == f"job {job.id}  queued → succeeded"
    assert world.job().status is JobStatus.SUCCEEDED
    assert world.job().tuned_model is not None


def test_the_word_of_a_webhook_is_not_the_state(world: World):
    job = submitted(world)
    with listening(world.ftctl) as door:
        told(world, job, door.url, type="fine_tuning.job.failed")
        door.line()
        assert "is queued still" in door.line()
    assert world.job().status is JobStatus.QUEUED
    # It was told for a reason: the next pass asks at once.
    assert world.job().next_poll_at is None


def test_the_same_delivery_is_taken_once(world: World):
    job = submitted(world)
    with listening(world.ftctl) as door:
        told(world, job, door.url, id="wh_1", type=SUCCEEDED)
        door.line(), door.line()
        before = count_looks(world)
        world.host.advance(9)
        assert told(world, job, door.url, id="wh_1", type=SUCCEEDED) == 200
        assert "came before" in door.line()
    assert count_looks(world) == before


def test_a_late_word_about_a_job_that_has_ended_changes_nothing(world: World):
    job = submitted(world)
    world.host.advance(9)
    with listening(world.ftctl) as door:
        told(world, job, door.url)
        door.line(), door.line()
        before = world.job()
        told(world, job, door.url, type="fine_tuning.job.cancelled")
        door.line()
        assert "is succeeded already" in door.line()
    assert world.job().version == before.version
    assert world.job().status is JobStatus.SUCCEEDED


def test_a_provider_that_does_not_answer_leaves_the_job_due(world: World):
    job = submitted(world)
    app = world.ftctl.app()
    app.jobs.poll_later({job.id: world.clock.now() + timedelta(hours=1)})
    app.close()
    assert world.sync().checked == 0
    world.host.advance(9)
    world.host.order_fault("get_job", "error_500", times=9)
    with listening(world.ftctl) as door:
        assert told(world, job, door.url) == 200
        door.line()
        assert "The next sync asks again" in door.line()
    with world.host._memory.change() as state:
        state["faults"].clear()
    world.sync()
    assert world.job().status is JobStatus.SUCCEEDED


def test_what_is_not_ours_is_taken_and_noted(world: World):
    job = submitted(world)
    with listening(world.ftctl) as door:
        assert world.host.send_webhook(door.url, SECRET, "ftjob-of-somebody") == 200
        assert door.line().endswith("ftjob-of-somebody: no job of ours")
        assert told(world, job, door.url, type="response.completed\x1b[2J") == 200
        assert "another kind, 'response.completed\\x1b[2J'" in door.line()
    assert world.job().status is JobStatus.QUEUED


def test_only_the_account_that_signed_is_looked_at(world: World):
    job = submitted(world)
    world.host.advance(9)
    world.ftctl.environment["KEY"] = "sk-another-account"
    with listening(world.ftctl) as door:
        assert told(world, job, door.url) == 200
        assert "no job of ours" in door.line()
    assert world.job().status is JobStatus.QUEUED


def test_what_the_host_sends_is_what_the_description_says(world: World):
    job = submitted(world)
    world.host.advance(9)
    seen: list[Mapping[str, Any]] = []
    door = Door(
        keys=secrets_of(SECRET, "test"),
        clock=world.clock,
        take=lambda _id, said: seen.append(said),
        say=print,
    )
    with Receiver(("127.0.0.1", 0), door) as receiver:
        receiver.start()
        assert told(world, job, receiver.url) == 200
    described = {"$ref": "#/components/schemas/WebhookFineTuningJobSucceeded"}
    assert faults(described, seen[0]) == []
    assert seen[0]["type"] == "fine_tuning.job.succeeded"


def test_without_a_secret_nothing_is_served(ftctl: Ftctl, tmp_path: Path):
    outcome = ftctl("webhooks", "serve", "--profile", "openai", "--port", "0")
    assert outcome.code == 3
    assert "no webhook secret for 'openai'" in outcome.err
    assert "export OPENAI_WEBHOOK_SECRET=whsec_" in outcome.err
    ftctl.environment["OPENAI_WEBHOOK_SECRET"] = "sk-not-a-secret"
    outcome = ftctl("webhooks", "serve", "--profile", "openai", "--port", "0")
    assert outcome.code == 3
    assert "sk-not-a-secret" not in outcome.err


def test_the_command_serves_and_ends_when_it_is_told_to(ftctl: Ftctl):
    environment = os.environ | {
        "FTCTL_HOME": str(ftctl.home),
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_WEBHOOK_SECRET": SECRET,
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    command = ["webhooks", "serve", "--profile", "openai", "--port", "0"]
    with subprocess.Popen(
        [sys.executable, "-m", "orchestrator", *command],
        env=environment,
        cwd=ftctl.home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with urllib.request.urlopen(f"{url}/health", timeout=20) as answer:
            assert answer.status == 200
        with Simulator("openai") as host:
            assert host.send_webhook(url, SECRET, "ftjob-1") == 200
            assert host.send_webhook(url, NEXT_SECRET, "ftjob-1") == 401
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "fine_tuning.job.succeeded ftjob-1: no job of ours" in said
    assert "refused 1" in said
    assert "Traceback" not in said
