"""What training will bill: the providers' own worked cases, ranges, and what nobody knows."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.errors import TooDear, Unpriced
from orchestrator.domain.jobs.job import Method
from orchestrator.domain.money.cost import epochs_range
from orchestrator.domain.money.estimate import Work, training_estimate
from orchestrator.domain.money.hosting import Hosted, by_month
from orchestrator.domain.money.prices import Price, PriceBook
from orchestrator.domain.money.usd import MICROS, dollars, micros, micros_up, money, tokens_at

MINI = "gpt-4o-mini-2024-07-18"


def a_price(usd: float, **changes: Any) -> Price:
    values: dict[str, Any] = {
        "provider": "openai",
        "model": MINI,
        "kind": "train",
        "unit": "million_tokens",
        "tier": "standard",
        "source": "a page",
        "read_on": date(2026, 8, 1),
    }
    return Price(usd=usd, **{**values, **changes})


BOOK = PriceBook(
    compiled=date(2026, 11, 20),
    prices=[
        a_price(3.0),
        a_price(3.0, provider="azure", tier="global"),
        a_price(3.3, provider="azure", tier="regional", dearest=3.96),
        a_price(1.5, provider="azure", tier="developer"),
        a_price(100, model="o4-mini", kind="train_hour", unit="hour"),
        a_price(
            110, model="o4-mini", kind="train_hour", unit="hour", provider="azure", tier="regional"
        ),
    ],
)


def work(**changes: Any) -> Work:
    values: dict[str, Any] = {
        "model": MINI,
        "method": Method.SUPERVISED,
        "tokens": 100_000,
        "rows": 500,
        "epochs": 3,
    }
    return Work(**{**values, **changes})


@pytest.mark.parametrize(
    ("tokens", "epochs", "usd", "billed"),
    [
        # OpenAI's pricing guide: 100,000 tokens, 3 epochs, at $3.00 a million.
        (100_000, 3, 3.0, "0.9"),
        # Microsoft's cost guide: 1 M tokens, 2 epochs, at $2 a million.
        (1_000_000, 2, 2.0, "4"),
        (2_000_000_000, 1, 27.5, "55000"),
        (1, 1, 0.1, "0.0000001"),
    ],
)
def test_tokens_times_epochs_times_price(tokens: int, epochs: int, usd: float, billed: str):
    book = PriceBook(compiled=date(2026, 11, 20), prices=[a_price(usd)])
    found = training_estimate(work(tokens=tokens, epochs=epochs), "openai", book)
    assert found.low == found.likely == micros(billed)
    assert found.high == micros_up(billed)


def test_epochs_that_the_provider_chooses_are_a_range():
    found = training_estimate(work(epochs=None), "openai", BOOK)
    assert (found.low, found.likely, found.high) == (300_000, 900_000, 7_500_000)
    assert "1 to 25 epochs" in found.note


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (10, (10, 10, 25)),
        (50, (2, 3, 25)),
        (500, (1, 3, 25)),
        (5_000, (1, 3, 5)),
        (10_000, (1, 2, 2)),
        (50_000, (1, 1, 1)),
        (1, (25, 25, 25)),
    ],
)
def test_published_bounds_of_automatic_epochs(rows: int, expected: tuple[int, int, int]):
    assert epochs_range(rows) == expected


def test_a_region_is_a_range_and_a_tier_has_its_own_price():
    regional = training_estimate(work(tiers=("regional", "global")), "azure", BOOK)
    assert (regional.low, regional.high) == (990_000, 1_188_000)
    developer = training_estimate(work(tiers=("developer",)), "azure", BOOK)
    assert (developer.low, developer.high) == (450_000, 450_000)


def test_reinforcement_is_billed_by_the_hour_up_to_where_the_provider_pauses():
    asked = work(model="o4-mini", method=Method.REINFORCEMENT, tiers=("standard", "regional"))
    assert training_estimate(asked, "openai", BOOK).high is None
    paused = work(model="o4-mini", method=Method.REINFORCEMENT, tiers=("regional",), pause_usd=5000)
    found = training_estimate(paused, "azure", BOOK)
    assert (found.low, found.likely, found.high) == (0, None, 5000 * MICROS)


def test_what_nobody_knows_is_unpriced_and_refused_unless_allowed():
    for asked in (work(model="new"), work(tokens=None)):
        found = training_estimate(asked, "openai", BOOK)
        assert found.high is None
        assert found.note.startswith("unpriced: ")
        found.must_not_exceed(None, allow_unpriced=False)
        found.must_not_exceed(MICROS, allow_unpriced=True)
        with pytest.raises(Unpriced):
            found.must_not_exceed(MICROS, allow_unpriced=False)


def test_the_upper_end_is_held_against_the_limit():
    found = training_estimate(work(epochs=None), "openai", BOOK)
    found.must_not_exceed(7_500_000, allow_unpriced=False)
    with pytest.raises(TooDear, match=r"up to \$7.50, more than --max-cost \$7.499999"):
        found.must_not_exceed(7_499_999, allow_unpriced=False)


@given(st.integers(0, 10**12), st.decimals("0.001", "10000", places=3))
def test_amounts_are_exact(tokens: int, price: Decimal):
    exact = tokens_at(tokens, price)
    assert exact == Decimal(tokens) * price / 1_000_000
    assert abs(dollars(micros(exact)) - exact) <= Decimal("0.0000005")
    assert 0 <= dollars(micros_up(exact)) - exact < Decimal("0.000001")


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (None, "unpriced"),
        (0, "$0.00"),
        (900_000, "$0.90"),
        (1_234_567_890, "$1,234.57"),
        (4_500, "$0.0045"),
        (13_134, "$0.0131"),
        (1, "$0.000001"),
    ],
)
def test_small_amounts_keep_their_places(amount: int | None, said: str):
    assert money(amount) == said


def test_hosting_is_cut_at_utc_months():
    start, now = datetime(2026, 11, 30, 12, tzinfo=UTC), datetime(2027, 1, 1, 6, tzinfo=UTC)
    parts = list(by_month(Hosted("azure", None, "d", start, None, 1_700_000), now))
    assert [(each.month, int(each.hours), each.micros) for each in parts] == [
        ("2026-11", 12, 20_400_000),
        ("2026-12", 744, 1_264_800_000),
        ("2027-01", 6, 10_200_000),
    ]
    (part,) = by_month(Hosted("azure", None, "d", start, start.replace(hour=13), None), now)
    assert part.micros is None
