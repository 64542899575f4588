"""What is left of jobs that were paused, cancelled or stopped early, whichever engine trained them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ftctl_worker.database import Database
from ftctl_worker.engines.reporting import last_state
from ftctl_worker.home import Home
from ftctl_worker.job import JobDraft
from ftctl_worker.queue.jobs import JobStore
from ftctl_worker.queue.leftovers import Leftovers
from ftctl_worker.queue.postmortem import Deaths
from safetensors.torch import save_file

from tests.worker.servers import Worker, colour_rows, wait_for
from tests.worker.test_engines import ENGINES, start, table
from tests.worker.test_lifetime import trainers


def steps_told(worker: Worker, job_id: str) -> list[int]:
    events = worker.client.fine_tuning.jobs.list_events(job_id, limit=100)
    return [event.data["step"] for event in events if event.type == "metrics"]  # type: ignore[index]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_paused_job_goes_on_after_its_last_step(worker: Worker, engine: str) -> None:
    jobs = worker.client.fine_tuning.jobs
    # Long enough that it still trains when it is told to pause.
    epochs = {"peft": 40, "trl": 10}[engine]
    job = start(worker, engine, n_epochs=epochs, batch_size=1)
    wait_for(lambda: steps_told(worker, job.id), seconds=120)
    assert str(jobs.pause(job.id).status) == "paused"
    wait_for(lambda: not trainers(worker), seconds=30)
    told = max(steps_told(worker, job.id))
    assert str(jobs.retrieve(job.id).status) == "paused"
    assert jobs.resume(job.id).status == "queued"
    ended = worker.wait_job(job.id)
    assert ended.status == "succeeded", ended.error
    assert [int(row["step"]) for row in table(worker, ended)] == list(range(1, epochs * 24 + 1))
    resumed = [
        int(event.message.rpartition(" ")[2])
        for event in worker.events(job.id)
        if event.message.startswith("Resuming after step ")
    ]
    assert resumed[0] >= told


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_but_the_log_is_left_of_a_cancelled_job(worker: Worker, engine: str) -> None:
    jobs = worker.client.fine_tuning.jobs
    job = start(worker, engine, n_epochs=50, batch_size=4)
    folder = worker.home / "jobs" / job.id
    stored = {"peft": "state.safetensors", "trl": "trainer/history.json"}[engine]
    wait_for((folder / stored).exists, seconds=120)
    jobs.cancel(job.id)
    wait_for(lambda: not trainers(worker), seconds=30)
    wait_for(lambda: {f.name for f in folder.iterdir()} == {"train.log", "trainer.lock"})
    wait_for(lambda: not (worker.home / "models" / job.id).exists())


def test_a_job_of_trl_stops_early_at_its_best_step(worker: Worker) -> None:
    contrary = colour_rows(6)
    for row in contrary:
        row["messages"][1]["content"] = "QUITE ANOTHER"
    chosen: Any = {
        "n_epochs": 30,
        "batch_size": 8,
        "learning_rate": 0.05,
        "early_stopping_patience": 1,
    }
    chosen["engine"] = "trl"
    job = worker.client.fine_tuning.jobs.create(
        model="mini",
        training_file=worker.upload(colour_rows()),
        validation_file=worker.upload(contrary),
        seed=4,
        hyperparameters=chosen,
    )
    ended = worker.wait_job(job.id)
    assert ended.status == "succeeded", ended.error
    told = {int(row["step"]): row["valid_loss"] for row in table(worker, ended)}
    losses = {step: float(loss) for step, loss in told.items() if loss}
    best = min(losses, key=lambda step: losses[step])
    assert max(told) == best + 3 < 90
    said = f"Stopping early: the validation loss was lowest at step {best}"
    assert said in [event.message for event in worker.events(job.id)]
    assert (worker.home / "models" / job.id / f"step-{best}").is_dir()
    assert ended.fine_tuned_model in [model.id for model in worker.client.models.list()]
    assert not (worker.home / "jobs" / job.id / "trainer").exists()


@pytest.fixture
def home(tmp_path: Any) -> Home:
    made = Home(tmp_path / "home")
    made.prepare()
    return made


def test_what_ended_jobs_left_is_swept_and_what_is_not_known_stays(home: Home) -> None:
    database = Database(home.database)
    jobs = JobStore(database)
    draft = JobDraft(
        model="m", training_file="f", validation_file=None, suffix=None, seed=1, metadata=None,
        requested={},
    )  # fmt: skip
    ended, open_ = (jobs.create(draft)[0].id for _ in range(2))
    jobs.cancel(ended)
    for job_id in (ended, open_, "ftjob-of-a-backup"):
        (home.trainer_state(job_id) / "checkpoint-5").mkdir(parents=True)
        home.job_state(job_id).touch()
        (home.models / job_id / "step-1").mkdir(parents=True)
    Leftovers(jobs, home).sweep()
    assert not home.job_state(ended).exists()
    assert not home.trainer_state(ended).exists()
    assert not (home.models / ended).exists()
    for job_id in (open_, "ftjob-of-a-backup"):
        assert home.job_state(job_id).exists()
        assert home.trainer_state(job_id).exists()
        assert (home.models / job_id / "step-1").exists()
    database.close()


def test_a_half_written_state_of_a_trainer_is_passed_over(tmp_path: Path) -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    for step in (9, 10):
        place = tmp_path / f"checkpoint-{step}"
        place.mkdir()
        save_file({"w": torch.ones(2)}, place / "adapter_model.safetensors")
        torch.save(torch.optim.AdamW([parameter]).state_dict(), place / "optimizer.pt")
        torch.save({}, place / "rng_state.pth")
        (place / "trainer_state.json").write_text("{}")
        (place / "README.md").touch()
    assert last_state(tmp_path) == tmp_path / "checkpoint-10"
    for name in (
        "adapter_model.safetensors",
        "optimizer.pt",
        "rng_state.pth",
        "trainer_state.json",
    ):
        file = tmp_path / "checkpoint-10" / name
        whole = file.read_bytes()
        for part in (b"", whole[: len(whole) // 2], bytes(len(whole))):
            file.write_bytes(part)
            assert last_state(tmp_path) == tmp_path / "checkpoint-9", (name, part)
        file.write_bytes(whole)
    (tmp_path / "checkpoint-11").mkdir()
    assert last_state(tmp_path) == tmp_path / "checkpoint-10"


@pytest.mark.parametrize("stored", ["state.safetensors", "trainer/checkpoint-5/trainer_state.json"])
def test_a_job_that_gets_on_between_its_deaths_is_not_hopeless(home: Home, stored: str) -> None:
    deaths = Deaths(home)
    file = home.job("ftjob-1") / stored
    file.parent.mkdir(parents=True)
    assert [deaths.is_hopeless("ftjob-1") for _ in range(4)] == [False] * 4
    file.write_bytes(b"")
    assert [deaths.is_hopeless("ftjob-1") for _ in range(5)] == [False] * 4 + [True]
