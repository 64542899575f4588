"""Graders that compare two texts: string_check and text_similarity.

fuzzy_match is 2 LCS / (n + m) over letters; ROUGE is F1 over words (Lin 2004); BLEU and GLEU are
those of one sentence, over n-grams of words up to four (Papineni 2002, one added to the counts of
the longer ones; Wu 2016).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftctl_worker.graders.grader import Grade, GradingError, fill

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

__all__ = ["CHECKS", "METRICS", "StringCheck", "TextSimilarity"]

_LONGEST = 20_000
_ORDER = 4
CHECKS: Mapping[str, Callable[[str, str], bool]] = {
    "eq": lambda given, wanted: given == wanted,
    "ne": lambda given, wanted: given != wanted,
    "like": lambda given, wanted: wanted in given,
    "ilike": lambda given, wanted: wanted.casefold() in given.casefold(),
}


@dataclass(frozen=True, kw_only=True)
class _Two:
    """Two templates; knows how to fill them."""

    name: str
    input: str
    reference: str

    @property
    def templates(self) -> tuple[str, ...]:
        """Both of them."""
        return (self.input, self.reference)

    def filled(self, fields: Mapping[str, Any]) -> tuple[str, str]:
        """Return both texts."""
        return fill(self.input, fields), fill(self.reference, fields)


@dataclass(frozen=True, kw_only=True)
class StringCheck(_Two):
    """1 where a check of two texts holds, else 0."""

    operation: str

    def grade(self, fields: Mapping[str, Any]) -> Grade:
        """Check."""
        return Grade(float(CHECKS[self.operation](*self.filled(fields))))


@dataclass(frozen=True, kw_only=True)
class TextSimilarity(_Two):
    """From 0 to 1, by a named metric."""

    metric: str

    def grade(self, fields: Mapping[str, Any]) -> Grade:
        """Compare."""
        given, wanted = self.filled(fields)
        if max(len(given), len(wanted)) > _LONGEST:
            raise GradingError("other_error", f"a text is longer than {_LONGEST:,} characters")
        return Grade(METRICS[self.metric](given, wanted))


def _fuzzy(given: str, wanted: str) -> float:
    size = len(given) + len(wanted)
    return 2 * _common(given, wanted) / size if size else 1.0


def _rouge_l(given: str, wanted: str) -> float:
    mine, theirs = _words(given), _words(wanted)
    return _f1(_common(mine, theirs), len(mine), len(theirs))


def _rouge(order: int) -> Callable[[str, str], float]:
    def score(given: str, wanted: str) -> float:
        mine, theirs = _grams(_words(given), order), _grams(_words(wanted), order)
        return _f1((mine & theirs).total(), mine.total(), theirs.total())

    return score


def _bleu(given: str, wanted: str) -> float:
    mine, theirs = _words(given), _words(wanted)
    if not mine or not theirs:
        return float(mine == theirs)
    logs = 0.0
    for order in range(1, _ORDER + 1):
        ours, known = _grams(mine, order), _grams(theirs, order)
        added = 0 if order == 1 else 1
        right, count = (ours & known).total() + added, ours.total() + added
        if not right:
            return 0.0
        logs += math.log(right / count) / _ORDER
    return math.exp(logs + min(0.0, 1 - len(theirs) / len(mine)))


def _gleu(given: str, wanted: str) -> float:
    mine, theirs = _words(given), _words(wanted)
    ours = sum((_grams(mine, order) for order in range(1, _ORDER + 1)), Counter())
    known = sum((_grams(theirs, order) for order in range(1, _ORDER + 1)), Counter())
    most = max(ours.total(), known.total())
    return (ours & known).total() / most if most else 1.0


def _common(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
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


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _grams(words: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(words[start:] for start in range(order)), strict=False))


def _f1(shared: int, mine: int, theirs: int) -> float:
    if not mine or not theirs:
        return float(mine == theirs)
    return 2 * shared / (mine + theirs)


METRICS: Mapping[str, Callable[[str, str], float]] = {
    "fuzzy_match": _fuzzy,
    "bleu": _bleu,
    "gleu": _gleu,
    **{f"rouge_{order}": _rouge(order) for order in range(1, 6)},
    "rouge_l": _rouge_l,
}
