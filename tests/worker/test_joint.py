"""Jobs trained in the same passes: each ends as it does alone."""

from __future__ import annotations

import csv
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.worker import servers
from tests.worker.servers import Worker, colour_rows, wait_for
from tests.worker.test_lifetime import trainers

OWN_WAYS: list[dict[str, Any]] = [
    {"n_epochs": 6, "batch_size": 2, "lora": {"r": 4}, "early_stopping_patience": 5},
    {"n_epochs": 2, "batch_size": 4, "lora": {"target_modules": ["q_proj", "v_proj"]}},
    {"n_epochs": 3, "batch_size": 3, "learning_rate_multiplier": 0.5},
]
GROUP = {"ftctl_group": "a campaign"}


def create(worker: Worker, rows: list[Any], ways: dict[str, Any], **more: Any) -> Any:
    jobs: Any = worker.client.fine_tuning.jobs
    return jobs.create(
        model="mini",
        training_file=worker.upload(rows),
        metadata=GROUP,
        method={"type": "supervised", "supervised": {"hyperparameters": ways}},
        **{"seed": 3, **more},
    )


def create_all(worker: Worker) -> list[Any]:
    held_out = worker.upload(colour_rows(6))
    return [
        create(worker, colour_rows(10 + n), ways, seed=n, validation_file=held_out)
        for n, ways in enumerate(OWN_WAYS)
    ]


def told(worker: Worker, job: Any) -> list[str]:
    return [event.message for event in reversed(worker.events(job.id))]


def results(worker: Worker, job: Any) -> list[dict[str, str]]:
    text = worker.client.files.content(job.result_files[0]).text
    return list(csv.DictReader(text.splitlines()))


def adapter(worker: Worker, job: Any) -> dict[str, torch.Tensor]:
    steps = sorted((worker.home / "models" / job.id).iterdir(), key=lambda one: one.stat().st_ino)
    last = max(steps, key=lambda one: int(one.name.removeprefix("step-")))
    return load_file(last / "adapter_model.safetensors")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Any:
    """What the jobs come to one by one: results and adapters."""
    folder = tmp_path_factory.mktemp("alone")
    options = ("--models-dir", str(models_dir), "--joint", "never")
    with servers.running(folder, *options) as worker:
        jobs = [worker.wait_job(job.id) for job in create_all(worker)]
        assert not any("rained together" in text for text in told(worker, jobs[0]))
        return [(job.trained_tokens, results(worker, job), adapter(worker, job)) for job in jobs]


def check_like_alone(worker: Worker, jobs: list[Any], alone: Any) -> None:
    for job, (tokens, rows, weights) in zip(jobs, alone, strict=True):
        assert job.status == "succeeded", job.error
        assert job.trained_tokens == tokens
        ours = results(worker, job)
        assert [one["step"] for one in ours] == [one["step"] for one in rows]
        for mine, theirs in zip(ours, rows, strict=True):
            assert float(mine["train_loss"]) == pytest.approx(float(theirs["train_loss"]), rel=1e-4)
            assert bool(mine["valid_loss"]) == bool(theirs["valid_loss"])
            if mine["valid_loss"]:
                assert float(mine["valid_loss"]) == pytest.approx(
                    float(theirs["valid_loss"]), rel=1e-4
                )
        found = adapter(worker, job)
        assert found.keys() == weights.keys()
        for name, value in found.items():
            torch.testing.assert_close(value, weights[name], rtol=1e-3, atol=1e-4)


def test_each_job_of_a_group_ends_as_it_does_alone_whatever_becomes_of_the_others(
    tmp_path: Path, models_dir: Path, alone: Any
) -> None:
    with servers.running(tmp_path, "--models-dir", str(models_dir)) as worker:
        endless = create(worker, colour_rows(), {"n_epochs": 50, "batch_size": 1})
        wait_for(lambda: worker.client.fine_tuning.jobs.retrieve(endless.id).status == "running")
        diverging = create(worker, colour_rows(8), {"batch_size": 2, "learning_rate": 1e30})
        unusable = create(
            worker,
            [{"messages": [{"role": "user", "content": "q" * 200},
                           {"role": "assistant", "content": "a"}]}],
            {"batch_size": 2},
        )  # fmt: skip
        jobs = create_all(worker)
        dropping = create(worker, colour_rows(4), {"n_epochs": 1, "lora": {"dropout": 0.1}})
        worker.client.fine_tuning.jobs.cancel(endless.id)
        jobs = [worker.wait_job(job.id) for job in jobs]
        check_like_alone(worker, jobs, alone)
        assert any("rained together with 4 other" in text for text in told(worker, jobs[0]))
        assert worker.wait_job(diverging.id).error.code == "diverged"
        assert worker.wait_job(unusable.id).error.code == "invalid_training_file"
        assert worker.wait_job(dropping.id).status == "succeeded"
        assert not any("rained together" in text for text in told(worker, dropping))
        wait_for(lambda: not list(worker.home.glob("jobs/*/state.safetensors")))


def test_a_killed_group_goes_on_and_ends_the_same(
    tmp_path: Path, models_dir: Path, alone: Any
) -> None:
    with servers.running(tmp_path, "--models-dir", str(models_dir), "--joint", "8") as worker:
        jobs = create_all(worker)
        state = worker.home / "jobs" / jobs[0].id / "state.safetensors"
        wait_for(state.exists, seconds=120)
        (trainer,) = trainers(worker)
        os.kill(trainer, signal.SIGKILL)
        jobs = [worker.wait_job(job.id) for job in jobs]
        check_like_alone(worker, jobs, alone)
        assert any(text.startswith("Resuming after step") for text in told(worker, jobs[0]))


def test_a_job_leaves_its_group_when_paused_and_goes_on_later(
    tmp_path: Path, models_dir: Path, alone: Any
) -> None:
    with servers.running(tmp_path, "--models-dir", str(models_dir)) as worker:
        client: Any = worker.client.fine_tuning.jobs
        jobs = create_all(worker)
        paused = create(worker, colour_rows(), {"n_epochs": 50, "batch_size": 1})
        state = worker.home / "jobs" / paused.id / "state.safetensors"
        wait_for(state.exists, seconds=120)
        assert client.pause(paused.id).status == "paused"
        check_like_alone(worker, [worker.wait_job(job.id) for job in jobs], alone)
        client.resume(paused.id)
        wait_for(lambda: any(text.startswith("Resuming after") for text in told(worker, paused)))
        client.cancel(paused.id)
