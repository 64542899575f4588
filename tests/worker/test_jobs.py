"""A fine-tuning job from upload to result, as a client of OpenAI's API sees it."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import Any

import openai
import pytest
from ftctl_worker.database import Database
from ftctl_worker.home import Home
from ftctl_worker.job import IdempotencyKey, JobDraft
from ftctl_worker.queue.jobs import JobStore

from tests.worker.servers import Worker, colour_rows, wait_for


def test_a_job_succeeds_and_reports_what_it_did(worker: Worker, tuned_job: Any) -> None:
    assert tuned_job.status == "succeeded", tuned_job.error
    assert tuned_job.fine_tuned_model == f"ft:mini:ftctl:Colours-of-things:{tuned_job.id[-8:]}"
    assert tuned_job.error is None
    assert tuned_job.seed == 11
    assert tuned_job.metadata == {"team": "a", "odd key": 'quo"ted'}
    assert tuned_job.finished_at >= tuned_job.created_at
    assert tuned_job.hyperparameters.n_epochs == 12
    assert tuned_job.hyperparameters.batch_size == 8
    assert tuned_job.hyperparameters.learning_rate_multiplier == 1
    assert tuned_job.method.supervised.hyperparameters.n_epochs == 12
    prompts = [f"<user>{row['messages'][0]['content']}<end>" for row in colour_rows()]
    assert tuned_job.trained_tokens > 12 * 20 * len(prompts)


def test_events_tell_the_story_newest_first(worker: Worker, tuned_job: Any) -> None:
    events = worker.events(tuned_job.id)
    messages = [event.message for event in reversed(events)]
    assert messages[0] == f"Created fine-tuning job: {tuned_job.id}"
    assert messages[-1] == "The job has successfully completed"
    assert any("training_defaults.json" in message for message in messages)
    metrics = [event.data for event in reversed(events) if event.type == "metrics"]
    assert [one["step"] for one in metrics] == list(range(1, 37))
    assert metrics[-1]["train_loss"] < metrics[0]["train_loss"]
    assert metrics[-1]["valid_loss"] > 0


def test_lists_of_events_are_paged_without_gaps(worker: Worker, tuned_job: Any) -> None:
    whole = [event.id for event in worker.events(tuned_job.id)]
    pages = worker.client.fine_tuning.jobs.list_events(tuned_job.id, limit=7)
    assert [event.id for event in pages] == whole
    with pytest.raises(openai.BadRequestError, match="after"):
        worker.client.fine_tuning.jobs.list_events(tuned_job.id, after="ftevent-nothing")


def test_checkpoints_of_the_last_three_epochs_are_kept(worker: Worker, tuned_job: Any) -> None:
    checkpoints = list(worker.client.fine_tuning.jobs.checkpoints.list(tuned_job.id))
    assert [one.step_number for one in checkpoints] == [36, 33, 30]
    assert (checkpoints[0].metrics.full_valid_loss or 0) > 0
    name = checkpoints[1].fine_tuned_model_checkpoint
    assert name == f"{tuned_job.fine_tuned_model}:ckpt-step-33"
    assert worker.client.models.retrieve(name).id == name


def test_the_result_file_holds_every_step(worker: Worker, tuned_job: Any) -> None:
    (file_id,) = tuned_job.result_files
    assert worker.client.files.retrieve(file_id).purpose == "fine-tune-results"
    rows = list(csv.DictReader(worker.client.files.content(file_id).text.splitlines()))
    assert [int(row["step"]) for row in rows] == list(range(1, 37))
    assert [row["step"] for row in rows if row["valid_loss"]] == [str(3 * n) for n in range(1, 13)]


def test_the_adapter_is_a_peft_folder_without_machine_paths(worker: Worker, tuned_job: Any) -> None:
    folder = worker.home / "models" / tuned_job.id / "step-36"
    assert {file.name for file in folder.iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", "README.md",
    }  # fmt: skip
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "mini"
    assert str(worker.home) not in (folder / "README.md").read_text()
    wait_for(lambda: not (worker.home / "jobs" / tuned_job.id / "state.safetensors").exists())


def test_jobs_are_found_by_metadata(worker: Worker, tuned_job: Any) -> None:
    jobs = worker.client.fine_tuning.jobs
    assert [job.id for job in jobs.list(metadata={"odd key": 'quo"ted'})] == [tuned_job.id]
    assert [job.id for job in jobs.list(metadata={"team": "a", "odd key": "other"})] == []
    untagged = jobs.list(extra_query={"metadata": "null"})
    assert tuned_job.id not in [job.id for job in untagged]
    changed = jobs.list(extra_query={"updated_since": tuned_job.finished_at + 3600})
    assert [job.id for job in changed] == []
    since = jobs.list(extra_query={"updated_since": tuned_job.created_at})
    assert tuned_job.id in [job.id for job in since]


def test_an_idempotency_key_makes_one_job(worker: Worker) -> None:
    jobs = worker.client.fine_tuning.jobs
    file_id = worker.upload(colour_rows(8))
    headers = {"Idempotency-Key": "an intent of ours"}
    first = jobs.create(model="mini", training_file=file_id, extra_headers=headers)
    jobs.cancel(first.id)
    worker.client.files.delete(file_id)
    again = jobs.create(training_file=file_id, model="mini", extra_headers=headers)
    assert again.id == first.id
    assert again.status == "cancelled"
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        jobs.create(model="mini", training_file=file_id, seed=3, extra_headers=headers)
    assert caught.value.code == "idempotency_key_reused"


def test_an_idempotency_key_is_kept_for_thirty_days(tmp_path: Path) -> None:
    home = Home(tmp_path)
    database = Database(home.database)
    jobs = JobStore(database)
    draft = JobDraft(
        model="tiny", training_file="file-1", validation_file=None, suffix=None, seed=1,
        metadata=None, requested={},
    )  # fmt: skip
    key = IdempotencyKey(key="k", body_sha256="a")
    first, _ = jobs.create(draft, key)
    for days, same in ((29.9, True), (30.1, False)):
        with database.write() as connection:
            connection.execute(
                "UPDATE idempotency SET created_at = ?", (time.time() - days * 86400,)
            )
        assert (jobs.replay(key) is not None) is same
        job, created = jobs.create(draft, key)
        assert created is not same
        assert (job.id == first.id) is same
    database.close()


def test_cancelling_stops_the_trainer(worker: Worker) -> None:
    jobs = worker.client.fine_tuning.jobs
    job = jobs.create(
        model="mini",
        training_file=worker.upload(colour_rows()),
        hyperparameters={"n_epochs": 50, "batch_size": 1},
    )
    wait_for(lambda: jobs.retrieve(job.id).status == "running")
    assert jobs.cancel(job.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError, match="already completed"):
        jobs.cancel(job.id)
    following = jobs.create(model="mini", training_file=worker.upload(colour_rows(8)), seed=1)
    assert worker.wait_job(following.id).status == "succeeded"
    assert jobs.retrieve(job.id).status == "cancelled"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "no messages"}, "messages"),
        ({"messages": [{"role": "user", "content": "no answer"}]}, "no assistant message"),
        ({"messages": [{"role": "robot", "content": "who?"}]}, "role"),
        ({"messages": [{"role": "assistant", "content": "x", "weight": 2}]}, "weight"),
        ({"messages": [{"role": "assistant", "content": [{"type": "image_url"}]}]}, "text"),
    ],
)
def test_a_bad_line_fails_the_job_and_is_named(worker: Worker, row: Any, said: str) -> None:
    file_id = worker.upload([*colour_rows(3), row])
    job = worker.client.fine_tuning.jobs.create(model="mini", training_file=file_id)
    failed = worker.wait_job(job.id)
    assert failed.status == "failed"
    assert failed.error.code == "invalid_training_file"
    assert failed.error.param == "training_file"
    assert failed.error.message.startswith("Line 4: ")
    assert said in failed.error.message


def test_a_bad_validation_file_is_blamed_as_such(worker: Worker) -> None:
    job = worker.client.fine_tuning.jobs.create(
        model="mini",
        training_file=worker.upload(colour_rows(3)),
        validation_file=worker.client.files.create(
            file=("v.jsonl", b'{"messages": NaN}\n'), purpose="fine-tune"
        ).id,
    )
    failed = worker.wait_job(job.id)
    assert (failed.error.code, failed.error.param) == ("invalid_validation_file", "validation_file")


def test_messages_of_weight_zero_are_not_learned(worker: Worker) -> None:
    row: Any = {
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "do not learn this long answer", "weight": 0},
            {"role": "user", "content": "and now"},
            {"role": "assistant", "content": "ok", "weight": 1},
        ]
    }
    from ftctl_worker.queue.dataset import Example
    from ftctl_worker.training.rendering import render_rows

    from tests.worker.mini_model import mini_tokenizer

    tokenizer = mini_tokenizer()
    example = Example(line=1, messages=row["messages"], tools=None)
    (rendered,), _ = render_rows(
        [example], tokenizer, max_length=200, eos_ids={tokenizer.eos_token_id}
    )
    learned = [i for i, flag in zip(rendered.ids, rendered.learned, strict=True) if flag]
    assert tokenizer.decode(learned) == "ok<end>"


def test_names_that_do_not_exist_are_refused_at_once(worker: Worker) -> None:
    jobs = worker.client.fine_tuning.jobs
    file_id = worker.upload(colour_rows(3))
    with pytest.raises(openai.NotFoundError) as caught:
        jobs.create(model="gpt-4o-mini", training_file=file_id)
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as refused:
        jobs.create(model="mini", training_file="file-nothing")
    assert refused.value.param == "training_file"
    other = worker.client.files.create(file=("a.txt", b"a"), purpose="user_data").id
    with pytest.raises(openai.BadRequestError, match="purpose"):
        jobs.create(model="mini", training_file=other)
    with pytest.raises(openai.NotFoundError):
        jobs.retrieve("ftjob-nothing")
