"""Our statistics against statsmodels, scipy and searches of our own, on cases that nobody chose."""

from __future__ import annotations

import math
import random
import warnings
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from orchestrator.domain.comparing import power, resampling, statistics
from orchestrator.domain.comparing.difference import Pair, compare_scores
from orchestrator.domain.comparing.labels import macro_f1
from orchestrator.domain.comparing.powered import powered_difference, powered_mean

with warnings.catch_warnings():
    # Its own imports warn of what they will do one day; it is an oracle here, not a dependency.
    warnings.simplefilter("ignore")
    sm = pytest.importorskip("statsmodels.api", reason="statsmodels is an oracle of these tests")
    from statsmodels.stats import (
        contingency_tables,
        inter_rater,
        multitest,
        proportion,
        weightstats,
    )
    from statsmodels.stats.power import NormalIndPower, TTestPower

COUNTS = st.integers(0, 400)
TABLES = st.tuples(COUNTS, COUNTS, st.integers(0, 600)).filter(lambda t: sum(t) > 0)
SCORES = st.lists(st.floats(0, 1).map(lambda x: round(x, 3)), min_size=2, max_size=60)


class TestTables:
    """`won`, `lost` and rows on which both arms were alike."""

    @given(TABLES)
    @example((0, 0, 1))
    @example((1, 0, 0))
    @example((400, 0, 0))
    @example((30_000, 20_000, 50_000))
    def test_mcnemar(self, table: tuple[int, int, int]):
        won, lost, same = table
        cells = [[same, won], [lost, 0]]
        oracle = contingency_tables.mcnemar(cells, exact=True).pvalue
        assert statistics.mcnemar_exact(won, lost) == pytest.approx(min(1.0, oracle), rel=1e-7)
        point = stats.binom.pmf(min(won, lost), won + lost, 0.5) if won + lost else 0.0
        if won != lost:
            assert statistics.mcnemar_mid_p(won, lost) == pytest.approx(oracle - point, rel=1e-6)

    @given(st.integers(0, 500), st.integers(0, 500), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
    @example(1, 0, 0.95)
    @example(0, 1, 0.95)
    @example(99_999, 1, 0.95)
    def test_wilson(self, right: int, wrong: int, confidence: float):
        assume(right + wrong)
        low, high = proportion.proportion_confint(
            right, right + wrong, alpha=1 - confidence, method="wilson"
        )
        found = statistics.wilson(right, right + wrong, confidence)
        assert tuple(found) == pytest.approx((max(low, 0.0), min(high, 1.0)), abs=1e-9)

    @settings(max_examples=40, deadline=None)
    @given(TABLES, st.sampled_from([0.9, 0.95]))
    @example((0, 0, 30), 0.95)
    @example((9, 0, 0), 0.95)
    @example((0, 7, 20), 0.9)
    @example((5_000, 4_000, 91_000), 0.95)
    def test_tango_inverts_the_score_test(self, table: tuple[int, int, int], confidence: float):
        """Ends of the interval by another road: the likelihood is maximised, the test inverted."""
        won, lost, same = table
        rows, z = won + lost + same, float(stats.norm.ppf(0.5 + confidence / 2))
        found = statistics.tango(won, lost, rows, confidence)
        for end, sign in ((found.low, 1), (found.high, -1)):
            if -1 + 1e-9 < end < 1 - 1e-9:
                assert score_test(won, lost, rows, end) == pytest.approx(sign * z, abs=2e-4)
            else:
                assert (won, lost) in {(rows, 0), (0, rows)}

    @settings(deadline=None)
    @given(TABLES, st.sampled_from([0.01, 0.03, 0.1]))
    def test_parity_and_equivalence_are_two_score_tests(
        self, table: tuple[int, int, int], margin: float
    ):
        won, lost, same = table
        rows = won + lost + same
        found = statistics.parity(won, lost, rows, margin)
        for p, delta, sign in ((found.p, -margin, 1), (found.p_upper, margin, -1)):
            z = score_test(won, lost, rows, delta)
            assert p == pytest.approx(stats.norm.sf(sign * z), abs=2e-4)
        # The 90 % interval decides as the one-sided test does.
        if abs(found.p - 0.05) > 1e-6:
            assert (found.p < 0.05) == (found.interval.low > -margin)

    @settings(max_examples=20, deadline=None)
    @given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
    def test_holm(self, values: list[float]):
        oracle = multitest.multipletests(values, method="holm")[1]
        assert statistics.holm(values) == pytest.approx(list(oracle), abs=1e-12)

    @given(
        st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=2, max_size=80)
    )
    def test_kappa(self, rated: list[tuple[str, str]]):
        first, second = [a for a, _ in rated], [b for _, b in rated]
        found = statistics.kappa(first, second)
        if found is None:
            assert len(set(first) | set(second)) == 1
            return
        table, _ = inter_rater.to_table(
            np.array([["abc".index(a) for a in p] for p in rated]), bins=3
        )
        oracle = inter_rater.cohens_kappa(table, return_results=False)
        assert found == pytest.approx(float(oracle), abs=1e-9)


