"""How often the gates are wrong when nothing is there: simulated from a seed, through the front door."""

from __future__ import annotations

import random
from math import sqrt

import pytest

from orchestrator.domain.comparing.comparison import Word
from orchestrator.domain.comparing.difference import Pair, compare_scores, family

TRIALS = 1500
# Three standard errors of a simulated share around 5 %.
_SLACK = 3 * sqrt(0.05 * 0.95 / TRIALS)


def binary_rows(rng: random.Random, rows: int, won: float, lost: float) -> Pair:
    new, old = [], []
    for _ in range(rows):
        drawn = rng.random()
        new.append(float(drawn < won or drawn >= won + lost))
        old.append(float(won <= drawn))
    return Pair(candidate="new", baseline="old", metric="exact", new=new, old=old)


@pytest.mark.parametrize(("rows", "differing"), [(100, 0.04), (200, 0.10)])
def test_the_parity_gate_opens_wrongly_at_most_one_time_in_twenty(rows: int, differing: float):
    margin, rng = 0.03, random.Random(rows)
    won, lost = (differing - margin) / 2, (differing + margin) / 2
    opened = 0
    for _ in range(TRIALS):
        test = compare_scores(binary_rows(rng, rows, won, lost), margin=margin).parity
        assert test is not None
        opened += test.p < 0.05
    assert opened / TRIALS <= 0.05 + _SLACK


def test_the_parity_gate_of_graded_scores_keeps_its_level():
    # So many rows that the interval is Student's: the simulation takes no resampling.
    margin, rng, rows, trials, opened = 0.02, random.Random(5), 2100, 300, 0
    for _ in range(trials):
        old = [rng.uniform(0.3, 0.7) for _ in range(rows)]
        new = [one - margin + rng.gauss(0, 0.2) for one in old]
        pair = Pair(candidate="new", baseline="old", metric="f1", new=new, old=old)
        test = compare_scores(pair, margin=margin).parity
        assert test is not None
        opened += test.p < 0.05
    assert opened / trials <= 0.05 + 3 * sqrt(0.05 * 0.95 / trials)


def test_a_family_of_equal_arms_seldom_finds_a_winner():
    rng, wrong = random.Random(11), 0
    for _ in range(TRIALS):
        found = family([compare_scores(binary_rows(rng, 120, 0.1, 0.1)) for _ in range(3)])
        wrong += any(d.verdict in {Word.IMPROVED, Word.DEGRADED} for d in found)
    assert wrong / TRIALS <= 0.05 + _SLACK
