"""Rows that nearly repeat, by MinHash over runs of words; with the extra `near`."""

from __future__ import annotations

import zlib
from itertools import islice
from typing import TYPE_CHECKING

from orchestrator.datasets.checking.rules import texts_of_row
from orchestrator.datasets.extras import package
from orchestrator.datasets.findings.finding import Flaw

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.datasets.records import Row

_PERMUTATIONS, _BANDS, _RUN = 128, 16, 5
#: How alike two rows are from which on one is told to nearly repeat the other (Jaccard).
ALIKE = 0.8


class NearDuplicates:
    """Remembers what rows look like; 16 short keys and one signature a row."""

    def __init__(self, *, questions: bool = False) -> None:
        """Start empty.

        Args:
            questions: compare what is asked, not whole rows.

        Raises:
            ConfigurationError: the extra is not installed.
        """
        self._minhash = package("rensa", "near").RMinHash
        self._questions = questions
        self._first: dict[int, int] = {}
        self._signatures: dict[int, list[int]] = {}

    def add(self, line: int, row: Row) -> None:
        """Remember a row."""
        signature = self._signature(row)
        if signature is not None:
            self._signatures[line] = signature
            for band in _bands(signature):
                self._first.setdefault(band, line)

    def alike(self, row: Row) -> tuple[int, float] | None:
        """The line of a remembered row that is alike, and how much; None when none is."""
        signature = self._signature(row)
        if signature is None:
            return None
        near = {self._first[band] for band in _bands(signature) if band in self._first}
        best = max(
            ((_likeness(signature, self._signatures[line]), -line) for line in near), default=None
        )
        return None if best is None or best[0] < ALIKE else (-best[1], best[0])

    def compare(self, line: int, row: Row) -> Flaw | None:
        """The flaw of a row that nearly repeats an earlier one; the row is remembered."""
        found = self.alike(row)
        self.add(line, row)
        if found is None:
            return None
        return Flaw("alike-row", "", {"first": found[0], "percent": round(100 * found[1])})

    def _signature(self, row: Row) -> list[int] | None:
        text = "\n".join(texts_of_row(row, asked_only=self._questions))
        runs = list(_runs(text))
        if len(runs) < _RUN:
            return None  # Too short for likeness to mean anything; equal ones are found anyway.
        sketch = self._minhash(num_perm=_PERMUTATIONS, seed=7)
        sketch.update(runs)
        digest: list[int] = sketch.digest()
        return digest


def _runs(text: str) -> Iterator[str]:
    words = text.casefold().split()
    for start in range(len(words) - _RUN + 1):
        yield " ".join(words[start : start + _RUN])


def _bands(signature: list[int]) -> Iterator[int]:
    width = _PERMUTATIONS // _BANDS
    numbers = iter(signature)
    for band in range(_BANDS):
        part = repr([band, *islice(numbers, width)]).encode()
        yield zlib.crc32(part) << 32 | zlib.adler32(part)


def _likeness(one: list[int], other: list[int]) -> float:
    return sum(a == b for a, b in zip(one, other, strict=True)) / _PERMUTATIONS
