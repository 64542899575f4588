"""The ledger: compare-and-swap, history, and what is told apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from orchestrator.domain.clock import ManualClock
from orchestrator.domain.errors import Conflict, LocalStateError, UsageError
from orchestrator.domain.jobs.dataset import Upload
from orchestrator.domain.jobs.job import (
    ALLOWED_MOVES,
    Checkpoint,
    Hyperparameters,
    JobEvent,
    JobStatus,
    MetricPoint,
    RemoteError,
)
from orchestrator.domain.ledger import Gate, Step
from orchestrator.store import database, locks
from orchestrator.store.datasets import SqlDatasetStore
from orchestrator.store.gates import SqlGates
from orchestrator.store.jobs import SqlJobStore
from tests.factories import DIGEST, a_dataset, a_job
from tests.store.postgresql import Server

NOW = ManualClock().now()


@pytest.fixture
def engine(ledger_url: str) -> Iterator[Engine]:
    """The same suite over both databases."""
    engine = database.open_database(ledger_url)
    yield engine
    engine.dispose()


@pytest.fixture
def datasets(engine: Engine, tmp_path: Path) -> SqlDatasetStore:
    store = SqlDatasetStore(engine, tmp_path / "datasets")
    content = tmp_path / "train.jsonl"
    content.write_text("{}\n")
    store.keep(a_dataset(), content)
    return store


@pytest.fixture
def jobs(engine: Engine, datasets: SqlDatasetStore) -> SqlJobStore:
    return SqlJobStore(engine)


def test_a_job_comes_back_as_it_went_in(jobs: SqlJobStore):
    job = a_job(
        hyperparameters=Hyperparameters(n_epochs=3, learning_rate_multiplier=0.5),
        error=RemoteError(message="no", code="c"),
        raw={"id": "x", "nested": {"a": [1, None]}},
        sent_at=NOW,
        seed=2**31 - 1,
    )
    jobs.add(job)
    assert jobs.get(job.id) == job


def test_a_change_of_status_is_one_transition(jobs: SqlJobStore):
    job = a_job()
    jobs.add(job)
    after = jobs.change(job, NOW, "uploading", JobStatus.UPLOADING)
    jobs.change(after, NOW, "a file is there", training_file="file-1")
    assert [(each.before, each.after) for each in jobs.transitions(job.id)] == [
        (None, JobStatus.PLANNED),
        (JobStatus.PLANNED, JobStatus.UPLOADING),
    ]


def test_the_second_of_two_changes_loses(jobs: SqlJobStore):
    job = a_job()
    jobs.add(job)
    jobs.change(job, NOW, "one", JobStatus.UPLOADING)
    with pytest.raises(Conflict):
        jobs.change(job, NOW, "two", JobStatus.CANCELLED)
    assert jobs.get(job.id).status is JobStatus.UPLOADING
    assert len(jobs.transitions(job.id)) == 2


@given(st.sampled_from(list(JobStatus)), st.sampled_from(list(JobStatus)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_only_drawn_arrows_can_be_walked(jobs: SqlJobStore, before: JobStatus, after: JobStatus):
    job = a_job(status=before)
    jobs.add(job)
    if before == after or after in ALLOWED_MOVES[before]:
        assert jobs.change(job, NOW, "walk", after).status is after
    else:
        with pytest.raises(Conflict):
            jobs.change(job, NOW, "walk", after)


def test_final_states_have_no_way_out():
    assert all(not ALLOWED_MOVES[status] for status in JobStatus if status.is_final)
    assert set(ALLOWED_MOVES) == set(JobStatus)


def test_many_changes_are_each_made_once_or_not_at_all(jobs: SqlJobStore):
    made = [a_job(status=JobStatus.QUEUED) for _ in range(5)]
    for job in made:
        jobs.add(job)
    overtaken = jobs.change(made[1], NOW, "another process", JobStatus.RUNNING)
    steps = [
        Step(job, NOW, "told", JobStatus.RUNNING, {"remote_status": "running"}) for job in made
    ]
    impossible = steps[4]._replace(status=JobStatus.READY)
    done = jobs.change_all([*steps[:4], impossible])
    assert [job is not None for job in done] == [True, False, True, True, False]
    assert [jobs.get(job.id) for job in made if job not in (made[1], made[4])] == [
        job for job in done if job
    ]
    assert jobs.get(made[1].id) == overtaken
    assert len(jobs.transitions(made[0].id)) == 2


def test_what_is_not_due_is_not_asked_about(jobs: SqlJobStore):
    now, later = a_job(status=JobStatus.RUNNING), a_job(status=JobStatus.RUNNING)
    for job in (now, later, a_job(status=JobStatus.FAILED)):
        jobs.add(job)
    jobs.poll_later({later.id: NOW + timedelta(seconds=1)})
    assert jobs.due([JobStatus.RUNNING], NOW) == [now]
    assert len(jobs.due([JobStatus.RUNNING], NOW + timedelta(seconds=1))) == 2
    assert jobs.get(later.id).version == later.version


def test_the_owner_of_a_token_is_found(jobs: SqlJobStore):
    mine = a_job()
    jobs.add(mine)
    assert jobs.owners([mine.token, "not ours"]) == {mine.token: mine}


def test_gates_are_replaced(engine: Engine):
    gates = SqlGates(engine)
    assert gates.get("a") is None
    gate = Gate(account="a", not_before=NOW, failures=3, reason="no answer")
    gates.put(gate, NOW)
    assert gates.get("a") == gate
    gates.put(Gate(account="a"), NOW)
    assert gates.get("a") == Gate(account="a")


def test_two_jobs_cannot_own_one_remote_job(jobs: SqlJobStore):
    first, second = a_job(status=JobStatus.SUBMITTING), a_job(status=JobStatus.SUBMITTING)
    jobs.add(first)
    jobs.add(second)
    jobs.change(first, NOW, "taken", JobStatus.QUEUED, remote_id="ftjob-1")
    with pytest.raises(Conflict):
        jobs.change(second, NOW, "taken", JobStatus.QUEUED, remote_id="ftjob-1")


def test_a_job_is_found_by_any_unique_prefix_and_by_its_remote_id(jobs: SqlJobStore):
    jobs.add(a_job(id="aaa111", remote_id="ftjob-1"))
    jobs.add(a_job(id="aab222", remote_id="ftjob-2"))
    assert jobs.find("aaa").id == "aaa111"
    assert jobs.find("ftjob-2").id == "aab222"
    for name in ("aa", "zz", "", "%", "_"):
        with pytest.raises(UsageError):
            jobs.find(name)


def test_the_same_event_twice_is_one_row(jobs: SqlJobStore):
    job = a_job()
    jobs.add(job)
    event = JobEvent(key="k", at=NOW, level="info", message="hello")
    assert jobs.add_events(job.id, [event, event]) == 1
    assert jobs.add_events(job.id, [event]) == 0
    assert jobs.events(job.id) == [event]
    assert jobs.event_keys(job.id) == {"k"}


def test_numbers_and_checkpoints_are_kept_once(jobs: SqlJobStore):
    job = a_job()
    jobs.add(job)
    points = [MetricPoint(2, "train_loss", 0.5), MetricPoint(1, "train_loss", 0.9)]
    checkpoint = Checkpoint(remote_id="c", model="m:1", step=2, created_at=NOW)
    for _ in range(2):
        jobs.add_metrics(job.id, points)
        jobs.add_checkpoints(job.id, [checkpoint])
    assert jobs.metrics(job.id) == sorted(points)
    assert jobs.checkpoints(job.id) == [checkpoint]


def test_a_job_needs_its_dataset(jobs: SqlJobStore):
    from sqlalchemy.exc import IntegrityError

    with pytest.raises(IntegrityError):
        jobs.add(a_job(training="0" * 64))


def test_datasets_are_stored_once_under_their_digest(datasets: SqlDatasetStore, tmp_path: Path):
    other = tmp_path / "again.jsonl"
    other.write_text("{}\n")
    again = dataclasses.replace(a_dataset(), source="elsewhere")
    assert datasets.keep(again, other).source == a_dataset().source
    assert datasets.path(DIGEST).read_text() == "{}\n"
    with pytest.raises(LocalStateError):
        datasets.get("f" * 64)


def test_the_newest_upload_is_found_until_it_is_forgotten(datasets: SqlDatasetStore):
    def upload(remote_id: str, minutes: int) -> Upload:
        at = NOW + timedelta(minutes=minutes)
        return Upload(
            account="a", digest=DIGEST, remote_id=remote_id, status="uploaded", created_at=at
        )

    for each in (upload("file-1", 0), upload("file-2", 1), upload("file-1", 2)):
        datasets.add_upload(each)
    assert datasets.upload("a", DIGEST) == upload("file-2", 1)
    assert datasets.upload("b", DIGEST) is None
    datasets.forget_upload("a", "file-2")
    assert datasets.upload("a", DIGEST) == upload("file-1", 0)


def test_a_lock_has_one_holder(tmp_path: Path):
    path = tmp_path / "locks" / "sync.lock"
    with locks.exclusive(path) as first, locks.exclusive(path) as second:
        assert (first, second) == (True, False)
    with locks.exclusive(path) as again:
        assert again


def test_a_lock_has_one_holder_among_machines(postgresql: Server):
    engine = database.open_database(postgresql.new_url())
    with locks.advisory(engine, "sync") as first, locks.advisory(engine, "sync") as second:
        assert (first, second) == (True, False)
    with locks.advisory(engine, "sync") as again, locks.advisory(engine, "other") as other:
        assert again
        assert other
    engine.dispose()
