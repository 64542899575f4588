"""SIGKILL between a change and its telling, and between a webhook and the look it asks for."""

from __future__ import annotations

import json
import os
import signal
import sys
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from orchestrator.wiring import servers
from tests.reliability import world

SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
KILLED = -signal.SIGKILL
TOLD = """
import os, sys
with open({file!r}, "a") as out:
    out.write(os.environ["FTCTL_NOTIFICATION_ID"] + " " + sys.stdin.read())
"""


@pytest.fixture
def host() -> Iterator[world.Host]:
    with world.a_host() as host:
        yield host


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    with world.warm() as template:
        yield template


@pytest.fixture
def ours(host: world.Host, template: Path) -> Iterator[world.Installation]:
    with world.an_installation(host, template=template) as ours:
        yield ours


def listens(ours: world.Installation) -> Path:
    """A subscriber that writes down what it is told."""
    file = ours.home / "told.txt"
    script = ours.home / "told.py"
    script.write_text(TOLD.format(file=str(file)))
    with (ours.home / "ftctl.toml").open("a") as config:
        config.write(f'[[notify]]\ncommand = ["{sys.executable}", "{script}"]\n')
    return file


def told(file: Path) -> list[tuple[str, dict[str, Any]]]:
    if not file.exists():
        return []
    pairs = [line.split(" ", 1) for line in file.read_text().splitlines()]
    return [(pair[0], json.loads(pair[1])) for pair in pairs]


def status(ours: world.Installation) -> str:
    ((found,),) = ours.rows("SELECT status FROM jobs")
    return str(found)


@pytest.mark.parametrize("point", ["sync.written", "sync.ended", "notify.gathered", "notify.sent"])
def test_what_happened_before_the_kill_is_told_after_it(
    host: world.Host, ours: world.Installation, point: str
):
    file = listens(ours)
    assert ours.run(*world.submission(ours)) == 0
    host.control("advance", looks=9)
    assert ours.run("sync", "--all", failpoint=point) == KILLED
    assert status(ours) == "succeeded"
    before = len(told(file))
    # At least once: what was sent and not written down is sent again.
    assert before == (1 if point == "notify.sent" else 0)
    assert ours.run("sync") == 0
    assert ours.run("sync") == 0
    found = told(file)
    assert len(found) == before + 1
    assert len({key for key, _ in found}) == 1
    assert found[0][1]["type"] == "job.succeeded"


@contextmanager
def serving(ours: world.Installation, failpoint: str) -> Iterator[tuple[int, str]]:
    """`ftctl webhooks serve` in a process of its own: its id and its URL."""
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            servers.serve_webhooks(
                ours.app(failpoint), "host", ("127.0.0.1", 0), say=lambda _: None,
                on_ready=lambda url: os.close(writable) if os.write(writable, url.encode()) else None,
            )  # fmt: skip
        finally:
            os._exit(70)
    os.close(writable)
    try:
        with os.fdopen(readable) as pipe:
            yield pid, pipe.read()
    finally:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def test_a_webhook_that_was_kept_is_not_lost_with_the_process(
    host: world.Host, ours: world.Installation
):
    text = (ours.home / "ftctl.toml").read_text()
    text = text.replace('api_key_env = "KEY"', 'api_key_env = "KEY"\nwebhook_secret_env = "HOOK"')
    (ours.home / "ftctl.toml").write_text(text)
    ours.environment["HOOK"] = SECRET
    assert ours.run(*world.submission(ours)) == 0
    assert ours.run("sync") == 0
    ((remote_id,),) = ours.rows("SELECT remote_id FROM jobs")
    host.control("advance", looks=9)
    assert ours.run("sync") == 0
    # Not due: nobody looked.
    before = status(ours)
    assert before != "succeeded"
    at = int(ours.clock.now().timestamp())
    with serving(ours, "webhook.kept") as (pid, url):
        with pytest.raises(urllib.error.HTTPError):
            host.control("webhook", url=url, secret=SECRET, job=remote_id, at=at)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == KILLED
    assert status(ours) == before
    assert ours.run("sync") == 0
    assert status(ours) == "succeeded"
