"""What SECURITY.md promises: where a key may be, who may read files, what data may do to a terminal."""

from __future__ import annotations

import ast
import logging
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.domain.profile import Profile
from providers.border import Border
from providers.openai import build
from providers.retry import Retry
from providers.simulator import Simulator
from providers.wire import WireProvider
from tests.conftest import Ftctl, Outcome
from tests.factories import chat_file

ROOT = Path(__file__).resolve().parents[2]
CANARY = "sk-canary-5f2c9e7a41d84b0e"
HOSTILE = (
    "\x1b]0;owned\x07\x1b[2Jgone\r\nftctl: \x9b31mforged\u202eevil\x00 [/bold] =cmd|'/c calc'!A1"
)
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def impatient(profile: Profile) -> WireProvider:
    return build(profile, retry=Retry(attempts=1))


@pytest.fixture
def host() -> Iterator[Simulator]:
    with Simulator("openai", moves=False) as simulator:
        yield simulator


@pytest.fixture
def installed(ftctl: Ftctl, host: Simulator) -> Ftctl:
    ftctl.environment["KEY"] = CANARY
    ftctl.build_provider = impatient
    (ftctl.home / "ftctl.toml").write_text(
        f'[providers.host]\nkind = "openai"\nbase_url = "{host.url}"\napi_key_env = "KEY"\n'
    )
    chat_file(ftctl.home / "train.jsonl")
    return ftctl


def submit(ftctl: Ftctl, *more: str) -> Outcome:
    return ftctl(
        "submit", ftctl.home / "train.jsonl", "--provider", "host", "--model",
        "gpt-4.1-mini-2025-04-14", "--again", "--json", *more,
    )  # fmt: skip


def sinks(ftctl: Ftctl) -> Iterator[tuple[str, bytes]]:
    for path in ftctl.home.rglob("*"):
        if path.is_file():
            yield str(path), path.read_bytes()


ROUTES = {
    "upload_file": ("submit",),
    "list_files": ("submit",),
    "create_job": ("submit",),
    "get_job": ("sync", "--all"),
    "list_jobs": ("sync", "--all"),
    "events": ("sync", "--all"),
    "cancel_job": ("cancel",),
    "pause_job": ("pause",),
    "list_models": ("providers", "check", "host"),
    "get_file": ("files", "list", "--provider", "host"),
    "file_content": ("results",),
    "checkpoints": ("checkpoints",),
    "delete_file": ("files", "delete", "--provider", "host", "--yes", "file-none"),
}
STATUSES = (400, 401, 403, 404, 429, 500)


