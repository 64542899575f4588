"""Submit and sync against a host that fails on order: jobs at the host equal intents.

Real HTTP over loopback, a real database, the real openai SDK; only the clock is moved by hand.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from orchestrator.domain import failpoints
from orchestrator.domain.clock import ManualClock
from orchestrator.domain.errors import RateLimited, UsageError
from orchestrator.domain.jobs.job import Job, JobStatus
from orchestrator.domain.provider import JobRequest
from orchestrator.usecases.jobs import control, refresh
from orchestrator.usecases.jobs.intent import Intent, PreparedFile
from orchestrator.usecases.jobs.submit import record
from orchestrator.usecases.jobs.submit import submit as send
from orchestrator.usecases.jobs.sync import Pass, sync
from providers.simulator import Simulator
from tests.conftest import Ftctl
from tests.factories import a_dataset, a_job, chat_file

SETTLE = timedelta(minutes=10)


class World:
    """One installation and one host."""

    def __init__(self, ftctl: Ftctl, host: Simulator, kind: str) -> None:
        self.ftctl, self.host, self.kind = ftctl, host, kind
        ftctl.environment["KEY"] = "sk-test"
        (ftctl.home / "ftctl.toml").write_text(
            f'[providers.host]\nkind = "{kind}"\nbase_url = "{host.url}"\napi_key_env = "KEY"\n'
            "timeout = 2\n"
        )
        self.content = chat_file(ftctl.home / "train.jsonl")

    @property
    def clock(self) -> ManualClock:
        assert isinstance(self.ftctl.clock, ManualClock)
        return self.ftctl.clock

    def submit(self, *, again: bool = False, seed: int | None = None) -> Job:
        """A command of its own, as a person would type it."""
        app = self.ftctl.app()
        try:
            provider = app.provider("host")
            content = self.content.read_bytes()
            dataset = a_dataset(
                digest=hashlib.sha256(content).hexdigest(), bytes=len(content), rows=12
            )
            prepared = PreparedFile(dataset=dataset, content=self.content)
            intent = Intent(
                provider="host",
                kind=self.kind,
                account=provider.account,
                model="gpt-4.1-mini-2025-04-14",
                training=prepared,
                seed=seed,
            )
            job = record(intent, app.ledger(), again=again)
            with app.claim(job.id):
                return send(job, provider, app.ledger())
        finally:
            app.close()

    def sync(self) -> Pass:
        """A command of its own, as cron would start it."""
        app = self.ftctl.app()
        try:
            return sync(app.ledger(), settle=SETTLE)
        finally:
            app.close()

    def job(self) -> Job:
        app = self.ftctl.app()
        try:
            (job,) = app.jobs.all()
            return job
        finally:
            app.close()

    def set_status(self, status: JobStatus, **fields: object) -> None:
        """Put the row where a crash would have left it."""
        from sqlalchemy import update

        from orchestrator.store.tables import job_rows

        app = self.ftctl.app()
        with app.engine.begin() as connection:
            connection.execute(update(job_rows).values(status=str(status), **fields))
        app.close()


@pytest.fixture
def host() -> Iterator[Simulator]:
    with Simulator("openai") as simulator:
        yield simulator


@pytest.fixture
def world(either: Ftctl, host: Simulator) -> World:
    return World(either, host, "openai")


def finish(world: World) -> Job:
    for _ in range(24):
        world.clock.sleep(SETTLE.total_seconds() + 1)
        world.sync()
        if world.job().status.is_final:
            break
    return world.job()


def test_a_job_goes_from_intent_to_tuned_model(world: World):
    job = world.submit()
    assert job.status is JobStatus.QUEUED
    done = finish(world)
    assert (done.status, bool(done.tuned_model)) == (JobStatus.SUCCEEDED, True)
    app = world.ftctl.app()
    assert app.jobs.events(done.id)
    assert [each.after for each in app.jobs.transitions(done.id)][:5] == [
        JobStatus.PLANNED,
        JobStatus.UPLOADING,
        JobStatus.READY,
        JobStatus.SUBMITTING,
        JobStatus.QUEUED,
    ]
    app.close()


def test_the_same_bytes_are_uploaded_once(world: World):
    world.submit(seed=1)
    world.submit(seed=2)
    assert world.host.count("upload_file") == 1


def test_the_same_training_needs_again(world: World):
    world.submit()
    with pytest.raises(UsageError, match="same training"):
        world.submit()
    world.submit(again=True)
    assert len(world.host.ledger) == 2


def test_two_commands_at_once_pay_for_one(world: World):
    world.sync()
    both = threading.Barrier(2)

    def submit(_: int) -> Job | UsageError:
        try:
            return world.submit()
        except UsageError as error:
            return error

    def together(point: str) -> None:
        if point == "submit.data_kept":
            both.wait(20)

    failpoints.arm(together)
    try:
        with ThreadPoolExecutor(2) as pool:
            done = list(pool.map(submit, range(2)))
    finally:
        failpoints.arm(None)
    assert sorted(type(each).__name__ for each in done) == ["Job", "UsageError"]
    assert len(world.host.ledger) == 1


AMBIGUOUS = [
    ("drop_before", 0),
    ("drop_after_accept", 1),
    ("error_500", 0),
    ("error_500_after_accept", 1),
    ("rate_limited", 0),
    ("half_body", 1),
    ("html_200", 0),
    ("no_id", 1),
    ("strange", 1),
]


@pytest.mark.parametrize(("fault", "made"), AMBIGUOUS)
def test_whatever_the_answer_one_intent_is_one_job(world: World, fault: str, made: int):
    world.host.order_fault("create_job", fault)
    assert world.submit().status is JobStatus.UNKNOWN
    assert len(world.host.ledger) == made
    assert finish(world).status is JobStatus.SUCCEEDED
    assert len(world.host.ledger) == 1


def test_a_job_that_is_not_listed_is_sent_again_only_after_the_settle_time(world: World):
    world.host.order_fault("create_job", "drop_before")
    world.submit()
    world.sync()
    assert world.job().status is JobStatus.UNKNOWN
    world.clock.sleep(SETTLE.total_seconds() + 1)
    world.sync()
    world.clock.sleep(30)
    world.sync()
    assert len(world.host.ledger) == 0, "two listings must lie a minute apart"
    world.clock.sleep(31)
    world.sync()
    assert len(world.host.ledger) == 1
    assert world.job().status.is_remote


def test_an_incomplete_listing_proves_nothing(world: World):
    world.host.order_fault("create_job", "drop_before")
    world.submit()
    for _ in range(5):
        world.clock.sleep(SETTLE.total_seconds())
        world.host.order_fault("list_jobs", "html_200", times=9)
        assert world.sync().unreachable
        assert world.job().absent_at is None


def test_a_process_that_died_before_the_answer_finds_its_job(world: World):
    job = world.submit()
    world.set_status(JobStatus.SUBMITTING, remote_id=None)
    world.sync()
    assert world.job().remote_id == job.remote_id
    assert len(world.host.ledger) == 1


def test_a_job_that_appears_after_the_settle_time_is_a_second_bill_and_loud(world: World):
    world.host.order_fault("create_job", "drop_before")
    job = world.submit()
    for _ in range(3):
        world.clock.sleep(SETTLE.total_seconds())
        world.sync()
    sent = world.job()
    assert (sent.status.is_remote, len(world.host.ledger)) == (True, 1)
    app = world.ftctl.app()
    late = JobRequest(model=job.model, training_file=str(sent.training_file), token=job.token)
    app.provider("host").create_job(late)
    world.clock.sleep(300)
    world.sync()
    said = [event.message for event in app.jobs.events(job.id) if event.level == "error"]
    assert ["a second remote job" in each for each in said] == [True]
    app.close()


def test_a_host_that_drops_tokens_gets_no_second_request_but_a_person(ftctl: Ftctl):
    with Simulator("forgetful") as host:
        world = World(ftctl, host, "openai")
        world.submit(seed=1)
        host.order_fault("create_job", "drop_after_accept")
        job = world.submit(seed=2, again=True)
        for _ in range(3):
            world.clock.sleep(SETTLE.total_seconds())
            world.sync()
        made = host.ledger[1]["job"]
        app = ftctl.app()
        lost = app.jobs.get(job.id)
        assert (lost.status, len(host.ledger)) == (JobStatus.NEEDS_REVIEW, 2)
        assert any(made in event.message for event in app.jobs.events(job.id))
        assert control.resolve_as(lost, made, app.ledger()).remote_id == made
        app.close()


def test_one_jobs_odd_answer_is_not_believed_and_holds_up_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(refresh, "_BATCH", 1)
    first, second = world.submit(), world.submit(again=True)
    world.host.order_fault("get_job", "strange")
    done = world.sync()
    assert ["which is another job" in error.message for _, error in done.unreachable] == [True]
    app = world.ftctl.app()
    jobs = {job.id: job for job in app.jobs.all()}
    assert {jobs[first.id].remote_id, jobs[second.id].remote_id} == {
        first.remote_id,
        second.remote_id,
    }
    assert world.host.count("get_job") == 2
    app.close()


def test_a_clock_that_was_set_back_silences_nothing(world: World):
    world.clock.sleep(365 * 86400)
    job = world.submit()
    world.host.order_fault("get_job", "rate_limited", times=1, retry_after=1e300)
    assert world.sync().unreachable
    assert [each.provider for each in world.sync().waiting] == ["host"]
    world.clock.sleep(86400)
    world.sync()
    assert world.host.count("get_job") == 2, "nobody may ask for more than a day of silence"
    world.host.order_fault("get_job", "rate_limited", retry_after=3600)
    world.clock.sleep(300)
    assert world.sync().unreachable
    world.clock.at -= timedelta(days=366)
    world.sync()
    assert world.host.count("get_job") == 4
    assert world.job().remote_id == job.remote_id


def test_two_remote_jobs_with_one_token_need_a_person(world: World):
    job = world.submit()
    app = world.ftctl.app()
    assert job.training_file is not None
    twin = JobRequest(model=job.model, training_file=job.training_file, token=job.token)
    app.provider("host").create_job(twin)
    app.close()
    assert len(world.host.ledger) == 2
    world.set_status(JobStatus.UNKNOWN, remote_id=None)
    world.sync()
    assert world.job().status is JobStatus.NEEDS_REVIEW
    app = world.ftctl.app()
    assert any(event.level == "error" for event in app.jobs.events(job.id))
    assert job.remote_id is not None
    settled = control.resolve_as(world.job(), job.remote_id, app.ledger())
    assert settled.remote_id == job.remote_id
    app.close()


def test_sync_takes_up_what_a_dead_submit_left(world: World):
    world.host.order_fault("upload_file", "rate_limited", retry_after=3600, times=2)
    with pytest.raises(RateLimited):
        world.submit()
    assert world.job().status is JobStatus.UPLOADING
    asked = len(world.host.exchanges)
    assert [each.provider for each in world.sync().waiting] == ["host"]
    assert len(world.host.exchanges) == asked, "the host asked for an hour of silence"
    world.clock.sleep(3600)
    assert world.sync().unreachable
    world.clock.sleep(3600)
    world.sync()
    assert world.job().status.is_remote
    assert len(world.host.ledger) == 1


def test_a_backup_from_before_the_request_left_pays_for_nothing_twice(
    ftctl: Ftctl, host: Simulator
):
    world = World(ftctl, host, "openai")
    host.order_fault("upload_file", "rate_limited", retry_after=600)
    with pytest.raises(RateLimited):
        world.submit()
    backup = ftctl.home / "before.db"
    assert ftctl("db", "backup", backup).code == 0
    world.clock.sleep(600)
    world.sync()
    sent = world.job().remote_id
    assert sent is not None
    assert ftctl("db", "restore", backup).code == 0
    assert world.job().status is JobStatus.UPLOADING
    world.clock.sleep(600)
    world.sync()
    assert (world.job().status, world.job().remote_id) == (JobStatus.QUEUED, sent)
    assert len(host.ledger) == 1


def test_what_a_restored_ledger_gave_up_unsent_is_adopted_and_loud(ftctl: Ftctl, host: Simulator):
    world = World(ftctl, host, "openai")
    sent = world.submit()
    world.set_status(JobStatus.READY, remote_id=None)
    assert ftctl("cancel", sent.id).code in {0, 1}
    assert ftctl("adopt", "--provider", "host").code == 0
    app = ftctl.app()
    assert {job.remote_id for job in app.jobs.all()} == {None, sent.remote_id}
    assert any(str(sent.remote_id) in event.message for event in app.jobs.events(sent.id))
    app.close()


def test_a_clear_no_is_rejected_with_the_hosts_own_words(world: World):
    world.host.order_fault(
        "create_job", "refuse", status=400, code="invalid_model", message="no such model"
    )
    job = world.submit()
    assert job.status is JobStatus.REJECTED
    assert job.error is not None
    assert "no such model" in job.error.message
    assert not world.host.ledger


def test_unreachable_is_not_failed(world: World):
    world.submit()
    world.host.close()
    done = world.sync()
    assert [name for name, _ in done.unreachable] == ["host"]
    assert world.job().status is JobStatus.QUEUED


def test_an_unknown_word_changes_nothing_and_is_loud(world: World):
    job = world.submit()
    world.host.order_fault("get_job", "unknown_status")
    world.sync()
    after = world.job()
    assert after.status is job.status
    app = world.ftctl.app()
    assert any("does not know" in event.message for event in app.jobs.events(job.id))
    app.close()


def test_a_job_the_host_forgot_needs_a_person(world: World):
    world.submit()
    refusal = {"status": 404, "code": "not_found", "message": "gone"}
    world.host.order_fault("get_job", "refuse", times=2, **refusal)
    world.sync()
    assert world.job().status is JobStatus.QUEUED
    world.clock.sleep(61)
    world.sync()
    assert world.job().status is JobStatus.NEEDS_REVIEW


def test_a_job_that_is_seen_again_was_never_gone(world: World):
    world.submit()
    world.host.order_fault("get_job", "refuse", status=404, code="not_found", message="gone")
    world.sync()
    assert world.job().absent_at is not None
    world.clock.sleep(61)
    world.sync()
    assert world.job().absent_at is None


def test_another_key_is_another_account(world: World):
    world.host.order_fault("create_job", "drop_after_accept")
    world.submit()
    world.ftctl.environment["KEY"] = "sk-other"
    world.sync()
    assert world.job().status is JobStatus.NEEDS_REVIEW


def test_cancel_stops_here_what_was_never_sent(world: World):
    world.submit()
    world.set_status(JobStatus.READY, remote_id=None)
    app = world.ftctl.app()
    assert control.cancel(world.job(), app.ledger()).status is JobStatus.CANCELLED
    with pytest.raises(UsageError, match="has ended"):
        control.cancel(world.job(), app.ledger())
    app.close()
    assert world.host.count("cancel_job") == 0


@pytest.mark.parametrize("fault", [None, "drop_after_accept", "error_500_after_accept"])
def test_cancel_survives_a_lost_answer(world: World, fault: str | None):
    world.submit()
    if fault:
        world.host.order_fault("cancel_job", fault)
    app = world.ftctl.app()
    assert control.cancel(world.job(), app.ledger()).status is JobStatus.CANCELLED
    app.close()


def test_where_the_host_honours_the_key_the_answer_comes_at_once(ftctl: Ftctl):
    with Simulator("worker") as host:
        world = World(ftctl, host, "peft")
        host.order_fault("create_job", "drop_after_accept")
        assert world.submit().status is JobStatus.QUEUED
        assert len(host.ledger) == 1


def test_a_dead_provider_delays_no_other(ftctl: Ftctl, host: Simulator):
    world = World(ftctl, host, "openai")
    world.submit()
    with (ftctl.home / "ftctl.toml").open("a") as file:
        file.write('[providers.dead]\nkind = "openai"\napi_key_env = "NOT_SET"\n')
    app = ftctl.app()
    app.jobs.add(
        a_job(
            provider="dead",
            status=JobStatus.QUEUED,
            remote_id="ftjob-x",
            training=world.job().training,
        )
    )
    app.close()
    done = world.sync()
    assert [name for name, _ in done.unreachable] == ["dead"]
    assert done.requests >= 1


def test_a_host_without_checkpoints_is_followed_to_the_end(world: World):
    world.submit()
    world.host.order_fault(
        "checkpoints", "refuse", status=404, code="not_found", message="no such route", times=50
    )
    assert finish(world).status is JobStatus.SUCCEEDED


def test_a_pass_does_not_wait_for_a_file_that_its_host_takes_long_over(
    world: World, host: Simulator
) -> None:
    quick = host.dialect
    failpoints.arm(failpoints.at("submit.file_remembered", _die))
    try:
        with pytest.raises(_Died):
            world.submit()
    finally:
        failpoints.arm(None)
    host.dialect = replace(quick, file_script=("pending",) * 1000 + ("processed",))
    before = world.clock.now()
    done = world.sync()
    assert world.clock.now() - before < timedelta(seconds=10)
    assert (world.job().status, list(done.unreachable)) == (JobStatus.UPLOADING, [])
    assert len(host.ledger) == 0
    host.dialect = quick
    world.sync()
    assert world.job().status.is_remote
    assert len(host.ledger) == 1


class _Died(BaseException):
    """The process is gone."""


def _die() -> None:
    raise _Died
