"""Rows and what they can show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.comparing import power as p


def test_rows_for_a_difference():
    assert p.rows_for_difference(0.05, 0.2) == pytest.approx(625.55, abs=0.005)


def test_exact_power_of_the_parity_test():
    assert p.parity_power(687, 0.03, 0.10) == pytest.approx(0.7923, abs=5e-5)


def test_rows_for_scores():
    assert p.rows_for_scores(0.03, 1 / 9) == pytest.approx(969.0, abs=0.05)


def test_repeats_buy_only_the_spread_within_rows():
    once = p.rows_for_scores(0.05, 0.04, within=(0.1, 0.1))
    often = p.rows_for_scores(0.05, 0.04, within=(0.1, 0.1), repeats=(1000, 1000))
    assert p.rows_for_scores(0.05, 0.04) < often < once


@pytest.mark.parametrize(
    ("discordance", "points"),
    [
        (0.10, [None, 8.8, 6.2, 5.1, 4.0, 2.8, 2.0]),
        (0.20, [17.3, 12.4, 8.8, 7.2, 5.6, 4.0, 2.8]),
        (0.30, [21.2, 15.2, 10.8, 8.8, 6.9, 4.9, 3.4]),
    ],
)
def test_detectable_differences(discordance: float, points: list[float | None]):
    for rows, expected in zip((50, 100, 200, 300, 500, 1000, 2000), points, strict=True):
        found = p.detectable(rows, discordance)
        assert (found is None) == (expected is None)
        if found is not None and expected is not None:
            assert 100 * found == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize(
    ("discordance", "margin", "near"),
    [(0.02, 0.05, 87), (0.05, 0.02, 810), (0.10, 0.03, 699), (0.20, 0.05, 496)],
)
def test_rows_for_parity(discordance: float, margin: float, near: int):
    found = p.rows_for_parity(margin, discordance)
    assert found == pytest.approx(near, rel=0.02)
    assert p.parity_power(found or 0, margin, discordance) >= 0.8


def test_a_loss_beyond_the_margin_is_never_parity():
    assert p.rows_for_parity(0.03, 0.1, difference=-0.03) is None


@given(st.integers(20, 5000), st.floats(0.02, 0.6))
def test_detectable_is_the_inverse_of_the_rows(rows: int, discordance: float):
    found = p.detectable(rows, discordance)
    if found is not None:
        assert p.rows_for_difference(found, discordance) == pytest.approx(rows, rel=1e-6)


def test_a_difference_larger_than_the_discordance_is_refused():
    with pytest.raises(ValueError, match="discordance"):
        p.rows_for_difference(0.3, 0.2)
