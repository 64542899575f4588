"""From measured tokens and a person's numbers to the money of a report."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.domain.money import cost
from orchestrator.domain.money.economics import Costs
from tests.domain.test_cost import SCENARIO
from tests.reports.samples import a_comparison, a_report, a_tuned_job, answered


def costs(numbers: dict[str, float] | None = None, **changes: Any) -> Costs:
    answers = answered()
    merged = {**answers.numbers, **(numbers or {})}
    return a_report(answers=replace(answers, numbers=merged), **changes).costs


def hosted(**tokens: Any) -> dict[str, Any]:
    """Both arms at OpenAI, where everything has a price but a batch of the base."""
    found = a_comparison()
    names = {"tuned": "ft:gpt-4.1-mini-2025-04-14", "few-shot:8": "gpt-4.1-mini"}
    arms = [
        replace(arm, kind="openai", priced_as=names.get(arm.name, "gpt-4.1-mini"), **tokens)
        for arm in found.arms
    ]
    job = replace(a_tuned_job(), kind="openai", model="gpt-4.1-mini-2025-04-14")
    return {"comparison": replace(found, arms=arms), "job": job}


def request(found: Costs, arm: str) -> float | None:
    return next(each.request.usd for each in found.arms if each.arm == arm)


def test_a_share_in_batches_pays_the_price_of_a_batch():
    usual = request(costs(**hosted()), "tuned")
    half = request(costs({"batch_share": 0.5}, **hosted()), "tuned")
    whole = request(costs({"batch_share": 1.0}, **hosted()), "tuned")
    assert usual is not None
    assert whole == pytest.approx(usual / 2)
    assert half == pytest.approx(0.75 * usual)


def test_a_cache_is_as_measured_unless_a_person_says_otherwise():
    where = hosted(prompt_tokens=1000.0, cached_tokens=250.0, completion_tokens=10.0)
    # ft:gpt-4.1-mini: $0.80, cached $0.20 and $3.20 for a million tokens.
    assert request(costs(**where), "tuned") == pytest.approx((750 * 0.8 + 250 * 0.2 + 32) / 1e6)
    told = costs({"cache_hit_rate": 0.9}, **where)
    assert request(told, "tuned") == pytest.approx((100 * 0.8 + 900 * 0.2 + 32) / 1e6)
    # What the comparison cost is what it cost.
    assert told.evaluation == costs(**where).evaluation
    origins = {each.name: (each.value, each.origin) for each in costs(**where).assumptions}
    assert origins["cache_hit_rate of tuned"] == (0.25, "measured")
    assert origins["batch_share"] == (0.0, "assumed")
    assert {e.name: e.origin for e in told.assumptions}["cache_hit_rate"] == "answers"


def test_a_batch_without_a_price_is_unpriced_and_never_the_usual_price():
    where = hosted()
    where["comparison"] = replace(
        where["comparison"],
        arms=[replace(a, kind="openai", priced_as="gpt-6-luna") for a in where["comparison"].arms],
    )
    found = costs({"batch_share": 0.5}, **where)
    note = next(each.request for each in found.arms if each.request.usd is None).note
    assert "no batch price of" in note
    assert found.scenario is None


def test_hours_that_a_machine_stands_idle_are_paid_and_said():
    numbers = {"gpu_hour": 0.8, "serving_gpus": 1.0, "requests_per_month": 300_000.0}
    usual, idle = costs(numbers), costs({**numbers, "training_idle_hours": 2.0})
    assert idle.training.usd == pytest.approx((usual.training.usd or 0) + 1.6)
    assert "2 h idle" in idle.training.note
    assert "idle" in usual.hosting.note
    busy = costs({**numbers, "requests_per_month": 3e8}).hosting
    assert "machines at 1 at once" in busy.note
    assert busy.usd == usual.hosting.usd


def test_retrainings_are_counted_until_the_horizon_ends():
    twice = replace(SCENARIO, months=12, retrain_every=4, retrain=1000.0, yearly_rate=0.0)
    assert cost.business(twice).retrainings == 2
    without = replace(twice, retrain_every=0)
    assert cost.net_present_value(without) - cost.net_present_value(twice) == pytest.approx(2000)
    assert cost.business(replace(twice, months=4)).retrainings == 0
    found = costs(
        {"retrain_every_months": 3.0, "retrain_cost": 500.0, "gpu_hour": 1.0, "serving_gpus": 0.0}
    )
    assert found.scenario is not None
    assert found.scenario.retrain == 500
    assert "retrain_every" in {swing.name for swing in found.tornado}


def test_the_cache_of_the_baseline_is_among_what_moves_the_value():
    where = hosted(prompt_tokens=1000.0, completion_tokens=10.0)
    where["job"] = replace(where["job"], trained_tokens=12_000)
    found = costs(**where)
    assert found.missing == []
    swing = next(s for s in found.tornado if s.name == "baseline_request")
    assert swing.npv_low < swing.npv_high
