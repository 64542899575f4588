"""Adopting an account: everything, once, and again without a change."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import providers
from orchestrator.domain.jobs.job import JobStatus, Method, Origin
from orchestrator.domain.profile import Profile
from orchestrator.domain.provider import Provider, Sink
from orchestrator.resources import schema
from tests.conftest import Ftctl
from tests.usecases.account import LOOKS, Account, an_account, whole_database


@pytest.fixture
def account(ftctl: Ftctl, tmp_path: Path) -> Iterator[Account]:
    with an_account(ftctl, tmp_path) as made:
        yield made


def adopted(ftctl: Ftctl, *more: str) -> Any:
    done = ftctl("adopt", "--provider", "openai", "--json", *more)
    assert done.code == 0, done.err
    jsonschema.validate(done.json, schema("adopt.schema.json"))
    return done.json


def filled(account: Account) -> list[str]:
    """120 jobs: every state, two files, shared by all."""
    made = [
        account.add(
            looks, training=account.files[count % 2], validation=account.files[1 - count % 2]
        )
        for count in range(28)
        for looks in LOOKS.values()
    ]
    made += [account.add(0, status="cancelled") for _ in range(3)]
    made += [account.add(2, status="paused", paused=True) for _ in range(2)]
    error = {"code": "invalid_training_file", "message": "bad rows", "param": None}
    made += [account.add(1, status="failed", error=error) for _ in range(3)]
    return made


def requests(account: Account) -> dict[str, int]:
    routes = ("list_jobs", "get_job", "events", "checkpoints", "get_file", "file_content")
    return {route: account.host.count(route) for route in routes}


@pytest.mark.usefixtures("either")
def test_a_second_adoption_changes_nothing_and_only_lists(ftctl: Ftctl, account: Account):
    made = filled(account)
    first = adopted(ftctl)
    assert (first["listed"], first["adopted"], first["known"]) == (len(made), len(made), 0)
    assert first["statuses"] == {
        "queued": 56, "running": 28, "succeeded": 28, "cancelled": 3, "paused": 2, "failed": 3,
    }  # fmt: skip
    # Two files shared by all the jobs, and one result of each that succeeded.
    assert first["fetched"]["files"] == 2 + 28
    before, asked = whole_database(ftctl), requests(account)
    assert len(before["jobs"]) == len(made) == 120
    second = adopted(ftctl)
    assert (second["adopted"], second["known"], second["changed"]) == (0, len(made), 0)
    assert second["fetched"] == {"files": 0, "bytes": 0}
    assert whole_database(ftctl) == before
    assert requests(account) == {**asked, "list_jobs": asked["list_jobs"] + 2}


def test_a_job_comes_whole(ftctl: Ftctl, account: Account):
    events = [
        {"object": "fine_tuning.job.event", "id": f"e{n}", "created_at": 1_760_000_000 + n,
         "level": "info", "message": f"Step {n}", "type": "metrics",
         "data": {"step": n, "train_loss": 1.0 / (n + 1)}}
        for n in range(250)
    ]  # fmt: skip
    remote = account.add(events=events, validation=account.files[1])
    found = adopted(ftctl)
    app = ftctl.app()
    job = app.jobs.find(remote)
    assert (job.origin, job.status, job.remote_status) == (
        Origin.ADOPTED, JobStatus.SUCCEEDED, "succeeded",
    )  # fmt: skip
    assert job.tuned_model
    assert job.tuned_model.startswith("ft:gpt-4.1-mini-2025-04-14:simulated:old:")
    assert (job.hyperparameters.n_epochs, job.hyperparameters.learning_rate_multiplier) == (2, 1.8)
    assert (job.suffix, job.seed, job.raw and job.raw["id"]) == ("old", 3, remote)
    assert len(app.jobs.events(job.id)) == 250
    assert len(app.jobs.metrics(job.id)) == 250
    assert len(app.jobs.checkpoints(job.id)) == 3
    assert [each.reason for each in app.jobs.transitions(job.id)] == [
        "found at openai, made elsewhere"
    ]
    assert app.datasets.get(job.data).rows == 24
    assert app.datasets.path(job.data).read_bytes().startswith(b'{"messages"')
    assert job.validation
    upload = app.datasets.upload(job.account, job.data)
    assert upload is not None
    assert upload.remote_id == account.files[0]
    result = next(each for each in found["files"] if each["purpose"] == "result")
    # Kept as it came: OpenAI sends its tables in Base64.
    table = base64.b64decode(app.archive.path(result["digest"]).read_bytes())
    assert table.startswith(b"step,train_loss")
    app.close()
    page = ftctl("status", job.id)
    assert "made by" in page.out
    assert ftctl("status", job.id, "--json").json["origin"] == "adopted"


def test_what_was_fetched_is_for_its_owner_alone(ftctl: Ftctl, account: Account):
    account.add()
    adopted(ftctl)
    kept = [*(ftctl.home / "files").rglob("*"), *(ftctl.home / "datasets").rglob("*")]
    assert kept
    assert all(path.stat().st_mode & 0o077 == 0 for path in kept)


@pytest.mark.usefixtures("either")
def test_whatever_an_account_says_it_comes_in(ftctl: Ftctl, account: Account):
    event = {"object": "fine_tuning.job.event", "id": "e", "created_at": 1_760_000_000,
             "level": "l" * 99, "message": "a\x00b\ud800 \u202e" + "x" * 5000, "type": "metrics",
             "data": {"step": 2**40, "loss" * 40: 1.0, "train_loss": 0.5}}  # fmt: skip
    with account.memory.change() as state:
        state["files"][account.files[0]]["filename"] = "../../etc/\x00passwd\x1b[2J"
    remote = account.add(
        0, status="w" * 200, suffix="s" * 300, seed=2**62, events=[event, event],
        error={"message": "\x00", "code": None, "param": None},
        metadata={"ftctl_token": "t" * 200},
    )  # fmt: skip
    adopted(ftctl)
    assert adopted(ftctl)["known"] == 1
    app = ftctl.app()
    job = app.jobs.find(remote)
    assert (job.status, job.remote_status) == (JobStatus.QUEUED, "w" * 64)
    assert len(app.jobs.events(job.id)) == 2
    app.close()
    assert "\x1b" not in ftctl("dataset", "list").out
    assert ftctl("status", remote).code == ftctl("events", remote).code == 0


def test_jobs_of_our_own_are_not_doubled(ftctl: Ftctl, account: Account, tmp_path: Path):
    submitted = ftctl(
        "submit", tmp_path / "first.jsonl", "--provider", "openai",
        "--model", "gpt-4.1-mini-2025-04-14", "--json",
    ).json  # fmt: skip
    account.add()
    found = adopted(ftctl)
    assert (found["listed"], found["ours"], found["adopted"]) == (2, 1, 1)
    app = ftctl.app()
    assert app.jobs.get(submitted["id"]).origin is Origin.FTCTL
    assert len(app.jobs.all()) == 2
    app.close()


def test_an_intent_in_doubt_is_left_to_sync(ftctl: Ftctl, account: Account, tmp_path: Path):
    account.host.order_fault("create_job", "drop_after_accept")
    doubtful = ftctl(
        "submit", tmp_path / "first.jsonl", "--provider", "openai",
        "--model", "gpt-4.1-mini-2025-04-14", "--json",
    ).json  # fmt: skip
    assert doubtful["status"] == "unknown"
    found = adopted(ftctl)
    assert (found["listed"], found["ours"], found["adopted"]) == (1, 1, 0)
    ftctl("sync", "--all")
    assert ftctl("status", doubtful["id"], "--json").json["status"] == "queued"
    assert adopted(ftctl)["ours"] == 1


def test_a_grader_and_the_words_of_reinforcement_come_along(ftctl: Ftctl, account: Account):
    grader = {"type": "string_check", "name": "same", "operation": "eq", "input": "a"}
    remote = account.add(
        method="reinforcement", hyperparameters={"reasoning_effort": "low", "eval_interval": 5}
    )
    with account.memory.change() as state:
        state["jobs"][remote]["grader"] = grader
    adopted(ftctl)
    app = ftctl.app()
    job = app.jobs.find(remote)
    app.close()
    assert (job.method, job.hyperparameters.reasoning_effort) == (Method.REINFORCEMENT, "low")
    assert job.hyperparameters.eval_interval == 5
    assert job.options.grader == grader


def test_the_jobs_of_a_lost_ledger_keep_their_tokens(ftctl: Ftctl, account: Account):
    token = "ab" * 16
    account.add(metadata={"ftctl_token": token})
    account.add(metadata={"ftctl_token": token})
    assert adopted(ftctl)["adopted"] == 2
    app = ftctl.app()
    tokens = [job.token for job in app.jobs.all()]
    app.close()
    assert tokens.count(token) == 1
    assert adopted(ftctl)["adopted"] == 0


def test_a_renewed_key_doubles_nothing(ftctl: Ftctl, account: Account):
    account.add()
    adopted(ftctl)
    ftctl.environment["KEY"] = "sk-test-another-key-of-the-same"
    assert adopted(ftctl)["adopted"] == 0


def test_files_that_are_gone_or_forbidden_or_too_large_are_noted(ftctl: Ftctl, account: Account):
    first, second = account.files
    gone = account.add(training=first)
    account.lose(first)
    account.host.order_fault("file_content", "refuse", status=403, message="not yours")
    adopted_first = adopted(ftctl)
    states = {each["remote_id"]: each["state"] for each in adopted_first["files"]}
    assert states[first] == "gone"
    assert list(states.values()).count("forbidden") == 1
    account.add(training=second)
    large = {each["remote_id"]: each for each in adopted(ftctl)["files"]}
    assert large[second]["state"] == "kept"
    app = ftctl.app()
    assert app.jobs.find(gone).training is None
    app.close()
    before = account.host.count("get_file")
    adopted(ftctl)
    assert account.host.count("get_file") == before
    again = adopted(ftctl, "--retry-files")
    assert account.host.count("get_file") == before + 2
    assert {each["state"] for each in again["files"]} == {"gone", "kept"}


def test_a_file_that_is_too_large_is_not_fetched(ftctl: Ftctl, account: Account, tmp_path: Path):
    client = providers.build(
        Profile(name="x", kind="openai", base_url=account.host.url, api_key="k" * 9, home=tmp_path)
    )
    content = tmp_path / "large.jsonl"
    content.write_text(("x" * 1023 + "\n") * 1100)
    large = client.upload(content, "large.jsonl").id
    client.close()
    account.add(training=large)
    found = adopted(ftctl, "--max-file-mb", "1")
    told = {each["remote_id"]: each for each in found["files"]}[large]
    assert (told["state"], told["digest"]) == ("too large", None)
    assert "--max-file-mb" in told["note"]
    with account.memory.change() as state:
        # A host that tells no size, or a wrong one, is held to the limit all the same.
        state["files"][large]["bytes"] = 10
    assert adopted(ftctl, "--max-file-mb", "1", "--retry-files")["files"][0]["state"] != "kept"
    kept = {each["remote_id"]: each for each in adopted(ftctl, "--retry-files")["files"]}[large]
    assert (kept["state"], kept["errors"]) == ("kept", 1100)
    assert "10 bytes" in kept["note"]


def test_a_word_nobody_knows_is_kept_and_heard_once(ftctl: Ftctl, account: Account):
    remote = account.add(0, status="hibernating")
    found = adopted(ftctl)
    assert found["unknown_words"] == {"hibernating": 1}
    before = whole_database(ftctl)
    adopted(ftctl)
    assert whole_database(ftctl) == before
    job = ftctl("status", remote, "--json").json
    assert (job["status"], job["remote_status"]) == ("queued", "hibernating")
    assert "does not know" in ftctl("events", remote).out


def test_what_still_runs_is_followed_by_sync(ftctl: Ftctl, account: Account):
    remote = account.add(LOOKS["running"])
    adopted(ftctl)
    assert ftctl("status", remote, "--json").json["status"] == "running"
    account.host.advance(2)
    assert ftctl("sync", "--json").json["changed"][0]["after"] == "succeeded"


def test_a_change_since_is_taken_in_by_the_next_adoption(ftctl: Ftctl, account: Account):
    remote = account.add(LOOKS["running"])
    adopted(ftctl)
    account.host.advance(2)
    found = adopted(ftctl)
    assert (found["known"], found["changed"]) == (1, 1)
    assert ftctl("status", remote, "--json").json["status"] == "succeeded"


def test_files_may_be_left_and_fetched_later(ftctl: Ftctl, account: Account):
    remote = account.add(validation=account.files[1])
    assert adopted(ftctl, "--no-files")["files"] == []
    assert account.host.count("get_file") == 0
    app = ftctl.app()
    assert app.jobs.find(remote).training is None
    app.close()
    refused = ftctl("compare", remote, "--test", "test.jsonl")
    assert refused.code == 2
    assert "ftctl adopt --provider openai" in refused.err
    adopted(ftctl)
    app = ftctl.app()
    assert app.jobs.find(remote).training
    app.close()


def test_a_dry_run_writes_nothing(ftctl: Ftctl, account: Account):
    account.add()
    before = whole_database(ftctl)
    assert adopted(ftctl, "--dry-run")["adopted"] == 1
    assert whole_database(ftctl) == before
    assert account.host.count("events") == account.host.count("get_file") == 0


def test_a_line_that_breaks_is_taken_up_where_it_was(ftctl: Ftctl, account: Account):
    for _ in range(4):
        account.add()
    account.host.order_fault("events", "error_500", times=40)
    stopped = ftctl("adopt", "--provider", "openai")
    assert stopped.code == 4
    with account.memory.change() as state:
        state["faults"].clear()
    fetched = account.host.count("file_content")
    assert adopted(ftctl)["listed"] == 4
    app = ftctl.app()
    assert len(app.jobs.all()) == 4
    assert all(app.jobs.events(job.id) for job in app.jobs.all())
    app.close()
    # The training file was fetched before the line broke, and not again.
    assert account.host.count("file_content") - fetched <= 4


def test_half_a_file_is_no_file(ftctl: Ftctl, account: Account):
    remote = account.add()
    account.host.order_fault("file_content", "half_body")
    found = adopted(ftctl)
    app = ftctl.app()
    size = app.datasets.path(app.jobs.find(remote).data).stat().st_size
    app.close()
    told = {each["remote_id"]: each for each in found["files"]}[account.files[0]]
    assert told["bytes"] == size
    assert told["note"] == ""


def test_a_page_of_a_proxy_is_no_file(ftctl: Ftctl, account: Account):
    account.add()
    account.host.order_fault("file_content", "html_200", times=20)
    assert ftctl("adopt", "--provider", "openai").code == 4
    app = ftctl.app()
    assert app.datasets.all() == []
    app.close()


def test_a_run_that_is_killed_goes_on(ftctl: Ftctl, account: Account):
    made = [account.add(training=account.files[count % 2]) for count in range(12)]
    environment = {
        **os.environ, **ftctl.environment, "FTCTL_HOME": str(ftctl.home),
        "FTCTL_TEST": "1", "FTCTL_FAILPOINT": "adopt.job_kept:5",
    }  # fmt: skip
    command = [sys.executable, "-m", "orchestrator", "adopt", "--provider", "openai"]
    died = subprocess.run(
        command, env=environment, cwd=ftctl.home, capture_output=True, check=False
    )
    assert died.returncode == -signal.SIGKILL
    app = ftctl.app()
    before = len(app.jobs.all())
    app.close()
    assert before >= 4
    found = adopted(ftctl)
    assert found["known"] + found["adopted"] == len(made)
    assert found["adopted"] <= len(made) - before
    second = whole_database(ftctl)
    adopted(ftctl)
    assert whole_database(ftctl) == second
    assert not list((ftctl.home / "files").glob(".part-*"))


def test_a_full_disk_loses_nothing(ftctl: Ftctl, account: Account):
    account.add()

    class FullDisk:
        def __init__(self, real: Provider) -> None:
            self._real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        def file_content(self, file_id: str, sink: Sink) -> int:
            sink.write(b"half")
            raise OSError(28, "No space left on device", "content.jsonl")

    ftctl.build_provider = lambda profile: FullDisk(providers.build(profile))
    stopped = ftctl("adopt", "--provider", "openai")
    assert stopped.code == 5
    assert "disk is full" in stopped.err
    assert list((ftctl.home / "files").iterdir()) == []
    ftctl.build_provider = None
    assert adopted(ftctl)["adopted"] == 1
