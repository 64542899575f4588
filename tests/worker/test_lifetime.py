"""Servers and trainers that die, and what is left of their jobs."""

from __future__ import annotations

import fcntl
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.worker import servers
from tests.worker.servers import Worker, colour_rows, wait_for


def start_long_job(worker: Worker) -> Any:
    return worker.client.fine_tuning.jobs.create(
        model="mini",
        training_file=worker.upload(colour_rows()),
        seed=5,
        hyperparameters={"n_epochs": 30, "batch_size": 4},
    )


def trainers(worker: Worker) -> list[int]:
    """Return the processes that train for a home."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"ftctl_worker.train" in line and str(worker.home).encode() in line:
                found.append(int(entry.name))
    return found


def adapter_bytes(worker: Worker, job: Any) -> bytes:
    file: Path
    (file,) = (worker.home / "models" / job.id / "step-180").glob("*.safetensors")
    return file.read_bytes()


def test_a_killed_server_resumes_its_job_to_the_same_adapter(
    tmp_path: Path, models_dir: Path
) -> None:
    options = ("--models-dir", str(models_dir))
    with servers.running(tmp_path, *options) as worker:
        job = start_long_job(worker)
        state = worker.home / "jobs" / job.id / "state.safetensors"
        wait_for(state.exists)
        worker.kill()
        wait_for(lambda: not trainers(worker), seconds=10)
    with servers.running(tmp_path, "--concurrency", "2", *options) as worker:
        undisturbed = worker.wait_job(start_long_job(worker).id)
        resumed = worker.wait_job(job.id)
        messages = [event.message for event in worker.events(job.id)]
        assert resumed.status == undisturbed.status == "succeeded"
        assert any("queued again" in message for message in messages)
        assert any(message.startswith("Resuming after step ") for message in messages)
        assert adapter_bytes(worker, resumed) == adapter_bytes(worker, undisturbed)
        assert resumed.trained_tokens == undisturbed.trained_tokens
        results = [
            worker.client.files.content(one.result_files[0]).text for one in (resumed, undisturbed)
        ]
        assert results[0] == results[1]


def test_a_stopped_server_puts_its_job_back_and_a_trainer_that_always_dies_fails_it(
    tmp_path: Path, models_dir: Path
) -> None:
    options = ("--models-dir", str(models_dir))
    with servers.running(tmp_path, *options) as worker:
        job = start_long_job(worker)
        wait_for(lambda: trainers(worker))
        assert worker.stop() == 0
        assert not trainers(worker)
    with servers.running(tmp_path, *options) as worker:
        killed: set[int] = set()
        while worker.client.fine_tuning.jobs.retrieve(job.id).status != "failed":
            for trainer in set(trainers(worker)) - killed:
                os.kill(trainer, signal.SIGKILL)
                killed.add(trainer)
        assert len(killed) == 5
        failed = worker.wait_job(job.id)
        assert failed.status == "failed"
        assert failed.error.code == "out_of_memory"
        assert "smaller batch_size" in failed.error.message
        assert worker.client.fine_tuning.jobs.retrieve(job.id).finished_at


@contextmanager
def usage(lock: Path) -> Iterator[int]:
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def test_an_unused_server_ends_by_itself_but_not_before_its_jobs(
    tmp_path: Path, models_dir: Path
) -> None:
    lock = tmp_path / "usage.lock"
    options = ("--models-dir", str(models_dir), "--exit-when-unused", str(lock))
    with usage(lock) as held, servers.running(tmp_path, *options) as worker:
        job = worker.client.fine_tuning.jobs.create(
            model="mini", training_file=worker.upload(colour_rows(8))
        )
        wait_for(lambda: trainers(worker))
        fcntl.flock(held, fcntl.LOCK_UN)
        worker.wait_job(job.id)
        assert worker.process.wait(timeout=15) == 0
        assert not (tmp_path / "ready.json").exists()


def test_a_used_server_stays(tmp_path: Path) -> None:
    lock = tmp_path / "usage.lock"
    with usage(lock) as held, servers.running(tmp_path, "--exit-when-unused", str(lock)) as worker:
        rounds = iter(range(40))
        wait_for(lambda: next(rounds) > 30)
        assert worker.process.poll() is None
        assert json.loads((tmp_path / "ready.json").read_text())["url"] == worker.url
        fcntl.flock(held, fcntl.LOCK_UN)
        assert worker.process.wait(timeout=10) == 0
