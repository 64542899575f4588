"""What two datasets have in common, row by row, wherever the rows stand."""

from __future__ import annotations

import hashlib
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from orchestrator.datasets.files.reading import opened, physical_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_SHOWN = 120


class Difference(NamedTuple):
    """Rows of two files.

    Attributes:
        common: rows that both have.
        removed: line and start of each row that only the first has.
        added: line and start of each row that only the second has.
    """

    common: int
    removed: Sequence[tuple[int, str]]
    added: Sequence[tuple[int, str]]

    def as_json(self) -> dict[str, Any]:
        """What `dataset diff --json` prints."""
        return {
            "common": self.common,
            "removed": [{"line": line, "row": text} for line, text in self.removed],
            "added": [{"line": line, "row": text} for line, text in self.added],
        }


def compare_files(before: Path, after: Path) -> Difference:
    """The rows that only one of two files has; a row that is there twice counts twice."""
    old = Counter(digest for _, _, digest in _rows(before))
    new = Counter(digest for _, _, digest in _rows(after))
    common = (old & new).total()
    return Difference(common, _only(before, old - new), _only(after, new - old))


def first_rows(path: Path, many: int) -> list[Any]:
    """The first rows of a stored file, decoded."""
    return [msgspec.json.decode(row) for _, row, _ in islice(_rows(path), many)]


def _only(path: Path, left: Counter[bytes]) -> list[tuple[int, str]]:
    """The first rows of each kind, as many as the other file lacks."""
    found = []
    for line, row, digest in _rows(path):
        if left[digest] > 0:
            left[digest] -= 1
            found.append((line, row[:_SHOWN].decode("utf-8", "ignore")))
    return found


def _rows(path: Path) -> Iterator[tuple[int, bytes, bytes]]:
    with opened(path) as source:
        for number, line in enumerate(physical_lines(source.stream), 1):
            if row := line.strip():
                yield number, row, hashlib.blake2b(row, digest_size=16).digest()
