"""Days that providers name for their models: asked once a day, written down, told on the jobs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from orchestrator.domain.jobs.job import Job, JobStatus
from orchestrator.usecases.jobs.sync import Pass, sync
from providers.simulator import Simulator
from tests.conftest import Ftctl
from tests.factories import DIGEST, a_dataset, a_job

TUNED = "ft:gpt-4.1-mini-2025-04-14:acme::1"


class World:
    """One tuned model, its account, and the host that has it."""

    def __init__(self, ftctl: Ftctl, host: Simulator, kind: str = "openai") -> None:
        self.ftctl, self.host = ftctl, host
        ftctl.environment["KEY"] = "sk-dates"
        (ftctl.home / "ftctl.toml").write_text(
            f'[providers.host]\nkind = "{kind}"\nbase_url = "{host.url}"\napi_key_env = "KEY"\n'
            "timeout = 5\n"
        )
        app = ftctl.app()
        content = ftctl.home / "row.jsonl"
        content.write_text("{}\n")
        app.datasets.keep(a_dataset(), content)
        self.job = self.add(status=JobStatus.SUCCEEDED, tuned_model=TUNED, kind=kind)
        app.close()

    def add(self, **fields: object) -> Job:
        app = self.ftctl.app()
        account = app.provider("host").account
        job = a_job(**{"provider": "host", "account": account, "training": DIGEST, **fields})
        app.jobs.add(job)
        app.close()
        return job

    def lists(self, model: str = TUNED, **fields: object) -> None:
        """The host's list holds this model, with these fields."""
        with self.host._memory.change() as state:
            name = f"ftjob-{model}"
            state["jobs"].setdefault(name, {"fine_tuned_model": model, "finished_at": 1})
        self.host.date_model(model, **fields)

    def sync(self) -> Pass:
        app = self.ftctl.app()
        try:
            return sync(app.ledger())
        finally:
            app.close()

    def events(self) -> list[str]:
        app = self.ftctl.app()
        try:
            return [event.message for event in app.jobs.events(self.job.id)]
        finally:
            app.close()

    def ends(self) -> date | None:
        app = self.ftctl.app()
        try:
            ending = app.lifecycle.serving_ends(self.job.kind, TUNED)
            assert ending is not None
            return ending.day
        finally:
            app.close()

    def sleep(self, **span: float) -> None:
        self.ftctl.clock.sleep(timedelta(**span).total_seconds())


@pytest.fixture
def host() -> Iterator[Simulator]:
    with Simulator("openai") as simulator:
        yield simulator


@pytest.fixture
def world(either: Ftctl, host: Simulator) -> World:
    return World(either, host)


def test_a_day_is_told_once_and_believed_before_the_file(world: World):
    assert world.ends() == date(2027, 1, 14)
    world.lists(shutdown_date="2027-03-01")
    assert (world.sync().requests, world.host.count("list_models")) == (1, 1)
    assert world.ends() == date(2027, 3, 1)
    said = f"the provider says {TUNED} stops answering on 2027-03-01"
    assert world.events() == [said]
    world.sleep(days=1)
    world.sync()
    assert world.events() == [said]


def test_it_is_asked_once_a_day(world: World):
    assert world.sync().requests == 1
    world.sleep(hours=23)
    assert world.sync().requests == 0
    world.sleep(hours=1)
    assert world.sync().requests == 1
    assert world.host.count("list_models") == 2


def test_a_day_that_changes_and_goes_is_told(world: World):
    for day in ("2027-03-01", "2027-04-01", None, "2027-04-01"):
        world.lists(shutdown_date=day)
        world.sync()
        world.sleep(days=1)
    assert [each.rpartition(" ")[2] for each in world.events()] == [
        "2027-03-01", "2027-04-01", TUNED, "2027-04-01",
    ]  # fmt: skip


def test_a_model_that_leaves_the_list_keeps_its_day(world: World):
    world.lists(shutdown_date="2027-03-01")
    world.sync()
    with world.host._memory.change() as state:
        state["jobs"].clear()
    world.sleep(days=1)
    world.sync()
    assert world.ends() == date(2027, 3, 1)


def test_two_jobs_of_one_account_are_one_question(world: World):
    world.add(status=JobStatus.SUCCEEDED, tuned_model="ft:x:acme::2", provider="other")
    assert world.sync().requests == 1


@pytest.mark.parametrize("fault", ["error_500", "html_200", "drop_before", "rate_limited"])
def test_a_host_that_cannot_be_asked_fails_no_pass_and_is_asked_in_an_hour(
    ftctl: Ftctl, host: Simulator, fault: str
):
    world = World(ftctl, host)
    host.order_fault("list_models", fault, times=9)
    done = world.sync()
    assert (done.requests, done.unreachable, host.count("list_models")) == (1, [], 1)
    world.sleep(minutes=59)
    assert world.sync().requests == 0
    world.sleep(minutes=1)
    assert world.sync().requests == 1
    assert ftctl("sync").code == 0
    app = ftctl.app()
    assert list(app.model_dates.unasked()) == [world.job.account]
    app.close()


def test_another_key_is_another_account_and_is_not_asked(ftctl: Ftctl, host: Simulator):
    world = World(ftctl, host)
    ftctl.environment["KEY"] = "sk-another"
    assert world.sync().requests == 0
    ftctl.environment["KEY"] = ""
    world.sleep(days=1)
    assert world.sync().requests == 0
    assert ftctl("sync").code == 0


def test_an_account_that_failed_with_its_jobs_is_not_asked_for_dates(ftctl: Ftctl, host: Simulator):
    world = World(ftctl, host)
    world.add(status=JobStatus.RUNNING, remote_id="ftjob-1")
    host.order_fault("get_job", "error_500", times=9)
    done = world.sync()
    assert (len(done.unreachable), host.count("list_models")) == (1, 0)


def test_azure_writes_seconds(ftctl: Ftctl):
    with Simulator("azure") as host:
        world = World(ftctl, host, "azure")
        world.lists(deprecation={"inference": 1_822_953_600, "fine_tune": 0})
        world.sync()
        assert world.ends() == date(2027, 10, 8)
