"""Homes that somebody or something has damaged, clocks put back, permissions taken away."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import openai
import pytest
import torch
from ftctl_worker.database import Database
from ftctl_worker.home import Home
from ftctl_worker.job import JobDraft
from ftctl_worker.queue.jobs import JobStore
from ftctl_worker.training import resume

from tests.worker import servers
from tests.worker.servers import Worker, colour_rows
from tests.worker.test_engines import ENGINES
from tests.worker.test_server import run

PYTHON_GRADER = {
    "type": "python",
    "name": "code",
    "source": "def grade(sample, item):\n    return 1.0",
}


@pytest.mark.parametrize("damage", ["garbage", "middle", "cut", "empty folder"])
def test_a_damaged_database_is_one_sentence_and_nothing_is_touched(
    tmp_path: Path, damage: str
) -> None:
    with servers.running(tmp_path) as worker:
        for _ in range(20):
            worker.upload(colour_rows(2))
        assert worker.stop() == 0
    file = worker.home / "worker.sqlite3"
    content = file.read_bytes()
    half = len(content) // 2
    damaged = {
        "garbage": b"no database at all" * 1000,
        "middle": content[: half - 4096] + b"\xa5" * 8192 + content[half + 4096 :],
        "cut": content[:half],
        "empty folder": b"",
    }[damage]
    if damage == "empty folder":
        file.unlink()
        file.mkdir()
    else:
        file.write_bytes(damaged)
    ended = run("serve", "--home", str(worker.home), "--token-env", "WORKER_TOKEN")
    assert ended.returncode == 5, ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    if damage != "empty folder":
        assert "is damaged" in ended.stderr
        assert "backup" in ended.stderr
        assert file.read_bytes() == damaged
    assert len(list((worker.home / "files").iterdir())) == 20


def test_a_folder_deleted_by_hand_is_said_and_harms_nobody_else(
    tmp_path: Path, models_dir: Path
) -> None:
    with servers.running(tmp_path, "--models-dir", str(models_dir)) as worker:
        job = worker.wait_job(
            worker.client.fine_tuning.jobs.create(
                model="mini",
                training_file=worker.upload(colour_rows()),
                hyperparameters={"n_epochs": 2, "batch_size": 24},
            ).id
        )
        shutil.rmtree(worker.home / "models" / job.id / "step-2")
        with pytest.raises(openai.APIStatusError) as refused:
            ask(worker, job.fine_tuned_model)
        assert refused.value.status_code == 404
        assert refused.value.code == "model_not_found"
        checkpoint = worker.client.fine_tuning.jobs.checkpoints.list(job.id).data[-1]
        assert ask(worker, checkpoint.fine_tuned_model_checkpoint).choices
        assert ask(worker, "mini").choices
        assert worker.client.models.delete(job.fine_tuned_model).deleted


def ask(worker: Worker, model: str) -> Any:
    return worker.client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "colour of sky 0"}], max_tokens=2
    )


def test_a_clock_that_is_put_back_hides_no_change_and_ends_no_job_before_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(Home(tmp_path).database)
    jobs = JobStore(database)
    draft = JobDraft(
        model="m", training_file="f", validation_file=None, suffix=None, seed=1, metadata=None,
        requested={},
    )  # fmt: skip
    now = 1_800_000_000.0
    monkeypatch.setattr("ftctl_worker.queue.jobs.time.time", lambda: now)
    first, second = (jobs.create(draft)[0] for _ in range(2))
    assert jobs.accept(first.id)
    assert jobs.start(jobs.oldest(first.status) or first) is None
    seen = max(job.updated_at for job in (jobs.get(first.id), jobs.get(second.id)) if job)
    now -= 3600
    assert jobs.cancel(first.id)
    page = jobs.page(after=None, limit=10, updated_since=seen)
    assert page is not None
    assert first.id in [job.id for job in page[0]]
    ended = jobs.get(first.id)
    assert ended is not None
    assert ended.finished_at is not None
    assert ended.finished_at >= ended.created_at
    database.close()


def test_code_of_a_client_is_not_run_once_that_is_forbidden(
    tmp_path: Path, models_dir: Path
) -> None:
    rows = [
        {"messages": [{"role": "user", "content": f"say {n}"}], "reference": "x"} for n in range(4)
    ]
    method: Any = {
        "type": "reinforcement",
        "reinforcement": {
            "grader": {
                "type": "multi",
                "name": "both",
                "graders": {"code": PYTHON_GRADER},
                "calculate_output": "code",
            },
            "hyperparameters": {"n_epochs": 1, "batch_size": 4, "max_completion_tokens": 4},
        },
    }
    options = ("--models-dir", str(models_dir))
    with servers.running(tmp_path, "--allow-python-graders", *options) as worker:
        file_id = worker.upload(rows)
        jobs = worker.client.fine_tuning.jobs
        first = worker.wait_job(jobs.create(model="mini", training_file=file_id, method=method).id)
        assert first.status == "succeeded", first.error
        waiting = jobs.create(model="mini", training_file=file_id, method=method)
        jobs.pause(waiting.id)
    with servers.running(tmp_path, *options) as worker:
        worker.client.fine_tuning.jobs.resume(waiting.id)
        ended = worker.wait_job(waiting.id)
        assert ended.status == "failed"
        assert ended.error.code == "unsupported_grader"
        assert "--allow-python-graders" in ended.error.message
        assert ended.error.param == "method.reinforcement.grader.graders.code.type"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_grader_that_grades_no_answer_is_named_as_the_reason(
    tmp_path: Path, models_dir: Path, engine: str
) -> None:
    rows = [{"messages": [{"role": "user", "content": f"say {n}"}]} for n in range(4)]
    chosen = {"n_epochs": 1, "batch_size": 4, "max_completion_tokens": 4, "engine": engine}
    grader = {
        **PYTHON_GRADER,
        "source": "def grade(sample, item):\n    raise ValueError('no idea')",
    }
    method: Any = {
        "type": "reinforcement",
        "reinforcement": {"grader": grader, "hyperparameters": chosen},
    }
    options = ("--models-dir", str(models_dir), "--allow-python-graders")
    with servers.running(tmp_path, *options) as worker:
        job = worker.client.fine_tuning.jobs.create(
            model="mini", training_file=worker.upload(rows), method=method
        )
        ended = worker.wait_job(job.id)
    assert ended.status == "failed"
    assert ended.error.code == "grader_failed", ended.error
    assert ended.error.message == "The grader 'code' graded none of 32 answers: ValueError: no idea"


def test_every_token_of_a_server_sees_the_same_project(tmp_path: Path, models_dir: Path) -> None:
    """Tokens tell who may come in, and can be taken from one without the others; no more."""
    home = tmp_path / "home"
    tokens = [run("token", "add", name, "--home", str(home)).stdout.strip() for name in "ab"]
    with servers.running(tmp_path, "--models-dir", str(models_dir)) as worker:
        ours, theirs = (worker.client.with_options(api_key=token) for token in tokens)
        file = ours.files.create(file=("a.jsonl", b"{}"), purpose="fine-tune")
        assert theirs.files.retrieve(file.id).id == file.id
        job = ours.fine_tuning.jobs.create(model="mini", training_file=file.id)
        assert theirs.fine_tuning.jobs.retrieve(job.id).id == job.id
        assert theirs.files.delete(file.id).deleted
        assert run("token", "revoke", "b", "--home", str(home)).returncode == 0
        with pytest.raises(openai.AuthenticationError):
            theirs.models.list()
        assert ours.models.list().data


@pytest.mark.parametrize("learned", [False, True])
def test_a_state_is_kept_also_where_nothing_was_learned_yet(tmp_path: Path, learned: bool) -> None:
    """Rewards that are all equal give no gradients, and so an optimizer without moments."""
    before, after = ({"w": torch.nn.Parameter(torch.full((2,), value))} for value in (1.0, 0.0))
    optimizers = [torch.optim.AdamW(one.values(), lr=0.1) for one in (before, after)]
    states = [
        resume.State(one, optimizer, None)
        for one, optimizer in zip((before, after), optimizers, strict=True)
    ]
    if learned:
        before["w"].grad = torch.ones(2)
        optimizers[0].step()
    file = tmp_path / "state.safetensors"
    states[0].store(file, resume.Progress(step=3))
    assert states[1].restore(file).step == 3
    assert torch.equal(before["w"], after["w"])
    assert len(optimizers[1].state) == learned
    file.write_bytes(file.read_bytes()[:-3])
    assert states[1].restore(file).step == 0
