"""Learning from rewards, and the graders that give them."""

from __future__ import annotations

import csv
from typing import Any

from tests.worker.servers import Worker

CHECK = {
    "type": "string_check",
    "name": "right",
    "input": "{{ sample.output_text }}",
    "reference": "{{ item.reference }}",
    "operation": "like",
}


def prompts(count: int = 8) -> list[Any]:
    return [
        {
            "messages": [{"role": "user", "content": f"is number {number} even"}],
            "reference": "circle",
        }
        for number in range(count)
    ]


def reinforcement(grader: Any, **hyperparameters: Any) -> Any:
    return {
        "type": "reinforcement",
        "reinforcement": {"grader": grader, "hyperparameters": hyperparameters},
    }


def test_the_reward_rises_within_a_few_steps(worker: Worker) -> None:
    job = worker.client.fine_tuning.jobs.create(
        model="tiny",
        training_file=worker.upload(prompts()),
        validation_file=worker.upload(prompts(2)),
        seed=3,
        method=reinforcement(
            CHECK,
            n_epochs=16,
            batch_size=8,
            compute_multiplier=2,
            eval_samples=4,
            max_completion_tokens=5,
        ),
    )
    job = worker.wait_job(job.id)
    assert job.status == "succeeded", job.error
    assert job.method.reinforcement.grader.name == "right"
    assert job.method.reinforcement.hyperparameters.compute_multiplier == 2
    (file_id,) = job.result_files
    rows = list(csv.DictReader(worker.client.files.content(file_id).text.splitlines()))
    rewards = [float(row["train_reward_mean"]) for row in rows]
    assert len(rewards) == 16
    assert sum(rewards[-4:]) / 4 > sum(rewards[:4]) / 4 + 0.3
