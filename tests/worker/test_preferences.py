"""Preferences (DPO), LoRA options, early stopping and pausing, through the API."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from tests.worker.servers import Worker, colour_rows, wait_for


def preference_rows(count: int = 16) -> list[Any]:
    return [
        {
            "input": {"messages": [{"role": "user", "content": f"say {number}"}]},
            "preferred_output": [{"role": "assistant", "content": "yes sir"}],
            "non_preferred_output": [{"role": "assistant", "content": "no way"}],
        }
        for number in range(count)
    ]


def test_preferences_are_learned(worker: Worker) -> None:
    job = worker.client.fine_tuning.jobs.create(
        model="mini",
        training_file=worker.upload(preference_rows()),
        validation_file=worker.upload(preference_rows(4)),
        seed=3,
        method={
            "type": "dpo",
            "dpo": {"hyperparameters": {"beta": 0.2, "n_epochs": 3, "batch_size": 4}},
        },
    )
    done = worker.wait_job(job.id)
    assert done.status == "succeeded", done.error
    assert done.method.type == "dpo"
    assert done.method.dpo.hyperparameters.beta == 0.2
    metrics = [e.data for e in reversed(worker.events(job.id)) if e.type == "metrics"]
    assert metrics[0]["train_loss"] == pytest.approx(0.6931, abs=1e-3)
    assert metrics[-1]["train_loss"] < 0.6
    assert metrics[-1]["train_mean_token_accuracy"] == 1
    assert metrics[-1]["valid_loss"] < 0.6


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"input": None}, "/input"),
        ({"input": {"messages": []}}, "/input/messages"),
        ({"preferred_output": [{"role": "user", "content": "x"}]}, "preferred_output"),
        ({"non_preferred_output": "text"}, "non_preferred_output"),
    ],
)
def test_a_bad_preference_is_named(worker: Worker, change: dict[str, Any], said: str) -> None:
    rows = preference_rows(2)
    rows[1] |= change
    job = worker.client.fine_tuning.jobs.create(
        model="mini", training_file=worker.upload(rows), method={"type": "dpo"}
    )
    failed = worker.wait_job(job.id)
    assert failed.error.code == "invalid_training_file"
    assert failed.error.message.startswith("Line 2: ")
    assert said in failed.error.message


def test_lora_options_reach_the_adapter_and_early_stopping_names_the_best_step(
    worker: Worker,
) -> None:
    chosen: Any = {
        "n_epochs": 12,
        "batch_size": 8,
        "learning_rate": 0.05,
        "early_stopping_patience": 1,
        "gradient_checkpointing": True,
        "lora": {
            "r": 4,
            "dropout": 0.1,
            "target_modules": ["q_proj", "v_proj"],
            "use_rslora": True,
        },
    }
    contrary = colour_rows(6)
    for row in contrary:
        row["messages"][1]["content"] = "QUITE ANOTHER"
    job = worker.client.fine_tuning.jobs.create(
        model="mini",
        training_file=worker.upload(colour_rows()),
        validation_file=worker.upload(contrary),
        seed=4,
        hyperparameters=chosen,
    )
    done = worker.wait_job(job.id)
    assert done.status == "succeeded", done.error
    messages = [event.message for event in worker.events(job.id)]
    (stopped,) = [one for one in messages if one.startswith("Stopping early")]
    best = stopped.rsplit(" ", 1)[1]
    folders = {path.name for path in (worker.home / "models" / job.id).iterdir()}
    assert f"step-{best}" in folders
    assert len(folders) <= 4
    config = json.loads(
        (worker.home / "models" / job.id / f"step-{best}" / "adapter_config.json").read_text()
    )
    assert (config["r"], config["lora_alpha"], config["use_rslora"]) == (4, 8, True)
    assert config["target_modules"] == ["q_proj", "v_proj"]
    assert done.hyperparameters.lora["r"] == 4
    answer = worker.client.chat.completions.create(
        model=done.fine_tuned_model, messages=[{"role": "user", "content": "hi"}], max_tokens=3
    )
    assert answer.choices[0].message.content is not None


def test_a_dora_adapter_trains_and_answers(worker: Worker) -> None:
    options: Any = {"n_epochs": 1, "lora": {"r": 4, "use_dora": True}}
    job = worker.client.fine_tuning.jobs.create(
        model="mini", training_file=worker.upload(colour_rows(8)), hyperparameters=options
    )
    done = worker.wait_job(job.id)
    assert done.status == "succeeded", done.error
    answer = worker.client.chat.completions.create(
        model=done.fine_tuned_model, messages=[{"role": "user", "content": "hi"}], max_tokens=3
    )
    assert answer.usage is not None


def test_a_paused_job_goes_on_where_it_stood_and_ends_the_same(worker: Worker) -> None:
    jobs = worker.client.fine_tuning.jobs
    file_id = worker.upload(colour_rows())
    # Long enough that no machine is done before the pause reaches it.
    options: Any = {"n_epochs": 50, "batch_size": 2, "lora": {"dropout": 0.1}}

    def create() -> Any:
        return jobs.create(model="mini", training_file=file_id, seed=8, hyperparameters=options)

    def steps(job_id: str) -> list[int]:
        return [e.data["step"] for e in worker.events(job_id) if e.type == "metrics"]

    job = create()
    wait_for(lambda: steps(job.id))
    assert [str(jobs.pause(job.id).status) for _ in range(2)] == ["paused", "paused"]
    state = worker.home / "jobs" / job.id / "state.safetensors"
    wait_for(state.exists)
    undisturbed = worker.wait_job(create().id)
    assert str(jobs.retrieve(job.id).status) == "paused"
    assert jobs.resume(job.id).status == "queued"
    resumed = worker.wait_job(job.id)
    assert resumed.status == undisturbed.status == "succeeded"
    assert any(e.message.startswith("Resuming after step") for e in worker.events(job.id))
    weights = [
        (worker.home / "models" / one.id / "step-600" / "adapter_model.safetensors").read_bytes()
        for one in (resumed, undisturbed)
    ]
    assert weights[0] == weights[1]
    with pytest.raises(openai.BadRequestError, match="already completed"):
        jobs.pause(job.id)
    with pytest.raises(openai.BadRequestError, match="already completed"):
        jobs.resume(job.id)
