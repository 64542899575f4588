"""Rows that nearly repeat, by MinHash over runs of words; with the extra `near`."""

from __future__ import annotations

from array import array
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
    """Remembers what rows look like; half a kilobyte a row, and their bands."""

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
        self._signatures: dict[int, bytes] = {}

    def __getstate__(self) -> tuple[dict[int, bytes]]:
        """The signatures cross processes; the bands are made of them again."""
        return (self._signatures,)

    def __setstate__(self, state: tuple[dict[int, bytes]]) -> None:
        """Only to be taken in by another."""
        (self._signatures,) = state

    def empty(self) -> NearDuplicates:
        """One like it that remembers nothing."""
        return NearDuplicates(questions=self._questions)

    def sign(self, line: int, row: Row) -> None:
        """Keep what a row looks like, to compare it later."""
        signature = self._signature(row)
        if signature is not None:
            self._signatures[line] = signature

    def add(self, line: int, row: Row) -> None:
        """Remember a row."""
        self.sign(line, row)
        if line in self._signatures:
            self._index(line)

    def absorb(self, later: NearDuplicates, lines: int, *, index: bool = True) -> None:
        """Take in the rows of the part that comes after so many lines."""
        for line, signature in later._signatures.items():
            self._signatures[line + lines] = signature
            if index:
                self._index(line + lines)

    def alike(self, row: Row) -> tuple[int, float] | None:
        """The line of a remembered row that is alike, and how much; None when none is."""
        signature = self._signature(row)
        return None if signature is None else self._nearest(signature)

    def flaws(self) -> Iterator[tuple[int, Flaw]]:
        """Every line whose signed row nearly repeats an earlier one, in order."""
        for line, signature in self._signatures.items():
            found = self._nearest(signature)
            self._index(line)
            if found is not None:
                fields = {"first": found[0], "percent": round(100 * found[1])}
                yield line, Flaw("alike-row", "", fields)

    def _index(self, line: int) -> None:
        for band in _bands(self._signatures[line]):
            self._first.setdefault(band, line)

    def _nearest(self, signature: bytes) -> tuple[int, float] | None:
        near = {self._first[band] for band in _bands(signature) if band in self._first}
        best = max(
            ((_likeness(signature, self._signatures[line]), -line) for line in near), default=None
        )
        return None if best is None or best[0] < ALIKE else (-best[1], best[0])

    def _signature(self, row: Row) -> bytes | None:
        text = "\n".join(texts_of_row(row, asked_only=self._questions))
        runs = list(_runs(text))
        if len(runs) < _RUN:
            return None  # Too short for likeness to mean anything; equal ones are found anyway.
        sketch = self._minhash(num_perm=_PERMUTATIONS, seed=7)
        sketch.update(runs)
        return array("I", sketch.digest()).tobytes()


def _runs(text: str) -> Iterator[str]:
    words = text.casefold().split()
    for start in range(len(words) - _RUN + 1):
        yield " ".join(words[start : start + _RUN])


def _bands(signature: bytes) -> list[int]:
    """One number for each run of the signature and its place: equal runs have equal numbers."""
    return [hash((start, signature[start : start + _WIDTH])) for start in _STARTS]


def _likeness(one: bytes, other: bytes) -> float:
    pairs = zip(memoryview(one).cast("I"), memoryview(other).cast("I"), strict=True)
    return sum(a == b for a, b in pairs) / _PERMUTATIONS


_WIDTH = 4 * _PERMUTATIONS // _BANDS
_STARTS = range(0, 4 * _PERMUTATIONS, _WIDTH)
