"""Prediction-powered means: a case worked by hand, and the coverage of the interval."""

from __future__ import annotations

import random

import pytest

from orchestrator.domain.comparing.powered import powered_mean
from orchestrator.domain.jobs.model_names import family


def test_a_case_worked_by_hand():
    # Means .6, .4 and .6; covariance .2, variance of all fifteen judgements 4/15, so that the
    # weight is .2 / (4/15) / 1.5 = .5 and the value .6 + .5 (.6 - .4). What the judge leaves open
    # varies by .7 in all; with a row more on either side that is 2.7 / 6 / 7; and 1/150 besides.
    found = powered_mean([1, 1, 0, 1, 0], [1, 1, 0, 0, 0], [1, 0, 1, 0, 1, 1, 0, 1, 1, 0])
    assert found.weight == pytest.approx(0.5)
    assert found.value == pytest.approx(0.7)
    half = 3.182446305 * (2.7 / 6 / 7 + 1 / 150) ** 0.5
    assert found.high - found.value == pytest.approx(half)


def test_a_judge_that_tells_nothing_weighs_nothing():
    assert powered_mean([1, 0, 1, 0], [1, 1, 1, 1], [1, 1, 1]).weight == 0
    assert powered_mean([1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1]).weight == 0
    assert powered_mean([1, 0, 1], [1, 0, 1], []).value == pytest.approx(2 / 3)


def test_the_interval_covers_the_truth_and_is_narrower_than_labels_alone():
    rng = random.Random(7)
    covered, widths, trials = 0, [], 400
    for _ in range(trials):
        truth = [float(rng.random() < 0.6) for _ in range(400)]
        # A judge that calls a fifth of the bad answers good and misses a tenth of the good ones.
        judge = [float(rng.random() < (0.9 if y else 0.2)) for y in truth]
        found = powered_mean(truth[:80], judge[:80], judge[80:])
        covered += found.low <= 0.6 <= found.high
        widths.append(found.high - found.low)
    assert covered / trials >= 0.93
    assert sum(widths) / trials < 0.9 * 2 * 1.96 * (0.24 / 80) ** 0.5


@pytest.mark.parametrize("labels", [10, 20, 60])
def test_few_labels_on_which_both_agree_promise_nothing(labels: int):
    """95 of 100 answers are good, and the judge sees it: most labels leave no spread at all."""
    rng, covered, trials = random.Random(labels), 0, 400
    for _ in range(trials):
        truth = [float(rng.random() < 0.95) for _ in range(200)]
        judge = [float(rng.random() < 0.97) if y else 1.0 for y in truth]
        found = powered_mean(truth[:labels], judge[:labels], judge[labels:])
        covered += found.low <= 0.95 <= found.high
    assert covered / trials >= 0.93


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("gpt-4.1-mini-2025-04-14", "gpt"),
        ("ft:gpt-4.1-mini:acme::x1", "gpt"),
        ("o4-mini", "gpt"),
        ("Qwen/Qwen3-8B", "qwen"),
        ("claude-x", "claude"),
        ("tiny", "tiny"),
    ],
)
def test_families(name: str, wanted: str):
    assert family(name) == wanted
