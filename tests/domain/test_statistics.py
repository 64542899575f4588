"""Paired binary statistics: the published reference cases, properties, and scipy as oracle."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from orchestrator.domain.comparing import statistics as s
from orchestrator.domain.comparing.statistics import binomial_probability


def close(value: object, digits: float = 1e-9) -> object:
    return pytest.approx(value, rel=0, abs=digits)


tables = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(1, 60)).map(
    lambda t: (t[0], t[1], t[0] + t[1] + t[2])
)


class TestReferenceTable:
    """120 both right, 38 won, 14 lost, 28 both wrong."""

    def test_wilson(self):
        assert tuple(s.wilson(158, 200)) == close((0.7283538314, 0.8407158793))
        assert tuple(s.wilson(134, 200)) == close((0.6021668477, 0.7314257413))

    def test_mcnemar(self):
        assert s.mcnemar_exact(38, 14) == close(0.0011951203200)
        assert s.mcnemar_mid_p(38, 14) == close(0.0008023308869)

    def test_intervals_of_the_difference(self):
        assert tuple(s.tango(38, 14, 200)) == close((0.0511689125, 0.1906806162))


class TestEdges:
    def test_wilson_near_and_at_the_ends(self):
        assert tuple(s.wilson(47, 50)) == close((0.8378290831, 0.9793850297))
        assert tuple(s.wilson(0, 30)) == close((0.0, 0.1135133932))
        assert tuple(s.wilson(30, 30)) == close((0.8864866068, 1.0))

    @pytest.mark.parametrize(
        ("rows", "half", "p"),
        [(50, 0.0713475991, 0.10683), (100, 0.0369934982, 0.03932), (200, 0.0188453264, 0.00644)],
    )
    def test_no_discordant_row_leaves_a_wide_interval(self, rows: int, half: float, p: float):
        assert tuple(s.tango(0, 0, rows)) == close((-half, half))
        assert s.parity(0, 0, rows, 0.03).p == close(p, 5e-6)
        assert s.mcnemar_exact(0, 0) == s.mcnemar_mid_p(0, 0) == 1.0

    def test_thirty_equal_answers_prove_no_parity(self):
        found = s.parity(0, 0, 30, 0.03)
        assert found.p > 0.05
        assert s.tango(0, 0, 30).high == close(0.1135, 1e-4)

    def test_fewer_than_six_discordant_rows_never_reach_five_percent(self):
        assert all(
            s.mcnemar_exact(won, lost) > 0.05
            for won, lost in product(range(6), repeat=2)
            if won + lost < 6
        )

    @pytest.mark.parametrize("counts", [(-1, 0, 5), (3, 3, 5), (0, 0, 0)])
    def test_impossible_counts_are_refused(self, counts: tuple[int, int, int]):
        with pytest.raises(ValueError, match="counts"):
            s.tango(*counts)

    def test_a_clean_sweep_ends_at_one(self):
        assert s.tango(20, 0, 20).high == 1.0
        assert s.tango(0, 20, 20).low == -1.0


class TestParity:
    """600 rows, 21 won, 24 lost, margin 3 points."""

    def test_reference(self):
        found = s.parity(21, 24, 600, 0.03)
        assert s.tango_z(21, 24, 600, -0.03) == close(2.1327905784)
        assert found.p == close(0.0164709547)
        assert tuple(found.interval) == close((-0.0239536494, 0.0137372851))
        assert s.tango_z(21, 24, 600, 0.03) == close(-2.9346847139)
        assert found.p_upper == close(0.0016694338)
        assert s.mcnemar_exact(21, 24) == close(0.766, 5e-4)

    @given(tables, st.sampled_from([0.01, 0.03, 0.05, 0.1]))
    def test_the_interval_and_the_test_decide_alike(
        self, table: tuple[int, int, int], margin: float
    ):
        found = s.parity(*table, margin)
        if abs(found.p - 0.05) > 1e-9:
            assert (found.p < 0.05) == (found.interval.low > -margin)
        if abs(found.p_upper - 0.05) > 1e-9:
            assert (found.p_upper < 0.05) == (found.interval.high < margin)

    @pytest.mark.parametrize(
        ("rows", "discordance", "size"),
        [(50, 0.04, 0.005), (100, 0.04, 0.038), (200, 0.04, 0.044), (400, 0.06, 0.048)],
    )
    def test_type_one_error_at_the_margin(self, rows: int, discordance: float, size: float):
        """Summed over every table with a true loss of exactly the margin, 3 points."""
        won_p, lost_p = (discordance - 0.03) / 2, (discordance + 0.03) / 2
        total = 0.0
        for won in range(rows + 1):
            first = binomial_probability(rows, won, won_p)
            if first < 1e-9:
                continue
            for lost in range(rows - won + 1):
                chance = first * binomial_probability(rows - won, lost, lost_p / (1 - won_p))
                if chance > 1e-9 and s.parity(won, lost, rows, 0.03).p < 0.05:
                    total += chance
        assert total == close(size, 6e-4)

    def test_a_margin_outside_zero_to_one_is_refused(self):
        with pytest.raises(ValueError, match="margin"):
            s.parity(1, 1, 10, 3.0)


class TestHolm:
    def test_reference(self):
        adjusted = s.holm([0.001, 0.013, 0.021, 0.04, 0.30])
        assert adjusted == close([0.005, 0.052, 0.063, 0.08, 0.30])

    @given(st.lists(st.floats(0, 1), max_size=12))
    def test_between_the_raw_and_bonferroni_and_in_the_same_order(self, values: list[float]):
        adjusted = s.holm(values)
        for raw, new in zip(values, adjusted, strict=True):
            assert raw <= new <= min(1.0, raw * len(values)) + 1e-15
        assert sorted(adjusted) == [a for _, a in sorted(zip(values, adjusted, strict=True))]


class TestAgainstScipy:
    @given(st.integers(0, 300), st.integers(0, 300))
    def test_mcnemar(self, won: int, lost: int):
        total = won + lost
        exact = stats.binomtest(won, total).pvalue if total else 1.0
        assert s.mcnemar_exact(won, lost) == pytest.approx(exact, rel=1e-9)
        if total:
            point = stats.binom.pmf(min(won, lost), total, 0.5)
            mid = min(1.0, 2 * stats.binom.cdf(min(won, lost), total, 0.5) - point)
            assert s.mcnemar_mid_p(won, lost) == pytest.approx(mid, rel=1e-9)

    def test_mcnemar_on_many_rows(self):
        assert s.mcnemar_exact(5200, 4900) == pytest.approx(
            stats.binomtest(5200, 10100).pvalue, rel=1e-9
        )

    @given(st.integers(0, 200), st.integers(1, 200), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
    def test_wilson(self, successes: int, more: int, confidence: float):
        rows = successes + more
        oracle = stats.binomtest(successes, rows).proportion_ci(confidence, method="wilson")
        assert tuple(s.wilson(successes, rows, confidence)) == pytest.approx(
            (oracle.low, oracle.high), abs=1e-9
        )


class TestProperties:
    @given(tables)
    def test_swapping_the_arms_mirrors_everything(self, table: tuple[int, int, int]):
        won, lost, rows = table
        there, back = s.tango(won, lost, rows), s.tango(lost, won, rows)
        assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=1e-9)
        assert s.mcnemar_mid_p(won, lost) == s.mcnemar_mid_p(lost, won)

    @given(tables)
    def test_tango_solves_its_own_equation(self, table: tuple[int, int, int]):
        won, lost, rows = table
        found = s.tango(won, lost, rows)
        assert -1 <= found.low <= (won - lost) / rows <= found.high <= 1
        assert s.tango_z(won, lost, rows, found.low) == pytest.approx(1.959963985, abs=1e-5)
        assert s.tango_z(won, lost, rows, found.high) == pytest.approx(-1.959963985, abs=1e-5)

    def test_tango_is_the_constrained_likelihood(self):
        """The closed form against a search for the likeliest table under the hypothesis."""
        from math import log, sqrt

        won, lost, rows, delta = 17, 6, 90, 0.02

        def likelihood(q: float) -> float:
            rest = 1 - 2 * q - delta
            return won * log(q + delta) + lost * log(q) + (rows - won - lost) * log(rest)

        low, high = 1e-9, (1 - delta) / 2 - 1e-9
        for _ in range(200):
            third = (high - low) / 3
            if likelihood(low + third) < likelihood(high - third):
                low += third
            else:
                high -= third
        z = (won - lost - rows * delta) / sqrt(rows * (2 * low + delta * (1 - delta)))
        assert s.tango_z(won, lost, rows, delta) == pytest.approx(z, abs=1e-6)


def test_kappa():
    assert s.kappa(list("aabb"), list("aabb")) == 1.0
    assert s.kappa(list("aabb"), list("abab")) == 0.0
    assert s.kappa(list("aa"), list("aa")) is None
