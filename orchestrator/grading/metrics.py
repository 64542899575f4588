"""Metrics: from scores or labels of a whole set to one number."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from orchestrator.grading.text import normalise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LONGEST_LABEL = 40
_MOST_LABELS = 50
# Fewer rows a label than this, and the answers are texts rather than labels.
_LEAST_ROWS_A_LABEL = 2


def accuracy(references: Sequence[str], labels: Sequence[str]) -> float:
    """Share of rows with the right label.

    Raises:
        ValueError: no rows.
    """
    return sum(a == b for a, b in zip(references, labels, strict=True)) / _positive(len(labels))


def macro_f1(counts: Mapping[tuple[str, str], int]) -> float:
    """Mean over the reference labels of each one's F1, all weighing the same.

    Args:
        counts: how often each (reference, label) occurs.
    """
    wanted: Counter[str] = Counter()
    given: Counter[str] = Counter()
    for (reference, label), count in counts.items():
        wanted[reference] += count
        given[label] += count
    present = [label for label, count in wanted.items() if count]
    scores = [
        2 * counts.get((label, label), 0) / (wanted[label] + given[label]) for label in present
    ]
    return sum(scores) / _positive(len(scores))


def confusion(references: Sequence[str], labels: Sequence[str]) -> Counter[tuple[str, str]]:
    """How often each (reference, label) occurs."""
    return Counter(zip(references, labels, strict=True))


def labels_of(references: Sequence[str]) -> list[str] | None:
    """The labels of a classification task, normalised and sorted; None when it is none.

    A task is one of labels when its references are few, short and repeat.
    """
    found = {normalise(reference) for reference in references}
    short = all(len(label) <= _LONGEST_LABEL for label in found)
    few = 2 <= len(found) <= min(_MOST_LABELS, len(references) / _LEAST_ROWS_A_LABEL)
    return sorted(found) if short and few else None


def _positive(count: int) -> int:
    if count == 0:
        raise ValueError("no rows, no metric")
    return count
