"""Graders of overlap: edit similarity, ROUGE and chrF, in the standard library.

Edit similarity is 2 LCS / (n + m) over characters, which is what rapidfuzz calls `ratio`.
ROUGE: Lin 2004, F1 over words without stemming. chrF: Popović 2015, as sacrebleu computes it for
one sentence (order 6, beta 2, white space aside).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.grading.grader import Score
from orchestrator.grading.text import words

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

# The time grows with the product of both lengths; beyond this a text is no answer any more.
LONGEST = 50_000
_CHRF_ORDER, _CHRF_BETA = 6, 2


@dataclass(frozen=True, kw_only=True)
class Fuzzy:
    """How much of both texts is the same, in the same order, letter by letter."""

    name: str = "fuzzy"

    def grade(self, answer: str, reference: str) -> Score:
        """Between 0 and 1; 1 when both are empty."""
        if max(len(answer), len(reference)) > LONGEST:
            return _too_long()
        size = len(answer) + len(reference)
        value = 2 * common(answer, reference) / size if size else 1.0
        return Score(value=value, reason=f"{value:.0%} of the letters")


@dataclass(frozen=True, kw_only=True)
class Rouge:
    """ROUGE F1 over words: the longest common subsequence, or n-grams.

    Attributes:
        order: of the n-grams; None for the longest common subsequence (ROUGE-L).
    """

    order: int | None = None

    @property
    def name(self) -> str:
        """rouge_l, rouge_1, rouge_2, ..."""
        return f"rouge_{self.order or 'l'}"

    def grade(self, answer: str, reference: str) -> Score:
        """Between 0 and 1; 1 when neither has words."""
        got, wanted = words(answer), words(reference)
        if max(len(got), len(wanted)) > LONGEST:
            return _too_long()
        if not got or not wanted:
            return Score(value=float(got == wanted), reason="one of them has no words")
        if self.order is None:
            return _f1(common(got, wanted), len(got), len(wanted))
        mine, theirs = ngrams(got, self.order), ngrams(wanted, self.order)
        return _f1((mine & theirs).total(), mine.total(), theirs.total())


@dataclass(frozen=True, kw_only=True)
class Chrf:
    """Character n-gram F-score, recall weighing twice: for translations."""

    name: str = "chrf"
    corpus_name: str = "corpus_chrf"

    def grade(self, answer: str, reference: str) -> Score:
        """Between 0 and 1; an empty reference cannot be graded."""
        got, wanted = "".join(answer.split()), "".join(reference.split())
        if not wanted:
            return Score(value=None, reason="the reference is empty")
        if max(len(got), len(wanted)) > LONGEST:
            return _too_long()
        sums: list[int] = []
        for order in range(1, _CHRF_ORDER + 1):
            mine, theirs = ngrams(got, order), ngrams(wanted, order)
            sums += (mine.total(), theirs.total(), (mine & theirs).total())
        value = self.corpus(sums)
        return Score(value=value, reason=f"chrF {100 * value:.1f}", sums=tuple(sums))

    def corpus(self, sums: Sequence[float]) -> float:
        """ChrF from n-grams produced, wanted and shared, in this order for each length."""
        precision, recall, orders = 0.0, 0.0, 0
        for start in range(0, len(sums), 3):
            mine, theirs, shared = sums[start : start + 3]
            if mine and theirs:
                precision += shared / mine
                recall += shared / theirs
                orders += 1
        weight = _CHRF_BETA**2
        below = weight * precision + recall
        value = (1 + weight) * precision * recall / below / orders if below else 0.0
        return min(1.0, value)


def common(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """Length of the longest common subsequence, bit-parallel (Hyyrö 2004)."""
    masks: dict[Hashable, int] = {}
    for place, each in enumerate(one):
        masks[each] = masks.get(each, 0) | 1 << place
    full = (1 << len(one)) - 1
    state = full
    for each in other:
        met = state & masks.get(each, 0)
        state = ((state + met) | (state - met)) & full
    return len(one) - state.bit_count()


def ngrams(sequence: Sequence[Hashable], order: int) -> Counter[tuple[Hashable, ...]]:
    """How often each n-gram occurs."""
    return Counter(zip(*(sequence[start:] for start in range(order)), strict=False))


def _f1(shared: int, mine: int, theirs: int) -> Score:
    if not mine or not theirs:
        return Score(value=0.0, reason="too short for an n-gram")
    value = 2 * shared / (mine + theirs)
    return Score(value=value, reason=f"{shared} of {theirs} in common")


def _too_long() -> Score:
    return Score(value=None, reason=f"longer than {LONGEST:,} characters")