def score_test(won: int, lost: int, rows: int, delta: float) -> float:
    """Tango's z, with the nuisance parameter found by a search and not by his formula."""
    low, high = max(0.0, -delta), (1 - delta) / 2

    def surprise(q: float) -> float:
        total = 0.0
        for count, chance in ((won, q + delta), (lost, q), (rows - won - lost, 1 - 2 * q - delta)):
            if count:
                total -= count * math.log(max(chance, 1e-300))
        return total

    best = optimize.minimize_scalar(
        surprise, bounds=(low, high), method="bounded", options={"xatol": 1e-13, "maxiter": 2000}
    )
    q = min((low, float(best.x), high), key=surprise)
    spread = rows * (2 * q + delta * (1 - delta))
    distance = won - lost - rows * delta
    if spread <= 0:
        return 0.0 if abs(distance) < 1e-9 else math.copysign(math.inf, distance)
    return distance / math.sqrt(spread)


class TestScores:
    @given(SCORES)
    def test_t_interval(self, values: list[float]):
        assume(max(values) - min(values) > 1e-6)
        oracle = weightstats.DescrStatsW([v - 0.4 for v in values])
        shifted = [v - 0.4 for v in values]
        assert tuple(resampling.t_interval(shifted)) == pytest.approx(
            oracle.tconfint_mean(), abs=1e-9
        )

    @settings(max_examples=25, deadline=None)
    @given(st.integers(2, 12), st.integers(1, 5), st.integers(0, 10_000))
    def test_clustered_errors(self, groups: int, most: int, seed: int):
        rng = random.Random(seed)
        names = [g for g in range(groups) for _ in range(rng.randint(1, most))]
        values = [rng.gauss(0.3 * (g % 3), 1) for g in names]
        fit = sm.OLS(values, np.ones(len(values))).fit()
        # statsmodels adds (N - 1) / (N - K), which is 1 for a mean, and G / (G - 1) as we do.
        oracle = fit.get_robustcov_results("cluster", groups=np.array(names), df_correction=True)
        assert resampling.clustered_error(values, names) == pytest.approx(oracle.bse[0], rel=1e-9)
        low, high = oracle.conf_int()[0]
        found = resampling.clustered_interval(values, names)
        assert found.low == pytest.approx(max(-1.0, low), abs=1e-7)
        assert found.high == pytest.approx(min(1.0, high), abs=1e-7)

    @settings(max_examples=15, deadline=None)
    @given(st.lists(st.floats(-1, 1).map(lambda x: round(x, 1)), min_size=1, max_size=12))
    @example([0.0])
    @example([0.5])
    @example([0.3] * 12)
    def test_sign_flips(self, values: list[float]):
        if len(values) == 1:
            # Either sign is as likely: one row decides nothing, and scipy takes two at least.
            assert resampling.sign_flip(values) == 1.0
            return
        oracle = stats.permutation_test(
            (np.array(values),), lambda x, axis: np.sum(x, axis=axis),
            permutation_type="samples", vectorized=True, n_resamples=np.inf,
        ).pvalue  # fmt: skip
        assert resampling.sign_flip(values) == pytest.approx(min(1.0, oracle), abs=1e-9)

    @settings(max_examples=8, deadline=None)
    @given(st.integers(0, 1000), st.sampled_from([12, 30, 49, 50, 200, 3000]))
    def test_bootstraps(self, seed: int, rows: int):
        rng = np.random.default_rng(seed)
        values = rng.beta(2, 5, size=rows) - rng.beta(2, 6, size=rows)
        method: Any = "BCa" if rows < 50 else "percentile"
        oracle = stats.bootstrap((values,), np.mean, method=method, rng=rng, n_resamples=4000)
        error = float(values.std(ddof=1)) / math.sqrt(rows)
        found = resampling.bootstrap(values.tolist(), seed=seed)
        assert tuple(found) == pytest.approx(tuple(oracle.confidence_interval), abs=0.25 * error)

    def test_two_one_sided_tests_of_scores(self):
        rng = np.random.default_rng(4)
        old = rng.uniform(0.3, 0.7, 3000)
        new = old + rng.normal(0.0, 0.1, 3000)
        pair = Pair(
            candidate="new", baseline="old", metric="f1", new=new.tolist(), old=old.tolist()
        )
        test = compare_scores(pair, margin=0.01).parity
        assert test is not None
        p, (_, lower, _), (_, upper, _) = weightstats.ttost_paired(new, old, -0.01, 0.01)
        assert test.p == pytest.approx(lower, rel=1e-6)
        assert test.equivalent == (p < 0.05)
        assert max(lower, upper) == p


