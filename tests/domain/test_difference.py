"""Differences, their words, and the gates they open: also by simulation."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.comparing.comparison import Difference, Word
from orchestrator.domain.comparing.difference import Pair, compare_scores, family
from orchestrator.domain.comparing.labels import compare_labels, macro_f1


def pair(new: list[float], old: list[float]) -> Pair:
    return Pair(candidate="tuned", baseline="base", metric="exact", new=new, old=old)


def table(won: int, lost: int, rows: int) -> Pair:
    same = rows - won - lost
    return pair(
        [1.0] * won + [0.0] * lost + [1.0] * same, [0.0] * won + [1.0] * lost + [1.0] * same
    )


class TestBinary:
    def test_reference_table(self):
        found = compare_scores(table(38, 14, 200))
        assert found.diff == 0.12
        assert (found.low, found.high) == pytest.approx((0.0511689125, 0.1906806162), abs=1e-9)
        assert found.p == pytest.approx(0.0008023308869, abs=1e-12)
        assert found.verdict is Word.IMPROVED

    def test_parity_reference(self):
        found = compare_scores(table(21, 24, 600), margin=0.03)
        assert found.verdict is Word.PARITY
        assert found.parity is not None
        assert found.parity.equivalent
        assert compare_scores(table(21, 24, 600), margin=0.01).verdict is Word.INCONCLUSIVE

    def test_thirty_equal_answers_open_no_gate(self):
        assert compare_scores(table(0, 0, 30), margin=0.03).verdict is Word.INCONCLUSIVE

    def test_words_of_the_other_side(self):
        assert compare_scores(table(14, 38, 200)).verdict is Word.DEGRADED
        assert compare_scores(table(8, 0, 9)).verdict is Word.TOO_FEW
        assert compare_scores(table(10, 9, 200)).verdict is Word.INCONCLUSIVE

    def test_a_shown_loss_within_the_margin_is_parity(self):
        found = compare_scores(table(2, 20, 5000), margin=0.03)
        assert found.high < 0
        assert found.verdict is Word.PARITY

    @given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
    def test_swapping_the_arms_mirrors_the_result(self, rows: list[tuple[bool, bool]]):
        new, old = [float(a) for a, _ in rows], [float(b) for _, b in rows]
        there, back = compare_scores(pair(new, old)), compare_scores(pair(old, new))
        assert there.diff == -back.diff
        assert there.p == back.p
        assert there.low == pytest.approx(-back.high, abs=1e-9)
        mirror = {Word.IMPROVED: Word.DEGRADED, Word.DEGRADED: Word.IMPROVED}
        assert back.verdict is mirror.get(there.verdict, there.verdict)


class TestScores:
    NEW = [0.82, 0.91, 0.77, 0.64, 0.95, 0.88, 0.70, 0.93, 0.59, 0.86, 0.79, 0.90]
    OLD = [0.75, 0.90, 0.61, 0.66, 0.85, 0.80, 0.71, 0.85, 0.40, 0.78, 0.70, 0.88]

    def test_reference_scores(self):
        found = compare_scores(pair(self.NEW, self.OLD), margin=0.03)
        assert found.diff == pytest.approx(0.0708333333, abs=1e-9)
        assert found.p == 0.0048828125
        assert (found.low, found.high) == pytest.approx((0.0375, 0.107), abs=0.004)
        assert found.verdict is Word.IMPROVED
        assert "permutation" in found.method

    def test_equal_scores_prove_no_parity_on_few_rows(self):
        assert compare_scores(pair(self.NEW, self.NEW), margin=0.03).verdict is Word.INCONCLUSIVE

    def test_arms_of_different_length_are_refused(self):
        with pytest.raises(ValueError, match=r"shorter|longer"):
            compare_scores(pair([1.0], [1.0, 0.0]))


class TestFamily:
    def test_the_word_follows_the_adjusted_p(self):
        alone = compare_scores(table(14, 4, 200))
        assert alone.verdict is Word.IMPROVED
        many = family([alone, *[compare_scores(table(9, 8, 200))] * 4])
        assert many[0].p_holm == pytest.approx(5 * alone.p)
        assert many[0].verdict is Word.INCONCLUSIVE


class TestLabels:
    def find(self, rows: int) -> Difference:
        rng = random.Random(4)
        references = [rng.choice("abc") for _ in range(rows)]
        new = [r if rng.random() < 0.85 else "a" for r in references]
        old = [r if rng.random() < 0.70 else "a" for r in references]
        return compare_labels(references, ("tuned", new), ("base", old))

    def test_macro_f1_improves(self):
        found = self.find(400)
        assert found.low < found.diff < found.high
        assert found.verdict is Word.IMPROVED
        assert found.p < 0.01

    def test_many_rows_take_no_longer_and_agree(self):
        found = self.find(60_000)
        assert found.high - found.low == pytest.approx(0.0075, abs=0.002)
        assert found.diff == pytest.approx(self.find(400).diff, abs=0.08)

    def test_no_difference_is_no_evidence(self):
        labels = list("abcabcabcabc")
        found = compare_labels(labels, ("tuned", labels), ("base", labels))
        assert (found.diff, found.p) == (0.0, 1.0)

    def test_macro_f1_sees_the_whole_set(self):
        assert macro_f1(Counter({("a", "a"): 8, ("b", "a"): 2})) == pytest.approx(8 / 18)


def test_the_parity_gate_errs_no_more_than_it_says():
    """True loss of exactly the margin, 3 points: the gate opens in at most 5 of 100 runs."""
    rng, opened, runs = random.Random(11), 0, 3000
    for _ in range(runs):
        won = lost = 0
        for _ in range(150):
            draw = rng.random()
            won += draw < 0.02
            lost += 0.02 <= draw < 0.07
        found = compare_scores(table(won, lost, 150), margin=0.03)
        opened += found.verdict is Word.PARITY
    assert opened / runs < 0.06
