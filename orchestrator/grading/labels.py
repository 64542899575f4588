"""Labels: whether the right answers of a task are some, and which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.grading.text import normalise

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST_LABEL = 40
_MOST_LABELS = 50
# Fewer rows a label than this, and the answers are texts rather than labels.
_LEAST_ROWS_A_LABEL = 2


class Labels:
    """Whether references are labels, told while they are read.

    A task is one of labels when its references are few, short and repeat.
    """

    def __init__(self) -> None:
        """Before the first reference."""
        self._labels: set[str] = set()
        self._rows = 0
        self.possible = True

    def add(self, reference: str) -> None:
        """One more, normalised."""
        self._rows += 1
        self._labels.add(reference)
        if len(reference) > _LONGEST_LABEL or len(self._labels) > _MOST_LABELS:
            self.possible = False

    def found(self) -> list[str] | None:
        """The labels, sorted; None when the task is none of labels."""
        few = 2 <= len(self._labels) <= self._rows / _LEAST_ROWS_A_LABEL
        return sorted(self._labels) if self.possible and few else None


def labels_of(references: Iterable[str]) -> list[str] | None:
    """The labels of a classification task, normalised and sorted; None when it is none."""
    labels = Labels()
    for reference in references:
        labels.add(normalise(reference))
        if not labels.possible:
            return None
    return labels.found()
