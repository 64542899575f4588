"""The whole of ftctl on real parts: real training, real answers, a real database, no network."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from orchestrator import resources
from orchestrator.datasets.demo_tasks import TASKS
from orchestrator.domain.clock import SystemClock
from orchestrator.domain.jobs.dataset import Split
from tests.conftest import Ftctl, Outcome

pytest.importorskip("ftctl_worker")


def conforms(value: Any, schema: str) -> Any:
    Draft202012Validator(resources.schema(f"{schema}.schema.json")).validate(value)
    return value


@pytest.fixture
def local(ftctl: Ftctl) -> Ftctl:
    ftctl.clock = SystemClock()
    return ftctl


@pytest.fixture
def files(local: Ftctl) -> dict[Split, Path]:
    return TASKS["tickets"].write(local.home / "data", seed=3)


def shortened(path: Path, rows: int) -> Path:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    short = path.with_name(f"short-{path.name}")
    short.write_text("".join(lines[:rows]), encoding="utf-8")
    return short


def ends(pid: int) -> bool:
    """Whether a process that is not our child is gone within half a minute."""
    clock = SystemClock()
    for _ in range(150):
        try:
            # A worker that this process started is its child, and must be reaped to be gone.
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        clock.sleep(0.2)
    return False


def worker_pid(local: Ftctl) -> int:
    ready = json.loads((local.home / "worker" / "ready.json").read_text())
    return int(ready["pid"])


def submitted(local: Ftctl, files: dict[Split, Path], *more: str) -> Outcome:
    train = shortened(files[Split.TRAIN], 48)
    options = ("--provider", "local", "--model", "tiny", "--epochs", "1", "--json")
    return local("submit", train, *options, *more)


def test_a_job_from_file_to_report(local: Ftctl, files: dict[Split, Path]):
    own = ["--lora", "r=4", "--lora", 'target_modules=["q_proj"]', "--worker", "learning_rate=2e-3"]
    own += ["--worker", "max_length=88"]
    done = submitted(local, files, "--wait", "--suffix", "e2e", *own)
    assert "warning: training_file: 2 examples cut off after 88 tokens" in done.err
    job = conforms(done.json, "submit")
    assert (job["status"], job["error"]) == ("succeeded", None)
    assert job["tuned_model"].startswith("ft:tiny:ftctl:e2e:")

    status = conforms(local("status", job["id"][:6], "--json").json, "status")
    assert status["remote_status"] == "succeeded"
    # What was told before is what was trained, cut where that was asked for.
    assert status["trained_tokens"] == job["estimate"]["tokens_per_epoch"] < 3_692
    lora = {"r": 4, "target_modules": ["q_proj"]}
    assert status["options"]["own"] == {"learning_rate": 0.002, "max_length": 88, "lora": lora}
    (trained,) = {path.read_text() for path in local.home.rglob("adapter_config.json")}
    assert {name: json.loads(trained)[name] for name in lora} == lora
    page = local("status", job["id"])
    assert "train_loss" in page.out
    assert f"next: ftctl compare {job['id']}" in page.out
    events = conforms(local("events", job["id"], "--json").json, "events")
    assert any("cut off after 88 tokens" in each["message"] for each in events)
    assert conforms(local("sync", "--json").json, "sync")["checked"] == 0

    test = shortened(files[Split.TEST], 18)
    compared = local("compare", job["id"], "--test", test, "--json")
    assert compared.code in {0, 1, 10}
    result = conforms(compared.json, "compare")
    assert [arm["name"] for arm in result["arms"]] == ["base", "few-shot:6", "tuned"]
    assert all(arm["n"] == 18 for arm in result["arms"])

    reported = local("report", job["id"], "--out", local.home / "out", "--json")
    assert reported.code in {0, 1, 10}
    report = conforms(reported.json, "report")
    assert all(Path(name).is_file() for name in report["files"])


def test_the_worker_ends_when_nobody_uses_it(local: Ftctl, files: dict[Split, Path]):
    app = local.app()
    assert app.provider("local").check().reachable
    pid = worker_pid(local)
    app.close()
    assert ends(pid)
    assert not (local.home / "worker" / "ready.json").exists()


def test_a_killed_worker_loses_nothing(local: Ftctl, files: dict[Split, Path]):
    job = submitted(local, files).json
    assert job["status"] in {"queued", "running"}
    os.kill(worker_pid(local), signal.SIGKILL)
    watched = local("status", job["id"], "--watch", "--json")
    assert watched.json["status"] == "succeeded"


def test_bad_data_is_refused_before_anything_is_sent(local: Ftctl):
    bad = local.home / "bad.jsonl"
    bad.write_text('{"messages": [{"role": "user", "content": "hi"}\n')
    outcome = local("submit", bad, "--provider", "local", "--model", "tiny")
    assert outcome.code == 1
    assert "line 1" in outcome.err
    assert local("status", "--json").json == []
    assert not (local.home / "worker").exists()


def test_what_the_worker_refuses_is_named_as_it_was_typed(local: Ftctl, files: dict[Split, Path]):
    refused = submitted(local, files, "--worker", "tuning=full", "--lora", "r=4")
    assert (refused.code, refused.json["status"]) == (1, "rejected")
    assert "makes no sense" in refused.json["error"]
    told = local("status", refused.json["id"])
    assert "makes no sense" in told.out


def test_an_unknown_model_is_one_sentence(local: Ftctl, files: dict[Split, Path]):
    train = shortened(files[Split.TRAIN], 48)
    outcome = local("submit", train, "--provider", "local", "--model", "no-such-model", "--json")
    assert outcome.code == 1
    assert outcome.json["status"] == "rejected"
    assert "no-such-model" in outcome.json["error"]


def test_the_demo_measures_what_it_shows(local: Ftctl):
    outcome = local("demo", "--json", "--out", local.home / "demo")
    assert outcome.code == 0, outcome.err
    shown = conforms(outcome.json, "demo")
    arms = shown["arms"]
    # The embedded base model is made so that tuning lifts it; a base that no longer learns is a bug.
    assert arms["tuned"]["exact"] > arms["base"]["exact"] + 0.3
    assert arms["tuned"]["exact"] > arms["few_shot"]["exact"] + 0.3
    report = json.loads(Path(shown["files"][0]).read_text())
    measured = {arm["name"]: arm["metrics"]["exact"] for arm in report["comparison"]["arms"]}
    assert measured["tuned"] == arms["tuned"]["exact"]
