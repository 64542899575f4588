"""Graders of plain text."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from orchestrator.grading.grader import Score

if TYPE_CHECKING:
    from collections.abc import Sequence

# Answers that come again are mostly labels: texts up to so many characters are remembered.
_SHORT = 200
_WORD = re.compile(r"\w+")
_SPACE = re.compile(r"\s+")
_TRAILING = ".,;:!?\u2026\u3002 "
_QUOTES = "\"'`\u201c\u201d\u2018\u2019 "


@dataclass(frozen=True, kw_only=True)
class Exact:
    """The same text, but for white space around it."""

    name: str = "exact"

    def grade(self, answer: str, reference: str) -> Score:
        """1 when they are the same."""
        return _yes_or_no(answer.strip() == reference.strip(), "the same text", "another text")


@dataclass(frozen=True, kw_only=True)
class Normalised:
    """The same text but for case, white space, quotes around it and trailing punctuation."""

    name: str = "normalised"

    def grade(self, answer: str, reference: str) -> Score:
        """1 when they are the same once normalised."""
        same = normalise(answer) == normalise(reference)
        return _yes_or_no(same, "the same once normalised", "another text")


@dataclass(frozen=True, kw_only=True)
class Contains:
    """The reference occurs in the answer, as whole words, whatever the case."""

    name: str = "contains"

    def grade(self, answer: str, reference: str) -> Score:
        """1 when it occurs; an empty reference cannot be graded."""
        wanted = normalise(reference)
        if not wanted:
            return Score(value=None, reason="the reference is empty, and every text contains that")
        found = re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", normalise(answer)) is not None
        return _yes_or_no(found, "the reference occurs", "the reference does not occur")


@dataclass(frozen=True, kw_only=True)
class Regex:
    """What the pattern finds in answer and reference is the same.

    Attributes:
        pattern: its first group, or else its whole match, is compared; the last match counts.
    """

    pattern: re.Pattern[str]
    name: str = "regex"

    def grade(self, answer: str, reference: str) -> Score:
        """1 when both match alike; a reference without a match cannot be graded."""
        wanted = self._last(reference)
        if wanted is None:
            return Score(value=None, reason="the pattern does not match the reference")
        found = self._last(answer)
        return _yes_or_no(
            found is not None and normalise(found) == normalise(wanted),
            f"the pattern finds {wanted!r}",
            "the pattern finds nothing" if found is None else f"the pattern finds {found!r}",
        )

    def _last(self, text: str) -> str | None:
        matches = list(self.pattern.finditer(text))
        if not matches:
            return None
        last = matches[-1]
        return last.group(1) if self.pattern.groups and last.group(1) is not None else last.group()


@dataclass(frozen=True, kw_only=True)
class TokenF1:
    """Harmonic mean of precision and recall over words, as in SQuAD (Rajpurkar 2016)."""

    name: str = "token_f1"

    def grade(self, answer: str, reference: str) -> Score:
        """Between 0 and 1; 1 when both are empty."""
        got, wanted = words(answer), words(reference)
        if not got or not wanted:
            return Score(value=float(got == wanted), reason="one of them has no words")
        common = _in_common(got, wanted)
        value = 2 * common / (len(got) + len(wanted))
        return Score(value=value, reason=f"{common} words in common")


def overlap(answer: str, reference: str) -> float:
    """What `TokenF1` gives, without its reason; short texts that come again are not counted again."""
    if len(answer) + len(reference) > _SHORT:
        return TokenF1().grade(answer, reference).value or 0.0
    return _overlap_of_short(answer, reference)


@lru_cache(maxsize=4096)
def _overlap_of_short(answer: str, reference: str) -> float:
    return TokenF1().grade(answer, reference).value or 0.0


def _in_common(got: Sequence[str], wanted: Sequence[str]) -> int:
    left = Counter(wanted)
    common = 0
    for word in got:
        if left.get(word, 0):
            left[word] -= 1
            common += 1
    return common


def normalise(text: str) -> str:
    """Case folded, white space collapsed, quotes around it and trailing punctuation gone."""
    return _normalised(text) if len(text) > _SHORT else _normalised_short(text)


def _normalised(text: str) -> str:
    return _SPACE.sub(" ", text).strip(_QUOTES).casefold().rstrip(_TRAILING).strip(_QUOTES)


_normalised_short = lru_cache(maxsize=4096)(_normalised)


def words(text: str) -> list[str]:
    """Words and numbers, case folded."""
    return _WORD.findall(text.casefold())


def _yes_or_no(passed: bool, yes: str, no: str) -> Score:
    return Score(value=float(passed), passed=passed, reason=yes if passed else no)
