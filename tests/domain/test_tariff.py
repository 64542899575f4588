"""What a deployment costs: exact hours, whole months, and prices that are dated or missing."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from orchestrator.domain.jobs.deployment import ALLOWED_MOVES, DeploymentState
from orchestrator.domain.money.tariff import Hour, hosting_cost, hosting_hours, hour_of
from orchestrator.resources import data, schema
from orchestrator.usecases.jobs.dated import newest_prices, newest_tiers
from tests.factories import a_deployment

MINI = "gpt-4.1-mini-2025-04-14"
YEARS = 6 * 365 * 24 * 3600 * 10**6
TIMES = st.integers(0, YEARS).map(
    lambda micros: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
)


@given(start=TIMES, end=TIMES, micros=st.integers(0, 10**9))
def test_the_months_add_up_to_the_span(start: datetime, end: datetime, micros: int):
    found = a_deployment(started_at=start, hour_micros=micros)
    months = hosting_hours(found, end)
    seconds = Decimal(max(0, (end - start) // timedelta(microseconds=1))) / 1_000_000
    assert abs(sum(months.values(), Decimal(0)) * 3600 - seconds) < Decimal("1e-15")
    assert list(months) == sorted(months)
    assert all(Decimal(0) < hours <= 31 * 24 for hours in months.values())
    cost = hosting_cost(found, end)
    assert cost.usd is not None
    assert abs(cost.usd - seconds / 3600 * micros / 1_000_000) < Decimal("1e-15")


def test_an_hour_and_a_half_over_the_turn_of_a_month():
    found = a_deployment(
        started_at=datetime(2026, 11, 30, 23, 0, tzinfo=UTC), hour_micros=1_700_000
    )
    until = datetime(2026, 12, 1, 0, 30, tzinfo=UTC)
    assert hosting_hours(found, until) == {"2026-11": Decimal(1), "2026-12": Decimal("0.5")}
    assert hosting_cost(found, until).usd == Decimal("2.55")


def test_a_month_is_utc_wherever_the_time_was_read():
    zone = datetime.fromisoformat("2026-12-01T01:00:00+02:00")
    found = a_deployment(started_at=zone)
    assert list(hosting_hours(found, zone + timedelta(hours=2))) == ["2026-11", "2026-12"]


def test_what_is_over_costs_no_more():
    start = datetime(2026, 11, 1, tzinfo=UTC)
    found = a_deployment(started_at=start, ended_at=start + timedelta(hours=10))
    assert hosting_cost(found, start + timedelta(days=90)).hours == 10
    assert hosting_cost(found, start + timedelta(hours=4)).hours == 4


def test_what_never_stood_costs_nothing_and_what_has_no_price_is_unpriced():
    now = datetime(2026, 11, 20, tzinfo=UTC)
    assert hosting_cost(a_deployment(started_at=None), now).usd == 0
    unpriced = a_deployment(started_at=now - timedelta(hours=3), hour_micros=None)
    assert (hosting_cost(unpriced, now).usd, hosting_cost(unpriced, now).hours) == (
        None,
        Decimal(3),
    )


@pytest.mark.parametrize(
    ("sku", "micros", "month"),
    [
        ("GlobalStandard", 1_700_000, Decimal(1241)),
        ("standard", 1_700_000, Decimal(1241)),
        ("DeveloperTier", 0, Decimal(0)),
        ("GlobalProvisionedManaged", None, None),
    ],
)
def test_an_idle_month_by_the_dated_files(sku: str, micros: int | None, month: Decimal | None):
    _, tier = newest_tiers("azure").named(sku)
    hour = hour_of(newest_prices(), "azure", MINI, tier.tier if tier else None)
    assert (hour.micros, hour.month) == (micros, month)


def test_a_model_without_a_row_is_unpriced():
    assert hour_of(newest_prices(), "azure", "nobody-knows", "global").micros is None
    assert Hour(None, "").month is None


def test_the_file_of_tiers_is_as_its_schema_says():
    path = max(data("").glob("hosting.*.json"))
    plain = json.loads(path.read_text("utf-8"))
    Draft202012Validator(schema("hosting.schema.json")).validate(plain)
    tiers = newest_tiers("azure")
    assert tiers.compiled == date.fromisoformat(plain["compiled"])
    assert tiers.skus["DeveloperTier"].ends_after == timedelta(hours=24)
    assert newest_tiers("nobody").skus == {}


def test_nothing_leaves_what_is_gone():
    assert ALLOWED_MOVES[DeploymentState.DELETED] == frozenset()
    assert set(ALLOWED_MOVES) == set(DeploymentState)
