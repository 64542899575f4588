"""Paired statistics on scores: the reference cases, properties, and scipy as oracle."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from orchestrator.domain.comparing import resampling as r
from orchestrator.domain.comparing import student

NEW = [0.82, 0.91, 0.77, 0.64, 0.95, 0.88, 0.70, 0.93, 0.59, 0.86, 0.79, 0.90]
OLD = [0.75, 0.90, 0.61, 0.66, 0.85, 0.80, 0.71, 0.85, 0.40, 0.78, 0.70, 0.88]
DIFFERENCES = [new - old for new, old in zip(NEW, OLD, strict=True)]


def close(value: object, digits: float = 1e-9) -> object:
    return pytest.approx(value, rel=0, abs=digits)


class TestReferenceScores:
    def test_mean_and_t(self):
        assert r.mean(DIFFERENCES) == close(0.0708333333, 5e-11)
        assert r.standard_error(DIFFERENCES) == close(0.0184003596, 5e-11)
        assert r.mean(DIFFERENCES) / r.standard_error(DIFFERENCES) == close(3.8495624535)
        assert tuple(r.t_interval(DIFFERENCES)) == close((0.0303344150, 0.1113322517))

    def test_sign_flips_are_counted_exactly(self):
        assert r.sign_flip(DIFFERENCES) == 20 / 4096

    def test_bootstrap(self):
        assert tuple(r.bootstrap(DIFFERENCES)) == close((0.0375, 0.107), 0.004)


class TestReferenceClusters:
    OLD = [1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0]
    NEW = [1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 1, 1, 1, 0]
    GROUPS = [group for group, size in enumerate((4, 4, 3, 2, 4, 3)) for _ in range(size)]

    def test_error_of_a_mean(self):
        assert r.mean(self.OLD) == 0.5
        assert r.standard_error(self.OLD) == close(0.1147078669)
        assert r.clustered_error(self.OLD, self.GROUPS) == close(0.1936491673)
        assert student.t_quantile(0.975, 5) == close(2.5705818356)

    def test_pairing_does_not_undo_the_clusters(self):
        differences = [float(new - old) for new, old in zip(self.NEW, self.OLD, strict=True)]
        assert r.mean(differences) == 0.25
        assert r.standard_error(differences) == close(0.0993399268)
        assert r.clustered_error(differences, self.GROUPS) == close(0.1487447478)
        assert stats.ttest_1samp(differences, 0).pvalue < 0.05
        assert r.clustered_sign_flip(differences, self.GROUPS) > 0.05

    def test_one_group_is_no_evidence(self):
        with pytest.raises(ValueError, match="two groups"):
            r.clustered_error([0.0, 1.0], ["same", "same"])


def test_repeats_are_averaged_per_row_first():
    answers = [(1, 1, 1), (1, 0, 1), (0, 0, 0), (0, 1, 0), (1, 1, 1), (0, 0, 1)]
    means = [r.mean(row) for row in answers]
    assert r.mean(means) == close(0.5556, 5e-5)
    assert r.standard_error(means) == close(0.1648044108)
    assert r.standard_error([a for row in answers for a in row]) == close(0.1205169210)


class TestPermutation:
    def test_no_difference_is_no_evidence(self):
        assert r.sign_flip([0.0] * 40) == 1.0

    @settings(max_examples=20, deadline=None)
    @given(st.lists(st.floats(-1, 1).map(lambda x: round(x, 2)), min_size=2, max_size=10))
    def test_exact_against_scipy(self, values: list[float]):
        oracle = stats.permutation_test(
            (np.array(values),),
            lambda x, axis: np.sum(x, axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=np.inf,
        ).pvalue
        assert r.sign_flip(values) == pytest.approx(min(1.0, oracle), abs=1e-9)

    def test_sampled_is_near_the_exact_and_never_zero(self):
        rng = random.Random(3)
        values = [rng.gauss(0.25, 1) for _ in range(40)]
        oracle = stats.ttest_1samp(values, 0).pvalue
        assert r.sign_flip(values) == pytest.approx(oracle, abs=0.02)
        assert r.sign_flip([1.0] * 60) == 1 / 10_001

    def test_same_seed_same_p(self):
        values = [random.Random(5).gauss(0.1, 1) for _ in range(30)]
        assert r.sign_flip(values, seed=1) == r.sign_flip(values, seed=1)


class TestBootstrap:
    def test_against_scipy(self):
        rng = np.random.default_rng(7)
        values = rng.beta(2, 5, size=120) - 0.2
        oracle = stats.bootstrap((values,), np.mean, method="percentile", rng=rng)
        assert tuple(r.bootstrap(values.tolist())) == pytest.approx(
            tuple(oracle.confidence_interval), abs=0.003
        )

    def test_bca_against_scipy(self):
        rng = np.random.default_rng(8)
        values = rng.exponential(size=25)
        oracle = stats.bootstrap((values,), np.mean, method="BCa", rng=rng).confidence_interval
        assert tuple(r.bootstrap(values.tolist())) == pytest.approx(tuple(oracle), abs=0.03)

    def test_equal_rows_do_not_collapse_the_interval(self):
        assert tuple(r.bootstrap([0.0] * 100)) == close((-0.0369934982, 0.0369934982))

    def test_statistic_of_the_whole_set(self):
        found = r.bootstrap_counts([60, 40], lambda counts: counts[0] / sum(counts))
        oracle = stats.binomtest(60, 100).proportion_ci(method="wilson")
        assert tuple(found) == pytest.approx((oracle.low, oracle.high), abs=0.02)

    def test_many_rows_take_no_time(self):
        rng = random.Random(9)
        values = [rng.choice((-1.0, 0.0, 0.0, 0.5)) for _ in range(100_000)]
        low, high = r.bootstrap(values)
        assert low < r.mean(values) < high
        assert 0 < r.sign_flip(values) <= 1


class TestStudent:
    @given(st.floats(-8, 8), st.integers(1, 400))
    def test_distribution_against_scipy(self, t: float, degrees: int):
        # With one degree of freedom it is Cauchy's, which scipy misses by 2e-9 close to nought.
        oracle = 0.5 + math.atan(t) / math.pi if degrees == 1 else stats.t.cdf(t, degrees)
        assert student.t_cdf(t, degrees) == pytest.approx(oracle, abs=1e-12)

    @settings(max_examples=20)
    @given(st.floats(0.01, 0.99), st.integers(1, 200))
    def test_quantile_against_scipy(self, p: float, degrees: int):
        assert student.t_quantile(p, degrees) == pytest.approx(stats.t.ppf(p, degrees), abs=1e-8)

    @given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0, 1))
    def test_quantile_of_rows_against_numpy(self, values: list[float], p: float):
        assert r.quantile(sorted(values), p) == pytest.approx(float(np.quantile(values, p)))

    def test_no_rows_no_mean(self):
        with pytest.raises(ValueError, match="no rows"):
            r.mean([])
