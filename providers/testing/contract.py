"""What every provider must do, whatever stands behind it.

Subclass it where pytest looks, and give it a rig:

    class TestAcme(ProviderContract):
        @pytest.fixture
        def rig(self, tmp_path):
            with simulated(build, "openai", tmp_path) as made:
                yield made
"""

from __future__ import annotations

import io

import pytest

from orchestrator.domain.chat import ChatRequest
from orchestrator.domain.errors import ProviderRejected, RemoteNotFound
from orchestrator.domain.ids import new_token
from orchestrator.domain.jobs.job import Hyperparameters, JobStatus, Method
from orchestrator.domain.provider import JobRequest
from providers.testing.rig import KEY, Rig


class ProviderContract:
    """One test for each promise; `rig` is the subclass's fixture."""

    def test_tells_what_it_is(self, rig: Rig) -> None:
        provider = rig.provider
        assert provider.name == "here"
        assert provider.kind
        assert len(provider.account) == 16
        assert KEY not in provider.account
        assert provider.capabilities.methods
        assert set(provider.status_words.values()) >= {
            JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.SUCCEEDED, JobStatus.FAILED,
            JobStatus.CANCELLED,
        }  # fmt: skip

    def test_can_be_checked(self, rig: Rig) -> None:
        check = rig.provider.check()
        assert check.reachable
        assert check.models is not None
        assert check.models > 0

    def test_lists_its_models_and_the_tuned_ones_among_them(self, rig: Rig) -> None:
        tuned = rig.finish(rig.job().id).tuned_model
        models = rig.provider.models()
        assert tuned in {model.id for model in models}
        assert all(model.serving_ends is None for model in models)

    def test_an_uploaded_file_is_found_again_by_name_and_size(self, rig: Rig) -> None:
        file = rig.uploaded()
        size = rig.rows.stat().st_size
        found = rig.provider.find_file("train.jsonl", size)
        assert found is not None
        assert found.id == file.id
        assert found.bytes == size
        assert rig.provider.find_file("other.jsonl", size) is None
        assert rig.provider.find_file("train.jsonl", size + 1) is None

    def test_a_file_comes_back_as_it_was_sent(self, rig: Rig) -> None:
        file = rig.uploaded()
        sink = io.BytesIO(b"what an earlier attempt left behind, longer than the file" * 99)
        assert rig.provider.file_content(file.id, sink) == rig.rows.stat().st_size
        assert sink.getvalue() == rig.rows.read_bytes()

    def test_what_a_job_left_behind_can_be_read(self, rig: Rig) -> None:
        job = rig.finish(rig.job().id)
        assert job.result_files
        sink = io.BytesIO()
        # OpenAI sends its result tables in Base64; they are not looked into here.
        assert rig.provider.file_content(job.result_files[0], sink) == len(sink.getvalue()) > 0

    def test_a_job_tells_what_it_was_asked_for(self, rig: Rig) -> None:
        training = rig.uploaded().id
        request = JobRequest(
            model=rig.model,
            training_file=training,
            validation_file=training,
            token=new_token(),
            suffix="tickets",
            seed=7,
            hyperparameters=Hyperparameters(n_epochs=2),
        )
        job = rig.provider.retrieve_job(rig.provider.create_job(request).id)
        assert (job.training_file, job.validation_file) == (training, training)
        assert job.method in {Method.SUPERVISED, None}
        assert job.seed == 7
        assert "tickets" in (job.suffix or "")

    def test_a_job_carries_our_token(self, rig: Rig) -> None:
        token = new_token()
        job = rig.job(token=token, suffix="tickets")
        assert job.token == token
        assert job.status is JobStatus.QUEUED
        assert job.model
        assert job.training_file == rig.training_file
        assert job.created_at is not None
        assert job.raw["id"] == job.id
        again = rig.provider.retrieve_job(job.id)
        assert (again.id, again.token) == (job.id, token)

    def test_a_job_is_listed_with_and_without_its_token(self, rig: Rig) -> None:
        first, second = rig.job(), rig.job()
        assert {first.id, second.id} <= {job.id for job in rig.provider.list_jobs()}
        by_token = [
            job.id for job in rig.provider.list_jobs(first.token) if job.token == first.token
        ]
        assert by_token == [first.id]
        assert not [job for job in rig.provider.list_jobs("nobody") if job.token == "nobody"]  # noqa: S105

    def test_a_finished_job_has_a_model_that_answers(self, rig: Rig) -> None:
        job = rig.finish(rig.job().id)
        assert job.status is JobStatus.SUCCEEDED
        assert job.tuned_model
        assert job.trained_tokens
        assert job.finished_at is not None
        answer = rig.provider.chat(
            ChatRequest(
                model=rig.answers_as(job.tuned_model),
                messages=[{"role": "user", "content": "The invoice is wrong."}],
                max_tokens=16,
            )
        )
        assert answer.text
        assert answer.prompt_tokens > 0
        assert answer.completion_tokens > 0
        assert answer.latency > 0

    def test_events_are_sorted_and_keep_their_keys(self, rig: Rig) -> None:
        job = rig.finish(rig.job().id)
        events = rig.provider.events(job.id)
        assert len(events) > 1
        assert [event.at for event in events] == sorted(event.at for event in events)
        assert "reated" in events[0].message
        assert [event.key for event in events] == [
            event.key for event in rig.provider.events(job.id)
        ]
        assert len({event.key for event in events}) == len(events)

    def test_checkpoints_come_by_step(self, rig: Rig) -> None:
        job = rig.finish(rig.job().id)
        checkpoints = rig.provider.checkpoints(job.id)
        assert checkpoints or not rig.has_checkpoints
        assert [point.step for point in checkpoints] == sorted(point.step for point in checkpoints)
        assert all(point.remote_id and point.model for point in checkpoints)

    def test_cancelling_twice_is_cancelling_once(self, rig: Rig) -> None:
        job = rig.job()
        assert rig.provider.cancel_job(job.id).status is JobStatus.CANCELLED
        assert rig.provider.cancel_job(job.id).status is JobStatus.CANCELLED

    def test_a_finished_job_cannot_be_cancelled(self, rig: Rig) -> None:
        job = rig.finish(rig.job().id)
        with pytest.raises(ProviderRejected):
            rig.provider.cancel_job(job.id)

    def test_pauses_and_goes_on_if_it_says_so(self, rig: Rig) -> None:
        if not rig.provider.capabilities.pause:
            pytest.skip("does not pause")
        job = rig.job()
        assert rig.provider.pause_job(job.id).status is JobStatus.PAUSED
        assert rig.provider.pause_job(job.id).status is JobStatus.PAUSED
        assert rig.provider.resume_job(job.id).status in {JobStatus.QUEUED, JobStatus.RUNNING}

    def test_what_is_not_there_is_not_found(self, rig: Rig) -> None:
        with pytest.raises(RemoteNotFound):
            rig.provider.retrieve_job("ftjob-none")
        with pytest.raises(RemoteNotFound):
            rig.provider.events("ftjob-none")
        with pytest.raises(RemoteNotFound):
            rig.provider.retrieve_file("file-none")
        with pytest.raises(RemoteNotFound):
            rig.provider.file_content("file-none", io.BytesIO())

    def test_a_bad_request_is_a_clear_no_and_makes_no_job(self, rig: Rig) -> None:
        before = len(list(rig.provider.list_jobs()))
        with pytest.raises(ProviderRejected):
            rig.provider.create_job(
                JobRequest(model=rig.model, training_file="file-none", token=new_token())
            )
        assert len(list(rig.provider.list_jobs())) == before

    def test_a_bad_dataset_makes_a_failed_job(self, rig: Rig) -> None:
        rig.rows.write_text("nonsense\n" * 12)
        job = rig.finish(rig.job().id)
        assert job.status is JobStatus.FAILED
        assert job.error is not None
        assert job.error.message
        assert job.tuned_model is None

    def test_closing_twice_is_closing_once(self, rig: Rig) -> None:
        rig.provider.check()
        rig.provider.close()
        rig.provider.close()
