"""The worker on this machine: started once, found again, gone when nobody needs it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from orchestrator.domain.chat import ChatRequest
from orchestrator.domain.errors import (
    LocalStateError,
    MissingExtra,
    ProviderUnreachable,
    RemoteNotFound,
)
from orchestrator.domain.profile import Profile
from orchestrator.domain.provider import JobRequest
from providers import embedded
from providers.peft import build
from providers.retry import Retry
from providers.wire import WireProvider
from tests.providers.rig import write_rows

if TYPE_CHECKING:
    from providers.connection import Transport

ROOT = Path(__file__).parents[2]

STUB = '''
"""A worker that answers as the simulator does, and ends by the real one's rules."""
import argparse, fcntl, json, os, sys
from pathlib import Path
from providers.simulator import Simulator

parser = argparse.ArgumentParser()
for name in ("host", "port", "home", "token-env", "ready-file", "exit-when-unused", "threads"):
    parser.add_argument(f"--{name}")
for name in ("allow-any-model", "allow-python-graders"):
    parser.add_argument(f"--{name}", action="store_true")
options = parser.parse_args(sys.argv[2:])
home = Path(options.home)
with (home / "starts.txt").open("a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
if (home / "refuse").exists():
    sys.exit("no memory for this")
sim = Simulator("worker", key=os.environ[options.token_env]).start()
draft = home / "draft.json"
draft.write_text(json.dumps({"port": 1, "pid": os.getpid(), "url": sim.url, "version": "0"}))
draft.rename(options.ready_file)
with open(options.exit_when_unused, "a") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    Path(options.ready_file).unlink()
    sim.close()
'''


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """ftctl's home, with the stub installed as the worker."""
    package = tmp_path / "site" / "ftctl_worker"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(STUB)
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setenv("PYTHONPATH", f"{package.parent}{os.pathsep}{ROOT}")
    monkeypatch.delitem(sys.modules, "ftctl_worker", raising=False)
    yield tmp_path / "home"
    for process in embedded._started:
        process.wait(timeout=20)
    embedded._started.clear()


def provider(home: Path, transport: Transport | None = None, **options: object):
    profile = Profile(name="local", kind="peft", embedded=True, home=home, options=options)
    return build(profile, transport=transport, retry=Retry(sleep=lambda _: None))


def starts(home: Path) -> list[str]:
    return (home / "worker" / "starts.txt").read_text().splitlines()


def test_nothing_is_started_before_the_first_request(stub: Path):
    made = provider(stub)
    assert len(made.account) == 16
    assert made.account == provider(stub).account
    made.close()
    assert not stub.exists()


@pytest.mark.parametrize(
    "ask",
    [
        lambda made: made.models(),
        lambda made: list(made.list_files()),
        lambda made: made.delete_model("ft:none"),
        lambda made: made.delete_file("file-none"),
        lambda made: made.read_file("file-none"),
    ],
)
def test_whatever_is_asked_first_starts_it(stub: Path, ask: Callable[[WireProvider], object]):
    made = provider(stub)
    with contextlib.suppress(RemoteNotFound):
        ask(made)
    made.close()
    assert len(starts(stub)) == 1


def test_two_users_share_one_worker_and_find_it_again(stub: Path):
    first, second = provider(stub, threads=2, allow_python_graders=True), provider(stub)
    assert first.check().reachable
    assert second.check().reachable
    first.close()
    file = second.upload(write_rows(stub), "rows.jsonl")
    job = second.create_job(JobRequest(model="tiny", training_file=file.id, token="t" * 26))
    assert second.retrieve_job(job.id).id == job.id
    second.close()
    assert len(starts(stub)) == 1
    assert "--threads 2 --allow-python-graders" in starts(stub)[0]


def test_the_token_is_kept_from_others_and_from_the_command_line(stub: Path):
    made = provider(stub)
    made.check()
    path = stub / "worker" / "token"
    token = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(token) > 40
    assert token not in starts(stub)[0]
    assert token not in repr(vars(made))
    made.close()


def test_a_worker_that_died_is_started_once_more(stub: Path):
    made = provider(stub)
    made.check()
    pid = json.loads((stub / "worker" / "ready.json").read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    embedded._started[0].wait(timeout=10)
    assert made.check().reachable
    assert len(starts(stub)) == 2
    made.close()


def test_the_post_goes_to_a_worker_that_is_there(stub: Path):
    made = provider(stub)
    made.check()
    os.kill(json.loads((stub / "worker" / "ready.json").read_text())["pid"], signal.SIGKILL)
    embedded._started[0].wait(timeout=10)
    file = made.upload(write_rows(stub), "rows.jsonl")
    job = made.create_job(JobRequest(model="tiny", training_file=file.id, token="t" * 26))
    assert job.token == "t" * 26
    made.close()


def test_it_goes_when_nobody_needs_it(stub: Path):
    made = provider(stub)
    made.check()
    process = embedded._started[0]
    made.close()
    assert process.wait(timeout=20) == 0
    assert not (stub / "worker" / "ready.json").exists()


def test_many_threads_start_one_worker(stub: Path):
    made = provider(stub)
    threads = [threading.Thread(target=made.check) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(starts(stub)) == 1
    made.close()


def test_why_it_did_not_start_is_told(stub: Path):
    (stub / "worker").mkdir(parents=True)
    (stub / "worker" / "refuse").touch()
    made = provider(stub)
    with pytest.raises(LocalStateError) as caught:
        made.check()
    assert "no memory for this" in caught.value.message
    assert "worker.log" in (caught.value.hint or "")
    made.close()


def test_a_worker_that_is_not_installed_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embedded, "PACKAGE", "a_package_that_is_not_there")
    with pytest.raises(MissingExtra) as caught:
        provider(tmp_path)
    assert caught.value.hint == "pip install ./worker"


def test_a_live_worker_that_answers_500_is_left_alone(stub: Path):
    made = provider(stub)
    made.check()
    url = json.loads((stub / "worker" / "ready.json").read_text())["url"]
    token = (stub / "worker" / "token").read_text()
    import httpx2

    with httpx2.Client(trust_env=False) as client:
        client.post(
            f"{url.removesuffix('/v1')}/_simulator/faults",
            json={"route": "get_job", "fault": "error_500", "times": 3},
            headers={"authorization": f"Bearer {token}"},
        ).raise_for_status()
    with pytest.raises(ProviderUnreachable):
        made.retrieve_job("j")
    assert len(starts(stub)) == 1
    made.close()


def test_a_folder_is_sent_as_an_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from providers.peft import _model

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert _model("mine") == str(tmp_path / "mine")
    assert _model("tiny") == "tiny"
    assert _model("org/name") == "org/name"


def test_the_lock_is_held_from_the_first_request_to_close(stub: Path):
    made = provider(stub)
    made.check()
    with (stub / "worker" / "users.lock").open("a") as lock:
        made.check()
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    made.close()


def test_a_model_is_loaded_before_its_answers_are_timed(stub: Path):
    asked: list[dict[str, Any]] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        asked.append(json.loads(request.content))
        choice = {"index": 0, "finish_reason": "stop", "message": {"content": "yes"}}
        usage = {"prompt_tokens": 1, "completion_tokens": 1}
        return httpx2.Response(200, json={"choices": [choice], "usage": usage})

    made = provider(stub, transport=lambda: httpx2.MockTransport(handle))
    question = {"role": "user", "content": "well?"}
    for model in ("tiny", "tiny", "ft:tiny:x"):
        made.chat(ChatRequest(model=model, messages=[question], max_tokens=9))
    made.close()
    sent = [(body["model"], body["messages"] == [question]) for body in asked]
    warm, real = False, True
    assert sent == [
        ("tiny", warm), ("tiny", real), ("tiny", real), ("ft:tiny:x", warm), ("ft:tiny:x", real),
    ]  # fmt: skip
