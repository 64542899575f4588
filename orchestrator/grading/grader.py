"""The port of a grader: one call from an answer and a reference to a score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class Score:
    """What an answer earned.

    Attributes:
        value: between 0 and 1; None when the answer could not be graded, which is never a zero.
        passed: for graders that say yes or no.
        reason: one sentence for a person who reads the row.
    """

    value: float | None
    passed: bool | None = None
    reason: str = ""


class Grader(Protocol):
    """What scores one answer.

    Attributes:
        name: of the metric, as in reports.
        binary: every value is 0 or 1.
    """

    @property
    def name(self) -> str:
        """Of the metric, as in reports."""
        ...

    @property
    def binary(self) -> bool:
        """Whether every value is 0 or 1."""
        ...

    def grade(self, answer: str, reference: str) -> Score:
        """The score of one answer."""
        ...
