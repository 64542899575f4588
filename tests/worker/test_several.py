"""A job in several processes, which find each other over loopback, in place of several cards."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.worker import servers
from tests.worker.servers import Worker, wait_for
from tests.worker.test_engines import start, table


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp("rehearsal")
    options = ("--models-dir", str(models_dir), "--rehearse-cards", "2")
    with servers.running(folder, *options) as running:
        yield running


def processes(job_id: str) -> list[int]:
    """Return the trainer of a job and its processes, in the order of their starts."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if job_id.encode() in line:
            found.append(int(folder.name))
    return sorted(found)


def adapter(worker: Worker, job: Any) -> dict[str, Any]:
    folder = worker.home / "models" / job.id / "step-12"
    return load_file(folder / "adapter_model.safetensors")


def test_two_processes_one_of_which_is_killed_make_the_adapter_of_one(rehearsal: Worker) -> None:
    alone, job = start(rehearsal, "trl"), start(rehearsal, "trl", gpus=2)
    state = rehearsal.home / "jobs" / job.id / "trainer"
    wait_for(lambda: [*state.glob("*/trainer_state.json")], seconds=240)
    trainer, first, second = processes(job.id)
    os.kill(second, signal.SIGKILL)
    wait_for(lambda: not {trainer, first} & set(processes(job.id)))
    alone, job = rehearsal.wait_job(alone.id), rehearsal.wait_job(job.id)
    assert job.status == "succeeded", (rehearsal.home / "jobs" / job.id / "train.log").read_text()
    said = [event.message for event in rehearsal.events(job.id)]
    assert said.count("Trained by 2 processes with 4 rows each in a step") == 2
    assert any(message.startswith("Resuming after step ") for message in said)
    for mine, its in zip(table(rehearsal, job), table(rehearsal, alone), strict=True):
        assert float(mine["train_loss"]) == pytest.approx(float(its["train_loss"]), rel=1e-3)
    ours, theirs = adapter(rehearsal, job), adapter(rehearsal, alone)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert (ours[name] - value).norm() <= 1e-2 * value.norm(), name


def test_a_cancelled_job_ends_all_its_processes(rehearsal: Worker) -> None:
    job = start(rehearsal, "trl", gpus=2, n_epochs=50, batch_size=2)
    wait_for(lambda: any(e.type == "metrics" for e in rehearsal.events(job.id)), seconds=240)
    assert len(processes(job.id)) == 3
    rehearsal.client.fine_tuning.jobs.cancel(job.id)
    wait_for(lambda: not processes(job.id))
    assert rehearsal.client.fine_tuning.jobs.retrieve(job.id).status == "cancelled"
