"""Test rows that nearly repeat a training row: they measure memory, too, and no equality finds them.

Likeness is Jaccard's over runs of five words of what the user says. Two rows that are alike by 0.8
share one of the fifth of their runs that come first in any fixed order (prefix filter, Chaudhuri
2006), so that a test row is held against a few training rows and not against all.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: From this likeness on a row nearly repeats another; the same as for `ftctl validate`.
ALIKE = 0.8
_RUN = 5
# A run that stands in more training rows than this belongs to the template, and finds no row.
_MOST_ROWS_A_RUN = 50


class Near(NamedTuple):
    """A test row, the training row that it nearly repeats, and how much (0.8 to 1)."""

    row: int
    training: int
    likeness: float


class NearRows:
    """The runs of words of every training row, four bytes each."""

    def __init__(self, training: Iterable[tuple[int, str]]) -> None:
        """Take row numbers with what the user says."""
        self._runs: list[array[int]] = []
        self._rows: list[int] = []
        self._first: dict[int, list[int]] = {}
        for row, text in training:
            runs = _runs(text)
            if runs:
                self._remember(row, runs)

    def alike(self, row: int, text: str) -> Near | None:
        """The training row that is most alike, if any is; what is too short is like nothing."""
        runs = _runs(text)
        known = self._first
        places = {p for run in _prefix(runs) if run in known for p in known[run]}
        mine = frozenset(runs)
        found = [(_likeness(mine, self._runs[p]), -self._rows[p]) for p in places]
        if not found:
            return None
        likeness, training = max(found)
        return Near(row, -training, likeness) if likeness >= ALIKE else None

    def _remember(self, row: int, runs: Sequence[int]) -> None:
        place = len(self._rows)
        self._rows.append(row)
        self._runs.append(array("I", runs))
        for run in _prefix(runs):
            places = self._first.setdefault(run, [])
            if len(places) < _MOST_ROWS_A_RUN:
                places.append(place)


def _runs(text: str) -> list[int]:
    """Checksums of every run of five words, in order, each once."""
    said = " ".join(text.split()).encode("utf-8", "replace")
    starts = [0]
    at = said.find(b" ")
    while at >= 0:
        starts.append(at + 1)
        at = said.find(b" ", at + 1)
    if len(starts) < _RUN:
        return []
    ends = [*(start - 1 for start in starts[_RUN:]), len(said)]
    return sorted({crc32(said[i:k]) for i, k in zip(starts, ends, strict=False)})


def _prefix(runs: Sequence[int]) -> Sequence[int]:
    # Of n runs at least 0.8 n are shared, so one of any n - 0.8 n + 1 is.
    return runs[: len(runs) - -(-4 * len(runs) // 5) + 1]


def _likeness(one: frozenset[int], other: Sequence[int]) -> float:
    shared = len(one.intersection(other))
    return shared / (len(one) + len(other) - shared)
