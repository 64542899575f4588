"""The graded answers of one arm, in a few bytes a row; texts are not kept."""

from __future__ import annotations

import sys
from array import array
from math import isnan, nan
from typing import TYPE_CHECKING, TypeVar

from orchestrator.domain.comparing.answerbook import Scores
from orchestrator.grading.text import normalise, overlap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.domain.chat import ChatAnswer
    from orchestrator.domain.errors import FtctlError

_LONGEST_LABEL = 300
_V = TypeVar("_V")


class Sheet:
    """What one arm earned, by place of the sample. Repeated answers to a row are averaged.

    Attributes:
        missing: answers that never came, or could not be graded.
        truncated: answers cut off at the token limit.
        error: the last reason why an answer did not come; `reason` why one could not be graded.
    """

    def __init__(self, size: int, *, labels: bool, overlaps: bool = True) -> None:
        """Take the number of samples.

        Args:
            size: how many there are.
            labels: whether their answers are labels, which are kept.
            overlaps: whether words in common are counted beside the score.
        """
        self._counts_words = overlaps
        self._scores = array("d", [nan]) * size
        self._overlaps = array("d", [nan]) * size
        self._counts = array("i", [0]) * size
        self._seen = array("i", [0]) * size
        self._labels: list[str] | None = [""] * size if labels else None
        self._spreads = array("d", [0.0]) * size
        self._columns: list[array[int]] = []
        self._usage = [0, 0, 0, 0]
        self.latencies = array("d")
        self.answers = self.missing = self.truncated = 0
        self.error: FtctlError | None = None
        self.reason = ""

    def fail(self, error: FtctlError | None) -> None:
        """An answer did not come."""
        self.missing += 1
        self.error = error

    def add(self, place: int, answer: ChatAnswer, reference: str) -> None:
        """An answer came: what it used, how long it took, how much it shares with the reference."""
        text = answer.said
        self._usage[0] += answer.prompt_tokens
        self._usage[1] += answer.cached_tokens
        self._usage[2] += answer.completion_tokens
        self._usage[3] += answer.reasoning_tokens
        self.answers += 1
        self.latencies.append(answer.latency)
        self.truncated += answer.finish_reason == "length"
        self._seen[place] += 1
        if self._counts_words:
            _average(self._overlaps, place, overlap(text, reference), self._seen[place])
        if self._labels is not None and self._seen[place] == 1:
            self._labels[place] = sys.intern(normalise(text)[:_LONGEST_LABEL])

    def score(
        self, place: int, value: float | None, reason: str = "", sums: Sequence[int] = ()
    ) -> None:
        """What that answer earned; None could not be graded, which is never a zero.

        Args:
            place: of the sample.
            value: of the grader.
            reason: why it could not be graded.
            sums: what it adds to a metric of the whole set.
        """
        if value is None:
            self.missing += 1
            self.reason = reason
            return
        self._counts[place] += 1
        before = self._scores[place] if self._counts[place] > 1 else value
        _average(self._scores, place, value, self._counts[place])
        # Welford's sum of squares around the mean of the row's repeats.
        self._spreads[place] += (value - before) * (value - self._scores[place])
        if sums and not self._columns:
            self._columns = [array("l", [0]) * len(self._scores) for _ in sums]
        for column, one in zip(self._columns, sums, strict=True):
            column[place] += one

    def has(self, place: int) -> bool:
        """Whether the sample has a score."""
        return not isnan(self._scores[place])

    def scores(self, places: Sequence[int]) -> Sequence[float]:
        """The score of each sample."""
        return _at(self._scores, places)

    def overlaps(self, places: Sequence[int]) -> Sequence[float]:
        """Words in common with each reference."""
        return _at(self._overlaps, places)

    def variances(self, places: Sequence[int]) -> list[float]:
        """Variance of a row's mean score over its repeats; empty unless each row has two."""
        counts = [self._counts[place] for place in places]
        if min(counts, default=0) < 2:
            return []
        spreads = [self._spreads[place] for place in places]
        return [s / (k - 1) / k for s, k in zip(spreads, counts, strict=True)]

    def columns(self, places: Sequence[int]) -> list[list[int]]:
        """The sums of a metric of the whole set, a column each; empty where there is none."""
        return [[column[place] for place in places] for column in self._columns]

    def labels(self, places: Sequence[int]) -> list[str]:
        """The first answer to each sample, normalised; empty where answers are no labels."""
        return [self._labels[place] for place in places] if self._labels is not None else []

    def scored(self, rows: Sequence[int]) -> Scores:
        """Scores with the row of each, for the store.

        Args:
            rows: row number by place.
        """
        places = [place for place in range(len(rows)) if self.has(place)]
        return Scores(_at(rows, places), _at(self._scores, places))

    def mean_usage(self) -> list[float]:
        """Prompt, cached, completion and reasoning tokens per answer."""
        return [total / self.answers if self.answers else 0.0 for total in self._usage]


def everywhere(sheets: Sequence[Sheet], size: int) -> Sequence[int]:
    """Places of the samples that have a score on every sheet."""
    found = array("L", (p for p in range(size) if all(sheet.has(p) for sheet in sheets)))
    return range(size) if len(found) == size else found


def _at(values: Sequence[_V], places: Sequence[int]) -> Sequence[_V]:
    return values if len(places) == len(values) else [values[place] for place in places]


def _average(values: array[float], place: int, value: float, count: int) -> None:
    values[place] = value if count == 1 else values[place] + (value - values[place]) / count
