"""Prices that are dated and sourced, and the money that follows from them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.money import cost
from orchestrator.domain.money.prices import PriceBook, stale
from orchestrator.resources import data

# The worked example of docs/statistics.md: a GPU at $0.80 an hour against an 8-shot prompt.
SCENARIO = cost.Scenario(
    one_time=80 * 90 + 6 + 4,
    volume=300_000,
    baseline_request=0.000073,
    candidate_request=0.0,
    fixed=584,
    upkeep=6 * 90,
    gain=31 / 400,
    gain_low=0.036,
    gain_high=0.1207,
    error_cost=0.12,
)


def plain(name: str) -> Any:
    return json.loads(data(name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return PriceBook.from_json(plain("prices.2026-11-20.json"))


class TestTraining:
    def test_openai(self, book: PriceBook):
        found = book.training_cost(
            provider="openai", model="gpt-4.1-mini", tokens=1_000_000, epochs=3
        )
        assert found.usd == 15.0
        assert found.prices[0].model == "gpt-4.1-mini-2025-04-14"

    def test_azure_by_tier(self, book: PriceBook):
        costs = [
            book.training_cost(
                provider="azure", model="gpt-4.1-2025-04-14", tokens=1_000_000, epochs=2, tier=tier
            ).usd
            for tier in (None, "global", "regional", "developer")
        ]
        assert costs == [50.0, 50.0, 55.0, 25.0]

    def test_unknown_is_unpriced_and_never_nothing(self, book: PriceBook):
        found = book.training_cost(provider="openai", model="gpt-9", tokens=10)
        assert found.usd is None
        assert "unpriced" in found.note
        uncounted = book.training_cost(provider="openai", model="gpt-4.1", tokens=None)
        assert uncounted.usd is None


class TestRequests:
    def test_a_tuned_model_by_its_whole_name(self, book: PriceBook):
        found = book.request_cost(
            provider="openai",
            model="ft:gpt-4.1-mini-2025-04-14:acme:triage:abc",
            prompt=165,
            cached=0,
            completion=38,
        )
        assert found.usd == pytest.approx(0.254 / 1000, abs=5e-7)

    def test_few_shot_with_a_cached_prefix(self, book: PriceBook):
        # 80 % of requests find the 1,530-token prefix in the cache.
        found = book.request_cost(
            provider="openai", model="gpt-6-luna", prompt=1640, cached=0.8 * 1530, completion=38
        )
        assert found.usd == pytest.approx(0.073 / 1000, abs=5e-7)

    def test_without_a_price_there_is_no_sum(self, book: PriceBook):
        found = book.request_cost(provider="peft", model="tiny", prompt=9, cached=0, completion=1)
        assert found.usd is None

    def test_azure_hosting_runs_by_the_hour(self, book: PriceBook):
        found = book.hosting(provider="azure", model="ft:gpt-4.1-mini")
        assert found.usd is not None
        assert found.usd * cost.HOURS_A_MONTH == pytest.approx(1241)
        free = book.hosting(provider="azure", model="ft:gpt-4.1-mini", tier="developer")
        assert free.usd == 0


def test_old_prices_are_named(book: PriceBook):
    found = book.training_cost(provider="openai", model="gpt-4.1", tokens=1)
    assert stale(found.prices, date(2026, 11, 20)) == list(found.prices)
    assert stale(found.prices, date(2026, 9, 1)) == []


class TestWorkedExample:
    def test_months(self):
        found = cost.business(SCENARIO)
        assert found.errors_avoided == pytest.approx(23_250)
        assert found.candidate_month == pytest.approx(1124)
        assert found.benefit == pytest.approx(1688, abs=0.5)
        assert found.saving == pytest.approx(-1102, abs=0.5)

    def test_payback_and_its_range(self):
        payback = [
            cost.business(replace(SCENARIO, gain=gain)).payback for gain in (0.036, 0.0775, 0.1207)
        ]
        assert payback == [
            pytest.approx(37, abs=0.3),
            pytest.approx(4.3, abs=0.05),
            pytest.approx(2.2, abs=0.05),
        ]
        assert cost.business(SCENARIO).payback_chance == pytest.approx(0.92, abs=0.005)

    def test_value(self):
        values = [
            cost.net_present_value(replace(SCENARIO, gain=gain)) / 1000
            for gain in (0.036, 0.0775, 0.1207)
        ]
        assert values == [
            pytest.approx(-5.0, abs=0.05),
            pytest.approx(12.0, abs=0.05),
            pytest.approx(29.8, abs=0.06),
        ]

    def test_break_even(self):
        found = cost.business(SCENARIO)
        assert found.break_even_error_cost == pytest.approx(0.047, abs=0.0005)
        assert found.break_even_volume == pytest.approx(120_000, rel=0.005)
        assert found.break_even_volume_cost_only == pytest.approx(15.4e6, rel=0.005)
        without = cost.business(replace(SCENARIO, upkeep=0))
        assert without.break_even_volume_cost_only == pytest.approx(8.0e6, rel=0.005)

    def test_what_matters_most(self):
        found = cost.tornado(
            SCENARIO,
            {
                "error_cost": (0.06, 0.20),
                "gain": (0.036, 0.1207),
                "volume": (150_000, 450_000),
                "upkeep": (12 * 90, 2 * 90),
                "fixed": (1168, 292),
            },
        )
        names = [swing.name for swing in found]
        assert names == ["error_cost", "gain", "volume", "upkeep", "fixed"]
        by_name = {s.name: (s.npv_low / 1000, s.npv_high / 1000) for s in found}
        assert by_name["error_cost"] == pytest.approx((-3.9, 33.2), abs=0.1)
        assert by_name["volume"] == pytest.approx((-4.0, 28.1), abs=0.1)
        assert by_name["upkeep"] == pytest.approx((5.9, 16.1), abs=0.1)
        assert by_name["fixed"] == pytest.approx((5.4, 15.4), abs=0.1)


class TestEdges:
    def test_no_benefit_is_no_payback(self):
        found = cost.business(replace(SCENARIO, gain=0.0, gain_low=-0.01, gain_high=0.01))
        assert found.payback is None
        assert found.break_even_error_cost is None
        assert found.payback_chance < 0.01

    def test_nothing_uncertain_is_all_or_nothing(self):
        sure = replace(SCENARIO, gain_low=0.0775, gain_high=0.0775)
        assert cost.business(sure).payback_chance == 1.0

    def test_nothing_is_paid_back_after_the_model_retired(self):
        assert cost.business(replace(SCENARIO, months=4)).payback_chance < 0.5
        gone = cost.business(replace(SCENARIO, months=0))
        assert (gone.payback_chance, gone.npv) == (0.0, -SCENARIO.one_time)

    @given(st.floats(0, 0.2), st.floats(0, 1e6), st.floats(0, 1))
    def test_the_value_is_the_discounted_balance(self, gain: float, volume: float, worth: float):
        scenario = replace(SCENARIO, gain=gain, volume=volume, error_cost=worth, yearly_rate=0.0)
        balance = cost.cumulative(scenario)
        assert balance[0] == -scenario.one_time
        assert cost.net_present_value(scenario) == pytest.approx(balance[-1], rel=1e-9, abs=1e-6)

    def test_azure_documents_example(self):
        assert cost.gpu_month(1.70 * 720 / 730) + 22 + 176 == pytest.approx(1422.0)

    @pytest.mark.parametrize(
        ("rows", "epochs"), [(10, 10), (33, 4), (34, 3), (8333, 3), (12_500, 2)]
    )
    def test_epochs_by_default(self, rows: int, epochs: int):
        assert cost.default_epochs(rows) == epochs

    def test_retraining_is_spread_over_its_months(self):
        yearly = replace(SCENARIO, retrain=1200.0, retrain_every=12)
        assert cost.business(SCENARIO).benefit - cost.business(yearly).benefit == pytest.approx(100)
