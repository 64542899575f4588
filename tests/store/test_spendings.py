"""Budgets hold: what is reserved, what becomes of it, and who gets the last dollar."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from orchestrator.domain.clock import ManualClock
from orchestrator.domain.errors import BudgetExceeded
from orchestrator.domain.ids import new_id
from orchestrator.domain.jobs.job import Job, JobStatus, MetricPoint
from orchestrator.domain.ledger import Step
from orchestrator.domain.money.spending import Budgets, Purpose, Rate, Spending, SpendingState
from orchestrator.domain.money.usd import MICROS
from orchestrator.store import database
from orchestrator.store.datasets import SqlDatasetStore
from orchestrator.store.jobs import SqlJobStore
from orchestrator.store.spendings import SqlSpendings
from tests.factories import a_dataset, a_job

NOW = ManualClock().now()
RATE = Rate(usd=Decimal(3), unit="million_tokens", tier="standard")
OWN = Rate(usd=Decimal("2.5"), unit="hour")
TEN = Budgets(by_profile={"openai": 10 * MICROS})
RACES, RACERS = 25, 2


@pytest.fixture
def engine(ledger_url: str, tmp_path: Path) -> Iterator[Engine]:
    """The same suite over both databases."""
    engine = database.open_database(ledger_url)
    keep_data(engine, tmp_path)
    yield engine
    engine.dispose()


def keep_data(engine: Engine, folder: Path) -> None:
    content = folder / "train.jsonl"
    content.write_text("{}\n")
    SqlDatasetStore(engine, folder / "datasets").keep(a_dataset(), content)


def a_spending(job: Job | None = None, **changes: Any) -> Spending:
    values: dict[str, Any] = {
        "id": new_id(),
        "purpose": Purpose.TRAINING,
        "profile": "openai",
        "month": "2026-11",
        "job_id": job.id if job else None,
        "reserved": 4 * MICROS,
        "estimate": 2 * MICROS,
        "rate": RATE,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Spending(**{**values, **changes})


def test_a_spending_comes_back_as_it_went_in(engine: Engine):
    spendings = SqlSpendings(engine)
    spending = a_spending(actual=2**40, under_way=3, note="why", rate=None, subject="gpt")
    spendings.reserve(spending, Budgets())
    assert spendings.all("2026-11", "openai") == [spending]
    assert spendings.all("2026-12") == spendings.all(profile="azure") == []


def test_the_intent_and_its_money_are_written_together_or_not_at_all(engine: Engine):
    jobs, spendings = SqlJobStore(engine), SqlSpendings(engine)
    first, second, third = a_job(), a_job(), a_job()
    jobs.add(first, a_spending(first), TEN)
    jobs.add(second, a_spending(second), TEN)
    with pytest.raises(
        BudgetExceeded, match=r"budget of 'openai' for 2026-11 is \$10.00, of which"
    ):
        jobs.add(third, a_spending(third), TEN)
    assert {job.id for job in jobs.all()} == {first.id, second.id}
    assert spendings.of_job(third.id) == []


def test_a_budget_is_of_one_profile_and_one_month(engine: Engine):
    spendings = SqlSpendings(engine)
    spendings.reserve(a_spending(reserved=10 * MICROS), TEN)
    spendings.reserve(a_spending(reserved=10 * MICROS, month="2026-12"), TEN)
    spendings.reserve(a_spending(reserved=99 * MICROS, profile="azure"), TEN)
    with pytest.raises(BudgetExceeded):
        spendings.reserve(a_spending(reserved=1), TEN)
    with pytest.raises(BudgetExceeded, match="overall budget"):
        spendings.reserve(a_spending(reserved=1, profile="azure"), Budgets(overall=109 * MICROS))


def test_a_reservation_grows_only_into_what_is_left(engine: Engine):
    spendings = SqlSpendings(engine)
    spending = a_spending(reserved=6 * MICROS)
    spendings.reserve(spending, TEN)
    spendings.reserve(a_spending(id=spending.id, reserved=10 * MICROS), TEN)
    with pytest.raises(BudgetExceeded):
        spendings.reserve(a_spending(id=spending.id, reserved=10 * MICROS + 1), TEN)
    assert [each.reserved for each in spendings.all()] == [10 * MICROS]


@pytest.mark.parametrize(
    ("before", "after", "fields", "state", "actual"),
    [
        ("running", "succeeded", {"trained_tokens": 300_000}, "actual", 900_000),
        ("running", "succeeded", {}, "unclear", None),
        ("running", "failed", {}, "released", None),
        ("running", "failed", {"trained_tokens": 100_001}, "actual", 300_003),
        ("queued", "cancelled", {}, "released", None),
        ("running", "cancelled", {}, "unclear", None),
        ("running", "cancelled", {"trained_tokens": 0}, "actual", 0),
        ("submitting", "rejected", {"remote_id": None}, "released", None),
        ("ready", "cancelled", {"remote_id": None}, "released", None),
    ],
)
@pytest.mark.parametrize("many", [False, True])
def test_a_job_that_ends_settles_its_money_as_the_provider_bills(
    engine: Engine,
    before: str,
    after: str,
    fields: dict[str, Any],
    state: str,
    actual: int | None,
    many: bool,
):
    jobs, spendings = SqlJobStore(engine), SqlSpendings(engine)
    job = a_job(status=JobStatus(before), remote_id="ftjob-1", sent_at=NOW)
    jobs.add(job, a_spending(job), TEN)
    if many:
        jobs.change_all([Step(job, NOW, "told", JobStatus(after), fields)])
    else:
        jobs.change(job, NOW, "told", JobStatus(after), **fields)
    (found,) = spendings.of_job(job.id)
    assert (found.state, found.actual) == (SpendingState(state), actual)
    assert found.counted == {"actual": actual, "released": 0, "unclear": 4 * MICROS}[state]


def test_a_job_that_was_seen_to_train_is_not_called_unbilled(engine: Engine):
    jobs, spendings = SqlJobStore(engine), SqlSpendings(engine)
    job = a_job(status=JobStatus.QUEUED, remote_id="ftjob-1", sent_at=NOW)
    jobs.add(job, a_spending(job), TEN)
    jobs.add_metrics(job.id, [MetricPoint(1, "train_loss", 2.0)])
    jobs.change(job, NOW, "told", JobStatus.CANCELLED)
    assert spendings.of_job(job.id)[0].state is SpendingState.UNCLEAR


@pytest.mark.parametrize("status", [JobStatus.UNKNOWN, JobStatus.NEEDS_REVIEW, JobStatus.READY])
def test_a_job_in_doubt_keeps_its_reservation(engine: Engine, status: JobStatus):
    jobs, spendings = SqlJobStore(engine), SqlSpendings(engine)
    job = a_job(status=JobStatus.SUBMITTING, sent_at=NOW)
    jobs.add(job, a_spending(job), TEN)
    jobs.change(job, NOW, "no clear answer", status)
    (found,) = spendings.of_job(job.id)
    assert (found.state, found.counted) == (SpendingState.RESERVED, 4 * MICROS)


def test_hours_of_an_own_machine_are_counted_and_bound_a_bill_by_the_hour(engine: Engine):
    jobs, spendings = SqlJobStore(engine), SqlSpendings(engine)
    end = {"finished_at": NOW + timedelta(minutes=90), "remote_id": "ftjob-1"}
    for rate, reserved, state, actual, counted in (
        (OWN, 0, SpendingState.ACTUAL, 3_750_000, 3_750_000),
        (OWN, 9 * MICROS, SpendingState.UNCLEAR, None, 3_750_000),
    ):
        job = a_job(status=JobStatus.RUNNING, sent_at=NOW, account=new_id())
        jobs.add(job, a_spending(job, rate=rate, reserved=reserved))
        jobs.change(job, NOW, "told", JobStatus.SUCCEEDED, **end)
        (found,) = spendings.of_job(job.id)
        assert (found.state, found.actual, found.counted) == (state, actual, counted)


def race(url: str, spending: Spending, start: Any, won: Any) -> None:
    """One process that wants the last dollar."""
    engine = database.connect(url)
    start.wait()
    try:
        SqlSpendings(engine).reserve(spending, TEN)
        won.value += 1
    except BudgetExceeded:
        pass
    finally:
        engine.dispose()


def test_of_two_processes_exactly_one_gets_the_last_dollar(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    engine = database.open_database(url)
    spendings = SqlSpendings(engine)
    context = multiprocessing.get_context("fork")
    for month in range(RACES):
        # Every race is about a month of its own, of which all but a dollar is taken.
        first = a_spending(month=f"m{month}", reserved=9 * MICROS)
        spendings.reserve(first, TEN)
        engine.dispose()
        start, won = context.Barrier(RACERS), [context.Value("i") for _ in range(RACERS)]
        racers = [
            context.Process(
                target=race, args=(url, a_spending(month=f"m{month}", reserved=MICROS), start, each)
            )
            for each in won
        ]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        assert sum(each.value for each in won) == 1
        assert sum(each.counted for each in spendings.all(f"m{month}")) == 10 * MICROS
    engine.dispose()


def test_of_many_threads_exactly_one_gets_the_last_dollar(engine: Engine):
    spendings = SqlSpendings(engine)

    def wins(month: str) -> bool:
        try:
            spendings.reserve(a_spending(month=month, reserved=MICROS), TEN)
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        for number in range(RACES):
            month = f"m{number}"
            spendings.reserve(a_spending(month=month, reserved=9 * MICROS), TEN)
            assert sum(pool.map(wins, [month] * 8)) == 1
