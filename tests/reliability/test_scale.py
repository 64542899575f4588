"""One pass over many jobs: pages instead of questions, gates between processes, one of each change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from orchestrator import wiring
from orchestrator.domain.clock import ManualClock
from orchestrator.domain.errors import ProviderUnreachable, RateLimited
from orchestrator.domain.ids import new_token
from orchestrator.domain.jobs.job import Job, JobStatus
from orchestrator.usecases.jobs.polling import FAILURES, after_failure, next_poll
from orchestrator.usecases.jobs.sync import Pass, sync
from providers.simulator import Simulator
from tests.conftest import Ftctl
from tests.factories import DIGEST, a_dataset, a_job
from tests.reliability import overlapping, planted

MANY = 250
PASSES = 8


class Crowd:
    """A host with many running jobs, and a ledger that knows them."""

    def __init__(self, ftctl: Ftctl, host: Simulator, count: int = MANY) -> None:
        self.ftctl, self.host = ftctl, host
        ftctl.environment["KEY"] = "sk-crowd"
        (ftctl.home / "ftctl.toml").write_text(
            f'[providers.host]\nkind = "openai"\nbase_url = "{host.url}"\napi_key_env = "KEY"\n'
            "timeout = 5\n"
        )
        app = ftctl.app()
        content = ftctl.home / "row.jsonl"
        content.write_text("{}\n")
        app.datasets.keep(a_dataset(), content)
        for number in range(count):
            app.jobs.add(self.job(app, number))
        app.close()

    def job(self, app: wiring.App, number: int) -> Job:
        token = new_token()
        run_remotely(self.host, f"ftjob-{number:04d}", token)
        return a_job(
            provider="host",
            account=app.provider("host").account,
            training=DIGEST,
            token=token,
            status=JobStatus.QUEUED,
            remote_id=f"ftjob-{number:04d}",
            created_at=app.clock.now() + timedelta(seconds=number),
        )

    def sync(self, *, everything: bool = False) -> Pass:
        app = self.ftctl.app()
        try:
            return sync(app.ledger(), everything=everything)
        finally:
            app.close()


def run_remotely(host: Simulator, name: str, token: str) -> None:
    with host._memory.change() as state:
        state["files"]["file-1"] = {"fault": None, "rows": 12}
        state["jobs"][name] = {
            "id": name, "serial": f"{name:>032}", "created_at": 1_790_000_000, "model": "gpt",
            "training_file": "file-1", "validation_file": None, "suffix": None, "seed": 1,
            "metadata": {"ftctl_token": token}, "method": "supervised", "hyperparameters": {},
            "step": 2, "paused": False, "status": "running", "fails": False, "events": [],
            "checkpoints": [], "result_files": [], "fine_tuned_model": None, "finished_at": None,
            "trained_tokens": None, "error": None,
        }  # fmt: skip


@pytest.fixture
def host() -> Iterator[Simulator]:
    with Simulator("openai", moves=False) as simulator:
        yield simulator


@pytest.fixture
def crowd(ftctl: Ftctl, host: Simulator) -> Crowd:
    return Crowd(ftctl, host)


def test_pages_are_read_instead_of_one_question_a_job(crowd: Crowd):
    done = crowd.sync()
    assert (done.checked, len(done.changes)) == (MANY, MANY)
    # Three pages of jobs, and once a day the account's models with their last days.
    assert (crowd.host.count("list_jobs"), crowd.host.count("list_models")) == (3, 1)
    assert done.requests == len(crowd.host.exchanges) == 4


def test_what_was_just_asked_about_is_left_alone_until_it_is_due(crowd: Crowd):
    crowd.sync()
    assert crowd.sync().checked == 0
    assert crowd.sync(everything=True).checked == MANY
    clock = crowd.ftctl.clock
    clock.sleep(300)
    again = crowd.sync()
    assert (again.checked, len(again.changes)) == (MANY, 0)


def test_the_history_of_those_that_ended_is_fetched_and_of_no_others(crowd: Crowd):
    crowd.sync()
    with crowd.host._memory.change() as state:
        for name in ("ftjob-0003", "ftjob-0200"):
            state["jobs"][name].update(status="succeeded", fine_tuned_model=f"ft:{name}")
    crowd.ftctl.clock.sleep(300)
    done = crowd.sync()
    assert sorted(change.job.tuned_model or "" for change in done.changes) == [
        "ft:ftjob-0003",
        "ft:ftjob-0200",
    ]
    assert crowd.host.count("events") == crowd.host.count("checkpoints") == 2


def test_a_job_that_no_page_shows_is_asked_for_by_name_before_anything_is_believed(crowd: Crowd):
    with crowd.host._memory.change() as state:
        hidden = state["jobs"].pop("ftjob-0007")
    crowd.sync()
    assert crowd.host.count("get_job") == 1
    app = crowd.ftctl.app()
    assert app.jobs.find("ftjob-0007").status is JobStatus.QUEUED
    app.close()
    with crowd.host._memory.change() as state:
        state["jobs"]["ftjob-0007"] = hidden
    crowd.ftctl.clock.sleep(300)
    assert [change.job.remote_id for change in crowd.sync().changes] == ["ftjob-0007"]


def test_a_second_job_with_a_known_token_is_an_alarm_once(crowd: Crowd):
    app = crowd.ftctl.app()
    twin = app.jobs.find("ftjob-0100")
    run_remotely(crowd.host, "ftjob-twin", twin.token)
    said: list[str] = []
    for _ in range(2):
        sync(app.ledger(said.append), everything=True)
    assert [line for line in said if "ftjob-twin" in line] == said
    assert len(said) == 1
    assert any("ftjob-twin" in event.message for event in app.jobs.events(twin.id))
    app.close()


def test_a_list_that_breaks_is_no_news(crowd: Crowd):
    crowd.host.order_fault("list_jobs", "html_200", times=3)
    done = crowd.sync()
    assert [name for name, _ in done.unreachable] == ["host"]
    assert not done.changes


def test_retry_after_is_kept_by_every_process(crowd: Crowd):
    crowd.host.order_fault("list_jobs", "rate_limited", retry_after=3600)
    assert crowd.sync().unreachable
    asked = len(crowd.host.exchanges)
    for _ in range(11):
        crowd.ftctl.clock.sleep(300)
        done = crowd.sync()
        assert [each.provider for each in done.waiting] == ["host"]
    assert len(crowd.host.exchanges) == asked
    crowd.ftctl.clock.sleep(300)
    assert crowd.sync().checked == MANY


def test_an_account_that_never_answers_is_asked_ever_more_seldom(crowd: Crowd):
    crowd.host.close()
    asked = 0
    for _ in range(12 * 60):
        crowd.ftctl.clock.sleep(60)
        done = crowd.sync()
        asked += bool(done.unreachable)
        if asked >= FAILURES + 6:
            break
    app = crowd.ftctl.app()
    gate = app.gates.get(app.provider("host").account)
    assert gate is not None
    assert gate.not_before is not None
    assert gate.not_before - app.clock.now() == timedelta(minutes=30)
    assert {job.status for job in app.jobs.all()} == {JobStatus.QUEUED}
    app.close()


def test_a_gate_shuts_at_once_for_a_wish_and_after_five_failures_without_one():
    now = ManualClock().now()
    wished = after_failure("a", None, RateLimited("slow", retry_after=90.0), now)
    assert wished.not_before == now + timedelta(seconds=90)
    gate = None
    for failures in range(1, FAILURES + 2):
        gate = after_failure("a", gate, ProviderUnreachable("gone"), now)
        shut = {FAILURES: timedelta(minutes=1), FAILURES + 1: timedelta(minutes=2)}
        expected = shut.get(failures)
        assert gate.not_before == (now + expected if expected else None)


@pytest.mark.parametrize(
    ("status", "word", "hours", "least", "most"),
    [
        (JobStatus.QUEUED, "validating_files", 0.0, 12, 15),
        (JobStatus.QUEUED, "queued", 0.0, 48, 60),
        (JobStatus.QUEUED, "queued", 9.0, 224, 280),
        (JobStatus.RUNNING, "running", 0.0, 24, 30),
        (JobStatus.RUNNING, "running", 9.0, 224, 280),
    ],
)
def test_the_longer_the_wait_the_seldomer_the_question(
    status: JobStatus, word: str, hours: float, least: float, most: float
):
    job = a_job(status=status, remote_status=word)
    now = job.created_at + timedelta(hours=hours)
    for _ in range(50):
        span = (next_poll(job, now) - now).total_seconds()
        assert least <= span <= most
    soon = replace(job, estimated_finish=now + timedelta(seconds=160))
    if status is JobStatus.RUNNING:
        assert 32 <= (next_poll(soon, now) - now).total_seconds() <= 40


def transitions_after(crowd: Crowd, planted: Callable[[], None] | None = None) -> list[int]:
    """How many changes each job has in the ledger, after eight passes that all read it first."""
    overlapping.at_once(crowd.ftctl.home, PASSES, planted)
    app = crowd.ftctl.app()
    try:
        return [len(app.jobs.transitions(job.id)) for job in app.jobs.all()]
    finally:
        app.close()


def test_of_eight_passes_at_once_each_change_is_made_by_one(crowd: Crowd):
    # The intent, and the word of the host.
    assert transitions_after(crowd) == [2] * MANY


def test_without_compare_and_swap_they_make_each_change_eight_times(crowd: Crowd):
    assert transitions_after(crowd, planted.no_compare_and_swap) == [1 + PASSES] * MANY
