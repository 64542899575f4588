"""One contract for every engine that can run here: the same job, told and kept the same way."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.worker import servers
from tests.worker.servers import TOKEN, Worker, colour_rows, wait_for
from tests.worker.test_lifetime import trainers

ENGINES = ("peft", "trl")


def start(worker: Worker, engine: str, **more: Any) -> Any:
    hyperparameters = {"n_epochs": 4, "batch_size": 8, "engine": engine, **more}
    method: Any = {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}}
    return worker.client.fine_tuning.jobs.create(
        model="mini",
        training_file=worker.upload(colour_rows()),
        validation_file=worker.upload(colour_rows(6)),
        seed=5,
        method=method,
    )


@pytest.fixture(scope="module", params=ENGINES)
def done(worker: Worker, request: pytest.FixtureRequest) -> Any:
    """A job that every engine trains."""
    job = worker.wait_job(start(worker, request.param).id, seconds=240)
    assert job.status == "succeeded", job.error
    return job


def table(worker: Worker, job: Any) -> list[dict[str, str]]:
    text = worker.client.files.content(job.result_files[0]).text
    return list(csv.DictReader(text.splitlines()))


def test_every_step_is_told_and_learned_from(worker: Worker, done: Any) -> None:
    metrics = [event.data for event in reversed(worker.events(done.id)) if event.type == "metrics"]
    assert [one["step"] for one in metrics] == list(range(1, 13))
    assert all(one["total_steps"] == 12 for one in metrics)
    assert metrics[-1]["train_loss"] < metrics[0]["train_loss"]
    rows = table(worker, done)
    assert [int(row["step"]) for row in rows] == list(range(1, 13))
    assert [row["step"] for row in rows if row["valid_loss"]] == ["3", "6", "9", "12"]
    assert all(0 <= float(row["train_accuracy"]) <= 1 for row in rows)
    assert done.trained_tokens > 12 * 8 * 10


def test_both_engines_see_the_same_loss_before_the_first_step(worker: Worker, done: Any) -> None:
    """The first batch differs by engine; over the whole file the untrained losses are near."""
    first = float(table(worker, done)[0]["train_loss"])
    assert 5.0 < first < 6.5  # about ln 262, what guessing costs


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")
def test_checkpoints_and_the_adapter_are_those_of_peft(
    worker: Worker, done: Any, models_dir: Path
) -> None:
    checkpoints = list(worker.client.fine_tuning.jobs.checkpoints.list(done.id))
    assert [one.step_number for one in checkpoints] == [12, 9, 6]
    folder = worker.home / "models" / done.id / "step-12"
    assert {file.name for file in folder.iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", "README.md",
    }  # fmt: skip
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(models_dir / "mini")
    tuned = PeftModel.from_pretrained(model, str(folder))
    changed = [
        value for name, value in tuned.named_parameters() if "lora_B" in name and value.any()
    ]
    assert len(changed) == 14  # seven linear layers in each of two blocks
    answer = worker.client.chat.completions.create(
        model=done.fine_tuned_model,
        messages=[{"role": "user", "content": "colour of sky 0"}],
        max_tokens=2,
    )
    assert answer.choices[0].message.role == "assistant"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_cancelled_job_stops_its_trainer(worker: Worker, engine: str) -> None:
    job = start(worker, engine, n_epochs=50, batch_size=1)
    wait_for(lambda: any(e.type == "metrics" for e in worker.events(job.id)), seconds=120)
    cancelled = worker.client.fine_tuning.jobs.cancel(job.id)
    assert cancelled.status == "cancelled"
    wait_for(lambda: not trainers(worker), seconds=30)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_killed_trainer_goes_on_after_its_last_stored_step(worker: Worker, engine: str) -> None:
    job = start(worker, engine, n_epochs=16)
    folder = worker.home / "jobs" / job.id
    wait_for(
        lambda: [*folder.glob("state.safetensors"), *folder.glob("trainer/*/trainer_state.json")],
        seconds=120,
    )
    for trainer in trainers(worker):
        os.kill(trainer, signal.SIGKILL)
    ended = worker.wait_job(job.id, seconds=240)
    assert ended.status == "succeeded", ended.error
    messages = [event.message for event in worker.events(job.id)]
    assert any(message.startswith("Resuming after step ") for message in messages)
    assert [int(row["step"]) for row in table(worker, ended)] == list(range(1, 49))
    wait_for(lambda: not (folder / "trainer").exists())


def test_preferences_are_learned_by_trl(worker: Worker) -> None:
    rows = [
        {
            "input": {"messages": [{"role": "user", "content": f"which {n}"}]},
            "preferred_output": [{"role": "assistant", "content": "yes"}],
            "non_preferred_output": [{"role": "assistant", "content": "no"}],
        }
        for n in range(16)
    ]
    hyperparameters = {"n_epochs": 4, "batch_size": 8, "learning_rate_multiplier": 1}
    method: Any = {"type": "dpo", "dpo": {"hyperparameters": {**hyperparameters, "engine": "trl"}}}
    job = worker.client.fine_tuning.jobs.create(
        model="mini", training_file=worker.upload(rows), method=method
    )
    ended = worker.wait_job(job.id, seconds=240)
    assert ended.status == "succeeded", ended.error
    rows_ = table(worker, ended)
    assert abs(float(rows_[0]["train_loss"]) - 0.6931) < 0.01  # ln 2: adapter and base agree yet
    assert float(rows_[-1]["train_loss"]) < float(rows_[0]["train_loss"])


def test_the_table_says_what_can_be_done_here_and_why_not(worker: Worker) -> None:
    answer = worker.http.get(
        f"{worker.url}/worker/engines", headers={"Authorization": f"Bearer {TOKEN}"}
    ).json()
    engines = {engine["name"]: engine for engine in answer["data"]}
    assert set(engines) == {"peft", "trl", "unsloth"}
    assert engines["peft"]["default"]
    assert engines["peft"]["methods"]["reinforcement"]["available"] == ["lora", "full"]
    assert "CUDA" in engines["peft"]["methods"]["supervised"]["unavailable"]["qlora"]
    assert engines["unsloth"]["methods"]["supervised"]["available"] == []
    said = subprocess.run(
        servers.command("engines", "--json"),
        env=servers.environment(),
        capture_output=True,
        check=True,
    )
    assert json.loads(said.stdout)["data"] == answer["data"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"engine": "unsloth"}, "CUDA"),
        ({"tuning": "qlora"}, "CUDA"),
        ({"engine": "trl", "tuning": "full"}, "cannot do full"),
        ({"engine": "nothing"}, "must be one of peft, trl, unsloth"),
        ({"tuning": "full", "lora": {"r": 4}}, "makes no sense"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_way_out(
    worker: Worker, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=said):
        start(worker, given.pop("engine", "peft"), **given)


def test_all_weights_of_a_small_model_can_be_trained_and_served(worker: Worker) -> None:
    job = worker.wait_job(start(worker, "peft", tuning="full", learning_rate=0.003).id, seconds=240)
    assert job.status == "succeeded", job.error
    rows = table(worker, job)
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"]) - 1
    folder = worker.home / "models" / job.id / "step-12"
    assert (folder / "model.safetensors").is_file()
    assert not list(folder.glob("adapter*"))
    answer = worker.client.chat.completions.create(
        model=job.fine_tuned_model,
        messages=[{"role": "user", "content": "colour of fire 1"}],
        max_tokens=8,
        temperature=0,
    )
    assert answer.model == job.fine_tuned_model
    assert answer.choices[0].message.content
