"""What statistics need to know of the samples, without their texts: labels, slices and groups."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.grading.labels import Labels
from orchestrator.grading.text import normalise

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orchestrator.domain.comparing.sample import Sample


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Of each sample, by place; equal words are one object.

    Attributes:
        labels: of a task of labels, all there are; empty when it is none.
        references: the right label, normalised; empty when the task is none of labels.
        parts: the slice, as the row says it.
        groups: which group the row is of; None when every row stands alone.
    """

    labels: frozenset[str]
    references: Sequence[str]
    parts: Sequence[str | None]
    groups: Sequence[str] | None

    def slice_of(self, place: int) -> str | None:
        """The part of the task a sample belongs to: what the row says, else its label."""
        said = self.parts[place]
        return self.references[place] if said is None and self.labels else said


def facts_of(samples: Iterable[Sample]) -> Facts:
    """One pass over the samples."""
    labels, references = Labels(), []
    parts: list[str | None] = []
    groups: list[str] = []
    for sample in samples:
        if labels.possible:
            reference = sys.intern(normalise(sample.reference))
            labels.add(reference)
            references.append(reference)
        parts.append(None if sample.slice is None else sys.intern(sample.slice))
        if sample.group is not None:
            groups.append(sys.intern(sample.group))
    known = frozenset(labels.found() or ())
    return Facts(
        labels=known,
        references=references if known else [],
        parts=parts,
        groups=groups if len(groups) == len(parts) else None,
    )
