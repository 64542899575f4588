"""One number a line, in 8 bytes: enough to find the lines that are worth comparing."""

from __future__ import annotations

import hashlib
from array import array
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.datasets.files.sniffing import BOM

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Numbers that are looked at together: so many take about twenty megabytes.
_PER_PASS = 200_000


class Repeat(NamedTuple):
    """A line that repeats an earlier one."""

    line: int
    first: int


class LineHashes:
    """The hash of something in each line; a line without it has the hash 0."""

    def __init__(self) -> None:
        """Start empty."""
        self._hashes = array("q")

    def extend(self, first: int, hashes: Iterable[int]) -> None:
        """Take the hashes of lines that follow each other; lines before them may be missing."""
        self._fill(first - 1)
        self._hashes.extend(hashes)

    def absorb(self, later: LineHashes, lines: int) -> None:
        """Take in those of the part that comes after so many lines."""
        self._fill(lines)
        self._hashes.extend(later._hashes)

    def _fill(self, lines: int) -> None:
        if (missing := lines - len(self._hashes)) > 0:
            self._hashes.frombytes(bytes(8 * missing))

    def repeats(self) -> Iterator[Repeat]:
        """Every line whose hash an earlier line has; 64 bits, so compare the lines to be sure."""
        for passes, share in self._shares_with_repeats():
            first: dict[int, int] = {}
            for line, digest in enumerate(self._hashes, 1):
                if digest and digest % passes == share:
                    before = first.setdefault(digest, line)
                    if before != line:
                        yield Repeat(line, before)

    def shared_by_others(self, rows: LineHashes) -> Iterator[int]:
        """Every line that has its hash in common with a line whose row is not the same.

        Args:
            rows: the hash of the whole row in each line.
        """
        whole = rows._hashes
        for passes, share in self._shares_with_repeats():
            first: dict[int, int] = {}
            told: set[int] = set()
            for line, digest in enumerate(self._hashes, 1):
                if digest and digest % passes == share:
                    before = first.setdefault(digest, line)
                    if whole[before - 1] != whole[line - 1]:
                        if before not in told:
                            told.add(before)
                            yield before
                        yield line

    def _shares_with_repeats(self) -> Iterator[tuple[int, int]]:
        """Which of how many shares of the hashes have repeats: a set tells it quickly."""
        passes = 1 + len(self._hashes) // _PER_PASS
        for share in range(passes):
            some = [digest for digest in self._hashes if digest % passes == share]
            if len(set(some)) < len(some):
                yield passes, share


def verified(repeats: Iterable[Repeat], lines: Iterable[bytes]) -> Iterator[Repeat]:
    """Those repeats whose lines are the same indeed.

    Args:
        repeats: lines with the same hash.
        lines: every line of the file, from the first.
    """
    first_of = {repeat.line: repeat.first for repeat in repeats}
    firsts, seen = set(first_of.values()), dict[int, bytes]()
    for number, line in enumerate(lines, 1):
        if number in firsts:
            seen[number] = _fingerprint(line)
        elif number in first_of and seen.get(first_of[number]) == _fingerprint(line):
            yield Repeat(number, first_of[number])


def _fingerprint(line: bytes) -> bytes:
    return hashlib.blake2b(line.removeprefix(BOM).strip(b" \t\r\n"), digest_size=16).digest()