def test_a_key_that_is_echoed_in_every_way_is_in_no_sink(
    installed: Ftctl,
    host: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setenv("FTCTL_DEBUG", "1")
    caplog.set_level(logging.DEBUG)
    assert submit(installed).code == 0
    tried = 0
    for route, command in ROUTES.items():
        for status in STATUSES:
            chat_file(installed.home / "train.jsonl", label=f"{route}{status}")
            host.order_fault(
                route, "refuse", status=status, code="no", message=f"your key {CANARY} is bad"
            )
            outcome = run(installed, command)
            tried += 1
            assert CANARY not in outcome.out, (route, status)
            assert CANARY not in outcome.err, (route, status)
            with host._memory.change() as state:
                state["faults"].clear()
            app = installed.app()
            account = app.provider("host").account
            gate = app.gates.get(account)
            assert gate is None or CANARY not in gate.reason
            app.close()
            installed.clock.sleep(7200)
    assert tried >= 50
    assert CANARY not in caplog.text
    found = [name for name, content in sinks(installed) if CANARY.encode() in content]
    assert found == []


def test_without_the_border_the_same_key_is_found(
    installed: Ftctl, host: Simulator, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Border, "clean", lambda _, text: text)
    host.order_fault("create_job", "refuse", status=400, code="no", message=f"bad key {CANARY}")
    assert CANARY in submit(installed).out
    assert [name for name, content in sinks(installed) if CANARY.encode() in content]


def run(ftctl: Ftctl, command: tuple[str, ...]) -> Outcome:
    if command == ("submit",):
        return submit(ftctl)
    if command in {("cancel",), ("pause",), ("results",), ("checkpoints",)}:
        submit(ftctl)
        newest = ftctl("status", "--json").json[0]["id"]
        return ftctl(command[0], newest)
    return ftctl(*command)


def test_no_command_takes_a_key_as_an_argument(ftctl: Ftctl):
    for option in ("--api-key", "--key", "--token"):
        assert ftctl("submit", "x", option, "secret").code == 2
    source = "".join(path.read_text() for path in (ROOT / "orchestrator/cli").glob("*.py"))
    assert not re.findall(r'"--(?:api-)?(?:key|token|password|secret)"', source)


@contextmanager
def careless() -> Iterator[None]:
    before = os.umask(0)
    try:
        yield
    finally:
        os.umask(before)


def test_files_are_private_whatever_the_umask(installed: Ftctl):
    given = set(installed.home.rglob("*"))
    with careless():
        assert submit(installed).code == 0
        assert installed("sync", "--all").code == 0
        assert installed("db", "backup", installed.home / "copy.db").code == 0
        assert installed("db", "restore", installed.home / "copy.db").code == 0
    made = [path for path in installed.home.rglob("*") if path not in given]
    assert len(made) >= 4
    for path in made:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_redirect_takes_the_key_nowhere(installed: Ftctl, host: Simulator):
    with Simulator("openai") as thief:
        host.order_fault("list_models", "refuse", status=302, message=thief.url)
        installed("providers", "check", "host")
        host.order_fault("create_job", "refuse", status=307, message=thief.url)
        submit(installed)
        assert not thief.exchanges


def test_what_a_provider_says_is_shown_and_not_obeyed(installed: Ftctl, host: Simulator):
    said: list[str] = []
    for route, status in (("create_job", 400), ("list_files", 400), ("create_job", 500)):
        host.order_fault(route, "refuse", status=status, code=HOSTILE, message=HOSTILE)
        outcome = submit(installed)
        said += [outcome.out, outcome.err]
    assert submit(installed).code == 0
    with host._memory.change() as state:
        for record in state["jobs"].values():
            record.update(
                status="failed",
                fine_tuned_model=f"ft:{HOSTILE}",
                error={"code": HOSTILE, "message": HOSTILE, "param": None},
                finished_at=1_790_000_000,
            )
            record["events"].append(
                {
                    "object": "fine_tuning.job.event", "id": "e", "created_at": 1_790_000_000,
                    "level": "error", "message": HOSTILE, "type": "message", "data": {},
                }
            )  # fmt: skip
    host.order_fault("get_job", "unknown_status", word=HOSTILE)
    for _ in range(2):
        outcome = installed("sync", "--all")
        said += [outcome.out, outcome.err]
        installed.clock.sleep(120)
    for job in installed("status", "--json").json:
        for command in (("status",), ("events",), ("status", "--json"), ("events", "--json")):
            outcome = installed(command[0], job["id"], *command[1:])
            said += [outcome.out, outcome.err]
    said += [installed("status").out, installed("status", "--json").out]
    assert any("owned" in text for text in said), "the payload was never shown"
    for text in said:
        assert not OBEYED.findall(text), repr(text)


def test_an_event_with_line_breaks_is_one_line(installed: Ftctl, host: Simulator):
    assert submit(installed).code == 0
    with host._memory.change() as state:
        for record in state["jobs"].values():
            record["status"] = "running"
            record["events"].append(
                {
                    "object": "fine_tuning.job.event", "id": "e", "created_at": 1_790_000_000,
                    "level": "info", "message": "one\n2026-11-20 00:00:00  !! forged\ntwo",
                    "type": "message", "data": {},
                }
            )  # fmt: skip
    installed("sync", "--all")
    job = installed("status", "--json").json[0]["id"]
    lines = installed("events", job).out.splitlines()
    assert len(lines) == len(installed("events", job, "--json").json)


def test_the_worker_reads_no_pickle_runs_no_foreign_code_and_compares_in_constant_time():
    code = {
        path: ast.parse(path.read_text()) for path in (ROOT / "worker/ftctl_worker").rglob("*.py")
    }
    names = {
        f"{getattr(node.value, 'id', '')}.{node.attr}"
        for tree in code.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
    }
    assert not names & {"torch.load", "pickle.load", "pickle.loads", "marshal.loads", "os.system"}
    assert "hmac.compare_digest" in names or "secrets.compare_digest" in names
    text = "".join(path.read_text() for path in code)
    assert set(re.findall(r'trust_remote_code["\']?\s*[=:]\s*(\w+)', text)) == {"False"}
    assert set(re.findall(r"use_safetensors\s*=\s*(\w+)", text)) == {"True"}