class TestPower:
    @given(st.floats(0.01, 0.2), st.floats(0.01, 1.0), st.sampled_from([0.8, 0.9]))
    def test_rows_for_scores(self, effect: float, variance: float, wanted: float):
        size = effect / math.sqrt(variance)
        assume(0.02 < size < 1)
        # One sample against a known mean is an unpaired test whose other arm is infinite.
        oracle = NormalIndPower(ddof=0).solve_power(size, alpha=0.05, power=wanted, ratio=0)
        found = power.rows_for_scores(effect, variance, power=wanted)
        assert found == pytest.approx(float(oracle), rel=1e-3)
        by_t = TTestPower().solve_power(size, alpha=0.05, power=wanted)
        assert found <= float(by_t) <= found + 4

    @settings(max_examples=10, deadline=None)
    @given(st.integers(6, 24), st.floats(0.05, 0.9), st.floats(0, 0.9), st.floats(0.05, 0.3))
    def test_exact_power_of_the_parity_test(
        self, rows: int, share: float, lean: float, margin: float
    ):
        """Every table is counted here, one by one."""
        gain = lean * share
        chances = [(share + gain) / 2, (share - gain) / 2, 1 - share]
        total = sum(
            stats.multinomial.pmf([won, lost, rows - won - lost], rows, chances)
            for won in range(rows + 1)
            for lost in range(rows + 1 - won)
            if statistics.tango_z(won, lost, rows, -margin) > stats.norm.ppf(0.95)
        )
        found = power.parity_power(rows, margin, share, difference=gain)
        assert found == pytest.approx(float(total), abs=1e-6)


class TestLabels:
    @given(
        st.lists(
            st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), min_size=1, max_size=60
        )
    )
    def test_macro_f1(self, rows: list[tuple[str, str]]):
        metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
        wanted, given_ = [a for a, _ in rows], [b for _, b in rows]
        oracle = metrics.f1_score(
            wanted, given_, average="macro", labels=sorted(set(wanted)), zero_division=0
        )
        assert macro_f1(Counter(rows)) == pytest.approx(float(oracle), abs=1e-12)


class TestHundredThousandRows:
    def test_nothing_breaks_and_nothing_drifts(self):
        won, lost, rows = 12_000, 11_500, 100_000
        d = (won - lost) / rows
        error = math.sqrt(won + lost - (won - lost) ** 2 / rows) / rows
        found = statistics.tango(won, lost, rows)
        assert tuple(found) == pytest.approx((d - 1.96 * error, d + 1.96 * error), abs=2e-5)
        oracle = contingency_tables.mcnemar([[0, won], [lost, 0]], exact=False, correction=False)
        assert statistics.mcnemar_mid_p(won, lost) == pytest.approx(oracle.pvalue, rel=0.01)


class TestPowered:
    """A judge everywhere, a person in places: simulated, for there is no such oracle."""

    @staticmethod
    def rows(rng: random.Random, rows: int) -> list[tuple[float, float, float, float]]:
        found = []
        for _ in range(rows):
            new, old = float(rng.random() < 0.7), float(rng.random() < 0.6)
            # The judge agrees on four of five, and likes the new arm's looks.
            judged = new if rng.random() < 0.8 else 1.0
            found.append((new, old, judged, old if rng.random() < 0.8 else 0.0))
        return found

    def test_the_interval_of_a_difference_covers_the_truth(self):
        rng, covered, biased, runs = random.Random(8), 0, 0, 400
        for _ in range(runs):
            drawn = self.rows(rng, 200)
            truth = 0.1
            human = [n - o for n, o, _, _ in drawn[:60]]
            judged = [a - b for *_, a, b in drawn]
            found = powered_difference(human, judged[:60], judged[60:])
            covered += found.low <= truth <= found.high
            biased += resampling.mean(judged) > truth
        # The judge alone is off nearly always; corrected it covers as often as it says.
        assert biased / runs > 0.9
        assert covered / runs > 0.95 - 3 * math.sqrt(0.05 * 0.95 / runs)

    def test_a_judge_who_is_right_narrows_it(self):
        rng = random.Random(9)
        truth = [float(rng.random() < 0.7) - float(rng.random() < 0.5) for _ in range(500)]
        alone = powered_difference(truth[:50], [0.0] * 50, [0.0] * 450)
        helped = powered_difference(truth[:50], truth[:50], truth[50:])
        assert helped.high - helped.low < 0.6 * (alone.high - alone.low)
        assert powered_mean([1.0] * 5 + [0.0] * 5, [1.0] * 5 + [0.0] * 5, [1.0]).weight >= 0
